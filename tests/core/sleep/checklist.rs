//! What other gateways were seen to get wrong about sleeping clients, one test each.

use mqtt_sn_gateway::codec::{PublishTopic, Qos, SubscribeTopic};

use super::{AB, NORMAL, connect_willed, deliver_one_each, one, sleeper};
use crate::harness::*;

#[test]
fn nothing_is_sent_to_a_sleeper_outside_its_window() {
    let mut world = World::obliging();
    let (node, other) = (device(1), device(2));
    world.connect(&node, "n1");
    world.send(&node, subscribe(1, "#", Qos::Two));
    world.send(&node, subscribe(2, "a/b", Qos::Two));
    world.received(&node);
    // One message is in flight when it falls asleep.
    world.deliver(&Down::new("a/b", b"0").qos1(10));
    assert_eq!(world.received(&node).len(), 1);
    world.sleep(&node, 3_600);
    let temptations = |world: &mut World| {
        for name in ["a/b", "new/topic", "ab", "predefined/five"] {
            world.deliver(&Down::new(name, b"x"));
            world.deliver(&Down::new(name, b"x").qos1(1));
            world.deliver(&Down::new(name, b"x").qos2(2));
        }
        world.send(&other, connect("n2", true, 3_600));
        world.send(&other, subscribe(1, "a/#", Qos::Two));
        world.send(&other, publish(PublishTopic::Predefined(5), Qos::One, 2, b"x"));
        world.send(&other, BYE);
        world.broker_down();
        world.pass(seconds(60));
        world.broker_up(false);
        world.pass(seconds(900));
    };
    temptations(&mut world);
    world.silence(&node);
    // The window, and what is after it.
    let payloads = world.collect(&node, wake("n1"), PONG);
    assert_eq!(payloads.len(), 13);
    temptations(&mut world);
    world.silence(&node);
    // A window without any message, too.
    world.collect(&node, wake("n1"), PONG);
    world.exchange(&node, wake("n1"), &[PONG]);
    temptations(&mut world);
    world.silence(&node);
    assert_eq!(world.stats().lost, 0);
}

#[test]
fn a_message_once_acknowledged_is_never_sent_again() {
    for qos in [Qos::One, Qos::Two] {
        for by_connect in [false, true] {
            let (mut world, node) = sleeper(qos, 3_600);
            world.deliver(&Down::new("ab", b"first").qos2(1));
            world.deliver(&Down::new("ab", b"second").qos2(2));
            // The first is acknowledged, the second gets no answer.
            world.exchange(&node, wake("n1"), &[publish(AB, qos, 1, b"first")]);
            let second = publish(AB, qos, 2, b"second");
            if qos == Qos::One {
                world.exchange(&node, puback(0x6162, 1, OK), &[second]);
            } else {
                world.exchange(&node, pubrec(1), &[pubrel(1)]);
                world.exchange(&node, pubcomp(1), &[second]);
            }
            world.pass(seconds(100));
            world.received(&node);
            let later = if by_connect {
                world.collect_by_connect(&node, connect("n1", true, 3_600))
            } else {
                world.collect(&node, wake("n1"), PONG)
            };
            assert_eq!(later, [b"second"]);
            if by_connect {
                world.sleep(&node, 3_600);
            }
            world.exchange(&node, wake("n1"), &[PONG]);
            world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
        }
    }
}

#[test]
fn pingresp_comes_last_also_when_messages_waited() {
    for waiting in 0..=5_u8 {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            let (mut world, node) = sleeper(qos, 3_600);
            let payloads: Vec<Vec<u8>> = (0..waiting).map(|number| vec![number]).collect();
            for payload in &payloads {
                world.deliver(&Down::new("ab", payload).qos2(1));
            }
            assert_eq!(world.collect(&node, wake("n1"), PONG), payloads);
            world.pass(seconds(100));
            world.silence(&node);
        }
    }
}

#[test]
fn pingresp_waits_for_the_last_acknowledgement() {
    let (mut world, node) = sleeper(Qos::Two, 3_600);
    world.deliver(&Down::new("ab", b"1").qos1(1));
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(9));
    world.silence(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);

    world.deliver(&Down::new("ab", b"2").qos2(2));
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Two, 2, b"2")]);
    world.pass(seconds(9));
    world.silence(&node);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    world.pass(seconds(9));
    world.silence(&node);
    world.exchange(&node, pubcomp(2), &[PONG]);
}

#[test]
fn register_and_its_publish_belong_to_the_same_window() {
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        let (mut world, node) = subscribed_to_all(qos);
        world.sleep(&node, 3_600);
        world.deliver(&Down::new("s/1/cmd", b"x").qos2(1));
        world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
        world.pass(seconds(9));
        world.silence(&node);
        match qos {
            Qos::One => {
                let publish = publish(NORMAL, Qos::One, 1, b"x");
                world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
                world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
            }
            Qos::Two => {
                let publish = publish(NORMAL, Qos::Two, 1, b"x");
                world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
                world.exchange(&node, pubrec(1), &[pubrel(1)]);
                world.exchange(&node, pubcomp(1), &[PONG]);
            }
            _ => {
                let publish = publish(NORMAL, Qos::Zero, 0, b"x");
                world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish, PONG]);
            }
        }
    }
}

#[test]
fn waking_by_connect_delivers_the_queue_too() {
    for clean in [true, false] {
        let mut world = World::new();
        let node = device(1);
        let connect = connect("n1", clean, 3_600);
        world.exchange(&node, connect, &[connack(OK)]);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
        world.sleep(&node, 600);
        world.deliver(&Down::new("ab", b"0"));
        world.deliver(&Down::new("ab", b"1").qos1(1));
        world.deliver(&Down::new("ab", b"2").qos2(2));
        world.pass(seconds(300));
        assert_eq!(world.collect_by_connect(&node, connect), [b"0", b"1", b"2"]);
        assert_eq!((world.stats().connected, world.stats().buffered), (1, 0));
    }
}

