//! PUBLISH from a client (MQTT-SN 1.2 §6.6, §6.7, §6.8).

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, Token, UpstreamEvent};
use mqtt_sn_gateway::core::{Drop, Limit, Settings};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);
const FIVE: PublishTopic = PublishTopic::Predefined(5);

/// A client that has registered "a/b".
fn connected() -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    assert_eq!(world.register(&node, 1, "a/b"), FIRST_ID);
    (world, node)
}

/// Sends a QoS 1 or 2 publication that goes up, and gives its token.
#[track_caller]
fn goes_up(world: &mut World, node: &Device, topic: PublishTopic, qos: Qos, msg_id: u16) -> Token {
    world.exchange(node, publish(topic, qos, msg_id, b"x"), &[]);
    world.published().0
}

#[test]
fn every_qos_with_every_kind_of_topic() {
    let topics = [
        (NORMAL, FIRST_ID, "a/b"),
        (FIVE, 5, "predefined/five"),
        (PublishTopic::Short(*b"ab"), 0x6162, "ab"),
    ];
    for (topic, field, name) in topics {
        let (mut world, node) = connected();
        world.exchange(&node, publish(topic, Qos::Zero, 0, b"zero"), &[]);
        let (_, qos, retain, up, payload) = world.published();
        assert_eq!(
            (qos, retain, up.as_str(), &*payload),
            (MqttQos::Zero, false, name, &b"zero"[..])
        );

        // QoS 1: PUBACK when the broker has acknowledged, not before (§6.6).
        world.exchange(&node, retained(publish(topic, Qos::One, 2, b"one")), &[]);
        let (token, qos, retain, up, payload) = world.published();
        assert_eq!((qos, retain, up.as_str(), &*payload), (MqttQos::One, true, name, &b"one"[..]));
        world.completed(token);
        world.expect(&node, &[puback(field, 2, OK)]);

        world.exchange(&node, publish(topic, Qos::Two, 3, b"two"), &[]);
        let (token, qos, _, up, _) = world.published();
        assert_eq!((qos, up.as_str()), (MqttQos::Two, name));
        world.received_upstream(token);
        world.expect(&node, &[pubrec(3)]);
        world.exchange(&node, pubrel(3), &[]);
        world.completed(token);
        world.expect(&node, &[pubcomp(3)]);
        assert_eq!(world.gateway.residue()[2], 0, "requests are left over");
    }
}

#[test]
fn the_broker_may_finish_before_pubrel() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, FIVE, Qos::Two, 3);
    world.received_upstream(token);
    world.expect(&node, &[pubrec(3)]);
    world.completed(token);
    world.silence(&node);
    world.exchange(&node, pubrel(3), &[pubcomp(3)]);
}

/// §6.8. Frames V24 and V25.
#[test]
fn qos_minus_one_needs_no_connection_and_gets_no_answer() {
    let mut world = World::new();
    let node = device(1);
    world.send_hex(&node, "08 0C 62 61 62 00 00 31");
    let (_, qos, retain, topic, payload) = world.published();
    assert_eq!((qos, retain, topic.as_str(), &*payload), (MqttQos::Zero, false, "ab", &b"1"[..]));
    world.send_hex(&node, "07 0C 71 00 05 00 00");
    let (_, _, retain, topic, payload) = world.published();
    assert_eq!((retain, topic.as_str(), &*payload), (true, "predefined/five", &b""[..]));
    // A message id means nothing there (§24 of common practice: some send one).
    world.exchange(&node, publish(FIVE, Qos::MinusOne, 7, b"x"), &[]);
    assert_eq!(world.published_topics(), ["predefined/five"]);
    world.silence_everywhere();
    assert_eq!(world.stats().clients, 0);
}

#[test]
fn qos_minus_one_that_cannot_be_is_dropped_and_counted() {
    let mut world = World::new();
    let node = device(1);
    let topics = [
        PublishTopic::Normal(FIRST_ID),
        PublishTopic::Reserved(1),
        PublishTopic::Predefined(99),
        PublishTopic::Short(*b"a#"),
        PublishTopic::Short([b'a', 1]),
        PublishTopic::Short([0xff, 0xff]),
    ];
    for topic in topics {
        world.exchange(&node, publish(topic, Qos::MinusOne, 0, b"x"), &[]);
    }
    assert_eq!((world.up(), world.dropped(Drop::Unauthenticated)), (vec![], 6));
}

#[test]
fn qos_minus_one_can_be_switched_off() {
    let mut world = World::with(Settings { unauthenticated_publish: false, ..settings() });
    world.exchange(&device(1), publish(FIVE, Qos::MinusOne, 0, b"x"), &[]);
    assert_eq!((world.up(), world.dropped(Drop::Unauthenticated)), (vec![], 1));
}

