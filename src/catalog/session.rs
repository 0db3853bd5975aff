//! Who is signed in where: one row for each session, found by the hash of its id.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{Catalog, Session, account::still_has, departing::is_departing, row::moment};
use crate::photo::Owner;

macro_rules! columns {
    () => {
        "id, owner, email, nickname, name_hash, email_hash, sealed, agent, address, created_at, seen_at, renewed_at"
    };
}

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM session WHERE id = ?");
const BY_ID_LOCKED: &str = concat!("SELECT ", columns!(), " FROM session WHERE id = ? /*! FOR UPDATE */");
pub(super) const BY_OWNER: &str = concat!("SELECT ", columns!(), " FROM session WHERE owner = ?");
const BY_OWNER_LOCKED: &str = concat!("SELECT ", columns!(), " FROM session WHERE owner = ? /*! FOR UPDATE */");
/// Those of an owner beyond the number that may go on, last used first.
const BEYOND: &str =
    "SELECT id FROM session WHERE owner = ? ORDER BY seen_at DESC, created_at DESC, id LIMIT 1000 OFFSET ?";

/// How many sessions an owner may have.
const SESSIONS: i64 = 50;

/// Whether a session has begun.
#[derive(Debug)]
pub enum Begun {
    /// Yes, and these ended.
    Yes(Vec<SessionRecord>),
    /// No: the owner is [departing](Catalog::depart). Nothing was written.
    Departing,
    /// No: the password that was proved is no longer the account's, or the account is gone. Nothing was written.
    Outdated,
}

/// A session as the catalog keeps it.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// SHA-256 of the id that the browser holds, in hexadecimal digits.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// Their e-mail address, at most 320 characters.
    pub email: Option<String>,
    /// What they want to be called, at most 200 characters.
    pub nickname: Option<String>,
    /// The hash of the name they signed in with.
    pub name_hash: Option<String>,
    /// The hash of their e-mail address.
    pub email_hash: Option<String>,
    /// What the provider is asked with, sealed.
    pub sealed: Vec<u8>,
    /// What the browser called itself, at most 200 characters.
    pub agent: String,
    /// From which address it began.
    pub address: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    pub seen_at: DateTime<Utc>,
    /// When the provider was last asked.
    pub renewed_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    owner: String,
    email: Option<String>,
    nickname: Option<String>,
    name_hash: Option<String>,
    email_hash: Option<String>,
    sealed: Vec<u8>,
    agent: String,
    address: String,
    created_at: NaiveDateTime,
    seen_at: NaiveDateTime,
    renewed_at: NaiveDateTime,
}

impl SessionRow {
    fn record(self) -> anyhow::Result<SessionRecord> {
        Ok(SessionRecord {
            id: self.id,
            owner: self.owner.parse()?,
            email: self.email,
            nickname: self.nickname,
            name_hash: self.name_hash,
            email_hash: self.email_hash,
            sealed: self.sealed,
            agent: self.agent,
            address: self.address,
            created_at: self.created_at.and_utc(),
            seen_at: self.seen_at.and_utc(),
            renewed_at: self.renewed_at.and_utc(),
        })
    }
}

impl Catalog {
    /// Begins a session in place of the one with the id `before`, and of the owner's longest unused ones beyond 50; returns those that ended.
    /// Of an account of the gallery's own `mark` is the [mark](super::password_mark) of the password that was proved: what was proved with a
    /// password that has been changed meanwhile begins nothing. An owner of a provider's who departs meanwhile loses the session when they
    /// are [forgotten](Self::forget_owner).
    pub async fn begin_session(
        &self,
        new: &SessionRecord,
        before: Option<&str>,
        mark: Option<&str>,
    ) -> anyhow::Result<Begun> {
        transaction!(self, "beginning a session", |session| {
            if let Some(mark) = mark
                && !still_has(session, &new.owner, mark).await?
            {
                return Ok(Begun::Outdated);
            }
            if is_departing(session, &new.owner).await? {
                return Ok(Begun::Departing);
            }
            let mut ended = Vec::new();
            if let Some(before) = before {
                ended.extend(take(session, before).await?);
            }
            let beyond = select!(session, fetch_all, (String,), BEYOND, new.owner.as_str(), SESSIONS - 1)?;
            for (id,) in beyond {
                ended.extend(take(session, &id).await?);
            }
            insert(session, new).await?;
            Ok(Begun::Yes(ended))
        })
    }

