//! Publications of devices over a restart: at QoS 2 exactly once, wherever it is interrupted.

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{self, Packet, Publish};

fn two(id: u16) -> mqtt_sn_gateway::codec::Message<'static> {
    publish_to(id, Qos::Two, 9, b"x")
}

/// The broker takes the publication that it is sent, to the end.
#[track_caller]
fn take(world: &mut World) -> Publish {
    let publish = world.published();
    assert_eq!((&*publish.topic, &publish.payload[..], publish.qos), ("a/b", &b"x"[..], 2));
    world.say(mqtt::pubrec(publish.id));
    world.expect_up(&[Packet::Pubrel(publish.id)]);
    world.say(mqtt::pubcomp(publish.id));
    publish
}

/// The device's handshake, from PUBREL on.
#[track_caller]
fn finish(world: &mut World, node: &Device) {
    world.exchange(node, pubrel(9), &[pubcomp(9)]);
    world.exchange(node, pubrel(9), &[pubcomp(9)]);
}

/// Nothing is under way any more, in this life and in the next.
#[track_caller]
fn at_rest(world: &mut World) {
    world.flush();
    world.restart();
    world.broker_up(true);
    world.expect_up(&[]);
    assert_eq!(world.engine().session().stats().spooled_bytes, 0);
    world.pass(seconds(60));
    world.silence_everywhere();
}

#[test]
fn a_publication_that_was_not_written_is_new_when_it_comes_again() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, two(id));
    world.restart();
    world.writes = true;
    world.broker_up(true);
    world.expect_up(&[]);
    world.send(&node, again(two(id)));
    take(&mut world);
    world.expect(&node, &[pubrec(9)]);
    finish(&mut world, &node);
    at_rest(&mut world);
}

#[test]
fn a_publication_that_was_written_and_not_sent_is_sent() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, two(id));
    assert!(world.give());
    world.write();
    world.restart();
    world.writes = true;
    world.exchange(&node, again(two(id)), &[pubrec(9)]);
    world.broker_up(true);
    take(&mut world);
    world.exchange(&node, again(two(id)), &[pubrec(9)]);
    finish(&mut world, &node);
    at_rest(&mut world);
}

#[test]
fn a_publication_without_pubrec_is_sent_again_under_its_id_with_dup() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let first = world.published();
    assert!(!first.dup);
    world.restart();
    // The gateway has it: the device need not wait for the broker.
    world.exchange(&node, again(two(id)), &[pubrec(9)]);
    world.exchange(&node, pubrel(9), &[pubcomp(9)]);
    world.broker_up(true);
    let again = take(&mut world);
    assert_eq!((again.dup, again.id), (true, first.id));
    world.silence(&node);
    at_rest(&mut world);
}

#[test]
fn after_pubrec_of_the_broker_it_goes_on_with_pubrel() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let publish = world.published();
    world.say(mqtt::pubrec(publish.id));
    world.expect_up(&[Packet::Pubrel(publish.id)]);
    world.expect(&node, &[pubrec(9)]);
    world.restart();
    world.broker_up(true);
    world.expect_up(&[Packet::Pubrel(publish.id)]);
    world.exchange(&node, again(two(id)), &[pubrec(9)]);
    world.say(mqtt::pubcomp(publish.id));
    finish(&mut world, &node);
    at_rest(&mut world);
}

#[test]
fn a_pubrec_of_the_broker_that_was_not_written_is_asked_for_again() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let first = world.published();
    world.writes = false;
    world.say(mqtt::pubrec(first.id));
    world.expect(&node, &[pubrec(9)]);
    world.restart();
    world.writes = true;
    world.broker_up(true);
    let again = take(&mut world);
    assert_eq!((again.dup, again.id), (true, first.id));
    finish(&mut world, &node);
    at_rest(&mut world);
}

#[test]
fn a_pubcomp_of_the_broker_that_was_not_written_is_asked_for_again() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let first = take(&mut world);
    world.expect(&node, &[pubrec(9)]);
    world.restart();
    world.broker_up(true);
    world.expect_up(&[Packet::Pubrel(first.id)]);
    world.say(mqtt::pubcomp(first.id));
    finish(&mut world, &node);
    at_rest(&mut world);
}

