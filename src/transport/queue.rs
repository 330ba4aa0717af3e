//! What waits to be put on a line: bounded, answers first, then every device in turn.
//!
//! Packets for one device stay in the order in which they came, except that answers which concern one
//! exchange only (PUBACK, REGACK and their like) go before its publications. PINGRESP, which ends a
//! sleeper's window, and whatever begins or ends a session keep their place among them.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use crate::codec::{Qos, flag, msg_type, peek, split_forwarder};
use crate::core::Address;

/// Answers in a row after which a publication has its turn.
const ANSWERS_IN_A_ROW: u32 = 8;
/// Buffers kept for packets to come.
const SPARE: usize = 64;

/// What a packet is, to the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Ends a wait of the device, and may go before what else waits for it.
    Answer,
    /// Is awaited, too, but keeps its place.
    InOrder,
    /// REGISTER and PUBLISH, which can wait.
    Bulk,
}

/// A packet that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whom it is for; everybody without.
    pub(super) to: Option<Address>,
    /// The packet.
    pub(super) packet: Vec<u8>,
    kind: Kind,
}

/// What became of a packet that was to be queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Queued {
    /// It waits.
    Waits,
    /// The same one waits already; it was repeated before it could leave.
    Already,
    /// There is no room.
    Full,
}

/// The packets of one device. Devices whose keys collide share one.
#[derive(Debug, Default)]
struct Lane {
    answers: VecDeque<Waiting>,
    ordered: VecDeque<Waiting>,
    /// In which of the two rounds it has a place.
    urgent: bool,
    patient: bool,
}

impl Lane {
    fn is_urgent(&self) -> bool {
        !self.answers.is_empty()
            || self.ordered.front().is_some_and(|first| first.kind == Kind::InOrder)
    }

    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.ordered.is_empty()
    }

    fn next(&self, patient: bool) -> Option<&Waiting> {
        let (first, then) =
            if patient { (&self.ordered, &self.answers) } else { (&self.answers, &self.ordered) };
        first.front().or_else(|| then.front())
    }
}

