//! How often something may be tried, by account and by address: counted for all instances together, and let go with time, so that nobody
//! is locked out for good. When it cannot be counted, nothing is tried: 503.

use std::{net::IpAddr, time::Duration};

use super::{Accounts, Client, Denial, Outcome, Underway, seal::keyed, trouble};
use crate::{
    catalog::{Rate, Taken},
    identity::SignInName,
    photo::Owner,
};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password for an account from one address: 10 at once, then one each 30 s.
    SignInHere,
    /// A password for an account from anywhere: 50 at once, then one a minute. It bounds guessing by many machines.
    SignInAnywhere,
    /// A password for an account with a browser that it signed in with before: 10 at once, then one each 30 s, whatever others do.
    SignInKnown,
    /// A password for whatever account from one address: 30 at once, then one each 10 s.
    SignInAddress,
    /// Somebody signed in gives their password again: 10 at once, then one each 30 s.
    Again,
    /// New accounts from one address: 20 at once, then one each 2 minutes.
    SignUp,
    /// Codes sent to one name: 5 at once, then one each 5 minutes.
    SendName,
    /// Codes asked for from one address: 20 at once, then one a minute.
    SendAddress,
    /// Tries of a code for one account from one address: 10 at once, then one a minute. The provider itself gives a code up sooner.
    CodeHere,
    /// Tries of a code for an account from anywhere: 50 at once, then one a minute.
    CodeAnywhere,
    /// Tries of a code for an account with the `sign-in` cookie of the browser that asked for it: 10 at once, then one a minute, whatever
    /// others do. There are no more such cookies than [`Kind::SendName`] lets codes be asked for.
    CodeAsked,
    /// Tries of a code from one address: 30 at once, then one each 10 s.
    CodeAddress,
    /// Answers to what is asked after the right password, from one address: 10 at once, then one a minute.
    AnswerHere,
    /// The same from anywhere: 50 at once, then one a minute.
    AnswerAnywhere,
    /// Browsers back from the provider's own pages from one address: 30 at once, then one each 10 s.
    Arrival,
}

impl Kind {
    const fn rate(self) -> Rate {
        let (burst, seconds) = match self {
            Self::SignInHere | Self::SignInKnown | Self::Again => (10, 30),
            Self::SignInAnywhere | Self::CodeAnywhere | Self::AnswerAnywhere => (50, 60),
            Self::SignInAddress | Self::CodeAddress | Self::Arrival => (30, 10),
            Self::SignUp => (20, 120),
            Self::SendName => (5, 300),
            Self::SendAddress => (20, 60),
            Self::CodeHere | Self::CodeAsked | Self::AnswerHere => (10, 60),
        };
        Rate { burst, every: Duration::from_secs(seconds) }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::SignInHere => "sign-in here",
            Self::SignInAnywhere => "sign-in anywhere",
            Self::SignInKnown => "sign-in known",
            Self::SignInAddress => "sign-in address",
            Self::Again => "again",
            Self::SignUp => "sign-up",
            Self::SendName => "send name",
            Self::SendAddress => "send address",
            Self::CodeHere => "code here",
            Self::CodeAnywhere => "code anywhere",
            Self::CodeAsked => "code asked",
            Self::CodeAddress => "code address",
            Self::AnswerHere => "answer here",
            Self::AnswerAnywhere => "answer anywhere",
            Self::Arrival => "arrival",
        }
    }
}

/// Buckets into which one try goes.
pub(super) type Buckets = Vec<(String, Rate)>;

impl Accounts {
    /// The buckets of a password for `name`.
    pub(super) fn sign_in_buckets(&self, client: &Client, name: &SignInName) -> Buckets {
        let (key, address) = (name.key(), network(client.address));
        match self.known_device(client, name) {
            Some(device) => vec![self.bucket(Kind::SignInKnown, &[&key, &device])],
            None => vec![
                self.bucket(Kind::SignInHere, &[&key, &address]),
                self.bucket(Kind::SignInAnywhere, &[&key]),
                self.bucket(Kind::SignInAddress, &[&address]),
            ],
        }
    }

