//! The seam behind which the bytes of photos live: a folder, or an S3 bucket. Knows paths and types, nothing of owners or rows.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{TryStreamExt as _, stream::BoxStream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::photo::{FileName, MediaType, ObjectPath};

mod disk;
mod s3;

pub use disk::Disk;
use s3::trouble::Trouble;
pub use s3::{CloudFront, S3};

/// Tells the time. Stores are given it when they are made, so that tests can move it.
pub type Clock = fn() -> DateTime<Utc>;

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

/// An object as [`Store::list`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies; `None` for what lies among the objects under a name that no object path has.
    pub path: Option<ObjectPath>,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, as the store tells.
    pub modified: DateTime<Utc>,
}

/// What a browser should do with a linked object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Show it.
    Inline,
    /// Save it under this name.
    Attachment(FileName),
}

impl Disposition {
    /// The value of the `Content-Disposition` header, in ASCII: the name once for old browsers and once whole (RFC 6266, RFC 8187).
    pub fn header(&self) -> String {
        match self {
            Self::Inline => "inline".to_owned(),
            Self::Attachment(name) => {
                let plain = |c: char| if c.is_ascii() && !matches!(c, '"' | '\\' | '%') { c } else { '_' };
                let fallback: String = name.as_str().chars().map(plain).collect();
                let mut header = format!("attachment; filename=\"{fallback}\"");
                if fallback != name.as_str() {
                    write!(header, "; filename*=UTF-8''{}", utf8_percent_encode(name.as_str(), UNRESERVED))
                        .expect("writing to a string cannot fail");
                }
                header
            }
        }
    }
}

/// The start of the window, a quarter of `expiry` long, in which `now` lies: what is signed at this moment stays the same for
/// minutes and still works for three quarters of its time when it is given out last.
fn window_start(now: DateTime<Utc>, expiry: TimeDelta) -> DateTime<Utc> {
    let window = (expiry.num_seconds() / 4).max(1);
    now - TimeDelta::seconds(now.timestamp().rem_euclid(window))
        - TimeDelta::nanoseconds(now.timestamp_subsec_nanos().into())
}

/// Signed links live at least so long ...
const SHORTEST_EXPIRY: TimeDelta = TimeDelta::seconds(4);
/// ... and at most so long, which is the bound of AWS's signatures.
const LONGEST_EXPIRY: TimeDelta = TimeDelta::days(7);

/// The time for which links are to work, within what can be signed.
fn bounded(expiry: Duration) -> TimeDelta {
    TimeDelta::from_std(expiry).unwrap_or(LONGEST_EXPIRY).clamp(SHORTEST_EXPIRY, LONGEST_EXPIRY)
}

/// What must be escaped in one segment of a URL: everything but RFC 3986's unreserved characters, which no proxy rewrites.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a signed link of the gallery's own leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The file; it may have been deleted since the link was made.
    pub file: PathBuf,
    /// The type to answer with.
    pub media_type: MediaType,
    /// What the browser should do with it.
    pub disposition: Disposition,
    /// When the link stops working.
    pub expires: DateTime<Utc>,
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

    /// The length in bytes of the object at `path`, without reading it; `None` when there is none.
    async fn size(&self, path: &ObjectPath) -> anyhow::Result<Option<u64>>;

    /// Every object that lies under `photos/` and `renditions/`, in no order; elsewhere as far as the store knows it for the gallery's. Needs
    /// the same memory for three as for three million. An object that comes or goes meanwhile is told or not; every other is told once.
    fn list(&self) -> BoxStream<'_, anyhow::Result<Listed>>;

    /// Removes the object at `path`; `Ok` also when there was none.
    async fn delete(&self, path: &ObjectPath) -> anyhow::Result<()>;

    /// A URL under which anyone may GET exactly this object for a limited time, without asking whether it exists. The same call
    /// within one rounded window gives the same URL, so that browsers can cache. The answer carries `media_type` and `disposition`.
    async fn link(&self, path: &ObjectPath, media_type: MediaType, disposition: &Disposition)
    -> anyhow::Result<String>;

    /// What a link made by [`Store::link`] leads to when it leads to the gallery itself, given the part of its path after `/media/` and
    /// its query, both as they came in the request, still percent-encoded; `None` when either was changed by as much as a byte, when it has expired, or when this store's links lead elsewhere.
    fn media(&self, path: &str, query: &str) -> Option<Media> {
        let _ = (path, query);
        None
    }
}

/// Whether a store answered, and said no: waiting does not help, correcting a setting or a right does. Of anything else it may.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    let denied = |cause: &io::Error| {
        let kind = cause.kind();
        matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory)
    };
    error.downcast_ref::<Trouble>().is_some_and(Trouble::is_refusal) || error.downcast_ref().is_some_and(denied)
}

/// Writes, reads and deletes a small object under `renditions/`, where no upload is announced.
async fn round_trip(store: &impl Store) -> anyhow::Result<()> {
    const TEXT: &[u8] = b"photo-gallery was here; this object can be deleted";
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let path: ObjectPath = format!("renditions/check-{random:016x}").parse()?;
    store.put(&path, MediaType::Jpeg, Content::Bytes(TEXT)).await?;
    let read = async {
        let object = store.get(&path).await?.context("an object just written is not there")?;
        let content = object.content.try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        ensure!(content.await? == TEXT, "an object just written reads differently");
        Ok(())
    }
    .await;
    let deleted = store.delete(&path).await;
    read.and(deleted)
}
