//! Who goes leaves nothing behind, whatever happens in between.

use std::{sync::atomic::Ordering, time::Duration};

use photo_gallery::{
    accounts::{Denial, Session},
    album::Upload,
    identity::{NewAccount, Refusal},
    photo::{Label, Owner},
};

use super::{Gallery, PASSWORD, cookie, from, keys, named, wait};
use crate::pictures;

/// All rows and objects that tell of `owner`.
async fn left(gallery: &Gallery, owner: &Owner) -> Vec<i64> {
    let owner = owner.as_str();
    let mut counts = Vec::new();
    for question in [
        format!("SELECT COUNT(*) FROM photo WHERE cognito_username = '{owner}'"),
        format!(
            "SELECT COUNT(*) FROM photo_label l WHERE photo IN (SELECT id FROM photo WHERE cognito_username = '{owner}')"
        ),
        format!("SELECT COUNT(*) FROM photo_term WHERE owner = '{owner}'"),
        format!("SELECT COUNT(*) FROM label_total WHERE owner = '{owner}'"),
        format!("SELECT COUNT(*) FROM album_total WHERE owner = '{owner}'"),
        format!("SELECT COUNT(*) FROM session WHERE owner = '{owner}'"),
        "SELECT COUNT(*) FROM discarded_object".to_owned(),
    ] {
        counts.push(gallery.bed.count(&question).await);
    }
    counts
}

fn objects(gallery: &Gallery) -> usize {
    let files = walkdir::WalkDir::new(gallery.folder.path().join("photos")).into_iter().flatten();
    files.filter(|file| file.file_type().is_file() && file.file_name() != "in-use").count()
}

async fn upload(gallery: &Gallery, seed: u32) -> Upload {
    let mut receiving = gallery.album.receive("a.jpg").unwrap();
    receiving.write(&pictures::jpeg(40, 30, seed)).await.unwrap();
    receiving.finish().await.unwrap()
}

/// Keeps photos for somebody, one of them with a label.
async fn keep(gallery: &Gallery, owner: &Owner, seeds: std::ops::Range<u32>) {
    for seed in seeds {
        let photo =
            gallery.album.keep(owner, upload(gallery, seed).await, "On the wall".parse().unwrap()).await.unwrap();
        let label = Label {
            name: "Dog".to_owned(),
            confidence: Some(90.0),
            parents: vec!["Animal".to_owned()],
            categories: Vec::new(),
            instances: Vec::new(),
        };
        gallery.bed.catalog.save_labels(photo.photo().id, &[label], super::now()).await.unwrap();
    }
}

async fn session(gallery: &Gallery, cookie: &str) -> Session {
    gallery.one.session(cookie).await.unwrap().unwrap()
}

/// Waits until nothing is left of somebody.
async fn nothing_left(gallery: &Gallery, owner: &Owner) {
    for _ in 0..200 {
        if left(gallery, owner).await.iter().all(|count| *count == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("after 10 s there is left: {:?}", left(gallery, owner).await);
}

const NOTHING: [i64; 7] = [0; 7];

pub(super) async fn a_deleted_account_leaves_nothing(gallery: &Gallery) {
    let client = from("192.0.2.1");
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let other = cookie(&gallery.signed_in("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    let (anns, bobs) = (session(gallery, &ann).await.person.owner, session(gallery, &bob).await.person.owner);
    keep(gallery, &anns, 0..3).await;
    keep(gallery, &bobs, 0..2).await;
    assert_eq!(objects(gallery), 15);
    gallery.one.delete(&client, &ann, Some(&PASSWORD.into())).await.unwrap();
    assert_eq!((gallery.known(&ann).await, gallery.known(&other).await, gallery.known(&bob).await), (0, 0, 2));
    nothing_left(gallery, &anns).await;
    assert_eq!(objects(gallery), 6);
    assert!(!gallery.town.houses("ann@example.org"));
    assert_eq!(gallery.album.totals(&bobs).await.unwrap().photos, 2);
    assert_eq!(left(gallery, &bobs).await[..2], [2, 2]);
    let again = gallery.one.sign_in(&client, &named("ann@example.org"), &PASSWORD.into(), None).await;
    assert!(matches!(again, Err(Denial::Refused(Refusal::Credentials))), "{again:?}");
    gallery.newcomer("ann@example.org").await;
}

pub(super) async fn a_deletion_that_was_cut_short_is_finished_by_the_sweep(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    keep(gallery, &owner, 0..4).await;
    // The instance that takes the request dies as soon as it has answered: its runtime ends with all that it had begun.
    let (bed, folder, town) = (gallery.bed.connection.clone(), gallery.folder.path().to_owned(), gallery.town.clone());
    let cut = ann.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mortal, _) = Gallery::instance(&bed, &folder, &town, keys(), 3);
            mortal.delete(&from("192.0.2.1"), &cut, Some(&PASSWORD.into())).await.unwrap();
        });
        runtime.shutdown_background();
    })
    .join()
    .unwrap();
    assert_eq!(gallery.known(&ann).await, 0);
    assert_eq!(left(gallery, &owner).await[0], 4, "nothing was deleted yet");
    assert!(gallery.town.houses("ann@example.org"));
    gallery.two.sweep().await.unwrap();
    assert_eq!(left(gallery, &owner).await, NOTHING);
    assert_eq!(objects(gallery), 0);
    assert!(!gallery.town.houses("ann@example.org"));
}

