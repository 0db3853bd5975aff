//! All integration tests, in one binary: a file per part. What needs a server of another make stands in modules named `with_servers`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its world where it needs it"
)]

mod access;
mod aws;
mod browser;
mod catalog;
mod corpus;
mod course;
mod gallery;
mod imaging;
mod import;
mod labeler;
mod look;
mod mariadb;
mod operation;
mod photo;
mod pictures;
mod process;
mod readme;
mod settings;
mod site;
mod startup;
mod store;
mod telemetry;
mod upload;
mod worker;
