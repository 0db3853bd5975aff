//! Everything that is tested through the outside of the crate, in one binary.

mod look;
