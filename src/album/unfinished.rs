//! What is unfinished, as its owner sees it, and another try for what has failed.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Album, Page, catalog_trouble};
use crate::{
    catalog::{COUNTED, Progress, Stage},
    error::Error,
    photo::{Owner, Photo, PhotoId, State, TimelineKey, grouped},
};

/// How many photos a page of what is unfinished holds.
const PAGE: u32 = 60;
/// How many failed photos are given another try at once.
const BATCH: u32 = 64;
/// How many such batches one call sees to.
const BATCHES: u32 = 64;
/// A next try that is nearer than this is not worth a word.
const NEAR: TimeDelta = TimeDelta::seconds(30);
/// How long a photo may be due before that is worth a word.
const USUAL: TimeDelta = TimeDelta::minutes(2);
/// How long a photo may be due, and in nobody's hands, before it is said to wait.
const TURN: TimeDelta = TimeDelta::seconds(10);

/// Where a page of what is unfinished begins: failed photos stand before those that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// With the photos of which stage.
    pub stage: Stage,
    /// Below this one; at the top without.
    pub before: Option<TimelineKey>,
}

/// One page of what is unfinished.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    /// Newest first.
    pub failed: Vec<Photo>,
    /// Newest first.
    pub waiting: Vec<Photo>,
    /// Where the next page begins, when there is one.
    pub next: Option<Place>,
}

/// How many photos are unfinished; counts beyond [`COUNTED`] are one more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Backlog {
    /// How many wait, or are in a worker's hands.
    pub waiting: u64,
    /// How many have failed.
    pub failed: u64,
}

impl Backlog {
    /// Whether there is nothing unfinished.
    pub fn is_none(&self) -> bool {
        self.waiting == 0 && self.failed == 0
    }
}

impl std::fmt::Display for Backlog {
    /// `3 photos could not be finished, 12 wait for their labels`; `All photos are labelled`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |count: u64| {
            if count > COUNTED { format!("more than {}", grouped(COUNTED)) } else { grouped(count) }
        };
        let photos = |count: u64| format!("{} {}", number(count), if count == 1 { "photo" } else { "photos" });
        let wait = if self.waiting == 1 { "waits for its labels" } else { "wait for their labels" };
        match (self.failed, self.waiting) {
            (0, 0) => f.write_str("All photos are labelled"),
            (0, waiting) => write!(f, "{} {wait}", photos(waiting)),
            (failed, 0) => write!(f, "{} could not be finished", photos(failed)),
            (failed, waiting) => {
                write!(f, "{} could not be finished, {} {wait}", photos(failed), number(waiting))
            }
        }
    }
}

/// What the owner should know at the moment `now` about a photo that takes longer than usual; `None` while all is as it should be.
pub fn delay(progress: &Progress, now: DateTime<Utc>) -> Option<String> {
    let doing = match progress.state {
        State::Stored => "Preparing",
        State::Labelling => "Labelling",
        State::Labelled | State::Failed => return None,
    };
    let until = progress.due? - now;
    if until > NEAR && !progress.in_hand {
        // Rounded to the nearest minute, so that it is said again once a minute at most.
        let minutes = ((until.num_seconds() + 30) / 60).max(1);
        return Some(format!(
            "{doing} has been put off: the next try is in about {minutes} {}.",
            if minutes == 1 { "minute" } else { "minutes" }
        ));
    }
    if until < -USUAL {
        return Some(format!("{doing} takes longer than usual. It goes on by itself; nothing is lost."));
    }
    if until < -TURN && !progress.in_hand {
        let done = if progress.state == State::Stored { "prepared" } else { "labelled" };
        return Some(format!("Waiting to be {done}."));
    }
    (progress.attempts > 2).then(|| format!("{doing} did not work at first and is being tried again."))
}

impl Album {
    /// One page of what is unfinished of `owner`'s; the first one without a place.
    pub async fn unfinished(&self, owner: &Owner, place: Option<&Place>) -> Result<Unfinished, Error> {
        let mut page = Unfinished::default();
        let mut room = PAGE;
        if place.is_none_or(|place| place.stage == Stage::Failed) {
            let before = place.and_then(|place| place.before.as_ref());
            let Page { photos, next } = self.unfinished_in(owner, Stage::Failed, before, room).await?;
            room -= u32::try_from(photos.len()).unwrap_or(room);
            page.failed = photos;
            if next.is_some() {
                page.next = Some(Place { stage: Stage::Failed, before: next });
                return Ok(page);
            }
        }
        let before = place.filter(|place| place.stage == Stage::Waiting).and_then(|place| place.before.as_ref());
        let Page { photos, next } = self.unfinished_in(owner, Stage::Waiting, before, room).await?;
        let more = next.is_some();
        page.next = more.then_some(Place { stage: Stage::Waiting, before: next.filter(|_| room > 0) });
        page.waiting = photos;
        Ok(page)
    }

    /// At most `room` photos of a stage, and below which one there are more.
    async fn unfinished_in(
        &self,
        owner: &Owner,
        stage: Stage,
        before: Option<&TimelineKey>,
        room: u32,
    ) -> Result<Page, Error> {
        let mut photos = self.catalog.unfinished_of(owner, stage, before, room + 1).await.map_err(catalog_trouble)?;
        let more = photos.len() > room as usize;
        // Without room the one that was found stands for the others: the next page begins at the top.
        let top = photos.first().map(|photo| photo.timeline_key.clone());
        photos.truncate(room as usize);
        let last = photos.last().map(|photo| photo.timeline_key.clone()).or(top);
        Ok(Page { photos, next: last.filter(|_| more) })
    }

