//! The seam behind which it is known who people are: accounts of our own, or an Amazon Cognito user pool.
//!
//! A provider says yes or no at sign-in and at a few moments after it; in between the session speaks, not the provider. Refusals are a
//! typed enum, outages are errors. One conformance suite (`tests/it/identity.rs`) runs on every variant.
//!
//! The trait and its words know [`photo`](crate::photo) alone, like every seam; [`local`] imports the [`catalog`](crate::catalog) too, in
//! which its accounts are, for they share its transactions and its outages.

use std::{fmt, str::FromStr};

use anyhow::Context as _;
use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use crate::photo::{Malformed, Owner};

pub mod cognito;
pub mod local;

/// What someone signs in with: an e-mail address, or a telephone number where the provider takes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignInName(String);

impl SignInName {
    /// The longest, in characters.
    pub const MAX_CHARS: usize = 254;

    /// As it was typed, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is the same however it is typed: composed (NFC) and in lower case.
    pub fn key(&self) -> String {
        self.0.nfc().collect::<String>().to_lowercase()
    }

    /// Whether it is a telephone number: a plus and digits.
    pub fn is_phone(&self) -> bool {
        self.0.starts_with('+')
    }
}

impl FromStr for SignInName {
    type Err = Malformed;

    /// Takes an e-mail address (something, `@`, something, no blanks) or a telephone number in its international form (E.164).
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let name = text.trim();
        let plain =
            name.chars().count() <= Self::MAX_CHARS && !name.chars().any(|c| c.is_whitespace() || c.is_control());
        let phone = name.strip_prefix('+').map(|number| {
            (7..=15).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0')
        });
        let email = || name.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if plain && phone.unwrap_or_else(email) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Malformed("an e-mail address looks like name@example.org"))
        }
    }
}

impl TryFrom<String> for SignInName {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<SignInName> for String {
    fn from(name: SignInName) -> Self {
        name.0
    }
}

impl fmt::Display for SignInName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What someone wants to be called: 1 to 100 characters on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nickname(String);

impl Nickname {
    /// The longest, in characters.
    pub const MAX_CHARS: usize = 100;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Nickname {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let name = text.trim();
        if name.is_empty() {
            return Err(Malformed("please enter your name"));
        }
        if name.chars().count() > Self::MAX_CHARS || name.chars().any(char::is_control) {
            return Err(Malformed("a name has 1 to 100 characters on one line"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Nickname {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Nickname> for String {
    fn from(name: Nickname) -> Self {
        name.0
    }
}

/// Somebody as the provider knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Whose photos are theirs: the provider's stable id (`cognito:username`), never the e-mail address.
    pub owner: Owner,
    /// The e-mail address to show; it proves nothing.
    pub email: Option<String>,
    /// What they want to be called.
    pub nickname: Option<String>,
}

/// What a provider gave at sign-in so that it can be asked about the same person later: a refresh token. Opaque outside the provider.
#[derive(Clone, Debug)]
pub struct Grant(pub SecretString);

/// Somebody who has proved who they are.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// What to ask the provider with; `None` where the provider's word needs no renewal.
    pub grant: Option<Grant>,
}

/// What is asked of somebody who signs up.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// What they will sign in with.
    pub name: SignInName,
    /// What they want to be called.
    pub nickname: Nickname,
    /// Their password.
    pub password: SecretString,
}

/// What shows that who confirms an account is who chose its password: a code shows only that the address is theirs, and somebody else may
/// have signed up with it. One of the two is enough, where the provider looks at all ([`Offers::confirm_password`]).
#[derive(Clone, Debug, Default)]
pub struct Chooser {
    /// The [`Delivery::mark`] of the sign-up, which this browser has kept.
    pub mark: Option<String>,
    /// The account's password.
    pub password: Option<SecretString>,
}

/// Where a code was sent; partly masked where the provider masks it (`j***@e***`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The place in words for the page; `None` when nothing is told.
    pub to: Option<String>,
    /// The provider's note of which sign-up the code is for, where it wants it back at [`Identity::confirm`]. It travels sealed.
    #[serde(default)]
    pub mark: Option<String>,
}

/// What became of a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedUp {
    /// The account can be used.
    Ready,
    /// A code was sent; [`Identity::confirm`] wants it. Also said when the name was taken already.
    CodeSent(Delivery),
}

/// How far a sign-in has come.
#[derive(Clone, Debug)]
pub enum Step {
    /// All the way.
    In(Box<SignedIn>),
    /// The password was right, and more is asked.
    Asked(Pending),
    /// The password was right, and the account is not confirmed yet: [`Identity::confirm`] first, with this [`Delivery::mark`].
    Unconfirmed(Option<String>),
}

/// A sign-in that waits for an answer. It travels sealed in a cookie between two requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// Who signs in.
    pub name: SignInName,
    /// What is asked.
    pub challenge: Challenge,
    /// The provider's own note about this sign-in, at most 2,048 bytes. A credential: never logged, never shown.
    pub state: String,
}

/// What a provider asks after the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Challenge {
    /// A new password in place of the operator's first one, and a nickname when the pool insists on one.
    NewPassword {
        /// Whether a nickname must come with it.
        nickname: bool,
    },
    /// A one-time code.
    Code {
        /// How it reaches the person.
        by: Factor,
        /// Where it was sent, masked.
        to: Option<String>,
    },
    /// Which of these factors to go on with.
    Choose(Vec<Factor>),
    /// To set up an authenticator app, and then a code from it.
    SetUp {
        /// The shared secret in base32, to be typed into an app.
        secret: String,
        /// The same as an `otpauth://totp/` URI, to be scanned.
        uri: String,
    },
    /// Something this program does not know, by the provider's name for it: there is no way on, and no session.
    Unknown(String),
}

