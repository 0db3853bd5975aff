//! What messages look like on their way between machines: our own announcement, and the messages in which S3 and SNS tell of objects.
//! README documents the announcement for others who listen; it only ever grows.

use chrono::SecondsFormat;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Announcement, Message, Subject, TraceContext, Unreadable};
use crate::photo::plain_line;

/// The newest version of the announcement that this program writes and reads.
pub const VERSION: u64 = 1;
/// The one event that is announced.
const UPLOADED: &str = "photo.uploaded";
/// The name under which a trace context travels beside a message.
pub const TRACE: &str = "traceparent";
/// The folder of originals; what is put elsewhere in the bucket is no upload.
const ORIGINALS: &str = "photos/";
/// The largest message that is read, in bytes: SQS carries no larger one.
const MAX_BYTES: usize = 1 << 20;
/// The most objects that one message may tell of.
const MAX_SUBJECTS: usize = 1000;
/// How many envelopes may lie around a message: Lambda's, SNS's, and one to spare.
const MAX_ENVELOPES: usize = 3;
/// The longest sentence about a message, in characters.
const MAX_SENTENCE: usize = 300;
/// What is escaped in the key of a record, as S3 does: everything but letters, digits and these.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b' ');

/// What a message tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What it is about; empty when it only says that messages work, or tells of what is not ours.
    pub subjects: Vec<Subject>,
    /// The request that caused it, when an envelope says so.
    pub trace: Option<TraceContext>,
}

/// Why a message cannot be read, on one line and of bounded length.
fn unreadable(sentence: &str) -> Unreadable {
    Unreadable(plain_line(sentence).chars().take(MAX_SENTENCE).collect())
}

/// The announcement as JSON. `bucket` is the store's, when it is one.
pub fn write(upload: &Announcement, bucket: Option<&str>) -> String {
    let at = upload.uploaded_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let key = upload.original.as_str();
    let records: Vec<Value> = bucket
        .map(|bucket| {
            json!({
                "eventSource": "photo-gallery",
                "eventName": "ObjectCreated:Put",
                "eventTime": at,
                "s3": {
                    "bucket": {"name": bucket},
                    "object": {"key": utf8_percent_encode(key, ESCAPED).to_string().replace(' ', "+"), "size": upload.bytes},
                },
            })
        })
        .into_iter()
        .collect();
    let message = json!({
        "version": VERSION,
        "event": UPLOADED,
        "photo": upload.photo,
        "owner": upload.owner,
        "bucket": bucket,
        "key": key,
        "bytes": upload.bytes,
        "media_type": upload.media_type.mime(),
        "uploaded_at": at,
        "Records": records,
    });
    message.to_string()
}

/// Reads a message: our own announcement, or records of S3, either of them as it is or within an envelope of SNS. What `bucket`, the
/// store's own, does not hold is not ours.
pub fn read(body: &str, bucket: Option<&str>) -> Result<Told, Unreadable> {
    read_within(body, bucket, MAX_ENVELOPES)
}

/// A message of a queue in the gallery's words. `attribute` is its own trace context, which wins over the one of an envelope.
pub fn received(body: &str, bucket: Option<&str>, attribute: Option<&str>, count: u32, receipt: String) -> Message {
    let own: Option<TraceContext> = attribute.and_then(|text| text.parse().ok());
    let (subjects, within) = match read(body, bucket) {
        Ok(Told { subjects, trace }) => (Ok(subjects), trace),
        Err(why) => (Err(why), None),
    };
    Message { subjects, trace: own.or(within), received: count, receipt }
}

/// Like [`read`], for what Lambda has parsed already.
pub fn read_value(message: &Value, bucket: Option<&str>) -> Result<Told, Unreadable> {
    let mut told = Told::default();
    take(message, bucket, MAX_ENVELOPES, &mut told)?;
    Ok(told)
}

fn read_within(body: &str, bucket: Option<&str>, envelopes: usize) -> Result<Told, Unreadable> {
    if body.len() > MAX_BYTES {
        return Err(unreadable(&format!("a message of {} bytes is larger than any that is sent", body.len())));
    }
    let message: Value =
        serde_json::from_str(body).map_err(|error| unreadable(&format!("the message is not JSON: {error}")))?;
    let mut told = Told::default();
    take(&message, bucket, envelopes, &mut told)?;
    Ok(told)
}

