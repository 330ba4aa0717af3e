//! Publications to the broker at QoS 1 and 2: the window, the queue behind it, and what happens to
//! both when the connection goes (MQTT 3.1.1 §4.3, §4.4, §4.6; MQTT 5 §4.9).
//!
//! ```text
//!   publish ──► waiting ──window──► published ──PUBACK──────────────────────► over   (QoS 1)
//!                  ▲                    ├──────PUBREC──► released ──PUBCOMP──► over   (QoS 2)
//!                  └── connection lost ─┴────────────────────┘
//! ```
//!
//! A lost connection puts everything back into `waiting` in its original order. What has a packet
//! id there is sent again with DUP (or as PUBREL); if the broker lost its session the ids are given
//! up and everything is sent as new.
//!
//! Where publications are to survive the process there are two queues: `waiting` for what the gateway
//! has taken over from its clients (see [`super::spool`]), and `live` beside it for the others.

mod answers;
mod connection;
mod request;

use std::collections::VecDeque;

use bytes::BytesMut;
use slab::Slab;

pub(super) use request::Request;

use super::aliases::{Alias, Aliases};
use super::limits::Limits;
use super::notes::{Notes, Step};
use super::packet_ids::{Exchange, PacketIds};
use super::round_trip::RoundTrips;
use super::settings::Spool;
use super::spool::Backlog;
use super::stats::Stats;
use super::wire::{self, Protocol, first};
use crate::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent, Waste};
use crate::store::record::Record;
use crate::time::Time;

/// Most octets kept in buffers for the next requests, and the largest buffer worth keeping.
const POOL: usize = 512 * 1024;
const POOLED_CAPACITY: usize = 2_048;

/// A publication that heads the window when the broker hangs up, this many connections in a row and
/// without a single acknowledgement on any of them, is under suspicion and sent alone.
const SUSPECT_AFTER: u32 = 2;

/// Token of what nobody waits for.
pub(super) const NOBODY: Token = Token(0);

/// When a packet leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    Now,
    Later,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It is on its way, and one `Published` with its token will follow. At QoS 0 none will.
    Under,
    /// It is in the spool, and nothing will follow: to be acknowledged once that is written.
    Kept,
}

/// Bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most publications in flight, at least 1.
    pub in_flight: usize,
    /// Most publications waiting.
    pub queued: usize,
    /// Most octets of both.
    pub bytes: usize,
}

/// A publication as the core hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Comes back with the outcome.
    pub token: Token,
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
    /// Who publishes: a number of the caller's. What one publishes stays in order.
    pub origin: u32,
    /// Into the spool from the start, where there is one.
    pub keep: bool,
    /// Properties for MQTT 5, as they are written; they are lost at the end of the process.
    pub properties: &'a [u8],
}

/// What a session needs to write packets, apart from what it writes about.
#[derive(Debug)]
pub(super) struct Channel {
    pub output: BytesMut,
    pub protocol: Protocol,
    pub limits: Limits,
    pub ids: PacketIds,
    pub stats: Stats,
    pub aliases: Aliases,
}

impl Channel {
    pub fn wire(&mut self, now: Time) -> Wire<'_> {
        let Self { output, protocol, limits, ids, stats, aliases } = self;
        Wire { output, protocol: *protocol, limits, ids, stats, aliases, now }
    }
}

/// Where packets go and how they look.
pub(super) struct Wire<'a> {
    pub output: &'a mut BytesMut,
    pub protocol: Protocol,
    pub limits: &'a Limits,
    pub ids: &'a mut PacketIds,
    pub stats: &'a mut Stats,
    pub aliases: &'a mut Aliases,
    pub now: Time,
}

