//! The will dialogue, its update and its publication (MQTT-SN 1.2 §6.3, §6.4). The gateway owns the
//! wills of its clients: the broker has one connection for all of them, and one will on it.

use alloc::boxed::Box;

use crate::codec::{Message, PublishTopic, ReturnCode, WillTopic};
use crate::core::client::{State, Will};
use crate::core::effects::{Effect, Span};
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::judging::Objection;
use crate::core::names;
use crate::core::notice::{Notice, Subject};
use crate::core::slots::Handle;
use crate::core::stats::{Denial, Drop};
use crate::core::upstream::{MqttQos, Token};

/// What a refusal is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    Nothing,
    Text(&'a [u8]),
    Topic(PublishTopic),
}

impl Gateway {
    /// Sends what the dialogue waits for, again if need be.
    pub(crate) fn prompt(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let Some(dialogue) = &client.busy.dialogue else { return };
        let topic_first = dialogue.again || dialogue.topic.is_none();
        let prompt = if topic_first { Message::WillTopicReq } else { Message::WillMsgReq };
        self.send(cx, handle, &prompt);
    }

    pub(crate) fn on_will_topic(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        will: Option<WillTopic<'_>>,
    ) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(dialogue) = client.busy.dialogue.as_ref().filter(|dialogue| !dialogue.broker)
        else {
            return self.drop_packet(Drop::OutOfOrder);
        };
        let Some(will) = will else {
            // The empty form deletes the stored will and ends the dialogue.
            let resumed = dialogue.resumed;
            client.will = None;
            return self.let_in(cx, handle, resumed);
        };
        let (topic, qos, retain) = match self.checked_will(handle, &will) {
            Ok(checked) => checked,
            Err(refusal) => return self.refuse_dialogue(cx, handle, &will, refusal),
        };
        let deadline = self.retry_at(cx.now, handle);
        if let Some(client) = self.clients.get_mut(handle)
            && let Some(dialogue) = client.dialogue_mut()
        {
            // A repetition changes nothing: the prompt was lost.
            dialogue.again = false;
            dialogue.topic = Some((topic, qos, retain));
            dialogue.tries = 1;
            dialogue.deadline = deadline;
        }
        self.prompt(cx, handle);
        self.rearm(handle);
    }

    pub(crate) fn on_will_msg(&mut self, cx: &mut Cx<'_>, handle: Handle, message: &[u8]) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(dialogue) = client.dialogue_mut() else {
            return self.drop_packet(Drop::OutOfOrder);
        };
        let Some((topic, qos, retain)) = dialogue.topic.take() else {
            return self.drop_packet(Drop::OutOfOrder);
        };
        let resumed = dialogue.resumed;
        client.will = Some(Box::new(Will { topic, message: message.into(), qos, retain }));
        self.let_in(cx, handle, resumed);
    }

    /// A will that may be kept. If a rule is against it, what it has; `None` for a will that is none.
    fn checked_will(
        &self,
        handle: Handle,
        will: &WillTopic<'_>,
    ) -> Result<(Box<str>, MqttQos, bool), Option<Objection>> {
        let topic = names::topic_name(will.topic).ok_or(None)?;
        let qos = MqttQos::from_sn(will.qos).ok_or(None)?;
        let client = self.clients.get(handle).ok_or(None)?;
        match self.policy(client).against_publishing(&client.id, topic, qos) {
            Some((Denial::Publish, _)) => {
                Err(Some((Denial::Will, "its rule does not let it have a will there")))
            }
            Some(objection) => Err(Some(objection)),
            None if self.leads_to_own_topic(handle, topic) => Err(None),
            None => Ok((topic.into(), qos, will.retain)),
        }
    }

    fn refuse_dialogue(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        will: &WillTopic<'_>,
        refusal: Option<Objection>,
    ) {
        self.send(cx, handle, &Message::ConnAck { code: ReturnCode::NOT_SUPPORTED });
        self.tell_will_refused(cx, handle, "WILLTOPIC", will, refusal);
        self.leave(cx, handle);
    }

    fn tell_will_refused(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        operation: &'static str,
        will: &WillTopic<'_>,
        refusal: Option<Objection>,
    ) {
        if let Some(objection) = refusal {
            let topic = names::topic_name(will.topic).unwrap_or("");
            return self.tell_denial(cx, handle, operation, topic, objection);
        }
        let why = "the will's topic or QoS is not valid";
        self.tell_refusal(cx, handle, operation, About::Nothing, ReturnCode::NOT_SUPPORTED, why);
    }

    /// The dialogue's timer: prompt again, or give up.
    pub(crate) fn retry_dialogue(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let deadline = self.retry_at(cx.now, handle);
        let retry_count = self.policy_of(handle).retry_count;
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(dialogue) = client.dialogue_mut().filter(|d| d.deadline <= cx.now) else {
            return;
        };
        if dialogue.broker {
            let why = "the broker does not accept the connection in time";
            return self.refuse_admission(cx, handle, ReturnCode::CONGESTION, why);
        }
        if dialogue.tries > retry_count {
            if dialogue.slept {
                // It tried to wake up. It has not said goodbye, and may be heard of yet.
                client.busy.dialogue = None;
                client.nap.since = cx.now;
                self.set_state(handle, State::Asleep);
                return self.stop_holding(cx, handle, true);
            }
            // Never connected, so nothing is lost: the old connection ended with the CONNECT.
            return self.leave(cx, handle);
        }
        dialogue.tries += 1;
        dialogue.deadline = deadline;
        self.stats.retransmissions += 1;
        self.prompt(cx, handle);
    }

    pub(crate) fn on_will_topic_upd(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        will: Option<WillTopic<'_>>,
    ) {
        let checked = will.map(|will| self.checked_will(handle, &will));
        let code = match checked {
            None => {
                if let Some(client) = self.clients.get_mut(handle) {
                    client.will = None;
                }
                ReturnCode::ACCEPTED
            }
            Some(Err(refusal)) => {
                if let Some(will) = will {
                    self.tell_will_refused(cx, handle, "WILLTOPICUPD", &will, refusal);
                }
                ReturnCode::NOT_SUPPORTED
            }
            Some(Ok((topic, qos, retain))) => {
                if let Some(client) = self.clients.get_mut(handle) {
                    let message = client.will.take().map(|will| will.message).unwrap_or_default();
                    client.will = Some(Box::new(Will { topic, message, qos, retain }));
                }
                ReturnCode::ACCEPTED
            }
        };
        self.mark(handle);
        self.renew_will(cx, handle);
        let refusal = Message::WillTopicResp { code: ReturnCode::CONGESTION };
        self.promise_or_refuse(cx, handle, &Message::WillTopicResp { code }, refusal);
    }

    pub(crate) fn on_will_msg_upd(&mut self, cx: &mut Cx<'_>, handle: Handle, message: &[u8]) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let code = match &mut client.will {
            Some(will) => {
                will.message = message.into();
                ReturnCode::ACCEPTED
            }
            None => ReturnCode::NOT_SUPPORTED,
        };
        if code != ReturnCode::ACCEPTED {
            let why = "the client has no will; a WILLTOPICUPD has to come first";
            self.tell_refusal(cx, handle, "WILLMSGUPD", About::Nothing, code, why);
        }
        self.mark(handle);
        self.renew_will(cx, handle);
        let refusal = Message::WillMsgResp { code: ReturnCode::CONGESTION };
        self.promise_or_refuse(cx, handle, &Message::WillMsgResp { code }, refusal);
    }

    /// Publishes the will, once: a lost client that comes back brings or keeps its own.
    pub(crate) fn fire_will(&mut self, cx: &mut Cx<'_>, handle: Handle) -> bool {
        let Some(will) = self.clients.get_mut(handle).and_then(|client| client.will.take()) else {
            return false;
        };
        self.stats.wills += 1;
        let token = match will.qos {
            MqttQos::Zero => Token(0),
            _ => Token(self.requests.insert(Request::Will).to_bits()),
        };
        let Some(client) = self.clients.get(handle) else { return false };
        let prefix = &self.policy(client).prefix;
        let topic = cx.fx.store_prefixed(prefix, &client.id, &will.topic);
        let payload = cx.fx.store(&will.message);
        let line = self.line_of(handle);
        let qos = will.qos.min(self.broker_qos(line));
        // The client cannot say it again.
        let (retain, origin, keep) = (will.retain, handle.slot, will.qos > MqttQos::Zero);
        // Nothing was received.
        let rssi = None;
        let it = Effect::Publish { line, token, qos, retain, topic, payload, origin, keep, rssi };
        cx.fx.push(it);
        // A persistent session keeps its will for the next connection (§6.3).
        if let Some(client) = self.clients.get_mut(handle)
            && !client.print.clean
        {
            client.will = Some(will);
        }
        true
    }

    /// Notes that something was refused.
    pub(crate) fn tell_refusal(
        &self,
        cx: &mut Cx<'_>,
        handle: Handle,
        operation: &'static str,
        about: About<'_>,
        code: ReturnCode,
        why: &'static str,
    ) {
        let Some(client) = self.clients.get(handle) else { return };
        let Some(peer) = client.place() else { return };
        cx.fx.notice(|fx| Notice::Refused {
            client: fx.store(client.id.as_bytes()),
            at: fx.place(peer.as_ref()),
            operation,
            subject: match about {
                About::Nothing => Subject::None,
                About::Text(text) => Subject::Text(fx.store(text.get(..256).unwrap_or(text))),
                About::Topic(PublishTopic::Predefined(id)) => Subject::PredefinedId(id),
                About::Topic(PublishTopic::Short(name)) => Subject::Text(fx.store(&name)),
                About::Topic(PublishTopic::Normal(id) | PublishTopic::Reserved(id)) => {
                    Subject::TopicId(id)
                }
            },
            code,
            why,
            rule: Span::default(),
        });
    }

    pub(crate) fn is_connecting(&self, handle: Handle) -> bool {
        self.clients.get(handle).is_some_and(|client| client.state == State::Connecting)
    }
}
