//! What the tests of the commands share: running the real program.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, without the environment's settings for it.
pub fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt-sn-gateway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MQTT_SN_GATEWAY_") || name == "STATE_DIRECTORY" {
            command.env_remove(name);
        }
    }
    // Many run at once.
    command.env("MQTT_SN_GATEWAY_ADMIN__LISTEN", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished program left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Ended {
    gateway().args(arguments).output().expect("the program runs").into()
}

/// Runs the program in a directory.
pub fn run_in(directory: &Path, arguments: &[&str]) -> Ended {
    gateway().args(arguments).current_dir(directory).output().expect("the program runs").into()
}

/// Runs the program with something on standard input.
pub fn run_with(arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = gateway().args(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("standard input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may have stopped reading.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output.into()
}
