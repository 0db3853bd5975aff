//! The running program under what operators and machines do to it: stopped, killed, its disk full, its database or bucket away.

use std::{convert::Infallible, path::Path, time::Duration};

use bytes::Bytes;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::{pictures, process::Process};

const NO_LABELS: (&str, &str) = ("GALLERY__LABELER", "none");

/// The files below a folder, except what a living process keeps there.
fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(folder).unwrap().display().to_string())
        .filter(|file| !file.ends_with("/lock") && file != "in-use")
        .collect();
    files.sort();
    files
}

/// A form with one file, sent in two halves: the second when the returned sender is used.
pub(crate) fn in_two_halves(
    client: &reqwest::Client,
    url: &str,
    bytes: &[u8],
) -> (reqwest::RequestBuilder, tokio::sync::oneshot::Sender<()>) {
    let head = "--b\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"slow.jpg\"\r\n\r\n";
    let form = [head.as_bytes(), bytes, b"\r\n--b--\r\n"].concat();
    let (first, second) = form.split_at(form.len() / 2);
    let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let (go_on, told) = tokio::sync::oneshot::channel();
    let body = futures_util::stream::unfold((Some(first), Some((second, told))), |(first, rest)| async {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), (None, rest)));
        }
        let (second, told) = rest?;
        let _ = told.await;
        Some((Ok(second), (None, None)))
    });
    let request = client
        .post(format!("{url}/photos"))
        .header("accept", "application/json")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(reqwest::Body::wrap_stream(body));
    (request, go_on)
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_the_server_finishes_the_upload_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS]).await;
    let bytes = pictures::jpeg(800, 600, 1);
    let (request, go_on) = in_two_halves(&server.client, &server.url, &bytes);
    let sending = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.ask_to_stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let stranger = reqwest::Client::new().get(format!("{}/ping", server.url)).send().await;
    assert!(stranger.is_err(), "no new connections: {stranger:?}");
    go_on.send(()).unwrap();
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(server.ended().await);

    let server = Process::serve(folder.path(), &[NO_LABELS]).await;
    let photos = server.all().await;
    assert_eq!(photos.len(), 1);
    assert_eq!(server.fetched(&photos[0], "original").await, (StatusCode::OK, bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_fails_its_health_check_and_goes_on_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS, ("GALLERY__SERVER__DRAIN_SECONDS", "3")]).await;
    server.ask_to_stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, _) = server.json("/ping").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _) = server.json("/photos").await;
    assert_eq!(status, StatusCode::OK);
    server.uploaded("late.jpg", "", pictures::jpeg(64, 48, 1)).await;
    let began = std::time::Instant::now();
    assert!(server.ended().await);
    assert!(began.elapsed() > Duration::from_secs(1), "it drained for {:?}", began.elapsed());
}

#[expect(clippy::disallowed_methods, reason = "the test looks behind the catalog's back")]
async fn integrity(data: &Path) -> String {
    use sqlx::ConnectOptions as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("catalog.db"));
    let mut line = options.connect().await.unwrap();
    let (said,): (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut line).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_has_every_photo_it_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut answered: Vec<(String, String)> = Vec::new();
    for round in 0..6_u32 {
        let server = Process::serve(folder.path(), &[NO_LABELS]).await;
        let mut random = [0];
        getrandom::fill(&mut random).unwrap();
        let moment = Duration::from_millis(4 * u64::from(random[0]));
        println!("round {round}: killed {moment:?} after the first answer");
        let first = tokio::sync::Notify::new();
        let uploading = |lane: u32| {
            let (server, first) = (&server, &first);
            async move {
                let mut taken = Vec::new();
                for n in 0..500 {
                    let bytes = pictures::jpeg(640, 480, round * 100_000 + lane * 1000 + n);
                    let sha256 = hex::encode(Sha256::digest(&bytes));
                    let Some((status, line)) = server.try_upload("a.jpg", "", bytes).await else { break };
                    assert_eq!(status, StatusCode::CREATED, "{line}");
                    first.notify_one();
                    taken.push((line["photo"]["id"].as_str().unwrap().to_owned(), sha256));
                }
                taken
            }
        };
        let killing = async {
            let _ = tokio::time::timeout(Duration::from_secs(30), first.notified()).await;
            tokio::time::sleep(moment).await;
            server.kill();
        };
        let (one, two, three, ()) = tokio::join!(uploading(1), uploading(2), uploading(3), killing);
        answered.extend(one.into_iter().chain(two).chain(three));
    }
    let server = Process::serve(folder.path(), &[NO_LABELS]).await;
    assert!(answered.len() > 5, "only {} uploads were answered", answered.len());
    for (id, sha256) in &answered {
        let (status, photo) = server.json(&format!("/photos/{id}")).await;
        assert_eq!((status, photo["sha256"].as_str()), (StatusCode::OK, Some(sha256.as_str())));
    }
    let photos = server.all().await;
    assert!(photos.len() >= answered.len());
    for photo in &photos {
        let (status, original) = server.fetched(photo, "original").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(photo["sha256"], hex::encode(Sha256::digest(&original)));
        for rendition in ["display", "thumb"] {
            let (status, bytes) = server.fetched(photo, rendition).await;
            assert!(status == StatusCode::OK && bytes.ends_with(&[0xff, 0xd9]), "{photo}");
        }
        assert_eq!(server.settled(photo["id"].as_str().unwrap()).await["state"], "labelled");
    }
    println!("{} answered, {} listed", answered.len(), photos.len());
    assert!(files(&data.join("incoming")).is_empty(), "{:?}", files(&data.join("incoming")));
    assert!(files(&data.join("photos/tmp")).is_empty());
    assert!(server.terminate().await);
    assert_eq!(integrity(&data).await, "ok");
}

