//! The packets that a broker sends.

use std::time::Duration;

use super::{Events, MAX_WAITING, Session, State};
use crate::core::upstream::{MqttQos, UpstreamEvent};
use crate::mqtt::error::{ConnectionError, printable};
use crate::mqtt::incoming::Verdict;
use crate::mqtt::keep_alive::KeepAlive;
use crate::mqtt::packet_ids::Exchange;
use crate::mqtt::wire::{self, Header, Malformed, Protocol, Reader, kind};
use crate::mqtt::{reasons, replies};
use crate::store::record::Record;
use crate::time::Time;

/// How far a broker may exceed our receive maximum, as a factor. Widespread ones (mosquitto 2.0.11)
/// keep to it only until the first acknowledgement and then send all they have. Hanging up stops
/// everybody's messages for seconds, and they come again all the same; a few thousand more packet
/// ids cost little.
const LENIENCE: u16 = 16;

impl Session {
    /// Works through whole packets; returns how many octets are done with.
    pub(super) fn packets(
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
        let waiting = self.channel.output.len();
        if waiting > self.settings.max_queued_bytes.saturating_add(4 * MAX_WAITING) {
            return Err(ConnectionError::Stalled(waiting));
        }
        match self.state {
            State::Connecting { wipe, .. } => self.first_packet(now, body, wipe, events)?,
            State::Connected => self.next_packet(now, header, body, events)?,
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
        let connack = replies::connack(self.channel.protocol, body).map_err(|error| {
            // The broker has answered: a hang-up is not the reason for what comes next.
            self.state = State::Closing { was_connected: false, hung_up: false };
            match error {
                ConnectionError::VersionRefused { version, .. } => {
                    ConnectionError::VersionRefused { version, fall_back: self.fallback.refused() }
                }
                other => other,
            }
        })?;
        if connack.session_present && (!self.started || self.settings.volatile) {
            return Err(Malformed("a session is present although a new one was asked for").into());
        }
        self.started = true;
        self.unanswered = false;
        if self.fallback.accepted() {
            self.notes.record(&Record::SpeaksFive);
        }
        if !std::mem::replace(&mut self.recorded, true) {
            self.notes.record(&Record::Session { client_id: &self.settings.client_id });
        }
        if wipe {
            wire::put_disconnect(&mut self.channel.output, self.channel.protocol, 0);
            self.state = State::Closing { was_connected: false, hung_up: false };
            return Err(ConnectionError::SessionDiscarded);
        }
        self.channel.limits = connack.limits;
        self.channel.aliases.reset(self.channel.limits.topic_aliases);
        let interval =
            self.channel.limits.keep_alive.map(|seconds| Duration::from_secs(u64::from(seconds)));
        self.keep_alive = KeepAlive::new(interval.unwrap_or(self.settings.keep_alive), now);
        self.state = State::Connected;
        self.resumed = connack.session_present;
        // A CONNECT whose CONNACK got lost may have begun the session that is present now: then it
        // is empty, and what was subscribed to is not in it. Publications are safe either way, they
        // are sent again with DUP.
        let doubtful = std::mem::take(&mut self.doubtful);
        self.channel.stats.connects += 1;
        if !connack.session_present {
            self.channel.stats.sessions_lost += 1;
            self.outgoing.session_lost(
                &mut self.channel.ids,
                &mut self.channel.stats,
                &mut self.notes,
            );
            self.incoming.session_lost(&mut self.notes);
        }
        events(UpstreamEvent::Connected {
            session_present: connack.session_present && !doubtful,
            subscription_ids: self.channel.limits.subscription_ids,
            maximum_qos: self.channel.limits.qos,
        });
        self.pump(now, events);
        Ok(())
    }

    /// Any packet after CONNACK.
    fn next_packet(
        &mut self,
        now: Time,
        header: Header,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        match header.kind() {
            kind::PUBLISH => self.publish_packet(header.first, body, events),
            kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => {
                let (id, reason, said) = wire::acknowledgement(self.channel.protocol, body)?;
                if reason >= reasons::FAILURE
                    && matches!(header.kind(), kind::PUBACK | kind::PUBREC)
                {
                    self.complain_publish(id, reason, said, events);
                }
                self.acknowledgement_packet(now, header.kind(), id, reason, events);
                Ok(())
            }
            kind::SUBACK => self.suback_packet(body, events),
            kind::UNSUBACK => self.unsuback_packet(body, events),
            kind::PINGRESP if body.is_empty() => {
                self.keep_alive.answered();
                Ok(())
            }
            kind::DISCONNECT if self.channel.protocol == Protocol::V5 => {
                Err(replies::disconnect(body))
            }
            _ => Err(Malformed("a packet that a broker does not send").into()),
        }
    }

    fn publish_packet(
        &mut self,
        first: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), ConnectionError> {
        let publish =
            wire::publish(self.channel.protocol, first, body, &mut self.subscription_ids)?;
        let mut delivery = None;
        if publish.qos != MqttQos::Zero {
            let maximum = self.settings.receive_maximum.saturating_mul(LENIENCE);
            let maximum = (self.channel.protocol == Protocol::V5).then_some(maximum);
            let (protocol, output, notes) =
                (self.channel.protocol, &mut self.channel.output, &mut self.notes);
            match self.incoming.publish(&publish, maximum, protocol, output, notes) {
                Verdict::Report(id) => delivery = Some(id),
                Verdict::Repetition => {
                    self.channel.stats.duplicates_dropped += 1;
                    return Ok(());
                }
                Verdict::TooMany => {
                    let maximum = self.settings.receive_maximum;
                    return Err(ConnectionError::ReceiveMaximumExceeded(maximum));
                }
            }
        }
        self.channel.stats.received += 1;
        events(UpstreamEvent::Message {
            delivery,
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expiry: publish.expiry,
            subscription_ids: &self.subscription_ids,
        });
        Ok(())
    }

    /// Tells what the broker said when it refused a publication.
    fn complain_publish(&self, id: u16, reason: u8, said: &str, events: Events<'_>) {
        let Some(Exchange::Publish(slot)) = self.channel.ids.get(id) else { return };
        if let Some(topic) = self.outgoing.topic_of(slot) {
            let (name, said) = (reasons::name(reason), &*printable(said));
            events(UpstreamEvent::Complaint {
                what: "PUBLISH",
                about: topic,
                code: reason,
                name,
                said,
            });
        }
    }

    fn acknowledgement_packet(
        &mut self,
        now: Time,
        kind: u8,
        id: u16,
        reason: u8,
        events: Events<'_>,
    ) {
        let (outgoing, notes) = (&mut self.outgoing, &mut self.notes);
        let fits = match kind {
            kind::PUBACK => outgoing.puback(id, reason, now, &mut self.channel.ids, notes, events),
            kind::PUBREC => {
                let mut wire = self.channel.wire(now);
                outgoing.pubrec(id, reason, &mut wire, notes, events)
            }
            kind::PUBCOMP => outgoing.pubcomp(id, &mut self.channel.ids, notes, events),
            _ => self.incoming.pubrel(id, self.channel.protocol, &mut self.channel.output, notes),
        };
        if !fits {
            self.channel.stats.unexpected_acks += 1;
            return;
        }
        if let (kind::PUBACK | kind::PUBREC, Some(trips)) = (kind, &mut self.outgoing.trips) {
            trips.answered(id, now);
        }
        match kind {
            kind::PUBREL => return,
            kind::PUBREC if reason < reasons::FAILURE => return,
            kind::PUBCOMP => self.channel.stats.acknowledged += 1,
            _ if reason < reasons::FAILURE => self.channel.stats.acknowledged += 1,
            _ => self.channel.stats.refused_by_broker += 1,
        }
        self.pump(now, events);
    }

    fn suback_packet(&mut self, body: &[u8], events: Events<'_>) -> Result<(), ConnectionError> {
        let (id, outcome) = replies::suback(self.channel.protocol, body)?;
        match self.channel.ids.get(id) {
            Some(Exchange::Subscribe(token)) => {
                self.subscribing_over(id);
                if outcome.is_err() && self.channel.protocol == Protocol::V5 {
                    let (code, said) = replies::suback_refusal(body);
                    let (name, said) = (reasons::name(code), &*printable(said));
                    let (what, about) = ("SUBSCRIBE", "");
                    events(UpstreamEvent::Complaint { what, about, code, name, said });
                }
                events(UpstreamEvent::Subscribed { token, outcome });
            }
            _ => self.channel.stats.unexpected_acks += 1,
        }
        Ok(())
    }

    fn unsuback_packet(&mut self, body: &[u8], events: Events<'_>) -> Result<(), ConnectionError> {
        let id = replies::unsuback(self.channel.protocol, body)?;
        match self.channel.ids.get(id) {
            Some(Exchange::Unsubscribe(token)) => {
                self.subscribing_over(id);
                events(UpstreamEvent::Unsubscribed { token });
            }
            _ => self.channel.stats.unexpected_acks += 1,
        }
        Ok(())
    }

    fn subscribing_over(&mut self, id: u16) {
        self.channel.ids.release(id);
        self.subscribing = self.subscribing.saturating_sub(1);
        self.channel.stats.subscribing = self.subscribing;
    }

    /// A packet longer than we take.
    ///
    /// An MQTT 5 broker knows the limit and is at fault. A 3.1.1 broker does not, and would send
    /// the message again after every reconnection, for ever. So it is thrown away as it comes,
    /// and acknowledged: no device could have taken it.
    fn oversized(&mut self, header: Header, input: &[u8]) -> Result<usize, ConnectionError> {
        let (length, limit) = (header.length(), self.settings.max_packet_in as usize);
        let is_message = header.kind() == kind::PUBLISH && self.state == State::Connected;
        if self.channel.protocol == Protocol::V5 || !is_message {
            self.channel.stats.oversized += 1;
            return Err(ConnectionError::PacketTooLarge { length, limit });
        }
        let body = input.get(header.header..).unwrap_or_default();
        let mut head = Reader(body.get(..header.remaining).unwrap_or(body));
        match wire::publish_head(header.first, &mut head) {
            Ok((qos, id, _)) => {
                self.channel.stats.oversized += 1;
                if qos != MqttQos::Zero {
                    let (protocol, output, notes) =
                        (self.channel.protocol, &mut self.channel.output, &mut self.notes);
                    self.incoming.discard(id, qos, protocol, output, notes);
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

    pub(super) fn pump(&mut self, now: Time, events: Events<'_>) {
        let mut wire = self.channel.wire(now);
        self.outgoing.pump(&mut wire, &mut self.notes, events);
    }
}
