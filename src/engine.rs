//! Core and MQTT session joined: bytes from devices and from the broker in, datagrams and bytes for
//! the broker out. Still pure; the runtime and the simulator drive the same thing.

mod commits;
mod durable;
mod held;
mod home;
mod status;
mod uplinks;

use bytes::BytesMut;

pub use commits::Written;
use durable::Durable;
pub use status::AddressFormat;
use status::Status;
pub use uplinks::Wish;
use uplinks::{End, Events, Uplinks};

use crate::core::upstream::{LineId, Login, MqttQos, Refusal, Token, UpstreamEvent};
use crate::core::{self, Address, DeviceRoom, Effect, Effects, Gateway, LinkId, Signal};
use crate::mqtt::{self, ConnectionError, Publication, Session, Taken};
use crate::time::Time;

/// Token of what is published without anybody waiting for the outcome at QoS 1.
const NOBODY: Token = Token(0);

/// The gateway proper, all of it but the IO.
///
/// Feed it with datagrams, with what the broker sends and with time. After each batch write what
/// [`Self::commit`] gives, transmit [`Self::outgoing`], call [`Self::clear`], and write
/// [`Self::broker_output`].
#[derive(Debug)]
pub struct Engine {
    gateway: Gateway,
    uplinks: Uplinks,
    effects: Effects,
    /// Effects before this one have been handed to the session.
    handled: usize,
    status: Option<Status>,
    user_properties: bool,
    /// Reused between publications.
    properties: Vec<u8>,
    durable: Option<Box<Durable>>,
}

impl Engine {
    /// A gateway without clients and without a connection. The will of the MQTT settings, if any,
    /// is the status topic: it reads `online` while there is a connection. With it go the topics that
    /// tell how clients and gateway are doing.
    #[must_use]
    pub fn new(mut core: core::Settings, mut mqtt: mqtt::Settings, seed: u64, now: Time) -> Self {
        core.durable = false;
        mqtt.spool = None;
        Self::with(core, mqtt, seed, now)
    }

    fn with(mut core: core::Settings, mqtt: mqtt::Settings, seed: u64, now: Time) -> Self {
        let status = Status::new(&core, &mqtt, now);
        core.tell_states = status.is_some();
        Self {
            user_properties: mqtt.user_properties,
            properties: Vec::new(),
            uplinks: Uplinks::new(mqtt, core.connections, seed.rotate_left(32), now),
            gateway: Gateway::new(core, seed, now),
            effects: Effects::new(),
            handled: 0,
            status,
            durable: None,
        }
    }

    /// A datagram from a device.
    pub fn datagram(
        &mut self,
        now: Time,
        link: LinkId,
        from: &Address,
        signal: Signal,
        bytes: &[u8],
    ) {
        self.gateway.handle_datagram(now, link, from, signal, bytes, &mut self.effects);
        self.hand_over(now);
    }

    /// How many octets of messages a link has room for, see [`Gateway::set_link_room`]. To be told again
    /// and again: what was sent to it is counted here, but not what it has sent since.
    pub fn link_room(&mut self, now: Time, link: LinkId, octets: Option<u32>) {
        // Promises are on their way to it.
        let promised = self.durable.as_ref().map_or(0, |durable| durable.promises.octets_to(link));
        let promised = u32::try_from(promised).unwrap_or(u32::MAX);
        let octets = octets.map(|octets| octets.saturating_sub(promised));
        if self.gateway.set_link_room(now, link, octets, &mut self.effects) {
            self.hand_over(now);
        }
    }

    /// The longest packet that a link carries, octets, see [`Gateway::set_link_largest`].
    pub fn link_largest(&mut self, link: LinkId, octets: usize) {
        self.gateway.set_link_largest(link, octets);
    }

    /// What a device has room for that has a connection of its own, see [`Gateway::set_device_room`]. As
    /// with [`Self::link_room`] to be told again and again; once if it is gone.
    pub fn device_room(
        &mut self,
        now: Time,
        link: LinkId,
        device: &Address,
        room: Option<DeviceRoom>,
    ) {
        let durable = self.durable.as_ref();
        let room = room.map(|room| {
            let promised = durable.map_or(0, |durable| durable.promises.octets_for(link, device));
            let promised = u32::try_from(promised).unwrap_or(u32::MAX);
            DeviceRoom { octets: room.octets.saturating_sub(promised), ..room }
        });
        if self.gateway.set_device_room(now, link, device, room, &mut self.effects) {
            self.hand_over(now);
        }
    }

    /// Connections to the broker that clients share, the main one first.
    #[must_use]
    pub fn connections(&self) -> u16 {
        self.uplinks.shared()
    }

