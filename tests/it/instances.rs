//! Two processes on one database and one bucket are one gallery.

mod with_servers {
    use std::time::Duration;

    use futures_util::future::join_all;
    use reqwest::{StatusCode, header};
    use tempfile::TempDir;

    use crate::{
        aws,
        mariadb::Database,
        pictures,
        process::{Process, cookies},
        site::PASSWORD,
    };

    const OWN: &str = "it_web_user";
    const OWN_PASSWORD: &str = "it password";

    /// Two instances.
    struct Pair {
        one: Process,
        two: Process,
        database: Database,
        _folders: [TempDir; 2],
    }

    impl Pair {
        async fn new() -> Self {
            let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
            let user = format!("{OWN}_{}", database.name.rsplit('_').next().unwrap());
            database.migrate(&user, OWN_PASSWORD);
            let bucket = format!("instances-{}", chrono::Utc::now().timestamp_micros());
            let (s3, _) = aws::s3(&aws::server("TEST_SEAWEEDFS"), aws::key("test", "test")).await;
            s3.create_bucket().bucket(&bucket).send().await.unwrap();
            let mut environment = database.gallery(&user, OWN_PASSWORD);
            environment.extend([
                ("GALLERY__LABELER", "none".to_owned()),
                ("GALLERY__SESSION__SECRET", "the same secret on both instances".to_owned()),
                ("GALLERY__STORE__S3__BUCKET", bucket),
                ("GALLERY__STORE__S3__ENDPOINT", aws::server("TEST_SEAWEEDFS")),
                ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
                ("AWS_REGION", aws::REGION.to_owned()),
            ]);
            let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let one = Process::start(folders[0].path(), &environment).await;
            let two = Process::start(folders[1].path(), &environment).await;
            Self { one, two, database, _folders: folders }
        }

        async fn gone(self) {
            assert!(self.one.terminate().await && self.two.terminate().await);
            self.database.gone().await;
        }
    }

    async fn status(process: &Process, cookies: &str) -> StatusCode {
        process.visit(cookies).page("/photos").await.status()
    }

    /// SECURITY 36, 40.
    #[tokio::test(flavor = "multi_thread")]
    async fn signed_out_on_one_instance_is_signed_out_on_the_other() {
        let pair = Pair::new().await;
        pair.one.sign_up("ann@example.org").await;
        let (here, there) = (pair.one.signed_in("ann@example.org").await, pair.two.signed_in("ann@example.org").await);
        for process in [&pair.one, &pair.two] {
            assert_eq!(status(process, &here).await, StatusCode::OK);
            assert_eq!(status(process, &there).await, StatusCode::OK);
        }
        let out = pair.two.visit(&here).post("/logout", &[]).await;
        assert!(out.status().is_success() || out.status().is_redirection(), "{}", out.status());
        for process in [&pair.one, &pair.two] {
            assert_eq!(status(process, &here).await, StatusCode::SEE_OTHER);
            assert_eq!(status(process, &there).await, StatusCode::OK);
        }
        let third = pair.one.signed_in("ann@example.org").await;
        let fields = [("current", PASSWORD), ("new", "another password altogether")];
        let changed = pair.one.visit(&third).post("/account/password", &fields).await;
        let renewed = cookies(&changed);
        assert!(renewed.contains("session="), "{} {}", changed.status(), changed.text().await.unwrap());
        for process in [&pair.one, &pair.two] {
            assert_eq!(status(process, &there).await, StatusCode::SEE_OTHER);
            assert_eq!(status(process, &third).await, StatusCode::SEE_OTHER);
            assert_eq!(status(process, &renewed).await, StatusCode::OK);
        }
        pair.gone().await;
    }

