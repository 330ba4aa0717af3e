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

use std::collections::VecDeque;

use bytes::BytesMut;
use slab::Slab;

use super::limits::Limits;
use super::packet_ids::{Exchange, PacketIds};
use super::reasons;
use super::stats::Stats;
use super::wire::{self, Protocol, first};
use crate::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent};

/// Most octets kept in buffers for the next requests, and the largest buffer worth keeping.
const POOL: usize = 512 * 1024;
const POOLED_CAPACITY: usize = 2_048;

/// A publication that heads the window when the broker hangs up, this many connections in a row and
/// without a single acknowledgement on any of them, is under suspicion and sent alone.
const SUSPECT_AFTER: u32 = 2;
/// This many in a row, and it is what the broker hangs up on.
const GIVE_UP_AFTER: u32 = 6;

/// One publication at QoS 1 or 2.
#[derive(Debug)]
struct Request {
    token: Token,
    /// Topic, then payload. Not the packet: the next connection may speak another version.
    data: Vec<u8>,
    topic: u16,
    /// 0 until it is sent for the first time in the broker's session.
    id: u16,
    qos: MqttQos,
    retain: bool,
    /// PUBREC has come in the broker's session: what is owed is a PUBREL.
    released: bool,
    /// `Received` has been reported.
    reported: bool,
    /// Sent on this connection; only then does an acknowledgement count.
    sent: bool,
    /// Order of acceptance.
    accepted: u64,
    /// Order of sending again: of acceptance, or of PUBREC for what is released.
    order: u64,
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
pub(super) struct Publication<'a> {
    pub token: Token,
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: MqttQos,
    pub retain: bool,
}

/// Where packets go and how they look.
pub(super) struct Wire<'a> {
    pub output: &'a mut BytesMut,
    pub protocol: Protocol,
    pub limits: &'a Limits,
    pub ids: &'a mut PacketIds,
    pub stats: &'a mut Stats,
}

/// The table of requests.
#[derive(Debug)]
pub(super) struct Outgoing {
    requests: Slab<Request>,
    /// Not sent on this connection, first to be sent first.
    waiting: VecDeque<usize>,
    pool: Vec<Vec<u8>>,
    /// Capacity of the buffers in the pool.
    pooled: usize,
    bounds: Bounds,
    bytes: usize,
    counter: u64,
    /// An acknowledgement came on this connection.
    progress: bool,
    /// The publication at the head when the broker hung up, and how often in a row.
    suspect: Option<(u64, u32)>,
}

