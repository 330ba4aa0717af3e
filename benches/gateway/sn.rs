//! The few MQTT-SN 1.2 packets that the load sends and the relay answers, as octets.
//!
//! Written by hand so that the measuring side shares no code with what it measures.

/// MsgType values (§5.2.2).
pub const CONNECT: u8 = 0x04;
pub const CONNACK: u8 = 0x05;
pub const REGISTER: u8 = 0x0A;
pub const REGACK: u8 = 0x0B;
pub const PUBLISH: u8 = 0x0C;
pub const PUBACK: u8 = 0x0D;
pub const PUBCOMP: u8 = 0x0E;
pub const PUBREC: u8 = 0x0F;
pub const PUBREL: u8 = 0x10;
pub const SUBSCRIBE: u8 = 0x12;
pub const SUBACK: u8 = 0x13;
pub const PINGREQ: u8 = 0x16;
pub const PINGRESP: u8 = 0x17;
pub const DISCONNECT: u8 = 0x18;

const FLAG_DUP: u8 = 0x80;
const FLAG_CLEAN: u8 = 0x04;
const ACCEPTED: u8 = 0x00;

/// Keep-alive of every device, seconds: longer than any case, so that no ping is due meanwhile.
const KEEP_ALIVE: u16 = 600;

/// MsgType and the octets after it; `None` for the long form, which nothing here uses, and for a
/// datagram that does not have the length it claims.
pub fn split(datagram: &[u8]) -> Option<(u8, &[u8])> {
    match datagram {
        [length, kind, body @ ..] if usize::from(*length) == datagram.len() => Some((*kind, body)),
        _ => None,
    }
}

/// A 16-bit field at `offset` of a body.
pub fn field(body: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*body.get(offset)?, *body.get(offset + 1)?]))
}

/// QoS bits of a flags octet, 0..=3.
pub fn qos(flags: u8) -> u8 {
    (flags >> 5) & 0b11
}

fn packet(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    debug_assert!(length <= 255, "short form only");
    out.clear();
    out.extend_from_slice(&[length as u8, kind]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub fn connect(out: &mut Vec<u8>, client_id: &str) {
    connect_with(out, client_id, true, KEEP_ALIVE);
}

pub fn connect_with(out: &mut Vec<u8>, client_id: &str, clean: bool, keep_alive: u16) {
    let ([high, low], flags) = (keep_alive.to_be_bytes(), if clean { FLAG_CLEAN } else { 0 });
    packet(out, CONNECT, &[&[flags, 0x01, high, low], client_id.as_bytes()]);
}

pub fn connack(out: &mut Vec<u8>) {
    packet(out, CONNACK, &[&[ACCEPTED]]);
}

pub fn register(out: &mut Vec<u8>, message_id: u16, topic: &str) {
    packet(out, REGISTER, &[&[0, 0], &message_id.to_be_bytes(), topic.as_bytes()]);
}

pub fn regack(out: &mut Vec<u8>, topic_id: u16, message_id: u16) {
    packet(out, REGACK, &[&topic_id.to_be_bytes(), &message_id.to_be_bytes(), &[ACCEPTED]]);
}

pub fn subscribe(out: &mut Vec<u8>, message_id: u16, qos: u8, filter: &str) {
    packet(out, SUBSCRIBE, &[&[qos << 5], &message_id.to_be_bytes(), filter.as_bytes()]);
}

pub fn suback(out: &mut Vec<u8>, flags: u8, topic_id: u16, message_id: u16) {
    packet(
        out,
        SUBACK,
        &[&[flags], &topic_id.to_be_bytes(), &message_id.to_be_bytes(), &[ACCEPTED]],
    );
}

/// What a PUBLISH says besides its payload.
#[derive(Clone, Copy)]
pub struct Publish {
    pub qos: u8,
    pub duplicate: bool,
    pub topic_id: u16,
    /// 0 at QoS 0.
    pub message_id: u16,
}

pub fn publish(out: &mut Vec<u8>, header: Publish, payload: &[u8]) {
    let flags = header.qos << 5 | if header.duplicate { FLAG_DUP } else { 0 };
    packet(
        out,
        PUBLISH,
        &[&[flags], &header.topic_id.to_be_bytes(), &header.message_id.to_be_bytes(), payload],
    );
}

/// PINGREQ with a client id: a sleeper that collects what waits for it.
pub fn wake(out: &mut Vec<u8>, client_id: &str) {
    packet(out, PINGREQ, &[client_id.as_bytes()]);
}

/// DISCONNECT with a duration in seconds: good night.
pub fn sleep(out: &mut Vec<u8>, duration: u16) {
    packet(out, DISCONNECT, &[&duration.to_be_bytes()]);
}

pub fn puback(topic_id: u16, message_id: u16) -> [u8; 7] {
    let ([a, b], [c, d]) = (topic_id.to_be_bytes(), message_id.to_be_bytes());
    [7, PUBACK, a, b, c, d, ACCEPTED]
}

/// PUBREC, PUBREL or PUBCOMP.
pub fn handshake(kind: u8, message_id: u16) -> [u8; 4] {
    let [a, b] = message_id.to_be_bytes();
    [4, kind, a, b]
}
