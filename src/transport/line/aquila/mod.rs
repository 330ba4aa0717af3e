//! Aquila's bridges: an Arduino with a radio that keeps a network of up to 253 devices, which may be
//! encrypted.
//!
//! ```text
//!                        ←   ACK, CONFIG?            the bridge has started
//! CONFIG (PAN id, key)   →
//! leave pairing          →
//!                        ←   ACK
//! packet for 0005        →
//!                        ←   ACK | NACK
//! ```
//!
//! One frame is under way. What the bridge says of it has no number: an answer that comes after we
//! have given up counts for the next frame.

mod bridge;
mod pairing;

use std::fmt;
use std::time::Duration;

pub use bridge::AquilaBridge;

use super::Settings;
use super::station::{Each, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::aquila::{Decoder, encode};
use pairing::Pairing;

const NACK: u8 = 0x00;
const ACK: u8 = 0x01;
const CONFIG: u8 = 0x02;
const PAIR: u8 = 0x03;
const PACKET: u8 = 0xFE;
/// After PAIR: leave pairing, enter it, a device asks, it is answered.
const LEAVE: u8 = 0x00;
const ENTER: u8 = 0x01;
const ASKS: u8 = 0x02;
const ANSWER: u8 = 0x03;

/// Everybody.
const BROADCAST: u16 = 0x00FF;
/// Octets before a packet from the bridge: LQI, RSSI, length, type, radius, address.
const HEAD: usize = 7;
/// Most octets of a packet: the radio carries 60 with its own head.
const LARGEST: usize = 54;
/// How long an Arduino takes that has been restarted by the opening of its port.
const START: Duration = Duration::from_millis(2_200);
/// How long a bridge that does not know CONFIG has to say so; the others do not answer it.
const REFUSAL: Duration = Duration::from_millis(300);
/// How long the bridge may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Frames in a row of which the bridge says nothing, after which it is set up again.
const SILENT: u32 = 2;

/// What encrypts the network. Not shown.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// Not encrypted.
    pub const NONE: Self = Self([0xFF; 16]);
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// How the network is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AquilaSettings {
    /// Which network, 1..=255.
    pub pan_id: u8,
    /// Its key.
    pub key: Key,
    /// Whoever asks is given an address and the key; nothing else goes on.
    pub pairing: bool,
}

impl Default for AquilaSettings {
    fn default() -> Self {
        Self { pan_id: 1, key: Key::NONE, pairing: false }
    }
}

/// Speaks with a bridge.
#[derive(Debug)]
pub struct Aquila {
    settings: AquilaSettings,
    max_packet: usize,
    decoder: Decoder,
    phase: Phase,
    pairing: Pairing,
    /// Frames in a row of which the bridge has said nothing.
    silent: u32,
    /// What was said since the line was opened; once is enough.
    told: Told,
    outcomes: Outcomes,
    /// Octets of frames that were whole and of no use.
    ignored: u64,
}

#[derive(Debug, Default)]
struct Told {
    silence: bool,
    refusal: bool,
    full: bool,
}

/// What is waited for, and until when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The line is not open, or the bridge is set up and has nothing to do.
    Idle,
    /// The bridge starts.
    Starting(Time),
    /// It has been sent CONFIG.
    Configuring(Time),
    /// It enters pairing, or leaves it.
    Switching(Time),
    /// It sends a packet to this address.
    Sending(u16, Time),
    /// It sends a device its new address, which is this one.
    Pairing(u8, Time),
}

