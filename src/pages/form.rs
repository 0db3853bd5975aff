//! The small forms of the pages: what was typed, what is wrong with it, and the page of somebody who is not signed in yet.

use std::{fmt::Write as _, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use askama::Template;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Frame, Guest, Next, Site, page_with_status, prefers_json,
    problem::{Problem, log_failure},
    sentence,
    visitor::{DEVICE_LASTS, Name},
};
use crate::{
    accounts::{Denial, Underway},
    error::{Error, Kind},
    identity::{Delivery, Offers, Refusal},
    photo::Malformed,
};

/// The largest body of an account form, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// The longest password or code that is looked at, in bytes: hashing more would only cost time.
const MAX_SECRET_BYTES: usize = 1024;

/// The fields of a form, or the members of a JSON object. No `Debug`: they hold passwords.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields of an account form.
    pub(super) async fn read(request: &HttpRequest, site: &Site, body: web::Payload) -> Result<Self, Error> {
        Self::within(MAX_BYTES, request, site, body).await
    }

    /// The fields of a form of at most `limit` bytes. A field that comes twice, or is not in UTF-8, makes the form unreadable.
    pub(super) async fn within(
        limit: usize,
        request: &HttpRequest,
        site: &Site,
        body: web::Payload,
    ) -> Result<Self, Error> {
        let bytes = site.uploads.small_body(request, body, limit).await?;
        let fields = match media_type(request).as_str() {
            "application/x-www-form-urlencoded" => urlencoded(&bytes),
            "application/json" => json(&bytes),
            "" if bytes.is_empty() => Some(Vec::new()),
            _ => {
                return Err(Error::refused(
                    Kind::Type,
                    "This address takes a form (application/x-www-form-urlencoded) or JSON (application/json).",
                ));
            }
        };
        let mut fields = fields
            .ok_or_else(|| Error::refused(Kind::Malformed, "The form cannot be read: it needs fields in UTF-8."))?;
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::refused(Kind::Malformed, "The form has a field twice; each may come once."));
        }
        Ok(Self(fields))
    }

    /// A field's value; `None` when it did not come.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A field's value without blanks around it; empty when it did not come.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default().trim()
    }

    /// What the field `next` asks for.
    pub(super) fn next(&self) -> Next {
        self.get("next").map_or_else(Next::home, Next::new)
    }
}

/// What a request says its body is, without parameters, in lower case; empty when it does not say.
pub(crate) fn media_type(request: &HttpRequest) -> String {
    let header = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(crate) fn urlencoded(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).ok()
    };
    let pairs = std::str::from_utf8(bytes).ok()?.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    pairs.map(pair).collect()
}

fn json(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    members.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// What is wrong with a form just sent; empty for one that was not sent yet.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// What is wrong with the whole.
    pub general: Option<String>,
    /// What is wrong with fields, in the order of the form.
    pub fields: Vec<(&'static str, String)>,
    /// The HTTP status that says it; unset: 422 where something is wrong.
    pub status: Option<u16>,
    /// After which time to try again.
    pub retry_after: Option<Duration>,
}

impl Problems {
    /// Something is wrong with the form as a whole.
    pub(super) fn general(status: u16, sentence: impl Into<String>) -> Self {
        Self { general: Some(sentence.into()), status: Some(status), ..Self::default() }
    }

    /// Something is wrong with one field.
    pub(super) fn field(status: u16, name: &'static str, sentence: impl Into<String>) -> Self {
        Self { fields: vec![(name, sentence.into())], status: Some(status), ..Self::default() }
    }

    /// The value of a field, when it is well-formed; else what is wrong with it is noted.
    pub(super) fn parsed<T: std::str::FromStr<Err = Malformed>>(
        &mut self,
        fields: &Fields,
        name: &'static str,
    ) -> Option<T> {
        let parsed = fields.text(name).parse();
        parsed.map_err(|malformed| self.fields.push((name, sentence(malformed)))).ok()
    }

    /// A password as it was typed, when there is one; else `missing` is noted.
    pub(super) fn secret(&mut self, fields: &Fields, name: &'static str, missing: &str) -> Option<SecretString> {
        let typed = fields.get(name).unwrap_or_default();
        let problem = match typed.len() {
            0 => missing.to_owned(),
            1..=MAX_SECRET_BYTES => return Some(SecretString::from(typed)),
            _ => format!("This is longer than the {MAX_SECRET_BYTES} bytes that are taken."),
        };
        self.fields.push((name, problem));
        None
    }

    /// A one-time code as it was typed, without blanks, when there is one; else that it is missing is noted.
    pub(super) fn code(&mut self, fields: &Fields) -> Option<SecretString> {
        let code: String = fields.text("code").split_whitespace().collect();
        let problem = match code.len() {
            0 => "Please enter the code.",
            1..=MAX_SECRET_BYTES => return Some(SecretString::from(code)),
            _ => "A code is shorter than this.",
        };
        self.fields.push(("code", problem.to_owned()));
        None
    }

    /// What a denial means for the form; `password` is the field of a new password. An [`Error`] that the form cannot help is passed on.
    pub(super) fn denied(request: &HttpRequest, denial: Denial, password: &'static str) -> Result<Self, Error> {
        Ok(match denial {
            Denial::Refused(refusal) => {
                let sentence = refusal.to_string();
                match refusal {
                    Refusal::Credentials | Refusal::Expired => Self::general(401, sentence),
                    Refusal::Password(_) => Self::field(422, password, sentence),
                    Refusal::Name(_) => Self::field(422, "email", sentence),
                    Refusal::Nickname(_) => Self::field(422, "nickname", sentence),
                    Refusal::Code => Self::field(422, "code", sentence),
                    Refusal::TooMany => {
                        Self { retry_after: Some(Duration::from_mins(5)), ..Self::general(429, sentence) }
                    }
                    Refusal::Closed | Refusal::NotOffered(_) => Self::general(403, sentence),
                }
            }
            Denial::Limited { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::general(
                    429,
                    format!("There were too many tries. Please wait {}, then try again.", wait(retry_after)),
                )
            },
            Denial::Failed(error @ Error::Unavailable { .. }) => {
                log_failure(request, &error);
                Self { retry_after: error.retry_after(), ..Self::general(error.status(), error.to_string()) }
            }
            Denial::Failed(error) => return Err(error),
        })
    }

    /// Whether it is nothing that was typed: something outside cannot be asked now.
    pub(super) fn is_outage(&self) -> bool {
        self.status == Some(503)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.general.is_none() && self.fields.is_empty()
    }

    /// What is wrong with a field.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, sentence)| sentence.as_str())
    }

    /// Whether the focus belongs on a field: on the first that is wrong, else on the form's first.
    pub fn focus(&self, name: &str, first: &bool) -> bool {
        self.fields.first().map_or(*first, |(field, _)| *field == name)
    }

    /// The form again, with the status that says what is wrong; problem details for a program.
    pub(super) fn answer(&self, request: &HttpRequest, form: &impl Template) -> Result<HttpResponse, Error> {
        let status = self.status.unwrap_or(if self.is_empty() { 200 } else { 422 });
        let mut response = if prefers_json(request) && !self.is_empty() {
            let mut said = self.general.clone().unwrap_or_default();
            for (name, sentence) in &self.fields {
                let gap = if said.is_empty() { "" } else { " " };
                write!(said, "{gap}{name}: {sentence}").expect("writing to a string cannot fail");
            }
            Problem::new(status, said).answer()
        } else {
            page_with_status(form, status)?
        };
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        Ok(response)
    }
}

