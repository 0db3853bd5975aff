//! Connections that die, servers that turn read-only, rows that others lock: what is seen of them.

mod with_servers {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU32, Ordering},
        },
        time::{Duration, Instant},
    };

    use futures_util::future::join_all;
    use photo_gallery::{
        catalog::{Catalog, Connection, Inserted, Outage, PoolSize, Tls},
        photo::PhotoId,
    };
    use sqlx::{Connection as _, Executor as _};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use crate::{
        catalog::{
            Bed,
            cases::{ann, at, found, insert, label, photo},
            mysql_connection,
        },
        mariadb_server::Server,
    };

    /// A gallery's database on a server of the test's own, used with the web server's own account.
    async fn bed(server: &Server, size: u32) -> Bed {
        let master =
            Catalog::open(&mysql_connection(&server.place(), "root", "", "Photos"), PoolSize(1)).expect("a catalog");
        master.migrate().await.expect("migrated");
        master.grant_web_user("web_user", &"secret".to_owned().into()).await.expect("granted");
        master.close().await;
        let connection = mysql_connection(&server.place(), "web_user", "secret", "Photos");
        Bed { catalog: Catalog::open(&connection, PoolSize(size)).expect("a catalog"), connection, folder: None }
    }

    #[tokio::test]
    async fn connections_that_are_killed_again_and_again_are_no_error_to_a_reader_or_a_writer() {
        let server = Server::started().await;
        let bed = bed(&server, 4).await;
        let one = insert(&bed, &ann(), [1]).await.remove(0);
        let stop = AtomicBool::new(false);
        // What each has done, so that nobody loses two connections over one question.
        let done: [AtomicU32; 4] = Default::default();
        let reading = async |number: usize| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(found(&bed, &ann(), &[]).await.len(), 1);
                done[number].fetch_add(1, Ordering::Relaxed);
            }
        };
        let writing = async {
            while !stop.load(Ordering::Relaxed) {
                assert!(bed.catalog.save_labels(one.id, &[label("Dog", 90.0)], at(9)).await.expect("saved"));
                done[0].fetch_add(1, Ordering::Relaxed);
            }
        };
        let killing = async {
            let mut killed = 0;
            for _ in 0..15 {
                let before = done.each_ref().map(|done| done.load(Ordering::Relaxed));
                while done.iter().zip(before).any(|(done, before)| done.load(Ordering::Relaxed) < before + 2) {
                    tokio::time::sleep(Duration::from_millis(7)).await;
                }
                killed += server.hang_up_on("web_user").await;
            }
            stop.store(true, Ordering::Relaxed);
            killed
        };
        let ((), (), (), (), killed) = tokio::join!(reading(1), reading(2), reading(3), writing, killing);
        assert!(killed >= 15, "{killed} connections were killed");
        assert_eq!(bed.catalog.label_totals(&ann()).await.expect("counted"), [("Dog".to_owned(), 1)]);
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn a_server_that_turns_read_only_and_back_refuses_in_words_and_then_takes_writes() {
        let server = Server::started().await;
        let bed = bed(&server, 3).await;
        insert(&bed, &ann(), [1]).await;
        server.run("SET GLOBAL read_only = 1").await;
        let refused = bed.catalog.insert_photo(&photo(&ann(), 2)).await.expect_err("a replica");
        assert!(matches!(refused.downcast_ref(), Some(Outage::Down { .. })), "{refused:?}");
        assert!(format!("{refused:#}").contains("takes no writes now"), "{refused:#}");
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 1, "reading goes on");
        let inserts: Vec<_> = (3..9).map(|number| photo(&ann(), number)).collect();
        let (written, ()) =
            tokio::join!(join_all(inserts.iter().map(|photo| bed.catalog.insert_photo(photo))), async {
                tokio::time::sleep(Duration::from_millis(40)).await;
                server.run("SET GLOBAL read_only = 0").await;
            });
        let lost = written.iter().filter(|outcome| outcome.is_err()).count();
        insert(&bed, &ann(), [20]).await;
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 2 + inserts.len() - lost);
        assert!(lost <= 3, "{lost} errors: at most one for each connection");
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn a_deadlock_is_seen_by_nobody() {
        let server = Server::started().await;
        let bed = bed(&server, 3).await;
        let photos = insert(&bed, &ann(), [1, 2]).await;
        bed.run("SET GLOBAL innodb_deadlock_detect = ON").await;
        let mut other = server.root().await;
        other.execute("USE Photos").await.expect("used");
        for round in 0..5 {
            // Another session locks the album's total first and the photo second; a photo that is deleted locks them the other way round.
            other.execute("START TRANSACTION").await.expect("begun");
            other.execute("UPDATE album_total SET photos = photos WHERE owner = 'ann'").await.expect("locked");
            let one = photos[0].id;
            let ann = ann();
            let deleting = bed.catalog.delete_photo(&ann, one, at(round));
            let crossing = async {
                tokio::time::sleep(Duration::from_millis(150)).await;
                let text = sqlx::AssertSqlSafe(format!("UPDATE photo SET attempts = attempts + 1 WHERE id = '{one}'"));
                // Whichever of the two the server sends away, ours must come through.
                let crossed = other.execute(text).await;
                let _ = other.execute(if crossed.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
            };
            let (deleted, ()) = tokio::join!(deleting, crossing);
            assert!(deleted.expect("retried").is_some(), "round {round}");
            assert_eq!(bed.catalog.insert_photo(&photos[0]).await.expect("inserted again"), Inserted::New);
        }
        assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 2);
        other.close().await.expect("closed");
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn twenty_parallel_writers_all_come_through() {
        let server = Server::started().await;
        let bed = bed(&server, 10).await;
        let photos = insert(&bed, &ann(), 1..=10).await;
        let names = ["Dog", "Cat", "Beach", "Hat", "Tree", "Car", "Sun", "Sea"];
        let writers = (0..20).map(|writer| {
            let (bed, photos) = (&bed, &photos);
            async move {
                for round in 0..5 {
                    let id: PhotoId = photos[(writer * 3 + round * 7) % photos.len()].id;
                    let mut labels: Vec<_> =
                        (0..4).map(|n| label(names[(writer + n * round + n) % names.len()], 50.0)).collect();
                    labels.reverse();
                    assert!(bed.catalog.save_labels(id, &labels, at(9)).await.expect("saved"));
                    let words = format!("writer {writer}").parse().expect("a description");
                    assert!(bed.catalog.describe(&ann(), id, &words).await.expect("described"));
                }
            }
        });
        join_all(writers).await;
        let kept = bed.catalog.labels(&photos.iter().map(|photo| photo.id).collect::<Vec<_>>()).await.expect("read");
        let counted: u64 =
            bed.catalog.label_totals(&ann()).await.expect("counted").iter().map(|(_, photos)| photos).sum();
        assert_eq!(counted, kept.values().map(|labels| labels.len() as u64).sum::<u64>());
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn connections_that_the_server_finds_idle_are_replaced_without_an_error() {
        let server = Server::started().await;
        server.run("SET GLOBAL wait_timeout = 1").await;
        let bed = bed(&server, 3).await;
        insert(&bed, &ann(), [1]).await;
        for number in 2..=4 {
            tokio::time::sleep(Duration::from_millis(1300)).await;
            assert_eq!(found(&bed, &ann(), &[]).await.len(), usize::from(number) - 1);
            tokio::time::sleep(Duration::from_millis(1300)).await;
            insert(&bed, &ann(), [number]).await;
        }
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn where_the_server_gives_two_connections_ten_questions_take_turns() {
        let server = Server::started().await;
        let bed = bed(&server, 10).await;
        bed.catalog.close().await;
        server.run("ALTER USER web_user WITH MAX_USER_CONNECTIONS 2").await;
        let catalog = Catalog::open(&bed.connection, PoolSize(10)).expect("a catalog");
        let asked = join_all((0..10).map(|_| catalog.check())).await;
        for outcome in asked {
            outcome.expect("answered in its turn");
        }
        // Two that never give back theirs leave none.
        catalog.close().await;
        let begun = Instant::now();
        let open = async || {
            let options = sqlx::mysql::MySqlConnectOptions::new().host("127.0.0.1").port(server.port);
            let options = options.username("web_user").password("secret");
            loop {
                // The server may still count those that have just been closed.
                match sqlx::ConnectOptions::connect(&options).await {
                    Err(error) if begun.elapsed() > Duration::from_secs(30) => panic!("{error}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Ok(line) => return line,
                }
            }
        };
        let sleepers = [open().await, open().await];
        let catalog = Catalog::open_waiting(&bed.connection, PoolSize(10), Duration::from_secs(1)).expect("a catalog");
        let begun = Instant::now();
        let error = catalog.check().await.expect_err("no connection is left");
        assert!(format!("{error:#}").contains("has no connection left for user `web_user`"), "{error:#}");
        assert!(matches!(error.downcast_ref(), Some(Outage::Down { .. })) && begun.elapsed() >= Duration::from_secs(1));
        for sleeper in sleepers {
            sleeper.close().await.expect("closed");
        }
        catalog.check().await.expect("there is one again");
        catalog.close().await;
    }

    #[tokio::test]
    async fn a_server_that_was_stopped_in_order_is_an_outage_until_it_is_back() {
        let mut server = Server::started().await;
        let bed = bed(&server, 3).await;
        insert(&bed, &ann(), [1]).await;
        server.stop();
        let begun = Instant::now();
        let error = bed.catalog.check().await.expect_err("it is away");
        assert!(matches!(error.downcast_ref(), Some(Outage::Down { .. })), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        server.start();
        server.answers().await;
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 1);
        insert(&bed, &ann(), [2]).await;
        bed.catalog.close().await;
    }

    #[tokio::test]
    async fn a_row_that_stays_locked_is_an_outage_in_time() {
        let server = Server::started().await;
        let bed = bed(&server, 3).await;
        let one = insert(&bed, &ann(), [1]).await.remove(0);
        let mut other = server.root().await;
        other.execute("START TRANSACTION").await.expect("begun");
        other.execute("UPDATE Photos.photo SET attempts = 7").await.expect("locked");
        let begun = Instant::now();
        let error = bed.catalog.save_labels(one.id, &[], at(1)).await.expect_err("locked for long");
        assert!(matches!(error.downcast_ref(), Some(Outage::Down { .. })), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 1, "readers do not wait");
        other.execute("ROLLBACK").await.expect("unlocked");
        other.close().await.expect("closed");
        assert!(bed.catalog.save_labels(one.id, &[], at(1)).await.expect("saved"));
        bed.catalog.close().await;
    }

    /// A way to the server that loses the answer to the next commit once it is told to: the commit arrives, the connection breaks.
    async fn losing_commits(server: &Server, lose: Arc<AtomicBool>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (place, target) = (listener.local_addr().expect("an address").to_string(), server.place());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, lose) = (target.clone(), Arc::clone(&lose));
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let upstream = TcpStream::connect(target).await.expect("the server is there");
                    let (mut from_server, mut to_server) = upstream.into_split();
                    let muted = Arc::new(AtomicBool::new(false));
                    let mute = Arc::clone(&muted);
                    let answering = tokio::spawn(async move {
                        let mut piece = vec![0; 64 << 10];
                        while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                            if muted.load(Ordering::SeqCst) || to_client.write_all(&piece[..length]).await.is_err() {
                                return;
                            }
                        }
                    });
                    let mut piece = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                        let commits = piece[..length].windows(6).any(|text| text == b"COMMIT");
                        let last = commits && lose.swap(false, Ordering::SeqCst);
                        mute.store(last, Ordering::SeqCst);
                        to_server.write_all(&piece[..length]).await.expect("sent");
                        if last {
                            // The server has answered, and nobody heard it.
                            let _ = answering.await;
                            return;
                        }
                    }
                    answering.abort();
                });
            }
        });
        place
    }

    #[tokio::test]
    async fn a_lost_answer_to_a_commit_is_made_good_where_repeating_does_no_harm_and_is_an_error_elsewhere() {
        let server = Server::started().await;
        let bed = bed(&server, 1).await;
        let lose = Arc::new(AtomicBool::new(false));
        let place = losing_commits(&server, Arc::clone(&lose)).await;
        let Connection::MySql { host, port, user, password, database, ssl_ca, .. } =
            mysql_connection(&place, "web_user", "secret", "Photos")
        else {
            panic!("MySQL")
        };
        let connection = Connection::MySql { host, port, user, password, database, tls: Tls::Disabled, ssl_ca };
        let catalog = Catalog::open(&connection, PoolSize(1)).expect("a catalog");

        let (one, two) = (photo(&ann(), 1), photo(&ann(), 2));
        assert_eq!(catalog.insert_photo(&one).await.expect("inserted"), Inserted::New);
        lose.store(true, Ordering::Relaxed);
        let error = catalog.insert_photo(&two).await.expect_err("nobody knows what became of it");
        assert!(matches!(error.downcast_ref(), Some(Outage::Down { .. })), "{error:?}");
        assert!(!lose.load(Ordering::Relaxed), "the answer was lost");
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 2, "it was listed, once");

        lose.store(true, Ordering::Relaxed);
        let claim = catalog.claim(one.id, at(100), at(200)).await.expect("asked again");
        let photo_gallery::catalog::Claim::Won(claimed) = claim else { panic!("won, and not {claim:?}") };
        assert_eq!((claimed.attempts, claimed.crashes), (1, 0), "claimed once");
        lose.store(true, Ordering::Relaxed);
        assert!(catalog.take_lease("sweep", "us", at(0), at(60)).await.expect("asked again"));
        lose.store(true, Ordering::Relaxed);
        assert!(catalog.save_labels(one.id, &[label("Dog", 90.0)], at(101)).await.expect("saved again"));
        assert!(!lose.load(Ordering::Relaxed), "the answer was lost");
        assert_eq!(catalog.label_totals(&ann()).await.expect("counted"), [("Dog".to_owned(), 1)]);
        catalog.close().await;
        bed.catalog.close().await;
    }
}
