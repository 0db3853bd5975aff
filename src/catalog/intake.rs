//! A photo enters the catalog, once for each of its owner's files; its owner describes it.

use super::{
    Catalog, Session,
    row::{DevelopedColumns, PhotoRow, columns, moment, signed},
    terms::{named, refile, terms_of},
    timeline::{BY_SHA256, LabelRow},
    totals::count_album,
};
use crate::photo::{Description, Label, Owner, Photo, PhotoId};

const INSERT: &str = "INSERT INTO photo (object_key, description, cognito_username, created_datetime, id, timeline_key, sha256, \
     bytes, media_type, file_name, width, height, thumbhash, taken_at, taken_offset_minutes, offset_known, details, \
     developed_at, claimed_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) const LOCKED: &str = concat!("SELECT ", columns!(), " FROM photo p WHERE p.id = ? /*! FOR UPDATE */");

/// What became of a photo that was to be inserted.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// It is in the catalog now.
    New,
    /// Its owner has the same bytes already, as this photo; nothing was written.
    AlreadyHere(Box<Photo>),
}

impl Catalog {
    /// Lists a photo whose bytes are in the store. Its labels are still to come: `labelled_at`, `label_text` and `problem` of `photo` are not written.
    /// Two uploads of the same bytes at once make one photo, whichever instances take them.
    pub async fn insert_photo(&self, photo: &Photo) -> anyhow::Result<Inserted> {
        let columns = photo.developed.as_ref().map(DevelopedColumns::new).transpose()?;
        let bytes = signed(photo.bytes)?;
        let created = moment(photo.created_at);
        let sha256 = photo.sha256.map(|sha256| sha256.to_string());
        let terms = terms_of(
            photo.file_name.as_str(),
            photo.description.as_str(),
            photo.developed.as_ref().map(|developed| &developed.details),
            [],
        );
        transaction!(self, "listing a new photo", |session| {
            if let Some(sha256) = &sha256 {
                let twin =
                    select!(session, fetch_optional, PhotoRow, BY_SHA256, photo.owner.as_str(), sha256.as_str())?;
                if let Some(twin) = twin {
                    return Ok(Inserted::AlreadyHere(Box::new(twin.photo()?)));
                }
            }
            let developed = columns.as_ref();
            execute!(
                session,
                INSERT,
                photo.original.as_str(),
                photo.description.as_str(),
                photo.owner.as_str(),
                created,
                photo.id.to_string(),
                photo.timeline_key.as_str(),
                sha256.as_deref(),
                bytes,
                photo.media_type.mime(),
                photo.file_name.as_str(),
                developed.map(|d| d.width),
                developed.map(|d| d.height),
                developed.map(|d| d.thumbhash.as_str()),
                developed.and_then(|d| d.taken_at),
                developed.and_then(|d| d.taken_offset_minutes),
                developed.and_then(|d| d.offset_known),
                developed.map(|d| d.details.as_str()),
                developed.map(|_| created),
                created,
            )?;
            refile(session, &photo.owner, &photo.timeline_key, &terms).await?;
            count_album(session, &photo.owner, 1, bytes).await?;
            Ok(Inserted::New)
        })
    }

    /// Writes what its owner says about a photo; false when `owner` has no such photo.
    pub async fn describe(&self, owner: &Owner, id: PhotoId, description: &Description) -> anyhow::Result<bool> {
        repeatable!(self, "describing a photo", |session| {
            let Some(photo) = locked(session, id).await?.filter(|photo| photo.owner == *owner) else {
                return Ok(false);
            };
            execute!(session, "UPDATE photo SET description = ? WHERE id = ?", description.as_str(), id.to_string())?;
            let labels = labels_of(session, id).await?;
            let details = photo.developed.as_ref().map(|developed| &developed.details);
            let terms = terms_of(photo.file_name.as_str(), description.as_str(), details, named(&labels));
            refile(session, owner, &photo.timeline_key, &terms).await?;
            Ok(true)
        })
    }
}

/// The photo `id`, which nobody else can change until the transaction ends.
pub(super) async fn locked(session: &mut Session<'_>, id: PhotoId) -> anyhow::Result<Option<Photo>> {
    select!(session, fetch_optional, PhotoRow, LOCKED, id.to_string())?.map(PhotoRow::photo).transpose()
}

/// The labels of one photo, in no order.
pub(super) async fn labels_of(session: &mut Session<'_>, id: PhotoId) -> anyhow::Result<Vec<Label>> {
    let rows = select!(
        session,
        fetch_all,
        LabelRow,
        "SELECT photo, name, confidence, parents, categories, instances FROM photo_label WHERE photo = ?",
        id.to_string()
    )?;
    rows.into_iter().map(LabelRow::label).collect()
}
