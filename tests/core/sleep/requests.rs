//! Requests of sleeping devices. §6.14 would rather have them connect first; they are answered all
//! the same (§24.39 of common practice): who asks is listening.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, WillTopic};
use mqtt_sn_gateway::core::upstream::MqttQos;

use super::{AB, connect_willed, deliver_one_each, one, sleeper};
use crate::harness::*;

const FIVE: PublishTopic = PublishTopic::Predefined(5);

/// It sleeps on: a message waits, and comes with PINGREQ.
#[track_caller]
fn assert_asleep(world: &mut World, node: &Device) {
    world.up();
    world.deliver(&Down::new("ab", b"later").qos1(77));
    world.silence(node);
    assert_eq!((world.stats().connected, world.stats().asleep), (0, 1));
    assert_eq!(world.collect(node, wake("n1"), PONG), [b"later"]);
    world.up();
}

#[test]
fn publish_of_every_qos() {
    let (mut world, node) = sleeper(Qos::One, 600);
    world.exchange(&node, publish(FIVE, Qos::Zero, 0, b"0"), &[]);
    assert_eq!(world.published().4, b"0");
    assert_asleep(&mut world, &node);

    world.exchange(&node, publish(FIVE, Qos::One, 1, b"1"), &[]);
    let (token, ..) = world.published();
    world.completed(token);
    world.expect(&node, &[puback(5, 1, OK)]);
    assert_asleep(&mut world, &node);

    world.exchange(&node, publish(FIVE, Qos::Two, 2, b"2"), &[]);
    let (token, ..) = world.published();
    world.received_upstream(token);
    world.expect(&node, &[pubrec(2)]);
    world.completed(token);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    assert_asleep(&mut world, &node);

    world.exchange(&node, publish(FIVE, Qos::MinusOne, 0, b"-1"), &[]);
    assert_eq!(world.published().4, b"-1");
    let unknown = publish(PublishTopic::Normal(999), Qos::Zero, 0, b"x");
    world.exchange(&node, unknown, &[puback(999, 0, INVALID_ID)]);
    assert_asleep(&mut world, &node);
}

#[test]
fn register() {
    let (mut world, node) = sleeper(Qos::One, 600);
    let id = world.register(&node, 1, "own");
    assert_eq!(world.register(&node, 2, "own"), id);
    world.exchange(&node, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["own"]);
    assert_asleep(&mut world, &node);
}

#[test]
fn subscribe_and_unsubscribe() {
    let (mut world, node) = sleeper(Qos::One, 600);
    let (id, _) = world.subscribe(&node, 1, "cmd", Qos::One);
    world.deliver(&Down::new("cmd", b"x").qos1(1));
    world.silence(&node);
    world.exchange(&node, wake("n1"), &[publish(PublishTopic::Normal(id), Qos::One, 1, b"x")]);
    world.exchange(&node, puback(id, 1, OK), &[PONG]);
    world.exchange(&node, unsubscribe(2, "cmd"), &[unsuback(2)]);
    world.up();
    world.deliver(&Down::new("cmd", b"x").qos1(2));
    world.exchange(&node, wake("n1"), &[PONG]);
    assert_asleep(&mut world, &node);
}

/// Retained messages of a new subscription are messages like others: they wait for the window.
#[test]
fn retained_messages_wait_for_the_window() {
    let (mut world, node) = sleeper(Qos::One, 600);
    let (id, subscription) = world.subscribe(&node, 1, "cmd", Qos::One);
    world.deliver(&Down::new("cmd", b"old").qos1(1).retained().ids(&[subscription]));
    world.silence(&node);
    let old = retained(publish(PublishTopic::Normal(id), Qos::One, 1, b"old"));
    world.exchange(&node, wake("n1"), &[old]);
    world.exchange(&node, puback(id, 1, OK), &[PONG]);
}

#[test]
fn updates_of_the_will() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, true, 60);
    world.sleep(&node, 600);
    let will = WillTopic { qos: Qos::One, retain: true, topic: b"new" };
    let topic = Message::WillTopicUpd(Some(will));
    world.exchange(&node, topic, &[Message::WillTopicResp { code: OK }]);
    let message = Message::WillMsgUpd { message: b"bye" };
    world.exchange(&node, message, &[Message::WillMsgResp { code: OK }]);
    world.pass(seconds(901));
    let (_, qos, retain, topic, payload) = world.published();
    assert_eq!((qos, retain, &*topic, &*payload), (MqttQos::One, true, "new", &b"bye"[..]));

    connect_willed(&mut world, &node, true, 60);
    world.sleep(&node, 600);
    let deletion = Message::WillTopicUpd(None);
    world.exchange(&node, deletion, &[Message::WillTopicResp { code: OK }]);
    world.pass(seconds(901));
    assert_eq!((world.up(), world.stats().lost), (vec![], 2));
}

