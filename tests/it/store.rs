//! The store's promises, kept by every variant: one list of tests, expanded over the folder and over two independent S3 servers.

use std::time::Duration;

use aws_sdk_s3::config::Credentials;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{TryStreamExt as _, future::join_all};
use photo_gallery::{
    photo::{FileName, MediaType, ObjectPath, PhotoId, Rendition},
    store::{Clock, Content, Disposition, Listed, S3, Store},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::aws;

pub(crate) mod cloudfront;
mod disk;
mod s3;

use cloudfront::Distribution;

/// The usual life of a link.
const HOUR: Duration = Duration::from_hours(1);

/// The bucket in which the tests write; each test has its own keys.
const BUCKET: &str = "conformance-photos";

/// Where a store keeps its objects: several stores can be opened on one place, as several instances are.
enum Place {
    Folder(TempDir),
    Bucket {
        endpoint: String,
        name: String,
        key: Credentials,
    },
    /// A bucket, and a distribution in front of it.
    Edge(Box<Place>, Distribution),
}

/// What a browser gets for a link.
#[derive(Debug, PartialEq)]
struct Answer {
    content: Vec<u8>,
    media_type: String,
    disposition: String,
}

impl Place {
    fn folder() -> Self {
        Self::Folder(TempDir::new().unwrap())
    }

    /// The bucket of all tests at the server that `variable` names, used with the rights that the gallery needs and no more.
    async fn bucket(variable: &str) -> Self {
        static USER: OnceCell<Credentials> = OnceCell::const_new();
        let endpoint = aws::server(variable);
        let key = if variable == "TEST_MINISTACK" {
            let name = format!("gallery-{}", Utc::now().timestamp_micros());
            let actions = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"];
            USER.get_or_init(async || aws::user(&endpoint, &name, &actions).await).await.clone()
        } else {
            aws::key("test", "test")
        };
        Self::bucket_named(endpoint, BUCKET.to_owned(), key).await
    }

    /// The bucket of all tests behind a distribution of this one's own.
    async fn behind_cloudfront() -> Self {
        let bucket = Self::bucket("TEST_SEAWEEDFS").await;
        let Self::Bucket { endpoint, name, .. } = &bucket else { panic!("a bucket") };
        let distribution = Distribution::start(endpoint, name).await;
        Self::Edge(Box::new(bucket), distribution)
    }

    async fn bucket_named(endpoint: String, name: String, key: Credentials) -> Self {
        let (root, _) = aws::s3(&endpoint, aws::key("test", "test")).await;
        if let Err(e) = root.create_bucket().bucket(&name).send().await {
            root.head_bucket().bucket(&name).send().await.unwrap_or_else(|_| panic!("no bucket can be made: {e:?}"));
        }
        Self::Bucket { endpoint, name, key }
    }

    async fn store(&self) -> Box<dyn Store> {
        self.store_at(HOUR, Utc::now).await
    }

    async fn store_at(&self, expiry: Duration, clock: Clock) -> Box<dyn Store> {
        match self {
            Self::Folder(root) => Box::new(disk::open(root.path(), expiry, clock)),
            Self::Bucket { .. } => Box::new(self.s3_at(expiry, clock).await),
            Self::Edge(bucket, edge) => Box::new(bucket.s3_at(expiry, clock).await.behind(edge.signer())),
        }
    }

    async fn s3_at(&self, expiry: Duration, clock: Clock) -> S3 {
        let Self::Bucket { endpoint, name, key } = self else { panic!("no bucket") };
        let (client, provider) = aws::s3(endpoint, key.clone()).await;
        S3::new(client, provider, name.clone(), 64, expiry, clock)
    }

    /// What the link gives now; `None` when it is refused.
    async fn follow(&self, url: &str) -> Option<Answer> {
        match self {
            Self::Folder(root) => {
                let (path, query) = url.strip_prefix("/media/")?.split_once('?')?;
                let media = disk::open(root.path(), HOUR, Utc::now).media(path, query)?;
                Some(Answer {
                    content: std::fs::read(media.file).ok()?,
                    media_type: media.media_type.to_string(),
                    disposition: media.disposition.header(),
                })
            }
            Self::Bucket { .. } | Self::Edge(..) => {
                let answer = reqwest::get(url).await.unwrap();
                if answer.status() == 403 {
                    return None;
                }
                assert_eq!(answer.status(), 200, "{url}");
                let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
                let (media_type, disposition) = (header("content-type"), header("content-disposition"));
                Some(Answer { media_type, disposition, content: answer.bytes().await.unwrap().to_vec() })
            }
        }
    }
}

fn new_path() -> ObjectPath {
    ObjectPath::original(PhotoId::new(Utc::now()), MediaType::Jpeg)
}

/// Bytes in which every missing, doubled or swapped piece shows.
fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0] ^ seed).collect()
}

