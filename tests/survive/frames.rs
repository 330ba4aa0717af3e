//! MQTT packets as a bystander needs them: cut out of a stream, and looked at from outside.

/// One MQTT packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// The first octet: type and flags.
    pub head: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// Types of packets, as the upper half of the first octet.
pub mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
}

/// A PUBLISH, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    pub qos: u8,
    pub topic: String,
    /// 0 at QoS 0.
    pub packet_id: u16,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Takes the first packet out of what has come, if it is whole.
    pub fn take(input: &mut Vec<u8>) -> Option<Self> {
        let (length, size) = varint(input.get(1..)?)?;
        let end = 1 + size + length;
        if input.len() < end {
            return None;
        }
        let body = input[1 + size..end].to_vec();
        let head = input[0];
        input.drain(..end);
        Some(Self { head, body })
    }

    /// The packet as it is sent.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = vec![self.head];
        let mut length = self.body.len();
        loop {
            let more = length > 0x7F;
            octets.push((length & 0x7F) as u8 | u8::from(more) << 7);
            length >>= 7;
            if !more {
                break;
            }
        }
        octets.extend_from_slice(&self.body);
        octets
    }

    pub fn kind(&self) -> u8 {
        self.head >> 4
    }

    /// Where an acknowledgement has it.
    pub fn packet_id(&self) -> u16 {
        self.u16(0)
    }

    /// The reason of an acknowledgement of MQTT 5 is a refusal.
    pub fn refuses(&self) -> bool {
        self.body.get(2).is_some_and(|reason| *reason >= 0x80)
    }

    /// Takes a PUBLISH apart; `level` is the protocol level of the CONNECT, 4 or 5.
    pub fn publish(&self, level: u8) -> Publish {
        let qos = self.head >> 1 & 3;
        let mut at = 2 + usize::from(self.u16(0));
        let topic = String::from_utf8(self.body[2..at].to_vec()).expect("a topic in UTF-8");
        let mut packet_id = 0;
        if qos > 0 {
            packet_id = self.u16(at);
            at += 2;
        }
        if level == 5 {
            let (length, size) = varint(&self.body[at..]).expect("properties");
            at += size + length;
        }
        Publish { qos, topic, packet_id, payload: self.body[at..].to_vec() }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.body[at], self.body[at + 1]])
    }
}

/// A number of MQTT and its length in octets.
fn varint(octets: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, octet) in octets.iter().take(4).enumerate() {
        value |= usize::from(octet & 0x7F) << (7 * index);
        if octet & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
