//! Whether the catalog agrees with itself: each row with its labels, its words and its state; the counts with what they count. What seems
//! wrong is looked at again with the row locked, and set right from what is true, in the same transaction.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{FromRow as _, Row as _};

use super::{
    Catalog, Session,
    adoption::labels_in,
    intake::labels_of,
    row::{PhotoRow, columns, moment, unsigned},
    terms::{named, refile, terms_of, unfile},
    timeline::LabelRow,
    totals::{count_album, count_labels},
    work::LABEL_TEXT_CHARS,
};
use crate::photo::{Label, ObjectPath, Owner, Photo, PhotoId, TimelineKey};

/// How long one look over a whole table may take.
const SURVEY: std::time::Duration = std::time::Duration::from_mins(30);
/// How many findings of one sort such a look brings at most; when they are mended, the next look brings more.
const SURVEYED: i64 = 1000;

pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    ", p.id AS audited_id, p.object_key AS audited_key, p.claimed_until AS audited_claim \
     FROM photo p /*! FORCE INDEX (photo_by_id) */ WHERE p.id > ? AND p.timeline_key IS NOT NULL ORDER BY p.id LIMIT ?"
);
const ONE: &str = concat!(
    "SELECT ",
    columns!(),
    ", p.id AS audited_id, p.object_key AS audited_key, p.claimed_until AS audited_claim \
     FROM photo p WHERE p.id = ? AND p.timeline_key IS NOT NULL /*! FOR UPDATE */"
);
const LABELS: &str = "SELECT photo, name, confidence, parents, categories, instances FROM photo_label \
     WHERE photo > ? AND photo <= ?";

macro_rules! eight {
    () => {
        "?, ?, ?, ?, ?, ?, ?, ?"
    };
}

/// How many photos [`TERMS`] asks for at once.
const TERMS_PLACES: usize = 32;
pub(super) const TERMS: &str = concat!(
    "SELECT owner, timeline_key, term FROM photo_term /*! FORCE INDEX (photo_term_by_photo) */ WHERE timeline_key IN (",
    eight!(),
    ", ",
    eight!(),
    ", ",
    eight!(),
    ", ",
    eight!(),
    ")"
);

/// Photos that are filed under words, and whether the catalog lists them.
const FILED: &str = "SELECT f.owner, f.timeline_key, p.id FROM (SELECT DISTINCT timeline_key, owner \
     FROM photo_term /*! FORCE INDEX (photo_term_by_photo) */ \
     WHERE timeline_key >= ? AND (timeline_key > ? OR owner > ?) ORDER BY timeline_key, owner LIMIT ?) f \
     LEFT JOIN photo p ON p.cognito_username = f.owner AND p.timeline_key = f.timeline_key ORDER BY f.timeline_key, f.owner";

const ALBUM_TOTALS: &str = "SELECT owner, CAST(SUM(told) AS SIGNED), CAST(SUM(told_bytes) AS SIGNED), \
     CAST(SUM(counted) AS SIGNED), CAST(SUM(counted_bytes) AS SIGNED) FROM (\
     SELECT owner, photos AS told, bytes AS told_bytes, 0 AS counted, 0 AS counted_bytes FROM album_total UNION ALL \
     SELECT cognito_username, 0, 0, COUNT(*), COALESCE(SUM(bytes), 0) FROM photo WHERE timeline_key IS NOT NULL \
     GROUP BY cognito_username) AS sides GROUP BY owner \
     HAVING SUM(told) <> SUM(counted) OR SUM(told_bytes) <> SUM(counted_bytes) LIMIT ?";

const LABEL_TOTALS: &str = "SELECT owner, name, CAST(SUM(told) AS SIGNED), CAST(SUM(counted) AS SIGNED) FROM (\
     SELECT owner, name, photos AS told, 0 AS counted FROM label_total UNION ALL \
     SELECT p.cognito_username, l.name, 0, COUNT(*) FROM photo_label l JOIN photo p ON p.id = l.photo \
     GROUP BY p.cognito_username, l.name) AS sides GROUP BY owner, name HAVING SUM(told) <> SUM(counted) LIMIT ?";

