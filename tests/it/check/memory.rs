//! How much memory a check takes when there is much to check.

use std::{
    fs,
    process::{Command, Stdio},
};

use photo_gallery::photo::Owner;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::{Gallery, ObjectPath, Rendition, original, rendition};
use crate::{
    catalog::rows,
    process::{program, read},
};

/// Photos in the large gallery.
const MANY: usize = 20_000;

/// The most resident memory that a check took, in MB; it must find nothing.
fn peak(gallery: &Gallery) -> u64 {
    let mut command: Command = program(gallery.folder.path());
    command.args(["check", "--json"]).envs(gallery.environment()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let told = read(child.stdout.take().unwrap());
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let told = fs::read_to_string(&status).unwrap_or_default();
        let high = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = high.and_then(|high| high.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let told = told.join().unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&told[..told.len().min(2000)]));
    peak / 1024
}

/// Puts so many photos with all their objects into a gallery that was made, in the place of those that it has.
pub(super) async fn filled(gallery: &Gallery, photos: usize) -> Vec<ObjectPath> {
    let file = gallery.folder.path().join("data/catalog.db");
    let mut line = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    line.execute("DELETE FROM photo; DELETE FROM photo_term; DELETE FROM album_total; PRAGMA synchronous = OFF")
        .await
        .unwrap();
    rows::fill_sqlite(&mut line, &Owner::anonymous(), photos).await.unwrap();
    line.execute("UPDATE photo SET bytes = 4; UPDATE album_total SET bytes = 4 * photos").await.unwrap();
    let ids: Vec<(String,)> = sqlx::query_as("SELECT id FROM photo").fetch_all(&mut line).await.unwrap();
    line.close().await.unwrap();
    let mut originals = Vec::new();
    for (id,) in ids {
        let renditions = [Rendition::Display, Rendition::Thumb].map(|size| rendition(&id, size));
        for path in [original(&id)].into_iter().chain(renditions) {
            gallery.put(&path, b"four".to_vec()).await;
        }
        originals.push(original(&id));
    }
    originals
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_photos_take_no_more_memory_than_some() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    let few = peak(&gallery);
    filled(&gallery, MANY).await;
    let many = peak(&gallery);
    assert!(many < few + 40, "{few} MB for one photo, {many} MB for {MANY}");
}
