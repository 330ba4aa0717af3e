//! The session against a broker of a few octets.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::{ConnectionError, Session, Settings, Version};
use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::time::Time;

/// An event without its borrow.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Event {
    Connected { present: bool, ids: bool, qos: MqttQos },
    Disconnected,
    Received(u64),
    Published(u64, Result<(), Refusal>),
    Subscribed(u64, Result<MqttQos, Refusal>),
    Unsubscribed(u64),
    Message { delivery: Option<DeliveryId>, topic: String, payload: Vec<u8>, ids: Vec<u32> },
}

impl From<UpstreamEvent<'_>> for Event {
    fn from(event: UpstreamEvent<'_>) -> Self {
        match event {
            UpstreamEvent::Connected { session_present, subscription_ids, maximum_qos } => {
                Self::Connected {
                    present: session_present,
                    ids: subscription_ids,
                    qos: maximum_qos,
                }
            }
            UpstreamEvent::Disconnected => Self::Disconnected,
            UpstreamEvent::Received { token } => Self::Received(token.0),
            UpstreamEvent::Published { token, outcome } => Self::Published(token.0, outcome),
            UpstreamEvent::Subscribed { token, outcome } => Self::Subscribed(token.0, outcome),
            UpstreamEvent::Unsubscribed { token } => Self::Unsubscribed(token.0),
            UpstreamEvent::Message { delivery, topic, payload, subscription_ids, .. } => {
                Self::Message {
                    delivery,
                    topic: topic.into(),
                    payload: payload.into(),
                    ids: subscription_ids.into(),
                }
            }
        }
    }
}

struct Client {
    session: Session,
    now: Time,
    events: Vec<Event>,
}

impl Client {
    fn new(settings: Settings) -> Self {
        Self { session: Session::new(settings, 0), now: Time(0), events: Vec::new() }
    }

    /// A client that is connected, with a session that was not there before.
    fn connected(settings: Settings) -> Self {
        let mut client = Self::new(settings);
        client.connect(false).unwrap();
        client.events.clear();
        client
    }

    fn connect(&mut self, present: bool) -> Result<(), ConnectionError> {
        self.session.open(self.now);
        let connect = self.sent();
        assert_eq!(connect[0], 0x10);
        match connect[8] {
            5 => self.input(&[0x20, 3, u8::from(present), 0, 0]),
            _ => self.input(&[0x20, 2, u8::from(present), 0]),
        }
    }

    fn reconnect(&mut self, present: bool) {
        self.close();
        self.connect(present).unwrap();
    }

    fn close(&mut self) {
        let events = &mut self.events;
        self.session.closed(self.now, &mut |event| events.push(event.into()));
    }

    fn input(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let events = &mut self.events;
        let mut input = BytesMut::from(bytes);
        let result =
            self.session.handle_input(self.now, &mut input, &mut |event| events.push(event.into()));
        assert!(result.is_err() || input.is_empty(), "left over: {input:02x?}");
        result
    }

    fn sent(&mut self) -> Vec<u8> {
        let output = self.session.output();
        let bytes = output.to_vec();
        output.advance(bytes.len());
        bytes
    }

