//! Publishing, sleeping and waking.

use std::time::Duration;

use super::{Phase, World};
use crate::cli::simulate::device::{Stage, client_time};
use crate::cli::simulate::ledger::Entry;
use crate::cli::simulate::payload::Label;
use crate::cli::subscribe::nap;
use crate::client::{Publication, Topic};

/// Most publications of a device that wait for an answer, or for it to wake.
const MOST_OPEN: u32 = 16;

impl World<'_> {
    /// It is time for the next message of a device.
    pub(super) fn publish_due(&mut self, index: usize) {
        let (now, interval) = (self.now, self.plan.interval);
        let Some(device) = self.devices.get_mut(index) else { return };
        let due = device.publish_at.unwrap_or(now) + interval;
        // Whoever is far behind does not try to catch up.
        device.publish_at = Some(if due + 10 * interval < now { now } else { due });
        if device.stage == Stage::Ready && device.client.is_connected() {
            self.publish(index);
        } else if device.sleeper && device.owed < MOST_OPEN {
            device.owed += 1;
        } else {
            self.counts.held_back += 1;
        }
    }

    /// Publishes the next message of a device.
    pub(super) fn publish(&mut self, index: usize) {
        let plan = self.plan;
        let now = self.now;
        let Some(device) = self.devices.get(index) else { return };
        // What finds no room would be dropped, and nobody would be to blame for it.
        if device.open.len() >= MOST_OPEN as usize || !self.net.has_room(plan.size) {
            self.counts.held_back += 1;
            return;
        }
        let kinds = plan.qos.len().max(1);
        let Some(qos) = plan.qos.get(device.made % kinds).copied() else { return };
        let slot = device.made / kinds % plan.slots();
        let expected = self.devices.get(plan.receiver(index, slot)).is_some_and(|receiver| {
            if slot < plan.topics { receiver.hears_data } else { receiver.hears_commands }
        });
        let stream = self.ledger.stream(index, slot, qos);
        let Some(number) = self.ledger.publish(stream, now, expected) else { return };
        let label = Label { run: plan.run, device: index, slot, qos, number, sent: now };
        let publication = Publication {
            topic: Topic::Name(plan.topic(index, slot)),
            payload: label.write(plan.size),
            qos,
            retain: false,
        };
        let Some(device) = self.devices.get_mut(index) else { return };
        device.made += 1;
        let id = device.client.publish(client_time(now), publication);
        device.open.push_back((id, Entry { stream, number }));
    }

    /// Back to sleep, if all is said.
    pub(super) fn fall_asleep(&mut self, index: usize) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return };
        if device.stage != Stage::Ready || !device.client.is_connected() {
            return;
        }
        if device.client.pending() == 0 {
            device.client.sleep(client_time(now), self.plan.sleep);
        } else {
            device.sleep_at = Some(now + 20_000);
        }
    }

    /// A sleeper wakes: to collect, or every other time to publish what was due meanwhile.
    pub(super) fn wake(&mut self, index: usize) {
        let now = self.now;
        let publishing = matches!(self.phase, Phase::Publishing { .. });
        let Some(device) = self.devices.get_mut(index) else { return };
        if device.stage != Stage::Ready || !device.client.is_asleep() {
            return;
        }
        device.wakes += 1;
        if publishing && device.owed > 0 && device.wakes.is_multiple_of(2) {
            self.counts.stays += 1;
            device.kept = true;
            device.client.wake(client_time(now));
        } else {
            self.counts.collects += 1;
            device.watch.wakes();
            device.collecting = Some(now);
            device.client.collect(client_time(now));
        }
    }

    /// How long sleepers sleep, microseconds.
    pub(super) fn nap(&self) -> u64 {
        micros(nap(self.plan.sleep))
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
