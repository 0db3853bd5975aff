//! Asking for a photo's labels: at the labeler's pace, and once for each content when each answer is paid for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use tokio::time::sleep;

use super::{AFTER_ERROR, Finisher, MAX_RENDITION_BYTES, Trouble, hand::Hand, pace::jittered};
use crate::{
    album::Mended,
    catalog::{Known, Outage},
    imaging,
    labeler::{Labeler, Unlabelled},
    photo::{FILE_DAMAGED, FILE_MISSING, Label, ObjectPath, Photo, RENDITION_MISSING, Rendition, Sha256},
    store::Object,
};

/// For how long a photo is put off while another with the same content is being asked about.
const A_MOMENT: Duration = Duration::from_secs(4);
/// The longest pause before a photo is asked about again when the labeler does not say for how long: its pace protects it.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The longest side of what is sent of a display rendition that is too large for the labeler, in pixels.
const SMALLER_SIDE: u32 = 1024;
/// How often, and with what pauses, it is tried to write what a labeler said while the catalog is away.
const WRITES: u32 = 60;
const WRITE_EVERY: Duration = Duration::from_secs(1);

impl Finisher {
    /// Asks for labels and keeps them. `content` is the SHA-256 of the original, as far as it is known.
    pub(super) async fn label(&self, photo: &Photo, content: Option<Sha256>, hand: &Hand) -> Result<(), Trouble> {
        let labels = match &self.labeler {
            None => Vec::new(),
            Some(labeler) => match labeler.paid_as().filter(|_| self.manner.reuse).zip(content) {
                Some((name, content)) => self.asked_once(labeler, photo, (content, &name), hand).await?,
                None => self.asked(labeler, photo, hand).await?,
            },
        };
        let catalog = &self.album.catalog;
        if hand.is_lost() && catalog.photo_with_work_left(photo.id).await?.is_none() {
            // The other has finished it meanwhile.
            return Ok(());
        }
        self.written(|| catalog.save_labels(photo.id, &labels, self.album.now())).await?;
        Ok(())
    }

    /// What the labeler `name` says of `content`, asked now unless it is known.
    async fn asked_once(
        &self,
        labeler: &Arc<dyn Labeler>,
        photo: &Photo,
        (content, name): (Sha256, &str),
        hand: &Hand,
    ) -> Result<Vec<Label>, Trouble> {
        let (catalog, now, mark) = (&self.album.catalog, self.moment().await?, hand.mark());
        match catalog.known_labels(content, name, mark, now, now + self.manner.lease).await? {
            Known::Labels(labels) => return Ok(labels),
            Known::Asked(_) => return Err(Trouble::Wait(jittered(A_MOMENT.min(self.manner.pause)))),
            Known::Nothing => {}
        }
        let answer = tokio::select! {
            answer = self.asked(labeler, photo, hand) => answer,
            never = self.go_on_asking((content, name), mark) => match never {},
        };
        match &answer {
            Ok(labels) => self.written(|| catalog.keep_labels(content, name, labels, self.album.now())).await?,
            // What cannot be noted runs out by itself.
            Err(_) => {
                if let Err(cause) = catalog.stop_asking(content, name, mark).await {
                    tracing::debug!(photo = %photo.id, error = format!("{cause:#}"), "a question runs out by itself");
                }
            }
        }
        answer
    }

    /// Keeps others from asking about the same content, for as long as it is asked to.
    async fn go_on_asking(&self, (content, name): (Sha256, &str), mark: &str) -> Infallible {
        let mut pause = self.manner.lease / 3;
        loop {
            sleep(pause).await;
            let noted = async {
                let until = self.moment().await? + self.manner.lease;
                self.album.catalog.go_on_asking(content, name, mark, until).await
            };
            pause = match noted.await {
                Ok(()) => self.manner.lease / 3,
                Err(cause) => {
                    tracing::warn!(error = format!("{cause:#}"), "that labels are being asked for could not be noted");
                    AFTER_ERROR.min(pause)
                }
            };
        }
    }