async fn read(store: &dyn Store, path: &ObjectPath) -> Option<Vec<u8>> {
    let object = store.get(path).await.unwrap()?;
    let content: Vec<_> = object.content.try_collect().await.unwrap();
    let content = content.concat();
    assert_eq!(content.len() as u64, object.bytes, "the length told is the length read");
    Some(content)
}

async fn put(store: &dyn Store, path: &ObjectPath, content: &[u8]) {
    store.put(path, MediaType::Jpeg, Content::Bytes(content)).await.unwrap();
}

fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

fn two_hours_ago() -> DateTime<Utc> {
    Utc::now() - TimeDelta::hours(2)
}

/// Each moment as a clock that stands still.
mod still {
    use super::{DateTime, Utc};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }
    pub(super) fn noon() -> DateTime<Utc> {
        at("2026-03-01T12:00:00Z")
    }
    pub(super) fn end_of_window() -> DateTime<Utc> {
        at("2026-03-01T12:14:59.999Z")
    }
    pub(super) fn next_window() -> DateTime<Utc> {
        at("2026-03-01T12:15:00Z")
    }
}

/// The promises.
mod keeps {
    use super::*;

    pub(super) async fn start_up_proves_it_and_leaves_nothing(place: Place) {
        let (bucket, distribution) = match place {
            Place::Folder(root) => {
                disk::open(root.path(), HOUR, Utc::now).check().await.unwrap();
                assert_eq!(disk::files(root.path()), Vec::<String>::new());
                return;
            }
            Place::Edge(bucket, distribution) => (*bucket, Some(distribution)),
            bucket @ Place::Bucket { .. } => (bucket, None),
        };
        let Place::Bucket { endpoint, key, .. } = bucket else { panic!("a bucket") };
        let (client, _) = aws::s3(&endpoint, aws::key("test", "test")).await;
        let empty = format!("empty-{}", Utc::now().timestamp_micros());
        let bucket = Place::bucket_named(endpoint, empty.clone(), key).await;
        let place = match distribution {
            Some(distribution) => Place::Edge(Box::new(bucket), distribution),
            None => bucket,
        };
        place.store().await.check().await.unwrap();
        let left = client.list_objects_v2().bucket(empty).send().await.unwrap();
        assert_eq!(left.contents().len(), 0);
    }

    pub(super) async fn bytes_come_back_as_they_went(place: Place) {
        let store = place.store().await;
        let path = new_path();
        assert_eq!(read(&*store, &path).await, None);
        put(&*store, &path, b"a picture").await;
        assert_eq!(read(&*store, &path).await.unwrap(), b"a picture");
        assert_eq!(read(&*place.store().await, &path).await.unwrap(), b"a picture", "another instance sees it");
    }

    pub(super) async fn a_file_of_many_pieces_comes_back_and_stays(place: Place) {
        let store = place.store().await;
        let (path, content) = (new_path(), noise(6_000_001, 0));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        store.put(&path, MediaType::Jpeg, Content::File(file.path())).await.unwrap();
        assert!(read(&*store, &path).await.unwrap() == content);
        assert!(std::fs::read(file.path()).unwrap() == content, "the file stays where it is");
    }

