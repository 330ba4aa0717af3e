//! Clients that go, come back and move while they wait for a device that is away.

use mqtt_sn_gateway::codec::{Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Settings;

use super::{PLENTY, company, one, persistent, with_devices, zero};
use crate::harness::*;

#[test]
fn a_device_that_is_away_and_awaited_by_nobody_is_forgotten() {
    let (mut world, nodes) = company(3);
    assert_eq!(world.gateway.known_devices(), 3);
    world.gone(&nodes[0]);
    assert_eq!(world.gateway.known_devices(), 2);
    world.deliver(&Down::new("ab", b"x"));
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (3, 1));
    // Said again, or for the first time, it means nothing.
    world.gone(&nodes[0]);
    world.gone(&device(9));
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (3, 1));
    world.here(&nodes[0], PLENTY);
    world.expect(&nodes[0], &[zero(b"x")]);
    nodes.iter().for_each(|node| world.gone(node));
    assert_eq!(world.gateway.known_devices(), 0);
}

#[test]
fn a_goodbye_leaves_the_line() {
    let (mut world, nodes) = company(1);
    world.gone(&nodes[0]);
    world.deliver(&Down::new("ab", b"x"));
    world.exchange(&nodes[0], BYE, &[BYE]);
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (0, 0));
    // A newcomer that takes its place in the table has no turn.
    world.connect(&nodes[0], "n2");
    world.here(&nodes[0], PLENTY);
    world.silence_everywhere();
}

#[test]
fn whoever_connects_again_and_again_is_in_the_line_once() {
    let (mut world, node) = persistent();
    world.gone(&node);
    for delivery in 1..=20 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        world.pass(seconds(30));
        world.resume(&node, "n1");
        assert_eq!((world.stats().lined_up, world.gateway.known_devices()), (1, 1));
    }
}

#[test]
fn a_session_that_ends_leaves_nothing() {
    // Clean, and kept until it expires.
    for clean in [true, false] {
        let mut world = World::with(Settings { session_expiry: seconds(500), ..with_devices() });
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
        world.obliging = true;
        world.deliver(&Down::new("ab", b"x").qos1(1));
        assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (1, 1));
        world.pass(seconds(100));
        assert_eq!((world.stats().lost, world.gateway.known_devices()), (1, 0));
        world.here(&node, PLENTY);
        world.silence(&node);
        world.gone(&node);
        world.pass(seconds(1_000));
        assert_eq!((world.gateway.residue(), world.gateway.known_devices()), ([0; 5], 0));
    }
}

#[test]
fn who_loses_the_address_leaves_the_line() {
    let (mut world, node) = persistent();
    world.gone(&node);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    world.connect(&node, "n2");
    assert_eq!((world.stats().lost, world.stats().lined_up), (1, 0));
    assert_eq!(world.gateway.known_devices(), 0);
    world.here(&node, PLENTY);
    world.silence_everywhere();
}

#[test]
fn who_is_expelled_leaves_the_line() {
    let (mut world, nodes) = company(2);
    nodes.iter().for_each(|node| world.gone(node));
    world.deliver(&Down::new("ab", b"a").qos1(1));
    assert_eq!(world.gateway.known_devices(), 2);
    world.reconfigure(Settings { deny_by_default: true, ..with_devices() });
    assert_eq!((world.stats().clients, world.gateway.known_devices()), (0, 0));
}

/// What devices have said counts on under other settings.
#[test]
fn new_settings_bring_nobody_back() {
    let (mut world, nodes) = company(2);
    world.gone(&nodes[0]);
    world.reconfigure(Settings { max_clients: 5, ..with_devices() });
    world.deliver(&Down::new("ab", b"x"));
    world.silence(&nodes[0]);
    world.expect(&nodes[1], &[zero(b"x")]);
}

/// To another device, to one behind it, to a slow link, and to one that takes everything.
#[test]
fn who_moves_waits_where_it_is() {
    let (mut world, node) = persistent();
    world.gone(&node);
    world.deliver(&Down::new("ab", b"a").qos1(1));
    let places = [
        device(2),
        device(1).on_link(1),
        device(3).node(b"12345"),
        device(1).on_link(2),
        device(1),
    ];
    for (number, place) in places.iter().enumerate() {
        world.exchange(place, connect("n1", false, 3_600), &[connack(OK)]);
        let known = usize::from(number != 3);
        assert_eq!((world.stats().lined_up, world.gateway.known_devices()), (1, known));
        // It is awaited nowhere else.
        if number > 0 {
            for former in &places[..number] {
                world.here(former, PLENTY);
                world.room(2, if number == 3 { 0 } else { PLENTY });
                world.gone(former);
            }
        }
        world.room(2, 0);
        world.silence_everywhere();
        // It does not seem to be two devices.
        world.pass(seconds(700));
    }
    let free = device(1).on_link(3);
    world.exchange(&free, connect("n1", false, 3_600), &[connack(OK), one(1, b"a")]);
    assert_eq!((world.stats().lined_up, world.gateway.known_devices()), (0, 0));
    // And back to a device that is away, where the repetition waits.
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
    world.here(&node, PLENTY);
    world.expect(&node, &[again(one(1, b"a"))]);
    world.exchange(&node, puback(0, 1, OK), &[]);
    assert_eq!((world.stats().buffered, world.stats().lined_up), (0, 0));
}

/// The address of one that was there goes to somebody else while the device stays.
#[test]
fn the_room_belongs_to_the_device_and_not_to_the_client() {
    let (mut world, nodes) = company(1);
    world.here(&nodes[0], 0);
    world.deliver(&Down::new("ab", b"x"));
    world.connect(&nodes[0], "n2");
    world.subscribe_to(&nodes[0], 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
    assert_eq!((world.gateway.known_devices(), world.stats().lined_up), (1, 0));
    world.deliver(&Down::new("ab", b"y"));
    world.silence(&nodes[0]);
    world.here(&nodes[0], 1);
    world.expect(&nodes[0], &[zero(b"y")]);
}
