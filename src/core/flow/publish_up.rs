//! PUBLISH from a client (MQTT-SN 1.2 §6.6, §6.8), on to the broker.
//!
//! ```text
//! QoS 1:  PUBLISH ──▶ broker PUBLISH … broker PUBACK  ──▶ PUBACK
//! QoS 2:  PUBLISH ──▶ broker PUBLISH … broker PUBREC  ──▶ PUBREC
//!         PUBREL  ──▶              … broker PUBCOMP ──▶ PUBCOMP
//! ```
//!
//! The device is acknowledged when the broker has acknowledged, never before. The broker's side of
//! the QoS 2 handshake goes on by itself after its PUBREC; the device's PUBCOMP waits for both its
//! own PUBREL and the broker's PUBCOMP.

use alloc::string::String;
use core::hash::BuildHasher;
use core::time::Duration;

use crate::codec::{Message, Publish, PublishTopic, Qos, ReturnCode};
use crate::core::client::{Client, Inbound, Publication, REPETITION};
use crate::core::effects::Effect;
use crate::core::flow::About;
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::hashing::stable_hash;
use crate::core::judging::Objection;
use crate::core::names;
use crate::core::policy::NO_RULE;
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::core::stats::{Drop, Limit};
use crate::core::tight;
use crate::core::upstream::{LineId, MqttQos, Refusal, Token};
use crate::store::record::Record;

/// The same for a finished QoS 1 publication without DUP: twice T_retry (§7.2). At QoS 1 it is better
/// to forward a repetition than to lose a message.
const UNMARKED_REPETITION: Duration = Duration::from_secs(30);
/// Repetitions without DUP of a finished publication: no more than N_retry (§7.2) can be real.
const MAX_UNMARKED: u8 = 5;
/// Finished publications remembered per client.
const MAX_REMEMBERED: usize = 16;
/// Unfinished publications per client; the protocol allows one, some stacks send five.
const MAX_OPEN: usize = 32;

/// Return code for a refusal of the broker.
pub(crate) fn code_of(refusal: Refusal) -> ReturnCode {
    match refusal {
        Refusal::Congestion => ReturnCode::CONGESTION,
        Refusal::NotSupported => ReturnCode::NOT_SUPPORTED,
    }
}

/// The topic field as PUBACK returns it.
fn topic_field(topic: PublishTopic) -> u16 {
    match topic {
        PublishTopic::Normal(id) | PublishTopic::Predefined(id) | PublishTopic::Reserved(id) => id,
        PublishTopic::Short(name) => u16::from_be_bytes(name),
    }
}

/// Why a publication is not taken.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// With this code.
    With(ReturnCode),
    /// The client's rule is against it.
    By(Objection),
}

/// What became of a message id that was seen before.
enum Seen {
    /// Never, or what was seen says nothing about this one.
    New,
    /// The broker has not answered this request yet: neither do we.
    Swallow(Option<Handle>),
    /// Answer as before.
    Again(Inbound),
}

impl Gateway {
    /// Highest QoS that the broker takes, or took when it was there last.
    pub(crate) fn broker_qos(&self, line: LineId) -> MqttQos {
        self.lines.at(line).broker.maximum_qos
    }

    /// QoS −1 (§6.8): no session, no answer, QoS 0 at the broker. From the address of a client it is
    /// that client's; from elsewhere nobody's, and only who is allowed without a rule may be nobody.
    pub(crate) fn publish_unconnected(
        &mut self,
        cx: &mut Cx<'_>,
        bound: Option<Handle>,
        publish: &Publish<'_>,
    ) {
        let legal = matches!(publish.topic, PublishTopic::Predefined(_) | PublishTopic::Short(_));
        let known = bound.is_some() || !self.settings.deny_by_default;
        if !legal || !known || !self.settings.unauthenticated_publish {
            return self.drop_packet(Drop::Unauthenticated);
        }
        match (self.forward(cx, bound, publish, MqttQos::Zero, Token(0)), bound) {
            (Ok(()), _) => {}
            (Err(Refused::By(objection)), Some(handle)) => {
                self.tell_publish_denied(cx, handle, publish, objection);
            }
            (Err(_), _) => self.drop_packet(Drop::Unauthenticated),
        }
    }

