//! What browsers are given to keep, and what it is good for.

use std::{collections::BTreeSet, time::Duration};

use photo_gallery::{
    pages::{Access, ROUTES},
    settings::{Identity, Settings, SmtpTls},
};
use reqwest::{Method, StatusCode, header};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Row as _, ValueRef as _, sqlite::SqliteConnectOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    pictures,
    process::cookies,
    site::{ANN, PASSWORD, Site, Visit},
};

const ENTRY: [(&str, &str); 2] = [("email", ANN), ("password", PASSWORD)];

/// Whether somebody is signed in with these cookies; never an error.
async fn is_known(site: &Site, cookies: &str) -> bool {
    let answer = Visit::new(&site.url, Some(cookies)).page("/photos").await;
    match answer.status() {
        StatusCode::OK => true,
        StatusCode::SEE_OTHER => false,
        status => panic!("{status} for {cookies}"),
    }
}

/// SECURITY 38.
#[tokio::test]
async fn cookies_are_for_this_site_alone_and_out_of_reach_of_scripts() {
    let mailing = |settings: &mut Settings| {
        let Identity::Local(local) = &mut settings.identity else { panic!("the default") };
        // Nobody listens there: the page does not wait for the mail.
        (local.smtp_host, local.smtp_port) = (Some("127.0.0.1".to_owned()), Some(9));
        (local.smtp_tls, local.mail_from) = (SmtpTls::None, Some("photos@example.org".to_owned()));
    };
    let https = |settings: &mut Settings| {
        mailing(settings);
        settings.server.base_url = Some("https://photos.example.org".to_owned());
    };
    for (site, prefix) in [(Site::with(mailing).await, ""), (Site::with(https).await, "__Host-")] {
        let nobody = site.nobody();
        let mut set = Vec::new();
        for answer in [
            nobody.page("/login").await,
            nobody.post("/login", &ENTRY).await,
            nobody.ask(Method::POST, "/forgot").form(&[("email", ANN)]).send().await.unwrap(),
            nobody.post("/logout", &[]).await,
        ] {
            set.extend(answer.headers().get_all(header::SET_COOKIE).iter().map(|c| c.to_str().unwrap().to_owned()));
        }
        let names: BTreeSet<&str> = set.iter().map(|cookie| cookie.split('=').next().unwrap()).collect();
        assert!(names.contains(format!("{prefix}session").as_str()), "{names:?}");
        assert!(names.contains(format!("{prefix}device").as_str()), "{names:?}");
        let sign_in = format!("{prefix}sign-in=");
        assert!(set.iter().any(|cookie| cookie.starts_with(&sign_in) && !cookie.contains("Max-Age=0")), "{set:?}");
        for cookie in &set {
            let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
            for wanted in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(&wanted), "{cookie}");
            }
            assert!(cookie.starts_with(prefix) && cookie.len() < 4096, "{cookie}");
            assert_eq!(attributes.contains(&"Secure"), !prefix.is_empty(), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }
}

/// SECURITY 39.
#[tokio::test]
async fn a_cookie_set_before_signing_in_is_replaced_and_good_for_nothing() {
    let site = Site::new().await;
    let before = site.cookie.clone().unwrap();
    let planted = format!("session={}", "A".repeat(43));
    for old in [before, planted] {
        let entered = Visit::new(&site.url, Some(&old)).ask(Method::POST, "/login").form(&ENTRY).send().await.unwrap();
        let new = cookies(&entered);
        assert!(new.contains("session=") && !new.contains(&old), "{new}");
        assert!(is_known(&site, &new).await);
        assert!(!is_known(&site, &old).await);
    }
}

/// SECURITY 41.
#[tokio::test]
async fn a_forged_cookie_is_nobodys_and_never_an_error() {
    let site = Site::new().await;
    let good = site.cookie.clone().unwrap();
    let value = good.strip_prefix("session=").unwrap();
    assert!(is_known(&site, &good).await);
    for at in 0..value.len() {
        let with = if &value[at..=at] == "A" { "B" } else { "A" };
        assert!(!is_known(&site, &format!("session={}{with}{}", &value[..at], &value[at + 1..])).await, "{at}");
    }
    for junk in [
        String::from("session="),
        String::from("session"),
        format!("session={}", &value[..20]),
        format!("session={}", "x".repeat(8192)),
        format!("session=%00{value}"),
        format!("session=\"{value}\u{e9}\""),
        format!("{good}; {good}"),
        format!("{good}; session=x"),
        format!("session=x; {good}"),
        format!("__Host-{good}"),
        format!("device={}; sign-in={}", "x".repeat(3000), "y".repeat(3000)),
        "session=' OR 1=1 -- ".to_owned(),
    ] {
        assert!(!is_known(&site, &junk).await, "{junk}");
        let visit = Visit::new(&site.url, Some(&junk));
        for path in
            ["/login", "/signup", "/confirm", "/forgot", "/reset", "/login/challenge", "/callback?state=x&code=y"]
        {
            let status = visit.page(path).await.status();
            assert!(!status.is_server_error(), "{path} with {junk}: {status}");
        }
        for path in ["/login", "/login/challenge", "/confirm", "/reset", "/logout"] {
            let status =
                visit.post(path, &[("code", "1"), ("email", "x@example.org"), ("password", "y")]).await.status();
            assert!(!status.is_server_error(), "{path} with {junk}: {status}");
        }
    }
}

