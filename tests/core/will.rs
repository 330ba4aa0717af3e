//! The will: its dialogue, its update, its publication (MQTT-SN 1.2 §6.3, §6.4).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, WillTopic};
use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::core::{Drop, Settings};

use crate::harness::*;

/// Connects with the will "lwt" / "gone" at QoS 0.
#[track_caller]
fn connect_willed(world: &mut World, node: &Device, id: &str, clean: bool, duration: u16) {
    world.exchange(node, connect_with_will(id, clean, duration), &[Message::WillTopicReq]);
    world.exchange(node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(node, will_msg("gone"), &[connack(OK)]);
}

/// Lets the client be lost and gives the will that is published: QoS, retain, topic, payload.
#[track_caller]
fn will_after_loss(world: &mut World) -> Option<(MqttQos, bool, String, Vec<u8>)> {
    assert_eq!(world.up(), []);
    world.pass(seconds(100));
    assert_eq!(world.stats().connected, 0);
    if world.stats().wills == 0 {
        assert_eq!(world.up(), []);
        return None;
    }
    let (_, qos, retain, topic, payload) = world.published();
    Some((qos, retain, topic, payload))
}

#[test]
fn the_dialogue_asks_for_topic_and_message_and_then_accepts() {
    let mut world = World::new();
    let node = device(1);
    world.send_hex(&node, "08 04 0C 01 00 3C 6E 31");
    world.expect_hex(&node, &["02 06"]);
    world.send_hex(&node, "0A 07 30 73 2F 31 2F 6C 77 74");
    world.expect_hex(&node, &["02 08"]);
    world.send_hex(&node, "06 09 67 6F 6E 65");
    world.expect_hex(&node, &["03 05 00"]);
    let will = will_after_loss(&mut world);
    assert_eq!(will, Some((MqttQos::One, true, "s/1/lwt".into(), b"gone".to_vec())));
}

#[test]
fn a_goodbye_publishes_no_will() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, "n1", true, 60);
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(1_000));
    assert_eq!((world.up(), world.stats().wills), (vec![], 0));
}

#[test]
fn a_will_may_have_an_empty_message() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Two, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg(""), &[connack(OK)]);
    assert_eq!(will_after_loss(&mut world), Some((MqttQos::Two, false, "lwt".into(), vec![])));
}

/// §6.13: CONNECT, WILLTOPIC and WILLMSG are repeated until the next prompt arrives.
#[test]
fn every_step_of_the_dialogue_may_be_repeated() {
    let mut world = World::new();
    let node = device(1);
    for _ in 0..2 {
        world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    }
    for _ in 0..2 {
        world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    }
    // CONNECT again. Delayed on its way, it changes nothing: the message may follow.
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    for _ in 0..3 {
        // The CONNACK was lost: WILLMSG is what the client repeats.
        world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    }
    // Or CONNECT, if it starts over.
    world.exchange(&node, connect_with_will("n1", true, 60), &[connack(OK)]);
    assert_eq!(world.stats().connected, 1);
    world.exchange(&node, PING, &[PONG]);
    // After that a WILLMSG belongs to nothing.
    world.exchange(&node, will_msg("gone"), &[]);
    assert_eq!(world.dropped(Drop::OutOfOrder), 1);
}

/// A device that gives up half-way begins with CONNECT again, and understands WILLTOPICREQ alone.
#[test]
fn a_device_may_begin_the_dialogue_again() {
    let mut world = World::new();
    let node = device(1);
    for name in ["first", "second", "third"] {
        world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will_topic(name, Qos::One, false), &[Message::WillMsgReq]);
    }
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    let will = will_after_loss(&mut world).map(|(_, _, topic, _)| topic);
    assert_eq!(will.as_deref(), Some("third"));
}

/// When it begins again, the gateway asks for the topic until it has heard it: the message of one
/// attempt never meets the topic of another.
#[test]
fn a_dialogue_that_begins_again_asks_for_the_topic_until_it_comes() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("old", Qos::One, false), &[Message::WillMsgReq]);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.pass(seconds(25));
    world.expect(&node, &[Message::WillTopicReq, Message::WillTopicReq]);
    world.exchange(&node, will_topic("new", Qos::One, false), &[Message::WillMsgReq]);
}

