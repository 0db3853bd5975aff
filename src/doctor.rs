//! What `doctor` says: looks, each bounded in time, and a finding of each. Knows nothing of what is looked at.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{error::causes, photo::plain_line};

/// The longest that one look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is right.
    Ok,
    /// It works, and would be better otherwise.
    Warn,
    /// It is wrong.
    Fail,
    /// It was not looked at, because of something else that is wrong.
    Skip,
}

impl Verdict {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub verdict: Verdict,
    /// What was looked at, in a few words.
    pub subject: String,
    /// What is so, and what to do about it: one line.
    pub sentence: String,
}

/// What a look saw; with a value, where later looks need one.
#[derive(Clone, Debug)]
pub struct Seen<T = ()> {
    verdict: Verdict,
    sentence: String,
    value: T,
}

impl Seen {
    /// It is right.
    pub fn ok(sentence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, sentence: sentence.into(), value: () }
    }

    /// It works, and would be better otherwise.
    pub fn warn(sentence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, sentence: sentence.into(), value: () }
    }

    /// With what later looks need.
    pub fn with<T>(self, value: T) -> Seen<T> {
        Seen { verdict: self.verdict, sentence: self.sentence, value }
    }
}

/// The findings of one part, in the order of its looks.
#[derive(Debug, Default)]
pub struct Chart(Vec<Finding>);

impl Chart {
    /// Looks for at most 10 s, and writes down what is seen. An error is what is wrong. `None` then, else the look's value.
    pub async fn look<T>(
        &mut self,
        subject: impl Into<String>,
        looking: impl Future<Output = anyhow::Result<Seen<T>>>,
    ) -> Option<T> {
        let seen = tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "there was no answer within {} s: check the disk, or the network on the way, security groups included",
                PATIENCE.as_secs()
            ))
        });
        let (verdict, sentence, value) = match seen {
            Ok(seen) => (seen.verdict, seen.sentence, Some(seen.value)),
            Err(cause) => (Verdict::Fail, causes(cause.as_ref()), None),
        };
        self.write(verdict, subject.into(), &sentence);
        value
    }

    /// Writes down what needed no waiting.
    pub fn note(&mut self, subject: impl Into<String>, seen: anyhow::Result<Seen>) {
        match seen {
            Ok(seen) => self.write(seen.verdict, subject.into(), &seen.sentence),
            Err(cause) => self.write(Verdict::Fail, subject.into(), &causes(cause.as_ref())),
        }
    }

    /// Writes down what cannot be looked at, because `of` something else.
    pub fn skip(&mut self, subject: impl Into<String>, of: &str) {
        self.write(Verdict::Skip, subject.into(), &format!("not looked at, because {of}"));
    }

    /// All that was found.
    pub fn findings(self) -> Vec<Finding> {
        self.0
    }

    fn write(&mut self, verdict: Verdict, subject: String, sentence: &str) {
        self.0.push(Finding { verdict, subject, sentence: plain_line(sentence) });
    }
}

/// The sentence of an error alone, where what caused it adds nothing that an operator could use.
pub fn alone(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// How many findings there are of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Right.
    pub ok: usize,
    /// Better otherwise.
    pub warn: usize,
    /// Wrong.
    pub fail: usize,
    /// Not looked at.
    pub skip: usize,
}

impl Count {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Warn => self.warn += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Skip => self.skip += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chart, Seen, Verdict};

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_given_up_and_keeps_no_other_from_being_done() {
        let mut chart = Chart::default();
        let seen = chart.look("silence", std::future::pending::<anyhow::Result<Seen<u8>>>()).await;
        assert_eq!(seen, None);
        assert_eq!(chart.look("next", async { Ok(Seen::warn("seen").with(7)) }).await, Some(7));
        chart.note("broken", Err(anyhow::anyhow!("two\nlines")));
        let findings = chart.findings();
        let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Warn, Verdict::Fail]);
        assert!(findings[0].sentence.contains("within 10 s"), "{findings:?}");
        assert!(!findings[2].sentence.contains('\n'), "{findings:?}");
    }
}
