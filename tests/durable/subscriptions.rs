//! What the broker knows of subscriptions, and what becomes of it over a restart.

use mqtt_sn_gateway::codec::Qos;

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{Packet, Publish};

/// A client with two subscriptions at an obliging MQTT 5 broker, and their identifiers.
fn subscriber() -> (World, Device, [u32; 2]) {
    let mut world = World::obliging_five();
    let node = device(1);
    world.connect(&node, "n1");
    let ids = ["a/b", "a/+"].map(|filter| {
        world.subscribe(&node, filter.len() as u16 + u16::from(filter == "a/+"), filter, Qos::One);
        world.subscribed().2.expect("it bears an identifier")
    });
    world.flush();
    (world, node, ids)
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Asked {
    For(String, Option<u32>),
    NoMore(String),
}

/// What the broker was asked for, in the order of the filters.
fn asked(world: &mut World) -> Vec<Asked> {
    let mut asked: Vec<Asked> = world
        .sent()
        .into_iter()
        .map(|packet| match packet {
            Packet::Subscribe { filter, identifier, retained, .. } => {
                assert!(!retained, "nobody here is new");
                Asked::For(filter, identifier)
            }
            Packet::Unsubscribe { filter, .. } => Asked::NoMore(filter),
            other => panic!("{other:?}"),
        })
        .collect();
    asked.sort_unstable();
    asked
}

#[test]
fn the_identifiers_of_the_last_life_are_still_understood() {
    let (mut world, node, [exact, wild]) = subscriber();
    world.restart();
    world.obliging = false;
    world.broker_up(true);
    // Before the broker has answered to anything.
    let mut message = world.message("a/b", b"both", 0);
    message.identifiers = vec![exact, wild];
    world.say_publish(&message);
    world.one_publish(&node, b"both");
    let mut message = world.message("a/b", b"apart", 0);
    for id in [exact, wild] {
        message.identifiers = vec![id];
        world.say_publish(&message);
    }
    // Two copies of one message.
    world.one_publish(&node, b"apart");
}

#[test]
fn subscriptions_keep_their_identifiers_when_they_are_made_again() {
    for present in [true, false] {
        let (mut world, node, [exact, wild]) = subscriber();
        world.restart();
        world.broker_up(present);
        let wanted = [Asked::For("a/+".into(), Some(wild)), Asked::For("a/b".into(), Some(exact))];
        assert_eq!(asked(&mut world), wanted);
        world.silence(&node);
        let mut message = world.message("a/b", b"x", 0);
        message.identifiers = vec![exact, wild];
        world.say_publish(&message);
        world.one_publish(&node, b"x");
    }
}

#[test]
fn a_new_subscription_gets_an_identifier_that_was_never_given() {
    let (mut world, node, known) = subscriber();
    world.writes = false;
    world.send(&node, subscribe(20, "never/written", Qos::One));
    let lost = world.subscribed().2.expect("it bears an identifier");
    world.restart();
    world.writes = true;
    world.broker_up(true);
    world.sent();
    world.subscribe(&node, 21, "c", Qos::One);
    let new = world.subscribed().2.expect("it bears an identifier");
    assert!(!known.contains(&new) && new != lost);
    // The broker may have the one that was never written.
    let mut message = world.message("never/written", b"x", 0);
    message.identifiers = vec![lost];
    world.say_publish(&message);
    world.silence(&node);
}

#[test]
fn a_filter_of_a_subscription_that_was_not_written_is_unsubscribed() {
    let mut world = World::five();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.send(&node, subscribe(1, "a/b", Qos::One));
    let (id, ..) = world.subscribed();
    // The client is told by the commit that does not come.
    world.flush();
    world.writes = false;
    world.grant(id, 1);
    world.silence(&node);
    world.restart();
    world.writes = true;
    world.broker_up(true);
    assert_eq!(asked(&mut world), [Asked::NoMore("a/b".into())]);
    // The device repeats itself.
    world.send(&node, subscribe(1, "a/b", Qos::One));
    let (id, ..) = world.subscribed();
    world.grant(id, 1);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
}

#[test]
fn filters_that_nobody_uses_any_longer_are_unsubscribed_once() {
    let (mut world, node, _) = subscriber();
    world.broker_down();
    world.exchange(&node, unsubscribe(9, "a/b"), &[unsuback(9)]);
    world.restart();
    world.broker_up(false);
    let mut said = asked(&mut world);
    assert_eq!(said.pop(), Some(Asked::NoMore("a/b".into())));
    assert!(matches!(&said[..], [Asked::For(filter, _)] if filter == "a/+"));
    world.flush();
    world.restart();
    world.broker_up(true);
    assert_eq!(asked(&mut world).len(), 1, "a/+ alone");
}

#[test]
fn an_unsubscribe_without_an_answer_is_made_again() {
    let (mut world, node, _) = subscriber();
    world.obliging = false;
    world.exchange(&node, unsubscribe(9, "a/b"), &[unsuback(9)]);
    assert!(matches!(&world.sent()[..], [Packet::Unsubscribe { filter, .. }] if filter == "a/b"));
    world.restart();
    world.obliging = true;
    world.broker_up(true);
    assert!(asked(&mut world).contains(&Asked::NoMore("a/b".into())));
}

#[test]
fn a_filter_that_somebody_wants_again_is_not_unsubscribed() {
    let (mut world, node, _) = subscriber();
    world.broker_down();
    world.exchange(&node, unsubscribe(9, "a/b"), &[unsuback(9)]);
    world.restart();
    world.subscribe(&node, 10, "a/b", Qos::One);
    world.broker_up(true);
    let said = world.sent();
    assert!(!said.iter().any(|packet| matches!(packet, Packet::Unsubscribe { .. })), "{said:?}");
}

#[test]
fn filters_of_clean_clients_that_left_during_the_outage_are_unsubscribed() {
    let (mut world, node, _) = subscriber();
    world.broker_down();
    world.leave(&node);
    world.flush();
    world.restart();
    world.broker_up(true);
    let wanted = [Asked::NoMore("a/+".into()), Asked::NoMore("a/b".into())];
    assert_eq!(asked(&mut world), wanted);
}

#[test]
fn what_the_broker_kept_for_the_session_reaches_its_devices() {
    for five in [false, true] {
        let mut world = if five { World::obliging_five() } else { World::obliging() };
        let node = device(1);
        world.connect(&node, "n1");
        world.subscribe(&node, 1, "a/b", Qos::One);
        world.flush();
        world.sent();
        world.restart();
        world.obliging = false;
        world.broker_up(true);
        world.sent();
        // It comes before any SUBACK, and in 3.1.1 without a word of what it is for.
        let message = world.message("a/b", b"x", 1);
        world.say_publish(&message);
        let (msg_id, _) = world.one_publish(&node, b"x");
        world.send(&node, puback(0, msg_id, OK));
        world.expect_up(&[Packet::Puback(message.id)]);
    }
}

#[test]
fn a_device_that_subscribed_gets_no_retained_message_because_of_the_restart() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.flush();
    world.restart();
    world.broker_up(true);
    // A 3.1.1 broker sends it with every SUBSCRIBE.
    let mut message = world.message("a/b", b"old", 0);
    message.retain = true;
    world.say_publish(&message);
    world.silence(&node);
    world.subscribe(&node, 2, "a/b", Qos::One);
    world.say_publish(&message);
    let bytes = world.only(&node);
    assert_eq!(bytes[bytes.len() - 3..], *b"old");
}

#[test]
fn a_subscriber_that_was_granted_less_by_the_broker_is_so_after_the_restart() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.send(&node, subscribe(1, "a/b", Qos::Two));
    let (id, ..) = world.subscribed();
    world.grant(id, 1);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.restart();
    world.broker_up(true);
    world.grant_all();
    let message = Publish { topic: "a/b".into(), id: 9, qos: 2, ..Publish::default() };
    world.say_publish(&message);
    let bytes = world.only(&node);
    assert_eq!(bytes[2] >> 5 & 3, 1, "QoS");
}
