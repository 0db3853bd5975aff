//! What the worker makes of messages, on MiniStack's SNS and SQS.

mod with_servers {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use photo_gallery::{
        events::{Announcement, Depth, Events, InProcess, Message, TraceContext, message, trace},
        worker::{Bounds, Verdict},
    };
    use serde_json::json;
    use tokio::{
        io::copy_bidirectional,
        net::{TcpListener, TcpStream},
    };
    use tokio_util::sync::CancellationToken;

    use super::super::{
        gallery::{Gallery, Watched, announcement},
        queue::{ACCOUNT, Queues},
    };
    use crate::aws::{REGION, key, server, user_with};

    const BUCKET: &str = "my-photos";

    /// Events that count the messages they hand out.
    struct Counted {
        events: photo_gallery::events::Aws,
        handed_out: AtomicUsize,
    }

    impl Counted {
        fn new(queues: &Queues) -> Arc<Self> {
            Arc::new(Self { events: queues.events(), handed_out: AtomicUsize::new(0) })
        }

        fn handed_out(&self) -> usize {
            self.handed_out.load(Ordering::SeqCst)
        }
    }

    #[async_trait::async_trait]
    impl Events for Counted {
        async fn announce(&self, upload: &Announcement) -> anyhow::Result<()> {
            self.events.announce(upload).await
        }

        async fn remind(&self, upload: &Announcement) -> anyhow::Result<()> {
            self.events.remind(upload).await
        }

        fn announces(&self) -> bool {
            self.events.announces()
        }

        fn is_shared(&self) -> bool {
            self.events.is_shared()
        }

        async fn next(&self) -> anyhow::Result<Vec<Message>> {
            let messages = self.events.next().await?;
            self.handed_out.fetch_add(messages.len(), Ordering::SeqCst);
            Ok(messages)
        }

        async fn done(&self, message: &Message) -> anyhow::Result<()> {
            self.events.done(message).await
        }

        async fn put_off(&self, message: &Message, pause: Duration) -> anyhow::Result<()> {
            self.events.put_off(message, pause).await
        }

        fn in_hand_for(&self) -> Option<Duration> {
            self.events.in_hand_for()
        }

        async fn depth(&self) -> anyhow::Result<Option<Depth>> {
            self.events.depth().await
        }
    }

    /// A gallery whose uploads announce nothing, so that a test says what is told of them.
    async fn silent() -> Gallery {
        Gallery::new(Arc::new(InProcess::new(1))).await
    }

