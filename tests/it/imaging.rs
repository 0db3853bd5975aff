//! Developing: every picture here is made in code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod darkroom;
mod exif;
mod formats;
mod hostile;
pub(crate) mod specimens;
