//! What a device hears when the broker does not want it.

use mqtt_sn_gateway::codec::{Message, ReturnCode};

use super::fake::{FakeBroker, Reply};
use crate::rig::{Device, Gateway, configuration};

/// Client ids are codes in hexadecimal.
fn code_of(id: &str) -> Option<u8> {
    u8::from_str_radix(id.strip_prefix("c-")?, 16).ok()
}

fn gateway(broker: &FakeBroker, version: &str) -> Gateway {
    let url = format!("mqtt://{}", broker.address());
    let lines = format!("mode = \"transparent\"\nversion = \"{version}\"");
    let gateway = Gateway::start(&configuration(&url, &lines, ""));
    gateway.wait_for_broker(1);
    gateway
}

/// A broker that answers with the code in the client id.
fn refusing() -> FakeBroker {
    FakeBroker::start(|id, _| Reply::Connack(code_of(id).unwrap_or(0)))
}

#[track_caller]
fn expect(gateway: &Gateway, code: u8, wanted: ReturnCode) {
    let mut device = Device::new(gateway.link());
    let id = format!("c-{code:02x}");
    assert_eq!(device.connect(&id), wanted, "code {code:#04x}");
}

#[test]
fn return_codes_of_3_1_1() {
    let broker = refusing();
    let gateway = gateway(&broker, "3.1.1");
    for code in [1, 2, 4, 5] {
        expect(&gateway, code, ReturnCode::NOT_SUPPORTED);
    }
    expect(&gateway, 3, ReturnCode::CONGESTION);
    expect(&gateway, 0, ReturnCode::ACCEPTED);
    // Whom the broker does not want is not tried again and again.
    assert_eq!(broker.levels("c-05"), [4]);
    gateway.log.wait_for(&["client \"c-02\"", "does not accept this client id"]);
}

#[test]
fn reason_codes_of_5() {
    let broker = refusing();
    let gateway = gateway(&broker, "5");
    // Not specified, malformed, protocol error, implementation, client id, login, not authorised,
    // banned, authentication method, topic of the will, packet too large, payload, retain, QoS, moved.
    for code in
        [0x80, 0x81, 0x82, 0x83, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B, 0x9D]
    {
        expect(&gateway, code, ReturnCode::NOT_SUPPORTED);
    }
    // Unavailable, busy, over a quota, connecting too often.
    for code in [0x88, 0x89, 0x97, 0x9F] {
        expect(&gateway, code, ReturnCode::CONGESTION);
    }
    expect(&gateway, 0, ReturnCode::ACCEPTED);
}

#[test]
fn a_client_whose_id_another_has_taken_is_told() {
    let broker = FakeBroker::start(|id, _| match code_of(id) {
        Some(reason) => Reply::Dismissed(reason),
        None => Reply::Connack(0),
    });
    let gateway = gateway(&broker, "5");
    for reason in ["8e", "87", "8a", "98"] {
        let mut device = Device::new(gateway.link());
        let id = format!("c-{reason}");
        assert_eq!(device.connect(&id), ReturnCode::ACCEPTED);
        if !device.dismissed {
            device.wait("DISCONNECT", |message| {
                matches!(message, Message::Disconnect { .. }).then_some(())
            });
        }
        gateway
            .log
            .wait_for(&[&format!("client \"{id}\" is lost"), "the broker does not serve it"]);
        // Two that take turns would go on for ever.
        assert_eq!(broker.levels(&id), [5]);
    }
}

#[test]
fn a_broker_that_hangs_up_on_mqtt_5_serves_devices_by_3_1_1() {
    let broker = FakeBroker::start(|_, level| match level {
        5 => Reply::HangUp,
        _ => Reply::Connack(0),
    });
    let gateway = gateway(&broker, "auto");
    let mut device = Device::new(gateway.link());
    assert_eq!(device.connect("n1"), ReturnCode::ACCEPTED);
    assert_eq!(broker.levels("n1"), [4], "what is known of the broker need not be found out again");
}

#[test]
fn a_broker_that_refuses_mqtt_5_serves_devices_by_3_1_1() {
    let broker = FakeBroker::start(|_, level| Reply::Connack(u8::from(level == 5)));
    let gateway = gateway(&broker, "auto");
    let mut device = Device::new(gateway.link());
    assert_eq!(device.connect("n1"), ReturnCode::ACCEPTED);
    assert_eq!(broker.levels("n1"), [4]);
}
