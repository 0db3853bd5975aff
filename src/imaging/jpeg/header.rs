//! What a JPEG says before its pixels: size, colour, camera notes, profile, and how many passes its pixels take.

use crate::imaging::{Limits, Undeveloped};
use crate::photo::MediaType;

/// One colour plane, from the frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples beside each other in a block group.
    pub(super) horizontal: u32,
    /// Samples above each other in a block group.
    pub(super) vertical: u32,
}

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    Ycbcr,
    Rgb,
    Cmyk,
    /// Ycbcr whose RGB is inverted cyan, magenta, yellow; plus black.
    Ycck,
}

/// The header of a JPEG.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
    pub(super) colour: Colour,
    /// Whether an Adobe marker is there: it means that ink values are stored inverted.
    pub(super) adobe: bool,
    /// Whether all scans must be read before the first pixel is known.
    pub(super) buffered: bool,
    pub(super) exif: Option<Vec<u8>>,
    pub(super) icc: Option<Vec<u8>>,
    /// Where the first scan begins.
    first_scan: usize,
}

const DAMAGED: Undeveloped = Undeveloped::Damaged(MediaType::Jpeg);
const VARIANT: Undeveloped = Undeveloped::Variant(MediaType::Jpeg);
/// The largest ICC profile believed, in bytes; printers' ones have about 2 MB.
const MAX_ICC: usize = 4 << 20;

struct Frame {
    progressive: bool,
    width: u32,
    height: u32,
    components: Vec<Component>,
}

impl Header {
    /// Reads the segments up to the first scan.
    pub(super) fn read(file: &[u8]) -> Result<Self, Undeveloped> {
        let mut at = 2;
        let mut frame: Option<Frame> = None;
        let (mut exif, mut adobe_transform, mut jfif) = (None, None, false);
        let mut chunks: Vec<(u8, &[u8])> = Vec::new();
        loop {
            // Markers may be preceded by any number of fill bytes; what is not a marker is skipped, as all decoders do.
            let marker = next_marker(file, &mut at).ok_or(Undeveloped::CutShort)?;
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                continue;
            }
            if marker == 0xd9 {
                return Err(Undeveloped::CutShort);
            }
            let body = segment(file, at).ok_or(Undeveloped::CutShort)?;
            match marker {
                0xc0..=0xc2 => {
                    if frame.is_some() {
                        return Err(DAMAGED);
                    }
                    frame = Some(read_frame(body, marker == 0xc2)?);
                }
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Err(VARIANT),
                0xe0 => jfif |= body.starts_with(b"JFIF\0"),
                0xe1 if exif.is_none() => {
                    exif = body.strip_prefix(b"Exif\0").and_then(|rest| rest.get(1..)).map(<[u8]>::to_vec);
                }
                0xe2 => {
                    if let Some([number, _, data @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                        chunks.push((*number, data));
                    }
                }
                0xee if body.starts_with(b"Adobe") => {
                    adobe_transform = Some(body.get(11).copied().unwrap_or(0));
                }
                0xda => {
                    let frame = frame.ok_or(DAMAGED)?;
                    let in_scan = usize::from(*body.first().ok_or(DAMAGED)?);
                    return Ok(Self {
                        width: frame.width,
                        height: frame.height,
                        colour: colour_of(&frame.components, adobe_transform, jfif)?,
                        adobe: adobe_transform.is_some(),
                        buffered: frame.progressive || in_scan != frame.components.len(),
                        components: frame.components,
                        exif,
                        icc: assembled(chunks),
                        first_scan: at,
                    });
                }
                _ => {}
            }
            at += 2 + body.len();
        }
    }

    /// Blocks of 8 x 8 samples in one component.
    fn blocks(&self, component: Component) -> u64 {
        let (h_max, v_max) = self.sampling();
        let across = (u64::from(self.width) * u64::from(component.horizontal)).div_ceil(u64::from(h_max) * 8);
        let down = (u64::from(self.height) * u64::from(component.vertical)).div_ceil(u64::from(v_max) * 8);
        across * down
    }

