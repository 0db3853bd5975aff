//! A stand-in for a CloudFront distribution: it checks links as the developer guide says that CloudFront does, with OpenSSL, and gets objects
//! from the bucket with rights of its own.

use std::{path::Path, process::Command, sync::Arc};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aws_sdk_s3::Client;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::Utc;
use percent_encoding::percent_decode_str;
use photo_gallery::store::CloudFront;
use tempfile::TempDir;

use crate::aws;

/// By which the distribution knows the key.
pub(crate) const KEY_PAIR_ID: &str = "K2JCJMDEHXQW5F";

/// A distribution that runs until the test ends.
pub(crate) struct Distribution {
    pub(crate) origin: String,
    folder: Arc<TempDir>,
}

/// What answers requests: where the public key lies, and whence objects come.
#[derive(Clone)]
struct Edge {
    origin: String,
    folder: Arc<TempDir>,
    client: Client,
    bucket: String,
}

/// Runs OpenSSL in `folder`.
pub(crate) fn openssl(folder: &Path, arguments: &str) -> bool {
    Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs")
        .status
        .success()
}

/// What stands between the marks of a PEM.
fn base64_of(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

impl Distribution {
    /// In front of `bucket` at `endpoint`, with a key of its own.
    pub(crate) async fn start(endpoint: &str, bucket: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        assert!(openssl(folder.path(), "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem"));
        assert!(openssl(folder.path(), "pkey -in private.pem -pubout -out public.pem"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (client, _) = aws::s3(endpoint, aws::key("test", "test")).await;
        let edge = Edge { origin: origin.clone(), folder: Arc::clone(&folder), client, bucket: bucket.to_owned() };
        let app = move || App::new().app_data(web::Data::new(edge.clone())).default_service(web::to(answer));
        tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        Self { origin, folder }
    }

    /// The private key, in PEM.
    pub(crate) fn private_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("private.pem")).unwrap()
    }

    pub(crate) fn signer(&self) -> CloudFront {
        CloudFront::new(&self.origin, KEY_PAIR_ID.to_owned(), &base64_of(&self.private_key()).into()).unwrap()
    }
}

impl Edge {
    /// The URL without what signs it, when it is signed, by the right key, and not expired.
    fn trusted<'a>(&self, path: &str, query: &'a str) -> Option<(String, Vec<(&'a str, &'a str)>)> {
        let pairs: Vec<(&str, &str)> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let is_ours = |name: &str| ["Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"].contains(&name);
        let ours = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let rest: Vec<(&str, &str)> = pairs.iter().copied().filter(|(name, _)| !is_ours(name)).collect();
        let query: Vec<String> = rest.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let resource = format!("{}{path}?{}", self.origin, query.join("&"));
        let expires: i64 = ours("Expires")?.parse().ok()?;
        let policy = format!(
            "{{\"Statement\":[{{\"Resource\":\"{resource}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{expires}}}}}}}]}}"
        );
        let signature = ours("Signature")?.replace('-', "+").replace('_', "=").replace('~', "/");
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join("policy"), policy).unwrap();
        std::fs::write(work.path().join("signature"), BASE64_STANDARD.decode(signature).ok()?).unwrap();
        let public = self.folder.path().join("public.pem");
        let verifies = format!("dgst -sha256 -verify {} -signature signature policy", public.display());
        let trusted = ours("Key-Pair-Id")? == KEY_PAIR_ID
            && ours("Hash-Algorithm")? == "SHA256"
            && expires > Utc::now().timestamp()
            && openssl(work.path(), &verifies);
        trusted.then_some((path.to_owned(), rest))
    }
}

