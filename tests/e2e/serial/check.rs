//! `check --serial`, with the real program on pseudo-terminals.

use std::process::{Output, Stdio};

use super::hub::Hub;
use super::line::Line;
use super::pty::Port;
use super::radio::Radio;
use crate::rig::program;

fn check(arguments: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, "[[udp]]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let mut command = program();
    command.arg("--config").arg(&path).arg("check").args(arguments);
    command.stdout(Stdio::piped());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_hub_is_found_without_being_named() {
    let radio = Radio::new(Hub::new(0));
    let device = radio.path(0).display().to_string();
    let (code, out, error) = check(&["--serial", &device, "--baud", "57600", "--listen", "1s"]);
    assert_eq!(code, 0, "{out}{error}");
    for part in [
        "57600 baud, framing hub",
        "hub \"attic\", RFM69",
        "In gateway.toml:",
        "framing = \"hub\"",
        &format!("device = \"{device}\""),
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn what_is_heard_says_which_framing_it_is() {
    let port = Port::new();
    port.plug();
    let device = port.device().display().to_string();
    let far = port.far();
    let packets = b"\xC0\x0E\x04\x04\x01\0\x3Ca-device\xC0\xC0\x03\x01\0\xC0".repeat(2);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut pty = far.lock().unwrap();
                let pty = pty.as_mut().unwrap();
                pty.read();
                pty.write(&packets);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        let named = check(&["--serial", &device, "--framing", "slip", "--listen", "1s"]);
        let wrong = check(&["--serial", &device, "--framing", "cobs", "--listen", "1s"]);
        let search = check(&["--serial", &device, "--baud", "115200", "--listen", "1s"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(named.0, 0, "{named:?}");
        assert!(named.1.contains("MQTT-SN packets heard:\n    "), "{named:?}");
        assert!(named.1.contains("from the other end"), "{named:?}");
        assert_eq!(wrong.0, 1, "{wrong:?}");
        assert!(wrong.1.contains("they look like framing slip"), "{wrong:?}");
        assert_eq!(search.0, 0, "{search:?}");
        assert!(search.1.contains("115200 baud, framing slip"), "{search:?}");
        assert!(search.2.contains("trying 115200 baud"), "{search:?}");
    });
}

#[test]
fn silence_and_absence_are_told_apart() {
    let line = Line::new("slip");
    let device = line.device().display().to_string();
    let (code, out, _) = check(&["--serial", &device, "--framing", "slip", "--listen", "300ms"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("Nothing heard. Devices that sleep"), "{out}");
    let (code, out, _) = check(&["--serial", &device, "--baud", "9600", "--listen", "500ms"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("Nothing answers, and nothing was heard"), "{out}");
    let lock = line.lock();
    let (code, _, error) = check(&["--serial", &device, "--framing", "slip"]);
    assert_eq!(code, 1);
    assert!(error.contains("has it open"), "{error}");
    drop(lock);
    line.unplug();
    let (code, _, error) = check(&["--serial", &device]);
    assert_eq!(code, 1);
    assert!(error.contains("there is no such device"), "{error}");
    let (code, _, error) = check(&["--framing", "slip"]);
    assert_eq!(code, 2, "{error}");
}
