//! A snapshot takes the place of the journal while traffic goes on, and says the same.

use mqtt_sn_gateway::codec::{Message, Publish, Qos, SubscribeTopic, decode};
use mqtt_sn_gateway::mqtt::{Spool, Version};
use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::record::Standing;
use proptest::prelude::*;

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt;

/// Nobody minds that these are a little behind: they are taken generously after a restart.
fn without_trifles(mut image: Image) -> Image {
    for client in image.clients.values_mut() {
        if let Some(standings) = &mut client.client {
            standings.msg_id = 0;
            if standings.standing == Standing::Connecting {
                standings.heard = 0;
            }
        }
        // It has no meaning, and goes another way where one of them ends.
        client.subscriptions.sort_by(|one, other| one.filter.cmp(&other.filter));
        for publication in client.publications.values_mut() {
            publication.at = u64::MAX;
        }
    }
    image
}

/// Whoever goes on from what is on the disk knows as much as one who goes on from a snapshot.
#[track_caller]
fn assert_same(world: &World) {
    let from_disk = world.image_after(without_trifles(world.image_on_disk()));
    let from_snapshot = world.image_after(without_trifles(world.image()));
    assert_eq!(from_disk, from_snapshot);
}

/// Many clients that know long topics: a snapshot of them takes several parts.
fn crowd(world: &mut World) {
    for number in 0..50 {
        let node = device(1_000 + number);
        world.connect(&node, &format!("crowd{number}"));
        for topic in 0..20 {
            world.send(&node, register(topic + 1, &format!("{topic:0100}/{number:0900}")));
        }
        world.received(&node);
    }
    world.flush();
}

/// Changes so much that the journal is replaced at least this often.
fn replace(world: &mut World, node: &Device, times: usize) {
    let before = world.disk.replacements();
    for _ in 0..10_000 {
        update_will(world, node);
        if world.disk.replacements() >= before + times {
            return;
        }
    }
    panic!("the journal is not replaced");
}

/// Has more than a thousand octets written.
fn update_will(world: &mut World, node: &Device) {
    let message = will_topic_update("t");
    world.exchange(node, message, &[Message::WillTopicResp { code: OK }]);
    let message = Message::WillMsgUpd { message: &[b'x'; 1_000] };
    world.exchange(node, message, &[Message::WillMsgResp { code: OK }]);
}

fn will_topic_update(topic: &str) -> Message<'_> {
    match will_topic(topic, Qos::One, false) {
        Message::WillTopic(will) => Message::WillTopicUpd(will),
        other => other,
    }
}

#[test]
fn many_changes_make_a_snapshot_and_the_journal_stays_short() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    replace(&mut world, &node, 3);
    assert!(world.engine().written().journal < 600 * 1024);
    assert!(!world.disk.has_unfinished());
    assert_same(&world);
    world.restart();
    world.exchange(&node, register(2, "a/b"), &[regack(id, 2, OK)]);
}

#[test]
fn traffic_goes_on_while_a_long_snapshot_is_written() {
    let mut world = World::obliging_five();
    let (node, sleeper) = (device(1), device(2));
    world.connect(&node, "n1");
    world.connect(&sleeper, "n2");
    world.subscribe(&sleeper, 1, "s/#", Qos::Two);
    world.sleep(&sleeper, 6_000);
    crowd(&mut world);
    let before = world.disk.replacements();
    world.fail_disk();
    world.mend_disk();
    world.writes = false;
    world.pass(seconds(2));
    let mut parts = 0;
    let mut ids = Vec::new();
    let mut delivered = Vec::new();
    while world.disk.replacements() == before {
        parts += 1;
        assert!(world.commit(), "it ends with the last part");
        // Whatever changes between the parts, in front of the cursor and behind it.
        world.send(&node, register(parts, &format!("topic/{parts}")));
        let message = parts.to_string();
        world.deliver("s/x", message.as_bytes(), 2);
        delivered.push(message);
        let visitor = device(200 + u32::from(parts));
        world.send(&visitor, connect(&format!("v{parts}"), true, 60));
        if parts > 2 {
            world.send(&device(200 + u32::from(parts - 2)), BYE);
        }
        ids.push(FIRST_ID - 1 + parts);
        world.received(&node);
        assert!(parts < 100);
    }
    assert!(parts > 2, "a snapshot in {parts} parts");
    world.writes = true;
    world.flush();
    assert_same(&world);
    world.restart();
    world.broker_up(true);
    for (position, id) in ids.iter().enumerate() {
        let name = format!("topic/{}", position + 1);
        world.received(&node);
        world.exchange(&node, register(900, &name), &[regack(*id, 900, OK)]);
    }
    world.send(&sleeper, wake("n2"));
    assert_eq!(world.collect(&sleeper), delivered);
}

