//! The connection as a whole: CONNECT and CONNACK, requests in, packets in, time.

mod packets;

use bytes::{Buf, BytesMut};

use super::aliases::Aliases;
use super::error::ConnectionError;
use super::fallback::Fallback;
use super::incoming::Incoming;
use super::keep_alive::{Due, KeepAlive};
use super::limits::Limits;
use super::notes::{Notes, Step};
use super::outgoing::{Bounds, Channel, Outgoing, Publication, Taken};
use super::packet_ids::{Exchange, PacketIds};
use super::round_trip::RoundTrips;
use super::settings::{Settings, Version, Will};
use super::stats::Stats;
use super::wire::{self, Protocol};
use super::{backoff, reasons, wire_v4, wire_v5};
use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::histogram::Histogram;
use crate::store::image::LineImage;
use crate::store::record::Record;
use crate::time::Time;

/// With more octets than this waiting for the broker, QoS 0 publications and subscriptions are
/// refused.
const MAX_WAITING: usize = 1024 * 1024;
/// Most SUBSCRIBE and UNSUBSCRIBE without an answer: half of all packet ids.
const MAX_SUBSCRIBING: usize = 32_768;
/// An output buffer larger than this is given back when the connection was idle.
const KEEP_CAPACITY: usize = 256;

/// Our side of one MQTT connection, and of the session that outlives it. See the module for how to
/// drive it.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    fallback: Fallback,
    /// To the broker.
    channel: Channel,
    state: State,
    /// The clean start that the settings ask for is behind us.
    started: bool,
    /// The broker kept the session over from the connection before.
    resumed: bool,
    keep_alive: KeepAlive,
    subscribing: usize,
    outgoing: Outgoing,
    incoming: Incoming,
    peer_closed: bool,
    /// A CONNECT has been sent that no CONNACK has come for, on this connection or the one before.
    unanswered: bool,
    /// There was such a CONNECT before the present one.
    doubtful: bool,
    /// Octets of an oversized message that are still to be thrown away.
    skip: usize,
    subscription_ids: Vec<u32>,
    notes: Notes,
    /// It is recorded that the broker's session is ours.
    recorded: bool,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No stream.
    Closed,
    /// CONNECT is queued. `wipe`: this connection only discards the old session.
    Connecting {
        since: Time,
        wipe: bool,
    },
    Connected,
    /// DISCONNECT is queued or the broker is at fault: what it sends does not matter any more.
    /// `hung_up`: it was the broker that ended the connection.
    Closing {
        was_connected: bool,
        hung_up: bool,
    },
}

