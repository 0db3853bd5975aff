//! The models inside the program, against the reference runtime's answers in `tests/it/golden.json`.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use photo_gallery::{
    labeler::{
        Builtin, Labeler, Unlabelled,
        builtin::{
            Models, Network, Threads,
            detector::{Anchor, Bounds},
            fusion::Thresholds,
            picture::{Frame, Picture},
            vocabulary::Vocabulary,
        },
    },
    photo::Label,
};
use serde::Deserialize;

use super::{PHOTOS, named, photo};

static MODELS: LazyLock<Models> =
    LazyLock::new(|| Models::load(&Network::classifier(), &Network::detector()).expect("whole models"));

fn one_thread() -> Threads {
    Arc::new(rten::ThreadPool::with_num_threads(1))
}

fn builtin() -> Builtin {
    Builtin::new(Thresholds::default(), 2)
}

mod suite {
    super::super::conformance!(std::future::ready(super::builtin()));
}

#[derive(Deserialize)]
struct Golden {
    photos: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    photo: String,
    classes: Vec<ExpectedClass>,
    boxes: Vec<ExpectedBox>,
}

#[derive(Deserialize)]
struct ExpectedClass {
    class: usize,
    probability: f32,
}

#[derive(Deserialize)]
struct ExpectedBox {
    name: String,
    score: f32,
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

fn golden() -> Vec<Expected> {
    let golden: Golden = serde_json::from_str(include_str!("../golden.json")).expect("golden.json");
    assert_eq!(golden.photos.len(), PHOTOS.len());
    golden.photos
}

#[test]
fn the_classifier_agrees_with_the_reference() {
    for expected in golden() {
        let picture = Picture::from_jpeg(&photo(&expected.photo)).expect("a JPEG");
        let found = MODELS.classifier.classify(&picture, Frame::Centre(0.875), &one_thread()).expect("classes");
        let top = (0..found.len()).max_by(|a, b| found[*a].total_cmp(&found[*b])).expect("1000 classes");
        assert_eq!(top, expected.classes[0].class, "{}", expected.photo);
        for ExpectedClass { class, probability } in expected.classes {
            let difference = (found[class] - probability).abs();
            assert!(
                difference < 0.08,
                "{}: class {class} is {} instead of {probability}",
                expected.photo,
                found[class]
            );
        }
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-3, "probabilities sum to one");
    }
}

#[test]
fn the_detector_agrees_with_the_reference() {
    let mut compared = 0;
    for expected in golden() {
        let picture = Picture::from_jpeg(&photo(&expected.photo)).expect("a JPEG");
        let found = MODELS.detector.detect(&picture, 0.3, &one_thread()).expect("detections");
        let name = |class: usize| Vocabulary::embedded().objects[class].as_ref().map(|word| word.name.to_lowercase());
        for wanted in expected.boxes {
            let bounds = Bounds { left: wanted.left, top: wanted.top, right: wanted.right, bottom: wanted.bottom };
            let same =
                found.iter().find(|d| name(d.class).as_ref() == Some(&wanted.name) && d.bounds.overlap(&bounds) > 0.8);
            let same = same.unwrap_or_else(|| panic!("{}: no {} in {found:?}", expected.photo, wanted.name));
            assert!(
                (same.score - wanted.score).abs() < 0.12,
                "{}: {} scores {}",
                expected.photo,
                wanted.name,
                same.score
            );
            compared += 1;
        }
        let sure = found.iter().filter(|d| d.score > 0.55);
        assert!(sure.count() <= 2, "{}: nothing beside what the reference sees: {found:?}", expected.photo);
    }
    assert_eq!(compared, 6, "every reference box was compared");
}

