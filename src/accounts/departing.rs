//! Letting people go: an account is deleted with everything in it, in the store too, whatever happens in between.

use std::sync::Arc;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Accounts, Client, Denial, Outcome, refused, trouble};
use crate::{
    catalog::{Departing, SessionRecord},
    error::Error,
    identity::{Denied, Grant, Person, Refusal, SignedIn, Step},
    photo::Owner,
};

/// How long uploads may be on their way that began before an account was deleted.
const STRAGGLERS: TimeDelta = TimeDelta::hours(1);
/// How many photos are deleted between two looks at what is left.
const BATCH: u32 = 50;

/// Where an account is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Everywhere,
    /// The provider keeps it.
    HereAlone,
}

/// With what the provider is asked to delete an account, sealed, bound to its owner.
#[derive(Serialize, Deserialize)]
struct Leaving {
    person: Person,
    grant: Option<String>,
}

impl Accounts {
    /// Deletes an account: everything in it, in the store too. `password` is asked where the provider has passwords of its own. Sessions end and
    /// photos vanish at once; their bytes follow, a kill in between notwithstanding. The URL as in `sign_out`.
    pub async fn delete(
        self: &Arc<Self>,
        client: &Client,
        cookie: &str,
        password: Option<&SecretString>,
    ) -> Outcome<Option<String>> {
        let identity = self.identity()?;
        let record = self.required(cookie).await?;
        let (_, kept) = self.who(&record).ok_or(Error::SignIn)?;
        if identity.offers().password {
            let buckets = self.again_bucket(&record.owner);
            self.count(client, &buckets).await?;
            let name = kept.name.or_else(|| record.email.as_deref()?.parse().ok());
            let (Some(name), Some(password)) = (name, password) else {
                return Err(Denial::Refused(Refusal::Credentials));
            };
            let step = identity.sign_in(&name, password).await.map_err(refused);
            let step = self.told(client, "a current password was refused", &record.owner, step)?;
            if let Step::In(signed) = step {
                let own = signed.person.owner == record.owner;
                self.let_out(vec![*signed]);
                if !own {
                    return Err(Denial::Refused(Refusal::Credentials));
                }
            }
            self.uncount(&buckets).await;
        }
        let (who, _) = self.at_hand(&record).await?;
        identity.may_delete(&who).await.map_err(refused)?;
        tracing::info!(account = self.pseudonym(&record.owner), address = %client.address, "somebody deletes their account");
        self.let_go(who).await?;
        Ok(self.leave())
    }

    /// Deletes the account of `owner` for the operator, and waits until their photos are gone.
    pub async fn remove(self: &Arc<Self>, owner: &Owner) -> Result<(), Error> {
        let person = Person { owner: owner.clone(), email: None, nickname: None };
        let (departing, _) = self.note(&SignedIn { person, grant: None }).await?;
        self.clear(&departing).await.map(drop).map_err(trouble)
    }

    /// Notes that somebody goes and ends their sessions; the rest follows in the background.
    async fn let_go(self: &Arc<Self>, who: SignedIn) -> Result<(), Error> {
        let (departing, ended) = self.note(&who).await?;
        let accounts = Arc::clone(self);
        self.runtime.spawn(async move {
            match accounts.clear(&departing).await {
                Ok(Gone::Everywhere) => {}
                Ok(Gone::HereAlone) => accounts.release(&ended),
                Err(cause) => tracing::warn!(
                    error = format!("{cause:#}"),
                    "the sweep will delete what is left of a deleted account"
                ),
            }
        });
        Ok(())
    }

    /// Writes down that somebody goes. From now on nothing reaches their photos.
    async fn note(self: &Arc<Self>, who: &SignedIn) -> Result<(Departing, Vec<SessionRecord>), Error> {
        let owner = who.person.owner.clone();
        let grant = who.grant.as_ref().map(|grant| grant.0.expose_secret().to_owned());
        let sealed = serde_json::to_vec(&Leaving { person: who.person.clone(), grant })
            .map_err(anyhow::Error::new)
            .and_then(|leaving| self.seal.close(owner.as_str(), &leaving))
            .map_err(Error::Internal)?;
        let departing = Departing { owner, since: (self.clock)(), sealed: Some(sealed) };
        let ended = self.catalog.depart(&departing).await.map_err(trouble)?;
        tracing::info!(
            account = self.pseudonym(&departing.owner),
            sessions = ended.len(),
            "an account is being deleted"
        );
        Ok((departing, ended))
    }

    /// Deletes what is left of somebody who goes; what is here also while the provider cannot be asked. Safe to repeat, and to run in several
    /// places at once.
    pub(super) async fn clear(self: &Arc<Self>, departing: &Departing) -> anyhow::Result<Gone> {
        let owner = &departing.owner;
        let gone = match &departing.sealed {
            Some(sealed) => self.delete_at_provider(owner, sealed).await,
            None => Ok(Gone::Everywhere),
        };
        loop {
            let photos = self.catalog.photos_left(owner, BATCH).await?;
            if photos.is_empty() {
                break;
            }
            for photo in photos {
                match self.album.delete(owner, photo).await {
                    // Another instance was faster.
                    Ok(()) | Err(Error::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let now = (self.clock)();
        let late = gone.is_ok() && now - departing.since >= STRAGGLERS;
        let ended = self.catalog.forget_owner(owner, now, late).await?;
        self.release(&ended);
        let gone = gone?;
        tracing::info!(account = self.pseudonym(owner), "nothing is left of a deleted account");
        Ok(gone)
    }

    async fn delete_at_provider(&self, owner: &Owner, sealed: &[u8]) -> anyhow::Result<Gone> {
        let leaving =
            self.seal.open(owner.as_str(), sealed).and_then(|leaving| serde_json::from_slice::<Leaving>(&leaving).ok());
        let outcome = match leaving {
            Some(Leaving { person, grant }) => {
                let who = SignedIn { person, grant: grant.map(|grant| Grant(grant.into())) };
                self.identity()?.delete(&who).await
            }
            None => Err(Refusal::Expired.into()),
        };
        let gone = match outcome {
            Ok(()) => Gone::Everywhere,
            Err(Denied::Down(cause)) => return Err(cause),
            // It says nothing about the account: later it may be let through.
            Err(Denied::Refused(refusal @ Refusal::TooMany)) => return Err(refusal.into()),
            Err(Denied::Refused(refusal)) => {
                tracing::error!(
                    owner = owner.as_str(),
                    %refusal,
                    "the provider does not let an account be deleted: its operator must delete this user there"
                );
                Gone::HereAlone
            }
        };
        self.catalog.left_provider(owner).await?;
        Ok(gone)
    }
}
