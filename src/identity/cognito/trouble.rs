//! What the pool's refusals and outages mean to those who sign in, and to the one who set the pool up.
//!
//! A pool's own sentences never reach a page: they tell who has an account. They reach the log only where they cannot hold what was typed.

use std::error::Error;

use aws_sdk_cognitoidentityprovider::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::Cognito;
use crate::identity::{Denied, Refusal};

/// The scope without which a token cannot change its person's account.
pub(super) const ADMIN_SCOPE: &str = "aws.cognito.signin.user.admin";

/// The refusal of what needs [`ADMIN_SCOPE`].
pub(super) fn scope_missing() -> Refusal {
    Refusal::NotOffered(format!(
        "This gallery may not change accounts at its sign-in service. Please ask its operator, who can allow it the scope {ADMIN_SCOPE}."
    ))
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The pool said no.
    Said {
        /// Which call: `SignUp`.
        call: &'static str,
        /// Its name for the reason: `NotAuthorizedException`.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// It could not be asked, or did not make sense.
    Down(anyhow::Error),
}

impl Trouble {
    /// What went wrong with a call. The answer itself is never part of it: it may hold tokens.
    pub(super) fn new<E>(call: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let failed = error.raw_response().is_some_and(|response| response.status().as_u16() >= 500);
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some(code) if failed => {
                Self::Down(anyhow::anyhow!("Amazon Cognito could not do its part of {call} ({code})"))
            }
            Some(code) => {
                let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
                Self::Said { call, code: code.to_owned(), message: message.unwrap_or_default().to_owned() }
            }
            None if failed => Self::Down(anyhow::anyhow!("Amazon Cognito could not do its part of {call}")),
            // As text: the error itself holds the answer.
            None => Self::Down(anyhow::anyhow!("asking Amazon Cognito ({call}): {:#}", anyhow::Error::new(error))),
        }
    }

    /// The pool's name for the reason; empty for an outage.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Said { code, .. } => code.strip_suffix("Exception").unwrap_or(code),
            Self::Down(_) => "",
        }
    }

    /// Whether the pool's sentence says this.
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Said { message, .. } if message.to_lowercase().contains(words))
    }

    /// Whether the pool has had too many requests.
    pub(super) fn is_too_many(&self) -> bool {
        matches!(self.code(), "TooManyRequests" | "LimitExceeded" | "Throttling")
    }

    /// Whether this is about the account that was named: that there is none, or that it is in a state in which nothing is sent to it. Then
    /// the answer is the same as for all others.
    pub(super) fn is_about_account(&self) -> bool {
        let told =
            matches!(self.code(), "UserNotFound" | "InvalidParameter" | "NotAuthorized" | "UserLambdaValidation");
        self.setup().is_none() && (told || self.is_limit_of_account())
    }

    /// Whether the account that was named has had too many requests, which says that there is one.
    pub(super) fn is_limit_of_account(&self) -> bool {
        self.code() == "LimitExceeded"
    }

    /// Whether this is about the token: that it has ended already, or never could be ended.
    pub(super) fn is_about_token(&self) -> bool {
        let ended = matches!(
            self.code(),
            "NotAuthorized" | "UserNotFound" | "RefreshTokenReuse" | "UnsupportedOperation" | "UnsupportedTokenType"
        );
        self.setup().is_none() && ended && !self.says("required scopes")
    }

    /// Whether the pool says that the account is gone.
    pub(super) fn says_gone(&self) -> bool {
        self.code() == "UserNotFound"
            || self.code() == "NotAuthorized" && (self.says("deleted") || self.says("not exist"))
    }

    /// What this means to the one who asked: what `refusal` makes of it, unless it is the gallery that is refused, or nobody.
    pub(super) fn denied(self, refusal: impl FnOnce(&Self) -> Option<Refusal>) -> Denied {
        if let Some(cause) = self.setup() {
            return Denied::Down(anyhow::anyhow!(cause));
        }
        if self.is_too_many() {
            return Denied::Refused(Refusal::TooMany);
        }
        match refusal(&self) {
            Some(refusal) => Denied::Refused(refusal),
            None => Denied::Down(self.down()),
        }
    }

    /// An outage, for the log.
    pub(super) fn down(self) -> anyhow::Error {
        if let Some(cause) = self.setup() {
            return anyhow::anyhow!(cause);
        }
        match self {
            Self::Down(cause) => cause,
            // What fails a constraint is quoted in the sentence.
            Self::Said { call, code, message } if !message.contains("constraint") => {
                let message: String = crate::photo::plain_line(&message).chars().take(200).collect();
                anyhow::anyhow!("Amazon Cognito refused {call} ({code}: {message})")
            }
            Self::Said { call, code, .. } => anyhow::anyhow!("Amazon Cognito refused {call} ({code})"),
        }
    }

    /// What the operator has to set right, when it is the gallery that is refused.
    pub(super) fn setup(&self) -> Option<&'static str> {
        match self.code() {
            "ResourceNotFound" => Some(
                "the user pool does not know the app client: correct `identity.cognito.client_id`, or `.pool_id` and `.region`",
            ),
            "InvalidParameter" if self.says("not enabled for") => Some(
                "the app client does not allow the flow in which the gallery signs people in: allow ALLOW_USER_PASSWORD_AUTH (or \
                 ALLOW_USER_SRP_AUTH where `identity.cognito.flow` is user_srp)",
            ),
            "InvalidParameter" if self.says("not configured for secret") => {
                Some("the app client has no secret: remove `identity.cognito.client_secret`")
            }
            "NotAuthorized"
                if self.says("secret_hash was not received") || self.says("secrethash was not received") =>
            {
                Some("the app client has a secret: set `identity.cognito.client_secret`")
            }
            "NotAuthorized" if self.says("secret hash") || self.says("client secret") => {
                Some("the app client's secret is another one: correct `identity.cognito.client_secret`")
            }
            "InvalidParameter" if self.says("attributes did not conform") && !self.says("nickname") => Some(
                "the user pool requires attributes of its people that the gallery does not ask for; it asks for e-mail address or telephone \
                 number, and nickname",
            ),
            "InvalidParameter" if self.says("username cannot be of") => Some(
                "the user pool has user names beside e-mail addresses (alias attributes): people cannot sign up here; use a pool whose \
                 sign-in name is the e-mail address or telephone number",
            ),
            "InvalidLambdaResponse" | "UnexpectedLambda" => Some("a trigger (Lambda) of the user pool failed"),
            _ => None,
        }
    }

    /// What to say about a new password that the pool does not take; `None` when it is about something else.
    pub(super) fn password(&self) -> Option<Refusal> {
        let what = match self.code() {
            "PasswordHistoryPolicyViolation" => "was used before",
            "InvalidPassword" if self.says("long enough") || self.says("length greater") => "is too short",
            "InvalidPassword" if self.says("uppercase") => "needs a capital letter",
            "InvalidPassword" if self.says("lowercase") => "needs a small letter",
            "InvalidPassword" if self.says("numeric") => "needs a digit",
            "InvalidPassword" if self.says("symbol") => "needs a sign that is neither letter nor digit",
            "InvalidPassword" => "is not taken by this gallery's rules",
            "InvalidParameter" if self.says("password") && self.says("constraint") => {
                "is too short or too long, or begins or ends with a blank"
            }
            _ => return None,
        };
        Some(Refusal::Password(format!("This password {what}. Please choose another.")))
    }

    /// What a refused access token means.
    pub(super) fn access(&self) -> Option<Refusal> {
        match self.code() {
            "NotAuthorized" if self.says("required scopes") => Some(scope_missing()),
            "NotAuthorized" if self.says("unauthorized attribute") => Some(Refusal::NotOffered(
                "The sign-in service does not let this gallery change this. Please ask its operator.".to_owned(),
            )),
            "NotAuthorized" | "UserNotFound" | "UserNotConfirmed" | "PasswordResetRequired" | "RefreshTokenReuse" => {
                Some(Refusal::Expired)
            }
            _ => None,
        }
    }
}

