//! What the operator does with accounts at the command line.

use secrecy::SecretString;

use super::{Local, password};
use crate::{
    catalog::{Account, Enrolled, Standing},
    identity::{Answer, NewAccount, SignInName},
};

/// How many accounts are listed at most.
const LISTED: u32 = 100_000;

impl Local {
    /// Makes an account that can be used at once, whatever is said about sign-ups; false when there is one of this name. The first account
    /// gets the photos that were nobody's.
    pub async fn add(&self, new: &NewAccount) -> Answer<bool> {
        let (owner, enrolled) = self.enroll(new, true, true).await?;
        if enrolled == Enrolled::First {
            self.take_over(&owner).await?;
        }
        Ok(matches!(enrolled, Enrolled::First | Enrolled::Another))
    }

    /// Gives an account a new password, confirms it, and ends its sessions on all instances.
    pub async fn set_password(&self, account: &Account, password: &SecretString) -> Answer<()> {
        password::check(password, &[&account.email, &account.nickname])?;
        let hash = self.passwords.hash(password).await?;
        self.catalog.set_password(&account.owner, None, &hash).await?;
        self.catalog.set_confirmed(&account.owner, (self.clock)()).await?;
        Ok(())
    }

    /// The account of this name.
    pub async fn account(&self, name: &SignInName) -> anyhow::Result<Option<Account>> {
        self.named(name).await
    }

    /// All accounts, oldest first, with how much is in each.
    pub async fn accounts(&self) -> anyhow::Result<Vec<Standing>> {
        self.catalog.accounts(LISTED).await
    }

    /// Closes the catalog's connections.
    pub async fn close(&self) {
        self.catalog.close().await;
    }
}