    /// The session with this id.
    pub async fn session(&self, id: &str) -> anyhow::Result<Option<SessionRecord>> {
        let row =
            read!(self, "reading a session", |session| Ok(select!(session, fetch_optional, SessionRow, BY_ID, id)?))?;
        row.map(SessionRow::record).transpose()
    }

    /// The sessions of `owner`, last used first.
    pub async fn sessions(&self, owner: &Owner) -> anyhow::Result<Vec<SessionRecord>> {
        let rows: Vec<SessionRow> = read!(self, "listing sessions", |session| Ok(select!(
            session,
            fetch_all,
            SessionRow,
            BY_OWNER,
            owner.as_str()
        )?))?;
        let mut records = rows.into_iter().map(SessionRow::record).collect::<anyhow::Result<Vec<_>>>()?;
        records.sort_by_key(|record| std::cmp::Reverse((record.seen_at, record.created_at)));
        Ok(records)
    }

    /// Ends a session; returns it, `None` when there was none.
    pub async fn end_session(&self, id: &str) -> anyhow::Result<Option<SessionRecord>> {
        transaction!(self, "ending a session", |session| take(session, id).await)
    }

    /// Ends all sessions of `owner`; returns them.
    pub async fn end_sessions(&self, owner: &Owner) -> anyhow::Result<Vec<SessionRecord>> {
        transaction!(self, "ending sessions", |session| take_all(session, owner).await)
    }

    /// Ends all sessions of the owner of `new`, and begins that one in their place; returns those that ended. `Ok(None)` when the owner is
    /// [departing](Self::depart): then nothing is written.
    pub async fn replace_sessions(&self, new: &SessionRecord) -> anyhow::Result<Option<Vec<SessionRecord>>> {
        transaction!(self, "ending sessions", |session| {
            if is_departing(session, &new.owner).await? {
                return Ok(None);
            }
            let ended = take_all(session, &new.owner).await?;
            insert(session, new).await?;
            Ok(Some(ended))
        })
    }

    /// The owners who signed in by the name, or have the e-mail address, of this hash.
    pub async fn owners_signed_in_as(&self, hash: &str) -> anyhow::Result<Vec<Owner>> {
        let rows: Vec<(String,)> = read!(self, "looking for sessions by name", |session| {
            let mut rows =
                select!(session, fetch_all, (String,), "SELECT owner FROM session WHERE name_hash = ?", hash)?;
            rows.extend(select!(
                session,
                fetch_all,
                (String,),
                "SELECT owner FROM session WHERE email_hash = ?",
                hash
            )?);
            Ok(rows)
        })?;
        let mut owners = rows.into_iter().map(|(owner,)| Ok(owner.parse()?)).collect::<anyhow::Result<Vec<Owner>>>()?;
        owners.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        owners.dedup();
        Ok(owners)
    }

    /// Notes that a session is in use.
    pub async fn see_session(&self, id: &str, at: DateTime<Utc>) -> anyhow::Result<()> {
        transaction!(self, "noting that a session is in use", |session| {
            execute!(session, "UPDATE session SET seen_at = ? WHERE id = ?", moment(at), id)?;
            Ok(())
        })
    }

    /// Moves `renewed_at` from what was read to `to`; false when somebody else has moved it, or the session has ended.
    pub async fn claim_renewal(&self, record: &SessionRecord, to: DateTime<Utc>) -> anyhow::Result<bool> {
        transaction!(self, "renewing a session", |session| {
            let moved = execute!(
                session,
                "UPDATE session SET renewed_at = ? WHERE id = ? AND renewed_at = ?",
                moment(to),
                record.id.as_str(),
                moment(record.renewed_at)
            )?;
            Ok(moved == 1)
        })
    }

