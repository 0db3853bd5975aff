//! The loop that finishes photos: take an event, do what the photo waits for, acknowledge; now and then sweep up what no event told.

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{album::Finisher, events::Events, photo::PhotoId};

/// How long the sweep waits after it found nothing.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long a loop waits after an error before it goes on.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How many waiting photos a sweep asks for at once.
const BATCH: u32 = 32;

/// Where photos are finished, a bounded number at a time, whoever brings them.
struct Bench {
    finisher: Arc<Finisher>,
    places: Semaphore,
}

impl Bench {
    async fn finish(&self, photo: PhotoId) -> anyhow::Result<()> {
        let _place = self.places.acquire().await?;
        self.finisher.finish(photo).await
    }
}

/// Finishes photos, `at_once` at a time, until `stop`; then ends with the photos in hand.
pub async fn run(finisher: Arc<Finisher>, events: Arc<dyn Events>, at_once: usize, stop: CancellationToken) {
    let at_once = at_once.max(1);
    let bench = Arc::new(Bench { finisher, places: Semaphore::new(at_once) });
    let mut loops = JoinSet::new();
    for _ in 0..at_once {
        loops.spawn(listen(Arc::clone(&bench), Arc::clone(&events), stop.clone()));
    }
    loops.spawn(sweep(bench, at_once, stop));
    while let Some(ended) = loops.join_next().await {
        if let Err(cause) = ended {
            tracing::error!(%cause, "a loop of the worker died");
        }
    }
}

/// Follows the events.
async fn listen(bench: Arc<Bench>, events: Arc<dyn Events>, stop: CancellationToken) {
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return,
            message = events.next() => message,
        };
        let done = async {
            let message = message?;
            bench.finish(message.photo).await?;
            events.done(message).await
        };
        if let Err(cause) = done.await {
            tracing::warn!(error = format!("{cause:#}"), "the worker goes on after a pause");
            pause(AFTER_ERROR, &stop).await;
        }
    }
}

/// Finishes what no event told of, and tidies up. What cannot be tidied keeps no photo from being finished.
async fn sweep(bench: Arc<Bench>, at_once: usize, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let swept = async {
            let tidied = bench.finisher.tidy().await;
            let waiting = bench.finisher.waiting(BATCH).await?;
            let found = waiting.len();
            let finished: Vec<anyhow::Result<()>> = stream::iter(waiting)
                .take_while(|_| ready(!stop.is_cancelled()))
                .map(|photo| bench.finish(photo))
                .buffer_unordered(at_once)
                .collect()
                .await;
            finished.into_iter().collect::<anyhow::Result<()>>()?;
            tidied.map(|()| found)
        };
        match swept.await {
            Ok(full) if full >= BATCH as usize => {}
            Ok(_) => pause(SWEEP_EVERY, &stop).await,
            Err(cause) => {
                tracing::warn!(error = format!("{cause:#}"), "the sweep goes on after a pause");
                pause(AFTER_ERROR, &stop).await;
            }
        }
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(time) => {}
    }
}
