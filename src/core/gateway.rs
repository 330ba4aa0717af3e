//! The gateway's state and the doors into it. Conversations are in `flow`, one a file.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use super::hashing::{Hashing, stable_hash};
use hashbrown::HashTable;

use super::bulletin::Bulletin;
use super::client::{Client, NEVER, State, Supervision};
use super::effects::{Effect, Effects};
use super::flow::CopyMode;
use super::lines::Lines;
use super::messages::Messages;
use super::notice::Notice;
use super::peer::{Address, LinkId, PeerRef};
use super::policy::{NO_RULE, Policies, Policy};
use super::predefined::{Predefined, highest_id};
use super::rooms::Rooms;
use super::settings::Settings;
use super::signal::Signal;
use super::slots::{ClientKey, Handle, KEPT, Slots};
use super::stats::{Drop, Limit, Stats};
use super::strangers::{Newcomers, Strangers};
use super::topics::Topics;
use super::upstream::{Delivery, LineId, MqttQos, Token, UpstreamEvent};
use super::wheel::Wheel;
use crate::codec::{self, Message, Qos};
use crate::store::record::Record;
use crate::time::Time;

/// The topics below this level belong to gateways; devices cannot publish below the name of theirs.
pub const OWN_TOPICS: &str = "mqtt-sn-gateway/";

/// Octets of a malformed datagram that a notice quotes.
const QUOTED: usize = 64;

/// What every conversation gets: the moment, and where to leave what is to be done.
pub(crate) struct Cx<'a> {
    pub(crate) now: Time,
    pub(crate) fx: &'a mut Effects,
    /// How the packet in hand was heard, if there is one.
    pub(crate) signal: Signal,
}

impl<'a> Cx<'a> {
    /// Where no packet of a device is in hand.
    pub(crate) fn new(now: Time, fx: &'a mut Effects) -> Self {
        Self { now, fx, signal: Signal::default() }
    }
}

/// A request at the broker, by the handle that is its token.
#[derive(Debug)]
pub(crate) enum Request {
    /// A client's publication.
    Publish { client: Handle, msg_id: u16 },
    /// A will.
    Will,
    /// A subscription.
    Subscribe { line: LineId, filter: Handle },
    /// A part of the probe (see `flow/probe.rs`).
    Probe { line: LineId },
    /// The end of a subscription.
    Unsubscribe { line: LineId, filter: Box<str> },
}

/// What is known of a connection to the broker.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) connected: bool,
    /// MQTT 5 subscription identifiers can be used.
    pub(crate) ids: bool,
    pub(crate) maximum_qos: MqttQos,
    /// Filters waiting to be asked for, and how many SUBSCRIBEs are out.
    pub(crate) asks: VecDeque<Handle>,
    pub(crate) asking: u32,
    /// SUBSCRIBEs and UNSUBSCRIBEs without an answer, those of the probe included.
    pub(crate) open: u32,
    /// How many copies of a message it sends where filters overlap.
    pub(crate) copies: CopyMode,
    /// Filters that nobody uses any longer but that the broker may still know.
    pub(crate) stale: Vec<Box<str>>,
}

