//! How topics are named to a client, REGISTER from the gateway, and "invalid topic id" (MQTT-SN 1.2
//! §6.5, §6.10).

use mqtt_sn_gateway::codec::{PublishTopic, Qos, SubscribeTopic};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// As it subscribed, else by an id that it knows, else as predefined or short, else by REGISTER.
#[test]
fn the_naming_of_topics() {
    let by = |topic: SubscribeTopic<'static>| {
        let mut world = World::new();
        let node = device(1);
        world.connect(&node, "n1");
        world.subscribe_to(&node, 1, topic, Qos::Zero);
        (world, node)
    };
    let all = SubscribeTopic::Name(b"#");
    let five = SubscribeTopic::Predefined(5);
    let five_by_name = SubscribeTopic::Name(b"predefined/five");
    let short = SubscribeTopic::Short(*b"ab");
    let short_by_name = SubscribeTopic::Name(b"ab");
    for (subscription, name, topic) in [
        (five, "predefined/five", PublishTopic::Predefined(5)),
        (five_by_name, "predefined/five", NORMAL),
        (all, "predefined/five", PublishTopic::Predefined(5)),
        (short, "ab", PublishTopic::Short(*b"ab")),
        (short_by_name, "ab", NORMAL),
        (all, "ab", PublishTopic::Short(*b"ab")),
        (all, "\u{e9}", PublishTopic::Short("\u{e9}".as_bytes().try_into().expect("two octets"))),
    ] {
        let (mut world, node) = by(subscription);
        world.deliver(&Down::new(name, b"x"));
        world.expect(&node, &[publish(topic, Qos::Zero, 0, b"x")]);
    }
    // §24.29 of common practice: one character is not two.
    let (mut world, node) = by(all);
    world.deliver(&Down::new("a", b"x"));
    world.expect(&node, &[announce(FIRST_ID, 1, "a")]);
}

/// §6.10: REGISTER, and PUBLISH after its REGACK.
#[test]
fn an_unknown_topic_is_announced_once() {
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        let (mut world, node) = subscribed_to_all(qos);
        world.deliver(&Down::new("s/1/cmd", b"x").qos2(1));
        world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
        world.send(&node, regack(FIRST_ID, 1, OK));
        let msg_id = u16::from(qos != Qos::Zero);
        world.expect(&node, &[publish(NORMAL, qos, msg_id, b"x")]);
        match qos {
            Qos::One => world.exchange(&node, puback(FIRST_ID, 1, OK), &[]),
            Qos::Two => {
                world.exchange(&node, pubrec(1), &[pubrel(1)]);
                world.exchange(&node, pubcomp(1), &[]);
            }
            _ => {}
        }
        assert_eq!(world.acknowledged(), [1]);
        world.deliver(&Down::new("s/1/cmd", b"y"));
        world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"y")]);
    }
}

#[test]
fn an_id_that_the_client_registered_is_known_to_it() {
    let (mut world, node) = subscribed_to_all(Qos::Zero);
    let id = world.register(&node, 2, "s/1/cmd");
    world.deliver(&Down::new("s/1/cmd", b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x")]);
}

#[test]
fn a_regack_for_something_else_is_no_regack() {
    let (mut world, node) = subscribed_to_all(Qos::Zero);
    world.deliver(&Down::new("s/1/cmd", b"x"));
    world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
    world.exchange(&node, regack(FIRST_ID, 2, OK), &[]);
    world.exchange(&node, regack(FIRST_ID + 1, 1, OK), &[]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[]);
    world.exchange(&node, pubcomp(1), &[]);
    world.send(&node, regack(FIRST_ID, 1, OK));
    world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"x")]);
}

#[test]
fn an_unanswered_register_is_repeated_as_it_was() {
    let (mut world, node) = subscribed_to_all(Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    let register = announce(FIRST_ID, 1, "s/1/cmd");
    world.pass(seconds(35));
    world.expect(&node, &[register; 4]);
    // PUBLISH was never sent, so no DUP.
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish(NORMAL, Qos::One, 1, b"x")]);
}

