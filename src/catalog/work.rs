//! What is left to do for each photo, who does it, and what came of it. A row says by itself what is left; an event is a hint.

use anyhow::Context as _;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{
    Catalog, Pool, Session,
    intake::{LOCKED, labels_of, locked},
    row::{DevelopedColumns, PhotoRow, moment, signed, unsigned},
    terms::{named, refile, terms_of, unfile},
    totals::{count_album, count_labels},
};
use crate::photo::{Developed, Label, ObjectPath, Owner, Photo, PhotoId, Sha256, TimelineKey};

/// The width of the course's column `labels` as we widen it, in characters.
pub(super) const LABEL_TEXT_CHARS: usize = 2000;
/// The width of the column `problem`, in characters.
pub(super) const PROBLEM_CHARS: usize = 500;

/// How often workers may die over one photo.
pub const CRASHES: u64 = 5;
/// Nobody holds a photo, puts it off or asks about it for longer than this at once: what is further ahead was written by a wrong clock.
pub(super) const FAR_AHEAD: TimeDelta = TimeDelta::minutes(20);
/// How many digits of `in_hand` are the mark of the claim; those after it are of the claim before, whose worker is taken for dead.
const MARK_CHARS: usize = 16;

pub(super) const UNFINISHED: &str = "SELECT p.id FROM photo p /*! FORCE INDEX (photo_by_claim) */ \
     WHERE p.claimed_until <= ? ORDER BY p.claimed_until LIMIT ?";
pub(super) const AHEAD: &str = "SELECT p.id FROM photo p /*! FORCE INDEX (photo_by_claim) */ \
     WHERE p.claimed_until > ? ORDER BY p.claimed_until LIMIT ?";

/// A photo that one worker holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The photo as it is now.
    pub photo: Photo,
    /// How often it has been claimed, this time included.
    pub attempts: u64,
    /// How many of these claims ended with the death of the worker.
    pub crashes: u64,
    /// What this claim is known by.
    pub mark: String,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// It is the claimer's.
    Won(Box<Claimed>),
    /// Another worker has it until then, unless that worker says more.
    InOtherHands(DateTime<Utc>),
    /// It is put off until then.
    PutOff(DateTime<Utc>),
    /// Nothing is left to do by itself.
    Finished,
    /// Its row cannot be read; the sentence says why. It is claimed all the same.
    Damaged {
        /// Why.
        why: String,
        /// What this claim is known by.
        mark: String,
    },
    /// It is not in the catalog.
    Unlisted,
}

#[derive(sqlx::FromRow)]
struct HandRow {
    claimed_until: Option<NaiveDateTime>,
    in_hand: Option<String>,
    crashes: i64,
}

