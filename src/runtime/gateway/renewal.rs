//! A configuration that is read again, and what the service manager hears.

use std::task::{Context, Poll, ready};

use super::{Gateway, Machine};
use crate::runtime::reload::{Reloaded, Renewed};
use crate::time::Time;

impl<M: Machine> Gateway<M> {
    /// Begins to read the configuration again, if it came from somewhere.
    pub(super) fn start_reload(&mut self) -> bool {
        let Some(reload) = &mut self.reload else { return false };
        if let Some(pulse) = &self.pulse {
            pulse.reloading();
        }
        reload.start();
        true
    }

    /// Goes by what was read.
    pub(super) fn poll_reload(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        let Some(reload) = &mut self.reload else { return Poll::Pending };
        let Reloaded { renewed, report } = ready!(reload.poll(cx, self.own.ways()));
        if let Some(Renewed { core, login, ways }) = renewed {
            self.machine.reconfigure(now, core, login);
            for broker in &mut self.brokers {
                broker.connection.set_brokers(ways.shared().clone());
            }
            self.own.set_ways(ways);
        }
        if let Some(pulse) = &self.pulse {
            pulse.ready();
        }
        for reply in self.reloading.drain(..) {
            // Nobody may wait for it any longer.
            let _ = reply.send(report.clone());
        }
        Poll::Ready(())
    }

    /// Tells the service manager, if it is time. That is no news for the loop, whose turn it does not
    /// count for.
    pub(super) fn poll_pulse(&mut self, cx: &mut Context<'_>) {
        let Some(mut pulse) = self.pulse.take() else { return };
        if pulse.poll(cx).is_ready() {
            pulse.beat(|| self.status_line());
        }
        self.pulse = Some(pulse);
    }
}
