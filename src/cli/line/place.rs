//! Where a device is on its line.

use super::Plan;
use crate::cli::Failure;
use crate::core::Address;
use crate::hub::ADDRESS_LEN_MAX;
use crate::transport::framing::Framing;

/// Octets of the 64-bit addresses that devices with XBee modules are given, before their number.
const XBEE: [u8; 6] = [0x00, 0x13, 0xA2, 0x00, 0x40, 0x00];

/// Who a device is on its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Place {
    /// Nobody has an address.
    Nowhere,
    /// The line says whose packet it is.
    At {
        own: Address,
        /// What is for everybody.
        everybody: Address,
    },
    /// It has a radio, and the gateway another one with this address.
    Facing(Address),
}

impl Place {
    /// The one with this address, or a usual one.
    pub(in crate::cli) fn new(plan: &Plan, own: Option<Address>) -> Result<Self, Failure> {
        let framing = plan.framing();
        let usual = match (Numbers::of(plan), plan.peer) {
            (Numbers::Nodes, Some(peer)) => Self::Facing(peer),
            (Numbers::Nodes, None) => Self::Nowhere,
            (Numbers::Addresses, _) => {
                let own = address_of(framing, first(framing)).unwrap_or(Address::NONE);
                Self::At { own, everybody: everybody(framing) }
            }
        };
        match (own, usual) {
            (None, usual) => Ok(usual),
            (Some(_), Self::Facing(_)) => Err(Failure::usage(
                "the radio has an address of its own: --address cannot be used with --to",
            )),
            (Some(own), Self::At { everybody, .. }) if is_address(framing, &own) => {
                Ok(Self::At { own, everybody })
            }
            (Some(_), _) => Err(Failure::usage(explain(framing, "--address"))),
        }
    }

    /// Under which address packets go to the line.
    pub(in crate::cli) fn address(&self) -> Option<&Address> {
        match self {
            Self::Nowhere => None,
            Self::At { own, .. } => Some(own),
            Self::Facing(gateway) => Some(gateway),
        }
    }

    /// Whether a packet that came with this address is for this device.
    pub(in crate::cli) fn hears(&self, address: &Address) -> bool {
        match self {
            Self::Nowhere => true,
            Self::At { own, everybody } => address == own || address == everybody,
            Self::Facing(gateway) => address == gateway,
        }
    }
}

/// How many devices on one line are told apart by their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Numbers {
    /// By node ids behind a forwarder.
    Nodes,
    /// By addresses of the line.
    Addresses,
}

impl Numbers {
    pub(in crate::cli) fn of(plan: &Plan) -> Self {
        match plan.framing() {
            Framing::Slip | Framing::Cobs | Framing::Length => Self::Nodes,
            _ if plan.peer.is_some() => Self::Nodes,
            _ => Self::Addresses,
        }
    }

    /// Most devices.
    pub(in crate::cli) fn most(self, framing: Framing) -> usize {
        match (self, framing) {
            (Self::Addresses, Framing::Aquila | Framing::RhSerial) => 253,
            (Self::Addresses, Framing::LoraLink) => 254,
            _ => 65_000,
        }
    }
}

/// The first number that a device can have as its address.
fn first(framing: Framing) -> u16 {
    match framing {
        // The gateway has 1.
        Framing::RhSerial => 2,
        _ => 1,
    }
}

/// The address of a device, from 0 on; `None` if there are not as many.
pub(in crate::cli) fn device_address(framing: Framing, device: usize) -> Option<Address> {
    address_of(framing, u16::try_from(device).ok()?.checked_add(first(framing))?)
}

/// The device with this address.
pub(in crate::cli) fn device_at(framing: Framing, address: &Address) -> Option<usize> {
    let number = match *address.octets() {
        [low] => u16::from(low),
        [.., high, low] => u16::from_be_bytes([high, low]),
        [] => return None,
    };
    let device = usize::from(number.checked_sub(first(framing))?);
    (device_address(framing, device).as_ref() == Some(address)).then_some(device)
}

fn address_of(framing: Framing, number: u16) -> Option<Address> {
    let octets = number.to_be_bytes();
    let address = match framing {
        Framing::Slip | Framing::Cobs | Framing::Length => None,
        Framing::Hub | Framing::Aquila => Address::new(&octets),
        Framing::Xbee => Address::new(&[&XBEE[..], &octets].concat()),
        Framing::RhSerial | Framing::LoraLink => Address::new(&[u8::try_from(number).ok()?]),
    };
    address.filter(|address| is_address(framing, address))
}

fn everybody(framing: Framing) -> Address {
    let octets: &[u8] = match framing {
        Framing::Slip | Framing::Cobs | Framing::Length | Framing::Hub => &[],
        Framing::Xbee => &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        Framing::RhSerial | Framing::LoraLink => &[0xFF],
        Framing::Aquila => &[0, 0xFF],
    };
    Address::new(octets).unwrap_or(Address::NONE)
}