    /// The largest horizontal and vertical sampling of the components.
    pub(super) fn sampling(&self) -> (u32, u32) {
        let most = |of: fn(&Component) -> u32| self.components.iter().map(of).max().unwrap_or(1);
        (most(|c| c.horizontal), most(|c| c.vertical))
    }

    /// Refuses what would take unreasonably many passes or too much memory; reads the whole file only if it has several passes.
    pub(super) fn admit_passes(&self, file: &[u8], limits: &Limits) -> Result<(), Undeveloped> {
        if !self.buffered {
            return Ok(());
        }
        // Two bytes each, which the decoder holds twice.
        let coefficients: u64 = self.components.iter().map(|c| self.blocks(*c) * 64 * 4).sum();
        limits.admit_memory(coefficients)?;
        let (mut at, mut visited) = (self.first_scan, 0_u64);
        loop {
            let body = segment(file, at).ok_or(Undeveloped::CutShort)?;
            let count = usize::from(*body.first().ok_or(DAMAGED)?);
            for selector in body.get(1..).unwrap_or_default().chunks_exact(2).take(count) {
                let component = self.components.iter().find(|c| c.id == selector[0]).ok_or(DAMAGED)?;
                visited += self.blocks(*component);
            }
            if visited > limits.max_scan_blocks {
                return Err(Undeveloped::TooManyScans);
            }
            loop {
                match next_marker(file, &mut at) {
                    Some(0xda) => break,
                    Some(0xd9) | None => return Ok(()),
                    Some(_) => {}
                }
            }
        }
    }
}

/// Moves `at` behind the next marker and returns it.
fn next_marker(file: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = file.get(*at..)?;
        *at += rest.iter().position(|b| *b == 0xff)? + 1;
        match *file.get(*at)? {
            0xff => {}
            0 => *at += 1,
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

/// The body of the segment whose length stands at `at`.
fn segment(file: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(*file.get(at..)?.first_chunk()?));
    file.get(at + 2..(at + length).max(at + 2))
}

fn read_frame(body: &[u8], progressive: bool) -> Result<Frame, Undeveloped> {
    let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else { return Err(DAMAGED) };
    if precision != 8 {
        return Err(VARIANT);
    }
    let components: Vec<Component> = rest
        .chunks_exact(3)
        .take(usize::from(count))
        .map(|c| Component { id: c[0], horizontal: u32::from(c[1] >> 4), vertical: u32::from(c[1] & 15) })
        .collect();
    let sane = |c: &Component| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical);
    if components.len() != usize::from(count) || !components.iter().all(sane) {
        return Err(DAMAGED);
    }
    let (width, height) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
    Ok(Frame { progressive, width, height, components })
}

/// The rules of libjpeg: JFIF means Ycbcr, then Adobe's word counts, then the components' names.
fn colour_of(components: &[Component], adobe_transform: Option<u8>, jfif: bool) -> Result<Colour, Undeveloped> {
    let ids: Vec<u8> = components.iter().map(|c| c.id).collect();
    match (components.len(), adobe_transform) {
        (1, _) => Ok(Colour::Grey),
        (3, Some(0)) if !jfif => Ok(Colour::Rgb),
        (3, None) if !jfif && ids == *b"RGB" => Ok(Colour::Rgb),
        (3, _) => Ok(Colour::Ycbcr),
        (4, Some(2)) => Ok(Colour::Ycck),
        (4, _) => Ok(Colour::Cmyk),
        _ => Err(VARIANT),
    }
}

/// The ICC profile out of its numbered chunks; `None` when one is missing or twice there.
fn assembled(mut chunks: Vec<(u8, &[u8])>) -> Option<Vec<u8>> {
    chunks.sort_by_key(|(number, _)| *number);
    let in_order = chunks.iter().zip(1..).all(|((number, _), expected)| u32::from(*number) == expected);
    let bytes: usize = chunks.iter().map(|(_, data)| data.len()).sum();
    (in_order && bytes > 0 && bytes <= MAX_ICC).then(|| chunks.iter().flat_map(|(_, data)| *data).copied().collect())
}
