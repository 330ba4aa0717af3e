//! The lines of hubs, both directions.

use super::super::{Discarded, hub as words};
use super::{Dissect, Frame, What};
use crate::hub::{FrameDecoder, Message, Received, Send, buffer_len, decode};

/// Takes a line of a hub apart.
pub(super) struct HubLine(FrameDecoder<Box<[u8]>>);

impl HubLine {
    pub(super) fn new(max_packet: usize) -> Self {
        Self(FrameDecoder::new(vec![0; buffer_len(max_packet)].into()))
    }
}

impl Dissect for HubLine {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        for octet in octets {
            if let Some(Ok(contents)) = self.0.push(*octet) {
                each(None, what(contents));
            }
        }
    }

    fn discarded(&self) -> Discarded {
        let of = self.0.discarded();
        Discarded {
            octets: of.octets,
            damaged: of.stuffing + of.too_short + of.crc,
            overlong: of.too_long,
            cut_off: 0,
        }
    }
}

fn what(contents: &[u8]) -> What {
    match decode(contents) {
        Ok(message) => {
            let packet = match &message {
                Message::Send(Send { packet, .. }) | Message::Received(Received { packet, .. }) => {
                    Some(packet.to_vec())
                }
                _ => None,
            };
            What::Frame(Frame { says: words::message(&message), packet })
        }
        Err(error) => What::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Framing;
    use super::super::{Fault, pieces};
    use super::*;

    /// The examples of docs/hub.md, a frame of framing cobs, and one with a wrong CRC.
    #[test]
    fn both_ends_are_told_in_words() {
        let lines: [(&[u8], &str, &[u8]); 8] = [
            (&[0, 6, 1, 1, 1, 0x27, 0x43, 0], "HELLO REQUEST of version 1", &[]),
            (
                b"\0\x05\x01\x81\x01\x01\x03\x3C\x01\x02\x64\x01\x22\xD9\x03\x01\x01\x01\x05attic\x13RFM69HCW, 868.3 MHz\xB8\xB6\0",
                "HELLO, hub \"attic\", RFM69HCW, 868.3 MHz, address 01, packets of up to 60 octets, \
                 55555 bits/s, on the air 1% of the time at most, has just started",
                &[],
            ),
            (
                &[0, 3, 1, 0x82, 2, 0x47, 7, 1, 5, 2, 0x16, 0x55, 9, 0],
                "RECEIVED from 05, -71 dBm",
                &[2, 0x16],
            ),
            (
                b"\0\x07\x01\x82\x01\x5A\xC8\x08\x03\x13\xA2\x07\x40\xA1\xB2\xC3\x03\x01\x03\x6B\xC6\0",
                "RECEIVED from 0013A20040A1B2C3, -90 dBm, quality 200, to everybody",
                &[3, 1, 0],
            ),
            (
                &[0, 4, 1, 2, 7, 7, 1, 5, 2, 0x17, 0xB8, 0x40, 0],
                "SEND 7 to 05",
                &[2, 0x17],
            ),
            (&[0, 7, 1, 0x83, 7, 1, 0xE6, 0x37, 0], "RESULT of 7: acknowledged", &[]),
            (
                &[0, 7, 1, 0x83, 8, 5, 0xB6, 0x8D, 0],
                "RESULT of 8: not delivered, the radio has used up its time on the air",
                &[],
            ),
            (
                &[0, 3, 1, 0x84, 1, 5, 0x8C, 0xA0, 0xF4, 0x86, 0],
                "BUSY for 36000 ms",
                &[],
            ),
        ];
        let damaged = [0, 7, 1, 0x83, 7, 1, 0xE6, 0x36, 0];
        let cobs = [0, 5, 2, 0x16, 0xF6, 0x65, 0];
        let mut line: Vec<u8> = lines.iter().flat_map(|(octets, ..)| *octets).copied().collect();
        line.extend(damaged.iter().chain(&cobs));
        let mut found = Vec::new();
        pieces(Framing::Hub, 100, &line, &mut |piece| found.push(piece));
        assert_eq!(found.len(), lines.len() + 2);
        let mut at = 0;
        for (piece, (octets, says, packet)) in found.iter().zip(lines) {
            assert_eq!((piece.at, piece.length), (at, octets.len()));
            let packet = Some(packet.to_vec()).filter(|packet| !packet.is_empty());
            assert_eq!(piece.what, What::Frame(Frame { says: says.to_owned(), packet }));
            at += octets.len();
        }
        let [.., noise, unreadable] = &found[..] else { panic!("two more") };
        assert_eq!((noise.length, &noise.what), (damaged.len(), &What::Noise(Fault::Damaged)));
        let words = "hub protocol version 2 is not known".to_owned();
        assert_eq!((unreadable.length, &unreadable.what), (cobs.len(), &What::Unreadable(words)));
    }
}
