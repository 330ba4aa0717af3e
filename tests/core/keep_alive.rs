//! Keep-alive, loss and expiry (MQTT-SN 1.2 §6.11, §7.2).

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::Settings;

use crate::harness::*;

#[test]
fn pingreq_is_answered_by_the_gateway_with_or_without_the_client_id() {
    let mut world = World::offline(settings());
    let node = device(1);
    world.connect(&node, "n1");
    world.exchange(&node, PING, &[PONG]);
    world.exchange(&node, Message::PingReq { client_id: b"n1" }, &[PONG]);
    // In the long form too.
    world.send_hex(&node, "01 00 04 16");
    world.expect(&node, &[PONG]);
}

/// §24.20: a client id in a PINGREQ is no proof of anything.
#[test]
fn pingreq_with_a_foreign_id_changes_nothing_for_its_owner() {
    let mut world = World::new();
    let (a, b) = (device(1), device(2));
    world.connect(&a, "n1");
    world.connect(&b, "n2");
    let foreign = Message::PingReq { client_id: b"n1" };
    world.exchange(&b, foreign, &[BYE]);
    world.exchange(&device(3), foreign, &[BYE]);
    world.exchange(&a, PING, &[PONG]);
    world.exchange(&b, PING, &[PONG]);
}

/// Half as long again, and never less than a second more.
#[test]
fn a_silent_client_is_lost_after_its_keep_alive_with_tolerance() {
    for (keep_alive, allowed) in
        [(1, 2_000), (2, 3_000), (10, 15_000), (60, 90_000), (61, 91_500), (65_535, 98_302_500)]
    {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", true, keep_alive), &[connack(OK)]);
        world.pass(Duration::from_millis(allowed - 100));
        assert_eq!(world.stats().lost, 0, "keep-alive {keep_alive}");
        world.pass(Duration::from_millis(200));
        assert_eq!(world.stats().lost, 1, "keep-alive {keep_alive}");
        // Nothing is sent to somebody who is not there, and the address is nobody's.
        world.silence_everywhere();
        world.exchange(&node, PING, &[BYE]);
    }
}

#[test]
fn the_tolerance_can_be_set_but_not_below_the_keep_alive() {
    for (permille, allowed) in [(1_100, 66), (3_000, 180), (500, 61)] {
        let mut world =
            World::with(Settings { keep_alive_tolerance_permille: permille, ..settings() });
        world.exchange(&device(1), connect("n1", true, 60), &[connack(OK)]);
        world.pass(seconds(allowed - 1));
        assert_eq!(world.stats().lost, 0);
        world.pass(seconds(2));
        assert_eq!(world.stats().lost, 1);
    }
}

/// §6.14: any message restarts supervision.
#[test]
fn every_message_is_a_sign_of_life() {
    let messages: Vec<Message<'_>> = vec![
        PING,
        Message::PingResp,
        publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"),
        publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"),
        publish(PublishTopic::Predefined(5), Qos::One, 0, b"x"),
        publish(PublishTopic::Normal(999), Qos::Zero, 0, b"x"),
        register(1, "a"),
        register(1, "#"),
        regack(1, 1, OK),
        subscribe(2, "a", Qos::Zero),
        subscribe(2, "a#", Qos::Zero),
        unsubscribe(3, "a"),
        puback(1, 1, OK),
        pubrec(1),
        pubrel(1),
        pubcomp(1),
        Message::WillMsgUpd { message: b"" },
        Message::WillTopicUpd(None),
        will_msg("stray"),
        Message::SearchGw { radius: 0 },
    ];
    for message in messages {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
        for _ in 0..3 {
            world.pass(seconds(10));
            world.send(&node, message);
        }
        assert_eq!(world.stats().connected, 1, "{message:?}");
        world.pass(seconds(20));
        assert_eq!(world.stats().connected, 0, "{message:?}");
    }
}

#[test]
fn a_repeated_connect_is_a_sign_of_life() {
    let mut world = World::new();
    let node = device(1);
    for _ in 0..4 {
        world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
        world.pass(seconds(14));
    }
    assert_eq!(world.stats().lost, 0);
}

/// What the gateway sends is none.
#[test]
fn messages_to_a_client_do_not_keep_it_alive() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
    world.subscribe(&node, 1, "a", Qos::Zero);
    for _ in 0..4 {
        world.pass(seconds(4));
        world.deliver(&Down::new("a", b"x"));
    }
    assert_eq!((world.received(&node).len(), world.stats().lost), (3, 1));
}

/// §24.19: no keep-alive, no supervision, except that nobody is kept for ever.
#[test]
fn keep_alive_zero_means_the_session_expiry() {
    let mut world = World::with(Settings { session_expiry: seconds(5_000), ..settings() });
    world.exchange(&device(1), connect("n1", true, 0), &[connack(OK)]);
    world.pass(seconds(4_990));
    assert_eq!(world.stats().connected, 1);
    world.pass(seconds(20));
    assert_eq!(world.stats().clients, 0);
    let mut world = World::with(Settings { session_expiry: Duration::ZERO, ..settings() });
    world.exchange(&device(1), connect("n1", true, 0), &[connack(OK)]);
    world.pass(seconds(30 * 86_400));
    assert_eq!(world.stats().connected, 1);
}

#[test]
fn a_new_connection_brings_its_own_keep_alive() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 3_600), &[connack(OK)]);
    world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
    world.pass(seconds(16));
    assert_eq!(world.stats().lost, 1);
    world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
    world.exchange(&node, connect("n1", true, 3_600), &[connack(OK)]);
    world.pass(seconds(100));
    assert_eq!(world.stats().connected, 1);
}

/// A kept session that nobody comes back to.
#[test]
fn a_kept_session_expires() {
    for lost in [true, false] {
        let mut world = World::with(Settings { session_expiry: seconds(1_000), ..settings() });
        world.obliging = true;
        let node = device(1);
        world.exchange(&node, connect("n1", false, 10), &[connack(OK)]);
        world.send(&node, subscribe(1, "a", Qos::One));
        world.received(&node);
        if lost {
            world.pass(seconds(16));
        } else {
            world.exchange(&node, BYE, &[BYE]);
        }
        world.deliver(&Down::new("a", b"x").qos1(1));
        assert_eq!(world.stats().buffered, 1);
        world.pass(seconds(990));
        assert_eq!(world.stats().clients, 1);
        world.pass(seconds(20));
        assert_eq!(world.gateway.residue(), [0; 5]);
        assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
    }
}

#[test]
fn a_kept_session_may_be_kept_for_ever() {
    let mut world = World::with(Settings { session_expiry: Duration::ZERO, ..settings() });
    let node = device(1);
    world.exchange(&node, connect("n1", false, 10), &[connack(OK)]);
    world.register(&node, 1, "a");
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(365 * 86_400));
    assert_eq!(world.stats().clients, 1);
}

#[test]
fn an_idle_gateway_has_no_timers() {
    let world = World::new();
    assert_eq!(world.gateway.next_timeout(), None);
}
