//! How a packet of any link is wrapped, so that the tools of networks know what to do with it: as if it
//! had come by UDP to port 1883, or with the name of the protocol in front.
//!
//! Devices on radios have no IP address, so they are given one, which says where they are:
//! `fd4d:5153:4eNN:LLLL:` and the last eight octets of the address on the radio, filled up with zeros in
//! front. `NN` is the number of its octets, `LLLL` that of the link, from 0. `fd4d:5153:4eff:LLLL::` is the
//! gateway itself. 4d, 51, 53 and 4e are the letters MQSN.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::core::Address;
use crate::transport::udp::UdpAddress;

/// The gateway's port in captures, wherever it really listens: the tools know MQTT-SN by it.
pub const PORT: u16 = 1883;

/// How packets are wrapped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wrapping {
    /// In IP and UDP (LINKTYPE_RAW). Every tool reads that; Wireshark has to be told once that port 1883 is
    /// MQTT-SN.
    #[default]
    Udp,
    /// With the name of the protocol (LINKTYPE_WIRESHARK_UPPER_PDU). Wireshark from 4.2 on knows what to
    /// do, others do not.
    Pdu,
}

impl Wrapping {
    /// In a word, as it is given.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Pdu => "pdu",
        }
    }

    /// What such a word means.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        [Self::Udp, Self::Pdu].into_iter().find(|wrapping| wrapping.label() == label)
    }

    /// As the registry of pcap numbers it.
    pub(super) fn link_type(self) -> u16 {
        match self {
            Self::Udp => 101,
            Self::Pdu => 252,
        }
    }

    /// Puts a packet behind what is in a buffer. Returns how many octets of it had no room.
    pub(super) fn put(
        self,
        out: &mut Vec<u8>,
        from: SocketAddr,
        to: SocketAddr,
        packet: &[u8],
    ) -> u32 {
        match self {
            Self::Udp => put_udp(out, from, to, packet),
            Self::Pdu => {
                put_pdu(out, from, to, packet);
                0
            }
        }
    }
}

/// What a link's devices are called in a capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// UDP, listening here.
    Udp(IpAddr),
    /// Everything else; the number of the link.
    Radio(u16),
}

impl Network {
    /// The two ends of a packet: a device, or everybody, and the gateway.
    pub(super) fn ends(self, device: Option<&Address>) -> (SocketAddr, SocketAddr) {
        let (device, gateway): (_, IpAddr) = match self {
            Self::Radio(link) => {
                let peer = device.map_or(EVERYBODY, |device| {
                    radio(device.octets().len() as u8, link, device.octets())
                });
                (SocketAddr::new(peer.into(), PORT), radio(GATEWAY, link, &[]).into())
            }
            Self::Udp(listen) => {
                let found = device.and_then(UdpAddress::decode);
                let everybody: IpAddr = match listen {
                    IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
                    IpAddr::V6(_) => EVERYBODY.into(),
                };
                let peer = found.map_or(SocketAddr::new(everybody, PORT), |found| found.peer);
                let own = found.and_then(|found| found.local).unwrap_or(listen);
                // `[::]` takes IPv4 as well.
                let own = match (peer.is_ipv4(), own.is_ipv4()) {
                    (true, false) => Ipv4Addr::UNSPECIFIED.into(),
                    (false, true) => Ipv6Addr::UNSPECIFIED.into(),
                    _ => own,
                };
                (peer, own)
            }
        };
        (device, SocketAddr::new(gateway, PORT))
    }
}

/// All that are near (RFC 4291).
const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);

/// Takes the place of the number of octets in the gateway's own address.
const GATEWAY: u8 = 0xFF;

/// The address of a device on a radio, see above.
fn radio(kind: u8, link: u16, octets: &[u8]) -> Ipv6Addr {
    let mut address = [0; 16];
    let (front, last) = address.split_at_mut(8);
    front.copy_from_slice(&[0xFD, b'M', b'Q', b'S', b'N', kind, 0, 0]);
    front[6..].copy_from_slice(&link.to_be_bytes());
    for (to, from) in last.iter_mut().rev().zip(octets.iter().rev()) {
        *to = *from;
    }
    address.into()
}

/// Whether an address is one of those that radios are given.
#[must_use]
pub fn is_made_up(address: IpAddr) -> bool {
    match address {
        IpAddr::V6(address) => address.octets().starts_with(b"\xFDMQSN"),
        IpAddr::V4(_) => false,
    }
}

const UDP_HEAD: usize = 8;
const UDP: u8 = 17;

