//! Who logs in how: the gateway for all, a rule for some, and others after a SIGHUP.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};
use tempfile::TempDir;

use super::*;
use crate::rig::{Gateway, Listener, configuration, heard, mosquitto, program};
use crate::support::mosquitto::Mosquitto;

/// A broker that lets users publish below their own names only.
struct Users {
    directory: TempDir,
    broker: Mosquitto,
}

impl Users {
    fn start(users: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let passwords = directory.path().join("passwords");
        std::fs::write(&passwords, "").unwrap();
        let mut rules = String::from("topic read #\ntopic readwrite e2e-ready/#\n");
        for (user, password) in users {
            let set = ["-b", passwords.to_str().unwrap(), user, password];
            let made = Command::new("mosquitto_passwd").args(set).status();
            assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd");
            writeln!(rules, "user {user}\ntopic readwrite {user}/#").unwrap();
        }
        writeln!(rules, "user gateway\ntopic readwrite mqtt-sn-gateway/#").unwrap();
        let acl = directory.path().join("rules");
        std::fs::write(&acl, rules).unwrap();
        let settings = format!(
            "allow_anonymous true\npassword_file {}\nacl_file {}",
            passwords.display(),
            acl.display()
        );
        Self { directory, broker: mosquitto(&settings) }
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.broker.address())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

const GATEWAY: &str = "version = \"5\"\nusername = \"gateway\"\npassword = \"g\"";

/// What a device is told when it publishes to a topic.
fn publish(device: &mut Device, topic: &str) -> ReturnCode {
    let id = device.register(topic).unwrap();
    device.publish(id, Qos::One, topic)
}

#[test]
fn a_rule_says_who_logs_in_and_in_which_mode() {
    let users = Users::start(&[("gateway", "g"), ("meters", "m")]);
    let file = users.file("meters", "m\n");
    let rules = format!(
        "[[client]]\nid = \"meter-*\"\nmode = \"transparent\"\nusername = \"meters\"\n\
         password_file = \"{}\"\n",
        file.display()
    );
    let gateway = Gateway::start(&configuration(&users.url(), GATEWAY, &rules));
    gateway.wait_for_broker(1);
    let world = Listener::start(users.broker.address(), &["gateway/#", "meters/#"]);
    let mut meter = Device::connected(gateway.link(), "meter-7");
    let mut other = Device::connected(gateway.link(), "other");
    assert_eq!(publish(&mut meter, "meters/a"), ReturnCode::ACCEPTED);
    assert_eq!(publish(&mut meter, "gateway/a"), ReturnCode::NOT_SUPPORTED);
    gateway.log.wait_for(&["the broker refuses PUBLISH of \"gateway/a\": not authorized"]);
    assert_eq!(publish(&mut other, "gateway/b"), ReturnCode::ACCEPTED);
    assert_eq!(publish(&mut other, "meters/b"), ReturnCode::NOT_SUPPORTED);
    assert_eq!(
        world.take(2),
        [heard("meters/a", "meters/a", 1), heard("gateway/b", "gateway/b", 1)]
    );
    assert!(users.broker.log().contains("as meter-7 (p5,"));

    // The rule, told to whoever asks.
    let config = gateway.directory().join("gateway.toml");
    let check = ["--config", config.to_str().unwrap(), "check", "--client", "meter-7"];
    let told = String::from_utf8(program_output(&check)).unwrap();
    let lines = ["transparent: its own connection", "username               meters"];
    assert!(lines.iter().all(|line| told.contains(line)), "{told}");
}

fn program_output(arguments: &[&str]) -> Vec<u8> {
    let output = program().args(arguments).stdout(std::process::Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_new_login_counts_from_the_next_connection_on() {
    let users = Users::start(&[("gateway", "g"), ("meters", "m"), ("others", "o")]);
    let rules = "[[client]]\nid = \"meter-*\"\nmode = \"transparent\"\nusername = \"meters\"\n\
                 password = \"m\"\n";
    let gateway = Gateway::start(&configuration(&users.url(), GATEWAY, rules));
    gateway.wait_for_broker(1);
    let mut meter = Device::connected(gateway.link(), "meter-7");
    assert_eq!(publish(&mut meter, "others/a"), ReturnCode::NOT_SUPPORTED);
    let change = |text: String| {
        text.replace("username = \"meters\"", "username = \"others\"")
            .replace("password = \"m\"", "password = \"o\"")
    };
    gateway.rewrite(change);
    gateway.hang_up();
    gateway.log.wait_for(&["read again; changed: [[client]]"]);
    meter.disconnect();
    assert_eq!(meter.connect("meter-7"), ReturnCode::ACCEPTED);
    assert_eq!(publish(&mut meter, "others/c"), ReturnCode::ACCEPTED);
}

#[test]
fn a_password_file_that_cannot_be_read_leaves_the_old_login_in_force() {
    let users = Users::start(&[("gateway", "g")]);
    let file = users.file("gateway", "g");
    let login =
        format!("version = \"5\"\nusername = \"gateway\"\npassword_file = \"{}\"", file.display());
    let mut gateway = Gateway::start(&configuration(&users.url(), &login, ""));
    gateway.wait_for_broker(1);
    let gone = users.directory.path().join("nowhere");
    gateway.rewrite(|text| text.replace(file.to_str().unwrap(), gone.to_str().unwrap()));
    gateway.hang_up();
    gateway.log.wait_for(&["stays in force"]);
    gateway.log.wait_for(&["cannot read `password_file`", gone.to_str().unwrap()]);
    assert!(gateway.is_running());
    let mut device = Device::connected(gateway.link(), "n1");
    assert_eq!(publish(&mut device, "gateway/a"), ReturnCode::ACCEPTED);
}
