//! Wills: published when a sensor is lost, once, and never otherwise.

use mqtt_sn_gateway::time::Time;

use super::contract::Link;
use super::{Oracle, Verdict};
use crate::ledger::{MsgNo, Origin};
use crate::wire::Publish;

/// A will that a sensor left with the gateway.
#[derive(Debug)]
pub struct Will {
    sensor: usize,
    /// The gateway has reason to publish it.
    due: bool,
    /// The silence was so long that it must have been published.
    pub overdue: bool,
    /// The gateway published it.
    pub published: bool,
    accepted: u32,
    losses_before: u32,
    crashes_before: u32,
}

impl Oracle {
    pub(super) fn will_arrives(&mut self, sensor: usize, payload: &[u8]) {
        let Some(message) = self.ledger.identify(payload) else { return };
        self.contracts[sensor].new_will = Some(message);
    }

    /// CONNACK: the new will replaces the old one.
    pub(super) fn will_established(&mut self, _now: Time, sensor: usize, clean: bool) {
        let contract = &mut self.contracts[sensor];
        if let Some(message) = contract.new_will.take() {
            contract.will = Some(message);
            let (losses_before, crashes_before) = (self.upstream.losses, self.crashes);
            let new = || Will {
                sensor,
                due: false,
                overdue: false,
                published: false,
                accepted: 0,
                losses_before,
                crashes_before,
            };
            self.wills.entry(message).or_insert_with(new);
        } else if clean && !matches!(&contract.connect, Some(connect) if connect.will) {
            contract.will = None;
        }
    }

    /// Whether the gateway still has it is not known.
    pub(super) fn will_in_doubt(&mut self, sensor: usize) {
        let contract = &mut self.contracts[sensor];
        if let Some(will) = contract.will.take().and_then(|message| self.wills.get_mut(&message)) {
            will.due = true;
        }
    }

    /// The goodbye that dismissed it was never answered, and may be forgotten.
    pub(super) fn will_comes_back(&mut self, sensor: usize, message: MsgNo) {
        if let Some(will) = self.wills.get_mut(&message) {
            will.due = true;
        }
        self.contracts[sensor].will.get_or_insert(message);
    }

    /// Another client id came from its address: lost, without any silence.
    pub(super) fn will_falls_due(&mut self, sensor: usize) {
        let contract = &self.contracts[sensor];
        if let Some(will) = contract.will.and_then(|message| self.wills.get_mut(&message)) {
            will.due = true;
            will.overdue |= !contract.doubtful && contract.link != Link::Down;
        }
    }

    /// DISCONNECT: no will.
    pub(super) fn will_dismissed(&mut self, sensor: usize) {
        if self.contracts[sensor].link != Link::Down {
            self.contracts[sensor].will = None;
        }
    }

    /// Looks at how long the sensor has been silent, before it is heard again or at the end.
    pub(super) fn note_silence(&mut self, now: Time, sensor: usize) {
        let contract = &self.contracts[sensor];
        let Some(will) = contract.will.and_then(|message| self.wills.get_mut(&message)) else {
            return;
        };
        let silence = now.since(contract.last_heard);
        if contract.link == Link::Up || contract.sleeps() || contract.half_awake() {
            will.due |= silence >= contract.least_silence() || contract.doubtful;
            // A CONNECT with CleanSession that came to nothing has taken it away, or not.
            let ended = contract.half_awake() && contract.wiped;
            will.overdue |= silence >= contract.most_silence() && !ended;
        } else if matches!(contract.link, Link::Connecting { was_up: true }) {
            will.due |= silence >= contract.keep_alive || contract.doubtful;
        }
    }

    /// The gateway publishes a will.
    pub(super) fn will_published(&mut self, now: Time, message: MsgNo) -> Verdict {
        let Origin::Will(sensor) = self.ledger.get(message).origin else { return Ok(()) };
        self.note_silence(now, sensor);
        let Some(will) = self.wills.get_mut(&message) else {
            return Err(format!("will {message} of sensor {sensor} was never accepted"));
        };
        will.published = true;
        if will.due {
            return Ok(());
        }
        Err(format!("will {message} is published, but sensor {} was not lost", will.sensor))
    }

    /// The broker took it.
    pub(super) fn will_accepted(&mut self, message: MsgNo, publish: &Publish) -> Verdict {
        let qos = self.ledger.get(message).qos;
        let losses = self.upstream.losses;
        let Some(will) = self.wills.get_mut(&message) else {
            return Err(format!("will {message} was never accepted"));
        };
        if qos != 1 || !publish.dup {
            will.accepted += 1;
        }
        // That it was published may not have been written down.
        let crashes = if qos == 2 { 0 } else { self.crashes - will.crashes_before };
        if will.accepted > 1 + losses - will.losses_before + crashes {
            return Err(format!("will {message} was published {} times", will.accepted));
        }
        Ok(())
    }

    /// Whether `sensor` has a will with the gateway; for the last act of a world.
    pub fn has_will(&self, sensor: usize) -> bool {
        let contract = &self.contracts[sensor];
        contract.will.is_some() && (contract.link == Link::Up || contract.sleeps())
    }
}
