//! Finding photos: by id, by page, by word, by what is in them. Every statement here walks an index.

use std::collections::HashMap;

use anyhow::Context as _;

use super::{
    Catalog, Session, adoption, audit, content_label, discards, overdue,
    row::{PhotoRow, columns},
    session, terms, totals, unfinished, work,
};
use crate::photo::{Instance, Label, Owner, Photo, PhotoId, Sha256, Term, TimelineKey};

/// The most terms of one search; the album refuses more, the catalog ignores them.
pub const MAX_TERMS: usize = 8;

/// A count of photos under a term is exact up to here; beyond, all terms are equally frequent.
const MAX_COUNTED: i64 = 1000;

/// Sorts after every timeline key.
pub(super) const NO_CURSOR: &str = "~";

const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM photo p /*! FORCE INDEX (photo_by_timeline) */ WHERE p.cognito_username = ? AND p.timeline_key < ? \
     ORDER BY p.timeline_key DESC LIMIT ?"
);

/// Each further term is asked of every photo under the first; a NULL one is not asked.
macro_rules! and_under {
    () => {
        " AND (? IS NULL OR EXISTS (SELECT 1 FROM photo_term o \
         WHERE o.owner = t.owner AND o.term = ? AND o.timeline_key = t.timeline_key))"
    };
}

// SQLite keeps the order of a CROSS JOIN, MySQL that of a STRAIGHT_JOIN: first the term's photos in order, then their rows.
const UNDER_TERMS: &str = concat!(
    "SELECT /*! STRAIGHT_JOIN */ ",
    columns!(),
    " FROM photo_term t CROSS JOIN photo p /*! FORCE INDEX (photo_by_timeline) */ \
     ON p.cognito_username = t.owner AND p.timeline_key = t.timeline_key \
     WHERE t.owner = ? AND t.term = ? AND t.timeline_key < ?",
    and_under!(),
    and_under!(),
    and_under!(),
    and_under!(),
    and_under!(),
    and_under!(),
    and_under!(),
    " ORDER BY t.timeline_key DESC LIMIT ?"
);

const COUNT_UNDER_TERM: &str =
    "SELECT COUNT(*) FROM (SELECT 1 AS one FROM photo_term WHERE owner = ? AND term = ? LIMIT ?) AS counted";

const NEWER: &str = "SELECT p.id FROM photo p /*! FORCE INDEX (photo_by_timeline) */ \
     WHERE p.cognito_username = ? AND p.timeline_key > ? ORDER BY p.timeline_key LIMIT 1";
const OLDER: &str = "SELECT p.id FROM photo p /*! FORCE INDEX (photo_by_timeline) */ \
     WHERE p.cognito_username = ? AND p.timeline_key < ? ORDER BY p.timeline_key DESC LIMIT 1";

pub(super) const PHOTO: &str =
    concat!("SELECT ", columns!(), " FROM photo p WHERE p.id = ? AND p.cognito_username = ?");
pub(super) const BY_SHA256: &str =
    concat!("SELECT ", columns!(), " FROM photo p WHERE p.cognito_username = ? AND p.sha256 = ?");

macro_rules! eight_places {
    () => {
        "?, ?, ?, ?, ?, ?, ?, ?"
    };
}
pub(super) use eight_places;

/// How many photos [`LABELS`] asks for at once.
const LABELS_PLACES: usize = 32;
const LABELS: &str = concat!(
    "SELECT photo, name, confidence, parents, categories, instances FROM photo_label WHERE photo IN (",
    eight_places!(),
    ", ",
    eight_places!(),
    ", ",
    eight_places!(),
    ", ",
    eight_places!(),
    ")"
);

/// A statement that must find its rows by an index at a million photos.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// What it finds.
    pub name: &'static str,
    /// Its text, with `?` for each value.
    pub text: &'static str,
}

