//! The states of a client (§6.14, figures 3 and 4): every way from one to another.

use mqtt_sn_gateway::codec::{Message, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Drop;

use super::{AB, connect_willed, deliver_one_each, one, persistent_sleeper, sleeper};
use crate::harness::*;

/// Connected, asleep: what the gauges say.
#[track_caller]
fn assert_states(world: &World, connected: u64, asleep: u64) {
    let stats = world.stats();
    assert_eq!((stats.connected, stats.asleep), (connected, asleep), "connected, asleep");
}

#[test]
fn active_to_asleep() {
    let (mut world, node) = one_client();
    world.notices();
    assert_states(&world, 1, 0);
    // Frame V36, and the answer without a duration (§5.4.21).
    world.send_hex(&node, "04 18 01 2C");
    world.expect_hex(&node, &["02 18"]);
    assert_eq!(world.notices(), ["asleep: n1 300"]);
    assert_states(&world, 0, 1);
    assert_eq!((world.stats().clients, world.up()), (1, vec![]));
}

#[test]
fn active_to_disconnected_with_a_duration_of_zero() {
    let (mut world, node) = one_client();
    world.send_hex(&node, "04 18 00 00");
    world.expect_hex(&node, &["02 18"]);
    assert_states(&world, 0, 0);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn active_to_lost_never_by_way_of_sleep() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, true, 60);
    world.pass(seconds(91));
    assert_eq!(world.published_topics(), ["lwt"]);
    // DISCONNECT of somebody who is lost already: acknowledged, and no session comes of it.
    world.exchange(&node, doze(60), &[BYE]);
    assert_states(&world, 0, 0);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn asleep_a_message_is_buffered() {
    let (mut world, node) = sleeper(Qos::Two, 60);
    world.deliver(&Down::new("ab", b"0"));
    world.deliver(&Down::new("ab", b"1").qos1(1));
    world.deliver(&Down::new("ab", b"2").qos2(2));
    world.silence(&node);
    // §24.13 of common practice: as long as it sleeps the broker cannot be kept waiting.
    assert_eq!((world.stats().buffered, world.acknowledged()), (3, vec![1, 2]));
    assert_states(&world, 0, 1);
}

#[test]
fn asleep_pingreq_without_anything_buffered() {
    let (mut world, node) = sleeper(Qos::One, 60);
    for _ in 0..10 {
        world.pass(seconds(60));
        world.exchange(&node, wake("n1"), &[PONG]);
        assert_states(&world, 0, 1);
    }
    assert_eq!((world.stats().wakes, world.stats().wakes_unfinished), (10, 0));
}

/// Frame V33: in the long form and with the id of the specification's example.
#[test]
fn asleep_pingreq_frames() {
    let mut world = World::new();
    let node = device(1);
    world.send_hex(&node, "0F 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31");
    world.send_hex(&node, "04 18 01 2C");
    world.received(&node);
    for frame in
        ["0B 16 73 65 6E 73 6F 72 2D 30 31", "01 00 0D 16 73 65 6E 73 6F 72 2D 30 31", "02 16"]
    {
        world.send_hex(&node, frame);
        world.expect_hex(&node, &["02 17"]);
    }
}

#[test]
fn asleep_to_awake_and_back() {
    let (mut world, node) = sleeper(Qos::One, 60);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    assert_states(&world, 0, 1);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    assert_states(&world, 0, 1);
    assert!(world.notices().contains(&"collected: n1 2, 0 left".to_owned()));
    assert_eq!((world.stats().wakes, world.stats().wakes_unfinished), (1, 0));
    // Asleep again: the next message waits.
    deliver_one_each(&mut world, &[b"3"]);
    world.silence(&node);
}

/// Several clients leave their id out (§24.20 of common practice).
#[test]
fn a_pingreq_without_an_id_wakes_the_sleeper_at_its_address() {
    let (mut world, node) = sleeper(Qos::One, 60);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, PING, &[one(1, b"1")]);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);
    // From elsewhere it wakes nobody.
    deliver_one_each(&mut world, &[b"2"]);
    world.exchange(&device(2), PING, &[BYE]);
    world.silence(&node);
}

#[test]
fn asleep_to_asleep_by_another_disconnect() {
    let (mut world, node) = sleeper(Qos::One, 1_000);
    deliver_one_each(&mut world, &[b"1"]);
    world.pass(seconds(500));
    world.sleep(&node, 20);
    world.silence(&node);
    world.pass(seconds(29));
    assert_states(&world, 0, 1);
    world.pass(seconds(2));
    assert_states(&world, 0, 0);
    assert_eq!(world.stats().lost, 1);
}

