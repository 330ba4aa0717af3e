//! SUBSCRIBE and UNSUBSCRIBE (MQTT-SN 1.2 §6.9).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, UpstreamEvent};
use mqtt_sn_gateway::core::{Limit, Settings};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// The table of §6.9: what the SUBACK says by the kind of subscription.
#[test]
fn the_topic_id_of_the_suback() {
    let table = [
        (SubscribeTopic::Name(b"s/1/cmd"), FIRST_ID, "s/1/cmd"),
        (SubscribeTopic::Name(b"s/+/cmd"), 0, "s/+/cmd"),
        (SubscribeTopic::Name(b"#"), 0, "#"),
        (SubscribeTopic::Predefined(5), 5, "predefined/five"),
        (SubscribeTopic::Short(*b"ab"), 0x6162, "ab"),
    ];
    for (topic, id, filter) in table {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            let (mut world, node) = one_client();
            world.exchange(&node, subscribe_to(6, topic, qos), &[]);
            let (token, asked, requested, _, retained) = world.subscribed();
            assert_eq!((asked.as_str(), retained), (filter, true));
            // The SUBACK waits for the broker's.
            world.silence(&node);
            world.granted(token, requested);
            world.expect(&node, &[suback(qos, id, 6, OK)]);
        }
    }
}

