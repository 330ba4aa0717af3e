//! The process that is measured: the gateway, or the relay as yardstick.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};

use crate::Failure;
use crate::guard::Guarded;
use crate::machine;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// The real program.
    Gateway,
    /// The least that any gateway can do, see `relay.rs`.
    Relay,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relay => "relay",
        }
    }
}

pub struct Target {
    subject: Subject,
    process: Guarded,
    clock: ClockId,
    /// Where it listens for MQTT-SN.
    pub address: SocketAddr,
}

impl Target {
    /// Starts `subject` against the broker at `broker`; `gateway` is the program's path.
    /// With `pin` it gets that core, and this thread the first. `settings`: see [`configure`].
    pub fn start(
        subject: Subject,
        gateway: &Path,
        broker: SocketAddr,
        pin: Option<usize>,
        settings: &str,
    ) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let address = free_udp_address()?;
        let log = File::create(directory.path().join("log"))?;
        let mut command = match subject {
            Subject::Gateway => {
                let config = configure(directory.path(), address, broker, settings)?;
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--become").arg(gateway).arg("--config").arg(config);
                command
            }
            Subject::Relay => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--relay", &address.to_string(), &broker.to_string()]);
                command
            }
        };
        without_our_settings(&mut command);
        if let Some(core) = pin {
            machine::pin(core)?;
        }
        let process = Guarded::spawn(command.stdout(log.try_clone()?).stderr(log), directory)
            .map_err(|error| format!("cannot start the {}: {error}", subject.name()))?;
        if pin.is_some() {
            machine::pin(0)?;
        }
        let clock = clock_getcpuclockid(process.pid)?;
        Ok(Self { subject, process, clock, address })
    }

    /// Fails, with the end of its log, if the process has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => {
                Err(format!("the {} ended ({status}){}", self.subject.name(), self.log()).into())
            }
        }
    }

    /// CPU time that it used since it started, all threads.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        Ok(self.clock.now()?.into())
    }

    /// Resident memory now, KiB.
    pub fn resident(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid))?;
        number(&status, "VmRSS:").ok_or_else(|| "no VmRSS in /proc/PID/status".into())
    }

    /// How often its threads went to sleep and were woken since they started.
    pub fn wake_ups(&self) -> Result<u64, Failure> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.pid))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            sum += number(&status, "voluntary_ctxt_switches:").unwrap_or(0);
        }
        Ok(sum)
    }

    /// The last lines that it wrote, for an error message.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.process.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        match lines.get(lines.len().saturating_sub(10)..) {
            None | Some([]) => "; it wrote nothing".into(),
            Some(tail) => format!("; it wrote last:\n  {}", tail.join("\n  ")),
        }
    }
}

/// The value of a line of `/proc/PID/status`.
fn number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// An address that nobody has now. Somebody could take it before the child does; then the child
/// says so and the run fails.
fn free_udp_address() -> Result<SocketAddr, Failure> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Settings of whoever runs the benchmark must not become settings of what is measured.
fn without_our_settings(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy();
        if text.starts_with("MQTT_SN_GATEWAY_") || text == "STATE_DIRECTORY" || text == "RUST_LOG" {
            command.env_remove(key);
        }
    }
}

/// Writes a `gateway.toml` that differs from the defaults in nothing but name, addresses, protocol
/// version and `settings`, whole tables. State is kept beside it by default, so it goes when the
/// directory does.
fn configure(
    directory: &Path,
    udp: SocketAddr,
    broker: SocketAddr,
    settings: &str,
) -> Result<PathBuf, Failure> {
    let path = directory.join("gateway.toml");
    write!(
        File::create(&path)?,
        "name = \"benchmark\"\n\
         [upstream]\n\
         url = \"mqtt://{broker}\"\n\
         version = \"3.1.1\"\n\
         [[udp]]\n\
         listen = \"{udp}\"\n\
         {settings}",
    )?;
    Ok(path)
}
