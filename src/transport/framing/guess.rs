//! Which framing a line has, by what was on it.

use super::Framing;
use super::pieces::{Frame, What, pieces};
use crate::codec::{Message, Subscribe, SubscribeTopic, decode};

/// A framing that fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Guess {
    /// Which.
    pub framing: Framing,
    /// How many of a hundred octets it explains.
    pub percent: u8,
}

/// Longest packet that is believed, octets.
const LONGEST: usize = 1_024;
/// A framing that explains less is none.
const ENOUGH: usize = 50;

/// Bits of evidence: what an octet with one right value is worth.
const TYPE: u32 = 8;
/// In any octets packets are found that are none. So much is not found by chance.
const CERTAIN: u32 = 32;

/// The framing that puts most octets into frames with valid MQTT-SN packets; `None` if there is none
/// that explains at least half of them. Some hundred octets are enough.
#[must_use]
pub fn guess(octets: &[u8]) -> Option<Guess> {
    let mut best: Option<Guess> = None;
    // Line ends of a text look like types of packets, and its lines repeat.
    if octets.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n')) {
        return None;
    }
    for (_, framing) in Framing::WORDS {
        let percent = explained(framing, octets);
        if percent >= ENOUGH && best.is_none_or(|best| percent > usize::from(best.percent)) {
            // It is 100 at most.
            best = u8::try_from(percent).ok().map(|percent| Guess { framing, percent });
        }
    }
    best
}

/// How many of a hundred octets are in good frames.
fn explained(framing: Framing, octets: &[u8]) -> usize {
    let of_frame = frame_evidence(framing);
    let (mut good, mut longest) = (0, 0);
    // Since the last octets that are no good frame, if nothing else tells where one is.
    let (mut row, mut bits) = (0, 0);
    let (mut begin, mut end) = (0, 0);
    pieces(framing, LONGEST, octets, &mut |piece| {
        match &piece.what {
            What::Frame(frame) if let Some(found) = evidence(frame) => {
                row += piece.length;
                bits += found + of_frame;
                longest = longest.max(piece.length);
                if bits >= CERTAIN || row == octets.len() {
                    good += std::mem::take(&mut row);
                }
                return;
            }
            What::Rest => end = piece.length,
            _ if piece.at == 0 => begin = piece.length,
            _ => {}
        }
        if of_frame == 0 {
            (row, bits) = (0, 0);
        }
    });
    // A capture may begin and end within a frame.
    let whole = octets.len().saturating_sub(begin.min(longest)).saturating_sub(end.min(longest));
    (good * 100).checked_div(whole).unwrap_or(0).min(100)
}

/// What a frame is worth in itself: that its packet is as long as it is, and that its checksum is
/// right. 0: nothing but the packet tells where it is.
fn frame_evidence(framing: Framing) -> u32 {
    match framing {
        Framing::Length => 0,
        Framing::Slip => 8,
        // An octet that begins it, a length and a sum; or escapes, and a CRC.
        Framing::Xbee | Framing::LoraLink => 8 + 8 + 8,
        Framing::Cobs | Framing::Hub | Framing::RhSerial | Framing::Aquila => 8 + 16,
    }
}

/// How unlikely it is that octets by chance are a frame like this: one of two to the power of so many.
/// `None` if the frame is no good one.
fn evidence(frame: &Frame) -> Option<u32> {
    let Some(packet) = &frame.packet else {
        // Between host and radio: it has a type.
        return Some(TYPE);
    };
    let packet = decode(packet).ok()?;
    let forwarder = if packet.forwarder.is_some() { TYPE } else { 0 };
    let message = match packet.message {
        Message::Subscribe(Subscribe { topic: SubscribeTopic::Name(name), .. })
        | Message::Unsubscribe { topic: SubscribeTopic::Name(name), .. } => TYPE + text(name)?,
        // Anything may follow the type.
        Message::Publish(_)
        | Message::Subscribe(_)
        | Message::Unsubscribe { .. }
        | Message::WillMsg { .. }
        | Message::WillMsgUpd { .. }
        | Message::GwInfo { .. } => TYPE,
        Message::Connect(connect) => TYPE + text(connect.client_id)?,
        Message::Register { topic, .. } => TYPE + text(topic)?,
        Message::PingReq { client_id } => TYPE + text(client_id)?,
        Message::WillTopic(Some(will)) | Message::WillTopicUpd(Some(will)) => {
            TYPE + text(will.topic)?
        }
        // Length and type say the same.
        _ => 2 * TYPE,
    };
    Some(forwarder + message)
}

