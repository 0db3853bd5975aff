//! `/photos`: the timeline by day, filtered by label and search.

use askama::Template;

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
