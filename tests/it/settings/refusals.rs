//! Settings that are refused, and with which sentence.

use super::*;

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
        ("GALLERY__IDENTITY", "ldap", "local or cognito or none"),
        ("COGNITO_POOL_ID", "us-west-2", "the id of a user pool"),
        ("COGNITO_POOL_ID", "us-west-2_a/b", "the id of a user pool"),
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
    for domain in ["http://", "a b", "https://u:swordfish@a", "a/b"] {
        let refusal = Place::new().set("COGNITO_DOMAIN", domain).refusal();
        assert!(refusal.starts_with("identity.cognito.domain (course's COGNITO_DOMAIN) has a value"), "{refusal}");
        assert!(!refusal.contains("swordfish"), "{refusal}");
    }
    let refusal = Place::new().set("DATABASE_HOST", "mysql://web_user:swordfish@db").refusal();
    assert!(refusal.starts_with("catalog.mysql.host (course's DATABASE_HOST) has a value"), "{refusal}");
    assert!(!refusal.contains("swordfish"), "{refusal}");
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
fn a_labeler_that_reads_the_bucket_needs_one_in_its_region() {
    let reading = || Place::new().set("GALLERY__LABELER__REKOGNITION__FROM_BUCKET", "true");
    let refusal = reading().refusal();
    assert!(refusal.contains("photos are not in a bucket") && refusal.contains("store.s3.bucket"), "{refusal}");
    let in_bucket = || reading().set("GALLERY__STORE__S3__BUCKET", "my-photos").set("AWS_REGION", "eu-west-1");
    in_bucket().settings();
    let refusal = in_bucket().set("GALLERY__LABELER__REKOGNITION__REGION", "us-east-1").refusal();
    assert!(refusal.contains("is in eu-west-1 and not in us-east-1"), "{refusal}");
    in_bucket()
        .set("GALLERY__LABELER__REKOGNITION__REGION", "us-east-1")
        .set("GALLERY__STORE__S3__REGION", "us-east-1")
        .settings();
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
            "[session]\nsecret = 12345678",
            "session.secret (file photo-gallery.toml) has a value that is refused: allowed is a text on one line that is not the mask ********",
        ),
        (
            "[session]\nsecret = \"********\"",
            "session.secret (file photo-gallery.toml) has a value that is refused: allowed is a text on one line that is not the mask ********",
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
            "something (file photo-gallery.toml) is not a setting; `photo-gallery settings --markdown` lists them all",
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

#[cfg(unix)]
#[test]
fn an_environment_that_is_not_utf_8_is_no_panic() {
    use std::os::unix::ffi::OsStringExt;

    let broken = || OsString::from_vec(vec![b'a', 0xff, 0xfe]);
    let settings = Place::new().set("SOMETHING", broken()).set(broken(), broken()).settings();
    assert_eq!(settings.server.port, 5000);
    assert_eq!(
        Place::new().set("FLASK_SECRET", broken()).refusal(),
        "session.secret (course's FLASK_SECRET) is not UTF-8 text"
    );
    assert_eq!(
        Place::new().set("GALLERY__DATA", broken()).refusal(),
        "data (environment GALLERY__DATA) is not UTF-8 text"
    );
    let name = OsString::from_vec(b"GALLERY__DAT\xff".to_vec());
    assert!(Place::new().set(name, "x").refusal().ends_with("is not a setting; did you mean GALLERY__DATA?"));
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
fn settings_that_cannot_hold_together_are_refused() {
    let refused = |variables: &[(&str, &str)]| {
        let place = variables.iter().fold(Place::new(), |place, (name, value)| place.set((*name).to_owned(), *value));
        place.refusal()
    };
    let open = refused(&[("GALLERY__IDENTITY", "none"), ("GALLERY__SERVER__BIND", "0.0.0.0")]);
    assert!(open.starts_with("identity is none and server.bind is 0.0.0.0: everybody"), "{open}");
    let file = "server.bind = \"0.0.0.0\"\n[identity.none]\npublic = true";
    assert!(matches!(Place::new().file(file).settings().identity, Identity::None(_)), "said explicitly");
    let nowhere = refused(&[
        ("COGNITO_POOL_ID", "us-west-2_abc"),
        ("COGNITO_CLIENT_ID", "client"),
        ("COGNITO_DOMAIN", "photos.auth.us-west-2.amazoncognito.com"),
    ]);
    assert!(nowhere.contains("set server.base_url"), "{nowhere}");
    let host = ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", "mail.example.org");
    let from = ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@example.org");
    let user = ("GALLERY__IDENTITY__LOCAL__SMTP_USER", "photos");
    let password = ("GALLERY__IDENTITY__LOCAL__SMTP_PASSWORD", "swordfish");
    let clear = ("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "none");
    assert!(refused(&[host]).contains("set identity.local.mail_from"));
    assert!(refused(&[host, from, user]).contains("set both identity.local.smtp_user and"));
    assert!(refused(&[host, from, user, password, clear]).contains("could be read on the way"));
}

#[test]
fn a_setting_that_was_renamed_says_its_new_name() {
    let refusal = Place::new().set("GALLERY__SERVER__SECRET", "swordfish").refusal();
    assert_eq!(
        refusal,
        "the environment variable GALLERY__SERVER__SECRET is not a setting any more; it is called session.secret now"
    );
    let refusal = Place::new().file("server.secret = \"swordfish\"").refusal();
    assert!(refusal.ends_with("is not a setting any more; it is called session.secret now"), "{refusal}");
}

#[test]
fn under_lambda_what_would_be_gone_with_the_function_is_refused() {
    let refusal = Place::new().set("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").refusal();
    assert!(
        refusal.starts_with("catalog is sqlite, and under Lambda a file in /tmp/photo-gallery is empty"),
        "{refusal}"
    );
    let refusal = Place::new()
        .set("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
        .set("DATABASE_HOST", "db.example.org")
        .set("DATABASE_USER", "web_user")
        .set("GALLERY__STORE", "disk")
        .refusal();
    assert!(
        refusal.starts_with("store is disk, and under Lambda a folder in /tmp/photo-gallery is empty"),
        "{refusal}"
    );
}

#[test]
fn a_function_that_migrates_needs_a_database_and_no_bucket() {
    let function = || Place::new().set("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").set("_HANDLER", "migrate");
    let refusal = function().refusal();
    assert!(
        refusal.starts_with("catalog is sqlite, and under Lambda") && refusal.contains("catalog.mysql.host"),
        "{refusal}"
    );
    let settings = function().set("DATABASE_HOST", "db.example.org").settings();
    assert!(matches!((settings.catalog, settings.store), (Catalog::MySql(_), Store::Disk)));
    let other = Place::new().set("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").set("_HANDLER", "migrated");
    assert!(
        other.set("DATABASE_HOST", "db.example.org").refusal().starts_with("store is disk"),
        "any other name works"
    );
}

#[test]
fn a_distribution_is_named_whole_and_its_key_is_never_shown() {
    let key = "c3dvcmQgZmlzaA==";
    let pem = "-----BEGIN PRIVATE KEY-----\nc3dvcmQg\nZmlzaA==\n-----END PRIVATE KEY-----\n";
    let file =
        |rest: &str| Place::new().file(&format!("[store.s3]\nbucket = \"my-photos\"\n[store.s3.cloudfront]\n{rest}"));
    let half = file("domain = \"d111111abcdef8.cloudfront.net\"").refusal();
    assert!(half.contains("set domain, key_pair_id and private_key, or none of them"), "{half}");
    let named = "domain = \"d111111abcdef8.cloudfront.net\"\nkey_pair_id = \"K2JCJMDEHXQW5F\"\n";
    for form in [key, pem, &pem.replace('\n', " "), &pem.replace('\n', "\r\n"), &pem.replace('\n', "\\\\n")] {
        let loaded = file(&format!("{named}private_key = \"\"\"{form}\"\"\"\n")).loaded();
        assert!(!loaded.to_string().contains("c3dvcmQg") && !format!("{loaded:?}").contains("c3dvcmQg"), "{loaded}");
        let Store::S3(S3 { cloudfront: Some(edge), .. }) = loaded.settings.store else { panic!("a bucket") };
        assert_eq!(edge.domain.as_deref(), Some("https://d111111abcdef8.cloudfront.net"));
        assert_eq!(edge.private_key.unwrap().expose_secret(), key, "{form:?}");
    }
    let old = pem.replace("PRIVATE KEY", "RSA PRIVATE KEY").replace('\n', "\\n");
    for odd in ["c3dvcmQg\\u0007", "swordfish!", "-----BEGIN PRIVATE KEY----- c3dvcmQg", "", &old, "********"] {
        let refusal = file(&format!("{named}private_key = \"{odd}\"")).refusal();
        assert!(refusal.contains("a private key as PKCS #8 in PEM") && refusal.contains("openssl pkcs8"), "{refusal}");
        assert!(!refusal.contains("c3dvcmQg") && !refusal.contains("swordfish"), "{refusal}");
    }
}
