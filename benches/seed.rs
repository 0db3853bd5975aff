//! Fills a catalog with plausible photos and times its pages:
//! `cargo bench --bench seed -- 1000000 --sqlite PATH` or `--mysql HOST:PORT/DATABASE` (user root, no password; the database is made when it is missing).

#[path = "seed/rows.rs"]
mod rows;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use photo_gallery::{
    catalog::{Catalog, Connection, PoolSize, Tls},
    photo::{Owner, Term},
};
use sqlx::{
    ConnectOptions as _, Connection as _,
    mysql::MySqlConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

const USAGE: &str = "say how many photos and where: `-- N --sqlite PATH` or `-- N --mysql HOST:PORT/DATABASE`";
const PAGE: u32 = 60;
const REPEATS: usize = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [photos, engine, place] = words.as_slice() else {
        println!("{USAGE}");
        return Ok(());
    };
    let photos: usize = photos.parse().context(USAGE)?;
    let owner = Owner::anonymous();
    let connection = match engine.as_str() {
        "--sqlite" => Connection::Sqlite { path: place.into() },
        "--mysql" => {
            let (address, database) = place.split_once('/').context(USAGE)?;
            let (host, port) = address.split_once(':').context(USAGE)?;
            Connection::MySql {
                host: host.to_owned(),
                port: port.parse().context(USAGE)?,
                user: "root".to_owned(),
                password: String::new().into(),
                database: database.to_owned(),
                tls: Tls::Preferred,
                ssl_ca: None,
            }
        }
        _ => bail!(USAGE),
    };
    let catalog = Catalog::open(&connection, PoolSize::default())?;
    catalog.migrate().await?;
    if catalog.totals(&owner).await?.photos == 0 {
        let begun = Instant::now();
        fill(&connection, &owner, photos).await?;
        println!("{photos} photos written in {:.1} s", begun.elapsed().as_secs_f64());
    }
    time_pages(&catalog, &owner).await
}

async fn fill(connection: &Connection, owner: &Owner, photos: usize) -> anyhow::Result<()> {
    match connection {
        Connection::Sqlite { path } => {
            let mut fast = SqliteConnectOptions::new()
                .filename(path)
                .synchronous(SqliteSynchronous::Off)
                .pragma("cache_size", "-400000")
                .connect()
                .await?;
            rows::fill_sqlite(&mut fast, owner, photos).await?;
            fast.close().await?;
        }
        Connection::MySql { host, port, user, database, .. } => {
            let options = MySqlConnectOptions::new().host(host).port(*port).username(user).database(database);
            rows::fill_mysql(&mut options.connect().await?, owner, photos).await?;
        }
    }
    Ok(())
}

/// Prints the median and the fastest time of each page's query; on a busy machine the fastest says more.
async fn time_pages(catalog: &Catalog, owner: &Owner) -> anyhow::Result<()> {
    let middle = {
        let mut before = None;
        for _ in 0..5 {
            before = catalog.photos(owner, &[], before.as_ref(), 500).await?.pop().map(|photo| photo.timeline_key);
        }
        before
    };
    let label = |name: &str| vec![Term::label(name)];
    let pages = [
        ("timeline, first page", vec![], None),
        ("timeline, a later page", vec![], middle.clone()),
        ("label, frequent", label("Dog"), None),
        ("label, rare", label("Accordion"), None),
        ("search, one frequent word", Term::words("img"), None),
        ("search, one file name", Term::words("img 0042"), None),
        ("search, two words", Term::words("wedding lake"), None),
        ("search, label and words", [label("Owl"), Term::words("garden")].concat(), middle),
        ("search, nothing found", Term::words("zebra"), None),
    ];
    for (name, terms, before) in pages {
        let mut times = Vec::with_capacity(REPEATS);
        let mut found = 0;
        for _ in 0..REPEATS {
            let begun = Instant::now();
            found = catalog.photos(owner, &terms, before.as_ref(), PAGE).await?.len();
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, fastest) = (millis(times[REPEATS / 2]), millis(times[0]));
        println!("{name:28} {found:3} photos {median:8.2} ms median {fastest:8.2} ms fastest");
    }
    let begun = Instant::now();
    let labels = catalog.label_totals(owner).await?.len();
    println!("{:28} {labels:3} labels {:8.2} ms", "label totals", millis(begun.elapsed()));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
