//! Devices in the network of an XBee module.

mod network;

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode};

use super::{logged, start_with, wait_for};
use crate::rig::{Device, Listener, heard, publish, received};
use network::{Network, Series};

/// Everything that a device does, with octets that are escaped.
fn a_whole_day(series: Series, api: u8, is_short: bool) {
    let network = Network::new(series, api, 1);
    if is_short {
        network.set_short(0);
    }
    let (mut gateway, _mosquitto, broker) = start_with(&network.table(), "");
    let mode = format!(
        "XBee 0013A200407D137E, firmware {}",
        if series == Series::One { "10ED" } else { "4060" }
    );
    wait_for(&gateway, &mode);
    wait_for(&gateway, &format!("API mode {api}, network 3332, channel 0C, largest payload"));
    let listener = Listener::start(broker, &["up/#"]);
    let mut device = Device::connected(network.node(0), "by-xbee");
    let address = if is_short { "7E00" } else { "0013A2007E7D1100" };
    wait_for(&gateway, &format!("\"by-xbee\" connected from {address} on serial"));

    let topic = device.register("up/~}").unwrap();
    for (qos, data) in [(Qos::Zero, "zero ~"), (Qos::One, "one }"), (Qos::Two, "two \u{11}\u{13}")]
    {
        assert_eq!(device.publish(topic, qos, data), ReturnCode::ACCEPTED);
    }
    let expected = [("zero ~", 0), ("one }", 1), ("two \u{11}\u{13}", 2)];
    assert_eq!(listener.take(3), expected.map(|(data, qos)| heard("up/~}", data, qos)));

    device.subscribe_to("down/+", Qos::Two);
    for (number, qos) in [(0, Qos::Zero), (1, Qos::One), (2, Qos::Two)] {
        let data = format!("~}}\u{13} {number}");
        publish(broker, "down/a", &data, number);
        assert_eq!(device.receive(), received("down/a", &data, qos));
    }

    device.sleep(600);
    publish(broker, "down/a", "while it slept", 1);
    publish(broker, "down/c", "and more", 2);
    let mut collected = Vec::new();
    while collected.len() < 2 {
        collected.extend(device.collect("by-xbee"));
    }
    let payloads: Vec<_> = collected.iter().map(|message| &*message.payload).collect();
    assert_eq!(payloads, ["while it slept", "and more"]);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "0 octets received that are no packets"), 1);
    assert_eq!(logged(&gateway, "and failed with 0"), 1);
    assert_eq!(network.complaints(), [""; 0]);
}

#[test]
fn a_whole_day_in_mode_1() {
    a_whole_day(Series::Two, 1, false);
}

#[test]
fn a_whole_day_in_mode_2() {
    a_whole_day(Series::Two, 2, false);
}

#[test]
fn a_whole_day_with_explicit_frames() {
    a_whole_day(Series::Explicit, 2, false);
}

#[test]
fn a_whole_day_with_series_1() {
    a_whole_day(Series::One, 1, false);
    a_whole_day(Series::One, 2, true);
}

#[test]
fn a_whole_day_without_a_long_address() {
    a_whole_day(Series::Two, 2, true);
}

/// Each gets what is for it, and all get what is for all.
#[test]
fn several_nodes_at_once() {
    let network = Network::new(Series::Two, 2, 3);
    let rest = "[discovery]\nadvertise_interval = \"1s\"\n";
    let (mut gateway, _mosquitto, broker) = start_with(&network.table(), rest);
    let mut devices: Vec<Device> = (0..3)
        .map(|number| {
            let mut device = Device::connected(network.node(number), &format!("node-{number}"));
            device.subscribe_to(&format!("to/{number}"), Qos::One);
            device.subscribe_to("to/all", Qos::One);
            device
        })
        .collect();
    for number in 0..3 {
        for round in 0..5 {
            publish(broker, &format!("to/{number}"), &format!("{number} {round}"), 1);
        }
    }
    publish(broker, "to/all", "everybody", 1);
    for (number, device) in devices.iter_mut().enumerate() {
        for round in 0..5 {
            let expected =
                received(&format!("to/{number}"), &format!("{number} {round}"), Qos::One);
            assert_eq!(device.receive(), expected);
        }
        assert_eq!(device.receive(), received("to/all", "everybody", Qos::One));
        device.wait("ADVERTISE", |message| {
            matches!(message, Message::Advertise { gateway_id: 1, .. }).then_some(())
        });
    }
    // A search is answered to the one who asks.
    let mut new = Device::new(network.node(0));
    new.ask("GWINFO", &Message::SearchGw { radius: 0 }, |message| {
        matches!(message, Message::GwInfo { gateway_id: 1, .. }).then_some(())
    });
    assert_eq!(gateway.terminate(), 0);
    assert_eq!(network.complaints(), [""; 0]);
}

