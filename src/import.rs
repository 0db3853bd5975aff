//! `photo-gallery import`: takes a folder of photos in, file by file, as if each had been uploaded. Safe to repeat: what is here stays one photo.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::AsyncReadExt;
use walkdir::WalkDir;

use crate::{
    album::{Album, Received},
    error::Error,
    photo::{Description, Owner},
};

/// How much of a file is read at once, in bytes.
const PIECE: usize = 1 << 18;

/// Where no bar can be drawn, a line tells of every so many files.
const TOLD_EVERY: u64 = 100;

/// What became of the files of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Photos that are new.
    pub new: usize,
    /// Files whose bytes were here already.
    pub already_here: usize,
    /// Files that are no photos the gallery takes; each was named on the way.
    pub refused: usize,
    /// Files that could not be read or kept; each was named on the way.
    pub failed: usize,
}

/// Takes every file below `folder` in, `at_once` at a time, and tells of each that is not taken. Links are not followed; hidden files
/// and folders are passed over, and so is `data`, the gallery's own folder.
pub async fn import(
    album: &Arc<Album>,
    owner: &Owner,
    folder: &Path,
    data: &Path,
    at_once: usize,
) -> anyhow::Result<Summary> {
    let (files, unreadable) = files(folder, data);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left  {wide_msg}")
        .context("drawing the progress bar")?;
    let progress = ProgressBar::new(files.len() as u64).with_style(style);
    let mut summary = Summary { failed: unreadable.len(), ..Summary::default() };
    for cause in unreadable {
        tell(&progress, &cause.to_string());
    }
    let mut taking = stream::iter(files)
        .map(|file| async move {
            let taken = take(album, owner, &file).await;
            (file, taken)
        })
        .buffer_unordered(at_once.max(1));
    while let Some((file, taken)) = taking.next().await {
        match taken {
            Ok(Received::New(_)) => summary.new += 1,
            Ok(Received::AlreadyHere(_)) => summary.already_here += 1,
            Err(Error::Refused(refusal)) => {
                summary.refused += 1;
                tell(&progress, &format!("{}: {refusal}", file.display()));
            }
            Err(error) => {
                summary.failed += 1;
                let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause:#})")).unwrap_or_default();
                tell(&progress, &format!("{}: {error}{cause}", file.display()));
            }
        }
        progress.inc(1);
        let (done, all) = (progress.position(), progress.length().unwrap_or_default());
        if progress.is_hidden() && done % TOLD_EVERY == 0 && done < all {
            eprintln!("{done} of {all} files");
        }
    }
    progress.finish_and_clear();
    Ok(summary)
}

/// A line for the operator, above the bar; on standard error also where there is no terminal.
fn tell(progress: &ProgressBar, line: &str) {
    let line = crate::photo::plain_line(line);
    progress.suspend(|| eprintln!("{line}"));
}

/// The files below `folder`, and why parts of it cannot be read.
fn files(folder: &Path, data: &Path) -> (Vec<PathBuf>, Vec<walkdir::Error>) {
    let own = data.canonicalize().ok();
    let is_own = |entry: &walkdir::DirEntry| entry.file_type().is_dir() && entry.path().canonicalize().ok() == own;
    let hidden = |entry: &walkdir::DirEntry| entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for entry in
        WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| !hidden(entry) && !is_own(entry))
    {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            Err(cause) => unreadable.push(cause),
        }
    }
    (files, unreadable)
}

async fn take(album: &Arc<Album>, owner: &Owner, path: &Path) -> Result<Received, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let reading = |cause: std::io::Error| Error::Internal(anyhow::Error::new(cause).context("reading the file"));
    let mut receiving = album.receive(&name)?;
    let mut file = tokio::fs::File::open(path).await.map_err(reading)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await.map_err(reading)? {
            0 => break,
            read => receiving.write(&piece[..read]).await?,
        }
    }
    let upload = receiving.finish().await?;
    album.keep(owner, upload, Description::default()).await
}
