//! Forged, foreign and stale tokens let nobody in, each for its own reason; nor do they make the gallery fetch anything (SECURITY 23).

use std::sync::atomic::{AtomicI64, Ordering};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use photo_gallery::identity::{Denied, Identity as _, Refusal, cognito::Unproven};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA512},
};
use serde_json::{Value, json};

use super::{
    KEYS, Says, down, entered, lets_in, refused,
    signing::{CLIENT, POOL, Signer, access_claims, id_claims, issuer, token},
    standing_in, tried,
};

/// Which token of the answer is the forged one.
#[derive(Clone, Copy, Debug)]
enum Which {
    Id,
    Access,
}
use Which::{Access, Id};

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Signs somebody in at a pool that answers with this token among good ones; why nobody was let in, which the pool's word about somebody
/// signed in tells.
async fn proved(which: Which, forged: &str) -> Result<(), Unproven> {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    let before = entered(tried(&cognito).await);
    let mut result = Signer::first().result();
    result[match which {
        Id => "IdToken",
        Access => "AccessToken",
    }] = forged.into();
    let says = Says::Says(json!({"AuthenticationResult": result}));
    server.on("InitiateAuth", [says.clone()]).on("GetTokensFromRefreshToken", [says]);
    let answer = tried(&cognito).await;
    let renewal = cognito.renew(&before).await;
    let elsewhere: Vec<_> = server
        .asked()
        .into_iter()
        .map(|asked| asked.what)
        .filter(|what| what != "InitiateAuth" && what != "GetTokensFromRefreshToken" && what != KEYS)
        .collect();
    assert!(elsewhere.is_empty(), "a token made the gallery ask for {elsewhere:?}");
    assert!(server.asked_of(KEYS).len() <= 1);
    match answer {
        Ok(step) => {
            entered(Ok(step));
            Ok(())
        }
        denied => {
            let why = *down(renewal).downcast_ref::<Unproven>().expect("the token is why");
            match denied {
                Err(Denied::Down(_)) => assert_eq!(why, Unproven::Key),
                denied => assert_eq!(refused(denied), Refusal::Expired, "{why}"),
            }
            Err(why)
        }
    }
}

/// A header with this beside the usual.
fn header(more: &[(&str, Value)]) -> String {
    let mut header = json!({"alg": "RS256", "kid": "first"});
    for (name, value) in more {
        header[name] = value.clone();
    }
    header.to_string()
}

#[tokio::test]
async fn the_tokens_of_a_pool_let_somebody_in() {
    let signer = Signer::first();
    assert_eq!(proved(Id, &signer.token(&id_claims())).await, Ok(()));
    assert_eq!(proved(Access, &signer.token(&access_claims())).await, Ok(()));
    let typed = signer.signed(&header(&[("typ", "JWT".into())]), &id_claims().to_string());
    assert_eq!(proved(Id, &typed).await, Ok(()));
}

#[tokio::test]
async fn a_token_that_is_signed_in_another_way_lets_nobody_in() {
    let (signer, claims) = (Signer::first(), id_claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let forged = token(&header(&[("alg", alg.into())]), &claims, |_| Vec::new());
        assert_eq!(proved(Id, &forged).await, Err(Unproven::Algorithm), "alg {alg}");
    }
    let public = BASE64_URL_SAFE_NO_PAD.encode(signer.public().n);
    let shared = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
    let forged = token(&header(&[("alg", "HS256".into())]), &claims, |message| {
        hmac::sign(&shared, message.as_bytes()).as_ref().to_vec()
    });
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Algorithm), "HS256 by the public key");
    let forged = token(&header(&[("alg", "RS512".into())]), &claims, |message| signer.sign(&RSA_PKCS1_SHA512, message));
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Algorithm), "RS512");
    let forged = token(&header(&[]), &claims, |message| signer.sign(&RSA_PKCS1_SHA512, message));
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Signature), "RS512 said to be RS256");
    let random = SystemRandom::new();
    let curve = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let curve = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, curve.as_ref(), &random).unwrap();
    let forged = token(&header(&[("alg", "ES256".into())]), &claims, |message| {
        curve.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
    });
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Algorithm), "ES256");
    let forged = signer.signed(&json!({"kid": "first"}).to_string(), &claims);
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Algorithm), "no algorithm");
}

