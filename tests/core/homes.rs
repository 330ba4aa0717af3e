//! What Home Assistant is told of clients, and when.

use std::time::Duration;

use mqtt_sn_gateway::core::{ClientRule, HomeDevice, HomeEntity, HomeNews, Settings};

use crate::harness::*;

fn described(pattern: &str, topic: &str) -> ClientRule {
    let entity = HomeEntity { key: "k".into(), topic: topic.into(), ..HomeEntity::default() };
    let device = HomeDevice { entities: vec![entity], ..HomeDevice::default() };
    ClientRule { id: pattern.into(), home: Some(Box::new(device)), ..ClientRule::default() }
}

fn with_rules(rules: impl IntoIterator<Item = ClientRule>) -> Settings {
    Settings {
        tell_states: true,
        home_prefix: Some("homeassistant".into()),
        rules: rules.into_iter().collect(),
        ..settings()
    }
}

/// What is told until nothing is left: `id state`, and behind it the topic of the entity, or `-` where it is
/// taken away.
fn told(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    while world.gateway.tells_at().is_some() {
        world.now = world.now.after(Duration::from_millis(100));
        world.gateway.tell(world.now, &mut |news| {
            let state = news.standing.map_or("ended", |standing| standing.state);
            let home = match news.home {
                HomeNews::Nothing => String::new(),
                HomeNews::Device(device) => format!(" {}", device.entities[0].topic),
                HomeNews::NoDevice => " -".to_owned(),
            };
            all.push(format!("{} {state}{home}", news.id));
            true
        });
    }
    all
}

#[test]
fn a_device_is_described_once_with_each_connection() {
    let mut world = World::with(with_rules([described("meter-*", "t")]));
    let (meter, other) = (device(1), device(2));
    world.connect(&meter, "meter-1");
    world.connect(&other, "other");
    assert_eq!(told(&mut world), ["meter-1 active t", "other active"]);
    world.sleep(&meter, 60);
    assert_eq!(told(&mut world), ["meter-1 asleep"]);
    world.broker_down();
    world.broker_up(true);
    // One that has news before its turn in the round comes.
    world.exchange(&meter, connect("meter-1", true, 60), &[connack(OK)]);
    assert_eq!(told(&mut world), ["meter-1 active", "meter-1 active t", "other active"]);
    world.sleep(&meter, 60);
    assert_eq!(told(&mut world), ["meter-1 asleep"]);
}

#[test]
fn other_rules_make_other_devices() {
    let mut world = World::with(with_rules([described("*", "t")]));
    world.connect(&device(1), "n1");
    assert_eq!(told(&mut world), ["n1 active t"]);
    world.reconfigure(with_rules([described("*", "u")]));
    assert_eq!(told(&mut world), ["n1 active u"]);
    world.reconfigure(with_rules([]));
    assert_eq!(told(&mut world), ["n1 active -"]);
    world.reconfigure(with_rules([]));
    assert_eq!(told(&mut world), ["n1 active"]);
}

#[test]
fn it_is_taken_away_with_the_session_and_stays_after_a_goodbye() {
    let mut world = World::with(with_rules([described("*", "t")]));
    for number in 1..=2 {
        world.connect(&device(number), &format!("n{number}"));
    }
    told(&mut world);
    world.exchange(&device(1), BYE, &[BYE]);
    world.kick("n2");
    assert_eq!(told(&mut world), ["n1 disconnected", "n2 ended -"]);
}

#[test]
fn nothing_is_described_unless_it_is_wanted() {
    let rules = vec![described("*", "t")];
    let mut world = World::with(Settings { home_prefix: None, ..with_rules(rules) });
    world.connect(&device(1), "n1");
    assert_eq!(told(&mut world), ["n1 active"]);
}
