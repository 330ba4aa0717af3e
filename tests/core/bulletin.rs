//! What the broker is told of the clients, and how much at a time.

use std::time::Duration;

use mqtt_sn_gateway::core::upstream::{Token, UpstreamEvent};
use mqtt_sn_gateway::core::{ClientRule, Settings};

use crate::harness::*;

/// Time from one batch to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Most messages in one.
const BATCH: usize = 50;

/// The broker answers what was sent to it last.
const PROOF: UpstreamEvent<'static> =
    UpstreamEvent::Published { token: Token::PROOF, outcome: Ok(()) };

fn telling(settings: Settings) -> Settings {
    Settings { tell_states: true, ..settings }
}

fn world() -> World {
    World::with(telling(settings()))
}

/// What is told now, `id state`, and no more than `most`.
fn told_at_most(world: &mut World, most: usize) -> Vec<String> {
    let mut told = Vec::new();
    world.gateway.tell(world.now, &mut |news| {
        if told.len() == most {
            return false;
        }
        told.push(format!("{} {}", news.id, news.standing.map_or("-", |standing| standing.state)));
        true
    });
    told
}

/// What is told now.
fn told(world: &mut World) -> Vec<String> {
    told_at_most(world, usize::MAX)
}

/// What is told until nothing is left.
fn all_told(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    while world.gateway.tells_at().is_some() {
        world.now = world.now.after(PAUSE);
        all.extend(told(world));
    }
    all
}

