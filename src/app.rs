//! The one place where variants are chosen: settings become parts.

use std::{net::TcpListener, num::NonZeroUsize, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    accounts::{Accounts, Keys, Times},
    album::{Album, Finisher, Intake},
    audit::{self, Audit},
    catalog::Catalog,
    darkroom::Darkroom,
    events::Events,
    identity::{
        Identity,
        cognito::{self, Cognito},
    },
    imaging,
    pages::{self, Cookies, Site, account::data::Archives, changes::Changes, upload::Bounds},
    readiness::{self, Readiness},
    server::{self, Server},
    settings::{self, Settings},
    store::{CloudFront, Disk, S3, Store},
    supervisor::{self, Supervisor},
    worker::{self, Worker},
};

pub use database::{connection, migrate};
pub use local::open_local_accounts;

use database::{MYSQL, SQLITE};
use ground::Ground;

mod aws;
mod database;
pub mod doctor;
mod events;
mod ground;
mod labeler;
mod local;

/// What a form of one file has beside the file, in bytes, at most.
const FORM_BYTES: u64 = 64 << 10;
/// Files that an import brings at once for each thread that develops.
const IMPORTS_PER_THREAD: usize = 2;

/// All parts, chosen and put together.
pub struct App {
    settings: Settings,
    catalog: Catalog,
    album: Arc<Album>,
    accounts: Arc<Accounts>,
    finisher: Arc<Finisher>,
    events: Arc<dyn Events>,
    store: Arc<dyn Store>,
    ground: Ground,
    readiness: Arc<Readiness>,
    supervisor: Supervisor,
    pictures_from: Option<String>,
    at_once: usize,
    draining: CancellationToken,
}

/// The one clock.
#[expect(clippy::disallowed_methods, reason = "the one place where the clock is read for the album")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// `configured`, or the number of cores for 0.
fn threads(configured: usize) -> NonZeroUsize {
    NonZeroUsize::new(configured).unwrap_or(NonZeroUsize::new(cores()).unwrap_or(NonZeroUsize::MIN))
}

