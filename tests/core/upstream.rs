//! Subscriptions while broker and clients come and go.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// SUBACK means that the broker granted it: the device waits for as long as the broker is away, and
/// its repetitions are swallowed.
#[test]
fn a_subscription_waits_for_the_brokers_return() {
    let mut world = World::offline(settings());
    let node = device(1);
    world.connect(&node, "n1");
    for _ in 0..3 {
        world.exchange(&node, subscribe(1, "a", Qos::One), &[]);
        world.pass(seconds(15));
    }
    assert_eq!(world.up(), []);
    world.broker_up(false);
    let (token, filter, _, id, retained_wanted) = world.subscribed();
    assert_eq!((filter.as_str(), retained_wanted), ("a", true));
    world.granted(token, MqttQos::One);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.deliver(&Down::new("a", b"r").qos1(1).retained().ids(&[id]));
    world.expect(&node, &[retained(publish(NORMAL, Qos::One, 1, b"r"))]);
}

/// The same if the broker leaves before it has answered.
#[test]
fn a_subscription_under_way_when_the_broker_leaves_is_made_again() {
    let (mut world, node) = one_client();
    world.exchange(&node, subscribe(1, "a", Qos::One), &[]);
    let old = world.subscribed().0;
    world.broker_down();
    world.broker_up(true);
    let (token, filter, ..) = world.subscribed();
    assert_eq!(filter, "a");
    world.granted(old, MqttQos::Two);
    world.silence(&node);
    world.granted(token, MqttQos::One);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
}

/// What waits for its SUBACK holds nothing up that cannot wait for it.
#[test]
fn a_waiting_subscribe_does_not_hold_up_deliveries_while_the_broker_is_away() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.deliver(&Down::new("a", b"1").qos1(1));
    world.deliver(&Down::new("a", b"2").qos1(2));
    world.expect(&node, &[publish(NORMAL, Qos::One, 1, b"1")]);
    world.exchange(&node, subscribe(2, "b", Qos::One), &[]);
    world.exchange(&node, puback(0, 1, OK), &[]);
    world.broker_down();
    world.expect(&node, &[publish(NORMAL, Qos::One, 2, b"2")]);
}

/// What the broker knows already needs no answer of its.
#[test]
fn a_known_filter_is_granted_while_the_broker_is_away() {
    let (mut world, a, b) = two_clients();
    world.subscribe(&a, 1, "a", Qos::One);
    world.broker_down();
    world.exchange(&b, subscribe(1, "a", Qos::One), &[suback(Qos::One, world_id(&b), 1, OK)]);
    world.broker_up(true);
    assert!(world.subscribed().4, "for the retained messages");
}

#[test]
fn a_lost_session_is_asked_for_again_and_brings_no_retained_messages_to_anybody() {
    for old in [false, true] {
        let mut world = World::offline(settings());
        let node = device(1);
        if old {
            world.old_broker_up(false);
        } else {
            world.broker_up(false);
        }
        world.connect(&node, "n1");
        let (_, id) = world.subscribe(&node, 1, "a", Qos::One);
        let ids = [id];
        let ids = if old { &[][..] } else { &ids };
        world.deliver(&Down::new("a", b"r").retained().ids(ids));
        assert_eq!(payloads(&mut world, &node).len(), 1);
        for _ in 0..2 {
            world.broker_down();
            if old {
                world.old_broker_up(false);
            } else {
                world.broker_up(false);
            }
            let (token, _, _, again, retained) = world.subscribed();
            assert_eq!((again, retained), (id, false));
            // A 3.1.1 broker sends them whether they are wanted or not.
            world.deliver(&Down::new("a", b"r").retained().ids(ids));
            world.granted(token, MqttQos::Two);
            world.deliver(&Down::new("a", b"s").retained().ids(ids));
            world.silence(&node);
            world.deliver(&Down::new("a", b"live").ids(ids));
            assert_eq!(payloads(&mut world, &node).len(), 1);
        }
    }
}

/// A renewal that the broker did not answer is not a subscription of anybody's.
#[test]
fn an_unanswered_renewal_does_not_fetch_retained_messages_again() {
    let (mut world, a, b) = two_clients();
    world.subscribe(&a, 1, "a", Qos::Zero);
    world.send(&b, subscribe(1, "a", Qos::One));
    let token = world.subscribed().0;
    world.granted(token, MqttQos::Two);
    world.received(&b);
    // Lost while it is renewed, twice.
    for _ in 0..2 {
        world.broker_down();
        world.broker_up(false);
        assert!(!world.subscribed().4, "retained messages were asked for");
    }
}

#[test]
fn a_kept_session_is_not_asked_for_again() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.broker_up(true);
    assert_eq!(world.up(), []);
}