pub(super) async fn an_upload_on_its_way_is_deleted_too(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    let straggler = upload(gallery, 7).await;
    gallery.one.delete(&from("192.0.2.1"), &ann, Some(&PASSWORD.into())).await.unwrap();
    nothing_left(gallery, &owner).await;
    gallery.album.keep(&owner, straggler, "".parse().unwrap()).await.unwrap();
    assert_eq!(left(gallery, &owner).await[0], 1);
    wait(Duration::from_mins(59));
    gallery.two.sweep().await.unwrap();
    assert_eq!((left(gallery, &owner).await, objects(gallery)), (NOTHING.to_vec(), 0));
    assert_eq!(gallery.bed.count("SELECT COUNT(*) FROM departing").await, 1);
    wait(Duration::from_mins(1));
    gallery.two.sweep().await.unwrap();
    assert_eq!(gallery.bed.count("SELECT COUNT(*) FROM departing").await, 0);
}

pub(super) async fn the_account_is_deleted_once_the_provider_answers_again(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    keep(gallery, &owner, 0..1).await;
    gallery.town.down.store(true, Ordering::SeqCst);
    let refused = gallery.one.delete(&from("192.0.2.1"), &ann, Some(&PASSWORD.into())).await;
    assert!(matches!(&refused, Err(Denial::Failed(error)) if error.status() == 503), "{refused:?}");
    assert_eq!(gallery.known(&ann).await, 2, "the password could not be asked, so nothing has happened");
    gallery.town.down.store(false, Ordering::SeqCst);
    gallery.town.fails_to_delete.store(true, Ordering::SeqCst);
    gallery.one.delete(&from("192.0.2.1"), &ann, Some(&PASSWORD.into())).await.unwrap();
    gallery.two.sweep().await.expect_err("the provider is down");
    assert!(gallery.town.houses("ann@example.org"));
    let again = gallery.one.sign_in(&from("192.0.2.1"), &named("ann@example.org"), &PASSWORD.into(), None).await;
    assert!(matches!(again, Err(Denial::Refused(Refusal::NotOffered(_)))), "{again:?}");
    gallery.town.fails_to_delete.store(false, Ordering::SeqCst);
    gallery.two.sweep().await.unwrap();
    assert!(!gallery.town.houses("ann@example.org"));
    assert_eq!(left(gallery, &owner).await, NOTHING);
}

pub(super) async fn a_wrong_password_deletes_nothing(gallery: &Gallery) {
    let client = from("192.0.2.1");
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let account = NewAccount {
        name: named("bob@example.org"),
        nickname: "Bob".parse().unwrap(),
        password: "something else".into(),
    };
    gallery.one.sign_up(&client, &account).await.unwrap();
    let owner = session(gallery, &ann).await.person.owner;
    keep(gallery, &owner, 0..1).await;
    for password in [None, Some(""), Some("wrong"), Some("something else")] {
        let password = password.map(Into::into);
        let outcome = gallery.one.delete(&client, &ann, password.as_ref()).await;
        assert!(matches!(outcome, Err(Denial::Refused(Refusal::Credentials))), "{outcome:?}");
    }
    assert_eq!(gallery.known(&ann).await, 2);
    for _ in 0..20 {
        let _ = gallery.two.delete(&client, &ann, Some(&"wrong".into())).await;
    }
    super::limited(gallery.two.delete(&client, &ann, Some(&PASSWORD.into())).await);
    assert_eq!(left(gallery, &owner).await[0], 1);
}

