//! PUBLISH to a client (MQTT-SN 1.2 §6.10).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::{Limit, LinkSettings, Settings};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

#[test]
fn every_qos_by_the_id_of_the_suback() {
    let (mut world, node) = subscribed(Qos::Two);
    world.deliver(&Down::new("a/b", b"zero"));
    world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"zero")]);

    world.deliver(&Down::new("a/b", b"one").qos1(1));
    world.expect(&node, &[publish(NORMAL, Qos::One, 1, b"one")]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [1]);

    world.deliver(&Down::new("a/b", b"two").qos2(2));
    world.expect(&node, &[publish(NORMAL, Qos::Two, 2, b"two")]);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.exchange(&node, pubcomp(2), &[]);
    assert_eq!(world.acknowledged(), [2]);
    assert_eq!(world.stats().buffered, 0);
}

/// §6.10: the lower of the message's QoS and what was granted.
#[test]
fn the_lower_of_message_and_grant() {
    for (granted, qos) in [(Qos::Zero, Qos::Zero), (Qos::One, Qos::One), (Qos::Two, Qos::Two)] {
        let (mut world, node) = subscribed(granted);
        world.deliver(&Down::new("a/b", b"x").qos2(1));
        let msg_id = u16::from(granted != Qos::Zero);
        world.expect(&node, &[publish(NORMAL, qos, msg_id, b"x")]);
    }
}

/// One exchange at a time, in order, QoS 0 included.
#[test]
fn one_in_flight_and_the_order_is_kept() {
    let (mut world, node) = subscribed(Qos::Two);
    world.deliver(&Down::new("a/b", b"1").qos1(1));
    world.deliver(&Down::new("a/b", b"2"));
    world.deliver(&Down::new("a/b", b"3").qos2(3));
    world.deliver(&Down::new("a/b", b"4"));
    world.expect(&node, &[publish(NORMAL, Qos::One, 1, b"1")]);
    let (two, three) = (publish(NORMAL, Qos::Zero, 0, b"2"), publish(NORMAL, Qos::Two, 2, b"3"));
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[two, three]);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    world.exchange(&node, pubcomp(2), &[publish(NORMAL, Qos::Zero, 0, b"4")]);
}

/// §6.13, §24.10: the same message id, DUP from the second time on, then the client is lost.
#[test]
fn an_unanswered_publish_is_repeated_with_dup_and_the_client_lost() {
    let (mut world, node) = subscribed(Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    let first = publish(NORMAL, Qos::One, 1, b"x");
    world.expect(&node, &[first]);
    for _ in 0..3 {
        world.pass(RETRY + seconds(1));
        world.expect(&node, &[again(first)]);
    }
    assert_eq!(world.stats().retransmissions, 3);
    world.pass(RETRY);
    world.silence(&node);
    // The session was clean, so the message went with it.
    assert_eq!((world.stats().lost, world.stats().clients), (1, 0));
    assert!(matches!(&*world.up(), [Up::Acknowledge(_), Up::Unsubscribe { .. }]));
}

#[test]
fn an_unanswered_pubrel_is_repeated() {
    let (mut world, node) = subscribed(Qos::Two);
    world.deliver(&Down::new("a/b", b"x").qos2(1));
    world.expect(&node, &[publish(NORMAL, Qos::Two, 1, b"x")]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    // PUBREC again, delayed on its way or because the PUBREL was lost.
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(RETRY + seconds(1));
    world.expect(&node, &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.acknowledged(), [1]);
    world.pass(seconds(600));
    world.silence(&node);
}

/// T_WAIT (§7.2): five minutes.
#[test]
fn congestion_of_the_client_pauses_delivery_to_it() {
    for register in [true, false] {
        let (mut world, node) = subscribed_to_all(Qos::One);
        let name = if register { "s/1/cmd" } else { "ab" };
        world.deliver(&Down::new(name, b"x").qos1(1));
        world.received(&node);
        let refusal =
            if register { regack(FIRST_ID, 1, CONGESTION) } else { puback(0x6162, 1, CONGESTION) };
        world.exchange(&node, refusal, &[]);
        world.deliver(&Down::new("cd", b"y"));
        world.pass(seconds(299));
        world.silence(&node);
        world.pass(seconds(2));
        if register {
            world.expect(&node, &[announce(FIRST_ID, 1, "s/1/cmd")]);
            world.send(&node, regack(FIRST_ID, 1, OK));
            world.expect(&node, &[publish(NORMAL, Qos::One, 1, b"x")]);
        } else {
            let short = PublishTopic::Short(*b"ab");
            world.expect(&node, &[again(publish(short, Qos::One, 1, b"x"))]);
        }
        let last = publish(PublishTopic::Short(*b"cd"), Qos::Zero, 0, b"y");
        world.exchange(&node, puback(0, 1, OK), &[last]);
    }
}

/// A client that asks for a pause and then goes on talking about the same message. (Its timer must
/// not fire for ever.)
#[test]
fn answers_during_a_pause_do_no_harm() {
    let (mut world, node) = subscribed_to_all(Qos::Two);
    world.deliver(&Down::new("ab", b"x").qos2(1));
    world.received(&node);
    world.exchange(&node, puback(0x6162, 1, CONGESTION), &[]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(seconds(200));
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.acknowledged(), [1]);

    let (mut world, node) = subscribed_to_all(Qos::One);
    world.deliver(&Down::new("s/1/cmd", b"x").qos1(1));
    world.received(&node);
    world.exchange(&node, regack(FIRST_ID, 1, CONGESTION), &[]);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish(NORMAL, Qos::One, 1, b"x")]);
    world.pass(seconds(200));
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [1]);
}

