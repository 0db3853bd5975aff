//! What the doctor says where no other server is needed.

use std::net::TcpListener;

use chrono::{TimeDelta, Utc};

use super::{
    Variables, doctor,
    stand_in::{answering, saying},
    variables,
};
use crate::process::{Process, free_port, run};

/// A gallery on this machine, on a port that is free.
fn local() -> Variables {
    variables([("GALLERY__SERVER__PORT", free_port().to_string())])
}

fn with(pairs: &[(&'static str, &str)]) -> Variables {
    let mut all = local();
    all.extend(variables(pairs.iter().copied()));
    all
}

/// A bucket at `endpoint`, with a key.
fn bucket_at(endpoint: &str) -> Variables {
    with(&[
        ("GALLERY__STORE__S3__BUCKET", "my-photos"),
        ("GALLERY__STORE__S3__ENDPOINT", endpoint),
        ("AWS_REGION", "us-west-2"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-access-key"),
    ])
}

#[test]
fn of_a_gallery_with_nothing_set_all_is_well_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    doctor(folder.path(), &local()).all_is_well();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_gallery_that_is_being_served_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[]).await;
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let told = doctor(folder.path(), &variables([("GALLERY__SERVER__PORT", port)]));
    told.all_is_well();
    let says =
        |subject: &str, words: &str| told.of("ok").iter().any(|line| line.0 == subject && line.1.contains(words));
    assert!(
        says("port", "held by a gallery that answers") && says("database", "this version's tables"),
        "{:#?}",
        told.findings
    );
    assert!(says("database file", "no damage") && says("database journal", "write-ahead"), "{:#?}", told.findings);
}

#[test]
fn for_people_there_is_a_line_for_each_look_and_a_sum_without_colours() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let told = run(folder.path(), &["doctor"], &[("GALLERY__SERVER__PORT", &port)], "");
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.lines().any(|line| line.starts_with("ok    data folder  ")), "{told}");
    assert!(told.lines().last().unwrap().starts_with("All is well: "), "{told}");
    assert!(!told.contains('\x1b'), "{told}");
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let told = doctor(folder.path(), &with(&[("GALLERY__DATA", "file/data")]));
    let wrong = told.of("fail");
    assert!(
        wrong.iter().any(|(subject, sentence)| *subject == "data folder" && sentence.contains("set `data`")),
        "{wrong:?}"
    );
    assert_eq!(told.code, Some(1));
}

#[test]
fn a_damaged_database_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/catalog.db"), "this is no database".repeat(500)).unwrap();
    doctor(folder.path(), &local()).says("database", &["is not a SQLite database"]);
}

#[test]
fn a_port_that_another_program_holds_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let told = doctor(folder.path(), &variables([("GALLERY__SERVER__PORT", port)]));
    told.says("port", &["held by another program", "server.port"]);
}

#[test]
fn what_would_be_better_otherwise_is_a_warning_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let open = with(&[("GALLERY__SERVER__BIND", "0.0.0.0")]);
    let told = doctor(folder.path(), &open);
    told.warns("base URL", &["server.base_url is not set"]);
    told.warns("proxies", &["server.trusted_proxies"]);
    let plain = with(&[("GALLERY__SERVER__BASE_URL", "http://localhost")]);
    doctor(folder.path(), &plain).warns("base URL", &["is not encrypted"]);
    let alone = with(&[("GALLERY__IDENTITY__NONE__PUBLIC", "true"), ("GALLERY__SERVER__BIND", "0.0.0.0")]);
    doctor(folder.path(), &alone).warns("settings", &["everybody who can reach the port"]);
}

#[test]
fn a_name_in_the_base_url_that_does_not_resolve_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = doctor(folder.path(), &with(&[("GALLERY__SERVER__BASE_URL", "https://photos.invalid")]));
    told.says("base URL", &["photos.invalid does not resolve", "server.base_url"]);
}