#[tokio::test]
async fn a_token_of_a_key_that_the_pool_does_not_list_lets_nobody_in() {
    let claims = id_claims().to_string();
    for kid in ["second", "../../x", "/etc/passwd", "first' OR '1'='1", "x'; DROP TABLE session; --", "", "first\0"] {
        let forged = Signer::first().signed(&header(&[("kid", kid.into())]), &claims);
        assert_eq!(proved(Id, &forged).await, Err(Unproven::Key), "kid {kid}");
    }
    for kid in [Value::Null, 1.into(), json!(["first"])] {
        let forged = Signer::first().signed(&header(&[("kid", kid.clone())]), &claims);
        assert_eq!(proved(Id, &forged).await, Err(Unproven::Form), "kid {kid}");
    }
    let forged = Signer::second().signed(&header(&[]), &claims);
    assert_eq!(proved(Id, &forged).await, Err(Unproven::Signature), "another key under the name of the first");
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_neither_believed_nor_fetched() {
    let (other, claims) = (Signer::second(), id_claims().to_string());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let rows = [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", other.listed()),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("aGFzaA")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ];
    for (name, value) in rows {
        let forged = other.signed(&header(&[(name, value.clone())]), &claims);
        assert_eq!(proved(Id, &forged).await, Err(Unproven::Header), "{name}");
        let good_but_for_it = Signer::first().signed(&header(&[(name, value)]), &claims);
        assert_eq!(proved(Id, &good_but_for_it).await, Err(Unproven::Header), "{name}");
    }
    let nobody = listener.accept().expect_err("nothing was fetched");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_token_for_another_place_person_or_use_lets_nobody_in() {
    let signer = Signer::first();
    let rows = [
        (Id, changed(id_claims(), "iss", issuer("us-east-1_AnotherOne").into()), Unproven::Issuer),
        (Id, changed(id_claims(), "iss", format!("{}/", issuer(POOL)).into()), Unproven::Issuer),
        (Id, changed(id_claims(), "iss", format!("http://127.0.0.1/{POOL}").into()), Unproven::Issuer),
        (Id, without(id_claims(), "iss"), Unproven::Issuer),
        (Access, changed(access_claims(), "iss", issuer("us-east-1_AnotherOne").into()), Unproven::Issuer),
        (Id, changed(id_claims(), "aud", "anotherclient".into()), Unproven::Audience),
        (Id, changed(id_claims(), "aud", json!([CLIENT])), Unproven::Audience),
        (Id, changed(without(id_claims(), "aud"), "client_id", CLIENT.into()), Unproven::Audience),
        (Access, changed(access_claims(), "client_id", "anotherclient".into()), Unproven::Audience),
        (Access, changed(without(access_claims(), "client_id"), "aud", CLIENT.into()), Unproven::Audience),
        (Id, access_claims(), Unproven::Use),
        (Access, id_claims(), Unproven::Use),
        (Id, without(id_claims(), "token_use"), Unproven::Use),
        (Id, changed(id_claims(), "cognito:username", "somebody-else".into()), Unproven::Subject),
        (Id, changed(id_claims(), "sub", "somebody-else".into()), Unproven::Subject),
        (Id, without(id_claims(), "cognito:username"), Unproven::Subject),
        (Id, changed(id_claims(), "cognito:username", "".into()), Unproven::Subject),
        (Access, changed(access_claims(), "username", "somebody-else".into()), Unproven::Subject),
    ];
    for (which, claims, why) in rows {
        assert_eq!(proved(which, &signer.token(&claims)).await, Err(why), "{which:?} {claims}");
    }
}

#[tokio::test]
async fn a_token_out_of_its_time_lets_nobody_in_but_for_a_minute_of_leeway() {
    let signer = Signer::first();
    let now = Utc::now().timestamp();
    let rows = [
        ("exp", json!(now - 61), Err(Unproven::Expired)),
        ("exp", json!(now - 40), Ok(())),
        ("exp", json!(0), Err(Unproven::Expired)),
        ("exp", json!(-1), Err(Unproven::Expired)),
        ("exp", json!((now + 3600).to_string()), Err(Unproven::Form)),
        ("exp", json!(1e300), Err(Unproven::Form)),
        ("exp", Value::Null, Err(Unproven::Form)),
        ("nbf", json!(now + 90), Err(Unproven::Early)),
        ("nbf", json!(now + 40), Ok(())),
        ("nbf", json!("tomorrow"), Err(Unproven::Form)),
    ];
    for (name, value, proves) in rows {
        assert_eq!(
            proved(Id, &signer.token(&changed(id_claims(), name, value.clone()))).await,
            proves,
            "{name} {value}"
        );
        assert_eq!(proved(Access, &signer.token(&changed(access_claims(), name, value))).await, proves, "{name}");
    }
    assert_eq!(proved(Id, &signer.token(&without(id_claims(), "exp"))).await, Err(Unproven::Form));
}

#[tokio::test]
async fn a_malformed_token_lets_nobody_in() {
    let signer = Signer::first();
    let good = signer.token(&id_claims());
    let claims = id_claims().to_string();
    let doubled = |name: &str, value: Value| format!("{{\"{name}\":{value},{}", &claims[1..]);
    let huge = signer.token(&changed(id_claims(), "email", "x".repeat(100_000).into()));
    assert!(huge.len() > 100_000);
    let rows = [
        ("100 kB", huge, Unproven::Size),
        ("empty", String::new(), Unproven::Form),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), Unproven::Form),
        ("four parts", format!("{good}.e30"), Unproven::Form),
        ("trailing blank", format!("{good} "), Unproven::Form),
        ("trailing line", format!("{good}\n"), Unproven::Form),
        ("trailing padding", format!("{good}=="), Unproven::Form),
        ("trailing junk", format!("{good}AAAA"), Unproven::Signature),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0), Unproven::Signature),
        ("junk after the claims", signer.signed(&header(&[]), &format!("{claims}{{}}")), Unproven::Form),
        ("junk after the header", signer.signed(&format!("{}x", header(&[])), &claims), Unproven::Form),
        ("claims that are no object", signer.signed(&header(&[]), "[]"), Unproven::Form),
        ("exp twice", signer.signed(&header(&[]), &doubled("exp", json!(1))), Unproven::Form),
        ("aud twice", signer.signed(&header(&[]), &doubled("aud", json!("another"))), Unproven::Form),
        ("an unknown claim twice", signer.signed(&header(&[]), &doubled("email", json!("a@b"))), Unproven::Form),
        ("alg twice", signer.signed(&format!("{{\"alg\":\"none\",{}", &header(&[])[1..]), &claims), Unproven::Form),
    ];
    for (what, forged, why) in rows {
        assert_eq!(proved(Id, &forged).await, Err(why), "{what}");
    }
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.rsplit_once('.').unwrap();
    let others = BASE64_URL_SAFE_NO_PAD.encode(changed(id_claims(), "cognito:username", "admin".into()).to_string());
    assert_eq!(proved(Id, &format!("{head}.{others}.{signature}")).await, Err(Unproven::Signature));
}

/// SECURITY 25.
#[tokio::test]
async fn the_owner_is_the_pools_own_name_and_the_address_is_only_shown() {
    let (server, cognito) = standing_in(Utc::now).await;
    super::lets_in(&server, &Signer::first());
    let who = entered(tried(&cognito).await).person;
    assert_eq!(who.owner.as_str(), super::signing::SUB);
    assert_eq!((who.email.as_deref(), who.nickname.as_deref()), (Some("bea@example.org"), Some("Bea")));
}

#[tokio::test]
async fn time_passes_for_tokens_as_the_gallery_is_told() {
    static LATER: AtomicI64 = AtomicI64::new(0);
    fn clock() -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(LATER.load(Ordering::SeqCst))
    }
    let (server, cognito) = standing_in(clock).await;
    super::lets_in(&server, &Signer::first());
    entered(tried(&cognito).await);
    LATER.store(3600 + 61, Ordering::SeqCst);
    assert_eq!(refused(tried(&cognito).await), Refusal::Expired);
}
