//! Sessions: who a cookie names, until when, and what the provider says of them meanwhile.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Accounts, Client, Denial, Entry, Outcome, Progress, Session, refused, seal::keyed, trouble};
use crate::{
    catalog::{Begun, SessionRecord},
    error::Error,
    identity::{Denied, Grant, Identity, Person, Refusal, SignInName, SignedIn, random},
    photo::{Owner, plain_line},
};

/// How often it is written down that a session is in use.
const SEEN_EVERY: Duration = Duration::from_hours(1);
/// How long a page waits for the provider's word about somebody signed in.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(3);
/// When the provider is asked again after it was down.
const RENEW_AGAIN: Duration = Duration::from_mins(1);
/// The widths of the catalog's columns, in characters.
const EMAIL_CHARS: usize = 320;
const NICKNAME_CHARS: usize = 200;
/// The length of a session's name in lists.
const HANDLE_CHARS: usize = 16;

/// What is kept of a sign-in, sealed, bound to its session.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// The name they signed in with.
    pub(super) name: Option<SignInName>,
    grant: Option<String>,
}

/// The catalog's name for the session whose cookie has this value; `None` for what no cookie of ours looks like.
pub(super) fn session_id(cookie: &str) -> Option<String> {
    let id: [u8; 32] = URL_SAFE_NO_PAD.decode(cookie).ok()?.try_into().ok()?;
    Some(hex::encode(Sha256::digest(id)))
}

/// A session as pages see it.
pub(super) fn shown(record: &SessionRecord) -> Session {
    Session {
        handle: record.id.chars().take(HANDLE_CHARS).collect(),
        person: person(record),
        created_at: record.created_at,
        seen_at: record.seen_at,
        agent: record.agent.clone(),
        address: record.address.clone(),
    }
}

fn person(record: &SessionRecord) -> Person {
    Person { owner: record.owner.clone(), email: record.email.clone(), nickname: record.nickname.clone() }
}

impl Accounts {
    /// Whose session a cookie's value names: one indexed read. `None` for junk, unknown, ended and timed-out sessions.
    /// Asks the provider again when that is due; an outage there leaves the session as it is.
    pub async fn session(self: &Arc<Self>, cookie: &str) -> Result<Option<Session>, Error> {
        let Some(record) = self.record(cookie).await? else { return Ok(None) };
        let now = (self.clock)();
        if now - record.seen_at >= chrono::TimeDelta::from_std(SEEN_EVERY).unwrap_or_default()
            && let Err(cause) = self.catalog.see_session(&record.id, now).await
        {
            tracing::warn!(error = format!("{cause:#}"), "that a session is in use could not be written down");
        }
        self.current(record).await
    }

    /// Like [`session`](Self::session), asked by a page that is open and not by its person: the session is not in use by that.
    pub async fn session_unused(self: &Arc<Self>, cookie: &str) -> Result<Option<Session>, Error> {
        let Some(record) = self.record(cookie).await? else { return Ok(None) };
        self.current(record).await
    }

    /// A session as it is now, after its provider was asked where that is due.
    async fn current(self: &Arc<Self>, record: SessionRecord) -> Result<Option<Session>, Error> {
        let now = (self.clock)();
        if record.renewed_at + self.times.renew > now {
            return Ok(Some(shown(&record)));
        }
        self.renewed(record).await
    }

    /// The record of the session that a cookie's value names, unless it has timed out.
    pub(super) async fn record(&self, cookie: &str) -> Result<Option<SessionRecord>, Error> {
        let Some(id) = session_id(cookie) else { return Ok(None) };
        let record = self.catalog.session(&id).await.map_err(trouble)?;
        Ok(record.filter(|record| self.lives(record)))
    }

    /// Like [`record`](Self::record), for what only somebody signed in may do.
    pub(super) async fn required(&self, cookie: &str) -> Result<SessionRecord, Error> {
        self.record(cookie).await?.ok_or(Error::SignIn)
    }

    fn lives(&self, record: &SessionRecord) -> bool {
        let now = (self.clock)();
        now < record.created_at + self.times.absolute && now < record.seen_at + self.times.idle
    }

