//! Everything that can be configured: defaults, file, environment, checks. The sole reader of the environment.
//!
//! A value is what the strongest of these says: the program's default, the settings file, a variable under the course's name, a
//! `GALLERY__SECTION__KEY` variable. Naming any setting of a back end chooses that back end over what weaker places chose.

use std::{
    ffi::OsString,
    net::IpAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;

use kind::Kind;
use section::{Presence, Setting, section};

pub use force::Loaded;
pub use listing::{Row, markdown, table};
pub use network::Network;
pub use origin::Origin;
pub use secret::Secret;

mod conflict;
mod course;
mod force;
mod kind;
mod layer;
mod listing;
mod network;
mod origin;
mod secret;
mod section;

/// The settings file that is read when the command line names none, and it is there.
pub const FILE: &str = "photo-gallery.toml";

/// The variables that Lambda sets, and that its runtime cannot do without.
const LAMBDA: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// The variable in which Lambda says what a function's setting `Handler` is.
const HANDLER: &str = "_HANDLER";

/// What a Lambda function of ours does: its setting `Handler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Finishes photos: `work`, and every name but the others here.
    Work,
    /// Brings the database to this version's tables: `migrate`.
    Migrate,
}

impl Handler {
    fn of(environment: &[(OsString, OsString)]) -> Self {
        let migrates = environment.iter().any(|(name, value)| name == HANDLER && value == "migrate");
        if migrates { Self::Migrate } else { Self::Work }
    }
}

/// What Lambda started this process for; `None` where something else did.
#[expect(clippy::disallowed_methods, reason = "the environment is read in this file")]
pub fn handler() -> Option<Handler> {
    let environment: Vec<_> = std::env::vars_os().collect();
    let set = |variable: &&str| environment.iter().any(|(name, _)| name == variable);
    LAMBDA.iter().all(set).then(|| Handler::of(&environment))
}

/// Whether the operator wants no colours on the terminal (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "the environment is read in this file")]
pub fn without_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The exit code of a program whose settings are refused: `EX_CONFIG` of sysexits.
pub const EXIT_CODE: u8 = 78;

static STORE: Setting = Setting {
    name: "store",
    kind: Kind::Word(&["disk", "s3"]),
    about: "Where photo bytes live: `disk` (the folder `<data>/photos`) or `s3`.",
    presence: Presence::Or(|| "disk".into()),
};

static CATALOG: Setting = Setting {
    name: "catalog",
    kind: Kind::Word(&["sqlite", "mysql"]),
    about: "Where rows live: `sqlite` (the file `<data>/catalog.db`) or `mysql`.",
    presence: Presence::Or(|| "sqlite".into()),
};

static LABELER: Setting = Setting {
    name: "labeler",
    kind: Kind::Word(&["builtin", "rekognition", "none"]),
    about: "What names pictures: `builtin` (a model inside the program), `rekognition` (Amazon's; the default where \
            `PHOTOS_BUCKET` is in force) or `none`.",
    presence: Presence::Or(|| "builtin".into()),
};

static IDENTITY: Setting = Setting {
    name: "identity",
    kind: Kind::Word(&["local", "cognito", "none"]),
    about: "Who may sign in: `local` (accounts of the gallery's own, in the catalog), `cognito` (an Amazon Cognito user pool) or `none` \
            (nobody: every visitor is the one owner of all photos).",
    presence: Presence::Or(|| "local".into()),
};

static EVENTS: Setting = Setting {
    name: "events",
    kind: Kind::Word(&["in_process", "aws"]),
    about: "How uploads tell workers: `in_process` (the worker beside the server) or `aws` (out through an SNS topic, in through an \
            SQS queue).",
    presence: Presence::Or(|| "in_process".into()),
};

/// The back ends, each chosen by its word or by naming one of its settings.
static CHOICES: [&Setting; 5] = [&STORE, &CATALOG, &LABELER, &EVENTS, &IDENTITY];

/// Why the settings are refused: one line that names the setting, where it came from and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    fn new(sentence: &str) -> Self {
        Self(crate::photo::plain_line(sentence))
    }
}