/// A time to wait in words, rounded up: `40 seconds`, `5 minutes`, `2 hours`.
fn wait(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let (number, unit) = match seconds {
        ..100 => (seconds, "second"),
        100..6000 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// What the provider offers; in a gallery without accounts its pages do not exist.
pub(super) fn offers(site: &Site) -> Result<Offers, Error> {
    site.accounts.offers().ok_or(Error::NotFound)
}

/// A page for somebody who is not signed in: its forms' token is bound to the browser's device cookie, which is set with the page when
/// there is none yet.
pub(super) struct Doorstep {
    pub(super) frame: Frame,
    device: Option<SecretString>,
}

impl Doorstep {
    pub(super) fn of(site: &Site, guest: &Guest) -> Result<Self, Error> {
        let device = if guest.client.device.is_none() { Some(site.accounts.new_device()?) } else { None };
        let cookie = device.as_ref().map(ExposeSecret::expose_secret).or(guest.client.device.as_deref());
        let token = site.accounts.form_token(cookie.unwrap_or_default());
        Ok(Self { frame: Frame { token, ..Frame::default() }, device })
    }

    /// Gives the browser its device cookie with the page.
    pub(super) fn opened(self, site: &Site, mut response: HttpResponse) -> Result<HttpResponse, Error> {
        if let Some(device) = &self.device {
            add_cookie(&mut response, &site.cookies.set(Name::Device, device, DEVICE_LASTS))?;
        }
        Ok(response)
    }
}

pub(super) fn add_cookie(response: &mut HttpResponse, cookie: &actix_web::cookie::Cookie<'_>) -> Result<(), Error> {
    response.add_cookie(cookie).map_err(|cause| Error::Internal(anyhow::Error::new(cause).context("setting a cookie")))
}

/// The page that goes on with what is under way.
pub(super) fn page_of(underway: &Underway) -> &'static str {
    match underway {
        Underway::Challenge(_) => "/login/challenge",
        Underway::Confirm { .. } => "/confirm",
        Underway::Reset { .. } => "/reset",
        Underway::Hosted(_) | Underway::Named(_) => "/login",
    }
}

/// Where a code went, in words for a page.
pub(super) fn sent_to(delivery: &Delivery) -> String {
    delivery.to.as_ref().map_or_else(|| "your address".to_owned(), Clone::clone)
}

/// A page that only tells something, and leads on.
#[derive(Clone, Debug, Template)]
#[template(path = "notice.html")]
pub struct Notice {
    /// The frame.
    pub frame: Frame,
    /// The heading.
    pub title: String,
    /// Sentences: what happened and what to do.
    pub text: String,
    /// Where to go on, and what the link says.
    pub on: (String, &'static str),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{json, urlencoded, wait};

    #[test]
    fn waits_are_told_in_words() {
        for (seconds, words) in [
            (0, "1 second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (101, "2 minutes"),
            (900, "15 minutes"),
            (7200, "2 hours"),
        ] {
            assert_eq!(wait(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn forms_are_read_as_browsers_send_them() {
        let fields =
            |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        assert_eq!(urlencoded(b"a=1+2%2B3&b=&c"), fields(&[("a", "1 2+3"), ("b", ""), ("c", "")]));
        assert_eq!(urlencoded(b"a=%ff"), None);
        assert_eq!(urlencoded(b"a=\xff"), None);
        assert_eq!(json(br#"{"a":"1"}"#), fields(&[("a", "1")]));
        assert_eq!(json(br#"{"a":1}"#), None);
        assert_eq!(json(br#"["a"]"#), None);
    }
}
