//! The window between PINGREQ and PINGRESP (§6.14): what is delivered in it, how, and its end.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Settings;

use super::{AB, NORMAL, deliver_one_each, one, sleeper, sleeper_with};
use crate::harness::*;

/// The example of the specification, octet by octet.
#[test]
fn frames_of_a_window_with_register() {
    let mut world = World::new();
    let node = device(1);
    world.send_hex(&node, "08 04 04 01 00 3C 6E 31");
    world.expect_hex(&node, &["03 05 00"]);
    world.send_hex(&node, "0C 12 20 00 05 73 2F 2B 2F 63 6D 64");
    let (token, _, qos, ..) = world.subscribed();
    world.granted(token, qos);
    world.expect_hex(&node, &["08 13 20 00 00 00 05 00"]);
    world.send_hex(&node, "04 18 01 2C");
    world.expect_hex(&node, &["02 18"]);
    world.deliver(&Down::new("s/1/cmd", b"on").qos1(1));
    world.expect_hex(&node, &[]);

    world.send_hex(&node, "04 16 6E 31");
    world.expect_hex(&node, &["0D 0A 00 07 00 01 73 2F 31 2F 63 6D 64"]);
    world.send_hex(&node, "07 0B 00 07 00 01 00");
    world.expect_hex(&node, &["09 0C 20 00 07 00 01 6F 6E"]);
    world.send_hex(&node, "07 0D 00 07 00 01 00");
    world.expect_hex(&node, &["02 17"]);

    // And once more, with the id known.
    world.deliver(&Down::new("s/1/cmd", b"off").qos1(2));
    world.send_hex(&node, "04 16 6E 31");
    world.expect_hex(&node, &["0A 0C 20 00 07 00 02 6F 66 66"]);
    world.send_hex(&node, "07 0D 00 07 00 02 00");
    world.expect_hex(&node, &["02 17"]);
}

/// Every QoS with every kind of topic.
#[test]
fn every_qos_with_every_kind_of_topic() {
    let kinds = [
        (SubscribeTopic::Predefined(5), "predefined/five", PublishTopic::Predefined(5), false),
        (SubscribeTopic::Short(*b"ab"), "ab", AB, false),
        (SubscribeTopic::Name(b"a/b"), "a/b", NORMAL, false),
        (SubscribeTopic::Name(b"a/+"), "a/b", NORMAL, true),
        (SubscribeTopic::Name(b"#"), "a/b", NORMAL, true),
        (SubscribeTopic::Name(b"#"), "ab", AB, false),
        (SubscribeTopic::Name(b"#"), "predefined/five", PublishTopic::Predefined(5), false),
    ];
    for (subscription, name, topic, registers) in kinds {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            let mut world = World::new();
            let node = device(1);
            world.connect(&node, "n1");
            world.subscribe_to(&node, 1, subscription, qos);
            world.sleep(&node, 3_600);
            world.deliver(&Down::new(name, b"x").qos2(1));
            assert_eq!(world.acknowledged(), [1]);
            world.send(&node, wake("n1"));
            if registers {
                world.expect(&node, &[announce(FIRST_ID, 1, name)]);
                world.send(&node, regack(FIRST_ID, 1, OK));
            }
            match qos {
                Qos::One => {
                    world.expect(&node, &[publish(topic, qos, 1, b"x")]);
                    world.exchange(&node, puback(0, 1, OK), &[PONG]);
                }
                Qos::Two => {
                    world.expect(&node, &[publish(topic, qos, 1, b"x")]);
                    world.exchange(&node, pubrec(1), &[pubrel(1)]);
                    world.exchange(&node, pubcomp(1), &[PONG]);
                }
                _ => world.expect(&node, &[publish(topic, qos, 0, b"x"), PONG]),
            }
            assert_eq!((world.up(), world.gateway.residue()[3]), (vec![], 0));
        }
    }
}

