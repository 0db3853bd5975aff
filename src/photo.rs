//! The words of the domain: what a photo is, who owns it, what is in it, where its bytes lie. Pure: no I/O, no clock.

use std::{fmt, str::FromStr};

use chrono::{DateTime, FixedOffset, Utc};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;
use uuid::{ContextV7, Timestamp, Uuid};

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
            Err(Malformed("`before` takes the `next` value of an earlier page: 32 hexadecimal digits"))
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

/// The picture types the gallery knows by their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// JPEG, `image/jpeg`.
    Jpeg,
    /// PNG, `image/png`.
    Png,
    /// WebP, `image/webp`.
    WebP,
    /// GIF, `image/gif`.
    Gif,
    /// Windows bitmap, `image/bmp`.
    Bmp,
    /// TIFF, `image/tiff`.
    Tiff,
    /// HEIC as phones write it, `image/heic`.
    Heic,
    /// AVIF, `image/avif`.
    Avif,
}

impl MediaType {
    /// Every type, in the order in which README lists them.
    pub const ALL: [Self; 8] =
        [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Bmp, Self::Tiff, Self::Heic, Self::Avif];

    /// The registered media type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Heic => "image/heic",
            Self::Avif => "image/avif",
        }
    }

    /// The usual file name extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Heic => "heic",
            Self::Avif => "avif",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mime())
    }
}

impl FromStr for MediaType {
    type Err = Malformed;

    fn from_str(mime: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|t| t.mime() == mime)
            .ok_or(Malformed("this media type is not one the gallery keeps"))
    }
}

/// The three sizes in which a photo can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rendition {
    /// The file as it was uploaded, byte for byte.
    Original,
    /// A JPEG for the photo's own page, without metadata.
    Display,
    /// A JPEG for lists, without metadata.
    Thumb,
}

impl Rendition {
    /// The longest side in pixels; `None` for the original.
    pub const fn longest_side(self) -> Option<u32> {
        match self {
            Self::Original => None,
            Self::Display => Some(2048),
            Self::Thumb => Some(480),
        }
    }

    /// The word used in URLs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Display => "display",
            Self::Thumb => "thumb",
        }
    }
}

impl FromStr for Rendition {
    type Err = Malformed;

    fn from_str(name: &str) -> Result<Self, Malformed> {
        [Self::Original, Self::Display, Self::Thumb]
            .into_iter()
            .find(|r| r.name() == name)
            .ok_or(Malformed("a photo can be had as original, display or thumb"))
    }
}

/// Where an object lies in the store: a key of ours, or a key that an earlier app gave it. Never made from a visitor's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The width of the catalog's `object_key` column, in characters.
    pub const MAX_CHARS: usize = 80;

    /// Where the original of a new photo goes: `photos/<id>.<extension>`.
    pub fn original(id: PhotoId, media_type: MediaType) -> Self {
        Self(format!("photos/{id}.{}", media_type.extension()))
    }

    /// Where a rendition goes: `renditions/<id>/display.jpg`, outside `photos/` so that it announces no upload.
    /// `None` for the original, whose path stands in the catalog.
    pub fn rendition(id: PhotoId, rendition: Rendition) -> Option<Self> {
        rendition.longest_side().map(|_| Self(format!("renditions/{id}/{}.jpg", rendition.name())))
    }

    /// The key as stores know it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectPath {
    type Err = Malformed;

    /// Reads a key back from the catalog or from a signed link: relative, without empty or dotted segments.
    fn from_str(key: &str) -> Result<Self, Malformed> {
        let safe = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && !segment.chars().any(|c| c.is_control() || c == '\\' || c == ':')
        };
        if key.chars().count() <= Self::MAX_CHARS && key.split('/').all(safe) {
            Ok(Self(key.to_owned()))
        } else {
            Err(Malformed("an object key is at most 80 characters of relative path"))
        }
    }
}

/// One thing that is in a picture, whoever found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// What it is, in English, as the labeler writes it: `Dog`.
    pub name: String,
    /// How sure the labeler is, in percent, 0 to 100; `None` for labels of an earlier app that kept none.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// More general names: `Animal` for `Dog`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The labeler's subject areas: `Animals and Pets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Where in the picture it stands, once for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
}

impl Label {
    /// The longest name kept, in characters; labelers' longer names are dropped as nonsense.
    pub const MAX_NAME_CHARS: usize = 100;
    /// The most labels kept for one photo.
    pub const MAX_PER_PHOTO: usize = 100;
    /// The most boxes kept for one label.
    pub const MAX_INSTANCES: usize = 100;
    /// The most parents and the most categories kept for one label.
    pub const MAX_PARENTS: usize = 20;

    /// What a labeler returned, made safe to keep: finite confidences within 0 to 100, sane names, each once, surest first and those of
    /// unknown confidence last; boxes within the picture; bounded in every number.
    pub fn tidy(labels: Vec<Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = labels
            .into_iter()
            .filter_map(|mut label| {
                label.name = sane_name(&label.name)?;
                label.confidence = match label.confidence {
                    Some(percent) if !percent.is_finite() => return None,
                    percent => percent.map(|percent| percent.clamp(0.0, 100.0)),
                };
                for related in [&mut label.parents, &mut label.categories] {
                    *related = related.iter().filter_map(|name| sane_name(name)).take(Self::MAX_PARENTS).collect();
                }
                label.instances =
                    label.instances.iter().filter_map(Instance::within_picture).take(Self::MAX_INSTANCES).collect();
                Some(label)
            })
            .collect();
        kept.sort_by(|a, b| b.by_confidence().total_cmp(&a.by_confidence()).then_with(|| a.name.cmp(&b.name)));
        let mut seen = std::collections::HashSet::new();
        kept.retain(|label| seen.insert(label.name.to_lowercase()));
        kept.truncate(Self::MAX_PER_PHOTO);
        kept
    }

