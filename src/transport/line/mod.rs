//! A line without IO: what is on it, what waits for it, and how fast it goes.
//!
//! [`Line`] joins a [`Station`], which knows what sits at the other end, with a queue and a pace. It
//! is fed with octets and the time, and drained of octets.

mod airtime;
mod aquila;
#[cfg(test)]
mod bench;
mod hub;
mod loralink;
mod pace;
mod plain;
mod rh_serial;
mod station;
mod xbee;

use std::hash::{BuildHasher, RandomState};

use bytes::BytesMut;

pub use airtime::{Ability, Air, Lora};
pub use aquila::{Aquila, AquilaBridge, AquilaSettings, Key};
pub use hub::{Hub, HubEnd};
pub use loralink::{LoraLink, LoraModem};
pub use rh_serial::{RhDevices, RhSerial, RhSettings};
pub use station::{Each, Note, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
pub use xbee::Module as XbeeModule;

use super::framing::xbee::Mode;
use super::framing::{Discarded, Framing, Packing};
use super::queue::{Queue, Queued};
use crate::core::Address;
use crate::time::Time;
use pace::Pace;
use plain::Plain;
use xbee::Xbee;

/// What may wait to be written: what the line carries in this many seconds. More would come after
/// it has been repeated.
const QUEUE_SECONDS: u64 = 4;
/// The same at least, octets, so that slow lines can have some answers and messages.
const QUEUE_MIN: usize = 2_048;

/// How a line is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is spoken on it.
    pub framing: Framing,
    /// Bits a second.
    pub baud: u32,
    /// Longest packet either way, octets, the header of a forwarder included.
    pub max_packet: usize,
    /// What the radio behind it can carry.
    pub air: Air,
    /// How much of the time the radio may be on the air, in hundredths of a percent, 1..=10,000.
    pub duty_cycle: Option<u16>,
    /// What [`Framing::RhSerial`] wants to know.
    pub rh_serial: RhSettings,
    /// What [`Framing::Aquila`] wants to know.
    pub aquila: AquilaSettings,
}

impl Settings {
    /// The defaults of a framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let baud = match framing {
            Framing::LoraLink | Framing::Aquila => 115_200,
            _ => 57_600,
        };
        let max_packet = match framing {
            // What RadioHead has room for as it comes.
            Framing::RhSerial => 60,
            Framing::LoraLink | Framing::Aquila => Self::longest_packet(framing),
            _ => 1_024,
        };
        Self {
            framing,
            baud,
            max_packet,
            air: Air::default(),
            duty_cycle: None,
            rh_serial: RhSettings::default(),
            aquila: AquilaSettings::default(),
        }
    }

    /// The most that `max_packet` can be.
    #[must_use]
    pub fn longest_packet(framing: Framing) -> usize {
        match framing {
            Framing::Slip | Framing::Cobs | Framing::Length | Framing::Xbee | Framing::Hub => {
                65_535
            }
            // What fits the octet in which it counts.
            Framing::RhSerial => 251,
            Framing::LoraLink => 246,
            Framing::Aquila => 54,
        }
    }
}

/// Which end of a line is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// That of the gateway, or of anybody else who has a radio at the other end.
    Host,
    /// The other one: that of devices, or of the radio that brings their packets. With framings that
    /// have addresses, packets go and come under those of the devices.
    Devices {
        /// Address of the gateway, for [`Framing::RhSerial`].
        gateway: u8,
    },
}

/// A line.
#[derive(Debug)]
pub struct Line {
    station: Box<dyn Station>,
    max_packet: usize,
    open: bool,
    queue: Queue,
    pace: Pace,
    /// What the configuration says of the radio, and what the radio itself has said.
    configured: Ability,
    said: Ability,
    outbox: Outbox,
    stats: Stats,
}