/// §24.26: "not supported" means never.
#[test]
fn a_rejected_message_is_given_up_and_said() {
    for qos in [Qos::One, Qos::Two] {
        let (mut world, node) = subscribed(qos);
        world.deliver(&Down::new("a/b", b"x").qos2(1));
        world.received(&node);
        world.notices();
        world.exchange(&node, puback(FIRST_ID, 1, UNSUPPORTED), &[]);
        assert_eq!((world.acknowledged(), world.stats().abandoned), (vec![1], 1));
        assert_eq!(world.notices().len(), 1);
    }
}

#[test]
fn puback_is_matched_by_message_id() {
    let (mut world, node) = subscribed(Qos::Two);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.received(&node);
    world.exchange(&node, puback(FIRST_ID, 2, OK), &[]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    // Some put 0 into the topic id.
    world.exchange(&node, puback(0, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [1]);
    // At QoS 2 PUBACK is no acknowledgement.
    world.deliver(&Down::new("a/b", b"x").qos2(2));
    world.received(&node);
    world.exchange(&node, puback(FIRST_ID, 2, OK), &[]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
}

/// §24.16: the client gets to its end as well.
#[test]
fn pubrec_for_an_unknown_id_gets_pubrel() {
    let (mut world, node) = subscribed(Qos::Two);
    world.exchange(&node, pubrec(9), &[pubrel(9)]);
    world.exchange(&node, pubcomp(9), &[]);
}

/// The broker is acknowledged when everybody who is there has acknowledged, whatever the order.
#[test]
fn the_brokers_acknowledgement_waits_for_every_recipient() {
    let mut world = World::new();
    let nodes = [device(1), device(2), device(3)];
    for ((node, id), qos) in nodes.iter().zip(["a", "b", "c"]).zip([Qos::Zero, Qos::One, Qos::Two])
    {
        world.connect(node, id);
        world.subscribe(node, 1, "a/b", qos);
    }
    world.deliver(&Down::new("a/b", b"x").qos2(9));
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.send(&nodes[2], pubrec(1));
    world.send(&nodes[2], pubcomp(1));
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.send(&nodes[1], puback(FIRST_ID, 1, OK));
    assert_eq!(world.acknowledged(), [9]);
    assert_eq!(world.gateway.residue()[3], 0);
}

#[test]
fn a_recipient_that_leaves_is_not_waited_for() {
    for clean in [true, false] {
        let mut world = World::new();
        let (a, b) = (device(1), device(2));
        world.exchange(&a, connect("a", clean, 3_600), &[connack(OK)]);
        world.connect(&b, "b");
        world.subscribe(&a, 1, "a/b", Qos::One);
        world.subscribe(&b, 1, "a/b", Qos::One);
        for delivery in [1, 2] {
            world.deliver(&Down::new("a/b", b"x").qos1(delivery));
        }
        world.send(&a, BYE);
        world.send(&b, puback(FIRST_ID, 1, OK));
        assert_eq!(world.acknowledged(), [1]);
        world.send(&b, puback(FIRST_ID, 2, OK));
        assert_eq!(world.acknowledged(), [2]);
        assert_eq!(world.gateway.residue()[3], if clean { 0 } else { 2 });
    }
}

/// The other way round: the one that stays has acknowledged, the last one leaves.
#[test]
fn the_last_recipient_acknowledges_by_leaving() {
    for clean in [true, false] {
        let mut world = World::new();
        let (a, b) = (device(1), device(2));
        world.exchange(&a, connect("a", clean, 3_600), &[connack(OK)]);
        world.connect(&b, "b");
        world.subscribe(&a, 1, "a/b", Qos::Two);
        world.subscribe(&b, 1, "a/b", Qos::Two);
        world.deliver(&Down::new("a/b", b"x").qos1(1));
        world.send(&b, puback(FIRST_ID, 1, OK));
        assert_eq!(world.acknowledged(), [0_u64; 0]);
        world.send(&a, BYE);
        assert_eq!(world.acknowledged(), [1]);
    }
}

#[test]
fn nobody_to_deliver_to_is_acknowledged_at_once() {
    let mut world = World::new();
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    assert_eq!(world.acknowledged(), [1]);
}

#[test]
fn a_client_that_is_away_is_not_waited_for_and_gets_it_later() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.exchange(&node, BYE, &[BYE]);
    world.deliver(&Down::new("a/b", b"zero"));
    world.deliver(&Down::new("a/b", b"one").qos1(1));
    world.deliver(&Down::new("a/b", b"two").qos2(2));
    assert_eq!((world.acknowledged(), world.stats().buffered), (vec![1, 2], 2));
    world.silence_everywhere();
    let resumed = [connack(OK), announce(FIRST_ID, 1, "a/b")];
    world.exchange(&node, connect("n1", false, 3_600), &resumed);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish(NORMAL, Qos::One, 1, b"one")]);
    let two = publish(NORMAL, Qos::Two, 2, b"two");
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[two]);
    world.exchange(&node, pubrec(2), &[pubrel(2)]);
    world.exchange(&node, pubcomp(2), &[]);
    assert_eq!((world.up(), world.stats().buffered), (vec![], 0));
}

