//! SLIP (RFC 1055), one packet a frame.
//!
//! We begin frames with END as well, so that noise before a frame is a frame of its own. Devices
//! need not. Two ENDs in a row are no frame.

use super::Discarded;

/// Ends a frame, and begins ours.
pub(super) const END: u8 = 0xC0;
const ESC: u8 = 0xDB;
const ESC_END: u8 = 0xDC;
const ESC_ESC: u8 = 0xDD;

/// Appends a frame.
pub(super) fn encode(packet: &[u8], out: &mut Vec<u8>) {
    out.push(END);
    for octet in packet {
        match *octet {
            END => out.extend_from_slice(&[ESC, ESC_END]),
            ESC => out.extend_from_slice(&[ESC, ESC_ESC]),
            other => out.push(other),
        }
    }
    out.push(END);
}

/// Octets of a packet on the line, between its ENDs.
pub(super) fn inner_len(packet: &[u8]) -> usize {
    packet.iter().map(|octet| 1 + usize::from(matches!(*octet, END | ESC))).sum()
}

/// Takes frames apart.
#[derive(Debug)]
pub(super) struct Decoder {
    max_packet: usize,
    packet: Vec<u8>,
    state: State,
    /// Octets since the last END, as they came, that are not yet counted as thrown away.
    raw: u64,
    discarded: Discarded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Plain,
    /// The last octet was ESC.
    Escaped,
    /// The rest of this frame is of no use.
    Skipping,
}

impl Decoder {
    pub(super) fn new(max_packet: usize) -> Self {
        let discarded = Discarded::default();
        Self { max_packet, packet: Vec::new(), state: State::Plain, raw: 0, discarded }
    }

    pub(super) fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        for octet in octets {
            if *octet == END {
                self.end(each);
                continue;
            }
            self.raw += 1;
            match (self.state, *octet) {
                (State::Skipping, _) => self.throw_away(),
                (State::Plain, ESC) => self.state = State::Escaped,
                (State::Plain, other) => self.push(other),
                (State::Escaped, ESC_END) => self.push(END),
                (State::Escaped, ESC_ESC) => self.push(ESC),
                (State::Escaped, _) => {
                    self.discarded.damaged += 1;
                    self.skip();
                }
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.throw_away();
        self.begin();
    }

    pub(super) fn discarded(&self) -> Discarded {
        self.discarded
    }

    fn end(&mut self, each: &mut dyn FnMut(&[u8])) {
        match self.state {
            State::Plain if self.packet.is_empty() => {}
            State::Plain => each(&self.packet),
            State::Escaped => {
                self.discarded.damaged += 1;
                self.throw_away();
            }
            State::Skipping => {}
        }
        self.begin();
    }

    fn begin(&mut self) {
        self.packet.clear();
        self.state = State::Plain;
        self.raw = 0;
    }

    fn push(&mut self, octet: u8) {
        if self.packet.len() >= self.max_packet {
            self.discarded.overlong += 1;
            self.skip();
            return;
        }
        self.packet.push(octet);
        self.state = State::Plain;
    }

    /// What has come of this frame counts at once: its end may be far away, or never come.
    fn skip(&mut self) {
        self.throw_away();
        self.packet.clear();
        self.state = State::Skipping;
    }

    fn throw_away(&mut self) {
        self.discarded.octets += self.raw;
        self.raw = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut |packet| found.push(packet.to_vec()));
        }
        found
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        let mut out = Vec::new();
        encode(&[0x02, 0xC0, 0xDB, 0x16], &mut out);
        assert_eq!(out, [0xC0, 0x02, 0xDB, 0xDC, 0xDB, 0xDD, 0x16, 0xC0]);
    }

    #[test]
    fn any_split_gives_the_same() {
        let line = [
            0x55, 0xC0, 0xC0, 2, 0x16, 0xC0, 3, 0xDB, 0xDC, 0xDB, 0xDD, 0xC0, 0xDB, 1, 9, 0xC0, 1,
            2, 3, 4, 5, 6, 0xC0, 7, 0xDB, 0xC0, 2, 0x17, 0xC0,
        ];
        let expected: [&[u8]; 4] = [&[0x55], &[2, 0x16], &[3, 0xC0, 0xDB], &[2, 0x17]];
        let thrown_away = Discarded { octets: 3 + 6 + 2, damaged: 2, overlong: 1, cut_off: 0 };
        for first in 0..=line.len() {
            for second in first..=line.len() {
                let mut decoder = Decoder::new(5);
                let pieces = [&line[..first], &line[first..second], &line[second..]];
                assert_eq!(decode(&mut decoder, &pieces), expected, "{first} {second}");
                assert_eq!(decoder.discarded(), thrown_away, "{first} {second}");
            }
        }
    }

    #[test]
    fn an_endless_frame_takes_no_room() {
        let mut decoder = Decoder::new(100);
        for _ in 0..1_000 {
            assert_eq!(decode(&mut decoder, &[&[0x55; 1_000]]), [[0_u8; 0]; 0]);
        }
        assert!(decoder.packet.capacity() < 1_000);
        assert_eq!(decoder.discarded().overlong, 1);
        assert_eq!(decode(&mut decoder, &[&[0xC0, 2, 0x16, 0xC0]]), [[2, 0x16]]);
        assert_eq!(decoder.discarded().octets, 1_000_000);
    }

    #[test]
    fn another_opening_begins_anew() {
        let mut decoder = Decoder::new(100);
        assert_eq!(decode(&mut decoder, &[&[0xC0, 1, 2, 0xDB]]), [[0_u8; 0]; 0]);
        decoder.reset();
        assert_eq!(decode(&mut decoder, &[&[0xDC, 0xC0]]), [[0xDC]]);
        assert_eq!(decoder.discarded().octets, 3);
    }
}
