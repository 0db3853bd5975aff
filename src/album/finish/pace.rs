//! How fast a labeler is asked: slower whenever it cannot be asked now, faster again whenever it answers. One pace for all workers of a process.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// How many may ask at once when all goes well.
const MOST_PLACES: usize = 64;
/// The first pause between two calls once the labeler cannot be asked.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pace of all calls to one labeler.
pub(super) struct Pace {
    state: Mutex<State>,
    /// Somebody has answered, or a pause is over.
    news: Notify,
    /// The longest pause between two calls.
    slowest: Duration,
}

struct State {
    /// How many may ask at once.
    places: usize,
    /// How many ask.
    asking: usize,
    /// How many were answered since `places` changed.
    answered: usize,
    /// Between two calls.
    pause: Duration,
    next_at: Instant,
    slowed_at: Option<Instant>,
}

/// The right to ask once.
pub(super) struct Turn<'pace> {
    pace: &'pace Pace,
    since: Instant,
}

impl Pace {
    /// As fast as callers ask, and never slower than one call each `slowest`.
    pub(super) fn new(slowest: Duration) -> Self {
        let state = State {
            places: MOST_PLACES,
            asking: 0,
            answered: 0,
            pause: Duration::ZERO,
            next_at: Instant::now(),
            slowed_at: None,
        };
        Self { state: Mutex::new(state), news: Notify::new(), slowest }
    }

    /// No caller leaves the state half-changed, so a poisoned lock is as good as a whole one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of the caller, waited for at most [`PATIENCE`]; after that the time for which to do something else.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Duration> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            let wait = {
                let mut state = self.state();
                let wait = state.next_at.saturating_duration_since(now);
                if wait.is_zero() && state.asking < state.places {
                    state.asking += 1;
                    state.next_at = now + jittered(state.pause);
                    return Ok(Turn { pace: self, since: now });
                }
                if now >= until {
                    return Err(jittered(wait.max(state.pause).max(FIRST_PAUSE)));
                }
                wait
            };
            let patience = until.saturating_duration_since(now);
            let wait = if wait.is_zero() { patience } else { wait.min(patience) };
            // Whether there is news or the time is over, the state says what to do.
            let _ = timeout(wait, self.news.notified()).await;
        }
    }
}

impl Turn<'_> {
    /// The labeler has answered.
    pub(super) fn answered(self) {
        let mut state = self.pace.state();
        state.pause = if state.pause <= FIRST_PAUSE { Duration::ZERO } else { state.pause / 2 };
        state.next_at = state.next_at.min(Instant::now() + state.pause);
        state.answered += 1;
        if state.answered >= state.places {
            (state.places, state.answered) = ((state.places + 1).min(MOST_PLACES), 0);
        }
    }

    /// The labeler could not be asked now, and may have said for how long. Calls that were under way at the same time slow down once.
    /// Returns the pause that all calls make.
    pub(super) fn refused(self, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut state = self.pace.state();
        if state.slowed_at.is_none_or(|slowed| slowed <= self.since) {
            state.pause = (state.pause * 2).clamp(FIRST_PAUSE.min(self.pace.slowest), self.pace.slowest);
            (state.places, state.answered) = ((state.asking / 2).max(1), 0);
            state.slowed_at = Some(now);
        }
        let pause = retry_after.unwrap_or(state.pause);
        state.next_at = state.next_at.max(now + jittered(pause));
        pause
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.state().asking -= 1;
        self.pace.news.notify_one();
    }
}

/// Between half of `time` and all of it, each caller differently.
pub(super) fn jittered(time: Duration) -> Duration {
    let mut random = [0];
    let _ = getrandom::fill(&mut random);
    time / 2 + time / 2 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a turn comes within a moment.
    async fn comes(pace: &Pace) -> bool {
        timeout(Duration::from_millis(300), pace.turn()).await.is_ok()
    }

    #[tokio::test]
    async fn refusals_double_the_pause_to_its_bound_and_answers_halve_it_to_nothing() {
        let pace = Pace::new(Duration::from_millis(700));
        for longest in [200, 400, 700, 700].map(Duration::from_millis) {
            let begun = Instant::now();
            let turn = pace.turn().await.expect("a turn");
            assert_eq!(turn.refused(None), longest);
            drop(pace.turn().await.expect("a turn"));
            assert!(begun.elapsed() >= longest / 2, "{:?} of {longest:?}", begun.elapsed());
        }
        for _ in 0..4 {
            pace.turn().await.expect("a turn").answered();
        }
        assert!(pace.state().pause.is_zero());
        for _ in 0..100 {
            assert!(comes(&pace).await, "as fast as ever");
        }
    }

    #[tokio::test]
    async fn calls_refused_together_slow_down_once_and_leave_half_of_the_places() {
        let pace = Pace::new(Duration::from_secs(20));
        let mut turns = Vec::new();
        for _ in 0..8 {
            turns.push(pace.turn().await.expect("a turn"));
        }
        for turn in turns {
            assert_eq!(turn.refused(None), FIRST_PAUSE);
        }
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(pace.turn().await.expect("a turn"));
        }
        assert!(!comes(&pace).await, "four places are taken");
        turns.remove(0).answered();
        assert!(comes(&pace).await, "a place is free");
    }

    #[tokio::test]
    async fn the_wait_that_the_labeler_asks_for_is_kept_by_all() {
        let pace = Pace::new(Duration::from_secs(1));
        let wait = Duration::from_mins(1);
        assert_eq!(pace.turn().await.expect("a turn").refused(Some(wait)), wait);
        assert!(pace.state().next_at >= Instant::now() + wait / 3);
        assert!(!comes(&pace).await);
    }
}
