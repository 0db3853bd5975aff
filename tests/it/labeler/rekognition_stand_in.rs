//! A server that speaks Rekognition's protocol (awsJson1.1) and answers what a test tells it to: labels, errors, nonsense, silence.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_rekognition::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the stand-in does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Labels for a JPEG, sent or in a bucket, `InvalidImageFormatException` for anything else, as Rekognition does.
    Labels(Value),
    /// An error of the service.
    Error { status: u16, code: &'static str, retry_after: Option<u32> },
    /// Status 200 or another with this body.
    Body(u16, String),
    /// Nothing: the connection stays open.
    Silence,
}

/// Says what to answer to the request of this number.
type Choose = dyn Fn(usize) -> Answer + Send + Sync;

/// The server; it ends with the test's runtime.
pub(crate) struct StandIn {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl StandIn {
    /// Starts a server that gives `answers` in order, the last one again and again.
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        Self::choosing(move |place| answers.get(place).or(answers.last()).expect("an answer").clone()).await
    }

    /// Starts a server that gives to the request `place`, from 0 on, what `choose` says.
    pub(crate) async fn choosing(choose: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let choose: Arc<Choose> = Arc::new(choose);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&choose), Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    /// The bodies of the requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().expect("no panic").clone()
    }

    /// A client of this server that waits `patience` for an answer.
    pub(crate) fn client(&self, patience: Duration) -> Client {
        client(&format!("http://{}", self.address), patience)
    }
}

/// A client of a Rekognition at `endpoint`: two tries, `patience` for each.
pub(crate) fn client(endpoint: &str, patience: Duration) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience)
        .operation_attempt_timeout(patience)
        .operation_timeout(patience * 3)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(10));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "example", None, None, "tests"))
        .region(Region::new("us-west-2"))
        .timeout_config(timeouts)
        .retry_config(retries)
        .build();
    Client::from_conf(config)
}

async fn serve(mut stream: TcpStream, choose: Arc<Choose>, seen: Arc<Mutex<Vec<Value>>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let place = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request.clone());
        seen.len() - 1
    };
    let answer = choose(place);
    let error = |status: u16, code: &str, more: String| {
        let body = json!({"__type": code, "message": "said by the stand-in"});
        (status, format!("x-amzn-errortype: {code}\r\n{more}"), body.to_string())
    };
    let (status, headers, body) = match answer {
        Answer::Labels(labels) => {
            let bytes = BASE64_STANDARD.decode(request["Image"]["Bytes"].as_str().unwrap_or_default());
            let bytes = bytes.unwrap_or_default();
            let stored =
                request["Image"]["S3Object"]["Name"].as_str().is_some_and(|name| name.ends_with("/display.jpg"));
            if stored || bytes.starts_with(&[0xff, 0xd8]) && bytes.len() > 100 {
                (200, String::new(), json!({"Labels": labels, "LabelModelVersion": "3.0"}).to_string())
            } else {
                error(400, "InvalidImageFormatException", String::new())
            }
        }
        Answer::Error { status, code, retry_after } => {
            error(status, code, retry_after.map(|s| format!("retry-after: {s}\r\n")).unwrap_or_default())
        }
        Answer::Body(status, body) => (status, String::new(), body),
        Answer::Silence => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return;
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/x-amz-json-1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // A client that gave up in the meantime is no matter of the server's.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The JSON of a `DetectLabels` request; `None` when it is something else.
async fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    let head_length = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_length]).to_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if header("x-amz-target") != Some("rekognitionservice.detectlabels") || header("authorization").is_none() {
        return None;
    }
    let length: usize = header("content-length")?.trim().parse().ok()?;
    while bytes.len() < head_length + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    serde_json::from_slice(&bytes[head_length..]).ok()
}
