//! Guessing is slow, wherever and however it is done, and the true user gets in.

use std::time::Duration;

use futures_util::future::join_all;
use photo_gallery::{
    accounts::{Accounts, Client, Denial},
    identity::{Challenge, Chooser, Factor, Pending, Refusal, Response},
};
use secrecy::ExposeSecret as _;

use super::{Gallery, PASSWORD, cookie, entry, from, limited, named, town::CODE, wait};

/// Whether a try with this password reached the provider.
async fn tried(accounts: &std::sync::Arc<Accounts>, client: &Client, name: &str, password: &str) -> bool {
    match accounts.sign_in(client, &named(name), &password.into(), None).await {
        Err(Denial::Limited { retry_after }) => {
            assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_mins(1), "{retry_after:?}");
            false
        }
        Ok(_) | Err(Denial::Refused(_)) => true,
        Err(Denial::Failed(error)) => panic!("{error:?}"),
    }
}

pub(super) async fn twenty_wrong_passwords_on_two_instances_are_limited_together(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    gallery.town.asked("sign in");
    let client = from("198.51.100.7");
    let mut reached = 0;
    for number in 0..20 {
        let accounts = if number % 2 == 0 { &gallery.one } else { &gallery.two };
        reached += usize::from(tried(accounts, &client, "ann@example.org", "wrong").await);
    }
    assert_eq!((reached, gallery.town.asked("sign in")), (10, 10));
    assert!(!tried(&gallery.two, &client, "ANN@example.org ", PASSWORD).await, "however the name is typed");
}

pub(super) async fn fifty_names_from_one_address_are_limited(gallery: &Gallery) {
    let mut reached = 0;
    for number in 0..50 {
        let client = from(&format!("2001:db8:0:1::{number:x}"));
        reached += usize::from(tried(&gallery.one, &client, &format!("user{number}@example.org"), "wrong").await);
    }
    assert_eq!(reached, 30, "an IPv6 subscriber is one address");
    assert!(tried(&gallery.one, &from("2001:db8:0:2::1"), "user1@example.org", "wrong").await);
}

pub(super) async fn another_address_and_a_known_browser_still_get_in(gallery: &Gallery) {
    let ann = gallery.newcomer("ann@example.org").await;
    let mut reached = 0;
    for number in 0..100 {
        let attacker = from(&format!("198.51.100.{}", number % 10));
        reached += usize::from(tried(&gallery.one, &attacker, "ann@example.org", "wrong").await);
        if reached == 20 {
            assert!(
                tried(&gallery.two, &from("203.0.113.1"), "ann@example.org", PASSWORD).await,
                "from another address"
            );
        }
    }
    assert_eq!(reached, 50, "by however many machines");
    assert!(!tried(&gallery.two, &from("203.0.113.2"), "ann@example.org", PASSWORD).await);
    let known = Client { device: Some(ann.device.expose_secret().to_owned()), ..from("198.51.100.1") };
    let again = gallery.two.sign_in(&known, &named("ann@example.org"), &PASSWORD.into(), None).await;
    let device = entry(again).device;
    let known = Client { device: Some(device.expose_secret().to_owned()), ..known };
    let mut reached = 0;
    for _ in 0..20 {
        reached += usize::from(tried(&gallery.one, &known, "ann@example.org", "wrong").await);
    }
    assert_eq!(reached, 10, "a known browser may not guess either");
}

pub(super) async fn limits_let_go_with_time(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    let client = from("198.51.100.7");
    while tried(&gallery.one, &client, "ann@example.org", "wrong").await {}
    let wrong = gallery.one.sign_in(&client, &named("ann@example.org"), &PASSWORD.into(), None).await;
    assert_eq!(limited(wrong), Duration::from_secs(30));
    wait(Duration::from_secs(29));
    assert!(!tried(&gallery.one, &client, "ann@example.org", PASSWORD).await);
    wait(Duration::from_secs(1));
    let right = gallery.two.sign_in(&client, &named("ann@example.org"), &PASSWORD.into(), None).await;
    assert_eq!(gallery.known(&cookie(&entry(right))).await, 2);
    wait(Duration::from_hours(2));
    gallery.two.sweep().await.unwrap();
    assert_eq!(gallery.bed.count("SELECT COUNT(*) FROM rate_limit").await, 0);
}

pub(super) async fn a_right_password_does_not_count(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    for _ in 0..60 {
        assert!(tried(&gallery.one, &from("198.51.100.7"), "ann@example.org", PASSWORD).await);
    }
}

pub(super) async fn forty_wrong_passwords_at_once_are_ten(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    gallery.town.asked("sign in");
    let client = from("198.51.100.7");
    let tries = (0..40).map(|number| {
        let accounts = if number % 2 == 0 { &gallery.one } else { &gallery.two };
        tried(accounts, &client, "ann@example.org", "wrong")
    });
    let reached = join_all(tries).await.into_iter().filter(|reached| *reached).count();
    assert_eq!((reached, gallery.town.asked("sign in")), (10, 10));
}