/// Devices wait long, and are tried again soon.
const PATIENT: &str = "[sessions]\nretry_interval = \"300ms\"\nretry_count = 100\n";

/// A node that has rejoined has another 16-bit address, and may have been given that of another.
#[test]
fn nodes_that_rejoin_are_found() {
    let network = Network::new(Series::Two, 2, 2);
    let (_gateway, _mosquitto, broker) = start_with(&network.table(), PATIENT);
    let mut devices = [0, 1].map(|number| {
        let mut device = Device::connected(network.node(number), &format!("node-{number}"));
        device.subscribe_to(&format!("to/{number}"), Qos::One);
        device
    });
    network.sent_to();
    publish(broker, "to/0", "known", 1);
    assert_eq!(devices[0].receive(), received("to/0", "known", Qos::One));
    // It says nothing on its own from now on.
    devices[0].ping();
    assert!(network.sent_to().iter().all(|short| *short == [0x7E, 0]), "the cached address");
    network.rejoin(0, [0x55, 0x66]);
    publish(broker, "to/0", "moved", 1);
    assert_eq!(devices[0].receive(), received("to/0", "moved", Qos::One));
    let tried = network.sent_to();
    assert!(tried.starts_with(&[[0x7E, 0], [0xFF, 0xFE]]), "{tried:02X?}");
    // They swap addresses, and each speaks up.
    network.rejoin(0, [0x7E, 1]);
    network.rejoin(1, [0x55, 0x66]);
    for device in &mut devices {
        device.ping();
    }
    for number in [0, 1] {
        publish(broker, &format!("to/{number}"), "swapped", 1);
        let expected = received(&format!("to/{number}"), "swapped", Qos::One);
        assert_eq!(devices[number].receive(), expected);
    }
    for device in &mut devices {
        device.ping();
        assert_eq!(device.inbox(), []);
    }
    assert_eq!(network.complaints(), [""; 0]);
}

/// In the middle of traffic, once with another mode.
#[test]
fn a_module_that_restarts() {
    let network = Network::new(Series::Two, 2, 1);
    let (gateway, _mosquitto, broker) = start_with(&network.table(), PATIENT);
    let mut device = Device::connected(network.node(0), "steady");
    device.subscribe_to("down", Qos::One);
    for (round, api) in [2, 1, 2].into_iter().enumerate() {
        for number in 0..10 {
            if number == 5 {
                network.restart(api);
            }
            let data = format!("{round} {number}");
            publish(broker, "down", &data, 1);
            // A message whose acknowledgement was lost comes twice.
            let mut got = device.receive();
            while got.payload != data {
                got = device.receive();
            }
        }
        device.ping();
        let restarts = logged(&gateway, "it was switched on or reset (00)");
        assert_eq!(restarts, round + 1);
    }
    wait_for(&gateway, "API mode 1");
    assert!(!device.dismissed);
    assert_eq!(logged(&gateway, "\"steady\" connected"), 1);
}

#[test]
fn a_module_that_is_unplugged() {
    let network = Network::new(Series::Two, 1, 1);
    let (gateway, _mosquitto, broker) = start_with(&network.table(), PATIENT);
    let mut device = Device::connected(network.node(0), "steady");
    device.subscribe_to("down", Qos::One);
    for round in 1..=2 {
        network.unplug();
        gateway.log.wait("the line to be gone", |lines| {
            let gone = lines.iter().filter(|line| line.contains("the device is gone")).count();
            (gone == round).then_some(())
        });
        let data = format!("while it was away {round}");
        publish(broker, "down", &data, 1);
        network.plug();
        assert_eq!(device.receive(), received("down", &data, Qos::One));
        device.ping();
    }
    assert_eq!(logged(&gateway, "API mode 1, "), 1, "it is the same one");
    assert_eq!(logged(&gateway, "\"steady\" connected"), 1);
    assert_eq!(network.complaints(), [""; 0]);
}

