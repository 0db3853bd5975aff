//! Pages that are open hear how their photos get on.

use std::time::Duration;

use photo_gallery::{
    catalog::{Catalog, Claim, Connection, PoolSize},
    photo::{Label, PhotoId},
};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    pictures,
    site::{Site, Visit},
};

/// Another way to the gallery's catalog: what a worker on another machine does.
pub(crate) fn elsewhere(site: &Site) -> Catalog {
    let path = site.folder.path().join("data/catalog.db");
    Catalog::open(&Connection::Sqlite { path }, PoolSize::default()).unwrap()
}

/// Takes a photo up now, and puts it off.
pub(crate) async fn put_off(site: &Site, photo: PhotoId, pause: Duration) {
    let (worker, now) = (elsewhere(site), site.app.album().now());
    let claim = worker.claim(photo, now, now + Duration::from_secs(20)).await.unwrap();
    let Claim::Won(claimed) = claim else { panic!("it cannot be taken up: {claim:?}") };
    worker.put_off(photo, &claimed.mark, now + pause).await.unwrap();
}

/// A photo that waits.
async fn waiting(visit: &Visit, seed: u32) -> PhotoId {
    visit.uploaded("a.jpg", pictures::jpeg(32, 24, seed)).await["id"].as_str().unwrap().parse().unwrap()
}

fn path(photos: &[PhotoId]) -> String {
    let ids: Vec<String> = photos.iter().map(|photo| format!("id={photo}")).collect();
    format!("/photos/changes?{}", ids.join("&"))
}

async fn ask(visit: &Visit, photos: &[PhotoId]) -> Response {
    let request = visit.ask(Method::GET, &path(photos)).header(header::ACCEPT, "text/event-stream");
    request.header(header::ACCEPT_ENCODING, "gzip, br, zstd").send().await.unwrap()
}

/// A stream that was let in, as a browser reads it.
struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    async fn of(visit: &Visit, photos: &[PhotoId]) -> Self {
        let answer = ask(visit, photos).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Self { answer, text: String::new() }
    }

    /// The next lines before an empty one; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let piece = self.answer.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event and its data; `None` at the end.
    async fn event(&mut self) -> Option<(String, String)> {
        loop {
            let block = self.block().await?;
            if let Some((event, data)) = block.split_once('\n') {
                let part =
                    |line: &str, name: &str| line.strip_prefix(name).unwrap_or_else(|| panic!("{block}")).to_owned();
                return Some((part(event, "event: "), part(data, "data: ")));
            }
        }
    }

    /// The next event of this name, whatever comes before it.
    async fn until(&mut self, name: &str) -> Value {
        loop {
            let (event, data) = self.event().await.unwrap_or_else(|| panic!("no `{name}` before the end"));
            if event == name {
                return serde_json::from_str(&data).unwrap_or(Value::String(data));
            }
        }
    }

    /// All that comes until the end.
    async fn rest(mut self) -> Vec<(String, String)> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

fn label(name: &str) -> Label {
    let none = (Vec::new(), Vec::new(), Vec::new());
    Label { name: name.to_owned(), confidence: Some(90.0), parents: none.0, categories: none.1, instances: none.2 }
}

#[tokio::test]
async fn a_page_hears_how_its_photos_are_and_what_becomes_of_them() {
    let site = Site::without_worker().await;
    let (one, two) = (waiting(&site, 1).await, waiting(&site, 2).await);
    let mut stream = Stream::of(&site, &[one, two]).await;
    assert!(stream.block().await.unwrap().starts_with("retry: "), "when to ask anew");
    assert_eq!(
        stream.until("unfinished").await,
        json!({"waiting": 2, "failed": 0, "told": "2 photos wait for their labels"})
    );
    for _ in 0..2 {
        assert_eq!(stream.until("photo").await["state"], "labelling");
    }

    let worker = elsewhere(&site);
    worker.save_labels(one, &[label("Cat")], site.app.album().now()).await.unwrap();
    let told = stream.until("photo").await;
    assert_eq!(told["id"], one.to_string());
    assert_eq!((&told["state"], &told["labels"][0]["name"]), (&"labelled".into(), &"Cat".into()));
    let (_, asked) = site.json(&format!("/photos/{one}")).await;
    assert_eq!(told, asked, "what is told is what would be answered");
    assert_eq!(stream.until("unfinished").await["waiting"], 1);

    worker.save_problem(two, "It is too dark in there.").await.unwrap();
    let told = stream.until("photo").await;
    assert_eq!((&told["state"], &told["problem"]), (&"failed".into(), &"It is too dark in there.".into()));
    let counted = json!({"waiting": 0, "failed": 1, "told": "1 photo could not be finished"});
    let rest = stream.rest().await;
    let rest: Vec<(&str, &str)> = rest.iter().map(|(event, data)| (event.as_str(), data.as_str())).collect();
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert_eq!((rest[0].0, serde_json::from_str::<Value>(rest[0].1).unwrap()), ("unfinished", counted));
    assert_eq!(rest[1], ("end", "settled"));
}

#[tokio::test]
async fn a_photo_that_is_put_off_says_so_to_its_page() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let mut stream = Stream::of(&site, &[photo]).await;
    assert_eq!(stream.until("photo").await.get("delay"), None);
    put_off(&site, photo, Duration::from_secs(250)).await;
    let told = stream.until("photo").await;
    assert_eq!(told["delay"], "Labelling has been put off: the next try is in about 4 minutes.");
}

#[tokio::test]
async fn a_stream_is_neither_kept_nor_compressed_nor_buffered() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let answer = ask(&site, &[photo]).await;
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert!(matches!(header("content-encoding"), None | Some("identity")), "{:?}", header("content-encoding"));
    assert_eq!(header("content-length"), None);
    assert_eq!(header("x-request-id").map(str::len), Some(32));
    assert!(header("content-security-policy").is_some());
}

