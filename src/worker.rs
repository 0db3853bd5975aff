//! What finishes photos: the loop that takes messages, does what their photos wait for, and acknowledges; and the sweep that makes up for
//! messages that never came. Lambda does the same for each message, without the loop.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    album::{Finisher, Outcome},
    events::{Depth, Events, Message, Subject, TraceContext, trace},
    photo::PhotoId,
};

/// How long the sweep waits after it found nothing, where it alone finds what no message told of.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long a loop waits after an error before it goes on.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How many waiting photos a sweep asks for at once, to finish them itself.
const BATCH: u32 = 32;
/// How many messages may wait in a queue before the sweep adds none.
const LONG_QUEUE: u64 = 1000;
/// The shortest and the longest pause before a message comes back that could not be dealt with.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// How soon a message that cannot be read comes back, until the queue gives it up.
const UNREADABLE: Duration = Duration::from_secs(2);
/// How soon a message of an object without a row comes back: first, and then once more.
const BEFORE_ROW: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(30)];
/// How often a message comes back whose photo is put off, or in another worker's hand.
const COMES_BACK: u32 = 2;
/// After how long a photo counts as left behind while nothing waits in the queue.
const LEFT_BEHIND: Duration = Duration::from_secs(30);
/// For how much of the time between two sweeps nobody else sweeps: whoever sweeps by the clock may be a little early.
const SWEEPS_ALONE: f64 = 0.9;

/// The task that tells again of what was left behind, where photos are finished elsewhere.
pub const REMINDER: &str = "reminder";

/// How much a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Photos at once.
    pub at_once: usize,
    /// Where workers of other processes hear of the same photos: how long a photo may be due before they are told again, and the time between
    /// two such sweeps.
    pub sweep_every: Duration,
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has done its work.
    Done,
    /// It is to come back after so long.
    Back(Duration),
}

/// What a sweep does by itself for photos of which nobody can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finishes {
    Overdue,
    Nothing,
}

/// Finishes photos, whoever brings them, a bounded number at a time.
pub struct Worker {
    finisher: Arc<Finisher>,
    events: Arc<dyn Events>,
    places: Semaphore,
    bounds: Bounds,
    /// What it is known by among those who share a queue.
    name: String,
}

impl Worker {
    /// A worker that follows `events`.
    pub fn new(finisher: Arc<Finisher>, events: Arc<dyn Events>, bounds: Bounds) -> Self {
        let bounds = Bounds { at_once: bounds.at_once.max(1), ..bounds };
        let name = format!("{}-{:016x}", std::process::id(), getrandom::u64().unwrap_or_default());
        Self { finisher, events, places: Semaphore::new(bounds.at_once), bounds, name }
    }

    /// Finishes photos until `stop`; then ends with the photos in hand, and gives back what was not begun. Ends before only when it broke down,
    /// to be begun anew.
    pub async fn run(self, stop: CancellationToken) {
        let (worker, ending) = (Arc::new(self), stop.child_token());
        let mut loops = JoinSet::new();
        loops.spawn(Arc::clone(&worker).listen(ending.clone()));
        loops.spawn(worker.sweep(ending.clone()));
        while let Some(ended) = loops.join_next().await {
            if let Err(cause) = ended {
                tracing::error!(%cause, "a loop of the worker died, and the worker ends with it");
                ending.cancel();
            }
        }
    }

