//! How long to wait before the next connection.

use std::time::Duration;

/// A connection that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// Delays that double from `min` to `max`, each drawn evenly from zero to its ceiling.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    state: u64,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { min, max: max.max(min), ceiling: min, state: seed }
    }

    pub(super) fn lived(&mut self, duration: Duration) {
        if duration >= GOOD.min(self.max) {
            self.ceiling = self.min;
        }
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let ceiling = u64::try_from(self.ceiling.as_millis()).unwrap_or(u64::MAX);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Duration::from_millis((self.state >> 16) % ceiling.saturating_add(1).max(1))
    }
}
