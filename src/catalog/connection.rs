//! How to reach the database, and in what mood its sessions are.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    Executor as _, MySqlPool, SqlitePool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How long a request waits for a connection; also how soon a database that is down is an error.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long SQLite waits for another process's write, and our writers for one another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than any server's `wait_timeout` worth having, so that the pool drops connections before the server does.
const MAX_LIFETIME: Duration = Duration::from_mins(15);
/// SQLite keeps its write-ahead log below this size, in bytes, between checkpoints.
const JOURNAL_LIMIT: &str = "67108864";
/// Nothing is silently cut or zeroed; a lock is waited for less long than a visitor; gaps are not locked.
const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = 2; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Where the catalog lies.
#[derive(Clone, Debug)]
pub enum Connection {
    /// A file on this machine; it and its folder are made when absent.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// MySQL 8 or later, or MariaDB 10.11 or later.
    MySql {
        /// Host name or address.
        host: String,
        /// Port, usually 3306.
        port: u16,
        /// Account.
        user: String,
        /// Its password; may hold any character.
        password: SecretString,
        /// Database (schema) name.
        database: String,
        /// How far the connection is encrypted and the server's certificate checked.
        tls: Tls,
        /// A PEM file of authorities to trust instead of the public ones.
        ssl_ca: Option<PathBuf>,
    },
}

impl Connection {
    /// The place in words, without secrets.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite { path } => path.display().to_string(),
            Self::MySql { host, port, .. } => format!("{host}:{port}"),
        }
    }

    pub(super) fn mysql_options(&self) -> Option<MySqlConnectOptions> {
        let Self::MySql { host, port, user, password, database, tls, ssl_ca } = self else { return None };
        let mut options = MySqlConnectOptions::new()
            .host(host)
            .port(*port)
            .username(user)
            .database(database)
            .ssl_mode(tls.mode())
            .charset("utf8mb4")
            .collation("utf8mb4_bin")
            .timezone("+00:00".to_owned())
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        if !password.expose_secret().is_empty() {
            options = options.password(password.expose_secret());
        }
        if let Some(file) = ssl_ca {
            options = options.ssl_ca(file);
        }
        Some(options)
    }
}

/// How far a connection to MySQL is encrypted, under the names MySQL's own clients use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Never.
    Disabled,
    /// When the server can; its certificate is not checked.
    #[default]
    Preferred,
    /// Always; the certificate is not checked.
    Required,
    /// Always, with a certificate from a trusted authority.
    VerifyCa,
    /// Always, with a trusted certificate that names the host.
    VerifyIdentity,
}

impl Tls {
    fn mode(self) -> MySqlSslMode {
        match self {
            Self::Disabled => MySqlSslMode::Disabled,
            Self::Preferred => MySqlSslMode::Preferred,
            Self::Required => MySqlSslMode::Required,
            Self::VerifyCa => MySqlSslMode::VerifyCa,
            Self::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        }
    }
}

/// The most connections a catalog holds open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize(pub u32);

impl Default for PoolSize {
    fn default() -> Self {
        Self(10)
    }
}

pub(super) fn mysql_pool(connection: &Connection, size: PoolSize, wait: Duration) -> MySqlPool {
    let options = connection.mysql_options().unwrap_or_default();
    MySqlPoolOptions::new()
        .max_connections(size.0.max(1))
        .acquire_timeout(wait)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(true)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(MYSQL_SESSION).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

/// Readers and the one writer. `FULL`: an acknowledged upload survives the loss of power.
pub(super) fn sqlite_pools(path: &Path, size: PoolSize) -> (SqlitePool, SqlitePool) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", JOURNAL_LIMIT);
    let readers = SqlitePoolOptions::new()
        .max_connections(size.0.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.clone().pragma("query_only", "ON"));
    let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY_TIMEOUT).connect_lazy_with(options);
    (readers, writer)
}
