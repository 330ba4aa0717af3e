//! What an operator sees of clients and topics.

use mqtt_sn_gateway::codec::{Qos, SubscribeTopic};
use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::core::{ClientState, Signal};
use mqtt_sn_gateway::time::Time;

use crate::harness::*;

#[test]
fn a_client_is_seen_as_it_is() {
    let mut world = World::obliging();
    let node = device(7).node(&[0xA, 0xB]);
    world.signal = Signal { rssi: Some(-71), lqi: Some(200) };
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.subscribe_to(&node, 2, SubscribeTopic::Name(b"c/#"), Qos::One);
    world.subscribe_to(&node, 3, SubscribeTopic::Predefined(5), Qos::Two);
    world.sleep(&node, 300);
    world.deliver(&Down::new("c/d", b"four").qos1(1));
    let view = world.gateway.client("n1").expect("the client");
    assert_eq!((view.id(), view.state(), view.is_clean()), ("n1", ClientState::Asleep, false));
    let (address, forwarded) = view.place().expect("a place");
    assert_eq!((address.octets(), forwarded), (&[0, 0, 0, 7][..], Some(&[0xA, 0xB][..])));
    assert_eq!((view.signal().rssi, view.signal().lqi), (Some(-71), Some(200)));
    assert_eq!(view.sleeps_until(), Some(Time(world.now.0 + 300_000)));
    assert_eq!((view.waiting(), view.subscription_count()), (1, 2));
    assert!(view.waiting_bytes() > 0 && !view.is_transparent() && view.rule().is_empty());
    let topics: Vec<_> = view.topics().map(|t| (t.id, t.name.to_owned(), t.confirmed)).collect();
    assert_eq!(topics[0], (id, "a/b".to_owned(), true));
    let mut filters: Vec<_> =
        view.subscriptions().map(|s| (s.filter.to_owned(), s.qos, s.predefined)).collect();
    filters.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(filters[0], ("c/#".to_owned(), MqttQos::One, None));
    assert_eq!((filters[1].1, filters[1].2), (MqttQos::Two, Some(5)));
    assert!(world.gateway.client("n2").is_none());
}

#[test]
fn pages_have_every_client_that_stays_once() {
    let mut world = World::new();
    for number in 0..50 {
        world.connect(&device(number), &format!("n{number}"));
    }
    let mut seen = Vec::new();
    let mut from = 0;
    while from < world.gateway.client_places() {
        let part: Vec<_> = world.gateway.clients(from, 7).collect();
        assert!(part.len() <= 7);
        seen.extend(part.iter().map(|(place, view)| (*place, view.id().to_owned())));
        from += 7;
        // Some go meanwhile, and others come into their places.
        world.kick(&format!("n{from}"));
        world.connect(&device(1_000 + from), &format!("new{from}"));
    }
    let old: Vec<&str> = seen
        .iter()
        .map(|(_, id)| &**id)
        .filter(|id| id.starts_with('n') && !id.contains("new"))
        .collect();
    for number in (0..50).filter(|number| number % 7 != 0 || *number == 0) {
        let id = format!("n{number}");
        assert_eq!(old.iter().filter(|seen| **seen == id).count(), 1, "{id}");
    }
    assert_eq!(world.gateway.clients(1_000_000, 10).count(), 0);
    assert_eq!(world.gateway.clients(u32::MAX, u32::MAX).count(), 0);
}

#[test]
fn topic_names_are_seen_with_their_uses() {
    let mut world = World::obliging();
    for number in 1..=3 {
        world.connect(&device(number), &format!("n{number}"));
        world.register(&device(number), 1, "shared");
        world.register(&device(number), 2, &format!("own/{number}"));
    }
    let mut names = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let (part, further) = world.gateway.topic_names(from, 2);
        names.extend(part.iter().map(|(name, uses)| ((*name).to_owned(), *uses)));
        next = further;
    }
    assert!(names.contains(&("shared".to_owned(), 3)), "{names:?}");
    assert!(names.contains(&("own/2".to_owned(), 1)), "{names:?}");
    assert!(world.gateway.predefined_topics().any(|(id, _)| id == 5));
}
