//! One photo: its page, its bytes, its description, its end.

use exif::{Rational, Tag, Value};
use reqwest::{Method, StatusCode, header};

use crate::{
    imaging::specimens::{exif_block, jpeg_with_exif},
    pictures,
    site::Site,
};

#[tokio::test]
async fn a_photo_lives_from_upload_to_deletion() {
    let site = Site::new().await;
    let bytes = pictures::jpeg(640, 480, 7);
    let photo = site.uploaded("Holiday.JPG", bytes.clone()).await;
    let id = photo["id"].as_str().unwrap();
    assert_eq!((&photo["width"], &photo["height"], &photo["bytes"]), (&640.into(), &480.into(), &bytes.len().into()));
    assert_eq!((&photo["type"], &photo["file_name"]), (&"image/jpeg".into(), &"Holiday.JPG".into()));

    let settled = site.settled(id).await;
    assert_eq!(settled["state"], "labelled");

    let original = site
        .client
        .get(format!("{}{}", site.url, settled["links"]["original"].as_str().unwrap()))
        .send()
        .await
        .unwrap();
    assert!(original.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().contains("Holiday.JPG"));
    assert_eq!(original.bytes().await.unwrap(), bytes);

    let thumb = site.page(settled["links"]["thumb"].as_str().unwrap()).await;
    assert_eq!(thumb.headers()[header::CONTENT_TYPE], "image/jpeg");
    let developed = image_size(&thumb.bytes().await.unwrap());
    assert_eq!(developed, (480, 360));

    let described =
        site.post(&format!("/photos/{id}/description"), &[("description", "  A wave\r\nof colour  ")]).await;
    assert_eq!(described.json::<serde_json::Value>().await.unwrap()["description"], "A wave\nof colour");
    let html = site.page(&format!("/photos/{id}")).await.text().await.unwrap();
    assert!(html.contains("A wave") && html.contains("640 × 480 px"), "{html}");

    let deleted = site.post(&format!("/photos/{id}/delete"), &[]).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(site.json(&format!("/photos/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(site.page(settled["links"]["thumb"].as_str().unwrap()).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(site.stored(), Vec::<std::path::PathBuf>::new());
    assert_eq!(site.post(&format!("/photos/{id}/delete"), &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn fractions_of_a_camera_are_told_in_few_digits() {
    let site = Site::new().await;
    let ratio = |num, denom| Value::Rational(vec![Rational { num, denom }]);
    for (time, told) in [((1, 250), "1/250 s"), ((10, 6), "1.67 s"), ((5, 10), "0.5 s"), ((30, 1), "30 s")] {
        let notes = exif_block(&[
            (Tag::ExposureTime, ratio(time.0, time.1)),
            (Tag::FNumber, ratio(1_244_236, 699_009)),
            (Tag::FocalLength, ratio(251_773, 37_217)),
        ]);
        let photo = site.uploaded("a.jpg", jpeg_with_exif(16, 12, &notes)).await;
        let html = site.page(&format!("/photos/{}", photo["id"].as_str().unwrap())).await.text().await.unwrap();
        assert!(html.contains(&format!("<dd>{told}, f/1.78, 6.76 mm</dd>")), "{html}");
    }
}

#[tokio::test]
async fn after_a_restart_all_is_there() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let id = photo["id"].as_str().unwrap().to_owned();
    let before = site.settled(&id).await;
    let site = site.restart().await;
    let after = site.settled(&id).await;
    assert_eq!((&before["sha256"], &before["created_at"]), (&after["sha256"], &after["created_at"]));
    assert_eq!(
        site.page(before["links"]["thumb"].as_str().unwrap()).await.status(),
        StatusCode::OK,
        "links outlive a restart"
    );
}

#[tokio::test]
async fn bytes_come_in_ranges_and_with_an_entity_tag() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let link = photo["links"]["original"].as_str().unwrap();
    let answer = site.ask(Method::GET, link).header(header::RANGE, "bytes=0-1").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    let etag = answer.headers()[header::ETAG].clone();
    assert_eq!(answer.bytes().await.unwrap().as_ref(), [0xff, 0xd8]);
    let answer = site.ask(Method::GET, link).header(header::IF_NONE_MATCH, etag).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    let answer = site.ask(Method::GET, link).header(header::RANGE, "bytes=99999999-").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn a_changed_link_leads_nowhere() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let link = photo["links"]["thumb"].as_str().unwrap();
    for at in "/media/".len()..link.len() {
        let old = link.as_bytes()[at];
        let new = if old == b'0' { b'1' } else { b'0' };
        let changed = format!("{}{}{}", &link[..at], char::from(new), &link[at + 1..]);
        assert_eq!(site.page(&changed).await.status(), StatusCode::NOT_FOUND, "{changed}");
    }
    for path in ["/media/../catalog.db", "/media/%2e%2e/catalog.db", "/media/", "/media/photos"] {
        assert_eq!(site.page(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn each_rendition_has_an_address_that_lasts() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let id = photo["id"].as_str().unwrap();
    for rendition in ["original", "display", "thumb"] {
        let answer = site.page(&format!("/photos/{id}/{rendition}")).await;
        assert_eq!(
            (answer.status(), &answer.headers()[header::CACHE_CONTROL]),
            (StatusCode::SEE_OTHER, &"no-store".parse().unwrap())
        );
        let link = answer.headers()[header::LOCATION].to_str().unwrap().to_owned();
        assert_eq!(link, photo["links"][rendition].as_str().unwrap(), "the same link within its window");
        assert_eq!(site.page(&link).await.status(), StatusCode::OK);
    }
    assert_eq!(site.page(&format!("/photos/{id}/poster")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_bad_description_is_refused_and_nothing_changes() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let path = format!("/photos/{}/description", photo["id"].as_str().unwrap());
    site.post(&path, &[("description", "kept")]).await;
    let form = "application/x-www-form-urlencoded";
    let too_long = format!("description={}", "a".repeat(2001));
    let far_too_long = format!("description={}", "a".repeat(200_000));
    for (media_type, body, status) in [
        (form, too_long.as_str(), 422),
        (form, far_too_long.as_str(), 413),
        (form, "description=%00", 422),
        (form, "description=%FF%FE", 400),
        (form, "description=%ED%A0%80", 400),
        (form, "text=hello", 400),
        (form, "description=a&description=b", 400),
        ("application/json", "{}", 400),
        ("application/json", "not json", 400),
        ("text/plain", "description=a", 415),
    ] {
        let request = site
            .ask(Method::POST, &path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, media_type);
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{media_type} {body:.40}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    let as_browser = site.ask(Method::POST, &path).form(&[("description", "b".repeat(2001))]).send().await.unwrap();
    assert_eq!(as_browser.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(as_browser.text().await.unwrap().contains("at most 2,000 characters"));
    let (_, photo) = site.json(&format!("/photos/{}", photo["id"].as_str().unwrap())).await;
    assert_eq!(photo["description"], "kept");
}

#[tokio::test]
async fn every_text_a_person_may_write_comes_back_as_it_was() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 3)).await;
    let path = format!("/photos/{}/description", photo["id"].as_str().unwrap());
    let marks = format!("e{}", "\u{301}".repeat(1500));
    for text in [
        "🦀 naïve “quotes” á a\u{301}",
        "\u{202e}evil",
        "<script>alert(1)</script>",
        "' or 1=1 --",
        &marks,
        &"ß".repeat(2000),
        "",
    ] {
        let answer = site.post(&path, &[("description", text)]).await;
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["description"], text);
        let html = site.page(&format!("/photos/{}", photo["id"].as_str().unwrap())).await.text().await.unwrap();
        assert!(!html.contains("<script>alert"), "escaped");
    }
}

#[tokio::test]
async fn an_unknown_and_a_malformed_id_get_the_same_answer() {
    let site = Site::new().await;
    let mut seen = Vec::new();
    for id in ["01890000-0000-7000-8000-000000000000", "1", "..%2f", "01890000-0000-7000-8000-00000000000A", "%00"] {
        let answer = site.page(&format!("/photos/{id}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{id}");
        seen.push(answer.text().await.unwrap());
    }
    assert!(seen.iter().all(|page| *page == seen[0]), "nothing tells one from the other");
}

fn image_size(jpeg: &[u8]) -> (usize, usize) {
    let mut decoder = zune_jpeg::JpegDecoder::new(zune_core::bytestream::ZCursor::new(jpeg));
    decoder.decode_headers().unwrap();
    decoder.dimensions().unwrap()
}
