//! What devices do every day, with all kinds of them.

use std::time::Duration;

use mqtt_sn_gateway::codec::{PublishTopic, Qos, ReturnCode};

use super::bluez::peripheral::{HM10_1, MICROCHIP_RECEIVE};
use super::bluez::{Cut, NUS_3, Peripheral};
use super::{Bluez, Bus, Place, Sensor, address, client_id, nus};
use crate::rig::{Device, heard, publish_lines, received};

/// Everything that a device does; what is written to it fits, and goes where it belongs.
fn a_whole_day(lines: &str, peripheral: Peripheral) {
    let place = Place::new(lines);
    let listener = place.listener(&["up/#"]);
    let room = usize::from(peripheral.mtu.unwrap_or(23)) - 3;
    let can_answer = peripheral.flags(&peripheral.roles().receive).contains(&"write");
    let mut device = Sensor::linked(&place.bluez, peripheral);
    assert_eq!(device.connect("daily"), ReturnCode::ACCEPTED);
    let topic = device.register("up/a").unwrap();
    for (qos, data) in [(Qos::Zero, "zero"), (Qos::One, "one"), (Qos::Two, "two")] {
        assert_eq!(device.publish(topic, qos, data), ReturnCode::ACCEPTED);
    }
    // In the long form, and longer than anything that fits.
    let long = "l".repeat(600);
    assert_eq!(device.publish(topic, Qos::One, &long), ReturnCode::ACCEPTED);
    let mut all = listener.take(4);
    all.sort_by_key(|heard| heard.payload.len() > 500);
    let expected = [("zero", 0), ("one", 1), ("two", 2), (&*long, 1)];
    assert_eq!(all, expected.map(|(data, qos)| heard("up/a", data, qos)));

    device.subscribe_to("down/+", Qos::Two);
    for (number, qos) in [(0, Qos::Zero), (1, Qos::One), (2, Qos::Two)] {
        place.publish("down/a", &number.to_string(), number);
        assert_eq!(device.receive(), received("down/a", &number.to_string(), qos));
    }
    place.publish("down/b", &long, 1);
    assert_eq!(device.receive(), received("down/b", &long, Qos::One));
    device.ping();
    device.disconnect();

    let record = device.record();
    assert!(!device.dismissed);
    assert_eq!((record.attempts, record.links, record.subscriptions), (1, 1, 1));
    assert!(record.writes.iter().all(|write| (1..=room).contains(&write.octets.len())));
    assert!(record.writes.iter().any(|write| write.octets.len() == room), "{record:?}");
    assert_eq!(record.writes.iter().any(|write| !write.command), can_answer, "{record:?}");
    place.stop();
}

#[test]
fn a_whole_day_with_nordic() {
    a_whole_day("", nus(1));
}

#[test]
fn a_whole_day_with_the_least_mtu() {
    a_whole_day("", nus(1).with_mtu(23));
}

#[test]
fn a_whole_day_with_an_old_bluez() {
    let mut silent = nus(1);
    silent.mtu = None;
    a_whole_day("", silent);
}

#[test]
fn a_whole_day_with_a_microbit() {
    let microbit = Peripheral::microbit(&address(1));
    assert_eq!(microbit.roles().receive, NUS_3);
    a_whole_day("allow = [\"BBC micro:bit*\"]", microbit);
}

#[test]
fn a_whole_day_with_an_hm10() {
    let hm10 = Peripheral::hm10(&address(1));
    assert_eq!(hm10.roles().receive, HM10_1);
    a_whole_day("profile = \"hm10\"", hm10);
}

#[test]
fn a_whole_day_with_microchip() {
    let microchip = Peripheral::microchip(&address(1));
    assert_eq!(microchip.roles().receive, MICROCHIP_RECEIVE);
    a_whole_day("profile = \"microchip\"", microchip);
}

/// Of three characteristics that would do, those that are named.
#[test]
fn a_whole_day_with_a_service_of_its_own() {
    let uuid = |number: u32| format!("{number:08x}-1234-5678-9abc-def012345678");
    let [service, write, notify, other] = [1, 2, 3, 4].map(uuid);
    let own: [(&str, &'static [&'static str]); 3] = [
        (&notify, &["indicate", "write"]),
        (&write, &["write", "notify"]),
        (&other, &["write", "write-without-response", "notify", "indicate"]),
    ];
    let peripheral = Peripheral::new(&address(1), &service, &own, &notify, &write);
    let lines =
        format!("service = \"{service}\"\nwrite = \"{write}\"\nnotify = \"{notify}\"\nmtu = 100");
    a_whole_day(&lines, peripheral.with_mtu(100));
}

