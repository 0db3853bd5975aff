//! The program as a Lambda function: through MiniStack, which runs a `bootstrap` with the real runtime API.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use crate::{
    faults::{gallery::Gallery, rekognition::Rekognition},
    pictures,
    process::{program, run},
};

#[test]
fn outside_lambda_it_says_what_to_use_instead() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["lambda"], &[], "");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("use `photo-gallery work`"), "{told}");
}

/// A runtime API that hands out one event and tells what came back: the path and the body.
pub(crate) fn invoked(environment: &[(&str, &str)], event: &Value) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    invoked_for(Duration::from_mins(1), folder.path(), environment, event)
}

/// The same in this folder, with so much time from the event on.
fn invoked_for(time: Duration, folder: &Path, environment: &[(&str, &str)], event: &Value) -> (String, Value) {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = api.local_addr().unwrap().to_string();
    let mut command = program(folder);
    command
        .env("AWS_LAMBDA_RUNTIME_API", &address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "photos")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("GALLERY__DATA", folder.join("data"))
        .envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let answered = 'answered: loop {
        let (mut stream, _) = api.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Requests follow one another on one connection.
        while let Some((head, body)) = request(&mut stream) {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if path.ends_with("/invocation/next") {
                let event = event.to_string();
                let deadline = (chrono::Utc::now() + time).timestamp_millis();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: {deadline}\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
                    event.len()
                );
                stream.write_all(answer.as_bytes()).unwrap();
            } else {
                break 'answered (path, serde_json::from_slice(&body).unwrap_or(Value::Null));
            }
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    answered
}

/// The head and the body of a request.
fn request(stream: &mut std::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        let read = stream.read(&mut piece).ok()?;
        bytes.extend_from_slice(&piece[..read]);
    }
    Some((head, bytes[end..].to_vec()))
}

/// A message of SQS as Lambda brings it.
fn record(id: &str, body: &str) -> Value {
    json!({"messageId": id, "receiptHandle": "r", "body": body, "attributes": {"ApproximateReceiveCount": "1"},
           "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:1:q"})
}

const TEST: &str = r#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#;

#[test]
fn a_batch_of_sqs_fails_message_by_message() {
    let (path, answer) = invoked(&[], &json!({"Records": [record("good", TEST), record("bad", "not JSON")]}));
    assert!(path.ends_with("/invocation/1/response"), "{path} {answer}");
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "bad"}]}));
}

#[test]
fn what_sns_s3_and_schedules_bring_succeeds_or_fails_as_a_whole() {
    let sns = |message: &str| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]});
    let other = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "photos/a.png"}}}]});
    let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    for event in [sns(TEST), other, schedule] {
        let (path, answer) = invoked(&[], &event);
        assert!(path.ends_with("/invocation/1/response") && answer.is_null(), "{event}: {path} {answer}");
    }
    let (path, answer) = invoked(&[], &sns("not JSON"));
    assert!(path.ends_with("/invocation/1/error"), "{path} {answer}");
    assert!(answer["errorMessage"].as_str().unwrap().contains("not JSON"), "{answer}");
}

