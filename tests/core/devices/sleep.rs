//! Sleepers with a connection of their own, which may go in the middle of a window.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};

use super::{AB, PLENTY, one, with_devices, zero};
use crate::harness::*;

/// A client "n1" with a subscription to everything, asleep for an hour and without a connection.
fn sleeper(qos: Qos) -> (World, Device) {
    let mut world = World::with(with_devices());
    let node = device(1);
    world.here(&node, PLENTY);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Name(b"#"), qos);
    world.sleep(&node, 3_600);
    world.gone(&node);
    (world, node)
}

/// It wakes with a connection and is sent this.
fn wakes(world: &mut World, node: &Device, messages: &[Message<'_>]) {
    world.here(node, PLENTY);
    world.exchange(node, wake("n1"), messages);
}

#[test]
fn nothing_is_sent_to_a_sleeper_that_is_there() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.here(&node, PLENTY);
    world.pass(seconds(1_000));
    world.silence(&node);
    assert_eq!(world.stats().lined_up, 0, "it does not wait for the device but in its sleep");
    world.exchange(&node, wake("n1"), &[one(1, b"a")]);
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
}

/// Its PINGREQ is there before its connection is known.
#[test]
fn a_window_begins_when_the_connection_is_known() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    world.here(&node, PLENTY);
    world.expect(&node, &[one(1, b"a")]);
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
    world.exchange(&node, wake("n1"), &[PONG]);
}

/// The connection goes before the answer, or with it, or between two messages.
#[test]
fn a_window_that_breaks_goes_on_with_the_next() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b").qos1(1));
    world.deliver(&Down::new("ab", b"c").qos1(2));
    world.deliver(&Down::new("ab", b"d"));
    wakes(&mut world, &node, &[zero(b"a"), one(1, b"b")]);
    world.gone(&node);
    world.pass(RETRY * 4 - seconds(1));
    assert_eq!(world.stats().wakes_unfinished, 0);
    world.pass(seconds(2));
    assert_eq!((world.stats().wakes_unfinished, world.stats().asleep), (1, 1));
    world.here(&node, PLENTY);
    world.pass(seconds(100));
    world.silence(&node);
    assert_eq!(world.stats().lined_up, 0);
    world.exchange(&node, wake("n1"), &[again(one(1, b"b"))]);
    world.gone(&node);
    world.exchange(&node, puback(0, 1, OK), &[]);
    world.pass(RETRY * 5);
    assert_eq!(world.stats().wakes_unfinished, 2);
    wakes(&mut world, &node, &[one(2, b"c")]);
    world.gone(&node);
    // It is back so soon that it still listens.
    world.pass(RETRY + seconds(1));
    world.here(&node, PLENTY);
    world.expect(&node, &[again(one(2, b"c"))]);
    world.exchange(&node, puback(0, 2, OK), &[zero(b"d"), PONG]);
    let stats = world.stats();
    assert_eq!((stats.wakes_unfinished, stats.buffered, stats.lined_up), (2, 0, 0));
}

#[test]
fn a_qos_2_message_goes_on_where_it_was() {
    let (mut world, node) = sleeper(Qos::Two);
    world.deliver(&Down::new("ab", b"a").qos2(1));
    let message = publish(AB, Qos::Two, 1, b"a");
    wakes(&mut world, &node, &[message]);
    world.gone(&node);
    world.pass(RETRY * 5);
    wakes(&mut world, &node, &[again(message)]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.gone(&node);
    world.pass(RETRY * 5);
    assert_eq!(world.stats().wakes_unfinished, 2);
    world.here(&node, PLENTY);
    world.silence(&node);
    // And with a connection that is known only later.
    world.gone(&node);
    world.exchange(&node, wake("n1"), &[]);
    world.here(&node, PLENTY);
    world.expect(&node, &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[PONG]);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (0, 0));
}

/// It waited for the connection when the window broke. With one, it needs no room.
#[test]
fn a_pubrel_goes_out_in_the_next_window() {
    let (mut world, node) = sleeper(Qos::Two);
    world.deliver(&Down::new("ab", b"a").qos2(1));
    wakes(&mut world, &node, &[publish(AB, Qos::Two, 1, b"a")]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.gone(&node);
    world.pass(RETRY * 5);
    assert_eq!(world.stats().wakes_unfinished, 1);
    world.here(&node, 0);
    world.silence(&node);
    world.exchange(&node, wake("n1"), &[pubrel(1)]);
    world.pass(RETRY);
    world.expect(&node, &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[PONG]);
}

/// Of REGISTERs that a sleeper leaves unanswered only those count that were sent.
#[test]
fn a_register_without_a_connection_is_not_counted_over_many_windows() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    for round in 0..40 {
        world.exchange(&node, wake("n1"), &[]);
        if round % 2 == 0 {
            world.pass(RETRY * 5);
        } else {
            world.sleep(&node, 3_600);
        }
    }
    assert_eq!(world.stats().abandoned, 0);
    wakes(&mut world, &node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    let publish = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 1, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
}

/// It wakes up by another device, while the one where it was is still awaited.
#[test]
fn a_window_that_moves_leaves_nothing_where_it_was() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    let there = device(7).on_link(1);
    world.exchange(&there, wake("n1"), &[]);
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (1, 1));
    world.here(&node, PLENTY);
    world.silence_everywhere();
    world.here(&there, PLENTY);
    world.expect(&there, &[one(1, b"a")]);
    world.exchange(&there, puback(0, 1, OK), &[PONG]);
}

/// A device that never comes back keeps nobody for ever.
#[test]
fn a_sleeper_that_stays_away_is_lost_in_the_end() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    world.pass(seconds(2 * 3_600));
    let stats = world.stats();
    assert_eq!((stats.lost, stats.clients, stats.lined_up, stats.buffered), (1, 0, 0, 0));
    assert_eq!((world.gateway.known_devices(), world.gateway.next_timeout()), (0, None));
}
