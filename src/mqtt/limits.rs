//! What the broker accepts on one connection (MQTT 5 §3.2.2.3; everything in 3.1.1).

use super::wire::{self, Protocol};
use crate::core::upstream::{MqttQos, Refusal};

/// Limits that a CONNACK states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Limits {
    /// Receive Maximum: unacknowledged publications at once, at least 1.
    pub receive_maximum: u16,
    /// Maximum QoS.
    pub qos: MqttQos,
    /// Retain Available.
    pub retain: bool,
    /// Maximum Packet Size, octets.
    pub packet: usize,
    /// Subscription Identifiers Available.
    pub subscription_ids: bool,
    /// Topic Alias Maximum.
    pub topic_aliases: u16,
    /// Server Keep Alive, seconds.
    pub keep_alive: Option<u16>,
}

impl Default for Limits {
    /// What holds for an MQTT 5 broker that states nothing.
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            qos: MqttQos::Two,
            retain: true,
            packet: usize::MAX,
            subscription_ids: true,
            topic_aliases: 0,
            keep_alive: None,
        }
    }
}

impl Limits {
    /// What holds for a 3.1.1 broker.
    pub(super) fn v4() -> Self {
        Self { subscription_ids: false, ..Self::default() }
    }

    /// Whether the broker can take such a publication.
    pub(super) fn check_publish(
        &self,
        protocol: Protocol,
        qos: MqttQos,
        retain: bool,
        topic: usize,
        payload: usize,
    ) -> Result<(), Refusal> {
        let fits = wire::publish_length(protocol, qos, topic, payload)
            .is_some_and(|length| length <= self.packet);
        if fits && qos <= self.qos && (self.retain || !retain) {
            Ok(())
        } else {
            Err(Refusal::NotSupported)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_cannot_take_is_not_supported() {
        let limits = Limits { qos: MqttQos::One, retain: false, packet: 20, ..Limits::default() };
        let check = |qos, retain, payload| {
            limits.check_publish(Protocol::V5, qos, retain, 5, payload).is_ok()
        };
        assert!(check(MqttQos::One, false, 8));
        assert!(!check(MqttQos::One, false, 9));
        assert!(check(MqttQos::Zero, false, 10));
        assert!(!check(MqttQos::Two, false, 0));
        assert!(!check(MqttQos::One, true, 0));
    }
}
