//! `photo-gallery doctor`: what it says of a gallery that is right, and of each of its parts when that is wrong.

mod alone;
mod stand_in;
mod with_servers;

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::process::run;

/// What a program is set by.
pub(crate) type Variables = BTreeMap<&'static str, String>;

/// What the doctor said.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) findings: Vec<(String, String, String)>,
    pub(crate) errors: String,
}

/// Runs the doctor in `folder`. Whatever it says, it says no secret.
pub(crate) fn doctor(folder: &Path, variables: &Variables) -> Told {
    doctor_for(folder, variables, &[])
}

/// The same with more on its command line.
pub(crate) fn doctor_for(folder: &Path, variables: &Variables, more: &[&str]) -> Told {
    let environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = run(folder, &[&["doctor", "--json"], more].concat(), &environment, "");
    let (told, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    keeps_secrets(variables, &told);
    keeps_secrets(variables, &errors);
    let whole: Value = serde_json::from_str(&told).unwrap_or_default();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = whole["findings"].as_array().into_iter().flatten();
    let findings: Vec<_> = findings
        .map(|finding| (text(finding, "verdict"), text(finding, "subject"), text(finding, "sentence")))
        .collect();
    for word in ["ok", "warn", "fail", "skip"] {
        let counted = findings.iter().filter(|(verdict, ..)| verdict == word).count();
        assert!(findings.is_empty() || whole[word] == counted, "{word} in {told}");
    }
    Told { code: output.status.code(), findings, errors }
}

/// Fails when a value that is secret stands in `told`.
fn keeps_secrets(variables: &Variables, told: &str) {
    let secret = |name: &str| ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY"].iter().any(|word| name.contains(word));
    // What MiniStack's root signs with is a word of its own address.
    for (name, value) in variables.iter().filter(|(name, value)| secret(name) && *value != "test") {
        assert!(value.is_empty() || !told.contains(value.as_str()), "{name} is told: {told}");
    }
    for word in ["X-Amz-Signature", "X-Amz-Credential", "AWS4-HMAC-SHA256", "Key-Pair-Id"] {
        assert!(!told.contains(word), "{word} is told: {told}");
    }
}

impl Told {
    /// The lines of one verdict: subject and sentence.
    pub(crate) fn of(&self, verdict: &str) -> Vec<(&str, &str)> {
        let found = self.findings.iter().filter(|finding| finding.0 == verdict);
        found.map(|(_, subject, sentence)| (subject.as_str(), sentence.as_str())).collect()
    }

    /// That all is well, without a warning.
    pub(crate) fn all_is_well(&self) {
        assert!(self.findings.iter().all(|finding| finding.0 == "ok"), "{:#?}", self.findings);
        assert!(self.findings.len() > 5 && self.code == Some(0), "{:?} {:?} {}", self.code, self.findings, self.errors);
    }

    /// That this one thing is wrong, and said so in these words.
    pub(crate) fn says(&self, subject: &str, words: &[&str]) {
        let wrong = self.of("fail");
        assert!(wrong.len() == 1 && wrong[0].0 == subject, "{subject} {words:?}: {:#?} {}", self.findings, self.errors);
        assert!(words.iter().all(|word| wrong[0].1.contains(word)), "{words:?}: {wrong:?}");
        assert_eq!(self.code, Some(1));
        assert!(self.errors.contains("1 thing is wrong"), "{}", self.errors);
    }

    /// That nothing is wrong, and there is this warning.
    pub(crate) fn warns(&self, subject: &str, words: &[&str]) {
        let warnings = self.of("warn");
        let meant = |warning: &&(&str, &str)| warning.0 == subject && words.iter().all(|word| warning.1.contains(word));
        assert!(warnings.iter().any(|warning| meant(&warning)), "{subject} {words:?}: {:#?}", self.findings);
        assert!(self.of("fail").is_empty() && self.code == Some(0), "{:#?}", self.findings);
    }
}

/// Variables of these pairs.
pub(crate) fn variables<Text: Into<String>>(pairs: impl IntoIterator<Item = (&'static str, Text)>) -> Variables {
    pairs.into_iter().map(|(name, value)| (name, value.into())).collect()
}
