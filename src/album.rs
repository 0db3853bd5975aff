//! What the app does: receive, list, search, describe, delete, finish (develop and label) photos. No HTTP, no SQL, no AWS.
//!
//! The order of writes keeps the first promise, *a photo is wholly there or not there*: bytes before the row on the way in, the row
//! before the bytes on the way out. What the catalog does not list does not exist.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::{runtime::Handle, sync::RwLock};

use crate::{
    catalog::{Catalog, Inserted, MAX_TERMS, Outage, Totals},
    darkroom::{self, Darkroom},
    error::{Error, Kind},
    events::{Announcement, Events, trace},
    imaging::{self, Renditions, Undeveloped},
    photo::{Description, Label, MediaType, ObjectPath, Owner, Photo, PhotoId, Rendition, Term, TimelineKey},
    store::{Content, Disposition, Media, Object, Store},
};

mod finish;
mod intake;
mod mend;
mod overdue;
mod unfinished;

pub use finish::{Finisher, Manner, Outcome};
pub use intake::{Intake, Receiving, Upload};
pub use mend::{MAX_RENDITION_BYTES, Mended};
pub use unfinished::{Backlog, Place, Unfinished, delay};

/// The longest search, in characters.
pub const MAX_SEARCH_CHARS: usize = 200;
/// How long the answer to a failed upload waits for what was stored to be taken away; that goes on afterwards.
const TIDY_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of the process waits for photos to be given back.
const ERRANDS_PATIENCE: Duration = Duration::from_secs(5);
/// How many photos a page of the timeline holds.
pub const PAGE: u32 = 60;

/// The parts an album is made of.
pub struct Album {
    catalog: Catalog,
    store: Arc<dyn Store>,
    events: Arc<dyn Events>,
    darkroom: Darkroom,
    intake: Intake,
    clock: fn() -> DateTime<Utc>,
    /// Where work runs that must not die with the request that asked for it.
    runtime: Handle,
    /// Read-locked by whatever is still to be written to the catalog before it is closed.
    errands: Arc<RwLock<()>>,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A new photo.
    New(Photo),
    /// The same bytes were here already; this is the photo that holds them.
    AlreadyHere(Photo),
}

impl Received {
    /// The photo, new or not.
    pub fn photo(&self) -> &Photo {
        match self {
            Self::New(photo) | Self::AlreadyHere(photo) => photo,
        }
    }
}

/// What a page of the timeline is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only photos with this label.
    pub label: Option<String>,
    /// Only photos in which all these words occur: description, labels, camera, lens, file name.
    pub text: Option<String>,
    /// Only photos further down the timeline.
    pub before: Option<TimelineKey>,
}

/// One page of the timeline.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest first.
    pub photos: Vec<Photo>,
    /// Where the next page begins, when there is one.
    pub next: Option<TimelineKey>,
}

/// The photos beside one in the timeline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neighbours {
    /// The next newer.
    pub newer: Option<PhotoId>,
    /// The next older.
    pub older: Option<PhotoId>,
}

impl Album {
    /// An album over its parts. To be called on the runtime on which its background work shall live.
    pub fn new(
        catalog: Catalog,
        store: Arc<dyn Store>,
        events: Arc<dyn Events>,
        darkroom: Darkroom,
        intake: Intake,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        Self { catalog, store, events, darkroom, intake, clock, runtime: Handle::current(), errands: Arc::default() }
    }

    /// Begins to receive a file; `raw_name` is what the sender calls it.
    pub fn receive(&self, raw_name: &str) -> Result<Receiving, Error> {
        self.intake.receive(raw_name)
    }

