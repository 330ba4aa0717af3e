//! The state that records describe, all of it: what a process begins with.
//!
//! An image is put together by [`Image::apply`], record by record, and taken apart by the rooms
//! that go on from it. It is plain data; whether it makes sense is for them to judge.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::record::{BadRecord, ClientRecord, Record, Standing, TopicField};
use crate::core::upstream::{LineId, MqttQos};

/// Milliseconds since 1970: no clock of ours has been there.
const YEAR_2200: u64 = 7_258_118_400_000;

/// Tables of an image. Its keys are the gateway's own numbers, except for filters.
pub type Table<K, V> = HashMap<K, V, RandomState>;

/// A client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientImage {
    /// Client id.
    pub id: Box<str>,
    /// What has one value; `None` if that was never written.
    pub client: Option<Standings>,
    /// Topic ids by position.
    pub topics: Vec<TopicImage>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionImage>,
    /// Messages that wait, by serial number.
    pub queue: BTreeMap<u64, QueuedImage>,
    /// The QoS 2 message under way to it.
    pub outbound: Option<OutboundImage>,
    /// QoS 2 publications that the gateway has, by message id.
    pub publications: BTreeMap<u16, PublicationImage>,
}

/// [`ClientRecord`], owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings {
    /// Where it is, or was.
    pub peer: Option<PeerImage>,
    /// See [`ClientRecord`], as all that follows.
    pub bound: bool,
    /// State.
    pub standing: Standing,
    /// Its CONNECT announced a will.
    pub announced_will: bool,
    /// CleanSession.
    pub clean: bool,
    /// Message ids say little about it.
    pub reuses_ids: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// Seconds.
    pub sleep: u16,
    /// Milliseconds since 1970.
    pub asleep_since: u64,
    /// Milliseconds since 1970.
    pub heard: u64,
    /// Milliseconds since 1970.
    pub connected: u64,
    /// Message id used last.
    pub msg_id: u16,
    /// Where its topic ids begin.
    pub offset: u16,
    /// Its will.
    pub will: Option<WillImage>,
}

/// [`PeerRecord`](super::record::PeerRecord), owned.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerImage {
    /// Link number.
    pub link: u16,
    /// Address on it.
    pub address: Box<[u8]>,
    /// Node id behind a forwarder.
    pub node: Option<Box<[u8]>>,
}

/// [`WillRecord`](super::record::WillRecord), owned.
#[derive(Clone, Debug, PartialEq)]
pub struct WillImage {
    /// Topic.
    pub topic: Box<str>,
    /// Payload.
    pub message: Box<[u8]>,
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
}

/// A topic id of a client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicImage {
    /// Topic name; empty where none was written.
    pub name: Box<str>,
    /// See [`Record::TopicKnown`].
    pub confirmed: bool,
    /// The client refused it.
    pub refused: bool,
    /// The client knows it by no other form.
    pub normal_only: bool,
}

/// A subscription of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionImage {
    /// Filter.
    pub filter: Box<str>,
    /// How the client named it.
    pub form: u32,
    /// QoS.
    pub granted: MqttQos,
}

/// A message that waits for a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueuedImage {
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
}

/// A QoS 2 message under way to a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutboundImage {
    /// Its serial number; it is in the queue too.
    pub message: u64,
    /// Message id.
    pub msg_id: u16,
    /// PUBREL is owed.
    pub released: bool,
}

/// A QoS 2 publication of a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublicationImage {
    /// Topic of the PUBLISH.
    pub topic: TopicField,
    /// Of its content.
    pub hash: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Its handshake is over.
    pub done: bool,
}

/// A message for devices.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageImage {
    /// Topic, without prefix.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Box<[u8]>,
    /// When it expires, milliseconds since 1970, if it does.
    pub expires: Option<u64>,
}

/// A filter as the broker knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterImage {
    /// Subscription identifier.
    pub id: u32,
    /// The broker may have it.
    pub asked: bool,
    /// What it granted.
    pub granted: Option<MqttQos>,
    /// It bears our identifier.
    pub marked: bool,
}

/// A publication to the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestImage {
    /// Slot of the client, `u32::MAX` without one.
    pub origin: u32,
    /// Milliseconds since 1970.
    pub at: u64,
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
    /// Topic, with prefix.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Box<[u8]>,
    /// Packet id under which it was sent, or 0.
    pub packet_id: u16,
    /// PUBREC has come.
    pub released: bool,
}

