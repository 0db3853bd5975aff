//! The app client that the gallery is to the pool, and the proof of it that calls carry.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The app client.
#[derive(Clone, Debug)]
pub struct AppClient {
    /// Its id.
    pub id: String,
    /// Its secret, when it has one.
    pub secret: Option<SecretString>,
}

impl AppClient {
    /// The `SECRET_HASH` of a call about this user, by the name that the call itself uses; none for a client without a secret, which may
    /// not send one. As AWS says: base64 of HMAC-SHA256, by the secret, of name and client id.
    pub(super) fn secret_hash(&self, username: &str) -> Option<String> {
        let secret = self.secret.as_ref()?;
        let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
        let mac = mac.expect("HMAC takes keys of every length").chain_update(username).chain_update(&self.id);
        Some(BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::AppClient;

    /// Made with `printf %s ann@example.orgclient | openssl dgst -sha256 -hmac secret -binary | base64`.
    #[test]
    fn the_hash_is_the_one_that_openssl_makes() {
        let client = AppClient { id: "client".to_owned(), secret: Some("secret".into()) };
        assert_eq!(
            client.secret_hash("ann@example.org").as_deref(),
            Some("3gPS0ingpXnzxVkQtSDKR6OeVpqCxMMtEQku47pYZq0=")
        );
        assert_eq!(AppClient { secret: None, ..client }.secret_hash("ann@example.org"), None);
    }
}