    pub(crate) fn on_publish(&mut self, cx: &mut Cx<'_>, handle: Handle, publish: &Publish<'_>) {
        let qos = match publish.qos {
            // QoS −1 never gets here.
            Qos::Zero | Qos::MinusOne => {
                if let Err(refused) =
                    self.forward(cx, Some(handle), publish, MqttQos::Zero, Token(0))
                {
                    self.refuse_publish(cx, handle, publish, refused);
                }
                return;
            }
            Qos::One => MqttQos::One,
            Qos::Two => MqttQos::Two,
        };
        if publish.msg_id == 0 {
            return self.drop_packet(Drop::NoMessageId);
        }
        let hash = self.fingerprint(publish);
        match self.seen(cx, handle, publish, hash) {
            Seen::Swallow(request) => {
                self.stats.duplicates += 1;
                // The broker is slow, or gone without a word: the client shall not wait for it.
                if let Some(request) = request.filter(|_| self.settings.durable && !self.failing) {
                    let (line, token) = (self.line_of(handle), Token(request.to_bits()));
                    cx.fx.push(Effect::Keep { line, token });
                }
            }
            Seen::Again(stage) => {
                self.stats.duplicates += 1;
                self.answer_publish(cx, handle, publish, stage);
            }
            Seen::New => self.take(cx, handle, publish, qos, hash),
        }
    }

