//! `/photos/{id}`: one photo, what is in it, and what its owner can do with it.

use askama::Template;

use super::Frame;

/// A label with its bar.
#[derive(Clone, Debug)]
pub struct LabelBar {
    /// `Dog`.
    pub name: String,
    /// Whole percent, 0 to 100.
    pub percent: u8,
    /// How many boxes; 0 when the labeler gave none.
    pub count: usize,
    /// More general names joined with `, `; may be empty.
    pub parents: String,
    /// Where: left, top, width, height in percent of the picture.
    pub boxes: Vec<[f64; 4]>,
    /// URL of all photos with this label.
    pub url: String,
}

/// One line of the details: `Camera`, `Canon EOS 5D`.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What.
    pub name: &'static str,
    /// The value with its unit.
    pub value: String,
}

/// The photo page.
#[derive(Clone, Debug, Template)]
#[template(path = "photo.html")]
pub struct PhotoPage {
    /// The frame.
    pub frame: Frame,
    /// The photo's id.
    pub id: String,
    /// Heading: the file's name.
    pub file_name: String,
    /// Signed link to the display rendition; empty while there is none.
    pub display: String,
    /// Upright width in pixels of the original; 0 while unknown.
    pub width: u32,
    /// Upright height in pixels; 0 while unknown.
    pub height: u32,
    /// The thumbhash in base64; empty while unknown.
    pub thumbhash: String,
    /// The average colour, `#rrggbb`.
    pub colour: String,
    /// What a screen reader says of the picture.
    pub alt: String,
    /// `stored`, `labelling`, `labelled` or `failed`.
    pub state: &'static str,
    /// Why it failed, if it did.
    pub problem: Option<String>,
    /// `Friday, 20 November 2026, 14:03`.
    pub date: String,
    /// Whether `date` is when it was taken; otherwise when it was uploaded.
    pub taken: bool,
    /// What the owner wrote; may be empty.
    pub description: String,
    /// A refusal of the description just sent, if any.
    pub description_problem: Option<String>,
    /// The labels, surest first.
    pub labels: Vec<LabelBar>,
    /// Camera, lens, exposure, size, ...
    pub facts: Vec<Fact>,
    /// URL of the next newer photo's page.
    pub newer: Option<String>,
    /// URL of the next older photo's page.
    pub older: Option<String>,
}

impl PhotoPage {
    /// The number of its shape class, as in the timeline.
    fn shape(&self) -> u32 {
        super::gallery::shape(self.width, self.height)
    }
}
