//! Telling a database that is away, full or busy from a mistake of ours, and what helps against each.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use super::{Catalog, Connection, Tls};

/// How often a statement or a transaction is begun at most.
const MAX_TRIES: u32 = 4;
/// After this time no further try is begun.
const BUDGET: Duration = Duration::from_secs(3);

/// Why the database cannot serve now. Found with `error.downcast_ref::<Outage>()`; asking again later may help.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// It is unreachable, refuses us, or is too busy: answer 503. The sentence says which.
    #[error("{sentence}")]
    Down {
        /// What an operator can act on.
        sentence: String,
        /// What the driver said.
        #[source]
        cause: sqlx::Error,
    },
    /// Its disk is full: answer 507.
    #[error("{sentence}")]
    Full {
        /// What an operator can act on.
        sentence: String,
        /// What the driver said.
        #[source]
        cause: sqlx::Error,
    },
}

/// The database is there, and its tables are not those of this program. The sentence says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

/// Whether the database answered, and said that it is not for us: to wait does not help, to correct a setting does. Of anything else it may.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    let cause = match error.downcast_ref::<Outage>() {
        Some(Outage::Down { cause, .. }) => Some(cause),
        Some(Outage::Full { .. }) => None,
        None => error.downcast_ref::<sqlx::Error>(),
    };
    let says_no = |cause: &sqlx::Error| match Code::of(cause) {
        Code::MySql(number) => matches!(number, 1044 | 1045 | 1049 | 1142 | 1143 | 1698 | 3159),
        // No right, read-only, damaged, cannot be opened, no database.
        Code::Sqlite(number) => matches!(number & 0xff, 3 | 8 | 11 | 14 | 26),
        Code::Other => matches!(cause, sqlx::Error::Tls(_)) || distrust(cause).is_some(),
    };
    error.is::<Misfit>() || cause.is_some_and(says_no)
}

/// What is wrong with the certificate that the server showed, in words of the library that encrypts, which has no other way to say so here.
pub(super) fn distrust(cause: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Io(error) = cause else { return None };
    error.to_string().strip_prefix("invalid peer certificate: ").map(str::to_owned)
}

/// The driver's error number, or 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    MySql(u16),
    Sqlite(i32),
    Other,
}

impl Code {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let Some(error) = error.as_database_error() else { return Self::Other };
        match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => Self::MySql(error.number()),
            None => error.code().and_then(|code| code.parse().ok()).map_or(Self::Other, Self::Sqlite),
        }
    }

    fn of_any(error: &anyhow::Error) -> Self {
        error.downcast_ref().map_or(Self::Other, Self::of)
    }

    /// The server is a replica now: another one takes writes.
    const fn is_read_only(self) -> bool {
        matches!(self, Self::MySql(1290 | 1792 | 1836))
    }

    /// Deadlock, lock wait, SQLite's BUSY and LOCKED.
    const fn is_contention(self) -> bool {
        match self {
            Self::MySql(number) => matches!(number, 1205 | 1213),
            Self::Sqlite(number) => matches!(number & 0xff, 5 | 6),
            Self::Other => false,
        }
    }

    /// SQLite has rolled the transaction back by itself, which the driver does not notice: out of memory, I/O error, disk full.
    const fn has_rolled_back(self) -> bool {
        matches!(self, Self::Sqlite(number) if matches!(number & 0xff, 7 | 10 | 13))
    }

    /// The server has no connection left for us.
    pub(super) const fn is_crowded(self) -> bool {
        matches!(self, Self::MySql(1040 | 1203 | 1226))
    }

    /// The server has ended this connection, or is about to.
    const fn is_hanging_up(self) -> bool {
        matches!(self, Self::MySql(1053 | 1927 | 2006 | 2013 | 3168 | 4031))
    }

    /// Somebody else wrote the same key in between; the next try sees it.
    const fn is_taken_key(self) -> bool {
        matches!(self, Self::MySql(1062) | Self::Sqlite(1555 | 2067))
    }
}