/// Adds to `told` what `message` tells.
fn take(message: &Value, bucket: Option<&str>, envelopes: usize, told: &mut Told) -> Result<(), Unreadable> {
    if !message.is_object() {
        return Err(unreadable("the message is JSON, and no object"));
    }
    if let Some(version) = message.get("version").and_then(Value::as_u64) {
        return take_own(message, version, bucket, told);
    }
    if let Some(inner) = message.get("Message").and_then(Value::as_str) {
        return open(message, inner, bucket, envelopes, told);
    }
    if message.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(());
    }
    let Some(records) = message.get("Records").and_then(Value::as_array) else {
        return Err(unreadable(
            "the message is JSON, but neither an announcement of ours nor one of S3, as it is or within one of SNS",
        ));
    };
    for record in records {
        match record.get("Sns") {
            Some(notification) => {
                let inner = notification.get("Message").and_then(Value::as_str);
                let inner = inner.ok_or_else(|| unreadable("a record of SNS has no `Sns.Message`"))?;
                open(notification, inner, bucket, envelopes, told)?;
            }
            None => take_record(record, bucket, told)?,
        }
        if told.subjects.len() > MAX_SUBJECTS {
            return Err(unreadable(&format!("the message tells of more than {MAX_SUBJECTS} objects")));
        }
    }
    Ok(())
}

/// Takes `inner` out of the SNS envelope around it.
fn open(
    envelope: &Value,
    inner: &str,
    bucket: Option<&str>,
    envelopes: usize,
    told: &mut Told,
) -> Result<(), Unreadable> {
    let deeper = envelopes.checked_sub(1).ok_or_else(|| unreadable("the message lies in too many envelopes"))?;
    let within = read_within(inner, bucket, deeper)?;
    told.subjects.extend(within.subjects);
    let attribute = envelope.pointer("/MessageAttributes/traceparent/Value").and_then(Value::as_str);
    let trace = within.trace.or_else(|| attribute.and_then(|text| text.parse().ok()));
    told.trace = told.trace.take().or(trace);
    Ok(())
}

/// Takes an announcement of ours.
fn take_own(message: &Value, version: u64, bucket: Option<&str>, told: &mut Told) -> Result<(), Unreadable> {
    if version != VERSION {
        return Err(unreadable(&format!(
            "the message is of version {version}, and this program reads version {VERSION}: a newer one has to read it"
        )));
    }
    let event = message.get("event").and_then(Value::as_str).unwrap_or_default();
    if event != UPLOADED {
        return Err(unreadable(&format!("the message tells of `{event}`, an event that this program does not know")));
    }
    let photo = message.get("photo").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let photo = photo.ok_or_else(|| unreadable("the announcement's `photo` is not a photo's id"))?;
    let theirs = message.get("bucket").and_then(Value::as_str);
    if theirs == bucket {
        told.subjects.push(Subject::Photo(photo));
    } else {
        tracing::warn!(%photo, bucket = theirs, "a message of another gallery's came here: it announces a photo in another bucket");
    }
    Ok(())
}

/// Takes a record of S3.
fn take_record(record: &Value, bucket: Option<&str>, told: &mut Told) -> Result<(), Unreadable> {
    let text = |pointer: &str| {
        let found = record.pointer(pointer).and_then(Value::as_str);
        found.ok_or_else(|| unreadable(&format!("a record of the message has no text at {pointer}")))
    };
    let (event, theirs, key) = (text("/eventName")?, text("/s3/bucket/name")?, text("/s3/object/key")?);
    let key = key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8();
    let key = key.map_err(|_| unreadable("the key in a record of the message is not UTF-8"))?;
    let event = event.strip_prefix("s3:").unwrap_or(event);
    if !event.starts_with("ObjectCreated:") || !key.starts_with(ORIGINALS) {
        return Ok(());
    }
    if bucket != Some(theirs) {
        tracing::warn!(
            bucket = plain_line(theirs),
            "a message of another gallery's came here: it tells of another bucket"
        );
        return Ok(());
    }
    match key.parse() {
        Ok(path) => told.subjects.push(Subject::Object(path)),
        Err(cause) => tracing::debug!(%cause, "an object below photos/ can be no photo's"),
    }
    Ok(())
}
