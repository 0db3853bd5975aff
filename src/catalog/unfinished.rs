//! What is unfinished, as its owner sees it: what waits, what has failed, how far each has come, and another try for what failed.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{
    Catalog, Session,
    row::{PhotoRow, columns, moment, signed, unsigned},
    timeline::{NO_CURSOR, eight_places},
    work::CRASHES,
};
use crate::photo::{Owner, Photo, PhotoId, State, TimelineKey};

/// Photos are counted up to here, so that no page counts a million rows.
pub const COUNTED: u64 = 1000;

pub(super) const OF_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM photo p /*! FORCE INDEX (photo_by_unfinished) */ \
     WHERE p.cognito_username = ? AND p.unfinished = ? AND p.timeline_key < ? ORDER BY p.timeline_key DESC LIMIT ?"
);

// What an earlier app wrote and is not listed has no place in the timeline.
pub(super) const COUNT: &str = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM photo /*! FORCE INDEX (photo_by_unfinished) */ \
     WHERE cognito_username = ? AND unfinished = ? AND timeline_key < '~' LIMIT ?) AS counted";

macro_rules! sixty_four_places {
    () => {
        concat!(
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!(),
            ", ",
            eight_places!()
        )
    };
}

/// How many photos are asked for at once.
const PLACES: usize = 64;

pub(super) const PROGRESS: &str = concat!(
    "SELECT id, developed_at, labelled_at, problem, claimed_until, in_hand, attempts FROM photo WHERE id IN (",
    sixty_four_places!(),
    ")"
);
pub(super) const AMONG: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM photo p WHERE p.cognito_username = ? AND p.id IN (",
    sixty_four_places!(),
    ")"
);
const RETRY: &str = concat!(
    "UPDATE photo SET problem = NULL, claimed_until = ?, attempts = 0, in_hand = NULL, \
     crashes = CASE WHEN crashes >= ? THEN ? ELSE 0 END \
     WHERE cognito_username = ? AND problem IS NOT NULL AND timeline_key IS NOT NULL \
     AND (developed_at IS NULL OR labelled_at IS NULL) AND id IN (",
    sixty_four_places!(),
    ")"
);

/// The two ways of being unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A worker has it, or will.
    Waiting,
    /// It will not get further by itself.
    Failed,
}

impl Stage {
    /// As the column `unfinished` has it.
    fn number(self) -> i64 {
        match self {
            Self::Waiting => 1,
            Self::Failed => 2,
        }
    }
}

/// How far a photo has come, and when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its state.
    pub state: State,
    /// From when on a worker may take it up, which is when the one who has it now must have spoken up again; `None` when nothing is left to do.
    pub due: Option<DateTime<Utc>>,
    /// Whether a worker has it, or died over it.
    pub in_hand: bool,
    /// How often a worker has taken it up.
    pub attempts: u64,
}

#[derive(sqlx::FromRow)]
struct ProgressRow {
    id: String,
    developed_at: Option<NaiveDateTime>,
    labelled_at: Option<NaiveDateTime>,
    problem: Option<String>,
    claimed_until: Option<NaiveDateTime>,
    in_hand: Option<String>,
    attempts: i64,
}

impl ProgressRow {
    fn progress(&self) -> Progress {
        Progress {
            state: State::of(self.problem.is_some(), self.developed_at.is_some(), self.labelled_at.is_some()),
            due: self.claimed_until.map(|at| at.and_utc()),
            in_hand: self.in_hand.is_some(),
            attempts: unsigned(self.attempts),
        }
    }
}