    fn publish(&mut self, token: u64, qos: MqttQos) -> Result<(), Refusal> {
        self.session.publish(self.now, Token(token), "t", &[token as u8], qos, false)
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn acknowledge(&mut self, delivery: DeliveryId) {
        self.session.acknowledge(self.now, delivery);
    }

    /// The one message that was reported, by its delivery.
    fn delivery(&mut self) -> DeliveryId {
        match &self.events()[..] {
            [Event::Message { delivery: Some(delivery), .. }] => *delivery,
            other => panic!("{other:?}"),
        }
    }
}

fn v4() -> Settings {
    Settings { version: Version::V311, clean_start: false, ..Settings::default() }
}

fn v5() -> Settings {
    Settings { version: Version::V5, clean_start: false, ..Settings::default() }
}

/// Packet id of a PUBLISH to topic "t".
fn id(publish: &[u8]) -> [u8; 2] {
    [publish[5], publish[6]]
}

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
    assert_eq!(again[..5], [0x3A, 6, 0, 1, b't'], "DUP");
    assert_eq!(again[..8][5..], sent[8..16][5..], "same packet id, same payload");
    assert_eq!(again[8..16][5..], sent[16..24][5..]);
    assert_eq!(again[16..], [0x62, 2, high, low], "PUBREL after what was not acknowledged");
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
fn subscriptions_come_back_with_their_tokens_and_die_with_the_connection() {
    let mut client = Client::connected(v5());
    let now = client.now;
    let session = &mut client.session;
    session.subscribe(now, Token(1), "a/#", MqttQos::Two, 5, false).unwrap();
    session.subscribe(now, Token(2), "b", MqttQos::Zero, 6, true).unwrap();
    session.unsubscribe(now, Token(3), "c").unwrap();
    let sent = client.sent();
    assert_eq!(sent[4..12], [2, 0x0B, 5, 0, 3, b'a', b'/', b'#']);
    assert_eq!(sent[12], 0x22, "retain handling 2");
    let (one, two, three) = (sent[3], sent[16], sent[27]);
    client.input(&[0x90, 4, sent[15], two, 0, 0x87]).unwrap();
    client.input(&[0xB0, 4, sent[26], three, 0, 0]).unwrap();
    let answered = [Event::Subscribed(2, Err(Refusal::NotSupported)), Event::Unsubscribed(3)];
    assert_eq!(client.events(), answered);
    client.reconnect(true);
    client.events();
    client.input(&[0x90, 4, sent[2], one, 0, 0]).unwrap();
    assert_eq!(client.events(), [], "the SUBSCRIBE of an old connection is forgotten");
    assert_eq!(client.session.stats().packet_ids, 0);
}

#[test]
fn filters_that_brokers_hang_up_on_are_refused_here() {
    let mut client = Client::connected(v4());
    for filter in ["", "a/#/b", "a#", "a+/b", "a\0", &"x".repeat(70_000)] {
        let result = client.session.subscribe(client.now, Token(1), filter, MqttQos::One, 1, true);
        assert_eq!(result, Err(Refusal::NotSupported), "{:.10}", filter);
    }
    client.close();
    let result = client.session.subscribe(client.now, Token(1), "a", MqttQos::One, 1, true);
    assert_eq!(result, Err(Refusal::Congestion));
}

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
fn a_broker_beyond_our_receive_maximum_is_told_so() {
    let mut client = Client::connected(Settings { receive_maximum: 2, ..v5() });
    for id in 1..=2 {
        client.input(&[0x32, 7, 0, 1, b't', 0, id, 0, id]).unwrap();
    }
    client.input(&[0x3A, 7, 0, 1, b't', 0, 1, 0, 1]).unwrap();
    let error = client.input(&[0x32, 7, 0, 1, b't', 0, 3, 0, 3]).unwrap_err();
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

#[test]
fn an_idle_connection_is_pinged_and_a_silent_one_given_up() {
    let mut client = Client::connected(Settings { keep_alive: Duration::from_secs(10), ..v4() });
    assert_eq!(client.session.next_timeout(), Some(Time(10_000)));
    client.now = Time(10_000);
    client.session.handle_timeout(client.now).unwrap();
    assert_eq!(client.sent(), [0xC0, 0]);
    client.now = Time(12_000);
    client.input(&[0xD0, 0]).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(20_000)));
    client.now = Time(22_000);
    client.session.handle_timeout(client.now).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(27_000)));
    client.now = Time(27_000);
    let error = client.session.handle_timeout(client.now).unwrap_err();
    assert_eq!(error, ConnectionError::KeepAliveTimeout(Duration::from_secs(15)));
    client.close();
    assert_eq!(client.events(), [Event::Disconnected]);
    assert_eq!(client.session.next_timeout(), None);
}

