//! BlueZ, the bus and adapters come and go; nobody has to do anything about it.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::{Bluez, Bus, Place, Sensor, client_id, nus};
use crate::rig::received;

const HCI: &str = "hci0";

/// Lets something go and come back so many times; sessions go on.
fn survives(rounds: u32, go: impl Fn(&mut Place), come: impl Fn(&mut Place)) {
    let mut place = Place::new("");
    let mut devices = [place.sensor(1), place.sensor(2)];
    for device in &mut devices {
        device.subscribe_to("down", Qos::One);
    }
    for round in 0..rounds {
        let data = format!("round {round}");
        go(&mut place);
        devices.iter().for_each(Sensor::wait_for_no_link);
        place.publish("down", &data, 1);
        come(&mut place);
        for device in &mut devices {
            device.wait_for_link();
            assert_eq!(device.receive(), received("down", &data, Qos::One));
            device.ping();
            assert!(!device.dismissed);
        }
    }
    place.stop();
}

#[test]
fn bluetoothd_is_killed_and_comes_back() {
    survives(2, |place| place.bluez.stop(), |place| place.bluez.start(&place.bus));
}

#[test]
fn the_bus_is_killed_and_comes_back() {
    // Nothing tells that it is gone, so it takes the gateway some seconds to see it.
    survives(
        1,
        |place| place.bus.kill(),
        |place| {
            place.bus.start();
            place.bluez.start(&place.bus);
        },
    );
}

#[test]
fn the_adapter_is_switched_off_and_on() {
    survives(
        2,
        |place| place.bluez.with(|state| state.set_powered(HCI, false)),
        |place| {
            // Whoever has switched it off wants it so.
            place.gateway.log.wait_for(&["adapter hci0 is switched off"]);
            place.bluez.with(|state| {
                assert!(!state.adapters[HCI].powered);
                state.set_powered(HCI, true);
            });
        },
    );
}

#[test]
fn the_adapter_is_pulled_out_and_put_in() {
    survives(
        2,
        |place| place.bluez.with(|state| state.unplug(HCI)),
        |place| place.bluez.with(|state| state.plug(HCI)),
    );
}

/// First nothing is there, then one thing after the other.
#[test]
fn the_gateway_is_there_first() {
    let mut bus = Bus::new();
    bus.kill();
    let bluez = Bluez::stopped();
    bluez.with(|state| {
        state.unplug(HCI);
        state.set_blocked(HCI, true);
    });
    let mut place = Place::with(bus, bluez, "[[ble]]\n");
    let mut device = Sensor::new(&place.bluez, nus(1));
    place.gateway.log.wait_for(&["there is no system bus"]);
    place.bus.start();
    place.gateway.log.wait_for(&["BlueZ is not running"]);
    place.bluez.start(&place.bus);
    place.gateway.log.wait_for(&["there is no Bluetooth adapter"]);
    place.bluez.with(|state| state.plug(HCI));
    place.gateway.log.wait_for(&["adapter hci0 is switched off"]);
    place.bluez.with(|state| {
        state.set_blocked(HCI, false);
        state.set_powered(HCI, true);
    });
    device.wait_for_link();
    assert_eq!(device.connect(&client_id(1)), ReturnCode::ACCEPTED);
    device.ping();
    place.stop();
}

/// Nobody needs to be told a thousand times.
#[test]
fn an_adapter_that_is_not_there_is_waited_for() {
    let bus = Bus::new();
    let bluez = Bluez::on(&bus);
    let place = Place::with(bus, bluez, "[[ble]]\nadapter = \"hci7\"\n");
    place.gateway.log.wait_for(&["there is no adapter hci7"]);
    place.bluez.with(|state| state.add_adapter("hci7", "C0:00:00:00:00:07"));
    let mut device = Sensor::new(&place.bluez, nus(1).at("hci7"));
    device.wait_for_link();
    assert_eq!(device.connect(&client_id(1)), ReturnCode::ACCEPTED);
    assert_eq!(place.gateway.log.count("there is no adapter hci7"), 1);
    place.stop();
}

/// A device that does not work at first is tried again, and nobody else has to wait for long.
#[test]
fn connecting_fails_in_all_ways_and_then_works() {
    let place = Place::new("");
    let mut other = place.sensor(1);
    let mut device = Sensor::quiet(&place.bluez, nus(2));
    device.faults(|faults| {
        faults.failing_connects = 1;
        faults.failing_subscriptions = 1;
    });
    device.come_back();
    device.wait_for("both failures", |record| record.attempts >= 2);
    other.ping();
    device.wait_for_link();
    assert_eq!(device.connect(&client_id(2)), ReturnCode::ACCEPTED);
    device.ping();
    let record = device.record();
    assert_eq!((record.attempts, record.links, record.subscriptions), (3, 2, 1));
    place.stop();
}

/// A write that fails costs the link at most, and nothing that was to arrive.
#[test]
fn writing_fails_and_then_works() {
    let place = Place::new("");
    let (mut device, mut other) = (place.sensor(1), place.sensor(2));
    device.subscribe_to("down", Qos::One);
    for round in 0..2 {
        device.faults(|faults| faults.failing_writes = 1);
        let data = format!("round {round}");
        place.publish("down", &data, 1);
        assert_eq!(device.receive(), received("down", &data, Qos::One));
        other.ping();
    }
    assert_eq!(device.inbox(), []);
    assert!(!device.dismissed && !other.dismissed);
    assert_eq!(other.record().links, 1);
    place.stop();
}
