//! Where a value came from, so that a refusal and `photo-gallery settings` can name the place to change.

use std::{fmt, path::PathBuf};

/// The place that gave a setting its value, weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Default,
    /// The program, because this variable, of the course or of Lambda, is in force.
    Implied(&'static str),
    /// A settings file.
    File(PathBuf),
    /// A variable under the name that the course's app or AWS gave it.
    Course(&'static str),
    /// A `GALLERY__` variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Implied(variable) => write!(f, "default with {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Course(variable) if variable.starts_with("AWS_") => write!(f, "environment {variable}"),
            Self::Course(variable) => write!(f, "course's {variable}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
        }
    }
}
