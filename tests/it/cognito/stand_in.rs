//! A server that speaks Cognito's protocol (awsJson1.1), lists keys and gives tokens as a test tells it to: for what MiniStack cannot say.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What the stand-in does with a request.
#[derive(Clone)]
pub(super) enum Answer {
    /// Says this.
    Says(Value),
    /// Refuses, by Cognito's name for the reason and a sentence.
    Refuses(&'static str, &'static str),
    /// Says this with this status.
    Body(u16, String),
    /// Nothing: the connection stays open.
    Silence,
}

/// A request as it came: the operation (`InitiateAuth`) or the path, and the body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) head: String,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<Answer>>,
    asked: Vec<Asked>,
}

/// The server; it ends with the test's runtime.
pub(super) struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Self { address, state }
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `what` is answered with these in order, the last one again and again.
    pub(super) fn on(&self, what: &str, answers: impl IntoIterator<Item = Answer>) -> &Self {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        self.state.lock().unwrap().answers.insert(what.to_owned(), answers);
        self
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// What was asked of this so far.
    pub(super) fn asked_of(&self, what: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.what == what).collect()
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some(asked) = read(&mut stream).await else { return };
    let answer = {
        let mut state = state.lock().unwrap();
        let what = asked.what.clone();
        state.asked.push(asked);
        match state.answers.get_mut(&what) {
            Some(answers) if answers.len() > 1 => answers.pop(),
            answers => answers.and_then(|answers| answers.last().cloned()),
        }
    };
    let (status, body) = match answer {
        Some(Answer::Says(value)) => (200, value.to_string()),
        Some(Answer::Refuses(code, message)) => (400, json!({"__type": code, "message": message}).to_string()),
        Some(Answer::Body(status, body)) => (status, body),
        Some(Answer::Silence) => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return;
        }
        None => (404, "{}".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that gave up in the meantime is no matter of the server's.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let length = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let path = head.split_whitespace().nth(1)?.to_owned();
    let what = header("x-amz-target").and_then(|target| target.rsplit('.').next().map(str::to_owned)).unwrap_or(path);
    let whole = length + header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < whole {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked { what, body: String::from_utf8_lossy(&bytes[length..]).into_owned(), head })
}