    /// The bucket of a password that somebody signed in gives again.
    pub(super) fn again_bucket(&self, owner: &Owner) -> Buckets {
        vec![self.bucket(Kind::Again, &[owner.as_str()])]
    }

    /// The bucket of a new account.
    pub(super) fn sign_up_bucket(&self, client: &Client) -> Buckets {
        vec![self.bucket(Kind::SignUp, &[&network(client.address)])]
    }

    /// The buckets of a code to be sent.
    pub(super) fn send_buckets(&self, client: &Client, name: &SignInName) -> Buckets {
        vec![self.bucket(Kind::SendName, &[&name.key()]), self.bucket(Kind::SendAddress, &[&network(client.address)])]
    }

    /// The buckets of a code that is tried.
    pub(super) fn code_buckets(&self, client: &Client, name: &SignInName) -> Buckets {
        let (key, address) = (name.key(), network(client.address));
        match self.asked_for(client, name) {
            Some(cookie) => vec![self.bucket(Kind::CodeAsked, &[&key, cookie])],
            None => vec![
                self.bucket(Kind::CodeHere, &[&key, &address]),
                self.bucket(Kind::CodeAnywhere, &[&key]),
                self.bucket(Kind::CodeAddress, &[&address]),
            ],
        }
    }

    /// The `sign-in` cookie of a browser that asked for a code for `name`.
    fn asked_for<'a>(&self, client: &'a Client, name: &SignInName) -> Option<&'a str> {
        let cookie = client.sign_in.as_deref()?;
        match self.unseal(cookie)?.0 {
            Underway::Confirm { name: of, .. } | Underway::Reset { name: of, .. } => {
                (of.key() == name.key()).then_some(cookie)
            }
            Underway::Challenge(_) | Underway::Named(_) | Underway::Hosted(_) => None,
        }
    }

    /// The buckets of an answer to a challenge: apart from codes that anybody can try, since the password was right.
    pub(super) fn answer_buckets(&self, client: &Client, name: &SignInName) -> Buckets {
        let (key, address) = (name.key(), network(client.address));
        vec![self.bucket(Kind::AnswerHere, &[&key, &address]), self.bucket(Kind::AnswerAnywhere, &[&key])]
    }

    /// The bucket of a browser that comes back from the provider's own pages.
    pub(super) fn arrival_bucket(&self, client: &Client) -> Buckets {
        vec![self.bucket(Kind::Arrival, &[&network(client.address)])]
    }

    /// The name of a bucket tells neither account nor address.
    fn bucket(&self, kind: Kind, subject: &[&str]) -> (String, Rate) {
        let hash = keyed(&self.keys.names, &[&["limit", kind.word()], subject].concat());
        (hex::encode(hash), kind.rate())
    }

    /// Counts one try.
    pub(super) async fn count(&self, client: &Client, buckets: &Buckets) -> Outcome<()> {
        match self.catalog.take(buckets, (self.clock)()).await.map_err(trouble)? {
            Taken::Yes => Ok(()),
            Taken::Full { retry_after } => {
                tracing::info!(address = %client.address, seconds = retry_after.as_secs(), "too many tries");
                Err(Denial::Limited { retry_after })
            }
        }
    }

    /// Takes a try back that turned out to be right.
    pub(super) async fn uncount(&self, buckets: &Buckets) {
        if let Err(cause) = self.catalog.give_back(buckets).await {
            tracing::warn!(error = format!("{cause:#}"), "a right password counts as a try");
        }
    }
}

/// What one subscriber has at least: an IPv4 address, or the first 64 bits of an IPv6 address. Who has more of either is many addresses here;
/// the limits from anywhere bound them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn an_ipv6_subscriber_is_their_first_64_bits() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
