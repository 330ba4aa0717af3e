//! `check --ble`, with the real program.

use std::process::{Output, Stdio};

use super::bluez::Peripheral;
use super::{Bluez, Bus, address, nus};
use crate::rig::program;

fn check(bus: &Bus, configuration: &str, arguments: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, configuration).unwrap();
    let mut command = program();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    command.arg("--config").arg(&path).args(["check", "--ble"]).args(arguments);
    command.stdout(Stdio::piped());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const LINES: &str = "[[ble]]\nadapter = \"hci0\"\nallow = [\"sensor-*\"]\n";

#[test]
fn what_is_in_range_is_told() {
    let bus = Bus::new();
    let bluez = Bluez::on(&bus);
    let ids = [
        bluez.add(nus(1).named("sensor-1")),
        bluez.add(nus(2).named("other")),
        bluez.add(Peripheral::hm10(&address(3)).named("meter")),
    ];
    let mut phone =
        Peripheral::new(&address(4), "0000180f-0000-1000-8000-00805f9b34fb", &[], "", "");
    phone.name = Some("phone".to_owned());
    bluez.add(phone);
    let (code, out, error) = check(&bus, LINES, &["--listen", "2s"]);
    assert_eq!(code, 0, "{out}{error}");
    for parts in [
        vec!["hci0 (C0:00:00:00:00:01)", "on"],
        vec!["\"sensor-1\"", &address(1)],
        vec!["the gateway connects to it"],
        vec!["\"other\"", &address(2)],
        vec!["offers the service, but `allow`"],
        vec!["\"meter\"", &address(3)],
        vec!["profile = \"hm10\""],
        vec!["1 that are none of the gateway's", "\"phone\""],
    ] {
        let found = out.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?}: {out}");
    }
    // It only listens.
    bluez.with(move |state| {
        assert!(ids.iter().all(|id| state.devices[*id].record.attempts == 0));
    });
    bluez.wait("the scan to end", |state| {
        state.adapters["hci0"].discoverers.is_empty().then_some(())
    });
}

#[test]
fn what_is_missing_is_told() {
    let mut bus = Bus::new();
    let bluez = Bluez::stopped();
    let fails = |bus: &Bus, arguments: &[&str], words: &str| {
        let (code, out, error) = check(bus, LINES, arguments);
        assert!(code != 0 && error.contains(words), "{words}: {code} {out}{error}");
    };
    fails(&bus, &[], "BlueZ is not running");
    bluez.start(&bus);
    bluez.with(|state| state.set_powered("hci0", false));
    fails(&bus, &[], "adapter hci0 is switched off");
    assert!(!bluez.with(|state| state.adapters["hci0"].powered), "it only listens");
    fails(&bus, &["hci3"], "there is no adapter hci3, but hci0 (C0:00:00:00:00:01)");
    bluez.with(|state| state.unplug("hci0"));
    fails(&bus, &[], "there is no Bluetooth adapter");
    bus.kill();
    fails(&bus, &[], "there is no system bus");
}
