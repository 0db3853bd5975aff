//! A server that speaks Rekognition's protocol, counts what it is asked by content, and is as throttled as a test wants.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::chaos::Dice;

/// How often one content came, and how often labels were sent for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

struct Shared {
    throttled_percent: AtomicU64,
    pause: AtomicU64,
    dice: Dice,
    counts: Mutex<HashMap<Vec<u8>, Count>>,
}

/// The server; it ends when it is dropped.
pub(crate) struct Rekognition {
    url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Rekognition {
    /// A server that names everything a dog.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            throttled_percent: AtomicU64::default(),
            pause: AtomicU64::default(),
            dice: Dice::new("the Rekognition stand-in"),
            counts: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&all);
                tokio::spawn(async move { answer(stream, &shared).await });
            }
        });
        Self { url, shared, serving }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on so many percent of the calls are throttled.
    pub(crate) fn throttle(&self, percent: u64) {
        self.shared.throttled_percent.store(percent, Ordering::SeqCst);
    }

    /// From now on each answer takes so long.
    pub(crate) fn pause(&self, time: Duration) {
        self.shared.pause.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The pictures that came so far.
    pub(crate) fn contents(&self) -> Vec<Vec<u8>> {
        self.shared.counts.lock().unwrap().keys().cloned().collect()
    }

    /// How often each of them came.
    pub(crate) fn counts(&self) -> Vec<Count> {
        self.shared.counts.lock().unwrap().values().copied().collect()
    }
}

impl Drop for Rekognition {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let picture = picture(&mut stream).await?;
    shared.counts.lock().unwrap().entry(picture.clone()).or_default().asked += 1;
    tokio::time::sleep(Duration::from_millis(shared.pause.load(Ordering::SeqCst))).await;
    let throttled = shared.dice.below(100) < shared.throttled_percent.load(Ordering::SeqCst);
    let (status, body) = if throttled {
        (400, json!({"__type": "ThrottlingException", "message": "Rate exceeded"}))
    } else {
        shared.counts.lock().unwrap().entry(picture).or_default().answered += 1;
        (200, json!({"Labels": [{"Name": "Dog", "Confidence": 97.5}], "LabelModelVersion": "3.0"}))
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// The picture of a `DetectLabels` request; `None` when it broke off.
async fn picture(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let whole = head + length.trim().parse::<usize>().ok()?;
    while bytes.len() < whole {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let asked: Value = serde_json::from_slice(&bytes[head..whole]).ok()?;
    BASE64_STANDARD.decode(asked["Image"]["Bytes"].as_str()?).ok()
}