/// Names are text, of which an octet is worth a bit or so. Not more than eight: text is everywhere.
fn text(octets: &[u8]) -> Option<u32> {
    let text = str::from_utf8(octets).ok()?;
    if text.contains(char::is_control) {
        return None;
    }
    u32::try_from(octets.len().min(8)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::loralink::FromModem;
    use super::super::rh_serial::Header;
    use super::super::xbee::{Manner, Mode, Node};
    use super::super::{Packing, aquila, loralink, rh_serial, xbee};
    use super::*;
    use crate::hub::{self, Address, Received};

    /// A conversation: CONNECT, CONNACK, REGISTER, REGACK, PUBLISH, PUBACK, one of them through a
    /// forwarder, one in the long form.
    fn packets() -> Vec<Vec<u8>> {
        let mut long = vec![1, 1, 44, 0x0C, 0x20, 0, 1, 0, 3];
        long.resize(300, b'x');
        [
            &b"\x0D\x04\x04\x01\x00\x3Csensor1"[..],
            b"\x03\x05\x00",
            b"\x09\x0A\x00\x00\x00\x01a/b",
            b"\x07\x0B\x00\x01\x00\x01\x00",
            b"\x05\xFE\x00\x07\xC0\x0B\x0C\x20\x00\x01\x00\x0221.5",
            b"\x07\x0D\x00\x01\x00\x02\x00",
            &long,
            b"\x07\x0D\x00\x01\x00\x03\x00",
        ]
        .map(<[u8]>::to_vec)
        .into()
    }

    /// What devices, a forwarder or a radio put on a line.
    fn line(framing: Framing) -> Vec<u8> {
        let mut line = Vec::new();
        for packet in packets() {
            match framing {
                Framing::Slip => Packing::Slip.encode(&packet, &mut line),
                Framing::Cobs => Packing::Cobs.encode(&packet, &mut line),
                Framing::Length => Packing::Length.encode(&packet, &mut line),
                Framing::Hub => hub(&packet, &mut line),
                Framing::Xbee => {
                    let from = Node { long: 0x0013_A200_40A1_B2C3, short: 0x1A2B };
                    let mut data = Vec::new();
                    xbee::write_received(from, Manner::Usual, -40, &packet, &mut data);
                    xbee::encode(Mode::Plain, &data, &mut line);
                }
                Framing::RhSerial => {
                    let header = Header { to: 1, from: 2, id: 10, flags: 0 };
                    rh_serial::encode(header, &packet, &mut line);
                }
                Framing::LoraLink => {
                    let kind = loralink::PACKET;
                    FromModem { source: 5, rssi: -60, snr: 9, kind, payload: &packet }
                        .encode(&mut line);
                }
                Framing::Aquila => {
                    let head = [0x50, 0xC0, packet.len() as u8 + 5, 0xFE, 1, 1, 0];
                    aquila::encode(&[&head[..], &packet].concat(), &mut line);
                }
            }
        }
        line
    }

    fn hub(packet: &[u8], line: &mut Vec<u8>) {
        let message = hub::Message::Received(Received {
            from: Address::new(&[5]).unwrap(),
            broadcast: false,
            rssi: Some(-71),
            lqi: None,
            packet,
        });
        let mut frame = [0; 400];
        let length = hub::encode(&message, &mut frame).unwrap();
        line.extend_from_slice(&frame[..length]);
    }

    #[test]
    fn each_framing_is_known_by_its_line() {
        for (word, framing) in Framing::WORDS {
            let line = line(framing);
            assert_eq!(guess(&line), Some(Guess { framing, percent: 100 }), "{word}");
            // From anywhere to anywhere, unless there is next to nothing.
            for (from, to) in [(3, line.len()), (0, line.len() - 5), (20, 70)] {
                let found = guess(&line[from..to.min(line.len())]);
                assert_eq!(found.map(|guess| guess.framing), Some(framing), "{word} {from} {to}");
            }
        }
    }

    #[test]
    fn a_line_that_loses_octets_is_known_too() {
        for (word, framing) in Framing::WORDS {
            let mut line: Vec<u8> = (0..4).flat_map(|_| line(framing)).collect();
            for at in [43, 500] {
                line.remove(at);
            }
            let found = guess(&line).expect(word);
            assert_eq!(found.framing, framing);
            assert!((50..100).contains(&found.percent), "{word} {found:?}");
        }
    }

    #[test]
    fn one_packet_is_enough_if_nothing_else_is_there() {
        let slip = guess(&[0xC0, 2, 0x16, 0xC0]).unwrap();
        assert_eq!((slip.framing, slip.percent), (Framing::Slip, 100));
        assert_eq!(guess(&[2, 0x16]).unwrap().framing, Framing::Length);
        assert_eq!(guess(&[]), None);
        assert_eq!(guess(&[0xC0]), None);
    }

    #[test]
    fn what_is_something_else_is_not_guessed() {
        let text = b"ets Jun  8 2016 00:22:57\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\nready\r\n";
        assert_eq!(guess(text), None);
        for words in 1..20 {
            let text = format!("{}ready\n", "I (311) cpu_start: up. ".repeat(words)).repeat(3);
            assert_eq!(guess(text.as_bytes()), None, "{text}");
        }
        for octet in [0, 0xFF, 0x55, 0x80, 0xC0] {
            assert_eq!(guess(&[octet; 500]), None, "{octet}");
        }
        let mut state = 0x1234_5678_9ABC_DEF1_u64;
        for length in (20..500).cycle().take(5_000) {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                })
                .collect();
            assert_eq!(guess(&noise), None, "{noise:?}");
        }
    }
}
