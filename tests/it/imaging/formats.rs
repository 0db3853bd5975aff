//! Every type that is taken comes out right: turned, coloured, sized, and without what the camera wrote.

use std::io::Cursor;

use exif::{Tag, Value};
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use jpeg_encoder::{ColorType, SamplingFactor};
use moxcms::ColorProfile;
use photo_gallery::{imaging::media_type, photo::MediaType};

use super::specimens::{
    assert_quarters, close, developed, exif_block, jpeg, jpeg_with, jpeg_with_exif, png, quarters, seen,
};

/// The picture that, turned by `orientation`, shows the four quarters upright.
fn stored_for(orientation: u16, width: u32, height: u32) -> RgbImage {
    let upright =
        RgbImage::from_raw(width, height, quarters(u16::try_from(width).unwrap(), u16::try_from(height).unwrap()))
            .unwrap();
    match orientation {
        2 => flip_horizontal(&upright),
        3 => rotate180(&upright),
        4 => flip_vertical(&upright),
        5 => flip_horizontal(&rotate90(&upright)),
        6 => rotate270(&upright),
        7 => flip_horizontal(&rotate270(&upright)),
        8 => rotate90(&upright),
        _ => upright,
    }
}

fn orientation_block(orientation: u16) -> Vec<u8> {
    exif_block(&[(Tag::Orientation, Value::Short(vec![orientation]))])
}

#[test]
fn all_orientations_of_a_jpeg_come_out_upright() {
    for orientation in 0..=11_u16 {
        for (width, height) in [(160, 96), (161, 97), (2400, 1200)] {
            let stored = stored_for(orientation, width, height);
            let size = (u16::try_from(stored.width()).unwrap(), u16::try_from(stored.height()).unwrap());
            let file = jpeg_with(stored.as_raw(), size, ColorType::Rgb, |encoder| {
                encoder.add_exif_metadata(&orientation_block(orientation)).unwrap();
            });
            let renditions = developed(&file).unwrap();
            assert_eq!((renditions.developed.width, renditions.developed.height), (width, height));
            assert_quarters(&renditions, 12, &format!("orientation {orientation} of {width} x {height}"));
        }
    }
}

#[test]
fn orientation_counts_in_png_webp_and_tiff() {
    let stored = stored_for(6, 160, 96);
    let mut file = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
    encoder.set_exif_metadata(orientation_block(6)).unwrap();
    encoder.write_image(stored.as_raw(), stored.width(), stored.height(), ExtendedColorType::Rgb8).unwrap();
    assert_quarters(&developed(&file).unwrap(), 12, "PNG");

    let mut file = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut file);
    encoder.set_exif_metadata(orientation_block(6)).unwrap();
    encoder.write_image(stored.as_raw(), stored.width(), stored.height(), ExtendedColorType::Rgb8).unwrap();
    assert_quarters(&developed(&file).unwrap(), 12, "WebP");

    assert_quarters(&developed(&tiff(stored.as_raw(), 96, 160, 6)).unwrap(), 12, "TIFF");
}

/// An uncompressed RGB TIFF.
pub(super) fn tiff(pixels: &[u8], width: u16, height: u16, orientation: u16) -> Vec<u8> {
    let length = u32::try_from(pixels.len()).unwrap();
    let short = |tag: u16, value: u16| (tag, 3_u16, 1_u32, u32::from(value) << 16);
    let long = |tag: u16, value: u32| (tag, 4_u16, 1_u32, value);
    let bits_at = 8 + 2 + 11 * 12 + 4;
    let entries = [
        short(256, width),
        short(257, height),
        (258, 3, 3, bits_at),
        short(259, 1),
        short(262, 2),
        long(273, bits_at + 6),
        short(274, orientation),
        short(277, 3),
        short(278, height),
        long(279, length),
        short(284, 1),
    ];
    let mut file = b"MM\0*\0\0\0\x08\0\x0b".to_vec();
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_be_bytes());
        file.extend(kind.to_be_bytes());
        file.extend(count.to_be_bytes());
        file.extend(value.to_be_bytes());
    }
    file.extend([0; 4]);
    file.extend([0, 8, 0, 8, 0, 8]);
    file.extend(pixels);
    file
}

