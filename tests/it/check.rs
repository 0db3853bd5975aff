//! The operator's check: each thing that can be wrong is caused once, said, and set right where it can be; on a folder with SQLite, and on a
//! bucket with MariaDB.
#![expect(clippy::disallowed_methods, reason = "tests look behind the catalog's back")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::Utc;
use photo_gallery::photo::{MediaType, ObjectPath, PhotoId, Rendition};
use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    aws,
    mariadb::Database,
    pictures,
    process::{Process, run},
};

mod memory;
mod objects;
mod rows;

const BEA: &str = "bea@example.org";

/// A gallery, and the way behind its back.
struct Gallery {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    database: Option<Database>,
    bucket: Option<(aws_sdk_s3::Client, String)>,
}

/// What a check said.
#[derive(Debug)]
struct Checked {
    code: Option<i32>,
    told: Value,
}

impl Checked {
    /// How many findings there are of each kind, and how many of them were set right.
    fn kinds(&self) -> BTreeMap<String, (usize, usize)> {
        let mut kinds = BTreeMap::new();
        for finding in self.told["findings"].as_array().unwrap() {
            let kind: &mut (usize, usize) = kinds.entry(finding["kind"].as_str().unwrap().to_owned()).or_default();
            kind.0 += 1;
            kind.1 += usize::from(finding["repaired"].as_bool().unwrap());
        }
        kinds
    }

    /// Nothing is wrong.
    #[track_caller]
    fn clean(self) -> Value {
        assert_eq!((self.code, &self.told["findings"]), (Some(0), &Value::Array(vec![])), "{}", self.told);
        assert_eq!(self.told["remaining"], 0);
        self.told
    }

    /// The sentence of the one finding of this kind about this photo.
    #[track_caller]
    fn detail(&self, kind: &str, photo: &str) -> &str {
        let findings = self.told["findings"].as_array().unwrap();
        let mut those = findings.iter().filter(|finding| finding["kind"] == kind && finding["photo"] == photo);
        let one = those.next().unwrap_or_else(|| panic!("no {kind} of {photo}: {}", self.told));
        assert!(those.next().is_none(), "{}", self.told);
        one["detail"].as_str().unwrap()
    }
}

/// Findings by kind, none of them set right.
fn found<const N: usize>(kinds: [(&str, usize); N]) -> BTreeMap<String, (usize, usize)> {
    kinds.into_iter().map(|(kind, count)| (kind.to_owned(), (count, 0))).collect()
}

impl Gallery {
    fn on_disk() -> Self {
        let environment = vec![("GALLERY__LABELER", "none".to_owned())];
        Self { folder: tempfile::tempdir().unwrap(), environment, database: None, bucket: None }
    }

    async fn on_servers() -> Self {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let user = format!("check_{}", database.name.rsplit('_').next().unwrap());
        database.migrate(&user, "it password");
        let bucket = format!("check-{}", Utc::now().timestamp_micros());
        let endpoint = aws::server("TEST_SEAWEEDFS");
        let (s3, _) = aws::s3(&endpoint, aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let mut environment = database.gallery(&user, "it password");
        environment.extend([
            ("GALLERY__LABELER", "none".to_owned()),
            ("GALLERY__SESSION__SECRET", "the same secret for all".to_owned()),
            ("GALLERY__STORE__S3__BUCKET", bucket.clone()),
            ("GALLERY__STORE__S3__ENDPOINT", endpoint),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", aws::REGION.to_owned()),
        ]);
        let folder = tempfile::tempdir().unwrap();
        Self { folder, environment, database: Some(database), bucket: Some((s3, bucket)) }
    }

    /// The same gallery with other settings.
    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Serves it, with a worker, to the first account.
    async fn served(&self) -> Process {
        Process::serve(self.folder.path(), &self.environment()).await
    }

    /// Uploads so many pictures, waits until they are finished and stops; their ids.
    async fn with_photos(&self, photos: u32) -> Vec<String> {
        let process = self.served().await;
        let mut ids = Vec::new();
        for seed in 0..photos {
            let bytes = pictures::jpeg(640, 480, seed);
            let photo = process.uploaded("grandmother.jpg", "in the garden", bytes).await;
            ids.push(photo["id"].as_str().unwrap().to_owned());
        }
        for id in &ids {
            process.settled(id).await;
        }
        assert!(process.terminate().await);
        ids
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let arguments: Vec<&str> = ["check"].into_iter().chain(arguments.iter().copied()).collect();
        run(self.folder.path(), &arguments, &self.environment(), "")
    }

    /// `photo-gallery check --json` with more arguments.
    #[track_caller]
    fn check(&self, arguments: &[&str]) -> Checked {
        let arguments: Vec<&str> = ["--json"].into_iter().chain(arguments.iter().copied()).collect();
        let output = self.output(&arguments);
        let told = String::from_utf8(output.stdout).unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        let told = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told} {log}"));
        Checked { code: output.status.code(), told }
    }

