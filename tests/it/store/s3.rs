//! What only a bucket can do wrong.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider, timeout::TimeoutConfig},
};
use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _};
use photo_gallery::{
    photo::MediaType,
    store::{Disposition, S3, Store as _},
};

use super::{HOUR, chain, new_path, still};
use crate::aws;

/// An address at which nobody answers.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

/// A server that gives the same answer to every request and closes the connection.
fn server_that_says(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}");
        }
    });
    address
}

async fn bucket_at(endpoint: &str, credentials: Credentials, bucket: &str) -> S3 {
    let (client, provider) = aws::s3(endpoint, credentials).await;
    S3::new(client, provider, bucket.to_owned(), 64, HOUR, Utc::now)
}

async fn refusal(endpoint: &str, credentials: Credentials, bucket: &str) -> String {
    let refusal = chain(&bucket_at(endpoint, credentials, bucket).await.check().await.unwrap_err());
    assert!(refusal.starts_with(&format!("the bucket {bucket} cannot be used for photos: ")), "{refusal}");
    refusal
}

async fn signing_with(provider: SharedCredentialsProvider, clock: super::Clock) -> S3 {
    let (client, _) = aws::s3("http://127.0.0.1:1", aws::key("unused", "unused")).await;
    S3::new(client, provider, "bucket".to_owned(), 64, HOUR, clock)
}

async fn link(store: &S3) -> anyhow::Result<String> {
    store.link(&"photos/a.jpg".parse()?, MediaType::Jpeg, &Disposition::Inline).await
}

/// Credentials of a role that end at this second of the day on which the clocks of [`still`] stand.
fn until(time: &str) -> Credentials {
    let end: chrono::DateTime<Utc> = format!("2026-03-01T{time}Z").parse().unwrap();
    Credentials::new("role", "secret", Some("token".to_owned()), Some(SystemTime::from(end)), "test")
}

#[tokio::test]
async fn a_bucket_that_nobody_answers_for_is_named() {
    let refusal = refusal(&nobody(), aws::key("test", "test"), "my-photos").await;
    assert!(refusal.contains("the bucket my-photos cannot be reached: check the network"), "{refusal}");
}

#[tokio::test]
async fn a_bucket_of_another_region_is_named() {
    for (status, body) in [
        ("301 Moved Permanently", "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"),
        ("301 Moved Permanently", ""),
        (
            "400 Bad Request",
            "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-west-1'</Message></Error>",
        ),
    ] {
        let refusal = refusal(&server_that_says(status, body), aws::key("test", "test"), "my-photos").await;
        assert!(refusal.contains("the bucket my-photos lies in another region: set the region"), "{refusal}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_told_as_such() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let (client, provider) = aws::s3(&endpoint, aws::key("test", "test")).await;
    let impatient = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(100)).build();
    let client = Client::from_conf(client.config().to_builder().timeout_config(impatient).build());
    let store = S3::new(client, provider, "my-photos".to_owned(), 64, HOUR, Utc::now);
    let error = chain(&store.get(&new_path()).await.err().expect("nobody answers"));
    assert!(error.starts_with("the bucket my-photos cannot be reached"), "{error}");
}

#[tokio::test]
async fn an_object_that_breaks_off_ends_in_an_error() {
    let endpoint = server_that_says("200 OK\r\ncontent-length: 100", "half a picture");
    let store = bucket_at(&endpoint, aws::key("test", "test"), "my-photos").await;
    let object = store.get(&new_path()).await.unwrap().unwrap();
    assert_eq!(object.bytes, 100);
    object.content.try_collect::<Vec<_>>().await.unwrap_err();
}

#[tokio::test]
async fn a_link_ends_with_the_credentials_that_signed_it() {
    for (end, life) in [("13:00:00", 3600), ("18:00:00", 3600), ("12:40:00", 2400), ("12:15:30", 930)] {
        let store = signing_with(SharedCredentialsProvider::new(until(end)), still::end_of_window).await;
        let url = link(&store).await.unwrap();
        assert!(url.contains("X-Amz-Date=20260301T120000Z"), "{url}");
        assert!(url.contains(&format!("X-Amz-Expires={life}&")), "{end}: {url}");
    }
    let store = signing_with(SharedCredentialsProvider::new(until("12:14:30")), still::end_of_window).await;
    let refusal = chain(&link(&store).await.unwrap_err());
    assert!(refusal.contains("have expired"), "{refusal}");
}

#[tokio::test]
async fn credentials_about_to_end_are_asked_for_anew_but_not_for_every_link() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    fn moving() -> chrono::DateTime<Utc> {
        still::noon() + Duration::from_secs(SECONDS.load(Ordering::SeqCst))
    }
    let provider = SharedCredentialsProvider::new(provide_credentials_fn(async || {
        let time = ASKED.fetch_add(1, Ordering::SeqCst);
        Ok(until(if time < 2 { "13:00:00" } else { "19:00:00" }))
    }));
    let store = signing_with(provider, moving).await;
    let at = async |seconds| {
        SECONDS.store(seconds, Ordering::SeqCst);
        let url = link(&store).await.unwrap();
        let life = url.split("X-Amz-Expires=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        (ASKED.load(Ordering::SeqCst), life)
    };
    assert_eq!(at(0).await, (1, "3600".to_owned()));
    assert_eq!(at(2699).await, (1, "1800".to_owned()));
    assert_eq!(at(2701).await, (2, "900".to_owned()), "less than a quarter of an hour is left");
    assert_eq!(at(2730).await, (2, "900".to_owned()), "asked a moment ago");
    assert_eq!(at(2732).await.0, 3);
    assert_eq!(at(3600).await, (3, "3600".to_owned()));
}

#[tokio::test]
async fn a_source_of_credentials_that_fails_does_not_stop_links_while_the_last_are_valid() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    fn moving() -> chrono::DateTime<Utc> {
        still::noon() + Duration::from_secs(if ASKED.load(Ordering::SeqCst) == 0 { 0 } else { 3000 })
    }
    fn failing() -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(provide_credentials_fn(async || match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(until("13:00:00")),
            _ => Err(aws_credential_types::provider::error::CredentialsError::not_loaded("the source is down")),
        }))
    }
    let store = signing_with(failing(), moving).await;
    link(&store).await.unwrap();
    assert!(link(&store).await.unwrap().contains("X-Amz-Expires=900&"));
    assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    let refusal = chain(&link(&signing_with(failing(), moving).await).await.unwrap_err());
    assert!(refusal.starts_with("there are no AWS credentials to sign links with"), "{refusal}");
}

