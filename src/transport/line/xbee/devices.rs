//! The nodes of the network, and how each is reached.

use std::collections::HashMap;

use crate::core::Address;
use crate::transport::framing::xbee::{BROADCAST, Manner, NO_LONG, NO_SHORT, Node};

/// Nodes that are remembered; then the one that was not used for longest is forgotten. It is reached
/// all the same, but the module has to look for it.
const MOST: usize = 1_024;
/// 16-bit addresses from here on mean several nodes, or none.
const SHORT_END: u16 = 0xFFF8;

/// Nodes by their addresses in the core: the 64-bit one, or the 16-bit one of a node of which no other
/// is known.
#[derive(Debug, Default)]
pub(super) struct Devices {
    known: HashMap<Address, Device>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Device {
    /// Where it was last in the network.
    short: u16,
    /// In which kind of frames it was heard.
    manner: Option<Manner>,
    /// Packets in a row that it did not get.
    failures: u32,
    used: u64,
}

/// The address of a node in the core; `None` if it is no address of one node.
pub(super) fn address(node: Node) -> Option<Address> {
    match node {
        Node { long: NO_LONG, short } if short < SHORT_END => Address::new(&short.to_be_bytes()),
        Node { long: NO_LONG | BROADCAST, .. } => None,
        Node { long, .. } => Address::new(&long.to_be_bytes()),
    }
}

/// The node that has this address in the core.
pub(super) fn node(address: &Address) -> Option<Node> {
    let octets = address.octets();
    let node = if let Ok(long) = octets.try_into() {
        Node { long: u64::from_be_bytes(long), short: NO_SHORT }
    } else {
        Node { long: NO_LONG, short: u16::from_be_bytes(octets.try_into().ok()?) }
    };
    // What was no address of a node when it came in is none now, whoever has kept it.
    self::address(node).is_some_and(|same| same == *address).then_some(node)
}

impl Devices {
    /// A packet of this node came in such a frame.
    pub(super) fn heard(&mut self, address: Address, node: Node, manner: Manner) {
        self.is_at(address, node.short);
        let device = self.device(address);
        device.manner = Some(manner);
        device.failures = 0;
    }

    /// The node has this 16-bit address now, and nobody else has; nothing is known if it is none.
    pub(super) fn is_at(&mut self, address: Address, short: u16) {
        if short >= SHORT_END || self.device(address).short == short {
            return;
        }
        // The module would take it for the address of both, and send one what is for the other.
        for other in self.known.values_mut().filter(|other| other.short == short) {
            other.short = NO_SHORT;
        }
        self.device(address).short = short;
    }

    /// It got a packet.
    pub(super) fn arrived(&mut self, address: Address) {
        self.device(address).failures = 0;
    }

    /// It did not get a packet: it may have another 16-bit address now. Says how many that were in a
    /// row.
    pub(super) fn failed(&mut self, address: Address) -> u32 {
        let device = self.device(address);
        device.short = NO_SHORT;
        device.failures = device.failures.saturating_add(1);
        device.failures
    }

    /// Whether the last packet did not arrive.
    pub(super) fn is_doubtful(&self, address: &Address) -> bool {
        self.known.get(address).is_some_and(|device| device.failures > 0)
    }

    /// Whether a packet of it was heard.
    pub(super) fn is_known(&self, address: &Address) -> bool {
        self.known.get(address).is_some_and(|device| device.manner.is_some())
    }

    /// Where the node was last, and in which kind of frames it was heard.
    pub(super) fn find(&mut self, address: Address) -> (u16, Option<Manner>) {
        let device = self.device(address);
        (device.short, device.manner)
    }

    /// The entry of a node, which is new if there was none.
    fn device(&mut self, address: Address) -> &mut Device {
        if !self.known.contains_key(&address) && self.known.len() >= MOST {
            let oldest = self.known.iter().min_by_key(|(_, device)| device.used);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.known.remove(&oldest);
            }
        }
        self.clock += 1;
        let fresh = Device { short: NO_SHORT, manner: None, failures: 0, used: 0 };
        let device = self.known.entry(address).or_insert(fresh);
        device.used = self.clock;
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(long: u64) -> Address {
        Address::new(&long.to_be_bytes()).unwrap()
    }

    #[test]
    fn addresses_are_the_modules_own() {
        let nodes = [
            (Node { long: 0x0013_A200_40A1_B2C3, short: 0x1A2B }, Some(8)),
            (Node { long: NO_LONG, short: 0x1A2B }, Some(2)),
            (Node { long: NO_LONG, short: 0 }, Some(2)),
            (Node { long: NO_LONG, short: NO_SHORT }, None),
            (Node { long: NO_LONG, short: 0xFFFC }, None),
            (Node { long: BROADCAST, short: 0x1A2B }, None),
        ];
        for (node, octets) in nodes {
            let found = address(node);
            assert_eq!(found.map(|address| address.octets().len()), octets, "{node:?}");
            let Some(found) = found else { continue };
            let again = self::node(&found).unwrap();
            assert_eq!(again.long, node.long);
            assert_eq!(again.short, if node.long == NO_LONG { node.short } else { NO_SHORT });
        }
        let none: [&[u8]; 6] =
            [&[], &[1], &[0xFF, 0xFE], &[0xFF; 8], &BROADCAST.to_be_bytes(), &[1; 9]];
        for octets in none {
            assert_eq!(node(&Address::new(octets).unwrap()), None, "{octets:?}");
        }
    }

    #[test]
    fn a_short_address_belongs_to_one() {
        let mut devices = Devices::default();
        let heard = |devices: &mut Devices, address: u64, short: u16| {
            devices.heard(long(address), Node { long: address, short }, Manner::Usual);
        };
        heard(&mut devices, 1, 0x10);
        heard(&mut devices, 2, 0x20);
        heard(&mut devices, 1, NO_SHORT);
        assert_eq!(devices.find(long(1)), (0x10, Some(Manner::Usual)));
        // They have rejoined, and the second has what was the first one's.
        heard(&mut devices, 2, 0x10);
        assert_eq!(devices.find(long(1)).0, NO_SHORT);
        assert_eq!(devices.find(long(2)).0, 0x10);
        assert_eq!((devices.failed(long(2)), devices.is_doubtful(&long(2))), (1, true));
        assert_eq!(devices.failed(long(2)), 2);
        assert_eq!(devices.find(long(2)), (NO_SHORT, Some(Manner::Usual)));
        heard(&mut devices, 2, 0x10);
        assert!(!devices.is_doubtful(&long(2)));
    }

    #[test]
    fn the_one_unused_for_longest_is_forgotten() {
        let mut devices = Devices::default();
        for number in 1..=5_000 {
            devices.heard(long(number), Node { long: number, short: 7 }, Manner::Legacy);
            devices.heard(long(1), Node { long: 1, short: NO_SHORT }, Manner::Usual);
        }
        assert_eq!(devices.known.len(), MOST);
        assert_eq!(devices.find(long(1)).1, Some(Manner::Usual));
        assert_eq!(devices.find(long(5_000)), (7, Some(Manner::Legacy)));
        assert_eq!(devices.find(long(3_000)).1, None);
    }
}