#[test]
fn a_restart_in_the_middle_of_a_snapshot_goes_on_from_the_journal() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.exchange(&node, will_topic_update("t"), &[Message::WillTopicResp { code: OK }]);
    crowd(&mut world);
    let before = world.disk.replacements();
    world.writes = false;
    for round in 0.. {
        assert!(round < 5_000, "no snapshot begins");
        world.send(&node, Message::WillMsgUpd { message: &[b'x'; 1_000] });
        assert!(world.commit());
        if world.disk.has_unfinished() {
            break;
        }
    }
    world.received(&node);
    world.send(&node, register(1, "a"));
    assert!(world.commit());
    assert!(world.disk.has_unfinished() && world.disk.replacements() == before);
    world.expect(&node, &[regack(FIRST_ID, 1, OK)]);
    world.restart();
    world.writes = true;
    world.exchange(&node, register(2, "a"), &[regack(FIRST_ID, 2, OK)]);
}

#[test]
fn a_snapshot_ends_however_much_the_broker_has_not_released() {
    let mut world = World::obliging();
    world.connect(&device(1), "n1");
    world.obliging = false;
    let mut bytes = Vec::new();
    // More than fits one part of a snapshot, all of it for nobody here.
    for _ in 0..15_000 {
        let message = world.message("t", b"x", 2);
        bytes.extend(mqtt::publish(false, &message));
    }
    assert!(world.say(bytes));
    assert_eq!(world.sent().len(), 15_000);
    world.restart();
    assert_eq!(world.engine().session().stats().incoming, 15_000);
    assert_same(&world);
}

/// One random thing that happens: what, to whom, and with what.
type Step = (u8, u8, u8);

fn happen(world: &mut World, number: usize, (what, who, how): Step) {
    let node = device(u32::from(who % 4));
    let id = format!("n{}", who % 4);
    let msg_id = number as u16 + 1;
    let name = format!("t/{}", how % 5);
    let qos = [Qos::Zero, Qos::One, Qos::Two][usize::from(how / 5 % 3)];
    match what {
        0..3 => world.send(&node, connect(&id, how % 2 == 0, 600)),
        3 => world.send(&node, connect_with_will(&id, how % 2 == 0, 600)),
        4..6 => {
            world.send(&node, will_topic(&name, qos, false));
            world.send(&node, will_msg("gone"));
        }
        6 => world.send(&node, BYE),
        7..9 => world.send(&node, doze(600)),
        9..12 => world.send(&node, wake(&id)),
        12..15 => world.send(&node, register(msg_id, &name)),
        15..18 => world.send(&node, subscribe(msg_id, &name, qos)),
        18 => world.send(&node, subscribe(msg_id, "t/#", qos)),
        19..21 => world.send(&node, unsubscribe(msg_id, &name)),
        21..27 => world.send(&node, publish_to(FIRST_ID + u16::from(how), qos, msg_id, b"up")),
        27..29 => world.send(&node, pubrel(msg_id.saturating_sub(u16::from(how % 8)))),
        29..34 => drop(world.collect(&node)),
        34..41 if world.engine().is_connected() => {
            world.deliver(&name, b"down", how / 5 % 3);
        }
        41 if world.engine().is_connected() => world.broker_down(),
        42..44 if !world.engine().is_connected() => {
            world.sent();
            world.broker_up(how % 3 > 0);
        }
        44 => world.break_disk(),
        45..47 => world.mend_disk(),
        // Another address.
        47 => world.send(&device(50 + u32::from(how)), wake(&id)),
        50 => world.send(&node, subscribe_to(msg_id, SubscribeTopic::Short(*b"sh"), qos)),
        51 => world.send(&node, subscribe_to(msg_id, SubscribeTopic::Predefined(5), qos)),
        52 if world.engine().is_connected() => {
            let topic = ["sh", "predefined/five", "t/x"][usize::from(how % 3)];
            world.deliver(topic, b"down", how / 5 % 3);
        }
        53 => world.send(&node, will_topic_update(&name)),
        54 => world.send(&node, Message::WillMsgUpd { message: b"changed" }),
        55 => refuse_all(world, &node),
        48 => {
            world.mend_disk();
            world.restart();
        }
        _ => world.pass(std::time::Duration::from_millis(10 * u64::from(how))),
    }
}

/// The device wants nothing of what it was sent.
fn refuse_all(world: &mut World, node: &Device) {
    for bytes in world.received(node) {
        match decode(&bytes).expect("a packet").message {
            Message::Register { topic_id, msg_id, .. } => {
                world.send(node, regack(topic_id, msg_id, UNSUPPORTED));
            }
            Message::Publish(Publish { msg_id, .. }) => {
                world.send(node, puback(0, msg_id, INVALID_ID));
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn going_on_from_the_journal_equals_going_on_from_a_snapshot(
        steps in prop::collection::vec((0..60_u8, any::<u8>(), 0..30_u8), 1..120)
    ) {
        let spool = Spool { qos0: true, ..Spool::default() };
        let mut world = World::begin(Version::V5, settings(), spool);
        world.obliging = true;
        world.broker_up(false);
        for (number, step) in steps.into_iter().enumerate() {
            happen(&mut world, number, step);
        }
        world.mend_disk();
        world.flush();
        while world.engine().written().failing {
            world.flush();
        }
        world.flush();
        assert_same(&world);
        // And the one who goes on writes what he goes on from.
        world.restart();
        world.flush();
        assert_same(&world);
    }
}
