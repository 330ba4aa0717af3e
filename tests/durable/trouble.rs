//! A disk that fails: no promise that rests on it is made, everything else goes on.

use std::io;

use mqtt_sn_gateway::codec::{Message, Qos};
use mqtt_sn_gateway::core::Limit;
use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::mqtt::Will;

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{self, Packet, Publish};

/// A world whose broker is told how the gateway is; what it said at first is taken away.
pub(crate) fn told() -> World {
    let mut world = World::offline();
    world.mqtt.will = Some(Will {
        topic: "mqtt-sn-gateway/gateway/status".into(),
        payload: (*b"offline").into(),
        qos: MqttQos::One,
        retain: true,
    });
    world.restart();
    world
}

fn store_status(text: &str) -> Packet {
    Packet::Publish(Publish {
        retain: true,
        topic: "mqtt-sn-gateway/gateway/store".into(),
        payload: text.into(),
        ..Publish::default()
    })
}

#[test]
fn what_was_promised_becomes_congestion_when_the_commit_fails() {
    let mut world = World::new();
    let (one, two, three) = (device(1), device(2), device(3));
    world.resume(&one, "n1");
    world.resume(&two, "n2");
    let id = world.register(&one, 1, "a/b");
    world.flush();
    world.broker_down();
    world.notices();
    world.writes = false;
    world.send(&one, publish_to(id, Qos::One, 2, b"x"));
    world.send(&two, register(1, "c"));
    world.send(&two, subscribe(2, "d", Qos::One));
    world.send(&three, connect("n3", false, 60));
    assert!(world.give());
    world.break_disk();
    world.write();
    world.silence_everywhere();
    world.acknowledge();
    world.expect(&one, &[puback(id, 2, CONGESTION)]);
    let refused = [regack(0, 1, CONGESTION), suback(Qos::Zero, 0, 2, CONGESTION)];
    world.expect(&two, &refused);
    // It is there already; whoever comes from now on is told before anything begins.
    world.expect(&three, &[connack(OK)]);
    world.exchange(&device(4), connect("n4", false, 60), &[connack(CONGESTION)]);
    assert_eq!(world.notices()[..2], ["connected: n3", "store failed: full, no space left"]);
}

#[test]
fn pubrec_and_pubrel_are_kept_back_when_the_commit_fails() {
    let mut world = World::obliging();
    let (up, down) = (device(1), device(2));
    world.connect(&up, "n1");
    let id = world.register(&up, 1, "a/b");
    world.connect(&down, "n2");
    world.subscribe(&down, 1, "c", Qos::Two);
    world.flush();
    world.sent();
    world.deliver("c", b"x", 2);
    let (msg_id, _) = world.one_publish(&down, b"x");
    world.broker_down();
    world.writes = false;
    world.send(&up, publish_to(id, Qos::Two, 2, b"y"));
    world.send(&down, pubrec(msg_id));
    assert!(world.give());
    world.break_disk();
    world.write();
    world.acknowledge();
    world.silence_everywhere();
}

/// It was never sent, so nobody failed to answer it.
#[test]
fn a_pubrel_that_was_kept_back_does_not_count_as_a_try() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "c", Qos::Two);
    world.flush();
    world.deliver("c", b"x", 2);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.writes = false;
    world.send(&node, pubrec(msg_id));
    assert!(world.give());
    world.break_disk();
    world.write();
    world.acknowledge();
    world.silence(&node);
    world.writes = true;
    world.mend_disk();
    world.pass(seconds(600));
    let pubrel = encode(&node, Message::PubRel { msg_id });
    let tries = usize::from(settings().retry_count) + 1;
    assert_eq!(world.received(&node), vec![pubrel; tries]);
}

#[test]
fn qos_2_is_refused_while_nothing_can_be_written() {
    let (mut world, node, id) = publisher();
    world.fail_disk();
    world.exchange(&node, publish_to(id, Qos::Two, 2, b"x"), &[puback(id, 2, CONGESTION)]);
    world.expect_up(&[]);
    assert_eq!(world.limit(Limit::Store), 1);
}

#[test]
fn the_spool_takes_nothing_while_nothing_can_be_written() {
    let (mut world, node, id) = publisher_alone();
    world.fail_disk();
    world.exchange(&node, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, CONGESTION)]);
    world.exchange(&node, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, CONGESTION)]);
    world.obliging = true;
    world.broker_up(true);
    assert_eq!(world.payloads_up(), [""; 0]);
}

