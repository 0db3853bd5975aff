//! All integration tests, in one binary: a file per part. What needs a server of another make stands in modules named `with_servers`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its world where it needs it"
)]

mod aws;
mod imaging;
mod labeler;
mod settings;
mod store;
mod telemetry;
