//! Workers label and develop; leases, retries and doubles do no harm.

use chrono::DateTime;
use futures_util::future::join_all;
use photo_gallery::{
    catalog::{CRASHES, Claim, Claimed, Totals},
    photo::{Details, Developed, Instance, Label, Photo, PhotoId, Sha256, State, Taken, Term},
};

use super::{
    Bed,
    cases::{ann, at, developed, found, insert, label, photo},
};

pub(super) async fn labels_replace_labels_and_count_once(bed: &Bed) {
    let photos = insert(bed, &ann(), [1, 2]).await;
    let (one, two) = (photos[0].id, photos[1].id);
    let full = Label {
        parents: vec!["Animal".to_owned(), "Pet".to_owned()],
        categories: vec!["Animals and Pets".to_owned()],
        instances: vec![Instance { confidence: 93.25, left: 0.1, top: 0.2, width: 1.0 / 3.0, height: 0.4 }],
        ..label("Dog", 97.123_456_789)
    };
    let first = vec![full, label("Beach", 60.0)];
    for _ in 0..3 {
        assert!(bed.catalog.save_labels(one, &first, at(9)).await.expect("saved"));
    }
    assert!(bed.catalog.save_labels(two, &[label("Beach", 99.0)], at(9)).await.expect("saved"));
    assert_eq!(bed.catalog.labels(&[one]).await.expect("read")[&one], first);
    assert_eq!(
        bed.catalog.label_totals(&ann()).await.expect("counted"),
        [("Beach".to_owned(), 2), ("Dog".to_owned(), 1)]
    );
    let now = bed.catalog.photo(&ann(), one).await.expect("looked up").expect("there");
    assert_eq!((now.label_text.as_str(), now.state(), now.labelled_at), ("Dog, Beach", State::Labelled, Some(at(9))));

    assert!(bed.catalog.save_labels(one, &[label("Cat", 70.0)], at(10)).await.expect("saved"));
    assert!(found(bed, &ann(), &[Term::label("Dog")]).await.is_empty());
    assert!(found(bed, &ann(), &Term::words("animal")).await.is_empty());
    assert_eq!(found(bed, &ann(), &[Term::label("Cat")]).await, [one]);
    assert_eq!(
        bed.catalog.label_totals(&ann()).await.expect("counted"),
        [("Beach".to_owned(), 1), ("Cat".to_owned(), 1)]
    );
    assert!(bed.catalog.save_labels(one, &[], at(11)).await.expect("saved"));
    let now = bed.catalog.photo(&ann(), one).await.expect("looked up").expect("there");
    assert_eq!((now.label_text.as_str(), now.state()), ("", State::Labelled));
}

pub(super) async fn labels_of_a_deleted_photo_are_not_saved(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    bed.catalog.delete_photo(&ann(), one.id, at(5)).await.expect("deleted");
    assert!(!bed.catalog.save_labels(one.id, &[label("Dog", 90.0)], at(9)).await.expect("answered"));
    let digest = Sha256([1; 32]);
    assert!(!bed.catalog.save_developed(one.id, digest, 1, &developed(), at(9)).await.expect("answered"));
    bed.catalog.save_problem(one.id, "too late").await.expect("answered");
    assert_eq!(bed.catalog.claim(one.id, at(9), at(99)).await.expect("answered"), Claim::Unlisted);
    assert!(bed.catalog.label_totals(&ann()).await.expect("counted").is_empty());
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals::default());
}

pub(super) async fn labels_of_many_photos_are_read_at_once(bed: &Bed) {
    let photos = insert(bed, &ann(), 1..=70).await;
    for photo in &photos[1..] {
        bed.catalog.save_labels(photo.id, &[label("Dog", 90.0), label("Apple", 90.0)], at(9)).await.expect("saved");
    }
    let ids: Vec<PhotoId> = photos.iter().map(|photo| photo.id).collect();
    let labels = bed.catalog.labels(&ids).await.expect("read");
    assert_eq!(labels.len(), 69);
    assert!(
        labels.values().all(|labels| labels.iter().map(|l| l.name.as_str()).collect::<Vec<_>>() == ["Apple", "Dog"])
    );
    assert!(bed.catalog.labels(&[]).await.expect("read").is_empty());
}

