//! `/login`: by e-mail address and password, or on the provider's own pages; `sign_in/` holds what can follow and how it ends.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Guest, Next, Site,
    form::{Doorstep, Fields, Problems, add_cookie, offers, page_of},
    json_with_status, prefers_json, see_other,
    visitor::{DEVICE_LASTS, Name},
};
use crate::{
    accounts::{Entry, Progress, SIGN_IN_LASTS, Underway},
    error::Error,
    identity::{Offers, SignInName},
};

pub mod challenge;
pub mod hosted;
pub mod leaving;

/// The page for signing in.
#[derive(Clone, Debug, Template)]
#[template(path = "login.html")]
pub struct Login {
    /// The frame.
    pub frame: Frame,
    /// What can be offered beside.
    pub offers: Offers,
    /// What has just been done, in a sentence.
    pub done: Option<&'static str>,
    /// What was typed as e-mail address.
    pub email: String,
    /// Where to go then.
    pub next: Next,
    /// What is wrong.
    pub problems: Problems,
}

/// `?next=&done=`.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    /// Where to go then.
    #[serde(default)]
    pub next: Next,
    /// What has just been done.
    pub done: Option<Done>,
}

/// What leads people to the page for signing in.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// An account was made, or an e-mail went out that says why not.
    SignedUp,
    /// A code was asked for once more, on the page for it.
    Resent,
    /// An account was confirmed.
    Confirmed,
    /// A password was reset.
    Reset,
    /// A session ended.
    SignedOut,
    /// All sessions ended.
    SignedOutEverywhere,
    /// An account was deleted.
    Deleted,
}

impl Done {
    /// The URL of the page that says so.
    pub(super) fn url(self) -> &'static str {
        match self {
            Self::SignedUp => "/login?done=signed-up",
            Self::Resent => "/confirm?done=resent",
            Self::Confirmed => "/login?done=confirmed",
            Self::Reset => "/login?done=reset",
            Self::SignedOut => "/login?done=signed-out",
            Self::SignedOutEverywhere => "/login?done=signed-out-everywhere",
            Self::Deleted => "/login?done=deleted",
        }
    }

    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::SignedUp => "You can sign in now. If this address already had an account, its password still holds.",
            Self::Resent => "A new code was asked for. Only the newest one works.",
            Self::Confirmed => "Your account is confirmed. Please sign in.",
            Self::Reset => "Your password is changed. Please sign in with it.",
            Self::SignedOut => "You are signed out.",
            Self::SignedOutEverywhere => "You are signed out everywhere.",
            Self::Deleted => "Your account and everything in it is deleted.",
        }
    }
}

type Query<T> = Result<web::Query<T>, actix_web::Error>;

/// What a query asks for; what cannot be read asks for nothing.
pub(super) fn asked<T: Default>(query: Query<T>) -> T {
    query.map(web::Query::into_inner).unwrap_or_default()
}

/// The page for signing in. Those who are signed in are sent on; where there is no account yet, to make the first one.
pub async fn show(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query<Parameters>,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let Parameters { next, done } = asked(query);
    if guest.visitor.is_some() {
        return see_other(next.as_str());
    }
    if offers.hosted && done.is_none() {
        return hosted::depart(&site, &next);
    }
    if site.accounts.is_empty().await? {
        return see_other(&next.after("/signup"));
    }
    let email = done.and_then(|_| named(&request, &site)).unwrap_or_default();
    page(&request, &site, &guest, email, next, done, Problems::default())
}

fn page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    email: String,
    next: Next,
    done: Option<Done>,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let door = Doorstep::of(site, guest)?;
    let frame = door.frame.clone();
    let page = Login { frame, offers: offers(site)?, done: done.map(Done::sentence), email, next, problems };
    door.opened(site, page.problems.answer(request, &page)?)
}

/// The page for signing in once more, with the reason.
pub(super) fn again(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    next: Next,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let mut response = page(request, site, guest, String::new(), next, None, problems)?;
    add_cookie(&mut response, &site.cookies.clear(Name::SignIn))?;
    Ok(response)
}

