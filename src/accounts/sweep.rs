//! Sweeping up: what is left of deleted accounts, sessions that have timed out, limits that no longer hold, what the provider has to tidy.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::Accounts;

/// How often is swept.
const EVERY: Duration = Duration::from_mins(1);
/// How many sessions and limits are swept at once.
const BATCH: u32 = 500;

impl Accounts {
    /// Sweeps now and then, until `stop`.
    pub async fn tend(self: &Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                swept = self.sweep() => if let Err(cause) = swept {
                    tracing::warn!(error = format!("{cause:#}"), "what accounts leave behind will be swept later");
                },
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Sweeps once. Safe to run in several places at once.
    pub async fn sweep(self: &Arc<Self>) -> anyhow::Result<()> {
        let now = (self.clock)();
        let tidied = match &self.identity {
            Some(identity) => identity.tidy().await.context("tidying accounts"),
            None => Ok(()),
        };
        let cleared = self.clear_all().await;
        let (created, seen) = (now - self.times.absolute, now - self.times.idle);
        loop {
            let ended = self.catalog.end_timed_out(created, seen, BATCH).await?;
            let full = ended.len() >= BATCH as usize;
            self.release(&ended);
            if !full {
                break;
            }
        }
        while self.catalog.forget_empty_buckets(now, BATCH).await? >= BATCH as usize {}
        cleared.and(tidied)
    }

    /// Deletes what is left of everybody who goes; one who cannot go yet holds up nobody else. The first error.
    async fn clear_all(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for departing in self.catalog.departing().await? {
            outcome = outcome.and(self.clear(&departing).await.map(drop));
        }
        outcome
    }
}