mod with_servers {
    use std::{io::Write as _, time::Instant};

    use tokio::{io::copy_bidirectional, net, task::JoinHandle};

    use super::{Duration, NO_LABELS, Path, Process, StatusCode, files, pictures};
    use crate::{aws, mariadb::Database, mariadb_server::Server};

    /// Fills the file system under `filler` and then frees `room` bytes.
    fn fill(filler: &Path, room: u64) {
        let mut file = std::fs::File::options().create(true).append(true).open(filler).unwrap();
        for piece in [1 << 16, 1 << 10] {
            while file.write_all(&vec![7; piece]).is_ok() {}
        }
        let full = file.metadata().unwrap().len();
        file.set_len(full.saturating_sub(room)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_refuses_uploads_and_nothing_else() {
        let disk = tempfile::tempdir_in(aws::server("TEST_SMALL_DISK")).unwrap();
        let data = disk.path().join("data");
        let folder = tempfile::tempdir().unwrap();
        let environment = [NO_LABELS, ("GALLERY__DATA", data.to_str().unwrap())];
        let mut server = Process::serve(folder.path(), &environment).await;
        let first = server.uploaded("first.jpg", "", pictures::jpeg(320, 240, 0)).await;
        server.settled(first["id"].as_str().unwrap()).await;
        let filler = disk.path().join("filler");
        let photo = pictures::jpeg(2000, 1500, 1);
        let (mut refused, mut kept) = (0, 1);
        for (seed, room) in (1..).zip([0, 4, 16, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072].map(|kb| kb << 10)) {
            fill(&filler, room);
            let mut bytes = photo.clone();
            bytes.extend_from_slice(&u32::to_be_bytes(seed));
            let (status, line) = server.try_upload("full.jpg", "", bytes).await.expect("an answer");
            match status {
                StatusCode::CREATED => kept += 1,
                StatusCode::INSUFFICIENT_STORAGE => {
                    refused += 1;
                    let told = line["problem"]["detail"].as_str().or(line["detail"].as_str());
                    assert!(told.is_some_and(|told| told.contains("no room left")), "{line}");
                }
                other => panic!("{other} with {room} bytes free: {line} {}", server.log()),
            }
            let stored = files(&data.join("photos"));
            assert_eq!(stored.len(), 3 * kept, "with {room} bytes free: {stored:?}");
            assert!(files(&data.join("incoming")).is_empty());
            let (status, listing) = server.json("/photos").await;
            assert_eq!((status, listing["photos"].as_array().unwrap().len()), (StatusCode::OK, kept));
            assert_eq!(server.fetched(&first, "display").await.0, StatusCode::OK);
        }
        println!("a photo of {} bytes: {refused} refused, {kept} kept", photo.len());
        assert!(refused >= 3, "the disk was full for {refused} uploads only");
        std::fs::remove_file(&filler).unwrap();
        server.uploaded("room.jpg", "", pictures::jpeg(320, 240, 99)).await;
        assert!(server.is_alive());
        assert!(server.terminate().await);
        assert_eq!(super::integrity(&data).await, "ok");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_dies_is_503_until_it_is_back() {
        let mut mariadb = Server::new();
        let began = Instant::now();
        while net::TcpStream::connect(("127.0.0.1", mariadb.port)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "MariaDB comes up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let charset = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        let database = Database::at("127.0.0.1".to_owned(), mariadb.port, charset).await;
        database.migrate("web_user", "secret");
        let own = database.gallery("web_user", "secret");
        let environment: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, value.as_str())).chain([NO_LABELS]).collect();
        let folder = tempfile::tempdir().unwrap();
        let server = Process::serve(folder.path(), &environment).await;
        let photo = server.uploaded("a.jpg", "", pictures::jpeg(320, 240, 1)).await;
        server.settled(photo["id"].as_str().unwrap()).await;

        mariadb.kill();
        for path in ["/photos", "/labels", &format!("/photos/{}", photo["id"].as_str().unwrap())] {
            let began = Instant::now();
            let page = server.client.get(format!("{}{path}", server.url)).header("accept", "text/html");
            let page = page.send().await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(5), "{path} took {:?}", began.elapsed());
            assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(page.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
            assert!(page.text().await.unwrap().contains("Please try again shortly"));
        }
        let (status, refusal) = server.try_upload("b.jpg", "", pictures::jpeg(320, 240, 2)).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);

        mariadb.start();
        let began = Instant::now();
        while server.json("/photos").await.0 != StatusCode::OK {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", server.log());
        }
        println!("back {:?} after MariaDB was started again", began.elapsed());
        let photo = server.uploaded("b.jpg", "", pictures::jpeg(320, 240, 2)).await;
        assert_eq!(server.settled(photo["id"].as_str().unwrap()).await["state"], "labelled");
        assert_eq!(server.all().await.len(), 2);
        assert!(server.terminate().await);
    }

    /// Passes connections on to `to` until it is aborted, which also ends them.
    async fn passing(listener: net::TcpListener, to: String) {
        let mut lines = tokio::task::JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            let to = to.clone();
            lines.spawn(async move {
                let mut there = net::TcpStream::connect(to).await?;
                copy_bidirectional(&mut from, &mut there).await
            });
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_that_is_away_stops_uploads_and_not_the_timeline() {
        let seaweedfs = aws::server("TEST_SEAWEEDFS");
        let bucket = format!("away-{}", chrono::Utc::now().timestamp_micros());
        let (s3, _) = aws::s3(&seaweedfs, aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let to = seaweedfs.trim_start_matches("http://").to_owned();
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let line: JoinHandle<()> = tokio::spawn(passing(listener, to.clone()));
        let endpoint = format!("http://{at}");
        let environment = [
            NO_LABELS,
            ("GALLERY__STORE__S3__BUCKET", bucket.as_str()),
            ("GALLERY__STORE__S3__ENDPOINT", &endpoint),
            ("AWS_REGION", aws::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let server = Process::serve(folder.path(), &environment).await;
        let photo = server.uploaded("a.jpg", "", pictures::jpeg(320, 240, 1)).await;
        server.settled(photo["id"].as_str().unwrap()).await;

        line.abort();
        let _ = line.await;
        let began = Instant::now();
        let (status, refusal) = server.try_upload("b.jpg", "", pictures::jpeg(320, 240, 2)).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
        println!("the upload was refused after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10));
        let page = server.client.get(format!("{}/photos", server.url)).header("accept", "text/html").send().await;
        let page = page.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        assert!(page.text().await.unwrap().contains(photo["id"].as_str().unwrap()));
        assert_eq!(server.all().await.len(), 1);
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);

        let line = tokio::spawn(passing(net::TcpListener::bind(at).await.unwrap(), to));
        server.uploaded("b.jpg", "", pictures::jpeg(320, 240, 2)).await;
        assert_eq!(server.all().await.len(), 2);
        let listed = s3.list_objects_v2().bucket(&bucket).send().await.unwrap();
        assert_eq!(listed.contents().len(), 6);
        assert!(server.terminate().await);
        line.abort();
    }
}
