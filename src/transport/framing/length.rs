//! MQTT-SN packets back to back, told apart by their Length (MQTT-SN 1.2 §5.2.1), in both forms, with
//! or without the header of a forwarder.
//!
//! Nothing marks where a packet begins. What cannot be the beginning of one is skipped octet by
//! octet, and a packet whose rest does not come soon is given up. Behind what was skipped, only what is a
//! packet from its first octet to its last counts as one, so that the line is in step again soon, also
//! where somebody never pauses.

use std::time::Duration;

use super::Discarded;
use crate::codec::{decode, type_name};
use crate::time::Time;

/// First octet of the long form.
const LONG_FORM: u8 = 0x01;
/// Length, MsgType and Ctrl of a forwarder's header.
const FORWARDER_HEADER_LEN: usize = 3;
/// MsgType of a forwarder's header, which stands before another packet.
const FORWARDED: u8 = 0xFE;

/// Finds packets.
#[derive(Debug)]
pub(super) struct Decoder {
    max_packet: usize,
    gap: Duration,
    /// What has come of a packet.
    buffer: Vec<u8>,
    /// Octets still to come of a packet that is too long.
    skip: usize,
    /// The last octet was skipped: the next one belongs to the same damage.
    lost: bool,
    /// What came last was a packet, or silence: what comes now begins another one.
    in_step: bool,
    last: Time,
    discarded: Discarded,
}

/// What octets are the beginning of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begin {
    /// More is needed to say.
    Open,
    /// Nothing.
    Noise,
    /// A packet of so many octets and this type.
    Packet(usize, u8),
}

impl Decoder {
    pub(super) fn new(max_packet: usize, gap: Duration) -> Self {
        Self {
            max_packet,
            gap,
            buffer: Vec::new(),
            skip: 0,
            lost: false,
            in_step: true,
            last: Time(0),
            discarded: Discarded::default(),
        }
    }

    pub(super) fn feed(&mut self, now: Time, mut octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        if now.since(self.last) > self.gap {
            if !self.buffer.is_empty() {
                self.discarded.cut_off += 1;
            }
            self.reset();
        }
        self.last = now;
        while !octets.is_empty() {
            if self.skip > 0 {
                let (skipped, rest) = octets.split_at(self.skip.min(octets.len()));
                self.skip -= skipped.len();
                self.discarded.octets += skipped.len() as u64;
                octets = rest;
                continue;
            }
            // No more at once than a packet may have, so that the buffer has a bound.
            let (some, rest) = octets.split_at(self.max_packet.max(1).min(octets.len()));
            self.buffer.extend_from_slice(some);
            octets = rest;
            self.take(each);
        }
    }

    pub(super) fn reset(&mut self) {
        self.discarded.octets += self.buffer.len() as u64;
        self.buffer.clear();
        self.skip = 0;
        self.lost = false;
        self.in_step = true;
    }

    pub(super) fn discarded(&self) -> Discarded {
        self.discarded
    }

    /// Gives away what is complete.
    fn take(&mut self, each: &mut dyn FnMut(&[u8])) {
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
            match whole(rest) {
                Begin::Open => break,
                Begin::Noise => {
                    self.lose_one();
                    at += 1;
                }
                Begin::Packet(length, _) if !self.in_step && length > self.max_packet => {
                    self.lose_one();
                    at += 1;
                }
                // Its payload is not to be taken for packets.
                Begin::Packet(length, _) if length > self.max_packet => {
                    let here = length.min(rest.len());
                    self.skip = length - here;
                    self.discarded.overlong += 1;
                    self.discarded.octets += here as u64;
                    self.lost = false;
                    at += here;
                }
                Begin::Packet(length, _) => {
                    let Some(packet) = rest.get(..length) else { break };
                    let is_whole = decode(packet).is_ok();
                    if !self.in_step && !is_whole {
                        self.lose_one();
                        at += 1;
                        continue;
                    }
                    // One that is not right is told, too, but it may have been none.
                    each(packet);
                    self.in_step = is_whole;
                    self.lost = false;
                    at += length;
                }
            }
        }
        self.buffer.drain(..at);
    }

    /// The next octet begins no packet.
    fn lose_one(&mut self) {
        self.discarded.damaged += u64::from(!self.lost);
        self.discarded.octets += 1;
        self.lost = true;
        self.in_step = false;
    }
}

/// The packet that begins here, with the header of a forwarder if there is one.
fn whole(octets: &[u8]) -> Begin {
    match header(octets) {
        Begin::Packet(length, FORWARDED) => {
            match octets.get(length..).map_or(Begin::Open, header) {
                Begin::Packet(_, FORWARDED) => Begin::Noise,
                Begin::Packet(inner, msg_type) => Begin::Packet(length + inner, msg_type),
                other => other,
            }
        }
        other => other,
    }
}