/// The table of requests.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) requests: Slab<Request>,
    /// Not sent on this connection, first to be sent first.
    pub(super) waiting: VecDeque<usize>,
    /// The same, of clients with nothing in the other queue. They have their turns.
    pub(super) live: VecDeque<usize>,
    live_next: bool,
    /// The broker has no room for what is in the spool. Not before then.
    pub(super) again_at: Option<Time>,
    /// So many at the head of `waiting` are about to be sent, when they are written. What comes after
    /// them in the spool leaves after them.
    pub(super) leaving: usize,
    /// Whose publications are in `waiting`.
    pub(super) backlog: Backlog,
    /// Where publications are kept over the end of the process, if they are.
    pub(super) spool: Option<Spool>,
    /// Octets that they take there.
    pub(super) spooled: u64,
    pool: Vec<Vec<u8>>,
    /// Capacity of the buffers in the pool.
    pooled: usize,
    bounds: Bounds,
    pub(super) bytes: usize,
    pub(super) counter: u64,
    /// An acknowledgement came on this connection.
    progress: bool,
    /// The publication at the head when the broker hung up, and how often in a row.
    suspect: Option<(u64, u32)>,
    /// How long acknowledgements take, if somebody wants to know.
    pub(super) trips: Option<Box<RoundTrips>>,
}

impl Outgoing {
    /// Nothing in flight.
    pub(super) fn new(bounds: Bounds, spool: Option<Spool>) -> Self {
        Self {
            requests: Slab::new(),
            waiting: VecDeque::new(),
            live: VecDeque::new(),
            live_next: false,
            again_at: None,
            leaving: 0,
            backlog: Backlog::default(),
            spool,
            spooled: 0,
            pool: Vec::new(),
            pooled: 0,
            bounds,
            bytes: 0,
            counter: 0,
            progress: false,
            suspect: None,
            trips: None,
        }
    }

    /// Takes a publication: sends it if `wire` is there and the window is open, else queues it.
    pub(super) fn publish(
        &mut self,
        publication: Publication<'_>,
        mut wire: Option<&mut Wire<'_>>,
        now: Time,
        notes: &mut Notes,
    ) -> Result<Taken, Refusal> {
        let Publication { token, topic, payload, qos, retain, origin, keep, properties } =
            publication;
        let size = topic.len().saturating_add(payload.len()).saturating_add(properties.len());
        if size > self.bounds.bytes {
            return Err(Refusal::NotSupported);
        }
        let spools = self.spool.is_some();
        // Behind what the same client has in the spool.
        let queues = wire.is_none() || self.backlog.has(origin);
        let keep = spools && (keep || queues);
        let open = match &wire {
            Some(wire) if spools => {
                !queues
                    && self.live.is_empty()
                    && self.in_flight() + self.leaving < self.window(wire.limits)
            }
            Some(wire) => self.waiting.is_empty() && self.in_flight() < self.window(wire.limits),
            None => false,
        };
        let recorded = keep || (spools && qos == MqttQos::Two);
        let queued = if spools { self.live.len() } else { self.waiting.len() };
        let fits = if recorded {
            self.has_room(size)
        } else {
            self.bytes.saturating_add(size) <= self.bounds.bytes
                && (open || queued < self.bounds.queued)
        };
        if !fits {
            return Err(Refusal::Congestion);
        }
        let mut data = self.pool.pop().unwrap_or_default();
        self.pooled = self.pooled.saturating_sub(data.capacity());
        data.reserve(size);
        data.extend_from_slice(topic.as_bytes());
        data.extend_from_slice(payload);
        data.extend_from_slice(properties);
        self.counter = self.counter.wrapping_add(1);
        let request = Request {
            token: if keep { NOBODY } else { token },
            data,
            topic: u16::try_from(topic.len()).unwrap_or(u16::MAX),
            properties: u16::try_from(properties.len()).unwrap_or(0),
            id: 0,
            qos,
            retain,
            released: false,
            reported: false,
            known: false,
            sent: false,
            written: false,
            recorded,
            origin,
            at: now,
            accepted: self.counter,
            order: self.counter,
        };
        if recorded {
            notes.record(&request.record());
            self.spooled = self.spooled.saturating_add(request.room());
        } else {
            self.bytes = self.bytes.saturating_add(size);
        }
        let slot = self.requests.insert(request);
        let sent =
            open && wire.as_mut().is_some_and(|wire| self.send(slot, wire, notes, false).is_some());
        if !sent && (queues || !spools) {
            self.backlog.add(origin);
            self.waiting.push_back(slot);
        } else if !sent {
            self.live.push_back(slot);
        }
        Ok(if keep { Taken::Kept } else { Taken::Under })
    }