/// QoS 2 over a loss of the client: with PUBREC it has the message, without it gets it once more.
#[test]
fn an_exchange_in_flight_goes_on_after_a_reconnection() {
    for received in [false, true] {
        let mut world = World::new();
        let node = device(1);
        world.resume(&node, "n1");
        world.subscribe(&node, 1, "a/b", Qos::Two);
        world.deliver(&Down::new("a/b", b"x").qos2(1));
        world.expect(&node, &[publish(NORMAL, Qos::Two, 1, b"x")]);
        if received {
            world.exchange(&node, pubrec(1), &[pubrel(1)]);
        }
        world.exchange(&node, BYE, &[BYE]);
        assert_eq!(world.acknowledged(), [1]);
        world.send(&node, connect("n1", false, 3_600));
        if received {
            world.expect(&node, &[connack(OK), pubrel(1)]);
        } else {
            world.expect(&node, &[connack(OK), announce(FIRST_ID, 1, "a/b")]);
            let same = again(publish(NORMAL, Qos::Two, 1, b"x"));
            world.exchange(&node, regack(FIRST_ID, 1, OK), &[same]);
            world.exchange(&node, pubrec(1), &[pubrel(1)]);
        }
        world.exchange(&node, pubcomp(1), &[]);
        assert_eq!((world.up(), world.gateway.residue()[3]), (vec![], 0));
    }
}

#[test]
fn a_lost_client_of_a_kept_session_gets_its_message_later() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.pass(seconds(50));
    world.received(&node);
    assert_eq!((world.stats().lost, world.acknowledged()), (1, vec![1]));
    let resumed = [connack(OK), announce(FIRST_ID, 1, "a/b")];
    world.exchange(&node, connect("n1", false, 3_600), &resumed);
    let same = again(publish(NORMAL, Qos::One, 1, b"x"));
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[same]);
}

