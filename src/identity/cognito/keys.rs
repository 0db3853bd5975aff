//! The pool's public keys (JWKS): fetched when one is wanted, kept, and fetched again for a key that is not among them.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{token::Unproven, web::Web};

/// The least time between two fetches once there are keys.
const REST: TimeDelta = TimeDelta::minutes(1);
/// The same as long as there is none: nobody can sign in meanwhile.
const HURRY: TimeDelta = TimeDelta::seconds(5);
/// The most keys of a pool that are kept.
const MOST: usize = 32;

/// The keys of one pool.
#[derive(Debug)]
pub(super) struct Keys {
    url: String,
    web: Web,
    clock: fn() -> DateTime<Utc>,
    known: std::sync::RwLock<HashMap<String, Arc<Key>>>,
    /// When a fetch was last begun. Held while fetching, so that all who wait share one fetch.
    fetched: Mutex<Option<DateTime<Utc>>>,
}

/// A key that proves who signed.
#[derive(Debug)]
pub(super) struct Key(RsaPublicKeyComponents<Vec<u8>>);

impl Key {
    /// Whether this key's owner signed `message` with RS256.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}

#[derive(Deserialize)]
struct Listing {
    keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Listed {
    /// The key by its name, when it is one that signs with RS256.
    fn key(self) -> Option<(String, Arc<Key>)> {
        let fits = self.kty == "RSA"
            && self.alg.is_none_or(|alg| alg == "RS256")
            && self.purpose.is_none_or(|purpose| purpose == "sig");
        let number = |text: Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let (n, e) = (number(self.n)?, number(self.e)?);
        fits.then_some((self.kid?, Arc::new(Key(RsaPublicKeyComponents { n, e }))))
    }
}

impl Keys {
    /// Keys that are listed at `url`. Fetches nothing yet.
    pub(super) fn new(url: String, web: Web, clock: fn() -> DateTime<Utc>) -> Self {
        Self { url, web, clock, known: std::sync::RwLock::default(), fetched: Mutex::default() }
    }

    /// The key of this name; of a name that is not known, after at most one fetch a minute for all callers together.
    pub(super) async fn key(&self, name: &str) -> Result<Arc<Key>, Unproven> {
        if let Some(key) = self.known(name) {
            return Ok(key);
        }
        let mut fetched = self.fetched.lock().await;
        if let Some(key) = self.known(name) {
            return Ok(key);
        }
        let now = (self.clock)();
        let rest = if self.is_empty() { HURRY } else { REST };
        if fetched.is_none_or(|at| (now - at).abs() >= rest) {
            *fetched = Some(now);
            if let Err(error) = self.fetch().await {
                tracing::warn!(url = self.url, "the user pool's keys could not be fetched: {error:#}");
            }
        }
        drop(fetched);
        self.known(name).ok_or(Unproven::Key)
    }

    /// Fetches the keys whatever was fetched before; what is not a list of keys leaves those that are known.
    pub(super) async fn fetch(&self) -> anyhow::Result<()> {
        let answer = self.web.get(&self.url).await?;
        ensure!(answer.status == 200, "the answer has status {}", answer.status);
        let listing: Listing = serde_json::from_slice(&answer.body).context("the answer is no list of keys")?;
        let keys: HashMap<_, _> = listing.keys.into_iter().take(MOST).filter_map(Listed::key).collect();
        ensure!(!keys.is_empty(), "the answer lists no key for RS256");
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Where the keys are listed.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn known(&self, name: &str) -> Option<Arc<Key>> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }

    fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }
}
