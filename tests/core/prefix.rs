//! `upstream.topic_prefix`, and the gateway's own topics, which are closed to devices.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, WillTopic};
use mqtt_sn_gateway::core::{Drop, Settings};

use crate::harness::*;

fn prefixed(prefix: &str) -> World {
    World::with(Settings { topic_prefix: prefix.into(), ..settings() })
}

#[test]
fn the_prefix_goes_in_front_of_everything_on_the_way_up() {
    let mut world = prefixed("site/1/");
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a");
    let topics =
        [PublishTopic::Normal(id), PublishTopic::Predefined(5), PublishTopic::Short(*b"ab")];
    for topic in topics {
        world.exchange(&node, publish(topic, Qos::Zero, 0, b"x"), &[]);
    }
    world.exchange(&node, publish(topics[2], Qos::MinusOne, 0, b"x"), &[]);
    assert_eq!(
        world.published_topics(),
        ["site/1/a", "site/1/predefined/five", "site/1/ab", "site/1/ab"]
    );
    world.send(&node, subscribe(2, "#", Qos::Zero));
    assert_eq!(world.subscribed().1, "site/1/#");
    world.send(&node, unsubscribe(3, "#"));
    assert_eq!(world.unsubscribed().1, "site/1/#");
}

#[test]
fn the_prefix_goes_in_front_of_wills() {
    let mut world = prefixed("p/");
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 10), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("x"), &[connack(OK)]);
    world.pass(seconds(20));
    assert_eq!(world.published_topics(), ["p/lwt"]);
}

#[test]
fn the_prefix_is_taken_away_on_the_way_down() {
    let mut world = prefixed("p/");
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a", Qos::Zero);
    world.deliver(&Down::new("p/a", b"x"));
    let topic = PublishTopic::Normal(FIRST_ID);
    world.expect(&node, &[publish(topic, Qos::Zero, 0, b"x")]);
    for stranger in ["a", "q/a", "p", "p/p/a"] {
        world.deliver(&Down::new(stranger, b"x").qos1(1));
        world.silence(&node);
        assert_eq!(world.acknowledged(), [1]);
    }
    assert_eq!(world.dropped(Drop::NoSubscriber), 4);
}

#[test]
fn a_renewed_subscription_has_the_prefix_too() {
    let mut world = prefixed("p/");
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a", Qos::Zero);
    world.broker_down();
    world.broker_up(false);
    assert_eq!(world.subscribed().1, "p/a");
    world.broker_down();
    world.exchange(&node, BYE, &[BYE]);
    world.broker_up(true);
    assert_eq!(world.unsubscribed().1, "p/a");
}

/// However a device comes by the name: by REGISTER, by an id that a subscription gave it, by a
/// predefined id, by a short name, as a will. What counts is the topic at the broker.
#[test]
fn devices_cannot_publish_to_the_gateways_own_topics() {
    let own = "mqtt-sn-gateway/gateway/status";
    for (prefix, name) in [
        ("", own),
        ("mqtt-sn-gateway/", "gateway/status"),
        ("mqtt-sn-gateway/gat", "eway/status"),
        ("mqtt-sn-gateway/gateway/", "status"),
        ("mqtt-sn-gateway/gateway/clients/", "n2"),
    ] {
        let mut world = World::with(Settings {
            topic_prefix: prefix.into(),
            predefined: vec![(5, name.into())],
            ..settings()
        });
        let node = device(1);
        world.connect(&node, "n1");
        world.exchange(&node, register(1, name), &[regack(0, 1, UNSUPPORTED)]);

        // Reading is free, and gives the topic an id.
        let (id, _) = world.subscribe(&node, 2, name, Qos::Zero);
        let to = publish(PublishTopic::Normal(id), Qos::One, 3, b"offline");
        world.exchange(&node, to, &[puback(id, 3, UNSUPPORTED)]);
        let to = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"offline");
        world.exchange(&node, to, &[puback(id, 0, UNSUPPORTED)]);

        let to = publish(PublishTopic::Predefined(5), Qos::Two, 4, b"offline");
        world.exchange(&node, to, &[puback(5, 4, UNSUPPORTED)]);
        world.exchange(
            &node,
            publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"offline"),
            &[],
        );
        let will = WillTopic { qos: Qos::Zero, retain: true, topic: name.as_bytes() };
        let refusal = [Message::WillTopicResp { code: UNSUPPORTED }];
        world.exchange(&node, Message::WillTopicUpd(Some(will)), &refusal);
        assert_eq!(world.up(), [], "{prefix:?}");
    }
}

#[test]
fn short_names_can_be_own_topics_too() {
    let mut world = prefixed("mqtt-sn-gateway/gateway/");
    let node = device(1);
    world.connect(&node, "n1");
    let to = publish(PublishTopic::Short(*b"ab"), Qos::One, 1, b"x");
    world.exchange(&node, to, &[puback(0x6162, 1, UNSUPPORTED)]);
    world.exchange(&device(2), publish(PublishTopic::Short(*b"ab"), Qos::MinusOne, 0, b"x"), &[]);
    assert_eq!((world.up(), world.dropped(Drop::Unauthenticated)), (vec![], 1));
}

#[test]
fn an_id_announced_by_the_gateway_does_not_open_its_own_topics() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Name(b"mqtt-sn-gateway/#"), Qos::Zero);
    let own = "mqtt-sn-gateway/gateway/clients/n2";
    world.deliver(&Down::new(own, b"{}"));
    world.expect(&node, &[announce(FIRST_ID, 1, own)]);
    let down = publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"{}");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[down]);
    let to = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 2, b"x");
    world.exchange(&node, to, &[puback(FIRST_ID, 2, UNSUPPORTED)]);
    assert_eq!(world.up(), []);
}

#[test]
fn what_only_looks_like_an_own_topic_is_open() {
    for (prefix, name) in [
        ("", "mqtt-sn-gateway/other/status"),
        ("", "mqtt-sn-gateway/gateway"),
        ("", "mqtt-sn-gateway/gateway2/status"),
        ("", "MQTT-SN-GATEWAY/gateway/status"),
        ("p/", "mqtt-sn-gateway/gateway/status"),
        ("mqtt-sn-gateway/g", "x/status"),
        ("mqtt-sn-gateway/other/", "status"),
    ] {
        let mut world = prefixed(prefix);
        let node = device(1);
        world.connect(&node, "n1");
        let id = world.register(&node, 1, name);
        world.exchange(&node, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[]);
        assert_eq!(world.published_topics(), [format!("{prefix}{name}")]);
    }
}
