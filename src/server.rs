//! The web server: middleware around the pages. The same for `main` and for tests.

use std::{
    net::{IpAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpMessage, HttpServer,
    body::MessageBody,
    dev::{ServerHandle, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Compress, Next, from_fn},
    web,
};
use tracing::Instrument as _;
use url::Url;

use self::{forgery::Source, places::Places, unread::Held};
use crate::{
    error::{Error, Kind},
    events::trace::{self, TraceContext},
    pages::{
        Site,
        problem::{self, RequestId},
        visitor::{self, NewDevice},
    },
};

mod forgery;
mod places;
mod unread;

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that answer requests; 0 for one a core.
    pub workers: usize,
    /// How long an idle connection is kept; longer than the balancer's own (60 s), or it sees broken connections.
    pub keep_alive: Duration,
    /// How long requests in hand may take once the server is told to stop.
    pub shutdown: Duration,
    /// The most requests in hand at once.
    pub requests_at_once: usize,
    /// The most open connections; others wait until one is closed.
    pub connections: usize,
    /// The address people use, when it is known.
    pub base_url: Option<Url>,
    /// Where linked pictures come from when not from here: the bucket's origin.
    pub pictures_from: Option<String>,
    /// Where people sign in when not here: the origin of the provider's own pages. Forms may lead there.
    pub sign_in_at: Option<String>,
}

/// How long a client may take for a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);

/// When to come again when there are too many requests, or the database was not there yet.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// What names the pages of a server.
pub type Routes = fn(&mut web::ServiceConfig);

/// A server that is ready to run.
pub struct Server {
    running: actix_web::dev::Server,
}

impl Server {
    /// A server on a socket that already listens.
    pub fn new(listener: TcpListener, site: Site, routes: Routes, options: &Options) -> std::io::Result<Self> {
        let site = web::Data::new(site);
        let loopback = listener.local_addr()?.ip().is_loopback();
        let guard = Arc::new(Guard::new(options, loopback));
        let workers = if options.workers == 0 { std::thread::available_parallelism()?.get() } else { options.workers };
        let running = HttpServer::new(move || {
            let guard = Arc::clone(&guard);
            App::new()
                .app_data(site.clone())
                .configure(routes)
                .wrap(from_fn(problem::dress))
                .wrap(Compress::default())
                .wrap(from_fn(move |request, next| {
                    let guard = Arc::clone(&guard);
                    guard.pass(request, next)
                }))
        })
        .workers(workers)
        .max_connections(options.connections.div_ceil(workers))
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

/// Whether a path asks how this instance stands, whatever there is to do, under whatever name.
fn is_about_itself(path: &str) -> bool {
    matches!(path, "/ping" | "/readyz")
}

/// Who asks, as far as they can be told from others: behind a proxy that does not say for whom it asks, and on this machine, they cannot.
fn client(request: &ServiceRequest) -> Option<IpAddr> {
    let site = request.app_data::<web::Data<Site>>()?;
    let address = visitor::client_address(request.request(), site);
    Some(address).filter(|address| !address.is_loopback() && !(site.trusts)(*address))
}

fn too_many() -> Error {
    Error::Unavailable { retry_after: COME_AGAIN, cause: anyhow::anyhow!("too many requests are in hand") }
}

fn not_yet() -> Error {
    Error::Unavailable { retry_after: COME_AGAIN, cause: anyhow::anyhow!("the gallery still waits for its database") }
}

/// What every request passes: a name for it, the headers of every answer, and no entry for other sites.
struct Guard {
    headers: Vec<(HeaderName, HeaderValue)>,
    base: Option<Url>,
    loopback: bool,
    places: Places,
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
        let places = Places::new(options.requests_at_once);
        Self { headers, base: options.base_url.clone(), loopback, places }
    }

    async fn pass<B: MessageBody + 'static>(
        self: Arc<Self>,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let span = tracing::info_span!("request", id);
        let trace = TraceContext::of_request(&id);
        trace::within(trace, self.answer(id, request, next)).instrument(span).await
    }

    async fn answer<B: MessageBody + 'static>(
        &self,
        id: String,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<impl MessageBody + use<B>>, actix_web::Error> {
        request.extensions_mut().insert(RequestId(id.clone()));
        let held = Held::of(&mut request);
        let place = self.places.take(client(&request));
        let checked = if place.is_none() && !is_about_itself(request.path()) {
            Err(too_many())
        } else {
            self.check(&mut request).await
        };
        if let Err(error) = checked {
            request.extensions_mut().insert(error);
        }
        let draining = request.app_data::<web::Data<Site>>().is_some_and(|site| site.draining.is_cancelled());
        let mut response = next.call(request).await?;
        if draining {
            // Whoever comes again is to come to another instance.
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
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
        Ok(response.map_body(|_, body| held.until_sent(body)))
    }

    /// Whether a request may reach its page: it came by a name of this gallery's, and from no other site.
    async fn check(&self, request: &mut ServiceRequest) -> Result<(), Error> {
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !is_about_itself(request.path()) && !self.knows(host) {
            return Err(Error::refused(
                Kind::Misdirected,
                "This gallery is not known under that name. Its operator can set it as server.base_url.",
            ));
        }
        let waiting = request.app_data::<web::Data<Site>>().is_some_and(|site| !site.readiness.is_open());
        if waiting && !is_about_itself(request.path()) && !request.path().starts_with("/static/") {
            return Err(not_yet());
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
