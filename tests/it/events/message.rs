//! What messages look like, and what is made of those of others.

use photo_gallery::{
    events::{
        Subject, Unreadable,
        message::{self, Told},
    },
    photo::ObjectPath,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::announcement;

const BUCKET: &str = "my-photos";

fn read(body: &str) -> Result<Vec<Subject>, Unreadable> {
    message::read(body, Some(BUCKET)).map(|told| told.subjects)
}

/// A record of S3 about `key` as it stands in the record.
fn record(event: &str, bucket: &str, key: &str) -> Value {
    json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event,
           "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 7}}})
}

fn object(key: &str) -> Subject {
    Subject::Object(key.parse::<ObjectPath>().unwrap())
}

fn created(keys: &[&str]) -> Value {
    json!({"Records": keys.iter().map(|key| record("ObjectCreated:Put", BUCKET, key)).collect::<Vec<_>>()})
}

/// What SNS puts into a queue.
fn envelope(message: &str) -> String {
    json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-west-2:1:uploads-topic", "Message": message,
           "MessageAttributes": {"traceparent": {"Type": "String", "Value": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00"}}})
    .to_string()
}

#[test]
fn an_announcement_has_the_documented_fields() {
    let told = announcement();
    let body: Value = serde_json::from_str(&message::write(&told, Some(BUCKET))).unwrap();
    let at = told.uploaded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let key = format!("photos/{}.jpg", told.photo);
    assert_eq!(
        body,
        json!({
            "version": 1, "event": "photo.uploaded", "photo": told.photo.to_string(), "owner": "ann", "bucket": BUCKET, "key": key,
            "bytes": 12_345, "media_type": "image/jpeg", "uploaded_at": at,
            "Records": [{
                "eventSource": "photo-gallery", "eventName": "ObjectCreated:Put", "eventTime": at,
                "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 12_345}},
            }],
        })
    );
    let readme = include_str!("../../../README.md");
    for field in body.as_object().unwrap().keys() {
        assert!(readme.contains(&format!("`{field}`")), "README does not document {field}");
    }
    let without_bucket: Value = serde_json::from_str(&message::write(&told, None)).unwrap();
    assert_eq!((&without_bucket["bucket"], &without_bucket["Records"]), (&Value::Null, &json!([])));
}

/// As the course's poller does: the envelope's `Message`, or the body itself.
#[test]
fn the_print_shop_of_the_course_reads_bucket_key_and_size_out_of_it() {
    let mut told = announcement();
    told.original = "photos/a b+ü.png".parse().unwrap();
    let raw = message::write(&told, Some(BUCKET));
    for body in [raw.clone(), envelope(&raw)] {
        let body: Value = serde_json::from_str(&body).unwrap();
        let inner = body["Message"].as_str().map_or(body.clone(), |inner| serde_json::from_str(inner).unwrap());
        let s3 = &inner["Records"][0]["s3"];
        assert_eq!((&s3["bucket"]["name"], &s3["object"]["size"]), (&json!(BUCKET), &json!(12_345)));
        assert_eq!(s3["object"]["key"], "photos/a+b%2B%C3%BC.png");
    }
    let records = json!({"Records": serde_json::from_str::<Value>(&raw).unwrap()["Records"]});
    assert_eq!(read(&records.to_string()), Ok(vec![object("photos/a b+ü.png")]));
}

#[test]
fn our_own_message_is_read_raw_and_in_an_envelope() {
    let told = announcement();
    let raw = message::write(&told, Some(BUCKET));
    assert_eq!(read(&raw), Ok(vec![Subject::Photo(told.photo)]));
    let enveloped = message::read(&envelope(&raw), Some(BUCKET)).unwrap();
    assert_eq!(enveloped.subjects, [Subject::Photo(told.photo)]);
    assert_eq!(enveloped.trace.unwrap().trace_id(), "0123456789abcdef0123456789abcdef");
    let elsewhere = message::write(&told, Some("their-photos"));
    assert_eq!(read(&elsewhere), Ok(vec![]), "of another gallery");
    assert_eq!(message::read(&message::write(&told, None), None).unwrap().subjects, [Subject::Photo(told.photo)]);
}

#[test]
fn records_of_s3_are_read_in_every_nesting_and_every_one_of_them() {
    let event = created(&["photos/one.png", "photos/two+words%2Band%C3%A9.jpg"]);
    let both = vec![object("photos/one.png"), object("photos/two words+andé.jpg")];
    assert_eq!(read(&event.to_string()), Ok(both.clone()), "from S3");
    assert_eq!(read(&envelope(&event.to_string())), Ok(both.clone()), "from SQS, with SNS before it");
    let from_sns = json!({"Records": [
        {"EventSource": "aws:sns", "Sns": {"Message": event.to_string()}},
        {"EventSource": "aws:sns", "Sns": {"Message": created(&["photos/three.png"]).to_string()}},
    ]});
    let all: Vec<Subject> = both.into_iter().chain([object("photos/three.png")]).collect();
    assert_eq!(read(&from_sns.to_string()), Ok(all.clone()), "from SNS");
    assert_eq!(message::read_value(&from_sns, Some(BUCKET)).unwrap(), Told { subjects: all, trace: None });
}

#[test]
fn what_is_not_ours_is_about_nothing() {
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}).to_string();
    let one = |event: &str, bucket: &str, key: &str| json!({"Records": [record(event, bucket, key)]}).to_string();
    for (body, why) in [
        (test.clone(), "a test"),
        (envelope(&test), "a test in an envelope"),
        (json!({"Records": []}).to_string(), "no records"),
        (one("ObjectRemoved:Delete", BUCKET, "photos/a.png"), "a deletion"),
        (one("ObjectTagging:Put", BUCKET, "photos/a.png"), "a tag"),
        (one("ObjectCreated:Put", BUCKET, "renditions/a/thumb.jpg"), "a rendition"),
        (one("ObjectCreated:Put", BUCKET, "logs/2026"), "another folder"),
        (one("ObjectCreated:Put", BUCKET, "photos/"), "a folder's mark"),
        (one("ObjectCreated:Put", BUCKET, &format!("photos/{}", "x".repeat(100))), "a key too long for a photo"),
        (one("ObjectCreated:Put", BUCKET, "photos/..%2F..%2Fetc"), "a key that leaves the folder"),
        (one("ObjectCreated:Put", "their-photos", "photos/a.png"), "another bucket"),
    ] {
        assert_eq!(read(&body), Ok(vec![]), "{why}");
    }
    let copied = one("s3:ObjectCreated:CompleteMultipartUpload", BUCKET, "photos/a.png");
    assert_eq!(read(&copied), Ok(vec![object("photos/a.png")]));
}

#[test]
fn what_cannot_be_read_says_why_on_one_short_line() {
    let version = |version: u64| json!({"version": version, "event": "photo.uploaded", "photo": "x"}).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut nested = created(&["photos/a.png"]).to_string();
    for _ in 0..5 {
        nested = json!({"Message": nested}).to_string();
    }
    for (body, expected) in [
        ("", "not JSON"),
        ("<xml/>", "not JSON"),
        ("{\"version\":", "not JSON"),
        (&deep, "not JSON"),
        ("[]", "no object"),
        ("\"text\"", "no object"),
        ("17", "no object"),
        ("{}", "neither"),
        ("{\"version\": \"1\"}", "neither"),
        ("{\"version\": -1}", "neither"),
        ("{\"Records\": {}}", "neither"),
        (&version(2), "is of version 2"),
        (&version(0), "is of version 0"),
        (&version(u64::MAX), "is of version 18446744073709551615"),
        (&version(1), "not a photo's id"),
        ("{\"version\": 1, \"event\": \"photo.\\u202e\\nsold\"}", "`photo. sold`"),
        (&format!("{{\"version\": 1, \"event\": \"{}\"}}", "x".repeat(100_000)), "tells of `xxx"),
        ("{\"Records\": [null]}", "/eventName"),
        ("{\"Records\": [{\"eventName\": 1e999}]}", "not JSON"),
        ("{\"Records\": [{\"eventName\": 1e300}]}", "/eventName"),
        (&json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": []}]}).to_string(), "/s3/bucket/name"),
        (&json!({"Records": [record("ObjectCreated:Put", BUCKET, "photos/%ff%fe.png")]}).to_string(), "not UTF-8"),
        (&json!({"Records": [{"Sns": {}}]}).to_string(), "`Sns.Message`"),
        (&nested, "too many envelopes"),
        (&created(&["photos/a.png"; 1001]).to_string(), "more than 1000"),
        (&" ".repeat(2 << 20), "2097152 bytes"),
    ] {
        let Err(Unreadable(sentence)) = read(body) else { panic!("{expected}") };
        assert!(sentence.contains(expected), "{expected}: {sentence}");
        assert!(sentence.chars().count() <= 300 && !sentence.contains('\n'), "{sentence}");
    }
}

/// JSON of any shape, with the words that messages are made of.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "version",
        "event",
        "photo",
        "bucket",
        "key",
        "Records",
        "Sns",
        "Message",
        "s3",
        "object",
        "name",
        "eventName",
        "Event",
        "ObjectCreated:Put",
        "s3:TestEvent",
        "photo.uploaded",
        "photos/a%ZZ+.png",
        "photos/%",
        BUCKET,
        "MessageAttributes",
        "traceparent",
        "Value",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!(1)),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner.clone()), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
            inner.prop_map(|inner| json!({"Message": inner.to_string()})),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_the_reader_break_down(message in any_json(), cut in 0_usize..400, noise in ".{0,60}") {
        let text = message.to_string();
        let cut = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= cut).last().unwrap_or(0);
        for body in [&text, &text[..cut], &noise] {
            if let Err(Unreadable(sentence)) = read(body) {
                prop_assert!(!sentence.is_empty() && sentence.chars().count() <= 300);
            }
        }
    }
}