/// The places that settings are read from, as values, so that tests need no process of their own. No `Debug`: environments hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file that `--config` names; it must be there.
    pub config: Option<PathBuf>,
    /// The folder in which [`FILE`] is looked for when `config` is `None`; empty: the working directory.
    pub folder: PathBuf,
    /// The environment. Variables that mean nothing here are passed over.
    pub environment: Vec<(OsString, OsString)>,
}

impl Sources {
    /// What the running process was given: its working directory and its environment.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn of_this_process(config: Option<&Path>) -> Self {
        Self { config: config.map(Path::to_owned), folder: PathBuf::new(), environment: std::env::vars_os().collect() }
    }
}

impl Settings {
    /// The settings in force, and where each came from. Reads files, and nothing else outside `sources`.
    pub fn load(sources: &Sources) -> Result<Loaded, Refusal> {
        let mut layers = vec![layer::lambda(&sources.environment)];
        let default = sources.folder.join(FILE);
        match &sources.config {
            Some(path) => layers.push(layer::file(path, "named by --config on the command line")?),
            None if !matches!(default.try_exists(), Ok(false)) => {
                layers.push(layer::file(&default, "found in the working directory")?);
            }
            None => {}
        }
        let environment = layer::Environment::new(&sources.environment)?;
        layers.push(environment.course);
        layers.push(environment.gallery);
        let loaded = force::settle(layers, environment.notices)?;
        if let Some(Origin::Implied(course::LAMBDA)) = loaded.origin("data") {
            conflict::refuse_what_is_lost(&loaded.settings, Handler::of(&sources.environment))?;
        }
        Ok(loaded)
    }

    /// The folder of [`Store::Disk`].
    pub fn photo_folder(&self) -> PathBuf {
        self.data.join("photos")
    }

    /// The file of [`Catalog::Sqlite`].
    pub fn catalog_file(&self) -> PathBuf {
        self.data.join("catalog.db")
    }

    /// All settings, in the order in which they are listed.
    fn all() -> impl Iterator<Item = &'static Setting> {
        use std::slice::from_ref;
        [
            Self::ROWS,
            Server::ROWS,
            Upload::ROWS,
            from_ref(&STORE),
            S3::ROWS,
            CloudFront::ROWS,
            from_ref(&CATALOG),
            MySql::ROWS,
            from_ref(&LABELER),
            Builtin::ROWS,
            Rekognition::ROWS,
            from_ref(&EVENTS),
            Topic::ROWS,
            Worker::ROWS,
            from_ref(&IDENTITY),
            Local::ROWS,
            Cognito::ROWS,
            WithoutAccounts::ROWS,
            Session::ROWS,
            Links::ROWS,
            Aws::ROWS,
            Log::ROWS,
        ]
        .into_iter()
        .flatten()
    }
}

impl Default for Settings {
    /// What holds when nothing is set.
    fn default() -> Self {
        force::settle(Vec::new(), Vec::new()).expect("the defaults are whole: a test reads each of them").settings
    }
}

section! {
    /// Everything that can be configured.
    Settings in "" {
        /// The folder for all that the gallery keeps on this machine, made when it is not there; relative to the working directory.
        /// `/tmp/photo-gallery`, all that can be written there, is the default under Lambda.
        data: PathBuf, Kind::Path, or("./data");
    }
    holding {
        /// The web server.
        server: Server;
        /// What may be uploaded.
        upload: Upload;
        /// Where photo bytes live.
        store: Store;
        /// Where rows live.
        catalog: Catalog;
        /// What names pictures.
        labeler: Labeler;
        /// How uploads tell workers.
        events: Events;
        /// What finishes photos.
        worker: Worker;
        /// Who may sign in.
        identity: Identity;
        /// How long people stay signed in.
        session: Session;
        /// Links to photos.
        links: Links;
        /// How AWS is reached.
        aws: Aws;
        /// What the program tells its operator.
        log: Log;
    }
}

