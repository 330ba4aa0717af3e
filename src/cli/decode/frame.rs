//! From a captured frame to the UDP datagram in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A UDP datagram in a frame.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Udp<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// The payload, as much of it as there is.
    pub(super) payload: &'a [u8],
    /// Whether that is less than was sent.
    pub(super) cut: bool,
}

/// What a frame holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Content<'a> {
    /// A datagram.
    Udp(Udp<'a>),
    /// What was MQTT-SN to whoever captured it, whatever the ports are.
    MqttSn(Udp<'a>),
    /// Something else, or what cannot be read.
    Other,
    /// A link type that is not known here.
    UnknownLink(u16),
}

/// Names of the link types that are understood, for a message.
pub(super) const UNDERSTOOD: &str =
    "Ethernet, Linux cooked (v1 and v2), raw IP, loopback and exported PDUs are understood";

const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 108;
const NULL: u16 = 0;
const LINUX_COOKED: u16 = 113;
const LINUX_COOKED_2: u16 = 276;
const EXPORTED_PDU: u16 = 252;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86DD;
const UDP: u8 = 17;

/// Looks for a UDP datagram.
pub(super) fn parse(link_type: u16, frame: &[u8]) -> Content<'_> {
    let packet = match link_type {
        ETHERNET => ethernet(frame),
        // Four octets of address family, in the byte order of the machine that captured. The
        // version of the IP packet says the same.
        NULL | LOOPBACK => frame.get(4..),
        LINUX_COOKED => by_type(be16(frame, 14), frame.get(16..)),
        LINUX_COOKED_2 => by_type(be16(frame, 0), frame.get(20..)),
        EXPORTED_PDU => return exported(frame).map_or(Content::Other, Content::MqttSn),
        // Raw IP, under the numbers that different systems have given it.
        12 | 14 | 101 | 228 | 229 => Some(frame),
        other => return Content::UnknownLink(other),
    };
    packet.and_then(ip).map_or(Content::Other, Content::Udp)
}

/// What a dissector of Wireshark would be given: tags, each with its number, its length and a value, and the
/// packet behind the tag 0.
fn exported(frame: &[u8]) -> Option<Udp<'_>> {
    let unspecified = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let (mut from, mut to, mut known) = (unspecified, unspecified, false);
    let mut at = 0_usize;
    loop {
        let (tag, length) = (be16(frame, at)?, usize::from(be16(frame, at.checked_add(2)?)?));
        at = at.checked_add(4)?;
        let value = frame.get(at..at.checked_add(length)?)?;
        at = at.checked_add(length)?;
        let port = value.get(2..).and_then(|port| be16(port, 0));
        let four = || <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
        let six = || <[u8; 16]>::try_from(value).ok().map(IpAddr::from);
        match tag {
            0 => break,
            12 => known = value.split(|octet| *octet == 0).next() == Some(b"mqttsn"),
            20 => from.set_ip(four()?),
            21 => to.set_ip(four()?),
            22 => from.set_ip(six()?),
            23 => to.set_ip(six()?),
            25 => from.set_port(port?),
            26 => to.set_port(port?),
            _ => {}
        }
    }
    let payload = frame.get(at..)?;
    known.then_some(Udp { from, to, payload, cut: false })
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

fn by_type(ether_type: Option<u16>, packet: Option<&[u8]>) -> Option<&[u8]> {
    packet.filter(|_| matches!(ether_type, Some(TYPE_IPV4 | TYPE_IPV6)))
}

fn ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    // Tags of virtual networks may stand in front of the type.
    for _ in 0..4 {
        match be16(frame, at)? {
            0x8100 | 0x88A8 | 0x9100 => at += 4,
            ether_type => return by_type(Some(ether_type), frame.get(at + 2..)),
        }
    }
    None
}

fn ip(packet: &[u8]) -> Option<Udp<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Udp<'_>> {
    let head = usize::from(packet.first()? & 0x0F) * 4;
    let total = usize::from(be16(packet, 2)?);
    let fragment = be16(packet, 6)?;
    // Only the first fragment has the ports. Head and offload quirks: a total of zero means the
    // card was to fill it in.
    if head < 20 || fragment & 0x1FFF != 0 || *packet.get(9)? != UDP {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    let more_fragments = fragment & 0x2000 != 0;
    udp(address(12)?, address(16)?, packet.get(head..end)?, more_fragments)
}

fn ipv6(packet: &[u8]) -> Option<Udp<'_>> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    let (from, to) = (address(8)?, address(24)?);
    let end = 40 + usize::from(be16(packet, 4)?);
    let end = end.min(packet.len());
    let mut next = *packet.get(6)?;
    let mut at = 40;
    let mut more_fragments = false;
    for _ in 0..8 {
        let extension = packet.get(at..end)?;
        match next {
            UDP => return udp(from, to, extension, more_fragments),
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => at += (usize::from(*extension.get(1)?) + 1) * 8,
            // Fragment.
            44 => {
                let offset = be16(extension, 2)?;
                if offset & 0xFFF8 != 0 {
                    return None;
                }
                more_fragments = offset & 1 != 0;
                at += 8;
            }
            // Authentication.
            51 => at += (usize::from(*extension.get(1)?) + 2) * 4,
            _ => return None,
        }
        next = *extension.first()?;
    }
    None
}

fn udp(from: IpAddr, to: IpAddr, datagram: &[u8], more_fragments: bool) -> Option<Udp<'_>> {
    let (source, destination) = (be16(datagram, 0)?, be16(datagram, 2)?);
    let length = usize::from(be16(datagram, 4)?).checked_sub(8)?;
    let rest = datagram.get(8..)?;
    let payload = rest.get(..length);
    Some(Udp {
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, destination),
        payload: payload.unwrap_or(rest),
        cut: payload.is_none() || more_fragments,
    })
}
