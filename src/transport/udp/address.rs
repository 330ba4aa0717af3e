//! UDP addresses as the core carries them: opaque octets that say where the answer goes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::core::Address;
use crate::transport::ble::Mac;

/// Where a datagram came from, and which of our own addresses it was sent to.
///
/// The own address is part of the key: on a host with several addresses the answer has to leave
/// from the one that the device knows, or a firewall (or the device) drops it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct UdpAddress {
    /// The device. An IPv4 address is never in its IPv6-mapped form.
    pub peer: SocketAddr,
    /// Our address, of the same family; `None` if the listener is bound to one address, or if the
    /// datagram went to a group and any of our addresses may answer.
    pub local: Option<IpAddr>,
}

const V4: u8 = 4;
const V6: u8 = 6;

impl UdpAddress {
    /// From what the socket reported; takes IPv4-mapped addresses apart.
    #[must_use]
    pub fn new(peer: SocketAddr, local: Option<IpAddr>) -> Self {
        let peer = match peer {
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(ip) => SocketAddrV4::new(ip, v6.port()).into(),
                None => peer,
            },
            SocketAddr::V4(_) => peer,
        };
        let local = local
            .map(|ip| ip.to_canonical())
            .filter(|ip| ip.is_ipv4() == peer.is_ipv4() && !ip.is_unspecified());
        Self { peer, local }
    }

    /// As the core carries it.
    #[must_use]
    pub fn encode(&self) -> Address {
        let mut octets = Octets::default();
        match self.peer {
            SocketAddr::V4(peer) => {
                octets.push(&[V4]);
                octets.push(&peer.port().to_be_bytes());
                octets.push(&peer.ip().octets());
            }
            SocketAddr::V6(peer) => {
                octets.push(&[V6]);
                octets.push(&peer.port().to_be_bytes());
                octets.push(&peer.ip().octets());
                octets.push(&peer.scope_id().to_be_bytes());
            }
        }
        match self.local {
            Some(IpAddr::V4(ip)) => octets.push(&ip.octets()),
            Some(IpAddr::V6(ip)) => octets.push(&ip.octets()),
            None => {}
        }
        octets.address()
    }

    /// Back from the core; `None` if these octets are not from [`Self::encode`].
    #[must_use]
    pub fn decode(address: &Address) -> Option<Self> {
        let (&family, rest) = address.octets().split_first()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let port = u16::from_be_bytes(*port);
        let (peer, rest) = match family {
            V4 => {
                let (ip, rest) = rest.split_first_chunk::<4>()?;
                (SocketAddrV4::new(Ipv4Addr::from(*ip), port).into(), rest)
            }
            V6 => {
                let (ip, rest) = rest.split_first_chunk::<16>()?;
                let (scope, rest) = rest.split_first_chunk::<4>()?;
                let scope = u32::from_be_bytes(*scope);
                (SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into(), rest)
            }
            _ => return None,
        };
        let local = match rest.len() {
            0 => None,
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(rest).ok()?)),
            16 => Some(IpAddr::from(<[u8; 16]>::try_from(rest).ok()?)),
            _ => return None,
        };
        Some(Self { peer, local })
    }
}

/// The device alone, as `192.0.2.1:5000` or `[2001:db8::1]:5000`.
impl fmt::Display for UdpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}

/// An [`Address`] for a log line: that of a device on UDP, or the octets of a radio's in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a Address);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(device) = self.0.octets().try_into() {
            return Mac(device).fmt(f);
        }
        match UdpAddress::decode(self.0) {
            Some(address) => address.fmt(f),
            // That of a radio.
            None => self.0.octets().iter().try_for_each(|octet| write!(f, "{octet:02X}")),
        }
    }
}

/// An address under construction.
#[derive(Default)]
struct Octets(heapless::Vec<u8, { Address::MAX }>);

const _: () = assert!(1 + 2 + 16 + 4 + 16 <= Address::MAX, "the longest form fits");

impl Octets {
    fn push(&mut self, more: &[u8]) {
        self.0.extend_from_slice(more).expect("the longest form fits");
    }

    fn address(&self) -> Address {
        Address::new(&self.0).expect("not longer than an address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(peer: &str, local: Option<&str>) -> UdpAddress {
        let address =
            UdpAddress::new(peer.parse().unwrap(), local.map(|local| local.parse().unwrap()));
        assert_eq!(UdpAddress::decode(&address.encode()), Some(address));
        address
    }

    #[test]
    fn every_form_survives_the_core() {
        there_and_back("192.0.2.1:5000", None);
        there_and_back("192.0.2.1:5000", Some("198.51.100.7"));
        there_and_back("[2001:db8::1]:5000", None);
        there_and_back("[2001:db8::1]:5000", Some("2001:db8::2"));
        let link_local: SocketAddr =
            SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 4_000_000_000).into();
        let address = UdpAddress::new(link_local, Some("fe80::2".parse().unwrap()));
        assert_eq!(address.encode().octets().len(), Address::MAX);
        assert_eq!(UdpAddress::decode(&address.encode()), Some(address));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped = there_and_back("[::ffff:192.0.2.1]:5000", Some("::ffff:198.51.100.7"));
        assert_eq!(mapped, there_and_back("192.0.2.1:5000", Some("198.51.100.7")));
        assert_eq!(mapped.to_string(), "192.0.2.1:5000");
    }

    #[test]
    fn a_useless_own_address_is_left_out() {
        assert_eq!(there_and_back("192.0.2.1:5000", Some("0.0.0.0")).local, None);
        assert_eq!(there_and_back("192.0.2.1:5000", Some("2001:db8::2")).local, None);
    }

    #[test]
    fn foreign_octets_are_refused() {
        for octets in [&[][..], &[4], &[4, 0, 1, 127, 0, 0], &[9, 0, 1, 127, 0, 0, 1]] {
            assert_eq!(UdpAddress::decode(&Address::new(octets).unwrap()), None);
        }
        let long = [&[4, 0, 1, 127, 0, 0, 1][..], &[0; 5]].concat();
        assert_eq!(UdpAddress::decode(&Address::new(&long).unwrap()), None);
    }

    #[test]
    fn logs_show_the_device() {
        let address = there_and_back("[2001:db8::1]:5000", Some("2001:db8::2")).encode();
        assert_eq!(Shown(&address).to_string(), "[2001:db8::1]:5000");
    }
}
