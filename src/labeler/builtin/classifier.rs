//! EfficientNet-Lite0: how likely each of the 1000 `ImageNet` classes is what a picture shows.

use anyhow::Context;
use rten::Model;

use super::{
    Network,
    picture::{Frame, Picture, Scale},
};

/// The classifier, loaded.
pub struct Classifier(Model);

impl Classifier {
    /// How many classes it tells apart.
    pub const CLASSES: usize = 1000;
    const SIDE: u16 = 224;
    /// The quantisation of the original model's input.
    const SCALE: Scale = Scale { zero: 131.0, step: 0.012_566_017 };

    /// Loads the model; fails when the bytes are not it.
    pub fn load(network: &Network) -> anyhow::Result<Self> {
        network.load().map(Self)
    }

    /// The probability of each class, 0 to 1, seen through `frame`.
    pub fn classify(&self, picture: &Picture, frame: Frame, threads: &super::Threads) -> anyhow::Result<Vec<f32>> {
        let input = picture.square(frame, Self::SIDE, Self::SCALE)?;
        let [probabilities] = super::run(&self.0, input, threads)?;
        let ([_, classes], probabilities) =
            probabilities.into_shape_vec::<f32, 2>().context("reading the classifier's answer")?;
        anyhow::ensure!(classes == Self::CLASSES, "the classifier answered with {classes} classes");
        Ok(probabilities)
    }
}
