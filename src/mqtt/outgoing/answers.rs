//! What the broker answers to a publication, and its end.

use super::{NOBODY, Outgoing, POOL, POOLED_CAPACITY, Request, Wire};
use crate::core::upstream::{MqttQos, Refusal, UpstreamEvent, Waste};
use crate::mqtt::notes::{Notes, Step};
use crate::mqtt::packet_ids::{Exchange, PacketIds};
use crate::mqtt::reasons;
use crate::store::record::Record;
use crate::time::Time;

impl Outgoing {
    /// PUBACK. False if it fits nothing.
    pub(in crate::mqtt) fn puback(
        &mut self,
        id: u16,
        reason: u8,
        now: Time,
        ids: &mut PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        match self.find(id, MqttQos::One, ids).map(|(slot, _)| slot) {
            Some(slot) if self.is_for_later(slot, outcome(reason)) => {
                self.postpone(slot, now, ids, notes);
                true
            }
            Some(slot) => {
                self.finish(slot, outcome(reason), Waste::Refused, ids, notes, events);
                true
            }
            None => false,
        }
    }

    /// PUBREC. Always answered with PUBREL, except where it refuses. False if it fits nothing.
    pub(in crate::mqtt) fn pubrec(
        &mut self,
        id: u16,
        reason: u8,
        wire: &mut Wire<'_>,
        notes: &mut Notes,
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
            if self.is_for_later(slot, outcome(reason)) {
                self.postpone(slot, wire.now, wire.ids, notes);
                return true;
            }
            self.finish(slot, outcome(reason), Waste::Refused, wire.ids, notes, events);
            return true;
        }
        if !request.released {
            request.released = true;
            request.order = order;
            if !std::mem::replace(&mut request.reported, true)
                && (request.token != NOBODY || !notes.are_kept())
            {
                events(UpstreamEvent::Received { token: request.token });
            }
            notes.record(&Record::RequestReleased { key: request.accepted });
        }
        if notes.are_kept() {
            // The broker forgets the id with its PUBCOMP: what is published under it then is new.
            notes.defer(Step::Release { slot, key: request.accepted });
        } else {
            wire.pubrel(id, 0);
        }
        true
    }

    /// PUBCOMP. False if it fits nothing.
    pub(in crate::mqtt) fn pubcomp(
        &mut self,
        id: u16,
        ids: &mut PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) -> bool {
        match self.find(id, MqttQos::Two, ids) {
            Some((slot, request)) if request.released => {
                // Whatever its reason code: "not found" says that the exchange was over before.
                self.finish(slot, Ok(()), Waste::Refused, ids, notes, events);
                true
            }
            _ => false,
        }
    }

    /// The request that an acknowledgement is for.
    fn find(&mut self, id: u16, qos: MqttQos, ids: &PacketIds) -> Option<(usize, &mut Request)> {
        let Some(Exchange::Publish(slot)) = ids.get(id) else { return None };
        let request = self.requests.get_mut(slot)?;
        if request.qos != qos || !request.written {
            return None;
        }
        self.progress = true;
        Some((slot, request))
    }

    /// A request is over. `why`: what to call it if it was in the spool and did not succeed.
    pub(in crate::mqtt) fn finish(
        &mut self,
        slot: usize,
        outcome: Result<(), Refusal>,
        why: Waste,
        ids: &mut PacketIds,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        let Some(request) = self.requests.get(slot) else { return };
        let token = request.token;
        if request.recorded {
            notes.record(&Record::RequestOver { key: request.accepted });
        }
        if request.recorded
            && token == NOBODY
            && outcome.is_err()
            && let Record::Request { topic, .. } = request.record()
        {
            events(UpstreamEvent::Wasted { topic, why });
        }
        self.take_out(slot, ids);
        if token != NOBODY || !notes.are_kept() {
            events(UpstreamEvent::Published { token, outcome });
        }
    }

    /// Takes a request out of the table.
    pub(in crate::mqtt) fn take_out(&mut self, slot: usize, ids: &mut PacketIds) {
        let Some(mut request) = self.requests.try_remove(slot) else { return };
        if request.id != 0 {
            ids.release(request.id);
        }
        if request.recorded {
            self.spooled = self.spooled.saturating_sub(request.room());
        } else {
            self.bytes = self.bytes.saturating_sub(request.data.len());
        }
        let capacity = request.data.capacity();
        if capacity <= POOLED_CAPACITY && self.pooled.saturating_add(capacity) <= POOL {
            request.data.clear();
            self.pooled = self.pooled.saturating_add(capacity);
            self.pool.push(request.data);
        }
    }
}

/// What a reason code means.
fn outcome(reason: u8) -> Result<(), Refusal> {
    if reason < reasons::FAILURE { Ok(()) } else { Err(reasons::refusal(reason)) }
}
