//! From the octets of a journal to the state that they describe.

use alloc::boxed::Box;
use alloc::format;
use core::fmt;

use super::commit::Trouble;
use super::frame::{self, Header, HeaderError};
use super::image::Image;

/// What was found when a journal was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Opened {
    /// There was a journal.
    pub existed: bool,
    /// Its length now, octets.
    pub size: u64,
    /// Commits that it holds.
    pub frames: u64,
    /// Octets cut off its end, which were no whole commit: the process or the machine ended while
    /// they were written.
    pub cut: u64,
    /// Among them were whole commits behind the damage. It happens only to a journal that was
    /// written without syncs.
    pub gap: bool,
}

/// Why a journal cannot be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OpenError {
    /// It cannot be read, or cut, or synced.
    Storage(Trouble),
    /// It is something else.
    Foreign,
    /// It is in the format of a later program.
    Newer {
        /// Version of the format.
        version: u16,
    },
    /// It is damaged where it once was whole.
    Damaged {
        /// Offset at which the damage begins.
        at: u64,
        /// What is wrong there.
        what: Box<str>,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(trouble) => trouble.fmt(f),
            Self::Foreign => f.write_str("it is not a journal of this program"),
            Self::Newer { version } => write!(
                f,
                "it was written by a later version of this program (its format is {version})"
            ),
            Self::Damaged { at, what } => write!(f, "it is damaged at octet {at}: {what}"),
        }
    }
}

impl core::error::Error for OpenError {}

/// A journal, read.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) image: Image,
    pub(super) header: Header,
    pub(super) opened: Opened,
}

/// Reads a journal. What is not whole at its end does not count; anything else that is wrong is an
/// error, because what was acknowledged may have been there.
pub(super) fn replay(file: &[u8]) -> Result<Replayed, OpenError> {
    let mut rest = file;
    let header = Header::take(&mut rest).map_err(|error| match error {
        HeaderError::Foreign => OpenError::Foreign,
        HeaderError::Newer(version) => OpenError::Newer { version },
        HeaderError::Damaged => damaged(0, "its header is not whole"),
    })?;
    let mut image = Image::default();
    let mut number = frame::FIRST;
    loop {
        let at = file.len() - rest.len();
        let Some(payload) = frame::take_frame(&mut rest, header.salt, number) else { break };
        image
            .apply_all(payload)
            .map_err(|_| damaged(at, &format!("commit {number} holds what is no record")))?;
        number += 1;
    }
    let at = file.len() - rest.len();
    let gap = frame::any_frame(rest, header.salt, number);
    if gap && !header.unsynced {
        return Err(damaged(at, &format!("commit {number} is not whole, but later ones are")));
    }
    let opened = Opened {
        existed: true,
        size: at as u64,
        frames: number - frame::FIRST,
        cut: rest.len() as u64,
        gap,
    };
    Ok(Replayed { image, header, opened })
}

fn damaged(at: usize, what: &str) -> OpenError {
    OpenError::Damaged { at: at as u64, what: what.into() }
}