    /// Statements behind the catalog's back; those for one engine alone begin with its name.
    async fn sql(&self, statements: &[&str]) {
        for statement in statements {
            match (&self.database, statement.split_once(": ")) {
                (Some(database), Some(("mysql", statement))) => database.run(statement).await,
                (Some(_), Some(("sqlite", _))) | (None, Some(("mysql", _))) => {}
                (None, Some(("sqlite", statement))) => self.sqlite(statement).await,
                (Some(database), _) => database.run(statement).await,
                (None, _) => self.sqlite(statement).await,
            }
        }
    }

    async fn sqlite(&self, statement: &str) {
        let file = self.folder.path().join("data/catalog.db");
        let mut line = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        line.execute(AssertSqlSafe(statement.to_owned())).await.expect(statement);
        line.close().await.unwrap();
    }

    /// Where an object lies on the disk.
    fn file(&self, path: &ObjectPath) -> PathBuf {
        file_of(self.folder.path(), path)
    }

    async fn object(&self, path: &ObjectPath) -> Option<Vec<u8>> {
        match &self.bucket {
            None => fs::read(self.file(path)).ok(),
            Some((s3, bucket)) => {
                let answer = s3.get_object().bucket(bucket).key(path.as_str()).send().await.ok()?;
                Some(answer.body.collect().await.unwrap().to_vec())
            }
        }
    }

    async fn put(&self, path: &ObjectPath, bytes: Vec<u8>) {
        match &self.bucket {
            None => {
                let file = self.file(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, bytes).unwrap();
            }
            Some((s3, bucket)) => {
                s3.put_object().bucket(bucket).key(path.as_str()).body(bytes.into()).send().await.unwrap();
            }
        }
    }

    async fn remove(&self, path: &ObjectPath) {
        match &self.bucket {
            None => fs::remove_file(self.file(path)).unwrap(),
            Some((s3, bucket)) => {
                s3.delete_object().bucket(bucket).key(path.as_str()).send().await.unwrap();
            }
        }
    }

    /// Changes an object's bytes; how it was before.
    async fn change(&self, path: &ObjectPath, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let before = self.object(path).await.unwrap();
        let mut after = before.clone();
        change(&mut after);
        assert_ne!(before, after);
        self.put(path, after).await;
        before
    }

    async fn gone(self) {
        if let Some(database) = self.database {
            database.gone().await;
        }
    }
}

/// Where an object lies in a gallery's folder.
fn file_of(folder: &Path, path: &ObjectPath) -> PathBuf {
    let hash = hex::encode(Sha256::digest(path.as_str()));
    folder.join("data/photos").join(&hash[..2]).join(path.as_str().replace('/', "%2F"))
}

fn two_days_old(file: &Path) {
    modified(file, SystemTime::now() - Duration::from_hours(48));
}

