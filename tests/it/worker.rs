//! What happens to a photo after its upload was answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use photo_gallery::{
    album::Finisher,
    events::InProcess,
    labeler::{Labeler, Unlabelled},
    photo::Label,
    settings::Settings,
    worker::{Bounds, Worker},
};
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::{pictures, site::Site};

#[tokio::test]
async fn a_photo_is_labelled_without_being_asked_again() {
    let site = Site::with(|settings| settings.labeler = Settings::default().labeler).await;
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/chelsea.jpg")).unwrap();
    let photo = site.uploaded("c.jpg", bytes).await;
    assert_eq!(photo["state"], "labelling");
    let photo = site.settled(photo["id"].as_str().unwrap()).await;
    let labels = photo["labels"].as_array().unwrap();
    let cat = labels.iter().find(|label| label["name"] == "Cat").unwrap_or_else(|| panic!("a cat: {photo}"));
    assert!(cat["confidence"].as_f64().unwrap() > 50.0);
    for path in ["/photos?label=Cat", "/photos?label=cat", "/photos?q=cats"] {
        let (_, listing) = site.json(path).await;
        assert_eq!(listing["photos"][0]["id"], photo["id"], "{path}");
    }
    let (_, counted) = site.json("/labels").await;
    assert!(
        counted["labels"].as_array().unwrap().iter().any(|label| label["name"] == "Cat" && label["photos"] == 1),
        "{counted}"
    );
    let html = site.page("/labels").await.text().await.unwrap();
    assert!(html.contains("/photos?label=Cat"), "{html}");
}

#[tokio::test]
async fn photos_uploaded_while_no_worker_runs_are_finished_at_the_next_start() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for seed in 0..5 {
        ids.push(site.uploaded("a.jpg", pictures::jpeg(32, 24, seed)).await["id"].as_str().unwrap().to_owned());
    }
    let site = site.restart().await;
    for id in ids {
        assert_eq!(site.settled(&id).await["state"], "labelled");
    }
}

#[tokio::test]
async fn a_photo_whose_file_is_gone_says_why_it_failed() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(32, 24, 1)).await;
    for file in site.stored() {
        std::fs::remove_file(file).unwrap();
    }
    site.app.finisher().finish(photo["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    let photo = site.settled(photo["id"].as_str().unwrap()).await;
    assert_eq!(
        (&photo["state"], &photo["problem"]),
        (&"failed".into(), &"The photo's file is missing in the store.".into())
    );
}

#[tokio::test]
async fn a_rendition_that_the_store_has_lost_is_made_anew_and_the_photo_labelled() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 1)).await;
    let id = photo["id"].as_str().unwrap();
    let lost: Vec<_> = site.stored().into_iter().filter(|file| file.to_string_lossy().contains("renditions")).collect();
    assert_eq!(lost.len(), 2);
    for file in &lost {
        std::fs::remove_file(file).unwrap();
    }
    site.app.finisher().finish(id.parse().unwrap()).await.unwrap();
    assert_eq!(site.settled(id).await["state"], "labelled");
    assert!(lost.iter().all(|file| file.exists()));
}

/// A labeler that takes its time and counts how often it is asked.
#[derive(Default)]
struct Slow(AtomicUsize);

#[async_trait::async_trait]
impl Labeler for Slow {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_photo_stays_in_one_hand_until_the_worker_dies() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(32, 24, 1)).await;
    let id = photo["id"].as_str().unwrap().parse().unwrap();
    let slow = Arc::new(Slow::default());
    let labeler: Arc<dyn Labeler> = Arc::<Slow>::clone(&slow);
    let finisher = Finisher::with_lease(Arc::clone(site.app.album()), Some(labeler), Duration::from_millis(1500));
    let tried_after_the_lease = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        finisher.finish(id).await.unwrap();
        assert_eq!(slow.0.load(Ordering::Relaxed), 1, "another is at it");
    };
    let died = tokio::time::timeout(Duration::from_secs(3), finisher.finish(id));
    let (died, ()) = tokio::join!(died, tried_after_the_lease);
    assert!(died.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    finisher.finish(id).await.unwrap();
    assert_eq!(slow.0.load(Ordering::Relaxed), 2);
    assert_eq!(site.settled(photo["id"].as_str().unwrap()).await["state"], "labelled");
}

/// A labeler that answers only once as many pictures as the barrier wants are before it at the same time.
struct Together(Barrier);

#[async_trait::async_trait]
impl Labeler for Together {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        self.0.wait().await;
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn photos_that_no_event_tells_of_are_finished_several_at_a_time_whatever_cannot_be_tidied() {
    let site = Site::without_worker().await;
    let mut ids = Vec::new();
    for seed in 0..3 {
        ids.push(site.uploaded("a.jpg", pictures::jpeg(32, 24, seed)).await["id"].as_str().unwrap().to_owned());
    }
    let catalog = SqliteConnectOptions::new().filename(site.folder.path().join("data/catalog.db"));
    let gone = "ALTER TABLE discarded_object RENAME TO elsewhere";
    catalog.connect().await.unwrap().execute(gone).await.unwrap();
    site.app.finisher().tidy().await.expect_err("nothing says what is to be deleted");

    let labeler: Arc<dyn Labeler> = Arc::new(Together(Barrier::new(3)));
    let finisher = Arc::new(Finisher::new(Arc::clone(site.app.album()), Some(labeler)));
    let stop = CancellationToken::new();
    let working = {
        let bounds = Bounds { at_once: 3, sweep_every: Duration::from_mins(5) };
        let worker = Worker::new(finisher, Arc::new(InProcess::new(1)), bounds);
        tokio::spawn(worker.run(stop.clone()))
    };
    for id in ids {
        assert_eq!(site.settled(&id).await["state"], "labelled");
    }
    stop.cancel();
    working.await.unwrap();
}
