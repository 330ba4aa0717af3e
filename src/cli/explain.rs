//! MQTT-SN packets in words.

use std::fmt::Write as _;

use crate::codec::{
    Connect, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic,
    WillTopic,
};

/// Most octets of a payload or name that are shown in a line.
const MOST_SHOWN: usize = 96;

/// A packet in one line, without a line end: what it is, what it says, and what about it a gateway
/// would not accept.
#[must_use]
pub fn packet(packet: &Packet<'_>) -> String {
    match &packet.forwarder {
        None => message(&packet.message),
        Some(forwarder) => format!(
            "through a forwarder (node {}, radius {}): {}",
            hex_or_none(forwarder.node_id),
            forwarder.radius,
            message(&packet.message)
        ),
    }
}

/// A message in one line, without a line end.
#[must_use]
pub fn message(message: &Message<'_>) -> String {
    let mut line = message.name().to_owned();
    let details = details(message);
    if !details.is_empty() {
        line.push_str(": ");
        line.push_str(&details);
    }
    for remark in remarks(message) {
        // Writing to a string cannot fail.
        let _ = write!(line, " (note: {remark})");
    }
    line
}

fn details(message: &Message<'_>) -> String {
    match message {
        Message::Advertise { gateway_id, duration } => {
            format!("gateway {gateway_id}, the next one in {duration} s")
        }
        Message::SearchGw { radius: 0 } => "anywhere in the network".to_owned(),
        Message::SearchGw { radius } => format!("radius {radius}"),
        Message::GwInfo { gateway_id, address: [] } => format!("gateway {gateway_id}"),
        Message::GwInfo { gateway_id, address } => {
            format!("gateway {gateway_id} at {}", hex(address))
        }
        Message::Connect(connect) => connect_details(connect),
        Message::ConnAck { code }
        | Message::WillTopicResp { code }
        | Message::WillMsgResp { code } => return_code(*code),
        Message::WillTopicReq
        | Message::WillMsgReq
        | Message::PingResp
        | Message::PingReq { client_id: [] } => String::new(),
        Message::WillTopic(None) | Message::WillTopicUpd(None) => {
            "empty, deletes the will".to_owned()
        }
        Message::WillTopic(Some(will)) | Message::WillTopicUpd(Some(will)) => will_details(will),
        Message::WillMsg { message } | Message::WillMsgUpd { message } => payload(message),
        Message::Register { topic_id, msg_id, topic } => {
            let id =
                if *topic_id == 0 { String::new() } else { format!("topic id {topic_id} is ") };
            format!("{id}{}, msg id {msg_id}", text(topic))
        }
        Message::RegAck { topic_id, msg_id, code } | Message::PubAck { topic_id, msg_id, code } => {
            format!("{}, topic id {topic_id}, msg id {msg_id}", return_code(*code))
        }
        Message::Publish(publish) => publish_details(publish),
        Message::PubComp { msg_id }
        | Message::PubRec { msg_id }
        | Message::PubRel { msg_id }
        | Message::UnsubAck { msg_id } => format!("msg id {msg_id}"),
        Message::Subscribe(Subscribe { dup, qos: requested, msg_id, topic }) => {
            let again = if *dup { ", sent again" } else { "" };
            format!("{}, {}, msg id {msg_id}{again}", subscribe_topic(topic), qos(*requested))
        }
        Message::SubAck { qos: granted, topic_id, msg_id, code } => {
            let id = match topic_id {
                0 => "no topic id".to_owned(),
                id => format!("topic id {id}"),
            };
            format!("{}, granted {}, {id}, msg id {msg_id}", return_code(*code), qos(*granted))
        }
        Message::Unsubscribe { msg_id, topic } => {
            format!("{}, msg id {msg_id}", subscribe_topic(topic))
        }
        Message::PingReq { client_id } => format!("client {} is awake", text(client_id)),
        Message::Disconnect { duration: None } => String::new(),
        Message::Disconnect { duration: Some(seconds) } => format!("sleeps for {seconds} s"),
    }
}

