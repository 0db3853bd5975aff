//! The one place where variants are chosen: settings become parts.

use std::{net::TcpListener, num::NonZeroUsize, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    accounts::{Accounts, Keys, Times},
    album::{Album, Finisher, Intake},
    catalog::{Catalog, Connection, PoolSize, SchemaState, Tls},
    darkroom::Darkroom,
    events::{Events, in_process::InProcess},
    identity::{
        Identity,
        cognito::{self, Cognito},
    },
    imaging,
    labeler::{
        Labeler,
        builtin::{Builtin, fusion::Thresholds},
        rekognition::Rekognition,
    },
    pages::{self, Cookies, Site, account::data::Archives, upload::Bounds},
    photo::{MediaType, ObjectPath, PhotoId},
    server::{self, Server},
    settings::{self, Settings},
    store::{Disk, Disposition, S3, Store},
    worker,
};

pub use local::open_local_accounts;

mod aws;
mod local;

/// How many uploads may wait for the worker in memory; the sweep finds the others.
const EVENTS_WAITING: usize = 1024;
/// What a form of one file has beside the file, in bytes, at most.
const FORM_BYTES: u64 = 64 << 10;
/// Photos that are labelled at once when the labeler is a service outside.
const OUTSIDE_AT_ONCE: usize = 4;
/// Files that an import brings at once for each thread that develops.
const IMPORTS_PER_THREAD: usize = 2;

/// All parts, chosen and put together.
pub struct App {
    settings: Settings,
    album: Arc<Album>,
    accounts: Arc<Accounts>,
    finisher: Arc<Finisher>,
    events: Arc<dyn Events>,
    store: Arc<dyn Store>,
    at_once: usize,
    draining: CancellationToken,
}

/// The one clock.
#[expect(clippy::disallowed_methods, reason = "the one place where the clock is read for the album")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Photos that the builtin labeler looks at at once: half of the cores are left to those who wait for an answer, and each look
/// takes some 80 MB of memory.
fn labelled_at_once() -> usize {
    cores().div_ceil(2)
}

/// `configured`, or the number of cores for 0.
fn threads(configured: usize) -> NonZeroUsize {
    NonZeroUsize::new(configured).unwrap_or(NonZeroUsize::new(cores()).unwrap_or(NonZeroUsize::MIN))
}

impl App {
    /// Chooses and opens the parts. A part that cannot work is an error that says what to do; the store and the catalog must answer.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let data = &settings.data;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(|| {
            format!(
                "the folder {} for the gallery's data cannot be made; set `data` to a folder that can be written",
                data.display()
            )
        })?;
        let intake = Intake::open(&data.join("incoming"), settings.upload.max_bytes)?;
        let catalog = open_catalog(&settings).await?;
        let store = open_store(&settings).await?;
        store.check().await.with_context(|| match settings.store {
            settings::Store::Disk => "photos cannot be kept below `data`",
            settings::Store::S3(_) => "photos cannot be kept in the bucket; check `store.s3.*` and `aws.*`",
        })?;
        let labeler = open_labeler(&settings).await?;
        let limits = imaging::Limits {
            max_pixels: settings.upload.max_pixels,
            max_side: settings.upload.max_side,
            ..imaging::Limits::default()
        };
        let darkroom = Darkroom::new(threads(settings.upload.threads), settings.upload.queue, limits)
            .context("starting the darkroom's threads")?;
        let events: Arc<dyn Events> = Arc::new(InProcess::new(EVENTS_WAITING));
        let identity = open_identity(&settings, &catalog).await?;
        let album =
            Arc::new(Album::new(catalog.clone(), Arc::clone(&store), Arc::clone(&events), darkroom, intake, now));
        let accounts = Arc::new(open_accounts(&settings, catalog, identity, Arc::clone(&album))?);
        let at_once = match settings.labeler {
            settings::Labeler::Rekognition(_) => OUTSIDE_AT_ONCE,
            settings::Labeler::Builtin(_) | settings::Labeler::None => labelled_at_once(),
        };
        let finisher = Arc::new(Finisher::new(Arc::clone(&album), labeler));
        Ok(Self { settings, album, accounts, finisher, events, store, at_once, draining: CancellationToken::new() })
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
    pub async fn server(&self, listener: TcpListener) -> anyhow::Result<Server> {
        let settings = &self.settings;
        let base_url =
            settings.server.base_url.as_deref().map(Url::parse).transpose().context("reading server.base_url")?;
        let proxies = settings.server.trusted_proxies.clone();
        let site = Site {
            album: Arc::clone(&self.album),
            accounts: Arc::clone(&self.accounts),
            cookies: Cookies { secure: base_url.as_ref().is_some_and(|base| base.scheme() == "https") },
            trusts: Box::new(move |address| proxies.iter().any(|network| network.contains(address))),
            draining: self.draining(),
            archives: Archives::default(),
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
            shutdown: Duration::from_secs(30),
            base_url,
            pictures_from: self.pictures_from().await?,
            sign_in_at: self.sign_in_at(),
        };
        listener.set_nonblocking(true).context("preparing the socket")?;
        Server::new(listener, site, &options).context("starting the web server")
    }

    /// The origin of signed links, when they lead away from the gallery.
    async fn pictures_from(&self) -> anyhow::Result<Option<String>> {
        let anything = ObjectPath::original(PhotoId::new(now()), MediaType::Jpeg);
        let link = self.store.link(&anything, MediaType::Jpeg, &Disposition::Inline).await?;
        Ok(Url::parse(&link).ok().map(|url| url.origin().ascii_serialization()))
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

    /// Finishes photos, and sweeps up after people, until `stop`.
    pub async fn work(&self, stop: CancellationToken) {
        let finishing = worker::run(Arc::clone(&self.finisher), Arc::clone(&self.events), self.at_once, stop.clone());
        tokio::join!(finishing, self.accounts.tend(stop));
    }
}

