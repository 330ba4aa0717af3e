//! Wills that the broker holds, kept as the client has them.

use mqtt_sn_gateway::codec::{Message, Qos, WillTopic};
use mqtt_sn_gateway::core::upstream::{MqttQos, WillSetup};

use super::{setup, transparent, will};
use crate::harness::*;

#[test]
fn a_will_that_is_changed_is_said_to_the_broker_by_another_connection() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "old");
    let update = Message::WillMsgUpd { message: b"new" };
    world.exchange(&node, update, &[Message::WillMsgResp { code: OK }]);
    assert_eq!(world.opens(), (line, setup("n1", false, Some(will("new")))));
    // The client is there all the time.
    world.line_down(line);
    world.accept(line, true);
    world.silence(&node);
    assert_eq!(world.stats().connected, 1);
    // Said again it is the same.
    world.exchange(&node, update, &[Message::WillMsgResp { code: OK }]);
    assert_eq!(world.up(), []);
}

#[test]
fn topic_qos_and_retain_of_a_will_are_changed_too() {
    let mut world = transparent();
    let node = device(1);
    world.join_with_will(&node, "n1", true, "gone");
    let topic = WillTopic { qos: Qos::Two, retain: true, topic: b"lwt" };
    let update = Message::WillTopicUpd(Some(topic));
    world.exchange(&node, update, &[Message::WillTopicResp { code: OK }]);
    let (_, said) = world.opens();
    let changed = WillSetup { qos: MqttQos::Two, retain: true, ..will("gone") };
    assert_eq!(said, setup("n1", true, Some(changed)));
}

#[test]
fn a_will_that_is_taken_back_is_taken_back_at_the_broker() {
    let mut world = transparent();
    let node = device(1);
    world.join_with_will(&node, "n1", true, "gone");
    let update = Message::WillTopicUpd(None);
    world.exchange(&node, update, &[Message::WillTopicResp { code: OK }]);
    assert_eq!(world.opens().1, setup("n1", true, None));
}

#[test]
fn a_will_that_is_changed_in_sleep_is_changed_at_the_broker() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "old");
    world.sleep(&node, 600);
    world.send(&node, Message::WillMsgUpd { message: b"new" });
    let (same, said) = world.opens();
    assert_eq!((same, said), (line, setup("n1", false, Some(will("new")))));
}

#[test]
fn a_persistent_session_keeps_its_will() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    world.pass(seconds(100));
    world.expect_up(line, Up::Close { abort: true });
    world.line_closed(line);
    world.exchange(&node, connect("n1", false, 60), &[]);
    assert_eq!(world.opens().1, setup("n1", false, Some(will("gone"))));
}

#[test]
fn a_client_that_has_left_has_no_will() {
    let mut world = transparent();
    let node = device(1);
    let line = world.join_with_will(&node, "n1", false, "gone");
    world.exchange(&node, BYE, &[BYE]);
    let said = world.gateway.line_setup(line).expect("its session is kept");
    assert_eq!((said.will, said.wanted), (None, false));
}

#[test]
fn a_will_on_a_topic_of_the_gateway_is_refused_before_the_broker_is_asked() {
    let mut world = transparent();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    let topic = will_topic("mqtt-sn-gateway/gateway/status", Qos::One, true);
    world.exchange(&node, topic, &[connack(UNSUPPORTED)]);
    assert_eq!(world.up(), [Up::Forget], "no connection was made");
}
