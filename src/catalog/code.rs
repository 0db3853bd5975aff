//! Codes that were sent to people. They come in hashed under a key that the catalog does not know.
//!
//! Every try counts, wherever it comes from: people read their mail on another device than the one they asked with, and what bounds
//! guessing is that a code dies. Who makes others' codes die is slowed by the limits, and a new code can be asked for.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Catalog, Session, account::confirm, row::moment, session::take_all};
use crate::photo::Owner;

/// How often a code may be tried.
const CODE_TRIES: i64 = 5;

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To confirm an account.
    Confirm,
    /// To set a new password.
    Reset,
}

impl Purpose {
    /// The word the catalog keeps.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Reset => "reset",
        }
    }
}

impl Catalog {
    /// Remembers the hash of a code that is being sent, good until `expires`; an earlier one for the same purpose is good no longer.
    /// False when the account is gone.
    pub async fn put_code(
        &self,
        owner: &Owner,
        purpose: Purpose,
        code: &str,
        expires: DateTime<Utc>,
    ) -> anyhow::Result<bool> {
        transaction!(self, "remembering a code", |session| {
            let there = select!(
                session,
                fetch_optional,
                (String,),
                "SELECT owner FROM account WHERE owner = ?",
                owner.as_str()
            )?
            .is_some();
            if there {
                execute!(
                    session,
                    "REPLACE INTO account_code (owner, purpose, code, tries, expires_at) VALUES (?, ?, ?, 0, ?)",
                    owner.as_str(),
                    purpose.word(),
                    code,
                    moment(expires)
                )?;
            }
            Ok(there)
        })
    }

    /// Confirms an account by the hash of its code, if who has it is also who chose the password; false when the code is wrong, too old, or was
    /// tried too often. The right code may come twice.
    pub async fn confirm_by_code(
        &self,
        owner: &Owner,
        code: &str,
        chooser: bool,
        at: DateTime<Utc>,
    ) -> anyhow::Result<bool> {
        transaction!(self, "confirming an account", |session| {
            let right = tried(session, owner, Purpose::Confirm, code, at).await?;
            if right && chooser {
                confirm(session, owner, at).await?;
            }
            Ok(right)
        })
    }

    /// Whether this is the hash of a code that [`reset_by_code`](Self::reset_by_code) would take; counts as a try at it.
    pub async fn knows_reset_code(&self, owner: &Owner, code: &str, at: DateTime<Utc>) -> anyhow::Result<bool> {
        transaction!(self, "trying a code", |session| Ok(tried(session, owner, Purpose::Reset, code, at).await?))
    }

    /// Sets a new password's hash by the hash of a code, which is then spent, and ends all sessions; false when the code is wrong, too old, or
    /// was tried too often.
    /// Who has the code has shown that the address is theirs.
    pub async fn reset_by_code(
        &self,
        owner: &Owner,
        code: &str,
        password: &SecretString,
        at: DateTime<Utc>,
    ) -> anyhow::Result<bool> {
        transaction!(self, "setting a new password", |session| {
            let right = tried(session, owner, Purpose::Reset, code, at).await?;
            if right {
                execute!(session, "DELETE FROM account_code WHERE owner = ?", owner.as_str())?;
                execute!(
                    session,
                    "UPDATE account SET password = ? WHERE owner = ?",
                    password.expose_secret(),
                    owner.as_str()
                )?;
                confirm(session, owner, at).await?;
                take_all(session, owner).await?;
            }
            Ok(right)
        })
    }
}

/// Counts a try at a code, and tells whether it was right. Hashes are keyed: comparing them tells nothing of the code.
async fn tried(
    session: &mut Session<'_>,
    owner: &Owner,
    purpose: Purpose,
    code: &str,
    at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let alive = execute!(
        session,
        "UPDATE account_code SET tries = tries + 1 WHERE owner = ? AND purpose = ? AND tries < ? AND expires_at > ?",
        owner.as_str(),
        purpose.word(),
        CODE_TRIES,
        moment(at)
    )?;
    if alive == 0 {
        return Ok(false);
    }
    let sent = select!(
        session,
        fetch_optional,
        (String,),
        "SELECT code FROM account_code WHERE owner = ? AND purpose = ?",
        owner.as_str(),
        purpose.word()
    )?;
    Ok(sent.is_some_and(|(sent,)| sent == code))
}
