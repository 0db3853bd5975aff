//! After somebody has signed in: what is kept of it is renewed, used and ended.

use anyhow::Context as _;
use aws_sdk_cognitoidentityprovider::types::AuthenticationResultType;
use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Cognito,
    grant::Kept,
    joining::{attribute, nickname_refused},
    token,
    trouble::{ADMIN_SCOPE, Trouble, scope_missing},
};
use crate::identity::{Answer, Denied, Nickname, Refusal, SignedIn};

/// How long an access token must still be valid to be worth sending.
const SPARE: TimeDelta = TimeDelta::seconds(30);
/// How long it must be valid before something is begun: long enough to be worth sending until that is done.
const AHEAD: TimeDelta = TimeDelta::seconds(90);

fn kept(who: &SignedIn) -> Option<Kept<'_>> {
    who.grant.as_ref().and_then(Kept::of)
}

impl Cognito {
    fn exposed_secret(&self) -> Option<String> {
        self.app.secret.as_ref().map(|secret| secret.expose_secret().to_owned())
    }

    /// New tokens by the refresh token. Unlike the flow `REFRESH_TOKEN_AUTH` this also does where refresh tokens rotate.
    async fn refreshed(&self, kept: &Kept<'_>) -> Result<AuthenticationResultType, Trouble> {
        let asking = self
            .client
            .get_tokens_from_refresh_token()
            .client_id(&self.app.id)
            .set_client_secret(self.exposed_secret())
            .set_device_key(kept.device.map(str::to_owned))
            .refresh_token(kept.refresh);
        let output = asking.send().await.map_err(|error| Trouble::new("GetTokensFromRefreshToken", error))?;
        output.authentication_result.context("the user pool gave no tokens").map_err(Trouble::Down)
    }

    fn is_valid(&self, access: &str, spare: TimeDelta) -> bool {
        token::expiry(access).is_some_and(|expiry| expiry - spare > (self.clock)())
    }

    /// Somebody with an access token that will do for a while; `None` when theirs does.
    pub(super) async fn with_access(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        match kept(who) {
            Some(kept) if !self.is_valid(kept.access, AHEAD) => {
                let renewed = self.renewed(who).await?;
                Ok(Some(renewed.ok_or(Refusal::Expired)?))
            }
            _ => Ok(None),
        }
    }

    /// An access token of somebody signed in. Where it has expired, the one got in its place is for this call only, and where refresh tokens
    /// rotate, so was the refresh token: [`Cognito::with_access`] comes first wherever something is to follow.
    async fn access(&self, who: &SignedIn) -> Result<String, Trouble> {
        let nothing = || Trouble::Down(anyhow::anyhow!("nothing was kept of this sign-in"));
        let kept = kept(who).ok_or_else(nothing)?;
        if self.is_valid(kept.access, SPARE) {
            return Ok(kept.access.to_owned());
        }
        self.refreshed(&kept).await?.access_token.ok_or_else(nothing)
    }

    /// Asks again about somebody.
    pub(super) async fn renewed(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        let Some(kept) = kept(who) else { return Ok(None) };
        match self.refreshed(&kept).await {
            Ok(result) => {
                let renewed = self.signed_in(result, Some(&kept)).await?;
                Ok(Some(renewed).filter(|renewed| renewed.person.owner == who.person.owner))
            }
            Err(trouble) if trouble.setup().is_none() && trouble.access().is_some() => Ok(None),
            Err(trouble) => Err(Denied::Down(trouble.down())),
        }
    }

    /// Changes the password.
    pub(super) async fn password_changed(&self, who: &SignedIn, old: &SecretString, new: &SecretString) -> Answer<()> {
        let refused = |trouble: &Trouble| match trouble.code() {
            "NotAuthorized" if trouble.says("incorrect") => Some(Refusal::Credentials),
            "InvalidParameter" if trouble.says("previouspassword") => Some(Refusal::Credentials),
            _ => trouble.password().or_else(|| trouble.access()),
        };
        let access = self.access(who).await.map_err(|trouble| trouble.denied(Trouble::access))?;
        let asking = self.client.change_password().access_token(access);
        let asking = asking.previous_password(old.expose_secret()).proposed_password(new.expose_secret());
        asking.send().await.map_err(|error| Trouble::new("ChangePassword", error).denied(refused))?;
        Ok(())
    }

    /// Changes the nickname.
    pub(super) async fn renamed(&self, who: &SignedIn, nickname: &Nickname) -> Answer<()> {
        let refused = |trouble: &Trouble| match trouble.code() {
            "InvalidParameter" => Some(nickname_refused()),
            _ => trouble.access(),
        };
        let access = self.access(who).await.map_err(|trouble| trouble.denied(Trouble::access))?;
        let asking = self.client.update_user_attributes().access_token(access);
        let asking = asking.user_attributes(attribute("nickname", nickname.as_str())?);
        asking.send().await.map_err(|error| Trouble::new("UpdateUserAttributes", error).denied(refused))?;
        Ok(())
    }

    /// Ends one sign-in.
    pub(super) async fn signed_out(&self, who: &SignedIn) -> Answer<()> {
        let Some(kept) = kept(who) else { return Ok(()) };
        let asking = self.client.revoke_token().client_id(&self.app.id).set_client_secret(self.exposed_secret());
        match asking.token(kept.refresh).send().await.map_err(|error| Trouble::new("RevokeToken", error)) {
            Err(trouble) if !trouble.is_about_token() => Err(trouble.denied(|_| None)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends all of a person's sign-ins.
    pub(super) async fn signed_out_everywhere(&self, who: &SignedIn) -> Answer<()> {
        let ended = async {
            let access = self.access(who).await?;
            let asking = self.client.global_sign_out().access_token(access);
            asking.send().await.map_err(|error| Trouble::new("GlobalSignOut", error))?;
            Ok(())
        };
        match ended.await {
            Err(trouble) if !Trouble::is_about_token(&trouble) => Err(trouble.denied(Trouble::access)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether the account could be deleted: the access token says what it may be used for.
    pub(super) async fn deletable(&self, who: &SignedIn) -> Answer<()> {
        let access = self.access(who).await.map_err(|trouble| trouble.denied(Trouble::access))?;
        match token::scopes(&access) {
            Some(scopes) if !scopes.split(' ').any(|scope| scope == ADMIN_SCOPE) => Err(scope_missing().into()),
            _ => Ok(()),
        }
    }

    /// Deletes the account.
    pub(super) async fn deleted(&self, who: &SignedIn) -> Answer<()> {
        let gone = async {
            let access = self.access(who).await?;
            let asking = self.client.delete_user().access_token(access);
            asking.send().await.map_err(|error| Trouble::new("DeleteUser", error))?;
            Ok(())
        };
        match gone.await {
            Err(trouble) if !Trouble::says_gone(&trouble) => Err(trouble.denied(Trouble::access)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