impl App {
    /// Chooses and opens the parts. A part that cannot work is an error that says what to do; the store and the catalog must answer.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let app = Self::assemble(settings).await?;
        app.ground.prove().await?;
        Ok(app)
    }

    /// Like [`open`](Self::open) for who only looks: it makes no gallery where there is none, and leaves the database's tables as they are.
    pub async fn visit(settings: Settings) -> anyhow::Result<Self> {
        let missing = |what: &Path| {
            format!(
                "there is no gallery here, for {} is missing; set `data` to the folder with which the gallery is served, and see that its disk is mounted",
                what.display()
            )
        };
        let sqlite = matches!(settings.catalog, settings::Catalog::Sqlite);
        if sqlite && !settings.catalog_file().is_file() {
            bail!(missing(&settings.catalog_file()));
        }
        if matches!(settings.store, settings::Store::Disk) && !settings.photo_folder().is_dir() {
            bail!(missing(&settings.photo_folder()));
        }
        let app = Self::assemble(settings).await?;
        app.catalog.schema_state().await.context(if sqlite { SQLITE } else { MYSQL })?;
        app.ground.prove_store().await?;
        Ok(app)
    }

    /// Like [`open`](Self::open) for what runs on and on: a database or a bucket that is away is waited for by [`settle`](Self::settle).
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let app = Self::assemble(settings).await?;
        app.ground.try_to_prove().await?;
        Ok(app)
    }

    /// Waits until the database and the store have been seen to serve; an error when one of them says no.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.ground.settle().await
    }

    /// The parts, chosen and not asked anything yet.
    async fn assemble(settings: Settings) -> anyhow::Result<Self> {
        supervisor::count_panics();
        let data = &settings.data;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(|| {
            format!(
                "the folder {} for the gallery's data cannot be made; set `data` to a folder that can be written",
                data.display()
            )
        })?;
        let intake = Intake::open(&data.join("incoming"), settings.upload.max_bytes)?;
        let catalog = database::catalog_of(&settings)?;
        let (store, pictures_from) = open_store(&settings).await?;
        let labeler = labeler::open(&settings).await?;
        let limits = imaging::Limits {
            max_pixels: settings.upload.max_pixels,
            max_side: settings.upload.max_side,
            ..imaging::Limits::default()
        };
        let darkroom = Darkroom::new(threads(settings.upload.threads), settings.upload.queue, limits)
            .context("starting the darkroom's threads")?;
        let events = events::open(&settings).await?;
        let identity = open_identity(&settings, &catalog).await?;
        let album =
            Arc::new(Album::new(catalog.clone(), Arc::clone(&store), Arc::clone(&events), darkroom, intake, now));
        let (draining, supervisor) = (CancellationToken::new(), Supervisor::default());
        let parts = (catalog.clone(), Arc::clone(&store), Arc::clone(&events));
        let readiness = Arc::new(Readiness::new(parts.0, parts.1, parts.2, supervisor.clone(), draining.clone()));
        let ground = Ground::new(&settings, catalog.clone(), Arc::clone(&store), Arc::clone(&readiness));
        let accounts = Arc::new(open_accounts(&settings, catalog.clone(), identity, Arc::clone(&album))?);
        let at_once = labeler::at_once(&settings);
        let manner = labeler::manner(&settings);
        let finisher = Arc::new(Finisher::with_manner(Arc::clone(&album), labeler, manner));
        Ok(Self {
            settings,
            catalog,
            album,
            accounts,
            finisher,
            events,
            store,
            ground,
            readiness,
            supervisor,
            pictures_from,
            at_once,
            draining,
        })
    }

    /// The album.
    pub fn album(&self) -> &Arc<Album> {
        &self.album
    }

    /// What is done about people.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// What finishes photos.
    pub fn finisher(&self) -> &Arc<Finisher> {
        &self.finisher
    }

    /// What compares catalog, store and queue.
    pub fn audit(&self) -> Audit {
        let parts = audit::Parts {
            catalog: self.catalog.clone(),
            store: Arc::clone(&self.store),
            events: Arc::clone(&self.events),
            album: Arc::clone(&self.album),
            accounts: Arc::clone(&self.accounts),
        };
        let rules = audit::Rules {
            knows_owners: matches!(self.settings.identity, settings::Identity::Local(_)),
            session: session_times(&self.settings).absolute,
            lease: Duration::from_secs(self.settings.worker.sweep_minutes * 60),
            queue_elsewhere: self.queue_is_elsewhere(),
            scratch: self.settings.data.clone(),
        };
        Audit::new(parts, rules, now)
    }

    /// Whether uploads are announced to a queue that the settings do not name.
    fn queue_is_elsewhere(&self) -> bool {
        matches!(&self.settings.events, settings::Events::Aws(aws) if aws.queue_url.is_none())
    }

    /// Whether this instance can do its work.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// What keeps the background tasks alive.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Cancelled when the server is about to stop: `/ping` then says so, everything else goes on.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// How many files an import should bring at once: enough that no thread that develops waits, and never more than may wait for one.
    pub fn imports_at_once(&self) -> usize {
        let upload = &self.settings.upload;
        (threads(upload.threads).get() * IMPORTS_PER_THREAD).min(upload.queue)
    }

    /// What the operator should know of a gallery that other machines reach and that has no account yet.
    pub async fn exposure(&self) -> anyhow::Result<Option<String>> {
        let address = self.settings.server.bind;
        let open = !address.is_loopback() && self.accounts.offers().is_some() && self.accounts.is_empty().await?;
        Ok(open.then(|| {
            format!(
                "there is no account yet and server.bind is {address}: whoever signs up first owns all photos that are here; make the first \
                 account now, on the page /signup or with `photo-gallery account add EMAIL`"
            )
        }))
    }

    /// Binds the configured address; the error names it and says what to do.
    pub fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
        let address = (settings.server.bind, settings.server.port);
        TcpListener::bind(address).with_context(|| {
            format!(
                "{}:{} cannot be listened on; set `server.port` to a free port or stop the program that holds it",
                address.0, address.1
            )
        })
    }

    /// The web server over these parts.
    pub fn server(&self, listener: TcpListener) -> anyhow::Result<Server> {
        self.server_with(listener, pages::routes)
    }

    /// The web server over these parts, with the pages that `routes` names.
    pub fn server_with(&self, listener: TcpListener, routes: server::Routes) -> anyhow::Result<Server> {
        let settings = &self.settings;
        let base_url =
            settings.server.base_url.as_deref().map(Url::parse).transpose().context("reading server.base_url")?;
        let proxies = settings.server.trusted_proxies.clone();
        let site = Site {
            album: Arc::clone(&self.album),
            accounts: Arc::clone(&self.accounts),
            cookies: Cookies { secure: base_url.as_ref().is_some_and(|base| base.scheme() == "https") },
            trusts: Box::new(move |address| proxies.iter().any(|network| network.contains(address))),
            readiness: Arc::clone(&self.readiness),
            draining: self.draining(),
            archives: Archives::default(),
            changes: Changes::on(tokio::runtime::Handle::current()),
            uploads: Bounds {
                max_bytes: settings.upload.max_bytes,
                max_request_bytes: settings.upload.max_request_bytes.max(settings.upload.max_bytes + FORM_BYTES),
                max_files: settings.upload.max_files,
                idle: Duration::from_secs(settings.server.body_idle_seconds),
                min_bytes_per_second: settings.server.body_min_bytes_per_second,
            },
        };
        let options = server::Options {
            workers: settings.server.workers,
            keep_alive: Duration::from_secs(settings.server.keep_alive_seconds),
            shutdown: Duration::from_secs(settings.server.shutdown_seconds),
            requests_at_once: settings.server.requests_at_once,
            connections: connections(),
            base_url,
            pictures_from: self.pictures_from.clone(),
            sign_in_at: self.sign_in_at(),
        };
        listener.set_nonblocking(true).context("preparing the socket")?;
        Server::new(listener, site, routes, &options).context("starting the web server")
    }

    /// The origin of the pages on which people sign in, when those are the provider's own.
    fn sign_in_at(&self) -> Option<String> {
        let settings::Identity::Cognito(pool) = &self.settings.identity else { return None };
        Some(Url::parse(pool.domain.as_deref()?).ok()?.origin().ascii_serialization())
    }

    /// The folder in which the gallery keeps what it keeps on this machine.
    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    /// Lets the mails that wait go out, and closes the catalog, so that its file is whole by itself.
    pub async fn close(&self) {
        self.accounts.finish().await;
        self.album.close().await;
    }

    /// What does the work behind messages.
    pub fn worker(&self) -> Worker {
        let sweep_every = Duration::from_secs(self.settings.worker.sweep_minutes * 60);
        Worker::new(
            Arc::clone(&self.finisher),
            Arc::clone(&self.events),
            worker::Bounds { at_once: self.at_once, sweep_every },
        )
    }

    /// How uploads tell workers.
    pub fn events(&self) -> &Arc<dyn Events> {
        &self.events
    }

    /// The bucket of originals, when they are in one.
    pub fn bucket(&self) -> Option<&str> {
        events::bucket(&self.settings)
    }

    /// Finishes photos, and sweeps up after people, from when the database is there until `stop`.
    pub async fn work(&self, stop: CancellationToken) {
        if !self.can_begin(&stop).await {
            return;
        }
        let finishing = self.supervisor.keep(readiness::WORKER, &stop, || self.worker().run(stop.clone()));
        tokio::join!(finishing, self.sweep_up(&stop));
    }

    /// Sweeps up after people, and tells other workers again of photos that were left behind, from when the database is there until `stop`.
    pub async fn tend(&self, stop: CancellationToken) {
        if !self.can_begin(&stop).await {
            return;
        }
        let reminding = async {
            if self.events.is_shared() && self.events.announces() {
                self.supervisor.keep(worker::REMINDER, &stop, || self.worker().remind(stop.clone())).await;
            }
        };
        tokio::join!(reminding, self.sweep_up(&stop));
    }

    async fn sweep_up(&self, stop: &CancellationToken) {
        self.supervisor.keep(readiness::SWEEP, stop, || self.accounts.tend(stop.clone())).await;
    }

    /// Waits for the database; `false` when `stop` comes first.
    async fn can_begin(&self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = stop.cancelled() => false,
            () = self.readiness.opened() => true,
        }
    }
}

