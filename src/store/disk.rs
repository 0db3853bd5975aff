//! Photos in a folder of this machine. Files are named after their object and spread over 256 folders by a hash, because ids made
//! in the same hour begin alike. Links are signed with HMAC-SHA256 and served by the gallery itself, which asks [`Store::media`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use bytes::BytesMut;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::{io::AsyncReadExt as _, sync::mpsc, task::spawn_blocking};
use url::form_urlencoded;

use super::{Clock, Content, Disposition, Listed, Media, Object, Store, UNRESERVED, bounded, round_trip, window_start};
use crate::photo::{FileName, MediaType, ObjectPath};

/// How many bytes [`Store::get`] reads at once.
const PIECE: usize = 128 * 1024;

/// How many objects [`Store::list`] looks up ahead of who reads it.
const LISTED_AHEAD: usize = 1000;

/// The longest file name that every file system takes, in bytes.
const NAME_MAX: usize = 255;

/// A folder of photos.
pub struct Disk {
    root: PathBuf,
    base: String,
    key: Hmac<Sha256>,
    expiry: TimeDelta,
    clock: Clock,
    /// Locked, shared with other processes, as long as this value lives: its temporary files are not left-overs.
    _in_use: fs::File,
}

impl Disk {
    /// Opens the folder `root`, making it when it is missing, and removes temporary files that a crash left there. Links begin
    /// with `base` (`/media`), are signed with `secret` (any length) and work for at most `expiry` and at least three quarters of it.
    pub fn open(root: PathBuf, base: &str, secret: &[u8], expiry: Duration, clock: Clock) -> anyhow::Result<Self> {
        let in_use = occupy(&root).with_context(|| unusable(&root))?;
        let mut key =
            Hmac::<Sha256>::new_from_slice(secret).map_err(|_| anyhow!("the secret for links is unusable"))?;
        key.update(b"photo-gallery media link\n");
        Ok(Self {
            root,
            base: base.trim_end_matches('/').to_owned(),
            key,
            expiry: bounded(expiry),
            clock,
            _in_use: in_use,
        })
    }

    fn signer(&self, path: &str, query: &str) -> Hmac<Sha256> {
        self.key.clone().chain_update(path).chain_update("?").chain_update(query)
    }

    fn file(&self, path: &ObjectPath) -> PathBuf {
        file(&self.root, path)
    }
}

/// The file of the object at `path`: its key with `/` escaped, or the key's hash where that is too long a name.
fn file(root: &Path, path: &ObjectPath) -> PathBuf {
    let hash = hex::encode(Sha256::digest(path.as_str()));
    let name = path.as_str().replace('%', "%25").replace('/', "%2F");
    root.join(&hash[..2]).join(if name.len() <= NAME_MAX { &name } else { &hash })
}

/// The path of the object that lies in `at`; `None` for a file that is none, or whose name is too short to tell its path.
fn path_of(root: &Path, at: &Path) -> Option<ObjectPath> {
    let name = at.file_name()?.to_str()?;
    let path: ObjectPath = name.replace("%2F", "/").replace("%25", "%").parse().ok()?;
    (file(root, &path) == at).then_some(path)
}