/// §6.10: what does not fit is abandoned towards the client, but not in silence for the operator.
#[test]
fn what_does_not_fit_the_link_is_abandoned() {
    let small = LinkSettings { max_packet: 60, ..LinkSettings::default() };
    let mut world = World::with(Settings { links: vec![small], ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::One);
    world.deliver(&Down::new("ab", &[0; 53]).qos1(1));
    assert_eq!(world.received(&node).len(), 1);
    world.send(&node, puback(0, 1, OK));
    assert_eq!(world.acknowledged(), [1]);
    world.deliver(&Down::new("ab", &[0; 54]));
    world.deliver(&Down::new("ab", &[0; 54]).qos1(2));
    world.deliver(&Down::new(&"n".repeat(55), b"x").qos1(3));
    world.silence(&node);
    assert_eq!(world.acknowledged(), [2, 3]);
    assert_eq!((world.stats().abandoned, world.limit(Limit::PacketSize)), (3, 3));
    // What comes behind it is not held up.
    world.deliver(&Down::new(&"n".repeat(54), b"x").qos1(4));
    assert_eq!(world.received(&node).len(), 1);
}

/// §5.4.12 with a Length of three octets.
#[test]
fn long_messages_go_in_the_long_form() {
    let (mut world, node) = subscribed(Qos::Zero);
    for length in [248, 249, 60_000] {
        let data = vec![1; length];
        world.deliver(&Down::new("a/b", &data));
        world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, &data)]);
    }
    world.deliver(&Down::new("a/b", &vec![1; 65_527]));
    world.silence(&node);
    assert_eq!(world.stats().abandoned, 1);
}

/// §24.31: only for what comes because of a new subscription.
#[test]
fn the_retain_flag_is_passed_on() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.send(&node, subscribe(1, "a/b", Qos::One));
    let (token, _, qos, id, _) = world.subscribed();
    world.granted(token, qos);
    world.received(&node);
    world.deliver(&Down::new("a/b", b"old").retained().ids(&[id]));
    world.expect(&node, &[retained(publish(NORMAL, Qos::Zero, 0, b"old"))]);
    world.deliver(&Down::new("a/b", b"new").ids(&[id]));
    world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"new")]);
}

/// Message ids of the gateway are its own, never 0.
#[test]
fn message_ids_run_through_all_values_but_zero() {
    let (mut world, node) = subscribed(Qos::One);
    for number in 1..=65_540_u32 {
        world.deliver(&Down::new("a/b", b"x").qos1(1));
        let msg_id = if number > 65_535 { number - 65_535 } else { number } as u16;
        world.expect(&node, &[publish(NORMAL, Qos::One, msg_id, b"x")]);
        world.send(&node, puback(FIRST_ID, msg_id, OK));
        world.up();
    }
}

#[test]
fn both_directions_may_use_the_same_message_id() {
    let (mut world, node) = subscribed(Qos::Two);
    world.deliver(&Down::new("a/b", b"down").qos2(1));
    world.expect(&node, &[publish(NORMAL, Qos::Two, 1, b"down")]);
    world.exchange(&node, publish(NORMAL, Qos::Two, 1, b"up"), &[]);
    let token = world.published().0;
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.received_upstream(token);
    world.expect(&node, &[pubrec(1)]);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.acknowledged(), [1]);
    world.completed(token);
    world.exchange(&node, pubrel(1), &[pubcomp(1)]);
}

#[test]
fn a_link_may_have_its_own_retry_interval() {
    let slow = LinkSettings { retry_interval: Some(seconds(60)), ..LinkSettings::default() };
    let links = vec![LinkSettings::default(), slow];
    let mut world = World::with(Settings { links, ..settings() });
    let node = device(1).on_link(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.pass(seconds(59));
    assert_eq!(world.received(&node).len(), 1);
    world.pass(seconds(2));
    assert_eq!(world.received(&node).len(), 1);
}

#[test]
fn another_message_type_in_reply_counts_as_nothing() {
    let (mut world, node) = subscribed(Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.received(&node);
    world.exchange(&node, pubcomp(1), &[]);
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
    world.exchange(&node, Message::PingResp, &[]);
    world.pass(RETRY + seconds(1));
    world.expect(&node, &[again(publish(NORMAL, Qos::One, 1, b"x"))]);
}

/// A device that was away repeats its CONNECT; that it did not answer meanwhile is forgiven.
#[test]
fn a_repeated_connect_gives_what_is_unanswered_all_its_tries_again() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "ab", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.pass(seconds(6));
    let connect = connect("n1", false, 3_600);
    world.send(&node, connect);
    world.pass(seconds(35));
    assert_eq!(world.received(&node).len(), 1 + 4, "CONNACK, PUBLISH and three repetitions");
    world.exchange(&node, connect, &[connack(OK)]);
    world.pass(seconds(10));
    assert_eq!(world.received(&node).len(), 1, "PUBLISH once more, instead of being lost");
    assert_eq!((world.stats().lost, world.stats().duplicates), (0, 1));
}
