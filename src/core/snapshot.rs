//! All that is known, as records, bit by bit: each call writes a little more, and what has been
//! written already is kept up to date by the changes recorded in the meantime.

use alloc::vec::Vec;

use super::client::Client;
use super::gateway::{Gateway, Request};
use super::lines::Line;
use super::recording::publication_record;
use super::upstream::{LineId, MqttQos};
use crate::store::record::Record;

/// How far a snapshot of the core has got.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    room: Room,
    place: u32,
    /// Octets that messages and their places in queues have taken so far.
    messages: u64,
}

/// The tables, in order: a client's messages come before the client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Room {
    #[default]
    General,
    /// Of this connection.
    Filters(LineId),
    Messages,
    Clients,
    End,
}

impl Cursor {
    fn next(&mut self, room: Room) {
        *self = Self { room, place: 0, ..*self };
    }

    /// Octets that messages and their places in queues have taken so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Everything has been written.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.room == Room::End
    }
}

impl Gateway {
    /// Appends more of what is known, until `out` is `limit` octets long or nothing is left. What has
    /// one value counts as recorded only by [`Self::record_changes`].
    pub fn snapshot(&self, cursor: &mut Cursor, out: &mut Vec<u8>, limit: usize) {
        while out.len() < limit {
            let place = cursor.place;
            cursor.place += 1;
            match cursor.room {
                Room::General => {
                    self.put_general(out);
                    cursor.next(Room::Filters(LineId::MAIN));
                }
                Room::Filters(line) => self.put_filter(line, place, cursor, out),
                Room::Messages if place < self.messages.places() => {
                    if let Some(message) = self.messages.at(place).filter(|m| m.recorded) {
                        let (topic, payload) = (self.topics.name(message.topic), &*message.payload);
                        let before = out.len();
                        Record::Message { serial: message.serial, topic, payload }.put(out);
                        cursor.messages += (out.len() - before) as u64;
                    }
                }
                Room::Messages => cursor.next(Room::Clients),
                Room::Clients if place < self.clients.places() => {
                    if let Some(client) = self.clients.at(place) {
                        self.put_client(place, client, out);
                        let before = out.len();
                        self.put_under_way(place, client, out);
                        cursor.messages += (out.len() - before) as u64;
                    }
                }
                Room::Clients => cursor.next(Room::End),
                Room::End => return,
            }
        }
    }

    /// Records what is known from the start.
    pub fn record_general(&self, fx: &mut super::effects::Effects) {
        let mut records = Vec::new();
        self.put_general(&mut records);
        fx.record_all(&mut records);
    }

