//! What the doctor looks at, in the parts that the settings in force name. Asks by the same clients as the gallery, only more briefly.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};

use self::credentials::Standing;
use crate::{
    doctor::{Chart, Finding, Seen},
    settings::{Loaded, Settings},
};

mod bucket;
mod credentials;
mod database;
mod door;
mod labels;
mod machine;
mod messages;
mod people;
mod web;

/// The most seconds for connecting, for one try and for a call with all its tries: a look is over in 10.
const CONNECT_SECONDS: u64 = 2;
const ATTEMPT_SECONDS: u64 = 4;
const OPERATION_SECONDS: u64 = 9;
/// How long the removal of an object may take that was perhaps written.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Which process the looks are for: each needs rights that the other does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// `serve`, with the worker beside it where the settings want one.
    Server,
    /// `work`.
    Worker,
}

impl Process {
    /// Whether it finishes photos.
    fn finishes(self, settings: &Settings) -> bool {
        self == Self::Worker || settings.worker.beside_server
    }
}

/// Looks at everything that `process` needs, and tells each finding in a fixed order as soon as those before it are told.
pub async fn examine(loaded: Loaded, process: Process, tell: &mut impl FnMut(Finding)) {
    let Loaded { settings, notices, .. } = loaded;
    let settings = Arc::new(hurried(settings));
    let mut chart = Chart::default();
    chart.note("version", Ok(Seen::ok(format!("photo-gallery {}", env!("CARGO_PKG_VERSION")))));
    for notice in notices {
        chart.note("settings", Ok(Seen::warn(notice)));
    }
    machine::examine(&settings, &mut chart);
    if process == Process::Server {
        door::examine(&settings, &mut chart).await;
    }
    chart.findings().into_iter().for_each(&mut *tell);

    let mut chart = Chart::default();
    let standing = Arc::new(credentials::examine(&settings, &mut chart).await);
    chart.findings().into_iter().for_each(&mut *tell);

    // Side by side, since each may have to wait for a server that does not answer.
    let parts: [JoinHandle<Chart>; 5] = [
        beside(&settings, &standing, move |settings, standing, chart| {
            Box::pin(bucket::examine(settings, standing, process, chart))
        }),
        beside(&settings, &standing, |settings, _, chart| Box::pin(database::examine(settings, chart))),
        beside(&settings, &standing, move |settings, standing, chart| {
            Box::pin(messages::examine(settings, standing, process, chart))
        }),
        beside(&settings, &standing, move |settings, standing, chart| {
            Box::pin(labels::examine(settings, standing, process, chart))
        }),
        beside(&settings, &standing, |settings, _, chart| Box::pin(people::examine(settings, chart))),
    ];
    for part in parts {
        let findings = part.await.map_or_else(|broken| of_bug(&broken), Chart::findings);
        findings.into_iter().for_each(&mut *tell);
    }
}

/// Looks at one part in a task of its own.
fn beside(
    settings: &Arc<Settings>,
    standing: &Arc<Standing>,
    examine: impl for<'a> FnOnce(&'a Settings, &'a Standing, &'a mut Chart) -> BoxFuture<'a, ()> + Send + 'static,
) -> JoinHandle<Chart> {
    let (settings, standing) = (Arc::clone(settings), Arc::clone(standing));
    tokio::spawn(async move {
        let mut chart = Chart::default();
        examine(&settings, &standing, &mut chart).await;
        chart
    })
}

/// What is said when a look panicked.
fn of_bug(broken: &JoinError) -> Vec<Finding> {
    let mut chart = Chart::default();
    chart.note("doctor", Err(anyhow::anyhow!("a look broke off, which is a mistake of this program: {broken}")));
    chart.findings()
}

/// The settings with which AWS is asked briefly.
fn hurried(settings: Settings) -> Settings {
    let mut settings = settings;
    let aws = &mut settings.aws;
    aws.connect_timeout_seconds = aws.connect_timeout_seconds.min(CONNECT_SECONDS);
    aws.attempt_timeout_seconds = aws.attempt_timeout_seconds.min(ATTEMPT_SECONDS);
    aws.operation_timeout_seconds = aws.operation_timeout_seconds.min(OPERATION_SECONDS);
    settings
}