#[test]
fn sleep_time_not_keep_alive_decides_when_a_sleeper_is_lost() {
    for (keep_alive, duration, alive, lost) in [(10, 1_000, 1_499, 1_501), (3_600, 20, 29, 31)] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", true, keep_alive), &[connack(OK)]);
        world.sleep(&node, duration);
        world.pass(seconds(alive));
        assert_eq!(world.stats().lost, 0, "keep-alive {keep_alive}, sleep {duration}");
        world.pass(seconds(lost - alive));
        assert_eq!(world.stats().lost, 1, "keep-alive {keep_alive}, sleep {duration}");
    }
}

#[test]
fn the_upstream_session_outlives_the_sleep_whatever_keep_alive_the_device_named() {
    for keep_alive in [0, 1, 60] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", true, keep_alive), &[connack(OK)]);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
        world.sleep(&node, 65_535);
        for _ in 0..3 {
            world.pass(seconds(60_000));
            // Nothing was given back at the broker.
            assert_eq!(world.up(), []);
            deliver_one_each(&mut world, &[b"x"]);
            assert_eq!(world.collect(&node, wake("n1"), PONG), [b"x"]);
        }
    }
}

#[test]
fn a_repeated_disconnect_is_acknowledged_every_time() {
    let (mut world, node) = sleeper(Qos::One, 60);
    deliver_one_each(&mut world, &[b"x"]);
    for _ in 0..20 {
        world.sleep(&node, 60);
        world.pass(seconds(10));
    }
    assert_eq!((world.stats().lost, world.stats().asleep), (0, 1));
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"x"]);
    // The plain one as well.
    for _ in 0..4 {
        world.exchange(&node, BYE, &[BYE]);
        world.pass(seconds(10));
    }
}

#[test]
fn the_will_is_sent_when_a_sleeper_is_lost_not_when_it_says_goodbye() {
    for clean in [true, false] {
        let mut world = World::new();
        let node = device(1);
        connect_willed(&mut world, &node, clean, 60);
        world.sleep(&node, 100);
        assert_eq!(world.up(), []);
        world.exchange(&node, wake("n1"), &[PONG]);
        world.sleep(&node, 100);
        world.pass(seconds(149));
        assert_eq!(world.up(), []);
        world.pass(seconds(2));
        assert_eq!(world.published_topics(), ["lwt"]);
        world.pass(seconds(1_000));
        assert_eq!((world.up(), world.stats().wills), (vec![], 1));

        // Asleep, and goodbye.
        connect_willed(&mut world, &node, clean, 60);
        world.sleep(&node, 100);
        world.exchange(&node, BYE, &[BYE]);
        world.pass(seconds(1_000));
        assert_eq!((world.up(), world.stats().wills, world.stats().lost), (vec![], 1, 1));
    }
}

#[test]
fn keep_alive_supervision_starts_again_after_waking() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    world.pass(seconds(1_000));
    world.exchange(&node, connect("n1", true, 10), &[connack(OK)]);
    world.pass(seconds(14));
    assert_eq!(world.stats().connected, 1);
    world.pass(seconds(2));
    assert_eq!((world.stats().connected, world.stats().lost), (0, 1));
    // Keep-alive also decides after one more sleep, and not the sleep before.
    world.exchange(&node, connect("n1", true, 3_600), &[connack(OK)]);
    world.sleep(&node, 10);
    world.exchange(&node, connect("n1", true, 3_600), &[connack(OK)]);
    world.pass(seconds(3_000));
    assert_eq!((world.stats().connected, world.stats().lost), (1, 1));
}

#[test]
fn registrations_survive_the_sleep() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let own = world.register(&node, 1, "own/topic");
    let (told, _) = world.subscribe(&node, 2, "cmd/1", Qos::One);
    world.subscribe(&node, 3, "any/#", Qos::One);
    world.sleep(&node, 3_600);
    world.deliver(&Down::new("any/a", b"1").qos1(1));
    world.exchange(&node, wake("n1"), &[announce(told + 1, 1, "any/a")]);
    let publish_by = |id, msg_id, data| publish(PublishTopic::Normal(id), Qos::One, msg_id, data);
    world.exchange(&node, regack(told + 1, 1, OK), &[publish_by(told + 1, 1, b"1")]);
    world.exchange(&node, puback(told + 1, 1, OK), &[PONG]);
    world.acknowledged();
    // In the next windows no id is announced again: those of REGISTER and SUBACK neither.
    for delivery in 2..5 {
        for (id, name) in [(told + 1, "any/a"), (told, "cmd/1")] {
            world.pass(seconds(1_000));
            world.deliver(&Down::new(name, b"2").qos1(delivery));
            world.send(&node, wake("n1"));
            let (topic, _, msg_id, _) = world.one_publish(&node);
            assert_eq!(topic, PublishTopic::Normal(id));
            world.exchange(&node, puback(id, msg_id, OK), &[PONG]);
        }
    }
    world.acknowledged();
    // What the device knows is understood when it wakes by CONNECT, and while it is asleep.
    let up = publish(PublishTopic::Normal(own), Qos::Zero, 0, b"x");
    world.exchange(&node, up, &[]);
    world.connect(&node, "n1");
    world.exchange(&node, up, &[]);
    assert_eq!(world.published_topics(), ["own/topic", "own/topic"]);
    for (msg_id, name, id) in [(9, "own/topic", own), (10, "any/a", told + 1), (11, "cmd/1", told)]
    {
        assert_eq!(world.register(&node, msg_id, name), id);
    }
}
