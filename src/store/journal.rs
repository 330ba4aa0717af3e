//! The journal: commits one after the other, and now and then a new beginning.
//!
//! There is at most one journal in force. A snapshot is written into another one beside it, which
//! takes its place when it is complete; so does the very first. Therefore the one in force always
//! has its header and whatever it ever was said to have.
//!
//! After a failure on the journal in force nothing is appended to it any more: what a disk holds
//! after a write or a sync that failed is anybody's guess. Only a complete snapshot ends this.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use super::commit::{Commit, Outcome, Part, SyncMode, Trouble, TroubleKind};
use super::frame::{self, Header};
use super::image::Image;
pub use super::replay::{OpenError, Opened};
use super::replay::{Replayed, replay};

/// Where journals are kept: files, or a model of a disk.
///
/// An error of a write may leave any part of it behind. Errors should name the operation and the
/// file; their kinds tell a full disk and a read-only one from others.
pub trait Storage: Send {
    /// The whole journal in force, or `None` if there is none. That it is the one in force must
    /// survive a power cut from here on, although the process that put it there may have ended
    /// before it could see to that.
    ///
    /// # Errors
    /// If it cannot be read.
    fn load(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Appends to the journal in force.
    ///
    /// # Errors
    /// If not all of it was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything appended to the journal in force survives a power cut from now on.
    ///
    /// # Errors
    /// If that is not certain.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the journal in force, durably.
    ///
    /// # Errors
    /// If that is not certain.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Begins a new journal beside the one in force; throws an unfinished one away.
    ///
    /// # Errors
    /// If there is none to append to.
    fn begin(&mut self) -> io::Result<()>;

    /// Appends to the new journal.
    ///
    /// # Errors
    /// If not all of it was written.
    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything appended to the new journal survives a power cut from now on.
    ///
    /// # Errors
    /// If that is not certain.
    fn sync_next(&mut self) -> io::Result<()>;

    /// The new journal takes the place of the one in force, durably.
    ///
    /// # Errors
    /// If it did not, or if it might not have after a power cut: either of them may be in force.
    fn replace(&mut self) -> io::Result<()>;

    /// Throws the unfinished journal away, if there is one, and frees its space.
    ///
    /// # Errors
    /// If it is still there.
    fn abandon(&mut self) -> io::Result<()>;
}

/// The journal.
#[derive(Debug)]
pub struct Journal<S> {
    storage: S,
    sync: SyncMode,
    /// Where salts come from.
    salts: u64,
    /// End of the journal in force; `None` as long as there is none.
    force: Option<End>,
    /// End of the unfinished one.
    next: Option<End>,
    /// Why the journal in force cannot be used any more.
    broken: Option<Trouble>,
    /// Frames are put together here.
    buffer: Vec<u8>,
}

/// The end of a file, where it grows.
#[derive(Clone, Copy, Debug)]
struct End {
    salt: u64,
    /// Number of the next frame.
    number: u64,
    length: u64,
}

/// A buffer that grew beyond this is not kept.
const BUFFER_KEPT: usize = 256 * 1024;

impl<S: Storage> Journal<S> {
    /// Opens the journal in force, if there is one, and reads it.
    ///
    /// # Errors
    /// If it cannot be read, or if what it should hold is not there.
    pub fn open(storage: S, sync: SyncMode) -> Result<(Self, Option<Image>, Opened), OpenError> {
        Self::open_salted(storage, sync, RandomState::new().build_hasher().finish())
    }

