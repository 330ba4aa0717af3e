//! Messages for devices over a restart: in order, none lost, and at QoS 2 none twice.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};
use mqtt_sn_gateway::core::LinkSettings;

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{self, Packet};

/// A client with a subscription at this QoS to "a/b", whose topic id is [`FIRST_ID`].
fn subscriber(qos: Qos) -> (World, Device) {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", qos);
    world.flush();
    world.sent();
    (world, node)
}

fn reconnect(world: &mut World) {
    world.broker_up(true);
    // It makes sure of its subscriptions.
    world.sent();
}

#[test]
fn what_waits_for_a_sleeper_is_in_order_after_the_restart() {
    let (mut world, node) = subscriber(Qos::Two);
    world.sleep(&node, 600);
    for (number, qos) in [1, 2, 1, 2, 2, 1].into_iter().enumerate() {
        world.deliver("a/b", number.to_string().as_bytes(), qos);
    }
    world.restart();
    reconnect(&mut world);
    for (number, qos) in [(6, 1), (7, 2)] {
        world.deliver("a/b", number.to_string().as_bytes(), qos);
    }
    world.restart();
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    world.flush();
    world.restart();
    world.exchange(&node, wake("n1"), &[PONG]);
}

#[test]
fn one_message_waits_for_several_and_is_theirs_alone() {
    let mut world = World::obliging();
    let nodes = [device(1), device(2), device(3)];
    for (number, node) in nodes.iter().enumerate() {
        world.connect(node, &format!("n{number}"));
        world.subscribe(node, 1, "a/b", Qos::One);
        world.sleep(node, 600);
    }
    world.deliver("a/b", b"x", 1);
    world.send(&nodes[1], wake("n1"));
    assert_eq!(world.collect(&nodes[1]), ["x"]);
    world.flush();
    world.restart();
    for (number, node) in nodes.iter().enumerate() {
        world.send(node, wake(&format!("n{number}")));
        let collected = world.collect(node);
        assert_eq!(collected.len(), usize::from(number != 1), "n{number}");
        world.flush();
        world.restart();
    }
    assert_eq!(world.engine().gateway().stats().buffered, 0);
}

#[test]
fn qos_0_waits_in_memory_only() {
    let (mut world, node) = subscriber(Qos::One);
    world.sleep(&node, 600);
    world.deliver("a/b", b"zero", 0);
    world.deliver("a/b", b"one", 1);
    world.restart();
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["one"]);
}

#[test]
fn what_waits_for_a_persistent_client_that_is_gone_comes_with_its_connect() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.leave(&node);
    world.deliver("a/b", b"one", 1);
    world.deliver("a/b", b"two", 2);
    world.restart();
    world.send(&node, connect("n1", false, 60));
    assert_eq!(world.collect(&node), ["one", "two"]);
}

#[test]
fn a_qos_1_message_on_its_way_to_a_device_comes_from_the_broker_again() {
    let (mut world, node) = subscriber(Qos::One);
    let mut message = world.message("a/b", b"x", 1);
    world.say_publish(&message);
    world.one_publish(&node, b"x");
    world.restart();
    world.silence(&node);
    reconnect(&mut world);
    message.dup = true;
    world.say_publish(&message);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.send(&node, puback(0, msg_id, OK));
    world.expect_up(&[Packet::Puback(message.id)]);
}

#[test]
fn a_qos_2_message_that_was_not_written_comes_from_the_broker_again() {
    let (mut world, node) = subscriber(Qos::Two);
    world.writes = false;
    let mut message = world.message("a/b", b"x", 2);
    world.say_publish(&message);
    world.silence(&node);
    world.restart();
    world.writes = true;
    world.silence(&node);
    reconnect(&mut world);
    message.dup = true;
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["x"]);
    world.expect_up(&[Packet::Pubrec(message.id), Packet::Pubcomp(message.id)]);
}

#[test]
fn a_qos_2_message_that_was_written_and_not_sent_is_sent() {
    let (mut world, node) = subscriber(Qos::Two);
    world.writes = false;
    let id = world.deliver("a/b", b"x", 2);
    assert!(world.give());
    world.write();
    world.silence(&node);
    world.restart();
    world.writes = true;
    world.pass(seconds(1));
    let (msg_id, _) = world.one_publish(&node, b"x");
    reconnect(&mut world);
    // The broker was not told, and says it again.
    let mut message = world.message("a/b", b"x", 2);
    (message.id, message.dup) = (id, true);
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(id), Packet::Pubcomp(id)]);
    world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
    world.exchange(&node, pubcomp(msg_id), &[]);
    world.pass(seconds(60));
    world.silence(&node);
}

