//! Slow links, and what radios say of packets.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::{Pacing, Signal};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::Packet;

/// What waits for room was acknowledged to the broker, so it is on the disk.
#[test]
fn what_waits_for_room_survives_a_restart() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.room(0);
    world.sent();
    world.deliver("a/b", b"zero", 0);
    let one = world.deliver("a/b", b"one", 1);
    let two = world.deliver("a/b", b"two", 2);
    world.silence(&node);
    assert_eq!(
        world.sent(),
        [Packet::Puback(one), Packet::Pubrec(two), Packet::Pubcomp(two)],
        "the broker does not wait for room"
    );
    // Until it says so, it has none in the next life either.
    world.settings.links[0].pacing = Pacing::Link;
    world.restart();
    world.broker_up(true);
    world.pass(seconds(60));
    world.silence(&node);
    world.room(None);
    let id = world.published_to(&node, b"one");
    world.send(&node, puback(FIRST_ID, id, OK));
    let id = world.published_to(&node, b"two");
    world.exchange(&node, pubrec(id), &[pubrel(id)]);
    world.exchange(&node, pubcomp(id), &[]);
}

/// A message that waits for the disk is not on the link yet, but will be.
#[test]
fn promises_that_wait_take_room() {
    let mut world = World::obliging();
    let nodes = [device(1), device(2)];
    for (node, id) in nodes.iter().zip(["n1", "n2"]) {
        world.resume(node, id);
        world.subscribe(node, 1, "a/b", Qos::Two);
    }
    world.room(0);
    world.deliver("a/b", &[b'x'; 50], 2);
    world.writes = false;
    world.room(1);
    world.silence_everywhere();
    // The link has as much room as before, for all that it knows.
    for _ in 0..3 {
        world.room(50);
    }
    assert_eq!(world.engine().gateway().stats().lined_up, 1);
    assert!(world.commit());
    assert_eq!(world.received(&nodes[0]).len(), 1);
    world.silence(&nodes[1]);
    world.writes = true;
    world.room(50);
    assert_eq!(world.received(&nodes[1]).len(), 1);
}

/// The first link has devices that come and go.
fn with_devices() -> World {
    let mut world = World::obliging();
    world.settings.links[0].pacing = Pacing::Device;
    world.restart();
    world.broker_up(false);
    world
}

/// Who was there is not known in the next life, nor whether what was under way has arrived.
#[test]
fn what_waits_for_a_device_survives_a_restart() {
    let mut world = with_devices();
    let (node, other) = (device(1), device(2));
    for (node, id) in [(&node, "n1"), (&other, "n2")] {
        world.device_room(node, Some(1_000));
        world.resume(node, id);
        world.subscribe(node, 1, "a/b", Qos::Two);
    }
    world.device_room(&node, None);
    world.sent();
    let one = world.deliver("a/b", b"one", 1);
    let two = world.deliver("a/b", b"two", 2);
    world.silence(&node);
    let id = world.published_to(&other, b"one");
    world.send(&other, puback(FIRST_ID, id, OK));
    let id = world.published_to(&other, b"two");
    world.exchange(&other, pubrec(id), &[pubrel(id)]);
    let acknowledged = world.sent();
    for packet in [Packet::Puback(one), Packet::Pubrec(two), Packet::Pubcomp(two)] {
        assert!(acknowledged.contains(&packet), "{packet:?} not among {acknowledged:?}");
    }
    world.restart();
    world.broker_up(true);
    world.pass(seconds(1_000));
    world.silence_everywhere();
    assert_eq!(world.engine().gateway().known_devices(), 2);
    world.device_room(&other, Some(1_000));
    world.expect(&other, &[pubrel(id)]);
    world.exchange(&other, pubcomp(id), &[]);
    world.silence(&node);
    world.device_room(&node, Some(1_000));
    let id = world.published_to(&node, b"one");
    world.send(&node, puback(FIRST_ID, id, OK));
    let id = world.published_to(&node, b"two");
    world.exchange(&node, pubrec(id), &[pubrel(id)]);
    world.exchange(&node, pubcomp(id), &[]);
    for node in [&node, &other] {
        world.device_room(node, None);
    }
    let gateway = world.engine().gateway();
    assert_eq!((gateway.known_devices(), gateway.stats().lost), (0, 0));
}