impl Aquila {
    /// A line that is not open yet. `seed` is another one at each start.
    #[must_use]
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let Settings { max_packet, aquila, .. } = *settings;
        Self {
            settings: aquila,
            max_packet,
            decoder: Decoder::new(max_packet.saturating_add(HEAD)),
            phase: Phase::Idle,
            pairing: Pairing::new(seed),
            silent: 0,
            told: Told::default(),
            outcomes: Outcomes::default(),
            ignored: 0,
        }
    }

    /// Takes a frame with a right CRC. Its length says nothing: the two ends count differently.
    fn take(&mut self, now: Time, frame: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        match *frame {
            [_, _, _, ACK] => self.answered(now, true, out),
            [_, _, _, NACK] => self.answered(now, false, out),
            [_, _, _, CONFIG] => {
                // It has been restarted, and does not know of what was under way.
                if matches!(self.phase, Phase::Sending(..)) {
                    self.outcomes.unanswered += 1;
                }
                self.configure(now, out);
            }
            [lqi, rssi, _, PACKET, _, low, high, ref packet @ ..] => {
                let address = u16::from_le_bytes([low, high]);
                match Address::new(&address.to_be_bytes()) {
                    Some(from) if is_device(address) => {
                        self.pairing.heard(address);
                        each(&from, signal(lqi, rssi), packet);
                    }
                    _ => self.ignored += frame.len() as u64,
                }
            }
            [_, _, _, PAIR, ASKS, 0, 0, _, PAIR, device, ..]
                if self.settings.pairing && self.phase == Phase::Idle =>
            {
                self.answer(now, device, out);
            }
            _ => self.ignored += frame.len() as u64,
        }
    }

    /// The bridge has done what it was told, or says that it cannot.
    fn answered(&mut self, now: Time, done: bool, out: &mut Outbox) {
        self.silent = 0;
        match self.phase {
            Phase::Idle | Phase::Starting(_) => return,
            Phase::Configuring(_) => {
                if !done && self.settings.key != Key::NONE && !self.told.refusal {
                    self.told.refusal = true;
                    out.note(NoteKind::Trouble, REFUSED);
                }
                return self.switch(now, out);
            }
            Phase::Switching(_) => out.note(NoteKind::Found, self.describe()),
            Phase::Sending(..) if done => self.outcomes.delivered += 1,
            Phase::Sending(to, _) => {
                self.outcomes.failed += 1;
                out.note(NoteKind::Undelivered, format!("to {to:04X}: refused by the bridge"));
            }
            Phase::Pairing(address, _) if done => {
                let text = format!("a device was given address {address:04X}, and the key");
                out.note(NoteKind::Found, text);
            }
            Phase::Pairing(..) => {
                out.note(
                    NoteKind::Undelivered,
                    "a device that wants to be paired was not answered",
                );
            }
        }
        self.phase = Phase::Idle;
    }

    /// Tells the bridge which network it keeps.
    fn configure(&mut self, now: Time, out: &mut Outbox) {
        let AquilaSettings { pan_id, key, .. } = self.settings;
        encode(&[&[19, CONFIG, pan_id][..], &key.0].concat(), &mut out.octets);
        self.phase = Phase::Configuring(now.after(REFUSAL));
    }

    /// Has it enter pairing, or leave it: it may be in it since before our start.
    fn switch(&mut self, now: Time, out: &mut Outbox) {
        let switch = if self.settings.pairing { ENTER } else { LEAVE };
        encode(&[3, PAIR, switch], &mut out.octets);
        self.phase = Phase::Switching(now.after(PATIENCE));
    }

    /// A device wants to be paired; it calls itself by a random octet.
    fn answer(&mut self, now: Time, device: u8, out: &mut Outbox) {
        let Some(address) = self.pairing.address(now, device) else {
            if !self.told.full {
                self.told.full = true;
                out.note(NoteKind::Trouble, FULL);
            }
            return;
        };
        let AquilaSettings { pan_id, key, .. } = self.settings;
        let head = [7, PAIR, ANSWER, 0, 0, 21, PAIR, device, address, pan_id];
        encode(&[&head[..], &key.0].concat(), &mut out.octets);
        self.phase = Phase::Pairing(address, now.after(PATIENCE));
    }

    fn unanswered(&mut self, now: Time, out: &mut Outbox) {
        self.silent += 1;
        self.phase = Phase::Idle;
        if self.silent.is_multiple_of(SILENT) {
            self.silence(out);
            self.configure(now, out);
        }
    }

    fn silence(&mut self, out: &mut Outbox) {
        if !self.told.silence {
            self.told.silence = true;
            out.note(NoteKind::Trouble, SILENCE);
        }
    }

    fn describe(&self) -> String {
        let AquilaSettings { pan_id, key, pairing, .. } = self.settings;
        let encrypted = if key == Key::NONE { "not encrypted" } else { "encrypted" };
        let pairs = if pairing { ". It pairs devices and does nothing else" } else { "" };
        format!("a bridge with PAN id {pan_id}, {encrypted}{pairs}")
    }
}

