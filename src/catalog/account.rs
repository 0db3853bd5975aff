//! Accounts of the gallery's own. Passwords come in hashed; no sign-in name is ever logged.

use chrono::{DateTime, NaiveDateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::{
    Catalog, Purpose, Session, Totals,
    row::{moment, unsigned},
    session::take_all,
};
use crate::photo::Owner;

/// The columns of [`AccountRow`].
macro_rules! columns {
    () => {
        "owner, email, nickname, password, founder, confirmed_at, created_at"
    };
}

const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM account WHERE email_key = ?");
const BY_OWNER: &str = concat!("SELECT ", columns!(), " FROM account WHERE owner = ?");
const FOUNDER: &str = concat!("SELECT ", columns!(), " FROM account WHERE founder = 1");

/// An account as the catalog keeps it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose photos are theirs.
    pub owner: Owner,
    /// The e-mail address as it was typed.
    pub email: String,
    /// What they want to be called.
    pub nickname: String,
    /// The hash of their password, as a PHC string.
    pub password: SecretString,
    /// Whether it was made when there was no other.
    pub founder: bool,
    /// Whether they have shown that the address is theirs, or need not.
    pub confirmed: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An account with how much is in it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The account.
    pub account: Account,
    /// What is in it.
    pub totals: Totals,
}

/// An account that is to be made.
#[derive(Clone, Debug)]
pub struct Enrolment<'a> {
    /// Whose photos will be theirs.
    pub owner: &'a Owner,
    /// The e-mail address as it was typed.
    pub email: &'a str,
    /// The form of it that is the same however it is typed.
    pub key: &'a str,
    /// What they want to be called.
    pub nickname: &'a str,
    /// The hash of their password.
    pub password: &'a SecretString,
    /// Whether it may be made when there are others.
    pub open: bool,
    /// Whether it can be used at once when there are others.
    pub confirmed: bool,
}

/// What became of an [`Enrolment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// It is the first of all accounts; confirmed.
    First,
    /// It is there; an account of this name that was never confirmed has given way to it.
    Another,
    /// There is a confirmed account of this name, which stays as it is.
    Taken,
    /// There are accounts already, and no other may be made; nothing was written.
    Closed,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    owner: String,
    email: String,
    nickname: String,
    password: String,
    founder: Option<i64>,
    confirmed_at: Option<NaiveDateTime>,
    created_at: NaiveDateTime,
}

