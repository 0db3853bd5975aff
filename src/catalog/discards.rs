//! Deleting a photo: the row goes first, and what its objects were called is remembered until the store has removed them.

use chrono::{DateTime, Utc};

use super::{
    Catalog, Session,
    intake::{labels_of, locked},
    row::{moment, signed},
    terms::unfile,
    totals::{count_album, count_labels},
};
use crate::photo::{ObjectPath, Owner, PhotoId};

pub(super) const DISCARDED: &str = "SELECT object_key FROM discarded_object /*! FORCE INDEX (discarded_object_by_tried) */ \
     ORDER BY tried_at, since LIMIT ?";

impl Catalog {
    /// Takes a photo out of the catalog at the moment `at`, and returns the objects that are now to be removed from the store; they stand among
    /// [`discarded`](Self::discarded) until [`clear_discarded`](Self::clear_discarded). `None` when `owner` has no such photo.
    pub async fn delete_photo(
        &self,
        owner: &Owner,
        id: PhotoId,
        at: DateTime<Utc>,
    ) -> anyhow::Result<Option<Vec<ObjectPath>>> {
        transaction!(self, "deleting a photo", |session| {
            let Some(photo) = locked(session, id).await?.filter(|photo| photo.owner == *owner) else { return Ok(None) };
            let labels = labels_of(session, id).await?;
            execute!(session, "DELETE FROM photo WHERE id = ?", id.to_string())?;
            unfile(session, owner, &photo.timeline_key).await?;
            count_labels(session, owner, labels.iter().map(|label| label.name.as_str()), []).await?;
            count_album(session, owner, -1, -signed(photo.bytes)?).await?;
            let objects = photo.objects();
            for object in &objects {
                execute!(
                    session,
                    "REPLACE INTO discarded_object (object_key, since) VALUES (?, ?)",
                    object.as_str(),
                    moment(at)
                )?;
            }
            Ok(Some(objects))
        })
    }

    /// At most `limit` objects of deleted photos that are still to be removed from the store: those never tried, then those tried longest ago.
    pub async fn discarded(&self, limit: u32) -> anyhow::Result<Vec<ObjectPath>> {
        let rows: Vec<(String,)> = read!(self, "listing discarded objects", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            DISCARDED,
            i64::from(limit)
        )?))?;
        rows.into_iter().map(|(key,)| Ok(key.parse()?)).collect()
    }

    /// Puts objects that the store did not remove behind all others that wait.
    pub async fn postpone_discarded(&self, objects: &[ObjectPath], at: DateTime<Utc>) -> anyhow::Result<()> {
        let mut objects: Vec<&ObjectPath> = objects.iter().collect();
        objects.sort();
        repeatable!(self, "postponing discarded objects", |session| {
            for object in &objects {
                let write = "UPDATE discarded_object SET tried_at = ? WHERE object_key = ?";
                execute!(session, write, moment(at), object.as_str())?;
            }
            Ok(())
        })
    }

    /// Forgets objects that the store has removed.
    pub async fn clear_discarded(&self, objects: &[ObjectPath]) -> anyhow::Result<()> {
        let mut objects: Vec<&ObjectPath> = objects.iter().collect();
        objects.sort();
        repeatable!(self, "forgetting discarded objects", |session| {
            for object in &objects {
                execute!(session, "DELETE FROM discarded_object WHERE object_key = ?", object.as_str())?;
            }
            Ok(())
        })
    }
}
