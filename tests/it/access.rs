//! Every route asked by every kind of visitor. A route that is missing here fails the test.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use photo_gallery::pages::{Access, ROUTES, Route};
use reqwest::{Method, StatusCode, header};

use crate::{
    pictures,
    site::{Site, Visit},
};

/// What one route answers to each kind of visitor who asks for a page.
#[derive(Clone, Copy, Debug)]
struct Expected {
    /// To nobody.
    nobody: u16,
    /// To the owner of the photo that the path names.
    owner: u16,
    /// To the same when the path names nothing, which is also what somebody else gets for what the owner has.
    unknown: Option<u16>,
}

#[expect(clippy::match_same_arms, reason = "a table is read by its routes, not by its answers")]
fn expected(route: &Route) -> Expected {
    let (owner, unknown) = match (route.method, route.path) {
        ("GET", "/") => (303, None),
        ("GET", "/ping" | "/readyz" | "/favicon.ico" | "/labels" | "/photos" | "/photos/changes" | "/unfinished") => {
            (200, None)
        }
        ("GET", "/static/{name}" | "/media/{path:.*}" | "/photos/{id}") => (200, Some(404)),
        ("POST", "/photos") => (415, None),
        ("GET", "/photos/{id}/{rendition}")
        | ("POST", "/photos/{id}/description" | "/photos/{id}/delete" | "/photos/{id}/retry") => (303, Some(404)),
        // Somebody signed in is sent on to their photos; a form with nothing in it is shown again.
        ("GET", "/signup" | "/login" | "/login/challenge" | "/confirm" | "/confirm/resend" | "/reset") => (303, None),
        ("GET", "/forgot") => (200, None),
        ("GET", "/callback") => (400, None),
        ("POST", "/signup" | "/login" | "/confirm" | "/confirm/resend" | "/forgot" | "/reset") => (422, None),
        ("POST", "/login/challenge") => (401, None),
        ("GET", "/logout" | "/account" | "/account/data" | "/account/delete") => (200, None),
        ("GET", "/account/nickname" | "/account/password" | "/account/sessions" | "/account/sign-out-everywhere") => {
            (303, None)
        }
        ("GET" | "POST", "/unfinished/retry") => (303, None),
        ("POST", "/logout" | "/account/sign-out-everywhere") => (303, None),
        ("POST", "/account/sessions") => (404, None),
        ("POST", "/account/nickname" | "/account/password" | "/account/delete") => (422, None),
        (method, path) => panic!("{method} {path} is missing in the table of routes and visitors: say who may ask it"),
    };
    let nobody = match (route.access, route.method) {
        (Access::Visitor, "GET") => 303,
        (Access::Visitor, _) => 401,
        (Access::Guest, "GET") if ["/signup", "/login"].contains(&route.path) => 200,
        (Access::Guest, "GET") if route.path == "/logout" => 303,
        (Access::Anyone | Access::Link | Access::Guest, _) => owner,
    };
    Expected { nobody, owner, unknown }
}

/// What somebody has to whom this test belongs.
struct Paths {
    photo: String,
    media: String,
}

fn known(route: &Route, paths: &Paths) -> String {
    match route.path {
        "/media/{path:.*}" => paths.media.clone(),
        "/static/{name}" => photo_gallery::pages::assets::asset("gallery.css"),
        path => path.replace("{id}", &paths.photo).replace("{rendition}", "thumb"),
    }
}

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

fn unknown(route: &Route) -> String {
    let path = route.path.replace("{path:.*}", "photos/x.jpg?signature=0").replace("{name}", "no.0.css");
    path.replace("{id}", UNKNOWN).replace("{rendition}", "thumb")
}

async fn paths(visit: &Visit) -> Paths {
    static SEED: AtomicU32 = AtomicU32::new(0);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let photo = visit.uploaded("a.jpg", pictures::jpeg(40, 30, seed)).await;
    let media = photo["links"]["thumb"].as_str().unwrap().to_owned();
    Paths { photo: photo["id"].as_str().unwrap().to_owned(), media }
}

fn request(visit: &Visit, route: &Route, path: &str) -> reqwest::RequestBuilder {
    let request = visit.ask(route.method.parse().unwrap(), path);
    match (route.method, route.path) {
        ("POST", path) if path.ends_with("/description") => request.form(&[("description", "x")]),
        ("POST", path) if path != "/photos" => request.form(&[("next", "/")]),
        _ => request,
    }
}

