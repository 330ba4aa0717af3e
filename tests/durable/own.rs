//! Clients with a connection of their own, over a restart.

use mqtt_sn_gateway::codec::{Message, Qos};
use mqtt_sn_gateway::core::Settings;
use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::mqtt::{Spool, Version};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{self, Packet};

const LINE: LineId = LineId::own(0);

/// Transparent mode, beside a broker that answers nothing but CONNECT by itself.
fn transparent() -> World {
    with(Version::V311, Spool::default())
}

fn with(version: Version, spool: Spool) -> World {
    let settings = Settings { transparent: true, ..settings() };
    let mut world = World::begin(version, settings, spool);
    world.broker_up(false);
    world.own_up();
    world
}

fn said(client: &str, clean: bool, will: bool) -> (String, bool, bool) {
    (client.into(), clean, will)
}

/// Everything is subscribed as it is asked for.
fn obliging() -> World {
    let mut world = transparent();
    world.obliging = true;
    world
}

/// The next life, with the broker.
fn next_life(world: &mut World) {
    world.flush();
    world.restart();
    world.broker_up(true);
}

#[test]
fn a_connected_client_is_connected_again_as_it_was() {
    for clean in [true, false] {
        let mut world = obliging();
        let node = device(1);
        world.exchange(&node, connect_with_will("n1", clean, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will_topic("will", Qos::One, false), &[Message::WillMsgReq]);
        world.exchange(&node, will_msg("gone"), &[connack(OK)]);
        let id = world.subscribe(&node, 1, "a/b", Qos::One);
        assert_eq!(world.connects(), [said("n1", clean, true)]);
        next_life(&mut world);
        assert_eq!(world.connects(), [said("n1", clean, true)], "clean: {clean}");
        // It need not know, and its subscription holds.
        world.exchange(&node, PING, &[PONG]);
        let asked = world.sent_by_own();
        let subscribes = asked.iter().any(|(_, p)| matches!(p, Packet::Subscribe { .. }));
        assert!(subscribes || !clean, "the broker has a new session: {asked:?}");
        world.deliver_by(LINE, "a/b", b"x", 1);
        assert_eq!(world.collect(&node), ["x"]);
        world.exchange(&node, publish_to(id, Qos::One, 2, b"y"), &[puback(id, 2, OK)]);
    }
}

#[test]
fn a_sleeper_gets_what_was_written_down_and_what_the_broker_kept() {
    let mut world = obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.sleep(&node, 600);
    // Up to ten stay with the broker; the eleventh has all of them written down.
    for number in 0..11 {
        world.deliver_by(LINE, "a/b", format!("{number}").as_bytes(), 1);
    }
    let acknowledged = world.sent_by_own();
    let pubacks = acknowledged.iter().filter(|(_, p)| matches!(p, Packet::Puback(_))).count();
    assert_eq!(pubacks, 11);
    world.deliver_by(LINE, "a/b", b"11", 1);
    assert_eq!(world.sent_by_own(), []);
    next_life(&mut world);
    // What was not acknowledged comes again.
    world.deliver_by(LINE, "a/b", b"11", 1);
    world.send(&node, wake("n1"));
    let wanted: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(world.collect(&node), wanted);
}

#[test]
fn who_has_left_is_not_connected_after_a_restart() {
    let mut world = obliging();
    let (kept, clean) = (device(1), device(2));
    world.resume(&kept, "kept");
    world.subscribe(&kept, 1, "a/b", Qos::One);
    world.connect(&clean, "clean");
    world.leave(&kept);
    world.leave(&clean);
    world.connects();
    next_life(&mut world);
    assert_eq!(world.connects(), []);
    assert_eq!(world.engine().gateway().residue()[0], 1, "the one whose session is kept");
    world.resume(&kept, "kept");
    assert_eq!(world.connects(), [said("kept", false, false)]);
    let asked = world.sent_by_own();
    let subscribes = asked.iter().any(|(_, p)| matches!(p, Packet::Subscribe { .. }));
    assert!(!subscribes, "the broker has the subscription: {asked:?}");
}

#[test]
fn what_a_client_left_while_the_broker_was_away_is_delivered_under_its_id() {
    for clean in [true, false] {
        let mut world = obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        let id = world.register(&node, 1, "a/b");
        world.own_down();
        world.exchange(&node, publish_to(id, Qos::One, 2, b"one"), &[puback(id, 2, OK)]);
        world.exchange(&node, publish_to(id, Qos::Two, 3, b"two"), &[pubrec(3)]);
        world.exchange(&node, pubrel(3), &[pubcomp(3)]);
        world.leave(&node);
        world.flush();
        // More than once, if need be.
        world.restart();
        world.flush();
        world.restart();
        world.connects();
        world.broker_up(true);
        world.own_up();
        assert_eq!(world.connects(), [said("n1", clean, false)]);
        let sent = world.sent_by_own();
        let published: Vec<_> = sent
            .iter()
            .filter_map(|(line, packet)| match packet {
                Packet::Publish(publish) => Some((*line, &publish.payload[..], publish.qos)),
                _ => None,
            })
            .collect();
        assert_eq!(published, [(LINE, &b"one"[..], 1), (LINE, &b"two"[..], 2)]);
        assert_eq!(sent.last(), Some(&(LINE, Packet::Disconnect)), "and it says goodbye");
        assert!(!world.is_open(LINE));
        assert_eq!(world.engine().gateway().residue()[0], usize::from(!clean));
        next_life(&mut world);
        assert_eq!((world.connects(), world.sent_by_own()), (vec![], vec![]));
    }
}

#[test]
fn a_publication_at_qos_2_is_published_once_wherever_it_is_interrupted() {
    for answers in 0..3 {
        let mut world = transparent();
        let node = device(1);
        world.resume(&node, "n1");
        let id = world.register(&node, 1, "a/b");
        world.flush();
        world.send(&node, publish_to(id, Qos::Two, 9, b"x"));
        let sent = world.published_by_own();
        let [(LINE, first)] = sent.as_slice() else { panic!("{sent:?}") };
        if answers > 0 {
            world.say_by(LINE, &mqtt::pubrec(first.id));
            assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrel(first.id))]);
        }
        if answers > 1 {
            world.say_by(LINE, &mqtt::pubcomp(first.id));
        }
        next_life(&mut world);
        match answers {
            0 => {
                let sent = world.published_by_own();
                let [(LINE, again)] = sent.as_slice() else { panic!("{sent:?}") };
                assert_eq!((again.dup, again.id), (true, first.id));
                world.say_by(LINE, &mqtt::pubrec(first.id));
                assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrel(first.id))]);
                world.say_by(LINE, &mqtt::pubcomp(first.id));
            }
            1 => {
                assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrel(first.id))]);
                world.say_by(LINE, &mqtt::pubcomp(first.id));
            }
            _ => assert_eq!(world.sent_by_own(), []),
        }
        world.received(&node);
        world.exchange(&node, again(publish_to(id, Qos::Two, 9, b"x")), &[pubrec(9)]);
        world.exchange(&node, pubrel(9), &[pubcomp(9)]);
        assert_eq!(world.sent_by_own(), []);
        next_life(&mut world);
        assert_eq!(world.sent_by_own(), []);
    }
}

