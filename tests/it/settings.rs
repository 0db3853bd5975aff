//! Settings: defaults, layers, the course's names, refusals, and what is printed.

use std::{
    ffi::OsString,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use photo_gallery::settings::{
    self, Catalog, EXIT_CODE, FILE, Identity, Labeler, Loaded, LogFormat, MySql, Network, Origin, S3, Settings,
    Sources, Store, Tls,
};
use secrecy::ExposeSecret;
use tempfile::TempDir;

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
    let Settings { data, server, upload, store, catalog, labeler, identity, links, aws, log } = Place::new().settings();
    assert_eq!(data, Path::new("./data"));

    assert_eq!(server.bind, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(server.port, 5000);
    assert_eq!(server.base_url, None);
    assert_eq!(server.workers, 0);
    assert_eq!(server.drain_seconds, 0);
    assert_eq!(server.keep_alive_seconds, 75);
    assert_eq!(server.body_idle_seconds, 30);
    assert_eq!(server.body_min_bytes_per_second, 1024);
    assert_eq!(server.trusted_proxies, []);
    assert!(server.secret.is_none());

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
    assert_eq!(identity, Identity::None);

    assert_eq!(links.expiry_seconds, 3600);
    assert_eq!((aws.region, aws.endpoint), (None, None));
    assert_eq!(aws.connect_timeout_seconds, 3);
    assert_eq!(aws.attempt_timeout_seconds, 30);
    assert_eq!(aws.operation_timeout_seconds, 90);
    assert_eq!(log.format, LogFormat::Text);
    assert_eq!(log.filter, "info");
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
    let S3 { bucket, region, endpoint, path_style } = s3(&settings);
    assert_eq!((bucket.as_str(), region, endpoint, path_style), ("my-photos", &None, &None, &None));
    let MySql { host, port, user, password, database, tls, ssl_ca, connections } = mysql(&settings);
    assert_eq!((host.as_str(), *port, user.as_str(), database.as_str()), ("db", 3306, "web_user", "Photos"));
    assert_eq!((*tls, ssl_ca, *connections), (Tls::Preferred, &None, 10));
    assert!(password.is_none());
    let Labeler::Rekognition(rekognition) = settings.labeler else { panic!("the labeler is Rekognition") };
    assert_eq!((rekognition.region, rekognition.endpoint, rekognition.max_labels), (None, None, 10));
    assert_eq!(rekognition.min_confidence.to_string(), "70");
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1", "only the course's names open the port");
}

#[test]
fn the_courses_names_bring_up_its_bucket_and_database() {
    let loaded = course().loaded();
    let settings = &loaded.settings;
    assert_eq!(s3(settings).bucket, "my-photos");
    let mysql = mysql(settings);
    assert_eq!(mysql.host, "edx-photos-db.example.us-west-2.rds.amazonaws.com");
    assert_eq!((mysql.user.as_str(), mysql.database.as_str()), ("web_user", "Photos"));
    assert_eq!(mysql.password.as_ref().map(ExposeSecret::expose_secret), Some("a%40b&c@d/e:f#g?h i\"j'k"));
    assert_eq!(settings.server.secret.as_ref().map(ExposeSecret::expose_secret), Some("something11"));
    assert_eq!(settings.server.base_url.as_deref(), Some("https://photos.example.org"));
    assert_eq!(settings.server.bind.to_string(), "0.0.0.0");
    assert_eq!(settings.server.port, 5000);
    assert_eq!(settings.aws.region.as_deref(), Some("us-east-1"));
    assert!(matches!(settings.labeler, Labeler::Rekognition(_)));

    assert_eq!(loaded.origin("store"), Some(&Origin::Course("PHOTOS_BUCKET")));
    assert_eq!(loaded.origin("catalog.mysql.host"), Some(&Origin::Course("DATABASE_HOST")));
    assert_eq!(loaded.origin("aws.region"), Some(&Origin::Course("AWS_DEFAULT_REGION")));
    assert_eq!(loaded.origin("labeler"), Some(&Origin::Implied("PHOTOS_BUCKET")));
}

#[test]
fn photos_bucket_alone_means_s3_and_rekognition_in_us_west_2() {
    let settings = Place::new().set("PHOTOS_BUCKET", "my-photos").settings();
    assert_eq!(s3(&settings).bucket, "my-photos");
    assert!(matches!(settings.labeler, Labeler::Rekognition(_)));
    assert!(matches!(settings.catalog, Catalog::Sqlite));
    assert_eq!(settings.aws.region.as_deref(), Some("us-west-2"));
    assert_eq!(settings.server.bind.to_string(), "0.0.0.0");
}

#[test]
fn database_host_alone_means_mysql() {
    let settings = Place::new().set("DATABASE_HOST", "10.1.3.7").settings();
    assert_eq!(mysql(&settings).host, "10.1.3.7");
    assert!(matches!(settings.store, Store::Disk));
    assert!(matches!(settings.labeler, Labeler::Builtin(_)));
    assert_eq!(settings.aws.region.as_deref(), Some("us-west-2"));
    assert_eq!(settings.server.bind.to_string(), "0.0.0.0");
}

#[test]
fn what_the_course_implies_gives_way_to_what_anybody_says() {
    let settings =
        course().file("labeler = \"none\"\nserver.bind = \"10.1.1.5\"\naws.region = \"eu-west-1\"").settings();
    assert!(matches!(settings.labeler, Labeler::None));
    assert_eq!(settings.server.bind.to_string(), "10.1.1.5");
    assert_eq!(settings.aws.region.as_deref(), Some("us-east-1"), "a variable is stronger than the file");

    let settings = course().set("GALLERY__STORE__S3__BUCKET", "other-photos").settings();
    assert!(matches!(settings.labeler, Labeler::Rekognition(_)), "another bucket is still a bucket");
    let settings = Place::new().set("PHOTOS_BUCKET", "my-photos").set("GALLERY__STORE", "disk").settings();
    assert!(matches!(settings.labeler, Labeler::Builtin(_)), "a bucket that is not in force implies nothing");
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1");
}

#[test]
fn aws_region_counts_before_aws_default_region() {
    let place = Place::new().set("AWS_DEFAULT_REGION", "us-east-1").set("AWS_REGION", "eu-central-1");
    let loaded = place.set("AWS_ENDPOINT_URL", "http://127.0.0.1:4566").loaded();
    assert_eq!(loaded.settings.aws.region.as_deref(), Some("eu-central-1"));
    assert_eq!(loaded.settings.aws.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    assert_eq!(
        loaded.notices,
        ["aws.region: environment AWS_REGION counts, and environment AWS_DEFAULT_REGION says something else"]
    );
}

#[test]
fn variables_without_effect_are_not_passed_over_in_silence() {
    let notices = course().loaded().notices.join("\n");
    for variable in ["COGNITO_POOL_ID", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET", "COGNITO_DOMAIN"] {
        let sentence = format!("{variable} has no effect yet: this version has no accounts (identity is none)");
        assert!(notices.contains(&sentence), "{notices}");
    }
    assert!(!notices.contains("hush"), "{notices}");
    assert!(notices.contains("everybody who can reach the port"), "{notices}");
    assert!(notices.contains("server.secret has fewer than 16 characters"), "{notices}");
    assert_eq!(Place::new().loaded().notices, [""; 0]);
}

#[test]
fn the_environment_wins_over_the_file_and_own_names_over_the_courses() {
    let file = "[server]\nport = 6001\nworkers = 3\nsecret = \"of the file, long enough\"\n[store.s3]\nbucket = \"of-file\"\nregion = \"eu-west-1\"";
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
    assert_eq!(loaded.origin("server.secret"), Some(&Origin::Course("FLASK_SECRET")));
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

    let bucket = "[store.s3]\nbucket = \"my-photos\"\n[catalog.mysql]\nhost = \"db\"";
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
    assert!(matches!(place.settings().labeler, Labeler::Rekognition(_)));
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
fn two_back_ends_from_one_place_are_refused() {
    assert_eq!(
        Place::new().set("GALLERY__STORE", "disk").set("GALLERY__STORE__S3__BUCKET", "my-photos").refusal(),
        "store cannot be both disk (environment GALLERY__STORE) and s3 (store.s3.bucket, environment GALLERY__STORE__S3__BUCKET): choose one"
    );
    assert!(Place::new().file("[store.disk]\n[store.s3]\nbucket = \"my-photos\"").refusal().contains("cannot be both"));
}

#[test]
fn a_back_end_that_lacks_something_says_what_and_why() {
    assert_eq!(
        Place::new().set("DATABASE_USER", "web_user").refusal(),
        "catalog.mysql.host is not set, and catalog is mysql (course's DATABASE_USER) needs it: set it in the file, or set \
         GALLERY__CATALOG__MYSQL__HOST or DATABASE_HOST; allowed is a host name or an IP address, without a port"
    );
    let refusal = Place::new().file("[store.s3]\nregion = \"eu-west-1\"").refusal();
    assert!(refusal.starts_with("store.s3.bucket is not set, and store is s3 (file photo-gallery.toml)"), "{refusal}");
}

#[test]
fn bad_values_of_variables_are_refused_with_what_is_allowed() {
    const PORT: &str = "a whole number from 0 to 65535";
    const URL: &str = "http:// or https:// with a host and perhaps a port, and no path";
    let cases = [
        ("GALLERY__SERVER__PORT", "http", PORT),
        ("GALLERY__SERVER__PORT", "65536", PORT),
        ("GALLERY__SERVER__PORT", "-1", PORT),
        ("GALLERY__SERVER__PORT", "99999999999999999999", PORT),
        ("GALLERY__SERVER__PORT", "50.0", PORT),
        ("GALLERY__SERVER__BIND", "localhost", "an IP address, like 127.0.0.1"),
        ("GALLERY__SERVER__BIND", "0.0.0.0:80", "an IP address, like 127.0.0.1"),
        ("GALLERY__SERVER__TRUSTED_PROXIES", "10.0.0.0/33", "a list of IP addresses and networks"),
        ("GALLERY__SERVER__TRUSTED_PROXIES", "10.0.0.1,,10.0.0.2", "a list of IP addresses and networks"),
        ("GALLERY__SERVER__KEEP_ALIVE_SECONDS", "0", "a whole number from 1 to 3600"),
        ("GALLERY__UPLOAD__MAX_BYTES", "50 MB", "a whole number from 1 to 5000000000"),
        ("GALLERY__STORE", "floppy", "disk or s3"),
        ("GALLERY__STORE__S3__BUCKET", "My Bucket", "the name of a bucket"),
        ("GALLERY__STORE__S3__PATH_STYLE", "yes", "true or false"),
        ("GALLERY__CATALOG__MYSQL__HOST", "db:3306", "a host name or an IP address, without a port"),
        ("GALLERY__CATALOG__MYSQL__TLS", "maybe", "disabled or preferred or required or verify_ca or verify_identity"),
        ("GALLERY__LABELER__BUILTIN__EXACT_PERCENT", "101", "a number from 0 to 100, in percent"),
        ("GALLERY__LABELER__BUILTIN__EXACT_PERCENT", "NaN", "a number from 0 to 100, in percent"),
        ("GALLERY__LABELER__REKOGNITION__MIN_CONFIDENCE", "-0.5", "a number from 0 to 100, in percent"),
        ("GALLERY__IDENTITY", "cognito", "none"),
        ("GALLERY__LINKS__EXPIRY_SECONDS", "604801", "a whole number from 60 to 604800"),
        ("GALLERY__LOG__FORMAT", "xml", "text or json"),
        ("GALLERY__LOG__FILTER", "photo_gallery=loud", "a level (error, warn, info, debug, trace)"),
        ("GALLERY__DATA", "a\nb", "the path of a file or folder"),
        ("PHOTOS_BUCKET", "a/b", "the name of a bucket"),
        ("AWS_REGION", "us west", "the name of an AWS region"),
    ];
    for (variable, value, allowed) in cases {
        let refusal = Place::new().set(variable, value).refusal();
        assert!(refusal.contains(variable), "{refusal}");
        assert!(refusal.contains(&format!("{value:?}")), "{refusal}");
        assert!(refusal.contains(&format!("refused: allowed is {allowed}")), "{refusal}");
    }
    for url in ["photos.example.org", "ftp://a", "https://a/b", "https://u:swordfish@a", "https://a?b", "https://"] {
        let refusal = Place::new().set("BASE_URL", url).refusal();
        assert_eq!(
            refusal,
            format!("server.base_url (course's BASE_URL) has a value that is refused: allowed is {URL}")
        );
    }
    assert_eq!(
        Place::new().set("GALLERY__SERVER__PORT", "http").refusal(),
        "server.port = \"http\" (environment GALLERY__SERVER__PORT) is refused: allowed is a whole number from 0 to 65535"
    );
}

#[test]
fn bad_values_of_the_file_are_refused_with_its_path() {
    let cases = [
        (
            "[server]\nport = \"5000\"",
            "server.port = \"5000\" (file photo-gallery.toml) is refused: allowed is a whole number from 0 to 65535",
        ),
        (
            "[server]\nport = 70000",
            "server.port = 70000 (file photo-gallery.toml) is refused: allowed is a whole number from 0 to 65535",
        ),
        (
            "[server]\nport = 1979-05-27",
            "server.port = 1979-05-27 (file photo-gallery.toml) is refused: allowed is a whole number from 0 to 65535",
        ),
        ("store = 3", "store = 3 (file photo-gallery.toml) is refused: allowed is disk or s3"),
        (
            "server = 3",
            "server (file photo-gallery.toml) is a section, not a value: write [server] and its settings below it",
        ),
        (
            "[server]\nsecret = 12345678",
            "server.secret (file photo-gallery.toml) has a value that is refused: allowed is a text on one line that is not the mask ********",
        ),
        (
            "[server]\nsecret = \"********\"",
            "server.secret (file photo-gallery.toml) has a value that is refused: allowed is a text on one line that is not the mask ********",
        ),
    ];
    for (file, refusal) in cases {
        assert_eq!(Place::new().file(file).refusal(), refusal);
    }
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_known_name() {
    let cases = [
        ("[server]\nprot = 1", "server.prot (file photo-gallery.toml) is not a setting; did you mean server.port?"),
        ("[sever]\nport = 1", "sever (file photo-gallery.toml) is not a setting; did you mean server?"),
        ("[store.s4]\nbucket = \"b\"", "store.s4 (file photo-gallery.toml) is not a setting; did you mean store.s3?"),
        ("[store.disk]\nfolder = \"b\"", "store.disk.folder (file photo-gallery.toml) is not a setting"),
        (
            "[something.else]\nx = 1",
            "something (file photo-gallery.toml) is not a setting; `photo-gallery settings` lists them all",
        ),
        ("\"a\\nb\" = 1", "a b (file photo-gallery.toml) is not a setting"),
    ];
    for (file, refusal) in cases {
        let refused = Place::new().file(file).refusal();
        assert!(refused.starts_with(refusal), "{refused}");
    }
    let cases = [
        (
            "GALLERY__SERVER__PROT",
            "the environment variable GALLERY__SERVER__PROT is not a setting; did you mean GALLERY__SERVER__PORT?",
        ),
        (
            "GALLERY__STORE__S3__BUKET",
            "the environment variable GALLERY__STORE__S3__BUKET is not a setting; did you mean GALLERY__STORE__S3__BUCKET?",
        ),
        (
            "gallery__server__port",
            "the environment variable gallery__server__port is not a setting; did you mean GALLERY__SERVER__PORT?",
        ),
        (
            "GALLERY__SERVER_PORT",
            "the environment variable GALLERY__SERVER_PORT is not a setting; did you mean GALLERY__SERVER__PORT?",
        ),
        ("GALLERY__", "the environment variable GALLERY__ is not a setting"),
    ];
    for (variable, refusal) in cases {
        let refused = Place::new().set(variable, "1").refusal();
        assert!(refused.starts_with(refusal), "{refused}");
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

#[cfg(unix)]
#[test]
fn an_environment_that_is_not_utf_8_is_no_panic() {
    use std::os::unix::ffi::OsStringExt;

    let broken = || OsString::from_vec(vec![b'a', 0xff, 0xfe]);
    let settings = Place::new().set("SOMETHING", broken()).set(broken(), broken()).settings();
    assert_eq!(settings.server.port, 5000);
    assert_eq!(
        Place::new().set("FLASK_SECRET", broken()).refusal(),
        "server.secret (course's FLASK_SECRET) is not UTF-8 text"
    );
    assert_eq!(
        Place::new().set("GALLERY__DATA", broken()).refusal(),
        "data (environment GALLERY__DATA) is not UTF-8 text"
    );
    let name = OsString::from_vec(b"GALLERY__DAT\xff".to_vec());
    assert!(Place::new().set(name, "x").refusal().ends_with("is not a setting; did you mean GALLERY__DATA?"));
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
fn a_file_that_cannot_be_read_is_a_sentence() {
    let mut place = Place::new().file("");
    let folder = place.folder.path().to_owned();
    let shown = |refusal: String| refusal.replace(&folder.display().to_string(), "FOLDER");
    place.sources.config = Some(folder.join("missing.toml"));
    assert_eq!(
        shown(place.refusal()),
        "the settings file FOLDER/missing.toml, named by --config on the command line, cannot be read: No such file or directory (os error 2)"
    );
    place.sources.config = Some(folder.clone());
    assert!(shown(place.refusal()).contains("cannot be read: "));
    place.sources.config = Some(folder.join("latin1.toml"));
    fs::write(folder.join("latin1.toml"), b"# caf\xe9").expect("the temporary folder can be written");
    assert!(shown(place.refusal()).ends_with("is not UTF-8 text (at byte 5)"));
    place.sources.config = Some(PathBuf::from("/dev/zero"));
    assert!(place.refusal().ends_with("is larger than 1 MB"));
    place.sources.config = None;
    let place = place.file("[server]\nport = 5000\nport 80\n");
    let refusal = place.refusal();
    assert!(
        refusal
            .starts_with("the settings file photo-gallery.toml, found in the working directory, is not TOML: line 3: "),
        "{refusal}"
    );
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

#[test]
fn secrets_are_shown_nowhere() {
    let place = course()
        .file("[server]\nsecret = \"swordfish-of-the-file\"")
        .set("GALLERY__CATALOG__MYSQL__PASSWORD", "swordfish");
    let loaded = place.loaded();
    let shown = [format!("{loaded}"), format!("{loaded:?}"), format!("{:#?}", loaded.settings)];
    for text in &shown {
        for secret in ["swordfish", "something11", "a%40b", "hush"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let masked = shown[0].lines().filter(|line| line.starts_with("# ") && line.contains("\"********\"")).count();
    assert_eq!(masked, 2, "{}", shown[0]);
    for secret in ["swordfish\n", "\u{7}swordfish"] {
        assert!(!Place::new().set("FLASK_SECRET", secret).refusal().contains("swordfish"));
    }
}

#[test]
fn what_is_printed_is_a_settings_file_with_the_same_meaning() {
    let file = "data = 'C:\\photos \"here\"'\nlabeler = \"none\"\n[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nport = 0\n[upload]\nmax_files = 3\n[log]\nfilter = \"warn,photo_gallery=debug\"";
    let builtin = Place::new().set("GALLERY__LABELER__BUILTIN__EXACT_PERCENT", "33.25");
    let s3 =
        course().set("GALLERY__STORE__S3__PATH_STYLE", "true").set("GALLERY__CATALOG__MYSQL__SSL_CA", "/etc/rds.pem");
    for place in [Place::new(), course(), Place::new().file(file), builtin, s3] {
        let printed = place.loaded().to_string();
        let again = Place::new().file(&printed).settings();
        let without_secrets = |mut settings: Settings| {
            settings.server.secret = None;
            if let Catalog::MySql(mysql) = &mut settings.catalog {
                mysql.password = None;
            }
            format!("{settings:#?}")
        };
        assert_eq!(without_secrets(again), without_secrets(place.settings()), "{printed}");
    }
}

#[test]
fn what_is_printed_names_every_origin_in_aligned_columns() {
    let printed = course().file("upload.queue = 9").loaded().to_string();
    let line = |start: &str| {
        let found = printed.lines().find(|line| line.split(" = ").next().is_some_and(|name| name.trim() == start));
        found
            .unwrap_or_else(|| panic!("{start} is printed in {printed}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("server.port"), "server.port = 5000 # default");
    assert_eq!(line("server.bind"), "server.bind = \"0.0.0.0\" # default with PHOTOS_BUCKET");
    assert_eq!(line("# store"), "# store = \"s3\" # course's PHOTOS_BUCKET");
    assert_eq!(line("store.s3.bucket"), "store.s3.bucket = \"my-photos\" # course's PHOTOS_BUCKET");
    assert_eq!(line("aws.region"), "aws.region = \"us-east-1\" # environment AWS_DEFAULT_REGION");
    assert_eq!(line("# server.secret"), "# server.secret = \"********\" # course's FLASK_SECRET");
    assert_eq!(line("# store.s3.region"), "# store.s3.region = # not set");
    assert!(line("upload.queue").starts_with("upload.queue = 9 # file "), "{printed}");
    let columns: Vec<Option<usize>> =
        printed.lines().filter(|line| line.contains(" = ")).map(|line| line.find(" = ")).collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{printed}");
}

#[test]
fn the_table_lists_every_setting_once_with_its_variable() {
    let rows = settings::table();
    let mut names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len());
    for row in &rows {
        assert!(row.about.ends_with(['.', '`']), "{row:?}");
        let plain = !row.about.contains(['|', '\n']) && !row.about.contains("  ");
        assert!(plain, "{row:?}");
    }
    let bucket = rows.iter().find(|row| row.name == "store.s3.bucket").expect("the bucket is a setting");
    assert_eq!(bucket.variable, "GALLERY__STORE__S3__BUCKET");
    assert_eq!(bucket.other_variables, ["PHOTOS_BUCKET"]);
    assert_eq!(bucket.default, "");
    assert_eq!(bucket.about, "The bucket's name. Required.");
    let markdown = settings::markdown();
    assert_eq!(markdown.lines().count(), rows.len() + 2);
    let line = "| `upload.max_bytes` | `50000000` | The largest file, in bytes: 50 MB. |";
    assert!(markdown.contains(line), "{markdown}");
}

#[test]
fn every_setting_of_the_table_can_be_set_by_its_variable() {
    for row in settings::table() {
        let value = match row.name {
            "server.base_url" | "store.s3.endpoint" | "labeler.rekognition.endpoint" | "aws.endpoint" => {
                "http://127.0.0.1:9".to_owned()
            }
            "store.s3.path_style" => "true".to_owned(),
            "server.trusted_proxies" => "10.0.0.1".to_owned(),
            name if row.default.is_empty() => name.replace(['.', '_'], "-"),
            _ => row.default.trim_matches('"').to_owned(),
        };
        let mut place = Place::new().set(row.variable.clone(), value);
        for (part, variable) in [("store.s3.", "PHOTOS_BUCKET"), ("catalog.mysql.", "DATABASE_HOST")] {
            if row.name.starts_with(part) {
                place = place.set(variable, "something");
            }
        }
        assert_eq!(place.loaded().origin(row.name), Some(&Origin::Environment(row.variable)));
    }
}

#[test]
fn keys_depend_on_the_secret_and_the_purpose() {
    let secret = |text: &str| Place::new().set("FLASK_SECRET", text).settings().secret().expect("the secret is set");
    let key = secret("something11").key("links");
    assert_eq!(key, secret("something11").key("links"));
    assert_ne!(key, secret("something11").key("sessions"));
    assert_ne!(key, secret("something12").key("links"));
    assert_ne!(secret("x").key("links"), secret(&"x".repeat(1000)).key("links"));
    assert!(!format!("{:?}", secret("something11")).contains("something11"));
}

#[test]
fn a_secret_that_nobody_set_is_made_once_and_kept_to_oneself() {
    let place = Place::new();
    let data = place.folder.path().join("new/data");
    let settings = place.set("GALLERY__DATA", data.as_os_str()).settings();
    assert!(!data.exists(), "loading settings writes nothing");
    let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| settings.secret().expect("the folder can be written").key("links")))
            .collect();
        started.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "all that start at once share one secret");
    assert_eq!(settings.secret().expect("the secret is there").key("links"), keys[0]);
    assert_eq!(fs::read_dir(&data).expect("the folder is there").count(), 1, "nothing temporary is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(data.join("secret")).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    fs::write(data.join("secret"), "short\n").expect("the folder can be written");
    let refusal = settings.secret().expect_err("five characters are no secret").to_string();
    assert!(refusal.contains("less than 32 characters of secret"), "{refusal}");
    fs::remove_file(data.join("secret")).expect("the file can be removed");
    fs::remove_dir(&data).expect("the folder can be removed");
    fs::write(&data, "a file in the folder's place").expect("the folder can be written");
    let refusal = format!("{:#}", settings.secret().expect_err("a file is no folder"));
    assert!(refusal.contains("data/secret"), "{refusal}");
}

/// Runs the program itself in `place`.
fn program(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photo-gallery"));
    command
        .args(arguments)
        .current_dir(place.folder.path())
        .env_clear()
        .envs(place.sources.environment.iter().cloned());
    command.output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

#[test]
fn the_program_prints_its_settings_from_its_own_environment_and_folder() {
    let place = Place::new().file("server.port = 6001").set("PHOTOS_BUCKET", "my-photos");
    let output = program(&place, &["settings"]);
    assert!(output.status.success());
    let printed = text(&output.stdout);
    assert!(
        printed.lines().any(|line| line.starts_with("server.port ") && line.ends_with("# file photo-gallery.toml")),
        "{printed}"
    );
    assert!(
        printed.lines().any(|line| line.starts_with("store.s3.bucket ") && line.ends_with("# course's PHOTOS_BUCKET")),
        "{printed}"
    );
    assert_eq!(text(&program(&place, &["settings", "--markdown"]).stdout), settings::markdown());
}

#[test]
fn the_program_leaves_with_78_and_one_line_when_its_settings_are_refused() {
    let place = Place::new().set("GALLERY__SERVER__PORT", "http");
    for arguments in [[].as_slice(), &["serve"], &["settings"], &["migrate"]] {
        let output = program(&place, arguments);
        assert_eq!(output.status.code(), Some(i32::from(EXIT_CODE)));
        assert_eq!(
            text(&output.stderr),
            "photo-gallery: server.port = \"http\" (environment GALLERY__SERVER__PORT) is refused: allowed is a whole number from 0 to 65535\n"
        );
    }
    let output = program(&Place::new(), &["settings", "--config", "missing.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("missing.toml, named by --config on the command line, cannot be read"));
}

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    for command in ["serve", "work", "migrate", "settings", "import"] {
        let output = program(&place, &[command, "--help"]);
        let help = text(&output.stdout);
        assert!(output.status.success());
        assert!(help.contains("Examples:\n  ") && help.contains("--config <FILE>"), "{help}");
        assert!(help.contains(&format!("photo-gallery {command}")), "{help}");
    }
    let help = text(&program(&place, &["--help"]).stdout);
    for command in ["serve", "work", "migrate", "settings", "import"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{help}");
    }
    let output = program(&place, &["import"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("<DIR>"));
}
