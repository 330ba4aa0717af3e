//! What was not sent because the device was away was not left unanswered.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::upstream::MqttQos;

use super::{AB, PLENTY, company, one, with_devices, zero};
use crate::harness::*;

#[test]
fn what_was_under_way_is_repeated_when_the_device_is_back() {
    for qos in [Qos::One, Qos::Two] {
        let (mut world, nodes) = company(1);
        let node = &nodes[0];
        let down = Down::new("ab", b"x");
        world.deliver(&if qos == Qos::One { down.qos1(1) } else { down.qos2(1) });
        let message = publish(AB, qos, 1, b"x");
        world.expect(node, &[message]);
        for _ in 0..10 {
            world.gone(node);
            world.pass(seconds(300));
            world.silence(node);
            world.here(node, PLENTY);
            world.expect(node, &[again(message)]);
            // The next try is due when it has had its time.
            world.pass(RETRY - seconds(1));
            world.silence(node);
            let answer = if qos == Qos::One { puback(0, 1, OK) } else { pubrec(1) };
            if world.stats().retransmissions == 3 {
                world.send(node, answer);
                break;
            }
        }
        if qos == Qos::Two {
            world.expect(node, &[pubrel(1)]);
            world.send(node, pubcomp(1));
        }
        let stats = world.stats();
        assert_eq!((stats.retransmissions, stats.lost, stats.buffered), (3, 0, 0));
    }
}

/// Its tries are used up, but the last may have gone down with the connection.
#[test]
fn a_device_is_not_lost_for_what_it_could_not_answer() {
    let (mut world, nodes) = company(1);
    let node = &nodes[0];
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(node, &[one(1, b"x")]);
    for _ in 0..3 {
        world.pass(RETRY);
        world.expect(node, &[again(one(1, b"x"))]);
    }
    world.gone(node);
    world.pass(seconds(1_000));
    assert_eq!((world.stats().lost, world.stats().lined_up), (0, 1));
    world.here(node, PLENTY);
    world.expect(node, &[again(one(1, b"x"))]);
    world.pass(RETRY);
    world.silence(node);
    assert_eq!((world.stats().lost, world.stats().retransmissions), (1, 4));
}

/// Elsewhere answers do not wait, but nothing answers for a device without a connection.
#[test]
fn a_pubrel_waits_as_well() {
    for crossed in [false, true] {
        let (mut world, nodes) = company(2);
        let node = &nodes[0];
        world.exchange(&nodes[1], BYE, &[BYE]);
        world.deliver(&Down::new("ab", b"x").qos2(1));
        world.deliver(&Down::new("ab", b"y"));
        world.expect(node, &[publish(AB, Qos::Two, 1, b"x")]);
        if crossed {
            world.gone(node);
            world.exchange(node, pubrec(1), &[]);
            world.exchange(node, pubrec(1), &[]);
        } else {
            world.exchange(node, pubrec(1), &[pubrel(1)]);
            world.gone(node);
        }
        world.pass(seconds(1_000));
        world.silence(node);
        let stats = world.stats();
        assert_eq!((stats.lost, stats.retransmissions, stats.lined_up), (0, 0, 1));
        world.here(node, PLENTY);
        world.expect(node, &[pubrel(1)]);
        // From then on its tries count.
        for _ in 0..if crossed { 3 } else { 2 } {
            world.pass(RETRY);
            world.expect(node, &[pubrel(1)]);
        }
        world.exchange(node, pubcomp(1), &[zero(b"y")]);
        assert_eq!((world.stats().lost, world.stats().retransmissions), (0, 3));
    }
}

/// It asks for the PUBREL that waits: it has a connection, though no room.
#[test]
fn a_pubrel_that_is_asked_for_is_repeated_without_room() {
    let (mut world, nodes) = company(1);
    let node = &nodes[0];
    world.deliver(&Down::new("ab", b"x").qos2(1));
    world.expect(node, &[publish(AB, Qos::Two, 1, b"x")]);
    world.gone(node);
    world.exchange(node, pubrec(1), &[]);
    world.pass(RETRY * 2);
    world.here(node, 0);
    world.silence(node);
    world.exchange(node, pubrec(1), &[pubrel(1)]);
    world.pass(RETRY);
    world.expect(node, &[pubrel(1)]);
    world.here(node, PLENTY);
    world.silence(node);
    world.exchange(node, pubcomp(1), &[]);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (0, 0));
}

