//! The database: the way there, who we are there, and what it is like.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::net::TcpStream;

use super::door::resolved;
use crate::{
    app::{
        database::{authorities, catalog_of, misfit},
        now,
    },
    catalog::{Catalog, Outage, SchemaState},
    doctor::{Chart, Seen},
    photo::counted,
    settings::{self, MySql, Settings, Tls},
};

/// How long connecting may take: within one network it takes milliseconds.
const CONNECTS_WITHIN: Duration = Duration::from_secs(4);
/// How long SQLite's file is looked at.
const LOOKED_AT_FOR: Duration = Duration::from_secs(8);
/// How long the connections are waited for at the end.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);
/// From this difference on a clock is called wrong, in seconds.
const NOTABLE: i64 = 60;

pub(super) async fn examine(settings: &Settings, chart: &mut Chart) {
    match &settings.catalog {
        settings::Catalog::Sqlite => file(settings, chart).await,
        settings::Catalog::MySql(set) => server(settings, set, chart).await,
    }
}

async fn file(settings: &Settings, chart: &mut Chart) {
    let path = settings.catalog_file();
    if !path.exists() {
        return chart.note("database", Ok(Seen::ok(format!("{} is not there yet, and will be made", path.display()))));
    }
    let catalog = match catalog_of(settings) {
        Ok(catalog) => catalog,
        Err(cause) => return chart.note("database", Err(cause)),
    };
    let state = chart.look("database", async {
        let state = catalog.schema_state().await.map_err(told)?;
        Ok(match state {
            SchemaState::Current => Seen::ok(format!("{} has this version's tables", path.display())),
            SchemaState::Empty | SchemaState::Older(_) => {
                Seen::ok(format!("{} is brought to this version's tables at the start", path.display()))
            }
            SchemaState::Newer(_) => later(&path.display().to_string()),
        })
    });
    if state.await.is_some() {
        chart.look("database file", undamaged(&catalog)).await;
        chart.look("database journal", journal(&catalog)).await;
    }
    let _ = tokio::time::timeout(CLOSES_WITHIN, catalog.close()).await;
}

async fn undamaged(catalog: &Catalog) -> anyhow::Result<Seen> {
    let Ok(damage) = tokio::time::timeout(LOOKED_AT_FOR, catalog.quick_damage()).await else {
        return Ok(Seen::warn(
            "the file is too large to be looked at in a few seconds: `photo-gallery check --deep` does it",
        ));
    };
    let damage = damage.map_err(told)?;
    ensure!(damage.is_empty(), "the file is damaged ({}): put its backup in place", damage.join("; "));
    Ok(Seen::ok("SQLite finds no damage"))
}

async fn journal(catalog: &Catalog) -> anyhow::Result<Seen> {
    let mode = catalog.journal_mode().await.map_err(told)?.unwrap_or_default();
    Ok(if mode == "wal" {
        Seen::ok("a write-ahead log: pages are read while photos are written")
    } else {
        Seen::warn(format!("the journal is kept as `{mode}`, not as a write-ahead log: put the file on a local disk"))
    })
}

async fn server(settings: &Settings, set: &MySql, chart: &mut Chart) {
    let rest = "the rest of the database";
    if set.host.parse::<IpAddr>().is_err() && chart.look("database name", named(set)).await.is_none() {
        return chart.skip(rest, "its name does not resolve");
    }
    if chart.look("database port", reached(set)).await.is_none() {
        return chart.skip(rest, "it cannot be reached");
    }
    match authorities(set) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let found = counted(found as u64, "certificate", "certificates");
            chart.note("database authorities", Ok(Seen::ok(format!("catalog.mysql.ssl_ca holds {found}"))));
        }
        Err(cause) => {
            chart.note("database authorities", Err(cause));
            return chart.skip(rest, "its certificate cannot be checked");
        }
    }
    let catalog = match catalog_of(settings) {
        Ok(catalog) => catalog,
        Err(cause) => return chart.note("database", Err(cause)),
    };
    if chart.look("database sign-in", signed_in(&catalog, set)).await.is_some() {
        chart.look("database encryption", encrypted(&catalog, set)).await;
        match chart.look("database tables", tables(&catalog)).await {
            Some(()) => {
                chart.look("database rights", rights(&catalog, &set.user)).await;
                chart.look("database characters", characters(&catalog)).await;
            }
            None => chart.skip("database rights", "the tables are not those of this version"),
        }
        chart.look("database writes", writable(&catalog)).await;
        chart.look("database clock", clock(&catalog)).await;
    } else {
        chart.skip(rest, "nobody can sign in to it");
    }
    let _ = tokio::time::timeout(CLOSES_WITHIN, catalog.close()).await;
}

