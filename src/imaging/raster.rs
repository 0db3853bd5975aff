//! PNG, WebP, GIF and BMP: decoded whole by crate `image` within limits, then scaled like everything else.

use std::io::Cursor;

use image::{
    ColorType, ImageDecoder, ImageError,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
    error::LimitErrorKind,
};

use super::{
    Limits, Negative, Undeveloped, frames,
    sheet::{Sheet, Tone},
    target_size,
};
use crate::{
    imaging::scale,
    photo::{MediaType, Rendition},
};

/// The largest profile or EXIF block believed, in bytes.
const MAX_BLOCK: usize = 4 << 20;

/// Decodes a file of type `media_type` to a sheet of display size: its first frame.
pub(super) fn expose(media_type: MediaType, file: &[u8], limits: &Limits) -> Result<Negative, Undeveloped> {
    if frames::count(media_type, file, limits.max_frames) > limits.max_frames {
        return Err(Undeveloped::TooManyFrames { max: limits.max_frames });
    }
    let refusal = |error: ImageError| refusal(&error, media_type, limits);
    let mut decoder = opened(media_type, file, limits).map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    limits.admit(width, height)?;
    // WebP and GIF are put together from buffers of the decoder's own.
    let copies = if matches!(media_type, MediaType::WebP | MediaType::Gif) { 2 } else { 1 };
    limits.admit_memory(decoder.total_bytes().saturating_mul(copies))?;
    decoder.set_limits(allocations(limits)).map_err(refusal)?;
    let icc = decoder.icc_profile().ok().flatten().filter(|icc| icc.len() <= MAX_BLOCK);
    let exif = decoder.exif_metadata().ok().flatten().filter(|exif| exif.len() <= MAX_BLOCK);
    let colour = decoder.color_type();
    let length = usize::try_from(decoder.total_bytes()).map_err(|_| Undeveloped::Damaged(media_type))?;
    let mut pixels = vec![0; length];
    decoder.read_image_boxed(&mut pixels).map_err(refusal)?;
    let sheet = scaled(flattened(colour, pixels), (width, height));
    Ok(Negative { sheet, width, height, icc, exif, upright: false })
}

fn allocations(limits: &Limits) -> image::Limits {
    let mut allowed = image::Limits::no_limits();
    allowed.max_image_width = Some(limits.max_side);
    allowed.max_image_height = Some(limits.max_side);
    allowed.max_alloc = Some(limits.max_working_bytes);
    allowed
}

fn opened<'a>(
    media_type: MediaType,
    file: &'a [u8],
    limits: &Limits,
) -> Result<Box<dyn ImageDecoder + 'a>, ImageError> {
    let reader = Cursor::new(file);
    Ok(match media_type {
        MediaType::WebP => Box::new(WebPDecoder::new(reader)?),
        MediaType::Gif => Box::new(GifDecoder::new(reader)?),
        MediaType::Bmp => Box::new(BmpDecoder::new(reader)?),
        // Rows are decoded into a buffer of ours: all that the decoder itself must hold are rows and unpacked metadata.
        _ => {
            let mut allowed = allocations(limits);
            allowed.max_alloc = Some(4 * MAX_BLOCK as u64);
            Box::new(PngDecoder::with_limits(reader, allowed)?)
        }
    })
}

fn refusal(error: &ImageError, media_type: MediaType, limits: &Limits) -> Undeveloped {
    match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Undeveloped::CutShort,
        ImageError::Unsupported(_) => Undeveloped::Variant(media_type),
        ImageError::Limits(e) if e.kind() == LimitErrorKind::InsufficientMemory => Undeveloped::TooMuchMemory {
            needed: limits.max_working_bytes.saturating_add(1),
            max: limits.max_working_bytes,
        },
        ImageError::Limits(_) => {
            Undeveloped::TooLong { width: limits.max_side + 1, height: limits.max_side + 1, max: limits.max_side }
        }
        _ => Undeveloped::Damaged(media_type),
    }
}

/// Samples of any depth, with or without alpha, as 8-bit grey or RGB on white; in place.
fn flattened(colour: ColorType, mut pixels: Vec<u8>) -> (Tone, Vec<u8>) {
    let samples = usize::from(colour.channel_count());
    match colour.bytes_per_pixel() / colour.channel_count() {
        2 => narrowed::<2>(&mut pixels, |bytes| {
            let rounded = (u32::from(u16::from_ne_bytes(bytes)) + 128) / 257;
            u8::try_from(rounded).unwrap_or(u8::MAX)
        }),
        4 => narrowed::<4>(&mut pixels, |bytes| byte_of_float(f32::from_ne_bytes(bytes))),
        _ => {}
    }
    match samples {
        1 => (Tone::Grey, pixels),
        2 => (Tone::Grey, on_white::<2>(pixels)),
        4 => (Tone::Rgb, on_white::<4>(pixels)),
        _ => (Tone::Rgb, pixels),
    }
}

/// A sample between 0 and 1 as a byte.
pub(super) fn byte_of_float(sample: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255; not a number becomes 0")]
    let byte = (sample.clamp(0.0, 1.0) * 255.0).round() as u8;
    byte
}

fn narrowed<const BYTES: usize>(pixels: &mut Vec<u8>, byte: impl Fn([u8; BYTES]) -> u8) {
    let count = pixels.len() / BYTES;
    for i in 0..count {
        if let Some(sample) = pixels[i * BYTES..].first_chunk::<BYTES>() {
            pixels[i] = byte(*sample);
        }
    }
    pixels.truncate(count);
}

/// Pixels whose last of `N` samples is alpha, laid on white and without it.
pub(super) fn on_white<const N: usize>(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / N;
    for i in 0..count {
        let Some(&pixel) = pixels[i * N..].first_chunk::<N>() else { break };
        let alpha = u32::from(pixel[N - 1]);
        for (sample, place) in pixel[..N - 1].iter().zip(i * (N - 1)..) {
            let mixed = (u32::from(*sample) * alpha + 255 * (255 - alpha) + 127) / 255;
            pixels[place] = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
    }
    pixels.truncate(count * (N - 1));
    pixels
}

/// A whole picture scaled to display size; its pixels are freed as soon as that is done.
pub(super) fn scaled((tone, pixels): (Tone, Vec<u8>), (width, height): (u32, u32)) -> Sheet {
    let target = target_size(width, height, Rendition::Display.longest_side().unwrap_or(u32::MAX));
    if target == (width, height) {
        return Sheet { width, height, tone, pixels };
    }
    let mut rows = scale::Rows::new(tone.samples(), (width, height), target);
    for row in pixels.chunks_exact(width as usize * tone.samples()) {
        rows.vacant(1).copy_from_slice(row);
        rows.advance(1);
    }
    Sheet { width: target.0, height: target.1, tone, pixels: rows.finish() }
}
