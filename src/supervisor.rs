//! Keeps the program's background tasks alive: one that dies is told of, counted and begun again, while the server goes on.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a task that died is left alone the first time; twice as long each time after.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest time for which a task is left alone, and how long one must have lived for its death to count as the first.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Panics of this process.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from here on, beside what is done about them already. For a whole process, once.
pub fn count_panics() {
    static COUNTING: Once = Once::new();
    COUNTING.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(panic);
        }));
    });
}

/// How often something has panicked since panics are counted, whether it was caught or not.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// How a background task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is at work.
    Running,
    /// It died, and waits to be begun again.
    Restarting,
}

/// Keeps background tasks alive. Clones watch over the same tasks.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    tasks: Arc<Mutex<BTreeMap<&'static str, Standing>>>,
}

impl Supervisor {
    /// Does what `begin` makes until `stop`, and again whenever that panics or ends before; returns once it has ended after `stop`.
    pub async fn keep<Task>(&self, name: &'static str, stop: &CancellationToken, begin: impl Fn() -> Task)
    where
        Task: Future<Output = ()>,
    {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            self.note(name, Some(Standing::Running));
            let since = Instant::now();
            let ended = AssertUnwindSafe(async { begin().await }).catch_unwind().await;
            if stop.is_cancelled() && ended.is_ok() {
                break;
            }
            self.note(name, Some(Standing::Restarting));
            if since.elapsed() >= LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let how = if ended.is_ok() { "ended by itself" } else { "panicked" };
            tracing::error!(
                task = name,
                seconds = pause.as_secs(),
                "a background task {how}; it is begun again after a pause"
            );
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.note(name, None);
    }

    /// How the task `name` is doing; `None` when it is not kept here.
    pub fn standing(&self, name: &str) -> Option<Standing> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Whether every task that is kept here is at work.
    pub fn all_run(&self) -> bool {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.values().all(|standing| *standing == Standing::Running)
    }

    fn note(&self, name: &'static str, standing: Option<Standing>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match standing {
            Some(standing) => tasks.insert(name, standing),
            None => tasks.remove(name),
        };
    }
}
