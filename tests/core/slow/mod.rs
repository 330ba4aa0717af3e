//! Links that say what they have room for.

mod chance;
mod largest;
mod lines;
mod retries;
mod sleep;
mod turns;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};

use crate::harness::*;

/// Topic "ab", which needs no id.
const AB: PublishTopic = PublishTopic::Short(*b"ab");

/// Octets of a PUBLISH to it with a payload of one octet.
const SMALL: u32 = 8;

/// A PUBLISH to it at QoS 0.
fn zero(payload: &[u8]) -> Message<'_> {
    publish(AB, Qos::Zero, 0, payload)
}

/// The same at QoS 1.
fn one(msg_id: u16, payload: &[u8]) -> Message<'_> {
    publish(AB, Qos::One, msg_id, payload)
}

/// Clients "n1", "n2" … on a link that has room for nothing, each subscribed to "ab" at QoS 2.
fn company(size: u32) -> (World, Vec<Device>) {
    let mut world = World::new();
    let nodes: Vec<Device> = (1..=size).map(device).collect();
    for (number, node) in (1..).zip(&nodes) {
        world.connect(node, &format!("n{number}"));
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    }
    world.room(0, 0);
    (world, nodes)
}

/// The first of them alone.
fn client() -> (World, Device) {
    let (world, mut nodes) = company(1);
    (world, nodes.remove(0))
}

/// A persistent client "n1" with the same subscription, and two links without room.
fn persistent() -> (World, Device) {
    let mut world = World::with(with_two_links());
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    world.room(0, 0);
    world.room(1, 0);
    (world, node)
}

fn with_two_links() -> mqtt_sn_gateway::core::Settings {
    let link = mqtt_sn_gateway::core::LinkSettings::default();
    mqtt_sn_gateway::core::Settings { links: vec![link.clone(), link], ..settings() }
}