/// The commonest mistake, and what is said about it.
#[test]
fn a_transparent_module_is_told_and_waited_for() {
    let network = Network::new(Series::Two, 0, 1);
    let (gateway, _mosquitto, _) = start_with(&network.table(), "");
    wait_for(
        &gateway,
        "the module answers no AT command: probably it is in transparent mode (AP=0)",
    );
    network.restart(2);
    Device::connected(network.node(0), "patient").ping();
    wait_for(&gateway, "API mode 2");

    // Or the devices are heard before that is clear.
    network.unplug();
    network.restart(0);
    network.plug();
    let mut device = Device::new(network.node(0));
    let place =
        "MQTT-SN comes from the module without API frames: it is in transparent mode (AP=0)";
    while logged(&gateway, place) == 0 {
        device.send(&Message::PingReq { client_id: b"patient" });
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One node is out of reach; the other is served all the while, and the first one gets everything when
/// it is back.
#[test]
fn a_node_that_is_away_keeps_nobody_waiting() {
    let network = Network::new(Series::Two, 2, 2);
    network.set_delay(Some(Duration::from_millis(100)));
    let (mut gateway, _mosquitto, broker) = start_with(&network.table(), PATIENT);
    let mut devices = [0, 1].map(|number| {
        let mut device = Device::connected(network.node(number), &format!("node-{number}"));
        device.subscribe_to(&format!("to/{number}"), Qos::One);
        device
    });
    network.set_away(0, true);
    for round in 0..20 {
        for number in [0, 1] {
            publish(broker, &format!("to/{number}"), &round.to_string(), 1);
        }
        let expected = received("to/1", &round.to_string(), Qos::One);
        assert_eq!(devices[1].receive(), expected);
    }
    network.set_away(0, false);
    let mut got: Vec<String> = Vec::new();
    while got.len() < 20 {
        let message = devices[0].receive();
        if !got.contains(&message.payload) {
            got.push(message.payload);
        }
    }
    assert_eq!(got, (0..20).map(|round| round.to_string()).collect::<Vec<_>>());
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "and failed with 0"), 0);
    assert_eq!(network.complaints(), [""; 0]);
}

/// Without statuses the node's share of the window is full after two packets, and it goes on when they
/// are given up.
#[test]
fn statuses_that_never_come() {
    let network = Network::new(Series::Two, 2, 1);
    let (mut gateway, _mosquitto, broker) = start_with(&network.table(), "");
    let listener = Listener::start(broker, &["up"]);
    let mut device = Device::connected(network.node(0), "unsure");
    let topic = device.register("up").unwrap();
    network.set_delay(None);
    for data in ["one", "two"] {
        assert_eq!(device.publish(topic, Qos::Two, data), ReturnCode::ACCEPTED);
    }
    assert_eq!(listener.take(2), ["one", "two"].map(|data| heard("up", data, 2)));
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "said nothing of 0"), 0);
    assert_eq!(network.complaints(), [""; 0]);
}

/// Noise between frames, half frames, and a packet that the radio cannot carry.
#[test]
fn noise_and_packets_that_are_too_long() {
    for api in [1, 2] {
        let network = Network::new(Series::Two, api, 1);
        let (gateway, _mosquitto, broker) = start_with(&network.table(), "");
        let listener = Listener::start(broker, &["up"]);
        let mut device = Device::connected(network.node(0), "in-noise");
        let topic = device.register("up").unwrap();
        let noise: [&[u8]; 4] =
            [&[0, 1, 0xFF], &[0x7E, 0, 20, 0x90, 1, 2], &[0x7E, 0x7E, 0x7D], &[0x55; 3_000]];
        for (number, octets) in noise.iter().enumerate() {
            network.noise(octets);
            let data = number.to_string();
            // It repeats itself until it is understood.
            assert_eq!(device.publish(topic, Qos::Two, &data), ReturnCode::ACCEPTED);
        }
        let expected = ["0", "1", "2", "3"].map(|data| heard("up", data, 2));
        assert_eq!(listener.take(4), expected);
        wait_for(&gateway, "are no MQTT-SN packets in framing xbee");
        device.subscribe_to("down", Qos::Zero);
        publish(broker, "down", &"l".repeat(100), 0);
        publish(broker, "down", "short", 0);
        assert_eq!(device.receive(), received("down", "short", Qos::Zero));
        assert_eq!(network.complaints(), [""; 0]);
    }
}
