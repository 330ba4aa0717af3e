//! What waits until it is written, and what does not.

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt;

/// Of an id that nobody was given.
const BAD_PUBLISH: Message<'static> = Message::Publish(Publish {
    dup: false,
    qos: Qos::One,
    retain: false,
    topic: PublishTopic::Normal(99),
    msg_id: 9,
    data: b"x",
});

/// The device is told this by the commit that comes, not before and nothing else.
#[track_caller]
fn waits(world: &mut World, device: &Device, message: Message<'_>) {
    world.silence(device);
    assert!(world.give(), "nothing is to be written");
    world.silence(device);
    world.write();
    world.silence(device);
    world.acknowledge();
    world.expect(device, &[message]);
}

#[test]
fn connack_waits_until_the_session_is_written() {
    for clean in [true, false] {
        let mut world = World::new();
        world.writes = false;
        let node = device(1);
        world.send(&node, connect("n1", clean, 60));
        waits(&mut world, &node, connack(OK));
        assert!(!world.commit(), "that was all");
    }
}

#[test]
fn connack_at_the_end_of_a_will_dialogue_waits_until_the_will_is_written() {
    let mut world = World::new();
    world.writes = false;
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("w", Qos::One, false), &[Message::WillMsgReq]);
    world.send(&node, will_msg("gone"));
    waits(&mut world, &node, connack(OK));
}

#[test]
fn regack_waits_until_the_topic_id_is_written() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.writes = false;
    world.send(&node, register(1, "a/b"));
    waits(&mut world, &node, regack(FIRST_ID, 1, OK));
    // It has been written: nothing to wait for.
    world.exchange(&node, register(2, "a/b"), &[regack(FIRST_ID, 2, OK)]);
    assert!(!world.commit());
}

#[test]
fn suback_waits_for_the_broker_and_then_until_the_subscription_is_written() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.writes = false;
    world.send(&node, subscribe(1, "a/b", Qos::One));
    let (id, filter, _) = world.subscribed();
    assert_eq!(filter, "a/b");
    world.silence(&node);
    world.grant(id, 1);
    waits(&mut world, &node, suback(Qos::One, FIRST_ID, 1, OK));
}

#[test]
fn unsuback_waits_until_the_end_of_the_subscription_is_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.flush();
    world.writes = false;
    world.send(&node, unsubscribe(2, "a/b"));
    waits(&mut world, &node, unsuback(2));
}

#[test]
fn the_answer_to_a_nap_and_to_a_goodbye_waits_until_it_is_written() {
    for message in [doze(60), BYE] {
        let mut world = World::new();
        let node = device(1);
        world.connect(&node, "n1");
        world.flush();
        world.writes = false;
        world.send(&node, message);
        waits(&mut world, &node, BYE);
    }
}

#[test]
fn will_updates_wait_until_they_are_written() {
    let mut world = World::new();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.flush();
    world.writes = false;
    world.send(&node, Message::WillMsgUpd { message: b"elsewhere" });
    waits(&mut world, &node, Message::WillMsgResp { code: OK });
    world.send(&node, Message::WillTopicUpd(None));
    waits(&mut world, &node, Message::WillTopicResp { code: OK });
}

#[test]
fn puback_from_the_spool_waits_until_the_message_is_written() {
    let (mut world, node, id) = publisher_alone();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::One, 1, b"x"));
    waits(&mut world, &node, puback(id, 1, OK));
}

#[test]
fn pubrec_from_the_spool_waits_and_pubcomp_does_too() {
    let (mut world, node, id) = publisher_alone();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::Two, 1, b"x"));
    waits(&mut world, &node, pubrec(1));
    world.send(&node, pubrel(1));
    waits(&mut world, &node, pubcomp(1));
}

#[test]
fn a_qos_2_publication_goes_to_the_broker_when_it_is_written() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::Two, 1, b"x"));
    world.expect_up(&[]);
    assert!(world.give());
    world.write();
    world.expect_up(&[]);
    world.acknowledge();
    let publish = world.published();
    assert_eq!((publish.qos, publish.dup), (2, false));
    // PUBREC of the broker can be passed on: that the gateway has the message is written.
    world.say(mqtt::pubrec(publish.id));
    world.expect(&node, &[pubrec(1)]);
    // PUBREL is what the broker's id depends on.
    world.expect_up(&[]);
    assert!(world.commit());
    world.expect_up(&[mqtt::Packet::Pubrel(publish.id)]);
    world.send(&node, pubrel(1));
    world.silence(&node);
    world.say(mqtt::pubcomp(publish.id));
    waits(&mut world, &node, pubcomp(1));
}

#[test]
fn puback_for_what_the_broker_has_acknowledged_waits_for_nothing() {
    let (mut world, node, id) = publisher();
    world.writes = false;
    world.send(&node, publish_to(id, Qos::One, 1, b"x"));
    let publish = world.published();
    world.silence(&node);
    world.say(mqtt::puback(publish.id));
    world.expect(&node, &[puback(id, 1, OK)]);
    world.pass(seconds(5));
    assert!(!world.commit(), "nothing of it is written");
}