impl Outgoing {
    /// Nothing in flight.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            requests: Slab::new(),
            waiting: VecDeque::new(),
            pool: Vec::new(),
            pooled: 0,
            bounds,
            bytes: 0,
            counter: 0,
            progress: false,
            suspect: None,
        }
    }

    /// Takes a publication: sends it if `wire` is there and the window is open, else queues it.
    pub(super) fn publish(
        &mut self,
        publication: Publication<'_>,
        wire: Option<&mut Wire<'_>>,
    ) -> Result<(), Refusal> {
        let Publication { token, topic, payload, qos, retain } = publication;
        let size = topic.len().saturating_add(payload.len());
        if size > self.bounds.bytes {
            return Err(Refusal::NotSupported);
        }
        let open = match &wire {
            Some(wire) => self.waiting.is_empty() && self.in_flight() < self.window(wire.limits),
            None => false,
        };
        if self.bytes.saturating_add(size) > self.bounds.bytes
            || !open && self.waiting.len() >= self.bounds.queued
        {
            return Err(Refusal::Congestion);
        }
        let mut data = self.pool.pop().unwrap_or_default();
        self.pooled = self.pooled.saturating_sub(data.capacity());
        data.reserve(size);
        data.extend_from_slice(topic.as_bytes());
        data.extend_from_slice(payload);
        self.bytes = self.bytes.saturating_add(size);
        self.counter = self.counter.wrapping_add(1);
        let slot = self.requests.insert(Request {
            token,
            data,
            topic: u16::try_from(topic.len()).unwrap_or(u16::MAX),
            id: 0,
            qos,
            retain,
            released: false,
            reported: false,
            sent: false,
            accepted: self.counter,
            order: self.counter,
        });
        let sent = wire.is_some_and(|wire| open && self.send(slot, wire));
        if !sent {
            self.waiting.push_back(slot);
        }
        Ok(())
    }

    /// Sends what waits, as far as the window is open. What the broker cannot take any more is
    /// refused.
    pub(super) fn pump(&mut self, wire: &mut Wire<'_>, events: &mut dyn FnMut(UpstreamEvent<'_>)) {
        let window = self.window(wire.limits);
        while let Some(&slot) = self.waiting.front() {
            // A PUBREL is no new publication, so the window does not hold it back.
            let released = self.requests.get(slot).is_some_and(|request| request.released);
            if !released && self.in_flight() >= window {
                break;
            }
            if self.fits(slot, wire) {
                if !self.send(slot, wire) {
                    break;
                }
                self.waiting.pop_front();
            } else {
                self.waiting.pop_front();
                wire.stats.refused_not_supported += 1;
                self.finish(slot, Err(Refusal::NotSupported), wire.ids, events);
            }
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 1_024 {
            self.waiting = VecDeque::new();
        }
    }

    /// PUBACK. False if it fits nothing.
    pub(super) fn puback(
        &mut self,
        id: u16,
        reason: u8,
        ids: &mut PacketIds,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        match self.find(id, MqttQos::One, ids) {
            Some((slot, _)) => {
                self.finish(slot, outcome(reason), ids, events);
                true
            }
            None => false,
        }
    }

    /// PUBREC. Always answered with PUBREL, except where it refuses. False if it fits nothing.
    pub(super) fn pubrec(
        &mut self,
        id: u16,
        reason: u8,
        wire: &mut Wire<'_>,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        self.counter = self.counter.wrapping_add(1);
        let order = self.counter;
        let Some((slot, request)) = self.find(id, MqttQos::Two, wire.ids) else {
            // Somebody else's exchange under this id is not to be disturbed by a PUBREL.
            if reason < reasons::FAILURE && wire.ids.get(id).is_none() {
                wire.pubrel(id, reasons::PACKET_ID_NOT_FOUND);
            }
            return false;
        };
        if reason >= reasons::FAILURE {
            if request.released {
                // The broker has owned the message since its first PUBREC; PUBCOMP ends it.
                return false;
            }
            self.finish(slot, outcome(reason), wire.ids, events);
            return true;
        }
        if !request.released {
            request.released = true;
            request.order = order;
            if !std::mem::replace(&mut request.reported, true) {
                events(UpstreamEvent::Received { token: request.token });
            }
        }
        wire.pubrel(id, 0);
        true
    }

    /// PUBCOMP. False if it fits nothing.
    pub(super) fn pubcomp(
        &mut self,
        id: u16,
        ids: &mut PacketIds,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        match self.find(id, MqttQos::Two, ids) {
            Some((slot, request)) if request.released => {
                // Whatever its reason code: "not found" says that the exchange was over before.
                self.finish(slot, Ok(()), ids, events);
                true
            }
            _ => false,
        }
    }

    /// The connection is gone: everything waits again, in order. `hung_up`: the broker ended it.
    ///
    /// A 3.1.1 broker can refuse a publication only by hanging up, and would get it again with
    /// every new connection. So the publication that heads the window then is sent alone,
    /// so that nothing else can be the cause, and refused if that happens again and again.
    pub(super) fn connection_lost(
        &mut self,
        hung_up: bool,
        ids: &mut PacketIds,
        stats: &mut Stats,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let sent = self.requests.iter().filter(|(_, request)| request.sent && !request.released);
        let head = sent.min_by_key(|(_, request)| request.order);
        let head = head.map(|(slot, request)| (slot, request.accepted));
        if std::mem::take(&mut self.progress) {
            self.suspect = None;
        } else if let (Some((slot, accepted)), true) = (head, hung_up) {
            let strikes = match self.suspect {
                Some((suspect, strikes)) if suspect == accepted => strikes + 1,
                _ => 1,
            };
            self.suspect = Some((accepted, strikes));
            if strikes >= GIVE_UP_AFTER {
                self.suspect = None;
                stats.given_up += 1;
                self.finish(slot, Err(Refusal::NotSupported), ids, events);
            }
        }
        for (_, request) in &mut self.requests {
            request.sent = false;
        }
        self.queue_all();
    }

    /// A new connection, and the broker has lost the session: all ids are free and everything is
    /// new.
    pub(super) fn session_lost(&mut self, ids: &mut PacketIds, stats: &mut Stats) {
        for (_, request) in &mut self.requests {
            if request.id == 0 {
                continue;
            }
            ids.release(request.id);
            stats.republished += 1;
            if request.released {
                stats.republished_after_pubrec += 1;
            }
            request.id = 0;
            request.released = false;
            request.order = request.accepted;
        }
        self.queue_all();
    }

    /// Requests sent on this connection and not over.
    pub(super) fn in_flight(&self) -> usize {
        self.requests.len().saturating_sub(self.waiting.len())
    }

    /// Brings the gauges up to date.
    pub(super) fn gauge(&self, stats: &mut Stats) {
        stats.in_flight = self.in_flight();
        stats.queued = self.waiting.len();
        stats.queued_bytes = self.bytes;
    }

    /// Gives memory back when nothing is in flight.
    pub(super) fn trim(&mut self) {
        if self.requests.is_empty() {
            self.requests = Slab::new();
            self.waiting = VecDeque::new();
            self.pool = Vec::new();
            self.pooled = 0;
        }
    }

    /// Rebuilds the queue. PUBRELs come first, in the order of their PUBRECs: a PUBREC that comes
    /// on the next connection must not be answered before them (MQTT 3.1.1 §4.6). Then what the
    /// broker may know already, then what is new.
    fn queue_all(&mut self) {
        let rank = |request: &Request| match request {
            Request { released: true, .. } => 0,
            Request { id: 0, .. } => 2,
            _ => 1,
        };
        let mut all: Vec<(u8, u64, usize)> = self
            .requests
            .iter()
            .map(|(slot, request)| (rank(request), request.order, slot))
            .collect();
        all.sort_unstable();
        self.waiting = all.into_iter().map(|(_, _, slot)| slot).collect();
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

    /// Sends PUBLISH or PUBREL. False if there is no free packet id.
    fn send(&mut self, slot: usize, wire: &mut Wire<'_>) -> bool {
        let Some(request) = self.requests.get_mut(slot) else { return false };
        let again = request.id != 0;
        if !again {
            let Some(id) = wire.ids.allocate(Exchange::Publish(slot)) else { return false };
            request.id = id;
        }
        request.sent = true;
        wire.stats.resent += u64::from(again);
        if request.released {
            wire.pubrel(request.id, 0);
            return true;
        }
        wire.stats.published += 1;
        let (topic, payload) =
            request.data.split_at_checked(usize::from(request.topic)).unwrap_or_default();
        let publish = wire::Outgoing {
            dup: again,
            qos: request.qos,
            retain: request.retain,
            id: request.id,
            topic,
            payload,
        };
        wire::put_publish(wire.output, wire.protocol, publish);
        true
    }

    /// The request that an acknowledgement is for.
    fn find(&mut self, id: u16, qos: MqttQos, ids: &PacketIds) -> Option<(usize, &mut Request)> {
        let Some(Exchange::Publish(slot)) = ids.get(id) else { return None };
        let request = self.requests.get_mut(slot)?;
        if request.qos != qos || !request.sent {
            return None;
        }
        self.progress = true;
        Some((slot, request))
    }

    fn finish(
        &mut self,
        slot: usize,
        outcome: Result<(), Refusal>,
        ids: &mut PacketIds,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let Some(mut request) = self.requests.try_remove(slot) else { return };
        if request.id != 0 {
            ids.release(request.id);
        }
        self.bytes = self.bytes.saturating_sub(request.data.len());
        let capacity = request.data.capacity();
        if capacity <= POOLED_CAPACITY && self.pooled.saturating_add(capacity) <= POOL {
            request.data.clear();
            self.pooled = self.pooled.saturating_add(capacity);
            self.pool.push(request.data);
        }
        events(UpstreamEvent::Published { token: request.token, outcome });
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
    fn pubrel(&mut self, id: u16, reason: u8) {
        wire::put_acknowledgement(self.output, self.protocol, first::PUBREL, id, reason);
    }
}

/// What a reason code means.
fn outcome(reason: u8) -> Result<(), Refusal> {
    if reason < reasons::FAILURE { Ok(()) } else { Err(reasons::refusal(reason)) }
}
