//! From upload bytes to checked, upright, bounded renditions. Pure: bytes in, bytes out; no files, no clock, no threads.
//!
//! Each step is one small module: `signature` says what a file is, `jpeg`, `raster`, `tiff` and `heic` decode it straight to
//! display size (`scale`), `colour` brings it to sRGB, `sheet` turns it upright, `prints` encodes, `exif` reads the camera's notes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::photo::{Developed, MediaType, Rendition, grouped};

mod colour;
mod exif;
mod frames;
mod heic;
mod jpeg;
mod prints;
mod raster;
mod scale;
mod sheet;
mod signature;
mod tiff;

pub use signature::media_type;

use sheet::Sheet;

/// What is refused before any pixel is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, in pixels.
    pub max_pixels: u64,
    /// Width or height, in pixels.
    pub max_side: u32,
    /// Frames of an animation, of which only the first is shown.
    pub max_frames: u32,
    /// Blocks of 8 x 8 samples that all scans of a progressive JPEG visit together.
    pub max_scan_blocks: u64,
    /// Memory for the decoded pixels of formats (or JPEG kinds) that cannot be decoded row by row, in bytes.
    pub max_working_bytes: u64,
    /// Width times height of a HEIC picture, whose decoder takes up to 18 bytes of memory a pixel.
    pub max_heic_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_side: 32_768,
            max_frames: 2_000,
            max_scan_blocks: 50_000_000,
            max_working_bytes: 300_000_000,
            max_heic_pixels: 26_000_000,
        }
    }
}

impl Limits {
    /// Refuses a picture of `width` x `height` pixels that is empty or over the limits.
    fn admit(&self, width: u32, height: u32) -> Result<(), Undeveloped> {
        if width == 0 || height == 0 {
            return Err(Undeveloped::NoPixels);
        }
        if width.max(height) > self.max_side {
            return Err(Undeveloped::TooLong { width, height, max: self.max_side });
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Undeveloped::TooManyPixels { width, height, max: self.max_pixels });
        }
        Ok(())
    }

    /// Refuses a picture whose decoding needs `bytes` of memory at once.
    fn admit_memory(&self, bytes: u64) -> Result<(), Undeveloped> {
        if bytes > self.max_working_bytes {
            return Err(Undeveloped::TooMuchMemory { needed: bytes, max: self.max_working_bytes });
        }
        Ok(())
    }
}

/// A developed original: what it tells, and its two JPEGs, upright, in sRGB, without metadata.
#[derive(Debug)]
pub struct Renditions {
    /// Size, placeholder, camera data.
    pub developed: Developed,
    /// At most 2048 px a side.
    pub display: Vec<u8>,
    /// At most 480 px a side.
    pub thumb: Vec<u8>,
}

/// Which kind of refusal it is, for whoever must answer with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not a type that this gallery takes.
    Type,
    /// A known type, but damaged or of a variant that cannot be decoded.
    Content,
    /// Over one of the [`Limits`].
    TooBig,
}

/// Why a file is not developed: a sentence for the person who uploaded it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeveloped {
    /// No bytes.
    #[error("The file is empty.")]
    Empty,
    /// A file of another sort; the text names it.
    #[error("This is {0}, not a picture; the gallery takes JPEG, PNG, WebP, GIF, BMP, TIFF and HEIC pictures.")]
    Foreign(&'static str),
    /// A file nobody recognises.
    #[error("This is not a picture the gallery knows; it takes JPEG, PNG, WebP, GIF, BMP, TIFF and HEIC pictures.")]
    Unknown,
    /// A picture of a type that has no decoder here; the text names it.
    #[error("{0} pictures cannot be decoded here yet; please upload it as JPEG, PNG, WebP or HEIC.")]
    Undecodable(&'static str),
    /// The file ends before its picture does.
    #[error("The picture is cut short: the file ends before the picture does. Please upload it again.")]
    CutShort,
    /// The bytes contradict themselves.
    #[error("The {} picture is damaged and cannot be read.", named(*.0))]
    Damaged(MediaType),
    /// A rare variant of a known type.
    #[error("This kind of {} picture cannot be decoded here; please save it again as an ordinary JPEG or PNG.", named(*.0))]
    Variant(MediaType),
    /// Zero width or height.
    #[error("The picture has no pixels.")]
    NoPixels,
    /// One side over [`Limits::max_side`].
    #[error("{} x {} pixels is more than the {} pixels a side this gallery takes.", grouped(*width), grouped(*height), grouped(*max))]
    TooLong {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit.
        max: u32,
    },
    /// Area over [`Limits::max_pixels`].
    #[error("{} x {} pixels is more than the {} megapixels this gallery takes.", grouped(*width), grouped(*height), max / 1_000_000)]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in pixels.
        max: u64,
    },
    /// More frames than [`Limits::max_frames`].
    #[error("The animation has more than the {} frames this gallery takes.", grouped(*max))]
    TooManyFrames {
        /// The limit.
        max: u32,
    },
    /// More work than [`Limits::max_scan_blocks`].
    #[error(
        "The JPEG is stored in too many passes to be decoded in reasonable time; please save it again as an ordinary JPEG."
    )]
    TooManyScans,
    /// More memory than [`Limits::max_working_bytes`].
    #[error(
        "Decoding this kind of picture at its size takes {} MB of memory, more than the {} MB this gallery gives; please save it smaller or as an ordinary JPEG.",
        needed.div_ceil(1_000_000), max / 1_000_000
    )]
    TooMuchMemory {
        /// In bytes.
        needed: u64,
        /// The limit in bytes.
        max: u64,
    },
}

