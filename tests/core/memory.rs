//! After every client is gone nothing is left of them.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, decode};
use mqtt_sn_gateway::core::Settings;

use crate::harness::*;

/// Answers everything that the gateway asks of a device, until it asks no more.
fn answer_all(world: &mut World, node: &Device) -> usize {
    let mut messages = 0;
    loop {
        let received = world.received(node);
        if received.is_empty() {
            return messages;
        }
        for bytes in received {
            match decode(&bytes).expect("a packet").message {
                Message::Register { topic_id, msg_id, .. } => {
                    world.send(node, regack(topic_id, msg_id, OK));
                }
                Message::Publish(publish) => {
                    messages += 1;
                    match publish.qos {
                        Qos::One => world.send(node, puback(0, publish.msg_id, OK)),
                        Qos::Two => world.send(node, pubrec(publish.msg_id)),
                        _ => {}
                    }
                }
                Message::PubRel { msg_id } => world.send(node, pubcomp(msg_id)),
                _ => {}
            }
        }
    }
}

/// 10,000 clients, each with everything that a session can have, in ever new company.
#[test]
fn ten_thousand_clients_come_and_go_and_leave_nothing_behind() {
    let mut world = World::obliging();
    const TOGETHER: u32 = 50;
    for number in 0..10_000 + TOGETHER {
        if number < 10_000 {
            let (node, id) = (device(number), format!("n{number}"));
            let clean = number % 3 > 0;
            if number % 5 == 0 {
                world.send(&node, connect_with_will(&id, clean, 600));
                world.send(&node, will_topic("lwt", Qos::One, false));
                world.send(&node, will_msg("gone"));
            } else {
                world.send(&node, connect(&id, clean, 600));
            }
            world.send(&node, register(1, &format!("up/{number}")));
            let qos = [Qos::Zero, Qos::One, Qos::Two][number as usize % 3];
            world.send(&node, subscribe(2, "to/all", qos));
            world.send(&node, subscribe(3, &format!("to/{number}"), qos));
            world.send(&node, subscribe(4, &format!("any/{}/#", number % 10), qos));
            world.send(&node, publish(PublishTopic::Predefined(5), qos, 5, b"x"));
            world.send(&node, pubrel(5));
            for topic in ["to/all", &format!("to/{number}"), &format!("any/{}/x", number % 10)] {
                world.deliver(&Down::new(topic, b"payload").qos2(u64::from(number) + 1));
            }
            if number % 4 > 0 {
                assert!(answer_all(&mut world, &node) > 0);
            }
        }
        // The one that came some time ago goes, in one way or another.
        if let Some(number) = number.checked_sub(TOGETHER) {
            let node = device(number);
            match number % 4 {
                // Without a word, in the middle of an exchange.
                0 => {}
                1 => world.send(&node, unsubscribe(6, "to/all")),
                2 => world.send(&node, BYE),
                _ => world.send(&node, connect(&format!("n{number}"), true, 5)),
            }
        }
        world.pass(seconds(1));
        world.up();
        world.notices();
    }
    assert!(world.stats().lost > 1_000);
    // The rest falls silent; the kept sessions expire.
    world.pass(seconds(8 * 24 * 3_600));
    assert_eq!(world.gateway.residue(), [0; 5]);
    let stats = world.stats();
    assert_eq!(
        (stats.clients, stats.connected, stats.buffered, stats.buffered_bytes),
        (0, 0, 0, 0)
    );
    assert_eq!(world.gateway.next_timeout(), None);
}

/// The same while the broker comes and goes, with and without its memory.
#[test]
fn nothing_is_left_when_the_broker_comes_and_goes() {
    let mut world = World::with(Settings { session_expiry: seconds(100), ..settings() });
    for number in 0..500_u32 {
        let node = device(number);
        world.obliging = number % 3 > 0;
        world.send(&node, connect(&format!("n{number}"), number % 2 == 0, 60));
        for msg_id in 1..=5 {
            let name = format!("t/{}", (number + u32::from(msg_id)) % 20);
            world.send(&node, subscribe(msg_id, &name, Qos::One));
            world.send(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"));
        }
        world.deliver(&Down::new(&format!("t/{}", number % 20), b"x").qos1(1));
        match number % 7 {
            0 => world.broker_down(),
            1 => world.broker_up(true),
            3 => world.broker_down(),
            4 => world.broker_up(false),
            5 => world.send(&node, BYE),
            _ => {
                answer_all(&mut world, &node);
            }
        }
        world.pass(seconds(2));
        world.up();
    }
    world.obliging = true;
    world.broker_down();
    world.broker_up(false);
    world.pass(seconds(1_000));
    world.broker_down();
    world.broker_up(true);
    world.pass(seconds(1_000));
    assert_eq!(world.gateway.residue(), [0; 5]);
    assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
}

/// Messages that several wait for are there once, and gone with the last.
#[test]
fn a_message_is_kept_once_for_all_who_wait_for_it() {
    let mut world = World::obliging();
    for number in 0..100 {
        let node = device(number);
        world.resume(&node, &format!("n{number}"));
        world.send(&node, subscribe(1, "a", Qos::One));
        world.received(&node);
        world.exchange(&node, BYE, &[BYE]);
    }
    for delivery in 1..=10 {
        world.deliver(&Down::new("a", &[0; 100]).qos1(delivery));
    }
    assert_eq!((world.gateway.residue()[3], world.stats().buffered), (10, 1_000));
    for number in 0..100 {
        let node = device(number);
        let clean = number % 2 == 0;
        world.send(&node, connect(&format!("n{number}"), clean, 60));
        assert_eq!(answer_all(&mut world, &node), if clean { 0 } else { 10 });
    }
    assert_eq!((world.gateway.residue()[3], world.stats().buffered_bytes), (0, 0));
}
