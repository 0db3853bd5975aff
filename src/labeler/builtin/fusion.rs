//! From what the two models saw to one list of labels. Pure: numbers in, labels out.

use std::collections::BTreeMap;

use super::{
    detector::Detection,
    vocabulary::{Vocabulary, Word},
};
use crate::photo::{Instance, Label};

/// From where on something counts, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A name above classes, by the sum of its classes: `Dog`.
    pub group: f64,
    /// A single class of the classifier: `Golden Retriever`.
    pub class: f64,
    /// An object of the detector.
    pub object: f64,
    /// An animal of the classifier that rules out other animals of the detector.
    pub contradiction: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { group: 45.0, class: 50.0, object: 50.0, contradiction: 90.0 }
    }
}

/// The labels for the classifier's `probabilities` (0 to 1, by class) and the detector's `detections`: names of classes and of the groups
/// above them, objects with their boxes, and whatever is more general than an object at least as sure as it.
pub fn fuse(
    vocabulary: &Vocabulary,
    probabilities: &[f32],
    detections: &[Detection],
    thresholds: &Thresholds,
) -> Vec<Label> {
    let mut labels: BTreeMap<&str, Label> = BTreeMap::new();
    let probability = |word: &Word| -> f64 {
        let members = word.members.iter().filter_map(|&class| probabilities.get(class));
        members.map(|&p| 100.0 * f64::from(p)).sum::<f64>().clamp(0.0, 100.0)
    };
    let classes = vocabulary.classes.iter().map(|word| (word, thresholds.class));
    let groups = vocabulary.groups.iter().map(|word| (word, thresholds.group));
    for (word, threshold) in classes.chain(groups) {
        let confidence = probability(word);
        if confidence >= threshold {
            let label = labels.entry(&word.name).or_insert_with(|| label(word));
            label.confidence = Some(label.by_confidence().max(confidence));
        }
    }

    let sure_animals: Vec<&Word> = vocabulary
        .classes
        .iter()
        .chain(&vocabulary.groups)
        .filter(|word| word.is_animal() && probability(word) >= thresholds.contradiction)
        .collect();
    let mut objects: BTreeMap<&str, (&Word, Label)> = BTreeMap::new();
    for detection in detections {
        let confidence = 100.0 * f64::from(detection.score);
        let Some(Some(word)) = vocabulary.objects.get(detection.class) else { continue };
        let sure = confidence >= thresholds.object;
        if !sure || sure_animals.iter().any(|animal| contradicts(animal, word)) {
            continue;
        }
        let (_, object) = objects.entry(&word.name).or_insert_with(|| (word, label(word)));
        object.confidence = Some(object.by_confidence().max(confidence));
        object.instances.push(instance(detection));
    }

    for (name, (word, object)) in objects {
        let seen = labels.entry(name).or_insert_with(|| label(word));
        let confidence = noisy_or(seen.confidence.unwrap_or(0.0), object.confidence.unwrap_or(0.0));
        seen.confidence = Some(confidence);
        seen.instances = object.instances;
        for parent in &word.parents {
            let label = labels.entry(parent).or_insert_with(|| match vocabulary.word(parent) {
                Some(word) => label(word),
                None => label(&Word { name: parent.clone(), parents: Vec::new(), members: word.members.clone() }),
            });
            label.confidence = Some(label.by_confidence().max(confidence));
        }
    }
    Label::tidy(labels.into_values().collect())
}

/// How sure two independent witnesses of one thing make us, in percent.
fn noisy_or(one: f64, other: f64) -> f64 {
    100.0 - (100.0 - one) * (100.0 - other) / 100.0
}

/// Whether an animal that the classifier is sure of rules out that `object` is in the picture.
fn contradicts(sure: &Word, object: &Word) -> bool {
    object.is_animal()
        && sure.name != object.name
        && !object.parents.contains(&sure.name)
        && sure.members.is_disjoint(&object.members)
}

fn label(word: &Word) -> Label {
    Label {
        name: word.name.clone(),
        confidence: None,
        parents: word.parents.clone(),
        categories: word.categories(),
        instances: Vec::new(),
    }
}

fn instance(detection: &Detection) -> Instance {
    let bounds = detection.bounds;
    Instance {
        confidence: 100.0 * f64::from(detection.score),
        left: f64::from(bounds.left),
        top: f64::from(bounds.top),
        width: f64::from(bounds.right - bounds.left),
        height: f64::from(bounds.bottom - bounds.top),
    }
}