/// Reads with all the time that a look over a whole table takes.
macro_rules! survey {
    ($catalog:expr, $doing:expr, |$session:ident| $body:expr) => {{
        let outcome: anyhow::Result<_> = async {
            let mut line = $catalog.reader($catalog.deadline()).await?;
            let done = tokio::time::timeout(SURVEY, async {
                let mut session = line.session();
                let $session = &mut session;
                let value: anyhow::Result<_> = async { $body }.await;
                value
            })
            .await;
            line.judge(done)
        }
        .await;
        outcome.map_err(|error| $catalog.explained(error, $doing))
    }};
}

/// So many tries are in vain: a photo that is only slow has fewer.
const IN_VAIN: i64 = 10;

/// What is wrong with a photo's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It cannot be read; the sentence says why.
    Unreadable(String),
    /// It does not stand in the timeline where its moment is.
    Misplaced,
    /// The text of its labels tells others than it has.
    LabelText,
    /// It is not found by so many words, and found by so many wrong ones.
    Misfiled {
        /// Words under which it should be filed.
        missing: usize,
        /// Words under which it should not be.
        strays: usize,
    },
    /// Something is left to do for it, and no worker will ever take it up.
    Forgotten,
    /// It is due since this moment, too long ago; or was uploaded then, and tried in vain again and again.
    Overdue(DateTime<Utc>),
    /// It is due at this moment, too late.
    FarOff(DateTime<Utc>),
}

/// A photo's row, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// Its id as it stands there.
    pub id: String,
    /// Its object key as it stands there.
    pub object_key: String,
    /// The photo, when the row can be read.
    pub photo: Option<Photo>,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

/// A row that is listed nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// Its object key.
    pub object_key: String,
    /// Why it is no photo; `None` when it only waits to be taken in.
    pub problem: Option<String>,
}

/// A count that is not what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// Whose.
    pub owner: String,
    /// Of which label; `None` for the album.
    pub label: Option<String>,
    /// How many photos the count tells.
    pub told: i64,
    /// How many there are.
    pub counted: i64,
    /// By how many bytes the album's count is too low.
    pub bytes_missing: i64,
}

/// Words of a photo that the catalog does not list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Whose it was.
    pub owner: String,
    /// Where it stood.
    pub timeline_key: String,
}

/// A row as it was read, or as far as it could be.
struct Raw {
    id: String,
    object_key: String,
    claim: anyhow::Result<Option<NaiveDateTime>>,
    attempts: i64,
    photo: anyhow::Result<Photo>,
}

/// Reads [`Raw`] rows on either engine.
macro_rules! raw_rows {
    ($session:expr, $text:expr, $($value:expr),*) => {
        either!(Session, $session, link => {
            let rows = sqlx::query($text)$(.bind($value))*.fetch_all(&mut **link).await?;
            rows.iter()
                .map(|row| {
                    Ok(Raw {
                        id: row.try_get("audited_id")?,
                        object_key: row.try_get("audited_key")?,
                        claim: row.try_get("audited_claim").map_err(anyhow::Error::new),
                        attempts: row.try_get("attempts").unwrap_or_default(),
                        photo: PhotoRow::from_row(row).map_err(anyhow::Error::new).and_then(PhotoRow::photo),
                    })
                })
                .collect::<anyhow::Result<Vec<Raw>>>()?
        })
    };
}

/// Reads labels with the photo of each on either engine; one that cannot be read keeps no other back.
macro_rules! raw_labels {
    ($session:expr, $text:expr, $($value:expr),*) => {
        either!(Session, $session, link => {
            let rows = sqlx::query($text)$(.bind($value))*.fetch_all(&mut **link).await?;
            let mut labels: HashMap<String, Vec<anyhow::Result<Label>>> = HashMap::new();
            for row in &rows {
                let label = LabelRow::from_row(row).map_err(anyhow::Error::new).and_then(LabelRow::label);
                labels.entry(row.try_get("photo")?).or_default().push(label);
            }
            labels
        })
    };
}

