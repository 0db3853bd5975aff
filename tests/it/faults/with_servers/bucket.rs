//! The bucket: refused, hung, slow, flaky, its answers lost, its objects missing or garbled (R4 to R7, R41).

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use futures_util::{StreamExt as _, stream};
use reqwest::{StatusCode, header};
use serde_json::Value;

use crate::faults::gallery::{Gallery, Ledger};
use crate::{
    aws,
    chaos::{Chaos, Fault},
    faults::rekognition::Rekognition,
    pictures,
    process::Process,
};

/// A gallery whose bucket is reached over a wire.
struct Wired {
    gallery: Gallery,
    wire: Chaos,
    s3: Client,
    ledger: Ledger,
}

impl Wired {
    /// Each try of a call may take a second, all together three.
    async fn new() -> Self {
        let wire = Chaos::before(&aws::server("TEST_SEAWEEDFS")).await;
        let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
        let gallery = Gallery::on_servers().await.and("GALLERY__STORE__S3__ENDPOINT", &wire.url()).patient_for(1, 3);
        Self { gallery, wire, s3, ledger: Ledger::default() }
    }

    async fn objects(&self) -> Vec<String> {
        let bucket = self.gallery.bucket.as_deref().unwrap();
        let listed = self.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    /// While the wire is as it is, an upload is refused in time with the request to come again, and all pages are there.
    async fn refuses(&self, server: &Process, seed: u32, fault: &Fault) {
        let began = Instant::now();
        let form = reqwest::multipart::Form::new()
            .part("photo", reqwest::multipart::Part::bytes(pictures::jpeg(200, 150, seed)).file_name("a.jpg"));
        let request = server.client.post(format!("{}/photos", server.url)).header("accept", "application/json");
        let answer = request.multipart(form).send().await.unwrap();
        let took = began.elapsed();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{fault:?}: {}", server.log());
        assert!(answer.headers().contains_key(header::RETRY_AFTER), "{fault:?}");
        assert!(took < Duration::from_secs(10), "{fault:?}: {took:?}");
        let listing = server.all().await;
        assert_eq!(listing.len(), self.ledger.kept(), "{fault:?}");
        let page = format!("{}/photos/{}", server.url, listing[0]["id"].as_str().unwrap());
        assert_eq!(server.client.get(page).send().await.unwrap().status(), StatusCode::OK, "{fault:?}");
        assert_eq!(server.json("/ping").await.0, StatusCode::OK, "{fault:?}");
    }

    async fn survives(&self, faults: &[Fault]) {
        let server = self.gallery.serve().await;
        self.ledger.upload_at_last(&server, &pictures::jpeg(200, 150, 0), Duration::from_secs(5)).await;
        for (seed, fault) in (1..).zip(faults) {
            self.wire.set(fault.clone());
            self.refuses(&server, seed, fault).await;
            self.wire.heal();
            self.ledger.upload_at_last(&server, &pictures::jpeg(200, 150, seed), Duration::from_secs(10)).await;
            self.gallery.check_clean().await;
        }
        self.ledger.holds(&server).await;
        assert!(server.terminate().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_or_errs_stops_uploads_and_nothing_else() {
    let wired = Wired::new().await;
    let faults = [Fault::Refuse, Fault::Status(503), Fault::Status(500), Fault::CutUp(2000), Fault::CutDown(0)];
    wired.survives(&faults).await;
    wired.gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_says_nothing_stops_uploads_and_nothing_else() {
    let wired = Wired::new().await;
    wired.survives(&[Fault::Silence, Fault::StallUp(2000)]).await;
    wired.gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_hangs_is_given_up_in_ten_seconds_where_nothing_is_set() {
    let wired = Wired::new().await;
    let gallery = wired.gallery.patient_for(30, 90);
    let server = gallery.serve().await;
    wired.wire.set(Fault::Silence);
    let began = Instant::now();
    let (status, _) = server.try_upload("a.jpg", "", pictures::jpeg(200, 150, 1)).await.unwrap();
    let took = began.elapsed();
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && took < Duration::from_secs(11), "{status} {took:?}");
    wired.wire.heal();
    assert!(server.all().await.is_empty());
    drop(server);
    gallery.check_clean().await;
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_bucket_that_is_lost_is_no_second_object() {
    let wired = Wired::new().await;
    let server = wired.gallery.serve().await;
    wired.wire.once(Fault::CutDown(0));
    let bytes = pictures::jpeg(200, 150, 1);
    wired.ledger.upload_at_last(&server, &bytes, Duration::from_secs(5)).await;
    wired.ledger.upload_at_last(&server, &bytes, Duration::from_secs(5)).await;
    assert_eq!((server.all().await.len(), wired.objects().await.len()), (1, 3));
    assert!(wired.wire.struck() > 0);
    wired.ledger.holds(&server).await;
    drop(server);
    wired.gallery.check_clean().await;
    wired.gallery.gone().await;
}

/// How many uploads a scenario makes: so many, or `FAULTS_UPLOADS`.
fn uploads(few: u32) -> u32 {
    std::env::var("FAULTS_UPLOADS").map_or(few, |many| many.parse().expect("FAULTS_UPLOADS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_errs_three_times_in_ten_and_is_slow_gets_every_photo_in_three_tries() {
    let wired = Wired::new().await;
    let gallery = wired.gallery.patient_for(10, 30);
    let server = gallery.serve().await;
    let before = wired.wire.turns();
    wired.wire.set_each(&[(Fault::Status(503), 30), (Fault::Delay(Duration::from_millis(400)), 100)]);
    let (count, ledger) = (uploads(24), &wired.ledger);
    let tries: Vec<u32> = stream::iter(0..count)
        .map(|seed| {
            let server = &server;
            let bytes = pictures::jpeg(100, 75, seed);
            async move { ledger.upload_at_last(server, &bytes, Duration::from_mins(1)).await }
        })
        .buffer_unordered(12)
        .collect()
        .await;
    let turns = wired.wire.turns() - before;
    wired.wire.heal();
    let late = tries.iter().filter(|tries| **tries > 3).count();
    println!("{count} uploads, {} tries, {late} of more than three, {turns} requests", tries.iter().sum::<u32>());
    assert!(late * 100 <= tries.len());
    // Three objects, each put three times at most, and taken away again where an upload failed.
    let most =
        u64::from(tries.iter().sum::<u32>()) * 9 + u64::from(tries.iter().map(|tries| tries - 1).sum::<u32>()) * 9;
    assert!(turns <= most, "{turns} requests, {most} would be three for each");
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_256_kbit_that_drops_connections_is_slower_and_as_safe() {
    let wired = Wired::new().await;
    let database = wired.gallery.database.as_ref().unwrap();
    let rows = Chaos::before(&format!("{}:{}", database.host, database.port)).await;
    let gallery = wired.gallery.patient_for(10, 30).and("GALLERY__CATALOG__MYSQL__PORT", &rows.port().to_string());
    let server = gallery.serve().await;
    wired.wire.set_each(&[(Fault::Rate(32_000), 100), (Fault::CutUp(3000), 5), (Fault::CutDown(20), 5)]);
    rows.set_each(&[(Fault::Rate(32_000), 100), (Fault::CutUp(10), 2), (Fault::CutDown(5), 2)]);
    let ledger = &wired.ledger;
    stream::iter(0..uploads(8))
        .for_each_concurrent(4, |seed| {
            let server = &server;
            let bytes = pictures::jpeg(100, 75, seed);
            async move {
                ledger.upload_at_last(server, &bytes, Duration::from_mins(1)).await;
            }
        })
        .await;
    wired.wire.heal();
    rows.heal();
    ledger.holds(&server).await;
    assert_eq!(server.all().await.len(), ledger.kept());
    drop(server);
    gallery.check_clean().await;
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_garbled_on_its_way_is_not_what_is_labelled() {
    let rekognition = Rekognition::start().await;
    let wired = Wired::new().await;
    let gallery = wired.gallery.labelled_by(rekognition.url()).patient_for(5, 15);
    let server = gallery.serve_only().await;
    let photo = server.uploaded("a.jpg", "", pictures::jpeg(200, 150, 1)).await;
    let id = photo["id"].as_str().unwrap();
    let (_, display) = server.fetched(&photo, "display").await;
    let worker = gallery.work();
    // The worker proves the bucket at its start.
    while !worker.log().contains("working") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(worker);
    wired.wire.set_each(&[(Fault::CorruptDown(1500), 100)]);
    let worker = gallery.work();
    // It reads the rendition, and sees that these are not its bytes.
    for _ in 0..400 {
        if worker.log().contains("is put off") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let labelled = server.json(&format!("/photos/{id}")).await.1;
    let garbled = rekognition.contents().into_iter().filter(|content| *content != display).count();
    println!("state {} while bytes are garbled, {garbled} garbled pictures were sent", labelled["state"]);
    assert_eq!(garbled, 0, "a garbled picture was paid for");
    assert!(worker.log().contains("is put off"), "no picture was garbled on its way: {}", worker.log());
    assert_eq!(labelled["state"], "labelling");
    wired.wire.heal();
    drop(worker);
    gallery.leases_end().await;
    let worker = gallery.work();
    let settled: Value = server.settled(id).await;
    assert_eq!(settled["state"], "labelled", "{settled} {}", worker.log());
    drop((worker, server));
    gallery.check_clean().await;
    gallery.gone().await;
}
