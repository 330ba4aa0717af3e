//! COBS, one packet and its CRC-16 a frame: the frames of [`hub`](crate::hub) without its messages.
//!
//! We begin frames with a delimiter as well, so that noise before a frame is a frame of its own.
//! Devices need not. Two delimiters in a row are no frame.

use super::Discarded;
use crate::hub::{CRC_LEN, FrameDecoder, FrameWriter, frame_len_max};

/// Appends a frame.
pub(super) fn encode(packet: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + frame_len_max(packet.len()), 0);
    let mut frame = FrameWriter::new(out.get_mut(begin..).unwrap_or_default());
    frame.push(packet);
    // It has room for every packet.
    let length = frame.finish().unwrap_or(0);
    out.truncate(begin + length);
}

/// Takes frames apart.
#[derive(Debug)]
pub(super) struct Decoder(FrameDecoder<Box<[u8]>>);

impl Decoder {
    pub(super) fn new(max_packet: usize) -> Self {
        Self(FrameDecoder::new(vec![0; max_packet + CRC_LEN].into()))
    }

    pub(super) fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        for octet in octets {
            if let Some(Ok(packet)) = self.0.push(*octet) {
                each(packet);
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    pub(super) fn discarded(&self) -> Discarded {
        let of = self.0.discarded();
        Discarded {
            octets: of.octets,
            damaged: of.stuffing + of.too_short + of.crc,
            overlong: of.too_long,
            cut_off: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PINGREQ and DISCONNECT.
    const PINGREQ: [u8; 7] = [0, 5, 2, 0x16, 0xF6, 0x65, 0];
    const DISCONNECT: [u8; 7] = [0, 5, 2, 0x18, 0x17, 0xAB, 0];

    fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut |packet| found.push(packet.to_vec()));
        }
        found
    }

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let mut out = vec![7];
        encode(&[2, 0x16], &mut out);
        encode(&[2, 0x18], &mut out);
        assert_eq!(out, [&[7], &PINGREQ[..], &DISCONNECT].concat());
    }

    #[test]
    fn any_split_gives_the_same() {
        let mut wrong = PINGREQ;
        wrong[3] ^= 1;
        let line = [
            // Text before a frame, a frame, one cut off, a changed one, one that is too long, a CRC
            // with nothing in front of it, a frame that is not begun.
            b"hi".as_slice(),
            &PINGREQ,
            &PINGREQ[..4],
            &wrong,
            &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
            &[1, 1, 1, 0],
            &DISCONNECT[1..],
        ]
        .concat();
        let expected: [&[u8]; 2] = [&[2, 0x16], &[2, 0x18]];
        let thrown_away =
            Discarded { octets: 2 + 3 + 5 + 11 + 3, damaged: 4, overlong: 1, cut_off: 0 };
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
        assert_eq!(decoder.discarded().overlong, 1);
        assert_eq!(decode(&mut decoder, &[&PINGREQ]), [[2, 0x16]]);
        assert_eq!(decoder.discarded().octets, 1_000_000);
    }

    #[test]
    fn another_opening_begins_anew() {
        let mut decoder = Decoder::new(100);
        assert_eq!(decode(&mut decoder, &[&PINGREQ[..3]]), [[0_u8; 0]; 0]);
        decoder.reset();
        assert_eq!(decode(&mut decoder, &[&PINGREQ[1..]]), [[2, 0x16]]);
        assert_eq!(decoder.discarded().octets, 2);
    }

    /// Packets that need more than one block, and blocks that are just full.
    #[test]
    fn long_packets_come_through() {
        for length in (1..10).chain(245..265).chain(500..520) {
            for hole in [None, Some(0), Some(length / 2), Some(length - 1)] {
                let mut packet: Vec<u8> = (0..length).map(|at| (at % 255) as u8 + 1).collect();
                if let Some(hole) = hole {
                    packet[hole] = 0;
                }
                let mut line = Vec::new();
                encode(&packet, &mut line);
                assert!(line.len() <= frame_len_max(length));
                assert_eq!(line.iter().filter(|octet| **octet == 0).count(), 2);
                let mut decoder = Decoder::new(length);
                assert_eq!(decode(&mut decoder, &[&line]), [&packet[..]], "{length} {hole:?}");
                let mut decoder = Decoder::new(length - 1);
                assert_eq!(decode(&mut decoder, &[&line]), [[0_u8; 0]; 0], "{length} {hole:?}");
                assert_eq!(decoder.discarded().overlong, 1);
            }
        }
    }
}