/// How a one-time code reaches a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Factor {
    /// An app that makes codes (TOTP).
    Authenticator,
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
}

/// The answer to a [`Challenge`].
#[derive(Clone, Debug)]
pub enum Response {
    /// To [`Challenge::NewPassword`].
    NewPassword {
        /// The new password.
        password: SecretString,
        /// The nickname, where it was asked for.
        nickname: Option<Nickname>,
    },
    /// To [`Challenge::Code`] and [`Challenge::SetUp`].
    Code(SecretString),
    /// To [`Challenge::Choose`].
    Choice(Factor),
}

/// What a provider can do, so that pages offer nothing in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that pages show or do not")]
pub struct Offers {
    /// Whether people may make accounts.
    pub sign_up: bool,
    /// Whether codes reach people; without them a forgotten password is the operator's to reset.
    pub codes: bool,
    /// Whether a telephone number will do in place of an e-mail address.
    pub phone: bool,
    /// Whether sign-in, sign-up and forgotten passwords happen on the provider's own pages ([`Hosted`]).
    pub hosted: bool,
    /// Whether passwords are changed, and asked before an account is deleted, on our pages.
    pub password: bool,
    /// Whether the password is asked beside the code that confirms an account, of a browser that did not sign up.
    pub confirm_password: bool,
    /// The fewest characters of a password, for the hint beside its field.
    pub password_chars: u16,
}

/// Why a provider said no. What is not told apart here is not told apart on any page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Unknown name, wrong password, disabled account, unconfirmed account with a wrong password: all the same.
    #[error("The e-mail address or the password is not right.")]
    Credentials,
    /// The password will not do; the sentence says why.
    #[error("{0}")]
    Password(String),
    /// The sign-in name will not do; the sentence says why.
    #[error("{0}")]
    Name(String),
    /// The nickname will not do; the sentence says why.
    #[error("{0}")]
    Nickname(String),
    /// The code is wrong, has expired or was used, or was tried too often.
    #[error("This code is not right, or no longer valid. Please check it, or ask for a new one.")]
    Code,
    /// The sign-in took too long or was answered already: it must begin anew.
    #[error("This sign-in has expired. Please sign in again.")]
    Expired,
    /// The provider has had too many requests for this account.
    #[error("There were too many tries. Please wait a few minutes, then try again.")]
    TooMany,
    /// Nobody can make an account here by themselves.
    #[error("This gallery takes no new accounts. Please ask its operator for one.")]
    Closed,
    /// This provider does not do this; the sentence says who does.
    #[error("{0}")]
    NotOffered(String),
}

/// Why something was not done: it was refused, or the provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The provider said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The provider could not be asked, or did not make sense; asking later may help.
    #[error(transparent)]
    Down(#[from] anyhow::Error),
}

/// What a provider answers.
pub type Answer<T> = Result<T, Denied>;

/// Who may sign in. All methods may be called at once from many tasks. An unknown name is answered like a known one, and takes as long.
#[async_trait]
pub trait Identity: Send + Sync {
    /// What this provider can do; asked for every page, so it must cost nothing.
    fn offers(&self) -> Offers;

    /// Whether the very first account is still to be made. Asked only by anonymous visitors' pages.
    async fn is_empty(&self) -> anyhow::Result<bool> {
        Ok(false)
    }

