//! The camera's notes: read where they make sense, dropped where they do not, never a reason to refuse.

use exif::{Rational, Tag, Value};
use image::{ExtendedColorType, ImageEncoder};
use photo_gallery::photo::Developed;

use super::specimens::{developed, exif_block, jpeg_with_exif, quarters};

fn ascii(text: &str) -> Value {
    Value::Ascii(vec![text.as_bytes().to_vec()])
}

fn rational(numbers: &[(u32, u32)]) -> Value {
    Value::Rational(numbers.iter().map(|&(num, denom)| Rational { num, denom }).collect())
}

fn noted(fields: &[(Tag, Value)]) -> Developed {
    developed(&jpeg_with_exif(64, 48, &exif_block(fields))).expect("EXIF never refuses a photo").developed
}

fn full() -> Vec<(Tag, Value)> {
    vec![
        (Tag::Make, ascii("Canon")),
        (Tag::Model, ascii("Canon EOS 5D")),
        (Tag::LensModel, ascii("EF24-70mm f/2.8L\0 USM ")),
        (Tag::DateTimeOriginal, ascii("2024:02:29 23:59:58")),
        (Tag::OffsetTimeOriginal, ascii("+05:30")),
        (Tag::SubSecTimeOriginal, ascii("25")),
        (Tag::ExposureTime, rational(&[(1, 250)])),
        (Tag::FNumber, rational(&[(28, 10)])),
        (Tag::PhotographicSensitivity, Value::Short(vec![400])),
        (Tag::FocalLength, rational(&[(50, 1)])),
        (Tag::GPSLatitudeRef, ascii("S")),
        (Tag::GPSLatitude, rational(&[(33, 1), (51, 1), (3600, 100)])),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag::GPSLongitude, rational(&[(151, 1), (12, 1), (0, 1)])),
        (Tag::GPSAltitudeRef, Value::Byte(vec![1])),
        (Tag::GPSAltitude, rational(&[(125, 10)])),
    ]
}

fn assert_full(found: &Developed, what: &str) {
    let details = &found.details;
    assert_eq!(details.camera.as_deref(), Some("Canon EOS 5D"), "{what}");
    assert_eq!(details.exposure_seconds, Some(0.004), "{what}");
    assert_eq!(details.f_number, Some(2.8), "{what}");
    assert_eq!(details.iso, Some(400), "{what}");
    assert_eq!(details.focal_length_mm, Some(50.0), "{what}");
    assert!((details.latitude.expect(what) + 33.86).abs() < 1e-9, "{what}");
    assert!((details.longitude.expect(what) - 151.2).abs() < 1e-9, "{what}");
    assert_eq!(details.altitude_m, Some(-12.5), "{what}");
    let taken = found.taken.expect(what);
    assert_eq!(taken.at.to_rfc3339(), "2024-02-29T23:59:58.250+05:30", "{what}");
    assert!(taken.offset_known, "{what}");
}

#[test]
fn everything_a_camera_writes_is_read() {
    let found = noted(&full());
    assert_full(&found, "JPEG");
    assert!(found.details.lens.expect("a lens").starts_with("EF24-70mm f/2.8L"));
}

#[test]
fn png_and_webp_carry_the_same_notes() {
    let block = exif_block(&full());
    let mut file = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
    encoder.set_exif_metadata(block.clone()).unwrap();
    encoder.write_image(&quarters(64, 48), 64, 48, ExtendedColorType::Rgb8).unwrap();
    assert_full(&developed(&file).unwrap().developed, "PNG");

    let mut file = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut file);
    encoder.set_exif_metadata(block).unwrap();
    encoder.write_image(&quarters(64, 48), 64, 48, ExtendedColorType::Rgb8).unwrap();
    assert_full(&developed(&file).unwrap().developed, "WebP");
}

#[test]
fn a_file_without_notes_has_none() {
    let found = noted(&[(Tag::ImageDescription, ascii("nothing else"))]);
    assert_eq!((found.taken, found.details), (None, photo_gallery::photo::Details::default()));
}