fn modified(file: &Path, then: SystemTime) {
    fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

fn original(id: &str) -> ObjectPath {
    ObjectPath::original(id.parse().unwrap(), MediaType::Jpeg)
}

fn rendition(id: &str, size: Rendition) -> ObjectPath {
    ObjectPath::rendition(id.parse().unwrap(), size).unwrap()
}

/// Uploads, labels, descriptions, deletions, photos of an earlier app, accounts that come and go: all of it leaves a gallery in order.
async fn a_mixed_life_leaves_nothing_to_find(mut gallery: Gallery) {
    gallery.set("GALLERY__LABELER", "builtin");
    let cat = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/chelsea.jpg")).unwrap();
    let process = gallery.served().await;
    let kept = process.uploaded("cat.jpg", "a cat's day", cat.clone()).await["id"].as_str().unwrap().to_owned();
    let gone = process.uploaded("gone.jpg", "", pictures::jpeg(900, 600, 1)).await["id"].as_str().unwrap().to_owned();
    for (format, name) in [(image::ImageFormat::Png, "a.png"), (image::ImageFormat::WebP, "b.webp")] {
        process.uploaded(name, "", pictures::encoded(format, 700, 501, 3)).await;
    }
    let key: ObjectPath = "photos/0123456789abcdef.png".parse().unwrap();
    gallery.put(&key, pictures::encoded(image::ImageFormat::Png, 300, 200, 4)).await;
    let course = "INSERT INTO photo (object_key, labels, description, created_datetime) \
         VALUES ('photos/0123456789abcdef.png', 'Toy, Dog,Person', 'by the course', '2018-05-06 07:08:09')";
    gallery.sql(&[course]).await;

    process.sign_up(BEA).await;
    let bea = process.visit(&process.signed_in(BEA).await);
    let hers = bea.uploaded("hers.jpg", cat).await["id"].as_str().unwrap().to_owned();
    let settled = process.settled(&kept).await;
    assert!(settled["labels"].as_array().is_some_and(|labels| !labels.is_empty()), "{settled}");
    bea.settled(&hers).await;
    let visit = &process.client;
    let described =
        visit.post(format!("{}/photos/{kept}/description", process.url)).form(&[("description", "grandmother's cat")]);
    assert!(described.send().await.unwrap().status().as_u16() < 400);
    let deleted = visit.post(format!("{}/photos/{gone}/delete", process.url)).send().await.unwrap();
    assert!(deleted.status().as_u16() < 400, "{}", deleted.status());
    for _ in 0..400 {
        let photos = process.all().await;
        if photos.len() >= 4 && photos.iter().all(|photo| photo["state"] == "labelled") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gallery.check(&["--deep"]).clean();

    let output = run(gallery.folder.path(), &["account", "remove", BEA, "--yes"], &gallery.environment(), "");
    assert!(output.status.success(), "{output:?}");
    let told = gallery.check(&["--deep"]).clean();
    let photos = process.all().await.len();
    assert_eq!(told["checked"]["photos"], photos, "{told}");
    assert_eq!(told["checked"]["objects"], 3 * photos, "{told}");
    assert_eq!(told["checked"]["originals_read"], photos, "{told}");
    assert_eq!((&told["checked"]["failed"], &told["checked"]["quarantined"]), (&0.into(), &0.into()), "{told}");
    assert!(process.terminate().await);
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_life_leaves_nothing_to_find_on_sqlite_and_disk() {
    a_mixed_life_leaves_nothing_to_find(Gallery::on_disk()).await;
}

/// What is halfway in or out at the moment of looking is no finding.
async fn what_comes_and_goes_meanwhile_is_no_finding(gallery: Gallery) {
    let gallery = Arc::new(gallery);
    let process = gallery.served().await;
    for seed in 0..20 {
        process.uploaded("before.jpg", "before", pictures::jpeg(200, 150, seed)).await;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let living = async |seed: u32| {
        let (mut seed, mut lived) = (seed, 0);
        while !stop.is_cancelled() {
            let photo = process.uploaded("meanwhile.jpg", "in the garden", pictures::jpeg(200, 150, seed)).await;
            let deleting =
                process.client.post(format!("{}/photos/{}/delete", process.url, photo["id"].as_str().unwrap()));
            if seed.is_multiple_of(3) {
                assert!(deleting.send().await.unwrap().status().as_u16() < 400);
            }
            (seed, lived) = (seed + 1, lived + 1);
        }
        lived
    };
    let checking = async {
        let _stops = stop.clone().drop_guard();
        for arguments in [&["--deep"][..], &[], &["--deep", "--repair"], &["--repair"]] {
            let gallery = Arc::clone(&gallery);
            let checked = tokio::task::spawn_blocking(move || gallery.check(arguments)).await.unwrap();
            checked.clean();
        }
    };
    let (one, two, ()) = tokio::join!(living(1000), living(5000), checking);
    assert!(one + two > 6, "hardly anything happened meanwhile: {one} and {two} uploads");
    assert!(process.terminate().await);
    Arc::into_inner(gallery).unwrap().gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_and_goes_meanwhile_is_no_finding_on_sqlite_and_disk() {
    what_comes_and_goes_meanwhile_is_no_finding(Gallery::on_disk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_say_what_is_wrong_and_how_it_ends() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    let output = gallery.output(&[]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{told} {:?}", String::from_utf8(output.stderr));
    assert!(told.starts_with("1 photo and 3 objects of "), "{told}");
    assert!(told.ends_with(" are checked: nothing is wrong.\n") && told.lines().count() == 1, "{told}");

    gallery.remove(&original(&ids[0])).await;
    let output = gallery.output(&[]);
    let (told, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(log, "photo-gallery: 1 finding remains\n");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "The original of photo {0}, photos/{0}.jpg, is missing in the store. Put the file back from a backup of the store; \
             `--repair` marks the photo, so that its page says so.",
            ids[0]
        )
    );
    assert!(lines.len() == 2 && lines[1].ends_with(" are checked: 1 found."), "{told}");
}

#[test]
fn a_check_that_cannot_be_made_says_nothing_about_the_gallery() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("data/photos")).unwrap();
    let nobody = crate::process::free_port().to_string();
    let environment = [
        ("GALLERY__CATALOG__MYSQL__HOST", "127.0.0.1"),
        ("GALLERY__CATALOG__MYSQL__PORT", nobody.as_str()),
        ("GALLERY__CATALOG__MYSQL__PASSWORD", "secret"),
        ("GALLERY__SESSION__SECRET", "the same secret for all"),
    ];
    for arguments in [&["check"][..], &["check", "--json"]] {
        let output = run(folder.path(), arguments, &environment, "");
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{log}");
        assert!(log.starts_with("photo-gallery: the check could not be made, so nothing is said about"), "{log}");
        assert!(log.contains(&format!("127.0.0.1:{nobody}")) && log.lines().count() == 1, "{log}");
    }
}

/// Neither in a folder where there never was one, nor where the disk of the photos is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_makes_no_gallery_where_there_is_none() {
    let gallery = Gallery::on_disk();
    let refused = || {
        for arguments in [&[][..], &["--repair"]] {
            let output = gallery.output(arguments);
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{log}");
            assert!(log.contains("there is no gallery here, for ") && log.lines().count() == 1, "{log}");
        }
    };
    refused();
    assert_eq!(fs::read_dir(gallery.folder.path()).unwrap().count(), 0);
    gallery.with_photos(1).await;
    let (photos, away) = (gallery.folder.path().join("data/photos"), gallery.folder.path().join("away"));
    fs::rename(&photos, &away).unwrap();
    refused();
    assert!(!photos.exists());
    fs::rename(&away, &photos).unwrap();
    gallery.check(&["--deep"]).clean();
}

/// A check by another version than the one that serves leaves the tables as they are, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_version_are_a_finding_and_stay_as_they_are() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    let last = "(SELECT MAX(version) FROM _sqlx_migrations WHERE version < 9000)";
    for (change, says) in [
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9001, 'later', TRUE, x'00', 0), (9002, 'later', TRUE, x'00', 0)"
                .to_owned(),
            "of a newer version, 2 migrations ahead.",
        ),
        (format!("DELETE FROM _sqlx_migrations WHERE version = {last}"), "of an older version, 1 migration behind."),
    ] {
        gallery.sql(&[&change]).await;
        for arguments in [&[][..], &["--deep", "--repair"]] {
            let checked = gallery.check(arguments);
            assert_eq!((checked.code, checked.kinds()), (Some(1), found([("schema", 1)])), "{}", checked.told);
            assert!(checked.told.to_string().contains(says), "{}", checked.told);
        }
    }
}

