//! Publications: the window, the queue, what happens when the connection or the session goes.

use super::*;

#[test]
fn qos_0_goes_straight_out_and_is_congestion_without_a_connection() {
    let mut client = Client::connected(v4());
    client.publish(7, MqttQos::Zero).unwrap();
    assert_eq!(client.sent(), b"\x30\x04\0\x01t\x07");
    client.close();
    assert_eq!(client.publish(7, MqttQos::Zero), Err(Refusal::Congestion));
}

#[test]
fn qos_1_is_over_with_its_puback() {
    for settings in [v4(), v5()] {
        let mut client = Client::connected(settings);
        client.publish(1, MqttQos::One).unwrap();
        let [high, low] = id(&client.sent());
        client.input(&[0x40, 2, high, low]).unwrap();
        client.input(&[0x40, 2, high, low]).unwrap();
        assert_eq!(client.events(), [Event::Published(1, Ok(()))]);
        assert_eq!(client.session.stats().unexpected_acks, 1);
        assert_eq!(client.session.stats().queued_bytes, 0);
    }
}

#[test]
fn qos_2_is_received_with_its_pubrec_and_over_with_its_pubcomp() {
    let mut client = Client::connected(v5());
    client.publish(1, MqttQos::Two).unwrap();
    let [high, low] = id(&client.sent());
    client.input(&[0x70, 2, high, low]).unwrap();
    assert_eq!(client.events(), [], "PUBCOMP before PUBREC");
    for _ in 0..2 {
        client.input(&[0x50, 2, high, low]).unwrap();
        assert_eq!(client.sent(), [0x62, 2, high, low]);
    }
    assert_eq!(client.events(), [Event::Received(1)]);
    client.input(&[0x70, 2, high, low]).unwrap();
    assert_eq!(client.events(), [Event::Published(1, Ok(()))]);
}

#[test]
fn a_refusal_of_the_broker_ends_the_request() {
    let mut client = Client::connected(v5());
    for (reason, refusal) in [(0x97, Refusal::Congestion), (0x87, Refusal::NotSupported)] {
        client.publish(1, MqttQos::One).unwrap();
        let [high, low] = id(&client.sent());
        client.input(&[0x40, 3, high, low, reason]).unwrap();
        client.publish(2, MqttQos::Two).unwrap();
        let [high, low] = id(&client.sent());
        client.input(&[0x50, 3, high, low, reason]).unwrap();
        assert_eq!(client.sent(), [0_u8; 0], "no PUBREL after a PUBREC that refuses");
        let refused = [Event::Published(1, Err(refusal)), Event::Published(2, Err(refusal))];
        assert_eq!(client.events(), refused);
    }
    assert_eq!(client.session.stats().refused_by_broker, 4);
}

#[test]
fn an_unknown_pubrec_gets_its_pubrel_and_other_unknowns_nothing() {
    for (settings, pubrel) in [(v4(), &[0x62, 2, 0, 9][..]), (v5(), &[0x62, 3, 0, 9, 0x92])] {
        let mut client = Client::connected(settings);
        client.input(&[0x50, 2, 0, 9]).unwrap();
        assert_eq!(client.sent(), pubrel);
        client.input(&[0x40, 2, 0, 9, 0x70, 2, 0, 9]).unwrap();
        assert_eq!(client.sent(), [0_u8; 0]);
        assert_eq!(client.session.stats().unexpected_acks, 3);
    }
}

#[test]
fn the_window_opens_with_every_acknowledgement_and_keeps_the_order() {
    let settings = Settings { max_inflight: 2, max_queued: 3, ..v4() };
    let mut client = Client::connected(settings);
    for token in 1..=5 {
        client.publish(token, MqttQos::One).unwrap();
    }
    assert_eq!(client.publish(6, MqttQos::One), Err(Refusal::Congestion));
    assert_eq!((client.session.stats().in_flight, client.session.stats().queued), (2, 3));
    let mut order = Vec::new();
    loop {
        let sent = client.sent();
        if sent.is_empty() {
            break;
        }
        for packet in sent.chunks(8) {
            order.push(packet[7]);
            let [high, low] = id(packet);
            client.input(&[0x40, 2, high, low]).unwrap();
        }
    }
    assert_eq!(order, [1, 2, 3, 4, 5]);
    assert_eq!(client.events().len(), 5);
}

#[test]
fn the_receive_maximum_of_the_broker_lowers_the_window() {
    let mut client = Client::new(v5());
    client.session.open(client.now);
    client.sent();
    client.input(&[0x20, 6, 0, 0, 3, 0x21, 0, 1]).unwrap();
    client.publish(1, MqttQos::One).unwrap();
    client.publish(2, MqttQos::Two).unwrap();
    assert_eq!((client.session.stats().in_flight, client.session.stats().queued), (1, 1));
    client.publish(3, MqttQos::Zero).unwrap();
}