#[tokio::test]
async fn of_photos_of_others_a_stream_says_nothing() {
    let site = Site::without_worker().await;
    let bob = site.another("bob@example.org").await;
    let photo = waiting(&site, 1).await;
    let nowhere: PhotoId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let foreign = Stream::of(&bob, &[photo]).await.rest().await;
    let nothing = Stream::of(&bob, &[nowhere]).await.rest().await;
    assert_eq!(foreign, nothing);
    assert_eq!(foreign.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(), ["unfinished", "end"]);
    let (status, told) = bob.json(&path(&[photo])).await;
    assert_eq!((status, &told["photos"]), (StatusCode::OK, &json!([])));

    // Beside one of his own, too.
    let own = waiting(&bob, 2).await;
    let mut stream = Stream::of(&bob, &[own, photo]).await;
    assert_eq!(stream.until("photo").await["id"], own.to_string());
    let worker = elsewhere(&site);
    let now = site.app.album().now();
    worker.save_labels(photo, &[label("Cat")], now).await.unwrap();
    worker.save_labels(own, &[], now).await.unwrap();
    let rest = stream.rest().await;
    assert!(rest.iter().all(|(_, data)| !data.contains(&photo.to_string())), "{rest:?}");
    assert_eq!(rest.last().map(|(event, _)| event.as_str()), Some("end"));
}

#[tokio::test]
async fn a_photo_that_is_deleted_is_not_waited_for() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let mut stream = Stream::of(&site, &[photo]).await;
    stream.until("photo").await;
    assert_eq!(site.post(&format!("/photos/{photo}/delete"), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(stream.until("end").await, "settled");
}

#[tokio::test]
async fn who_does_not_ask_for_events_is_told_how_photos_are_now() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let (status, told) = site.json(&path(&[photo])).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&told["photos"][0]["id"], &told["photos"][0]["state"]),
        (&photo.to_string().into(), &"labelling".into())
    );
    assert_eq!(told["unfinished"]["waiting"], 1);
    let (_, told) = site.json("/photos/changes?id=nothing&id=").await;
    assert_eq!(told["photos"], json!([]), "what cannot be an id is like an unknown one");
    let (status, told) = site.json(&path(&[photo; 101])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(told["detail"].as_str().unwrap().contains("At most 100"), "{told}");
    assert_eq!(site.json(&path(&[photo; 100])).await.0, StatusCode::OK);
}

/// Asks until there is a place, for a bounded time.
async fn is_let_in(visit: &Visit, photo: PhotoId) {
    for _ in 0..100 {
        if ask(visit, &[photo]).await.status() == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there is no place for a stream");
}

/// Opens streams for one person, three in each of their browsers, until one is refused.
async fn as_many_as_are_let_in(first: &Visit, another: impl AsyncFn() -> Visit) -> Vec<Stream> {
    let photo = waiting(first, 99).await;
    let mut streams = Vec::new();
    while streams.len() < 100 {
        let browser = another().await;
        for _ in 0..3 {
            let answer = ask(&browser, &[photo]).await;
            if answer.status() != StatusCode::OK {
                return streams;
            }
            streams.push(Stream { answer, text: String::new() });
        }
    }
    streams
}

#[tokio::test]
async fn one_browser_gets_few_streams_and_so_do_one_person_and_all_together() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::of(&site, &[photo]).await);
    }
    let refused = ask(&site, &[photo]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "60");
    assert_eq!(site.json(&path(&[photo])).await.0, StatusCode::OK, "asking now and then goes on");

    // A page that is left gives its place to the next.
    streams.pop();
    is_let_in(&site, photo).await;

    // The browsers of one person have a share of all ...
    drop(streams);
    let mut streams = as_many_as_are_let_in(&site, async || site.again().await).await;
    assert_eq!(streams.len(), 8, "of one person");
    // ... and there are not more than some of all people together.
    for person in 0..9 {
        let name = format!("guest-{person}@example.org");
        let guest = site.another(&name).await;
        streams.extend(as_many_as_are_let_in(&guest, async || site.again_as(&name).await).await);
    }
    assert!((60..=64).contains(&streams.len()), "{} streams", streams.len());
    assert_eq!(ask(&site.another("late@example.org").await, &[photo]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(streams);
    is_let_in(&site, photo).await;
}

#[tokio::test]
async fn streams_end_when_the_instance_is_about_to_stop() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let mut stream = Stream::of(&site, &[photo]).await;
    stream.until("photo").await;
    site.app.draining().cancel();
    assert_eq!(stream.event().await, None, "without a word, so that the browser asks another instance");
    assert_eq!(ask(&site, &[photo]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    site.restart().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    let (here, there) = (site.again().await, site.again().await);
    let (mut one, mut other) = (Stream::of(&here, &[photo]).await, Stream::of(&there, &[photo]).await);
    assert_eq!(here.post("/logout", &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(one.until("end").await, "signed-out");
    assert_eq!(one.event().await, None);
    elsewhere(&site).save_labels(photo, &[], site.app.album().now()).await.unwrap();
    assert_eq!(other.until("end").await, "settled", "others go on");
}

#[tokio::test]
async fn a_stream_is_never_silent_for_long() {
    let site = Site::without_worker().await;
    let photo = waiting(&site, 1).await;
    put_off(&site, photo, Duration::from_secs(250)).await;
    let mut stream = Stream::of(&site, &[photo]).await;
    stream.until("photo").await;
    assert_eq!(stream.block().await.as_deref(), Some(":"));
}
