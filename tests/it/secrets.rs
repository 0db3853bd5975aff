//! Nothing secret reaches the log, not even of the whole program's most talkative run.

use reqwest::{Method, StatusCode};

use crate::{
    mail::{MailServer, code_in},
    pictures,
    process::{Process, cookies},
    site::PASSWORD,
};

const EMAIL: &str = "ann.marker@example.org";
const CHANGED: &str = "an altogether different password";
const RESET: &str = "yet another password of hers";
const WRONG: &str = "what a guesser would try";

/// SECURITY 37, 97.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_at_trace_level_tells_no_secret() {
    for format in ["text", "json"] {
        let mail = MailServer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let environment = [
            ("GALLERY__LOG__FILTER", "trace"),
            ("GALLERY__LOG__FORMAT", format),
            ("GALLERY__LABELER", "none"),
            ("GALLERY__SESSION__SECRET", "the secret of all secrets, told to nobody"),
            ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", "127.0.0.1"),
            ("GALLERY__IDENTITY__LOCAL__SMTP_PORT", &mail.address.port().to_string()),
            ("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "none"),
            ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@example.org"),
        ];
        let (secrets, log) = run(folder.path(), &environment, &mail).await;
        assert!(
            log.contains("photo_gallery") && log.to_lowercase().contains("trace"),
            "the log is not at trace: {log}"
        );
        for secret in secrets {
            is_untold(&log, &secret);
        }
    }
}

fn is_untold(log: &str, secret: &str) {
    assert!(!secret.is_empty());
    let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
    assert!(told.is_empty(), "`{secret}` is told {} times, first: {}", told.len(), told[0]);
}

/// The values of these cookies.
fn values(cookies: &str) -> Vec<String> {
    cookies.split("; ").filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())).collect()
}

/// All that a person does, and what of it nobody else may know.
async fn run(folder: &std::path::Path, environment: &[(&str, &str)], mail: &MailServer) -> (Vec<String>, String) {
    let server = Process::start(folder, environment).await;
    let mut secrets: Vec<String> =
        [EMAIL, PASSWORD, CHANGED, RESET, WRONG, "signature=", "the secret of all secrets"].map(str::to_owned).to_vec();
    server.sign_up(EMAIL).await;
    server.try_password(EMAIL, WRONG, &[]).await;
    let cookie = server.signed_in(EMAIL).await;
    secrets.extend(values(&cookie));
    let ann = server.visit(&cookie);
    let photo = ann.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
    let id = photo["id"].as_str().unwrap();
    for path in ["/photos", "/account", &format!("/photos/{id}"), "/labels", "/photos?q=dog"] {
        let page = ann.page(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let page = page.text().await.unwrap();
        secrets.extend(
            page.split("name=\"token\" value=\"").skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())),
        );
    }
    for rendition in ["thumb", "display", "original"] {
        let (status, _) = server.fetched(&photo, rendition).await;
        assert_eq!(status, StatusCode::OK);
        let link = photo["links"][rendition].as_str().unwrap();
        secrets.push(link.split_once("signature=").unwrap().1.to_owned());
    }
    let token = secrets.last().cloned().unwrap();
    ann.untold().ask(Method::POST, "/logout").form(&[("token", "wrong")]).send().await.unwrap();
    assert!(!token.is_empty());
    let fields = [("current", PASSWORD), ("new", CHANGED)];
    let changed = ann.post("/account/password", &fields).await;
    let cookie = cookies(&changed);
    assert!(cookie.contains("session="), "{}", changed.status());
    secrets.extend(values(&cookie));
    let nobody = crate::site::Visit::new(&server.url, None);
    let forgot = nobody.post("/forgot", &[("email", EMAIL)]).await;
    let underway = cookies(&forgot);
    assert!(underway.contains("sign-in="), "{}", forgot.status());
    secrets.extend(values(&underway));
    let code = code_in(&mail.nth(EMAIL, 0).await.text);
    let reset =
        server.visit(&underway).post("/reset", &[("email", EMAIL), ("code", code.as_str()), ("password", RESET)]).await;
    assert!(reset.status().is_success() || reset.status().is_redirection(), "{}", reset.status());
    secrets.push(code);
    assert_eq!(server.try_password(EMAIL, RESET, &[]).await.status(), StatusCode::SEE_OTHER);
    let log = server.log();
    assert!(server.terminate().await);
    (secrets, log)
}

