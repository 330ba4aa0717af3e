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

/// New client ids from one address: so many at once, and then one in each [`NEWCOMER_EVERY`]. One
/// device has one client id; many from one address are a fault or an attack, and each takes a record.
const NEWCOMER_BURST: u32 = 100;
const NEWCOMER_EVERY: Duration = Duration::from_secs(1);

/// Decides whether an address may bring one more client id that nobody has heard of.
#[derive(Debug)]
pub(crate) struct Newcomers {
    /// Hash of an address, and until when what it brought counts against it.
    used: Box<[(u64, Time)]>,
}

impl Newcomers {
    pub(crate) fn new() -> Self {
        Self { used: Box::default() }
    }

    /// Whether the address with this hash may bring a new client id now.
    pub(crate) fn allow(&mut self, now: Time, hash: u64) -> bool {
        if self.used.is_empty() {
            self.used = vec![(0, Time(0)); REMEMBERED].into_boxed_slice();
        }
        let Some(slot) = self.used.get_mut((hash % REMEMBERED as u64) as usize) else {
            return false;
        };
        // A collision forgives the former address, nothing worse.
        let until = if slot.0 == hash { slot.1.max(now) } else { now };
        if until.since(now) >= NEWCOMER_EVERY * NEWCOMER_BURST {
            return false;
        }
        *slot = (hash, until.after(NEWCOMER_EVERY));
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

    #[test]
    fn an_address_brings_a_burst_of_ids_and_then_few() {
        let mut newcomers = Newcomers::new();
        let taken = (0..1_000).filter(|_| newcomers.allow(Time(5_000), 7)).count();
        assert_eq!(taken, NEWCOMER_BURST as usize);
        assert!(newcomers.allow(Time(5_000), 8));
        assert!(newcomers.allow(Time(6_000), 7));
        assert!(!newcomers.allow(Time(6_000), 7));
        let taken = (0..1_000).filter(|_| newcomers.allow(Time(500_000), 7)).count();
        assert_eq!(taken, NEWCOMER_BURST as usize);
    }
}