/// All that an answer tells, but for what differs by itself: the names of the photo and of the request, and the time.
async fn told(request: reqwest::RequestBuilder, id: &str) -> (StatusCode, BTreeMap<String, String>, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mask = |text: &str| text.replace(id, "ID").replace(&id.replace('-', "%2D"), "ID");
    let headers =
        answer.headers().iter().filter(|(name, _)| !["connection", "date", "x-request-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), mask(value.to_str().unwrap()))).collect();
    (status, headers, mask(&answer.text().await.unwrap()))
}

#[tokio::test]
async fn every_route_answers_its_owner_as_the_table_says() {
    let site = Site::new().await;
    for route in ROUTES {
        let ann = site.again().await;
        let paths = paths(&ann).await;
        let answer = request(&ann, route, &known(route, &paths)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected(route).owner, "{} {}", route.method, route.path);
        if let Some(status) = expected(route).unknown {
            let answer = request(&ann, route, &unknown(route)).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{} {} of something unknown", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn every_route_answers_nobody_as_the_table_says() {
    let site = Site::new().await;
    let (nobody, ann) = (site.nobody(), site.again().await);
    for route in ROUTES {
        let paths = paths(&ann).await;
        let what = format!("{} {}", route.method, route.path);
        for accept in ["text/html", "application/json"] {
            let ask = |path: &str| request(&nobody, route, path).header(header::ACCEPT, accept);
            let (status, headers, body) = told(ask(&known(route, &paths)), &paths.photo).await;
            if accept == "text/html" {
                assert_eq!(status.as_u16(), expected(route).nobody, "{what}: {body}");
            }
            if route.access == Access::Visitor {
                let html = accept == "text/html" && route.method == "GET";
                assert_eq!(status.as_u16(), if html { 303 } else { 401 }, "{what}");
                assert_eq!(headers.get("location").is_some_and(|to| to.starts_with("/login?next=")), html, "{what}");
                let unknown = told(ask(&unknown(route)), UNKNOWN).await;
                assert_eq!((status, headers, body), unknown, "{what}: as for something unknown");
            }
        }
        let (status, photo) = ann.json(&format!("/photos/{}", paths.photo)).await;
        assert_eq!((status, &photo["description"]), (StatusCode::OK, &"".into()), "{what}: nothing was changed");
    }
}

/// SECURITY 2, 3.
#[tokio::test]
async fn another_user_gets_what_an_unknown_id_gets() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    let ann = site.again().await;
    for route in ROUTES.iter().filter(|route| route.access == Access::Visitor && route.path.contains("{id}")) {
        let paths = paths(&ann).await;
        let before = ann.settled(&paths.photo).await;
        for method in [route.method, if route.method == "GET" { "HEAD" } else { route.method }] {
            for accept in ["text/html", "application/json", "*/*"] {
                let route = Route { method, ..*route };
                let what = format!("{method} {} as {accept}", route.path);
                let ask = |path: &str| request(&bob, &route, path).header(header::ACCEPT, accept);
                let foreign = told(ask(&known(&route, &paths)), &paths.photo).await;
                let nothing = told(ask(&unknown(&route)), UNKNOWN).await;
                assert_eq!(foreign.0, StatusCode::NOT_FOUND, "{what}");
                assert_eq!(foreign, nothing, "{what}");
                assert!(!foreign.2.contains("signature=") && !foreign.2.contains("a.jpg"), "{what}: {}", foreign.2);
            }
        }
        let mut after = ann.json(&format!("/photos/{}", paths.photo)).await.1;
        after["links"] = before["links"].clone();
        assert_eq!(after, before, "{} {}: nothing was changed", route.method, route.path);
    }
}

/// SECURITY 13, 14: nothing of the one is counted, listed, found or linked for the other.
#[tokio::test]
async fn lists_searches_counts_and_labels_are_each_users_own() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    let photo = site.uploaded("marker.jpg", pictures::jpeg(40, 30, 900_001)).await;
    let id: photo_gallery::photo::PhotoId = photo["id"].as_str().unwrap().parse().unwrap();
    let described = site.post(&format!("/photos/{id}/description"), &[("description", "zebra crossing")]).await;
    assert!(described.status().is_success() || described.status().is_redirection());
    for path in ["/photos", "/photos?q=zebra", "/photos?q=marker", "/photos?label=Dog", "/labels", "/account"] {
        let page = bob.page(path).await.text().await.unwrap();
        for word in [id.to_string().as_str(), "zebra crossing", "marker.jpg", "signature="] {
            assert!(!page.contains(word), "{path} tells bob of `{word}`");
        }
        if path != "/account" {
            let (_, told) = bob.json(path).await;
            assert!(!told.to_string().contains(&id.to_string()), "{path}: {told}");
        }
    }
    let (_, mine) = site.json("/photos?q=zebra").await;
    assert_eq!(mine["photos"].as_array().unwrap().len(), 1);
    let (_, theirs) = bob.json("/photos").await;
    assert!(theirs["photos"].as_array().unwrap().is_empty(), "{theirs}");
    let twin = bob.uploaded("marker.jpg", pictures::jpeg(40, 30, 900_001)).await;
    assert_ne!(twin["id"], photo["id"], "the same bytes are each user's own photo");
    let extra = [
        ("description", "x"),
        ("owner", "bob"),
        ("cognito_username", "bob"),
        ("id", "1"),
        ("created_at", "2001-01-01"),
    ];
    let own = site.post(&format!("/photos/{id}/description"), &extra).await.status();
    assert!(own.is_success() || own.is_redirection(), "{own}");
    let (_, after) = site.json(&format!("/photos/{id}")).await;
    assert_eq!((&after["created_at"], &after["description"]), (&photo["created_at"], &"x".into()));
}

/// SECURITY 15.
#[tokio::test]
async fn no_other_way_of_writing_a_path_reaches_more() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    let paths = paths(&site.again().await).await;
    let id = &paths.photo;
    let upper = id.to_uppercase();
    let ways = [
        format!("/photos/{id}/"),
        format!("//photos/{id}"),
        format!("/photos//{id}"),
        format!("/photos/./{id}"),
        format!("/x/../photos/{id}"),
        format!("/photos/%2e/{id}"),
        format!("/photos/{id};x"),
        format!("/photos/{id}%00"),
        format!("/photos/{id}?_method=GET&owner=anonymous"),
        format!("/Photos/{id}"),
        format!("/photos/{upper}"),
        format!("/photos/{id}/thumb/"),
        format!("/photos/{id}/Original"),
        "/account/x.css".to_owned(),
    ];
    for way in ways {
        for (visit, who) in [(&bob, "bob"), (&site.nobody(), "nobody")] {
            for name in ["x-http-method-override", "x-original-url", "x-forwarded-user"] {
                let request = visit.ask(Method::GET, &way).header(name, format!("/photos/{id}"));
                let answer = request.send().await.unwrap();
                let (status, to) = (answer.status(), answer.headers().get(header::LOCATION).cloned());
                let to = to.map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
                let body = answer.text().await.unwrap();
                assert!(status == 404 || status == 303 && to.starts_with("/login"), "{who} {way}: {status} {to}");
                assert!(!body.contains("signature=") && !body.contains("a.jpg"), "{who} {way}");
            }
        }
    }
    let deleted = site.ask(Method::GET, &format!("/photos/{id}/delete")).header("x-http-method-override", "POST");
    assert_eq!(deleted.send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(site.json(&format!("/photos/{id}")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_route_that_changes_something_takes_requests_from_other_sites() {
    let site = Site::new().await;
    let paths = paths(&site).await;
    let foreign = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "null"),
        ("origin", "https://evil.example"),
    ];
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        for (name, value) in foreign {
            let untold = site.untold();
            let answer = request(&untold, route, &known(route, &paths)).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{} {} with {name}: {value}", route.method, route.path);
        }
    }
    let (status, photo) = site.json(&format!("/photos/{}", paths.photo)).await;
    assert_eq!((status, &photo["description"]), (StatusCode::OK, &"".into()));
}

#[tokio::test]
async fn a_gallery_on_loopback_does_not_answer_to_foreign_names() {
    let site = Site::new().await;
    let paths = paths(&site).await;
    for route in ROUTES {
        let answer =
            request(&site, route, &known(route, &paths)).header(header::HOST, "rebound.example").send().await.unwrap();
        let expected =
            if matches!(route.path, "/ping" | "/readyz") { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST };
        assert_eq!(answer.status(), expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let site = Site::new().await;
    let paths = paths(&site).await;
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        for path in [known(route, &paths), unknown(route)] {
            let get = site.ask(Method::GET, &path).send().await.unwrap();
            let head = site.ask(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(head.status(), get.status(), "{path}");
            assert_eq!(head.headers().get(header::CONTENT_TYPE), get.headers().get(header::CONTENT_TYPE), "{path}");
            assert!(head.bytes().await.unwrap().is_empty(), "{path}");
            // To its end: one archive of each person is made at a time.
            get.bytes().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_wrong_method_is_refused_everywhere() {
    let site = Site::new().await;
    let paths = paths(&site).await;
    for route in ROUTES {
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
            let answer = site.ask(method.clone(), &known(route, &paths)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {}", route.path);
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_it() {
    let site = Site::new().await;
    let paths = paths(&site).await;
    let mut asked: Vec<(Method, String)> = ROUTES
        .iter()
        .flat_map(|route| [known(route, &paths), unknown(route)].map(|path| (route.method.parse().unwrap(), path)))
        .collect();
    asked.push((Method::GET, "/nothing/here".to_owned()));
    asked.push((Method::PUT, "/photos".to_owned()));
    for (method, path) in asked {
        let answer = site.ask(method.clone(), &path).header("sec-fetch-site", "cross-site").send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let what = format!("{method} {path} {}", answer.status());
        assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header("referrer-policy"), "same-origin", "{what}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{what}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{what}: {policy}");
        assert!(
            path.starts_with("/media") && answer.status().is_success() || policy.contains("frame-ancestors 'none'"),
            "{what}: {policy}"
        );
        assert_eq!(header("x-request-id").len(), 32, "{what}");
        assert_eq!(header("server"), "", "{what}");
        let cached = path.starts_with("/static") || path.starts_with("/media") || path == "/favicon.ico";
        if !(cached && answer.status().is_success()) && path != "/" {
            assert!(header("cache-control").contains("no-store"), "{what}: {}", header("cache-control"));
        }
    }
}

#[tokio::test]
async fn what_anyone_may_ask_needs_no_visitor() {
    let open: Vec<&str> =
        ROUTES.iter().filter(|route| route.access == Access::Anyone).map(|route| route.path).collect();
    assert_eq!(open, ["/", "/ping", "/readyz", "/favicon.ico", "/static/{name}"]);
}
