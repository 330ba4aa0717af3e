//! The real program, with a configuration of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::lines::Lines;

/// A running gateway; killed when dropped, and its log shown if the test fails.
pub struct Gateway {
    child: Option<Child>,
    pub log: Lines,
    /// Gone when the program is.
    _directory: TempDir,
    /// Where devices find it, by the order of [[udp]].
    pub links: Vec<SocketAddr>,
}

/// A configuration with one UDP link on a free port. `upstream` is lines of that table, `rest` is
/// whole tables.
pub fn configuration(url: &str, upstream: &str, rest: &str) -> String {
    format!(
        "name = \"e2e\"\n\n[upstream]\nurl = \"{url}\"\nreconnect_min = \"100ms\"\n\
         reconnect_max = \"300ms\"\n{upstream}\n\n[[udp]]\nlisten = \"127.0.0.1:0\"\n\n{rest}\n"
    )
}

/// A TCP port of the loopback that nobody uses at the moment.
pub fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program, in a directory of its own, without settings from the environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt-sn-gateway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MQTT_SN_GATEWAY_") || name == "STATE_DIRECTORY" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Gateway {
    /// Starts it and waits until it listens. Whether it has reached its broker is another question:
    /// see [`Self::wait_for_broker`].
    #[track_caller]
    pub fn start(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut gateway = Self::spawn(directory, configuration);
        let links = configuration.matches("[[udp]]").count();
        gateway.links = gateway.log.wait("the gateway to listen", |lines| {
            let marker = "listening for MQTT-SN on udp ";
            let found: Vec<SocketAddr> = lines
                .iter()
                .filter_map(|line| Some(line.split_once(marker)?.1.trim().parse().unwrap()))
                .collect();
            (found.len() == links).then_some(found)
        });
        gateway
    }

    fn spawn(directory: TempDir, configuration: &str) -> Self {
        let file = directory.path().join("gateway.toml");
        fs::write(&file, configuration).unwrap();
        let mut child = program().current_dir(directory.path()).spawn().unwrap();
        let log = Lines::collect(child.stderr.take().unwrap(), |_| true);
        Self { child: Some(child), log, _directory: directory, links: Vec::new() }
    }

    /// Where devices find it.
    pub fn link(&self) -> SocketAddr {
        self.links[0]
    }

    /// Waits until it has been connected to its broker this many times.
    #[track_caller]
    pub fn wait_for_broker(&self, times: usize) {
        self.log.wait("the gateway to connect to its broker", |lines| {
            let connected = lines.iter().filter(|line| line.contains("INFO connected to ")).count();
            (connected >= times).then_some(())
        });
    }

    /// SIGTERM; returns the exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        let mut child = self.child.take().expect("it runs");
        signal(&child, "TERM");
        child.wait().unwrap().code().expect("an exit code, not a signal")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// CPU time that it has used, all threads.
    pub fn cpu(&self) -> Duration {
        let id = self.child.as_ref().expect("it runs").id();
        let clock = clock_getcpuclockid(Pid::from_raw(id.cast_signed())).unwrap();
        clock.now().unwrap().into()
    }

    /// Most memory that it has had in use, KiB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(PathBuf::from(format!("/proc/{id}/status"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- the gateway's log ----\n{}\n----", self.log.all().join("\n"));
        }
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}
