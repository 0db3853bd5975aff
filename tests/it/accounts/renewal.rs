//! The provider is asked again about people who are signed in.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{Gallery, TIMES, cookie, keys, wait};

pub(super) async fn one_of_all_instances_asks_the_provider_when_it_is_due(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    wait(TIMES.renew.saturating_sub(Duration::from_millis(1)));
    gallery.known(&ann).await;
    assert_eq!(gallery.town.asked("renew"), 0);
    wait(Duration::from_millis(1));
    gallery.town.slow.store(100, Ordering::SeqCst);
    let asking = (0..20).map(|i| if i % 2 == 0 { &gallery.one } else { &gallery.two }).map(|one| one.session(&ann));
    for session in join_all(asking).await {
        assert!(session.unwrap().is_some());
    }
    assert_eq!(gallery.town.asked("renew"), 1);
    let session = gallery.two.session(&ann).await.unwrap().unwrap();
    assert_eq!(session.person.nickname.as_deref(), Some("Renewed"), "the claims are the provider's new ones");
    wait(TIMES.renew);
    gallery.known(&ann).await;
    assert_eq!(gallery.town.asked("renew"), 1, "with the new grant, a quarter of an hour later");
}

pub(super) async fn somebody_who_was_disabled_is_out_when_the_provider_is_asked(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    gallery.town.disable("ann@example.org");
    assert_eq!(gallery.known(&ann).await, 2);
    wait(TIMES.renew);
    assert_eq!(gallery.known(&ann).await, 0);
    assert_eq!(gallery.town.asked("renew"), 1);
}

pub(super) async fn a_provider_that_is_down_leaves_people_in_and_is_asked_again_in_a_minute(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    gallery.town.down.store(true, Ordering::SeqCst);
    wait(TIMES.renew);
    assert_eq!((gallery.known(&ann).await, gallery.town.asked("renew")), (2, 1));
    wait(Duration::from_secs(59));
    assert_eq!((gallery.known(&ann).await, gallery.town.asked("renew")), (2, 0));
    wait(Duration::from_secs(1));
    gallery.town.down.store(false, Ordering::SeqCst);
    gallery.town.disable("ann@example.org");
    assert_eq!((gallery.known(&ann).await, gallery.town.asked("renew")), (0, 1));
}

pub(super) async fn a_slow_provider_holds_no_page(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    gallery.town.slow.store(3500, Ordering::SeqCst);
    gallery.town.disable("ann@example.org");
    wait(TIMES.renew);
    let began = Instant::now();
    assert!(gallery.one.session(&ann).await.unwrap().is_some());
    assert!(began.elapsed() < Duration::from_millis(3400), "{:?}", began.elapsed());
    for _ in 0..100 {
        if gallery.known(&ann).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("what the provider said at last was not written down");
}

pub(super) async fn what_another_secret_sealed_ends(gallery: &Gallery) {
    gallery.town.grants.store(true, Ordering::SeqCst);
    let ann = cookie(&gallery.newcomer("ann@example.org").await);
    let mut other = keys();
    other.seal = [9; 32];
    let (stranger, _) = Gallery::instance(&gallery.bed.connection, gallery.folder.path(), &gallery.town, other, 3);
    wait(TIMES.renew);
    assert!(stranger.session(&ann).await.unwrap().is_none());
    assert_eq!((gallery.known(&ann).await, gallery.town.asked("renew")), (0, 0));
}
