//! Making a photo whole again after its store has lost something of it.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;

use super::Album;
use crate::{
    darkroom::Unfinished,
    photo::{ObjectPath, Photo, Rendition},
};

/// The largest rendition read back, in bytes; ours are a tenth of it.
pub const MAX_RENDITION_BYTES: u64 = 16 << 20;
/// How long a full darkroom is waited for between two tries, and how many there are.
const DARKROOM_PAUSE: Duration = Duration::from_secs(1);
const DARKROOM_TRIES: u32 = 60;

/// What became of a photo's renditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// They are made anew.
    Yes,
    /// The original is not there.
    OriginalMissing,
    /// The original is not what was uploaded; the sentence says how it differs.
    OriginalDamaged(String),
    /// The original is what was uploaded, and cannot be developed by today's limits; the sentence says why.
    Undeveloped(String),
    /// The photo was deleted meanwhile.
    Gone,
}

impl Album {
    /// Makes the renditions of a developed photo anew from its original, which must be what was uploaded, and replaces what there is of them.
    pub async fn mend_renditions(&self, photo: &Photo) -> anyhow::Result<Mended> {
        let Some(mut object) = self.store.get(&photo.original).await.context("reading the original")? else {
            return Ok(Mended::OriginalMissing);
        };
        let mut receiving = self.receive(photo.file_name.as_str())?;
        while let Some(piece) = object.content.try_next().await.context("reading the original")? {
            receiving.write(&piece).await?;
        }
        let upload = receiving.finish().await?;
        if photo.sha256.is_some_and(|sha256| sha256 != upload.sha256()) {
            return Ok(Mended::OriginalDamaged("its SHA-256 is another".to_owned()));
        }
        let mut tries = 0;
        let renditions = loop {
            tries += 1;
            match self.darkroom.develop(upload.path().to_owned()).await {
                Ok(renditions) => break renditions,
                Err(Unfinished::Undeveloped(undeveloped)) => {
                    return Ok(Mended::Undeveloped(undeveloped.to_string()));
                }
                Err(Unfinished::Busy) if tries < DARKROOM_TRIES => tokio::time::sleep(DARKROOM_PAUSE).await,
                Err(unfinished) => return Err(unfinished.into()),
            }
        };
        self.put_renditions(photo.id, &renditions).await.context("storing the renditions")?;
        if self.catalog.photo(&photo.owner, photo.id).await?.is_none() {
            let made = [Rendition::Display, Rendition::Thumb];
            self.forget(made.into_iter().filter_map(|size| ObjectPath::rendition(photo.id, size)).collect()).await;
            return Ok(Mended::Gone);
        }
        Ok(Mended::Yes)
    }
}
