//! The lines of LoRaLink modems. A body does not say from which end it is: from the modem its second
//! octet is the upper one of a signal strength, to the modem it is the type.

use super::super::loralink::{FromModem, NO_FREE_CHANNEL, PACKET, SEND_TIMEOUT, SENT, ToModem};
use super::super::{Discarded, escaped};
use super::{Dissect, Frame, What};

/// Octets of a body without a payload, in either direction.
const SHORTEST: usize = 2;
const HEAD: usize = 6;

/// Takes a line of a modem apart.
pub(super) struct LoraLine(escaped::Decoder);

impl LoraLine {
    pub(super) fn new(max_packet: usize) -> Self {
        Self(escaped::Decoder::new(SHORTEST, max_packet.saturating_add(HEAD)))
    }
}

impl Dissect for LoraLine {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        self.0.feed(octets, &mut |body, _| each(None, what(body)));
    }

    fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

fn what(body: &[u8]) -> What {
    if let Some(ToModem { destination, kind: PACKET, payload }) = ToModem::parse(body) {
        let says = format!("to {destination:02X}");
        return What::Frame(Frame { says, packet: Some(payload.to_vec()) });
    }
    let Some(FromModem { source, rssi, snr, kind, payload }) = FromModem::parse(body) else {
        return What::Unreadable("nothing that modems or hosts say".to_owned());
    };
    let says = match kind {
        PACKET => {
            let says = format!("from {source:02X}, {rssi} dBm, SNR {snr} dB");
            return What::Frame(Frame { says, packet: Some(payload.to_vec()) });
        }
        SENT => "sent".to_owned(),
        NO_FREE_CHANNEL => "not sent, the channel was never free".to_owned(),
        SEND_TIMEOUT => "not sent, and the modem does not know why".to_owned(),
        other => return What::Unreadable(format!("a frame of type {other:02X}")),
    };
    What::Frame(Frame { says, packet: None })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Framing, pieces};
    use super::super::{Fault, Piece};
    use super::*;

    #[test]
    fn both_ends_are_told_in_words() {
        let line = [
            &[0x7E, 0, 5, 5, 0x40, 2, 0x17, 0xA1][..],
            &[0x7E, 0, 9, 5, 0xFF, 0xC4, 0, 9, 0x40, 2, 0x16, 0xD6],
            &[1, 2],
            &[0x7E, 0, 7, 5, 0xFF, 0xC4, 0, 9, 0x80, 0xAE],
            // A sum that is wrong, and a type that is none.
            &[0x7E, 0, 5, 5, 0x40, 2, 0x17, 0xA2],
            &[0x7E, 0, 7, 5, 0xFF, 0xC4, 0, 9, 0x99, 0x95],
            &[0x7E, 0, 5, 5],
        ]
        .concat();
        let frame = |says: &str, packet: &[u8]| {
            let packet = Some(packet.to_vec()).filter(|packet| !packet.is_empty());
            What::Frame(Frame { says: says.to_owned(), packet })
        };
        let expected = [
            (0, 8, frame("to 05", &[2, 0x17])),
            (8, 12, frame("from 05, -60 dBm, SNR 9 dB", &[2, 0x16])),
            (20, 2, What::Noise(Fault::Damaged)),
            (22, 10, frame("sent", &[])),
            (32, 8, What::Noise(Fault::Damaged)),
            (40, 10, What::Unreadable("a frame of type 99".to_owned())),
            (50, 4, What::Rest),
        ];
        let mut found = Vec::new();
        pieces(Framing::LoraLink, 100, &line, &mut |piece| found.push(piece));
        assert_eq!(found, expected.map(|(at, length, what)| Piece { at, length, what }));
    }
}