#[test]
fn persistent_sessions_hear_congestion_while_nothing_can_be_written() {
    let mut world = World::new();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.flush();
    world.fail_disk();
    world.exchange(&device(2), connect("n2", false, 60), &[connack(CONGESTION)]);
    world.exchange(&node, register(2, "c"), &[regack(0, 2, CONGESTION)]);
    let refused = [suback(Qos::Zero, 0, 3, CONGESTION)];
    world.exchange(&node, subscribe(3, "d", Qos::One), &refused);
    let refused = [Message::WillMsgResp { code: CONGESTION }];
    world.exchange(&node, Message::WillMsgUpd { message: b"x" }, &refused);
}

#[test]
fn clean_sessions_go_on_while_nothing_can_be_written() {
    let mut world = World::obliging();
    let old = device(1);
    world.connect(&old, "n1");
    world.flush();
    world.fail_disk();
    let new = device(2);
    world.connect(&new, "n2");
    for node in [old, new] {
        let id = world.register(&node, 1, "a/b");
        assert_eq!(world.subscribe(&node, 2, "a/b", Qos::One), id);
        world.exchange(&node, publish_to(id, Qos::One, 3, b"up"), &[puback(id, 3, OK)]);
        world.deliver("a/b", b"down", 1);
        world.collect(&node);
        world.sleep(&node, 60);
        world.exchange(&node, wake(""), &[PONG]);
        world.leave(&node);
    }
}

#[test]
fn persistent_sessions_that_are_there_go_on_while_nothing_can_be_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "c", Qos::One);
    world.flush();
    world.fail_disk();
    world.exchange(&node, PING, &[PONG]);
    world.exchange(&node, publish_to(id, Qos::One, 3, b"up"), &[puback(id, 3, OK)]);
    world.deliver("c", b"down", 1);
    assert_eq!(world.collect(&node), ["down"]);
    world.sleep(&node, 60);
    world.exchange(&node, wake("n1"), &[PONG]);
}

/// The id that its message waits for it was told by another answer.
#[test]
fn a_sleeper_that_knows_the_id_by_now_gets_its_message_while_nothing_can_be_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::One);
    world.flush();
    world.deliver("a/b", b"down", 1);
    world.flush();
    // REGISTER, which it does not answer; but it registers the name itself.
    world.only(&node);
    world.register(&node, 2, "a/b");
    world.flush();
    world.sleep(&node, 60);
    world.flush();
    world.fail_disk();
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["down"]);
}

#[test]
fn the_broker_is_not_told_that_a_message_is_safe_which_is_not() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.sleep(&node, 600);
    world.flush();
    world.sent();
    world.fail_disk();
    world.deliver("a/b", b"one", 1);
    world.deliver("a/b", b"two", 2);
    world.pass(seconds(10));
    world.expect_up(&[]);
    world.mend_disk();
    world.pass(seconds(60));
    world.expect_up(&[Packet::Puback(1), Packet::Pubrec(2), Packet::Pubcomp(2)]);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["one", "two"]);
}

#[test]
fn a_failing_disk_is_said_on_the_store_topic_and_its_recovery_too() {
    let mut world = told();
    world.broker_up(false);
    let said = world.sent();
    assert_eq!(said[1..], [store_status("{\"state\":\"ok\"}")]);
    world.fail_disk();
    let failed =
        store_status("{\"state\":\"failed\",\"kind\":\"full\",\"error\":\"no space left\"}");
    world.expect_up(&[failed]);
    world.mend_disk();
    world.pass(seconds(60));
    // Among what it says every minute, and of clients.
    assert!(world.sent().contains(&store_status("{\"state\":\"ok\"}")));
}

#[test]
fn a_broker_that_comes_back_hears_that_the_disk_fails() {
    let mut world = told();
    world.fail_disk();
    world.broker_up(false);
    let failed =
        store_status("{\"state\":\"failed\",\"kind\":\"full\",\"error\":\"no space left\"}");
    assert_eq!(world.sent()[1..], [failed]);
}

#[test]
fn the_store_topic_is_json_whatever_the_system_says() {
    for (text, json) in [
        ("can't", "can't"),
        ("Gerät \"sda\"", "Gerät \\\"sda\\\""),
        ("C:\\x", "C:\\\\x"),
        ("a\nb", "a\\u000ab"),
    ] {
        let mut world = told();
        world.disk.fail(io::ErrorKind::ReadOnlyFilesystem, text);
        world.send(&device(1), connect("n1", true, 60));
        world.broker_up(false);
        let failed =
            format!("{{\"state\":\"failed\",\"kind\":\"read_only\",\"error\":\"{json}\"}}");
        assert_eq!(world.sent()[1..], [store_status(&failed)]);
    }
}

