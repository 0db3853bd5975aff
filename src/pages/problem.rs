//! What a visitor sees when something is refused or fails: a page, or problem details (RFC 9457).

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    middleware::Next,
};
use askama::Template;
use serde::Serialize;

use super::{Access, Frame, Guest, ROUTES, code, page_with_status, prefers_json, see_other};
use crate::error::{Error, Kind, causes};

/// The name of one request, in its answer's `X-Request-Id` and in the log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The id of a request, for the log.
pub(super) fn request_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<RequestId>().map(|id| id.0.clone())
}

/// The page of a refusal or a failure.
#[derive(Clone, Debug, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage {
    /// The frame.
    pub frame: Frame,
    /// The HTTP status.
    pub status: u16,
    /// `Not found`.
    pub title: String,
    /// A sentence: what happened and what to do.
    pub detail: String,
    /// The request's id, for asking the operator; shown for failures (5xx) only.
    pub request_id: Option<String>,
    /// Where to go on, and what the link says.
    pub on: (String, &'static str),
}

impl ProblemPage {
    /// The page that tells a person of a problem, and what they can do.
    fn new(request: &HttpRequest, problem: Problem) -> Self {
        let frame = request.extensions().get().map_or_else(Frame::default, Frame::plain);
        let Problem { status, detail, request_id, .. } = problem;
        let page = |title: &str, detail: String, on: (String, &'static str)| Self {
            title: title.to_owned(),
            detail,
            on,
            status,
            request_id,
            frame: frame.clone(),
        };
        let on = match (frame.is_known(), status) {
            (true, _) => ("/photos".to_owned(), "Show all photos"),
            (false, 404 | 405) if !is_open(request) => ("/login".to_owned(), "Sign in"),
            _ => ("/".to_owned(), "Go to the gallery"),
        };
        match status {
            401 => {
                let form = super::Next::new(page_of_form(request.path()));
                let detail = "Nothing was changed. Sign in and do it again.".to_owned();
                page("You have been signed out", detail, (form.after("/login"), "Sign in"))
            }
            404 | 405 => page("Nothing here", detail, on),
            _ => page(problem.title, detail, on),
        }
    }
}

/// The page on which a form stands that is sent to `path`.
fn page_of_form(path: &str) -> &str {
    path.rsplit_once('/').map(|(page, _)| page).filter(|page| !page.is_empty()).unwrap_or(path)
}

/// Whether somebody who is signed in is not known as such at this address.
fn is_open(request: &HttpRequest) -> bool {
    let pattern = request.match_pattern();
    let mut routes = ROUTES.iter().filter(|route| Some(route.path) == pattern.as_deref());
    routes.any(|route| matches!(route.access, Access::Anyone | Access::Link))
}

/// A refusal or a failure as problem details.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Always `about:blank`: the status says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Problem {
    /// The problem of a status, with a sentence.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { kind: "about:blank", title: title(status), status, detail: detail.into(), request_id: None }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer to a program.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(code(self.status))
            .content_type("application/problem+json")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::VARY, "Accept, Cookie"))
            .body(serde_json::to_string(self).unwrap_or_default())
    }
}

/// Writes a failure to the log.
pub(super) fn log_failure(request: &HttpRequest, error: &Error) {
    let cause = std::error::Error::source(error).map_or_else(String::new, causes);
    let request_id = request_id(request);
    tracing::error!(status = error.status(), path = request.path(), request_id, cause, "a request failed");
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

fn title(status: u16) -> &'static str {
    code(status).canonical_reason().unwrap_or("Problem")
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        code(self.status())
    }

    /// Without a body: [`dress`] gives it one that suits the request.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(wait) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, wait.as_secs().max(1).to_string()));
        }
        if matches!(self, Self::Refused(refusal) if matches!(refusal.kind, Kind::Slow | Kind::TooLarge)) {
            // The rest of the body is not read: the connection cannot be used again.
            response.force_close();
        }
        response.finish()
    }
}

/// Answers an address that is not in the table.
pub async fn not_found(_: Result<Guest, Error>) -> Result<HttpResponse, Error> {
    Err(Error::NotFound)
}

/// Answers a known address asked in the wrong way.
pub async fn method_not_allowed(_: Result<Guest, Error>) -> Result<HttpResponse, Error> {
    Err(Error::refused(Kind::Method, "This address does not take requests of this kind."))
}

/// Gives every refusal and failure its body, and writes failures to the log.
pub async fn dress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refused = request.extensions_mut().remove::<Error>();
    let answer = match refused {
        Some(error) => request.error_response(error),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let status = answer.status();
    let bare = matches!(answer.response().body().size(), BodySize::None | BodySize::Sized(0))
        || answer.response().error().is_some();
    if !(status.is_client_error() || status.is_server_error()) || !bare {
        return Ok(answer);
    }
    let http = answer.request();
    if status == StatusCode::UNAUTHORIZED && matches!(*http.method(), Method::GET | Method::HEAD) && !prefers_json(http)
    {
        let asked = http.uri().path_and_query().map_or("/", |asked| asked.as_str());
        let sent = see_other(&super::Next::new(asked).after("/login"))?;
        return Ok(ServiceResponse::new(http.clone(), sent));
    }
    let request_id = request_id(http);
    let error = answer.response().error().and_then(|error| error.as_error::<Error>());
    let mut problem = error.map_or_else(|| Problem::new(status.as_u16(), sentence(status)), Problem::from);
    if status.is_server_error() {
        let cause = error.and_then(std::error::Error::source).map_or_else(String::new, causes);
        tracing::error!(status = status.as_u16(), path = http.path(), request_id, cause, "a request failed");
        problem.request_id = request_id;
    }
    let dressed = if prefers_json(http) {
        problem.answer()
    } else {
        let page = ProblemPage::new(http, problem);
        page_with_status(&page, page.status).unwrap_or_else(|_| HttpResponse::build(status).finish())
    };
    Ok(answer.map_body(|head, _| {
        for (name, value) in dressed.headers() {
            head.headers_mut().insert(name.clone(), value.clone());
        }
        head.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        dressed.into_body()
    }))
}

/// What a status means where nobody said more: refusals by the web server itself.
fn sentence(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "There is nothing at this address.",
        405 => "This address does not take requests of this kind.",
        408 => "The request came too slowly. Please try again.",
        413 => "The request is larger than this gallery takes.",
        416 => "The file has no such part.",
        400..500 => "The request cannot be understood.",
        _ => "Something went wrong inside the gallery. It was not your doing.",
    }
}
