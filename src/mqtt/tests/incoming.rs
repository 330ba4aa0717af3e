//! Messages from the broker and their acknowledgements.

use super::*;

#[test]
fn messages_are_acknowledged_when_the_core_says_so() {
    let mut client = Client::connected(v4());
    client.input(b"\x32\x06\0\x01t\0\x05x").unwrap();
    let one = client.delivery();
    client.input(b"\x34\x06\0\x01t\0\x06y").unwrap();
    let two = client.delivery();
    client.input(b"\x3A\x06\0\x01t\0\x05x\x3C\x06\0\x01t\0\x06y").unwrap();
    assert_eq!((client.events(), client.sent()), (vec![], vec![]), "repetitions are not reported");
    client.acknowledge(two);
    assert_eq!(client.sent(), [0x50, 2, 0, 6]);
    client.acknowledge(one);
    client.acknowledge(one);
    assert_eq!(client.sent(), [0x40, 2, 0, 5]);
    client.input(b"\x3C\x06\0\x01t\0\x06y").unwrap();
    assert_eq!(client.sent(), [0x50, 2, 0, 6], "a lost PUBREC");
    client.input(&[0x62, 2, 0, 6]).unwrap();
    assert_eq!(client.sent(), [0x70, 2, 0, 6]);
    client.input(b"\x34\x06\0\x01t\0\x06y").unwrap();
    assert!(matches!(client.events()[..], [Event::Message { .. }]), "the id is free again");
    assert_eq!(client.session.stats().duplicates_dropped, 3);
    assert_eq!(client.session.stats().stale_acknowledgements, 1);
}

#[test]
fn acknowledgements_keep_the_order_of_the_messages_if_asked_to() {
    let mut client = Client::connected(Settings { acknowledge_in_order: true, ..v4() });
    let mut deliveries = Vec::new();
    for id in 1..=3 {
        client.input(&[0x32, 6, 0, 1, b't', 0, id, id]).unwrap();
        deliveries.push(client.delivery());
    }
    client.acknowledge(deliveries[2]);
    client.acknowledge(deliveries[1]);
    assert_eq!(client.sent(), [0_u8; 0]);
    client.acknowledge(deliveries[0]);
    assert_eq!(client.sent(), [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3]);
}

#[test]
fn an_acknowledgement_without_a_connection_answers_the_repetition() {
    let mut client = Client::connected(v4());
    client.input(b"\x32\x06\0\x01t\0\x05x").unwrap();
    let one = client.delivery();
    client.input(b"\x34\x06\0\x01t\0\x06y").unwrap();
    let two = client.delivery();
    client.close();
    client.acknowledge(one);
    client.acknowledge(two);
    assert_eq!(client.sent(), [0_u8; 0]);
    client.connect(true).unwrap();
    client.events();
    client.input(b"\x3A\x06\0\x01t\0\x05x\x3C\x06\0\x01t\0\x06y").unwrap();
    assert_eq!(client.events(), []);
    assert_eq!(client.sent(), [0x40, 2, 0, 5, 0x50, 2, 0, 6]);
}

#[test]
fn another_message_under_a_busy_packet_id_is_not_taken_for_a_repetition() {
    let mut client = Client::connected(v4());
    client.input(b"\x32\x06\0\x01t\0\x05x").unwrap();
    let old = client.delivery();
    client.reconnect(true);
    client.events();
    client.input(b"\x32\x06\0\x01t\0\x05z").unwrap();
    let new = client.delivery();
    client.acknowledge(old);
    assert_eq!(client.sent(), [0_u8; 0], "the old acknowledgement is not for the new message");
    client.acknowledge(new);
    assert_eq!(client.sent(), [0x40, 2, 0, 5]);
}

#[test]
fn a_delivery_of_a_lost_session_is_not_acknowledged() {
    let mut client = Client::connected(v4());
    client.input(b"\x32\x06\0\x01t\0\x05x").unwrap();
    let old = client.delivery();
    client.reconnect(false);
    client.events();
    client.input(b"\x32\x06\0\x01t\0\x05x").unwrap();
    let new = client.delivery();
    client.acknowledge(old);
    assert_eq!(client.sent(), [0_u8; 0]);
    client.acknowledge(new);
    assert_eq!(client.sent(), [0x40, 2, 0, 5]);
}

#[test]
fn a_broker_far_beyond_our_receive_maximum_is_told_so() {
    let mut client = Client::connected(Settings { receive_maximum: 2, ..v5() });
    // Some brokers count badly: sixteen times as many are borne.
    for id in 1..=32 {
        client.input(&[0x32, 7, 0, 1, b't', 0, id, 0, id]).unwrap();
    }
    client.input(&[0x3A, 7, 0, 1, b't', 0, 1, 0, 1]).unwrap();
    let error = client.input(&[0x32, 7, 0, 1, b't', 0, 33, 0, 33]).unwrap_err();
    assert_eq!(error, ConnectionError::ReceiveMaximumExceeded(2));
    assert_eq!(client.sent(), [0xE0, 1, 0x93]);
}

#[test]
fn subscription_identifiers_are_passed_on() {
    let mut client = Client::connected(v5());
    client.input(b"\x30\x09\0\x01t\x04\x0B\x05\x0B\x07x").unwrap();
    match &client.events()[..] {
        [Event::Message { delivery: None, topic, payload, ids }] => {
            assert_eq!((topic.as_str(), &payload[..], &ids[..]), ("t", &b"x"[..], &[5, 7][..]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_oversized_message_of_a_3_1_1_broker_is_thrown_away_and_acknowledged() {
    let mut client = Client::connected(Settings { max_packet_in: 1_000, ..v4() });
    let mut large = vec![0x34, 0x80, 0x80, 0x01, 0, 1, b't', 0, 9];
    large.resize(4 + 16_384, 0xAA);
    large.extend_from_slice(b"\x30\x04\0\x01ty");
    let mut input = BytesMut::new();
    for chunk in large.chunks(7) {
        input.extend_from_slice(chunk);
        let events = &mut client.events;
        client
            .session
            .handle_input(client.now, &mut input, &mut |event| events.push(event.into()))
            .unwrap();
        assert!(input.len() < 64, "nothing piles up");
    }
    assert_eq!(client.sent(), [0x50, 2, 0, 9]);
    client.input(&[0x62, 2, 0, 9]).unwrap();
    assert_eq!(client.sent(), [0x70, 2, 0, 9]);
    assert!(matches!(&client.events()[..], [Event::Message { payload, .. }] if payload == b"y"));
    assert_eq!(client.session.stats().oversized, 1);
}

#[test]
fn an_oversized_packet_of_an_mqtt_5_broker_is_its_fault() {
    let mut client = Client::connected(Settings { max_packet_in: 1_000, ..v5() });
    let error = client.input(&[0x32, 0x80, 0x80, 0x01]).unwrap_err();
    assert_eq!(error, ConnectionError::PacketTooLarge { length: 16_388, limit: 1_000 });
    assert!(error.to_string().contains("16388 octets"));
    assert_eq!(client.sent(), [0xE0, 1, 0x95]);
    client.close();
    assert_eq!(client.events(), [Event::Disconnected]);
}
