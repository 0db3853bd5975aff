//! Accounts of the gallery's own, in its catalog: the provider that needs nothing but the program.
//!
//! Whatever is asked about an account that is not there is answered like one that is, after as much work.

use std::{num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Answer, Chooser, Delivery, Denied, Grant, Identity, NewAccount, Nickname, Offers, Pending, Person, Refusal,
    Response, SignInName, SignedIn, SignedUp, Step, random,
};
use crate::{
    catalog::{Account, Catalog, Enrolled, Enrolment, Purpose, password_mark},
    photo::Owner,
};
use code::Codes;
use mail::Mail;
use password::{Compared, Passwords};
use post::{Letter, Post};

mod code;
pub mod mail;
mod operator;
mod password;
mod post;

/// How many photos change hands in one transaction.
const ARMFUL: u32 = 50;
/// How long the first sign-up waits for the photos that were there before; the rest follow.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(5);
/// After how long an account that was never confirmed is forgotten, in days.
const UNCONFIRMED_DAYS: i64 = 7;

/// How accounts are made.
pub struct Rules {
    /// Whether people make accounts themselves, after the first.
    pub open: bool,
    /// Under which codes are hashed; the same on all instances.
    pub code_key: [u8; 32],
    /// How mail is sent; `None`: nobody gets a code, and new accounts can be used at once.
    pub mail: Option<Mail>,
    /// How many passwords are hashed at once.
    pub at_once: NonZeroUsize,
}

/// The accounts in the catalog.
#[derive(Clone)]
pub struct Local {
    catalog: Catalog,
    passwords: Passwords,
    codes: Codes,
    post: Option<Post>,
    open: bool,
    clock: fn() -> DateTime<Utc>,
}

impl Local {
    /// The accounts in this catalog. To be called on the runtime on which mail shall be sent.
    pub async fn new(catalog: Catalog, rules: Rules, clock: fn() -> DateTime<Utc>) -> anyhow::Result<Self> {
        let codes = Codes::new(rules.code_key);
        let post = rules.mail.map(|mail| Post::open(mail, catalog.clone(), codes.clone(), clock));
        let passwords = Passwords::new(rules.at_once).await?;
        Ok(Self { catalog, passwords, codes, post, open: rules.open, clock })
    }

    /// Does what an earlier process may have left undone: the first account gets the photos that were nobody's, and accounts that were never
    /// confirmed are forgotten.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        self.catalog.delete_unconfirmed((self.clock)() - chrono::TimeDelta::days(UNCONFIRMED_DAYS)).await?;
        match self.catalog.founder().await? {
            Some(founder) => self.take_over(&founder.owner).await,
            None => Ok(()),
        }
    }

    /// How many passwords have been hashed since the start.
    pub fn hashed(&self) -> u64 {
        self.passwords.hashed()
    }

    /// Gives the first account what belonged to everybody.
    async fn take_over(&self, owner: &Owner) -> anyhow::Result<()> {
        let nobody = Owner::anonymous();
        let mut photos = 0;
        loop {
            match self.catalog.take_over(&nobody, owner, ARMFUL).await? {
                0 => break,
                some => photos += some,
            }
        }
        if photos > 0 {
            tracing::info!(photos, "photos from the time before there were accounts now belong to the first account");
        }
        Ok(())
    }

    /// Like [`take_over`](Self::take_over), waiting for it a few seconds at most; [`tidy`](Self::tidy) completes it.
    async fn take_over_soon(&self, owner: Owner) {
        let local = self.clone();
        let taking = tokio::spawn(async move {
            if let Err(cause) = local.take_over(&owner).await {
                tracing::warn!(
                    error = format!("{cause:#}"),
                    "not all earlier photos belong to the first account yet; the next start goes on with it"
                );
            }
        });
        let _ = tokio::time::timeout(TAKEOVER_PATIENCE, taking).await;
    }

    /// Makes an account, or leaves the one of this name.
    async fn enroll(&self, new: &NewAccount, open: bool, confirmed: bool) -> Answer<(Owner, Enrolled)> {
        self.check_name(&new.name)?;
        password::check(&new.password, &[new.name.as_str(), new.nickname.as_str()])?;
        let hash = self.passwords.hash(&new.password).await?;
        let owner: Owner =
            uuid::Builder::from_random_bytes(random()?).into_uuid().to_string().parse().map_err(impossible)?;
        let enrolment = Enrolment {
            owner: &owner,
            email: new.name.as_str(),
            key: &new.name.key(),
            nickname: new.nickname.as_str(),
            password: &hash,
            open,
            confirmed,
        };
        let enrolled = self.catalog.enroll(&enrolment, (self.clock)()).await?;
        Ok((owner, enrolled))
    }

    /// Accounts here have e-mail addresses; with codes, such as mail can be sent to.
    fn check_name(&self, name: &SignInName) -> Result<(), Refusal> {
        let refused = |sentence: &str| Err(Refusal::Name(sentence.to_owned()));
        if name.is_phone() {
            return refused("This gallery knows people by e-mail address. Please give yours.");
        }
        if self.post.is_some() && !mail::reaches(name.as_str()) {
            return refused("No mail can be sent to this address. Please check it.");
        }
        Ok(())
    }

    /// Sends something in the background, so that who is unknown is answered as fast.
    fn send(&self, letter: Letter, mark: Option<&Owner>) -> Answer<Delivery> {
        let to = letter.name.as_str().to_owned();
        let Some(post) = &self.post else {
            return Err(Refusal::NotOffered(NO_MAIL.to_owned()).into());
        };
        post.take(letter)?;
        Ok(Delivery { to: Some(to), mark: mark.map(|owner| owner.as_str().to_owned()) })
    }

    async fn named(&self, name: &SignInName) -> anyhow::Result<Option<Account>> {
        self.catalog.account_named(&name.key()).await
    }

    /// Whose codes are looked at for an account: for one that is not there those of somebody who never has any, so that the answer takes as
    /// long.
    fn whose(account: Option<&Account>) -> Owner {
        account.map_or_else(Owner::anonymous, |account| account.owner.clone())
    }

    /// The account, when this is its password.
    async fn proven(&self, account: Option<Account>, password: &SecretString) -> Answer<Account> {
        let compared = self.passwords.compare(password, account.as_ref().map(|account| &account.password)).await?;
        let Some(account) = account.filter(|_| compared != Compared::Wrong) else {
            return Err(Refusal::Credentials.into());
        };
        if compared == Compared::Outdated {
            let hash = self.passwords.hash(password).await?;
            self.catalog.upgrade_password(&account.owner, &account.password, &hash).await?;
            return Ok(Account { password: hash, ..account });
        }
        Ok(account)
    }
}