    pub(super) async fn an_empty_object_is_there(place: Place) {
        let store = place.store().await;
        let path = new_path();
        put(&*store, &path, b"").await;
        assert_eq!(read(&*store, &path).await.unwrap(), b"");
        let file = tempfile::NamedTempFile::new().unwrap();
        store.put(&path, MediaType::Jpeg, Content::File(file.path())).await.unwrap();
        assert_eq!(read(&*store, &path).await.unwrap(), b"");
    }

    pub(super) async fn a_second_put_replaces(place: Place) {
        let store = place.store().await;
        let path = new_path();
        put(&*store, &path, &noise(300_000, 1)).await;
        put(&*store, &path, b"short").await;
        assert_eq!(read(&*store, &path).await.unwrap(), b"short");
    }

    pub(super) async fn delete_removes_and_absent_is_fine(place: Place) {
        let store = place.store().await;
        let (path, other) = (new_path(), new_path());
        put(&*store, &path, b"one").await;
        put(&*store, &other, b"two").await;
        store.delete(&path).await.unwrap();
        assert_eq!(read(&*store, &path).await, None);
        assert_eq!(read(&*store, &other).await.unwrap(), b"two");
        store.delete(&path).await.unwrap();
    }

    pub(super) async fn keys_of_earlier_apps_and_odd_keys_work(place: Place) {
        let store = place.store().await;
        let keys = [
            "photos/0123456789abcdef.png",
            "photos/odd/a b+c%41&d=é#?ß 日本.png",
            "photos/odd/a b+cA&d=é#?ß 日本.png",
            "photos/odd%2Fslash.png",
            "photos/odd/slash.png",
            "one",
        ];
        for key in keys {
            put(&*store, &key.parse().unwrap(), key.as_bytes()).await;
        }
        for key in keys {
            let path: ObjectPath = key.parse().unwrap();
            assert_eq!(read(&*store, &path).await.unwrap(), key.as_bytes(), "{key}");
            let url = store.link(&path, MediaType::Png, &Disposition::Inline).await.unwrap();
            assert!(url.is_ascii(), "{url}");
            let answer = place.follow(&url).await.unwrap_or_else(|| panic!("{key} is refused: {url}"));
            assert_eq!(answer.content, key.as_bytes(), "{url}");
            store.delete(&path).await.unwrap();
            assert_eq!(read(&*store, &path).await, None, "{key}");
        }
    }

    pub(super) async fn a_link_gives_the_bytes_the_type_and_the_name(place: Place) {
        let store = place.store().await;
        let (path, content) = (new_path(), noise(200_000, 7));
        put(&*store, &path, &content).await;

        let shown = store.link(&path, MediaType::WebP, &Disposition::Inline).await.unwrap();
        let answer = place.follow(&shown).await.unwrap();
        assert!(answer.content == content);
        assert_eq!((&*answer.media_type, &*answer.disposition), ("image/webp", "inline"));

        let names = [
            ("holiday.jpg", "attachment; filename=\"holiday.jpg\""),
            (
                "Łódź \"by\nnight\" 100% 🌃;x=1.jpg",
                "attachment; filename=\"__d_ _by night_ 100_ _;x=1.jpg\"; \
                 filename*=UTF-8''%C5%81%C3%B3d%C5%BA%20%22by%20night%22%20100%25%20%F0%9F%8C%83%3Bx%3D1.jpg",
            ),
            ("a\\b\r\nSet-Cookie: evil=1", "attachment; filename=\"b Set-Cookie: evil=1\""),
        ];
        for (name, header) in names {
            let save = Disposition::Attachment(FileName::new(name));
            let url = store.link(&path, MediaType::Jpeg, &save).await.unwrap();
            let answer = place.follow(&url).await.unwrap();
            assert!(answer.content == content);
            assert_eq!((&*answer.media_type, &*answer.disposition), ("image/jpeg", header));
        }
    }

