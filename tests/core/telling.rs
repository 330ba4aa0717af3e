//! What a person is told about sleeping clients: each window once, sessions truthfully.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};

use crate::harness::*;

const AB: PublishTopic = PublishTopic::Short(*b"ab");

/// A client "n1" that has subscribed to "ab" and fallen asleep.
fn sleeper(clean: bool) -> (World, Device) {
    let mut world = World::obliging();
    let node = device(1);
    world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    let sleep = Message::Disconnect { duration: Some(600) };
    world.exchange(&node, sleep, &[BYE]);
    (world, node)
}

#[test]
fn windows_are_told_with_what_was_sent_and_what_is_left() {
    let (mut world, node) = sleeper(true);
    assert_eq!(world.notices(), ["connected: n1", "asleep: n1 600"]);
    world.exchange(&node, PING, &[PONG]);
    assert_eq!(world.notices(), [""; 0], "nothing waited");
    for delivery in 1..=3 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
    }
    let first = publish(AB, Qos::One, 1, b"x");
    world.exchange(&node, PING, &[first]);
    world.pass(4 * RETRY);
    assert_eq!(world.notices(), ["collected: n1 1, 3 left"], "it did not acknowledge");
    world.received(&node);
    world.exchange(&node, PING, &[again(first)]);
    for msg_id in 1..=3 {
        world.send(&node, puback(0, msg_id, OK));
    }
    assert_eq!(world.notices(), ["collected: n1 3, 0 left"]);
}

#[test]
fn a_session_is_resumed_only_if_it_goes_on() {
    for (clean, will, resumed) in
        [(true, false, true), (false, false, false), (true, true, true), (false, true, false)]
    {
        // A client that keeps its session, and then asks for a clean one, means it.
        let (mut world, node) = sleeper(clean);
        world.notices();
        if will {
            world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
            world.exchange(&node, will_topic("w", Qos::Zero, false), &[Message::WillMsgReq]);
            world.exchange(&node, will_msg("x"), &[connack(OK)]);
        } else {
            world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
        }
        let told = if resumed { "connected: n1, resumed" } else { "connected: n1" };
        assert_eq!(world.notices(), [told], "{clean} {will}");
    }
}
