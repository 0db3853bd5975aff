//! Labels without any service: two small models inside the program, one that names the subject and one that finds objects.
//! They load with the first picture, are shared, and run on a bounded number of threads apart from the server's.

pub mod classifier;
pub mod detector;
pub mod fusion;
pub mod picture;
pub mod vocabulary;

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use rten::{Model, ModelOptions, RunOptions, ThreadPool, Value, op_registry};
use rten_tensor::NdTensor;
use sha2::Digest;
use tokio::sync::Semaphore;

use self::{
    classifier::Classifier,
    detector::Detector,
    fusion::Thresholds,
    picture::{Frame, Picture},
    vocabulary::Vocabulary,
};
use super::{Labeler, Unlabelled};
use crate::photo::{Label, Sha256};

/// The threads on which a model runs.
pub type Threads = Arc<ThreadPool>;

/// The bytes of a model, and which bytes they should be.
#[derive(Clone, Copy)]
pub struct Network {
    /// What it is called in messages.
    pub name: &'static str,
    /// SHA-256 of the whole model, 64 hexadecimal digits.
    pub sha256: &'static str,
    /// ONNX, as it lies in the program.
    pub bytes: &'static [u8],
}

/// A model that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model {model} inside the program is damaged ({reason}); install photo-gallery again")]
pub struct Damaged {
    model: &'static str,
    reason: String,
}

impl Network {
    /// The classifier inside the program.
    pub fn classifier() -> Self {
        Self {
            name: "efficientnet-lite0",
            sha256: "4e1f69622af39136eea55fbea66f85d74304e905d881ed0567013c9fc8999a10",
            bytes: include_bytes!("../../models/efficientnet-lite0.onnx"),
        }
    }

    /// The detector inside the program.
    pub fn detector() -> Self {
        Self {
            name: "efficientdet-lite2",
            sha256: "3d729cadaf1fe8f0985f434bb5d39e0401778e07aa94605ee24c71c4daab3db5",
            bytes: include_bytes!("../../models/efficientdet-lite2.onnx"),
        }
    }

    /// Compares the bytes with their SHA-256.
    pub fn check(&self) -> Result<(), Damaged> {
        let found = Sha256(sha2::Sha256::digest(self.bytes).into()).to_string();
        if found == self.sha256 {
            return Ok(());
        }
        let reason = format!("its SHA-256 is {found} instead of {}", self.sha256);
        Err(Damaged { model: self.name, reason })
    }

    fn load(&self) -> anyhow::Result<Model> {
        self.check()?;
        let operators = op_registry!(
            Add,
            Clip,
            Concat,
            Conv,
            DequantizeLinear,
            Flatten,
            GlobalAveragePool,
            MatMul,
            MaxPool,
            Reshape,
            Resize,
            Sigmoid,
            Softmax,
            Transpose
        );
        ModelOptions::with_ops(operators)
            .load_static_slice(self.bytes)
            .map_err(|e| Damaged { model: self.name, reason: e.to_string() }.into())
    }
}

/// Runs `model` on one input.
fn run<const N: usize>(model: &Model, input: NdTensor<f32, 4>, threads: &Threads) -> anyhow::Result<[Value; N]> {
    let &[input_id] = model.input_ids() else { anyhow::bail!("the model does not take exactly one input") };
    let outputs: [_; N] = model.output_ids().try_into().context("the model's outputs are others than expected")?;
    let options = RunOptions::default().with_thread_pool(Some(Arc::clone(threads)));
    model.run_n(vec![(input_id, input.into())], outputs, Some(options)).context("running the model")
}

/// Both models, loaded.
pub struct Models {
    /// Names the subject.
    pub classifier: Classifier,
    /// Finds objects.
    pub detector: Detector,
}

impl Models {
    /// How much of the short side the classifier's closer look takes.
    const CLOSER: Frame = Frame::Centre(0.95);

    /// Loads both; about 0.2 s.
    pub fn load(classifier: &Network, detector: &Network) -> anyhow::Result<Self> {
        Ok(Self { classifier: Classifier::load(classifier)?, detector: Detector::load(detector)? })
    }