#[test]
fn a_message_at_qos_2_is_delivered_once_over_a_restart() {
    let mut world = obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.obliging = false;
    world.sent_by_own();
    world.sleep(&node, 600);
    let message = world.message("a/b", b"x", 2);
    world.say_by(LINE, &mqtt::publish(false, &message));
    assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrec(message.id))]);
    world.obliging = true;
    next_life(&mut world);
    world.obliging = false;
    world.sent_by_own();
    // The broker has not heard it.
    let again = mqtt::Publish { dup: true, ..message.clone() };
    world.say_by(LINE, &mqtt::publish(false, &again));
    assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrec(message.id))]);
    world.say_by(LINE, &mqtt::pubrel(message.id));
    assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubcomp(message.id))]);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["x"]);
    next_life(&mut world);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), Vec::<String>::new());
}

#[test]
fn a_handshake_with_the_broker_is_remembered_while_the_client_is_gone() {
    let mut world = obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.obliging = false;
    world.sleep(&node, 600);
    let message = world.message("a/b", b"x", 2);
    world.say_by(LINE, &mqtt::publish(false, &message));
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["x"]);
    // The broker's PUBREL is still to come.
    world.send(&node, BYE);
    world.received(&node);
    assert!(!world.is_open(LINE));
    for _ in 0..2 {
        next_life(&mut world);
    }
    world.resume(&node, "n1");
    world.sent_by_own();
    let again = mqtt::Publish { dup: true, ..message.clone() };
    world.say_by(LINE, &mqtt::publish(false, &again));
    assert_eq!(world.sent_by_own(), [(LINE, Packet::Pubrec(message.id))]);
    assert_eq!(world.collect(&node), Vec::<String>::new(), "it has had it");
}

#[test]
fn the_next_client_in_a_slot_is_nobody_but_itself() {
    let mut world = obliging();
    world.settings.session_expiry = seconds(1_000);
    world.flush();
    world.restart();
    world.broker_up(true);
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.obliging = false;
    world.sleep(&node, 600);
    let message = world.message("a/b", b"x", 2);
    world.say_by(LINE, &mqtt::publish(false, &message));
    world.send(&node, wake("n1"));
    world.collect(&node);
    world.send(&node, BYE);
    world.received(&node);
    // It has left with a handshake open, and never comes back.
    world.pass(seconds(1_001));
    assert_eq!(world.engine().gateway().residue()[0], 0);
    world.connects();
    let other = device(2);
    world.resume(&other, "n2");
    assert_eq!(world.connects(), [said("n2", false, false)], "in the same slot");
    // The same packet id means another message to another client.
    world.obliging = true;
    world.subscribe(&other, 1, "a/b", Qos::Two);
    world.say_by(LINE, &mqtt::publish(false, &message));
    assert_eq!(world.collect(&other), ["x"]);
    next_life(&mut world);
    assert_eq!(world.connects(), [said("n2", false, false)]);
}

