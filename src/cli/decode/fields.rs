//! A datagram field by field, as far as it goes: also one that is malformed.

use crate::cli::explain::{hex, return_code, text};
use crate::codec::{ReturnCode, type_name};

/// One field: where it begins, its octets, and what they mean.
pub(super) struct Field<'a> {
    pub(super) offset: usize,
    pub(super) octets: &'a [u8],
    pub(super) words: String,
}

/// Most octets of a field that are shown in hex.
const MOST_SHOWN: usize = 8;

impl Field<'_> {
    /// The field in one line: offset, octets, meaning.
    pub(super) fn line(&self) -> String {
        let shown = self.octets.get(..MOST_SHOWN).unwrap_or(self.octets);
        let more = if shown.len() < self.octets.len() { "…" } else { "" };
        format!("{:>5}  {:<25}  {}", self.offset, hex(shown) + more, self.words)
    }
}

/// The fields of a datagram, in order (MQTT-SN 1.2 §5.2 to §5.5).
pub(super) fn fields(datagram: &[u8]) -> Vec<Field<'_>> {
    let mut walker = Walker { datagram, offset: 0, fields: Vec::new() };
    walker.message(true);
    if walker.offset < datagram.len() {
        walker.rest("octets after the end of the message");
    }
    walker.fields
}

struct Walker<'a> {
    datagram: &'a [u8],
    offset: usize,
    fields: Vec<Field<'a>>,
}

impl<'a> Walker<'a> {
    /// Takes `count` octets. If there are fewer, says so and takes what is there.
    fn take(&mut self, count: usize, name: &str) -> Option<&'a [u8]> {
        let rest = self.datagram.get(self.offset..).unwrap_or(&[]);
        if let Some(octets) = rest.get(..count) {
            return Some(octets);
        }
        self.push(rest, format!("{name}: missing, {} of {count} octets are there", rest.len()));
        None
    }

    fn push(&mut self, octets: &'a [u8], words: String) {
        self.fields.push(Field { offset: self.offset, octets, words });
        self.offset += octets.len();
    }

    fn octet(&mut self, name: &str, words: impl FnOnce(u8) -> String) -> Option<u8> {
        let octets = self.take(1, name)?;
        let value = octets.first().copied()?;
        self.push(octets, format!("{name}: {}", words(value)));
        Some(value)
    }

    fn word(&mut self, name: &str, words: impl FnOnce(u16) -> String) {
        let Some(octets) = self.take(2, name) else { return };
        let value = octets.iter().fold(0, |value, octet| value << 8 | u16::from(*octet));
        self.push(octets, format!("{name}: {}", words(value)));
    }

    fn number(&mut self, name: &str) {
        self.word(name, |value| format!("{value} (0x{value:04X})"));
    }

    fn seconds(&mut self, name: &str) {
        self.word(name, |value| format!("{value} s"));
    }

    fn rest(&mut self, name: &str) {
        let octets = self.datagram.get(self.offset..).unwrap_or(&[]);
        let words = if octets.is_empty() { "empty".to_owned() } else { text(octets) };
        self.push(octets, format!("{name}: {words}"));
    }

    fn code(&mut self) {
        self.octet("ReturnCode", |code| return_code(ReturnCode(code)));
    }

    /// Length, MsgType and what the type has.
    fn message(&mut self, outer: bool) {
        let first = self.datagram.get(self.offset).copied();
        let available = self.datagram.len().saturating_sub(self.offset);
        let long = first == Some(1);
        let (count, form) = if long { (3, "long") } else { (1, "short") };
        let Some(octets) = self.take(count, "Length") else { return };
        let value = octets.get(usize::from(long)..).unwrap_or(&[]);
        let length = value.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        let encapsulated = self.datagram.get(self.offset + count) == Some(&0xFE);
        let wrong = match encapsulated {
            false if length != available => format!(", but {available} octets are there"),
            _ => String::new(),
        };
        self.push(octets, format!("Length: {length}, {form} form{wrong}"));
        let Some(code) = self.octet("MsgType", |code| match type_name(code) {
            Some(name) => format!("{name} (0x{code:02X})"),
            None => format!("reserved (0x{code:02X})"),
        }) else {
            return;
        };
        match type_name(code) {
            Some(_) if encapsulated && outer && !long => self.forwarder(length),
            Some(name) if !encapsulated => self.body(name),
            _ => {}
        }
    }

    fn forwarder(&mut self, length: usize) {
        if self.octet("Ctrl", |ctrl| format!("radius {}", ctrl & 3)).is_none() {
            return;
        }
        let Some(octets) = self.take(length.saturating_sub(3), "WirelessNodeId") else { return };
        let words = format!("WirelessNodeId, {} octets", octets.len());
        self.push(octets, words);
        self.message(false);
    }

    fn body(&mut self, name: &str) {
        let empty = self.offset == self.datagram.len();
        match name {
            "ADVERTISE" => {
                self.octet("GwId", |id| id.to_string());
                self.seconds("Duration");
            }
            "SEARCHGW" => {
                self.octet("Radius", |radius| radius.to_string());
            }
            "GWINFO" => {
                self.octet("GwId", |id| id.to_string());
                if self.offset < self.datagram.len() {
                    self.rest("GwAdd");
                }
            }
            "CONNECT" => {
                self.octet("Flags", |flags| {
                    named_bits(flags, &[(0x08, "Will"), (0x04, "CleanSession")], false)
                });
                self.octet("ProtocolId", |id| id.to_string());
                self.seconds("Duration");
                self.rest("ClientId");
            }
            "CONNACK" | "WILLTOPICRESP" | "WILLMSGRESP" => self.code(),
            "WILLTOPIC" | "WILLTOPICUPD" if empty => {}
            "WILLTOPIC" | "WILLTOPICUPD" => {
                self.octet("Flags", |flags| named_bits(flags, &[(0x10, "Retain")], true));
                self.rest("WillTopic");
            }
            "WILLMSG" | "WILLMSGUPD" => self.rest("WillMsg"),
            "REGISTER" => {
                self.number("TopicId");
                self.number("MsgId");
                self.rest("TopicName");
            }
            "REGACK" | "PUBACK" => {
                self.number("TopicId");
                self.number("MsgId");
                self.code();
            }
            "PUBLISH" => self.publish(),
            "PUBCOMP" | "PUBREC" | "PUBREL" | "UNSUBACK" => self.number("MsgId"),
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.subscribe(name == "SUBSCRIBE"),
            "SUBACK" => {
                self.octet("Flags", |flags| named_bits(flags, &[], true));
                self.number("TopicId");
                self.number("MsgId");
                self.code();
            }
            "PINGREQ" if !empty => self.rest("ClientId"),
            "DISCONNECT" if !empty => self.seconds("Duration"),
            _ => {}
        }
    }

    fn publish(&mut self) {
        let bits = [(0x80, "DUP"), (0x10, "Retain")];
        let flags = self.octet("Flags", |flags| with_kind(named_bits(flags, &bits, true), flags));
        match flags.map(|flags| flags & 3) {
            Some(0) => self.number("TopicId"),
            Some(1) => self.number("TopicId, predefined"),
            Some(2) => self.short(),
            Some(_) => self.number("Topic field"),
            None => return,
        }
        self.number("MsgId");
        self.rest("Data");
    }

    fn subscribe(&mut self, with_qos: bool) {
        let bits: &[(u8, &str)] = if with_qos { &[(0x80, "DUP")] } else { &[] };
        let flags =
            self.octet("Flags", |flags| with_kind(named_bits(flags, bits, with_qos), flags));
        self.number("MsgId");
        match flags.map(|flags| flags & 3) {
            Some(0) => self.rest("TopicName"),
            Some(1) => self.number("TopicId, predefined"),
            Some(2) => self.short(),
            Some(_) => self.rest("Topic field"),
            None => {}
        }
    }

    fn short(&mut self) {
        let Some(octets) = self.take(2, "Short topic name") else { return };
        self.push(octets, format!("Short topic name: {}", text(octets)));
    }
}

