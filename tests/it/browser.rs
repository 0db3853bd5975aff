//! The gallery in a real browser: boots the program and runs `tests/browser/`, Node's test runner driving Chromium.

mod with_servers {
    use std::{
        fs::{self, File},
        os::unix::process::CommandExt,
        path::{Path, PathBuf},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use crate::{pictures, process::Process};

    /// What the browser tests may take in all; in a calm they take about a minute.
    const PATIENCE: Duration = Duration::from_mins(6);

    #[expect(clippy::disallowed_methods, reason = "script/test says where the browser is")]
    fn chromium() -> PathBuf {
        std::env::var("TEST_CHROMIUM").expect("TEST_CHROMIUM names the Chromium to drive; run script/test").into()
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
        let report = folder.path().join("report");
        let output = File::create(&report).unwrap();
        let mut node = Command::new("node")
            .args(["--test", "--test-reporter=spec", "gallery.test.js"])
            .current_dir(tests.join("browser"))
            .env("GALLERY_URL", &gallery.url)
            .env("GALLERY_PHOTOS", tests.join("photos"))
            .env("GALLERY_MANY", &many)
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