fn connect_details(connect: &Connect<'_>) -> String {
    format!(
        "client {}, keep-alive {} s, {} session, {}",
        text(connect.client_id),
        connect.duration,
        if connect.clean_session { "clean" } else { "lasting" },
        if connect.will { "with a will" } else { "no will" },
    )
}

fn will_details(will: &WillTopic<'_>) -> String {
    let retained = if will.retain { ", retained" } else { "" };
    format!("{}, {}{retained}", text(will.topic), qos(will.qos))
}

fn publish_details(publish: &Publish<'_>) -> String {
    let mut line = format!("{}, {}", publish_topic(publish.topic), qos(publish.qos));
    if publish.msg_id != 0 || matches!(publish.qos, Qos::One | Qos::Two) {
        let _ = write!(line, ", msg id {}", publish.msg_id);
    }
    if publish.retain {
        line.push_str(", retained");
    }
    if publish.dup {
        line.push_str(", sent again");
    }
    let _ = write!(line, ", {}", payload(publish.data));
    line
}

/// What a receiver would not take, although it can be read.
fn remarks(message: &Message<'_>) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    match message {
        Message::Connect(connect) => {
            if connect.client_id.is_empty() {
                remarks.push("the client id is empty, which is not allowed");
            } else if connect.client_id.len() > 23 {
                remarks.push("the client id is longer than the 23 characters of the specification");
            }
            match connect.protocol_id {
                1 => {}
                2 => remarks.push("protocol id 2 is MQTT-SN 2.0"),
                _ => remarks.push("the protocol id is not 1, that of MQTT-SN 1.2"),
            }
        }
        Message::Publish(publish) => {
            match (publish.topic, publish.qos) {
                (PublishTopic::Reserved(_), _) => remarks.push("topic id type 3 is reserved"),
                (PublishTopic::Normal(_), Qos::MinusOne) => {
                    remarks.push("QoS -1 needs a predefined or a short topic");
                }
                (PublishTopic::Normal(id) | PublishTopic::Predefined(id), _)
                    if id == 0 || id == u16::MAX =>
                {
                    remarks.push("topic ids 0 and 65535 are reserved");
                }
                _ => {}
            }
            if publish.msg_id == 0 && matches!(publish.qos, Qos::One | Qos::Two) {
                remarks.push("msg id 0 cannot be acknowledged");
            }
        }
        Message::Subscribe(subscribe) => {
            remarks.extend(subscribe_remark(&subscribe.topic));
            if subscribe.qos == Qos::MinusOne {
                remarks.push("QoS -1 cannot be subscribed to");
            }
        }
        Message::Unsubscribe { topic, .. } => remarks.extend(subscribe_remark(topic)),
        Message::Register { topic, .. } => {
            if topic.is_empty() {
                remarks.push("the topic name is empty");
            } else if topic.iter().any(|octet| b"+#".contains(octet)) {
                remarks.push("a name with wildcards cannot be registered");
            }
            if std::str::from_utf8(topic).is_err() {
                remarks.push("the topic name is not UTF-8");
            }
        }
        _ => {}
    }
    remarks
}

