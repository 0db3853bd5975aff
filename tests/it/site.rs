//! A real gallery in a temporary folder, driven over HTTP: the helper of all page tests.

use std::{net::TcpListener, sync::Arc, time::Duration};

use photo_gallery::{
    app::App,
    settings::{Labeler, Settings},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header, multipart};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running gallery. Dropping it ends it; [`Site::stop`] ends it in order, keeping its folder.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) app: Arc<App>,
    pub(crate) folder: Arc<TempDir>,
    settings: Settings,
    stop: CancellationToken,
    server: actix_web::dev::ServerHandle,
    running: Vec<JoinHandle<()>>,
}

impl Site {
    /// A gallery with nothing set but its folder, without a labeler, with a worker.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A gallery with some settings changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = Settings { labeler: Labeler::None, ..Settings::default() };
        settings.data = folder.path().join("data");
        settings.server.workers = 2;
        change(&mut settings);
        Self::start(folder, settings, true).await
    }

    /// A gallery whose photos wait until a test finishes them by hand.
    pub(crate) async fn without_worker() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let settings = Settings { data: folder.path().join("data"), ..Settings::default() };
        Self::start(folder, settings, false).await
    }

    async fn start(folder: Arc<TempDir>, settings: Settings, works: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Arc::new(App::open(settings.clone()).await.unwrap());
        let server = app.server(listener).await.unwrap();
        let (handle, stop) = (server.handle(), CancellationToken::new());
        let serving = tokio::spawn(async move { server.run().await.unwrap() });
        let (worker, until) = (Arc::clone(&app), stop.clone());
        let working = tokio::spawn(async move {
            if works {
                worker.work(until).await;
            }
        });
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        Self { url, client, app, folder, settings, stop, server: handle, running: vec![serving, working] }
    }

    /// Stops the gallery in order and starts it anew on the same folder.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop.cancel();
        self.server.stop(true).await;
        for running in self.running.drain(..) {
            running.await.unwrap();
        }
        let (folder, settings) = (Arc::clone(&self.folder), self.settings.clone());
        drop(self);
        Self::start(folder, settings, true).await
    }

    /// A request to a path of this gallery.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// GET as a browser.
    pub(crate) async fn page(&self, path: &str) -> Response {
        self.ask(Method::GET, path).header(header::ACCEPT, "text/html").send().await.unwrap()
    }

    /// GET as a program.
    pub(crate) async fn json(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.ask(Method::GET, path).header(header::ACCEPT, "application/json").send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Uploads one file as a program; the status, and the file's line of the answer (or the whole refusal).
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let form = multipart::Form::new().part("photo", multipart::Part::bytes(bytes).file_name(name.to_owned()));
        let (status, mut answer) = self.send(form).await;
        let line = answer.get_mut("results").and_then(|results| results.get_mut(0)).map(Value::take);
        (status, line.unwrap_or(answer))
    }

    /// Uploads a form as a program.
    pub(crate) async fn send(&self, form: multipart::Form) -> (StatusCode, Value) {
        let request = self.ask(Method::POST, "/photos").header(header::ACCEPT, "application/json").multipart(form);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Uploads a picture that must be taken; the photo.
    pub(crate) async fn uploaded(&self, name: &str, bytes: Vec<u8>) -> Value {
        let (status, mut line) = self.upload(name, bytes).await;
        assert_eq!(status, StatusCode::CREATED, "{line}");
        line["photo"].take()
    }

    /// The photo once the worker is done with it.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        for _ in 0..600 {
            let (status, photo) = self.json(&format!("/photos/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{photo}");
            if photo["state"] == "labelled" || photo["state"] == "failed" {
                return photo;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("photo {id} was not finished within 30 s");
    }

    /// POST of a form as a program.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.ask(Method::POST, path).header(header::ACCEPT, "application/json").form(fields).send().await.unwrap()
    }

    /// The files that lie in the store's folder.
    pub(crate) fn stored(&self) -> Vec<std::path::PathBuf> {
        let mut files = files(&self.settings.data.join("photos"));
        files.retain(|file| !file.ends_with("in-use"));
        files
    }

    /// The temporary files of uploads.
    pub(crate) fn incoming(&self) -> Vec<std::path::PathBuf> {
        let mut files = files(&self.settings.data.join("incoming"));
        files.retain(|file| !file.ends_with("lock"));
        files
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        let stopping = self.server.stop(false);
        tokio::spawn(stopping);
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .flatten()
        .filter(|e| e.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}
