//! Photos come in, are listed, found, described and deleted.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use futures_util::future::join_all;
use photo_gallery::{
    catalog::{Inserted, MAX_TERMS, Totals},
    photo::{
        Details, Developed, FileName, Label, MediaType, ObjectPath, Owner, Photo, PhotoId, Rendition, Sha256, State,
        Taken, Term, TimelineKey,
    },
};

use super::Bed;

/// The moment `seconds` after the tests' time begins.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    "2026-03-01T12:00:00.123456Z".parse::<DateTime<Utc>>().expect("a moment") + TimeDelta::seconds(seconds)
}

pub(crate) fn ann() -> Owner {
    "ann".parse().expect("an owner")
}

/// A new photo of `owner`, uploaded at second `number`, whose bytes nobody else has.
pub(crate) fn photo(owner: &Owner, number: u8) -> Photo {
    let created_at = at(number.into());
    let id = PhotoId::new(created_at);
    Photo {
        id,
        owner: owner.clone(),
        timeline_key: TimelineKey::new(created_at, id),
        original: ObjectPath::original(id, MediaType::Jpeg),
        media_type: MediaType::Jpeg,
        bytes: 1000 + u64::from(number),
        sha256: Some(Sha256([number; 32])),
        file_name: FileName::new("IMG_0001.jpg"),
        description: "".parse().expect("a description"),
        created_at,
        developed: Some(developed()),
        labelled_at: None,
        problem: None,
        label_text: String::new(),
    }
}

pub(crate) fn developed() -> Developed {
    Developed { width: 6000, height: 4000, thumbhash: vec![1, 2, 250], taken: None, details: Details::default() }
}

pub(crate) fn label(name: &str, confidence: f64) -> Label {
    Label {
        name: name.to_owned(),
        confidence: Some(confidence),
        parents: Vec::new(),
        categories: Vec::new(),
        instances: Vec::new(),
    }
}

/// Inserts new photos of `owner`, one for each number.
pub(crate) async fn insert(bed: &Bed, owner: &Owner, numbers: impl IntoIterator<Item = u8>) -> Vec<Photo> {
    let photos: Vec<Photo> = numbers.into_iter().map(|number| photo(owner, number)).collect();
    for photo in &photos {
        assert_eq!(bed.catalog.insert_photo(photo).await.expect("inserted"), Inserted::New);
    }
    photos
}

/// The ids of the photos that a search lists.
pub(crate) async fn found(bed: &Bed, owner: &Owner, terms: &[Term]) -> Vec<PhotoId> {
    bed.catalog.photos(owner, terms, None, 100).await.expect("listed").iter().map(|photo| photo.id).collect()
}

pub(super) async fn a_photo_comes_back_as_it_was_inserted(bed: &Bed) {
    let mut full = photo(&ann(), 1);
    full.description = "Grandmother's 80th,\nwith a 🎂".parse().expect("a description");
    let taken_at: DateTime<FixedOffset> = "1969-07-20T20:17:40.250-03:30".parse().expect("a moment");
    full.timeline_key = TimelineKey::new(taken_at.to_utc(), full.id);
    full.developed = Some(Developed {
        taken: Some(Taken { at: taken_at, offset_known: true }),
        details: Details {
            camera: Some("Canon EOS 5D".to_owned()),
            exposure_seconds: Some(1.0 / 3.0),
            iso: Some(100),
            latitude: Some(-33.856_784_4),
            ..Details::default()
        },
        ..developed()
    });
    let mut bare = photo(&ann(), 2);
    (bare.developed, bare.sha256) = (None, None);
    for photo in [full, bare] {
        assert_eq!(bed.catalog.insert_photo(&photo).await.expect("inserted"), Inserted::New);
        let back = bed.catalog.photo(&photo.owner, photo.id).await.expect("looked up").expect("there");
        assert_eq!(back, photo);
        assert_eq!(back.state(), if photo.developed.is_some() { State::Labelling } else { State::Stored });
    }
}