/// The bits of Flags (MQTT-SN 1.2 §5.3.4) that are set.
fn named_bits(flags: u8, bits: &[(u8, &str)], with_qos: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    if with_qos {
        let qos = ["QoS 0", "QoS 1", "QoS 2", "QoS -1"];
        words.extend(qos.get(usize::from(flags >> 5 & 3)).map(|qos| (*qos).to_owned()));
    }
    words.extend(
        bits.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()),
    );
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn with_kind(words: String, flags: u8) -> String {
    let kind = match flags & 3 {
        0 => "normal topic",
        1 => "predefined topic id",
        2 => "short topic name",
        _ => "reserved topic id type",
    };
    if words == "none" { kind.to_owned() } else { format!("{words}, {kind}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(datagram: &[u8]) -> Vec<String> {
        fields(datagram)
            .iter()
            .map(|field| format!("{}+{} {}", field.offset, field.octets.len(), field.words))
            .collect()
    }

    #[test]
    fn a_publish_has_these_fields() {
        assert_eq!(
            words(b"\x0B\x0C\xB0\x00\x11\x00\x0221.5"),
            [
                "0+1 Length: 11, short form",
                "1+1 MsgType: PUBLISH (0x0C)",
                "2+1 Flags: QoS 1, DUP, Retain, normal topic",
                "3+2 TopicId: 17 (0x0011)",
                "5+2 MsgId: 2 (0x0002)",
                "7+4 Data: \"21.5\"",
            ]
        );
    }

    #[test]
    fn an_encapsulated_message_is_shown_with_its_header() {
        assert_eq!(
            words(b"\x05\xFE\x01\x12\x34\x02\x16"),
            [
                "0+1 Length: 5, short form",
                "1+1 MsgType: encapsulated message (0xFE)",
                "2+1 Ctrl: radius 1",
                "3+2 WirelessNodeId, 2 octets",
                "5+1 Length: 2, short form",
                "6+1 MsgType: PINGREQ (0x16)",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            words(b"\x06\x0D\x00\x11\x00\x02").last().unwrap(),
            "6+0 ReturnCode: missing, 0 of 1 octets are there"
        );
        assert_eq!(
            words(b"\x01\x00").last().unwrap(),
            "0+2 Length: missing, 2 of 3 octets are there"
        );
        assert!(words(b"").last().unwrap().contains("missing"));
        assert!(words(b"\x02\x16\xFF")[0].contains("but 3 octets are there"));
        assert_eq!(words(b"\x03\x17\x00")[2], "2+1 octets after the end of the message: 00");
    }

    #[test]
    fn every_octet_belongs_to_one_field_whatever_comes() {
        let mut seed = 0x1234_5678_9ABC_DEF0_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..50_000 {
            let length = (next() % 20) as usize;
            let mut datagram: Vec<u8> = (0..length).map(|_| next() as u8).collect();
            if length > 2 && next() % 2 == 0 {
                datagram[0] = length as u8;
                datagram[1] = (next() % 32) as u8;
            }
            let fields = fields(&datagram);
            let mut offset = 0;
            for field in &fields {
                assert_eq!(field.offset, offset);
                offset += field.octets.len();
            }
            assert_eq!(offset, datagram.len());
        }
    }
}
