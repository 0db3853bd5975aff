//! Two instances behind HAProxy, which asks each for `/ping` once a second: what is planned fails nobody, and what is not fails only those
//! whose request was with the instance that died.

mod with_servers {
    use std::{
        path::Path,
        process::{Child, Command, Stdio},
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        time::Duration,
    };

    use reqwest::StatusCode;
    use tempfile::TempDir;
    use tokio::task::JoinHandle;

    use crate::{
        aws,
        mariadb::Database,
        operation::in_two_halves,
        pictures,
        process::{self, Process, free_port, program},
        site::{ANN, Visit},
    };

    /// Browsers that ask for pages one after the other.
    const READERS: u32 = 6;
    /// Browsers that upload one picture after the other.
    const WRITERS: u32 = 2;
    /// Longer than HAProxy takes to notice (`inter` times `fall`, and one more), as README says.
    const DRAIN: (&str, &str) = ("GALLERY__SERVER__DRAIN_SECONDS", "5");

    /// Everything on one machine.
    struct Fleet {
        instances: Vec<Option<Process>>,
        ports: [u16; 2],
        environment: Vec<(&'static str, String)>,
        _balancer: Balancer,
        url: String,
        counts: String,
        database: Database,
        folder: TempDir,
    }

    impl Fleet {
        async fn new() -> Self {
            let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
            let user = format!("it_fleet_{}", database.name.rsplit('_').next().unwrap());
            database.migrate(&user, "it password");
            let bucket = format!("fleet-{}", chrono::Utc::now().timestamp_micros());
            let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
            s3.create_bucket().bucket(&bucket).send().await.unwrap();
            let mut environment = database.gallery(&user, "it password");
            environment.extend([
                ("GALLERY__LABELER", "none".to_owned()),
                ("GALLERY__SESSION__SECRET", "the same secret on both instances".to_owned()),
                ("GALLERY__STORE__S3__BUCKET", bucket),
                ("GALLERY__STORE__S3__ENDPOINT", aws::server("TEST_SEAWEEDFS")),
                ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
                ("AWS_REGION", aws::REGION.to_owned()),
                (DRAIN.0, DRAIN.1.to_owned()),
            ]);
            let folder = tempfile::tempdir().unwrap();
            let (ports, front, counts) = ([free_port(), free_port()], free_port(), free_port());
            let mut fleet = Self {
                instances: vec![None, None],
                ports,
                environment,
                _balancer: Balancer::new(folder.path(), front, counts, ports),
                url: format!("http://127.0.0.1:{front}"),
                counts: format!("http://127.0.0.1:{counts}/counts;csv"),
                database,
                folder,
            };
            for number in 0..2 {
                fleet.start(number).await;
            }
            fleet
        }

        /// Starts an instance where it always is, and waits until HAProxy sends it requests.
        async fn start(&mut self, number: usize) {
            let folder = self.folder.path().join(format!("instance-{number}"));
            std::fs::create_dir_all(&folder).unwrap();
            let environment: Vec<(&str, &str)> =
                self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let started = Process::start_at(self.ports[number], program(&folder), &folder, &environment).await;
            self.instances[number] = Some(started);
            self.is(number, "UP").await;
        }