/// The same at whatever places a packet is cut, both ways.
#[test]
fn packets_are_cut_anywhere() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = place.sensor(1);
    let topic = device.register("up").unwrap();
    let data = |number: usize| format!("{number:0>12}");
    let length = 7 + data(0).len();
    for number in 1..=length {
        device.cut(Cut::Every(number));
        assert_eq!(device.publish(topic, Qos::One, &data(number)), ReturnCode::ACCEPTED);
    }
    let expected: Vec<_> = (1..=length).map(|number| heard("up", &data(number), 1)).collect();
    assert_eq!(listener.take(length), expected);
    place.stop();
}

#[test]
fn several_packets_come_in_one_notification() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = Sensor::linked(&place.bluez, nus(1).with_mtu(50));
    assert_eq!(device.connect("several"), ReturnCode::ACCEPTED);
    let topic = device.register("up").unwrap();
    let mut expected = Vec::new();
    // Fewer than fit into a notification, and more, so that they are cut again.
    for count in [2, 3, 10] {
        device.cut(Cut::Together(count));
        let data: Vec<_> = (0..count).map(|number| format!("{number} of {count}")).collect();
        let ids: Vec<_> =
            data.iter().map(|data| device.begin_publish(topic, false, data)).collect();
        for id in ids {
            assert_eq!(device.puback(id), ReturnCode::ACCEPTED);
        }
        // Not before all of them have come to its radio.
        device.cut(Cut::Whole);
        expected.extend(data.iter().map(|data| heard("up", data, 1)));
    }
    assert_eq!(listener.take(expected.len()), expected);
    place.stop();
}

#[test]
fn a_hundred_notifications_come_at_once() {
    let place = Place::new("");
    let listener = place.listener(&["up"]);
    let mut device = place.sensor(1);
    let topic = device.register("up").unwrap();
    let PublishTopic::Normal(id) = topic else { panic!("{topic:?}") };
    let [high, low] = id.to_be_bytes();
    let data = |number: usize| format!("{number:0>3}");
    for round in 0..5 {
        let packet = |number: usize| {
            [&[10, 0x0C, 0, high, low, 0, 0][..], data(100 * round + number).as_bytes()].concat()
        };
        device.burst((0..100).map(packet).collect());
        // When this is answered, they have been taken.
        device.ping();
    }
    let expected: Vec<_> = (0..500).map(|number| heard("up", &data(number), 0)).collect();
    assert_eq!(listener.take(500), expected);
    place.stop();
}

/// What does not fit is not sent, if it may not be cut.
#[test]
fn packets_are_not_split_where_they_must_not_be() {
    let place = Place::new("split = false\nmtu = 60");
    let mut device = place.sensor(1);
    device.subscribe_to("a", Qos::One);
    for data in ["short", &"l".repeat(51), &"m".repeat(50), "last"] {
        place.publish("a", data, 1);
    }
    for data in ["short", &"m".repeat(50), "last"] {
        assert_eq!(device.receive(), received("a", data, Qos::One));
    }
    let writes = device.record().writes;
    assert!(writes.iter().all(|write| write.octets.len() <= 57), "{writes:?}");
    assert_eq!(writes.iter().filter(|write| write.octets.len() == 57).count(), 1);
    place.stop();
}

#[test]
fn two_adapters_have_devices_of_their_own() {
    let bus = Bus::new();
    let bluez = Bluez::on(&bus);
    bluez.with(|state| state.add_adapter("hci1", "C0:00:00:00:00:02"));
    let tables = "[[ble]]\nadapter = \"hci0\"\n[[ble]]\nadapter = \"C0:00:00:00:00:02\"\n";
    let place = Place::with(bus, bluez, tables);
    // The same address at both, even.
    let mut one = Sensor::linked(&place.bluez, nus(1));
    let mut two = Sensor::linked(&place.bluez, nus(1).at("hci1"));
    for (device, id) in [(&mut one, "one"), (&mut two, "two")] {
        assert_eq!(device.connect(id), ReturnCode::ACCEPTED);
        device.subscribe_to("both", Qos::One);
        device.subscribe_to(id, Qos::One);
    }
    for (device, id) in [(&mut two, "two"), (&mut one, "one")] {
        place.publish(id, "yours", 1);
        assert_eq!(device.receive(), received(id, "yours", Qos::One));
    }
    place.publish("both", "ours", 1);
    for device in [&mut one, &mut two] {
        assert_eq!(device.receive(), received("both", "ours", Qos::One));
    }
    place.stop();
}

