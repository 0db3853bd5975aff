//! How the program ends when it is told to, and what a panic leaves standing.

use std::{
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    middleware::from_fn,
    web::{self, Bytes},
};
use futures_util::{StreamExt as _, stream};
use photo_gallery::{
    app::App,
    pages,
    settings::{Labeler, Settings},
};
use reqwest::StatusCode;
use rustix::process::Signal;

use crate::{
    operation::in_two_halves,
    pictures,
    process::{self, Process},
    site::Visit,
};

const NO_LABELS: (&str, &str) = ("GALLERY__LABELER", "none");
const LONG_DRAIN: (&str, &str) = ("GALLERY__SERVER__DRAIN_SECONDS", "600");

/// Waits until so many uploads are under way to the server in `folder`: each has a file from when its first part has come.
pub(crate) async fn half_is_there(folder: &Path, uploads: usize) {
    let came = || {
        let files = walkdir::WalkDir::new(folder.join("data/incoming")).into_iter().flatten();
        files.filter(|entry| entry.file_type().is_file() && entry.file_name() != "lock").count()
    };
    for _ in 0..600 {
        if came() >= uploads {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} of {uploads} uploads have come", came());
}

/// That what a server has left in `folder` agrees.
async fn check_clean(folder: &Path) {
    let folder = folder.to_owned();
    let audit = move || process::run(&folder, &["check", "--deep"], &[NO_LABELS], "");
    let output = tokio::task::spawn_blocking(audit).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Waits until `/ping` says that the server is about to stop.
async fn drains(server: &Process) {
    for _ in 0..200 {
        if server.json("/ping").await.0 == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not drain: {}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn told_twice_it_does_not_wait_for_load_balancers_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS, LONG_DRAIN]).await;
    server.ask_to_stop();
    drains(&server).await;
    server.uploaded("late.jpg", "", pictures::jpeg(64, 48, 1)).await;
    let (request, go_on) = in_two_halves(&server.client, &server.url, &pictures::jpeg(800, 600, 2));
    let sending = tokio::spawn(request.send());
    half_is_there(folder.path(), 1).await;
    server.ask_to_stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    go_on.send(()).unwrap();
    assert_eq!(sending.await.unwrap().unwrap().status(), StatusCode::CREATED);
    assert!(server.ended().await);
    check_clean(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_three_times_or_interrupted_twice_it_ends_at_once() {
    for signals in [&[Signal::TERM, Signal::TERM, Signal::TERM][..], &[Signal::INT, Signal::INT]] {
        let folder = tempfile::tempdir().unwrap();
        let server = Process::serve(folder.path(), &[NO_LABELS, LONG_DRAIN]).await;
        let (request, _go_on) = in_two_halves(&server.client, &server.url, &pictures::jpeg(800, 600, 1));
        let sending = tokio::spawn(request.send());
        half_is_there(folder.path(), 1).await;
        for signal in signals {
            server.signal(*signal);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(!server.ended().await, "it says that it did not end in order");
        assert!(sending.await.unwrap().is_err(), "the upload in hand was broken off");
        check_clean(folder.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_does_not_keep_the_server_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[NO_LABELS, ("GALLERY__SERVER__SHUTDOWN_SECONDS", "1")]).await;
    let (request, _go_on) = in_two_halves(&server.client, &server.url, &pictures::jpeg(800, 600, 1));
    let sending = tokio::spawn(request.send());
    half_is_there(folder.path(), 1).await;
    let began = Instant::now();
    assert!(server.terminate().await);
    println!("ended after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20), "well before an idle body is given up");
    assert!(sending.await.unwrap().is_err());
    check_clean(folder.path()).await;
}

/// What a request asks for and what panics when it is asked.
struct Panicking;

impl FromRequest for Panicking {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        assert!(request.path().is_empty(), "an extractor of a test panics");
        std::future::ready(Ok(Self))
    }
}

async fn panics(request: HttpRequest) -> HttpResponse {
    assert!(request.path().is_empty(), "a page of a test panics");
    HttpResponse::Ok().finish()
}

async fn asks(_: Panicking) -> HttpResponse {
    HttpResponse::Ok().finish()
}

async fn breaks_off() -> HttpResponse {
    HttpResponse::Ok().streaming(stream::iter([0, 1]).map(|piece| {
        assert_eq!(piece, 0, "a body of a test panics");
        Ok::<_, actix_web::Error>(Bytes::from_static(b"the first piece"))
    }))
}

/// The gallery's pages, and some that panic.
fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/test/panics").route(web::get().to(panics)).wrap(from_fn(pages::caught)));
    config.service(web::resource("/test/asks").route(web::get().to(asks)).wrap(from_fn(pages::caught)));
    config.service(web::resource("/test/breaks-off").route(web::get().to(breaks_off)).wrap(from_fn(pages::caught)));
    config.service(web::resource("/test/uncaught").route(web::get().to(panics)));
    pages::routes(config);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_the_failure_of_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings { labeler: Labeler::None, ..Settings::default() };
    settings.data = folder.path().join("data");
    settings.server.workers = 1;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Arc::new(Box::pin(App::open(settings)).await.unwrap());
    let server = app.server_with(listener, routes).unwrap();
    let handle = server.handle();
    let serving = tokio::spawn(server.run());
    let visit = Visit::new(&url, None);
    let counted = async || visit.json("/readyz").await.1["panics"].as_u64().unwrap();
    for path in ["/test/panics", "/test/asks"] {
        let before = counted().await;
        let answer = visit.page(path).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let page = answer.text().await.unwrap();
        assert!(page.contains(&id) && page.contains("not your doing") && !page.contains("panic"), "{page}");
        let (status, problem) = visit.json(path).await;
        assert_eq!((status, problem["status"].as_u64()), (StatusCode::INTERNAL_SERVER_ERROR, Some(500)));
        assert!(counted().await >= before + 2);
        assert_eq!(visit.page("/login").await.status().as_u16() / 100, 3, "the next request is fine");
    }
    let before = counted().await;
    let broken = match visit.client.get(format!("{url}/test/breaks-off")).send().await {
        Ok(answer) => answer.bytes().await,
        Err(cut) => Err(cut),
    };
    assert!(broken.is_err(), "a body that panics is cut, and is not taken for whole: {broken:?}");
    assert!(counted().await > before);
    for _ in 0..3 {
        let sent = visit.client.get(format!("{url}/test/uncaught")).send().await;
        assert!(sent.is_err(), "{sent:?}");
        assert_eq!(visit.json("/ping").await.0, StatusCode::OK, "the one thread that answers lives");
    }
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
    app.close().await;
}
