//! What devices have sent last, to know a repetition.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use super::RETRY;
use crate::time::Time;
use crate::transport::framing::rh_serial::Header;

/// How long after a datagram the same one counts as its repetition, if the sender does not say so:
/// RadioHead before 2018 has no flag for it.
const REPEATED_WITHIN: Duration = Duration::from_secs(5);
/// The same if it says so.
const FLAGGED_WITHIN: Duration = Duration::from_secs(60);

/// The last datagram of each device, of which there can be 256.
#[derive(Debug, Default)]
pub(super) struct Heard {
    last: HashMap<u8, Last>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    id: u8,
    /// Of the payload: a device that has been restarted begins with the same ids.
    hash: u64,
    at: Time,
}

impl Heard {
    /// Whether this is no repetition.
    pub(super) fn is_new(&mut self, now: Time, header: Header, payload: &[u8]) -> bool {
        let Header { from, id, flags, .. } = header;
        let hash = self.hasher.hash_one(payload);
        let flagged = flags & RETRY != 0;
        let within = if flagged { FLAGGED_WITHIN } else { REPEATED_WITHIN };
        let known = self.last.insert(from, Last { id, hash, at: now });
        // Devices with RHDatagram, which repeat nothing, have id 0 in everything.
        let counts = id != 0 || flagged;
        !known.is_some_and(|last| {
            counts && last.id == id && last.hash == hash && now.since(last.at) <= within
        })
    }
}
