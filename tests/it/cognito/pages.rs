//! A gallery whose people are a pool's, by its pages, on the stand-in: what MiniStack cannot do wrong.

use std::collections::HashMap;

use chrono::Utc;
use photo_gallery::settings::{self, Identity, Settings};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use super::{
    CLIENT, KEYS, POOL, Says, StandIn,
    signing::{Signer, access_claims, id_claims, listing},
};
use crate::{
    process::cookies,
    site::{PASSWORD, Site, Visit},
};

/// A gallery on this pool, and on its own pages or not.
async fn gallery(server: &StandIn, hosted: bool) -> Site {
    server.on(KEYS, [Says::Says(listing(&[&Signer::first()]))]);
    let pool = settings::Cognito {
        pool_id: POOL.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: None,
        domain: hosted.then(|| server.url()),
        scopes: None,
        flow: settings::Flow::UserPassword,
        region: None,
        endpoint: Some(server.url()),
    };
    Site::with(|settings: &mut Settings| {
        settings.identity = Identity::Cognito(pool);
        settings.server.base_url = hosted.then(|| "http://127.0.0.1:5000".to_owned());
    })
    .await
}

/// A browser that is on the pool's pages, and what it set out with.
async fn away(site: &Site) -> (Visit, HashMap<String, String>) {
    let left = site.nobody().page("/login?next=/labels").await;
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
    let url = Url::parse(left.headers()[header::LOCATION].to_str().unwrap()).unwrap();
    (Visit::new(&site.url, Some(&cookies(&left))), url.query_pairs().into_owned().collect())
}

/// What the pool's pages give for a code.
fn gives(server: &StandIn, id: &Value) {
    let signer = Signer::first();
    let (id, access) = (signer.token(id), signer.token(&access_claims()));
    let tokens = json!({"id_token": id, "access_token": access, "refresh_token": "r"});
    server.on("/oauth2/token", [Says::Says(tokens)]);
}

fn id_with(name: &str, value: &str) -> Value {
    let mut claims = id_claims();
    claims[name] = value.into();
    claims
}

/// SECURITY 23, 35.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_with_forged_tokens_is_answered_400_and_not_let_in() {
    let server = StandIn::start().await;
    let site = gallery(&server, true).await;
    let forged = [
        id_with("nonce", "of another sign-in"),
        id_with("iss", "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AnotherOne"),
        id_with("aud", "anotherclient"),
    ];
    for mut claims in forged {
        let (browser, set_out) = away(&site).await;
        if claims["nonce"].is_null() {
            claims["nonce"] = set_out["nonce"].as_str().into();
        }
        gives(&server, &claims);
        let back = browser.page(&format!("/callback?code=c&state={}", set_out["state"])).await;
        assert_eq!(back.status(), StatusCode::BAD_REQUEST);
        assert!(!cookies(&back).contains("session="));
    }
    let (browser, set_out) = away(&site).await;
    gives(&server, &id_with("nonce", &set_out["nonce"]));
    let back = browser.page(&format!("/callback?code=c&state={}", set_out["state"])).await;
    assert_eq!(
        (back.status(), &back.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/labels".parse().unwrap())
    );
    assert!(cookies(&back).contains("session="));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_a_foreign_state_leaves_a_sign_in_under_way() {
    let server = StandIn::start().await;
    let site = gallery(&server, true).await;
    let (browser, _) = away(&site).await;
    for foreign in ["code=c&state=foreign", "code=c", "error=access_denied", "error=access_denied&state=foreign"] {
        let answer = browser.page(&format!("/callback?{foreign}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{foreign}");
        assert!(answer.headers().get(header::SET_COOKIE).is_none(), "{foreign}: {:?}", answer.headers());
    }
    assert!(server.asked_of("/oauth2/token").is_empty());
}

/// SECURITY 29.
#[tokio::test(flavor = "multi_thread")]
async fn browsers_back_from_the_pools_pages_are_limited_by_address() {
    let server = StandIn::start().await;
    let site = gallery(&server, true).await;
    server.on("/oauth2/token", [Says::Body(400, json!({"error": "invalid_grant"}).to_string())]);
    let (browser, set_out) = away(&site).await;
    let back = async || browser.page(&format!("/callback?code=c&state={}", set_out["state"])).await;
    for _ in 0..30 {
        assert_eq!(back().await.status(), StatusCode::BAD_REQUEST);
    }
    let limited = back().await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(server.asked_of("/oauth2/token").len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_may_lead_to_the_pools_pages_where_people_sign_in_there() {
    let server = StandIn::start().await;
    for hosted in [true, false] {
        let site = gallery(&server, hosted).await;
        let answer = site.nobody().page("/ping").await;
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let forms = policy.split("; ").find(|part| part.starts_with("form-action ")).unwrap();
        let expected =
            if hosted { format!("form-action 'self' {}", server.url()) } else { "form-action 'self'".to_owned() };
        assert_eq!(forms, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_for_the_pools_pages_where_people_sign_in_there() {
    let server = StandIn::start().await;
    let site = gallery(&server, true).await;
    let nobody = site.nobody();
    let fields = [("email", "bea@example.org"), ("code", "123456"), ("password", PASSWORD)];
    for path in ["/signup", "/confirm", "/confirm/resend", "/forgot", "/reset", "/login"] {
        let answer = nobody.ask(Method::POST, path).form(&fields).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "POST {path}");
    }
    for path in ["/signup", "/confirm", "/forgot", "/reset", "/login"] {
        assert_eq!(nobody.page(path).await.status(), StatusCode::SEE_OTHER, "GET {path}");
    }
    for operation in ["SignUp", "ConfirmSignUp", "ResendConfirmationCode", "ForgotPassword", "ConfirmForgotPassword"] {
        assert!(server.asked_of(operation).is_empty(), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_rotates_when_something_is_changed_is_kept() {
    let server = StandIn::start().await;
    let site = gallery(&server, false).await;
    let nearly_over = |refresh: &str| {
        let mut access = access_claims();
        access["exp"] = (Utc::now().timestamp() + 60).into();
        let mut result = Signer::first().result();
        result["AccessToken"] = Signer::first().token(&access).into();
        result["RefreshToken"] = refresh.into();
        Says::Says(json!({"AuthenticationResult": result}))
    };
    server.on("InitiateAuth", [nearly_over("the-first")]);
    server.on("GetTokensFromRefreshToken", [nearly_over("the-second"), nearly_over("the-third")]);
    server.on("UpdateUserAttributes", [Says::Says(json!({}))]);
    let entered = site.nobody().post("/login", &[("email", "bea@example.org"), ("password", PASSWORD)]).await;
    let bea = Visit::new(&site.url, Some(&cookies(&entered)));
    for _ in 0..2 {
        let renamed = bea.post("/account/nickname", &[("nickname", "Beatrix")]).await;
        assert!(renamed.status().is_success(), "{}", renamed.status());
    }
    let sent: Vec<Value> =
        server.asked_of("GetTokensFromRefreshToken").iter().map(|asked| asked.json()["RefreshToken"].clone()).collect();
    assert_eq!(sent, ["the-first", "the-second"]);
}
