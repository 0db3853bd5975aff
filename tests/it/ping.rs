//! `photo-gallery ping`, which health checks run.

use std::{
    io::Write as _,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use crate::process::{Process, free_port, run};

/// Runs it; whether it ended with 0, and what it said.
fn ping(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(folder, &[&["ping"], arguments].concat(), environment, "");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_that_answers_is_well_until_it_is_about_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("GALLERY__SERVER__DRAIN_SECONDS", "30"), ("GALLERY__LABELER", "none")];
    let server = Process::start(folder.path(), &environment).await;
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    let own = [("GALLERY__SERVER__PORT", port.as_str())];
    let well = (Some(0), format!("http://127.0.0.1:{port}/ping answers 200.\n"));
    assert_eq!(ping(folder.path(), &[], &own), well);
    // The settings of a deployment, of which the database is away and the secrets are not set.
    let wide = [own[0], ("DATABASE_HOST", "db.invalid"), ("PHOTOS_BUCKET", "photos"), ("GALLERY__DATA", "/nowhere")];
    assert_eq!(ping(folder.path(), &[], &wide), well, "0.0.0.0 is asked as 127.0.0.1");
    assert_eq!(ping(folder.path(), &[&server.url], &[]), well);
    let (code, said) = ping(folder.path(), &[&format!("{}/nothing", server.url)], &[]);
    assert!(code == Some(1) && said.contains("/nothing answers 404 and not 200"), "{said}");

    server.ask_to_stop();
    let began = Instant::now();
    loop {
        let (code, said) = ping(folder.path(), &[], &own);
        if code == Some(1) {
            assert!(said.contains("answers 503: this instance is about to stop"), "{said}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{said}");
    }
}

#[test]
fn what_does_not_answer_is_told_within_three_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let (silently, otherwise) = (at(&silent), at(&other));
    std::thread::spawn(move || other.accept().unwrap().0.write_all(b"SSH-2.0\r\n").unwrap());
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (url, says) in [
        (nobody.as_str(), "/ping cannot be asked: Connection refused"),
        (&silently, "no answer within 3 s"),
        (&otherwise, "cannot be asked"),
        ("https://127.0.0.1:1", "only URLs that begin with http:// are"),
        ("127.0.0.1:5000", "http://"),
    ] {
        let began = Instant::now();
        let (code, said) = ping(folder.path(), &[url], &[]);
        assert!(code == Some(1) && said.starts_with("photo-gallery: ") && said.contains(says), "{url}: {said}");
        assert!(said.lines().count() == 1 && began.elapsed() < Duration::from_secs(8), "{url}: {said}");
    }
    let (code, said) = ping(folder.path(), &[], &[("GALLERY__SERVER__PORT", "0")]);
    assert!(code == Some(1) && said.contains("server.port is 0"), "{said}");
}

#[test]
fn the_first_line_is_the_answer_however_long_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answered = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        stream
    });
    let (code, said) = ping(folder.path(), &[&url], &[]);
    assert_eq!(code, Some(0), "{said}");
    drop(answered.join().unwrap());
    let (code, said) = ping(folder.path(), &["http://ann:s3cr3t@127.0.0.1:5000"], &[]);
    assert!(code == Some(1) && said.contains("a name or password") && !said.contains("s3cr3t"), "{said}");
}
