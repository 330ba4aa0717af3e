//! What a device may answer in its window besides yes, and answers that come after it.

use mqtt_sn_gateway::codec::{PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{Drop, LinkSettings, Settings};

use super::{AB, NORMAL, deliver_one_each, one, sleeper, sleeper_with, with_unknown_topic};
use crate::harness::*;

/// Acknowledgements that arrive after the window count, and start nothing.
#[test]
fn late_acknowledgements_count() {
    // PUBACK.
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(100));
    world.received(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[]);
    assert_eq!(world.stats().buffered, 1);
    world.pass(seconds(100));
    world.silence(&node);
    world.exchange(&node, wake("n1"), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);

    // PUBREC is answered, or the device repeats it; PUBCOMP ends the exchange.
    let (mut world, node) = sleeper(Qos::Two, 3_600);
    for (delivery, payload) in (1..).zip([b"1", b"2"]) {
        world.deliver(&Down::new("ab", payload).qos2(delivery));
    }
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Two, 1, b"1")]);
    world.pass(seconds(100));
    world.received(&node);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(seconds(100));
    world.silence(&node);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.stats().buffered, 1);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"2"]);

    // REGACK.
    let (mut world, node) = with_unknown_topic(Qos::One);
    world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
    world.pass(seconds(100));
    world.received(&node);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
    world.pass(seconds(100));
    world.silence(&node);
    world.send(&node, wake("n1"));
    let (topic, qos, msg_id, dup) = world.one_publish(&node);
    assert_eq!((topic, qos, dup), (NORMAL, Qos::One, false));
    world.exchange(&node, puback(FIRST_ID, msg_id, OK), &[PONG]);
}

/// What was in flight when the client fell asleep.
#[test]
fn acknowledgements_after_falling_asleep_count() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    world.deliver(&Down::new("ab", b"1").qos1(1));
    world.deliver(&Down::new("ab", b"2").qos2(2));
    world.expect(&node, &[one(1, b"1")]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.sleep(&node, 3_600);
    // The broker is not kept waiting for a sleeper.
    assert_eq!(world.acknowledged(), [1, 2]);
    world.exchange(&node, puback(0x6162, 1, OK), &[]);
    assert_eq!((world.stats().buffered, world.up()), (1, vec![]));
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Two, 2, b"2")]);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    // Asleep in the middle of its window, and PUBCOMP on the way.
    world.sleep(&node, 3_600);
    world.exchange(&node, pubcomp(2), &[]);
    world.exchange(&node, wake("n1"), &[PONG]);
    assert_eq!((world.up(), world.gateway.residue()[3]), (vec![], 0));
}

#[test]
fn acknowledgements_for_nothing_do_nothing_to_a_sleeper() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    for stray in [
        puback(0x6162, 1, OK),
        puback(0x6162, 1, CONGESTION),
        puback(0x6162, 1, UNSUPPORTED),
        pubcomp(1),
        regack(FIRST_ID, 1, OK),
        regack(FIRST_ID, 1, UNSUPPORTED),
    ] {
        world.exchange(&node, stray, &[]);
    }
    // §24.16 of common practice: so that the device comes to its end.
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    assert_eq!(world.dropped(Drop::Unexpected), 7);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"1"]);
}

/// §24.26 of common practice and T_WAIT (§7.2).
#[test]
fn congestion_in_a_window_ends_it_and_pauses_delivery() {
    for refuses_register in [false, true] {
        let (mut world, node) = subscribed_to_all(Qos::One);
        world.sleep(&node, 3_600);
        let name = if refuses_register { "s/1/cmd" } else { "ab" };
        world.deliver(&Down::new(name, b"1").qos1(1));
        world.deliver(&Down::new("cd", b"2").qos1(2));
        world.send(&node, wake("n1"));
        assert_eq!(world.received(&node).len(), 1);
        let refusal = if refuses_register {
            regack(FIRST_ID, 1, CONGESTION)
        } else {
            puback(0x6162, 1, CONGESTION)
        };
        world.exchange(&node, refusal, &[PONG]);
        assert_eq!((world.stats().asleep, world.stats().buffered), (1, 2));
        for _ in 0..29 {
            world.pass(seconds(10));
            world.silence(&node);
            world.exchange(&node, wake("n1"), &[PONG]);
        }
        // The pause is over while it sleeps: not its moment yet.
        world.pass(seconds(100));
        world.silence(&node);
        if refuses_register {
            world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
            world.send(&node, regack(FIRST_ID, 1, OK));
        } else {
            world.send(&node, wake("n1"));
        }
        let (_, _, msg_id, dup) = world.one_publish(&node);
        assert_eq!((msg_id, dup), (1, !refuses_register));
        world.send(&node, puback(0, 1, OK));
        let frames = world.drain(&node);
        assert_eq!(payloads_of(&frames), [b"2"]);
        assert_eq!(frames.last(), Some(&hex("02 17")));
        assert_eq!(world.stats().lost, 0);
    }
}