    /// Sends what waits, as far as the window is open. What the broker cannot take any more is
    /// refused.
    pub(super) fn pump(
        &mut self,
        wire: &mut Wire<'_>,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let window = self.window(wire.limits);
        if self.again_at.is_some_and(|at| at <= wire.now) {
            self.again_at = None;
        }
        while let Some((live, slot)) = self.next(window, notes.is_failing()) {
            self.lower(slot, wire.limits.qos);
            let mut leaves_later = false;
            let waste = if self.is_expired(slot, wire.now) {
                Some(Waste::Expired)
            } else if self.fits(slot, wire) {
                let behind = !live && self.leaving > 0;
                let Some(sent) = self.send(slot, wire, notes, behind) else { break };
                leaves_later = sent == Sent::Later;
                None
            } else {
                wire.stats.refused_not_supported += 1;
                Some(Waste::Refused)
            };
            self.live_next = !live;
            if live {
                self.live.pop_front();
            } else if leaves_later {
                self.leaving += 1;
            } else {
                self.leave(slot);
            }
            if let Some(why) = waste {
                let outcome = Err(Refusal::NotSupported);
                self.finish(slot, outcome, why, wire.ids, notes, events);
            }
        }
        for lane in [&mut self.waiting, &mut self.live] {
            if lane.is_empty() && lane.capacity() > 1_024 {
                *lane = VecDeque::new();
            }
        }
    }

    /// What is to be sent next, and whether it is in the queue beside the spool.
    /// `failing`: nothing can be written.
    fn next(&self, window: usize, failing: bool) -> Option<(bool, usize)> {
        let can_go = |slot: &usize| {
            let request = self.requests.get(*slot);
            !failing || request.is_none_or(|request| request.qos == MqttQos::One)
        };
        let waiting = self.waiting.get(self.leaving).copied().filter(can_go);
        let live = self.live.front().copied().filter(can_go);
        // A PUBREL is no new publication, so the window does not hold it back.
        let is_released =
            |slot: &usize| self.requests.get(*slot).is_some_and(|request| request.released);
        if let Some(slot) = waiting.filter(is_released) {
            return Some((false, slot));
        }
        if self.in_flight() + self.leaving >= window {
            return None;
        }
        let waiting = waiting.filter(|_| self.again_at.is_none());
        match (waiting, live) {
            (Some(slot), None) => Some((false, slot)),
            (None, live) => live.map(|slot| (true, slot)),
            (Some(_), Some(slot)) if self.live_next => Some((true, slot)),
            (Some(slot), Some(_)) => Some((false, slot)),
        }
    }

    /// Topic of a request.
    pub(super) fn topic_of(&self, slot: usize) -> Option<&str> {
        let (topic, ..) = self.requests.get(slot)?.parts();
        std::str::from_utf8(topic).ok()
    }

    /// Whether there are no requests at all.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Requests sent on this connection and not over.
    pub(super) fn in_flight(&self) -> usize {
        self.requests.len().saturating_sub(self.waiting.len() + self.live.len())
    }

    /// Brings the gauges up to date.
    pub(super) fn gauge(&self, stats: &mut Stats) {
        stats.in_flight = self.in_flight();
        stats.queued = self.waiting.len() + self.live.len();
        stats.queued_bytes = self.bytes;
        stats.spooled_bytes = self.spooled;
    }

    /// Gives memory back when nothing is in flight.
    pub(super) fn trim(&mut self) {
        if self.requests.is_empty() {
            self.requests = Slab::new();
            self.waiting = VecDeque::new();
            self.live = VecDeque::new();
            self.backlog = Backlog::default();
            self.pool = Vec::new();
            self.pooled = 0;
        }
    }

    /// Whether the broker can take what a request still owes it.
    fn fits(&self, slot: usize, wire: &Wire<'_>) -> bool {
        self.requests.get(slot).is_some_and(|request| {
            let topic = usize::from(request.topic);
            let payload = request.data.len().saturating_sub(topic);
            request.released
                || wire
                    .limits
                    .check_publish(wire.protocol, request.qos, request.retain, topic, payload)
                    .is_ok()
        })
    }

