//! The pages: the table of all URLs, who the visitor is, and what every page shares.
//!
//! The same URL answers a person with HTML and a program that sends `Accept: application/json` with JSON.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, Accept, Header, HeaderValue},
    middleware::{self, from_fn},
    web,
};
use askama::Template;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{accounts::Accounts, album::Album, error::Error, identity::Person, photo::Malformed, readiness::Readiness};

pub mod account;
pub mod assets;
pub mod changes;
pub mod form;
pub mod gallery;
pub mod health;
pub mod json;
pub mod labels;
pub mod media;
pub mod next;
pub mod photo;
pub mod problem;
pub mod reset;
pub mod sign_in;
pub mod sign_up;
pub mod unfinished;
pub mod upload;
pub mod visitor;

pub use next::Next;
pub use visitor::{Cookies, Guest, Visitor};

/// Who may ask for a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without being known: nothing of any owner is behind it.
    Anyone,
    /// Anyone, signed in or not, where there are accounts: the pages on which people come to be known.
    Guest,
    /// A visitor, who gets at their own photos only.
    Visitor,
    /// The bearer of a signed link.
    Link,
}

/// A line of the URL table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` (which answers HEAD too) or `POST`.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
}

macro_rules! table {
    ($($path:literal { $($method:ident $access:ident $handler:path),+ $(,)? })+) => {
        /// Every URL there is.
        pub const ROUTES: &[Route] = &[$($(Route { method: stringify!($method), path: $path, access: Access::$access }),+),+];

        /// Makes the server answer the table's URLs.
        pub fn routes(config: &mut web::ServiceConfig) {
            $(config.service(
                web::resource($path)$(.route(table!(@route $method).to($handler)))+
                    .default_service(web::to(problem::method_not_allowed))
                    .wrap(from_fn(caught)),
            );)+
            config.default_service(web::to(problem::not_found));
        }
    };
    (@route GET) => { web::route().guard(actix_web::guard::Any(actix_web::guard::Get()).or(actix_web::guard::Head())) };
    (@route POST) => { web::post() };
}

table! {
    "/"                         { GET Anyone gallery::root }
    "/ping"                     { GET Anyone health::ping }
    "/readyz"                   { GET Anyone health::readiness }
    "/favicon.ico"              { GET Anyone assets::favicon }
    "/static/{name}"            { GET Anyone assets::serve }
    "/media/{path:.*}"          { GET Link media::serve }
    "/signup"                   { GET Guest sign_up::show, POST Guest sign_up::make }
    "/confirm"                  { GET Guest sign_up::ask_code, POST Guest sign_up::confirm }
    "/confirm/resend"           { GET Guest sign_up::back, POST Guest sign_up::resend }
    "/login"                    { GET Guest sign_in::show, POST Guest sign_in::enter }
    "/login/challenge"          { GET Guest sign_in::challenge::show, POST Guest sign_in::challenge::answer }
    "/callback"                 { GET Guest sign_in::hosted::arrive }
    "/logout"                   { GET Guest sign_in::leaving::show, POST Guest sign_in::leaving::leave }
    "/forgot"                   { GET Guest reset::ask_name, POST Guest reset::send }
    "/reset"                    { GET Guest reset::ask_code, POST Guest reset::set }
    "/account"                  { GET Visitor account::show }
    "/account/nickname"         { GET Visitor account::back, POST Visitor account::rename }
    "/account/password"         { GET Visitor account::back, POST Visitor account::change_password }
    "/account/sessions"         { GET Visitor account::back, POST Visitor account::end_session }
    "/account/sign-out-everywhere" { GET Visitor account::back, POST Visitor account::sign_out_everywhere }
    "/account/data"             { GET Visitor account::data::download }
    "/account/delete"           { GET Visitor account::delete::show, POST Visitor account::delete::delete }
    "/labels"                   { GET Visitor labels::list }
    "/photos"                   { GET Visitor gallery::list, POST Visitor upload::receive }
    "/photos/changes"           { GET Visitor changes::follow }
    "/photos/{id}"              { GET Visitor photo::show }
    "/photos/{id}/description"  { POST Visitor photo::describe }
    "/photos/{id}/delete"       { POST Visitor photo::delete }
    "/photos/{id}/retry"        { POST Visitor photo::retry }
    "/photos/{id}/{rendition}"  { GET Visitor photo::rendition }
    "/unfinished"               { GET Visitor unfinished::list }
    "/unfinished/retry"         { GET Visitor unfinished::back, POST Visitor unfinished::retry_all }
}

/// Makes a panic of a page, or of what it asks of its request, a failure of that one request.
pub async fn caught(
    request: ServiceRequest,
    next: middleware::Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let http = request.request().clone();
    let answering = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    match answering.await {
        Ok(answer) => Ok(answer?.map_into_boxed_body()),
        Err(_) => Ok(ServiceResponse::from_err(Error::Internal(anyhow::anyhow!("a page panicked")), http)),
    }
}