/// Answers of the broker to what was asked before the sleep would wake nobody: they are kept for
/// the repetition of the request.
#[test]
fn answers_to_requests_before_the_sleep_are_not_sent() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let first = publish(FIVE, Qos::One, 1, b"1");
    let second = publish(FIVE, Qos::Two, 2, b"2");
    world.exchange(&node, first, &[]);
    let (one, ..) = world.published();
    world.exchange(&node, second, &[]);
    let (two, ..) = world.published();
    world.exchange(&node, subscribe(3, "a", Qos::Zero), &[]);
    let (three, ..) = world.subscribed();
    world.sleep(&node, 600);
    world.completed(one);
    world.received_upstream(two);
    world.granted(three, MqttQos::Zero);
    world.pass(seconds(30));
    world.silence(&node);
    // Not in the window either, whose end is PINGRESP.
    world.exchange(&node, wake("n1"), &[PONG]);
    // It asks again, asleep or connected.
    world.exchange(&node, again(first), &[puback(5, 1, OK)]);
    world.exchange(&node, again(second), &[pubrec(2)]);
    world.exchange(&node, subscribe(3, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 3, OK)]);
    assert_eq!(world.up(), []);
}

/// The same, and the device repeats itself before the broker has answered.
#[test]
fn a_repetition_is_answered_when_the_broker_answers() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let first = publish(FIVE, Qos::One, 1, b"1");
    world.exchange(&node, first, &[]);
    let (token, ..) = world.published();
    world.sleep(&node, 600);
    world.exchange(&node, again(first), &[]);
    assert_eq!(world.up(), [], "forwarded once");
    world.completed(token);
    // It has asked as a sleeper and listens; if not now, then with its next repetition.
    if world.received(&node).is_empty() {
        world.exchange(&node, again(first), &[puback(5, 1, OK)]);
    }
}

/// A SUBSCRIBE that waits for the broker must not hold a window open for ever.
#[test]
fn a_subscribe_that_waits_for_the_broker_does_not_keep_its_device_awake() {
    for broker_answers in [true, false] {
        let (mut world, node) = sleeper(Qos::One, 600);
        deliver_one_each(&mut world, &[b"1"]);
        world.exchange(&node, subscribe(9, "slow", Qos::Zero), &[]);
        let (token, ..) = world.subscribed();
        world.send(&node, wake("n1"));
        if broker_answers {
            world.granted(token, MqttQos::Zero);
        }
        let mut frames = Vec::new();
        for _ in 0..20 {
            frames.extend(world.drain(&node));
            if frames.last() == Some(&hex("02 17")) {
                break;
            }
            // As a device does whose PINGRESP does not come.
            world.pass(seconds(10));
            world.send(&node, wake("n1"));
        }
        assert_eq!(frames.last(), Some(&hex("02 17")), "broker answers: {broker_answers}");
        if broker_answers {
            assert_eq!(payloads_of(&frames), [b"1"]);
        }
        // Nor may it keep the record for ever.
        world.pass(seconds(3_600));
        assert_eq!((world.stats().clients, world.stats().asleep), (0, 0));
    }
}

/// PUBLISH of a sleeper while one for it is buffered, under the same message id.
#[test]
fn both_directions_are_apart() {
    let (mut world, node) = sleeper(Qos::One, 600);
    deliver_one_each(&mut world, &[b"down"]);
    world.exchange(&node, publish(AB, Qos::One, 1, b"up"), &[]);
    let (token, ..) = world.published();
    world.exchange(&node, wake("n1"), &[one(1, b"down")]);
    world.completed(token);
    world.expect(&node, &[puback(0x6162, 1, OK)]);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);
}

/// A device that publishes and goes to sleep at once, again and again, the acknowledgement too late
/// every time: forwarded once.
#[test]
fn a_publish_repeated_at_every_waking_is_forwarded_once() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let up = publish(FIVE, Qos::Two, 1, b"x");
    world.exchange(&node, up, &[]);
    let (token, ..) = world.published();
    world.sleep(&node, 3_600);
    world.received_upstream(token);
    for _ in 0..3 {
        world.pass(seconds(300));
        world.exchange(&node, again(up), &[pubrec(1)]);
        world.sleep(&node, 3_600);
    }
    world.completed(token);
    world.pass(seconds(300));
    world.exchange(&node, pubrel(1), &[pubcomp(1)]);
    assert_eq!(world.up(), []);
}

/// SUBSCRIBE by the short form and by predefined id, from a sleeper too.
#[test]
fn subscriptions_of_every_kind() {
    let (mut world, node) = sleeper(Qos::One, 600);
    for (msg_id, topic, id) in [
        (1, SubscribeTopic::Short(*b"cd"), 0x6364),
        (2, SubscribeTopic::Predefined(5), 5),
        (3, SubscribeTopic::Name(b"x/#"), 0),
    ] {
        assert_eq!(world.subscribe_to(&node, msg_id, topic, Qos::Zero).0, id);
    }
    let unknown = subscribe_to(4, SubscribeTopic::Predefined(99), Qos::Zero);
    world.exchange(&node, unknown, &[suback(Qos::Zero, 0, 4, INVALID_ID)]);
    assert_asleep(&mut world, &node);
}
