//! RadioHead's RH_Serial: addresses of one octet, and, if wanted, the acknowledgements of
//! RHReliableDatagram.
//!
//! ```text
//! to 7, from 1, id 42, flags 00   →
//!                                 ←   to 1, from 7, id 42, flags 80, "!"
//! ```
//!
//! A datagram that is not acknowledged is sent again, with flag 40. RadioHead takes what comes twice
//! in a row with the same id for one, so there is one under way for a device, and ids go round for
//! each device by itself. Devices with RHReliableDatagram look at the ids of everything that they
//! receive.

mod devices;
mod flights;
mod heard;

use super::station::{Each, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
use super::{Air, Settings};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::rh_serial::{Decoder, Header, encode};
pub use devices::RhDevices;
use flights::{Flight, Flights};
use heard::Heard;

/// Everybody.
const BROADCAST: u8 = 0xFF;
/// This acknowledges.
const ACK: u8 = 0x80;
/// This was sent before.
const RETRY: u8 = 0x40;
/// What RadioHead has in an acknowledgement: some radios cannot receive an empty one.
const ACK_PAYLOAD: &[u8] = b"!";
/// Most octets of a datagram: RadioHead counts them, and its header of four, in an octet.
const LARGEST: usize = 251;
/// Times that a datagram is repeated, as RadioHead does.
const REPETITIONS: u8 = 3;
/// Datagrams without an answer after which something must be wrong, if there was none at all.
const SILENT: u64 = 4;

/// How the line is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RhSettings {
    /// Our own address, 0..=254.
    pub address: u8,
    /// Datagrams are acknowledged, both ways.
    pub reliable: bool,
}

impl Default for RhSettings {
    fn default() -> Self {
        Self { address: 1, reliable: false }
    }
}

/// Speaks with whatever has RadioHead at the other end of the line. Both ends are alike.
#[derive(Debug)]
pub struct RhSerial {
    settings: RhSettings,
    max_packet: usize,
    baud: u32,
    air: Air,
    decoder: Decoder,
    /// Last id that was used, by device.
    ids: [u8; 256],
    heard: Heard,
    flights: Flights,
    outcomes: Outcomes,
    /// Octets of frames that were whole and of no use.
    ignored: u64,
    told: Told,
}

/// What was said since the line was opened; once is enough.
#[derive(Debug, Default)]
struct Told {
    our_address: bool,
    reliable: bool,
    silence: bool,
    /// Something was acknowledged.
    acked: bool,
}