#[test]
fn the_gateway_repeats_its_prompts_and_then_gives_up() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.pass(seconds(35));
    world.expect(&node, &[Message::WillTopicReq; 3]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.pass(seconds(60));
    world.expect(&node, &[Message::WillMsgReq; 3]);
    // It never was connected: no will, no loss.
    assert_eq!((world.stats().clients, world.stats().lost, world.up()), (0, 0, vec![]));
    assert_eq!(world.stats().retransmissions, 6);
}

/// §24.4: the empty WILLTOPIC deletes the stored will and ends the dialogue. So do flags without a
/// topic.
#[test]
fn an_empty_willtopic_deletes_the_stored_will() {
    for empty in ["02 07", "03 07 00"] {
        let mut world = World::new();
        let node = device(1);
        connect_willed(&mut world, &node, "n1", false, 60);
        world.exchange(&node, BYE, &[BYE]);
        world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
        // Twice: the CONNACK may get lost.
        for _ in 0..2 {
            world.send_hex(&node, empty);
            world.expect(&node, &[connack(OK)]);
        }
        assert_eq!(will_after_loss(&mut world), None);
    }
}

/// The table of §6.3.
#[test]
fn clean_session_and_will_flag_together() {
    for (clean, asks, topic) in [
        (true, true, Some("new")),
        (true, false, None),
        (false, true, Some("new")),
        (false, false, Some("lwt")),
    ] {
        let mut world = World::new();
        let node = device(1);
        connect_willed(&mut world, &node, "n1", false, 60);
        world.exchange(&node, BYE, &[BYE]);
        if asks {
            let connect = connect_with_will("n1", clean, 60);
            world.exchange(&node, connect, &[Message::WillTopicReq]);
            world.exchange(&node, will_topic("new", Qos::Zero, false), &[Message::WillMsgReq]);
            world.exchange(&node, will_msg("x"), &[connack(OK)]);
        } else {
            world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        }
        let fired = will_after_loss(&mut world).map(|(_, _, topic, _)| topic);
        assert_eq!(fired.as_deref(), topic, "clean {clean}, will {asks}");
    }
}

/// An unfinished dialogue leaves the will of a kept session as it was.
#[test]
fn a_new_will_counts_from_willmsg_on() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, "n1", false, 60);
    world.exchange(&node, connect_with_will("n1", false, 60), &[connack(OK)]);
    world.exchange(&node, PING, &[PONG]);
    world.pass(seconds(6));
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("new", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    assert_eq!(will_after_loss(&mut world).expect("a will").2, "lwt");
}

#[test]
fn an_impossible_will_is_refused_and_the_connection_with_it() {
    let bad = [
        will_topic("a/#", Qos::Zero, false),
        will_topic("a", Qos::MinusOne, false),
        will_topic("a\u{1}b", Qos::Zero, false),
        will_topic("mqtt-sn-gateway/gateway/status", Qos::Zero, false),
        Message::WillTopic(Some(WillTopic { qos: Qos::Zero, retain: false, topic: b"\xff" })),
    ];
    for will in bad {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will, &[connack(UNSUPPORTED)]);
        assert_eq!(world.stats().clients, 0);
        world.exchange(&node, PING, &[BYE]);
    }
}

#[test]
fn nothing_but_the_dialogue_is_done_before_connack() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    let up = publish(PublishTopic::Predefined(5), Qos::One, 1, b"x");
    for message in [PING, register(1, "a"), subscribe(1, "a", Qos::Zero), up, will_msg("early")] {
        world.exchange(&node, message, &[]);
    }
    assert_eq!((world.up(), world.dropped(Drop::OutOfOrder)), (vec![], 5));
    world.exchange(&node, BYE, &[BYE]);
    assert_eq!(world.stats().clients, 0);
}

