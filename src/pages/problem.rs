//! What a visitor sees when something is refused or fails: a page, or problem details (RFC 9457).

use askama::Template;

use super::Frame;

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
