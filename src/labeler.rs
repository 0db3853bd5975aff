//! The seam behind which pictures are named: the model in the binary, or Amazon Rekognition. Takes bytes; only a labeler that reads the store by
//! itself is told where a picture lies.

pub mod builtin;
pub mod rekognition;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{builtin::Builtin, rekognition::Rekognition};
use crate::photo::{Label, ObjectPath};

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

    /// [`labels`](Self::labels) of the JPEG that lies at `path` in the store, from a labeler that reads it there by itself. `None` from one that
    /// does not, or cannot reach it: it then wants the bytes.
    async fn labels_of(&self, path: &ObjectPath) -> Option<Result<Vec<Label>, Unlabelled>> {
        let _ = path;
        None
    }

    /// The most bytes that [`labels`](Self::labels) takes.
    fn max_bytes(&self) -> usize {
        usize::MAX
    }

    /// What a labeler is called of which each answer costs money: at most 100 characters in which all stands that its answers depend on beside
    /// the picture, so that under one name the same picture gets the same labels. Its answers are kept, and used again. `None` when answers cost
    /// nothing but time.
    fn paid_as(&self) -> Option<String> {
        None
    }
}
