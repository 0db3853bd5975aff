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
mod balancer;
mod browser;
mod catalog;
mod changes;
mod chaos;
mod check;
mod cognito;
mod cookies;
mod corpus;
mod course;
mod data;
mod doctor;
mod encryption;
mod events;
mod faults;
mod finish;
mod fleet;
mod forgery;
mod gallery;
mod identity;
mod imaging;
mod import;
mod instances;
mod kill;
mod labeler;
mod life;
mod look;
mod mail;
mod mariadb;
mod mariadb_server;
mod migrate;
mod operation;
mod overload;
mod photo;
mod pictures;
mod ping;
mod process;
mod readiness;
mod readme;
mod secrets;
mod settings;
mod site;
mod startup;
mod store;
mod telemetry;
mod unfinished;
mod upload;
mod versions;
mod worker;
