//! What the running server costs: start, memory at rest, uploads one by one and all at once, pages over few and many rows.
//!
//! `cargo bench --bench server` runs all but the large catalogs; `-- sessions` only compares a page with and without a session;
//! `-- pages PLACE...` measures the timeline over catalogs made by `cargo bench --bench seed`, and their ratio to the first. Figures are of the server's process (`/proc`): CPU is user and system time, memory is resident.
#![expect(clippy::missing_docs_in_private_items, clippy::unwrap_used, reason = "a benchmark may stop where it stands")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, header, multipart};
use tokio_util::sync::CancellationToken;

/// Clock ticks of `/proc/<pid>/stat` in a second: fixed on Linux.
const TICKS: f64 = 100.0;

struct Server {
    process: Child,
    url: String,
    started_in: Duration,
}

impl Server {
    /// Starts the release binary on `data` and waits for its first pong.
    async fn start(client: &Client, data: &Path, environment: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let began = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_photo-gallery"))
            .env("GALLERY__DATA", data)
            .env("GALLERY__IDENTITY", "none")
            .env("GALLERY__SERVER__PORT", port.to_string())
            .envs(environment.iter().copied())
            .current_dir(data.parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        while client.get(format!("{url}/ping")).send().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Self { process, url, started_in: began.elapsed() }
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap()
    }

    /// A line of `/proc/<pid>/status`, in MB.
    fn memory(&self, line: &str) -> f64 {
        let status = self.proc("status");
        let kilobytes =
            status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB")).unwrap();
        kilobytes.trim().parse::<f64>().unwrap() / 1024.0
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        Duration::from_secs_f64((fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A 24 Mpx JPEG of waves and grain, as large as a camera's.
fn camera_jpeg(seed: u32) -> Vec<u8> {
    let (width, height) = (6000_u16, 4000_u16);
    let mut noise = seed.wrapping_mul(2_654_435_761).max(1);
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let grain = noise % 24;
            let wave = ((x / 16 + y / 24 + seed) % 200) + grain;
            let colours = [wave, (x / 32) % 180 + grain, (y / 20) % 200 + grain];
            pixels.extend(colours.map(|colour| u8::try_from(colour).unwrap_or(u8::MAX)));
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

async fn upload(client: &Client, url: &str, bytes: Vec<u8>) -> u16 {
    let form = multipart::Form::new().part("photo", multipart::Part::bytes(bytes).file_name("photo.jpg"));
    let request = client.post(format!("{url}/photos")).header("accept", "application/json").multipart(form);
    request.send().await.unwrap().status().as_u16()
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}

async fn start_and_rest(client: &Client) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(Server::start(client, &data, &[]).await);
    let mut starts = Vec::new();
    let mut rest = 0.0_f64;
    for _ in 0..7 {
        let server = Server::start(client, &data, &[]).await;
        starts.push(server.started_in);
        tokio::time::sleep(Duration::from_millis(500)).await;
        rest = rest.max(server.memory("VmRSS"));
    }
    starts.sort();
    println!("start        first pong after {:.0} ms (median of 7)", percentile(&starts, 50));
    println!("at rest      {rest:.0} MB resident");
    let size = fs::metadata(env!("CARGO_BIN_EXE_photo-gallery")).unwrap().len();
    println!("binary       {:.1} MB", Duration::from_micros(size).as_secs_f64());
}

async fn uploads(client: &Client, at_once: u32) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(client, &folder.path().join("data"), &[]).await;
    let pictures: Vec<Vec<u8>> = (0..at_once).map(camera_jpeg).collect();
    let before = server.cpu();
    let done = CancellationToken::new();
    let pinging = {
        let (client, url, done) = (client.clone(), server.url.clone(), done.clone());
        tokio::spawn(async move {
            let mut pings = Vec::new();
            while !done.is_cancelled() {
                let began = Instant::now();
                let answered =
                    client.get(format!("{url}/ping")).send().await.is_ok_and(|answer| answer.status().is_success());
                assert!(answered, "a ping went unanswered");
                pings.push(began.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            pings
        })
    };
    let sending = pictures.iter().map(|bytes| upload(client, &server.url, bytes.clone()));
    let statuses = futures_util::future::join_all(sending).await;
    done.cancel();
    let mut pings = pinging.await.unwrap();
    pings.sort();
    let kept = statuses.iter().filter(|status| **status == 201).count();
    println!(
        "{at_once:>2} x 24 Mpx  {kept} kept, {:.2} s CPU each, peak {:.0} MB resident, ping p95 {:.1} ms (of {})",
        (server.cpu().saturating_sub(before)).as_secs_f64() / f64::from(at_once),
        server.memory("VmHWM"),
        percentile(&pings, 95),
        pings.len(),
    );
}

/// The CPU of one page of the timeline, in milliseconds.
async fn page(client: &Client, server: &Server, path: &str) -> f64 {
    const TIMES: u32 = 400;
    let ask = || async {
        let request =
            client.get(format!("{}{path}", server.url)).header("accept", "text/html").header("accept-encoding", "gzip");
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.unwrap().len()
    };
    for _ in 0..20 {
        ask().await;
    }
    let before = server.cpu();
    for _ in 0..TIMES {
        ask().await;
    }
    server.cpu().saturating_sub(before).as_secs_f64() * 1e3 / f64::from(TIMES)
}

/// A picture of a few bytes, another for each seed.
fn small_jpeg(seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..64_u8).flat_map(|at| [at.wrapping_mul(seed), seed, at]).collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 90).encode(&pixels, 8, 8, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

/// A client that shows this cookie, and says that its user's own hand sends what it sends.
fn browser(cookie: Option<&str>) -> Client {
    let mut headers = header::HeaderMap::new();
    headers.insert("sec-fetch-site", "none".parse().unwrap());
    if let Some(cookie) = cookie {
        headers.insert(header::COOKIE, cookie.parse().unwrap());
    }
    Client::builder().redirect(reqwest::redirect::Policy::none()).default_headers(headers).build().unwrap()
}

/// The first page of the timeline for anybody in a gallery without accounts, and for somebody signed in: the same 60 photos, in turns.
async fn sessions() {
    const ROUNDS: u32 = 3;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (anybody, open) = (browser(None), [("GALLERY__LABELER", "none")]);
    let server = Server::start(&anybody, &data, &open).await;
    for seed in 1..=60 {
        assert_eq!(upload(&anybody, &server.url, small_jpeg(seed)).await, 201);
    }
    drop(server);
    let fields = [("email", "ann@example.org"), ("nickname", "Ann"), ("password", "correct horse battery staple")];
    let (mut without, mut with) = (0.0, 0.0);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    for file in ["catalog.db", "catalog.db-wal"].into_iter().filter(|file| data.join(file).exists()) {
        fs::copy(data.join(file), other.join(file)).unwrap();
    }
    let accounts =
        Server::start(&anybody, &other, &[("GALLERY__LABELER", "none"), ("GALLERY__IDENTITY", "local")]).await;
    anybody.post(format!("{}/signup", accounts.url)).form(&fields).send().await.unwrap();
    let entered = anybody.post(format!("{}/login", accounts.url)).form(&fields).send().await.unwrap();
    let cookies = entered.headers().get_all(header::SET_COOKIE).iter();
    let cookies: Vec<&str> = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap()).collect();
    let ann = browser(Some(&cookies.join("; ")));
    let nobodys = Server::start(&anybody, &data, &open).await;
    for (client, server) in [(&anybody, &nobodys), (&ann, &accounts)] {
        let page = client.get(format!("{}/photos", server.url)).send().await.unwrap().text().await.unwrap();
        assert_eq!(page.matches("<img").count(), 60, "the first account has taken over what was nobody's: {page}");
    }
    for _ in 0..ROUNDS {
        without += page(&anybody, &nobodys, "/photos").await;
        with += page(&ann, &accounts, "/photos").await;
    }
    let (without, with) = (without / f64::from(ROUNDS), with / f64::from(ROUNDS));
    println!(
        "sessions     {without:.2} ms CPU a page without accounts, {with:.2} ms signed in: {:.2} times",
        with / without
    );
}

/// The pages over a catalog of `seed`: a data folder, or `mysql:HOST:PORT/DATABASE`.
async fn pages(client: &Client, place: &str) -> [f64; 3] {
    let folder = tempfile::tempdir().unwrap();
    let mysql = place.strip_prefix("mysql:").and_then(|rest| rest.split_once('/'));
    let mut environment = vec![("GALLERY__LABELER", "none")];
    let mut data = PathBuf::from(place);
    if let Some((address, database)) = mysql {
        let (host, port) = address.split_once(':').unwrap();
        data = folder.path().join("data");
        environment.extend([
            ("GALLERY__CATALOG__MYSQL__HOST", host),
            ("GALLERY__CATALOG__MYSQL__PORT", port),
            ("GALLERY__CATALOG__MYSQL__USER", "root"),
            ("GALLERY__CATALOG__MYSQL__DATABASE", database),
        ]);
    }
    let server = Server::start(client, &std::path::absolute(data).unwrap(), &environment).await;
    let mut times = [0.0; 3];
    for (time, path) in times.iter_mut().zip(["/photos", "/photos?label=Dog", "/photos?q=dog"]) {
        *time = page(client, &server, path).await;
    }
    times
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let client = browser(None);
    match arguments.split_first() {
        None => {
            start_and_rest(&client).await;
            uploads(&client, 1).await;
            uploads(&client, 32).await;
            sessions().await;
        }
        Some((command, [])) if command == "sessions" => sessions().await,
        Some((command, folders)) if command == "pages" && !folders.is_empty() => {
            let mut first: Option<[f64; 3]> = None;
            for folder in folders {
                let times = pages(&client, folder).await;
                let ratios: Vec<String> = first
                    .iter()
                    .flat_map(|first| first.iter().zip(&times).map(|(a, b)| format!("{:.2}", b / a)))
                    .collect();
                println!(
                    "{folder}: timeline {:.2} ms, label {:.2} ms, search {:.2} ms CPU a page; to the first: {ratios:?}",
                    times[0], times[1], times[2]
                );
                first.get_or_insert(times);
            }
        }
        Some(_) => {
            eprintln!(
                "usage: cargo bench --bench server [-- sessions | -- pages PLACE...], a place being a data folder or mysql:HOST:PORT/DATABASE"
            );
            std::process::exit(2);
        }
    }
}