impl Catalog {
    /// At most `limit` listed photos with ids beyond `after`, in the order of their ids. Those with work
    /// left are to be due within `due`.
    pub async fn inspect(&self, after: &str, limit: u32, due: &Range<DateTime<Utc>>) -> anyhow::Result<Vec<Inspected>> {
        read!(self, "inspecting photos", |session| {
            let rows = raw_rows!(session, PAGE, after, i64::from(limit));
            let Some(last) = rows.last() else { return Ok(Vec::new()) };
            let mut labels = raw_labels!(session, LABELS, after, last.id.as_str());
            let keys: Vec<&str> = rows
                .iter()
                .filter_map(|row| row.photo.as_ref().ok())
                .map(|photo| photo.timeline_key.as_str())
                .collect();
            let mut filed: HashMap<(String, String), BTreeSet<String>> = HashMap::new();
            for some in keys.chunks(TERMS_PLACES) {
                let terms: Vec<(String, String, String)> = either!(Session, session, link => {
                    let mut statement = sqlx::query_as(TERMS);
                    for place in 0..TERMS_PLACES {
                        statement = statement.bind(some.get(place).copied().unwrap_or_default());
                    }
                    statement.fetch_all(&mut **link).await
                })?;
                for (owner, key, term) in terms {
                    filed.entry((owner, key)).or_default().insert(term);
                }
            }
            Ok(rows
                .into_iter()
                .map(|row| {
                    let labels = labels.remove(&row.id).unwrap_or_default();
                    let filed = row.photo.as_ref().ok().and_then(|photo| {
                        filed.remove(&(photo.owner.as_str().to_owned(), photo.timeline_key.as_str().to_owned()))
                    });
                    judged(row, labels, &filed.unwrap_or_default(), due)
                })
                .collect())
        })
    }

    /// One listed photo as [`inspect`](Self::inspect) sees it, while nobody else can change it; `None` when it is gone. At the moment `mended`,
    /// what can be set right is: what the catalog tells of it, and that it is due when something is left to do.
    pub async fn inspect_again(
        &self,
        id: &str,
        due: &Range<DateTime<Utc>>,
        mended: Option<DateTime<Utc>>,
    ) -> anyhow::Result<Option<Inspected>> {
        transaction!(self, "inspecting a photo", |session| {
            let Some(row) = raw_rows!(session, ONE, id).pop() else { return Ok(None) };
            let mut labels = raw_labels!(
                session,
                "SELECT photo, name, confidence, parents, categories, instances FROM photo_label WHERE photo = ?",
                id
            );
            let filed = match &row.photo {
                Ok(photo) => {
                    let (key, owner) = (photo.timeline_key.as_str(), photo.owner.as_str());
                    select!(session, fetch_all, (String,), super::terms::TERMS, key, owner)?
                }
                Err(_) => Vec::new(),
            };
            let filed = filed.into_iter().map(|(term,)| term).collect();
            let inspected = judged(row, labels.remove(id).unwrap_or_default(), &filed, due);
            if let (Some(at), Some(photo)) = (mended, &inspected.photo) {
                mend(session, photo, &inspected.flaws, at).await?;
            }
            Ok(Some(inspected))
        })
    }

    /// At most `limit` rows that are no photos, with object keys beyond `after`, in their order.
    pub async fn unlisted(&self, after: &str, limit: u32) -> anyhow::Result<Vec<Unlisted>> {
        let rows: Vec<(String, Option<String>, Option<String>)> = survey!(
            self,
            "looking for rows that are no photos",
            |session| Ok(select!(
                session,
                fetch_all,
                (String, Option<String>, Option<String>),
                "SELECT object_key, id, problem FROM photo WHERE object_key > ? AND (id IS NULL OR timeline_key IS NULL) \
                 ORDER BY object_key LIMIT ?",
                after,
                i64::from(limit)
            )?)
        )?;
        let waits_for_nothing = "it is listed nowhere, and nothing says why".to_owned();
        Ok(rows
            .into_iter()
            .map(|(object_key, id, problem)| Unlisted {
                object_key,
                problem: id.map(|_| problem.unwrap_or_else(|| waits_for_nothing.clone())),
            })
            .collect())
    }

