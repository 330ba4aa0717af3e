//! From the first CONNECT to the last goodbye.

use super::deliver::seconds;
use super::{Phase, World};
use crate::cli::simulate::device::{Stage, client_time};
use crate::cli::simulate::ledger::Missing;
use crate::cli::simulate::promises::Promise;
use crate::codec::Qos;

/// Longest wait for the answers to goodbyes, microseconds.
const FAREWELL: u64 = 15_000_000;

/// How long QoS 0 is waited for while nothing arrives, microseconds.
const PATIENCE_QOS_0: u64 = 2_000_000;

/// The same after Ctrl-C, for everything.
const PATIENCE_INTERRUPTED: u64 = 1_000_000;

impl World<'_> {
    pub(super) fn advance(&mut self) {
        let now = self.now;
        match self.phase {
            Phase::Ramp if self.settled >= self.devices.len() => self.start_publishing(),
            Phase::Publishing { until } if now >= until => self.stop_publishing(),
            Phase::Draining if self.is_drained() => self.start_leaving(),
            Phase::Leaving { until } => {
                let left = |stage| matches!(stage, Stage::Gone | Stage::Vanished | Stage::Failed);
                let devices = self.devices.iter().take(self.plan.devices);
                if now >= until || devices.map(|device| device.stage).all(left) {
                    self.wait_for_wills();
                }
            }
            Phase::Wills { until }
                if now >= until
                    || self.counts.wills >= self.counts.wills_due
                    || self.interrupted =>
            {
                self.close();
            }
            Phase::Closing { until } => {
                let gone = self
                    .devices
                    .iter()
                    .skip(self.plan.devices)
                    .all(|watcher| matches!(watcher.stage, Stage::Gone | Stage::Failed));
                if gone || now >= until {
                    self.phase = Phase::Done;
                }
            }
            _ => {}
        }
    }

    /// Ctrl-C: no new messages, and a short goodbye.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
        match self.phase {
            Phase::Ramp => {
                self.progress_at = self.now;
                self.phase = Phase::Draining;
            }
            Phase::Publishing { .. } => self.stop_publishing(),
            _ => {}
        }
    }

    fn start_publishing(&mut self) {
        let now = self.now;
        self.phase = Phase::Publishing { until: now + self.plan.duration };
        self.progress_at = now;
        self.published_for = now;
        let plan = self.plan;
        for index in 0..plan.devices {
            let Some(device) = self.devices.get_mut(index) else { continue };
            if device.stage == Stage::Ready {
                let offset = plan.interval as f64 * index as f64 / plan.devices as f64;
                device.publish_at = Some(now + offset as u64);
                self.arm(index);
            }
        }
    }

    pub(super) fn stop_publishing(&mut self) {
        self.published_for = self.now.saturating_sub(self.published_for);
        for device in &mut self.devices {
            device.publish_at = None;
            device.owed = 0;
        }
        self.progress_at = self.now;
        self.phase = Phase::Draining;
    }

    fn is_drained(&self) -> bool {
        let quiet = self.now.saturating_sub(self.progress_at);
        if self.interrupted && quiet > PATIENCE_INTERRUPTED {
            return true;
        }
        let sleep = if self.plan.sleepers > 0.0 { 2 * self.nap() } else { 0 };
        let acknowledged = self.ledger.unacknowledged() == 0
            && self.ledger.awaited(Qos::One) == 0
            && self.ledger.awaited(Qos::Two) == 0;
        let complete = acknowledged
            && (self.ledger.awaited(Qos::Zero) == 0
                || quiet > (PATIENCE_QOS_0 + sleep).min(self.plan.grace));
        complete || quiet > self.plan.grace
    }

    fn start_leaving(&mut self) {
        let mut time = self.now;
        let plan = self.plan;
        for index in 0..plan.devices {
            let Some(device) = self.devices.get_mut(index) else { continue };
            device.stop();
            device.leave_at = Some(time);
            time += plan.connect_interval;
            self.arm(index);
        }
        self.phase = Phase::Leaving { until: time + FAREWELL };
    }

    /// A device says goodbye, or does not if it has a will to be published.
    pub(super) fn leave(&mut self, index: usize) {
        let time = client_time(self.now);
        let Some(device) = self.devices.get_mut(index) else { return };
        if !device.client.has_session() {
            if device.stage != Stage::Failed {
                device.stage = Stage::Gone;
            }
        } else if self.plan.has_will(index) && !self.interrupted {
            device.stage = Stage::Vanished;
            self.counts.wills_due += 1;
        } else {
            device.stage = Stage::Leaving;
            if device.kept && !self.plan.persistent {
                // So that nothing is left of the session that was kept while it slept.
                device.client.connect(time);
            } else {
                device.client.disconnect(time);
            }
        }
    }

    fn wait_for_wills(&mut self) {
        let plan = self.plan;
        if self.counts.wills_due == 0 {
            return self.close();
        }
        // Half as long again as announced is what gateways allow.
        let longest =
            if plan.sleepers > 0.0 { plan.keep_alive.max(plan.sleep) } else { plan.keep_alive };
        let patience = u64::from(longest) * 1_500_000 + plan.grace.max(15_000_000);
        self.phase = Phase::Wills { until: self.now + patience };
    }

    fn close(&mut self) {
        if matches!(self.phase, Phase::Wills { .. }) && !self.interrupted {
            for (index, seen) in self.wills_seen.iter().enumerate() {
                let vanished =
                    self.devices.get(index).is_some_and(|device| device.stage == Stage::Vanished);
                if vanished && !seen {
                    self.broken.add(Promise::Wills, || {
                        format!("device {index} has vanished, and its will was not published")
                    });
                }
            }
        }
        let time = client_time(self.now);
        for index in self.plan.devices..self.devices.len() {
            if let Some(watcher) = self.devices.get_mut(index) {
                watcher.stop();
                if watcher.client.has_session() {
                    watcher.stage = Stage::Leaving;
                    watcher.client.disconnect(time);
                } else {
                    watcher.stage = Stage::Gone;
                }
            }
            self.pump(index, false);
        }
        self.phase = Phase::Closing { until: self.now + FAREWELL };
    }

    /// What has not arrived by now is lost. After Ctrl-C nobody can tell.
    pub(super) fn judge_missing(&mut self) {
        let Self { ledger, broken, plan, .. } = self;
        if self.interrupted {
            return;
        }
        ledger.close(&mut |missing| {
            let promise = match missing.qos {
                Qos::MinusOne | Qos::Zero => Promise::Arrives,
                Qos::One | Qos::Two => Promise::Acknowledged,
            };
            if promise == Promise::Acknowledged || plan.is_calm() {
                broken.add(promise, || missing_words(plan, &missing));
            }
        });
    }

    pub(super) fn sweep(&mut self) {
        let Self { ledger, broken, plan, .. } = self;
        let patience = plan.grace;
        ledger.sweep(self.now, patience, &mut |missing| {
            if plan.is_calm() {
                broken.add(Promise::Arrives, || missing_words(plan, &missing));
            }
        });
    }

    pub(super) fn progress(&self) -> String {
        let what = match self.phase {
            Phase::Ramp => {
                let (in_, of) = (self.counts.connected, self.plan.devices);
                return format!("{:.0} s: {in_} of {of} devices connected", seconds(self.now));
            }
            Phase::Publishing { .. } => "publishing",
            Phase::Draining => "waiting for what is under way",
            Phase::Leaving { .. } | Phase::Closing { .. } | Phase::Done => "leaving",
            Phase::Wills { .. } => {
                let (seen, due) = (self.counts.wills, self.counts.wills_due);
                return format!("{:.0} s: {seen} of {due} wills", seconds(self.now));
            }
        };
        let total = |field: fn(&crate::cli::simulate::ledger::Tally) -> u64| -> u64 {
            [Qos::Zero, Qos::One, Qos::Two]
                .into_iter()
                .map(|qos| field(&self.ledger.tally(qos)))
                .sum()
        };
        format!(
            "{:.0} s, {what}: {} sent, {} acknowledged, {} received, {} sessions lost",
            seconds(self.now),
            total(|tally| tally.sent),
            total(|tally| tally.acknowledged),
            total(|tally| tally.received),
            self.counts.lost_ended + self.counts.lost_unanswered
        )
    }
}

fn missing_words(plan: &crate::cli::simulate::plan::Plan, missing: &Missing) -> String {
    let Missing { device, slot, qos, number, sent } = *missing;
    format!(
        "message {number} of device {device} ({qos:?}) to {}, sent at {:.3} s, for device {}",
        plan.topic(device, slot),
        seconds(sent),
        plan.receiver(device, slot)
    )
}
