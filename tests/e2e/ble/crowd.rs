//! Many devices at once, and more than may be connected.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::{Place, Sensor, client_id, nus};
use crate::rig::{heard, received};

#[test]
fn ten_devices_at_once() {
    let place = Place::new("max_connections = 10");
    let listener = place.listener(&["up/+"]);
    let mut devices: Vec<Sensor> = (0..10).map(|it| Sensor::new(&place.bluez, nus(it))).collect();
    let mut expected = Vec::new();
    for (number, device) in (0..).zip(&mut devices) {
        device.wait_for_link();
        assert_eq!(device.connect(&client_id(number)), ReturnCode::ACCEPTED);
        device.subscribe_to("all", Qos::One);
        let topic = device.register(&format!("up/{number}")).unwrap();
        assert_eq!(device.publish(topic, Qos::Two, "here"), ReturnCode::ACCEPTED);
        expected.push(heard(&format!("up/{number}"), "here", 2));
    }
    assert_eq!(listener.take(10), expected);
    for round in 0..10 {
        place.publish("all", &round.to_string(), 1);
    }
    for device in &mut devices {
        for round in 0..10 {
            assert_eq!(device.receive(), received("all", &round.to_string(), Qos::One));
        }
        assert_eq!(device.record().links, 1);
    }
    assert_eq!(place.bluez.with(|state| state.most_linked), 10);
    place.stop();
}

/// Everybody has a turn, and nobody's session ends while it waits for one.
#[test]
fn more_devices_than_may_be_connected_take_turns() {
    let place = Place::new("max_connections = 2\nslot_time = \"1s\"");
    let mut devices = vec![place.sensor(1), place.sensor(2)];
    devices.push(place.sensor(3));
    for (number, device) in devices.iter_mut().enumerate() {
        device.wait_for_link();
        device.subscribe_to("all", Qos::One);
        device.subscribe_to(&number.to_string(), Qos::One);
    }
    place.publish("all", "to all", 1);
    for device in &mut devices {
        assert_eq!(device.receive(), received("all", "to all", Qos::One));
    }
    for (number, device) in devices.iter_mut().enumerate() {
        let data = format!("to {number}");
        place.publish(&number.to_string(), &data, 1);
        // It may have lost its link before it acknowledged the other one.
        let again = device.receive_until(&data);
        assert!(again.iter().all(|other| other.payload == "to all"), "{again:?}");
        assert!(!device.dismissed);
    }
    assert_eq!(place.bluez.with(|state| state.most_linked), 2);
    place.stop();
}

/// One that sleeps does not need its link. Those that are awake keep theirs.
#[test]
fn sleepers_give_up_their_links_to_others() {
    let place = Place::new("max_connections = 2\nslot_time = \"1h\"");
    let (mut sleeper, mut awake) = (place.sensor(1), place.sensor(2));
    sleeper.subscribe_to("down", Qos::One);
    let mut third = Sensor::new(&place.bluez, nus(3));
    sleeper.sleep(600);
    third.wait_for_link();
    assert_eq!(third.connect(&client_id(3)), ReturnCode::ACCEPTED);
    place.publish("down", "later", 1);
    awake.ping();
    assert_eq!(awake.record().links, 1);
    // It wakes when the third is asleep.
    third.sleep(600);
    sleeper.wait_for_link();
    assert_eq!(sleeper.collect(&client_id(1)), [received("down", "later", Qos::One)]);
    assert_eq!((awake.record().links, awake.record().disconnects), (1, 0));
    assert_eq!(place.bluez.with(|state| state.most_linked), 2);
    place.stop();
}

/// A crowd of strangers is no burden.
#[test]
fn nobody_connects_to_strangers() {
    let place = Place::new("allow = [\"friend*\"]");
    for number in 100..160 {
        place.bluez.add(nus(number).named("stranger"));
    }
    let mut friend = Sensor::linked(&place.bluez, nus(1).named("friend 1"));
    assert_eq!(friend.connect(&client_id(1)), ReturnCode::ACCEPTED);
    place.bluez.wait("the strangers to be seen", |state| {
        state.devices.iter().all(|device| device.shown).then_some(())
    });
    std::thread::sleep(Duration::from_millis(100));
    friend.ping();
    let attempts = place
        .bluez
        .with(|state| state.devices.iter().map(|device| device.record.attempts).sum::<usize>());
    assert_eq!(attempts, 1);
    place.stop();
}
