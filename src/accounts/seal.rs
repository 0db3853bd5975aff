//! Sealing: what leaves this program and comes back, or lies in the catalog, is encrypted and bound to its purpose.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Accounts, Underway};
use crate::{error::Error, identity::random};

/// How long a sign-in may take between two of its pages.
pub const SIGN_IN_LASTS: Duration = Duration::from_mins(15);
/// The longest value of the `sign-in` cookie: with its name and attributes it stays below the 4,096 bytes that browsers keep.
const SIGN_IN_CHARS: usize = 3900;
const SIGN_IN: &str = "sign-in cookie";

/// A key that seals (ChaCha20-Poly1305, a random nonce before the text).
pub(super) struct Seal(LessSafeKey);

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("ChaCha20-Poly1305 takes 32 bytes")))
    }

    /// `plain` sealed for `purpose`; only the same purpose opens it.
    pub(super) fn close(&self, purpose: &str, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut text = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut text)
            .map_err(|_| anyhow::anyhow!("sealing failed"))?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// What was sealed for `purpose`; `None` for anything else.
    pub(super) fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(purpose), &mut text).ok()?.len();
        text.truncate(plain);
        Some(text)
    }
}

/// A keyed hash of `parts`, each told from the next.
pub(super) fn keyed(key: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    mac(key, parts).finalize().into_bytes().into()
}

fn mac(key: &[u8; 32], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

/// What the `sign-in` cookie holds.
#[derive(Serialize, Deserialize)]
struct Note<U> {
    underway: U,
    next: String,
    until: DateTime<Utc>,
}

impl Accounts {
    /// A value for the `sign-in` cookie; valid for [`SIGN_IN_LASTS`]. A `next` for which the cookie has no room becomes `/`.
    pub fn seal(&self, underway: &Underway, next: &str) -> Result<SecretString, Error> {
        let until = (self.clock)() + SIGN_IN_LASTS;
        let sealed = |next: &str| {
            let note = serde_json::to_vec(&Note { underway, next: next.to_owned(), until })?;
            anyhow::Ok(URL_SAFE_NO_PAD.encode(self.seal.close(SIGN_IN, &note)?))
        };
        let mut value = sealed(next).map_err(Error::Internal)?;
        if value.len() > SIGN_IN_CHARS {
            value = sealed("/").map_err(Error::Internal)?;
        }
        if value.len() > SIGN_IN_CHARS {
            return Err(Error::Internal(anyhow::anyhow!(
                "the provider's note about a sign-in has no room in a cookie"
            )));
        }
        Ok(value.into())
    }

    /// What such a value holds, with the local path to go to at the end; `None` when it is forged or has expired.
    pub fn unseal(&self, cookie: &str) -> Option<(Underway, String)> {
        let note = self.seal.open(SIGN_IN, &URL_SAFE_NO_PAD.decode(cookie).ok()?)?;
        let note: Note<Underway> = serde_json::from_slice(&note).ok()?;
        (note.until > (self.clock)()).then_some((note.underway, note.next))
    }

    /// The token that a form must carry, bound to the session's cookie, or to the device's where nobody is signed in.
    pub fn form_token(&self, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(keyed(&self.keys.form, &[cookie]))
    }

    /// Whether `token` is that token; compared in constant time.
    pub fn knows_token(&self, cookie: &str, token: &str) -> bool {
        URL_SAFE_NO_PAD.decode(token).is_ok_and(|token| mac(&self.keys.form, &[cookie]).verify_slice(&token).is_ok())
    }
}
