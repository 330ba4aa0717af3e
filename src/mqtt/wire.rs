//! The packets of the hot path as borrowed views and as a few octets: PUBLISH and the four
//! acknowledgements, MQTT 3.1.1 §2–§3.7 and 5 §2–§3.7. Everything rare goes through rumqttc's
//! packet types, see `wire_v4` and `wire_v5`.

use std::io::Write;

use bytes::BytesMut;

use super::aliases::Alias;
use crate::core::upstream::MqttQos;

/// The protocol that one connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    V4,
    V5,
}

/// Packet types, the high half of the first octet.
pub(super) mod kind {
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBACK: u8 = 9;
    pub const UNSUBACK: u8 = 11;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
}

/// First octets of what we send.
pub(super) mod first {
    pub const PUBLISH: u8 = 0x30;
    pub const PUBACK: u8 = 0x40;
    pub const PUBREC: u8 = 0x50;
    pub const PUBREL: u8 = 0x62;
    pub const PUBCOMP: u8 = 0x70;
}

/// Largest remaining length, four octets of seven bits (MQTT 3.1.1 §2.2.3).
const MAX_REMAINING: usize = 268_435_455;

/// What is wrong with a packet, for the error that a user reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed(pub &'static str);

/// Fixed header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// Type and flags.
    pub first: u8,
    /// Octets of the fixed header, 2..=5.
    pub header: usize,
    /// Remaining length.
    pub remaining: usize,
}

impl Header {
    /// Type, the high half of the first octet.
    pub(super) fn kind(self) -> u8 {
        self.first >> 4
    }

    /// Flags, the low half of the first octet.
    pub(super) fn flags(self) -> u8 {
        self.first & 0x0F
    }

    /// Octets of the whole packet.
    pub(super) fn length(self) -> usize {
        self.header.saturating_add(self.remaining)
    }
}

/// Reads a fixed header; `None` if there is not enough of it yet.
pub(super) fn header(input: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    match varint(rest) {
        Ok((remaining, used)) => Ok(Some(Header {
            first,
            header: used.saturating_add(1),
            remaining: remaining as usize,
        })),
        Err(_) if rest.len() < 4 => Ok(None),
        Err(_) => Err(Malformed("a remaining length of more than four octets")),
    }
}

/// A variable byte integer and the number of its octets.
fn varint(input: &[u8]) -> Result<(u32, usize), Malformed> {
    let mut value = 0_u32;
    for (position, &octet) in input.iter().take(4).enumerate() {
        value |= u32::from(octet & 0x7F) << (7 * position);
        if octet & 0x80 == 0 {
            return Ok((value, position + 1));
        }
    }
    Err(Malformed("a variable byte integer that does not end"))
}

/// Cuts fields off the front of a packet.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) =
            self.0.split_at_checked(length).ok_or(Malformed("a field longer than its packet"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&value, rest) = self.0.split_first().ok_or(Malformed("a packet that ends early"))?;
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        let (head, rest) =
            self.0.split_first_chunk::<2>().ok_or(Malformed("a packet that ends early"))?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*head))
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn varint(&mut self) -> Result<u32, Malformed> {
        let (value, used) = varint(self.0)?;
        self.take(used)?;
        Ok(value)
    }

    /// A packet id, which is never zero (MQTT 3.1.1 §2.3.1).
    pub(super) fn packet_id(&mut self) -> Result<u16, Malformed> {
        match self.u16()? {
            0 => Err(Malformed("packet id 0")),
            id => Ok(id),
        }
    }

    /// The properties of an MQTT 5 packet, unread.
    pub(super) fn properties(&mut self) -> Result<Reader<'a>, Malformed> {
        let length = self.varint()?;
        Ok(Reader(self.take(length as usize)?))
    }
}

/// A PUBLISH from the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Publish<'a> {
    pub qos: MqttQos,
    pub retain: bool,
    pub topic: &'a str,
    /// Message Expiry Interval, seconds.
    pub expiry: Option<u32>,
    /// 0 at QoS 0.
    pub id: u16,
    pub payload: &'a [u8],
}

