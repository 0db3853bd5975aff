//! Whether catalog, store and queue agree, and what can be set right.
//!
//! It is asked while the gallery is served: photos come and go meanwhile. So nothing is said of what seems wrong at one look: the row is looked
//! at again after the object, because bytes come before their row and go after it. And nothing is held in memory that grows with the gallery,
//! but for the ids of photos with lost objects: what the store lists and what the catalog tells are sorted on the disk and read side by side.
//!
//! What is wrong in too many places at once is the sign of a catalog, a store or settings that do not belong together: then nothing is done
//! that cannot be undone.

use std::{
    cmp::Ordering,
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

pub use self::finding::{Finding, Kind as FindingKind};
use self::{
    finding::{Kind, day},
    ledger::Ledger,
    objects::{Lost, marked},
};
use crate::{
    accounts::Accounts,
    album::Album,
    catalog::{Catalog, Flaw, Inspected, Miscount, SchemaState, Stray},
    events::{self, Depth, Events},
    photo::{ObjectPath, Owner, Photo, PhotoId, Rendition, counted},
    store::Store,
};

mod finding;
mod ledger;
mod objects;

/// How many rows are looked at at once.
const PAGE: u32 = 500;
/// How many photos are read at once.
const READ_AT_ONCE: usize = 8;
/// How long an object may be without a row: uploads are never under way so long, and a backup may bring the row back.
const QUARANTINE: TimeDelta = TimeDelta::days(1);
/// How long a photo may be due without being taken up.
const OVERDUE: TimeDelta = TimeDelta::minutes(15);
/// How far off a photo may be due: no worker holds or puts one off so long.
const FAR_OFF: TimeDelta = TimeDelta::hours(1);
/// How long an object of a deleted photo may stay.
const DISCARDED: TimeDelta = TimeDelta::hours(1);
/// How long the deletion of an account may take: an hour in which uploads may still be under way, and the time until it is swept.
const DEPARTING: TimeDelta = TimeDelta::minutes(75);
/// How long a session may be kept after its time.
const UNSWEPT: TimeDelta = TimeDelta::hours(1);
/// How many findings of one sort a look over a whole table brings; when all are mended, it is looked again.
const SURVEYED: usize = 1000;
/// What is wrong in no more places than this, or than in one of a hundred, may be wrong by itself.
const FEW: u64 = 10;
/// How many photos are announced again at most; the workers' sweep finds the others.
const REMINDED: u32 = 1000;
/// The lease of the one who repairs; how long it is taken for, and how often anew.
const REPAIR: &str = "repair";
const REPAIR_HELD: TimeDelta = TimeDelta::minutes(2);
const REPAIR_RENEWED: Duration = Duration::from_secs(30);
/// How many discarded objects are asked for at once.
const DISCARDS: u32 = 500;

/// The parts that are compared.
pub struct Parts {
    /// The rows.
    pub catalog: Catalog,
    /// The objects.
    pub store: Arc<dyn Store>,
    /// The queue.
    pub events: Arc<dyn Events>,
    /// What makes renditions anew.
    pub album: Arc<Album>,
    /// What sweeps up after people.
    pub accounts: Arc<Accounts>,
}

/// What holds in this gallery.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether every owner has an account in the catalog; those of a user pool are not known here.
    pub knows_owners: bool,
    /// How long a session lasts at most.
    pub session: Duration,
    /// How long a lease is taken for at most.
    pub lease: Duration,
    /// Whether uploads are announced to a queue that these settings do not name.
    pub queue_elsewhere: bool,
    /// A folder for temporary files.
    pub scratch: PathBuf,
}

/// How thoroughly is looked, and what is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Read every object.
    pub deep: bool,
    /// Set right what can be.
    pub repair: bool,
    /// Then also delete objects older than a day that belong to no photo, however many.
    pub delete_orphans: bool,
}