    /// Whether any row names this object or, for a rendition, its photo.
    pub async fn names_object(&self, path: &ObjectPath) -> anyhow::Result<bool> {
        let photo =
            path.as_str().strip_prefix("renditions/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        read!(self, "looking for the row of an object", |session| {
            let by_key = "SELECT object_key FROM photo WHERE object_key = ?";
            let by_id = "SELECT object_key FROM photo WHERE id = ?";
            Ok(select!(session, fetch_optional, (String,), by_key, path.as_str())?.is_some()
                || select!(session, fetch_optional, (String,), by_id, photo)?.is_some())
        })
    }

    /// Whether this object is still to be removed from the store.
    pub async fn is_discarded(&self, path: &ObjectPath) -> anyhow::Result<bool> {
        read!(self, "looking for a discarded object", |session| {
            let text = "SELECT object_key FROM discarded_object WHERE object_key = ?";
            Ok(select!(session, fetch_optional, (String,), text, path.as_str())?.is_some())
        })
    }

    /// The keys of at most `limit` objects that are to be removed from the store since `before` already, and since when.
    pub async fn discarded_before(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> anyhow::Result<Vec<(String, DateTime<Utc>)>> {
        let rows: Vec<(String, NaiveDateTime)> = read!(self, "listing discarded objects", |session| Ok(select!(
            session,
            fetch_all,
            (String, NaiveDateTime),
            "SELECT object_key, since FROM discarded_object WHERE since <= ? ORDER BY since LIMIT ?",
            moment(before),
            i64::from(limit)
        )?))?;
        Ok(rows.into_iter().map(|(key, since)| (key, since.and_utc())).collect())
    }

    /// Counts that are not what there is, at most 1,000 of the albums' and 1,000 of the labels'. Each engine compares at one moment, so that
    /// what changes meanwhile is no miscount.
    pub async fn miscounts(&self) -> anyhow::Result<Vec<Miscount>> {
        survey!(self, "counting photos and labels", |session| {
            let albums = select!(session, fetch_all, (String, i64, i64, i64, i64), ALBUM_TOTALS, SURVEYED)?
                .into_iter()
                .map(|(owner, told, told_bytes, counted, counted_bytes)| Miscount {
                    owner,
                    label: None,
                    told,
                    counted,
                    bytes_missing: counted_bytes - told_bytes,
                });
            let mut miscounts: Vec<Miscount> = albums.collect();
            let labels = select!(session, fetch_all, (String, String, i64, i64), LABEL_TOTALS, SURVEYED)?;
            miscounts.extend(labels.into_iter().map(|(owner, name, told, counted)| Miscount {
                owner,
                label: Some(name),
                told,
                counted,
                bytes_missing: 0,
            }));
            Ok(miscounts)
        })
    }

    /// Adds to a count by what it is wrong; right also while photos come and go, because the mistake stays
    /// the same, as long as nobody else sets it right too.
    pub async fn recount(&self, miscount: &Miscount) -> anyhow::Result<()> {
        let owner: Owner = miscount.owner.parse()?;
        let more = miscount.counted - miscount.told;
        let times = usize::try_from(more.unsigned_abs())?;
        transaction!(self, "setting a count right", |session| {
            match &miscount.label {
                None => count_album(session, &owner, more, miscount.bytes_missing).await?,
                Some(name) => {
                    let names = std::iter::repeat_n(name.as_str(), times);
                    let none = std::iter::repeat_n(name.as_str(), 0);
                    let (before, after) = if more < 0 { (names, none) } else { (none, names) };
                    count_labels(session, &owner, before, after).await?;
                }
            }
            Ok(())
        })
    }

    /// Whether of the next `limit` photos that are filed under words, beyond `after`, the catalog lists each: those that it does not, and where
    /// to go on; `None` at the end.
    pub async fn stray_words(&self, after: &Stray, limit: u32) -> anyhow::Result<(Vec<Stray>, Option<Stray>)> {
        let (key, owner) = (after.timeline_key.as_str(), after.owner.as_str());
        let rows: Vec<(String, String, Option<String>)> =
            read!(self, "looking for words of photos that are gone", |session| Ok(select!(
                session,
                fetch_all,
                (String, String, Option<String>),
                FILED,
                key,
                key,
                owner,
                i64::from(limit)
            )?))?;
        let next = rows.last().filter(|_| rows.len() == limit as usize);
        let next = next.map(|(owner, key, _)| Stray { owner: owner.clone(), timeline_key: key.clone() });
        let strays = rows.into_iter().filter(|(_, _, photo)| photo.is_none());
        Ok((strays.map(|(owner, timeline_key, _)| Stray { owner, timeline_key }).collect(), next))
    }

    /// Takes away the words of a photo that the catalog still does not list.
    pub async fn sweep_words(&self, stray: &Stray) -> anyhow::Result<()> {
        transaction!(self, "taking words of a photo away that is gone", |session| {
            execute!(
                session,
                "DELETE FROM photo_term WHERE timeline_key = ? AND owner = ? AND NOT EXISTS \
                 (SELECT 1 FROM photo p WHERE p.cognito_username = ? AND p.timeline_key = ?)",
                stray.timeline_key.as_str(),
                stray.owner.as_str(),
                stray.owner.as_str(),
                stray.timeline_key.as_str()
            )?;
            Ok(())
        })
    }

    /// At most 1,000 ids under which labels stand and no photo.
    pub async fn stray_labels(&self) -> anyhow::Result<Vec<String>> {
        let rows: Vec<(String,)> = survey!(self, "looking for labels of photos that are gone", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            "SELECT DISTINCT l.photo FROM photo_label l LEFT JOIN photo p ON p.id = l.photo WHERE p.id IS NULL LIMIT ?",
            SURVEYED
        )?))?;
        Ok(rows.into_iter().map(|(photo,)| photo).collect())
    }

    /// Takes away the labels of a photo that the catalog still does not list.
    pub async fn sweep_labels(&self, photo: &str) -> anyhow::Result<()> {
        transaction!(self, "taking labels of a photo away that is gone", |session| {
            execute!(
                session,
                "DELETE FROM photo_label WHERE photo = ? AND NOT EXISTS (SELECT 1 FROM photo p WHERE p.id = ?)",
                photo,
                photo
            )?;
            Ok(())
        })
    }

    /// At most 1,000 owners of photos, and how many each has, who have no account of the gallery's own and are not departing; but for those
    /// of the time before there were accounts.
    pub async fn owners_without_account(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let rows: Vec<(String, i64)> = survey!(self, "looking for owners without an account", |session| Ok(select!(
            session,
            fetch_all,
            (String, i64),
            "SELECT t.owner, t.photos FROM album_total t LEFT JOIN account a ON a.owner = t.owner \
             LEFT JOIN departing d ON d.owner = t.owner \
             WHERE t.photos > 0 AND a.owner IS NULL AND d.owner IS NULL AND t.owner <> ? ORDER BY t.owner LIMIT ?",
            Owner::anonymous().as_str(),
            SURVEYED
        )?))?;
        Ok(rows.into_iter().map(|(owner, photos)| (owner, unsigned(photos))).collect())
    }

    /// At most 1,000 owners of sessions who have no account of the gallery's own and are not departing.
    pub async fn sessions_without_account(&self) -> anyhow::Result<Vec<String>> {
        let rows: Vec<(String,)> = survey!(self, "looking for sessions without an account", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            "SELECT DISTINCT s.owner FROM session s LEFT JOIN account a ON a.owner = s.owner \
             LEFT JOIN departing d ON d.owner = s.owner WHERE a.owner IS NULL AND d.owner IS NULL LIMIT ?",
            SURVEYED
        )?))?;
        Ok(rows.into_iter().map(|(owner,)| owner).collect())
    }

    /// How many accounts of the gallery's own there are, and how many people are signed in.
    pub async fn people(&self) -> anyhow::Result<(u64, u64)> {
        let (accounts, signed_in) = survey!(self, "counting people", |session| Ok(select!(
            session,
            fetch_one,
            (i64, i64),
            "SELECT (SELECT COUNT(*) FROM account), (SELECT COUNT(DISTINCT owner) FROM session)"
        )?))?;
        Ok((unsigned(accounts), unsigned(signed_in)))
    }

    /// How many photos are listed.
    pub async fn photos_listed(&self) -> anyhow::Result<u64> {
        let (photos,) = survey!(self, "counting photos", |session| Ok(select!(
            session,
            fetch_one,
            (i64,),
            "SELECT COUNT(*) FROM photo WHERE timeline_key IS NOT NULL"
        )?))?;
        Ok(unsigned(photos))
    }

    /// How many codes were sent to accounts that do not exist.
    pub async fn codes_without_account(&self) -> anyhow::Result<u64> {
        let (codes,) = survey!(self, "looking for codes without an account", |session| Ok(select!(
            session,
            fetch_one,
            (i64,),
            "SELECT COUNT(*) FROM account_code c LEFT JOIN account a ON a.owner = c.owner WHERE a.owner IS NULL"
        )?))?;
        Ok(unsigned(codes))
    }

    /// Takes away the codes of accounts that do not exist.
    pub async fn sweep_codes(&self) -> anyhow::Result<()> {
        transaction!(self, "taking codes without an account away", |session| {
            execute!(
                session,
                "DELETE FROM account_code WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.owner = account_code.owner)"
            )?;
            Ok(())
        })
    }

    /// How many sessions began before this moment.
    pub async fn sessions_begun_before(&self, before: DateTime<Utc>) -> anyhow::Result<u64> {
        let (sessions,) = survey!(self, "counting old sessions", |session| Ok(select!(
            session,
            fetch_one,
            (i64,),
            "SELECT COUNT(*) FROM session WHERE created_at <= ?",
            moment(before)
        )?))?;
        Ok(unsigned(sessions))
    }

    /// Writes on a photo why it is not whole, be it finished or not; no worker takes it up. False when it is gone, or has a problem other than
    /// `problem` and `earlier`: that one stays.
    pub async fn mark_damaged(&self, id: PhotoId, problem: &str, earlier: Option<&str>) -> anyhow::Result<bool> {
        transaction!(self, "marking a photo as damaged", |session| Ok(execute!(
            session,
            "UPDATE photo SET problem = ?, claimed_until = NULL, in_hand = NULL WHERE id = ? AND (problem IS NULL OR problem IN (?, ?))",
            problem,
            id.to_string(),
            problem,
            earlier.unwrap_or(problem)
        )? > 0))
    }

    /// Takes this problem off a photo again; what is left to do for it is due at the moment `at`. False when it has not this problem.
    pub async fn mark_whole(&self, id: PhotoId, problem: &str, at: DateTime<Utc>) -> anyhow::Result<bool> {
        transaction!(self, "taking a problem off a photo", |session| Ok(execute!(
            session,
            "UPDATE photo SET problem = NULL, in_hand = NULL, crashes = 0, \
             claimed_until = CASE WHEN developed_at IS NULL OR labelled_at IS NULL THEN ? END WHERE id = ? AND problem = ?",
            moment(at),
            id.to_string(),
            problem
        )? > 0))
    }

    /// What the engine finds wrong with its own file, in its words; nothing where only its operator can ask, as on MySQL.
    pub async fn file_damage(&self) -> anyhow::Result<Vec<String>> {
        survey!(self, "checking the database's file", |session| match session {
            Session::MySql(_) => Ok(Vec::new()),
            Session::Sqlite(_) => {
                let told = select!(session, fetch_all, (String,), "PRAGMA integrity_check(10)")?;
                Ok(told.into_iter().map(|(line,)| line).filter(|line| line != "ok").collect())
            }
        })
    }
}

