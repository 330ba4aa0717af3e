//! One publication that is kept until the broker has it.

use crate::core::upstream::{MqttQos, Token};
use crate::mqtt::settings::Spool;
use crate::store::record::Record;
use crate::time::Time;

/// One publication at QoS 1 or 2, or one at QoS 0 that is kept.
#[derive(Debug)]
pub(in crate::mqtt) struct Request {
    pub(in crate::mqtt) token: Token,
    /// Topic, then payload. Not the packet: the next connection may speak another version.
    pub(in crate::mqtt) data: Vec<u8>,
    pub(in crate::mqtt) topic: u16,
    /// How many octets of `data` are properties for MQTT 5, behind the payload. They are not recorded.
    pub(in crate::mqtt) properties: u16,
    /// 0 until it is sent for the first time in the broker's session.
    pub(in crate::mqtt) id: u16,
    pub(in crate::mqtt) qos: MqttQos,
    pub(in crate::mqtt) retain: bool,
    /// PUBREC has come in the broker's session: what is owed is a PUBREL.
    pub(in crate::mqtt) released: bool,
    /// `Received` has been reported.
    pub(in crate::mqtt) reported: bool,
    /// The broker may know it by its packet id.
    pub(in crate::mqtt) known: bool,
    /// Sent on this connection, or about to be.
    pub(in crate::mqtt) sent: bool,
    /// It was indeed; only then does an acknowledgement count.
    pub(in crate::mqtt) written: bool,
    /// It has been recorded, by its order of acceptance.
    pub(in crate::mqtt) recorded: bool,
    /// Slot of the client.
    pub(in crate::mqtt) origin: u32,
    /// When it was accepted.
    pub(in crate::mqtt) at: Time,
    /// Order of acceptance.
    pub(in crate::mqtt) accepted: u64,
    /// Order of sending again: of acceptance, or of PUBREC for what is released.
    pub(in crate::mqtt) order: u64,
}

impl Request {
    pub(in crate::mqtt) fn record(&self) -> Record<'_> {
        let (topic, payload, _) = self.parts();
        Record::Request {
            key: self.accepted,
            origin: self.origin,
            at: self.at.0,
            qos: self.qos,
            retain: self.retain,
            // It was a string.
            topic: std::str::from_utf8(topic).unwrap_or_default(),
            payload,
        }
    }

    /// Topic, payload, properties.
    pub(super) fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (topic, rest) = self.data.split_at_checked(usize::from(self.topic)).unwrap_or_default();
        let payload = rest.len().saturating_sub(usize::from(self.properties));
        let (payload, properties) = rest.split_at_checked(payload).unwrap_or_default();
        (topic, payload, properties)
    }

    /// What it takes of the spool.
    pub(in crate::mqtt) fn room(&self) -> u64 {
        (self.data.len() + Spool::OVERHEAD) as u64
    }
}
