//! How the database is reached, and brought to a version.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use secrecy::SecretString;

use super::now;
use crate::{
    catalog::{Catalog, Connection, Misfit, PoolSize, SchemaState, Tls},
    settings::{self, Settings},
};

/// How to reach the catalog with the settings' own account.
pub fn connection(settings: &Settings) -> Connection {
    match &settings.catalog {
        settings::Catalog::Sqlite => Connection::Sqlite { path: settings.catalog_file() },
        settings::Catalog::MySql(mysql) => Connection::MySql {
            host: mysql.host.clone(),
            port: mysql.port,
            user: mysql.user.clone(),
            password: mysql.password.clone().unwrap_or_default(),
            database: mysql.database.clone(),
            tls: match mysql.tls {
                settings::Tls::Disabled => Tls::Disabled,
                settings::Tls::Preferred => Tls::Preferred,
                settings::Tls::Required => Tls::Required,
                settings::Tls::VerifyCa => Tls::VerifyCa,
                settings::Tls::VerifyIdentity => Tls::VerifyIdentity,
            },
            ssl_ca: mysql.ssl_ca.clone(),
        },
    }
}

/// The catalog, not asked anything yet.
pub(super) fn catalog_of(settings: &Settings) -> anyhow::Result<Catalog> {
    let connection = connection(settings);
    match &settings.catalog {
        settings::Catalog::Sqlite => Catalog::open(&connection, PoolSize::default()),
        settings::Catalog::MySql(mysql) => {
            authorities(mysql)?;
            let wait = Duration::from_secs(mysql.acquire_timeout_seconds);
            Catalog::open_waiting(&connection, PoolSize(mysql.connections), wait)
        }
    }
}

/// How many certificates the file of authorities holds, where there is one. What is wrong with it would else be told as an outage.
pub(super) fn authorities(mysql: &settings::MySql) -> anyhow::Result<Option<usize>> {
    let Some(file) = &mysql.ssl_ca else { return Ok(None) };
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| {
        format!("the file {shown} of authorities cannot be read; set `catalog.mysql.ssl_ca` to a PEM file")
    })?;
    let certificates = String::from_utf8_lossy(&text).matches("-----BEGIN CERTIFICATE-----").count();
    ensure!(
        certificates > 0,
        "the file {shown} holds no certificate; set `catalog.mysql.ssl_ca` to a PEM file of authorities"
    );
    Ok(Some(certificates))
}

/// The catalog at the schema that this program knows.
pub(super) async fn open_catalog(settings: &Settings) -> anyhow::Result<Catalog> {
    let catalog = catalog_of(settings)?;
    prove_catalog(&catalog, matches!(settings.catalog, settings::Catalog::Sqlite)).await?;
    Ok(catalog)
}

/// What to do when the catalog does not serve.
pub(super) const SQLITE: &str =
    "the catalog below `data` cannot be used; set `data` to another folder or put its backup in place";
pub(super) const MYSQL: &str =
    "the database cannot be used; check `catalog.mysql.host`, `.port`, `.user`, `.password`, `.database` and `.tls`";

/// Proves that the catalog has the schema that this program knows, or a later one: SQLite is brought to it here, MySQL must have been by
/// `migrate`.
pub(super) async fn prove_catalog(catalog: &Catalog, sqlite: bool) -> anyhow::Result<()> {
    if sqlite {
        catalog.migrate().await.context(SQLITE)?;
    }
    let state = catalog.schema_state().await.context(if sqlite { SQLITE } else { MYSQL })?;
    if let SchemaState::Newer(steps) = state {
        tracing::warn!(
            steps,
            "the database's tables are of a newer version, which leaves this program all it needs: it works on them, and should be \
             replaced by that version"
        );
    }
    misfit(&state).map_or(Ok(()), |misfit| Err(misfit.into()))
}

/// What is to be done about a database in this state; `None` when it serves.
pub(super) fn misfit(state: &SchemaState) -> Option<Misfit> {
    Some(Misfit(match state {
        SchemaState::Current | SchemaState::Newer(_) => return None,
        SchemaState::Empty => {
            "the database has no tables of the gallery yet; run `photo-gallery migrate` once, with the master account"
                .to_owned()
        }
        SchemaState::Older(steps) => format!(
            "the database's tables are of an older version ({steps} steps behind); run `photo-gallery migrate`, with the master account"
        ),
    }))
}

/// Brings a MySQL database to this version's tables with the account `admin`, and makes the settings' own account with its four grants. The
/// state afterwards: current, or newer where a later version was there before.
pub async fn migrate(settings: &Settings, admin: &str, password: SecretString) -> anyhow::Result<SchemaState> {
    let settings::Catalog::MySql(own) = &settings.catalog else {
        return open_catalog(settings).await?.schema_state().await;
    };
    authorities(own)?;
    let Connection::MySql { host, port, database, tls, ssl_ca, .. } = connection(settings) else {
        bail!("a MySQL catalog has a MySQL connection")
    };
    let connection = Connection::MySql { host, port, user: admin.to_owned(), password, database, tls, ssl_ca };
    let catalog = Catalog::open(&connection, PoolSize::default())?;
    catalog.migrate().await?;
    while catalog.adopt(now(), 500).await? > 0 {}
    match &own.password {
        Some(password) if own.user != admin => catalog.grant_web_user(&own.user, password).await?,
        _ => {}
    }
    catalog.schema_state().await
}
