//! A gallery without its web server: photos on a disk, rows in SQLite, events as the test has them, a labeler that counts.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use photo_gallery::{
    album::{Album, Finisher, Intake, Received},
    catalog::{Catalog, Connection, PoolSize},
    darkroom::Darkroom,
    events::{Announcement, Events, trace},
    imaging::Limits,
    labeler::{Labeler, Unlabelled},
    photo::{Label, Owner, Photo, PhotoId},
    store::{Disk, Store},
    worker::{Bounds, Worker},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::pictures;

/// How long a photo stays in a dead worker's hand.
const LEASE: Duration = Duration::from_secs(2);

pub(super) struct Gallery {
    pub(super) album: Arc<Album>,
    pub(super) catalog: Catalog,
    pub(super) store: Arc<dyn Store>,
    pub(super) owner: Owner,
    pub(super) folder: TempDir,
}

impl Gallery {
    pub(super) async fn new(events: Arc<dyn Events>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Connection::Sqlite { path: folder.path().join("catalog.db") };
        let catalog = Catalog::open(&catalog, PoolSize::default()).unwrap();
        catalog.migrate().await.unwrap();
        let store = Disk::open(folder.path().join("photos"), "/media", b"a secret", Duration::from_hours(1), Utc::now);
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let darkroom = Darkroom::new(NonZeroUsize::MIN, 64, Limits::default()).unwrap();
        let intake = Intake::open(&folder.path().join("incoming"), 50_000_000).unwrap();
        let album = Album::new(catalog.clone(), Arc::clone(&store), events, darkroom, intake, Utc::now);
        Self { album: Arc::new(album), catalog, store, owner: Owner::anonymous(), folder }
    }

    /// Keeps a picture that no other number has.
    pub(super) async fn uploaded(&self, number: u32) -> Photo {
        let mut receiving = self.album.receive("a.jpg").unwrap();
        receiving.write(&pictures::jpeg(32, 24, number)).await.unwrap();
        let upload = receiving.finish().await.unwrap();
        match self.album.keep(&self.owner, upload, "".parse().unwrap()).await.unwrap() {
            Received::New(photo) => photo,
            Received::AlreadyHere(photo) => panic!("twice: {photo:?}"),
        }
    }

    /// A worker with this labeler, `at_once` photos at a time.
    pub(super) fn worker(&self, events: Arc<dyn Events>, labeler: &Arc<Watched>, at_once: usize) -> Worker {
        self.worker_sweeping(events, labeler, Bounds { at_once, sweep_every: Duration::from_secs(1) })
    }

    /// The same, with the time between two sweeps.
    pub(super) fn worker_sweeping(&self, events: Arc<dyn Events>, labeler: &Arc<Watched>, bounds: Bounds) -> Worker {
        let labeler: Arc<dyn Labeler> = Arc::<Watched>::clone(labeler);
        let finisher = Arc::new(Finisher::with_lease(Arc::clone(&self.album), Some(labeler), LEASE));
        Worker::new(finisher, events, bounds)
    }

    pub(super) fn works(&self, events: Arc<dyn Events>, labeler: &Arc<Watched>, at_once: usize) -> Working {
        let stop = CancellationToken::new();
        Working { task: tokio::spawn(self.worker(events, labeler, at_once).run(stop.clone())), stop }
    }

    /// The photo as it is now.
    pub(super) async fn photo(&self, id: PhotoId) -> Option<Photo> {
        self.catalog.photo(&self.owner, id).await.unwrap()
    }

    /// Waits until a photo is labelled.
    pub(super) async fn labelled(&self, id: PhotoId) -> Photo {
        for _ in 0..600 {
            let photo = self.photo(id).await.unwrap();
            if photo.labelled_at.is_some() {
                return photo;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not labelled within 30 s: {:?}", self.photo(id).await);
    }

    /// Time passes: what waits is long overdue, and nobody sweeps.
    pub(super) async fn waited_long(&self) {
        self.run("UPDATE photo SET claimed_until = '2020-01-01 00:00:00' WHERE claimed_until IS NOT NULL".to_owned())
            .await;
        self.run("UPDATE lease SET held_until = '2020-01-01 00:00:00'".to_owned()).await;
    }

    /// Runs a statement behind the catalog's back.
    pub(super) async fn run(&self, statement: String) {
        let file = SqliteConnectOptions::new().filename(self.folder.path().join("catalog.db"));
        file.connect().await.unwrap().execute(AssertSqlSafe(statement)).await.unwrap();
    }
}

/// What is told of a photo.
pub(super) fn announcement(photo: &Photo) -> Announcement {
    Announcement {
        photo: photo.id,
        owner: photo.owner.clone(),
        original: photo.original.clone(),
        media_type: photo.media_type,
        bytes: photo.bytes,
        uploaded_at: photo.created_at,
    }
}

/// A worker at work.
pub(super) struct Working {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Working {
    /// Has it end in order.
    pub(super) async fn stopped(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A labeler that counts, takes its time, and fails or breaks down when it is told to.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) calls: AtomicUsize,
    pub(super) takes: Duration,
    pub(super) is_away: AtomicBool,
    pub(super) breaks_down: AtomicBool,
    /// The trace of each call.
    pub(super) traces: Mutex<Vec<Option<String>>>,
}

impl Watched {
    pub(super) fn taking(takes: Duration) -> Arc<Self> {
        Arc::new(Self { takes, ..Self::default() })
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Labeler for Watched {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let trace = trace::current().map(|trace| trace.trace_id().to_owned());
        self.traces.lock().unwrap().push(trace);
        tokio::time::sleep(self.takes).await;
        assert!(!self.breaks_down.swap(false, Ordering::SeqCst), "told to break down");
        if self.is_away.load(Ordering::SeqCst) {
            let retry_after = Some(Duration::from_millis(100));
            return Err(Unlabelled::NotNow { retry_after, cause: anyhow::anyhow!("away") });
        }
        Ok(Vec::new())
    }
}