/// The head of a PUBLISH: everything in front of the properties and the payload.
pub(super) fn publish_head<'a>(
    first: u8,
    reader: &mut Reader<'a>,
) -> Result<(MqttQos, u16, &'a [u8]), Malformed> {
    let qos = match first >> 1 & 3 {
        0 => MqttQos::Zero,
        1 => MqttQos::One,
        2 => MqttQos::Two,
        _ => return Err(Malformed("a PUBLISH at QoS 3")),
    };
    let topic = reader.binary()?;
    let id = if qos == MqttQos::Zero { 0 } else { reader.packet_id()? };
    Ok((qos, id, topic))
}

/// Reads a PUBLISH. The subscription identifiers replace what is in `subscription_ids`.
///
/// DUP at QoS 0 is tolerated: brokers that copy the publisher's flags are in use.
pub(super) fn publish<'a>(
    protocol: Protocol,
    first: u8,
    body: &'a [u8],
    subscription_ids: &mut Vec<u32>,
) -> Result<Publish<'a>, Malformed> {
    let mut reader = Reader(body);
    let (qos, id, topic) = publish_head(first, &mut reader)?;
    let topic =
        std::str::from_utf8(topic).map_err(|_| Malformed("a topic name that is not UTF-8"))?;
    subscription_ids.clear();
    let mut expiry = None;
    if protocol == Protocol::V5 {
        let mut properties = reader.properties()?;
        while !properties.0.is_empty() {
            publish_property(&mut properties, subscription_ids, &mut expiry)?;
        }
    }
    // An empty topic would need a topic alias, and we allow none.
    if !is_topic_name(topic) {
        return Err(Malformed("a topic name that is empty or has a wildcard or NUL in it"));
    }
    Ok(Publish { qos, retain: first & 1 == 1, topic, expiry, id, payload: reader.0 })
}

/// One property of a PUBLISH (MQTT 5 §3.3.2.3).
fn publish_property(
    properties: &mut Reader<'_>,
    subscription_ids: &mut Vec<u32>,
    expiry: &mut Option<u32>,
) -> Result<(), Malformed> {
    match properties.u8()? {
        // Payload format indicator.
        0x01 => properties.u8().map(drop),
        0x02 => {
            let seconds = properties.take(4)?.try_into().map(u32::from_be_bytes);
            *expiry = seconds.ok();
            Ok(())
        }
        // Content type, response topic, correlation data.
        0x03 | 0x08 | 0x09 => properties.binary().map(drop),
        0x0B => match properties.varint()? {
            0 => Err(Malformed("subscription identifier 0")),
            id => {
                subscription_ids.push(id);
                Ok(())
            }
        },
        0x23 => Err(Malformed("a topic alias although none is allowed")),
        0x26 => {
            properties.binary()?;
            properties.binary().map(drop)
        }
        _ => Err(Malformed("a property that a PUBLISH does not have")),
    }
}

/// Reads PUBACK, PUBREC, PUBREL or PUBCOMP: packet id, reason code, 0 in MQTT 3.1.1, and the reason
/// string, empty if there is none.
pub(super) fn acknowledgement(
    protocol: Protocol,
    body: &[u8],
) -> Result<(u16, u8, &str), Malformed> {
    let mut reader = Reader(body);
    let id = reader.packet_id()?;
    let (mut reason, mut said) = (0, "");
    if protocol == Protocol::V5 && !reader.0.is_empty() {
        reason = reader.u8()?;
        if !reader.0.is_empty() {
            said = reason_string(reader.properties()?);
        }
    }
    if reader.0.is_empty() {
        Ok((id, reason, said))
    } else {
        Err(Malformed("an acknowledgement with octets left over"))
    }
}

