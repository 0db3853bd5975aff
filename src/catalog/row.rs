//! A photo's row: its columns, and how it becomes a [`Photo`].

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, FixedOffset, NaiveDateTime, SubsecRound as _, Utc};

use crate::photo::{Description, Details, Developed, FileName, ObjectPath, Owner, Photo, Taken};

/// The columns of [`PhotoRow`], of the table under the name `p`.
macro_rules! columns {
    () => {
        "p.id, p.object_key, p.labels, p.description, p.cognito_username, p.created_datetime, p.timeline_key, p.sha256, \
         p.bytes, p.media_type, p.file_name, p.width, p.height, p.thumbhash, p.taken_at, p.taken_offset_minutes, \
         p.offset_known, p.details, p.developed_at, p.labelled_at, p.problem, p.attempts"
    };
}
pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct PhotoRow {
    id: String,
    object_key: String,
    labels: Option<String>,
    description: Option<String>,
    cognito_username: String,
    created_datetime: NaiveDateTime,
    timeline_key: String,
    sha256: Option<String>,
    bytes: Option<i64>,
    media_type: String,
    file_name: String,
    width: Option<i64>,
    height: Option<i64>,
    thumbhash: Option<String>,
    taken_at: Option<NaiveDateTime>,
    taken_offset_minutes: Option<i64>,
    offset_known: Option<bool>,
    details: Option<String>,
    developed_at: Option<NaiveDateTime>,
    labelled_at: Option<NaiveDateTime>,
    problem: Option<String>,
    pub(super) attempts: i64,
}

impl PhotoRow {
    /// The photo, or why this row is not one.
    pub(super) fn photo(self) -> anyhow::Result<Photo> {
        let object_key = self.object_key.clone();
        self.parsed().with_context(|| format!("the catalog's row of `{object_key}` is damaged"))
    }

    fn parsed(self) -> anyhow::Result<Photo> {
        let developed = if self.developed_at.is_some() { Some(self.developed()?) } else { None };
        Ok(Photo {
            id: self.id.parse()?,
            owner: self.cognito_username.parse::<Owner>()?,
            timeline_key: self.timeline_key.parse()?,
            original: self.object_key.parse::<ObjectPath>()?,
            media_type: self.media_type.parse()?,
            bytes: unsigned(self.bytes.unwrap_or(0)),
            sha256: self.sha256.map(|hex| hex.parse()).transpose()?,
            file_name: FileName::new(&self.file_name),
            description: described(self.description.as_deref().unwrap_or_default())?,
            created_at: self.created_datetime.and_utc(),
            developed,
            labelled_at: self.labelled_at.map(|at| at.and_utc()),
            problem: self.problem,
            label_text: self.labels.unwrap_or_default(),
        })
    }

    fn developed(&self) -> anyhow::Result<Developed> {
        let offset = || {
            let seconds = i32::try_from(self.taken_offset_minutes.unwrap_or(0)).ok()?.checked_mul(60)?;
            FixedOffset::east_opt(seconds)
        };
        let taken = match self.taken_at {
            Some(at) => Some(Taken {
                at: at.and_utc().with_timezone(&offset().context("the offset of its clock is out of range")?),
                offset_known: self.offset_known.unwrap_or(false),
            }),
            None => None,
        };
        let side = |pixels: Option<i64>| u32::try_from(pixels.unwrap_or(0)).context("its size is out of range");
        Ok(Developed {
            width: side(self.width)?,
            height: side(self.height)?,
            thumbhash: BASE64
                .decode(self.thumbhash.as_deref().unwrap_or_default())
                .context("its thumbhash is not base64")?,
            taken,
            details: details(self.details.as_deref())?,
        })
    }
}

/// A description as the table holds it; what an earlier app let in is made fit to show.
pub(super) fn described(text: &str) -> anyhow::Result<Description> {
    let fit: String = text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect();
    Ok(fit.parse()?)
}

/// A camera's details as the table holds them.
pub(super) fn details(json: Option<&str>) -> anyhow::Result<Details> {
    json.map_or_else(
        || Ok(Details::default()),
        |json| serde_json::from_str(json).context("its details are not what we wrote"),
    )
}

/// The columns that hold a [`Developed`], ready to bind.
pub(super) struct DevelopedColumns {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) thumbhash: String,
    pub(super) taken_at: Option<NaiveDateTime>,
    pub(super) taken_offset_minutes: Option<i64>,
    pub(super) offset_known: Option<bool>,
    pub(super) details: String,
}

impl DevelopedColumns {
    /// # Errors
    /// When the taken time is outside the years 1000 to 9999, which is what MySQL keeps.
    pub(super) fn new(developed: &Developed) -> anyhow::Result<Self> {
        use chrono::Datelike as _;
        let taken_at = developed.taken.map(|taken| moment(taken.at.to_utc()));
        anyhow::ensure!(
            taken_at.is_none_or(|at| (1000..=9999).contains(&at.year())),
            "a photo's taken time lies outside the years 1000 to 9999"
        );
        Ok(Self {
            width: i64::from(developed.width),
            height: i64::from(developed.height),
            thumbhash: BASE64.encode(&developed.thumbhash),
            taken_at,
            taken_offset_minutes: developed.taken.map(|taken| i64::from(taken.at.offset().local_minus_utc() / 60)),
            offset_known: developed.taken.map(|taken| taken.offset_known),
            details: serde_json::to_string(&developed.details)?,
        })
    }
}

/// A moment as both engines keep it: UTC, in whole microseconds.
pub(super) fn moment(at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc().trunc_subsecs(6)
}

/// A count from the database, which has no unsigned numbers common to both engines.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A count for the database.
pub(super) fn signed(count: u64) -> anyhow::Result<i64> {
    i64::try_from(count).context("a count is beyond 63 bits")
}