#[test]
fn messages_come_in_the_order_in_which_they_arrived_one_at_a_time() {
    let (mut world, node) = sleeper(Qos::Two, 3_600);
    for (delivery, qos) in [2, 0, 0, 1, 2, 0, 1].into_iter().enumerate() {
        let payload = [delivery as u8];
        let down = Down::new("ab", &payload);
        world.deliver(&match qos {
            0 => down,
            1 => down.qos1(delivery as u64),
            _ => down.qos2(delivery as u64),
        });
    }
    let publish = |qos, msg_id, data| publish(AB, qos, msg_id, data);
    world.exchange(&node, wake("n1"), &[publish(Qos::Two, 1, &[0])]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    let (b, c) = (publish(Qos::Zero, 0, &[1]), publish(Qos::Zero, 0, &[2]));
    world.exchange(&node, pubcomp(1), &[b, c, publish(Qos::One, 2, &[3])]);
    world.exchange(&node, puback(0, 2, OK), &[publish(Qos::Two, 3, &[4])]);
    world.exchange(&node, pubrec(3), &[pubrel(3)]);
    let (f, g) = (publish(Qos::Zero, 0, &[5]), publish(Qos::One, 4, &[6]));
    world.exchange(&node, pubcomp(3), &[f, g]);
    world.exchange(&node, puback(0, 4, OK), &[PONG]);
}

#[test]
fn messages_of_qos_0_come_back_to_back() {
    let (mut world, node) = sleeper(Qos::Zero, 3_600);
    let payloads: Vec<[u8; 1]> = (0..100).map(|number| [number]).collect();
    for payload in &payloads {
        world.deliver(&Down::new("ab", payload));
    }
    let mut all: Vec<Message<'_>> =
        payloads.iter().map(|payload| publish(AB, Qos::Zero, 0, payload)).collect();
    all.push(PONG);
    world.exchange(&node, wake("n1"), &all);
}

/// Several unknown topics: each is registered just before its first message.
#[test]
fn every_register_stands_before_its_publish() {
    let (mut world, node) = subscribed_to_all(Qos::Zero);
    world.sleep(&node, 3_600);
    for name in ["x/1", "x/2", "x/1", "x/3"] {
        world.deliver(&Down::new(name, name.as_bytes()));
    }
    let publish = |id, data| publish(PublishTopic::Normal(id), Qos::Zero, 0, data);
    let [first, second, third] = [FIRST_ID, FIRST_ID + 1, FIRST_ID + 2];
    world.exchange(&node, wake("n1"), &[announce(first, 1, "x/1")]);
    let answers = [publish(first, b"x/1"), announce(second, 2, "x/2")];
    world.exchange(&node, regack(first, 1, OK), &answers);
    let answers = [publish(second, b"x/2"), publish(first, b"x/1"), announce(third, 3, "x/3")];
    world.exchange(&node, regack(second, 2, OK), &answers);
    world.exchange(&node, regack(third, 3, OK), &[publish(third, b"x/3"), PONG]);
}

/// What arrives in the window is delivered in it, at its turn.
#[test]
fn a_message_that_arrives_in_the_window_belongs_to_it() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.deliver(&Down::new("ab", b"2").qos1(2));
    world.deliver(&Down::new("ab", b"3"));
    world.silence(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    let zero = publish(AB, Qos::Zero, 0, b"3");
    world.exchange(&node, puback(0x6162, 2, OK), &[zero, PONG]);
    // After PINGRESP it is too late.
    world.deliver(&Down::new("ab", b"4").qos1(4));
    world.silence(&node);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"4"]);
}

/// §24.12 of common practice: a window comes to an end even if messages never cease.
#[test]
fn what_arrives_a_minute_later_waits_for_the_next_window() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(30));
    world.received(&node);
    world.deliver(&Down::new("ab", b"2").qos1(2));
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.pass(seconds(29));
    world.received(&node);
    world.deliver(&Down::new("ab", b"3").qos1(3));
    world.pass(seconds(2));
    world.received(&node);
    world.deliver(&Down::new("ab", b"4").qos1(4));
    // 59 s are within, 61 s are not.
    world.exchange(&node, puback(0x6162, 2, OK), &[one(3, b"3")]);
    world.exchange(&node, puback(0x6162, 3, OK), &[PONG]);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"4"]);
}

