//! Uploads, good and bad.

use std::time::Duration;

use image::ImageFormat;
use photo_gallery::settings::Settings;
use reqwest::{Body, Method, StatusCode, header, multipart};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{pictures, site::Site};

fn part(name: &str, bytes: Vec<u8>) -> multipart::Part {
    multipart::Part::bytes(bytes).file_name(name.to_owned())
}

fn sentence(value: &Value) -> &str {
    let text = value["detail"].as_str().unwrap_or_default();
    assert!(text.ends_with('.') && text.len() > 10, "a sentence: {value}");
    text
}

#[tokio::test]
async fn every_format_is_taken_by_its_content_whatever_its_name() {
    let site = Site::new().await;
    let pictures = [
        ("image/png", pictures::encoded(ImageFormat::Png, 60, 40, 1)),
        ("image/gif", pictures::encoded(ImageFormat::Gif, 60, 40, 2)),
        ("image/bmp", pictures::encoded(ImageFormat::Bmp, 60, 40, 3)),
        ("image/webp", pictures::encoded(ImageFormat::WebP, 60, 40, 4)),
        ("image/tiff", pictures::tiff(60, 40, 5)),
        ("image/jpeg", pictures::jpeg(60, 40, 6)),
    ];
    for (mime, bytes) in pictures {
        let photo = site.uploaded("picture.txt", bytes).await;
        assert_eq!((&photo["type"], &photo["width"]), (&mime.into(), &60.into()));
    }
}

#[tokio::test]
async fn the_same_bytes_again_are_the_photo_that_is_there() {
    let site = Site::new().await;
    let bytes = pictures::jpeg(64, 48, 1);
    let first = site.uploaded("a.jpg", bytes.clone()).await;
    let (status, again) = site.upload("b.jpg", bytes.clone()).await;
    assert_eq!((status, &again["status"], &again["photo"]["id"]), (StatusCode::OK, &200.into(), &first["id"]));
    let form = multipart::Form::new().part("photo", part("c.jpg", bytes));
    let answer = site.ask(Method::POST, "/photos").multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], format!("/photos/{}", first["id"].as_str().unwrap()));
    assert_eq!(site.stored().len(), 3);
}

