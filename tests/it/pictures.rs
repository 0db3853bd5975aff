//! Pictures made in code, different for every seed.

use image::{ImageFormat, Rgb, RgbImage};

/// A picture with some structure.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |k: u32| (x.wrapping_mul(k) / 7 + y.wrapping_mul(k + seed) / 5 + seed * 31) % 256;
        let colours = [wave(3), wave(5), (x + seed * 13) * 255 / width.max(1) % 256];
        Rgb(colours.map(|colour| u8::try_from(colour).unwrap_or(u8::MAX)))
    })
}

/// A JPEG.
pub(crate) fn jpeg(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = picture(width.into(), height.into(), seed);
    jpeg_encoder::Encoder::new(&mut bytes, 85).encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

/// A TIFF.
pub(crate) fn tiff(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<tiff::encoder::colortype::RGB8>(width, height, &picture(width, height, seed)).unwrap();
    bytes.into_inner()
}

/// A picture in a format of crate `image`.
pub(crate) fn encoded(format: ImageFormat, width: u32, height: u32, seed: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(width, height, seed).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
