//! What only MQTT 5 has: aliases, properties, reason strings.

use super::*;
use crate::mqtt::{Publication, put_user_property};

/// A session with a broker that takes so many topic aliases.
fn with_aliases(most: u8) -> Client {
    let mut client = Client::new(v5());
    client.session.open(client.now);
    client.sent();
    client.input(&[0x20, 6, 0, 0, 3, 0x22, 0, most]).unwrap();
    client.events.clear();
    client
}

fn publish(client: &mut Client, topic: &str, qos: MqttQos, properties: &[u8]) -> Vec<u8> {
    let (token, payload, retain) = (Token(1), &b"x"[..], false);
    let (origin, keep) = (u32::MAX, false);
    let publication = Publication { token, topic, payload, qos, retain, origin, keep, properties };
    client.session.take(client.now, publication).unwrap();
    client.sent()
}

#[test]
fn a_topic_that_comes_again_is_named_by_a_number() {
    let mut client = with_aliases(5);
    let once = b"\x30\x0D\0\x09sensors/1\0x";
    assert_eq!(publish(&mut client, "sensors/1", MqttQos::Zero, &[]), once);
    let named = b"\x30\x10\0\x09sensors/1\x03\x23\0\x01x";
    assert_eq!(publish(&mut client, "sensors/1", MqttQos::Zero, &[]), named);
    let short = b"\x30\x07\0\0\x03\x23\0\x01x";
    assert_eq!(publish(&mut client, "sensors/1", MqttQos::Zero, &[]), short);
    let sent = publish(&mut client, "sensors/1", MqttQos::One, &[]);
    let [high, low] = [sent[4], sent[5]];
    assert_eq!(sent, [0x32, 9, 0, 0, high, low, 3, 0x23, 0, 1, b'x']);

    // On the next connection the number means nothing, and the topic is named in full.
    client.reconnect(true);
    let again = client.sent();
    assert_eq!(again[..13], *b"\x3A\x0F\0\x09sensors/1");
}

#[test]
fn none_where_the_broker_takes_none() {
    for mut client in [Client::connected(v5()), Client::connected(v4())] {
        let sent: Vec<_> =
            (0..3).map(|_| publish(&mut client, "sensors/1", MqttQos::Zero, &[])).collect();
        assert!(sent.iter().all(|one| *one == sent[0]), "{sent:02x?}");
    }
}

#[test]
fn properties_are_sent_and_sent_again_and_dropped_for_an_older_broker() {
    let mut properties = Vec::new();
    put_user_property(&mut properties, "link", "udp");
    let mut client = Client::connected(v5());
    let sent = publish(&mut client, "t", MqttQos::One, &properties);
    assert_eq!(sent[..5], *b"\x32\x13\0\x01t");
    assert_eq!(sent[7..], *b"\x0C\x26\0\x04link\0\x03udpx");
    client.reconnect(true);
    let again = client.sent();
    assert_eq!((again[0], &again[1..]), (0x3A, &sent[1..]));
    let mut client = Client::connected(v4());
    assert_eq!(publish(&mut client, "t", MqttQos::Zero, &properties), b"\x30\x04\0\x01tx");
}

#[test]
fn many_properties_have_a_longer_length() {
    let mut properties = Vec::new();
    put_user_property(&mut properties, "client-id", &"c".repeat(120));
    let mut client = Client::connected(v5());
    let sent = publish(&mut client, "t", MqttQos::Zero, &properties);
    assert_eq!(properties.len(), 134);
    // 2 + 1 for the topic, 2 for the length of the properties, the payload.
    assert_eq!(sent[..8], [0x30, 0x8C, 0x01, 0, 1, b't', 0x86, 0x01]);
    assert_eq!(sent.len(), 3 + 0x8C);
    assert_eq!(sent.last(), Some(&b'x'));
}

#[test]
fn what_the_broker_says_about_a_refusal_is_told() {
    let mut client = Client::connected(v5());
    let sent = publish(&mut client, "t", MqttQos::One, &[]);
    client
        .input(&[&[0x40, 0x0A, sent[5], sent[6], 0x87], &b"\x06\x1F\0\x03no\n"[..]].concat())
        .unwrap();
    let said = Event::Complaint("PUBLISH t 0x87 not authorized no\u{FFFD}".to_owned());
    assert_eq!(client.events[0], said);
    client.events.clear();
    client.session.subscribe(client.now, Token(2), "f", MqttQos::One, 1, true).unwrap();
    let sent = client.sent();
    client
        .input(&[&[0x90, 0x09, sent[2], sent[3]], &b"\x05\x1F\0\x02no\x8F"[..]].concat())
        .unwrap();
    let said = Event::Complaint("SUBSCRIBE  0x8f topic filter invalid no".to_owned());
    assert_eq!(client.events[0], said);
}

#[test]
fn what_is_told_of_an_expiry_reaches_the_core() {
    let mut client = Client::connected(v5());
    let mut expiries = Vec::new();
    let mut input = BytesMut::from(&b"\x30\x09\0\x01t\x05\x02\0\0\0\x3C\x30\x04\0\x01t\0"[..]);
    let events = &mut |event: UpstreamEvent<'_>| {
        if let UpstreamEvent::Message { expiry, .. } = event {
            expiries.push(expiry);
        }
    };
    client.session.handle_input(client.now, &mut input, events).unwrap();
    assert_eq!(expiries, [Some(60), None]);
}