/// Tells `listed` every object, folder by folder, until nobody listens.
fn list(root: &Path, listed: &mpsc::Sender<io::Result<Listed>>) -> io::Result<()> {
    for folder in 0..=u8::MAX {
        let files = match fs::read_dir(root.join(hex::encode([folder]))) {
            Ok(files) => files,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in files {
            let entry = entry?;
            let known = match entry.metadata() {
                Ok(known) => known,
                // It was deleted in between.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let object = Listed {
                path: if known.is_file() { path_of(root, &entry.path()) } else { None },
                bytes: known.len(),
                modified: DateTime::<Utc>::from(known.modified()?),
            };
            if listed.blocking_send(Ok(object)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn unusable(root: &Path) -> String {
    format!(
        "the folder {} cannot be used for photos: make it, give it to the user the gallery runs as, or choose another",
        root.display()
    )
}

fn tmp(root: &Path) -> PathBuf {
    root.join("tmp")
}

/// Makes the folders and, when no other process works in them, removes the temporary files of those that died.
fn occupy(root: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(tmp(root))?;
    let lock = root.join("in-use");
    let in_use = fs::OpenOptions::new().create(true).append(true).open(&lock)?;
    if in_use.try_lock().is_ok() {
        for left_over in fs::read_dir(tmp(root))? {
            fs::remove_file(left_over?.path())?;
        }
        in_use.unlock()?;
    }
    match in_use.lock_shared() {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
        locked => locked?,
    }
    NamedTempFile::new_in(tmp(root))?;
    Ok(in_use)
}

/// Makes names in `folder` durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Tells a full quota as a full disk.
fn full(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::QuotaExceeded { io::Error::new(io::ErrorKind::StorageFull, error) } else { error }
}

/// `Content` that a blocking thread can own.
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Writes `source` beside `file` and renames it into place; a temporary file is gone when this fails.
fn write(root: &Path, file: &Path, source: Source) -> anyhow::Result<()> {
    let mut new = NamedTempFile::new_in(tmp(root)).map_err(full).with_context(|| unusable(root))?;
    match source {
        Source::Bytes(bytes) => io::Write::write_all(&mut new, &bytes).map_err(full)?,
        Source::File(path) => {
            let mut from = fs::File::open(&path).with_context(|| format!("reading {}", path.display()))?;
            io::copy(&mut from, new.as_file_mut()).map_err(full)?;
        }
    }
    new.as_file().sync_all().map_err(full)?;
    let folder = file.parent().context("an object's file stands in a folder")?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(root)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(full(e).into()),
    }
    new.persist(file).map_err(|e| full(e.error))?;
    sync_folder(folder)?;
    Ok(())
}

#[async_trait]
impl Store for Disk {
    async fn check(&self) -> anyhow::Result<()> {
        round_trip(self).await.with_context(|| unusable(&self.root))
    }

    async fn put(&self, path: &ObjectPath, _: MediaType, content: Content<'_>) -> anyhow::Result<()> {
        let (root, file) = (self.root.clone(), self.file(path));
        let source = match content {
            Content::Bytes(bytes) => Source::Bytes(bytes.to_vec()),
            Content::File(path) => Source::File(path.to_owned()),
        };
        spawn_blocking(move || write(&root, &file, source))
            .await?
            .with_context(|| format!("writing {path} into {}", self.root.display()))
    }

    async fn get(&self, path: &ObjectPath) -> anyhow::Result<Option<Object>> {
        let reading = || format!("reading {path} from {}", self.root.display());
        let file = match tokio::fs::File::open(self.file(path)).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(reading),
        };
        let bytes = file.metadata().await.with_context(reading)?.len();
        let content = stream::try_unfold(file, async |mut file| {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (piece.freeze(), file)))
        });
        Ok(Some(Object { bytes, content: content.boxed() }))
    }

    async fn size(&self, path: &ObjectPath) -> anyhow::Result<Option<u64>> {
        match tokio::fs::metadata(self.file(path)).await {
            Ok(known) => Ok(Some(known.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("looking for {path} in {}", self.root.display())),
        }
    }

    /// Beside the trait: all objects but those with names too long for a file, whose files do not tell their path.
    fn list(&self) -> BoxStream<'_, anyhow::Result<Listed>> {
        let (sender, receiver) = mpsc::channel(LISTED_AHEAD);
        let root = self.root.clone();
        spawn_blocking(move || {
            if let Err(cause) = list(&root, &sender) {
                let _ = sender.blocking_send(Err(cause));
            }
        });
        stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
            .map(|listed| listed.with_context(|| format!("listing the folder {}", self.root.display())))
            .boxed()
    }

    async fn delete(&self, path: &ObjectPath) -> anyhow::Result<()> {
        let file = self.file(path);
        spawn_blocking(move || match fs::remove_file(&file) {
            Ok(()) => file.parent().map_or(Ok(()), sync_folder),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        })
        .await?
        .with_context(|| format!("deleting {path} from {}", self.root.display()))
    }

    async fn link(
        &self,
        path: &ObjectPath,
        media_type: MediaType,
        disposition: &Disposition,
    ) -> anyhow::Result<String> {
        let expires = window_start((self.clock)(), self.expiry) + self.expiry;
        let segments: Vec<_> =
            path.as_str().split('/').map(|s| utf8_percent_encode(s, UNRESERVED).to_string()).collect();
        let path = segments.join("/");
        let mut query = format!("type={media_type}&expires={}", expires.timestamp());
        if let Disposition::Attachment(name) = disposition {
            query.push_str("&name=");
            query.extend(utf8_percent_encode(name.as_str(), UNRESERVED));
        }
        let signature = hex::encode(self.signer(&path, &query).finalize().into_bytes());
        Ok(format!("{}/{path}?{query}&signature={signature}", self.base))
    }

    fn media(&self, path: &str, query: &str) -> Option<Media> {
        let (signed, signature) = query.rsplit_once("&signature=")?;
        if signature.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let signature = hex::decode(signature).ok()?;
        self.signer(path, signed).verify_slice(&signature).ok()?;

        let path: ObjectPath = percent_decode_str(path).decode_utf8().ok()?.parse().ok()?;
        let value = |name| form_urlencoded::parse(signed.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v);
        let expires = DateTime::from_timestamp(value("expires")?.parse().ok()?, 0)?;
        if expires <= (self.clock)() {
            return None;
        }
        Some(Media {
            file: self.file(&path),
            media_type: value("type")?.parse().ok()?,
            disposition: value("name").map_or(Disposition::Inline, |n| Disposition::Attachment(FileName::new(&n))),
            expires,
        })
    }
}
