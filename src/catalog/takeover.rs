//! One owner's photos become another's, with all that is filed and counted under the owner.

use std::collections::BTreeMap;

use super::{
    Catalog, Session,
    intake::labels_of,
    row::{PhotoRow, columns, signed},
    totals::{count_album, count_labels},
};
use crate::photo::{Owner, Photo, TimelineKey};

/// Locked in the timeline's order, so that two who take over at once wait for one another and not in a ring.
const NEXT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM photo p /*! FORCE INDEX (photo_by_timeline) */ WHERE p.cognito_username = ? AND p.timeline_key IS NOT NULL \
     ORDER BY p.timeline_key LIMIT ? /*! FOR UPDATE */"
);

impl Catalog {
    /// Gives at most `limit` of `from`'s photos to `to`, and returns how many; 0 means that none is left. Each photo changes hands wholly: it
    /// may be repeated, killed half-way and run in several places at once. Bytes that `to` has already stay a second photo, without SHA-256.
    pub async fn take_over(&self, from: &Owner, to: &Owner, limit: u32) -> anyhow::Result<u64> {
        anyhow::ensure!(from != to, "an owner cannot take over from themselves");
        transaction!(self, "giving photos to another owner", |session| {
            let rows = select!(session, fetch_all, PhotoRow, NEXT, from.as_str(), i64::from(limit))?;
            let photos: Vec<Photo> = rows.into_iter().map(PhotoRow::photo).collect::<anyhow::Result<_>>()?;
            let mut labels: BTreeMap<String, i64> = BTreeMap::new();
            let (mut count, mut bytes) = (0_i64, 0_i64);
            for photo in &photos {
                let twin = match photo.sha256 {
                    Some(sha256) => select!(
                        session,
                        fetch_optional,
                        (String,),
                        "SELECT id FROM photo WHERE cognito_username = ? AND sha256 = ?",
                        to.as_str(),
                        sha256.to_string()
                    )?,
                    None => None,
                };
                let sha256 = photo.sha256.filter(|_| twin.is_none()).map(|sha256| sha256.to_string());
                execute!(
                    session,
                    "UPDATE photo SET cognito_username = ?, sha256 = ? WHERE id = ?",
                    to.as_str(),
                    sha256,
                    photo.id.to_string()
                )?;
                refiled(session, from, to, &photo.timeline_key).await?;
                for label in labels_of(session, photo.id).await? {
                    *labels.entry(label.name).or_default() += 1;
                }
                count += 1;
                bytes += signed(photo.bytes)?;
            }
            if count > 0 {
                let names = || {
                    labels.iter().flat_map(|(name, photos)| {
                        std::iter::repeat_n(name.as_str(), usize::try_from(*photos).unwrap_or(0))
                    })
                };
                count_labels(session, from, names(), []).await?;
                count_labels(session, to, [], names()).await?;
                count_album(session, from, -count, -bytes).await?;
                count_album(session, to, count, bytes).await?;
            }
            Ok(u64::try_from(count)?)
        })
    }
}

/// Files a photo under another owner.
async fn refiled(session: &mut Session<'_>, from: &Owner, to: &Owner, key: &TimelineKey) -> Result<(), sqlx::Error> {
    execute!(
        session,
        "UPDATE photo_term SET owner = ? WHERE timeline_key = ? AND owner = ?",
        to.as_str(),
        key.as_str(),
        from.as_str()
    )?;
    Ok(())
}
