//! `check`: says whether catalog, store and queue agree, and sets right what can be.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    app::App,
    audit::{Finding, How, Listener, Summary},
    cli::Check,
    photo::{PhotoId, counted, grouped, size},
    settings::{Labeler, Settings},
};

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(200);

pub(super) async fn run(settings: Settings, how: Check) -> anyhow::Result<()> {
    // Labels are the workers' business: no model is loaded for a look.
    let settings = Settings { labeler: Labeler::None, ..settings };
    let failed = "the check could not be made, so nothing is said about the gallery";
    let app = Box::pin(App::visit(settings)).await.context(failed)?;
    let mut report = Report::new(how.json);
    let Check { deep, repair, delete_orphans, json: _ } = how;
    let how = How { deep, repair, delete_orphans };
    let outcome = app.audit().run(how, &mut report).await;
    report.progress.finish_and_clear();
    app.close().await;
    let summary = outcome.context("the check broke off, so what it said is not all")?;
    report.end(&summary)?;
    match summary.remaining() {
        0 => Ok(()),
        1 => bail!("1 finding remains"),
        several => bail!("{} findings remain", grouped(several)),
    }
}

/// Prints what is found as it is found: sentences, or the parts of one JSON object.
struct Report {
    progress: ProgressBar,
    json: bool,
    /// How many findings and failed photos were printed.
    findings: u64,
    failed: Vec<Failed>,
}

/// A photo that will not get further by itself.
#[derive(Serialize)]
struct Failed {
    photo: PhotoId,
    problem: String,
}

/// The most failed photos that are named; the others are counted.
const FAILED_NAMED: usize = 1000;

impl Report {
    fn new(json: bool) -> Self {
        let progress = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        progress.enable_steady_tick(TICK);
        Self { progress, json, findings: 0, failed: Vec::new() }
    }

    /// Writes to standard output, above the bar; a reader that has seen enough is no error.
    fn print(&self, text: &str) {
        self.progress.suspend(|| {
            let mut out = io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
    }

    /// What stands at the end: the sums.
    fn end(&self, summary: &Summary) -> anyhow::Result<()> {
        if self.json {
            let checked = serde_json::to_string(summary)?;
            let failed = serde_json::to_string(&self.failed)?;
            let begin = if self.findings == 0 { "{\"findings\":[" } else { "\n" };
            let remaining = summary.remaining();
            self.print(&format!("{begin}],\"failed\":{failed},\"remaining\":{remaining},\"checked\":{checked}}}\n"));
            return Ok(());
        }
        let mut lines = Vec::new();
        for Failed { photo, problem } in &self.failed {
            lines.push(format!("Photo {photo} will not get further by itself: {problem}"));
        }
        if summary.quarantined > 0 {
            let objects = counted(summary.quarantined, "object", "objects");
            lines.push(format!("Without a photo yet, and younger than a day: {objects}; that is no finding."));
        }
        if summary.unnamed > 0 {
            let things = counted(summary.unnamed, "thing", "things");
            lines.push(format!("In the store with a name that tells no object of the gallery: {things}."));
        }
        if summary.to_adopt + summary.set_aside > 0 {
            lines.push(format!(
                "Rows of an earlier app: {} to be taken in, {} that cannot be photos.",
                grouped(summary.to_adopt),
                grouped(summary.set_aside)
            ));
        }
        if let Some(depth) = summary.queue {
            lines.push(format!("Messages: {} waiting, {} in hand.", grouped(depth.waiting), grouped(depth.in_hand)));
        }
        lines.extend(summary.queue_note.map(str::to_owned));
        let verdict = match (summary.found, summary.repaired) {
            (0, _) => "nothing is wrong".to_owned(),
            (found, 0) => format!("{} found", grouped(found)),
            (found, repaired) => format!("{} found, {} of them set right", grouped(found), grouped(repaired)),
        };
        lines.push(format!(
            "{} and {} of {} are checked: {verdict}.",
            counted(summary.photos, "photo", "photos"),
            counted(summary.objects, "object", "objects"),
            size(summary.bytes)
        ));
        self.print(&(lines.join("\n") + "\n"));
        Ok(())
    }
}

impl Listener for Report {
    fn found(&mut self, finding: &Finding) {
        let text = if self.json {
            let begin = if self.findings == 0 { "{\"findings\":[\n" } else { ",\n" };
            // Strings, numbers and truths are always JSON.
            format!("{begin}{}", serde_json::to_string(finding).unwrap_or_default())
        } else {
            format!("{}\n", finding.detail)
        };
        self.findings += 1;
        self.print(&text);
    }

    fn failed(&mut self, photo: PhotoId, problem: &str) {
        if self.failed.len() < FAILED_NAMED {
            self.failed.push(Failed { photo, problem: problem.to_owned() });
        }
    }

    fn begins(&mut self, what: &'static str, steps: Option<u64>) {
        let template = if steps.is_some() { "{bar:30} {pos}/{len} {msg}, {eta} left" } else { "{spinner} {pos} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.progress.set_style(style);
        }
        self.progress.set_position(0);
        self.progress.set_length(steps.unwrap_or(0));
        self.progress.set_message(what);
    }

    fn advanced(&mut self, steps: u64) {
        self.progress.inc(steps);
    }
}