/// While it has a connection, PUBREL needs no room.
#[test]
fn a_pubrel_does_not_wait_for_room() {
    let (mut world, nodes) = company(1);
    let node = &nodes[0];
    world.deliver(&Down::new("ab", b"x").qos2(1));
    world.expect(node, &[publish(AB, Qos::Two, 1, b"x")]);
    world.here(node, 0);
    world.exchange(node, pubrec(1), &[pubrel(1)]);
    world.pass(RETRY);
    world.expect(node, &[pubrel(1)]);
    world.exchange(node, pubcomp(1), &[]);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (0, 0));
}

#[test]
fn a_pubrel_that_waits_goes_on_with_the_next_connection() {
    let (mut world, node) = super::persistent();
    world.deliver(&Down::new("ab", b"x").qos2(1));
    world.expect(&node, &[publish(AB, Qos::Two, 1, b"x")]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.gone(&node);
    world.pass(seconds(100));
    // Its CONNECT is there before its connection is known.
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
    world.pass(seconds(100));
    world.silence(&node);
    world.here(&node, PLENTY);
    world.expect(&node, &[pubrel(1)]);
    for _ in 0..3 {
        world.pass(RETRY);
        world.expect(&node, &[pubrel(1)]);
    }
    assert_eq!(world.stats().lost, 0);
    world.pass(RETRY);
    assert_eq!(world.stats().lost, 1);
}

#[test]
fn a_register_waits_and_its_message_is_not_given_up() {
    let mut world = World::with(with_devices());
    let node = device(1);
    world.here(&node, PLENTY);
    world.connect(&node, "n1");
    let (_, id) = world.subscribe(&node, 1, "s/#", Qos::Zero);
    world.deliver(&Down::new("s/1/cmd", b"x").ids(&[id]));
    world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    for _ in 0..20 {
        world.gone(&node);
        world.pass(seconds(170));
        world.silence(&node);
        world.here(&node, PLENTY);
        world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
        // It is there, and unlucky with its REGACKs: as ever it is asked again, at least three times.
        world.exchange(&node, PING, &[PONG]);
        if world.stats().retransmissions == 2 {
            break;
        }
    }
    // It answers at last, and is away again.
    world.gone(&node);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
    world.here(&node, PLENTY);
    world.expect(&node, &[publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x")]);
    assert_eq!((world.stats().abandoned, world.stats().lost), (0, 0));
}

/// Silence for one and a half keep-alives is what it is anywhere else.
#[test]
fn a_device_that_stays_away_is_lost_and_its_will_published() {
    let mut world = World::with(with_devices());
    world.obliging = true;
    let node = device(1);
    world.here(&node, PLENTY);
    world.send(&node, connect_with_will("n1", true, 60));
    world.send(&node, will_topic("lwt", Qos::One, false));
    world.send(&node, will_msg("gone"));
    world.send(&node, subscribe(1, "ab", Qos::One));
    world.received(&node);
    world.up();
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.gone(&node);
    world.pass(seconds(89));
    assert_eq!((world.stats().lost, world.stats().lined_up), (0, 1));
    world.acknowledged();
    world.pass(seconds(2));
    let up = world.up();
    assert!(
        up.iter().any(|up| matches!(up, Up::Publish { topic, qos, .. } if topic == "lwt" && *qos == MqttQos::One)),
        "{up:?}"
    );
    assert_eq!((world.stats().lost, world.stats().wills), (1, 1));
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (0, 0));
    assert_eq!(world.gateway.next_timeout(), None);
}

/// What is older than the broker allows is not sent when the device is back.
#[test]
fn what_has_expired_meanwhile_is_not_sent() {
    let (mut world, nodes) = company(1);
    world.gone(&nodes[0]);
    world.deliver(&Down::new("ab", b"x").qos1(1).expires(100));
    world.deliver(&Down::new("ab", b"y"));
    world.pass(seconds(101));
    world.here(&nodes[0], PLENTY);
    world.expect(&nodes[0], &[zero(b"y")]);
    assert_eq!((world.stats().expired, world.stats().buffered), (1, 0));
}