/// Whether the pool refuses one who does not exist, and so has found nothing wrong with the gallery.
fn says_of_nobody(refused: &Trouble) -> bool {
    matches!(refused.code(), "NotAuthorized" | "UserLambdaValidation")
}

impl Cognito {
    /// What is wrong with the pool's setup, as far as the gallery can see: a sentence each. Asks the pool for its keys, and signs in somebody
    /// who does not exist.
    pub async fn check(&self) -> Vec<String> {
        let (keys, flow) = (self.check_keys().await, self.check_flow().await);
        keys.err().into_iter().chain(flow.err()).map(|wrong| format!("{wrong:#}")).collect()
    }

    /// Whether the pool gives out the keys by which its tokens are known.
    pub async fn check_keys(&self) -> anyhow::Result<()> {
        self.tokens.keys.fetch().await.map_err(|error| {
            anyhow::anyhow!(
                "the user pool's keys cannot be fetched from {} ({error:#}); nobody can sign in until they can: check \
                 `identity.cognito.pool_id`, the network and the endpoint",
                self.tokens.keys.url()
            )
        })
    }

    /// Whether the app client lets people sign in here, as far as somebody who does not exist can tell.
    pub async fn check_flow(&self) -> anyhow::Result<()> {
        let nobody = "nobody@photo-gallery.invalid";
        let wrong = match self.prove(nobody, &"Nobody-0-has-this-password".into()).await {
            Ok(_) => None,
            Err(trouble) if trouble.code() == "UserNotFound" => Some(
                "the app client tells strangers who has an account: set its PreventUserExistenceErrors to ENABLED"
                    .to_owned(),
            ),
            Err(trouble @ Trouble::Down(_)) => Some(format!("{:#}", trouble.down())),
            // On the pool's own pages people need no such flow.
            Err(trouble) if self.pages.is_some() && trouble.says("not enabled for") => None,
            Err(trouble) if trouble.setup().is_none() && says_of_nobody(&trouble) => None,
            Err(trouble) => Some(format!("{:#}", trouble.down())),
        };
        wrong.map_or(Ok(()), |wrong| Err(anyhow::anyhow!(wrong)))
    }
}
