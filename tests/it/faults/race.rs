//! Two instances on one catalog, and everything at once on both: whatever order the doings took, each answer and the end fit one (R30).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::future::join_all;
use photo_gallery::{
    album::{Query, Received},
    app::App,
    error::Error,
    photo::{Owner, PhotoId},
    settings::{Settings, Sources},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use tokio::{runtime::Handle, task::block_in_place};

use super::gallery::Gallery;
use crate::{chaos::Dice, pictures};

/// How many different files there are.
const FILES: u8 = 3;

/// What somebody does, to the photo of a file.
#[derive(Clone, Copy, Debug)]
enum Act {
    Upload(u8),
    Describe(u8, u8),
    Delete(u8),
    Label(u8),
}

/// What is done at the same time, each on one of two instances.
type Step = Vec<(usize, Act)>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        3 => (0..FILES).prop_map(Act::Upload),
        2 => (0..FILES, 0_u8..3).prop_map(|(file, words)| Act::Describe(file, words)),
        2 => (0..FILES).prop_map(Act::Delete),
        2 => (0..FILES).prop_map(Act::Label),
    ];
    vec(vec((0_usize..2, act), 1..4), 1..10)
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    New,
    AlreadyHere,
    Done,
    NotFound,
}

/// A photo as it should be; without an id when it came in this step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    id: Option<PhotoId>,
    description: String,
    labelled: bool,
}

/// The gallery as it should be: photos by file.
type Model = BTreeMap<u8, Kept>;

fn words(number: u8) -> String {
    ["a walk", "a longer walk", ""][usize::from(number)].to_owned()
}

/// What an act does to the model. It means the photo `known` before the step, if there was one.
fn does(model: &mut Model, known: &Model, act: Act) -> Answer {
    let (Act::Upload(file) | Act::Describe(file, _) | Act::Delete(file) | Act::Label(file)) = act;
    let meant = known.get(&file).and_then(|kept| kept.id);
    let found = model.get_mut(&file);
    match (act, found) {
        (Act::Upload(_), Some(_)) => Answer::AlreadyHere,
        (Act::Upload(_), None) => {
            model.insert(file, Kept { id: None, description: String::new(), labelled: false });
            Answer::New
        }
        (_, found) if meant.is_none() || found.as_ref().and_then(|kept| kept.id) != meant => {
            if matches!(act, Act::Label(_)) { Answer::Done } else { Answer::NotFound }
        }
        (Act::Describe(_, number), Some(kept)) => {
            kept.description = words(number);
            Answer::Done
        }
        (Act::Label(_), Some(kept)) => {
            kept.labelled = true;
            Answer::Done
        }
        (Act::Delete(_), _) => {
            model.remove(&file);
            Answer::Done
        }
        (_, None) => Answer::NotFound,
    }
}

/// Every order of so few things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let shorter = orders(last);
    let longer = shorter.iter().flat_map(|order| {
        (0..count).map(|place| {
            let mut order = order.clone();
            order.insert(place, last);
            order
        })
    });
    longer.collect()
}

/// The two instances.
struct Pair {
    apps: [Arc<App>; 2],
    files: Vec<Vec<u8>>,
    /// How many sequences there were: each has an owner of its own, so that one which fails spoils no other.
    sequences: AtomicU32,
}

impl Pair {
    async fn act(&self, owner: &Owner, instance: usize, known: &Model, act: Act) -> Result<Answer, Error> {
        let album = self.apps[instance].album();
        let (Act::Upload(file) | Act::Describe(file, _) | Act::Delete(file) | Act::Label(file)) = act;
        // Where there is none, somebody else's or nobody's.
        let id = known.get(&file).and_then(|kept| kept.id).unwrap_or_else(|| PhotoId::new(chrono::Utc::now()));
        let answer = match act {
            Act::Upload(_) => {
                let mut receiving = album.receive("a.jpg")?;
                receiving.write(&self.files[usize::from(file)]).await?;
                let upload = receiving.finish().await?;
                return Ok(match album.keep(owner, upload, String::new().parse().unwrap()).await? {
                    Received::New(_) => Answer::New,
                    Received::AlreadyHere(_) => Answer::AlreadyHere,
                });
            }
            Act::Describe(_, number) => album.describe(owner, id, &words(number).parse().unwrap()).await,
            Act::Delete(_) => album.delete(owner, id).await,
            Act::Label(_) => self.apps[instance].finisher().finish(id).await.map(|_| ()).map_err(Error::Internal),
        };
        match answer {
            Ok(()) => Ok(Answer::Done),
            Err(Error::NotFound) => Ok(Answer::NotFound),
            Err(error) => Err(error),
        }
    }

