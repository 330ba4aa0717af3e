//! Sleepers that we did not write, and somebody else's eyes on a sleep.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use mqtt_sn_gateway::codec::{Qos, ReturnCode, decode};

use crate::rig::{Device, Lines, PATIENCE, Rig, Upstream, Way, received};
use crate::witnesses::{HOW, pcap_header, pcap_packet, root, skipped, succeed, venv};

#[test]
fn scapy_sleeps_and_collects() {
    if skipped() {
        return;
    }
    for upstream in [Upstream::Mqtt5, Upstream::Mqtt311] {
        let rig = Rig::start(upstream, "", "");
        let mut witness = rig.device("witness");
        witness.subscribe_to("witness/end", Qos::One);
        let mut child = Command::new(venv("python"))
            .arg(root().join("tests/witness/sleeper.py"))
            .arg(rig.gateway.link().port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let lines = Lines::collect(child.stdout.take().unwrap(), |_| true);
        let errors = Lines::collect(child.stderr.take().unwrap(), |_| true);
        for round in 1..=3 {
            lines.wait("the device to sleep", |lines| (lines.len() >= round).then_some(()));
            for (qos, payload) in ["zero", "one", "two"].into_iter().enumerate() {
                rig.publish("witness/sleeper", payload, qos as u8);
            }
            rig.publish("witness/end", "end", 1);
            assert_eq!(witness.receive().payload, "end");
            input.write_all(b"wake up\n").unwrap();
        }
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}: {:?}", errors.all());
        rig.stop();
    }
}

/// The package mqtt-sn-12 sleeps on leaving and comes back by CONNECT, from another port.
#[test]
fn another_client_sleeps_between_two_runs() {
    if skipped() {
        return;
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let port = rig.gateway.link().port().to_string();
    let mut witness = rig.device("witness");
    witness.subscribe_to("witness/end", Qos::One);
    let run = || {
        let mut child = Command::new(venv("mqtt_sn_sub"))
            // At QoS 1 it never acknowledges.
            .args(["-p", &port, "-t", "witness/down", "-q", "0", "-1", "-i", "sub", "-e", "3600"])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = Lines::collect(child.stdout.take().unwrap(), |_| true);
        (child, lines)
    };
    let (mut first, lines) = run();
    // It tells nobody when it has subscribed, so it is called until it answers.
    let deadline = std::time::Instant::now() + PATIENCE;
    while lines.all().is_empty() {
        assert!(std::time::Instant::now() < deadline, "mqtt_sn_sub hears nothing");
        rig.publish("witness/down", "hello", 1);
    }
    assert!(first.wait().unwrap().success());
    rig.gateway.log.wait_for(&["\"sub\"", "sleep"]);
    rig.publish("witness/down", "while it slept", 1);
    rig.publish("witness/end", "end", 1);
    assert_eq!(witness.receive().payload, "end");
    // What waits comes between CONNACK and its SUBSCRIBE, when it does not know the topic yet: the
    // gateway registers it.
    let (mut second, lines) = run();
    let deadline = std::time::Instant::now() + PATIENCE;
    while lines.all().is_empty() {
        assert!(std::time::Instant::now() < deadline, "mqtt_sn_sub hears nothing");
        rig.publish("witness/down", "awake", 1);
    }
    assert!(second.wait().unwrap().success());
    rig.stop();
}

#[test]
fn tshark_reads_a_sleep() {
    if skipped() {
        return;
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut witness = rig.device("witness");
    witness.subscribe_to("witness/end", Qos::One);
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect("tired"), ReturnCode::ACCEPTED);
    device.subscribe_to("to/tired/#", Qos::One);
    device.sleep(4_660);
    rig.publish("to/tired/a", "one", 1);
    rig.publish("witness/end", "end", 1);
    assert_eq!(witness.receive().payload, "end");
    assert_eq!(device.collect("tired"), [received("to/tired/a", "one", Qos::One)]);
    device.disconnect();
    let gateway = rig.gateway.link();
    rig.stop();

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sleep.pcap");
    let mut capture = pcap_header();
    for (way, octets) in &device.trace {
        let (from, to) = match way {
            Way::Sent => (device.address(), gateway),
            Way::Received => (gateway, device.address()),
        };
        pcap_packet(&mut capture, from, to, octets);
    }
    fs::write(&file, capture).unwrap();
    let decode_as = format!("udp.port=={},mqttsn", gateway.port());
    let output = Command::new("tshark")
        .arg("-r")
        .arg(&file)
        .args(["-d", &decode_as, "-T", "fields"])
        .args(["-e", "mqttsn.msg.type", "-e", "mqttsn.client.id", "-e", "mqttsn.sleep.timer"])
        .args(["-e", "_ws.malformed", "-e", "_ws.expert.message"])
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error}: {HOW}"));
    let table = succeed(output);
    let read: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let types: Vec<_> = device
        .trace
        .iter()
        .map(|(_, octets)| format!("0x{:02x}", decode(octets).unwrap().message.type_code()))
        .collect();
    assert_eq!(read.iter().map(|fields| fields[0]).collect::<Vec<_>>(), types);
    assert!(read.iter().all(|fields| fields[3..].iter().all(|field| field.is_empty())), "{table}");
    // From the good night on: tshark sees the duration, the id, and the window in its order.
    let night: Vec<[&str; 3]> = read
        .iter()
        .skip_while(|fields| fields[0] != "0x18")
        .map(|fields| [fields[0], fields[1], fields[2]])
        .collect();
    let expected = [
        ["0x18", "", "4660"],
        ["0x18", "", ""],
        ["0x16", "tired", ""],
        ["0x0a", "", ""],
        ["0x0b", "", ""],
        ["0x0c", "", ""],
        ["0x0d", "", ""],
        ["0x17", "", ""],
        ["0x18", "", ""],
        ["0x18", "", ""],
    ];
    assert_eq!(night, expected);
}
