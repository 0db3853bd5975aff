//! All integration tests, in one binary: a file per part. What needs a server of another make stands in modules named `with_servers`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads its world where it needs it"
)]

mod access;
mod account_command;
mod account_pages;
mod accounts;
mod aws;
mod browser;
mod catalog;
mod cognito;
mod cookies;
mod corpus;
mod course;
mod data;
mod forgery;
mod gallery;
mod identity;
mod imaging;
mod import;
mod instances;
mod labeler;
mod look;
mod mail;
mod mariadb;
mod operation;
mod photo;
mod pictures;
mod process;
mod readme;
mod secrets;
mod settings;
mod site;
mod startup;
mod store;
mod telemetry;
mod upload;
mod worker;