    /// What the provider says of somebody now. One of all instances asks; the others, and those who have waited long enough, go on with what
    /// was known.
    async fn renewed(self: &Arc<Self>, record: SessionRecord) -> Result<Option<Session>, Error> {
        let who = self.who(&record);
        if who.as_ref().is_some_and(|(who, _)| who.grant.is_none()) {
            return Ok(Some(shown(&record)));
        }
        let now = (self.clock)();
        if !self.catalog.claim_renewal(&record, now).await.map_err(trouble)? {
            return Ok(Some(shown(&record)));
        }
        let Some((who, kept)) = who else {
            tracing::warn!(
                "a session was sealed with another secret and has ended; all instances need the same `session.secret`"
            );
            self.catalog.end_session(&record.id).await.map_err(trouble)?;
            return Ok(None);
        };
        let known = shown(&record);
        let accounts = Arc::clone(self);
        let asking = self.runtime.spawn(async move { accounts.ask_again(record, who, kept).await });
        match tokio::time::timeout(RENEWAL_PATIENCE, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(cause)) => Err(Error::Internal(anyhow::Error::new(cause).context("renewing a session"))),
            Err(_) => Ok(Some(known)),
        }
    }

    /// Asks the provider about somebody signed in, and writes down what it says.
    async fn ask_again(&self, mut record: SessionRecord, who: SignedIn, kept: Kept) -> Result<Option<Session>, Error> {
        record.renewed_at = (self.clock)();
        let answer = self.identity()?.renew(&who).await;
        match answer {
            Ok(Some(signed)) if signed.person.owner == record.owner => {
                self.describe(&mut record, &signed, kept.name.as_ref()).map_err(Error::Internal)?;
                self.catalog.save_renewal(&record).await.map_err(trouble)?;
                Ok(Some(shown(&record)))
            }
            Ok(_) | Err(Denied::Refused(_)) => {
                self.catalog.end_session(&record.id).await.map_err(trouble)?;
                tracing::info!(account = self.pseudonym(&record.owner), "the provider has ended a session");
                Ok(None)
            }
            Err(Denied::Down(cause)) => {
                tracing::warn!(
                    error = format!("{cause:#}"),
                    "the provider could not be asked about somebody signed in, who stays"
                );
                let again = record.renewed_at - self.times.renew + RENEW_AGAIN.min(self.times.renew);
                self.catalog.postpone_renewal(&record.id, again).await.map_err(trouble)?;
                Ok(Some(shown(&record)))
            }
        }
    }

    /// Begins a session for somebody who has proved who they are, in place of the browser's former one.
    pub(super) async fn enter(
        self: &Arc<Self>,
        client: &Client,
        name: Option<&SignInName>,
        signed: SignedIn,
        before: Option<&str>,
    ) -> Outcome<Progress> {
        let device = self.acquainted(client, name)?;
        let (cookie, record) = self.fresh(client, name, &signed).map_err(Error::Internal)?;
        let before = before.and_then(session_id);
        let mark = self.identity()?.mark(&signed);
        let begun = self.catalog.begin_session(&record, before.as_deref(), mark).await.map_err(trouble)?;
        let ended = match begun {
            Begun::Yes(ended) => ended,
            Begun::Outdated => return Err(Denial::Refused(Refusal::Credentials)),
            Begun::Departing => {
                return Err(Denial::Refused(Refusal::NotOffered(
                    "This account was deleted a short while ago. Please make a new one; with the same name that can take an hour."
                        .to_owned(),
                )));
            }
        };
        self.release(&ended);
        tracing::info!(account = self.pseudonym(&record.owner), address = record.address, "somebody signed in");
        Ok(Progress::In(Box::new(Entry { session: cookie, lasts: self.times.absolute, device, person: signed.person })))
    }

    /// A new session, and the value of its cookie.
    pub(super) fn fresh(
        &self,
        client: &Client,
        name: Option<&SignInName>,
        signed: &SignedIn,
    ) -> anyhow::Result<(SecretString, SessionRecord)> {
        let id: [u8; 32] = random()?;
        let now = (self.clock)();
        let mut record = SessionRecord {
            id: hex::encode(Sha256::digest(id)),
            owner: signed.person.owner.clone(),
            email: None,
            nickname: None,
            name_hash: name.map(|name| self.name_hash(&name.key())),
            email_hash: None,
            sealed: Vec::new(),
            agent: client.agent.clone(),
            address: client.address.to_string(),
            created_at: now,
            seen_at: now,
            renewed_at: now,
        };
        self.describe(&mut record, signed, name)?;
        Ok((URL_SAFE_NO_PAD.encode(id).into(), record))
    }

    /// Writes into `record` what the provider says of somebody.
    fn describe(&self, record: &mut SessionRecord, signed: &SignedIn, name: Option<&SignInName>) -> anyhow::Result<()> {
        let cut = |text: &String, chars| plain_line(text).chars().take(chars).collect::<String>();
        let grant = signed.grant.as_ref().map(|grant| grant.0.expose_secret().to_owned());
        let kept = serde_json::to_vec(&Kept { name: name.cloned(), grant })?;
        record.email = signed.person.email.as_ref().map(|email| cut(email, EMAIL_CHARS));
        record.nickname = signed.person.nickname.as_ref().map(|nickname| cut(nickname, NICKNAME_CHARS));
        record.email_hash = record.email.as_ref().map(|email| self.name_hash(&email.to_lowercase()));
        record.sealed = self.seal.close(&record.id, &kept)?;
        Ok(())
    }

    /// With what the provider is asked about a session's person; `None` when another secret sealed it.
    pub(super) fn who(&self, record: &SessionRecord) -> Option<(SignedIn, Kept)> {
        let kept: Kept = serde_json::from_slice(&self.seal.open(&record.id, &record.sealed)?).ok()?;
        let grant = kept.grant.as_ref().map(|grant| Grant(grant.as_str().into()));
        Some((SignedIn { person: person(record), grant }, kept))
    }

    /// With what the provider is asked for somebody signed in. What it gives anew is kept before it is used: the former may serve no longer.
    pub(super) async fn at_hand(self: &Arc<Self>, record: &SessionRecord) -> Outcome<(SignedIn, Kept)> {
        let (who, kept) = self.who(record).ok_or(Error::SignIn)?;
        let (accounts, mut record) = (Arc::clone(self), record.clone());
        let refreshing = self.runtime.spawn(async move {
            let Some(signed) = accounts.identity()?.refresh(&who).await.map_err(refused)? else {
                return Ok((who, kept));
            };
            accounts.describe(&mut record, &signed, kept.name.as_ref()).map_err(Error::Internal)?;
            accounts.catalog.save_renewal(&record).await.map_err(trouble)?;
            Ok((signed, kept))
        });
        refreshing
            .await
            .map_err(|cause| Error::Internal(anyhow::Error::new(cause).context("renewing what is kept of a sign-in")))?
    }

    /// The hash by which sessions are found of somebody who has forgotten their password.
    pub(super) fn name_hash(&self, key: &str) -> String {
        hex::encode(keyed(&self.keys.names, &["name", key]))
    }

    /// How the log names an account: the same for all its events, and nobody's name.
    pub(super) fn pseudonym(&self, owner: &Owner) -> String {
        let hash = keyed(&self.keys.names, &["log", owner.as_str()]);
        hex::encode(&hash[..6])
    }

    /// How the log names a sign-in name, which may be nobody's: the same for all its events.
    pub(super) fn name_pseudonym(&self, name: &SignInName) -> String {
        let hash = keyed(&self.keys.names, &["log name", &name.key()]);
        hex::encode(&hash[..6])
    }

    /// Logs what was refused to somebody signed in.
    pub(super) fn told<T>(&self, client: &Client, what: &str, owner: &Owner, outcome: Outcome<T>) -> Outcome<T> {
        outcome.inspect_err(|denial| {
            if let Denial::Refused(refusal) = denial {
                tracing::info!(account = self.pseudonym(owner), address = %client.address, %refusal, "{what}");
            }
        })
    }

    /// Logs what was refused to somebody who is not signed in.
    pub(super) fn told_name<T>(
        &self,
        client: &Client,
        what: &str,
        name: &SignInName,
        outcome: Outcome<T>,
    ) -> Outcome<T> {
        outcome.inspect_err(|denial| {
            if let Denial::Refused(refusal) = denial {
                tracing::info!(name = self.name_pseudonym(name), address = %client.address, %refusal, "{what}");
            }
        })
    }

    /// Tells the provider of sessions that have ended. That a provider is down keeps nobody from signing out.
    pub(super) fn release(self: &Arc<Self>, ended: &[SessionRecord]) {
        let granted: Vec<SignedIn> = ended.iter().filter_map(|record| self.who(record)).map(|(who, _)| who).collect();
        self.let_out(granted);
    }

    /// Tells the provider of sign-ins that are of no more use.
    pub(super) fn let_out(self: &Arc<Self>, mut granted: Vec<SignedIn>) {
        granted.retain(|who| who.grant.is_some());
        if granted.is_empty() {
            return;
        }
        let accounts = Arc::clone(self);
        self.runtime.spawn(async move {
            for who in granted {
                let done = async { accounts.identity()?.sign_out(&who).await.map_err(anyhow::Error::new) };
                if let Err(cause) = done.await {
                    tracing::warn!(
                        error = format!("{cause:#}"),
                        "the provider could not be told that a session has ended"
                    );
                }
            }
        });
    }

    /// Ends a session. The URL to send the browser to, when it must leave the provider too.
    pub async fn sign_out(self: &Arc<Self>, cookie: &str) -> Result<Option<String>, Error> {
        let ended = match session_id(cookie) {
            Some(id) => self.catalog.end_session(&id).await.map_err(trouble)?,
            None => None,
        };
        if let Some(record) = &ended {
            tracing::info!(account = self.pseudonym(&record.owner), "somebody signed out");
        }
        let leave = ended.is_some().then(|| self.leave()).flatten();
        self.release(ended.as_slice());
        Ok(leave)
    }

    /// Where a browser goes whose session has ended, so that it ends on the provider's pages too.
    pub(super) fn leave(&self) -> Option<String> {
        Some(self.identity.as_deref().and_then(Identity::hosted)?.leave())
    }

    /// A person's sessions, last used first.
    pub async fn sessions(&self, owner: &Owner) -> Result<Vec<Session>, Error> {
        let records = self.catalog.sessions(owner).await.map_err(trouble)?;
        Ok(records.iter().filter(|record| self.lives(record)).map(shown).collect())
    }

    /// Ends one of a person's sessions by its handle; `false` when there is none.
    pub async fn end_session(self: &Arc<Self>, owner: &Owner, handle: &str) -> Result<bool, Error> {
        let records = self.catalog.sessions(owner).await.map_err(trouble)?;
        let Some(record) = records.iter().find(|record| shown(record).handle == handle) else { return Ok(false) };
        let ended = self.catalog.end_session(&record.id).await.map_err(trouble)?;
        let found = ended.is_some();
        self.release(ended.as_slice());
        Ok(found)
    }

    /// Ends all of a person's sessions, here and at the provider, this one too.
    pub async fn sign_out_everywhere(self: &Arc<Self>, cookie: &str) -> Result<Option<String>, Error> {
        let record = self.required(cookie).await?;
        let ended = self.catalog.end_sessions(&record.owner).await.map_err(trouble)?;
        tracing::info!(
            account = self.pseudonym(&record.owner),
            sessions = ended.len(),
            "somebody signed out everywhere"
        );
        if let Some((who, _)) = self.who(&record) {
            let accounts = Arc::clone(self);
            self.runtime.spawn(async move {
                let done = async { accounts.identity()?.sign_out_everywhere(&who).await.map_err(anyhow::Error::new) };
                if let Err(cause) = done.await {
                    tracing::warn!(
                        error = format!("{cause:#}"),
                        "the provider could not be told that all sessions have ended"
                    );
                }
            });
        }
        Ok(self.leave())
    }
}