    pub(super) async fn a_changed_link_is_refused(place: Place) {
        let store = place.store().await;
        let (path, other) = (new_path(), new_path());
        put(&*store, &path, b"mine").await;
        put(&*store, &other, b"another's").await;
        let save = Disposition::Attachment(FileName::new("name.jpg"));
        let url = store.link(&path, MediaType::Jpeg, &save).await.unwrap();
        assert_eq!(place.follow(&url).await.unwrap().content, b"mine");

        let changed = [
            url.replace(path.as_str(), other.as_str()),
            url.replace("jpeg", "png"),
            url.replace("name.jpg", "name.exe"),
            url.replace("xpires=", "xpires=9"),
            url.replace("ignature=", "ignature=0"),
            format!("{url}0"),
            url[..url.len() - 1].to_owned(),
        ];
        for changed in changed {
            assert_ne!(changed, url);
            assert_eq!(place.follow(&changed).await, None, "{changed}");
        }
    }

    pub(super) async fn an_expired_link_is_refused(place: Place) {
        let path = new_path();
        put(&*place.store().await, &path, b"was here").await;
        let past = place.store_at(HOUR, two_hours_ago).await;
        let url = past.link(&path, MediaType::Jpeg, &Disposition::Inline).await.unwrap();
        assert_eq!(place.follow(&url).await, None);
        let past = place.store_at(3 * HOUR, two_hours_ago).await;
        let url = past.link(&path, MediaType::Jpeg, &Disposition::Inline).await.unwrap();
        assert_eq!(place.follow(&url).await.unwrap().content, b"was here");
    }

    pub(super) async fn a_link_stays_the_same_within_a_quarter_of_its_life(place: Place) {
        let path = new_path();
        let save = Disposition::Attachment(FileName::new("a.jpg"));
        let mut urls = vec![];
        for clock in [still::noon, still::end_of_window, still::next_window] {
            let store = place.store_at(HOUR, clock).await;
            let url = store.link(&path, MediaType::Jpeg, &save).await.unwrap();
            assert_eq!(store.link(&path, MediaType::Jpeg, &save).await.unwrap(), url);
            assert_ne!(store.link(&path, MediaType::Jpeg, &Disposition::Inline).await.unwrap(), url);
            assert_ne!(store.link(&path, MediaType::Png, &save).await.unwrap(), url);
            assert_ne!(store.link(&new_path(), MediaType::Jpeg, &save).await.unwrap(), url);
            urls.push(url);
        }
        assert_eq!(urls[0], urls[1], "the same on every instance, from the first to the last moment of a window");
        assert_ne!(urls[1], urls[2]);
    }

    pub(super) async fn a_link_to_an_absent_object_is_given(place: Place) {
        let url = place.store().await.link(&new_path(), MediaType::Jpeg, &Disposition::Inline).await.unwrap();
        assert!(url.contains("ignature="), "{url}");
    }

    pub(super) async fn a_failed_put_leaves_nothing_and_harms_nothing(place: Place) {
        let store = place.store().await;
        let folder = TempDir::new().unwrap();
        for unreadable in [folder.path().join("missing"), folder.path().to_owned()] {
            let path = new_path();
            let error = store.put(&path, MediaType::Jpeg, Content::File(&unreadable)).await.unwrap_err();
            assert!(!chain(&error).is_empty());
            assert_eq!(read(&*store, &path).await, None);
            put(&*store, &path, b"old").await;
            store.put(&path, MediaType::Jpeg, Content::File(&unreadable)).await.unwrap_err();
            assert_eq!(read(&*store, &path).await.unwrap(), b"old");
        }
        if let Place::Folder(root) = &place {
            assert_eq!(disk::files(&root.path().join("tmp")), Vec::<String>::new());
        }
    }

    pub(super) async fn a_size_is_told_without_reading(place: Place) {
        let store = place.store().await;
        let path = new_path();
        assert_eq!(store.size(&path).await.unwrap(), None);
        put(&*store, &path, &noise(123_456, 1)).await;
        assert_eq!(store.size(&path).await.unwrap(), Some(123_456));
        put(&*store, &path, b"").await;
        assert_eq!(store.size(&path).await.unwrap(), Some(0));
        store.delete(&path).await.unwrap();
        assert_eq!(store.size(&path).await.unwrap(), None);
    }

