//! `/account`: who one is here, one's password, where one is signed in, how much one keeps; `account/` holds how one takes it along or goes.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    Frame, Guest, Site, Visitor,
    form::{Fields, Problems, offers},
    json_with_status, prefers_json, see_other,
    sign_in::{Done, asked, done, leaving::farewell, let_in},
};
use crate::{
    accounts::{Denial, Session, Usage},
    error::Error,
    identity::{Nickname, Offers, Person, Refusal},
};

mod agent;
pub mod data;
pub mod delete;

/// One of a person's sessions as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionLine {
    /// What ends it.
    pub handle: String,
    /// `Firefox on Windows`.
    pub browser: String,
    /// From which address it began.
    pub address: String,
    /// When it began, in RFC 3339.
    pub created_at: String,
    /// When it was last used, to the hour, in RFC 3339.
    pub seen_at: String,
    /// Whether it is the one that asks.
    pub this_device: bool,
    /// `20 November 2026, 12:06 UTC`.
    #[serde(skip)]
    pub since: String,
    /// `today`, `yesterday`, `3 days ago`.
    #[serde(skip)]
    pub last_used: String,
}

impl SessionLine {
    fn new(session: Session, own: &str, now: DateTime<Utc>) -> Self {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let days = (now.date_naive() - session.seen_at.date_naive()).num_days();
        Self {
            this_device: session.handle == own,
            browser: agent::words(&session.agent),
            address: session.address,
            created_at: time(session.created_at),
            seen_at: time(session.seen_at),
            since: session.created_at.format("%-d %B %Y, %H:%M UTC").to_string(),
            last_used: match days {
                ..=0 => "today".to_owned(),
                1 => "yesterday".to_owned(),
                days => format!("{days} days ago"),
            },
            handle: session.handle,
        }
    }
}

/// The account page.
#[derive(Clone, Debug, Template)]
#[template(path = "account.html")]
pub struct Account {
    /// The frame.
    pub frame: Frame,
    /// What can be done here.
    pub offers: Offers,
    /// What has just been done, in a sentence.
    pub done: Option<Changed>,
    /// What one is called, or what was typed for it.
    pub nickname: String,
    /// One's e-mail address.
    pub email: Option<String>,
    /// How much one keeps.
    pub usage: Usage,
    /// Where one is signed in.
    pub sessions: Vec<SessionLine>,
    /// What is wrong with the form just sent.
    pub problems: Problems,
}

/// The account in JSON.
#[derive(Serialize)]
struct AccountJson<'a> {
    person: &'a Person,
    usage: Usage,
    sessions: Vec<SessionLine>,
}

/// `?done=`.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    done: Option<Changed>,
}

/// What was changed on the account page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Changed {
    /// What one is called.
    Nickname,
    /// The password.
    Password,
    /// Where one is signed in.
    Session,
}

impl Changed {
    /// The URL of the page that says so, at the place where it was done.
    fn url(self) -> &'static str {
        match self {
            Self::Nickname => "/account?done=nickname#done",
            Self::Password => "/account?done=password#done",
            Self::Session => "/account?done=session#done",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Nickname => "Your name is changed.",
            Self::Password => "Your password is changed, and every other device is signed out.",
            Self::Session => "That device is signed out.",
        }
    }
}

/// The session of a visitor; without accounts there is none, and none of these pages.
fn session(visitor: &Visitor) -> Result<&Session, Error> {
    visitor.session.as_ref().ok_or(Error::NotFound)
}

/// A visitor of pages that need the session's cookie.
fn signed_in(guest: Guest) -> Result<(Visitor, Guest, String), Error> {
    let visitor = guest.visitor.clone().ok_or(Error::SignIn)?;
    session(&visitor)?;
    let cookie = guest.session_cookie.clone().ok_or(Error::SignIn)?;
    Ok((visitor, guest, cookie))
}

