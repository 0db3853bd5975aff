//! What happens to a photo after its upload was answered.

use photo_gallery::settings::Settings;

use crate::{pictures, site::Site};

#[tokio::test]
async fn a_photo_is_labelled_without_being_asked_again() {
    let site = Site::with(|settings| settings.labeler = Settings::default().labeler).await;
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/chelsea.jpg")).unwrap();
    let photo = site.uploaded("c.jpg", bytes).await;
    assert_eq!(photo["state"], "labelling");
    let photo = site.settled(photo["id"].as_str().unwrap()).await;
    let labels = photo["labels"].as_array().unwrap();
    let cat = labels.iter().find(|label| label["name"] == "Cat").unwrap_or_else(|| panic!("a cat: {photo}"));
    assert!(cat["confidence"].as_f64().unwrap() > 50.0);
    for path in ["/photos?label=Cat", "/photos?label=cat", "/photos?q=cats"] {
        let (_, listing) = site.json(path).await;
        assert_eq!(listing["photos"][0]["id"], photo["id"], "{path}");
    }
    let (_, counted) = site.json("/labels").await;
    assert!(
        counted["labels"].as_array().unwrap().iter().any(|label| label["name"] == "Cat" && label["photos"] == 1),
        "{counted}"
    );
    let html = site.page("/labels").await.text().await.unwrap();
    assert!(html.contains("/photos?label=Cat"), "{html}");
}

#[tokio::test]
async fn photos_uploaded_while_no_worker_runs_are_finished_at_the_next_start() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for seed in 0..5 {
        ids.push(site.uploaded("a.jpg", pictures::jpeg(32, 24, seed)).await["id"].as_str().unwrap().to_owned());
    }
    let site = site.restart().await;
    for id in ids {
        assert_eq!(site.settled(&id).await["state"], "labelled");
    }
}

#[tokio::test]
async fn a_photo_whose_rendition_is_gone_says_why_it_failed() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(32, 24, 1)).await;
    for file in site.stored() {
        std::fs::remove_file(file).unwrap();
    }
    site.app.finisher().finish(photo["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    let photo = site.settled(photo["id"].as_str().unwrap()).await;
    assert_eq!(
        (&photo["state"], &photo["problem"]),
        (&"failed".into(), &"The photo's rendition is missing in the store.".into())
    );
}
