//! What waits for sleepers: its limits, what becomes of it, and that nothing is left over.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{Limit, LinkSettings, Settings};

use super::{AB, deliver_one_each, one, persistent_sleeper, sleeper, sleeper_with};
use crate::harness::*;

/// Older QoS 0 messages give way, oldest first; QoS 1 and 2 never do, nor vanish in silence.
#[test]
fn the_number_of_messages_is_limited() {
    let settings = Settings { max_buffered_messages: 3, ..settings() };
    let (mut world, node) = sleeper_with(settings, Qos::Two, 3_600);
    world.deliver(&Down::new("ab", b"a0"));
    world.deliver(&Down::new("ab", b"b1").qos1(1));
    world.deliver(&Down::new("ab", b"c0"));
    world.deliver(&Down::new("ab", b"d2").qos2(2));
    world.deliver(&Down::new("ab", b"e1").qos1(3));
    assert_eq!((world.stats().buffered, world.stats().abandoned), (3, 2));
    // Nothing is left that could give way.
    world.notices();
    world.deliver(&Down::new("ab", b"f1").qos1(4));
    world.deliver(&Down::new("ab", b"g0"));
    assert_eq!((world.limit(Limit::Buffer), world.stats().abandoned), (4, 4));
    let notices = world.notices();
    assert!(notices.contains(&"abandoned: n1 ab 1 its buffer is full".to_owned()), "{notices:?}");
    assert_eq!(world.acknowledged(), [1, 2, 3, 4]);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"b1", b"d2", b"e1"]);
    // There is room again.
    world.deliver(&Down::new("ab", b"h1").qos1(5));
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"h1"]);
}

#[test]
fn octets_are_limited() {
    let limits = [
        Settings { max_buffered_bytes: 100, ..settings() },
        Settings { max_buffered_bytes_total: 100, ..settings() },
    ];
    for settings in limits {
        let (mut world, node) = sleeper_with(settings, Qos::One, 3_600);
        world.deliver(&Down::new("ab", &[1; 48]).qos1(1));
        world.deliver(&Down::new("ab", &[2; 49]).qos1(2));
        world.deliver(&Down::new("ab", &[3; 48]));
        world.deliver(&Down::new("ab", &[4; 48]).qos1(3));
        world.deliver(&Down::new("ab", b"").qos1(4));
        assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (2, 100));
        assert_eq!(world.collect(&node, wake("n1"), PONG), [[1; 48], [4; 48]]);
        assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
    }
}

/// What is in flight when the window breaks off is not pushed out either.
#[test]
fn a_full_buffer_keeps_what_is_in_flight() {
    let settings = Settings { max_buffered_messages: 2, ..settings() };
    let (mut world, node) = sleeper_with(settings, Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(100));
    world.received(&node);
    for delivery in 10..20 {
        world.deliver(&Down::new("ab", b"more").qos1(delivery));
    }
    let payloads = world.collect(&node, wake("n1"), PONG);
    assert_eq!(payloads[..2], [b"1".to_vec(), b"2".to_vec()]);
    assert!(payloads.len() <= 3, "{payloads:?}");
}

/// A crowd of sleepers with full buffers is no reason to refuse others anything.
#[test]
fn full_buffers_of_sleepers_do_not_hold_up_others() {
    let settings = Settings { max_buffered_messages: 5, ..settings() };
    let mut world = World::with(settings);
    world.obliging = true;
    for number in 0..100 {
        let (node, id) = (device(number), format!("n{number}"));
        world.connect(&node, &id);
        world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::One));
        world.received(&node);
        world.sleep(&node, 3_600);
    }
    let bystander = device(1_000);
    world.connect(&bystander, "bystander");
    world.send(&bystander, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::One));
    world.received(&bystander);
    world.up();
    for delivery in 1..=20_u16 {
        world.deliver(&Down::new("ab", b"x").qos1(u64::from(delivery)));
        world.expect(&bystander, &[one(delivery, b"x")]);
        world.exchange(&bystander, puback(0x6162, delivery, OK), &[]);
        assert_eq!(world.acknowledged(), [u64::from(delivery)]);
    }
    assert_eq!((world.stats().buffered, world.limit(Limit::Buffer)), (500, 1_500));
}

