//! Links that go and come again, with sessions that stay.

use std::time::Duration;

use mqtt_sn_gateway::codec::{PublishTopic, Qos, ReturnCode};

use super::{Place, Sensor, client_id, nus};
use crate::rig::{Way, heard, received};

/// Nobody has to connect again, and nothing is lost of what waited.
#[test]
fn a_session_outlives_its_link() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = place.sensor(1);
    device.subscribe_to("down", Qos::One);
    let topic = device.register("up").unwrap();
    for round in 1..=3 {
        let data = format!("round {round}");
        device.leave();
        device.wait_for_no_link();
        place.publish("down", &data, 1);
        device.come_back();
        device.wait_for_link();
        assert_eq!(device.receive(), received("down", &data, Qos::One));
        assert_eq!(device.publish(topic, Qos::Two, &data), ReturnCode::ACCEPTED);
    }
    let expected: Vec<_> = (1..=3).map(|round| heard("up", &format!("round {round}"), 2)).collect();
    assert_eq!(listener.take(3), expected);
    let record = device.record();
    assert_eq!((record.links, record.subscriptions), (4, 4));
    assert!(!device.dismissed);
    place.stop();
}

/// The beginning of a packet goes with its link.
#[test]
fn half_a_packet_does_not_outlive_its_link() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = place.sensor(1);
    let topic = device.register("up").unwrap();
    device.notify(&[100, 0x0C, 0x20, 0, 1]);
    device.drop_link();
    device.wait_for_link();
    assert_eq!(device.publish(topic, Qos::One, "whole"), ReturnCode::ACCEPTED);
    assert_eq!(listener.take(1), [heard("up", "whole", 1)]);
    // It was understood at once, so it was not sent again.
    let publishes = device
        .trace
        .iter()
        .filter(|(way, octets)| *way == Way::Sent && octets.get(1) == Some(&0x0C));
    assert_eq!(publishes.count(), 1);
    place.stop();
}

/// A sensor that switches its radio off until it wants to know what there is for it.
#[test]
fn a_sleeper_drops_its_link_and_comes_back_for_what_waits() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    device.subscribe_to("down/+", Qos::Two);
    for round in 1..=2 {
        device.sleep(600);
        device.leave();
        device.wait_for_no_link();
        let messages: Vec<_> = (0..5).map(|number| format!("{round}.{number}")).collect();
        for (number, data) in messages.iter().enumerate() {
            place.publish(&format!("down/{number}"), data, 1 + number as u8 % 2);
        }
        device.come_back();
        device.wait_for_link();
        let mut collected = Vec::new();
        while collected.len() < messages.len() {
            device.trace.clear();
            collected.extend(device.collect(&client_id(1)));
            let (way, last) = device.trace.last().unwrap();
            assert_eq!(
                (way, last.as_slice()),
                (&Way::Received, &[2, 0x17][..]),
                "PINGRESP is last"
            );
        }
        assert_eq!(collected.into_iter().map(|it| it.payload).collect::<Vec<_>>(), messages);
    }
    assert!(!device.dismissed);
    place.stop();
}

/// The gateway tries to connect to it without having heard it.
#[test]
fn a_device_comes_back_while_it_is_called() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    device.leave();
    device.wait_for("a try", |record| record.attempts == 2);
    device.come_back();
    device.wait_for_link();
    device.ping();
    let record = device.record();
    assert_eq!((record.attempts, record.links, record.subscriptions), (2, 2, 2));
    place.stop();
}

/// As thrifty sensors do: nothing of what was said is lost, however soon the link goes.
#[test]
fn a_device_says_what_it_has_to_say_and_is_gone() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = place.sensor(1);
    let PublishTopic::Normal(id) = device.register("up").unwrap() else { panic!("a normal topic") };
    let [high, low] = id.to_be_bytes();
    let data = |number: usize| format!("{number:0>3}");
    for round in 0..5 {
        // It does not wait until it has been written to, either.
        place.bluez.with(|state| state.timing.write = Duration::from_secs(600));
        device.ping();
        let packet = |number: usize| {
            [&[10, 0x0C, 0, high, low, 0, 0][..], data(50 * round + number).as_bytes()].concat()
        };
        device.burst_and_drop((0..50).map(packet).collect());
        place.bluez.with(|state| state.timing.write = Duration::ZERO);
        device.wait_for_link();
    }
    let expected: Vec<_> = (0..250).map(|number| heard("up", &data(number), 0)).collect();
    assert_eq!(listener.take(250), expected);
    assert_eq!(device.record().links, 6);
    place.stop();
}

/// One that does not even wait for the answer to its goodbye.
#[test]
fn a_sleeper_is_gone_before_it_is_answered() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    device.subscribe_to("down", Qos::One);
    device.burst_and_leave(vec![vec![4, 0x18, 0x02, 0x58]]);
    device.wait_for_no_link();
    place.publish("down", "wait", 1);
    device.come_back();
    device.wait_for_link();
    assert_eq!(device.collect(&client_id(1)), [received("down", "wait", Qos::One)]);
    place.stop();
}

/// One that keeps its link sleeps all the same.
#[test]
fn a_sleeper_keeps_its_link() {
    let place = Place::new("");
    let (mut device, mut other) = (place.sensor(1), place.sensor(2));
    device.subscribe_to("both", Qos::One);
    other.subscribe_to("both", Qos::One);
    device.sleep(600);
    let before = device.record().writes.len();
    place.publish("both", "wait", 1);
    assert_eq!(other.receive(), received("both", "wait", Qos::One));
    other.ping();
    assert_eq!(device.record().writes.len(), before, "it sleeps");
    assert_eq!(device.collect(&client_id(1)), [received("both", "wait", Qos::One)]);
    assert_eq!(device.record().links, 1);
    place.stop();
}

/// BlueZ keeps links for a client that is gone; and what it knows of devices.
#[test]
fn the_gateway_is_killed_and_finds_its_devices_again() {
    let mut place = Place::new("");
    let mut device = Sensor::linked(&place.bluez, nus(1));
    assert_eq!(device.connect_with("kept", false, 60), ReturnCode::ACCEPTED);
    device.subscribe_to("down", Qos::One);
    place.gateway.kill();
    place.publish("down", "while it was away", 1);
    place.gateway.restart_and_wait();
    device.wait_for_link();
    assert_eq!(device.receive(), received("down", "while it was away", Qos::One));
    device.ping();
    assert!(!device.dismissed);
    place.stop();
}

/// At its end the gateway leaves no link behind.
#[test]
fn the_gateway_ends_and_disconnects_its_devices() {
    let mut place = Place::new("");
    let mut devices = [place.sensor(1), place.sensor(2)];
    devices.iter_mut().for_each(|device| device.ping());
    assert_eq!(place.gateway.terminate(), 0);
    for device in &devices {
        assert_eq!(device.record().disconnects, 1);
        device.wait_for_no_link();
    }
    place.bluez.wait("the scan to end", |state| {
        state.adapters["hci0"].discoverers.is_empty().then_some(())
    });
}

/// BlueZ forgets devices that are away; they are new to it when they come back.
#[test]
fn a_device_that_bluez_has_forgotten_comes_back() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    device.subscribe_to("down", Qos::One);
    place.bluez.with(|state| state.timing.memory = Some(Duration::from_millis(100)));
    device.leave();
    device.wait_to_be_forgotten();
    place.publish("down", "while it was away", 1);
    device.come_back();
    device.wait_for_link();
    assert_eq!(device.receive(), received("down", "while it was away", Qos::One));
    device.ping();
    place.stop();
}
