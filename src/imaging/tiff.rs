//! TIFF: the first page, in the colours that scanners and photo programs write. The decoder panics on some valid files, which
//! [`develop`](super::develop) contains.

use std::io::Cursor;

use tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult},
    tags::Tag,
};

use super::{
    Limits, Negative, Undeveloped, raster,
    sheet::{Sheet, Tone},
};
use crate::photo::MediaType;

const DAMAGED: Undeveloped = Undeveloped::Damaged(MediaType::Tiff);
const VARIANT: Undeveloped = Undeveloped::Variant(MediaType::Tiff);

/// Decodes a TIFF to a sheet of display size.
pub(super) fn expose(file: &[u8], limits: &Limits) -> Result<Negative, Undeveloped> {
    let refusal = |error: TiffError| refusal(&error, limits);
    let mut allowed = tiff::decoder::Limits::default();
    allowed.decoding_buffer_size = usize::try_from(limits.max_working_bytes).unwrap_or(usize::MAX);
    allowed.intermediate_buffer_size = allowed.decoding_buffer_size;
    allowed.ifd_value_size = 4 << 20;
    let mut decoder = Decoder::new(Cursor::new(file)).map_err(refusal)?.with_limits(allowed);
    let (width, height) = decoder.dimensions().map_err(refusal)?;
    limits.admit(width, height)?;
    let colour = decoder.colortype().map_err(refusal)?;
    let samples = match colour {
        ColorType::Gray(1 | 8 | 16 | 32) | ColorType::Palette(8) => 1,
        ColorType::GrayA(8 | 16) => 2,
        ColorType::RGB(8 | 16 | 32) => 3,
        ColorType::RGBA(8 | 16 | 32) | ColorType::CMYK(8 | 16) => 4,
        _ => return Err(VARIANT),
    };
    let area = u64::from(width) * u64::from(height);
    let depth = u64::from(colour.bit_depth().div_ceil(8));
    // Planes are put together into, and deep samples cut down to, a second picture.
    let planar = decoder.get_tag_u32(Tag::PlanarConfiguration).is_ok_and(|configuration| configuration == 2);
    let copies = if planar || depth > 1 { 2 } else { 1 };
    limits.admit_memory(area * samples * depth * copies)?;
    let icc = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let palette = match colour {
        ColorType::Palette(_) => Some(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(refusal)?),
        _ => None,
    };
    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(refusal)?;
    let mut pixels = bytes(result)?;
    if colour == ColorType::Gray(1) {
        pixels = expanded(&pixels, width as usize);
    }
    if layout.planes > 1 {
        pixels = interleaved(&pixels, layout.planes);
    }
    let samples = usize::try_from(samples).map_err(|_| DAMAGED)?;
    pixels.truncate(width as usize * height as usize * samples);
    if pixels.len() < width as usize * height as usize * samples {
        return Err(Undeveloped::CutShort);
    }
    let sheet = toned(colour, palette, pixels, (width, height));
    Ok(Negative { sheet, width, height, icc, exif: Some(file.to_vec()), upright: false })
}

fn refusal(error: &TiffError, limits: &Limits) -> Undeveloped {
    match error {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Undeveloped::CutShort,
        TiffError::UnsupportedError(_) => VARIANT,
        TiffError::LimitsExceeded => Undeveloped::TooMuchMemory {
            needed: limits.max_working_bytes.saturating_add(1),
            max: limits.max_working_bytes,
        },
        _ => DAMAGED,
    }
}

/// Samples of any depth as bytes.
fn bytes(decoded: DecodingResult) -> Result<Vec<u8>, Undeveloped> {
    Ok(match decoded {
        DecodingResult::U8(samples) => samples,
        DecodingResult::U16(samples) => {
            samples.iter().map(|v| u8::try_from((u32::from(*v) + 128) / 257).unwrap_or(u8::MAX)).collect()
        }
        DecodingResult::U32(samples) => samples.iter().map(|v| v.to_be_bytes()[0]).collect(),
        DecodingResult::F32(samples) => samples.iter().map(|v| raster::byte_of_float(*v)).collect(),
        _ => return Err(VARIANT),
    })
}

/// Rows of bits as rows of black and white bytes.
fn expanded(rows: &[u8], width: usize) -> Vec<u8> {
    rows.chunks_exact(width.div_ceil(8))
        .flat_map(|row| (0..width).map(|x| if row[x / 8] >> (7 - x % 8) & 1 == 1 { 255 } else { 0 }))
        .collect()
}

/// Planes one after the other as pixels.
fn interleaved(planes: &[u8], count: usize) -> Vec<u8> {
    let plane = planes.len() / count;
    let mut pixels = Vec::with_capacity(plane * count);
    pixels.extend((0..plane).flat_map(|i| (0..count).map(move |p| planes[p * plane + i])));
    pixels
}

fn toned(colour: ColorType, palette: Option<Vec<u16>>, pixels: Vec<u8>, size: (u32, u32)) -> Sheet {
    match (colour, palette) {
        (ColorType::Palette(_), Some(palette)) => {
            let entries = palette.len() / 3;
            let sample = |index: usize| palette.get(index).map_or(0, |v| v.to_be_bytes()[0]);
            let rgb = pixels.iter().flat_map(|p| [0, 1, 2].map(|channel| sample(channel * entries + usize::from(*p))));
            raster::scaled((Tone::Rgb, rgb.collect()), size)
        }
        (ColorType::GrayA(_), _) => raster::scaled((Tone::Grey, raster::on_white::<2>(pixels)), size),
        (ColorType::RGBA(_), _) => raster::scaled((Tone::Rgb, raster::on_white::<4>(pixels)), size),
        (ColorType::RGB(_), _) => raster::scaled((Tone::Rgb, pixels), size),
        (ColorType::CMYK(_), _) => raster::scaled((Tone::Cmyk, pixels), size),
        _ => raster::scaled((Tone::Grey, pixels), size),
    }
}
