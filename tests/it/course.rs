//! The deployment of the course: its variables alone, its table, its bucket; MariaDB, SeaweedFS and moto stand in for RDS, S3 and Rekognition.

mod with_servers {
    use std::time::Duration;

    use aws_sdk_s3::{Client, primitives::ByteStream};
    use chrono::Utc;
    use image::ImageFormat;
    use reqwest::StatusCode;
    use serde_json::Value;
    use sqlx::Row as _;

    use crate::{aws, mariadb::Database, pictures, process::Process, process::run};

    const PASSWORD: &str = "50%&m@ster/web?#'\"\\";
    /// As the course's MySQL chose it.
    const LATIN1: &str = "CHARACTER SET latin1";
    const TABLE: &str = "CREATE TABLE photo (object_key NVARCHAR(80) NOT NULL, labels NVARCHAR(200), description NVARCHAR(200), \
         cognito_username NVARCHAR(150), created_datetime DATETIME DEFAULT now(), CONSTRAINT object_key_pk PRIMARY KEY (object_key))";

    /// A database, a bucket, and an account of its own for the web server.
    struct Deployment {
        database: Database,
        user: String,
        bucket: String,
        s3: Client,
    }

    impl Deployment {
        async fn new() -> Self {
            let database = Database::new(LATIN1).await;
            let (user, bucket) =
                (database.name.replace("gallery", "web_user"), format!("course-{}", Utc::now().timestamp_micros()));
            let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
            s3.create_bucket().bucket(&bucket).send().await.unwrap();
            Self { database, user, bucket, s3 }
        }

        /// The course's variables, and where the stand-ins are.
        fn environment(&self) -> Vec<(&'static str, String)> {
            vec![
                ("PHOTOS_BUCKET", self.bucket.clone()),
                ("FLASK_SECRET", "elevenchars".to_owned()),
                ("DATABASE_HOST", self.database.host.clone()),
                ("DATABASE_USER", self.user.clone()),
                ("DATABASE_PASSWORD", PASSWORD.to_owned()),
                ("DATABASE_DB_NAME", self.database.name.clone()),
                ("AWS_DEFAULT_REGION", aws::REGION.to_owned()),
                ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
                ("GALLERY__SERVER__BIND", "127.0.0.1".to_owned()),
                ("GALLERY__IDENTITY", "none".to_owned()),
                ("GALLERY__CATALOG__MYSQL__PORT", self.database.port.to_string()),
                ("GALLERY__STORE__S3__ENDPOINT", aws::server("TEST_SEAWEEDFS")),
                ("GALLERY__LABELER__REKOGNITION__ENDPOINT", aws::server("TEST_MOTO")),
            ]
        }

        /// Runs `photo-gallery migrate` as the operator does, with root's empty password.
        fn migrate(&self) {
            let folder = tempfile::tempdir().unwrap();
            let environment = self.environment();
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let output = run(folder.path(), &["migrate", "--admin", "root", "--password-stdin"], &environment, "\n");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(!said.contains(PASSWORD), "{said}");
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(told.contains(&self.user) && told.lines().count() == 1, "{told}");
        }

        async fn serve(&self, folder: &tempfile::TempDir) -> Process {
            let environment = self.environment();
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Process::serve(folder.path(), &environment).await
        }

        /// The bucket's objects, by key.
        async fn objects(&self) -> Vec<String> {
            let listed = self.s3.list_objects_v2().bucket(&self.bucket).send().await.unwrap();
            listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
        }

