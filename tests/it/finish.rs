//! Finishing photos: paid for once, at the pace the labeler bears, and not for ever.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use photo_gallery::{
    album::{Finisher, Manner, Outcome},
    catalog::{Catalog, Claim, Connection, PoolSize},
    imaging,
    labeler::{Labeler, Rekognition, Unlabelled},
    photo::{Label, ObjectPath, PhotoId},
};
use serde_json::{Value, json};

use crate::{
    labeler::rekognition_stand_in::{Answer, StandIn},
    pictures,
    site::Site,
};

/// A labeler that costs money, and counts how often it is asked.
struct Paid {
    name: &'static str,
    asked: AtomicUsize,
    takes: Duration,
}

impl Paid {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, asked: AtomicUsize::new(0), takes: Duration::from_millis(300) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Labeler for Paid {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.takes).await;
        Ok(vec![Label {
            name: "Dog".to_owned(),
            confidence: Some(97.5),
            parents: vec!["Animal".to_owned()],
            categories: Vec::new(),
            instances: Vec::new(),
        }])
    }

    fn paid_as(&self) -> Option<String> {
        Some(self.name.to_owned())
    }
}

/// Short enough for a test.
const QUICK: Manner = Manner {
    lease: Duration::from_secs(20),
    pause: Duration::from_millis(200),
    slowest: Duration::from_millis(500),
    reuse: true,
};

fn finisher(site: &Site, labeler: Arc<dyn Labeler>, manner: Manner) -> Finisher {
    Finisher::with_manner(Arc::clone(site.app.album()), Some(labeler), manner)
}

fn id(photo: &Value) -> PhotoId {
    photo["id"].as_str().unwrap().parse().unwrap()
}

/// Brings photos again and again to a finisher, as a worker and its sweep do, until each is done.
async fn finished(finisher: &Finisher, photos: &[PhotoId], at_once: usize) {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let workers = (0..at_once).map(|_| async {
        while let Some(photo) = photos.get(next.fetch_add(1, Ordering::Relaxed)) {
            loop {
                match finisher.finish(*photo).await.unwrap() {
                    Outcome::Done => break,
                    Outcome::PutOff(wait) | Outcome::InOtherHands(wait) => tokio::time::sleep(wait).await,
                    Outcome::Unlisted => panic!("{photo} is gone"),
                }
                assert!(begun.elapsed() < Duration::from_mins(2), "{photo} is not finished");
            }
        }
    });
    join_all(workers).await;
}

#[tokio::test]
async fn one_content_is_paid_for_once_whoever_brings_it_and_however_often() {
    let site = Site::without_worker().await;
    let paid = Paid::new("labels");
    let finisher = finisher(&site, Arc::<Paid>::clone(&paid), QUICK);
    let picture = pictures::jpeg(64, 48, 7);
    let first = site.uploaded("a.jpg", picture.clone()).await;
    for _ in 0..5 {
        assert_eq!(finisher.finish(id(&first)).await.unwrap(), Outcome::Done);
    }
    assert_eq!(paid.asked(), 1, "told five times, asked once");

    let bob = site.another("bob@example.org").await;
    let his = bob.uploaded("b.jpg", picture.clone()).await;
    assert_eq!(finisher.finish(id(&his)).await.unwrap(), Outcome::Done);
    assert_eq!(paid.asked(), 1, "another owner's copy costs nothing");
    let (hers, his) =
        (site.settled(first["id"].as_str().unwrap()).await, bob.settled(his["id"].as_str().unwrap()).await);
    assert_eq!((&hers["labels"][0]["name"], &hers["labels"]), (&json!("Dog"), &his["labels"]));

    let deleted = site.post(&format!("/photos/{}/delete", id(&first)), &[]).await;
    assert!(!deleted.status().is_client_error() && !deleted.status().is_server_error(), "{}", deleted.status());
    assert_eq!(finisher.finish(id(&first)).await.unwrap(), Outcome::Unlisted);
    let again = site.uploaded("a.jpg", picture).await;
    assert_eq!(finisher.finish(id(&again)).await.unwrap(), Outcome::Done);
    assert_eq!(paid.asked(), 1, "also after the photo was deleted");
    assert_eq!(site.settled(again["id"].as_str().unwrap()).await["labels"], hers["labels"]);

    let other = site.uploaded("c.jpg", pictures::jpeg(64, 48, 8)).await;
    finisher.finish(id(&other)).await.unwrap();
    assert_eq!(paid.asked(), 2, "another content is another question");
}