#[test]
fn what_nobody_needs_any_longer_is_given_back_to_a_kept_session() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    assert_eq!(world.up(), []);
    world.broker_up(true);
    let (_, filter) = world.unsubscribed();
    assert_eq!(filter, "a");
    // Not answered either: once more.
    world.broker_down();
    world.broker_up(true);
    let (token, _) = world.unsubscribed();
    world.upstream(UpstreamEvent::Unsubscribed { token });
    world.broker_down();
    world.broker_up(true);
    assert_eq!(world.up(), []);
}

/// The broker may have taken a SUBSCRIBE that it did not answer.
#[test]
fn an_unanswered_subscription_is_given_back_too() {
    let (mut world, node) = one_client();
    world.send(&node, subscribe(1, "a", Qos::One));
    world.subscribed();
    world.broker_down();
    world.send(&node, unsubscribe(2, "a"));
    world.broker_up(true);
    assert_eq!(world.unsubscribed().1, "a");
}

#[test]
fn what_somebody_needs_again_is_not_given_back() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    world.exchange(&node, subscribe(3, "a", Qos::One), &[]);
    world.broker_up(true);
    assert_eq!(world.subscribed().1, "a");
}

/// A session that was lost as far as anybody can tell may be the old one in truth.
#[test]
fn what_nobody_needs_is_given_back_to_a_new_session_too() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    world.broker_up(false);
    let (token, filter) = world.unsubscribed();
    assert_eq!(filter, "a");
    world.upstream(UpstreamEvent::Unsubscribed { token });
    world.broker_down();
    world.broker_up(true);
    assert_eq!(world.up(), []);
}

/// The broker is not flooded after a loss; every filter gets its turn.
#[test]
fn many_subscriptions_are_restored_a_few_at_a_time() {
    let mut world = World::obliging();
    for number in 0..10 {
        let node = device(number);
        world.connect(&node, &format!("n{number}"));
        for filter in 0..100 {
            world.send(&node, subscribe(filter + 1, &format!("f/{number}/{filter}"), Qos::Zero));
        }
        assert_eq!(world.received(&node).len(), 100);
    }
    world.obliging = false;
    world.up();
    world.broker_down();
    world.broker_up(false);
    let (mut restored, mut open): (usize, Vec<Token>) = (0, vec![]);
    loop {
        open.extend(world.up().into_iter().map(|up| match up {
            Up::Subscribe { token, .. } => token,
            other => panic!("unexpected {other:?}"),
        }));
        assert!(open.len() <= 64);
        let Some(token) = open.pop() else { break };
        restored += 1;
        world.granted(token, MqttQos::Zero);
    }
    assert_eq!(restored, 1_000);
}

/// The broker, or the queue to it, has no room at the moment: subscriptions that devices rely on are
/// asked for again by and by.
#[test]
fn a_renewal_that_meets_congestion_is_tried_again() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.broker_up(false);
    for _ in 0..3 {
        let token = world.subscribed().0;
        world.not_granted(token, Refusal::Congestion);
        assert_eq!(world.up(), [], "no sooner than later");
        world.pass(seconds(11));
    }
    let token = world.subscribed().0;
    world.granted(token, MqttQos::One);
    world.deliver(&Down::new("a", b"x"));
    assert_eq!(payloads(&mut world, &node).len(), 1);
    world.pass(seconds(100));
    assert_eq!(world.up(), []);
}

#[test]
fn a_client_that_leaves_takes_its_subscriptions_along() {
    let (mut world, a, b) = two_clients();
    world.subscribe(&a, 1, "a", Qos::One);
    world.subscribe(&b, 1, "a", Qos::One);
    world.exchange(&a, BYE, &[BYE]);
    assert_eq!(world.up(), []);
    world.exchange(&b, BYE, &[BYE]);
    assert_eq!(world.unsubscribed().1, "a");
}

#[test]
fn a_client_that_leaves_before_the_broker_answers_leaves_nothing_behind() {
    let (mut world, node) = one_client();
    world.send(&node, subscribe(1, "a", Qos::One));
    let token = world.subscribed().0;
    world.exchange(&node, BYE, &[BYE]);
    let (bye, _) = world.unsubscribed();
    world.granted(token, MqttQos::One);
    world.upstream(UpstreamEvent::Unsubscribed { token: bye });
    assert_eq!(world.gateway.residue(), [0; 5]);
    world.silence(&node);
}

/// Persistent sessions: the answer that came while the client was away is there when it asks again.
#[test]
fn a_kept_session_that_was_away_when_the_broker_answered() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.send(&node, subscribe(1, "a", Qos::One));
    let token = world.subscribed().0;
    world.exchange(&node, BYE, &[BYE]);
    world.granted(token, MqttQos::One);
    world.silence(&node);
    world.pass(seconds(10));
    world.resume(&node, "n1");
    world.exchange(&node, subscribe(1, "a", Qos::One), &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.up();
    world.deliver(&Down::new("a", b"x").qos1(1));
    assert_eq!(payloads(&mut world, &node).len(), 1);
}
