//! Clients that are too slow, too many or too large, and a machine that has no time: some are refused, the others are answered.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    life::half_is_there,
    operation::in_two_halves,
    pictures,
    process::{Process, free_port, program_by},
    site::Site,
};

const NO_LABELS: (&str, &str) = ("GALLERY__LABELER", "none");

fn place(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// What comes until the connection ends, or is not ended in time.
async fn rest(connection: &mut TcpStream) -> Option<String> {
    let mut all = Vec::new();
    let read = timeout(Duration::from_secs(30), connection.read_to_end(&mut all)).await;
    read.ok().map(|_| String::from_utf8_lossy(&all).into_owned())
}

/// FAULTS R35.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_come_drop_by_drop_are_given_up_and_others_are_answered() {
    let site = Site::new().await;
    let slow = (0..100).map(|_| async {
        let mut connection = TcpStream::connect(place(&site.url)).await.unwrap();
        connection.write_all(b"GET /photos HTTP/1.1\r\nHost: 127.0.0.1\r\n").await.unwrap();
        for n in 0..40 {
            if connection.write_all(format!("X-Header-{n}: 1\r\n").as_bytes()).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        rest(&mut connection).await
    });
    let others = async {
        for _ in 0..20 {
            assert_eq!(site.page("/photos").await.status(), StatusCode::OK);
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (ended, ()) = tokio::join!(join_all(slow), others);
    assert!(ended.iter().all(Option::is_some), "all were given up");
    assert!(ended.iter().flatten().all(|told| !told.contains("200 OK")));
}

/// FAULTS R35.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_takes_neither_memory_nor_others_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS]).await;
    let mut bytes = pictures::jpeg(320, 240, 1);
    bytes.resize(20_000_000, 0);
    let photo = server.uploaded("large.jpg", "", bytes).await;
    let link = photo["links"]["original"].as_str().unwrap();
    let before = server.resident();
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut connection = TcpStream::connect(place(&server.url)).await.unwrap();
        let request = format!("GET {link} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        silent.push(connection);
    }
    for _ in 0..20 {
        assert_eq!(server.json("/photos").await.0, StatusCode::OK);
        sleep(Duration::from_millis(50)).await;
    }
    let after = server.resident();
    println!("{before} MB before, {after} MB while 40 do not read 20 MB each");
    assert!(after < before + 100, "{before} MB, then {after} MB");
    drop(silent);
    assert!(server.terminate().await);
}

/// FAULTS R36.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_are_refused_at_their_limit() {
    const PIECE: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let limits = [("GALLERY__UPLOAD__MAX_BYTES", "5000000"), ("GALLERY__UPLOAD__MAX_REQUEST_BYTES", "20000000")];
    let server = Process::serve(folder.path(), &[NO_LABELS, limits[0], limits[1]]).await;
    let before = server.resident();
    let form = "--b\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"a.jpg\"\r\n\r\n";
    for (path, kind) in
        [("/photos", "multipart/form-data; boundary=b"), ("/login", "application/x-www-form-urlencoded")]
    {
        let mut connection = TcpStream::connect(place(&server.url)).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: none\r\nContent-Type: {kind}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n",
            form.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let piece = [format!("{PIECE:x}\r\n").as_bytes(), &vec![b'a'; PIECE], b"\r\n"].concat();
        let (mut reading, mut writing) = connection.split();
        let mut sent: u64 = 0;
        let sending = async {
            while sent < 10_000_000_000 && writing.write_all(&piece).await.is_ok() {
                sent += PIECE as u64;
            }
        };
        let mut told = Vec::new();
        // The server ends the connection while there is still something on its way.
        let _ = timeout(Duration::from_mins(2), async { tokio::join!(sending, reading.read_to_end(&mut told)) }).await;
        println!("{path}: {sent} bytes were taken, {:?}", String::from_utf8_lossy(&told).lines().next());
        // Nothing is kept of what follows a refusal. It is read for a second, so that the client still sees the answer: on one machine
        // that may be gigabytes.
        assert!(sent < 5_000_000_000, "{path}: {sent} bytes");
        assert_eq!(server.json("/ping").await.0, StatusCode::OK);
    }
    for length in ["9223372036854775808", "18446744073709551615", "18446744073709551616", "-1", "1e9"] {
        let mut connection = TcpStream::connect(place(&server.url)).await.unwrap();
        let head = format!(
            "POST /photos HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: none\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: {length}\r\n\r\n{form}"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut told = vec![0; 12];
        timeout(Duration::from_secs(40), connection.read_exact(&mut told)).await.expect("an answer").unwrap();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.starts_with("HTTP/1.1 4") || told.starts_with("HTTP/1.1 3"), "{length}: {told}");
    }
    let after = server.resident();
    assert!(after < before + 60, "{before} MB, then {after} MB");
    let incoming = walkdir::WalkDir::new(folder.path().join("data/incoming"));
    let left = incoming.into_iter().flatten().filter(|entry| entry.file_type().is_file());
    assert_eq!(left.filter(|entry| entry.file_name() != "lock").count(), 0);
    assert!(server.terminate().await);
}

/// FAULTS R37.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_connections_at_two_hundred_and_fifty_six_files_wait_without_a_spin() {
    let folder = tempfile::tempdir().unwrap();
    let command = program_by(&["prlimit", "--nofile=256"], folder.path());
    let server = Process::start_at(free_port(), command, folder.path(), &[NO_LABELS]).await;
    server.sign_up(crate::site::ANN).await;
    let cookies = server.signed_in(crate::site::ANN).await;
    let mut held = Vec::new();
    for _ in 0..500 {
        let Ok(Ok(mut connection)) = timeout(Duration::from_secs(1), TcpStream::connect(place(&server.url))).await
        else {
            continue;
        };
        let _ = connection.write_all(b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
        held.push(connection);
    }
    sleep(Duration::from_secs(1)).await;
    let mut answered = 0;
    for connection in &held {
        answered += u32::from(connection.try_read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0));
    }
    let before = server.worked();
    sleep(Duration::from_secs(3)).await;
    let spent = server.worked().saturating_sub(before);
    println!("{} connected, {answered} answered; {spent:?} of processor time in 3 s of waiting", held.len());
    assert!(answered >= 50 && (answered as usize) < held.len(), "{answered}");
    assert!(spent < Duration::from_millis(900), "it spins: {spent:?}");
    drop(held);
    let ann = server.visit(&cookies);
    ann.uploaded("after.jpg", pictures::jpeg(320, 240, 1)).await;
    assert!(!server.log().contains("panic"), "{}", server.log());
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_are_taken_at_once_are_told_to_come_again() {
    let site = Site::with(|settings| settings.server.requests_at_once = 2).await;
    let mut sending = Vec::new();
    for seed in 0..2 {
        let (request, go_on) = in_two_halves(&site.client, &site.url, &pictures::jpeg(320, 240, seed));
        sending.push((tokio::spawn(request.send()), go_on));
    }
    half_is_there(site.folder.path(), 2).await;
    let page = site.page("/photos").await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(site.json("/ping").await.0, StatusCode::OK);
    assert_eq!(site.json("/readyz").await.0, StatusCode::OK);
    for (sent, go_on) in sending {
        go_on.send(()).unwrap();
        assert_eq!(sent.await.unwrap().unwrap().status(), StatusCode::CREATED);
    }
    assert_eq!(site.page("/photos").await.status(), StatusCode::OK);
}

/// FAULTS R35: forms that come slowly, as many as one client likes.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_holds_up_themself_alone() {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let site = Site::with(|settings| {
        settings.server.requests_at_once = 100;
        settings.server.trusted_proxies = proxies;
    });
    let site = site.await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut connection = TcpStream::connect(place(&site.url)).await.unwrap();
        let head = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: none\r\nX-Forwarded-For: 192.0.2.1\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\nemail=";
        connection.write_all(head.as_bytes()).await.unwrap();
        slow.push(connection);
    }
    let asked_by = async |address: &str| {
        let request = site.ask(reqwest::Method::GET, "/photos").header("x-forwarded-for", address);
        request.send().await.unwrap().status()
    };
    for _ in 0..200 {
        if asked_by("192.0.2.1").await == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(asked_by("192.0.2.1").await, StatusCode::SERVICE_UNAVAILABLE, "they have had their share");
    assert_eq!(asked_by("192.0.2.2").await, StatusCode::OK);
    assert_eq!(site.page("/photos").await.status(), StatusCode::OK);
    drop(slow);
    for _ in 0..200 {
        if asked_by("192.0.2.1").await == StatusCode::OK {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("their places are not given back");
}

/// FAULTS R40: the process gets a tenth of its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_time_answers_or_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS, ("GALLERY__SERVER__REQUESTS_AT_ONCE", "20")]).await;
    let until = Instant::now() + Duration::from_secs(8);
    let starving = async {
        while Instant::now() < until {
            server.signal(Signal::STOP);
            sleep(Duration::from_millis(90)).await;
            server.signal(Signal::CONT);
            sleep(Duration::from_millis(10)).await;
        }
    };
    let asking = (0..60).map(|_| async {
        let (mut fine, mut refused) = (0, 0);
        while Instant::now() < until {
            // An answer that breaks off or does not come within a minute fails the test, as does any other status.
            match server.json("/photos").await.0 {
                StatusCode::OK => fine += 1,
                StatusCode::SERVICE_UNAVAILABLE => refused += 1,
                status => panic!("neither answered nor told to come again: {status}"),
            }
        }
        (fine, refused)
    });
    let (answers, ()) = tokio::join!(join_all(asking), starving);
    let (fine, refused) = answers.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{fine} answered, {refused} told to come again");
    assert!(fine > 0);
    assert!(answers.iter().all(|(fine, refused)| fine + refused > 0), "everybody was told something");
    assert_eq!(server.json("/photos").await.0, StatusCode::OK);
    assert!(server.terminate().await);
}
