//! Bringing the database to the shape this version knows, and telling which shape it has.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use anyhow::{Context as _, bail};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    mysql::MySqlConnectOptions,
};

use super::{
    Catalog, Connection, Line, Session,
    outage::{Code, Misfit},
};

/// The steps in their order; a step that was released is never changed. Steps only add, as the version before goes on working on what they
/// leave, while instances are replaced and after a step back: tables, columns that may be left out, indexes that forbid nothing. Those of a
/// later version are passed over, however much later it is: so a step that takes something away needs another way to be told apart first.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let steps = [
        ("photo", include_str!("../../migrations/0001_photo.sql")),
        ("photo label", include_str!("../../migrations/0002_photo_label.sql")),
        ("photo term", include_str!("../../migrations/0003_photo_term.sql")),
        ("totals", include_str!("../../migrations/0004_totals.sql")),
        ("discarded object", include_str!("../../migrations/0005_discarded_object.sql")),
        ("account", include_str!("../../migrations/0006_account.sql")),
        ("session", include_str!("../../migrations/0007_session.sql")),
        ("rate limit", include_str!("../../migrations/0008_rate_limit.sql")),
        ("departing", include_str!("../../migrations/0009_departing.sql")),
        ("lease", include_str!("../../migrations/0010_lease.sql")),
        ("in hand", include_str!("../../migrations/0011_in_hand.sql")),
        ("content label", include_str!("../../migrations/0012_content_label.sql")),
        ("unfinished", include_str!("../../migrations/0013_unfinished.sql")),
        ("discarded object tried", include_str!("../../migrations/0014_discarded_object_tried.sql")),
    ];
    let step = |(version, (name, text)): (i64, (&'static str, &'static str))| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(steps).map(step).collect());
    migrator.set_ignore_missing(true);
    migrator
});

/// How long `migrate` waits for a connection, and for another `migrate` to end, in seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_SECONDS: i64 = 60;
/// One lock for each database of a server.
const LOCK_NAME: &str = "CONCAT('photo-gallery ', LEFT(SHA1(DATABASE()), 40))";

/// How the database's shape compares with what this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// As this version knows it.
    Current,
    /// Nothing of ours is there yet; there may be a `photo` table of the course's app.
    Empty,
    /// This many migrations are still to be run.
    Older(usize),
    /// A later version has run this many migrations that this one does not know, beside all that it knows: it works on these tables too.
    Newer(usize),
}

impl Catalog {
    /// Compares the database's shape with what this version knows.
    pub async fn schema_state(&self) -> anyhow::Result<SchemaState> {
        let applied: Option<Vec<(i64, bool)>> = read!(self, "reading the database's version", |session| {
            let (tables,) = match session {
                Session::MySql(_) => select!(
                    session,
                    fetch_one,
                    (i64,),
                    "SELECT COUNT(*) FROM information_schema.tables \
                     WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'"
                ),
                Session::Sqlite(_) => {
                    select!(
                        session,
                        fetch_one,
                        (i64,),
                        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
                    )
                }
            }?;
            if tables == 0 {
                return Ok(None);
            }
            Ok(Some(select!(session, fetch_all, (i64, bool), "SELECT version, success FROM _sqlx_migrations")?))
        })?;
        let Some(applied) = applied.filter(|applied| !applied.is_empty()) else { return Ok(SchemaState::Empty) };
        let unknown = applied.iter().filter(|(version, _)| !MIGRATIONS.version_exists(*version)).count();
        let applied: HashMap<i64, bool> = applied.into_iter().collect();
        let pending = MIGRATIONS.iter().filter(|step| applied.get(&step.version) != Some(&true)).count();
        Ok(match (pending, unknown) {
            (0, 0) => SchemaState::Current,
            (0, unknown) => SchemaState::Newer(unknown),
            (pending, _) => SchemaState::Older(pending),
        })
    }