#[test]
fn every_lossless_type_shows_what_was_drawn() {
    let drawn = RgbImage::from_raw(200, 120, quarters(200, 120)).unwrap();
    for (format, expected) in [
        (ImageFormat::Png, MediaType::Png),
        (ImageFormat::WebP, MediaType::WebP),
        (ImageFormat::Bmp, MediaType::Bmp),
        (ImageFormat::Gif, MediaType::Gif),
    ] {
        let mut file = Cursor::new(Vec::new());
        drawn.write_to(&mut file, format).unwrap();
        let file = file.into_inner();
        assert_eq!(media_type(&file), Ok(expected));
        let renditions = developed(&file).unwrap();
        assert_eq!((renditions.developed.width, renditions.developed.height), (200, 120));
        assert_quarters(&renditions, 14, expected.mime());
    }
}

#[test]
fn jpegs_of_every_sampling_and_progressive_ones_show_what_was_drawn() {
    for sampling in [
        SamplingFactor::F_1_1,
        SamplingFactor::F_2_1,
        SamplingFactor::F_1_2,
        SamplingFactor::F_2_2,
        SamplingFactor::F_4_1,
        SamplingFactor::F_4_2,
        SamplingFactor::F_1_4,
        SamplingFactor::F_2_4,
    ] {
        for progressive in [false, true] {
            for (width, height) in [(201, 119), (2500, 1301)] {
                let file = jpeg_with(&quarters(width, height), (width, height), ColorType::Rgb, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(progressive);
                });
                assert_quarters(&developed(&file).unwrap(), 12, &format!("{sampling:?}, progressive {progressive}"));
            }
        }
    }
}

#[test]
fn restart_markers_in_a_jpeg_change_nothing() {
    let file = jpeg_with(&quarters(300, 200), (300, 200), ColorType::Rgb, |encoder| encoder.set_restart_interval(3));
    assert_quarters(&developed(&file).unwrap(), 12, "restart markers");
}

#[test]
fn grey_pictures_stay_grey() {
    let grey: Vec<u8> = (0..=255_u8).cycle().take(256 * 64).collect();
    let files = [
        jpeg_with(&grey, (256, 64), ColorType::Luma, |_| ()),
        png(&grey, 256, 64, ExtendedColorType::L8),
        png(&grey.iter().flat_map(|v| [*v, 255]).collect::<Vec<_>>(), 256, 64, ExtendedColorType::La8),
        png(&grey.iter().flat_map(|v| [*v, *v]).collect::<Vec<_>>(), 256, 64, ExtendedColorType::L16),
    ];
    for file in files {
        let display = seen(&developed(&file).unwrap().display);
        for across in [10, 50, 90] {
            let value = u8::try_from(256 * across / 100).unwrap();
            assert!(close(display.at(across, 50), [value; 3], 6), "{:?} is not {value}", display.at(across, 50));
        }
    }
}

#[test]
fn four_inks_become_colours() {
    // Full cyan, magenta, yellow and black bars; 255 is full ink. Adobe's files hold the complement.
    let inks = [[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255]];
    let expected = [[0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]];
    let pixels: Vec<u8> = (0..64 * 256).flat_map(|i| inks[i % 256 / 64]).collect();
    for colour in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let file = jpeg_with(&pixels, (256, 64), colour, |encoder| {
            encoder.set_sampling_factor(SamplingFactor::F_1_1);
        });
        let display = seen(&developed(&file).unwrap().display);
        for (bar, expected) in expected.into_iter().enumerate() {
            let found = display.at(bar * 25 + 12, 50);
            assert!(close(found, expected, 8), "{colour:?}: {found:?} where {expected:?} was printed");
        }
    }
}

