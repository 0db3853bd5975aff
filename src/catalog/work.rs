//! What is left to do for each photo, who does it, and what came of it. A row says by itself what is left; an event is a hint.

use chrono::{DateTime, Utc};

use super::{
    Catalog, Session,
    intake::{LOCKED, labels_of, locked},
    row::{DevelopedColumns, PhotoRow, moment, signed, unsigned},
    terms::{named, refile, terms_of, unfile},
    totals::{count_album, count_labels},
};
use crate::photo::{Developed, Label, Owner, Photo, PhotoId, Sha256, TimelineKey};

/// The width of the course's column `labels` as we widen it, in characters.
const LABEL_TEXT_CHARS: usize = 2000;
/// The width of the column `problem`, in characters.
const PROBLEM_CHARS: usize = 500;

pub(super) const UNFINISHED: &str = "SELECT p.id FROM photo p /*! FORCE INDEX (photo_by_claim) */ \
     WHERE p.claimed_until <= ? ORDER BY p.claimed_until LIMIT ?";

/// A photo that one worker holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The photo as it is now.
    pub photo: Photo,
    /// How often it has been claimed, this time included.
    pub attempts: u64,
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

    /// Takes a photo up at the moment `now`: until `until` no other worker gets it. `None` when nothing is left to do, another worker holds it,
    /// or it is gone.
    pub async fn claim(
        &self,
        id: PhotoId,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> anyhow::Result<Option<Claimed>> {
        transaction!(self, "claiming a photo", |session| {
            let won = execute!(
                session,
                "UPDATE photo SET claimed_until = ?, attempts = attempts + 1 WHERE id = ? AND claimed_until <= ?",
                moment(until),
                id.to_string(),
                moment(now)
            )?;
            if won == 0 {
                return Ok(None);
            }
            let Some(row) = select!(session, fetch_optional, PhotoRow, LOCKED, id.to_string())? else {
                return Ok(None);
            };
            Ok(Some(Claimed { attempts: unsigned(row.attempts), photo: row.photo()? }))
        })
    }

    /// Puts a claimed photo off: it may be taken up again from `until` on, be it that its worker gives it back or that it needs more time.
    /// Does nothing when no work is left.
    pub async fn put_off(&self, id: PhotoId, until: DateTime<Utc>) -> anyhow::Result<()> {
        transaction!(self, "putting a photo off", |session| {
            execute!(
                session,
                "UPDATE photo SET claimed_until = ? WHERE id = ? AND claimed_until IS NOT NULL",
                moment(until),
                id.to_string()
            )?;
            Ok(())
        })
    }

    /// Writes the labels found at the moment `at` in place of all earlier ones; false when the photo is gone. Safe to repeat.
    pub async fn save_labels(&self, id: PhotoId, labels: &[Label], at: DateTime<Utc>) -> anyhow::Result<bool> {
        let labels = Label::tidy(labels.to_vec());
        transaction!(self, "saving labels", |session| {
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
        transaction!(self, "saving a developed photo", |session| {
            let Some(photo) = locked(session, id).await? else { return Ok(false) };
            let shown_at = developed.taken.map_or(photo.created_at, |taken| taken.at.to_utc());
            let key = TimelineKey::new(shown_at, id);
            let unique = !has_twin(session, &photo.owner, id, sha256).await?;
            execute!(
                session,
                "UPDATE photo SET timeline_key = ?, sha256 = ?, bytes = ?, width = ?, height = ?, thumbhash = ?, taken_at = ?, \
                 taken_offset_minutes = ?, offset_known = ?, details = ?, developed_at = ?, problem = NULL, \
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

    /// Notes why a photo will not get further by itself; no worker takes it up again. At most 500 characters are kept. Does nothing when
    /// no work is left: a worker whose lease ran out does not spoil what another has finished.
    pub async fn save_problem(&self, id: PhotoId, problem: &str) -> anyhow::Result<()> {
        let problem: String = crate::photo::plain_line(problem).chars().take(PROBLEM_CHARS).collect();
        transaction!(self, "noting a photo's problem", |session| {
            execute!(
                session,
                "UPDATE photo SET problem = ?, claimed_until = NULL WHERE id = ? AND claimed_until IS NOT NULL",
                problem.as_str(),
                id.to_string()
            )?;
            Ok(())
        })
    }
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
