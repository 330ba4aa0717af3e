//! A D-Bus of our own, gone when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A bus that can be killed and started again at the same address.
pub struct Bus {
    directory: TempDir,
    child: Option<Child>,
}

impl Bus {
    /// One that runs.
    #[track_caller]
    pub fn new() -> Self {
        let mut bus = Self { directory: tempfile::tempdir().unwrap(), child: None };
        bus.start();
        bus
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let configuration = self.directory.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow own=\"*\"/><allow send_destination=\"*\"/>\
             <allow receive_sender=\"*\"/></policy></busconfig>",
            self.address()
        );
        std::fs::write(&configuration, text).unwrap();
        let _ = std::fs::remove_file(self.directory.path().join("bus"));
        let mut child = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--config-file={}", configuration.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("dbus-daemon: {error}; tests/setup.sh installs it"));
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        self.child = Some(child);
        assert!(read.is_ok_and(|length| length > 0), "dbus-daemon does not start");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What clients find it by.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}