/// Counts the tries of one question.
pub(super) struct Tries {
    begun: tokio::time::Instant,
    count: u32,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { begun: tokio::time::Instant::now(), count: 1 }
    }

    /// Whether to try again after `error`; waits a little before it says yes, each caller differently long. A few times: as a server may end one
    /// connection after another. What a dead connection swallowed is not tried again when it is `unsure`, as it may have been done.
    pub(super) async fn again(&mut self, error: &anyhow::Error, unsure: bool) -> bool {
        let code = Code::of_any(error);
        let refused = code.is_contention() || code.is_read_only() || code.is_taken_key();
        let swallowed = !unsure && is_broken(error);
        if !(refused || swallowed) || self.count >= MAX_TRIES || self.begun.elapsed() >= BUDGET {
            return false;
        }
        pause(self.count).await;
        self.count += 1;
        true
    }
}

/// Waits `steps` times 10 to 137 ms.
async fn pause(steps: u32) {
    let mut jitter = [0];
    let _ = getrandom::fill(&mut jitter);
    tokio::time::sleep(Duration::from_millis(u64::from(steps) * (10 + u64::from(jitter[0]) / 2))).await;
}

/// Whether `error` is that of a connection that is dead.
fn is_broken(error: &anyhow::Error) -> bool {
    let broken = match error.downcast_ref() {
        Some(cause @ sqlx::Error::Io(_)) => distrust(cause).is_none(),
        cause => matches!(cause, Some(sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed)),
    };
    broken || Code::of_any(error).is_hanging_up()
}

/// Whether the connection on which `error` came must not be used again.
pub(super) fn spoils_connection(error: &anyhow::Error) -> bool {
    let hung = matches!(error.downcast_ref(), Some(sqlx::Error::PoolTimedOut | sqlx::Error::InvalidSavePointStatement));
    let code = Code::of_any(error);
    hung || is_broken(error) || code.is_read_only() || code.has_rolled_back()
}

impl Catalog {
    /// `error` with what was being done, as an [`Outage`] where it is one.
    pub(super) fn explained(&self, error: anyhow::Error, doing: &'static str) -> anyhow::Error {
        let error = match error.downcast::<sqlx::Error>() {
            Ok(cause) => self.judged(cause),
            Err(error) => error,
        };
        error.context(doing)
    }

    fn judged(&self, cause: sqlx::Error) -> anyhow::Error {
        let place = &self.place;
        let (user, database, tls) = match &self.connection {
            Connection::MySql { user, database, tls, .. } => (user.as_str(), database.as_str(), *tls),
            Connection::Sqlite { .. } => ("", "", Tls::Disabled),
        };
        let code = Code::of(&cause);
        let sentence = match code {
            Code::MySql(1044) => {
                format!("user `{user}` may not use database `{database}` at {place}: `photo-gallery migrate` grants it")
            }
            Code::MySql(3159) => {
                format!(
                    "the database at {place} takes encrypted connections only: set `catalog.mysql.tls` to verify_identity, and \
                     `.ssl_ca`"
                )
            }
            Code::MySql(1045 | 1698) if tls == Tls::Disabled => format!(
                "the database at {place} refuses user `{user}` with this password: check both, and whether it wants the connection encrypted \
                 (`catalog.mysql.tls` is disabled)"
            ),
            Code::MySql(1045 | 1698) => {
                format!("the database at {place} refuses user `{user}` with this password: check both")
            }
            Code::MySql(1049) => format!(
                "there is no database `{database}` at {place}: run `photo-gallery migrate` with an account that may create it"
            ),
            code if code.is_crowded() => {
                format!("the database at {place} has no connection left for user `{user}`")
            }
            Code::MySql(1021 | 1114) | Code::Sqlite(13) => {
                return Outage::Full { sentence: format!("the disk of the database at {place} is full"), cause }.into();
            }
            code if code.is_hanging_up() => format!("the database at {place} ended the connection or is shutting down"),
            Code::Sqlite(14) => format!("the database file {place} cannot be opened: check the folder and its rights"),
            Code::Sqlite(8 | 264 | 520 | 776 | 1032 | 1288 | 1544) => {
                format!("the database file {place} cannot be written: check its rights")
            }
            Code::Sqlite(26) => format!("the file {place} is not a SQLite database"),
            Code::Sqlite(number) if number & 0xff == 10 => format!("the disk under the database file {place} fails"),
            code if code.is_read_only() => format!("the database at {place} takes no writes now"),
            code if code.is_contention() => format!("the database at {place} is too busy"),
            _ => match &cause {
                cause if distrust(cause).is_some() => untrusted(place, &distrust(cause).unwrap_or_default()),
                sqlx::Error::PoolTimedOut => format!("no database answers at {place} in time"),
                sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                    format!("the connection to the database at {place} broke")
                }
                sqlx::Error::Tls(reason) if reason.to_string().contains("not support TLS") => format!(
                    "no encrypted connection to the database at {place} ({reason}), and `catalog.mysql.tls` wants one: switch TLS on there"
                ),
                sqlx::Error::Tls(reason) => format!("no encrypted connection to the database at {place}: {reason}"),
                _ => return cause.into(),
            },
        };
        Outage::Down { sentence, cause }.into()
    }
}

