//! Changes as records, and what has to wait until they are written.
//!
//! Most changes are recorded where they happen. What has one value for each client (where it is, how
//! it stands, its will) is recorded once for all that happens until the next commit.

use alloc::vec::Vec;

use super::client::{Client, Inbound, Publication, Queued, State};
use super::effects::{Effects, Otherwise};
use super::gateway::{Cx, Gateway};
use super::slots::Handle;
use super::upstream::{LineId, MqttQos};
use crate::codec::{Message, PublishTopic};
use crate::store::record::{ClientRecord, PeerRecord, Record, Standing, TopicField, WillRecord};
use crate::time::Time;

/// What a promise turns into when nothing can be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Else<'a> {
    /// The same: a gateway that keeps nothing would say it too.
    Same,
    /// Nothing.
    Nothing,
    /// A refusal.
    Refusal(Message<'a>),
}

impl Gateway {
    /// Notes a change.
    #[inline]
    pub(crate) fn note(&self, cx: &mut Cx<'_>, record: &Record<'_>) {
        if self.settings.durable {
            cx.fx.record(record);
        }
    }

    /// Notes a change of what the broker knows by one of the connections.
    pub(crate) fn note_line(&self, cx: &mut Cx<'_>, line: LineId, record: &Record<'_>) {
        if line == LineId::MAIN || !self.settings.durable {
            return self.note(cx, record);
        }
        let mut records = Vec::new();
        record.put(&mut records);
        cx.fx.record(&Record::Line { line: line.number(), records: &records });
    }

    /// What has one value of this client is to be recorded.
    pub(crate) fn mark(&mut self, handle: Handle) {
        if self.settings.durable
            && let Some(client) = self.clients.get_mut(handle)
            && !core::mem::replace(&mut client.changed, true)
        {
            self.changed.push(handle);
        }
    }

    /// Whether [`Self::record_changes`] has something to record.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Records what has one value, of all clients where it has changed.
    pub fn record_changes(&mut self, out: &mut Vec<u8>) {
        let mut changed = core::mem::take(&mut self.changed);
        for handle in changed.drain(..) {
            if let Some(client) = self.clients.get_mut(handle) {
                client.changed = false;
            }
            if let Some(client) = self.clients.get(handle) {
                Record::Client(self.client_record(handle.slot, client)).put(out);
            }
        }
        // Kept for the next commit, unless there were very many.
        if changed.capacity() <= super::slots::KEPT {
            self.changed = changed;
        }
    }

    /// Nothing can be written, or it can again: what cannot be promised is refused.
    pub fn set_failing(&mut self, now: Time, failing: bool, fx: &mut Effects) {
        self.failing = failing;
        if failing {
            // What waited to be written was not sent, and is not a try that was left unanswered.
            let clients = self.clients.iter().map(|(handle, _)| handle);
            let stopped: Vec<Handle> = clients.filter(|handle| self.is_stopped(*handle)).collect();
            for handle in stopped {
                if let Some(outbound) = self.clients.get_mut(handle).and_then(|c| c.outbound_mut())
                {
                    outbound.tries = 0;
                }
            }
            return;
        }
        // Something may have been held back.
        let cx = &mut Cx::new(now, fx);
        let waiting: Vec<Handle> = self
            .clients
            .iter()
            .filter(|(_, client)| !client.busy.queue.is_empty())
            .map(|(handle, _)| handle)
            .collect();
        for handle in waiting {
            self.pump(cx, handle);
        }
    }

    /// The links have other numbers than the records say: all that names one is recorded again.
    pub fn record_places(&mut self, fx: &mut Effects) {
        self.record_general(fx);
        let placed: Vec<Handle> = self
            .clients
            .iter()
            .filter(|(_, client)| client.peer.is_some())
            .map(|(handle, _)| handle)
            .collect();
        for handle in placed {
            self.mark(handle);
        }
    }

    /// Whether a change of this client's session can be promised to it. To a clean session nothing is
    /// promised: what it has beyond the end of the process it has by courtesy.
    pub(crate) fn may_promise(&self, handle: Handle) -> bool {
        !self.failing || self.clients.get(handle).is_none_or(|client| client.print.clean)
    }

    /// Sends to a client, if it is anywhere, once everything recorded so far is written.
    pub(crate) fn promise(
        &self,
        cx: &mut Cx<'_>,
        handle: Handle,
        message: &Message<'_>,
        otherwise: Else<'_>,
    ) {
        if !self.settings.durable {
            return self.send(cx, handle, message);
        }
        let Some(peer) = self.clients.get(handle).and_then(Client::place) else { return };
        let peer = peer.as_ref();
        let otherwise = match otherwise {
            Else::Same => Otherwise::Same,
            Else::Nothing => Otherwise::Nothing,
            Else::Refusal(refusal) => match peer.encode(&refusal, cx.fx) {
                Some(bytes) => Otherwise::Instead(bytes),
                None => Otherwise::Nothing,
            },
        };
        peer.promise(handle, message, otherwise, cx.fx);
    }