#[test]
fn the_anchors_are_those_of_the_original_model() {
    let anchors = Anchor::all();
    assert_eq!(anchors.len(), 37_629);
    let original: Vec<(usize, [f32; 4])> = include_str!("../anchors.tsv")
        .lines()
        .map(|line| {
            let (row, numbers) = line.split_once('\t').expect("two columns");
            let numbers: Vec<f32> = numbers.split(',').map(|n| n.parse().expect("a number")).collect();
            (row.parse().expect("a row"), numbers.try_into().expect("four numbers"))
        })
        .collect();
    assert!(original.len() > 200);
    for (row, numbers) in original {
        let Anchor { y, x, height, width } = anchors[row];
        for (computed, wanted) in [y, x, height, width].into_iter().zip(numbers) {
            assert!((computed - wanted).abs() <= 1e-6, "row {row}: {computed} instead of {wanted}");
        }
    }
}

async fn labels_of(name: &str) -> Vec<Label> {
    static BUILTIN: LazyLock<Builtin> = LazyLock::new(builtin);
    BUILTIN.labels(photo(name)).await.expect("labels")
}

#[tokio::test]
async fn an_astronaut_is_a_person_with_a_box() {
    let labels = labels_of("astronaut.jpg").await;
    let person = named(&labels, "Person").expect("a person");
    assert!(person.by_confidence() > 70.0);
    assert_eq!(person.instances.len(), 1);
    assert_eq!(person.categories, ["Person Description"]);
}

#[tokio::test]
async fn a_cat_is_a_cat_and_an_animal() {
    let labels = labels_of("chelsea.jpg").await;
    let cat = named(&labels, "Cat").expect("a cat");
    assert!(cat.by_confidence() > 90.0, "two witnesses: {cat:?}");
    assert_eq!(cat.instances.len(), 1);
    for parent in ["Feline", "Mammal", "Animal"] {
        assert!(cat.parents.iter().any(|p| p == parent), "{parent} above {cat:?}");
        assert!(named(&labels, parent).expect(parent).confidence >= cat.confidence, "{parent} in {labels:?}");
    }
    assert_eq!(cat.categories, ["Animals and Pets"]);
}

#[tokio::test]
async fn a_coffee_cup_on_a_table_is_coffee_and_cup_and_table() {
    let labels = labels_of("coffee.jpg").await;
    for name in ["Espresso", "Coffee", "Cup", "Dining Table"] {
        assert!(named(&labels, name).is_some(), "{name} in {labels:?}");
    }
    assert_eq!(named(&labels, "Cup").map(|cup| cup.instances.len()), Some(1));
}

#[tokio::test]
async fn a_photographer_is_a_person_with_a_tripod() {
    let labels = labels_of("camera.jpg").await;
    assert!(named(&labels, "Person").is_some() && named(&labels, "Tripod").is_some(), "{labels:?}");
}

#[tokio::test]
async fn a_rocket_for_which_the_models_have_no_word_is_called_nothing_else() {
    for label in labels_of("rocket.jpg").await {
        assert!(["Missile", "Weapon", "Projectile"].contains(&label.name.as_str()), "{label:?}");
    }
}

#[tokio::test]
async fn a_picture_of_nothing_known_has_no_labels() {
    assert_eq!(labels_of("hubble-deep-field.jpg").await, []);
}

#[tokio::test]
async fn thresholds_out_of_reach_leave_nothing() {
    let strict = Thresholds { group: 101.0, class: 101.0, object: 101.0, contradiction: 90.0 };
    assert_eq!(Builtin::new(strict, 1).labels(photo("coffee.jpg")).await.expect("labels"), []);
}

#[tokio::test]
async fn a_truncated_jpeg_never_gets_labels() {
    let whole = photo("chelsea.jpg");
    for length in [2, 100, 700, whole.len() / 2, whole.len() * 9 / 10] {
        let answer = builtin().labels(whole.slice(..length)).await;
        assert!(matches!(answer, Err(Unlabelled::Never(_))), "{length} bytes: {answer:?}");
    }
}