    /// SECURITY 28, 29, 31.
    #[tokio::test(flavor = "multi_thread")]
    async fn guessing_is_limited_on_both_instances_together_and_the_true_user_gets_in() {
        let pair = Pair::new().await;
        pair.one.sign_up("ann@example.org").await;
        let known = pair.two.signed_in("ann@example.org").await;
        let device = known.split("; ").find(|cookie| cookie.starts_with("device=")).unwrap().to_owned();
        let mut let_through = 0;
        for number in 0..20 {
            let process = if number % 2 == 0 { &pair.one } else { &pair.two };
            let forwarded = format!("198.51.100.{number}");
            let headers =
                [("x-forwarded-for", forwarded.as_str()), ("x-real-ip", &forwarded), ("forwarded", "for=192.0.2.60")];
            let answer = process.try_password("ann@example.org", "wrong", &headers).await;
            match answer.status() {
                StatusCode::UNAUTHORIZED => let_through += 1,
                StatusCode::TOO_MANY_REQUESTS => {
                    let wait = answer.headers().get(header::RETRY_AFTER).expect("Retry-After").to_str().unwrap();
                    assert!((1..=30).contains(&wait.parse::<u64>().unwrap()), "{wait}");
                }
                status => panic!("{status}"),
            }
        }
        assert_eq!(let_through, 10);
        let right = pair.one.try_password("ann@example.org", PASSWORD, &[]).await;
        assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS, "a right guess is not told from a wrong one");
        let own = pair.one.try_password("ann@example.org", PASSWORD, &[("cookie", &device)]).await;
        assert_eq!(own.status(), StatusCode::SEE_OTHER, "her own browser gets in");
        let mut names = 0;
        for number in 0..50 {
            let process = if number % 2 == 0 { &pair.one } else { &pair.two };
            let answer = process.try_password(&format!("user{number}@example.org"), "wrong", &[]).await;
            names += usize::from(answer.status() == StatusCode::UNAUTHORIZED);
        }
        assert!((20..=23).contains(&names), "30 from one address, 10 of them for ann; one more each 10 s: {names}");
        let own = pair.two.try_password("ann@example.org", PASSWORD, &[("cookie", &device)]).await;
        assert_eq!(own.status(), StatusCode::SEE_OTHER, "her own browser gets in, whatever its address has done");
        pair.gone().await;
    }

    /// SECURITY 17.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_users_in_two_hundred_requests_each_see_their_own_alone() {
        let pair = Pair::new().await;
        let mut users = Vec::new();
        for (name, marker) in [("ann", "zebra"), ("bob", "walrus")] {
            let email = format!("{name}@example.org");
            pair.one.sign_up(&email).await;
            let visit = pair.two.visit(&pair.two.signed_in(&email).await);
            let photo = visit.uploaded(&format!("{marker}.jpg"), pictures::jpeg(40, 30, 1)).await;
            let id = photo["id"].as_str().unwrap().to_owned();
            visit.post(&format!("/photos/{id}/description"), &[("description", marker)]).await;
            users.push((visit.cookie.clone().unwrap(), marker, email, id));
        }
        let mut asking = Vec::new();
        for number in 0..400 {
            let (user, other) = (&users[number % 2], &users[(number + 1) % 2]);
            let process = if number / 2 % 2 == 0 { &pair.one } else { &pair.two };
            let paths = [
                "/photos".to_owned(),
                format!("/photos/{}", user.3),
                "/account".to_owned(),
                format!("/photos?q={}", user.1),
            ];
            let path = paths[number / 4 % 4].clone();
            let visit = process.visit(&user.0);
            asking.push(async move {
                let answer = visit.page(&path).await;
                assert_eq!(answer.status(), StatusCode::OK, "{path}");
                assert!(!answer.headers().contains_key(header::SET_COOKIE), "{path}");
                let body = answer.text().await.unwrap();
                let own = if path == "/account" { &user.2 } else { user.1 };
                assert!(body.contains(own), "{path}: nothing of {own}");
                for foreign in [other.1, &other.2, &other.3] {
                    assert!(!body.contains(foreign), "{path} of {own} tells of {foreign}");
                }
            });
        }
        tokio::time::timeout(Duration::from_mins(2), join_all(asking)).await.unwrap();
        pair.gone().await;
    }
}
