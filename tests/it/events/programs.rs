//! Server and worker as programs of their own, with a queue between them.

mod with_servers {
    use std::{
        fs::File,
        path::{Path, PathBuf},
        process::{Child, Stdio},
        time::Duration,
    };

    use reqwest::StatusCode;
    use rustix::process::{Pid, Signal, kill_process};
    use serde_json::json;
    use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
    use tokio::net::TcpListener;

    use super::super::queue::Queues;
    use crate::{
        pictures,
        process::{Process, program},
    };

    /// `photo-gallery work`. Dropping it kills it.
    struct Worker {
        child: Child,
        log: PathBuf,
    }

    impl Worker {
        fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
            let log = folder.join("worker-log");
            let mut command = program(folder);
            command.arg("work").envs(environment.iter().copied());
            let child = command.stdin(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
            Self { child, log }
        }

        fn log(&self) -> String {
            std::fs::read_to_string(&self.log).unwrap()
        }

        /// Resident memory in MB.
        fn resident(&self) -> u64 {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
        }

        async fn terminate(mut self) -> bool {
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
            for _ in 0..600 {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("the worker did not stop within 30 s: {}", self.log());
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn environment<'a>(own: &'a [(&'static str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        own.chain([("GALLERY__LABELER", "none")]).chain(more.iter().copied()).collect()
    }

    #[tokio::test]
    async fn a_server_without_a_worker_leaves_photos_to_the_one_at_the_queue() {
        let queues = Queues::new().await;
        let folder = tempfile::tempdir().unwrap();
        let own = queues.settings();
        let server =
            Process::serve(folder.path(), &environment(&own, &[("GALLERY__WORKER__BESIDE_SERVER", "false")])).await;
        let photo = server.uploaded("a.jpg", "", pictures::jpeg(32, 24, 1)).await;
        assert_eq!(queues.left().await, 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let id = photo["id"].as_str().unwrap();
        assert_eq!(server.json(&format!("/photos/{id}")).await.1["state"], "labelling");
        let worker = Worker::start(folder.path(), &environment(&own, &[]));
        assert_eq!(server.settled(id).await["state"], "labelled", "{}", worker.log());
        queues.emptied().await;
        assert!(worker.terminate().await && server.terminate().await);
    }

    /// One listens and never answers, the other's port is free.
    #[tokio::test]
    async fn a_topic_that_is_silent_or_away_keeps_no_upload_waiting_and_the_worker_finds_it() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("http://{}", silent.local_addr().unwrap());
        for endpoint in [place, format!("http://127.0.0.1:{}", crate::process::free_port())] {
            let folder = tempfile::tempdir().unwrap();
            let environment = [
                ("GALLERY__LABELER", "none"),
                ("GALLERY__EVENTS__AWS__TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:uploads-topic"),
                ("GALLERY__EVENTS__AWS__ENDPOINT", endpoint.as_str()),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ];
            let server = Process::serve(folder.path(), &environment).await;
            let upload = server.try_upload("a.jpg", "", pictures::jpeg(32, 24, 1));
            let (status, line) =
                tokio::time::timeout(Duration::from_secs(15), upload).await.expect("in time").expect("an answer");
            assert_eq!(status, StatusCode::CREATED, "{line}");
            assert!(server.log().contains("cannot be reached: check the network"), "{}", server.log());
            assert!(server.terminate().await);
            // A worker looks when it starts. By then the photo has waited for long.
            let file = SqliteConnectOptions::new().filename(folder.path().join("data/catalog.db"));
            let mut catalog = file.connect().await.unwrap();
            let waited = "UPDATE photo SET claimed_until = '2020-01-01 00:00:00' WHERE claimed_until IS NOT NULL; \
                          UPDATE lease SET held_until = '2020-01-01 00:00:00'";
            catalog.execute(waited).await.unwrap();
            catalog.close().await.unwrap();
            let server = Process::serve(folder.path(), &environment).await;
            let photo = server.settled(line["photo"]["id"].as_str().unwrap()).await;
            assert_eq!(photo["state"], "labelled");
            assert!(server.terminate().await);
        }
    }

    #[tokio::test]
    async fn ten_thousand_messages_take_no_more_memory_than_a_few() {
        let queues = Queues::new().await;
        let folder = tempfile::tempdir().unwrap();
        let own = queues.settings();
        let server =
            Process::serve(folder.path(), &environment(&own, &[("GALLERY__WORKER__BESIDE_SERVER", "false")])).await;
        let mut ids = Vec::new();
        for seed in 0..10 {
            let photo = server.uploaded("a.jpg", "", pictures::jpeg(32, 24, seed)).await;
            ids.push(photo["id"].as_str().unwrap().to_owned());
        }
        let worker = Worker::start(folder.path(), &environment(&own, &[("GALLERY__WORKER__AT_ONCE", "4")]));
        queues.emptied().await;
        for id in &ids {
            assert_eq!(server.settled(id).await["state"], "labelled");
        }
        let few = worker.resident();
        let filler = "x".repeat(2000);
        let told = |number: usize| {
            json!({"version": 1, "event": "photo.uploaded", "photo": ids[number % ids.len()], "bucket": null, "filler": filler})
                .to_string()
        };
        queues.send((0..10_000).map(told)).await;
        let mut most = 0;
        while queues.left().await > 0 {
            most = most.max(worker.resident());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // A backlog held in memory would be 20 MB of text and as much again around it.
        assert!(most < few + 15, "{few} MB before, {most} MB with 10,000 messages");
        assert_eq!(queues.dead_letters().await, [""; 0]);
        assert!(worker.terminate().await && server.terminate().await);
    }
}
