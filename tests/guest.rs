//! What takes a kernel of one's own: USB serial adapters that come and go, and Bluetooth. A User Mode Linux
//! kernel is booted on this machine's files for each, see `tests/guest`.
//!
//! `tests/setup.sh` builds the kernel and installs what runs in the guest. Where no kernel can be built,
//! nothing is tested here.

use std::path::Path;
use std::process::{Command, Stdio};

#[path = "guest/echo.rs"]
mod echo;

/// Exit code of `kernel.sh` where there is no kernel and none can be built.
const NO_KERNEL: i32 = 3;

/// Runs a script of `tests/guest` in a guest.
fn run(script: &str) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    let kernel = Command::new(scripts.join("kernel.sh"))
        .arg("--find")
        .stderr(Stdio::piped())
        .output()
        .expect("the script runs");
    let why = String::from_utf8_lossy(&kernel.stderr);
    if kernel.status.code() == Some(NO_KERNEL) {
        eprintln!("NOT TESTED: {script}: {}", why.trim());
        return;
    }
    assert!(kernel.status.success(), "{}", why.trim());
    let kernel = String::from_utf8(kernel.stdout).expect("a path in UTF-8");
    let output = Command::new(scripts.join("boot.sh"))
        .arg(kernel.trim())
        .arg(scripts.join(script))
        .env("GATEWAY", env!("CARGO_BIN_EXE_mqtt-sn-gateway"))
        .env("ECHO", std::env::current_exe().expect("this program has a path"))
        .output()
        .expect("the guest boots");
    // What was measured is worth reading in any case.
    println!("{}", String::from_utf8_lossy(&output.stdout));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}, see above\n{errors}", output.status);
}

#[test]
fn usb_serial_adapters_come_and_go() {
    run("usb-serial.sh");
}

/// This test twice: here, and in the guest, where it is the echo that says how fast the gateway can be at
/// best.
#[test]
fn sensors_speak_over_bluetooth() {
    if std::env::var_os("IN_GUEST").is_some() {
        return echo::run().expect("a sensor is there");
    }
    run("ble.sh");
}
