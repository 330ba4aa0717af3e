//! REGISTER from a client (MQTT-SN 1.2 §6.5, §5.4.10).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::{Limit, Settings};

use crate::harness::*;

#[test]
fn a_name_gets_an_id_above_the_predefined_ones() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.send_hex(&node, "0E 0A 00 00 00 01 73 2F 31 2F 74 65 6D 70");
    world.expect_hex(&node, &["07 0B 00 07 00 01 00"]);
    world.exchange(&node, publish(PublishTopic::Normal(7), Qos::Zero, 0, b"21.5"), &[]);
    assert_eq!(world.published().3, "s/1/temp");
}

#[test]
fn the_same_name_gets_the_same_id_whatever_the_message_id() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    for msg_id in [0, 1, 1, 2, 65_535] {
        let register = register(msg_id, "a/b");
        world.exchange(&node, register, &[regack(FIRST_ID, msg_id, OK)]);
    }
    world.exchange(&node, register(3, "a/c"), &[regack(FIRST_ID + 1, 3, OK)]);
    // Also by subscription.
    let answer = world.subscribe(&node, 4, "a/c", Qos::Zero);
    assert_eq!(answer.0, FIRST_ID + 1);
}

#[test]
fn the_topic_id_of_the_request_does_not_count() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    for topic_id in [1, 65_535] {
        let register = Message::Register { topic_id, msg_id: 9, topic: b"a" };
        world.exchange(&node, register, &[regack(FIRST_ID, 9, OK)]);
    }
}

/// §6.5: the table is per client, so that a wrong id never hits a topic of somebody else.
#[test]
fn ids_belong_to_one_client() {
    let mut world = World::new();
    let (a, b) = (device(1), device(2));
    world.connect(&a, "a");
    world.connect(&b, "b");
    world.register(&a, 1, "topic/of/a");
    let up = publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x");
    world.exchange(&b, up, &[puback(FIRST_ID, 0, INVALID_ID)]);
    let id = world.register(&b, 1, "topic/of/b");
    assert_ne!(id, FIRST_ID, "sessions begin apart, so that a stale id finds nothing");
    world.exchange(&b, up, &[puback(FIRST_ID, 0, INVALID_ID)]);
    world.exchange(&b, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published().3, "topic/of/b");
}

/// Beside wildcards and what is no UTF-8: control characters, non-characters and more than 64 levels.
/// MQTT lets a broker close the connection over them (MQTT 3.1.1 §1.5.3), mosquitto does, and the
/// connection is everybody's.
#[test]
fn names_that_the_broker_would_not_take_are_refused() {
    let deep = ["a"; 65].join("/");
    let bad = [
        "",
        "#",
        "s/#",
        "+",
        "a/+/b",
        "a+",
        "a\0",
        "a\u{1}b",
        "\u{1f}",
        "a\u{7f}",
        "a\u{85}b",
        "\u{fdd0}",
        "a\u{ffff}",
        "\u{1fffe}",
        &deep,
    ];
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    for name in bad {
        world.exchange(&node, register(11, name), &[regack(0, 11, UNSUPPORTED)]);
    }
    for name in [&b"\xC3\x28"[..], b"\xED\xA0\x80", b"a\xff"] {
        let register = Message::Register { topic_id: 0, msg_id: 11, topic: name };
        world.exchange(&node, register, &[regack(0, 11, UNSUPPORTED)]);
    }
    for name in ["a", "/", "a//b", " ", "\u{e9}/\u{1f321}", "$x", &deep[2..]] {
        world.register(&node, 12, name);
    }
}

#[test]
fn there_is_an_end_to_ids() {
    let mut world = World::with(Settings { max_topics_per_client: 2, ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.register(&node, 1, "a");
    world.register(&node, 2, "b");
    world.exchange(&node, register(3, "c"), &[regack(0, 3, CONGESTION)]);
    assert_eq!(world.limit(Limit::Topics), 1);
    // What it has it keeps.
    assert_eq!(world.register(&node, 4, "a"), FIRST_ID);
}

/// 0x0000 and 0xFFFF are reserved (§5.3.11).
#[test]
fn reserved_ids_are_never_given_out() {
    let settings = Settings {
        predefined: vec![(0xEFFF, "high".into())],
        max_topics_per_client: 100_000,
        ..settings()
    };
    let mut world = World::with(settings);
    let node = device(1);
    world.connect(&node, "n1");
    for number in 0..0x0FFF_u16 {
        let id = world.register(&node, 1, &format!("t/{number}"));
        assert_eq!(id, 0xF000 + number);
    }
    world.exchange(&node, register(2, "one/more"), &[regack(0, 2, CONGESTION)]);
}

/// A device that was given up may not know it, and go on with the ids that it had: also when there were
/// many, they must not mean something else by then.
#[test]
fn a_session_after_a_lost_one_has_other_ids() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
    let names: Vec<String> = (1..=20).map(|number| format!("old/{number}")).collect();
    let old: Vec<u16> =
        (1..).zip(&names).map(|(msg_id, name)| world.register(&node, msg_id, name)).collect();
    world.pass(seconds(600));
    assert_eq!(world.stats().lost, 1);
    world.connect(&node, "n1");
    for (msg_id, name) in (1..).zip(["new/1", "new/2", "new/3"]) {
        let id = world.register(&node, msg_id, name);
        assert!(!old.contains(&id), "{id} was another topic");
    }
    for id in old {
        let stale = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
        world.exchange(&node, stale, &[puback(id, 0, INVALID_ID)]);
    }
}
