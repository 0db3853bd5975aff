//! Sessions begin, are known, and end.

use std::{sync::atomic::Ordering, time::Duration};

use photo_gallery::accounts::Denial;

use super::{Gallery, PASSWORD, TIMES, cookie, entry, from, named, now, town::CODE, wait};

pub(super) async fn a_session_is_known_on_every_instance_and_ends_on_all(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    assert_eq!(gallery.known(&ann).await, 2);
    let session = gallery.two.session(&ann).await.unwrap().unwrap();
    assert_eq!(session.person.email.as_deref(), Some("ann@example.org"));
    assert_eq!((session.agent.as_str(), session.address.as_str()), ("tests", "192.0.2.1"));
    assert_eq!((session.created_at, session.handle.len()), (now(), 16));
    gallery.two.sign_out(&ann).await.unwrap();
    assert_eq!(gallery.known(&ann).await, 0);
    gallery.two.sign_out(&ann).await.unwrap();
}

pub(super) async fn the_old_cookie_is_nobodys_after_signing_in(gallery: &Gallery) {
    let before = cookie(&gallery.newcomer("ann@example.org").await);
    let other = cookie(&gallery.signed_in("ann@example.org").await);
    let again =
        gallery.two.sign_in(&from("192.0.2.1"), &named("ann@example.org"), &PASSWORD.into(), Some(&before)).await;
    let after = cookie(&entry(again));
    assert_ne!(before, after);
    assert_eq!((gallery.known(&before).await, gallery.known(&after).await, gallery.known(&other).await), (0, 2, 2));
}

pub(super) async fn junk_is_no_session(gallery: &Gallery) {
    let good = cookie(&gallery.newcomer("ann@example.org").await);
    let mut junk: Vec<String> = (0..good.len())
        .flat_map(|at| {
            ['A', 'B', '!', ' ', 'ä'].into_iter().filter_map({
                let good = good.clone();
                move |with| {
                    let flipped: String =
                        good.chars().enumerate().map(|(i, c)| if i == at { with } else { c }).collect();
                    (flipped != good).then_some(flipped)
                }
            })
        })
        .collect();
    junk.extend((0..good.len()).map(|end| good[..end].to_owned()));
    junk.extend([
        format!("{good}="),
        format!("{good}A"),
        format!(" {good}"),
        "x".repeat(8192),
        "' OR 1=1 -- ".to_owned(),
    ]);
    for cookie in junk {
        assert!(gallery.one.session(&cookie).await.unwrap().is_none(), "{cookie}");
    }
    assert_eq!(gallery.known(&good).await, 2);
}

pub(super) async fn sessions_time_out(gallery: &Gallery) {
    let idle = cookie(&gallery.newcomer("ann@example.org").await);
    let used = cookie(&gallery.signed_in("ann@example.org").await);
    let day = Duration::from_hours(24);
    for _ in 0..13 {
        wait(day);
        assert!(gallery.one.session(&used).await.unwrap().is_some());
    }
    wait(day.saturating_sub(Duration::from_millis(1)));
    assert_eq!(gallery.known(&used).await, 2);
    wait(Duration::from_millis(1));
    assert_eq!((gallery.known(&idle).await, gallery.known(&used).await), (0, 2), "idle for 14 days");
    let owner = gallery.one.session(&used).await.unwrap().unwrap().person.owner;
    assert_eq!(gallery.one.sessions(&owner).await.unwrap().len(), 1);
    for _ in 14..90 {
        assert_eq!(gallery.known(&used).await, 2);
        wait(day);
    }
    assert_eq!(gallery.known(&used).await, 0, "90 days in all");
    assert_eq!(gallery.bed.catalog.sessions(&owner).await.unwrap().len(), 2);
    gallery.two.sweep().await.unwrap();
    assert!(gallery.bed.catalog.sessions(&owner).await.unwrap().is_empty());
    assert!(TIMES.absolute == day * 90);
}

pub(super) async fn that_a_session_is_in_use_is_written_once_an_hour(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let began = now();
    let seen = async || gallery.one.session(&ann).await.unwrap().unwrap().seen_at;
    wait(Duration::from_mins(59));
    seen().await;
    assert_eq!(seen().await, began);
    wait(Duration::from_mins(1));
    seen().await;
    assert_eq!(seen().await, now());
}

pub(super) async fn the_catalog_holds_nothing_that_would_let_one_in(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let owner = gallery.one.session(&ann).await.unwrap().unwrap().person.owner;
    let record = gallery.bed.catalog.sessions(&owner).await.unwrap().pop().unwrap();
    let told = format!("{record:?} {}", String::from_utf8_lossy(&record.sealed));
    assert!(!told.contains(&ann) && !told.contains("grant of"), "{told}");
    assert!(gallery.one.session(&record.id).await.unwrap().is_none(), "the hash is no cookie");
    let shown = format!("{:?}", gallery.one.session(&ann).await.unwrap());
    assert!(!shown.contains(&ann) && !shown.contains(&record.id), "{shown}");
}

