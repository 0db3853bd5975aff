//! The program itself, run as an operator runs it: its own process, its settings from the environment.

use std::{
    fs::File,
    io::{Read, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use reqwest::{
    Client, StatusCode,
    header::{self, HeaderMap},
    multipart,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{ANN, PASSWORD, Visit};

/// How long a program may take that ends by itself.
const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// A running `photo-gallery`. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
    log: PathBuf,
}

/// The program with nothing of this process's environment that could set it.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photo-gallery"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").current_dir(folder);
    command
}

/// The program started by `by` (`prlimit --nofile=256`), which turns into it.
pub(crate) fn program_by(by: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(by[0]);
    command.args(&by[1..]).arg(env!("CARGO_BIN_EXE_photo-gallery"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").current_dir(folder);
    command
}

/// Runs the program to its end, with `input` on its standard input.
pub(crate) fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = program(folder);
    command.args(arguments).envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A pipe that nobody reads stops the program once it is full.
    let (stdout, stderr) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let began = Instant::now();
    let mut ended = child.try_wait().unwrap();
    while ended.is_none() {
        if began.elapsed() > ENDS_WITHIN {
            child.kill().unwrap();
            let told = [stdout, stderr].map(|told| String::from_utf8_lossy(&told.join().unwrap()).into_owned());
            panic!("{arguments:?} did not end: {told:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
        ended = child.try_wait().unwrap();
    }
    Output { status: ended.unwrap(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Reads all that comes, while it comes.
pub(crate) fn read(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut told = Vec::new();
        from.read_to_end(&mut told).unwrap();
        told
    })
}

/// A program that shows this cookie, and says that its user's own hand sends what it sends.
fn client(cookie: Option<&str>) -> Client {
    let mut headers = HeaderMap::new();
    headers.insert("sec-fetch-site", "none".parse().unwrap());
    if let Some(cookie) = cookie {
        headers.insert(header::COOKIE, cookie.parse().unwrap());
    }
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_mins(1));
    client.default_headers(headers).build().unwrap()
}

/// The cookies that an answer sets, as a browser shows them.
pub(crate) fn cookies(answer: &reqwest::Response) -> String {
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    let pairs = set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Process {
    /// Starts the server in `folder`, and visits it as [`ANN`], whose account is made when it is not there; without accounts as anybody.
    pub(crate) async fn serve(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut process = Self::start(folder, environment).await;
        if process.client.get(format!("{}/login", process.url)).send().await.unwrap().status() != StatusCode::NOT_FOUND
        {
            process.sign_up(ANN).await;
            process.client = client(Some(&process.signed_in(ANN).await));
        }
        process
    }

    /// Starts the server in `folder`, and waits for its first pong.
    pub(crate) async fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_at(free_port(), program(folder), folder, environment).await
    }

    /// Starts the server on `port`, by a command that may hold it to limits, and waits for its first pong.
    pub(crate) async fn start_at(port: u16, mut command: Command, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("log-{}", free_port()));
        command.env("GALLERY__SERVER__PORT", port.to_string()).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        let client = client(None);
        let url = format!("http://127.0.0.1:{port}");
        let mut process = Self { child: command.spawn().unwrap(), url, client, log };
        for _ in 0..600 {
            if process.client.get(format!("{}/ping", process.url)).send().await.is_ok() {
                return process;
            }
            assert!(process.is_alive(), "the server ended before its first pong: {}", process.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not answer within 30 s: {}", process.log());
    }

    /// Starts `work` in `folder`: a worker, whom nobody can ask anything.
    pub(crate) fn work(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("log-work-{}", free_port()));
        let mut command = program(folder);
        command.arg("work").envs(environment.iter().copied());
        command.stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), url: String::new(), client: client(None), log }
    }

    /// Waits until it ends by itself, refusing to go on; what it wrote.
    pub(crate) async fn refused(mut self) -> String {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = self.log();
                assert_eq!(status.code(), Some(1), "{log}");
                return log;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not end within 30 s: {}", self.log());
    }

    /// Makes an account.
    pub(crate) async fn sign_up(&self, email: &str) {
        let fields = [("email", email), ("nickname", "Somebody"), ("password", PASSWORD)];
        let answer = client(None).post(format!("{}/signup", self.url)).form(&fields).send().await.unwrap();
        let (status, told) = (answer.status(), answer.text().await.unwrap());
        assert!(status == StatusCode::SEE_OTHER || told.contains("account"), "{status} {told}");
    }

    /// Tries a password with a browser of its own.
    pub(crate) async fn try_password(
        &self,
        email: &str,
        password: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = client(None).post(format!("{}/login", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.form(&[("email", email), ("password", password)]).send().await.unwrap()
    }

    /// Signs somebody in with a browser of their own; the cookies it got.
    pub(crate) async fn signed_in(&self, email: &str) -> String {
        let answer = self.try_password(email, PASSWORD, &[]).await;
        let cookies = cookies(&answer);
        let status = answer.status();
        assert!(status == StatusCode::SEE_OTHER && cookies.contains("session="), "{status} {cookies}");
        cookies
    }

    /// A browser that shows these cookies.
    pub(crate) fn visit(&self, cookies: &str) -> Visit {
        Visit::new(&self.url, Some(cookies))
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs on, as the same process.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The time for which processors have worked for it.
    pub(crate) fn worked(&self) -> Duration {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = status.rsplit_once(") ").unwrap().1.split(' ').collect();
        // In hundredths of a second, on every Linux.
        Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
    }

    /// Resident memory in MB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
    }

    /// Asks it to stop as an operator does.
    pub(crate) fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end; whether it ended well.
    pub(crate) async fn ended(mut self) -> bool {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not stop within 30 s: {}", self.log());
    }

    /// Asks it to stop, and waits; whether it ended well.
    pub(crate) async fn terminate(self) -> bool {
        self.ask_to_stop();
        self.ended().await
    }

    /// GET as a program.
    pub(crate) async fn json(&self, path: &str) -> (StatusCode, Value) {
        let request = self.client.get(format!("{}{path}", self.url)).header("accept", "application/json");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Uploads one file as a program; `None` when the connection broke before the answer. The status, and the file's line of the
    /// answer or the whole refusal.
    pub(crate) async fn try_upload(
        &self,
        name: &str,
        description: &str,
        bytes: Vec<u8>,
    ) -> Option<(StatusCode, Value)> {
        let form = multipart::Form::new()
            .part("photo", multipart::Part::bytes(bytes).file_name(name.to_owned()))
            .text("description", description.to_owned());
        let request = self.client.post(format!("{}/photos", self.url)).header("accept", "application/json");
        let answer = request.multipart(form).send().await.ok()?;
        let status = answer.status();
        let mut answer: Value = answer.json().await.ok()?;
        let line = answer.get_mut("results").and_then(|results| results.get_mut(0)).map(Value::take);
        Some((status, line.unwrap_or(answer)))
    }

    /// Uploads a picture that must be taken; the photo.
    pub(crate) async fn uploaded(&self, name: &str, description: &str, bytes: Vec<u8>) -> Value {
        let (status, mut line) = self.try_upload(name, description, bytes).await.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{line} {}", self.log());
        line["photo"].take()
    }

    /// The photo once the worker is done with it.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        for _ in 0..800 {
            let (status, photo) = self.json(&format!("/photos/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{photo}");
            if photo["state"] == "labelled" || photo["state"] == "failed" {
                return photo;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("photo {id} was not finished within 40 s: {}", self.log());
    }

    /// Every photo of the timeline.
    pub(crate) async fn all(&self) -> Vec<Value> {
        let (mut photos, mut next) = (Vec::new(), Some("/photos".to_owned()));
        while let Some(path) = next {
            let (status, mut page) = self.json(&path).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            photos.append(page["photos"].as_array_mut().unwrap());
            next = page["next"].as_str().map(str::to_owned);
        }
        photos
    }

    /// What a photo's link leads to.
    pub(crate) async fn fetched(&self, photo: &Value, rendition: &str) -> (StatusCode, Vec<u8>) {
        let link = photo["links"][rendition].as_str().unwrap_or_else(|| panic!("a link: {photo}"));
        let link = if link.starts_with('/') { format!("{}{link}", self.url) } else { link.to_owned() };
        let answer = self.client.get(link).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
