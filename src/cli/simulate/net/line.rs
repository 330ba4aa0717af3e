//! All devices on one serial line: each has an address of its own there, or, where there are none, a node
//! id of its own behind a forwarder.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::Trouble;
use crate::cli::Failure;
use crate::cli::forwarder::{Header, split};
use crate::cli::line::{Place, Plan, Wire};
use crate::cli::link::{Interrupts, runtime};
use crate::core::Address;
use crate::transport::framing::Framing;

/// Devices that can be told apart by two octets.
const MOST_DEVICES: usize = 65_536;

/// Octets beside a message's payload, generously.
const OVERHEAD: usize = 64;

/// The line.
pub(in super::super) struct LineNet {
    // Dropped first: it belongs to the runtime.
    wire: Wire,
    interrupts: Interrupts,
    runtime: Runtime,
    framing: Framing,
    devices: usize,
    /// What has come, and for whom.
    inbox: VecDeque<(usize, Vec<u8>)>,
    origin: Instant,
}

impl LineNet {
    pub(super) fn open(plan: Plan, devices: usize) -> Result<Self, Failure> {
        if devices > MOST_DEVICES {
            return Err(Failure::usage(format!(
                "on a line there are at most {MOST_DEVICES} devices, and the watcher for wills is one"
            )));
        }
        let framing = plan.settings.framing;
        let runtime = runtime()?;
        let (wire, interrupts) =
            runtime.block_on(async { (Wire::open(plan, false), Interrupts::new()) });
        let (wire, interrupts) = (wire?, interrupts?);
        let (inbox, origin) = (VecDeque::new(), Instant::now());
        Ok(Self { wire, interrupts, runtime, framing, devices, inbox, origin })
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn wait(&mut self, longest: u64, ready: &mut Vec<usize>) -> Result<bool, Failure> {
        ready.clear();
        let Self { wire, interrupts, runtime, framing, devices, inbox, .. } = self;
        let mut take = |address: &Address, packet: &[u8]| {
            // What is for everybody is none of these devices' business.
            let found = device(*framing, address, packet).filter(|(device, _)| device < devices);
            if let Some((device, packet)) = found {
                ready.push(device);
                inbox.push_back((device, packet.to_vec()));
            }
        };
        runtime.block_on(async {
            // So that the system is asked for news even if there is no time to wait.
            yield_now().await;
            tokio::select! {
                biased;
                () = interrupts.next() => Ok(true),
                received = wire.receive(&mut take) => received.map(|()| false),
                () = sleep(Duration::from_micros(longest)) => Ok(false),
            }
        })
    }

    pub(super) fn receive(&mut self, device: usize) -> Result<Vec<u8>, Trouble> {
        match self.inbox.pop_front() {
            Some((next, packet)) if next == device => Ok(packet),
            // None of the order in which they were said to be ready.
            _ => Err(Trouble::Later),
        }
    }

    pub(super) fn send(&mut self, device: usize, packet: &[u8]) -> Result<(), Trouble> {
        let number = u16::try_from(device).map_err(|_| Trouble::Other)?;
        let dropped = self.wire.dropped();
        match Place::of(self.framing, number) {
            Place::Nowhere => {
                let header = Header::new(&number.to_be_bytes()).ok_or(Trouble::Other)?;
                self.wire.push(None, &header.wrap(packet));
            }
            place @ Place::At(_) => self.wire.push(place.address(), packet),
        }
        if self.wire.dropped() > dropped { Err(Trouble::Other) } else { Ok(()) }
    }

    pub(super) fn has_room(&self, octets: usize) -> bool {
        self.wire.room() > octets.saturating_add(OVERHEAD)
    }

    pub(super) fn noise(&self) -> u64 {
        self.wire.discarded().octets
    }

    pub(super) fn silence(&self) -> String {
        self.wire.silence()
    }
}

/// Which device a packet is for, and the packet without the forwarder's header.
fn device<'a>(framing: Framing, address: &Address, packet: &'a [u8]) -> Option<(usize, &'a [u8])> {
    let (octets, packet) = match Place::of(framing, 0) {
        Place::Nowhere => split(packet)?,
        Place::At(_) => (address.octets(), packet),
    };
    Some((u16::from_be_bytes(octets.try_into().ok()?).into(), packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_find_their_device() {
        let header = Header::new(&[1, 2]).unwrap();
        for (_, framing) in Framing::WORDS {
            let (address, packet) = match Place::of(framing, 0x0102) {
                Place::Nowhere => (Address::NONE, header.wrap(&[2, 0x17])),
                Place::At(address) => (address, vec![2, 0x17]),
            };
            assert_eq!(device(framing, &address, &packet), Some((0x0102, &[2, 0x17][..])));
            assert_eq!(device(framing, &Address::NONE, &[5, 0, 1, 0, 9]), None, "ADVERTISE");
        }
    }
}