/// Whether a device can have this address.
fn is_device(address: u16) -> bool {
    ![0, BROADCAST, 0xFFFF].contains(&address)
}

fn signal(lqi: u8, rssi: u8) -> Signal {
    let dbm = i16::from(rssi.cast_signed());
    Signal {
        // Nothing is as loud as that: the bridge does not know.
        rssi: Some(dbm).filter(|dbm| *dbm < 0),
        // With an RFM69 it is the RSSI once more.
        lqi: Some(lqi).filter(|lqi| *lqi != rssi),
    }
}

impl Station for Aquila {
    fn opened(&mut self, now: Time, out: &mut Outbox) {
        self.decoder.reset();
        if matches!(self.phase, Phase::Sending(..)) {
            self.outcomes.unanswered += 1;
        }
        self.silent = 0;
        self.told = Told::default();
        self.phase = Phase::Starting(now.after(START));
        if self.settings.pairing {
            out.note(NoteKind::Trouble, PAIRS);
        }
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        decoder.feed(octets, &mut |frame| self.take(now, frame, out, each));
        self.decoder = decoder;
    }

    fn is_ready(&self) -> bool {
        self.phase == Phase::Idle && !self.settings.pairing
    }

    fn send(
        &mut self,
        now: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        if packet.len() > self.largest() {
            return Err(Unsendable::TooLong);
        }
        let to = match to {
            To::All => BROADCAST,
            To::One(address) => match *address.octets() {
                [high, low] if is_device(u16::from_be_bytes([high, low])) => {
                    u16::from_be_bytes([high, low])
                }
                _ => return Err(Unsendable::BadAddress),
            },
        };
        let [low, high] = to.to_le_bytes();
        encode(&[&[5, PACKET, 1, low, high], packet].concat(), &mut out.octets);
        self.phase = Phase::Sending(to, now.after(PATIENCE));
        Ok(())
    }

    fn next_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Idle => None,
            Phase::Starting(until)
            | Phase::Configuring(until)
            | Phase::Switching(until)
            | Phase::Sending(_, until)
            | Phase::Pairing(_, until) => Some(until),
        }
    }

    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        if self.next_timeout().is_none_or(|until| until > now) {
            return;
        }
        match self.phase {
            Phase::Idle => {}
            Phase::Starting(_) => self.configure(now, out),
            Phase::Configuring(_) => self.switch(now, out),
            Phase::Switching(_) => {
                self.silence(out);
                self.unanswered(now, out);
            }
            Phase::Pairing(..) => self.unanswered(now, out),
            Phase::Sending(to, _) => {
                self.outcomes.unanswered += 1;
                let text = format!("to {to:04X}: the bridge said nothing in 5 s");
                out.note(NoteKind::Undelivered, text);
                self.unanswered(now, out);
            }
        }
    }

    fn largest(&self) -> usize {
        self.max_packet.min(LARGEST)
    }

    fn discarded(&self) -> Discarded {
        let mut discarded = self.decoder.discarded();
        discarded.octets += self.ignored;
        discarded
    }

    fn outcomes(&self) -> Outcomes {
        self.outcomes
    }
}

const SILENCE: &str = "the bridge says nothing. Is it an Aquila bridge, and `baud` 115200? It is set up \
    again from time to time; if nothing comes of it, press its reset button";

const REFUSED: &str = "the bridge does not know CONFIG, so `key` has no effect and nothing is \
    encrypted. Put a newer firmware on it, or take `key` away";

const PAIRS: &str = "pairing is on: whoever asks is given an address and the key of the network, and \
    no messages go out. Take `pairing = true` away when the devices are paired";

const FULL: &str = "a device that wants to be paired was not answered: all 253 addresses were given \
    away or heard. Restart the gateway to count anew";

#[cfg(test)]
mod tests;
