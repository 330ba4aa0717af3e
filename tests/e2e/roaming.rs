//! Devices whose address changes, and those that share one name.

use std::io::ErrorKind;
use std::net::UdpSocket;

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode};

use crate::rig::{Device, Rig, Upstream, received};

const LONG: u16 = 3_600;

/// Nothing has come to a socket that its device has left.
#[track_caller]
fn is_silent(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let error = socket.recv(&mut [0; 2_048]).expect_err("sent to where the device was");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// PINGREQ with this id is answered with DISCONNECT.
#[track_caller]
fn is_dismissed(device: &mut Device, id: &str) {
    device.ask(
        "DISCONNECT",
        &Message::PingReq { client_id: id.as_bytes() },
        |message| match message {
            Message::Disconnect { duration: None } => Some(()),
            Message::PingResp => panic!("PINGRESP to a stranger"),
            _ => None,
        },
    );
}

/// A message is on its way to everybody who wakes.
#[track_caller]
fn deliver(rig: &Rig, witness: &mut Device, topic: &str, payload: &str) {
    rig.publish(topic, payload, 1);
    rig.publish("witness/end", payload, 1);
    witness.receive_until(payload);
}

fn witness(rig: &Rig) -> Device {
    let mut witness = rig.device("witness");
    witness.subscribe_to("witness/end", Qos::One);
    witness
}

#[test]
fn a_sleeper_wakes_at_another_port_every_time() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut witness = witness(&rig);
    let mut device = rig.device("roamer");
    device.subscribe_to("to/roamer", Qos::One);
    device.sleep(LONG);
    let mut left = Vec::new();
    for round in 0..5 {
        left.push(device.roam());
        let payload = format!("round {round}");
        deliver(&rig, &mut witness, "to/roamer", &payload);
        assert_eq!(device.collect("roamer"), [received("to/roamer", &payload, Qos::One)]);
        left.iter().for_each(is_silent);
    }
    left.push(device.roam());
    assert_eq!(device.connect("roamer"), ReturnCode::ACCEPTED);
    deliver(&rig, &mut witness, "to/roamer", "awake");
    assert_eq!(device.receive(), received("to/roamer", "awake", Qos::One));
    left.iter().for_each(is_silent);
    rig.stop();
}

/// From one link to another, and behind a forwarder.
#[test]
fn a_sleeper_wakes_on_another_link() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[[udp]]\nlisten = \"[::1]:0\"\n");
    let mut witness = witness(&rig);
    let mut device = rig.device("roamer");
    device.subscribe_to("to/roamer", Qos::One);
    device.sleep(LONG);
    deliver(&rig, &mut witness, "to/roamer", "one");
    let mut elsewhere = Device::new(rig.gateway.links[1]);
    // Another device of the same name, as far as the gateway can know; it learns the topic anew only
    // after a CONNECT, so it connects.
    assert_eq!(elsewhere.connect("roamer"), ReturnCode::ACCEPTED);
    assert_eq!(elsewhere.receive(), received("to/roamer", "one", Qos::One));
    elsewhere.sleep(LONG);
    deliver(&rig, &mut witness, "to/roamer", "two");
    let mut far = Device::new(rig.gateway.link()).behind_forwarder(&[7, 7]);
    assert_eq!(far.connect("roamer"), ReturnCode::ACCEPTED);
    assert_eq!(far.receive(), received("to/roamer", "two", Qos::One));
    device.heard_nothing();
    elsewhere.heard_nothing();
    rig.stop();
}

/// An address that one sleeper had goes to another device, as NATs do.
#[test]
fn an_address_that_another_device_gets_meanwhile() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut witness = witness(&rig);
    let mut first = rig.device("first");
    first.subscribe_to("to/first", Qos::One);
    first.sleep(LONG);
    let mut second = Device::new(rig.gateway.link());
    // The second device is where the first was.
    second.take_over(&mut first);
    assert_eq!(second.connect("second"), ReturnCode::ACCEPTED);
    second.subscribe_to("to/second", Qos::One);
    deliver(&rig, &mut witness, "to/first", "for the first");
    deliver(&rig, &mut witness, "to/second", "for the second");
    assert_eq!(second.receive(), received("to/second", "for the second", Qos::One));
    assert_eq!(second.inbox(), []);
    assert_eq!(first.collect("first"), [received("to/first", "for the first", Qos::One)]);
    second.heard_nothing();
    rig.stop();
}

#[test]
fn a_foreign_client_id_wakes_nobody() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut witness = witness(&rig);
    let mut awake = rig.device("awake");
    awake.subscribe_to("to/awake", Qos::One);
    let mut device = rig.device("sleeper");
    device.subscribe_to("to/sleeper", Qos::One);
    device.sleep(LONG);
    deliver(&rig, &mut witness, "to/sleeper", "for the sleeper");
    // An address of a connected client is his alone.
    is_dismissed(&mut witness, "sleeper");
    // Nobody's address: an active client's id and an unknown one open nothing.
    let mut stranger = Device::new(rig.gateway.link());
    is_dismissed(&mut stranger, "awake");
    is_dismissed(&mut stranger, "nobody");
    device.heard_nothing();
    assert_eq!(device.collect("sleeper"), [received("to/sleeper", "for the sleeper", Qos::One)]);
    deliver(&rig, &mut witness, "to/awake", "still here");
    assert_eq!(awake.receive(), received("to/awake", "still here", Qos::One));
    rig.stop();
}

/// Two devices fight over a name: one of them has it in the end, and the log says what is wrong.
#[test]
fn two_devices_with_one_name() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut bystander = rig.device("bystander");
    let mut pair = [Device::new(rig.gateway.link()), Device::new(rig.gateway.link())];
    let mut codes = Vec::new();
    for turn in 0..12 {
        codes.push(pair[turn % 2].connect("twin"));
    }
    assert_eq!(codes[0], ReturnCode::ACCEPTED);
    assert!(codes.contains(&ReturnCode::CONGESTION), "{codes:?}");
    rig.gateway.log.wait_for(&["\"twin\"", "two devices have", "client id"]);
    for device in &pair {
        let address = device.address().to_string();
        rig.gateway.log.wait("both addresses", |lines| {
            lines.iter().any(|line| line.contains(&address)).then_some(())
        });
    }
    bystander.ping();
    assert!(!bystander.dismissed);
    rig.stop();
}

/// One address brings ever new names; others go on.
#[test]
fn a_thousand_names_from_one_address() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut bystander = rig.device("bystander");
    let mut flood = Device::new(rig.gateway.link());
    let mut refused = 0;
    for number in 0..1_000 {
        refused += u32::from(flood.connect(&format!("name-{number}")) == ReturnCode::CONGESTION);
    }
    assert!(refused > 500, "{refused} of 1,000 were refused");
    let topic = bystander.register("from/bystander").unwrap();
    assert_eq!(bystander.publish(topic, Qos::Two, "still here"), ReturnCode::ACCEPTED);
    let mut newcomer = Device::new(rig.gateway.link());
    assert_eq!(newcomer.connect("newcomer"), ReturnCode::ACCEPTED);
    rig.stop();
}
