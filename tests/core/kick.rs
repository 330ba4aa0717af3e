//! An operator ends a client and its session.

use mqtt_sn_gateway::codec::{Message, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::ClientState;

use crate::harness::*;

#[test]
fn a_connected_client_hears_disconnect_and_begins_anew() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.received(&node);
    world.notices();
    assert!(world.kick("n1"));
    world.expect(&node, &[BYE]);
    assert_eq!(world.notices(), ["kicked: n1, will false"]);
    assert_eq!(world.gateway.residue(), [0; 5]);
    assert_eq!(
        world.acknowledged_among_all(),
        [1],
        "the broker need not keep what nobody will get"
    );
    assert!(!world.kick("n1"));
    world.exchange(&node, PING, &[BYE]);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.deliver(&Down::new("ab", b"y"));
    world.silence(&node);
}

#[test]
fn its_will_is_published_once() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, Message::WillMsg { message: b"gone" }, &[connack(OK)]);
    world.notices();
    assert!(world.kick("n1"));
    assert_eq!(world.notices(), ["kicked: n1, will true"]);
    assert_eq!(world.published().3, "lwt");
    world.pass(seconds(600));
    assert_eq!((world.up(), world.stats().wills, world.stats().lost), (vec![], 1, 0));
}

#[test]
fn one_in_the_will_dialogue_is_told_to_try_again() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    assert_eq!(world.gateway.client("n1").map(|c| c.state()), Some(ClientState::Connecting));
    assert!(world.kick("n1"));
    world.expect(&node, &[connack(mqtt_sn_gateway::codec::ReturnCode::CONGESTION)]);
    assert_eq!((world.gateway.residue(), world.stats().handshakes), ([0; 5], 0));
}

#[test]
fn a_sleeper_is_told_when_it_asks() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.sleep(&node, 300);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    assert!(world.kick("n1"));
    world.silence(&node);
    assert_eq!((world.gateway.residue(), world.stats().asleep), ([0; 5], 0));
    world.exchange(&node, Message::PingReq { client_id: b"n1" }, &[BYE]);
}

#[test]
fn a_session_that_waits_for_its_client_is_gone() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.register(&node, 1, "a/b");
    world.exchange(&node, BYE, &[BYE]);
    assert!(world.kick("n1"));
    world.silence(&node);
    assert_eq!(world.gateway.residue(), [0; 5]);
}
