//! What a file is, by its first bytes alone: names and declared types are not believed.

use super::Undeveloped;
use crate::photo::MediaType;

/// How many of the first bytes are looked at.
const HEAD_BYTES: usize = 512;

/// Beginnings of files that people mistake for pictures, and what to call them.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"#EXTM3U", "a playlist"),
    (b"%!PS", "a PostScript document"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0", "an office document"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording or video"),
    (b"fLaC", "a FLAC recording"),
    (b"FLV\x01", "a Flash video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"SQLite format 3", "a database"),
    (b"push graphic-context", "an MVG drawing"),
    (b"#!", "a script"),
    (b"<?php", "a PHP script"),
];

/// The type of a file by its first bytes (512 are enough); a refusal names what it is instead, where that is known.
pub fn media_type(head: &[u8]) -> Result<MediaType, Undeveloped> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    match head {
        [] => Err(Undeveloped::Empty),
        [0xff, 0xd8, 0xff, ..] => Ok(MediaType::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(MediaType::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(MediaType::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => riff(kind),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Ok(MediaType::Bmp),
        [b'I', b'I', b'*', 0, ..] if head.get(8..10) == Some(b"CR") => Err(Undeveloped::Undecodable("Canon raw (CR2)")),
        [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] => Ok(MediaType::Tiff),
        [_, _, _, _, b'f', b't', b'y', b'p', brands @ ..] => boxed(head, brands),
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Err(Undeveloped::Undecodable("JPEG XL")),
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Err(Undeveloped::Undecodable("JPEG 2000"))
        }
        [0, 0, 1 | 2, 0, 1..=64, 0, ..] => Err(Undeveloped::Undecodable("Windows icon")),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Err(Undeveloped::Undecodable("Netpbm")),
        [b'v', b'/', b'1', 1, ..] => Err(Undeveloped::Undecodable("OpenEXR")),
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..] => Err(Undeveloped::Undecodable("Fujifilm raw")),
        _ => Err(foreign(head)),
    }
}

fn riff(kind: &[u8]) -> Result<MediaType, Undeveloped> {
    match kind.get(..4) {
        Some(b"WEBP") => Ok(MediaType::WebP),
        Some(b"AVI ") => Err(Undeveloped::Foreign("an AVI video")),
        Some(b"WAVE") => Err(Undeveloped::Foreign("a WAV recording")),
        _ => Err(Undeveloped::Unknown),
    }
}

/// ISO base media files: the major brand decides, then the compatible ones.
fn boxed(head: &[u8], brands: &[u8]) -> Result<MediaType, Undeveloped> {
    let declared = head.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize);
    let length = declared.saturating_sub(8).min(brands.len());
    let (all, _) = brands[..length].as_chunks::<4>();
    let has = |wanted: &[&[u8; 4]]| all.iter().enumerate().any(|(i, brand)| i != 1 && wanted.contains(&brand));
    match all.first() {
        Some(b"avif" | b"avis") => Ok(MediaType::Avif),
        Some(b"mif1" | b"msf1" | b"mif2" | b"miaf") if has(&[b"avif", b"avis"]) => Ok(MediaType::Avif),
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" | b"mif2" | b"miaf") => {
            Ok(MediaType::Heic)
        }
        Some(b"crx ") => Err(Undeveloped::Undecodable("Canon raw (CR3)")),
        Some(b"M4A ") => Err(Undeveloped::Foreign("an audio recording")),
        Some(b"qt  ") => Err(Undeveloped::Foreign("a QuickTime video")),
        _ if has(&[b"heic", b"heix", b"mif1"]) => Ok(MediaType::Heic),
        _ if has(&[b"avif"]) => Ok(MediaType::Avif),
        _ => Err(Undeveloped::Foreign("an MP4 video")),
    }
}

fn foreign(head: &[u8]) -> Undeveloped {
    if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Undeveloped::Foreign(name);
    }
    let text = String::from_utf8_lossy(head).to_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('<') {
        return Undeveloped::Unknown;
    }
    if text.contains("<svg") {
        Undeveloped::Undecodable("SVG")
    } else if text.contains("<!doctype html") || text.contains("<html") || text.contains("<script") {
        Undeveloped::Foreign("an HTML page")
    } else if text.starts_with("<?xml") {
        Undeveloped::Foreign("an XML document")
    } else {
        Undeveloped::Unknown
    }
}
