//! Whether a token is the pool's own word about somebody, for this gallery, now (SECURITY 23). Everything is checked that can be; a token
//! names no place that anything is fetched from.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::keys::Keys;
use crate::{identity::Person, photo::Owner};

/// How far the pool's clock and ours may be apart, in seconds.
const LEEWAY: i64 = 60;
/// The longest token, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is longer than any token of a pool.
    #[error("the token is longer than 16 kB")]
    Size,
    /// It is not three parts of base64 that hold JSON objects without doubled names, or one of them says what they cannot.
    #[error("the token is malformed")]
    Form,
    /// Its header names another algorithm than RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// Its header brings a key along, or says where to fetch one, or makes something else critical.
    #[error("the token's header brings a key of its own")]
    Header,
    /// It is signed with a key that the pool does not list, or whose list could not be fetched.
    #[error("the token is signed with a key that the pool does not list")]
    Key,
    /// The signature is not that key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Another pool issued it.
    #[error("the token was issued by another pool")]
    Issuer,
    /// It is for another app client.
    #[error("the token is for another app client")]
    Audience,
    /// It is an access token where an id token is wanted, or the reverse.
    #[error("the token is of another use")]
    Use,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    Early,
    /// It answers another sign-in.
    #[error("the token's nonce is of another sign-in")]
    Nonce,
    /// The two tokens of one answer are of different people, or do not say whose they are.
    #[error("the tokens do not say who signed in")]
    Subject,
}

/// What tokens are held to.
#[derive(Debug)]
pub(super) struct Tokens {
    /// `https://cognito-idp.<region>.amazonaws.com/<pool>`.
    pub(super) issuer: String,
    /// The app client's id.
    pub(super) client_id: String,
    /// The pool's keys.
    pub(super) keys: Keys,
    /// What time it is.
    pub(super) clock: fn() -> DateTime<Utc>,
}

impl Tokens {
    /// Who the two tokens of one answer are about. The nonce is that of a sign-in on the pool's own pages.
    pub(super) async fn person(&self, id: &str, access: &str, nonce: Option<&str>) -> Result<Person, Unproven> {
        let id = self.claims(id, "id").await?;
        let access = self.claims(access, "access").await?;
        if text(&id, "aud") != Some(&self.client_id) || text(&access, "client_id") != Some(&self.client_id) {
            return Err(Unproven::Audience);
        }
        if nonce.is_some_and(|nonce| text(&id, "nonce") != Some(nonce)) {
            return Err(Unproven::Nonce);
        }
        let username = text(&id, "cognito:username").ok_or(Unproven::Subject)?;
        if text(&access, "username") != Some(username)
            || text(&id, "sub").is_none()
            || text(&id, "sub") != text(&access, "sub")
        {
            return Err(Unproven::Subject);
        }
        let owner: Owner = username.parse().map_err(|_| Unproven::Subject)?;
        let shown = |name| text(&id, name).filter(|text| !text.is_empty()).map(str::to_owned);
        let email = shown("email").or_else(|| shown("phone_number"));
        Ok(Person { owner, email, nickname: shown("nickname") })
    }

    /// What a token says that the pool signed, that is of this use, and is valid now.
    async fn claims(&self, token: &str, wanted: &str) -> Result<Map<String, Value>, Unproven> {
        if token.len() > MAX_BYTES {
            return Err(Unproven::Size);
        }
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unproven::Form);
        };
        let header = object(head)?;
        if text(&header, "alg") != Some("RS256") {
            return Err(Unproven::Algorithm);
        }
        if header.keys().any(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
            return Err(Unproven::Header);
        }
        let claims = object(body)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Unproven::Form)?;
        let key = self.keys.key(text(&header, "kid").ok_or(Unproven::Form)?).await?;
        if !key.signed(&token.as_bytes()[..head.len() + 1 + body.len()], &signature) {
            return Err(Unproven::Signature);
        }
        if text(&claims, "iss") != Some(&self.issuer) {
            return Err(Unproven::Issuer);
        }
        if text(&claims, "token_use") != Some(wanted) {
            return Err(Unproven::Use);
        }
        let now = (self.clock)().timestamp();
        let expires = claims.get("exp").and_then(Value::as_i64).ok_or(Unproven::Form)?;
        if now.saturating_sub(LEEWAY) >= expires {
            return Err(Unproven::Expired);
        }
        let begins = claims.get("nbf").map(|at| at.as_i64().ok_or(Unproven::Form)).transpose()?;
        if begins.is_some_and(|at| at > now.saturating_add(LEEWAY)) {
            return Err(Unproven::Early);
        }
        Ok(claims)
    }
}

/// What a token of our own keeping says, unproved: for tokens that were checked when they came.
fn said(token: &str) -> Option<Map<String, Value>> {
    object(token.split('.').nth(1)?).ok()
}

/// When a token of our own keeping expires.
pub(super) fn expiry(token: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(said(token)?.get("exp")?.as_i64()?, 0)
}

/// What an access token of our own keeping may be used for, with blanks between.
pub(super) fn scopes(token: &str) -> Option<String> {
    text(&said(token)?, "scope").map(str::to_owned)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

/// The JSON object in one part of a token.
fn object(part: &str) -> Result<Map<String, Value>, Unproven> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Unproven::Form)?;
    serde_json::from_slice(&json).map(|Strict(object)| object).map_err(|_| Unproven::Form)
}

/// A JSON object in which no name stands twice: two readers could believe different ones.
struct Strict(Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Strict;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Strict(object))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
