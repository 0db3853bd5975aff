//! A Cognito user pool: MiniStack's, and one of a stand-in that says what MiniStack cannot.

mod challenges;
mod codes;
mod gallery;
pub(crate) mod hosted;
mod keys;
mod ministack;
mod outages;
mod pages;
mod secrets;
mod setup;
mod signing;
mod stand_in;
mod tokens;

use std::time::Duration;

use aws_sdk_cognitoidentityprovider::{Client, config::timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use chrono::{DateTime, Utc};
use photo_gallery::identity::{
    Answer, Denied, Identity as _, Refusal, SignedIn, Step,
    cognito::{AppClient, Cognito, Flow, Pages, Pool},
};
use secrecy::SecretString;
use serde_json::json;

pub(crate) use ministack::{OnMiniStack, Setup};

use crate::{aws, identity::named, site::PASSWORD};
use signing::{CLIENT, POOL, Signer, listing};
use stand_in::{Answer as Says, StandIn};

/// The pool at `endpoint`, asked as `app.rs` asks it.
pub(crate) async fn cognito(
    endpoint: &str,
    pool: &str,
    app: AppClient,
    flow: Flow,
    pages: Option<Pages>,
    clock: fn() -> DateTime<Utc>,
) -> Cognito {
    let config = aws::sdk_config(Some(aws::REGION.to_owned()), Some(endpoint.to_owned()), None).await;
    let quick = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(4));
    let config = aws_sdk_cognitoidentityprovider::config::Builder::from(&config).timeout_config(quick.build());
    let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
    let pool = Pool { id: pool.to_owned(), endpoint: Some(endpoint.to_owned()), app, flow, pages };
    Cognito::new(Client::from_conf(config.build()), SharedHttpConnector::new(connector), pool, clock)
}

/// A stand-in that lists the first key, and the pool on it.
async fn standing_in(clock: fn() -> DateTime<Utc>) -> (StandIn, Cognito) {
    standing_in_for(None, None, clock).await
}

async fn standing_in_for(
    secret: Option<&str>,
    base_url: Option<&str>,
    clock: fn() -> DateTime<Utc>,
) -> (StandIn, Cognito) {
    let server = StandIn::start().await;
    server.on(KEYS, [Says::Says(listing(&[&Signer::first()]))]);
    let app = AppClient { id: CLIENT.to_owned(), secret: secret.map(SecretString::from) };
    let pages = base_url.map(|base_url| Pages { domain: server.url(), base_url: base_url.to_owned(), scopes: None });
    let cognito = cognito(&server.url(), POOL, app, Flow::Password, pages, clock).await;
    (server, cognito)
}

/// Where the stand-in's keys are.
const KEYS: &str = "/us-east-1_StandIn01/.well-known/jwks.json";

/// The stand-in lets in whoever comes.
fn lets_in(server: &StandIn, signer: &Signer) {
    server.on("InitiateAuth", [Says::Says(json!({"AuthenticationResult": signer.result()}))]);
}

async fn tried(cognito: &Cognito) -> Answer<Step> {
    cognito.sign_in(&named("bea@example.org"), &PASSWORD.into()).await
}

fn entered(answer: Answer<Step>) -> SignedIn {
    match answer {
        Ok(Step::In(who)) => *who,
        other => panic!("not let in: {other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> Refusal {
    match answer {
        Err(Denied::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn down<T: std::fmt::Debug>(answer: Answer<T>) -> anyhow::Error {
    match answer {
        Err(Denied::Down(cause)) => cause,
        other => panic!("not down: {other:?}"),
    }
}

/// The access token in what is kept of a sign-in.
fn access_token(who: &SignedIn) -> String {
    use secrecy::ExposeSecret as _;
    who.grant.as_ref().unwrap().0.expose_secret().lines().nth(2).unwrap().to_owned()
}
