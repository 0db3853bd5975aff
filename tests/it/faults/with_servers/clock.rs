//! A clock that S3 does not believe.

use std::time::Duration;

use reqwest::StatusCode;

use crate::{
    aws,
    chaos::{Chaos, Fault},
    faults::{
        clock::believing,
        gallery::{Gallery, Ledger},
    },
    pictures,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_the_clock_is_503_with_a_sentence_for_the_operator() {
    // SeaweedFS believes any clock: the wire says what S3 says.
    let wire = Chaos::before(&aws::server("TEST_SEAWEEDFS")).await;
    let gallery = Gallery::on_servers().await.and("GALLERY__STORE__S3__ENDPOINT", &wire.url());
    let clock = gallery.folder().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let gallery = believing(gallery, &clock);
    let (server, ledger) = (gallery.serve().await, Ledger::default());
    ledger.upload_at_last(&server, &pictures::jpeg(64, 48, 0), Duration::from_secs(5)).await;
    for (seed, time) in (1..).zip(["+20m", "-20m"]) {
        std::fs::write(&clock, time).unwrap();
        wire.set(Fault::Status(403));
        let bytes = pictures::jpeg(64, 48, seed);
        assert_eq!(ledger.upload(&server, &bytes).await, Some(StatusCode::SERVICE_UNAVAILABLE), "{time}");
        assert!(server.log().contains("this machine's clock is wrong: set it"), "{time}: {}", server.log());
        assert_eq!(server.json("/photos").await.0, StatusCode::OK, "{time}");
        std::fs::write(&clock, "+0").unwrap();
        wire.heal();
        ledger.upload_at_last(&server, &bytes, Duration::from_secs(10)).await;
    }
    ledger.holds(&server).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
    drop(server);
    gallery.check_clean().await;
    gallery.gone().await;
}