pub(super) async fn the_same_bytes_of_one_owner_are_one_photo(bed: &Bed) {
    let first = insert(bed, &ann(), [1]).await.remove(0);
    let again = photo(&ann(), 1);
    let answer = bed.catalog.insert_photo(&again).await.expect("answered");
    assert_eq!(answer, Inserted::AlreadyHere(Box::new(first.clone())));
    assert_eq!(
        bed.catalog.insert_photo(&first).await.expect("answered"),
        Inserted::AlreadyHere(Box::new(first.clone()))
    );
    let sha256 = first.sha256.expect("a digest");
    assert_eq!(bed.catalog.photo_by_sha256(&ann(), sha256).await.expect("looked up"), Some(first));
    let bob = "bob".parse().expect("an owner");
    assert_eq!(bed.catalog.photo_by_sha256(&bob, sha256).await.expect("looked up"), None);
    insert(bed, &bob, [1]).await;
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 1);
}

pub(super) async fn twenty_uploads_of_the_same_bytes_at_once_make_one_photo(bed: &Bed) {
    let tries = (0..20).map(|_| {
        let catalog = bed.catalog.clone();
        // Spawned, so that the catalog's futures are known to be `Send`.
        tokio::spawn(async move { catalog.insert_photo(&photo(&ann(), 7)).await })
    });
    let answers: Vec<Inserted> =
        join_all(tries).await.into_iter().map(|answer| answer.expect("no panic").expect("answered")).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Inserted::New).count(), 1);
    let listed = bed.catalog.photos(&ann(), &[], None, 100).await.expect("listed");
    let [only] = listed.as_slice() else { panic!("one photo, not {}", listed.len()) };
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Inserted::New) || *answer == Inserted::AlreadyHere(Box::new(only.clone())))
    );
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals { photos: 1, bytes: 1007 });
}

pub(super) async fn a_photo_of_another_owner_is_not_there(bed: &Bed) {
    let mine = insert(bed, &ann(), [1, 2]).await;
    bed.catalog.save_labels(mine[0].id, &[label("Dog", 90.0)], at(9)).await.expect("saved");
    let bob: Owner = "bob".parse().expect("an owner");
    let id = mine[0].id;
    assert_eq!(bed.catalog.photo(&bob, id).await.expect("looked up"), None);
    assert!(!bed.catalog.describe(&bob, id, &"mine now".parse().expect("a description")).await.expect("answered"));
    assert_eq!(bed.catalog.delete_photo(&bob, id, at(9)).await.expect("answered"), None);
    assert_eq!(bed.catalog.newer(&bob, &mine[0].timeline_key).await.expect("answered"), None);
    assert!(found(bed, &bob, &[]).await.is_empty());
    assert!(found(bed, &bob, &[Term::label("Dog")]).await.is_empty());
    assert!(bed.catalog.label_totals(&bob).await.expect("counted").is_empty());
    assert_eq!(bed.catalog.totals(&bob).await.expect("counted"), Totals::default());
    assert_eq!(bed.catalog.photo(&ann(), id).await.expect("looked up").expect("there").description.as_str(), "");
}