#[test]
fn the_maker_is_not_said_twice() {
    for (make, model, expected) in [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("", "X100", "X100"),
        ("FUJIFILM", " ", "FUJIFILM"),
    ] {
        let found = noted(&[(Tag::Make, ascii(make)), (Tag::Model, ascii(model))]);
        assert_eq!(found.details.camera.as_deref(), Some(expected));
    }
}

#[test]
fn a_clock_without_offset_is_read_as_utc_and_says_so() {
    let taken = noted(&[(Tag::DateTimeOriginal, ascii("2023:07:01 12:00:00"))]).taken.expect("a time");
    assert_eq!(taken.at.to_rfc3339(), "2023-07-01T12:00:00+00:00");
    assert!(!taken.offset_known);
}

#[test]
fn impossible_times_are_dropped() {
    for nonsense in
        ["0000:00:00 00:00:00", "2023:02:30 10:00:00", "2023:13:01 10:00:00", "    :  :     :  :  ", "yesterday", ""]
    {
        assert_eq!(noted(&[(Tag::DateTimeOriginal, ascii(nonsense))]).taken, None, "{nonsense:?}");
    }
    let last = |offset| {
        noted(&[(Tag::DateTimeOriginal, ascii("9999:12:31 23:59:59")), (Tag::OffsetTimeOriginal, ascii(offset))])
    };
    assert_eq!(last("-05:00").taken, None, "the year 10,000 in UTC");
    assert!(last("+05:00").taken.is_some());
    for offset in ["+99:00", "05:30", "+5", "+05:99", "abc", "-+1:00"] {
        let fields = [(Tag::DateTimeOriginal, ascii("2023:07:01 12:00:00")), (Tag::OffsetTimeOriginal, ascii(offset))];
        assert!(!noted(&fields).taken.expect("the time stays").offset_known, "{offset:?}");
    }
}

#[test]
fn nonsense_numbers_are_dropped() {
    let found = noted(&[
        (Tag::ExposureTime, rational(&[(1, 0)])),
        (Tag::FNumber, rational(&[(0, 0)])),
        (Tag::FocalLength, rational(&[(0, 1)])),
        (Tag::PhotographicSensitivity, Value::Short(vec![0])),
        (Tag::GPSLatitudeRef, ascii("N")),
        (Tag::GPSLatitude, rational(&[(91, 1), (0, 1), (0, 1)])),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag::GPSLongitude, rational(&[(10, 1), (0, 1), (0, 1)])),
        (Tag::GPSAltitude, rational(&[(5, 0)])),
    ]);
    assert_eq!(found.details, photo_gallery::photo::Details::default());
}

#[test]
fn a_place_needs_both_of_its_signs() {
    let found = noted(&[
        (Tag::GPSLatitude, rational(&[(10, 1), (0, 1), (0, 1)])),
        (Tag::GPSLongitude, rational(&[(10, 1), (0, 1), (0, 1)])),
        (Tag::GPSLongitudeRef, ascii("W")),
    ]);
    assert_eq!((found.details.latitude, found.details.longitude), (None, None));
}

#[test]
fn texts_become_one_short_line() {
    let long = "x".repeat(500);
    let found = noted(&[(Tag::Model, ascii(&long)), (Tag::LensModel, ascii("A\r\nB\u{202e}C\x07<b>"))]);
    assert_eq!(found.details.camera.expect("a camera").chars().count(), 100);
    assert_eq!(found.details.lens.as_deref(), Some("A BC <b>"));
}

#[test]
fn broken_blocks_never_refuse_a_photo() {
    let whole = exif_block(&full());
    for cut in 0..whole.len() {
        let file = jpeg_with_exif(16, 16, &whole[..cut]);
        assert_eq!(developed(&file).expect("a photo with a broken EXIF block").developed.width, 16);
    }
    for place in 0..whole.len() {
        let mut bent = whole.clone();
        bent[place] ^= 0xff;
        developed(&jpeg_with_exif(16, 16, &bent)).expect("a photo with a bent EXIF block");
    }
}
