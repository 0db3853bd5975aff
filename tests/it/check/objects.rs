//! What the store has lost, and what it has too much.

use super::*;

/// Photos whose objects are lost in every way, and what a check says and does.
async fn lost_objects_are_said_and_renditions_are_made_anew(gallery: Gallery) {
    let ids = gallery.with_photos(7).await;
    let [whole, no_file, short, flipped, no_display, garbled, small] = ids.as_slice() else { panic!("{ids:?}") };
    gallery.check(&["--deep"]).clean();

    let display = |id: &str| rendition(id, Rendition::Display);
    let thumb = |id: &str| rendition(id, Rendition::Thumb);
    let file = gallery.object(&original(no_file)).await.unwrap();
    gallery.remove(&original(no_file)).await;
    let long = gallery.change(&original(short), |bytes| bytes.truncate(bytes.len() - 1)).await;
    let straight = gallery.change(&original(flipped), |bytes| bytes[1000] ^= 1).await;
    let shown = gallery.object(&display(no_display)).await.unwrap();
    gallery.remove(&display(no_display)).await;
    let listed = gallery.change(&thumb(garbled), |bytes| bytes.truncate(bytes.len() / 2)).await;
    gallery.change(&thumb(small), |bytes| *bytes = pictures::jpeg(100, 75, 1)).await;

    let shallow = gallery.check(&[]);
    assert_eq!(
        shallow.kinds(),
        found([("original_missing", 1), ("original_damaged", 1), ("rendition_missing", 1)]),
        "{}",
        shallow.told
    );
    assert_eq!((shallow.code, &shallow.told["remaining"]), (Some(1), &3.into()));
    let deep = gallery.check(&["--deep"]);
    assert_eq!(
        deep.kinds(),
        found([("original_missing", 1), ("original_damaged", 2), ("rendition_missing", 1), ("rendition_damaged", 2)]),
        "{}",
        deep.told
    );
    for (kind, photo, says) in [
        ("original_missing", no_file, "is missing in the store. Put the file back from a backup"),
        ("original_damaged", short, &*format!("it has {} bytes, not {}.", long.len() - 1, long.len())),
        ("original_damaged", flipped, "is not what was uploaded: its SHA-256 is another."),
        ("rendition_missing", no_display, "The display of photo"),
        ("rendition_damaged", garbled, "The picture is cut short"),
        ("rendition_damaged", small, "it is a picture of 100 x 75 pixels, which is not its size"),
    ] {
        assert!(deep.detail(kind, photo).contains(says), "{}", deep.detail(kind, photo));
    }
    assert!(deep.detail("rendition_missing", no_display).contains("`--repair` makes it anew"));

    let repaired = gallery.check(&["--deep", "--repair"]);
    assert_eq!((repaired.code, &repaired.told["remaining"]), (Some(1), &3.into()), "{}", repaired.told);
    let made = repaired.kinds();
    assert_eq!((made["rendition_missing"], made["rendition_damaged"]), ((1, 1), (2, 2)), "{}", repaired.told);
    assert_eq!(gallery.object(&display(no_display)).await.unwrap(), shown, "it is made as it was");
    assert_eq!(gallery.object(&thumb(garbled)).await.unwrap(), listed);
    let again = gallery.check(&["--deep"]);
    assert_eq!(again.kinds(), found([("original_missing", 1), ("original_damaged", 2)]), "{}", again.told);
    assert_eq!(again.told["failed"].as_array().unwrap().len(), 3, "{}", again.told);

    let process = gallery.served().await;
    for (id, problem) in [
        (no_file, "The photo's file is missing in the store."),
        (flipped, "The photo's file in the store is damaged: it is not what was uploaded."),
    ] {
        let (status, photo) = process.json(&format!("/photos/{id}")).await;
        assert_eq!((status, &photo["state"], &photo["problem"]), (StatusCode::OK, &"failed".into(), &problem.into()));
        let page = process.client.get(format!("{}/photos/{id}", process.url)).header("accept", "text/html");
        assert_eq!(page.send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(process.settled(whole).await["state"], "labelled");
    assert!(process.terminate().await);

    gallery.put(&original(no_file), file).await;
    gallery.put(&original(short), long).await;
    gallery.put(&original(flipped), straight).await;
    let back = gallery.check(&["--deep"]);
    assert_eq!(back.kinds(), found([("whole_again", 3)]), "{}", back.told);
    let repaired = gallery.check(&["--deep", "--repair"]);
    assert_eq!((repaired.code, repaired.kinds()["whole_again"]), (Some(0), (3, 3)), "{}", repaired.told);
    let told = gallery.check(&["--deep"]).clean();
    assert_eq!(told["checked"]["failed"], 0);
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_objects_are_said_and_renditions_are_made_anew_on_sqlite_and_disk() {
    lost_objects_are_said_and_renditions_are_made_anew(Gallery::on_disk()).await;
}

/// A photo that has lost everything has one finding for each object, and nothing is made of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_has_lost_everything_is_marked_and_stays() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    for path in [original(&ids[0]), rendition(&ids[0], Rendition::Display), rendition(&ids[0], Rendition::Thumb)] {
        gallery.remove(&path).await;
    }
    for arguments in [&[][..], &["--repair"], &["--deep", "--repair"]] {
        let checked = gallery.check(arguments);
        assert_eq!(checked.kinds(), found([("original_missing", 1), ("rendition_missing", 2)]), "{}", checked.told);
        assert!(checked.told.to_string().contains("It can be made anew once the original is back."));
    }
    let process = gallery.served().await;
    assert_eq!(process.all().await.len(), 1);
    assert!(process.terminate().await);
}

/// A photo that failed because its rendition was gone is labelled once that is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_could_not_be_labelled_without_its_rendition_is_due_again() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    gallery.remove(&rendition(&ids[0], Rendition::Display)).await;
    gallery
        .sql(&["UPDATE photo SET labelled_at = NULL, problem = 'The photo''s rendition is missing in the store.'"])
        .await;
    let repaired = gallery.check(&["--repair"]);
    assert_eq!((repaired.code, repaired.kinds()["rendition_missing"]), (Some(0), (1, 1)), "{}", repaired.told);
    let process = gallery.served().await;
    assert_eq!(process.settled(&ids[0]).await["state"], "labelled");
    assert!(process.terminate().await);
    gallery.check(&["--deep"]).clean();
}

