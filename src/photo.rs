//! The words of the domain: what a photo is, who owns it, what is in it, where its bytes lie. Pure: no I/O, no clock.

use std::{fmt, str::FromStr};

use chrono::{DateTime, FixedOffset, Utc};
use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

pub use figures::{counted, grouped, size};
pub use label::{Instance, Label};
pub use object::{MediaType, ObjectPath, Rendition};
pub use text::{Description, FileName, Term, plain_line};

mod figures;
mod label;
mod object;
mod text;

/// The name of a photo: a UUIDv7 made at upload, so it sorts by upload time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhotoId(Uuid);

impl PhotoId {
    /// A new id for a photo that arrives `at`. Ids made in one process within one millisecond still ascend.
    pub fn new(at: DateTime<Utc>) -> Self {
        static CONTEXT: std::sync::Mutex<ContextV7> = std::sync::Mutex::new(ContextV7::new());
        let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
        Self(Uuid::new_v7(Timestamp::from_unix(&CONTEXT, seconds, at.timestamp_subsec_nanos())))
    }
}

impl fmt::Display for PhotoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for PhotoId {
    type Err = Malformed;

    /// Accepts only the form that [`Display`](fmt::Display) writes, so that one photo has one URL.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Uuid::try_parse(text)
            .ok()
            .map(Self)
            .filter(|id| id.to_string() == text)
            .ok_or(Malformed("a photo's id is 36 characters long: lower-case hexadecimal digits in five groups"))
    }
}

/// What the owner of a photo reads whose original is not in the store.
pub const FILE_MISSING: &str = "The photo's file is missing in the store.";
/// What the owner of a photo reads whose original is not what was uploaded.
pub const FILE_DAMAGED: &str = "The photo's file in the store is damaged: it is not what was uploaded.";
/// What the owner of a photo reads that could not be labelled, because its rendition is not in the store.
pub const RENDITION_MISSING: &str = "The photo's rendition is missing in the store.";

/// A text that is not what it should be; the sentence says what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Whose photo it is: the stable id of an account, never an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// The width of the catalog's column, in characters.
    pub const MAX_CHARS: usize = 150;

    /// The one owner of a gallery without accounts.
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// The text as the catalog holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = Malformed;

    /// Refuses blanks at the ends and control characters: MySQL would take `ann` and `ann ` for one owner.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain = text.trim() == text && !text.chars().any(char::is_control);
        if text.is_empty() || text.chars().count() > Self::MAX_CHARS || !plain {
            return Err(Malformed(
                "an owner's id has 1 to 150 characters, no blanks at its ends, no control characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A photo's place in its owner's timeline: when it was taken (else uploaded), made unique by bits of its id.
/// 32 lower-case hexadecimal digits that sort as text by time; also the cursor of `?before=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimelineKey(String);

impl TimelineKey {
    /// The key of photo `id` shown at the moment `at`, in milliseconds; years before 1970 sort rightly too.
    pub fn new(at: DateTime<Utc>, id: PhotoId) -> Self {
        const BIAS: i64 = 1 << 46;
        let millis = at.timestamp_millis().clamp(-BIAS, BIAS - 1) + BIAS;
        let random = id.0.as_u128() & ((1 << 80) - 1);
        Self(format!("{millis:012x}{random:020x}"))
    }

    /// The text as the catalog and the URLs hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TimelineKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed(
                "`before` is not a place in the timeline; ask for the URL in `next` of an earlier page as it is",
            ))
        }
    }
}

impl TryFrom<String> for TimelineKey {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<TimelineKey> for String {
    fn from(key: TimelineKey) -> Self {
        key.0
    }
}

/// SHA-256 of an original's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Malformed("a SHA-256 is 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

/// When a photo was taken, as its camera wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The moment. Without an offset in the file the camera's clock is read as UTC.
    pub at: DateTime<FixedOffset>,
    /// Whether the file said how far the camera's clock was from UTC.
    pub offset_known: bool,
}

