//! Rules by client id and link: who may connect, publish and subscribe, at which QoS, with which topics
//! of its own.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, WillTopic};
use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::core::{ClientRule, Denial, Drop, Limit, LinkSettings, Settings};

use crate::harness::*;

const RULE: &str = "gateway.toml:7: [[client]] id = \"n*\"";

fn filters(filters: &[&str]) -> Option<Vec<Box<str>>> {
    Some(filters.iter().map(|filter| (*filter).into()).collect())
}

fn rule(id: &str) -> ClientRule {
    let origin = format!("gateway.toml:7: [[client]] id = \"{id}\"").into();
    ClientRule { id: id.into(), origin, ..ClientRule::default() }
}

fn ruled(rules: impl IntoIterator<Item = ClientRule>) -> Settings {
    Settings { rules: rules.into_iter().collect(), ..settings() }
}

/// A client "n1" at `device(1)` under a rule.
fn client(rule: ClientRule) -> (World, Device) {
    let mut world = World::with(ruled([rule]));
    let node = device(1);
    world.connect(&node, "n1");
    world.notices();
    (world, node)
}

#[test]
fn a_denied_client_is_refused_at_a_limited_rate_and_nothing_is_kept() {
    let mut world = World::with(ruled([ClientRule { allow: false, ..rule("n*") }]));
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[connack(UNSUPPORTED)]);
    assert_eq!(world.notices(), [format!("refused:  CONNECT n1 3 by {RULE}")]);
    for _ in 0..9 {
        world.exchange(&node, connect("n1", false, 60), &[]);
    }
    world.pass(seconds(1));
    world.exchange(&node, connect("n1", false, 60), &[connack(UNSUPPORTED)]);
    assert_eq!((world.denied(Denial::Client), world.stats().clients), (11, 0));
    world.exchange(&node, connect("m1", true, 60), &[connack(OK)]);
    world.exchange(&node, PING, &[PONG]);
}

#[test]
fn without_a_rule_the_default_decides() {
    let settings = Settings { deny_by_default: true, ..ruled([rule("n*")]) };
    let mut world = World::with(settings);
    let (node, other) = (device(1), device(2));
    world.exchange(&other, connect("m1", true, 60), &[connack(UNSUPPORTED)]);
    let told = world.notices();
    assert_eq!(told, ["refused:  CONNECT m1 3 by [access] default = \"deny\""]);
    world.connect(&node, "n1");
    // QoS −1 is for those who are known.
    let nobody = publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x");
    world.exchange(&other, nobody, &[]);
    assert_eq!((world.up(), world.dropped(Drop::Unauthenticated)), (vec![], 1));
    world.exchange(&node, nobody, &[]);
    assert_eq!(world.published_topics(), ["predefined/five"]);
}

#[test]
fn the_first_rule_whose_id_and_link_both_match_applies() {
    let link = |name: &str| LinkSettings { name: name.into(), ..LinkSettings::default() };
    let denied = ClientRule { allow: false, link: Some("udp 1*".into()), ..rule("n*") };
    let rest = ClientRule { publish: filters(&["a"]), ..rule("n1") };
    let settings = Settings { links: vec![link("udp 1"), link("udp 2")], ..ruled([denied, rest]) };
    let mut world = World::with(settings);
    world.exchange(&device(1), connect("n1", true, 60), &[connack(UNSUPPORTED)]);
    let node = device(1).on_link(1);
    world.connect(&node, "n1");
    world.exchange(&node, register(1, "b"), &[regack(FIRST_ID, 1, OK)]);
    let to = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 2, b"x");
    world.exchange(&node, to, &[puback(FIRST_ID, 2, UNSUPPORTED)]);
    // A sleeper that wakes on the other link is not let in either, and its session stays.
    world.exchange(&node, doze(60), &[BYE]);
    world.pass(seconds(1));
    world.exchange(&device(1), wake("n1"), &[BYE]);
    world.exchange(&node, wake("n1"), &[PONG]);
}