#[tokio::test]
async fn labels_are_not_used_again_under_another_name_or_where_that_is_turned_off() {
    let site = Site::without_worker().await;
    let bob = site.another("bob@example.org").await;
    let carol = site.another("carol@example.org").await;
    let picture = pictures::jpeg(64, 48, 7);
    let mut photos = Vec::new();
    for visit in [&*site, &bob, &carol] {
        photos.push(id(&visit.uploaded("a.jpg", picture.clone()).await));
    }
    let (one, two) = (Paid::new("at most 10 labels"), Paid::new("at most 20 labels"));
    finisher(&site, Arc::<Paid>::clone(&one), QUICK).finish(photos[0]).await.unwrap();
    finisher(&site, Arc::<Paid>::clone(&two), QUICK).finish(photos[1]).await.unwrap();
    finisher(&site, Arc::<Paid>::clone(&one), Manner { reuse: false, ..QUICK }).finish(photos[2]).await.unwrap();
    assert_eq!((one.asked(), two.asked()), (2, 1));
}

#[tokio::test]
async fn workers_that_meet_one_content_at_once_make_one_call_and_the_others_wait() {
    let site = Site::without_worker().await;
    let picture = pictures::jpeg(64, 48, 7);
    let mut photos = vec![id(&site.uploaded("a.jpg", picture.clone()).await)];
    for email in ["bob@example.org", "carol@example.org", "dave@example.org"] {
        photos.push(id(&site.another(email).await.uploaded("a.jpg", picture.clone()).await));
    }
    let paid = Paid::new("labels");
    // Each a worker of its own, as on other machines.
    let workers: Vec<Finisher> = photos.iter().map(|_| finisher(&site, Arc::<Paid>::clone(&paid), QUICK)).collect();
    let outcomes = join_all(workers.iter().zip(&photos).map(|(worker, photo)| worker.finish(*photo))).await;
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done | Outcome::PutOff(_))), "{outcomes:?}");
    for (worker, photo) in workers.iter().zip(&photos) {
        finished(worker, &[*photo], 1).await;
    }
    assert_eq!(paid.asked(), 1);
}

#[tokio::test]
async fn a_photo_over_which_workers_die_fails_with_a_sentence_for_its_owner() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await;
    let path = site.folder.path().join("data/catalog.db");
    let catalog = Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).unwrap();
    let paid = Paid::new("labels");
    let finisher = finisher(&site, Arc::<Paid>::clone(&paid), QUICK);
    for crashes in 0..5 {
        // A worker that takes the photo up and is never heard of again.
        let now = site.app.album().now();
        match catalog.claim(id(&photo), now, now).await.unwrap() {
            Claim::Won(claimed) => assert_eq!(claimed.crashes, crashes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(finisher.finish(id(&photo)).await.unwrap(), Outcome::Done);
    let failed = site.settled(photo["id"].as_str().unwrap()).await;
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["problem"].as_str().unwrap().starts_with("The gallery broke off five times over this photo; "),
        "{failed}"
    );
    assert_eq!(paid.asked(), 0);
    assert_eq!(finisher.finish(id(&photo)).await.unwrap(), Outcome::Done, "it is not taken up again");
}

/// A catalog of the site's, to look behind its back.
fn beside(site: &Site) -> Catalog {
    let path = site.folder.path().join("data/catalog.db");
    Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).unwrap()
}

/// Takes a photo up so often, each time as a worker that is never heard of again.
async fn died_over(catalog: &Catalog, photo: PhotoId, times: usize, now: DateTime<Utc>) {
    for _ in 0..times {
        assert!(matches!(catalog.claim(photo, now, now).await.unwrap(), Claim::Won(_)));
    }
}