/// Hands on what the cache policy names, and nothing else of the query.
async fn answer(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    let Some((path, query)) = edge.trusted(request.uri().path(), request.query_string()) else {
        return HttpResponse::Forbidden().finish();
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let named = |wanted: &str| query.iter().find(|(name, _)| *name == wanted).map(|(_, value)| decoded(value));
    let asked = edge.client.get_object().bucket(&edge.bucket).key(decoded(&path[1..]));
    let asked = asked.set_response_content_type(named("response-content-type"));
    let asked = asked.set_response_content_disposition(named("response-content-disposition"));
    let Ok(object) = asked.send().await else { return HttpResponse::Forbidden().finish() };
    let mut answer = HttpResponse::Ok();
    if let Some(kind) = object.content_type() {
        answer.insert_header(("content-type", kind));
    }
    if let Some(disposition) = object.content_disposition() {
        answer.insert_header(("content-disposition", disposition));
    }
    answer.body(object.body.collect().await.unwrap().into_bytes())
}

#[test]
fn a_private_key_that_cannot_sign_for_cloudfront_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let made = |arguments: &str| {
        assert!(openssl(folder.path(), &format!("{arguments} -out key.pem")), "{arguments}");
        base64_of(&std::fs::read_to_string(folder.path().join("key.pem")).unwrap())
    };
    let open = |key: String| CloudFront::new("https://photos.example.org/", KEY_PAIR_ID.to_owned(), &key.into());
    let right = made("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    assert_eq!(open(right).unwrap().origin(), "https://photos.example.org");
    let short = made("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024");
    let curve = made("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for (key, says) in [
        (short, "not one of RSA of 2,048 bits or more"),
        (curve, "not one of RSA of 2,048 bits or more"),
        ("swordfish!".to_owned(), "no Base64"),
    ] {
        let refusal = format!("{:#}", open(key).err().unwrap());
        assert!(refusal.contains(says) && !refusal.contains("swordfish"), "{refusal}");
    }
}

mod with_servers {
    use chrono::Utc;
    use reqwest::StatusCode;

    use super::{Distribution, KEY_PAIR_ID};
    use crate::{
        aws::{REGION, key, s3, server},
        pictures,
        process::{Process, run},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_gallery_behind_a_distribution_sends_browsers_there_and_its_pages_allow_it() {
        let endpoint = server("TEST_SEAWEEDFS");
        let bucket = format!("edge-{}", Utc::now().timestamp_micros());
        s3(&endpoint, key("test", "test")).await.0.create_bucket().bucket(&bucket).send().await.unwrap();
        let edge = Distribution::start(&endpoint, &bucket).await;
        let folder = tempfile::tempdir().unwrap();
        let private_key = edge.private_key();
        let mut environment = vec![
            ("GALLERY__LABELER", "none"),
            ("GALLERY__STORE__S3__BUCKET", bucket.as_str()),
            ("GALLERY__STORE__S3__ENDPOINT", &endpoint),
            ("GALLERY__STORE__S3__CLOUDFRONT__DOMAIN", &edge.origin),
            ("GALLERY__STORE__S3__CLOUDFRONT__KEY_PAIR_ID", KEY_PAIR_ID),
            ("GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY", &private_key),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let gallery = Process::serve(folder.path(), &environment).await;
        let picture = pictures::jpeg(320, 240, 1);
        let photo = gallery.uploaded("a.jpg", "", picture.clone()).await;
        let photo = gallery.settled(photo["id"].as_str().unwrap()).await;
        for rendition in ["thumb", "display", "original"] {
            let link = photo["links"][rendition].as_str().unwrap();
            assert!(link.starts_with(&format!("{}/", edge.origin)), "{link}");
            let (status, bytes) = gallery.fetched(&photo, rendition).await;
            assert_eq!(status, StatusCode::OK, "{link}");
            assert!(rendition != "original" || bytes == picture);
        }
        let page = gallery.client.get(format!("{}/photos", gallery.url)).send().await.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        let pictures_from = format!("img-src 'self' blob: data: {};", edge.origin);
        assert!(policy.contains(&pictures_from) && !policy.contains(&endpoint), "{policy}");
        assert!(!gallery.log().contains("PRIVATE KEY"), "{}", gallery.log());
        assert!(gallery.terminate().await);

        environment.retain(|(name, _)| !name.ends_with("PRIVATE_KEY"));
        environment
            .extend([("GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY", "swordfish"), ("GALLERY__SERVER__PORT", "0")]);
        let output = run(folder.path(), &["serve"], &environment, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY") && !said.contains("swordfish"), "{said}");
    }
}
