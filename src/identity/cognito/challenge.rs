//! What a pool asks after the password, in the app's words, and the answers in the pool's.

use std::collections::HashMap;

use aws_sdk_cognitoidentityprovider::{
    operation::{initiate_auth::InitiateAuthOutput, respond_to_auth_challenge::RespondToAuthChallengeOutput},
    types::{AuthenticationResultType, ChallengeNameType},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;

use crate::identity::{Challenge, Factor, Pending, Refusal, Response, SignInName};

/// The parameter in which a pool tells its own name for the one who signs in.
pub(super) const USERNAME: &str = "USER_ID_FOR_SRP";

/// What a pool answers to a step of a sign-in.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) challenge: Option<ChallengeNameType>,
    pub(super) session: Option<String>,
    pub(super) parameters: HashMap<String, String>,
    pub(super) result: Option<AuthenticationResultType>,
}

impl From<InitiateAuthOutput> for Heard {
    fn from(output: InitiateAuthOutput) -> Self {
        Self {
            challenge: output.challenge_name,
            session: output.session,
            parameters: output.challenge_parameters.unwrap_or_default(),
            result: output.authentication_result,
        }
    }
}

impl From<RespondToAuthChallengeOutput> for Heard {
    fn from(output: RespondToAuthChallengeOutput) -> Self {
        Self {
            challenge: output.challenge_name,
            session: output.session,
            parameters: output.challenge_parameters.unwrap_or_default(),
            result: output.authentication_result,
        }
    }
}

impl Heard {
    /// The user name that further calls, and their hashes, must use: the pool's own, or as typed where the pool does not say.
    pub(super) fn username<'a>(&'a self, typed: &'a str) -> &'a str {
        self.told_username().unwrap_or(typed)
    }

    /// The pool's own user name, where it says.
    pub(super) fn told_username(&self) -> Option<&str> {
        self.parameters.get(USERNAME).map(String::as_str)
    }

    /// A list in JSON among the parameters; empty when it is not there.
    fn list(&self, name: &str) -> Vec<String> {
        self.parameters.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// Whether an authenticator app is to be set up, and can be.
    pub(super) fn sets_up_app(&self) -> bool {
        let can = self.list("MFAS_CAN_SETUP");
        self.challenge == Some(ChallengeNameType::MfaSetup)
            && (can.is_empty() || can.iter().any(|factor| factor == name(Factor::Authenticator)))
    }

    /// The challenge in the app's words. An authenticator app is set up by another call: [`set_up`].
    pub(super) fn asked(&self) -> Challenge {
        let code = |by| Challenge::Code { by, to: self.parameters.get("CODE_DELIVERY_DESTINATION").cloned() };
        let Some(challenge) = &self.challenge else { return Challenge::Unknown("no challenge".to_owned()) };
        let unknown = || Challenge::Unknown(crate::photo::plain_line(challenge.as_str()).chars().take(60).collect());
        match challenge {
            ChallengeNameType::NewPasswordRequired => {
                let required = self.list("requiredAttributes");
                let is_nickname = |name: &String| name == "userAttributes.nickname" || name == "nickname";
                if required.iter().all(is_nickname) {
                    Challenge::NewPassword { nickname: !required.is_empty() }
                } else {
                    unknown()
                }
            }
            ChallengeNameType::SoftwareTokenMfa => code(Factor::Authenticator),
            ChallengeNameType::SmsMfa => code(Factor::Sms),
            ChallengeNameType::EmailOtp => code(Factor::Email),
            ChallengeNameType::SelectMfaType => {
                let factors = self.list("MFAS_CAN_CHOOSE");
                let known = [Factor::Authenticator, Factor::Sms, Factor::Email];
                let known: Vec<_> =
                    known.into_iter().filter(|factor| factors.iter().any(|f| f == name(*factor))).collect();
                if known.is_empty() { unknown() } else { Challenge::Choose(known) }
            }
            _ => unknown(),
        }
    }
}

/// The challenge to set up an authenticator app with this shared secret.
pub(super) fn set_up(who: &SignInName, secret: String) -> Challenge {
    let label = utf8_percent_encode(who.as_str(), NON_ALPHANUMERIC);
    let uri = format!("otpauth://totp/photo-gallery:{label}?secret={secret}&issuer=photo-gallery");
    Challenge::SetUp { secret, uri }
}

/// The pool's name for a factor.
fn name(factor: Factor) -> &'static str {
    match factor {
        Factor::Authenticator => "SOFTWARE_TOKEN_MFA",
        Factor::Sms => "SMS_MFA",
        Factor::Email => "EMAIL_OTP",
    }
}

/// The pool's own note about a sign-in, as [`Pending::state`] carries it: its user name, which holds no blanks, and its session.
pub(super) struct Note<'a> {
    pub(super) username: &'a str,
    pub(super) session: &'a str,
}

impl<'a> Note<'a> {
    /// The note of a sign-in.
    pub(super) fn of(pending: &'a Pending) -> Result<Self, Refusal> {
        let (username, session) = pending.state.split_once(' ').ok_or(Refusal::Expired)?;
        Ok(Self { username, session })
    }

    /// The text that carries it.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.username, self.session)
    }
}

/// Answers to a challenge, each under the pool's name for it.
pub(super) type Answers = Vec<(&'static str, String)>;

/// The pool's names for a challenge and for the answers to it. [`Refusal::Expired`] for an answer to another question.
pub(super) fn answers(challenge: &Challenge, response: &Response) -> Result<(ChallengeNameType, Answers), Refusal> {
    match (challenge, response) {
        (Challenge::NewPassword { nickname: wanted }, Response::NewPassword { password, nickname }) => {
            let mut answers = vec![("NEW_PASSWORD", password.expose_secret().to_owned())];
            match nickname {
                Some(nickname) if *wanted => answers.push(("userAttributes.nickname", nickname.as_str().to_owned())),
                None if *wanted => {
                    return Err(Refusal::Nickname("Please say what you want to be called.".to_owned()));
                }
                _ => {}
            }
            Ok((ChallengeNameType::NewPasswordRequired, answers))
        }
        (Challenge::Code { by, .. }, Response::Code(code)) => {
            let (challenge, answer) = match by {
                Factor::Authenticator => (ChallengeNameType::SoftwareTokenMfa, "SOFTWARE_TOKEN_MFA_CODE"),
                Factor::Sms => (ChallengeNameType::SmsMfa, "SMS_MFA_CODE"),
                Factor::Email => (ChallengeNameType::EmailOtp, "EMAIL_OTP_CODE"),
            };
            Ok((challenge, vec![(answer, code.expose_secret().trim().to_owned())]))
        }
        (Challenge::Choose(factors), Response::Choice(factor)) if factors.contains(factor) => {
            Ok((ChallengeNameType::SelectMfaType, vec![("ANSWER", name(*factor).to_owned())]))
        }
        (Challenge::SetUp { .. }, Response::Code(_)) => Ok((ChallengeNameType::MfaSetup, Vec::new())),
        _ => Err(Refusal::Expired),
    }
}