/// How many connections browsers may hold open: half of the files that this process may open, less those that it needs for itself. As many
/// files are asked for as the system grants.
fn connections() -> usize {
    const OWN: u64 = 96;
    const MOST: u64 = 50_000;
    let mut files = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: files.maximum, maximum: files.maximum };
    if setrlimit(Resource::Nofile, wanted).is_ok() {
        files = wanted;
    }
    let connections = (files.current.unwrap_or(u64::MAX).saturating_sub(OWN) / 2).clamp(16, MOST);
    usize::try_from(connections).unwrap_or(16)
}

/// The store, and the origin of its links when they lead away from the gallery.
async fn open_store(settings: &Settings) -> anyhow::Result<(Arc<dyn Store>, Option<String>)> {
    let s3 = match &settings.store {
        settings::Store::Disk => {
            let key = settings.secret()?.key("media links");
            let expiry = Duration::from_secs(settings.links.expiry_seconds);
            return Ok((Arc::new(Disk::open(settings.photo_folder(), pages::media::BASE, &key, expiry, now)?), None));
        }
        settings::Store::S3(s3) => s3,
    };
    let (store, origin) = open_bucket(settings, s3).await?;
    let Some(set) = &s3.cloudfront else { return Ok((Arc::new(store), Some(origin))) };
    let edge = edge(set)?;
    let origin = edge.origin().to_owned();
    Ok((Arc::new(store.behind(edge)), Some(origin)))
}