    /// What the labeler says of a photo, in its turn.
    async fn asked(&self, labeler: &Arc<dyn Labeler>, photo: &Photo, hand: &Hand) -> Result<Vec<Label>, Trouble> {
        let turn = self.pace.turn().await.map_err(Trouble::Wait)?;
        let path = ObjectPath::rendition(photo.id, Rendition::Display).context("the display rendition has a path")?;
        if labeler.paid_as().is_some() && !hand.pay() {
            return Err(Trouble::Wait(A_MOMENT.min(self.manner.pause)));
        }
        let answer = match labeler.labels_of(&path).await {
            Some(answer) => answer,
            None => labeler.labels(self.picture(photo, &path, labeler.max_bytes()).await?).await,
        };
        match answer {
            Ok(labels) => {
                turn.answered();
                Ok(labels)
            }
            Err(Unlabelled::Never(problem)) => {
                turn.answered();
                Err(Trouble::Never(problem))
            }
            Err(Unlabelled::NotNow { retry_after, cause }) => {
                let pause = turn.refused(retry_after).max(self.manner.pause).min(retry_after.unwrap_or(LONGEST_PAUSE));
                Err(Trouble::NotNow { retry_after: Some(jittered(pause)), cause })
            }
        }
    }

    /// A rendition that is where it should be, and not larger than any of ours.
    async fn rendition(&self, path: &ObjectPath) -> anyhow::Result<Option<Object>> {
        let object = self.album.store.get(path).await.context("reading the display rendition")?;
        Ok(object.filter(|object| object.bytes <= MAX_RENDITION_BYTES))
    }

    /// Makes the renditions of a photo anew that the store has lost.
    async fn remake(&self, photo: &Photo) -> Result<(), Trouble> {
        tracing::warn!(photo = %photo.id, "the store has lost a rendition; it is made anew from the original");
        match self.album.mend_renditions(photo).await? {
            Mended::Yes | Mended::Gone => Ok(()),
            Mended::OriginalMissing => Err(Trouble::Never(FILE_MISSING.to_owned())),
            Mended::OriginalDamaged(_) => Err(Trouble::Never(FILE_DAMAGED.to_owned())),
            Mended::Undeveloped(why) => Err(Trouble::Never(why)),
        }
    }

    /// The bytes of the rendition at `path`, made smaller when they are more than `most`.
    async fn picture(&self, photo: &Photo, path: &ObjectPath, most: usize) -> Result<Bytes, Trouble> {
        let mut object = self.rendition(path).await?;
        if object.is_none() {
            self.remake(photo).await?;
            object = self.rendition(path).await?;
        }
        let Some(mut object) = object else { return Err(Trouble::Never(RENDITION_MISSING.to_owned())) };
        let mut bytes = BytesMut::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
        while let Some(piece) = object.content.try_next().await.context("reading the display rendition")? {
            bytes.extend_from_slice(&piece);
        }
        if bytes.len() <= most {
            return Ok(bytes.freeze());
        }
        let smaller = tokio::task::spawn_blocking(move || imaging::smaller(&bytes, SMALLER_SIDE));
        let smaller = match smaller.await {
            Err(broken) if broken.is_panic() => {
                return Err(Trouble::Never("The gallery broke down over this photo.".to_owned()));
            }
            smaller => smaller.context("making a rendition smaller")?,
        };
        smaller.map(Bytes::from).map_err(|undeveloped| Trouble::Never(undeveloped.to_string()))
    }

    /// Writes what took time or money to get: while the catalog is away, again and again.
    async fn written<T, W: Future<Output = anyhow::Result<T>>>(&self, write: impl Fn() -> W) -> anyhow::Result<T> {
        let mut tries = 1;
        loop {
            match write().await {
                Err(error) if error.downcast_ref::<Outage>().is_some() && tries < WRITES => sleep(WRITE_EVERY).await,
                outcome => return outcome,
            }
            tries += 1;
        }
    }
}
