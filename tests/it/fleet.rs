//! Two servers and two workers on one database, one bucket and one queue, killed again and again while photos come in: none is lost, and
//! each is labelled once.

mod with_servers {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, Instant},
    };

    use futures_util::{StreamExt as _, stream};
    use reqwest::StatusCode;
    use sqlx::Row as _;

    use crate::{
        chaos::Dice,
        events::queue::Queues,
        faults::{
            gallery::{Gallery, Ledger, Worker},
            rekognition::Rekognition,
        },
        pictures,
        process::Process,
    };

    /// How long a client goes on with one photo.
    const PATIENCE: Duration = Duration::from_mins(1);
    /// How long the photos in the hands of the dead, and those that were never announced, may take: two sweeps and two leases.
    const SETTLES_WITHIN: Duration = Duration::from_mins(5);

    /// What runs.
    struct Fleet {
        gallery: Gallery,
        servers: Mutex<Vec<Arc<Process>>>,
        workers: Mutex<Vec<Worker>>,
        dice: Dice,
    }

    impl Fleet {
        async fn new(gallery: Gallery) -> Self {
            let servers = vec![Arc::new(gallery.serve_only().await), Arc::new(gallery.serve_only().await)];
            let workers = vec![gallery.work(), gallery.work()];
            let dice = Dice::new("the fleet");
            Self { gallery, servers: Mutex::new(servers), workers: Mutex::new(workers), dice }
        }

        fn any_server(&self) -> Arc<Process> {
            let place = usize::try_from(self.dice.below(2)).unwrap();
            Arc::clone(&self.servers.lock().unwrap()[place])
        }

        /// Kills a server or a worker, and starts another in its place a moment later.
        async fn kill_one(&self) {
            let (kind, place) = (self.dice.below(2), usize::try_from(self.dice.below(2)).unwrap());
            let pause = Duration::from_millis(self.dice.below(700));
            println!("    {} {place} dies, for {pause:?}", if kind == 0 { "server" } else { "worker" });
            if kind == 0 {
                self.servers.lock().unwrap()[place].kill();
                tokio::time::sleep(pause).await;
                let next = Arc::new(self.gallery.serve_only().await);
                self.servers.lock().unwrap()[place] = next;
            } else {
                self.workers.lock().unwrap()[place].kill();
                tokio::time::sleep(pause).await;
                let next = self.gallery.work();
                self.workers.lock().unwrap()[place] = next;
            }
        }

        /// Uploads as a patient client does: the same file again, to whichever server, until it is kept.
        async fn upload(&self, ledger: &Ledger, bytes: &[u8]) -> u64 {
            let began = Instant::now();
            for tries in 1.. {
                match ledger.upload(&self.any_server(), bytes).await {
                    Some(status) if status.is_success() => return tries,
                    Some(status) => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
                    None => {}
                }
                assert!(began.elapsed() < PATIENCE, "not kept after {tries} tries");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            unreachable!("there are more numbers")
        }

        async fn unfinished(&self) -> i64 {
            let database = self.gallery.database.as_ref().unwrap();
            let rows = database.rows("SELECT COUNT(*) FROM photo WHERE labelled_at IS NULL").await;
            rows[0].get(0)
        }

        /// Waits until every photo is labelled, by the messages, leases and sweeps of the living alone.
        async fn settled(&self) {
            let end = Instant::now() + SETTLES_WITHIN;
            while self.unfinished().await > 0 {
                assert!(Instant::now() < end, "{} photos are not finished", self.unfinished().await);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }

    fn number(variable: &str, default: u64) -> u64 {
        std::env::var(variable).map_or(default, |set| set.parse().expect("a number"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fleet_that_dies_again_and_again_loses_no_photo_and_labels_each_once() {
        let (photos, kills) = (number("FLEET_PHOTOS", 40), number("FLEET_KILLS", 3));
        let (rekognition, queues) = (Rekognition::start().await, Queues::with(true, 10).await);
        rekognition.pause(Duration::from_millis(100));
        let gallery = Gallery::on_servers().await.labelled_by(rekognition.url()).told_by(&queues);
        let fleet = Fleet::new(gallery).await;
        let (ledger, came, tries, began) =
            (Ledger::default(), AtomicU64::default(), AtomicU64::default(), Instant::now());

        let uploading = stream::iter(0..photos).for_each_concurrent(6, |seed| {
            let (fleet, ledger, came, tries) = (&fleet, &ledger, &came, &tries);
            let bytes = pictures::jpeg(160, 120, u32::try_from(seed).unwrap());
            async move {
                tries.fetch_add(fleet.upload(ledger, &bytes).await, Ordering::SeqCst);
                came.fetch_add(1, Ordering::SeqCst);
            }
        });
        let killing = async {
            for kill in 0..kills {
                while came.load(Ordering::SeqCst) < (kill + 1) * photos / (kills + 2) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                fleet.kill_one().await;
            }
        };
        tokio::join!(uploading, killing);
        let uploaded = began.elapsed();
        fleet.settled().await;
        let settled = began.elapsed();

        let server = fleet.any_server();
        let listed = ledger.holds(&server).await;
        assert_eq!((listed.len(), ledger.kept()), (usize::try_from(photos).unwrap(), usize::try_from(photos).unwrap()));
        for photo in &listed {
            assert_eq!(photo["state"], "labelled", "{photo}");
            let labels = photo["labels"].as_array().unwrap();
            assert!(labels.len() == 1 && labels[0]["name"] == "Dog", "{photo}");
        }
        let counts = rekognition.counts();
        let answered: u64 = counts.iter().map(|count| count.answered).sum();
        println!(
            "{photos} photos in {} tries, {kills} kills, all kept after {uploaded:?} and labelled after {settled:?}; \
             {} contents, {answered} answers of Rekognition",
            tries.load(Ordering::SeqCst),
            counts.len()
        );
        assert_eq!(counts.len(), listed.len(), "each content was asked for");
        // What a killed worker had been told and not stored is asked for again: at most what it had in hand.
        assert!(answered <= photos + 4 * kills, "{answered} answers");
        queues.emptied().await;
        assert_eq!(queues.dead_letters().await, Vec::<String>::new());
        fleet.gallery.check_clean().await;
        for worker in &*fleet.workers.lock().unwrap() {
            assert!(!worker.log().contains("panicked"), "{}", worker.log());
        }
        let Fleet { gallery, servers, workers, .. } = fleet;
        drop((server, servers, workers));
        gallery.gone().await;
    }
}
