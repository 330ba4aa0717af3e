//! When nothing changes nothing is written.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;

/// The disk is left alone during `what`, and for a while after it.
#[track_caller]
fn writes_nothing(world: &mut World, what: impl FnOnce(&mut World)) {
    world.flush();
    let (writes, commits) = (world.disk.writes(), world.engine().written().commits);
    what(world);
    world.pass(seconds(30));
    let written = world.engine().written();
    assert_eq!((world.disk.writes(), written.commits), (writes, commits));
}

#[test]
fn an_idle_gateway_writes_nothing() {
    let mut world = World::obliging();
    let (node, sleeper) = (device(1), device(2));
    world.connect(&node, "n1");
    world.connect(&sleeper, "n2");
    world.sleep(&sleeper, 3_600);
    writes_nothing(&mut world, |world| world.pass(seconds(3_000)));
}

#[test]
fn pings_are_not_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    writes_nothing(&mut world, |world| {
        for _ in 0..100 {
            world.pass(seconds(60));
            world.exchange(&node, PING, &[PONG]);
        }
    });
}

#[test]
fn a_sleeper_that_wakes_for_nothing_is_not_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.sleep(&node, 600);
    writes_nothing(&mut world, |world| {
        for _ in 0..100 {
            world.pass(seconds(300));
            world.exchange(&node, wake("n1"), &[PONG]);
        }
    });
}

#[test]
fn qos_0_is_not_written_either_way() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.subscribe(&node, 1, "a/b", Qos::Two);
    writes_nothing(&mut world, |world| {
        for _ in 0..10 {
            world.send(&node, publish_to(id, Qos::Zero, 0, b"x"));
            let unconnected = publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"y");
            world.send(&device(9), unconnected);
            world.deliver("a/b", b"z", 0);
            world.one_publish(&node, b"z");
        }
    });
}

#[test]
fn qos_0_for_a_sleeper_is_not_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.sleep(&node, 600);
    writes_nothing(&mut world, |world| {
        world.deliver("a/b", b"z", 0);
        world.send(&node, wake("n1"));
        assert_eq!(world.collect(&node), ["z"]);
    });
}

#[test]
fn qos_1_through_is_not_written_either_way() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.subscribe(&node, 1, "a/b", Qos::One);
    writes_nothing(&mut world, |world| {
        for msg_id in 10..100 {
            let message = publish_to(id, Qos::One, msg_id, b"up");
            world.exchange(&node, message, &[puback(id, msg_id, OK)]);
            world.deliver("a/b", b"down", 1);
            assert_eq!(world.collect(&node), ["down"]);
        }
    });
}

#[test]
fn repetitions_and_refusals_are_not_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "c", Qos::One);
    let message = publish_to(id, Qos::Two, 3, b"x");
    world.exchange(&node, message, &[pubrec(3)]);
    world.exchange(&node, pubrel(3), &[pubcomp(3)]);
    writes_nothing(&mut world, |world| {
        world.exchange(&node, register(4, "a/b"), &[regack(id, 4, OK)]);
        world.exchange(&node, subscribe(2, "c", Qos::One), &[suback(Qos::One, id + 1, 2, OK)]);
        world.exchange(&node, again(message), &[pubrec(3)]);
        world.exchange(&node, publish_to(99, Qos::One, 5, b"x"), &[puback(99, 5, INVALID_ID)]);
        world.exchange(&device(9), PING, &[BYE]);
        world.send(&device(9), Message::SearchGw { radius: 0 });
    });
}

#[test]
fn a_connection_to_the_broker_that_comes_back_is_not_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    writes_nothing(&mut world, |world| {
        for _ in 0..3 {
            world.broker_down();
            world.pass(seconds(60));
            world.sent();
            world.broker_up(true);
        }
    });
}

#[test]
fn a_restart_alone_writes_only_once() {
    let mut world = World::obliging();
    world.resume(&device(1), "n1");
    world.flush();
    world.restart();
    world.flush();
    let before = world.disk.writes();
    world.pass(seconds(600));
    assert_eq!(world.disk.writes(), before);
}