/// What helps against a certificate that is not trusted.
fn untrusted(place: &str, reason: &str) -> String {
    let (wrong, help) = if reason.contains("not valid for name") {
        ("is for another name", "set `catalog.mysql.host` to a name that it is for")
    } else if reason.contains("UnknownIssuer") {
        (
            "was signed by no authority that is trusted",
            "set `catalog.mysql.ssl_ca` to a PEM file with the one that signed it (RDS's: \
             https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem)",
        )
    } else {
        ("is refused", "give it another one, and `catalog.mysql.ssl_ca` the authority that signed it")
    };
    format!("the certificate of the database at {place} {wrong} ({reason}): {help}")
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, Executor as _};

    use super::*;
    use crate::catalog::{PoolSize, Session};

    #[tokio::test]
    async fn a_full_disk_is_told_from_a_database_that_is_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery.db");
        let mut line = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .connect()
            .await
            .expect("connected");
        line.execute("PRAGMA max_page_count = 3; CREATE TABLE big (text TEXT)").await.expect("made");
        let fill = "INSERT INTO big VALUES (hex(zeroblob(100000)))";
        let refused = line.execute(fill).await.expect_err("no page is left");
        let catalog = Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).expect("a catalog");
        let told = catalog.explained(refused.into(), "listing a new photo");
        assert!(matches!(told.downcast_ref(), Some(Outage::Full { .. })), "{told:?}");
        assert!(format!("{told:#}").contains("the disk of the database at"), "{told:#}");
        let mistake = line.execute("SELECT nonsense").await.expect_err("no such column");
        let told = catalog.explained(mistake.into(), "listing photos");
        assert!(told.downcast_ref::<Outage>().is_none(), "{told:?}");
    }

    #[tokio::test]
    async fn after_a_write_that_found_the_disk_full_the_next_one_works() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery.db");
        let catalog = Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).expect("a catalog");
        catalog.migrate().await.expect("migrated");
        let refused: anyhow::Result<()> = transaction!(catalog, "filling the disk", |session| {
            execute!(session, "PRAGMA max_page_count = 1")?;
            execute!(session, "CREATE TABLE big (text TEXT)")?;
            execute!(session, "INSERT INTO big VALUES (hex(zeroblob(1000000)))")?;
            Ok(())
        });
        let refused = refused.expect_err("no page is left");
        assert!(matches!(refused.downcast_ref(), Some(Outage::Full { .. })), "{refused:?}");
        let written: anyhow::Result<()> = transaction!(catalog, "writing", |session| {
            execute!(session, "CREATE TABLE small (text TEXT)")?;
            Ok(())
        });
        written.expect("room was made, on another connection");
    }
}
