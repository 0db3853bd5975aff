//! A list of any length, sorted on the disk: keys with a note each, written in any order and read back in theirs.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Lines, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// How many bytes of lines are sorted at once in memory.
const ARMFUL: usize = 8 << 20;
/// What stands between a key and its note; object keys hold no control characters, so it sorts below all of theirs.
const BETWEEN: char = '\t';

/// The list while it is written. Its temporary files have no name and are gone with it.
pub(super) struct Ledger {
    folder: PathBuf,
    lines: Vec<String>,
    bytes: usize,
    runs: Vec<File>,
}

impl Ledger {
    /// An empty list with its temporary files in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), lines: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    /// Writes a key with its note; neither holds a line break, and the key no tab.
    pub(super) fn write(&mut self, key: &str, note: &str) -> anyhow::Result<()> {
        let line = format!("{key}{BETWEEN}{note}");
        self.bytes += line.len() + size_of::<String>();
        self.lines.push(line);
        if self.bytes >= ARMFUL { self.put_down() } else { Ok(()) }
    }

    /// Puts what is in memory down on the disk, sorted.
    fn put_down(&mut self) -> anyhow::Result<()> {
        self.lines.sort_unstable();
        let mut put = || {
            let mut file = BufWriter::new(tempfile::tempfile_in(&self.folder)?);
            for line in self.lines.drain(..) {
                file.write_all(line.as_bytes())?;
                file.write_all(b"\n")?;
            }
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            io::Result::Ok(file)
        };
        let run = put().with_context(|| format!("writing a temporary file into {}", self.folder.display()))?;
        self.runs.push(run);
        self.bytes = 0;
        Ok(())
    }

    /// The whole list, in the order of its keys.
    pub(super) fn sorted(mut self) -> anyhow::Result<Sorted> {
        self.put_down()?;
        let mut runs: Vec<_> = self.runs.into_iter().map(|run| BufReader::new(run).lines()).collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some(line) = run.next() {
                heads.push(Reverse((line?, number)));
            }
        }
        Ok(Sorted { runs, heads })
    }
}

/// The list while it is read: keys with their notes.
pub(super) struct Sorted {
    runs: Vec<Lines<BufReader<File>>>,
    heads: BinaryHeap<Reverse<(String, usize)>>,
}

impl Iterator for Sorted {
    type Item = io::Result<(String, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((line, number)) = self.heads.pop()?;
        match self.runs[number].next() {
            Some(Ok(next)) => self.heads.push(Reverse((next, number))),
            Some(Err(cause)) => return Some(Err(cause)),
            None => {}
        }
        let (key, note) = line.split_once(BETWEEN).unwrap_or((&line, ""));
        Some(Ok((key.to_owned(), note.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_any_order_is_read_in_the_order_of_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ledger = Ledger::new(folder.path());
        let key = |number: u64| format!("photos/{:016x} é", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for number in 0..400_000 {
            ledger.write(&key(number), &number.to_string()).expect("written");
        }
        ledger.write("photos/a", "shorter").expect("written");
        ledger.write("photos/a b", "longer").expect("written");
        assert!(ledger.runs.len() > 1, "it did not need the disk");
        let sorted: Vec<(String, String)> = ledger.sorted().expect("sorted").collect::<io::Result<_>>().expect("read");
        assert_eq!(sorted.len(), 400_002);
        assert!(sorted.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(sorted.iter().all(|(found, note)| note.parse().map_or(note.ends_with("er"), |n| *found == key(n))));
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn an_empty_list_has_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Ledger::new(folder.path()).sorted().expect("sorted").count(), 0);
    }
}