/// Whoever is told what an audit finds and how far it is.
pub trait Listener: Send {
    /// Something is wrong, or was.
    fn found(&mut self, finding: &Finding);
    /// A photo will not get further by itself, for this reason; that is no finding, its owner sees it.
    fn failed(&mut self, photo: PhotoId, problem: &str);
    /// A new part of the work begins, of so many steps where that is known.
    fn begins(&mut self, what: &'static str, steps: Option<u64>);
    /// So many more steps are done.
    fn advanced(&mut self, steps: u64);
}

/// What was looked at, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows of photos.
    pub photos: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Originals that were read whole.
    pub originals_read: u64,
    /// Photos that will not get further by themselves.
    pub failed: u64,
    /// Rows of an earlier app that wait to be taken in.
    pub to_adopt: u64,
    /// Rows of an earlier app that cannot be photos.
    pub set_aside: u64,
    /// Objects without a row that are younger than a day.
    pub quarantined: u64,
    /// Things in the store whose names tell no object; nobody touches them.
    pub unnamed: u64,
    /// Messages that wait, are in hand, and were given up, where there is a queue.
    pub queue: Option<Depth>,
    /// Why nothing is said of a queue, or not how many were given up.
    pub queue_note: Option<&'static str>,
    /// How many findings there were.
    pub found: u64,
    /// How many of them were set right.
    pub repaired: u64,
}

impl Summary {
    /// How many findings are left.
    pub fn remaining(&self) -> u64 {
        self.found - self.repaired
    }
}

/// Compares.
pub struct Audit {
    parts: Parts,
    rules: Rules,
    clock: fn() -> DateTime<Utc>,
}

impl Audit {
    /// An audit of these parts by the album's clock.
    pub fn new(parts: Parts, rules: Rules, clock: fn() -> DateTime<Utc>) -> Self {
        Self { parts, rules, clock }
    }

    /// The same audit by another clock.
    #[must_use]
    pub fn at(self, clock: fn() -> DateTime<Utc>) -> Self {
        Self { clock, ..self }
    }

    /// Looks at everything, and tells `listener` what it finds as it finds it.
    ///
    /// # Errors
    /// When it cannot look: catalog, store or queue do not answer. What was told until then holds, but is not all. And when somebody else
    /// repairs already.
    pub async fn run(&self, how: How, listener: &mut dyn Listener) -> anyhow::Result<Summary> {
        let catalog = &self.parts.catalog;
        if !how.repair || catalog.schema_state().await? != SchemaState::Current {
            return self.round(how, listener).await;
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let holder = hex::encode(random);
        self.hold(&holder).await?;
        let holding = async {
            loop {
                tokio::time::sleep(REPAIR_RENEWED).await;
                if let Err(lost) = self.hold(&holder).await {
                    return lost;
                }
            }
        };
        let outcome = tokio::select! {
            outcome = self.round(how, listener) => outcome,
            lost = holding => Err(lost),
        };
        let given_up = catalog.give_up_lease(REPAIR, &holder).await;
        outcome.and_then(|summary| given_up.map(|()| summary))
    }

    /// Sees to it that nobody else repairs meanwhile: two who set a count right would set it wrong.
    async fn hold(&self, holder: &str) -> anyhow::Result<()> {
        let now = (self.clock)();
        if !self.parts.catalog.take_lease(REPAIR, holder, now, now + REPAIR_HELD).await? {
            bail!(
                "another `check --repair` is at work on this gallery: wait until it ends; one that was killed is waited for 2 minutes"
            );
        }
        Ok(())
    }

    async fn round(&self, how: How, listener: &mut dyn Listener) -> anyhow::Result<Summary> {
        let mut round = Round {
            audit: self,
            how,
            now: (self.clock)(),
            listener,
            summary: Summary::default(),
            looked: HashSet::new(),
            listed: 0,
            newest: None,
            missing: 0,
            lost: Vec::new(),
            waiting: 0,
            waiting_since: None,
            reminded: 0,
        };
        round.run().await?;
        Ok(round.summary)
    }
}

/// Whether `some` of `all` are too many to be wrong by themselves.
fn too_many(some: u64, all: u64) -> bool {
    some > FEW && some.saturating_mul(100) > all
}

/// One audit under way.
struct Round<'a> {
    audit: &'a Audit,
    how: How,
    now: DateTime<Utc>,
    listener: &'a mut dyn Listener,
    summary: Summary,
    /// Photos whose objects were looked at closely.
    looked: HashSet<PhotoId>,
    /// How many photos were listed when it began.
    listed: u64,
    /// When the newest photo was uploaded.
    newest: Option<DateTime<Utc>>,
    /// How many originals are missing ...
    missing: u64,
    /// ... and those that were not told of yet: few.
    lost: Vec<Lost>,
    /// How many photos wait for a worker too long, and since when.
    waiting: u64,
    waiting_since: Option<DateTime<Utc>>,
    /// How many photos were announced again.
    reminded: u32,
}

