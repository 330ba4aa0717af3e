//! The station, with a module that does as it is told.

mod both_ends;
mod starting;
mod traffic;
mod troubles;

use super::talk::{DIGI, SERIAL_DATA};
use super::*;
use crate::core::Address;
use crate::transport::framing::xbee::{
    BROADCAST, Decoder as Ear, Endpoints, Manner, NO_LONG, NO_SHORT, Node, Sender, ToModule,
    write_answer, write_modem_status, write_received, write_status,
};
use crate::transport::line::station::Note;

/// A node, and how it is shown.
const DEVICE: Node = Node { long: 0x0013_A200_40A1_B2C3, short: 0x1A2B };
const SHOWN: &str = "0013A20040A1B2C3";
const PINGREQ: &[u8] = &[2, 0x16];
const PINGRESP: &[u8] = &[2, 0x17];

/// Parameters of a module: the question, and the answer or a refusal.
type Parameters = &'static [([u8; 2], Option<&'static [u8]>)];

/// An S2C in a Zigbee network.
const ZIGBEE: Parameters = &[
    (*b"NP", Some(&[0, 0x54])),
    (*b"AO", Some(&[0])),
    (*b"VR", Some(&[0x40, 0x60])),
    (*b"HV", Some(&[0x2E, 0x4E])),
    (*b"SH", Some(&[0, 0x13, 0xA2, 0])),
    (*b"SL", Some(&[0x41, 0x7D, 0x11, 0x7E])),
    (*b"ID", Some(&[0, 0, 0, 0, 0, 0, 0x12, 0x34])),
    (*b"CH", Some(&[0x0C])),
];
/// A module of series 1.
const SERIES_1: Parameters = &[
    (*b"NP", None),
    (*b"AO", None),
    (*b"VR", Some(&[0x10, 0xED])),
    (*b"HV", Some(&[0x17, 0x44])),
    (*b"SH", Some(&[0, 0x13, 0xA2, 0])),
    (*b"SL", Some(&[0x40, 0x01, 0x02, 0x03])),
    (*b"ID", Some(&[0x33, 0x32])),
    (*b"CH", Some(&[0x0C])),
];

/// A line between the station and a module.
struct Rig {
    station: Xbee,
    mode: Mode,
    now: Time,
    out: Outbox,
    /// What the station says, in the module's mode.
    ear: Ear,
    /// Address, strength and packet.
    heard: Vec<(Vec<u8>, Option<i16>, Vec<u8>)>,
}

impl Rig {
    /// A line that has just been opened.
    fn new(mode: Mode) -> Self {
        let mut rig = Self {
            station: Xbee::new(1_024, 57_600),
            mode,
            now: Time(100_000),
            out: Outbox::default(),
            ear: Ear::new(mode, Sender::Host, 1_024, 57_600),
            heard: Vec::new(),
        };
        rig.open();
        rig
    }

    /// A line to a module that has answered everything.
    fn answered(mode: Mode, parameters: Parameters) -> Self {
        let mut rig = Self::new(mode);
        rig.answer_all(parameters);
        assert_eq!(rig.notes().len(), 1);
        rig
    }

    fn open(&mut self) {
        self.station.opened(self.now, &mut self.out);
    }

    /// Octets from the line.
    fn hear(&mut self, octets: &[u8]) {
        let Self { station, now, out, heard, .. } = self;
        station.feed(*now, Port::Main, octets, out, &mut |from, signal, packet| {
            heard.push((from.octets().to_vec(), signal.rssi, packet.to_vec()));
        });
        self.wait(0);
    }

    /// A frame from the module.
    fn hear_frame(&mut self, data: &[u8]) {
        let mut octets = Vec::new();
        encode(self.mode, data, &mut octets);
        self.hear(&octets);
    }

    fn hear_packet(&mut self, from: Node, manner: Manner, packet: &[u8]) {
        let mut data = Vec::new();
        write_received(from, manner, -60, packet, &mut data);
        self.hear_frame(&data);
    }

