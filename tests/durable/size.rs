//! How long the journal gets.

use std::collections::VecDeque;

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use crate::harness::{Device, World, device, seconds};
use crate::messages::*;
use crate::mqtt::{self, Packet};

/// Publications from the spool that the broker has not acknowledged.
#[derive(Default)]
struct Unacknowledged(VecDeque<u16>);

impl Unacknowledged {
    /// The broker acknowledges so many, or all that there are. False if there was none.
    fn acknowledge(&mut self, world: &mut World, count: usize) -> bool {
        self.0.extend(world.sent().into_iter().filter_map(|packet| match packet {
            Packet::Publish(publish) if publish.qos == 1 => Some(publish.id),
            _ => None,
        }));
        let count = count.min(self.0.len());
        let answers: Vec<_> = self.0.drain(..count).map(mqtt::puback).collect();
        assert!(world.say(answers.concat()));
        count > 0
    }
}

fn fill_spool(world: &mut World, node: &Device, msg_ids: std::ops::Range<u16>) {
    for msg_id in msg_ids {
        let message = publish(PublishTopic::Predefined(5), Qos::One, msg_id, &[b'x'; 60]);
        world.send(node, message);
        assert_eq!(world.received(node).len(), 1, "it is acknowledged");
    }
}

#[test]
fn a_spool_emptied_during_a_snapshot_does_not_count_as_alive_afterwards() {
    let mut world = World::offline();
    let node = device(1);
    world.exchange(&node, connect("node", false, 60_000), &[connack(OK)]);
    fill_spool(&mut world, &node, 1..40_000);
    world.broker_up(false);
    world.writes = false;
    let mut open = Unacknowledged::default();
    while !world.disk.has_unfinished() {
        assert!(open.acknowledge(&mut world, 100), "no snapshot was ever begun");
        world.commit();
    }
    // Most of the snapshot is written before the rest of the spool is emptied.
    for _ in 0..5 {
        assert!(world.commit() && world.disk.has_unfinished());
    }
    while open.acknowledge(&mut world, usize::MAX) {}
    world.writes = true;
    world.pass(seconds(3));
    assert!(!world.disk.has_unfinished());
    let left = world.engine().written().journal;
    assert!(left < 600_000, "{left} octets");
}
