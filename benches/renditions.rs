//! What developing a 24-megapixel JPEG costs, in pairs with Debian's `vipsthumbnail` making the same two sizes.
//!
//! `cargo bench --bench renditions` makes its own picture; `cargo bench --bench renditions -- FOLDER` takes the JPEGs of a folder.

#![expect(clippy::cast_precision_loss, reason = "coordinates and hashes of a test scene are small")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image};
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use nix::sys::resource::{UsageWho, getrusage};
use photo_gallery::imaging::{Limits, develop};
use zune_core::{bytestream::ZCursor, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

/// Pairs of runs for each picture.
const PAIRS: usize = 7;
/// Runs in one process for the warm figure.
const WARM_RUNS: u32 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--develop", file, display, thumb] => develop_once(file, display, thumb),
        ["--warm", file] => develop_warm(file),
        [] => compare_own_picture(),
        [folder] => compare_folder(Path::new(folder)),
        _ => Err(anyhow::anyhow!("usage: cargo bench --bench renditions [-- FOLDER]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One develop, from file to two files; prints the process's peak memory in kilobytes.
fn develop_once(file: &str, display: &str, thumb: &str) -> anyhow::Result<()> {
    let renditions = develop(&fs::read(file)?, &Limits::default())?;
    fs::write(display, renditions.display)?;
    fs::write(thumb, renditions.thumb)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    println!("{}", peak.trim().trim_end_matches("kB").trim());
    Ok(())
}

/// Several develops in one process; prints the CPU microseconds of one after the first.
fn develop_warm(file: &str) -> anyhow::Result<()> {
    let bytes = fs::read(file)?;
    develop(&bytes, &Limits::default())?;
    let before = cpu(UsageWho::RUSAGE_SELF)?;
    for _ in 0..WARM_RUNS {
        develop(&bytes, &Limits::default())?;
    }
    println!("{}", (cpu(UsageWho::RUSAGE_SELF)?.saturating_sub(before) / WARM_RUNS).as_micros());
    Ok(())
}

/// User and system time.
fn cpu(who: UsageWho) -> anyhow::Result<Duration> {
    let usage = getrusage(who)?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).map(Duration::from_micros)
    };
    Ok(micros(usage.user_time())? + micros(usage.system_time())?)
}

fn compare_own_picture() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("synthetic-24mpx.jpg");
    fs::write(&file, synthetic_photo(6000, 4000)?)?;
    compare(&[file])
}

fn compare_folder(folder: &Path) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("reading the folder {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| {
            path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
        })
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "there is no .jpg file in {}", folder.display());
    compare(&files)
}

/// The figures of one picture; CPU as a share of `vipsthumbnail`'s.
struct Figures {
    cold: f64,
    warm: f64,
    peak_mb: f64,
    ours: [f64; 2],
    theirs: [f64; 2],
    bytes: [u64; 2],
}

fn compare(files: &[PathBuf]) -> anyhow::Result<()> {
    if Command::new("vipsthumbnail").arg("--version").output().is_err() {
        bail!("vipsthumbnail is missing: install Debian's package libvips-tools (apt-get install libvips-tools)");
    }
    let mut all = Vec::new();
    for file in files {
        let figures = figures(file).with_context(|| format!("comparing on {}", file.display()))?;
        print_figures(&file.file_name().unwrap_or_default().to_string_lossy(), &figures);
        all.push(figures);
    }
    if all.len() > 1 {
        let mid = |of: fn(&Figures) -> f64| median(all.iter().map(of).collect());
        let count = u32::try_from(all.len()).map_or(1.0, f64::from);
        let mean = |of: fn(&Figures) -> [f64; 2]| {
            [0, 1].map(|i| all.iter().map(|figures| of(figures)[i]).sum::<f64>() / count)
        };
        let figures = Figures {
            cold: mid(|f| f.cold),
            warm: mid(|f| f.warm),
            peak_mb: all.iter().map(|f| f.peak_mb).fold(0.0, f64::max),
            ours: mean(|f| f.ours),
            theirs: mean(|f| f.theirs),
            bytes: [all.iter().map(|f| f.bytes[0]).sum(), all.iter().map(|f| f.bytes[1]).sum()],
        };
        print_figures("all (median CPU, largest memory, mean quality, sum of bytes)", &figures);
    }
    Ok(())
}

