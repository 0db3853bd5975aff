//! What a gallery stands on: a database of this version, and a store that keeps photos. Proved at the start. One that says no for good ends
//! the program with a sentence, because only its operator can help; whatever else is wrong with one is waited for.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::time::sleep;

use super::database::prove_catalog;
use crate::{
    catalog::{self, Catalog},
    readiness::Readiness,
    settings::{self, Settings},
    store::{self, Store},
};

/// How long the start is held up by parts that do not answer, before the gallery is opened without them.
const HELD_UP: Duration = Duration::from_secs(5);
/// How long is waited before a part that is away is asked again, the first time; up to twice as long each time after ...
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// ... and never longer than this, so that the gallery is there soon after the part is.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What to check when the bucket does not serve.
const BUCKET: &str = "photos cannot be kept in the bucket; check `store.s3.*` and `aws.*`";
const FOLDER: &str = "photos cannot be kept below `data`";

/// The parts without which there is no gallery.
pub(super) struct Ground {
    catalog: Catalog,
    store: Arc<dyn Store>,
    readiness: Arc<Readiness>,
    sqlite: bool,
    folder: bool,
}

impl Ground {
    pub(super) fn new(settings: &Settings, catalog: Catalog, store: Arc<dyn Store>, readiness: Arc<Readiness>) -> Self {
        let sqlite = matches!(settings.catalog, settings::Catalog::Sqlite);
        let folder = matches!(settings.store, settings::Store::Disk);
        Self { catalog, store, readiness, sqlite, folder }
    }

    /// Proves both once; an error that says what to do when one does not serve.
    pub(super) async fn prove(&self) -> anyhow::Result<()> {
        self.prove_catalog().await?;
        self.prove_store().await
    }

    /// Proves both for a few seconds; who is away by then is left to [`settle`](Self::settle). An error when one says no.
    pub(super) async fn try_to_prove(&self) -> anyhow::Result<()> {
        let both =
            async { tokio::try_join!(once("database", self.prove_catalog()), once("store", self.prove_store())) };
        if let Ok(proved) = tokio::time::timeout(HELD_UP, both).await {
            return proved.map(drop);
        }
        let silent = anyhow::anyhow!("there was no answer within {} s", HELD_UP.as_secs());
        for (part, is_there) in [("database", self.readiness.is_open()), ("store", self.readiness.has_stored())] {
            if !is_there {
                opened_without(part, &silent);
            }
        }
        Ok(())
    }

    /// Asks those that were away until they serve; an error when one says no.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        let rows = async {
            if self.readiness.is_open() { Ok(()) } else { until_proved("database", || self.prove_catalog()).await }
        };
        let photos = async {
            if self.readiness.has_stored() { Ok(()) } else { until_proved("store", || self.prove_store()).await }
        };
        tokio::try_join!(rows, photos).map(drop)
    }

    async fn prove_catalog(&self) -> anyhow::Result<()> {
        prove_catalog(&self.catalog, self.sqlite).await?;
        self.readiness.open();
        Ok(())
    }

    /// Proves the store alone, once.
    pub(super) async fn prove_store(&self) -> anyhow::Result<()> {
        self.store.check().await.context(if self.folder { FOLDER } else { BUCKET })?;
        self.readiness.stores();
        Ok(())
    }
}

/// Whether a part has said no for good: only then waiting cannot help.
fn is_refusal(cause: &anyhow::Error) -> bool {
    store::is_refusal(cause) || catalog::is_refusal(cause)
}

/// An error only when the part says no.
async fn once(part: &str, proving: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    match proving.await {
        Err(cause) if !is_refusal(&cause) => {
            opened_without(part, &cause);
            Ok(())
        }
        outcome => outcome,
    }
}

fn opened_without(part: &str, cause: &anyhow::Error) {
    tracing::warn!(part, error = format!("{cause:#}"), "the gallery is opened without a part, and waits for it");
}

async fn until_proved<Proof>(part: &str, prove: impl Fn() -> Proof) -> anyhow::Result<()>
where
    Proof: Future<Output = anyhow::Result<()>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        // Instances that wait for the same part do not all ask at the same moment.
        let mut jitter = [0];
        let _ = getrandom::fill(&mut jitter);
        sleep(pause.mul_f64(0.5 + f64::from(jitter[0]) / 512.0)).await;
        match prove().await {
            Err(cause) if !is_refusal(&cause) => {
                tracing::debug!(part, error = format!("{cause:#}"), "the gallery still waits for a part");
            }
            Ok(()) => {
                tracing::info!(part, "the part that the gallery waited for is there");
                return Ok(());
            }
            refused => return refused,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
