//! Where uploads wait on the local disk while they are checked: files that outlive neither their request nor a restart.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use anyhow::Context;
use sha2::Digest;
use tempfile::{NamedTempFile, TempDir, TempPath};
use tokio::io::AsyncWriteExt;

use crate::{
    error::{Error, Kind},
    photo::{FileName, Sha256, size},
};

/// How many first bytes an upload remembers, enough to tell any known type.
const HEAD: usize = 4096;

/// A folder for the uploads of this process. Other processes may have theirs beside it; those of dead ones are removed at opening.
pub struct Intake {
    folder: TempDir,
    /// Held locked while this process lives; a folder whose lock can be had belongs to a dead one.
    _lock: File,
    max_bytes: u64,
}

impl Intake {
    /// Makes this process's folder under `root` (made if absent) and removes those that dead processes left there.
    /// `max_bytes` is the largest file taken.
    pub fn open(root: &Path, max_bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| {
            format!(
                "the folder {} for incoming uploads cannot be made; set `data` to a folder that can be written",
                root.display()
            )
        })?;
        remove_left_behind(root);
        let folder = tempfile::Builder::new().prefix("incoming-").tempdir_in(root).with_context(|| {
            format!("the folder {} cannot be written; set `data` to a folder that can", root.display())
        })?;
        let lock = File::create(folder.path().join(LOCK)).context("making the lock of the incoming folder")?;
        lock.lock().context("locking the incoming folder")?;
        Ok(Self { folder, _lock: lock, max_bytes })
    }

    /// Begins to receive a file.
    pub fn receive(&self, raw_name: &str) -> Result<Receiving, Error> {
        let made = NamedTempFile::new_in(self.folder.path()).context("making a temporary file for an upload");
        let (file, path) = made.map_err(Error::outside)?.into_parts();
        Ok(Receiving {
            file: tokio::io::BufWriter::with_capacity(1 << 18, tokio::fs::File::from_std(file)),
            path,
            name: FileName::new(raw_name),
            hash: sha2::Sha256::new(),
            head: Vec::with_capacity(HEAD),
            bytes: 0,
            max_bytes: self.max_bytes,
        })
    }

    /// A temporary file without a name, gone with its handle.
    pub(super) fn scratch(&self) -> Result<tokio::fs::File, Error> {
        let made = tempfile::tempfile_in(self.folder.path()).context("making a temporary file");
        made.map(tokio::fs::File::from_std).map_err(Error::outside)
    }
}

const LOCK: &str = "lock";

fn remove_left_behind(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let alive =
            File::open(folder.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        if !alive && let Err(cause) = fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %cause, "a left-over folder of uploads stays behind");
        }
    }
}

/// A file that is coming in. Dropping it removes what has come.
pub struct Receiving {
    file: tokio::io::BufWriter<tokio::fs::File>,
    path: TempPath,
    name: FileName,
    hash: sha2::Sha256,
    head: Vec<u8>,
    bytes: u64,
    max_bytes: u64,
}

impl Receiving {
    /// Takes the next piece. Refuses, as too large, what goes beyond the limit.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        self.hash.update(piece);
        let missing = HEAD - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(missing)]);
        self.file.write_all(piece).await.context("writing an upload to the temporary file").map_err(Error::outside)
    }

    /// The file has come whole.
    pub async fn finish(mut self) -> Result<Upload, Error> {
        self.file.flush().await.context("writing an upload to the temporary file").map_err(Error::outside)?;
        Ok(Upload {
            path: self.path,
            name: self.name,
            sha256: Sha256(self.hash.finalize().into()),
            head: self.head,
            bytes: self.bytes,
        })
    }
}

/// The refusal of a file of more than `max_bytes` bytes.
fn too_large(max_bytes: u64) -> Error {
    Error::refused(Kind::TooLarge, format!("The file is larger than the {} this gallery takes.", size(max_bytes)))
}

/// A file that has come whole. Dropping it removes it.
#[derive(Debug)]
pub struct Upload {
    path: TempPath,
    name: FileName,
    sha256: Sha256,
    head: Vec<u8>,
    bytes: u64,
}

impl Upload {
    /// Where it waits, as long as the upload lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name it came with.
    pub fn file_name(&self) -> &FileName {
        &self.name
    }

    /// The SHA-256 of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its first bytes.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
