//! MQTT-SN messages in one line each.

use mqtt_sn_gateway::codec::{
    Connect, Message, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, WillTopic,
};

pub const OK: ReturnCode = ReturnCode::ACCEPTED;
pub const CONGESTION: ReturnCode = ReturnCode::CONGESTION;
pub const INVALID_ID: ReturnCode = ReturnCode::INVALID_TOPIC_ID;
pub const UNSUPPORTED: ReturnCode = ReturnCode::NOT_SUPPORTED;

pub fn connect(id: &str, clean_session: bool, duration: u16) -> Message<'_> {
    Message::Connect(Connect {
        will: false,
        clean_session,
        protocol_id: 1,
        duration,
        client_id: id.as_bytes(),
    })
}

pub fn connect_with_will(id: &str, clean_session: bool, duration: u16) -> Message<'_> {
    Message::Connect(Connect {
        will: true,
        clean_session,
        protocol_id: 1,
        duration,
        client_id: id.as_bytes(),
    })
}

pub fn will_topic(topic: &str, qos: Qos, retain: bool) -> Message<'_> {
    Message::WillTopic(Some(WillTopic { qos, retain, topic: topic.as_bytes() }))
}

pub fn will_msg(message: &str) -> Message<'_> {
    Message::WillMsg { message: message.as_bytes() }
}

pub fn connack(code: ReturnCode) -> Message<'static> {
    Message::ConnAck { code }
}

pub fn register(msg_id: u16, name: &str) -> Message<'_> {
    Message::Register { topic_id: 0, msg_id, topic: name.as_bytes() }
}

/// REGISTER from the gateway.
pub fn announce(topic_id: u16, msg_id: u16, name: &str) -> Message<'_> {
    Message::Register { topic_id, msg_id, topic: name.as_bytes() }
}

pub fn regack(topic_id: u16, msg_id: u16, code: ReturnCode) -> Message<'static> {
    Message::RegAck { topic_id, msg_id, code }
}

pub fn publish(topic: PublishTopic, qos: Qos, msg_id: u16, data: &[u8]) -> Message<'_> {
    Message::Publish(Publish { dup: false, qos, retain: false, topic, msg_id, data })
}

/// The same, with DUP.
pub fn again(message: Message<'_>) -> Message<'_> {
    match message {
        Message::Publish(publish) => Message::Publish(Publish { dup: true, ..publish }),
        other => other,
    }
}

/// The same, with the retain flag.
pub fn retained(message: Message<'_>) -> Message<'_> {
    match message {
        Message::Publish(publish) => Message::Publish(Publish { retain: true, ..publish }),
        other => other,
    }
}

pub fn puback(topic_id: u16, msg_id: u16, code: ReturnCode) -> Message<'static> {
    Message::PubAck { topic_id, msg_id, code }
}

pub fn pubrec(msg_id: u16) -> Message<'static> {
    Message::PubRec { msg_id }
}

pub fn pubrel(msg_id: u16) -> Message<'static> {
    Message::PubRel { msg_id }
}

pub fn pubcomp(msg_id: u16) -> Message<'static> {
    Message::PubComp { msg_id }
}

pub fn subscribe(msg_id: u16, name: &str, qos: Qos) -> Message<'_> {
    subscribe_to(msg_id, SubscribeTopic::Name(name.as_bytes()), qos)
}

pub fn subscribe_to(msg_id: u16, topic: SubscribeTopic<'_>, qos: Qos) -> Message<'_> {
    Message::Subscribe(Subscribe { dup: false, qos, msg_id, topic })
}

pub fn suback(qos: Qos, topic_id: u16, msg_id: u16, code: ReturnCode) -> Message<'static> {
    Message::SubAck { qos, topic_id, msg_id, code }
}

pub fn unsubscribe(msg_id: u16, name: &str) -> Message<'_> {
    Message::Unsubscribe { msg_id, topic: SubscribeTopic::Name(name.as_bytes()) }
}

pub fn unsuback(msg_id: u16) -> Message<'static> {
    Message::UnsubAck { msg_id }
}

pub const PING: Message<'static> = Message::PingReq { client_id: &[] };
pub const PONG: Message<'static> = Message::PingResp;
pub const BYE: Message<'static> = Message::Disconnect { duration: None };

/// DISCONNECT with a sleep time in seconds.
pub fn doze(seconds: u16) -> Message<'static> {
    Message::Disconnect { duration: Some(seconds) }
}

/// PINGREQ with a client id: a sleeping client wakes to collect its messages.
pub fn wake(id: &str) -> Message<'_> {
    Message::PingReq { client_id: id.as_bytes() }
}
