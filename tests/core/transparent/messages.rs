//! Messages by a client's own connection, both ways.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::upstream::{LineId, MqttQos};

use super::transparent;
use crate::harness::*;

/// Most messages for a sleeper that stay with the broker.
const HELD: u64 = 10;

#[test]
fn publications_and_subscriptions_go_by_the_clients_own_connection() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", true);
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::One, 1, b"x"));
    let up = world.up_by();
    let [(by, Up::Publish { token, topic, .. })] = up.as_slice() else { panic!("{up:?}") };
    assert_eq!((*by, &**topic), (line, "predefined/five"));
    world.silence(&node);
    world.completed(*token);
    world.expect(&node, &[puback(5, 1, OK)]);
    world.send(&node, subscribe(2, "a/b", Qos::One));
    let up = world.up_by();
    let [(by, Up::Subscribe { token, qos, id, .. })] = up.as_slice() else { panic!("{up:?}") };
    assert_eq!((*by, *qos, *id), (line, MqttQos::One, 0), "as the client says it");
    world.granted(*token, MqttQos::One);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 2, OK)]);
    world.send(&node, unsubscribe(3, "a/b"));
    assert!(matches!(world.up_by().as_slice(), [(by, Up::Unsubscribe { .. })] if *by == line));
}

#[test]
fn who_asks_for_a_higher_qos_gets_it() {
    let mut world = transparent();
    let node = device(1);
    world.join(&node, "n1", true);
    world.subscribe(&node, 1, "a/b", Qos::Zero);
    world.send(&node, subscribe(2, "a/b", Qos::Two));
    let (token, _, qos, ..) = world.subscribed();
    assert_eq!(qos, MqttQos::Two);
    world.granted(token, qos);
    world.expect(&node, &[suback(Qos::Two, FIRST_ID, 2, OK)]);
}

#[test]
fn who_asks_for_a_lower_qos_gets_it() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", true);
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.send(&node, subscribe(2, "a/b", Qos::Zero));
    world.expect(&node, &[suback(Qos::Zero, FIRST_ID, 2, OK)]);
    let (token, _, qos, ..) = world.subscribed();
    assert_eq!(qos, MqttQos::Zero);
    world.granted(token, qos);
    // After a loss, too.
    world.line_down(line);
    world.accept(line, false);
    assert_eq!(world.subscribed().2, MqttQos::Zero);
}

#[test]
fn the_broker_says_what_a_client_gets() {
    let mut world = transparent();
    let (one, two) = (device(1), device(2));
    let first = world.join(&one, "n1", true);
    let second = world.join(&two, "n2", true);
    world.subscribe(&one, 1, "a/b", Qos::One);
    world.subscribe(&two, 1, "a/b", Qos::One);
    world.deliver_by(first, &Down::new("a/b", b"x").qos1(4));
    let (_, _, id, _) = world.one_publish(&one);
    world.silence(&two);
    // Both connections count on their own.
    world.deliver_by(second, &Down::new("a/b", b"x").qos1(4));
    world.one_publish(&two);
    world.send(&one, puback(FIRST_ID, id, OK));
    let up = world.up_by();
    assert!(matches!(up.as_slice(), [(by, Up::Acknowledge(delivery))]
        if *by == first && delivery.0 == 4));
}

#[test]
fn a_subscription_from_before_the_gateway_knew_the_client_can_be_ended() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[]);
    let (line, _) = world.opens();
    world.accept(line, true);
    world.expect(&node, &[connack(OK)]);
    // The broker has kept it, with what comes by it.
    world.deliver_by(line, &Down::new("old/one", b"x"));
    let received = world.drain(&node);
    assert_eq!(received.len(), 2, "REGISTER and PUBLISH");
    world.exchange(&node, unsubscribe(3, "old/#"), &[unsuback(3)]);
    let (_, filter) = world.unsubscribed();
    assert_eq!(filter, "old/#");
    // Also while the broker is away.
    world.line_down(line);
    world.exchange(&node, unsubscribe(4, "older/#"), &[unsuback(4)]);
    assert_eq!(world.up(), []);
    world.accept(line, true);
    let filters: Vec<String> = world
        .up()
        .into_iter()
        .filter_map(|up| match up {
            Up::Unsubscribe { filter, .. } => Some(filter),
            _ => None,
        })
        .collect();
    assert!(filters.contains(&"older/#".to_owned()), "{filters:?}");
}

