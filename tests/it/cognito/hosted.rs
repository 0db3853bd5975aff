//! Sign-in on the pool's own pages: what leaves, what comes back, and what is not taken (SECURITY 35).

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Utc;
use photo_gallery::identity::{Departure, Hosted, Identity as _, Refusal, cognito::Cognito};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    CLIENT, Says, StandIn, down, refused,
    signing::{SUB, Signer, access_claims, id_claims},
    standing_in, standing_in_for,
};

const GALLERY: &str = "https://photos.example.org";

fn pages(cognito: &Cognito) -> &dyn Hosted {
    cognito.hosted().expect("a domain is set")
}

fn query(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// A stand-in whose token endpoint gives an id token with this nonce.
fn gives(server: &StandIn, nonce: Option<&str>) {
    let mut claims = id_claims();
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    let signer = Signer::first();
    let tokens = json!({
        "id_token": signer.token(&claims), "access_token": signer.token(&access_claims()), "refresh_token": "r",
        "token_type": "Bearer", "expires_in": 3600,
    });
    server.on("/oauth2/token", [Says::Says(tokens)]);
}

#[tokio::test]
async fn without_a_domain_there_are_no_pages_of_the_pool() {
    let (_, cognito) = standing_in(Utc::now).await;
    assert!(cognito.hosted().is_none() && !cognito.offers().hosted);
}

#[tokio::test]
async fn a_browser_leaves_with_state_nonce_and_challenge_new_each_time() {
    let (server, cognito) = standing_in_for(None, Some(GALLERY), Utc::now).await;
    let (url, departure) = pages(&cognito).depart().unwrap();
    assert!(url.starts_with(&format!("{}/oauth2/authorize?", server.url())), "{url}");
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&departure.verifier));
    let callback = format!("{GALLERY}/callback");
    let expected = HashMap::from(
        [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", &callback),
            ("state", &departure.state),
            ("nonce", &departure.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(query(&url), expected);
    assert!(!url.contains(&departure.verifier));
    let (_, again) = pages(&cognito).depart().unwrap();
    let all = |d: &Departure| [d.state.clone(), d.nonce.clone(), d.verifier.clone()];
    for value in all(&departure) {
        assert!(value.len() == 43 && !all(&again).contains(&value), "{value}");
    }
    assert_eq!(
        pages(&cognito).leave(),
        format!("{}/logout?client_id={CLIENT}&logout_uri=https%3A%2F%2Fphotos.example.org%2F", server.url())
    );
}

#[tokio::test]
async fn a_code_is_exchanged_with_verifier_and_secret_and_its_nonce_is_checked() {
    for secret in [None, Some("the-client-secret")] {
        let (server, cognito) = standing_in_for(secret, Some(GALLERY), Utc::now).await;
        let (_, departure) = pages(&cognito).depart().unwrap();
        gives(&server, Some(&departure.nonce));
        let who = pages(&cognito).arrive(&departure, &"the code".into()).await.unwrap();
        assert_eq!(who.person.owner.as_str(), SUB);
        let asked = server.asked_of("/oauth2/token").pop().unwrap();
        let form: HashMap<String, String> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        let expected = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("code", "the code"),
            ("redirect_uri", "https://photos.example.org/callback"),
            ("code_verifier", &departure.verifier),
        ];
        assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let basic = secret.map(|secret| base64::prelude::BASE64_STANDARD.encode(format!("{CLIENT}:{secret}")));
        match basic {
            Some(basic) => assert!(asked.head.contains(&format!("authorization: Basic {basic}")), "{}", asked.head),
            None => assert!(!asked.head.to_lowercase().contains("authorization"), "{}", asked.head),
        }

        for nonce in [None, Some("another"), Some("")] {
            gives(&server, nonce);
            let answer = pages(&cognito).arrive(&departure, &"the code".into()).await;
            assert_eq!(refused(answer), Refusal::Expired, "nonce {nonce:?}");
        }
    }
}

#[tokio::test]
async fn what_the_token_endpoint_refuses_is_told_apart() {
    let (server, cognito) = standing_in_for(None, Some(GALLERY), Utc::now).await;
    let (_, departure) = pages(&cognito).depart().unwrap();
    let arrive = async || pages(&cognito).arrive(&departure, &"the code".into()).await;
    server.on("/oauth2/token", [Says::Body(400, json!({"error": "invalid_grant"}).to_string())]);
    assert_eq!(refused(arrive().await), Refusal::Expired);
    let rows = [
        (400, json!({"error": "invalid_client"}).to_string(), "client_secret"),
        (400, json!({"error": "unauthorized_client"}).to_string(), "authorization code grant"),
        (500, json!({"error": "invalid_grant"}).to_string(), "500"),
        (302, String::new(), "302"),
        (200, "<html>".to_owned(), "something else than tokens"),
        (200, json!({"access_token": "a", "refresh_token": "r"}).to_string(), "openid"),
        (200, "x".repeat(200_000), "bytes"),
    ];
    for (status, body, says) in rows {
        server.on("/oauth2/token", [Says::Body(status, body)]);
        let cause = format!("{:#}", down(arrive().await));
        assert!(cause.contains(says), "{says}: {cause}");
    }
}

pub(crate) mod with_servers {
    use reqwest::{Client, redirect::Policy};

    use super::{Departure, Refusal, Url, pages, query, refused};
    use crate::{
        cognito::{OnMiniStack, Setup},
        identity::named,
        site::PASSWORD,
    };
    use photo_gallery::identity::{Identity as _, Step};

    pub(crate) const GALLERY: &str = "http://127.0.0.1:5000";
    pub(crate) const BEA: &str = "bea@example.org";

    pub(crate) async fn pool(secret: bool, scopes: &[&'static str]) -> OnMiniStack {
        let base_url = Some(GALLERY.to_owned());
        let pool = OnMiniStack::with(Setup { secret, base_url, scopes: scopes.to_vec(), ..Setup::default() }).await;
        pool.person(BEA, &[("email", BEA), ("nickname", "Bea")]).await;
        pool
    }

    pub(crate) const ALL: [&str; 3] = ["openid", "email", "aws.cognito.signin.user.admin"];

    /// What the pool's pages send the browser back with, after Bea filled its form in at `url`.
    pub(crate) async fn filled_in(url: &str) -> String {
        let browser = Client::builder().redirect(Policy::none()).build().unwrap();
        let form = browser.get(url).send().await.unwrap();
        assert_eq!(form.status(), 200);
        let html = form.text().await.unwrap();
        let mut fields: Vec<(String, String)> = html
            .split("<input type=\"hidden\" name=\"")
            .skip(1)
            .map(|input| {
                let (name, rest) = input.split_once('"').unwrap();
                let value = rest.split_once("value=\"").unwrap().1.split_once('"').unwrap().0;
                (name.to_owned(), value.replace("&amp;", "&").replace("&#x27;", "'"))
            })
            .collect();
        assert!(fields.len() >= 6, "{html}");
        fields.push(("username".to_owned(), BEA.to_owned()));
        fields.push(("password".to_owned(), PASSWORD.to_owned()));
        let action = Url::parse(url).unwrap().join("/login").unwrap();
        let sent = browser.post(action).form(&fields).send().await.unwrap();
        assert_eq!(sent.status(), 302);
        sent.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn returned(pool: &OnMiniStack) -> (Departure, String) {
        let (url, departure) = pages(&pool.cognito).depart().unwrap();
        let back = filled_in(&url).await;
        assert!(back.starts_with(&format!("{GALLERY}/callback?")), "{back}");
        let query = query(&back);
        assert_eq!(query["state"], departure.state);
        (departure, query["code"].clone())
    }

    #[tokio::test]
    async fn somebody_signs_in_on_the_pools_pages_and_is_the_same_person() {
        for secret in [true, false] {
            let pool = pool(secret, &ALL).await;
            let (departure, code) = returned(&pool).await;
            let who = pages(&pool.cognito).arrive(&departure, &code.into()).await.unwrap();
            assert_eq!(who.person.email.as_deref(), Some(BEA));
            let Step::In(direct) = pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await.unwrap() else { panic!() };
            assert_eq!(direct.person, who.person);
            let renewed = pool.cognito.renew(&who).await.unwrap().unwrap();
            assert_eq!(renewed.person, who.person);
            pool.cognito.rename(&renewed, &"Beatrix".parse().unwrap()).await.unwrap();
            let renamed = pool.cognito.renew(&renewed).await.unwrap().unwrap();
            assert_eq!(renamed.person.nickname.as_deref(), Some("Beatrix"));
            pool.cognito.sign_out_everywhere(&renamed).await.unwrap();
            assert!(pool.cognito.renew(&renamed).await.unwrap().is_none());
            let (departure, code) = returned(&pool).await;
            let who = pages(&pool.cognito).arrive(&departure, &code.into()).await.unwrap();
            pool.cognito.delete(&who).await.unwrap();
            assert_eq!(refused(pool.cognito.sign_in(&named(BEA), &PASSWORD.into()).await), Refusal::Credentials);
            pool.gone().await;
        }
    }

    /// SECURITY 35.
    #[tokio::test]
    async fn a_code_works_once_and_for_the_browser_that_set_out_only() {
        let pool = pool(true, &ALL).await;
        let (departure, code) = returned(&pool).await;
        let arrive =
            async |departure: &Departure, code: &str| pages(&pool.cognito).arrive(departure, &code.into()).await;
        let other =
            Departure { verifier: "another-verifier-another-verifier-another-43".to_owned(), ..departure.clone() };
        assert_eq!(refused(arrive(&other, &code).await), Refusal::Expired, "another browser's verifier");
        let other = Departure { nonce: "another".to_owned(), ..departure.clone() };
        arrive(&departure, &code).await.unwrap();
        assert_eq!(refused(arrive(&departure, &code).await), Refusal::Expired, "the code again");
        assert_eq!(refused(arrive(&departure, "made-up").await), Refusal::Expired);
        let (departure, code) = returned(&pool).await;
        let other = Departure { verifier: departure.verifier.clone(), ..other };
        assert_eq!(refused(arrive(&other, &code).await), Refusal::Expired, "another browser's nonce");
        pool.gone().await;
    }

    #[tokio::test]
    async fn the_pools_pages_send_the_browser_back_after_signing_out() {
        let pool = pool(true, &ALL).await;
        let browser = Client::builder().redirect(Policy::none()).build().unwrap();
        let out = browser.get(pages(&pool.cognito).leave()).send().await.unwrap();
        assert_eq!(
            (out.status().as_u16(), out.headers()["location"].to_str().unwrap()),
            (302, "http://127.0.0.1:5000/")
        );
        pool.gone().await;
    }

    #[tokio::test]
    async fn without_the_scope_to_change_accounts_there_is_a_sentence() {
        let pool = pool(true, &["openid", "email"]).await;
        let (departure, code) = returned(&pool).await;
        let who = pages(&pool.cognito).arrive(&departure, &code.into()).await.unwrap();
        let Refusal::NotOffered(sentence) = refused(pool.cognito.delete(&who).await) else { panic!() };
        assert_eq!(
            refused(pool.cognito.may_delete(&who).await),
            Refusal::NotOffered(sentence.clone()),
            "known before anything is deleted"
        );
        assert!(sentence.contains("aws.cognito.signin.user.admin"), "{sentence}");
        pool.gone().await;
    }
}
