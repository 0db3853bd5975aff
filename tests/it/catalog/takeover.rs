//! One owner's photos become another's, wholly, whoever works at them meanwhile.

use futures_util::future::join_all;
use photo_gallery::{
    catalog::Totals,
    photo::{Owner, Photo, Sha256, Term},
};

use super::{
    Bed,
    cases::{ann, at, found, insert, label, photo},
};

fn word(word: &str) -> Vec<Term> {
    Term::words(word)
}

async fn take_over_all(bed: &Bed, limit: u32) {
    while bed.catalog.take_over(&Owner::anonymous(), &ann(), limit).await.expect("taken over") > 0 {}
}

pub(super) async fn photos_change_hands_with_their_words_labels_and_counts(bed: &Bed) {
    let nobody = Owner::anonymous();
    let before = insert(bed, &nobody, 1..=7).await;
    let own = insert(bed, &ann(), [8]).await;
    let description = "Grandmother in Lisbon".parse().expect("a description");
    bed.catalog.describe(&nobody, before[0].id, &description).await.expect("described");
    for photo in &before[..3] {
        bed.catalog.save_labels(photo.id, &[label("Beach", 90.0), label("Dog", 80.0)], at(9)).await.expect("saved");
    }
    bed.catalog.save_labels(own[0].id, &[label("Dog", 80.0)], at(9)).await.expect("saved");
    take_over_all(bed, 2).await;

    let all: Vec<_> = own.iter().chain(before.iter().rev()).map(|photo| photo.id).collect();
    assert_eq!(found(bed, &ann(), &[]).await, all);
    assert_eq!(found(bed, &ann(), &word("lisbon")).await, [before[0].id]);
    assert_eq!(found(bed, &ann(), &[Term::label("Beach")]).await.len(), 3);
    assert_eq!(found(bed, &ann(), &word("img_0001")).await.len(), 8);
    let bytes = before.iter().chain(&own).map(|photo| photo.bytes).sum();
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals { photos: 8, bytes });
    let labels = bed.catalog.label_totals(&ann()).await.expect("counted");
    assert_eq!(labels, [("Dog".to_owned(), 4), ("Beach".to_owned(), 3)]);
    let kept = bed.catalog.photo(&ann(), before[1].id).await.expect("read").expect("there");
    assert_eq!((kept.sha256, kept.original), (before[1].sha256, before[1].original.clone()));
    assert_eq!(bed.catalog.labels(&[before[1].id]).await.expect("read")[&before[1].id].len(), 2);

    assert!(found(bed, &nobody, &[]).await.is_empty() && found(bed, &nobody, &word("lisbon")).await.is_empty());
    assert_eq!(bed.catalog.totals(&nobody).await.expect("counted"), Totals::default());
    assert!(bed.catalog.label_totals(&nobody).await.expect("counted").is_empty());
    assert_eq!(bed.catalog.take_over(&nobody, &ann(), 50).await.expect("repeated"), 0);
}

pub(super) async fn bytes_that_the_new_owner_has_already_stay_a_second_photo(bed: &Bed) {
    let own = insert(bed, &ann(), [1]).await;
    let twin = insert(bed, &Owner::anonymous(), [1]).await;
    take_over_all(bed, 50).await;
    let there = bed.catalog.photo(&ann(), twin[0].id).await.expect("read").expect("there");
    assert_eq!(there.sha256, None);
    let first = bed.catalog.photo_by_sha256(&ann(), Sha256([1; 32])).await.expect("read").expect("there");
    assert_eq!(first.id, own[0].id);
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 2);
}

pub(super) async fn several_may_take_over_while_photos_are_labelled(bed: &Bed) {
    let photos = insert(bed, &Owner::anonymous(), 1..=40).await;
    let labelling = photos.iter().map(async |photo| {
        bed.catalog.save_labels(photo.id, &[label("Beach", 90.0)], at(99)).await.expect("saved");
    });
    let taking = (0..3).map(|_| take_over_all(bed, 5));
    tokio::join!(join_all(labelling), join_all(taking));
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 40);
    assert_eq!(bed.catalog.label_totals(&ann()).await.expect("counted"), [("Beach".to_owned(), 40)]);
    assert_eq!(found(bed, &ann(), &[Term::label("Beach")]).await.len(), 40);
    assert_eq!(bed.catalog.totals(&Owner::anonymous()).await.expect("counted"), Totals::default());
}

pub(super) async fn photos_that_are_not_the_owners_stay(bed: &Bed) {
    let bob: Owner = "bob".parse().expect("an owner");
    let others: Vec<Photo> = insert(bed, &bob, 1..=3).await;
    // A row that adoption set aside is no photo, whoever it names.
    bed.run(
        "INSERT INTO photo (object_key, id, cognito_username, problem) VALUES ('x', 'y', 'anonymous', 'not adopted')",
    )
    .await;
    take_over_all(bed, 50).await;
    assert_eq!(bed.catalog.totals(&bob).await.expect("counted").photos, 3);
    assert_eq!(bed.catalog.photo(&bob, others[0].id).await.expect("read").expect("there").owner, bob);
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals::default());
    bed.catalog.insert_photo(&photo(&ann(), 9)).await.expect("inserted");
}
