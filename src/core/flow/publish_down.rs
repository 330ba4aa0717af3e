//! PUBLISH to a client (MQTT-SN 1.2 §6.10).
//!
//! ```text
//! gateway                        client
//! REGISTER                 ──▶            only if it does not know the topic id
//!                          ◀──   REGACK
//! PUBLISH                  ──▶
//!                          ◀──   PUBACK (QoS 1) or PUBREC (QoS 2)
//! PUBREL                   ──▶            QoS 2
//!                          ◀──   PUBCOMP
//! ```
//!
//! One message at a time; the answers are handled in `outbound.rs`.

use alloc::boxed::Box;

use crate::codec::{Message, Publish, PublishTopic, Qos};
use crate::core::client::{Client, Form, Outbound, OutboundStage, State};
use crate::core::flow::{Incoming, Named};
use crate::core::gateway::{Cx, Gateway};
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::core::topics::TopicRef;
use crate::core::upstream::MqttQos;

/// Why a message is given up that is longer than a packet on its link.
pub(super) const TOO_LONG: &str = "it does not fit the link";

/// How a topic is named to a client.
enum Naming {
    /// As this topic field.
    Known(PublishTopic),
    /// By a normal id that it has to be told first.
    Register,
    /// The client refused this name: it counts as unsubscribed from it.
    Refused,
    /// There is no name for it that the client's stack understands.
    None,
}

impl Gateway {
    /// One message for one client: sent at once when nothing stands in the way and nothing has to
    /// be remembered, queued otherwise.
    pub(crate) fn deliver(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        qos: MqttQos,
        Named { name, topic }: Named<'_>,
        message: &Incoming<'_>,
        stored: &mut Option<Handle>,
    ) {
        let Some(client) = self.clients.get(handle) else { return };
        if client.state == State::Gone && qos == MqttQos::Zero && !self.settings.queue_qos0_messages
        {
            return;
        }
        if qos == MqttQos::Zero
            && is_idle(client)
            && self.has_room(handle)
            && let Naming::Known(topic) = self.naming(client, topic, name)
        {
            let packet = Message::Publish(Publish {
                dup: false,
                qos: Qos::Zero,
                retain: message.retain && client.profile().retain,
                topic,
                msg_id: 0,
                data: message.payload,
            });
            let octets = packet.encoded_len();
            if octets <= self.room(handle) {
                self.send(cx, handle, &packet);
                return self.spend(handle, octets);
            }
        }
        self.enqueue(cx, handle, qos, name, message, stored);
        self.pump(cx, handle);
    }

    /// How to name a topic to this client: as it subscribed to it; else by the normal id that it has,
    /// after REGISTER if it may have forgotten it; else as predefined or short, which need no
    /// REGISTER; else by REGISTER.
    fn naming(&self, client: &Client, topic: Option<TopicRef>, name: &str) -> Naming {
        let profile = client.profile();
        let position = topic.and_then(|topic| client.topics.position(topic));
        let entry = position.and_then(|position| client.topics.get(position));
        let normal_only = entry.is_some_and(|entry| entry.normal_only);
        let short = match name.as_bytes() {
            &[first, second] => Some([first, second]),
            _ => None,
        };
        if let Some(topic) = topic.filter(|_| !normal_only) {
            let exact = client.subscriptions.iter().find(|s| s.exact == Some(topic));
            match (exact.map(|subscription| subscription.form), short) {
                (Some(Form::Predefined(id)), _) => {
                    return Naming::Known(if profile.predefined {
                        PublishTopic::Predefined(id)
                    } else {
                        PublishTopic::Normal(id)
                    });
                }
                (Some(Form::Short), Some(short)) => {
                    return Naming::Known(PublishTopic::Short(short));
                }
                _ => {}
            }
        }
        if let (Some(entry), Some(position)) = (entry, position) {
            if entry.refused {
                return Naming::Refused;
            }
            // An id that cannot be announced is tried.
            if (entry.confirmed || !profile.answers_register)
                && let Some(id) = self.id_at(&client.topics, position)
            {
                return Naming::Known(PublishTopic::Normal(id));
            }
        }
        // A client that has used the name has an id for it, which it may have forgotten; other forms
        // it need not know.
        if entry.is_none() {
            let predefined = topic.and_then(|topic| self.predefined.id(client.predefined, topic));
            if let Some(id) = predefined.filter(|_| profile.predefined) {
                return Naming::Known(PublishTopic::Predefined(id));
            }
            if let Some(short) = short {
                return Naming::Known(PublishTopic::Short(short));
            }
        }
        if profile.answers_register { Naming::Register } else { Naming::None }
    }

