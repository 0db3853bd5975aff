//! The seam behind which the bytes of photos live: a folder, or an S3 bucket. Knows paths and types, nothing of owners or rows.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::photo::{FileName, MediaType, ObjectPath};

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Bytes in memory: renditions.
    Bytes(&'a [u8]),
    /// A file on the local disk, read in pieces: originals. The file stays where it is.
    File(&'a Path),
}

/// An object on its way out of the store.
pub struct Object {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its content, in pieces; ends with an error when the connection breaks.
    pub content: BoxStream<'static, std::io::Result<Bytes>>,
}

/// What a browser should do with a linked object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Show it.
    Inline,
    /// Save it under this name.
    Attachment(FileName),
}

/// Where photo bytes live. All methods may be called at once from many tasks; one conformance suite (`tests/it/store.rs`) runs on every variant.
#[async_trait]
pub trait Store: Send + Sync {
    /// Proves, once at start-up, that objects can be written and read here, leaving nothing behind. The error is a sentence for the operator.
    async fn check(&self) -> anyhow::Result<()>;

    /// Stores `content` at `path`, replacing what is there. When it returns `Ok` the object is durable and whole; when it
    /// fails, either the old object or none is there, never a part. A full disk is an [`std::io::Error`] of kind `StorageFull` in the chain.
    async fn put(&self, path: &ObjectPath, media_type: MediaType, content: Content<'_>) -> anyhow::Result<()>;

    /// The object at `path`; `None` when there is none.
    async fn get(&self, path: &ObjectPath) -> anyhow::Result<Option<Object>>;

    /// Removes the object at `path`; `Ok` also when there was none.
    async fn delete(&self, path: &ObjectPath) -> anyhow::Result<()>;

    /// A URL under which anyone may GET exactly this object for a limited time, without asking whether it exists. The same call
    /// within one rounded window gives the same URL, so that browsers can cache. The answer carries `media_type` and `disposition`.
    async fn link(&self, path: &ObjectPath, media_type: MediaType, disposition: &Disposition)
    -> anyhow::Result<String>;
}