    /// A record of S3 about an object of this gallery's bucket.
    fn record(event: &str, key: &str) -> String {
        json!({"Records": [{"eventName": event, "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1}}}]})
            .to_string()
    }

    #[tokio::test]
    async fn a_photo_told_of_ten_times_to_two_workers_is_labelled_once() {
        let (queues, gallery) = (Queues::new().await, silent().await);
        let labeler = Watched::taking(Duration::from_millis(1500));
        let photo = gallery.uploaded(1).await;
        let request = TraceContext::of_request("0123456789abcdef0123456789abcdef").unwrap();
        for _ in 0..10 {
            let told = announcement(&photo);
            trace::within(Some(request.clone()), queues.events().announce(&told)).await.unwrap();
        }
        let one = gallery.works(Arc::new(queues.events()), &labeler, 3);
        let two = gallery.works(Arc::new(queues.events()), &labeler, 3);
        gallery.labelled(photo.id).await;
        queues.emptied().await;
        one.stopped().await;
        two.stopped().await;
        assert_eq!(labeler.calls(), 1);
        assert_eq!(*labeler.traces.lock().unwrap(), [Some(request.trace_id().to_owned())]);
        assert_eq!(queues.dead_letters().await, [""; 0]);
    }

    #[tokio::test]
    async fn a_photo_deleted_before_its_messages_come_stays_deleted() {
        let (mut queues, gallery) = (Queues::raw().await, silent().await);
        queues.bucket = Some(BUCKET.to_owned());
        let photo = gallery.uploaded(1).await;
        gallery.album.delete(&gallery.owner, photo.id).await.unwrap();
        queues.send([record("ObjectRemoved:Delete", photo.original.as_str())]).await;
        queues.events().announce(&announcement(&photo)).await.unwrap();
        queues.send([record("ObjectCreated:Put", photo.original.as_str())]).await;
        let labeler = Watched::taking(Duration::ZERO);
        let working = gallery.works(Arc::new(queues.events()), &labeler, 2);
        queues.emptied().await;
        working.stopped().await;
        assert_eq!((gallery.photo(photo.id).await, labeler.calls()), (None, 0));
        assert!(gallery.store.get(&photo.original).await.unwrap().is_none());
        assert_eq!(queues.dead_letters().await, [""; 0]);
    }

    #[tokio::test]
    async fn an_object_that_is_told_of_before_its_row_is_there_waits_for_the_row() {
        let (mut queues, gallery) = (Queues::new().await, silent().await);
        queues.bucket = Some(BUCKET.to_owned());
        let (labeler, events) = (Watched::taking(Duration::ZERO), Counted::new(&queues));
        let photo = gallery.uploaded(1).await;
        // The sweep is not to find it: the message is to bring it.
        gallery.run(format!("DELETE FROM photo WHERE id = '{}'", photo.id)).await;
        queues.send([record("ObjectCreated:Put", photo.original.as_str())]).await;
        let working = gallery.works(Arc::<Counted>::clone(&events), &labeler, 1);
        while events.handed_out() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!((labeler.calls(), queues.left().await), (0, 1));
        gallery.catalog.insert_photo(&photo).await.unwrap();
        gallery.labelled(photo.id).await;
        queues.emptied().await;
        working.stopped().await;
        assert_eq!(labeler.calls(), 1);
        assert_eq!(queues.dead_letters().await, [""; 0]);
    }

    #[tokio::test]
    async fn messages_that_cannot_be_read_become_dead_letters_while_the_others_flow() {
        let (queues, gallery) = (Queues::with(true, 3).await, silent().await);
        let labeler = Watched::taking(Duration::from_millis(20));
        let mut photos = Vec::new();
        for number in 0..20 {
            photos.push(gallery.uploaded(number).await);
        }
        let newer = message::write(&announcement(&photos[0]), None).replacen("\"version\":1", "\"version\":2", 1);
        let unlisted = super::super::announcement();
        let poison =
            ["not JSON".to_owned(), newer.clone(), "{\"deep\": ".repeat(10_000), message::write(&unlisted, None)];
        queues.send(poison).await;
        labeler.breaks_down.store(true, Ordering::SeqCst);
        for photo in &photos {
            queues.events().announce(&announcement(photo)).await.unwrap();
        }
        let working = gallery.works(Arc::new(queues.events()), &labeler, 1);
        let mut failed = Vec::new();
        for photo in &photos {
            for _ in 0..600 {
                let now = gallery.photo(photo.id).await.unwrap();
                if now.labelled_at.is_some() || now.problem.is_some() {
                    failed.extend(now.problem);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(failed, ["The gallery broke down over this photo."], "one panicked, and says so");
        queues.emptied().await;
        let mut dead = queues.dead_letters().await;
        dead.sort();
        let mut expected = vec!["not JSON".to_owned(), newer, "{\"deep\": ".repeat(10_000)];
        expected.sort();
        assert_eq!(dead, expected, "what was poisoned, and nothing else");
        let later = gallery.uploaded(100).await;
        queues.events().announce(&announcement(&later)).await.unwrap();
        gallery.labelled(later.id).await;
        working.stopped().await;
        assert_eq!(labeler.calls(), 21);
    }

    #[tokio::test]
    async fn a_labeler_that_is_away_for_longer_than_messages_are_tried_makes_no_dead_letters() {
        let queues = Queues::with(true, 3).await;
        let gallery = Gallery::new(Arc::new(Silenced(queues.events()))).await;
        let labeler = Watched::taking(Duration::ZERO);
        labeler.is_away.store(true, Ordering::SeqCst);
        let photo = gallery.uploaded(1).await;
        queues.events().announce(&announcement(&photo)).await.unwrap();
        let events: Arc<dyn Events> = Arc::new(queues.events());
        // No sweep yet: only the message is to bring it forward.
        let listening = gallery.worker(Arc::clone(&events), &labeler, 1);
        let (stop, mut verdicts) = (CancellationToken::new(), Vec::new());
        for _ in 0..3 {
            for message in &events.next().await.unwrap() {
                let verdict = listening.see_to(message, &stop).await;
                verdicts.push(verdict == Verdict::Done);
                match verdict {
                    Verdict::Done => events.done(message).await.unwrap(),
                    Verdict::Back(pause) => events.put_off(message, pause).await.unwrap(),
                }
            }
        }
        assert_eq!(verdicts, [false, false, true]);
        // A queue gives messages up when it is asked for them.
        super::super::nothing_comes(&*events).await;
        assert_eq!((queues.dead_letters().await, queues.left().await), (Vec::<String>::new(), 0));
        assert!(gallery.photo(photo.id).await.unwrap().labelled_at.is_none());
        labeler.is_away.store(false, Ordering::SeqCst);
        let working = gallery.works(events, &labeler, 1);
        gallery.labelled(photo.id).await;
        queues.emptied().await;
        working.stopped().await;
        assert_eq!(queues.dead_letters().await, [""; 0]);
    }

    #[tokio::test]
    async fn work_and_waiting_longer_than_a_message_is_in_hand_keep_it_in_hand() {
        let (mut queues, gallery) = (Queues::new().await, silent().await);
        queues.visibility = Duration::from_secs(3);
        let labeler = Watched::taking(Duration::from_secs(5));
        for number in 0..2 {
            queues.events().announce(&announcement(&gallery.uploaded(number).await)).await.unwrap();
        }
        let (busy, second) = (Counted::new(&queues), Counted::new(&queues));
        let one = gallery.works(Arc::<Counted>::clone(&busy), &labeler, 1);
        while busy.handed_out() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let stop = CancellationToken::new();
        let listens = tokio::spawn({
            let (second, stop) = (Arc::<Counted>::clone(&second), stop.clone());
            async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = second.next() => {}
                    }
                }
            }
        });
        queues.emptied().await;
        stop.cancel();
        listens.await.unwrap();
        one.stopped().await;
        assert_eq!((busy.handed_out(), second.handed_out(), labeler.calls()), (2, 0, 2));
    }

    #[tokio::test]
    async fn a_worker_told_to_stop_ends_what_it_began_and_gives_the_rest_back() {
        let (queues, gallery) = (Queues::new().await, silent().await);
        let labeler = Watched::taking(Duration::from_secs(2));
        let mut photos = Vec::new();
        for number in 0..5 {
            photos.push(gallery.uploaded(number).await);
            queues.events().announce(&announcement(photos.last().unwrap())).await.unwrap();
        }
        let working = gallery.works(Arc::new(queues.events()), &labeler, 1);
        while labeler.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        working.stopped().await;
        let mut labelled = 0;
        for photo in &photos {
            labelled += usize::from(gallery.photo(photo.id).await.unwrap().labelled_at.is_some());
        }
        let depth = queues.events().depth().await.unwrap().unwrap();
        assert_eq!((labelled, labeler.calls(), depth.waiting, depth.in_hand), (1, 1, 4, 0));
    }

    #[tokio::test]
    async fn one_worker_of_many_tells_again_of_what_is_overdue_and_only_while_the_queue_is_short() {
        let queues = Queues::new().await;
        let gallery = Gallery::new(Arc::new(Silenced(queues.events()))).await;
        let labeler = Watched::taking(Duration::ZERO);
        for number in 0..3 {
            gallery.uploaded(number).await;
        }
        assert_eq!(queues.left().await, 0, "nobody was told");
        gallery.waited_long().await;
        let stop = CancellationToken::new();
        let events: Arc<dyn Events> = Arc::new(queues.events());
        let bounds = Bounds { at_once: 1, sweep_every: Duration::from_mins(5) };
        let [one, two] = [1, 2].map(|_| gallery.worker_sweeping(Arc::clone(&events), &labeler, bounds));
        one.sweep_once(&stop).await.unwrap();
        two.sweep_once(&stop).await.unwrap();
        assert_eq!((queues.left().await, labeler.calls()), (3, 0), "told again, once");
        queues.send((0..1000).map(|_| record("ObjectCreated:Put", "elsewhere"))).await;
        gallery.waited_long().await;
        two.sweep_once(&stop).await.unwrap();
        assert_eq!(queues.left().await, 1003, "a long queue is long enough");
    }

    /// Events that lose what uploads announce.
    struct Silenced(photo_gallery::events::Aws);

    #[async_trait::async_trait]
    impl Events for Silenced {
        async fn announce(&self, _: &Announcement) -> anyhow::Result<()> {
            Ok(())
        }

        async fn remind(&self, upload: &Announcement) -> anyhow::Result<()> {
            self.0.remind(upload).await
        }

        fn is_shared(&self) -> bool {
            self.0.is_shared()
        }

        fn announces(&self) -> bool {
            self.0.announces()
        }

        async fn next(&self) -> anyhow::Result<Vec<Message>> {
            self.0.next().await
        }

        async fn done(&self, message: &Message) -> anyhow::Result<()> {
            self.0.done(message).await
        }

        async fn put_off(&self, message: &Message, pause: Duration) -> anyhow::Result<()> {
            self.0.put_off(message, pause).await
        }

        fn in_hand_for(&self) -> Option<Duration> {
            self.0.in_hand_for()
        }

        async fn depth(&self) -> anyhow::Result<Option<Depth>> {
            self.0.depth().await
        }
    }

    /// Passes connections on to MiniStack while it is open, and ends them while it is not.
    async fn gate(open: Arc<AtomicBool>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let place = server("TEST_MINISTACK").trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (place, open) = (place.clone(), Arc::clone(&open));
                tokio::spawn(async move {
                    let closes = async {
                        while open.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    };
                    let passes = async {
                        let mut far = TcpStream::connect(place).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        () = closes => {}
                        _ = passes => {}
                    }
                });
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn uploads_are_kept_while_the_queue_is_away_and_told_of_when_it_is_back() {
        let open = Arc::new(AtomicBool::new(false));
        let queues = Queues::new().await.through(gate(Arc::clone(&open)).await, key("test", "test")).await;
        let gallery = Gallery::new(Arc::new(queues.events())).await;
        let labeler = Watched::taking(Duration::ZERO);
        let photo = gallery.uploaded(1).await;
        let told = queues.events().announce(&announcement(&photo)).await.unwrap_err().to_string();
        assert!(told.contains("cannot be reached"), "{told}");
        open.store(true, Ordering::SeqCst);
        assert_eq!(queues.left().await, 0, "nobody was told");
        let working = gallery.works(Arc::new(queues.events()), &labeler, 1);
        gallery.labelled(photo.id).await;
        // The queue goes away under the worker, which finds what is overdue in the catalog, and follows the queue again when it is back.
        open.store(false, Ordering::SeqCst);
        let during = gallery.uploaded(2).await;
        gallery.labelled(during.id).await;
        open.store(true, Ordering::SeqCst);
        let after = gallery.uploaded(3).await;
        gallery.labelled(after.id).await;
        queues.emptied().await;
        working.stopped().await;
        assert_eq!(labeler.calls(), 3);
    }

    #[tokio::test]
    async fn a_right_that_is_missing_is_named_and_no_other_is_needed() {
        let queues = Queues::new().await;
        let endpoint = server("TEST_MINISTACK");
        let whole = queues.policy();
        let user = user_with(&endpoint, &format!("{}-worker", queues.name), &whole).await;
        let queues = queues.through(endpoint.clone(), user).await;
        let events = queues.events();
        assert_eq!(events.check().await, [""; 0]);
        let told = super::super::announcement();
        events.announce(&told).await.unwrap();
        let messages = events.next().await.unwrap();
        events.put_off(&messages[0], Duration::ZERO).await.unwrap();
        let messages = events.next().await.unwrap();
        events.done(&messages[0]).await.unwrap();
        events.remind(&told).await.unwrap();
        let messages = events.next().await.unwrap();
        assert_eq!(super::super::photo(&messages[0]), told.photo);
        events.done(&messages[0]).await.unwrap();
        assert_eq!(events.depth().await.unwrap(), Some(Depth { waiting: 0, in_hand: 0, dead: Some(0) }));

        let mut less = whole;
        less["Statement"]
            .as_array_mut()
            .unwrap()
            .retain(|statement| !["Announce", "CountDeadLetters"].contains(&statement["Sid"].as_str().unwrap()));
        let user = user_with(&endpoint, &format!("{}-less", queues.name), &less).await;
        let queues = queues.through(endpoint.clone(), user).await;
        assert_eq!(queues.events().depth().await.unwrap(), Some(Depth { waiting: 0, in_hand: 0, dead: None }));
        let told = queues.events().announce(&told).await.unwrap_err().to_string();
        assert!(told.starts_with(&format!("sns:Publish is denied on {}: allow it", queues.topic)), "{told}");
        let nobody = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]});
        let user = user_with(&endpoint, &format!("{}-nobody", queues.name), &nobody).await;
        let queues = queues.through(endpoint, user).await;
        let told = queues.events().next().await.unwrap_err().to_string();
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", queues.name);
        assert!(told.starts_with(&format!("sqs:ReceiveMessage is denied on {arn}: allow it")), "{told}");
    }

    #[tokio::test]
    async fn what_the_operator_has_to_mend_is_told_in_sentences() {
        let mut queues = Queues::with(true, 2).await;
        let told = queues.events().check().await;
        assert!(told[0].contains("maxReceiveCount to 3 or more"), "{told:?}");
        let queue = queues.queue.clone();
        queues.queue = queues.dead.clone();
        let told = queues.events().check().await;
        assert!(told.len() == 2 && told[0].contains("does not let the topic"), "{told:?}");
        assert!(told[1].contains("no dead-letter queue"), "{told:?}");
        queues.queue = format!("{queue}-that-is-not-there");
        let told = queues.events().check().await;
        assert!(told[0].contains("does not exist") && told[0].contains("events.aws.queue_url"), "{told:?}");
        queues.topic = format!("{}-that-is-not-there", queues.topic);
        let told = queues.events().announce(&super::super::announcement()).await.unwrap_err().to_string();
        assert!(told.contains("does not exist") && told.contains("events.aws.topic_arn"), "{told}");
    }
}
