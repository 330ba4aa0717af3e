//! Fewer open files than devices.

use std::process::{Child, Stdio};

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use crate::rig::{Device, Lines, configuration, mosquitto, program};

/// Killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn devices_beyond_the_limit_of_open_files_hear_congestion_and_others_are_served() {
    let broker = mosquitto("");
    let directory = tempfile::tempdir().unwrap();
    let url = format!("mqtt://{}", broker.address());
    let text = configuration(&url, "mode = \"transparent\"", "");
    std::fs::write(directory.path().join("gateway.toml"), text).unwrap();
    // The program, in a shell that lets it have few files.
    let binary = program().get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg("ulimit -n 80; exec \"$0\"").arg(binary);
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut running = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let log = Lines::collect(running.0.stderr.take().unwrap(), |_| true);
    let listening = log.wait_for(&["listening for MQTT-SN on udp "]);
    let link = listening.rsplit(' ').next().unwrap().parse().unwrap();
    log.wait_for(&["WARN", "mode = \"transparent\" takes up to", "this process may have 80"]);
    log.wait_for(&["INFO connected to "]);
    let mut devices = Vec::new();
    loop {
        assert!(devices.len() < 80, "there is no limit");
        let mut device = Device::new(link);
        if device.connect(&format!("n{}", devices.len())) == ReturnCode::CONGESTION {
            break;
        }
        devices.push(device);
    }
    assert!(!devices.is_empty());
    log.wait_for(&["the limit of open files"]);
    for device in &mut devices {
        let topic = device.register("readings/x").unwrap();
        assert_eq!(device.publish(topic, Qos::One, "x"), ReturnCode::ACCEPTED);
    }
    // Who leaves makes room.
    devices.remove(0).disconnect();
    let mut late = Device::new(link);
    while late.connect("late") != ReturnCode::ACCEPTED {}
}
