//! CONNECT is answered when the broker has answered the client's own.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::upstream::{LineId, MqttQos};
use mqtt_sn_gateway::core::{Limit, Settings, Takeover};

use super::{setup, transparent, will, with};
use crate::harness::*;

#[test]
fn connack_waits_for_the_broker() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    let (line, said) = world.opens();
    assert!(line.is_own());
    assert_eq!(said, setup("n1", true, None));
    world.pass(seconds(5));
    world.silence(&node);
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
    assert_eq!(world.up(), []);
    assert_eq!(world.notices(), ["connected: n1"]);
}

#[test]
fn the_will_is_said_in_the_clients_own_connect() {
    let mut world = transparent();
    world.join_with_will(&device(1), "n1", false, "gone");
    assert_eq!(world.stats().connected, 1);
}

#[test]
fn an_empty_will_topic_ends_the_dialogue_without_a_will() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, Message::WillTopic(None), &[]);
    let (line, said) = world.opens();
    assert_eq!(said, setup("n1", true, None));
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
}

#[test]
fn a_will_carries_the_prefix() {
    let mut world = with(Settings { topic_prefix: "site/".into(), ..settings() });
    world.says_will(&device(1), "n1", true, "gone");
    let (_, said) = world.opens();
    assert_eq!(said.will.map(|will| will.topic), Some("site/lwt".into()));
}

#[test]
fn each_client_has_a_connection_of_its_own() {
    let mut world = transparent();
    let (one, two) = (device(1), device(2));
    let first = world.join(&one, "n1", true);
    let second = world.join(&two, "n2", true);
    assert_ne!(first, second);
    // What the broker says to one is not for the other.
    world.accept(first, false);
    world.silence(&two);
    world.line_down(first);
    assert_eq!(world.stats().connected, 2);
}

#[test]
fn a_connect_that_comes_again_while_the_broker_has_not_answered_changes_nothing() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    let (line, _) = world.opens();
    world.pass(seconds(7));
    world.exchange(&node, connect("n1", true, 60), &[]);
    assert_eq!((world.up(), world.stats().duplicates), (vec![], 1));
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
}

#[test]
fn other_messages_before_the_brokers_answer_are_dropped() {
    let mut world = transparent();
    let node = device(1);
    world.says_will(&node, "n1", true, "gone");
    let (line, _) = world.opens();
    // Parts of the dialogue that came late, and what no client says yet.
    world.send(&node, will_msg("other"));
    world.send(&node, will_topic("other", Qos::Zero, false));
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::One, 1, b"x"));
    world.send(&node, PING);
    world.silence(&node);
    assert_eq!(world.up(), []);
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
    assert_eq!(world.gateway.line_setup(line), Some(setup("n1", true, Some(will("gone")))));
}

#[test]
fn what_the_broker_refuses_for_good_is_not_supported() {
    refusal(true, UNSUPPORTED);
}

#[test]
fn what_the_broker_has_no_room_for_now_is_congestion() {
    refusal(false, CONGESTION);
}

fn refusal(never: bool, code: mqtt_sn_gateway::codec::ReturnCode) {
    let mut world = transparent();
    let node = device(1);
    world.says_will(&node, "n1", false, "gone");
    let (line, _) = world.opens();
    world.reject(line, never);
    world.expect(&node, &[connack(code)]);
    world.expect_up(line, Up::Close { abort: false });
    let refused = format!("refused: n1 CONNECT  {}", code.0);
    assert_eq!(world.notices(), [refused]);
    // The runtime tries again before it hears of that; nobody waits for it any more.
    world.reject(line, never);
    world.silence(&node);
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5], "nothing is left of it");
    world.expect_up(line, Up::Forget);
    // It may try again.
    world.join(&node, "n1", true);
}

#[test]
fn a_refusal_keeps_the_session_of_a_known_client() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.expect_up(line, Up::Close { abort: false });
    world.line_closed(line);
    world.exchange(&node, connect("n1", false, 60), &[]);
    world.opens();
    world.reject(line, false);
    world.expect(&node, &[connack(CONGESTION)]);
    world.line_closed(line);
    world.up();
    world.exchange(&node, connect("n1", false, 60), &[]);
    world.opens();
    world.accept(line, true);
    world.expect(&node, &[connack(OK)]);
    assert_eq!(world.up(), [], "the broker has the subscription, and so has the gateway");
}

#[test]
fn a_broker_that_does_not_answer_is_congestion_after_a_while() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    let (line, _) = world.opens();
    world.pass(settings().broker_patience);
    world.expect(&node, &[connack(CONGESTION)]);
    world.expect_up(line, Up::Close { abort: false });
    // An answer that comes now is for nobody.
    world.accept(line, false);
    world.silence(&node);
    assert_eq!(world.stats().connected, 0);
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn another_clean_flag_while_the_broker_has_not_answered_is_said_anew() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    world.opens();
    world.exchange(&node, connect("n1", false, 60), &[]);
    let (line, said) = world.opens();
    assert_eq!(said, setup("n1", false, None));
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
}

#[test]
fn another_will_while_the_broker_has_not_answered_is_said_anew() {
    let mut world = transparent();
    let node = device(1);
    world.says_will(&node, "n1", false, "first");
    world.opens();
    // From another address: the same CONNECT from the same one is a repetition.
    let moved = device(2);
    world.says_will(&moved, "n1", false, "second");
    let (line, said) = world.opens();
    assert_eq!(said, setup("n1", false, Some(will("second"))));
    world.accept(line, false);
    world.expect(&moved, &[connack(OK)]);
    world.silence(&node);
}