#[test]
fn a_qos_2_publish_without_an_answer_is_repeated_under_its_id_with_dup() {
    let (mut world, node) = subscriber(Qos::Two);
    world.deliver("a/b", b"x", 2);
    let first = world.one_publish(&node, b"x");
    assert!(!first.1);
    world.restart();
    world.pass(seconds(1));
    assert_eq!(world.one_publish(&node, b"x"), (first.0, true));
    world.exchange(&node, pubrec(first.0), &[pubrel(first.0)]);
    world.exchange(&node, pubcomp(first.0), &[]);
    world.flush();
    world.restart();
    world.pass(seconds(60));
    world.silence(&node);
}

#[test]
fn a_pubrec_that_was_not_written_is_asked_for_again() {
    let (mut world, node) = subscriber(Qos::Two);
    world.deliver("a/b", b"x", 2);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.writes = false;
    world.send(&node, pubrec(msg_id));
    world.silence(&node);
    world.restart();
    world.writes = true;
    world.pass(seconds(1));
    // The device answers from memory: it does not take it for another one.
    assert_eq!(world.one_publish(&node, b"x"), (msg_id, true));
    world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
    world.exchange(&node, pubcomp(msg_id), &[]);
}

#[test]
fn after_pubrec_it_goes_on_with_pubrel() {
    let (mut world, node) = subscriber(Qos::Two);
    world.deliver("a/b", b"x", 2);
    world.deliver("a/b", b"y", 2);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
    world.restart();
    world.pass(seconds(1));
    world.expect(&node, &[pubrel(msg_id)]);
    world.send(&node, pubcomp(msg_id));
    let (next, dup) = world.one_publish(&node, b"y");
    assert!(next != msg_id && !dup);
}

#[test]
fn a_pubcomp_that_was_not_written_is_asked_for_again() {
    let (mut world, node) = subscriber(Qos::Two);
    world.deliver("a/b", b"x", 2);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
    world.writes = false;
    world.send(&node, pubcomp(msg_id));
    world.restart();
    world.writes = true;
    world.pass(seconds(1));
    world.expect(&node, &[pubrel(msg_id)]);
    world.send(&node, pubcomp(msg_id));
    world.flush();
    world.restart();
    world.pass(seconds(60));
    world.silence(&node);
}

#[test]
fn a_sleeper_goes_on_with_its_handshake_in_its_next_window() {
    for answered in [false, true] {
        let (mut world, node) = subscriber(Qos::Two);
        world.sleep(&node, 600);
        world.deliver("a/b", b"x", 2);
        world.deliver("a/b", b"y", 2);
        world.send(&node, wake("n1"));
        let (msg_id, _) = world.one_publish(&node, b"x");
        if answered {
            world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
        }
        world.restart();
        world.pass(seconds(60));
        world.silence(&node);
        world.send(&node, wake("n1"));
        if answered {
            world.expect(&node, &[pubrel(msg_id)]);
            world.send(&node, pubcomp(msg_id));
        } else {
            assert_eq!(world.one_publish(&node, b"x"), (msg_id, true));
            world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
            world.send(&node, pubcomp(msg_id));
        }
        assert_eq!(world.collect(&node), ["y"]);
    }
}

#[test]
fn a_persistent_client_goes_on_with_its_handshake_after_its_connect() {
    for answered in [false, true] {
        let mut world = World::obliging();
        let node = device(1);
        world.resume(&node, "n1");
        world.subscribe(&node, 1, "a/b", Qos::Two);
        world.deliver("a/b", b"x", 2);
        let (msg_id, _) = world.one_publish(&node, b"x");
        if answered {
            world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
        }
        world.leave(&node);
        world.restart();
        if answered {
            let goes_on = [connack(OK), pubrel(msg_id)];
            world.exchange(&node, connect("n1", false, 60), &goes_on);
            world.exchange(&node, pubcomp(msg_id), &[]);
            continue;
        }
        world.exchange(
            &node,
            connect("n1", false, 60),
            &[connack(OK), announce(FIRST_ID, msg_id, "a/b")],
        );
        world.send(&node, regack(FIRST_ID, msg_id, OK));
        assert_eq!(world.one_publish(&node, b"x"), (msg_id, true));
        world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
        world.exchange(&node, pubcomp(msg_id), &[]);
    }
}

#[test]
fn a_message_behind_a_register_without_an_answer_arrives() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/+", Qos::Two);
    world.deliver("a/b", b"x", 2);
    assert_eq!(world.only(&node)[1], 0x0A, "REGISTER");
    world.restart();
    world.pass(seconds(1));
    assert_eq!(world.collect(&node), ["x"]);
}

#[test]
fn message_ids_move_on() {
    let (mut world, node) = subscriber(Qos::One);
    let mut ids = Vec::new();
    for life in 0..3 {
        for _ in 0..3 {
            world.deliver("a/b", b"x", 1);
            let (msg_id, _) = world.one_publish(&node, b"x");
            assert!(!ids.contains(&msg_id), "{msg_id} again in life {life}");
            ids.push(msg_id);
            world.send(&node, puback(0, msg_id, OK));
        }
        world.flush();
        world.restart();
        world.pass(seconds(2));
        reconnect(&mut world);
    }
}

