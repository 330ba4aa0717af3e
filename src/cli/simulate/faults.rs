//! What happens to datagrams on the way, at our own side of the network.

use std::cmp::Ordering;

/// Numbers that look random and come again with the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `most`, both included.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        let random = self.next();
        most.checked_add(1).map_or(random, |count| random % count)
    }

    fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a float holds.
        share > 0.0 && ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

/// How often what goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Share of datagrams that get lost, 0 to 1.
    pub(super) loss: f64,
    /// Share of datagrams that come twice, 0 to 1.
    pub(super) duplicate: f64,
    /// Longest delay of a datagram, microseconds; each has its own.
    pub(super) delay: u64,
}

impl Rates {
    pub(super) fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Fate {
    /// Delay of the datagram in microseconds, unless it is lost.
    pub(super) first: Option<u64>,
    /// Delay of its copy, if there is one.
    pub(super) second: Option<u64>,
}

impl Rates {
    pub(super) fn fate(&self, rng: &mut Rng) -> Fate {
        if !self.any() {
            return Fate { first: Some(0), second: None };
        }
        if rng.chance(self.loss) {
            return Fate::default();
        }
        let twice = rng.chance(self.duplicate);
        let mut delay = || rng.up_to(self.delay);
        let first = delay();
        // The copy is the one that comes later.
        let second = twice.then(&mut delay);
        match second {
            Some(second) => {
                Fate { first: Some(first.min(second)), second: Some(first.max(second)) }
            }
            None => Fate { first: Some(first), second: None },
        }
    }
}

/// A datagram on its way.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Delayed {
    /// When it arrives, in microseconds.
    pub(super) due: u64,
    /// Which of two with the same time goes first.
    pub(super) order: u64,
    pub(super) device: usize,
    /// From the gateway to the device.
    pub(super) inbound: bool,
    /// It is the second of two.
    pub(super) copy: bool,
    pub(super) datagram: Vec<u8>,
}

impl Ord for Delayed {
    /// The earliest is the greatest, as a binary heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_as_frequent_as_asked_for_and_come_again() {
        let rates = Rates { loss: 0.1, duplicate: 0.2, delay: 50 };
        let fates = |seed| {
            let mut rng = Rng::new(seed);
            (0..10_000).map(|_| rates.fate(&mut rng)).collect::<Vec<_>>()
        };
        let some = fates(7);
        assert_eq!(some, fates(7));
        assert_ne!(some, fates(8));
        let lost = some.iter().filter(|fate| fate.first.is_none()).count();
        let twice = some.iter().filter(|fate| fate.second.is_some()).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        assert!((1_650..1_950).contains(&twice), "{twice}");
        assert!(some.iter().all(|fate| fate.second.is_none() || fate.second >= fate.first));
        assert!(some.iter().filter_map(|fate| fate.first).all(|delay| delay <= 50));
        let calm = Rates::default().fate(&mut Rng::new(1));
        assert_eq!(calm, Fate { first: Some(0), second: None });
    }

    #[test]
    fn the_earliest_datagram_comes_first() {
        let delayed = |due, order| Delayed {
            due,
            order,
            device: 0,
            inbound: true,
            copy: false,
            datagram: Vec::new(),
        };
        let mut heap = std::collections::BinaryHeap::new();
        for (due, order) in [(5, 0), (3, 2), (3, 1), (9, 3)] {
            heap.push(delayed(due, order));
        }
        let order: Vec<_> = std::iter::from_fn(|| heap.pop()).map(|one| one.order).collect();
        assert_eq!(order, [1, 2, 0, 3]);
    }
}
