//! How a journal is laid out on the disk.
//!
//! ```text
//! header   magic (8)  version (2)  flags (2)  salt (8)  CRC (4)
//! frame    mark (8)   length (4)   CRC (4)    payload (length)
//! frame    …
//! ```
//!
//! All numbers are little-endian. The header has this shape in every version of the format. Flag 1:
//! written without syncs ([`SyncMode::Off`](super::commit::SyncMode::Off)).
//!
//! A frame's mark is its number plus the salt; numbers count up by one from [`FIRST`]. Its CRC
//! covers salt, number, length and payload. The salt is drawn for each file and known to nobody
//! outside: what a device sends cannot look like a frame, and nor can the remains of another file.
//! No payload is empty, so zeros are no frame.

use alloc::vec::Vec;

use crc32fast::Hasher;

const MAGIC: [u8; 8] = *b"MQSNGWJ\n";
/// Version of the format: also of the records, so a new kind of record is a new version.
const VERSION: u16 = 1;
const UNSYNCED: u16 = 1;

/// Length of a file's header.
pub(super) const HEADER: usize = 24;
/// Octets of a frame in front of its payload.
pub(super) const HEAD: usize = 16;
/// Number of the first frame of a file.
pub(super) const FIRST: u64 = 1;

/// What a file says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// Its frames may have reached the disk in any order.
    pub(super) unsynced: bool,
    pub(super) salt: u64,
}

/// Why a file has no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HeaderError {
    /// It is no journal.
    Foreign,
    /// It was one.
    Damaged,
    /// Written by a later program.
    Newer(u16),
}

impl Header {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(if self.unsynced { UNSYNCED } else { 0 }).to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Takes the header away from the front of a file.
    pub(super) fn take(file: &mut &[u8]) -> Result<Self, HeaderError> {
        let mut rest = *file;
        let magic = take::<8>(&mut rest).unwrap_or_default();
        if magic != MAGIC {
            // An empty file, too: a journal never was without its header.
            return Err(if MAGIC.starts_with(file) {
                HeaderError::Damaged
            } else {
                HeaderError::Foreign
            });
        }
        let fields = || {
            let version = u16::from_le_bytes(take(&mut rest)?);
            let flags = u16::from_le_bytes(take(&mut rest)?);
            let salt = u64::from_le_bytes(take(&mut rest)?);
            let covered = file.get(..file.len() - rest.len())?;
            let crc = u32::from_le_bytes(take(&mut rest)?);
            (crc == crc32fast::hash(covered)).then_some((version, flags, salt))
        };
        let (version, flags, salt) = { fields }().ok_or(HeaderError::Damaged)?;
        if version != VERSION || flags & !UNSYNCED != 0 {
            return Err(HeaderError::Newer(version));
        }
        *file = rest;
        Ok(Self { unsynced: flags & UNSYNCED != 0, salt })
    }
}

/// Appends a frame; its payload is the parts joined. `false` if it would be too long.
#[must_use]
pub(super) fn put(out: &mut Vec<u8>, salt: u64, number: u64, parts: [&[u8]; 2]) -> bool {
    let Ok(length) = u32::try_from(parts[0].len().saturating_add(parts[1].len())) else {
        return false;
    };
    out.extend_from_slice(&salt.wrapping_add(number).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc(salt, number, length, parts).to_le_bytes());
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
    true
}

/// Takes the frame with this number away from the front and returns its payload.
pub(super) fn take_frame<'a>(file: &mut &'a [u8], salt: u64, number: u64) -> Option<&'a [u8]> {
    let (found, payload, rest) = split(file, salt)?;
    if found != number {
        return None;
    }
    *file = rest;
    Some(payload)
}

/// Whether a whole frame begins anywhere, with a number that could follow `number` there.
///
/// Looks at every octet to the end of the file; only what bears the salt is looked at twice.
pub(super) fn any_frame(file: &[u8], salt: u64, number: u64) -> bool {
    let most = (file.len() / HEAD) as u64;
    file.windows(8).enumerate().any(|(at, mark)| {
        let mark = mark.first_chunk().map_or(0, |mark| u64::from_le_bytes(*mark));
        let ahead = mark.wrapping_sub(salt).wrapping_sub(number);
        ahead <= most && file.get(at..).is_some_and(|file| split(file, salt).is_some())
    })
}

/// Number and payload of the frame at the front, and what follows it.
fn split(file: &[u8], salt: u64) -> Option<(u64, &[u8], &[u8])> {
    let mut rest = file;
    let number = u64::from_le_bytes(take(&mut rest)?).wrapping_sub(salt);
    let length = u32::from_le_bytes(take(&mut rest)?);
    let expected = u32::from_le_bytes(take(&mut rest)?);
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (length > 0 && crc(salt, number, length, [payload, &[]]) == expected)
        .then_some((number, payload, rest))
}

fn crc(salt: u64, number: u64, length: u32, parts: [&[u8]; 2]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(&length.to_le_bytes());
    crc.update(parts[0]);
    crc.update(parts[1]);
    crc.finalize()
}

fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(*front)
}
