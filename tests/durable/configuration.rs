//! Another configuration at the next start: what is known is known under other numbers.

use mqtt_sn_gateway::codec::{Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{ClientRule, LinkSettings, Profile};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;

#[test]
fn links_are_found_by_their_names_whatever_their_numbers() {
    let mut world = World::obliging();
    let link = |name: &str| LinkSettings { name: name.into(), ..LinkSettings::default() };
    world.settings.links = vec![link("one"), link("two")];
    world.restart();
    let (first, second) = (device(1), device(1).on_link(1));
    world.connect(&first, "n1");
    world.connect(&second, "n2");
    let ids = [world.register(&first, 1, "a"), world.register(&second, 1, "b")];
    world.settings.links = vec![link("zero"), link("two"), link("one")];
    world.restart();
    let (first, second) = (device(1).on_link(2), device(1).on_link(1));
    world.exchange(&first, register(2, "a"), &[regack(ids[0], 2, OK)]);
    world.exchange(&second, register(2, "b"), &[regack(ids[1], 2, OK)]);
    world.exchange(&device(1), PING, &[BYE]);
    world.restart();
    world.exchange(&first, PING, &[PONG]);
    world.exchange(&second, PING, &[PONG]);
}

#[test]
fn renumbered_links_are_right_after_another_restart_at_any_moment() {
    let link = |name: &str| LinkSettings { name: name.into(), ..LinkSettings::default() };
    // So much that a snapshot takes several commits.
    let mut world = World::obliging();
    world.settings.links = vec![link("one"), link("two")];
    world.settings.max_topics_per_client = 10_000;
    world.restart();
    let crowd = device(99);
    world.connect(&crowd, "crowd");
    for number in 0..8_000 {
        world.send(&crowd, register(number + 1, &format!("{number:030}")));
    }
    let node = device(1);
    world.connect(&node, "n1");
    world.restart();
    world.settings.links.swap(0, 1);
    world.writes = false;
    for commits in 0..6 {
        world.restart();
        let node = device(1).on_link(1);
        for _ in 0..commits {
            world.commit();
        }
        world.send(&node, register(1, "a"));
        world.restart();
        world.send(&node, PING);
        world.expect(&node, &[PONG]);
        world.exchange(&device(1), PING, &[BYE]);
    }
}

#[test]
fn a_link_that_is_gone_takes_the_address_along_and_not_the_session() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a");
    world.settings.links[0].name = "another".into();
    world.restart();
    world.exchange(&node, PING, &[BYE]);
    world.resume(&node, "n1");
    world.exchange(&node, register(2, "a"), &[regack(id, 2, OK)]);
}

#[test]
fn predefined_topics_that_are_added_do_not_shift_the_ids_of_sessions() {
    let mut world = World::obliging();
    let (old, new) = (device(1), device(2));
    world.connect(&old, "n1");
    let id = world.register(&old, 1, "a");
    world.settings.predefined.push((100, "predefined/hundred".into()));
    world.restart();
    world.broker_up(true);
    world.exchange(&old, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, OK)]);
    assert_eq!(world.published().topic, "a");
    world.exchange(&old, register(3, "b"), &[regack(id + 1, 3, OK)]);
    world.connect(&new, "n2");
    assert!(world.register(&new, 1, "a") > 100);
    world.restart();
    world.exchange(&old, register(4, "b"), &[regack(id + 1, 4, OK)]);
    // And the other way round.
    world.settings.predefined.clear();
    world.restart();
    world.exchange(&old, register(5, "b"), &[regack(id + 1, 5, OK)]);
}

#[test]
fn a_predefined_id_that_is_not_configured_any_more_leaves_a_subscription_by_name() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Predefined(5), Qos::One);
    world.settings.predefined.remove(0);
    world.restart();
    world.broker_up(true);
    world.deliver("predefined/five", b"x", 1);
    assert_eq!(world.only(&node)[1], 0x0A, "REGISTER");
}

#[test]
fn profiles_are_those_of_the_configuration_of_now() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/+", Qos::One);
    let profile = Profile::named("zephyr").expect("it is there");
    world.settings.rules = vec![ClientRule { id: "n*".into(), profile, ..ClientRule::default() }];
    world.restart();
    world.broker_up(true);
    let long = format!("a/{}", "x".repeat(70));
    world.deliver(&long, b"x", 1);
    world.silence(&node);
    world.deliver("a/b", b"x", 1);
    assert_eq!(world.collect(&node), ["x"]);
}