pub(super) async fn a_changed_password_ends_all_other_sessions(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let this = cookie(&gallery.newcomer("ann@example.org").await);
    let other = cookie(&gallery.signed_in("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    let client = from("192.0.2.1");
    let wrong = gallery.one.change_password(&client, &this, &"wrong".into(), &"another password".into()).await;
    assert!(matches!(wrong, Err(Denial::Refused(_))), "{wrong:?}");
    assert_eq!((gallery.known(&this).await, gallery.known(&other).await), (2, 2));
    let changed = gallery.one.change_password(&client, &this, &PASSWORD.into(), &"another password".into()).await;
    let fresh = cookie(&changed.unwrap());
    assert_eq!((gallery.known(&this).await, gallery.known(&other).await), (0, 0));
    assert_eq!((gallery.known(&fresh).await, gallery.known(&bob).await), (2, 2));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gallery.town.asked("sign out"), 1, "the other session's grant is given back, this one's is in use");
}

pub(super) async fn a_reset_password_ends_all_sessions(gallery: &Gallery) {
    let client = from("192.0.2.1");
    for tells in [true, false] {
        gallery.town.tells.store(tells, Ordering::SeqCst);
        let ann = cookie(&gallery.newcomer("Ann@example.org").await);
        let bob = cookie(&gallery.newcomer("bob@example.org").await);
        let name = named("ann@EXAMPLE.org");
        let wrong = gallery.one.reset(&client, &name, &"000000".into(), &"another password".into()).await;
        assert!(matches!(wrong, Err(Denial::Refused(_))), "{wrong:?}");
        assert_eq!(gallery.known(&ann).await, 2);
        gallery.one.reset(&client, &name, &CODE.into(), &"another password".into()).await.unwrap();
        assert_eq!((gallery.known(&ann).await, gallery.known(&bob).await), (0, 2), "the provider tells: {tells}");
    }
}

/// Waits until a cookie is nobody's.
async fn ended(gallery: &Gallery, cookie: &str) {
    for _ in 0..200 {
        if gallery.known(cookie).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("after 10 s the session goes on");
}

pub(super) async fn a_password_is_changed_to_the_end_when_the_browser_goes_away(gallery: &Gallery) {
    let this = cookie(&gallery.newcomer("ann@example.org").await);
    let other = cookie(&gallery.signed_in("ann@example.org").await);
    gallery.town.slow.store(300, Ordering::SeqCst);
    let (client, old, new) = (from("192.0.2.1"), PASSWORD.into(), "another password".into());
    let changing = gallery.one.change_password(&client, &this, &old, &new);
    tokio::time::timeout(Duration::from_millis(100), changing).await.expect_err("the browser has gone away");
    gallery.town.slow.store(0, Ordering::SeqCst);
    ended(gallery, &this).await;
    ended(gallery, &other).await;
    let again = gallery.one.sign_in(&client, &named("ann@example.org"), &new, None).await;
    assert_eq!(gallery.known(&cookie(&entry(again))).await, 2);
}

pub(super) async fn a_password_is_reset_to_the_end_when_the_browser_goes_away(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    gallery.town.slow.store(300, Ordering::SeqCst);
    let (client, name, code, new) =
        (from("192.0.2.1"), named("ann@example.org"), CODE.into(), "another password".into());
    let resetting = gallery.one.reset(&client, &name, &code, &new);
    tokio::time::timeout(Duration::from_millis(100), resetting).await.expect_err("the browser has gone away");
    gallery.town.slow.store(0, Ordering::SeqCst);
    ended(gallery, &ann).await;
}

pub(super) async fn an_account_has_fifty_sessions_the_longest_unused_ends(gallery: &Gallery) {
    let first = cookie(&gallery.newcomer("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    wait(Duration::from_secs(1));
    let second = cookie(&gallery.signed_in("ann@example.org").await);
    wait(Duration::from_secs(1));
    for _ in 2..50 {
        gallery.signed_in("ann@example.org").await;
    }
    assert_eq!((gallery.known(&first).await, gallery.known(&second).await), (2, 2));
    gallery.signed_in("ann@example.org").await;
    assert_eq!((gallery.known(&first).await, gallery.known(&second).await, gallery.known(&bob).await), (0, 2, 2));
    let owner = gallery.one.session(&second).await.unwrap().unwrap().person.owner;
    assert_eq!(gallery.one.sessions(&owner).await.unwrap().len(), 50);
}

pub(super) async fn nobody_ends_the_session_of_another(gallery: &Gallery) {
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    let anns = gallery.one.session(&ann).await.unwrap().unwrap();
    let bobs = gallery.one.session(&bob).await.unwrap().unwrap();
    assert!(!gallery.one.end_session(&bobs.person.owner, &anns.handle).await.unwrap());
    assert!(!gallery.one.end_session(&bobs.person.owner, "").await.unwrap());
    assert_eq!(gallery.known(&ann).await, 2);
    assert!(gallery.one.end_session(&anns.person.owner, &anns.handle).await.unwrap());
    assert_eq!((gallery.known(&ann).await, gallery.known(&bob).await), (0, 2));
}

pub(super) async fn signing_out_everywhere_ends_all_sessions_here_and_at_the_provider(gallery: &Gallery) {
    let here = cookie(&gallery.newcomer("ann@example.org").await);
    let there = cookie(&gallery.signed_in("ann@example.org").await);
    let bob = cookie(&gallery.newcomer("bob@example.org").await);
    gallery.one.sign_out_everywhere(&here).await.unwrap();
    assert_eq!((gallery.known(&here).await, gallery.known(&there).await, gallery.known(&bob).await), (0, 0, 2));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gallery.town.asked("sign out everywhere"), 1);
}

pub(super) async fn a_new_nickname_is_shown_in_all_sessions(gallery: &Gallery) {
    let here = cookie(&gallery.newcomer("ann@example.org").await);
    let there = cookie(&gallery.signed_in("ann@example.org").await);
    gallery.one.rename(&here, &"Ännchen".parse().unwrap()).await.unwrap();
    for cookie in [here, there] {
        let session = gallery.two.session(&cookie).await.unwrap().unwrap();
        assert_eq!(session.person.nickname.as_deref(), Some("Ännchen"));
    }
}