#[test]
fn a_pubrel_that_came_before_the_restart_is_answered_after_it() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let publish = world.published();
    world.say(mqtt::pubrec(publish.id));
    world.expect_up(&[Packet::Pubrel(publish.id)]);
    world.expect(&node, &[pubrec(9)]);
    world.exchange(&node, pubrel(9), &[]);
    world.restart();
    finish(&mut world, &node);
}

#[test]
fn a_pubcomp_that_was_not_written_is_given_again() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    take(&mut world);
    world.expect(&node, &[pubrec(9)]);
    world.flush();
    world.writes = false;
    world.exchange(&node, pubrel(9), &[]);
    world.restart();
    world.writes = true;
    finish(&mut world, &node);
    world.broker_up(true);
    world.expect_up(&[]);
}

#[test]
fn a_late_duplicate_of_a_finished_publication_is_not_published_again() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    take(&mut world);
    world.expect(&node, &[pubrec(9)]);
    finish(&mut world, &node);
    world.restart();
    world.broker_up(true);
    for message in [again(two(id)), two(id)] {
        world.exchange(&node, message, &[pubrec(9)]);
        finish(&mut world, &node);
    }
    at_rest(&mut world);
}

#[test]
fn another_publication_under_the_same_message_id_is_another_one() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    take(&mut world);
    world.expect(&node, &[pubrec(9)]);
    finish(&mut world, &node);
    world.restart();
    world.broker_up(true);
    world.send(&node, publish_to(id, Qos::Two, 9, b"y"));
    assert_eq!(world.published().payload, b"y");
}

#[test]
fn every_kind_of_topic_is_recognised_after_the_restart() {
    let (mut world, node, _) = publisher();
    let topics = [PublishTopic::Short(*b"ab"), PublishTopic::Predefined(5)];
    for (number, topic) in topics.into_iter().enumerate() {
        let message = publish(topic, Qos::Two, 20 + number as u16, b"x");
        world.send(&node, message);
        let published = world.published();
        world.restart();
        world.exchange(&node, again(message), &[pubrec(20 + number as u16)]);
        world.exchange(&node, pubrel(20 + number as u16), &[pubcomp(20 + number as u16)]);
        world.broker_up(true);
        assert_eq!(world.published(), Publish { dup: true, ..published.clone() });
        world.say(mqtt::pubrec(published.id));
        world.sent();
        world.say(mqtt::pubcomp(published.id));
    }
}

#[test]
fn where_the_broker_takes_qos_1_at_most_a_device_is_told_when_the_broker_has_it() {
    let mut world = World::begin(
        mqtt_sn_gateway::mqtt::Version::V5,
        settings(),
        mqtt_sn_gateway::mqtt::Spool::default(),
    );
    world.broker_up_with(false, 1);
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.send(&node, two(id));
    assert_eq!(world.published().qos, 1);
    world.flush();
    world.restart();
    world.broker_up_with(true, 1);
    // The broker need not have got it, and the gateway has not kept it.
    world.send(&node, again(two(id)));
    let publish = world.published();
    assert_eq!((&publish.payload[..], publish.qos), (&b"x"[..], 1));
    world.silence(&node);
    world.say(mqtt::puback(publish.id));
    world.expect(&node, &[pubrec(9)]);
    finish(&mut world, &node);
}

#[test]
fn a_qos_1_publication_on_its_way_to_the_broker_is_new_when_it_comes_again() {
    let (mut world, node, id) = publisher();
    let message = publish_to(id, Qos::One, 9, b"x");
    world.send(&node, message);
    world.published();
    world.restart();
    world.broker_up(true);
    world.expect_up(&[]);
    world.send(&node, again(message));
    let publish = world.published();
    assert!(!publish.dup);
    world.say(mqtt::puback(publish.id));
    world.expect(&node, &[puback(id, 9, OK)]);
}

