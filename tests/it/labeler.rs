//! What a labeler promises, on every variant.

mod builtin;
mod rekognition;
pub(crate) mod rekognition_stand_in;
mod rules;

use std::{collections::HashSet, path::Path};

use bytes::Bytes;
use photo_gallery::{
    labeler::{Labeler, Unlabelled},
    photo::Label,
};

/// Every public-domain photo in `tests/photos`.
const PHOTOS: [&str; 6] =
    ["astronaut.jpg", "camera.jpg", "chelsea.jpg", "coffee.jpg", "hubble-deep-field.jpg", "rocket.jpg"];

fn photo(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos").join(name);
    Bytes::from(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

fn named<'a>(labels: &'a [Label], name: &str) -> Option<&'a Label> {
    labels.iter().find(|label| label.name == name)
}

async fn labels_keep_the_contract(labeler: &dyn Labeler) {
    let mut seen = 0;
    for name in PHOTOS {
        let labels = labeler.labels(photo(name)).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        seen += labels.len();
        assert!(labels.is_sorted_by(|a, b| a.by_confidence() >= b.by_confidence()), "{name}: surest first: {labels:?}");
        let names: HashSet<String> = labels.iter().map(|label| label.name.to_lowercase()).collect();
        assert_eq!(names.len(), labels.len(), "{name}: each name once: {labels:?}");
        for label in &labels {
            assert!(!label.name.is_empty() && (0.0..=100.0).contains(&label.by_confidence()), "{name}: {label:?}");
            assert!(!label.parents.contains(&label.name), "{name}: {label:?}");
            for found in &label.instances {
                assert!((0.0..=100.0).contains(&found.confidence), "{name}: {found:?}");
                assert!(found.left >= 0.0 && found.top >= 0.0 && found.width > 0.0 && found.height > 0.0, "{found:?}");
                assert!(found.left + found.width <= 1.000_001 && found.top + found.height <= 1.000_001, "{found:?}");
            }
        }
        assert_eq!(labeler.labels(photo(name)).await.expect("labels again"), labels, "{name}: the same again");
    }
    assert_eq!(labeler.paid_as(), labeler.paid_as(), "always called the same");
    assert!(labeler.paid_as().is_none_or(|name| !name.is_empty() && name.chars().count() <= 100));
    assert!(labeler.max_bytes() >= 1 << 20, "a display rendition of the usual size is taken");
    assert!(seen > 0, "some photo has labels");
}

async fn pictures_at_the_same_time_are_all_answered(labeler: &dyn Labeler) {
    let answers = futures_util::future::join_all((0..6).map(|_| labeler.labels(photo("coffee.jpg")))).await;
    let first = answers[0].as_ref().expect("labels").clone();
    assert!(!first.is_empty());
    for answer in answers {
        assert_eq!(answer.expect("labels"), first);
    }
}

async fn what_is_no_picture_never_gets_labels(labeler: &dyn Labeler) {
    for junk in [&b""[..], b"GIF89a", b"not a picture at all", &[0xff, 0xd8, 0xff]] {
        match labeler.labels(Bytes::copy_from_slice(junk)).await {
            Err(Unlabelled::Never(why)) => assert!(why.ends_with('.'), "a sentence: {why}"),
            other => panic!("{junk:?} was answered with {other:?}"),
        }
    }
}

/// The suite over one variant; `canned` for a server that answers the same to everything.
macro_rules! conformance {
    (canned $labeler:expr) => {
        #[tokio::test]
        async fn labels_keep_the_contract() {
            crate::labeler::labels_keep_the_contract(&$labeler.await).await;
        }

        #[tokio::test]
        async fn pictures_at_the_same_time_are_all_answered() {
            crate::labeler::pictures_at_the_same_time_are_all_answered(&$labeler.await).await;
        }
    };
    ($labeler:expr) => {
        crate::labeler::conformance!(canned $labeler);

        #[tokio::test]
        async fn what_is_no_picture_never_gets_labels() {
            crate::labeler::what_is_no_picture_never_gets_labels(&$labeler.await).await;
        }
    };
}
use conformance;
