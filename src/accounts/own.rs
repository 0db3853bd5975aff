//! What somebody signed in changes about their own account.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Accounts, Client, Entry, Outcome, refused, trouble};
use crate::{catalog::SessionRecord, error::Error, identity::Nickname};

impl Accounts {
    /// Changes the password, ends all other sessions, and gives this one a new cookie.
    pub async fn change_password(
        self: &Arc<Self>,
        client: &Client,
        cookie: &str,
        old: &SecretString,
        new: &SecretString,
    ) -> Outcome<Entry> {
        let record = self.required(cookie).await?;
        let buckets = self.again_bucket(&record.owner);
        self.count(client, &buckets).await?;
        let (who, kept) = self.at_hand(&record).await?;
        let device = self.acquainted(client, kept.name.as_ref())?;
        let (session, mut fresh) = self.fresh(client, kept.name.as_ref(), &who).map_err(Error::Internal)?;
        fresh.created_at = record.created_at;
        let person = who.person.clone();
        let (accounts, old, new) = (Arc::clone(self), old.clone(), new.clone());
        let changed = self.to_its_end(async move {
            accounts.identity()?.change_password(&who, &old, &new).await.map_err(refused)?;
            accounts.uncount(&buckets).await;
            let ended = accounts.catalog.replace_sessions(&fresh).await.map_err(trouble)?.ok_or(Error::SignIn)?;
            let others: Vec<SessionRecord> = ended.into_iter().filter(|ended| ended.id != record.id).collect();
            accounts.release(&others);
            Ok(())
        });
        self.told(client, "a password was not changed", &person.owner, changed.await)?;
        tracing::info!(account = self.pseudonym(&person.owner), address = %client.address, "a password was changed");
        Ok(Entry { session, lasts: self.times.absolute, device, person })
    }

    /// Changes the nickname, in this person's sessions too.
    pub async fn rename(self: &Arc<Self>, cookie: &str, nickname: &Nickname) -> Outcome<()> {
        let record = self.required(cookie).await?;
        let (who, _) = self.at_hand(&record).await?;
        self.identity()?.rename(&who, nickname).await.map_err(refused)?;
        self.catalog.rename_sessions(&record.owner, nickname.as_str()).await.map_err(trouble)?;
        Ok(())
    }

    /// Does something that must not stop half-way, even when the browser that asked for it goes away.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> Outcome<T> {
        let done = self.runtime.spawn(work).await;
        done.unwrap_or_else(|cause| {
            Err(Error::Internal(anyhow::Error::new(cause).context("changing an account")).into())
        })
    }
}