    /// Does what falls due with time; asked every minute, on every instance.
    async fn tidy(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Makes an account. A taken name is answered like a new one.
    async fn sign_up(&self, account: &NewAccount) -> Answer<SignedUp>;

    /// Confirms an account with the code that was sent. `Ok` also when it was confirmed already and the code was right for it.
    /// [`Refusal::Password`] when the code was right, and nothing shows that `chooser` chose the password.
    async fn confirm(&self, name: &SignInName, code: &SecretString, chooser: &Chooser) -> Answer<()>;

    /// Sends the code for [`Identity::confirm`] again. `Ok` also for unknown and confirmed names, to which nothing is sent.
    async fn resend(&self, name: &SignInName) -> Answer<Delivery>;

    /// Begins to sign in.
    async fn sign_in(&self, name: &SignInName, password: &SecretString) -> Answer<Step>;

    /// Goes on with a sign-in that was asked for more. A wrong code is [`Refusal::Code`] and can be tried again while the provider allows.
    async fn respond(&self, pending: &Pending, response: &Response) -> Answer<Step>;

    /// Sends a code for [`Identity::reset`]. `Ok` also for unknown names, to which nothing is sent.
    async fn forgot(&self, name: &SignInName) -> Answer<Delivery>;

    /// Sets a new password with the code that was sent. [`Refusal::Code`] for unknown names. Sessions are ended by the caller.
    /// Returns whose password it was, where the provider tells.
    async fn reset(&self, name: &SignInName, code: &SecretString, password: &SecretString) -> Answer<Option<Owner>>;

    /// Changes the password; [`Refusal::Credentials`] when the old one is wrong.
    async fn change_password(&self, who: &SignedIn, old: &SecretString, new: &SecretString) -> Answer<()>;

    /// Changes the nickname.
    async fn rename(&self, who: &SignedIn, nickname: &Nickname) -> Answer<()>;

    /// Asks again about somebody signed in earlier: `None` when they are to be signed out (disabled, deleted, signed out everywhere), else who
    /// they are now, with the grant to use from now on. An outage is [`Denied::Down`].
    async fn renew(&self, who: &SignedIn) -> Answer<Option<SignedIn>>;

    /// Somebody with a grant that serves for the next minutes without renewal, which the caller has to keep; `None` when theirs does so. To be
    /// asked before whatever else is asked in their name.
    async fn refresh(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        let _ = who;
        Ok(None)
    }

    /// By what the catalog knows, in the transaction in which a session begins, that what was proved still holds; `None` where the provider
    /// keeps passwords elsewhere.
    fn mark<'a>(&self, who: &'a SignedIn) -> Option<&'a str> {
        let _ = who;
        None
    }

    /// Ends what the provider gave for one session. `Ok` when it had ended already.
    async fn sign_out(&self, who: &SignedIn) -> Answer<()>;

    /// Ends what the provider gave for all sessions of this person.
    async fn sign_out_everywhere(&self, who: &SignedIn) -> Answer<()>;

    /// Whether [`Identity::delete`] would be let through, asked before anything is deleted; [`Refusal::NotOffered`] when the operator has to
    /// allow it first.
    async fn may_delete(&self, who: &SignedIn) -> Answer<()> {
        let _ = who;
        Ok(())
    }

    /// Deletes the account at the provider. `Ok` when it was gone already.
    async fn delete(&self, who: &SignedIn) -> Answer<()>;

    /// Ends what goes on in the background, waiting for it a few seconds at most. Asked once, at the end.
    async fn finish(&self) {}

    /// The provider's own pages, where [`Offers::hosted`] says that they are used.
    fn hosted(&self) -> Option<&dyn Hosted> {
        None
    }
}

/// What is kept in the browser, sealed, while it is on the provider's pages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departure {
    /// Comes back in the callback's query: it proves that this browser set out.
    pub state: String,
    /// Comes back inside the id token.
    pub nonce: String,
    /// PKCE's verifier, whose hash set out.
    pub verifier: String,
}

impl Departure {
    /// Whether this browser set out with this state. How long it takes tells nothing of how much is right.
    pub fn set_out_with(&self, state: &str) -> bool {
        Sha256::digest(&self.state) == Sha256::digest(state)
    }
}

/// Sign-in on the provider's own pages: authorization code with state, nonce and PKCE.
#[async_trait]
pub trait Hosted: Send + Sync {
    /// Where to send the browser, and what to remember meanwhile. Random every time.
    fn depart(&self) -> anyhow::Result<(String, Departure)>;

    /// Exchanges the code that came back; the caller has compared the state. [`Refusal::Expired`] for a code that is wrong, used or old.
    async fn arrive(&self, departure: &Departure, code: &SecretString) -> Answer<SignedIn>;

    /// Where to send a browser whose session has ended, so that it ends at the provider too.
    fn leave(&self) -> String;
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes)
}
