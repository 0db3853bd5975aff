//! The database: silent, out of connections, closing them, its answers lost (R10, R13 to R15). What a statement survives is shown in
//! `catalog/outages.rs`; here the whole program does.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::faults::gallery::{Gallery, Ledger};
use crate::{
    chaos::{Chaos, Fault},
    pictures,
    process::Process,
};

/// A gallery whose database is reached over a wire.
struct Wired {
    gallery: Gallery,
    wire: Chaos,
    ledger: Ledger,
}

impl Wired {
    async fn new() -> Self {
        let gallery = Gallery::on_servers().await;
        let database = gallery.database.as_ref().unwrap();
        let wire = Chaos::before(&format!("{}:{}", database.host, database.port)).await;
        let gallery = gallery.and("GALLERY__CATALOG__MYSQL__PORT", &wire.port().to_string());
        Self { gallery, wire, ledger: Ledger::default() }
    }

    async fn kept(&self, server: &Process, seed: u32) {
        self.ledger.upload_at_last(server, &pictures::jpeg(100, 75, seed), Duration::from_secs(15)).await;
    }

    async fn end(self, server: Process) {
        self.ledger.holds(&server).await;
        assert_eq!(server.all().await.len(), self.ledger.kept());
        assert!(server.terminate().await);
        self.gallery.check_clean().await;
        self.gallery.gone().await;
    }
}

async fn status(server: &Process, path: &str) -> StatusCode {
    server.client.get(format!("{}{path}", server.url)).header("accept", "text/html").send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_or_refuses_is_503_within_five_seconds_and_is_back_without_a_restart() {
    let wired = Wired::new().await;
    let server = wired.gallery.serve().await;
    wired.kept(&server, 0).await;
    for (seed, fault) in (1..).zip([Fault::Silence, Fault::Refuse]) {
        wired.wire.set(fault.clone());
        let asked = (0..24).map(|_| async {
            let began = Instant::now();
            (status(&server, "/photos").await, began.elapsed())
        });
        for (status, took) in join_all(asked).await {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
            assert!(took < Duration::from_secs(5), "{fault:?}: {took:?}");
        }
        let refused = wired.ledger.upload(&server, &pictures::jpeg(100, 75, seed)).await;
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE), "{fault:?}");
        assert_eq!(status(&server, "/ping").await, StatusCode::OK);
        wired.wire.heal();
        let began = Instant::now();
        while status(&server, "/photos").await != StatusCode::OK {
            assert!(began.elapsed() < Duration::from_secs(5), "{fault:?}: {}", server.log());
        }
        println!("{fault:?}: back after {:?}", began.elapsed());
        wired.kept(&server, seed).await;
        wired.gallery.check_clean().await;
    }
    wired.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_database_that_is_lost_makes_no_photo_twice_and_loses_none() {
    let wired = Wired::new().await;
    let server = wired.gallery.serve().await;
    let mut seed = 0;
    for part in ["COMMIT", "INSERT INTO photo "] {
        for _ in 0..4 {
            seed += 1;
            let before = wired.wire.struck();
            wired.wire.once(Fault::LoseAnswerTo(part.as_bytes()));
            wired.kept(&server, seed).await;
            println!("the answer to {part} was lost {} times", wired.wire.struck() - before);
            wired.wire.heal();
            assert_eq!(server.all().await.len(), wired.ledger.kept(), "{part}");
        }
        wired.gallery.check_clean().await;
    }
    assert!(wired.wire.struck() >= 4, "{} answers were lost", wired.wire.struck());
    wired.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_to_the_database_that_breaks_anywhere_makes_no_photo_twice_and_loses_none() {
    let wired = Wired::new().await;
    let server = wired.gallery.serve().await;
    wired.wire.set_each(&[(Fault::CutUp(8), 4), (Fault::CutDown(3), 4), (Fault::CutDown(0), 4)]);
    for seed in 0..12 {
        wired.kept(&server, seed).await;
    }
    println!("{} statements of {} were struck", wired.wire.struck(), wired.wire.turns());
    wired.wire.heal();
    wired.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_no_connection_left_is_503_at_worst_and_is_back_by_itself() {
    let wired = Wired::new().await;
    let database = wired.gallery.database.as_ref().unwrap();
    let user = format!("faults_{}", database.name.rsplit('_').next().unwrap());
    let server = wired.gallery.serve().await;
    wired.kept(&server, 0).await;
    database.run(&format!("ALTER USER {user} WITH MAX_USER_CONNECTIONS 1")).await;
    closed(&wired).await;
    let began = Instant::now();
    while status(&server, "/photos").await != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(5), "one connection is left: {}", server.log());
    }
    let statuses = join_all((0..16).map(|_| status(&server, "/photos"))).await;
    let fine = |status: &StatusCode| matches!(*status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE);
    assert!(statuses.iter().all(fine), "{statuses:?}");
    println!("with one connection: {statuses:?}");
    wired.kept(&server, 1).await;
    database.run(&format!("ALTER USER {user} WITH MAX_USER_CONNECTIONS 0")).await;
    let statuses = join_all((0..16).map(|_| status(&server, "/photos"))).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    wired.end(server).await;
}

/// Closes every connection of the gallery's, as the database does to idle ones.
async fn closed(wired: &Wired) {
    use sqlx::Row as _;
    let database = wired.gallery.database.as_ref().unwrap();
    let own = format!(
        "SELECT CAST(id AS CHAR) FROM information_schema.processlist WHERE db = '{}' AND user <> 'root'",
        database.name
    );
    for row in database.rows(&own).await {
        database.run(&format!("KILL {}", row.get::<String, _>(0))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_database_closed_are_nobodys_error() {
    let wired = Wired::new().await;
    let server = wired.gallery.serve().await;
    for seed in 0..3 {
        wired.kept(&server, seed).await;
        closed(&wired).await;
        let statuses = join_all((0..8).map(|_| status(&server, "/photos"))).await;
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
        closed(&wired).await;
        let (status, line) = server.try_upload("a.jpg", "", pictures::jpeg(100, 75, 100 + seed)).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{line}");
        wired.ledger.upload(&server, &pictures::jpeg(100, 75, 100 + seed)).await;
    }
    wired.end(server).await;
}