/// A connection to the broker: what the broker knows of filters, and the MQTT session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineImage {
    /// Filters by text.
    pub filters: Table<Box<str>, FilterImage>,
    /// The client id whose session at the broker is ours.
    pub session: Option<Box<str>>,
    /// The broker speaks MQTT 5.
    pub speaks_five: bool,
    /// Publications to the broker by key, which is their order.
    pub requests: BTreeMap<u64, RequestImage>,
    /// QoS 2 messages of the broker by packet id: hash of the content.
    pub received: BTreeMap<u16, u64>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Key of the hashes.
    pub seed: Option<u64>,
    /// Names of the links by number.
    pub links: BTreeMap<u16, Box<str>>,
    /// Clients by slot.
    pub clients: Table<u32, ClientImage>,
    /// Messages by serial number. Some may be of no use to anybody any more.
    pub messages: Table<u64, MessageImage>,
    /// The first connection that clients share.
    pub main: LineImage,
    /// The others, by [`LineId::number`].
    pub lines: BTreeMap<u32, LineImage>,
}

impl Image {
    /// Applies all records in `records`.
    ///
    /// # Errors
    /// At the first that is none.
    pub fn apply_all(&mut self, mut records: &[u8]) -> Result<(), BadRecord> {
        while !records.is_empty() {
            self.apply(&Record::take(&mut records)?);
        }
        Ok(())
    }

    /// Applies one record. What it says about something unknown means nothing.
    pub fn apply(&mut self, record: &Record<'_>) {
        match *record {
            Record::Seed { seed } => self.seed = Some(seed),
            Record::Link { number, name } => {
                self.links.insert(number, name.into());
            }
            Record::NewClient { slot, id } => {
                self.clients.insert(slot, ClientImage { id: id.into(), ..ClientImage::default() });
            }
            Record::ClientGone { slot } => {
                self.clients.remove(&slot);
                self.lines.remove(&LineId::own(slot).number());
            }
            Record::Message { serial, topic, payload } => {
                let (topic, payload) = (topic.into(), payload.into());
                let message = MessageImage { topic, payload, expires: None };
                self.messages.insert(serial, message);
            }
            Record::MessageExpires { serial, at } => {
                if let Some(message) = self.messages.get_mut(&serial) {
                    message.expires = Some(at);
                }
            }
            Record::Line { line, mut records } => {
                let image = self.lines.entry(line).or_default();
                while !records.is_empty() {
                    // What cannot be read is not applied in part.
                    let Ok(record) = Record::take(&mut records) else { break };
                    image.apply(&record);
                }
                if *image == LineImage::default() {
                    self.lines.remove(&line);
                }
            }
            Record::Filter(_)
            | Record::FilterOver { .. }
            | Record::SpeaksFive
            | Record::FiltersLost
            | Record::Session { .. }
            | Record::Request { .. }
            | Record::RequestSent { .. }
            | Record::RequestReleased { .. }
            | Record::RequestOver { .. }
            | Record::Received { .. }
            | Record::ReceivedOver { .. }
            | Record::SessionLost => self.main.apply(record),
            Record::Client(ClientRecord { slot, .. })
            | Record::Cleared { slot }
            | Record::Topic { slot, .. }
            | Record::TopicKnown { slot, .. }
            | Record::Unconfirmed { slot }
            | Record::Subscription { slot, .. }
            | Record::Unsubscription { slot, .. }
            | Record::Enqueued { slot, .. }
            | Record::Dequeued { slot, .. }
            | Record::Outbound { slot, .. }
            | Record::Publication { slot, .. }
            | Record::PublicationOver { slot, .. } => {
                if let Some(client) = self.clients.get_mut(&slot) {
                    client.apply(record);
                }
            }
        }
    }

    /// The latest moment that it speaks of, milliseconds since 1970; 0 if of none.
    #[must_use]
    pub fn latest(&self) -> u64 {
        let clients = self.clients.values().flat_map(|client| {
            let standings = client.client.iter();
            let moments = standings.flat_map(|of| [of.asleep_since, of.heard, of.connected]);
            moments.chain(client.publications.values().map(|publication| publication.at))
        });
        let lines = self.lines.values().chain([&self.main]);
        let requests = lines.flat_map(|line| line.requests.values().map(|request| request.at));
        // A clock that begins at the end of time would leave no room for deadlines.
        clients.chain(requests).filter(|at| *at < YEAR_2200).max().unwrap_or(0)
    }
}

