//! Publications that survive the process: taken over from clients that could not wait for the broker.
//!
//! A publication is recorded when the broker is away, when its client asks for its acknowledgement
//! again, when somebody wants it kept, and at QoS 2 in any case. What a client publishes stays in
//! order: as long as something of it waits in the spool, more of it goes there too. Clients without
//! anything there are served beside it, turn by turn, so that a long outage does not make everybody
//! wait until it is worked off.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::notes::Notes;
use super::outgoing::{NOBODY, Outgoing, Request};
use super::packet_ids::{Exchange, PacketIds};
use super::settings::Spool;
use crate::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent, Waste};
use crate::store::image::LineImage;
use crate::store::record::Record;
use crate::time::Time;

/// How many publications of each client wait.
#[derive(Debug)]
pub(super) struct Backlog(HashMap<u32, u32, FixedState>);

impl Default for Backlog {
    fn default() -> Self {
        Self(HashMap::with_hasher(FixedState::with_seed(0)))
    }
}

/// How long a broker is left alone that has no room at present.
const AGAIN: Duration = Duration::from_secs(5);

/// Publications without a client.
const NO_ORIGIN: u32 = u32::MAX;

impl Backlog {
    pub(super) fn has(&self, origin: u32) -> bool {
        self.0.contains_key(&origin)
    }

    pub(super) fn add(&mut self, origin: u32) {
        if origin != NO_ORIGIN {
            *self.0.entry(origin).or_insert(0) += 1;
        }
    }

    pub(super) fn remove(&mut self, origin: Option<u32>) {
        let Some(origin) = origin else { return };
        if let hashbrown::hash_map::Entry::Occupied(mut entry) = self.0.entry(origin) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

impl Outgoing {
    /// Whether another publication of this size fits the spool.
    pub(super) fn has_room(&self, size: usize) -> bool {
        let needed = self.spooled.saturating_add((size + Spool::OVERHEAD) as u64);
        self.spool.is_some_and(|spool| needed <= spool.max_bytes)
    }

    /// Whether it has waited for too long. What the broker may have already is finished.
    pub(super) fn is_expired(&self, slot: usize, now: Time) -> bool {
        self.spool.is_some_and(|spool| {
            self.requests.get(slot).is_some_and(|request| {
                request.recorded && request.id == 0 && now.since(request.at) > spool.max_age
            })
        })
    }

    /// Takes a publication over from its client, if there is room: the request is over for it.
    pub(super) fn keep(
        &mut self,
        token: Token,
        ids: &PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        if token == NOBODY {
            return;
        }
        let is_it = |slot: &usize| self.requests.get(*slot).is_some_and(|it| it.token == token);
        // It is under way or about to be, but for what did not fit the spool when the connection was
        // lost. The table may have all of a long outage in it.
        let near = ids.publications().chain(self.live.iter().copied()).find(is_it);
        let found = near.or_else(|| {
            self.requests.iter().find(|(_, request)| request.token == token).map(|(slot, _)| slot)
        });
        if let Some(slot) = found {
            self.keep_one(slot, notes, events);
        }
    }

    /// Nothing can be written: what the broker has not been sent for that reason is given back to its
    /// clients, who hear congestion.
    pub(super) fn give_back(
        &mut self,
        ids: &mut PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let unsent = |request: &Request| {
            request.recorded && request.token != NOBODY && request.id != 0 && !request.written
        };
        let mut unsent: Vec<(u64, usize)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.sent && unsent(request))
            .map(|(slot, request)| (request.accepted, slot))
            .collect();
        unsent.sort_unstable();
        for (_, slot) in unsent {
            let outcome = Err(Refusal::Congestion);
            self.finish(slot, outcome, Waste::Refused, ids, notes, events);
        }
    }

    /// The broker is gone: takes all publications over.
    pub(super) fn keep_all(
        &mut self,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        if self.spool.is_none() {
            return;
        }
        let mut open: Vec<(u64, usize)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.token != NOBODY)
            .map(|(slot, request)| (request.accepted, slot))
            .collect();
        open.sort_unstable();
        for (_, slot) in open {
            self.keep_one(slot, notes, events);
        }
    }

    fn keep_one(
        &mut self,
        slot: usize,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let size = self.requests.get(slot).map_or(0, |request| request.data.len());
        let room = self.has_room(size);
        let Some(request) = self.requests.get_mut(slot) else { return };
        if !request.recorded {
            if !room {
                return;
            }
            request.recorded = true;
            notes.record(&request.record());
            self.spooled = self.spooled.saturating_add(request.room());
            self.bytes = self.bytes.saturating_sub(size);
        }
        let token = std::mem::replace(&mut request.token, NOBODY);
        events(UpstreamEvent::Kept { token });
    }

