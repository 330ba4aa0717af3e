//! One timer for everything, armed as rarely as possible.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::time::Time;

/// The clock of the loop: milliseconds since 1970 when it was started, and from then on whatever
/// has passed, however the system's clock is set. So moments of one process mean something to the
/// next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    origin: Time,
}

impl Clock {
    /// Begins now, but not before a moment: a machine without a battery may believe itself in the
    /// past of the process before.
    pub(super) fn start(not_before: Time) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), origin: Time(0).after(now).max(not_before) }
    }

    pub(super) fn now(&self) -> Time {
        self.origin.after(self.start.elapsed())
    }

    fn instant(&self, time: Time) -> Instant {
        // Farther than anybody waits; keeps the addition within the range of the type.
        const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        self.start + time.since(self.origin).min(FAR)
    }
}

/// Wakes the task at or after a time. A deadline that moves away is left armed as it was: waking
/// once too early is cheaper than arming anew for every message.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Time>,
}

impl Timer {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { sleep: Box::pin(sleep_until(clock.start)), armed: None }
    }

    /// Ready if `deadline` has come; otherwise the task is woken when it has.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        now: Time,
        deadline: Option<Time>,
    ) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if deadline <= now {
            return Poll::Ready(());
        }
        loop {
            if self.armed.is_none_or(|armed| deadline < armed) {
                self.sleep.as_mut().reset(clock.instant(deadline));
                self.armed = Some(deadline);
            }
            match self.sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    let was = self.armed.take();
                    if was == Some(deadline) {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}