impl Undeveloped {
    /// Which kind of refusal it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Foreign(_) | Self::Unknown | Self::Undecodable(_) => Kind::Type,
            Self::Empty | Self::CutShort | Self::Damaged(_) | Self::Variant(_) | Self::NoPixels => Kind::Content,
            Self::TooLong { .. }
            | Self::TooManyPixels { .. }
            | Self::TooManyFrames { .. }
            | Self::TooManyScans
            | Self::TooMuchMemory { .. } => Kind::TooBig,
        }
    }
}

/// A type as people write it.
fn named(media_type: MediaType) -> String {
    match media_type {
        MediaType::WebP => "WebP".to_owned(),
        MediaType::Jpeg => "JPEG".to_owned(),
        other => other.extension().to_uppercase(),
    }
}

/// A decoded picture, already at display size but not yet upright or in sRGB, with what its file said beside the pixels.
struct Negative {
    sheet: Sheet,
    /// Size of the original as coded, in pixels.
    width: u32,
    height: u32,
    /// The ICC profile.
    icc: Option<Vec<u8>>,
    /// The EXIF block, from its TIFF header on.
    exif: Option<Vec<u8>>,
    /// Whether the decoder has turned the picture upright already.
    upright: bool,
}

/// The size at which a picture of `width` x `height` is shown within `longest` pixels a side: never larger than it is, and of even
/// sides when it is made smaller, so that halved colour planes stay in place.
fn target_size(width: u32, height: u32, longest: u32) -> (u32, u32) {
    if width.max(height) <= longest {
        return (width, height);
    }
    let scale = f64::from(longest) / f64::from(width.max(height));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number at most `longest`")]
    let fit = |side: u32| ((f64::from(side) * scale / 2.0).round() as u32 * 2).clamp(2.min(side), longest);
    (fit(width), fit(height))
}

/// Checks, decodes and prints an original.
///
/// Sizes in headers are judged by `limits` before a pixel is decoded; a decoder's panic becomes a refusal. Takes as long as the decoder
/// needs (0.1 to 2 s of CPU), so it belongs on a thread of its own: see [`crate::darkroom`].
pub fn develop(original: &[u8], limits: &Limits) -> Result<Renditions, Undeveloped> {
    let media_type = media_type(original)?;
    catch_unwind(AssertUnwindSafe(|| develop_as(media_type, original, limits)))
        .unwrap_or(Err(Undeveloped::Damaged(media_type)))
}

fn develop_as(media_type: MediaType, original: &[u8], limits: &Limits) -> Result<Renditions, Undeveloped> {
    let negative = match media_type {
        MediaType::Jpeg => jpeg::expose(original, limits)?,
        MediaType::Heic => heic::expose(original, limits)?,
        MediaType::Tiff => tiff::expose(original, limits)?,
        MediaType::Avif => return Err(Undeveloped::Undecodable("AVIF")),
        raster => raster::expose(raster, original, limits)?,
    };
    let notes = negative.exif.map(exif::read).unwrap_or_default();
    let orientation = if negative.upright { 1 } else { notes.orientation };
    let display = colour::to_srgb(negative.sheet, negative.icc.as_deref()).turned(orientation);
    let thumb = display.within(Rendition::Thumb.longest_side().unwrap_or(u32::MAX));
    let (width, height) =
        if orientation >= 5 { (negative.height, negative.width) } else { (negative.width, negative.height) };
    let thumbhash = prints::thumbhash(&thumb);
    Ok(Renditions {
        developed: Developed { width, height, thumbhash, taken: notes.taken, details: notes.details },
        display: prints::jpeg(&display),
        thumb: prints::jpeg(&thumb),
    })
}

/// A print of ours within `longest` pixels a side. Takes some tens of milliseconds of CPU.
pub fn smaller(print: &[u8], longest: u32) -> Result<Vec<u8>, Undeveloped> {
    let limits = Limits::default();
    catch_unwind(AssertUnwindSafe(|| Ok(prints::jpeg(&jpeg::expose(print, &limits)?.sheet.within(longest)))))
        .unwrap_or(Err(Undeveloped::Damaged(MediaType::Jpeg)))
}

/// Decodes a rendition whole, and tells its width and height in pixels. Takes some milliseconds of CPU.
pub fn proof(rendition: &[u8]) -> Result<(u32, u32), Undeveloped> {
    let decoded = catch_unwind(AssertUnwindSafe(|| jpeg::expose(rendition, &Limits::default())));
    decoded.unwrap_or(Err(Undeveloped::Damaged(MediaType::Jpeg))).map(|negative| (negative.width, negative.height))
}

/// The size in pixels that a rendition of an original of this size has; `None` for the original itself.
pub fn rendition_size(width: u32, height: u32, rendition: Rendition) -> Option<(u32, u32)> {
    let longest = rendition.longest_side()?;
    let (width, height) = target_size(width, height, Rendition::Display.longest_side().unwrap_or(u32::MAX));
    Some(target_size(width, height, longest))
}

/// Whether developing this original takes far more memory than its size on screen: the darkroom does one of these at a time.
pub fn is_heavy(original: &[u8]) -> bool {
    match media_type(original) {
        Ok(MediaType::Jpeg) => jpeg::is_buffered(original),
        Ok(_) => true,
        Err(_) => false,
    }
}
