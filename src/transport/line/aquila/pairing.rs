//! Which addresses can be given to devices.

use std::time::Duration;

use crate::time::Time;

/// Addresses of devices.
const LAST: u8 = 253;
/// A device that asks again within this time has missed its answer. It calls itself by an octet, so
/// that another one may have the same name later.
const AGAIN: Duration = Duration::from_secs(30);

/// Addresses that were heard or given away since the start.
///
/// Nothing is kept beyond it, and a device that sleeps may not have been heard: the first address is
/// a random one, so that it seldom is that of another device.
#[derive(Debug)]
pub(super) struct Pairing {
    taken: [bool; LAST as usize],
    next: usize,
    last: Option<(u8, u8, Time)>,
}

impl Pairing {
    pub(super) fn new(seed: u64) -> Self {
        let taken = [false; LAST as usize];
        let next = usize::from(seed.to_be_bytes()[0]) % taken.len();
        Self { taken, next, last: None }
    }

    /// There is a device with this address.
    pub(super) fn heard(&mut self, address: u16) {
        let at = usize::from(address).checked_sub(1);
        if let Some(taken) = at.and_then(|at| self.taken.get_mut(at)) {
            *taken = true;
        }
    }

    /// An address for the device that calls itself so; `None` if there is none left.
    pub(super) fn address(&mut self, now: Time, device: u8) -> Option<u8> {
        if let Some((known, address, at)) = self.last
            && known == device
            && now.since(at) <= AGAIN
        {
            return Some(address);
        }
        let all = self.taken.len();
        let mut from_next = (0..all).map(|step| (self.next + step) % all);
        let at = from_next.find(|at| self.taken.get(*at) == Some(&false))?;
        let address = u8::try_from(at + 1).ok()?;
        self.heard(address.into());
        self.next = (at + 1) % all;
        self.last = Some((device, address, now));
        Some(address)
    }
}
