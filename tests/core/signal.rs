//! What links say of how packets were heard.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::Signal;

use crate::harness::*;

const WEAK: Signal = Signal { rssi: Some(-110), lqi: Some(3) };
const STRONG: Signal = Signal { rssi: Some(-40), lqi: None };

#[test]
fn the_last_packet_of_a_client_counts() {
    let mut world = World::new();
    let (node, other) = (device(1), device(2));
    assert_eq!(world.gateway.signal_of("n1"), None);
    world.signal = WEAK;
    world.connect(&node, "n1");
    assert_eq!(world.gateway.signal_of("n1"), Some(WEAK));
    world.signal = STRONG;
    world.connect(&other, "n2");
    assert_eq!(world.gateway.signal_of("n1"), Some(WEAK));
    world.exchange(&node, PING, &[PONG]);
    assert_eq!(world.gateway.signal_of("n1"), Some(STRONG));
    // A packet that needs no connection, too.
    world.signal = WEAK;
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"));
    assert_eq!(world.gateway.signal_of("n1"), Some(WEAK));
    assert_eq!(world.rssi, [WEAK.rssi]);
}

#[test]
fn a_link_that_cannot_tell_leaves_nothing_of_another() {
    let mut world = World::new();
    let node = device(1);
    world.signal = WEAK;
    world.resume(&node, "n1");
    world.sleep(&node, 600);
    world.signal = Signal::default();
    world.exchange(&device(1).on_link(1), wake("n1"), &[PONG]);
    assert_eq!(world.gateway.signal_of("n1"), Some(Signal::default()));
    world.signal = STRONG;
    world.exchange(&device(3), connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.gateway.signal_of("n1"), Some(STRONG));
    // CONNECT once more, and in a will dialogue.
    world.signal = WEAK;
    world.exchange(&device(3), connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.gateway.signal_of("n1"), Some(WEAK));
    for signal in [STRONG, WEAK] {
        world.signal = signal;
        world.send(&device(4), connect_with_will("n4", false, 3_600));
        assert_eq!(world.gateway.signal_of("n4"), Some(signal));
    }
}
