//! Devices on serial lines, which are pseudo-terminals here.

mod aquila;
mod check;
mod hardship;
mod hub;
pub mod line;
mod loralink;
mod pair;
mod pty;
mod radio;
mod radiohead;
mod radios;
mod simulate;
mod tools;
mod xbee;

use std::net::SocketAddr;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode};

use crate::rig::{Device, Gateway, Listener, configuration, heard, mosquitto, publish, received};
use crate::support::mosquitto::Mosquitto;
use line::Line;

/// A gateway without a UDP link, on lines. `rest` is whole tables.
fn start(lines: &[&Line], rest: &str) -> (Gateway, Mosquitto, SocketAddr) {
    let tables: String = lines.iter().map(|line| line.table()).collect();
    start_with(&tables, rest)
}

/// The same with the `[[serial]]` of the lines.
fn start_with(tables: &str, rest: &str) -> (Gateway, Mosquitto, SocketAddr) {
    let mosquitto = mosquitto("");
    let broker = mosquitto.address();
    let text = configuration(&format!("mqtt://{broker}"), "", &format!("{tables}{rest}"));
    let gateway = Gateway::start(&text.replace("[[udp]]\nlisten = \"127.0.0.1:0\"\n", ""));
    gateway.wait_for_broker(1);
    (gateway, mosquitto, broker)
}

fn logged(gateway: &Gateway, text: &str) -> usize {
    gateway.log.all().iter().filter(|line| line.contains(text)).count()
}

fn wait_for(gateway: &Gateway, text: &str) {
    let found = |lines: &[String]| lines.iter().any(|line| line.contains(text)).then_some(());
    gateway.log.wait(text, found);
}

/// Everything that a device does, with octets that framings have to mind.
fn a_whole_day(framing: &'static str) {
    let line = Line::new(framing);
    let (mut gateway, _mosquitto, broker) = start(&[&line], "");
    let listener = Listener::start(broker, &["up/#"]);
    let mut device = Device::connected(line.address(), "on-a-line");
    let place = format!("\"on-a-line\" connected from serial {},", line.device().display());
    wait_for(&gateway, &place);

    let topic = device.register("up/À-Û-Ü-Ý").unwrap();
    for (qos, data) in [(Qos::Zero, "zero À"), (Qos::One, "one Û"), (Qos::Two, "two ÀÛ")] {
        assert_eq!(device.publish(topic, qos, data), ReturnCode::ACCEPTED);
    }
    // A packet in the long form.
    let long = "l".repeat(600);
    assert_eq!(device.publish(topic, Qos::One, &long), ReturnCode::ACCEPTED);
    let mut all = listener.take(4);
    all.sort_by_key(|heard| heard.payload.len() > 500);
    let expected = [("zero À", 0), ("one Û", 1), ("two ÀÛ", 2), (&*long, 1)];
    assert_eq!(all, expected.map(|(data, qos)| heard("up/À-Û-Ü-Ý", data, qos)));

    device.subscribe_to("down/+", Qos::Two);
    for (number, qos) in [(0, Qos::Zero), (1, Qos::One), (2, Qos::Two)] {
        let data = format!("ÀÛ {number}");
        publish(broker, "down/a", &data, number);
        assert_eq!(device.receive(), received("down/a", &data, qos));
    }
    publish(broker, "down/b", &long, 1);
    assert_eq!(device.receive(), received("down/b", &long, Qos::One));

    device.sleep(600);
    publish(broker, "down/a", "while it slept", 1);
    publish(broker, "down/c", "and more", 2);
    let expected = ["while it slept", "and more"];
    let mut collected = Vec::new();
    while collected.len() < expected.len() {
        collected.extend(device.collect("on-a-line"));
    }
    assert_eq!(collected.iter().map(|message| &*message.payload).collect::<Vec<_>>(), expected);
    assert_eq!(gateway.terminate(), 0);
    let sum = format!("serial {}: ", line.device().display());
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "0 octets received that are no packets"), 1, "{sum}");
}

#[test]
fn a_whole_day_with_slip() {
    a_whole_day("slip");
}

#[test]
fn a_whole_day_with_cobs() {
    a_whole_day("cobs");
}

#[test]
fn a_whole_day_with_length() {
    a_whole_day("length");
}

