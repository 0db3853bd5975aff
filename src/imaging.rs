//! From upload bytes to checked, upright, bounded renditions. Pure: bytes in, bytes out; no files, no clock, no threads.

use crate::photo::{Developed, MediaType};

/// What is refused before any pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, in pixels.
    pub max_pixels: u64,
    /// Width or height, in pixels.
    pub max_side: u32,
}

/// A developed original: what it tells, and its two JPEGs, upright, in sRGB, without metadata.
#[derive(Debug)]
pub struct Renditions {
    /// Size, placeholder, camera data.
    pub developed: Developed,
    /// At most 2048 px a side.
    pub display: Vec<u8>,
    /// At most 480 px a side.
    pub thumb: Vec<u8>,
}

/// Why a file is not developed: a sentence for the person who uploaded it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeveloped {
    /// No bytes.
    #[error("The file is empty.")]
    Empty,
}

/// The type of a file by its first bytes; names and declared types are not believed.
pub fn media_type(head: &[u8]) -> Result<MediaType, Undeveloped> {
    let _ = head;
    Err(Undeveloped::Empty)
}