pub(super) async fn the_timeline_is_walked_newest_first_page_by_page(bed: &Bed) {
    let photos = insert(bed, &ann(), [3, 1, 5, 2, 4]).await;
    let mut expected: Vec<&Photo> = photos.iter().collect();
    expected.sort_by(|a, b| b.timeline_key.cmp(&a.timeline_key));
    let mut walked = Vec::new();
    let mut before: Option<TimelineKey> = None;
    loop {
        let page = bed.catalog.photos(&ann(), &[], before.as_ref(), 2).await.expect("listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        before = Some(last.timeline_key.clone());
        walked.extend(page);
    }
    assert_eq!(walked.iter().collect::<Vec<_>>(), expected);
}

pub(super) async fn newer_and_older_are_the_neighbours(bed: &Bed) {
    let photos = insert(bed, &ann(), [1, 2, 3]).await;
    insert(bed, &"bob".parse().expect("an owner"), [2]).await;
    let neighbours = async |photo: &Photo| {
        let newer = bed.catalog.newer(&ann(), &photo.timeline_key).await.expect("answered");
        (newer, bed.catalog.older(&ann(), &photo.timeline_key).await.expect("answered"))
    };
    assert_eq!(neighbours(&photos[0]).await, (Some(photos[1].id), None));
    assert_eq!(neighbours(&photos[1]).await, (Some(photos[2].id), Some(photos[0].id)));
    assert_eq!(neighbours(&photos[2]).await, (None, Some(photos[1].id)));
}

pub(super) async fn a_photo_is_found_by_every_word_about_it(bed: &Bed) {
    let mut one = photo(&ann(), 1);
    one.file_name = FileName::new("Sommerhaus_Ærø.JPG");
    one.description = "Café at the lake; 東京".parse().expect("a description");
    let details = Details {
        camera: Some("FUJIFILM X-T4".to_owned()),
        lens: Some("XF35mmF1.4 R".to_owned()),
        ..Details::default()
    };
    one.developed = Some(Developed { details, ..developed() });
    bed.catalog.insert_photo(&one).await.expect("inserted");
    insert(bed, &ann(), [2]).await;
    let dog = Label { parents: vec!["Animal".to_owned()], ..label("Golden Retriever", 91.5) };
    bed.catalog.save_labels(one.id, &[dog], at(9)).await.expect("saved");
    for words in ["sommerhaus", "ÆRØ", "cafe", "CAFÉ", "lakes", "fujifilm", "golden", "animals", "東京"] {
        assert_eq!(found(bed, &ann(), &Term::words(words)).await, [one.id], "{words}");
    }
    assert_eq!(found(bed, &ann(), &[Term::label("golden retriever")]).await, [one.id]);
    assert!(found(bed, &ann(), &[Term::label("golden")]).await.is_empty());
    assert!(found(bed, &ann(), &Term::words("%")).await.is_empty() || Term::words("%").is_empty());
    assert!(found(bed, &ann(), &Term::words("gold")).await.is_empty());
}

pub(super) async fn all_terms_of_a_search_must_hold(bed: &Bed) {
    let photos = insert(bed, &ann(), 1..=6).await;
    for (place, photo) in photos.iter().enumerate() {
        let labels = [("Dog", 1), ("Beach", 2), ("Hat", 3)].into_iter().filter(|(_, every)| place % every == 0);
        let labels: Vec<Label> = labels.map(|(name, _)| label(name, 80.0)).collect();
        bed.catalog.save_labels(photo.id, &labels, at(9)).await.expect("saved");
    }
    let terms = |names: &[&str]| names.iter().map(|name| Term::label(name)).collect::<Vec<_>>();
    assert_eq!(found(bed, &ann(), &terms(&["Dog", "Beach"])).await, [photos[4].id, photos[2].id, photos[0].id]);
    assert_eq!(found(bed, &ann(), &terms(&["Dog", "Hat", "Beach"])).await, [photos[0].id]);
    assert!(found(bed, &ann(), &terms(&["Dog", "Cat"])).await.is_empty());
    let mut many = vec![Term::label("Dog"); MAX_TERMS];
    assert_eq!(found(bed, &ann(), &many).await.len(), 6);
    many.push(Term::label("Cat"));
    assert_eq!(found(bed, &ann(), &many).await.len(), 6, "terms beyond the limit are not asked");
    let page =
        bed.catalog.photos(&ann(), &terms(&["Beach", "Dog"]), Some(&photos[4].timeline_key), 1).await.expect("listed");
    assert_eq!(page.iter().map(|photo| photo.id).collect::<Vec<_>>(), [photos[2].id]);
}

pub(super) async fn a_changed_description_is_found_by_its_new_words_only(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    bed.catalog.save_labels(one.id, &[label("Dog", 80.0)], at(9)).await.expect("saved");
    for text in ["old words", "new words", "new words"] {
        assert!(bed.catalog.describe(&ann(), one.id, &text.parse().expect("a description")).await.expect("described"));
    }
    assert!(found(bed, &ann(), &Term::words("old")).await.is_empty());
    for words in ["new", "words", "img", "dog"] {
        assert_eq!(found(bed, &ann(), &Term::words(words)).await, [one.id], "{words}");
    }
    let nobody = PhotoId::new(at(0));
    assert!(!bed.catalog.describe(&ann(), nobody, &"x".parse().expect("a description")).await.expect("answered"));
}

pub(super) async fn deleting_takes_the_photo_and_leaves_its_objects_to_be_removed(bed: &Bed) {
    let photos = insert(bed, &ann(), [1, 2]).await;
    let gone = &photos[0];
    for photo in &photos {
        bed.catalog.save_labels(photo.id, &[label("Dog", 80.0)], at(9)).await.expect("saved");
    }
    let mut objects = bed.catalog.delete_photo(&ann(), gone.id, at(10)).await.expect("deleted").expect("it was there");
    assert_eq!(bed.catalog.delete_photo(&ann(), gone.id, at(10)).await.expect("answered"), None);
    assert_eq!(bed.catalog.photo(&ann(), gone.id).await.expect("looked up"), None);
    assert_eq!(found(bed, &ann(), &[Term::label("Dog")]).await, [photos[1].id]);
    assert_eq!(bed.catalog.label_totals(&ann()).await.expect("counted"), [("Dog".to_owned(), 1)]);
    assert!(bed.catalog.labels(&[gone.id]).await.expect("read").is_empty());
    let mut expected = vec![gone.original.clone()];
    expected
        .extend([Rendition::Display, Rendition::Thumb].into_iter().filter_map(|r| ObjectPath::rendition(gone.id, r)));
    let mut waiting = bed.catalog.discarded(10).await.expect("listed");
    for list in [&mut objects, &mut expected, &mut waiting] {
        list.sort();
    }
    assert_eq!(objects, expected);
    assert_eq!(waiting, expected);
    assert_eq!(bed.catalog.discarded(2).await.expect("listed").len(), 2);
    bed.catalog.clear_discarded(&expected[..2]).await.expect("cleared");
    assert_eq!(bed.catalog.discarded(10).await.expect("listed"), expected[2..]);
    assert_eq!(insert(bed, &ann(), [1]).await.len(), 1, "the same bytes may come again");
}

pub(super) async fn what_cannot_be_removed_is_tried_after_all_others(bed: &Bed) {
    for (second, photo) in (0..).zip(insert(bed, &ann(), [1, 2, 3]).await) {
        bed.catalog.delete_photo(&ann(), photo.id, at(second)).await.expect("deleted");
    }
    let waiting = bed.catalog.discarded(10).await.expect("listed");
    bed.catalog.postpone_discarded(&waiting[..4], at(50)).await.expect("postponed");
    let now = bed.catalog.discarded(5).await.expect("listed");
    assert!(now.iter().all(|path| waiting[4..].contains(path)), "{now:?} of {waiting:?}");
    assert_eq!(bed.catalog.discarded(10).await.expect("listed").len(), 9);
}

pub(super) async fn totals_follow_every_change(bed: &Bed) {
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals::default());
    let photos = insert(bed, &ann(), [1, 2, 3]).await;
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals { photos: 3, bytes: 3006 });
    bed.catalog.insert_photo(&photo(&ann(), 2)).await.expect("answered");
    bed.catalog.delete_photo(&ann(), photos[0].id, at(9)).await.expect("deleted");
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted"), Totals { photos: 2, bytes: 2005 });
}
