//! Where the specification leaves a choice: what this gateway chose, as far as no conversation of its
//! own has the test.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Drop;

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// The SUBACK was lost: SUBSCRIBE again, with the same message id or with another, gets the same id,
/// and the id counts as known.
#[test]
fn an_id_whose_suback_was_lost() {
    for msg_id in [1, 2] {
        let mut world = World::obliging();
        let node = device(1);
        world.connect(&node, "n1");
        let answer = |msg_id| suback(Qos::One, FIRST_ID, msg_id, OK);
        world.exchange(&node, subscribe(1, "a/b", Qos::One), &[answer(1)]);
        world.exchange(&node, subscribe(msg_id, "a/b", Qos::One), &[answer(msg_id)]);
        world.deliver(&Down::new("a/b", b"x"));
        world.expect(&node, &[publish(NORMAL, Qos::Zero, 0, b"x")]);
    }
}

/// One name by its predefined id, by a normal one and as a short name: three ways to say it, one
/// subscription each way changes the way back.
#[test]
fn a_name_with_a_predefined_and_a_normal_id() {
    let (mut world, node) = one_client();
    let id = world.register(&node, 1, "predefined/five");
    assert!(id > 6, "normal ids are above the predefined ones");
    for topic in [PublishTopic::Predefined(5), PublishTopic::Normal(id)] {
        world.exchange(&node, publish(topic, Qos::Zero, 0, b"x"), &[]);
        assert_eq!(world.published_topics(), ["predefined/five"]);
    }
    // The number of the one is not the other's.
    let wrong = publish(PublishTopic::Normal(5), Qos::Zero, 0, b"x");
    world.exchange(&node, wrong, &[puback(5, 0, INVALID_ID)]);
    let wrong = publish(PublishTopic::Predefined(id), Qos::Zero, 0, b"x");
    world.exchange(&node, wrong, &[puback(id, 0, INVALID_ID)]);
    assert_eq!(world.up(), []);
    // As it subscribed last, so it is told.
    world.subscribe_to(&node, 2, SubscribeTopic::Predefined(5), Qos::Zero);
    world.deliver(&Down::new("predefined/five", b"x"));
    world.expect(&node, &[publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x")]);
    world.subscribe(&node, 3, "predefined/five", Qos::Zero);
    world.deliver(&Down::new("predefined/five", b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x")]);
}

/// After a restart nobody is known. Whatever a device says, connected or asleep as it believes, it
/// is told to connect; nothing of it is acted on.
#[test]
fn after_a_restart_of_the_gateway_devices_are_told_to_connect() {
    let mut world = World::new();
    let requests = [
        PING,
        wake("n1"),
        doze(60),
        publish(NORMAL, Qos::One, 1, b"x"),
        subscribe(1, "a", Qos::One),
        register(1, "a"),
        pubrel(1),
    ];
    for (number, request) in (0..).zip(requests) {
        world.exchange(&device(number), request, &[BYE]);
        world.exchange(&device(number), connect("n1", false, 60), &[connack(OK)]);
        world.exchange(&device(number), BYE, &[BYE]);
    }
    assert_eq!((world.up(), world.stats().clients), (vec![], 0));
}

/// The gateway does not ping: a device that sleeps between its own messages would not hear it. What
/// is due by keep-alive decides. A PINGRESP that comes all the same is a sign of life.
#[test]
fn the_gateway_does_not_ping_its_clients() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
    world.pass(seconds(60));
    world.silence(&node);
    world.exchange(&node, PONG, &[]);
    world.pass(seconds(80));
    assert_eq!(world.stats().connected, 1);
    world.pass(seconds(11));
    world.silence(&node);
    assert_eq!(world.stats().lost, 1);
}

/// GWINFO of clients on behalf of gateways, with whatever in its address, is not for a gateway.
#[test]
fn gwinfo_of_a_client_is_ignored() {
    let (mut world, node) = one_client();
    // Frame V04.
    for from in [&node, &device(2)] {
        world.send_hex(from, "06 02 07 02 12 34");
        world.silence(from);
    }
    assert_eq!(world.dropped(Drop::WrongDirection), 2);
}

/// Through a forwarder GWINFO goes to the node that asked, so it needs no radius: 0 on the wire,
/// whatever SEARCHGW said.
#[test]
fn gwinfo_through_a_forwarder_has_no_radius() {
    for radius in ["00", "03", "FF"] {
        let mut world = World::new();
        world.send_hex(&device(1), &format!("05 FE 03 12 34 03 01 {radius}"));
        let node = device(1).node(&hex("12 34"));
        world.expect_hex(&node, &["05 FE 00 12 34 03 02 01"]);
    }
}

/// DISCONNECTs cross: one in answer to a DISCONNECT of a stranger is the only one, however long two
/// gateways go on by mistake.
#[test]
fn two_gateways_do_not_talk_for_ever() {
    let (mut one, mut other) = (World::new(), World::new());
    let (left, right) = (device(1), device(2));
    one.send(&right, PING);
    let mut packets = 0;
    for _ in 0..100 {
        for bytes in one.received(&right) {
            packets += 1;
            other.send_bytes(&left, &bytes);
        }
        for bytes in other.received(&left) {
            packets += 1;
            one.send_bytes(&right, &bytes);
        }
        one.pass(std::time::Duration::from_millis(50));
        other.pass(std::time::Duration::from_millis(50));
    }
    // Five seconds, at most two a second each.
    assert!(packets <= 22, "{packets}");
}

/// What is lost of a persistent session after the last try is its connection, not the message.
#[test]
fn after_the_last_try_a_persistent_session_keeps_the_message() {
    for clean in [false, true] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 3_600), &[connack(OK)]);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
        world.deliver(&Down::new("ab", b"x").qos1(1));
        let first = publish(PublishTopic::Short(*b"ab"), Qos::One, 1, b"x");
        world.pass(seconds(41));
        world.expect(&node, &[first, again(first), again(first), again(first)]);
        assert_eq!((world.stats().lost, world.stats().clients), (1, u64::from(!clean)));
        world.send(&node, connect("n1", clean, 3_600));
        let kept: &[Message<'_>] =
            if clean { &[connack(OK)] } else { &[connack(OK), again(first)] };
        world.expect(&node, kept);
    }
}