    /// As [`Self::open`], with a source of salts that the caller chose, for those that have to do
    /// the same every time. It must not be the same for the same disk again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_salted(
        mut storage: S,
        sync: SyncMode,
        salts: u64,
    ) -> Result<(Self, Option<Image>, Opened), OpenError> {
        let file = storage.load().map_err(failed)?;
        let replayed = file.as_deref().map(replay).transpose()?;
        // What a process left unfinished. Were it to stay, the next snapshot would throw it away.
        let _ = storage.abandon();
        let (force, next, broken, buffer) = (None, None, None, Vec::new());
        let mut journal = Self { storage, sync, salts, force, next, broken, buffer };
        let (Some(file), Some(Replayed { image, header, opened })) = (file, replayed) else {
            return Ok((journal, None, Opened::default()));
        };
        if opened.cut > 0 {
            journal.storage.truncate(opened.size).map_err(failed)?;
        }
        // The process before may have ended between a write and its sync. What is read here counts
        // as promised.
        journal.storage.sync().map_err(failed)?;
        let number = frame::FIRST + opened.frames;
        journal.force = Some(End { salt: header.salt, number, length: opened.size });
        if header.unsynced != journal.unsynced() {
            let frames = file.get(frame::HEADER..).unwrap_or_default();
            let whole = frames.len().saturating_sub(opened.cut as usize);
            let frames = frames.get(..whole).unwrap_or_default();
            journal.restate(header.salt, number, frames);
        }
        Ok((journal, Some(image), opened))
    }

    /// Writes a commit.
    pub fn commit(&mut self, commit: &Commit) -> Outcome {
        let part = commit.snapshot.as_ref();
        let mut journal = self.write(&commit.records, part.is_some());
        let snapshot = self.write_next(&commit.records, part);
        if part.is_some_and(|part| part.end) && snapshot == Some(Ok(())) {
            journal = Ok(());
        }
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        Outcome { number: commit.number, journal, snapshot, size: self.size() }
    }

