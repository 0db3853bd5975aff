//! What could not be finished, what waits, and another try.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use photo_gallery::{
    album::{Album, Intake, Place},
    catalog::Stage,
    darkroom::Darkroom,
    error::Error,
    events::{Events as _, InProcess, Subject},
    imaging::Limits,
    photo::{PhotoId, State},
    store::Disk,
};
use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::{
    catalog::{
        Bed,
        cases::{ann, at, insert},
    },
    changes::{elsewhere, put_off},
    pictures,
    site::{Site, Visit},
};

/// A photo that waits.
async fn waiting(visit: &Visit, seed: u32) -> PhotoId {
    let name = format!("{seed}.jpg");
    visit.uploaded(&name, pictures::jpeg(32, 24, seed)).await["id"].as_str().unwrap().parse().unwrap()
}

/// A photo that has failed.
async fn failed(site: &Site, visit: &Visit, seed: u32) -> PhotoId {
    let photo = waiting(visit, seed).await;
    elsewhere(site).save_problem(photo, "It is too <dark> in there.").await.unwrap();
    photo
}

async fn text(visit: &Visit, path: &str) -> String {
    let answer = visit.page(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.text().await.unwrap()
}

async fn sent(visit: &Visit, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
    let answer = visit.ask(Method::POST, path).header(header::ACCEPT, "text/html").form(fields).send().await.unwrap();
    let to = answer.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
    (answer.status(), to.unwrap_or_default())
}

#[tokio::test]
async fn a_photo_that_has_failed_says_why_and_gets_another_try() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let page = format!("/photos/{photo}");
    let retry = format!("{page}/retry");
    assert!(!text(&site, &page).await.contains(&retry), "nothing to try again");
    let worker = elsewhere(&site);
    for _ in 0..3 {
        put_off(&site, photo, Duration::ZERO).await;
    }
    worker.save_problem(photo, "It is too <dark> in there.").await.unwrap();
    let html = text(&site, &page).await;
    assert!(html.contains("It is too &#60;dark&#62; in there.") && html.contains(&retry), "{html}");

    let before = site.app.album().now();
    assert_eq!(sent(&site, &retry, &[]).await, (StatusCode::SEE_OTHER, page.clone()));
    let (_, now) = site.json(&page).await;
    assert_eq!((&now["state"], now.get("problem")), (&"labelling".into(), None));
    let progress = worker.progress(&[photo]).await.unwrap()[&photo];
    assert_eq!(progress.attempts, 0, "as if never tried");
    assert!(progress.due.unwrap() >= before && progress.due.unwrap() <= site.app.album().now(), "due now");
    assert_eq!(site.app.finisher().overdue(std::time::Duration::ZERO, 9).await.unwrap(), [photo]);

    worker.save_problem(photo, "Again.").await.unwrap();
    let told = site.post(&retry, &[]).await;
    assert_eq!(told.status(), StatusCode::OK);
    assert_eq!(told.json::<serde_json::Value>().await.unwrap()["state"], "labelling");
    worker.save_problem(photo, "Again.").await.unwrap();
    let next = [("next", "/unfinished?failed=00000000000000000000000000000000")];
    assert_eq!(sent(&site, &retry, &next).await, (StatusCode::SEE_OTHER, next[0].1.to_owned()));
    worker.save_problem(photo, "Again.").await.unwrap();
    assert_eq!(sent(&site, &retry, &[("next", "https://evil.example/")]).await, (StatusCode::SEE_OTHER, page));
}

#[tokio::test]
async fn a_finished_photo_whose_file_is_lost_has_no_button_that_could_do_nothing() {
    let site = Site::without_worker().await;
    let (lost, other) = (waiting(&site, 1).await, failed(&site, &site, 2).await);
    let worker = elsewhere(&site);
    worker.save_labels(lost, &[], at(0)).await.unwrap();
    assert!(worker.mark_damaged(lost, "The photo's file is missing in the store.", None).await.unwrap());
    for page in [format!("/photos/{lost}"), "/unfinished".to_owned()] {
        let html = text(&site, &page).await;
        assert!(html.contains("missing in the store") && html.contains("ask the operator of this gallery"), "{html}");
        assert!(!html.contains(&format!("/photos/{lost}/retry")), "{html}");
    }
    assert!(text(&site, "/unfinished").await.contains(&format!("/photos/{other}/retry")));
    assert!(text(&site, "/unfinished").await.contains("Try all failed again"));
    site.post(&format!("/photos/{other}/delete"), &[]).await;
    assert!(!text(&site, "/unfinished").await.contains("Try all failed again"), "nothing is left that it could help");
}