/// Each device counts what waits for the disk on its way to it, and nothing else.
#[test]
fn promises_that_wait_take_room_of_their_device() {
    let mut world = with_devices();
    let nodes = [device(1), device(1).node(b"2"), device(2)];
    for (number, node) in nodes.iter().enumerate() {
        world.device_room(node, Some(1_000));
        world.resume(node, &format!("n{number}"));
        world.subscribe(node, 1, "a/b", Qos::Two);
    }
    world.device_room(&nodes[0], Some(1));
    world.device_room(&nodes[2], Some(0));
    world.writes = false;
    world.deliver("a/b", &[b'x'; 50], 2);
    assert_eq!(world.engine().gateway().stats().lined_up, 2);
    // The first has as much room as before, for all that it knows.
    for _ in 0..3 {
        world.device_room(&nodes[0], Some(50));
    }
    assert_eq!(world.engine().gateway().stats().lined_up, 2);
    world.device_room(&nodes[2], Some(50));
    assert_eq!(world.engine().gateway().stats().lined_up, 1);
    world.silence_everywhere();
    world.writes = true;
    assert!(world.commit());
    world.pass(seconds(1));
    assert_eq!((world.received(&nodes[0]).len(), world.received(&nodes[2]).len()), (1, 1));
    world.silence(&nodes[1]);
    world.device_room(&nodes[0], Some(50));
    assert_eq!(world.received(&nodes[1]).len(), 1);
}

/// Nothing can be written, and there is no room either: when both are over, all goes on.
#[test]
fn a_failing_disk_and_no_room() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.subscribe(&node, 1, "a/b", Qos::Two);
    assert_eq!(id, FIRST_ID);
    world.room(0);
    world.deliver("a/b", b"x", 2);
    world.fail_disk();
    world.room(None);
    world.pass(seconds(120));
    world.silence(&node);
    world.room(0);
    world.mend_disk();
    world.pass(seconds(60));
    world.silence(&node);
    world.room(None);
    let id = world.published_to(&node, b"x");
    world.exchange(&node, pubrec(id), &[pubrel(id)]);
    world.exchange(&node, pubcomp(id), &[]);
    assert_eq!(world.engine().gateway().stats().lost, 0);
}

fn user(properties: &[(&str, &str)]) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// A gateway that says with each publication whose it is.
fn telling() -> World {
    let mut world = World::five();
    world.mqtt.user_properties = true;
    world.restart();
    world.broker_up(false);
    world
}

#[test]
fn a_publication_says_how_strongly_it_was_received() {
    let mut world = telling();
    let node = device(1);
    world.connect(&node, "n1");
    for (rssi, said) in [(-128, "-128"), (-87, "-87"), (-5, "-5"), (0, "0"), (20, "20")] {
        world.signal = Signal { rssi: Some(rssi), lqi: None };
        world.send(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"));
        let all = [("client-id", "n1"), ("link", "one"), ("rssi", said)];
        assert_eq!(world.published().user, user(&all));
    }
    // Where the link cannot tell, and where nobody is connected.
    world.signal = Signal { rssi: None, lqi: Some(100) };
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"));
    assert_eq!(world.published().user, user(&[("client-id", "n1"), ("link", "one")]));
    world.signal = Signal { rssi: Some(-87), lqi: None };
    world.send(&device(2), publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"));
    assert_eq!(world.published().user, user(&[("rssi", "-87")]));
}

#[test]
fn a_publication_says_nothing_unless_it_is_told_to() {
    let mut world = World::five();
    let node = device(1);
    world.signal = Signal { rssi: Some(-87), lqi: None };
    world.connect(&node, "n1");
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"));
    assert_eq!(world.published().user, []);
}

/// Nothing was received when a will is published, whatever made the gateway do it.
#[test]
fn a_will_was_not_received() {
    let mut world = telling();
    let node = device(1);
    world.signal = Signal { rssi: Some(-87), lqi: None };
    world.connect_with_will(&node, "n1", "gone");
    world.connect(&node, "n2");
    let will = world.published();
    assert_eq!((&*will.topic, will.user), ("will", user(&[("client-id", "n1")])));
}

impl World {
    /// The one PUBLISH that a device was sent, at QoS 1 or 2, with this payload; its message id.
    #[track_caller]
    fn published_to(&mut self, node: &Device, payload: &[u8]) -> u16 {
        use mqtt_sn_gateway::codec::{Message, decode};
        let received = self.received(node);
        let [only] = received.as_slice() else { panic!("expected one, got {received:02x?}") };
        match decode(only).expect("a packet").message {
            Message::Publish(publish) => {
                assert_eq!(publish.data, payload);
                assert!(matches!(publish.topic, PublishTopic::Normal(_)), "{:?}", publish.topic);
                publish.msg_id
            }
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }
}
