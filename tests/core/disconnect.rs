//! DISCONNECT (MQTT-SN 1.2 §6.12), and those who are not connected.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::{Drop, Limit};

use crate::harness::*;

const FIVE: PublishTopic = PublishTopic::Predefined(5);

#[test]
fn disconnect_is_answered_by_disconnect() {
    for duration in [None, Some(0)] {
        let mut world = World::new();
        let node = device(1);
        world.connect(&node, "n1");
        world.exchange(&node, Message::Disconnect { duration }, &[BYE]);
        assert_eq!((world.stats().clients, world.stats().lost), (0, 0));
    }
}

/// §24.22: or a client whose reply was lost never stops.
#[test]
fn a_repeated_disconnect_is_answered_again() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    for _ in 0..4 {
        world.exchange(&node, BYE, &[BYE]);
        world.pass(seconds(10));
    }
}

#[test]
fn a_kept_session_survives_disconnect() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.register(&node, 1, "a");
    world.exchange(&node, BYE, &[BYE]);
    assert_eq!((world.stats().clients, world.stats().connected), (1, 0));
}

/// §6.12: who asks for something without being connected is told to connect.
#[test]
fn requests_of_strangers_are_answered_by_disconnect() {
    let requests = [
        register(1, "a"),
        publish(PublishTopic::Normal(7), Qos::Zero, 0, b"x"),
        publish(FIVE, Qos::Zero, 0, b"x"),
        publish(FIVE, Qos::One, 1, b"x"),
        publish(FIVE, Qos::Two, 1, b"x"),
        pubrel(1),
        subscribe(1, "a", Qos::One),
        unsubscribe(1, "a"),
        PING,
        Message::PingReq { client_id: b"n1" },
        BYE,
        Message::Disconnect { duration: Some(60) },
        Message::WillTopicUpd(None),
        Message::WillMsgUpd { message: b"x" },
    ];
    for request in requests {
        let mut world = World::new();
        world.exchange(&device(1), request, &[BYE]);
        assert_eq!((world.up(), world.dropped(Drop::Stranger)), (vec![], 1));
        assert_eq!(world.stats().clients, 0);
    }
}

/// Answers to nothing are dropped in silence: a reply would begin a conversation of two gateways.
#[test]
fn answers_of_strangers_are_dropped() {
    let answers = [
        regack(1, 1, OK),
        puback(1, 1, OK),
        puback(1, 0, INVALID_ID),
        pubrec(1),
        pubcomp(1),
        PONG,
        will_topic("a", Qos::Zero, false),
        Message::WillTopic(None),
        will_msg("a"),
    ];
    let mut world = World::new();
    for (number, answer) in (0..).zip(answers) {
        world.exchange(&device(number), answer, &[]);
    }
    assert_eq!(world.dropped(Drop::Stranger), 9);
}

/// Not even the owner of a kept session is connected before its CONNECT.
#[test]
fn a_client_that_has_gone_is_a_stranger() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a");
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(1));
    world.exchange(&node, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[BYE]);
    assert_eq!(world.up(), []);
}

/// Not to become a reflector.
#[test]
fn strangers_are_answered_at_a_limited_rate() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, PING, &[BYE]);
    for _ in 0..9 {
        world.exchange(&node, PING, &[]);
    }
    assert_eq!((world.limit(Limit::Strangers), world.dropped(Drop::Stranger)), (9, 10));
    world.exchange(&device(2), PING, &[BYE]);
    world.pass(Duration::from_millis(500));
    world.exchange(&node, PING, &[BYE]);
    // All together.
    world.pass(seconds(1));
    let answered = (0..20_000)
        .filter(|number| {
            let node = device(*number);
            world.send(&node, PING);
            !world.received(&node).is_empty()
        })
        .count();
    assert_eq!(answered, 5_000);
    // Those who are connected do not suffer from it.
    world.connect(&device(1), "n1");
    world.exchange(&device(1), PING, &[PONG]);
}

/// What only gateways send is nobody's request.
#[test]
fn packets_of_gateways_are_dropped() {
    let packets = [
        Message::Advertise { gateway_id: 2, duration: 900 },
        Message::GwInfo { gateway_id: 2, address: &[] },
        connack(OK),
        Message::WillTopicReq,
        Message::WillMsgReq,
        suback(Qos::Zero, 1, 1, OK),
        unsuback(1),
        Message::WillTopicResp { code: OK },
        Message::WillMsgResp { code: OK },
    ];
    let mut world = World::new();
    let (node, stranger) = (device(1), device(2));
    world.connect(&node, "n1");
    for packet in packets {
        world.exchange(&node, packet, &[]);
        world.exchange(&stranger, packet, &[]);
    }
    assert_eq!(world.dropped(Drop::WrongDirection), 18);
    world.exchange(&node, PING, &[PONG]);
}