    /// Throws away what is too old, at the head of the spool. False if nothing was.
    pub(super) fn expire(
        &mut self,
        now: Time,
        ids: &mut PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        let mut any = false;
        while let Some(slot) = self.waiting.front().copied()
            && self.leaving == 0
            && self.is_expired(slot, now)
        {
            self.waiting.pop_front();
            self.backlog.remove(self.requests.get(slot).map(|request| request.origin));
            let outcome = Err(Refusal::NotSupported);
            self.finish(slot, outcome, Waste::Expired, ids, notes, events);
            any = true;
        }
        any
    }

    /// What the gateway has taken over goes to a broker that takes no such QoS at the highest that it
    /// does take.
    pub(super) fn lower(&mut self, slot: usize, most: MqttQos) {
        if let Some(request) = self.requests.get_mut(slot)
            && request.recorded
            && request.id == 0
        {
            request.qos = request.qos.min(most);
        }
    }

    /// Whether the broker refused only for the moment what the gateway has promised to deliver.
    pub(super) fn is_for_later(&self, slot: usize, outcome: Result<(), Refusal>) -> bool {
        let request = self.requests.get(slot);
        outcome == Err(Refusal::Congestion)
            && request.is_some_and(|request| request.recorded && request.token == NOBODY)
    }

    /// Puts a publication back to the head of the spool, and leaves the broker alone for a while.
    pub(super) fn postpone(
        &mut self,
        slot: usize,
        now: Time,
        ids: &mut PacketIds,
        notes: &mut Notes,
    ) {
        let Some(request) = self.requests.get_mut(slot) else { return };
        let id = std::mem::take(&mut request.id);
        request.sent = false;
        request.written = false;
        request.known = false;
        if request.qos == MqttQos::Two {
            notes.record(&Record::RequestSent { key: request.accepted, packet_id: 0 });
        }
        let origin = request.origin;
        ids.release(id);
        self.backlog.add(origin);
        let accepted = request.accepted;
        // Several may come back, in whatever order.
        let place = self.waiting.partition_point(|other| {
            self.requests.get(*other).is_some_and(|other| other.accepted < accepted)
        });
        self.waiting.insert(place.max(self.leaving), slot);
        self.again_at = Some(now.after(AGAIN));
    }

    /// The connection is gone: what was kept at QoS 0 and sent on it is over.
    pub(super) fn drop_sent_zero(&mut self) {
        let sent = |request: &Request| request.qos == MqttQos::Zero && request.sent;
        let gone: Vec<usize> =
            self.requests.iter().filter(|(_, r)| sent(r)).map(|(slot, _)| slot).collect();
        for slot in gone {
            let room = self.requests.get(slot).map_or(0, Request::room);
            self.requests.remove(slot);
            self.spooled = self.spooled.saturating_sub(room);
        }
    }

    /// Goes on with the publications of a former life.
    pub(super) fn restore(&mut self, image: &mut LineImage, ids: &mut PacketIds) -> usize {
        for (key, it) in std::mem::take(&mut image.requests) {
            let Ok(topic) = u16::try_from(it.topic.len()) else { continue };
            let mut data = it.topic.as_bytes().to_vec();
            data.extend_from_slice(&it.payload);
            self.counter = self.counter.max(key);
            let slot = self.requests.vacant_key();
            let two = it.qos == MqttQos::Two;
            // Two requests under one id: the file is not of our making.
            let id = it.packet_id;
            let id = if two && id != 0 && ids.claim(id, Exchange::Publish(slot)) { id } else { 0 };
            let released = it.released && id != 0;
            let request = Request {
                token: NOBODY,
                data,
                topic,
                properties: 0,
                id,
                qos: it.qos,
                retain: it.retain,
                released,
                reported: true,
                known: id != 0,
                sent: false,
                written: false,
                recorded: true,
                origin: it.origin,
                at: Time(it.at),
                accepted: key,
                order: key,
            };
            self.spooled = self.spooled.saturating_add(request.room());
            self.requests.insert(request);
        }
        self.queue_all();
        self.requests.len()
    }

    /// Appends what is kept, from the slot `place` on, until `out` is `limit` octets long. False if
    /// nothing is left.
    pub(super) fn snapshot(&self, place: &mut usize, out: &mut Vec<u8>, limit: usize) -> bool {
        while out.len() < limit {
            if *place >= self.requests.capacity() {
                return false;
            }
            let request = self.requests.get(*place);
            *place += 1;
            // What is sent at QoS 0 is forgotten.
            let kept = |r: &&Request| r.recorded && !(r.qos == MqttQos::Zero && r.sent);
            let Some(request) = request.filter(kept) else { continue };
            request.record().put(out);
            let key = request.accepted;
            if request.qos == MqttQos::Two && request.id != 0 {
                Record::RequestSent { key, packet_id: request.id }.put(out);
            }
            if request.released {
                Record::RequestReleased { key }.put(out);
            }
        }
        true
    }
}