    /// The byte stream to the broker is open.
    pub fn broker_open(&mut self, now: Time, line: LineId) {
        if let Some(session) = self.uplinks.get_mut(line) {
            session.open(now);
        }
        self.settle(now);
    }

    /// What the broker sent; whole packets are taken out of `input`.
    ///
    /// # Errors
    ///
    /// The connection is over, and why. The caller writes what is left of [`Self::broker_output`]
    /// if it can, closes the stream, throws `input` away and calls [`Self::broker_closed`].
    pub fn broker_input(
        &mut self,
        now: Time,
        line: LineId,
        input: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        let Some(session) = self.uplinks.get_mut(line) else {
            input.clear();
            return Ok(());
        };
        let (gateway, effects) = (&mut self.gateway, &mut self.effects);
        let mut connected = false;
        let result = session.handle_input(now, input, &mut |event| {
            connected |= matches!(event, UpstreamEvent::Connected { .. });
            gateway.handle_upstream(now, line, event, effects);
        });
        if connected && line == LineId::MAIN {
            self.say_online(now);
        }
        match &result {
            Err(error) if error.reopen_at_once() => self.uplinks.set_end(line, End::Renewed),
            Err(error) if error.bars() => self.uplinks.set_end(line, End::Barred),
            _ => {}
        }
        self.hand_over(now);
        result
    }

    /// Octets for the broker. The caller writes them and advances the buffer by what was written.
    pub fn broker_output(&mut self, line: LineId) -> Option<&mut BytesMut> {
        self.uplinks.output(line)
    }

    /// The broker ended the stream, by itself and without a word: it may dislike what it was sent.
    /// To be called before [`Self::broker_closed`].
    pub fn broker_hung_up(&mut self, line: LineId) {
        if let Some(session) = self.uplinks.get_mut(line) {
            session.peer_closed();
        }
    }

    /// The stream is about to be given up for another one: leaves a DISCONNECT in
    /// [`Self::broker_output`], so that the broker does not publish the will. To be called before
    /// [`Self::broker_closed`]. What is under way is sent again on the next stream.
    pub fn broker_leave(&mut self, line: LineId) {
        if let Some(session) = self.uplinks.get_mut(line) {
            session.disconnect();
        }
    }

    /// The stream is gone, or could not be opened.
    pub fn broker_closed(&mut self, now: Time, line: LineId) {
        let mut events = Events { now, gateway: &mut self.gateway, effects: &mut self.effects };
        let mut tried = false;
        if let Some(session) = self.uplinks.get_mut(line) {
            tried = session.is_waiting();
            session.closed(now, &mut events.of(line));
        }
        match self.uplinks.take_end(line) {
            Some(End::Renewed) => {}
            Some(End::Barred) => self.refused(now, line, true),
            None if line.is_own() && tried => self.refused(now, line, false),
            None => {}
        }
        self.expire(now, line);
        self.uplinks.after_close(line);
        self.hand_over(now);
    }

    /// A client's own connection could not be made.
    pub fn broker_unreachable(&mut self, now: Time, line: LineId) {
        self.refused(now, line, false);
        self.expire(now, line);
        self.hand_over(now);
    }

    /// Of a client that has left nobody would ask any more what is too old.
    fn expire(&mut self, now: Time, line: LineId) {
        let mut events = Events { now, gateway: &mut self.gateway, effects: &mut self.effects };
        let away = |session: &&mut Session| line.is_own() && !session.is_connected();
        if let Some(session) = self.uplinks.get_mut(line).filter(away) {
            session.expire(now, &mut events.of(line));
        }
    }

    fn refused(&mut self, now: Time, line: LineId, never: bool) {
        let event = UpstreamEvent::Refused { never };
        self.gateway.handle_upstream(now, line, event, &mut self.effects);
    }

    /// What is to be done next about connections of single clients.
    pub fn take_wish(&mut self) -> Option<Wish> {
        self.uplinks.take_wish()
    }

    /// A connection of a single client that has something in [`Self::broker_output`].
    pub fn take_speaking(&mut self) -> Option<LineId> {
        self.uplinks.take_speaking()
    }

    /// Work that is due.
    pub fn timeout(&mut self, now: Time) {
        self.gateway.handle_timeout(now, &mut self.effects);
        let events = Events { now, gateway: &mut self.gateway, effects: &mut self.effects };
        self.uplinks.timeout(events);
        self.tell(now);
        self.hand_over(now);
    }