/// The statements behind every page and every worker's question; tests ask both engines to explain them.
pub const WALKS: [Walk; 24] = [
    Walk { name: "newest", text: NEWEST },
    Walk { name: "under terms", text: UNDER_TERMS },
    Walk { name: "count under term", text: COUNT_UNDER_TERM },
    Walk { name: "newer", text: NEWER },
    Walk { name: "older", text: OLDER },
    Walk { name: "photo", text: PHOTO },
    Walk { name: "by sha256", text: BY_SHA256 },
    Walk { name: "labels", text: LABELS },
    Walk { name: "terms of a photo", text: terms::TERMS },
    Walk { name: "foreign rows", text: adoption::FOREIGN_ROWS },
    Walk { name: "label totals", text: totals::LABEL_TOTALS },
    Walk { name: "unfinished", text: work::UNFINISHED },
    Walk { name: "far ahead", text: work::AHEAD },
    Walk { name: "with work left", text: overdue::WITH_WORK_LEFT },
    Walk { name: "discarded", text: discards::DISCARDED },
    Walk { name: "unused labels", text: content_label::UNUSED },
    Walk { name: "unfinished of an owner", text: unfinished::OF_OWNER },
    Walk { name: "count unfinished", text: unfinished::COUNT },
    Walk { name: "inspected", text: audit::PAGE },
    Walk { name: "terms of inspected", text: audit::TERMS },
    Walk { name: "progress", text: unfinished::PROGRESS },
    Walk { name: "among", text: unfinished::AMONG },
    Walk { name: "session", text: session::BY_ID },
    Walk { name: "sessions", text: session::BY_OWNER },
];

#[derive(sqlx::FromRow)]
pub(super) struct LabelRow {
    photo: String,
    name: String,
    confidence: Option<f64>,
    parents: Option<String>,
    categories: Option<String>,
    instances: Option<String>,
}

impl LabelRow {
    pub(super) fn label(self) -> anyhow::Result<Label> {
        let names = |json: Option<String>| -> anyhow::Result<Vec<String>> {
            json.map_or_else(|| Ok(Vec::new()), |json| Ok(serde_json::from_str(&json)?))
        };
        let instances: Vec<Instance> = match self.instances {
            Some(json) => serde_json::from_str(&json).context("a label's boxes are not what we wrote")?,
            None => Vec::new(),
        };
        Ok(Label {
            name: self.name,
            confidence: self.confidence,
            parents: names(self.parents).context("a label's parents are not what we wrote")?,
            categories: names(self.categories).context("a label's categories are not what we wrote")?,
            instances,
        })
    }
}

impl Catalog {
    /// The photo `id` of `owner`.
    pub async fn photo(&self, owner: &Owner, id: PhotoId) -> anyhow::Result<Option<Photo>> {
        let row: Option<PhotoRow> = read!(self, "looking up a photo", |session| Ok(select!(
            session,
            fetch_optional,
            PhotoRow,
            PHOTO,
            id.to_string(),
            owner.as_str()
        )?))?;
        row.map(PhotoRow::photo).transpose()
    }

    /// The photo of `owner` whose original has these bytes.
    pub async fn photo_by_sha256(&self, owner: &Owner, sha256: Sha256) -> anyhow::Result<Option<Photo>> {
        let row: Option<PhotoRow> = read!(self, "looking up a photo by its bytes", |session| Ok(select!(
            session,
            fetch_optional,
            PhotoRow,
            BY_SHA256,
            owner.as_str(),
            sha256.to_string()
        )?))?;
        row.map(PhotoRow::photo).transpose()
    }

