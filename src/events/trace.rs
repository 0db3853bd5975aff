//! Which request caused what: a W3C trace context that travels with a task, and with messages between machines.

use std::{fmt, future::Future, str::FromStr};

use crate::photo::Malformed;

/// The value of a `traceparent` header (W3C Trace Context, version 00).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext(String);

impl TraceContext {
    /// The context of a request known by an id of 32 lower-case hexadecimal digits, as UUIDs have; `None` when it is not one.
    pub fn of_request(id: &str) -> Option<Self> {
        let parent = id.get(16..)?;
        format!("00-{id}-{parent}-00").parse().ok()
    }

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What all parts of one story share: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

impl FromStr for TraceContext {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("a trace context is a `traceparent` of version 00");
        let parts: Vec<&str> = text.split('-').collect();
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let &["00", trace, parent, flags] = parts.as_slice() else { return Err(WRONG) };
        let some = |part: &str| part.bytes().any(|b| b != b'0');
        let whole = hex(trace, 32) && some(trace) && hex(parent, 16) && some(parent) && hex(flags, 2);
        if whole { Ok(Self(text.to_owned())) } else { Err(WRONG) }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static CURRENT: Option<TraceContext>;
}

/// Runs `work` as a part of `context`. Tasks that it spawns are not part of it by themselves.
pub async fn within<T>(context: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(context, work).await
}

/// The context that this task runs within.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}
