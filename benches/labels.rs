//! What the built-in labeler costs and says: `cargo bench --bench labels -- [FOLDER] [--golden FILE]`.
//!
//! Prints each photo's labels, CPU time and memory for the classifier alone and for the whole labeler, and with `--golden` (a JSON of the
//! reference runtime's answers) how often the classifier's first class is the reference's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use fast_image_resize::{
    PixelType, Resizer,
    images::{Image, ImageRef},
};
use photo_gallery::labeler::{
    Builtin, Labeler,
    builtin::{
        Network,
        classifier::Classifier,
        fusion::Thresholds,
        picture::{Frame, Picture},
    },
};
use serde_json::Value;
use zune_jpeg::{JpegDecoder, zune_core::bytestream::ZCursor};

/// A decoded photo: width, height, RGB.
struct Pixels(u32, u32, Vec<u8>);

fn main() -> anyhow::Result<()> {
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos");
    let mut golden = None;
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--golden" {
            golden = Some(arguments.next().context("--golden takes a file")?);
        } else {
            folder = argument.into();
        }
    }
    let photos = photos(&folder)?;
    println!("{} photos in {}; resident before the first model: {}", photos.len(), folder.display(), memory()?);
    classify(&photos, golden.as_deref())?;
    label(&photos)
}

fn photos(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("opening {}", folder.display()))?;
    let mut photos: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    photos.retain(|path| path.extension().is_some_and(|e| e == "jpg" || e == "jpeg" || e == "png"));
    photos.sort();
    ensure!(!photos.is_empty(), "no JPEG or PNG in {}", folder.display());
    Ok(photos)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name by which a photo is compared, so that a PNG of it counts too.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn classify(photos: &[PathBuf], golden: Option<&str>) -> anyhow::Result<()> {
    let references: BTreeMap<String, (u64, String)> = match golden {
        Some(file) => references(file)?,
        None => BTreeMap::new(),
    };
    let classifier = Classifier::load(&Network::classifier())?;
    let threads = Arc::new(rten::ThreadPool::with_num_threads(1));
    let (mut cpu, mut compared, mut agreed) = (0.0, 0, 0);
    for path in photos {
        let Pixels(width, height, rgb) = pixels(path)?;
        let picture = Picture::from_rgb(width, height, rgb)?;
        let before = cpu_ms()?;
        let probabilities = classifier.classify(&picture, Frame::Centre(0.875), &threads)?;
        cpu += cpu_ms()? - before;
        let Some((class, name)) = references.get(&stem(path)) else { continue };
        let top = (0_u64..).zip(&probabilities).max_by(|a, b| a.1.total_cmp(b.1)).context("no class")?;
        compared += 1;
        if top.0 == *class {
            agreed += 1;
        } else {
            let theirs =
                usize::try_from(*class).ok().and_then(|class| probabilities.get(class)).copied().unwrap_or_default();
            println!("differs: {}: {} ({:.3}) instead of {class}, {name} ({theirs:.3})", file_name(path), top.0, top.1);
        }
    }
    println!("classifier: {:.1} ms CPU a photo", cpu / number(photos.len()));
    if golden.is_some() {
        println!("classifier: first class agrees with the reference on {agreed} of {compared} photos");
        for missing in references.keys().filter(|name| !photos.iter().any(|path| stem(path) == **name)) {
            println!("no such photo: {missing}, which has a reference");
        }
    }
    Ok(())
}

/// The first class of each photo, with its name.
fn references(file: &str) -> anyhow::Result<BTreeMap<String, (u64, String)>> {
    let golden: Value = serde_json::from_slice(&fs::read(file).with_context(|| format!("opening {file}"))?)?;
    let photos = golden["photos"].as_object().context("the golden file has no `photos`")?;
    photos
        .iter()
        .map(|(name, answers)| {
            let top = &answers["efficientnet_lite0_int8_2"][0];
            let class = top[0].as_u64().with_context(|| format!("{name} has no reference class"))?;
            Ok((stem(Path::new(name)), (class, top[1].as_str().unwrap_or_default().to_owned())))
        })
        .collect()
}

