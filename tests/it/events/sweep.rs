//! What the worker's sweep does beside a queue or a topic, and what becomes of a loop that dies.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use photo_gallery::{
    events::{Announcement, Depth, Events, Message, Subject},
    photo::{MediaType, PhotoId},
    store::Content,
    supervisor::{Standing, Supervisor},
    worker::Bounds,
};
use tokio_util::sync::CancellationToken;

use super::gallery::{Gallery, Watched};

const BOUNDS: Bounds = Bounds { at_once: 2, sweep_every: Duration::from_mins(5) };

/// Events that others share: what uploads announce goes elsewhere, and reminders are written down.
#[derive(Default)]
struct Shared {
    reminders: Mutex<Vec<PhotoId>>,
    messages: Mutex<Vec<Message>>,
    depth: Option<Depth>,
    is_silent: bool,
    takes_no_reminders: bool,
    /// The next question for messages panics; or the one for the depth, once a photo is at work.
    next_panics: AtomicBool,
    depth_panics: AtomicBool,
    is_at_work: AtomicBool,
}

impl Shared {
    fn reminders(&self) -> Vec<PhotoId> {
        let mut reminders = self.reminders.lock().unwrap().clone();
        reminders.sort();
        reminders
    }
}

#[async_trait::async_trait]
impl Events for Shared {
    async fn announce(&self, _: &Announcement) -> anyhow::Result<()> {
        Ok(())
    }

    async fn remind(&self, upload: &Announcement) -> anyhow::Result<()> {
        anyhow::ensure!(!self.takes_no_reminders, "told to take none");
        self.reminders.lock().unwrap().push(upload.photo);
        Ok(())
    }

