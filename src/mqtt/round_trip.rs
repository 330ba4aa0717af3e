//! How long the broker takes to acknowledge a publication, measured on one at a time.

use core::time::Duration;

use crate::histogram::Histogram;
use crate::time::Time;

/// Bounds, milliseconds.
const BOUNDS: &[i64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];
/// One that has no answer after so long is given up for another.
const PATIENCE: Duration = Duration::from_secs(60);

/// The publication that is looked at now, and what was seen of those before.
#[derive(Debug)]
pub(super) struct RoundTrips {
    under_way: Option<(u16, Time)>,
    seen: Histogram,
}

impl RoundTrips {
    pub(super) fn new() -> Self {
        Self { under_way: None, seen: Histogram::new(BOUNDS) }
    }

    /// A publication at QoS 1 or 2 is written. `id`: its packet id.
    #[inline]
    pub(super) fn sent(&mut self, id: u16, now: Time) {
        if self.under_way.is_none_or(|(_, since)| now.since(since) >= PATIENCE) {
            self.under_way = Some((id, now));
        }
    }

    /// It has its PUBACK or PUBREC.
    #[inline]
    pub(super) fn answered(&mut self, id: u16, now: Time) {
        if let Some((_, since)) = self.under_way.filter(|(known, _)| *known == id) {
            self.under_way = None;
            self.seen.add(i64::try_from(now.since(since).as_millis()).unwrap_or(i64::MAX));
        }
    }

    /// The connection is gone: what comes later measures something else.
    pub(super) fn interrupted(&mut self) {
        self.under_way = None;
    }

    /// Milliseconds.
    pub(super) fn seen(&self) -> &Histogram {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_measured_and_interruptions_are_not() {
        let mut trips = RoundTrips::new();
        trips.sent(1, Time(0));
        trips.sent(2, Time(5));
        trips.answered(2, Time(6));
        assert_eq!(trips.seen().count(), 0, "it was not looked at");
        trips.answered(1, Time(30));
        assert_eq!((trips.seen().count(), trips.seen().sum()), (1, 30));
        trips.sent(3, Time(40));
        trips.interrupted();
        trips.answered(3, Time(90_000));
        assert_eq!(trips.seen().count(), 1);
        trips.sent(4, Time(100_000));
        trips.sent(5, Time(160_000));
        trips.answered(5, Time(160_007));
        assert_eq!((trips.seen().count(), trips.seen().sum()), (2, 37), "4 was given up");
    }
}