/// How to reach the catalog with the settings' own account.
pub fn connection(settings: &Settings) -> Connection {
    match &settings.catalog {
        settings::Catalog::Sqlite => Connection::Sqlite { path: settings.catalog_file() },
        settings::Catalog::MySql(mysql) => Connection::MySql {
            host: mysql.host.clone(),
            port: mysql.port,
            user: mysql.user.clone(),
            password: mysql.password.clone().unwrap_or_default(),
            database: mysql.database.clone(),
            tls: match mysql.tls {
                settings::Tls::Disabled => Tls::Disabled,
                settings::Tls::Preferred => Tls::Preferred,
                settings::Tls::Required => Tls::Required,
                settings::Tls::VerifyCa => Tls::VerifyCa,
                settings::Tls::VerifyIdentity => Tls::VerifyIdentity,
            },
            ssl_ca: mysql.ssl_ca.clone(),
        },
    }
}

/// The catalog at the schema that this program knows: SQLite is brought to it here, MySQL must have been by `migrate`.
async fn open_catalog(settings: &Settings) -> anyhow::Result<Catalog> {
    let size = match &settings.catalog {
        settings::Catalog::Sqlite => PoolSize::default(),
        settings::Catalog::MySql(mysql) => PoolSize(mysql.connections),
    };
    let catalog = Catalog::open(&connection(settings), size)?;
    if matches!(settings.catalog, settings::Catalog::Sqlite) {
        catalog.migrate().await.context(
            "the catalog below `data` cannot be used; set `data` to another folder or put its backup in place",
        )?;
        return Ok(catalog);
    }
    match catalog.schema_state().await.context(
        "the database cannot be used; check `catalog.mysql.host`, `.port`, `.user`, `.password` and `.database`",
    )? {
        SchemaState::Current => Ok(catalog),
        SchemaState::Empty => bail!(
            "the database has no tables of the gallery yet; run `photo-gallery migrate` once, with the master account"
        ),
        SchemaState::Older(steps) => {
            bail!(
                "the database's tables are of an older version ({steps} steps behind); run `photo-gallery migrate`, with the master account"
            )
        }
        SchemaState::Newer(steps) => {
            bail!(
                "the database's tables are of a newer version ({steps} steps ahead of this program); start that version or a newer one"
            )
        }
    }
}