/// What went through a line since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Packets received.
    pub received: u64,
    /// Packets put on the line.
    pub sent: u64,
    /// Packets dropped because too many octets waited to be sent.
    pub overflow_drops: u64,
    /// Packets dropped because the device was away, or went away while they waited.
    pub away_drops: u64,
    /// Packets dropped because they are longer than the radio can carry, or have no address of it.
    pub unsendable: u64,
    /// Packets dropped because their device cannot be reached.
    pub unreachable_drops: u64,
    /// Packets that were repeated while the first of them still waited, and so were not queued.
    pub merged: u64,
}

impl Line {
    /// The gateway's end of a line that is not open yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self::at(End::Host, settings)
    }

    /// This end of a line that is not open yet.
    #[must_use]
    pub fn at(end: End, settings: &Settings) -> Self {
        let Settings { framing, baud, max_packet, air, duty_cycle, .. } = *settings;
        let station: Box<dyn Station> = match (framing, end) {
            (Framing::Slip, _) => Box::new(Plain::new(Packing::Slip, max_packet, baud)),
            (Framing::Cobs, _) => Box::new(Plain::new(Packing::Cobs, max_packet, baud)),
            (Framing::Length, _) => Box::new(Plain::new(Packing::Length, max_packet, baud)),
            (Framing::Xbee, End::Host) => Box::new(Xbee::new(max_packet, baud)),
            // The mode to which modules are set best.
            (Framing::Xbee, End::Devices { .. }) => {
                Box::new(XbeeModule::new(Mode::Escaped, max_packet, baud))
            }
            (Framing::Hub, End::Host) => Box::new(Hub::new(max_packet)),
            (Framing::Hub, End::Devices { .. }) => Box::new(HubEnd::new(max_packet)),
            (Framing::RhSerial, End::Host) => Box::new(RhSerial::new(settings, seed())),
            (Framing::RhSerial, End::Devices { gateway }) => {
                Box::new(RhDevices::new(settings, gateway))
            }
            (Framing::LoraLink, End::Host) => Box::new(LoraLink::new(max_packet)),
            (Framing::LoraLink, End::Devices { .. }) => Box::new(LoraModem::new(max_packet)),
            (Framing::Aquila, End::Host) => Box::new(Aquila::new(settings, seed())),
            (Framing::Aquila, End::Devices { .. }) => Box::new(AquilaBridge::new(max_packet)),
        };
        let configured = Ability { air, duty_cycle };
        let mut pace = Pace::new(baud);
        pace.set_air(configured, max_packet);
        let carries = QUEUE_SECONDS.saturating_mul(pace.octets_per_second());
        let most = usize::try_from(carries).unwrap_or(usize::MAX);
        Self {
            station,
            max_packet,
            open: false,
            queue: Queue::new(most.max(QUEUE_MIN).max(2 * max_packet)),
            pace,
            configured,
            said: Ability::default(),
            outbox: Outbox::default(),
            stats: Stats::default(),
        }
    }

    /// The line was opened.
    pub fn opened(&mut self, now: Time) {
        self.open = true;
        self.station.opened(now, &mut self.outbox);
    }

    /// It is gone: nobody is there to read what waits.
    pub fn closed(&mut self) {
        self.open = false;
        self.stats.away_drops += self.queue.clear();
        self.outbox.octets.clear();
    }

    /// Takes what has come and gives each packet to `each`.
    pub fn feed(&mut self, now: Time, port: Port, octets: &[u8], each: &mut Each<'_>) {
        let Self { station, outbox, stats, .. } = self;
        station.feed(now, port, octets, outbox, &mut |from, signal, packet| {
            stats.received += 1;
            each(from, signal, packet);
        });
        self.forget_unreachable();
        let said = self.station.ability();
        if said != self.said {
            self.said = said;
            let longest = self.largest();
            self.pace.set_air(self.configured.with(said), longest);
        }
    }

    /// Queues a packet, for everybody without an address. What has no room, and what is sent while the
    /// device is away, is dropped and counted, as radios may.
    pub fn push(&mut self, to: Option<&Address>, packet: &[u8]) {
        if !self.open {
            self.stats.away_drops += 1;
            return;
        }
        match self.queue.push(to, packet) {
            Queued::Waits => {}
            Queued::Already => self.stats.merged += 1,
            Queued::Full => self.stats.overflow_drops += 1,
        }
    }

    /// The device there begins anew: what waits for it, in packets that begin with the header `head` of
    /// a forwarder, or with none, is of no use any more.
    pub fn recall(&mut self, to: &Address, head: &[u8]) {
        self.queue.recall(to, head);
    }

    /// Appends to `out` the frames that may be written now: what the station has to say, and, in turn,
    /// what waits, as far as the pace allows. Call it again when [`Self::next_timeout`] has come.
    pub fn poll_output(&mut self, now: Time, out: &mut BytesMut) {
        if !self.open {
            return;
        }
        if self.station.next_timeout().is_some_and(|at| at <= now) {
            self.station.timeout(now, &mut self.outbox);
            self.forget_unreachable();
        }
        self.write(now, out);
        while self.next_packet(now).is_some_and(|at| at <= now)
            && let Some(next) = self.queue.pop(takes(&*self.station))
        {
            let to = next.to.as_ref().map_or(To::All, To::One);
            match self.station.send(now, to, &next.packet, &mut self.outbox) {
                Ok(()) => {
                    self.stats.sent += 1;
                    self.pace.send(now, next.packet.len());
                    self.write(now, out);
                }
                Err(why) => {
                    self.stats.unsendable += 1;
                    self.outbox.note(NoteKind::Trouble, self.explain(why, next.packet.len()));
                }
            }
            self.queue.reuse(next.packet);
        }
    }

    /// When [`Self::poll_output`] will have something to do, if nothing happens before.
    #[must_use]
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        if !self.open {
            return None;
        }
        [self.station.next_timeout(), self.next_packet(now)].into_iter().flatten().min()
    }

    /// Octets of publications for which there is room: what the core may send.
    #[must_use]
    pub fn room(&self) -> usize {
        // What is for devices stays with the core while the line is away.
        if self.open { self.queue.room() } else { 0 }
    }

    /// Whether nothing waits any more to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.peek(|_| true).is_none()
    }

    /// Octets of the longest packet that can be sent.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.max_packet.min(self.station.largest())
    }

    /// What went through it.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What came in and was thrown away before anybody saw it.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.station.discarded()
    }

    /// What the radio said about what was sent.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        self.station.outcomes()
    }

    /// Whether [`Self::take_notes`] would give any.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        self.outbox.has_notes()
    }

    /// What the operator wants to know.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.outbox.take_notes()
    }

    fn forget_unreachable(&mut self) {
        while let Some(device) = self.outbox.take_unreachable() {
            self.stats.unreachable_drops += self.queue.forget(&device);
        }
    }

    /// When the packet whose turn it is may be written.
    fn next_packet(&self, now: Time) -> Option<Time> {
        if !self.station.is_ready() {
            return None;
        }
        let next = self.queue.peek(takes(&*self.station))?;
        Some(self.pace.next(now, next.packet.len()))
    }

    /// Moves what the station has said to the line.
    fn write(&mut self, now: Time, out: &mut BytesMut) {
        if !self.outbox.octets.is_empty() {
            self.pace.write(now, self.outbox.octets.len());
            out.extend_from_slice(&self.outbox.octets);
            self.outbox.octets.clear();
        }
    }

    fn explain(&self, why: Unsendable, octets: usize) -> String {
        match why {
            Unsendable::TooLong => format!(
                "a packet of {octets} octets was dropped: the radio carries {} at most",
                self.largest()
            ),
            Unsendable::BadAddress => "a packet was dropped: its address is none of this line's. \
                                       Did the framing change?"
                .to_owned(),
        }
    }
}

/// Another one at each start.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

fn takes(station: &dyn Station) -> impl Fn(Option<&Address>) -> bool {
    |to| station.takes(to.map_or(To::All, To::One))
}

#[cfg(test)]
mod tests;