pub(super) async fn labelling_the_same_things_in_parallel_keeps_the_counts(bed: &Bed) {
    let photos = insert(bed, &ann(), 1..=12).await;
    let names = ["Dog", "Cat", "Beach", "Hat", "Tree", "Car"];
    for round in 0..2 {
        let runs = photos.iter().enumerate().map(|(place, photo)| {
            let labels: Vec<Label> = (0..4).map(|n| label(names[(place + n + round) % names.len()], 50.0)).collect();
            async move { bed.catalog.save_labels(photo.id, &labels, at(9)).await }
        });
        let outcomes = join_all(runs.collect::<Vec<_>>()).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.expect("saved")));
        let counted = bed.catalog.label_totals(&ann()).await.expect("counted");
        assert_eq!(counted.iter().map(|(_, photos)| photos).sum::<u64>(), 48);
        assert!(counted.iter().all(|(_, photos)| *photos == 8), "{counted:?}");
    }
}

pub(super) async fn only_one_of_many_workers_claims_a_photo(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    let claims = join_all((0..10).map(|_| bed.catalog.claim(one.id, at(10), at(60)))).await;
    let (won, others): (Vec<Claim>, Vec<Claim>) =
        claims.into_iter().map(|claim| claim.expect("answered")).partition(|claim| matches!(claim, Claim::Won(_)));
    let [Claim::Won(only)] = won.as_slice() else { panic!("{} workers hold it", won.len()) };
    assert_eq!((&only.photo, only.attempts, only.crashes), (&one, 1, 0));
    assert!(others.iter().all(|claim| *claim == Claim::InOtherHands(at(60))), "{others:?}");
}

/// Claims a photo that is free.
async fn claimed(bed: &Bed, id: PhotoId, now: i64, until: i64) -> Claimed {
    match bed.catalog.claim(id, at(now), at(until)).await.expect("answered") {
        Claim::Won(claimed) => *claimed,
        other => panic!("the photo is free, and not {other:?}"),
    }
}

pub(super) async fn a_lease_runs_out(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    let first = claimed(bed, one.id, 10, 30).await;
    assert!(bed.catalog.hold(one.id, &first.mark, at(60)).await.expect("answered"));
    assert!(bed.catalog.unfinished(at(59), 10).await.expect("listed").is_empty());
    let others = bed.catalog.claim(one.id, at(59), at(100)).await.expect("answered");
    assert_eq!(others, Claim::InOtherHands(at(60)));
    assert_eq!(bed.catalog.unfinished(at(60), 10).await.expect("listed"), [one.id]);
    let again = claimed(bed, one.id, 60, 100).await;
    assert_eq!((again.attempts, again.crashes), (2, 1), "the first worker must have died");
    assert!(!bed.catalog.hold(one.id, &first.mark, at(200)).await.expect("answered"), "it is in other hands");
    bed.catalog.put_off(one.id, &again.mark, at(70)).await.expect("put off");
    assert!(!bed.catalog.hold(one.id, &again.mark, at(200)).await.expect("answered"), "it was given back");
    assert_eq!(bed.catalog.claim(one.id, at(69), at(100)).await.expect("answered"), Claim::PutOff(at(70)));
    assert_eq!(claimed(bed, one.id, 70, 100).await.crashes, 1);
}

pub(super) async fn a_worker_that_was_taken_for_dead_makes_that_good(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    let away = claimed(bed, one.id, 10, 30).await;
    let other = claimed(bed, one.id, 30, 60).await;
    assert_eq!(other.crashes, 1);
    bed.catalog.put_off(one.id, &away.mark, at(31)).await.expect("answered");
    assert_eq!(bed.catalog.claim(one.id, at(59), at(90)).await.expect("answered"), Claim::InOtherHands(at(60)));
    for _ in 0..2 {
        bed.catalog.put_off(one.id, &other.mark, at(61)).await.expect("put off");
    }
    assert_eq!(claimed(bed, one.id, 61, 90).await.crashes, 0);
}

pub(super) async fn only_the_crash_that_was_none_is_made_good_and_once(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    claimed(bed, one.id, 10, 30).await;
    let given_back = claimed(bed, one.id, 30, 50).await;
    bed.catalog.put_off(one.id, &given_back.mark, at(40)).await.expect("put off");
    let dead = claimed(bed, one.id, 40, 60).await;
    // The answer to its commit was lost, and it is told again after another has taken the photo up.
    bed.catalog.put_off(one.id, &given_back.mark, at(40)).await.expect("answered");
    let alive = claimed(bed, one.id, 60, 80).await;
    assert_eq!((dead.crashes, alive.crashes), (1, 2));
    for _ in 0..3 {
        bed.catalog.put_off(one.id, &dead.mark, at(61)).await.expect("answered");
    }
    assert!(bed.catalog.hold(one.id, &alive.mark, at(90)).await.expect("answered"), "it is still in that hand");
    bed.catalog.put_off(one.id, &alive.mark, at(91)).await.expect("put off");
    assert_eq!(claimed(bed, one.id, 91, 100).await.crashes, 1);
}