impl AccountRow {
    fn account(self) -> anyhow::Result<Account> {
        Ok(Account {
            owner: self.owner.parse()?,
            email: self.email,
            nickname: self.nickname,
            password: self.password.into(),
            founder: self.founder.is_some(),
            confirmed: self.confirmed_at.is_some(),
            created_at: self.created_at.and_utc(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    account: AccountRow,
    photos: i64,
    bytes: i64,
}

/// The mark by which a proved password is known again: SHA-256 of its hash, in hexadecimal digits.
pub fn password_mark(hash: &SecretString) -> String {
    hex::encode(Sha256::digest(hash.expose_secret()))
}

/// Whether the account of `owner` still has the password with this mark. Its row stays locked until the transaction ends, so that the
/// password cannot be changed, nor the account deleted, meanwhile.
pub(super) async fn still_has(session: &mut Session<'_>, owner: &Owner, mark: &str) -> Result<bool, sqlx::Error> {
    Ok(lock(session, owner).await?.is_some_and(|hash| password_mark(&hash) == mark))
}

/// The hash of an owner's password; nobody else can change the account until the transaction ends.
pub(super) async fn lock(session: &mut Session<'_>, owner: &Owner) -> Result<Option<SecretString>, sqlx::Error> {
    let text = "SELECT password FROM account WHERE owner = ? /*! FOR UPDATE */";
    let row: Option<(String,)> = select!(session, fetch_optional, (String,), text, owner.as_str())?;
    Ok(row.map(|(hash,)| hash.into()))
}

impl Catalog {
    /// Makes an account at the moment `at`. Of two first ones at once, on whichever instances, one is the first.
    pub async fn enroll(&self, new: &Enrolment<'_>, at: DateTime<Utc>) -> anyhow::Result<Enrolled> {
        transaction!(self, "making an account", |session| {
            let same = select!(session, fetch_optional, AccountRow, BY_KEY, new.key)?;
            let taken = same.as_ref().is_some_and(|same| same.confirmed_at.is_some());
            let first = !is_any(session).await?;
            if !first && !new.open && !taken {
                return Ok(Enrolled::Closed);
            }
            if let Some(same) = same {
                execute!(session, "DELETE FROM account WHERE owner = ? AND confirmed_at IS NULL", same.owner)?;
            }
            // Of a taken name as much is written as of another, and taken back: how long it takes shall not tell.
            let key = if taken { new.owner.as_str() } else { new.key };
            execute!(
                session,
                "INSERT INTO account (owner, email, email_key, nickname, password, founder, confirmed_at, created_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                new.owner.as_str(),
                new.email,
                key,
                new.nickname,
                new.password.expose_secret(),
                first.then_some(1_i64),
                (first || new.confirmed).then(|| moment(at)),
                moment(at)
            )?;
            if taken {
                execute!(session, "DELETE FROM account WHERE owner = ?", new.owner.as_str())?;
                return Ok(Enrolled::Taken);
            }
            Ok(if first { Enrolled::First } else { Enrolled::Another })
        })
    }

    /// Whether there is any account.
    pub async fn has_accounts(&self) -> anyhow::Result<bool> {
        read!(self, "looking for accounts", |session| Ok(is_any(session).await?))
    }

    /// The account of this sign-in name.
    pub async fn account_named(&self, key: &str) -> anyhow::Result<Option<Account>> {
        read!(self, "looking an account up", |session| select!(session, fetch_optional, AccountRow, BY_KEY, key)?
            .map(AccountRow::account)
            .transpose())
    }

    /// The account of this owner.
    pub async fn account_of(&self, owner: &Owner) -> anyhow::Result<Option<Account>> {
        read!(self, "looking an account up", |session| select!(
            session,
            fetch_optional,
            AccountRow,
            BY_OWNER,
            owner.as_str()
        )?
        .map(AccountRow::account)
        .transpose())
    }

    /// The account that was made when there was no other, unless it is gone.
    pub async fn founder(&self) -> anyhow::Result<Option<Account>> {
        read!(self, "looking the first account up", |session| select!(session, fetch_optional, AccountRow, FOUNDER)?
            .map(AccountRow::account)
            .transpose())
    }

    /// At most `limit` accounts, oldest first, with how much is in each.
    pub async fn accounts(&self, limit: u32) -> anyhow::Result<Vec<Standing>> {
        let rows = read!(self, "listing accounts", |session| Ok(select!(
            session,
            fetch_all,
            StandingRow,
            "SELECT a.owner, a.email, a.nickname, a.password, a.founder, a.confirmed_at, a.created_at, \
             COALESCE(t.photos, 0) AS photos, COALESCE(t.bytes, 0) AS bytes \
             FROM account a LEFT JOIN album_total t ON t.owner = a.owner ORDER BY a.created_at, a.owner LIMIT ?",
            i64::from(limit)
        )?))?;
        let standing = |row: StandingRow| {
            let totals = Totals { photos: unsigned(row.photos), bytes: unsigned(row.bytes) };
            Ok(Standing { account: row.account.account()?, totals })
        };
        rows.into_iter().map(standing).collect()
    }

    /// Writes a new password's hash in place of `before`, or of any; ends all sessions, and lets no code for a new password be good any
    /// longer. False when the account is gone or the password has changed meanwhile: then nothing is written.
    pub async fn set_password(
        &self,
        owner: &Owner,
        before: Option<&SecretString>,
        password: &SecretString,
    ) -> anyhow::Result<bool> {
        let before = before.map(SecretString::expose_secret);
        transaction!(self, "writing a new password", |session| {
            let written = execute!(
                session,
                "UPDATE account SET password = ? WHERE owner = ? AND password = COALESCE(?, password)",
                password.expose_secret(),
                owner.as_str(),
                before
            )?;
            if written == 0 {
                return Ok(false);
            }
            execute!(
                session,
                "DELETE FROM account_code WHERE owner = ? AND purpose = ?",
                owner.as_str(),
                Purpose::Reset.word()
            )?;
            take_all(session, owner).await?;
            Ok(true)
        })
    }

    /// Writes another hash of the same password, unless the password has changed meanwhile.
    pub async fn upgrade_password(
        &self,
        owner: &Owner,
        before: &SecretString,
        after: &SecretString,
    ) -> anyhow::Result<()> {
        transaction!(self, "hashing a password anew", |session| {
            execute!(
                session,
                "UPDATE account SET password = ? WHERE owner = ? AND password = ?",
                after.expose_secret(),
                owner.as_str(),
                before.expose_secret()
            )?;
            Ok(())
        })
    }

    /// Takes an account as confirmed from the moment `at`, unless it was before.
    pub async fn set_confirmed(&self, owner: &Owner, at: DateTime<Utc>) -> anyhow::Result<()> {
        transaction!(self, "confirming an account", |session| Ok(confirm(session, owner, at).await?))
    }

    /// Writes a new nickname; false when the account is gone.
    pub async fn set_nickname(&self, owner: &Owner, nickname: &str) -> anyhow::Result<bool> {
        transaction!(self, "writing a new nickname", |session| Ok(execute!(
            session,
            "UPDATE account SET nickname = ? WHERE owner = ?",
            nickname,
            owner.as_str()
        )? > 0))
    }

    /// Forgets an account and its codes; false when it was gone.
    pub async fn delete_account(&self, owner: &Owner) -> anyhow::Result<bool> {
        transaction!(self, "deleting an account", |session| Ok(execute!(
            session,
            "DELETE FROM account WHERE owner = ?",
            owner.as_str()
        )? > 0))
    }

    /// Forgets accounts that were made before this moment and never confirmed.
    pub async fn delete_unconfirmed(&self, before: DateTime<Utc>) -> anyhow::Result<u64> {
        transaction!(self, "deleting accounts that were never confirmed", |session| Ok(execute!(
            session,
            "DELETE FROM account WHERE confirmed_at IS NULL AND created_at < ?",
            moment(before)
        )?))
    }
}

async fn is_any(session: &mut Session<'_>) -> Result<bool, sqlx::Error> {
    Ok(select!(session, fetch_optional, (String,), "SELECT owner FROM account LIMIT 1")?.is_some())
}

pub(super) async fn confirm(session: &mut Session<'_>, owner: &Owner, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
    execute!(
        session,
        "UPDATE account SET confirmed_at = ? WHERE owner = ? AND confirmed_at IS NULL",
        moment(at),
        owner.as_str()
    )?;
    Ok(())
}