#[test]
fn each_state_is_told() {
    let mut world = world();
    let node = device(1);
    world.resume(&node, "n1");
    assert_eq!(all_told(&mut world), ["n1 active"]);
    world.sleep(&node, 60);
    assert_eq!(all_told(&mut world), ["n1 asleep"]);
    world.pass(seconds(200));
    assert_eq!(all_told(&mut world), ["n1 lost"], "and nothing is left of it");
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn a_client_that_is_lost_is_told_from_one_that_says_goodbye() {
    let mut world = world();
    let (one, two) = (device(1), device(2));
    for (node, id) in [(&one, "n1"), (&two, "n2")] {
        world.exchange(node, connect(id, false, 60), &[connack(OK)]);
        world.register(node, 1, "a");
    }
    assert_eq!(all_told(&mut world), ["n1 active", "n2 active"]);
    world.exchange(&one, BYE, &[BYE]);
    assert_eq!(all_told(&mut world), ["n1 disconnected"]);
    world.pass(seconds(100));
    assert_eq!(all_told(&mut world), ["n2 lost"]);
    // Another connection says it again.
    world.broker_down();
    world.broker_up(true);
    assert_eq!(all_told(&mut world), ["n1 disconnected", "n2 lost"]);
    // Until the sessions expire.
    world.broker_down();
    world.pass(seconds(8 * 24 * 3_600));
    world.broker_up(true);
    assert_eq!(all_told(&mut world), ["n1 -", "n2 -"]);
}

#[test]
fn only_the_last_state_is_told() {
    let mut world = world();
    let node = device(1);
    world.connect(&node, "n1");
    assert_eq!(told(&mut world), ["n1 active"]);
    for _ in 0..5 {
        world.sleep(&node, 60);
        world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
    }
    world.sleep(&node, 90);
    assert_eq!(told(&mut world), [""; 0], "not so soon");
    assert_eq!(all_told(&mut world), ["n1 asleep"]);
}

#[test]
fn a_crowd_is_told_bit_by_bit() {
    let mut world = world();
    for number in 0..120 {
        world.connect(&device(number), &format!("n{number}"));
    }
    world.now = world.now.after(PAUSE);
    assert_eq!(told(&mut world).len(), BATCH);
    assert_eq!(told(&mut world).len(), 0);
    assert_eq!(world.gateway.tells_at(), Some(world.now.after(PAUSE)));
    let rest = all_told(&mut world);
    assert_eq!(rest.len(), 120 - BATCH);
    // After a connection was lost all of them again, as slowly.
    world.broker_down();
    assert_eq!(world.gateway.tells_at(), None);
    world.broker_up(true);
    world.now = world.now.after(PAUSE);
    assert_eq!(told(&mut world).len(), BATCH);
    assert_eq!(all_told(&mut world).len(), 120 - BATCH);
}

#[test]
fn what_the_broker_does_not_take_is_told_the_next_time() {
    let mut world = world();
    for (number, id) in [(1, "n1"), (2, "n2"), (3, "n3")] {
        world.connect(&device(number), id);
    }
    world.now = world.now.after(PAUSE);
    assert_eq!(told_at_most(&mut world, 1), ["n1 active"]);
    assert_eq!(all_told(&mut world), ["n2 active", "n3 active"]);
    world.kick("n1");
    world.now = world.now.after(PAUSE);
    assert_eq!(told_at_most(&mut world, 0), [""; 0]);
    assert_eq!(all_told(&mut world), ["n1 -"]);
    world.upstream(PROOF);
    // So is the round of all.
    world.broker_down();
    world.broker_up(true);
    world.now = world.now.after(PAUSE);
    assert_eq!(told_at_most(&mut world, 1), ["n2 active"]);
    assert_eq!(all_told(&mut world), ["n3 active"]);
}

#[test]
fn the_last_word_on_a_clean_session_stays_and_an_ended_one_is_cleared() {
    let mut world = world();
    for number in 1..=3 {
        world.connect(&device(number), &format!("n{number}"));
    }
    world.exchange(&device(4), connect("n4", true, 60), &[connack(OK)]);
    all_told(&mut world);
    world.exchange(&device(1), BYE, &[BYE]);
    assert_eq!(all_told(&mut world), ["n1 disconnected"]);
    world.kick("n2");
    assert_eq!(all_told(&mut world), ["n2 -"]);
    world.pass(seconds(100));
    assert_eq!(all_told(&mut world), ["n4 lost"]);
    // A rule that shuts it out.
    let deny = ClientRule { id: "n3".into(), allow: false, ..ClientRule::default() };
    world.reconfigure(Settings { rules: vec![deny], ..settings() });
    assert_eq!(all_told(&mut world), ["n3 -"]);
}

#[test]
fn whoever_the_broker_has_not_heard_of_leaves_without_a_word() {
    let mut world = World::offline(telling(settings()));
    let node = device(1);
    world.connect(&node, "n1");
    world.exchange(&node, BYE, &[BYE]);
    world.connect(&device(2), "n2");
    world.broker_up(false);
    assert_eq!(all_told(&mut world), ["n2 active"]);
}

#[test]
fn whoever_left_while_the_broker_was_away_is_told() {
    let mut world = world();
    for number in 1..=3 {
        world.connect(&device(number), &format!("n{number}"));
    }
    all_told(&mut world);
    world.broker_down();
    world.exchange(&device(1), BYE, &[BYE]);
    world.exchange(&device(2), BYE, &[BYE]);
    // And is back.
    world.connect(&device(2), "n2");
    world.broker_up(true);
    let mut all = all_told(&mut world);
    all.sort();
    assert_eq!(all, ["n1 disconnected", "n2 active", "n3 active"]);
}

#[test]
fn a_farewell_that_may_not_have_arrived_is_said_again() {
    let mut world = world();
    world.connect(&device(1), "n1");
    all_told(&mut world);
    world.exchange(&device(1), BYE, &[BYE]);
    assert_eq!(all_told(&mut world), ["n1 disconnected"]);
    world.broker_down();
    world.broker_up(true);
    assert_eq!(all_told(&mut world), ["n1 disconnected"]);
    // The broker answers what was sent after it.
    world.upstream(PROOF);
    world.broker_down();
    world.broker_up(true);
    assert_eq!(all_told(&mut world), [""; 0]);
}

#[test]
fn a_refused_connect_leaves_no_trace() {
    let mut world = world();
    let node = device(1);
    let prompt = [mqtt_sn_gateway::codec::Message::WillTopicReq];
    world.exchange(&node, connect_with_will("n1", false, 60), &prompt);
    assert_eq!(all_told(&mut world), [""; 0], "it is not decided");
    world.pass(seconds(100));
    assert_eq!(world.gateway.residue(), [0; 5]);
    assert_eq!(all_told(&mut world), [""; 0]);
}

#[test]
fn nothing_is_told_unless_it_is_wanted() {
    let mut world = World::new();
    world.connect(&device(1), "n1");
    world.exchange(&device(1), BYE, &[BYE]);
    assert_eq!(world.gateway.tells_at(), None);
    assert_eq!(told(&mut world), [""; 0]);
}

#[test]
fn the_gateways_own_topics_are_for_those_who_ask_for_them_by_name() {
    let mut world = World::obliging();
    let (all, own) = (device(1), device(2));
    world.connect(&all, "n1");
    world.connect(&own, "n2");
    let (_, first) = world.subscribe(&all, 1, "#", mqtt_sn_gateway::codec::Qos::One);
    let (_, second) =
        world.subscribe(&own, 1, "mqtt-sn-gateway/+/status", mqtt_sn_gateway::codec::Qos::One);
    world.received(&own);
    let topic = "mqtt-sn-gateway/gateway/status";
    world.deliver(&Down::new(topic, b"online").ids(&[first, second]));
    world.silence(&all);
    assert_eq!(world.received(&own).len(), 1, "REGISTER");
    world.deliver(&Down::new("mqtt-sn-gateway/other/status", b"x").ids(&[first]));
    assert_eq!(world.received(&all).len(), 1);
}
