//! The lines of Aquila's bridges. A content does not say from which end it is; what is in it does.

use super::super::Discarded;
use super::super::aquila::Decoder;
use super::{Dissect, Frame, What};
use crate::codec::decode;

/// Octets before a packet, at most.
const HEAD: usize = 7;
/// Of CONFIG and PAIR, which have no packet.
const LONGEST_OTHER: usize = 40;

const NACK: u8 = 0x00;
const ACK: u8 = 0x01;
const CONFIG: u8 = 0x02;
const PAIR: u8 = 0x03;
const PACKET: u8 = 0xFE;

/// Takes a line of a bridge apart.
pub(super) struct AquilaLine(Decoder);

impl AquilaLine {
    pub(super) fn new(max_packet: usize) -> Self {
        Self(Decoder::new(max_packet.saturating_add(HEAD).max(LONGEST_OTHER)))
    }
}

impl Dissect for AquilaLine {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        self.0.feed(octets, &mut |content| each(None, what(content)));
    }

    fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

fn what(content: &[u8]) -> What {
    let (says, packet) = match *content {
        [5, PACKET, _, low, high, ref packet @ ..] if decode(packet).is_ok() => {
            let to = u16::from_le_bytes([low, high]);
            (format!("to {to:04X}"), Some(packet.to_vec()))
        }
        [lqi, rssi, _, PACKET, _, low, high, ref packet @ ..] => {
            let from = u16::from_le_bytes([low, high]);
            let rssi = rssi.cast_signed();
            (format!("from {from:04X}, {rssi} dBm, LQI {lqi}"), Some(packet.to_vec()))
        }
        [0, 0, 2, ACK] => ("ACK of the bridge".to_owned(), None),
        [0, 0, 2, NACK] => ("NACK of the bridge".to_owned(), None),
        [0, 0, 2, CONFIG] => ("the bridge asks for its network".to_owned(), None),
        // The key is nobody's business.
        [19, CONFIG, pan_id, ..] => (format!("the bridge's network is {pan_id}"), None),
        [3, PAIR, 0] => ("the bridge is to leave pairing".to_owned(), None),
        [3, PAIR, 1] => ("the bridge is to enter pairing".to_owned(), None),
        [_, _, _, PAIR, 2, 0, 0, _, PAIR, device, ..] => {
            (format!("a device that calls itself {device:02X} wants to be paired"), None)
        }
        [7, PAIR, 3, 0, 0, _, PAIR, device, address, pan_id, ..] => (
            format!("device {device:02X} is given address {address:02X} in network {pan_id}"),
            None,
        ),
        _ => return What::Unreadable("nothing that bridges or gateways say".to_owned()),
    };
    What::Frame(Frame { says, packet })
}

#[cfg(test)]
mod tests {
    use super::super::super::aquila::encode;
    use super::super::super::{Framing, pieces};
    use super::*;

    #[test]
    fn both_ends_are_told_in_words() {
        let key = [7; 16];
        let cases: [(Vec<u8>, &str, &[u8]); 9] = [
            (vec![5, 0xFE, 1, 1, 0, 2, 0x17], "to 0001", &[2, 0x17]),
            (vec![0x50, 0xC0, 7, 0xFE, 1, 1, 0, 2, 0x16], "from 0001, -64 dBm, LQI 80", &[2, 0x16]),
            // A signal that looks like a head.
            (vec![5, 0xFE, 7, 0xFE, 1, 9, 0, 2, 0x16], "from 0009, -2 dBm, LQI 5", &[2, 0x16]),
            (vec![0, 0, 2, 1], "ACK of the bridge", &[]),
            (vec![0, 0, 2, 0], "NACK of the bridge", &[]),
            (vec![0, 0, 2, 2], "the bridge asks for its network", &[]),
            ([&[19, 2, 8][..], &key].concat(), "the bridge's network is 8", &[]),
            (vec![3, 3, 1], "the bridge is to enter pairing", &[]),
            (
                [&[7, 3, 3, 0, 0, 21, 3, 0xAB, 4, 8][..], &key].concat(),
                "device AB is given address 04 in network 8",
                &[],
            ),
        ];
        let mut line = Vec::new();
        cases.iter().for_each(|(content, ..)| encode(content, &mut line));
        encode(&[1, 2, 3], &mut line);
        let mut found = Vec::new();
        pieces(Framing::Aquila, 54, &line, &mut |piece| found.push(piece.what));
        let unreadable = found.pop();
        assert!(matches!(unreadable, Some(What::Unreadable(_))), "{unreadable:?}");
        let expected = cases.map(|(_, says, packet)| {
            let packet = Some(packet.to_vec()).filter(|packet| !packet.is_empty());
            What::Frame(Frame { says: says.to_owned(), packet })
        });
        assert_eq!(found, expected);
    }
}