    /// Keeps an upload as a photo of `owner`: checked, developed, stored, listed, announced. Refusals say why. After an error nothing is
    /// listed, unless it was the catalog's own answer that was lost: the same file brought again is then answered with its photo. Work
    /// that has begun to store goes on to its end even when the caller stops waiting.
    pub async fn keep(
        self: &Arc<Self>,
        owner: &Owner,
        upload: Upload,
        description: Description,
    ) -> Result<Received, Error> {
        let media_type = imaging::media_type(upload.head()).map_err(|undeveloped| refusal(&undeveloped))?;
        if let Some(photo) = self.catalog.photo_by_sha256(owner, upload.sha256()).await.map_err(catalog_trouble)? {
            return Ok(Received::AlreadyHere(photo));
        }
        let renditions = self.darkroom.develop(upload.path().to_owned()).await.map_err(unfinished)?;
        let (album, owner) = (Arc::clone(self), owner.clone());
        let writing = async move { album.write(owner, upload, media_type, description, renditions).await };
        let writing = trace::within(trace::current(), writing);
        self.runtime
            .spawn(writing)
            .await
            .map_err(|e| Error::Internal(anyhow::Error::new(e).context("keeping a photo")))?
    }

    /// Bytes, then the row, then the hint.
    async fn write(
        self: &Arc<Self>,
        owner: Owner,
        upload: Upload,
        media_type: MediaType,
        description: Description,
        renditions: Renditions,
    ) -> Result<Received, Error> {
        let now = (self.clock)();
        let id = PhotoId::new(now);
        let taken = renditions.developed.taken.map_or(now, |taken| taken.at.to_utc());
        let photo = Photo {
            id,
            owner,
            timeline_key: TimelineKey::new(taken, id),
            original: ObjectPath::original(id, media_type),
            media_type,
            bytes: upload.bytes(),
            sha256: Some(upload.sha256()),
            file_name: upload.file_name().clone(),
            description,
            created_at: now,
            developed: Some(renditions.developed.clone()),
            labelled_at: None,
            problem: None,
            label_text: String::new(),
        };
        let stored = async {
            self.store.put(&photo.original, media_type, Content::File(upload.path())).await?;
            self.put_renditions(id, &renditions).await
        };
        if let Err(cause) = stored.await {
            let (album, paths) = (Arc::clone(self), photo.objects());
            let forgetting = self.runtime.spawn(async move { album.forget(paths).await });
            // A store that does not answer must not keep the visitor waiting for what only tidies up.
            let _ = tokio::time::timeout(TIDY_PATIENCE, forgetting).await;
            return Err(Error::outside(cause.context("storing the photo")));
        }
        match self.catalog.insert_photo(&photo).await {
            Ok(Inserted::New) => {}
            Ok(Inserted::AlreadyHere(there)) => {
                self.forget(photo.objects()).await;
                return Ok(Received::AlreadyHere(*there));
            }
            Err(cause) => {
                // After an outage the answer may be lost while the row is there, or comes to be there yet: its bytes must stay.
                // Bytes whose row never comes are seen by nobody.
                let lost = cause.downcast_ref::<Outage>().is_some();
                match self.catalog.photo(&photo.owner, id).await {
                    Ok(Some(_)) => {}
                    listed => {
                        if !lost && listed.is_ok() {
                            self.forget(photo.objects()).await;
                        }
                        return Err(catalog_trouble(cause.context("listing the photo")));
                    }
                }
            }
        }
        self.announce(&photo).await;
        Ok(Received::New(photo))
    }

    /// Tells workers and other listeners of a photo that waits; when that fails, the sweep tells them later.
    async fn announce(&self, photo: &Photo) {
        if let Err(cause) = self.events.announce(&announcement(photo)).await {
            tracing::warn!(photo = %photo.id, error = format!("{cause:#}"), "a photo could not be announced; the sweep will find it");
        }
    }

    /// Tells workers again of a photo that waits; when that fails, the sweep tells them later.
    pub async fn remind(&self, photo: &Photo) {
        if let Err(cause) = self.events.remind(&announcement(photo)).await {
            tracing::warn!(photo = %photo.id, error = format!("{cause:#}"), "no worker could be told of a photo; the sweep will find it");
        }
    }

    async fn put_renditions(&self, id: PhotoId, renditions: &Renditions) -> anyhow::Result<()> {
        for (rendition, bytes) in [(Rendition::Display, &renditions.display), (Rendition::Thumb, &renditions.thumb)] {
            let path = ObjectPath::rendition(id, rendition).context("a rendition has a path")?;
            self.store.put(&path, MediaType::Jpeg, Content::Bytes(bytes)).await?;
        }
        Ok(())
    }

