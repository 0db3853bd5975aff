//! The seam of events: one suite on the channel and on SNS and SQS; what messages look like; and what the worker makes of them, whatever
//! comes twice, late, in the wrong order or broken.

use std::{collections::HashSet, time::Duration};

use chrono::{SubsecRound as _, Utc};
use photo_gallery::{
    events::{Announcement, Events, InProcess, Message, Subject, TraceContext, trace},
    photo::{MediaType, ObjectPath, Owner, PhotoId},
};
use tokio::time::timeout;

mod gallery;
pub(crate) mod lambda;
mod message;
mod programs;
pub(crate) mod queue;
mod sweep;
mod work;

/// What an upload of somebody's announces.
fn announcement() -> Announcement {
    let now = Utc::now().trunc_subsecs(6);
    let photo = PhotoId::new(now);
    Announcement {
        photo,
        owner: "ann".parse::<Owner>().unwrap(),
        original: ObjectPath::original(photo, MediaType::Jpeg),
        media_type: MediaType::Jpeg,
        bytes: 12_345,
        uploaded_at: now,
    }
}

/// The next messages, which must come soon.
async fn next(events: &dyn Events) -> Vec<Message> {
    timeout(Duration::from_secs(20), events.next()).await.expect("a message comes").unwrap()
}

/// Nothing comes while one could wait for it.
async fn nothing_comes(events: &dyn Events) {
    let came = timeout(Duration::from_millis(2500), events.next()).await;
    assert!(came.is_err(), "{came:?}");
}

/// The photo that a message is about.
fn photo(message: &Message) -> PhotoId {
    match message.subjects.as_deref() {
        Ok([Subject::Photo(photo)]) => *photo,
        other => panic!("not about a photo: {other:?}"),
    }
}

/// What every variant promises.
mod keeps {
    use super::*;

    pub(super) async fn what_is_announced_is_handed_out_until_it_is_done(events: &dyn Events) {
        let told = announcement();
        events.announce(&told).await.unwrap();
        let messages = next(events).await;
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(photo(message), told.photo);
        assert!(message.received <= 1, "{message:?}");
        nothing_comes(events).await;
        events.done(message).await.unwrap();
        nothing_comes(events).await;
        events.done(message).await.expect("what is done twice is done");
        events.put_off(message, Duration::ZERO).await.expect("what is done is not put off, and that is no error");
        nothing_comes(events).await;
    }

    pub(super) async fn many_announcements_come_in_batches_of_at_most_ten(events: &dyn Events) {
        let mut expected = HashSet::new();
        for _ in 0..25 {
            let told = announcement();
            expected.insert(told.photo);
            events.announce(&told).await.unwrap();
        }
        let mut came = HashSet::new();
        while came.len() < expected.len() {
            let messages = next(events).await;
            assert!((1..=10).contains(&messages.len()), "{}", messages.len());
            for message in &messages {
                assert!(came.insert(photo(message)), "twice: {message:?}");
                events.done(message).await.unwrap();
            }
        }
        assert_eq!(came, expected);
    }

    pub(super) async fn the_request_that_caused_it_comes_along(events: &dyn Events) {
        let request = TraceContext::of_request("0123456789abcdef0123456789abcdef").unwrap();
        trace::within(Some(request.clone()), events.announce(&announcement())).await.unwrap();
        assert_eq!(next(events).await[0].trace, Some(request));
        events.announce(&announcement()).await.unwrap();
        assert_eq!(next(events).await[0].trace, None);
    }

    pub(super) async fn what_is_given_back_comes_again_where_a_queue_is_shared(events: &dyn Events) {
        let told = announcement();
        events.announce(&told).await.unwrap();
        let first = next(events).await;
        events.put_off(&first[0], Duration::ZERO).await.unwrap();
        if events.in_hand_for().is_none() {
            nothing_comes(events).await;
            return;
        }
        for received in 2..=4 {
            let again = next(events).await;
            assert_eq!((photo(&again[0]), again[0].received), (told.photo, received));
            events.put_off(&again[0], Duration::ZERO).await.unwrap();
        }
        let last = next(events).await;
        events.put_off(&last[0], Duration::from_secs(2)).await.unwrap();
        let soon = timeout(Duration::from_secs(1), events.next()).await;
        assert!(soon.is_err(), "too early: {soon:?}");
        let last = next(events).await;
        events.done(&last[0]).await.unwrap();
    }

    pub(super) async fn a_reminder_comes_like_an_announcement(events: &dyn Events) {
        let told = announcement();
        events.remind(&told).await.unwrap();
        let messages = next(events).await;
        assert_eq!(messages.iter().map(photo).collect::<Vec<_>>(), [told.photo]);
        events.done(&messages[0]).await.unwrap();
        assert_eq!(events.is_shared(), events.in_hand_for().is_some());
    }

    pub(super) async fn its_depth_is_told_where_a_queue_is_shared(events: &dyn Events) {
        for _ in 0..3 {
            events.announce(&announcement()).await.unwrap();
        }
        let Some(depth) = events.depth().await.unwrap() else {
            assert_eq!(events.in_hand_for(), None);
            return;
        };
        assert_eq!((depth.waiting, depth.in_hand, depth.dead), (3, 0, Some(0)));
        let messages = next(events).await;
        let depth = events.depth().await.unwrap().unwrap();
        let in_hand = u64::try_from(messages.len()).unwrap();
        assert_eq!((depth.waiting, depth.in_hand), (3 - in_hand, in_hand));
    }
}

macro_rules! conformance {
    ($events:expr) => {
        conformance! { @ $events,
            what_is_announced_is_handed_out_until_it_is_done
            many_announcements_come_in_batches_of_at_most_ten
            the_request_that_caused_it_comes_along
            what_is_given_back_comes_again_where_a_queue_is_shared
            a_reminder_comes_like_an_announcement
            its_depth_is_told_where_a_queue_is_shared
        }
    };
    (@ $events:expr, $($promise:ident)*) => {
        $(#[tokio::test]
        async fn $promise() {
            crate::events::keeps::$promise(&$events).await;
        })*
    };
}

mod in_process {
    use super::InProcess;

    conformance!(InProcess::new(100));
}

mod with_servers {
    use super::queue::Queues;

    mod in_envelopes {
        use super::Queues;

        conformance!(Queues::new().await.events());
    }

    mod raw {
        use super::Queues;

        conformance!(Queues::raw().await.events());
    }
}