/// A device without room for another topic says nothing at all; it is there all the same.
#[test]
fn a_device_that_ignores_register_but_lives_loses_that_message_only() {
    let (mut world, node) = subscribed_to_all(Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    world.deliver(&Down::new("ab", b"y").qos1(2));
    for _ in 0..15 {
        world.send(&node, PING);
        world.pass(seconds(9));
    }
    let received = world.received(&node);
    // Four times as patient as with anything else: at QoS 1 it may only have been unlucky.
    assert_eq!(received.len(), 13 + 15 + 1, "REGISTER, PINGRESP, PUBLISH");
    // The broker is not kept waiting for a device that does not answer.
    assert_eq!(world.acknowledged(), [1, 2]);
    assert_eq!((world.stats().lost, world.stats().abandoned), (0, 1));
    assert!(world.notices().iter().any(|notice| notice.starts_with("abandoned: n1 s/1/cmd 1")));
}

/// Heard once and then out of reach is not the same: its message is kept until it comes back.
#[test]
fn a_device_that_fell_silent_during_register_loses_nothing() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Name(b"#"), Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    world.pass(seconds(5));
    world.send(&node, PING);
    // The keep-alive has a tolerance; with it the device is lost at 95 s, without a REGACK before.
    world.pass(seconds(200));
    assert_eq!((world.stats().lost, world.stats().abandoned), (1, 0));
    world.received(&node);
    let register = announce(FIRST_ID, 1, "s/1/cmd");
    world.exchange(&node, connect("n1", false, 60), &[connack(OK), register]);
}

/// The same if its keep-alive has not run out when REGISTER has been repeated enough: it is overdue by then.
#[test]
fn a_device_that_is_overdue_when_register_was_repeated_enough_is_lost() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", false, 100), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Name(b"#"), Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    world.pass(seconds(5));
    world.send(&node, PING);
    // The thirteenth REGISTER goes unanswered at 130 s, the keep-alive ends at 155 s.
    world.pass(seconds(160));
    assert_eq!((world.stats().lost, world.stats().abandoned), (1, 0));
}

/// Zephyr without a free place for a topic: it says nothing to REGISTER, and pings more seldom than
/// that is repeated. It is there all the same, and the next message is for it.
#[test]
fn a_device_that_pings_seldom_is_not_lost_over_a_register() {
    for qos in [Qos::Zero, Qos::One] {
        let (mut world, node) = subscribed_to_all(qos);
        world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
        world.deliver(&Down::new("ab", b"y").qos1(2));
        let mut payloads = Vec::new();
        for step in 0..60 {
            if step % 6 == 0 {
                world.send(&node, PING);
            }
            world.pass(seconds(10));
            payloads = payloads_of(&world.received(&node));
            if !payloads.is_empty() {
                break;
            }
        }
        assert_eq!((world.stats().lost, world.stats().connected), (0, 1));
        assert_eq!(payloads, [b"y"]);
        assert!(world.notices().iter().any(|notice| notice.starts_with("abandoned: n1 s/1/cmd")));
    }
}

/// §6.10: a refused REGISTER counts as unsubscribing from that name; the wildcard stays.
#[test]
fn a_refused_register_ends_that_topic_only() {
    for code in [INVALID_ID, UNSUPPORTED] {
        let (mut world, node) = subscribed_to_all(Qos::One);
        world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
        world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
        // Some put 0 into the topic id of a refusal.
        world.exchange(&node, regack(0, 1, code), &[]);
        assert_eq!(world.acknowledged(), [1]);
        world.deliver(&Down::new("s/1/cmd", b"y").qos1(2));
        world.silence(&node);
        assert_eq!(world.acknowledged(), [2]);
        world.deliver(&Down::new("s/2/cmd", b"z"));
        world.expect(&node, &[announce(FIRST_ID + 1, 3, "s/2/cmd")]);
        world.exchange(
            &node,
            regack(FIRST_ID + 1, 3, OK),
            &[publish(PublishTopic::Normal(FIRST_ID + 1), Qos::Zero, 0, b"z")],
        );
        // If it registers the name itself, it wants it again.
        world.register(&node, 9, "s/1/cmd");
        world.deliver(&Down::new("s/1/cmd", b"y"));
        world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"y")]);
    }
}

