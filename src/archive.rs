//! A ZIP archive written from front to end: stored, not compressed, of any size (ZIP64 where it must be), by APPNOTE.TXT 6.3. What is
//! remembered of each entry is its line in the directory at the end: about 50 bytes and its name.
//!
//! By hand, since the crates that write to what cannot be rewound write malformed ZIP64 data descriptors, which other
//! programs refuse for entries of 4 GiB and more; here every length is known before its bytes, which is the simple half of the format.

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};

/// What a field of 32 bits cannot hold.
const TOO_LARGE: u64 = 0xffff_ffff;
/// What a field of 16 bits cannot hold.
const TOO_MANY: u64 = 0xffff;
/// The checksum and sizes follow the bytes; the name is in UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Written on Unix: the entries' modes hold.
const MADE_BY: u16 = 3 << 8 | VERSION_64;
/// A plain file that its owner can write and all can read.
const MODE: u32 = 0o100_644 << 16;

/// The archive as far as it is written.
#[derive(Default)]
pub struct Archive {
    offset: u64,
    entries: u64,
    directory: Vec<u8>,
}

/// An entry whose bytes are being written.
pub struct Entry {
    name: String,
    stamp: [u16; 2],
    bytes: u64,
    at: u64,
    left: u64,
    checksum: crc32fast::Hasher,
}

impl Archive {
    /// Begins an entry of exactly `bytes` bytes: what to write before them.
    pub fn begin(&mut self, name: &str, modified: NaiveDateTime, bytes: u64) -> (Entry, Vec<u8>) {
        let entry = Entry {
            name: name.to_owned(),
            stamp: stamp(modified),
            bytes,
            at: self.offset,
            left: bytes,
            checksum: crc32fast::Hasher::new(),
        };
        let large = bytes >= TOO_LARGE;
        let mut head = Block::default();
        head.u32(0x0403_4b50).u16(if large { VERSION_64 } else { VERSION }).u16(FLAGS).u16(0);
        head.u16(entry.stamp[0]).u16(entry.stamp[1]).u32(0);
        head.capped(bytes).capped(bytes).u16(length(name)).u16(if large { 20 } else { 0 }).text(name);
        if large {
            head.u16(1).u16(16).u64(bytes).u64(bytes);
        }
        self.offset += head.0.len() as u64;
        (entry, head.0)
    }

    /// Ends an entry: what to write after its bytes. `None` when these were not as many as was said.
    pub fn end(&mut self, entry: Entry) -> Option<Vec<u8>> {
        if entry.left != 0 {
            return None;
        }
        let checksum = entry.checksum.finalize();
        let large = entry.bytes >= TOO_LARGE;
        let mut tail = Block::default();
        tail.u32(0x0807_4b50).u32(checksum);
        if large {
            tail.u64(entry.bytes).u64(entry.bytes);
        } else {
            tail.capped(entry.bytes).capped(entry.bytes);
        }
        self.offset += entry.bytes + tail.0.len() as u64;

        let mut extra = Block::default();
        if large {
            extra.u64(entry.bytes).u64(entry.bytes);
        }
        if entry.at >= TOO_LARGE {
            extra.u64(entry.at);
        }
        let extra = extra.0;
        let mut line = Block(std::mem::take(&mut self.directory));
        line.u32(0x0201_4b50).u16(MADE_BY).u16(if extra.is_empty() { VERSION } else { VERSION_64 }).u16(FLAGS).u16(0);
        line.u16(entry.stamp[0]).u16(entry.stamp[1]).u32(checksum).capped(entry.bytes).capped(entry.bytes);
        line.u16(length(&entry.name)).u16(if extra.is_empty() { 0 } else { small(4 + extra.len() as u64) });
        line.u16(0).u16(0).u16(0).u32(MODE).capped(entry.at).text(&entry.name);
        if !extra.is_empty() {
            line.u16(1).u16(small(extra.len() as u64)).0.extend(extra);
        }
        self.directory = line.0;
        self.entries += 1;
        Some(tail.0)
    }

    /// Ends the archive: what to write at its end.
    pub fn finish(self) -> Vec<u8> {
        let size = self.directory.len() as u64;
        let mut end = Block(self.directory);
        if self.offset >= TOO_LARGE || size >= TOO_LARGE || self.entries >= TOO_MANY {
            end.u32(0x0606_4b50).u64(44).u16(MADE_BY).u16(VERSION_64).u32(0).u32(0);
            end.u64(self.entries).u64(self.entries).u64(size).u64(self.offset);
            end.u32(0x0706_4b50).u32(0).u64(self.offset + size).u32(1);
        }
        end.u32(0x0605_4b50).u16(0).u16(0).u16(small(self.entries)).u16(small(self.entries));
        end.capped(size).capped(self.offset).u16(0);
        end.0
    }
}

impl Entry {
    /// Takes note of bytes that are written. `false` when there are more than was said.
    pub fn add(&mut self, bytes: &[u8]) -> bool {
        self.checksum.update(bytes);
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// Fields in the order of the format, the least byte first.
#[derive(Default)]
struct Block(Vec<u8>);

impl Block {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A size in 32 bits; all ones say that it stands elsewhere, in 64.
    fn capped(&mut self, value: u64) -> &mut Self {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend(text.as_bytes());
        self
    }
}

fn small(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn length(name: &str) -> u16 {
    small(name.len() as u64)
}

/// The time and the date as MS-DOS counts them: from 1980 to 2107, in steps of two seconds, by the clock on the wall.
fn stamp(at: NaiveDateTime) -> [u16; 2] {
    let field = |value: u32, shift: u32| u16::try_from(value << shift).unwrap_or(0);
    match u32::try_from(at.year() - 1980) {
        Ok(years @ 0..=127) => [
            field(at.hour(), 11) | field(at.minute(), 5) | field(at.second() / 2, 0),
            field(years, 9) | field(at.month(), 5) | field(at.day(), 0),
        ],
        Ok(_) => [0xbf7d, 0xff9f],
        Err(_) => [0, 0x21],
    }
}

#[cfg(test)]
mod tests {
    use super::{Archive, stamp};

    #[test]
    fn moments_are_kept_within_what_the_format_can_tell() {
        let at = |text: &str| stamp(text.parse().expect("a moment"));
        assert_eq!(at("1970-01-01T00:00:00"), [0, (1 << 5) + 1]);
        assert_eq!(at("1980-01-01T00:00:00"), [0, (1 << 5) + 1]);
        assert_eq!(at("2026-11-20T14:03:59"), [(14 << 11) + (3 << 5) + 29, (46 << 9) + (11 << 5) + 20]);
        assert_eq!(at("2500-01-01T00:00:00"), [(23 << 11) + (59 << 5) + 29, (127 << 9) + (12 << 5) + 31]);
    }

    #[test]
    fn an_entry_holds_as_many_bytes_as_was_said() {
        let mut archive = Archive::default();
        let when = "2026-11-20T14:03:59".parse().expect("a moment");
        let (mut entry, _) = archive.begin("a", when, 3);
        assert!(entry.add(b"ab"));
        assert!(archive.end(entry).is_none());
        let (mut entry, _) = archive.begin("a", when, 3);
        assert!(!entry.add(b"abcd"));
    }
}
