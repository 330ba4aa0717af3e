//! One subscription at the broker serves all clients of a filter: who gets what, and how often.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::Drop;
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, UpstreamEvent};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// The second client needs the retained messages too, and only it gets them.
#[test]
fn retained_messages_go_to_the_new_subscriber_only() {
    let (mut world, a, b) = two_clients();
    let (_, id) = world.subscribe(&a, 1, "s/#", Qos::Zero);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &a), [(b"r".to_vec(), true)]);
    // The broker knows the filter, so the answer needs no waiting.
    world.exchange(&b, subscribe(1, "s/#", Qos::Zero), &[suback(Qos::Zero, 0, 1, OK)]);
    let (token, _, _, again, retained) = world.subscribed();
    assert_eq!((again, retained), (id, true));
    world.granted(token, MqttQos::Zero);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &b), [(b"r".to_vec(), true)]);
    world.silence(&a);
    world.deliver(&Down::new("s/1", b"live").ids(&[id]));
    assert_eq!(payloads(&mut world, &a).len(), 1);
    assert_eq!(payloads(&mut world, &b).len(), 1);
}

/// A topic that became retained only after the first client had subscribed.
#[test]
fn a_message_retained_since_goes_to_the_new_subscriber_too() {
    let (mut world, a, b) = two_clients();
    let (_, id) = world.subscribe(&a, 1, "s/#", Qos::Zero);
    world.deliver(&Down::new("s/1", b"r").ids(&[id]));
    assert_eq!(payloads(&mut world, &a), [(b"r".to_vec(), false)]);
    world.subscribe(&b, 1, "s/#", Qos::Zero);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &b), [(b"r".to_vec(), true)]);
    world.silence(&a);
}

/// A slow device stalls the broker's window; the rest of its retained messages is still its own.
#[test]
fn retained_messages_may_take_their_time() {
    let (mut world, node) = one_client();
    let (_, id) = world.subscribe(&node, 1, "s/#", Qos::One);
    world.deliver(&Down::new("s/1", b"r").qos1(1).retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &node).len(), 1);
    world.pass(seconds(25));
    world.deliver(&Down::new("s/2", b"r").qos1(2).retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &node).len(), 1);
}

#[test]
fn two_that_subscribe_at_once_get_retained_messages_once_each() {
    let (mut world, a, b) = two_clients();
    world.exchange(&a, subscribe(1, "s/#", Qos::Zero), &[]);
    let (first, _, _, id, _) = world.subscribed();
    // While the broker is being asked, others wait for the next round.
    world.exchange(&b, subscribe(1, "s/#", Qos::Zero), &[]);
    assert_eq!(world.up(), []);
    world.granted(first, MqttQos::Zero);
    world.expect(&a, &[suback(Qos::Zero, 0, 1, OK)]);
    let second = world.subscribed().0;
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    world.granted(second, MqttQos::Zero);
    world.expect(&b, &[suback(Qos::Zero, 0, 1, OK), announce(world_id(&b), 1, "s/1")]);
    let (to, msg_id) = (world_id(&b), 1);
    world.send(&b, regack(to, msg_id, OK));
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &a).len(), 1);
    assert_eq!(payloads(&mut world, &b).len(), 1);
}

/// A client that asks twice before the broker answers is one client.
#[test]
fn asking_twice_brings_retained_messages_once() {
    let (mut world, a, b) = two_clients();
    world.exchange(&a, subscribe(1, "s/#", Qos::Zero), &[]);
    let (token, ..) = world.subscribed();
    for msg_id in 1..=20 {
        world.exchange(&b, subscribe(msg_id, "s/#", Qos::Zero), &[]);
    }
    world.granted(token, MqttQos::Zero);
    let (token, _, _, id, _) = world.subscribed();
    world.granted(token, MqttQos::Zero);
    assert_eq!(world.received(&b).len(), 20);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    assert_eq!(payloads(&mut world, &b).len(), 1);
}

/// Whoever left between SUBSCRIBE and its retained messages gets none, nor does its successor.
#[test]
fn retained_messages_for_a_client_that_left_go_to_nobody() {
    let (mut world, a, b) = two_clients();
    let (_, id) = world.subscribe(&a, 1, "s/#", Qos::Zero);
    world.subscribe(&b, 1, "s/#", Qos::Zero);
    world.exchange(&b, BYE, &[BYE]);
    world.connect(&b, "n3");
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    world.silence(&b);
    // That was b's copy; a's comes now.
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    world.silence(&b);
    assert_eq!(payloads(&mut world, &a).len(), 1);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    world.silence(&b);
}

