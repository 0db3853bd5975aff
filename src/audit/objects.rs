//! Whether the objects of a photo are there and whole, and making its renditions anew.

use anyhow::Context as _;
use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use sha2::Digest as _;

use super::{Finding, Kind, Round, too_many};
use crate::{
    album::{MAX_RENDITION_BYTES, Mended},
    imaging,
    photo::{FILE_DAMAGED, FILE_MISSING, ObjectPath, Photo, PhotoId, RENDITION_MISSING, Rendition, Sha256},
    store::Store,
};

/// How often a photo that changes is looked at.
const LOOKS: usize = 3;

/// An object that a photo has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    size: Rendition,
    path: ObjectPath,
    /// How it is damaged; `None` when it is not there.
    damage: Option<String>,
}

/// The length that the original must have; an earlier app's is known once it is developed.
pub(super) fn bytes_of(photo: &Photo) -> Option<u64> {
    (photo.developed.is_some() || photo.sha256.is_some()).then_some(photo.bytes)
}

/// Which objects of a photo are missing or damaged: by their length or, when they are to be `read`, by their content.
pub(super) async fn losses(store: &dyn Store, photo: &Photo, read: bool) -> anyhow::Result<Vec<Loss>> {
    let mut losses = Vec::new();
    let mut lost = |size, path: &ObjectPath, damage| losses.push(Loss { size, path: path.clone(), damage });
    let original = &photo.original;
    let state = if read { original_read(store, photo).await? } else { original_sized(store, photo).await? };
    match state {
        State::Whole => {}
        State::Missing => lost(Rendition::Original, original, None),
        State::Damaged(how) => lost(Rendition::Original, original, Some(how)),
    }
    let Some(developed) = &photo.developed else { return Ok(losses) };
    for size in [Rendition::Display, Rendition::Thumb] {
        let Some(path) = ObjectPath::rendition(photo.id, size) else { continue };
        let expected = imaging::rendition_size(developed.width, developed.height, size);
        let state = if read {
            rendition_read(store, &path, expected).await?
        } else if store.size(&path).await?.is_some() {
            State::Whole
        } else {
            State::Missing
        };
        match state {
            State::Whole => {}
            State::Missing => lost(size, &path, None),
            State::Damaged(how) => lost(size, &path, Some(how)),
        }
    }
    Ok(losses)
}

/// How an object was found.
enum State {
    Whole,
    Missing,
    Damaged(String),
}

async fn original_sized(store: &dyn Store, photo: &Photo) -> anyhow::Result<State> {
    Ok(match (store.size(&photo.original).await?, bytes_of(photo)) {
        (None, _) => State::Missing,
        (Some(there), Some(bytes)) if there != bytes => State::Damaged(format!("it has {there} bytes, not {bytes}")),
        _ => State::Whole,
    })
}

async fn original_read(store: &dyn Store, photo: &Photo) -> anyhow::Result<State> {
    let Some(object) = store.get(&photo.original).await? else { return Ok(State::Missing) };
    let (mut hash, mut read, mut content) = (sha2::Sha256::new(), 0, object.content);
    loop {
        match content.try_next().await {
            Ok(Some(piece)) => {
                read += piece.len() as u64;
                hash.update(&piece);
            }
            Ok(None) => break,
            Err(cause) => return unreadable(store, &photo.original, cause.into()).await,
        }
    }
    if let Some(bytes) = bytes_of(photo)
        && read != bytes
    {
        return Ok(State::Damaged(format!("it has {read} bytes, not {bytes}")));
    }
    let other = photo.sha256.is_some_and(|sha256| sha256 != Sha256(hash.finalize().into()));
    Ok(if other { State::Damaged("its SHA-256 is another".to_owned()) } else { State::Whole })
}

async fn rendition_read(store: &dyn Store, path: &ObjectPath, expected: Option<(u32, u32)>) -> anyhow::Result<State> {
    let Some(object) = store.get(path).await? else { return Ok(State::Missing) };
    if object.bytes > MAX_RENDITION_BYTES {
        return Ok(State::Damaged(format!("it has {} bytes, more than any rendition", object.bytes)));
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
    let mut content = object.content;
    loop {
        match content.try_next().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => break,
            Err(cause) => return unreadable(store, path, cause.into()).await,
        }
    }
    let proof = tokio::task::spawn_blocking(move || imaging::proof(&bytes)).await.context("decoding a rendition")?;
    Ok(match proof {
        Err(undeveloped) => State::Damaged(undeveloped.to_string().trim_end_matches('.').to_owned()),
        Ok(size) if expected.is_some_and(|expected| expected != size) => {
            let (width, height) = size;
            State::Damaged(format!("it is a picture of {width} x {height} pixels, which is not its size"))
        }
        Ok(_) => State::Whole,
    })
}