fn header(octets: &[u8]) -> Begin {
    let (length, msg_type) = match *octets {
        [LONG_FORM, high, low, msg_type, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length < 4 || msg_type == FORWARDED {
                return Begin::Noise;
            }
            (length, msg_type)
        }
        [0, ..] => return Begin::Noise,
        [] | [_] | [LONG_FORM, ..] => return Begin::Open,
        [length, msg_type, ..] => (usize::from(length), msg_type),
    };
    if type_name(msg_type).is_none() || msg_type == FORWARDED && length < FORWARDER_HEADER_LEN {
        return Begin::Noise;
    }
    Begin::Packet(length, msg_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(100);

    fn decode(decoder: &mut Decoder, now: u64, octets: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        decoder.feed(Time(now), octets, &mut |packet| found.push(packet.to_vec()));
        found
    }

    /// SEARCHGW, a long form, a forwarded PINGREQ with a node of two octets.
    const PACKETS: [&[u8]; 3] =
        [&[3, 1, 0], &[1, 0, 6, 0x16, b'a', b'b'], &[5, 0xFE, 0, 7, 8, 2, 0x16]];

    #[test]
    fn any_split_gives_the_same() {
        let noise: &[u8] = &[0, 0xFF, 0x03, 0xC0];
        let line = [PACKETS[1], noise, PACKETS[0], PACKETS[2], PACKETS[0]].concat();
        for first in 0..=line.len() {
            for second in first..=line.len() {
                let mut decoder = Decoder::new(20, GAP);
                let mut found = decode(&mut decoder, 5, &line[..first]);
                found.extend(decode(&mut decoder, 6, &line[first..second]));
                found.extend(decode(&mut decoder, 106, &line[second..]));
                let expected = [PACKETS[1], PACKETS[0], PACKETS[2], PACKETS[0]];
                assert_eq!(found, expected, "{first} {second}");
                let expected = Discarded { octets: 4, damaged: 1, overlong: 0, cut_off: 0 };
                assert_eq!(decoder.discarded(), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_packet_that_stops_is_given_up() {
        let mut decoder = Decoder::new(100, GAP);
        assert_eq!(decode(&mut decoder, 1_000, &[9, 0x0C, 1]), [[0_u8; 0]; 0]);
        assert_eq!(decode(&mut decoder, 1_101, &[2, 0x16]), [[2, 0x16]]);
        let expected = Discarded { octets: 3, damaged: 0, overlong: 0, cut_off: 1 };
        assert_eq!(decoder.discarded(), expected);
    }

    #[test]
    fn the_payload_of_what_is_too_long_is_no_packet() {
        let mut long = vec![1, 0, 50, 0x0C];
        long.extend([2, 0x18].repeat(23));
        let line = [&long[..], &[2, 0x16]].concat();
        for split in 0..=line.len() {
            let mut decoder = Decoder::new(20, GAP);
            let mut found = decode(&mut decoder, 0, &line[..split]);
            found.extend(decode(&mut decoder, 0, &line[split..]));
            assert_eq!(found, [[2, 0x16]], "{split}");
            let expected = Discarded { octets: 50, damaged: 0, overlong: 1, cut_off: 0 };
            assert_eq!(decoder.discarded(), expected, "{split}");
        }
    }

    /// Text that looks like the beginning of a packet does not swallow what comes after it for ever.
    #[test]
    fn a_line_that_never_pauses_is_in_step_again() {
        let publish = [&[19, 0x0C, 0x20, 0, 1, 0, 7][..], b"temperature."].concat();
        for text in ["booting...\r\n", "\r\n", "\x10\x0Bok", "\u{1}\u{1}\u{0}\u{C}"] {
            let mut decoder = Decoder::new(1_024, GAP);
            decode(&mut decoder, 0, text.as_bytes());
            let heard: Vec<Vec<u8>> =
                (1..=20).flat_map(|turn| decode(&mut decoder, turn, &publish)).collect();
            let (_, end) = heard.split_at(heard.len().saturating_sub(3));
            assert_eq!(end, [publish.clone(), publish.clone(), publish.clone()], "{text:?}");
        }
    }

    #[test]
    fn a_forwarder_forwards_packets_only() {
        for noise in [&[2, 0xFE, 3, 3][..], &[3, 0xFE, 3, 3, 0xFE, 3, 3, 3], &[1, 0, 4, 0xFE, 3]] {
            let mut decoder = Decoder::new(100, GAP);
            let line = [noise, &[0, 0, 0, 2, 0x16]].concat();
            let found = decode(&mut decoder, 0, &line);
            assert_eq!(found.last().map(Vec::as_slice), Some(&[2, 0x16][..]), "{noise:?}");
            assert!(found.iter().all(|packet| packet.get(1) != Some(&0xFE)), "{noise:?}");
        }
    }

    /// Whatever comes, the buffer keeps its bound, nothing is longer than allowed, and every octet is
    /// either given away, thrown away, or kept for now.
    #[test]
    fn noise_does_no_harm() {
        let mut state = 1_u32;
        let mut decoder = Decoder::new(64, GAP);
        let (mut fed, mut given) = (0, 0);
        for turn in 0..20_000_u64 {
            let octets: Vec<u8> = (0..turn % 90)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Small ones are many, so that there are lengths and types among them.
                    (state >> 24) as u8 >> (state >> 16 & 7)
                })
                .collect();
            fed += octets.len() as u64;
            decoder.feed(Time(turn * 50), &octets, &mut |packet| {
                assert!((2..=64).contains(&packet.len()));
                given += packet.len() as u64;
            });
            assert!(decoder.buffer.len() <= 64 + 255);
        }
        let kept = decoder.buffer.len() as u64;
        assert_eq!(fed, given + kept + decoder.discarded().octets);
        assert!(given > 0 && decoder.discarded().overlong > 0 && decoder.discarded().damaged > 0);
    }
}
