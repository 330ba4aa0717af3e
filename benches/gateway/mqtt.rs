//! As much of MQTT 3.1.1 as sink and relay speak.

use std::io::{self, Read};
use std::net::TcpStream;

/// Packet types, upper half of the first octet (MQTT 3.1.1 §2.2.1).
pub const CONNECT: u8 = 1;
pub const CONNACK: u8 = 2;
pub const PUBLISH: u8 = 3;
pub const PUBACK: u8 = 4;
pub const PUBREC: u8 = 5;
pub const PUBREL: u8 = 6;
pub const PUBCOMP: u8 = 7;
pub const SUBSCRIBE: u8 = 8;
pub const SUBACK: u8 = 9;
pub const UNSUBSCRIBE: u8 = 10;
pub const UNSUBACK: u8 = 11;
pub const PINGREQ: u8 = 12;
pub const PINGRESP: u8 = 13;
pub const DISCONNECT: u8 = 14;

/// A packet as it lies in the read buffer.
pub struct Packet<'a> {
    first: u8,
    pub body: &'a [u8],
}

impl<'a> Packet<'a> {
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    pub fn qos(&self) -> u8 {
        (self.first >> 1) & 0b11
    }

    pub fn duplicate(&self) -> bool {
        self.first & 0b1000 != 0
    }

    /// The packet id of anything but a PUBLISH.
    pub fn id(&self) -> Option<u16> {
        field(self.body, 0)
    }

    /// Topic, packet id (0 at QoS 0) and payload of a PUBLISH.
    pub fn publish(&self) -> Option<(&'a [u8], u16, &'a [u8])> {
        let end = 2 + usize::from(field(self.body, 0)?);
        let topic = self.body.get(2..end)?;
        match self.qos() {
            0 => Some((topic, 0, self.body.get(end..)?)),
            _ => Some((topic, field(self.body, end)?, self.body.get(end + 2..)?)),
        }
    }
}

/// A 16-bit field at `offset`.
pub fn field(octets: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(offset)?, *octets.get(offset + 1)?]))
}

/// Cuts a stream of octets into packets; reads as much per system call as there is.
pub struct Reader {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Reader {
    const CAPACITY: usize = 256 * 1024;

    pub fn new() -> Self {
        Self { buffer: vec![0; Self::CAPACITY].into_boxed_slice(), start: 0, end: 0 }
    }

    /// A reader without room, to stand in for one that is taken out for a moment.
    pub fn empty() -> Self {
        Self { buffer: Box::default(), start: 0, end: 0 }
    }

    /// One read. 0 means the peer closed.
    pub fn fill(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "packet longer than 256 KiB"));
        }
        let count = stream.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// The next whole packet.
    pub fn next(&mut self) -> Option<Packet<'_>> {
        let octets = &self.buffer[self.start..self.end];
        let (mut length, mut header) = (0usize, 1usize);
        loop {
            let octet = *octets.get(header)?;
            length |= usize::from(octet & 0x7F) << (7 * (header - 1));
            header += 1;
            // A length of more than four octets is illegal; it will never become a packet, and the
            // full buffer then ends the connection.
            if octet & 0x80 == 0 || header > 4 {
                break;
            }
        }
        let body = octets.get(header..header + length)?;
        self.start += header + length;
        Some(Packet { first: octets[0], body })
    }
}

/// Appends a packet without body to speak of: an acknowledgement with its packet id.
pub fn acknowledge(out: &mut Vec<u8>, kind: u8, id: u16) {
    // PUBREL has a reserved flag that must be set (§3.6.1).
    let flags = if kind == PUBREL { 0b0010 } else { 0 };
    let [a, b] = id.to_be_bytes();
    out.extend_from_slice(&[kind << 4 | flags, 2, a, b]);
}

/// Appends a PUBLISH; `id` is left out at QoS 0.
pub fn publish(out: &mut Vec<u8>, qos: u8, id: u16, topic: &[u8], payload: &[u8]) {
    let length = 2 + topic.len() + if qos == 0 { 0 } else { 2 } + payload.len();
    out.push(PUBLISH << 4 | qos << 1);
    remaining_length(out, length);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic);
    if qos != 0 {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Appends first octet and remaining length.
pub fn header(out: &mut Vec<u8>, kind: u8, length: usize) {
    out.push(kind << 4);
    remaining_length(out, length);
}

fn remaining_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}