    /// The confidence for sorting: the unknown is below every known one.
    pub fn by_confidence(&self) -> f64 {
        self.confidence.unwrap_or(-1.0)
    }

    /// The names joined with `, ` as the course's column `labels` holds them, whole names only, at most `max_chars` characters.
    pub fn joined(labels: &[Self], max_chars: usize) -> String {
        let mut text = String::new();
        let mut chars = 0;
        for label in labels {
            let more = label.name.chars().count() + if text.is_empty() { 0 } else { 2 };
            if chars + more > max_chars {
                break;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&label.name);
            chars += more;
        }
        text
    }
}

/// A labeler's name on one line; `None` for an empty or too long one.
fn sane_name(name: &str) -> Option<String> {
    let name = plain_line(name);
    (!name.is_empty() && name.chars().count() <= Label::MAX_NAME_CHARS).then_some(name)
}

/// One box around one thing, in fractions of the picture's width and height, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// In percent, 0 to 100.
    pub confidence: f64,
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Instance {
    /// The part of the box that lies within the picture; `None` when nothing does or a number is no number.
    fn within_picture(&self) -> Option<Self> {
        let numbers = [self.confidence, self.left, self.top, self.width, self.height];
        let (left, top) = (self.left.clamp(0.0, 1.0), self.top.clamp(0.0, 1.0));
        let width = (self.width - (left - self.left)).min(1.0 - left);
        let height = (self.height - (top - self.top)).min(1.0 - top);
        let there = numbers.iter().all(|n| n.is_finite()) && width > 0.0 && height > 0.0;
        there.then(|| Self { confidence: self.confidence.clamp(0.0, 100.0), left, top, width, height })
    }
}

/// What an owner wrote about a photo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(String);

impl Description {
    /// The longest description, in characters.
    pub const MAX_CHARS: usize = 2000;

    /// The text; empty when nothing was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Description {
    type Err = Malformed;

    /// Trims the ends and makes line breaks uniform; refuses what is too long or holds control characters.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Malformed("a description cannot hold control characters"));
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(Malformed("a description has at most 2,000 characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name a file came with, for showing and for downloads; never a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// The longest name kept, in characters; longer ones lose their middle.
    pub const MAX_CHARS: usize = 200;

    /// What remains of `raw` once folders, control and direction-changing characters are gone; `photo` when nothing remains.
    pub fn new(raw: &str) -> Self {
        let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = plain_line(last);
        let name = name.trim_matches(['.', ' ']);
        if name.is_empty() {
            return Self("photo".to_owned());
        }
        let chars: Vec<char> = name.chars().collect();
        if chars.len() <= Self::MAX_CHARS {
            return Self(name.to_owned());
        }
        let (head, tail) = (&chars[..Self::MAX_CHARS - 21], &chars[chars.len() - 20..]);
        Self(head.iter().chain(&['…']).chain(tail).collect())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` on one line, without control characters and without characters that turn the reading direction.
pub fn plain_line(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !turns(*c)).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
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
        match self {
            Self { problem: Some(_), .. } => State::Failed,
            Self { developed: None, .. } => State::Stored,
            Self { labelled_at: None, .. } => State::Labelling,
            _ => State::Labelled,
        }
    }

    /// The moment under which the timeline shows it: taken, else uploaded.
    pub fn shown_at(&self) -> DateTime<FixedOffset> {
        self.developed.as_ref().and_then(|d| d.taken).map_or_else(|| self.created_at.fixed_offset(), |t| t.at)
    }
}

/// A word by which photos are found: lower case, without accents, plural `s` and possessive `'s` gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(String);

impl Term {
    /// The longest term, in characters; longer words are cut alike when indexed and when searched.
    pub const MAX_CHARS: usize = 40;

    /// The words of a text, each once, sorted.
    pub fn words(text: &str) -> Vec<Self> {
        let folded: String = text
            .nfkd()
            .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
            .map(|c| if matches!(c, '_' | '.') { ' ' } else { c })
            .flat_map(char::to_lowercase)
            .collect();
        let mut terms: Vec<Self> = folded
            .unicode_words()
            .map(|word| {
                let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
                let word: String = word.chars().take(Self::MAX_CHARS).collect();
                let plural = word.len() > 3 && word.is_ascii() && word.ends_with('s') && !word.ends_with("ss");
                Self(if plural { word[..word.len() - 1].to_owned() } else { word })
            })
            .collect();
        terms.sort();
        terms.dedup();
        terms
    }

    /// The term under which every photo with exactly this label is filed; no word of a text equals it.
    pub fn label(name: &str) -> Self {
        let name: String = plain_line(name).to_lowercase();
        Self(std::iter::once('=').chain(name.chars().take(Label::MAX_NAME_CHARS)).collect())
    }

    /// The term as the catalog holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
