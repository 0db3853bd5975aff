//! What people write: descriptions, file names, and the words by which both are found.

use std::str::FromStr;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::{Label, Malformed};

/// What an owner wrote about a photo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(String);

impl Description {
    /// The longest description, in characters.
    pub const MAX_CHARS: usize = 2000;

    /// The text; empty when nothing was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Description {
    type Err = Malformed;

    /// Trims the ends and makes line breaks uniform; refuses what is too long or holds control characters.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Malformed("a description cannot hold control characters"));
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(Malformed("a description has at most 2,000 characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name a file came with, for showing and for downloads; never a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// The longest name kept, in characters; longer ones lose their middle.
    pub const MAX_CHARS: usize = 200;

    /// What remains of `raw` once folders, control and direction-changing characters are gone; `photo` when nothing remains.
    pub fn new(raw: &str) -> Self {
        let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = plain_line(last);
        let name = name.trim_matches(['.', ' ']);
        if name.is_empty() {
            return Self("photo".to_owned());
        }
        let chars: Vec<char> = name.chars().collect();
        if chars.len() <= Self::MAX_CHARS {
            return Self(name.to_owned());
        }
        let (head, tail) = (&chars[..Self::MAX_CHARS - 21], &chars[chars.len() - 20..]);
        Self(head.iter().chain(&['…']).chain(tail).collect())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` on one line, without control characters and without characters that turn the reading direction.
pub fn plain_line(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !turns(*c)).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A word by which photos are found: lower case, without accents, plural `s` and possessive `'s` gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(String);

impl Term {
    /// The longest term, in characters; longer words are cut alike when indexed and when searched.
    pub const MAX_CHARS: usize = 40;

    /// The words of a text, each once, sorted.
    pub fn words(text: &str) -> Vec<Self> {
        let folded: String = text
            .nfkd()
            .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
            .map(|c| if matches!(c, '_' | '.') { ' ' } else { c })
            .flat_map(char::to_lowercase)
            .collect();
        let mut terms: Vec<Self> = folded
            .unicode_words()
            .map(|word| {
                let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
                let word: String = word.chars().take(Self::MAX_CHARS).collect();
                let plural = word.len() > 3 && word.is_ascii() && word.ends_with('s') && !word.ends_with("ss");
                Self(if plural { word[..word.len() - 1].to_owned() } else { word })
            })
            .collect();
        terms.sort();
        terms.dedup();
        terms
    }

    /// The term under which every photo with exactly this label is filed; no word of a text equals it.
    pub fn label(name: &str) -> Self {
        let name: String = plain_line(name).to_lowercase();
        Self(std::iter::once('=').chain(name.chars().take(Label::MAX_NAME_CHARS)).collect())
    }

    /// The term as the catalog holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