#[test]
fn transparent_places_become_white_and_half_transparent_ones_lighter() {
    let pixels: Vec<u8> =
        (0..64 * 64).flat_map(|i| if i % 64 < 32 { [0, 0, 200, 0] } else { [0, 0, 0, 128] }).collect();
    let display = seen(&developed(&png(&pixels, 64, 64, ExtendedColorType::Rgba8)).unwrap().display);
    assert!(close(display.at(25, 50), [255; 3], 4), "{:?}", display.at(25, 50));
    assert!(close(display.at(75, 50), [127; 3], 4), "{:?}", display.at(75, 50));
}

#[test]
fn sixteen_bits_a_sample_come_out_as_bright_as_eight() {
    let pixels: Vec<u8> = quarters(96, 64).iter().flat_map(|v| (u16::from(*v) * 257).to_ne_bytes()).collect();
    assert_quarters(&developed(&png(&pixels, 96, 64, ExtendedColorType::Rgb16)).unwrap(), 12, "16 bits");
}

#[test]
fn wide_gamut_profiles_are_converted_to_srgb() {
    // sRGB's value of a colour, computed from the definitions of the spaces: Display P3 and Adobe RGB.
    let cases = [
        (ColorProfile::new_display_p3(), [200, 100, 50], [215, 93, 31]),
        (ColorProfile::new_adobe_rgb(), [100, 150, 100], [66, 151, 97]),
        (ColorProfile::new_srgb(), [200, 100, 50], [200, 100, 50]),
    ];
    for (profile, stored, expected) in cases {
        let icc = profile.encode().unwrap();
        let pixels: Vec<u8> = std::iter::repeat_n(stored, 64 * 64).flatten().collect();
        let file = jpeg_with(&pixels, (64, 64), ColorType::Rgb, |encoder| encoder.add_icc_profile(&icc).unwrap());
        let found = seen(&developed(&file).unwrap().display).at(50, 50);
        assert!(close(found, expected, 3), "JPEG: {found:?} is not {expected:?}");

        let mut file = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut file);
        encoder.set_icc_profile(icc).unwrap();
        encoder.write_image(&pixels, 64, 64, ExtendedColorType::Rgb8).unwrap();
        let found = seen(&developed(&file).unwrap().display).at(50, 50);
        assert!(close(found, expected, 3), "PNG: {found:?} is not {expected:?}");
    }
}

#[test]
fn a_broken_or_unfitting_profile_counts_as_srgb() {
    let grey_profile = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    for icc in [b"no profile at all".to_vec(), grey_profile] {
        let file = jpeg_with(&quarters(64, 64), (64, 64), ColorType::Rgb, |encoder| {
            encoder.add_icc_profile(&icc).unwrap();
        });
        assert_quarters(&developed(&file).unwrap(), 12, "a profile that does not fit");
    }
}

#[test]
fn large_pictures_are_scaled_to_the_rendition_sizes_and_small_ones_left_as_they_are() {
    for (width, height, display, thumb) in [
        (3000, 2000, (2048, 1366), (480, 320)),
        (2000, 3001, (1364, 2048), (320, 480)),
        (2049, 3, (2048, 2), (480, 2)),
        (1000, 500, (1000, 500), (480, 240)),
        (301, 199, (301, 199), (301, 199)),
        (1, 1, (1, 1), (1, 1)),
    ] {
        for file in [
            jpeg(width, height),
            png(&quarters(width, height), u32::from(width), u32::from(height), ExtendedColorType::Rgb8),
        ] {
            let renditions = developed(&file).unwrap();
            let sizes = [&renditions.display, &renditions.thumb].map(|file| {
                let seen = seen(file);
                (seen.width, seen.height)
            });
            assert_eq!(sizes, [display, thumb], "{width} x {height}");
            assert!((1..=25).contains(&renditions.developed.thumbhash.len()));
        }
    }
}