/// The queue of a line.
#[derive(Debug)]
pub(super) struct Queue {
    lanes: HashMap<u64, Lane>,
    /// Lanes with something urgent, and lanes with anything else, each once, in turn.
    urgent: VecDeque<u64>,
    patient: VecDeque<u64>,
    /// Answers since the last publication.
    in_a_row: u32,
    octets: usize,
    bulk: usize,
    most: usize,
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// For so many octets of packets, half of them bulk.
    pub(super) fn new(most: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            urgent: VecDeque::new(),
            patient: VecDeque::new(),
            in_a_row: 0,
            octets: 0,
            bulk: 0,
            most,
            spare: Vec::new(),
        }
    }

    /// Octets of bulk for which there is room.
    pub(super) fn room(&self) -> usize {
        (self.most / 2).saturating_sub(self.bulk)
    }

    /// Adds a packet. The core takes heed of [`Self::room`]; what it sends beyond it is still taken
    /// while there is room at all.
    pub(super) fn push(&mut self, to: Option<&Address>, packet: &[u8]) -> Queued {
        let kind = kind(packet);
        let key = self.key(to, packet);
        let waits = self.lanes.get(&key).is_some_and(|lane| {
            let mut all = lane.answers.iter().chain(&lane.ordered);
            all.any(|other| other.to.as_ref() == to && is_same(&other.packet, packet))
        });
        if waits {
            return Queued::Already;
        }
        if self.octets + packet.len() > self.most {
            return Queued::Full;
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.extend_from_slice(packet);
        self.octets += packet.len();
        if kind == Kind::Bulk {
            self.bulk += packet.len();
        }
        let lane = self.lanes.entry(key).or_default();
        let waiting = Waiting { to: to.copied(), packet: copy, kind };
        match kind {
            Kind::Answer => lane.answers.push_back(waiting),
            Kind::InOrder | Kind::Bulk => lane.ordered.push_back(waiting),
        }
        self.enlist(key);
        Queued::Waits
    }

    /// Whose turn it is, among those whom `takes` lets have one.
    pub(super) fn peek(&self, takes: impl Fn(Option<&Address>) -> bool) -> Option<&Waiting> {
        let (key, _, patient) = self.turn(takes)?;
        self.lanes.get(&key)?.next(patient)
    }

    /// Takes out what [`Self::peek`] shows. Give the packet back with [`Self::reuse`].
    pub(super) fn pop(&mut self, takes: impl Fn(Option<&Address>) -> bool) -> Option<Waiting> {
        let (key, place, patient) = self.turn(takes)?;
        let lane = self.lanes.get_mut(&key)?;
        if patient {
            lane.patient = false;
            self.patient.remove(place);
        } else {
            lane.urgent = false;
            self.urgent.remove(place);
        }
        let next = if patient {
            lane.ordered.pop_front().or_else(|| lane.answers.pop_front())
        } else {
            lane.answers.pop_front().or_else(|| lane.ordered.pop_front())
        }?;
        self.octets -= next.packet.len();
        if next.kind == Kind::Bulk {
            self.bulk -= next.packet.len();
            self.in_a_row = 0;
        } else {
            self.in_a_row += 1;
        }
        self.enlist(key);
        Some(next)
    }

    /// The lane whose turn it is, its place in the round, and whether that is the one of publications.
    fn turn(&self, takes: impl Fn(Option<&Address>) -> bool) -> Option<(u64, usize, bool)> {
        let first = |patient: bool| {
            let round = if patient { &self.patient } else { &self.urgent };
            let place = round.iter().position(|key| {
                let next = self.lanes.get(key).and_then(|lane| lane.next(patient));
                next.is_some_and(|next| takes(next.to.as_ref()))
            })?;
            Some((*round.get(place)?, place, patient))
        };
        let publication_first = self.in_a_row >= ANSWERS_IN_A_ROW;
        first(publication_first).or_else(|| first(!publication_first))
    }

    /// Takes a buffer back.
    pub(super) fn reuse(&mut self, mut packet: Vec<u8>) {
        if self.spare.len() < SPARE {
            packet.clear();
            self.spare.push(packet);
        }
    }

    /// The device begins anew: what waits for it, with a packet that begins with `head`, is of no use
    /// any more.
    pub(super) fn recall(&mut self, to: &Address, head: &[u8]) {
        self.remove(self.key(Some(to), head), |waiting| {
            waiting.to.as_ref() == Some(to) && head_of(&waiting.packet) == head
        });
    }

    /// The device cannot be reached: forgets what waits for it and for whoever is behind it. Says how
    /// many packets that were.
    pub(super) fn forget(&mut self, to: &Address) -> u64 {
        let is_for_it = |waiting: &Waiting| waiting.to.as_ref() == Some(to);
        let lanes = self.lanes.iter();
        let lanes =
            lanes.filter(|(_, lane)| lane.answers.iter().chain(&lane.ordered).any(is_for_it));
        let keys: Vec<u64> = lanes.map(|(key, _)| *key).collect();
        keys.into_iter().map(|key| self.remove(key, is_for_it)).sum()
    }

    fn remove(&mut self, key: u64, is_removed: impl Fn(&Waiting) -> bool) -> u64 {
        let Some(lane) = self.lanes.get_mut(&key) else { return 0 };
        let (octets, bulk, mut removed) = (&mut self.octets, &mut self.bulk, 0);
        let mut keep = |waiting: &Waiting| {
            if !is_removed(waiting) {
                return true;
            }
            removed += 1;
            *octets -= waiting.packet.len();
            if waiting.kind == Kind::Bulk {
                *bulk -= waiting.packet.len();
            }
            false
        };
        lane.answers.retain(&mut keep);
        lane.ordered.retain(&mut keep);
        self.forget_if_idle(key);
        removed
    }

    /// Forgets everything: there is nobody to send it to. Says how many packets that were.
    pub(super) fn clear(&mut self) -> u64 {
        let waiting = |lane: &Lane| (lane.answers.len() + lane.ordered.len()) as u64;
        let packets = self.lanes.values().map(waiting).sum();
        *self = Self::new(self.most);
        packets
    }

    fn key(&self, to: Option<&Address>, packet: &[u8]) -> u64 {
        self.lanes.hasher().hash_one((to, head_of(packet)))
    }

    /// Gives a lane its places in the rounds, or forgets it.
    fn enlist(&mut self, key: u64) {
        self.forget_if_idle(key);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.is_urgent() {
            if !lane.urgent {
                lane.urgent = true;
                self.urgent.push_back(key);
            }
        } else if !lane.ordered.is_empty() && !lane.patient {
            lane.patient = true;
            self.patient.push_back(key);
        }
    }

    fn forget_if_idle(&mut self, key: u64) {
        let Some(lane) = self.lanes.get(&key).filter(|lane| lane.is_empty()) else { return };
        let (urgent, patient) = (lane.urgent, lane.patient);
        self.lanes.remove(&key);
        if urgent {
            self.urgent.retain(|other| *other != key);
        }
        if patient {
            self.patient.retain(|other| *other != key);
        }
    }
}

