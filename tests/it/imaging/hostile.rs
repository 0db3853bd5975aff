//! What is not a whole, reasonable picture is refused with a sentence, before it costs anything.

use std::{io::Cursor, time::Instant};

use image::{ExtendedColorType, Frame, ImageFormat, RgbImage, RgbaImage, codecs::gif::GifEncoder};
use jpeg_encoder::ColorType;
use photo_gallery::{
    imaging::{Kind, Limits, Undeveloped, develop, media_type},
    photo::MediaType,
};

use super::formats::tiff;
use super::specimens::{assert_quarters, developed, jpeg, jpeg_with, png, quarters, refusal};

fn written(format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_raw(120, 90, quarters(120, 90)).unwrap().write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn progressive(width: u16, height: u16) -> Vec<u8> {
    jpeg_with(&quarters(width, height), (width, height), ColorType::Rgb, |encoder| encoder.set_progressive(true))
}

/// One small file of each type that the tests can write.
fn specimens() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("JPEG", jpeg(120, 90)),
        ("progressive JPEG", progressive(120, 90)),
        ("PNG", written(ImageFormat::Png)),
        ("WebP", written(ImageFormat::WebP)),
        ("GIF", written(ImageFormat::Gif)),
        ("BMP", written(ImageFormat::Bmp)),
        ("TIFF", tiff(&quarters(120, 90), 120, 90, 1)),
    ]
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(refusal(b""), Undeveloped::Empty);
    assert_eq!(refusal(b"").to_string(), "The file is empty.");
    assert_eq!(refusal(b"").kind(), Kind::Content);
}

#[test]
fn a_file_of_one_byte_is_refused() {
    for byte in 0..=255 {
        assert_eq!(refusal(&[byte]).kind(), Kind::Type);
    }
}

#[test]
fn other_files_are_named_in_their_refusal() {
    for (file, name) in [
        (&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], "SVG"),
        (b"<?xml version='1.0'?><!-- x --><svg/>", "SVG"),
        (b"\xef\xbb\xbf  <!DOCTYPE html><script>alert(1)</script>", "HTML"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<?php system('id');", "PHP"),
        (b"push graphic-context\nviewbox 0 0 640 480\n", "MVG"),
        (b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n", "playlist"),
        (b"\x7fELF\x02\x01\x01", "program"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "MP4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "QuickTime"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"RIFF\x10\0\0\0AVI LIST", "AVI"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\x01\0\x01\0\x10\x10", "icon"),
        (b"P6\n1 1\n255\nabc", "Netpbm"),
    ] {
        let refusal = refusal(file);
        assert!(refusal.to_string().contains(name), "{refusal} does not name {name}");
        assert_eq!(refusal.kind(), Kind::Type, "{name}");
    }
    assert_eq!(refusal(b"just some text"), Undeveloped::Unknown);
}

#[test]
fn phones_pictures_are_told_apart_by_their_brands() {
    for (head, expected) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], MediaType::Heic),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", MediaType::Heic),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", MediaType::Avif),
        (b"\0\0\0\x14ftypavis\0\0\0\0avis", MediaType::Avif),
        (b"\0\0\0\x14ftypheix\0\0\0\0heix", MediaType::Heic),
    ] {
        assert_eq!(media_type(head), Ok(expected));
    }
}

#[test]
fn heic_garbage_is_refused() {
    let mut file = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    file.extend([0x5a; 4000]);
    assert_eq!(refusal(&file).kind(), Kind::Content);
}

#[test]
fn magic_bytes_followed_by_garbage_are_refused() {
    for (name, file) in specimens() {
        let mut bent = file[..16.min(file.len())].to_vec();
        bent.extend((0..5000_u32).map(|i| u8::try_from(i.wrapping_mul(2_654_435_761) >> 24).unwrap()));
        assert!(developed(&bent).is_err(), "{name}");
    }
}

#[test]
fn a_file_cut_in_half_is_refused() {
    for (name, file) in specimens() {
        for part in [3, 5, 8] {
            let refusal = developed(&file[..file.len() * part / 10]).expect_err(name);
            assert_eq!(refusal.kind(), Kind::Content, "{name} cut to {part}0 %: {refusal}");
        }
    }
}

#[test]
fn a_large_jpeg_cut_short_says_so() {
    for file in [jpeg(3000, 2000), progressive(1000, 800)] {
        assert_eq!(refusal(&file[..file.len() / 2]), Undeveloped::CutShort);
        assert!(refusal(&file[..file.len() / 2]).to_string().contains("cut short"));
    }
}

#[test]
fn a_jpeg_without_its_end_marker_is_refused_as_cut_short() {
    let file = jpeg(300, 200);
    assert_eq!(refusal(&file[..file.len() - 2]), Undeveloped::CutShort);
}

#[test]
fn bytes_after_a_picture_do_no_harm() {
    for (name, mut file) in specimens() {
        file.extend(b"PK\x03\x04<script>alert(1)</script>");
        assert_quarters(&developed(&file).unwrap(), 14, name);
    }
}