#[test]
fn asleep_to_disconnected() {
    for goodbye in [BYE, doze(0)] {
        let (mut world, node) = sleeper(Qos::One, 60);
        deliver_one_each(&mut world, &[b"1"]);
        world.exchange(&node, goodbye, &[BYE]);
        // The session was clean: nothing is left of it.
        assert_states(&world, 0, 0);
        assert_eq!((world.gateway.residue()[0], world.stats().buffered), (0, 0));
        assert_eq!(world.unsubscribed().1, "ab");
        world.pass(seconds(1_000));
        assert_eq!((world.stats().lost, world.up()), (0, vec![]));

        let (mut world, node) = persistent_sleeper(60, 60);
        deliver_one_each(&mut world, &[b"1"]);
        world.exchange(&node, goodbye, &[BYE]);
        assert_states(&world, 0, 0);
        assert_eq!((world.stats().clients, world.stats().buffered), (1, 1));
        world.pass(seconds(1_000));
        assert_eq!((world.stats().lost, world.up()), (0, vec![]));
        let connect = connect("n1", false, 60);
        assert_eq!(world.collect_by_connect(&node, connect), [b"1"]);
    }
}

#[test]
fn awake_to_disconnected() {
    let (mut world, node) = persistent_sleeper(60, 60);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.exchange(&node, BYE, &[BYE]);
    assert_states(&world, 0, 0);
    world.pass(seconds(1_000));
    world.silence(&node);
    assert_eq!((world.stats().clients, world.stats().lost), (1, 0));
    // The one in flight comes again, as what it is.
    let resumed = [connack(OK), again(one(1, b"1"))];
    world.exchange(&node, connect("n1", false, 60), &resumed);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
}

#[test]
fn asleep_to_active() {
    let (mut world, node) = sleeper(Qos::One, 60);
    world.connect(&node, "n1");
    assert_states(&world, 1, 0);
    // Active: PINGREQ is keep-alive, messages come as they come.
    world.exchange(&node, wake("n1"), &[PONG]);
    world.deliver(&Down::new("ab", b"1").qos1(1));
    world.expect(&node, &[one(1, b"1")]);
}

#[test]
fn awake_to_active() {
    let (mut world, node) = sleeper(Qos::One, 60);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.exchange(&node, connect("n1", true, 60), &[connack(OK), again(one(1, b"1"))]);
    assert_states(&world, 1, 0);
    // No PINGRESP any more.
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[]);
    world.pass(seconds(60));
    world.silence(&node);
}

#[test]
fn asleep_to_lost() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, true, 3_600);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.sleep(&node, 60);
    deliver_one_each(&mut world, &[b"1"]);
    world.notices();
    world.pass(seconds(91));
    let notices = world.notices();
    assert!(notices.iter().any(|line| line.starts_with("lost: n1, Overslept")), "{notices:?}");
    assert_states(&world, 0, 0);
    assert_eq!((world.stats().clients, world.stats().buffered), (0, 0));
    world.silence(&node);
    world.exchange(&node, wake("n1"), &[BYE]);
}

#[test]
fn lost_to_active() {
    let (mut world, node) = persistent_sleeper(60, 60);
    world.deliver(&Down::new("ab", b"0"));
    deliver_one_each(&mut world, &[b"1"]);
    world.pass(seconds(91));
    assert_eq!((world.stats().lost, world.stats().clients), (1, 1));
    // Lost is no sleep: PINGREQ does not do.
    world.exchange(&node, wake("n1"), &[BYE]);
    // Buffered while it slept, but QoS 0 is not kept for those who are gone.
    let connect = connect("n1", false, 60);
    assert_eq!(world.collect_by_connect(&node, connect), [b"1"]);
    assert_states(&world, 1, 0);
}

/// A device that was never connected cannot fall asleep, whatever it thinks.
#[test]
fn disconnected_stays_disconnected() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, doze(60), &[BYE]);
    world.pass(seconds(1));
    world.exchange(&node, wake("n1"), &[BYE]);
    assert_eq!((world.stats().clients, world.dropped(Drop::Stranger)), (0, 2));
    // The same with a session that waits for its device.
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    for message in [doze(60), wake("n1"), PING] {
        world.pass(seconds(1));
        world.exchange(&node, message, &[BYE]);
        assert_states(&world, 0, 0);
    }
    assert_eq!(world.stats().clients, 1);
}

/// In the will dialogue there is nothing yet that could sleep.
#[test]
fn connecting_to_disconnected() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, doze(60), &[BYE]);
    assert_states(&world, 0, 0);
    assert_eq!((world.gateway.residue(), world.up()), ([0; 5], vec![]));
}

/// All states at their turn, for a long time, without loss and without a message too many.
#[test]
fn a_year_of_naps() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    let mut msg_id = 0;
    for nap in 0..365 * 24_u64 {
        if nap % 3 == 0 {
            world.deliver(&Down::new("ab", b"x").qos1(nap));
            world.acknowledged();
            msg_id += 1;
        }
        world.pass(seconds(3_600));
        if nap % 3 == 0 {
            world.exchange(&node, wake("n1"), &[publish(AB, Qos::One, msg_id, b"x")]);
            world.exchange(&node, puback(0x6162, msg_id, OK), &[PONG]);
        } else {
            world.exchange(&node, wake("n1"), &[PONG]);
        }
    }
    assert_eq!((world.stats().lost, world.stats().retransmissions), (0, 0));
    assert_states(&world, 0, 1);
}
