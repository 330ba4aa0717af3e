//! Messages from the broker at QoS 1 and 2, acknowledged by the core when they have reached whom
//! they had to reach (MQTT 3.1.1 §4.3, MQTT 5 §4.3).
//!
//! ```text
//!   PUBLISH ──► pending ──acknowledge──► PUBACK, forgotten                                 (QoS 1)
//!                  └──────acknowledge──► PUBREC, recorded ──PUBREL──► PUBCOMP, forgotten   (QoS 2)
//! ```
//!
//! An acknowledgement that comes while the message has not been seen on the present connection is
//! kept: the broker will repeat the message, and the repetition is answered at once.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher};

use bytes::BytesMut;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::notes::{Notes, Step};
use super::reasons;
use super::wire::{self, Protocol, Publish, first};
use crate::core::hashing::stable_hash;
use crate::core::upstream::{DeliveryId, MqttQos};
use crate::store::record::Record;

/// How far a message has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// The core has it.
    Pending,
    /// The core is done with it, the broker does not know yet.
    Acknowledged,
    /// QoS 2: PUBREC was sent, PUBREL has not come.
    Recorded,
}

#[derive(Debug)]
struct Entry {
    /// Tells this message from others that had or will have the same packet id.
    serial: u64,
    /// Of topic and payload: the same packet id with another content is another message.
    hash: u64,
    qos: MqttQos,
    progress: Progress,
    /// Its answer waits until the records are written.
    wait: bool,
    /// Seen on this connection: it may be answered, and it counts against the receive maximum.
    live: bool,
}

impl Entry {
    /// A QoS 2 message that the core is done with: until PUBREL it must not be taken for a new one.
    fn is_recorded(&self) -> bool {
        self.qos == MqttQos::Two && self.progress != Progress::Pending
    }
}

/// What to do with a PUBLISH.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// A message for the core.
    Report(DeliveryId),
    /// A repetition; it was answered if an answer was due.
    Repetition,
    /// The broker exceeds the receive maximum.
    TooMany,
}

/// Messages from the broker that are not over.
#[derive(Debug)]
pub(super) struct Incoming {
    entries: HashMap<u16, Entry, FixedState>,
    /// With `in_order`: packet ids and serials in the order in which the messages came.
    order: VecDeque<(u16, u64)>,
    in_order: bool,
    /// Entries that are live.
    live: usize,
    serial: u64,
}

/// Octets of a delivery id that hold the packet id.
const ID_BITS: u32 = 16;

impl Incoming {
    /// Nothing pending. `in_order`: acknowledgements leave in the order of the messages, however
    /// the core gives them.
    pub(super) fn new(in_order: bool) -> Self {
        Self {
            entries: HashMap::with_hasher(FixedState::with_seed(0)),
            order: VecDeque::new(),
            in_order,
            live: 0,
            serial: 0,
        }
    }

    /// A PUBLISH at QoS 1 or 2 with a packet id. `maximum`: our receive maximum, if the broker
    /// knows it.
    pub(super) fn publish(
        &mut self,
        publish: &Publish<'_>,
        maximum: Option<u16>,
        protocol: Protocol,
        output: &mut BytesMut,
        notes: &mut Notes,
    ) -> Verdict {
        let hash = content(publish);
        let known = self.entries.get_mut(&publish.id);
        let was_live = known.as_ref().is_some_and(|entry| entry.live);
        if !was_live && maximum.is_some_and(|maximum| self.live >= usize::from(maximum)) {
            return Verdict::TooMany;
        }
        if !was_live {
            self.live = self.live.saturating_add(1);
        }
        match known {
            Some(entry) if entry.hash == hash && entry.qos == publish.qos => {
                entry.live = true;
                let (serial, progress) = (entry.serial, entry.progress);
                if progress == Progress::Recorded {
                    // Our PUBREC got lost.
                    wire::put_acknowledgement(output, protocol, first::PUBREC, publish.id, 0);
                } else if self.in_order {
                    if !was_live {
                        self.order.push_back((publish.id, serial));
                    }
                    self.answer_in_order(protocol, output, notes);
                } else {
                    self.answer(publish.id, protocol, output, notes);
                }
                Verdict::Repetition
            }
            known => {
                if known.is_some_and(|old| old.is_recorded()) {
                    notes.record(&Record::ReceivedOver { packet_id: publish.id });
                }
                self.serial = self.serial.wrapping_add(1) & (u64::MAX >> ID_BITS);
                let serial = self.serial;
                let (qos, progress) = (publish.qos, Progress::Pending);
                let (live, wait) = (true, false);
                self.entries.insert(publish.id, Entry { serial, hash, qos, progress, live, wait });
                if self.in_order {
                    self.order.push_back((publish.id, serial));
                }
                Verdict::Report(DeliveryId(serial << ID_BITS | u64::from(publish.id)))
            }
        }
    }

    /// The core is done with a message. `wait`: not before the records are written. False if the
    /// delivery is none of ours any more.
    pub(super) fn acknowledge(
        &mut self,
        delivery: DeliveryId,
        wait: bool,
        protocol: Protocol,
        output: &mut BytesMut,
        notes: &mut Notes,
    ) -> bool {
        let DeliveryId(number) = delivery;
        let (id, serial) = ((number & 0xFFFF) as u16, number >> ID_BITS);
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        if entry.serial != serial || entry.progress != Progress::Pending {
            return false;
        }
        entry.progress = Progress::Acknowledged;
        entry.wait = notes.are_kept() && (wait || entry.qos == MqttQos::Two);
        if entry.is_recorded() {
            notes.record(&Record::Received { packet_id: id, hash: entry.hash });
        }
        if self.in_order {
            self.answer_in_order(protocol, output, notes);
        } else {
            self.answer(id, protocol, output, notes);
        }
        true
    }

