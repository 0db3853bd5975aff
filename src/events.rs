//! The seam through which uploads tell the worker. An event is a hint: the catalog's rows say what is left to do.

use async_trait::async_trait;

use crate::photo::PhotoId;

pub mod in_process;

/// A hint that a photo waits for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The photo.
    pub photo: PhotoId,
}

/// Tells workers about photos. May lose, double or reorder messages: the worker's sweep makes up for it.
#[async_trait]
pub trait Events: Send + Sync {
    /// Says that `photo` waits. Never blocks the upload for long.
    async fn announce(&self, photo: PhotoId) -> anyhow::Result<()>;

    /// The next message; waits until there is one.
    async fn next(&self) -> anyhow::Result<Message>;

    /// Says that the work behind `message` is finished, so that it is not given out again.
    async fn done(&self, message: Message) -> anyhow::Result<()>;
}
