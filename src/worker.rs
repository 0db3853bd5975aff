//! The loop that finishes photos: take an event, do what the photo waits for, acknowledge; now and then sweep up what no event told.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{album::Finisher, events::Events};

/// How long the sweep waits after it found nothing.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long a loop waits after an error before it goes on.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How many waiting photos a sweep asks for at once.
const BATCH: u32 = 32;

/// Finishes photos, `at_once` at a time, until `stop`; then ends with the photos in hand.
pub async fn run(finisher: Arc<Finisher>, events: Arc<dyn Events>, at_once: usize, stop: CancellationToken) {
    let mut loops = JoinSet::new();
    for _ in 0..at_once.max(1) {
        loops.spawn(listen(Arc::clone(&finisher), Arc::clone(&events), stop.clone()));
    }
    loops.spawn(sweep(finisher, stop));
    while let Some(ended) = loops.join_next().await {
        if let Err(cause) = ended {
            tracing::error!(%cause, "a loop of the worker died");
        }
    }
}

/// Follows the events.
async fn listen(finisher: Arc<Finisher>, events: Arc<dyn Events>, stop: CancellationToken) {
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return,
            message = events.next() => message,
        };
        let done = async {
            let message = message?;
            finisher.finish(message.photo).await?;
            events.done(message).await
        };
        if let Err(cause) = done.await {
            tracing::warn!(error = format!("{cause:#}"), "the worker goes on after a pause");
            pause(AFTER_ERROR, &stop).await;
        }
    }
}

/// Finishes what no event told of, one photo after the other, and tidies up.
async fn sweep(finisher: Arc<Finisher>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let swept = async {
            finisher.tidy().await?;
            let waiting = finisher.waiting(BATCH).await?;
            for photo in &waiting {
                if stop.is_cancelled() {
                    break;
                }
                finisher.finish(*photo).await?;
            }
            anyhow::Ok(waiting.len())
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