#[tokio::test]
async fn another_try_changes_nothing_of_a_photo_that_has_not_failed() {
    let site = Site::without_worker().await;
    let (labelled, later) = (waiting(&site, 1).await, waiting(&site, 2).await);
    let worker = elsewhere(&site);
    worker.save_labels(labelled, &[], at(0)).await.unwrap();
    put_off(&site, later, Duration::from_mins(10)).await;
    let before = worker.progress(&[labelled, later]).await.unwrap();
    for photo in [labelled, later] {
        let retry = format!("/photos/{photo}/retry");
        assert_eq!(site.post(&retry, &[]).await.status(), StatusCode::OK);
        assert_eq!(sent(&site, &retry, &[]).await.0, StatusCode::SEE_OTHER);
    }
    assert_eq!(worker.progress(&[labelled, later]).await.unwrap(), before);
    assert_eq!(before[&labelled].state, State::Labelled);
}

#[tokio::test]
async fn nobody_else_gives_a_photo_another_try() {
    let site = Site::without_worker().await;
    let bob = site.another("bob@example.org").await;
    let photo = failed(&site, &site, 1).await;
    assert_eq!(bob.post(&format!("/photos/{photo}/retry"), &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        bob.post("/unfinished/retry", &[]).await.json::<serde_json::Value>().await.unwrap(),
        json!({"retried": 0})
    );
    for path in ["/unfinished", "/photos"] {
        let html = text(&bob, path).await;
        assert!(!html.contains(&photo.to_string()) && !html.contains("could not be finished"), "{html}");
    }
    assert_eq!(site.json(&format!("/photos/{photo}")).await.1["state"], "failed");
}

#[tokio::test]
async fn what_is_unfinished_stands_on_a_page_to_which_the_timeline_leads() {
    let site = Site::without_worker().await;
    let html = text(&site, "/unfinished").await;
    assert!(html.contains("Nothing is waiting"), "{html}");
    let done = waiting(&site, 1).await;
    elsewhere(&site).save_labels(done, &[], at(0)).await.unwrap();
    let html = text(&site, "/photos").await;
    assert!(html.contains("<p class=\"unfinished-note\" hidden>"), "nothing to lead to: {html}");

    let (waits, fails) = (waiting(&site, 2).await, failed(&site, &site, 3).await);
    let html = text(&site, "/photos").await;
    let told = "1 photo could not be finished, 1 waits for its labels";
    assert!(html.contains("<p class=\"unfinished-note\">") && html.contains(&format!(">{told}</a>")), "{html}");
    let html = text(&site, "/unfinished").await;
    assert!(html.contains("It is too &#60;dark&#62; in there.") && html.contains(told), "{html}");
    assert!(html.contains(&format!("action=\"/photos/{fails}/retry\"")), "{html}");
    assert!(
        !html.contains(&format!("action=\"/photos/{waits}/retry\"")) && !html.contains(&done.to_string()),
        "{html}"
    );
    assert!(html.find(&fails.to_string()) < html.find(&waits.to_string()), "failed ones first: {html}");
    let (_, listing) = site.json("/unfinished").await;
    let ids: Vec<_> = listing["photos"].as_array().unwrap().iter().map(|photo| photo["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [fails.to_string(), waits.to_string()]);
    assert_eq!(
        (&listing["unfinished"], &listing["next"]),
        (&json!({"waiting": 1, "failed": 1, "told": told}), &json!(null))
    );
    for path in ["/unfinished?failed=x", "/unfinished?waiting=1"] {
        assert_eq!(site.page(path).await.status(), StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_photo_that_waits_longer_than_expected_says_so_in_words() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let page = format!("/photos/{photo}");
    for path in [&page, "/unfinished"] {
        assert!(text(&site, path).await.contains("Labelling…"), "{path}");
    }
    put_off(&site, photo, Duration::from_secs(250)).await;
    let told = "Labelling has been put off: the next try is in about 4 minutes.";
    for path in [&page, "/unfinished"] {
        assert!(text(&site, path).await.contains(told), "{path}");
    }
    assert_eq!(site.json(&page).await.1["delay"], told);
}

#[tokio::test]
async fn all_that_has_failed_gets_another_try_at_once() {
    let site = Site::without_worker().await;
    let mut photos = Vec::new();
    for seed in 0..3 {
        photos.push(failed(&site, &site, seed).await);
    }
    assert_eq!(sent(&site, "/unfinished/retry", &[]).await, (StatusCode::SEE_OTHER, "/unfinished".to_owned()));
    let progress = elsewhere(&site).progress(&photos).await.unwrap();
    assert!(photos.iter().all(|photo| progress[photo].state == State::Labelling), "{progress:?}");
    assert_eq!(site.json("/unfinished").await.1["unfinished"]["failed"], 0);
}

/// An album of its own on a catalog, without a worker.
fn album(bed: &Bed, folder: &std::path::Path) -> (Arc<Album>, Arc<InProcess>) {
    let store = Disk::open(folder.join("photos"), "/media", &[7; 32], Duration::from_mins(1), || at(0)).unwrap();
    let events = Arc::new(InProcess::new(1000));
    let darkroom = Darkroom::new(NonZeroUsize::MIN, 1, Limits::default()).unwrap();
    let intake = Intake::open(&folder.join("incoming"), 1000).unwrap();
    let told: Arc<InProcess> = Arc::clone(&events);
    (Arc::new(Album::new(bed.catalog.clone(), Arc::new(store), told, darkroom, intake, || at(900))), events)
}

async fn announced(events: &InProcess) -> PhotoId {
    match events.next().await.unwrap()[0].subjects.as_ref().unwrap()[0] {
        Subject::Photo(photo) => photo,
        Subject::Object(ref path) => panic!("{path} is not a photo"),
    }
}

#[tokio::test]
async fn a_photo_that_is_tried_again_is_announced_again() {
    let (bed, folder) = (Bed::sqlite().await, tempfile::tempdir().unwrap());
    let (album, events) = album(&bed, folder.path());
    let photos = insert(&bed, &ann(), 1..=200).await;
    for photo in &photos {
        bed.catalog.save_problem(photo.id, "No.").await.unwrap();
    }
    let one = photos[0].id;
    assert_eq!(album.retry(&ann(), one).await.unwrap().state(), State::Labelling);
    assert_eq!(announced(&events).await, one);
    album.retry(&ann(), one).await.unwrap();
    assert_eq!(album.retry_all(&ann()).await.unwrap(), 199);
    let mut told = Vec::new();
    for _ in 0..199 {
        told.push(announced(&events).await);
    }
    told.sort();
    assert_eq!(told, photos[1..].iter().map(|photo| photo.id).collect::<Vec<_>>(), "each once, the first not again");
    assert_eq!(album.retry_all(&ann()).await.unwrap(), 0);
    let bob = "bob".parse().unwrap();
    assert!(matches!(album.retry(&bob, one).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn what_is_unfinished_is_walked_page_by_page_failed_ones_first() {
    let (bed, folder) = (Bed::sqlite().await, tempfile::tempdir().unwrap());
    let (album, _) = album(&bed, folder.path());
    let photos = insert(&bed, &ann(), 1..=200).await;
    let mut expected: Vec<(PhotoId, bool)> = Vec::new();
    for (number, photo) in photos.iter().enumerate().rev() {
        match number % 10 {
            0 => assert!(bed.catalog.save_labels(photo.id, &[], at(0)).await.unwrap()),
            1..=6 => {
                bed.catalog.save_problem(photo.id, "No.").await.unwrap();
                expected.push((photo.id, true));
            }
            _ => expected.push((photo.id, false)),
        }
    }
    expected.sort_by_key(|(_, failed)| !failed);
    assert_eq!(expected.iter().filter(|(_, failed)| *failed).count(), 120, "pages end where the failed ones do");
    let (mut walked, mut place, mut pages): (Vec<(PhotoId, bool)>, Option<Place>, usize) = (Vec::new(), None, 0);
    loop {
        let page = album.unfinished(&ann(), place.as_ref()).await.unwrap();
        assert!(page.failed.len() + page.waiting.len() <= 60);
        walked.extend(page.failed.iter().map(|photo| (photo.id, true)));
        walked.extend(page.waiting.iter().map(|photo| (photo.id, false)));
        pages += 1;
        let Some(next) = page.next else { break };
        place = Some(next);
    }
    assert_eq!((walked, pages), (expected, 3));
    assert_eq!(place.unwrap(), Place { stage: Stage::Waiting, before: None });
    assert_eq!(
        album.unfinishedness(&ann()).await.unwrap().to_string(),
        "120 photos could not be finished, 60 wait for their labels"
    );
}