    /// How much is unfinished of `owner`'s.
    pub async fn unfinishedness(&self, owner: &Owner) -> Result<Backlog, Error> {
        let (waiting, failed) = self.catalog.count_unfinished(owner).await.map_err(catalog_trouble)?;
        Ok(Backlog { waiting, failed })
    }

    /// Those of `photos` that are `owner`'s, in no order.
    pub async fn photos_among(&self, owner: &Owner, photos: &[PhotoId]) -> Result<Vec<Photo>, Error> {
        self.catalog.photos_among(owner, photos).await.map_err(catalog_trouble)
    }

    /// How far photos have come, whoever owns them: what is told of it, is told to their owner.
    pub async fn progress(&self, photos: &[PhotoId]) -> Result<HashMap<PhotoId, Progress>, Error> {
        self.catalog.progress(photos).await.map_err(catalog_trouble)
    }

    /// Gives a failed photo of `owner`'s another try, as if it had never been tried; does nothing to one that has not failed. The photo after that.
    pub async fn retry(&self, owner: &Owner, id: PhotoId) -> Result<Photo, Error> {
        let retried = self.catalog.retry(owner, &[id], self.now()).await.map_err(catalog_trouble)?;
        let photo = self.photo(owner, id).await?;
        if retried > 0 {
            self.remind(&photo).await;
        }
        Ok(photo)
    }

    /// Gives `owner`'s failed photos another try, at most some thousands of them in one call, each once. The number of them.
    pub async fn retry_all(self: &Arc<Self>, owner: &Owner) -> Result<u64, Error> {
        let mut retried = 0;
        let mut before: Option<TimelineKey> = None;
        for _ in 0..BATCHES {
            let failed = self.catalog.unfinished_of(owner, Stage::Failed, before.as_ref(), BATCH).await;
            let failed = failed.map_err(catalog_trouble)?;
            let Some(last) = failed.last() else { break };
            before = Some(last.timeline_key.clone());
            let ids: Vec<PhotoId> = failed.iter().map(|photo| photo.id).collect();
            retried += self.catalog.retry(owner, &ids, self.now()).await.map_err(catalog_trouble)?;
            let album = Arc::clone(self);
            // Whatever is not announced any more, because this instance ends, the sweep finds.
            self.runtime.spawn(async move {
                for photo in failed {
                    album.remind(&photo).await;
                }
            });
        }
        Ok(retried)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Backlog, delay};
    use crate::{catalog::Progress, photo::State};

    #[test]
    fn what_is_unfinished_is_told_in_a_sentence() {
        for (failed, waiting, told) in [
            (0, 0, "All photos are labelled"),
            (0, 1, "1 photo waits for its labels"),
            (0, 12, "12 photos wait for their labels"),
            (1, 0, "1 photo could not be finished"),
            (3, 0, "3 photos could not be finished"),
            (3, 1, "3 photos could not be finished, 1 waits for its labels"),
            (1, 12, "1 photo could not be finished, 12 wait for their labels"),
            (1000, 1001, "1,000 photos could not be finished, more than 1,000 wait for their labels"),
        ] {
            assert_eq!(Backlog { waiting, failed }.to_string(), told);
        }
    }

    #[test]
    fn a_photo_that_takes_longer_than_usual_says_so() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a moment");
        let progress = |state, seconds: i64, attempts| Progress {
            state,
            due: Some(now + TimeDelta::seconds(seconds)),
            in_hand: false,
            attempts,
        };
        let of_progress = delay;
        let delay = |state, seconds, attempts| of_progress(&progress(state, seconds, attempts), now);
        assert_eq!(delay(State::Labelling, 0, 0), None);
        assert_eq!(delay(State::Labelling, 20, 1), None);
        assert_eq!(
            of_progress(&Progress { in_hand: true, ..progress(State::Labelling, 240, 1) }, now),
            None,
            "somebody is at it"
        );
        assert_eq!(delay(State::Labelling, -9, 0), None);
        assert_eq!(delay(State::Labelling, -100, 0).as_deref(), Some("Waiting to be labelled."));
        assert_eq!(delay(State::Stored, -11, 3).as_deref(), Some("Waiting to be prepared."));
        assert_eq!(
            of_progress(&Progress { in_hand: true, ..progress(State::Labelling, -100, 1) }, now),
            None,
            "somebody has it"
        );
        let put_off = |minutes: &str| Some(format!("Labelling has been put off: the next try is in about {minutes}."));
        assert_eq!(delay(State::Labelling, 31, 1), put_off("1 minute"));
        assert_eq!(delay(State::Labelling, 61, 3), put_off("1 minute"));
        assert_eq!(delay(State::Labelling, 240, 5), put_off("4 minutes"));
        assert_eq!(delay(State::Labelling, 269, 5), put_off("4 minutes"));
        assert!(delay(State::Stored, 600, 9).is_some_and(|told| told.starts_with("Preparing has been put off")));
        assert!(delay(State::Labelling, -121, 0).is_some_and(|told| told.contains("longer than usual")));
        assert!(delay(State::Labelling, 20, 3).is_some_and(|told| told.contains("tried again")));
        assert_eq!(delay(State::Labelled, 600, 9), None);
        assert_eq!(delay(State::Failed, 600, 9), None);
    }
}
