//! What only a folder can do wrong.

use std::{fs, io, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use photo_gallery::{
    photo::{FileName, MediaType},
    store::{Clock, Content, Disk, Disposition, Store as _},
};
use tempfile::TempDir;

use super::{HOUR, chain, new_path, noise, put, read, still};

pub(super) fn open(root: &Path, expiry: Duration, clock: Clock) -> Disk {
    Disk::open(root.to_owned(), "/media", b"a secret", expiry, clock).unwrap()
}

/// The files under `root` but the lock, sorted.
pub(super) fn files(root: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() && entry.file_name() != "in-use" {
            found.push(entry.file_name().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

fn refusal(root: &Path) -> String {
    chain(&Disk::open(root.to_owned(), "/media", b"a secret", HOUR, Utc::now).err().expect("it is refused"))
}

#[tokio::test]
async fn every_byte_of_a_link_counts() {
    let root = TempDir::new().unwrap();
    let disk = open(root.path(), HOUR, Utc::now);
    let path = new_path();
    put(&disk, &path, b"mine").await;
    let save = Disposition::Attachment(FileName::new("été.jpg"));
    let url = disk.link(&path, MediaType::Jpeg, &save).await.unwrap();
    let rest = url.strip_prefix("/media/").unwrap();
    let resolve = |rest: &str| rest.split_once('?').and_then(|(path, query)| disk.media(path, query));
    let media = resolve(rest).unwrap();
    assert_eq!((fs::read(media.file).unwrap(), media.disposition), (b"mine".to_vec(), save));
    for at in 0..rest.len() {
        for byte in (b' '..=b'~').filter(|b| *b != rest.as_bytes()[at]) {
            let mut changed = rest.as_bytes().to_vec();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(resolve(&changed), None, "{changed}");
        }
        let missing = format!("{}{}", &rest[..at], &rest[at + 1..]);
        assert_eq!(resolve(&missing), None, "{missing}");
    }
    for nonsense in ["", "?", "?signature=", "?&signature=", "../etc/passwd?&signature=00", "a?&signature=é"] {
        assert_eq!(resolve(nonsense), None, "{nonsense}");
    }
}

#[tokio::test]
async fn a_link_of_another_secret_is_refused() {
    let root = TempDir::new().unwrap();
    let other = Disk::open(root.path().to_owned(), "/media", b"another secret", HOUR, Utc::now).unwrap();
    let url = other.link(&new_path(), MediaType::Jpeg, &Disposition::Inline).await.unwrap();
    let (path, query) = url["/media/".len()..].split_once('?').unwrap();
    assert_eq!(open(root.path(), HOUR, Utc::now).media(path, query), None);
    assert!(other.media(path, query).is_some());
}

#[tokio::test]
async fn a_link_works_until_the_moment_it_names() {
    fn last_moment() -> DateTime<Utc> {
        "2026-03-01T12:59:59.999Z".parse().unwrap()
    }
    fn too_late() -> DateTime<Utc> {
        "2026-03-01T13:00:00Z".parse().unwrap()
    }
    let root = TempDir::new().unwrap();
    let disk = open(root.path(), HOUR, still::end_of_window);
    let url = disk.link(&new_path(), MediaType::Jpeg, &Disposition::Inline).await.unwrap();
    let (path, query) = url["/media/".len()..].split_once('?').unwrap();
    let media = open(root.path(), HOUR, last_moment).media(path, query).unwrap();
    assert_eq!(media.expires, too_late());
    assert_eq!(open(root.path(), HOUR, too_late).media(path, query), None);
}

#[tokio::test]
async fn what_a_crash_left_is_removed_but_not_what_another_process_writes() {
    let root = TempDir::new().unwrap();
    let path = new_path();
    let running = open(root.path(), HOUR, Utc::now);
    put(&running, &path, b"kept").await;
    let left_over = root.path().join("tmp/.tmpAbCdEf");
    fs::write(&left_over, b"half a phot").unwrap();

    drop(open(root.path(), HOUR, Utc::now));
    assert!(left_over.exists(), "somebody else is at work here and may be writing it");

    drop(running);
    let mut disk = open(root.path(), HOUR, Utc::now);
    for _ in 0..100 {
        if !left_over.exists() {
            break;
        }
        // A program that another test is just starting holds a copy of this process's lock for a moment.
        drop(disk);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        disk = open(root.path(), HOUR, Utc::now);
    }
    assert!(!left_over.exists());
    assert_eq!(read(&disk, &path).await.unwrap(), b"kept");
    assert_eq!(files(root.path()).len(), 1);
}

#[tokio::test]
async fn photos_of_one_hour_are_spread_over_folders() {
    let root = TempDir::new().unwrap();
    let disk = open(root.path(), HOUR, Utc::now);
    for _ in 0..100 {
        put(&disk, &new_path(), b"x").await;
    }
    let folders = fs::read_dir(root.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count() - 1;
    assert!(folders > 50, "100 objects lie in {folders} folders");
}

#[tokio::test]
async fn the_longest_key_is_kept_though_no_file_can_be_called_so() {
    let root = TempDir::new().unwrap();
    let disk = open(root.path(), HOUR, Utc::now);
    let (duck, goose) = ("🦆".repeat(80).parse().unwrap(), "🪿".repeat(80).parse().unwrap());
    put(&disk, &duck, b"duck").await;
    put(&disk, &goose, b"goose").await;
    assert_eq!(read(&disk, &duck).await.unwrap(), b"duck");
    assert_eq!(read(&disk, &goose).await.unwrap(), b"goose");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"").unwrap();
    for root in [&file, &file.join("below"), Path::new("/proc/photos")] {
        let refusal = refusal(root);
        let sentence = format!("the folder {} cannot be used for photos: make it, give it", root.display());
        assert!(refusal.starts_with(&sentence), "{refusal}");
    }
}

#[tokio::test]
async fn a_folder_that_vanished_fails_the_check_by_name() {
    let parent = TempDir::new().unwrap();
    let root = parent.path().join("photos");
    let disk = open(&root, HOUR, Utc::now);
    fs::remove_dir_all(&root).unwrap();
    let refusal = chain(&disk.check().await.unwrap_err());
    assert!(refusal.starts_with(&format!("the folder {} cannot be used", root.display())), "{refusal}");
}

mod with_servers {
    use super::*;

    /// `script/servers` mounts a file system of 2 MB and names its folder in `TEST_FULL_DISK`.
    #[tokio::test]
    async fn a_full_disk_is_told_as_such_and_leaves_what_was_there() {
        let small = crate::aws::server("TEST_FULL_DISK");
        let root = TempDir::new_in(small).unwrap();
        let disk = open(root.path(), HOUR, Utc::now);
        let path = new_path();
        put(&disk, &path, b"old").await;
        let big = noise(6_000_000, 3);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &big).unwrap();
        for content in [Content::Bytes(&big), Content::File(file.path())] {
            let error = disk.put(&path, MediaType::Jpeg, content).await.unwrap_err();
            let full = error.chain().filter_map(|e| e.downcast_ref::<io::Error>());
            assert!(full.into_iter().any(|e| e.kind() == io::ErrorKind::StorageFull), "{error:?}");
            assert_eq!(read(&disk, &path).await.unwrap(), b"old");
            assert_eq!(files(&root.path().join("tmp")), Vec::<String>::new());
        }
        put(&disk, &path, b"new").await;
        assert_eq!(read(&disk, &path).await.unwrap(), b"new");
    }
}