/// What is wrong with a row, given its labels and the words it is filed under.
fn judged(
    row: Raw,
    labels: Vec<anyhow::Result<Label>>,
    filed: &BTreeSet<String>,
    due: &Range<DateTime<Utc>>,
) -> Inspected {
    let Raw { id, object_key, claim, attempts, photo } = row;
    let read = read_whole(photo, labels, claim);
    match read {
        Ok((photo, labels, claim)) => {
            let flaws = flaws(&photo, &labels, (claim, attempts), filed, due);
            Inspected { id, object_key, photo: Some(photo), flaws }
        }
        Err(cause) => {
            let flaws = vec![Flaw::Unreadable(crate::photo::plain_line(&format!("{cause:#}")))];
            Inspected { id, object_key, photo: None, flaws }
        }
    }
}

/// All of a row, or the first part of it that cannot be read.
fn read_whole(
    photo: anyhow::Result<Photo>,
    labels: Vec<anyhow::Result<Label>>,
    claim: anyhow::Result<Option<NaiveDateTime>>,
) -> anyhow::Result<(Photo, Vec<Label>, Option<DateTime<Utc>>)> {
    let photo = photo?;
    let mut labels = labels.into_iter().collect::<anyhow::Result<Vec<Label>>>().context("a label of it is damaged")?;
    labels.sort_by(|a, b| b.by_confidence().total_cmp(&a.by_confidence()).then_with(|| a.name.cmp(&b.name)));
    let claim = claim.context("when it is due cannot be read")?;
    Ok((photo, labels, claim.map(|at| at.and_utc())))
}