#[tokio::test]
async fn a_photo_whose_finishing_is_dropped_is_given_back_and_that_is_no_crash() {
    let site = Site::without_worker().await;
    let photo = id(&site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await);
    let (paid, catalog) = (Paid::new("labels"), beside(&site));
    let finisher = finisher(&site, Arc::<Paid>::clone(&paid), Manner { reuse: false, ..QUICK });
    for calls in 1..=6 {
        // The deadline of a function, or the end of the time in which a server stops.
        tokio::select! {
            outcome = finisher.finish(photo) => panic!("it is to be dropped before: {outcome:?}"),
            () = async { while paid.asked() < calls { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
        }
        site.app.album().run_errands(Duration::from_secs(10)).await;
    }
    let now = site.app.album().now();
    match catalog.claim(photo, now, now).await.unwrap() {
        Claim::Won(claimed) => assert_eq!((claimed.crashes, claimed.attempts), (0, 7)),
        other => panic!("it is free at once, and not {other:?}"),
    }
}

#[tokio::test]
async fn a_photo_over_which_workers_died_is_worked_on_alone() {
    let site = Site::without_worker().await;
    let mut photos = Vec::new();
    for seed in 0..5 {
        photos.push(id(&site.uploaded("a.jpg", pictures::jpeg(64, 48, seed)).await));
    }
    let (catalog, crowd) = (beside(&site), Arc::new(Crowd::default()));
    for suspect in &photos[..2] {
        died_over(&catalog, *suspect, 3, site.app.album().now()).await;
    }
    let finisher = finisher(&site, Arc::<Crowd>::clone(&crowd), QUICK);
    finished(&finisher, &photos, 5).await;
    assert_eq!(crowd.1.lock().unwrap().len(), 5);
    for suspect in &photos[..2] {
        let labelled = site.settled(&suspect.to_string()).await;
        assert_eq!(labelled["labels"][0]["name"], "Alone", "{labelled}");
    }
}

/// A labeler that says whether a photo was alone while it looked.
#[derive(Default)]
struct Crowd(AtomicUsize, Mutex<Vec<bool>>);

#[async_trait::async_trait]
impl Labeler for Crowd {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        let mut alone = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            alone &= self.0.load(Ordering::Relaxed) == 1;
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.lock().unwrap().push(alone);
        let name = if alone { "Alone" } else { "Crowd" }.to_owned();
        Ok(vec![Label { name, confidence: None, parents: Vec::new(), categories: Vec::new(), instances: Vec::new() }])
    }
}

#[tokio::test]
async fn outcomes_tell_photos_in_other_hands_put_off_and_unlisted_apart() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await;
    let path: ObjectPath = format!("photos/{}.jpg", id(&photo)).parse().unwrap();
    let paid = Paid::new("labels");
    let finisher = finisher(&site, Arc::<Paid>::clone(&paid), QUICK);
    let (first, second) = tokio::join!(finisher.finish(id(&photo)), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        finisher.finish_object(&path).await
    });
    assert_eq!(first.unwrap(), Outcome::Done);
    let second = second.unwrap();
    assert!(matches!(second, Outcome::InOtherHands(wait) if wait > Duration::from_secs(15)), "{second:?}");
    assert_eq!(finisher.finish_object(&path).await.unwrap(), Outcome::Done);
    assert_eq!(finisher.finish_object(&"photos/nobody.jpg".parse().unwrap()).await.unwrap(), Outcome::Unlisted);
    assert_eq!(paid.asked(), 1);
}

/// A labeler that cannot be asked now, for ever.
struct Away;

#[async_trait::async_trait]
impl Labeler for Away {
    async fn labels(&self, _: Bytes) -> Result<Vec<Label>, Unlabelled> {
        Err(Unlabelled::NotNow { retry_after: None, cause: anyhow::anyhow!("away") })
    }
}

#[tokio::test]
async fn not_now_never_fails_a_photo_however_often() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await;
    let manner = Manner { pause: Duration::from_millis(10), slowest: Duration::from_millis(10), ..QUICK };
    let finisher = finisher(&site, Arc::new(Away), manner);
    let mut put_off = 0;
    while put_off < 30 {
        match finisher.finish(id(&photo)).await.unwrap() {
            Outcome::PutOff(wait) => {
                assert!(wait <= Duration::from_millis(20), "{wait:?}");
                put_off += 1;
                tokio::time::sleep(wait).await;
            }
            other => panic!("{other:?}"),
        }
    }
    let (_, photo) = site.json(&format!("/photos/{}", id(&photo))).await;
    assert_eq!((&photo["state"], &photo["problem"]), (&json!("labelling"), &Value::Null));
}

/// A labeler that takes few bytes, and notes what it is sent.
struct Narrow(usize, Mutex<Vec<Bytes>>);

#[async_trait::async_trait]
impl Labeler for Narrow {
    async fn labels(&self, jpeg: Bytes) -> Result<Vec<Label>, Unlabelled> {
        self.1.lock().unwrap().push(jpeg);
        Ok(Vec::new())
    }

