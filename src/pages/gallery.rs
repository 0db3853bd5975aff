//! `/photos`: the timeline by day, filtered by label and search.

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Frame;

/// A photo in the timeline.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its id.
    pub id: String,
    /// A signed link to the thumbnail (480 px the longest side, JPEG).
    pub thumb: String,
    /// A signed link to the display rendition (2048 px), for wide tiles on dense screens.
    pub display: String,
    /// Upright width in pixels of the original; 0 while unknown (adopted photos before they are developed).
    pub width: u32,
    /// Upright height in pixels; 0 while unknown.
    pub height: u32,
    /// The thumbhash in base64; empty while unknown.
    pub thumbhash: String,
    /// The average colour from the thumbhash, `#rrggbb`, for before scripts run.
    pub colour: String,
    /// What a screen reader says: label names or description, else the file name.
    pub alt: String,
    /// `stored`, `labelling`, `labelled` or `failed`.
    pub state: &'static str,
}

/// The photos of one day.
#[derive(Clone, Debug)]
pub struct Day {
    /// `Friday, 20 November 2026`.
    pub heading: String,
    /// `2026-11-20`.
    pub date: String,
    /// Its photos, newest first.
    pub tiles: Vec<Tile>,
}

/// The timeline page.
#[derive(Clone, Debug, Template)]
#[template(path = "gallery.html")]
pub struct Gallery {
    /// The frame.
    pub frame: Frame,
    /// The label filtered by, if any.
    pub label: Option<String>,
    /// The days, newest first.
    pub days: Vec<Day>,
    /// URL of the next (older) page.
    pub next: Option<String>,
    /// Whether this is not the first page.
    pub further: bool,
    /// The largest upload in bytes, for the script that checks before sending.
    pub max_bytes: u64,
}

/// The shape of a picture as the style sheet knows it: width / height in twenty-fourths, cropped where a row cannot show it.
/// A square while the size is unknown.
pub(super) fn shape(width: u32, height: u32) -> u32 {
    if width == 0 || height == 0 {
        return 24;
    }
    let (width, height) = (u64::from(width), u64::from(height));
    let twenty_fourths = ((width * 24 + height / 2) / height).clamp(10, 60);
    u32::try_from(twenty_fourths).unwrap_or(60)
}

/// A number of bytes as people read it: `50 MB`.
pub(super) fn size(bytes: impl std::borrow::Borrow<u64>) -> String {
    match *bytes.borrow() {
        bytes @ 0..1_000 => format!("{bytes} bytes"),
        bytes @ 1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        bytes => format!("{} MB", bytes / 1_000_000),
    }
}

/// A whole number as people read it: `12,345`.
pub(super) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Tile {
    /// The number of its shape class, `r36` for 3:2.
    fn shape(&self) -> u32 {
        shape(self.width, self.height)
    }

    /// Whether the thumbnail may be too coarse for its tile on a dense screen.
    fn is_wide(&self) -> bool {
        self.shape() > 48
    }
}

impl Gallery {
    /// Whether this is the beginning of the unfiltered timeline.
    fn whole(&self) -> bool {
        self.label.is_none() && self.frame.q.is_empty() && !self.further
    }

    /// URL of the same search in all labels.
    fn without_label(&self) -> String {
        photos_url(None, &self.frame.q)
    }

    /// URL of the same label without the search.
    fn without_q(&self) -> String {
        photos_url(self.label.as_deref(), "")
    }

    /// URL of the first page of the same search.
    fn newest(&self) -> String {
        photos_url(self.label.as_deref(), &self.frame.q)
    }
}

/// URL of the newest photos with a label and a search, each where given.
fn photos_url(label: Option<&str>, q: &str) -> String {
    let fields = [("label", label.unwrap_or_default()), ("q", q)];
    let query: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    if query.is_empty() { "/photos".to_owned() } else { format!("/photos?{}", query.join("&")) }
}
