//! `/forgot` and `/reset`: a new password in place of a forgotten one. Whether there is such an account is not to be learnt here.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Frame, Guest, Next, Site,
    form::{Doorstep, Fields, Problems, offers, sent_to},
    see_other,
    sign_in::{Done, Parameters, asked, done_for, go_on, hosted, named, underway},
};
use crate::{accounts::Underway, error::Error, identity::Offers};

/// The page for asking for a code.
#[derive(Clone, Debug, Template)]
#[template(path = "forgot.html")]
pub struct Forgot {
    /// The frame.
    pub frame: Frame,
    /// Whether codes reach people.
    pub offers: Offers,
    /// What was typed as e-mail address.
    pub email: String,
    /// Where to go then.
    pub next: Next,
    /// What is wrong.
    pub problems: Problems,
}

/// The page for setting a new password with a code.
#[derive(Clone, Debug, Template)]
#[template(path = "reset.html")]
pub struct Reset {
    /// The frame.
    pub frame: Frame,
    /// What the provider wants of passwords.
    pub offers: Offers,
    /// Where the code went, when that is known.
    pub sent: Option<String>,
    /// Whose password it is.
    pub email: String,
    /// Where to go then.
    pub next: Next,
    /// What is wrong.
    pub problems: Problems,
}

type Query = Result<web::Query<Parameters>, actix_web::Error>;

/// The page for asking for a code; where none reaches anybody, who can help.
pub async fn ask_name(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query,
) -> Result<HttpResponse, Error> {
    let next = asked(query).next;
    if offers(&site)?.hosted {
        return hosted::depart(&site, &next);
    }
    let email = named(&request, &site).unwrap_or_default();
    page(&request, &site, &guest, email, next, Problems::default())
}

fn page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    email: String,
    next: Next,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let door = Doorstep::of(site, guest)?;
    let page = Forgot { frame: door.frame.clone(), offers: offers(site)?, email, next, problems };
    door.opened(site, page.problems.answer(request, &page)?)
}

/// Sends a code.
pub async fn send(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let fields = Fields::read(&request, &site, body).await?;
    let next = fields.next();
    if offers.hosted {
        return see_other(&next.after("/forgot"));
    }
    let mut problems = Problems::default();
    if let Some(name) = problems.parsed(&fields, "email") {
        match site.accounts.forgot(&guest.client, &name).await {
            Ok(underway) => return go_on(&request, &site, &underway, &next),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    page(&request, &site, &guest, fields.text("email").to_owned(), next, problems)
}

/// The page for the code and the new password.
pub async fn ask_code(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query,
) -> Result<HttpResponse, Error> {
    let next = asked(query).next;
    let offers = offers(&site)?;
    if !offers.codes || offers.hosted {
        return see_other(&next.after("/forgot"));
    }
    code_page(&request, &site, &guest, None, next, Problems::default())
}

fn code_page(
    request: &HttpRequest,
    site: &Site,
    guest: &Guest,
    typed: Option<&Fields>,
    next: Next,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let (known, sent, next) = match underway(request, site) {
        Some((Underway::Reset { name, delivery }, kept)) => {
            (name.to_string(), Some(sent_to(&delivery)), if next.is_home() { kept } else { next })
        }
        _ => (String::new(), None, next),
    };
    let door = Doorstep::of(site, guest)?;
    let email = typed.map_or(known, |fields| fields.text("email").to_owned());
    let page = Reset { frame: door.frame.clone(), offers: offers(site)?, sent, email, next, problems };
    door.opened(site, page.problems.answer(request, &page)?)
}

/// Sets the new password.
pub async fn set(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let offers = offers(&site)?;
    let fields = Fields::read(&request, &site, body).await?;
    let next = fields.next();
    if offers.hosted {
        return see_other(&next.after("/forgot"));
    }
    let mut problems = Problems::default();
    let name = problems.parsed(&fields, "email");
    let code = problems.code(&fields);
    let password = problems.secret(&fields, "password", "Please choose a password.");
    if let (Some(name), Some(code), Some(password)) = (name, code, password) {
        match site.accounts.reset(&guest.client, &name, &code, &password).await {
            Ok(()) => return done_for(&request, &site, name, &next, Done::Reset),
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    code_page(&request, &site, &guest, Some(&fields), next, problems)
}
