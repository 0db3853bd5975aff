//! What the app does about people: sign up, sign in, remember, limit, sign out, let go. No HTTP, no SQL, no AWS.
//!
//! The counterpart of the [`album`](crate::album): the pages ask here, the identity says yes or no, the catalog remembers.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use self::seal::Seal;
use crate::{
    album::{Album, catalog_trouble as trouble},
    catalog::{Catalog, Outage},
    error::Error,
    identity::{Delivery, Denied, Departure, Identity, Offers, Pending, Person, Refusal, SignInName},
};

mod departing;
mod device;
mod entrance;
mod limit;
mod own;
mod seal;
mod session;
mod sweep;

pub use seal::SIGN_IN_LASTS;

/// The parts accounts are made of.
pub struct Accounts {
    catalog: Catalog,
    /// `None`: a gallery without accounts, every visitor is [`Owner::anonymous`].
    identity: Option<Arc<dyn Identity>>,
    album: Arc<Album>,
    times: Times,
    keys: Keys,
    seal: Seal,
    clock: fn() -> DateTime<Utc>,
    /// Where work runs that must not die with the request that asked for it.
    runtime: Handle,
}

/// Keys derived from the gallery's secret, the same on all instances.
#[derive(Clone)]
pub struct Keys {
    /// Seals cookies and grants.
    pub seal: [u8; 32],
    /// Makes form tokens.
    pub form: [u8; 32],
    /// Hides names and addresses where they only have to be told apart.
    pub names: [u8; 32],
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Without a request. When somebody was last seen is known to the hour.
    pub idle: Duration,
    /// In all.
    pub absolute: Duration,
    /// Between two questions to the provider about somebody signed in.
    pub renew: Duration,
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address, as far as proxies are trusted.
    pub address: IpAddr,
    /// What the browser calls itself (`User-Agent`), cut.
    pub agent: String,
    /// The value of the `device` cookie, when there is one.
    pub device: Option<String>,
    /// The value of the `sign-in` cookie, when there is one.
    pub sign_in: Option<String>,
}

/// Somebody's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its name in lists: the first 16 hexadecimal digits of the hash of its id. Tells nothing of the cookie.
    pub handle: String,
    /// Who.
    pub person: Person,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    pub seen_at: DateTime<Utc>,
    /// What the browser called itself.
    pub agent: String,
    /// From which address it began.
    pub address: String,
}

/// What a browser is to be given after signing in. Values of cookies; never logged.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The session's cookie.
    pub session: SecretString,
    /// For how long the browser is to keep it: the absolute time-out.
    pub lasts: Duration,
    /// The device cookie, which now also knows this account.
    pub device: SecretString,
    /// Who.
    pub person: Person,
}

/// What travels sealed in the `sign-in` cookie between two requests of somebody who is not signed in yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Underway {
    /// A sign-in that waits for an answer.
    Challenge(Pending),
    /// An account that waits for its code.
    Confirm {
        /// Whose.
        name: SignInName,
        /// Where the code went.
        delivery: Delivery,
        /// Whether the account's password was given, so that its page may say that there is such an account.
        proven: bool,
    },
    /// A forgotten password that waits for its code.
    Reset {
        /// Whose.
        name: SignInName,
        /// Where the code went.
        delivery: Delivery,
    },
    /// A browser on the provider's pages.
    Hosted(Departure),
    /// Nothing is asked: the name that was typed last, which the next form need not ask again.
    Named(SignInName),
}

/// How far a sign-in has come.
#[derive(Debug)]
pub enum Progress {
    /// All the way.
    In(Box<Entry>),
    /// More is asked: keep this in the `sign-in` cookie and show the page for it.
    Asked(Underway),
}

/// What became of a sign-up.
#[derive(Debug)]
pub enum SignedUp {
    /// The account can be used: sign in.
    Ready,
    /// A code was sent: keep this in the `sign-in` cookie and show the page for it.
    CodeSent(Underway),
}

/// Why something was not done.
#[derive(Debug)]
pub enum Denial {
    /// The provider, or a rule of ours, says no: a sentence for the form.
    Refused(Refusal),
    /// Too many tries from here or for this account: 429 with `Retry-After`.
    Limited {
        /// After which time the next try is let through.
        retry_after: Duration,
    },
    /// It could not be done now, or at all: a page of its own.
    Failed(Error),
}

impl From<Error> for Denial {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What accounts answer.
pub type Outcome<T> = Result<T, Denial>;

/// How much a person has, for the account page.
pub type Usage = crate::catalog::Totals;

impl Accounts {
    /// Accounts over their parts; `identity` is `None` for a gallery without accounts. To be called on the runtime on which its background
    /// work shall live.
    pub fn new(
        catalog: Catalog,
        identity: Option<Arc<dyn Identity>>,
        album: Arc<Album>,
        times: Times,
        keys: Keys,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        let seal = Seal::new(&keys.seal);
        Self { catalog, identity, album, times, keys, seal, clock, runtime: Handle::current() }
    }

    /// What the provider offers; `None` in a gallery without accounts.
    pub fn offers(&self) -> Option<Offers> {
        self.identity.as_ref().map(|identity| identity.offers())
    }

    /// Whether the very first account is still to be made.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        self.identity()?.is_empty().await.map_err(unasked)
    }

    /// Ends what goes on in the background, waiting for it a few seconds at most.
    pub async fn finish(&self) {
        if let Some(identity) = &self.identity {
            identity.finish().await;
        }
    }

    /// Who knows people; there are no such pages in a gallery without accounts.
    fn identity(&self) -> Result<&dyn Identity, Error> {
        self.identity.as_deref().ok_or(Error::NotFound)
    }
}

/// What it means for the visitor that the provider could not be asked.
fn unasked(cause: anyhow::Error) -> Error {
    if cause.downcast_ref::<Outage>().is_some() { trouble(cause) } else { Error::outside(cause) }
}

/// What a provider's no means.
fn refused(denied: Denied) -> Denial {
    match denied {
        Denied::Refused(refusal) => Denial::Refused(refusal),
        Denied::Down(cause) => Denial::Failed(unasked(cause)),
    }
}
