//! The gallery in a real browser: boots the program and runs `tests/browser/`, Node's test runner driving Chromium.

mod with_servers {
    use std::{
        fs::{self, File},
        os::unix::process::CommandExt,
        path::{Path, PathBuf},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use chrono::{TimeDelta, Utc};
    use photo_gallery::{
        catalog::{Catalog, Connection, PoolSize},
        photo::{Label, PhotoId},
    };
    use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use crate::{pictures, process::Process};

    /// What the browser tests may take in all; in a calm they take about a minute.
    const PATIENCE: Duration = Duration::from_mins(6);

    #[expect(clippy::disallowed_methods, reason = "script/test says where the browser is")]
    fn chromium() -> PathBuf {
        std::env::var("TEST_CHROMIUM").expect("TEST_CHROMIUM names the Chromium to drive; run script/test").into()
    }

    /// A worker elsewhere, which does with finished photos what it is told at `/hold/ID`, `/put-off/ID`, `/fail/ID` and `/label/ID`; its address.
    async fn hand(data: &Path) -> String {
        let path = data.join("catalog.db");
        let catalog = Catalog::open(&Connection::Sqlite { path: path.clone() }, PoolSize::default()).unwrap();
        let mut line = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut asking, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let read = asking.read(&mut request).await.unwrap();
                let request = std::str::from_utf8(&request[..read]).unwrap();
                let mut words = request.split_whitespace().nth(1).unwrap().split('/').skip(1);
                let (what, photo) = (words.next().unwrap(), words.next().unwrap().parse::<PhotoId>().unwrap());
                match what {
                    "hold" => hold(&mut line, photo, Some("a worker elsewhere"), TimeDelta::hours(1)).await,
                    "put-off" => hold(&mut line, photo, None, TimeDelta::seconds(250)).await,
                    "fail" => {
                        hold(&mut line, photo, None, TimeDelta::hours(1)).await;
                        catalog.save_problem(photo, "It is too dark in there.").await.unwrap();
                    }
                    "label" => {
                        let (parents, categories, instances) = (Vec::new(), Vec::new(), Vec::new());
                        let name = "Thundercloud".to_owned();
                        let label = Label { name, confidence: Some(90.0), parents, categories, instances };
                        assert!(catalog.save_labels(photo, &[label], Utc::now()).await.unwrap());
                    }
                    other => panic!("nobody knows how to {other}"),
                }
                asking.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            }
        });
        url
    }

    /// Makes a finished photo one that waits, as if it had never been labelled.
    async fn hold(line: &mut SqliteConnection, photo: PhotoId, in_hand: Option<&str>, time: TimeDelta) {
        let text = "UPDATE photo SET labelled_at = NULL, labels = '', problem = NULL, in_hand = ?, claimed_until = ? WHERE id = ?";
        let update = sqlx::query(text).bind(in_hand).bind((Utc::now() + time).naive_utc()).bind(photo.to_string());
        assert_eq!(update.execute(&mut *line).await.unwrap().rows_affected(), 1);
    }

    #[tokio::test]
    async fn the_gallery_holds_in_a_browser_what_it_promises() {
        let chromium = chromium();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        assert!(
            tests.join("browser/node_modules/playwright-core").is_dir(),
            "the packages of tests/browser are missing: run script/servers install, or npm ci in that folder"
        );
        let folder = tempfile::tempdir().unwrap();
        let many = folder.path().join("many");
        fs::create_dir(&many).unwrap();
        for seed in 0..72 {
            let (width, height) = [(96, 64), (64, 96), (80, 80), (160, 48)][seed as usize % 4];
            fs::write(many.join(format!("{seed:02}.jpg")), pictures::jpeg(width, height, seed)).unwrap();
        }
        let gallery = Process::start(folder.path(), &[]).await;
        let hand = hand(&folder.path().join("data")).await;
        let report = folder.path().join("report");
        let output = File::create(&report).unwrap();
        let mut node = Command::new("node")
            .args(["--test", "--test-reporter=spec", "gallery.test.js"])
            .current_dir(tests.join("browser"))
            .env("GALLERY_URL", &gallery.url)
            .env("GALLERY_PHOTOS", tests.join("photos"))
            .env("GALLERY_MANY", &many)
            .env("GALLERY_HAND", &hand)
            .env("TEST_CHROMIUM", chromium)
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .expect("Node.js runs the browser tests; run script/test");
        let began = Instant::now();
        let status = loop {
            if let Some(status) = node.try_wait().unwrap() {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                let group = rustix::process::Pid::from_child(&node);
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
                node.wait().unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let said = String::from_utf8_lossy(&fs::read(&report).unwrap()).into_owned();
        println!("{said}");
        let status = status.unwrap_or_else(|| panic!("the browser tests did not end within {PATIENCE:?}"));
        assert!(status.success(), "the browser tests ended with {status}; their report is above");
        assert!(said.contains("fail 0") && !said.contains("tests 0"), "the browser tests tell of no success");
    }
}
