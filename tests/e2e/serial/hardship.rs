//! Lines that are unplugged again and again, and lines that nobody reads.

use std::fs;
use std::path::Path;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::line::Line;
use super::pty::Port;
use super::{logged, start, start_with};
use crate::rig::{Device, Gateway, Listener, heard, publish, publish_lines, received};

/// Files that are open, and threads.
fn held(gateway: &Gateway) -> (usize, usize) {
    let process = Path::new("/proc").join(gateway.id().to_string());
    let count = |name: &str| fs::read_dir(process.join(name)).unwrap().count();
    (count("fd"), count("task"))
}

/// `UNPLUG_ROUNDS=300` for more of them.
#[test]
fn unplugged_again_and_again_with_traffic() {
    let rounds = std::env::var("UNPLUG_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let line = Line::new("cobs");
    let patient = "[sessions]\nretry_interval = \"200ms\"\nretry_count = 100\n";
    let (mut gateway, _mosquitto, broker) = start(&[&line], patient);
    let listener = Listener::start(broker, &["up"]);
    let mut device = Device::connected(line.address(), "steady");
    device.subscribe_to("down", Qos::Two);
    let topic = device.register("up").unwrap();
    let mut expected = Vec::new();
    let mut before = None;
    for round in 0..rounds {
        let data = format!("round {round}");
        // Under way when it goes, or while it is away.
        publish(broker, "down", &data, 2);
        line.unplug();
        line.plug();
        assert_eq!(device.publish(topic, Qos::Two, &data), ReturnCode::ACCEPTED);
        expected.push(heard("up", &data, 2));
        assert_eq!(device.receive(), received("down", &data, Qos::Two));
        // When everything is there that is made when it is needed.
        if round == 3 {
            before = Some(held(&gateway));
        }
    }
    assert_eq!(listener.take(expected.len()), expected);
    assert!(!device.dismissed);
    assert_eq!(logged(&gateway, "\"steady\" connected"), 1);
    let (files, threads) = held(&gateway);
    let (files_before, threads_before) = before.unwrap();
    // One more or less may be just being opened or closed.
    assert!(files <= files_before + 1, "{files} files, {files_before} at first");
    assert!(threads <= threads_before + 1, "{threads} threads, {threads_before} at first");
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    let opened = format!("opened {} times", rounds + 1);
    assert_eq!(logged(&gateway, &opened), 1);
}

#[test]
fn a_line_that_nobody_reads_disturbs_no_other() {
    let (stuck, line) = (Port::new(), Line::new("length"));
    stuck.plug();
    let table = format!(
        "[[serial]]\ndevice = \"{}\"\nframing = \"length\"\n\n{}",
        stuck.device().display(),
        line.table()
    );
    let (mut gateway, _mosquitto, broker) = start_with(&table, "");
    let far = stuck.far();
    let say = |octets: &[u8]| far.lock().unwrap().as_mut().unwrap().write(octets);
    // CONNECT of "deaf", and SUBSCRIBE to "all" with QoS 0.
    say(&[10, 4, 4, 1, 0, 60, b'd', b'e', b'a', b'f']);
    say(&[8, 0x12, 0, 0, 7, b'a', b'l', b'l']);
    let mut device = Device::connected(line.address(), "hears");
    device.subscribe_to("all", Qos::One);
    let lines: Vec<String> = (0..400).map(|number| format!("{number:0>200}")).collect();
    publish_lines(broker, "all", &lines, 1);
    for expected in &lines {
        assert_eq!(device.receive(), received("all", expected, Qos::One));
    }
    device.ping();
    assert_eq!(logged(&gateway, "\"deaf\" connected"), 1);
    assert_eq!(gateway.terminate(), 0);
}

/// A device that speaks another framing than the configuration says.
#[test]
fn another_framing_is_recognised() {
    let (port, line) = (Port::new(), Line::new("length"));
    port.plug();
    let table = format!(
        "[[serial]]\ndevice = \"{}\"\nframing = \"cobs\"\n\n{}",
        port.device().display(),
        line.table()
    );
    let (gateway, _mosquitto, _) = start_with(&table, "");
    gateway.log.wait_for(&["is open", &port.device().display().to_string()]);
    let far = port.far();
    // CONNECT of "a-device" and SEARCHGW with SLIP, and something that ends a frame with COBS.
    let octets = b"\xC0\x0E\x04\x04\x01\0\x3Ca-device\xC0\xC0\x03\x01\0\xC0".repeat(4);
    far.lock().unwrap().as_mut().unwrap().write(&octets);
    Device::connected(line.address(), "another").ping();
    gateway.log.wait_for(&["they look like framing = \"slip\"", "in framing cobs"]);
}
