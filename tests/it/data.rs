//! Taking one's data along: the archive as other programs read it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{pictures, site::Site};

/// Unpacks an archive with Python's own module, which checks every checksum; the names of its entries with their dates.
fn unpacked(archive: &[u8], into: &Path) -> Vec<(String, String)> {
    const SCRIPT: &str = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        assert z.testzip() is None\n\
        z.extractall(sys.argv[2])\n\
        [print(i.filename, '%04d-%02d-%02d' % i.date_time[:3], sep='\\t') for i in z.infolist()]";
    let file = into.join("data.zip");
    fs::write(&file, archive).unwrap();
    let told = Command::new("python3").args(["-c", SCRIPT]).arg(&file).arg(into).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let lines = String::from_utf8(told.stdout).unwrap();
    lines.lines().map(|line| line.split_once('\t').unwrap()).map(|(n, d)| (n.to_owned(), d.to_owned())).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The file that holds a photo's original.
fn original(site: &Site, id: &str) -> PathBuf {
    let is_original = |file: &PathBuf| file.to_string_lossy().ends_with(&format!("{id}.jpg"));
    let mut found = site.stored().into_iter().filter(is_original);
    found.next().unwrap_or_else(|| panic!("{id} has no original in {:?}", site.stored()))
}

#[tokio::test]
async fn the_archive_holds_every_original_and_what_is_known_of_it() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    bob.uploaded("bob.jpg", pictures::jpeg(40, 30, 1_000)).await;
    let mut sent = Vec::new();
    for seed in 0..65 {
        let name = ["IMG.jpg", "img.jpg", "a:b?.jpg", "Frühstück.jpg", "con.jpg"][seed as usize % 5];
        let bytes = pictures::jpeg(40, 30, 2_000 + seed);
        sent.push(sha256(&bytes));
        site.uploaded(name, bytes).await;
    }
    let answer = site.page("/account/data").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/zip");
    let disposition = answer.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
    assert!(disposition.starts_with("attachment; filename=\"photo-gallery-20"), "{disposition}");
    assert!(disposition.ends_with(".zip\""), "{disposition}");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");

    let folder = tempfile::tempdir().unwrap();
    let entries = unpacked(&answer.bytes().await.unwrap(), folder.path());
    assert_eq!(entries.len(), 67);
    let names: std::collections::HashSet<String> = entries.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert_eq!(names.len(), 67, "no name comes twice, however a system writes it");
    let mut held = Vec::new();
    let listed = json(&folder.path().join("photos.json"));
    for photo in listed.as_array().unwrap() {
        let name = photo["file"].as_str().unwrap();
        let date = &photo["created_at"].as_str().unwrap()[..10];
        assert!(name.starts_with(&format!("photos/{date}/")), "{name}");
        assert!(entries.contains(&(name.to_owned(), date.to_owned())), "{name} has its date");
        let bytes = fs::read(folder.path().join(name)).unwrap();
        assert_eq!(photo["sha256"], sha256(&bytes).as_str());
        assert_eq!((photo["width"].as_u64(), photo["links"].is_null()), (Some(40), true), "{photo}");
        held.push(sha256(&bytes));
    }
    held.sort();
    sent.sort();
    assert_eq!(held, sent, "all of one's own photos, and no others");
    let account = json(&folder.path().join("account.json"));
    assert_eq!(account["person"]["email"], crate::site::ANN);
    assert_eq!(account["usage"]["photos"], 65);
    assert!(!folder.path().join("missing.txt").exists());
}