/// §6.6: errors come as PUBACK whatever the QoS.
#[test]
fn what_cannot_be_published_is_refused_by_puback() {
    let table = [
        (PublishTopic::Normal(0x0000), 0x0000, INVALID_ID),
        (PublishTopic::Normal(0xFFFF), 0xFFFF, INVALID_ID),
        (PublishTopic::Normal(FIRST_ID + 1), FIRST_ID + 1, INVALID_ID),
        // A normal id is none of the predefined ones, and the other way round.
        (PublishTopic::Normal(5), 5, INVALID_ID),
        (PublishTopic::Predefined(FIRST_ID), FIRST_ID, INVALID_ID),
        (PublishTopic::Predefined(99), 99, INVALID_ID),
        (PublishTopic::Short(*b"a#"), 0x6123, UNSUPPORTED),
        (PublishTopic::Short(*b"+b"), 0x2B62, UNSUPPORTED),
        (PublishTopic::Short([b'a', 0]), 0x6100, UNSUPPORTED),
        (PublishTopic::Short([b'a', 0x1f]), 0x611F, UNSUPPORTED),
        (PublishTopic::Short([0xC3, 0x28]), 0xC328, UNSUPPORTED),
        (PublishTopic::Reserved(0x11), 0x11, UNSUPPORTED),
    ];
    let (mut world, node) = connected();
    for (topic, field, code) in table {
        world.exchange(&node, publish(topic, Qos::Zero, 0, b"x"), &[puback(field, 0, code)]);
        world.exchange(&node, publish(topic, Qos::One, 2, b"x"), &[puback(field, 2, code)]);
        world.exchange(&node, publish(topic, Qos::Two, 3, b"x"), &[puback(field, 3, code)]);
    }
    assert_eq!(world.up(), []);
    assert_eq!(world.gateway.residue()[2], 0);
}

#[test]
fn a_refused_publication_is_not_remembered() {
    let (mut world, node) = connected();
    let up = publish(PublishTopic::Normal(FIRST_ID + 1), Qos::One, 2, b"x");
    world.exchange(&node, up, &[puback(FIRST_ID + 1, 2, INVALID_ID)]);
    world.register(&node, 3, "c");
    world.exchange(&node, up, &[]);
    assert_eq!(world.published_topics(), ["c"]);
}

#[test]
fn message_id_zero_cannot_be_acknowledged() {
    let (mut world, node) = connected();
    for qos in [Qos::One, Qos::Two] {
        world.exchange(&node, publish(NORMAL, qos, 0, b"x"), &[]);
    }
    assert_eq!((world.up(), world.dropped(Drop::NoMessageId)), (vec![], 2));
}

/// Some devices number QoS 0 too.
#[test]
fn a_message_id_at_qos_0_is_ignored() {
    let (mut world, node) = connected();
    for _ in 0..2 {
        world.exchange(&node, publish(NORMAL, Qos::Zero, 9, b"x"), &[]);
    }
    assert_eq!(world.published_topics(), ["a/b", "a/b"]);
}

/// §6.13 and §24.17: some stacks never set DUP, so content and message id decide.
#[test]
fn a_repetition_is_forwarded_once_with_or_without_dup() {
    for qos in [Qos::One, Qos::Two] {
        for dup in [true, false] {
            let (mut world, node) = connected();
            let token = goes_up(&mut world, &node, NORMAL, qos, 2);
            let repetition = publish(NORMAL, qos, 2, b"x");
            let repetition = if dup { again(repetition) } else { repetition };
            // While the broker is busy with it: nothing, twice.
            world.exchange(&node, repetition, &[]);
            world.pass(seconds(15));
            world.exchange(&node, repetition, &[]);
            let answer = if qos == Qos::Two { pubrec(2) } else { puback(FIRST_ID, 2, OK) };
            if qos == Qos::Two {
                world.received_upstream(token);
            } else {
                world.completed(token);
            }
            world.expect(&node, &[answer]);
            // The answer was lost.
            world.pass(seconds(15));
            world.exchange(&node, repetition, &[answer]);
            world.pass(seconds(15));
            world.exchange(&node, repetition, &[answer]);
            assert_eq!((world.up(), world.stats().duplicates), (vec![], 4));
        }
    }
}

#[test]
fn at_qos_2_a_copy_that_comes_after_the_end_is_not_forwarded() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, NORMAL, Qos::Two, 2);
    world.received_upstream(token);
    world.completed(token);
    world.expect(&node, &[pubrec(2)]);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    // Copies of both, delayed on their way.
    world.exchange(&node, publish(NORMAL, Qos::Two, 2, b"x"), &[pubrec(2)]);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    assert_eq!(world.up(), []);
}