/// Three photos, and the program at their messages, one at a time, with nine seconds for all of them; a call of the labeler takes `pause`.
/// The photos that are not labelled then, and how many the labeler was asked about; the answer names the former as failed.
async fn in_nine_seconds(pause: Duration) -> (Gallery, usize, usize) {
    let rekognition = Rekognition::start().await;
    rekognition.pause(pause);
    let gallery = Gallery::on_this_machine().labelled_by(rekognition.url()).and("GALLERY__WORKER__AT_ONCE", "1");
    let server = gallery.serve_only().await;
    let (mut ids, mut records) = (Vec::new(), Vec::new());
    for seed in 0..3 {
        let photo = server.uploaded("a.jpg", "", pictures::jpeg(64, 48, seed)).await;
        let id = photo["id"].as_str().unwrap().to_owned();
        let told = json!({"version": 1, "event": "photo.uploaded", "photo": id, "bucket": null}).to_string();
        records.push(record(&id, &told));
        ids.push(id);
    }
    let (environment, folder) = (gallery.settings(), gallery.folder().to_owned());
    let invocation = tokio::task::spawn_blocking(move || {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        invoked_for(Duration::from_secs(9), &folder, &environment, &json!({"Records": records}))
    });
    let (path, answer) = invocation.await.unwrap();
    assert!(path.ends_with("/invocation/1/response"), "{path} {answer}");
    let mut left = Vec::new();
    for id in &ids {
        let photo = server.json(&format!("/photos/{id}")).await.1;
        if photo["state"] != "labelled" {
            left.push(id.as_str());
        }
    }
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let mut failed: Vec<&str> = failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed, left);
    (gallery, left.len(), rekognition.contents().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invocation_has_no_time_for_is_not_begun_and_comes_back() {
    let (_, left, begun) = in_nine_seconds(Duration::from_secs(2)).await;
    assert!((1..=2).contains(&left), "some were done, some were not begun: {left} are left");
    assert_eq!(left + begun, 3, "nothing was begun in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invocation_breaks_off_is_given_back_and_counts_as_no_crash() {
    let (gallery, left, begun) = in_nine_seconds(Duration::from_mins(1)).await;
    assert_eq!((left, begun), (3, 1));
    let file = SqliteConnectOptions::new().filename(gallery.data().join("catalog.db"));
    let mut catalog = file.connect().await.unwrap();
    let held = "SELECT COUNT(*) FROM photo WHERE in_hand IS NOT NULL OR crashes > 0";
    let held: i64 = sqlx::query_scalar(held).fetch_one(&mut catalog).await.unwrap();
    assert_eq!(held, 0);
}

pub(crate) mod with_servers {
    use std::{fmt::Write as _, path::Path, process::Command, time::Duration};

    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use photo_gallery::events::message;
    use serde_json::{Value, json};

    use super::super::{
        announcement,
        queue::{ACCOUNT, Queues},
    };
    use crate::{
        aws::{self, REGION, server, signed},
        mariadb::Database,
        process::Process,
    };

    const OWN_PASSWORD: &str = "it password";

    /// Asks Lambda.
    pub(crate) async fn lambda(method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = signed(&server("TEST_MINISTACK"), "lambda", method, path, "application/json", body).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A ZIP whose `bootstrap`, which anybody may execute, is the program under test with these variables.
    pub(crate) fn zip(folder: &Path, environment: &[(&str, &str)]) -> String {
        // The token belongs to the key that MiniStack gives the function, not to those of the tests.
        let mut script = "#!/bin/sh\nunset AWS_SESSION_TOKEN\n".to_owned();
        for (name, value) in environment {
            writeln!(script, "export {name}='{value}'").unwrap();
        }
        let binary = env!("CARGO_BIN_EXE_photo-gallery");
        writeln!(script, "exec '{binary}' 2>>'{}/log'", folder.display()).unwrap();
        std::fs::write(folder.join("bootstrap"), script).unwrap();
        let pack = "import os, sys, zipfile\n\
                    os.chdir(sys.argv[1]); os.chmod('bootstrap', 0o755)\n\
                    zipfile.ZipFile('function.zip', 'w').write('bootstrap')\n";
        let packed = Command::new("python3").args(["-c", pack]).arg(folder).status().unwrap();
        assert!(packed.success());
        BASE64_STANDARD.encode(std::fs::read(folder.join("function.zip")).unwrap())
    }

    /// A gallery on MariaDB and SeaweedFS whose server finishes nothing, and a function at its queue.
    #[tokio::test]
    async fn an_upload_is_labelled_by_the_function_and_a_bad_message_fails_alone() {
        let queues = Queues::with(false, 3).await;
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let user = format!("it_lambda_{}", database.name.rsplit('_').next().unwrap());
        database.migrate(&user, OWN_PASSWORD);
        let bucket = format!("lambda-{}", chrono::Utc::now().timestamp_micros());
        let (s3, _) = aws::s3(&server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let mut settings = database.gallery(&user, OWN_PASSWORD);
        settings.extend(queues.settings());
        settings.extend([
            ("GALLERY__SESSION__SECRET", "the same secret on both instances".to_owned()),
            ("GALLERY__STORE__S3__BUCKET", bucket.clone()),
            ("GALLERY__STORE__S3__ENDPOINT", server("TEST_SEAWEEDFS")),
        ]);
        let environment: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();

        let (folder, code) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = code.path().join("data").display().to_string();
        let inside: Vec<(&str, &str)> = environment.iter().copied().chain([("GALLERY__DATA", data.as_str())]).collect();
        let name = queues.name.clone();
        aws::role(&server("TEST_MINISTACK"), &name, "lambda.amazonaws.com", &queues.policy()).await;
        lambda(
            "POST",
            "/2015-03-31/functions",
            json!({
                "FunctionName": name, "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 60, "MemorySize": 1024,
                "Role": format!("arn:aws:iam::{ACCOUNT}:role/{name}"), "Code": {"ZipFile": zip(code.path(), &inside)},
            }),
        )
        .await;
        let mapping = lambda(
            "POST",
            "/2015-03-31/event-source-mappings",
            json!({
                "FunctionName": name, "EventSourceArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"), "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            }),
        )
        .await;

        let mut alone = environment.clone();
        alone.push(("GALLERY__WORKER__BESIDE_SERVER", "false"));
        let gallery = Process::serve(folder.path(), &alone).await;
        let cat = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/chelsea.jpg")).unwrap();
        queues.send(["not JSON".to_owned(), message::write(&announcement(), Some(&bucket))]).await;
        let photo = gallery.uploaded("c.jpg", "", cat).await;
        let log = || std::fs::read_to_string(code.path().join("log")).unwrap_or_default();
        let id = photo["id"].as_str().unwrap();
        let settled = tokio::time::timeout(Duration::from_secs(35), gallery.settled(id)).await;
        let photo = settled.unwrap_or_else(|_| panic!("not labelled; the function says: {}", log()));
        let labels = photo["labels"].as_array().unwrap();
        assert!(labels.iter().any(|label| label["name"] == "Cat"), "{photo} {}", log());
        queues.emptied().await;
        assert_eq!(queues.dead_letters().await, ["not JSON"], "{}", log());
        let told = log();
        let line = told.lines().find(|line| line.contains("cannot be read")).unwrap_or_else(|| panic!("{told}"));
        assert!(serde_json::from_str::<Value>(line).unwrap()["message"].is_string(), "JSON for machines: {line}");

        let id = mapping["UUID"].as_str().unwrap();
        lambda("DELETE", &format!("/2015-03-31/event-source-mappings/{id}"), Value::Null).await;
        lambda("DELETE", &format!("/2015-03-31/functions/{name}"), Value::Null).await;
        assert!(gallery.terminate().await);
        database.gone().await;
    }
}
