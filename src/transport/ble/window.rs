//! The time in which devices that were never here may join. The loop opens and shuts it, the thread of the link
//! looks at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::settings::PermitJoin;

/// Until when devices may join.
#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    /// Milliseconds since it began; 0 while it is shut.
    until: AtomicU64,
}

impl Window {
    /// As `permit_join` has it at the start. Where everybody may join at any time there is none.
    pub(super) fn new(permit: PermitJoin) -> Self {
        let window = Self { began: Instant::now(), until: AtomicU64::new(0) };
        if let PermitJoin::For(time) = permit {
            window.open(time);
        }
        window
    }

    /// Opens it for so long from now on, or shuts it if that is no time.
    pub(super) fn open(&self, time: Duration) {
        let until = if time.is_zero() { Duration::ZERO } else { self.began.elapsed() + time };
        self.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long it is still open; `None` if it is shut.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        until.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn it_is_open_for_the_time_that_was_said_and_no_longer() {
        assert_eq!(Window::new(PermitJoin::Never).left(), None);
        assert_eq!(Window::new(PermitJoin::Always).left(), None);
        assert_eq!(Window::new(PermitJoin::For(Duration::ZERO)).left(), None);
        let window = Window::new(PermitJoin::For(HOUR));
        assert!(window.left().is_some_and(|left| left <= HOUR));
        window.open(Duration::ZERO);
        assert_eq!(window.left(), None);
        window.open(2 * HOUR);
        assert!(window.left().is_some_and(|left| left > HOUR));
        // It may be opened anew, for a shorter time.
        window.open(HOUR);
        assert!(window.left().is_some_and(|left| left <= HOUR));
        window.open(Duration::MAX / 2);
        assert!(window.left().is_some());
    }
}
