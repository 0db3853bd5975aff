//! What `/readyz` tells operators, and a start without the database or the bucket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{pictures, process::Process, site::Site};

/// Waits until `/readyz` answers `status` and `told` says yes to it.
pub(crate) async fn becomes(url: &str, status: StatusCode, told: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..200 {
        if let Ok(answer) = reqwest::get(format!("{url}/readyz")).await {
            let (found, report) = (answer.status(), answer.json::<Value>().await.unwrap());
            if found == status && told(&report) {
                return report;
            }
            last = report;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not {status}: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_that_can_do_its_work_says_so_in_words() {
    let site = Site::new().await;
    let mut report = becomes(&site.url, StatusCode::OK, |report| report["worker"] == "running").await;
    assert!(report.as_object_mut().unwrap().remove("panics").unwrap().is_u64());
    let told = json!({
        "status": "ready", "database": "up", "schema": "current", "store": "up", "queue": "in process",
        "draining": false, "worker": "running", "sweep": "running",
    });
    assert_eq!(report, told);
    let answer = site.nobody().page("/readyz").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let strangers = ["x-forwarded-for", "forwarded", "via"];
    for name in strangers {
        let asked = site.ask(reqwest::Method::GET, "/readyz").header(name, "127.0.0.1");
        assert_eq!(asked.send().await.unwrap().json::<Value>().await.unwrap(), json!({"status": "ready"}), "{name}");
    }
    let idle = Site::without_worker().await;
    becomes(&idle.url, StatusCode::OK, |report| report["worker"] == "off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_about_to_stop_is_not_ready_and_goes_on() {
    let site = Site::new().await;
    site.app.draining().cancel();
    let report = becomes(&site.url, StatusCode::SERVICE_UNAVAILABLE, |report| report["draining"] == true).await;
    assert_eq!((report["status"].as_str(), report["database"].as_str()), (Some("not ready"), Some("up")));
    assert_eq!(site.json("/ping").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let page = site.page("/photos").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["connection"], "close");
    site.uploaded("late.jpg", pictures::jpeg(40, 30, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_background_task_takes_readiness_down_until_it_is_begun_again() {
    let site = Site::new().await;
    let before = becomes(&site.url, StatusCode::OK, |_| true).await;
    let (supervisor, stop) = (site.app.supervisor().clone(), CancellationToken::new());
    let begun = Arc::new(AtomicU32::new(0));
    let (count, until) = (Arc::clone(&begun), stop.clone());
    let kept = tokio::spawn(async move {
        let task = || {
            let (count, until) = (Arc::clone(&count), until.clone());
            async move {
                match count.fetch_add(1, Ordering::Relaxed) {
                    0 => panic!("a task of a test dies"),
                    1 => {}
                    _ => until.cancelled().await,
                }
            }
        };
        supervisor.keep("a task", &until, task).await;
    });
    let report = becomes(&site.url, StatusCode::SERVICE_UNAVAILABLE, |_| true).await;
    assert!(report["panics"].as_u64() > before["panics"].as_u64(), "{report}");
    assert_eq!(site.page("/photos").await.status(), StatusCode::OK, "the server goes on");
    becomes(&site.url, StatusCode::OK, |_| true).await;
    assert_eq!(begun.load(Ordering::Relaxed), 3, "one died by a panic, one by its end");
    stop.cancel();
    kept.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_does_not_hang_on_the_provider_of_accounts() {
    let nowhere = crate::process::free_port();
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://127.0.0.1:{nowhere}");
    let environment = [
        ("GALLERY__LABELER", "none"),
        ("GALLERY__SERVER__BIND", "127.0.0.1"),
        ("FLASK_SECRET", "elevenchars"),
        ("COGNITO_POOL_ID", "us-west-2_AbCdEfGhI"),
        ("COGNITO_CLIENT_ID", "7clientofthetests"),
        ("COGNITO_CLIENT_SECRET", "the-client-secret"),
        ("AWS_ENDPOINT_URL", &endpoint),
    ];
    let server = Process::start(folder.path(), &environment).await;
    becomes(&server.url, StatusCode::OK, |report| report["status"] == "ready").await;
    assert!(server.terminate().await);
}

mod with_servers {
    use std::{path::Path, time::Instant};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
        net,
        task::JoinHandle,
    };

    use super::{Duration, Process, StatusCode, becomes, pictures};
    use crate::{
        aws, life::half_is_there, mariadb::Database, mariadb_server::Server, operation::in_two_halves, process,
    };

    const NO_LABELS: (&str, &str) = ("GALLERY__LABELER", "none");

    async fn is_up(port: u16) {
        let began = Instant::now();
        while net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "MariaDB comes up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A MariaDB of the test's own with an empty database.
    async fn own_database() -> (Server, Database) {
        let mariadb = Server::new();
        is_up(mariadb.port).await;
        let charset = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        let database = Database::at("127.0.0.1".to_owned(), mariadb.port, charset).await;
        (mariadb, database)
    }

    fn environment(database: &Database) -> Vec<(&'static str, String)> {
        let mut own = database.gallery("web_user", "secret");
        own.extend([(NO_LABELS.0, NO_LABELS.1.to_owned()), ("GALLERY__SESSION__SECRET", "all instances' own".into())]);
        own
    }

    async fn started(folder: &Path, environment: &[(&str, String)]) -> Process {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::start(folder, &environment).await
    }

    /// Waits until a program has written `words`.
    async fn logs(program: &Process, words: &str) {
        for _ in 0..600 {
            if program.log().contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not say `{words}`: {}", program.log());
    }

    /// That rows and objects agree, and nothing is left to do.
    async fn check_clean(folder: &Path, environment: &[(&'static str, String)]) {
        let (folder, environment) = (folder.to_owned(), environment.to_vec());
        let audit = move || {
            let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
            process::run(&folder, &["check", "--deep"], &environment, "")
        };
        let output = tokio::task::spawn_blocking(audit).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn started_while_the_database_is_down_it_stays_up_and_comes_alive_with_it() {
        let (mut mariadb, database) = own_database().await;
        database.migrate("web_user", "secret");
        mariadb.kill();
        let folder = tempfile::tempdir().unwrap();
        let mut server = started(folder.path(), &environment(&database)).await;
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
        let report = becomes(&server.url, StatusCode::SERVICE_UNAVAILABLE, |report| report["database"] == "down").await;
        assert_eq!((report["schema"].as_str(), report["store"].as_str()), (Some("unknown"), Some("up")));
        for path in ["/", "/photos", "/login", "/readme"] {
            let page = server.client.get(format!("{}{path}", server.url)).header("accept", "text/html");
            let page = page.send().await.unwrap();
            assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(page.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
            assert!(page.text().await.unwrap().contains("Please try again shortly"));
        }
        let sheet = server.client.get(format!("{}/static/gallery.css", server.url)).send().await.unwrap();
        assert_ne!(sheet.status(), StatusCode::SERVICE_UNAVAILABLE, "the page that says so has its style");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(server.is_alive(), "{}", server.log());

        mariadb.start();
        is_up(mariadb.port).await;
        let began = Instant::now();
        becomes(&server.url, StatusCode::OK, |report| report["worker"] == "running").await;
        println!("ready {:?} after MariaDB was", began.elapsed());
        server.sign_up(crate::site::ANN).await;
        let ann = server.visit(&server.signed_in(crate::site::ANN).await);
        let photo = ann.uploaded("a.jpg", pictures::jpeg(320, 240, 1)).await;
        assert_eq!(ann.settled(photo["id"].as_str().unwrap()).await["state"], "labelled");
        let log = server.log();
        let waited = log.lines().filter(|line| line.contains("opened without a part"));
        assert_eq!(waited.count(), 1, "{log}");
        assert_eq!(log.matches("waited for is there").count(), 1, "{log}");
        assert!(log.contains("no database answers at") && !log.contains("secret"), "{log}");
        assert!(server.terminate().await);
        check_clean(folder.path(), &environment(&database)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_another_version_that_is_found_late_ends_the_program() {
        let (mut mariadb, database) = own_database().await;
        database.run("CREATE USER web_user IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO web_user").await;
        mariadb.kill();
        let folder = tempfile::tempdir().unwrap();
        let server = started(folder.path(), &environment(&database)).await;
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
        mariadb.start();
        let log = server.refused().await;
        assert!(log.contains("no tables of the gallery yet; run `photo-gallery migrate`"), "{log}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_started_while_the_database_is_down_waits_for_it_and_stops_in_order() {
        let (mut mariadb, database) = own_database().await;
        database.migrate("web_user", "secret");
        let folder = tempfile::tempdir().unwrap();
        let mut own = environment(&database);
        own.push(("GALLERY__WORKER__BESIDE_SERVER", "false".to_owned()));
        let server = started(folder.path(), &own).await;
        server.sign_up(crate::site::ANN).await;
        let ann = server.visit(&server.signed_in(crate::site::ANN).await);
        let photo = ann.uploaded("a.jpg", pictures::jpeg(320, 240, 1)).await;
        assert_eq!(becomes(&server.url, StatusCode::OK, |_| true).await["worker"], "off");
        let id = photo["id"].as_str().unwrap();
        assert_ne!(ann.json(&format!("/photos/{id}")).await.1["state"], "labelled");

        mariadb.kill();
        let variables: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut worker = Process::work(folder.path(), &variables);
        logs(&worker, "opened without a part").await;
        assert!(worker.is_alive(), "{}", worker.log());
        mariadb.start();
        is_up(mariadb.port).await;
        becomes(&server.url, StatusCode::OK, |report| report["database"] == "up").await;
        assert_eq!(ann.settled(id).await["state"], "labelled");
        assert!(worker.terminate().await);
        assert!(server.terminate().await);
        check_clean(folder.path(), &own).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_takes_no_writes_is_told_and_pages_go_on() {
        let (mariadb, database) = own_database().await;
        database.migrate("web_user", "secret");
        let folder = tempfile::tempdir().unwrap();
        let server = started(folder.path(), &environment(&database)).await;
        becomes(&server.url, StatusCode::OK, |_| true).await;
        database.run("SET GLOBAL read_only = 1").await;
        let told = becomes(&server.url, StatusCode::SERVICE_UNAVAILABLE, |report| report["database"] == "read-only");
        assert_eq!(told.await["schema"], "current");
        for _ in 0..10 {
            assert_eq!(server.json("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        }
        let page = server.client.get(format!("{}/signup", server.url)).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "pages that read go on");
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
        database.run("SET GLOBAL read_only = 0").await;
        becomes(&server.url, StatusCode::OK, |report| report["database"] == "up").await;
        let log = server.log();
        assert_eq!(log.matches("does not work part=\"database\"").count(), 1, "{log}");
        assert_eq!(log.matches("works again part=\"database\"").count(), 1, "{log}");
        assert!(server.terminate().await);
        drop(mariadb);
    }

    /// A database that takes connections and answers nothing: readiness says so within its time, and so does every page.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_hangs_is_down_and_nobody_waits_for_it_for_long() {
        let (mariadb, database) = own_database().await;
        database.migrate("web_user", "secret");
        let folder = tempfile::tempdir().unwrap();
        let server = started(folder.path(), &environment(&database)).await;
        becomes(&server.url, StatusCode::OK, |_| true).await;
        mariadb.signal("-STOP");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asking = (0..20).map(|_| async {
            let began = Instant::now();
            let (status, report) = server.json("/readyz").await;
            assert_eq!((status, report["database"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("down")));
            began.elapsed()
        });
        let longest = futures_util::future::join_all(asking).await.into_iter().max().unwrap();
        println!("the longest of 20 questions took {longest:?}");
        assert!(longest < Duration::from_secs(8), "{longest:?}");
        mariadb.signal("-CONT");
        becomes(&server.url, StatusCode::OK, |_| true).await;
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

    fn bucket_at(endpoint: &str, bucket: &str) -> Vec<(&'static str, String)> {
        [
            NO_LABELS,
            ("GALLERY__STORE__S3__BUCKET", bucket),
            ("GALLERY__STORE__S3__ENDPOINT", endpoint),
            ("AWS_REGION", aws::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn started_while_the_bucket_is_away_it_stays_up_and_comes_alive_with_it() {
        let seaweedfs = aws::server("TEST_SEAWEEDFS");
        let bucket = format!("late-{}", chrono::Utc::now().timestamp_micros());
        let (s3, _) = aws::s3(&seaweedfs, aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let to = seaweedfs.trim_start_matches("http://").to_owned();
        let at = ("127.0.0.1", crate::process::free_port());
        let folder = tempfile::tempdir().unwrap();
        let server = started(folder.path(), &bucket_at(&format!("http://{}:{}", at.0, at.1), &bucket)).await;
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
        let report = becomes(&server.url, StatusCode::SERVICE_UNAVAILABLE, |report| report["store"] == "down").await;
        assert_eq!(report["database"], "up");
        server.sign_up(crate::site::ANN).await;
        let ann = server.visit(&server.signed_in(crate::site::ANN).await);
        assert_eq!(ann.page("/photos").await.status(), StatusCode::OK, "pages are there without the bucket");

        let line: JoinHandle<()> = tokio::spawn(passing(net::TcpListener::bind(at).await.unwrap(), to));
        becomes(&server.url, StatusCode::OK, |report| report["store"] == "up").await;
        ann.uploaded("a.jpg", pictures::jpeg(320, 240, 1)).await;

        line.abort();
        let _ = line.await;
        let report = becomes(&server.url, StatusCode::OK, |report| report["store"] == "down").await;
        assert_eq!(report["status"], "ready", "pages go on without the bucket");
        assert_eq!(ann.page("/photos").await.status(), StatusCode::OK);
        let log = server.log();
        assert!(!log.contains(aws::REGION) || !log.contains("AWS4-HMAC"), "{log}");
        assert!(server.terminate().await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_that_says_no_late_ends_the_program() {
        let to = aws::server("TEST_SEAWEEDFS").trim_start_matches("http://").to_owned();
        let at = ("127.0.0.1", crate::process::free_port());
        let folder = tempfile::tempdir().unwrap();
        let server = started(folder.path(), &bucket_at(&format!("http://{}:{}", at.0, at.1), "not-there")).await;
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
        let line: JoinHandle<()> = tokio::spawn(passing(net::TcpListener::bind(at).await.unwrap(), to));
        let log = server.refused().await;
        assert!(log.contains("there is no bucket not-there"), "{log}");
        line.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_that_says_no_late_cuts_nobody_off() {
        let to = aws::server("TEST_SEAWEEDFS").trim_start_matches("http://").to_owned();
        let at = ("127.0.0.1", crate::process::free_port());
        let folder = tempfile::tempdir().unwrap();
        let own = bucket_at(&format!("http://{}:{}", at.0, at.1), "not-there");
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Process::serve(folder.path(), &own).await;
        let (request, go_on) = in_two_halves(&server.client, &server.url, &pictures::jpeg(800, 600, 1));
        let sending = tokio::spawn(request.send());
        half_is_there(folder.path(), 1).await;
        let line: JoinHandle<()> = tokio::spawn(passing(net::TcpListener::bind(at).await.unwrap(), to));
        logs(&server, "it stops in order").await;
        go_on.send(()).unwrap();
        let answer = sending.await.unwrap().expect("an answer");
        assert!(answer.status().is_server_error(), "{}", answer.status());
        assert!(server.refused().await.contains("there is no bucket not-there"));
        line.abort();
    }

    /// Answers every request with a part of an answer.
    async fn tearing(listener: net::TcpListener) {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16 << 10];
                let _ = from.read(&mut request).await;
                let _ = from.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nphoto-gallery").await;
            });
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_whose_answers_are_torn_is_waited_for() {
        let seaweedfs = aws::server("TEST_SEAWEEDFS");
        let bucket = format!("torn-{}", chrono::Utc::now().timestamp_micros());
        let (s3, _) = aws::s3(&seaweedfs, aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let to = seaweedfs.trim_start_matches("http://").to_owned();
        let at = ("127.0.0.1", crate::process::free_port());
        let torn = tokio::spawn(tearing(net::TcpListener::bind(at).await.unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let mut server = started(folder.path(), &bucket_at(&format!("http://{}:{}", at.0, at.1), &bucket)).await;
        becomes(&server.url, StatusCode::SERVICE_UNAVAILABLE, |report| report["database"] == "up").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(server.is_alive(), "{}", server.log());
        torn.abort();
        let _ = torn.await;
        let line: JoinHandle<()> = tokio::spawn(passing(net::TcpListener::bind(at).await.unwrap(), to));
        becomes(&server.url, StatusCode::OK, |report| report["store"] == "up").await;
        assert!(server.terminate().await);
        line.abort();
    }
}