#[test]
fn a_session_that_the_broker_lost_gets_everything_as_new() {
    let (mut world, node, id) = publisher();
    for released in [false, true] {
        world.send(&node, two(id));
        let first = world.published();
        if released {
            world.say(mqtt::pubrec(first.id));
            world.expect_up(&[Packet::Pubrel(first.id)]);
            world.expect(&node, &[pubrec(9)]);
        }
        world.restart();
        world.broker_up(false);
        let second = world.published();
        assert!(!second.dup);
        assert_eq!(second.payload, b"x");
        // And so after another restart: what it stands for now is written.
        world.restart();
        world.broker_up(true);
        let third = take(&mut world);
        assert_eq!((third.dup, third.id), (true, second.id));
        world.exchange(&node, again(two(id)), &[pubrec(9)]);
        finish(&mut world, &node);
        world.pass(seconds(120));
    }
}

#[test]
fn publications_of_the_last_life_go_first_and_in_order() {
    let (mut world, node, id) = publisher();
    for msg_id in 20..25 {
        world.send(&node, publish_to(id, Qos::Two, msg_id, &msg_id.to_string().into_bytes()));
    }
    let sent = world.payloads_up();
    assert_eq!(sent, ["20", "21", "22", "23", "24"]);
    world.restart();
    world.send(&node, publish_to(id, Qos::Two, 25, b"25"));
    world.broker_up(true);
    world.send(&node, publish_to(id, Qos::Two, 26, b"26"));
    assert_eq!(world.payloads_up(), ["20", "21", "22", "23", "24", "25", "26"]);
}

#[test]
#[ignore = "QoS 1 does not wait for what its device said before at QoS 2"]
fn what_follows_a_qos_2_publication_stays_behind_it_while_that_is_written() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::Two, 20, b"first"));
    world.send(&node, publish_to(id, Qos::One, 21, b"second"));
    let early = world.payloads_up();
    assert!(world.commit());
    let late = world.payloads_up();
    assert_eq!([early, late].concat(), ["first", "second"]);
}

#[test]
fn mqtt_5_handshakes_go_on_where_they_were() {
    let mut world = World::five();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe(&node, 2, "down", Qos::Two);
    world.send(&node, two(id));
    let first = world.published();
    world.restart();
    world.broker_up(true);
    let mut said = world.sent();
    let again = Packet::Publish(Publish { dup: true, ..first.clone() });
    assert!(said.contains(&again), "{said:?}");
    world.say(mqtt::pubrec(first.id));
    world.expect_up(&[Packet::Pubrel(first.id)]);
    let mut message = world.message("down", b"y", 2);
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    assert_eq!(world.collect(&node), ["y"]);
    world.flush();
    world.restart();
    world.broker_up(true);
    said = world.sent();
    assert!(said.contains(&Packet::Pubrel(first.id)), "{said:?}");
    message.dup = true;
    world.say_publish(&message);
    world.expect_up(&[Packet::Pubrec(message.id)]);
    world.silence(&node);
    world.say(mqtt::pubrel(message.id));
    world.expect_up(&[Packet::Pubcomp(message.id)]);
    world.say(mqtt::pubcomp(first.id));
    world.exchange(&node, two(id), &[pubrec(9)]);
    finish(&mut world, &node);
}

#[test]
fn packet_ids_of_one_life_are_not_taken_for_those_of_another() {
    let (mut world, node, id) = publisher();
    world.send(&node, two(id));
    let first = world.published();
    world.restart();
    world.broker_up(true);
    world.sent();
    for msg_id in 100..130 {
        world.send(&node, publish_to(id, Qos::One, msg_id, b"y"));
        assert_ne!(world.published().id, first.id);
    }
}

#[test]
fn a_gateway_that_begins_with_nothing_wipes_the_brokers_session_once() {
    let mut world = World::offline();
    world.mqtt.clean_start = true;
    world.restart();
    world.open_stream();
    let sent = world.sent();
    assert!(matches!(sent.as_slice(), [Packet::Connect { clean: true, .. }]), "{sent:?}");
    assert!(!world.say(mqtt::connack(false, false, 2)), "it has only wiped");
    world.expect_up(&[Packet::Disconnect]);
    world.broker_down();
    world.broker_up(false);
    world.flush();
    for _ in 0..2 {
        world.restart();
        world.broker_up(true);
    }
}
