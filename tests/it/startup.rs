//! What the program says when it cannot start: one line, naming the setting and what to do, and no secret.

use std::path::Path;

use photo_gallery::{
    accounts::Client,
    app::App,
    settings::{Labeler, Settings},
};

use crate::process::run;

/// What no line may hold: it is the secret that the settings of these tests give.
const SECRET: &str = "s3cr3t-of-ours";

/// Runs `serve` with settings that cannot work: it must leave with `code` and one line that holds all of `says`.
fn refuses(folder: &Path, environment: &[(&str, &str)], code: i32, says: &[&str]) {
    let output = run(folder, &["serve"], environment, "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("photo-gallery: "), "{said}");
    for part in says {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    assert!(!said.contains(SECRET) && !said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn unusable_settings_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = |variable, value, says: &[&str]| refuses(folder.path(), &[(variable, value)], 78, says);
    refuses("GALLERY__SERVER__PROT", "1", &["GALLERY__SERVER__PROT", "did you mean GALLERY__SERVER__PORT?"]);
    refuses("GALLERY__SERVER__PORT", "http", &["server.port", "a whole number from 0 to 65535"]);
    refuses("GALLERY__CATALOG", "mysql", &["catalog.mysql.host is not set", "DATABASE_HOST"]);
    refuses("GALLERY__STORE", "s3", &["store.s3.bucket is not set", "PHOTOS_BUCKET"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let says = [format!("127.0.0.1:{port}"), "set `server.port` to a free port".to_owned()];
    refuses(folder.path(), &[("GALLERY__SERVER__PORT", &port)], 1, &says.each_ref().map(String::as_str));
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    for data in [file.clone(), file.join("data")] {
        let says = [data.display().to_string(), "set `data` to a folder that can be written".to_owned()];
        let environment = [("GALLERY__DATA", data.to_str().unwrap()), ("GALLERY__SERVER__PORT", "0")];
        refuses(folder.path(), &environment, 1, &says.each_ref().map(String::as_str));
    }
}

#[test]
fn a_catalog_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/catalog.db"), "a text of some length ".repeat(500)).unwrap();
    let says = ["`data`", "catalog.db is not a SQLite database"];
    refuses(folder.path(), &[("GALLERY__SERVER__PORT", "0")], 1, &says);
}

#[tokio::test]
async fn who_serves_other_machines_before_there_is_an_account_is_warned() {
    for (bind, warned) in [("127.0.0.1", false), ("192.0.2.1", true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { labeler: Labeler::None, ..Settings::default() };
        settings.data = folder.path().join("data");
        settings.server.bind = bind.parse().unwrap();
        let app = Box::pin(App::open(settings)).await.unwrap();
        let notice = app.exposure().await.unwrap();
        assert_eq!(notice.is_some_and(|notice| notice.contains("whoever signs up first")), warned, "{bind}");
        let client =
            Client { address: "192.0.2.7".parse().unwrap(), agent: String::new(), device: None, sign_in: None };
        app.accounts().sign_up(&client, &crate::identity::newcomer("ann@example.org")).await.unwrap();
        assert_eq!(app.exposure().await.unwrap(), None);
        app.close().await;
    }
}

mod with_servers {
    use aws_sdk_s3::config::Credentials;
    use chrono::Utc;

    use super::{SECRET, refuses};
    use crate::{
        aws,
        mariadb::{Database, place},
        process::run,
    };

    fn refuses_database(database: &Database, changes: &[(&str, &str)], says: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let own = database.gallery("root", "");
        let mut environment: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.retain(|(_, value)| !value.is_empty());
        environment.extend([("GALLERY__SERVER__PORT", "0"), ("GALLERY__SESSION__SECRET", "one for all instances")]);
        environment.extend(changes);
        refuses(folder.path(), &environment, 1, says);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_cannot_be_used_is_named_with_the_settings_to_check() {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let (_, port) = place();
        let at = format!("127.0.0.1:{port}");
        let check = "check `catalog.mysql.host`";
        let password = [("GALLERY__CATALOG__MYSQL__PASSWORD", SECRET)];
        refuses_database(&database, &password, &[check, &at, "refuses user `root` with this password"]);
        let nowhere = [("GALLERY__CATALOG__MYSQL__DATABASE", "nowhere")];
        refuses_database(&database, &nowhere, &[check, "there is no database `nowhere`", "`photo-gallery migrate`"]);
        database.gone().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_of_another_version_asks_for_migrate() {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        refuses_database(&database, &[], &["no tables of the gallery yet", "run `photo-gallery migrate`"]);
        database.migrate("root", "");
        database.run("DELETE FROM _sqlx_migrations WHERE version = 5; DROP TABLE discarded_object").await;
        refuses_database(&database, &[], &["older version (1 steps behind)", "run `photo-gallery migrate`"]);
        database.gone().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn migrate_says_what_it_needs() {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let folder = tempfile::tempdir().unwrap();
        let own = database.gallery("web_user", SECRET);
        let mut environment: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.push(("GALLERY__SESSION__SECRET", "one for all instances"));
        for (arguments, input, says) in [
            (["migrate"].as_slice(), "", "give --admin NAME"),
            (&["migrate", "--admin", "root"], "", "give --password-stdin"),
            (&["migrate", "--admin", "root", "--password-stdin"], "wrong", "refuses user `root` with this password"),
        ] {
            let output = run(folder.path(), arguments, &environment, input);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.lines().count() == 1 && said.contains(says) && !said.contains(SECRET), "{said}");
        }
        database.gone().await;
    }

    fn refuses_bucket(endpoint: &str, bucket: &str, key: Option<&Credentials>, says: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = vec![
            ("GALLERY__SERVER__PORT", "0"),
            ("GALLERY__STORE__S3__BUCKET", bucket),
            ("GALLERY__STORE__S3__ENDPOINT", endpoint),
            ("AWS_REGION", aws::REGION),
        ];
        if let Some(key) = key {
            environment.push(("AWS_ACCESS_KEY_ID", key.access_key_id()));
            environment.push(("AWS_SECRET_ACCESS_KEY", key.secret_access_key()));
        }
        refuses(folder.path(), &environment, 1, &[&["check `store.s3.*` and `aws.*`"], says].concat());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_that_cannot_be_used_is_named_with_the_settings_to_check() {
        let seaweedfs = aws::server("TEST_SEAWEEDFS");
        let key = aws::key("test", "test");
        refuses_bucket(&seaweedfs, "not-there", Some(&key), &["there is no bucket not-there"]);
        let wrong = aws::key("test", SECRET);
        refuses_bucket(&seaweedfs, "not-there", Some(&wrong), &["the AWS secret access key does not belong"]);
        let unknown = aws::key("nobody", SECRET);
        refuses_bucket(&seaweedfs, "not-there", Some(&unknown), &["does not know the AWS access key id"]);
        refuses_bucket(&seaweedfs, "not-there", None, &["no AWS credentials", "give the machine a role"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_that_may_not_be_used_names_the_missing_right() {
        let ministack = aws::server("TEST_MINISTACK");
        let bucket = format!("forbidden-{}", Utc::now().timestamp_micros());
        let (root, _) = aws::s3(&ministack, aws::key("test", "test")).await;
        root.create_bucket().bucket(&bucket).send().await.unwrap();
        let reader = aws::user(&ministack, &format!("reader-{bucket}"), &["s3:GetObject", "s3:ListBucket"]).await;
        refuses_bucket(&ministack, &bucket, Some(&reader), &["s3:PutObject is denied on", &bucket]);
    }

    #[test]
    fn a_region_that_nothing_says_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("GALLERY__SERVER__PORT", "0"), ("GALLERY__STORE__S3__BUCKET", "photos-without-region")];
        refuses(folder.path(), &environment, 1, &["set `aws.region` or AWS_REGION"]);
    }
}
