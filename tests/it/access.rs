//! Every route asked by every kind of visitor. A route that is missing here fails the test.

use std::sync::atomic::{AtomicU32, Ordering};

use photo_gallery::pages::{Access, ROUTES, Route};
use reqwest::{Method, StatusCode, header};

use crate::{pictures, site::Site};

/// What one route answers to each kind of visitor.
struct Expected {
    /// To the owner of the photo that the path names.
    owner: u16,
    /// When the path names no photo.
    unknown: Option<u16>,
}

fn expected(route: &Route) -> Expected {
    let (owner, unknown) = match (route.method, route.path) {
        ("GET", "/") => (303, None),
        ("GET", "/ping" | "/favicon.ico" | "/labels" | "/photos") => (200, None),
        ("GET", "/static/{name}" | "/media/{path:.*}" | "/photos/{id}") => (200, Some(404)),
        ("POST", "/photos") => (415, None),
        ("GET", "/photos/{id}/{rendition}") | ("POST", "/photos/{id}/description" | "/photos/{id}/delete") => {
            (303, Some(404))
        }
        (method, path) => panic!("{method} {path} is missing in the table of routes and visitors: say who may ask it"),
    };
    Expected { owner, unknown }
}

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

fn unknown(route: &Route) -> String {
    let path = route.path.replace("{path:.*}", "photos/x.jpg?signature=0").replace("{name}", "no.0.css");
    path.replace("{id}", "01890000-0000-7000-8000-000000000000").replace("{rendition}", "thumb")
}

async fn paths(site: &Site) -> Paths {
    static SEED: AtomicU32 = AtomicU32::new(0);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let photo = site.uploaded("a.jpg", pictures::jpeg(40, 30, seed)).await;
    let media = photo["links"]["thumb"].as_str().unwrap().to_owned();
    Paths { photo: photo["id"].as_str().unwrap().to_owned(), media }
}

fn request(site: &Site, route: &Route, path: &str) -> reqwest::RequestBuilder {
    let request = site.ask(route.method.parse().unwrap(), path);
    if route.path.ends_with("/description") { request.form(&[("description", "x")]) } else { request }
}

#[tokio::test]
async fn every_route_answers_its_owner_as_the_table_says() {
    let site = Site::new().await;
    for route in ROUTES {
        let paths = paths(&site).await;
        let answer = request(&site, route, &known(route, &paths)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected(route).owner, "{} {}", route.method, route.path);
        if let Some(status) = expected(route).unknown {
            let answer = request(&site, route, &unknown(route)).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{} {} of something unknown", route.method, route.path);
        }
    }
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
            let answer = request(&site, route, &known(route, &paths)).header(name, value).send().await.unwrap();
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
        let expected = if route.path == "/ping" { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST };
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
    assert_eq!(open, ["/", "/ping", "/favicon.ico", "/static/{name}"]);
}