/// The broker is always asked for the highest QoS: where filters overlap it could send its only copy
/// at the QoS of the lesser one. What goes to a client is brought down to what it was granted.
#[test]
fn the_highest_qos_is_asked_for_and_a_lower_one_is_there_already() {
    let (mut world, a, b) = two_clients();
    world.send(&a, subscribe(1, "a", Qos::One));
    let (token, _, qos, id, _) = world.subscribed();
    assert_eq!(qos, MqttQos::Two);
    world.granted(token, MqttQos::Two);
    world.expect(&a, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.exchange(&b, subscribe(1, "a", Qos::Two), &[suback(Qos::Two, world_id(&b), 1, OK)]);
    world.deliver(&Down::new("a", b"x").qos2(1).ids(&[id]));
    world.expect(&a, &[publish(NORMAL, Qos::One, 1, b"x")]);
    let to = PublishTopic::Normal(world_id(&b));
    world.expect(&b, &[publish(to, Qos::Two, 1, b"x")]);
}

/// The broker refuses more, but what it granted before holds: that is what the client gets.
#[test]
fn a_refused_upgrade_leaves_what_was_granted() {
    let (mut world, a, b) = two_clients();
    world.send(&a, subscribe(1, "a", Qos::Two));
    let (token, _, _, id, _) = world.subscribed();
    world.granted(token, MqttQos::One);
    world.expect(&a, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.exchange(&b, subscribe(1, "a", Qos::Two), &[]);
    let token = world.subscribed().0;
    world.not_granted(token, Refusal::NotSupported);
    world.expect(&b, &[suback(Qos::One, world_id(&b), 1, OK)]);
    world.deliver(&Down::new("a", b"x").qos1(1).ids(&[id]));
    assert_eq!(payloads(&mut world, &a).len(), 1);
    assert_eq!(payloads(&mut world, &b).len(), 1);
}

#[test]
fn a_client_may_change_its_own_qos() {
    let (mut world, node) = one_client();
    for (msg_id, qos) in (1..).zip([Qos::Zero, Qos::Two, Qos::One]) {
        let (id, _) = world.subscribe(&node, msg_id, "a", qos);
        assert_eq!(id, FIRST_ID);
        world.deliver(&Down::new("a", b"x").qos2(u64::from(msg_id)));
        let received = world.received(&node);
        match mqtt_sn_gateway::codec::decode(&received[0]).expect("a packet").message {
            Message::Publish(publish) => {
                assert_eq!(publish.qos, qos);
                world.send(&node, pubrec(publish.msg_id));
                world.send(&node, pubcomp(publish.msg_id));
                world.send(&node, puback(0, publish.msg_id, OK));
            }
            other => panic!("unexpected {other:?}"),
        }
        world.received(&node);
        world.up();
    }
}

// Overlapping filters.

/// §24.32: once, with the highest QoS granted. With MQTT 5 each copy says which subscription it is
/// for; they come in any order, alone or together.
#[test]
fn overlapping_filters_deliver_once_with_mqtt_5() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (mut world, a, b) = two_clients();
        let mut ids = [0; 3];
        for (number, name) in ["s/#", "s/+", "s/1"].iter().enumerate() {
            ids[number] = world.subscribe(&a, number as u16 + 1, name, Qos::Zero).1;
        }
        world.subscribe(&b, 1, "s/+", Qos::Zero);
        for _ in 0..3 {
            for number in order {
                world.deliver(&Down::new("s/1", b"x").ids(&[ids[number]]));
            }
        }
        assert_eq!(payloads(&mut world, &a).len(), 3, "{order:?}");
        assert_eq!(payloads(&mut world, &b).len(), 3, "{order:?}");
        world.deliver(&Down::new("s/1", b"x").ids(&ids));
        assert_eq!(payloads(&mut world, &a).len(), 1);
        assert_eq!(payloads(&mut world, &b).len(), 1);
    }
}