#[tokio::test]
async fn another_cookie_in_no_known_encoding_signs_nobody_out() {
    let site = Site::new().await;
    let header = [b"before=caf\xe9; ", site.cookie.clone().unwrap().as_bytes(), b"; after=caf\xe9"].concat();
    let cookies = reqwest::header::HeaderValue::from_bytes(&header).unwrap();
    let ask = site.nobody().ask(Method::GET, "/account").header("accept", "text/html").header("cookie", cookies);
    assert_eq!(ask.send().await.unwrap().status(), 200);
}

/// SECURITY 44.
#[tokio::test]
async fn pages_of_somebody_signed_in_are_kept_by_no_cache() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let path = route.path.replace("{id}", photo["id"].as_str().unwrap()).replace("{rendition}", "thumb");
        let answer = site.page(&path).await;
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let public = header("cache-control").contains("public");
        assert!(!(public && answer.headers().contains_key(header::SET_COOKIE)), "{path}");
        if route.access == Access::Visitor {
            assert!(header("cache-control").contains("no-store"), "{path}: {}", header("cache-control"));
            if answer.status() == StatusCode::OK {
                assert!(header("vary").contains("Cookie"), "{path}: {}", header("vary"));
            }
        }
    }
    for path in ["/account/x.css", "/account/delete/x.js", "/photos/x.css", "/login/x.png"] {
        assert_eq!(site.page(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

/// Every row of the gallery's tables, but for when sessions were last used.
async fn dump(site: &Site) -> Vec<String> {
    let file = site.folder.path().join("data/catalog.db");
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    let mut dump = Vec::new();
    for table in tables {
        let rows =
            sqlx::raw_sql(AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(&mut connection).await.unwrap();
        for row in rows {
            let columns = row.columns().iter().filter(|column| column.name() != "seen_at");
            let values = columns.map(|column| {
                let raw = row.try_get_raw(column.ordinal()).unwrap();
                if raw.is_null() {
                    return format!("{}: NULL", column.name());
                }
                let bytes: Vec<u8> = row.try_get_unchecked(column.ordinal()).unwrap();
                format!("{}: {}", column.name(), hex::encode(bytes))
            });
            dump.push(format!("{table} {}", values.collect::<Vec<_>>().join(", ")));
        }
    }
    dump.sort();
    dump
}

/// The local addresses that a page leads to.
fn links(page: &str) -> Vec<String> {
    let parts = page.split(['"', '\'']);
    let local =
        parts.filter(|part| part.starts_with('/') && !part.starts_with("//") && !part.contains(char::is_whitespace));
    local.map(|part| part.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

/// SECURITY 48.
#[tokio::test]
async fn looking_at_everything_changes_nothing() {
    let site = Site::without_worker().await;
    let ann = site.again().await;
    let photo = ann.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
    ann.uploaded("b.jpg", pictures::jpeg(40, 30, 2)).await;
    let before = dump(&site).await;
    assert!(before.iter().any(|row| row.starts_with("photo ")) && before.iter().any(|row| row.starts_with("session ")));
    let mut ahead: Vec<String> = ROUTES
        .iter()
        .map(|route| route.path.replace("{id}", photo["id"].as_str().unwrap()).replace("{rendition}", "thumb"))
        .collect();
    let mut asked = BTreeSet::new();
    while let Some(path) = ahead.pop() {
        if !asked.insert(path.clone()) || asked.len() > 400 {
            continue;
        }
        for accept in ["text/html", "application/json"] {
            let answer = ann.ask(Method::GET, &path).header(header::ACCEPT, accept).send().await.unwrap();
            let status = answer.status();
            assert!(!status.is_server_error(), "{path}: {status}");
            let bytes = answer.bytes().await.unwrap();
            ahead.extend(str::from_utf8(&bytes).map(links).unwrap_or_default());
        }
    }
    assert!(asked.len() > 40, "{asked:?}");
    assert_eq!(dump(&site).await, before);
}

/// SECURITY 78. The web server itself says `100 Continue` before the gallery is asked; the gallery reads nothing of the body.
#[tokio::test]
async fn somebody_who_is_not_signed_in_is_refused_before_the_body() {
    let site = Site::new().await;
    let host = site.url.strip_prefix("http://").unwrap();
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut connection = tokio::net::TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST /photos HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\nAccept: application/json\r\n{expect}\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = async {
            let mut piece = [0; 4096];
            while !answer.contains("Please sign in first.") {
                let read = connection.read(&mut piece).await.unwrap();
                assert!(read > 0, "the connection ended: {answer}");
                answer.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reading)
            .await
            .unwrap_or_else(|_| panic!("no answer without a body"));
        let last = answer.rsplit("HTTP/1.1 ").next().unwrap();
        assert!(last.starts_with("401"), "{answer}");
    }
    assert!(site.incoming().is_empty());
}
