//! SUBSCRIBE and UNSUBSCRIBE (MQTT-SN 1.2 §6.9), and what becomes of them at the broker.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent};
use mqtt_sn_gateway::core::{Drop, Limit, Settings};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

fn one_client() -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    (world, node)
}

/// Two clients, connected.
fn two_clients() -> (World, Device, Device) {
    let (mut world, a) = one_client();
    let b = device(2);
    world.connect(&b, "n2");
    (world, a, b)
}

/// Payloads and retain flags of the PUBLISH messages a device received; acknowledges what needs it.
#[track_caller]
fn payloads(world: &mut World, node: &Device) -> Vec<(Vec<u8>, bool)> {
    let mut found = Vec::new();
    loop {
        let received = world.received(node);
        if received.is_empty() {
            return found;
        }
        for bytes in received {
            match mqtt_sn_gateway::codec::decode(&bytes).expect("a packet").message {
                Message::Publish(publish) => {
                    found.push((publish.data.to_vec(), publish.retain));
                    if publish.qos > Qos::Zero {
                        let msg_id = publish.msg_id;
                        world.send(node, pubrec(msg_id));
                        world.send(node, puback(0, msg_id, OK));
                    }
                }
                Message::Register { topic_id, msg_id, .. } => {
                    world.send(node, regack(topic_id, msg_id, OK));
                }
                Message::PubRel { msg_id } => world.send(node, pubcomp(msg_id)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

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

// One subscription at the broker for all clients of a filter.

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

/// The first id of the second client: sessions do not begin at the same one.
fn world_id(_second: &Device) -> u16 {
    FIRST_ID + 8
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
                Up::Acknowledge(_) => {}
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

// Broker and clients come and go.

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

#[test]
fn a_lost_session_has_nothing_to_give_back() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "a", Qos::One);
    world.broker_down();
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    world.broker_up(false);
    assert_eq!(world.up(), []);
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
