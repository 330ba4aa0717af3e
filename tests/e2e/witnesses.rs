//! Programs that we did not write, as devices and as readers of what goes over the wire.
//!
//! `tests/setup.sh` installs them; `MQTT_SN_SKIP_WITNESS=1` does without.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode, SubscribeTopic, decode};

use crate::rig::{Device, Lines, PATIENCE, Rig, Upstream, Way, heard, program};

pub const HOW: &str = "run tests/setup.sh, or set MQTT_SN_SKIP_WITNESS=1 to go without";

pub fn skipped() -> bool {
    let skip = std::env::var("MQTT_SN_SKIP_WITNESS").is_ok_and(|value| value == "1");
    if skip {
        println!("skipped: MQTT_SN_SKIP_WITNESS=1");
    }
    skip
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the virtual environment.
pub fn venv(name: &str) -> PathBuf {
    let path = root().join(".venv/bin").join(name);
    assert!(path.exists(), "{} is missing: {HOW}", path.display());
    path
}

#[track_caller]
pub fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {errors}{out}", output.status);
    out.into_owned()
}

#[test]
fn scapy_plays_a_session() {
    if skipped() {
        return;
    }
    for upstream in [Upstream::Mqtt5, Upstream::Mqtt311] {
        let rig = Rig::start(upstream, "", "");
        let world = rig.listener(&["witness/#"]);
        let output = Command::new(venv("python"))
            .arg(root().join("tests/witness/device.py"))
            .arg(rig.gateway.link().port().to_string())
            .output()
            .unwrap();
        succeed(output);
        let expected = [("zero", 0), ("one", 1), ("two", 2)]
            .map(|(payload, qos)| heard("witness/scapy", payload, qos));
        assert_eq!(world.take(3), expected);
        rig.stop();
    }
}

/// The package mqtt-sn-12, another implementation of a client.
#[test]
fn another_client_publishes_and_subscribes() {
    if skipped() {
        return;
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "[topics]\n7 = \"witness/seven\"\n");
    let world = rig.listener(&["witness/#"]);
    let port = rig.gateway.link().port().to_string();
    let mut subscriber = Command::new(venv("mqtt_sn_sub"))
        // At QoS 1 it never acknowledges. Its output is only read in time if it is not buffered.
        .args(["-p", &port, "-t", "witness/down/#", "-q", "0", "-C", "2", "-i", "sub"])
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = Lines::collect(subscriber.stdout.take().unwrap(), |_| true);
    // It tells nobody when it has subscribed, so it is called until it answers.
    let deadline = std::time::Instant::now() + PATIENCE;
    while lines.all().is_empty() {
        assert!(std::time::Instant::now() < deadline, "mqtt_sn_sub hears nothing");
        rig.publish("witness/down/a", "hello", 1);
    }
    rig.publish("witness/down/a", "hello", 1);
    lines.wait("two messages", |lines| (lines.len() >= 2).then_some(()));
    let _ = subscriber.kill();
    let _ = subscriber.wait();

    let long = "x".repeat(300);
    for (topic, payload, qos) in [("-t", "zero", "0"), ("-t", "one", "1"), ("-T", "minus", "-1")] {
        let name = if topic == "-t" { "witness/up" } else { "7" };
        let mut command = Command::new(venv("mqtt_sn_pub"));
        command.args(["-p", &port, topic, name, "-m", payload, "-q", qos, "-i", "pub"]);
        succeed(command.output().unwrap());
    }
    let mut command = Command::new(venv("mqtt_sn_pub"));
    command.args(["-p", &port, "-t", "witness/up", "-m", &long, "-q", "1", "-r"]);
    succeed(command.output().unwrap());
    let all = world.until(&long);
    let up: Vec<_> = all.into_iter().filter(|heard| heard.topic != "witness/down/a").collect();
    let expected = [
        heard("witness/up", "zero", 0),
        heard("witness/up", "one", 1),
        heard("witness/seven", "minus", 0),
    ];
    assert_eq!(up, expected);
    rig.stop();
}

