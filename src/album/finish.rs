//! What is left to do for a photo after its upload was answered: renditions (photos adopted from an earlier app) and labels.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, TryStreamExt};
use tokio::{
    sync::{Mutex, Semaphore},
    time::sleep,
};

use self::pace::{Pace, jittered};
use super::{Album, MAX_RENDITION_BYTES, refusal};
use crate::{
    catalog::{CRASHES, Claim, Claimed},
    darkroom::Unfinished,
    error::Error,
    imaging,
    labeler::Labeler,
    photo::{FILE_MISSING, ObjectPath, Photo, PhotoId, Sha256},
};

mod hand;
mod labelling;
mod pace;

/// A photo over which so many workers died is worked on alone: should it be the one that kills them, it kills no other's work.
const SUSPECT: u64 = 2;
/// More photos than this are never worked on at once.
const PLACES: u32 = 1 << 16;
/// How soon what could not be noted in the catalog is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The longest pause between two tries at one photo.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// How long labels are kept by content after somebody last asked about it.
const LABELS_KEPT: TimeDelta = TimeDelta::days(90);
/// How many rows and objects are tidied at once.
const BATCH: u32 = 100;

/// How many batches of objects one round of tidying deletes.
const BATCHES: u32 = 50;

/// What its owner reads on a photo over which that happened.
const BROKE_OFF: &str = "The gallery broke off five times over this photo; why is not known. Another try may help, or the photo in another format.";

/// Why a photo could not be finished.
enum Trouble {
    /// It will not work later either; the sentence is for the owner.
    Never(String),
    /// Later may be better.
    NotNow { retry_after: Option<Duration>, cause: anyhow::Error },
    /// Nothing is wrong, but it is not this photo's turn.
    Wait(Duration),
}

impl From<anyhow::Error> for Trouble {
    fn from(cause: anyhow::Error) -> Self {
        Self::NotNow { retry_after: None, cause }
    }
}

/// How far a photo came in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do by itself: it is finished, or it has failed for good.
    Done,
    /// Another worker has it, for at most so long unless that worker says more.
    InOtherHands(Duration),
    /// Not now: again after so long.
    PutOff(Duration),
    /// The catalog does not list it. A photo named by its id is gone; the row of an object may be still to come.
    Unlisted,
}

/// How a finisher goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How long a worker may say nothing of a photo in its hands before another may take it over; it speaks up three times as often.
    pub lease: Duration,
    /// The first pause between two tries at one photo; later ones are longer.
    pub pause: Duration,
    /// The longest pause between two calls to a labeler that cannot be asked now.
    pub slowest: Duration,
    /// Whether what a labeler that is paid for has said is kept by content, so that it is asked about each content once.
    pub reuse: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(20),
            pause: Duration::from_secs(5),
            slowest: Duration::from_secs(20),
            reuse: true,
        }
    }
}

/// Finishes photos. Safe to run many at once, here and on other machines: a lease in the catalog lets one work at a photo.
pub struct Finisher {
    pub(super) album: Arc<Album>,
    labeler: Option<Arc<dyn Labeler>>,
    pace: Pace,
    manner: Manner,
    /// A photo in hand takes one of these, a suspect all.
    places: Semaphore,
    /// Had by the suspect whose turn it is.
    suspect: Mutex<()>,
}

impl Finisher {
    /// A finisher; without a labeler photos are finished without labels.
    pub fn new(album: Arc<Album>, labeler: Option<Arc<dyn Labeler>>) -> Self {
        Self::with_manner(album, labeler, Manner::default())
    }

    /// Like [`new`](Self::new), with the time after which the photos of a finisher that died are taken over.
    pub fn with_lease(album: Arc<Album>, labeler: Option<Arc<dyn Labeler>>, lease: Duration) -> Self {
        Self::with_manner(album, labeler, Manner { lease, ..Manner::default() })
    }

    /// Like [`new`](Self::new), with manners of its own.
    pub fn with_manner(album: Arc<Album>, labeler: Option<Arc<dyn Labeler>>, manner: Manner) -> Self {
        let places = Semaphore::new(PLACES as usize);
        Self { album, labeler, pace: Pace::new(manner.slowest), manner, places, suspect: Mutex::new(()) }
    }