/// Messages are kept once, however many sleep over them.
#[test]
fn a_message_is_kept_once_for_all_sleepers() {
    let mut world = World::obliging();
    for number in 0..100 {
        let (node, id) = (device(number), format!("n{number}"));
        world.connect(&node, &id);
        world.send(&node, subscribe(1, "a", Qos::Two));
        world.received(&node);
        world.sleep(&node, 3_600);
    }
    for delivery in 1..=10 {
        world.deliver(&Down::new("a", &[0; 100]).qos2(delivery));
    }
    assert_eq!((world.gateway.residue()[3], world.stats().buffered), (10, 1_000));
    for number in 0..100 {
        let (node, id) = (device(number), format!("n{number}"));
        match number % 3 {
            0 => assert_eq!(world.collect(&node, wake(&id), PONG).len(), 10),
            1 => world.exchange(&node, BYE, &[BYE]),
            _ => assert_eq!(world.collect_by_connect(&node, connect(&id, true, 60)).len(), 10),
        }
    }
    assert_eq!((world.gateway.residue()[3], world.stats().buffered_bytes), (0, 0));
}

/// A thousand devices wake within a second, ten messages each: every one once and in order.
#[test]
fn a_thousand_sleepers_wake_at_once() {
    let mut world = World::obliging();
    let nodes: Vec<(Device, String)> =
        (0..1_000).map(|number| (device(number), format!("n{number}"))).collect();
    for (node, id) in &nodes {
        world.connect(node, id);
        world.send(node, subscribe(1, "s/+/cmd", Qos::One));
        world.received(node);
        world.sleep(node, 3_600);
    }
    for number in 0..10_u8 {
        let name = format!("s/{}/cmd", number % 3);
        world.deliver(&Down::new(&name, &[number]).qos1(u64::from(number) + 1));
    }
    for (node, id) in &nodes {
        world.send(node, wake(id));
    }
    let expected: Vec<Vec<u8>> = (0..10).map(|number| vec![number]).collect();
    for (node, _) in &nodes {
        let frames = world.drain(node);
        assert_eq!(payloads_of(&frames), expected);
        assert_eq!(frames.last(), Some(&hex("02 17")));
    }
    assert_eq!((world.stats().buffered, world.stats().retransmissions), (0, 0));
}

/// Behind a forwarder everything is wrapped, and the header takes its room (§5.5).
#[test]
fn a_sleeper_behind_a_forwarder() {
    let small = LinkSettings { max_packet: 60, ..LinkSettings::default() };
    let mut world = World::with(Settings { links: vec![small], ..settings() });
    let forwarder = device(1);
    let node = forwarder.clone().node(&hex("12 34"));
    let neighbour = forwarder.clone().node(&hex("12 35"));
    for (node, id) in [(&node, "n1"), (&neighbour, "n2")] {
        world.connect(node, id);
        world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
        world.sleep(node, 600);
    }
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.deliver(&Down::new("ab", &[0; 48]).qos1(2));
    world.deliver(&Down::new("ab", &[0; 49]).qos1(3));
    // Octet by octet: 0x05, node 1234, and the message with its own length.
    world.send_hex(&forwarder, "05 FE 00 12 34 04 16 6E 31");
    world.expect_hex(&node, &["05 FE 00 12 34 08 0C 22 61 62 00 01 78"]);
    world.send_hex(&forwarder, "05 FE 00 12 34 07 0D 61 62 00 01 00");
    assert_eq!(payloads_of(&world.drain(&node)), [[0; 48]]);
    world.silence(&neighbour);
    world.silence(&forwarder);
    assert_eq!(world.stats().abandoned, 1);
    // The forwarder itself is somebody else, or nobody.
    world.exchange(&forwarder, PING, &[BYE]);
    assert_eq!(world.collect(&neighbour, PING, PONG).len(), 2);
}

