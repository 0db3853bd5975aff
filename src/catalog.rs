//! All SQL: one text for MySQL and SQLite, each statement written once. What the catalog does not list does not exist.
//!
//! Clauses that only MySQL needs stand in its executable comments `/*! */`, which SQLite skips. No clock is read here: time comes in as an argument.
#![expect(clippy::disallowed_methods, reason = "this module is where SQL is allowed")]

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use sqlx::{Connection as _, MySqlConnection, MySqlPool, SqliteConnection, SqlitePool, pool::PoolConnection};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use self::outage::Code;

pub use self::{
    account::{Account, Enrolled, Enrolment, Standing, password_mark},
    audit::{Flaw, Inspected, Miscount, Stray, Unlisted},
    code::Purpose,
    condition::Rights,
    connection::{Connection, PoolSize, Tls},
    content_label::Known,
    departing::Departing,
    intake::Inserted,
    lease::Lease,
    outage::{Misfit, Outage, is_refusal},
    rate_limit::{Rate, Taken},
    schema::SchemaState,
    session::{Begun, SessionRecord},
    timeline::{MAX_TERMS, WALKS, Walk},
    totals::Totals,
    unfinished::{COUNTED, Progress, Stage},
    work::{CRASHES, Claim, Claimed},
};

/// How long one question to MySQL may take, waiting for a connection and trying again included.
const PATIENCE: Duration = Duration::from_millis(4500);

/// How often a server that has no connection left is asked for one.
const AT_THE_DOOR: Duration = Duration::from_millis(20);

/// Gives `$link`, the connection to either engine, to one expression.
macro_rules! either {
    ($kind:ident, $on:expr, $link:ident => $body:expr) => {
        match $on {
            $kind::MySql($link) => $body,
            $kind::Sqlite($link) => $body,
        }
    };
}

/// Runs a statement in a [`Session`] and tells how many rows it matched.
macro_rules! execute {
    ($session:expr, $text:expr $(, $value:expr)* $(,)?) => {
        either!(Session, $session, link =>
            sqlx::query($text)$(.bind($value))*.execute(&mut **link).await.map(|done| done.rows_affected()))
    };
}

/// Reads rows in a [`Session`]: `select!(session, fetch_all, Row, text, values...)`.
macro_rules! select {
    ($session:expr, $fetch:ident, $row:ty, $text:expr $(, $value:expr)* $(,)?) => {
        either!(Session, $session, link =>
            sqlx::query_as::<_, $row>($text)$(.bind($value))*.$fetch(&mut **link).await)
    };
}

/// Runs a block that reads: `read!(catalog, "listing photos", |session| ...)`, again when its connection turns out to be dead. The block ends
/// in a `Result`.
macro_rules! read {
    ($catalog:expr, $doing:expr, |$session:ident| $body:expr) => {{
        let deadline = $catalog.deadline();
        let mut tries = $crate::catalog::outage::Tries::new();
        loop {
            let outcome: anyhow::Result<_> = async {
                let mut line = $catalog.reader(deadline).await?;
                let done = tokio::time::timeout_at(deadline, async {
                    let mut session = line.session();
                    let $session = &mut session;
                    let value: anyhow::Result<_> = async { $body }.await;
                    value
                })
                .await;
                line.judge(done)
            }
            .await;
            match outcome {
                Err(error) if tries.again(&error, false).await => {}
                outcome => break outcome.map_err(|error| $catalog.explained(error, $doing)),
            }
        }
    }};
}

