//! Whether this instance can do its work now: what `/readyz` tells operators.
//!
//! Asks only what changes nothing, each part for a bounded time, and once a second however often it is asked itself. What it tells is
//! words; what is wrong in detail goes to the log, once each time it changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, SchemaState},
    events::Events,
    photo::ObjectPath,
    store::{self, Store},
    supervisor::{self, Standing, Supervisor},
};

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long what was found is told again.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// An object that nobody stores.
const ABSENT: &str = "renditions/check-absent";

/// The task that finishes photos, as the [`Supervisor`] knows it.
pub const WORKER: &str = "worker";
/// The task that sweeps up after people.
pub const SWEEP: &str = "sweep";

/// Knows whether this instance can do its work.
pub struct Readiness {
    catalog: Catalog,
    store: Arc<dyn Store>,
    events: Arc<dyn Events>,
    supervisor: Supervisor,
    draining: CancellationToken,
    /// Cancelled once the database is known to be there in this version.
    opened: CancellationToken,
    stores: AtomicBool,
    last: Mutex<Option<(Instant, Found)>>,
}

/// What is told: words only, nothing that an outsider could use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ready`, or `not ready` when this instance should be asked nothing.
    pub status: &'static str,
    /// `up`, `read-only` or `down`.
    pub database: &'static str,
    /// `current`, `empty`, `older`, `newer` or `unknown`.
    pub schema: &'static str,
    /// `up`, `refusing` (it answers, and denies) or `down`. Pages go on while it is down.
    pub store: &'static str,
    /// `up`, `down`, `none` where uploads are announced and this process has no queue, or `in process` without topic and queue.
    pub queue: &'static str,
    /// Whether this instance is about to stop.
    pub draining: bool,
    /// What finishes photos: `running`, `restarting` or `off`.
    pub worker: &'static str,
    /// What sweeps up after people: `running`, `restarting` or `off`.
    pub sweep: &'static str,
    /// How often something has panicked since the start.
    pub panics: u64,
}

/// What the parts answered.
#[derive(Clone)]
struct Found {
    database: Answer,
    schema: &'static str,
    store: Answer,
    queue: Answer,
}

/// A word, and for the log what is wrong.
#[derive(Clone)]
struct Answer {
    word: &'static str,
    wrong: Option<String>,
}

impl Answer {
    fn good(word: &'static str) -> Self {
        Self { word, wrong: None }
    }

    fn bad(word: &'static str, cause: &anyhow::Error) -> Self {
        Self { word, wrong: Some(format!("{cause:#}")) }
    }
}

impl Readiness {
    /// Asks these parts, once [`open`](Self::open) and [`stores`](Self::stores) have said that they were seen to work.
    pub fn new(
        catalog: Catalog,
        store: Arc<dyn Store>,
        events: Arc<dyn Events>,
        supervisor: Supervisor,
        draining: CancellationToken,
    ) -> Self {
        let (opened, stores, last) = (CancellationToken::new(), AtomicBool::new(false), Mutex::new(None));
        Self { catalog, store, events, supervisor, draining, opened, stores, last }
    }

    /// Says that the database was seen in this version: pages can be made from here on.
    pub fn open(&self) {
        self.opened.cancel();
    }

    /// Whether the database was ever seen in this version.
    pub fn is_open(&self) -> bool {
        self.opened.is_cancelled()
    }

    /// Waits until the database was seen in this version.
    pub async fn opened(&self) {
        self.opened.cancelled().await;
    }

    /// Says that photos were seen to be kept.
    pub fn stores(&self) {
        self.stores.store(true, Ordering::Relaxed);
    }

    /// Whether photos were ever seen to be kept.
    pub fn has_stored(&self) -> bool {
        self.stores.load(Ordering::Relaxed)
    }