impl Catalog {
    /// At most `limit` unfinished photos of `owner`, newest first, below `before` in the timeline.
    pub async fn unfinished_of(
        &self,
        owner: &Owner,
        stage: Stage,
        before: Option<&TimelineKey>,
        limit: u32,
    ) -> anyhow::Result<Vec<Photo>> {
        let rows: Vec<PhotoRow> = read!(self, "listing what is unfinished", |session| Ok(select!(
            session,
            fetch_all,
            PhotoRow,
            OF_OWNER,
            owner.as_str(),
            stage.number(),
            before.map_or(NO_CURSOR, TimelineKey::as_str),
            i64::from(limit)
        )?))?;
        rows.into_iter().map(PhotoRow::photo).collect()
    }

    /// How many photos of `owner` wait, and how many have failed; beyond [`COUNTED`] it says one more than that.
    pub async fn count_unfinished(&self, owner: &Owner) -> anyhow::Result<(u64, u64)> {
        let most = i64::try_from(COUNTED)? + 1;
        read!(self, "counting what is unfinished", |session| {
            let count = async |session: &mut Session<'_>, stage: Stage| {
                select!(session, fetch_one, (i64,), COUNT, owner.as_str(), stage.number(), most)
            };
            let (waiting,) = count(session, Stage::Waiting).await?;
            let (failed,) = count(session, Stage::Failed).await?;
            Ok((unsigned(waiting), unsigned(failed)))
        })
    }

    /// How far each of `photos` has come that is there, whoever owns it.
    pub async fn progress(&self, photos: &[PhotoId]) -> anyhow::Result<HashMap<PhotoId, Progress>> {
        let rows: Vec<ProgressRow> = read!(self, "asking how far photos have come", |session| {
            let mut rows = Vec::new();
            for some in photos.chunks(PLACES) {
                rows.extend(either!(Session, session, link => {
                    let mut statement = sqlx::query_as::<_, ProgressRow>(PROGRESS);
                    for place in 0..PLACES {
                        statement = statement.bind(some.get(place).map(PhotoId::to_string).unwrap_or_default());
                    }
                    statement.fetch_all(&mut **link).await
                })?);
            }
            Ok(rows)
        })?;
        rows.into_iter().map(|row| Ok((row.id.parse()?, row.progress()))).collect()
    }

    /// Those of `photos` that are `owner`'s.
    pub async fn photos_among(&self, owner: &Owner, photos: &[PhotoId]) -> anyhow::Result<Vec<Photo>> {
        let rows: Vec<PhotoRow> = read!(self, "looking up photos", |session| {
            let mut rows = Vec::new();
            for some in photos.chunks(PLACES) {
                rows.extend(either!(Session, session, link => {
                    let mut statement = sqlx::query_as::<_, PhotoRow>(AMONG).bind(owner.as_str());
                    for place in 0..PLACES {
                        statement = statement.bind(some.get(place).map(PhotoId::to_string).unwrap_or_default());
                    }
                    statement.fetch_all(&mut **link).await
                })?);
            }
            Ok(rows)
        })?;
        rows.into_iter().map(PhotoRow::photo).collect()
    }

    /// Gives those of `photos` another try that are `owner`'s and have failed: as if never tried, due at the moment `now`; one
    /// over which workers died may do so to one more. One on which nothing is left to do, because its file was lost afterwards, stays as it is. The number of those that are tried; safe to repeat.
    pub async fn retry(&self, owner: &Owner, photos: &[PhotoId], now: DateTime<Utc>) -> anyhow::Result<u64> {
        let (mut retried, most_crashes) = (0, signed(CRASHES)?);
        for some in photos.chunks(PLACES) {
            retried += repeatable!(self, "giving photos another try", |session| {
                Ok(either!(Session, session, link => {
                    let mut statement = sqlx::query(RETRY)
                        .bind(moment(now))
                        .bind(most_crashes)
                        .bind(most_crashes - 1)
                        .bind(owner.as_str());
                    for place in 0..PLACES {
                        statement = statement.bind(some.get(place).map(PhotoId::to_string).unwrap_or_default());
                    }
                    statement.execute(&mut **link).await.map(|done| done.rows_affected())
                })?)
            })?;
        }
        Ok(retried)
    }
}
