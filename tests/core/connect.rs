//! CONNECT and CONNACK (MQTT-SN 1.2 §6.2, §5.4.4).

use mqtt_sn_gateway::codec::{Connect, Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::Drop;

use crate::harness::*;

#[test]
fn accepted_at_once_without_a_will() {
    let mut world = World::new();
    let node = device(1);
    world.send_hex(&node, "0F 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31");
    world.expect_hex(&node, &["03 05 00"]);
    assert_eq!(world.notices(), ["connected: sensor-01"]);
    assert_eq!(world.stats().connected, 1);
}

#[test]
fn accepted_while_the_broker_is_away() {
    let mut world = World::offline(settings());
    world.connect(&device(1), "n1");
}

/// §5.3.1: 1 to 23 characters; §5.3.8: protocol id 1. The refusal is a CONNACK with "not supported".
#[test]
fn client_ids_and_protocol_ids() {
    let accepted =
        [&b"a"[..], b"aaaaaaaaaaaaaaaaaaaaaaa", "sensor-\u{e9}".as_bytes(), b" ", b"a/+#"];
    let refused = [&b""[..], b"aaaaaaaaaaaaaaaaaaaaaaaa", b"\xff", b"a\0b", b"a\nb"];
    for (ids, code) in [(&accepted[..], OK), (&refused[..], UNSUPPORTED)] {
        for client_id in ids {
            let mut world = World::new();
            let connect = Connect {
                will: false,
                clean_session: true,
                protocol_id: 1,
                duration: 60,
                client_id,
            };
            world.exchange(&device(1), Message::Connect(connect), &[connack(code)]);
            assert_eq!(world.stats().clients, u64::from(code == OK), "{client_id:?}");
            let other = Connect { protocol_id: 2, ..connect };
            world.exchange(&device(2), Message::Connect(other), &[connack(UNSUPPORTED)]);
        }
    }
}

#[test]
fn every_duration_is_accepted() {
    for duration in [0, 1, 60, 65_535] {
        let mut world = World::new();
        world.exchange(&device(1), connect("n1", true, duration), &[connack(OK)]);
    }
}

/// §24.7 of common practice: nothing on the wire tells a repetition from a new CONNECT, except that
/// the one comes soon and after nothing else.
#[test]
fn a_repeated_connect_is_answered_again_and_changes_nothing() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
    assert_eq!(world.stats().duplicates, 1);
    assert_eq!(world.notices(), ["connected: n1"]);
}

/// An echo of the network, sooner than any client repeats itself, takes nothing away.
#[test]
fn a_connect_that_is_doubled_on_its_way_does_not_start_over() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.pass(seconds(4));
    world.connect(&node, "n1");
    assert_eq!(world.stats().duplicates, 1);
    let publish = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
    world.exchange(&node, publish, &[]);
    assert_eq!(world.published().3, "a/b");
}

#[test]
fn a_connect_after_other_traffic_starts_over() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.pass(seconds(6));
    world.connect(&node, "n1");
    assert_eq!(world.stats().duplicates, 0);
    assert_eq!(world.notices(), ["connected: n1", "connected: n1"]);
    // CleanSession: the topic ids are gone.
    let publish = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
    world.exchange(&node, publish, &[puback(id, 0, INVALID_ID)]);
}

#[test]
fn a_late_connect_starts_over() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.pass(seconds(61));
    world.connect(&node, "n1");
    assert_eq!(world.stats().duplicates, 0);
}

/// §6.3: a session is kept until a CONNECT with CleanSession.
#[test]
fn a_kept_session_has_its_ids_and_subscriptions_after_a_reconnection() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "cmd", Qos::One);
    world.exchange(&node, BYE, &[BYE]);
    world.resume(&node, "n1");
    let up = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
    world.exchange(&node, up, &[]);
    assert_eq!(world.published().3, "a/b");
    world.deliver(&Down::new("cmd", b"y"));
    // §6.5: the client may have forgotten the id, so it is told again.
    world.expect(&node, &[announce(FIRST_ID + 1, 1, "cmd")]);
    world.send(&node, regack(FIRST_ID + 1, 1, OK));
    let down = publish(PublishTopic::Normal(FIRST_ID + 1), Qos::Zero, 0, b"y");
    world.expect(&node, &[down]);
}

#[test]
fn clean_session_deletes_subscriptions() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 2, "cmd", Qos::One);
    world.connect(&node, "n1");
    assert_eq!(world.unsubscribed().1, "cmd");
    world.deliver(&Down::new("cmd", b"y"));
    world.silence(&node);
    assert_eq!(world.dropped(Drop::NoSubscriber), 1);
}

/// §24.8: the client id is the identity; the address is where it is at present.
#[test]
fn a_known_id_from_another_address_moves_the_session() {
    let mut world = World::new();
    let (old, new) = (device(1), device(2));
    world.resume(&old, "n1");
    let id = world.register(&old, 1, "a/b");
    world.resume(&new, "n1");
    assert_eq!((world.stats().moved, world.stats().connected), (1, 1));
    let up = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
    world.exchange(&new, up, &[]);
    assert_eq!(world.published().3, "a/b");
    // The old address is a stranger now, and no unsolicited DISCONNECT went there.
    world.exchange(&old, PING, &[BYE]);
    world.exchange(&new, PING, &[PONG]);
}

/// §24.9: no goodbye of the former client was seen, so it is lost.
#[test]
fn another_id_from_the_same_address_replaces_the_former_client() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    world.connect(&node, "n2");
    let (_, _, _, topic, payload) = world.published();
    assert_eq!((topic.as_str(), payload.as_slice()), ("lwt", &b"gone"[..]));
    assert_eq!((world.stats().clients, world.stats().lost), (1, 1));
}

/// What was asked before the new CONNECT cannot be repeated after it: the device has begun anew, and
/// its message ids with it.
#[test]
fn a_new_connection_does_not_answer_from_memory_of_the_old_one() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.exchange(&node, subscribe(1, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 1, OK)]);
    world.exchange(&node, unsubscribe(2, "a"), &[unsuback(2)]);
    world.pass(seconds(6));
    world.resume(&node, "n1");
    world.exchange(&node, subscribe(1, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 1, OK)]);
    world.deliver(&Down::new("a", b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x")]);
}