pub(super) async fn what_a_wrong_clock_put_off_for_very_long_is_due(bed: &Bed) {
    const DAY: i64 = 24 * 60 * 60;
    let photos = insert(bed, &ann(), 1..=3).await;
    for photo in &photos[..2] {
        let held = claimed(bed, photo.id, DAY, DAY + 20).await;
        bed.catalog.put_off(photo.id, &held.mark, at(DAY + 600)).await.expect("put off");
    }
    let soon = claimed(bed, photos[2].id, 10, 30).await;
    bed.catalog.put_off(photos[2].id, &soon.mark, at(630)).await.expect("put off");
    assert_eq!(claimed(bed, photos[0].id, 40, 60).await.crashes, 0, "it need not wait a day");
    assert_eq!(bed.catalog.bring_back(at(40), 10).await.expect("brought back"), 1);
    assert_eq!(bed.catalog.unfinished(at(50), 10).await.expect("listed"), [photos[1].id]);
    assert_eq!(bed.catalog.bring_back(at(40), 10).await.expect("answered"), 0);
}

pub(super) async fn another_try_of_a_photo_that_kills_workers_may_kill_one(bed: &Bed) {
    let photos = insert(bed, &ann(), [1, 2]).await;
    for now in [10, 30, 50, 70, 90, 110] {
        claimed(bed, photos[0].id, now, now + 20).await;
    }
    for now in [10, 30] {
        claimed(bed, photos[1].id, now, now + 20).await;
    }
    for photo in &photos {
        bed.catalog.save_problem(photo.id, "No.").await.expect("saved");
        assert_eq!(bed.catalog.retry(&ann(), &[photo.id], at(200)).await.expect("retried"), 1);
    }
    assert_eq!(claimed(bed, photos[0].id, 200, 220).await.crashes, CRASHES - 1);
    assert_eq!(claimed(bed, photos[0].id, 220, 240).await.crashes, CRASHES);
    assert_eq!(claimed(bed, photos[1].id, 200, 220).await.crashes, 0, "that failed for another reason");
}

pub(super) async fn crashes_are_counted_until_a_photo_is_finished_or_given_up(bed: &Bed) {
    let photos = insert(bed, &ann(), [1, 2]).await;
    for photo in &photos {
        for crashes in 0..7 {
            let now = 10 + i64::try_from(crashes).expect("few") * 20;
            assert_eq!(claimed(bed, photo.id, now, now + 20).await.crashes, crashes);
        }
    }
    bed.catalog.save_labels(photos[0].id, &[], at(200)).await.expect("saved");
    bed.catalog.save_problem(photos[1].id, "Workers died.").await.expect("saved");
    for photo in &photos {
        assert_eq!(bed.catalog.claim(photo.id, at(201), at(220)).await.expect("answered"), Claim::Finished);
    }
    bed.run("UPDATE photo SET problem = NULL, labelled_at = NULL, claimed_until = created_datetime").await;
    assert_eq!(claimed(bed, photos[0].id, 210, 220).await.crashes, 0);
}

pub(super) async fn a_row_that_cannot_be_read_is_claimed_and_says_why(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    bed.run("UPDATE photo SET media_type = 'image/of-the-future'").await;
    let Claim::Damaged { why, mark } = bed.catalog.claim(one.id, at(10), at(30)).await.expect("answered") else {
        panic!("the row is damaged")
    };
    assert!(why.contains("the catalog's row of `photos/") && why.contains("media type"), "{why}");
    bed.catalog.put_off(one.id, &mark, at(600)).await.expect("put off");
    assert!(bed.catalog.unfinished(at(599), 10).await.expect("listed").is_empty(), "it holds up no other");
}

pub(super) async fn a_photo_is_found_by_its_object(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    bed.run("INSERT INTO photo (object_key) VALUES ('photos/0123456789abcdef.png')").await;
    assert_eq!(bed.catalog.photo_of(&one.original).await.expect("looked up"), Some(one.id));
    for other in ["photos/0123456789abcdef.png", "photos/nothing.png"] {
        let other = other.parse().expect("a path");
        assert_eq!(bed.catalog.photo_of(&other).await.expect("looked up"), None, "{other:?}");
    }
}

