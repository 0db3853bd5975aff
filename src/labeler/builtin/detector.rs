//! EfficientDet-Lite2: which everyday objects stand where in a picture.

use anyhow::Context;
use rten::Model;

use super::{
    Network, Threads,
    picture::{Frame, Picture, Scale},
};

/// The detector, loaded.
pub struct Detector {
    model: Model,
    anchors: Vec<Anchor>,
}

/// One object found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Its class, 0 to 89.
    pub class: usize,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it stands.
    pub bounds: Bounds,
}

/// Edges in fractions of the picture's width and height, within 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
}

impl Bounds {
    /// Intersection over union: 0 for apart, 1 for the same.
    pub fn overlap(&self, other: &Self) -> f32 {
        let width = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        let height = (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0);
        let both = width * height;
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }

    fn area(&self) -> f32 {
        (self.right - self.left).max(0.0) * (self.bottom - self.top).max(0.0)
    }
}

/// The box that one row of the detector's answer is told relative to: its centre and size in fractions of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Centre, downwards.
    pub y: f32,
    /// Centre, to the right.
    pub x: f32,
    /// Height.
    pub height: f32,
    /// Width.
    pub width: f32,
}

impl Anchor {
    /// All anchors in the order of the detector's rows (Tan, Pang, Le: "`EfficientDet`", 2020): on five grids with cells of 8 to 128 px,
    /// three sizes of three shapes in each cell, the smallest three cells wide.
    #[expect(clippy::cast_possible_truncation, reason = "the computation is in f64 so that its f32 results are exact")]
    pub fn all() -> Vec<Self> {
        let mut anchors = Vec::with_capacity(Detector::ROWS);
        for level in 3..=7 {
            let cells = Detector::SIDE.div_ceil(1 << level);
            let cell = 1.0 / f64::from(cells);
            for row in 0..cells {
                for column in 0..cells {
                    for third in 0..3 {
                        let edge = 3.0 * cell * (f64::from(third) / 3.0).exp2();
                        for shape in [1.0_f64, 2.0, 0.5] {
                            anchors.push(Self {
                                y: ((f64::from(row) + 0.5) * cell) as f32,
                                x: ((f64::from(column) + 0.5) * cell) as f32,
                                height: (edge / shape.sqrt()) as f32,
                                width: (edge * shape.sqrt()) as f32,
                            });
                        }
                    }
                }
            }
        }
        anchors
    }

    fn decode(&self, code: &[f32; 4]) -> Bounds {
        let (y, x) = (code[0] * self.height + self.y, code[1] * self.width + self.x);
        let (half_height, half_width) = (code[2].exp() * self.height / 2.0, code[3].exp() * self.width / 2.0);
        Bounds {
            left: (x - half_width).clamp(0.0, 1.0),
            top: (y - half_height).clamp(0.0, 1.0),
            right: (x + half_width).clamp(0.0, 1.0),
            bottom: (y + half_height).clamp(0.0, 1.0),
        }
    }
}

impl Detector {
    /// How many classes it tells apart, unused ones counted.
    pub const CLASSES: usize = 90;
    /// The most objects told of one picture.
    pub const MAX_OBJECTS: usize = 25;
    const SIDE: u16 = 448;
    /// The quantisation of the original model's input.
    const SCALE: Scale = Scale { zero: 127.0, step: 1.0 / 128.0 };
    const ROWS: usize = 37_629;
    /// Two boxes that overlap more than this are one object.
    const SAME: f32 = 0.5;

    /// Loads the model; fails when the bytes are not it.
    pub fn load(network: &Network) -> anyhow::Result<Self> {
        Ok(Self { model: network.load()?, anchors: Anchor::all() })
    }

    /// The objects scoring at least `threshold` (0 to 1), surest first, each once, at most [`Self::MAX_OBJECTS`].
    pub fn detect(&self, picture: &Picture, threshold: f32, threads: &Threads) -> anyhow::Result<Vec<Detection>> {
        let input = picture.square(Frame::Whole, Self::SIDE, Self::SCALE)?;
        let [codes, scores] = super::run(&self.model, input, threads)?;
        let ([_, rows, _], codes) = codes.into_shape_vec::<f32, 3>().context("reading the detector's boxes")?;
        let ([_, _, classes], scores) = scores.into_shape_vec::<f32, 3>().context("reading the detector's scores")?;
        anyhow::ensure!(
            rows == self.anchors.len() && codes.len() == rows * 4 && classes == Self::CLASSES,
            "the detector answered with {rows} boxes of {classes} classes"
        );
        let (codes, _) = codes.as_chunks::<4>();
        let candidates =
            self.anchors.iter().zip(codes).zip(scores.chunks_exact(classes)).filter_map(|((anchor, code), scores)| {
                let (class, score) = best(scores);
                (score >= threshold).then(|| Detection { class, score, bounds: anchor.decode(code) })
            });
        Ok(distinct(candidates.collect()))
    }
}

/// Where the highest number stands, and it; 3.4 million are looked through for one picture.
fn best(scores: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.iter().enumerate() {
        if score > best.1 {
            best = (class, score);
        }
    }
    best
}

/// Leaves out what mostly covers a surer detection, of whichever class (non-maximum suppression).
fn distinct(mut candidates: Vec<Detection>) -> Vec<Detection> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if kept.len() == Detector::MAX_OBJECTS {
            break;
        }
        if kept.iter().all(|sure| sure.bounds.overlap(&candidate.bounds) <= Detector::SAME) {
            kept.push(candidate);
        }
    }
    kept
}
