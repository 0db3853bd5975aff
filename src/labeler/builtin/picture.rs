//! What the models look at: a decoded picture, and the squares cut from it as numbers.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use rten_tensor::NdTensor;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Upright pixels, 8 bits each of red, green and blue.
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// A picture that cannot be looked at; the sentence says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Which part of a picture a model sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame {
    /// All of it, squashed to a square.
    Whole,
    /// The square in its middle, this fraction of the short side wide.
    Centre(f64),
}

/// How a model wants a colour's value as a number: `(value - zero) * step`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) zero: f32,
    pub(super) step: f32,
}

impl Picture {
    /// The longest side decoded, in pixels. The gallery sends at most 2048.
    const MAX_SIDE: usize = 8192;

    /// Decodes a JPEG; truncated and corrupt ones are refused.
    pub fn from_jpeg(jpeg: &[u8]) -> Result<Self, Unreadable> {
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(Self::MAX_SIDE)
            .set_max_height(Self::MAX_SIDE)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let refuse = |why: &dyn std::fmt::Debug| {
            Unreadable(format!("The picture given to the labeler is not a readable JPEG ({why:?})."))
        };
        let rgb = decoder.decode().map_err(|e| refuse(&e))?;
        let info = decoder.info().ok_or_else(|| refuse(&"no size"))?;
        Self::from_rgb(u32::from(info.width), u32::from(info.height), rgb)
    }

    /// Takes pixels as they are: `width` times `height` times three bytes.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, Unreadable> {
        let expected = u64::from(width) * u64::from(height) * 3;
        if expected == 0 || u64::try_from(rgb.len()) != Ok(expected) {
            return Err(Unreadable(
                "The picture given to the labeler does not have the pixels its size says.".to_owned(),
            ));
        }
        Ok(Self { width, height, rgb })
    }

    /// The part seen through `frame` as a square of `side` pixels: 1 x 3 x side x side, red, green, blue.
    pub(super) fn square(&self, frame: Frame, side: u16, scale: Scale) -> Result<NdTensor<f32, 4>, Unreadable> {
        let refuse = |why: &dyn std::fmt::Display| Unreadable(format!("The picture could not be resized ({why})."));
        let source = ImageRef::new(self.width, self.height, &self.rgb, PixelType::U8x3).map_err(|e| refuse(&e))?;
        let mut square = Image::new(u32::from(side), u32::from(side), PixelType::U8x3);
        let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        if let Frame::Centre(fraction) = frame {
            let (width, height) = (f64::from(self.width), f64::from(self.height));
            let edge = (width.min(height) * fraction).round().max(1.0);
            options = options.crop(((width - edge) / 2.0).floor(), ((height - edge) / 2.0).floor(), edge, edge);
        }
        Resizer::new().resize(&source, &mut square, &options).map_err(|e| refuse(&e))?;
        let side = usize::from(side);
        let pixels = square.buffer();
        let planes: Vec<f32> = (0..3)
            .flat_map(|colour| {
                pixels.iter().skip(colour).step_by(3).map(|&value| (f32::from(value) - scale.zero) * scale.step)
            })
            .collect();
        Ok(NdTensor::from_data([1, 3, side, side], planes))
    }
}
