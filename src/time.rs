//! Time as the pure rooms see it: an argument, never a clock.

use core::fmt;
use core::time::Duration;

/// A moment, in milliseconds since an origin that the caller chose: 1970, or the start of the
/// simulation. It must be the same for processes that go on from one another's state. Only
/// differences have a meaning.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(pub u64);

impl Time {
    /// The moment `by` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment since 1970 in UTC, to the second, as RFC 3339 has it: `2026-11-27T15:06:39Z`.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub Time);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The last second of the year 9999: the format has no more.
        const LAST: u64 = 253_402_300_799;
        let seconds = (self.0.0 / 1_000).min(LAST);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // In eras of 400 years, which begin in March, so that a leap day is the last of its year.
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn moments_are_written_as_everybody_does() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_764_255_999, "2025-11-27T15:06:39Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Utc(Time(seconds * 1_000 + 999)).to_string(), text);
        }
        // The end of time is far, and no reason to fail.
        assert_eq!(Utc(Time(u64::MAX)).to_string(), "9999-12-31T23:59:59Z");
    }
}