    /// Moves `renewed_at`.
    pub async fn postpone_renewal(&self, id: &str, to: DateTime<Utc>) -> anyhow::Result<()> {
        transaction!(self, "renewing a session", |session| {
            execute!(session, "UPDATE session SET renewed_at = ? WHERE id = ?", moment(to), id)?;
            Ok(())
        })
    }

    /// Writes what the provider said of somebody signed in: the claims and `sealed` of `record`.
    pub async fn save_renewal(&self, record: &SessionRecord) -> anyhow::Result<()> {
        transaction!(self, "renewing a session", |session| {
            execute!(
                session,
                "UPDATE session SET email = ?, nickname = ?, email_hash = ?, sealed = ? WHERE id = ?",
                record.email.as_deref(),
                record.nickname.as_deref(),
                record.email_hash.as_deref(),
                record.sealed.as_slice(),
                record.id.as_str()
            )?;
            Ok(())
        })
    }

    /// Writes a new nickname into all sessions of `owner`.
    pub async fn rename_sessions(&self, owner: &Owner, nickname: &str) -> anyhow::Result<()> {
        transaction!(self, "writing a nickname", |session| {
            execute!(session, "UPDATE session SET nickname = ? WHERE owner = ?", nickname, owner.as_str())?;
            Ok(())
        })
    }

    /// Ends at most `limit` sessions that began or were last used before these moments; returns them.
    pub async fn end_timed_out(
        &self,
        created_before: DateTime<Utc>,
        seen_before: DateTime<Utc>,
        limit: u32,
    ) -> anyhow::Result<Vec<SessionRecord>> {
        let (created, seen, limit) = (moment(created_before), moment(seen_before), i64::from(limit));
        let old: Vec<(String,)> = read!(self, "looking for sessions that have timed out", |session| {
            let by_created = "SELECT id FROM session WHERE created_at <= ? LIMIT ?";
            let mut old = select!(session, fetch_all, (String,), by_created, created, limit)?;
            let by_seen = "SELECT id FROM session WHERE seen_at <= ? LIMIT ?";
            old.extend(select!(session, fetch_all, (String,), by_seen, seen, limit)?);
            Ok(old)
        })?;
        let mut ended = Vec::with_capacity(old.len());
        for (id,) in old {
            ended.extend(self.end_session(&id).await?);
        }
        Ok(ended)
    }
}

async fn insert(session: &mut Session<'_>, new: &SessionRecord) -> Result<(), sqlx::Error> {
    execute!(
        session,
        concat!("INSERT INTO session (", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        new.id.as_str(),
        new.owner.as_str(),
        new.email.as_deref(),
        new.nickname.as_deref(),
        new.name_hash.as_deref(),
        new.email_hash.as_deref(),
        new.sealed.as_slice(),
        new.agent.as_str(),
        new.address.as_str(),
        moment(new.created_at),
        moment(new.seen_at),
        moment(new.renewed_at)
    )?;
    Ok(())
}

/// Deletes one session and returns it.
async fn take(session: &mut Session<'_>, id: &str) -> anyhow::Result<Option<SessionRecord>> {
    let Some(row) = select!(session, fetch_optional, SessionRow, BY_ID_LOCKED, id)? else { return Ok(None) };
    execute!(session, "DELETE FROM session WHERE id = ?", id)?;
    row.record().map(Some)
}

/// Deletes all sessions of `owner` and returns them, but for one that began in between.
pub(super) async fn take_all(session: &mut Session<'_>, owner: &Owner) -> anyhow::Result<Vec<SessionRecord>> {
    let rows = select!(session, fetch_all, SessionRow, BY_OWNER_LOCKED, owner.as_str())?;
    execute!(session, "DELETE FROM session WHERE owner = ?", owner.as_str())?;
    rows.into_iter().map(SessionRow::record).collect()
}