    /// How things stand, at most a second ago.
    pub async fn report(&self) -> Report {
        let found = {
            let mut last = self.last.lock().await;
            match &*last {
                Some((at, found)) if at.elapsed() < SHARED_FOR => found.clone(),
                before => {
                    let found = self.ask().await;
                    tell(before.as_ref().map(|(_, found)| found), &found);
                    *last = Some((Instant::now(), found.clone()));
                    found
                }
            }
        };
        self.judged(&found)
    }

    fn judged(&self, found: &Found) -> Report {
        let task = |name| match self.supervisor.standing(name) {
            Some(Standing::Running) => "running",
            Some(Standing::Restarting) => "restarting",
            None => "off",
        };
        let draining = self.draining.is_cancelled();
        // A later version may have migrated already: migrations leave what this one reads and writes.
        let ready = self.is_open()
            && self.has_stored()
            && !draining
            && found.database.word == "up"
            && matches!(found.schema, "current" | "newer")
            && self.supervisor.all_run();
        Report {
            status: if ready { "ready" } else { "not ready" },
            database: found.database.word,
            schema: found.schema,
            store: found.store.word,
            queue: found.queue.word,
            draining,
            worker: task(WORKER),
            sweep: task(SWEEP),
            panics: supervisor::panics(),
        }
    }

    async fn ask(&self) -> Found {
        let (catalog, store, events) = (self.catalog.clone(), Arc::clone(&self.store), Arc::clone(&self.events));
        let rows = async move { anyhow::Ok((catalog.schema_state().await?, catalog.takes_writes().await?)) };
        let objects = async move {
            let absent: ObjectPath = ABSENT.parse()?;
            store.get(&absent).await.map(drop)
        };
        let without = if events.is_shared() { "none" } else { "in process" };
        let messages = async move { events.depth().await };
        let (rows, objects, messages) = tokio::join!(answered(rows), answered(objects), answered(messages));
        let (database, schema) = match rows {
            Ok((state, writable)) => {
                let schema = match state {
                    SchemaState::Current => "current",
                    SchemaState::Empty => "empty",
                    SchemaState::Older(_) => "older",
                    SchemaState::Newer(_) => "newer",
                };
                let read_only = || Answer::bad("read-only", &anyhow!("the database takes no writes now"));
                (if writable { Answer::good("up") } else { read_only() }, schema)
            }
            Err(cause) => (Answer::bad("down", &cause), "unknown"),
        };
        let store = match objects {
            Ok(()) => Answer::good("up"),
            Err(cause) if store::is_refusal(&cause) => Answer::bad("refusing", &cause),
            Err(cause) => Answer::bad("down", &cause),
        };
        let queue = match messages {
            Ok(None) => Answer::good(without),
            Ok(Some(_)) => Answer::good("up"),
            Err(cause) => Answer::bad("down", &cause),
        };
        Found { database, schema, store, queue }
    }
}

/// What a part answers in time. One that does not is left to its own limits: a question cut short can spoil the connection it is asked on.
async fn answered<T: Send + 'static>(
    asking: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    let answer = timeout(PATIENCE, tokio::spawn(asking)).await;
    answer
        .map_err(|_| anyhow!("there was no answer within {} s", PATIENCE.as_secs()))?
        .context("the question broke off")?
}

/// Writes what has changed to the log.
fn tell(before: Option<&Found>, now: &Found) {
    let parts = |found: &Found| {
        [("database", found.database.clone()), ("store", found.store.clone()), ("queue", found.queue.clone())]
    };
    let before = before.map(parts);
    for (n, (part, answer)) in parts(now).into_iter().enumerate() {
        let last = before.as_ref().map(|before| before[n].1.word);
        if last == Some(answer.word) {
            continue;
        }
        match answer.wrong {
            Some(error) => tracing::warn!(part, state = answer.word, error, "a part the gallery needs does not work"),
            None if last.is_some() => tracing::info!(part, state = answer.word, "a part the gallery needs works again"),
            None => {}
        }
    }
}