impl Catalog {
    /// At most `limit` photos with work left that no worker holds at the moment `now`, longest waiting first.
    pub async fn unfinished(&self, now: DateTime<Utc>, limit: u32) -> anyhow::Result<Vec<PhotoId>> {
        let rows: Vec<(String,)> = read!(self, "listing unfinished photos", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            UNFINISHED,
            moment(now),
            i64::from(limit)
        )?))?;
        rows.into_iter().map(|(id,)| Ok(id.parse()?)).collect()
    }

    /// The moment by the clock that all who share the catalog go by: MySQL's own. Those who share a SQLite file share a machine, and its clock,
    /// which the caller has read: `here`.
    pub async fn moment(&self, here: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
        if matches!(self.pool, Pool::Sqlite { .. }) {
            return Ok(here);
        }
        let (now,): (NaiveDateTime,) = read!(self, "asking the database for the time", |session| Ok(select!(
            session,
            fetch_one,
            (NaiveDateTime,),
            "SELECT UTC_TIMESTAMP(6)"
        )?))?;
        Ok(now.and_utc())
    }

    /// Makes at most `limit` photos due at the moment `now` that a wrong clock put off for very long; how many.
    pub async fn bring_back(&self, now: DateTime<Utc>, limit: u32) -> anyhow::Result<usize> {
        let far = moment(now + FAR_AHEAD);
        let rows: Vec<(String,)> = read!(self, "looking for photos put off for very long", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            AHEAD,
            far,
            i64::from(limit)
        )?))?;
        for (id,) in &rows {
            repeatable!(self, "bringing a photo back", |session| {
                let write = "UPDATE photo SET claimed_until = ? WHERE id = ? AND claimed_until > ?";
                execute!(session, write, moment(now), id.as_str(), far)?;
                Ok(())
            })?;
        }
        Ok(rows.len())
    }

    /// Takes a photo up at the moment `now`: until `until` no other worker gets it. Finding the mark of an earlier claim, whose worker must have
    /// died over the photo, counts a crash.
    pub async fn claim(&self, id: PhotoId, now: DateTime<Utc>, until: DateTime<Utc>) -> anyhow::Result<Claim> {
        self.claim_as(id, &Self::mark()?, now, until).await
    }

    /// What one claim may be known by: digits that nobody else has.
    pub fn mark() -> anyhow::Result<String> {
        Ok(mark()?.chars().take(MARK_CHARS).collect())
    }

    /// [`claim`](Self::claim), known by a [`mark`](Self::mark) that no other claim has.
    pub async fn claim_as(
        &self,
        id: PhotoId,
        mark: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> anyhow::Result<Claim> {
        repeatable!(self, "claiming a photo", |session| {
            let text = "SELECT claimed_until, in_hand, crashes FROM photo WHERE id = ? /*! FOR UPDATE */";
            let Some(row) = select!(session, fetch_optional, HandRow, text, id.to_string())? else {
                return Ok(Claim::Unlisted);
            };
            let Some(free_at) = row.claimed_until else { return Ok(Claim::Finished) };
            // A claim whose answer was lost is asked for again.
            let ours = row.in_hand.as_deref().is_some_and(|hand| hand.starts_with(mark));
            if free_at > moment(now) && free_at <= moment(now + FAR_AHEAD) && !ours {
                let free_at = free_at.and_utc();
                return Ok(if row.in_hand.is_some() { Claim::InOtherHands(free_at) } else { Claim::PutOff(free_at) });
            }
            let crashes = row.crashes + i64::from(row.in_hand.is_some() && !ours);
            if !ours {
                let before = row.in_hand.iter().flat_map(|hand| hand.chars().take(MARK_CHARS));
                let hand: String = mark.chars().chain(before).collect();
                execute!(
                    session,
                    "UPDATE photo SET claimed_until = ?, attempts = attempts + 1, in_hand = ?, crashes = ? WHERE id = ?",
                    moment(until),
                    hand.as_str(),
                    crashes,
                    id.to_string()
                )?;
            }
            let Some(row) = select!(session, fetch_optional, PhotoRow, LOCKED, id.to_string())? else {
                return Ok(Claim::Unlisted);
            };
            let (attempts, crashes, mark) = (unsigned(row.attempts), unsigned(crashes), mark.to_owned());
            Ok(match row.photo() {
                Ok(photo) => Claim::Won(Box::new(Claimed { photo, attempts, crashes, mark })),
                Err(why) => Claim::Damaged { why: format!("{why:#}"), mark },
            })
        })
    }

    /// Keeps a photo in the hand that the claim `mark` put it in; false when it is in that hand no more.
    pub async fn hold(&self, id: PhotoId, mark: &str, until: DateTime<Utc>) -> anyhow::Result<bool> {
        repeatable!(self, "holding a photo", |session| {
            let held = execute!(
                session,
                "UPDATE photo SET claimed_until = ? WHERE id = ? AND SUBSTR(in_hand, 1, 16) = ? AND claimed_until IS NOT NULL",
                moment(until),
                id.to_string(),
                mark
            )?;
            Ok(held == 1)
        })
    }

    /// Gives back a photo that the claim `mark` took: it may be taken up again from `until` on. Does nothing when no work is left, and when another
    /// has it by now, but that the other took this claim's worker for dead is then made good, once. Safe to repeat.
    pub async fn put_off(&self, id: PhotoId, mark: &str, until: DateTime<Utc>) -> anyhow::Result<()> {
        repeatable!(self, "putting a photo off", |session| {
            let given_back = execute!(
                session,
                "UPDATE photo SET claimed_until = ?, in_hand = NULL \
                 WHERE id = ? AND SUBSTR(in_hand, 1, 16) = ? AND claimed_until IS NOT NULL",
                moment(until),
                id.to_string(),
                mark
            )?;
            if given_back == 0 {
                execute!(
                    session,
                    "UPDATE photo SET crashes = crashes - 1, in_hand = SUBSTR(in_hand, 1, 16) \
                     WHERE id = ? AND crashes > 0 AND SUBSTR(in_hand, 17) = ?",
                    id.to_string(),
                    mark
                )?;
            }
            Ok(())
        })
    }

    /// The photo whose original lies at `path`, when the catalog lists it.
    pub async fn photo_of(&self, path: &ObjectPath) -> anyhow::Result<Option<PhotoId>> {
        let row: Option<(Option<String>,)> = read!(self, "looking for the photo of an object", |session| Ok(select!(
            session,
            fetch_optional,
            (Option<String>,),
            "SELECT id FROM photo WHERE object_key = ?",
            path.as_str()
        )?))?;
        row.and_then(|(id,)| id).map(|id| Ok(id.parse()?)).transpose()
    }

    /// Writes the labels found at the moment `at` in place of all earlier ones; false when the photo is gone. Safe to repeat.
    pub async fn save_labels(&self, id: PhotoId, labels: &[Label], at: DateTime<Utc>) -> anyhow::Result<bool> {
        let labels = Label::tidy(labels.to_vec());
        repeatable!(self, "saving labels", |session| {
            let Some(photo) = locked(session, id).await? else { return Ok(false) };
            let earlier = labels_of(session, id).await?;
            execute!(session, "DELETE FROM photo_label WHERE photo = ?", id.to_string())?;
            insert_labels(session, id, &labels).await?;
            let details = photo.developed.as_ref().map(|developed| &developed.details);
            let terms = terms_of(photo.file_name.as_str(), photo.description.as_str(), details, named(&labels));
            refile(session, &photo.owner, &photo.timeline_key, &terms).await?;
            let before = earlier.iter().map(|label| label.name.as_str());
            count_labels(session, &photo.owner, before, labels.iter().map(|label| label.name.as_str())).await?;
            execute!(
                session,
                "UPDATE photo SET labels = ?, labelled_at = ?, problem = NULL, \
                 in_hand = CASE WHEN developed_at IS NULL THEN in_hand END, \
                 crashes = CASE WHEN developed_at IS NULL THEN crashes ELSE 0 END, \
                 claimed_until = CASE WHEN developed_at IS NULL THEN claimed_until END WHERE id = ?",
                Label::joined(&labels, LABEL_TEXT_CHARS),
                moment(at),
                id.to_string()
            )?;
            Ok(true)
        })
    }

    /// Writes what developing an adopted original told at the moment `at`; false when the photo is gone. Safe to repeat.
    /// The taken time moves it in the timeline. When its owner has the same bytes twice, the second stays without SHA-256.
    pub async fn save_developed(
        &self,
        id: PhotoId,
        sha256: Sha256,
        bytes: u64,
        developed: &Developed,
        at: DateTime<Utc>,
    ) -> anyhow::Result<bool> {
        let columns = DevelopedColumns::new(developed)?;
        let size = signed(bytes)?;
        repeatable!(self, "saving a developed photo", |session| {
            let Some(photo) = locked(session, id).await? else { return Ok(false) };
            let shown_at = developed.taken.map_or(photo.created_at, |taken| taken.at.to_utc());
            let key = TimelineKey::new(shown_at, id);
            let unique = !has_twin(session, &photo.owner, id, sha256).await?;
            execute!(
                session,
                "UPDATE photo SET timeline_key = ?, sha256 = ?, bytes = ?, width = ?, height = ?, thumbhash = ?, taken_at = ?, \
                 taken_offset_minutes = ?, offset_known = ?, details = ?, developed_at = ?, problem = NULL, \
                 in_hand = CASE WHEN labelled_at IS NULL THEN in_hand END, \
                 crashes = CASE WHEN labelled_at IS NULL THEN crashes ELSE 0 END, \
                 claimed_until = CASE WHEN labelled_at IS NULL THEN claimed_until END WHERE id = ?",
                key.as_str(),
                unique.then(|| sha256.to_string()),
                size,
                columns.width,
                columns.height,
                columns.thumbhash.as_str(),
                columns.taken_at,
                columns.taken_offset_minutes,
                columns.offset_known,
                columns.details.as_str(),
                moment(at),
                id.to_string()
            )?;
            if key != photo.timeline_key {
                unfile(session, &photo.owner, &photo.timeline_key).await?;
            }
            let labels = labels_of(session, id).await?;
            let terms = terms_of(
                photo.file_name.as_str(),
                photo.description.as_str(),
                Some(&developed.details),
                named(&labels),
            );
            refile(session, &photo.owner, &key, &terms).await?;
            count_album(session, &photo.owner, 0, size - signed(photo.bytes)?).await?;
            Ok(true)
        })
    }

    /// Notes why a photo will not get further by itself; no worker takes it up again. Its crashes are forgotten unless they are why. At most 500
    /// characters are kept. Does nothing when no work is left: a worker whose lease ran out does not spoil what another has finished.
    pub async fn save_problem(&self, id: PhotoId, problem: &str) -> anyhow::Result<()> {
        let problem: String = crate::photo::plain_line(problem).chars().take(PROBLEM_CHARS).collect();
        repeatable!(self, "noting a photo's problem", |session| {
            execute!(
                session,
                "UPDATE photo SET problem = ?, claimed_until = NULL, in_hand = NULL, \
                 crashes = CASE WHEN crashes >= ? THEN crashes ELSE 0 END WHERE id = ? AND claimed_until IS NOT NULL",
                problem.as_str(),
                signed(CRASHES)?,
                id.to_string()
            )?;
            Ok(())
        })
    }
}

