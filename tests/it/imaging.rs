//! Developing: every picture here is made in code.

mod darkroom;
mod exif;
mod formats;
mod hostile;
mod specimens;