    /// Sends PUBLISH or PUBREL, at once or as soon as what has to be written first is written. `behind`:
    /// not at once in any case. `None` if there is no free packet id.
    fn send(
        &mut self,
        slot: usize,
        wire: &mut Wire<'_>,
        notes: &mut Notes,
        behind: bool,
    ) -> Option<Sent> {
        let request = self.requests.get_mut(slot)?;
        let (dup, key) = (request.known, request.accepted);
        if request.qos == MqttQos::Zero {
            // It is forgotten before it is sent: at most once.
            request.sent = true;
            notes.record(&Record::RequestOver { key });
            notes.defer(Step::Publish { slot, key, dup });
            return Some(Sent::Later);
        }
        let new = request.id == 0;
        if new {
            request.id = wire.ids.allocate(Exchange::Publish(slot))?;
        }
        request.sent = true;
        wire.stats.resent += u64::from(dup);
        let one = request.qos == MqttQos::One;
        if !notes.are_kept() || (one && !behind) {
            self.write(slot, dup, wire);
            return Some(Sent::Now);
        }
        if new && !one {
            notes.record(&Record::RequestSent { key, packet_id: request.id });
        }
        if request.released {
            notes.defer(Step::Release { slot, key });
            // It is no publication, and nothing comes after it.
            return Some(Sent::Now);
        }
        notes.defer(Step::Publish { slot, key, dup });
        Some(Sent::Later)
    }

    /// Takes a request out of the spool's queue: it is on its way.
    fn leave(&mut self, slot: usize) {
        if let Some(place) = self.waiting.iter().position(|other| *other == slot) {
            self.waiting.remove(place);
            self.backlog.remove(self.requests.get(slot).map(|request| request.origin));
        }
    }

    /// Writes the packet that [`Self::send`] decided on, at last.
    pub(super) fn write_deferred(&mut self, step: Step, wire: &mut Wire<'_>) {
        let (slot, key, dup) = match step {
            Step::Publish { slot, key, dup } => (slot, key, dup),
            Step::Release { slot, key } => (slot, key, true),
            _ => return,
        };
        let request = self.requests.get(slot).filter(|r| r.accepted == key && r.sent);
        let Some(request) = request else { return };
        let (zero, released) = (request.qos == MqttQos::Zero, request.released);
        if matches!(step, Step::Publish { .. })
            && self.leaving > 0
            && self.waiting.iter().take(self.leaving).any(|other| *other == slot)
        {
            self.leaving -= 1;
            self.leave(slot);
        }
        // PUBREC may have come for what was sent on an earlier connection.
        if released == matches!(step, Step::Release { .. }) {
            self.write(slot, dup, wire);
        }
        if zero {
            self.take_out(slot, wire.ids);
        }
    }

    fn write(&mut self, slot: usize, again: bool, wire: &mut Wire<'_>) -> bool {
        let Some(request) = self.requests.get_mut(slot) else { return false };
        request.written = true;
        request.known = true;
        if request.released {
            wire.pubrel(request.id, 0);
            return true;
        }
        wire.stats.published += 1;
        if let Some(trips) = &mut self.trips
            && request.id != 0
        {
            trips.sent(request.id, wire.now);
        }
        let (topic, payload, properties) = request.parts();
        let alias = wire.alias(topic, payload.len() + properties.len());
        let publish = wire::Outgoing {
            dup: again,
            qos: request.qos,
            retain: request.retain,
            id: request.id,
            topic,
            payload,
            alias,
            properties,
        };
        wire::put_publish(wire.output, wire.protocol, publish);
        true
    }

    fn window(&self, limits: &Limits) -> usize {
        let suspicion = self.suspect.is_some_and(|(_, strikes)| strikes >= SUSPECT_AFTER);
        if suspicion && !self.progress {
            return 1;
        }
        self.bounds.in_flight.min(usize::from(limits.receive_maximum)).max(1)
    }
}

impl Wire<'_> {
    /// How the next PUBLISH names its topic. `rest`: octets of payload and properties.
    pub(super) fn alias(&mut self, topic: &[u8], rest: usize) -> Alias {
        // Every octet counts where the broker takes no long packets.
        let fits = topic.len().saturating_add(rest).saturating_add(32) <= self.limits.packet;
        if fits && self.protocol == Protocol::V5 { self.aliases.choose(topic) } else { Alias::None }
    }

    pub(super) fn pubrel(&mut self, id: u16, reason: u8) {
        wire::put_acknowledgement(self.output, self.protocol, first::PUBREL, id, reason);
    }
}
