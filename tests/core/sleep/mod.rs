//! Sleeping clients (MQTT-SN 1.2 §6.14).

mod answers;
mod buffer;
mod checklist;
mod interrupted;
mod lost;
mod requests;
mod states;
mod timer;
mod wake;
mod window;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Settings;

use crate::harness::*;

/// Topic "ab", which needs no id.
const AB: PublishTopic = PublishTopic::Short(*b"ab");
const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);

/// A clean client "n1" that is subscribed to "ab" at this QoS and asleep for so many seconds.
fn sleeper(qos: Qos, duration: u16) -> (World, Device) {
    sleeper_with(settings(), qos, duration)
}

fn sleeper_with(settings: Settings, qos: Qos, duration: u16) -> (World, Device) {
    let mut world = World::with(settings);
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), qos);
    world.sleep(&node, duration);
    world.notices();
    (world, node)
}

/// A persistent client "n1" that is subscribed to "ab" at QoS 2, with this keep-alive, asleep.
fn persistent_sleeper(keep_alive: u16, duration: u16) -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect("n1", false, keep_alive), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    world.sleep(&node, duration);
    world.notices();
    (world, node)
}

/// Delivers one message per payload to "ab" at QoS 1; each is acknowledged to the broker at once,
/// since a sleeper cannot be waited for.
#[track_caller]
fn deliver_one_each(world: &mut World, payloads: &[&[u8]]) {
    for (delivery, payload) in (1..).zip(payloads) {
        world.deliver(&Down::new("ab", payload).qos1(delivery));
        assert_eq!(world.acknowledged(), [delivery]);
    }
}

/// A PUBLISH to "ab" at QoS 1.
fn one(msg_id: u16, payload: &[u8]) -> Message<'_> {
    publish(AB, Qos::One, msg_id, payload)
}

/// Connects "n1" with the will "lwt" / "gone" at QoS 0.
#[track_caller]
fn connect_willed(world: &mut World, node: &Device, clean: bool, keep_alive: u16) {
    world.exchange(node, connect_with_will("n1", clean, keep_alive), &[Message::WillTopicReq]);
    world.exchange(node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(node, will_msg("gone"), &[connack(OK)]);
}

/// A sleeper with a wildcard subscription for whom "s/1/cmd" waits, at this QoS.
fn with_unknown_topic(qos: Qos) -> (World, Device) {
    let (mut world, node) = subscribed_to_all(qos);
    world.sleep(&node, 3_600);
    world.deliver(&Down::new("s/1/cmd", b"x").qos2(1));
    world.up();
    world.notices();
    (world, node)
}
