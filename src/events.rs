//! The seam through which uploads tell workers. An event is a hint: the catalog's rows say what is left to do.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::photo::{MediaType, ObjectPath, Owner, PhotoId};

pub mod aws;
pub mod in_process;
pub mod message;
pub mod trace;

pub use self::{aws::Aws, in_process::InProcess, trace::TraceContext};

/// What is told of an upload, to workers and to whoever else listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The photo.
    pub photo: PhotoId,
    /// Whose it is.
    pub owner: Owner,
    /// Where the original lies.
    pub original: ObjectPath,
    /// The original's type.
    pub media_type: MediaType,
    /// The original's size in bytes.
    pub bytes: u64,
    /// When it was uploaded.
    pub uploaded_at: DateTime<Utc>,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A photo that the catalog lists, or did.
    Photo(PhotoId),
    /// An object that was put into the bucket; its row may be still to come.
    Object(ObjectPath),
}

/// A message that this variant handed out and that nobody else gets for the time being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about; nothing, when it only says that messages work. An error when nobody can read it: it is left to become a dead letter.
    pub subjects: Result<Vec<Subject>, Unreadable>,
    /// The request that caused it, as far as is known.
    pub trace: Option<TraceContext>,
    /// How often it was handed out, this time included; 0 where nobody counts.
    pub received: u32,
    /// What the variant knows it by.
    pub receipt: String,
}

/// Why a message cannot be read; the sentence is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// How many messages there are, as far as the queue knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    /// Waiting to be handed out, later ones included.
    pub waiting: u64,
    /// Handed out and not yet done.
    pub in_hand: u64,
    /// Given up: in the dead-letter queue; `None` where there is none.
    pub dead: Option<u64>,
}

/// Whether an error of a queue stays so until somebody changes what there is, or what is allowed.
pub fn is_lasting(cause: &anyhow::Error) -> bool {
    aws::is_lasting(cause)
}

/// Tells workers about photos. May lose, double, delay or reorder messages: the worker's sweep makes up for it. One conformance suite
/// (`tests/it/events.rs`) runs on every variant.
#[async_trait]
pub trait Events: Send + Sync {
    /// Says that a photo waits. Never blocks the upload for long.
    async fn announce(&self, upload: &Announcement) -> anyhow::Result<()>;

    /// Says again that a photo waits: to workers alone where that can be, as others have heard of it.
    async fn remind(&self, upload: &Announcement) -> anyhow::Result<()> {
        self.announce(upload).await
    }

    /// Whether [`announce`](Self::announce) leads anywhere; where it does not, somebody else announces, or nobody.
    fn announces(&self) -> bool;

    /// Whether workers of other processes may hear of the same photos.
    fn is_shared(&self) -> bool;

    /// The next messages, at least one and at most ten; waits until there are some.
    async fn next(&self) -> anyhow::Result<Vec<Message>>;

    /// Says that the work behind `message` is finished, so that it is not handed out again.
    async fn done(&self, message: &Message) -> anyhow::Result<()>;

    /// Has `message` handed out again after `pause` (at most 12 hours) when it is not done by then: to give it back, or to keep it in hand.
    async fn put_off(&self, message: &Message, pause: Duration) -> anyhow::Result<()>;

    /// How long a message stays in hand by itself; `None` where it does for ever.
    fn in_hand_for(&self) -> Option<Duration>;

    /// How many messages there are in a queue that all workers share; `None` where there is no such queue.
    async fn depth(&self) -> anyhow::Result<Option<Depth>>;
}