    /// A connection that is over although nothing came by it, and why: the broker is silent. To be asked
    /// for after [`Self::timeout`], and to be treated as the error of [`Self::broker_input`].
    pub fn take_ended(&mut self) -> Option<(LineId, ConnectionError)> {
        self.uplinks.take_ended()
    }

    /// From their next connections on, shared sessions, and those of clients without a login of their own,
    /// say this in CONNECT.
    pub fn set_login(&mut self, login: Login) {
        self.uplinks.set_login(login, &self.gateway);
    }

    /// Ends a client and its session, see [`Gateway::kick`].
    pub fn kick(&mut self, now: Time, id: &str) -> bool {
        let known = self.gateway.kick(now, id, &mut self.effects);
        self.hand_over(now);
        known
    }

    /// Goes by other settings of the core from now on, see [`Gateway::reconfigure`].
    pub fn reconfigure(&mut self, now: Time, settings: core::Settings) {
        self.gateway.reconfigure(now, settings, &mut self.effects);
        self.hand_over(now);
    }

    /// When [`Self::timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let commit = self.durable.as_ref().and_then(|durable| durable.commits.deadline());
        let others =
            [self.gateway.next_timeout(), self.uplinks.next_timeout(), commit, self.stats_at()];
        others.into_iter().flatten().min()
    }

    /// What is to be transmitted: of its items only `Send` and `Broadcast` concern the caller, the
    /// others are done. Also carries the notices.
    #[must_use]
    pub fn outgoing(&self) -> &Effects {
        &self.effects
    }

    /// Everything was transmitted.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.handled = 0;
    }

    /// Says goodbye to the broker: status `offline`, then DISCONNECT, both left in
    /// [`Self::broker_output`].
    pub fn shutdown(&mut self, now: Time) {
        // Without a connection the broker has published the will.
        if let (Some(status), Some(session)) = (&self.status, self.uplinks.get_mut(LineId::MAIN))
            && session.is_connected()
        {
            // At QoS 0: there is nobody to wait for the acknowledgement.
            let offline = &status.offline;
            let _ = session.publish(now, NOBODY, &status.topic, offline, MqttQos::Zero, true);
        }
        self.uplinks.disconnect();
        if let Some(durable) = &mut self.durable {
            durable.commits.stop();
        }
    }

    /// Whether the broker has accepted the main connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.uplinks.main().is_connected()
    }

    /// The core, to look at.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The MQTT session of the main connection, to look at.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.uplinks.main()
    }

    /// The MQTT session of a connection, to look at.
    #[must_use]
    pub fn session_of(&self, line: LineId) -> Option<&Session> {
        self.uplinks.get(line)
    }

    /// Number of clients with an MQTT session of their own, and of how many of these the broker has
    /// accepted the connection.
    #[must_use]
    pub fn own_sessions(&self) -> (usize, usize) {
        self.uplinks.own()
    }

    /// Octets of the publications that are kept for the broker, by all sessions together.
    #[must_use]
    pub fn spooled_bytes(&self) -> u64 {
        self.uplinks.spooled_bytes()
    }

    /// Hands the core's wishes to the session. A refusal goes straight back to the core, which may
    /// wish for more.
    fn hand_over(&mut self, now: Time) {
        while let Some(effect) = self.effects.items().get(self.handled).copied() {
            let position = self.handled;
            self.handled += 1;
            match effect {
                Effect::Promise { .. } | Effect::Send { .. } => {
                    self.promise(now, position, effect);
                    continue;
                }
                Effect::Recall { link, to, head } => {
                    if let Some(durable) = &mut self.durable {
                        durable.promises.recall(link, &to, self.effects.bytes(head));
                    }
                    continue;
                }
                Effect::Keep { line, token } => {
                    let (gateway, effects) = (&mut self.gateway, &mut self.effects);
                    let mut events = Events { now, gateway, effects };
                    if let Some(session) = self.uplinks.get_mut(line) {
                        session.keep(token, &mut events.of(line));
                    }
                    continue;
                }
                Effect::Open { line } => {
                    if let (Some(slot), Some(setup)) = (line.slot(), self.gateway.line_setup(line))
                    {
                        self.uplinks.open(slot, &setup);
                    }
                    continue;
                }
                Effect::Close { line, abort } => {
                    if let Some(slot) = line.slot() {
                        self.uplinks.close(slot, abort);
                    }
                    continue;
                }
                Effect::Forget { line } => {
                    if let Some(slot) = line.slot() {
                        self.uplinks.forget(slot);
                    }
                    continue;
                }
                Effect::Publish { line, .. } => {
                    let (gateway, effects) = (&mut self.gateway, &mut self.effects);
                    let mut events = Events { now, gateway, effects };
                    // What is too old makes room for what is new.
                    let away = |session: &&mut Session| !session.is_connected();
                    if let Some(session) = self.uplinks.get_mut(line).filter(away) {
                        session.expire(now, &mut events.of(line));
                    }
                }
                _ => {}
            }
            let Some((token, refusal)) = self.submit(now, effect) else { continue };
            if let (Err(Refusal::Congestion), Effect::Unsubscribe { .. }) = (refusal, effect) {
                self.gateway.unsubscribe_refused(token);
                continue;
            }
            let (line, event) = match (refusal, effect) {
                (outcome, Effect::Publish { line, .. }) => {
                    (line, UpstreamEvent::Published { token, outcome })
                }
                (Err(refusal), Effect::Subscribe { line, .. }) => {
                    (line, UpstreamEvent::Subscribed { token, outcome: Err(refusal) })
                }
                (_, Effect::Unsubscribe { line, .. }) => {
                    (line, UpstreamEvent::Unsubscribed { token })
                }
                _ => continue,
            };
            self.gateway.handle_upstream(now, line, event, &mut self.effects);
        }
        self.settle(now);
        if let Some(line) = self.uplinks.take_closed() {
            self.gateway.handle_upstream(now, line, UpstreamEvent::Closed, &mut self.effects);
            // Also if nothing is to be done: there are records.
            self.hand_over(now);
        }
    }

    /// Gives one effect to the session. Returns what is already known of its outcome.
    fn submit(&mut self, now: Time, effect: Effect) -> Option<(Token, Result<(), Refusal>)> {
        let effects = &self.effects;
        // Spans were cut out of valid UTF-8; if one were not, nothing would be sent under it.
        let text = |span| std::str::from_utf8(effects.bytes(span)).unwrap_or("");
        let gone = Err(Refusal::Congestion);
        let (token, result) = match effect {
            Effect::Acknowledge { delivery, wait } => {
                if let Some(session) = self.uplinks.get_mut(delivery.line) {
                    session.acknowledge(now, delivery.id, wait);
                }
                return None;
            }
            Effect::Publish { line, token, qos, retain, topic, payload, origin, keep, rssi } => {
                let (topic, payload) = (text(topic), effects.bytes(payload));
                self.properties.clear();
                if self.user_properties {
                    if let Some((id, link)) = self.gateway.origin(origin) {
                        // By a connection of its own it is known.
                        if !line.is_own() {
                            mqtt::put_user_property(&mut self.properties, "client-id", id);
                        }
                        if let Some(link) = link {
                            mqtt::put_user_property(&mut self.properties, "link", link);
                        }
                    }
                    if let Some(rssi) = rssi {
                        mqtt::put_user_number(&mut self.properties, "rssi", rssi);
                    }
                }
                let properties = &self.properties[..];
                let failing = self.durable.as_ref().is_some_and(|d| d.commits.is_failing());
                let publication =
                    Publication { token, topic, payload, qos, retain, origin, keep, properties };
                let full = self.uplinks.is_full();
                let session = self.uplinks.get_mut(line);
                let result = match session {
                    None => Err(Refusal::Congestion),
                    // It would go into the spool.
                    Some(session)
                        if qos > MqttQos::Zero
                            && !session.is_connected()
                            && (failing && !keep || line.is_own() && full) =>
                    {
                        Err(Refusal::Congestion)
                    }
                    Some(session) => session.take(now, publication),
                };
                if let (Ok(Taken::Kept), true) = (result, token != NOBODY) {
                    let event = UpstreamEvent::Kept { token };
                    self.gateway.handle_upstream(now, line, event, &mut self.effects);
                    return None;
                }
                let result = result.map(|_| ());
                if qos == MqttQos::Zero {
                    if result.is_err() {
                        self.gateway.count_unsent();
                    }
                    // A broker that takes no more than QoS 0 has nothing more to say.
                    return (token != NOBODY).then_some((token, result));
                }
                (token, result)
            }
            Effect::Subscribe { line, token, filter, qos, id, retained } => {
                let session = self.uplinks.get_mut(line);
                let filter = text(filter);
                (
                    token,
                    session.map_or(gone, |s| s.subscribe(now, token, filter, qos, id, retained)),
                )
            }
            Effect::Unsubscribe { line, token, filter } => {
                let session = self.uplinks.get_mut(line);
                (
                    token,
                    session.map_or(gone, |session| session.unsubscribe(now, token, text(filter))),
                )
            }
            _ => return None,
        };
        result.is_err().then_some((token, result))
    }
}
