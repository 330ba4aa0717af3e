//! What becomes of publications when the connection, or the broker's session, is gone.

use std::collections::VecDeque;

use super::{Outgoing, Request};
use crate::core::upstream::{MqttQos, Refusal, UpstreamEvent, Waste};
use crate::mqtt::notes::Notes;
use crate::mqtt::packet_ids::PacketIds;
use crate::mqtt::spool::Backlog;
use crate::mqtt::stats::Stats;
use crate::store::record::Record;

/// This many in a row, and it is what the broker hangs up on.
const GIVE_UP_AFTER: u32 = 6;

impl Outgoing {
    /// The connection is gone: everything waits again, in order. `hung_up`: the broker ended it.
    ///
    /// A 3.1.1 broker can refuse a publication only by hanging up, and would get it again with
    /// every new connection. So the publication that heads the window then is sent alone,
    /// so that nothing else can be the cause, and refused if that happens again and again.
    pub(in crate::mqtt) fn connection_lost(
        &mut self,
        hung_up: bool,
        ids: &mut PacketIds,
        stats: &mut Stats,
        notes: &mut Notes,
        events: &mut dyn FnMut(UpstreamEvent<'_>),
    ) {
        if let Some(trips) = &mut self.trips {
            trips.interrupted();
        }
        let sent = self.requests.iter().filter(|(_, request)| request.written && !request.released);
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
                let outcome = Err(Refusal::NotSupported);
                self.finish(slot, outcome, Waste::Refused, ids, notes, events);
            }
        }
        self.again_at = None;
        self.leaving = 0;
        self.drop_sent_zero();
        for (_, request) in &mut self.requests {
            request.sent = false;
            request.written = false;
        }
        self.queue_all();
        self.keep_all(notes, events);
    }

    /// A new connection, and the broker has lost the session: all ids are free and everything is
    /// new.
    pub(in crate::mqtt) fn session_lost(
        &mut self,
        ids: &mut PacketIds,
        stats: &mut Stats,
        notes: &mut Notes,
    ) {
        for (_, request) in &mut self.requests {
            if request.id == 0 {
                continue;
            }
            ids.release(request.id);
            stats.republished += 1;
            if request.released {
                stats.republished_after_pubrec += 1;
            }
            if request.recorded && request.qos == MqttQos::Two {
                notes.record(&Record::RequestSent { key: request.accepted, packet_id: 0 });
            }
            request.id = 0;
            request.known = false;
            request.released = false;
            request.order = request.accepted;
        }
        self.queue_all();
    }

    /// Rebuilds the queue. PUBRELs come first, in the order of their PUBRECs: a PUBREC that comes
    /// on the next connection must not be answered before them (MQTT 3.1.1 §4.6). Then what the
    /// broker may know already, then what is new.
    pub(in crate::mqtt) fn queue_all(&mut self) {
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
        self.live = VecDeque::new();
        self.backlog = Backlog::default();
        for (_, request) in &self.requests {
            self.backlog.add(request.origin);
        }
    }
}