#[test]
fn the_arn_of_a_queue_is_refused_as_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let arn = "arn:aws:sqs:us-west-2:123456789012:uploads-queue";
    let told = doctor(folder.path(), &with(&[("GALLERY__EVENTS__AWS__TOPIC_ARN", arn), ("AWS_REGION", "us-west-2")]));
    assert_eq!(told.code, Some(78));
    assert!(
        told.errors.contains("GALLERY__EVENTS__AWS__TOPIC_ARN") && told.errors.contains("arn:aws:sns:"),
        "{}",
        told.errors
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_or_credentials_that_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut no_region = bucket_at("http://127.0.0.1:1");
    no_region.remove("AWS_REGION");
    doctor(folder.path(), &no_region).says("AWS region", &["set `aws.region` or AWS_REGION"]);
    let endpoint = answering("403 Forbidden\r\n".to_owned()).await;
    let mut no_key = bucket_at(&endpoint);
    no_key.retain(|name, _| !name.contains("ACCESS_KEY"));
    no_key.insert("AWS_CONFIG_FILE", "/dev/null".to_owned());
    no_key.insert("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned());
    let told = doctor(folder.path(), &no_key);
    told.says("AWS credentials", &["there are no AWS credentials", "give the machine a role"]);
    assert!(told.of("skip").contains(&("bucket", "not looked at, because there are no usable AWS credentials")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let folder = tempfile::tempdir().unwrap();
    for (off, subject) in [(TimeDelta::minutes(20), "behind AWS's"), (TimeDelta::minutes(-20), "ahead of AWS's")] {
        let there = (Utc::now() + off).to_rfc2822();
        let endpoint = answering(format!("403 Forbidden\r\ndate: {there}\r\n")).await;
        let told = doctor(folder.path(), &bucket_at(&endpoint));
        told.says("clock", &[subject, "chrony"]);
        assert!(
            told.of("skip").contains(&("bucket", "not looked at, because the clock is wrong")),
            "{:?}",
            told.findings
        );
    }
    let there = (Utc::now() + TimeDelta::minutes(3)).to_rfc2822();
    let endpoint = answering(format!("403 Forbidden\r\ndate: {there}\r\n")).await;
    let told = doctor(folder.path(), &bucket_at(&endpoint));
    assert!(told.of("warn").iter().any(|line| line.0 == "clock" && line.1.contains("behind")), "{:?}", told.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_region_is_told_with_its_region() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = answering("301 Moved\r\nx-amz-bucket-region: eu-central-1\r\n".to_owned()).await;
    let told = doctor(folder.path(), &bucket_at(&endpoint));
    told.says("bucket", &["my-photos lies in eu-central-1", "us-west-2", "set store.s3.region"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_everybody_may_list_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = answering("200 OK\r\n".to_owned()).await;
    doctor(folder.path(), &bucket_at(&endpoint)).says("bucket", &["everybody may list", "block public access"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_rekognition_may_be_asked_is_told_by_how_it_refuses_what_is_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let aws = answering(format!("403 Forbidden\r\ndate: {}\r\n", Utc::now().to_rfc2822())).await;
    for (code, told_by) in
        [("AccessDeniedException", "fail"), ("ThrottlingException", "warn"), ("InvalidImageFormatException", "ok")]
    {
        let rekognition = answering(format!("400 Bad Request\r\nx-amzn-errortype: {code}\r\n")).await;
        let mut asked = bucket_at("");
        asked.retain(|name, _| !name.contains("__S3__"));
        asked.insert("AWS_ENDPOINT_URL", aws.clone());
        asked.insert("GALLERY__LABELER__REKOGNITION__ENDPOINT", rekognition);
        let told = doctor(folder.path(), &asked);
        let subject = "rekognition:DetectLabels";
        match told_by {
            "fail" => told.says(subject, &["not allowed to call rekognition:DetectLabels", "IAM policy"]),
            "warn" => told.warns(subject, &["more requests than it takes"]),
            _ => told.all_is_well(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_have_expired_are_told() {
    const SAID: &str = r#"{"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"an-old-secret","Token":"an-old-token","Expiration":"2020-01-01T00:00:00Z"}"#;
    let folder = tempfile::tempdir().unwrap();
    let container = saying("200 OK\r\ncontent-type: application/json\r\n".to_owned(), SAID).await;
    let mut expired = bucket_at("http://127.0.0.1:1");
    expired.retain(|name, _| !name.contains("ACCESS_KEY"));
    expired.insert("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{container}/role"));
    let told = doctor(folder.path(), &expired);
    told.says("AWS credentials", &["from the container's role have expired (2020-01-01 00:00 UTC)"]);
    let all = format!("{:?} {}", told.findings, told.errors);
    assert!(!all.contains("an-old-secret") && !all.contains("an-old-token"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_credentials_that_nobody_renews_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = answering(format!("403 Forbidden\r\ndate: {}\r\n", Utc::now().to_rfc2822())).await;
    let mut temporary = bucket_at(&endpoint);
    temporary.insert("AWS_SESSION_TOKEN", "a-session-token".to_owned());
    let told = doctor(folder.path(), &temporary);
    let warned = |line: &(&str, &str)| line.0 == "AWS credentials" && line.1.contains("nobody renews them");
    assert!(told.of("warn").iter().any(warned), "{:#?}", told.findings);
}

#[test]
fn an_endpoint_where_nobody_answers_is_told() {
    let folder = tempfile::tempdir().unwrap();
    doctor(folder.path(), &bucket_at("http://127.0.0.1:1")).says("bucket", &["http://127.0.0.1:1", "does not answer"]);
}

#[test]
fn a_mail_server_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mail = with(&[
        ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", "127.0.0.1"),
        ("GALLERY__IDENTITY__LOCAL__SMTP_PORT", "1"),
        ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@example.org"),
    ]);
    doctor(folder.path(), &mail).says("mail server", &["could not be reached", "identity.local.smtp_host"]);
}
