//! No other site makes a browser do something here, whatever the browser tells of itself.

use photo_gallery::{
    pages::{Access, ROUTES},
    settings::{Identity, Settings, WithoutAccounts},
};
use reqwest::{Method, StatusCode, header, multipart};

use crate::{
    pictures,
    process::cookies,
    site::{Site, Visit},
};

/// The token that the forms of a page carry.
async fn token(visit: &Visit, path: &str) -> String {
    let page = visit.page(path).await;
    assert_eq!(page.status(), StatusCode::OK, "{path}");
    let page = page.text().await.unwrap();
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no token: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

fn file(seed: u32) -> multipart::Part {
    multipart::Part::bytes(pictures::jpeg(40, 30, seed)).file_name("a.jpg")
}

async fn photos(visit: &Visit) -> usize {
    visit.json("/photos").await.1["photos"].as_array().unwrap().len()
}

/// SECURITY 46.
#[tokio::test]
async fn what_tells_nothing_of_its_source_needs_the_token_of_its_own_session() {
    let site = Site::new().await;
    let bob = site.another("bob@example.org").await;
    let bobs = token(&bob, "/photos").await;
    for (seed, route) in (100..).zip(ROUTES.iter().filter(|route| route.method == "POST")) {
        let ann = site.again().await;
        let photo = ann.uploaded("a.jpg", pictures::jpeg(40, 30, seed)).await;
        let (untold, own) = (ann.untold(), token(&ann, "/photos").await);
        let path = route.path.replace("{id}", photo["id"].as_str().unwrap());
        let what = format!("POST {path}");
        let ask = |path: &str| untold.ask(Method::POST, path);
        let without = [
            ("no token", ask(&path).form(&[("next", "/")])),
            ("no body", ask(&path)),
            ("another's token", ask(&path).form(&[("token", bobs.as_str())])),
            (
                "another's token in the header",
                ask(&path).header("x-csrf-token", &bobs).form(&[("token", own.as_str())]),
            ),
            ("a token in the URL", ask(&format!("{path}?token={own}&x-csrf-token={own}")).form(&[("next", "/")])),
            ("two tokens", ask(&path).form(&[("token", own.as_str()), ("token", bobs.as_str())])),
            ("an empty token", ask(&path).form(&[("token", "")])),
            ("a token as JSON", ask(&path).json(&serde_json::json!({ "token": own }))),
            (
                "a token as plain text",
                ask(&path).header(header::CONTENT_TYPE, "text/plain").body(format!("token={own}")),
            ),
            ("a token in a cookie", ask(&path).header(header::COOKIE, format!("token={own}"))),
        ];
        for (how, request) in without {
            assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{what} with {how}");
        }
        if path != "/photos" {
            let form = multipart::Form::new().text("token", own.clone());
            let answer = ask(&path).multipart(form).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{what} with a token in a form of files");
        }
        let (_, after) = ann.json(&format!("/photos/{}", photo["id"].as_str().unwrap())).await;
        assert_eq!(after["description"], "", "{what}");
        assert_eq!(ann.page("/account").await.status(), StatusCode::OK, "{what}: she is still signed in");
        let in_header = ask(&path).header("x-csrf-token", &own).form(&[("next", "/")]).send().await.unwrap().status();
        assert_ne!(in_header, StatusCode::FORBIDDEN, "{what} with its token in the header");
    }
}

#[tokio::test]
async fn a_form_whose_token_was_read_still_reaches_its_page() {
    let site = Site::new().await;
    let ann = site.again().await;
    let (untold, own) = (ann.untold(), token(&ann, "/photos").await);
    let photo = ann.uploaded("b.jpg", pictures::jpeg(40, 30, 2)).await;
    let path = format!("/photos/{}", photo["id"].as_str().unwrap());
    let describe = |fields: &[(&str, &str)]| untold.ask(Method::POST, &format!("{path}/description")).form(fields);
    let refused = describe(&[("description", "forged")]).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let said = refused.text().await.unwrap();
    assert!(said.contains("does not tell where it comes from"), "{said}");
    let answer = describe(&[("token", &own), ("description", "hers & näher")]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(ann.json(&path).await.1["description"], "hers & näher");
    let delete = |fields: &[(&str, &str)]| untold.ask(Method::POST, &format!("{path}/delete")).form(fields).send();
    assert_eq!(delete(&[]).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(delete(&[("token", &own)]).await.unwrap().status(), StatusCode::SEE_OTHER);
    assert_eq!(ann.json(&path).await.0, StatusCode::NOT_FOUND);
    let long = describe(&[("token", own.as_str()), ("description", &"x".repeat(70_000))]).send().await.unwrap();
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_upload_that_tells_nothing_of_its_source_carries_its_token_before_any_file() {
    let site = Site::new().await;
    let (untold, own) = (site.untold(), token(&site, "/photos").await);
    let bobs = token(&site.another("bob@example.org").await, "/photos").await;
    let part = |token: &str| multipart::Form::new().text("token", token.to_owned());
    let without = [
        ("no token", multipart::Form::new().part("photo", file(1))),
        ("another's token", part(&bobs).part("photo", file(1))),
        ("a token after the file", multipart::Form::new().part("photo", file(1)).text("token", own.clone())),
        ("a token in another field", multipart::Form::new().text("description", own.clone()).part("photo", file(1))),
        ("nothing but a description", multipart::Form::new().text("description", "x")),
    ];
    for (how, form) in without {
        let (status, told) = untold.send(form).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "with {how}: {told}");
    }
    assert_eq!((photos(&site).await, site.stored().len(), site.incoming().len()), (0, 0, 0));
    let (status, told) = untold.send(part(&own).part("photo", file(1))).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    let request = untold.ask(Method::POST, "/photos").header("x-csrf-token", &own);
    let answer = request.multipart(multipart::Form::new().part("photo", file(2))).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(photos(&site).await, 2);
}

#[tokio::test]
async fn signing_in_and_out_cannot_be_forged_either() {
    let site = Site::new().await;
    let nobody = site.nobody();
    let page = nobody.page("/login").await;
    let device = cookies(&page);
    let page = page.text().await.unwrap();
    let token = page.split_once("name=\"token\" value=\"").unwrap().1.split('"').next().unwrap();
    let browser = Visit::new(&site.url, Some(&device)).untold();
    let fields = [("email", crate::site::ANN), ("password", crate::site::PASSWORD)];
    let forged = browser.ask(Method::POST, "/login").form(&fields).send().await.unwrap();
    assert_eq!((forged.status(), cookies(&forged).as_str()), (StatusCode::FORBIDDEN, ""));
    let elsewhere = nobody.untold().ask(Method::POST, "/login").form(&[fields[0], fields[1], ("token", token)]);
    assert_eq!(elsewhere.send().await.unwrap().status(), StatusCode::FORBIDDEN, "the token is this browser's");
    let entered = browser.ask(Method::POST, "/login").form(&[fields[0], fields[1], ("token", token)]);
    let entered = entered.send().await.unwrap();
    assert_eq!(entered.status(), StatusCode::SEE_OTHER);
    assert!(cookies(&entered).contains("session="));
    assert_eq!(site.untold().ask(Method::POST, "/logout").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(site.page("/account").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_gallery_without_accounts_keeps_the_same_rule() {
    let site =
        Site::with(|settings: &mut Settings| settings.identity = Identity::None(WithoutAccounts { public: false }))
            .await;
    let page = site.page("/photos").await;
    let device = cookies(&page);
    assert!(device.starts_with("device="), "{device}");
    let page = page.text().await.unwrap();
    let own = page.split_once("name=\"token\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let form = || multipart::Form::new().text("token", own.clone()).part("photo", file(1));
    assert_eq!(site.untold().send(form()).await.0, StatusCode::FORBIDDEN, "without the browser's cookie");
    let browser = Visit::new(&site.url, Some(&device));
    let again = browser.page("/photos").await;
    assert_eq!(cookies(&again), "", "the browser keeps its cookie");
    assert!(again.text().await.unwrap().contains(&own));
    assert_eq!(browser.untold().send(form()).await.0, StatusCode::CREATED);
    let other = multipart::Form::new().part("photo", file(2));
    assert_eq!(browser.untold().send(other).await.0, StatusCode::FORBIDDEN);
}

/// SECURITY 49.
#[tokio::test]
async fn json_in_the_clothes_of_a_form_is_no_request() {
    let site = Site::new().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(40, 30, 1)).await;
    let paths = ROUTES.iter().filter(|route| route.method == "POST" && !route.path.ends_with("{id}/delete"));
    for route in paths.filter(|route| !route.path.contains("logout") && !route.path.contains("everywhere")) {
        let path = route.path.replace("{id}", photo["id"].as_str().unwrap());
        let visit = if route.access == Access::Guest { site.nobody() } else { site.again().await };
        let request = visit.ask(Method::POST, &path).header(header::CONTENT_TYPE, "text/plain");
        let body = format!(
            "{{\"email\":\"{}\",\"password\":\"{}\",\"description\":\"x\"}}",
            crate::site::ANN,
            crate::site::PASSWORD
        );
        let answer = request.body(body).send().await.unwrap();
        let expired = path == "/login/challenge" && answer.status() == StatusCode::UNAUTHORIZED;
        assert!(expired || answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}: {}", answer.status());
        assert!(!cookies(&answer).contains("session="), "{path}");
    }
}

/// SECURITY 50.
#[tokio::test]
async fn no_other_site_may_read_an_answer() {
    let site = Site::new().await;
    for method in [Method::GET, Method::OPTIONS, Method::HEAD] {
        for path in
            ["/", "/photos", "/labels", "/login", "/account", "/account/data", "/static/gallery.css", "/nothing"]
        {
            let request = site.ask(method.clone(), path).header(header::ORIGIN, "https://evil.example");
            let request = request.header("access-control-request-method", "POST");
            let answer = request.send().await.unwrap();
            let told: Vec<_> =
                answer.headers().keys().filter(|name| name.as_str().starts_with("access-control")).collect();
            assert!(told.is_empty(), "{method} {path}: {told:?}");
        }
    }
}
