//! Leases: of many instances one does what is to be done in one place at a time.

use futures_util::future::join_all;
use photo_gallery::catalog::{Catalog, PoolSize};

use super::{Bed, cases::at};

pub(super) async fn a_lease_is_held_renewed_and_taken_once_it_has_run_out(bed: &Bed) {
    let take = |holder: &'static str, now: i64, until: i64| bed.catalog.take_lease("sweep", holder, at(now), at(until));
    assert!(take("one", 0, 60).await.expect("answered"));
    assert!(!take("two", 59, 100).await.expect("answered"));
    assert!(take("one", 59, 120).await.expect("answered"), "its holder renews it");
    assert!(!take("two", 60, 100).await.expect("answered"));
    assert!(take("two", 120, 180).await.expect("answered"), "it had run out");
    assert!(!take("one", 121, 200).await.expect("answered"));
    assert!(bed.catalog.take_lease("adoption", "one", at(0), at(10)).await.expect("answered"), "another lease");
    let leases = bed.catalog.leases().await.expect("read");
    let told: Vec<_> = leases.iter().map(|l| (l.name.as_str(), l.holder.as_str(), l.held_until())).collect();
    assert_eq!(told, [("adoption", "one", at(10)), ("sweep", "two", at(180))]);
    bed.catalog.give_up_lease("sweep", "one").await.expect("answered");
    assert!(!take("one", 122, 200).await.expect("answered"), "only its holder gives it up");
    bed.catalog.give_up_lease("sweep", "two").await.expect("answered");
    assert!(take("one", 123, 200).await.expect("answered"));
}

pub(super) async fn a_lease_that_a_wrong_clock_took_for_very_long_is_nobodys(bed: &Bed) {
    const DAY: i64 = 24 * 60 * 60;
    assert!(bed.catalog.take_lease("sweep", "one", at(DAY), at(DAY + 60)).await.expect("answered"));
    assert!(bed.catalog.take_lease("sweep", "two", at(0), at(60)).await.expect("answered"));
    assert!(!bed.catalog.take_lease("sweep", "three", at(1), at(61)).await.expect("answered"));
}

pub(super) async fn of_many_instances_one_gets_a_lease(bed: &Bed) {
    let other = Catalog::open(&bed.connection, PoolSize::default()).expect("a catalog");
    // The first round makes the row, the second finds one that has run out.
    for round in 0..2 {
        let (now, until) = (at(round * 100), at(round * 100 + 60));
        let tries = (0..16).map(|number| {
            let catalog = if number % 2 == 0 { &bed.catalog } else { &other };
            async move { catalog.take_lease("sweep", &format!("holder {number}"), now, until).await }
        });
        let taken = join_all(tries).await.into_iter().map(|taken| taken.expect("answered"));
        assert_eq!(taken.filter(|taken| *taken).count(), 1, "round {round}");
    }
    other.close().await;
}
