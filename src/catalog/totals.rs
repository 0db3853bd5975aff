//! Counts that pages show, kept in the transactions that change them.

use std::collections::BTreeMap;

use super::{Catalog, Session, row::unsigned};
use crate::photo::Owner;

/// The most labels that are listed with their counts.
const MAX_LISTED_LABELS: i64 = 1000;

pub(super) const LABEL_TOTALS: &str = "SELECT name, photos FROM label_total /*! FORCE INDEX (label_total_by_photos) */ \
     WHERE owner = ? ORDER BY photos DESC, name LIMIT ?";

/// How much an owner keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Number of photos.
    pub photos: u64,
    /// Size of their originals in bytes; an adopted photo counts 0 until it is developed.
    pub bytes: u64,
}

impl Catalog {
    /// How much `owner` keeps.
    pub async fn totals(&self, owner: &Owner) -> anyhow::Result<Totals> {
        let row: Option<(i64, i64)> = read!(self, "reading an album's totals", |session| Ok(select!(
            session,
            fetch_optional,
            (i64, i64),
            "SELECT photos, bytes FROM album_total WHERE owner = ?",
            owner.as_str()
        )?))?;
        Ok(row.map_or_else(Totals::default, |(photos, bytes)| Totals {
            photos: unsigned(photos),
            bytes: unsigned(bytes),
        }))
    }

    /// The labels of `owner`'s photos and on how many each is, most frequent first, at most 1,000.
    pub async fn label_totals(&self, owner: &Owner) -> anyhow::Result<Vec<(String, u64)>> {
        let rows: Vec<(String, i64)> = read!(self, "counting labels", |session| Ok(select!(
            session,
            fetch_all,
            (String, i64),
            LABEL_TOTALS,
            owner.as_str(),
            MAX_LISTED_LABELS
        )?))?;
        Ok(rows.into_iter().map(|(name, photos)| (name, unsigned(photos))).collect())
    }
}

/// Adds to an album's totals; negative numbers take away.
pub(super) async fn count_album(
    session: &mut Session<'_>,
    owner: &Owner,
    photos: i64,
    bytes: i64,
) -> Result<(), sqlx::Error> {
    let known = execute!(
        session,
        "UPDATE album_total SET photos = photos + ?, bytes = bytes + ? WHERE owner = ?",
        photos,
        bytes,
        owner.as_str()
    )?;
    if known == 0 {
        execute!(
            session,
            "INSERT INTO album_total (owner, photos, bytes) VALUES (?, ?, ?)",
            owner.as_str(),
            photos,
            bytes
        )?;
    }
    Ok(())
}

/// Counts a photo whose labels were `before` and are `after`; names in sorted order, so that two writers cannot wait for each other in a ring.
pub(super) async fn count_labels<'a>(
    session: &mut Session<'_>,
    owner: &Owner,
    before: impl IntoIterator<Item = &'a str>,
    after: impl IntoIterator<Item = &'a str>,
) -> Result<(), sqlx::Error> {
    let mut changes: BTreeMap<&str, i64> = BTreeMap::new();
    before.into_iter().for_each(|name| *changes.entry(name).or_default() -= 1);
    after.into_iter().for_each(|name| *changes.entry(name).or_default() += 1);
    for (name, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
        let known = execute!(
            session,
            "UPDATE label_total SET photos = photos + ? WHERE owner = ? AND name = ?",
            change,
            owner.as_str(),
            name
        )?;
        if known == 0 && change > 0 {
            execute!(
                session,
                "INSERT INTO label_total (owner, name, photos) VALUES (?, ?, ?)",
                owner.as_str(),
                name,
                change
            )?;
        } else if change < 0 {
            execute!(
                session,
                "DELETE FROM label_total WHERE owner = ? AND name = ? AND photos <= 0",
                owner.as_str(),
                name
            )?;
        }
    }
    Ok(())
}