/// What no row names waits for a day; then it may go.
async fn objects_without_a_row_are_in_quarantine(gallery: &Gallery) -> ObjectPath {
    gallery.with_photos(2).await;
    let stray = ObjectPath::original(PhotoId::new(Utc::now()), MediaType::Jpeg);
    gallery.put(&stray, b"whose?".to_vec()).await;
    for arguments in [&[][..], &["--deep", "--repair"]] {
        let told = gallery.check(arguments).clean();
        assert_eq!((&told["checked"]["quarantined"], &told["checked"]["objects"]), (&1.into(), &7.into()), "{told}");
    }
    assert!(gallery.object(&stray).await.is_some());
    stray
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_a_row_is_said_and_deleted_after_a_day() {
    let gallery = Gallery::on_disk();
    let stray = objects_without_a_row_are_in_quarantine(&gallery).await;
    two_days_old(&gallery.file(&stray));
    let id = PhotoId::new(Utc::now());
    let half = ObjectPath::rendition(id, Rendition::Thumb).unwrap();
    gallery.put(&half, b"half an upload".to_vec()).await;
    two_days_old(&gallery.file(&half));
    let foreign = gallery.folder.path().join("data/photos/00/.notes");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "not ours").unwrap();
    let checked = gallery.check(&[]);
    assert_eq!(checked.kinds(), found([("orphan_object", 2)]), "{}", checked.told);
    assert_eq!(checked.told["checked"]["unnamed"], 1);
    let detail = checked.told["findings"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("The object {stray} (6 bytes, of 20")), "{detail}");
    let repaired = gallery.check(&["--repair"]);
    assert_eq!((repaired.code, repaired.kinds()["orphan_object"]), (Some(0), (2, 2)), "{}", repaired.told);
    assert!(gallery.object(&stray).await.is_none() && gallery.object(&half).await.is_none() && foreign.exists());
    gallery.check(&["--deep"]).clean();
}

/// FAULTS R44: nothing is deleted when the catalog is another's, or empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_belongs_to_another_store_deletes_no_original() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(3).await;
    gallery.sql(&["DELETE FROM photo", "DELETE FROM photo_term", "DELETE FROM album_total"]).await;
    for id in &ids {
        two_days_old(&gallery.file(&original(id)));
        two_days_old(&gallery.file(&rendition(id, Rendition::Thumb)));
    }
    let checked = gallery.check(&["--repair"]);
    assert_eq!((checked.code, checked.kinds()["orphan_object"]), (Some(1), (6, 0)), "{}", checked.told);
    assert!(checked.told.to_string().contains("One such object is newer than the newest photo"), "{}", checked.told);
    for id in &ids {
        assert!(gallery.object(&original(id)).await.is_some());
        assert!(gallery.object(&rendition(id, Rendition::Thumb)).await.is_some());
    }
}

/// FAULTS R44: a backup of the database does not know the photos that came after it, and their objects are all that is left of them.
#[tokio::test(flavor = "multi_thread")]
async fn photos_that_a_restored_database_has_lost_are_listed_and_kept_until_somebody_says_otherwise() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    memory::filled(&gallery, 1000).await;
    let lost: Vec<ObjectPath> =
        (0..900).map(|_| ObjectPath::original(PhotoId::new(Utc::now()), MediaType::Jpeg)).collect();
    for path in &lost {
        gallery.put(path, b"all that is left".to_vec()).await;
        // Before all photos that the database knows.
        modified(&gallery.file(path), SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 30));
    }
    let kept = |those: &[ObjectPath]| those.iter().filter(|path| gallery.file(path).exists()).count();
    for (arguments, says) in [(&[][..], "There are too many such objects"), (&["--repair"], "`--repair` deletes none")]
    {
        let checked = gallery.check(arguments);
        assert_eq!((checked.code, checked.kinds()), (Some(1), found([("orphan_object", 900)])));
        assert!(checked.told["findings"][0]["detail"].as_str().unwrap().contains(says));
        assert_eq!(kept(&lost), 900);
    }

    for path in &lost[1..] {
        gallery.remove(path).await;
    }
    two_days_old(&gallery.file(&lost[0]));
    let checked = gallery.check(&["--repair"]);
    assert_eq!((checked.code, checked.kinds()), (Some(1), found([("orphan_object", 1)])), "{}", checked.told);
    assert!(checked.told.to_string().contains("newer than the newest photo"), "{}", checked.told);
    assert_eq!(gallery.output(&["--delete-orphans"]).status.code(), Some(2), "only with --repair");
    assert_eq!(kept(&lost), 1);
    let deleted = gallery.check(&["--repair", "--delete-orphans"]);
    assert_eq!((deleted.code, deleted.kinds()["orphan_object"]), (Some(0), (1, 1)), "{}", deleted.told);
    assert_eq!(kept(&lost), 0);
}