/// Copies that the broker could not send before the connection broke come when it is back, however late
/// that is. Meanwhile the client may have left the filter of the first.
#[test]
fn copies_come_late_when_the_broker_was_away() {
    // That it is gone may take a minute to notice. The session that seems to be a new one may be the old
    // one: the CONNACK that began it may be lost.
    for (silent, away, present) in [(0, 1, true), (65, 3_600, true), (0, 3_600, false)] {
        let (mut world, a, b) = two_clients();
        world.send(&a, subscribe(1, "s/#", Qos::Two));
        let (token, _, _, first, _) = world.subscribed();
        world.granted(token, MqttQos::Two);
        world.send(&a, subscribe(2, "s/1", Qos::Two));
        let (token, _, _, second, _) = world.subscribed();
        world.granted(token, MqttQos::Two);
        world.subscribe(&b, 1, "s/+", Qos::Zero);
        world.received(&a);
        world.deliver(&Down::new("s/1", b"x").qos2(1).ids(&[first]));
        assert_eq!(payloads(&mut world, &a).len(), 1);
        world.send(&a, pubrec(1));
        world.send(&a, pubcomp(1));
        world.pass(seconds(silent));
        world.broker_down();
        world.received(&a);
        world.exchange(&a, unsubscribe(3, "s/#"), &[Message::UnsubAck { msg_id: 3 }]);
        for _ in 0..away {
            world.pass(seconds(1));
            world.exchange(&a, PING, &[Message::PingResp]);
        }
        world.broker_up(present);
        world.deliver(&Down::new("s/1", b"x").qos2(2).ids(&[second]));
        world.silence(&a);
        // An equal message that comes after it is another one.
        world.deliver(&Down::new("s/1", b"x").qos2(3).ids(&[second]));
        assert_eq!(payloads(&mut world, &a).len(), 1);
    }
}

/// Plays an MQTT 3.1.1 broker that makes `copies` copies where filters overlap, up to the point
/// where nothing is asked any more.
fn play_old_broker(world: &mut World, copies: usize) {
    for _ in 0..20 {
        for up in world.up() {
            match up {
                Up::Subscribe { token, qos, .. } => world.granted(token, qos),
                Up::Unsubscribe { token, .. } => {
                    world.upstream(UpstreamEvent::Unsubscribed { token });
                }
                Up::Publish { topic, payload, .. } => {
                    for _ in 0..copies {
                        world.deliver(&Down::new(&topic, &payload));
                    }
                }
                Up::Acknowledge(_) | Up::Open(_) | Up::Close { .. } | Up::Forget => {}
            }
        }
        world.pass(std::time::Duration::from_millis(100));
    }
}

#[test]
fn overlapping_filters_deliver_once_with_mqtt_3_whatever_the_broker_does() {
    for copies in [1, 2] {
        let mut world = World::offline(settings());
        world.old_broker_up(false);
        let (a, b) = (device(1), device(2));
        world.connect(&a, "a");
        world.connect(&b, "b");
        for (number, name) in (1..).zip(["s/#", "s/1"]) {
            world.send(&a, subscribe(number, name, Qos::Zero));
            play_old_broker(&mut world, copies);
        }
        assert_eq!(world.received(&a).len(), 2);
        world.exchange(
            &b,
            subscribe(1, "s/1", Qos::Zero),
            &[suback(Qos::Zero, world_id(&b), 1, OK)],
        );
        play_old_broker(&mut world, copies);
        for round in 0..3 {
            for _ in 0..copies {
                world.deliver(&Down::new("s/1", b"x"));
            }
            assert_eq!(payloads(&mut world, &a).len(), 1, "{copies} copies, round {round}");
            assert_eq!(payloads(&mut world, &b).len(), 1, "{copies} copies, round {round}");
        }
    }
}

#[test]
fn wildcards_at_the_first_level_do_not_match_dollar_topics() {
    let (mut world, node) = one_client();
    let (_, id) = world.subscribe(&node, 1, "#", Qos::Zero);
    let (_, sys) = world.subscribe(&node, 2, "$SYS/#", Qos::Zero);
    world.deliver(&Down::new("$SYS/x", b"x").ids(&[sys]));
    assert_eq!(payloads(&mut world, &node).len(), 1);
    world.deliver(&Down::new("$x", b"x").ids(&[id]));
    world.silence(&node);
    assert_eq!(world.dropped(Drop::NoSubscriber), 1);
}
