//! From whatever the samples mean to sRGB. Done at display size, where it costs little.

use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

use super::sheet::{Sheet, Tone};

/// Converts a sheet to sRGB by its profile; a missing, broken or unfitting profile counts as sRGB.
/// The result is grey, Ycbcr or RGB.
pub(super) fn to_srgb(sheet: Sheet, icc: Option<&[u8]>) -> Sheet {
    let profile = icc.and_then(|bytes| ColorProfile::new_from_slice(bytes).ok());
    match (sheet.tone, profile) {
        (Tone::Ycbcr | Tone::Rgb, Some(profile))
            if profile.color_space == DataColorSpace::Rgb && !is_nearly_srgb(&profile) =>
        {
            let sheet = rgb(sheet);
            transformed(&sheet, &profile, Layout::Rgb).unwrap_or(sheet)
        }
        (Tone::Grey, Some(profile)) if profile.color_space == DataColorSpace::Gray => {
            transformed(&sheet, &profile, Layout::Gray).unwrap_or(sheet)
        }
        (Tone::Cmyk, Some(profile)) if profile.color_space == DataColorSpace::Cmyk => {
            transformed(&sheet, &profile, Layout::Rgba).unwrap_or_else(|| from_inks(&sheet))
        }
        (Tone::Cmyk, _) => from_inks(&sheet),
        _ => sheet,
    }
}

/// Brings four stored samples to inks of which 255 is full: undoes the colour differences of `ycck` and Adobe's inversion.
pub(super) fn with_full_inks(mut sheet: Sheet, ycck: bool, inverted: bool) -> Sheet {
    if sheet.tone != Tone::Cmyk {
        return sheet;
    }
    for pixel in sheet.pixels.as_chunks_mut::<4>().0 {
        if ycck {
            // The three hold what RGB would be, which is the complement of the inks as stored.
            let [r, g, b] = ycbcr_to_rgb([pixel[0], pixel[1], pixel[2]]);
            *pixel = [255 - r, 255 - g, 255 - b, pixel[3]];
        }
        if inverted {
            *pixel = pixel.map(|ink| 255 - ink);
        }
    }
    sheet
}

/// Whether a profile moves no colour by more than a viewer could see, so that converting can be spared.
fn is_nearly_srgb(profile: &ColorProfile) -> bool {
    let mut samples = Vec::with_capacity(6 * 6 * 6 * 3);
    for r in 0..6_u8 {
        for g in 0..6_u8 {
            for b in 0..6_u8 {
                samples.extend([r * 51, g * 51, b * 51]);
            }
        }
    }
    let patches = Sheet { width: 216, height: 1, tone: Tone::Rgb, pixels: samples };
    transformed(&patches, profile, Layout::Rgb)
        .is_some_and(|srgb| srgb.pixels.iter().zip(&patches.pixels).all(|(a, b)| a.abs_diff(*b) <= 2))
}

fn transformed(sheet: &Sheet, profile: &ColorProfile, layout: Layout) -> Option<Sheet> {
    let options =
        TransformOptions { rendering_intent: RenderingIntent::RelativeColorimetric, ..TransformOptions::default() };
    let transform = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()?;
    let mut pixels = vec![0; sheet.width as usize * sheet.height as usize * 3];
    transform.transform(&sheet.pixels, &mut pixels).ok()?;
    Some(Sheet { width: sheet.width, height: sheet.height, tone: Tone::Rgb, pixels })
}

/// Inks to RGB without a profile: each ink takes its complement away, black from all.
fn from_inks(sheet: &Sheet) -> Sheet {
    let (inks, _) = sheet.pixels.as_chunks::<4>();
    let light = |ink: u8, black: u8| {
        let product = u16::from(255 - ink) * u16::from(255 - black);
        u8::try_from((product + 127) / 255).unwrap_or(u8::MAX)
    };
    let pixels = inks.iter().flat_map(|&[c, m, y, k]| [light(c, k), light(m, k), light(y, k)]).collect();
    Sheet { width: sheet.width, height: sheet.height, tone: Tone::Rgb, pixels }
}

/// The same sheet in RGB; inks and grey stay what they are.
pub(super) fn rgb(mut sheet: Sheet) -> Sheet {
    if sheet.tone == Tone::Ycbcr {
        for pixel in sheet.pixels.as_chunks_mut::<3>().0 {
            *pixel = ycbcr_to_rgb(*pixel);
        }
        sheet.tone = Tone::Rgb;
    }
    sheet
}

/// JFIF's equations in 16-bit fixed point.
fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let byte = |fixed: i32| u8::try_from((fixed >> 16).clamp(0, 255)).unwrap_or(u8::MAX);
    [byte(y + 91_881 * cr), byte(y - 22_554 * cb - 46_802 * cr), byte(y + 116_130 * cb)]
}
