//! What is left to do for a photo after its upload was answered: renditions (photos adopted from an earlier app) and labels.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, TryStreamExt};
use tokio::time::sleep;

use super::{Album, refusal};
use crate::{
    catalog::Claimed,
    darkroom::Unfinished,
    error::Error,
    imaging,
    labeler::{Labeler, Unlabelled},
    photo::{ObjectPath, Photo, PhotoId, Rendition},
};

/// How long a worker may say nothing of a photo in its hands before another may take it over; it speaks up three times as often.
const LEASE: Duration = Duration::from_secs(20);
/// The longest pause between two tries at one photo.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The largest rendition read back, in bytes; ours are a tenth of it.
const MAX_RENDITION_BYTES: u64 = 16 << 20;

/// Why a photo could not be finished.
enum Trouble {
    /// It will not work later either; the sentence is for the owner.
    Never(String),
    /// Later may be better.
    NotNow { retry_after: Option<Duration>, cause: anyhow::Error },
}

impl From<anyhow::Error> for Trouble {
    fn from(cause: anyhow::Error) -> Self {
        Self::NotNow { retry_after: None, cause }
    }
}

/// Finishes photos. Safe to run many at once, here and on other machines: a lease in the catalog lets one work at a photo.
pub struct Finisher {
    album: Arc<Album>,
    labeler: Option<Arc<dyn Labeler>>,
    lease: Duration,
}

impl Finisher {
    /// A finisher; without a labeler photos are finished without labels.
    pub fn new(album: Arc<Album>, labeler: Option<Arc<dyn Labeler>>) -> Self {
        Self::with_lease(album, labeler, LEASE)
    }

    /// Like [`new`](Self::new), with the time after which the photos of a finisher that died are taken over.
    pub fn with_lease(album: Arc<Album>, labeler: Option<Arc<dyn Labeler>>, lease: Duration) -> Self {
        Self { album, labeler, lease }
    }

    /// Does what is left to do for a photo; nothing when there is nothing, or when another is at it. An outage puts the photo off and
    /// leaves the reason in the log; what will never work is written on the photo.
    pub async fn finish(&self, id: PhotoId) -> anyhow::Result<()> {
        let now = self.album.now();
        let Some(Claimed { photo, attempts }) = self.album.catalog.claim(id, now, now + self.lease).await? else {
            return Ok(());
        };
        let work = AssertUnwindSafe(async {
            self.develop_if_needed(&photo).await?;
            self.label_if_needed(&photo).await
        });
        let done = tokio::select! {
            done = work.catch_unwind() => {
                done.unwrap_or_else(|_| Err(Trouble::Never("The gallery broke down over this photo.".to_owned())))
            }
            never = self.hold(id) => match never {},
        };
        match done {
            Ok(()) => Ok(()),
            Err(Trouble::Never(problem)) => {
                tracing::info!(photo = %id, problem, "a photo will not get further by itself");
                self.album.catalog.save_problem(id, &problem).await
            }
            Err(Trouble::NotNow { retry_after, cause }) => {
                let pause = retry_after.unwrap_or_else(|| pause(attempts)).min(LONGEST_PAUSE);
                tracing::warn!(photo = %id, attempts, error = format!("{cause:#}"), "a photo is put off for {} s", pause.as_secs());
                self.album.catalog.put_off(id, self.album.now() + pause).await
            }
        }
    }

    /// Renews the lease on a photo, for as long as it is asked to.
    async fn hold(&self, id: PhotoId) -> Infallible {
        loop {
            sleep(self.lease / 3).await;
            if let Err(cause) = self.album.catalog.put_off(id, self.album.now() + self.lease).await {
                tracing::warn!(photo = %id, error = format!("{cause:#}"), "the lease on a photo could not be renewed");
            }
        }
    }

    async fn develop_if_needed(&self, photo: &Photo) -> Result<(), Trouble> {
        if photo.developed.is_some() {
            return Ok(());
        }
        let album = &self.album;
        let object = album.store.get(&photo.original).await.context("reading the original")?;
        let Some(mut object) = object else {
            return Err(Trouble::Never("The photo's file is missing in the store.".to_owned()));
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
        let kept = album
            .catalog
            .save_developed(photo.id, upload.sha256(), upload.bytes(), &renditions.developed, album.now())
            .await?;
        if !kept {
            album.forget(photo.objects().into_iter().filter(|path| *path != photo.original).collect()).await;
        }
        Ok(())
    }

    async fn label_if_needed(&self, photo: &Photo) -> Result<(), Trouble> {
        if photo.labelled_at.is_some() {
            return Ok(());
        }
        let album = &self.album;
        let labels = match &self.labeler {
            None => Vec::new(),
            Some(labeler) => match labeler.labels(self.display(photo).await?).await {
                Ok(labels) => labels,
                Err(Unlabelled::Never(problem)) => return Err(Trouble::Never(problem)),
                Err(Unlabelled::NotNow { retry_after, cause }) => return Err(Trouble::NotNow { retry_after, cause }),
            },
        };
        album.catalog.save_labels(photo.id, &labels, album.now()).await?;
        Ok(())
    }

    /// The bytes of the display rendition.
    async fn display(&self, photo: &Photo) -> Result<Bytes, Trouble> {
        let path = ObjectPath::rendition(photo.id, Rendition::Display).context("the display rendition has a path")?;
        let object = self.album.store.get(&path).await.context("reading the display rendition")?;
        let Some(mut object) = object.filter(|object| object.bytes <= MAX_RENDITION_BYTES) else {
            return Err(Trouble::Never("The photo's rendition is missing in the store.".to_owned()));
        };
        let mut bytes = BytesMut::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
        while let Some(piece) = object.content.try_next().await.context("reading the display rendition")? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// Photos that wait for work, at most `limit`.
    pub async fn waiting(&self, limit: u32) -> anyhow::Result<Vec<PhotoId>> {
        self.album.catalog.unfinished(self.album.now(), limit).await
    }

    /// Tidies what crashes and earlier apps left behind: takes rows of the course's app in, and deletes objects of deleted photos.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        const BATCH: u32 = 100;
        while self.album.catalog.adopt(self.album.now(), BATCH).await? > 0 {}
        let discarded = self.album.catalog.discarded(BATCH).await?;
        if !discarded.is_empty() {
            self.album.discard(&discarded).await;
        }
        Ok(())
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

/// The pause before the next try after `attempts` tries: 5 s, doubled each time.
fn pause(attempts: u64) -> Duration {
    Duration::from_secs(5).saturating_mul(1 << attempts.saturating_sub(1).min(10))
}