/// One line has one peer, but behind a forwarder there are many devices, and their sessions survive
/// the gateway.
fn a_forwarder_on_a_line(framing: &'static str) {
    let line = Line::new(framing);
    let (mut gateway, _mosquitto, broker) = start(&[&line], "");
    let device = |node: &[u8]| Device::new(line.address()).behind_forwarder(node);
    let (mut one, mut two) = (device(b"\xC0\x01"), device(b"\xDB\x02\x03"));
    assert_eq!(one.connect_with("one", false, 60), ReturnCode::ACCEPTED);
    assert_eq!(two.connect_with("two", false, 60), ReturnCode::ACCEPTED);
    one.subscribe_to("to/one", Qos::One);
    two.subscribe_to("to/two", Qos::One);
    publish(broker, "to/one", "first", 1);
    publish(broker, "to/two", "second", 1);
    assert_eq!(one.receive(), received("to/one", "first", Qos::One));
    assert_eq!(two.receive(), received("to/two", "second", Qos::One));

    two.sleep(600);
    gateway.kill();
    gateway.restart();
    gateway.wait_for_broker(1);
    publish(broker, "to/two", "third", 1);
    publish(broker, "to/one", "fourth", 1);
    assert_eq!(one.receive(), received("to/one", "fourth", Qos::One));
    let collected = two.collect("two");
    assert_eq!(collected, [received("to/two", "third", Qos::One)]);
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn a_forwarder_with_slip() {
    a_forwarder_on_a_line("slip");
}

#[test]
fn a_forwarder_with_cobs() {
    a_forwarder_on_a_line("cobs");
}

#[test]
fn a_forwarder_with_length() {
    a_forwarder_on_a_line("length");
}

/// A device that goes and comes back under the same name: nobody has to connect again.
fn unplugged(framing: &'static str) {
    let line = Line::new(framing);
    let patient = "[sessions]\nretry_interval = \"200ms\"\nretry_count = 100\n";
    let (gateway, _mosquitto, broker) = start(&[&line], patient);
    let mut device = Device::connected(line.address(), "steady");
    device.subscribe_to("down", Qos::One);
    for round in 1..=2 {
        line.unplug();
        gateway.log.wait("the line to be gone", |lines| {
            let gone = lines.iter().filter(|line| line.contains("the device is gone")).count();
            (gone == round).then_some(())
        });
        let data = format!("while it was away {round}");
        publish(broker, "down", &data, 1);
        line.plug();
        assert_eq!(device.receive(), received("down", &data, Qos::One));
        device.ping();
        assert_eq!(logged(&gateway, "the device is back"), round);
    }
    assert!(!device.dismissed);
    assert_eq!(logged(&gateway, "\"steady\" connected"), 1);
    assert_eq!(logged(&gateway, "there is no such device"), 0, "it was said that it is gone");
}

#[test]
fn unplugged_with_slip() {
    unplugged("slip");
}

#[test]
fn unplugged_with_cobs() {
    unplugged("cobs");
}

#[test]
fn unplugged_with_length() {
    unplugged("length");
}

#[test]
fn a_device_that_cannot_be_opened_is_waited_for() {
    let line = Line::unplugged("slip");
    let (gateway, _mosquitto, _) = start(&[&line], "");
    wait_for(&gateway, "there is no such device");
    // The lock is there before the name.
    let other = Line::new("slip");
    let lock = other.lock();
    std::os::unix::fs::symlink(other.device(), line.device()).unwrap();
    let process = format!("process {} (", std::process::id());
    wait_for(&gateway, &process);
    wait_for(&gateway, "has it open");
    assert_eq!(logged(&gateway, "listening for MQTT-SN on serial"), 0);
    drop(lock);
    wait_for(&gateway, "listening for MQTT-SN on serial");
    Device::connected(other.address(), "patient").ping();
    assert_eq!(logged(&gateway, "there is no such device"), 1, "once is enough");
    assert_eq!(logged(&gateway, "has it open"), 1, "once is enough");
}

/// Noise between packets and instead of them.
fn noisy(framing: &'static str, noise: &[&[u8]]) {
    let line = Line::new(framing);
    let (gateway, _mosquitto, broker) = start(&[&line], "");
    let listener = Listener::start(broker, &["up"]);
    let mut device = Device::connected(line.address(), "in-noise");
    let topic = device.register("up").unwrap();
    let mut expected = Vec::new();
    for (number, octets) in noise.iter().enumerate() {
        line.noise(octets);
        let data = number.to_string();
        // It repeats itself until it is understood.
        assert_eq!(device.publish(topic, Qos::Two, &data), ReturnCode::ACCEPTED);
        expected.push(heard("up", &data, 2));
    }
    assert_eq!(listener.take(noise.len()), expected);
    wait_for(&gateway, "are no MQTT-SN packets in framing");
    assert!(!device.dismissed);
}

#[test]
fn noise_with_slip() {
    let endless = vec![0x55; 5_000];
    let half = [0xC0, 9, 0x0C, 0xDB];
    noisy("slip", &[&[0xDB, 0xDB, 1], &[0, 0xFF, 0x80], &half, &endless, b"booting...\r\n"]);
}

#[test]
fn noise_with_cobs() {
    let endless = vec![0x55; 5_000];
    let half = [0, 9, 0x0C, 1];
    // DISCONNECT with a bit of its CRC changed.
    let damaged = [0, 5, 2, 0x18, 0x17, 0xAA, 0];
    noisy("cobs", &[&damaged, &[3, 2], &half, &endless, b"booting...\r\n"]);
}

#[test]
fn noise_with_length() {
    let endless = [0; 5_000];
    // The last ones look like the beginning of a packet.
    noisy(
        "length",
        &[&[0, 0xFF, 0xFF, 0], &endless, b"booting...\r\n", &[200, 0x0C], &[1, 0xFF, 0xFF, 0x0C]],
    );
}

/// Several times what may wait to be written to the line at once.
#[test]
fn a_sleeper_collects_more_than_the_line_has_room_for() {
    let line = Line::new("slip");
    let (mut gateway, _mosquitto, broker) = start(&[&line], "");
    let mut device = Device::connected(line.address(), "hungry");
    device.subscribe_to("zero", Qos::Zero);
    device.subscribe_to("one", Qos::One);
    device.sleep(600);
    let messages: Vec<_> = (0..80)
        .map(|number| {
            let (topic, qos) =
                if number % 20 == 19 { ("one", Qos::One) } else { ("zero", Qos::Zero) };
            let data = format!("{number}{}", "À".repeat(300));
            // Acknowledged, so that they reach the broker in this order.
            publish(broker, topic, &data, 1);
            received(topic, &data, qos)
        })
        .collect();
    let mut collected = Vec::new();
    // At QoS 1 it comes at last, whatever becomes of the others.
    while collected.last() != messages.last() {
        collected.extend(device.collect("hungry"));
    }
    assert_eq!(collected, messages);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "0 because the line was too slow"), 1);
}