#[tokio::test]
async fn a_jpeg_with_flipped_bytes_is_answered_or_refused() {
    let labeler = builtin();
    for seed in 0..12_usize {
        let mut bytes = photo("rocket.jpg").to_vec();
        for step in 0..20 {
            let at = (seed * 7919 + step * 104_729) % bytes.len();
            bytes[at] ^= u8::try_from((seed + step) % 255 + 1).expect("below 256");
        }
        let answer = labeler.labels(bytes.into()).await;
        assert!(matches!(answer, Ok(_) | Err(Unlabelled::Never(_))), "{seed}: {answer:?}");
    }
}

#[tokio::test]
async fn a_damaged_model_is_told_and_the_photo_can_wait() {
    let cut = |network: Network| Network { bytes: &network.bytes[..network.bytes.len() / 2], ..network };
    let flipped = |network: Network| {
        let mut bytes = network.bytes.to_vec();
        bytes[1_000_000] ^= 1;
        Network { bytes: bytes.leak(), ..network }
    };
    let none = |network: Network| Network { bytes: &[], ..network };
    let damaged = [
        (cut(Network::classifier()), Network::detector(), "efficientnet-lite0"),
        (none(Network::classifier()), Network::detector(), "efficientnet-lite0"),
        (Network::classifier(), flipped(Network::detector()), "efficientdet-lite2"),
    ];
    for (classifier, detector, name) in damaged {
        let labeler = Builtin::with_models(classifier, detector, Thresholds::default(), 1);
        let told = labeler.check().expect_err("damaged").to_string();
        assert!(told.contains(name) && told.contains("damaged"), "{told}");
        match labeler.labels(photo("coffee.jpg")).await {
            Err(Unlabelled::NotNow { retry_after: None, cause }) => {
                assert!(cause.to_string().contains("damaged") && cause.to_string().contains(name), "{cause}");
            }
            other => panic!("{name} was answered with {other:?}"),
        }
    }
    assert_eq!(builtin().check(), Ok(()));
}

#[test]
fn a_model_that_is_no_model_is_an_error() {
    use sha2::Digest;
    for bytes in [&b"junk"[..], &[0; 5000], &Network::classifier().bytes[..100_000], &[]] {
        let sha256: &'static str = hex::encode(sha2::Sha256::digest(bytes)).leak();
        let network = Network { name: "junk", sha256, bytes };
        let told = Models::load(&network, &Network::detector()).err().expect("an error").to_string();
        assert!(told.contains("junk"), "{told}");
    }
}

async fn most_at_work(at_once: usize) -> usize {
    let labeler = Arc::new(Builtin::new(Thresholds::default(), at_once));
    let pictures: Vec<_> = (0..6)
        .map(|_| {
            let labeler = Arc::clone(&labeler);
            tokio::spawn(async move { labeler.labels(photo("coffee.jpg")).await.expect("labels") })
        })
        .collect();
    let mut most = 0;
    while pictures.iter().any(|picture| !picture.is_finished()) {
        most = most.max(labeler.at_work());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    for picture in pictures {
        assert!(!picture.await.expect("no panic").is_empty());
    }
    assert_eq!(labeler.at_work(), 0);
    most
}

#[tokio::test]
async fn no_more_pictures_are_looked_at_than_allowed() {
    assert_eq!(most_at_work(1).await, 1);
    assert_eq!(most_at_work(2).await, 2);
}

#[tokio::test]
async fn looking_does_not_block_the_thread_that_asks() {
    let labeler = builtin();
    let mut asked = std::pin::pin!(labeler.labels(photo("coffee.jpg")));
    let mut turns = 0;
    let labels = loop {
        tokio::select! {
            labels = &mut asked => break labels.expect("labels"),
            () = tokio::time::sleep(Duration::from_millis(2)) => turns += 1,
        }
    };
    assert!(!labels.is_empty());
    assert!(turns > 5, "the thread was free {turns} times");
}