#[test]
fn the_broker_chooses_the_keep_alive_in_mqtt_5() {
    let mut client = Client::new(v5());
    client.session.open(client.now);
    client.input(&[0x20, 6, 0, 0, 3, 0x13, 0, 3]).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(3_000)));
}

#[test]
fn a_connack_that_does_not_come_is_an_error() {
    let mut client = Client::new(v4());
    client.session.open(Time(5));
    assert_eq!(client.session.next_timeout(), Some(Time(10_005)));
    client.session.handle_timeout(Time(10_004)).unwrap();
    let error = client.session.handle_timeout(Time(10_005)).unwrap_err();
    assert!(error.to_string().contains("did not answer CONNECT within 10s"), "{error}");
    client.close();
    assert_eq!(client.events(), []);
}

#[test]
fn auto_speaks_5_then_3_1_1_when_the_broker_refuses_5() {
    let settings = Settings { version: Version::Auto, clean_start: false, ..Settings::default() };
    for refusal in [&[0x20, 2, 0, 1][..], &[0x20, 3, 0, 0x84, 0]] {
        let mut client = Client::new(settings.clone());
        client.session.open(client.now);
        assert_eq!(client.sent()[8], 5);
        let error = client.input(refusal).unwrap_err();
        assert!(error.reopen_at_once(), "{error}");
        client.close();
        for _ in 0..2 {
            client.session.open(client.now);
            assert_eq!(client.sent()[8], 4);
            client.input(&[0x20, 2, 0, 0]).unwrap();
            client.close();
        }
    }
    let mut client = Client::new(settings);
    for version in [5, 4, 5] {
        client.session.open(client.now);
        assert_eq!(client.sent()[8], version, "hung up without a CONNACK");
        client.close();
    }
}

#[test]
fn requests_survive_a_change_of_version() {
    let settings = Settings { version: Version::Auto, clean_start: false, ..Settings::default() };
    let mut client = Client::new(settings);
    client.connect(false).unwrap();
    client.publish(1, MqttQos::One).unwrap();
    assert_eq!(client.sent()[1], 7);
    client.close();
    client.session.open(client.now);
    client.close();
    client.connect(true).unwrap();
    assert_eq!(client.sent()[..5], [0x3A, 6, 0, 1, b't'], "3.1.1 has no properties");
}

#[test]
fn a_clean_start_wipes_with_a_connection_of_its_own() {
    for (settings, connack) in [(v4(), &[0x20, 2, 0, 0][..]), (v5(), &[0x20, 3, 0, 0, 0])] {
        let mut client = Client::new(Settings { clean_start: true, ..settings });
        client.publish(1, MqttQos::One).unwrap();
        for _ in 0..2 {
            // Also after an attempt that failed.
            client.close();
            client.session.open(client.now);
            assert_eq!(client.sent()[9] & 2, 2, "clean");
        }
        let error = client.input(connack).unwrap_err();
        assert_eq!(error, ConnectionError::SessionDiscarded);
        assert!(error.reopen_at_once());
        assert_eq!(client.sent(), [0xE0, 0]);
        client.close();
        assert_eq!(client.events(), [], "this one does not count");
        for _ in 0..2 {
            client.session.open(client.now);
            assert_eq!(client.sent()[9] & 2, 0);
            client.input(connack).unwrap();
            assert!(client.session.is_connected());
            client.close();
        }
        assert_eq!(client.session.stats().connects, 2);
    }
}

#[test]
fn a_session_that_should_be_gone_is_an_error() {
    let mut client = Client::new(Settings { clean_start: true, ..v5() });
    assert!(matches!(client.connect(true), Err(ConnectionError::Protocol(_))));
}

