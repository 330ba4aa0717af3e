//! Addresses. A place is two octets, `[sensor, generation]` at first; what the gateway sees of it
//! is a link, an address and, behind a forwarder, a node id.

use mqtt_sn_gateway::codec::Encapsulation;
use mqtt_sn_gateway::core::{Address, LinkId};

/// Where a sensor is, as the world counts it.
pub type Place = [u8; 2];

/// Bits of the generation that say how a sensor is reached.
const SECOND_LINK: u8 = 0x20;
const FORWARDED: u8 = 0x40;
/// First octet of a forwarder's address.
const FORWARDER: u8 = 0xFE;
/// Places of hostile peers begin here.
pub const LIARS: u8 = 200;
/// Links of the gateway.
pub const LINKS: usize = 2;

/// How often a generation can change before places repeat.
pub const GENERATIONS: u8 = 0x20;

/// The generation octet.
pub fn generation(count: u8, second_link: bool, forwarded: bool) -> u8 {
    let link = if second_link { SECOND_LINK } else { 0 };
    let forwarded = if forwarded { FORWARDED } else { 0 };
    (count % GENERATIONS) | link | forwarded
}

/// Whether a hostile peer is there.
pub fn is_liar(place: Place) -> bool {
    (LIARS..FORWARDER).contains(&place[0])
}

/// How a datagram from `place` looks to the gateway.
pub fn to_gateway(place: Place, bytes: &[u8]) -> (LinkId, Address, Vec<u8>) {
    let link = LinkId(u16::from(place[1] & SECOND_LINK != 0));
    if place[1] & FORWARDED == 0 {
        return (link, address(&place), bytes.to_vec());
    }
    let head = Encapsulation { radius: 0, node_id: &place };
    let mut wrapped = vec![0; head.encoded_len()];
    head.encode(&mut wrapped).expect("the buffer has the length that was asked for");
    wrapped.extend_from_slice(bytes);
    (link, address(&[FORWARDER, place[0] % 2]), wrapped)
}

fn address(octets: &[u8]) -> Address {
    Address::new(octets).expect("two octets fit")
}

/// Where a datagram of the gateway goes, and what arrives there.
pub fn from_gateway(link: LinkId, to: &Address, bytes: &[u8]) -> Result<(Place, Vec<u8>), String> {
    let wrong = || format!("a datagram on {link:?} for {to:?}, which nobody has: {bytes:02x?}");
    let octets: Place = to.octets().try_into().map_err(|_| wrong())?;
    let (place, inner) = if octets[0] == FORWARDER {
        // Length, type, control, node id (two octets here), message (MQTT-SN 1.2 §5.4.22).
        let (head, inner) = bytes.split_at_checked(5).ok_or_else(wrong)?;
        let node: Place = [head[3], head[4]];
        if head[0] != 5 || head[1] != 0xFE || node[1] & FORWARDED == 0 || node[0] % 2 != octets[1] {
            return Err(wrong());
        }
        (node, inner.to_vec())
    } else {
        (octets, bytes.to_vec())
    };
    let expected = LinkId(u16::from(place[1] & SECOND_LINK != 0));
    let direct = octets[0] != FORWARDER;
    if expected != link || (direct && place[1] & FORWARDED != 0) {
        return Err(wrong());
    }
    Ok((place, inner))
}
