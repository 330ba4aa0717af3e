//! What went over each link, by direction and kind of packet: plain increments on the message path, read
//! by whoever shows them.

use crate::codec::peek;
use crate::core::{Effect, Effects, LinkId, Signal};
use crate::histogram::Histogram;

/// Kinds of packets: message types (MQTT-SN 1.2 §5.2.2) below 32, and everything else.
const KINDS: usize = 33;
/// Position of what is no message of a known type.
const OTHER: usize = KINDS - 1;

/// Bounds of signal strengths, dBm.
const RSSI: &[i64] = &[-120, -110, -100, -95, -90, -85, -80, -75, -70, -65, -60, -50, -40, -30];

/// Packets and octets of one kind in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TrafficCount {
    /// Packets.
    pub packets: u64,
    /// Their octets, forwarders' headers included, framing of the link not.
    pub octets: u64,
}

/// One direction of a link, by kind.
#[derive(Clone, Debug)]
pub struct Direction([TrafficCount; KINDS]);

/// What went over one link.
#[derive(Clone, Debug)]
pub struct LinkTraffic {
    /// From devices.
    pub received: Direction,
    /// To devices; a broadcast counts once.
    pub sent: Direction,
    /// How strongly packets were received, dBm, where the link can tell.
    pub rssi: Histogram,
}

/// All links, by their numbers.
#[derive(Clone, Debug)]
pub(super) struct Traffic(Vec<LinkTraffic>);

impl Direction {
    #[inline]
    fn add(&mut self, packet: &[u8]) {
        if let Some(count) = self.0.get_mut(kind(packet)) {
            count.packets += 1;
            count.octets += packet.len() as u64;
        }
    }

    /// Kinds of which there was something: the message type, `None` for what is none.
    pub fn kinds(&self) -> impl Iterator<Item = (Option<u8>, TrafficCount)> + '_ {
        let numbered = (0_u8..).zip(&self.0).filter(|(_, count)| count.packets > 0);
        numbered.map(|(kind, count)| (Some(kind).filter(|kind| usize::from(*kind) < OTHER), *count))
    }
}

impl Traffic {
    pub(super) fn new(links: usize) -> Self {
        let none = || Direction([TrafficCount::default(); KINDS]);
        let link = || LinkTraffic { received: none(), sent: none(), rssi: Histogram::new(RSSI) };
        Self((0..links).map(|_| link()).collect())
    }

    /// A packet came.
    #[inline]
    pub(super) fn received(&mut self, link: LinkId, signal: Signal, packet: &[u8]) {
        let Some(traffic) = self.0.get_mut(usize::from(link.0)) else { return };
        traffic.received.add(packet);
        if let Some(rssi) = signal.rssi {
            traffic.rssi.add(rssi.into());
        }
    }

    /// These packets are given to their links.
    pub(super) fn sent(&mut self, effects: &Effects) {
        for effect in effects.items() {
            let (link, bytes) = match effect {
                Effect::Send { link, bytes, .. } | Effect::Broadcast { link, bytes, .. } => {
                    (link, bytes)
                }
                _ => continue,
            };
            if let Some(traffic) = self.0.get_mut(usize::from(link.0)) {
                traffic.sent.add(effects.bytes(*bytes));
            }
        }
    }

    /// What went over a link.
    pub(super) fn of(&self, link: LinkId) -> Option<&LinkTraffic> {
        self.0.get(usize::from(link.0))
    }
}

/// Where a packet is counted: by its MsgType octet, that of the message inside if it is encapsulated
/// (§5.5). It need not be a packet at all.
#[inline]
fn kind(packet: &[u8]) -> usize {
    peek(packet).map_or(OTHER, |(msg_type, _)| usize::from(msg_type).min(OTHER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINGREQ: &[u8] = &[2, 0x16];

    #[test]
    fn packets_are_counted_by_link_direction_and_kind() {
        let mut traffic = Traffic::new(2);
        let loud = Signal { rssi: Some(-61), lqi: None };
        traffic.received(LinkId(1), loud, PINGREQ);
        traffic.received(LinkId(1), Signal::default(), &[1, 0, 4, 0x16]);
        traffic.received(LinkId(1), Signal::default(), &[4, 0xFE, 0, 9, 2, 0x16]);
        traffic.received(LinkId(9), Signal::default(), PINGREQ);
        let link = traffic.of(LinkId(1)).unwrap();
        let kinds: Vec<_> = link.received.kinds().collect();
        assert_eq!(kinds, [(Some(0x16), TrafficCount { packets: 3, octets: 12 })]);
        assert_eq!(link.sent.kinds().count(), 0);
        assert_eq!((link.rssi.count(), link.rssi.sum()), (1, -61));
        assert_eq!(traffic.of(LinkId(0)).unwrap().received.kinds().count(), 0);
    }

    #[test]
    fn what_is_no_packet_is_counted_as_such() {
        let mut traffic = Traffic::new(1);
        for octets in [&[][..], &[0], &[0xFF; 3], &[1, 0, 4], &[3, 0xFE, 0], &[200, 0xFE, 0, 1]] {
            traffic.received(LinkId(0), Signal::default(), octets);
        }
        let kinds: Vec<_> = traffic.of(LinkId(0)).unwrap().received.kinds().collect();
        assert_eq!(kinds, [(None, TrafficCount { packets: 6, octets: 14 })]);
    }
}