fn flaws(
    photo: &Photo,
    labels: &[Label],
    (claim, attempts): (Option<DateTime<Utc>>, i64),
    filed: &BTreeSet<String>,
    due: &Range<DateTime<Utc>>,
) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if photo.timeline_key != place_of(photo) {
        flaws.push(Flaw::Misplaced);
    }
    if !tells(&photo.label_text, labels) {
        flaws.push(Flaw::LabelText);
    }
    let unfinished = photo.developed.is_none() || photo.labelled_at.is_none();
    let wanted = words_of(photo, labels);
    let missing = wanted.iter().filter(|term| !filed.contains(term.as_str())).count();
    let strays = filed.len() + missing - wanted.len();
    if missing + strays > 0 {
        flaws.push(Flaw::Misfiled { missing, strays });
    }
    match claim {
        None if unfinished && photo.problem.is_none() => flaws.push(Flaw::Forgotten),
        Some(at) if at <= due.start => flaws.push(Flaw::Overdue(at)),
        Some(at) if at >= due.end && unfinished => flaws.push(Flaw::FarOff(at)),
        // Each try puts it off anew: how long it has waited, its upload says.
        Some(_) if attempts >= IN_VAIN && photo.created_at <= due.start => flaws.push(Flaw::Overdue(photo.created_at)),
        _ => {}
    }
    flaws
}