    /// Takes away objects that no row lists. What cannot be taken away now stays behind, seen by nobody; the log names it.
    async fn forget(&self, paths: Vec<ObjectPath>) {
        for path in paths {
            if let Err(cause) = self.store.delete(&path).await {
                tracing::warn!(%path, error = format!("{cause:#}"), "an object without a row stays behind");
            }
        }
    }

    /// One page of `owner`'s timeline, newest first.
    pub async fn page(&self, owner: &Owner, query: &Query) -> Result<Page, Error> {
        let Some(terms) = terms(query)? else { return Ok(Page::default()) };
        let mut photos =
            self.catalog.photos(owner, &terms, query.before.as_ref(), PAGE + 1).await.map_err(catalog_trouble)?;
        let more = photos.len() > PAGE as usize;
        photos.truncate(PAGE as usize);
        let next = photos.last().filter(|_| more).map(|photo| photo.timeline_key.clone());
        Ok(Page { photos, next })
    }

    /// A photo of `owner`'s.
    pub async fn photo(&self, owner: &Owner, id: PhotoId) -> Result<Photo, Error> {
        self.catalog.photo(owner, id).await.map_err(catalog_trouble)?.ok_or(Error::NotFound)
    }

    /// The labels of photos, surest first.
    pub async fn labels(&self, photos: &[PhotoId]) -> Result<HashMap<PhotoId, Vec<Label>>, Error> {
        self.catalog.labels(photos).await.map_err(catalog_trouble)
    }

    /// The photos beside `photo` in its owner's timeline.
    pub async fn neighbours(&self, photo: &Photo) -> Result<Neighbours, Error> {
        let newer = self.catalog.newer(&photo.owner, &photo.timeline_key).await.map_err(catalog_trouble)?;
        let older = self.catalog.older(&photo.owner, &photo.timeline_key).await.map_err(catalog_trouble)?;
        Ok(Neighbours { newer, older })
    }

    /// How much `owner` has.
    pub async fn totals(&self, owner: &Owner) -> Result<Totals, Error> {
        self.catalog.totals(owner).await.map_err(catalog_trouble)
    }

    /// `owner`'s labels with the number of photos of each, most frequent first, at most 1,000.
    pub async fn label_totals(&self, owner: &Owner) -> Result<Vec<(String, u64)>, Error> {
        self.catalog.label_totals(owner).await.map_err(catalog_trouble)
    }