#[test]
fn what_promises_nothing_waits_for_nothing_although_others_wait() {
    let mut world = World::obliging();
    let (quiet, busy) = (device(1), device(2));
    world.connect(&quiet, "n1");
    let id = world.subscribe(&quiet, 1, "a/b", Qos::Zero);
    world.flush();
    world.sent();
    world.writes = false;
    world.send(&busy, connect("n2", false, 60));
    world.exchange(&quiet, PING, &[PONG]);
    world.send(&quiet, Message::SearchGw { radius: 0 });
    assert_eq!(world.received(&quiet).len(), 1, "GWINFO");
    world.send(&quiet, publish_to(id, Qos::Zero, 0, b"up"));
    assert_eq!(world.payloads_up(), ["up"]);
    world.deliver("a/b", b"down", 0);
    world.one_publish(&quiet, b"down");
    world.silence(&busy);
}

#[test]
fn a_refusal_waits_for_nothing() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.writes = false;
    world.exchange(&node, BAD_PUBLISH, &[puback(99, 9, INVALID_ID)]);
    let unknown = publish(PublishTopic::Predefined(9), Qos::One, 2, b"x");
    world.exchange(&node, unknown, &[puback(9, 2, INVALID_ID)]);
}

#[test]
fn what_follows_a_promise_to_the_same_device_stays_behind_it() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.writes = false;
    world.send(&node, register(1, "a/b"));
    world.send(&node, PING);
    world.silence(&node);
    assert!(world.commit());
    world.expect(&node, &[regack(FIRST_ID, 1, OK), PONG]);
}

#[test]
fn promises_leave_in_their_order_although_later_ones_wait_already() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.flush();
    world.writes = false;
    world.send(&node, register(1, "a"));
    assert!(world.give());
    // These miss the commit that is under way.
    world.send(&node, register(2, "b"));
    world.send(&node, PING);
    world.write();
    world.acknowledge();
    world.expect(&node, &[regack(FIRST_ID, 1, OK)]);
    assert!(world.commit());
    world.expect(&node, &[regack(FIRST_ID + 1, 2, OK), PONG]);
}

#[test]
fn other_devices_are_not_held_up_by_a_promise() {
    let mut world = World::new();
    let (one, other) = (device(1), device(2));
    world.connect(&one, "n1");
    world.connect(&other, "n2");
    world.flush();
    world.writes = false;
    world.send(&one, register(1, "a"));
    world.exchange(&other, PING, &[PONG]);
    world.exchange(&other, BAD_PUBLISH, &[puback(99, 9, INVALID_ID)]);
    world.silence(&one);
}

#[test]
fn a_message_for_a_device_that_is_awake_is_not_written_and_the_broker_waits_for_it() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.flush();
    world.sent();
    world.writes = false;
    let id = world.deliver("a/b", b"x", 1);
    let (msg_id, _) = world.one_publish(&node, b"x");
    world.expect_up(&[]);
    world.send(&node, puback(FIRST_ID, msg_id, OK));
    world.expect_up(&[mqtt::Packet::Puback(id)]);
    world.pass(seconds(5));
    assert!(!world.commit());
}

#[test]
fn the_broker_is_acknowledged_for_a_sleeper_when_its_message_is_written() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.sleep(&node, 600);
    world.flush();
    world.sent();
    world.writes = false;
    let id = world.deliver("a/b", b"x", 1);
    world.expect_up(&[]);
    assert!(world.commit());
    world.expect_up(&[mqtt::Packet::Puback(id)]);
}

#[test]
fn a_qos_2_message_of_the_broker_is_written_before_anybody_hears_of_it() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::Two);
    world.flush();
    world.sent();
    world.writes = false;
    world.obliging = false;
    let id = world.deliver("a/b", b"x", 2);
    world.expect_up(&[]);
    world.silence(&node);
    assert!(world.commit());
    world.expect_up(&[mqtt::Packet::Pubrec(id)]);
    let (msg_id, dup) = world.one_publish(&node, b"x");
    assert!(!dup);
    // PUBCOMP frees the broker's id, PUBREL the device's.
    world.say(mqtt::pubrel(id));
    world.send(&node, pubrec(msg_id));
    world.expect_up(&[]);
    world.silence(&node);
    assert!(world.commit());
    world.expect_up(&[mqtt::Packet::Pubcomp(id)]);
    world.expect(&node, &[pubrel(msg_id)]);
}

/// By then it may be somebody else's.
#[test]
fn what_waits_for_the_disk_does_not_go_to_an_address_that_its_client_left() {
    let mut world = World::obliging();
    let (before, after) = (device(1), device(2));
    world.connect(&before, "n1");
    world.subscribe(&before, 1, "#", Qos::One);
    world.flush();
    world.writes = false;
    world.send(&before, register(2, "c"));
    world.deliver("a/b", b"x", 1);
    world.silence(&before);
    world.send(&after, connect("n1", true, 60));
    world.writes = true;
    world.flush();
    world.silence(&before);
    world.expect(&after, &[connack(OK)]);
}