section! {
    /// The web server.
    Server in "server." {
        /// The IP address to listen on; `127.0.0.1` lets only this machine in. `0.0.0.0` (everybody who can reach it) is the default where
        /// `PHOTOS_BUCKET`, `DATABASE_HOST` or `COGNITO_POOL_ID` of the course is in force, so that a load balancer can.
        bind: IpAddr, Kind::Address, or("127.0.0.1");
        /// The port to listen on; 0 takes any free one.
        port: u16, Kind::Whole(0, 65_535), or(5000);
        /// The address under which browsers reach the gallery, like `https://photos.example.org`, when it is not the one they ask for.
        /// The gallery then answers to this name and to this machine's own; with `https` browsers are told to come over TLS only.
        base_url: Option<String>, Kind::Origin, optional;
        /// Threads that answer requests; 0 takes one for each core.
        workers: usize, Kind::Whole(0, 256), or(0);
        /// Seconds for which a server told to stop goes on answering while `/ping` says 503, so that a load balancer looks away first.
        /// Behind one: its check interval times its threshold, and one more.
        drain_seconds: u64, Kind::Whole(0, 3600), or(0);
        /// Seconds that requests and photos in hand have to be finished once the server stops; what takes longer is broken off, and whole
        /// all the same. What supervises the program must wait for longer than this and `server.drain_seconds` together.
        shutdown_seconds: u64, Kind::Whole(1, 3600), or(30);
        /// The most requests in hand at once; more are answered 503 with `Retry-After`.
        requests_at_once: usize, Kind::Whole(1, 100_000), or(1000);
        /// Seconds for which an idle connection is kept: more than a load balancer in front keeps it (60 at AWS).
        keep_alive_seconds: u64, Kind::Whole(1, 3600), or(75);
        /// Seconds after which an upload that sends nothing is ended.
        body_idle_seconds: u64, Kind::Whole(1, 3600), or(30);
        /// Bytes a second that an upload must send on average; 0 sets no limit.
        body_min_bytes_per_second: u64, Kind::Whole(0, 1_000_000_000), or(1024);
        /// Proxies and load balancers whose `X-Forwarded-For` is to be believed, as IP addresses or networks: `["10.1.0.0/16"]`.
        /// Tries to sign in are counted by the visitor's address: behind a load balancer that is not listed all visitors share one.
        trusted_proxies: Vec<Network>, Kind::Networks, or(Vec::<String>::new());
    }
}

section! {
    /// What may be uploaded.
    Upload in "upload." {
        /// The largest file, in bytes: 50 MB.
        max_bytes: u64, Kind::Whole(1, 5_000_000_000), or(50_000_000);
        /// The largest picture, in pixels, width times height: 100 megapixels.
        max_pixels: u64, Kind::Whole(1, 1_000_000_000), or(100_000_000);
        /// The longest side of a picture, in pixels.
        max_side: u32, Kind::Whole(1, 65_535), or(32_768);
        /// The largest request, in bytes: 500 MB. Browsers with scripts send each file by itself; this bounds a form of many.
        max_request_bytes: u64, Kind::Whole(1, 50_000_000_000), or(500_000_000);
        /// The most files in one request.
        max_files: usize, Kind::Whole(1, 1000), or(100);
        /// The most pictures that wait to be developed; more are answered 503 with `Retry-After`.
        queue: usize, Kind::Whole(1, 10_000), or(64);
        /// Threads that develop pictures; 0 takes one for each core.
        threads: usize, Kind::Whole(0, 256), or(0);
    }
}

/// Where photo bytes live.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The folder `photos` in [`Settings::data`].
    Disk,
    /// An S3 bucket.
    S3(S3),
}

section! {
    /// An S3 bucket, or one of a server that speaks its protocol.
    S3 in "store.s3." {
        /// The bucket's name.
        bucket: String, Kind::Bucket, required;
        /// The bucket's region, when it is not `aws.region`.
        region: Option<String>, Kind::Region, optional;
        /// The URL of the server that speaks S3, when it is not `aws.endpoint`.
        endpoint: Option<String>, Kind::Endpoint, optional;
        /// Whether the bucket stands in the path of URLs and not in their host name, as most servers other than Amazon's want it;
        /// unset: exactly when an endpoint is set.
        path_style: Option<bool>, Kind::Flag, optional;
        /// The most requests to the bucket at once; others wait.
        at_once: usize, Kind::Whole(1, 10_000), or(64);
    }
    holding {
        /// Where browsers get photos from, when not from the bucket itself.
        cloudfront: Option<CloudFront>;
    }
}

