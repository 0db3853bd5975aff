//! What is in a picture, whoever found it.

use serde::{Deserialize, Serialize};

use super::plain_line;

/// One thing that is in a picture, whoever found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// What it is, in English, as the labeler writes it: `Dog`.
    pub name: String,
    /// How sure the labeler is, in percent, 0 to 100; `None` for labels of an earlier app that kept none.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// More general names: `Animal` for `Dog`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The labeler's subject areas: `Animals and Pets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Where in the picture it stands, once for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
}

impl Label {
    /// The longest name kept, in characters; labelers' longer names are dropped as nonsense.
    pub const MAX_NAME_CHARS: usize = 100;
    /// The most labels kept for one photo.
    pub const MAX_PER_PHOTO: usize = 100;
    /// The most boxes kept for one label.
    pub const MAX_INSTANCES: usize = 100;
    /// The most parents and the most categories kept for one label.
    pub const MAX_PARENTS: usize = 20;

    /// What a labeler returned, made safe to keep: finite confidences within 0 to 100, sane names, each once, surest first and those of
    /// unknown confidence last; boxes within the picture; bounded in every number.
    pub fn tidy(labels: Vec<Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = labels
            .into_iter()
            .filter_map(|mut label| {
                label.name = sane_name(&label.name)?;
                label.confidence = match label.confidence {
                    Some(percent) if !percent.is_finite() => return None,
                    percent => percent.map(|percent| percent.clamp(0.0, 100.0)),
                };
                for related in [&mut label.parents, &mut label.categories] {
                    *related = related.iter().filter_map(|name| sane_name(name)).take(Self::MAX_PARENTS).collect();
                }
                label.instances =
                    label.instances.iter().filter_map(Instance::within_picture).take(Self::MAX_INSTANCES).collect();
                Some(label)
            })
            .collect();
        kept.sort_by(|a, b| b.by_confidence().total_cmp(&a.by_confidence()).then_with(|| a.name.cmp(&b.name)));
        let mut seen = std::collections::HashSet::new();
        kept.retain(|label| seen.insert(label.name.to_lowercase()));
        kept.truncate(Self::MAX_PER_PHOTO);
        kept
    }

    /// The confidence for sorting: the unknown is below every known one.
    pub fn by_confidence(&self) -> f64 {
        self.confidence.unwrap_or(-1.0)
    }

    /// The names joined with `, ` as the course's column `labels` holds them, whole names only, at most `max_chars` characters.
    pub fn joined(labels: &[Self], max_chars: usize) -> String {
        let mut text = String::new();
        let mut chars = 0;
        for label in labels {
            let more = label.name.chars().count() + if text.is_empty() { 0 } else { 2 };
            if chars + more > max_chars {
                break;
            }
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&label.name);
            chars += more;
        }
        text
    }
}

/// A labeler's name on one line; `None` for an empty or too long one.
fn sane_name(name: &str) -> Option<String> {
    let name = plain_line(name);
    (!name.is_empty() && name.chars().count() <= Label::MAX_NAME_CHARS).then_some(name)
}

/// One box around one thing, in fractions of the picture's width and height, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// In percent, 0 to 100.
    pub confidence: f64,
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Instance {
    /// The part of the box that lies within the picture; `None` when nothing does or a number is no number.
    fn within_picture(&self) -> Option<Self> {
        let numbers = [self.confidence, self.left, self.top, self.width, self.height];
        let (left, top) = (self.left.clamp(0.0, 1.0), self.top.clamp(0.0, 1.0));
        let width = (self.width - (left - self.left)).min(1.0 - left);
        let height = (self.height - (top - self.top)).min(1.0 - top);
        let there = numbers.iter().all(|n| n.is_finite()) && width > 0.0 && height > 0.0;
        there.then(|| Self { confidence: self.confidence.clamp(0.0, 100.0), left, top, width, height })
    }
}