/// What is said where a code would be needed.
const NO_MAIL: &str = "This gallery sends no mail. Please ask its operator to reset your password.";

/// What is said to who has the right code, and has not shown that the account's password is theirs.
const NOT_THE_CHOOSER: &str = "This is not the password of the new account. Perhaps somebody else signed up with your address: choose a \
                               password of your own by “Forgot your password?”, or sign up again.";

fn impossible(error: crate::photo::Malformed) -> Denied {
    Denied::Down(anyhow::Error::new(error).context("a UUID is no owner"))
}

fn person(account: Account) -> Person {
    Person { owner: account.owner, email: Some(account.email), nickname: Some(account.nickname) }
}

/// The grant is the mark of the password that was proved: no session outlives it that begins after it was changed.
fn signed_in(account: Account) -> SignedIn {
    let grant = Grant(password_mark(&account.password).into());
    SignedIn { person: person(account), grant: Some(grant) }
}

/// The mark that a grant holds; `None` for one of another provider.
fn mark(who: &SignedIn) -> Option<&str> {
    let mark = who.grant.as_ref()?.0.expose_secret();
    (mark.len() == 64 && mark.bytes().all(|b| b.is_ascii_hexdigit())).then_some(mark)
}

#[async_trait]
impl Identity for Local {
    fn offers(&self) -> Offers {
        Offers {
            sign_up: self.open,
            codes: self.post.is_some(),
            phone: false,
            hosted: false,
            password: true,
            confirm_password: true,
            password_chars: password::MIN_CHARS,
        }
    }

    async fn is_empty(&self) -> anyhow::Result<bool> {
        Ok(!self.catalog.has_accounts().await?)
    }

    async fn sign_up(&self, account: &NewAccount) -> Answer<SignedUp> {
        if !self.open && self.catalog.has_accounts().await? {
            return Err(Refusal::Closed.into());
        }
        let (owner, enrolled) = self.enroll(account, self.open, self.post.is_none()).await?;
        let letter = match enrolled {
            Enrolled::Closed => return Err(Refusal::Closed.into()),
            Enrolled::First => {
                self.take_over_soon(owner).await;
                return Ok(SignedUp::Ready);
            }
            _ if self.post.is_none() => return Ok(SignedUp::Ready),
            Enrolled::Another => Letter::code(Purpose::Confirm, &account.name),
            Enrolled::Taken => Letter::taken(&account.name),
        };
        Ok(SignedUp::CodeSent(self.send(letter, Some(&owner))?))
    }

