//! Before somebody signs in: accounts are made and confirmed, and forgotten passwords set anew. What the pool would tell about who has an
//! account is told to nobody.

use std::sync::atomic::Ordering;

use anyhow::Context as _;
use aws_sdk_cognitoidentityprovider::types::AttributeType;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Cognito, PASSWORD_CHARS, trouble::Trouble, within};
use crate::{
    identity::{Answer, Delivery, Denied, NewAccount, Refusal, SignInName, SignedUp},
    photo::Owner,
};

/// Where a code went, so far as the sign-in name tells: the same whether or not there is such an account.
fn delivery(name: &SignInName) -> Delivery {
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let name = name.as_str();
    let to = match name.rsplit_once('@') {
        Some((local, domain)) => format!("{}***@{}***", first(local), first(domain)),
        None => format!("+*******{}", &name[name.len().saturating_sub(4)..]),
    };
    Delivery { to: Some(to), mark: None }
}

/// An attribute of a person.
pub(super) fn attribute(name: &str, value: &str) -> Result<AttributeType, Denied> {
    let attribute = AttributeType::builder().name(name).value(value).build();
    Ok(attribute.context("naming an attribute")?)
}

/// A nickname that the pool does not take.
pub(super) fn nickname_refused() -> Refusal {
    Refusal::Nickname("This name is not accepted. Please choose another.".to_owned())
}

fn sign_up_refused(trouble: &Trouble) -> Option<Refusal> {
    match trouble.code() {
        "NotAuthorized" if trouble.says("not permitted") => Some(Refusal::Closed),
        "UserLambdaValidation" => Some(Refusal::Closed),
        "InvalidParameter" if trouble.says("phone") => {
            Some(Refusal::Name("Please give an e-mail address, or a telephone number like +14155550123.".to_owned()))
        }
        "InvalidParameter" if trouble.says("email") || trouble.says("username") => {
            Some(Refusal::Name("This e-mail address is not accepted. Please check it, or take another.".to_owned()))
        }
        "InvalidParameter" if trouble.says("nickname") => Some(nickname_refused()),
        _ => trouble.password(),
    }
}

/// Of an account that is confirmed already the pool does not say whether the code was right, and so neither do we.
fn confirmation_refused(trouble: &Trouble) -> Option<Refusal> {
    match trouble.code() {
        "AliasExists" => Some(Refusal::Name(
            "There is an account with this e-mail address or telephone number already. Please sign in.".to_owned(),
        )),
        _ => code_refused(trouble),
    }
}

fn code_refused(trouble: &Trouble) -> Option<Refusal> {
    match trouble.code() {
        "CodeMismatch"
        | "ExpiredCode"
        | "NotAuthorized"
        | "UserNotFound"
        | "UserNotConfirmed"
        | "TooManyFailedAttempts"
        | "InvalidParameter" => Some(Refusal::Code),
        _ => None,
    }
}

/// Refuses a password that most pools would: one that says of a taken name that it is taken before it looks at the password would
/// otherwise tell by a short one who has an account.
fn long_enough(password: &SecretString) -> Result<(), Refusal> {
    if password.expose_secret().chars().count() >= usize::from(PASSWORD_CHARS) {
        return Ok(());
    }
    Err(Refusal::Password(format!(
        "This password is too short: it needs at least {PASSWORD_CHARS} characters. Please choose another."
    )))
}

/// What a refused code means. That an account had too many tries is told like a dead code: of an account that is not there it is never said.
fn code_denied(trouble: Trouble, refusal: impl FnOnce(&Trouble) -> Option<Refusal>) -> Denied {
    if trouble.is_limit_of_account() { Refusal::Code.into() } else { trouble.denied(refusal) }
}

