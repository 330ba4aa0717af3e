//! The lines of XBee modules, in both modes and from both ends.

use super::super::Discarded;
use super::super::xbee::{
    BROADCAST, Decoder, FromModule, Manner, Mode, NO_LONG, NO_SHORT, Node, Sender, ToModule, words,
};
use super::{Cutter, Dissect, Frame, What, running};
use crate::time::Time;
use crate::transport::hex::hex;

/// 7E, a length and a checksum.
const AROUND: usize = 4;

/// Takes what one end puts on a line apart.
pub(super) struct XbeeLine {
    decoder: Decoder,
    mode: Mode,
    sender: Sender,
}

impl XbeeLine {
    pub(super) fn new(mode: Mode, sender: Sender, max_packet: usize) -> Self {
        Self { decoder: Decoder::new(mode, sender, max_packet, u32::MAX), mode, sender }
    }
}

/// In which mode, and by which end: whichever explains most octets.
pub(super) fn spoken(max_packet: usize, octets: &[u8]) -> (Mode, Sender) {
    let mut best = (0, (Mode::Escaped, Sender::Module));
    for mode in [Mode::Escaped, Mode::Plain] {
        for sender in [Sender::Module, Sender::Host] {
            let mut explained = 0;
            let mut each = |piece: super::Piece| {
                if matches!(piece.what, What::Frame(_)) {
                    explained += piece.length;
                }
            };
            let cutter = Cutter { at: 0, noise: None, each: &mut each };
            running(XbeeLine::new(mode, sender, max_packet), octets, cutter);
            if explained > best.0 {
                best = (explained, (mode, sender));
            }
        }
    }
    best.1
}

impl Dissect for XbeeLine {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        let Self { decoder, mode, sender } = self;
        decoder.feed(Time(0), octets, &mut |data| {
            let what = match sender {
                Sender::Module => FromModule::parse(data).map(|frame| from_module(&frame)),
                Sender::Host => ToModule::parse(data).map(|frame| to_module(&frame)),
            };
            let kind = data.first().copied().unwrap_or(0);
            let unreadable = || What::Unreadable(format!("a frame of type {kind:02X}"));
            // It is looked for again within what was none.
            let length = (*mode == Mode::Plain).then_some(data.len() + AROUND);
            each(length, what.unwrap_or_else(unreadable));
        });
    }

    fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }
}

fn from_module(frame: &FromModule<'_>) -> What {
    let says = match *frame {
        FromModule::Received { from, manner, rssi, payload } => {
            let mut says = format!("from {}{}", node(from), endpoints(manner));
            if let Some(rssi) = rssi {
                says.push_str(&format!(", {rssi} dBm"));
            }
            return What::Frame(Frame { says, packet: Some(payload.to_vec()) });
        }
        FromModule::Status { id, delivery: 0, .. } => format!("status of {id}: delivered"),
        FromModule::Status { id, delivery, .. } => {
            let (_, words) = words::delivery(delivery);
            format!("status of {id}: not delivered, {words} ({delivery:02X})")
        }
        FromModule::Answer { command, status: 0, value } => {
            format!("AT{} is {}", letters(&command), hex(value))
        }
        FromModule::Answer { command, status, .. } => {
            format!("AT{} is refused ({status:02X})", letters(&command))
        }
        FromModule::ModemStatus(status) => {
            format!("the module: {} ({status:02X})", words::modem_status(status))
        }
        FromModule::Introduced { node: found, name } => {
            format!("{} is called \"{}\"", node(found), letters(name))
        }
        FromModule::RemoteAnswer { node: found, command, status: 0, value } => {
            format!("AT{} of {} is {}", letters(&command), node(found), hex(value))
        }
        FromModule::RemoteAnswer { node: found, command, status, .. } => {
            format!("AT{} of {} is not told ({status:02X})", letters(&command), node(found))
        }
    };
    What::Frame(Frame { says, packet: None })
}

fn to_module(frame: &ToModule<'_>) -> What {
    let says = match *frame {
        ToModule::Transmit { id, to, manner, payload } => {
            let says = format!("{id} to {}{}", node(to), endpoints(manner));
            return What::Frame(Frame { says, packet: Some(payload.to_vec()) });
        }
        ToModule::Command { command, value: [], .. } => format!("AT{}?", letters(&command)),
        ToModule::RemoteCommand { to, command, value: [], .. } => {
            format!("AT{} of {}?", letters(&command), node(to))
        }
        ToModule::RemoteCommand { to, command, value, .. } => {
            format!("AT{} of {} = {}", letters(&command), node(to), hex(value))
        }
        ToModule::Command { command, value, .. } => {
            format!("AT{} = {}", letters(&command), hex(value))
        }
    };
    What::Frame(Frame { says, packet: None })
}