    pub(super) async fn every_object_is_listed_once_with_its_size_and_age(place: Place) {
        let store = place.store().await;
        let odd = format!("photos/odd/a b+c%41&d=é#?ß 日本-{}.png", new_path().as_str().len());
        let long = format!("renditions/{}", "日".repeat(60));
        let mut expected: Vec<(ObjectPath, u64)> = (1..40).map(|bytes| (new_path(), bytes)).collect();
        let id = PhotoId::new(Utc::now());
        expected.push((ObjectPath::rendition(id, Rendition::Thumb).unwrap(), 77));
        expected.push((odd.parse().unwrap(), 88));
        let began = Utc::now() - TimeDelta::seconds(2);
        for (path, bytes) in &expected {
            put(&*store, path, &noise(usize::try_from(*bytes).unwrap(), 0)).await;
        }
        put(&*store, &long.parse().unwrap(), b"long").await;
        let gone = new_path();
        put(&*store, &gone, b"gone").await;
        store.delete(&gone).await.unwrap();
        let listed: Vec<Listed> = store.list().try_collect().await.unwrap();
        for (path, bytes) in &expected {
            let found: Vec<_> = listed.iter().filter(|object| object.path.as_ref() == Some(path)).collect();
            assert_eq!(found.len(), 1, "{path}");
            assert_eq!(found[0].bytes, *bytes, "{path}");
            assert!((began..Utc::now() + TimeDelta::seconds(2)).contains(&found[0].modified), "{:?}", found[0]);
        }
        assert!(!listed.iter().any(|object| object.path.as_ref() == Some(&gone)));
        let long = listed.iter().find(|object| object.path.as_ref().is_none_or(|path| path.as_str() == long));
        assert_eq!(long.unwrap().bytes, 4, "what no file name can tell is not passed over in silence");
        for (path, _) in &expected {
            store.delete(path).await.unwrap();
        }
    }

    pub(super) async fn many_puts_at_once_are_each_whole(place: Place) {
        let store = &*place.store().await;
        let contested = &new_path();
        let contents: Vec<_> = (0..32).map(|seed| noise(50_000 + usize::from(seed), seed)).collect();
        join_all(contents.iter().map(async |content| {
            let own = new_path();
            put(store, &own, content).await;
            put(store, contested, content).await;
            assert!(read(store, &own).await.unwrap() == *content);
        }))
        .await;
        let winner = read(store, contested).await.unwrap();
        assert!(contents.contains(&winner));
    }
}

/// Makes a test of every promise for the place that `$place` opens.
macro_rules! conformance {
    ($place:expr) => {
        $crate::store::conformance! { @ $place,
            start_up_proves_it_and_leaves_nothing
            bytes_come_back_as_they_went
            a_file_of_many_pieces_comes_back_and_stays
            an_empty_object_is_there
            a_second_put_replaces
            delete_removes_and_absent_is_fine
            keys_of_earlier_apps_and_odd_keys_work
            a_link_gives_the_bytes_the_type_and_the_name
            a_changed_link_is_refused
            an_expired_link_is_refused
            a_link_stays_the_same_within_a_quarter_of_its_life
            a_link_to_an_absent_object_is_given
            a_failed_put_leaves_nothing_and_harms_nothing
            a_size_is_told_without_reading
            every_object_is_listed_once_with_its_size_and_age
            many_puts_at_once_are_each_whole
        }
    };
    (@ $place:expr, $($promise:ident)*) => {
        $(#[tokio::test]
        async fn $promise() {
            $crate::store::keeps::$promise($place).await;
        })*
    };
}
use conformance;

mod folder {
    super::conformance!(super::Place::folder());
}

mod with_servers {
    mod seaweedfs {
        crate::store::conformance!(crate::store::Place::bucket("TEST_SEAWEEDFS").await);
    }

    mod cloudfront {
        crate::store::conformance!(crate::store::Place::behind_cloudfront().await);
    }

    mod ministack {
        crate::store::conformance!(crate::store::Place::bucket("TEST_MINISTACK").await);
    }
}
