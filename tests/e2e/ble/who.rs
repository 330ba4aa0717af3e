//! Who may connect.

use std::time::Duration;

use mqtt_sn_gateway::codec::ReturnCode;

use super::bluez::Peripheral;
use super::{Place, Sensor, address, client_id, nus};

/// The one that may comes last, so that the others had their chance.
fn only(lines: &str, strangers: Vec<Peripheral>, friend: Peripheral) {
    let place = Place::new(lines);
    let strangers: Vec<_> =
        strangers.into_iter().map(|stranger| Sensor::new(&place.bluez, stranger)).collect();
    // Those for whom BlueZ does not look are not even seen.
    place.bluez.wait("discovery", |state| {
        let adapter = &state.adapters["hci0"];
        (!adapter.discoverers.is_empty()).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    let mut friend = Sensor::linked(&place.bluez, friend);
    assert_eq!(friend.connect("friend"), ReturnCode::ACCEPTED);
    friend.ping();
    for stranger in strangers {
        assert_eq!(stranger.record().attempts, 0);
    }
    place.stop();
}

#[test]
fn those_that_offer_the_service() {
    let hm10 = Peripheral::hm10(&address(1));
    let mut silent = nus(2);
    silent.advertised.clear();
    only("", vec![hm10, silent], nus(3));
}

#[test]
fn those_with_a_name_that_comes_late() {
    let mut late = nus(2).named("sensor-2");
    late.nameless = 10;
    late.advertised.clear();
    only("allow = [\"sensor-?\"]", vec![nus(1), nus(3).named("sensor-33")], late);
}

#[test]
fn those_with_an_address() {
    let mut silent = nus(2);
    silent.advertised.clear();
    only("allow = [\"f0:11:22:33:44:02\", \"F0:11:22:33:44:07\"]", vec![nus(1)], silent);
}

#[test]
fn those_that_advertise_another_service() {
    let mut other = nus(2);
    other.advertised = vec!["0000fd00-0000-1000-8000-00805f9b34fb".to_owned()];
    only("allow = [\"0xFD00\"]", vec![nus(1)], other);
}

/// One that offers nothing that could be used is left alone again.
#[test]
fn one_without_the_service_does_not_keep_its_link() {
    let place = Place::new("allow = [\"it*\"]");
    let wrong = Sensor::new(&place.bluez, Peripheral::hm10(&address(1)).named("it 1"));
    place.gateway.log.wait_for(&[&address(1), "it has no service"]);
    wrong.wait_for_no_link();
    let mut right = Sensor::linked(&place.bluez, nus(2).named("it 2"));
    assert_eq!(right.connect(&client_id(2)), ReturnCode::ACCEPTED);
    assert_eq!(wrong.record().subscriptions, 0);
    place.stop();
}

/// Who came while it was permitted comes back also after a restart; others do not.
#[test]
fn those_that_were_here_when_it_was_permitted() {
    let mut place = Place::new("permit_join = \"1h\"");
    let mut friend = place.sensor(1);
    friend.ping();
    assert_eq!(place.gateway.terminate(), 0);
    place.gateway.rewrite(|text| text.replace("\"1h\"", "\"never\""));
    let stranger = Sensor::new(&place.bluez, nus(2));
    place.gateway.restart_and_wait();
    place.gateway.log.wait_for(&[&address(2), "wants to join"]);
    friend.wait_for_link();
    assert_eq!(friend.connect(&client_id(1)), ReturnCode::ACCEPTED);
    assert_eq!(stranger.record().attempts, 0);
    place.stop();
}

#[test]
fn those_that_were_here_in_time() {
    let mut place = Place::new("permit_join = \"1s\"");
    place.gateway.log.wait_for(&["listening for MQTT-SN on ble"]);
    std::thread::sleep(Duration::from_millis(1_200));
    let stranger = Sensor::new(&place.bluez, nus(1));
    place.gateway.log.wait_for(&[&address(1), "wants to join"]);
    assert_eq!(stranger.record().attempts, 0);
    // From now on.
    assert_eq!(place.gateway.terminate(), 0);
    place.gateway.rewrite(|text| text.replace("\"1s\"", "\"1h\""));
    place.gateway.restart_and_wait();
    stranger.wait_for_link();
    place.stop();
}

/// By the API, while the gateway runs.
#[test]
fn those_for_whom_the_window_is_opened() {
    let mut place = Place::new("permit_join = \"never\"\n[admin]\nlisten = \"127.0.0.1:0\"");
    let admin = crate::admin::http::address(&place.gateway);
    let join = |seconds: u32| {
        let path = format!("/api/v1/links/ble/permit-join?seconds={seconds}");
        let answer =
            crate::admin::http::request(admin, "POST", &path, "X-Requested-With: t\r\n", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["permit_join"].clone()
    };
    let mut friend = Sensor::new(&place.bluez, nus(1));
    place.gateway.log.wait_for(&[&address(1), "wants to join"]);
    assert_eq!(friend.record().attempts, 0);
    assert_eq!(join(600)["open"], true);
    friend.wait_for_link();
    assert_eq!(friend.connect(&client_id(1)), ReturnCode::ACCEPTED);
    assert_eq!(join(0), serde_json::json!({ "open": false, "until": null, "known": 1 }));
    let stranger = Sensor::new(&place.bluez, nus(2));
    place.gateway.log.wait_for(&[&address(2), "wants to join"]);
    // It is remembered.
    assert_eq!(place.gateway.terminate(), 0);
    place.gateway.restart_and_wait();
    friend.wait_for_link();
    assert_eq!(friend.connect(&client_id(1)), ReturnCode::ACCEPTED);
    assert_eq!(stranger.record().attempts, 0);
    place.stop();
}
