//! A photo in the hands of this process: given back whatever becomes of the one who works on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::{album::Album, catalog::Catalog, photo::PhotoId};

/// How often, and with what pauses, it is tried to give back a photo while the catalog is away: for an hour.
const TRIES: u32 = 1800;
const TRY_EVERY: Duration = Duration::from_secs(2);

/// The photo is in this hand, and may be left at any moment.
const HELD: u8 = 0;
/// A labeler that costs money is being asked.
const PAYING: u8 = 1;
/// Another has the photo by now.
const LOST: u8 = 2;

/// A photo in hand, by the mark of its claim. Dropped before it is [emptied](Self::emptied), because nobody waits for the work any more, it gives the
/// photo back.
pub(super) struct Hand {
    album: Arc<Album>,
    photo: PhotoId,
    mark: String,
    state: AtomicU8,
    /// Whether there is something to give back.
    full: bool,
}

impl Hand {
    /// A hand about to take `photo`.
    pub(super) fn new(album: Arc<Album>, photo: PhotoId) -> anyhow::Result<Self> {
        Ok(Self { album, photo, mark: Catalog::mark()?, state: AtomicU8::new(HELD), full: true })
    }

    pub(super) fn photo(&self) -> PhotoId {
        self.photo
    }

    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Says that a labeler that costs money is asked from now on; false when the photo is another's by now, who asks.
    pub(super) fn pay(&self) -> bool {
        self.state.compare_exchange(HELD, PAYING, Ordering::AcqRel, Ordering::Acquire).is_ok() || !self.is_lost()
    }

    /// Says that the photo is another's now; true when it can be left to that one, as nothing has been paid for here.
    pub(super) fn lose(&self) -> bool {
        self.state.swap(LOST, Ordering::AcqRel) != PAYING
    }

    /// Whether the photo is another's by now.
    pub(super) fn is_lost(&self) -> bool {
        self.state.load(Ordering::Acquire) == LOST
    }

    /// Nothing is to be given back.
    pub(super) fn emptied(mut self) {
        self.full = false;
    }

    /// Gives the photo back for `pause`. While the catalog is away that is tried on and on, so that whoever takes the photo up next does not take
    /// this worker for dead.
    pub(super) async fn put_off(mut self, pause: Duration) -> anyhow::Result<()> {
        let outcome = given_back(&self.album, self.photo, &self.mark, pause).await;
        if outcome.is_err() {
            self.give_back_later(pause, TRY_EVERY);
        }
        self.full = false;
        outcome
    }

    fn give_back_later(&self, pause: Duration, first: Duration) {
        let (album, photo, mark) = (Arc::clone(&self.album), self.photo, self.mark.clone());
        let errand = Arc::clone(&self.album.errands).try_read_owned();
        self.album.runtime.spawn(async move {
            let _errand = errand;
            sleep(first).await;
            for _ in 0..TRIES {
                if given_back(&album, photo, &mark, pause).await.is_ok() {
                    return;
                }
                sleep(TRY_EVERY).await;
            }
        });
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if self.full {
            self.give_back_later(Duration::ZERO, Duration::ZERO);
        }
    }
}

async fn given_back(album: &Album, photo: PhotoId, mark: &str, pause: Duration) -> anyhow::Result<()> {
    let until = album.catalog.moment(album.now()).await? + pause;
    album.catalog.put_off(photo, mark, until).await
}