#[test]
fn refused_connections_say_what_to_do() {
    for (settings, connack, expected) in [
        (v4(), &[0x20, 2, 0, 4][..], "check username and password"),
        (v4(), &[0x20, 2, 0, 5], "does not authorize"),
        (v4(), &[0x20, 2, 0, 2], "client id"),
        (v4(), &[0x20, 2, 0, 3], "trying again later"),
        (v4(), &[0x20, 2, 0, 1], "set version = \"5\""),
        (v5(), b"\x20\x09\0\x86\x06\x1F\0\x03why", "saying \"why\""),
        (v5(), &[0x20, 3, 0, 0x89, 0], "server busy"),
        (v5(), &[0x20, 3, 0, 0x84, 0], "set version = \"3.1.1\""),
    ] {
        let mut client = Client::new(settings);
        client.session.open(client.now);
        client.sent();
        let error = client.input(connack).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(client.sent(), [0_u8; 0], "nothing is sent after a refusal");
        client.close();
        assert_eq!(client.events(), []);
    }
}

#[test]
fn a_disconnect_of_the_broker_says_why() {
    let mut client = Client::connected(v5());
    let error = client.input(&[0xE0, 1, 0x8E]).unwrap_err().to_string();
    assert!(error.contains("session taken over") && error.contains("its own name"), "{error}");
    let mut client = Client::connected(v4());
    assert!(client.input(&[0xE0, 0]).is_err());
}

#[test]
fn our_disconnect_is_clean_and_final() {
    for settings in [v4(), v5()] {
        let mut client = Client::connected(settings);
        client.publish(1, MqttQos::One).unwrap();
        client.sent();
        client.session.disconnect();
        assert_eq!(client.sent(), [0xE0, 0]);
        assert!(!client.session.is_connected());
        assert_eq!(client.publish(2, MqttQos::Zero), Err(Refusal::Congestion));
        client.input(b"\x30\x04\0\x01tx").unwrap();
        client.close();
        assert_eq!(client.events(), [Event::Disconnected]);
        client.close();
        assert_eq!(client.events(), [], "closed twice");
    }
}

#[test]
fn hostile_packets_end_the_connection() {
    for settings in [v4(), v5()] {
        for bad in [
            &[0x20, 2, 0, 0][..],         // a second CONNACK
            &[0x36, 5, 0, 1, b't', 0, 1], // QoS 3
            &[0x32, 5, 0, 1, b't', 0, 0], // packet id 0
            &[0x30, 3, 0, 1, b'#'],       // a wildcard
            &[0x41, 2, 0, 1],             // flags
            &[0x60, 2, 0, 1],             // PUBREL needs flags 2
            &[0x40, 1, 0],                // cut
            &[0x40, 0],
            &[0x90, 2, 0, 1], // no code
            &[0xD0, 1, 0],    // a PINGRESP with something in it
            &[0x10, 2, 0, 1], // what only clients send
            &[0x82, 2, 0, 1],
            &[0xC0, 0],
            &[0xF0, 0],
            &[0x00, 0],
            &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], // remaining length
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut client = Client::connected(settings.clone());
            assert!(client.input(bad).is_err(), "{bad:02x?}");
            client.close();
            assert_eq!(client.events(), [Event::Disconnected]);
        }
        for early in [&[0x30, 4, 0, 1, b't', 0][..], &[0x40, 2, 0, 1], &[0xD0, 0], b"HTTP/1.1 400"]
        {
            let mut client = Client::new(settings.clone());
            client.session.open(client.now);
            assert!(client.input(early).is_err(), "{early:02x?}");
            client.close();
            assert_eq!(client.events(), []);
        }
    }
}

#[test]
fn a_broker_that_sends_and_does_not_read_is_given_up() {
    let mut client = Client::connected(Settings { max_queued_bytes: 1, ..v4() });
    let flood: Vec<u8> = [0x50, 2, 0, 9].repeat(10_000);
    let result = (0..1_000).try_for_each(|_| client.input(&flood));
    assert!(matches!(result, Err(ConnectionError::Stalled(_))), "{result:?}");
    assert!(client.session.output().len() < 8 * 1024 * 1024);
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 1_024, "{}", size_of::<Session>());
}
