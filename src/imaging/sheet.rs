//! A small picture in memory, on its way from the decoder to the prints.

use super::{scale, target_size};

/// What the samples of a [`Sheet`] mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// One sample a pixel.
    Grey,
    /// Full-range luma and two colour differences, as JPEG holds them.
    Ycbcr,
    /// Red, green, blue.
    Rgb,
    /// Four inks, 255 being full ink.
    Cmyk,
}

impl Tone {
    /// Samples a pixel.
    pub(super) const fn samples(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Ycbcr | Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }
}

/// Pixels of 8-bit samples, row by row without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) tone: Tone,
    pub(super) pixels: Vec<u8>,
}

impl Sheet {
    /// This sheet scaled down to at most `longest` pixels a side; the same when it is that small already.
    pub(super) fn within(&self, longest: u32) -> Self {
        let (width, height) = target_size(self.width, self.height, longest);
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let mut rows = scale::Rows::new(self.tone.samples(), (self.width, self.height), (width, height));
        for row in self.pixels.chunks_exact(self.width as usize * self.tone.samples()) {
            rows.vacant(1).copy_from_slice(row);
            rows.advance(1);
        }
        Self { width, height, tone: self.tone, pixels: rows.finish() }
    }

    /// This sheet as a viewer shall see it, given the EXIF `orientation`; what is not 2 to 8 leaves it as it is.
    pub(super) fn turned(self, orientation: u32) -> Self {
        match self.tone.samples() {
            1 => self.turned_by::<1>(orientation),
            3 => self.turned_by::<3>(orientation),
            _ => self.turned_by::<4>(orientation),
        }
    }

    fn turned_by<const N: usize>(mut self, orientation: u32) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let (pixels, _) = self.pixels.as_chunks_mut::<N>();
        match orientation {
            2 => pixels.chunks_exact_mut(width).for_each(<[_]>::reverse),
            3 => pixels.reverse(),
            4 => {
                for y in 0..height / 2 {
                    let (upper, lower) = pixels.split_at_mut((height - 1 - y) * width);
                    upper[y * width..(y + 1) * width].swap_with_slice(&mut lower[..width]);
                }
            }
            5..=8 => {
                let mirror_x = matches!(orientation, 7 | 8);
                let mirror_y = matches!(orientation, 6 | 7);
                let mut turned = Vec::with_capacity(self.pixels.len());
                let (pixels, _) = self.pixels.as_chunks::<N>();
                // The upright picture's row `x` is the stored column `x`.
                for row in 0..width {
                    let x = if mirror_x { width - 1 - row } else { row };
                    for column in 0..height {
                        let y = if mirror_y { height - 1 - column } else { column };
                        turned.extend_from_slice(&pixels[y * width + x]);
                    }
                }
                return Self { width: self.height, height: self.width, tone: self.tone, pixels: turned };
            }
            _ => {}
        }
        self
    }
}