#[test]
fn tshark_and_our_decoder_read_a_recorded_session() {
    if skipped() {
        return;
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "[topics]\n7 = \"witness/seven\"\n");
    let mut plain = rig.device("plain");
    everything(&rig, &mut plain, "plain");
    let mut far = Device::new(rig.gateway.link()).behind_forwarder(&[1, 2]);
    assert_eq!(far.connect("far"), ReturnCode::ACCEPTED);
    everything(&rig, &mut far, "far");
    let gateway = rig.gateway.link();
    rig.stop();

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("session.pcap");
    let mut capture = pcap_header();
    let mut types = Vec::new();
    for device in [&plain, &far] {
        for (way, octets) in &device.trace {
            let (from, to) = match way {
                Way::Sent => (device.address(), gateway),
                Way::Received => (gateway, device.address()),
            };
            pcap_packet(&mut capture, from, to, octets);
            types.push(format!("0x{:02x}", decode(octets).unwrap().message.type_code()));
        }
    }
    fs::write(&file, capture).unwrap();

    let decode_as = format!("udp.port=={},mqttsn", gateway.port());
    let output = Command::new("tshark")
        .arg("-r")
        .arg(&file)
        .args(["-d", &decode_as, "-T", "fields", "-E", "occurrence=l"])
        .args(["-e", "mqttsn.msg.type", "-e", "_ws.malformed", "-e", "_ws.expert.message"])
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error}: {HOW}"));
    let table = succeed(output);
    let read: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let seen: Vec<&str> = read.iter().map(|fields| fields[0]).collect();
    assert_eq!(seen, types, "tshark sees the same messages");
    let complaints: Vec<_> =
        read.iter().filter(|fields| fields[1..].iter().any(|field| !field.is_empty())).collect();
    assert!(complaints.is_empty(), "tshark finds faults: {complaints:?}");

    let mut command = program();
    command.args(["decode", "--port", &gateway.port().to_string()]).arg(&file);
    command.stdout(Stdio::piped());
    let text = succeed(command.output().unwrap());
    for name in ["CONNECT", "SUBACK", "PUBREC", "REGISTER", "UNSUBACK", "PINGRESP", "GWINFO"] {
        assert!(text.contains(name), "decode does not tell of {name}:\n{text}");
    }
}

/// Most kinds of messages, both ways.
fn everything(rig: &Rig, device: &mut Device, name: &str) {
    device.ask("GWINFO", &Message::SearchGw { radius: 1 }, |message| {
        matches!(message, Message::GwInfo { .. }).then_some(())
    });
    let topic = device.register(&format!("witness/{name}")).unwrap();
    for topic in [topic, PublishTopic::Predefined(7), PublishTopic::Short(*b"wt")] {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            assert_eq!(device.publish(topic, qos, "reading"), ReturnCode::ACCEPTED);
        }
    }
    let long = "long ".repeat(100);
    assert_eq!(device.publish(topic, Qos::One, &long), ReturnCode::ACCEPTED);
    let filter = format!("down/{name}/#");
    device.subscribe_to(&filter, Qos::Two);
    for qos in 0..=2 {
        rig.publish(&format!("down/{name}/{qos}"), "command", qos);
        device.receive();
    }
    device.ping();
    device.unsubscribe(SubscribeTopic::Name(filter.as_bytes()));
    device.disconnect();
}

/// The head of a capture file whose packets begin with IP.
pub fn pcap_header() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend_from_slice(&0xA1B2_C3D4_u32.to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&4_u16.to_le_bytes());
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&65_535_u32.to_le_bytes());
    file.extend_from_slice(&101_u32.to_le_bytes());
    file
}

/// One UDP datagram over IPv4, without checksums.
pub fn pcap_packet(file: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, octets: &[u8]) {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { panic!("IPv4") };
    let udp = u16::try_from(octets.len() + 8).unwrap();
    let total = udp + 20;
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&u32::from(total).to_le_bytes());
    file.extend_from_slice(&u32::from(total).to_le_bytes());
    file.extend_from_slice(&[0x45, 0]);
    file.extend_from_slice(&total.to_be_bytes());
    file.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    file.extend_from_slice(&from.ip().octets());
    file.extend_from_slice(&to.ip().octets());
    file.extend_from_slice(&from.port().to_be_bytes());
    file.extend_from_slice(&to.port().to_be_bytes());
    file.extend_from_slice(&udp.to_be_bytes());
    file.extend_from_slice(&[0, 0]);
    file.extend_from_slice(octets);
}