impl LineImage {
    fn apply(&mut self, record: &Record<'_>) {
        match *record {
            Record::Filter(filter) => {
                let image = FilterImage {
                    id: filter.id,
                    asked: filter.asked,
                    granted: filter.granted,
                    marked: filter.marked,
                };
                self.filters.insert(filter.text.into(), image);
            }
            Record::FilterOver { text } => {
                self.filters.remove(text);
            }
            Record::SpeaksFive => self.speaks_five = true,
            Record::FiltersLost => {
                for filter in self.filters.values_mut() {
                    filter.granted = None;
                }
            }
            Record::Session { client_id } => self.session = Some(client_id.into()),
            Record::Request { key, origin, at, qos, retain, topic, payload } => {
                let (topic, payload) = (topic.into(), payload.into());
                let (packet_id, released) = (0, false);
                let request =
                    RequestImage { origin, at, qos, retain, topic, payload, packet_id, released };
                self.requests.insert(key, request);
            }
            Record::RequestSent { key, packet_id } => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.packet_id = packet_id;
                    request.released &= packet_id != 0;
                }
            }
            Record::RequestReleased { key } => {
                if let Some(request) = self.requests.get_mut(&key) {
                    request.released = true;
                }
            }
            Record::RequestOver { key } => {
                self.requests.remove(&key);
            }
            Record::Received { packet_id, hash } => {
                self.received.insert(packet_id, hash);
            }
            Record::ReceivedOver { packet_id } => {
                self.received.remove(&packet_id);
            }
            Record::SessionLost => self.received.clear(),
            _ => {}
        }
    }
}

impl ClientImage {
    fn apply(&mut self, record: &Record<'_>) {
        match *record {
            Record::Client(client) => self.client = Some(Standings::from(&client)),
            Record::Cleared { .. } => {
                self.topics = Vec::new();
                self.subscriptions = Vec::new();
                self.queue = BTreeMap::new();
                self.outbound = None;
                self.publications = BTreeMap::new();
            }
            Record::Topic { position, name, .. } => {
                let position = usize::from(position);
                if self.topics.len() <= position {
                    self.topics.resize(position + 1, TopicImage::default());
                }
                if let Some(topic) = self.topics.get_mut(position) {
                    *topic = TopicImage { name: name.into(), ..TopicImage::default() };
                }
            }
            Record::TopicKnown { position, confirmed, refused, normal_only, .. } => {
                if let Some(topic) = self.topics.get_mut(usize::from(position)) {
                    topic.confirmed = confirmed;
                    topic.refused = refused;
                    topic.normal_only = normal_only;
                }
            }
            Record::Unconfirmed { .. } => {
                for topic in &mut self.topics {
                    topic.confirmed = false;
                    topic.refused = false;
                    topic.normal_only = false;
                }
            }
            Record::Subscription { filter, form, granted, .. } => {
                match self.subscriptions.iter_mut().find(|known| &*known.filter == filter) {
                    Some(known) => (known.form, known.granted) = (form, granted),
                    None => {
                        let filter = filter.into();
                        self.subscriptions.push(SubscriptionImage { filter, form, granted });
                    }
                }
            }
            Record::Unsubscription { filter, .. } => {
                self.subscriptions.retain(|known| &*known.filter != filter);
            }
            Record::Enqueued { message, qos, retain, .. } => {
                self.queue.insert(message, QueuedImage { qos, retain });
            }
            Record::Dequeued { message, .. } => {
                self.queue.remove(&message);
                if self.outbound.is_some_and(|outbound| outbound.message == message) {
                    self.outbound = None;
                }
            }
            Record::Outbound { message, msg_id, released, .. } => {
                self.outbound = Some(OutboundImage { message, msg_id, released });
            }
            Record::Publication { msg_id, topic, hash, at, done, .. } => {
                self.publications.insert(msg_id, PublicationImage { topic, hash, at, done });
            }
            Record::PublicationOver { msg_id, .. } => {
                self.publications.remove(&msg_id);
            }
            _ => {}
        }
    }
}

impl From<&ClientRecord<'_>> for Standings {
    fn from(client: &ClientRecord<'_>) -> Self {
        let peer = client.peer.map(|peer| PeerImage {
            link: peer.link,
            address: peer.address.into(),
            node: peer.node.map(Into::into),
        });
        let will = client.will.map(|will| WillImage {
            topic: will.topic.into(),
            message: will.message.into(),
            qos: will.qos,
            retain: will.retain,
        });
        Self {
            peer,
            bound: client.bound,
            standing: client.standing,
            announced_will: client.announced_will,
            clean: client.clean,
            reuses_ids: client.reuses_ids,
            keep_alive: client.keep_alive,
            sleep: client.sleep,
            asleep_since: client.asleep_since,
            heard: client.heard,
            connected: client.connected,
            msg_id: client.msg_id,
            offset: client.offset,
            will,
        }
    }
}