fn put_udp(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, packet: &[u8]) -> u32 {
    let start = out.len();
    let head = if from.is_ipv4() { 20 } else { 0 };
    // What the length of a datagram can say, with the head of IPv4 and without that of IPv6.
    let room = usize::from(u16::MAX) - head - UDP_HEAD;
    let payload = packet.get(..room).unwrap_or(packet);
    let length = (payload.len() + UDP_HEAD) as u16;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&(length + 20).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 0, 64, UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = checksum(sum(0, &out[start..]));
            out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[UDP, 64]);
            out.extend_from_slice(&six(from));
            out.extend_from_slice(&six(to));
        }
    }
    let udp = out.len();
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(payload);
    // With IPv4 there need not be one.
    if from.is_ipv6() {
        let addresses = sum(u32::from(length) + u32::from(UDP), &out[udp - 32..]);
        let sum = match checksum(addresses) {
            0 => u16::MAX,
            sum => sum,
        };
        out[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
    }
    (packet.len() - payload.len()) as u32
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Adds octets to a sum, two by two. 64 KiB of them do not overflow it.
fn sum(start: u32, octets: &[u8]) -> u32 {
    let (pairs, rest) = octets.as_chunks::<2>();
    let pairs = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    start + pairs.sum::<u32>() + rest.first().map_or(0, |octet| u32::from(*octet) << 8)
}

/// The checksum of IP (RFC 1071).
fn checksum(mut sum: u32) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// Tags of an exported PDU: number, length, value, filled up to four octets; numbers are big-endian.
fn put_pdu(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, packet: &[u8]) {
    // The lengths here are those of addresses.
    let tag = |out: &mut Vec<u8>, number: u8, value: &[u8]| {
        out.extend_from_slice(&[0, number, 0, value.len() as u8]);
        out.extend_from_slice(value);
    };
    tag(out, 12, b"mqttsn\0\0");
    for (four, six, address) in [(20, 22, from.ip()), (21, 23, to.ip())] {
        match address {
            IpAddr::V4(address) => tag(out, four, &address.octets()),
            IpAddr::V6(address) => tag(out, six, &address.octets()),
        }
    }
    // UDP.
    tag(out, 24, &[0, 0, 0, 3]);
    tag(out, 25, &u32::from(from.port()).to_be_bytes());
    tag(out, 26, &u32::from(to.port()).to_be_bytes());
    tag(out, 0, &[]);
    out.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(network: Network, octets: Option<&[u8]>) -> (String, String) {
        let device = octets.map(|octets| Address::new(octets).unwrap());
        let (device, gateway) = network.ends(device.as_ref());
        (device.to_string(), gateway.to_string())
    }

    #[test]
    fn everybody_has_an_address() {
        let serial = Network::Radio(1);
        for (octets, device) in [
            (Some(&[][..]), "[fd4d:5153:4e00:1::]:1883"),
            (Some(&[5]), "[fd4d:5153:4e01:1::5]:1883"),
            (
                Some(&[0x00, 0x13, 0xA2, 0x00, 0x40, 0xA1, 0xB2, 0xC3]),
                "[fd4d:5153:4e08:1:13:a200:40a1:b2c3]:1883",
            ),
            (Some(&[1; 39]), "[fd4d:5153:4e27:1:101:101:101:101]:1883"),
            (None, "[ff02::1]:1883"),
        ] {
            let expected = (device.to_owned(), "[fd4d:5153:4eff:1::]:1883".to_owned());
            assert_eq!(ends(serial, octets), expected);
        }
        assert!(is_made_up("fd4d:5153:4e27:1::5".parse().unwrap()));
        assert!(!is_made_up("fd4d:5153::5".parse().unwrap()));
    }

    #[test]
    fn devices_on_udp_have_their_own() {
        let of = |peer: &str, local: Option<&str>, listen: &str| {
            let local = local.map(|local| local.parse().unwrap());
            let device = UdpAddress::new(peer.parse().unwrap(), local).encode();
            let (device, gateway) = Network::Udp(listen.parse().unwrap()).ends(Some(&device));
            format!("{device} {gateway}")
        };
        assert_eq!(of("192.0.2.1:5000", None, "10.0.0.1"), "192.0.2.1:5000 10.0.0.1:1883");
        assert_eq!(of("192.0.2.1:5", Some("10.0.0.9"), "::"), "192.0.2.1:5 10.0.0.9:1883");
        assert_eq!(of("192.0.2.1:5000", None, "::"), "192.0.2.1:5000 0.0.0.0:1883");
        assert_eq!(of("[2001:db8::1]:9", None, "::1"), "[2001:db8::1]:9 [::1]:1883");
        let listen = Network::Udp("192.0.2.1".parse().unwrap());
        assert_eq!(ends(listen, None).0, "255.255.255.255:1883");
    }

    #[test]
    fn checksums_are_right() {
        for (from, to) in
            [("192.0.2.1:5000", "192.0.2.2:1883"), ("[2001:db8::1]:5000", "[2001:db8::2]:1883")]
        {
            for packet in [&[][..], &[1], &[2, 0x16], &[0xFF; 301]] {
                let mut out = Vec::new();
                let (from, to): (SocketAddr, SocketAddr) =
                    (from.parse().unwrap(), to.parse().unwrap());
                assert_eq!(put_udp(&mut out, from, to, packet), 0);
                // Over everything, its own sum included, it is zero.
                if from.is_ipv4() {
                    assert_eq!(checksum(sum(0, &out[..20])), 0);
                } else {
                    let length = packet.len() as u32 + 8;
                    assert_eq!(checksum(sum(length + u32::from(UDP), &out[8..])), 0);
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_cut() {
        let packet = vec![1; 65_535];
        for (from, to, room) in
            [("192.0.2.1:1", "192.0.2.2:2", 65_507), ("[::1]:1", "[::2]:2", 65_527)]
        {
            let mut out = Vec::new();
            let left = put_udp(&mut out, from.parse().unwrap(), to.parse().unwrap(), &packet);
            assert_eq!(left as usize, packet.len() - room);
        }
    }
}
