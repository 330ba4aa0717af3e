//! What the gateway sends.

use super::{Client, Event, Incoming, Phase, Topic};
use crate::codec::{DecodeError, Message, Publish, PublishTopic, Qos, ReturnCode, decode};
use crate::time::Time;

/// Message ids remembered after their PUBREL; the gateway takes new ones in order.
const RELEASED: usize = 8;

impl Client {
    /// Takes a datagram from the gateway.
    ///
    /// # Errors
    /// It is no MQTT-SN packet; nothing has changed.
    pub fn handle_datagram(&mut self, now: Time, datagram: &[u8]) -> Result<(), DecodeError> {
        let packet = decode(datagram)?;
        // Forwarders are none of a client's business.
        if packet.forwarder.is_some() {
            return Ok(());
        }
        if self.phase == Phase::Collecting {
            self.stay_awake(now);
        }
        match packet.message {
            Message::ConnAck { code } => self.on_connack(now, code),
            Message::WillTopicReq => self.on_will_topic_request(now),
            Message::WillMsgReq => self.on_will_message_request(now),
            Message::Disconnect { .. } => self.on_disconnect(),
            Message::PubAck { topic_id, msg_id, code } if self.phase == Phase::Connected => {
                self.on_puback(now, topic_id, msg_id, code);
            }
            // A refusal at QoS 0 may come while we are already leaving.
            Message::PubAck { topic_id, code, .. }
                if self.phase != Phase::Asleep && code != ReturnCode::ACCEPTED =>
            {
                self.events.push_back(Event::Rejected { topic_id, code });
            }
            Message::PingResp => self.on_ping_response(),
            _ if !self.hears() => {}
            Message::Register { topic_id, msg_id, topic } => {
                self.on_register(now, topic_id, msg_id, topic);
            }
            Message::Publish(publish) => self.on_publish(now, &publish),
            Message::PubRel { msg_id } => {
                // Answered also if unknown: then it is the answer that was lost.
                if self.received.remove(&msg_id) {
                    self.released.truncate(RELEASED - 1);
                    self.released.push_front(msg_id);
                }
                self.send(now, &Message::PubComp { msg_id });
            }
            // The rest answers requests, which are made while connected.
            _ if self.phase != Phase::Connected => {}
            Message::RegAck { topic_id, msg_id, code } => {
                self.on_regack(now, topic_id, msg_id, code);
            }
            Message::PubRec { msg_id } => self.on_pubrec(now, msg_id),
            Message::PubComp { msg_id } => self.on_pubcomp(now, msg_id),
            Message::SubAck { qos, topic_id, msg_id, code } => {
                self.on_suback(now, qos, topic_id, msg_id, code);
            }
            Message::UnsubAck { msg_id } => self.on_unsuback(now, msg_id),
            Message::PingReq { .. } => self.send(now, &Message::PingResp),
            // Between clients and gateways, or from clients to gateways only.
            _ => {}
        }
        Ok(())
    }

    /// §6.10: the gateway says what a topic id will mean.
    fn on_register(&mut self, now: Time, topic_id: u16, msg_id: u16, topic: &[u8]) {
        let code = match std::str::from_utf8(topic) {
            Ok(name) if !name.is_empty() && topic_id != 0 && topic_id != u16::MAX => {
                let known = self.learn(topic_id, name.to_owned());
                if known { ReturnCode::ACCEPTED } else { ReturnCode::CONGESTION }
            }
            _ => ReturnCode::NOT_SUPPORTED,
        };
        self.send(now, &Message::RegAck { topic_id, msg_id, code });
    }

    /// A message for us. QoS 2 is passed on once, when it comes first.
    fn on_publish(&mut self, now: Time, publish: &Publish<'_>) {
        let (topic, topic_id) = match publish.topic {
            PublishTopic::Normal(id) => (self.names.get(&id).cloned().map(Topic::Name), id),
            PublishTopic::Predefined(id) => (Some(Topic::Predefined(id)), id),
            PublishTopic::Short(name) => {
                let text = String::from_utf8_lossy(&name).into_owned();
                (Some(Topic::Name(text)), u16::from_be_bytes(name))
            }
            PublishTopic::Reserved(id) => (None, id),
        };
        let msg_id = publish.msg_id;
        let Some(topic) = topic else {
            let code = ReturnCode::INVALID_TOPIC_ID;
            self.send(now, &Message::PubAck { topic_id, msg_id, code });
            return;
        };
        let late = publish.dup && self.released.contains(&msg_id);
        let first = publish.qos != Qos::Two || !late && self.received.insert(msg_id);
        if first {
            self.events.push_back(Event::Message(Incoming {
                topic,
                payload: publish.data.to_vec(),
                qos: publish.qos,
                retain: publish.retain,
            }));
        }
        match publish.qos {
            Qos::One => {
                let code = ReturnCode::ACCEPTED;
                self.send(now, &Message::PubAck { topic_id, msg_id, code });
            }
            Qos::Two => self.send(now, &Message::PubRec { msg_id }),
            Qos::Zero | Qos::MinusOne => {}
        }
    }
}
