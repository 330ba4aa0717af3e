//! Clients that go, come back and move while they wait for room.

use mqtt_sn_gateway::codec::{Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{LinkId, Settings};

use super::{client, company, one, persistent, with_two_links, zero};
use crate::harness::*;

#[test]
fn who_leaves_leaves_the_line() {
    let (mut world, nodes) = company(3);
    world.deliver(&Down::new("ab", b"x"));
    assert_eq!(world.stats().lined_up, 3);
    world.exchange(&nodes[1], BYE, &[BYE]);
    assert_eq!(world.stats().lined_up, 2);
    // A newcomer that takes its place in the table has no turn.
    world.connect(&nodes[1], "n4");
    world.room(0, 1);
    world.expect(&nodes[0], &[zero(b"x")]);
    world.room(0, 1);
    world.expect(&nodes[2], &[zero(b"x")]);
    world.room(0, None);
    world.silence_everywhere();
}

#[test]
fn whoever_connects_again_and_again_is_in_the_line_once() {
    let (mut world, node) = persistent();
    for delivery in 1..=20 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        world.pass(seconds(30));
        world.resume(&node, "n1");
        assert_eq!(world.stats().lined_up, 1);
    }
    let (mut world, node) = client();
    for _ in 0..20 {
        world.deliver(&Down::new("ab", b"x"));
        world.pass(seconds(30));
        world.connect(&node, "n1");
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
        assert_eq!(world.stats().lined_up, 0);
    }
}

#[test]
fn a_kept_session_goes_on_where_the_client_connects() {
    let (mut world, node) = persistent();
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.deliver(&Down::new("ab", b"b").qos1(2));
    world.exchange(&node, BYE, &[BYE]);
    world.room(0, None);
    world.silence_everywhere();
    world.room(0, 0);
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.stats().lined_up, 1);
    world.room(0, None);
    assert_eq!(payloads_of(&world.drain(&node)), [b"a", b"b"]);
}

#[test]
fn who_moves_to_another_link_waits_there() {
    let (mut world, node) = persistent();
    world.deliver(&Down::new("ab", b"a").qos1(1));
    let there = device(1).on_link(1);
    world.exchange(&there, connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.stats().lined_up, 1);
    world.room(0, None);
    world.silence_everywhere();
    world.room(1, 1);
    world.expect(&there, &[one(1, b"a")]);
    // And from a link without room to one that has some.
    world.deliver(&Down::new("ab", b"b"));
    world.exchange(&there, puback(0, 1, OK), &[]);
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK), zero(b"b")]);
    assert_eq!(world.stats().lined_up, 0);
}

/// Something was sent, and its repetition waits, when it moves.
#[test]
fn what_is_in_flight_moves_along() {
    let (mut world, node) = persistent();
    world.room(0, 1);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.expect(&node, &[one(1, b"a")]);
    world.pass(RETRY);
    let there = device(1).on_link(1);
    world.exchange(&there, connect("n1", false, 3_600), &[connack(OK)]);
    world.pass(seconds(100));
    world.room(0, None);
    world.silence_everywhere();
    world.room(1, None);
    world.expect(&there, &[again(one(1, b"a"))]);
    world.exchange(&there, puback(0, 1, OK), &[]);
    world.pass(seconds(100));
    world.silence_everywhere();
}

#[test]
fn who_loses_the_address_leaves_the_line() {
    let (mut world, node) = persistent();
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.connect(&node, "n2");
    assert_eq!((world.stats().lost, world.stats().lined_up), (1, 0));
    world.room(0, None);
    world.silence_everywhere();
}

#[test]
fn who_is_expelled_leaves_the_line() {
    let (mut world, _) = company(2);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.reconfigure(Settings { deny_by_default: true, ..settings() });
    assert_eq!((world.stats().clients, world.stats().lined_up), (0, 0));
}

/// What links have said counts on under other settings.
#[test]
fn new_settings_give_no_room() {
    let mut world = World::with(with_two_links());
    let (here, there) = (device(1), device(2).on_link(1));
    for (node, id) in [(&here, "n1"), (&there, "n2")] {
        world.connect(node, id);
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
    }
    world.room(0, 0);
    world.gateway.set_link_largest(LinkId(1), 20);
    world.reconfigure(Settings { max_clients: 5, ..with_two_links() });
    world.deliver(&Down::new("ab", b"x"));
    world.silence(&here);
    world.expect(&there, &[zero(b"x")]);
    world.deliver(&Down::new("ab", &[b'x'; 20]));
    world.silence(&there);
    assert_eq!(world.stats().abandoned, 1);
}

/// Its messages are taken away while it waits: its turn passes.
#[test]
fn a_turn_without_a_message_is_nobodys_loss() {
    let (mut world, nodes) = company(2);
    world.deliver(&Down::new("ab", b"x").expires(5));
    world.deliver(&Down::new("ab", b"y"));
    world.pass(seconds(6));
    world.room(0, 1);
    world.expect(&nodes[0], &[zero(b"y")]);
    world.room(0, 1);
    world.expect(&nodes[1], &[zero(b"y")]);
    assert_eq!((world.stats().expired, world.stats().buffered), (2, 0));
}

/// The broker's answer to a SUBSCRIBE is awaited, as ever, before anything is delivered.
#[test]
fn the_suback_comes_first() {
    let (mut world, node) = client();
    world.deliver(&Down::new("ab", b"x"));
    world.send(&node, subscribe(2, "c/d", Qos::Zero));
    let (token, _, qos, ..) = world.subscribed();
    world.room(0, None);
    world.silence(&node);
    world.granted(token, qos);
    world.expect(&node, &[suback(Qos::Zero, FIRST_ID, 2, OK), zero(b"x")]);
}