/// As with the settings of another gallery: what would be done about each photo is done about none.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_none_of_the_photos_is_the_wrong_one() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    memory::filled(&gallery, 20).await;
    gallery
        .sql(&["INSERT INTO discarded_object (object_key, since) VALUES ('photos/gone.jpg', '2020-01-01 00:00:00')"])
        .await;
    let (photos, away) = (gallery.folder.path().join("data/photos"), gallery.folder.path().join("away"));
    fs::rename(&photos, &away).unwrap();
    fs::create_dir(&photos).unwrap();
    let stray = ObjectPath::original(PhotoId::new(Utc::now()), MediaType::Jpeg);
    gallery.put(&stray, b"another's".to_vec()).await;
    modified(&gallery.file(&stray), SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 30));
    let checked = gallery.check(&["--repair", "--delete-orphans"]);
    let expected = found([("original_missing", 20), ("rendition_missing", 40), ("orphan_object", 1), ("discarded", 1)]);
    assert_eq!((checked.code, checked.kinds()), (Some(1), expected), "{}", checked.told);
    assert!(
        checked.told.to_string().contains("Too many originals are missing: the store looks like another gallery's")
    );
    fs::remove_dir_all(&photos).unwrap();
    fs::rename(&away, &photos).unwrap();
    let back = gallery.check(&[]);
    assert_eq!(
        (back.kinds(), &back.told["checked"]["failed"]),
        (found([("discarded", 1)]), &0.into()),
        "{}",
        back.told
    );
}

/// What is said of a photo already is not forgotten over its lost file.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_has_a_problem_keeps_it_while_its_file_is_lost() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    gallery.sql(&["UPDATE photo SET labelled_at = NULL, problem = 'The labeler refuses it.'"]).await;
    let file = gallery.object(&original(&ids[0])).await.unwrap();
    gallery.remove(&original(&ids[0])).await;
    for _ in 0..2 {
        let checked = gallery.check(&["--repair"]);
        assert_eq!(checked.kinds(), found([("original_missing", 1)]), "{}", checked.told);
    }
    gallery.put(&original(&ids[0]), file).await;
    let told = gallery.check(&["--deep", "--repair"]).clean();
    assert_eq!(told["failed"][0]["problem"], "The labeler refuses it.", "{told}");
}

/// Damage that was found once is told by every check, read or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_is_marked_as_damaged_is_a_finding_of_a_plain_check() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    gallery.change(&original(&ids[0]), |bytes| bytes[1000] ^= 1).await;
    gallery.check(&[]).clean();
    gallery.check(&["--deep", "--repair"]);
    for arguments in [&[][..], &["--repair"]] {
        let checked = gallery.check(arguments);
        assert_eq!((checked.code, checked.kinds()), (Some(1), found([("original_damaged", 1)])), "{}", checked.told);
        assert!(checked.detail("original_damaged", &ids[0]).contains("was found damaged."), "{}", checked.told);
    }
}

/// Limits that were lowered since make no file another.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_original_that_is_too_large_by_now_is_not_damaged() {
    let mut gallery = Gallery::on_disk();
    let ids = gallery.with_photos(1).await;
    gallery.remove(&rendition(&ids[0], Rendition::Thumb)).await;
    gallery.set("GALLERY__UPLOAD__MAX_SIDE", "600");
    let checked = gallery.check(&["--deep", "--repair"]);
    assert_eq!((checked.code, checked.kinds()), (Some(1), found([("rendition_missing", 1)])), "{}", checked.told);
    assert!(checked.detail("rendition_missing", &ids[0]).contains("It could not be made anew: "), "{}", checked.told);
    assert_eq!(checked.told["checked"]["failed"], 0, "{}", checked.told);
}

mod with_servers {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn lost_objects_are_said_and_renditions_are_made_anew_on_mariadb_and_a_bucket() {
        lost_objects_are_said_and_renditions_are_made_anew(Gallery::on_servers().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn objects_without_a_row_are_in_quarantine_in_a_bucket_too() {
        let gallery = Gallery::on_servers().await;
        objects_without_a_row_are_in_quarantine(&gallery).await;
        gallery.gone().await;
    }
}
