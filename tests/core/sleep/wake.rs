//! Waking by CONNECT (§6.14; §24.3 of common practice).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Settings;

use super::{NORMAL, connect_willed, deliver_one_each};
use crate::harness::*;

/// A client with a topic id and a subscription, with this CleanSession, asleep, and a message waits.
fn asleep(settings: Settings, clean: bool) -> (World, Device) {
    let mut world = World::with(settings);
    let node = device(1);
    connect_willed(&mut world, &node, clean, 60);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.sleep(&node, 3_600);
    deliver(&mut world);
    (world, node)
}

fn deliver(world: &mut World) {
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    assert_eq!(world.acknowledged(), [1]);
}

/// All is kept: after CONNACK the message comes, its topic announced anew.
#[track_caller]
fn assert_kept(world: &mut World, node: &Device) {
    world.expect(node, &[connack(OK), announce(FIRST_ID, 1, "a/b")]);
    world.exchange(node, regack(FIRST_ID, 1, OK), &[publish(NORMAL, Qos::One, 1, b"x")]);
    world.exchange(node, puback(FIRST_ID, 1, OK), &[]);
    assert_eq!((world.stats().connected, world.up()), (1, vec![]));
}

#[track_caller]
fn assert_cleared(world: &mut World, node: &Device) {
    world.expect(node, &[connack(OK)]);
    assert_eq!(world.unsubscribed().1, "a/b");
    assert_eq!((world.stats().buffered, world.gateway.residue()[3..].to_vec()), (0, vec![0, 0]));
    let old = publish(NORMAL, Qos::Zero, 0, b"x");
    world.exchange(node, old, &[puback(FIRST_ID, 0, INVALID_ID)]);
}

/// Devices repeat the one CONNECT they know, just to become active.
#[test]
fn clean_session_again_is_a_wake_signal() {
    for elsewhere in [false, true] {
        let (mut world, node) = asleep(settings(), true);
        let node = if elsewhere { device(2) } else { node };
        world.pass(seconds(100));
        world.send(&node, connect("n1", true, 60));
        assert_kept(&mut world, &node);
    }
}

#[test]
fn clean_session_again_clears_if_so_configured() {
    let settings = Settings { keep_session_on_wake: false, ..settings() };
    let (mut world, node) = asleep(settings, true);
    world.send(&node, connect("n1", true, 60));
    assert_cleared(&mut world, &node);
}

/// It kept its session so far, and now says that it does not want it: that is no habit.
#[test]
fn clean_session_after_a_kept_one_clears() {
    for keep_session_on_wake in [true, false] {
        let settings = Settings { keep_session_on_wake, ..settings() };
        let (mut world, node) = asleep(settings, false);
        world.send(&node, connect("n1", true, 60));
        assert_cleared(&mut world, &node);
        // The will went with it.
        world.pass(seconds(100));
        assert_eq!((world.stats().lost, world.up()), (1, vec![]));
    }
}

#[test]
fn a_kept_session_is_kept() {
    for former in [true, false] {
        for keep_session_on_wake in [true, false] {
            let settings = Settings { keep_session_on_wake, ..settings() };
            let (mut world, node) = asleep(settings, former);
            world.send(&node, connect("n1", false, 60));
            assert_kept(&mut world, &node);
        }
    }
}

/// From the next goodbye on, the last CONNECT decides what is kept.
#[test]
fn the_last_connect_decides_about_the_session() {
    for clean in [true, false] {
        let (mut world, node) = asleep(settings(), true);
        world.send(&node, connect("n1", clean, 60));
        assert_kept(&mut world, &node);
        world.exchange(&node, BYE, &[BYE]);
        assert_eq!(world.stats().clients, u64::from(!clean));
    }
}