    /// Brings the database to this version's shape; on MySQL it makes the database itself when it is missing. Needs an account that may create
    /// tables. Safe to repeat, to run in several places at once, and to repeat after it was killed half-way. Leaves what a later version did.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let outcome = match self.connection.mysql_options() {
            None => self.migrate_sqlite().await,
            Some(options) => self.migrate_mysql(options).await,
        };
        outcome.map_err(|error| self.explained(error, "migrating the database"))
    }

    /// In one transaction that no second migration can enter.
    async fn migrate_sqlite(&self) -> anyhow::Result<()> {
        let mut line = self.writer(self.deadline()).await?;
        let Line::Sqlite(connection) = &mut line else { bail!("this catalog is not SQLite") };
        let mut open = connection.begin_with("BEGIN IMMEDIATE").await?;
        MIGRATIONS.run(&mut *open).await.map_err(in_words)?;
        open.commit().await?;
        Ok(())
    }

    /// MySQL cannot undo table changes, so a lock keeps others out and what a killed run left is completed first.
    /// The lock is ours: MariaDB refuses the endless wait by which sqlx takes its own, and goes on without it.
    async fn migrate_mysql(&self, options: MySqlConnectOptions) -> anyhow::Result<()> {
        let mut connection = self.master_connection(options).await?;
        let (locked,): (Option<i64>,) =
            sqlx::query_as(AssertSqlSafe(format!("SELECT GET_LOCK({LOCK_NAME}, {LOCK_SECONDS})")))
                .fetch_one(&mut connection)
                .await?;
        if locked != Some(1) {
            bail!(
                "another migration of this database has been running for {LOCK_SECONDS} seconds: wait for it, then try again"
            );
        }
        complete_killed_run(&mut connection).await?;
        MIGRATIONS.run(&mut connection).await.map_err(in_words)?;
        connection.close().await?;
        Ok(())
    }

    /// A connection apart from the pool's: without its short lock timeouts, and without a word of its statements in the log.
    pub(super) async fn master_connection(&self, options: MySqlConnectOptions) -> anyhow::Result<MySqlConnection> {
        let options = options.disable_statement_logging();
        let connect = async |options: &MySqlConnectOptions| {
            tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        match connect(&options).await {
            Err(error) if Code::of(&error) == Code::MySql(1049) => {}
            outcome => return Ok(outcome?),
        }
        let Connection::MySql { host, port, user, database, .. } = &self.connection else {
            bail!("this catalog is not MySQL")
        };
        tracing::info!(%host, port, %user, %database, "making the database");
        // The options cannot forget a database once it is named; every server has this one.
        let mut connection = connect(&options.clone().database("information_schema")).await?;
        let create = format!(
            "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            super::grants::quoted_name(database)
        );
        connection.execute(AssertSqlSafe(create)).await.context("making the database")?;
        connection.close().await?;
        Ok(connect(&options).await?)
    }
}

/// Runs the statements of a migration that began and did not end; those that took effect already say so and are passed over.
async fn complete_killed_run(connection: &mut MySqlConnection) -> anyhow::Result<()> {
    let begun: Vec<(i64,)> = match sqlx::query_as("SELECT version FROM _sqlx_migrations WHERE success = FALSE")
        .fetch_all(&mut *connection)
        .await
    {
        Err(error) if Code::of(&error) == Code::MySql(1146) => return Ok(()),
        outcome => outcome?,
    };
    for step in MIGRATIONS.iter().filter(|step| begun.contains(&(step.version,))) {
        tracing::warn!(version = step.version, "completing a migration that was interrupted");
        complete(connection, step).await.with_context(|| format!("completing migration {}", step.version))?;
    }
    Ok(())
}

async fn complete(connection: &mut MySqlConnection, step: &Migration) -> anyhow::Result<()> {
    for statement in step.sql.as_str().split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await {
            // The table, column or index is there already.
            Err(error) if matches!(Code::of(&error), Code::MySql(1050 | 1060 | 1061)) => {}
            outcome => {
                outcome?;
            }
        }
    }
    sqlx::query("UPDATE _sqlx_migrations SET success = TRUE, checksum = ? WHERE version = ?")
        .bind(step.checksum.as_ref())
        .bind(step.version)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// What went wrong in words an operator can act on.
fn in_words(error: MigrateError) -> anyhow::Error {
    match error {
        MigrateError::VersionMismatch(version) => Misfit(format!(
            "migration {version} was run here in another form: this database belongs to another build of photo-gallery"
        ))
        .into(),
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause.into(),
        other => other.into(),
    }
}