    /// A new QoS 1 or 2 publication.
    fn take(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        publish: &Publish<'_>,
        qos: MqttQos,
        hash: u64,
    ) {
        // Exactly once is more than can be had of a disk that does not work.
        if self.failing && qos == MqttQos::Two {
            self.limit_reached(cx, Some(handle), Limit::Store);
            let refused = Refused::With(ReturnCode::CONGESTION);
            return self.refuse_publish(cx, handle, publish, refused);
        }
        if !self.may_open(cx, handle) {
            self.limit_reached(cx, Some(handle), Limit::InFlight);
            let refused = Refused::With(ReturnCode::CONGESTION);
            return self.refuse_publish(cx, handle, publish, refused);
        }
        let msg_id = publish.msg_id;
        let request = self.requests.insert(Request::Publish { client: handle, msg_id });
        let token = Token(request.to_bits());
        let upstream = qos.min(self.broker_qos(self.line_of(handle)));
        if let Err(refused) = self.forward(cx, Some(handle), publish, upstream, token) {
            self.requests.remove(request);
            return self.refuse_publish(cx, handle, publish, refused);
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        let publication = Publication {
            msg_id,
            topic: publish.topic,
            qos,
            stage: Inbound::Pending,
            hash,
            request: Some(request),
            unmarked: 0,
            muted: false,
            // At a lower QoS the message is the device's alone until the broker has it.
            recorded: upstream == MqttQos::Two,
            at: cx.now,
        };
        tight::push(&mut client.busy.publications, publication);
        if publication.recorded {
            self.note_publication(cx, handle.slot, &publication);
        }
    }

    /// Whether the client may have one more open publication. A handshake that it let go of long ago
    /// (it restarted, say) gives way; the broker has the message.
    fn may_open(&mut self, cx: &mut Cx<'_>, handle: Handle) -> bool {
        let now = cx.now;
        let Some(client) = self.clients.get_mut(handle) else { return false };
        let open = client.busy.publications.iter().filter(|p| !matches!(p.stage, Inbound::Done(_)));
        if open.count() < MAX_OPEN {
            return true;
        }
        let abandoned = client.busy.publications.iter().position(|p| {
            matches!(p.stage, Inbound::Received { completed: true, .. })
                && now.since(p.at) >= REPETITION
        });
        abandoned.map(|position| self.remove_publication(cx, handle, position)).is_some()
    }

    /// Resolves the topic and hands the message to the broker.
    fn forward(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Option<Handle>,
        publish: &Publish<'_>,
        qos: MqttQos,
        token: Token,
    ) -> Result<(), Refused> {
        let client = handle.and_then(|handle| self.clients.get(handle));
        let name = self.name_of(client, &publish.topic).map_err(Refused::With)?;
        let policy = self.policies.get(client.map_or(NO_RULE, |client| client.rule));
        let id = client.map_or("", |client| &client.id);
        let said = MqttQos::from_sn(publish.qos).unwrap_or(MqttQos::Zero);
        if let Some(objection) = policy.against_publishing(id, name, said) {
            return Err(Refused::By(objection));
        }
        let topic = cx.fx.store_prefixed(&policy.prefix, id, name);
        // A device gets ids of topics that it may only read.
        if self.is_own_topic(cx.fx.bytes(topic)) {
            return Err(Refused::With(ReturnCode::NOT_SUPPORTED));
        }
        let payload = cx.fx.store(publish.data);
        let origin = handle.map_or(u32::MAX, |handle| handle.slot);
        let line = handle.map_or(LineId::MAIN, |handle| self.line_of(handle));
        let (retain, keep, rssi) = (publish.retain, false, cx.signal.rssi);
        let it = Effect::Publish { line, token, qos, retain, topic, payload, origin, keep, rssi };
        cx.fx.push(it);
        Ok(())
    }

    /// The name of the topic of a PUBLISH.
    fn name_of<'a>(
        &'a self,
        client: Option<&Client>,
        topic: &'a PublishTopic,
    ) -> Result<&'a str, ReturnCode> {
        let known = match topic {
            PublishTopic::Normal(id) => client
                .and_then(|client| client.topics.get(self.position_of(&client.topics, *id)?))
                .map(|entry| entry.topic),
            PublishTopic::Predefined(id) => match client {
                Some(client) => self.predefined_topic(client, *id),
                None => self.predefined.topic(self.predefined.of_rule(NO_RULE), *id),
            },
            PublishTopic::Short(name) => {
                return names::topic_name(name).ok_or(ReturnCode::NOT_SUPPORTED);
            }
            PublishTopic::Reserved(_) => return Err(ReturnCode::NOT_SUPPORTED),
        };
        known.map(|topic| self.topics.name(topic)).ok_or(ReturnCode::INVALID_TOPIC_ID)
    }

    /// Counts and tells that a rule is in the way of a publication.
    fn tell_publish_denied(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        publish: &Publish<'_>,
        objection: Objection,
    ) {
        let name = self.name_of(self.clients.get(handle), &publish.topic).unwrap_or("");
        let name = String::from(name);
        self.tell_denial(cx, handle, "PUBLISH", &name, objection);
    }

    /// Errors are reported by PUBACK whatever the QoS (§6.6).
    fn refuse_publish(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        publish: &Publish<'_>,
        refused: Refused,
    ) {
        let (topic_id, msg_id) = (topic_field(publish.topic), publish.msg_id);
        let code = match refused {
            Refused::With(code) => code,
            Refused::By(objection) => {
                self.tell_publish_denied(cx, handle, publish, objection);
                let code = ReturnCode::NOT_SUPPORTED;
                return self.send(cx, handle, &Message::PubAck { topic_id, msg_id, code });
            }
        };
        let why = match code {
            ReturnCode::CONGESTION if self.failing => "the state directory cannot be written to",
            ReturnCode::CONGESTION => "too many publications in flight",
            ReturnCode::INVALID_TOPIC_ID => "the topic id is not registered",
            _ => "the topic cannot be published to",
        };
        let topic = publish.topic;
        self.tell_refusal(cx, handle, "PUBLISH", About::Topic(topic), code, why);
        self.send(cx, handle, &Message::PubAck { topic_id, msg_id, code });
    }

    /// Of everything but DUP.
    fn fingerprint(&self, publish: &Publish<'_>) -> u64 {
        if publish.qos == Qos::Two {
            // This one is written down.
            let kind = match publish.topic {
                PublishTopic::Normal(_) => 0,
                PublishTopic::Predefined(_) => 1,
                PublishTopic::Short(_) => 2,
                PublishTopic::Reserved(_) => 3,
            };
            let head = [kind, u8::from(publish.retain)];
            return stable_hash(&[&head, &topic_field(publish.topic).to_be_bytes(), publish.data]);
        }
        self.hasher.hash_one((publish.topic, publish.qos, publish.retain, publish.data))
    }

    fn seen(&mut self, cx: &mut Cx<'_>, handle: Handle, publish: &Publish<'_>, hash: u64) -> Seen {
        let now = cx.now;
        let Some(client) = self.clients.get_mut(handle) else { return Seen::New };
        let Some(position) =
            client.busy.publications.iter().position(|known| known.msg_id == publish.msg_id)
        else {
            return Seen::New;
        };
        let Some(known) = client.busy.publications.get_mut(position) else { return Seen::New };
        let same = known.hash == hash;
        let age = now.since(known.at);
        // A device that uses one id for everything repeats itself only where it says so.
        let unmarked = !client.reuses_ids && known.unmarked < MAX_UNMARKED;
        let again = match known.stage {
            // Unreleased at QoS 2, or not answered: other content is another message, of a device
            // that has begun anew.
            Inbound::Pending | Inbound::Received { .. } => same,
            Inbound::Done(_) if publish.dup || known.qos == MqttQos::Two => {
                same && age < REPETITION && (publish.dup || unmarked)
            }
            Inbound::Done(_) => same && age < UNMARKED_REPETITION && unmarked,
        };
        if again {
            known.at = now;
            known.muted = false;
            if matches!(known.stage, Inbound::Done(_)) && !publish.dup {
                known.unmarked = known.unmarked.saturating_add(1);
            }
            return match known.stage {
                Inbound::Pending => Seen::Swallow(known.request),
                stage => Seen::Again(stage),
            };
        }
        // Another message under a known id. What was open goes on at the broker, unanswered: the
        // device has let go of it.
        let stale = known.unmarked >= MAX_UNMARKED;
        // What is left from before the last CONNECT says nothing: ids begin anew with it.
        if known.at >= client.connected_at && !publish.dup && (!same || stale) {
            client.reuses_ids = true;
        }
        self.remove_publication(cx, handle, position);
        Seen::New
    }

    /// Forgets a publication.
    fn remove_publication(&mut self, cx: &mut Cx<'_>, handle: Handle, position: usize) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let removed = client.busy.publications.remove(position);
        if removed.qos == MqttQos::Two {
            let (slot, msg_id) = (handle.slot, removed.msg_id);
            self.note(cx, &Record::PublicationOver { slot, msg_id });
        }
    }

    fn answer_publish(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        publish: &Publish<'_>,
        stage: Inbound,
    ) {
        let msg_id = publish.msg_id;
        let message = match stage {
            Inbound::Pending => return,
            Inbound::Received { .. } => Message::PubRec { msg_id },
            // Finished at QoS 2: the device starts the handshake over, and it ends the same way.
            Inbound::Done(ReturnCode::ACCEPTED) if publish.qos == Qos::Two => {
                Message::PubRec { msg_id }
            }
            Inbound::Done(code) => {
                Message::PubAck { topic_id: topic_field(publish.topic), msg_id, code }
            }
        };
        // It may be one that the gateway has taken over and not written yet.
        let topic_id = topic_field(publish.topic);
        let refusal = Message::PubAck { topic_id, msg_id, code: ReturnCode::CONGESTION };
        let otherwise = match message {
            Message::PubAck { code: ReturnCode::ACCEPTED, .. } => Else::Refusal(refusal),
            Message::PubRec { .. } => Else::Nothing,
            _ => Else::Same,
        };
        self.promise(cx, handle, &message, otherwise);
    }

    /// The client and publication of a token; `None` if either is gone.
    fn publication(&mut self, request: Handle) -> Option<(Handle, &mut Publication)> {
        let Some(Request::Publish { client: handle, msg_id }) = self.requests.get(request) else {
            return None;
        };
        let (handle, msg_id) = (*handle, *msg_id);
        let client = self.clients.get_mut(handle)?;
        let mut publications = client.publications_mut().iter_mut();
        let found = publications.find(|p| p.msg_id == msg_id && p.request == Some(request))?;
        Some((handle, found))
    }

    /// The broker owns a QoS 2 message.
    pub(crate) fn on_received(&mut self, cx: &mut Cx<'_>, token: Token) {
        let Some((handle, publication)) = self.publication(Handle::from_bits(token.0)) else {
            return;
        };
        if publication.stage != Inbound::Pending {
            return;
        }
        publication.stage = Inbound::Received { completed: false, released: false };
        publication.at = cx.now;
        let (msg_id, muted) = (publication.msg_id, publication.muted);
        if !muted {
            self.answer(cx, handle, &Message::PubRec { msg_id });
        }
    }

    /// The broker is done with a publication, or refused it.
    pub(crate) fn on_published(
        &mut self,
        cx: &mut Cx<'_>,
        token: Token,
        outcome: Result<(), Refusal>,
    ) {
        self.publication_over(cx, token, outcome, false);
    }

    /// The gateway has taken a publication over: the client may have its acknowledgement as soon as
    /// that is written.
    pub(crate) fn on_kept(&mut self, cx: &mut Cx<'_>, token: Token) {
        self.publication_over(cx, token, Ok(()), true);
    }

    fn publication_over(
        &mut self,
        cx: &mut Cx<'_>,
        token: Token,
        outcome: Result<(), Refusal>,
        kept: bool,
    ) {
        let request = Handle::from_bits(token.0);
        let Some((handle, publication)) = self.publication(request) else {
            self.requests.remove(request);
            return;
        };
        publication.request = None;
        publication.at = cx.now;
        let (msg_id, topic, muted) = (publication.msg_id, publication.topic, publication.muted);
        let before = publication.stage;
        let answer = match (outcome, publication.qos, before) {
            // After PUBREC nothing but PUBCOMP can be said, and not before PUBREL.
            (_, MqttQos::Two, Inbound::Received { released: false, .. }) => {
                publication.stage = Inbound::Received { completed: true, released: false };
                None
            }
            (_, MqttQos::Two, Inbound::Received { .. }) => {
                publication.stage = Inbound::Done(ReturnCode::ACCEPTED);
                Some(Message::PubComp { msg_id })
            }
            (Ok(()), MqttQos::Two, _) => {
                // Sent at a lower QoS because the broker takes no other: it is done there.
                publication.stage = Inbound::Received { completed: true, released: false };
                Some(Message::PubRec { msg_id })
            }
            (outcome, _, _) => {
                let code = outcome.map_or_else(code_of, |()| ReturnCode::ACCEPTED);
                publication.stage = Inbound::Done(code);
                Some(Message::PubAck { topic_id: topic_field(topic), msg_id, code })
            }
        };
        let refused = match publication.stage {
            Inbound::Done(code) if code != ReturnCode::ACCEPTED => Some(code),
            _ => None,
        };
        let news =
            publication.stage != before && !core::mem::replace(&mut publication.recorded, true);
        // Of a refusal nothing remains.
        if news || matches!(publication.stage, Inbound::Done(_)) {
            let publication = *publication;
            self.note_publication(cx, handle.slot, &publication);
        }
        self.requests.remove(request);
        // As `answer` has it: not in the middle of a will dialogue.
        if let Some(answer) = answer.filter(|_| !muted && !self.is_connecting(handle)) {
            let code = ReturnCode::CONGESTION;
            let otherwise = match answer {
                Message::PubAck { topic_id, msg_id, .. } if kept => {
                    Else::Refusal(Message::PubAck { topic_id, msg_id, code })
                }
                Message::PubRec { .. } if kept => Else::Nothing,
                _ => Else::Same,
            };
            match answer {
                // The broker has it, and that is all that is said.
                Message::PubAck { .. } if !kept => self.send(cx, handle, &answer),
                _ => self.promise(cx, handle, &answer, otherwise),
            }
        }
        if let Some(code) = refused {
            let line = self.line_of(handle);
            let spools = self.settings.durable && !self.lines.at(line).broker.connected;
            let why = match code {
                ReturnCode::CONGESTION if self.failing => {
                    "it would have to be kept, and the state directory cannot be written to"
                }
                ReturnCode::CONGESTION if spools => {
                    "the broker is away and the spool is full (upstream.spool.max_bytes)"
                }
                _ => "the broker refused the message, or is not taking any",
            };
            self.tell_refusal(cx, handle, "PUBLISH", About::Topic(topic), code, why);
        }
        self.forget_finished(
            cx,
            handle,
            (refused == Some(ReturnCode::CONGESTION)).then_some(msg_id),
        );
    }

    /// PUBREL (§6.6); for an unknown id the answer is the same, or the device never comes to an end.
    pub(crate) fn on_pubrel(&mut self, cx: &mut Cx<'_>, handle: Handle, msg_id: u16) {
        let known = self
            .clients
            .get_mut(handle)
            .and_then(|client| client.publications_mut().iter_mut().find(|p| p.msg_id == msg_id));
        if let Some(publication) = known {
            publication.at = cx.now;
            publication.muted = false;
            match publication.stage {
                Inbound::Received { completed: true, .. } => {
                    publication.stage = Inbound::Done(ReturnCode::ACCEPTED);
                }
                Inbound::Received { completed: false, .. } => {
                    publication.stage = Inbound::Received { completed: false, released: true };
                    return;
                }
                // PUBREL before our PUBREC: out of order, it will come again.
                Inbound::Pending => return self.drop_packet(Drop::Unexpected),
                Inbound::Done(_) => self.stats.duplicates += 1,
            }
            let publication = *publication;
            self.note_publication(cx, handle.slot, &publication);
        }
        self.promise(cx, handle, &Message::PubComp { msg_id }, Else::Same);
        self.forget_finished(cx, handle, None);
    }

    /// Keeps the last few finished publications, and none that the device shall try again.
    fn forget_finished(&mut self, cx: &mut Cx<'_>, handle: Handle, again: Option<u16>) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(msg_id) = again
            && let Some(busy) = client.busy.get_mut()
        {
            busy.publications.retain(|p| p.msg_id != msg_id);
        }
        let is_done = |p: &Publication| matches!(p.stage, Inbound::Done(_));
        while let Some(client) = self.clients.get(handle)
            && client.busy.publications.iter().filter(|p| is_done(p)).count() > MAX_REMEMBERED
            && let Some(oldest) = client.busy.publications.iter().position(is_done)
        {
            self.remove_publication(cx, handle, oldest);
        }
    }
}
