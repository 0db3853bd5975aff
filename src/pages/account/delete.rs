//! `/account/delete`: the end of an account with everything in it, after a page that says so.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::signed_in;
use crate::{
    accounts::{Denial, Usage},
    error::Error,
    identity::{Offers, Refusal},
    pages::{
        Frame, Guest, Site, Visitor,
        form::{Fields, Problems, offers},
        sign_in::{Done, leaving::farewell},
    },
};

/// What is to be typed where there is no password to ask.
pub const WORD: &str = "delete";

/// The page that asks whether to delete the account.
#[derive(Clone, Debug, Template)]
#[template(path = "delete.html")]
pub struct DeleteAccount {
    /// The frame.
    pub frame: Frame,
    /// Whether a password is asked.
    pub offers: Offers,
    /// Whose account it is.
    pub email: Option<String>,
    /// What goes with it.
    pub usage: Usage,
    /// What is wrong with the form just sent.
    pub problems: Problems,
}

/// Asks whether to delete the account.
pub async fn show(request: HttpRequest, site: web::Data<Site>, visitor: Visitor) -> Result<HttpResponse, Error> {
    page(&request, &site, &visitor, Problems::default()).await
}

async fn page(
    request: &HttpRequest,
    site: &Site,
    visitor: &Visitor,
    problems: Problems,
) -> Result<HttpResponse, Error> {
    let usage = site.album.totals(&visitor.owner).await?;
    let page = DeleteAccount {
        offers: offers(site)?,
        email: super::session(visitor)?.person.email.clone(),
        frame: Frame::counting(visitor, usage.photos),
        usage,
        problems,
    };
    page.problems.answer(request, &page)
}

/// Deletes the account.
pub async fn delete(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (visitor, guest, cookie) = signed_in(guest)?;
    let fields = Fields::read(&request, &site, body).await?;
    let mut problems = Problems::default();
    let password = if offers(&site)?.password {
        problems.secret(&fields, "password", "Please enter your password.")
    } else {
        if !fields.text("word").eq_ignore_ascii_case(WORD) {
            problems = Problems::field(422, "word", format!("Please type the word {WORD}."));
        }
        None
    };
    if problems.is_empty() {
        match site.accounts.delete(&guest.client, &cookie, password.as_ref()).await {
            Ok(elsewhere) => return farewell(&request, &site, elsewhere, Done::Deleted),
            Err(Denial::Refused(Refusal::Credentials)) => {
                problems = Problems::field(401, "password", "This is not your password.");
            }
            Err(denial) => problems = Problems::denied(&request, denial, "password")?,
        }
    }
    page(&request, &site, &visitor, problems).await
}