    /// Does what is left to do for a photo; nothing when there is nothing, or when another is at it. An outage puts the photo off and
    /// leaves the reason in the log; what will never work is written on the photo, and so is that workers died over it again and again.
    /// A photo whose finishing is dropped is given back.
    pub async fn finish(&self, id: PhotoId) -> anyhow::Result<Outcome> {
        let mut place = Some(self.places.acquire().await?);
        let now = self.moment().await?;
        let wait = |until: DateTime<Utc>| (until - now).to_std().unwrap_or_default();
        let hand = hand::Hand::new(Arc::clone(&self.album), id)?;
        let claimed = match self.album.catalog.claim_as(id, hand.mark(), now, now + self.manner.lease).await {
            Ok(Claim::Won(claimed)) => claimed,
            Ok(Claim::Damaged { why, .. }) => {
                tracing::error!(photo = %id, why, "a photo is put off, as its row cannot be read");
                hand.put_off(LONGEST_PAUSE).await?;
                return Ok(Outcome::PutOff(LONGEST_PAUSE));
            }
            other => {
                hand.emptied();
                return match other? {
                    Claim::InOtherHands(until) => Ok(Outcome::InOtherHands(wait(until))),
                    Claim::PutOff(until) => Ok(Outcome::PutOff(wait(until))),
                    Claim::Unlisted => Ok(Outcome::Unlisted),
                    Claim::Finished | Claim::Won(_) | Claim::Damaged { .. } => Ok(Outcome::Done),
                };
            }
        };
        let Claimed { photo, attempts, crashes, .. } = *claimed;
        if crashes >= CRASHES {
            tracing::error!(photo = %id, crashes, "a photo is given up, as workers died over it");
            return self.give_up(hand, BROKE_OFF).await;
        }
        let work = AssertUnwindSafe(async {
            let _alone = if crashes < SUSPECT {
                None
            } else {
                // Whoever waits for its turn is in no hand, so that a suspect takes no other with it.
                drop(place.take());
                let turn = self.suspect.try_lock().map_err(|_| Trouble::Wait(jittered(self.manner.pause)))?;
                Some((turn, self.places.acquire_many(PLACES).await.context("waiting to be alone")?))
            };
            let content = self.develop_if_needed(&photo).await?;
            if photo.labelled_at.is_none() { self.label(&photo, content, &hand).await } else { Ok(()) }
        });
        let done = tokio::select! {
            done = work.catch_unwind() => {
                done.unwrap_or_else(|_| Err(Trouble::Never("The gallery broke down over this photo.".to_owned())))
            }
            () = self.hold(&hand) => {
                tracing::warn!(photo = %id, "a photo in hand here is gone, or another worker has taken it over: it is left to that one");
                hand.put_off(Duration::ZERO).await?;
                return Ok(Outcome::InOtherHands(self.manner.lease));
            }
        };
        match done {
            Ok(()) => {
                hand.emptied();
                Ok(Outcome::Done)
            }
            Err(Trouble::Never(problem)) => {
                tracing::info!(photo = %id, problem, "a photo will not get further by itself");
                self.give_up(hand, &problem).await
            }
            Err(Trouble::NotNow { retry_after, cause }) => {
                let pause = retry_after.unwrap_or_else(|| self.pause(attempts)).min(LONGEST_PAUSE);
                tracing::warn!(photo = %id, attempts, error = format!("{cause:#}"), "a photo is put off for {} s", pause.as_secs());
                hand.put_off(pause).await?;
                Ok(Outcome::PutOff(pause))
            }
            Err(Trouble::Wait(pause)) => {
                tracing::debug!(photo = %id, "a photo waits {} ms for its turn", pause.as_millis());
                hand.put_off(pause).await?;
                Ok(Outcome::PutOff(pause))
            }
        }
    }

    /// The moment by the clock that all workers at the catalog share.
    pub(super) async fn moment(&self) -> anyhow::Result<DateTime<Utc>> {
        self.album.catalog.moment(self.album.now()).await
    }

    /// [`finish`](Self::finish) for the photo whose original lies at `path`.
    pub async fn finish_object(&self, path: &ObjectPath) -> anyhow::Result<Outcome> {
        match self.album.catalog.photo_of(path).await? {
            Some(id) => self.finish(id).await,
            None => Ok(Outcome::Unlisted),
        }
    }

    /// Writes on a photo why it will not get further; while the catalog does not take that, the photo is given back.
    async fn give_up(&self, hand: hand::Hand, problem: &str) -> anyhow::Result<Outcome> {
        if let Err(cause) = self.album.catalog.save_problem(hand.photo(), problem).await {
            hand.put_off(Duration::ZERO).await?;
            return Err(cause);
        }
        hand.emptied();
        Ok(Outcome::Done)
    }

