//! Numbers as people read them.

use std::{borrow::Borrow, fmt::Display};

/// A whole number in groups of three digits: `12,345`.
pub fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of what is `one`, or `several`: `1 photo`, `1,200 photos`.
pub fn counted(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { several })
}

/// A number of bytes in powers of ten, rounded down: `480 kB`, `8.3 MB`, `50 MB`.
pub fn size(bytes: impl Borrow<u64>) -> String {
    let bytes = *bytes.borrow();
    let tenths = bytes / 100_000;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ if tenths.is_multiple_of(10) => format!("{} MB", grouped(tenths / 10)),
        _ => format!("{}.{} MB", grouped(tenths / 10), tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, grouped, size};

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn one_is_not_several() {
        for (number, text) in [(0, "0 photos"), (1, "1 photo"), (2, "2 photos"), (1_200, "1,200 photos")] {
            assert_eq!(counted(number, "photo", "photos"), text);
        }
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1 MB"),
            (8_399_999, "8.3 MB"),
            (50_000_000, "50 MB"),
            (5_000_000_000, "5,000 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
