//! Datagrams on their way, with the faults that were asked for.

use super::{MOST_DELAYED, World};
use crate::cli::simulate::device::{Stage, client_time};
use crate::cli::simulate::faults::{Delayed, Fate};
use crate::cli::simulate::ledger::Entry;
use crate::cli::simulate::net::Trouble;
use crate::cli::simulate::payload::Label;
use crate::cli::simulate::plan::Plan;
use crate::cli::simulate::promises::Promise;
use crate::cli::{Failure, explain};
use crate::codec::{Message, Publish, Qos, decode};
use crate::config::format_duration;

impl World<'_> {
    /// A device sends something.
    pub(super) fn transmit(&mut self, index: usize, datagram: &[u8]) {
        let fate = self.plan.rates.fate(&mut self.rng);
        let copies = [(fate.first, false), (fate.second, true)];
        self.count(fate);
        for (delay, copy) in copies {
            match delay {
                None => {}
                Some(0) => self.put_on_wire(index, datagram, copy),
                Some(delay) => self.delay(index, delay, false, copy, datagram),
            }
        }
    }

    /// Something has arrived for a device.
    pub(super) fn receive(&mut self, index: usize) -> Result<(), Failure> {
        self.now = self.net.now();
        let datagram = match self.net.receive(index) {
            Ok(datagram) => datagram,
            Err(Trouble::Later | Trouble::Other) => return Ok(()),
            Err(Trouble::Refused) => {
                self.refused = true;
                return self.check_reached();
            }
        };
        self.answered = true;
        self.counts.datagrams_in += 1;
        self.inspect(index, &datagram);
        let fate = self.plan.rates.fate(&mut self.rng);
        self.count(fate);
        for (delay, copy) in [(fate.first, false), (fate.second, true)] {
            match delay {
                None => {}
                Some(0) => self.hand_over(index, &datagram, copy),
                Some(delay) => self.delay(index, delay, true, copy, &datagram),
            }
        }
        Ok(())
    }

    /// Lets arrive what has been on its way for long enough.
    pub(super) fn release_delayed(&mut self) {
        while self.delayed.peek().is_some_and(|delayed| delayed.due <= self.now) {
            let Some(delayed) = self.delayed.pop() else { break };
            if delayed.inbound {
                self.hand_over(delayed.device, &delayed.datagram, delayed.copy);
            } else {
                self.put_on_wire(delayed.device, &delayed.datagram, delayed.copy);
            }
        }
    }

    fn count(&mut self, fate: Fate) {
        self.counts.dropped += u64::from(fate.first.is_none());
        self.counts.doubled += u64::from(fate.second.is_some());
    }

    fn delay(&mut self, device: usize, delay: u64, inbound: bool, copy: bool, datagram: &[u8]) {
        if self.delayed.len() >= MOST_DELAYED {
            // As a network does that is full.
            self.counts.dropped += 1;
            return;
        }
        self.delayed_count += 1;
        self.delayed.push(Delayed {
            due: self.now + delay,
            order: self.delayed_count,
            device,
            inbound,
            copy,
            datagram: datagram.to_vec(),
        });
    }

    fn put_on_wire(&mut self, index: usize, datagram: &[u8], copy: bool) {
        let Some(device) = self.devices.get_mut(index) else { return };
        // Whoever has vanished sends nothing any more.
        if device.stage == Stage::Vanished {
            return;
        }
        if let Ok(packet) = decode(datagram) {
            device.watch.sent(&packet.message);
            if copy && let Message::Publish(publish) = packet.message {
                self.allow_copy(&publish);
            }
        }
        match self.net.send(index, datagram) {
            Ok(()) => self.counts.datagrams_out += 1,
            Err(Trouble::Refused) => self.refused = true,
            Err(Trouble::Later | Trouble::Other) => self.counts.unsent += 1,
        }
    }

    /// At QoS 0 nothing tells two copies apart: both may arrive.
    fn allow_copy(&mut self, publish: &Publish<'_>) {
        if publish.qos == Qos::Zero
            && let Some(label) = Label::read_head(publish.data)
        {
            let stream = self.ledger.stream(label.device, label.slot, label.qos);
            self.ledger.copied(Entry { stream, number: label.number });
        }
    }

    /// Looks at what has arrived, before faults befall it.
    fn inspect(&mut self, index: usize, datagram: &[u8]) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let message = match decode(datagram) {
            Ok(packet) => packet.message,
            Err(error) => {
                self.counts.malformed += 1;
                self.broken.add(Promise::WellFormed, || {
                    format!("device {index}: {error} [{}]", explain::hex(datagram))
                });
                return;
            }
        };
        if let Message::Publish(Publish { dup: true, .. }) = message {
            self.counts.gateway_repeats += 1;
        }
        if !device.watch.arrived(&message) && !self.plan.lossy {
            self.broken.add(Promise::Asleep, || {
                format!("device {index} at {:.3} s: {}", seconds(self.now), message_words(datagram))
            });
        }
    }

    fn hand_over(&mut self, index: usize, datagram: &[u8], copy: bool) {
        let Some(device) = self.devices.get_mut(index) else { return };
        if matches!(device.stage, Stage::Vanished | Stage::Failed) {
            return;
        }
        // What is no packet has been counted.
        let _ = device.client.handle_datagram(client_time(self.now), datagram);
        self.pump(index, copy);
    }

    /// Nobody is there, and nobody ever was.
    pub(super) fn check_reached(&self) -> Result<(), Failure> {
        if self.answered || !(self.refused || self.unanswered) {
            return Ok(());
        }
        self.clear_line();
        let Plan { gateway_name, retries, retry, .. } = self.plan;
        Err(Failure::run(if self.refused {
            format!(
                "nothing listens on UDP {gateway_name}: is the gateway running, and is this its \
                 address?"
            )
        } else {
            format!(
                "no answer from {gateway_name} after {} tries, {} apart (CONNECT): {}",
                u64::from(*retries) + 1,
                format_duration(*retry),
                self.net.silence()
            )
        }))
    }
}

fn message_words(datagram: &[u8]) -> String {
    decode(datagram).map_or_else(|_| explain::hex(datagram), |packet| explain::packet(&packet))
}

pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
