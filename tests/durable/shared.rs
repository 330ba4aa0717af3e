//! Several connections that clients share, and another number of them in the next life.

use mqtt_sn_gateway::codec::Qos;
use mqtt_sn_gateway::core::Settings;
use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::mqtt::{Spool, Version};

use crate::conversations::*;
use crate::harness::*;
use crate::mqtt::Packet;

const CLIENTS: u32 = 12;

fn spread(connections: u16) -> World {
    let settings = Settings { connections, ..settings() };
    let mut world = World::begin(Version::V311, settings, Spool::default());
    world.obliging = true;
    world
}

fn up(world: &mut World, connections: u16) {
    world.broker_up(true);
    for number in 1..connections {
        world.open_shared(number);
    }
}

/// Clients, each with something in the spool.
fn spooled(world: &mut World) -> Vec<String> {
    let mut payloads = Vec::new();
    for number in 0..CLIENTS {
        let node = device(number);
        world.connect(&node, &format!("n{number}"));
        let id = world.register(&node, 1, "a/b");
        for (msg_id, qos) in [(2, Qos::One), (3, Qos::Two)] {
            let payload = format!("{number}-{msg_id}");
            world.send(&node, publish_to(id, qos, msg_id, payload.as_bytes()));
            payloads.push(payload);
        }
        assert_eq!(world.received(&node).len(), 2, "PUBACK and PUBREC");
    }
    payloads.sort();
    payloads
}

#[test]
fn each_connection_keeps_its_own_over_a_restart() {
    let mut world = spread(3);
    let wanted = spooled(&mut world);
    world.flush();
    world.restart();
    up(&mut world, 3);
    let main = world.sent().into_iter().map(|packet| (LineId::MAIN, packet));
    let sent: Vec<_> = main.chain(world.sent_by_own()).collect();
    let mut payloads: Vec<String> = Vec::new();
    for number in 0..3 {
        let line = LineId::shared(number);
        let its = sent.iter().filter_map(|(by, packet)| match packet {
            Packet::Publish(publish) if *by == line => {
                Some(String::from_utf8(publish.payload.clone()).expect("text"))
            }
            _ => None,
        });
        let before = payloads.len();
        payloads.extend(its);
        assert!(payloads.len() > before, "connection {number} has clients");
    }
    payloads.sort();
    assert_eq!(payloads, wanted, "each once");
    let names: Vec<String> = world.connects().into_iter().map(|(client, ..)| client).collect();
    assert_eq!(names, ["gateway-2", "gateway-3"]);
}

#[test]
fn nothing_in_the_spools_is_lost_with_fewer_connections() {
    let mut world = spread(3);
    let wanted = spooled(&mut world);
    world.flush();
    world.settings.connections = 1;
    // What was adopted is written down as such.
    for _ in 0..3 {
        world.restart();
        world.flush();
    }
    assert!(world.image_on_disk().lines.is_empty());
    up(&mut world, 1);
    let published = world.sent().into_iter().filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(String::from_utf8(publish.payload).expect("text")),
        _ => None,
    });
    let mut published: Vec<String> = published.collect();
    // What one client says stays in order.
    for number in 0..CLIENTS {
        let its = published.iter().filter(|payload| payload.starts_with(&format!("{number}-")));
        assert_eq!(its.collect::<Vec<_>>(), [&format!("{number}-2"), &format!("{number}-3")]);
    }
    published.sort();
    assert_eq!(published, wanted);
}

#[test]
fn nothing_in_the_spools_is_lost_with_more_connections() {
    let mut world = spread(1);
    let wanted = spooled(&mut world);
    world.flush();
    world.settings.connections = 4;
    world.restart();
    up(&mut world, 4);
    assert_eq!(world.payloads_of_publications(), wanted);
}

#[test]
fn subscriptions_move_with_their_clients() {
    let mut world = spread(3);
    up(&mut world, 3);
    for number in 0..CLIENTS {
        let node = device(number);
        world.resume(&node, &format!("n{number}"));
        world.subscribe(&node, 1, &format!("to/{number}"), Qos::One);
    }
    world.flush();
    world.settings.connections = 1;
    world.restart();
    up(&mut world, 1);
    world.sent();
    for number in 0..CLIENTS {
        world.deliver(&format!("to/{number}"), b"x", 1);
        assert_eq!(world.collect(&device(number)), ["x"]);
    }
}

impl World {
    fn payloads_of_publications(&mut self) -> Vec<String> {
        let by_others = self.sent_by_own().into_iter().map(|(_, packet)| packet);
        let published =
            self.sent().into_iter().chain(by_others).filter_map(|packet| match packet {
                Packet::Publish(publish) => Some(String::from_utf8(publish.payload).expect("text")),
                _ => None,
            });
        let mut published: Vec<String> = published.collect();
        published.sort();
        published
    }
}
