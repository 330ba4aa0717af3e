//! Links on which each device has a connection of its own, and says what it has room for.

mod lines;
mod sleep;
mod tries;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{DeviceRoom, LinkSettings, Pacing, Settings};

use crate::harness::*;

/// Topic "ab", which needs no id.
const AB: PublishTopic = PublishTopic::Short(*b"ab");

/// Octets of a PUBLISH to it with a payload of one octet.
const SMALL: u32 = 8;

/// More than is ever sent.
const PLENTY: u32 = 1_000_000;

/// A PUBLISH to it at QoS 0.
fn zero(payload: &[u8]) -> Message<'_> {
    publish(AB, Qos::Zero, 0, payload)
}

/// The same at QoS 1.
fn one(msg_id: u16, payload: &[u8]) -> Message<'_> {
    publish(AB, Qos::One, msg_id, payload)
}

/// Two links with devices that come and go, one that is slow, and one that takes everything.
fn with_devices() -> Settings {
    let kinds = [Pacing::Device, Pacing::Device, Pacing::Link, Pacing::Never];
    let link = |pacing| LinkSettings { pacing, ..LinkSettings::default() };
    Settings { links: kinds.map(link).to_vec(), ..settings() }
}

/// Clients "n1", "n2" … on the first of them, each subscribed to "ab" at QoS 2 and connected.
fn company(size: u32) -> (World, Vec<Device>) {
    let mut world = World::with(with_devices());
    let nodes: Vec<Device> = (1..=size).map(device).collect();
    for (number, node) in (1..).zip(&nodes) {
        world.here(node, PLENTY);
        world.connect(node, &format!("n{number}"));
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    }
    (world, nodes)
}