/// §24.16: PUBREL for an unknown id is answered, or the device never comes to an end.
#[test]
fn pubrel_for_an_unknown_id_gets_pubcomp() {
    let (mut world, node) = connected();
    world.exchange(&node, pubrel(77), &[pubcomp(77)]);
}

#[test]
fn pubrel_before_pubrec_waits() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, NORMAL, Qos::Two, 2);
    world.exchange(&node, pubrel(2), &[]);
    assert_eq!(world.dropped(Drop::Unexpected), 1);
    world.received_upstream(token);
    world.expect(&node, &[pubrec(2)]);
}

#[test]
fn another_message_under_a_known_id_is_another_message() {
    for qos in [Qos::One, Qos::Two] {
        let (mut world, node) = connected();
        let token = goes_up(&mut world, &node, NORMAL, qos, 2);
        world.exchange(&node, publish(NORMAL, qos, 2, b"other"), &[]);
        let (other, _, _, _, payload) = world.published();
        assert_eq!(payload, b"other");
        // The device waits for the second, so the answer to the first is none of its business.
        world.received_upstream(token);
        world.completed(token);
        world.silence(&node);
        if qos == Qos::Two {
            world.received_upstream(other);
            world.expect(&node, &[pubrec(2)]);
        } else {
            world.completed(other);
            world.expect(&node, &[puback(FIRST_ID, 2, OK)]);
        }
    }
}

/// A device may use one message id for all it sends: legal once the exchange is over. What it was
/// acknowledged for must not get lost, even if it says the same thing every time.
#[test]
fn a_device_that_uses_one_message_id_for_everything_is_heard() {
    for (qos, period) in [(Qos::One, 5), (Qos::One, 45), (Qos::Two, 5)] {
        let (mut world, node) = connected();
        world.obliging = true;
        world.up();
        for _ in 0..100 {
            world.send(&node, publish(NORMAL, qos, 1, b"alive"));
            if qos == Qos::Two {
                world.send(&node, pubrel(1));
            }
            world.pass(seconds(period));
        }
        world.received(&node);
        let forwarded = world.published_topics().len();
        assert!(forwarded >= 94, "{forwarded} of 100 at {qos:?} every {period} s");
    }
}

#[test]
fn after_other_content_under_one_id_every_message_counts() {
    let (mut world, node) = connected();
    world.obliging = true;
    for data in [&b"1"[..], b"2", b"2", b"2"] {
        world.exchange(&node, publish(NORMAL, Qos::One, 1, data), &[puback(FIRST_ID, 1, OK)]);
    }
    assert_eq!(world.published_topics().len(), 4);
    // With DUP it says itself that it is the same.
    world.exchange(&node, again(publish(NORMAL, Qos::One, 1, b"2")), &[puback(FIRST_ID, 1, OK)]);
    assert_eq!(world.up(), []);
}

#[test]
fn a_reboot_says_nothing_about_how_a_device_numbers() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.exchange(&node, publish(FIVE, Qos::Two, 1, b"before"), &[pubrec(1)]);
    world.exchange(&node, pubrel(1), &[pubcomp(1)]);
    world.pass(seconds(6));
    world.resume(&node, "n1");
    // Ids begin again, with other content.
    world.exchange(&node, publish(FIVE, Qos::Two, 1, b"after"), &[pubrec(1)]);
    world.exchange(&node, pubrel(1), &[pubcomp(1)]);
    // A copy of it, delayed on its way, is still recognised.
    world.exchange(&node, publish(FIVE, Qos::Two, 1, b"after"), &[pubrec(1)]);
    assert_eq!(world.published_topics().len(), 2);
}

#[test]
fn several_publications_may_be_open_and_end_in_any_order() {
    let (mut world, node) = connected();
    let tokens: Vec<Token> =
        (1..=5).map(|msg_id| goes_up(&mut world, &node, NORMAL, Qos::One, msg_id)).collect();
    for number in [3_u16, 1, 5, 2, 4] {
        world.completed(tokens[usize::from(number) - 1]);
        world.expect(&node, &[puback(FIRST_ID, number, OK)]);
    }
}

#[test]
fn the_order_of_a_client_is_kept_on_the_way_up() {
    let (mut world, node) = connected();
    for (number, qos) in [Qos::Zero, Qos::One, Qos::Two, Qos::Zero, Qos::One].iter().enumerate() {
        world.send(&node, publish(NORMAL, *qos, number as u16 + 1, &[number as u8]));
    }
    let payloads: Vec<Vec<u8>> = world
        .up()
        .into_iter()
        .filter_map(|up| match up {
            Up::Publish { payload, .. } => Some(payload),
            _ => None,
        })
        .collect();
    assert_eq!(payloads, [[0], [1], [2], [3], [4]]);
}

