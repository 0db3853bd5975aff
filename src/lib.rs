//! photo-gallery: a private photo gallery, on one machine or on many behind a load balancer.
//!
//! The map of the house. A module imports from the rows below its own, never from above; the catalog, the seams and `imaging` know
//! [`photo`] alone. One exception: [`identity::local`], the accounts of the gallery's own, keeps them in the [`catalog`], as the seam's
//! trait does not; and ends the sessions of who is given a new password by the operator, for whom there is no [`accounts`].
//!
//! | module | what it is |
//! |---|---|
//! | `main.rs`, [`cli`], [`commands`] | the command line: what it takes, and what each command does |
//! | [`telemetry`] | logs |
//! | [`app`] | the one place where variants are chosen: settings become parts |
//! | [`settings`] | everything that can be configured; sole reader of the environment |
//! | [`server`] | the web server: middleware around the [`pages`] |
//! | [`pages`] | the table of all URLs, and the visitor |
//! | [`readiness`] | whether this instance can do its work now |
//! | [`worker`] | the loop that renders adopted photos and labels all photos |
//! | [`import`] | the command that takes a folder of photos in |
//! | [`doctor`] | what the doctor says: looks that are bounded in time, and findings |
//! | [`audit`] | whether catalog, store and queue agree, and what can be set right |
//! | [`accounts`] | what the app does about people: sign in, sessions, limits; no HTTP, no SQL, no AWS |
//! | [`album`] | what the app does about photos; no HTTP, no SQL, no AWS |
//! | [`catalog`] | all SQL, one text for MySQL and SQLite |
//! | [`store`], [`labeler`], [`events`], [`identity`] | the seams: traits with their variants beside them |
//! | [`darkroom`] | the bounded pool of threads on which pictures are developed |
//! | [`imaging`] | upload bytes to checked, upright, bounded renditions; pure |
//! | [`archive`] | the format of the archive in which people take their photos along; pure |
//! | [`supervisor`] | keeps background tasks alive, and counts panics |
//! | [`error`] | what can go wrong for a visitor, and its status |
//! | [`photo`] | the words of the domain; pure |

pub mod accounts;
pub mod album;
pub mod app;
pub mod archive;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod darkroom;
pub mod doctor;
pub mod error;
pub mod events;
pub mod identity;
pub mod imaging;
pub mod import;
pub mod labeler;
pub mod pages;
pub mod photo;
pub mod readiness;
pub mod server;
pub mod settings;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod worker;
