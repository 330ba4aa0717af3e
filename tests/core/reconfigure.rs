//! New settings while sessions are there.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::core::{ClientRule, Denial, Settings};

use crate::harness::*;

fn rule(change: impl FnOnce(&mut ClientRule)) -> Settings {
    let origin = "gateway.toml:9: [[client]]".into();
    let mut rule = ClientRule { id: "n*".into(), origin, ..ClientRule::default() };
    change(&mut rule);
    Settings { rules: vec![rule], ..settings() }
}

fn list(filters: &[&str]) -> Option<Vec<Box<str>>> {
    Some(filters.iter().map(|filter| (*filter).into()).collect())
}

/// A client "n1" that subscribed to "a/#" and "b", in a world whose broker obliges.
fn subscriber() -> (World, Device) {
    let mut world = World::obliging();
    let node = device(1);
    world.exchange(&node, connect("n1", false, 600), &[connack(OK)]);
    world.subscribe(&node, 1, "a/#", Qos::Two);
    world.subscribe(&node, 2, "b", Qos::Two);
    world.up();
    world.notices();
    (world, node)
}

#[test]
fn the_same_settings_change_nothing() {
    let (mut world, node) = subscriber();
    world.reconfigure(settings());
    world.silence_everywhere();
    assert_eq!((world.up(), world.notices()), (vec![], vec![]));
    world.exchange(&node, PING, &[PONG]);
    world.deliver(&Down::new("b", b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x")]);
}

#[test]
fn a_client_that_is_not_allowed_any_longer_loses_its_session_and_its_will_is_not_published() {
    let mut world = World::obliging();
    let (node, sleeper, other) = (device(1), device(2), device(3));
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("x"), &[connack(OK)]);
    world.subscribe(&node, 1, "a", Qos::One);
    world.connect(&sleeper, "n2");
    world.exchange(&sleeper, doze(600), &[BYE]);
    world.connect(&other, "m1");
    world.up();
    world.notices();
    world.reconfigure(rule(|rule| rule.allow = false));
    world.expect(&node, &[BYE]);
    world.silence(&sleeper);
    assert_eq!(world.unsubscribed().1, "a");
    assert_eq!(
        world.notices(),
        ["n1", "n2"].map(|id| format!("revoked: {id} Session  by gateway.toml:9: [[client]]"))
    );
    assert_eq!((world.denied(Denial::Session), world.stats().clients), (2, 1));
    world.exchange(&sleeper, wake("n2"), &[BYE]);
    world.pass(seconds(1));
    world.exchange(&node, connect("n1", true, 60), &[connack(UNSUPPORTED)]);
    world.exchange(&other, PING, &[PONG]);
    // And back again.
    world.reconfigure(settings());
    world.connect(&node, "n1");
}

#[test]
fn what_a_session_may_not_have_any_longer_is_taken_away() {
    let (mut world, node) = subscriber();
    world.exchange(&node, doze(600), &[BYE]);
    world.deliver(&Down::new("a/x", b"secret").qos1(1));
    world.deliver(&Down::new("b", b"fine").qos2(2));
    world.acknowledged_among_all();
    world.reconfigure(rule(|rule| {
        rule.subscribe = list(&["a/y", "b"]);
        rule.max_qos = MqttQos::One;
    }));
    world.silence(&node);
    assert_eq!(world.unsubscribed().1, "a/#");
    let by = "by gateway.toml:9: [[client]]";
    assert_eq!(
        world.notices()[1..],
        [format!("revoked: n1 Subscription a/# {by}"), format!("revoked: n1 Message a/x {by}")]
    );
    assert_eq!(world.denied(Denial::Possession), 2);
    let down = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 1, b"fine");
    world.exchange(&node, wake("n1"), &[down]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
    world.deliver(&Down::new("b", b"later").qos2(3));
    let down = publish(PublishTopic::Normal(FIRST_ID), Qos::One, 2, b"later");
    world.exchange(&node, wake("n1"), &[down]);
}

#[test]
fn a_will_that_is_not_allowed_any_longer_is_forgotten() {
    let mut world = World::new();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", true, 10), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("x"), &[connack(OK)]);
    world.notices();
    world.reconfigure(rule(|rule| rule.publish = list(&["a"])));
    assert_eq!(world.notices(), ["revoked: n1 Will lwt by gateway.toml:9: [[client]]"]);
    world.pass(seconds(20));
    assert_eq!((world.up(), world.stats().lost), (vec![], 1));
}

#[test]
fn another_prefix_moves_the_subscriptions_along() {
    let (mut world, node) = subscriber();
    world.reconfigure(rule(|rule| rule.topic_prefix = Some("dev/%c/".into())));
    let mut asked: Vec<String> = (world.up().into_iter())
        .map(|up| match up {
            Up::Subscribe { filter, .. } => format!("+{filter}"),
            Up::Unsubscribe { filter, .. } => format!("-{filter}"),
            other => panic!("{other:?}"),
        })
        .collect();
    asked.sort();
    assert_eq!(asked, ["+dev/n1/a/#", "+dev/n1/b", "-a/#", "-b"]);
    world.deliver(&Down::new("b", b"x"));
    world.silence(&node);
    world.deliver(&Down::new("dev/n1/b", b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(FIRST_ID), Qos::Zero, 0, b"x")]);
    world.exchange(&node, unsubscribe(3, "b"), &[unsuback(3)]);
    assert_eq!(world.unsubscribed().1, "dev/n1/b");
    world.reconfigure(settings());
    world.deliver(&Down::new("a/ab", b"x"));
    assert_eq!(world.received(&node).len(), 1);
}