/// §6.10, §24.25: the assignment is corrected, and the message sent again.
#[test]
fn invalid_topic_id_leads_to_register_and_the_same_message() {
    for (subscription, name, topic, field) in [
        (SubscribeTopic::Name(b"a/b"), "a/b", NORMAL, FIRST_ID),
        (SubscribeTopic::Predefined(5), "predefined/five", PublishTopic::Predefined(5), 5),
        (SubscribeTopic::Short(*b"ab"), "ab", PublishTopic::Short(*b"ab"), 0x6162),
    ] {
        for qos in [Qos::One, Qos::Two] {
            let mut world = World::new();
            let node = device(1);
            world.connect(&node, "n1");
            world.subscribe_to(&node, 1, subscription, qos);
            world.deliver(&Down::new(name, b"x").qos2(1));
            world.expect(&node, &[publish(topic, qos, 1, b"x")]);
            world.exchange(&node, puback(field, 1, INVALID_ID), &[announce(FIRST_ID, 1, name)]);
            let corrected = again(publish(NORMAL, qos, 1, b"x"));
            world.exchange(&node, regack(FIRST_ID, 1, OK), &[corrected]);
            assert_eq!(world.acknowledged(), [0_u64; 0]);
            // And so from now on.
            let answer = if qos == Qos::One { puback(FIRST_ID, 1, OK) } else { pubrec(1) };
            world.send(&node, answer);
            world.send(&node, pubcomp(1));
            world.received(&node);
            world.deliver(&Down::new(name, b"y"));
            world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"y")]);
        }
    }
}

/// At QoS 0 the message is gone, but the next one comes in a form that the client knows. (RIOT's
/// emcute answers so.)
#[test]
fn invalid_topic_id_at_qos_0_corrects_the_assignment() {
    for (subscription, name, topic, field) in [
        (SubscribeTopic::Name(b"a/b"), "a/b", NORMAL, FIRST_ID),
        (SubscribeTopic::Predefined(5), "predefined/five", PublishTopic::Predefined(5), 5),
        (SubscribeTopic::Name(b"#"), "predefined/five", PublishTopic::Predefined(5), 5),
        (SubscribeTopic::Short(*b"ab"), "ab", PublishTopic::Short(*b"ab"), 0x6162),
        (SubscribeTopic::Name(b"#"), "ab", PublishTopic::Short(*b"ab"), 0x6162),
    ] {
        let mut world = World::new();
        let node = device(1);
        world.connect(&node, "n1");
        world.subscribe_to(&node, 1, subscription, Qos::Zero);
        world.deliver(&Down::new(name, b"x"));
        world.expect(&node, &[publish(topic, Qos::Zero, 0, b"x")]);
        world.exchange(&node, puback(field, 0, INVALID_ID), &[]);
        world.deliver(&Down::new(name, b"y"));
        world.expect(&node, &[announce(FIRST_ID, 1, name)]);
        let corrected = publish(NORMAL, Qos::Zero, 0, b"y");
        world.exchange(&node, regack(FIRST_ID, 1, OK), &[corrected]);
    }
}

#[test]
fn an_unfounded_invalid_topic_id_does_nothing() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "x/#", Qos::Zero);
    for field in [0, 1, 5, 99, FIRST_ID, 0x6162, 0x2323, 0xFFFF] {
        world.exchange(&node, puback(field, 0, INVALID_ID), &[]);
        world.exchange(&node, puback(field, 7, INVALID_ID), &[]);
    }
    assert_eq!(world.gateway.residue()[4], 0, "no topic was made");
}

/// The id is taken back while a PUBLISH under it is in flight: it is announced, not repeated under
/// a name that means nothing, or not at all.
#[test]
fn an_id_taken_back_during_an_exchange_is_announced_anew() {
    let (mut world, node) = subscribed(Qos::One);
    world.deliver(&Down::new("a/b", b"0"));
    world.deliver(&Down::new("a/b", b"1").qos1(1));
    world.received(&node);
    world.exchange(&node, puback(FIRST_ID, 0, INVALID_ID), &[]);
    world.pass(RETRY + seconds(1));
    world.expect(&node, &[announce(FIRST_ID, 1, "a/b")]);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[again(publish(NORMAL, Qos::One, 1, b"1"))]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [1]);
}

#[test]
fn corrections_come_to_an_end() {
    let (mut world, node) = subscribed(Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    for _ in 0..4 {
        world.send(&node, puback(FIRST_ID, 1, INVALID_ID));
        world.send(&node, regack(FIRST_ID, 1, OK));
    }
    assert_eq!((world.acknowledged(), world.stats().abandoned), (vec![1], 1));
    // The next one is tried again.
    world.received(&node);
    world.deliver(&Down::new("a/b", b"y"));
    assert_eq!(world.received(&node).len(), 1);
}
