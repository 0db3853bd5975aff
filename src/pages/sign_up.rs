//! `/signup` and `/confirm`: making an account. Whether a name was taken already is not to be learnt here.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Frame, Guest, Next, Site,
    form::{Doorstep, Fields, Notice, Problems, offers},
    page_with_status, prefers_json,
    problem::Problem,
    see_other,
    sign_in::{Done, Parameters, asked, done_for, go_on, go_on_at, hosted, named, underway},
};
use crate::{
    accounts::{SignedUp, Underway},
    error::Error,
    identity::{Chooser, NewAccount, Offers, Refusal, SignInName},
};

/// The page for making an account.
#[derive(Clone, Debug, Template)]
#[template(path = "signup.html")]
pub struct SignUp {
    /// The frame.
    pub frame: Frame,
    /// What the provider takes.
    pub offers: Offers,
    /// Whether this makes the very first account.
    pub first: bool,
    /// What was typed as e-mail address.
    pub email: String,
    /// What was typed as name.
    pub nickname: String,
    /// Where to go then.
    pub next: Next,
    /// What is wrong.
    pub problems: Problems,
}

/// The page for confirming an account.
#[derive(Clone, Debug, Template)]
#[template(path = "confirm.html")]
pub struct Confirm {
    /// The frame.
    pub frame: Frame,
    /// What the provider takes.
    pub offers: Offers,
    /// Where a code went, when one went out and that is known.
    pub sent: Option<String>,
    /// Whether there surely is such an account, which waits for its code.
    pub waits: bool,
    /// Whether a code was just asked for once more.
    pub resent: bool,
    /// The e-mail address to confirm.
    pub email: String,
    /// Whether the password is asked too: never, perhaps, or always.
    pub password: Asked,
    /// Where to go then.
    pub next: Next,
    /// What is wrong.
    pub problems: Problems,
}

/// Whether a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is not.
    No,
    /// It may stay empty.
    Perhaps,
    /// It must be filled in.
    Yes,
}

type Query = Result<web::Query<Parameters>, actix_web::Error>;

/// The page for making an account.
pub async fn show(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let next = asked(query).next;
    if guest.visitor.is_some() {
        return see_other(next.as_str());
    }
    if offers.hosted {
        return hosted::depart(&site, &next);
    }
    let fields = [named(&request, &site).unwrap_or_default(), String::new()];
    page(&request, &site, &guest, fields, next, Problems::default()).await
}

async fn page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    [email, nickname]: [String; 2],
    next: Next,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let offers = offers(site)?;
    // Where the accounts cannot be asked just now, nobody waits for their answer twice.
    let first = !problems.is_outage() && site.accounts.is_empty().await?;
    if !first && !offers.sign_up && !problems.is_outage() {
        if prefers_json(request) {
            return Ok(Problem::new(403, Refusal::Closed.to_string()).answer());
        }
        let notice = Notice {
            frame: Frame::default(),
            title: "No new accounts".to_owned(),
            text: Refusal::Closed.to_string(),
            on: (next.after("/login"), "Sign in"),
        };
        return page_with_status(&notice, 403);
    }
    let door = Doorstep::of(site, guest)?;
    let page = SignUp { frame: door.frame.clone(), offers, first, email, nickname, next, problems };
    door.opened(site, page.problems.answer(request, &page)?)
}