#[test]
fn the_octets_of_the_queue_are_bounded() {
    let settings = Settings { max_queued_bytes: 100, ..v4() };
    let mut client = Client::connected(settings);
    let mut publish = |size: usize| {
        let payload = vec![0; size];
        client.session.publish(client.now, Token(1), "t", &payload, MqttQos::One, false)
    };
    assert_eq!(publish(59), Ok(()));
    assert_eq!(publish(40), Err(Refusal::Congestion));
    assert_eq!(publish(39), Ok(()));
    assert_eq!(publish(100), Err(Refusal::NotSupported), "would never fit");
    assert_eq!(client.session.stats().queued_bytes, 100);
    assert_eq!(client.session.stats().refused_congestion, 1);
    assert_eq!(client.session.stats().refused_not_supported, 1);
}

#[test]
fn a_broker_that_does_not_read_is_congestion_at_qos_0() {
    let mut client = Client::connected(v4());
    let payload = vec![0; 64 * 1024];
    let mut taken = 0;
    while client.session.publish(client.now, Token(1), "t", &payload, MqttQos::Zero, false).is_ok()
    {
        taken += 1;
        assert!(taken < 100);
    }
    assert!((16..20).contains(&taken));
    client.sent();
    assert!(client.publish(1, MqttQos::Zero).is_ok());
}

#[test]
fn a_kept_session_is_resumed_with_dup_and_pubrel_in_order() {
    let mut client = Client::connected(Settings { max_inflight: 3, ..v4() });
    for (token, qos) in [(1, MqttQos::Two), (2, MqttQos::One), (3, MqttQos::One), (4, MqttQos::One)]
    {
        client.publish(token, qos).unwrap();
    }
    let sent = client.sent();
    let [high, low] = id(&sent);
    client.input(&[0x50, 2, high, low]).unwrap();
    client.reconnect(true);
    client.publish(5, MqttQos::One).unwrap();
    let again = client.sent();
    assert_eq!(again[..4], [0x62, 2, high, low], "PUBREL before what was not acknowledged");
    assert_eq!(again[4..9], [0x3A, 6, 0, 1, b't'], "DUP");
    assert_eq!(again[4..12][5..], sent[8..16][5..], "same packet id, same payload");
    assert_eq!(again[12..][5..], sent[16..24][5..]);
    client.input(&[0x70, 2, high, low]).unwrap();
    assert_eq!(client.sent()[7], 4, "what is new comes last");
    assert_eq!(client.session.stats().resent, 3);
    let events = client.events();
    assert_eq!(events[0], Event::Received(1));
    assert_eq!(events[1], Event::Disconnected);
    assert!(matches!(events[2], Event::Connected { present: true, .. }));
    assert_eq!(events[3], Event::Published(1, Ok(())));
}

#[test]
fn after_a_lost_session_everything_is_sent_as_new() {
    let mut client = Client::connected(v4());
    client.publish(1, MqttQos::Two).unwrap();
    client.publish(2, MqttQos::One).unwrap();
    let [high, low] = id(&client.sent());
    client.input(&[0x50, 2, high, low]).unwrap();
    client.reconnect(false);
    let again = client.sent();
    assert_eq!((again[0], again[7], again[8], again[15]), (0x34, 1, 0x32, 2), "no DUP, in order");
    assert_ne!(id(&again), [high, low]);
    let stats = *client.session.stats();
    assert_eq!((stats.republished, stats.republished_after_pubrec, stats.resent), (2, 1, 0));
    client.events();
    let [high, low] = id(&again);
    client.input(&[0x50, 2, high, low, 0x70, 2, high, low]).unwrap();
    assert_eq!(client.events(), [Event::Published(1, Ok(()))], "Received was reported before");
}

#[test]
fn what_the_broker_hangs_up_on_is_given_up() {
    let mut client = Client::connected(v4());
    client.publish(1, MqttQos::One).unwrap();
    client.publish(2, MqttQos::One).unwrap();
    for connection in 1..=5 {
        assert_eq!(client.sent().len(), if connection <= 2 { 16 } else { 8 }, "alone");
        client.session.peer_closed();
        client.reconnect(true);
    }
    assert!(!client.events().iter().any(|event| matches!(event, Event::Published(..))));
    client.session.peer_closed();
    client.close();
    let given_up = [Event::Published(1, Err(Refusal::NotSupported)), Event::Disconnected];
    assert_eq!(client.events(), given_up);
    assert_eq!(client.session.stats().given_up, 1);
    // With a sign of life in between nobody is suspected.
    for _ in 0..20 {
        client.connect(true).unwrap();
        client.publish(3, MqttQos::One).unwrap();
        let sent = client.sent();
        let [high, low] = id(&sent[sent.len() - 8..]);
        client.input(&[0x40, 2, high, low]).unwrap();
        client.session.peer_closed();
        client.close();
    }
    assert_eq!(client.session.stats().given_up, 1);
}

