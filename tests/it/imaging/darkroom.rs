//! The pool: says no early, forgets who left, survives panics.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use photo_gallery::{
    darkroom::{Darkroom, Unfinished},
    imaging::{Limits, Renditions, Undeveloped},
};

use super::specimens::{assert_quarters, jpeg, png, quarters};

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("at least one thread")
}

fn kept(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A door at which jobs wait until it is opened, and a count of those that came to it.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    came: AtomicUsize,
}

impl Door {
    fn pass(&self) -> Result<Renditions, Undeveloped> {
        self.came.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        Err(Undeveloped::Empty)
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    async fn reached_by(&self, count: usize) {
        for _ in 0..500 {
            if self.came.load(Ordering::SeqCst) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} jobs came where {count} were awaited", self.came.load(Ordering::SeqCst));
    }
}

fn behind_a_door(pool: usize, queue: usize) -> (Arc<Darkroom>, Arc<Door>) {
    let door = Arc::new(Door::default());
    let theirs = Arc::clone(&door);
    (Arc::new(Darkroom::doing(threads(pool), queue, move |_| theirs.pass()).unwrap()), door)
}

async fn waiting(darkroom: &Darkroom, count: usize) {
    for _ in 0..500 {
        if darkroom.waiting() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} jobs wait where {count} should", darkroom.waiting());
}

#[tokio::test]
async fn a_file_is_developed_on_the_pool() {
    let folder = tempfile::tempdir().unwrap();
    let darkroom = Darkroom::new(threads(2), 4, Limits::default()).unwrap();
    let renditions = darkroom.develop(kept(&folder, "a.jpg", &jpeg(300, 200))).await.unwrap();
    assert_quarters(&renditions, 12, "on the pool");
}

#[tokio::test]
async fn a_refusal_comes_through_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let darkroom = Darkroom::new(threads(1), 4, Limits::default()).unwrap();
    let refused = darkroom.develop(kept(&folder, "empty", b"")).await;
    assert!(matches!(refused, Err(Unfinished::Undeveloped(Undeveloped::Empty))), "{refused:?}");
}

#[tokio::test]
async fn a_missing_file_is_a_failure_and_the_pool_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let darkroom = Darkroom::new(threads(1), 4, Limits::default()).unwrap();
    let failed = darkroom.develop(folder.path().join("nowhere")).await;
    assert!(matches!(failed, Err(Unfinished::Failed(_))), "{failed:?}");
    assert!(darkroom.develop(kept(&folder, "a.jpg", &jpeg(30, 20))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_busy_at_once_and_empties_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = kept(&folder, "a.jpg", &jpeg(30, 20));
    let (darkroom, door) = behind_a_door(1, 2);
    let job = || {
        let (darkroom, file) = (Arc::clone(&darkroom), file.clone());
        tokio::spawn(async move { darkroom.develop(file).await })
    };
    let running = job();
    door.reached_by(1).await;
    let (first, second) = (job(), job());
    waiting(&darkroom, 2).await;
    assert!(matches!(darkroom.develop(file.clone()).await, Err(Unfinished::Busy)));
    door.open();
    for job in [running, first, second] {
        assert!(matches!(job.await.unwrap(), Err(Unfinished::Undeveloped(_))));
    }
    assert!(matches!(darkroom.develop(file).await, Err(Unfinished::Undeveloped(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_leaves_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let file = kept(&folder, "a.jpg", &jpeg(30, 20));
    let (darkroom, door) = behind_a_door(1, 1);
    let job = || {
        let (darkroom, file) = (Arc::clone(&darkroom), file.clone());
        tokio::spawn(async move { darkroom.develop(file).await })
    };
    let running = job();
    door.reached_by(1).await;
    let given_up = job();
    waiting(&darkroom, 1).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let instead = job();
    tokio::time::sleep(Duration::from_millis(50)).await;
    door.open();
    assert!(matches!(running.await.unwrap(), Err(Unfinished::Undeveloped(_))));
    assert!(matches!(instead.await.unwrap(), Err(Unfinished::Undeveloped(_))), "its place was free");
    assert_eq!(door.came.load(Ordering::SeqCst), 2, "the job that was given up was never begun");
}

#[tokio::test]
async fn a_panic_is_a_failure_and_kills_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = kept(&folder, "a.jpg", &jpeg(30, 20));
    let count = AtomicUsize::new(0);
    let darkroom = Darkroom::doing(threads(1), 4, move |_| {
        assert!(count.fetch_add(1, Ordering::SeqCst) >= 3, "a decoder's bug");
        Err(Undeveloped::Empty)
    })
    .unwrap();
    for _ in 0..3 {
        assert!(matches!(darkroom.develop(file.clone()).await, Err(Unfinished::Failed(_))));
    }
    assert!(matches!(darkroom.develop(file).await, Err(Unfinished::Undeveloped(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_pictures_are_developed_one_at_a_time_and_hold_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let heavy = kept(&folder, "a.png", &png(&quarters(8, 8), 8, 8, image::ExtendedColorType::Rgb8));
    let light = kept(&folder, "a.jpg", &jpeg(30, 20));
    let door = Arc::new(Door::default());
    let theirs = Arc::clone(&door);
    let work = move |original: &[u8]| {
        if original.starts_with(b"\x89PNG") { theirs.pass() } else { Err(Undeveloped::Unknown) }
    };
    let darkroom = Arc::new(Darkroom::doing(threads(3), 8, work).unwrap());
    let jobs: Vec<_> = (0..3)
        .map(|_| {
            let (darkroom, heavy) = (Arc::clone(&darkroom), heavy.clone());
            tokio::spawn(async move { darkroom.develop(heavy).await })
        })
        .collect();
    door.reached_by(1).await;
    for _ in 0..5 {
        let answer = darkroom.develop(light.clone()).await;
        assert!(matches!(answer, Err(Unfinished::Undeveloped(Undeveloped::Unknown))), "{answer:?}");
    }
    assert_eq!(door.came.load(Ordering::SeqCst), 1, "one heavy picture at a time");
    door.open();
    for job in jobs {
        assert!(matches!(job.await.unwrap(), Err(Unfinished::Undeveloped(Undeveloped::Empty))));
    }
}
