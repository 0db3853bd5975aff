//! What is wrong in the database, caused behind the gallery's back.

use super::*;

/// Everything that a row can be wrong in, at once: each has its finding, and after a repair nothing is left but what only a person can mend.
async fn what_is_wrong_in_the_database_is_said_and_set_right(gallery: Gallery) {
    let ids = gallery.with_photos(8).await;
    let process = gallery.served().await;
    process.sign_up(BEA).await;
    process.visit(&process.signed_in(BEA).await).uploaded("hers.jpg", pictures::jpeg(64, 48, 99)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(process.terminate().await);
    gallery.check(&["--deep"]).clean();
    let [text, place, words, finished, forgotten, far, unreadable, waits] = ids.as_slice() else { panic!("{ids:?}") };
    let now = Utc::now().format("%Y-%m-%d %H:%M:%S").to_string();
    let old = "2020-01-01 00:00:00";
    let of = |id: &str| format!("WHERE id = '{id}'");
    let filed = |id: &str| format!("WHERE timeline_key = (SELECT timeline_key FROM photo WHERE id = '{id}')");
    let statements = [
        format!("UPDATE photo SET labels = 'Ghost' {}", of(text)),
        format!("UPDATE photo SET timeline_key = '00000000000000000000000000000001' {}", of(place)),
        format!("UPDATE photo_term SET term = 'ghost' {} AND term = 'grandmother'", filed(words)),
        format!("UPDATE photo SET claimed_until = '{old}' {}", of(finished)),
        format!("UPDATE photo SET labelled_at = NULL {}", of(forgotten)),
        format!("UPDATE photo SET labelled_at = NULL, claimed_until = '2099-01-01 00:00:00' {}", of(far)),
        format!("INSERT INTO photo_label (photo, name, confidence) VALUES ('{far}', 'Dog', 99.5)"),
        format!("UPDATE photo SET details = '{{' {}", of(unreadable)),
        format!("UPDATE photo SET labelled_at = NULL, claimed_until = '{old}' {}", of(waits)),
        "UPDATE album_total SET photos = photos + 3, bytes = bytes - 1 WHERE photos = 8".to_owned(),
        "INSERT INTO label_total (owner, name, photos) SELECT owner, 'Ghost', 5 FROM album_total WHERE photos = 11".to_owned(),
        "INSERT INTO photo_term (owner, term, timeline_key) VALUES ('ghost', 'boo', '0000000000000000000000000000000f')".to_owned(),
        format!("sqlite: PRAGMA foreign_keys = OFF; INSERT INTO photo_label (photo, name) VALUES ('{}', 'Boo')", PhotoId::new(Utc::now())),
        format!("mysql: SET foreign_key_checks = 0; INSERT INTO photo_label (photo, name) VALUES ('{}', 'Boo')", PhotoId::new(Utc::now())),
        format!("INSERT INTO discarded_object (object_key, since) VALUES ('photos/gone.jpg', '{old}')"),
        format!("INSERT INTO departing (owner, since) VALUES ('leaver', '{old}')"),
        format!("UPDATE session SET created_at = '{old}'"),
        format!(
            "INSERT INTO session (id, owner, sealed, agent, address, created_at, seen_at, renewed_at) \
             VALUES ('{:064}', 'ghost', '', 'ghost', '127.0.0.1', '{now}', '{now}', '{now}')",
            1
        ),
        format!("sqlite: PRAGMA foreign_keys = OFF; INSERT INTO account_code (owner, purpose, code, tries, expires_at) VALUES ('ghost', 'reset', 'x', 0, '{now}')"),
        format!("mysql: SET foreign_key_checks = 0; INSERT INTO account_code (owner, purpose, code, tries, expires_at) VALUES ('ghost', 'reset', 'x', 0, '{now}')"),
        format!("DELETE FROM account WHERE email = '{BEA}'"),
    ];
    gallery.sql(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let checked = gallery.check(&[]);
    let expected = found([
        ("label_text", 2),
        ("timeline", 1),
        // Where it stands now nothing is filed, and where it stood before there is no photo; the one that lost a word; the one with a label.
        ("words", 3),
        ("stray_words", 2),
        // Two that wait are told together.
        ("stuck", 3),
        ("row_unreadable", 1),
        ("album_total", 1),
        ("label_total", 2),
        ("stray_labels", 1),
        ("discarded", 1),
        ("departing", 1),
        ("stale_sessions", 1),
        ("stray_sessions", 2),
        ("stray_codes", 1),
        ("owner_missing", 1),
    ]);
    assert_eq!(checked.kinds(), expected, "{}", checked.told);
    assert_eq!(checked.code, Some(1));
    for (kind, photo, says) in [
        ("label_text", text, "tells other labels than it has. `--repair` writes it anew."),
        ("timeline", place, "does not stand in the timeline where its moment is."),
        ("words", words, "is filed under wrong words: of its own 1 are missing, and 1 are not its own."),
        ("stuck", forgotten, "is not finished, and no worker will ever take it up."),
        ("stuck", far, "is not to be taken up before 2099-01-01 00:00 UTC: a clock was wrong."),
        ("row_unreadable", unreadable, "cannot be read: "),
    ] {
        assert!(checked.detail(kind, photo).contains(says), "{}", checked.detail(kind, photo));
    }
    let waiting = "2 photos wait for a worker, the longest since 2020-01-01 00:00 UTC.";
    assert!(checked.told.to_string().contains(waiting), "{}", checked.told);

    let repaired = gallery.check(&["--repair"]);
    let left: Vec<&str> = repaired.told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["repaired"] == false)
        .map(|finding| finding["kind"].as_str().unwrap())
        .collect();
    assert_eq!((repaired.code, left), (Some(1), vec!["row_unreadable", "stuck", "owner_missing"]), "{}", repaired.told);
    let again = gallery.check(&["--deep"]);
    assert_eq!(again.kinds(), found([("row_unreadable", 1), ("stuck", 1), ("owner_missing", 1)]), "{}", again.told);

    gallery.sql(&[&format!("UPDATE photo SET details = '{{}}' WHERE id = '{unreadable}'")]).await;
    let process = gallery.served().await;
    for id in &ids {
        assert_eq!(process.settled(id).await["state"], "labelled");
    }
    let (_, found_by_word) = process.json("/photos?q=grandmother").await;
    assert_eq!(found_by_word["photos"].as_array().unwrap().len(), 8, "{found_by_word}");
    assert!(process.terminate().await);
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_the_database_is_said_and_set_right_on_sqlite() {
    what_is_wrong_in_the_database_is_said_and_set_right(Gallery::on_disk()).await;
}

/// Each try puts a photo off anew: that it is never done shows in how often it was tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_is_tried_in_vain_for_long_is_told() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    let soon = (Utc::now() + chrono::TimeDelta::minutes(5)).format("%Y-%m-%d %H:%M:%S").to_string();
    let tried = |times: u32| {
        format!(
            "UPDATE photo SET labelled_at = NULL, claimed_until = '{soon}', attempts = {times}, created_datetime = '2020-01-01 00:00:00'"
        )
    };
    gallery.sql(&[&tried(2)]).await;
    assert!(!gallery.check(&[]).told.to_string().contains("waits for a worker"));
    gallery.sql(&[&tried(20)]).await;
    let checked = gallery.check(&[]);
    assert!(checked.told.to_string().contains("1 photo waits for a worker since 2020-01-01"), "{}", checked.told);
    assert_eq!(checked.code, Some(1));
}

/// A value that no column of MySQL would take keeps no other row from being looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_a_value_of_another_type_is_one_finding() {
    let gallery = Gallery::on_disk();
    let ids = gallery.with_photos(3).await;
    gallery.sql(&[&format!("UPDATE photo SET created_datetime = 'no moment' WHERE id = '{}'", ids[1])]).await;
    gallery.remove(&original(&ids[2])).await;
    let checked = gallery.check(&[]);
    assert_eq!(checked.kinds(), found([("row_unreadable", 1), ("original_missing", 1)]), "{}", checked.told);
    assert!(checked.detail("row_unreadable", &ids[1]).contains("created_datetime"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_courses_app_that_wait_or_cannot_be_photos_are_told_and_no_findings() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    let waits: ObjectPath = "photos/0123456789abcdef.png".parse().unwrap();
    gallery.put(&waits, b"bytes".to_vec()).await;
    two_days_old(&gallery.file(&waits));
    gallery
        .sql(&[
            "INSERT INTO photo (object_key, labels) VALUES ('photos/0123456789abcdef.png', 'Toy')",
            "INSERT INTO photo (object_key, id, problem) VALUES ('../odd', '0192e4a0-0000-7000-8000-000000000000', 'malformed')",
        ])
        .await;
    let told = gallery.check(&["--repair"]).clean();
    assert_eq!((&told["checked"]["to_adopt"], &told["checked"]["set_aside"]), (&1.into(), &1.into()), "{told}");
    assert!(gallery.object(&waits).await.is_some(), "the object of a row that waits is no orphan");
}

/// As with settings that name no pool of accounts, where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_account_nobody_is_signed_out() {
    let gallery = Gallery::on_disk();
    gallery.with_photos(1).await;
    gallery.sql(&["PRAGMA foreign_keys = OFF; DELETE FROM account"]).await;
    let checked = gallery.check(&["--repair"]);
    assert_eq!(checked.kinds(), found([("owner_missing", 1), ("stray_sessions", 1)]), "{}", checked.told);
    assert!(checked.told.to_string().contains("`--repair` ends no session."), "{}", checked.told);
    assert_eq!(gallery.check(&[]).kinds()["stray_sessions"], (1, 0));
}

mod with_servers {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_in_the_database_is_said_and_set_right_on_mariadb() {
        what_is_wrong_in_the_database_is_said_and_set_right(Gallery::on_servers().await).await;
    }
}
