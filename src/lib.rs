//! photo-gallery: a private photo gallery, on one machine or on many behind a load balancer.
//!
//! The map of the house, and who may import whom (imports point one way, downwards):
//!
//! | module | what it is |
//! |---|---|
//! | `main.rs` | the command line: settings, telemetry, [`app`], run |
//! | [`cli`], [`telemetry`] | what the command line takes; logs |
//! | [`app`] | the one place where variants are chosen: settings become parts |
//! | [`settings`] | everything that can be configured; sole reader of the environment |
//! | [`server`] | the web server: middleware around the [`pages`] |
//! | [`worker`] | the loop that renders adopted photos and labels all photos |
//! | [`pages`] | the table of all URLs, and the visitor |
//! | [`album`] | what the app does; no HTTP, no SQL, no AWS |
//! | [`catalog`] | all SQL, one text for MySQL and SQLite |
//! | [`store`], [`labeler`], [`events`] | the seams: traits with their variants beside them |
//! | [`darkroom`] | the bounded pool of threads on which pictures are developed |
//! | [`imaging`] | upload bytes to checked, upright, bounded renditions; pure |
//! | [`photo`] | the words of the domain; pure |
//! | [`error`] | what can go wrong for a visitor, and its status |

pub mod album;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod darkroom;
pub mod error;
pub mod events;
pub mod imaging;
pub mod import;
pub mod labeler;
pub mod pages;
pub mod photo;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod worker;
