//! A real gallery in a temporary folder, driven over HTTP: the helper of all page tests.

use std::{net::TcpListener, sync::Arc, time::Duration};

use photo_gallery::{
    accounts::{Client as From, Entry, Progress},
    app::App,
    identity::NewAccount,
    photo::Owner,
    settings::{Identity, Labeler, Settings},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header, header::HeaderMap, multipart};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Who has signed in where a test says nothing else: the first account.
pub(crate) const ANN: &str = "ann@example.org";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Somebody who visits a gallery, as a browser of their own: signed in or not.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) url: String,
    pub(crate) client: Client,
    /// The cookies it shows.
    pub(crate) cookie: Option<String>,
}

/// A running gallery, visited by [`ANN`]. Dropping it ends it; [`Site::stop`] ends it in order, keeping its folder.
pub(crate) struct Site {
    visit: Visit,
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
        Self::without_worker_with(|_| {}).await
    }

    /// The same with some settings changed.
    pub(crate) async fn without_worker_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = Settings { data: folder.path().join("data"), ..Settings::default() };
        change(&mut settings);
        Self::start(folder, settings, false).await
    }

    async fn start(folder: Arc<TempDir>, settings: Settings, works: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Arc::new(Box::pin(App::open(settings.clone())).await.unwrap());
        let server = app.server(listener).unwrap();
        let (handle, stop) = (server.handle(), CancellationToken::new());
        let serving = tokio::spawn(async move { server.run().await.unwrap() });
        let (worker, until) = (Arc::clone(&app), stop.clone());
        let working = tokio::spawn(async move {
            if works {
                worker.work(until).await;
            }
        });
        let cookie = match settings.identity {
            Identity::Local(_) => Some(signed_in(&app, ANN).await),
            Identity::Cognito(_) | Identity::None(_) => None,
        };
        let visit = Visit::new(&url, cookie.as_deref());
        Self { visit, app, folder, settings, stop, server: handle, running: vec![serving, working] }
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

    /// Whose photos are [`ANN`]'s.
    pub(crate) async fn owner(&self) -> Owner {
        let cookie = self.cookie.as_deref().unwrap().strip_prefix("session=").unwrap();
        self.app.accounts().session(cookie).await.unwrap().unwrap().person.owner
    }

    /// Somebody who is not signed in.
    pub(crate) fn nobody(&self) -> Visit {
        Visit::new(&self.url, None)
    }

    /// [`ANN`] again, with a browser of her own, signed in anew.
    pub(crate) async fn again(&self) -> Visit {
        self.again_as(ANN).await
    }

    /// Somebody who has an account, with a browser of their own.
    pub(crate) async fn again_as(&self, email: &str) -> Visit {
        Visit::new(&self.url, Some(&entered(&self.app, email).await))
    }

    /// Somebody else, with an account of their own.
    pub(crate) async fn another(&self, email: &str) -> Visit {
        Visit::new(&self.url, Some(&signed_in(&self.app, email).await))
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

impl std::ops::Deref for Site {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.visit
    }
}

/// Signs in with an account, made when it is not there; the cookie.
async fn signed_in(app: &App, email: &str) -> String {
    let from = From { address: "127.0.0.1".parse().unwrap(), agent: "tests".to_owned(), device: None, sign_in: None };
    let account = NewAccount {
        name: email.parse().unwrap(),
        nickname: email.split('@').next().unwrap().parse().unwrap(),
        password: PASSWORD.into(),
    };
    app.accounts().sign_up(&from, &account).await.unwrap();
    entered(app, email).await
}

/// Signs in with an account that is there; the cookie.
async fn entered(app: &App, email: &str) -> String {
    let from = From { address: "127.0.0.1".parse().unwrap(), agent: "tests".to_owned(), device: None, sign_in: None };
    match app.accounts().sign_in(&from, &email.parse().unwrap(), &PASSWORD.into(), None).await.unwrap() {
        Progress::In(entry) => session_cookie(&entry),
        asked @ Progress::Asked(_) => panic!("signed in halfway: {asked:?}"),
    }
}

fn session_cookie(entry: &Entry) -> String {
    format!("session={}", entry.session.expose_secret())
}

impl Visit {
    /// A browser that shows this cookie and sends what browsers send of a page's own forms.
    pub(crate) fn new(url: &str, cookie: Option<&str>) -> Self {
        Self::telling(url, cookie, Some("same-origin"))
    }

    /// The same browser if it told nothing of where its requests come from.
    pub(crate) fn untold(&self) -> Self {
        Self::telling(&self.url, self.cookie.as_deref(), None)
    }

    fn telling(url: &str, cookie: Option<&str>, source: Option<&str>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(source) = source {
            headers.insert("sec-fetch-site", source.parse().unwrap());
        }
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, cookie.parse().unwrap());
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .default_headers(headers)
            .build()
            .unwrap();
        Self { url: url.to_owned(), client, cookie: cookie.map(str::to_owned) }
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