/// Ids that a client was told, or knew when it connected, mean to it what they meant then.
#[test]
fn predefined_ids_keep_their_meaning_for_those_who_are_connected() {
    let mut world = World::obliging();
    let (node, fresh) = (device(1), device(2));
    world.exchange(&node, connect("n1", false, 600), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Predefined(5), Qos::Zero);
    world.up();
    let changed = || Settings {
        predefined: vec![(5, "other".into()), (6, "predefined/five".into()), (7, "new".into())],
        ..settings()
    };
    world.reconfigure(changed());
    assert_eq!(world.up(), []);
    let five = publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x");
    world.deliver(&Down::new("predefined/five", b"x"));
    world.expect(&node, &[five]);
    world.exchange(&node, five, &[]);
    assert_eq!(world.published_topics(), ["predefined/five"]);
    // What is new is known at once.
    world.exchange(&node, publish(PublishTopic::Predefined(7), Qos::Zero, 0, b"x"), &[]);
    world.connect(&fresh, "n2");
    world.exchange(&fresh, five, &[]);
    world.exchange(&device(9), publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["new", "other", "other"]);
    // From the next CONNECT on they mean what they mean now, and the subscription goes by name.
    world.pass(seconds(6));
    world.exchange(&node, PING, &[PONG]);
    world.exchange(&node, connect("n1", false, 600), &[connack(OK)]);
    world.exchange(&node, five, &[]);
    assert_eq!(world.published_topics(), ["other"]);
    world.deliver(&Down::new("predefined/five", b"x"));
    let six = publish(PublishTopic::Predefined(6), Qos::Zero, 0, b"x");
    world.expect(&node, &[six]);
    world.reconfigure(changed());
    world.exchange(&node, BYE, &[BYE]);
}

#[test]
fn normal_ids_stay_when_predefined_ones_are_added() {
    let mut world = World::obliging();
    let (node, fresh) = (device(1), device(2));
    world.exchange(&node, connect("n1", false, 600), &[connack(OK)]);
    let id = world.register(&node, 1, "a");
    world.reconfigure(Settings { predefined: vec![(500, "p".into())], ..settings() });
    world.exchange(&node, register(2, "a"), &[regack(id, 2, OK)]);
    world.exchange(&node, register(3, "b"), &[regack(id + 1, 3, OK)]);
    world.exchange(&node, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["a"]);
    world.connect(&fresh, "n2");
    assert!(world.register(&fresh, 1, "a") > 500);
    world.reconfigure(settings());
    world.exchange(&node, register(4, "b"), &[regack(id + 1, 4, OK)]);
}

#[test]
fn what_needs_a_restart_stays_and_limits_change() {
    let mut world = World::with(Settings { topic_prefix: "p/".into(), ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.register(&node, 1, "a");
    world.reconfigure(Settings {
        topic_prefix: "q/".into(),
        gateway_id: 9,
        max_topics_per_client: 1,
        advertise_interval: seconds(0),
        ..settings()
    });
    world.exchange(&node, register(2, "b"), &[regack(0, 2, CONGESTION)]);
    world.exchange(&node, publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["p/ab"]);
    world.send(&device(2), Message::SearchGw { radius: 0 });
    assert_eq!(world.received(&device(2)), [hex("03 02 01")]);
    assert_eq!(world.gateway.next_timeout().map(|at| at > world.now), Some(true));
}

#[test]
fn everything_is_given_back_after_many_changes() {
    let mut world = World::obliging();
    for round in 0..200_u16 {
        let node = device(u32::from(round));
        world.connect(&node, &format!("n{round}"));
        let name = format!("topic/{round}");
        let mut new = Settings { predefined: vec![(7, name.into())], ..settings() };
        new.rules = rule(|rule| rule.predefined = vec![(8, "own".into())]).rules;
        world.reconfigure(new);
    }
    for round in 0..200_u16 {
        world.exchange(&device(u32::from(round)), BYE, &[BYE]);
    }
    world.reconfigure(settings());
    assert_eq!(world.gateway.residue(), [0; 5]);
}