/// The bucket, and the origin of its own links: those that do not lead through a distribution.
async fn open_bucket(settings: &Settings, s3: &settings::S3) -> anyhow::Result<(S3, String)> {
    let expiry = Duration::from_secs(settings.links.expiry_seconds);
    let config = aws::config(&settings.aws, s3.region.as_deref(), s3.endpoint.as_deref()).await?;
    let provider = config.credentials_provider().context("there are no AWS credentials to reach the bucket with")?;
    let path_style = s3.path_style.unwrap_or(config.endpoint_url().is_some());
    let client = aws_sdk_s3::config::Builder::from(&config).force_path_style(path_style).build();
    #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
    let client = aws_sdk_s3::Client::from_conf(client);
    let origin = aws::origin(&client, &s3.bucket).await?;
    Ok((S3::new(client, provider, s3.bucket.clone(), s3.at_once, expiry, now), origin))
}

/// The distribution through which links lead.
fn edge(set: &settings::CloudFront) -> anyhow::Result<CloudFront> {
    let (Some(domain), Some(id), Some(key)) = (&set.domain, &set.key_pair_id, &set.private_key) else {
        bail!("the settings were not checked: CloudFront needs a domain, a key's id and a key")
    };
    CloudFront::new(domain, id.clone(), key).context("store.s3.cloudfront.private_key cannot be used")
}

async fn open_identity(settings: &Settings, catalog: &Catalog) -> anyhow::Result<Option<Arc<dyn Identity>>> {
    Ok(match &settings.identity {
        settings::Identity::None(_) => None,
        settings::Identity::Local(local) => local::open_local(settings, local, catalog).await?,
        settings::Identity::Cognito(pool) => {
            let cognito = Arc::new(open_cognito(settings, pool).await?);
            // A pool that is down stops nobody who is signed in, and so not the server.
            let checked = Arc::clone(&cognito);
            tokio::spawn(async move {
                for wrong in checked.check().await {
                    tracing::warn!("{wrong}");
                }
            });
            Some(cognito)
        }
    })
}

/// The pool, not asked anything yet.
async fn open_cognito(settings: &Settings, pool: &settings::Cognito) -> anyhow::Result<Cognito> {
    let region = pool.region.as_deref().or(pool.pool_id.split('_').next());
    let config = aws::config(&settings.aws, region, pool.endpoint.as_deref()).await?;
    let quick =
        aws_sdk_cognitoidentityprovider::config::Builder::from(&config).timeout_config(aws::quick(&settings.aws));
    #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
    let client = aws_sdk_cognitoidentityprovider::Client::from_conf(quick.build());
    let base_url = settings.server.base_url.clone();
    let pages = pool.domain.clone().map(|domain| {
        let base_url = base_url.context("the settings were not checked: the pool's pages need `server.base_url`")?;
        anyhow::Ok(cognito::Pages { domain, base_url, scopes: pool.scopes.clone() })
    });
    let pool = cognito::Pool {
        id: pool.pool_id.clone(),
        endpoint: config.endpoint_url().map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
        app: cognito::AppClient { id: pool.client_id.clone(), secret: pool.client_secret.clone() },
        flow: match pool.flow {
            settings::Flow::UserPassword => cognito::Flow::Password,
            settings::Flow::UserSrp => cognito::Flow::Srp,
        },
        pages: pages.transpose()?,
    };
    Ok(Cognito::new(client, aws::connector(&settings.aws), pool, now))
}

fn session_times(settings: &Settings) -> Times {
    const DAY: u64 = 24 * 60 * 60;
    let session = &settings.session;
    Times {
        idle: Duration::from_secs(session.idle_days * DAY),
        absolute: Duration::from_secs(session.absolute_days * DAY),
        renew: Duration::from_secs(session.renew_minutes * 60),
    }
}

fn open_accounts(
    settings: &Settings,
    catalog: Catalog,
    identity: Option<Arc<dyn Identity>>,
    album: Arc<Album>,
) -> anyhow::Result<Accounts> {
    let times = session_times(settings);
    let secret = settings.secret()?;
    let keys = Keys {
        seal: secret.key("sealed cookies and grants"),
        form: secret.key("form tokens"),
        names: secret.key("names and addresses"),
    };
    Ok(Accounts::new(catalog, identity, album, times, keys, now))
}
