//! The labeler: throttled for half of its calls, away, and back (R17). What it may say is shown in `labeler/rekognition.rs`.

use std::time::{Duration, Instant};

use super::{
    gallery::{Gallery, Ledger},
    rekognition::Rekognition,
};
use crate::{
    chaos::{Chaos, Fault},
    pictures,
};

#[tokio::test(flavor = "multi_thread")]
async fn throttled_for_every_second_call_every_photo_is_labelled_and_each_content_paid_for_once() {
    let rekognition = Rekognition::start().await;
    rekognition.throttle(50);
    let gallery = Gallery::on_this_machine().labelled_by(rekognition.url());
    let (server, ledger) = (gallery.serve().await, Ledger::default());
    let photos = 20;
    for seed in 0..photos {
        ledger.upload_at_last(&server, &pictures::jpeg(64, 48, seed), Duration::from_secs(10)).await;
    }
    let began = Instant::now();
    loop {
        let all = server.all().await;
        assert!(all.iter().all(|photo| photo["state"] != "failed"), "throttling fails no photo: {all:?}");
        if all.iter().all(|photo| photo["state"] == "labelled") {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{all:?} {}", server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let counts = rekognition.counts();
    let asked: u64 = counts.iter().map(|count| count.asked).sum();
    println!("{photos} photos, {asked} calls, all labelled {:?} after the last upload", began.elapsed());
    assert!(counts.iter().all(|count| count.answered == 1), "{counts:?}");
    assert_eq!(counts.len(), usize::try_from(photos).unwrap());
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labeler_that_is_away_keeps_no_upload_waiting_and_labels_come_when_it_is_back() {
    let rekognition = Rekognition::start().await;
    let wire = Chaos::before(rekognition.url()).await;
    let gallery = Gallery::on_this_machine().labelled_by(&wire.url()).patient_for(1, 3);
    let (server, ledger) = (gallery.serve().await, Ledger::default());
    for (seed, fault) in (0..).zip([Fault::Refuse, Fault::Silence, Fault::Status(500), Fault::CutDown(0)]) {
        wire.set(fault.clone());
        let bytes = pictures::jpeg(64, 48, seed);
        let began = Instant::now();
        ledger.upload_at_last(&server, &bytes, Duration::from_secs(5)).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{fault:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let photo = &server.all().await[0];
        assert_eq!(photo["state"], "labelling", "{fault:?}: it is there at once, without labels: {photo}");
    }
    wire.heal();
    gallery.leases_end().await;
    for photo in server.all().await {
        assert_eq!(server.settled(photo["id"].as_str().unwrap()).await["state"], "labelled", "{}", server.log());
    }
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
}