#[test]
fn publications_outside_the_rule_are_refused_at_every_qos() {
    let (mut world, node) =
        client(ClientRule { publish: filters(&["a/#", "own/%c"]), ..rule("n*") });
    let allowed = world.register(&node, 1, "own/n1");
    let other = world.register(&node, 2, "own/n2");
    world.exchange(
        &node,
        publish(PublishTopic::Normal(other), Qos::Zero, 0, b"x"),
        &[puback(other, 0, UNSUPPORTED)],
    );
    for qos in [Qos::One, Qos::Two] {
        let to = publish(PublishTopic::Normal(other), qos, 3, b"x");
        world.exchange(&node, to, &[puback(other, 3, UNSUPPORTED)]);
    }
    let short = publish(PublishTopic::Short(*b"ab"), Qos::One, 4, b"x");
    world.exchange(&node, short, &[puback(0x6162, 4, UNSUPPORTED)]);
    world.exchange(&node, publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"), &[]);
    assert_eq!((world.up(), world.denied(Denial::Publish)), (vec![], 5));
    let told = world.notices();
    assert_eq!(told[0], format!("refused: n1 PUBLISH own/n2 3 by {RULE}"));
    assert_eq!(told[4], format!("refused: n1 PUBLISH predefined/five 3 by {RULE}"));
    world.send(&node, publish(PublishTopic::Normal(allowed), Qos::One, 5, b"x"));
    assert_eq!(world.published().3, "own/n1");
}

#[test]
fn an_empty_list_allows_nothing_and_an_id_for_nothing_is_refused() {
    let (mut world, node) =
        client(ClientRule { publish: filters(&[]), subscribe: filters(&["in/+"]), ..rule("n*") });
    world.exchange(&node, register(1, "out"), &[regack(0, 1, UNSUPPORTED)]);
    assert_eq!(world.notices(), [format!("refused: n1 REGISTER out 3 by {RULE}")]);
    assert_eq!(world.denied(Denial::Register), 1);
    // For reading it is good.
    let id = world.register(&node, 2, "in/a");
    let to = publish(PublishTopic::Normal(id), Qos::One, 3, b"x");
    world.exchange(&node, to, &[puback(id, 3, UNSUPPORTED)]);
}

#[test]
fn subscriptions_are_allowed_if_one_filter_covers_all_that_they_match() {
    let subscribe_list = filters(&["cmd/%c/#", "all/+"]);
    let (mut world, node) = client(ClientRule { subscribe: subscribe_list, ..rule("n*") });
    let no = |msg_id| suback(Qos::Zero, 0, msg_id, UNSUPPORTED);
    let forbidden = ["#", "cmd/+/a", "cmd/#", "cmd/n2/a", "all/#", "all", "+/a", "all/a/b"];
    for (msg_id, filter) in (1..).zip(forbidden) {
        world.exchange(&node, subscribe(msg_id, filter, Qos::One), &[no(msg_id)]);
    }
    assert_eq!(world.denied(Denial::Subscribe), forbidden.len() as u64);
    assert_eq!(world.notices()[0], format!("refused: n1 SUBSCRIBE # 3 by {RULE}"));
    let five = subscribe_to(20, SubscribeTopic::Predefined(5), Qos::One);
    world.exchange(&node, five, &[no(20)]);
    let short = subscribe_to(21, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.exchange(&node, short, &[no(21)]);
    assert_eq!(world.up(), []);
    world.obliging = true;
    for (msg_id, filter) in (30..).zip(["cmd/n1", "cmd/n1/+/x", "cmd/n1/#", "all/+", "all/a"]) {
        world.send(&node, subscribe(msg_id, filter, Qos::One));
        assert_eq!(world.received(&node).len(), 1);
    }
    assert_eq!(world.up().len(), 5);
}

#[test]
fn a_will_that_the_rule_forbids_ends_the_dialogue() {
    let publish_list = filters(&["ok"]);
    let limited = ClientRule { publish: publish_list, max_qos: MqttQos::One, ..rule("n*") };
    let mut world = World::with(ruled([limited]));
    let node = device(1);
    for (topic, qos, denial) in [("other", Qos::Zero, Denial::Will), ("ok", Qos::Two, Denial::Qos)]
    {
        world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will_topic(topic, qos, false), &[connack(UNSUPPORTED)]);
        assert_eq!(world.notices(), [format!("refused: n1 WILLTOPIC {topic} 3 by {RULE}")]);
        assert_eq!((world.denied(denial), world.stats().clients), (1, 0));
    }
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("ok", Qos::One, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    let other = WillTopic { qos: Qos::Zero, retain: false, topic: b"other" };
    let refusal = [Message::WillTopicResp { code: UNSUPPORTED }];
    world.exchange(&node, Message::WillTopicUpd(Some(other)), &refusal);
    // The one from before stays.
    world.pass(seconds(100));
    let (_, _, _, topic, payload) = world.published();
    assert_eq!((&*topic, &*payload), ("ok", &b"gone"[..]));
}

#[test]
fn the_highest_qos_holds_both_ways() {
    let (mut world, node) = client(ClientRule { max_qos: MqttQos::One, ..rule("n*") });
    let id = world.register(&node, 1, "a");
    let two = publish(PublishTopic::Normal(id), Qos::Two, 2, b"x");
    world.exchange(&node, two, &[puback(id, 2, UNSUPPORTED)]);
    assert_eq!((world.up(), world.denied(Denial::Qos)), (vec![], 1));
    world.obliging = true;
    world.send(&node, subscribe(3, "a", Qos::Two));
    world.expect(&node, &[suback(Qos::One, id, 3, OK)]);
    world.deliver(&Down::new("a", b"x").qos2(1));
    world.expect(&node, &[publish(PublishTopic::Normal(id), Qos::One, 1, b"x")]);
}

#[test]
fn limits_of_a_rule_come_before_those_of_everybody() {
    let mut limited = ClientRule {
        max_topics: Some(1),
        max_subscriptions: Some(1),
        max_buffered_messages: Some(1),
        retry_count: Some(0),
        retry_interval: Some(seconds(3)),
        ..rule("n*")
    };
    limited.max_buffered_bytes = Some(1_000);
    let (mut world, node) = client(limited);
    let free = device(2);
    world.connect(&free, "m1");
    world.obliging = true;
    let id = world.register(&node, 1, "a");
    world.exchange(&node, register(2, "b"), &[regack(0, 2, CONGESTION)]);
    world.exchange(&free, register(2, "b"), &[regack(FIRST_ID + 8, 2, OK)]);
    assert_eq!(world.limit(Limit::Topics), 1);
    world.subscribe(&node, 3, "a", Qos::One);
    let full = suback(Qos::Zero, 0, 4, CONGESTION);
    world.exchange(&node, subscribe(4, "a/#", Qos::One), &[full]);
    for delivery in 1..4 {
        world.deliver(&Down::new("a", b"x").qos1(delivery));
    }
    world.expect(&node, &[publish(PublishTopic::Normal(id), Qos::One, 1, b"x")]);
    assert_eq!((world.limit(Limit::Buffer), world.stats().buffered), (1, 2));
    world.notices();
    world.pass(seconds(4));
    assert!(world.notices()[0].starts_with("lost: n1, NoAnswer"), "one try of three seconds");
}

#[test]
fn predefined_topics_of_a_rule_come_before_those_of_everybody() {
    let own = ClientRule {
        predefined: vec![(5, "own/five".into()), (9, "own/nine".into())],
        ..rule("n*")
    };
    let (mut world, node) = client(own);
    let other = device(2);
    world.connect(&other, "m1");
    world.exchange(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"), &[]);
    world.exchange(&node, publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"), &[]);
    world.exchange(&other, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["own/five", "own/five", "predefined/five"]);
    let nine = publish(PublishTopic::Predefined(9), Qos::One, 1, b"x");
    world.exchange(&other, nine, &[puback(9, 1, INVALID_ID)]);
    world.obliging = true;
    world.subscribe_to(&node, 2, SubscribeTopic::Name(b"#"), Qos::Zero);
    world.deliver(&Down::new("own/nine", b"x"));
    world.expect(&node, &[publish(PublishTopic::Predefined(9), Qos::Zero, 0, b"x")]);
    world.deliver(&Down::new("predefined/six", b"x"));
    world.expect(&node, &[publish(PublishTopic::Predefined(6), Qos::Zero, 0, b"x")]);
    // Its id 5 is another topic.
    world.deliver(&Down::new("predefined/five", b"x"));
    world.expect(&node, &[announce(10, 1, "predefined/five")]);
}

#[test]
fn an_id_that_would_be_more_than_a_name_cannot_stand_in_a_topic() {
    for templated in [
        ClientRule { publish: filters(&["dev/%c/#"]), ..rule("*") },
        ClientRule { subscribe: filters(&["dev/%c/#"]), ..rule("*") },
        ClientRule { topic_prefix: Some("dev/%c/".into()), ..rule("*") },
    ] {
        let mut world = World::with(ruled([templated]));
        for (number, id) in (1..).zip(["+", "#", "a/b", "x+", "$SYS", "$share"]) {
            let node = device(number);
            world.exchange(&node, connect(id, true, 60), &[connack(UNSUPPORTED)]);
        }
        assert_eq!(world.denied(Denial::Client), 6);
        world.connect(&device(99), "n1");
    }
    let mut world = World::with(ruled([rule("*")]));
    world.connect(&device(1), "a/+");
}

#[test]
fn a_prefix_with_the_client_id_keeps_clients_apart_and_filters_that_coincide_are_one() {
    let prefixed = ClientRule { topic_prefix: Some("dev/%c/".into()), ..rule("n*") };
    let mut world = World::with(ruled([prefixed]));
    let (first, second, plain) = (device(1), device(2), device(3));
    world.connect(&first, "n1");
    world.connect(&second, "n2");
    world.connect(&plain, "m1");
    world.obliging = true;
    let (first_id, second_id, id) = (FIRST_ID, FIRST_ID + 8, FIRST_ID + 16);
    world.exchange(&first, subscribe(1, "cmd", Qos::One), &[suback(Qos::One, first_id, 1, OK)]);
    assert_eq!(world.subscribed().1, "dev/n1/cmd");
    world.exchange(&second, subscribe(1, "cmd", Qos::One), &[suback(Qos::One, second_id, 1, OK)]);
    assert_eq!(world.subscribed().1, "dev/n2/cmd");
    // The same topic as that of n1: one filter, which the broker is asked for again only for what is
    // retained.
    let whole = subscribe(1, "dev/n1/cmd", Qos::One);
    world.exchange(&plain, whole, &[suback(Qos::One, id, 1, OK)]);
    assert_eq!(world.subscribed().1, "dev/n1/cmd");
    world.deliver(&Down::new("dev/n1/cmd", b"on").qos1(7));
    world.expect(&first, &[publish(PublishTopic::Normal(first_id), Qos::One, 1, b"on")]);
    world.expect(&plain, &[publish(PublishTopic::Normal(id), Qos::One, 1, b"on")]);
    world.silence(&second);
    // One name waits for the device, the other is kept: the broker hears of it once.
    assert_eq!(world.acknowledged(), [0; 0]);
    world.send(&plain, puback(id, 1, OK));
    world.send(&first, puback(first_id, 1, OK));
    assert_eq!(world.acknowledged(), [7]);
    world.send(&first, unsubscribe(2, "cmd"));
    assert_eq!(world.up(), [], "somebody else needs it");
    world.send(&plain, unsubscribe(2, "dev/n1/cmd"));
    assert_eq!(world.unsubscribed().1, "dev/n1/cmd");
    world.send(&second, publish(PublishTopic::Short(*b"up"), Qos::One, 3, b"x"));
    assert_eq!(world.published_topics(), ["dev/n2/up"]);
}

#[test]
fn retained_messages_and_wills_know_the_prefix_of_their_client() {
    let prefixed = ClientRule { topic_prefix: Some("%c/".into()), ..rule("n*") };
    let mut world = World::with(ruled([prefixed]));
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 10), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("x"), &[connack(OK)]);
    world.obliging = true;
    world.exchange(&node, subscribe(1, "+", Qos::Zero), &[suback(Qos::Zero, 0, 1, OK)]);
    let (_, filter, _, id, _) = world.subscribed();
    assert_eq!(filter, "n1/+");
    world.deliver(&Down::new("n1/ab", b"x").retained().ids(&[id]));
    let down = retained(publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, b"x"));
    world.expect(&node, &[down]);
    world.pass(seconds(20));
    assert_eq!(world.published_topics_among_all(), ["n1/lwt"]);
}

#[test]
fn the_gateways_own_topics_stay_closed_whatever_the_prefix() {
    for (prefix, id, name) in [
        ("mqtt-sn-gateway/", "n1", "gateway/status"),
        ("%c/", "mqtt-sn-gateway", "gateway/status"),
        ("mqtt-sn-gateway/%c/", "gateway", "clients/n2"),
    ] {
        let own = ClientRule { topic_prefix: Some(prefix.into()), ..rule("*") };
        let mut world = World::with(ruled([own]));
        let node = device(1);
        world.connect(&node, id);
        world.exchange(&node, register(1, name), &[regack(0, 1, UNSUPPORTED)]);
        let (topic, _) = world.subscribe(&node, 2, name, Qos::Zero);
        world.up();
        let to = publish(PublishTopic::Normal(topic), Qos::One, 3, b"x");
        world.exchange(&node, to, &[puback(topic, 3, UNSUPPORTED)]);
        let will = WillTopic { qos: Qos::Zero, retain: true, topic: name.as_bytes() };
        let refusal = [Message::WillTopicResp { code: UNSUPPORTED }];
        world.exchange(&node, Message::WillTopicUpd(Some(will)), &refusal);
        assert_eq!(world.up(), [], "{prefix}");
    }
}

#[test]
fn a_prefix_that_makes_a_topic_too_long_is_a_refusal() {
    let long = "x".repeat(65_534 - 2);
    let prefixed = ClientRule { topic_prefix: Some(format!("{long}/").into()), ..rule("n*") };
    let (mut world, node) = client(prefixed);
    world.exchange(&node, register(1, "abc"), &[regack(0, 1, UNSUPPORTED)]);
    let no = suback(Qos::Zero, 0, 2, UNSUPPORTED);
    world.exchange(&node, subscribe(2, "abc", Qos::One), &[no]);
    let to = publish(PublishTopic::Predefined(5), Qos::One, 3, b"x");
    world.exchange(&node, to, &[puback(5, 3, UNSUPPORTED)]);
    let will = WillTopic { qos: Qos::Zero, retain: false, topic: b"abc" };
    let refusal = [Message::WillTopicResp { code: UNSUPPORTED }];
    world.exchange(&node, Message::WillTopicUpd(Some(will)), &refusal);
    assert_eq!((world.up(), world.denied(Denial::Prefix)), (vec![], 4));
    // Two more octets are the most that MQTT has.
    world.send(&node, publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, b"x"));
    assert_eq!(world.published_topics()[0].len(), 65_535);
    let none = ClientRule { topic_prefix: Some("x".repeat(65_535).into()), ..rule("n*") };
    let mut world = World::with(ruled([none]));
    world.exchange(&node, connect("n1", true, 60), &[connack(UNSUPPORTED)]);
}

#[test]
fn a_filter_that_is_none_behind_its_prefix_is_refused() {
    for (prefix, filter) in [("p", "#"), ("p", "+/a"), ("$share", "/g/a")] {
        let prefixed = ClientRule { topic_prefix: Some(prefix.into()), ..rule("n*") };
        let (mut world, node) = client(prefixed);
        let no = suback(Qos::Zero, 0, 1, UNSUPPORTED);
        world.exchange(&node, subscribe(1, filter, Qos::One), &[no]);
        assert_eq!((world.up(), world.denied(Denial::Prefix)), (vec![], 1));
    }
}