#[test]
fn lines_and_a_udp_link_at_once() {
    let (slip, cobs, length) = (Line::new("slip"), Line::new("cobs"), Line::new("length"));
    let mosquitto = mosquitto("");
    let tables: String = [&slip, &cobs, &length].map(Line::table).concat();
    let rest = format!("{tables}[discovery]\nadvertise_interval = \"1s\"\n");
    let url = format!("mqtt://{}", mosquitto.address());
    let mut gateway = Gateway::start(&configuration(&url, "", &rest));
    gateway.wait_for_broker(1);
    let mut devices = [
        Device::connected(slip.address(), "by-slip"),
        Device::connected(cobs.address(), "by-cobs"),
        Device::connected(length.address(), "by-length"),
        Device::connected(gateway.link(), "by-udp"),
    ];
    for device in &mut devices {
        device.subscribe_to("all", Qos::One);
    }
    for from in 0..devices.len() {
        let data = format!("from {from}");
        let topic = devices[from].register("all").unwrap();
        assert!(matches!(topic, PublishTopic::Normal(_)));
        assert_eq!(devices[from].publish(topic, Qos::One, &data), ReturnCode::ACCEPTED);
        for device in &mut devices {
            assert_eq!(device.receive(), received("all", &data, Qos::One));
        }
    }
    for device in &mut devices[..3] {
        device.wait("ADVERTISE", |message| {
            matches!(message, Message::Advertise { gateway_id: 1, .. }).then_some(())
        });
    }
    assert_eq!(gateway.terminate(), 0);
}