section! {
    /// A CloudFront distribution in front of the bucket, from which browsers get photos.
    CloudFront in "store.s3.cloudfront." {
        /// The domain of the CloudFront distribution that browsers get photos from, like `d111111abcdef8.cloudfront.net`; unset: from the
        /// bucket itself. The gallery itself goes on reading and writing the bucket.
        domain: Option<String>, Kind::Domain, optional;
        /// The id of the public key in the distribution's key group, like `K2JCJMDEHXQW5F`.
        key_pair_id: Option<String>, Kind::Name, optional;
        /// The private key that belongs to it: RSA of 2,048 bits or more, as PKCS #8 in PEM, or the Base64 between its marks on one line.
        private_key: Option<SecretString>, Kind::Key, optional;
    }
}

/// Where rows live.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Catalog {
    /// The file `catalog.db` in [`Settings::data`].
    Sqlite,
    /// A MySQL or MariaDB server.
    MySql(MySql),
}

section! {
    /// A MySQL or MariaDB server.
    MySql in "catalog.mysql." {
        /// The server's host name or IP address.
        host: String, Kind::Host, required;
        /// The server's port.
        port: u16, Kind::Whole(1, 65_535), or(3306);
        /// The account of the web server, which needs SELECT, INSERT, UPDATE and DELETE.
        user: String, Kind::Name, or("web_user");
        /// The account's password.
        password: Option<SecretString>, Kind::Secret, optional;
        /// The database's name.
        database: String, Kind::Name, or("Photos");
        /// Whether the connection is encrypted: `disabled`, `preferred`, `required`, `verify_ca` (the server's certificate is checked) or
        /// `verify_identity` (and its host name).
        tls: Tls, Kind::Word(&["disabled", "preferred", "required", "verify_ca", "verify_identity"]), or("preferred");
        /// A PEM file with the authorities that may have signed the server's certificate.
        ssl_ca: Option<PathBuf>, Kind::Path, optional;
        /// The most connections that this process opens.
        connections: u32, Kind::Whole(1, 1000), or(10);
        /// Seconds for which a request waits for a connection; then it is answered 503 with `Retry-After`.
        acquire_timeout_seconds: u64, Kind::Whole(1, 4), or(3);
    }
}

/// Whether the connection to MySQL is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Never.
    Disabled,
    /// When the server can.
    Preferred,
    /// Always; the certificate is not checked.
    Required,
    /// Always; the certificate's signature is checked.
    VerifyCa,
    /// Always; the certificate's signature and host name are checked.
    VerifyIdentity,
}

/// What names pictures.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labeler {
    /// The model inside the program.
    Builtin(Builtin),
    /// Amazon Rekognition.
    Rekognition(Rekognition),
    /// Nothing: photos stay without labels.
    None,
}

section! {
    /// The model inside the program.
    Builtin in "labeler.builtin." {
        /// The least confidence of the name of a whole picture (`golden retriever`), in percent.
        exact_percent: f64, Kind::Percent, or(50.0);
        /// The least confidence of a more general name (`dog`), in percent.
        general_percent: f64, Kind::Percent, or(45.0);
        /// The least confidence of a thing found somewhere in the picture, in percent.
        object_percent: f64, Kind::Percent, or(50.0);
    }
}

section! {
    /// Amazon Rekognition.
    Rekognition in "labeler.rekognition." {
        /// The region to ask, when it is not `aws.region`.
        region: Option<String>, Kind::Region, optional;
        /// The URL of the server that speaks Rekognition's protocol, when it is not `aws.endpoint`.
        endpoint: Option<String>, Kind::Endpoint, optional;
        /// The most labels of one photo.
        max_labels: u16, Kind::Whole(1, 100), or(10);
        /// The least confidence, in percent.
        min_confidence: f32, Kind::Percent, or(70.0);
        /// Whether the labels of a picture are kept by its content, so that the same bytes are paid for once, whoever uploads them.
        reuse: bool, Kind::Flag, or(true);
        /// Whether Rekognition reads pictures from the bucket by itself, instead of being sent them: needs `store.s3` in the same region.
        from_bucket: bool, Kind::Flag, or(false);
    }
}