/// What is no packet hurts only those that say it, and those only until they have been silent for a
/// moment.
#[test]
fn devices_say_what_is_no_packet() {
    let place = Place::new("");
    let half = [20, 0x0C, 0, 0];
    let noises: [&[u8]; 5] =
        [&[0; 500], b"booting...\r\n", &[1, 0xFF, 0xFF, 0x0C], &[0xFF; 1_000], &half];
    let mut right = place.sensor(9);
    let mut wrong: Vec<Sensor> = (0..5).map(|number| place.sensor(number)).collect();
    for (device, noise) in wrong.iter().zip(noises) {
        device.notify(noise);
        right.ping();
    }
    place.gateway.log.wait_for(&["are no MQTT-SN packets"]);
    // The gateway waits 2 s for the rest of a packet.
    std::thread::sleep(Duration::from_millis(2_200));
    let listener = place.listener(&["up"]);
    for device in &mut wrong {
        let topic = device.register("up").unwrap();
        assert_eq!(device.publish(topic, Qos::Two, "well"), ReturnCode::ACCEPTED);
        assert!(!device.dismissed);
        assert_eq!(device.record().links, 1);
    }
    assert_eq!(listener.take(5), vec![heard("up", "well", 2); 5]);
    assert_eq!(right.record().links, 1);
    place.stop();
}

/// Everything reaches a device that takes its time, and it can speak meanwhile.
#[test]
fn a_slow_device_gets_everything() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    device.subscribe_to("down", Qos::One);
    let listener = place.listener(&["up"]);
    let topic = device.register("up").unwrap();
    place.bluez.with(|state| state.timing.write = Duration::from_millis(15));
    let data = |number: usize| format!("{number:0>300}");
    let lines: Vec<String> = (0..40).map(data).collect();
    publish_lines(place.broker, "down", &lines, 1);
    assert_eq!(device.publish(topic, Qos::One, "meanwhile"), ReturnCode::ACCEPTED);
    for line in &lines {
        assert_eq!(device.receive(), received("down", line, Qos::One));
    }
    assert_eq!(listener.take(1), [heard("up", "meanwhile", 1)]);
    assert_eq!(device.record().links, 1);
    place.stop();
}

/// One that never stops talking; the others are heard, too.
#[test]
fn a_device_floods_the_gateway() {
    let place = Place::new("");
    let (loud, mut device) = (place.sensor(1), place.sensor(2));
    let listener = place.listener(&["up"]);
    let topic = device.register("up").unwrap();
    let mut expected = Vec::new();
    for round in 0..20 {
        // PINGREQ, each of which is answered, and what is none.
        loud.burst(
            (0..200)
                .map(|number| if number % 2 == 0 { vec![2, 0x16] } else { vec![0; 40] })
                .collect(),
        );
        let data = round.to_string();
        assert_eq!(device.publish(topic, Qos::One, &data), ReturnCode::ACCEPTED);
        expected.push(heard("up", &data, 1));
    }
    assert_eq!(listener.take(20), expected);
    assert_eq!(device.record().links, 1);
    place.stop();
}

/// Those behind a forwarder have sessions of their own.
#[test]
fn a_device_forwards_for_others() {
    let place = Place::new("");
    let sensor = Sensor::linked(&place.bluez, nus(1));
    let device = |node: &[u8]| Device::new(sensor.radio()).behind_forwarder(node);
    let (mut one, mut two) = (device(b"\x01"), device(b"\x02\x03"));
    for (device, number) in [(&mut one, 1), (&mut two, 2)] {
        assert_eq!(device.connect(&client_id(number)), ReturnCode::ACCEPTED);
        device.subscribe_to(&format!("to/{number}"), Qos::One);
    }
    place.publish("to/1", "first", 1);
    place.publish("to/2", "second", 1);
    assert_eq!(one.receive(), received("to/1", "first", Qos::One));
    assert_eq!(two.receive(), received("to/2", "second", Qos::One));
    place.stop();
}