fn print_figures(name: &str, f: &Figures) {
    println!("{name}");
    println!("  CPU of vipsthumbnail's, cold    {:.3}", f.cold);
    println!("  CPU of vipsthumbnail's, warm    {:.3}", f.warm);
    println!("  peak memory                     {:.0} MB", f.peak_mb);
    println!("  SSIMULACRA2 of display          {:.2} (vipsthumbnail {:.2})", f.ours[0], f.theirs[0]);
    println!("  SSIMULACRA2 of thumb            {:.2} (vipsthumbnail {:.2})", f.ours[1], f.theirs[1]);
    println!("  bytes of both                   {} (vipsthumbnail {})", f.bytes[0], f.bytes[1]);
}

fn figures(file: &Path) -> anyhow::Result<Figures> {
    let folder = tempfile::tempdir()?;
    let name = |name: &str| folder.path().join(name);
    let (display, thumb) = (name("display.jpg"), name("thumb.jpg"));
    let (vips_display, vips_thumb) = (name("vips-display.jpg"), name("vips-thumb.jpg"));
    let this = std::env::current_exe()?;
    let (mut cold, mut warm, mut theirs, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..PAIRS {
        let mut vips = Duration::ZERO;
        for (size, target) in [("2048x2048", &vips_display), ("480x480", &vips_thumb)] {
            let target = format!("{}[Q=80,strip]", target.display());
            let (time, _) = run(Command::new("vipsthumbnail").arg(file).args(["--size", size, "-o", &target]))?;
            vips += time;
        }
        theirs.push(vips.as_secs_f64());
        let (time, said) = run(Command::new(&this).arg("--develop").args([file, &display, &thumb]))?;
        cold.push(time.as_secs_f64() / vips.as_secs_f64());
        peak = peak.max(said.trim().parse::<f64>()? / 1000.0);
        let (_, said) = run(Command::new(&this).arg("--warm").arg(file))?;
        warm.push(said.trim().parse::<f64>()? / 1e6 / vips.as_secs_f64());
    }
    let full = decoded(&fs::read(file)?)?;
    let upright = (|| {
        let renditions = develop(&fs::read(file).ok()?, &Limits::default()).ok()?;
        Some((renditions.developed.width, renditions.developed.height) == (full.0, full.1))
    })();
    ensure!(upright == Some(true), "quality is compared on upright pictures only; turn this one first");
    let size = |path: &Path| fs::metadata(path).map(|m| m.len());
    Ok(Figures {
        cold: median(cold),
        warm: median(warm),
        peak_mb: peak,
        ours: [quality(&full, &display)?, quality(&full, &thumb)?],
        theirs: [quality(&full, &vips_display)?, quality(&full, &vips_thumb)?],
        bytes: [size(&display)? + size(&thumb)?, size(&vips_display)? + size(&vips_thumb)?],
    })
}

/// Runs a child to its end: its CPU time and what it printed.
fn run(command: &mut Command) -> anyhow::Result<(Duration, String)> {
    let before = cpu(UsageWho::RUSAGE_CHILDREN)?;
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok((cpu(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before), String::from_utf8(output.stdout)?))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Width, height and RGB of a JPEG.
fn decoded(jpeg: &[u8]) -> anyhow::Result<(u32, u32, Vec<u8>)> {
    let options = DecoderOptions::new_fast().set_max_width(65_535).set_max_height(65_535);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode()?;
    let (width, height) = decoder.dimensions().context("a decoded picture has a size")?;
    Ok((u32::try_from(width)?, u32::try_from(height)?, pixels))
}

/// SSIMULACRA2 of a rendition against the full picture scaled to the same size with Lanczos in 32-bit floats.
fn quality((width, height, pixels): &(u32, u32, Vec<u8>), rendition: &Path) -> anyhow::Result<f64> {
    let (small_width, small_height, small) = decoded(&fs::read(rendition)?)?;
    let floats: Vec<u8> = pixels.iter().flat_map(|v| f32::from(*v).to_ne_bytes()).collect();
    let source = Image::from_vec_u8(*width, *height, floats, PixelType::F32x3)?;
    let mut target = Image::new(small_width, small_height, PixelType::F32x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&source, &mut target, &options)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
    let reference: Vec<u8> = target
        .buffer()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_ne_bytes(*bytes).round().clamp(0.0, 255.0) as u8)
        .collect();
    let stride = small_width as usize * 3;
    let view = |bytes| PixelSlice::new(bytes, small_width, small_height, stride, PixelDescriptor::RGB8_SRGB);
    let (reference, small) = (view(&reference), view(&small));
    let (Ok(reference), Ok(small)) = (reference, small) else { bail!("the scaled picture has another size") };
    Ok(compute_ssimulacra2(&reference, &small)?)
}

/// A scene like a landscape: a sky, hills of fractal noise with detail, edges of buildings, and a sensor's noise.
fn synthetic_photo(width: u16, height: u16) -> anyhow::Result<Vec<u8>> {
    let (w, h) = (u32::from(width), u32::from(height));
    let mut pixels = Vec::with_capacity(w as usize * h as usize * 3);
    for y in 0..h {
        let down = y as f32 / h as f32;
        for x in 0..w {
            let horizon = 0.45 + 0.12 * (fractal(x, 0, 9, 5) - 0.5);
            let mut rgb = if down < horizon {
                let cloud = fractal(x, y * 2, 9, 4);
                [90.0 + 110.0 * cloud, 130.0 + 90.0 * cloud, 200.0 + 40.0 * cloud]
            } else {
                let texture = fractal(x, y, 8, 8);
                let grass = fractal(x + 7000, y, 6, 6);
                [40.0 + 150.0 * texture * grass, 60.0 + 150.0 * texture, 30.0 + 90.0 * grass * grass]
            };
            let (house_x, house_y) = (x % 900, y.wrapping_sub(h / 2));
            if (200..620).contains(&house_x) && house_y < 500 {
                let brick = (house_y / 14 % 2 == 0 && x % 40 < 3) || house_y % 14 < 2;
                rgb = if brick { [170.0, 160.0, 150.0] } else { [150.0, 70.0 + 20.0 * fractal(x, y, 3, 2), 55.0] };
            }
            let noise = (hash(x, y, 1) % 1024) as f32 / 1024.0 + (hash(x, y, 2) % 1024) as f32 / 1024.0 - 1.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
            pixels.extend(rgb.map(|v| (v + 7.0 * noise).clamp(0.0, 255.0) as u8));
        }
    }
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 93);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb)?;
    Ok(file)
}

/// Noise of `octaves` sizes, the largest of `1 << coarsest` pixels; 0 to 1.
fn fractal(x: u32, y: u32, coarsest: u32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut total) = (0.0, 1.0, 0.0);
    for octave in 0..octaves {
        let bits = coarsest.saturating_sub(octave);
        sum += weight * lattice(x, y, bits, octave);
        total += weight;
        weight *= 0.55;
    }
    sum / total
}

/// Random values on a lattice of `1 << bits` pixels, linearly between.
fn lattice(x: u32, y: u32, bits: u32, seed: u32) -> f32 {
    let size = 1_u32 << bits;
    let (left, top) = (x >> bits, y >> bits);
    let (right, down) = ((x % size) as f32 / size as f32, (y % size) as f32 / size as f32);
    let value = |x, y| (hash(x, y, seed + 10) % 4096) as f32 / 4096.0;
    let upper = value(left, top) * (1.0 - right) + value(left + 1, top) * right;
    let lower = value(left, top + 1) * (1.0 - right) + value(left + 1, top + 1) * right;
    upper * (1.0 - down) + lower * down
}

fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut h = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ seed.wrapping_mul(0xc2b2_ae3d);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^ (h >> 15)
}
