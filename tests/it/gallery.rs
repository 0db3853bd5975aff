//! The timeline.

use exif::{Tag, Value};
use photo_gallery::album::PAGE;
use reqwest::{StatusCode, header, multipart};

use crate::{
    imaging::specimens::{exif_block, jpeg_with_exif},
    pictures,
    site::Site,
};

#[tokio::test]
async fn the_front_door_leads_to_the_timeline() {
    let site = Site::new().await;
    let answer = site.page("/").await;
    assert_eq!(
        (answer.status(), &answer.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/photos".parse().unwrap())
    );
}

#[tokio::test]
async fn ping_says_pong_word_for_word() {
    let site = Site::new().await;
    let answer = site.page("/ping").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.text().await.unwrap(), r#"{"status":"success","message":"pong!"}"#);
}

#[tokio::test]
async fn an_empty_gallery_says_so_and_offers_to_upload() {
    let site = Site::new().await;
    let answer = site.page("/photos").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let html = answer.text().await.unwrap();
    assert!(html.contains(r#"name="photo""#) && html.contains(r#"enctype="multipart/form-data""#), "{html}");
    let (_, listing) = site.json("/photos").await;
    assert_eq!(listing, serde_json::json!({"photos": [], "next": null}));
}

#[tokio::test]
async fn photos_are_listed_newest_first_and_all_of_them_once() {
    let site = Site::new().await;
    let count = PAGE + 5;
    let mut sent = Vec::new();
    for seed in 0..count {
        let photo = site.uploaded(&format!("{seed}.jpg"), pictures::jpeg(16, 12, seed)).await;
        sent.push(photo["id"].as_str().unwrap().to_owned());
    }
    sent.reverse();
    let (mut path, mut seen, mut pages) = ("/photos".to_owned(), Vec::new(), 0);
    loop {
        let (_, listing) = site.json(&path).await;
        seen.extend(listing["photos"].as_array().unwrap().iter().map(|photo| photo["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match listing["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen, pages), (sent, 2));
    let html = site.page("/photos").await.text().await.unwrap();
    assert!(html.contains("?before="), "the first page links to the next");
}

#[tokio::test]
async fn each_day_stands_once_whatever_offsets_the_cameras_tell() {
    let site = Site::new().await;
    for (taken, offset) in [
        ("2024:07:01 23:31:00", None),
        ("2024:07:02 00:30:00", Some("+02:00")),
        ("2024:07:01 23:30:00", Some("+02:00")),
    ] {
        let text = |text: &str| Value::Ascii(vec![text.as_bytes().to_vec()]);
        let mut notes = vec![(Tag::DateTimeOriginal, text(taken))];
        notes.extend(offset.map(|offset| (Tag::OffsetTimeOriginal, text(offset))));
        site.uploaded("a.jpg", jpeg_with_exif(16, 12, &exif_block(&notes))).await;
    }
    let html = site.page("/photos").await.text().await.unwrap();
    let dates: Vec<&str> = html.split("data-date=\"").skip(1).map(|rest| &rest[..10]).collect();
    assert_eq!(dates, ["2024-07-02", "2024-07-01"]);
    assert_eq!(html.matches("class=\"tile ").count(), 3);
}

#[tokio::test]
async fn a_search_finds_words_of_descriptions_and_file_names_literally() {
    let site = Site::new().await;
    let form = multipart::Form::new()
        .part("photo", multipart::Part::bytes(pictures::jpeg(16, 12, 1)).file_name("Zürich_2024.jpg"))
        .text("description", "100% café, <b>bold</b> & dogs");
    site.send(form).await;
    site.uploaded("other.jpg", pictures::jpeg(16, 12, 2)).await;
    for (q, found) in [
        ("cafe", 1),
        ("CAFÉ", 1),
        ("dog", 1),
        ("dogs bold", 1),
        ("zurich", 1),
        ("2024", 1),
        ("100%25", 1),
        ("other", 1),
        ("cafe other", 0),
        ("%25", 0),
        ("_", 0),
        ("%25_%5C", 0),
        ("ca", 0),
        ("%27%20or%201%3D1", 0),
        ("", 2),
        ("%20", 2),
    ] {
        let (status, listing) = site.json(&format!("/photos?q={q}")).await;
        assert_eq!((status, listing["photos"].as_array().unwrap().len()), (StatusCode::OK, found), "q={q}");
    }
}

#[tokio::test]
async fn what_was_searched_stands_escaped_in_the_page() {
    let site = Site::new().await;
    let html =
        site.page("/photos?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E&label=%22%3E%3Cimg%3E").await.text().await.unwrap();
    assert!(!html.contains("<script>alert") && !html.contains("\"><img>"), "{html}");
}

#[tokio::test]
async fn nonsense_in_the_address_is_refused_with_a_sentence() {
    let site = Site::new().await;
    let long = format!("/photos?q={}", "x".repeat(10_000));
    for path in
        ["/photos?before=nonsense", "/photos?before=-1", "/photos?before=9223372036854775808", "/photos?q=a&q=b", &long]
    {
        let (status, problem) = site.json(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().ends_with('.'), "{problem}");
    }
    let many: Vec<String> = (0..50).map(|n| format!("word{n}")).collect();
    let (status, _) = site.json(&format!("/photos?q={}", many.join("+"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_search_asks_for_every_word_or_says_that_there_are_too_many() {
    let site = Site::new().await;
    site.uploaded("one two three four five six seven.jpg", pictures::jpeg(16, 12, 1)).await;
    let seven = "one+two+three+four+five+six+seven";
    for (query, expected) in [
        (format!("q={seven}"), StatusCode::OK),
        (format!("q={seven}+eight"), StatusCode::OK),
        (format!("q={seven}+eight+nine"), StatusCode::BAD_REQUEST),
        (format!("label=Dog&q={seven}"), StatusCode::OK),
        (format!("label=Dog&q={seven}+eight"), StatusCode::BAD_REQUEST),
        (format!("q={}", "é".repeat(200)), StatusCode::OK),
        (format!("q={}", "é".repeat(201)), StatusCode::BAD_REQUEST),
    ] {
        let (status, answer) = site.json(&format!("/photos?{query}")).await;
        assert_eq!(status, expected, "{query}: {answer}");
        if status == StatusCode::OK {
            let found = answer["photos"].as_array().unwrap().len();
            assert_eq!(found, usize::from(query == format!("q={seven}")), "{query}");
        }
    }
}

#[tokio::test]
async fn pages_are_compressed_and_static_files_stay_for_a_year() {
    let site = Site::new().await;
    let answer =
        site.ask(reqwest::Method::GET, "/photos").header(header::ACCEPT_ENCODING, "gzip").send().await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let css = photo_gallery::pages::assets::asset("gallery.css");
    let answer = site.ask(reqwest::Method::GET, &css).header(header::ACCEPT_ENCODING, "gzip, br").send().await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "br");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    let etag = answer.headers()[header::ETAG].clone();
    let again = site.ask(reqwest::Method::GET, &css).header(header::IF_NONE_MATCH, etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_static_file_of_another_version_is_answered_with_this_ones_and_kept_by_nobody() {
    let site = Site::new().await;
    for name in ["gallery.css", "changes.js", "favicon.svg"] {
        let own = photo_gallery::pages::assets::asset(name);
        let hash = own.rsplit('.').nth(1).unwrap();
        let other = own.replace(hash, "0123456789abcdef");
        let [mine, others] = [&own, &other].map(|path| site.ask(reqwest::Method::GET, path).send());
        let (mine, others) = (mine.await.unwrap(), others.await.unwrap());
        assert_eq!((mine.status(), others.status()), (StatusCode::OK, StatusCode::OK), "{other}");
        assert_eq!(others.headers()[header::CACHE_CONTROL], "no-store", "{other}");
        for same in [header::CONTENT_TYPE, header::ETAG, header::X_CONTENT_TYPE_OPTIONS] {
            assert_eq!(mine.headers()[&same], others.headers()[&same], "{other}");
        }
        let etag = mine.headers()[header::ETAG].clone();
        assert_eq!(mine.bytes().await.unwrap(), others.bytes().await.unwrap());
        let again = site.ask(reqwest::Method::GET, &other).header(header::IF_NONE_MATCH, etag).send().await.unwrap();
        assert_eq!(
            (again.status(), &again.headers()[header::CACHE_CONTROL]),
            (StatusCode::NOT_MODIFIED, &"no-store".parse().unwrap())
        );
        let (stem, extension) = name.rsplit_once('.').unwrap();
        for unknown in [
            "",
            ".0123456789abcde",
            ".0123456789abcdef0",
            ".0123456789ABCDEF",
            ".0123456789abcdeg",
            ".0123456789abcdef.0",
        ] {
            let unknown = format!("/static/{stem}{unknown}.{extension}");
            let answer = site.ask(reqwest::Method::GET, &unknown).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{unknown}");
            assert!(!answer.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("max-age"), "{unknown}");
        }
    }
    for unknown in ["/static/nothing.0123456789abcdef.css", "/static/account.0123456789abcdef.js"] {
        let answer = site.ask(reqwest::Method::GET, unknown).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{unknown}");
    }
}
