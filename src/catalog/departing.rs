//! Owners whose account was deleted: remembered until nothing of theirs is left.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{
    Catalog, Session,
    account::lock,
    row::moment,
    session::{SessionRecord, take_all},
};
use crate::photo::{ObjectPath, Owner, PhotoId};

/// Rows that another app wrote and that cannot be photos.
const SET_ASIDE: &str = "SELECT object_key FROM photo \
     WHERE cognito_username = ? AND timeline_key IS NULL AND id IS NOT NULL /*! FOR UPDATE */";

/// An owner whose account was deleted.
#[derive(Clone, Debug)]
pub struct Departing {
    /// Who.
    pub owner: Owner,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What the provider is asked with, sealed, while the account is still to be deleted there.
    pub sealed: Option<Vec<u8>>,
}

impl Catalog {
    /// Notes that `owner` goes, with what the provider is to be asked with; ends all their sessions, which it returns, and lets none begin.
    pub async fn depart(&self, departing: &Departing) -> anyhow::Result<Vec<SessionRecord>> {
        transaction!(self, "deleting an account", |session| {
            lock(session, &departing.owner).await?;
            if !is_departing(session, &departing.owner).await? {
                execute!(
                    session,
                    "INSERT INTO departing (owner, since, sealed) VALUES (?, ?, ?)",
                    departing.owner.as_str(),
                    moment(departing.since),
                    departing.sealed.as_deref()
                )?;
            }
            take_all(session, &departing.owner).await
        })
    }

    /// Everybody who goes, longest first.
    pub async fn departing(&self) -> anyhow::Result<Vec<Departing>> {
        let rows: Vec<(String, NaiveDateTime, Option<Vec<u8>>)> =
            read!(self, "looking for deleted accounts", |session| Ok(select!(
                session,
                fetch_all,
                (String, NaiveDateTime, Option<Vec<u8>>),
                "SELECT owner, since, sealed FROM departing ORDER BY since"
            )?))?;
        rows.into_iter()
            .map(|(owner, since, sealed)| Ok(Departing { owner: owner.parse()?, since: since.and_utc(), sealed }))
            .collect()
    }

    /// Notes that the account is gone at the provider.
    pub async fn left_provider(&self, owner: &Owner) -> anyhow::Result<()> {
        transaction!(self, "deleting an account", |session| {
            execute!(session, "UPDATE departing SET sealed = NULL WHERE owner = ?", owner.as_str())?;
            Ok(())
        })
    }

    /// At most `limit` listed photos of `owner`, in any order. Rows that were set aside go with [`forget_owner`](Self::forget_owner).
    pub async fn photos_left(&self, owner: &Owner, limit: u32) -> anyhow::Result<Vec<PhotoId>> {
        let rows: Vec<(String,)> = read!(self, "looking for a deleted account's photos", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            "SELECT id FROM photo WHERE cognito_username = ? AND timeline_key IS NOT NULL LIMIT ?",
            owner.as_str(),
            i64::from(limit)
        )?))?;
        rows.into_iter().map(|(id,)| Ok(id.parse()?)).collect()
    }

    /// Forgets somebody whose photos are gone at the moment `at`: sessions that began while they departed, which it returns; rows that were
    /// set aside, whose objects stand among the [`discarded`](Self::discarded) from now on; words, counts and, where `for_good`, that they were
    /// departing. Rows of another app that are still to be looked at become photos, and go with the next look.
    pub async fn forget_owner(
        &self,
        owner: &Owner,
        at: DateTime<Utc>,
        for_good: bool,
    ) -> anyhow::Result<Vec<SessionRecord>> {
        transaction!(self, "forgetting a deleted account", |session| {
            let ended = take_all(session, owner).await?;
            let owner = owner.as_str();
            let aside: Vec<(String,)> = select!(session, fetch_all, (String,), SET_ASIDE, owner)?;
            for (key,) in &aside {
                execute!(session, "DELETE FROM photo WHERE object_key = ?", key.as_str())?;
                if key.parse::<ObjectPath>().is_err() {
                    tracing::warn!(
                        object_key = %crate::photo::plain_line(key),
                        "a deleted account had a row whose object's key is malformed: delete the object by hand, if there is one"
                    );
                    continue;
                }
                let discard = "REPLACE INTO discarded_object (object_key, since) VALUES (?, ?)";
                execute!(session, discard, key.as_str(), moment(at))?;
            }
            for text in [
                "DELETE FROM photo_term WHERE owner = ?",
                "DELETE FROM label_total WHERE owner = ?",
                "DELETE FROM album_total WHERE owner = ? AND photos <= 0",
            ] {
                execute!(session, text, owner)?;
            }
            if for_good {
                execute!(session, "DELETE FROM departing WHERE owner = ?", owner)?;
            }
            Ok(ended)
        })
    }
}

/// Whether `owner` goes.
pub(super) async fn is_departing(session: &mut Session<'_>, owner: &Owner) -> Result<bool, sqlx::Error> {
    let text = "SELECT owner FROM departing WHERE owner = ?";
    Ok(select!(session, fetch_optional, (String,), text, owner.as_str())?.is_some())
}
