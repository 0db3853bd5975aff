//! Pictures made for the tests, and ways to look at the renditions.

use std::io::Cursor;

use exif::{Field, In, Tag, Value, experimental::Writer};
use image::{ImageEncoder, codecs::png::PngEncoder};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use photo_gallery::imaging::{Limits, Renditions, Undeveloped, develop};
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

/// Red, green, blue and yellow quarters, clockwise from the upper left; RGB.
pub(super) fn quarters(width: u16, height: u16) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            pixels.extend(match (x < width / 2, y < height / 2) {
                (true, true) => [220, 30, 30],
                (false, true) => [30, 200, 40],
                (false, false) => [40, 50, 210],
                (true, false) => [220, 210, 40],
            });
        }
    }
    pixels
}

/// A JPEG of these samples with these extra segments.
pub(super) fn jpeg_with(
    pixels: &[u8],
    (width, height): (u16, u16),
    colour: ColorType,
    prepare: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    prepare(&mut encoder);
    encoder.encode(pixels, width, height, colour).expect("encoding a test picture");
    file
}

/// The four quarters as a plain JPEG.
pub(super) fn jpeg(width: u16, height: u16) -> Vec<u8> {
    jpeg_with(&quarters(width, height), (width, height), ColorType::Rgb, |_| ())
}

/// The four quarters as a JPEG that carries this EXIF block.
pub(crate) fn jpeg_with_exif(width: u16, height: u16, exif: &[u8]) -> Vec<u8> {
    jpeg_with(&quarters(width, height), (width, height), ColorType::Rgb, |encoder| {
        encoder.add_exif_metadata(exif).expect("a small EXIF block");
    })
}

/// A PNG of these samples.
pub(super) fn png(pixels: &[u8], width: u32, height: u32, colour: image::ExtendedColorType) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(pixels, width, height, colour).expect("encoding a test picture");
    file
}

/// An EXIF block of these fields.
pub(crate) fn exif_block(fields: &[(Tag, Value)]) -> Vec<u8> {
    let fields: Vec<Field> =
        fields.iter().map(|(tag, value)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() }).collect();
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, false).expect("writing a test EXIF block");
    block.into_inner()
}

/// A rendition as pixels.
pub(super) struct Seen {
    pub(super) width: usize,
    pub(super) height: usize,
    pixels: Vec<u8>,
}

impl Seen {
    /// The colour at a place given in hundredths of width and height.
    pub(super) fn at(&self, across: usize, down: usize) -> [u8; 3] {
        let (x, y) = (self.width * across / 100, self.height * down / 100);
        self.pixels[(y * self.width + x) * 3..][..3].try_into().expect("three samples")
    }

    /// The colours in the middles of the four quarters, clockwise from the upper left.
    pub(super) fn corners(&self) -> [[u8; 3]; 4] {
        [self.at(25, 25), self.at(75, 25), self.at(75, 75), self.at(25, 75)]
    }
}

/// Decodes a rendition; grey ones too.
pub(super) fn seen(jpeg: &[u8]) -> Seen {
    let mut decoder = JpegDecoder::new(ZCursor::new(jpeg));
    let pixels = decoder.decode().expect("a rendition is a whole JPEG");
    let (width, height) = decoder.dimensions().expect("a decoded rendition has a size");
    Seen { width, height, pixels }
}

/// Whether two colours differ by at most `most` in each sample.
pub(super) fn close(a: [u8; 3], b: [u8; 3], most: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= most)
}

/// The four quarters' colours as they were drawn.
pub(super) const QUARTERS: [[u8; 3]; 4] = [[220, 30, 30], [30, 200, 40], [40, 50, 210], [220, 210, 40]];

/// Asserts that both renditions show the four quarters.
pub(super) fn assert_quarters(renditions: &Renditions, most: u8, what: &str) {
    for file in [&renditions.display, &renditions.thumb] {
        for (found, drawn) in seen(file).corners().into_iter().zip(QUARTERS) {
            assert!(close(found, drawn, most), "{what}: {found:?} where {drawn:?} was drawn");
        }
    }
}

/// Develops within the default limits.
pub(super) fn developed(file: &[u8]) -> Result<Renditions, Undeveloped> {
    develop(file, &Limits::default())
}

/// The refusal of a file.
pub(super) fn refusal(file: &[u8]) -> Undeveloped {
    developed(file).expect_err("this file is refused")
}
