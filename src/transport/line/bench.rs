//! A station by itself, for tests: what it hears, writes and says.

use super::Settings;
use super::station::{Note, NoteKind, Outbox, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Framing;

/// A line with 115,200 bits a second.
pub(super) fn settings(framing: Framing, max_packet: usize) -> Settings {
    Settings { baud: 115_200, max_packet, ..Settings::new(framing) }
}

pub(super) struct Bench<S> {
    pub(super) station: S,
    pub(super) now: Time,
    out: Outbox,
    /// Address, signal and packet.
    heard: Vec<(Vec<u8>, Signal, Vec<u8>)>,
}

impl<S: Station> Bench<S> {
    /// A line that has just been opened.
    pub(super) fn new(station: S) -> Self {
        let (now, out) = (Time(1_000), Outbox::default());
        let mut bench = Self { station, now, out, heard: Vec::new() };
        bench.open();
        bench
    }

    pub(super) fn open(&mut self) {
        self.station.opened(self.now, &mut self.out);
    }

    pub(super) fn hear(&mut self, octets: &[u8]) {
        self.hear_on(Port::Main, octets);
    }

    pub(super) fn hear_on(&mut self, port: Port, octets: &[u8]) {
        let Self { station, now, out, heard } = self;
        station.feed(*now, port, octets, out, &mut |from, signal, packet| {
            heard.push((from.octets().to_vec(), signal, packet.to_vec()));
        });
    }

    /// An empty address is everybody.
    pub(super) fn send(&mut self, to: &[u8], packet: &[u8]) -> Result<(), Unsendable> {
        assert!(self.station.is_ready());
        let address = Address::new(to).unwrap();
        let to = if to.is_empty() { To::All } else { To::One(&address) };
        self.station.send(self.now, to, packet, &mut self.out)
    }

    /// Lets so many milliseconds go by.
    pub(super) fn wait(&mut self, ms: u64) {
        let end = Time(self.now.0 + ms);
        while let Some(next) = self.station.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.station.timeout(self.now, &mut self.out);
            assert!(self.station.next_timeout() != Some(next), "it would be called for ever");
        }
        self.now = end;
    }

    pub(super) fn written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out.octets)
    }

    /// Addresses and packets heard.
    pub(super) fn packets(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.heard.drain(..).map(|(from, _, packet)| (from, packet)).collect()
    }

    pub(super) fn signals(&mut self) -> Vec<Signal> {
        self.heard.drain(..).map(|(_, signal, _)| signal).collect()
    }

    pub(super) fn notes(&mut self) -> Vec<Note> {
        self.out.take_notes()
    }

    /// Texts of the notes of this kind, and forgets the others.
    pub(super) fn said(&mut self, kind: NoteKind) -> Vec<String> {
        let notes = self.notes().into_iter();
        notes.filter(|note| note.kind == kind).map(|note| note.text).collect()
    }

    /// Outcomes: delivered, failed, unanswered, repeated.
    pub(super) fn counts(&self) -> [u64; 4] {
        let outcomes = self.station.outcomes();
        [outcomes.delivered, outcomes.failed, outcomes.unanswered, outcomes.repeated]
    }
}

/// Carries what both ends write to the other until both are silent.
pub(super) fn join<A: Station, B: Station>(one: &mut Bench<A>, two: &mut Bench<B>) {
    loop {
        let (there, back) = (one.written(), two.written());
        if there.is_empty() && back.is_empty() {
            return;
        }
        two.hear(&there);
        one.hear(&back);
    }
}