/// The account page.
pub async fn show(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    query: Result<web::Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, Error> {
    offers(&site)?;
    if prefers_json(&request) {
        let account = AccountJson {
            person: &session(&visitor)?.person,
            usage: site.album.totals(&visitor.owner).await?,
            sessions: sessions(&site, &visitor).await?,
        };
        return Ok(json_with_status(&account, 200));
    }
    let changed = asked(query).done;
    page(&request, &site, &visitor, None, changed, Problems::default()).await
}

async fn sessions(site: &Site, visitor: &Visitor) -> Result<Vec<SessionLine>, Error> {
    let own = &session(visitor)?.handle;
    let sessions = site.accounts.sessions(&visitor.owner).await?;
    let mut lines: Vec<SessionLine> =
        sessions.into_iter().map(|session| SessionLine::new(session, own, site.album.now())).collect();
    lines.sort_by_key(|line| !line.this_device);
    Ok(lines)
}

async fn page(
    request: &HttpRequest,
    site: &Site,
    visitor: &Visitor,
    nickname: Option<String>,
    changed: Option<Changed>,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let person = &session(visitor)?.person;
    let usage = site.album.totals(&visitor.owner).await?;
    let page = Account {
        frame: Frame::counting(visitor, usage.photos),
        offers: offers(site)?,
        done: changed,
        nickname: nickname.or_else(|| person.nickname.clone()).unwrap_or_default(),
        email: person.email.clone(),
        usage,
        sessions: sessions(site, visitor).await?,
        problems,
    };
    page.problems.answer(request, &page)
}

/// Where a form of this page is sent to: somebody who reloads it gets the page.
pub async fn back(visitor: Visitor) -> Result<HttpResponse, Error> {
    session(&visitor)?;
    see_other("/account")
}

/// Changes what one is called.
pub async fn rename(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (visitor, _, cookie) = signed_in(guest)?;
    let fields = Fields::read(&request, &site, body).await?;
    let mut problems = Problems::default();
    if let Some(nickname) = problems.parsed::<Nickname>(&fields, "nickname") {
        match site.accounts.rename(&cookie, &nickname).await {
            Ok(()) => return done(&request, Changed::Nickname.url()),
            Err(denial) => problems = Problems::denied(&request, denial, "new")?,
        }
    }
    page(&request, &site, &visitor, Some(fields.text("nickname").to_owned()), None, problems).await
}

/// Changes the password; every other session ends.
pub async fn change_password(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (visitor, guest, cookie) = signed_in(guest)?;
    let fields = Fields::read(&request, &site, body).await?;
    if !offers(&site)?.password {
        return Err(Error::NotFound);
    }
    let mut problems = Problems::default();
    let current = problems.secret(&fields, "current", "Please enter your current password.");
    let new: Option<SecretString> = problems.secret(&fields, "new", "Please choose a new password.");
    if let (Some(current), Some(new)) = (current, new) {
        match site.accounts.change_password(&guest.client, &cookie, &current, &new).await {
            Ok(entry) => {
                let mut response = done(&request, Changed::Password.url())?;
                let_in(&mut response, &site, &entry)?;
                return Ok(response);
            }
            Err(Denial::Refused(Refusal::Credentials)) => {
                problems = Problems::field(401, "current", "This is not your current password.");
            }
            Err(denial) => problems = Problems::denied(&request, denial, "new")?,
        }
    }
    page(&request, &site, &visitor, None, None, problems).await
}

/// Ends one of the visitor's sessions, perhaps this one.
pub async fn end_session(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (visitor, _, cookie) = signed_in(guest)?;
    let fields = Fields::read(&request, &site, body).await?;
    let handle = fields.text("session");
    if handle == session(&visitor)?.handle {
        let elsewhere = site.accounts.sign_out(&cookie).await?;
        return farewell(&request, &site, elsewhere, Done::SignedOut);
    }
    if !site.accounts.end_session(&visitor.owner, handle).await? {
        return Err(Error::NotFound);
    }
    done(&request, Changed::Session.url())
}

/// Ends all of the visitor's sessions.
pub async fn sign_out_everywhere(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (_, _, cookie) = signed_in(guest)?;
    Fields::read(&request, &site, body).await?;
    let elsewhere = site.accounts.sign_out_everywhere(&cookie).await?;
    farewell(&request, &site, elsewhere, Done::SignedOutEverywhere)
}