    fn announces(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn next(&self) -> anyhow::Result<Vec<Message>> {
        if let Some(message) = self.messages.lock().unwrap().pop() {
            return Ok(vec![message]);
        }
        assert!(!self.next_panics.swap(false, Ordering::SeqCst), "told to break down");
        std::future::pending().await
    }

    async fn done(&self, _: &Message) -> anyhow::Result<()> {
        Ok(())
    }

    async fn put_off(&self, _: &Message, _: Duration) -> anyhow::Result<()> {
        Ok(())
    }

    fn in_hand_for(&self) -> Option<Duration> {
        None
    }

    async fn depth(&self) -> anyhow::Result<Option<Depth>> {
        if self.depth_panics.swap(false, Ordering::SeqCst) {
            while !self.is_at_work.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("told to break down");
        }
        anyhow::ensure!(!self.is_silent, "told not to answer");
        Ok(self.depth)
    }
}

async fn gallery(events: Shared) -> (Gallery, Arc<Shared>, Arc<Watched>) {
    let events = Arc::new(events);
    (Gallery::new(Arc::<Shared>::clone(&events)).await, events, Watched::taking(Duration::ZERO))
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_photo_from_being_told_of() {
    let (gallery, events, labeler) = gallery(Shared { depth: Some(Depth::default()), ..Shared::default() }).await;
    let damaged = gallery.uploaded(0).await.id;
    let sound = [gallery.uploaded(1).await.id, gallery.uploaded(2).await.id];
    gallery.waited_long().await;
    gallery
        .run(format!(
            "UPDATE photo SET media_type = 'image/of-the-future', claimed_until = '2019-01-01 00:00:00' WHERE id = '{damaged}'"
        ))
        .await;
    let worker = gallery.worker_sweeping(Arc::<Shared>::clone(&events), &labeler, BOUNDS);
    let next = worker.sweep_once(&CancellationToken::new()).await.unwrap();
    assert!(next >= BOUNDS.sweep_every, "{next:?}");
    assert_eq!(events.reminders(), sound);
    let due = gallery.catalog.unfinished(chrono::Utc::now(), 10).await.unwrap();
    assert!(!due.contains(&damaged) && due.len() == 2, "it heads no sweep: {due:?}");
}

#[tokio::test]
async fn with_a_topic_alone_photos_are_left_to_others_and_told_of_again_when_these_left_them_behind() {
    let (gallery, events, labeler) = gallery(Shared::default()).await;
    let photo = gallery.uploaded(1).await.id;
    let worker = gallery.worker_sweeping(Arc::<Shared>::clone(&events), &labeler, BOUNDS);
    worker.sweep_once(&CancellationToken::new()).await.unwrap();
    assert_eq!(events.reminders(), []);
    gallery.waited_long().await;
    worker.sweep_once(&CancellationToken::new()).await.unwrap();
    assert_eq!((events.reminders(), labeler.calls()), (vec![photo], 0));
}

#[tokio::test]
async fn a_server_that_finishes_nothing_tells_others_again_of_what_they_left_behind() {
    let (gallery, events, labeler) = gallery(Shared::default()).await;
    let photo = gallery.uploaded(1).await.id;
    gallery.waited_long().await;
    let stop = CancellationToken::new();
    let worker = gallery.worker_sweeping(Arc::<Shared>::clone(&events), &labeler, BOUNDS);
    let reminding = tokio::spawn(worker.remind(stop.clone()));
    while events.reminders().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    reminding.await.unwrap();
    assert_eq!((events.reminders(), labeler.calls()), (vec![photo], 0));
}

#[tokio::test]
async fn where_nobody_can_be_told_overdue_photos_are_finished_here_and_objects_of_deleted_photos_go() {
    for events in
        [Shared { is_silent: true, ..Shared::default() }, Shared { takes_no_reminders: true, ..Shared::default() }]
    {
        let (gallery, events, labeler) = gallery(events).await;
        let [deleted, photo] = [gallery.uploaded(1).await, gallery.uploaded(2).await];
        gallery.catalog.delete_photo(&gallery.owner, deleted.id, chrono::Utc::now()).await.unwrap().unwrap();
        gallery.waited_long().await;
        let worker = gallery.worker_sweeping(Arc::<Shared>::clone(&events), &labeler, BOUNDS);
        worker.sweep_once(&CancellationToken::new()).await.unwrap();
        assert!(gallery.photo(photo.id).await.unwrap().labelled_at.is_some());
        assert!(gallery.store.get(&deleted.original).await.unwrap().is_none());
        assert_eq!((events.reminders(), labeler.calls()), (Vec::new(), 1));
    }
}

#[tokio::test]
async fn a_message_of_a_photo_whose_objects_outlived_it_is_done_after_some_tries() {
    let (gallery, events, labeler) = gallery(Shared::default()).await;
    let photo = gallery.uploaded(1).await;
    let display = photo.objects().into_iter().find(|path| path.as_str().contains("display")).unwrap();
    gallery.album.delete(&gallery.owner, photo.id).await.unwrap();
    gallery.store.put(&display, MediaType::Jpeg, Content::Bytes(b"left")).await.unwrap();
    let worker = gallery.worker_sweeping(events, &labeler, BOUNDS);
    let mut done = Vec::new();
    for received in 1..=3 {
        let message = about(photo.id, received);
        done.push(worker.see_to(&message, &CancellationToken::new()).await == photo_gallery::worker::Verdict::Done);
    }
    assert_eq!(done, [false, false, true]);
}

fn about(photo: PhotoId, received: u32) -> Message {
    Message { subjects: Ok(vec![Subject::Photo(photo)]), trace: None, received, receipt: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_loop_dies_is_seen_to_restart_and_ends_what_it_had_in_hand() {
    for (next, depth) in [(true, false), (false, true)] {
        let (gallery, events, _) = gallery(Shared::default()).await;
        let labeler = Watched::taking(Duration::from_millis(500));
        let photo = gallery.uploaded(1).await.id;
        events.messages.lock().unwrap().push(about(photo, 1));
        events.next_panics.store(next, Ordering::SeqCst);
        events.depth_panics.store(depth, Ordering::SeqCst);
        let (supervisor, stop, gallery) = (Supervisor::default(), CancellationToken::new(), Arc::new(gallery));
        let kept = {
            let (supervisor, stop) = (supervisor.clone(), stop.clone());
            let (gallery, events, labeler) = (Arc::clone(&gallery), Arc::clone(&events), Arc::clone(&labeler));
            tokio::spawn(async move {
                let begin = || {
                    let worker = gallery.worker_sweeping(Arc::<Shared>::clone(&events), &labeler, BOUNDS);
                    worker.run(stop.clone())
                };
                supervisor.keep("a worker", &stop, begin).await;
            })
        };
        while labeler.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        events.is_at_work.store(true, Ordering::SeqCst);
        let becomes = async |standing| {
            for _ in 0..1000 {
                if supervisor.standing("a worker") == Some(standing) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("not {standing:?} within 10 s");
        };
        becomes(Standing::Restarting).await;
        assert!(gallery.photo(photo).await.unwrap().labelled_at.is_some(), "what was in hand is finished first");
        becomes(Standing::Running).await;
        stop.cancel();
        kept.await.unwrap();
        assert_eq!(labeler.calls(), 1);
    }
}