#[test]
fn the_brokers_refusal_becomes_a_return_code() {
    for (refusal, code) in [(Refusal::Congestion, CONGESTION), (Refusal::NotSupported, UNSUPPORTED)]
    {
        for qos in [Qos::One, Qos::Two] {
            let (mut world, node) = connected();
            let token = goes_up(&mut world, &node, NORMAL, qos, 2);
            world.refused(token, refusal);
            world.expect(&node, &[puback(FIRST_ID, 2, code)]);
            if code == CONGESTION {
                // Worth another try.
                goes_up(&mut world, &node, NORMAL, qos, 2);
            } else {
                let repetition = again(publish(NORMAL, qos, 2, b"x"));
                world.exchange(&node, repetition, &[puback(FIRST_ID, 2, code)]);
                assert_eq!(world.up(), []);
            }
        }
    }
}

/// After PUBREC there is no way to say no, and nothing to say before PUBREL.
#[test]
fn a_refusal_after_pubrec_ends_the_handshake_in_its_order() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, NORMAL, Qos::Two, 2);
    world.received_upstream(token);
    world.expect(&node, &[pubrec(2)]);
    world.refused(token, Refusal::NotSupported);
    world.silence(&node);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
}

#[test]
fn a_broker_with_a_lower_qos_gets_a_lower_qos() {
    let mut world = World::offline(settings());
    let node = device(1);
    world.upstream(UpstreamEvent::Connected {
        session_present: false,
        subscription_ids: true,
        maximum_qos: MqttQos::One,
    });
    world.connect(&node, "n1");
    world.exchange(&node, publish(FIVE, Qos::Two, 2, b"x"), &[]);
    let (token, qos, ..) = world.published();
    assert_eq!(qos, MqttQos::One);
    world.completed(token);
    world.expect(&node, &[pubrec(2)]);
    world.exchange(&node, again(publish(FIVE, Qos::Two, 2, b"x")), &[pubrec(2)]);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    assert_eq!(world.up(), []);
}

/// The session keeps what it is given while the broker is away; the device hears when it is back.
#[test]
fn a_publication_survives_the_brokers_absence() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, NORMAL, Qos::One, 2);
    world.broker_down();
    let later = goes_up(&mut world, &node, NORMAL, Qos::Two, 3);
    world.broker_up(true);
    world.silence(&node);
    world.completed(token);
    world.received_upstream(later);
    world.expect(&node, &[puback(FIRST_ID, 2, OK), pubrec(3)]);
}

#[test]
fn an_answer_for_a_client_that_has_gone_reaches_nobody() {
    let (mut world, node) = connected();
    let token = goes_up(&mut world, &node, NORMAL, Qos::One, 2);
    world.exchange(&node, BYE, &[BYE]);
    world.connect(&node, "n2");
    world.completed(token);
    world.silence_everywhere();
    assert_eq!(world.gateway.residue()[2], 0);
}

#[test]
fn too_many_open_publications_are_congestion() {
    let (mut world, node) = connected();
    let tokens: Vec<Token> =
        (1..=32).map(|msg_id| goes_up(&mut world, &node, NORMAL, Qos::One, msg_id)).collect();
    let one_more = publish(NORMAL, Qos::One, 33, b"x");
    world.exchange(&node, one_more, &[puback(FIRST_ID, 33, CONGESTION)]);
    assert_eq!(world.limit(Limit::InFlight), 1);
    // QoS 0 is not limited (§6.6).
    world.exchange(&node, publish(NORMAL, Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics().len(), 1);
    world.completed(tokens[0]);
    world.expect(&node, &[puback(FIRST_ID, 1, OK)]);
    world.exchange(&node, one_more, &[]);
    assert_eq!(world.published_topics().len(), 1);
}

/// A device that restarts in the middle of its handshakes leaves them open for good. They must not
/// lock it out.
#[test]
fn handshakes_that_the_device_never_ends_do_not_lock_it_out() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    for msg_id in 1..=200 {
        world.exchange(&node, publish(FIVE, Qos::Two, msg_id, b"x"), &[pubrec(msg_id)]);
        world.pass(seconds(10));
    }
    assert_eq!(world.published_topics().len(), 200);
}

#[test]
fn a_payload_may_be_empty_or_long() {
    let (mut world, node) = connected();
    world.exchange(&node, publish(NORMAL, Qos::Zero, 0, b""), &[]);
    assert_eq!(world.published().4, b"");
    // Frame V45 in its long form, and a much longer one.
    for length in [256, 60_000] {
        let data = vec![0x55; length];
        world.exchange(&node, publish(NORMAL, Qos::One, 5, &data), &[]);
        assert_eq!(world.published().4, data);
    }
}
