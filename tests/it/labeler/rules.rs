//! How two models' sights become one list of labels.

use photo_gallery::{
    labeler::builtin::{
        detector::{Bounds, Detection},
        fusion::{Thresholds, fuse},
        vocabulary::Vocabulary,
    },
    photo::Label,
};

use super::named;

const BOX: Bounds = Bounds { left: 0.25, top: 0.5, right: 0.75, bottom: 1.0 };

fn words() -> &'static Vocabulary {
    Vocabulary::embedded()
}

fn class(name: &str) -> usize {
    words().classes.iter().position(|word| word.name == name).expect(name)
}

fn object(name: &str, score: f32) -> Detection {
    let class =
        words().objects.iter().position(|word| word.as_ref().is_some_and(|word| word.name == name)).expect(name);
    Detection { class, score, bounds: BOX }
}

fn fused(classes: &[(&str, f32)], objects: &[Detection]) -> Vec<Label> {
    let mut probabilities = vec![0.0; words().classes.len()];
    for (name, probability) in classes {
        probabilities[class(name)] = *probability;
    }
    fuse(words(), &probabilities, objects, &Thresholds::default())
}

#[track_caller]
fn assert_confidence(labels: &[Label], name: &str, percent: f64) {
    let found = named(labels, name).map(Label::by_confidence);
    assert!(found.is_some_and(|found| (found - percent).abs() < 0.001), "{name} is {found:?} instead of {percent}");
}

#[test]
fn classes_below_one_name_add_up() {
    let labels = fused(&[("Beagle", 0.2), ("Basset", 0.2), ("Pug", 0.1)], &[]);
    assert_confidence(&labels, "Dog", 50.0);
    assert_confidence(&labels, "Animal", 50.0);
    assert!(named(&labels, "Beagle").is_none(), "no class is sure by itself");
    assert!(named(&labels, "Hound").is_none(), "40 % are below the threshold of 45 %");
}

#[test]
fn a_sure_class_has_its_own_label_with_its_parents() {
    let labels = fused(&[("Golden Retriever", 0.8)], &[]);
    let retriever = named(&labels, "Golden Retriever").expect("the class");
    assert_eq!(retriever.parents.first().map(String::as_str), Some("Retriever"));
    for parent in ["Dog", "Canine", "Mammal", "Animal"] {
        assert!(retriever.parents.iter().any(|p| p == parent), "{parent} in {retriever:?}");
        assert_confidence(&labels, parent, 80.0);
    }
    let dog = named(&labels, "Dog").expect("a dog");
    assert!(!dog.parents.iter().any(|p| p == "Dog" || p == "Retriever"), "{dog:?}");
}

#[test]
fn two_witnesses_make_surer_than_one() {
    let labels = fused(&[("Beagle", 0.6)], &[object("Dog", 0.7)]);
    assert_confidence(&labels, "Dog", 88.0);
    assert_confidence(&labels, "Animal", 88.0);
    assert_confidence(&labels, "Beagle", 60.0);
}

#[test]
fn each_object_has_its_box_and_the_surest_gives_the_confidence() {
    let labels = fused(&[], &[object("Chair", 0.6), object("Chair", 0.9), object("Chair", 0.4)]);
    assert_confidence(&labels, "Chair", 90.0);
    let chair = named(&labels, "Chair").expect("chairs");
    assert_eq!(chair.instances.len(), 2, "the third is below the threshold");
    let first = chair.instances[0];
    assert_eq!((first.left, first.top, first.width, first.height), (0.25, 0.5, 0.5, 0.5));
    assert_confidence(&labels, "Furniture", 90.0);
    assert!(named(&labels, "Furniture").is_some_and(|label| label.instances.is_empty()));
}

#[test]
fn a_sure_animal_rules_out_another_one() {
    let labels = fused(&[("Dalmatian", 0.92)], &[object("Giraffe", 0.7), object("Person", 0.8)]);
    assert!(named(&labels, "Giraffe").is_none(), "{labels:?}");
    assert!(named(&labels, "Person").is_some(), "people are no animals here: {labels:?}");
}

#[test]
fn an_animal_less_sure_rules_out_nothing() {
    let labels = fused(&[("Dalmatian", 0.85)], &[object("Giraffe", 0.7)]);
    assert!(named(&labels, "Giraffe").is_some(), "{labels:?}");
}

#[test]
fn an_animal_does_not_rule_out_its_own_kind() {
    let labels = fused(&[("Sorrel", 0.95)], &[object("Horse", 0.7)]);
    assert_confidence(&labels, "Horse", 70.0);
    let labels = fused(&[("Zebra", 0.95)], &[object("Zebra", 0.6)]);
    assert_confidence(&labels, "Zebra", 98.0);
    let labels = fused(&[("Bald Eagle", 0.95)], &[object("Bird", 0.6)]);
    assert_confidence(&labels, "Bird", 98.0);
}

#[test]
fn nothing_sure_is_no_labels() {
    assert_eq!(fused(&[("Beagle", 0.3), ("Missile", 0.3)], &[object("Cup", 0.49)]), []);
}

#[test]
fn numbers_that_are_none_make_no_labels() {
    let labels = fused(&[("Beagle", f32::NAN)], &[object("Cup", f32::NAN)]);
    assert_eq!(labels, []);
    let unused = Detection { class: 11, ..object("Cup", 0.9) };
    let beyond = Detection { class: 5000, ..unused };
    assert_eq!(fuse(words(), &[], &[unused, beyond], &Thresholds::default()), []);
}

#[test]
fn the_vocabulary_is_whole() {
    assert_eq!(words().classes.len(), 1000);
    assert_eq!(words().objects.len(), 90);
    assert_eq!(words().objects.iter().flatten().count(), 80);
    assert_eq!(words().groups.len(), 111);
    let words = words().classes.iter().chain(words().objects.iter().flatten()).chain(&words().groups);
    for word in words {
        assert!(word.name.chars().next().is_some_and(|c| !c.is_lowercase()), "{word:?}");
        assert!(!word.parents.contains(&word.name), "{word:?}");
        assert!(word.members.iter().all(|class| *class < 1000), "{word:?}");
    }
}