/// What waited before PINGREQ belongs to the window however long it takes.
#[test]
fn a_long_queue_is_delivered_in_one_window() {
    let (mut world, node) = sleeper(Qos::One, 60);
    for number in 0..100_u8 {
        world.deliver(&Down::new("ab", &[number]).qos1(u64::from(number)));
    }
    world.exchange(&node, wake("n1"), &[one(1, &[0])]);
    for number in 1..=100_u8 {
        world.pass(seconds(9));
        let msg_id = u16::from(number);
        if number < 100 {
            world.exchange(&node, puback(0, msg_id, OK), &[one(msg_id + 1, &[number])]);
        } else {
            world.exchange(&node, puback(0, msg_id, OK), &[PONG]);
        }
    }
    assert_eq!((world.stats().lost, world.stats().retransmissions), (0, 0));
}

/// A device that can be sent to without end still gets its PINGRESP.
#[test]
fn an_endless_stream_does_not_keep_a_device_awake() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"x"]);
    world.send(&node, wake("n1"));
    for delivery in 2..100 {
        let received = world.received(&node);
        if let [only] = &received[..]
            && *only == hex("02 17")
        {
            assert!(delivery > 10, "PINGRESP too early");
            return;
        }
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        world.pass(seconds(5));
        world.send(&node, puback(0, (delivery - 1) as u16, OK));
    }
    panic!("it was kept awake for more than eight minutes");
}

/// One sleeper's window is no other's.
#[test]
fn windows_of_several_sleepers_are_apart() {
    let mut world = World::obliging();
    let nodes: Vec<(Device, String)> =
        (0..20).map(|number| (device(number), format!("n{number}"))).collect();
    for (node, id) in &nodes {
        world.connect(node, id);
        world.send(node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::Two));
        world.received(node);
        world.sleep(node, 3_600);
    }
    for number in 0..5_u8 {
        world.deliver(&Down::new("ab", &[number]).qos2(u64::from(number)));
    }
    assert_eq!(world.gateway.residue()[3], 5);
    // All begin, then each goes on by itself; some get stuck.
    for (node, id) in &nodes {
        world.exchange(node, wake(id), &[publish(AB, Qos::Two, 1, &[0])]);
    }
    for (number, (node, _)) in nodes.iter().enumerate().rev() {
        if number % 3 == 0 {
            continue;
        }
        world.exchange(node, pubrec(1), &[pubrel(1)]);
        world.send(node, pubcomp(1));
        let rest = world.drain(node);
        assert_eq!(payloads_of(&rest), [[1], [2], [3], [4]]);
        assert_eq!(rest.last(), Some(&hex("02 17")));
    }
    world.pass(seconds(60));
    for (number, (node, id)) in nodes.iter().enumerate() {
        world.received(node);
        let expected: &[[u8; 1]] = if number % 3 == 0 { &[[0], [1], [2], [3], [4]] } else { &[] };
        assert_eq!(world.collect(node, wake(id), PONG), expected);
    }
    assert_eq!((world.gateway.residue()[3], world.stats().buffered), (0, 0));
}

/// Its place in the window does not go to one that came too late for it.
#[test]
fn what_gave_way_keeps_no_window_open() {
    let settings = Settings { max_buffered_messages: 2, ..settings() };
    let (mut world, node) = sleeper_with(settings, Qos::One, 3_600);
    world.deliver(&Down::new("ab", b"first").qos1(1));
    world.deliver(&Down::new("ab", b"gives way"));
    world.exchange(&node, wake("n1"), &[one(1, b"first")]);
    // It is there, but has not got the first one: the window stays open.
    for _ in 0..7 {
        world.pass(seconds(9));
        world.send(&node, wake("n1"));
        world.received(&node);
    }
    world.deliver(&Down::new("ab", b"late").qos1(2));
    world.deliver(&Down::new("ab", b"later").qos1(3));
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
    world.exchange(&node, wake("n1"), &[one(2, b"late")]);
}