        /// Waits until HAProxy says that an instance is `UP` or `DOWN`.
        async fn is(&self, number: usize, state: &str) {
            for _ in 0..600 {
                if self.count(number, "status").await == state {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("instance {number} is not {state}: {}", self.count(number, "status").await);
        }

        /// What HAProxy has counted of an instance.
        async fn count(&self, number: usize, column: &str) -> String {
            let told = reqwest::get(&self.counts).await.unwrap().text().await.unwrap();
            let mut lines = told.trim_start_matches("# ").lines();
            let at = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
            let begins = format!("instances,instance-{number},");
            let line = lines.find(|line| line.starts_with(&begins)).unwrap();
            line.split(',').nth(at).unwrap().to_owned()
        }

        /// Requests that failed with an instance, as HAProxy counts them: no connection, or no whole answer.
        async fn failed(&self, number: usize) -> u64 {
            let mut sum = 0;
            for column in ["econ", "eresp"] {
                sum += self.count(number, column).await.parse::<u64>().unwrap();
            }
            sum
        }

        /// Somebody signed in, who comes by HAProxy.
        async fn ann(&self) -> Visit {
            let instance = self.instances[0].as_ref().unwrap();
            instance.sign_up(ANN).await;
            Visit::new(&self.url, Some(&instance.signed_in(ANN).await))
        }

        async fn gone(mut self) {
            for instance in self.instances.drain(..).flatten() {
                assert!(instance.terminate().await);
            }
            let (folder, environment) = (self.folder.path().join("instance-0"), self.environment.clone());
            let audit = move || {
                let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
                process::run(&folder, &["check", "--deep"], &environment, "")
            };
            let output = tokio::task::spawn_blocking(audit).await.unwrap();
            assert!(output.status.success(), "{output:?}");
            self.database.gone().await;
        }
    }

    /// HAProxy as an Application Load Balancer behaves: it tries nothing twice.
    struct Balancer(Child);

    impl Balancer {
        fn new(folder: &Path, front: u16, counts: u16, instances: [u16; 2]) -> Self {
            let file = folder.join("haproxy.cfg");
            let text = format!(
                "global\n  maxconn 1000\n\
                 defaults\n  mode http\n  retries 0\n  http-reuse safe\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  timeout check 5s\n\
                 frontend gallery\n  bind 127.0.0.1:{front}\n  default_backend instances\n\
                 frontend counts\n  bind 127.0.0.1:{counts}\n  stats enable\n  stats uri /counts\n\
                 backend instances\n  balance roundrobin\n  option httpchk\n\
                 \x20 http-check send meth GET uri /ping hdr User-Agent ELB-HealthChecker/2.0\n  http-check expect status 200\n\
                 \x20 default-server check inter 1s rise 2 fall 2\n\
                 \x20 server instance-0 127.0.0.1:{}\n  server instance-1 127.0.0.1:{}\n",
                instances[0], instances[1]
            );
            std::fs::write(&file, text).unwrap();
            let places = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"];
            let program = places.into_iter().find(|place| Path::new(place).exists());
            let program = program.expect("haproxy: script/servers installs it");
            let mut command = Command::new(program);
            Self(command.args(["-q", "-db", "-f"]).arg(&file).stdin(Stdio::null()).spawn().unwrap())
        }
    }

    impl Drop for Balancer {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// What browsers saw.
    #[derive(Default)]
    struct Seen {
        begun: AtomicU64,
        fine: AtomicU64,
        failed: AtomicU64,
        taken: AtomicU64,
        in_hand: AtomicU64,
        enough: AtomicBool,
    }

    impl Seen {
        fn read(&self, count: impl Fn(&Self) -> &AtomicU64) -> u64 {
            count(self).load(Ordering::SeqCst)
        }
    }

    /// A steady load by HAProxy until it is enough.
    fn load(ann: &Visit) -> (Arc<Seen>, Vec<JoinHandle<()>>) {
        let seen = Arc::new(Seen::default());
        let lanes = (0..READERS + WRITERS).map(|lane| {
            let (seen, visit) = (Arc::clone(&seen), Visit::new(&ann.url, ann.cookie.as_deref()));
            tokio::spawn(async move {
                let mut turn = 0;
                while !seen.enough.load(Ordering::SeqCst) {
                    seen.begun.fetch_add(1, Ordering::SeqCst);
                    seen.in_hand.fetch_add(1, Ordering::SeqCst);
                    let answer = if lane < READERS {
                        visit.client.get(format!("{}/photos", visit.url)).header("accept", "text/html").send().await
                    } else {
                        let bytes = pictures::jpeg(64, 48, lane * 10_000 + turn);
                        let part = reqwest::multipart::Part::bytes(bytes).file_name("steady.jpg");
                        let form = reqwest::multipart::Form::new().part("photo", part);
                        let request = visit.client.post(format!("{}/photos", visit.url)).multipart(form);
                        request.header("accept", "application/json").send().await
                    };
                    let whole = match answer {
                        Ok(answer) => {
                            let status = answer.status();
                            answer.bytes().await.is_ok().then_some(status)
                        }
                        Err(_) => None,
                    };
                    match whole {
                        Some(StatusCode::OK) => seen.fine.fetch_add(1, Ordering::SeqCst),
                        Some(StatusCode::CREATED) => seen.taken.fetch_add(1, Ordering::SeqCst),
                        other => {
                            println!("lane {lane}: {other:?}");
                            seen.failed.fetch_add(1, Ordering::SeqCst)
                        }
                    };
                    seen.in_hand.fetch_sub(1, Ordering::SeqCst);
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        let lanes = lanes.collect();
        (seen, lanes)
    }

    async fn over(seen: &Seen, lanes: Vec<JoinHandle<()>>) {
        seen.enough.store(true, Ordering::SeqCst);
        for lane in lanes {
            lane.await.unwrap();
        }
    }

    /// Every photo that was taken is there.
    async fn all_there(ann: &Visit, taken: u64) {
        let (mut found, mut next) = (0, Some("/photos".to_owned()));
        while let Some(path) = next {
            let (status, page) = ann.json(&path).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            found += page["photos"].as_array().unwrap().len() as u64;
            next = page["next"].as_str().map(str::to_owned);
        }
        assert!(found >= taken, "{found} photos of {taken}");
    }

    /// FAULTS R32: SIGTERM under load, an upload under way; then both restarted in turn.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_planned_fails_nobody() {
        let mut fleet = Fleet::new().await;
        let ann = fleet.ann().await;
        let (seen, lanes) = load(&ann);
        tokio::time::sleep(Duration::from_secs(1)).await;

        // One of these two is with the instance that is told to stop.
        let mut halves = Vec::new();
        for seed in 0..2 {
            let (request, go_on) = in_two_halves(&ann.client, &ann.url, &pictures::jpeg(800, 600, 70 + seed));
            halves.push((tokio::spawn(request.send()), go_on));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let one = fleet.instances[0].take().unwrap();
        one.ask_to_stop();
        fleet.is(0, "DOWN").await;
        // Beyond the drain, within the time for requests in hand.
        tokio::time::sleep(Duration::from_secs(6)).await;
        for (sending, go_on) in halves {
            go_on.send(()).unwrap();
            assert_eq!(sending.await.unwrap().unwrap().status(), StatusCode::CREATED);
        }
        assert!(one.ended().await);
        fleet.start(0).await;

        for number in [1, 0] {
            assert!(fleet.instances[number].take().unwrap().terminate().await);
            fleet.start(number).await;
        }
        over(&seen, lanes).await;
        let (fine, taken) = (seen.read(|seen| &seen.fine), seen.read(|seen| &seen.taken));
        println!("{fine} pages and {taken} uploads over three restarts, {} failed", seen.read(|seen| &seen.failed));
        assert_eq!(seen.read(|seen| &seen.failed), 0);
        assert!(fine > 100 && taken > 10, "{fine} pages, {taken} uploads");
        all_there(&ann, taken + 2).await;
        fleet.gone().await;
    }

    /// FAULTS R31: kill -9 under load. HAProxy tries nothing twice, so these fail, and no others:
    /// what was in hand with the instance (at most what was in hand at all), and what it was sent before HAProxy had noticed by its checks
    /// (every other request begun until then, and for each browser one more, as their turns are not even).
    #[tokio::test(flavor = "multi_thread")]
    async fn a_killed_instance_fails_only_what_it_had_in_hand_or_was_sent_before_it_was_noticed() {
        let mut fleet = Fleet::new().await;
        let ann = fleet.ann().await;
        let (seen, lanes) = load(&ann);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(seen.read(|seen| &seen.failed), 0);

        let (begun, in_hand) = (seen.read(|seen| &seen.begun), seen.read(|seen| &seen.in_hand));
        let counted = fleet.failed(0).await;
        let one = fleet.instances[0].take().unwrap();
        one.kill();
        fleet.is(0, "DOWN").await;
        let sent = seen.read(|seen| &seen.begun) - begun;
        // What was begun before HAProxy had noticed is answered by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let failed = seen.read(|seen| &seen.failed);
        let counted = fleet.failed(0).await - counted;
        println!(
            "{failed} failed, HAProxy counts {counted}: {in_hand} were in hand, {sent} were begun before it noticed"
        );
        let lanes_at_most = u64::from(READERS + WRITERS);
        assert!(failed <= in_hand + sent.div_ceil(2) + lanes_at_most, "{failed} of {sent}");
        // Where a connection that it had kept open turns out to be gone, HAProxy ends the browser's as well and counts no error.
        let told = counted..=counted + lanes_at_most;
        assert!(told.contains(&failed), "all that failed had been sent to the killed instance: {failed}, {told:?}");
        assert_eq!(fleet.failed(1).await, 0, "the other one failed nobody");

        // Sessions go on at the other, and nobody fails any more.
        let fine = seen.read(|seen| &seen.fine);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(seen.read(|seen| &seen.fine) > fine + 10);
        assert_eq!(seen.read(|seen| &seen.failed), failed);
        fleet.start(0).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        over(&seen, lanes).await;
        assert_eq!(seen.read(|seen| &seen.failed), failed, "nor when it is back");
        all_there(&ann, seen.read(|seen| &seen.taken)).await;
        fleet.gone().await;
    }
}
