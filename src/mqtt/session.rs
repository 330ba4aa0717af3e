//! The connection as a whole: CONNECT and CONNACK, requests in, packets in, time.

mod packets;

use bytes::{Buf, BytesMut};

use super::error::ConnectionError;
use super::fallback::Fallback;
use super::incoming::Incoming;
use super::keep_alive::{Due, KeepAlive};
use super::limits::Limits;
use super::outgoing::{Bounds, Outgoing, Publication, Wire};
use super::packet_ids::{Exchange, PacketIds};
use super::settings::{Settings, Version};
use super::stats::Stats;
use super::wire::{self, Protocol};
use super::{backoff, reasons, wire_v4, wire_v5};
use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::time::Time;

/// With more octets than this waiting for the broker, QoS 0 publications and subscriptions are
/// refused.
const MAX_WAITING: usize = 1024 * 1024;
/// Most SUBSCRIBE and UNSUBSCRIBE without an answer: half of all packet ids.
const MAX_SUBSCRIBING: usize = 32_768;
/// Buffers larger than this are given back when they are empty.
const KEEP_CAPACITY: usize = 16 * 1024;

/// Our side of one MQTT connection, and of the session that outlives it. See the module for how to
/// drive it.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    fallback: Fallback,
    protocol: Protocol,
    state: State,
    /// The clean start that the settings ask for is behind us.
    started: bool,
    /// The broker kept the session over from the connection before.
    resumed: bool,
    limits: Limits,
    output: BytesMut,
    keep_alive: KeepAlive,
    ids: PacketIds,
    subscribing: usize,
    outgoing: Outgoing,
    incoming: Incoming,
    peer_closed: bool,
    /// Octets of an oversized message that are still to be thrown away.
    skip: usize,
    subscription_ids: Vec<u32>,
    stats: Stats,
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
            protocol: fallback.protocol(),
            state: State::Closed,
            started: !settings.clean_start,
            resumed: false,
            limits: Limits::default(),
            output: BytesMut::new(),
            keep_alive: KeepAlive::new(settings.keep_alive, Time(0)),
            ids: PacketIds::new((backoff::mix(&mut seed) & 0xFFFF) as u16),
            subscribing: 0,
            outgoing: Outgoing::new(bounds),
            incoming: Incoming::new(settings.acknowledge_in_order),
            peer_closed: false,
            skip: 0,
            subscription_ids: Vec::new(),
            stats: Stats::default(),
            settings,
        }
    }

    /// The byte stream to the broker is open: queues CONNECT.
    pub fn open(&mut self, now: Time) {
        self.output.clear();
        self.skip = 0;
        self.peer_closed = false;
        self.protocol = self.fallback.protocol();
        // A session that begins clean ends with its connection in 3.1.1, and some brokers do not
        // keep it over a restart of theirs in 5 (mosquitto 2.0). So one connection discards the old
        // session and the next one begins the new.
        let wipe = !self.started;
        match self.protocol {
            Protocol::V4 => wire_v4::put_connect(&mut self.output, &self.settings, wipe),
            Protocol::V5 => wire_v5::put_connect(&mut self.output, &self.settings, wipe),
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
        let before = self.output.len();
        let (used, result) = self.packets(now, input, events);
        input.advance(used.min(input.len()));
        if self.output.len() > before {
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
        self.output = BytesMut::new();
        self.skip = 0;
        match state {
            State::Closed | State::Closing { was_connected: false, .. } => {}
            State::Connecting { .. } => self.fallback.no_connack(),
            State::Connected | State::Closing { was_connected: true, .. } => {
                let hung_up = peer_closed || matches!(state, State::Closing { hung_up: true, .. });
                self.fallback.connection_lost();
                self.stats.disconnects += 1;
                self.ids.forget_subscriptions();
                self.subscribing = 0;
                self.outgoing.connection_lost(hung_up, &mut self.ids, &mut self.stats, events);
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

    /// When [`Self::handle_timeout`] has something to do; `None` if never. Changes with every call
    /// that takes `now`.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        match self.state {
            State::Connecting { since, .. } => Some(since.after(self.settings.connect_timeout)),
            State::Connected => self.keep_alive.next(),
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
        let result = self.try_publish(now, Publication { token, topic, payload, qos, retain });
        match result {
            Ok(()) => {}
            Err(Refusal::Congestion) => self.stats.refused_congestion += 1,
            Err(Refusal::NotSupported) => self.stats.refused_not_supported += 1,
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
        let output = &mut self.output;
        match self.protocol {
            Protocol::V4 => wire_v4::put_subscribe(output, packet_id, filter, qos),
            Protocol::V5 => {
                let id =
                    (self.limits.subscription_ids && (1..=0x0FFF_FFFF).contains(&id)).then_some(id);
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
        match self.protocol {
            Protocol::V4 => wire_v4::put_unsubscribe(&mut self.output, packet_id, filter),
            Protocol::V5 => wire_v5::put_unsubscribe(&mut self.output, packet_id, filter),
        }
        self.keep_alive.sent(now);
        Ok(())
    }

    /// The message has reached whom it had to reach: sends PUBACK, or PUBREC at QoS 2. Without a
    /// connection it is remembered for the repetition that the broker will send. A delivery of a
    /// session that the broker has lost is ignored.
    pub fn acknowledge(&mut self, now: Time, delivery: DeliveryId) {
        let before = self.output.len();
        if !self.incoming.acknowledge(delivery, self.protocol, &mut self.output) {
            self.stats.stale_acknowledgements += 1;
        }
        if self.output.len() > before {
            self.keep_alive.sent(now);
        }
        self.stats.incoming = self.incoming.len();
    }

    /// Queues a clean DISCONNECT: the broker drops the will. Nothing but writing the output,
    /// closing the stream and [`Self::closed`] should follow.
    pub fn disconnect(&mut self) {
        let was_connected = self.state == State::Connected;
        if was_connected {
            wire::put_disconnect(&mut self.output, self.protocol, 0);
        }
        if self.state != State::Closed {
            self.state = State::Closing { was_connected, hung_up: false };
        }
    }

    /// Octets for the broker. The caller writes them and advances the buffer by what was written.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
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
        let version = match self.protocol {
            Protocol::V4 => Version::V311,
            Protocol::V5 => Version::V5,
        };
        self.is_connected().then_some((version, self.resumed))
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn try_publish(&mut self, now: Time, publication: Publication<'_>) -> Result<(), Refusal> {
        let Publication { topic, payload, qos, retain, .. } = publication;
        if !wire::is_topic_name(topic) {
            return Err(Refusal::NotSupported);
        }
        // Without a connection by what the broker said last; checked again when it is sent.
        self.limits.check_publish(self.protocol, qos, retain, topic.len(), payload.len())?;
        let connected = self.is_connected();
        if qos == MqttQos::Zero {
            if !connected || self.output.len() > MAX_WAITING {
                return Err(Refusal::Congestion);
            }
            let topic = topic.as_bytes();
            let publish = wire::Outgoing { dup: false, qos, retain, id: 0, topic, payload };
            wire::put_publish(&mut self.output, self.protocol, publish);
            self.stats.published += 1;
        } else {
            let mut wire = Wire {
                output: &mut self.output,
                protocol: self.protocol,
                limits: &self.limits,
                ids: &mut self.ids,
                stats: &mut self.stats,
            };
            self.outgoing.publish(publication, connected.then_some(&mut wire))?;
            self.outgoing.gauge(&mut self.stats);
        }
        if connected {
            self.keep_alive.sent(now);
        }
        Ok(())
    }

    fn begin_subscribing(&mut self, filter: &str, exchange: Exchange) -> Result<u16, Refusal> {
        // A broker may close the connection over a filter that is none.
        let fits = filter.len() <= usize::from(u16::MAX)
            && filter.len().saturating_add(32) <= self.limits.packet
            && !filter.contains('\0')
            && rumqttc::mqttbytes::valid_filter(filter);
        if !fits {
            return Err(Refusal::NotSupported);
        }
        if !self.is_connected()
            || self.subscribing >= MAX_SUBSCRIBING
            || self.output.len() > MAX_WAITING
        {
            return Err(Refusal::Congestion);
        }
        let id = self.ids.allocate(exchange).ok_or(Refusal::Congestion)?;
        self.subscribing += 1;
        self.stats.subscribing = self.subscribing;
        Ok(id)
    }

<<<<<<< HEAD
    /// Works through whole packets; returns how many octets are done with.
    fn packets(
        &mut self,
        now: Time,
        input: &[u8],
        events: Events<'_>,
    ) -> (usize, Result<(), ConnectionError>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if self.skip > 0 && !rest.is_empty() {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                used += skipped;
                continue;
            }
            match self.packet(now, rest, events) {
                Ok(0) => return (used, Ok(())),
                Ok(length) => used += length,
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// Works on the packet at the front of `input`; returns its length, 0 if it is not all there.
    fn packet(
        &mut self,
        now: Time,
        input: &[u8],
        events: Events<'_>,
    ) -> Result<usize, ConnectionError> {
        if matches!(self.state, State::Closed | State::Closing { .. }) {
            return Ok(input.len());
        }
        let Some(header) = wire::header(input)? else { return Ok(0) };
        // Before the packet is complete: whatever is no MQTT would keep us waiting for its end.
        self.check_first_octet(header)?;
        let limit = self.settings.max_packet_in as usize;
        if header.length() > limit {
            return self.oversized(header, input);
        }
        let Some(body) = input.get(header.header..header.length()) else { return Ok(0) };
        let waiting = self.output.len();
        if waiting > self.settings.max_queued_bytes.saturating_add(4 * MAX_WAITING) {
            return Err(ConnectionError::Stalled(waiting));
        }
        match self.state {
            State::Connecting { wipe, .. } => self.first_packet(now, body, wipe, events)?,
            State::Connected => self.next_packet(header, body, events)?,
            State::Closed | State::Closing { .. } => {}
        }
        Ok(header.length())
    }

    /// Type and flags (MQTT 3.1.1 §2.2.2); nothing but CONNACK may come first.
    fn check_first_octet(&self, header: Header) -> Result<(), Malformed> {
        let connecting = matches!(self.state, State::Connecting { .. });
        let flags = match header.kind() {
            kind::CONNACK if !connecting => return Err(Malformed("a second CONNACK")),
            kind if connecting && kind != kind::CONNACK => {
                return Err(Malformed("its first packet is not a CONNACK"));
            }
            kind::PUBLISH => header.flags(),
            kind::PUBREL => 2,
            _ => 0,
        };
        if header.flags() == flags {
            Ok(())
        } else {
            Err(Malformed("a packet with the wrong flags"))
        }
    }

    /// CONNACK (MQTT 3.1.1 §3.2).
    fn first_packet(
        &mut self,
        now: Time,
        body: &[u8],
        wipe: bool,
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        let connack = replies::connack(self.protocol, body).map_err(|error| {
            // The broker has answered: a hang-up is not the reason for what comes next.
            self.state = State::Closing { was_connected: false };
            match error {
                ConnectionError::VersionRefused { version, .. } => {
                    ConnectionError::VersionRefused { version, fall_back: self.fallback.refused() }
                }
                other => other,
            }
        })?;
        if connack.session_present && !self.started {
            return Err(Malformed("a session is present although a new one was asked for").into());
        }
        self.started = true;
        if wipe {
            wire::put_disconnect(&mut self.output, self.protocol, 0);
            self.state = State::Closing { was_connected: false };
            return Err(ConnectionError::SessionDiscarded);
        }
        self.limits = connack.limits;
        let interval = self
            .limits
            .keep_alive
            .map(|seconds| std::time::Duration::from_secs(u64::from(seconds)));
        self.keep_alive = KeepAlive::new(interval.unwrap_or(self.settings.keep_alive), now);
        self.state = State::Connected;
        self.resumed = connack.session_present;
        self.stats.connects += 1;
        if !connack.session_present {
            self.stats.sessions_lost += 1;
            self.outgoing.session_lost(&mut self.ids, &mut self.stats);
            self.incoming.session_lost();
        }
        events(UpstreamEvent::Connected {
            session_present: connack.session_present,
            subscription_ids: self.limits.subscription_ids,
            maximum_qos: self.limits.qos,
        });
        self.pump(events);
        Ok(())
    }

    /// Any packet after CONNACK.
    fn next_packet(
        &mut self,
        header: Header,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        match header.kind() {
            kind::PUBLISH => self.publish_packet(header.first, body, events),
            kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => {
                let (id, reason) = wire::acknowledgement(self.protocol, body)?;
                self.acknowledgement_packet(header.kind(), id, reason, events);
                Ok(())
            }
            kind::SUBACK => self.suback_packet(body, events),
            kind::UNSUBACK => self.unsuback_packet(body, events),
            kind::PINGRESP if body.is_empty() => {
                self.keep_alive.answered();
                Ok(())
            }
            kind::DISCONNECT if self.protocol == Protocol::V5 => Err(replies::disconnect(body)),
            _ => Err(Malformed("a packet that a broker does not send").into()),
        }
    }

    fn publish_packet(
        &mut self,
        first: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        let publish = wire::publish(self.protocol, first, body, &mut self.subscription_ids)?;
        let mut delivery = None;
        if publish.qos != MqttQos::Zero {
            let maximum = (self.protocol == Protocol::V5).then_some(self.settings.receive_maximum);
            match self.incoming.publish(&publish, maximum, self.protocol, &mut self.output) {
                Verdict::Report(id) => delivery = Some(id),
                Verdict::Repetition => {
                    self.stats.duplicates_dropped += 1;
                    return Ok(());
                }
                Verdict::TooMany => {
                    let maximum = self.settings.receive_maximum;
                    return Err(ConnectionError::ReceiveMaximumExceeded(maximum));
                }
            }
        }
        self.stats.received += 1;
        events(UpstreamEvent::Message {
            delivery,
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            subscription_ids: &self.subscription_ids,
        });
        Ok(())
    }

    fn acknowledgement_packet(&mut self, kind: u8, id: u16, reason: u8, events: Events<'_>) {
        let outgoing = &mut self.outgoing;
        let fits = match kind {
            kind::PUBACK => outgoing.puback(id, reason, &mut self.ids, events),
            kind::PUBREC => {
                let mut wire = Wire {
                    output: &mut self.output,
                    protocol: self.protocol,
                    limits: &self.limits,
                    ids: &mut self.ids,
                    stats: &mut self.stats,
                };
                outgoing.pubrec(id, reason, &mut wire, events)
            }
            kind::PUBCOMP => outgoing.pubcomp(id, &mut self.ids, events),
            _ => self.incoming.pubrel(id, self.protocol, &mut self.output),
        };
        if !fits {
            self.stats.unexpected_acks += 1;
            return;
        }
        match kind {
            kind::PUBREL => return,
            kind::PUBREC if reason < reasons::FAILURE => return,
            kind::PUBCOMP => self.stats.acknowledged += 1,
            _ if reason < reasons::FAILURE => self.stats.acknowledged += 1,
            _ => self.stats.refused_by_broker += 1,
        }
        self.pump(events);
    }

    fn suback_packet(&mut self, body: &[u8], events: Events<'_>) -> Result<(), ConnectionError> {
        let (id, outcome) = replies::suback(self.protocol, body)?;
        match self.ids.get(id) {
            Some(Exchange::Subscribe(token)) => {
                self.subscribing_over(id);
                events(UpstreamEvent::Subscribed { token, outcome });
            }
            _ => self.stats.unexpected_acks += 1,
        }
        Ok(())
    }

    fn unsuback_packet(&mut self, body: &[u8], events: Events<'_>) -> Result<(), ConnectionError> {
        let id = replies::unsuback(self.protocol, body)?;
        match self.ids.get(id) {
            Some(Exchange::Unsubscribe(token)) => {
                self.subscribing_over(id);
                events(UpstreamEvent::Unsubscribed { token });
            }
            _ => self.stats.unexpected_acks += 1,
        }
        Ok(())
    }

    fn subscribing_over(&mut self, id: u16) {
        self.ids.release(id);
        self.subscribing = self.subscribing.saturating_sub(1);
        self.stats.subscribing = self.subscribing;
    }

    /// A packet longer than we take.
    ///
    /// An MQTT 5 broker knows the limit and is at fault. A 3.1.1 broker does not, and would send
    /// the message again after every reconnection, for ever. So it is thrown away as it comes,
    /// and acknowledged: no device could have taken it.
    fn oversized(&mut self, header: Header, input: &[u8]) -> Result<usize, ConnectionError> {
        let (length, limit) = (header.length(), self.settings.max_packet_in as usize);
        let is_message = header.kind() == kind::PUBLISH && self.state == State::Connected;
        if self.protocol == Protocol::V5 || !is_message {
            self.stats.oversized += 1;
            return Err(ConnectionError::PacketTooLarge { length, limit });
        }
        let body = input.get(header.header..).unwrap_or_default();
        let mut head = Reader(body.get(..header.remaining).unwrap_or(body));
        match wire::publish_head(header.first, &mut head) {
            Ok((qos, id, _)) => {
                self.stats.oversized += 1;
                if qos != MqttQos::Zero {
                    self.incoming.discard(id, qos, self.protocol, &mut self.output);
                }
                let used = length.min(input.len());
                self.skip = length.saturating_sub(used);
                Ok(used)
            }
            // Topic name and packet id are not all there: 64 KiB at most.
            Err(_) if body.len() < header.remaining.min(usize::from(u16::MAX) + 4) => Ok(0),
            Err(malformed) => Err(malformed.into()),
        }
    }

=======
>>>>>>> mqtt
    fn ping(&mut self, now: Time) {
        wire::put_pingreq(&mut self.output);
        self.stats.pings += 1;
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
            self.stats.protocol_errors += 1;
            wire::put_disconnect(&mut self.output, self.protocol, reason);
        }
        let hung_up = matches!(error, ConnectionError::Disconnected { .. });
        self.state = State::Closing { was_connected, hung_up };
    }

    fn gauge(&mut self) {
        self.outgoing.gauge(&mut self.stats);
        self.stats.incoming = self.incoming.len();
        self.stats.subscribing = self.subscribing;
        self.stats.packet_ids = self.ids.len();
    }

    /// Gives memory back; called when the connection was idle.
    fn trim(&mut self) {
        if self.output.len() <= 2 && self.output.capacity() > KEEP_CAPACITY {
            self.output = BytesMut::from(&self.output[..]);
        }
        self.subscription_ids = Vec::new();
        self.outgoing.trim();
        self.incoming.trim();
        self.ids.trim();
    }
}
