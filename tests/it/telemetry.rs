//! Log lines stay lines.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use photo_gallery::telemetry::{Format, subscriber};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics while it writes").clone()).expect("logs are UTF-8")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Has every event of every thread wanted by somebody. Without it an event that one thread meets first while nobody listens may be taken for
/// unwanted just when another thread begins to listen.
pub(crate) fn wanted() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("no test sets another");
    });
}

/// What is logged as `format` through `filter` while `doing` runs.
fn logged(format: Format, filter: &str, doing: impl FnOnce()) -> String {
    wanted();
    let lines = Lines::default();
    tracing::subscriber::with_default(subscriber(format, filter, lines.clone()).expect("the filter is right"), doing);
    lines.text()
}

pub(crate) const PLAIN: Format = Format::Text { coloured: false };
const HOSTILE: &str = "a.jpg\r\n2026-01-01 INFO forged\x1b[2J\u{9b}1m\u{7f}\0\u{2028}\u{202e}gpj";

fn hostile_event() {
    let span = tracing::info_span!("request", id = %HOSTILE, raw = HOSTILE);
    let _entered = span.enter();
    tracing::info!(name = %HOSTILE, raw = HOSTILE, "uploaded {HOSTILE}");
}

fn is_plain(line: &str) -> bool {
    !line.contains(|c: char| c.is_control() || "\u{2028}\u{202e}".contains(c))
}

#[test]
fn hostile_text_stays_on_one_line_and_cannot_steer_a_terminal() {
    let text = logged(PLAIN, "info", hostile_event);
    assert_eq!(text.lines().count(), 1, "{text:?}");
    assert!(is_plain(text.trim_end_matches('\n')), "{text:?}");
    assert!(text.contains(r"uploaded a.jpg\r\n2026-01-01 INFO forged\x1b[2J"), "{text:?}");
    assert!(text.contains("request{id=a.jpg"), "{text:?}");
}

#[test]
fn hostile_json_stays_on_one_line_and_says_the_same() {
    let text = logged(Format::Json, "info", hostile_event);
    assert_eq!(text.lines().count(), 1, "{text:?}");
    assert!(is_plain(text.trim_end_matches('\n')), "{text:?}");
    let event: serde_json::Value = serde_json::from_str(&text).expect("a line is JSON");
    assert_eq!(event["level"], "INFO");
    assert_eq!(event["raw"], HOSTILE);
    assert_eq!(event["spans"][0]["raw"], HOSTILE);
    assert_eq!(event["target"], "it::telemetry");
}

#[test]
fn text_names_time_level_module_message_and_fields() {
    let text = logged(PLAIN, "info", || tracing::warn!(photo = 7, "slow"));
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words[1..], ["WARN", "it::telemetry:", "slow", "photo=7"]);
    assert!(words[0].ends_with('Z'), "{text:?}");
}

#[test]
fn colours_are_for_terminals_only() {
    let event = || tracing::error!("broken");
    assert!(logged(Format::Text { coloured: true }, "info", event).contains("\x1b[31mERROR\x1b[0m"));
    assert!(!logged(PLAIN, "info", event).contains('\x1b'));
}

#[test]
fn the_filter_chooses_levels_by_module() {
    let events = || {
        tracing::debug!(target: "photo_gallery::album", "wanted");
        tracing::debug!(target: "elsewhere", "unwanted");
    };
    let text = logged(PLAIN, "info,photo_gallery=debug", events);
    assert!(text.contains("wanted") && !text.contains("unwanted"), "{text:?}");
}

#[test]
fn what_speaks_to_services_outside_is_not_heard_below_info() {
    let events = || {
        tracing::trace!(target: "photo_gallery::album", "wanted");
        tracing::info!(target: "aws_config", "wanted too");
        tracing::debug!(target: "aws_smithy_runtime::client::orchestrator", "unwanted");
        tracing::trace!(target: "hyper_util::client", "unwanted");
    };
    for format in [PLAIN, Format::Json] {
        let text = logged(format, "trace,aws_smithy_runtime::client::orchestrator=trace,hyper_util=trace", events);
        assert!(text.contains("wanted too") && text.lines().count() == 2, "{text:?}");
        assert!(!text.contains("unwanted"), "{text:?}");
    }
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let refusal = subscriber(PLAIN, "photo_gallery=loud", std::io::stderr).err().map(|error| error.to_string());
    assert_eq!(refusal.as_deref(), Some("`photo_gallery=loud` is not a filter of log events"));
}
