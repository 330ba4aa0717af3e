//! Who is who in a run, and who hears whom.
//!
//! The devices stand in a circle. Each publishes data, which the device before it subscribes to, and
//! commands for the device after it. So every message has one receiver, and both ways of the gateway
//! are used.

use std::time::Duration;

use super::faults::Rates;
use super::net::Way;
use crate::client::{Options, Will};
use crate::codec::Qos;

/// A run, checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) way: Way,
    /// How the gateway was named.
    pub(super) gateway_name: String,
    /// First part of client ids and topics.
    pub(super) prefix: String,
    /// In all messages of this run and in no others.
    pub(super) run: u32,
    pub(super) devices: usize,
    /// Share of devices that subscribe, 0 to 1.
    pub(super) subscribers: f64,
    /// Data topics a device.
    pub(super) topics: usize,
    /// QoS of the messages, in turn.
    pub(super) qos: Vec<Qos>,
    /// Octets a message.
    pub(super) size: usize,
    /// Between two messages of one device, microseconds.
    pub(super) interval: u64,
    /// How long messages are published, microseconds.
    pub(super) duration: u64,
    /// Between two devices that connect, microseconds.
    pub(super) connect_interval: u64,
    /// Share of devices that sleep, 0 to 1.
    pub(super) sleepers: f64,
    /// How long they sleep at a time, seconds.
    pub(super) sleep: u16,
    pub(super) persistent: bool,
    pub(super) keep_alive: u16,
    /// Share of devices that vanish in the end, 0 to 1.
    pub(super) wills: f64,
    pub(super) rates: Rates,
    pub(super) seed: u64,
    pub(super) retry: Duration,
    pub(super) retries: u32,
    /// Longest wait for what is under way in the end while nothing arrives, microseconds.
    pub(super) grace: u64,
    /// The network itself may lose datagrams.
    pub(super) lossy: bool,
}

impl Plan {
    /// Nothing may get lost or come twice on the way.
    pub(super) fn is_calm(&self) -> bool {
        !self.rates.any() && !self.lossy
    }

    pub(super) fn subscribes(&self, device: usize) -> bool {
        chosen(device, self.subscribers)
    }

    pub(super) fn sleeps(&self, device: usize) -> bool {
        chosen(device, self.sleepers)
    }

    /// From the other end, so that not only sleepers have wills.
    pub(super) fn has_will(&self, device: usize) -> bool {
        device < self.devices && chosen(self.devices - 1 - device, self.wills)
    }

    /// One more than the devices if somebody has to watch for wills: the last.
    pub(super) fn clients(&self) -> usize {
        self.devices + usize::from(self.wills > 0.0)
    }

    pub(super) fn is_watcher(&self, device: usize) -> bool {
        device >= self.devices
    }

    /// Topics a device publishes to: data, and the commands of its neighbour.
    pub(super) fn slots(&self) -> usize {
        self.topics + 1
    }

    pub(super) fn before(&self, device: usize) -> usize {
        (device + self.devices - 1) % self.devices
    }

    pub(super) fn after(&self, device: usize) -> usize {
        (device + 1) % self.devices
    }

    /// Who receives what a device publishes there.
    pub(super) fn receiver(&self, device: usize, slot: usize) -> usize {
        if slot < self.topics { self.before(device) } else { self.after(device) }
    }

    /// What a device receives, as publisher and slot.
    pub(super) fn sources(&self, device: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (publisher, commander) = (self.after(device), self.before(device));
        let topics = self.topics;
        (0..topics).map(move |slot| (publisher, slot)).chain([(commander, topics)])
    }

    pub(super) fn topic(&self, device: usize, slot: usize) -> String {
        let prefix = &self.prefix;
        if slot < self.topics {
            format!("{prefix}/{device}/data/{slot}")
        } else {
            format!("{prefix}/{}/command", self.after(device))
        }
    }