fn label(photos: &[PathBuf]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let labeler = Builtin::new(Thresholds::default(), 1);
    let started = Instant::now();
    labeler.check()?;
    println!("checking the models: {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
    let (mut cpu, mut slowest) = (0.0, 0.0_f64);
    for (place, path) in photos.iter().enumerate() {
        let jpeg = display(pixels(path)?)?;
        let (before, started) = (cpu_ms()?, Instant::now());
        let labels = runtime.block_on(labeler.labels(jpeg));
        let (used, took) = (cpu_ms()? - before, started.elapsed().as_secs_f64() * 1000.0);
        if place == 0 {
            println!("first photo, loading both models: {used:.0} ms CPU, {took:.0} ms; resident: {}", memory()?);
        } else {
            cpu += used;
            slowest = slowest.max(took);
        }
        let text = match labels {
            Ok(labels) => labels
                .iter()
                .map(|label| match label.instances.len() {
                    0 | 1 => format!("{} {:.0}", label.name, label.by_confidence()),
                    count => format!("{} {:.0} (x{count})", label.name, label.by_confidence()),
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(unlabelled) => format!("{unlabelled:?}"),
        };
        println!("{:32} {text}", file_name(path));
    }
    let rest = number(photos.len().saturating_sub(1).max(1));
    println!("labeler: {:.1} ms CPU a photo after the first, slowest {slowest:.0} ms", cpu / rest);
    println!("resident at the end: {}", memory()?);
    Ok(())
}

fn pixels(path: &Path) -> anyhow::Result<Pixels> {
    let bytes = fs::read(path)?;
    if bytes.starts_with(&[0xff, 0xd8]) {
        let mut decoder = JpegDecoder::new(ZCursor::new(&bytes));
        let rgb = decoder.decode().map_err(|e| anyhow::anyhow!("{}: {e:?}", path.display()))?;
        let (width, height) = decoder.dimensions().context("no size")?;
        return Ok(Pixels(u32::try_from(width)?, u32::try_from(height)?, rgb));
    }
    let picture = image::load_from_memory(&bytes).with_context(|| path.display().to_string())?.into_rgb8();
    Ok(Pixels(picture.width(), picture.height(), picture.into_raw()))
}

/// A JPEG of at most 2048 px a side, as the labeler is given in the gallery.
fn display(Pixels(width, height, rgb): Pixels) -> anyhow::Result<Bytes> {
    let scale = (2048.0 / f64::from(width.max(height))).min(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 2048")]
    let scaled = |side: u32| (f64::from(side) * scale).round().max(1.0) as u32;
    let mut small = Image::new(scaled(width), scaled(height), PixelType::U8x3);
    Resizer::new().resize(&ImageRef::new(width, height, &rgb, PixelType::U8x3)?, &mut small, None)?;
    let mut jpeg = Vec::new();
    let (width, height) = (u16::try_from(small.width())?, u16::try_from(small.height())?);
    jpeg_encoder::Encoder::new(&mut jpeg, 85).encode(small.buffer(), width, height, jpeg_encoder::ColorType::Rgb)?;
    Ok(jpeg.into())
}

/// The CPU time that this process's threads have used, in milliseconds.
fn cpu_ms() -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread that just ended has no file any more.
        let Ok(used) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += used.split_whitespace().next().context("an empty schedstat")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e6)
}

/// Resident memory now and at its highest.
fn memory() -> anyhow::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes.unwrap_or(f64::NAN) / 1024.0
    };
    Ok(format!("{:.0} MB (highest {:.0} MB)", field("VmRSS:"), field("VmHWM:")))
}

#[expect(clippy::cast_precision_loss, reason = "a few photos")]
fn number(count: usize) -> f64 {
    count as f64
}
