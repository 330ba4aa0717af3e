//! What was not sent for want of room was not left unanswered.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use super::{AB, client, one, zero};
use crate::harness::*;

#[test]
fn a_repetition_without_room_is_no_try() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(&node, &[one(1, b"x")]);
    world.pass(seconds(1_000));
    world.silence(&node);
    assert_eq!((world.stats().retransmissions, world.stats().lost), (0, 0));
    // It waits in the line like any other message.
    world.room(0, 1);
    world.expect(&node, &[again(one(1, b"x"))]);
    world.room(0, None);
    for _ in 0..2 {
        world.silence(&node);
        world.pass(RETRY);
        world.expect(&node, &[again(one(1, b"x"))]);
    }
    assert_eq!((world.stats().retransmissions, world.stats().lost), (3, 0));
    world.pass(RETRY);
    world.silence(&node);
    assert_eq!((world.stats().retransmissions, world.stats().lost), (3, 1));
}

/// Nor when a try was due in the moment when the room came.
#[test]
fn each_try_is_given_its_time() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(&node, &[one(1, b"x")]);
    world.pass(RETRY + RETRY - seconds(1));
    world.room(0, None);
    world.expect(&node, &[again(one(1, b"x"))]);
    world.pass(RETRY - seconds(1));
    world.silence(&node);
    world.pass(seconds(2));
    world.expect(&node, &[again(one(1, b"x"))]);
}

#[test]
fn what_was_never_sent_has_all_its_tries() {
    let (mut world, node) = subscribed_to_all(Qos::One);
    let publish = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 1, b"x");
    world.room(0, 1);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
    world.pass(seconds(1_000));
    world.silence(&node);
    world.room(0, None);
    world.expect(&node, &[publish]);
    for _ in 0..3 {
        world.pass(RETRY);
        world.expect(&node, &[again(publish)]);
    }
    assert_eq!((world.stats().retransmissions, world.stats().lost), (3, 0));
    world.pass(RETRY);
    assert_eq!(world.stats().lost, 1);
}

/// A repeated CONNECT gives a client all its tries again, and no more.
#[test]
fn a_repeated_connect_makes_no_try_of_what_waits() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(&node, &[one(1, b"x")]);
    world.pass(RETRY);
    world.connect(&device(2), "n2");
    world.exchange(&node, connect("n1", true, 3_600), &[connack(OK)]);
    assert_eq!(world.stats().lined_up, 0, "it is no repetition after so long, and begins anew");

    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.send(&node, subscribe(1, "ab", Qos::One));
    let (token, _, qos, ..) = world.subscribed();
    world.granted(token, qos);
    world.received(&node);
    world.room(0, 0);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.stats().lined_up, 1);
    world.room(0, None);
    world.one_publish(&node);
    assert_eq!(world.stats().retransmissions, 0);
}

/// A REGISTER is not repeated into a link without room either, and its message is not given up.
#[test]
fn a_register_that_waits_is_not_ignored_by_the_client() {
    let (mut world, node) = subscribed_to_all(Qos::Zero);
    world.room(0, 1);
    world.deliver(&Down::new("s/1/cmd", b"x"));
    world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    for _ in 0..50 {
        world.pass(RETRY);
        // It is there.
        world.exchange(&node, PING, &[PONG]);
    }
    assert_eq!((world.stats().abandoned, world.stats().retransmissions), (0, 0));
    world.room(0, None);
    world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    let publish = publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
}

/// The answer to the first try arrives while the second one waits.
#[test]
fn a_late_answer_ends_what_waits() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.deliver(&Down::new("ab", b"y"));
    world.expect(&node, &[one(1, b"x")]);
    world.pass(RETRY);
    world.exchange(&node, puback(0, 1, OK), &[]);
    world.room(0, 1);
    world.expect(&node, &[zero(b"y")]);
    world.room(0, None);
    world.pass(seconds(100));
    world.silence(&node);
    assert_eq!((world.stats().retransmissions, world.stats().buffered), (0, 0));
}

/// The same at QoS 2: what follows is an answer, which does not wait.
#[test]
fn a_late_pubrec_is_answered_at_once() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos2(1));
    world.deliver(&Down::new("ab", b"y"));
    world.expect(&node, &[publish(AB, Qos::Two, 1, b"x")]);
    world.pass(RETRY);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(RETRY);
    world.expect(&node, &[pubrel(1)]);
    world.room(0, None);
    world.silence(&node);
    world.exchange(&node, pubcomp(1), &[zero(b"y")]);
    assert_eq!(world.stats().retransmissions, 1);
}

/// T_WAIT (§7.2), asked for while a repetition waits.
#[test]
fn a_pause_is_kept_when_there_is_room() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(&node, &[one(1, b"x")]);
    world.pass(RETRY);
    world.exchange(&node, puback(0, 1, CONGESTION), &[]);
    world.room(0, None);
    world.pass(seconds(299));
    world.silence(&node);
    world.pass(seconds(2));
    world.expect(&node, &[again(one(1, b"x"))]);
    world.exchange(&node, puback(0, 1, OK), &[]);
}

/// A client that is silent for longer than it promised is lost, room or no room.
#[test]
fn the_keep_alive_counts_as_ever() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
    world.send(&node, subscribe(1, "ab", Qos::One));
    let (token, _, qos, ..) = world.subscribed();
    world.granted(token, qos);
    world.received(&node);
    world.room(0, 0);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.pass(seconds(89));
    assert_eq!((world.stats().lost, world.stats().lined_up), (0, 1));
    world.pass(seconds(2));
    assert_eq!((world.stats().lost, world.stats().lined_up), (1, 0));
    assert_eq!(world.gateway.next_timeout(), None);
}