    fn hear_status(&mut self, id: u8, delivery: u8) {
        let mut data = Vec::new();
        write_status(id, Manner::Usual, DEVICE.short, delivery, &mut data);
        self.hear_frame(&data);
    }

    fn hear_modem_status(&mut self, status: u8) {
        let mut data = Vec::new();
        write_modem_status(status, &mut data);
        self.hear_frame(&data);
    }

    /// The answer to a command.
    fn answer(&mut self, command: [u8; 2], value: Option<&[u8]>) {
        let mut data = Vec::new();
        write_answer(
            1,
            command,
            if value.is_some() { 0 } else { 2 },
            value.unwrap_or(&[]),
            &mut data,
        );
        self.hear_frame(&data);
    }

    /// Answers everything that is asked, beginning with the mode.
    fn answer_all(&mut self, parameters: Parameters) {
        let mode = [self.mode.number()];
        for _ in 0..20 {
            for frame in self.written() {
                let Some(ToModule::Command { command, .. }) = ToModule::parse(&frame) else {
                    continue;
                };
                if command == *b"AP" {
                    self.answer(command, Some(&mode));
                } else {
                    let (_, value) = parameters.iter().find(|(name, _)| *name == command).unwrap();
                    self.answer(command, *value);
                }
            }
        }
    }

    /// Frames that were written since this was last asked.
    fn written(&mut self) -> Vec<Vec<u8>> {
        let octets = std::mem::take(&mut self.out.octets);
        let mut found = Vec::new();
        self.ear.feed(self.now, &octets, &mut |data| found.push(data.to_vec()));
        assert_eq!(self.ear.take_discarded(), Discarded::default(), "{octets:02X?}");
        found
    }

    fn send(&mut self, to: &[u8], packet: &[u8]) -> Result<(), Unsendable> {
        let address = Address::new(to).unwrap();
        let to = if to.is_empty() { To::All } else { To::One(&address) };
        assert!(self.station.is_ready() && self.station.takes(to));
        self.station.send(self.now, to, packet, &mut self.out)
    }

    /// Sends, and gives the frame.
    fn sent(&mut self, to: &[u8], packet: &[u8]) -> Vec<u8> {
        assert_eq!(self.send(to, packet), Ok(()));
        let mut written = self.written();
        assert_eq!(written.len(), 1);
        written.remove(0)
    }

    /// Whether it would take a packet for this address.
    fn takes(&self, to: &[u8]) -> bool {
        self.station.is_ready() && self.station.takes(To::One(&Address::new(to).unwrap()))
    }

    /// Lets so many milliseconds go by.
    fn wait(&mut self, ms: u64) {
        let end = Time(self.now.0 + ms);
        while let Some(next) = self.station.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.station.timeout(self.now, &mut self.out);
            let again = self.station.next_timeout().is_some_and(|again| again <= self.now);
            assert!(!again, "it would be called for ever");
        }
        self.now = end;
    }

    fn heard(&mut self) -> Vec<(Vec<u8>, Option<i16>, Vec<u8>)> {
        std::mem::take(&mut self.heard)
    }

    fn notes(&mut self) -> Vec<Note> {
        self.out.take_notes()
    }

    /// The only note.
    #[track_caller]
    fn note(&mut self) -> (NoteKind, String) {
        let mut notes = self.notes();
        assert_eq!(notes.len(), 1, "{notes:?}");
        let note = notes.remove(0);
        (note.kind, note.text)
    }

    /// Delivered, failed, unanswered.
    fn counts(&self) -> [u64; 3] {
        let outcomes = self.station.outcomes();
        assert_eq!(outcomes.repeated, 0);
        [outcomes.delivered, outcomes.failed, outcomes.unanswered]
    }
}

fn long(node: Node) -> [u8; 8] {
    node.long.to_be_bytes()
}

/// Where a frame is for, in which manner, and its number.
fn destination(frame: &[u8]) -> (Node, Manner, u8) {
    match ToModule::parse(frame) {
        Some(ToModule::Transmit { id, to, manner, .. }) => (to, manner, id),
        other => panic!("{other:?}"),
    }
}
