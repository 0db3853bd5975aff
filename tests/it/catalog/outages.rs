//! A database that is away, hangs, refuses or is full is an error in time and in words, and its return needs no restart.

use std::time::{Duration, Instant};

use photo_gallery::catalog::{Catalog, Connection, Outage, PoolSize};

use super::{
    Bed,
    cases::{ann, at, found, insert, photo},
    mysql_connection,
};

/// What asking the catalog fails with, as an outage, and how long that took.
async fn outage(catalog: &Catalog) -> (String, Duration) {
    let begun = Instant::now();
    let error = catalog.photos(&ann(), &[], None, 1).await.expect_err("an outage");
    assert!(matches!(error.downcast_ref(), Some(Outage::Down { .. })), "{error:?}");
    (format!("{error:#}"), begun.elapsed())
}

#[tokio::test]
async fn an_unreachable_database_is_a_sentence_within_three_seconds() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = listener.local_addr().expect("an address").to_string();
    let catalog =
        Catalog::open(&mysql_connection(&place, "web_user", "secret", "Photos"), PoolSize(2)).expect("a catalog");
    let (silent, took) = outage(&catalog).await;
    assert!(
        silent.contains(&format!("no database answers at {place} in time")) && took < Duration::from_millis(3500),
        "{silent} {took:?}"
    );
    drop(listener);
    let (refused, took) = outage(&catalog).await;
    assert!(refused.contains(&place) && took < Duration::from_millis(3500), "{refused} {took:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gallery.db");
    std::fs::write(
        &path,
        "this is a text, and it is long enough to be read as a page header of a database file, they say".repeat(50),
    )
    .expect("written");
    let catalog = Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).expect("a catalog");
    let (sentence, _) = outage(&catalog).await;
    assert!(sentence.contains("is not a SQLite database"), "{sentence}");
    let folder_as_file = Connection::Sqlite { path: folder.path().to_owned() };
    let (sentence, _) = outage(&Catalog::open(&folder_as_file, PoolSize(1)).expect("a catalog")).await;
    assert!(sentence.contains("cannot be opened"), "{sentence}");
}

#[tokio::test]
async fn a_writer_waits_for_another_process() {
    use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
    let bed = Bed::sqlite().await;
    let Connection::Sqlite { path } = &bed.connection else { panic!("SQLite") };
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.expect("connected");
    other.execute("BEGIN IMMEDIATE").await.expect("locked");
    let one = photo(&ann(), 1);
    let (inserted, ()) = tokio::join!(bed.catalog.insert_photo(&one), async {
        assert!(found(&bed, &ann(), &[]).await.is_empty(), "readers do not wait");
        tokio::time::sleep(Duration::from_millis(700)).await;
        other.execute("COMMIT").await.expect("unlocked");
    });
    inserted.expect("inserted once the other was done");

    other.execute("BEGIN IMMEDIATE").await.expect("locked");
    let begun = Instant::now();
    let busy = bed.catalog.insert_photo(&photo(&ann(), 2)).await.expect_err("busy");
    assert!(
        format!("{busy:#}").contains("too busy") && begun.elapsed() < Duration::from_secs(8),
        "{busy:#} {:?}",
        begun.elapsed()
    );
    other.execute("ROLLBACK").await.expect("unlocked");
    other.close().await.expect("closed");
    bed.gone().await;
}

mod with_servers {
    use sqlx::Executor as _;

    use super::{Bed, Catalog, Connection, Duration, Instant, PoolSize, ann, at, found, insert, outage, photo};
    use crate::{
        catalog::{cases::label, drop_nameless_accounts, mariadb_place, mysql_connection, root},
        mariadb_server::Server,
    };

    #[tokio::test]
    async fn a_wrong_password_and_an_unknown_database_are_sentences() {
        let place = mariadb_place();
        let open = |user: &str, database: &str| {
            Catalog::open(&mysql_connection(&place, user, "not it", database), PoolSize(1)).expect("a catalog")
        };
        let (sentence, took) = outage(&open("root", "mysql")).await;
        assert!(
            sentence.contains("refuses user `root` with this password") && took < Duration::from_secs(2),
            "{sentence}"
        );
        assert!(!sentence.contains("not it"), "{sentence}");
        let nowhere = Catalog::open(&mysql_connection(&place, "root", "", "nowhere"), PoolSize(1)).expect("a catalog");
        let (sentence, _) = outage(&nowhere).await;
        assert!(sentence.contains("there is no database `nowhere`"), "{sentence}");
    }

