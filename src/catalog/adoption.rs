//! Rows that the course's app wrote become photos: nothing of theirs is lost, and what it never knew is found out by the worker.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{
    Catalog, Session,
    row::{described, moment},
    terms::{named, refile, terms_of},
    totals::{count_album, count_labels},
    work::insert_labels,
};
use crate::photo::{FileName, Label, MediaType, ObjectPath, Owner, PhotoId, TimelineKey};

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

impl Catalog {
    /// Makes photos of at most `limit` rows that another app wrote into the table, and returns how many rows it saw to; 0 means that none is left.
    /// Such a photo keeps its labels (of unknown confidence), its description and its date; a worker develops it. Rows without owner become
    /// `anonymous`. A row that cannot be a photo gets a `problem` and is not listed. Safe to run in several places at once.
    pub async fn adopt(&self, now: DateTime<Utc>, limit: u32) -> anyhow::Result<u64> {
        let rows: Vec<ForeignRow> = read!(self, "looking for photos of an earlier app", |session| Ok(select!(
            session,
            fetch_all,
            ForeignRow,
            FOREIGN_ROWS,
            i64::from(limit)
        )?))?;
        let mut seen = 0;
        for row in rows {
            self.adopt_row(&row, now).await?;
            seen += 1;
        }
        Ok(seen)
    }

    async fn adopt_row(&self, row: &ForeignRow, now: DateTime<Utc>) -> anyhow::Result<()> {
        let created = row.created_datetime.map_or(now, |at| at.and_utc());
        let id = PhotoId::new(created);
        let name = row.cognito_username.as_deref().filter(|name| !name.is_empty());
        let owner = name.map_or_else(|| Ok(Owner::anonymous()), str::parse);
        let (Ok(owner), Ok(_)) = (owner, row.object_key.parse::<ObjectPath>()) else {
            return self.set_aside(row, id).await;
        };
        let file_name = FileName::new(&row.object_key);
        let labels = labels_in(row.labels.as_deref().unwrap_or_default());
        let description = described(row.description.as_deref().unwrap_or_default())?;
        let terms = terms_of(file_name.as_str(), description.as_str(), None, named(&labels));
        let key = TimelineKey::new(created, id);
        let labelled_at = (!labels.is_empty()).then(|| moment(created));
        transaction!(self, "adopting a photo of an earlier app", |session| {
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

    /// Leaves a row out of the gallery, with the reason where its owner can read it; without `timeline_key` no list shows it.
    async fn set_aside(&self, row: &ForeignRow, id: PhotoId) -> anyhow::Result<()> {
        tracing::warn!(object_key = %row.object_key, "a row of an earlier app cannot be a photo: its key or its owner is malformed");
        transaction!(self, "setting aside a row of an earlier app", |session| {
            execute!(
                session,
                "UPDATE photo SET id = ?, problem = ? WHERE object_key = ? AND id IS NULL",
                id.to_string(),
                "not adopted: the object key or the owner is malformed",
                row.object_key.as_str()
            )?;
            Ok(())
        })
    }
}

/// The course joined the names with `, `.
fn labels_in(text: &str) -> Vec<Label> {
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
