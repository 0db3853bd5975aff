//! The names that a user of the course's app already has.

use super::*;

#[test]
fn the_courses_names_bring_up_its_bucket_and_database() {
    let loaded = course().loaded();
    let settings = &loaded.settings;
    assert_eq!(s3(settings).bucket, "my-photos");
    let mysql = mysql(settings);
    assert_eq!(mysql.host, "edx-photos-db.example.us-west-2.rds.amazonaws.com");
    assert_eq!((mysql.user.as_str(), mysql.database.as_str()), ("web_user", "Photos"));
    assert_eq!(mysql.password.as_ref().map(ExposeSecret::expose_secret), Some("a%40b&c@d/e:f#g?h i\"j'k"));
    assert_eq!(settings.session.secret.as_ref().map(ExposeSecret::expose_secret), Some("something11"));
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
fn the_courses_variables_for_sign_in_choose_its_pool() {
    let loaded = course().loaded();
    let Identity::Cognito(cognito) = &loaded.settings.identity else { panic!("{:?}", loaded.settings.identity) };
    assert_eq!(cognito.pool_id, "us-east-1_abc");
    assert_eq!(cognito.client_id, "client");
    assert_eq!(cognito.client_secret.as_ref().map(ExposeSecret::expose_secret), Some("hush-hush-hush-hush"));
    assert_eq!(cognito.domain.as_deref(), Some("https://photos.auth.us-east-1.amazoncognito.com"));
    assert_eq!(cognito.flow, Flow::UserPassword);
    let emulator = course().set("COGNITO_DOMAIN", "http://127.0.0.1:4566").settings();
    let Identity::Cognito(cognito) = emulator.identity else { panic!("{:?}", emulator.identity) };
    assert_eq!(cognito.domain.as_deref(), Some("http://127.0.0.1:4566"));
}

#[test]
fn what_is_risky_is_said() {
    let notices = course().loaded().notices.join("\n");
    assert!(!notices.contains("hush"), "{notices}");
    let short = "session.secret has fewer than 16 characters";
    assert!(notices.contains(short), "{notices}");
    let notices = Place::new().set("FLASK_SECRET", "elevenchars").loaded().notices.join("\n");
    assert!(notices.contains(short), "{notices}");
    assert_eq!(Place::new().loaded().notices, [""; 0]);
    let secret = "need the same session.secret";
    let shared = Place::new().set("DATABASE_HOST", "10.1.3.7");
    assert!(shared.loaded().notices.join("\n").contains(secret), "{:?}", shared.loaded().notices);
    let shared = shared.set("GALLERY__SESSION__SECRET", "0123456789abcdef0123456789abcdef");
    assert!(!shared.loaded().notices.join("\n").contains(secret), "{:?}", shared.loaded().notices);
    let open =
        Place::new().set("GALLERY__IDENTITY__NONE__PUBLIC", "true").set("GALLERY__SERVER__BIND", "0.0.0.0").loaded();
    assert!(open.notices.join("\n").contains("everybody who can reach the port"), "{:?}", open.notices);
}

#[test]
fn under_lambda_only_tmp_is_written_and_logs_are_for_machines() {
    let loaded = course().set("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001").loaded();
    assert_eq!(loaded.settings.data.to_str(), Some("/tmp/photo-gallery"));
    assert_eq!(loaded.settings.log.format, LogFormat::Json);
    assert_eq!(loaded.origin("data"), Some(&Origin::Implied("AWS_LAMBDA_RUNTIME_API")));
    let set = Place::new().set("AWS_LAMBDA_RUNTIME_API", "x").file("data = \"/mnt/photos\"\nlog.format = \"text\"");
    assert_eq!((set.settings().data.to_str(), set.settings().log.format), (Some("/mnt/photos"), LogFormat::Text));
}
