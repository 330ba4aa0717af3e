//! Lines of RadioHead.

use super::super::Discarded;
use super::super::rh_serial::{Decoder, Header};
use super::{Dissect, Frame, What};

/// Everybody.
const BROADCAST: u8 = 0xFF;
/// Flags of RHReliableDatagram.
const ACK: u8 = 0x80;
const RETRY: u8 = 0x40;

/// Takes a line of RadioHead apart.
pub(super) struct RhLine(Decoder);

impl RhLine {
    pub(super) fn new(max_packet: usize) -> Self {
        Self(Decoder::new(max_packet))
    }
}

impl Dissect for RhLine {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        self.0.feed(octets, &mut |header, payload| each(None, what(header, payload)));
    }

    fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

fn what(header: Header, payload: &[u8]) -> What {
    let Header { to, from, id, flags } = header;
    let to = if to == BROADCAST { "everybody".to_owned() } else { format!("{to:02X}") };
    let mut says = format!("{from:02X} to {to}, id {id}");
    if flags & ACK != 0 {
        return What::Frame(Frame { says: says + ", acknowledged", packet: None });
    }
    if flags & RETRY != 0 {
        says.push_str(", once more");
    }
    What::Frame(Frame { says, packet: Some(payload.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::super::super::rh_serial::encode;
    use super::super::super::{Framing, pieces};
    use super::super::{Fault, Piece};
    use super::*;

    #[test]
    fn addresses_and_acknowledgements_are_told() {
        let header = |to, from, flags| Header { to, from, id: 16, flags };
        let mut line = vec![0x10, 2, 1, 2, 0x10, 0x10, 0, 2, 0x16, 0x10, 3, 0x45, 8];
        encode(header(2, 1, ACK), b"!", &mut line);
        encode(header(0xFF, 1, RETRY), &[3, 1, 0], &mut line);
        line.extend([0x55, 0x10, 2, 1]);
        let frame = |says: &str, packet: &[u8]| {
            let packet = Some(packet.to_vec()).filter(|packet| !packet.is_empty());
            What::Frame(Frame { says: says.to_owned(), packet })
        };
        let expected = [
            (0, 13, frame("02 to 01, id 16", &[2, 0x16])),
            (13, 12, frame("01 to 02, id 16, acknowledged", &[])),
            (25, 14, frame("01 to everybody, id 16, once more", &[3, 1, 0])),
            (39, 1, What::Noise(Fault::Damaged)),
            (40, 3, What::Rest),
        ];
        let mut found = Vec::new();
        pieces(Framing::RhSerial, 60, &line, &mut |piece| found.push(piece));
        assert_eq!(found, expected.map(|(at, length, what)| Piece { at, length, what }));
    }
}
