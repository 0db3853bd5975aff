//! The Secure Remote Password protocol as Cognito speaks it: the password proves itself and is not sent. The arithmetic is the crate's; it
//! takes some milliseconds, and so its own thread.

use aws_cognito_srp::{SrpClient, User, VerificationParameters};
use secrecy::{ExposeSecret as _, SecretString};

/// One side of a proof that is under way.
pub(super) struct Proof(SrpClient<User>);

impl Proof {
    /// Begins a proof: its own side, and `SRP_A` for the pool.
    pub(super) async fn begun(pool: &str, name: &str, password: &SecretString) -> anyhow::Result<(Self, String)> {
        let user = User::new(pool, name, password.expose_secret());
        let begun = tokio::task::spawn_blocking(move || {
            let client = SrpClient::new(user, "", None);
            let a = client.get_auth_parameters().a;
            (Self(client), a)
        });
        Ok(begun.await?)
    }

    /// The answer to the pool's `PASSWORD_VERIFIER`. Nothing of what the pool sent is in the error.
    pub(super) async fn finished(
        self,
        user: String,
        block: String,
        salt: String,
        b: String,
    ) -> anyhow::Result<VerificationParameters> {
        let finished = tokio::task::spawn_blocking(move || self.0.verify(&block, &user, &salt, &b));
        finished.await?.map_err(|_| anyhow::anyhow!("the user pool's side of the password proof makes no sense"))
    }
}