#[tokio::test]
async fn on_aws_the_bucket_is_a_host_name() {
    let config = aws::sdk_config(Some("eu-west-1".to_owned()), None, Some(aws::key("test", "test"))).await;
    let provider = config.credentials_provider().unwrap();
    let store = S3::new(Client::new(&config), provider, "bucket".to_owned(), 64, HOUR, Utc::now);
    let url = link(&store).await.unwrap();
    assert!(url.starts_with("https://bucket.s3.eu-west-1.amazonaws.com/photos/a.jpg?"), "{url}");
}

mod with_servers {
    use super::*;
    use crate::store::{BUCKET, Place, put};

    #[tokio::test]
    async fn a_missing_bucket_is_named() {
        for variable in ["TEST_SEAWEEDFS", "TEST_MINISTACK"] {
            let refusal = refusal(&aws::server(variable), aws::key("test", "test"), "no-such-bucket-here").await;
            assert!(refusal.contains("there is no bucket no-such-bucket-here: create it"), "{variable}: {refusal}");
        }
    }

    #[tokio::test]
    async fn a_wrong_secret_is_told_as_such() {
        for variable in ["TEST_SEAWEEDFS", "TEST_MINISTACK"] {
            let Place::Bucket { endpoint, name, key } = Place::bucket(variable).await else { unreachable!() };
            let refusal = refusal(&endpoint, aws::key(key.access_key_id(), "wrong"), &name).await;
            assert!(refusal.contains("the AWS secret access key does not belong to"), "{variable}: {refusal}");
        }
    }

    #[tokio::test]
    async fn an_unknown_key_is_told_as_such() {
        for variable in ["TEST_SEAWEEDFS", "TEST_MINISTACK"] {
            Place::bucket(variable).await;
            let refusal = refusal(&aws::server(variable), aws::key("AKIAUNKNOWN", "wrong"), BUCKET).await;
            assert!(refusal.contains("does not know the AWS access key id"), "{variable}: {refusal}");
        }
    }