/// Whether somebody can have it.
pub(super) fn is_address(framing: Framing, address: &Address) -> bool {
    *address != everybody(framing)
        && match (framing, address.octets()) {
            (Framing::Slip | Framing::Cobs | Framing::Length, _) | (_, []) => false,
            (Framing::Hub, octets) => octets.len() <= ADDRESS_LEN_MAX,
            (Framing::Xbee, octets) => matches!(octets.len(), 2 | 8),
            (Framing::LoraLink, octets) => matches!(octets, [1..=254]),
            (Framing::RhSerial, octets) => octets.len() == 1,
            (Framing::Aquila, octets) => matches!(octets, [0, 1..=253]),
        }
}

/// What is wrong with an address.
pub(super) fn explain(framing: Framing, argument: &str) -> String {
    let form = match framing {
        Framing::Slip | Framing::Cobs | Framing::Length => {
            return format!(
                "with framing {framing} there are no addresses, so {argument} says nothing; behind \
                 one line devices are told apart by --forwarder"
            );
        }
        Framing::Hub => "1 to 8 octets",
        Framing::Xbee => "8 octets, or 2, and is not that of everybody",
        Framing::LoraLink => "one octet, 01 to FE",
        Framing::RhSerial => "one octet, 00 to FE",
        Framing::Aquila => "two octets, 0001 to 00FD",
    };
    format!("{argument}: with framing {framing} an address has {form}, in hex")
}

#[cfg(test)]
mod tests {
    use super::super::address;
    use super::*;
    use crate::transport::line::{End, Settings};
    use crate::transport::serial::{FlowControl, How};

    fn plan(framing: Framing, peer: Option<Address>) -> Plan {
        Plan {
            device: "/dev/null".to_owned(),
            settings: Settings::new(framing),
            how: How { baud: 9_600, flow_control: FlowControl::None },
            end: End::Devices { gateway: 1 },
            peer,
        }
    }

    #[test]
    fn every_device_has_an_address_of_its_own_or_a_node_id() {
        for (_, framing) in Framing::WORDS {
            let numbers = Numbers::of(&plan(framing, None));
            if numbers == Numbers::Nodes {
                assert_eq!(device_address(framing, 0), None);
                continue;
            }
            let most = numbers.most(framing);
            for device in 0..most {
                let address = device_address(framing, device).expect("enough addresses");
                assert_ne!(address, everybody(framing));
                assert_eq!(device_at(framing, &address), Some(device), "{framing}");
            }
            assert_eq!(device_at(framing, &everybody(framing)), None, "{framing}");
            assert_eq!(device_at(framing, &Address::NONE), None, "{framing}");
            let peer = device_address(framing, 0);
            assert_eq!(Numbers::of(&plan(framing, peer)), Numbers::Nodes);
        }
    }

    #[test]
    fn an_address_has_the_form_of_its_framing() {
        for (framing, right, wrong) in [
            (Framing::Slip, &[][..], &["05", ""][..]),
            (Framing::Hub, &["05", "0102030405060708"], &["", "010203040506070809"]),
            (
                Framing::Xbee,
                &["0013A20040A1B2C3", "1A2B"],
                &["05", "0013A2", "000000000000FFFF", ""],
            ),
            (Framing::LoraLink, &["01", "FE"], &["00", "FF", "0005", ""]),
            (Framing::RhSerial, &["00", "FE"], &["FF", "0005", ""]),
            (Framing::Aquila, &["0001", "00FD"], &["0000", "00FF", "00FE", "0101", "05", ""]),
        ] {
            let plan = plan(framing, None);
            for text in right {
                let own = address(text).unwrap();
                let place = Place::new(&plan, Some(own)).unwrap();
                assert_eq!(place.address(), Some(&own), "{framing}");
                assert!(place.hears(&own) && place.hears(&everybody(framing)));
                assert!(!place.hears(&address("00 99 99").unwrap()));
            }
            for text in wrong {
                let place = Place::new(&plan, address(text).ok());
                assert!(place.is_err(), "{framing} {text}");
            }
            assert!(Place::new(&plan, None).is_ok());
        }
    }

    #[test]
    fn who_has_a_radio_hears_the_gateway_only() {
        let gateway = address("0013A20040A1B2C3").unwrap();
        let plan = plan(Framing::Xbee, Some(gateway));
        let place = Place::new(&plan, None).unwrap();
        assert_eq!((place, place.address()), (Place::Facing(gateway), Some(&gateway)));
        assert!(place.hears(&gateway) && !place.hears(&address("1A2B").unwrap()));
        assert!(Place::new(&plan, Some(gateway)).is_err());
    }
}