/// How uploads tell workers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Events {
    /// A channel within this process.
    InProcess,
    /// Out through SNS, in through SQS.
    Aws(Topic),
}

section! {
    /// An SNS topic that uploads are announced to, and an SQS queue that workers listen at.
    Topic in "events.aws." {
        /// The ARN of the SNS topic that uploads are announced to; unset: this process announces nothing, as where the bucket does.
        topic_arn: Option<String>, Kind::Topic, optional;
        /// The URL of the SQS queue that this process's worker listens at; unset: its worker only sweeps up what was left behind.
        queue_url: Option<String>, Kind::Endpoint, optional;
        /// The region of both, when it is not `aws.region`.
        region: Option<String>, Kind::Region, optional;
        /// The URL of the server that speaks the protocols of SNS and SQS, when it is not `aws.endpoint`.
        endpoint: Option<String>, Kind::Endpoint, optional;
        /// Seconds for which the queue is asked to wait for a message (long polling).
        wait_seconds: u64, Kind::Whole(0, 20), or(20);
        /// Seconds after which a message is given out again when its worker says nothing more; a living worker speaks up in time.
        visibility_seconds: u64, Kind::Whole(3, 43_200), or(60);
    }
}

section! {
    /// What finishes photos.
    Worker in "worker." {
        /// Whether `serve` finishes photos too; where `false`, `photo-gallery work` or Lambda must.
        beside_server: bool, Kind::Flag, or(true);
        /// Photos that are finished at once; 0 takes one for two cores with the builtin labeler, and 4 with a service outside.
        at_once: usize, Kind::Whole(0, 256), or(0);
        /// Minutes after which a photo that no message told of is announced again, and between two such sweeps.
        sweep_minutes: u64, Kind::Whole(1, 1440), or(5);
    }
}

/// Who may sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// People with accounts in the catalog.
    Local(Local),
    /// People of an Amazon Cognito user pool.
    Cognito(Cognito),
    /// Nobody: every visitor is the one owner of all photos.
    None(WithoutAccounts),
}

section! {
    /// Accounts of the gallery's own.
    Local in "identity.local." {
        /// Whether people make accounts themselves: `open`, or `closed`, when only the operator does (`photo-gallery account add`). The
        /// very first account can always be made.
        sign_up: SignUp, Kind::Word(&["open", "closed"]), or("open");
        /// The mail server that sends codes, to confirm new accounts and to set forgotten passwords anew. Without one new accounts can be used
        /// at once, and the operator sets forgotten passwords anew (`photo-gallery account reset`).
        smtp_host: Option<String>, Kind::Host, optional;
        /// The mail server's port; unset: 465, 587 or 25, as `smtp_tls` has it.
        smtp_port: Option<u16>, Kind::Whole(1, 65_535), optional;
        /// Whether the connection to the mail server is encrypted: `required` (from its beginning), `starttls` (from that command on) or `none`
        /// (only to a server without password, or on this machine).
        smtp_tls: SmtpTls, Kind::Word(&["required", "starttls", "none"]), or("starttls");
        /// The name to sign in to the mail server with, when it wants one.
        smtp_user: Option<String>, Kind::Name, optional;
        /// The password to sign in to the mail server with.
        smtp_password: Option<SecretString>, Kind::Secret, optional;
        /// Who mails come from, like `Photos <photos@example.org>`; needed with `smtp_host`.
        mail_from: Option<String>, Kind::Name, optional;
    }
}

/// Whether the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From its beginning.
    Required,
    /// From the command STARTTLS on.
    StartTls,
    /// Never.
    None,
}

/// Whether people make accounts themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Yes.
    Open,
    /// Only the operator does.
    Closed,
}

