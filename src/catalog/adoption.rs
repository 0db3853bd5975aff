//! Rows that the course's app wrote become photos: nothing of theirs is lost, and what it never knew is found out by the worker.

use chrono::{DateTime, NaiveDateTime, Utc};

use sqlx::{FromRow as _, Row as _};

use super::{
    Catalog, Outage, Session,
    row::{described, moment},
    terms::{named, refile, terms_of},
    totals::{count_album, count_labels},
    work::{PROBLEM_CHARS, insert_labels},
};
use crate::photo::{FileName, Label, MediaType, ObjectPath, Owner, PhotoId, TimelineKey, plain_line};

pub(super) const FOREIGN_ROWS: &str = "SELECT object_key, labels, description, cognito_username, created_datetime FROM photo \
     WHERE id IS NULL LIMIT ?";

#[derive(sqlx::FromRow)]
struct ForeignRow {
    object_key: String,
    labels: Option<String>,
    description: Option<String>,
    cognito_username: Option<String>,
    created_datetime: Option<NaiveDateTime>,
}

/// A row of which a column holds what it cannot hold.
struct Illegible {
    object_key: Option<String>,
    cause: sqlx::Error,
}

impl Catalog {
    /// Makes photos of at most `limit` rows that another app wrote into the table, and returns how many rows it saw to; 0 means that none is left.
    /// Such a photo keeps its labels (of unknown confidence), its description and its date; a worker develops it. Rows without owner become
    /// `anonymous`. A row that cannot be a photo gets a `problem` and is not listed, and holds up no other. Safe to run in several places at once.
    pub async fn adopt(&self, now: DateTime<Utc>, limit: u32) -> anyhow::Result<u64> {
        let rows: Vec<Result<ForeignRow, Illegible>> =
            read!(self, "looking for photos of an earlier app", |session| {
                Ok(either!(Session, session, link => {
                    let rows = sqlx::query(FOREIGN_ROWS).bind(i64::from(limit)).fetch_all(&mut **link).await?;
                    rows.iter()
                        .map(|row| {
                            ForeignRow::from_row(row)
                                .map_err(|cause| Illegible { object_key: row.try_get("object_key").ok(), cause })
                        })
                        .collect()
                }))
            })?;
        let (mut seen, mut outcome) = (0, Ok(()));
        for row in rows {
            match self.adopt_or_set_aside(row, now).await {
                Ok(()) => seen += 1,
                Err(error) if error.downcast_ref::<Outage>().is_some() => return Err(error),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.map(|()| seen)
    }

    async fn adopt_or_set_aside(&self, row: Result<ForeignRow, Illegible>, now: DateTime<Utc>) -> anyhow::Result<()> {
        let row = match row {
            Ok(row) => row,
            Err(Illegible { object_key: Some(key), cause }) => {
                return self.set_aside(&key, now, &cause.to_string()).await;
            }
            Err(Illegible { object_key: None, cause }) => {
                return Err(anyhow::Error::new(cause)
                    .context("a row of an earlier app has an illegible key: delete it by hand"));
            }
        };
        match self.adopt_row(&row, now).await {
            Err(error) if error.downcast_ref::<Outage>().is_none() => {
                self.set_aside(&row.object_key, now, &format!("{error:#}")).await
            }
            outcome => outcome,
        }
    }

    async fn adopt_row(&self, row: &ForeignRow, now: DateTime<Utc>) -> anyhow::Result<()> {
        let created = row.created_datetime.map_or(now, |at| at.and_utc());
        let id = PhotoId::new(created);
        let name = row.cognito_username.as_deref().filter(|name| !name.is_empty());
        let owner = name.map_or_else(|| Ok(Owner::anonymous()), str::parse);
        let (Ok(owner), Ok(_)) = (owner, row.object_key.parse::<ObjectPath>()) else {
            anyhow::bail!("the object key or the owner is malformed");
        };
        let file_name = FileName::new(&row.object_key);
        let labels = labels_in(row.labels.as_deref().unwrap_or_default());
        let description = described(row.description.as_deref().unwrap_or_default())?;
        let terms = terms_of(file_name.as_str(), description.as_str(), None, named(&labels));
        let key = TimelineKey::new(created, id);
        let labelled_at = (!labels.is_empty()).then(|| moment(created));
        repeatable!(self, "adopting a photo of an earlier app", |session| {
            let won = execute!(
                session,
                "UPDATE photo SET id = ?, timeline_key = ?, cognito_username = ?, created_datetime = ?, bytes = 0, \
                 media_type = ?, file_name = ?, labelled_at = ?, claimed_until = ? WHERE object_key = ? AND id IS NULL",
                id.to_string(),
                key.as_str(),
                owner.as_str(),
                moment(created),
                media_type_of(&row.object_key).mime(),
                file_name.as_str(),
                labelled_at,
                moment(now),
                row.object_key.as_str()
            )?;
            if won == 1 {
                insert_labels(session, id, &labels).await?;
                refile(session, &owner, &key, &terms).await?;
                count_labels(session, &owner, [], labels.iter().map(|label| label.name.as_str())).await?;
                count_album(session, &owner, 1, 0).await?;
            }
            Ok(())
        })
    }

    /// Leaves a row out of the gallery, with the reason where its owner can read it; without `timeline_key` no list shows it, and with an id it is
    /// not looked at again.
    async fn set_aside(&self, object_key: &str, now: DateTime<Utc>, why: &str) -> anyhow::Result<()> {
        tracing::warn!(object_key, why, "a row of an earlier app cannot be a photo");
        let problem: String = plain_line(&format!("not adopted: {why}")).chars().take(PROBLEM_CHARS).collect();
        repeatable!(self, "setting aside a row of an earlier app", |session| {
            execute!(
                session,
                "UPDATE photo SET id = ?, problem = ? WHERE object_key = ? AND id IS NULL",
                PhotoId::new(now).to_string(),
                problem.as_str(),
                object_key
            )?;
            Ok(())
        })
    }
}

/// The course joined the names with `, `.
pub(super) fn labels_in(text: &str) -> Vec<Label> {
    let named = |name: &str| Label {
        name: name.to_owned(),
        confidence: None,
        parents: Vec::new(),
        categories: Vec::new(),
        instances: Vec::new(),
    };
    Label::tidy(text.split(',').map(named).collect())
}

/// The course's app stored PNG; an earlier one may have kept uploads as they came.
fn media_type_of(object_key: &str) -> MediaType {
    let extension = object_key.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "jpeg" => MediaType::Jpeg,
        "tif" => MediaType::Tiff,
        "heif" => MediaType::Heic,
        other => MediaType::ALL.into_iter().find(|media| media.extension() == other).unwrap_or(MediaType::Png),
    }
}