#[test]
fn a_network_that_fails_is_not_the_fault_of_a_publication() {
    let mut client = Client::connected(v4());
    client.publish(1, MqttQos::One).unwrap();
    for _ in 0..20 {
        client.now = Time(client.now.0 + 60_000);
        client.session.handle_timeout(client.now).unwrap();
        client.now = Time(client.now.0 + 60_000);
        client.session.handle_timeout(client.now).unwrap_err();
        client.sent();
        client.reconnect(true);
        client.reconnect(true);
    }
    assert_eq!(client.session.stats().given_up, 0);
}

#[test]
fn an_acknowledgement_counts_only_on_the_connection_that_sent() {
    let mut client = Client::connected(Settings { max_inflight: 1, ..v4() });
    client.publish(1, MqttQos::One).unwrap();
    client.publish(2, MqttQos::One).unwrap();
    let [high, low] = id(&client.sent());
    client.close();
    client.session.open(client.now);
    client.sent();
    client.input(&[0x20, 2, 1, 0, 0x40, 2, high, low, 0x40, 2, high, low]).unwrap();
    let published = client.events.iter().filter(|e| matches!(e, Event::Published(..))).count();
    assert_eq!(published, 1);
}

#[test]
fn what_waits_is_checked_again_by_the_limits_of_the_next_connection() {
    let mut client = Client::connected(v5());
    client.close();
    client.publish(1, MqttQos::Two).unwrap();
    client.publish(2, MqttQos::One).unwrap();
    client.session.open(client.now);
    client.sent();
    client.events();
    client.input(&[0x20, 5, 0, 0, 2, 0x24, 1]).unwrap();
    let events = client.events();
    assert!(matches!(events[0], Event::Connected { qos: MqttQos::One, .. }));
    assert_eq!(events[1], Event::Published(1, Err(Refusal::NotSupported)));
    assert_eq!(client.sent()[8], 2);
    assert_eq!(client.publish(3, MqttQos::Two), Err(Refusal::NotSupported));
}

#[test]
fn what_the_broker_cannot_take_is_refused_before_it_is_sent() {
    let mut client = Client::new(v5());
    client.session.open(client.now);
    client.sent();
    client.input(&[0x20, 10, 0, 0, 7, 0x25, 0, 0x27, 0, 0, 0, 20]).unwrap();
    let now = client.now;
    let mut publish = |topic, size: usize, retain| {
        let payload = vec![0; size];
        client.session.publish(now, Token(1), topic, &payload, MqttQos::One, retain)
    };
    assert_eq!(publish("t", 12, false), Ok(()));
    assert_eq!(publish("t", 13, false), Err(Refusal::NotSupported));
    assert_eq!(publish("t", 1, true), Err(Refusal::NotSupported));
    for topic in ["", "a/+", "#", "a\0"] {
        assert_eq!(publish(topic, 1, false), Err(Refusal::NotSupported), "{topic:?}");
    }
    assert_eq!(client.session.stats().in_flight, 1);
}

#[test]
fn requests_survive_a_change_of_version() {
    let settings = Settings { version: Version::Auto, clean_start: false, ..Settings::default() };
    let mut client = Client::new(settings);
    client.connect(false).unwrap();
    client.publish(1, MqttQos::One).unwrap();
    assert_eq!(client.sent()[1], 7);
    client.close();
    // Another broker at the same address.
    client.session.open(client.now);
    client.input(&[0x20, 2, 0, 1]).unwrap_err();
    client.close();
    client.connect(true).unwrap();
    assert_eq!(client.sent()[..5], [0x3A, 6, 0, 1, b't'], "3.1.1 has no properties");
}

#[test]
fn qos_0_from_the_spool_does_not_keep_the_window_shut() {
    let spool = super::super::Spool { qos0: true, ..Default::default() };
    let mut client = Client::new(Settings { spool: Some(spool), max_inflight: 1, ..v5() });
    for token in 1..=3 {
        client.publish(token, MqttQos::Zero).unwrap();
    }
    client.connect(false).unwrap();
    for token in 1..=3 {
        // Written down that it is about to be sent.
        client.session.drain_records(&mut Vec::new());
        client.session.seal();
        client.session.release(client.now, &mut |_| {});
        assert_eq!(client.sent(), [0x30, 5, 0, 1, b't', 0, token]);
    }
}