pub(super) async fn the_operator_removes_an_account_with_all_that_is_in_it(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    keep(gallery, &owner, 0..2).await;
    gallery.two.remove(&owner).await.unwrap();
    assert_eq!((left(gallery, &owner).await, objects(gallery)), (NOTHING.to_vec(), 0));
    assert!(!gallery.town.houses("ann@example.org"));
    assert_eq!(gallery.known(&ann).await, 0);
}

pub(super) async fn a_provider_with_too_many_requests_deletes_the_account_later(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    *gallery.town.keeps.lock().unwrap() = Some(Refusal::TooMany);
    gallery.one.delete(&from("192.0.2.1"), &ann, Some(&PASSWORD.into())).await.unwrap();
    gallery.two.sweep().await.expect_err("the provider has had too many requests");
    wait(Duration::from_hours(2));
    gallery.two.sweep().await.expect_err("still");
    *gallery.town.keeps.lock().unwrap() = None;
    gallery.two.sweep().await.unwrap();
    assert!(!gallery.town.houses("ann@example.org"));
    assert_eq!(left(gallery, &owner).await, NOTHING);
}

pub(super) async fn one_who_cannot_go_yet_holds_up_nobody_and_keeps_no_photos(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    let (anns, bobs) = (session(gallery, &ann).await.person.owner, session(gallery, &bob).await.person.owner);
    keep(gallery, &anns, 0..2).await;
    keep(gallery, &bobs, 0..2).await;
    *gallery.town.stuck.lock().unwrap() = Some(anns.clone());
    gallery.one.remove(&anns).await.expect_err("the provider does not delete her");
    assert_eq!(left(gallery, &anns).await, NOTHING, "the provider keeps her account, we none of her photos");
    wait(Duration::from_secs(1));
    gallery.town.fails_to_delete.store(true, Ordering::SeqCst);
    gallery.one.remove(&bobs).await.expect_err("the provider is down");
    gallery.town.fails_to_delete.store(false, Ordering::SeqCst);
    gallery.two.sweep().await.expect_err("she cannot go yet");
    assert!(gallery.town.houses("ann@example.org") && !gallery.town.houses("bob@example.org"));
    *gallery.town.stuck.lock().unwrap() = None;
    gallery.two.sweep().await.unwrap();
    assert!(!gallery.town.houses("ann@example.org"));
}

pub(super) async fn a_session_that_began_while_its_owner_departed_ends_with_the_sweep(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = session(gallery, &ann).await.person.owner;
    gallery.one.remove(&owner).await.unwrap();
    let began = format!(
        "INSERT INTO session (id, owner, sealed, agent, address, created_at, seen_at, renewed_at) \
         VALUES ('late', '{}', '', '', '', '2026-03-01 12:00:00', '2026-03-01 12:00:00', '2026-03-01 12:00:00')",
        owner.as_str()
    );
    gallery.bed.run(&began).await;
    gallery.two.sweep().await.unwrap();
    assert_eq!(left(gallery, &owner).await, NOTHING);
}

pub(super) async fn sessions_end_at_the_provider_when_it_keeps_the_account(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    gallery.signed_in("ann@example.org").await;
    *gallery.town.keeps.lock().unwrap() = Some(Refusal::Expired);
    gallery.one.delete(&from("192.0.2.1"), &ann, Some(&PASSWORD.into())).await.unwrap();
    let mut ended = 0;
    for _ in 0..200 {
        ended += gallery.town.asked("sign out");
        if ended == 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("of two sessions and the sign-in that proved the password, {ended} ended at the provider");
}

pub(super) async fn the_sweep_lets_the_provider_tidy(gallery: &Gallery) {
    gallery.one.sweep().await.unwrap();
    gallery.two.sweep().await.unwrap();
    assert_eq!(gallery.town.asked("tidy"), 2);
}
