//! The pool's keys come and go, and its list of them is not always there (SECURITY 24; FAULTS R20, R21).

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use photo_gallery::identity::{
    Refusal,
    cognito::{Cognito, Unproven},
};
use serde_json::json;

use super::{
    KEYS, Says, StandIn, down, entered, lets_in, refused,
    signing::{Signer, id_claims, listing},
    standing_in, tried,
};

/// A clock of its own for a test: `moved!(LATER)` is read by `clock`.
macro_rules! clock {
    ($later:ident) => {
        static $later: AtomicI64 = AtomicI64::new(0);
        fn clock() -> DateTime<Utc> {
            Utc::now() + TimeDelta::seconds($later.load(Ordering::SeqCst))
        }
    };
}

fn fetches(server: &StandIn) -> usize {
    server.asked_of(KEYS).len()
}

async fn is_unknown(cognito: &Cognito) -> bool {
    down(tried(cognito).await).downcast_ref() == Some(&Unproven::Key)
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_sign_ins() {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    for _ in 0..5 {
        entered(tried(&cognito).await);
    }
    assert_eq!(fetches(&server), 1);
}

#[tokio::test]
async fn a_new_key_is_good_after_one_fetch_and_the_old_one_is_no_more() {
    clock!(LATER);
    let (server, cognito) = standing_in(clock).await;
    lets_in(&server, &Signer::first());
    entered(tried(&cognito).await);
    LATER.store(120, Ordering::SeqCst);
    server.on(KEYS, [Says::Says(listing(&[&Signer::second()]))]);
    lets_in(&server, &Signer::second());
    entered(tried(&cognito).await);
    entered(tried(&cognito).await);
    assert_eq!(fetches(&server), 2);
    lets_in(&server, &Signer::first());
    assert!(is_unknown(&cognito).await);
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_a_minute_whatever_the_rate() {
    clock!(LATER);
    let (server, cognito) = standing_in(clock).await;
    lets_in(&server, &Signer::first());
    entered(tried(&cognito).await);
    lets_in(&server, &Signer::second());
    for (minute, seconds) in [(1, 0), (1, 59), (2, 61), (2, 119), (3, 122)] {
        LATER.store(seconds, Ordering::SeqCst);
        for _ in 0..5 {
            assert!(is_unknown(&cognito).await);
        }
        assert_eq!(fetches(&server), minute, "after {seconds} s");
    }
    lets_in(&server, &Signer::first());
    entered(tried(&cognito).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_come_at_once_share_one_fetch() {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    let cognito = Arc::new(cognito);
    let entering: Vec<_> = (0..20)
        .map(|_| {
            let cognito = Arc::clone(&cognito);
            tokio::spawn(async move { entered(tried(&cognito).await) })
        })
        .collect();
    for one in entering {
        one.await.unwrap();
    }
    assert_eq!(fetches(&server), 1);
}

#[tokio::test]
async fn the_known_keys_go_on_while_their_list_is_away_or_garbage() {
    clock!(LATER);
    let (server, cognito) = standing_in(clock).await;
    lets_in(&server, &Signer::first());
    entered(tried(&cognito).await);
    let ec = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "first", "x": "AA", "y": "AA"}]});
    let encrypts = json!({"keys": [{"kty": "RSA", "use": "enc", "kid": "first", "n": "AQAB", "e": "AQAB"}]});
    let garbage = [
        Says::Body(500, "oops".to_owned()),
        Says::Body(200, "<html>".to_owned()),
        Says::Body(200, "{}".to_owned()),
        Says::Body(200, "{\"keys\": 7}".to_owned()),
        Says::Body(200, format!("{{\"keys\": [{}]}}", "1,".repeat(500_000))),
        Says::Says(json!({"keys": []})),
        Says::Says(ec),
        Says::Says(encrypts),
    ];
    for (number, answer) in (1..).zip(garbage) {
        LATER.fetch_add(61, Ordering::SeqCst);
        server.on(KEYS, [answer]);
        lets_in(&server, &Signer::second());
        assert!(is_unknown(&cognito).await, "garbage {number}");
        assert_eq!(fetches(&server), number + 1, "garbage {number} was not read");
        lets_in(&server, &Signer::first());
        entered(tried(&cognito).await);
    }
}

#[tokio::test]
async fn without_any_keys_nobody_is_let_in_until_they_can_be_fetched() {
    clock!(LATER);
    let (server, cognito) = standing_in(clock).await;
    server.on(KEYS, [Says::Body(503, String::new())]);
    lets_in(&server, &Signer::first());
    assert!(is_unknown(&cognito).await);
    server.on(KEYS, [Says::Says(listing(&[&Signer::first()]))]);
    LATER.store(6, Ordering::SeqCst);
    entered(tried(&cognito).await);
}

#[tokio::test]
async fn a_key_too_small_to_trust_proves_nothing() {
    let (server, cognito) = standing_in(Utc::now).await;
    let mut small = Signer::first().listed();
    small["n"] = "AQAB".into();
    server.on(KEYS, [Says::Says(json!({"keys": [small]}))]);
    let token = Signer::first().token(&id_claims());
    let result = json!({"IdToken": token, "AccessToken": token, "RefreshToken": "r"});
    server.on("InitiateAuth", [Says::Says(json!({"AuthenticationResult": result}))]);
    assert_eq!(refused(tried(&cognito).await), Refusal::Expired);
}