/// What the pages need; one for all threads of the server.
pub struct Site {
    /// The archives that are being made.
    pub archives: account::data::Archives,
    /// The pages that are open and told of changes.
    pub changes: changes::Changes,
    /// What the app does.
    pub album: Arc<Album>,
    /// What the app does about people.
    pub accounts: Arc<Accounts>,
    /// How cookies are written.
    pub cookies: Cookies,
    /// Whether an address is a proxy's whose `X-Forwarded-For` is to be believed.
    pub trusts: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Whether this instance can do its work.
    pub readiness: Arc<Readiness>,
    /// What uploads are held to.
    pub uploads: upload::Bounds,
    /// Cancelled when this instance is about to stop.
    pub draining: CancellationToken,
}

/// What the frame around every page shows.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What stands in the search box.
    pub q: String,
    /// How many photos the visitor has; `None` where that is not known (error pages).
    pub photos: Option<u64>,
    /// What every form carries in its field `token`.
    pub token: String,
    /// Whose page it is.
    pub seen_by: SeenBy,
}

/// Who looks at a page, as far as its frame shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SeenBy {
    /// Somebody who is not known: there is nothing to search or to add to.
    #[default]
    Nobody,
    /// Anybody, in a gallery without accounts.
    Anybody,
    /// Somebody signed in.
    Person {
        /// What they are called: nickname, else e-mail address.
        name: String,
        /// Their e-mail address, where it is not the name.
        email: Option<String>,
    },
}

impl Frame {
    /// The frame for a visitor.
    async fn of(site: &Site, visitor: &Visitor) -> Result<Self, Error> {
        Ok(Self::counting(visitor, site.album.totals(&visitor.owner).await?.photos))
    }

    /// The frame for a visitor who has so many photos.
    fn counting(visitor: &Visitor, photos: u64) -> Self {
        Self { photos: Some(photos), ..Self::plain(visitor) }
    }

    /// The frame for a visitor without what the catalog would have to be asked for.
    fn plain(visitor: &Visitor) -> Self {
        let seen_by = visitor.session.as_ref().map_or(SeenBy::Anybody, |session| {
            let Person { nickname, email, .. } = &session.person;
            let name = nickname.as_ref().or(email.as_ref()).cloned().unwrap_or_else(|| "You".to_owned());
            SeenBy::Person { email: email.clone().filter(|email| *email != name), name }
        });
        Self { q: String::new(), photos: None, token: visitor.token.clone(), seen_by }
    }

    /// Whether the visitor has a gallery to search and to add to.
    fn is_known(&self) -> bool {
        self.seen_by != SeenBy::Nobody
    }
}

impl SeenBy {
    /// An e-mail address in pieces between which a line may end.
    fn pieces(email: &str) -> impl Iterator<Item = &str> {
        email.split_inclusive(['@', '.'])
    }

    /// The letter that stands for a person.
    fn initial(name: &str) -> String {
        let letter = name.graphemes(true).find(|g| g.chars().any(char::is_alphanumeric)).unwrap_or("?");
        letter.to_uppercase()
    }
}

/// The parameter `name` of the path; the routes see to it that it is there.
fn parameter<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// Whether the request prefers JSON to HTML.
fn prefers_json(request: &HttpRequest) -> bool {
    let Ok(accept) = Accept::parse(request) else { return false };
    accept
        .ranked()
        .iter()
        .find_map(|range| {
            match (range.type_().as_str(), range.subtype().as_str(), range.suffix().map(|s| s.as_str())) {
                ("application", "json", _) | ("application", "problem", Some("json")) | ("text", "event-stream", _) => {
                    Some(true)
                }
                ("text", "html" | "*", _) | ("application", "xhtml", _) | ("*", "*", _) => Some(false),
                _ => None,
            }
        })
        .unwrap_or(false)
}

/// A page that must not be kept by caches: it is private and holds links that expire.
fn page(template: &impl Template) -> Result<HttpResponse, Error> {
    page_with_status(template, 200)
}

fn page_with_status(template: &impl Template, status: u16) -> Result<HttpResponse, Error> {
    let html =
        template.render().map_err(|cause| Error::Internal(anyhow::Error::new(cause).context("rendering a page")))?;
    Ok(HttpResponse::build(code(status))
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept, Cookie"))
        .body(html))
}

fn json_with_status(value: &impl serde::Serialize, status: u16) -> HttpResponse {
    HttpResponse::build(code(status))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept, Cookie"))
        .json(value)
}

fn code(status: u16) -> actix_web::http::StatusCode {
    actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer that sends a browser on to `url`.
fn see_other(url: &str) -> Result<HttpResponse, Error> {
    let location = HeaderValue::from_str(url)
        .map_err(|cause| Error::Internal(anyhow::Error::new(cause).context("redirecting")))?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// What is malformed, as a sentence.
fn sentence(malformed: Malformed) -> String {
    let mut chars = malformed.0.chars();
    let first = chars.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(chars).chain(['.']).collect()
}

/// `text` as one value in a query string.
fn query_value(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
