//! Whether catalog, store and queue agree, and what can be set right.
//!
//! It is asked while the gallery is served: photos come and go meanwhile. So nothing is said of what seems wrong at one look: the row is looked
//! at again after the object, because bytes come before their row and go after it. And nothing is held in memory that grows with the gallery,
//! but for the ids of photos with lost objects: what the store lists and what the catalog tells are sorted on the disk and read side by side.
//!
//! What is wrong in too many places at once is the sign of a catalog, a store or settings that do not belong together: then nothing is done
//! that cannot be undone.

use std::{
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
    finding::Kind,
    ledger::Ledger,
    objects::{Lost, marked},
};
use crate::{
    accounts::Accounts,
    album::Album,
    catalog::{Catalog, Flaw, Inspected, SchemaState},
    events::{Depth, Events},
    photo::{ObjectPath, Photo, PhotoId, Rendition, counted},
    store::Store,
};

mod finding;
mod index;
mod ledger;
mod objects;
mod orphans;
mod people;
mod workers;

/// How many rows are looked at at once.
const PAGE: u32 = 500;
/// How many photos are read at once.
const READ_AT_ONCE: usize = 8;
/// How long a photo may be due without being taken up.
const OVERDUE: TimeDelta = TimeDelta::minutes(15);
/// How far off a photo may be due: no worker holds or puts one off so long.
const FAR_OFF: TimeDelta = TimeDelta::hours(1);
/// What is wrong in no more places than this, or than in one of a hundred, may be wrong by itself.
const FEW: u64 = 10;
/// How many photos are announced again at most; the workers' sweep finds the others.
const REMINDED: u32 = 1000;
/// The lease of the one who repairs; how long it is taken for, and how often anew.
const REPAIR: &str = "repair";
const REPAIR_HELD: TimeDelta = TimeDelta::minutes(2);
const REPAIR_RENEWED: Duration = Duration::from_secs(30);

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

    /// What to say of something that is repaired, or would be.
    fn either(&self, repaired: &'static str, would_be: &'static str) -> &'static str {
        if self.how.repair { repaired } else { would_be }
    }
}