    /// Clients, messages, octets of their payloads, and places in queues.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.clients.len(), self.messages.len(), self.messages.payload(), self.buffered)
    }

    fn put_general(&self, out: &mut Vec<u8>) {
        Record::Seed { seed: self.hasher.seed() }.put(out);
        for (number, link) in self.settings.links.iter().enumerate() {
            if let Ok(number) = u16::try_from(number) {
                Record::Link { number, name: &link.name }.put(out);
            }
        }
    }

    /// The filter at a place; after the last one those that are to be forgotten, and on to the next
    /// connection.
    fn put_filter(&self, line: LineId, place: u32, cursor: &mut Cursor, out: &mut Vec<u8>) {
        let mut records = Vec::new();
        let into = if line == LineId::MAIN { &mut *out } else { &mut records };
        let known = self.lines.get(line);
        match known.filter(|known| place < known.filters.places()) {
            Some(known) => {
                if let Some(filter) = known.filters.at(place) {
                    filter.record().put(into);
                }
            }
            None => {
                if let Some(known) = known {
                    self.put_stale(line, known, into);
                }
                // Those of a client alone come with the client.
                let next = line.number() as u16 + 1;
                cursor.next(match next < self.lines.shared() {
                    true => Room::Filters(LineId::shared(next)),
                    false => Room::Messages,
                });
            }
        }
        if !records.is_empty() {
            Record::Line { line: line.number(), records: &records }.put(out);
        }
    }

    fn put_own_filters(&self, line: LineId, known: &Line, out: &mut Vec<u8>) {
        let mut records = Vec::new();
        for filter in (0..known.filters.places()).filter_map(|place| known.filters.at(place)) {
            filter.record().put(&mut records);
        }
        self.put_stale(line, known, &mut records);
        if !records.is_empty() {
            Record::Line { line: line.number(), records: &records }.put(out);
        }
    }

    /// Of these the broker may know, but nobody here.
    fn put_stale(&self, line: LineId, known: &Line, out: &mut Vec<u8>) {
        let unsubscribed = self.requests.iter().filter_map(|(_, request)| match request {
            Request::Unsubscribe { line: by, filter } if *by == line => Some(filter),
            _ => None,
        });
        for text in known.broker.stale.iter().chain(unsubscribed.filter(|_| known.broker.open > 0))
        {
            // Somebody may want it again.
            if known.filters.find(text).is_none() {
                put_stale(text, out);
            }
        }
    }

    fn put_client(&self, slot: u32, client: &Client, out: &mut Vec<u8>) {
        Record::NewClient { slot, id: &client.id }.put(out);
        if let Some(known) = self.lines.get(client.line).filter(|_| client.line.is_own()) {
            self.put_own_filters(client.line, known, out);
        }
        Record::Client(self.client_record(slot, client)).put(out);
        for (position, entry) in client.topics.iter().enumerate() {
            let Ok(position) = u16::try_from(position) else { break };
            Record::Topic { slot, position, name: self.topics.name(entry.topic) }.put(out);
            let (confirmed, refused) = (entry.confirmed, entry.refused);
            let normal_only = entry.normal_only;
            if confirmed || refused || normal_only {
                let known = Record::TopicKnown { slot, position, confirmed, refused, normal_only };
                known.put(out);
            }
        }
        for subscription in &client.subscriptions {
            let filters = &self.lines.at(client.line).filters;
            let Some(filter) = filters.get(subscription.filter) else { continue };
            let Some(me) = filter.subscribers.get(subscription.place as usize) else { continue };
            let (form, granted) = (subscription.form.to_bits(), me.granted);
            let prefix = self.policy(client).prefix.len(&client.id);
            let filter = filter.text.get(prefix..).unwrap_or("");
            Record::Subscription { slot, filter, form, granted }.put(out);
        }
    }

    /// What waits for a client, and its handshakes.
    fn put_under_way(&self, slot: u32, client: &Client, out: &mut Vec<u8>) {
        let outbound = client.busy.outbound.as_deref();
        let waiting = outbound.map(|outbound| &outbound.queued).into_iter();
        for queued in waiting.chain(&client.busy.queue).filter(|queued| queued.recorded) {
            let Some(message) = self.messages.get(queued.message) else { continue };
            let (message, qos, retain) = (message.serial, queued.qos, queued.retain);
            Record::Enqueued { slot, message, qos, retain }.put(out);
        }
        if let Some(outbound) = outbound.filter(|outbound| outbound.queued.qos == MqttQos::Two)
            && outbound.queued.recorded
            && let Some(message) = self.messages.get(outbound.queued.message)
        {
            let (message, msg_id) = (message.serial, outbound.msg_id);
            let released = outbound.stage == super::client::OutboundStage::Release;
            Record::Outbound { slot, message, msg_id, released }.put(out);
        }
        for publication in client.busy.publications.iter().filter(|p| p.recorded) {
            if let Some(record) = publication_record(slot, publication)
                && !matches!(record, Record::PublicationOver { .. })
            {
                record.put(out);
            }
        }
    }
}

fn put_stale(text: &str, out: &mut Vec<u8>) {
    let (asked, granted, marked) = (true, None, false);
    Record::Filter(crate::store::record::FilterRecord { text, id: 0, asked, granted, marked })
        .put(out);
}