    #[tokio::test]
    async fn a_user_without_rights_is_told_which_right_is_missing() {
        let endpoint = aws::server("TEST_MINISTACK");
        Place::bucket("TEST_MINISTACK").await;
        let user = format!("visitor-{}", new_path().as_str().replace(['/', '.'], "-"));
        let key = aws::user(&endpoint, &user, &["s3:ListAllMyBuckets"]).await;

        let told = refusal(&endpoint, key.clone(), BUCKET).await;
        let denied = |action| format!("{action} is denied on arn:aws:s3:::{BUCKET}/renditions/check-");
        assert!(told.contains(&denied("s3:PutObject")), "{told}");

        aws::allow(&endpoint, &user, &["s3:PutObject"]).await;
        let told = refusal(&endpoint, key.clone(), BUCKET).await;
        assert!(told.contains(&denied("s3:GetObject")), "{told}");
        aws::allow(&endpoint, &user, &["s3:PutObject", "s3:GetObject"]).await;
        let told = refusal(&endpoint, key.clone(), BUCKET).await;
        assert!(told.contains(&denied("s3:DeleteObject")), "{told}");
        aws::allow(&endpoint, &user, &["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]).await;
        bucket_at(&endpoint, key, BUCKET).await.check().await.unwrap();
    }

    #[tokio::test]
    async fn an_object_carries_its_type_its_checksum_and_how_long_to_keep_it() {
        for variable in ["TEST_SEAWEEDFS", "TEST_MINISTACK"] {
            let place = Place::bucket(variable).await;
            let endpoint = aws::server(variable);
            let path = new_path();
            put(&*place.store().await, &path, b"a picture").await;
            let (client, _) = aws::s3(&endpoint, aws::key("test", "test")).await;
            let head = client.head_object().bucket(BUCKET).key(path.as_str());
            let head = head.checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled).send().await.unwrap();
            assert_eq!(head.content_type(), Some("image/jpeg"));
            assert_eq!(head.cache_control(), Some("private, max-age=31536000, immutable"));
            let sha256 = "krL6WAKJWDF+QIvYTs+nD17jWxIZkdvCMsSdFmNTcIs=";
            assert_eq!(head.checksum_sha256(), Some(sha256));
        }
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed_and_one_that_is_read_counts() {
    static UNDER_WAY: AtomicU64 = AtomicU64::new(0);
    static MOST: AtomicU64 = AtomicU64::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8192]);
                MOST.fetch_max(UNDER_WAY.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nhe");
                std::thread::sleep(Duration::from_millis(100));
                UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
                let _ = write!(stream, "re");
            });
        }
    });
    let (client, provider) = aws::s3(&address, aws::key("test", "test")).await;
    let store = S3::new(client, provider, "bucket".to_owned(), 2, HOUR, Utc::now);
    let (a, b, c) = (new_path(), new_path(), new_path());
    let read = async |path| super::read(&store, path).await.unwrap();
    let (a, b, c) = tokio::join!(read(&a), read(&b), read(&c));
    assert_eq!((a, b, c), (b"here".to_vec(), b"here".to_vec(), b"here".to_vec()));
    assert_eq!(MOST.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_key_that_is_no_path_is_listed_without_one_and_pages_follow_pages() {
    const FIRST: &str = "<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>\
        <NextContinuationToken>more</NextContinuationToken>\
        <Contents><Key>photos/a+b%2Bc%01.jpg</Key><Size>5</Size><LastModified>2026-03-01T12:00:00.000Z</LastModified></Contents>\
        </ListBucketResult>";
    const LAST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>\
        <Contents><Key>photos/a+b%2Bc.jpg</Key><Size>6</Size><LastModified>2026-03-01T12:00:00.000Z</LastModified></Contents>\
        </ListBucketResult>";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8192];
            let read = stream.read(&mut request).unwrap();
            let more = String::from_utf8_lossy(&request[..read]).contains("continuation-token=more");
            let body = if more { LAST } else { FIRST };
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    let (client, provider) = aws::s3(&address, aws::key("test", "test")).await;
    let store = S3::new(client, provider, "bucket".to_owned(), 2, HOUR, Utc::now);
    let listed: Vec<_> = store.list().take(2).try_collect().await.unwrap();
    let paths: Vec<_> = listed.iter().map(|object| object.path.as_ref().map(ToString::to_string)).collect();
    assert_eq!(paths, [None, Some("photos/a b+c.jpg".to_owned())]);
    assert_eq!(listed[0].modified, "2026-03-01T12:00:00Z".parse::<chrono::DateTime<Utc>>().unwrap());
}

#[tokio::test]
async fn a_bucket_that_may_not_be_listed_is_told_with_the_right_that_is_missing() {
    let address = server_that_says("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    let (client, provider) = aws::s3(&address, aws::key("test", "test")).await;
    let store = S3::new(client, provider, "my-photos".to_owned(), 2, HOUR, Utc::now);
    let error = store.list().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(chain(&error).starts_with("s3:ListBucket is denied on arn:aws:s3:::my-photos/photos/"), "{error:#}");
}