        async fn put(&self, key: &str, bytes: Vec<u8>) {
            self.s3.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes)).send().await.unwrap();
        }

        /// The course's columns of a row.
        async fn course_row(&self, key: &str) -> [Option<String>; 5] {
            let question = format!(
                "SELECT CAST(object_key AS CHAR), CAST(labels AS CHAR), CAST(description AS CHAR), \
                 CAST(cognito_username AS CHAR), DATE_FORMAT(created_datetime, '%Y-%m-%d %H:%i:%s') \
                 FROM photo WHERE object_key = '{key}'"
            );
            let rows = self.database.rows(&question).await;
            std::array::from_fn(|column| rows[0].get(column))
        }

        async fn gone(self) {
            self.database.run(&format!("DROP USER '{}'@'%'", self.user)).await;
            self.database.gone().await;
        }
    }

    fn png(seed: u32) -> Vec<u8> {
        pictures::encoded(ImageFormat::Png, 300, 300, seed)
    }

    fn names(photo: &Value) -> Vec<&str> {
        photo["labels"].as_array().unwrap().iter().filter_map(|label| label["name"].as_str()).collect()
    }

    /// The photo that came from the course's object `name`, once it says how large it is or why not.
    async fn adopted(server: &Process, name: &str, within: Duration) -> Value {
        let began = std::time::Instant::now();
        loop {
            let photos = server.all().await;
            let found = photos.into_iter().find(|photo| photo["file_name"].as_str().unwrap().contains(name));
            match found {
                Some(photo) if photo["state"] == "labelled" || photo["state"] == "failed" => return photo,
                last => assert!(began.elapsed() < within, "{name}: {last:?} {}", server.log()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_courses_variables_alone_start_the_server() {
        let deployment = Deployment::new().await;
        deployment.migrate();
        deployment.migrate();
        let grants: Vec<String> = deployment
            .database
            .rows(&format!("SHOW GRANTS FOR '{}'@'%'", deployment.user))
            .await
            .iter()
            .map(|row| row.get(0))
            .collect();
        let [usage, four] = grants.as_slice() else { panic!("{grants:?}") };
        assert!(usage.starts_with("GRANT USAGE ON *.* TO"), "{usage}");
        let place = deployment.database.name.replace('_', "\\_");
        assert!(four.starts_with(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON `{place}`.* TO")), "{four}");

        let folder = tempfile::tempdir().unwrap();
        let server = deployment.serve(&folder).await;
        let description = "Mein Handy 📱🏔";
        let bytes = pictures::jpeg(1600, 1200, 7);
        let photo = server.uploaded("handy.jpg", description, bytes.clone()).await;
        let photo = server.settled(photo["id"].as_str().unwrap()).await;
        assert_eq!((&photo["state"], &photo["description"]), (&"labelled".into(), &description.into()), "{photo}");
        assert!(names(&photo).contains(&"Mobile Phone"), "{photo}");

        let found =
            "SELECT CAST(object_key AS CHAR), CAST(description AS CHAR) FROM photo WHERE labels LIKE '%Mobile Phone%'";
        let found = deployment.database.rows(found).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].get::<String, _>(1), description);
        for path in ["/photos?q=handy", "/photos?label=Mobile%20Phone", "/photos?q=phones"] {
            let (_, listing) = server.json(path).await;
            assert_eq!(listing["photos"][0]["id"], photo["id"], "{path}");
        }

        let seaweedfs = aws::server("TEST_SEAWEEDFS");
        for rendition in ["original", "display", "thumb"] {
            assert!(photo["links"][rendition].as_str().unwrap().starts_with(&seaweedfs), "{photo}");
            let (status, fetched) = server.fetched(&photo, rendition).await;
            assert_eq!(status, StatusCode::OK);
            assert!(fetched.starts_with(&[0xff, 0xd8]) && (rendition != "original" || fetched == bytes));
        }
        let page =
            server.client.get(format!("{}/photos", server.url)).header("accept", "text/html").send().await.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let pictures_from = policy.split("; ").find(|part| part.starts_with("img-src ")).unwrap();
        assert!(pictures_from.split(' ').any(|origin| origin == seaweedfs), "{policy}");
        assert!(page.text().await.unwrap().contains(&format!("{seaweedfs}/{}/", deployment.bucket)));

        assert_eq!(deployment.objects().await.len(), 3);
        let delete = format!("{}/photos/{}/delete", server.url, photo["id"].as_str().unwrap());
        let answer = server.client.post(delete).header("accept", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert!(deployment.objects().await.is_empty());
        assert!(server.all().await.is_empty());
        assert!(!server.log().contains(PASSWORD));
        assert!(server.terminate().await);
        deployment.gone().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_courses_photos_appear_and_its_app_may_go_on() {
        let deployment = Deployment::new().await;
        let long: String = (0..).map(|n| format!("Label{n:02}, ")).take(30).collect::<String>()[..200].to_owned();
        deployment.database.run(TABLE).await;
        deployment
            .database
            .run(&format!(
                "INSERT INTO photo (object_key, labels, description, cognito_username, created_datetime) VALUES \
                 ('photos/0000000000000001.png', 'Toy, Teddy Bear, Person', 'Zoë at home', NULL, '2018-05-06 07:08:09'), \
                 ('photos/0000000000000002.png', '{long}', '', NULL, '2018-05-07 01:02:03'), \
                 ('photos/0000000000000003.png', 'Cat', 'gone', NULL, '2018-05-08 01:02:03'), \
                 ('photos/0000000000000004.png', 'Dog, Pet', 'Ann''s dog', 'ann', '2018-05-09 01:02:03')"
            ))
            .await;
        for n in [1, 2, 4] {
            deployment.put(&format!("photos/000000000000000{n}.png"), png(n)).await;
        }
        let anns = "photos/0000000000000004.png";
        let before = deployment.course_row(anns).await;
        deployment.migrate();

        let folder = tempfile::tempdir().unwrap();
        let server = deployment.serve(&folder).await;
        let soon = Duration::from_secs(15);
        let toy = adopted(&server, "0000000000000001", soon).await;
        assert_eq!(toy["state"], "labelled", "{toy}");
        assert_eq!((&toy["description"], &toy["width"]), (&"Zoë at home".into(), &300.into()));
        assert!(toy["created_at"].as_str().unwrap().starts_with("2018-05-06T07:08:09"), "{toy}");
        let mut found = names(&toy);
        found.sort_unstable();
        assert_eq!(found, ["Person", "Teddy Bear", "Toy"]);
        assert_eq!(server.fetched(&toy, "original").await, (StatusCode::OK, png(1)));
        for rendition in ["display", "thumb"] {
            let (status, bytes) = server.fetched(&toy, rendition).await;
            assert!(status == StatusCode::OK && bytes.starts_with(&[0xff, 0xd8]), "{toy}");
        }
        let many = adopted(&server, "0000000000000002", soon).await;
        assert_eq!(many["state"], "labelled", "{many}");
        assert_eq!(names(&many).len(), long.split(", ").count());
        let lost = adopted(&server, "0000000000000003", soon).await;
        assert_eq!((&lost["state"], &lost["description"]), (&"failed".into(), &"gone".into()));
        assert_eq!(lost["problem"], "The photo's file is missing in the store.");
        let html = server
            .client
            .get(format!("{}/photos/{}", server.url, lost["id"].as_str().unwrap()))
            .header("accept", "text/html")
            .send()
            .await
            .unwrap();
        assert_eq!(html.status(), StatusCode::OK);
        assert!(html.text().await.unwrap().contains("file is missing in the store"));

        let photos = server.all().await;
        let order: Vec<_> = photos.iter().map(|photo| &photo["id"]).collect();
        assert_eq!(order, [&lost["id"], &many["id"], &toy["id"]]);
        assert_eq!(deployment.course_row(anns).await, before);
        for path in ["/photos?label=Toy", "/photos?q=teddy%20bears", "/photos?q=zoe"] {
            let (_, listing) = server.json(path).await;
            assert_eq!(listing["photos"][0]["id"], toy["id"], "{path}");
        }

        deployment.put("photos/00000000000000ff.png", png(9)).await;
        deployment
            .database
            .run("INSERT INTO photo (object_key, labels, description) VALUES ('photos/00000000000000ff.png', 'Car', 'later')")
            .await;
        let later = adopted(&server, "00000000000000ff", soon).await;
        assert_eq!((names(&later), &later["state"]), (vec!["Car"], &"labelled".into()));
        let rows = deployment.database.rows("SELECT COUNT(*) FROM photo WHERE id IS NOT NULL").await;
        assert_eq!(rows[0].get::<i64, _>(0), 5);
        assert!(server.terminate().await);
        deployment.gone().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_servers_on_one_database_and_bucket_are_one_gallery() {
        let deployment = Deployment::new().await;
        deployment.migrate();
        let (one_folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = tokio::join!(deployment.serve(&one_folder), deployment.serve(&other_folder));
        let mut ids = Vec::new();
        for seed in 0..8 {
            let (here, there) = if seed % 2 == 0 { (&one, &other) } else { (&other, &one) };
            let photo = here.uploaded("a.jpg", "", pictures::jpeg(400, 300, seed)).await;
            let id = photo["id"].as_str().unwrap().to_owned();
            let (status, seen) = there.json(&format!("/photos/{id}")).await;
            assert_eq!((status, &seen["sha256"]), (StatusCode::OK, &photo["sha256"]));
            ids.push(id);
        }
        let (twin, again) = tokio::join!(
            one.try_upload("twin.jpg", "", pictures::jpeg(400, 300, 100)),
            other.try_upload("twin.jpg", "", pictures::jpeg(400, 300, 100)),
        );
        let (twin, again) = (twin.unwrap(), again.unwrap());
        assert_eq!(twin.1["photo"]["id"], again.1["photo"]["id"]);
        assert_eq!(twin.0.as_u16() + again.0.as_u16(), 401);
        ids.push(twin.1["photo"]["id"].as_str().unwrap().to_owned());
        for id in &ids {
            let (here, there) = tokio::join!(one.settled(id), other.settled(id));
            assert_eq!((&here["state"], &here["labels"]), (&"labelled".into(), &there["labels"]));
        }
        let tries = deployment.database.rows("SELECT COUNT(*), SUM(attempts = 1) = COUNT(*) FROM photo").await;
        assert_eq!((tries[0].get::<i64, _>(0), tries[0].get::<i64, _>(1)), (9, 1));
        let (_, labels) = one.json("/labels").await;
        assert_eq!(labels, other.json("/labels").await.1);
        assert!(labels["labels"].as_array().unwrap().iter().all(|label| label["photos"] == 9), "{labels}");
        assert_eq!(deployment.objects().await.len(), 27);
        assert!(one.terminate().await);
        let (status, _) = other.json(&format!("/photos/{}", ids[0])).await;
        assert_eq!(status, StatusCode::OK);
        assert!(other.terminate().await);
        deployment.gone().await;
    }
}