#[test]
fn a_connect_from_elsewhere_waits_for_the_same_answer() {
    let mut world = transparent();
    world.exchange(&device(1), connect("n1", false, 60), &[]);
    let (line, _) = world.opens();
    // The broker has not said yes, so nobody is told yes.
    let moved = device(2);
    world.exchange(&moved, connect("n1", false, 60), &[]);
    assert_eq!(world.up(), [], "the broker has been asked");
    world.accept(line, false);
    world.expect(&moved, &[connack(OK)]);
    world.silence(&device(1));
}

#[test]
fn another_keep_alive_waits_for_the_same_answer() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    let (line, _) = world.opens();
    world.exchange(&node, connect("n1", true, 61), &[]);
    assert_eq!(world.up(), []);
    world.reject(line, true);
    world.expect(&node, &[connack(UNSUPPORTED)]);
}

#[test]
fn takeover_by_another_address_goes_on_by_the_same_connection() {
    let mut world = transparent();
    let (node, moved) = (device(1), device(2));
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&moved, connect("n1", false, 60), &[connack(OK)]);
    assert_eq!(world.up(), [], "nothing that the broker has to know");
    world.deliver_by(line, &Down::new("a/b", b"x").qos1(1));
    assert_ne!(world.received(&moved), Vec::<Vec<u8>>::new());
    world.silence(&node);
}

#[test]
fn takeover_is_refused_where_it_is_not_wanted() {
    let mut world = with(Settings { takeover: Takeover::AsleepOrLost, ..settings() });
    let line = world.join(&device(1), "n1", false);
    world.exchange(&device(2), connect("n1", false, 60), &[connack(CONGESTION)]);
    assert_eq!(world.up(), []);
    assert!(world.gateway.line_setup(line).is_some());
}

#[test]
fn a_clean_connect_begins_a_clean_session_at_the_broker_too() {
    let mut world = transparent();
    let node = device(1);
    world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.send(&node, connect("n1", true, 60));
    let up = world.up_by();
    let (line, last) = up.last().cloned().expect("something");
    assert_eq!(last, Up::Open(setup("n1", true, None)));
    world.silence(&node);
    world.line_down(line);
    world.accept(line, false);
    world.expect(&node, &[connack(OK)]);
    // Nothing of the old session is asked for again.
    let subscribes = |up: &Up| matches!(up, Up::Subscribe { .. });
    assert!(!world.up().iter().any(subscribes));
}

#[test]
fn while_the_broker_is_away_a_connected_client_may_connect_again() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.line_down(line);
    world.pass(seconds(10));
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    assert_eq!(world.up(), []);
    world.reject(line, false);
    world.silence(&node);
    assert_eq!(world.stats().connected, 1, "that the broker is away is no reason to lose it");
}

#[test]
fn a_client_whose_id_is_barred_is_told_and_lost() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", true);
    world.line_down(line);
    world.reject(line, true);
    world.expect(&node, &[BYE]);
    world.expect_up(line, Up::Close { abort: true });
    let notices = world.notices();
    assert_eq!(notices[1..], ["lost: n1, Barred, will false"], "{notices:?}");
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn a_client_that_gives_up_waiting_leaves_nothing() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[]);
    let (line, _) = world.opens();
    world.exchange(&node, BYE, &[BYE]);
    world.expect_up(line, Up::Close { abort: false });
    world.accept(line, false);
    world.silence(&node);
    world.line_closed(line);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

#[test]
fn no_more_than_so_many_wait_for_the_broker() {
    const MOST: u32 = 5_000;
    let mut world = with(Settings { max_clients: 2 * MOST, ..settings() });
    for number in 0..=MOST {
        // Newcomers are limited by address.
        let id = format!("n{number}");
        world.send(&device(number), connect(&id, true, 60));
    }
    let opens = world.up().iter().filter(|up| matches!(up, Up::Open(_))).count();
    assert_eq!(opens, MOST as usize);
    world.expect(&device(MOST), &[connack(CONGESTION)]);
    assert_eq!(world.limit(Limit::Handshakes), 1);
    world.accept(LineId::own(0), false);
    world.expect(&device(0), &[connack(OK)]);
    world.up();
    world.exchange(&device(MOST), connect("late", true, 60), &[]);
    world.opens();
}

#[test]
fn in_aggregating_mode_nobody_has_a_connection_of_its_own() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    let lines: Vec<LineId> = world.up_by().into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [LineId::MAIN], "the end of the subscription");
    assert_eq!(world.gateway.open_lines().count(), 0);
}

#[test]
fn qos_minus_one_of_nobody_goes_by_the_gateways_own_connection() {
    let mut world = transparent();
    let shout = publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x");
    world.send(&device(1), shout);
    let up = world.up_by();
    assert!(matches!(up.as_slice(), [(LineId::MAIN, Up::Publish { qos: MqttQos::Zero, .. })]));
    // From where a client is it is the client's, and the broker's rules for it apply.
    let node = device(2);
    let line = world.join(&node, "n1", true);
    world.send(&node, shout);
    let up = world.up_by();
    assert!(matches!(up.as_slice(), [(by, Up::Publish { .. })] if *by == line));
}
