//! HEIC, as phones write it. The decoder turns the picture upright itself and needs much memory, so the limit is tighter.

use heic_decoder::HeifError;

use super::{Limits, Negative, Undeveloped, raster, sheet::Tone};
use crate::photo::MediaType;

/// Memory the decoder takes for a pixel at its peak, in bytes (measured: 12 to 18).
const BYTES_PER_PIXEL: u64 = 18;

/// Decodes a HEIC file to a sheet of display size.
pub(super) fn expose(file: &[u8], limits: &Limits) -> Result<Negative, Undeveloped> {
    let declared = heic_decoder::probe(file).map_err(|e| refusal(&e))?;
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    limits.admit(side(declared.coded_width), side(declared.coded_height))?;
    let pixels = declared.coded_width as u64 * declared.coded_height as u64;
    if pixels > limits.max_heic_pixels {
        return Err(Undeveloped::TooMuchMemory {
            needed: pixels.saturating_mul(BYTES_PER_PIXEL),
            max: limits.max_heic_pixels.saturating_mul(BYTES_PER_PIXEL),
        });
    }
    let mut decoded = heic_decoder::decode(file).map_err(|e| refusal(&e))?;
    let (icc, exif) = (decoded.metadata.icc_profile.take(), decoded.metadata.exif.take());
    let rgb = decoded.to_rgb8().map_err(|e| refusal(&e))?;
    drop(decoded);
    let (width, height) = (side(rgb.width), side(rgb.height));
    limits.admit(width, height)?;
    let sheet = raster::scaled((Tone::Rgb, rgb.data), (width, height));
    Ok(Negative { sheet, width, height, icc, exif, upright: true })
}

fn refusal(error: &HeifError) -> Undeveloped {
    match error {
        HeifError::Truncated { .. } => Undeveloped::CutShort,
        HeifError::Unsupported(_) | HeifError::NotHeif(_) => Undeveloped::Variant(MediaType::Heic),
        _ => Undeveloped::Damaged(MediaType::Heic),
    }
}
