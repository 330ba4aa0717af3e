//! Datagrams that wait for an acknowledgement.

use std::time::Duration;

use crate::time::Time;
use crate::transport::framing::BITS_PER_OCTET;
use crate::transport::framing::rh_serial::Header;

/// Most datagrams under way at a time.
const MOST: usize = 8;
/// How long RadioHead waits for an acknowledgement at least, and up to double.
const TIMEOUT_MS: u64 = 200;
/// Octets of an acknowledgement on the line, with some to spare.
const ACK_OCTETS: usize = 12;

/// A datagram that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    /// As it was sent the last time.
    pub(super) header: Header,
    pub(super) packet: Vec<u8>,
    pub(super) repetitions: u8,
    /// When it is repeated.
    pub(super) until: Time,
}

/// What is under way.
#[derive(Debug)]
pub(super) struct Flights {
    flying: Vec<Flight>,
    random: u64,
}

impl Flights {
    pub(super) fn new(seed: u64) -> Self {
        Self { flying: Vec::new(), random: seed | 1 }
    }

    /// Whether another one can be launched.
    pub(super) fn have_room(&self) -> bool {
        self.flying.len() < MOST
    }

    /// Whether there is one for this device.
    pub(super) fn go_to(&self, device: u8) -> bool {
        self.flying.iter().any(|flight| flight.header.to == device)
    }

    pub(super) fn launch(&mut self, flight: Flight) {
        self.flying.push(flight);
    }

    /// Takes out what this device acknowledges with this id.
    pub(super) fn take(&mut self, from: u8, id: u8) -> Option<Flight> {
        let is_it = |flight: &Flight| flight.header.to == from && flight.header.id == id;
        let at = self.flying.iter().position(is_it)?;
        Some(self.flying.swap_remove(at))
    }

    /// Takes out one that was not acknowledged in time.
    pub(super) fn expired(&mut self, now: Time) -> Option<Flight> {
        let at = self.flying.iter().position(|flight| flight.until <= now)?;
        Some(self.flying.swap_remove(at))
    }

    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.flying.iter().map(|flight| flight.until).min()
    }

    /// How long the acknowledgement of so many octets may take: the time of both on the line, and one
    /// that differs, so that two who repeat at once do not do so for ever.
    pub(super) fn patience(&mut self, octets: usize, baud: u32) -> Duration {
        let line = (octets + ACK_OCTETS) as u64 * u64::from(BITS_PER_OCTET) * 1_000
            / u64::from(baud.max(1));
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(line + TIMEOUT_MS + self.random % TIMEOUT_MS)
    }

    /// Forgets everything. Says how many that were.
    pub(super) fn clear(&mut self) -> u64 {
        let all = self.flying.len() as u64;
        self.flying.clear();
        all
    }
}
