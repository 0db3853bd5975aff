//! Photos that no message brought forward in time: found in the catalog, and told of again.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::Finisher;
use crate::{
    catalog::{Claim, Outage},
    events::Subject,
    photo::{ObjectPath, PhotoId, Rendition},
};

/// How many announcements are on their way at once.
const AT_ONCE: usize = 8;
/// The lease of the one who tells.
const SWEEP: &str = "sweep";
/// For how long a photo is put off whose row cannot be read.
const SET_ASIDE: Duration = Duration::from_mins(10);

/// Whether the catalog as a whole is away.
fn is_outage(cause: &anyhow::Error) -> bool {
    cause.downcast_ref::<Outage>().is_some()
}

impl Finisher {
    /// Photos whose work has been due for `long`, at most `limit`, longest waiting first.
    pub async fn overdue(&self, long: Duration, limit: u32) -> anyhow::Result<Vec<PhotoId>> {
        self.album.catalog.unfinished(self.moment().await? - long, limit).await
    }

    /// Tells workers again of photos; how many. The first that cannot be told of ends it: the others could not be either. A row that cannot be
    /// read keeps no other from being told of.
    pub async fn announce_again(&self, photos: Vec<PhotoId>) -> anyhow::Result<usize> {
        let mut announcing = stream::iter(photos).map(|photo| self.announce_one_again(photo)).buffer_unordered(AT_ONCE);
        let mut announced = 0;
        while let Some(done) = announcing.next().await {
            match done {
                Ok(told) => announced += usize::from(told),
                Err(cause) if announced == 0 => return Err(cause),
                Err(cause) => {
                    tracing::warn!(error = format!("{cause:#}"), announced, "the next sweep tells of the other photos");
                    break;
                }
            }
        }
        Ok(announced)
    }

    async fn announce_one_again(&self, id: PhotoId) -> anyhow::Result<bool> {
        let photo = match self.album.catalog.photo_with_work_left(id).await {
            Ok(photo) => photo,
            Err(cause) if is_outage(&cause) => return Err(cause),
            Err(cause) => {
                tracing::error!(photo = %id, error = format!("{cause:#}"), "a photo is put off, as its row cannot be read");
                match self.set_aside(id).await {
                    Err(cause) if is_outage(&cause) => return Err(cause),
                    Err(cause) => {
                        tracing::error!(photo = %id, error = format!("{cause:#}"), "a photo cannot be put off");
                    }
                    Ok(()) => {}
                }
                None
            }
        };
        let Some(photo) = photo else { return Ok(false) };
        self.album.events.remind(&super::announcement(&photo)).await?;
        Ok(true)
    }

    /// Puts a photo off whose row cannot be read.
    async fn set_aside(&self, id: PhotoId) -> anyhow::Result<()> {
        let (now, catalog) = (self.moment().await?, &self.album.catalog);
        match catalog.claim(id, now, now + SET_ASIDE).await? {
            Claim::Damaged { mark, .. } => catalog.put_off(id, &mark, now + SET_ASIDE).await,
            Claim::Won(claimed) => catalog.put_off(id, &claimed.mark, now).await,
            Claim::InOtherHands(_) | Claim::PutOff(_) | Claim::Finished | Claim::Unlisted => Ok(()),
        }
    }

    /// Whether `holder` alone may tell of overdue photos for so `long` from now on.
    pub async fn may_sweep(&self, holder: &str, long: Duration) -> anyhow::Result<bool> {
        let now = self.moment().await?;
        self.album.catalog.take_lease(SWEEP, holder, now, now + long).await
    }

    /// Whether the store still holds what a message tells of, although the catalog does not list it.
    pub async fn is_stored(&self, subject: &Subject) -> anyhow::Result<bool> {
        let path = match subject {
            Subject::Object(path) => Some(path.clone()),
            Subject::Photo(photo) => ObjectPath::rendition(*photo, Rendition::Display),
        };
        match path {
            Some(path) => Ok(self.album.store.size(&path).await?.is_some()),
            None => Ok(false),
        }
    }
}