#[test]
fn scaling_in_bands_leaves_no_seams() {
    // A smooth slope: any row out of place would jump.
    let (width, height) = (2600_u16, 5200_u16);
    let pixels: Vec<u8> =
        (0..height).flat_map(|y| std::iter::repeat_n(u8::try_from(u32::from(y) * 255 / 5200).unwrap(), 2600)).collect();
    let file = jpeg_with(&pixels, (width, height), ColorType::Luma, |_| ());
    let display = seen(&developed(&file).unwrap().display);
    assert_eq!((display.width, display.height), (1024, 2048));
    for percent in 1..99 {
        let expected = u8::try_from(percent * 255 / 100).unwrap();
        assert!(close(display.at(50, percent), [expected; 3], 3), "at {percent} %: {:?}", display.at(50, percent));
    }
}

#[test]
fn the_placeholder_has_the_average_colour() {
    let pixels: Vec<u8> = std::iter::repeat_n([30, 120, 200], 300 * 200).flatten().collect();
    let hash = developed(&jpeg_with(&pixels, (300, 200), ColorType::Rgb, |_| ())).unwrap().developed.thumbhash;
    let (r, g, b, a) = thumbhash::thumb_hash_to_average_rgba(&hash).unwrap();
    for (found, drawn) in [(r, 30.0), (g, 120.0), (b, 200.0), (a, 255.0)] {
        assert!((found * 255.0 - drawn).abs() < 12.0, "{found} is not {drawn} / 255");
    }
}

#[test]
fn renditions_hold_no_metadata_and_nothing_after_their_end() {
    let exif = exif_block(&[
        (Tag::Make, Value::Ascii(vec![b"SecretMaker".to_vec()])),
        (Tag::GPSLatitudeRef, Value::Ascii(vec![b"N".to_vec()])),
    ]);
    let icc = ColorProfile::new_display_p3().encode().unwrap();
    let mut file = jpeg_with(&quarters(640, 480), (640, 480), ColorType::Rgb, |encoder| {
        encoder.add_exif_metadata(&exif).unwrap();
        encoder.add_icc_profile(&icc).unwrap();
        encoder
            .add_app_segment(1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>SecretPlace</x:xmpmeta>".to_vec())
            .unwrap();
        encoder.add_app_segment(13, b"Photoshop 3.0\0SecretCaption".to_vec()).unwrap();
    });
    file.extend(b"PK\x03\x04 SecretTail <script>");
    let renditions = developed(&file).unwrap();
    for rendition in [&renditions.display, &renditions.thumb] {
        let has = |needle: &[u8]| rendition.windows(needle.len()).any(|window| window == needle);
        for needle in
            [&b"Exif"[..], b"ICC_PROFILE", b"ns.adobe.com", b"Photoshop", b"Secret", b"<script", b"PK\x03\x04"]
        {
            assert!(!has(needle), "{:?} is in a rendition", String::from_utf8_lossy(needle));
        }
        assert!(rendition.starts_with(&[0xff, 0xd8]) && rendition.ends_with(&[0xff, 0xd9]));
        assert_eq!(markers(rendition), [0xe0, 0xdb, 0xc0, 0xc4, 0xda].into(), "only what decoding needs");
    }
}

/// The kinds of segments before the pixels.
fn markers(jpeg: &[u8]) -> std::collections::HashSet<u8> {
    let mut found = std::collections::HashSet::new();
    let mut at = 2;
    loop {
        found.insert(jpeg[at + 1]);
        if jpeg[at + 1] == 0xda {
            return found;
        }
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
}

#[test]
fn the_same_file_develops_to_the_same_bytes() {
    let file = jpeg_with_exif(900, 700, &orientation_block(8));
    let (a, b) = (developed(&file).unwrap(), developed(&file).unwrap());
    assert_eq!((a.display, a.thumb, a.developed), (b.display, b.thumb, b.developed));
}