/// The reason string among properties; empty if there is none, or they cannot be read.
pub(super) fn reason_string(mut properties: Reader<'_>) -> &str {
    loop {
        let said = match properties.u8() {
            Ok(0x1F) => properties.binary().ok().and_then(|said| std::str::from_utf8(said).ok()),
            // User property.
            Ok(0x26) if properties.binary().is_ok() && properties.binary().is_ok() => continue,
            _ => None,
        };
        return said.unwrap_or_default();
    }
}

/// Appends a user property (MQTT 5 §3.3.2.3.7). What is too long for one is cut.
pub fn put_user_property(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0x26);
    for text in [name, value] {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// As [`put_user_property`], with a number in decimal digits.
pub fn put_user_number(out: &mut Vec<u8>, name: &str, value: i16) {
    let mut digits = [0; 6];
    let mut rest = digits.as_mut_slice();
    // The longest, "-32768", fits.
    let _ = write!(rest, "{value}");
    let spare = rest.len();
    let digits = digits.get(..digits.len() - spare).unwrap_or_default();
    put_user_property(out, name, std::str::from_utf8(digits).unwrap_or_default());
}

/// Whether this can stand in a PUBLISH (MQTT 3.1.1 §4.7.1, §4.7.3).
pub(super) fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= usize::from(u16::MAX)
        && !topic.bytes().any(|octet| matches!(octet, 0 | b'#' | b'+'))
}

/// Octets of a whole PUBLISH; `None` if MQTT cannot express one of that size.
pub(super) fn publish_length(
    protocol: Protocol,
    qos: MqttQos,
    topic: usize,
    payload: usize,
) -> Option<usize> {
    let remaining = publish_remaining(protocol, qos, topic, payload);
    let octets = match remaining {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        2_097_152..=MAX_REMAINING => 4,
        _ => return None,
    };
    Some(1 + octets + remaining)
}

fn publish_remaining(protocol: Protocol, qos: MqttQos, topic: usize, payload: usize) -> usize {
    let id = if qos == MqttQos::Zero { 0 } else { 2 };
    let properties = usize::from(protocol == Protocol::V5);
    topic.saturating_add(payload).saturating_add(2 + id + properties)
}

/// What [`put_publish`] writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub dup: bool,
    pub qos: MqttQos,
    pub retain: bool,
    /// Ignored at QoS 0.
    pub id: u16,
    pub topic: &'a [u8],
    pub payload: &'a [u8],
    /// MQTT 5.
    pub alias: Alias,
    /// Properties, as they are written; MQTT 5.
    pub properties: &'a [u8],
}

/// Appends a PUBLISH. The caller has checked the topic name and, with [`publish_length`], the
/// size.
pub(super) fn put_publish(output: &mut BytesMut, protocol: Protocol, publish: Outgoing<'_>) {
    let Outgoing { dup, qos, retain, id, topic, payload, alias, properties } = publish;
    let topic = if let Alias::Known(_) = alias { &[] } else { topic };
    let mut remaining = publish_remaining(protocol, qos, topic.len(), payload.len());
    let five = protocol == Protocol::V5;
    let length = properties.len() + if alias == Alias::None { 0 } else { 3 };
    if five {
        // One octet for their length is in it already.
        remaining += length + usize::from(length >= 128) + usize::from(length >= 16_384);
    }
    output.reserve(5 + remaining);
    let first = first::PUBLISH | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain);
    put_header(output, first, remaining);
    output.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
    output.extend_from_slice(topic);
    let [high, low] = id.to_be_bytes();
    if qos != MqttQos::Zero {
        output.extend_from_slice(&[high, low]);
    }
    if five {
        put_length(output, length);
        if let Alias::New(number) | Alias::Known(number) = alias {
            let [high, low] = number.to_be_bytes();
            output.extend_from_slice(&[0x23, high, low]);
        }
        output.extend_from_slice(properties);
    }
    output.extend_from_slice(payload);
}

/// Appends a fixed header.
fn put_header(output: &mut BytesMut, first: u8, remaining: usize) {
    output.extend_from_slice(&[first]);
    put_length(output, remaining);
}