    async fn confirm(&self, name: &SignInName, code: &SecretString, chooser: &Chooser) -> Answer<()> {
        let account = self.named(name).await?;
        let owner = Self::whose(account.as_ref());
        let mut chose = account.is_some() && chooser.mark.as_deref() == Some(owner.as_str());
        if let Some(password) = &chooser.password {
            let hash = account.as_ref().map(|account| &account.password);
            chose |= self.passwords.compare(password, hash).await? != Compared::Wrong;
        }
        let hash = self.codes.hash(&owner, Purpose::Confirm, code);
        let right = self.catalog.confirm_by_code(&owner, &hash, chose, (self.clock)()).await?;
        if !right {
            return Err(Refusal::Code.into());
        }
        if chose { Ok(()) } else { Err(Refusal::Password(NOT_THE_CHOOSER.to_owned()).into()) }
    }

    async fn resend(&self, name: &SignInName) -> Answer<Delivery> {
        self.send(Letter::code(Purpose::Confirm, name), None)
    }

    async fn sign_in(&self, name: &SignInName, password: &SecretString) -> Answer<Step> {
        let account = self.named(name).await?;
        let account = self.proven(account, password).await?;
        match (account.confirmed, &self.post) {
            (true, _) => Ok(Step::In(Box::new(signed_in(account)))),
            (false, Some(_)) => Ok(Step::Unconfirmed(Some(account.owner.as_str().to_owned()))),
            (false, None) => Err(Refusal::NotOffered(
                "This account waits for a code, and this gallery sends no mail any more. Please ask its operator to reset \
                 your password."
                    .to_owned(),
            )
            .into()),
        }
    }

    async fn respond(&self, _: &Pending, _: &Response) -> Answer<Step> {
        Err(Refusal::Expired.into())
    }

    async fn forgot(&self, name: &SignInName) -> Answer<Delivery> {
        self.send(Letter::code(Purpose::Reset, name), None)
    }

    async fn reset(&self, name: &SignInName, code: &SecretString, password: &SecretString) -> Answer<Option<Owner>> {
        password::check(password, &[name.as_str()])?;
        // Hashed before the code is looked at: a wrong code and an unknown name take as long as a right one.
        let hash = self.passwords.hash(password).await?;
        let account = self.named(name).await?;
        let owner = Self::whose(account.as_ref());
        let code = self.codes.hash(&owner, Purpose::Reset, code);
        // What their name is, only they are told.
        let nickname = account.as_ref().map_or("", |account| &account.nickname);
        if let Err(refusal) = password::check(password, &[nickname]) {
            let right = self.catalog.knows_reset_code(&owner, &code, (self.clock)()).await?;
            return Err(if right { refusal } else { Refusal::Code }.into());
        }
        let right = self.catalog.reset_by_code(&owner, &code, &hash, (self.clock)()).await?;
        if right { Ok(Some(owner)) } else { Err(Refusal::Code.into()) }
    }

    async fn change_password(&self, who: &SignedIn, old: &SecretString, new: &SecretString) -> Answer<()> {
        let account = self.catalog.account_of(&who.person.owner).await?;
        let account = self.proven(account, old).await?;
        password::check(new, &[&account.email, &account.nickname])?;
        let hash = self.passwords.hash(new).await?;
        let written = self.catalog.set_password(&account.owner, Some(&account.password), &hash).await?;
        if written { Ok(()) } else { Err(Refusal::Credentials.into()) }
    }

    async fn rename(&self, who: &SignedIn, nickname: &Nickname) -> Answer<()> {
        self.catalog.set_nickname(&who.person.owner, nickname.as_str()).await?;
        Ok(())
    }

    async fn renew(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        if mark(who).is_none() {
            return Ok(None);
        }
        let account = self.catalog.account_of(&who.person.owner).await?;
        Ok(account.map(|account| SignedIn { person: person(account), grant: who.grant.clone() }))
    }

    fn mark<'a>(&self, who: &'a SignedIn) -> Option<&'a str> {
        mark(who)
    }

    async fn tidy(&self) -> anyhow::Result<()> {
        Self::tidy(self).await
    }

    /// Nothing to do: the session is all there is.
    async fn sign_out(&self, _: &SignedIn) -> Answer<()> {
        Ok(())
    }

    /// Nothing to do: the sessions are all there is.
    async fn sign_out_everywhere(&self, _: &SignedIn) -> Answer<()> {
        Ok(())
    }

    async fn delete(&self, who: &SignedIn) -> Answer<()> {
        self.catalog.delete_account(&who.person.owner).await?;
        Ok(())
    }

    /// Sends the letters that wait still.
    async fn finish(&self) {
        if let Some(post) = &self.post {
            post.close().await;
        }
    }
}
