//! The web server: middleware around the pages. The same for `main` and for tests.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpMessage, HttpServer,
    body::MessageBody,
    dev::{ServerHandle, ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName, HeaderValue},
    middleware::{Compress, Next, from_fn},
    web,
};
use tracing::Instrument as _;
use url::Url;

use self::forgery::Source;
use crate::{
    error::{Error, Kind},
    pages::{
        self, Site,
        problem::{self, RequestId},
        visitor::NewDevice,
    },
};

mod forgery;

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that answer requests; 0 for one a core.
    pub workers: usize,
    /// How long an idle connection is kept; longer than the balancer's own (60 s), or it sees broken connections.
    pub keep_alive: Duration,
    /// How long requests in hand may take once the server is told to stop.
    pub shutdown: Duration,
    /// The address people use, when it is known.
    pub base_url: Option<Url>,
    /// Where linked pictures come from when not from here: the bucket's origin.
    pub pictures_from: Option<String>,
    /// Where people sign in when not here: the origin of the provider's own pages. Forms may lead there.
    pub sign_in_at: Option<String>,
}

/// How long a client may take for a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);

/// A server that is ready to run.
pub struct Server {
    running: actix_web::dev::Server,
}

impl Server {
    /// A server on a socket that already listens.
    pub fn new(listener: TcpListener, site: Site, options: &Options) -> std::io::Result<Self> {
        let site = web::Data::new(site);
        let loopback = listener.local_addr()?.ip().is_loopback();
        let guard = Arc::new(Guard::new(options, loopback));
        let workers = if options.workers == 0 { std::thread::available_parallelism()?.get() } else { options.workers };
        let running = HttpServer::new(move || {
            let guard = Arc::clone(&guard);
            App::new()
                .app_data(site.clone())
                .configure(pages::routes)
                .wrap(from_fn(problem::dress))
                .wrap(Compress::default())
                .wrap(from_fn(move |request, next| {
                    let guard = Arc::clone(&guard);
                    guard.pass(request, next)
                }))
        })
        .workers(workers)
        .keep_alive(options.keep_alive)
        .client_request_timeout(HEADERS_WITHIN)
        .shutdown_timeout(options.shutdown.as_secs())
        .disable_signals()
        .listen(listener)?
        .run();
        Ok(Self { running })
    }

    /// Stops the server from outside.
    pub fn handle(&self) -> ServerHandle {
        self.running.handle()
    }

    /// Answers requests until stopped.
    pub async fn run(self) -> std::io::Result<()> {
        self.running.await
    }
}

/// What every request passes: a name for it, the headers of every answer, and no entry for other sites.
struct Guard {
    headers: Vec<(HeaderName, HeaderValue)>,
    base: Option<Url>,
    loopback: bool,
}

impl Guard {
    fn new(options: &Options, loopback: bool) -> Self {
        let beside = |origin: &Option<String>| origin.as_deref().map(|origin| format!(" {origin}")).unwrap_or_default();
        let (pictures, sign_in) = (beside(&options.pictures_from), beside(&options.sign_in_at));
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:{pictures}; connect-src 'self'; \
             manifest-src 'self'; form-action 'self'{sign_in}; base-uri 'none'; frame-ancestors 'none'"
        );
        let mut headers = vec![
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
            (
                HeaderName::from_static("permissions-policy"),
                HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
            ),
        ];
        headers.extend(HeaderValue::from_str(&policy).map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
        if options.base_url.as_ref().is_some_and(|base| base.scheme() == "https") {
            headers.push((header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")));
        }
        Self { headers, base: options.base_url.clone(), loopback }
    }

    async fn pass<B: MessageBody + 'static>(
        self: Arc<Self>,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let span = tracing::info_span!("request", id);
        self.answer(id, request, next).instrument(span).await
    }

    async fn answer<B: MessageBody + 'static>(
        &self,
        id: String,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<impl MessageBody + use<B>>, actix_web::Error> {
        request.extensions_mut().insert(RequestId(id.clone()));
        if let Err(error) = self.check(&mut request).await {
            request.extensions_mut().insert(error);
        }
        let mut response = next.call(request).await?;
        let device = response.request().extensions_mut().remove::<NewDevice>();
        let answered = response.headers_mut();
        if let Some(NewDevice(cookie)) = device
            && answered.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
            && let Ok(cookie) = HeaderValue::from_str(&cookie)
        {
            answered.append(header::SET_COOKIE, cookie);
        }
        for (name, value) in &self.headers {
            if !answered.contains_key(name) {
                answered.insert(name.clone(), value.clone());
            }
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            answered.insert(HeaderName::from_static("x-request-id"), id);
        }
        Ok(response)
    }

    /// Whether a request may reach its page: it came by a name of this gallery's, and from no other site.
    async fn check(&self, request: &mut ServiceRequest) -> Result<(), Error> {
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if request.path() != "/ping" && !self.knows(host) {
            return Err(Error::refused(
                Kind::Misdirected,
                "This gallery is not known under that name. Its operator can set it as server.base_url.",
            ));
        }
        match self.source(request.method(), host, request.headers()) {
            Source::Own => Ok(()),
            Source::Foreign => Err(forgery::foreign()),
            Source::Untold => forgery::check_token(request).await,
        }
    }

    /// On a loopback address, where any page in a browser could reach the gallery under a name of its own, only names of this
    /// machine and the configured one are known; elsewhere any name is, unless one is configured.
    fn knows(&self, host: &str) -> bool {
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(name, _)| name)
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let name = name.as_str();
        let local = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        match &self.base {
            Some(base) => base.host_str() == Some(name) || local,
            None => local || !self.loopback,
        }
    }

    fn is_own(&self, origin: &str, host: &str) -> bool {
        match &self.base {
            Some(base) => base.origin().ascii_serialization() == origin,
            None => origin.split_once("://").is_some_and(|(_, name)| name == host),
        }
    }
}
