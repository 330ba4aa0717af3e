//! Sleepers behind a slow link: the window stays open until all is sent, or until nobody can be there
//! any longer.

use mqtt_sn_gateway::codec::{PublishTopic, Qos, SubscribeTopic};

use super::{SMALL, one, with_two_links, zero};
use crate::harness::*;

/// A clean client "n1" with a subscription to everything, asleep for an hour, on a link without room.
fn sleeper(qos: Qos) -> (World, Device) {
    let mut world = World::with(with_two_links());
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Name(b"#"), qos);
    world.sleep(&node, 3_600);
    world.room(0, 0);
    (world, node)
}

#[test]
fn the_window_stays_open_until_all_is_sent() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b").qos1(1));
    world.deliver(&Down::new("ab", b"c"));
    world.exchange(&node, wake("n1"), &[]);
    world.pass(seconds(15));
    world.silence(&node);
    world.room(0, 1);
    world.expect(&node, &[zero(b"a")]);
    world.room(0, 1);
    world.expect(&node, &[one(1, b"b")]);
    world.exchange(&node, puback(0, 1, OK), &[]);
    world.pass(seconds(15));
    world.silence(&node);
    world.room(0, 1);
    world.expect(&node, &[zero(b"c"), PONG]);
    assert_eq!((world.stats().wakes_unfinished, world.stats().lined_up), (0, 0));
    world.room(0, None);
    world.silence(&node);
}

/// Nothing waits, so nothing has to wait for room.
#[test]
fn an_empty_window_is_over_at_once() {
    let (mut world, node) = sleeper(Qos::One);
    world.exchange(&node, wake("n1"), &[PONG]);
}

#[test]
fn a_burst_is_cut_where_the_room_ends() {
    let (mut world, node) = sleeper(Qos::Zero);
    for payload in [b"1", b"2", b"3", b"4", b"5"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.room(0, 2 * SMALL);
    world.exchange(&node, wake("n1"), &[zero(b"1"), zero(b"2")]);
    world.room(0, 2 * SMALL);
    world.expect(&node, &[zero(b"3"), zero(b"4")]);
    world.room(0, 2 * SMALL);
    world.expect(&node, &[zero(b"5"), PONG]);
}

/// Its tries were not made, but it does not listen for longer than they would have taken.
#[test]
fn a_client_that_has_gone_back_to_sleep_is_not_sent_anything() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    world.pass(RETRY * 4 - seconds(1));
    assert_eq!(world.stats().wakes_unfinished, 0);
    world.pass(seconds(2));
    assert_eq!(world.stats().wakes_unfinished, 1);
    world.room(0, None);
    world.silence(&node);
    assert_eq!((world.stats().abandoned, world.stats().buffered), (0, 2));
    world.exchange(&node, wake("n1"), &[zero(b"a"), one(1, b"b")]);
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
}

/// PINGREQ again is a sign of life, and no reason to send what there is no room for.
#[test]
fn whoever_asks_again_is_waited_for() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    for _ in 0..10 {
        world.exchange(&node, wake("n1"), &[]);
        world.pass(RETRY);
    }
    world.room(0, 1);
    world.expect(&node, &[one(1, b"a")]);
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
    assert_eq!((world.stats().wakes_unfinished, world.stats().retransmissions), (0, 0));
}

/// Of REGISTERs that a sleeper leaves unanswered only those count that were sent.
#[test]
fn a_register_without_room_is_not_counted_over_many_windows() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    for round in 0..40 {
        // Each time it asks again, or gives up at once.
        world.exchange(&node, wake("n1"), &[]);
        world.exchange(&node, wake("n1"), &[]);
        if round % 2 == 0 {
            world.pass(RETRY * 5);
        } else {
            world.sleep(&node, 3_600);
        }
    }
    assert_eq!(world.stats().abandoned, 0);
    world.room(0, None);
    world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
    let publish = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 1, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
}

/// The room ends between REGISTER and PUBLISH.
#[test]
fn the_publish_after_a_register_waits_in_the_window() {
    for qos in [Qos::Zero, Qos::One] {
        let (mut world, node) = sleeper(qos);
        world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
        world.room(0, 1);
        world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, "s/1/cmd")]);
        world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
        world.pass(seconds(15));
        world.exchange(&node, wake("n1"), &[]);
        world.room(0, 1);
        let msg_id = u16::from(qos == Qos::One);
        let publish = publish(PublishTopic::Normal(FIRST_ID), qos, msg_id, b"x");
        if qos == Qos::Zero {
            world.expect(&node, &[publish, PONG]);
        } else {
            world.expect(&node, &[publish]);
            world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
        }
        assert_eq!((world.stats().wakes_unfinished, world.stats().retransmissions), (0, 0));
    }
}

/// In the line, it falls asleep, and its turn comes.
#[test]
fn a_sleeper_is_not_disturbed_when_its_turn_comes() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    world.sleep(&node, 3_600);
    world.room(0, None);
    world.silence(&node);
    assert_eq!(world.stats().lined_up, 0);
    world.exchange(&node, wake("n1"), &[one(1, b"a")]);
    world.exchange(&node, puback(0, 1, OK), &[PONG]);
}

/// It wakes up somewhere else, where there is no room either.
#[test]
fn a_window_that_moves_lines_up_at_the_other_link() {
    for register in [false, true] {
        let (mut world, node) = sleeper(Qos::One);
        let name = if register { "s/1/cmd" } else { "ab" };
        world.room(1, 0);
        world.deliver(&Down::new(name, b"a").qos1(1));
        if register {
            world.room(0, 1);
            world.exchange(&node, wake("n1"), &[announce(FIRST_ID, 1, name)]);
            world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
        } else {
            world.exchange(&node, wake("n1"), &[]);
        }
        let there = device(1).on_link(1);
        world.exchange(&there, wake("n1"), &[]);
        world.room(0, None);
        world.silence_everywhere();
        world.room(1, 1);
        let topic =
            if register { PublishTopic::Normal(FIRST_ID) } else { PublishTopic::Short(*b"ab") };
        world.expect(&there, &[publish(topic, Qos::One, 1, b"a")]);
        world.exchange(&there, puback(0, 1, OK), &[PONG]);
    }
}

/// A link that never has room again keeps nobody for ever.
#[test]
fn a_sleeper_that_waits_in_vain_is_lost_in_the_end() {
    let (mut world, node) = sleeper(Qos::One);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.exchange(&node, wake("n1"), &[]);
    world.pass(seconds(2 * 3_600));
    let stats = world.stats();
    assert_eq!((stats.lost, stats.clients, stats.lined_up, stats.buffered), (1, 0, 0, 0));
    assert_eq!(world.gateway.next_timeout(), None);
}