    /// The labels of a picture.
    pub fn labels(&self, picture: &Picture, thresholds: &Thresholds, threads: &Threads) -> anyhow::Result<Vec<Label>> {
        let closer = self.classifier.classify(picture, Self::CLOSER, threads)?;
        let whole = self.classifier.classify(picture, Frame::Whole, threads)?;
        let probabilities: Vec<f32> = closer.iter().zip(&whole).map(|(a, b)| f32::midpoint(*a, *b)).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a threshold needs no more than f32's digits")]
        let detections = self.detector.detect(picture, (thresholds.object / 100.0) as f32, threads)?;
        Ok(fusion::fuse(Vocabulary::embedded(), &probabilities, &detections, thresholds))
    }
}

/// The labeler inside the program.
pub struct Builtin {
    at_work: Arc<AtWork>,
    /// As many permits as pictures may be looked at at once.
    permits: Arc<Semaphore>,
}

/// What the threads at work share.
struct AtWork {
    classifier: Network,
    detector: Network,
    thresholds: Thresholds,
    models: OnceLock<Result<Models, String>>,
    /// One thread for each permit, lent to whoever holds one.
    idle_threads: Mutex<Vec<Threads>>,
    pictures: AtomicUsize,
}

impl Builtin {
    /// A labeler that looks at `at_once` pictures at the same time, on a thread each.
    pub fn new(thresholds: Thresholds, at_once: usize) -> Self {
        Self::with_models(Network::classifier(), Network::detector(), thresholds, at_once)
    }

    /// Like [`new`](Self::new), with the models' bytes given.
    pub fn with_models(classifier: Network, detector: Network, thresholds: Thresholds, at_once: usize) -> Self {
        let at_work = AtWork {
            classifier,
            detector,
            thresholds,
            models: OnceLock::new(),
            idle_threads: Mutex::default(),
            pictures: AtomicUsize::new(0),
        };
        Self { at_work: Arc::new(at_work), permits: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Whether the models are whole, without loading them: reads 11 MB, some 20 ms.
    pub fn check(&self) -> Result<(), Damaged> {
        self.at_work.classifier.check()?;
        self.at_work.detector.check()
    }

    /// How many pictures are being looked at now.
    pub fn at_work(&self) -> usize {
        self.at_work.pictures.load(Ordering::Relaxed)
    }
}

impl AtWork {
    fn labels(&self, jpeg: &[u8]) -> Result<Vec<Label>, Unlabelled> {
        let _counted = Counted::one_more(&self.pictures);
        let threads = self.idle_threads().pop().unwrap_or_else(nice_thread);
        // All on the one thread, so that its memory is used again for the next picture.
        let labels = threads.run(|| self.look(jpeg, &threads));
        self.idle_threads().push(threads);
        labels
    }

    fn look(&self, jpeg: &[u8], threads: &Threads) -> Result<Vec<Label>, Unlabelled> {
        let picture = Picture::from_jpeg(jpeg).map_err(|unreadable| Unlabelled::Never(unreadable.to_string()))?;
        let not_now = |cause| Unlabelled::NotNow { retry_after: None, cause };
        let loading = || Models::load(&self.classifier, &self.detector).map_err(|e| format!("{e:#}"));
        let models = self.models.get_or_init(loading).as_ref().map_err(|e| not_now(anyhow::anyhow!(e.clone())))?;
        models.labels(&picture, &self.thresholds, threads).map_err(not_now)
    }

    fn idle_threads(&self) -> std::sync::MutexGuard<'_, Vec<Threads>> {
        self.idle_threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread for one picture at a time, of lower priority than those that answer requests, where the system allows that.
fn nice_thread() -> Threads {
    const NICENESS: i32 = 10;
    let thread = ThreadPool::with_num_threads(1);
    let _ = thread.run(|| rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS));
    Arc::new(thread)
}

/// Counts one picture for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Labeler for Builtin {
    async fn labels(&self, jpeg: Bytes) -> Result<Vec<Label>, Unlabelled> {
        let not_now = |cause| Unlabelled::NotNow { retry_after: None, cause };
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|e| not_now(e.into()))?;
        let at_work = Arc::clone(&self.at_work);
        let looking = tokio::task::spawn_blocking(move || {
            let _until_done = permit;
            at_work.labels(&jpeg)
        });
        match looking.await {
            Ok(labels) => labels,
            Err(gone) if gone.is_panic() => Err(Unlabelled::Never(
                "The built-in labeler cannot look at this picture: its decoder or model gave up.".into(),
            )),
            Err(stopping) => Err(not_now(stopping.into())),
        }
    }
}
