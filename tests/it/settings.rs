//! Settings: defaults, layers, the course's names, refusals, and what is printed.

use std::{
    ffi::OsString,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use photo_gallery::settings::{
    self, Catalog, EXIT_CODE, Events, FILE, Flow, Identity, Labeler, Loaded, Local, LogFormat, MySql, Network, Origin,
    S3, Settings, SignUp, Sources, Store, Tls,
};
use secrecy::ExposeSecret;
use tempfile::TempDir;

mod course;
mod listing;
mod program;
mod refusals;
mod secret;

/// A place to load settings from.
struct Place {
    folder: TempDir,
    sources: Sources,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let sources = Sources { folder: folder.path().to_owned(), ..Sources::default() };
        Self { folder, sources }
    }

    /// With the settings file in the working directory.
    fn file(self, toml: &str) -> Self {
        fs::write(self.path(), toml).expect("the temporary folder can be written");
        self
    }

    fn set(mut self, variable: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.sources.environment.push((variable.into(), value.into()));
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    #[track_caller]
    fn loaded(&self) -> Loaded {
        Settings::load(&self.sources).expect("the settings are right")
    }

    #[track_caller]
    fn settings(&self) -> Settings {
        self.loaded().settings
    }

    /// The refusal, with the file's path shortened to its name.
    #[track_caller]
    fn refusal(&self) -> String {
        let refusal = Settings::load(&self.sources).expect_err("the settings are wrong").to_string();
        assert!(!refusal.contains(char::is_control), "{refusal:?} is one line");
        refusal.replace(&self.path().display().to_string(), FILE)
    }
}

fn course() -> Place {
    Place::new()
        .set("PHOTOS_BUCKET", "my-photos")
        .set("FLASK_SECRET", "something11")
        .set("DATABASE_HOST", "edx-photos-db.example.us-west-2.rds.amazonaws.com")
        .set("DATABASE_USER", "web_user")
        .set("DATABASE_PASSWORD", "a%40b&c@d/e:f#g?h i\"j'k")
        .set("DATABASE_DB_NAME", "Photos")
        .set("AWS_DEFAULT_REGION", "us-east-1")
        .set("COGNITO_POOL_ID", "us-east-1_abc")
        .set("COGNITO_CLIENT_ID", "client")
        .set("COGNITO_CLIENT_SECRET", "hush-hush-hush-hush")
        .set("COGNITO_DOMAIN", "photos.auth.us-east-1.amazoncognito.com")
        .set("BASE_URL", "https://photos.example.org")
}

#[track_caller]
fn s3(settings: &Settings) -> &S3 {
    match &settings.store {
        Store::S3(s3) => s3,
        Store::Disk => panic!("the store is S3"),
    }
}

#[track_caller]
fn mysql(settings: &Settings) -> &MySql {
    match &settings.catalog {
        Catalog::MySql(mysql) => mysql,
        Catalog::Sqlite => panic!("the catalog is MySQL"),
    }
}

#[test]
fn with_nothing_set_everything_lives_under_data_on_this_machine() {
    let Settings { data, server, upload, store, catalog, labeler, events, worker, identity, session, links, aws, log } =
        Place::new().settings();
    assert_eq!(data, Path::new("./data"));
    assert_eq!(Settings::default().photo_folder(), Path::new("./data/photos"));
    assert_eq!(Settings::default().catalog_file(), Path::new("./data/catalog.db"));

    assert_eq!(server.bind, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(server.port, 5000);
    assert_eq!(server.base_url, None);
    assert_eq!(server.workers, 0);
    assert_eq!(server.drain_seconds, 0);
    assert_eq!(server.keep_alive_seconds, 75);
    assert_eq!(server.body_idle_seconds, 30);
    assert_eq!(server.body_min_bytes_per_second, 1024);
    assert_eq!(server.trusted_proxies, []);

    assert_eq!(upload.max_bytes, 50_000_000);
    assert_eq!(upload.max_pixels, 100_000_000);
    assert_eq!(upload.max_side, 32_768);
    assert_eq!(upload.max_files, 100);
    assert_eq!(upload.queue, 64);
    assert_eq!(upload.threads, 0);

    assert!(matches!(store, Store::Disk));
    assert!(matches!(catalog, Catalog::Sqlite));
    let Labeler::Builtin(builtin) = labeler else { panic!("the labeler is built in") };
    let percents = [builtin.exact_percent, builtin.general_percent, builtin.object_percent];
    assert_eq!(percents.map(|percent| percent.to_string()), ["50", "45", "50"]);
    assert!(matches!(events, Events::InProcess));
    assert!(worker.beside_server);
    assert_eq!((worker.at_once, worker.sweep_minutes), (0, 5));
    assert!(matches!(identity, Identity::Local(Local { sign_up: SignUp::Open, .. })));
    assert!(session.secret.is_none());
    assert_eq!((session.idle_days, session.absolute_days, session.renew_minutes), (14, 90, 15));

    assert_eq!(links.expiry_seconds, 3600);
    assert_eq!((aws.region, aws.endpoint), (None, None));
    assert_eq!(aws.connect_timeout_seconds, 3);
    assert_eq!(aws.attempt_timeout_seconds, 30);
    assert_eq!(aws.operation_timeout_seconds, 90);
    assert_eq!(log.format, LogFormat::Text);
    assert_eq!(log.filter, "info,actix_server=warn");
}

#[test]
fn the_defaults_are_what_loading_nothing_gives() {
    assert_eq!(format!("{:?}", Settings::default()), format!("{:?}", Place::new().settings()));
}

#[test]
fn back_ends_have_defaults_of_their_own() {
    let settings = Place::new()
        .set("GALLERY__STORE__S3__BUCKET", "my-photos")
        .set("GALLERY__CATALOG__MYSQL__HOST", "db")
        .set("GALLERY__LABELER", "rekognition")
        .settings();
    let S3 { bucket, region, endpoint, path_style, at_once, cloudfront } = s3(&settings);
    assert!(cloudfront.is_none());
    assert_eq!((bucket.as_str(), region, endpoint, path_style), ("my-photos", &None, &None, &None));
    assert_eq!(*at_once, 64);
    let MySql { host, port, user, password, database, tls, ssl_ca, connections, acquire_timeout_seconds } =
        mysql(&settings);
    assert_eq!((host.as_str(), *port, user.as_str(), database.as_str()), ("db", 3306, "web_user", "Photos"));
    assert_eq!((*tls, ssl_ca, *connections, *acquire_timeout_seconds), (Tls::Preferred, &None, 10, 3));
    assert!(password.is_none());
    let Labeler::Rekognition(rekognition) = settings.labeler else { panic!("the labeler is Rekognition") };
    assert_eq!((rekognition.region, rekognition.endpoint, rekognition.max_labels), (None, None, 10));
    assert_eq!(rekognition.min_confidence.to_string(), "70");
    assert!(rekognition.reuse && !rekognition.from_bucket);
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1", "only the course's names open the port");
}

#[test]
fn the_environment_wins_over_the_file_and_own_names_over_the_courses() {
    let file = "[server]\nport = 6001\nworkers = 3\n[session]\nsecret = \"of the file, long enough\"\n[store.s3]\nbucket = \"of-file\"\nregion = \"eu-west-1\"";
    let place = Place::new().file(file).set("PHOTOS_BUCKET", "of-course").set("FLASK_SECRET", "of the course");
    let loaded = place.loaded();
    assert_eq!(loaded.settings.server.port, 6001);
    assert_eq!(s3(&loaded.settings).bucket, "of-course");
    assert_eq!(s3(&loaded.settings).region.as_deref(), Some("eu-west-1"), "one back end is merged over the places");

    let place = place.set("GALLERY__STORE__S3__BUCKET", "of-gallery").set("GALLERY__SERVER__PORT", "6002");
    let loaded = place.loaded();
    assert_eq!(loaded.settings.server.port, 6002);
    assert_eq!(loaded.settings.server.workers, 3);
    assert_eq!(s3(&loaded.settings).bucket, "of-gallery");
    assert_eq!(loaded.origin("server.port"), Some(&Origin::Environment("GALLERY__SERVER__PORT".to_owned())));
    assert_eq!(loaded.origin("server.workers"), Some(&Origin::File(place.path())));
    assert_eq!(loaded.origin("session.secret"), Some(&Origin::Course("FLASK_SECRET")));
    assert_eq!(loaded.origin("server.keep_alive_seconds"), Some(&Origin::Default));
    assert_eq!(loaded.origin("server.prot"), None);
    let line = format!(
        "# environment GALLERY__STORE__S3__BUCKET, over file {}, over course's PHOTOS_BUCKET",
        place.path().display()
    );
    assert!(loaded.to_string().contains(&line), "{loaded}");
}

#[test]
fn naming_a_setting_of_a_back_end_chooses_it_over_weaker_places() {
    let disk = "store = \"disk\"\n[catalog.sqlite]\n[labeler.builtin]\nexact_percent = 60";
    let settings = Place::new().file(disk).set("GALLERY__STORE__S3__BUCKET", "my-photos").settings();
    assert_eq!(s3(&settings).bucket, "my-photos");
    assert!(matches!(settings.catalog, Catalog::Sqlite));
    let Labeler::Builtin(builtin) = settings.labeler else { panic!("the labeler is built in") };
    assert_eq!(builtin.exact_percent.to_string(), "60");

    let bucket =
        "session.secret = \"0123456789abcdef\"\n[store.s3]\nbucket = \"my-photos\"\n[catalog.mysql]\nhost = \"db\"";
    let place = Place::new().file(bucket).set("GALLERY__STORE", "disk").set("DATABASE_PASSWORD", "p%&@/");
    let loaded = place.loaded();
    assert!(matches!(loaded.settings.store, Store::Disk));
    assert_eq!(mysql(&loaded.settings).password.as_ref().map(ExposeSecret::expose_secret), Some("p%&@/"));
    let notice = format!(
        "store.s3.bucket (file {}) has no effect: store is disk (environment GALLERY__STORE)",
        place.path().display()
    );
    assert_eq!(loaded.notices, [notice]);

    let place = Place::new().set("PHOTOS_BUCKET", "my-photos").set("GALLERY__STORE", "disk");
    assert!(matches!(place.settings().store, Store::Disk));
    let place = Place::new().file("labeler = \"none\"").set("GALLERY__LABELER__REKOGNITION__MAX_LABELS", "5");
    let loaded = place.loaded();
    assert!(matches!(loaded.settings.labeler, Labeler::Rekognition(_)));
    let remark =
        format!("# environment GALLERY__LABELER__REKOGNITION__MAX_LABELS, over file {}", place.path().display());
    assert!(loaded.to_string().contains(&remark), "{loaded}");
}

#[test]
fn every_back_end_can_be_chosen_by_its_word_alone() {
    for (name, words) in [("LABELER", ["builtin", "rekognition", "none"].as_slice()), ("CATALOG", &["sqlite"])] {
        for word in words {
            let place = Place::new().set(format!("GALLERY__{name}"), *word);
            let printed = place.loaded().to_string();
            assert_eq!(
                place.loaded().origin(&name.to_lowercase()).map(ToString::to_string),
                Some(format!("environment GALLERY__{name}")),
                "{printed}"
            );
        }
    }
    for tls in ["disabled", "preferred", "required", "verify_ca", "verify_identity"] {
        let settings = Place::new().set("DATABASE_HOST", "db").set("GALLERY__CATALOG__MYSQL__TLS", tls).settings();
        assert_eq!(format!("{:?}", mysql(&settings).tls).to_lowercase(), tls.replace('_', ""));
    }
    for format in ["text", "json"] {
        let settings = Place::new().set("GALLERY__LOG__FORMAT", format).settings();
        assert_eq!(format!("{:?}", settings.log.format).to_lowercase(), format);
    }
}

#[test]
fn variables_of_others_are_passed_over() {
    let place =
        Place::new().set("PATH", "/bin").set("GALLERY_SERVICE_HOST", "10.0.0.1").set("PORT", "x").set("HOME", "");
    assert_eq!(place.settings().server.port, 5000);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let place = Place::new().set("PHOTOS_BUCKET", "").set("DATABASE_HOST", "").set("GALLERY__SERVER__PORT", "");
    let settings = place.set("COGNITO_POOL_ID", "").loaded();
    assert!(matches!(settings.settings.store, Store::Disk));
    assert_eq!(settings.notices, [""; 0]);
}

#[test]
fn a_file_named_on_the_command_line_is_read_instead_of_the_usual_one() {
    let mut place = Place::new().file("server.port = 6001");
    let named = place.folder.path().join("other.toml");
    fs::write(&named, "\u{feff}server.port = 6002\r\n").expect("the temporary folder can be written");
    assert_eq!(place.settings().server.port, 6001);
    place.sources.config = Some(named);
    assert_eq!(place.settings().server.port, 6002, "a byte order mark is no harm");
}

#[test]
fn lists_are_separated_by_commas_in_variables() {
    let settings = Place::new().set("GALLERY__SERVER__TRUSTED_PROXIES", "10.1.0.0/16, 192.0.2.7,fd00::/8").settings();
    let networks: Vec<String> = settings.server.trusted_proxies.iter().map(Network::to_string).collect();
    assert_eq!(networks, ["10.1.0.0/16", "192.0.2.7/32", "fd00::/8"]);
    let within = |address: &str| {
        let address = address.parse().expect("an address");
        settings.server.trusted_proxies.iter().any(|network| network.contains(address))
    };
    for address in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "192.0.2.7", "fd12::1"] {
        assert!(within(address), "{address}");
    }
    for address in ["10.2.0.0", "10.0.255.255", "192.0.2.6", "::1", "fe80::1"] {
        assert!(!within(address), "{address}");
    }
    let everybody: Network = "0.0.0.0/0".parse().expect("a network");
    assert!(everybody.contains("8.8.8.8".parse().expect("an address")));
    for wrong in ["10.0.0.0/+8", "10.0.0.0/", "/8", "::/129", ""] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

#[test]
fn urls_lose_the_slash_at_their_end() {
    let settings = Place::new().set("BASE_URL", "https://photos.example.org/").settings();
    assert_eq!(settings.server.base_url.as_deref(), Some("https://photos.example.org"));
    let settings = Place::new().set("BASE_URL", "http://[::1]:5000").settings();
    assert_eq!(settings.server.base_url.as_deref(), Some("http://[::1]:5000"));
}