fn subscribe_remark(topic: &SubscribeTopic<'_>) -> Option<&'static str> {
    match topic {
        SubscribeTopic::Reserved => Some("topic id type 3 is reserved"),
        SubscribeTopic::Name([]) => Some("the topic is empty"),
        SubscribeTopic::Name(name) if std::str::from_utf8(name).is_err() => {
            Some("the topic is not UTF-8")
        }
        _ => None,
    }
}

/// A return code in words (MQTT-SN 1.2 §5.3.10).
#[must_use]
pub fn return_code(code: ReturnCode) -> String {
    match code {
        ReturnCode::ACCEPTED => "accepted".to_owned(),
        ReturnCode::CONGESTION => "rejected: congestion".to_owned(),
        ReturnCode::INVALID_TOPIC_ID => "rejected: invalid topic id".to_owned(),
        ReturnCode::NOT_SUPPORTED => "rejected: not supported".to_owned(),
        ReturnCode(other) => format!("rejected: reserved code 0x{other:02X}"),
    }
}

fn publish_topic(topic: PublishTopic) -> String {
    match topic {
        PublishTopic::Normal(id) => format!("topic id {id}"),
        PublishTopic::Predefined(id) => format!("predefined topic {id}"),
        PublishTopic::Short(name) => format!("short topic {}", text(&name)),
        PublishTopic::Reserved(id) => format!("topic field {id}"),
    }
}

fn subscribe_topic(topic: &SubscribeTopic<'_>) -> String {
    match topic {
        SubscribeTopic::Name(name) => text(name),
        SubscribeTopic::Predefined(id) => format!("predefined topic {id}"),
        SubscribeTopic::Short(name) => format!("short topic {}", text(name)),
        SubscribeTopic::Reserved => "unknown kind of topic".to_owned(),
    }
}

const fn qos(qos: Qos) -> &'static str {
    match qos {
        Qos::MinusOne => "QoS -1",
        Qos::Zero => "QoS 0",
        Qos::One => "QoS 1",
        Qos::Two => "QoS 2",
    }
}

/// Number of octets, and the octets: as text if they are, else in hex.
fn payload(octets: &[u8]) -> String {
    match octets {
        [] => "empty".to_owned(),
        [_] => format!("1 byte {}", text(octets)),
        _ => format!("{} bytes {}", octets.len(), text(octets)),
    }
}

/// Octets in quotes if they are text, else in hex; cut if there are many.
#[must_use]
pub fn text(octets: &[u8]) -> String {
    let shown = octets.get(..MOST_SHOWN).unwrap_or(octets);
    let more = if shown.len() < octets.len() { "…" } else { "" };
    let words = match std::str::from_utf8(shown) {
        Ok(words) => Some(words),
        // A character that the cut went through is no reason to show hex.
        Err(error) if error.error_len().is_none() && !more.is_empty() => {
            shown.get(..error.valid_up_to()).and_then(|part| std::str::from_utf8(part).ok())
        }
        Err(_) => None,
    };
    let fine =
        |words: &&str| words.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    match words.filter(fine) {
        Some(words) => format!("\"{}\"{more}", words.escape_debug()),
        None => format!("{}{more}", hex(shown)),
    }
}

/// Octets in hex with spaces.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    digits.join(" ")
}

