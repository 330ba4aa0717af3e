//! Windows that something else ends: DISCONNECT, CONNECT, another place.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};

use super::{AB, deliver_one_each, one, persistent_sleeper, sleeper};
use crate::harness::*;

/// A sleeper in its window: "1" is in flight, "2" waits.
fn in_window() -> (World, Device) {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    (world, node)
}

#[test]
fn by_another_disconnect_with_a_duration() {
    let (mut world, node) = in_window();
    world.sleep(&node, 60);
    world.pass(seconds(60));
    world.silence(&node);
    assert_eq!((world.stats().asleep, world.stats().buffered), (1, 2));
    world.exchange(&node, wake("n1"), &[again(one(1, b"1"))]);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    // With the sleep time announced last.
    world.pass(seconds(89));
    assert_eq!(world.stats().lost, 0);
    world.pass(seconds(2));
    assert_eq!(world.stats().lost, 1);
}

#[test]
fn by_another_disconnect_while_register_is_unanswered() {
    let (mut world, node) = subscribed_to_all(Qos::Zero);
    world.sleep(&node, 600);
    world.deliver(&Down::new("s/1/cmd", b"x"));
    for _ in 0..2 {
        world.send(&node, wake("n1"));
        assert_eq!(world.received(&node).len(), 1);
        world.sleep(&node, 600);
    }
    world.send(&node, wake("n1"));
    let frames = world.drain(&node);
    assert_eq!(payloads_of(&frames), [b"x"]);
    assert_eq!(frames.last(), Some(&hex("02 17")));
}

#[test]
fn by_a_goodbye() {
    let (mut world, node) = in_window();
    world.exchange(&node, BYE, &[BYE]);
    assert_eq!((world.gateway.residue()[0], world.stats().buffered), (0, 0));
    world.pass(seconds(600));
    world.silence(&node);
}

#[test]
fn by_connect() {
    let (mut world, node) = in_window();
    world.exchange(&node, connect("n1", true, 60), &[connack(OK), again(one(1, b"1"))]);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[]);
    assert_eq!((world.stats().connected, world.stats().buffered), (1, 0));
}

/// Nothing is delivered before the will dialogue is over.
#[test]
fn by_connect_with_a_will() {
    let (mut world, node) = in_window();
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.pass(seconds(9));
    world.silence(&node);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    let resumed = [connack(OK), again(one(1, b"1"))];
    world.exchange(&node, will_msg("gone"), &resumed);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    assert_eq!(world.up(), []);
}

/// A will dialogue that leads nowhere: the session of a persistent client is what it was.
#[test]
fn by_connect_with_a_will_that_never_comes() {
    let (mut world, node) = persistent_sleeper(60, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.pass(seconds(600));
    world.received(&node);
    assert_eq!((world.stats().clients, world.stats().buffered), (1, 2));
    assert_eq!((world.stats().connected, world.stats().asleep), (0, 1));
    assert_eq!(world.collect_by_connect(&node, connect("n1", false, 60)), [b"1", b"2"]);
}

#[test]
fn by_connect_from_elsewhere() {
    let (mut world, node) = in_window();
    let elsewhere = device(2);
    let resumed = [connack(OK), again(one(1, b"1"))];
    world.exchange(&elsewhere, connect("n1", true, 60), &resumed);
    world.silence(&node);
    // What comes from the old place is a stranger's.
    world.exchange(&node, puback(0x6162, 1, OK), &[]);
    world.exchange(&elsewhere, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&elsewhere, puback(0x6162, 2, OK), &[]);
    assert_eq!((world.stats().moved, world.stats().lost), (1, 0));
}

/// The session moves in the middle of the window: the window goes on there.
#[test]
fn by_pingreq_from_elsewhere() {
    let (mut world, node) = in_window();
    let elsewhere = device(2);
    world.exchange(&elsewhere, wake("n1"), &[again(one(1, b"1"))]);
    world.silence(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[]);
    world.exchange(&node, PING, &[BYE]);
    world.exchange(&elsewhere, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&elsewhere, puback(0x6162, 2, OK), &[PONG]);
    assert_eq!((world.stats().moved, world.stats().wakes), (1, 1));
}

/// Another device got the sleeper's address: the window is broken off, the sleeper sleeps on, and is
/// found by its client id.
#[test]
fn by_another_client_at_its_address() {
    let (mut world, node) = in_window();
    world.connect(&node, "n2");
    world.pass(seconds(60));
    world.silence(&node);
    let stats = world.stats();
    assert_eq!((stats.lost, stats.connected, stats.asleep, stats.wakes_unfinished), (0, 1, 1, 1));
    // What its successor answers is not the sleeper's answer.
    world.exchange(&node, puback(0x6162, 1, OK), &[]);
    let elsewhere = device(2);
    world.exchange(&elsewhere, wake("n1"), &[again(one(1, b"1"))]);
    world.exchange(&elsewhere, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&elsewhere, puback(0x6162, 2, OK), &[PONG]);
    world.exchange(&node, PING, &[PONG]);
}

/// Messages that the broker sends while it comes and goes: the window does not depend on it.
#[test]
fn not_by_the_brokers_absence() {
    let (mut world, node) = in_window();
    world.broker_down();
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.broker_up(false);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    world.broker_down();
    world.exchange(&node, wake("n1"), &[PONG]);
}

/// §24.39 of common practice: requests in the window are answered, the window goes on.
#[test]
fn not_by_requests_of_the_device() {
    let (mut world, node) = in_window();
    let up = publish(PublishTopic::Predefined(5), Qos::One, 9, b"up");
    world.exchange(&node, up, &[]);
    let (token, ..) = world.published();
    world.completed(token);
    world.expect(&node, &[puback(5, 9, OK)]);
    world.register(&node, 10, "own");
    world.exchange(&node, publish(AB, Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["ab"]);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, unsubscribe(11, "nothing"), &[unsuback(11)]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    assert_eq!(world.stats().asleep, 1);
}

/// The subscription is given up while its message is in flight: the window ends as it should.
#[test]
fn not_by_unsubscribe() {
    let (mut world, node) = in_window();
    let topic = mqtt_sn_gateway::codec::SubscribeTopic::Short(*b"ab");
    world.exchange(&node, Message::Unsubscribe { msg_id: 9, topic }, &[unsuback(9)]);
    assert_eq!(world.unsubscribed().1, "ab");
    world.send(&node, puback(0x6162, 1, OK));
    let frames = world.drain(&node);
    assert_eq!(frames.last(), Some(&hex("02 17")));
    assert_eq!(world.stats().buffered, 0);
    world.exchange(&node, wake("n1"), &[PONG]);
}
