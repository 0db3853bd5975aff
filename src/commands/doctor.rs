//! `doctor`: looks at everything that the settings name, and says what is right, what is wrong, and what to do about it.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::bail;
use serde::Serialize;

use crate::{
    app::doctor::{self, Process},
    doctor::{Count, Finding, Verdict},
    photo::counted,
    settings::{self, Loaded},
};

/// How wide the column of subjects is.
const SUBJECT_WIDTH: usize = 27;

/// Looks for the worker where `work`, else for the server.
pub(super) async fn run(loaded: Loaded, json: bool, work: bool) -> anyhow::Result<()> {
    let mut report = Report::new(json);
    let process = if work { Process::Worker } else { Process::Server };
    doctor::examine(loaded, process, &mut |finding| report.tell(finding)).await;
    report.end()?;
    match report.count.fail {
        0 => Ok(()),
        1 => bail!("1 thing is wrong"),
        several => bail!("{several} things are wrong"),
    }
}

/// Prints findings as they come: aligned lines, or at the end one JSON object.
struct Report {
    json: bool,
    coloured: bool,
    count: Count,
    findings: Vec<Finding>,
}

/// The whole report.
#[derive(Serialize)]
struct Whole<'a> {
    findings: &'a [Finding],
    #[serde(flatten)]
    count: Count,
}

impl Report {
    fn new(json: bool) -> Self {
        let coloured = io::stdout().is_terminal() && !settings::without_colour();
        Self { json, coloured, count: Count::default(), findings: Vec::new() }
    }

    fn tell(&mut self, finding: Finding) {
        self.count.add(finding.verdict);
        if self.json {
            self.findings.push(finding);
            return;
        }
        let Finding { verdict, subject, sentence } = finding;
        let (on, off) = if self.coloured { (colour(verdict), "\x1b[0m") } else { ("", "") };
        print(&format!("{on}{verdict:<4}{off}  {subject:<SUBJECT_WIDTH$}  {sentence}\n"));
    }

    /// What stands at the end: the sums.
    fn end(&self) -> anyhow::Result<()> {
        if self.json {
            let whole = Whole { findings: &self.findings, count: self.count };
            print(&format!("{}\n", serde_json::to_string_pretty(&whole)?));
            return Ok(());
        }
        let Count { ok, warn, fail, skip } = self.count;
        let verdict = if fail > 0 {
            "Something is wrong"
        } else if warn > 0 {
            "Nothing is wrong, and something would be better otherwise"
        } else {
            "All is well"
        };
        let looks = counted((ok + warn + fail) as u64, "look", "looks");
        print(&format!("\n{verdict}: {looks}, {ok} ok, {warn} warn, {fail} fail; {skip} not looked at.\n"));
        Ok(())
    }
}

const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "\x1b[32m",
        Verdict::Warn => "\x1b[33m",
        Verdict::Fail => "\x1b[1;31m",
        Verdict::Skip => "\x1b[2m",
    }
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