/// Two that repair would each set a count right.
#[tokio::test(flavor = "multi_thread")]
async fn one_repairs_at_a_time_and_leases_held_too_long_are_given_up() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    let soon = (Utc::now() + chrono::TimeDelta::minutes(1)).format("%Y-%m-%d %H:%M:%S");
    gallery
        .sql(&[&format!("INSERT INTO lease (name, holder, held_until) VALUES ('repair', 'another', '{soon}')")])
        .await;
    gallery.check(&[]).clean();
    let output = gallery.output(&["--repair"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{log}");
    assert!(log.contains("another `check --repair` is at work on this gallery"), "{log}");
    gallery
        .sql(&[
            "UPDATE lease SET held_until = '2020-01-01 00:00:00' WHERE name = 'repair'",
            "DELETE FROM lease WHERE name = 'sweep'",
            "INSERT INTO lease (name, holder, held_until) VALUES ('sweep', 'a fast clock', '2099-01-01 00:00:00')",
        ])
        .await;
    let checked = gallery.check(&[]);
    assert_eq!(checked.kinds(), found([("lease", 1)]), "{}", checked.told);
    let repaired = gallery.check(&["--repair"]);
    assert_eq!((repaired.code, repaired.kinds()["lease"]), (Some(0), (1, 1)), "{}", repaired.told);
    gallery.check(&[]).clean();
}

mod with_servers {
    use super::*;
    use crate::events::queue::Queues;

    #[tokio::test(flavor = "multi_thread")]
    async fn messages_that_were_given_up_are_a_finding_and_messages_that_wait_are_none() {
        let queues = Queues::new().await;
        let mut gallery = Gallery::on_disk();
        for (name, value) in [
            ("GALLERY__EVENTS__AWS__TOPIC_ARN", queues.topic.as_str()),
            ("GALLERY__EVENTS__AWS__QUEUE_URL", queues.queue.as_str()),
            ("GALLERY__EVENTS__AWS__ENDPOINT", aws::server("TEST_MINISTACK").as_str()),
            ("GALLERY__EVENTS__AWS__WAIT_SECONDS", "1"),
            ("AWS_REGION", aws::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ] {
            gallery.set(name, value);
        }
        gallery.with_photos(1).await;
        queues.emptied().await;
        queues.send(["{}".to_owned()]).await;
        let told = gallery.check(&[]).clean();
        let queue = &told["checked"]["queue"];
        // The worker that stopped may have asked for it still.
        let left = queue["waiting"].as_u64().unwrap() + queue["in_hand"].as_u64().unwrap();
        assert_eq!((left, &queue["dead"]), (1, &0.into()), "{told}");
        queues.sqs.send_message().queue_url(&queues.dead).message_body("poison").send().await.unwrap();
        let checked = gallery.check(&["--repair"]);
        assert_eq!((checked.code, checked.kinds()), (Some(1), found([("dead_letters", 1)])), "{}", checked.told);
        assert_eq!(checked.told["checked"]["queue_note"], Value::Null);
        assert!(checked.told.to_string().contains("1 message lies in the dead-letter queue."), "{}", checked.told);
    }

    /// Dead letters that nobody can count are not none.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_that_cannot_tell_of_dead_letters_is_a_finding() {
        let queues = Queues::new().await;
        let mut gallery = Gallery::on_disk();
        gallery.with_photos(1).await;
        for (name, value) in queues.settings() {
            gallery.set(name, &value);
        }
        let alone = queues.sqs.create_queue().queue_name(format!("{}-alone", queues.name)).send().await.unwrap();
        for (queue, depth) in [(alone.queue_url.unwrap(), true), (format!("{}-nowhere", queues.queue), false)] {
            gallery.set("GALLERY__EVENTS__AWS__QUEUE_URL", &queue);
            let checked = gallery.check(&[]);
            assert_eq!((checked.code, checked.kinds()), (Some(1), found([("queue_unseen", 1)])), "{}", checked.told);
            let sums = &checked.told["checked"];
            assert_eq!((sums["queue"].is_object(), sums["queue"]["dead"].is_null()), (depth, true), "{}", checked.told);
            assert!(sums["queue_note"].is_string(), "{}", checked.told);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_mixed_life_leaves_nothing_to_find_on_mariadb_and_a_bucket() {
        a_mixed_life_leaves_nothing_to_find(Gallery::on_servers().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_comes_and_goes_meanwhile_is_no_finding_on_mariadb_and_a_bucket() {
        what_comes_and_goes_meanwhile_is_no_finding(Gallery::on_servers().await).await;
    }
}