/// Signs in.
pub async fn enter(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let fields = Fields::read(&request, &site, body).await?;
    let next = fields.next();
    if offers.hosted {
        return see_other(&next.after("/login"));
    }
    let mut problems = Problems::default();
    let name = problems.parsed(&fields, "email");
    let password = problems.secret(&fields, "password", "Please enter your password.");
    if let (Some(name), Some(password)) = (name, password) {
        match site.accounts.sign_in(&guest.client, &name, &password, guest.session_cookie.as_deref()).await {
            Ok(progress) => return proceed(&request, &site, progress, &next),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
        let mut response = page(&request, &site, &guest, name.to_string(), next.clone(), None, problems)?;
        remember(&mut response, &site, &Underway::Named(name), &next)?;
        return Ok(response);
    }
    page(&request, &site, &guest, fields.text("email").to_owned(), next, None, problems)
}

/// Lets somebody in, or leads to what is asked next.
pub(super) fn proceed(
    request: &HttpRequest,
    site: &Site,
    progress: Progress,
    next: &Next,
) -> Result<HttpResponse, Error> {
    match progress {
        Progress::In(entry) => {
            let mut response = done(request, next.as_str())?;
            let_in(&mut response, site, &entry)?;
            add_cookie(&mut response, &site.cookies.clear(Name::SignIn))?;
            Ok(response)
        }
        Progress::Asked(underway) => go_on(request, site, &underway, next),
    }
}

/// Leads to the page for what is under way, which the browser keeps sealed in the meantime; tells a program which page that is.
pub(super) fn go_on(
    request: &HttpRequest,
    site: &Site,
    underway: &Underway,
    next: &Next,
) -> Result<HttpResponse, Error> {
    go_on_at(page_of(underway), request, site, underway, next)
}

/// Leads to `page` for what is under way.
pub(super) fn go_on_at(
    page: &str,
    request: &HttpRequest,
    site: &Site,
    underway: &Underway,
    next: &Next,
) -> Result<HttpResponse, Error> {
    let mut response = if prefers_json(request) {
        json_with_status(&serde_json::json!({ "go_on": page }), 202)
    } else {
        see_other(page)?
    };
    remember(&mut response, site, underway, next)?;
    Ok(response)
}

/// Lets the browser keep what is under way, sealed.
pub(super) fn remember(
    response: &mut HttpResponse,
    site: &Site,
    underway: &Underway,
    next: &Next,
) -> Result<(), Error> {
    let sealed = site.accounts.seal(underway, next.as_str())?;
    add_cookie(response, &site.cookies.set(Name::SignIn, &sealed, SIGN_IN_LASTS))
}

/// What the browser keeps of what is under way, and where to go then.
pub(super) fn underway(request: &HttpRequest, site: &Site) -> Option<(Underway, Next)> {
    let cookie = site.cookies.read(request, Name::SignIn)?;
    let (underway, next) = site.accounts.unseal(&cookie)?;
    Some((underway, Next::new(&next)))
}

/// The name that was typed last in this browser, when nothing is under way.
pub(super) fn named(request: &HttpRequest, site: &Site) -> Option<String> {
    match underway(request, site)? {
        (Underway::Named(name), _) => Some(name.to_string()),
        _ => None,
    }
}

/// Leads to the page for signing in, which says what was done and knows the name.
pub(super) fn done_for(
    request: &HttpRequest,
    site: &Site,
    name: SignInName,
    next: &Next,
    said: Done,
) -> Result<HttpResponse, Error> {
    let mut response = done(request, &next.after(said.url()))?;
    remember(&mut response, site, &Underway::Named(name), next)?;
    Ok(response)
}

/// Gives a browser the cookies of somebody signed in.
pub(super) fn let_in(response: &mut HttpResponse, site: &Site, entry: &Entry) -> Result<(), Error> {
    add_cookie(response, &site.cookies.set(Name::Session, &entry.session, entry.lasts))?;
    add_cookie(response, &site.cookies.set(Name::Device, &entry.device, DEVICE_LASTS))
}

/// What was asked is done: leads a browser on, and tells a program.
pub(super) fn done(request: &HttpRequest, url: &str) -> Result<HttpResponse, Error> {
    if prefers_json(request) { Ok(HttpResponse::NoContent().finish()) } else { see_other(url) }
}
