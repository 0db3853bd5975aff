//! `/login` and `/callback` where people sign in on the provider's own pages.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;

use super::{Query, asked, proceed, remember, underway};
use crate::{
    accounts::{Denial, Underway},
    error::Error,
    pages::{
        Frame, Guest, Next, Site,
        form::{Notice, Problems, add_cookie, offers},
        see_other,
        visitor::Name,
    },
};

/// Sends a browser to the provider's pages.
pub(in crate::pages) fn depart(site: &Site, next: &Next) -> Result<HttpResponse, Error> {
    let (url, underway) = site.accounts.depart()?;
    let mut response = see_other(&url)?;
    remember(&mut response, site, &underway, next)?;
    Ok(response)
}

/// What the provider sends back. No `Debug`: the code is a credential.
#[derive(Default, Deserialize)]
pub struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// The browser is back from the provider's pages.
pub async fn arrive(
    request: HttpRequest,
    site: web::Data<Site>,
    guest: Guest,
    query: Query<Answer>,
) -> Result<HttpResponse, Error> {
    offers(&site)?;
    let Answer { code, state, error } = asked(query);
    let state = state.unwrap_or_default();
    let departed = match underway(&request, &site) {
        Some((Underway::Hosted(departure), next)) if departure.set_out_with(&state) => Some((departure, next)),
        _ => None,
    };
    // Whatever else leads here, and be it another site's link, leaves alone what this browser has under way.
    let Some((departure, next)) = departed else {
        let why = "This sign-in did not begin in this browser, or took longer than 15 minutes.";
        return refused(&request, &Problems::general(400, why));
    };
    let (Some(code), None) = (code, error) else {
        return ended(&request, &site, &Problems::general(400, "The sign-in was broken off."));
    };
    let (client, before) = (&guest.client, guest.session_cookie.as_deref());
    match site.accounts.arrive(client, &departure, &state, &SecretString::from(code), before).await {
        Ok(progress) => proceed(&request, &site, progress, &next),
        Err(Denial::Refused(refusal)) => ended(&request, &site, &Problems::general(400, refusal.to_string())),
        Err(denial) => refused(&request, &Problems::denied(&request, denial, "password")?),
    }
}

/// The page of a sign-in that came to nothing, with a way to begin anew.
fn refused(request: &HttpRequest, problems: &Problems) -> Result<HttpResponse, Error> {
    let notice = Notice {
        frame: Frame::default(),
        title: "You are not signed in".to_owned(),
        text: problems.general.clone().unwrap_or_default(),
        on: ("/login".to_owned(), "Sign in again"),
    };
    problems.answer(request, &notice)
}

/// The same, where it cannot go on.
fn ended(request: &HttpRequest, site: &Site, problems: &Problems) -> Result<HttpResponse, Error> {
    let mut response = refused(request, problems)?;
    add_cookie(&mut response, &site.cookies.clear(Name::SignIn))?;
    Ok(response)
}