/// 32 digits that nobody else has.
pub(super) fn mark() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(hex::encode(bytes))
}

/// Writes the labels of a photo that has none, in sorted order.
pub(super) async fn insert_labels(session: &mut Session<'_>, id: PhotoId, labels: &[Label]) -> anyhow::Result<()> {
    let mut sorted: Vec<&Label> = labels.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for label in sorted {
        execute!(
            session,
            "INSERT INTO photo_label (photo, name, confidence, parents, categories, instances) VALUES (?, ?, ?, ?, ?, ?)",
            id.to_string(),
            label.name.as_str(),
            label.confidence,
            json_unless_empty(&label.parents)?,
            json_unless_empty(&label.categories)?,
            json_unless_empty(&label.instances)?
        )?;
    }
    Ok(())
}

fn json_unless_empty<T: serde::Serialize>(list: &[T]) -> anyhow::Result<Option<String>> {
    Ok(if list.is_empty() { None } else { Some(serde_json::to_string(list)?) })
}

async fn has_twin(session: &mut Session<'_>, owner: &Owner, id: PhotoId, sha256: Sha256) -> Result<bool, sqlx::Error> {
    let twin = select!(
        session,
        fetch_optional,
        (String,),
        "SELECT id FROM photo WHERE cognito_username = ? AND sha256 = ?",
        owner.as_str(),
        sha256.to_string()
    )?;
    Ok(twin.is_some_and(|(twin,)| twin != id.to_string()))
}