fn hex_or_none(octets: &[u8]) -> String {
    if octets.is_empty() { "without id".to_owned() } else { hex(octets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encapsulation, decode};

    #[test]
    fn messages_say_what_they_are() {
        for (octets, line) in [
            (&b"\x05\x00\x07\x04\xB0"[..], "ADVERTISE: gateway 7, the next one in 1200 s"),
            (b"\x03\x01\x00", "SEARCHGW: anywhere in the network"),
            (b"\x06\x02\x07\x02\x12\x34", "GWINFO: gateway 7 at 02 12 34"),
            (
                b"\x08\x04\x0C\x01\x01\x2Cn1",
                "CONNECT: client \"n1\", keep-alive 300 s, clean session, with a will",
            ),
            (b"\x03\x05\x01", "CONNACK: rejected: congestion"),
            (b"\x02\x07", "WILLTOPIC: empty, deletes the will"),
            (b"\x0A\x07\x30s/1/lwt", "WILLTOPIC: \"s/1/lwt\", QoS 1, retained"),
            (b"\x06\x09gone", "WILLMSG: 4 bytes \"gone\""),
            (b"\x0A\x0A\x00\x00\x00\x01abcd", "REGISTER: \"abcd\", msg id 1"),
            (b"\x0A\x0A\x00\x12\x00\x01abcd", "REGISTER: topic id 18 is \"abcd\", msg id 1"),
            (b"\x07\x0B\x00\x11\x00\x01\x00", "REGACK: accepted, topic id 17, msg id 1"),
            (b"\x0B\x0C\x00\x00\x11\x00\x0021.5", "PUBLISH: topic id 17, QoS 0, 4 bytes \"21.5\""),
            (
                b"\x0B\x0C\xB0\x00\x11\x00\x0221.5",
                "PUBLISH: topic id 17, QoS 1, msg id 2, retained, sent again, 4 bytes \"21.5\"",
            ),
            (b"\x08\x0C\x62ab\x00\x00\x01", "PUBLISH: short topic \"ab\", QoS -1, 1 byte 01"),
            (
                b"\x07\x0C\x71\x00\x05\x00\x00",
                "PUBLISH: predefined topic 5, QoS -1, retained, empty",
            ),
            (b"\x04\x0F\x00\x04", "PUBREC: msg id 4"),
            (b"\x0C\x12\x20\x00\x05s/+/cmd", "SUBSCRIBE: \"s/+/cmd\", QoS 1, msg id 5"),
            (
                b"\x08\x13\x20\x00\x00\x00\x05\x00",
                "SUBACK: accepted, granted QoS 1, no topic id, msg id 5",
            ),
            (b"\x07\x14\x01\x00\x06\x00\x05", "UNSUBSCRIBE: predefined topic 5, msg id 6"),
            (b"\x02\x16", "PINGREQ"),
            (b"\x04\x16n1", "PINGREQ: client \"n1\" is awake"),
            (b"\x04\x18\x01\x2C", "DISCONNECT: sleeps for 300 s"),
            (b"\x03\x1D\x81", "WILLMSGRESP: rejected: reserved code 0x81"),
            (
                b"\x05\xFE\x01\x12\x34\x02\x16",
                "through a forwarder (node 12 34, radius 1): PINGREQ",
            ),
        ] {
            assert_eq!(packet(&decode(octets).unwrap()), line);
        }
    }

    #[test]
    fn what_would_be_refused_is_remarked() {
        for (octets, remark) in [
            (&b"\x06\x04\x04\x01\x00\x3C"[..], "client id is empty"),
            (b"\x08\x04\x04\x02\x00\x3Cn1", "MQTT-SN 2.0"),
            (b"\x08\x04\x04\x09\x00\x3Cn1", "protocol id is not 1"),
            (b"\x08\x0C\x60\x00\x11\x00\x001", "QoS -1 needs"),
            (b"\x08\x0C\x03\x00\x11\x00\x001", "type 3 is reserved"),
            (b"\x08\x0C\x20\x00\x11\x00\x001", "msg id 0"),
            (b"\x08\x0C\x00\x00\x00\x00\x001", "0 and 65535 are reserved"),
            (b"\x09\x0A\x00\x00\x00\x0Bs/#", "wildcards"),
            (b"\x06\x0A\x00\x00\x00\x0B", "name is empty"),
            (b"\x08\x0A\x00\x00\x00\x0C\xC3\x28", "not UTF-8"),
            (b"\x07\x12\x03\x00\x09ab", "type 3 is reserved"),
            (b"\x08\x12\x60\x00\x0Aa/b", "QoS -1 cannot"),
            (b"\x05\x12\x00\x00\x0D", "topic is empty"),
        ] {
            let line = packet(&decode(octets).unwrap());
            assert!(line.contains("(note: ") && line.contains(remark), "{remark}: {line}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        let message = Message::WillMsg { message: b"\x1B[2J" };
        assert_eq!(super::message(&message), "WILLMSG: 4 bytes 1B 5B 32 4A");
        assert_eq!(text("a\n\"b\"".as_bytes()), r#""a\n\"b\"""#);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(100);
        assert_eq!(text(&long.as_bytes()[1..]).chars().last(), Some('…'));
        let odd = format!("a{long}");
        assert_eq!(text(odd.as_bytes()), format!("\"a{}\"…", "é".repeat(47)));
        assert!(text(&[0xFF; 200]).ends_with("FF…"));
    }

    #[test]
    fn a_forwarder_may_have_no_node_id() {
        let forwarder = Some(Encapsulation { radius: 0, node_id: &[] });
        let line = packet(&Packet { forwarder, message: Message::PingResp });
        assert_eq!(line, "through a forwarder (node without id, radius 0): PINGRESP");
    }
}
