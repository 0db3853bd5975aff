//! The one binary of integration tests: a file per part.

mod imaging;