    /// The gallery as an instance tells it.
    async fn told(&self, owner: &Owner, instance: usize) -> Result<Model, Error> {
        let album = self.apps[instance].album();
        let page = album.page(owner, &Query::default()).await?;
        let totals = album.totals(owner).await?;
        assert_eq!(totals.photos, page.photos.len() as u64, "photos are counted as they are listed");
        let bytes: u64 = page.photos.iter().map(|photo| photo.bytes).sum();
        assert_eq!(totals.bytes, bytes, "bytes are counted as they are listed");
        let mut model = Model::new();
        for photo in page.photos {
            let sizes = self.files.iter().map(|file| file.len() as u64);
            let file = sizes.zip(0_u8..).find(|(size, _)| *size == photo.bytes).expect("a file of ours").1;
            let kept = Kept {
                id: Some(photo.id),
                description: photo.description.as_str().to_owned(),
                labelled: photo.labelled_at.is_some(),
            };
            assert!(model.insert(file, kept).is_none(), "one file is one photo");
        }
        Ok(model)
    }

    async fn take(&self, owner: &Owner, step: &Step, known: &Model) -> Result<Model, TestCaseError> {
        let failed = |error: Error| TestCaseError::fail(format!("{error:?}"));
        let answers = join_all(step.iter().map(|(instance, act)| self.act(owner, *instance, known, *act))).await;
        let answers = answers.into_iter().collect::<Result<Vec<Answer>, Error>>().map_err(failed)?;
        let (told, other) = (self.told(owner, 0).await.map_err(failed)?, self.told(owner, 1).await.map_err(failed)?);
        prop_assert_eq!(&told, &other, "both instances tell the same");
        let fits = |order: &Vec<usize>| {
            let mut model = known.clone();
            let right = order.iter().all(|place| does(&mut model, known, step[*place].1) == answers[*place]);
            let same = model.len() == told.len()
                && model.iter().zip(&told).all(|((file, kept), (other, there))| {
                    file == other
                        && kept.id.is_none_or(|id| Some(id) == there.id)
                        && (&kept.description, kept.labelled) == (&there.description, there.labelled)
                });
            right && same
        };
        prop_assert!(
            orders(step.len()).iter().any(fits),
            "{step:?} on {known:?} was answered {answers:?} and left {told:?}, as no order of it does"
        );
        Ok(told)
    }

    /// A sequence from an empty gallery to an empty gallery.
    async fn follow(&self, steps: &[Step]) -> Result<(), TestCaseError> {
        let number = self.sequences.fetch_add(1, Ordering::Relaxed);
        let owner: Owner = format!("sequence {number}").parse().unwrap();
        let mut known = Model::new();
        for step in steps {
            known = self.take(&owner, step, &known).await?;
        }
        let rest: Step = known.keys().map(|file| (usize::from(*file) % 2, Act::Delete(*file))).collect();
        known = self.take(&owner, &rest, &known).await?;
        prop_assert!(known.is_empty());
        Ok(())
    }
}

/// Random sequences on two instances; few, or `RACE_CASES`.
pub(crate) async fn instances_race(what: &str, gallery: Gallery) {
    let cases = std::env::var("RACE_CASES").map_or(16, |cases| cases.parse().expect("RACE_CASES is a number"));
    let dice = Dice::new(what);
    let seed: Vec<u8> = (0..32).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
    let environment = gallery.settings_for_an_app();
    let sources = Sources { config: None, folder: gallery.folder().to_owned(), environment };
    let settings = Settings::load(&sources).unwrap().settings;
    let open = async || Arc::new(Box::pin(App::open(settings.clone())).await.unwrap());
    let apps = [open().await, open().await];
    let files = (0..FILES).map(|file| pictures::jpeg(32 + 8 * u16::from(file), 24, u32::from(file))).collect();
    let pair = Pair { apps, files, sequences: AtomicU32::new(0) };
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let began = std::time::Instant::now();
    block_in_place(|| {
        let ran = runner.run(&steps(), |steps| Handle::current().block_on(pair.follow(&steps)));
        ran.unwrap_or_else(|failed| panic!("{failed}"));
    });
    println!("{what}: {cases} sequences, {:?}", began.elapsed());
    for app in &pair.apps {
        app.close().await;
    }
    gallery.check_clean().await;
    assert_eq!(gallery.objects().await, Vec::<String>::new(), "nothing stays behind");
    gallery.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_at_one_catalog_answer_as_one_would_on_this_machine() {
    instances_race("a race on SQLite and a folder", Gallery::on_this_machine()).await;
}
