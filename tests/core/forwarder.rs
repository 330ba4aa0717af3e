//! Clients behind forwarders (MQTT-SN 1.2 §5.5).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::{LinkSettings, Settings};

use crate::harness::*;

/// Frame V43: an octet string as node id, echoed unchanged.
#[test]
fn answers_are_wrapped_for_the_node() {
    let mut world = World::new();
    let forwarder = device(1);
    world.send_hex(&forwarder, "0B FE 00 00 12 4B 00 01 02 03 04 08 04 04 01 00 3C 6E 31");
    let node = forwarder.clone().node(&hex("00 12 4B 00 01 02 03 04"));
    world.expect_hex(&node, &["0B FE 00 00 12 4B 00 01 02 03 04 03 05 00"]);
    world.send_hex(&forwarder, "0B FE 03 00 12 4B 00 01 02 03 04 02 16");
    world.expect_hex(&node, &["0B FE 00 00 12 4B 00 01 02 03 04 02 17"]);
    world.silence(&forwarder);
}

/// The identity of the sender is forwarder and node together.
#[test]
fn nodes_are_told_apart_by_forwarder_node_id_and_link() {
    let mut world = World::new();
    let longest = [9; 252];
    let nodes = [
        device(1),
        device(1).node(b""),
        device(1).node(b"\x01"),
        device(1).node(b"\x01\x00"),
        device(1).node(&longest),
        device(2).node(b"\x01"),
        device(1).on_link(1).node(b"\x01"),
        device(1).on_link(1),
    ];
    let names: Vec<String> = (0..nodes.len()).map(|number| format!("n{number}")).collect();
    for (node, name) in nodes.iter().zip(&names) {
        world.connect(node, name);
        world.subscribe(node, 1, &format!("to/{name}"), Qos::Zero);
    }
    assert_eq!(world.stats().connected, 8);
    for (node, name) in nodes.iter().zip(&names) {
        world.deliver(&Down::new(&format!("to/{name}"), name.as_bytes()));
        assert_eq!(world.received(node).len(), 1);
        world.silence_everywhere();
    }
    world.exchange(&nodes[2], BYE, &[BYE]);
    assert_eq!(world.stats().connected, 7);
}

#[test]
fn a_client_may_move_from_one_forwarder_to_another() {
    let mut world = World::new();
    let (old, new) = (device(1).node(b"n"), device(2).node(b"n"));
    world.resume(&old, "n1");
    world.subscribe(&old, 1, "ab", Qos::Zero);
    world.resume(&new, "n1");
    world.deliver(&Down::new("ab", b"x"));
    world.expect(&new, &[announce(FIRST_ID, 1, "ab")]);
    world.exchange(&old, PING, &[BYE]);
}

#[test]
fn a_search_through_a_forwarder_is_answered_through_it() {
    let mut world = World::new();
    let node = device(1).node(b"n");
    let answer = Message::GwInfo { gateway_id: 1, address: &[] };
    world.exchange(&node, Message::SearchGw { radius: 3 }, &[answer]);
}

#[test]
fn strangers_behind_a_forwarder_each_get_their_answer() {
    let mut world = World::new();
    for number in 0..10_u8 {
        world.exchange(&device(1).node(&[number]), PING, &[BYE]);
    }
    world.exchange(&device(1).node(&[0]), PING, &[]);
}

#[test]
fn qos_minus_one_through_a_forwarder() {
    let mut world = World::new();
    let up = publish(PublishTopic::Short(*b"ab"), Qos::MinusOne, 0, b"x");
    world.exchange(&device(1).node(b"n"), up, &[]);
    assert_eq!(world.published_topics(), ["ab"]);
}

/// The forwarder's header takes its part of what the link can carry.
#[test]
fn the_header_counts_for_what_fits() {
    let small = LinkSettings { max_packet: 60, ..LinkSettings::default() };
    let mut world = World::with(Settings { links: vec![small], ..settings() });
    let node = device(1).node(b"1234");
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::Zero);
    world.deliver(&Down::new("ab", &[0; 60 - 7 - 7]));
    assert_eq!(world.received(&node)[0].len(), 60);
    world.deliver(&Down::new("ab", &[0; 60 - 7 - 7 + 1]));
    world.silence(&node);
    assert_eq!(world.stats().abandoned, 1);
}

/// Frames M25, M26, M29: without content, nested, without room for Ctrl; and the long form, which
/// the encapsulation does not have.
#[test]
fn broken_encapsulations_are_dropped() {
    let mut world = World::new();
    let node = device(1).node(&hex("AA"));
    world.connect(&node, "n1");
    for frame in [
        "05 FE 00 12 34",
        "04 FE 00 AA 04 FE 00 BB 02 16",
        "02 FE",
        "03 FE",
        "01 00 06 FE 00 AA 02 16",
        "04 FE 00 AA 03 16",
        "04 FE 00 AA 02 16 00",
    ] {
        world.send_hex(&device(1), frame);
        world.silence_everywhere();
    }
    assert_eq!(world.stats().malformed.iter().sum::<u64>(), 7);
    world.exchange(&node, PING, &[PONG]);
}
