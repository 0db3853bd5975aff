//! The client: away in the middle of an upload, slow, silent (R3). What one request is answered is shown in `upload.rs`.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode, multipart};

use super::gallery::{Gallery, Ledger};
use crate::{
    chaos::{Chaos, Fault},
    pictures,
};

/// Uploads over a wire; `None` when it broke.
async fn upload(wire: &Chaos, bytes: Vec<u8>) -> Option<StatusCode> {
    let form = multipart::Form::new().part("photo", multipart::Part::bytes(bytes).file_name("a.jpg"));
    let request = Client::new().post(format!("{}/photos", wire.url())).header("sec-fetch-site", "none");
    let request = request.header("accept", "application/json").timeout(Duration::from_secs(20));
    Some(request.multipart(form).send().await.ok()?.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_or_falls_silent_leaves_nothing_and_a_slow_one_is_served() {
    let gallery = Gallery::on_this_machine().and("GALLERY__SERVER__BODY_IDLE_SECONDS", "2");
    let server = gallery.serve().await;
    let (wire, ledger) = (Chaos::before(&server.url).await, Ledger::default());
    let bytes = pictures::jpeg(800, 600, 1);
    for part in [0, 100, 1000, bytes.len() / 2, bytes.len()] {
        wire.set(Fault::CutUp(part));
        assert_eq!(upload(&wire, bytes.clone()).await, None);
    }
    let began = Instant::now();
    wire.set(Fault::StallUp(bytes.len() / 2));
    let told = tokio::spawn({
        let (at, bytes) = (wire.url(), bytes.clone());
        async move {
            let form = multipart::Form::new().part("photo", multipart::Part::bytes(bytes).file_name("a.jpg"));
            Client::new().post(format!("{at}/photos")).multipart(form).send().await.map(|answer| answer.status())
        }
    });
    while gallery.incoming() > 0 || began.elapsed() < Duration::from_secs(3) {
        assert!(began.elapsed() < Duration::from_secs(15), "the silent upload is still waited for");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    told.abort();
    assert!(server.all().await.is_empty());
    assert_eq!(gallery.objects().await, Vec::<String>::new());

    let rate = u64::try_from(bytes.len() / 3).unwrap();
    wire.set(Fault::Rate(rate));
    assert_eq!(upload(&wire, bytes.clone()).await, Some(StatusCode::CREATED), "three seconds are slow and no silence");
    assert_eq!(ledger.upload(&server, &bytes).await, Some(StatusCode::OK));
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
}
