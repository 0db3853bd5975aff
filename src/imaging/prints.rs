//! What leaves the darkroom: JPEGs without metadata, and the placeholder.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::{
    colour,
    sheet::{Sheet, Tone},
};

/// JPEG quality of a print, on the scale of the IJG.
const QUALITY: u8 = 82;

/// The longest side of the picture a placeholder is computed from, in pixels.
const THUMBHASH_SIDE: u32 = 100;

/// A sheet as a baseline JPEG: halved colour planes, optimised Huffman tables, no metadata.
pub(super) fn jpeg(sheet: &Sheet) -> Vec<u8> {
    let colour = match sheet.tone {
        Tone::Grey => ColorType::Luma,
        Tone::Ycbcr => ColorType::Ycbcr,
        Tone::Rgb => ColorType::Rgb,
        Tone::Cmyk => ColorType::Cmyk,
    };
    let mut file = Vec::with_capacity(sheet.pixels.len() / 8 + 1024);
    let mut encoder = Encoder::new(&mut file, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(true);
    let (width, height) = (u16::try_from(sheet.width), u16::try_from(sheet.height));
    let done = match (width, height) {
        (Ok(width), Ok(height)) => encoder.encode(&sheet.pixels, width, height, colour).is_ok(),
        _ => false,
    };
    debug_assert!(done, "a sheet of at most 2048 pixels a side is encoded into memory");
    file
}

/// The placeholder of a picture.
pub(super) fn thumbhash(sheet: &Sheet) -> Vec<u8> {
    let small = colour::rgb(sheet.within(THUMBHASH_SIDE));
    let rgba: Vec<u8> = match small.tone {
        Tone::Grey => small.pixels.iter().flat_map(|&v| [v, v, v, 255]).collect(),
        _ => small.pixels.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect(),
    };
    thumbhash::rgba_to_thumb_hash(small.width as usize, small.height as usize, &rgba)
}