/// Makes an account.
pub async fn make(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let fields = Fields::read(&request, &site, body).await?;
    let next = fields.next();
    if offers.hosted {
        return see_other(&next.after("/signup"));
    }
    let mut problems = Problems::default();
    let name = problems.parsed(&fields, "email");
    let nickname = problems.parsed(&fields, "nickname");
    let password = problems.secret(&fields, "password", "Please choose a password.");
    let fewest = usize::from(offers.password_chars);
    if password.as_ref().is_some_and(|password| password.expose_secret().chars().count() < fewest) {
        let short = format!("A password has at least {fewest} characters. Please choose a longer one.");
        problems.fields.push(("password", short));
    }
    if let (true, Some(name), Some(nickname), Some(password)) = (problems.is_empty(), name, nickname, password) {
        let account = NewAccount { name, nickname, password };
        match site.accounts.sign_up(&guest.client, &account).await {
            Ok(SignedUp::Ready) => return done_for(&request, &site, account.name, &next, Done::SignedUp),
            Ok(SignedUp::CodeSent(underway)) => return go_on(&request, &site, &underway, &next),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    let typed = ["email", "nickname"].map(|name| fields.text(name).to_owned());
    page(&request, &site, &guest, typed, next, problems).await
}

/// The page for the code; where none reaches anybody, the one for signing in.
pub async fn ask_code(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query,
) -> Result<HttpResponse, Error> {
    let Parameters { next, done } = asked(query);
    let offers = offers(&site)?;
    if offers.hosted || !offers.codes {
        return see_other(&next.after("/login"));
    }
    let resent = matches!(done, Some(Done::Resent));
    confirm_page(&request, &site, &guest, None, next, resent, Problems::default())
}

/// Where a form of the page for the code is sent to: somebody who reloads it gets that page.
pub async fn back(site: web::Data<Site>, _: Guest) -> Result<HttpResponse, Error> {
    offers(&site)?;
    see_other("/confirm")
}

fn confirm_page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    typed: Option<&Fields>,
    next: Next,
    resent: bool,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let (known, sent, waits, marked, next) = match underway(request, site) {
        Some((Underway::Confirm { name, delivery, proven }, kept)) => {
            let next = if next.is_home() { kept } else { next };
            (name.to_string(), delivery.to, proven, delivery.mark.is_some(), next)
        }
        Some((Underway::Named(name), _)) => (name.to_string(), None, false, false, next),
        _ => (String::new(), None, false, false, next),
    };
    let offers = offers(site)?;
    let password = match (offers.confirm_password, marked) {
        (false, _) => Asked::No,
        (true, false) => Asked::Yes,
        // The cookie may be of another of one's sign-ups.
        (true, true) => {
            if problems.is_empty() {
                Asked::No
            } else {
                Asked::Perhaps
            }
        }
    };
    let door = Doorstep::of(site, guest)?;
    let email = typed.map_or(known, |fields| fields.text("email").to_owned());
    let frame = door.frame.clone();
    let page = Confirm { frame, offers, sent, waits, resent, email, password, next, problems };
    door.opened(site, page.problems.answer(request, &page)?)
}

/// Which sign-up with this name the browser has kept.
fn mark(request: &HttpRequest, site: &Site, name: &SignInName) -> Option<String> {
    match underway(request, site)?.0 {
        Underway::Confirm { name: kept, delivery, .. } if kept.key() == name.key() => delivery.mark,
        _ => None,
    }
}

/// Confirms an account.
pub async fn confirm(
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
    let name: Option<SignInName> = problems.parsed(&fields, "email");
    let code: Option<SecretString> = problems.code(&fields);
    let mark = name.as_ref().and_then(|name| mark(&request, &site, name));
    let typed = fields.get("password").is_some_and(|typed| !typed.is_empty());
    let password = if typed || (offers.confirm_password && mark.is_none()) {
        problems.secret(&fields, "password", "Please enter the password that you chose for the account.")
    } else {
        None
    };
    let chooser = Chooser { mark, password };
    if let (Some(name), Some(code), true) = (name, code, problems.is_empty()) {
        match site.accounts.confirm(&guest.client, &name, &code, &chooser).await {
            Ok(()) => return done_for(&request, &site, name, &next, Done::Confirmed),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    confirm_page(&request, &site, &guest, Some(&fields), next, false, problems)
}

/// Sends the code again.
pub async fn resend(
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
    if let Some(name) = problems.parsed(&fields, "email") {
        match site.accounts.resend(&guest.client, &name, mark(&request, &site, &name)).await {
            Ok(underway) => return go_on_at(Done::Resent.url(), &request, &site, &underway, &next),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    confirm_page(&request, &site, &guest, Some(&fields), next, false, problems)
}