    #[tokio::test]
    async fn connections_that_the_server_closed_are_replaced() {
        let bed = Bed::mariadb().await;
        insert(&bed, &ann(), [1]).await;
        let Connection::MySql { database, .. } = &bed.connection else { panic!("MySQL") };
        let mut root = root(&mariadb_place(), None).await;
        let own =
            sqlx::query_as::<_, (i64,)>("SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = ?")
                .bind(database)
                .fetch_all(&mut root)
                .await
                .expect("the pool's connections");
        assert!(!own.is_empty());
        for (id,) in own {
            root.execute(sqlx::AssertSqlSafe(format!("KILL {id}"))).await.expect("killed");
        }
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 1);
        insert(&bed, &ann(), [2]).await;
        bed.gone().await;
    }

    #[tokio::test]
    async fn a_row_locked_for_long_is_busy_and_a_short_lock_is_waited_for() {
        let bed = Bed::mariadb().await;
        let one = insert(&bed, &ann(), [1]).await.remove(0);
        let Connection::MySql { database, .. } = &bed.connection else { panic!("MySQL") };
        let mut other = root(&mariadb_place(), Some(database)).await;
        other.execute("START TRANSACTION").await.expect("begun");
        other.execute("UPDATE photo SET attempts = 7").await.expect("locked");
        let labels = [label("Dog", 90.0)];
        let (saved, ()) = tokio::join!(bed.catalog.save_labels(one.id, &labels, at(1)), async {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            other.execute("COMMIT").await.expect("unlocked");
        });
        assert!(saved.expect("saved at the second try"));
        bed.gone().await;
    }

    /// Asks until the catalog answers; panics after five seconds.
    async fn answers(catalog: &Catalog) -> Duration {
        let begun = Instant::now();
        while let Err(error) = catalog.check().await {
            assert!(begun.elapsed() < Duration::from_secs(5), "{error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_database_that_is_killed_hangs_or_turns_read_only_comes_back_without_a_restart() {
        let mut server = Server::new();
        let place = format!("127.0.0.1:{}", server.port);
        let bed_connection = mysql_connection(&place, "root", "", "Photos");
        let catalog = Catalog::open(&bed_connection, PoolSize(3)).expect("it opens before the server is up");
        let begun = Instant::now();
        while catalog.migrate().await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server comes up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop_nameless_accounts(&mut root(&place, None).await).await;
        catalog.grant_web_user("web_user", &"secret".to_owned().into()).await.expect("granted");
        let connection = mysql_connection(&place, "web_user", "secret", "Photos");
        let bed =
            Bed { catalog: Catalog::open(&connection, PoolSize(3)).expect("a catalog"), connection, folder: None };
        insert(&bed, &ann(), [1]).await;

        server.kill();
        let (_, took) = outage(&bed.catalog).await;
        assert!(took < Duration::from_millis(3500), "{took:?}");
        server.start();
        answers(&bed.catalog).await;
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 1, "an acknowledged photo survives");

        server.signal("-STOP");
        let asked = (0..6).map(|_| outage(&bed.catalog)).collect::<Vec<_>>();
        for (sentence, took) in futures_util::future::join_all(asked).await {
            assert!(took < Duration::from_secs(5), "{sentence} {took:?}");
        }
        server.signal("-CONT");
        answers(&bed.catalog).await;
        insert(&bed, &ann(), [2]).await;

        let mut root = root(&place, None).await;
        root.execute("SET GLOBAL read_only = 1").await.expect("a replica now");
        let third = photo(&ann(), 3);
        let (inserted, ()) = tokio::join!(bed.catalog.insert_photo(&third), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            root.execute("SET GLOBAL read_only = 0").await.expect("the new writer");
        });
        inserted.expect("retried on the new writer");
        bed.catalog.close().await;
        catalog.close().await;
    }
}