#[tokio::test]
async fn the_same_bytes_twenty_times_at_once_are_one_photo() {
    let site = Site::new().await;
    let bytes = pictures::jpeg(300, 200, 1);
    let sent = (0..20).map(|_| site.upload("a.jpg", bytes.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let new = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    assert_eq!(new, 1, "{answers:?}");
    assert!(answers.iter().all(|(_, line)| line["photo"]["id"] == answers[0].1["photo"]["id"]));
    assert_eq!((site.stored().len(), site.incoming().len()), (3, 0));
}

#[tokio::test]
async fn a_refused_file_of_many_does_not_harm_the_others() {
    let site = Site::new().await;
    let form = multipart::Form::new()
        .part("photo", part("one.jpg", pictures::jpeg(64, 48, 1)))
        .part("photo", part("two.jpg", b"this is no picture at all".to_vec()))
        .text("description", "all of them")
        .part("photo", part("three.png", pictures::encoded(ImageFormat::Png, 64, 48, 3)));
    let (status, answer) = site.send(form).await;
    assert_eq!(status, StatusCode::MULTI_STATUS);
    let lines = answer["results"].as_array().unwrap();
    let statuses: Vec<i64> = lines.iter().map(|line| line["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [201, 415, 201]);
    assert_eq!(lines[1]["file"], "two.jpg");
    sentence(&lines[1]["problem"]);
    assert_eq!(
        (&lines[0]["photo"]["description"], &lines[2]["photo"]["description"]),
        (&"all of them".into(), &"all of them".into())
    );
}

#[tokio::test]
async fn a_form_without_scripts_shows_each_refusal() {
    let site = Site::new().await;
    let form = multipart::Form::new()
        .part("photo", part("good.jpg", pictures::jpeg(64, 48, 1)))
        .part("photo", part("<i>bad.jpg", b"MZ not a picture".to_vec()));
    let answer =
        site.ask(Method::POST, "/photos").header(header::ACCEPT, "text/html").multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::MULTI_STATUS);
    let html = answer.text().await.unwrap();
    assert!(html.contains("good.jpg") && html.contains("&#60;i&#62;bad") && !html.contains("<i>bad"), "{html}");
    let fine = multipart::Form::new().part("photo", part("fine.jpg", pictures::jpeg(64, 48, 2)));
    let answer =
        site.ask(Method::POST, "/photos").header(header::ACCEPT, "text/html").multipart(fine).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/photos".parse().unwrap())
    );
}

/// A JPEG whose header says it is `width` x `height`.
fn claims(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = pictures::jpeg(64, 48, 9);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

#[tokio::test]
async fn each_bad_file_gets_its_sentence_and_its_status_and_nothing_is_stored() {
    let site = Site::with(|settings: &mut Settings| settings.upload.max_bytes = 200_000).await;
    let whole = pictures::jpeg(400, 300, 1);
    let mut corrupt = pictures::encoded(ImageFormat::Png, 64, 48, 2);
    corrupt[60..90].fill(0);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
    let html = b"<!doctype html><script>alert(1)</script>".to_vec();
    let pdf = b"%PDF-1.4\n%abc\n1 0 obj\n<<>>\nendobj\n".to_vec();
    let zip = b"PK\x03\x04\x14\x00\x00\x00\x08\x00aaaaaaaaaaaaaaaa".to_vec();
    let elf = b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00".to_vec();
    let mp4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2".to_vec();
    for (name, bytes, statuses) in [
        ("empty.jpg", Vec::new(), &[422][..]),
        ("one.jpg", vec![0xff], &[415, 422]),
        ("short.jpg", whole[..whole.len() / 2].to_vec(), &[422]),
        ("corrupt.png", corrupt, &[422]),
        ("drawing.jpg", svg, &[415]),
        ("page.jpg", html, &[415]),
        ("paper.jpg", pdf, &[415]),
        ("archive.jpg", zip, &[415]),
        ("program.jpg", elf, &[415]),
        ("film.jpg", mp4, &[415]),
        ("wide.jpg", claims(65_000, 10), &[413, 422]),
        ("bomb.jpg", claims(30_000, 30_000), &[413, 422]),
        ("large.jpg", vec![0xff; 200_001], &[413]),
    ] {
        let (status, line) = site.upload(name, bytes).await;
        assert!(statuses.contains(&status.as_u16()), "{name}: {status} {line}");
        sentence(&line["problem"]);
    }
    assert_eq!((site.stored().len(), site.incoming().len()), (0, 0));
    site.uploaded("good.jpg", whole).await;
}

#[tokio::test]
async fn each_bad_form_gets_its_sentence_and_its_status_and_nothing_is_stored() {
    let site = Site::with(|settings| {
        settings.upload.max_files = 10;
        settings.upload.max_bytes = 100_000;
        settings.upload.max_request_bytes = 500_000;
    })
    .await;
    let good = || part("good.jpg", pictures::jpeg(64, 48, 1));
    let many = (0..1000_u16)
        .fold(multipart::Form::new(), |form, n| form.part("photo", part("x.jpg", n.to_be_bytes().to_vec())));
    let fields =
        (0..1000).fold(multipart::Form::new().part("photo", good()), |form, n| form.text(format!("f{n}"), "x"));
    let bad_utf8 =
        multipart::Form::new().part("photo", good()).part("description", multipart::Part::bytes(vec![0xff, 0xfe]));
    let long = multipart::Form::new().part("photo", good()).text("description", "x".repeat(2001));
    let far_too_long = multipart::Form::new().part("photo", good()).text("description", "x".repeat(100_000));
    let twice = multipart::Form::new().part("photo", good()).text("description", "a").text("description", "b");
    let nothing = multipart::Form::new().text("description", "a");
    let none_chosen = multipart::Form::new().part("photo", part("", Vec::new()));
    let huge = (0..9).fold(multipart::Form::new(), |form, n| form.part("photo", part("x.jpg", vec![n; 100_000])));
    for (what, form, status) in [
        ("1,000 files", many, 413),
        ("1,000 fields", fields, 413),
        ("broken UTF-8", bad_utf8, 400),
        ("a long description", long, 422),
        ("a far too long description", far_too_long, 413),
        ("two descriptions", twice, 400),
        ("no file", nothing, 400),
        ("no file chosen", none_chosen, 400),
        ("too many bytes", huge, 413),
    ] {
        let (answered, problem) = site.send(form).await;
        assert_eq!(answered.as_u16(), status, "{what}: {problem}");
        sentence(&problem);
    }
    let boundary = "multipart/form-data; boundary=x";
    let header_of_a_megabyte = format!(
        "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\nX: {}\r\n\r\na\r\n--x--\r\n",
        "y".repeat(1 << 20)
    );
    for (what, media_type, body, statuses) in [
        ("no boundary", "multipart/form-data", "", &[400][..]),
        ("no type", "", "", &[415]),
        ("JSON", "application/json", "{}", &[415]),
        ("a form of text", "application/x-www-form-urlencoded", "photo=x", &[415]),
        ("an empty body", boundary, "", &[400]),
        (
            "an unfinished form",
            boundary,
            "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\nabc",
            &[400],
        ),
        ("a part without a name", boundary, "--x\r\n\r\nabc\r\n--x--\r\n", &[400]),
        (
            "a nested form",
            boundary,
            "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
            &[400, 415],
        ),
        ("a header of a megabyte", boundary, &header_of_a_megabyte, &[400, 413]),
    ] {
        let mut request = site.ask(Method::POST, "/photos").header(header::ACCEPT, "application/json");
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert!(statuses.contains(&answer.status().as_u16()), "{what}: {}", answer.status());
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json", "{what}");
        sentence(&answer.json().await.unwrap());
    }
    assert_eq!((site.stored().len(), site.incoming().len()), (0, 0));
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let site = Site::new().await;
    let request = site.ask(Method::POST, "/photos").header(header::CONTENT_ENCODING, "gzip");
    let answer = request.multipart(multipart::Form::new().part("photo", part("a.jpg", vec![1]))).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn names_of_any_kind_are_shown_but_never_followed() {
    let site = Site::new().await;
    let long = format!("{}.jpg", "n".repeat(300));
    for (seed, (sent, kept)) in (1..).zip([
        ("../../x", "x"),
        ("C:\\Users\\me\\x.jpg", "x.jpg"),
        (".htaccess", "htaccess"),
        ("evil\u{202e}gpj.exe", "evilgpj.exe"),
        ("Zürich 🦀.jpg", "Zürich 🦀.jpg"),
        ("", "photo"),
    ]) {
        let photo = site.uploaded(sent, pictures::jpeg(32, 24, seed)).await;
        assert_eq!(photo["file_name"], kept, "{sent:?}");
    }
    let photo = site.uploaded(&long, pictures::jpeg(32, 24, 99)).await;
    assert_eq!(photo["file_name"].as_str().unwrap().chars().count(), 200);
    assert_eq!(photo["file_name"].as_str().unwrap().rsplit_once('.').unwrap().1, "jpg");
}

/// Sends raw bytes and reads what comes back until the other side closes.
async fn raw(site: &Site, head: &str, then: &[(Duration, &[u8])]) -> String {
    let mut connection = TcpStream::connect(site.url.trim_start_matches("http://")).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    for (pause, bytes) in then {
        tokio::time::sleep(*pause).await;
        if connection.write_all(bytes).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(site: &Site, more: &str) -> String {
    let (host, cookie) = (site.url.trim_start_matches("http://"), site.cookie.as_deref().unwrap());
    format!(
        "POST /photos HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nAccept: application/json\r\nContent-Type: multipart/form-data; boundary=x\r\n{more}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_silent_body_and_a_dripping_body_are_given_up() {
    let site = Site::with(|settings| {
        settings.server.body_idle_seconds = 1;
        settings.server.body_min_bytes_per_second = 1000;
    })
    .await;
    let start = "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n";
    let silent = raw(&site, &(head(&site, "Content-Length: 10000") + start), &[]).await;
    assert!(silent.starts_with("HTTP/1.1 408"), "{silent}");
    let drip: Vec<(Duration, &[u8])> = (0..12).map(|_| (Duration::from_millis(300), &b"x"[..])).collect();
    let dripping = raw(&site, &(head(&site, "Content-Length: 10000") + start), &drip).await;
    assert!(dripping.starts_with("HTTP/1.1 408"), "{dripping}");
    assert_eq!(site.incoming().len(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let site = Site::new().await;
    let mut connection = TcpStream::connect(site.url.trim_start_matches("http://")).await.unwrap();
    let start = head(&site, "Content-Length: 100000")
        + "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n";
    connection.write_all(start.as_bytes()).await.unwrap();
    connection.write_all(&vec![0xff; 50_000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(site.incoming().len(), 1);
    drop(connection);
    for _ in 0..100 {
        if site.incoming().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((site.incoming().len(), site.stored().len()), (0, 0));
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let site = Site::new().await;
    let answer = raw(&site, &head(&site, "Content-Length: 9000000000"), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let endless = futures_util::stream::iter((0..100_000).map(|n| {
        let start =
            if n == 0 { "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n" } else { "" };
        Ok::<_, std::io::Error>([start.as_bytes(), &vec![7; 100_000][..]].concat())
    }));
    let request = site.ask(Method::POST, "/photos").header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
    let answer = request.body(Body::wrap_stream(endless)).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!((site.incoming().len(), site.stored().len()), (0, 0));
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_at_the_next_start() {
    let site = Site::new().await;
    let left = site.folder.path().join("data/incoming/incoming-left");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("upload"), b"half a photo").unwrap();
    let site = site.restart().await;
    assert!(!left.exists());
    site.uploaded("a.jpg", pictures::jpeg(32, 24, 1)).await;
}