    /// Writes a photo's description.
    pub async fn describe(&self, owner: &Owner, id: PhotoId, description: &Description) -> Result<(), Error> {
        let found = self.catalog.describe(owner, id, description).await.map_err(catalog_trouble)?;
        if found { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Deletes a photo: the row at once, then its objects; what a fault leaves of these is swept later.
    pub async fn delete(self: &Arc<Self>, owner: &Owner, id: PhotoId) -> Result<(), Error> {
        let (album, owner) = (Arc::clone(self), owner.clone());
        let deleting = async move {
            let paths = album
                .catalog
                .delete_photo(&owner, id, album.now())
                .await
                .map_err(catalog_trouble)?
                .ok_or(Error::NotFound)?;
            if let Err(cause) = album.discard(&paths).await {
                tracing::warn!(error = format!("{cause:#}"), "the sweep will delete objects that are gone already");
            }
            Ok(())
        };
        self.runtime
            .spawn(deleting)
            .await
            .map_err(|e| Error::Internal(anyhow::Error::new(e).context("deleting a photo")))?
    }

    /// Deletes the objects of deleted photos and then forgets that they were to be deleted. Those that the store does not delete now.
    async fn discard(&self, paths: &[ObjectPath]) -> anyhow::Result<Vec<ObjectPath>> {
        let (mut deleted, mut left) = (Vec::with_capacity(paths.len()), Vec::new());
        for path in paths {
            match self.store.delete(path).await {
                Ok(()) => deleted.push(path.clone()),
                Err(cause) => {
                    tracing::warn!(
                        %path,
                        error = format!("{cause:#}"),
                        "an object of a deleted photo is still there; the sweep will delete it"
                    );
                    left.push(path.clone());
                }
            }
        }
        self.catalog.clear_discarded(&deleted).await?;
        Ok(left)
    }

    /// A signed link to one rendition of a photo; the original is for saving under its own name.
    pub async fn link(&self, photo: &Photo, rendition: Rendition) -> Result<String, Error> {
        let linked = match ObjectPath::rendition(photo.id, rendition) {
            None => {
                let disposition = Disposition::Attachment(photo.file_name.clone());
                self.store.link(&photo.original, photo.media_type, &disposition).await
            }
            Some(path) => self.store.link(&path, MediaType::Jpeg, &Disposition::Inline).await,
        };
        linked.map_err(Error::outside)
    }

    /// The original of a photo; `None` when the store does not have it.
    pub async fn original(&self, photo: &Photo) -> Result<Option<Object>, Error> {
        self.store.get(&photo.original).await.map_err(Error::outside)
    }

    /// A temporary file that is gone with its handle.
    pub fn scratch(&self) -> Result<tokio::fs::File, Error> {
        self.intake.scratch()
    }

    /// What a signed link of this gallery's own leads to; `None` when it is forged or has expired, or when the store's links lead elsewhere.
    pub fn media(&self, path: &str, query: &str) -> Option<Media> {
        self.store.media(path, query)
    }

    /// Waits, no longer than `patience`, until photos are given back whose finishing was dropped.
    pub async fn run_errands(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.errands.write()).await.is_err() {
            tracing::warn!(
                "photos in hand could not be given back; they are taken up again as if this process had died"
            );
        }
    }

    /// Closes the catalog's connections once they are returned; the album cannot be used afterwards.
    pub async fn close(&self) {
        self.run_errands(ERRANDS_PATIENCE).await;
        self.catalog.close().await;
    }

    /// The moment, by the album's clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}

/// What is told of a photo that waits.
fn announcement(photo: &Photo) -> Announcement {
    Announcement {
        photo: photo.id,
        owner: photo.owner.clone(),
        original: photo.original.clone(),
        media_type: photo.media_type,
        bytes: photo.bytes,
        uploaded_at: photo.created_at,
    }
}

/// The terms a query asks for; `None` when its text holds no word at all, so that nothing can match.
fn terms(query: &Query) -> Result<Option<Vec<Term>>, Error> {
    let mut terms: Vec<Term> = query.label.iter().map(|name| Term::label(name)).collect();
    if let Some(text) = &query.text {
        if text.chars().count() > MAX_SEARCH_CHARS {
            return Err(Error::refused(
                Kind::Malformed,
                format!("A search has at most {MAX_SEARCH_CHARS} characters. Please use fewer words."),
            ));
        }
        let words = Term::words(text);
        if words.is_empty() && !text.trim().is_empty() {
            return Ok(None);
        }
        terms.extend(words);
        if terms.len() > MAX_TERMS {
            return Err(Error::refused(
                Kind::Malformed,
                format!("A search has at most {MAX_TERMS} words, a label counting as one. Please use fewer."),
            ));
        }
    }
    Ok(Some(terms))
}

/// What an error of the catalog means for the visitor: 503 while it is away, 507 when its disk is full, else our mistake.
pub(crate) fn catalog_trouble(cause: anyhow::Error) -> Error {
    match cause.downcast_ref::<Outage>() {
        Some(Outage::Down { .. }) => Error::Unavailable { retry_after: Duration::from_secs(5), cause },
        Some(Outage::Full { .. }) => Error::Full(cause),
        None => Error::Internal(cause),
    }
}

fn refusal(undeveloped: &Undeveloped) -> Error {
    let kind = match undeveloped.kind() {
        imaging::Kind::Type => Kind::Type,
        imaging::Kind::TooBig => Kind::TooLarge,
        imaging::Kind::Content => Kind::Content,
    };
    Error::refused(kind, undeveloped.to_string())
}

fn unfinished(unfinished: darkroom::Unfinished) -> Error {
    match unfinished {
        darkroom::Unfinished::Undeveloped(undeveloped) => refusal(&undeveloped),
        darkroom::Unfinished::Busy => Error::Unavailable {
            retry_after: Duration::from_secs(10),
            cause: anyhow::anyhow!("the darkroom's queue is full"),
        },
        darkroom::Unfinished::Failed(cause) => Error::outside(cause),
    }
}
