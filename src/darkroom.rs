//! The bounded pool of threads on which pictures are developed, so that no page waits behind a decoder.
//!
//! As many threads as cores, at lower priority than the rest of the process; an admission queue that says no early; a file is read
//! into memory only when its turn comes; pictures that need much memory are developed one at a time.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

use crate::imaging::{self, Limits, Renditions, Undeveloped};

/// How much nicer than the rest of the process the pool is, on the scale of `nice`.
const NICENESS: i32 = 10;

/// Why there are no renditions.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The queue is full; the same file may be brought again in a few seconds.
    #[error("The gallery is developing as many pictures as it can; please try again in a few seconds.")]
    Busy,
    /// The file is not developed, and will not be next time.
    #[error(transparent)]
    Undeveloped(#[from] Undeveloped),
    /// The file could not be read, or the pool broke: not the visitor's doing.
    #[error("developing the picture failed")]
    Failed(#[source] anyhow::Error),
}

/// What a thread does with an original's bytes.
type Work = dyn Fn(&[u8]) -> Result<Renditions, Undeveloped> + Send + Sync;

/// The pool. Dropping it lets running jobs finish and ends the threads.
pub struct Darkroom {
    desk: Arc<Desk>,
    queue: usize,
}

/// Where jobs wait and threads look for them.
struct Desk {
    jobs: Mutex<Jobs>,
    news: Condvar,
    work: Box<Work>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Jobs that were found to need much memory while another such one was running.
    heavy: VecDeque<Job>,
    heavy_running: bool,
    closed: bool,
}

struct Job {
    original: PathBuf,
    answer: oneshot::Sender<Result<Renditions, Unfinished>>,
}

impl Darkroom {
    /// A pool of `threads` threads before which at most `queue` jobs wait. Fails when the system gives no threads.
    pub fn new(threads: NonZeroUsize, queue: usize, limits: Limits) -> std::io::Result<Self> {
        Self::doing(threads, queue, move |original| imaging::develop(original, &limits))
    }

    /// The same pool around another way to develop.
    pub fn doing(
        threads: NonZeroUsize,
        queue: usize,
        work: impl Fn(&[u8]) -> Result<Renditions, Undeveloped> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let desk = Arc::new(Desk { jobs: Mutex::default(), news: Condvar::new(), work: Box::new(work) });
        let darkroom = Self { desk, queue };
        for number in 1..=threads.get() {
            let desk = Arc::clone(&darkroom.desk);
            thread::Builder::new().name(format!("darkroom-{number}")).spawn(move || desk.attend())?;
        }
        Ok(darkroom)
    }

    /// Develops the file at `original`, which must stay there until the answer comes. Answers [`Unfinished::Busy`] at once when the
    /// queue is full. Dropping the future takes a waiting job out of the queue; a running one ends for nobody.
    pub async fn develop(&self, original: PathBuf) -> Result<Renditions, Unfinished> {
        let (answer, developed) = oneshot::channel();
        {
            let mut jobs = self.desk.jobs();
            if jobs.len() >= self.queue {
                jobs.waiting.retain(|job| !job.answer.is_closed());
                jobs.heavy.retain(|job| !job.answer.is_closed());
            }
            if jobs.len() >= self.queue {
                return Err(Unfinished::Busy);
            }
            jobs.waiting.push_back(Job { original, answer });
        }
        self.desk.news.notify_one();
        developed.await.unwrap_or_else(|_| Err(Unfinished::Failed(anyhow!("the thread that developed it broke"))))
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.desk.jobs().len()
    }
}

impl Drop for Darkroom {
    fn drop(&mut self) {
        self.desk.jobs().closed = true;
        self.desk.news.notify_all();
    }
}

impl Jobs {
    fn len(&self) -> usize {
        self.waiting.len() + self.heavy.len()
    }
}

impl Desk {
    /// No thread leaves the jobs half-changed, so a poisoned lock is as good as a whole one.
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn attend(&self) {
        // Being nice is a courtesy: where the system forbids it, the work is done all the same.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
        while let Some((job, admitted)) = self.next() {
            if job.answer.is_closed() {
                self.finish(admitted);
                continue;
            }
            let original = match std::fs::read(&job.original) {
                Ok(original) => original,
                Err(error) => {
                    self.finish(admitted);
                    let error = Err(error).with_context(|| format!("reading {}", job.original.display()));
                    job.reply(error.map_err(Unfinished::Failed));
                    continue;
                }
            };
            let heavy = admitted || imaging::is_heavy(&original);
            if heavy && !admitted && !self.admit() {
                drop(original);
                self.jobs().heavy.push_back(job);
                // The one that was running may have ended in between.
                self.news.notify_one();
                continue;
            }
            let developed = catch_unwind(AssertUnwindSafe(|| (self.work)(&original)));
            drop(original);
            self.finish(heavy);
            job.reply(match developed {
                Ok(developed) => developed.map_err(Unfinished::Undeveloped),
                Err(_) => Err(Unfinished::Failed(anyhow!("developing the picture panicked"))),
            });
        }
    }

    /// The next job, and whether it holds the one place for heavy jobs; `None` when the darkroom is closed.
    fn next(&self) -> Option<(Job, bool)> {
        let mut jobs = self.jobs();
        loop {
            if jobs.closed {
                return None;
            }
            if !jobs.heavy_running
                && let Some(job) = jobs.heavy.pop_front()
            {
                jobs.heavy_running = true;
                return Some((job, true));
            }
            if let Some(job) = jobs.waiting.pop_front() {
                return Some((job, false));
            }
            jobs = self.news.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the one place for heavy jobs, if it is free.
    fn admit(&self) -> bool {
        let mut jobs = self.jobs();
        !std::mem::replace(&mut jobs.heavy_running, true)
    }

    /// Gives the place for heavy jobs back.
    fn finish(&self, heavy: bool) {
        if heavy {
            self.jobs().heavy_running = false;
            self.news.notify_one();
        }
    }
}

impl Job {
    /// Nobody listens any more when the future was dropped.
    fn reply(self, developed: Result<Renditions, Unfinished>) {
        let _ = self.answer.send(developed);
    }
}