/// Everything that a sleeper can do and leave undone, over and over, and then they are gone.
#[test]
fn sleepers_come_and_go_and_leave_nothing_behind() {
    let mut world = World::obliging();
    const TOGETHER: u32 = 40;
    for number in 0..4_000 + TOGETHER {
        if number < 4_000 {
            let (node, id) = (device(number), format!("n{number}"));
            let clean = number % 3 > 0;
            if number % 5 == 0 {
                world.send(&node, connect_with_will(&id, clean, 60));
                world.send(&node, will_topic("lwt", Qos::One, false));
                world.send(&node, will_msg("gone"));
            } else {
                world.send(&node, connect(&id, clean, 60));
            }
            let qos = [Qos::Zero, Qos::One, Qos::Two][number as usize % 3];
            world.send(&node, subscribe(2, "to/all", qos));
            world.send(&node, subscribe_to(3, SubscribeTopic::Short(*b"ab"), qos));
            world.send(&node, subscribe(4, &format!("any/{}/#", number % 10), qos));
            world.send(&node, publish(PublishTopic::Predefined(5), qos, 5, b"x"));
            world.send(&node, doze(10 + (number % 30) as u16));
            for topic in ["to/all", "ab", &format!("any/{}/x", number % 10)] {
                world.deliver(&Down::new(topic, b"payload").qos2(u64::from(number) + 1));
            }
            world.received(&node);
            match number % 7 {
                // Never heard of again.
                0 => {}
                // Awake, without a word after that.
                1 => world.send(&node, wake(&id)),
                2 => {
                    world.send(&node, wake(&id));
                    world.send(&node, doze(20));
                }
                3 => world.send(&device(100_000 + number), wake(&id)),
                4 => world.send(&node, connect(&id, clean, 60)),
                5 => {
                    world.send(&node, wake(&id));
                    world.send(&node, puback(0x6162, 1, CONGESTION));
                }
                _ => {
                    world.send(&node, wake(&id));
                    assert_eq!(world.drain(&node).last(), Some(&hex("02 17")));
                }
            }
        }
        if let Some(number) = number.checked_sub(TOGETHER) {
            let (node, id) = (device(number), format!("n{number}"));
            match number % 4 {
                0 => {}
                1 => world.send(&node, BYE),
                2 => world.send(&device(200_000 + number), connect(&id, true, 5)),
                // Somebody else has its address.
                _ => world.send(&node, connect(&format!("m{number}"), true, 5)),
            }
        }
        world.pass(seconds(1));
        world.up();
        world.notices();
    }
    assert!(world.stats().lost > 500, "{}", world.stats().lost);
    world.pass(seconds(8 * 24 * 3_600));
    assert_eq!(world.gateway.residue(), [0; 5]);
    let stats = world.stats();
    assert_eq!((stats.clients, stats.connected, stats.asleep), (0, 0, 0));
    assert_eq!((stats.buffered, stats.buffered_bytes), (0, 0));
    assert_eq!(world.gateway.next_timeout(), None);
}

/// A lost sleeper of a persistent session keeps what is QoS 1 and 2, in order, also in the middle
/// of an exchange.
#[test]
fn a_lost_sleeper_keeps_its_messages() {
    let (mut world, node) = persistent_sleeper(60, 60);
    world.deliver(&Down::new("ab", b"1").qos2(1));
    world.deliver(&Down::new("ab", b"0"));
    world.deliver(&Down::new("ab", b"2").qos1(2));
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Two, 1, b"1")]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(seconds(300));
    world.received(&node);
    assert_eq!((world.stats().lost, world.stats().buffered), (1, 2));
    world.exchange(&node, connect("n1", false, 60), &[connack(OK), pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[]);
}

/// A sleeper's messages on a subscription that it has given up since do not hold it up.
#[test]
fn unsubscribing_asleep_ends_delivery() {
    let (mut world, node) = sleeper(Qos::One, 600);
    deliver_one_each(&mut world, &[b"1"]);
    let topic = SubscribeTopic::Short(*b"ab");
    world.exchange(&node, Message::Unsubscribe { msg_id: 2, topic }, &[unsuback(2)]);
    world.up();
    world.deliver(&Down::new("ab", b"2").qos1(2));
    assert_eq!(world.acknowledged(), [2]);
    world.send(&node, wake("n1"));
    let frames = world.drain(&node);
    assert_eq!(frames.last(), Some(&hex("02 17")));
    // MQTT lets what was queued before go out still, but nothing of later.
    assert!(payloads_of(&frames).iter().all(|payload| payload == b"1"));
}

/// MQTT 5 §3.3.2.3.3.
#[test]
fn what_is_too_old_when_the_client_wakes_is_not_sent() {
    let (mut world, node) = sleeper(Qos::One, 600);
    world.deliver(&Down::new("ab", b"stale").expires(60).qos1(1));
    world.deliver(&Down::new("ab", b"fresh").expires(61).qos1(2));
    world.deliver(&Down::new("ab", b"for ever").qos1(3));
    assert_eq!(world.acknowledged(), [1, 2, 3]);
    world.pass(seconds(60));
    assert_eq!(world.collect(&node, wake("n1"), PONG), [&b"fresh"[..], b"for ever"]);
    assert_eq!((world.stats().expired, world.stats().buffered), (1, 0));
}