impl Round<'_> {
    fn catalog(&self) -> &Catalog {
        &self.audit.parts.catalog
    }

    fn store(&self) -> &dyn Store {
        &*self.audit.parts.store
    }

    /// When photos with work left are rightly due.
    fn due(&self) -> Range<DateTime<Utc>> {
        self.now - OVERDUE..self.now + FAR_OFF
    }

    fn scratch(&self) -> &Path {
        &self.audit.rules.scratch
    }

    fn found(&mut self, finding: &Finding) {
        self.summary.found += 1;
        self.summary.repaired += u64::from(finding.repaired);
        self.listener.found(finding);
    }

    /// Tells workers again of a photo that waits; not of endlessly many.
    async fn remind(&mut self, photo: &Photo) {
        if self.reminded < REMINDED {
            self.reminded += 1;
            self.audit.parts.album.remind(photo).await;
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        if !self.database().await? {
            return Ok(());
        }
        self.listed = self.catalog().photos_listed().await?;
        let listed = self.list().await?;
        let told = self.walk().await?;
        self.waiting();
        let strays = self.compare(told, listed).await?;
        self.tell_all_lost().await?;
        self.orphans(strays).await?;
        self.words_and_labels().await?;
        self.counts().await?;
        self.discards().await?;
        self.people().await?;
        self.leases().await?;
        self.queue().await
    }

    /// The database's tables and, deeply, its file. Whether this version can read what is in them.
    async fn database(&mut self) -> anyhow::Result<bool> {
        let state = self.catalog().schema_state().await?;
        let what = match state {
            SchemaState::Current => None,
            SchemaState::Empty => Some("The database has no tables of the gallery.".to_owned()),
            SchemaState::Older(steps) => {
                let steps = counted(steps as u64, "migration", "migrations");
                Some(format!("The database's tables are of an older version, {steps} behind."))
            }
            SchemaState::Newer(steps) => {
                let steps = counted(steps as u64, "migration", "migrations");
                Some(format!("The database's tables are of a newer version, {steps} ahead."))
            }
        };
        if let Some(what) = what {
            let remedy = "Nothing else was looked at. Check with the version that serves; `photo-gallery migrate` brings older tables to this one.";
            self.found(&Finding::of(Kind::Schema, what, remedy));
        }
        if self.how.deep {
            self.listener.begins("the database's file", None);
            for line in self.catalog().file_damage().await? {
                let what = format!("The database's file is damaged: {line}.");
                self.found(&Finding::of(Kind::DatabaseDamaged, what, "Put a backup in its place."));
            }
        }
        Ok(state == SchemaState::Current)
    }

    /// Every object of the store: its length and age.
    async fn list(&mut self) -> anyhow::Result<Ledger> {
        self.listener.begins("objects", None);
        let mut listed = Ledger::new(self.scratch());
        let mut objects = self.audit.parts.store.list();
        while let Some(object) = objects.try_next().await? {
            self.listener.advanced(1);
            let Some(path) = object.path else {
                self.summary.unnamed += 1;
                continue;
            };
            self.summary.objects += 1;
            self.summary.bytes += object.bytes;
            listed.write(path.as_str(), &format!("{} {}", object.bytes, object.modified.timestamp()))?;
        }
        Ok(listed)
    }

    /// Every row, on the way; and which objects it has: those that must be there with the photo's id, and their length where that is known.
    async fn walk(&mut self) -> anyhow::Result<Ledger> {
        self.listener.begins("photos", None);
        let mut told = Ledger::new(self.scratch());
        let mut after = String::new();
        loop {
            let page = self.catalog().inspect(&after, PAGE, &self.due()).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for row in &page {
                self.tell_objects(row, &mut told)?;
                let mut alone = false;
                for flaw in &row.flaws {
                    match flaw {
                        Flaw::Overdue(since) => {
                            self.waiting += 1;
                            self.waiting_since = Some(self.waiting_since.map_or(*since, |oldest| oldest.min(*since)));
                        }
                        _ => alone = true,
                    }
                }
                if alone {
                    self.row(&row.id).await?;
                }
            }
            self.objects_of(&page).await?;
            self.summary.photos += page.len() as u64;
            if !self.how.deep {
                self.listener.advanced(page.len() as u64);
            }
        }
        let mut after = String::new();
        loop {
            let page = self.catalog().unlisted(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(told) };
            after.clone_from(&last.object_key);
            for row in &page {
                self.summary.to_adopt += u64::from(row.problem.is_none());
                self.summary.set_aside += u64::from(row.problem.is_some());
                if row.object_key.parse::<ObjectPath>().is_ok() {
                    told.write(&row.object_key, "")?;
                }
            }
        }
    }

    /// Writes down which objects belong to a row; when all are read anyway, none must be among the listed.
    fn tell_objects(&mut self, row: &Inspected, told: &mut Ledger) -> anyhow::Result<()> {
        let Some(photo) = &row.photo else {
            return if row.object_key.parse::<ObjectPath>().is_ok() { told.write(&row.object_key, "") } else { Ok(()) };
        };
        self.newest = self.newest.max(Some(photo.created_at));
        if let Some(problem) = &photo.problem {
            self.summary.failed += 1;
            self.listener.failed(photo.id, problem);
        }
        let required = !self.how.deep;
        for size in [Rendition::Original, Rendition::Display, Rendition::Thumb] {
            let rendition = ObjectPath::rendition(photo.id, size);
            let path = rendition.as_ref().unwrap_or(&photo.original);
            let note = match (&rendition, &photo.developed) {
                (None, _) if required => match objects::bytes_of(photo) {
                    Some(bytes) => format!("{} {bytes}", photo.id),
                    None => photo.id.to_string(),
                },
                (Some(_), Some(_)) if required => photo.id.to_string(),
                _ => String::new(),
            };
            told.write(path.as_str(), &note)?;
        }
        Ok(())
    }

    /// Looks at the objects of a page of photos: at all of them when every object is to be read, else at those of photos that are marked.
    async fn objects_of(&mut self, page: &[Inspected]) -> anyhow::Result<()> {
        let photos = page.iter().filter_map(|row| row.photo.as_ref());
        let mut suspects: Vec<PhotoId> = Vec::new();
        if self.how.deep {
            let store = self.store();
            let mut reading = stream::iter(photos.cloned().collect::<Vec<_>>())
                .map(|photo| async move {
                    let losses = objects::losses(store, &photo, true).await;
                    (photo, losses)
                })
                .buffer_unordered(READ_AT_ONCE);
            let mut read = 0;
            while let Some((photo, losses)) = reading.next().await {
                read += 1;
                // What cannot be read is read again by itself.
                if marked(&photo).is_some() || !losses.is_ok_and(|losses| losses.is_empty()) {
                    suspects.push(photo.id);
                }
            }
            drop(reading);
            self.summary.originals_read += read;
            self.listener.advanced(read);
        } else {
            suspects.extend(photos.filter(|photo| marked(photo).is_some()).map(|photo| photo.id));
        }
        for id in suspects {
            self.look(id).await?;
        }
        Ok(())
    }

    /// Says what is wrong with a row, when it still is.
    async fn row(&mut self, id: &str) -> anyhow::Result<()> {
        let mended = self.how.repair.then_some(self.now);
        let Some(row) = self.catalog().inspect_again(id, &self.due(), mended).await? else { return Ok(()) };
        let due = |flaw: &Flaw| matches!(flaw, Flaw::FarOff(_) | Flaw::Forgotten);
        if self.how.repair
            && row.flaws.iter().any(due)
            && let Some(photo) = &row.photo
        {
            self.remind(photo).await;
        }
        for flaw in &row.flaws {
            if let Some(finding) = finding::of_row(&row, flaw, self.how.repair) {
                self.found(&finding);
            }
        }
        Ok(())
    }

    /// Photos that a worker should have taken up: one finding, because one thing is wrong, and only a worker helps.
    fn waiting(&mut self) {
        let Some(since) = self.waiting_since else { return };
        let what = match self.waiting {
            1 => format!("1 photo waits for a worker since {}.", day(since)),
            several => {
                format!("{} wait for a worker, the longest since {}.", counted(several, "photo", "photos"), day(since))
            }
        };
        let remedy = "See that a worker runs (`photo-gallery work`, or `serve` with its own), that it keeps up, and what its log says of \
                      photos that it puts off; it finds them by itself.";
        self.found(&Finding::of(Kind::Stuck, what, remedy));
    }

    /// Reads the objects that rows have and those that the store lists side by side; returns objects without a row, with their age.
    async fn compare(&mut self, told: Ledger, listed: Ledger) -> anyhow::Result<Ledger> {
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
    async fn orphans(&mut self, strays: Ledger) -> anyhow::Result<()> {
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

    /// Words and labels of photos that are not listed.
    async fn words_and_labels(&mut self) -> anyhow::Result<()> {
        self.listener.begins("words and labels", None);
        let mut after = Some(Stray { owner: String::new(), timeline_key: String::new() });
        while let Some(from) = after {
            let (strays, next) = self.catalog().stray_words(&from, PAGE).await?;
            for stray in strays {
                if self.how.repair {
                    self.catalog().sweep_words(&stray).await?;
                }
                let what = format!(
                    "Words are filed for a photo of {} at {} in the timeline, where there is none.",
                    stray.owner, stray.timeline_key
                );
                self.found(
                    &Finding::of(
                        Kind::StrayWords,
                        what,
                        self.either("They are taken away.", "`--repair` takes them away."),
                    )
                    .repaired(self.how.repair),
                );
            }
            self.listener.advanced(u64::from(PAGE));
            after = next;
        }
        loop {
            let strays = self.catalog().stray_labels().await?;
            for photo in &strays {
                if self.how.repair {
                    self.catalog().sweep_labels(photo).await?;
                }
                let what = format!("Labels are kept of a photo {photo}, which there is not.");
                self.found(
                    &Finding::of(
                        Kind::StrayLabels,
                        what,
                        self.either("They are taken away.", "`--repair` takes them away."),
                    )
                    .repaired(self.how.repair),
                );
            }
            if !self.how.repair || strays.len() < SURVEYED {
                return Ok(());
            }
        }
    }

    /// What to say of something that is repaired, or would be.
    fn either(&self, repaired: &'static str, would_be: &'static str) -> &'static str {
        if self.how.repair { repaired } else { would_be }
    }

    /// Counts that are not what there is.
    async fn counts(&mut self) -> anyhow::Result<()> {
        self.listener.begins("counts", None);
        loop {
            let miscounts = self.catalog().miscounts().await?;
            let mut set_right = 0;
            for miscount in &miscounts {
                // A count of nobody's cannot be written through the front door, and shows nowhere.
                let repaired = self.how.repair && miscount.owner.parse::<Owner>().is_ok();
                if repaired {
                    self.catalog().recount(miscount).await?;
                    set_right += 1;
                }
                let Miscount { owner, label, told, counted, bytes_missing } = miscount;
                let (kind, what) = match label {
                    Some(label) => (
                        Kind::LabelTotal,
                        format!(
                            "The count of {owner}'s photos with the label `{label}` is {told}, and there are {counted}."
                        ),
                    ),
                    None => (
                        Kind::AlbumTotal,
                        format!(
                            "The count of {owner}'s photos is {told}, and there are {counted}; that of their bytes is wrong by {}.",
                            bytes_missing.unsigned_abs()
                        ),
                    ),
                };
                let remedy = if repaired {
                    "It is set right."
                } else if self.how.repair {
                    "That is the name of no owner: take the row away by hand."
                } else {
                    "`--repair` sets it right."
                };
                self.found(&Finding::of(kind, what, remedy).repaired(repaired));
            }
            let sorts = miscounts.iter().filter(|miscount| miscount.label.is_some()).count();
            if set_right < miscounts.len() || sorts.max(miscounts.len() - sorts) < SURVEYED {
                return Ok(());
            }
        }
    }

    /// Objects of deleted photos that should be gone.
    async fn discards(&mut self) -> anyhow::Result<()> {
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

    /// Accounts, sessions and codes.
    async fn people(&mut self) -> anyhow::Result<()> {
        self.listener.begins("accounts and sessions", None);
        let begun_before = TimeDelta::from_std(self.audit.rules.session).map(|session| self.now - session - UNSWEPT);
        let stale = match begun_before {
            Ok(before) => self.catalog().sessions_begun_before(before).await?,
            Err(_) => 0,
        };
        let late = self.leaving().await?;
        if self.how.repair && (stale > 0 || !late.is_empty()) {
            self.audit.parts.accounts.sweep().await?;
        }
        if stale > 0 {
            let what = match stale {
                1 => "1 session is past its time and still kept.".to_owned(),
                several => format!("{} are past their time and still kept.", counted(several, "session", "sessions")),
            };
            let remedy =
                self.either("That is ended.", "A running gallery ends that within a minute, and so does `--repair`.");
            self.found(&Finding::of(Kind::StaleSessions, what, remedy).repaired(self.how.repair));
        }
        let left = if self.how.repair { self.leaving().await? } else { Vec::new() };
        for (owner, since) in late {
            let repaired = self.how.repair && !left.iter().any(|(still, _)| *still == owner);
            let what = format!("The account of {owner}, deleted on {}, is not gone yet.", day(since));
            let remedy = if repaired {
                "It is gone now."
            } else {
                "A running gallery deletes it once the provider of accounts answers; its log says what is in the way."
            };
            self.found(&Finding::of(Kind::Departing, what, remedy).repaired(repaired));
        }
        if !self.audit.rules.knows_owners {
            return Ok(());
        }
        for (owner, photos) in self.catalog().owners_without_account().await? {
            let what = match photos {
                1 => format!("1 photo belongs to {owner}, who has no account: nobody can see it."),
                several => format!(
                    "{} belong to {owner}, who has no account: nobody can see them.",
                    counted(several, "photo", "photos")
                ),
            };
            let remedy = "If a backup of the database was put in place, put in one that has the account; else change the owner by hand.";
            self.found(&Finding::of(Kind::OwnerMissing, what, remedy));
        }
        let strays = self.catalog().sessions_without_account().await?;
        let (accounts, signed_in) = self.catalog().people().await?;
        let strange = accounts == 0 || too_many(strays.len() as u64, signed_in);
        for owner in strays {
            let repaired = self.how.repair && !strange;
            if repaired {
                self.catalog().end_sessions(&owner.parse()?).await?;
            }
            let what = format!("Somebody is signed in as {owner}, who has no account.");
            let remedy = if strange {
                "Too many are: the settings that say where accounts are seem to be wrong, and `--repair` ends no session. See to `identity` first."
            } else {
                self.either("The sessions are ended.", "`--repair` ends the sessions.")
            };
            self.found(&Finding::of(Kind::StraySessions, what, remedy).repaired(repaired));
        }
        let codes = self.catalog().codes_without_account().await?;
        if codes > 0 {
            if self.how.repair {
                self.catalog().sweep_codes().await?;
            }
            let what = match codes {
                1 => "1 code was sent to an account that does not exist.".to_owned(),
                several => format!("{} were sent to accounts that do not exist.", counted(several, "code", "codes")),
            };
            let remedy = self.either("That is taken away.", "`--repair` takes that away.");
            self.found(&Finding::of(Kind::StrayCodes, what, remedy).repaired(self.how.repair));
        }
        Ok(())
    }

    /// Accounts whose deletion takes too long.
    async fn leaving(&self) -> anyhow::Result<Vec<(String, DateTime<Utc>)>> {
        let all = self.catalog().departing().await?.into_iter();
        let late = all.filter(|departing| departing.since <= self.now - DEPARTING);
        Ok(late.map(|departing| (departing.owner.as_str().to_owned(), departing.since)).collect())
    }

    /// Leases that are held further ahead than anybody takes one: until then nobody does what they are for.
    async fn leases(&mut self) -> anyhow::Result<()> {
        let ahead = TimeDelta::from_std(self.audit.rules.lease * 2).unwrap_or(TimeDelta::MAX).max(FAR_OFF);
        for lease in self.catalog().leases().await? {
            let until = lease.held_until();
            if until - self.now <= ahead {
                continue;
            }
            if self.how.repair {
                self.catalog().give_up_lease(&lease.name, &lease.holder).await?;
            }
            let what = format!(
                "The lease `{}` is held by {} until {}: a clock was wrong.",
                lease.name,
                lease.holder,
                day(until)
            );
            let remedy = self.either("It is given up.", "`--repair` gives it up.");
            self.found(&Finding::of(Kind::Lease, what, remedy).repaired(self.how.repair));
        }
        Ok(())
    }

    /// How many messages there are, and those that were given up.
    async fn queue(&mut self) -> anyhow::Result<()> {
        self.listener.begins("the queue", None);
        if self.audit.rules.queue_elsewhere {
            self.summary.queue_note =
                Some("The queue is not named in these settings (`events.aws.queue_url`), so nothing is said of it.");
            return Ok(());
        }
        let depth = match self.audit.parts.events.depth().await {
            Ok(depth) => depth,
            Err(cause) if events::is_lasting(&cause) => {
                let what = format!("How many messages the queue holds cannot be told: {cause:#}.");
                self.summary.queue_note = Some("The queue may not be asked how many messages it holds.");
                let remedy =
                    "Allow `sqs:GetQueueAttributes` on the queue, and see that the settings name the right one.";
                self.found(&Finding::of(Kind::QueueUnseen, what, remedy));
                return Ok(());
            }
            Err(cause) => return Err(cause),
        };
        self.summary.queue = depth;
        match depth.map(|depth| depth.dead) {
            None | Some(Some(0)) => {}
            Some(None) => {
                self.summary.queue_note = Some("How many messages were given up is not known.");
                let what = "How many messages were given up cannot be told: the queue has no dead-letter queue, or it may not be asked.";
                let remedy = "Give the queue a redrive policy, and allow `sqs:GetQueueUrl` and `sqs:GetQueueAttributes` on the dead-letter queue.";
                self.found(&Finding::of(Kind::QueueUnseen, what, remedy));
            }
            Some(Some(dead)) => {
                let what = match dead {
                    1 => "1 message lies in the dead-letter queue.".to_owned(),
                    several => format!("{} lie in the dead-letter queue.", counted(several, "message", "messages")),
                };
                let remedy = "Look there: what a message names is finished by the sweep if it is a photo. Redrive or delete what is there.";
                self.found(&Finding::of(Kind::DeadLetters, what, remedy));
            }
        }
        Ok(())
    }
}