pub(super) async fn codes_are_limited(gallery: &Gallery) {
    let (client, name) = (from("198.51.100.7"), named("ann@example.org"));
    gallery.newcomer("ann@example.org").await;
    for _ in 0..10 {
        let wrong = gallery.one.confirm(&client, &name, &"000000".into(), &Chooser::default()).await;
        assert!(matches!(wrong, Err(Denial::Refused(_))), "{wrong:?}");
    }
    limited(gallery.two.confirm(&client, &name, &CODE.into(), &Chooser::default()).await);
    limited(gallery.two.reset(&client, &name, &CODE.into(), &"another password".into()).await);
    assert_eq!((gallery.town.asked("confirm"), gallery.town.asked("reset")), (10, 0));
    let name = named("bob@example.org");
    for number in 0..5 {
        let accounts = if number % 2 == 0 { &gallery.one } else { &gallery.two };
        accounts.forgot(&client, &name).await.unwrap();
    }
    limited(gallery.two.forgot(&from("203.0.113.1"), &name).await);
    limited(gallery.two.resend(&from("203.0.113.1"), &name, None).await);
    for number in 0..15 {
        gallery.one.forgot(&client, &named(&format!("user{number}@example.org"))).await.unwrap();
    }
    limited(gallery.two.forgot(&client, &named("more@example.org")).await);
}

pub(super) async fn no_name_and_no_address_stands_among_the_limits(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    tried(&gallery.one, &from("198.51.100.7"), "ann@example.org", "wrong").await;
    let hashes =
        "SELECT COUNT(*) FROM rate_limit WHERE LENGTH(bucket) = 64 AND bucket NOT LIKE '%.%' AND bucket NOT LIKE '%@%'";
    let all = gallery.bed.count("SELECT COUNT(*) FROM rate_limit").await;
    assert!(all >= 3, "{all}");
    assert_eq!(gallery.bed.count(hashes).await, all);
}

pub(super) async fn without_a_place_to_count_nothing_is_tried(gallery: &Gallery) {
    gallery.newcomer("ann@example.org").await;
    gallery.town.asked("sign in");
    gallery.bed.run("DROP TABLE rate_limit").await;
    let outcome = gallery.one.sign_in(&from("198.51.100.7"), &named("ann@example.org"), &PASSWORD.into(), None).await;
    assert!(matches!(&outcome, Err(Denial::Failed(error)) if error.status() >= 500), "{outcome:?}");
    assert_eq!(gallery.town.asked("sign in"), 0);
}

/// SECURITY 31.
pub(super) async fn junk_codes_keep_the_true_user_from_nothing(gallery: &Gallery) {
    let name = named("ann@example.org");
    gallery.newcomer("ann@example.org").await;
    let own = from("203.0.113.1");
    let asked = gallery.one.forgot(&own, &name).await.unwrap();
    let own = Client { sign_in: Some(gallery.one.seal(&asked, "/").unwrap().expose_secret().to_owned()), ..own };
    let mut reached = 0;
    for number in 0..100 {
        let attacker = from(&format!("198.51.100.{}", number % 10));
        let junk = gallery.one.confirm(&attacker, &name, &"000000".into(), &Chooser::default()).await;
        reached += usize::from(matches!(junk, Err(Denial::Refused(_))));
        if reached == 20 {
            let other = gallery.two.confirm(&from("203.0.113.2"), &name, &CODE.into(), &Chooser::default()).await;
            assert!(other.is_ok(), "from another address: {other:?}");
        }
    }
    assert_eq!(reached, 49, "by however many machines, one of them the true user's");
    let challenge = Challenge::Code { by: Factor::Authenticator, to: None };
    let pending = Pending { name: name.clone(), challenge, state: String::new() };
    let answered = gallery.one.respond(&own, &pending, &Response::Code(CODE.into()), None).await;
    assert!(matches!(answered, Err(Denial::Refused(Refusal::Expired))), "the provider was not asked: {answered:?}");
    for _ in 0..9 {
        let wrong = gallery.one.reset(&own, &name, &"000000".into(), &"another password".into()).await;
        assert!(matches!(wrong, Err(Denial::Refused(Refusal::Code))), "{wrong:?}");
    }
    gallery.two.reset(&own, &name, &CODE.into(), &"another password".into()).await.unwrap();
    limited(gallery.two.reset(&own, &name, &CODE.into(), &"another password".into()).await);
    let other = named("bob@example.org");
    for _ in 0..10 {
        let _ = gallery.one.confirm(&own, &other, &"000000".into(), &Chooser::default()).await;
    }
    limited(gallery.one.confirm(&own, &other, &"000000".into(), &Chooser::default()).await);
}
