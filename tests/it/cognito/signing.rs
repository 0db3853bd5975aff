//! The pool's side of tokens: keys made for the tests, and what is signed with them, rightly and wrongly.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chrono::Utc;
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents},
};
use serde_json::{Value, json};

/// The pool of the stand-in.
pub(super) const POOL: &str = "us-east-1_StandIn01";
/// Its app client.
pub(super) const CLIENT: &str = "7clientofthetests";
/// The person whom it lets in.
pub(super) const SUB: &str = "b1f7c9a0-0000-4000-8000-00000000bea1";

/// A key pair with the name under which the pool lists it.
pub(super) struct Signer {
    pub(super) name: &'static str,
    pair: RsaKeyPair,
}

impl Signer {
    pub(super) fn first() -> Self {
        Self::read("first", include_str!("signing-1.test-key.pem"))
    }

    pub(super) fn second() -> Self {
        Self::read("second", include_str!("signing-2.test-key.pem"))
    }

    fn read(name: &'static str, pem: &str) -> Self {
        let base64: String = pem
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .filter(|line| !line.starts_with("-----"))
            .collect();
        Self { name, pair: RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(base64).unwrap()).unwrap() }
    }

    /// Its public key as the pool lists it.
    pub(super) fn listed(&self) -> Value {
        let RsaPublicKeyComponents { n, e } = self.public();
        let [n, e] = [n, e].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.name, "n": n, "e": e})
    }

    pub(super) fn public(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        RsaPublicKeyComponents::from(self.pair.public())
    }

    /// A signature as this key makes it.
    pub(super) fn sign(&self, encoding: &'static dyn RsaEncoding, message: &str) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        signature
    }

    /// A token with this header and these claims, as texts, signed with RS256.
    pub(super) fn signed(&self, header: &str, claims: &str) -> String {
        token(header, claims, |message| self.sign(&RSA_PKCS1_SHA256, message))
    }

    /// A token with these claims, as a pool makes it.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.signed(&json!({"kid": self.name, "alg": "RS256"}).to_string(), &claims.to_string())
    }

    /// What a pool answers to somebody whom it lets in.
    pub(super) fn result(&self) -> Value {
        json!({
            "IdToken": self.token(&id_claims()),
            "AccessToken": self.token(&access_claims()),
            "RefreshToken": "the-first-refresh-token",
            "TokenType": "Bearer",
            "ExpiresIn": 3600,
        })
    }
}

/// The list of these keys.
pub(super) fn listing(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.listed()).collect::<Vec<_>>()})
}

/// A token put together from texts.
pub(super) fn token(header: &str, claims: &str, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let message = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(&message));
    format!("{message}.{signature}")
}

pub(super) fn issuer(pool: &str) -> String {
    format!("https://cognito-idp.us-east-1.amazonaws.com/{pool}")
}

pub(super) fn id_claims() -> Value {
    let now = Utc::now().timestamp();
    json!({
        "sub": SUB,
        "iss": issuer(POOL),
        "aud": CLIENT,
        "token_use": "id",
        "auth_time": now,
        "iat": now,
        "exp": now + 3600,
        "cognito:username": SUB,
        "email": "bea@example.org",
        "email_verified": false,
        "nickname": "Bea",
    })
}

pub(super) fn access_claims() -> Value {
    let now = Utc::now().timestamp();
    json!({
        "sub": SUB,
        "iss": issuer(POOL),
        "client_id": CLIENT,
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": now,
        "iat": now,
        "exp": now + 3600,
        "username": SUB,
    })
}
