//! How long to wait before the next connection.

use std::time::Duration;

/// A connection that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// Delays between connections: doubling from `min` to `max`, each drawn evenly from zero to its
/// ceiling ("full jitter"), so that many gateways do not return to a broker at the same moment.
///
/// The doubling begins again after a connection that lived: half a minute, or `max` if that is
/// shorter. A connection that is accepted and then lost at once does not begin it again, so a
/// message that the broker chokes on cannot make us reconnect in a tight loop.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    state: u64,
}

impl Backoff {
    /// `min` is the first ceiling, at least one millisecond; `max` at least `min`.
    #[must_use]
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { min, max: max.max(min), ceiling: min, state: seed }
    }

    /// To be called when a connection that the broker had accepted ends, with how long it lived.
    pub fn lived(&mut self, duration: Duration) {
        if duration >= GOOD.min(self.max) {
            self.ceiling = self.min;
        }
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = u64::try_from(self.ceiling.as_millis()).unwrap_or(u64::MAX);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        Duration::from_millis(mix(&mut self.state) % ceiling.saturating_add(1).max(1))
    }
}

/// SplitMix64: the next of a sequence of well-mixed numbers.
pub(super) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_stay_below_a_ceiling_that_doubles_up_to_the_maximum() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(SECOND, 10 * SECOND, seed);
            for ceiling in [1, 2, 4, 8, 10, 10] {
                assert!(backoff.next_delay() <= ceiling * SECOND);
            }
        }
    }

    #[test]
    fn jitter_uses_the_whole_range_and_differs_by_seed() {
        let first = |seed| Backoff::new(SECOND, SECOND, seed).next_delay();
        let delays: Vec<_> = (0..1_000).map(first).collect();
        assert!(delays.iter().any(|&delay| delay < SECOND / 20));
        assert!(delays.iter().any(|&delay| delay > SECOND - SECOND / 20));
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }

    #[test]
    fn only_a_connection_that_lived_begins_again() {
        let mut backoff = Backoff::new(SECOND, 64 * SECOND, 1);
        for _ in 0..5 {
            backoff.next_delay();
            backoff.lived(SECOND);
        }
        assert_eq!(backoff.ceiling, 32 * SECOND);
        backoff.lived(GOOD);
        assert_eq!(backoff.ceiling, SECOND);
    }

    #[test]
    fn the_largest_durations_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX, 1);
        backoff.next_delay();
        backoff.next_delay();
        let mut none = Backoff::new(Duration::ZERO, Duration::ZERO, 1);
        assert!(none.next_delay() <= Duration::from_millis(1));
    }
}
