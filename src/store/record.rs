//! One change of the gateway's state, as it is written down.
//!
//! A record sets or removes one small thing, named by a key; a later record with the same key
//! replaces an earlier one. A record about something that is not known (a topic of a client that is
//! gone) means nothing. So a snapshot may be written bit by bit while changes go on: what it has not
//! reached yet, it will write as it is then.
//!
//! Clients are named by their slot, messages for devices by a serial number, publications to the
//! broker by a key; all of them keep their names over a restart.
//!
//! # Encoding
//!
//! One octet for the kind, then the fields in order: numbers as varints (seven bits an octet, lowest
//! first, the high bit set on all but the last), texts and octets with their length in front.
//! Moments are milliseconds since 1970.

use alloc::vec::Vec;

use crate::core::upstream::MqttQos;

/// Where a client is, or was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerRecord<'a> {
    /// Number of the link, see [`Record::Link`].
    pub link: u16,
    /// Address on it.
    pub address: &'a [u8],
    /// Node id behind a forwarder.
    pub node: Option<&'a [u8]>,
}

/// A will.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WillRecord<'a> {
    /// Topic, without prefix.
    pub topic: &'a str,
    /// Payload.
    pub message: &'a [u8],
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
}

/// Where a client stood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// In the will dialogue of a connection that was not made.
    Connecting,
    /// Connected.
    Active,
    /// Asleep, or awake to collect its messages.
    Asleep,
    /// Disconnected or lost.
    Gone,
}

/// Everything about a client that has one value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientRecord<'a> {
    /// Its slot.
    pub slot: u32,
    /// Where it is, or was.
    pub peer: Option<PeerRecord<'a>>,
    /// What comes from there comes from it.
    pub bound: bool,
    /// State.
    pub standing: Standing,
    /// Its CONNECT announced a will.
    pub announced_will: bool,
    /// Its CONNECT said CleanSession.
    pub clean: bool,
    /// Message ids say little about it.
    pub reuses_ids: bool,
    /// Keep-alive of its CONNECT, seconds.
    pub keep_alive: u16,
    /// Sleep that it announced last, seconds.
    pub sleep: u16,
    /// When it fell asleep last.
    pub asleep_since: u64,
    /// When it was heard of last, as far as known.
    pub heard: u64,
    /// When it connected last.
    pub connected: u64,
    /// Message id used last towards it.
    pub msg_id: u16,
    /// How far above the gateway's first its topic ids begin.
    pub offset: u16,
    /// Its will.
    pub will: Option<WillRecord<'a>>,
}

/// A topic field of a PUBLISH: type in the lowest two bits of its flags, and value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicField {
    /// Topic id type (MQTT-SN 1.2 §5.3.4).
    pub kind: u8,
    /// Topic id, or the two characters of a short name.
    pub value: u16,
}

/// The subscription identifier and state of a filter at the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FilterRecord<'a> {
    /// Filter, without prefix.
    pub text: &'a str,
    /// MQTT 5 subscription identifier.
    pub id: u32,
    /// The broker was asked for it, in whichever session, and may have it.
    pub asked: bool,
    /// What it granted.
    pub granted: Option<MqttQos>,
    /// Its subscription bears our identifier.
    pub marked: bool,
}