section! {
    /// An Amazon Cognito user pool.
    Cognito in "identity.cognito." {
        /// The user pool's id, like `us-west-2_AbCdEfGhI`.
        pool_id: String, Kind::Pool, required;
        /// The id of the pool's app client.
        client_id: String, Kind::Name, required;
        /// The app client's secret, when it has one.
        client_secret: Option<SecretString>, Kind::Secret, optional;
        /// The domain of the pool's own pages, like `photos.auth.us-west-2.amazoncognito.com`: sign-in then happens there. Its app client
        /// must list `<base_url>/callback` and, for signing out, `<base_url>/`.
        domain: Option<String>, Kind::Domain, optional;
        /// The scopes to ask for on the pool's own pages, with blanks between; unset: all that the app client may have. `openid` must be
        /// among them, and `aws.cognito.signin.user.admin` for people to rename and delete their accounts.
        scopes: Option<String>, Kind::Name, optional;
        /// How passwords reach the pool from our own pages: `user_password` (over TLS) or `user_srp` (Secure Remote Password, for clients
        /// that allow only that).
        flow: Flow, Kind::Word(&["user_password", "user_srp"]), or("user_password");
        /// The region to ask, when it is not the one in the pool's id.
        region: Option<String>, Kind::Region, optional;
        /// The URL of the server that speaks Cognito's protocol, when it is not `aws.endpoint`.
        endpoint: Option<String>, Kind::Endpoint, optional;
    }
}

/// How passwords reach a Cognito pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// As they are, over TLS.
    UserPassword,
    /// By the Secure Remote Password protocol.
    UserSrp,
}

section! {
    /// A gallery without accounts.
    WithoutAccounts in "identity.none." {
        /// Whether a gallery without accounts may listen on an address that other machines reach: everybody who does can see, add
        /// and delete photos.
        public: bool, Kind::Flag, or(false);
    }
}

section! {
    /// How long people stay signed in.
    Session in "session." {
        /// The secret from which signing and sealing keys are derived, the same for all instances; without it one is made and kept in
        /// `<data>/secret`.
        secret: Option<SecretString>, Kind::Secret, optional;
        /// Days without a request after which somebody is signed out.
        idle_days: u64, Kind::Whole(1, 400), or(14);
        /// Days after which somebody is signed out in any case.
        absolute_days: u64, Kind::Whole(1, 400), or(90);
        /// Minutes between two questions to Cognito about somebody signed in: so long a disabled user stays in, and longer while Cognito cannot be asked.
        renew_minutes: u64, Kind::Whole(1, 1440), or(15);
    }
}

section! {
    /// Links to photos.
    Links in "links." {
        /// Seconds after which a signed link to a photo is dead, at most; at AWS no longer than the role's session.
        expiry_seconds: u64, Kind::Whole(60, 604_800), or(3600);
    }
}

section! {
    /// How AWS is reached.
    Aws in "aws." {
        /// The region; unset: what the AWS profile or the instance says; `us-west-2` where `PHOTOS_BUCKET`, `DATABASE_HOST` or
        /// `COGNITO_POOL_ID` of the course is in force.
        region: Option<String>, Kind::Region, optional;
        /// The URL of a server that stands in for AWS.
        endpoint: Option<String>, Kind::Endpoint, optional;
        /// Seconds after which connecting is given up.
        connect_timeout_seconds: u64, Kind::Whole(1, 300), or(3);
        /// Seconds after which one try of a call is given up.
        attempt_timeout_seconds: u64, Kind::Whole(1, 3600), or(30);
        /// Seconds after which a call is given up with all its tries.
        operation_timeout_seconds: u64, Kind::Whole(1, 3600), or(90);
    }
}

section! {
    /// What the program tells its operator.
    Log in "log." {
        /// How log lines look: `text` for people or `json` for machines, the default under Lambda.
        format: LogFormat, Kind::Word(&["text", "json"]), or("text");
        /// Which events are logged: a level, or levels by module: `info,photo_gallery=debug`.
        filter: String, Kind::Filter, or("info,actix_server=warn");
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}