    /// Length of the journal in force, octets.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.force.map_or(0, |end| end.length)
    }

    /// Appends the records of a commit to the journal in force. One is needed in any case if a
    /// snapshot begins.
    fn write(&mut self, records: &[u8], needed: bool) -> Result<(), Trouble> {
        if let Some(trouble) = &self.broken {
            return Err(trouble.clone());
        }
        let result = match self.force {
            None if records.is_empty() && !needed => Ok(()),
            None => self.create(records),
            Some(_) if records.is_empty() => Ok(()),
            Some(end) => self.append(end, records),
        };
        result.map_err(|error| {
            let trouble = Trouble::from(error);
            self.broken = Some(trouble.clone());
            trouble
        })
    }

    fn append(&mut self, end: End, records: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        let after = end.frame(&mut self.buffer, [records, &[]])?;
        let mut result = self.storage.append(&self.buffer);
        if result.is_ok() && !self.unsynced() {
            result = self.storage.sync();
        }
        if result.is_ok() {
            self.force = Some(after);
        } else {
            // For the one who reads it; nothing depends on it.
            let _ = self.storage.truncate(end.length);
        }
        result
    }

    /// Makes the first journal.
    fn create(&mut self, records: &[u8]) -> io::Result<()> {
        let result = self.begin().and_then(|end| {
            let end = self.append_next(end, [records, &[]])?;
            self.replace(end)
        });
        if result.is_err() {
            let _ = self.storage.abandon();
        }
        result
    }

    /// Writes what belongs to a snapshot. `None` if none is under way.
    fn write_next(&mut self, records: &[u8], part: Option<&Part>) -> Option<Result<(), Trouble>> {
        let begin = part.is_some_and(|part| part.begin);
        let result = match (self.next, part) {
            (None, None) => return None,
            (None, Some(part)) if !part.begin => {
                // The first part has failed, and this one was on its way already.
                Err(io::Error::other("the snapshot to which this belongs has failed"))
            }
            (next, _) => {
                let end = if begin { self.begin() } else { next.ok_or_else(gone) };
                end.and_then(|end| self.write_part(end, if begin { &[] } else { records }, part))
            }
        };
        match (&result, part) {
            (Err(_), _) => {
                self.next = None;
                // What is left of it only takes space until the next one begins.
                let _ = self.storage.abandon();
            }
            (Ok(()), None) => return None,
            (Ok(()), Some(_)) => {}
        }
        Some(result.map_err(Trouble::from))
    }

    fn write_part(&mut self, end: End, records: &[u8], part: Option<&Part>) -> io::Result<()> {
        let own = part.map_or(&[][..], |part| &part.records);
        let end = self.append_next(end, [records, own])?;
        self.next = Some(end);
        if part.is_some_and(|part| part.end) {
            self.next = None;
            self.replace(end)?;
        }
        Ok(())
    }

    /// Begins a new journal with its header.
    fn begin(&mut self) -> io::Result<End> {
        self.next = None;
        self.storage.begin()?;
        let salt = self.salt();
        self.buffer.clear();
        Header { unsynced: self.unsynced(), salt }.put(&mut self.buffer);
        self.storage.append_next(&self.buffer)?;
        Ok(End { salt, number: frame::FIRST, length: self.buffer.len() as u64 })
    }

    fn append_next(&mut self, end: End, parts: [&[u8]; 2]) -> io::Result<End> {
        if parts.iter().all(|part| part.is_empty()) {
            return Ok(end);
        }
        self.buffer.clear();
        let after = end.frame(&mut self.buffer, parts)?;
        self.storage.append_next(&self.buffer)?;
        Ok(after)
    }

    /// Puts the new journal in force. It is synced in every mode: a power cut must not leave a
    /// journal without a header.
    fn replace(&mut self, end: End) -> io::Result<()> {
        self.storage.sync_next()?;
        match self.storage.replace() {
            Ok(()) => {
                self.force = Some(end);
                self.broken = None;
                Ok(())
            }
            Err(error) => {
                // Either may be in force after a power cut. Both hold everything up to here, but
                // only one of them would get what follows.
                self.broken.get_or_insert_with(|| Trouble::from(&error));
                Err(error)
            }
        }
    }

    /// Writes the same frames under a header with the present mode. Without it, damage in the
    /// middle would be judged by the rules of the mode before.
    fn restate(&mut self, salt: u64, number: u64, frames: &[u8]) {
        self.buffer.clear();
        Header { unsynced: self.unsynced(), salt }.put(&mut self.buffer);
        let length = (self.buffer.len() + frames.len()) as u64;
        let result = self.storage.begin().and_then(|()| {
            self.storage.append_next(&self.buffer)?;
            self.storage.append_next(frames)?;
            self.replace(End { salt, number, length })
        });
        if let Err(error) = result {
            self.broken.get_or_insert_with(|| Trouble::from(error));
            let _ = self.storage.abandon();
        }
    }

    fn unsynced(&self) -> bool {
        self.sync == SyncMode::Off
    }

    /// A salt that was not used before (splitmix64).
    fn salt(&mut self) -> u64 {
        self.salts = self.salts.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut salt = self.salts;
        salt = (salt ^ salt >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        salt = (salt ^ salt >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        salt ^ salt >> 31
    }
}

impl End {
    /// Appends the next frame to `out`; the end behind it.
    fn frame(self, out: &mut Vec<u8>, parts: [&[u8]; 2]) -> io::Result<Self> {
        let start = out.len();
        if !frame::put(out, self.salt, self.number, parts) {
            return Err(io::Error::other("more than 4 GiB at once"));
        }
        let length = self.length + (out.len() - start) as u64;
        Ok(Self { salt: self.salt, number: self.number + 1, length })
    }
}

fn gone() -> io::Error {
    io::Error::other("no snapshot is under way")
}

fn failed(error: io::Error) -> OpenError {
    OpenError::Storage(Trouble::from(error))
}

impl From<&io::Error> for Trouble {
    fn from(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TroubleKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                TroubleKind::ReadOnly
            }
            _ => TroubleKind::Io,
        };
        Self { kind, text: Box::from(error.to_string()) }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests;
