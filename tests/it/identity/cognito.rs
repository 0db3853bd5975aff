//! A Cognito user pool: an app client with a secret that takes passwords, and one without that has them proved by SRP.

use async_trait::async_trait;
use photo_gallery::identity::{Identity, SignInName, cognito::Flow};
use secrecy::SecretString;

use super::Provider;
use crate::cognito::{OnMiniStack, Setup};

macro_rules! provider {
    ($name:ident, $flow:ident, $secret:literal) => {
        struct $name(OnMiniStack);

        #[async_trait(?Send)]
        impl Provider for $name {
            const TELLS_UNCONFIRMED: bool = false;

            async fn fresh() -> Self {
                Self(OnMiniStack::with(Setup { flow: Flow::$flow, secret: $secret, ..Setup::default() }).await)
            }

            fn identity(&self) -> &dyn Identity {
                &self.0.cognito
            }

            async fn code(&self, name: &SignInName) -> SecretString {
                self.0.code(name).await
            }

            async fn gone(self) {
                self.0.gone().await;
            }
        }
    };
}

provider!(ByPassword, Password, true);
provider!(BySrp, Srp, false);

mod by_password_with_servers {
    crate::identity::conformance!(super::ByPassword, codes of straw);
}

mod by_srp_with_servers {
    crate::identity::conformance!(super::BySrp, codes of straw);
}