fn node(node: Node) -> String {
    match node {
        Node { long: BROADCAST, .. } => "everybody".to_owned(),
        Node { long: NO_LONG, short } => format!("{short:04X}"),
        Node { long, short: NO_SHORT } => format!("{long:016X}"),
        Node { long, short } => format!("{long:016X} ({short:04X})"),
    }
}

fn endpoints(manner: Manner) -> String {
    match manner {
        Manner::Usual | Manner::Legacy => String::new(),
        Manner::Explicit(ends) => format!(
            ", endpoint {:02X} to {:02X}, cluster {:04X}, profile {:04X}",
            ends.source, ends.destination, ends.cluster, ends.profile
        ),
    }
}

/// Text that a terminal does not obey.
fn letters(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::super::super::xbee::{
        encode, write_answer, write_modem_status, write_received, write_status,
    };
    use super::super::super::{Framing, pieces};
    use super::super::Fault;
    use super::*;

    const NODE: Node = Node { long: 0x0013_A200_40A1_B2C3, short: 0x1A2B };

    fn found(line: &[u8]) -> Vec<(usize, usize, What)> {
        let mut found = Vec::new();
        pieces(Framing::Xbee, 100, line, &mut |piece| {
            found.push((piece.at, piece.length, piece.what));
        });
        found
    }

    fn frame(says: &str, packet: &[u8]) -> What {
        let packet = Some(packet.to_vec()).filter(|packet| !packet.is_empty());
        What::Frame(Frame { says: says.to_owned(), packet })
    }

    #[test]
    fn a_module_is_understood_in_both_modes() {
        let mut data: Vec<Vec<u8>> = vec![Vec::new(); 5];
        write_received(NODE, Manner::Usual, -40, &[2, 0x16], &mut data[0]);
        write_status(7, Manner::Usual, 0x1A2B, 0x21, &mut data[1]);
        write_answer(1, *b"AP", 0, &[2], &mut data[2]);
        write_modem_status(0, &mut data[3]);
        let legacy = Node { long: NO_LONG, short: 0x7D13 };
        write_received(legacy, Manner::Legacy, -71, &[3, 1, 0], &mut data[4]);
        let expected = [
            frame("from 0013A20040A1B2C3 (1A2B)", &[2, 0x16]),
            frame("status of 7: not delivered, no acknowledgement through the network (21)", &[]),
            frame("ATAP is 02", &[]),
            frame("the module: it was switched on or reset (00)", &[]),
            frame("from 7D13, -71 dBm", &[3, 1, 0]),
        ];
        for mode in Mode::ALL {
            let (mut line, mut ends) = (vec![0x55], vec![1]);
            for data in &data {
                encode(mode, data, &mut line);
                ends.push(line.len());
            }
            line.extend([0x7E, 0]);
            let found = found(&line);
            assert_eq!(found[0], (0, 1, What::Noise(Fault::Damaged)), "{mode:?}");
            for (at, expected) in expected.iter().enumerate() {
                let (begin, length) = (ends[at], ends[at + 1] - ends[at]);
                assert_eq!(found[at + 1], (begin, length, expected.clone()), "{mode:?}");
            }
            assert_eq!(found[6], (line.len() - 2, 2, What::Rest), "{mode:?}");
        }
    }

    #[test]
    fn a_host_is_understood_too() {
        let line = [
            &[0x7E, 0, 4, 8, 1, 0x41, 0x50, 0x65][..],
            b"\x7E\0\x10\x10\x01\0\x7D\x33\xA2\0\x40\xA1\xB2\xC3\xFF\xFE\0\0\x02\x16\xCE",
        ]
        .concat();
        let expected =
            [(0, 8, frame("ATAP?", &[])), (8, 21, frame("1 to 0013A20040A1B2C3", &[2, 0x16]))];
        assert_eq!(found(&line), expected);
    }

    /// In mode 1 a 7E that begins nothing holds up what follows, until it turns out.
    #[test]
    fn frames_behind_a_false_beginning_are_found() {
        let line = [
            &[0x7E, 0, 20, 0x90][..],
            b"\x7E\0\x0E\x90\0\x13\xA2\0\x40\xA1\xB2\xC3\x1A\x2B\x01\x02\x17\x05",
            &[0x7E, 0, 2, 0x8A, 0, 0x75],
            &[0x7E, 0, 2, 0x8A, 6, 0x6F],
        ]
        .concat();
        let expected = [
            (0, 4, What::Noise(Fault::Damaged)),
            (4, 18, frame("from 0013A20040A1B2C3 (1A2B)", &[2, 0x17])),
            (22, 6, frame("the module: it was switched on or reset (00)", &[])),
            (28, 6, frame("the module: it has started its network (06)", &[])),
        ];
        let mut found = Vec::new();
        let mut each =
            |piece: super::super::Piece| found.push((piece.at, piece.length, piece.what));
        let cutter = Cutter { at: 0, noise: None, each: &mut each };
        running(XbeeLine::new(Mode::Plain, Sender::Module, 100), &line, cutter);
        assert_eq!(found, expected);
    }
}