    /// What a client subscribes to. Every other device uses a wildcard for data, so that the gateway
    /// has to register topics with it.
    pub(super) fn filters(&self, device: usize) -> Vec<String> {
        let prefix = &self.prefix;
        if self.is_watcher(device) {
            return vec![format!("{prefix}/+/will")];
        }
        if !self.subscribes(device) {
            return Vec::new();
        }
        let publisher = self.after(device);
        let mut filters = if device.is_multiple_of(2) {
            vec![format!("{prefix}/{publisher}/data/+")]
        } else {
            (0..self.topics).map(|slot| self.topic(publisher, slot)).collect()
        };
        filters.push(self.topic(self.before(device), self.topics));
        filters
    }

    /// QoS of subscriptions: the highest that is published.
    pub(super) fn subscription_qos(&self) -> Qos {
        self.qos.iter().copied().max().unwrap_or(Qos::Zero)
    }

    pub(super) fn client_id(&self, device: usize) -> String {
        let prefix = &self.prefix;
        if self.is_watcher(device) {
            format!("{prefix}-watch")
        } else {
            format!("{prefix}-{device}")
        }
    }

    pub(super) fn will_topic(&self, device: usize) -> String {
        format!("{}/{device}/will", self.prefix)
    }

    pub(super) fn will_payload(&self, device: usize) -> String {
        format!("will {:08x} {device}", self.run)
    }

    pub(super) fn options(&self, device: usize) -> Options {
        let will = self.has_will(device).then(|| Will {
            topic: self.will_topic(device),
            payload: self.will_payload(device).into_bytes(),
            qos: Qos::One,
            retain: false,
        });
        Options {
            client_id: self.client_id(device),
            keep_alive: self.keep_alive,
            clean_session: !self.persistent || self.is_watcher(device),
            will,
            retry_interval: self.retry,
            retry_count: self.retries,
            short_topics: false,
        }
    }
}

/// Spreads a share evenly over the devices.
fn chosen(device: usize, share: f64) -> bool {
    let reached = |count: usize| (count as f64 * share + 1e-9).floor();
    reached(device + 1) > reached(device)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::simulate) fn plan(devices: usize, topics: usize) -> Plan {
        Plan {
            way: Way::Udp(([127, 0, 0, 1], 1).into()),
            gateway_name: "here".into(),
            prefix: "p".into(),
            run: 1,
            devices,
            subscribers: 1.0,
            topics,
            qos: vec![Qos::One],
            size: 64,
            interval: 1,
            duration: 1,
            connect_interval: 1,
            sleepers: 0.0,
            sleep: 1,
            persistent: false,
            keep_alive: 60,
            wills: 0.0,
            rates: Rates::default(),
            seed: 1,
            retry: Duration::from_secs(1),
            retries: 1,
            grace: 1,
            lossy: false,
        }
    }

    fn matches(filter: &str, topic: &str) -> bool {
        let last_level = filter.strip_suffix('+').and_then(|head| topic.strip_prefix(head));
        filter == topic || last_level.is_some_and(|level| !level.contains('/'))
    }

    #[test]
    fn shares_are_exact_and_spread() {
        for (share, count) in [(0.0, 0), (0.05, 5), (0.3, 30), (0.5, 50), (1.0, 100)] {
            assert_eq!((0..100).filter(|device| chosen(*device, share)).count(), count, "{share}");
        }
        assert_eq!((0..10).filter(|device| chosen(*device, 0.3)).count(), 3);
    }

    #[test]
    fn every_message_has_one_receiver_that_subscribes_to_it() {
        for devices in [1, 2, 3, 10] {
            let plan = plan(devices, 2);
            for publisher in 0..devices {
                for slot in 0..plan.slots() {
                    let topic = plan.topic(publisher, slot);
                    let receivers: Vec<_> = (0..devices)
                        .filter(|device| {
                            plan.filters(*device).iter().any(|filter| matches(filter, &topic))
                        })
                        .collect();
                    assert_eq!(receivers, [plan.receiver(publisher, slot)], "{topic}");
                    let mut sources = plan.sources(receivers[0]);
                    assert!(sources.any(|source| source == (publisher, slot)), "{topic}");
                }
            }
        }
    }
}