/// The first of them alone, with a session that is kept.
fn persistent() -> (World, Device) {
    let mut world = World::with(with_devices());
    let node = device(1);
    world.here(&node, PLENTY);
    world.resume(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    (world, node)
}

/// Nothing is sent before the device has said something; answers are, as ever.
#[test]
fn a_device_that_has_said_nothing_takes_nothing() {
    let mut world = World::with(with_devices());
    let (node, there) = (device(1), device(1).on_link(3));
    for (node, id) in [(&node, "n1"), (&there, "n2")] {
        world.connect(node, id);
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
    }
    world.deliver(&Down::new("ab", b"x"));
    world.expect(&there, &[zero(b"x")]);
    // Nor does the link speak for it.
    world.room(0, None);
    world.exchange(&node, PING, &[PONG]);
    world.here(&node, 0);
    world.silence(&node);
    world.here(&node, 1);
    world.expect(&node, &[zero(b"x")]);
}

#[test]
fn messages_wait_for_a_device_that_is_away_and_nobody_else_does() {
    let (mut world, nodes) = company(3);
    world.gone(&nodes[0]);
    for (number, payload) in (1..).zip([b"a", b"b", b"c"]) {
        let down = Down::new("ab", payload);
        world.deliver(
            &[down.clone(), down.clone().qos1(number), down.qos2(number)][number as usize % 3],
        );
    }
    for node in &nodes[1..] {
        world.expect(node, &[one(1, b"a")]);
        world.exchange(node, puback(0, 1, OK), &[publish(AB, Qos::Two, 2, b"b")]);
        world.exchange(node, pubrec(2), &[pubrel(2)]);
        world.exchange(node, pubcomp(2), &[zero(b"c")]);
    }
    assert_eq!((world.stats().buffered, world.stats().lined_up), (3, 1));
    world.pass(seconds(1_000));
    world.silence_everywhere();
    world.here(&nodes[0], PLENTY);
    world.expect(&nodes[0], &[one(1, b"a")]);
    world.exchange(&nodes[0], puback(0, 1, OK), &[publish(AB, Qos::Two, 2, b"b")]);
    world.exchange(&nodes[0], pubrec(2), &[pubrel(2)]);
    world.exchange(&nodes[0], pubcomp(2), &[zero(b"c")]);
    let stats = world.stats();
    assert_eq!((stats.buffered, stats.lined_up, stats.lost, stats.retransmissions), (0, 0, 0, 0));
    assert_eq!(world.gateway.known_devices(), 3);
}

#[test]
fn each_device_takes_at_its_own_speed() {
    let (mut world, nodes) = company(2);
    world.here(&nodes[0], SMALL + 1);
    world.here(&nodes[1], 1);
    for payload in [b"a", b"b", b"c"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.expect(&nodes[0], &[zero(b"a"), zero(b"b")]);
    world.expect(&nodes[1], &[zero(b"a")]);
    world.here(&nodes[1], 2 * SMALL);
    world.silence(&nodes[0]);
    world.expect(&nodes[1], &[zero(b"b"), zero(b"c")]);
    world.here(&nodes[0], 1);
    world.expect(&nodes[0], &[zero(b"c")]);
}

/// They have one connection, so they share its room, and take turns.
#[test]
fn those_behind_a_forwarder_share_its_room() {
    let mut world = World::with(with_devices());
    let nodes = [device(1), device(1).node(b"12345"), device(1).node(b"67890")];
    for (number, node) in nodes.iter().enumerate() {
        world.connect(node, &format!("n{number}"));
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
    }
    world.deliver(&Down::new("ab", b"a"));
    world.deliver(&Down::new("ab", b"b"));
    assert_eq!((world.stats().lined_up, world.gateway.known_devices()), (3, 1));
    // The header takes room, too.
    world.here(&device(1), SMALL + 2 * (SMALL + 3 + 5));
    for node in &nodes {
        world.expect(node, &[zero(b"a")]);
    }
    world.here(&device(1), SMALL + 1);
    world.expect(&nodes[0], &[zero(b"b")]);
    world.expect(&nodes[1], &[zero(b"b")]);
    world.gone(&device(1));
    world.here(&device(1), PLENTY);
    world.expect(&nodes[2], &[zero(b"b")]);
}

#[test]
fn the_queue_of_a_device_that_is_away_is_bounded() {
    let (mut world, nodes) = company(1);
    world.gone(&nodes[0]);
    for number in 0..3_000 {
        world.deliver(&Down::new("ab", b"x").qos1(number));
    }
    let stats = world.stats();
    assert_eq!((stats.buffered, stats.abandoned, stats.lined_up), (1_000, 2_000, 1));
    // The broker does not wait for it.
    assert_eq!(world.acknowledged().len(), 3_000);
}

/// Each connection has a length of packets of its own.
#[test]
fn what_does_not_fit_the_device_is_given_up() {
    let (mut world, nodes) = company(2);
    world.tell(&nodes[0], Some(DeviceRoom { octets: PLENTY, largest: 30 }));
    world.deliver(&Down::new("ab", &[b'x'; 24]));
    world.silence(&nodes[0]);
    assert_eq!(world.received(&nodes[1]).len(), 1);
    assert_eq!(world.stats().abandoned, 1);
    world.deliver(&Down::new("ab", &[b'x'; 23]).qos1(1));
    world.expect(&nodes[0], &[one(1, &[b'x'; 23])]);
    // It comes back with less. How much is not known while it is away.
    world.gone(&nodes[0]);
    world.pass(RETRY);
    world.deliver(&Down::new("ab", &[b'y'; 24]));
    world.deliver(&Down::new("ab", b"z"));
    assert_eq!(world.stats().abandoned, 1);
    world.tell(&nodes[0], Some(DeviceRoom { octets: PLENTY, largest: 20 }));
    world.expect(&nodes[0], &[zero(b"z")]);
    assert_eq!((world.stats().abandoned, world.stats().lost), (3, 0));
}

/// A device that comes and goes in the middle of everything.
#[test]
fn a_thousand_devices_leave_nothing_behind() {
    let mut world = World::with(with_devices());
    world.obliging = true;
    for number in 0..1_000 {
        let node = device(number).on_link((number % 2) as u16);
        if number % 3 > 0 {
            world.here(&node, number % 7);
        }
        world.connect(&node, &format!("n{number}"));
        world.send(&node, subscribe(1, "ab", Qos::Two));
        world.received(&node);
        if number % 5 > 0 {
            world.gone(&node);
        }
        if number % 4 == 0 {
            world.sleep(&node, 100);
        }
    }
    world.deliver(&Down::new("ab", b"x").qos2(1));
    assert!(world.stats().lined_up > 500);
    assert!(world.gateway.known_devices() <= 1_000);
    for number in (0..1_000).step_by(3) {
        let node = device(number).on_link((number % 2) as u16);
        world.here(&node, 1);
        if number % 2 == 0 {
            world.send(&node, BYE);
        }
    }
    world.pass(seconds(6_000));
    for number in 0..1_000 {
        world.gone(&device(number).on_link((number % 2) as u16));
    }
    assert_eq!((world.gateway.residue(), world.stats().lined_up), ([0; 5], 0));
    assert_eq!((world.gateway.known_devices(), world.gateway.next_timeout()), (0, None));
}