impl RhSerial {
    /// A line that is not open yet. `seed` is another one at each start.
    #[must_use]
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let Settings { max_packet, baud, air, rh_serial, .. } = *settings;
        let max_packet = max_packet.min(LARGEST);
        let mut ids = [0; 256];
        // A device that knows the last id from before our start would take another datagram for it.
        for (id, spread) in ids.iter_mut().zip((0..).map(|at: u64| at.wrapping_mul(167))) {
            *id = seed.wrapping_add(spread).to_be_bytes()[7];
        }
        Self {
            settings: rh_serial,
            max_packet,
            baud,
            air,
            decoder: Decoder::new(max_packet),
            ids,
            heard: Heard::default(),
            flights: Flights::new(seed),
            outcomes: Outcomes::default(),
            ignored: 0,
            told: Told::default(),
        }
    }

    /// The id of the next datagram to a device. Never 0: devices that have just started believe that
    /// they have seen it.
    fn next_id(&mut self, to: u8) -> u8 {
        let Some(id) = self.ids.get_mut(usize::from(to)) else { return 1 };
        *id = id.checked_add(1).unwrap_or(1);
        *id
    }

    /// Takes a frame that is whole.
    fn take(
        &mut self,
        now: Time,
        header: Header,
        payload: &[u8],
        out: &mut Outbox,
        each: &mut Each<'_>,
    ) {
        let Header { to, from, flags, .. } = header;
        let ours = self.settings.address;
        if from == ours {
            if !self.told.our_address && to != BROADCAST {
                self.told.our_address = true;
                out.note(NoteKind::Trouble, same_address(ours));
            }
            return self.ignore(header, payload);
        }
        if from == BROADCAST || to != ours && to != BROADCAST {
            return self.ignore(header, payload);
        }
        if flags & ACK != 0 {
            return self.acknowledged(header, out);
        }
        let Some(address) = Address::new(&[from]) else { return };
        if to == ours {
            let is_new = self.heard.is_new(now, header, payload);
            if self.settings.reliable {
                let ack = Header { to: from, from: ours, id: header.id, flags: ACK };
                encode(ack, ACK_PAYLOAD, &mut out.octets);
                if !is_new {
                    return;
                }
            } else if !is_new {
                self.is_reliable(from, out);
            }
        }
        each(&address, Signal::default(), payload);
    }

    /// A device acknowledges, or repeats itself until it is acknowledged, and nobody has said so.
    fn is_reliable(&mut self, device: u8, out: &mut Outbox) {
        if !self.told.reliable {
            self.told.reliable = true;
            out.note(NoteKind::Trouble, reliable(device));
        }
    }

    fn ignore(&mut self, header: Header, payload: &[u8]) {
        self.ignored += header.encoded_len(payload) as u64;
    }

    fn acknowledged(&mut self, header: Header, out: &mut Outbox) {
        let Header { to, from, id, .. } = header;
        if !self.settings.reliable {
            return self.is_reliable(from, out);
        }
        if to == self.settings.address && self.flights.take(from, id).is_some() {
            self.outcomes.delivered += 1;
            self.told.acked = true;
        }
    }

    /// Sends a datagram that is to be acknowledged.
    fn launch(&mut self, now: Time, mut flight: Flight, out: &mut Outbox) {
        encode(flight.header, &flight.packet, &mut out.octets);
        let octets = flight.header.encoded_len(&flight.packet);
        let air = self.air.time(flight.packet.len()) + self.air.time(ACK_PAYLOAD.len());
        let until = self.flights.patience(octets, self.baud).saturating_add(air);
        flight.until = now.after(until);
        self.flights.launch(flight);
    }

    fn unanswered(&mut self, to: u8, out: &mut Outbox) {
        self.outcomes.unanswered += 1;
        let text = format!("to {to:02X}: no acknowledgement, after {REPETITIONS} repetitions");
        out.note(NoteKind::Undelivered, text);
        if !self.told.acked && !self.told.silence && self.outcomes.unanswered >= SILENT {
            self.told.silence = true;
            out.note(NoteKind::Trouble, SILENCE);
        }
    }
}

impl Station for RhSerial {
    fn opened(&mut self, _: Time, _: &mut Outbox) {
        self.decoder.reset();
        self.outcomes.unanswered += self.flights.clear();
        self.told = Told::default();
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        decoder.feed(octets, &mut |header, payload| self.take(now, header, payload, out, each));
        self.decoder = decoder;
    }

    fn is_ready(&self) -> bool {
        self.flights.have_room()
    }

    fn takes(&self, to: To<'_>) -> bool {
        match to {
            To::All => true,
            To::One(address) => !matches!(*address.octets(), [to] if self.flights.go_to(to)),
        }
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
        let from = self.settings.address;
        let to = match to {
            To::All => BROADCAST,
            To::One(address) => match *address.octets() {
                [to] if to != BROADCAST && to != from => to,
                _ => return Err(Unsendable::BadAddress),
            },
        };
        let header = Header { to, from, id: self.next_id(to), flags: 0 };
        if self.settings.reliable && to != BROADCAST {
            let flight = Flight { header, packet: packet.to_vec(), repetitions: 0, until: now };
            self.launch(now, flight, out);
        } else {
            encode(header, packet, &mut out.octets);
        }
        Ok(())
    }

    fn next_timeout(&self) -> Option<Time> {
        self.flights.next_timeout()
    }

    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        while let Some(mut flight) = self.flights.expired(now) {
            if flight.repetitions == REPETITIONS {
                self.unanswered(flight.header.to, out);
                continue;
            }
            flight.repetitions += 1;
            flight.header.flags = RETRY;
            self.outcomes.repeated += 1;
            self.launch(now, flight, out);
        }
    }

    fn largest(&self) -> usize {
        self.max_packet
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

/// Nobody has ever acknowledged anything.
const SILENCE: &str = "nothing that was sent has been acknowledged. Devices must use \
    RHReliableDatagram, not RHDatagram (or take `reliable = true` away), and hear us: check the wire \
    to their RX";

fn same_address(ours: u8) -> String {
    format!(
        "a device uses address {ours:02X} ({ours}), which is our own, or the line echoes. Give one \
         of the two another: setThisAddress() there, `address` here"
    )
}

fn reliable(device: u8) -> String {
    format!(
        "{device:02X} uses RHReliableDatagram, and while it waits for acknowledgements it hears nothing \
         else: set `reliable = true`"
    )
}

#[cfg(test)]
mod tests;