/// Where a photo belongs in the timeline.
fn place_of(photo: &Photo) -> TimelineKey {
    TimelineKey::new(photo.shown_at().to_utc(), photo.id)
}

fn words_of(photo: &Photo, labels: &[Label]) -> BTreeSet<crate::photo::Term> {
    let details = photo.developed.as_ref().map(|developed| &developed.details);
    terms_of(photo.file_name.as_str(), photo.description.as_str(), details, named(labels))
}

/// Whether a text tells these labels, in the order in which we write them or in that of an earlier app.
fn tells(text: &str, labels: &[Label]) -> bool {
    let names = |labels: &[Label]| labels.iter().map(|label| label.name.clone()).collect::<BTreeSet<String>>();
    text == Label::joined(labels, LABEL_TEXT_CHARS) || names(&labels_in(text)) == names(labels)
}

/// Sets a photo's row right; nobody else can change it until the transaction ends.
async fn mend(session: &mut Session<'_>, photo: &Photo, flaws: &[Flaw], at: DateTime<Utc>) -> anyhow::Result<()> {
    let id = photo.id.to_string();
    let labels = labels_of(session, photo.id).await?;
    let labels = Label::tidy(labels);
    let key = place_of(photo);
    for flaw in flaws {
        match flaw {
            // An unreadable row is a person's business; one that waits is not wrong, and only a worker helps it.
            Flaw::Unreadable(_) | Flaw::Overdue(_) => {}
            Flaw::Misplaced => {
                let text = "UPDATE photo SET timeline_key = ? WHERE id = ?";
                execute!(session, text, key.as_str(), id.as_str())?;
                unfile(session, &photo.owner, &photo.timeline_key).await?;
                refile(session, &photo.owner, &key, &words_of(photo, &labels)).await?;
            }
            Flaw::LabelText => {
                let text = "UPDATE photo SET labels = ? WHERE id = ?";
                execute!(session, text, Label::joined(&labels, LABEL_TEXT_CHARS), id.as_str())?;
            }
            Flaw::Misfiled { .. } => refile(session, &photo.owner, &key, &words_of(photo, &labels)).await?,
            Flaw::Forgotten | Flaw::FarOff(_) => {
                execute!(
                    session,
                    "UPDATE photo SET in_hand = NULL, claimed_until = \
                     CASE WHEN developed_at IS NULL OR labelled_at IS NULL THEN ? END WHERE id = ?",
                    moment(at),
                    id.as_str()
                )?;
            }
        }
    }
    Ok(())
}
