//! `/labels`: everything that was found in the visitor's photos, with counts.

use askama::Template;

use super::Frame;

/// A label and how many photos have it.
#[derive(Clone, Debug)]
pub struct Counted {
    /// `Dog`.
    pub name: String,
    /// How many of the visitor's photos have it.
    pub photos: u64,
    /// URL of those photos.
    pub url: String,
}

/// The page of labels.
#[derive(Clone, Debug, Template)]
#[template(path = "labels.html")]
pub struct Labels {
    /// The frame.
    pub frame: Frame,
    /// Most frequent first.
    pub labels: Vec<Counted>,
}
