//! What is unfinished, as its owner sees it.

use photo_gallery::{
    catalog::{Claim, Stage},
    photo::{Photo, PhotoId, State},
};

use super::{
    Bed,
    cases::{ann, at, insert},
};

fn ids(photos: &[Photo]) -> Vec<PhotoId> {
    photos.iter().map(|photo| photo.id).collect()
}

/// Takes a photo up, to have it in hand until second 1020.
async fn taken_up(bed: &Bed, photo: PhotoId) -> String {
    match bed.catalog.claim(photo, at(1000), at(1020)).await.expect("answered") {
        Claim::Won(claimed) => claimed.mark,
        claim => panic!("it cannot be taken up: {claim:?}"),
    }
}

pub(super) async fn what_waits_and_what_failed_is_listed_and_counted_apart(bed: &Bed) {
    let catalog = &bed.catalog;
    let bob = "bob".parse().expect("an owner");
    let photos = insert(bed, &ann(), 1..=6).await;
    insert(bed, &bob, 1..=2).await;
    let [done, failed, also, waits, held, put_off] = [0, 1, 2, 3, 4, 5].map(|number: usize| photos[number].id);
    catalog.save_labels(done, &[], at(1)).await.expect("saved");
    catalog.save_problem(failed, "No.").await.expect("saved");
    catalog.save_problem(also, "No.").await.expect("saved");
    taken_up(bed, held).await;
    let mark = taken_up(bed, put_off).await;
    catalog.put_off(put_off, &mark, at(2000)).await.expect("answered");
    let listed =
        async |stage, before, limit| ids(&catalog.unfinished_of(&ann(), stage, before, limit).await.expect("listed"));
    assert_eq!(listed(Stage::Failed, None, 9).await, [also, failed]);
    assert_eq!(listed(Stage::Waiting, None, 9).await, [put_off, held, waits]);
    assert_eq!(listed(Stage::Waiting, Some(&photos[5].timeline_key), 1).await, [held]);
    assert_eq!(catalog.count_unfinished(&ann()).await.expect("counted"), (3, 2));
    assert_eq!(catalog.count_unfinished(&bob).await.expect("counted"), (2, 0));

    let progress = catalog.progress(&ids(&photos)).await.expect("read");
    assert_eq!(progress.len(), 6);
    assert_eq!((progress[&done].state, progress[&done].due), (State::Labelled, None));
    assert_eq!((progress[&failed].state, progress[&failed].due), (State::Failed, None));
    let of =
        |photo| (progress[&photo].state, progress[&photo].due, progress[&photo].in_hand, progress[&photo].attempts);
    assert_eq!(of(waits).0, State::Labelling);
    assert_eq!(of(held), (State::Labelling, Some(at(1020)), true, 1));
    assert_eq!(of(put_off), (State::Labelling, Some(at(2000)), false, 1));
    catalog.delete_photo(&ann(), also, at(5)).await.expect("deleted");
    assert_eq!(catalog.count_unfinished(&ann()).await.expect("counted"), (3, 1));
    assert_eq!(catalog.progress(&[also]).await.expect("read").len(), 0);
}

pub(super) async fn another_try_is_for_what_failed_of_ones_own(bed: &Bed) {
    let catalog = &bed.catalog;
    let bob = "bob".parse().expect("an owner");
    let photos = ids(&insert(bed, &ann(), 1..=150).await);
    let theirs = ids(&insert(bed, &bob, 1..=1).await);
    for photo in photos[10..].iter().chain(&theirs) {
        taken_up(bed, *photo).await;
        catalog.save_problem(*photo, "No.").await.expect("saved");
    }
    catalog.save_labels(photos[0], &[], at(1)).await.expect("saved");
    let all: Vec<PhotoId> = photos.iter().chain(&theirs).copied().collect();
    let before = catalog.progress(&all).await.expect("read");
    assert_eq!(catalog.retry(&ann(), &all, at(3000)).await.expect("retried"), 140);
    assert_eq!(catalog.retry(&ann(), &all, at(4000)).await.expect("retried"), 0);
    let after = catalog.progress(&all).await.expect("read");
    for photo in &photos[10..] {
        assert_eq!(
            (after[photo].state, after[photo].due, after[photo].attempts),
            (State::Labelling, Some(at(3000)), 0)
        );
    }
    for photo in photos[..10].iter().chain(&theirs) {
        assert_eq!(after[photo], before[photo]);
    }
    assert_eq!(ids(&catalog.photos_among(&bob, &all).await.expect("read")), theirs);
    assert_eq!(catalog.photos_among(&ann(), &all).await.expect("read").len(), 150);
    let claim = catalog.claim(photos[10], at(3000), at(3020)).await.expect("answered");
    assert!(matches!(&claim, Claim::Won(claimed) if claimed.crashes == 0), "a worker may take it up: {claim:?}");
}
