//! What is left behind by links that come and go, and what it costs to do nothing.

use std::fs;
use std::time::Duration;

use mqtt_sn_gateway::codec::ReturnCode;

use super::{Place, Sensor, client_id, nus};

/// Links that come and go.
const CYCLES: usize = 50;
/// Memory that may come and go with the allocator's moods, KiB.
const MOODS: u64 = 2_048;

/// Files open, threads, and memory in use (KiB) of the gateway.
fn holdings(place: &Place) -> (usize, usize, u64) {
    let count = |what: &str| {
        let directory = format!("/proc/{}/{what}", place.gateway.id());
        fs::read_dir(directory).unwrap().count()
    };
    let status = fs::read_to_string(format!("/proc/{}/status", place.gateway.id())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    (count("fd"), count("task"), memory.trim().trim_end_matches(" kB").parse().unwrap())
}

fn cycle(device: &mut Sensor, cycles: usize) {
    for _ in 0..cycles {
        let before = device.record().links;
        device.drop_link();
        device.wait_for("another link", move |record| record.links > before);
        device.wait_for_link();
        device.ping();
    }
}

#[test]
fn links_that_come_and_go_leave_nothing_behind() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    cycle(&mut device, 10);
    let before = holdings(&place);
    cycle(&mut device, CYCLES);
    let after = holdings(&place);
    assert_eq!((after.0, after.1), (before.0, before.1), "files and threads");
    assert!(after.2 <= before.2 + MOODS, "memory: {} KiB, then {} KiB", before.2, after.2);
    assert!(!device.dismissed);
    place.stop();
}

/// BlueZ that comes and goes.
#[test]
fn adapters_that_come_and_go_leave_nothing_behind() {
    let place = Place::new("");
    let mut device = place.sensor(1);
    let mut found = Vec::new();
    for _ in 0..4 {
        place.bluez.with(|state| state.set_powered("hci0", false));
        let listening = place.gateway.log.count("listening for MQTT-SN");
        place.bluez.with(|state| state.set_powered("hci0", true));
        place.gateway.log.wait("the adapter to be found again", |lines| {
            let lines = lines.iter().filter(|line| line.contains("listening for MQTT-SN"));
            (lines.count() > listening).then_some(())
        });
        device.wait_for_link();
        device.ping();
        found.push(holdings(&place));
    }
    let (files, threads, memory) = found[0];
    for (more_files, more_threads, more_memory) in &found[1..] {
        assert_eq!((*more_files, *more_threads), (files, threads), "{found:?}");
        assert!(*more_memory <= memory + MOODS, "{found:?}");
    }
    place.stop();
}

/// Printed, for people; a machine may be busy with other things.
#[test]
fn doing_nothing_costs_little() {
    let place = Place::new("allow = [\"ours\"]");
    let own = |number| Sensor::linked(&place.bluez, nus(number).named("ours"));
    let mut devices: Vec<Sensor> = (1..=4).map(own).collect();
    let used = || {
        let before = place.gateway.cpu();
        std::thread::sleep(Duration::from_secs(1));
        place.gateway.cpu() - before
    };
    println!("4 devices connected: {:?} of CPU in a second", used());
    for number in 5..=20 {
        place.bluez.add(nus(number).named("not ours"));
    }
    println!("16 others heard 25 times a second: {:?} of CPU in a second", used());
    for (number, device) in (1..).zip(&mut devices) {
        assert_eq!(device.connect(&client_id(number)), ReturnCode::ACCEPTED);
        assert_eq!(device.record().links, 1);
    }
    place.stop();
}
