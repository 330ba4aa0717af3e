//! One timer for everything, armed as rarely as possible.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::time::Time;

/// The clock of the loop: [`Time`] since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self, time: Time) -> Instant {
        // Farther than anybody waits; keeps the addition within the range of the type.
        const FAR: u64 = 100 * 365 * 24 * 3_600 * 1_000;
        self.start + Duration::from_millis(time.0.min(FAR))
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
