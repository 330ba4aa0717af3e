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
use crate::cli::line::{Numbers, Plan, Tell, Wire, device_address, device_at};
use crate::cli::link::{Interrupts, runtime};
use crate::core::{Address, Signal};
use crate::transport::framing::Framing;

/// Octets beside a message's payload, generously.
const OVERHEAD: usize = 64;

/// The line.
pub(in super::super) struct LineNet {
    // Dropped first: it belongs to the runtime.
    wire: Wire,
    interrupts: Interrupts,
    runtime: Runtime,
    places: Places,
    /// What has come, and for whom.
    inbox: VecDeque<(usize, Vec<u8>)>,
    origin: Instant,
}

impl LineNet {
    pub(super) fn open(plan: Plan, devices: usize) -> Result<Self, Failure> {
        let (framing, peer, numbers) = (plan.framing(), plan.peer, Numbers::of(&plan));
        let most = numbers.most(framing);
        if devices > most {
            return Err(Failure::usage(format!(
                "on a line with framing {framing} there are at most {most} devices, and who watches \
                 for wills is one of them"
            )));
        }
        let runtime = runtime()?;
        let (wire, interrupts) =
            runtime.block_on(async { (Wire::open(plan, Tell::Trouble), Interrupts::new()) });
        let (wire, interrupts) = (wire?, interrupts?);
        let places = Places { framing, numbers, peer, devices };
        let (inbox, origin) = (VecDeque::new(), Instant::now());
        Ok(Self { wire, interrupts, runtime, places, inbox, origin })
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn wait(&mut self, longest: u64, ready: &mut Vec<usize>) -> Result<bool, Failure> {
        ready.clear();
        let Self { wire, interrupts, runtime, places, inbox, .. } = self;
        let mut take = |address: &Address, _: Signal, packet: &[u8]| {
            // What is for everybody is none of these devices' business.
            if let Some((device, packet)) = places.device(address, packet) {
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
        let dropped = self.wire.dropped();
        let Places { framing, peer, numbers, .. } = self.places;
        let pushed = match numbers {
            Numbers::Nodes => {
                let number = u16::try_from(device).map_err(|_| Trouble::Other)?;
                let header = Header::new(&number.to_be_bytes()).ok_or(Trouble::Other)?;
                self.wire.push(peer.as_ref(), &header.wrap(packet))
            }
            Numbers::Addresses => {
                let address = device_address(framing, device).ok_or(Trouble::Other)?;
                self.wire.push(Some(&address), packet)
            }
        };
        if pushed.is_ok() && self.wire.dropped() == dropped { Ok(()) } else { Err(Trouble::Other) }
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

/// Who is where on the line.
#[derive(Clone, Copy, Debug)]
struct Places {
    framing: Framing,
    numbers: Numbers,
    peer: Option<Address>,
    devices: usize,
}

impl Places {
    /// Which device a packet is for, and the packet without the forwarder's header.
    fn device<'a>(&self, address: &Address, packet: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let (device, packet) = match self.numbers {
            Numbers::Nodes => {
                let (node_id, packet) = split(packet)?;
                (usize::from(u16::from_be_bytes(node_id.try_into().ok()?)), packet)
            }
            Numbers::Addresses => (device_at(self.framing, address)?, packet),
        };
        let expected = self.peer.is_none_or(|peer| peer == *address);
        (expected && device < self.devices).then_some((device, packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_find_their_device() {
        const ADVERTISE: [u8; 5] = [5, 0, 1, 0, 9];
        let framing = Framing::Hub;
        let (numbers, devices) = (Numbers::Addresses, 3);
        let places = Places { framing, numbers, peer: None, devices };
        let at = |device| device_address(framing, device).unwrap();
        assert_eq!(places.device(&at(2), &[2, 0x17]), Some((2, &[2, 0x17][..])));
        assert_eq!(places.device(&at(3), &[2, 0x17]), None);
        assert_eq!(places.device(&Address::NONE, &ADVERTISE), None);

        let behind = Header::new(&[0, 2]).unwrap().wrap(&[2, 0x17]);
        for peer in [None, Some(at(7))] {
            let (framing, numbers) = (Framing::Slip, Numbers::Nodes);
            let places = Places { framing, numbers, peer, devices };
            let from = peer.unwrap_or(Address::NONE);
            assert_eq!(places.device(&from, &behind), Some((2, &[2, 0x17][..])));
            assert_eq!(places.device(&from, &ADVERTISE), None);
            let node = |id: &[u8]| Header::new(id).unwrap().wrap(&[2, 0x17]);
            for other in [&[0, 3][..], &[2], &[0, 0, 2]] {
                assert_eq!(places.device(&from, &node(other)), None);
            }
            assert_eq!(places.device(&at(8), &behind).is_some(), peer.is_none());
        }
    }
}