mod with_servers {
    use std::collections::HashMap;

    use photo_gallery::settings::Flow;
    use reqwest::{StatusCode, header};
    use secrecy::ExposeSecret;
    use url::Url;

    use super::{CHANGED, RESET, WRONG, is_untold, values};
    use crate::{
        aws,
        cognito::{
            OnMiniStack, Setup,
            hosted::with_servers::{ALL, BEA, GALLERY, filled_in, pool},
        },
        pictures,
        process::{Process, cookies},
        site::{PASSWORD, Visit},
    };

    /// A wrong code: MiniStack's right ones are the same for everybody, and could stand in any number.
    const CODE: &str = "73051984620";

    /// The gallery on this pool, with its photos in a bucket of their own.
    async fn started(folder: &std::path::Path, pool: &OnMiniStack, more: &[(&str, &str)]) -> Process {
        let (ministack, seaweedfs) = (aws::server("TEST_MINISTACK"), aws::server("TEST_SEAWEEDFS"));
        let bucket = format!("secrets-{}", uuid::Uuid::now_v7().simple());
        let (s3, _) = aws::s3(&seaweedfs, aws::key("test", "test")).await;
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let mut environment = vec![
            ("GALLERY__LOG__FILTER", "trace"),
            ("GALLERY__LABELER", "none"),
            ("GALLERY__SESSION__SECRET", "the secret of all secrets, told to nobody"),
            ("GALLERY__STORE__S3__BUCKET", &bucket),
            ("GALLERY__STORE__S3__ENDPOINT", &seaweedfs),
            ("GALLERY__IDENTITY__COGNITO__POOL_ID", &pool.pool),
            ("GALLERY__IDENTITY__COGNITO__CLIENT_ID", &pool.app.id),
            ("GALLERY__IDENTITY__COGNITO__ENDPOINT", &ministack),
            ("AWS_REGION", aws::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        if let Some(secret) = &pool.app.secret {
            environment.push(("GALLERY__IDENTITY__COGNITO__CLIENT_SECRET", secret.expose_secret()));
        }
        Process::start(folder, &[&environment, more].concat()).await
    }

    /// Ends it; nothing of this is in its log, nor anything else that no log may hold.
    async fn told_nothing(server: Process, pool: OnMiniStack, secrets: &[String]) {
        let log = server.log();
        assert!(server.terminate().await);
        assert!(log.contains("photo_gallery") && log.to_lowercase().contains("trace"), "the log is not at trace");
        let hidden = [BEA, PASSWORD, CHANGED, RESET, WRONG, CODE, "the secret of all secrets", "eyJ"];
        let secret = pool.app.secret.as_ref().map(ExposeSecret::expose_secret);
        for secret in hidden.into_iter().chain(secret).chain(secrets.iter().map(String::as_str)) {
            is_untold(&log, secret);
            is_untold(&log, &secret.replace('@', "%40").replace(' ', "+"));
        }
        is_untold(&log.to_lowercase(), "x-amz-signature");
        is_untold(&log, "Signature=");
        pool.gone().await;
    }

    /// Uploads a photo and looks at all there is to see; the signatures of its links.
    async fn lived(server: &Process, cookies: &str) -> Vec<String> {
        let bea = server.visit(cookies);
        let photo = bea.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
        let photo = bea.settled(photo["id"].as_str().unwrap()).await;
        let id = photo["id"].as_str().unwrap();
        for path in ["/photos", "/account", &format!("/photos/{id}"), "/labels", "/photos?q=dog"] {
            assert_eq!(bea.page(path).await.status(), StatusCode::OK, "{path}");
        }
        let mut signatures = Vec::new();
        for rendition in ["thumb", "display", "original"] {
            let link = photo["links"][rendition].as_str().unwrap();
            signatures.push(link.split_once("X-Amz-Signature=").unwrap().1.split('&').next().unwrap().to_owned());
            assert_eq!(server.fetched(&photo, rendition).await.0, StatusCode::OK);
        }
        let archive = bea.page("/account/data").await;
        assert_eq!(archive.status(), StatusCode::OK);
        archive.bytes().await.unwrap();
        signatures
    }

    /// SECURITY 37, 97.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_whole_run_on_a_pool_and_a_bucket_tells_no_secret() {
        for flow in [Flow::UserPassword, Flow::UserSrp] {
            let (name, proof) = match flow {
                Flow::UserPassword => ("user_password", photo_gallery::identity::cognito::Flow::Password),
                Flow::UserSrp => ("user_srp", photo_gallery::identity::cognito::Flow::Srp),
            };
            let pool = OnMiniStack::with(Setup { flow: proof, ..Setup::default() }).await;
            let folder = tempfile::tempdir().unwrap();
            let server = started(folder.path(), &pool, &[("GALLERY__IDENTITY__COGNITO__FLOW", name)]).await;
            let nobody = Visit::new(&server.url, None);
            server.sign_up(BEA).await;
            for (code, status) in [(CODE, StatusCode::UNPROCESSABLE_ENTITY), ("123456", StatusCode::NO_CONTENT)] {
                assert_eq!(nobody.post("/confirm", &[("email", BEA), ("code", code)]).await.status(), status);
            }
            assert_eq!(server.try_password(BEA, WRONG, &[]).await.status(), StatusCode::UNAUTHORIZED);
            let entered = server.signed_in(BEA).await;
            let mut secrets = values(&entered);
            secrets.extend(lived(&server, &entered).await);
            let fields = [("current", PASSWORD), ("new", CHANGED)];
            let changed = cookies(&server.visit(&entered).post("/account/password", &fields).await);
            assert!(changed.contains("session="), "{changed}");
            secrets.extend(values(&changed));
            let forgot = cookies(&nobody.post("/forgot", &[("email", BEA)]).await);
            assert!(forgot.contains("sign-in="), "{forgot}");
            secrets.extend(values(&forgot));
            for (code, status) in [(CODE, StatusCode::UNPROCESSABLE_ENTITY), ("654321", StatusCode::NO_CONTENT)] {
                let fields = [("email", BEA), ("code", code), ("password", RESET)];
                assert_eq!(nobody.post("/reset", &fields).await.status(), status);
            }
            let again = server.try_password(BEA, RESET, &[]).await;
            assert_eq!(again.status(), StatusCode::SEE_OTHER);
            secrets.extend(values(&cookies(&again)));
            server.visit(&cookies(&again)).post("/logout", &[]).await;
            told_nothing(server, pool, &secrets).await;
        }
    }

    /// SECURITY 37, 97.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_whole_run_on_the_pools_own_pages_tells_no_secret() {
        let pool = pool(true, &ALL).await;
        let folder = tempfile::tempdir().unwrap();
        let ministack = aws::server("TEST_MINISTACK");
        let more = [("GALLERY__IDENTITY__COGNITO__DOMAIN", ministack.as_str()), ("BASE_URL", GALLERY)];
        let server = started(folder.path(), &pool, &more).await;
        let away = Visit::new(&server.url, None).page("/login").await;
        let to = away.headers()[header::LOCATION].to_str().unwrap();
        let back = filled_in(to).await;
        let mut secrets = values(&cookies(&away));
        for (url, names) in [(to, &["state", "nonce", "code_challenge"][..]), (&back, &["state", "code"][..])] {
            let query: HashMap<String, String> = Url::parse(url).unwrap().query_pairs().into_owned().collect();
            secrets.extend(names.iter().map(|name| query[*name].clone()));
        }
        let entered = server.visit(&cookies(&away)).page(back.strip_prefix(GALLERY).unwrap()).await;
        assert_eq!(entered.status(), StatusCode::SEE_OTHER);
        secrets.extend(values(&cookies(&entered)));
        secrets.extend(lived(&server, &cookies(&entered)).await);
        server.visit(&cookies(&entered)).post("/logout", &[]).await;
        told_nothing(server, pool, &secrets).await;
    }
}
