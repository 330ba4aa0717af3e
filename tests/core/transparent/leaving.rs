//! Goodbye, loss, sleep and expiry: what becomes of the client's own connection, and when the client
//! is forgotten.

use mqtt_sn_gateway::codec::Qos;
use mqtt_sn_gateway::core::Settings;

use super::{setup, transparent, with};
use crate::harness::*;

#[test]
fn a_goodbye_is_said_to_the_broker_too() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", true, "gone");
    world.exchange(&node, BYE, &[BYE]);
    world.expect_up(line, Up::Close { abort: false });
    world.pass(seconds(100));
    assert_eq!(world.gateway.residue()[0], 1, "it is there until its connection is closed");
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
    world.expect_up(line, Up::Forget);
}

#[test]
fn the_connection_of_a_lost_client_breaks_off() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", true, "gone");
    world.pass(seconds(100));
    world.expect_up(line, Up::Close { abort: true });
    assert!(world.notices().last().is_some_and(|notice| notice.ends_with("will true")));
    assert_eq!(world.stats().wills, 0, "the broker publishes it, not the gateway");
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn the_connection_of_a_client_that_an_operator_ends_breaks_off() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    assert!(world.kick("n1"));
    world.expect(&node, &[BYE]);
    world.expect_up(line, Up::Close { abort: true });
    assert_eq!(world.stats().wills, 0, "the broker publishes it, not the gateway");
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn a_persistent_session_outlives_its_connection() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.expect_up(line, Up::Close { abort: false });
    world.line_closed(line);
    assert_eq!(world.up(), []);
    assert_eq!(world.gateway.open_lines().count(), 0);
    world.exchange(&node, connect("n1", false, 60), &[]);
    let (same, said) = world.opens();
    assert_eq!((same, said), (line, setup("n1", false, None)));
    world.accept(line, true);
    world.expect(&node, &[connack(OK)]);
    assert_eq!(world.up(), [], "the broker has the subscription");
}

#[test]
fn a_session_that_the_broker_has_lost_is_made_again() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.line_down(line);
    world.accept(line, false);
    let (_, filter, ..) = world.subscribed();
    assert_eq!(filter, "a/b");
    world.silence(&node);
}

#[test]
fn who_comes_back_while_its_connection_is_closing_gets_another() {
    for clean in [true, false] {
        let mut world = transparent();
        let node = device(1);
        let line = world.join(&node, "n1", clean);
        world.exchange(&node, BYE, &[BYE]);
        world.expect_up(line, Up::Close { abort: false });
        world.exchange(&node, connect("n1", clean, 60), &[]);
        let (same, _) = world.opens();
        assert_eq!(same, line);
        // The old one is gone only now.
        world.line_closed(line);
        world.silence(&node);
        assert_eq!(world.up(), []);
        world.accept(line, false);
        world.expect(&node, &[connack(OK)]);
        assert_eq!(world.stats().connected, 1);
    }
}

#[test]
fn a_slot_that_is_free_again_remembers_nothing_of_the_client_before() {
    let mut world = with(Settings { session_expiry: seconds(1_000), ..settings() });
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.line_closed(line);
    world.up();
    world.pass(seconds(1_001));
    assert_eq!(world.gateway.residue(), [0; 5]);
    // The MQTT session may have been kept although there was no connection.
    world.expect_up(line, Up::Forget);
    let other = world.join(&device(2), "n2", false);
    assert_eq!(other, line, "the slot is used again");
    world.line_down(other);
    world.accept(other, false);
    assert_eq!(world.up(), [], "the subscription was of another client");
}

#[test]
fn a_session_does_not_expire_while_something_of_it_is_to_be_delivered() {
    let mut world = with(Settings { session_expiry: seconds(1_000), ..settings() });
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.up();
    world.pass(seconds(10_000));
    assert_eq!(world.gateway.residue()[0], 1);
    let forgets = |up: &Up| *up == Up::Forget;
    assert!(!world.up().iter().any(forgets));
    world.line_closed(line);
    assert_eq!(world.gateway.residue()[0], 0);
    assert!(world.up().iter().any(forgets));
}

#[test]
fn who_falls_silent_before_the_broker_has_answered_was_never_there() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 1), &[]);
    let (line, _) = world.opens();
    world.pass(seconds(19));
    world.silence(&node);
    // Another client comes from its address.
    world.exchange(&node, connect("n2", true, 60), &[]);
    let up = world.up_by();
    assert_eq!(up[0], (line, Up::Close { abort: false }));
    assert!(matches!(up[1], (other, Up::Open(_)) if other != line), "{up:?}");
}

#[test]
fn a_sleeper_keeps_its_connection_and_is_lost_when_it_oversleeps() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    world.sleep(&node, 600);
    world.pass(seconds(800));
    assert_eq!(world.up(), []);
    world.pass(seconds(200));
    world.expect_up(line, Up::Close { abort: true });
}

#[test]
fn a_sleeper_that_wakes_by_connect_is_let_in_although_the_broker_is_away() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    world.sleep(&node, 600);
    world.line_down(line);
    world.reject(line, false);
    world.silence(&node);
    // Many stacks say all of it again.
    world.says_will(&node, "n1", false, "gone");
    world.expect(&node, &[connack(OK)]);
    assert_eq!(world.up(), []);
}

#[test]
fn a_sleeper_that_wakes_with_another_will_has_to_wait_for_the_broker() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    world.sleep(&node, 600);
    world.says_will(&node, "n1", false, "other");
    world.silence(&node);
    assert_eq!(world.opens().0, line);
    world.line_down(line);
    world.accept(line, true);
    world.expect(&node, &[connack(OK)]);
}
