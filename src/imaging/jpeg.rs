//! JPEG straight to display size: planes are scaled while their rows leave the decoder, before any colour is computed.

use zune_core::{bytestream::ZCursor, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, RawImcuRowStatus, errors::DecodeErrors};

use self::header::{Colour, Header};
use super::{
    Limits, Negative, Undeveloped, colour, scale,
    sheet::{Sheet, Tone},
    target_size,
};
use crate::photo::{MediaType, Rendition};

mod header;

const DAMAGED: Undeveloped = Undeveloped::Damaged(MediaType::Jpeg);

/// Decodes a JPEG to a sheet of display size.
pub(super) fn expose(file: &[u8], limits: &Limits) -> Result<Negative, Undeveloped> {
    let header = Header::read(file)?;
    limits.admit(header.width, header.height)?;
    header.admit_passes(file, limits)?;
    let (width, height) =
        target_size(header.width, header.height, Rendition::Display.longest_side().unwrap_or(u32::MAX));
    let planes = scaled_planes(file, &header, limits, (width, height))?;
    let sheet =
        Sheet { width, height, tone: tone_of(header.colour), pixels: joined(planes, header.colour, width, height) };
    let sheet = colour::with_full_inks(sheet, header.colour == Colour::Ycck, header.adobe);
    Ok(Negative {
        sheet,
        width: header.width,
        height: header.height,
        icc: header.icc,
        exif: header.exif,
        upright: false,
    })
}

/// Whether all of the picture's coefficients must lie in memory before its first row is known.
pub(super) fn is_buffered(file: &[u8]) -> bool {
    Header::read(file).is_ok_and(|header| header.buffered)
}

fn tone_of(colour: Colour) -> Tone {
    match colour {
        Colour::Grey => Tone::Grey,
        Colour::Ycbcr => Tone::Ycbcr,
        Colour::Rgb => Tone::Rgb,
        Colour::Cmyk | Colour::Ycck => Tone::Cmyk,
    }
}

/// The size of component `index` in a sheet: colour differences are halved, as the prints will hold them anyway.
fn plane_target(colour: Colour, index: usize, width: u32, height: u32) -> (u32, u32) {
    if colour == Colour::Ycbcr && index > 0 { (width.div_ceil(2), height.div_ceil(2)) } else { (width, height) }
}

/// Decodes the file row group by row group and scales each component on its own.
fn scaled_planes(
    file: &[u8],
    header: &Header,
    limits: &Limits,
    (width, height): (u32, u32),
) -> Result<Vec<Vec<u8>>, Undeveloped> {
    let longest = limits.max_side as usize;
    let options = DecoderOptions::new_fast().set_max_width(longest).set_max_height(longest).jpeg_set_max_scans(1000);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|e| refusal(&e))?;
    let mut session = decoder.raw_output();
    let count = session.num_components().ok_or(DAMAGED)?;
    let layout = session.layout().ok_or(DAMAGED)?;
    if count != header.components.len() {
        return Err(DAMAGED);
    }
    let (h_max, v_max) = header.sampling();
    let mut planes = Vec::with_capacity(count);
    for (index, (plane, component)) in layout.iter().zip(&header.components).enumerate() {
        let size =
            (u32::try_from(plane.width).map_err(|_| DAMAGED)?, u32::try_from(plane.height).map_err(|_| DAMAGED)?);
        let extent = (
            (f64::from(header.width * component.horizontal) / f64::from(h_max)).min(f64::from(size.0)),
            (f64::from(header.height * component.vertical) / f64::from(v_max)).min(f64::from(size.1)),
        );
        let target = plane_target(header.colour, index, width, height);
        planes.push(scale::Rows::covering(1, size, extent, target));
    }
    let strides: Vec<usize> = layout.iter().take(count).map(|plane| plane.width).collect();
    let group_rows: Vec<usize> = layout.iter().take(count).map(|plane| plane.vertical_sampling_factor * 8).collect();
    let mut arrived = 0;
    loop {
        let mut targets: Vec<&mut [u8]> =
            planes.iter_mut().zip(&group_rows).map(|(plane, rows)| plane.vacant(*rows)).collect();
        match session.decode_next_imcu_row(&mut targets, &strides).map_err(|e| refusal(&e))? {
            RawImcuRowStatus::RowReady { rows_written } => {
                for (plane, rows) in planes.iter_mut().zip(rows_written) {
                    plane.advance(u32::try_from(rows).unwrap_or(0));
                }
                arrived += rows_written[0];
            }
            RawImcuRowStatus::Complete => break,
            _ => return Err(Undeveloped::CutShort),
        }
    }
    if arrived < layout[0].height {
        return Err(Undeveloped::CutShort);
    }
    Ok(planes.into_iter().map(scale::Rows::finish).collect())
}

fn refusal(error: &DecodeErrors) -> Undeveloped {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Undeveloped::CutShort,
        DecodeErrors::Unsupported(_) => Undeveloped::Variant(MediaType::Jpeg),
        error if error.is_recoverable_eof() => Undeveloped::CutShort,
        _ => DAMAGED,
    }
}

/// The planes side by side, pixel by pixel.
fn joined(mut planes: Vec<Vec<u8>>, colour: Colour, width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width as usize, height as usize);
    match planes.as_slice() {
        [_] => planes.swap_remove(0),
        [luma, blue, red] if colour == Colour::Ycbcr => {
            let half = width.div_ceil(2);
            let mut pixels = vec![0; width * height * 3];
            for (y, (row, luma)) in pixels.chunks_exact_mut(width * 3).zip(luma.chunks_exact(width)).enumerate() {
                let (blue, red) = (&blue[y / 2 * half..][..half], &red[y / 2 * half..][..half]);
                for ((pair, luma), (blue, red)) in row.chunks_mut(6).zip(luma.chunks(2)).zip(blue.iter().zip(red)) {
                    for (pixel, luma) in pair.chunks_exact_mut(3).zip(luma) {
                        pixel.copy_from_slice(&[*luma, *blue, *red]);
                    }
                }
            }
            pixels
        }
        planes => {
            let mut pixels = vec![0; width * height * planes.len()];
            for (index, plane) in planes.iter().enumerate() {
                for (pixel, sample) in pixels.chunks_exact_mut(planes.len()).zip(plane) {
                    pixel[index] = *sample;
                }
            }
            pixels
        }
    }
}
