//! The machine itself: the folder, the room in it, and where SQLite's file and the photos lie when they are here.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::{
    doctor::{Chart, Seen},
    photo::size,
    settings::{Settings, Store},
};

/// Below this, in bytes, room is called scarce.
const LITTLE: u64 = 1_000_000_000;

pub(super) fn examine(settings: &Settings, chart: &mut Chart) {
    chart.note("data folder", folder(&settings.data));
    chart.note("room", room(settings));
    if matches!(settings.store, Store::Disk) {
        chart.note("photo folder", folder(&settings.photo_folder()));
    }
}

/// The folder itself, or the nearest above it that is there.
fn present(folder: &Path) -> &Path {
    let mut ancestors = folder.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    ancestors.find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// Whether a folder can be written, or made where it is to be.
fn folder(folder: &Path) -> anyhow::Result<Seen> {
    let (there, named) = (present(folder), folder.display());
    let advice = || {
        let is = if there == folder { "cannot be written" } else { "cannot be made" };
        format!("{named} {is}; give this program's user the right, or set `data` to another folder")
    };
    tempfile::Builder::new().prefix(".doctor-").tempfile_in(there).with_context(advice)?;
    Ok(Seen::ok(if there == folder {
        format!("{named} can be written")
    } else {
        format!("{named} is not there yet, and will be made")
    }))
}

fn room(settings: &Settings) -> anyhow::Result<Seen> {
    let there = present(&settings.data);
    let free = rustix::fs::statvfs(there).with_context(|| format!("asking for the room in {}", there.display()))?;
    let free = free.f_bavail * free.f_frsize;
    let (named, largest) = (settings.data.display(), settings.upload.max_bytes);
    ensure!(
        free >= largest,
        "{} are free for {named}, less than one upload may have ({}): make room",
        size(free),
        size(largest)
    );
    Ok(if free < LITTLE {
        Seen::warn(format!("only {} are free for {named}: make room before it is full", size(free)))
    } else {
        Seen::ok(format!("{} are free for {named}", size(free)))
    })
}
