//! Links that find out by themselves how long a packet can be.

use mqtt_sn_gateway::codec::{PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{Limit, LinkId, LinkSettings, Settings};

use super::{one, zero};
use crate::harness::*;

const LINK: LinkId = LinkId(0);

/// A client "n1", subscribed to "ab" at QoS 1, where the configuration allows 50 octets.
fn narrow(node: &Device) -> World {
    let link = LinkSettings { max_packet: 50, ..LinkSettings::default() };
    let mut world = World::with(Settings { links: vec![link], ..settings() });
    world.connect(node, "n1");
    world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.notices();
    world
}

#[test]
fn the_lesser_of_what_is_configured_and_what_is_known_counts() {
    let node = device(1);
    for (known, longest) in [(30, 30), (50, 50), (80, 50)] {
        let mut world = narrow(&node);
        world.gateway.set_link_largest(LINK, known);
        let fits = vec![b'x'; longest - 7];
        world.deliver(&Down::new("ab", &fits));
        world.expect(&node, &[zero(&fits)]);
        world.deliver(&Down::new("ab", &[b'x'; 50][..longest - 6]));
        world.silence(&node);
        assert_eq!((world.limit(Limit::PacketSize), world.stats().abandoned), (1, 1));
    }
}

#[test]
fn the_header_of_the_forwarder_counts() {
    let node = device(1).node(b"123");
    let mut world = narrow(&node);
    world.gateway.set_link_largest(LINK, 30);
    world.deliver(&Down::new("ab", &[b'x'; 17]));
    assert_eq!(world.received(&node).len(), 1);
    world.deliver(&Down::new("ab", &[b'x'; 18]));
    world.silence(&node);
}

#[test]
fn it_may_become_longer_again() {
    let node = device(1);
    let mut world = narrow(&node);
    world.gateway.set_link_largest(LINK, 20);
    world.gateway.set_link_largest(LINK, 40);
    world.deliver(&Down::new("ab", &[b'x'; 33]));
    world.expect(&node, &[zero(&[b'x'; 33])]);
}

/// What was sent by the old measure is not repeated: it would be no packet at the other end.
#[test]
fn what_has_become_too_long_is_given_up() {
    let node = device(1);
    let mut world = narrow(&node);
    world.deliver(&Down::new("ab", &[b'x'; 40]).qos1(1));
    world.deliver(&Down::new("ab", &[b'x'; 39]).qos1(2));
    world.deliver(&Down::new("ab", b"y").qos1(3));
    world.expect(&node, &[one(1, &[b'x'; 40])]);
    world.gateway.set_link_largest(LINK, 30);
    world.silence(&node);
    world.pass(RETRY);
    world.expect(&node, &[one(3, b"y")]);
    assert_eq!((world.limit(Limit::PacketSize), world.stats().lost), (2, 0));
    let why = "it does not fit the link";
    let told = format!("abandoned: n1 ab 1 {why}");
    assert_eq!(world.notices().iter().filter(|notice| **notice == told).count(), 2);
    // As ever when something has to be repeated, the broker waits for nothing any longer.
    assert_eq!(world.acknowledged(), [1, 2, 3]);
}

#[test]
fn a_register_that_has_become_too_long_is_given_up() {
    let (mut world, node) = subscribed_to_all(Qos::One);
    let name = "a/topic/name/of/many/octets";
    world.deliver(&Down::new(name, b"x").qos1(1));
    world.expect(&node, &[announce(FIRST_ID, 1, name)]);
    world.room(0, 0);
    world.pass(RETRY);
    world.gateway.set_link_largest(LINK, 30);
    world.deliver(&Down::new("ab", b"y"));
    world.room(0, None);
    world.expect(&node, &[publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, b"y")]);
    assert_eq!((world.limit(Limit::PacketSize), world.stats().abandoned), (1, 1));
}
