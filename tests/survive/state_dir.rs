//! The state directory: whose it is, and what happens when what lies in it cannot be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};
use tempfile::TempDir;

use crate::rig::{Device, Gateway, Rig, Upstream, configuration, program, steady_configuration};

/// Runs the program to its end in a directory; exit code and what it said.
#[track_caller]
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    // It must not run on: nobody would stop it.
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "20"]).arg(program().get_program()).args(arguments);
    let output = command.current_dir(directory).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A directory with a configuration and this in its journal.
fn with_journal(octets: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gateway.toml"), offline()).unwrap();
    fs::create_dir(directory.path().join("state")).unwrap();
    fs::write(journal(directory.path()), octets).unwrap();
    directory
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("state/journal")
}

/// A configuration that finds no broker; none is needed here.
fn offline() -> String {
    let port = crate::rig::free_tcp_port();
    steady_configuration(&format!("mqtt://127.0.0.1:{port}"), "", "")
}

/// What it says about a journal that it cannot use: which file, and what to do.
#[track_caller]
fn assert_explained(code: Option<i32>, said: &str) {
    assert_eq!(code, Some(1), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no line with `error: ` in:\n{said}"));
    for part in ["state/journal", "--reset-state"] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// A gateway that has served a device, which is returned; killed.
fn with_a_past() -> (Gateway, Device) {
    let mut gateway = Gateway::start(&offline());
    let mut device = Device::connected(gateway.link(), "meter");
    for number in 0..50 {
        device.register(&format!("sensors/meter/{number}")).unwrap();
    }
    gateway.kill();
    (gateway, device)
}

#[test]
fn two_gateways_on_one_state() {
    let mut rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut device = rig.device("meter");
    let second = configuration("mqtt://127.0.0.1:1", "", "");
    fs::write(rig.gateway.directory().join("second.toml"), second).unwrap();
    let (code, said) = run(rig.gateway.directory(), &["--config", "second.toml"]);
    assert_eq!(code, Some(1), "{said}");
    let error = said.lines().last().unwrap_or_default();
    for part in ["error: ", "state", "another", "state_dir"] {
        assert!(error.contains(part), "no {part:?} in {said:?}");
    }
    // The first has not noticed.
    let topic = device.register("up/meter").unwrap();
    assert_eq!(device.publish(topic, Qos::Two, "still here"), ReturnCode::ACCEPTED);
    // Nor does --reset-state take it away from it.
    let arguments = ["run", "--config", "second.toml", "--reset-state"];
    let (code, said) = run(rig.gateway.directory(), &arguments);
    assert_eq!(code, Some(1), "{said}");
    rig.gateway.kill();
    assert!(journal(rig.gateway.directory()).exists());
}

#[test]
fn a_journal_of_something_else() {
    // An empty one too: the gateway makes it whole or not at all.
    let foreign: [(&str, Vec<u8>); 5] = [
        ("nothing", Vec::new()),
        ("text", b"Dear diary, today nothing happened.\n".repeat(20)),
        ("zeros", vec![0; 10_000]),
        ("ones", vec![0xFF; 10_000]),
        ("a database", [b"SQLite format 3\0".as_slice(), &[7; 4_000]].concat()),
    ];
    for (what, octets) in foreign {
        let directory = with_journal(&octets);
        let (code, said) = run(directory.path(), &["run"]);
        println!("{what}: {said}");
        assert_explained(code, &said);
        assert_eq!(fs::read(journal(directory.path())).unwrap(), octets, "it is not touched");
    }
}

#[test]
fn damaged_in_the_middle_and_put_aside() {
    let (mut gateway, mut device) = with_a_past();
    let path = journal(gateway.directory());
    let mut octets = fs::read(&path).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 0x10;
    fs::write(&path, &octets).unwrap();
    gateway.restart();
    let code = gateway.wait_for_end();
    let said = gateway.log.all().join("\n");
    println!("{said}");
    assert_explained(Some(code), &said);
    assert_eq!(fs::read(&path).unwrap(), octets, "it is not touched");

    gateway.set_arguments(&["run", "--reset-state"]);
    gateway.restart_and_wait();
    let line = gateway.log.wait_for(&["WARN", "state/journal"]);
    println!("{line}");
    let aside = fs::read_dir(gateway.state())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|file| *file != path && fs::read(file).is_ok_and(|found| found == octets));
    let aside = aside.expect("the damaged journal is kept beside the new one");
    let name = aside.file_name().unwrap().to_string_lossy().into_owned();
    assert!(line.contains(&name), "{name} in {line:?}");
    // Everything is forgotten, and the device told so.
    assert_eq!(device.connect("meter"), ReturnCode::ACCEPTED);
    device.register("sensors/meter/1").unwrap();

    // Once and by hand; then as ever.
    gateway.kill();
    gateway.set_arguments(&[]);
    gateway.restart_and_wait();
    device.ping();
    assert!(!device.dismissed);
}

/// The end of the file is what a power cut takes.
#[test]
fn a_torn_end_is_no_damage() {
    let (mut gateway, mut device) = with_a_past();
    let path = journal(gateway.directory());
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
    gateway.restart_and_wait();
    device.ping();
    assert!(!device.dismissed, "the device is known");
    // An unfinished snapshot of a gateway that was killed.
    gateway.kill();
    fs::write(gateway.state().join("journal.new"), b"unfinished").unwrap();
    gateway.restart_and_wait();
    device.ping();
    assert!(!device.dismissed, "the device is known");
}

/// After SIGTERM as after SIGKILL: the device does not notice.
#[test]
fn stopped_in_order_and_started_again() {
    let broker = crate::rig::mosquitto("");
    let url = format!("mqtt://{}", broker.address());
    let mut gateway = Gateway::start(&steady_configuration(&url, "", ""));
    gateway.wait_for_broker(1);
    let mut device = Device::connected(gateway.link(), "meter");
    let topic = device.register("up/meter").unwrap();
    device.subscribe_to("down/meter", Qos::Two);
    device.sleep(600);
    for kill in [false, true] {
        crate::rig::publish(broker.address(), "down/meter", "before", 2);
        // It has come to the gateway when what was sent after it has come to somebody else.
        let mut other = Device::connected(gateway.link(), "other");
        other.subscribe_to("down/other", Qos::One);
        crate::rig::publish(broker.address(), "down/other", "x", 1);
        other.receive();
        if kill {
            gateway.kill();
        } else {
            assert_eq!(gateway.terminate(), 0);
        }
        crate::rig::publish(broker.address(), "down/meter", "meanwhile", 2);
        gateway.restart_and_wait();
        gateway.wait_for_broker(1);
        gateway.log.wait_for(&["session resumed"]);
        let mut got = Vec::new();
        while got.len() < 2 {
            got.extend(device.collect("meter").into_iter().map(|received| received.payload));
        }
        assert_eq!(got, ["before", "meanwhile"]);
        assert_eq!(device.publish(topic, Qos::Two, "up"), ReturnCode::ACCEPTED);
        assert!(!device.dismissed);
    }
}