/// Appends a length (MQTT 3.1.1 §2.2.3, MQTT 5 §1.5.5).
fn put_length(output: &mut BytesMut, length: usize) {
    #[expect(clippy::cast_possible_truncation, reason = "seven bits of it are taken each time")]
    let septet = |shift: u32| (length >> shift) as u8;
    match length {
        0..128 => output.extend_from_slice(&[septet(0)]),
        128..16_384 => output.extend_from_slice(&[septet(0) | 0x80, septet(7)]),
        16_384..2_097_152 => {
            output.extend_from_slice(&[septet(0) | 0x80, septet(7) | 0x80, septet(14)]);
        }
        _ => output.extend_from_slice(&[
            septet(0) | 0x80,
            septet(7) | 0x80,
            septet(14) | 0x80,
            septet(21) & 0x7F,
        ]),
    }
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP in its short form, which is the same in both
/// versions; a reason code other than success is written in MQTT 5 only.
pub(super) fn put_acknowledgement(
    output: &mut BytesMut,
    protocol: Protocol,
    first: u8,
    id: u16,
    reason: u8,
) {
    let [high, low] = id.to_be_bytes();
    if protocol == Protocol::V5 && reason != 0 {
        output.extend_from_slice(&[first, 3, high, low, reason]);
    } else {
        output.extend_from_slice(&[first, 2, high, low]);
    }
}

/// Appends a PINGREQ.
pub(super) fn put_pingreq(output: &mut BytesMut) {
    output.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT; a reason other than normal is written in MQTT 5 only, since in 3.1.1
/// every DISCONNECT is a normal one.
pub(super) fn put_disconnect(output: &mut BytesMut, protocol: Protocol, reason: u8) {
    match (protocol, reason) {
        (_, 0) => output.extend_from_slice(&[0xE0, 0]),
        (Protocol::V5, reason) => output.extend_from_slice(&[0xE0, 1, reason]),
        (Protocol::V4, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(protocol: Protocol, publish: Outgoing<'_>) -> BytesMut {
        let mut output = BytesMut::new();
        put_publish(&mut output, protocol, publish);
        output
    }

    const EXAMPLE: Outgoing<'_> = Outgoing {
        dup: false,
        qos: MqttQos::One,
        retain: true,
        id: 0x1234,
        topic: b"a/b",
        payload: b"xyz",
        alias: Alias::None,
        properties: &[],
    };

    #[test]
    fn a_publish_has_the_octets_of_the_specification() {
        let zero = Outgoing { qos: MqttQos::Zero, retain: false, ..EXAMPLE };
        assert_eq!(put(Protocol::V4, zero)[..], *b"\x30\x08\0\x03a/bxyz");
        assert_eq!(put(Protocol::V5, zero)[..], *b"\x30\x09\0\x03a/b\0xyz");
        assert_eq!(put(Protocol::V4, EXAMPLE)[..], *b"\x33\x0A\0\x03a/b\x12\x34xyz");
        let again = Outgoing { qos: MqttQos::Two, dup: true, ..EXAMPLE };
        assert_eq!(put(Protocol::V5, again)[..], *b"\x3D\x0B\0\x03a/b\x12\x34\0xyz");
    }

    #[test]
    fn what_is_put_is_read_back_at_every_length_of_the_length() {
        for size in [0, 1, 100, 118, 119, 16_000, 16_375, 16_376, 2_097_142, 2_097_143, 2_100_000] {
            for protocol in [Protocol::V4, Protocol::V5] {
                let payload = vec![7; size];
                let output = put(protocol, Outgoing { payload: &payload, ..EXAMPLE });
                let header = header(&output).unwrap().unwrap();
                assert_eq!(header.length(), output.len());
                assert_eq!(
                    publish_length(protocol, MqttQos::One, 3, size),
                    Some(output.len()),
                    "{size}"
                );
                let read =
                    publish(protocol, header.first, &output[header.header..], &mut Vec::new());
                let read = read.unwrap();
                assert_eq!((read.topic, read.id, read.retain), ("a/b", 0x1234, true));
                assert_eq!(read.payload, payload);
            }
        }
        assert_eq!(publish_length(Protocol::V4, MqttQos::Zero, 3, MAX_REMAINING), None);
    }

    #[test]
    fn a_header_waits_for_its_octets_and_refuses_a_fifth() {
        assert_eq!(header(&[]), Ok(None));
        assert_eq!(header(&[0x30]), Ok(None));
        assert_eq!(header(&[0x30, 0xFF, 0xFF, 0xFF]), Ok(None));
        assert!(header(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        let largest = header(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).unwrap().unwrap();
        assert_eq!((largest.remaining, largest.header), (MAX_REMAINING, 5));
    }

    #[test]
    fn bad_publishes_are_refused() {
        let mut ids = Vec::new();
        let mut read = |protocol, first, body: &[u8]| {
            publish(protocol, first, body, &mut ids).map(|_| ()).is_err()
        };
        for (first, body) in [
            (0x36, &b"\0\x01a\0\x01"[..]), // QoS 3
            (0x30, b"\0\x02a"),            // topic longer than the packet
            (0x30, b"\0"),
            (0x30, b"\0\0"), // empty
            (0x30, b"\0\x01#"),
            (0x30, b"\0\x03a/+"),
            (0x30, b"\0\x02a\0"),
            (0x30, b"\0\x02\xC3\x28"), // not UTF-8
            (0x32, b"\0\x01a\0\0"),    // packet id 0
            (0x32, b"\0\x01a\0"),
        ] {
            assert!(read(Protocol::V4, first, body), "{body:02x?}");
        }
        for properties in [
            &b""[..],
            b"\x80",
            b"\x02\x0B\0",      // subscription identifier 0
            b"\x03\x23\0\x01",  // topic alias
            b"\x02\x11\0",      // not a property of PUBLISH
            b"\x04\x26\0\x01a", // cut
            b"\x05\x02\0\0\0",  // properties longer than the packet
        ] {
            let body = [b"\0\x01a", properties].concat();
            assert!(read(Protocol::V5, 0x30, &body), "{body:02x?}");
        }
    }

    #[test]
    fn properties_are_passed_over_and_subscription_identifiers_kept() {
        let properties = b"\x01\x01\x02\0\0\0\x09\x03\0\x01t\x08\0\x01r\x09\0\x01c\x0B\x05\
            \x26\0\x01k\0\x01v\x0B\x80\x01";
        let mut body = b"\0\x01a".to_vec();
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend_from_slice(properties);
        body.extend_from_slice(b"payload");
        let mut ids = vec![99];
        let read = publish(Protocol::V5, 0x30, &body, &mut ids).unwrap();
        assert_eq!(read.payload, b"payload");
        assert_eq!(ids, [5, 128]);
    }

    #[test]
    fn acknowledgements_have_three_forms_in_mqtt_5_and_one_before() {
        fn v5(body: &[u8]) -> Result<(u16, u8, &str), Malformed> {
            acknowledgement(Protocol::V5, body)
        }
        assert_eq!(v5(&[0, 7]), Ok((7, 0, "")));
        assert_eq!(v5(&[0, 7, 0x97]), Ok((7, 0x97, "")));
        assert_eq!(v5(&[0, 7, 0x10, 0]), Ok((7, 0x10, "")));
        assert_eq!(v5(&[0, 7, 0x10, 4, 0x1F, 0, 1, b'x']), Ok((7, 0x10, "x")));
        let both = b"\0\x07\x10\x0B\x26\0\x01a\0\x01b\x1F\0\x01x";
        assert_eq!(v5(both), Ok((7, 0x10, "x")));
        for bad in [&[0, 0][..], &[0], &[0, 7, 0, 1], &[0, 7, 0, 0, 0]] {
            assert!(v5(bad).is_err(), "{bad:?}");
        }
        assert_eq!(acknowledgement(Protocol::V4, &[0, 7]), Ok((7, 0, "")));
        assert!(acknowledgement(Protocol::V4, &[0, 7, 0]).is_err());
    }
}