#[test]
fn a_snapshot_tells_of_clients_own_connections() {
    let mut world = obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "c/#", Qos::One);
    world.own_down();
    world.exchange(&node, publish_to(id, Qos::One, 3, b"x"), &[puback(id, 3, OK)]);
    world.flush();
    let before = world.image_on_disk();
    // Every life begins with a snapshot.
    world.restart();
    world.flush();
    let after = world.image_on_disk();
    let number = LINE.number();
    let (before, after) = (&before.lines[&number], &after.lines[&number]);
    assert_eq!(before, after);
    assert_eq!(after.session.as_deref(), Some("n1"));
    assert_eq!((after.requests.len(), after.filters.len()), (1, 1));
    world.broker_up(true);
    world.own_up();
    assert_eq!(world.published_by_own().len(), 1);
    world.flush();
    assert!(world.image_on_disk().lines[&number].requests.is_empty());
}

#[test]
fn a_client_that_is_forgotten_leaves_nothing_on_the_disk() {
    let mut world = obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "c/#", Qos::One);
    world.leave(&node);
    world.flush();
    let image = world.image_on_disk();
    assert!(image.lines.is_empty(), "{:?}", image.lines);
    assert_eq!(image.clients.len(), 0);
}

#[test]
fn what_is_too_old_is_not_waited_for() {
    let spool = Spool { max_age: seconds(1_000), ..Spool::default() };
    let mut world = with(Version::V311, spool);
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.own_down();
    world.exchange(&node, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, OK)]);
    world.leave(&node);
    world.pass(seconds(2_000));
    // The runtime tries now and then, and says that it cannot.
    world.engine.broker_unreachable(world.now, LINE);
    world.settle();
    assert_eq!(world.engine().gateway().residue()[0], 0);
    assert!(world.notices().iter().any(|notice| notice == "wasted: a/b, expired"));
    world.own_up();
    assert_eq!(world.connects(), [said("n1", true, false)], "the one from before");
}

#[test]
fn the_will_of_a_client_that_was_lost_goes_first() {
    let mut world = transparent();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    let id = world.register(&node, 1, "a/b");
    world.connects();
    world.send(&node, publish_to(id, Qos::One, 2, b"x"));
    assert_eq!(world.published_by_own().len(), 1);
    // The broker has not acknowledged, and the device is lost.
    world.pass(seconds(200));
    assert_eq!(
        world.connects(),
        [said("n1", false, false)],
        "another connection, without the will"
    );
    let sent = world.sent_by_own();
    let [(LINE, Packet::Publish(again))] = sent.as_slice() else { panic!("no goodbye: {sent:?}") };
    assert!(again.dup);
    world.say_by(LINE, &mqtt::puback(again.id));
    assert!(!world.is_open(LINE));
}

#[test]
fn a_will_that_is_due_while_the_broker_is_away_is_said_when_it_is_back() {
    let mut world = obliging();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.own_down();
    world.connects();
    world.pass(seconds(200));
    assert!(world.notices().iter().any(|notice| notice.starts_with("lost: n1")));
    world.own_up();
    assert_eq!(world.connects(), [said("n1", false, true)]);
    // Broken off, so that the broker publishes it.
    assert_eq!(world.sent_by_own(), []);
    assert!(!world.is_open(LINE));
}

#[test]
fn the_mode_may_change_between_two_lives() {
    let mut world = obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "c/d", Qos::One);
    world.own_down();
    world.exchange(&node, publish_to(id, Qos::One, 3, b"x"), &[puback(id, 3, OK)]);
    world.flush();
    world.settings.transparent = false;
    world.restart();
    world.broker_up(false);
    // What it had left goes by the main connection, and so does its subscription.
    let sent = world.sent();
    assert!(sent.iter().any(|p| matches!(p, Packet::Publish(p) if p.payload == b"x")), "{sent:?}");
    let subscribed =
        |packet: &Packet| matches!(packet, Packet::Subscribe { filter, .. } if filter == "c/d");
    assert!(sent.iter().any(subscribed), "{sent:?}");
    assert_eq!(world.connects(), []);
    world.settings.transparent = true;
    world.flush();
    world.restart();
    world.broker_up(true);
    world.own_up();
    assert_eq!(world.connects(), [said("n1", false, false)]);
    let sent = world.sent_by_own();
    assert!(sent.iter().any(|(line, packet)| *line == LINE && subscribed(packet)), "{sent:?}");
}
