//! All integration tests, one binary.

mod labeler;