    fn max_bytes(&self) -> usize {
        self.0
    }
}

#[tokio::test]
async fn a_rendition_too_large_for_the_labeler_is_sent_smaller() {
    let site = Site::without_worker().await;
    let photo = site.uploaded("a.jpg", pictures::jpeg(2000, 1400, 7)).await;
    let narrow = Arc::new(Narrow(100_000, Mutex::default()));
    let outcome = finisher(&site, Arc::<Narrow>::clone(&narrow), QUICK).finish(id(&photo)).await.unwrap();
    assert_eq!(outcome, Outcome::Done);
    let sent = narrow.1.lock().unwrap().clone();
    let [jpeg] = sent.as_slice() else { panic!("one call") };
    let seen = imaging::develop(jpeg, &imaging::Limits::default()).unwrap().developed;
    assert_eq!((seen.width, seen.height), (1024, 716));
    assert_eq!(site.settled(photo["id"].as_str().unwrap()).await["state"], "labelled");
}

#[tokio::test]
async fn what_the_store_does_not_delete_holds_up_nothing_else() {
    let site = Site::without_worker().await;
    let (stuck, other) = (
        site.uploaded("a.jpg", pictures::jpeg(64, 48, 1)).await,
        site.uploaded("b.jpg", pictures::jpeg(64, 48, 2)).await,
    );
    let of = |photo: &Value| {
        let id = photo["id"].as_str().unwrap().to_owned();
        site.stored().into_iter().filter(move |file| file.display().to_string().contains(&id)).collect::<Vec<_>>()
    };
    for file in of(&stuck) {
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        std::fs::write(file.join("in-the-way"), "a folder cannot be deleted as a file").unwrap();
    }
    for photo in [&stuck, &other] {
        site.post(&format!("/photos/{}/delete", id(photo)), &[]).await;
    }
    let path = site.folder.path().join("data/catalog.db");
    let catalog = Catalog::open(&Connection::Sqlite { path }, PoolSize(1)).unwrap();
    let left = catalog.discarded(10).await.unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
    site.app.finisher().tidy().await.unwrap();
    assert_eq!(catalog.discarded(10).await.unwrap().len(), 3, "tried, and still there");
    for file in of(&stuck) {
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
    site.app.finisher().tidy().await.unwrap();
    assert!(catalog.discarded(10).await.unwrap().is_empty());
}

/// A stand-in's Rekognition whose answers are chosen by their number, and how often each picture got labels.
async fn served(
    choose: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (StandIn, Arc<dyn Labeler>, Arc<Mutex<Vec<usize>>>) {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&answered);
    let stand_in = StandIn::choosing(move |place| {
        if choose(place) {
            let codes = ["ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException"];
            return Answer::Error { status: 400, code: codes[place % 3], retry_after: None };
        }
        noted.lock().unwrap().push(place);
        Answer::Labels(json!([{"Name": "Dog", "Confidence": 97.5}]))
    })
    .await;
    let rekognition = Rekognition::new(stand_in.client(Duration::from_secs(20)), 7, 55.0);
    (stand_in, Arc::new(rekognition), answered)
}

/// Every picture got labels once, and all photos have them.
async fn each_was_labelled_once(site: &Site, photos: &[PhotoId], stand_in: &StandIn, answered: &Mutex<Vec<usize>>) {
    for photo in photos {
        let photo = site.settled(&photo.to_string()).await;
        assert_eq!((&photo["state"], &photo["labels"][0]["name"]), (&json!("labelled"), &json!("Dog")));
    }
    let requests = stand_in.requests();
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for place in answered.lock().unwrap().iter() {
        *calls.entry(requests[*place]["Image"]["Bytes"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(calls.len(), photos.len(), "as many contents as photos");
    assert!(calls.values().all(|calls| *calls == 1), "{:?}", calls.values());
}

#[tokio::test]
async fn where_half_of_the_calls_are_throttled_all_photos_are_labelled_and_paid_for_once() {
    let site = Site::without_worker().await;
    let mut photos = Vec::new();
    for seed in 0..40 {
        photos.push(id(&site.uploaded("a.jpg", pictures::jpeg(64, 48, seed)).await));
    }
    // By a fixed pattern of which half says no, a new one every sixteen calls.
    let (stand_in, labeler, answered) = served(|place| (place * 7 + place / 16 * 5) % 16 < 8).await;
    let (_, visible) = site.json(&format!("/photos/{}", photos[0])).await;
    assert_eq!(visible["state"], "labelling", "it is there without labels");
    let finisher = finisher(&site, labeler, QUICK);
    finished(&finisher, &photos, 8).await;
    each_was_labelled_once(&site, &photos, &stand_in, &answered).await;
    let requests = stand_in.requests().len();
    assert!(requests <= photos.len() * 6, "{requests} requests for {} photos", photos.len());
}

#[tokio::test]
async fn where_all_calls_are_throttled_for_a_while_no_storm_follows_and_all_are_labelled_later() {
    let site = Site::without_worker().await;
    let mut photos = Vec::new();
    for seed in 0..20 {
        photos.push(id(&site.uploaded("a.jpg", pictures::jpeg(64, 48, seed)).await));
    }
    let (throttled, begun) = (Duration::from_secs(5), Arc::new(Mutex::new(None)));
    let (stand_in, labeler, answered) = {
        let begun = Arc::clone(&begun);
        served(move |_| begun.lock().unwrap().get_or_insert_with(Instant::now).elapsed() < throttled).await
    };
    let manner = Manner { slowest: Duration::from_secs(1), ..QUICK };
    let finisher = finisher(&site, labeler, manner);
    finished(&finisher, &photos, 8).await;
    each_was_labelled_once(&site, &photos, &stand_in, &answered).await;
    let refused = stand_in.requests().len() - answered.lock().unwrap().len();
    // Eight at first, then one call each half second to a second, each tried twice by the client; without a pace it would be hundreds.
    assert!(refused <= 2 * (8 + 16), "{refused} refused requests in {throttled:?}");
}

mod with_servers {
    use std::sync::atomic::AtomicBool;

    use chrono::TimeDelta;
    use photo_gallery::{
        album::{Album, Finisher, Intake, Received},
        catalog,
        darkroom::Darkroom,
        events::InProcess,
        photo::Owner,
        settings::{self, Tls},
        store::Disk,
    };

    use super::{
        Arc, Bytes, Catalog, Connection, DateTime, Duration, Instant, Label, Labeler, Manner, Mutex, Ordering, Outcome,
        Paid, PhotoId, PoolSize, QUICK, Site, Unlabelled, Utc, finisher, id, imaging, join_all, pictures,
    };
    use crate::{mariadb::Database, mariadb_server::Server};

    /// A labeler that costs money and during whose call the database dies.
    struct Fatal {
        server: Mutex<Server>,
        paid: Arc<Paid>,
        answers: AtomicBool,
    }

    #[async_trait::async_trait]
    impl Labeler for Fatal {
        async fn labels(&self, jpeg: Bytes) -> Result<Vec<Label>, Unlabelled> {
            self.server.lock().unwrap().kill();
            if self.answers.load(Ordering::Relaxed) {
                return self.paid.labels(jpeg).await;
            }
            Err(Unlabelled::NotNow { retry_after: None, cause: anyhow::anyhow!("not now") })
        }

        fn paid_as(&self) -> Option<String> {
            self.paid.paid_as()
        }
    }

    async fn gallery() -> (Site, Database, Arc<Fatal>) {
        let server = Server::started().await;
        let database =
            Database::at("127.0.0.1".to_owned(), server.port, "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        database.migrate("web", "secret");
        let catalog = settings::MySql {
            host: database.host.clone(),
            port: database.port,
            user: "web".to_owned(),
            password: Some("secret".into()),
            database: database.name.clone(),
            tls: Tls::Preferred,
            ssl_ca: None,
            connections: 5,
            acquire_timeout_seconds: 1,
        };
        let site = Site::without_worker_with(|settings| settings.catalog = settings::Catalog::MySql(catalog)).await;
        let fatal = Fatal { server: Mutex::new(server), paid: Paid::new("labels"), answers: AtomicBool::new(false) };
        (site, database, Arc::new(fatal))
    }

    async fn crashes(database: &Database) -> i64 {
        use sqlx::Row as _;
        database.rows("SELECT crashes FROM photo").await[0].get(0)
    }

    /// Lets the server come up again after a while.
    async fn back(fatal: &Fatal, database: &Database) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        fatal.server.lock().unwrap().start();
        let begun = Instant::now();
        let place = format!("127.0.0.1:{}", database.port);
        while tokio::net::TcpStream::connect(&place).await.is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the server does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_outage_of_the_catalog_over_a_photo_is_no_crash() {
        let (site, database, fatal) = gallery().await;
        let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await;
        let manner = Manner { lease: Duration::from_secs(1), ..QUICK };
        let finisher = finisher(&site, Arc::<Fatal>::clone(&fatal), manner);
        finisher.finish(id(&photo)).await.expect_err("the database is away");
        back(&fatal, &database).await;
        let begun = Instant::now();
        loop {
            let in_hand = database.rows("SELECT id FROM photo WHERE in_hand IS NOT NULL").await.len();
            if (crashes(&database).await, in_hand) == (0, 0) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the photo is not given back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_was_paid_for_outlives_an_outage_of_the_catalog() {
        let (site, database, fatal) = gallery().await;
        fatal.answers.store(true, Ordering::Relaxed);
        let photo = site.uploaded("a.jpg", pictures::jpeg(64, 48, 7)).await;
        let finisher = finisher(&site, Arc::<Fatal>::clone(&fatal), QUICK);
        let (outcome, ()) = tokio::join!(finisher.finish(id(&photo)), back(&fatal, &database));
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert_eq!(fatal.paid.asked(), 1);
        assert_eq!(site.settled(photo["id"].as_str().unwrap()).await["labels"][0]["name"], "Dog");
    }

    /// A machine with a clock of its own, at the catalog and the photos of all.
    fn machine(connection: &Connection, folder: &std::path::Path, clock: fn() -> DateTime<Utc>) -> Arc<Album> {
        let catalog = Catalog::open(connection, PoolSize(3)).unwrap();
        let store =
            Disk::open(folder.join("photos"), "/media", b"a secret", Duration::from_hours(1), Utc::now).unwrap();
        let darkroom = Darkroom::new(std::num::NonZeroUsize::MIN, 8, imaging::Limits::default()).unwrap();
        let intake = Intake::open(&folder.join("incoming"), 1_000_000).unwrap();
        Arc::new(Album::new(catalog, Arc::new(store), Arc::new(InProcess::new(8)), darkroom, intake, clock))
    }

    async fn uploaded(album: &Arc<Album>, number: u32) -> PhotoId {
        let mut receiving = album.receive("a.jpg").unwrap();
        receiving.write(&pictures::jpeg(32, 24, number)).await.unwrap();
        let upload = receiving.finish().await.unwrap();
        match album.keep(&Owner::anonymous(), upload, "".parse().unwrap()).await.unwrap() {
            Received::New(photo) => photo.id,
            Received::AlreadyHere(photo) => panic!("twice: {photo:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn machines_whose_clocks_differ_by_a_day_share_the_work_all_the_same() {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let connection = Connection::MySql {
            host: database.host.clone(),
            port: database.port,
            user: "root".to_owned(),
            password: "".into(),
            database: database.name.clone(),
            tls: catalog::Tls::Preferred,
            ssl_ca: None,
        };
        Catalog::open(&connection, PoolSize(1)).unwrap().migrate().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clocks: [fn() -> DateTime<Utc>; 3] =
            [Utc::now, || Utc::now() + TimeDelta::days(1), || Utc::now() - TimeDelta::days(1)];
        let machines = clocks.map(|clock| machine(&connection, folder.path(), clock));
        let paid = Arc::new(Paid { name: "labels", asked: 0.into(), takes: Duration::from_secs(2) });
        let workers = machines.each_ref().map(|album| {
            let labeler: Arc<dyn Labeler> = Arc::<Paid>::clone(&paid);
            Finisher::with_manner(Arc::clone(album), Some(labeler), QUICK)
        });
        for (number, album) in (0..).zip(&machines) {
            let photo = uploaded(album, number).await;
            let outcomes = join_all(workers.iter().map(|worker| worker.finish(photo))).await;
            let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
            let of = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
            assert_eq!(of(|outcome| *outcome == Outcome::Done), 1, "{outcomes:?}");
            let others =
                of(|outcome| matches!(outcome, Outcome::InOtherHands(wait) if wait.as_secs().abs_diff(19) < 2));
            assert_eq!(others, 2, "{outcomes:?}");
        }
        assert_eq!(paid.asked(), 3, "each content once");
        assert!(database.rows("SELECT id FROM photo WHERE crashes > 0").await.is_empty());
        for album in &machines {
            album.close().await;
        }
        database.gone().await;
    }
}
