//! People of an Amazon Cognito user pool.
//!
//! Passwords and codes go straight to the pool and are kept nowhere here. After a sign-in the pool's tokens are checked against its keys;
//! the photos' owner is the pool's own name for the person (`cognito:username`), never an e-mail address.

use std::{sync::atomic::AtomicBool, time::Duration};

use async_trait::async_trait;
use aws_sdk_cognitoidentityprovider::Client;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::{
    Answer, Chooser, Delivery, Denied, Hosted, Identity, NewAccount, Nickname, Offers, Pending, Response, SignInName,
    SignedIn, SignedUp, Step,
};
use crate::photo::Owner;
use keys::Keys;
use token::Tokens;
use web::Web;

mod challenge;
mod entering;
mod grant;
mod hosted;
mod joining;
mod keys;
mod secret_hash;
mod srp;
mod staying;
mod token;
mod trouble;
mod web;

pub use hosted::Pages;
pub use secret_hash::AppClient;
pub use token::Unproven;

/// The longest that anything asked of the pool may take: a page must say within 5 s that it cannot be done now.
const PATIENCE: Duration = Duration::from_millis(4500);
/// How many questions to pools this process asks at once; others wait their turn within [`PATIENCE`].
static PLACES: Semaphore = Semaphore::const_new(32);
/// The fewest characters of a password where the pool's operator has changed nothing.
const PASSWORD_CHARS: u16 = 8;

/// How passwords reach the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// As they are, over TLS (`USER_PASSWORD_AUTH`).
    Password,
    /// By the Secure Remote Password protocol (`USER_SRP_AUTH`).
    Srp,
}

/// What to know about a pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its id: `us-west-2_AbCdEfGhI`.
    pub id: String,
    /// Where it is asked in place of Amazon's address, without a slash at the end. What it issues is in Amazon's name all the same.
    pub endpoint: Option<String>,
    /// The app client that the gallery is.
    pub app: AppClient,
    /// How passwords reach it.
    pub flow: Flow,
    /// Its own pages, when people sign in there.
    pub pages: Option<Pages>,
}

/// An Amazon Cognito user pool.
#[derive(Debug)]
pub struct Cognito {
    client: Client,
    web: Web,
    pool: String,
    app: AppClient,
    flow: Flow,
    pages: Option<Pages>,
    tokens: Tokens,
    /// Whether the account made last could be used at once.
    confirms: AtomicBool,
    clock: fn() -> DateTime<Utc>,
}

impl Cognito {
    /// Asks by `client`, and by `connector` where the pool is asked over plain HTTP. Asks nothing yet.
    pub fn new(client: Client, connector: SharedHttpConnector, pool: Pool, clock: fn() -> DateTime<Utc>) -> Self {
        let web = Web(connector);
        let region = pool.id.split('_').next().unwrap_or_default();
        let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{}", pool.id);
        let asked = pool.endpoint.map_or_else(|| issuer.clone(), |endpoint| format!("{endpoint}/{}", pool.id));
        let keys = Keys::new(format!("{asked}/.well-known/jwks.json"), web.clone(), clock);
        let tokens = Tokens { issuer, client_id: pool.app.id.clone(), keys, clock };
        let confirms = AtomicBool::new(false);
        Self { client, web, pool: pool.id, app: pool.app, flow: pool.flow, pages: pool.pages, tokens, confirms, clock }
    }
}

/// An answer, unless it takes too long or too many wait for one already.
async fn within<T>(asking: impl Future<Output = Answer<T>>) -> Answer<T> {
    let late = || Denied::Down(anyhow::anyhow!("Amazon Cognito did not answer within {PATIENCE:?}"));
    let in_turn = async {
        let _place = PLACES.acquire().await.map_err(|closed| Denied::Down(closed.into()))?;
        asking.await
    };
    tokio::time::timeout(PATIENCE, in_turn).await.unwrap_or_else(|_| Err(late()))
}

#[async_trait]
impl Identity for Cognito {
    fn offers(&self) -> Offers {
        let hosted = self.pages.is_some();
        let password_chars = PASSWORD_CHARS;
        Offers {
            sign_up: true,
            codes: true,
            phone: true,
            hosted,
            password: !hosted,
            confirm_password: false,
            password_chars,
        }
    }

    async fn sign_up(&self, account: &NewAccount) -> Answer<SignedUp> {
        within(self.signed_up(account)).await
    }

    async fn confirm(&self, name: &SignInName, code: &SecretString, _: &Chooser) -> Answer<()> {
        within(self.confirmed(name, code)).await
    }

    async fn resend(&self, name: &SignInName) -> Answer<Delivery> {
        within(self.resent(name)).await
    }

    async fn sign_in(&self, name: &SignInName, password: &SecretString) -> Answer<Step> {
        within(self.begun(name, password)).await
    }

    async fn respond(&self, pending: &Pending, response: &Response) -> Answer<Step> {
        within(self.continued(pending, response)).await
    }

    async fn forgot(&self, name: &SignInName) -> Answer<Delivery> {
        within(self.reset_sent(name)).await
    }

    async fn reset(&self, name: &SignInName, code: &SecretString, password: &SecretString) -> Answer<Option<Owner>> {
        within(self.password_reset(name, code, password)).await?;
        Ok(self.taken_over(name, password).await)
    }

    async fn change_password(&self, who: &SignedIn, old: &SecretString, new: &SecretString) -> Answer<()> {
        within(self.password_changed(who, old, new)).await
    }

    async fn rename(&self, who: &SignedIn, nickname: &Nickname) -> Answer<()> {
        within(self.renamed(who, nickname)).await
    }

    async fn renew(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        within(self.renewed(who)).await
    }

    async fn refresh(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        within(self.with_access(who)).await
    }

    async fn sign_out(&self, who: &SignedIn) -> Answer<()> {
        within(self.signed_out(who)).await
    }

    async fn sign_out_everywhere(&self, who: &SignedIn) -> Answer<()> {
        within(self.signed_out_everywhere(who)).await
    }

    async fn may_delete(&self, who: &SignedIn) -> Answer<()> {
        within(self.deletable(who)).await
    }

    async fn delete(&self, who: &SignedIn) -> Answer<()> {
        within(self.deleted(who)).await
    }

    fn hosted(&self) -> Option<&dyn Hosted> {
        self.pages.is_some().then_some(self as &dyn Hosted)
    }
}
