//! What waits, what does not, and who is next.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{Limit, Settings};

use super::{AB, SMALL, client, company, one, with_two_links, zero};
use crate::harness::*;

#[test]
fn without_room_messages_of_any_qos_wait_in_order() {
    let (mut world, node) = client();
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b").qos1(1));
    world.deliver(&Down::new("ab", b"c").qos2(2));
    world.deliver(&Down::new("ab", b"d"));
    world.silence(&node);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (4, 1));
    world.room(0, 1_000);
    world.expect(&node, &[zero(b"a"), one(1, b"b")]);
    world.exchange(&node, puback(0, 1, OK), &[publish(AB, Qos::Two, 2, b"c")]);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    world.exchange(&node, pubcomp(2), &[zero(b"d")]);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (0, 0));
}

#[test]
fn answers_do_not_wait() {
    let (mut world, node) = client();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"a").qos2(1));
    world.expect(&node, &[publish(AB, Qos::Two, 1, b"a")]);
    world.deliver(&Down::new("ab", b"b"));

    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.exchange(&node, PING, &[PONG]);
    world.exchange(
        &node,
        register(2, "up"),
        &[Message::RegAck { topic_id: FIRST_ID, msg_id: 2, code: OK }],
    );
    world.up();
    world.send(&node, publish(AB, Qos::One, 3, b"x"));
    let (token, ..) = world.published();
    world.completed(token);
    world.expect(&node, &[puback(0x6162, 3, OK)]);
    world.send(&node, publish(AB, Qos::Two, 4, b"x"));
    let (token, ..) = world.published();
    world.received_upstream(token);
    world.expect(&node, &[pubrec(4)]);
    world.completed(token);
    world.exchange(&node, pubrel(4), &[pubcomp(4)]);
    world.subscribe(&node, 5, "c/d", Qos::Zero);
    world.exchange(&node, unsubscribe(6, "c/d"), &[unsuback(6)]);
    world.send(&node, Message::SearchGw { radius: 0 });
    assert_eq!(world.received(&node).len(), 1);
    world.exchange(&node, pubcomp(1), &[]);
    world.exchange(&node, doze(60), &[BYE]);
    let other = device(2);
    world.exchange(&other, connect_with_will("n2", true, 60), &[Message::WillTopicReq]);
    world.exchange(&other, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&other, will_msg("gone"), &[connack(OK)]);
}

#[test]
fn those_who_wait_have_one_message_each_in_turn() {
    let (mut world, nodes) = company(3);
    for payload in [b"1", b"2", b"3"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.silence_everywhere();
    for payload in [b"1", b"2", b"3"] {
        for node in &nodes {
            // One packet may be longer than the room.
            world.room(0, 1);
            world.expect(node, &[zero(payload)]);
            world.silence_everywhere();
        }
    }
    world.room(0, 1);
    world.silence_everywhere();

    // The same with more room: three rounds and the first of the fourth.
    for payload in [b"1", b"2", b"3", b"4", b"5"] {
        world.room(0, 0);
        world.deliver(&Down::new("ab", payload));
    }
    world.room(0, 10 * SMALL);
    world.expect(&nodes[0], &[zero(b"1"), zero(b"2"), zero(b"3"), zero(b"4")]);
    world.expect(&nodes[1], &[zero(b"1"), zero(b"2"), zero(b"3")]);
    world.expect(&nodes[2], &[zero(b"1"), zero(b"2"), zero(b"3")]);
    world.room(0, None);
    world.expect(&nodes[0], &[zero(b"5")]);
    world.expect(&nodes[1], &[zero(b"4"), zero(b"5")]);
}

/// Who waits for an answer lets the others have their turns, and comes behind them.
#[test]
fn those_with_qos_1_have_their_turn_when_they_have_answered() {
    let (mut world, nodes) = company(2);
    for delivery in 1..=2 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        world.deliver(&Down::new("ab", b"y"));
    }
    world.room(0, 1);
    world.expect(&nodes[0], &[one(1, b"x")]);
    world.exchange(&nodes[0], puback(0, 1, OK), &[]);
    world.room(0, 1);
    world.expect(&nodes[1], &[one(1, b"x")]);
    world.room(0, 3 * SMALL);
    world.expect(&nodes[0], &[zero(b"y"), one(2, b"x")]);
    world.exchange(&nodes[1], puback(0, 1, OK), &[zero(b"y")]);
    world.exchange(&nodes[0], puback(0, 2, OK), &[]);
    world.room(0, None);
    world.expect(&nodes[0], &[zero(b"y")]);
    world.expect(&nodes[1], &[one(2, b"x")]);
}

