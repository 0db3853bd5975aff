//! What the camera wrote beside the picture. Nonsense is dropped field by field; nothing here refuses a photo.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeDelta};
use exif::{Exif, In, Rational, Reader, Tag, Value};

use crate::photo::{Details, Taken, plain_line};

/// The longest text kept from a camera, in characters.
const MAX_CHARS: usize = 100;

/// A camera's notes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// How the stored picture must be turned: 1 to 8; 1 is upright.
    pub(super) orientation: u32,
    pub(super) taken: Option<Taken>,
    pub(super) details: Details,
}

/// Reads an EXIF block from its TIFF header on; a broken one gives what could be read of it.
pub(super) fn read(block: Vec<u8>) -> Notes {
    let Ok(exif) =
        Reader::new().continue_on_error(true).read_raw(block).or_else(|error| error.distill_partial_result(|_| ()))
    else {
        return Notes::default();
    };
    let orientation = uint(&exif, Tag::Orientation).filter(|o| (1..=8).contains(o)).unwrap_or(1);
    Notes { orientation, taken: taken(&exif), details: details(&exif) }
}

fn details(exif: &Exif) -> Details {
    let (latitude, longitude) = position(exif).unzip();
    let positive = |tag| number(exif, tag).filter(|n| *n > 0.0);
    Details {
        camera: camera(text(exif, Tag::Make), text(exif, Tag::Model)),
        lens: text(exif, Tag::LensModel),
        exposure_seconds: positive(Tag::ExposureTime).filter(|s| *s < 1e6),
        f_number: positive(Tag::FNumber).filter(|f| *f < 1e4),
        iso: uint(exif, Tag::PhotographicSensitivity)
            .filter(|iso| *iso != 65_535)
            .or_else(|| uint(exif, Tag::ISOSpeed))
            .filter(|iso| *iso > 0),
        focal_length_mm: positive(Tag::FocalLength).filter(|mm| *mm < 1e5),
        latitude,
        longitude,
        altitude_m: altitude(exif),
    }
}

/// Both texts, but a maker that the model begins with only once.
fn camera(make: Option<String>, model: Option<String>) -> Option<String> {
    let (Some(make), Some(model)) = (make.clone(), model.clone()) else { return make.or(model) };
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_lowercase();
    let joined = if first(&make) == first(&model) { model } else { format!("{make} {model}") };
    Some(joined.chars().take(MAX_CHARS).collect())
}

fn value(exif: &Exif, tag: Tag) -> Option<&Value> {
    exif.get_field(tag, In::PRIMARY).map(|field| &field.value)
}

fn ascii(exif: &Exif, tag: Tag) -> Option<String> {
    match value(exif, tag)? {
        Value::Ascii(parts) => {
            let part = parts.first()?;
            Some(String::from_utf8_lossy(&part[..part.len().min(4 * MAX_CHARS)]).into_owned())
        }
        _ => None,
    }
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let line = plain_line(&ascii(exif, tag)?);
    let cut: String = line.chars().filter(|c| *c != char::REPLACEMENT_CHARACTER).take(MAX_CHARS).collect();
    let cut = cut.trim();
    (!cut.is_empty()).then(|| cut.to_owned())
}

fn uint(exif: &Exif, tag: Tag) -> Option<u32> {
    value(exif, tag)?.get_uint(0)
}

fn ratio(rational: Rational) -> Option<f64> {
    (rational.denom != 0).then(|| rational.to_f64())
}

fn number(exif: &Exif, tag: Tag) -> Option<f64> {
    match value(exif, tag)? {
        Value::Rational(numbers) => numbers.first().copied().and_then(ratio),
        Value::Float(numbers) => numbers.first().copied().map(f64::from),
        Value::Double(numbers) => numbers.first().copied(),
        whole => whole.get_uint(0).map(f64::from),
    }
    .filter(|n| n.is_finite())
}

/// Degrees north and east.
fn position(exif: &Exif) -> Option<(f64, f64)> {
    let degrees = |tag, reference, positive: char, negative: char, most: f64| {
        let Value::Rational(parts) = value(exif, tag)? else { return None };
        let unsigned = parts
            .iter()
            .take(3)
            .zip([1.0, 60.0, 3600.0])
            .try_fold(0.0, |sum, (part, divisor)| ratio(*part).map(|n| sum + n / divisor));
        let unsigned = unsigned.filter(|d| !parts.is_empty() && *d <= most)?;
        match text(exif, reference)?.to_ascii_uppercase().chars().next()? {
            c if c == positive => Some(unsigned),
            c if c == negative => Some(-unsigned),
            _ => None,
        }
    };
    let latitude = degrees(Tag::GPSLatitude, Tag::GPSLatitudeRef, 'N', 'S', 90.0)?;
    let longitude = degrees(Tag::GPSLongitude, Tag::GPSLongitudeRef, 'E', 'W', 180.0)?;
    Some((latitude, longitude))
}

fn altitude(exif: &Exif) -> Option<f64> {
    let metres = number(exif, Tag::GPSAltitude).filter(|m| (0.0..1e6).contains(m))?;
    let below = matches!(value(exif, Tag::GPSAltitudeRef), Some(Value::Byte(b)) if matches!(b.first(), Some(1 | 3)));
    Some(if below { -metres } else { metres })
}

fn taken(exif: &Exif) -> Option<Taken> {
    let (at, offset, fraction) = [
        (Tag::DateTimeOriginal, Tag::OffsetTimeOriginal, Tag::SubSecTimeOriginal),
        (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized, Tag::SubSecTimeDigitized),
    ]
    .into_iter()
    .find_map(|(at, offset, fraction)| Some((ascii(exif, at)?, ascii(exif, offset), ascii(exif, fraction))))?;
    moment(&at, offset.as_deref(), fraction.as_deref())
}

fn moment(at: &str, offset: Option<&str>, fraction: Option<&str>) -> Option<Taken> {
    let clock = exif::DateTime::from_ascii(at.trim().as_bytes()).ok()?;
    let local = NaiveDate::from_ymd_opt(i32::from(clock.year), clock.month.into(), clock.day.into())?.and_hms_opt(
        clock.hour.into(),
        clock.minute.into(),
        clock.second.min(59).into(),
    )?;
    let millis = fraction.map_or(0, |digits| {
        let digits: String = digits.trim().chars().take_while(char::is_ascii_digit).take(3).collect();
        format!("{digits:0<3}").parse().unwrap_or(0)
    });
    let local = local.checked_add_signed(TimeDelta::milliseconds(millis))?;
    let known = offset.and_then(parsed_offset);
    let zone = known.or_else(|| FixedOffset::east_opt(0))?;
    let at: DateTime<FixedOffset> = local.and_local_timezone(zone).single()?;
    // Clocks that were never set say 0000; beyond 9999 no catalog keeps the moment.
    let plausible = local.year() >= 1900 && at.to_utc().year() <= 9999;
    plausible.then_some(Taken { at, offset_known: known.is_some() })
}

/// `+02:00`, `-0330` or `Z`; at most 14 hours either way.
fn parsed_offset(text: &str) -> Option<FixedOffset> {
    let text = text.trim();
    if text == "Z" {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    (minutes < 60 && seconds.abs() <= 14 * 3600).then(|| FixedOffset::east_opt(seconds))?
}