#[tokio::test]
async fn an_empty_gallery_has_an_archive_too_and_one_that_is_asked_for_alone_is_not_made() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = site.page("/account/data").await.bytes().await.unwrap();
    let names: Vec<String> = unpacked(&archive, folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["photos.json", "account.json"]);
    assert_eq!(json(&folder.path().join("photos.json")), Value::Array(vec![]));
    let head = site.ask(Method::HEAD, "/account/data").send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()[header::CONTENT_TYPE]),
        (StatusCode::OK, &"application/zip".parse().unwrap())
    );
    assert_eq!(site.nobody().page("/account/data").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_photo_whose_bytes_are_missing_is_named_and_breaks_nothing() {
    let site = Site::new().await;
    let lost = site.uploaded("lost.jpg", pictures::jpeg(40, 30, 3_000)).await;
    site.uploaded("kept.jpg", pictures::jpeg(40, 30, 3_001)).await;
    let id = lost["id"].as_str().unwrap();
    let original = original(&site, id);
    fs::remove_file(original).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = site.page("/account/data").await.bytes().await.unwrap();
    let entries = unpacked(&archive, folder.path());
    assert_eq!(entries.len(), 4, "{entries:?}");
    let missing = fs::read_to_string(folder.path().join("missing.txt")).unwrap();
    assert!(missing.contains(&format!("lost.jpg ({id})")) && !missing.contains("kept.jpg"), "{missing}");
    let listed = json(&folder.path().join("photos.json"));
    assert_eq!(listed.as_array().unwrap().iter().filter(|photo| photo["file"].is_null()).count(), 1);
}

#[tokio::test]
async fn one_archive_of_each_person_is_made_at_a_time() {
    let (site, photos) = (Site::new().await, 3);
    for seed in 0..photos {
        let photo = site.uploaded("large.jpg", pictures::jpeg(40, 30, 5_000 + seed)).await;
        let file = fs::File::options().write(true).open(original(&site, photo["id"].as_str().unwrap())).unwrap();
        file.set_len(200_000_000).unwrap();
    }
    let bob = site.another("bob@example.org").await;
    let reading = site.page("/account/data").await;
    let refused = site.again().await.page("/account/data").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().await.unwrap().contains("being made already"));
    let others = bob.page("/account/data").await;
    assert_eq!(others.status(), StatusCode::OK, "another's is another matter");
    others.bytes().await.unwrap();
    drop(reading);
    for _ in 0..500 {
        if site.page("/account/data").await.status() == StatusCode::OK {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("an archive that nobody reads any more keeps its place");
}

#[tokio::test]
async fn an_archive_ends_with_its_session() {
    let site = Site::new().await;
    for seed in 0..61 {
        let photo = site.uploaded("photo.jpg", pictures::jpeg(40, 30, 6_000 + seed)).await;
        let file = fs::File::options().write(true).open(original(&site, photo["id"].as_str().unwrap())).unwrap();
        file.set_len(2_000_000).unwrap();
    }
    let other = site.again().await;
    let mut pieces = site.page("/account/data").await.bytes_stream();
    pieces.next().await.unwrap().unwrap();
    let ended = other.ask(Method::POST, "/account/sign-out-everywhere").send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::SEE_OTHER);
    let mut last = Ok(());
    while let Some(piece) = pieces.next().await {
        last = piece.map(|_| ());
    }
    assert!(last.is_err(), "the archive was made whole for somebody who has signed out everywhere");
}

#[tokio::test]
async fn the_archive_is_made_while_it_is_read_and_ends_in_an_error_when_it_cannot_be_made_whole() {
    const BYTES: u64 = 600_000_000;
    let site = Site::new().await;
    let photo = site.uploaded("large.jpg", pictures::jpeg(40, 30, 4_000)).await;
    let id = photo["id"].as_str().unwrap();
    let original = original(&site, id);
    let file = fs::File::create(&original).unwrap();
    file.set_len(BYTES).unwrap();
    let mut pieces = site.page("/account/data").await.bytes_stream();
    let first = pieces.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"PK\x03\x04"));
    file.set_len(BYTES / 2).unwrap();
    let (mut whole, mut broken) = (first.len() as u64, false);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => whole += piece.len() as u64,
            Err(_) => broken = true,
        }
    }
    assert!(
        broken && whole <= BYTES / 2 + 1000,
        "what was cut after the first piece was {whole} bytes long, and {broken}"
    );
}