type Events<'a> = &'a mut dyn FnMut(UpstreamEvent<'_>);

impl Session {
    /// A session without a connection. `seed` chooses the first packet id, so that a session that
    /// follows another one at the same broker is unlikely to begin with ids of its predecessor.
    #[must_use]
    pub fn new(settings: Settings, mut seed: u64) -> Self {
        let bounds = Bounds {
            in_flight: usize::from(settings.max_inflight),
            queued: settings.max_queued,
            bytes: settings.max_queued_bytes,
        };
        let fallback = Fallback::new(settings.version);
        Self {
            fallback,
            channel: Channel {
                output: BytesMut::new(),
                protocol: fallback.protocol(),
                limits: Limits::default(),
                ids: PacketIds::new((backoff::mix(&mut seed) & 0xFFFF) as u16),
                stats: Stats::default(),
                aliases: Aliases::default(),
            },
            state: State::Closed,
            started: !settings.clean_start,
            resumed: false,
            keep_alive: KeepAlive::new(settings.keep_alive, Time(0)),
            subscribing: 0,
            outgoing: Outgoing::new(bounds, settings.spool),
            incoming: Incoming::new(settings.acknowledge_in_order),
            peer_closed: false,
            unanswered: false,
            doubtful: false,
            skip: 0,
            subscription_ids: Vec::new(),
            notes: Notes::new(settings.spool.is_some()),
            recorded: false,
            settings,
        }
    }

    /// Chooses the first packet id anew.
    pub fn reseed(&mut self, mut seed: u64) {
        self.channel.ids = PacketIds::new((backoff::mix(&mut seed) & 0xFFFF) as u16);
    }

    /// Goes on with what a former life has written down. To be called once, before anything else.
    /// Gives the number of publications that are still owed to the broker.
    pub fn restore(&mut self, image: &mut LineImage) -> usize {
        if image.speaks_five {
            self.fallback.accepted();
        }
        if image.session.as_ref() == Some(&self.settings.client_id) {
            self.started = true;
            self.recorded = true;
            // Its CONNECT may have begun a session that has nothing in it.
            self.unanswered = true;
        } else {
            // Under another client id there is another session.
            image.received.clear();
            for request in image.requests.values_mut() {
                request.packet_id = 0;
            }
        }
        let spooled = self.outgoing.restore(image, &mut self.channel.ids);
        self.incoming.restore(&image.received);
        self.gauge();
        spooled
    }

    /// Appends all that is to be remembered, from `place` on, until `out` is `limit` octets long.
    /// False if nothing is left.
    pub fn snapshot(&self, place: &mut usize, out: &mut Vec<u8>, limit: usize) -> bool {
        if *place == 0 {
            *place = 1;
            if self.recorded {
                Record::Session { client_id: &self.settings.client_id }.put(out);
            }
            if self.fallback.is_proven() {
                Record::SpeaksFive.put(out);
            }
            self.incoming.snapshot(out);
            *place = 1;
        }
        let mut slot = *place - 1;
        let more = self.outgoing.snapshot(&mut slot, out, limit);
        *place = slot + 1;
        more
    }

    /// Moves the [records](crate::store::record) of what has changed to `into`.
    pub fn drain_records(&mut self, into: &mut Vec<u8>) {
        self.notes.drain(into);
    }

    /// Whether [`Self::drain_records`] would give anything.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.notes.has_records()
    }

    /// Whether something waits to be said to the broker until the records are written, and does not
    /// wait for a commit that is under way.
    #[must_use]
    pub fn has_deferred(&self) -> bool {
        self.notes.has_unsealed()
    }

    /// The records drained so far are about to be written: what waits for them waits for that.
    pub fn seal(&mut self) {
        self.notes.seal();
    }

    /// They are written: says what waited for it.
    pub fn release(&mut self, now: Time, events: Events<'_>) {
        let before = self.channel.output.len();
        while let Some(step) = self.notes.next() {
            if self.state != State::Connected {
                // After the goodbye; the next connection begins with it.
                continue;
            }
            match step {
                Step::Publish { .. } | Step::Release { .. } => {
                    let mut wire = self.channel.wire(now);
                    self.outgoing.write_deferred(step, &mut wire);
                }
                Step::Answer { id, serial } => {
                    self.incoming.write_deferred(
                        id,
                        serial,
                        self.channel.protocol,
                        &mut self.channel.output,
                    );
                }
                Step::Complete { id, reason } => {
                    wire::put_acknowledgement(
                        &mut self.channel.output,
                        self.channel.protocol,
                        wire::first::PUBCOMP,
                        id,
                        reason,
                    );
                }
            }
        }
        // Something may have waited behind it.
        self.resume(now, events);
        if self.channel.output.len() > before {
            self.keep_alive.sent(now);
        }
        self.gauge();
    }

    /// Nothing can be written, or it can again: what has to be written before it is said stays where it
    /// is meanwhile, and does not take the place of what need not.
    /// What waits to be said since then is given back, with `Published` and congestion.
    pub fn set_failing(&mut self, failing: bool, events: Events<'_>) {
        self.notes.set_failing(failing);
        if failing {
            self.outgoing.give_back(&mut self.channel.ids, &mut self.notes, events);
            self.gauge();
        }
    }

    /// Throws away what has been in the spool for too long. False if nothing was.
    pub fn expire(&mut self, now: Time, events: Events<'_>) -> bool {
        let expired = self.outgoing.expire(now, &mut self.channel.ids, &mut self.notes, events);
        self.gauge();
        expired
    }

    /// Sends what waits, as far as it may be sent.
    pub fn resume(&mut self, now: Time, events: Events<'_>) {
        if self.is_connected() {
            self.pump(now, events);
            self.gauge();
        }
    }

    /// The client asks again for the acknowledgement of a publication that the broker has not
    /// answered: it goes into the spool, if there is one with room, and `Kept` follows.
    pub fn keep(&mut self, token: Token, events: Events<'_>) {
        self.outgoing.keep(token, &self.channel.ids, &mut self.notes, events);
        self.gauge();
    }

    /// From the next connection on CONNECT says this. The session is to have none of its own life that
    /// has to be begun ([`Settings::clean_start`]).
    pub fn renew(&mut self, volatile: bool, will: Option<Will>) {
        self.settings.volatile = volatile;
        self.settings.will = will;
    }

    /// From the next connection on CONNECT carries this login.
    pub fn set_login(&mut self, username: Option<Box<str>>, password: Option<Box<[u8]>>) {
        self.settings.username = username;
        self.settings.password = password;
    }

    /// From the next connection on there is no will.
    pub fn drop_will(&mut self) {
        self.settings.will = None;
    }

    /// Whether CONNECT says a will.
    #[must_use]
    pub fn has_will(&self) -> bool {
        self.settings.will.is_some()
    }

    /// Takes over what another session with the same broker knows of the versions that it speaks: one
    /// that lives for a single CONNECT of a client would never find out.
    pub fn learn_from(&mut self, other: &Self) {
        if self.state == State::Closed && self.settings.version == other.settings.version {
            self.fallback.learn(other.fallback);
            self.channel.protocol = self.fallback.protocol();
        }
    }

    /// Whether the broker has not answered CONNECT, or has refused it for good.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        match self.state {
            State::Connecting { .. } | State::Closing { was_connected: false, .. } => true,
            State::Closed | State::Connected | State::Closing { .. } => false,
        }
    }

    /// Whether there is no stream, nor is one expected to be there.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether nothing is owed to the broker: no publication waits or is under way.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether nothing has to be remembered of what the broker has sent.
    #[must_use]
    pub fn is_forgetful(&self) -> bool {
        self.incoming.len() == 0
    }

    /// The byte stream to the broker is open: queues CONNECT.
    pub fn open(&mut self, now: Time) {
        debug_assert!(self.state == State::Closed, "closed() comes between two connections");
        if self.state != State::Closed {
            self.closed(now, &mut |_| {});
        }
        self.channel.output.clear();
        self.skip = 0;
        self.peer_closed = false;
        self.doubtful |= std::mem::replace(&mut self.unanswered, true);
        self.channel.protocol = self.fallback.protocol();
        // A session that begins clean ends with its connection in 3.1.1, and some brokers do not
        // keep it over a restart of theirs in 5 (mosquitto 2.0). So one connection discards the old
        // session and the next one begins the new.
        let wipe = !self.started;
        match self.channel.protocol {
            Protocol::V4 => wire_v4::put_connect(&mut self.channel.output, &self.settings, wipe),
            Protocol::V5 => wire_v5::put_connect(&mut self.channel.output, &self.settings, wipe),
        }
        self.state = State::Connecting { since: now, wipe };
    }

    /// Takes what the broker sent, whole packets only; the rest stays in `input`.
    ///
    /// # Errors
    ///
    /// The connection is over: the caller writes what [`Self::output`] holds if it can, closes the
    /// stream and calls [`Self::closed`]. `input` is to be thrown away.
    pub fn handle_input(
        &mut self,
        now: Time,
        input: &mut BytesMut,
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        if !input.is_empty() {
            self.keep_alive.received(now);
        }
        let before = self.channel.output.len();
        let (used, result) = self.packets(now, input, events);
        input.advance(used.min(input.len()));
        if self.channel.output.len() > before {
            self.keep_alive.sent(now);
        }
        self.gauge();
        result.inspect_err(|error| self.fail(error))
    }

    /// The broker closed the stream: end of file, or reset by peer. To be called before
    /// [`Self::closed`] where that is known. A publication that makes a broker hang up again and
    /// again is then refused; a network that fails is no reason.
    pub fn peer_closed(&mut self) {
        self.peer_closed = true;
    }

    /// The stream is gone, whoever closed it, or it could not be opened.
    pub fn closed(&mut self, _now: Time, events: Events<'_>) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let peer_closed = std::mem::take(&mut self.peer_closed) && state == State::Connected;
        self.channel.output = BytesMut::new();
        self.skip = 0;
        match state {
            State::Closed | State::Closing { was_connected: false, .. } => {}
            State::Connecting { .. } => self.fallback.no_connack(),
            State::Connected | State::Closing { was_connected: true, .. } => {
                let hung_up = peer_closed || matches!(state, State::Closing { hung_up: true, .. });
                self.fallback.connection_lost();
                self.channel.stats.disconnects += 1;
                self.channel.ids.forget_subscriptions();
                self.subscribing = 0;
                self.notes.connection_lost();
                let (ids, stats, notes) =
                    (&mut self.channel.ids, &mut self.channel.stats, &mut self.notes);
                self.outgoing.connection_lost(hung_up, ids, stats, notes, events);
                self.incoming.connection_lost();
                events(UpstreamEvent::Disconnected);
            }
        }
        self.gauge();
    }

    /// Does what is due at `now`: PINGREQ, or the end of a connection whose peer is silent. May be
    /// called early, late or for nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::handle_input`].
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), ConnectionError> {
        let result = match self.state {
            State::Connecting { since, .. }
                if since.after(self.settings.connect_timeout) <= now =>
            {
                Err(ConnectionError::ConnackTimeout(self.settings.connect_timeout))
            }
            State::Connected => match self.keep_alive.due(now) {
                Due::Nothing => Ok(()),
                Due::Ping => {
                    self.ping(now);
                    Ok(())
                }
                Due::GiveUp => Err(ConnectionError::KeepAliveTimeout(self.keep_alive.tolerance())),
            },
            _ => Ok(()),
        };
        if let (Err(_), State::Connected) = (&result, self.state) {
            self.state = State::Closing { was_connected: true, hung_up: false };
        }
        result
    }

    /// Sends again what the broker had no room for, when its time has come. To be called with
    /// [`Self::handle_timeout`].
    pub fn try_again(&mut self, now: Time, events: Events<'_>) {
        if self.is_connected() && self.outgoing.again_at.is_some_and(|at| at <= now) {
            self.pump(now, events);
            self.gauge();
        }
    }

    /// When [`Self::handle_timeout`] has something to do; `None` if never. Changes with every call
    /// that takes `now`.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        match self.state {
            State::Connecting { since, .. } => Some(since.after(self.settings.connect_timeout)),
            State::Connected => {
                self.keep_alive.next().into_iter().chain(self.outgoing.again_at).min()
            }
            State::Closed | State::Closing { .. } => None,
        }
    }

    /// Publishes. At QoS 1 and 2 `Ok` means that exactly one `Published` with this token will
    /// follow, however many connections that takes. At QoS 0 nothing follows.
    ///
    /// # Errors
    ///
    /// - [`Refusal::Congestion`]: window and queue are full; at QoS 0 there is no connection or the
    ///   broker does not read.
    /// - [`Refusal::NotSupported`]: not a topic name, or the broker takes no packet of this size,
    ///   QoS or with retain.
    pub fn publish(
        &mut self,
        now: Time,
        token: Token,
        topic: &str,
        payload: &[u8],
        qos: MqttQos,
        retain: bool,
    ) -> Result<(), Refusal> {
        let (origin, keep, properties) = (u32::MAX, false, &[][..]);
        let publication =
            Publication { token, topic, payload, qos, retain, origin, keep, properties };
        self.take(now, publication).map(|_| ())
    }

    /// As [`Self::publish`], where it may go into the spool.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`]; [`Refusal::Congestion`] also if the spool is full.
    pub fn take(&mut self, now: Time, publication: Publication<'_>) -> Result<Taken, Refusal> {
        let result = self.try_publish(now, publication);
        match result {
            Ok(_) => {}
            Err(Refusal::Congestion) => self.channel.stats.refused_congestion += 1,
            Err(Refusal::NotSupported) => self.channel.stats.refused_not_supported += 1,
        }
        result
    }

    /// Subscribes to one filter. `Ok` means that one `Subscribed` with this token will follow,
    /// unless the connection is lost before.
    ///
    /// `id` is the MQTT 5 subscription identifier, 1..=268,435,455; it is left out, like
    /// `retained`, where the broker does not take it.
    ///
    /// # Errors
    ///
    /// - [`Refusal::Congestion`]: no connection, or too many requests without an answer.
    /// - [`Refusal::NotSupported`]: not a topic filter, or longer than the broker takes.
    pub fn subscribe(
        &mut self,
        now: Time,
        token: Token,
        filter: &str,
        qos: MqttQos,
        id: u32,
        retained: bool,
    ) -> Result<(), Refusal> {
        let packet_id = self.begin_subscribing(filter, Exchange::Subscribe(token))?;
        let output = &mut self.channel.output;
        match self.channel.protocol {
            Protocol::V4 => wire_v4::put_subscribe(output, packet_id, filter, qos),
            Protocol::V5 => {
                let id = (self.channel.limits.subscription_ids && (1..=0x0FFF_FFFF).contains(&id))
                    .then_some(id);
                wire_v5::put_subscribe(output, packet_id, filter, qos, id, retained);
            }
        }
        self.keep_alive.sent(now);
        Ok(())
    }

    /// Unsubscribes from one filter. `Ok` means that one `Unsubscribed` with this token will
    /// follow, unless the connection is lost before.
    ///
    /// # Errors
    ///
    /// As [`Self::subscribe`].
    pub fn unsubscribe(&mut self, now: Time, token: Token, filter: &str) -> Result<(), Refusal> {
        let packet_id = self.begin_subscribing(filter, Exchange::Unsubscribe(token))?;
        match self.channel.protocol {
            Protocol::V4 => wire_v4::put_unsubscribe(&mut self.channel.output, packet_id, filter),
            Protocol::V5 => wire_v5::put_unsubscribe(&mut self.channel.output, packet_id, filter),
        }
        self.keep_alive.sent(now);
        Ok(())
    }

    /// The message has reached whom it had to reach: sends PUBACK, or PUBREC at QoS 2. Without a
    /// connection it is remembered for the repetition that the broker will send. A delivery of a
    /// session that the broker has lost is ignored.
    ///
    /// `wait`: not before the records are written.
    pub fn acknowledge(&mut self, now: Time, delivery: DeliveryId, wait: bool) {
        let before = self.channel.output.len();
        let (protocol, output) = (self.channel.protocol, &mut self.channel.output);
        if !self.incoming.acknowledge(delivery, wait, protocol, output, &mut self.notes) {
            self.channel.stats.stale_acknowledgements += 1;
        }
        if self.channel.output.len() > before {
            self.keep_alive.sent(now);
        }
        self.channel.stats.incoming = self.incoming.len();
    }

    /// Queues a clean DISCONNECT: the broker drops the will. Nothing but writing the output,
    /// closing the stream and [`Self::closed`] should follow.
    pub fn disconnect(&mut self) {
        let was_connected = self.state == State::Connected;
        if was_connected {
            wire::put_disconnect(&mut self.channel.output, self.channel.protocol, 0);
        }
        if matches!(self.state, State::Connected | State::Connecting { .. }) {
            self.state = State::Closing { was_connected, hung_up: false };
        }
    }

    /// Octets for the broker. The caller writes them and advances the buffer by what was written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.channel.output
    }

    /// Whether the broker has accepted the connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// The version that is spoken, and whether the broker had kept the session; `None` unless it
    /// has accepted the connection.
    #[must_use]
    pub fn accepted(&self) -> Option<(Version, bool)> {
        let version = match self.channel.protocol {
            Protocol::V4 => Version::V311,
            Protocol::V5 => Version::V5,
        };
        self.is_connected().then_some((version, self.resumed))
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.channel.stats
    }

    /// From now on it is measured how long the broker takes to acknowledge publications.
    pub fn measure_round_trips(&mut self) {
        self.outgoing.trips = Some(Box::new(RoundTrips::new()));
    }

    /// Times between PUBLISH and PUBACK or PUBREC, milliseconds, of one publication at a time.
    #[must_use]
    pub fn round_trips(&self) -> Option<&Histogram> {
        self.outgoing.trips.as_deref().map(RoundTrips::seen)
    }

    fn try_publish(&mut self, now: Time, publication: Publication<'_>) -> Result<Taken, Refusal> {
        let Publication { topic, payload, qos, retain, properties, .. } = publication;
        if !wire::is_topic_name(topic) {
            return Err(Refusal::NotSupported);
        }
        // Without a connection by what the broker said last; checked again when it is sent.
        let rest = payload.len() + properties.len();
        self.channel.limits.check_publish(self.channel.protocol, qos, retain, topic.len(), rest)?;
        let connected = self.is_connected();
        let mut taken = Taken::Under;
        let keeps_zero = self.settings.spool.is_some_and(|spool| spool.qos0);
        if qos == MqttQos::Zero && (connected || !keeps_zero) {
            if !connected || self.channel.output.len() > MAX_WAITING {
                return Err(Refusal::Congestion);
            }
            let topic = topic.as_bytes();
            let mut wire = self.channel.wire(now);
            let alias = wire.alias(topic, rest);
            let publish = wire::Outgoing {
                dup: false,
                qos,
                retain,
                id: 0,
                topic,
                payload,
                alias,
                properties,
            };
            wire::put_publish(wire.output, wire.protocol, publish);
            self.channel.stats.published += 1;
        } else {
            let mut wire = self.channel.wire(now);
            let wire = connected.then_some(&mut wire);
            taken = self.outgoing.publish(publication, wire, now, &mut self.notes)?;
            self.outgoing.gauge(&mut self.channel.stats);
        }
        if connected {
            self.keep_alive.sent(now);
        }
        Ok(taken)
    }

    fn begin_subscribing(&mut self, filter: &str, exchange: Exchange) -> Result<u16, Refusal> {
        // A broker may close the connection over a filter that is none.
        let fits = filter.len() <= usize::from(u16::MAX)
            && filter.len().saturating_add(32) <= self.channel.limits.packet
            && !filter.contains('\0')
            && rumqttc::mqttbytes::valid_filter(filter);
        if !fits {
            return Err(Refusal::NotSupported);
        }
        if !self.is_connected()
            || self.subscribing >= MAX_SUBSCRIBING
            || self.channel.output.len() > MAX_WAITING
        {
            return Err(Refusal::Congestion);
        }
        let id = self.channel.ids.allocate(exchange).ok_or(Refusal::Congestion)?;
        self.subscribing += 1;
        self.channel.stats.subscribing = self.subscribing;
        Ok(id)
    }

    fn ping(&mut self, now: Time) {
        wire::put_pingreq(&mut self.channel.output);
        self.channel.stats.pings += 1;
        self.keep_alive.pinged(now);
        self.trim();
    }

    /// The connection is over by our judgement. MQTT 5 tells the broker why.
    fn fail(&mut self, error: &ConnectionError) {
        let was_connected = match self.state {
            State::Connected => true,
            // `closed` will take it for a connection without a CONNACK, and so it is.
            State::Connecting { .. } | State::Closed => return,
            State::Closing { was_connected, .. } => was_connected,
        };
        let reason = match error {
            ConnectionError::Protocol(_) => Some(reasons::MALFORMED),
            ConnectionError::PacketTooLarge { .. } => Some(reasons::PACKET_TOO_LARGE),
            ConnectionError::ReceiveMaximumExceeded(_) => Some(reasons::RECEIVE_MAXIMUM_EXCEEDED),
            _ => None,
        };
        if let (Some(reason), true) = (reason, was_connected) {
            self.channel.stats.protocol_errors += 1;
            wire::put_disconnect(&mut self.channel.output, self.channel.protocol, reason);
        }
        let hung_up = matches!(error, ConnectionError::Disconnected { .. });
        self.state = State::Closing { was_connected, hung_up };
    }

    fn gauge(&mut self) {
        self.outgoing.gauge(&mut self.channel.stats);
        self.channel.stats.incoming = self.incoming.len();
        self.channel.stats.subscribing = self.subscribing;
        self.channel.stats.packet_ids = self.channel.ids.len();
    }

    /// Gives memory back; called when the connection was idle.
    fn trim(&mut self) {
        if self.channel.output.len() <= 2 && self.channel.output.capacity() > KEEP_CAPACITY {
            self.channel.output = BytesMut::from(&self.channel.output[..]);
        }
        self.subscription_ids = Vec::new();
        self.outgoing.trim();
        self.incoming.trim();
        self.channel.ids.trim();
    }
}
