//! Objects that no photo has: lost by the catalog, left by a crash, or still to be removed after their photo was.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Round,
    finding::{Finding, Kind, day},
    ledger::Ledger,
    too_many,
};
use crate::photo::ObjectPath;

/// How long an object may be without a row: uploads are never under way so long, and a backup may bring the row back.
const QUARANTINE: TimeDelta = TimeDelta::days(1);
/// How long an object of a deleted photo may stay.
const DISCARDED: TimeDelta = TimeDelta::hours(1);
/// How many discarded objects are asked for at once.
const DISCARDS: u32 = 500;

impl Round<'_> {
    /// Reads the objects that rows have and those that the store lists side by side; returns objects without a row, with their age.
    pub(super) async fn compare(&mut self, told: Ledger, listed: Ledger) -> anyhow::Result<Ledger> {
        self.listener.begins("objects and photos side by side", Some(self.summary.objects));
        let mut strays = Ledger::new(self.scratch());
        let (mut told, mut listed) = (told.sorted()?, listed.sorted()?);
        let (mut row, mut object) = (told.next().transpose()?, listed.next().transpose()?);
        loop {
            let order = match (&row, &object) {
                (None, None) => return Ok(strays),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((path, _)), Some((listed, _))) => path.cmp(listed),
            };
            if let (Some((_, needed)), true) = (&row, order.is_le()) {
                let there = object.as_ref().filter(|_| order.is_eq()).map(|(_, known)| known.as_str());
                let (photo, bytes) = needed.split_once(' ').unwrap_or((needed, ""));
                let there = there.and_then(|known| known.split(' ').next());
                let whole = there.is_some_and(|there| bytes.is_empty() || there == bytes);
                if !photo.is_empty() && !whole {
                    self.look(photo.parse()?).await?;
                }
            }
            if let (Some((path, known)), true) = (&object, order.is_gt()) {
                strays.write(path, known)?;
            }
            if order.is_le() {
                row = told.next().transpose()?;
            }
            if order.is_ge() {
                object = listed.next().transpose()?;
                self.listener.advanced(1);
            }
        }
    }

    /// Objects without a row. They may be photos that the catalog has lost, and are deleted when that is unlikely, or when somebody says so.
    pub(super) async fn orphans(&mut self, strays: Ledger) -> anyhow::Result<()> {
        let mut orphans = Ledger::new(self.scratch());
        let (mut number, mut newest) = (0, None);
        for stray in strays.sorted()? {
            let (key, known) = stray?;
            let path: ObjectPath = key.parse()?;
            if !self.is_orphan(&path).await? {
                continue;
            }
            let (bytes, modified) = known.split_once(' ').unwrap_or_default();
            let modified = DateTime::from_timestamp(modified.parse()?, 0).unwrap_or(self.now);
            if self.now - modified < QUARANTINE {
                self.summary.quarantined += 1;
                continue;
            }
            number += 1;
            newest = newest.max(Some(modified));
            orphans.write(&key, &format!("{bytes} {}", day(modified)))?;
        }
        let doubt = self.doubt(number, newest);
        for orphan in orphans.sorted()? {
            let (key, known) = orphan?;
            let (bytes, modified) = known.split_once(' ').unwrap_or_default();
            let path: ObjectPath = key.parse()?;
            let repaired = self.how.repair && doubt.is_none() && self.is_orphan(&path).await? && {
                self.store().delete(&path).await?;
                true
            };
            let what = format!("The object {path} ({bytes} bytes, of {modified}) belongs to no photo.");
            let remedy = match doubt {
                Some(doubt) => doubt,
                None if repaired => "It is deleted.",
                None => "`--repair` deletes it; look at it first if a backup of the database was put in place.",
            };
            self.found(&Finding { object: Some(key), repaired, ..Finding::of(Kind::OrphanObject, what, remedy) });
        }
        Ok(())
    }

    /// Why so many objects without a row, the newest of which is so new, are not deleted.
    fn doubt(&self, orphans: u64, newest: Option<DateTime<Utc>>) -> Option<&'static str> {
        if self.misses_too_much() {
            return Some(
                "Too many originals are missing beside, so nothing is deleted: see first that store and catalog belong together.",
            );
        }
        if self.how.delete_orphans {
            return None;
        }
        if newest > self.newest {
            return Some(
                "One such object is newer than the newest photo: a backup of the database seems to have been put in place, or the store to be \
                 another gallery's too, so `--repair` deletes none. `--repair --delete-orphans` does: it cannot be undone.",
            );
        }
        too_many(orphans, self.summary.objects).then_some(
            "There are too many such objects: a backup of the database seems to have been put in place, or the store to be another gallery's too, \
             so `--repair` deletes none. `--repair --delete-orphans` does: it cannot be undone.",
        )
    }

    /// Whether an object is there that neither a row nor a deletion names. In this order: a deletion is noted with the row's end, and forgotten
    /// after the object's.
    async fn is_orphan(&self, path: &ObjectPath) -> anyhow::Result<bool> {
        Ok(!self.catalog().names_object(path).await?
            && !self.catalog().is_discarded(path).await?
            && self.store().size(path).await?.is_some())
    }

    /// Objects of deleted photos that should be gone.
    pub(super) async fn discards(&mut self) -> anyhow::Result<()> {
        self.listener.begins("objects to be removed", None);
        loop {
            let overdue = self.catalog().discarded_before(self.now - DISCARDED, DISCARDS).await?;
            let mut removed = 0;
            for (key, since) in &overdue {
                let repaired = match key.parse::<ObjectPath>() {
                    Ok(path)
                        if self.how.repair
                            && !self.misses_too_much()
                            && !self.catalog().names_object(&path).await? =>
                    {
                        self.store().delete(&path).await?;
                        self.catalog().clear_discarded(&[path]).await?;
                        true
                    }
                    _ => false,
                };
                removed += usize::from(repaired);
                let what = format!(
                    "The object {key} of a photo deleted on {} should have been removed from the store.",
                    day(*since)
                );
                let remedy = if repaired {
                    "It is removed."
                } else if self.how.repair && self.misses_too_much() {
                    "Too many originals are missing beside, so nothing is removed: see first that store and catalog belong together."
                } else if self.how.repair {
                    "It is the object of a listed photo, or its key is malformed: see to it by hand."
                } else {
                    "A running gallery does it by itself, and so does `--repair`."
                };
                self.found(
                    &Finding { object: Some(key.clone()), ..Finding::of(Kind::Discarded, what, remedy) }
                        .repaired(repaired),
                );
            }
            if removed < overdue.len() || overdue.len() < DISCARDS as usize {
                return Ok(());
            }
        }
    }
}
