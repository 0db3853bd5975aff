//! `/login/challenge`: what a provider asks after the password.

use std::fmt::Write as _;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use qrcode::{EcLevel, QrCode};
use secrecy::SecretString;

use super::{again, proceed, remember, underway};
use crate::{
    accounts::{Denial, Underway},
    error::Error,
    identity::{Challenge, Factor, Offers, Pending, Refusal, Response},
    pages::{
        Frame, Guest, Next, Site,
        form::{Doorstep, Fields, Problems, add_cookie, offers},
        see_other,
        visitor::Name,
    },
};

/// The page for a challenge.
#[derive(Clone, Debug, Template)]
#[template(path = "challenge.html")]
pub struct ChallengePage {
    /// The frame.
    pub frame: Frame,
    /// What can be offered.
    pub offers: Offers,
    /// Who signs in, for password managers.
    pub email: String,
    /// What is asked.
    pub challenge: Challenge,
    /// What was typed as nickname.
    pub nickname: String,
    /// What is wrong.
    pub problems: Problems,
}

impl ChallengePage {
    /// The QR code of an `otpauth://` URI: the side in modules with the quiet zone, and the dark modules as an SVG path.
    fn qr(uri: &str) -> Option<(usize, String)> {
        const QUIET: usize = 4;
        let code = QrCode::with_error_correction_level(uri, EcLevel::M).ok()?;
        let side = code.width();
        let colours = code.to_colors();
        let dark = colours.iter().enumerate().filter(|(_, colour)| **colour == qrcode::Color::Dark);
        let path = dark.fold(String::new(), |mut path, (at, _)| {
            write!(path, "M{} {}h1v1h-1z", at % side + QUIET, at / side + QUIET).expect("a string takes all");
            path
        });
        Some((side + 2 * QUIET, path))
    }

    /// A secret in groups of four, to be typed.
    fn grouped(secret: &str) -> String {
        let letters: Vec<char> = secret.chars().collect();
        letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
    }
}

impl Challenge {
    /// What to do about a wrong code: apps make the next one by themselves.
    fn wrong_code(&self) -> &'static str {
        match self {
            Self::SetUp { .. } | Self::Code { by: Factor::Authenticator, .. } => {
                "This code is not right, or no longer valid. Please wait for the next one that the app shows."
            }
            _ => "This code is not right, or no longer valid. Please check it, or sign in again for a new one.",
        }
    }
}

impl Factor {
    /// How it is told in a list to choose from.
    fn words(self) -> &'static str {
        match self {
            Self::Authenticator => "A code from an authenticator app",
            Self::Sms => "A code by text message",
            Self::Email => "A code by e-mail",
        }
    }

    fn value(self) -> &'static str {
        match self {
            Self::Authenticator => "authenticator",
            Self::Sms => "sms",
            Self::Email => "email",
        }
    }
}

/// What the provider asks; without a sign-in under way there is nothing to ask.
pub async fn show(request: HttpRequest, site: web::Data<Site>, guest: Guest) -> Result<HttpResponse, Error> {
    offers(&site)?;
    match underway(&request, &site) {
        Some((Underway::Challenge(pending), _)) => {
            page(&request, &site, &guest, &pending, String::new(), Problems::default())
        }
        _ => see_other("/login"),
    }
}

fn page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    pending: &Pending,
    nickname: String,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let door = Doorstep::of(site, guest)?;
    let page = ChallengePage {
        frame: door.frame.clone(),
        offers: offers(site)?,
        email: pending.name.to_string(),
        challenge: pending.challenge.clone(),
        nickname,
        problems,
    };
    let mut response = page.problems.answer(request, &page)?;
    if matches!(pending.challenge, Challenge::Unknown(_)) {
        add_cookie(&mut response, &site.cookies.clear(Name::SignIn))?;
    }
    door.opened(site, response)
}

/// The answer in the form's fields.
fn response(challenge: &Challenge, fields: &Fields, problems: &mut Problems) -> Option<Response> {
    match challenge {
        Challenge::NewPassword { nickname } => {
            let nickname = if *nickname { Some(problems.parsed(fields, "nickname")) } else { None };
            let password: Option<SecretString> = problems.secret(fields, "password", "Please choose a password.");
            let nickname = match nickname {
                Some(None) => return None,
                Some(given) => given,
                None => None,
            };
            Some(Response::NewPassword { password: password?, nickname })
        }
        Challenge::Code { .. } | Challenge::SetUp { .. } => problems.code(fields).map(Response::Code),
        Challenge::Choose(factors) => {
            let chosen = factors.iter().find(|factor| factor.value() == fields.text("factor"));
            if chosen.is_none() {
                problems.fields.push(("factor", "Please choose one of these.".to_owned()));
            }
            chosen.copied().map(Response::Choice)
        }
        Challenge::Unknown(_) => None,
    }
}

/// Answers the challenge.
pub async fn answer(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    offers(&site)?;
    let fields = Fields::read(&request, &site, body).await?;
    let Some((Underway::Challenge(pending), next)) = underway(&request, &site) else {
        let expired = Problems::general(401, Refusal::Expired.to_string());
        return again(&request, &site, &guest, Next::home(), expired);
    };
    let mut problems = Problems::default();
    if let Some(response) = response(&pending.challenge, &fields, &mut problems) {
        let before = guest.session_cookie.as_deref();
        match site.accounts.respond(&guest.client, &pending, &response, before).await {
            Ok(progress) => return proceed(&request, &site, progress, &next),
            Err(Denial::Refused(refusal @ (Refusal::Expired | Refusal::Credentials))) => {
                return again(&request, &site, &guest, next, Problems::general(401, refusal.to_string()));
            }
            Err(Denial::Refused(Refusal::Code)) => {
                let sentence = pending.challenge.wrong_code();
                problems = Problems::field(422, "code", sentence);
            }
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    let nickname = fields.text("nickname").to_owned();
    let mut response = page(&request, &site, &guest, &pending, nickname, problems)?;
    if !matches!(pending.challenge, Challenge::Unknown(_)) {
        remember(&mut response, &site, &Underway::Challenge(pending), &next)?;
    }
    Ok(response)
}