#[test]
fn frames_of_the_specification() {
    let (mut world, node) = one_client();
    world.obliging = true;
    for (request, answer) in [
        ("0C 12 20 00 05 73 2F 2B 2F 63 6D 64", "08 13 20 00 00 00 05 00"),
        ("07 12 41 00 06 00 05", "08 13 40 00 05 00 06 00"),
        ("07 12 02 00 07 61 62", "08 13 00 61 62 00 07 00"),
        ("0C 14 00 00 08 73 2F 2B 2F 63 6D 64", "04 15 00 08"),
        // Stray flag bits and octets behind the id, as asymcute sends them.
        ("07 12 9D 00 09 00 05", "08 13 00 00 05 00 09 00"),
        ("0A 12 01 00 0A 00 05 61 62 63", "08 13 00 00 05 00 0A 00"),
    ] {
        world.send_hex(&node, request);
        world.expect_hex(&node, &[answer]);
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_refused() {
    let deep = ["+"; 65].join("/");
    let bad: [(SubscribeTopic<'_>, _); 16] = [
        (SubscribeTopic::Name(b""), UNSUPPORTED),
        (SubscribeTopic::Name(b"a#"), UNSUPPORTED),
        (SubscribeTopic::Name(b"a/#/b"), UNSUPPORTED),
        (SubscribeTopic::Name(b"a+/b"), UNSUPPORTED),
        (SubscribeTopic::Name(b"\xC3\x28"), UNSUPPORTED),
        (SubscribeTopic::Name(b"a\0"), UNSUPPORTED),
        (SubscribeTopic::Name(b"a\x07/#"), UNSUPPORTED),
        (SubscribeTopic::Name("\u{ffff}".as_bytes()), UNSUPPORTED),
        (SubscribeTopic::Name(b"$share/g/a"), UNSUPPORTED),
        (SubscribeTopic::Name(b"$share"), UNSUPPORTED),
        (SubscribeTopic::Name(deep.as_bytes()), UNSUPPORTED),
        (SubscribeTopic::Short(*b"a#"), UNSUPPORTED),
        (SubscribeTopic::Short(*b"#\0"), UNSUPPORTED),
        (SubscribeTopic::Reserved, UNSUPPORTED),
        (SubscribeTopic::Predefined(99), INVALID_ID),
        (SubscribeTopic::Predefined(0), INVALID_ID),
    ];
    let (mut world, node) = one_client();
    for (topic, code) in bad {
        world.exchange(&node, subscribe_to(9, topic, Qos::One), &[suback(Qos::Zero, 0, 9, code)]);
    }
    let qos3 = subscribe(9, "a", Qos::MinusOne);
    world.exchange(&node, qos3, &[suback(Qos::Zero, 0, 9, UNSUPPORTED)]);
    assert_eq!((world.up(), world.gateway.residue()[1]), (vec![], 0));
    // And the client carries on.
    world.subscribe(&node, 10, &deep[2..], Qos::One);
}

#[test]
fn the_grant_is_the_lower_of_request_and_brokers_grant() {
    let (mut world, node) = one_client();
    world.exchange(&node, subscribe(1, "a", Qos::Two), &[]);
    let token = world.subscribed().0;
    world.granted(token, MqttQos::One);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.exchange(&node, subscribe(2, "b", Qos::Zero), &[]);
    let token = world.subscribed().0;
    world.granted(token, MqttQos::Two);
    world.expect(&node, &[suback(Qos::Zero, FIRST_ID + 1, 2, OK)]);
}

#[test]
fn the_brokers_refusal_is_the_clients() {
    for (refusal, code) in [(Refusal::Congestion, CONGESTION), (Refusal::NotSupported, UNSUPPORTED)]
    {
        let (mut world, node) = one_client();
        world.exchange(&node, subscribe(1, "a", Qos::Zero), &[]);
        let token = world.subscribed().0;
        world.not_granted(token, refusal);
        world.expect(&node, &[suback(Qos::Zero, 0, 1, code)]);
        assert_eq!((world.up(), world.gateway.residue()[1]), (vec![], 0));
        world.deliver(&Down::new("a", b"x"));
        world.silence(&node);
        // The next attempt is a new one, with the same message id too.
        world.exchange(&node, subscribe(1, "a", Qos::Zero), &[]);
        world.subscribed();
    }
}

/// §24.34 of common practice: the answer from memory, so that retained messages do not come twice.
#[test]
fn a_repeated_subscribe_is_answered_and_not_done_again() {
    let (mut world, node) = one_client();
    let request = subscribe(1, "a", Qos::One);
    world.exchange(&node, request, &[]);
    let token = world.subscribed().0;
    world.pass(seconds(10));
    world.exchange(&node, request, &[]);
    assert_eq!(world.up(), []);
    world.granted(token, MqttQos::One);
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    for _ in 0..2 {
        world.pass(seconds(15));
        world.exchange(&node, request, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    }
    assert_eq!((world.up(), world.stats().duplicates), (vec![], 3));
    let bye = unsubscribe(2, "a");
    world.exchange(&node, bye, &[unsuback(2)]);
    world.unsubscribed();
    world.exchange(&node, bye, &[unsuback(2)]);
    assert_eq!(world.up(), []);
}

#[test]
fn a_message_id_with_other_content_is_another_request() {
    let (mut world, node) = one_client();
    world.obliging = true;
    let id = |number| FIRST_ID + number;
    world.exchange(&node, subscribe(1, "a", Qos::One), &[suback(Qos::One, id(0), 1, OK)]);
    world.exchange(&node, subscribe(1, "b", Qos::One), &[suback(Qos::One, id(1), 1, OK)]);
    world.exchange(&node, unsubscribe(1, "b"), &[unsuback(1)]);
    world.exchange(&node, subscribe(1, "b", Qos::One), &[suback(Qos::One, id(1), 1, OK)]);
    world.deliver(&Down::new("b", b"x"));
    assert_eq!(payloads(&mut world, &node).len(), 1);
}

/// A device reads one packet at a time: what a subscription brings comes after its SUBACK.
#[test]
fn suback_comes_before_what_the_subscription_brings() {
    let (mut world, node) = one_client();
    world.exchange(&node, subscribe(1, "a", Qos::One), &[]);
    let (token, _, _, id, _) = world.subscribed();
    world.deliver(&Down::new("a", b"old").retained().ids(&[id]));
    world.deliver(&Down::new("a", b"new").ids(&[id]).qos1(3));
    world.silence(&node);
    world.granted(token, MqttQos::One);
    world.expect(
        &node,
        &[
            suback(Qos::One, FIRST_ID, 1, OK),
            retained(publish(NORMAL, Qos::Zero, 0, b"old")),
            publish(NORMAL, Qos::One, 1, b"new"),
        ],
    );
}

#[test]
fn several_subscribes_may_be_open() {
    let (mut world, node) = one_client();
    let names: Vec<String> = (1..=33).map(|number| format!("a/{number}")).collect();
    let mut tokens = Vec::new();
    for (number, name) in (1..).zip(&names[..32]) {
        world.exchange(&node, subscribe(number, name, Qos::Zero), &[]);
        tokens.push(world.subscribed().0);
    }
    let one_more = subscribe(33, &names[32], Qos::Zero);
    world.exchange(&node, one_more, &[suback(Qos::Zero, 0, 33, CONGESTION)]);
    assert_eq!(world.limit(Limit::InFlight), 1);
    for (number, token) in (0..32).zip(&tokens).rev() {
        world.granted(*token, MqttQos::Zero);
        world.expect(&node, &[suback(Qos::Zero, FIRST_ID + number, number + 1, OK)]);
    }
    world.exchange(&node, one_more, &[]);
    assert_eq!(world.up().len(), 1);
}

// UNSUBSCRIBE.

#[test]
fn unsubscribe_ends_delivery_and_the_last_one_the_subscription() {
    let kinds = [SubscribeTopic::Name(b"predefined/five"), SubscribeTopic::Predefined(5)];
    for topic in kinds {
        let (mut world, a, b) = two_clients();
        world.subscribe_to(&a, 1, topic, Qos::Zero);
        world.subscribe_to(&b, 1, topic, Qos::Zero);
        world.exchange(&a, Message::Unsubscribe { msg_id: 2, topic }, &[unsuback(2)]);
        assert_eq!(world.up(), []);
        world.deliver(&Down::new("predefined/five", b"x"));
        world.silence(&a);
        assert_eq!(payloads(&mut world, &b).len(), 1);
        world.exchange(&b, Message::Unsubscribe { msg_id: 2, topic }, &[unsuback(2)]);
        let (token, filter) = world.unsubscribed();
        assert_eq!(filter, "predefined/five");
        world.upstream(UpstreamEvent::Unsubscribed { token });
        assert_eq!(world.gateway.residue()[1..3], [0, 0]);
    }
}

/// §6.9: UNSUBACK always; it cannot say no.
#[test]
fn unsubscribe_is_always_acknowledged() {
    let (mut world, node) = one_client();
    let nothing = [
        SubscribeTopic::Name(b"a"),
        SubscribeTopic::Name(b""),
        SubscribeTopic::Name(b"#/a"),
        SubscribeTopic::Name(b"\xff"),
        SubscribeTopic::Predefined(99),
        SubscribeTopic::Short(*b"zz"),
        SubscribeTopic::Reserved,
    ];
    for topic in nothing {
        world.exchange(&node, Message::Unsubscribe { msg_id: 3, topic }, &[unsuback(3)]);
    }
    assert_eq!(world.up(), []);
}

#[test]
fn the_id_stays_after_unsubscribe() {
    let (mut world, node) = one_client();
    world.obliging = true;
    world.exchange(&node, subscribe(1, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 1, OK)]);
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    world.up();
    world.exchange(&node, publish(NORMAL, Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["a"]);
    world.exchange(&node, subscribe(3, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 3, OK)]);
}

#[test]
fn too_many_subscriptions_are_congestion() {
    let mut world = World::with(Settings { max_subscriptions_per_client: 2, ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a", Qos::Zero);
    world.subscribe(&node, 2, "b/#", Qos::Zero);
    world.exchange(&node, subscribe(3, "c", Qos::Zero), &[suback(Qos::Zero, 0, 3, CONGESTION)]);
    assert_eq!(world.limit(Limit::Subscriptions), 1);
    // What it has it may change.
    world.subscribe(&node, 4, "a", Qos::One);
    world.exchange(&node, unsubscribe(5, "a"), &[unsuback(5)]);
    world.up();
    world.subscribe(&node, 6, "c", Qos::Zero);
}