    /// As [`Self::promise`], with a refusal for sessions that are to last.
    pub(crate) fn promise_or_refuse(
        &self,
        cx: &mut Cx<'_>,
        handle: Handle,
        message: &Message<'_>,
        refusal: Message<'_>,
    ) {
        let clean = self.clients.get(handle).is_some_and(|client| client.print.clean);
        let otherwise = if clean { Else::Same } else { Else::Refusal(refusal) };
        self.promise(cx, handle, message, otherwise);
    }

    /// Records what the client knows of one of its topics.
    pub(crate) fn note_topic(&self, cx: &mut Cx<'_>, handle: Handle, position: usize) {
        let entry = self.clients.get(handle).and_then(|client| client.topics.get(position));
        if let (Some(entry), Ok(position)) = (entry, u16::try_from(position)) {
            let record = Record::TopicKnown {
                slot: handle.slot,
                position,
                confirmed: entry.confirmed,
                refused: entry.refused,
                normal_only: entry.normal_only,
            };
            self.note(cx, &record);
        }
    }

    /// Records that a message waits for a client, and the message itself if nobody has before.
    pub(crate) fn record_waiting(&mut self, cx: &mut Cx<'_>, slot: u32, queued: &mut Queued) {
        if !self.settings.durable
            || queued.qos == MqttQos::Zero
            || core::mem::replace(&mut queued.recorded, true)
        {
            return;
        }
        let Some((serial, news)) = self.messages.set_recorded(queued.message) else { return };
        if news && let Some(message) = self.messages.get(queued.message) {
            let (topic, payload) = (self.topics.name(message.topic), &*message.payload);
            self.note(cx, &Record::Message { serial, topic, payload });
            if let Some(at) = message.expires {
                self.note(cx, &Record::MessageExpires { serial, at: at.0 });
            }
        }
        let (qos, retain) = (queued.qos, queued.retain);
        self.note(cx, &Record::Enqueued { slot, message: serial, qos, retain });
    }

    /// Records how far a QoS 2 publication of a client is.
    pub(crate) fn note_publication(&self, cx: &mut Cx<'_>, slot: u32, publication: &Publication) {
        if let Some(record) = publication_record(slot, publication) {
            self.note(cx, &record);
        }
    }

    /// As a record, all that has one value.
    pub(crate) fn client_record<'a>(&self, slot: u32, client: &'a Client) -> ClientRecord<'a> {
        let peer = client.peer.as_ref().map(|peer| {
            let peer = peer.as_ref();
            PeerRecord { link: peer.link.0, address: peer.address, node: peer.node }
        });
        let will = client.will.as_deref().map(|will| WillRecord {
            topic: &will.topic,
            message: &will.message,
            qos: will.qos,
            retain: will.retain,
        });
        ClientRecord {
            slot,
            peer,
            bound: client.bound,
            standing: match client.state {
                // It has not said goodbye, and sleeps on if nothing comes of it.
                State::Connecting if client.wakes_up() => Standing::Asleep,
                State::Connecting => Standing::Connecting,
                State::Active => Standing::Active,
                State::Asleep | State::Awake => Standing::Asleep,
                State::Gone => Standing::Gone,
            },
            announced_will: client.print.will,
            clean: client.print.clean,
            reuses_ids: client.reuses_ids,
            keep_alive: client.print.duration,
            sleep: client.nap.duration,
            asleep_since: client.nap.since.0,
            heard: client.last_heard.0,
            connected: client.connected_at.0,
            msg_id: client.next_msg_id,
            offset: self.first_id(&client.topics),
            will,
        }
    }
}

/// A QoS 2 publication as a record; `None` for another, and for one that was refused.
pub(super) fn publication_record(slot: u32, publication: &Publication) -> Option<Record<'static>> {
    if publication.qos != MqttQos::Two {
        return None;
    }
    let msg_id = publication.msg_id;
    let done = match publication.stage {
        Inbound::Pending | Inbound::Received { .. } => false,
        Inbound::Done(crate::codec::ReturnCode::ACCEPTED) => true,
        Inbound::Done(_) => return Some(Record::PublicationOver { slot, msg_id }),
    };
    let topic = match publication.topic {
        PublishTopic::Normal(value) => TopicField { kind: 0, value },
        PublishTopic::Predefined(value) => TopicField { kind: 1, value },
        PublishTopic::Short(name) => TopicField { kind: 2, value: u16::from_be_bytes(name) },
        PublishTopic::Reserved(value) => TopicField { kind: 3, value },
    };
    let (hash, at) = (publication.hash, publication.at.0);
    Some(Record::Publication { slot, msg_id, topic, hash, at, done })
}

/// The topic of a publication, from its record.
pub(super) fn topic_of(field: TopicField) -> PublishTopic {
    match field.kind {
        0 => PublishTopic::Normal(field.value),
        1 => PublishTopic::Predefined(field.value),
        2 => PublishTopic::Short(field.value.to_be_bytes()),
        _ => PublishTopic::Reserved(field.value),
    }
}