/// CONNECT ends a pause, for a sleeper as for anybody.
#[test]
fn a_connect_ends_the_pause_of_a_sleeper() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.exchange(&node, puback(0x6162, 1, CONGESTION), &[PONG]);
    assert_eq!(world.collect_by_connect(&node, connect("n1", true, 60)), [b"1"]);
}

#[test]
fn what_the_device_rejects_does_not_hold_up_its_window() {
    // "Not supported": given up.
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.exchange(&node, puback(0x6162, 1, UNSUPPORTED), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    assert_eq!(world.stats().abandoned, 1);

    // §6.10: a refused REGISTER counts as unsubscribing from that name.
    let (mut world, node) = with_unknown_topic(Qos::One);
    world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
    world.exchange(&node, regack(FIRST_ID, 1, UNSUPPORTED), &[PONG]);
    world.deliver(&Down::new("s/1/cmd", b"y").qos1(2));
    world.exchange(&node, wake("n1"), &[PONG]);

    // "Invalid topic id": registered anew in the same window.
    for (subscription, name, topic, field) in [
        (SubscribeTopic::Name(b"a/b"), "a/b", NORMAL, FIRST_ID),
        (SubscribeTopic::Predefined(5), "predefined/five", PublishTopic::Predefined(5), 5),
        (SubscribeTopic::Short(*b"ab"), "ab", AB, 0x6162),
    ] {
        let mut world = World::new();
        let node = device(1);
        world.connect(&node, "n1");
        world.subscribe_to(&node, 1, subscription, Qos::One);
        world.sleep(&node, 3_600);
        world.deliver(&Down::new(name, b"x").qos1(1));
        world.exchange(&node, wake("n1"), &[publish(topic, Qos::One, 1, b"x")]);
        world.exchange(&node, puback(field, 1, INVALID_ID), &[announce(FIRST_ID, 1, name)]);
        let corrected = again(publish(NORMAL, Qos::One, 1, b"x"));
        world.exchange(&node, regack(FIRST_ID, 1, OK), &[corrected]);
        world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
    }
}

/// At QoS 0 the answer comes when the window is over: it corrects the next one.
#[test]
fn invalid_topic_id_for_qos_0_after_the_window() {
    let (mut world, node) = sleeper(Qos::Zero, 3_600);
    world.deliver(&Down::new("ab", b"1"));
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Zero, 0, b"1"), PONG]);
    world.exchange(&node, puback(0x6162, 0, INVALID_ID), &[]);
    world.deliver(&Down::new("ab", b"2"));
    world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "ab")]);
    let corrected = publish(NORMAL, Qos::Zero, 0, b"2");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[corrected, PONG]);
}

/// What does not fit the link is given up; the window goes on.
#[test]
fn what_does_not_fit_does_not_hold_up_a_window() {
    let small = LinkSettings { max_packet: 60, ..LinkSettings::default() };
    let (mut world, node) =
        sleeper_with(Settings { links: vec![small], ..settings() }, Qos::One, 3_600);
    world.deliver(&Down::new("ab", &[0; 54]).qos1(1));
    world.deliver(&Down::new("ab", b"2").qos1(2));
    world.deliver(&Down::new("ab", &[0; 54]).qos1(3));
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"2"]);
    assert_eq!(world.stats().abandoned, 2);
    // And if nothing is left after that, PINGRESP still comes.
    world.deliver(&Down::new("ab", &[0; 54]).qos1(4));
    world.exchange(&node, wake("n1"), &[PONG]);
}
