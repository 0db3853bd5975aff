//! What a visitor sees when something is refused or fails: a page, or problem details (RFC 9457).

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
};
use askama::Template;
use serde::Serialize;

use super::{Frame, code, page_with_status, prefers_json};
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
pub async fn not_found() -> Result<HttpResponse, Error> {
    Err(Error::NotFound)
}

/// Answers a known address asked in the wrong way.
pub async fn method_not_allowed() -> Result<HttpResponse, Error> {
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
    let request_id = request_id(http);
    let error = answer.response().error().and_then(|error| error.as_error::<Error>());
    let mut problem = error.map_or_else(|| Problem::new(status.as_u16(), sentence(status)), Problem::from);
    if status.is_server_error() {
        let cause = error.and_then(std::error::Error::source).map_or_else(String::new, causes);
        tracing::error!(status = status.as_u16(), path = http.path(), request_id, cause, "a request failed");
        problem.request_id = request_id;
    }
    let dressed = if prefers_json(http) {
        HttpResponse::build(status)
            .content_type("application/problem+json")
            .body(serde_json::to_string(&problem).unwrap_or_default())
    } else {
        let page = ProblemPage {
            frame: Frame::default(),
            status: problem.status,
            title: problem.title.to_owned(),
            detail: problem.detail,
            request_id: problem.request_id,
        };
        page_with_status(&page, problem.status).unwrap_or_else(|_| HttpResponse::build(status).finish())
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
