//! The gallery that faults are done to: the program in processes of its own, on this machine alone or on a database and a bucket.

use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use std::{
    collections::HashMap,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{
    aws,
    events::queue::Queues,
    mariadb::Database,
    process::{self, Process},
};

/// A gallery without accounts, whose processes may be started and killed as often as wanted.
pub(crate) struct Gallery {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    data: Option<PathBuf>,
    pub(crate) database: Option<Database>,
    pub(crate) bucket: Option<String>,
}

impl Gallery {
    /// SQLite and a folder.
    pub(crate) fn on_this_machine() -> Self {
        let settings = [("GALLERY__IDENTITY", "none"), ("GALLERY__LABELER", "none"), ("GALLERY__LOG__FILTER", "info")];
        let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { folder: tempfile::tempdir().unwrap(), settings, data: None, database: None, bucket: None }
    }

    /// MariaDB and a folder.
    pub(crate) async fn on_database() -> Self {
        let mut gallery = Self::on_this_machine();
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let user = format!("faults_{}", database.name.rsplit('_').next().unwrap());
        database.migrate(&user, "secret");
        gallery.settings.extend(database.gallery(&user, "secret"));
        gallery.database = Some(database);
        gallery.and("GALLERY__SESSION__SECRET", "the same secret on all instances")
    }

    /// MariaDB and SeaweedFS.
    pub(crate) async fn on_servers() -> Self {
        let mut gallery = Self::on_database().await;
        let bucket = format!("faults-{}", uuid::Uuid::now_v7().simple());
        let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        gallery = gallery
            .and("GALLERY__STORE__S3__BUCKET", &bucket)
            .and("GALLERY__STORE__S3__ENDPOINT", &aws::server("TEST_SEAWEEDFS"))
            .and("AWS_ACCESS_KEY_ID", "test")
            .and("AWS_SECRET_ACCESS_KEY", "test")
            .and("AWS_REGION", aws::REGION);
        gallery.bucket = Some(bucket);
        gallery
    }

    /// The same gallery with one more setting, or another value of one.
    pub(crate) fn and(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(set, _)| *set != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Labels from a server that speaks Rekognition's protocol.
    pub(crate) fn labelled_by(self, endpoint: &str) -> Self {
        self.and("GALLERY__LABELER", "rekognition")
            .and("GALLERY__LABELER__REKOGNITION__ENDPOINT", endpoint)
            .and("AWS_ACCESS_KEY_ID", "test")
            .and("AWS_SECRET_ACCESS_KEY", "test")
            .and("AWS_REGION", aws::REGION)
    }

    /// Uploads are told through a topic and a queue; who dies over a message loses it after six seconds.
    pub(crate) fn told_by(self, queues: &Queues) -> Self {
        self.and("GALLERY__EVENTS__AWS__TOPIC_ARN", &queues.topic)
            .and("GALLERY__EVENTS__AWS__QUEUE_URL", &queues.queue)
            .and("GALLERY__EVENTS__AWS__ENDPOINT", &aws::server("TEST_MINISTACK"))
            .and("GALLERY__EVENTS__AWS__WAIT_SECONDS", "2")
            .and("GALLERY__EVENTS__AWS__VISIBILITY_SECONDS", "6")
            .and("GALLERY__WORKER__SWEEP_MINUTES", "1")
    }

    /// Calls to AWS are given up after so many seconds: one to connect, `attempt` for a try, `operation` with all tries.
    pub(crate) fn patient_for(self, attempt: u64, operation: u64) -> Self {
        self.and("GALLERY__AWS__CONNECT_TIMEOUT_SECONDS", "1")
            .and("GALLERY__AWS__ATTEMPT_TIMEOUT_SECONDS", &attempt.to_string())
            .and("GALLERY__AWS__OPERATION_TIMEOUT_SECONDS", &operation.to_string())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder in which the first process keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// Its data lie elsewhere.
    pub(crate) fn with_data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self.and("GALLERY__DATA", folder.to_str().unwrap())
    }

    /// How many files of uploads wait on the disk.
    pub(crate) fn incoming(&self) -> usize {
        let files = walkdir::WalkDir::new(self.data().join("incoming")).into_iter().flatten();
        files.filter(|entry| entry.file_type().is_file() && entry.file_name() != "lock").count()
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings.clone()
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The settings as an environment, for what runs within the test.
    pub(crate) fn settings_for_an_app(&self) -> Vec<(OsString, OsString)> {
        let own = self.settings.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        own.chain([("GALLERY__DATA".into(), self.data().into())]).collect()
    }

    /// What lies in the store.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let Some(bucket) = &self.bucket else {
            let files = walkdir::WalkDir::new(self.data().join("photos")).into_iter().flatten();
            let files = files.filter(|entry| entry.file_type().is_file() && entry.file_name() != "in-use");
            return files.map(|entry| entry.path().display().to_string()).collect();
        };
        let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
        let listed = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    /// Starts a server.
    pub(crate) async fn serve(&self) -> Process {
        Process::start(self.folder.path(), &self.environment()).await
    }

    /// Starts a server that leaves the work to others.
    pub(crate) async fn serve_only(&self) -> Process {
        let mut environment = self.environment();
        environment.push(("GALLERY__WORKER__BESIDE_SERVER", "false"));
        Process::start(self.folder.path(), &environment).await
    }

    /// Starts a worker.
    pub(crate) fn work(&self) -> Worker {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = self.folder.path().join(format!("work-{number}"));
        let mut command = process::program(self.folder.path());
        command.arg("work").envs(self.environment());
        let child = command.stdin(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Worker { child, log }
    }

    /// What the gallery's own audit finds, down to every byte: nothing.
    pub(crate) async fn check_clean(&self) {
        let (folder, environment) = (self.folder.path().to_owned(), self.settings.clone());
        let audit = tokio::task::spawn_blocking(move || {
            let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
            process::run(&folder, &["check", "--deep", "--json"], &environment, "")
        });
        let output = audit.await.unwrap();
        let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "the audit: {} {said} {log}", output.status);
    }

    /// The time passes that the leases of a killed worker have left: what it held can be taken up at once.
    pub(crate) async fn leases_end(&self) {
        let ended = "UPDATE photo SET claimed_until = '2020-01-01 00:00:00' WHERE claimed_until IS NOT NULL; \
                     UPDATE content_label SET asking_until = '2020-01-01 00:00:00' WHERE asking_until IS NOT NULL; \
                     UPDATE lease SET held_until = '2020-01-01 00:00:00'";
        if let Some(database) = &self.database {
            return database.run(ended).await;
        }
        let options = SqliteConnectOptions::new().filename(self.data().join("catalog.db"));
        options.connect().await.unwrap().execute(ended).await.unwrap();
    }

    /// Ends the gallery, and drops what it has on servers.
    pub(crate) async fn gone(self) {
        if let Some(database) = self.database {
            database.gone().await;
        }
    }
}

/// A running `photo-gallery work`. Dropping it kills it.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&self) {
        // It may be dead already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client knows: which files were answered as kept, and which as refused.
#[derive(Default)]
pub(crate) struct Ledger {
    kept: Mutex<HashMap<String, String>>,
    refused: Mutex<Vec<String>>,
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Ledger {
    /// Uploads once, and writes the answer down; `None` when there was none.
    pub(crate) async fn upload(&self, server: &Process, bytes: &[u8]) -> Option<StatusCode> {
        let (status, line) = server.try_upload("a.jpg", "", bytes.to_vec()).await?;
        let sha256 = sha256(bytes);
        if status.is_success() {
            assert_eq!(line["photo"]["sha256"].as_str(), Some(sha256.as_str()), "{line}");
            let id = line["photo"]["id"].as_str().unwrap().to_owned();
            let before = self.kept.lock().unwrap().insert(sha256, id.clone());
            assert!(before.is_none_or(|before| before == id), "one file is one photo");
        } else if status.is_client_error() {
            self.refused.lock().unwrap().push(sha256);
        }
        Some(status)
    }

    /// Uploads a new file, which must be kept; the photo's id.
    pub(crate) async fn uploaded(&self, server: &Process, bytes: &[u8]) -> String {
        assert_eq!(self.upload(server, bytes).await, Some(StatusCode::CREATED), "{}", server.log());
        self.kept.lock().unwrap()[&sha256(bytes)].clone()
    }

    /// Uploads until it is kept, as a patient client does, within `patience`.
    pub(crate) async fn upload_at_last(&self, server: &Process, bytes: &[u8], patience: Duration) -> u32 {
        let began = Instant::now();
        for tries in 1.. {
            match self.upload(server, bytes).await {
                Some(status) if status.is_success() => return tries,
                Some(status) => assert!(status.is_server_error(), "{status}"),
                None => {}
            }
            assert!(began.elapsed() < patience, "not kept after {tries} tries: {}", server.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("there are more numbers")
    }

    /// How many files were answered as kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    /// Every file answered as kept is listed, once, with its own bytes and sound renditions; none answered as refused is.
    pub(crate) async fn holds(&self, server: &Process) -> Vec<Value> {
        let photos = server.all().await;
        let mut listed: HashMap<&str, Vec<&Value>> = HashMap::new();
        for photo in &photos {
            listed.entry(photo["sha256"].as_str().unwrap()).or_default().push(photo);
        }
        for (sha256, id) in &*self.kept.lock().unwrap() {
            let found =
                listed.get(sha256.as_str()).unwrap_or_else(|| panic!("photo {id} was answered for and is lost"));
            assert_eq!(found.len(), 1, "{sha256} is listed more than once");
            assert_eq!(found[0]["id"].as_str(), Some(id.as_str()));
        }
        for sha256 in &*self.refused.lock().unwrap() {
            assert!(!listed.contains_key(sha256.as_str()), "{sha256} was refused and is listed");
        }
        stream::iter(&photos).for_each_concurrent(8, |photo| whole(server, photo)).await;
        photos
    }
}

/// A listed photo has all its bytes.
async fn whole(server: &Process, photo: &Value) {
    let (status, original) = server.fetched(photo, "original").await;
    assert_eq!((status, photo["sha256"].as_str()), (StatusCode::OK, Some(sha256(&original).as_str())), "{photo}");
    for rendition in ["display", "thumb"] {
        let (status, bytes) = server.fetched(photo, rendition).await;
        assert!(status == StatusCode::OK && bytes.ends_with(&[0xff, 0xd9]), "{status} {photo}");
    }
}
