//! MQTT 3.1.1 brokers may send one copy of a message per overlapping subscription, without saying
//! which is which (MQTT 3.1.1 §3.3.5). Each device must still get the message once.

use core::hash::BuildHasher;
use core::time::Duration;

use super::hashing::Hashing;
use hashbrown::HashMap;

use crate::time::Time;

/// How long the copies of one message may be apart.
const WINDOW: Duration = Duration::from_secs(10);
/// Messages with copies outstanding; beyond this the oldest knowledge is dropped.
const MAX_OUTSTANDING: usize = 4_096;

/// Copies that are still to come, by fingerprint of the message.
#[derive(Debug)]
pub(crate) struct Copies {
    outstanding: HashMap<u64, (u32, Time), Hashing>,
    hasher: Hashing,
}

impl Copies {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self { outstanding: HashMap::with_hasher(hasher), hasher }
    }

    /// Whether this message is a further copy of one already seen, when the broker sends `expected`
    /// copies of each. Counting makes it right in whatever order the copies of equal messages come.
    pub(crate) fn is_further_copy(
        &mut self,
        now: Time,
        expected: u32,
        topic: &str,
        payload: &[u8],
    ) -> bool {
        let fingerprint = self.hasher.hash_one((topic, payload));
        if let Some((left, until)) = self.outstanding.get_mut(&fingerprint)
            && *until > now
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.outstanding.remove(&fingerprint);
            }
            return true;
        }
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.outstanding.retain(|_, (_, until)| *until > now);
        }
        if expected > 1 && self.outstanding.len() < MAX_OUTSTANDING {
            self.outstanding.insert(fingerprint, (expected - 1, now.after(WINDOW)));
        }
        false
    }

    /// A new connection: what was outstanding does not come any more.
    pub(crate) fn clear(&mut self) {
        self.outstanding.clear();
    }
}