/// What the broker answers to the former connection is remembered, but not said in the middle of the
/// dialogue: some clients read one datagram and expect the prompt.
#[test]
fn answers_to_the_former_connection_do_not_disturb_the_dialogue() {
    let mut world = World::new();
    let node = device(1);
    world.resume(&node, "n1");
    let first = publish(PublishTopic::Predefined(5), Qos::One, 1, b"x");
    let second = publish(PublishTopic::Predefined(5), Qos::Two, 2, b"y");
    world.exchange(&node, first, &[]);
    let (one, ..) = world.published();
    world.exchange(&node, second, &[]);
    let (two, ..) = world.published();
    world.exchange(&node, subscribe(3, "a", Qos::Zero), &[]);
    let (three, ..) = world.subscribed();
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.completed(one);
    world.received_upstream(two);
    world.granted(three, MqttQos::Zero);
    world.silence(&node);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    world.exchange(&node, again(first), &[puback(5, 1, OK)]);
    world.exchange(&node, again(second), &[pubrec(2)]);
    world.exchange(&node, subscribe(3, "a", Qos::Zero), &[suback(Qos::Zero, FIRST_ID, 3, OK)]);
    assert_eq!(world.up(), []);
}

#[test]
fn topic_and_message_of_the_will_are_updated_apart() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, "n1", true, 60);
    world.send_hex(&node, "0A 1A 30 73 2F 31 2F 6C 77 32");
    world.expect_hex(&node, &["03 1B 00"]);
    world.send_hex(&node, "05 1C 62 79 65");
    world.expect_hex(&node, &["03 1D 00"]);
    let will = will_after_loss(&mut world);
    assert_eq!(will, Some((MqttQos::One, true, "s/1/lw2".into(), b"bye".to_vec())));
}

#[test]
fn a_will_may_begin_with_an_update() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", true, 60), &[connack(OK)]);
    let message = Message::WillMsgUpd { message: b"bye" };
    world.exchange(&node, message, &[Message::WillMsgResp { code: UNSUPPORTED }]);
    let topic =
        Message::WillTopicUpd(Some(WillTopic { qos: Qos::Zero, retain: false, topic: b"t" }));
    world.exchange(&node, topic, &[Message::WillTopicResp { code: OK }]);
    world.exchange(&node, message, &[Message::WillMsgResp { code: OK }]);
    assert_eq!(will_after_loss(&mut world).expect("a will").3, b"bye");
}

/// §6.4: the empty WILLTOPICUPD deletes topic and message. RIOT sends it so.
#[test]
fn an_empty_willtopicupd_deletes_the_will() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, "n1", true, 60);
    for _ in 0..2 {
        world.send_hex(&node, "02 1A");
        world.expect_hex(&node, &["03 1B 00"]);
    }
    assert_eq!(will_after_loss(&mut world), None);
}

#[test]
fn a_refused_update_leaves_the_will_alone() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, "n1", true, 60);
    let bad = Message::WillTopicUpd(Some(WillTopic { qos: Qos::Zero, retain: false, topic: b"#" }));
    world.exchange(&node, bad, &[Message::WillTopicResp { code: UNSUPPORTED }]);
    assert_eq!(will_after_loss(&mut world).expect("a will").2, "lwt");
}

/// §6.3: will data are part of a kept session, also after they have been used.
#[test]
fn the_will_of_a_kept_session_is_published_at_every_loss_once() {
    let mut world = World::with(Settings { session_expiry: seconds(500), ..settings() });
    let node = device(1);
    connect_willed(&mut world, &node, "n1", false, 60);
    for losses in 1..=3 {
        world.pass(seconds(100));
        assert_eq!((world.stats().wills, world.published_topics()), (losses, vec!["lwt".into()]));
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    }
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(600));
    assert_eq!((world.up(), world.stats().clients), (vec![], 0));
}

#[test]
fn a_connect_of_the_same_client_publishes_no_will() {
    let mut world = World::new();
    connect_willed(&mut world, &device(1), "n1", true, 60);
    world.connect(&device(2), "n1");
    assert_eq!((world.up(), world.stats().lost), (vec![], 0));
}

/// QoS −1 needs no connection, so a client that says it may still wait for its CONNACK.
#[test]
fn a_publication_without_connection_does_not_end_the_dialogue() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    world.exchange(&node, publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"), &[]);
    world.pass(seconds(10));
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
}