    /// At most `limit` photos of `owner`, newest first, below `before` in the timeline; only those filed under all of the first
    /// [`MAX_TERMS`] `terms`.
    pub async fn photos(
        &self,
        owner: &Owner,
        terms: &[Term],
        before: Option<&TimelineKey>,
        limit: u32,
    ) -> anyhow::Result<Vec<Photo>> {
        let before = before.map_or(NO_CURSOR, TimelineKey::as_str);
        let rows: Vec<PhotoRow> = read!(self, "listing photos", |session| {
            let Some(terms) = Self::rarest_first(session, owner, terms).await? else { return Ok(Vec::new()) };
            let Some((first, others)) = terms.split_first() else {
                return Ok(select!(session, fetch_all, PhotoRow, NEWEST, owner.as_str(), before, i64::from(limit))?);
            };
            Ok(either!(Session, session, link => {
                let mut statement =
                    sqlx::query_as::<_, PhotoRow>(UNDER_TERMS).bind(owner.as_str()).bind(first.as_str()).bind(before);
                for place in 0..MAX_TERMS - 1 {
                    let term = others.get(place).map(|term| term.as_str());
                    statement = statement.bind(term).bind(term);
                }
                statement.bind(i64::from(limit)).fetch_all(&mut **link).await
            })?)
        })?;
        rows.into_iter().map(PhotoRow::photo).collect()
    }

    /// The terms with the one that has the fewest photos in front; `None` when one has no photo at all.
    async fn rarest_first<'t>(
        session: &mut Session<'_>,
        owner: &Owner,
        terms: &'t [Term],
    ) -> Result<Option<Vec<&'t Term>>, sqlx::Error> {
        let terms = &terms[..terms.len().min(MAX_TERMS)];
        if let [] | [_] = terms {
            return Ok(Some(terms.iter().collect()));
        }
        let mut counted = Vec::with_capacity(terms.len());
        for term in terms {
            let (photos,) =
                select!(session, fetch_one, (i64,), COUNT_UNDER_TERM, owner.as_str(), term.as_str(), MAX_COUNTED)?;
            if photos == 0 {
                return Ok(None);
            }
            counted.push((photos, term));
        }
        counted.sort();
        Ok(Some(counted.into_iter().map(|(_, term)| term).collect()))
    }

    /// The next newer photo of `owner` than the place `key` in the timeline.
    pub async fn newer(&self, owner: &Owner, key: &TimelineKey) -> anyhow::Result<Option<PhotoId>> {
        self.neighbour(owner, key, NEWER).await
    }

    /// The next older photo of `owner` than the place `key` in the timeline.
    pub async fn older(&self, owner: &Owner, key: &TimelineKey) -> anyhow::Result<Option<PhotoId>> {
        self.neighbour(owner, key, OLDER).await
    }

    async fn neighbour(&self, owner: &Owner, key: &TimelineKey, text: &'static str) -> anyhow::Result<Option<PhotoId>> {
        let row: Option<(String,)> = read!(self, "finding a photo's neighbour", |session| Ok(select!(
            session,
            fetch_optional,
            (String,),
            text,
            owner.as_str(),
            key.as_str()
        )?))?;
        Ok(row.map(|(id,)| id.parse()).transpose()?)
    }

    /// The labels of each of `photos` that has any, surest first.
    pub async fn labels(&self, photos: &[PhotoId]) -> anyhow::Result<HashMap<PhotoId, Vec<Label>>> {
        let rows: Vec<LabelRow> = read!(self, "reading labels", |session| {
            let mut rows = Vec::new();
            for some in photos.chunks(LABELS_PLACES) {
                rows.extend(either!(Session, session, link => {
                    let mut statement = sqlx::query_as::<_, LabelRow>(LABELS);
                    for place in 0..LABELS_PLACES {
                        statement = statement.bind(some.get(place).map(PhotoId::to_string).unwrap_or_default());
                    }
                    statement.fetch_all(&mut **link).await
                })?);
            }
            Ok(rows)
        })?;
        let mut labels: HashMap<PhotoId, Vec<Label>> = HashMap::new();
        for row in rows {
            labels.entry(row.photo.parse()?).or_default().push(row.label()?);
        }
        for list in labels.values_mut() {
            list.sort_by(|a, b| b.by_confidence().total_cmp(&a.by_confidence()).then_with(|| a.name.cmp(&b.name)));
        }
        Ok(labels)
    }
}
