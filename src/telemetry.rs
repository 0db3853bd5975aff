//! Logs: one line for each event on standard error, as text for people or as JSON. What a visitor sends cannot begin a line of its
//! own or steer a terminal.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
    panic::PanicHookInfo,
};

use anyhow::Context as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::{self, Writer},
        time::{FormatTime as _, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
};

/// Parts that speak to services outside, and say at `debug` and `trace` what they send and are sent: signatures, tokens, what people typed,
/// passwords in a function's events. However the filter is set, they are heard from `info` on.
const CONFIDANTS: [&str; 4] = ["aws_", "h2", "hyper", "lambda_runtime"];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time level module: message field=value span{field=value}`.
    Text {
        /// Whether the level is coloured for a terminal.
        coloured: bool,
    },
    /// One JSON object with `timestamp`, `level`, `target`, `message`, the fields and `spans`.
    Json,
}

impl Format {
    /// Text, coloured when standard error is a terminal.
    pub fn text() -> Self {
        Self::Text { coloured: std::io::stderr().is_terminal() }
    }
}

/// Begins logging for the whole process, panics included. Fails when `filter` is not one, or when logging has begun before.
pub fn start(format: Format, filter: &str) -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(subscriber(format, filter, std::io::stderr)?)
        .context("logging has begun already")?;
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Writes the events that `filter` (`info,photo_gallery=debug`) lets through to `writer`, one write for each line.
pub fn subscriber<W>(format: Format, filter: &str, writer: W) -> anyhow::Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`{filter}` is not a filter of log events"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    let discreet = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO || !CONFIDANTS.iter().any(|part| metadata.target().starts_with(part))
    });
    Ok(match format {
        Format::Text { coloured } => Box::new(lines.event_format(Text { coloured }).finish().with(discreet)),
        Format::Json => {
            let json = format::json().flatten_event(true).with_current_span(false).with_span_list(true);
            Box::new(lines.json().event_format(Json(json)).finish().with(discreet))
        }
    })
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panic: {}", panic.payload_as_str().unwrap_or("without a message"));
}

/// Whether `c` could break a line, steer a terminal or turn the reading direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Text {
    coloured: bool,
}

impl Text {
    /// The level, five characters wide.
    fn level(&self, level: Level) -> String {
        let colour = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            Level::TRACE => 35,
        };
        if self.coloured { format!("\x1b[{colour}m{level:>5}\x1b[0m") } else { format!("{level:>5}") }
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = String::new();
        context.field_format().format_fields(Writer::new(&mut said), event)?;
        for span in context.event_scope().into_iter().flatten() {
            write!(said, " {}", span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(said, "{{{fields}}}")?;
            }
        }
        SystemTime.format_time(&mut out)?;
        let metadata = event.metadata();
        write!(out, " {} {}: ", self.level(*metadata.level()), metadata.target())?;
        for c in said.chars() {
            if is_unsafe(c) { write!(out, "{}", c.escape_default())? } else { out.write_char(c)? }
        }
        writeln!(out)
    }
}

struct Json(format::Format<format::Json>);

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        for c in line.trim_end_matches('\n').chars() {
            if is_unsafe(c) { write!(out, "\\u{:04x}", u32::from(c))? } else { out.write_char(c)? }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use std::{panic, sync::Arc};

    use super::{Format, panicked, subscriber};

    #[test]
    fn a_panic_is_one_event_on_one_line() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let writer = Arc::new(file.reopen().expect("the file is there"));
        let lines = subscriber(Format::Text { coloured: false }, "info", writer).expect("the filter is right");
        let hook = panic::take_hook();
        panic::set_hook(Box::new(panicked));
        let result = tracing::subscriber::with_default(lines, || {
            let _request = tracing::info_span!("request", id = "0123").entered();
            panic::catch_unwind(|| panic!("first\nsecond"))
        });
        panic::set_hook(hook);

        assert!(result.is_err());
        let text = std::fs::read_to_string(file.path()).expect("the file is there");
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.contains(r"ERROR photo_gallery::telemetry: panic: first\nsecond location="), "{text:?}");
        assert!(text.contains("src/telemetry.rs:") && text.contains("request{id=\"0123\"}"), "{text:?}");
    }
}
