//! Repeated log lines, kept in bounds: what a stranger can cause must not fill the disk.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Lets a number of lines per interval and key through and counts the rest.
///
/// The count is told with the next line of that key, so that nothing disappears without a trace.
/// Keys are kinds of events, or peers; how many are remembered is bounded, and keys beyond the
/// bound share one entry.
#[derive(Debug)]
pub struct RateLimit<K> {
    burst: u32,
    interval: Duration,
    max_keys: usize,
    entries: HashMap<K, Entry, foldhash::quality::RandomState>,
    overflow: Option<Entry>,
}

/// A line may be written. Shows ` (123 more suppressed)`, or nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowed {
    /// Lines of this key that were held back since the last one.
    pub suppressed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    since: Instant,
    used: u32,
    suppressed: u64,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// At most `burst` lines per `interval` for each of `max_keys` keys.
    #[must_use]
    pub fn new(burst: u32, interval: Duration, max_keys: usize) -> Self {
        Self { burst, interval, max_keys, entries: HashMap::default(), overflow: None }
    }

    /// Whether a line of this key may be written now.
    pub fn allow(&mut self, now: Instant, key: K) -> Option<Allowed> {
        let (burst, interval) = (self.burst, self.interval);
        if !self.entries.contains_key(&key) && self.entries.len() >= self.max_keys {
            // Entries with something to tell stay: their count would be lost.
            self.entries.retain(|_, entry| entry.suppressed > 0 || !entry.is_over(now, interval));
        }
        let fresh = Entry { since: now, used: 0, suppressed: 0 };
        let entry = if self.entries.len() < self.max_keys || self.entries.contains_key(&key) {
            self.entries.entry(key).or_insert(fresh)
        } else {
            self.overflow.get_or_insert(fresh)
        };
        entry.allow(now, burst, interval)
    }
}

impl Entry {
    fn is_over(&self, now: Instant, interval: Duration) -> bool {
        now.saturating_duration_since(self.since) >= interval
    }

    fn allow(&mut self, now: Instant, burst: u32, interval: Duration) -> Option<Allowed> {
        if self.is_over(now, interval) {
            self.since = now;
            self.used = 0;
        }
        if self.used >= burst {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.used += 1;
        Some(Allowed { suppressed: std::mem::take(&mut self.suppressed) })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suppressed {
            0 => Ok(()),
            more => write!(f, " ({more} more suppressed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_held_back_lines_are_told_with_the_next_one() {
        let mut limit = RateLimit::new(2, Duration::from_secs(10), 8);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.allow(at(0), 'a'), Some(Allowed { suppressed: 0 }));
        assert_eq!(limit.allow(at(1), 'a'), Some(Allowed { suppressed: 0 }));
        for _ in 0..123 {
            assert_eq!(limit.allow(at(2), 'a'), None);
        }
        assert_eq!(limit.allow(at(2), 'b'), Some(Allowed { suppressed: 0 }));
        let again = limit.allow(at(10), 'a').unwrap();
        assert_eq!(again.to_string(), " (123 more suppressed)");
        assert_eq!(limit.allow(at(11), 'a').unwrap().to_string(), "");
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let mut limit = RateLimit::new(1, Duration::from_secs(10), 4);
        let start = Instant::now();
        let lines = (0..1_000).filter(|key| limit.allow(start, *key).is_some()).count();
        assert_eq!(lines, 5, "four keys of their own, one shared");
        assert_eq!(limit.entries.len(), 4);
        let later = start + Duration::from_secs(10);
        assert_eq!(limit.allow(later, 5_000), Some(Allowed { suppressed: 0 }));
        assert_eq!(limit.entries.len(), 1, "entries that are over make room");
    }
}
