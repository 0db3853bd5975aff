//! How many frames an animation has, counted without decoding any.

use crate::photo::MediaType;

/// The number of frames in a GIF, WebP or PNG; stops counting beyond `enough`. Other types, and what cannot be read, count 1.
pub(super) fn count(media_type: MediaType, file: &[u8], enough: u32) -> u32 {
    let frames = match media_type {
        MediaType::Gif => gif(file, enough),
        MediaType::WebP => webp(file, enough),
        MediaType::Png => png(file),
        _ => None,
    };
    frames.unwrap_or(1)
}

fn gif(file: &[u8], enough: u32) -> Option<u32> {
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + palette(*file.get(10)?);
    let mut frames = 0;
    while frames <= enough {
        match *file.get(at)? {
            b',' => {
                frames += 1;
                at += 11 + palette(*file.get(at + 9)?);
            }
            b'!' => at += 2,
            _ => return Some(frames),
        }
        loop {
            let Some(length) = file.get(at) else { return Some(frames) };
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
    Some(frames)
}

fn webp(file: &[u8], enough: u32) -> Option<u32> {
    let (mut at, mut frames) = (12, 0);
    while frames <= enough {
        let Some((kind, size)) = file.get(at..at + 8).and_then(|head| head.split_first_chunk::<4>()) else { break };
        let size = usize::try_from(u32::from_le_bytes(*size.first_chunk()?)).ok()?;
        frames += u32::from(kind == b"ANMF");
        at = at.checked_add(8 + size + size % 2)?;
    }
    Some(frames)
}

/// PNG announces its frames in `acTL`, which stands before the pixels.
fn png(file: &[u8]) -> Option<u32> {
    let mut at = 8;
    loop {
        let (size, kind) = file.get(at..at + 8)?.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
        match kind {
            b"acTL" => return Some(u32::from_be_bytes(*file.get(at + 8..)?.first_chunk()?)),
            b"IDAT" => return None,
            _ => at = at.checked_add(size)?.checked_add(12)?,
        }
    }
}