/// Runs a block in a transaction, again when the engine says that trying again helps, or when the connection died before the commit was asked
/// for. The block ends in an `anyhow::Result`. When the answer to the commit is lost that is an error: it may or may not have happened.
macro_rules! transaction {
    ($catalog:expr, $doing:expr, |$session:ident| $body:expr) => {
        transaction!(@ false, $catalog, $doing, |$session| $body)
    };
    (@ $repeatable:literal, $catalog:expr, $doing:expr, |$session:ident| $body:expr) => {{
        let deadline = $catalog.deadline();
        let mut tries = $crate::catalog::outage::Tries::new();
        loop {
            let mut committing = false;
            let outcome: anyhow::Result<_> = async {
                let mut line = $catalog.writer(deadline).await?;
                let done = tokio::time::timeout_at(deadline, async {
                    let mut open = line.begin().await?;
                    let value: anyhow::Result<_> = {
                        let mut session = open.session();
                        let $session = &mut session;
                        async { $body }.await
                    };
                    let value = value?;
                    committing = true;
                    open.commit().await?;
                    anyhow::Ok(value)
                })
                .await;
                line.judge(done)
            }
            .await;
            match outcome {
                Err(error) if tries.again(&error, committing && !$repeatable).await => {}
                outcome => break outcome.map_err(|error| $catalog.explained(error, $doing)),
            }
        }
    }};
}

/// A [`transaction!`] that does no harm and answers the same when it is done twice: it is begun again also when the answer to its commit is lost.
macro_rules! repeatable {
    ($catalog:expr, $doing:expr, |$session:ident| $body:expr) => {
        transaction!(@ true, $catalog, $doing, |$session| $body)
    };
}

mod account;
mod adoption;
mod audit;
mod code;
mod condition;
mod connection;
mod content_label;
mod departing;
mod discards;
mod grants;
mod intake;
mod lease;
mod outage;
mod overdue;
mod rate_limit;
mod row;
mod schema;
mod session;
mod takeover;
mod terms;
mod timeline;
mod totals;
mod unfinished;
mod work;