    /// The predefined id that this topic is sent to the client by, if it is.
    pub(crate) fn predefined_in_use(&self, handle: Handle, name: &str) -> Option<u16> {
        let client = self.clients.get(handle)?;
        match self.naming(client, self.topics.find(name), name) {
            Naming::Known(PublishTopic::Predefined(id)) => Some(id),
            _ => None,
        }
    }

    /// Starts the next message for a client, as far as one may be started.
    pub(crate) fn pump(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.pump_some(cx, handle, u32::MAX);
    }

    /// As [`Self::pump`], for `turns` messages at most; for more the client lines up at its link.
    pub(crate) fn pump_some(&mut self, cx: &mut Cx<'_>, handle: Handle, mut turns: u32) {
        loop {
            let line = self.line_of(handle);
            let broker_connected = self.lines.at(line).broker.connected;
            let Some(client) = self.clients.get_mut(handle) else { return };
            let awake = client.state == State::Awake;
            let ready = match client.state {
                State::Awake => client.nap.promised > 0,
                // SUBACK comes before what the subscription brings; a device may read one packet
                // at a time. It cannot come while the broker is away.
                State::Active => client.waiting == 0 || !broker_connected,
                _ => return,
            };
            // Its link is not there any more; it will come back by another one, or be lost.
            if client.place().is_none() {
                return;
            }
            if client.busy.outbound.is_some() {
                if awake && self.is_stopped(handle) {
                    self.end_window(cx, handle);
                }
                return;
            }
            let exactly_once = client.busy.queue.front().is_some_and(|q| q.qos == MqttQos::Two);
            if self.failing && exactly_once {
                if awake {
                    self.end_window(cx, handle);
                }
                return;
            }
            let room = turns > 0 && self.has_room(handle);
            let Some(client) = self.clients.get_mut(handle) else { return };
            let ready = ready && client.busy.paused_until.is_none();
            if ready && !room && !client.busy.queue.is_empty() {
                return self.line_up(cx, handle);
            }
            let queue = client.busy.get_mut().map(|busy| &mut busy.queue);
            let next = queue.filter(|_| ready).and_then(|queue| queue.pop_front());
            let Some(queued) = next else {
                if client.busy.queue.is_empty() && client.busy.queue.capacity() > 0 {
                    // Sleepers and quiet clients are many; what their queues held is given back.
                    client.busy.queue.shrink_to(if awake { 0 } else { 64 });
                }
                if awake {
                    self.end_window(cx, handle);
                }
                return;
            };
            client.nap.promised = client.nap.promised.saturating_sub(1);
            let expires = self.messages.get(queued.message).and_then(|message| message.expires);
            if expires.is_some_and(|at| at <= cx.now) {
                self.stats.expired += 1;
                self.leave_queue(cx, handle, queued);
                continue;
            }
            let Some(client) = self.clients.get_mut(handle) else { return };
            client.nap.collected = client.nap.collected.saturating_add(1);
            turns = turns.saturating_sub(1);
            let msg_id = if queued.qos == MqttQos::Zero { 0 } else { client.allocate_msg_id() };
            let new = Outbound {
                queued,
                msg_id,
                stage: OutboundStage::Publish,
                sent: false,
                tries: 1,
                waits: false,
                corrections: 0,
                unanswered: 0,
                began: cx.now,
                deadline: cx.now,
            };
            self.start(cx, handle, new);
        }
    }

