//! `POST /photos`: uploads, as a form or by script.

use askama::Template;

use super::Frame;

/// What became of one file of a form.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The file's name.
    pub file: String,
    /// URL of the photo, when there is one.
    pub photo: Option<String>,
    /// Whether the photo was there before.
    pub already_here: bool,
    /// Why the file was refused, if it was.
    pub problem: Option<String>,
}

/// The form again, with what became of each file.
#[derive(Clone, Debug, Template)]
#[template(path = "upload.html")]
pub struct UploadPage {
    /// The frame.
    pub frame: Frame,
    /// What became of each file, in the order of the form; empty when nothing was sent yet.
    pub outcomes: Vec<Outcome>,
    /// The description sent with them.
    pub description: String,
    /// The largest upload in bytes.
    pub max_bytes: u64,
}