/// Everything the gateway knows. Fed through `handle_*`; what is to be done is left in the
/// [`Effects`] given along.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) hasher: Hashing,
    pub(crate) clients: Slots<Client>,
    /// Slots of clients.
    by_peer: HashTable<u32>,
    by_id: HashTable<u32>,
    pub(crate) topics: Topics,
    pub(crate) predefined: Predefined,
    pub(crate) policies: Policies,
    /// Normal topic ids start here.
    pub(crate) first_topic_id: u16,
    /// How far above it those of the next new client do.
    pub(crate) next_offset: u16,
    pub(crate) requests: Slots<Request>,
    pub(crate) messages: Messages,
    pub(crate) lines: Lines,
    pub(crate) rooms: Rooms,
    pub(crate) bulletin: Bulletin,
    /// When to ask again for what the broker had no room for, and by which connection; in order.
    pub(crate) again: VecDeque<(Time, LineId)>,
    pub(crate) strangers: Strangers,
    pub(crate) newcomers: Newcomers,
    pub(crate) stats: Stats,
    pub(crate) handshakes: u32,
    pub(crate) connected: u32,
    pub(crate) asleep: u32,
    pub(crate) buffered: usize,
    pub(crate) buffered_bytes: usize,
    /// `mqtt-sn-gateway/<name>/`: the gateway's own topics.
    pub(crate) own_topics: Box<str>,
    /// Reused between messages.
    pub(crate) matched: Vec<Handle>,
    pub(crate) recipients: Vec<(Handle, MqttQos)>,
    pub(crate) expected: Vec<u32>,
    pub(crate) candidates: Vec<(Handle, MqttQos, bool)>,
    pub(crate) just_subscribed: Vec<Handle>,
    pub(crate) ids: Vec<u32>,
    /// Clients of which what has one value is to be recorded.
    pub(crate) changed: Vec<Handle>,
    /// Nothing can be written.
    pub(crate) failing: bool,
    /// Whose the datagram was that was handled last.
    in_hand: Option<Handle>,
    wheel: Wheel,
    pub(crate) advertise_at: Option<Time>,
}

/// Normal ids above the predefined ones: the types keep them apart, but not every device does. Where
/// predefined ids leave no room, they share the range.
pub(crate) fn first_topic_id(settings: &Settings) -> u16 {
    let highest = highest_id(settings);
    if highest < 0xF000 { highest.saturating_add(1) } else { 1 }
}