/// Each connection has a window of its own, so a slow link keeps nobody else waiting.
#[test]
fn messages_that_wait_for_room_stay_with_the_broker_as_far_as_there_is_room() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.room(0, 0);
    for number in 1..=HELD {
        world.deliver_by(line, &Down::new("a/b", &[number as u8]).qos1(number));
    }
    assert_eq!(world.up(), []);
    world.deliver_by(line, &Down::new("a/b", b"more").qos1(HELD + 1));
    assert_eq!(world.acknowledged(), [HELD + 1]);
    for number in 1..=HELD {
        world.room(0, 1);
        let (_, _, id, _) = world.one_publish(&node);
        world.exchange(&node, puback(FIRST_ID, id, OK), &[]);
        assert_eq!(world.acknowledged(), [number]);
    }
}

#[test]
fn messages_for_a_sleeper_stay_with_the_broker_as_far_as_there_is_room() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.sleep(&node, 600);
    for number in 1..=HELD {
        world.deliver_by(line, &Down::new("a/b", &[number as u8]).qos1(number));
    }
    assert_eq!(world.up(), []);
    world.silence(&node);
    // There is no state to write it to in this world: the gateway's memory takes it.
    world.deliver_by(line, &Down::new("a/b", b"more").qos1(HELD + 1));
    assert_eq!(world.acknowledged(), [HELD + 1]);
    let collected = world.collect(&node, wake("n1"), PONG);
    assert_eq!(collected.len() as u64, HELD + 1);
    assert_eq!(world.acknowledged(), (1..=HELD).collect::<Vec<_>>(), "in their order");
}

#[test]
fn a_sleepers_messages_are_acknowledged_one_by_one_as_it_takes_them() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join(&node, "n1", false);
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.sleep(&node, 600);
    world.deliver_by(line, &Down::new("a/b", b"one").qos1(1));
    world.deliver_by(line, &Down::new("a/b", b"two").qos2(2));
    world.send(&node, wake("n1"));
    let (_, qos, id, _) = world.one_publish(&node);
    assert_eq!((qos, world.up()), (Qos::One, vec![]));
    world.send(&node, puback(FIRST_ID, id, OK));
    assert_eq!(world.acknowledged(), [1]);
    let (_, qos, id, _) = world.one_publish(&node);
    assert_eq!(qos, Qos::Two);
    world.exchange(&node, pubrec(id), &[pubrel(id)]);
    world.exchange(&node, pubcomp(id), &[PONG]);
    assert_eq!(world.acknowledged(), [2]);
}

#[test]
fn a_message_for_somebody_who_has_just_left_is_kept_or_dropped_with_the_session() {
    for clean in [true, false] {
        let mut world = transparent();
        let node = device(1);
        let line = world.join(&node, "n1", clean);
        world.subscribe(&node, 1, "a/b", Qos::One);
        world.exchange(&node, BYE, &[BYE]);
        world.up();
        // The broker has not heard of it.
        world.deliver_by(line, &Down::new("a/b", b"x").qos1(1));
        world.silence(&node);
        world.line_closed(line);
        world.up();
        world.exchange(&node, connect("n1", clean, 60), &[]);
        let (line, _) = world.opens();
        world.accept(line, !clean);
        let payloads = payloads_of(&world.drain(&node));
        assert_eq!(payloads.len(), usize::from(!clean));
        assert_eq!(world.gateway.residue()[3], 0, "no message is left over");
    }
}

#[test]
fn the_main_connection_carries_nothing_of_such_clients() {
    let mut world = transparent();
    let node = device(1);
    world.join(&node, "n1", true);
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.silence(&node);
    assert_eq!(world.up_by().len(), 1, "acknowledged, since it is for nobody");
    world.broker_down();
    world.exchange(&node, PING, &[PONG]);
    world.send(&node, publish(PublishTopic::Predefined(5), Qos::One, 1, b"x"));
    assert!(world.up_by().iter().all(|(line, _)| *line != LineId::MAIN));
}
