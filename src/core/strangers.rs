//! DISCONNECT to senders that are not connected (§6.12), without becoming a reflector.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use crate::time::Time;

/// At most one answer to an address in this time.
const PER_ADDRESS: Duration = Duration::from_millis(500);
/// Addresses remembered (a table of hashes; a collision only lets one more answer through).
const REMEMBERED: usize = 4096;
/// Answers to all strangers together in a second.
const PER_SECOND: u32 = 5_000;

/// Decides whether a stranger gets an answer.
#[derive(Debug)]
pub(crate) struct Strangers {
    last: Box<[(u64, Time)]>,
    second: u64,
    answered: u32,
}

impl Strangers {
    pub(crate) fn new() -> Self {
        Self { last: Box::default(), second: 0, answered: 0 }
    }

    /// Whether to answer the address with this hash now.
    pub(crate) fn allow(&mut self, now: Time, hash: u64) -> bool {
        if self.last.is_empty() {
            // Most gateways never meet a crowd of strangers; the table is made for the first.
            self.last = vec![(0, Time(0)); REMEMBERED].into_boxed_slice();
        }
        let second = now.0 / 1_000;
        if second != self.second {
            self.second = second;
            self.answered = 0;
        }
        if self.answered >= PER_SECOND {
            return false;
        }
        let Some(slot) = self.last.get_mut((hash % REMEMBERED as u64) as usize) else {
            return false;
        };
        if slot.0 == hash && now.since(slot.1) < PER_ADDRESS {
            return false;
        }
        *slot = (hash, now);
        self.answered += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_per_address_and_a_ceiling_for_all() {
        let mut strangers = Strangers::new();
        assert!(strangers.allow(Time(1_000), 7));
        assert!(!strangers.allow(Time(1_400), 7));
        assert!(strangers.allow(Time(1_500), 7));
        let answered = (100..20_000).filter(|hash| strangers.allow(Time(9_000), *hash)).count();
        assert_eq!(answered, PER_SECOND as usize);
        assert!(strangers.allow(Time(10_000), 1));
    }
}