impl Gateway {
    /// A gateway without clients. `seed` keys its hash tables: secret randomness in a process, a
    /// constant in a simulation.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Time) -> Self {
        let hasher = Hashing::new(seed);
        let mut topics = Topics::new(hasher);
        let predefined = Predefined::new(hasher, &settings, &mut topics);
        let own_topics: Box<str> = format!("{OWN_TOPICS}{}/", settings.name).into();
        let advertises = !settings.advertise_interval.is_zero();
        Self {
            hasher,
            clients: Slots::default(),
            by_peer: HashTable::new(),
            by_id: HashTable::new(),
            topics,
            predefined,
            policies: Policies::new(&settings),
            first_topic_id: first_topic_id(&settings),
            next_offset: 0,
            requests: Slots::default(),
            messages: Messages::default(),
            lines: Lines::new(hasher, settings.connections),
            rooms: Rooms::new(&settings.links, hasher),
            bulletin: Bulletin::default(),
            again: VecDeque::new(),
            strangers: Strangers::new(),
            newcomers: Newcomers::new(),
            stats: Stats::default(),
            handshakes: 0,
            connected: 0,
            asleep: 0,
            buffered: 0,
            buffered_bytes: 0,
            own_topics,
            matched: Vec::new(),
            recipients: Vec::new(),
            expected: Vec::new(),
            candidates: Vec::new(),
            just_subscribed: Vec::new(),
            ids: Vec::new(),
            changed: Vec::new(),
            failing: false,
            in_hand: None,
            wheel: Wheel::new(now),
            advertise_at: advertises.then_some(now),
            settings,
        }
    }

    /// A datagram from a device.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        link: LinkId,
        from: &Address,
        signal: Signal,
        bytes: &[u8],
        fx: &mut Effects,
    ) {
        let cx = &mut Cx { now, fx, signal };
        let packet = match codec::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                if let Some(counter) = self.stats.malformed.get_mut(error.index()) {
                    *counter += 1;
                }
                self.in_hand = self.client_at(PeerRef { link, address: from.octets(), node: None });
                cx.fx.notice(|fx| {
                    let from = fx.place(PeerRef { link, address: from.octets(), node: None });
                    let quoted = bytes.get(..QUOTED).unwrap_or(bytes);
                    Notice::Malformed { from, error, bytes: fx.store(quoted) }
                });
                return;
            }
        };
        let node = packet.forwarder.map(|forwarder| forwarder.node_id);
        let peer = PeerRef { link, address: from.octets(), node };
        let message = packet.message;
        if let Some(counter) = self.stats.received.get_mut(usize::from(message.type_code())) {
            *counter += 1;
        }
        self.dispatch(cx, peer, &message);
    }

    /// The client whose datagram was handled last, as its address says; that of a CONNECT is no matter
    /// of addresses.
    #[must_use]
    pub fn client_in_hand(&self) -> Option<ClientKey> {
        self.in_hand.map(ClientKey)
    }

    fn dispatch(&mut self, cx: &mut Cx<'_>, peer: PeerRef<'_>, message: &Message<'_>) {
        let bound = self.client_at(peer);
        self.in_hand = bound;
        match message {
            Message::Publish(publish) if publish.qos == Qos::MinusOne => {
                self.heard_of(cx, bound);
                return self.publish_unconnected(cx, bound, publish);
            }
            Message::SearchGw { .. } => {
                self.heard_of(cx, bound);
                return self.on_search_gw(cx, peer, bound);
            }
            Message::Connect(connect) => return self.on_connect(cx, peer, bound, connect),
            Message::Advertise { .. }
            | Message::GwInfo { .. }
            | Message::ConnAck { .. }
            | Message::WillTopicReq
            | Message::WillMsgReq
            | Message::SubAck { .. }
            | Message::UnsubAck { .. }
            | Message::WillTopicResp { .. }
            | Message::WillMsgResp { .. } => return self.drop_packet(Drop::WrongDirection),
            _ => {}
        }
        let client = bound.and_then(|handle| self.clients.get(handle));
        let (Some(handle), Some((state, fresh))) = (bound, client.map(|c| (c.state, c.fresh)))
        else {
            if let Message::PingReq { client_id } = message
                && self.wake_elsewhere(cx, peer, client_id)
            {
                self.in_hand = self.client_at(peer);
                return;
            }
            return self.on_stranger(cx, peer, message);
        };
        self.heard(cx, bound);
        if state == State::Connecting {
            return match message {
                Message::WillTopic(topic) => self.on_will_topic(cx, handle, *topic),
                Message::WillMsg { message } => self.on_will_msg(cx, handle, message),
                Message::Disconnect { .. } => self.on_disconnect(cx, handle, None),
                _ => self.drop_packet(Drop::OutOfOrder),
            };
        }
        match message {
            Message::Publish(publish) => self.on_publish(cx, handle, publish),
            Message::PubRel { msg_id } => self.on_pubrel(cx, handle, *msg_id),
            Message::Register { msg_id, topic, .. } => {
                self.on_register(cx, handle, *msg_id, topic);
            }
            Message::Subscribe(subscribe) => self.on_subscribe(cx, handle, subscribe),
            Message::Unsubscribe { msg_id, topic } => {
                self.on_unsubscribe(cx, handle, *msg_id, *topic);
            }
            Message::PingReq { client_id } => self.on_pingreq(cx, handle, client_id),
            Message::Disconnect { duration } => self.on_disconnect(cx, handle, *duration),
            Message::RegAck { topic_id, msg_id, code } => {
                self.on_regack(cx, handle, *topic_id, *msg_id, *code);
            }
            Message::PubAck { topic_id, msg_id, code } => {
                self.on_puback(cx, handle, *topic_id, *msg_id, *code);
            }
            Message::PubRec { msg_id } => self.on_pubrec(cx, handle, *msg_id),
            Message::PubComp { msg_id } => self.on_pubcomp(cx, handle, *msg_id),
            Message::WillTopicUpd(topic) => self.on_will_topic_upd(cx, handle, *topic),
            Message::WillMsgUpd { message } => self.on_will_msg_upd(cx, handle, message),
            // A sign of life, nothing more.
            Message::PingResp => {}
            Message::WillTopic(_) | Message::WillMsg { .. } => {
                self.on_late_will(cx, handle, message, fresh);
            }
            // All handled above.
            _ => self.drop_packet(Drop::WrongDirection),
        }
    }

    /// News from the MQTT session.
    pub fn handle_upstream(
        &mut self,
        now: Time,
        line: LineId,
        event: UpstreamEvent<'_>,
        fx: &mut Effects,
    ) {
        let cx = &mut Cx::new(now, fx);
        match event {
            UpstreamEvent::Connected { session_present, subscription_ids, maximum_qos } => {
                let Some(known) = self.lines.get_mut(line) else { return };
                known.broker.connected = true;
                // Whatever comes by a connection of one's own is for its owner.
                known.broker.ids = subscription_ids && !line.is_own();
                known.broker.maximum_qos = maximum_qos;
                if line == LineId::MAIN {
                    self.begin_round();
                }
                self.on_broker_connected(cx, line, session_present);
                if line.is_own() {
                    self.on_line_accepted(cx, line);
                }
            }
            UpstreamEvent::Disconnected => {
                let Some(known) = self.lines.get_mut(line) else { return };
                known.broker.connected = false;
                if line == LineId::MAIN {
                    self.end_round();
                }
                self.on_broker_disconnected(cx, line);
            }
            UpstreamEvent::Refused { never } => self.on_line_refused(cx, line, never),
            UpstreamEvent::Closed => self.on_line_closed(cx, line),
            UpstreamEvent::Received { token } => self.on_received(cx, token),
            UpstreamEvent::Kept { token } => self.on_kept(cx, token),
            UpstreamEvent::Wasted { topic, why } => {
                self.stats.wasted += 1;
                cx.fx.notice(|fx| Notice::Wasted { topic: fx.store(topic.as_bytes()), why });
            }
            UpstreamEvent::Published { token: Token::PROOF, outcome } => {
                if outcome.is_ok() {
                    self.told_for_sure();
                }
            }
            UpstreamEvent::Published { token, outcome } => self.on_published(cx, token, outcome),
            UpstreamEvent::Subscribed { token, outcome } => self.on_subscribed(cx, token, outcome),
            UpstreamEvent::Unsubscribed { token } => self.on_unsubscribed(cx, token),
            UpstreamEvent::Complaint { what, about, code, name, said } => {
                cx.fx.notice(|fx| {
                    let (about, said) = (fx.store(about.as_bytes()), fx.store(said.as_bytes()));
                    Notice::Complaint { what, about, code, name, said }
                });
            }
            UpstreamEvent::Message {
                delivery,
                topic,
                payload,
                qos,
                retain,
                expiry,
                subscription_ids,
            } => {
                let message = super::flow::Incoming {
                    line,
                    delivery: delivery.map(|id| Delivery { line, id }),
                    topic,
                    payload,
                    qos,
                    retain,
                    expires: expiry.map(|seconds| now.after(Duration::from_secs(seconds.into()))),
                    subscription_ids,
                };
                self.on_message(cx, &message);
            }
        }
    }

    /// Work that is due. Call when [`Self::next_timeout`] says so; calling early does no harm.
    pub fn handle_timeout(&mut self, now: Time, fx: &mut Effects) {
        let cx = &mut Cx::new(now, fx);
        while let Some(slot) = self.wheel.pop(now) {
            let Some(handle) = self.clients.handle_at(slot) else { continue };
            if let Some(client) = self.clients.get_mut(handle) {
                client.armed = NEVER;
            }
            self.on_timer(cx, handle);
        }
        self.end_probes(cx);
        self.ask_again(cx);
        for line in self.lines.shared_ids() {
            self.lines.at_mut(line).filters.age(now);
        }
        if self.advertise_at.is_some_and(|at| at <= now) {
            self.advertise_at = Some(now.after(self.settings.advertise_interval));
            self.advertise(cx);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let lines = self.lines.shared_ids().flat_map(|line| {
            let line = self.lines.at(line);
            [line.probe_deadline(), line.filters.age_deadline()]
        });
        let others = [self.advertise_at, self.again_deadline(), self.wheel.next(), self.tells_at()];
        others.into_iter().chain(lines).flatten().min()
    }

    /// An UNSUBSCRIBE was not taken by the session; the filter is given back with the next connection.
    pub fn unsubscribe_refused(&mut self, token: Token) {
        self.on_unsubscribe_refused(token);
    }

    /// A QoS 0 publication was not taken by the session: the broker is away or does not read.
    pub fn count_unsent(&mut self) {
        self.drop_packet(Drop::BrokerAway);
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            clients: self.clients.len() as u64,
            connected: u64::from(self.connected),
            asleep: u64::from(self.asleep),
            handshakes: u64::from(self.handshakes),
            buffered: self.buffered as u64,
            buffered_bytes: self.buffered_bytes as u64,
            lined_up: self.rooms.waiting() as u64,
            ..self.stats.clone()
        }
    }

    /// Sizes of the tables that must be empty again once every client is gone and every exchange is
    /// over: clients, filters, requests, messages, topic names beyond the predefined ones.
    #[must_use]
    pub fn residue(&self) -> [usize; 5] {
        [
            self.clients.len(),
            self.lines.filters(),
            self.requests.len(),
            self.messages.len(),
            self.topics.len().saturating_sub(self.predefined.names()),
        ]
    }

    /// Devices on links with [`Pacing::Device`](super::Pacing::Device) of which something is kept: those
    /// that are there, and those that are away and that a client waits for.
    #[must_use]
    pub fn known_devices(&self) -> usize {
        self.rooms.known_devices()
    }

    // What the conversations share.

    pub(crate) fn client_at(&self, peer: PeerRef<'_>) -> Option<Handle> {
        let hash = peer.hash_with(&self.hasher);
        let same = |slot: &u32| {
            self.clients
                .at(*slot)
                .and_then(|client| client.peer.as_ref())
                .is_some_and(|bound| bound.as_ref() == peer)
        };
        self.by_peer.find(hash, same).and_then(|slot| self.clients.handle_at(*slot))
    }

    /// By which connection a client is served.
    pub(crate) fn line_of(&self, handle: Handle) -> LineId {
        self.clients.get(handle).map_or(LineId::MAIN, |client| client.line)
    }

    /// Which of the shared connections serves a client id: the same one whenever there are as many.
    pub(crate) fn shared_line(&self, id: &str) -> LineId {
        match self.lines.shared() {
            1 => LineId::MAIN,
            // `stable_hash` gives all bits their part.
            lines => LineId::shared((stable_hash(&[id.as_bytes()]) % u64::from(lines)) as u16),
        }
    }

    pub(crate) fn client_named(&self, id: &str) -> Option<Handle> {
        let same = |slot: &u32| self.clients.at(*slot).is_some_and(|client| &*client.id == id);
        let found = self.by_id.find(self.hasher.hash_one(id), same);
        found.and_then(|slot| self.clients.handle_at(*slot))
    }

    pub(crate) fn add_client(&mut self, cx: &mut Cx<'_>, client: Client) -> Handle {
        let handle = self.clients.insert(client);
        self.index_client(handle);
        if let Some(client) = self.clients.get(handle) {
            self.note(cx, &Record::NewClient { slot: handle.slot, id: &client.id });
        }
        self.mark(handle);
        handle
    }

    /// Makes a client known by its id.
    pub(crate) fn index_client(&mut self, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let hash = self.hasher.hash_one(&*client.id);
        let (clients, hasher) = (&self.clients, &self.hasher);
        self.by_id.insert_unique(hash, handle.slot, |slot| {
            clients.at(*slot).map_or(0, |client| hasher.hash_one(&*client.id))
        });
    }

    /// Takes a record away. Its session has been cleared and its address unbound before.
    pub(crate) fn remove_client(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.part_in_public(handle);
        let Some(client) = self.clients.get(handle) else { return };
        let hash = self.hasher.hash_one(&*client.id);
        if let Ok(found) = self.by_id.find_entry(hash, |slot| *slot == handle.slot) {
            found.remove();
        }
        // Whoever had the session may not know that it is over, and use its ids in the next one: that of
        // a newcomer, who must have others.
        let offset = self.wrapped(client.topics.offset());
        self.next_offset = self.next_offset.max(offset);
        self.wheel.disarm(handle.slot);
        let line = client.line;
        self.clients.remove(handle);
        if self.lines.remove(handle.slot) {
            // Also if it is shut: its MQTT session may be kept, and the next client in this slot is
            // another one.
            cx.fx.push(Effect::Forget { line });
        }
        self.note(cx, &Record::ClientGone { slot: handle.slot });
        if self.clients.len() == 0 {
            self.give_back();
        }
    }

    /// The last client is gone. There may have been a hundred thousand.
    fn give_back(&mut self) {
        self.clients.give_back();
        self.lines.give_back();
        self.topics.give_back();
        self.messages.give_back();
        self.rooms.give_back();
        self.wheel.give_back();
        for table in [&mut self.by_id, &mut self.by_peer] {
            if table.is_empty() && table.capacity() > KEPT {
                *table = HashTable::new();
            }
        }
    }

    /// Binds a client to an address.
    pub(crate) fn bind(&mut self, handle: Handle, peer: PeerRef<'_>) {
        self.unbind(handle);
        let hash = peer.hash_with(&self.hasher);
        if let Some(client) = self.clients.get_mut(handle) {
            client.peer = Some(peer.to_peer());
            client.bound = true;
        }
        self.mark(handle);
        self.has_news(handle);
        let (clients, hasher) = (&self.clients, &self.hasher);
        self.by_peer.insert_unique(hash, handle.slot, |slot| {
            let bound = clients.at(*slot).and_then(|client| client.peer.as_ref());
            bound.map_or(0, |peer| peer.as_ref().hash_with(hasher))
        });
    }

    /// What comes from a client's address is not taken for its own any longer.
    pub(crate) fn unbind(&mut self, handle: Handle) {
        self.leave_line(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        if !core::mem::take(&mut client.bound) {
            return;
        }
        let Some(peer) = client.peer.as_ref() else { return };
        let hash = peer.as_ref().hash_with(&self.hasher);
        if let Ok(found) = self.by_peer.find_entry(hash, |slot| *slot == handle.slot) {
            found.remove();
        }
        self.mark(handle);
    }

    /// Moves a client to a state and keeps the gauges.
    pub(crate) fn set_state(&mut self, handle: Handle, state: State) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let before = core::mem::replace(&mut client.state, state);
        // That it wakes to collect its messages need not be known after a restart.
        if !(before.sleeps() && state.sleeps()) {
            self.mark(handle);
        }
        for (which, by) in [(before, false), (state, true)] {
            let gauge = match which {
                State::Active => &mut self.connected,
                State::Connecting => &mut self.handshakes,
                State::Asleep | State::Awake => &mut self.asleep,
                State::Gone => continue,
            };
            *gauge = if by { gauge.saturating_add(1) } else { gauge.saturating_sub(1) };
        }
        self.has_news(handle);
    }

    /// Sends to a client, if it is anywhere.
    pub(crate) fn send(&self, cx: &mut Cx<'_>, handle: Handle, message: &Message<'_>) {
        if let Some(peer) = self.clients.get(handle).and_then(Client::place) {
            peer.as_ref().send(Some(handle), message, cx.fx);
        }
    }

    /// As [`Self::send`], for what the broker answered to a request: in the middle of a will dialogue
    /// it is kept back. A device may take one datagram at a time there, and it repeats its request.
    pub(crate) fn answer(&self, cx: &mut Cx<'_>, handle: Handle, message: &Message<'_>) {
        if !self.is_connecting(handle) {
            self.send(cx, handle, message);
        }
    }

    /// Any valid message is a sign of life (§6.11).
    fn heard(&mut self, cx: &Cx<'_>, handle: Option<Handle>) {
        if let Some(client) = handle.and_then(|handle| self.clients.get_mut(handle)) {
            client.last_heard = cx.now;
            client.signal = cx.signal;
            client.fresh = false;
        }
    }

    /// The same for what needs no connection, and so does not show that the CONNACK arrived.
    fn heard_of(&mut self, cx: &Cx<'_>, handle: Option<Handle>) {
        if let Some(client) = handle.and_then(|handle| self.clients.get_mut(handle)) {
            client.last_heard = cx.now;
            client.signal = cx.signal;
        }
    }

    /// Makes sure that the wheel fires no later than the client's next deadline.
    pub(crate) fn rearm(&mut self, handle: Handle) {
        self.rearm_after(handle, Time(0));
    }

    /// As [`Self::rearm`], when all that is due at `now` has been done: a deadline that is left over
    /// would fire for ever.
    pub(crate) fn rearm_after(&mut self, handle: Handle, now: Time) {
        let supervision = self.supervision(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(deadline) = client.deadline(&supervision) else { return };
        debug_assert!(deadline > now, "a deadline was not dealt with");
        let deadline = if deadline > now { deadline } else { now.after(Duration::from_secs(1)) };
        if deadline < client.armed {
            client.armed = deadline;
            self.wheel.arm(handle.slot, deadline);
        }
    }

    fn supervision(&self, handle: Handle) -> Supervision {
        let lined_up = self.clients.get(handle).is_some_and(|client| client.lined_up);
        Supervision {
            keep_alive_permille: self.settings.keep_alive_tolerance_permille,
            sleep_permille: self.settings.sleep_tolerance_permille,
            session_expiry: self.settings.session_expiry,
            awake: if lined_up { self.patience(handle) } else { Duration::ZERO },
        }
    }

    /// How long this client has to answer.
    pub(crate) fn retry_at(&self, now: Time, handle: Handle) -> Time {
        now.after(self.retry_interval(handle))
    }

    /// The time between two tries for this client.
    pub(crate) fn retry_interval(&self, handle: Handle) -> Duration {
        let peer = self.clients.get(handle).and_then(|client| client.peer.as_ref());
        let link = peer.and_then(|peer| self.settings.links.get(usize::from(peer.link().0)));
        let own = self.clients.get(handle).and_then(|client| self.policy(client).retry_interval);
        let interval = own.or_else(|| link.and_then(|link| link.retry_interval));
        interval.unwrap_or(self.settings.retry_interval)
    }

    /// Longest message (without forwarder header) that reaches this client, octets.
    pub(crate) fn room(&self, handle: Handle) -> usize {
        let Some(client) = self.clients.get(handle) else { return 0 };
        let Some(peer) = client.place() else { return 0 };
        let link = self.settings.links.get(usize::from(peer.link().0));
        let room = link.map_or(codec::MAX_MESSAGE_LEN, |link| link.max_packet);
        let room = room.min(self.rooms.largest(peer.as_ref()));
        let room = room.min(codec::MAX_MESSAGE_LEN).saturating_sub(peer.overhead());
        client.profile().longest_packet.map_or(room, |longest| room.min(usize::from(longest)))
    }

    pub(crate) fn drop_packet(&mut self, why: Drop) {
        if let Some(counter) = self.stats.dropped.get_mut(why as usize) {
            *counter += 1;
        }
    }

    /// Counts a limit and tells whose it was.
    pub(crate) fn limit_reached(&mut self, cx: &mut Cx<'_>, handle: Option<Handle>, limit: Limit) {
        if let Some(counter) = self.stats.limits.get_mut(limit as usize) {
            *counter += 1;
        }
        let id = handle.and_then(|handle| self.clients.get(handle)).map_or("", |client| &client.id);
        cx.fx.notice(|fx| Notice::LimitReached { client: fx.store(id.as_bytes()), limit });
    }

    /// What applies to a client.
    #[inline]
    pub(crate) fn policy(&self, client: &Client) -> &Policy {
        self.policies.get(client.rule)
    }

    /// The same, where the client may be gone.
    pub(crate) fn policy_of(&self, handle: Handle) -> &Policy {
        self.policies.get(self.clients.get(handle).map_or(NO_RULE, |client| client.rule))
    }

    /// Whether a topic is one of the gateway's own: devices may not publish there.
    #[inline]
    pub(crate) fn is_own_topic(&self, wire: &[u8]) -> bool {
        wire.starts_with(self.own_topics.as_bytes())
    }
}