    /// PUBREL: answered with PUBCOMP in any case. False if it fits nothing.
    pub(super) fn pubrel(
        &mut self,
        id: u16,
        protocol: Protocol,
        output: &mut BytesMut,
        notes: &mut Notes,
    ) -> bool {
        let known = match self.entries.get(&id) {
            Some(entry) if entry.qos == MqttQos::Two => {
                let fits = entry.progress == Progress::Recorded;
                if entry.is_recorded() {
                    notes.record(&Record::ReceivedOver { packet_id: id });
                }
                self.forget(id);
                // Before our PUBREC it is out of turn, but the broker has let go of the message.
                fits
            }
            _ => false,
        };
        let reason = if known { 0 } else { reasons::PACKET_ID_NOT_FOUND };
        if notes.are_kept() {
            // With PUBCOMP the id is free for another message. This may be the second one.
            notes.defer(Step::Complete { id, reason });
            return known;
        }
        wire::put_acknowledgement(output, protocol, first::PUBCOMP, id, reason);
        known
    }

    /// The connection is gone. The session may resume.
    pub(super) fn connection_lost(&mut self) {
        for entry in self.entries.values_mut() {
            entry.live = false;
        }
        self.order.clear();
        self.live = 0;
    }

    /// The broker has lost the session and with it all its packet ids.
    pub(super) fn session_lost(&mut self, notes: &mut Notes) {
        if !self.entries.is_empty() {
            notes.record(&Record::SessionLost);
        }
        self.entries.clear();
        self.order.clear();
        self.live = 0;
    }

    /// A message that is dropped at once, as if the core were done with it.
    pub(super) fn discard(
        &mut self,
        id: u16,
        qos: MqttQos,
        protocol: Protocol,
        output: &mut BytesMut,
        notes: &mut Notes,
    ) {
        let publish = Publish { qos, retain: false, topic: "", expiry: None, id, payload: &[] };
        if let Verdict::Report(delivery) = self.publish(&publish, None, protocol, output, notes) {
            self.acknowledge(delivery, false, protocol, output, notes);
        }
    }

    /// Goes on with what a former life has acknowledged at QoS 2.
    pub(super) fn restore(&mut self, received: &BTreeMap<u16, u64>) {
        for (id, hash) in received {
            self.serial += 1;
            let (serial, hash, qos) = (self.serial, *hash, MqttQos::Two);
            let (progress, live, wait) = (Progress::Recorded, false, true);
            self.entries.insert(*id, Entry { serial, hash, qos, progress, live, wait });
        }
    }

    /// Appends what [`Self::restore`] needs.
    pub(super) fn snapshot(&self, out: &mut Vec<u8>) {
        for (id, entry) in &self.entries {
            if entry.is_recorded() {
                Record::Received { packet_id: *id, hash: entry.hash }.put(out);
            }
        }
    }

    /// Says the answer that waited for the records.
    pub(super) fn write_deferred(
        &mut self,
        id: u16,
        serial: u64,
        protocol: Protocol,
        output: &mut BytesMut,
    ) {
        if self.entries.get(&id).is_some_and(|entry| entry.serial == serial) {
            self.write_answer(id, protocol, output);
        }
    }

    /// Messages that are not over.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Gives memory back.
    pub(super) fn trim(&mut self) {
        self.entries.shrink_to_fit();
        self.order.shrink_to_fit();
    }

    /// Answers the acknowledged messages at the head of the order.
    fn answer_in_order(&mut self, protocol: Protocol, output: &mut BytesMut, notes: &mut Notes) {
        while let Some(&(id, serial)) = self.order.front() {
            let current = self.entries.get(&id).filter(|entry| entry.serial == serial);
            if current.is_some_and(|entry| entry.progress == Progress::Pending) {
                break;
            }
            self.order.pop_front();
            if current.is_some() {
                self.answer(id, protocol, output, notes);
            }
        }
    }

    /// Sends PUBACK or PUBREC for an acknowledged message that was seen on this connection, or has it
    /// sent when the records are written.
    fn answer(&mut self, id: u16, protocol: Protocol, output: &mut BytesMut, notes: &mut Notes) {
        // Answers in order wait for one another.
        let behind = self.in_order && notes.has_steps();
        let waits = self.entries.get(&id).filter(|entry| {
            (entry.wait || behind) && entry.live && entry.progress == Progress::Acknowledged
        });
        match waits {
            Some(entry) => notes.defer(Step::Answer { id, serial: entry.serial }),
            None => self.write_answer(id, protocol, output),
        }
    }

    fn write_answer(&mut self, id: u16, protocol: Protocol, output: &mut BytesMut) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.progress != Progress::Acknowledged || !entry.live {
            return;
        }
        if entry.qos == MqttQos::Two {
            entry.progress = Progress::Recorded;
            wire::put_acknowledgement(output, protocol, first::PUBREC, id, 0);
        } else {
            self.forget(id);
            wire::put_acknowledgement(output, protocol, first::PUBACK, id, 0);
        }
    }

    fn forget(&mut self, id: u16) {
        if self.entries.remove(&id).is_some_and(|entry| entry.live) {
            self.live = self.live.saturating_sub(1);
        }
    }
}

/// Tells messages with the same packet id apart. Not proof against intent, and need not be: whoever
/// chooses the packet ids is the broker.
fn content(publish: &Publish<'_>) -> u64 {
    if publish.qos == MqttQos::Two {
        // This one is written down.
        let retain = [u8::from(publish.retain)];
        return stable_hash(&[publish.topic.as_bytes(), &retain, publish.payload]);
    }
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(publish.topic.as_bytes());
    hasher.write_u8(u8::from(publish.retain));
    hasher.write(publish.payload);
    hasher.finish()
}
