//! The clock: twenty minutes fast or slow, and set while the program runs (R29). `faketime` makes the program believe it.

use std::{path::Path, time::Duration};

use reqwest::StatusCode;

use super::gallery::{Gallery, Ledger};
use crate::{
    pictures,
    site::{ANN, Visit},
};

/// The library that tells a program another time.
pub(crate) fn library() -> String {
    let places = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].into_iter().flat_map(|root| {
        walkdir::WalkDir::new(root).max_depth(3).into_iter().flatten().map(walkdir::DirEntry::into_path)
    });
    let mut found = places.filter(|path| path.ends_with("faketime/libfaketimeMT.so.1"));
    found.next().expect("libfaketime is installed: script/servers install").display().to_string()
}

/// A gallery that believes what `clock` says (`+20m`), and goes on believing as it changes.
pub(crate) fn believing(gallery: Gallery, clock: &Path) -> Gallery {
    gallery
        .and("LD_PRELOAD", &library())
        .and("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .and("FAKETIME_NO_CACHE", "1")
        .and("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

async fn status(visit: &Visit, path: &str) -> StatusCode {
    visit.page(path).await.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ends_no_session_too_early_or_never_and_nothing_panics() {
    let gallery = Gallery::on_this_machine();
    let clock = gallery.folder().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let gallery = believing(gallery, &clock).and("GALLERY__IDENTITY", "local");
    let server = gallery.serve().await;
    server.sign_up(ANN).await;
    let visit = server.visit(&server.signed_in(ANN).await);
    let mut kept = 0;
    for time in ["+20m", "-20m", "+0", "+3d", "-1d", "+0"] {
        std::fs::write(&clock, time).unwrap();
        assert_eq!(status(&visit, "/photos").await, StatusCode::OK, "{time}: {}", server.log());
        let photo = visit.uploaded("a.jpg", pictures::jpeg(64, 48, kept)).await;
        kept += 1;
        visit.settled(photo["id"].as_str().unwrap()).await;
        let link = photo["links"]["display"].as_str().unwrap();
        assert_eq!(status(&visit, link).await, StatusCode::OK, "{time}");
        let (_, listing) = visit.json("/photos").await;
        assert_eq!(listing["photos"].as_array().map(Vec::len), usize::try_from(kept).ok(), "{time}");
    }
    // A session that is not used ends, whatever the clock did before.
    std::fs::write(&clock, "+400d").unwrap();
    assert_ne!(status(&visit, "/photos").await, StatusCode::OK);
    std::fs::write(&clock, "+0").unwrap();
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert!(server.terminate().await);
    gallery.check_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_taken_in_hand_before_the_clock_was_set_back_are_finished() {
    let gallery = Gallery::on_this_machine();
    let clock = gallery.folder().join("clock");
    std::fs::write(&clock, "+20m").unwrap();
    let gallery = believing(gallery, &clock);
    let (server, ledger) = (gallery.serve_only().await, Ledger::default());
    for seed in 0..3 {
        ledger.upload_at_last(&server, &pictures::jpeg(64, 48, seed), Duration::from_secs(5)).await;
    }
    std::fs::write(&clock, "-20m").unwrap();
    let worker = gallery.work();
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::write(&clock, "+20m").unwrap();
    for photo in server.all().await {
        assert_eq!(server.settled(photo["id"].as_str().unwrap()).await["state"], "labelled", "{}", worker.log());
    }
    ledger.holds(&server).await;
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
    drop((worker, server));
    gallery.check_clean().await;
}
