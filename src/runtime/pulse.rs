//! What the service manager hears: that the gateway is ready, how it is, and that its loop turns.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::ops::systemd::{Notifier, watchdog};

/// How often the status line is renewed.
const STATUS: Duration = Duration::from_secs(10);

/// The service manager, if there is one.
#[derive(Debug)]
pub(super) struct Pulse {
    notifier: Notifier,
    tick: Interval,
    watched: bool,
    /// When the status line was sent last, and what it said.
    said: Option<(Instant, String)>,
}

impl Pulse {
    /// Must be called inside a tokio runtime with time.
    pub(super) fn new(notifier: Notifier, watchdog: Option<Duration>) -> Self {
        let mut tick = interval(watchdog.map_or(STATUS, |every| every.min(STATUS)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { notifier, tick, watched: watchdog.is_some(), said: None }
    }

    /// The one that the environment names.
    pub(super) fn from_environment() -> Option<Self> {
        Notifier::from_environment().map(|notifier| Self::new(notifier, watchdog()))
    }

    /// Ready when something is to be said. To be followed by [`Self::beat`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut due = false;
        // Once more, to be woken for the next one.
        while self.tick.poll_tick(cx).is_ready() {
            due = true;
        }
        if due { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Says that the loop turns, and every now and then how things are.
    pub(super) fn beat(&mut self, status: impl FnOnce() -> Option<String>) {
        if self.watched {
            self.notifier.alive();
        }
        let now = Instant::now();
        if self.said.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < STATUS) {
            return;
        }
        let line = status().unwrap_or_default();
        if self.said.as_ref().is_none_or(|(_, said)| *said != line) {
            self.notifier.status(&line);
        }
        self.said = Some((now, line));
    }

    pub(super) fn ready(&self) {
        self.notifier.ready();
    }

    pub(super) fn reloading(&self) {
        self.notifier.reloading();
    }

    pub(super) fn stopping(&self) {
        self.notifier.stopping();
    }
}
