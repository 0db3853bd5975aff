//! The pages: the table of all URLs, and what every page shares.

pub mod assets;
pub mod gallery;
pub mod labels;
pub mod photo;
pub mod problem;
pub mod upload;

/// What the frame around every page shows.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What stands in the search box.
    pub q: String,
    /// How many photos the visitor has; `None` where that is not known (error pages).
    pub photos: Option<u64>,
}