/// A wake signal leaves the will as it was, unless the CONNECT brings one.
#[test]
fn the_will_over_a_wake_by_connect() {
    for clean in [true, false] {
        let (mut world, node) = asleep(settings(), clean);
        world.send(&node, connect("n1", clean, 60));
        assert_kept(&mut world, &node);
        world.pass(seconds(100));
        assert_eq!(world.stats().lost, 1);
        assert_eq!(world.published_topics_among_all(), ["lwt"]);

        let (mut world, node) = asleep(settings(), clean);
        world.exchange(&node, connect_with_will("n1", clean, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will_topic("new", Qos::Zero, false), &[Message::WillMsgReq]);
        world.send(&node, will_msg("x"));
        assert_kept(&mut world, &node);
        world.pass(seconds(100));
        assert_eq!(world.published_topics_among_all(), ["new"]);

        // The empty WILLTOPIC deletes it.
        let (mut world, node) = asleep(settings(), clean);
        world.exchange(&node, connect_with_will("n1", clean, 60), &[Message::WillTopicReq]);
        world.send(&node, Message::WillTopic(None));
        assert_kept(&mut world, &node);
        world.pass(seconds(100));
        assert_eq!(world.published_topics_among_all(), [""; 0]);
    }
}

/// While it is in the will dialogue, messages go on waiting; nothing is sent but the prompts.
#[test]
fn the_will_dialogue_of_a_waking_client() {
    let (mut world, node) = asleep(settings(), true);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.deliver(&Down::new("a/b", b"y"));
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.pass(RETRY);
    world.expect(&node, &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("new", Qos::Zero, false), &[Message::WillMsgReq]);
    world.deliver(&Down::new("a/b", b"z").qos1(2));
    world.silence(&node);
    world.send(&node, will_msg("x"));
    assert_eq!(payloads_of(&world.drain(&node)), [b"x", b"y", b"z"]);
}

/// The CONNACK is lost, the device repeats its CONNECT: answered again, the queue is not lost.
#[test]
fn a_repeated_connect_of_a_waking_client() {
    for clean in [true, false] {
        let (mut world, node) = asleep(settings(), clean);
        world.send(&node, connect("n1", clean, 60));
        world.received(&node);
        for _ in 0..3 {
            world.pass(seconds(9));
            world.received(&node);
            world.send(&node, connect("n1", clean, 60));
            let received = world.received(&node);
            assert_eq!(received.first(), Some(&hex("03 05 00")));
        }
        world.pass(RETRY);
        assert_eq!(payloads_of(&world.drain(&node)), [b"x"]);
        assert_eq!((world.stats().connected, world.stats().buffered), (1, 0));
    }
}

/// The PINGREQ of a device that believes itself asleep still, or active already.
#[test]
fn pingreq_with_an_id_of_an_active_client_is_a_ping() {
    let (mut world, node) = asleep(settings(), true);
    world.send(&node, connect("n1", true, 60));
    assert_kept(&mut world, &node);
    world.exchange(&node, wake("n1"), &[PONG]);
    assert_eq!((world.stats().connected, world.stats().asleep), (1, 0));
    world.deliver(&Down::new("a/b", b"y").qos1(5));
    world.expect(&node, &[publish(NORMAL, Qos::One, 2, b"y")]);
}

/// Short and predefined topics need no announcement after CONNECT.
#[test]
fn what_needs_no_register_gets_none() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.subscribe_to(&node, 2, SubscribeTopic::Predefined(5), Qos::One);
    world.sleep(&node, 600);
    deliver_one_each(&mut world, &[b"1"]);
    world.deliver(&Down::new("predefined/five", b"2"));
    let short = publish(PublishTopic::Short(*b"ab"), Qos::One, 1, b"1");
    world.exchange(&node, connect("n1", true, 60), &[connack(OK), short]);
    let predefined = publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"2");
    world.exchange(&node, puback(0x6162, 1, OK), &[predefined]);
}

/// Every topic id is announced once after CONNECT, not once per message.
#[test]
fn ids_are_announced_once_after_waking() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Zero);
    world.sleep(&node, 600);
    for _ in 0..3 {
        world.deliver(&Down::new("a/b", b"x"));
    }
    let resumed = [connack(OK), announce(FIRST_ID, 1, "a/b")];
    world.exchange(&node, connect("n1", true, 60), &resumed);
    let publish = publish(NORMAL, Qos::Zero, 0, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish; 3]);
    // Asleep again: what is confirmed stays so.
    world.sleep(&node, 600);
    world.deliver(&Down::new("a/b", b"x"));
    world.exchange(&node, wake("n1"), &[publish, PONG]);
}