/// The list of all photos and what is known about them. Cheap to clone; remembers nothing but its connections.
#[derive(Clone, Debug)]
pub struct Catalog {
    pool: Pool,
    /// Where the database is, for sentences.
    place: String,
    connection: Connection,
    /// How long a question waits for a connection.
    wait: Duration,
    /// Where those wait whom a crowded server has turned away.
    door: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
enum Pool {
    MySql(MySqlPool),
    /// SQLite lets one writer in at a time: ours queue for their one connection instead of polling the file's lock.
    Sqlite {
        readers: SqlitePool,
        writer: SqlitePool,
    },
}

/// A connection on loan from a pool.
enum Line {
    MySql(PoolConnection<sqlx::MySql>),
    Sqlite(PoolConnection<sqlx::Sqlite>),
}

/// An open transaction; dropped without `commit` it is rolled back.
enum Open<'line> {
    MySql(sqlx::Transaction<'line, sqlx::MySql>),
    Sqlite(sqlx::Transaction<'line, sqlx::Sqlite>),
}

/// A connection as statements use it, in or out of a transaction.
enum Session<'line> {
    MySql(&'line mut MySqlConnection),
    Sqlite(&'line mut SqliteConnection),
}

impl Catalog {
    /// The catalog at `connection`, with at most `size` connections. Connects only when first asked, so it also opens while the database is down.
    ///
    /// # Errors
    /// When the folder of a SQLite file cannot be made.
    pub fn open(connection: &Connection, size: PoolSize) -> anyhow::Result<Self> {
        Self::open_waiting(connection, size, connection::ACQUIRE_TIMEOUT)
    }

    /// [`open`](Self::open), with the time for which a question waits for a connection to MySQL.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(connection: &Connection, size: PoolSize, wait: Duration) -> anyhow::Result<Self> {
        let pool = match connection {
            Connection::Sqlite { path } => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder).with_context(|| {
                        format!("the catalog's folder {} cannot be made; choose another or allow it", folder.display())
                    })?;
                }
                let (readers, writer) = connection::sqlite_pools(path, size);
                Pool::Sqlite { readers, writer }
            }
            Connection::MySql { .. } => Pool::MySql(connection::mysql_pool(connection, size, wait)),
        };
        Ok(Self { pool, place: connection.place(), connection: connection.clone(), wait, door: Arc::default() })
    }

    /// Whether the database answers now.
    pub async fn check(&self) -> anyhow::Result<()> {
        read!(self, "asking the database whether it is there", |session| {
            execute!(session, "SELECT 1")?;
            Ok(())
        })
    }

    /// Whether the database takes writes, as far as it says itself; SQLite says so only when it is written to.
    pub async fn takes_writes(&self) -> anyhow::Result<bool> {
        read!(self, "asking the database whether it takes writes", |session| {
            let (read_only,) = select!(
                session,
                fetch_one,
                (i64,),
                "SELECT /*! @@global.read_only OR @@global.innodb_read_only OR */ 0"
            )?;
            Ok(read_only == 0)
        })
    }

    /// Closes all connections once they are returned.
    pub async fn close(&self) {
        match &self.pool {
            Pool::MySql(pool) => pool.close().await,
            Pool::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }

    /// Until when a question that begins now must be answered. SQLite cannot hang, only wait for its lock, which has a limit of its own.
    fn deadline(&self) -> Instant {
        let patience = match &self.pool {
            Pool::MySql(_) => PATIENCE,
            Pool::Sqlite { .. } => Duration::from_mins(10),
        };
        Instant::now() + patience
    }

    async fn reader(&self, deadline: Instant) -> Result<Line, sqlx::Error> {
        Ok(match &self.pool {
            Pool::MySql(pool) => Line::MySql(self.mysql_line(pool, deadline).await?),
            Pool::Sqlite { readers, .. } => Line::Sqlite(readers.acquire().await?),
        })
    }

    async fn writer(&self, deadline: Instant) -> Result<Line, sqlx::Error> {
        Ok(match &self.pool {
            Pool::MySql(pool) => Line::MySql(self.mysql_line(pool, deadline).await?),
            Pool::Sqlite { writer, .. } => Line::Sqlite(writer.acquire().await?),
        })
    }

    /// A connection of the pool's. While the server lets us have no more, or comes up, one is waited for: one of ours may come back. Those who
    /// wait try one at a time, as servers count those whom they turn away, too.
    async fn mysql_line(
        &self,
        pool: &MySqlPool,
        deadline: Instant,
    ) -> Result<PoolConnection<sqlx::MySql>, sqlx::Error> {
        let until = deadline.min(Instant::now() + self.wait);
        let mut door = None;
        loop {
            match timeout_at(until, pool.acquire()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Err(error)
                    if (Code::of(&error).is_crowded() || matches!(error, sqlx::Error::Io(_)))
                        && outage::distrust(&error).is_none()
                        && Instant::now() < until =>
                {
                    if door.is_none() {
                        door = timeout_at(until, self.door.lock()).await.ok();
                    }
                    tokio::time::sleep(AT_THE_DOOR).await;
                    if Instant::now() >= until {
                        return Err(error);
                    }
                }
                line => return line,
            }
        }
    }
}

impl Line {
    fn session(&mut self) -> Session<'_> {
        match self {
            Self::MySql(line) => Session::MySql(&mut *line),
            Self::Sqlite(line) => Session::Sqlite(&mut *line),
        }
    }

    async fn begin(&mut self) -> Result<Open<'_>, sqlx::Error> {
        Ok(match self {
            Self::MySql(line) => Open::MySql(line.begin().await?),
            Self::Sqlite(line) => Open::Sqlite(line.begin_with("BEGIN IMMEDIATE").await?),
        })
    }

    /// Passes an outcome on; a connection that hangs or leads to a server that no longer takes writes is closed, not lent again.
    fn judge<T>(mut self, done: Result<anyhow::Result<T>, tokio::time::error::Elapsed>) -> anyhow::Result<T> {
        let outcome = done.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
        if outcome.as_ref().is_err_and(outage::spoils_connection) {
            match &mut self {
                Self::MySql(line) => line.close_on_drop(),
                Self::Sqlite(line) => line.close_on_drop(),
            }
        }
        outcome
    }
}

impl Open<'_> {
    fn session(&mut self) -> Session<'_> {
        match self {
            Self::MySql(open) => Session::MySql(&mut *open),
            Self::Sqlite(open) => Session::Sqlite(&mut *open),
        }
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::MySql(open) => open.commit().await,
            Self::Sqlite(open) => open.commit().await,
        }
    }
}
