//! `/logout`, and how every way out ends.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use askama::Template;

use super::{Done, done};
use crate::{
    error::Error,
    pages::{
        Frame, Guest, Site,
        form::{Fields, Notice, add_cookie, offers},
        page, prefers_json, see_other,
        visitor::Name,
    },
};

/// The page that asks whether to sign out.
#[derive(Clone, Debug, Template)]
#[template(path = "logout.html")]
pub struct Logout {
    /// The frame.
    pub frame: Frame,
}

/// Asks whether to sign out; a link must not do it.
pub async fn show(site: web::Data<Site>, guest: Guest) -> Result<HttpResponse, Error> {
    offers(&site)?;
    match guest.visitor {
        Some(visitor) => page(&Logout { frame: Frame::plain(&visitor) }),
        None => see_other("/login"),
    }
}

/// Signs out, also somebody who is no longer signed in.
pub async fn leave(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    offers(&site)?;
    Fields::read(&request, &site, body).await?;
    let elsewhere = match &guest.session_cookie {
        Some(cookie) => site.accounts.sign_out(cookie).await?,
        None => None,
    };
    farewell(&request, &site, elsewhere, Done::SignedOut)
}

/// Takes the cookies of somebody whose session has ended. When the session must end at the provider too, the browser goes there by a page
/// of its own: browsers let a form lead to this site only.
pub(in crate::pages) fn farewell(
    request: &HttpRequest,
    site: &Site,
    elsewhere: Option<String>,
    said: Done,
) -> Result<HttpResponse, Error> {
    let mut response = match elsewhere {
        Some(url) if !prefers_json(request) => {
            let mut response = page(&Notice {
                frame: Frame::default(),
                title: said.sentence().trim_end_matches('.').to_owned(),
                text: "One moment: you are being signed out of the sign-in pages too.".to_owned(),
                on: (url.clone(), "Go on"),
            })?;
            if let Ok(refresh) = header::HeaderValue::from_str(&format!("0; url={url}")) {
                response.headers_mut().insert(header::REFRESH, refresh);
            }
            response
        }
        _ => done(request, said.url())?,
    };
    for name in [Name::Session, Name::SignIn] {
        add_cookie(&mut response, &site.cookies.clear(name))?;
    }
    Ok(response)
}
