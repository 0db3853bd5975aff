//! The seam behind which pictures are named: the model in the binary, or Amazon Rekognition. Takes bytes; does not know where photos live.

pub mod builtin;
pub mod rekognition;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{builtin::Builtin, rekognition::Rekognition};
use crate::photo::Label;

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum Unlabelled {
    /// This picture will never get labels from this labeler; the sentence says why.
    #[error("{0}")]
    Never(String),
    /// Not now: throttled, timed out, unreachable. Asking again later may help.
    #[error("the labeler cannot be asked now")]
    NotNow {
        /// How long the labeler asks to be left alone, when it says so.
        retry_after: Option<Duration>,
        /// What went wrong.
        #[source]
        cause: anyhow::Error,
    },
}

/// Says what is in a picture. Cheap to make: models load with the first picture. One conformance suite (`tests/it/labeler.rs`) runs on every variant.
#[async_trait]
pub trait Labeler: Send + Sync {
    /// The labels of an upright JPEG of at most 2048 px a side: surest first, each name once, confidences in percent, nothing below
    /// the configured thresholds; an empty list when nothing is sure enough. Does not block the caller's thread.
    async fn labels(&self, jpeg: Bytes) -> Result<Vec<Label>, Unlabelled>;
}