#[test]
fn a_snapshot_ends_the_trouble_and_has_everything_in_it() {
    let mut world = World::obliging();
    let (stays, comes) = (device(1), device(2));
    world.resume(&stays, "n1");
    world.flush();
    world.fail_disk();
    world.connect(&comes, "n2");
    let id = world.register(&comes, 1, "a/b");
    world.sleep(&stays, 600);
    world.mend_disk();
    world.pass(seconds(2));
    let notices = world.notices();
    assert!(notices.iter().any(|notice| notice.starts_with("store recovered")), "{notices:?}");
    assert!(!world.engine().written().failing);
    world.restart();
    world.broker_up(true);
    world.exchange(&comes, publish_to(id, Qos::One, 3, b"up"), &[puback(id, 3, OK)]);
    world.exchange(&stays, wake("n1"), &[PONG]);
    // And promises are made again.
    world.register(&stays, 2, "c");
}

#[test]
fn a_disk_that_keeps_failing_is_tried_again_and_again_and_told_once() {
    let mut world = World::new();
    world.fail_disk();
    let before = world.disk.writes();
    world.pass(seconds(600));
    let tries = world.disk.writes() - before;
    assert!((20..60).contains(&tries), "{tries}");
    assert_eq!(world.notices(), [""; 0]);
    assert_eq!(world.engine().written().failures, 1);
}

#[test]
fn a_restart_during_the_trouble_goes_on_from_what_was_written_before() {
    let (mut world, node, id) = publisher();
    world.fail_disk();
    let other = device(2);
    world.connect(&other, "n2");
    world.mend_disk();
    world.restart();
    world.obliging = true;
    world.broker_up(true);
    world.exchange(&node, publish_to(id, Qos::One, 3, b"up"), &[puback(id, 3, OK)]);
    // To a clean session nothing was promised.
    world.exchange(&other, PING, &[BYE]);
}

/// Publishes to the spool until the gateway has enough of waiting for the disk.
fn overflow(world: &mut World, node: &Device, id: u16) {
    let payload = vec![b'x'; 60_000];
    for msg_id in 1_000..1_400 {
        world.send(node, publish_to(id, Qos::One, msg_id, &payload));
        if world.engine().written().failing {
            return;
        }
    }
    panic!("the gateway waits for ever");
}

#[test]
fn a_disk_that_never_answers_counts_as_failed_when_too_much_waits_for_it() {
    let (mut world, node, id) = publisher_alone();
    world.writes = false;
    let other = device(2);
    world.send(&other, connect("n2", false, 60));
    assert!(world.give());
    world.silence(&other);
    overflow(&mut world, &node, id);
    world.expect(&other, &[connack(OK)]);
    world.exchange(&device(3), connect("n3", false, 60), &[connack(CONGESTION)]);
    for bytes in world.received(&node) {
        assert_eq!(bytes[bytes.len() - 1], CONGESTION.0);
    }
}

#[test]
fn a_disk_that_answers_late_is_not_trusted_until_a_snapshot_is_complete() {
    let (mut world, node, id) = publisher_alone();
    world.writes = false;
    world.send(&device(2), connect("n2", true, 60));
    assert!(world.give());
    // Nothing of this client gets into a commit.
    let lost = device(3);
    world.send(&lost, connect("n3", true, 60));
    overflow(&mut world, &node, id);
    world.received(&node);
    world.received(&lost);
    world.write();
    world.acknowledge();
    world.exchange(&node, publish_to(id, Qos::Two, 1, b"x"), &[puback(id, 1, CONGESTION)]);
    world.writes = true;
    world.pass(seconds(10));
    let topic_id = world.register(&lost, 1, "c");
    world.flush();
    world.restart();
    world.exchange(&lost, register(2, "c"), &[regack(topic_id, 2, OK)]);
}

#[test]
fn a_qos_2_message_that_the_broker_was_not_sent_is_given_back() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::Two, 1, b"x"));
    assert!(world.give());
    world.break_disk();
    world.write();
    world.acknowledge();
    world.expect(&node, &[puback(id, 1, CONGESTION)]);
    world.writes = true;
    world.mend_disk();
    world.pass(seconds(60));
    // Once, although it was said twice.
    world.sent();
    world.send(&node, publish_to(id, Qos::Two, 1, b"x"));
    world.flush();
    let publish = world.published();
    assert_eq!(publish.payload, b"x");
    world.say(mqtt::pubrec(publish.id));
    world.expect(&node, &[pubrec(1)]);
}