/// What it means that an object broke off while it was read. The line to the store may have torn as well as the object: that is no finding.
async fn unreadable(store: &dyn Store, path: &ObjectPath, cause: anyhow::Error) -> anyhow::Result<State> {
    match store.size(path).await {
        Ok(None) => Ok(State::Missing),
        Ok(Some(_)) | Err(_) => Err(cause.context(format!("reading {path} to its end"))),
    }
}

impl Round<'_> {
    /// Looks closely at the objects of a photo, and says what it has lost. The row is read before and after: what it says of the photo must
    /// have held all the while.
    pub(super) async fn look(&mut self, id: PhotoId) -> anyhow::Result<()> {
        if !self.looked.insert(id) {
            return Ok(());
        }
        for look in 1..=LOOKS {
            let Some(photo) = self.listed(id).await? else { return Ok(()) };
            let losses = losses(self.store(), &photo, self.how.deep).await?;
            if losses.is_empty() {
                return self.whole(&photo).await;
            }
            match self.listed(id).await? {
                None => return Ok(()),
                Some(still) if still == photo || look == LOOKS => return self.lost(&still, losses).await,
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn listed(&self, id: PhotoId) -> anyhow::Result<Option<Photo>> {
        let row = self.catalog().inspect_again(&id.to_string(), &self.due(), None).await?;
        Ok(row.and_then(|row| row.photo))
    }

    /// A photo has all its objects; a mark that says otherwise is wrong.
    async fn whole(&mut self, photo: &Photo) -> anyhow::Result<()> {
        let Some(problem) = marked(photo) else { return Ok(()) };
        if problem == FILE_DAMAGED && !self.how.deep {
            let what = format!("The original of photo {}, {}, was found damaged.", photo.id, photo.original);
            let remedy = "Put the file back from a backup of the store; `--deep` reads it anew, and with `--repair` takes the mark off.";
            self.found(&about(
                photo,
                Some(&Loss::of_original(photo, None)),
                Finding::of(Kind::OriginalDamaged, what, remedy),
            ));
            return Ok(());
        }
        if self.how.repair && self.catalog().mark_whole(photo.id, problem, self.now).await? {
            self.remind(photo).await;
        }
        let what = format!("Photo {} is marked as damaged, and its file is whole.", photo.id);
        let remedy = self.either("The mark is taken off.", "`--repair` takes the mark off.");
        self.found(&about(photo, None, Finding::of(Kind::WholeAgain, what, remedy).repaired(self.how.repair)));
        Ok(())
    }

    /// Says which objects a photo has lost, marks it when its original is among them, else makes its renditions anew.
    async fn lost(&mut self, photo: &Photo, losses: Vec<Loss>) -> anyhow::Result<()> {
        let (originals, renditions): (Vec<Loss>, Vec<Loss>) =
            losses.into_iter().partition(|loss| loss.size == Rendition::Original);
        let mut original = originals.into_iter().next();
        let (mut mended, mut refused) = (false, None);
        if original.is_none() && !renditions.is_empty() && self.how.repair {
            match self.audit.parts.album.mend_renditions(photo).await {
                Ok(Mended::Yes) => mended = true,
                Ok(Mended::Gone) => return Ok(()),
                Ok(Mended::OriginalMissing) => original = Some(Loss::of_original(photo, None)),
                Ok(Mended::OriginalDamaged(how)) => original = Some(Loss::of_original(photo, Some(how))),
                Ok(Mended::Undeveloped(why)) => refused = Some(why.trim_end_matches('.').to_owned()),
                Err(cause) => refused = Some(format!("{cause:#}")),
            }
        }
        if let Some(loss) = &original {
            self.original_lost(photo, loss).await?;
        }
        for loss in &renditions {
            let name = loss.size.name();
            let (kind, what) = match &loss.damage {
                None => (Kind::RenditionMissing, format!("The {name} of photo {} is missing in the store.", photo.id)),
                Some(how) => (Kind::RenditionDamaged, format!("The {name} of photo {} is damaged: {how}.", photo.id)),
            };
            let remedy = if mended {
                "It is made anew from the original.".to_owned()
            } else if let Some(cause) = &refused {
                format!("It could not be made anew: {cause}.")
            } else if original.is_some() {
                "It can be made anew once the original is back.".to_owned()
            } else {
                "`--repair` makes it anew from the original.".to_owned()
            };
            self.found(&about(photo, Some(loss), Finding::of(kind, what, &remedy).repaired(mended)));
        }
        // Without its rendition it could not be labelled.
        let lacked = photo.problem.as_deref() == Some(RENDITION_MISSING);
        if mended && lacked && self.catalog().mark_whole(photo.id, RENDITION_MISSING, self.now).await? {
            self.remind(photo).await;
        }
        Ok(())
    }

    /// Says that a photo's original is damaged, and marks it; what is missing is marked once it is known that not too much is.
    async fn original_lost(&mut self, photo: &Photo, loss: &Loss) -> anyhow::Result<()> {
        let id = photo.id;
        let gone = match &loss.damage {
            None => Lost {
                photo: photo.clone(),
                problem: FILE_MISSING,
                finding: Kind::OriginalMissing,
                what: format!("The original of photo {id}, {}, is missing in the store.", loss.path),
            },
            Some(how) => Lost {
                photo: photo.clone(),
                problem: FILE_DAMAGED,
                finding: Kind::OriginalDamaged,
                what: format!("The original of photo {id}, {}, is not what was uploaded: {how}.", loss.path),
            },
        };
        if loss.damage.is_some() {
            return self.tell_lost(gone).await;
        }
        self.missing += 1;
        self.lost.push(gone);
        if self.misses_too_much() { self.tell_all_lost().await } else { Ok(()) }
    }

    /// Whether so many originals are missing that it is more likely to be the wrong store.
    pub(super) fn misses_too_much(&self) -> bool {
        too_many(self.missing, self.listed)
    }

    /// Says which originals are missing, and marks their photos.
    pub(super) async fn tell_all_lost(&mut self) -> anyhow::Result<()> {
        for lost in std::mem::take(&mut self.lost) {
            self.tell_lost(lost).await?;
        }
        Ok(())
    }

    async fn tell_lost(&mut self, gone: Lost) -> anyhow::Result<()> {
        let Lost { photo, problem, finding, what } = gone;
        let strange = self.misses_too_much();
        let had = photo.problem.as_deref();
        let mut is_marked = had == Some(problem);
        if self.how.repair && !strange && !is_marked {
            is_marked = self.catalog().mark_damaged(photo.id, problem, marked(&photo)).await?;
        }
        let remedy = if strange {
            "Too many originals are missing: the store looks like another gallery's, or the settings that lead to it like another's. See to that \
             first; `--repair` marks none of the photos."
        } else if is_marked {
            "The photo is marked, so that its page says so. Put the file back from a backup of the store."
        } else if self.how.repair {
            "Put the file back from a backup of the store; the photo's page tells another problem that it has."
        } else {
            "Put the file back from a backup of the store; `--repair` marks the photo, so that its page says so."
        };
        let loss = Loss::of_original(&photo, None);
        self.found(&about(&photo, Some(&loss), Finding::of(finding, what, remedy)));
        Ok(())
    }
}

/// What a photo is marked with when it has lost its original.
pub(super) fn marked(photo: &Photo) -> Option<&str> {
    photo.problem.as_deref().filter(|problem| [FILE_MISSING, FILE_DAMAGED].contains(problem))
}

/// A photo whose original is lost, and how.
pub(super) struct Lost {
    photo: Photo,
    problem: &'static str,
    finding: Kind,
    what: String,
}

impl Loss {
    fn of_original(photo: &Photo, damage: Option<String>) -> Self {
        Self { size: Rendition::Original, path: photo.original.clone(), damage }
    }
}

fn about(photo: &Photo, loss: Option<&Loss>, finding: Finding) -> Finding {
    Finding { photo: Some(photo.id.to_string()), object: loss.map(|loss| loss.path.to_string()), ..finding }
}