/// One record.
#[expect(missing_docs, reason = "fields are keys and values of what the record says")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record<'a> {
    /// Key of the hashes in other records.
    Seed { seed: u64 },
    /// A link: its number, and the name by which it is found again in another configuration.
    Link { number: u16, name: &'a str },

    /// A new client; whatever was known under its slot is over.
    NewClient { slot: u32, id: &'a str },
    /// What has one value.
    Client(ClientRecord<'a>),
    /// The client and everything of it is over.
    ClientGone { slot: u32 },
    /// The session is over, the client stays: no topics, subscriptions, messages, publications.
    Cleared { slot: u32 },
    /// A topic id of a client: position in its table, and name.
    Topic { slot: u32, position: u16, name: &'a str },
    /// What a client is known to know of a topic id.
    TopicKnown { slot: u32, position: u16, confirmed: bool, refused: bool, normal_only: bool },
    /// It may have forgotten what it knew of all its topic ids.
    Unconfirmed { slot: u32 },
    /// A subscription. `form`: how the client named it, see `Form::to_bits`.
    Subscription { slot: u32, filter: &'a str, form: u32, granted: MqttQos },
    /// Its end.
    Unsubscription { slot: u32, filter: &'a str },
    /// A message for devices.
    Message { serial: u64, topic: &'a str, payload: &'a [u8] },
    /// It is of no use from then on, milliseconds since 1970.
    MessageExpires { serial: u64, at: u64 },
    /// It waits for a client. Messages of a client are in the order of their serial numbers.
    Enqueued { slot: u32, message: u64, qos: MqttQos, retain: bool },
    /// It does not any longer.
    Dequeued { slot: u32, message: u64 },
    /// A QoS 2 message is under way to a client. `released`: PUBREL is owed.
    Outbound { slot: u32, message: u64, msg_id: u16, released: bool },
    /// A QoS 2 publication of a client, which the gateway has. `done`: its handshake is over.
    Publication { slot: u32, msg_id: u16, topic: TopicField, hash: u64, at: u64, done: bool },
    /// It is forgotten.
    PublicationOver { slot: u32, msg_id: u16 },

    /// A filter as the broker knows it.
    Filter(FilterRecord<'a>),
    /// The broker does not know it any longer.
    FilterOver { text: &'a str },
    /// The broker may have lost all filters.
    FiltersLost,

    /// The broker's session of this client id is ours: it goes on.
    Session { client_id: &'a str },
    /// A publication to the broker. `origin`: slot of the client, `u32::MAX` without one.
    Request {
        key: u64,
        origin: u32,
        at: u64,
        qos: MqttQos,
        retain: bool,
        topic: &'a str,
        payload: &'a [u8],
    },
    /// It is sent under this packet id; 0 if that is not valid any longer.
    RequestSent { key: u64, packet_id: u16 },
    /// PUBREC has come for it.
    RequestReleased { key: u64 },
    /// It is over.
    RequestOver { key: u64 },
    /// A QoS 2 message of the broker whose PUBREC is out, and whose PUBREL has not come.
    Received { packet_id: u16, hash: u64 },
    /// PUBREL has come.
    ReceivedOver { packet_id: u16 },
    /// The broker has lost its session: what it sent is over.
    SessionLost,
    /// The broker speaks MQTT 5.
    SpeaksFive,
    /// Records of filters and of the MQTT session, of a connection other than the main one.
    Line {
        /// [`LineId::number`](crate::core::upstream::LineId::number).
        line: u32,
        /// Records.
        records: &'a [u8],
    },
}

/// Octets that are no record: the file is damaged, or of another make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadRecord;

mod kind {
    pub(super) const SEED: u8 = 1;
    pub(super) const LINK: u8 = 2;
    pub(super) const NEW_CLIENT: u8 = 10;
    pub(super) const CLIENT: u8 = 11;
    pub(super) const CLIENT_GONE: u8 = 12;
    pub(super) const CLEARED: u8 = 13;
    pub(super) const TOPIC: u8 = 14;
    pub(super) const TOPIC_KNOWN: u8 = 15;
    pub(super) const UNCONFIRMED: u8 = 16;
    pub(super) const SUBSCRIPTION: u8 = 17;
    pub(super) const UNSUBSCRIPTION: u8 = 18;
    pub(super) const MESSAGE: u8 = 19;
    pub(super) const MESSAGE_EXPIRES: u8 = 25;
    pub(super) const ENQUEUED: u8 = 20;
    pub(super) const DEQUEUED: u8 = 21;
    pub(super) const OUTBOUND: u8 = 22;
    pub(super) const PUBLICATION: u8 = 23;
    pub(super) const PUBLICATION_OVER: u8 = 24;
    pub(super) const FILTER: u8 = 30;
    pub(super) const FILTER_OVER: u8 = 31;
    pub(super) const FILTERS_LOST: u8 = 32;
    pub(super) const SESSION: u8 = 40;
    pub(super) const REQUEST: u8 = 41;
    pub(super) const REQUEST_SENT: u8 = 42;
    pub(super) const REQUEST_RELEASED: u8 = 43;
    pub(super) const REQUEST_OVER: u8 = 44;
    pub(super) const RECEIVED: u8 = 45;
    pub(super) const RECEIVED_OVER: u8 = 46;
    pub(super) const SESSION_LOST: u8 = 47;
    pub(super) const SPEAKS_FIVE: u8 = 48;
    pub(super) const LINE: u8 = 50;
}

/// Appends fields.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn octet(&mut self, octet: u8) -> &mut Self {
        self.0.push(octet);
        self
    }

    fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut rest: u64 = number.into();
        while rest >= 0x80 {
            self.0.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    fn octets(&mut self, octets: &[u8]) -> &mut Self {
        self.number(octets.len() as u64);
        self.0.extend_from_slice(octets);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.octets(text.as_bytes())
    }

    fn client(&mut self, client: &ClientRecord<'_>) -> &mut Self {
        let node = client.peer.and_then(|peer| peer.node);
        let flags = u16::from(client.peer.is_some())
            | u16::from(client.bound) << 1
            | (client.standing as u16) << 2
            | u16::from(client.announced_will) << 4
            | u16::from(client.clean) << 5
            | u16::from(client.reuses_ids) << 6
            | u16::from(client.will.is_some()) << 7
            | u16::from(node.is_some()) << 8;
        self.number(client.slot).number(flags);
        self.number(client.keep_alive).number(client.sleep).number(client.asleep_since);
        self.number(client.heard).number(client.connected);
        self.number(client.msg_id).number(client.offset);
        if let Some(peer) = client.peer {
            self.number(peer.link).octets(peer.address);
        }
        if let Some(node) = node {
            self.octets(node);
        }
        if let Some(will) = client.will {
            self.octet(will.qos as u8 | u8::from(will.retain) << 2);
            self.text(will.topic).octets(will.message);
        }
        self
    }

    fn filter(&mut self, filter: &FilterRecord<'_>) -> &mut Self {
        let flags = u8::from(filter.asked)
            | u8::from(filter.marked) << 1
            | filter.granted.map_or(0, |qos| (qos as u8 + 1) << 2);
        self.number(filter.id).octet(flags).text(filter.text)
    }
}

impl<'a> Record<'a> {
    /// Appends the record.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut to = Writer(out);
        match *self {
            Self::Seed { seed } => to.octet(kind::SEED).number(seed),
            Self::Link { number, name } => to.octet(kind::LINK).number(number).text(name),
            Self::NewClient { slot, id } => to.octet(kind::NEW_CLIENT).number(slot).text(id),
            Self::Client(ref client) => to.octet(kind::CLIENT).client(client),
            Self::ClientGone { slot } => to.octet(kind::CLIENT_GONE).number(slot),
            Self::Cleared { slot } => to.octet(kind::CLEARED).number(slot),
            Self::Topic { slot, position, name } => {
                to.octet(kind::TOPIC).number(slot).number(position).text(name)
            }
            Self::TopicKnown { slot, position, confirmed, refused, normal_only } => {
                let flags =
                    u8::from(confirmed) | u8::from(refused) << 1 | u8::from(normal_only) << 2;
                to.octet(kind::TOPIC_KNOWN).number(slot).number(position).octet(flags)
            }
            Self::Unconfirmed { slot } => to.octet(kind::UNCONFIRMED).number(slot),
            Self::Subscription { slot, filter, form, granted } => to
                .octet(kind::SUBSCRIPTION)
                .number(slot)
                .number(form)
                .octet(granted as u8)
                .text(filter),
            Self::Unsubscription { slot, filter } => {
                to.octet(kind::UNSUBSCRIPTION).number(slot).text(filter)
            }
            Self::MessageExpires { serial, at } => {
                to.octet(kind::MESSAGE_EXPIRES).number(serial).number(at)
            }
            Self::Message { serial, topic, payload } => {
                to.octet(kind::MESSAGE).number(serial).text(topic).octets(payload)
            }
            Self::Enqueued { slot, message, qos, retain } => to
                .octet(kind::ENQUEUED)
                .number(slot)
                .number(message)
                .octet(qos as u8 | u8::from(retain) << 2),
            Self::Dequeued { slot, message } => {
                to.octet(kind::DEQUEUED).number(slot).number(message)
            }
            Self::Outbound { slot, message, msg_id, released } => to
                .octet(kind::OUTBOUND)
                .number(slot)
                .number(message)
                .number(msg_id)
                .octet(u8::from(released)),
            Self::Publication { slot, msg_id, topic, hash, at, done } => to
                .octet(kind::PUBLICATION)
                .number(slot)
                .number(msg_id)
                .octet(topic.kind | u8::from(done) << 2)
                .number(topic.value)
                .number(hash)
                .number(at),
            Self::PublicationOver { slot, msg_id } => {
                to.octet(kind::PUBLICATION_OVER).number(slot).number(msg_id)
            }
            Self::Filter(ref filter) => to.octet(kind::FILTER).filter(filter),
            Self::FilterOver { text } => to.octet(kind::FILTER_OVER).text(text),
            Self::FiltersLost => to.octet(kind::FILTERS_LOST),
            Self::Session { client_id } => to.octet(kind::SESSION).text(client_id),
            Self::Request { key, origin, at, qos, retain, topic, payload } => to
                .octet(kind::REQUEST)
                .number(key)
                .number(origin)
                .number(at)
                .octet(qos as u8 | u8::from(retain) << 2)
                .text(topic)
                .octets(payload),
            Self::RequestSent { key, packet_id } => {
                to.octet(kind::REQUEST_SENT).number(key).number(packet_id)
            }
            Self::RequestReleased { key } => to.octet(kind::REQUEST_RELEASED).number(key),
            Self::RequestOver { key } => to.octet(kind::REQUEST_OVER).number(key),
            Self::Received { packet_id, hash } => {
                to.octet(kind::RECEIVED).number(packet_id).number(hash)
            }
            Self::ReceivedOver { packet_id } => to.octet(kind::RECEIVED_OVER).number(packet_id),
            Self::SessionLost => to.octet(kind::SESSION_LOST),
            Self::SpeaksFive => to.octet(kind::SPEAKS_FIVE),
            Self::Line { line, records } => to.octet(kind::LINE).number(line).octets(records),
        };
    }

    /// Takes the record at the front of `input` away.
    ///
    /// # Errors
    /// If there is none, or one that this program does not know.
    pub fn take(input: &mut &'a [u8]) -> Result<Self, BadRecord> {
        let mut from = Reader(input);
        let record = from.record()?;
        *input = from.0;
        Ok(record)
    }
}

/// Takes fields from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Result<u8, BadRecord> {
        let (first, rest) = self.0.split_first().ok_or(BadRecord)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, BadRecord> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7F);
            if bits << shift >> shift != bits {
                return Err(BadRecord);
            }
            number |= bits << shift;
            if octet < 0x80 {
                return T::try_from(number).map_err(|_| BadRecord);
            }
        }
        Err(BadRecord)
    }

    fn octets(&mut self) -> Result<&'a [u8], BadRecord> {
        let length: usize = self.number()?;
        let (octets, rest) = self.0.split_at_checked(length).ok_or(BadRecord)?;
        self.0 = rest;
        Ok(octets)
    }

    fn text(&mut self) -> Result<&'a str, BadRecord> {
        core::str::from_utf8(self.octets()?).map_err(|_| BadRecord)
    }

    fn flags(&mut self, most: u8) -> Result<u8, BadRecord> {
        self.octet().and_then(|flags| if flags <= most { Ok(flags) } else { Err(BadRecord) })
    }

    fn qos_and_retain(&mut self) -> Result<(MqttQos, bool), BadRecord> {
        let flags = self.flags(0b111)?;
        Ok((qos(flags & 0b11)?, flags & 0b100 != 0))
    }

    fn client(&mut self) -> Result<ClientRecord<'a>, BadRecord> {
        let slot = self.number()?;
        let flags: u16 = self.number()?;
        if flags > 0x1FF {
            return Err(BadRecord);
        }
        let is_set = |bit: u16| flags & (1 << bit) != 0;
        let standing = match flags >> 2 & 0b11 {
            0 => Standing::Connecting,
            1 => Standing::Active,
            2 => Standing::Asleep,
            _ => Standing::Gone,
        };
        let (keep_alive, sleep, asleep_since) = (self.number()?, self.number()?, self.number()?);
        let (heard, connected) = (self.number()?, self.number()?);
        let (msg_id, offset) = (self.number()?, self.number()?);
        let peer = if is_set(0) {
            let (link, address) = (self.number()?, self.octets()?);
            let node = if is_set(8) { Some(self.octets()?) } else { None };
            Some(PeerRecord { link, address, node })
        } else {
            None
        };
        let will = if is_set(7) {
            let (qos, retain) = self.qos_and_retain()?;
            Some(WillRecord { topic: self.text()?, message: self.octets()?, qos, retain })
        } else {
            None
        };
        Ok(ClientRecord {
            slot,
            peer,
            bound: is_set(1),
            standing,
            announced_will: is_set(4),
            clean: is_set(5),
            reuses_ids: is_set(6),
            keep_alive,
            sleep,
            asleep_since,
            heard,
            connected,
            msg_id,
            offset,
            will,
        })
    }

    fn filter(&mut self) -> Result<FilterRecord<'a>, BadRecord> {
        let id = self.number()?;
        let flags = self.flags(0b1111)?;
        let granted = match flags >> 2 {
            0 => None,
            granted => Some(qos(granted - 1)?),
        };
        let (asked, marked) = (flags & 1 != 0, flags & 2 != 0);
        Ok(FilterRecord { text: self.text()?, id, asked, granted, marked })
    }

    fn record(&mut self) -> Result<Record<'a>, BadRecord> {
        Ok(match self.octet()? {
            kind::SEED => Record::Seed { seed: self.number()? },
            kind::LINK => Record::Link { number: self.number()?, name: self.text()? },
            kind::NEW_CLIENT => Record::NewClient { slot: self.number()?, id: self.text()? },
            kind::CLIENT => Record::Client(self.client()?),
            kind::CLIENT_GONE => Record::ClientGone { slot: self.number()? },
            kind::CLEARED => Record::Cleared { slot: self.number()? },
            kind::TOPIC => {
                Record::Topic { slot: self.number()?, position: self.number()?, name: self.text()? }
            }
            kind::TOPIC_KNOWN => {
                let (slot, position) = (self.number()?, self.number()?);
                let flags = self.flags(0b111)?;
                let (confirmed, refused) = (flags & 1 != 0, flags & 2 != 0);
                let normal_only = flags & 4 != 0;
                Record::TopicKnown { slot, position, confirmed, refused, normal_only }
            }
            kind::UNCONFIRMED => Record::Unconfirmed { slot: self.number()? },
            kind::SUBSCRIPTION => {
                let (slot, form) = (self.number()?, self.number()?);
                let granted = qos(self.octet()?)?;
                Record::Subscription { slot, filter: self.text()?, form, granted }
            }
            kind::UNSUBSCRIPTION => {
                Record::Unsubscription { slot: self.number()?, filter: self.text()? }
            }
            kind::MESSAGE_EXPIRES => {
                Record::MessageExpires { serial: self.number()?, at: self.number()? }
            }
            kind::MESSAGE => Record::Message {
                serial: self.number()?,
                topic: self.text()?,
                payload: self.octets()?,
            },
            kind::ENQUEUED => {
                let (slot, message) = (self.number()?, self.number()?);
                let (qos, retain) = self.qos_and_retain()?;
                Record::Enqueued { slot, message, qos, retain }
            }
            kind::DEQUEUED => Record::Dequeued { slot: self.number()?, message: self.number()? },
            kind::OUTBOUND => Record::Outbound {
                slot: self.number()?,
                message: self.number()?,
                msg_id: self.number()?,
                released: self.flags(1)? != 0,
            },
            kind::PUBLICATION => {
                let (slot, msg_id) = (self.number()?, self.number()?);
                let flags = self.flags(0b111)?;
                let topic = TopicField { kind: flags & 0b11, value: self.number()? };
                let (hash, at) = (self.number()?, self.number()?);
                Record::Publication { slot, msg_id, topic, hash, at, done: flags & 0b100 != 0 }
            }
            kind::PUBLICATION_OVER => {
                Record::PublicationOver { slot: self.number()?, msg_id: self.number()? }
            }
            kind::FILTER => Record::Filter(self.filter()?),
            kind::FILTER_OVER => Record::FilterOver { text: self.text()? },
            kind::FILTERS_LOST => Record::FiltersLost,
            kind::SESSION => Record::Session { client_id: self.text()? },
            kind::REQUEST => {
                let (key, origin, at) = (self.number()?, self.number()?, self.number()?);
                let (qos, retain) = self.qos_and_retain()?;
                let (topic, payload) = (self.text()?, self.octets()?);
                Record::Request { key, origin, at, qos, retain, topic, payload }
            }
            kind::REQUEST_SENT => {
                Record::RequestSent { key: self.number()?, packet_id: self.number()? }
            }
            kind::REQUEST_RELEASED => Record::RequestReleased { key: self.number()? },
            kind::REQUEST_OVER => Record::RequestOver { key: self.number()? },
            kind::RECEIVED => Record::Received { packet_id: self.number()?, hash: self.number()? },
            kind::RECEIVED_OVER => Record::ReceivedOver { packet_id: self.number()? },
            kind::SESSION_LOST => Record::SessionLost,
            kind::SPEAKS_FIVE => Record::SpeaksFive,
            kind::LINE => Record::Line { line: self.number()?, records: self.octets()? },
            _ => return Err(BadRecord),
        })
    }
}

fn qos(number: u8) -> Result<MqttQos, BadRecord> {
    match number {
        0 => Ok(MqttQos::Zero),
        1 => Ok(MqttQos::One),
        2 => Ok(MqttQos::Two),
        _ => Err(BadRecord),
    }
}
