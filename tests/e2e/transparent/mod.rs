//! Transparent mode: each device is a client of the broker under its own id. And several connections
//! that clients share.

mod broker;
mod fake;
mod limits;
mod logins;
mod refusals;
mod sessions;
mod shared;
mod wills;

use mqtt_sn_gateway::codec::{Connect, Message, Qos, ReturnCode, WillTopic};

use crate::rig::{Device, Rig, Upstream, connect_packet};

/// A gateway in transparent mode and its broker.
#[track_caller]
fn rig(upstream: Upstream) -> Rig {
    Rig::start(upstream, "mode = \"transparent\"", "")
}

/// A device with a session that is kept.
#[track_caller]
fn persistent(rig: &Rig, id: &str) -> Device {
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect_with(id, false, 60), ReturnCode::ACCEPTED);
    device
}

/// CONNECT of `connect` with a will at QoS 1.
#[track_caller]
fn connect_with_will(device: &mut Device, connect: Connect<'_>, topic: &str, will: &str) {
    let (connect, retain) = (Connect { will: true, ..connect }, true);
    device.ask("WILLTOPICREQ", &Message::Connect(connect), |message| {
        matches!(message, Message::WillTopicReq).then_some(())
    });
    let topic = WillTopic { qos: Qos::One, retain, topic: topic.as_bytes() };
    device.ask("WILLMSGREQ", &Message::WillTopic(Some(topic)), |message| {
        matches!(message, Message::WillMsgReq).then_some(())
    });
    let will = Message::WillMsg { message: will.as_bytes() };
    let code = device.ask("CONNACK", &will, |message| match *message {
        Message::ConnAck { code } => Some(code),
        _ => None,
    });
    assert_eq!(code, ReturnCode::ACCEPTED);
}

/// A device with a will on `wills/<id>` that says its id, retained.
#[track_caller]
fn willed(rig: &Rig, id: &str, clean: bool, keep_alive: u16) -> Device {
    let mut device = Device::new(rig.gateway.link());
    let topic = format!("wills/{id}");
    connect_with_will(&mut device, connect_packet(id, clean, keep_alive, true), &topic, id);
    device
}

/// Waits until mosquitto has logged this.
#[track_caller]
fn wait_for_mosquitto(rig: &mut Rig, part: &str) {
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while !rig.mosquitto().log().contains(part) {
        assert!(std::time::Instant::now() < deadline, "mosquitto did not log {part:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
