//! What the log does not say: passwords, tokens, wills and payloads, not even at debug.

use std::path::PathBuf;
use std::process::Command;

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode, SubscribeTopic, WillTopic};

use crate::admin::http;
use crate::rig::{Device, Gateway, Listener, configuration, mosquitto, publish};

/// In everything that nobody is to read.
const MARK: &str = "Geheim";

/// A file with a password for mosquitto.
fn passwords(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("passwords");
    std::fs::write(&path, "").unwrap();
    let set = ["-b", path.to_str().unwrap(), "gateway", "GeheimBroker"];
    let made = Command::new("mosquitto_passwd").args(set).status();
    assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd");
    path
}

fn keeps_secrets(level: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = passwords(&directory);
    let broker = mosquitto(&format!("allow_anonymous true\npassword_file {}\n", file.display()));
    let rest = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"{level}\"\n\
         [[client]]\nid = \"own-*\"\nmode = \"transparent\"\nusername = \"gateway\"\n\
         password = \"GeheimWrong\"\n"
    );
    let login = "username = \"gateway\"\npassword = \"GeheimBroker\"";
    let url = format!("mqtt://{}", broker.address());
    let mut gateway = Gateway::start(&configuration(&url, login, &rest));
    gateway.log.wait_for(&["connected to mqtt://"]);
    let world = Listener::start(broker.address(), &["up/#", "will"]);
    let link = gateway.link();
    let mut one = Device::new(link);
    let will = ("will", "GeheimWill", Qos::One, false);
    assert_eq!(one.connect_with_will("one", 60, will), ReturnCode::ACCEPTED);
    one.ask("WILLMSGRESP", &Message::WillMsgUpd { message: b"GeheimNewWill" }, |message| {
        matches!(message, Message::WillMsgResp { .. }).then_some(())
    });
    let topic = WillTopic { qos: Qos::Two, retain: false, topic: b"will" };
    one.ask("WILLTOPICRESP", &Message::WillTopicUpd(Some(topic)), |message| {
        matches!(message, Message::WillTopicResp { .. }).then_some(())
    });
    let id = one.register("up/one").unwrap();
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        one.publish(id, qos, "GeheimUp");
    }
    world.take(3);
    // Down, to one that is awake, one that sleeps, and one that will not get it.
    let mut sleeper = Device::connected(link, "sleeper");
    for device in [&mut one, &mut sleeper] {
        device.subscribe(SubscribeTopic::Name(b"down"), Qos::Two).unwrap();
    }
    sleeper.sleep(60);
    publish(broker.address(), "down", "GeheimDown", 2);
    assert_eq!(one.receive().payload, "GeheimDown");
    assert_eq!(sleeper.collect("sleeper").len(), 1);
    // A login that the broker does not take.
    let mut own = Device::new(link);
    assert_ne!(own.connect("own-1"), ReturnCode::ACCEPTED);
    // The API, with what it does not want.
    let admin = http::address(&gateway);
    let header = "Authorization: Bearer GeheimToken\r\nHost: evil.example\r\n";
    http::request(admin, "GET", "/api/v1/clients?q=x", header, "");
    http::request(admin, "DELETE", "/api/v1/clients/one", "X-Requested-With: t\r\n", "GeheimBody");
    world.until("GeheimNewWill");
    // And a configuration that changes, and one that is wrong.
    gateway.rewrite(|text| text.replace("GeheimBroker", "GeheimOther"));
    gateway.hang_up();
    gateway.log.wait_for(&["read again"]);
    gateway
        .rewrite(|text| text.replace("password = \"GeheimOther\"", "password = [\"GeheimOther\"]"));
    gateway.hang_up();
    gateway.log.wait_for(&["not taken over"]);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    let said = gateway.log.all();
    assert!(said.len() > 5, "{said:#?}");
    let secret: Vec<_> = said.iter().filter(|line| line.contains(MARK)).collect();
    assert!(secret.is_empty(), "{secret:#?}");
    // Neither in hexadecimal.
    let hexadecimal = "47656865696d";
    let plain = |line: &&String| line.replace(' ', "").to_lowercase().contains(hexadecimal);
    assert_eq!(said.iter().find(plain), None);
}

#[test]
fn no_secret_at_info() {
    keeps_secrets("info");
}

#[test]
fn no_secret_at_debug() {
    keeps_secrets("debug");
}