    /// Follows the events. Takes no more messages while there is a photo at every place, so that few wait in hand however many wait in the queue.
    async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let mut in_hand = JoinSet::new();
        let followed = AssertUnwindSafe(self.follow(&mut in_hand, &stop)).catch_unwind().await;
        // Whatever ended it, what is in hand is finished.
        while in_hand.join_next().await.is_some() {}
        if let Err(panic) = followed {
            resume_unwind(panic);
        }
    }

    async fn follow(self: &Arc<Self>, in_hand: &mut JoinSet<()>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if in_hand.len() >= self.bounds.at_once {
                in_hand.join_next().await;
                continue;
            }
            let messages = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                messages = self.events.next() => messages,
            };
            match messages {
                Ok(messages) => {
                    for message in messages {
                        in_hand.spawn(Arc::clone(self).take(message, stop.clone()));
                    }
                }
                Err(cause) => {
                    tracing::warn!(
                        error = format!("{cause:#}"),
                        "no messages come; the worker asks again after a pause"
                    );
                    pause(jittered(AFTER_ERROR), stop).await;
                }
            }
            while in_hand.try_join_next().is_some() {}
        }
    }

    /// Sees to a message, keeping it in hand meanwhile, and tells the queue what became of it.
    async fn take(self: Arc<Self>, message: Message, stop: CancellationToken) {
        let verdict = tokio::select! {
            verdict = self.see_to(&message, &stop) => verdict,
            never = self.keep_in_hand(&message) => match never {},
        };
        let told = match verdict {
            Verdict::Done => self.events.done(&message).await,
            Verdict::Back(pause) => self.events.put_off(&message, pause).await,
        };
        if let Err(cause) = told {
            tracing::warn!(
                error = format!("{cause:#}"),
                ?verdict,
                "the queue was not told what became of a message; it comes back by itself"
            );
        }
    }

    /// Says in time, again and again, that a message is still in hand.
    async fn keep_in_hand(&self, message: &Message) -> Infallible {
        let Some(time) = self.events.in_hand_for() else { return std::future::pending().await };
        loop {
            sleep(time / 3).await;
            if let Err(cause) = self.events.put_off(message, time).await {
                tracing::warn!(
                    error = format!("{cause:#}"),
                    "a message could not be kept in hand; another worker may get it too"
                );
            }
        }
    }

    /// Does what a message asks for, photo by photo. Work that has begun goes on to its end whatever `stop` says; what has not begun comes back at once.
    pub async fn see_to(&self, message: &Message, stop: &CancellationToken) -> Verdict {
        let trace = message.trace.as_ref().map(TraceContext::trace_id);
        let span = tracing::info_span!("message", trace, received = message.received);
        let work = trace::within(message.trace.clone(), self.see_to_subjects(message, stop)).instrument(span.clone());
        AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            let _in = span.enter();
            tracing::error!("the worker broke down over a message, and goes on; the message comes back");
            Verdict::Back(jittered(again(message.received)))
        })
    }

    async fn see_to_subjects(&self, message: &Message, stop: &CancellationToken) -> Verdict {
        let subjects = match &message.subjects {
            Ok(subjects) => subjects,
            Err(why) => {
                tracing::warn!("a message cannot be read, and is left to become a dead letter: {why}");
                return Verdict::Back(UNREADABLE);
            }
        };
        let mut longest = None;
        for subject in subjects {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => return Verdict::Back(Duration::ZERO),
                place = self.places.acquire() => place,
            };
            let span = match subject {
                Subject::Photo(photo) => tracing::info_span!("photo", id = %photo),
                Subject::Object(path) => tracing::info_span!("object", key = %path),
            };
            if let Verdict::Back(pause) = self.finish(subject, message.received).instrument(span).await {
                longest = longest.max(Some(pause));
            }
            drop(place);
        }
        longest.map_or(Verdict::Done, Verdict::Back)
    }

    async fn finish(&self, subject: &Subject, received: u32) -> Verdict {
        let outcome = match subject {
            Subject::Photo(photo) => Box::pin(self.finisher.finish(*photo)).await,
            Subject::Object(path) => Box::pin(self.finisher.finish_object(path)).await,
        };
        let weighed = match outcome {
            Ok(Outcome::Unlisted) => self.unlisted(subject, received).await,
            outcome => outcome.map(|outcome| match outcome {
                // The row says when it is due, and then the sweep brings it: no message need become a dead letter of it.
                Outcome::PutOff(pause) | Outcome::InOtherHands(pause) if received <= COMES_BACK => {
                    Verdict::Back(jittered(pause))
                }
                Outcome::PutOff(_) | Outcome::InOtherHands(_) | Outcome::Done | Outcome::Unlisted => Verdict::Done,
            }),
        };
        weighed.unwrap_or_else(|cause| {
            let pause = jittered(again(received));
            tracing::warn!(error = format!("{cause:#}"), "a message is put off for {} s", pause.as_secs());
            Verdict::Back(pause)
        })
    }

    /// What becomes of a message about something that the catalog does not list.
    async fn unlisted(&self, subject: &Subject, received: u32) -> anyhow::Result<Verdict> {
        if !self.finisher.is_stored(subject).await? {
            tracing::info!("a message tells of what has been deleted");
            return Ok(Verdict::Done);
        }
        let tries = usize::try_from(received.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(match (subject, BEFORE_ROW.get(tries)) {
            // The row comes after its object: the upload may be under way.
            (_, Some(pause)) => Verdict::Back(jittered(*pause)),
            (Subject::Object(_), None) => {
                tracing::warn!("no row came for an object; should one come, the sweep finds it");
                Verdict::Done
            }
            (Subject::Photo(_), None) => {
                tracing::warn!(
                    "a photo that was announced is in the store and not in the catalog: it was deleted and its objects wait to be removed, or \
                     `photo-gallery check` names them"
                );
                Verdict::Done
            }
        })
    }

    /// Tells again of what was left behind and tidies up until `stop`, where photos are finished elsewhere.
    pub async fn remind(self, stop: CancellationToken) {
        self.sweep_again_and_again(Finishes::Nothing, &stop).await;
    }

    async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        self.sweep_again_and_again(Finishes::Overdue, &stop).await;
    }

    async fn sweep_again_and_again(&self, finishes: Finishes, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.sweep_as(finishes, stop).await {
                Ok(next) => pause(next, stop).await,
                Err(cause) => {
                    tracing::warn!(error = format!("{cause:#}"), "the sweep goes on after a pause");
                    pause(jittered(AFTER_ERROR), stop).await;
                }
            }
        }
    }

    /// Brings forward what no message told of, and tidies up; when to do so again. Where workers of other processes hear of the same photos, one
    /// of them tells of it again; elsewhere, and while they cannot be told, it is finished right here.
    pub async fn sweep_once(&self, stop: &CancellationToken) -> anyhow::Result<Duration> {
        self.sweep_as(Finishes::Overdue, stop).await
    }

    async fn sweep_as(&self, finishes: Finishes, stop: &CancellationToken) -> anyhow::Result<Duration> {
        if !self.events.is_shared() {
            self.tidy().await;
            return self.finish_instead(finishes, Duration::ZERO, stop).await;
        }
        let every = self.bounds.sweep_every;
        let depth = self.events.depth().await;
        let alone = self.finisher.may_sweep(&self.name, every.mul_f64(SWEEPS_ALONE)).await?;
        if alone {
            self.tidy().await;
        }
        let told = match depth {
            Ok(_) if !alone => Ok(()),
            Ok(depth) if self.events.announces() => self.announce_overdue(depth).await,
            Ok(_) => {
                while self.finish_overdue(finishes, every, stop).await? >= BATCH as usize && !stop.is_cancelled() {}
                Ok(())
            }
            Err(cause) => Err(cause),
        };
        let Err(cause) = told else { return Ok(jittered(every)) };
        tracing::warn!(
            error = format!("{cause:#}"),
            "workers cannot be told of photos that have waited long; these are finished without a message, where photos are"
        );
        self.finish_instead(finishes, every, stop).await.map(jittered)
    }

    /// What cannot be tidied keeps no photo from being finished.
    async fn tidy(&self) {
        if let Err(cause) = self.finisher.tidy().await {
            tracing::warn!(
                error = format!("{cause:#}"),
                "not everything could be tidied; the next sweep goes on with it"
            );
        }
    }

    /// Tells workers of overdue photos, as far as the queue is not long already.
    async fn announce_overdue(&self, depth: Option<Depth>) -> anyhow::Result<()> {
        let (every, waiting) = (self.bounds.sweep_every, depth.map(|depth| depth.waiting));
        let room = LONG_QUEUE.saturating_sub(waiting.unwrap_or_default());
        // With an empty queue nothing tells of what is due.
        let long = if waiting == Some(0) { every.min(LEFT_BEHIND) } else { every };
        let overdue = self.finisher.overdue(long, u32::try_from(room).unwrap_or_default()).await?;
        if !overdue.is_empty() {
            let announced = self.finisher.announce_again(overdue).await?;
            tracing::info!(announced, "photos that no message brought forward are announced again");
        }
        Ok(())
    }

    /// Finishes some photos that have been due for `long`; when to look again.
    async fn finish_instead(
        &self,
        finishes: Finishes,
        long: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<Duration> {
        let found = self.finish_overdue(finishes, long, stop).await?;
        Ok(if found >= BATCH as usize { Duration::ZERO } else { SWEEP_EVERY })
    }

    /// Finishes photos that have been due for `long`, at most [`BATCH`]; how many it found.
    async fn finish_overdue(
        &self,
        finishes: Finishes,
        long: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<usize> {
        if finishes == Finishes::Nothing {
            return Ok(0);
        }
        let waiting = self.finisher.overdue(long, BATCH).await?;
        let found = waiting.len();
        let finish = |photo: PhotoId| async move {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                place = self.places.acquire() => place?,
            };
            let done = self.finisher.finish(photo).instrument(tracing::info_span!("photo", id = %photo)).await;
            drop(place);
            done.map(|_| ())
        };
        let outcomes: Vec<anyhow::Result<()>> =
            stream::iter(waiting).map(finish).buffer_unordered(self.bounds.at_once).collect().await;
        outcomes.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(found)
    }
}

/// The pause after a message was handed out so often in vain: doubled each time.
fn again(received: u32) -> Duration {
    PAUSES.0.saturating_mul(1 << received.saturating_sub(1).min(10)).min(PAUSES.1)
}

/// `time` and up to half of it more, so that what failed together does not come back together.
fn jittered(time: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or_default();
    time + time.mul_f64(f64::from(share) / f64::from(u32::MAX) / 2.0)
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(time) => {}
    }
}