impl Cognito {
    /// Makes an account. A taken name is answered like the last new one: a pool may confirm accounts by itself.
    pub(super) async fn signed_up(&self, account: &NewAccount) -> Answer<SignedUp> {
        long_enough(&account.password)?;
        let name = account.name.key();
        let kind = if account.name.is_phone() { "phone_number" } else { "email" };
        let asking = self
            .client
            .sign_up()
            .client_id(&self.app.id)
            .set_secret_hash(self.app.secret_hash(&name))
            .username(&name)
            .password(account.password.expose_secret())
            .user_attributes(attribute(kind, &name)?)
            .user_attributes(attribute("nickname", account.nickname.as_str())?);
        match asking.send().await.map_err(|error| Trouble::new("SignUp", error)) {
            Ok(made) => self.confirms.store(made.user_confirmed, Ordering::Relaxed),
            Err(trouble) if matches!(trouble.code(), "UsernameExists" | "AliasExists") => {}
            Err(trouble) => return Err(trouble.denied(sign_up_refused)),
        }
        if self.confirms.load(Ordering::Relaxed) {
            Ok(SignedUp::Ready)
        } else {
            Ok(SignedUp::CodeSent(delivery(&account.name)))
        }
    }

    /// Confirms an account.
    pub(super) async fn confirmed(&self, name: &SignInName, code: &SecretString) -> Answer<()> {
        let name = name.key();
        let asking = self
            .client
            .confirm_sign_up()
            .client_id(&self.app.id)
            .set_secret_hash(self.app.secret_hash(&name))
            .username(&name)
            .confirmation_code(code.expose_secret().trim());
        asking.send().await.map_err(|error| code_denied(Trouble::new("ConfirmSignUp", error), confirmation_refused))?;
        Ok(())
    }

    /// Sends the code for [`Cognito::confirmed`] again.
    pub(super) async fn resent(&self, name: &SignInName) -> Answer<Delivery> {
        let key = name.key();
        let asking = self
            .client
            .resend_confirmation_code()
            .client_id(&self.app.id)
            .set_secret_hash(self.app.secret_hash(&key))
            .username(key);
        match asking.send().await.map_err(|error| Trouble::new("ResendConfirmationCode", error)) {
            Err(trouble) if !trouble.is_about_account() => Err(trouble.denied(|_| None)),
            Ok(_) | Err(_) => Ok(delivery(name)),
        }
    }

    /// Sends a code for a new password.
    pub(super) async fn reset_sent(&self, name: &SignInName) -> Answer<Delivery> {
        let key = name.key();
        let asking = self
            .client
            .forgot_password()
            .client_id(&self.app.id)
            .set_secret_hash(self.app.secret_hash(&key))
            .username(key);
        match asking.send().await.map_err(|error| Trouble::new("ForgotPassword", error)) {
            Err(trouble) if !trouble.is_about_account() => Err(trouble.denied(|_| None)),
            Ok(_) | Err(_) => Ok(delivery(name)),
        }
    }

    /// Sets a new password with the code that was sent.
    pub(super) async fn password_reset(
        &self,
        name: &SignInName,
        code: &SecretString,
        password: &SecretString,
    ) -> Answer<()> {
        let name = name.key();
        let asking = self
            .client
            .confirm_forgot_password()
            .client_id(&self.app.id)
            .set_secret_hash(self.app.secret_hash(&name))
            .username(&name)
            .confirmation_code(code.expose_secret().trim())
            .password(password.expose_secret());
        let refused = |trouble: &Trouble| trouble.password().or_else(|| code_refused(trouble));
        asking.send().await.map_err(|error| code_denied(Trouble::new("ConfirmForgotPassword", error), refused))?;
        Ok(())
    }

    /// Whose account this is, by a password that was just set for it; and ends what the pool gave for it before. `None` when the pool could
    /// not be asked: the password is set all the same.
    pub(super) async fn taken_over(&self, name: &SignInName, password: &SecretString) -> Option<Owner> {
        let taking = async {
            let name = name.key();
            let heard = self.prove(&name, password).await.map_err(Trouble::down)?;
            let Some(result) = heard.result else {
                return Ok(heard.told_username().and_then(|name| name.parse().ok()));
            };
            let access = result.access_token.clone().context("the user pool gave no access token")?;
            let who = self.signed_in(result, None).await?;
            let ended = self.client.global_sign_out().access_token(access).send().await;
            if let Err(trouble) = ended.map_err(|error| Trouble::new("GlobalSignOut", error)) {
                tracing::warn!("a new password did not end earlier sign-ins at the user pool: {:#}", trouble.down());
            }
            Ok(Some(who.person.owner))
        };
        within(taking).await.unwrap_or_else(|error| {
            tracing::warn!("the user pool did not say whose password was set anew: {error}");
            None
        })
    }
}