/// The sentence about an outage alone: what the driver says adds nothing to it.
fn told(cause: anyhow::Error) -> anyhow::Error {
    match cause.downcast_ref::<Outage>() {
        Some(outage) => anyhow!("{outage}"),
        None => cause,
    }
}

async fn named(set: &MySql) -> anyhow::Result<Seen> {
    let found = resolved(&set.host, "catalog.mysql.host").await?;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    Ok(Seen::ok(format!("{} is {}", set.host, found.join(", "))))
}

async fn reached(set: &MySql) -> anyhow::Result<Seen> {
    let MySql { host, port, .. } = set;
    match tokio::time::timeout(CONNECTS_WITHIN, TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(_)) => Ok(Seen::ok(format!("{host}:{port} can be connected to"))),
        Ok(Err(refused)) => bail!(
            "nothing listens at {host}:{port} ({refused}): start the database, or correct catalog.mysql.host and .port"
        ),
        Err(_) => bail!(
            "{host}:{port} does not answer within {} s: let this machine's security group in at the database's, on port {port}",
            CONNECTS_WITHIN.as_secs()
        ),
    }
}

async fn signed_in(catalog: &Catalog, set: &MySql) -> anyhow::Result<Seen> {
    catalog.check().await.map_err(told)?;
    Ok(Seen::ok(format!("`{}` is let in to `{}`", set.user, set.database)))
}

async fn encrypted(catalog: &Catalog, set: &MySql) -> anyhow::Result<Seen> {
    let here = set.host == "localhost" || set.host.parse().is_ok_and(|host: IpAddr| host.is_loopback());
    Ok(match (catalog.cipher().await.map_err(told)?, set.tls) {
        (Some(cipher), Tls::VerifyIdentity) => Seen::ok(format!("{cipher}; certificate and host name are checked")),
        (Some(cipher), Tls::VerifyCa) => Seen::ok(format!("{cipher}; the certificate is checked")),
        (Some(cipher), _) if here => Seen::ok(format!("{cipher}; the database is on this machine")),
        (Some(cipher), _) => Seen::warn(format!(
            "{cipher}, and anybody on the way could pose as the database: set catalog.mysql.tls to verify_identity, and .ssl_ca"
        )),
        (None, _) if here => Seen::ok("not encrypted, and the database is on this machine"),
        (None, _) => Seen::warn(
            "the connection is not encrypted: photos' names and password hashes can be read on the way; set catalog.mysql.tls to \
             verify_identity, and .ssl_ca",
        ),
    })
}

async fn tables(catalog: &Catalog) -> anyhow::Result<Seen> {
    let state = catalog.schema_state().await.map_err(told)?;
    match misfit(&state) {
        None if matches!(state, SchemaState::Newer(_)) => Ok(later("the database")),
        None => Ok(Seen::ok("they are those of this version")),
        Some(misfit) => Err(misfit.into()),
    }
}

/// `what` has tables of a later version, which leave this one all it needs.
fn later(what: &str) -> Seen {
    Seen::warn(format!(
        "{what} has tables of a newer version, on which this one works: it should be replaced by that version"
    ))
}

async fn rights(catalog: &Catalog, user: &str) -> anyhow::Result<Seen> {
    let rights = catalog.rights().await.map_err(told)?;
    ensure!(
        rights.missing.is_empty(),
        "`{user}` may not {} photos: `photo-gallery migrate` grants it what it needs",
        rights.missing.join(", ")
    );
    Ok(if rights.excess.is_empty() {
        Seen::ok(format!("`{user}` may SELECT, INSERT, UPDATE and DELETE, and nothing else"))
    } else {
        Seen::warn(format!(
            "`{user}` may do more than it needs ({}): sign in with an account that `photo-gallery migrate` has made",
            rights.excess.join("; ")
        ))
    })
}

async fn characters(catalog: &Catalog) -> anyhow::Result<Seen> {
    let lossy = catalog.lossy_collations().await.map_err(told)?;
    Ok(if lossy.is_empty() {
        Seen::ok("utf8mb4_bin: every character is kept, and told from every other")
    } else {
        Seen::warn(format!(
            "tables have the collation {}: convert them with ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            lossy.join(", ")
        ))
    })
}

async fn writable(catalog: &Catalog) -> anyhow::Result<Seen> {
    ensure!(
        catalog.takes_writes().await.map_err(told)?,
        "the database takes no writes: it is a replica, or was set read-only; point catalog.mysql.host at the one that does"
    );
    Ok(Seen::ok("it takes writes"))
}

async fn clock(catalog: &Catalog) -> anyhow::Result<Seen> {
    let there = catalog.clock().await.map_err(told)?.context("the database has no clock")?;
    let off = (now() - there).num_seconds().abs();
    Ok(if off < NOTABLE {
        Seen::ok("it agrees with this machine's")
    } else {
        Seen::warn(format!("it is {off} s off this machine's: one of them is wrong; set it"))
    })
}