#[test]
fn what_is_sent_at_once_takes_room_too() {
    let (mut world, node) = client();
    world.room(0, 2 * SMALL + 1);
    for payload in [b"1", b"2", b"3", b"4"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.expect(&node, &[zero(b"1"), zero(b"2"), zero(b"3")]);
    world.room(0, 2 * SMALL);
    world.expect(&node, &[zero(b"4")]);
    for payload in [b"5", b"6"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.expect(&node, &[zero(b"5")]);
}

#[test]
fn the_header_of_the_forwarder_takes_room() {
    let mut world = World::new();
    let nodes = [device(1).node(b"12345"), device(1).node(b"67890")];
    for (node, id) in nodes.iter().zip(["n1", "n2"]) {
        world.connect(node, id);
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    }
    world.room(0, 0);
    for payload in [b"1", b"2", b"3"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.room(0, 2 * (SMALL + 3 + 5));
    for node in &nodes {
        world.expect(node, &[zero(b"1")]);
    }
    world.room(0, 2 * (SMALL + 3 + 5) + 1);
    world.expect(&nodes[0], &[zero(b"2"), zero(b"3")]);
    world.expect(&nodes[1], &[zero(b"2")]);
}

#[test]
fn other_links_are_not_concerned() {
    let mut world = World::with(with_two_links());
    let (slow, quick) = (device(1).on_link(1), device(2));
    for (node, id) in [(&slow, "n1"), (&quick, "n2")] {
        world.connect(node, id);
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    }
    world.room(1, 0);
    for delivery in 1..=100 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        world.expect(&quick, &[one(delivery as u16, b"x")]);
        world.exchange(&quick, puback(0, delivery as u16, OK), &[]);
    }
    world.silence(&slow);
    world.room(0, 0);
    world.room(1, None);
    world.expect(&slow, &[one(1, b"x")]);
}

/// REGISTER takes room, and so does the PUBLISH after it. Answers to what has not been sent are not
/// believed.
#[test]
fn a_register_and_its_publish_wait_each_for_itself() {
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        let (mut world, node) = subscribed_to_all(qos);
        world.room(0, 0);
        world.deliver(&Down::new("s/1/cmd", b"x").qos2(1));
        world.silence(&node);
        world.room(0, 1);
        world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
        world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
        world.exchange(&node, puback(FIRST_ID, 1, OK), &[]);
        world.exchange(&node, puback(FIRST_ID, 1, INVALID_ID), &[]);
        world.exchange(&node, pubrec(1), &if qos == Qos::Two { vec![] } else { vec![pubrel(1)] });
        assert_eq!(world.stats().buffered, 1);
        world.room(0, 1);
        let msg_id = u16::from(qos != Qos::Zero);
        world.expect(&node, &[publish(PublishTopic::Normal(FIRST_ID), qos, msg_id, b"x")]);
    }
}

/// The limits are those of any queue: older QoS 0 messages give way, oldest first.
#[test]
fn what_waits_for_room_is_bounded() {
    let mut world = World::with(Settings { max_buffered_messages: 3, ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.room(0, 0);
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b").qos1(1));
    world.deliver(&Down::new("ab", b"c"));
    world.deliver(&Down::new("ab", b"d").qos1(2));
    assert_eq!((world.stats().buffered, world.stats().abandoned), (3, 1));
    world.deliver(&Down::new("ab", b"e").qos1(3));
    world.notices();
    world.deliver(&Down::new("ab", b"f").qos1(4));
    assert_eq!(world.notices(), ["limit: n1 buffer", "abandoned: n1 ab 1 its buffer is full"]);
    assert_eq!((world.limit(Limit::Buffer), world.stats().abandoned), (3, 3));
    world.room(0, None);
    assert_eq!(payloads_of(&world.drain(&node)), [b"b", b"d", b"e"]);
}

/// A slow link must not use up the window of the broker: what waits there is acknowledged, as for
/// sleepers.
#[test]
fn the_broker_does_not_wait_for_room() {
    let (mut world, nodes) = company(3);
    world.up();
    for delivery in 1..=40 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        assert_eq!(world.acknowledged(), [delivery]);
    }
    // Nor for what was under way when there was room.
    world.room(0, 1);
    world.expect(&nodes[0], &[one(1, b"x")]);
    for node in &nodes {
        world.exchange(node, BYE, &[BYE]);
    }
    world.up();
    world.connect(&nodes[0], "n1");
    world.subscribe_to(&nodes[0], 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"x").qos1(50));
    world.deliver(&Down::new("ab", b"y").qos1(51));
    world.expect(&nodes[0], &[one(1, b"x")]);
    assert_eq!(world.acknowledged(), [0_u64; 0], "it has room");
    world.exchange(&nodes[0], puback(0, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [50, 51]);
}
