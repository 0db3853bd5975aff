//! What is printed: the settings in force, and the table of all.

use super::*;

#[test]
fn secrets_are_shown_nowhere() {
    let place = course()
        .file("[session]\nsecret = \"swordfish-of-the-file\"")
        .set("GALLERY__CATALOG__MYSQL__PASSWORD", "swordfish");
    let loaded = place.loaded();
    let shown = [format!("{loaded}"), format!("{loaded:?}"), format!("{:#?}", loaded.settings)];
    for text in &shown {
        for secret in ["swordfish", "something11", "a%40b", "hush"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let masked = shown[0].lines().filter(|line| line.starts_with("# ") && line.contains("\"********\"")).count();
    assert_eq!(masked, 3, "{}", shown[0]);
    for secret in ["swordfish\n", "\u{7}swordfish"] {
        assert!(!Place::new().set("FLASK_SECRET", secret).refusal().contains("swordfish"));
    }
    for file in ["secret = \"x\" swordfish", "secret = swordfish", "secret = \"swordfish", "secret = [\"swordfish\"]"] {
        let refusal = Place::new().file(&format!("[session]\n{file}")).refusal();
        assert!(!refusal.contains("swordfish"), "{refusal}");
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
            settings.session.secret = None;
            if let Catalog::MySql(mysql) = &mut settings.catalog {
                mysql.password = None;
            }
            if let Identity::Cognito(cognito) = &mut settings.identity {
                cognito.client_secret = None;
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
    assert_eq!(line("# session.secret"), "# session.secret = \"********\" # course's FLASK_SECRET");
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
            "server.base_url"
            | "store.s3.endpoint"
            | "labeler.rekognition.endpoint"
            | "identity.cognito.endpoint"
            | "events.aws.queue_url"
            | "events.aws.endpoint"
            | "aws.endpoint" => "http://127.0.0.1:9".to_owned(),
            "identity.cognito.pool_id" => "us-west-2_abc".to_owned(),
            "events.aws.topic_arn" => "arn:aws:sns:us-west-2:123456789012:uploads-topic".to_owned(),
            "store.s3.path_style" => "true".to_owned(),
            "store.s3.cloudfront.private_key" => "c29tZXRoaW5n".to_owned(),
            "identity.local.smtp_port" => "587".to_owned(),
            "server.trusted_proxies" => "10.0.0.1".to_owned(),
            name if row.default.is_empty() => name.replace(['.', '_'], "-"),
            _ => row.default.trim_matches('"').to_owned(),
        };
        let mut place = Place::new().set(row.variable.clone(), value);
        for (part, variable, value) in [
            ("store.s3.", "PHOTOS_BUCKET", "something"),
            ("store.s3.cloudfront.", "GALLERY__STORE__S3__CLOUDFRONT__DOMAIN", "photos.example.org"),
            ("store.s3.cloudfront.", "GALLERY__STORE__S3__CLOUDFRONT__KEY_PAIR_ID", "something"),
            ("store.s3.cloudfront.", "GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY", "c29tZXRoaW5n"),
            ("catalog.mysql.", "DATABASE_HOST", "something"),
            ("identity.cognito.", "COGNITO_POOL_ID", "us-west-2_abc"),
            ("identity.cognito.", "COGNITO_CLIENT_ID", "something"),
            ("identity.cognito.domain", "BASE_URL", "https://photos.example.org"),
            ("events.aws.", "GALLERY__EVENTS__AWS__QUEUE_URL", "http://127.0.0.1:9"),
            ("identity.local.smtp_host", "GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@example.org"),
        ] {
            if row.name.starts_with(part) && row.variable != variable {
                place = place.set(variable, value);
            }
        }
        assert_eq!(place.loaded().origin(row.name), Some(&Origin::Environment(row.variable)));
    }
}