/// The header of a forwarder with which a packet begins (MQTT-SN 1.2 §5.5), or nothing.
fn head_of(packet: &[u8]) -> &[u8] {
    split_forwarder(packet).map_or(&[], |(head, _)| head)
}

fn kind(packet: &[u8]) -> Kind {
    use msg_type::{
        GWINFO, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, REGACK, REGISTER, SUBACK, WILLMSGRESP,
        WILLTOPICRESP,
    };
    match peek(packet).map(|(msg_type, _)| msg_type) {
        Some(REGISTER | PUBLISH) => Kind::Bulk,
        Some(
            GWINFO | REGACK | PUBACK | PUBCOMP | PUBREC | PUBREL | SUBACK | WILLTOPICRESP
            | WILLMSGRESP,
        ) => Kind::Answer,
        _ => Kind::InOrder,
    }
}

/// Whether two packets are the same but for DUP, which a repeated PUBLISH has. Publications of QoS 0
/// and -1 are never repeated: equal ones are different messages.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some((msg_type, body)), Some((_, other_body))) = (peek(one), peek(other)) else {
        return false;
    };
    if msg_type != msg_type::PUBLISH {
        return one == other;
    }
    let (Some((flags, rest)), Some((other_flags, other_rest))) =
        (body.split_first(), other_body.split_first())
    else {
        return false;
    };
    matches!(Qos::from_flags(*flags), Qos::One | Qos::Two)
        && flags | flag::DUP == other_flags | flag::DUP
        && rest == other_rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(octet: u8) -> Address {
        Address::new(&[octet]).unwrap()
    }

    const PUBACK: [u8; 7] = [7, 0x0D, 0, 1, 0, 9, 0];
    const PINGRESP: [u8; 2] = [2, 0x17];

    fn publish(flags: u8, payload: u8) -> Vec<u8> {
        vec![8, 0x0C, flags, 0, 1, 0, 7, payload]
    }

    fn drain(queue: &mut Queue) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some(next) = queue.pop(|_| true) {
            found.push((next.to.map_or(0, |to| to.octets()[0]), next.packet.clone()));
            queue.reuse(next.packet);
        }
        assert!(queue.lanes.is_empty());
        assert!(queue.urgent.is_empty() && queue.patient.is_empty());
        assert_eq!((queue.octets, queue.bulk), (0, 0));
        found
    }

    #[test]
    fn answers_go_first_and_devices_in_turn() {
        let mut queue = Queue::new(1_000);
        for payload in 0..3 {
            queue.push(Some(&address(1)), &publish(0, payload));
        }
        queue.push(Some(&address(2)), &publish(0, 10));
        queue.push(Some(&address(3)), &PINGRESP);
        queue.push(Some(&address(1)), &PUBACK);
        queue.push(Some(&address(2)), &PINGRESP);
        let order = [
            (3, PINGRESP.to_vec()),
            (1, PUBACK.to_vec()),
            (1, publish(0, 0)),
            (2, publish(0, 10)),
            // Not before the publication that came before it.
            (2, PINGRESP.to_vec()),
            (1, publish(0, 1)),
            (1, publish(0, 2)),
        ];
        assert_eq!(drain(&mut queue), order);
    }

    /// Whoever cannot be sent to keeps its place, and nobody waits for it.
    #[test]
    fn who_does_not_take_is_passed_over() {
        let mut queue = Queue::new(1_000);
        queue.push(Some(&address(1)), &PUBACK);
        queue.push(Some(&address(1)), &publish(0, 1));
        queue.push(Some(&address(2)), &publish(0, 2));
        queue.push(None, &publish(0, 3));
        let is_not_1 = |to: Option<&Address>| to != Some(&address(1));
        for expected in [publish(0, 2), publish(0, 3)] {
            assert_eq!(queue.peek(is_not_1).map(|next| &next.packet), Some(&expected));
            let next = queue.pop(is_not_1).unwrap();
            assert_eq!(next.packet, expected);
            queue.reuse(next.packet);
        }
        assert!(queue.peek(is_not_1).is_none() && queue.pop(is_not_1).is_none());
        assert_eq!(drain(&mut queue), [(1, PUBACK.to_vec()), (1, publish(0, 1))]);
    }

    #[test]
    fn answers_do_not_starve_publications() {
        let mut queue = Queue::new(1_000);
        queue.push(Some(&address(1)), &publish(0, 0));
        for msg_id in 0..20 {
            queue.push(Some(&address(2)), &[7, 0x0D, 0, 1, 0, msg_id, 0]);
        }
        let position = drain(&mut queue).iter().position(|(to, _)| *to == 1);
        assert_eq!(position, Some(8));
    }

    #[test]
    fn what_is_repeated_waits_once() {
        let mut queue = Queue::new(1_000);
        let all = address(9);
        for (packet, outcome) in [
            (publish(0x20, 1), Queued::Waits),
            (publish(0xA0, 1), Queued::Already),
            (publish(0x20, 2), Queued::Waits),
            (publish(0x00, 3), Queued::Waits),
            // Two messages that happen to be equal.
            (publish(0x00, 3), Queued::Waits),
            (PINGRESP.to_vec(), Queued::Waits),
            (PINGRESP.to_vec(), Queued::Already),
            (vec![], Queued::Waits),
            (vec![1], Queued::Waits),
        ] {
            assert_eq!(queue.push(Some(&all), &packet), outcome, "{packet:?}");
        }
        assert_eq!(queue.push(None, &PINGRESP), Queued::Waits, "it is for others");
        assert_eq!(drain(&mut queue).len(), 8);
    }

    #[test]
    fn it_has_a_bound_and_half_of_it_is_for_bulk() {
        let mut queue = Queue::new(64);
        assert_eq!(queue.room(), 32);
        for payload in 0..4 {
            assert_eq!(queue.push(Some(&address(1)), &publish(0, payload)), Queued::Waits);
        }
        assert_eq!(queue.room(), 0);
        for msg_id in 0..4 {
            let packet = [7, 0x0D, 0, 1, 0, msg_id, 0];
            assert_eq!(queue.push(Some(&address(1)), &packet), Queued::Waits);
        }
        assert_eq!(queue.push(Some(&address(1)), &[7, 0x0D, 0, 1, 0, 77, 0]), Queued::Full);
        assert_eq!(queue.octets, 60);
        assert_eq!(drain(&mut queue).len(), 8);
    }

    #[test]
    fn a_device_that_begins_anew_is_not_sent_what_waited() {
        let mut queue = Queue::new(1_000);
        let node = |node: u8, packet: &[u8]| [&[4, 0xFE, 0, node], packet].concat();
        queue.push(Some(&address(1)), &publish(0, 1));
        queue.push(Some(&address(1)), &PUBACK);
        queue.push(Some(&address(1)), &node(7, &PINGRESP));
        queue.push(Some(&address(1)), &node(8, &publish(0, 2)));
        queue.push(Some(&address(2)), &publish(0, 3));
        queue.recall(&address(1), &[]);
        queue.recall(&address(1), &[4, 0xFE, 0, 8]);
        assert_eq!(queue.peek(|_| true).map(|next| &next.packet), Some(&node(7, &PINGRESP)));
        queue.push(Some(&address(1)), &publish(0, 1));
        assert_eq!(queue.forget(&address(1)), 2);
        assert_eq!(drain(&mut queue), [(2, publish(0, 3))]);
        queue.push(Some(&address(2)), &publish(0, 3));
        assert_eq!(queue.clear(), 1);
        assert_eq!(drain(&mut queue), []);
    }
}