    /// Renews the lease on a photo, for as long as it is asked to; ends when the photo is in this hand no more, unless what was paid for is to
    /// be waited for.
    async fn hold(&self, hand: &hand::Hand) {
        let mut pause = self.manner.lease / 3;
        loop {
            sleep(pause).await;
            let held = async {
                let until = self.moment().await? + self.manner.lease;
                self.album.catalog.hold(hand.photo(), hand.mark(), until).await
            };
            pause = match held.await {
                Ok(true) => self.manner.lease / 3,
                Ok(false) if hand.lose() => return,
                Ok(false) => return std::future::pending().await,
                Err(cause) => {
                    tracing::warn!(photo = %hand.photo(), error = format!("{cause:#}"), "the lease on a photo could not be renewed");
                    AFTER_ERROR.min(pause)
                }
            };
        }
    }

    /// Makes the renditions of an adopted photo. The SHA-256 of the original, as far as it is known.
    async fn develop_if_needed(&self, photo: &Photo) -> Result<Option<Sha256>, Trouble> {
        if photo.developed.is_some() {
            return Ok(photo.sha256);
        }
        let album = &self.album;
        let object = album.store.get(&photo.original).await.context("reading the original")?;
        let Some(mut object) = object else {
            return Err(Trouble::Never(FILE_MISSING.to_owned()));
        };
        let mut receiving = album.receive(photo.file_name.as_str()).map_err(trouble)?;
        while let Some(piece) = object.content.try_next().await.context("reading the original")? {
            receiving.write(&piece).await.map_err(trouble)?;
        }
        let upload = receiving.finish().await.map_err(trouble)?;
        imaging::media_type(upload.head()).map_err(|undeveloped| refusal(&undeveloped)).map_err(trouble)?;
        let renditions = match album.darkroom.develop(upload.path().to_owned()).await {
            Ok(renditions) => renditions,
            Err(Unfinished::Undeveloped(undeveloped)) => return Err(Trouble::Never(undeveloped.to_string())),
            Err(Unfinished::Busy) => return Err(anyhow::anyhow!("the darkroom's queue is full").into()),
            Err(Unfinished::Failed(cause)) => return Err(cause.into()),
        };
        album.put_renditions(photo.id, &renditions).await.context("storing the renditions")?;
        let sha256 = upload.sha256();
        let kept =
            album.catalog.save_developed(photo.id, sha256, upload.bytes(), &renditions.developed, album.now()).await?;
        if !kept {
            album.forget(photo.objects().into_iter().filter(|path| *path != photo.original).collect()).await;
        }
        Ok(Some(sha256))
    }

    /// Tidies what crashes, wrong clocks and earlier apps left behind: takes rows of the course's app in, deletes objects of deleted photos, forgets
    /// labels of contents that nobody asked about for long, and makes photos due that were put off for very long. What cannot be tidied holds up nothing else; the first error.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        let adopted = self.adopt().await;
        let swept = self.sweep_discards().await;
        let forgotten = self.forget_labels().await;
        let brought_back = self.bring_back().await;
        adopted.and(swept).and(forgotten).and(brought_back)
    }

    async fn adopt(&self) -> anyhow::Result<()> {
        while self.album.catalog.adopt(self.album.now(), BATCH).await? > 0 {}
        Ok(())
    }

    async fn bring_back(&self) -> anyhow::Result<()> {
        while self.album.catalog.bring_back(self.moment().await?, BATCH).await? >= BATCH as usize {}
        Ok(())
    }

    /// Deletes what waits to be deleted, some thousand objects at most, until nothing does or one cannot be. What the store does not delete is
    /// tried again last.
    async fn sweep_discards(&self) -> anyhow::Result<()> {
        for _ in 0..BATCHES {
            let waiting = self.album.catalog.discarded(BATCH).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let left = self.album.discard(&waiting).await?;
            if !left.is_empty() {
                self.album.catalog.postpone_discarded(&left, self.album.now()).await?;
                return Ok(());
            }
            if waiting.len() < BATCH as usize {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn forget_labels(&self) -> anyhow::Result<()> {
        let before = self.album.now() - LABELS_KEPT;
        while self.album.catalog.forget_labels(before, BATCH).await? >= BATCH as usize {}
        Ok(())
    }

    /// The pause before the next try after `attempts` tries: doubled each time.
    fn pause(&self, attempts: u64) -> Duration {
        jittered(self.manner.pause.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE))
    }
}

/// What an error of the album means for a photo that is being finished.
fn trouble(error: Error) -> Trouble {
    match error {
        Error::Refused(refusal) => Trouble::Never(refusal.detail),
        Error::NotFound | Error::SignIn => Trouble::Never(Error::NotFound.to_string()),
        Error::Unavailable { retry_after, cause } => Trouble::NotNow { retry_after: Some(retry_after), cause },
        Error::Full(cause) | Error::Internal(cause) => Trouble::NotNow { retry_after: None, cause },
    }
}
