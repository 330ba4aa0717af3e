//! ADVERTISE, SEARCHGW, GWINFO (MQTT-SN 1.2 §6.1).

use std::time::Duration;

use mqtt_sn_gateway::codec::Message;
use mqtt_sn_gateway::core::{LinkSettings, Settings};

use crate::harness::*;

fn advertising(seconds: u64) -> Settings {
    let broadcast = LinkSettings { broadcast: true, ..LinkSettings::default() };
    Settings {
        gateway_id: 7,
        links: vec![LinkSettings::default(), broadcast],
        advertise_interval: Duration::from_secs(seconds),
        ..settings()
    }
}

/// Once per search, to the asker, without GwAdd: Zephyr reads GwAdd as a raw socket address and
/// keeps an entry per answer.
#[test]
fn a_search_is_answered_by_unicast_without_an_address() {
    let mut world = World::with(Settings { gateway_id: 7, ..settings() });
    for radius in ["00", "01", "FF"] {
        world.send_hex(&device(1), &format!("03 01 {radius}"));
        world.expect_hex(&device(1), &["03 02 07"]);
    }
    world.connect(&device(1), "n1");
    world.exchange(
        &device(1),
        Message::SearchGw { radius: 0 },
        &[Message::GwInfo { gateway_id: 7, address: &[] }],
    );
    assert_eq!(world.broadcasts(), []);
}

#[test]
fn answering_searches_can_be_turned_off() {
    let mut world = World::with(Settings { answer_search: false, ..settings() });
    world.exchange(&device(1), Message::SearchGw { radius: 0 }, &[]);
}

/// The announced time is half as long again: one lost datagram must not make clients leave.
#[test]
fn advertise_goes_to_links_with_broadcast_in_its_period() {
    let mut world = World::with(advertising(900));
    let advertise = (1, hex("05 00 07 05 46"));
    assert_eq!(world.broadcasts(), std::slice::from_ref(&advertise));
    world.pass(seconds(899));
    let early = world.broadcasts().len();
    world.pass(seconds(3 * 900));
    let broadcasts = world.broadcasts();
    assert_eq!(early + broadcasts.len(), 4);
    assert!(broadcasts.iter().all(|broadcast| *broadcast == advertise));
}

#[test]
fn a_long_period_is_announced_as_long_as_can_be() {
    let mut world = World::with(advertising(65_000));
    assert_eq!(world.broadcasts(), [(1, hex("05 00 07 FF FF"))]);
}

/// §6.1: only while there is a broker to offer.
#[test]
fn advertise_only_while_the_broker_is_there() {
    let mut world = World::offline(advertising(900));
    world.pass(seconds(2_000));
    assert_eq!(world.broadcasts(), []);
    world.broker_up(false);
    assert_eq!(world.broadcasts().len(), 1);
    world.broker_down();
    world.pass(seconds(2_000));
    assert_eq!(world.broadcasts(), []);
    world.broker_up(true);
    assert_eq!(world.broadcasts().len(), 1);
}

#[test]
fn advertise_can_be_turned_off() {
    let mut world = World::with(advertising(0));
    world.broker_down();
    world.broker_up(false);
    world.pass(seconds(100_000));
    assert_eq!(world.broadcasts(), []);
}
