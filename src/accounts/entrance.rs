//! The way in: sign up, confirm, sign in, forgotten passwords, and the provider's own pages.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Accounts, Client, Denial, Outcome, Progress, SignedUp, Underway, refused, trouble};
use crate::{
    error::Error,
    identity::{self, Chooser, Delivery, Departure, NewAccount, Pending, Refusal, Response, SignInName, Step},
};

impl Accounts {
    /// Makes an account.
    pub async fn sign_up(&self, client: &Client, account: &NewAccount) -> Outcome<SignedUp> {
        let identity = self.identity()?;
        let buckets = [self.sign_up_bucket(client), self.send_buckets(client, &account.name)].concat();
        self.count(client, &buckets).await?;
        let signed_up = identity.sign_up(account).await.map_err(refused);
        let signed_up = self.told_name(client, "a sign-up was refused", &account.name, signed_up)?;
        tracing::info!(name = self.name_pseudonym(&account.name), address = %client.address, "somebody signed up");
        match signed_up {
            identity::SignedUp::Ready => Ok(SignedUp::Ready),
            identity::SignedUp::CodeSent(delivery) => {
                Ok(SignedUp::CodeSent(Underway::Confirm { name: account.name.clone(), delivery, proven: false }))
            }
        }
    }

    /// Confirms an account with its code, typed by who chose its password.
    pub async fn confirm(
        &self,
        client: &Client,
        name: &SignInName,
        code: &SecretString,
        chooser: &Chooser,
    ) -> Outcome<()> {
        let identity = self.identity()?;
        self.count(client, &self.code_buckets(client, name)).await?;
        let confirmed = identity.confirm(name, code, chooser).await.map_err(refused);
        self.told_name(client, "a code was refused", name, confirmed)
    }

    /// Sends the code again; `mark` is that of the sign-up, where it is known.
    pub async fn resend(&self, client: &Client, name: &SignInName, mark: Option<String>) -> Outcome<Underway> {
        let identity = self.identity()?;
        self.count(client, &self.send_buckets(client, name)).await?;
        let delivery = identity.resend(name).await.map_err(refused)?;
        Ok(Underway::Confirm { name: name.clone(), delivery: Delivery { mark, ..delivery }, proven: false })
    }

    /// Begins to sign in. An unconfirmed account with the right password is asked for its code (`Underway::Confirm`), a new one being sent.
    /// `before` is the session cookie the browser came with, which ends.
    pub async fn sign_in(
        self: &Arc<Self>,
        client: &Client,
        name: &SignInName,
        password: &SecretString,
        before: Option<&str>,
    ) -> Outcome<Progress> {
        let identity = self.identity()?;
        let buckets = self.sign_in_buckets(client, name);
        self.count(client, &buckets).await?;
        let step = identity.sign_in(name, password).await.map_err(refused);
        let step = self.told_name(client, "a sign-in was refused", name, step)?;
        let progress = self.step(client, name, step, before).await?;
        if matches!(progress, Progress::In(_)) {
            self.uncount(&buckets).await;
        }
        Ok(progress)
    }

    /// Goes on with a sign-in.
    pub async fn respond(
        self: &Arc<Self>,
        client: &Client,
        pending: &Pending,
        response: &Response,
        before: Option<&str>,
    ) -> Outcome<Progress> {
        let identity = self.identity()?;
        let buckets = self.answer_buckets(client, &pending.name);
        self.count(client, &buckets).await?;
        let step = identity.respond(pending, response).await.map_err(refused);
        let step = self.told_name(client, "an answer to a challenge was refused", &pending.name, step)?;
        let progress = self.step(client, &pending.name, step, before).await?;
        if matches!(progress, Progress::In(_)) {
            self.uncount(&buckets).await;
        }
        Ok(progress)
    }

    async fn step(
        self: &Arc<Self>,
        client: &Client,
        name: &SignInName,
        step: Step,
        before: Option<&str>,
    ) -> Outcome<Progress> {
        match step {
            Step::In(signed) => self.enter(client, Some(name), *signed, before).await,
            Step::Asked(pending) => Ok(Progress::Asked(Underway::Challenge(pending))),
            Step::Unconfirmed(mark) => {
                let delivery = match self.resend(client, name, mark.clone()).await {
                    Ok(Underway::Confirm { delivery, .. }) => delivery,
                    // An earlier code may still be at hand, and the page can ask for another.
                    Ok(_) | Err(Denial::Limited { .. } | Denial::Refused(_)) => Delivery { to: None, mark },
                    Err(failed @ Denial::Failed(_)) => return Err(failed),
                };
                Ok(Progress::Asked(Underway::Confirm { name: name.clone(), delivery, proven: true }))
            }
        }
    }

    /// Sends a code for a new password. `Underway::Reset`, also for unknown names.
    pub async fn forgot(&self, client: &Client, name: &SignInName) -> Outcome<Underway> {
        let identity = self.identity()?;
        self.count(client, &self.send_buckets(client, name)).await?;
        let delivery = identity.forgot(name).await.map_err(refused)?;
        Ok(Underway::Reset { name: name.clone(), delivery })
    }

    /// Sets a new password with a code, and ends all sessions of that account.
    pub async fn reset(
        self: &Arc<Self>,
        client: &Client,
        name: &SignInName,
        code: &SecretString,
        password: &SecretString,
    ) -> Outcome<()> {
        self.identity()?;
        self.count(client, &self.code_buckets(client, name)).await?;
        let (accounts, address) = (Arc::clone(self), client.address);
        let (of, code, password) = (name.clone(), code.clone(), password.clone());
        let reset = self.to_its_end(async move {
            let told = accounts.identity()?.reset(&of, &code, &password).await.map_err(refused)?;
            let owners = match told {
                Some(owner) => vec![owner],
                None => accounts.catalog.owners_signed_in_as(&accounts.name_hash(&of.key())).await.map_err(trouble)?,
            };
            for owner in owners {
                let ended = accounts.catalog.end_sessions(&owner).await.map_err(trouble)?;
                tracing::info!(account = accounts.pseudonym(&owner), %address, "a password was reset");
                accounts.release(&ended);
            }
            Ok(())
        });
        self.told_name(client, "a code for a new password was refused", name, reset.await)
    }

    /// Sends the browser to the provider's pages: the URL, and what to keep in the `sign-in` cookie.
    pub fn depart(&self) -> Result<(String, Underway), Error> {
        let hosted = self.identity()?.hosted().ok_or(Error::NotFound)?;
        let (url, departure) = hosted.depart().map_err(Error::Internal)?;
        Ok((url, Underway::Hosted(departure)))
    }

    /// The browser is back from the provider's pages with `state` and `code`.
    pub async fn arrive(
        self: &Arc<Self>,
        client: &Client,
        departure: &Departure,
        state: &str,
        code: &SecretString,
        before: Option<&str>,
    ) -> Outcome<Progress> {
        let hosted = self.identity()?.hosted().ok_or(Error::NotFound)?;
        if !departure.set_out_with(state) {
            tracing::info!(address = %client.address, "a browser came back with a foreign state");
            return Err(Denial::Refused(Refusal::Expired));
        }
        let buckets = self.arrival_bucket(client);
        self.count(client, &buckets).await?;
        let signed = hosted.arrive(departure, code).await.map_err(refused)?;
        let progress = self.enter(client, None, signed, before).await?;
        self.uncount(&buckets).await;
        Ok(progress)
    }
}