async fn open_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    let expiry = Duration::from_secs(settings.links.expiry_seconds);
    let s3 = match &settings.store {
        settings::Store::Disk => {
            let key = settings.secret()?.key("media links");
            return Ok(Arc::new(Disk::open(settings.photo_folder(), pages::media::BASE, &key, expiry, now)?));
        }
        settings::Store::S3(s3) => s3,
    };
    let config = aws::config(&settings.aws, s3.region.as_deref(), s3.endpoint.as_deref()).await?;
    let provider = config.credentials_provider().context("there are no AWS credentials to reach the bucket with")?;
    let path_style = s3.path_style.unwrap_or(config.endpoint_url().is_some());
    let client = aws_sdk_s3::config::Builder::from(&config).force_path_style(path_style).build();
    #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
    let client = aws_sdk_s3::Client::from_conf(client);
    Ok(Arc::new(S3::new(client, provider, s3.bucket.clone(), expiry, now)))
}

async fn open_labeler(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Labeler>>> {
    Ok(match &settings.labeler {
        settings::Labeler::None => None,
        settings::Labeler::Builtin(percent) => {
            let thresholds = Thresholds {
                class: percent.exact_percent,
                group: percent.general_percent,
                object: percent.object_percent,
                ..Thresholds::default()
            };
            let builtin = Builtin::new(thresholds, labelled_at_once());
            builtin.check()?;
            Some(Arc::new(builtin))
        }
        settings::Labeler::Rekognition(rekognition) => {
            let config =
                aws::config(&settings.aws, rekognition.region.as_deref(), rekognition.endpoint.as_deref()).await?;
            #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
            let client = aws_sdk_rekognition::Client::new(&config);
            Some(Arc::new(Rekognition::new(client, rekognition.max_labels, rekognition.min_confidence)))
        }
    })
}

async fn open_identity(settings: &Settings, catalog: &Catalog) -> anyhow::Result<Option<Arc<dyn Identity>>> {
    Ok(match &settings.identity {
        settings::Identity::None(_) => None,
        settings::Identity::Local(local) => local::open_local(settings, local, catalog).await?,
        settings::Identity::Cognito(cognito) => open_cognito(settings, cognito).await?,
    })
}

async fn open_cognito(settings: &Settings, pool: &settings::Cognito) -> anyhow::Result<Option<Arc<dyn Identity>>> {
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
    let cognito = Arc::new(Cognito::new(client, aws::connector(&settings.aws), pool, now));
    // A pool that is down stops nobody who is signed in, and so not the server.
    let checked = Arc::clone(&cognito);
    tokio::spawn(async move {
        for wrong in checked.check().await {
            tracing::warn!("{wrong}");
        }
    });
    Ok(Some(cognito))
}

fn open_accounts(
    settings: &Settings,
    catalog: Catalog,
    identity: Option<Arc<dyn Identity>>,
    album: Arc<Album>,
) -> anyhow::Result<Accounts> {
    const DAY: u64 = 24 * 60 * 60;
    let session = &settings.session;
    let times = Times {
        idle: Duration::from_secs(session.idle_days * DAY),
        absolute: Duration::from_secs(session.absolute_days * DAY),
        renew: Duration::from_secs(session.renew_minutes * 60),
    };
    let secret = settings.secret()?;
    let keys = Keys {
        seal: secret.key("sealed cookies and grants"),
        form: secret.key("form tokens"),
        names: secret.key("names and addresses"),
    };
    Ok(Accounts::new(catalog, identity, album, times, keys, now))
}

/// Brings a MySQL database to this version's tables with the account `admin`, and makes the settings' own account with its four grants.
pub async fn migrate(settings: &Settings, admin: &str, password: SecretString) -> anyhow::Result<()> {
    let settings::Catalog::MySql(own) = &settings.catalog else {
        open_catalog(settings).await?;
        return Ok(());
    };
    let Connection::MySql { host, port, database, tls, ssl_ca, .. } = connection(settings) else {
        bail!("a MySQL catalog has a MySQL connection")
    };
    let connection = Connection::MySql { host, port, user: admin.to_owned(), password, database, tls, ssl_ca };
    let catalog = Catalog::open(&connection, PoolSize::default())?;
    catalog.migrate().await?;
    while catalog.adopt(now(), 500).await? > 0 {}
    match &own.password {
        Some(password) if own.user != admin => catalog.grant_web_user(&own.user, password).await,
        _ => Ok(()),
    }
}