/// What a camera wrote about a photo beside the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Details {
    /// Maker and model: `Canon EOS 5D`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Lens model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// Exposure time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_seconds: Option<f64>,
    /// Aperture as f-number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_number: Option<f64>,
    /// Sensitivity, ISO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iso: Option<u32>,
    /// Focal length in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focal_length_mm: Option<f64>,
    /// Degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Metres above the sea.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altitude_m: Option<f64>,
}

/// What developing an original tells about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Developed {
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// The placeholder, as `thumbhash` makes it: at most 25 bytes.
    pub thumbhash: Vec<u8>,
    /// When it was taken, if the file says so.
    pub taken: Option<Taken>,
    /// What else the camera wrote.
    pub details: Details,
}

/// How far a photo has come. Derived from its row, never stored as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The original is kept; its renditions are still to be made (photos adopted from an earlier app).
    Stored,
    /// Renditions are there; labels are on their way.
    Labelling,
    /// Done.
    Labelled,
    /// It will not get further by itself; `problem` says why.
    Failed,
}

impl State {
    /// The state of a photo that has a problem or not, has been developed or not, has been labelled or not.
    pub const fn of(problem: bool, developed: bool, labelled: bool) -> Self {
        match (problem, developed, labelled) {
            (true, ..) => Self::Failed,
            (false, false, _) => Self::Stored,
            (false, true, false) => Self::Labelling,
            (false, true, true) => Self::Labelled,
        }
    }

    /// Whether it goes on by itself.
    pub const fn is_underway(self) -> bool {
        matches!(self, Self::Stored | Self::Labelling)
    }

    /// The word for it, in JSON and in style sheets.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Labelling => "labelling",
            Self::Labelled => "labelled",
            Self::Failed => "failed",
        }
    }
}

/// A photo as the catalog lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Its name.
    pub id: PhotoId,
    /// Whose it is.
    pub owner: Owner,
    /// Its place in the timeline.
    pub timeline_key: TimelineKey,
    /// Where the original lies.
    pub original: ObjectPath,
    /// The original's type.
    pub media_type: MediaType,
    /// The original's size in bytes.
    pub bytes: u64,
    /// The original's SHA-256; `None` until an adopted photo has been developed, and for one whose bytes its owner has twice.
    pub sha256: Option<Sha256>,
    /// The name it came with.
    pub file_name: FileName,
    /// What its owner wrote.
    pub description: Description,
    /// When it was uploaded.
    pub created_at: DateTime<Utc>,
    /// What developing it told; `None` until then.
    pub developed: Option<Developed>,
    /// When its labels were written.
    pub labelled_at: Option<DateTime<Utc>>,
    /// Why it will not get further by itself.
    pub problem: Option<String>,
    /// The names of its labels joined with `, `, surest first; the labels themselves are asked for apart.
    pub label_text: String,
}

impl Photo {
    /// How far it has come.
    pub fn state(&self) -> State {
        State::of(self.problem.is_some(), self.developed.is_some(), self.labelled_at.is_some())
    }

    /// Whether another try may bring it further: it failed, and something is left to do.
    pub fn can_be_tried_again(&self) -> bool {
        self.problem.is_some() && (self.developed.is_none() || self.labelled_at.is_none())
    }

    /// Every object that the store holds of it.
    pub fn objects(&self) -> Vec<ObjectPath> {
        let renditions =
            [Rendition::Display, Rendition::Thumb].into_iter().filter_map(|r| ObjectPath::rendition(self.id, r));
        std::iter::once(self.original.clone()).chain(renditions).collect()
    }

    /// The moment under which the timeline shows it: taken, else uploaded.
    pub fn shown_at(&self) -> DateTime<FixedOffset> {
        self.developed.as_ref().and_then(|d| d.taken).map_or_else(|| self.created_at.fixed_offset(), |t| t.at)
    }
}
