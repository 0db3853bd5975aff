//! What the database says of its own condition, for the operator: encryption, rights, character set, clock, file.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::{Catalog, Connection, Session, grants::excess, outage::Code};

/// What each right is tried with: statements that are checked, and find nothing to do.
const TRIALS: [(&str, &str); 4] = [
    ("SELECT", "SELECT 1 FROM photo WHERE 1 = 0"),
    ("INSERT", "INSERT INTO photo_term SELECT * FROM photo_term WHERE 1 = 0"),
    ("UPDATE", "UPDATE photo SET id = id WHERE 1 = 0"),
    ("DELETE", "DELETE FROM photo WHERE 1 = 0"),
];

/// What the account may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Rights that it needs and has not: `INSERT`.
    pub missing: Vec<&'static str>,
    /// Grants beyond those that it needs, without passwords.
    pub excess: Vec<String>,
}

impl Catalog {
    /// The cipher by which the connection to MySQL is encrypted; `None` when it is not, and on SQLite.
    pub async fn cipher(&self) -> anyhow::Result<Option<String>> {
        read!(self, "asking the database for its cipher", |session| match session {
            Session::MySql(link) => {
                let row = sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'").fetch_optional(&mut **link).await?;
                let cipher: Option<String> = row.map(|row| row.try_get(1)).transpose()?;
                Ok(cipher.filter(|cipher| !cipher.is_empty()))
            }
            Session::Sqlite(_) => Ok(None),
        })
    }

    /// What the account may do with this version's tables, found by trying what changes nothing; everything on SQLite.
    pub async fn rights(&self) -> anyhow::Result<Rights> {
        let Connection::MySql { database, .. } = &self.connection else { return Ok(Rights::default()) };
        read!(self, "asking the database for the account's rights", |session| {
            let Session::MySql(link) = session else { return Ok(Rights::default()) };
            let mut missing = Vec::new();
            for (right, trial) in TRIALS {
                match sqlx::raw_sql(trial).execute(&mut **link).await {
                    Err(error) if matches!(Code::of(&error), Code::MySql(1142 | 1143)) => missing.push(right),
                    outcome => {
                        outcome?;
                    }
                }
            }
            let rows = sqlx::raw_sql("SHOW GRANTS").fetch_all(&mut **link).await?;
            let grants: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            let mut grants = grants.context("reading the account's rights")?;
            // MariaDB lists with the account's own grants what it gives everybody, on its `test` databases.
            grants.retain(|grant| !grant.ends_with(" TO PUBLIC"));
            Ok(Rights { missing, excess: excess(&grants, database) })
        })
    }

    /// The collation of those of MySQL's tables here that cannot keep every character, or tell all of them apart; nothing on SQLite.
    pub async fn lossy_collations(&self) -> anyhow::Result<Vec<String>> {
        read!(self, "asking the database for its tables' collations", |session| match session {
            Session::MySql(_) => {
                let told = select!(
                    session,
                    fetch_all,
                    (String,),
                    "SELECT DISTINCT CAST(table_collation AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE() \
                     AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations' AND table_collation <> 'utf8mb4_bin'"
                )?;
                Ok(told.into_iter().map(|(collation,)| collation).collect())
            }
            Session::Sqlite(_) => Ok(Vec::new()),
        })
    }

    /// What time it is for the database; `None` on SQLite, which has no clock of its own.
    pub async fn clock(&self) -> anyhow::Result<Option<DateTime<Utc>>> {
        read!(self, "asking the database for the time", |session| match session {
            Session::MySql(_) => {
                let (now,) = select!(session, fetch_one, (DateTime<Utc>,), "SELECT CURRENT_TIMESTAMP(6)")?;
                Ok(Some(now))
            }
            Session::Sqlite(_) => Ok(None),
        })
    }

    /// What SQLite finds wrong with its file at a quick look; nothing on MySQL.
    pub async fn quick_damage(&self) -> anyhow::Result<Vec<String>> {
        read!(self, "looking at the database's file", |session| match session {
            Session::MySql(_) => Ok(Vec::new()),
            Session::Sqlite(_) => {
                let told = select!(session, fetch_all, (String,), "PRAGMA quick_check(1)")?;
                Ok(told.into_iter().map(|(line,)| line).filter(|line| line != "ok").collect())
            }
        })
    }

    /// How SQLite keeps its journal: `wal`; `None` on MySQL.
    pub async fn journal_mode(&self) -> anyhow::Result<Option<String>> {
        read!(self, "asking the database for its journal", |session| match session {
            Session::MySql(_) => Ok(None),
            Session::Sqlite(_) => {
                let (mode,) = select!(session, fetch_one, (String,), "PRAGMA journal_mode")?;
                Ok(Some(mode))
            }
        })
    }
}