#[test]
fn an_answer_to_the_last_life_is_none_to_this_one() {
    let (mut world, node) = subscriber(Qos::One);
    let mut message = world.message("a/b", b"x", 1);
    world.say_publish(&message);
    let (old, _) = world.one_publish(&node, b"x");
    world.restart();
    reconnect(&mut world);
    message.dup = true;
    world.say_publish(&message);
    let (new, _) = world.one_publish(&node, b"x");
    assert_ne!(old, new);
    world.send(&node, puback(0, old, OK));
    world.expect_up(&[]);
}

#[test]
fn a_duplicate_of_a_qos_2_message_of_the_broker_is_none_after_the_restart() {
    let (mut world, node) = subscriber(Qos::Two);
    world.obliging = false;
    let mut message = world.message("a/b", b"x", 2);
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    assert_eq!(world.collect(&node), ["x"]);
    world.flush();
    world.restart();
    world.broker_up(true);
    world.grant_all();
    message.dup = true;
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    world.silence(&node);
    world.say(mqtt::pubrel(message.id));
    world.expect_up(&[Packet::Pubcomp(message.id)]);
    // Now the id is free.
    message.dup = false;
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["x"]);
}

#[test]
fn another_message_under_the_same_packet_id_is_another_message() {
    let (mut world, node) = subscriber(Qos::Two);
    world.obliging = false;
    let mut message = world.message("a/b", b"x", 2);
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["x"]);
    world.flush();
    world.restart();
    // The broker has lost its session, and begins with its ids anew.
    world.broker_up(false);
    world.grant_all();
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["x"]);
    world.flush();
    world.restart();
    world.broker_up(true);
    world.grant_all();
    message.payload = b"y".to_vec();
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["y"]);
}

#[test]
fn a_pubrel_without_its_message_is_answered_after_the_restart_too() {
    let (mut world, node) = subscriber(Qos::Two);
    world.obliging = false;
    let message = world.message("a/b", b"x", 2);
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    assert_eq!(world.collect(&node), ["x"]);
    world.restart();
    world.broker_up(true);
    world.grant_all();
    for _ in 0..2 {
        world.say(mqtt::pubrel(message.id));
        world.expect_up(&[Packet::Pubcomp(message.id)]);
    }
}

#[test]
fn a_pubcomp_to_the_broker_that_was_not_written_is_given_again() {
    let (mut world, node) = subscriber(Qos::Two);
    world.obliging = false;
    let mut message = world.message("a/b", b"x", 2);
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    assert_eq!(world.collect(&node), ["x"]);
    world.flush();
    world.writes = false;
    world.say(mqtt::pubrel(message.id));
    world.expect_up(&[]);
    world.restart();
    world.writes = true;
    world.broker_up(true);
    world.grant_all();
    world.say(mqtt::pubrel(message.id));
    world.expect_up(&[Packet::Pubcomp(message.id)]);
    message.payload = b"y".to_vec();
    world.say_publish(&message);
    assert_eq!(world.collect(&node), ["y"]);
}

#[test]
fn a_message_that_does_not_fit_its_link_any_more_is_given_up_and_said() {
    let (mut world, node) = subscriber(Qos::One);
    world.sleep(&node, 600);
    world.deliver("a/b", &[b'x'; 200], 1);
    world.deliver("a/b", b"short", 1);
    world.settings.links =
        vec![LinkSettings { name: "one".into(), max_packet: 100, ..LinkSettings::default() }];
    world.restart();
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["short"]);
    assert!(world.notices().contains(&"abandoned: n1 a/b".to_owned()));
}

#[test]
fn retained_messages_that_wait_are_still_retained() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    let mut message = world.message("a/b", b"x", 1);
    message.retain = true;
    world.sleep(&node, 600);
    world.say_publish(&message);
    world.restart();
    world.send(&node, wake("n1"));
    let bytes = world.only(&node);
    let msg_id = u16::from_be_bytes([bytes[5], bytes[6]]);
    let wanted = retained(publish(PublishTopic::Normal(FIRST_ID), Qos::One, msg_id, b"x"));
    assert_eq!(bytes, encode(&node, wanted));
}

#[test]
fn what_expires_does_so_over_a_restart_too() {
    let mut world = World::obliging_five();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.flush();
    world.sleep(&node, 600);
    let stale = world.message("a/b", b"stale", 1);
    world.say_publish(&mqtt::Publish { expiry: Some(30), ..stale });
    world.deliver("a/b", b"fresh", 1);
    world.flush();
    world.pass(seconds(31));
    world.restart();
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["fresh"]);
}