    /// Starts (or, after a correction, a new connection or a nap, restarts) one message.
    pub(crate) fn start(&mut self, cx: &mut Cx<'_>, handle: Handle, outbound: Outbound) {
        let Outbound { queued, msg_id, .. } = outbound;
        let room = self.room(handle);
        let Some(client) = self.clients.get(handle) else { return };
        let Some(message) = self.messages.get(queued.message) else { return };
        let name = self.topics.name(message.topic);
        let naming = self.naming(client, Some(message.topic), name);
        let publish_len = Message::Publish(Publish {
            dup: false,
            qos: Qos::Zero,
            retain: false,
            topic: PublishTopic::Normal(0),
            msg_id: 0,
            data: &message.payload,
        })
        .encoded_len();
        let register_len =
            Message::Register { topic_id: 0, msg_id: 0, topic: name.as_bytes() }.encoded_len();
        let longest_topic = client.profile().longest_topic.map_or(usize::MAX, usize::from);
        let problem = match naming {
            _ if publish_len > room => Some(TOO_LONG),
            Naming::Register if register_len > room => Some("its topic name does not fit the link"),
            Naming::Register if name.len() > longest_topic => {
                Some("its topic name is longer than this kind of client can take (see its profile)")
            }
            Naming::None => Some(
                "this kind of client takes no REGISTER and has no id for the topic (see its profile)",
            ),
            // The client counts as unsubscribed from it.
            Naming::Refused => return self.leave_queue(cx, handle, queued),
            _ => None,
        };
        if let Some(why) = problem {
            let topic = alloc::string::String::from(name);
            if publish_len > room || register_len > room || name.len() > longest_topic {
                self.limit_reached(cx, Some(handle), Limit::PacketSize);
            }
            self.abandoned(cx, handle, topic.as_bytes(), queued.qos, why);
            return self.leave_queue(cx, handle, queued);
        }
        let stage = if matches!(naming, Naming::Register) {
            let name = alloc::string::String::from(name);
            let Some((_, position)) = self.topic_id(cx, handle, &name) else {
                let why = self.topics_are_full(handle);
                self.abandoned(cx, handle, name.as_bytes(), queued.qos, why);
                return self.leave_queue(cx, handle, queued);
            };
            OutboundStage::Register { position: u32::try_from(position).unwrap_or(u32::MAX) }
        } else {
            OutboundStage::Publish
        };
        let deadline = self.retry_at(cx.now, handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        // REGISTER needs a message id at any QoS.
        let msg_id = if msg_id == 0 && stage != OutboundStage::Publish {
            client.allocate_msg_id()
        } else {
            msg_id
        };
        let (tries, waits, began) = (1, false, cx.now);
        client.busy.outbound =
            Some(Box::new(Outbound { msg_id, stage, tries, waits, began, deadline, ..outbound }));
        if !outbound.sent {
            self.note_outbound(cx, handle);
        }
        self.transmit(cx, handle);
        self.rearm(handle);
    }

    /// Sends what the client has to answer next, or has it wait for room on the link, or for the device.
    /// PUBREL is an answer itself and needs no room. A QoS 0 PUBLISH needs no answer: it is over.
    pub(crate) fn transmit(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let Some(outbound) = &client.busy.outbound else { return };
        let Outbound { queued, msg_id, stage, sent, .. } = **outbound;
        let answers = stage == OutboundStage::Release;
        let takes = if answers { self.is_there(handle) } else { self.has_room(handle) };
        if !takes {
            return self.hold_back(cx, handle);
        }
        let Some(message) = self.messages.get(queued.message) else { return };
        let name = self.topics.name(message.topic);
        match stage {
            OutboundStage::Register { position } => {
                let Some(topic_id) = self.id_at(&client.topics, position as usize) else { return };
                let register = Message::Register { topic_id, msg_id, topic: name.as_bytes() };
                let octets = register.encoded_len();
                if self.is_outgrown(handle, octets) {
                    return self.give_up_long(cx, handle, queued);
                }
                // An id that nobody remembers after a restart would be given to another topic.
                let otherwise = if client.print.clean { Else::Same } else { Else::Nothing };
                self.promise(cx, handle, &register, otherwise);
                self.spend(handle, octets);
            }
            OutboundStage::Publish => {
                let Naming::Known(topic) = self.naming(client, Some(message.topic), name) else {
                    // The client has disowned the id since.
                    return self.restart(cx, handle);
                };
                let zero = queued.qos == MqttQos::Zero;
                let publish = Publish {
                    dup: sent && !zero && client.profile().dup,
                    qos: queued.qos.to_sn(),
                    retain: queued.retain && client.profile().retain,
                    topic,
                    msg_id: if zero { 0 } else { msg_id },
                    data: &message.payload,
                };
                let publish = Message::Publish(publish);
                let octets = publish.encoded_len();
                if self.is_outgrown(handle, octets) {
                    return self.give_up_long(cx, handle, queued);
                }
                if queued.qos == MqttQos::Two {
                    self.promise(cx, handle, &publish, Else::Nothing);
                } else {
                    self.send(cx, handle, &publish);
                }
                self.spend(handle, octets);
                let Some(client) = self.clients.get_mut(handle) else { return };
                if zero {
                    client.take_outbound();
                    self.leave_queue(cx, handle, queued);
                } else if let Some(outbound) = client.outbound_mut() {
                    outbound.sent = true;
                }
            }
            OutboundStage::Release => {
                self.promise(cx, handle, &Message::PubRel { msg_id }, Else::Nothing);
            }
        }
    }
}

/// Nothing waits, nothing is in flight, nothing holds deliveries back.
fn is_idle(client: &Client) -> bool {
    client.state == State::Active
        && client.busy.outbound.is_none()
        && client.busy.queue.is_empty()
        && client.waiting == 0
        && client.busy.paused_until.is_none()
}
