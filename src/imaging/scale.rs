//! Scaling down with a Lanczos kernel while the rows arrive, so that the full picture never lies in memory.

use std::{f64::consts::PI, sync::LazyLock};

use fast_image_resize::{
    Filter, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

/// Radius of the kernel at scale 1, in pixels.
const SUPPORT: f64 = 3.0;
/// Steps of the kernel's table in one pixel.
const STEPS: f64 = 1024.0;
/// Source pixels gathered before they are scaled: few enough for the processor's cache, enough that computing weights does not count.
const BAND_SAMPLES: u32 = 1 << 21;

/// The right half of the Lanczos3 kernel; computing sines for every band would take as long as the scaling.
static KERNEL: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "3072")]
    let last = (SUPPORT * STEPS) as u32;
    (0..=last + 1)
        .map(|i| f64::from(i) / STEPS)
        .map(|x| if x < SUPPORT { sinc(x) * sinc(x / SUPPORT) } else { 0.0 })
        .collect()
});

fn lanczos(x: f64) -> f64 {
    let place = x.abs() * STEPS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; out of range gives None"
    )]
    let index = place as usize;
    match KERNEL.get(index..index + 2) {
        Some(&[left, right]) => left + (right - left) * (place - place.floor()),
        _ => 0.0,
    }
}

/// A picture (or one plane of it) that is scaled while its rows arrive from the top.
pub(super) struct Rows {
    pixel_type: PixelType,
    /// Bytes of a source row.
    stride: usize,
    /// Extent of the source in pixels. A halved plane of an odd picture covers half a pixel less than it has.
    source: (f64, f64),
    source_width: u32,
    source_height: u32,
    target: (u32, u32),
    /// Target rows made at once.
    band: u32,
    /// Source rows beyond a band's edges that its pixels depend on.
    margin: u32,
    resizer: Resizer,
    options: ResizeOptions,
    window: Vec<u8>,
    /// The source row at the window's beginning.
    window_top: u32,
    /// Source rows in the window.
    held: u32,
    scaled: Vec<u8>,
    /// Target rows that are done.
    done: u32,
}

impl Rows {
    /// For whole pixels of `samples` bytes.
    pub(super) fn new(samples: usize, source: (u32, u32), target: (u32, u32)) -> Self {
        Self::covering(samples, source, (f64::from(source.0), f64::from(source.1)), target)
    }

    /// For a plane of `size` pixels, of which only `extent`, from the upper left corner, belongs to the picture.
    pub(super) fn covering(samples: usize, size: (u32, u32), extent: (f64, f64), target: (u32, u32)) -> Self {
        let pixel_type = match samples {
            1 => PixelType::U8,
            3 => PixelType::U8x3,
            _ => PixelType::U8x4,
        };
        let stride = size.0 as usize * samples;
        let ratio = extent.1 / f64::from(target.1.max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
        let (margin, band) = (
            (SUPPORT * ratio.max(1.0)).ceil() as u32 + 2,
            (f64::from(BAND_SAMPLES) / (f64::from(size.0.max(1)) * ratio)).clamp(8.0, 512.0) as u32,
        );
        let filter =
            Filter::new("Lanczos3 from a table", lanczos, SUPPORT).map_or(FilterType::Lanczos3, FilterType::Custom);
        Self {
            pixel_type,
            stride,
            source: extent,
            source_width: size.0,
            source_height: size.1,
            target,
            band,
            margin,
            resizer: Resizer::new(),
            options: ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false),
            window: Vec::new(),
            window_top: 0,
            held: 0,
            scaled: vec![0; target.0 as usize * target.1 as usize * samples],
            done: 0,
        }
    }

    /// Space for the next `rows` rows of the source; [`advance`](Self::advance) says that they are written.
    pub(super) fn vacant(&mut self, rows: usize) -> &mut [u8] {
        let start = self.held as usize * self.stride;
        let end = start + rows * self.stride;
        if self.window.len() < end {
            self.window.resize(end, 0);
        }
        &mut self.window[start..end]
    }

    /// Takes `rows` rows that were written to [`vacant`](Self::vacant) space and scales what can be scaled.
    pub(super) fn advance(&mut self, rows: u32) {
        self.held += rows;
        while self.done < self.target.1 {
            let (first, last) = (self.done, (self.done + self.band).min(self.target.1));
            let edge = |row: u32| self.source.1 * f64::from(row) / f64::from(self.target.1);
            let (top, bottom) = (edge(first), edge(last));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows of a picture")]
            let needed = (bottom.ceil() as u32 + self.margin).min(self.source_height);
            if self.window_top + self.held < needed {
                return;
            }
            self.scale_band(first..last, top, bottom, needed);
            self.done = last;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows of a picture")]
            let keep_from = (bottom.floor() as u32).saturating_sub(self.margin).max(self.window_top);
            let dropped = (keep_from - self.window_top).min(self.held);
            self.window.copy_within(dropped as usize * self.stride..self.held as usize * self.stride, 0);
            self.window_top += dropped;
            self.held -= dropped;
        }
    }

    fn scale_band(&mut self, rows: std::ops::Range<u32>, top: f64, bottom: f64, needed: u32) {
        let height = needed - self.window_top;
        let out_stride = self.target.0 as usize * self.pixel_type.size();
        let out = &mut self.scaled[rows.start as usize * out_stride..rows.end as usize * out_stride];
        let window = &self.window[..height as usize * self.stride];
        let source = ImageRef::new(self.source_width, height, window, self.pixel_type);
        let target = Image::from_slice_u8(self.target.0, rows.end - rows.start, out, self.pixel_type);
        if let (Ok(source), Ok(mut target)) = (source, target) {
            let origin = f64::from(self.window_top);
            let (top, bottom) = (top - origin, (bottom - origin).min(f64::from(height)));
            let options = self.options.crop(0.0, top, self.source.0, bottom - top);
            let scaled = self.resizer.resize(&source, &mut target, &options);
            debug_assert!(scaled.is_ok(), "{scaled:?}");
        }
    }

    /// The scaled picture. Rows that never arrived are black.
    pub(super) fn finish(self) -> Vec<u8> {
        self.scaled
    }
}
