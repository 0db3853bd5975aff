//! The bytes of a photo: of which type, in which sizes, where in the store.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Malformed, PhotoId};

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