pub(super) async fn finished_and_failed_photos_are_not_unfinished(bed: &Bed) {
    let photos = insert(bed, &ann(), 1..=4).await;
    assert_eq!(
        bed.catalog.unfinished(at(50), 3).await.expect("listed"),
        photos[..3].iter().map(|photo| photo.id).collect::<Vec<_>>(),
        "longest waiting first"
    );
    bed.catalog.save_labels(photos[0].id, &[], at(9)).await.expect("saved");
    bed.catalog.save_problem(photos[1].id, &"The picture is damaged. ".repeat(100)).await.expect("saved");
    for photo in &photos[..2] {
        bed.catalog.put_off(photo.id, "no mark", at(0)).await.expect("answered");
        assert_eq!(bed.catalog.claim(photo.id, at(90), at(99)).await.expect("answered"), Claim::Finished);
    }
    let left: Vec<PhotoId> = photos[2..].iter().map(|photo| photo.id).collect();
    assert_eq!(bed.catalog.unfinished(at(50), 10).await.expect("listed"), left);
    bed.catalog.save_problem(photos[0].id, "too late").await.expect("answered");
    let finished = bed.catalog.photo(&ann(), photos[0].id).await.expect("looked up").expect("there");
    assert_eq!((finished.state(), finished.problem), (State::Labelled, None));
    let failed = bed.catalog.photo(&ann(), photos[1].id).await.expect("looked up").expect("there");
    assert_eq!((failed.state(), failed.problem.expect("a problem").chars().count()), (State::Failed, 500));
}

/// A photo as adoption leaves it: stored and labelled, never seen.
fn stored(number: u8) -> Photo {
    Photo { developed: None, sha256: None, bytes: 0, ..photo(&ann(), number) }
}

pub(super) async fn developing_moves_a_photo_to_when_it_was_taken(bed: &Bed) {
    let seen = insert(bed, &ann(), [1]).await.remove(0);
    let one = stored(2);
    bed.catalog.insert_photo(&one).await.expect("inserted");
    bed.catalog.save_labels(one.id, &[label("Dog", 90.0)], at(9)).await.expect("saved");
    assert_eq!(found(bed, &ann(), &[]).await, [one.id, seen.id]);
    assert_eq!(
        bed.catalog.unfinished(at(50), 10).await.expect("listed"),
        [seen.id, one.id],
        "labelled, but not developed"
    );

    let taken: DateTime<chrono::FixedOffset> = "1999-12-31T23:59:59+14:00".parse().expect("a moment");
    let told = Developed {
        taken: Some(Taken { at: taken, offset_known: true }),
        details: Details { camera: Some("Pentax MX".to_owned()), ..Details::default() },
        ..developed()
    };
    for _ in 0..2 {
        assert!(bed.catalog.save_developed(one.id, Sha256([9; 32]), 555, &told, at(10)).await.expect("saved"));
    }
    assert_eq!(found(bed, &ann(), &[]).await, [seen.id, one.id]);
    for term in ["pentax", "dog", "img"] {
        assert!(found(bed, &ann(), &Term::words(term)).await.contains(&one.id), "{term}");
    }
    assert_eq!(found(bed, &ann(), &[Term::label("Dog")]).await, [one.id]);
    let now = bed.catalog.photo(&ann(), one.id).await.expect("looked up").expect("there");
    assert_eq!(
        (now.developed.clone(), now.bytes, now.sha256, now.state()),
        (Some(told), 555, Some(Sha256([9; 32])), State::Labelled)
    );
    assert_eq!(now.shown_at(), taken);
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals { photos: 2, bytes: 1556 });
    assert_eq!(bed.catalog.unfinished(at(50), 10).await.expect("listed"), [seen.id]);
}

pub(super) async fn adopted_twins_both_stay(bed: &Bed) {
    let (one, two) = (stored(1), stored(2));
    for photo in [&one, &two] {
        bed.catalog.insert_photo(photo).await.expect("inserted");
        assert!(bed.catalog.save_developed(photo.id, Sha256([9; 32]), 500, &developed(), at(9)).await.expect("saved"));
    }
    let digest =
        async |photo: &Photo| bed.catalog.photo(&ann(), photo.id).await.expect("looked up").expect("there").sha256;
    assert_eq!((digest(&one).await, digest(&two).await), (Some(Sha256([9; 32])), None));
    assert_eq!(found(bed, &ann(), &[]).await.len(), 2);
}
