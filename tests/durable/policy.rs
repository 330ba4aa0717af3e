//! Sessions of a former life under the rules of the present one.

use mqtt_sn_gateway::codec::Qos;
use mqtt_sn_gateway::core::{ClientRule, Settings};

use crate::harness::*;
use crate::messages::*;

fn rule(change: impl FnOnce(&mut ClientRule)) -> Vec<ClientRule> {
    let origin = "gateway.toml:9: [[client]]".into();
    let mut rule = ClientRule { id: "n*".into(), origin, ..ClientRule::default() };
    change(&mut rule);
    vec![rule]
}

/// "n1" sleeps, with subscriptions to "a/#" and "b" and a message for each.
fn sleeper() -> (World, Device) {
    let mut world = World::obliging_five();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/#", Qos::One);
    world.subscribe(&node, 2, "b", Qos::One);
    world.sleep(&node, 3_600);
    world.deliver("a/x", b"secret", 1);
    world.deliver("b", b"fine", 1);
    (world, node)
}

#[test]
fn a_session_that_is_not_allowed_any_longer_is_gone_for_good() {
    let (mut world, node) = sleeper();
    world.settings.rules = rule(|rule| rule.allow = false);
    world.restart();
    assert_eq!(world.notices(), ["revoked: n1 Session  by gateway.toml:9: [[client]]"]);
    world.exchange(&node, wake("n1"), &[BYE]);
    world.flush();
    assert!(world.image_on_disk().clients.is_empty());
    // Nobody is left who wants its filters.
    world.obliging = false;
    world.broker_up(true);
    assert_eq!(world.sent().iter().filter(|p| format!("{p:?}").contains("Unsubscribe")).count(), 2);
    world.settings.rules.clear();
    world.restart();
    world.exchange(&node, wake("n1"), &[BYE]);
}

#[test]
fn by_default_too() {
    let (mut world, node) = sleeper();
    world.settings.deny_by_default = true;
    world.restart();
    let told = "revoked: n1 Session  by [access] default = \"deny\"";
    assert_eq!(world.notices(), [told]);
    world.exchange(&node, wake("n1"), &[BYE]);
}

#[test]
fn what_is_not_allowed_any_longer_is_dropped_and_the_rest_stays() {
    let (mut world, node) = sleeper();
    world.settings.rules = rule(|rule| rule.subscribe = Some(vec!["b".into(), "c".into()]));
    world.restart();
    let by = "by gateway.toml:9: [[client]]";
    let told =
        [format!("revoked: n1 Subscription a/# {by}"), format!("revoked: n1 Message a/x {by}")];
    assert_eq!(world.notices(), told);
    world.broker_up(true);
    world.deliver("a/y", b"secret too", 1);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["fine"]);
    world.flush();
    // Also after the rule is gone again: it was taken away.
    world.settings.rules.clear();
    world.restart();
    world.broker_up(true);
    world.deliver("a/z", b"not subscribed", 1);
    world.deliver("b", b"again", 1);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["again"]);
}

#[test]
fn a_will_that_is_not_allowed_any_longer_is_not_published() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.settings.rules = rule(|rule| rule.publish = Some(vec![]));
    world.restart();
    assert_eq!(world.notices(), ["revoked: n1 Will will by gateway.toml:9: [[client]]"]);
    world.broker_up(true);
    world.sent();
    world.pass(seconds(200));
    assert_eq!(world.payloads_up(), [""; 0]);
}

#[test]
fn subscriptions_go_on_behind_the_prefix_of_now() {
    let (mut world, node) = sleeper();
    let prefixed = |prefix: &str| rule(|rule| rule.topic_prefix = Some(prefix.into()));
    for rules in [prefixed("dev/%c/"), prefixed("other/%c/"), prefixed("other/%c/")] {
        let prefix = rules[0].topic_prefix.clone().expect("one").replace("%c", "n1");
        world.settings = Settings { rules, ..world.settings.clone() };
        world.restart();
        world.broker_up(true);
        world.send(&node, wake("n1"));
        world.collect(&node);
        world.deliver("b", b"elsewhere", 1);
        world.deliver(&format!("{prefix}b"), b"here", 1);
        world.deliver(&format!("{prefix}a/c"), b"and here", 1);
        world.send(&node, wake("n1"));
        assert_eq!(world.collect(&node), ["here", "and here"], "{prefix}");
    }
}

/// Two names of one message: the broker hears of it when one has arrived and the other is on disk.
#[test]
fn a_message_under_two_names_is_acknowledged_when_both_are_safe() {
    let mut world = World::obliging();
    world.settings.rules = rule(|rule| rule.topic_prefix = Some("dev/%c/".into()));
    world.restart();
    world.broker_up(true);
    let (node, plain) = (device(1), device(2));
    world.resume(&node, "n1");
    world.resume(&plain, "m1");
    world.subscribe(&node, 1, "cmd", Qos::One);
    let id = world.subscribe(&plain, 1, "dev/n1/cmd", Qos::One);
    world.flush();
    world.sent();
    world.obliging = false;
    world.writes = false;
    world.deliver("dev/n1/cmd", b"on", 1);
    let (msg_id, _) = world.one_publish(&plain, b"on");
    world.send(&plain, puback(id, msg_id, OK));
    assert_eq!(world.sent(), [], "for n1 it is in memory only");
    world.commit();
    world.flush();
    assert_eq!(world.sent().len(), 1, "the acknowledgement");
    world.restart();
    assert_eq!(world.collect(&node), ["on"]);
}