/// A JPEG whose frame header says `width` x `height`.
fn jpeg_claiming(mut file: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let frame = file.windows(2).position(|m| m == [0xff, 0xc0] || m == [0xff, 0xc2]).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// Small files that claim to be huge: by side and by area.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("JPEG", jpeg_claiming(jpeg(16, 16), 30_000, 30_000)),
        ("long JPEG", jpeg_claiming(jpeg(16, 16), 65_500, 16)),
        ("progressive JPEG", jpeg_claiming(progressive(16, 16), 12_000, 9_000)),
    ];
    for (name, width, height) in [("PNG", 30_000_u32, 30_000_u32), ("long PNG", 40_000, 1)] {
        let mut file = png(&quarters(16, 16), 16, 16, ExtendedColorType::Rgb8);
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&sum.to_be_bytes());
        all.push((name, file));
    }
    let mut gif = written(ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x30, 0x75, 0x30, 0x75]);
    all.push(("GIF", gif));
    let mut bmp = written(ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&30_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000_u32.to_le_bytes());
    all.push(("BMP", bmp));
    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f".to_vec();
    // 14 bits each of width - 1 and height - 1: 16,383 x 16,383.
    webp.extend([0xfe, 0xbf, 0xff, 0x0f]);
    webp.extend([0; 13]);
    all.push(("WebP", webp));
    let mut tiff = b"MM\0*\0\0\0\x08\0\x08".to_vec();
    for (tag, value) in
        [(256_u16, 30_000_u32), (257, 30_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 30_000), (279, 100)]
    {
        tiff.extend(tag.to_be_bytes());
        tiff.extend([0, 4, 0, 0, 0, 1]);
        tiff.extend(value.to_be_bytes());
    }
    tiff.extend([0; 200]);
    all.push(("TIFF", tiff));
    all
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn pictures_too_large_by_their_header_are_refused_before_decoding() {
    for (name, file) in bombs() {
        let started = Instant::now();
        let refusal = developed(&file).expect_err(name);
        assert_eq!(refusal.kind(), Kind::TooBig, "{name}: {refusal}");
        assert!(started.elapsed().as_millis() < 500, "{name} took {:?}", started.elapsed());
    }
}

#[test]
fn the_refusal_of_a_large_picture_tells_its_size_and_the_limit() {
    let refusal = refusal(&jpeg_claiming(jpeg(16, 16), 12_000, 9_000));
    assert_eq!(refusal.to_string(), "12,000 x 9,000 pixels is more than the 100 megapixels this gallery takes.");
}

#[test]
fn limits_are_settings() {
    let limits = Limits { max_pixels: 5_000, ..Limits::default() };
    for (name, file) in specimens() {
        let refused = develop(&file, &limits).expect_err(name);
        assert!(matches!(refused, Undeveloped::TooManyPixels { width: 120, height: 90, .. }), "{name}: {refused}");
    }
    let limits = Limits { max_side: 100, ..Limits::default() };
    for (name, file) in specimens() {
        assert_eq!(develop(&file, &limits).expect_err(name).kind(), Kind::TooBig, "{name}");
    }
    let limits = Limits { max_working_bytes: 10_000, ..Limits::default() };
    assert!(matches!(develop(&written(ImageFormat::Png), &limits), Err(Undeveloped::TooMuchMemory { .. })));
    assert!(develop(&jpeg(120, 90), &limits).is_ok(), "an ordinary JPEG is decoded row by row");
}

#[test]
fn a_jpeg_of_no_pixels_is_refused() {
    assert_eq!(refusal(&jpeg_claiming(jpeg(16, 16), 0, 16)), Undeveloped::NoPixels);
    assert_eq!(refusal(&jpeg_claiming(jpeg(16, 16), 16, 0)), Undeveloped::NoPixels);
}

#[test]
fn a_jpeg_of_very_many_scans_is_refused_before_decoding() {
    let file = progressive(2000, 2000);
    let last = file.windows(2).rposition(|m| m == [0xff, 0xda]).unwrap();
    let mut bomb = file[..file.len() - 2].to_vec();
    for _ in 0..5000 {
        bomb.extend(&file[last..file.len() - 2]);
    }
    bomb.extend([0xff, 0xd9]);
    let started = Instant::now();
    assert_eq!(refusal(&bomb), Undeveloped::TooManyScans);
    assert!(started.elapsed().as_secs() < 3, "took {:?}", started.elapsed());
}

#[test]
fn only_the_first_frame_of_an_animation_is_shown_and_too_many_are_refused() {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    let first = image::DynamicImage::from(RgbImage::from_raw(40, 30, quarters(40, 30)).unwrap()).to_rgba8();
    encoder.encode_frame(Frame::new(first)).unwrap();
    for _ in 0..30 {
        encoder.encode_frame(Frame::new(RgbaImage::from_pixel(40, 30, image::Rgba([9, 9, 9, 255])))).unwrap();
    }
    drop(encoder);
    assert_quarters(&developed(&file).unwrap(), 20, "the first frame");
    let limits = Limits { max_frames: 30, ..Limits::default() };
    assert_eq!(develop(&file, &limits).unwrap_err(), Undeveloped::TooManyFrames { max: 30 });
    assert!(develop(&file, &Limits { max_frames: 31, ..limits }).is_ok());
}

#[test]
fn random_changes_never_panic_out_of_develop() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let specimens = specimens();
    let mut refused = 0;
    for round in 0..1000 {
        let (_, file) = &specimens[round % specimens.len()];
        let mut bent = file.clone();
        for _ in 0..=random(8) {
            let place = if random(2) == 0 { random(bent.len().min(200)) } else { random(bent.len()) };
            match random(4) {
                0 => bent[place] = 0xff,
                1 => bent[place] ^= 1 << random(8),
                2 => bent[place] = u8::try_from(random(256)).unwrap(),
                _ => bent.truncate(place.max(20)),
            }
        }
        // What develops despite the change must still be two whole JPEGs; what does not must say why.
        match developed(&bent) {
            Ok(renditions) => {
                assert!(renditions.display.ends_with(&[0xff, 0xd9]) && renditions.thumb.ends_with(&[0xff, 0xd9]));
            }
            Err(refusal) => {
                refused += 1;
                assert!(refusal.to_string().ends_with('.'));
            }
        }
    }
    assert!((100..1000).contains(&refused), "{refused} of 1000 refused");
}
