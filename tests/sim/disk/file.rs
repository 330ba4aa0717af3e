//! A file: what programs read of it, and what a power cut would leave.

use std::ops::Range;

use crate::rng::Rng;

/// Octets that a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// What a power cut does to what was not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is gone.
    Lost,
    /// It had been written by chance.
    Kept,
    /// Some of it had, in the order of the writes; the last write is torn.
    Torn,
}

#[derive(Clone, Debug)]
enum Change {
    Append(Vec<u8>),
    Truncate(usize),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What every program sees.
    content: Vec<u8>,
    /// What is on the disk for certain.
    synced: Vec<u8>,
    /// What has happened since, in order.
    pending: Vec<Change>,
    /// Octets that a failed sync gave up: they can be read, are never written any more, and a later
    /// sync says nothing about it (as Linux has it).
    given_up: Vec<Range<usize>>,
}

impl File {
    /// What every program sees.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.content.extend_from_slice(bytes);
        self.pending.push(Change::Append(bytes.to_vec()));
    }

    pub fn truncate(&mut self, length: usize) {
        self.content.truncate(length);
        self.pending.push(Change::Truncate(length));
        for lost in &mut self.given_up {
            lost.end = lost.end.min(length);
        }
    }

    /// Everything is on the disk, but for what was given up before.
    pub fn sync(&mut self) {
        self.pending.clear();
        self.synced.clone_from(&self.content);
        for lost in self.given_up.clone() {
            if let Some(octets) = self.synced.get_mut(lost) {
                octets.fill(0);
            }
        }
    }

    /// A sync fails: what waited for it is given up.
    pub fn fail_sync(&mut self) {
        let begin = self.synced.len().min(self.content.len());
        self.given_up.push(begin..self.content.len());
        self.pending.clear();
    }

    /// Nobody holds the file open any more, and the cache makes room: what was given up is read
    /// as what the disk has there.
    pub fn evict(&mut self) {
        for lost in std::mem::take(&mut self.given_up) {
            if lost.end == self.content.len() && self.pending.is_empty() {
                self.content.truncate(lost.start);
            } else if let Some(octets) = self.content.get_mut(lost) {
                octets.fill(0);
            }
        }
    }

    /// What is there after a power cut.
    pub fn cut(&mut self, fate: Fate, rng: &mut Rng) {
        let mut left = std::mem::take(&mut self.synced);
        let (whole, torn) = match fate {
            Fate::Lost => (0, false),
            Fate::Kept => (self.pending.len(), false),
            Fate::Torn => (rng.below(self.pending.len() as u64 + 1) as usize, true),
        };
        for (at, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            match change {
                Change::Append(bytes) if at < whole => left.extend(bytes),
                Change::Append(bytes) if at == whole && torn => tear(&mut left, &bytes, rng),
                Change::Truncate(length) if at < whole => left.truncate(length),
                _ => {}
            }
        }
        self.content.clone_from(&left);
        self.synced = left;
        self.given_up.clear();
    }
}

/// The beginning of a write reaches the disk; or its length does before its octets; or its sectors
/// come in any order.
fn tear(file: &mut Vec<u8>, bytes: &[u8], rng: &mut Rng) {
    let begin = file.len();
    let kept = rng.below(bytes.len() as u64 + 1) as usize;
    file.extend_from_slice(&bytes[..kept]);
    match rng.below(3) {
        0 => {}
        1 => file.resize(begin + bytes.len(), 0),
        _ => {
            file.extend_from_slice(&bytes[kept..]);
            let hole = (begin + kept) / SECTOR * SECTOR;
            let end = (hole + SECTOR).min(file.len());
            file[hole.max(begin)..end].fill(0);
        }
    }
}
