//! The process that is measured: the gateway, or the relay as yardstick.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::time::{ClockId, clock_getcpuclockid};

use crate::Failure;
use crate::guard::Guarded;
use crate::hosted::Disk;
use crate::machine;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// The real program.
    Gateway,
    /// The least that any gateway can do, see `relay.rs`.
    Relay,
    /// The gateway's library in this program, with a disk of our own, see `hosted.rs`.
    Hosted(Disk),
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relay => "relay",
            Self::Hosted(_) => "gateway in the benchmark's program",
        }
    }
}

pub struct Target {
    subject: Subject,
    process: Guarded,
    clock: ClockId,
    /// How it was started: program and arguments.
    line: Vec<OsString>,
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
        let mut line = vec![std::env::current_exe()?.into_os_string()];
        let configure = || configure(directory.path(), address, broker, settings);
        match subject {
            Subject::Gateway => {
                let config = configure()?.into_os_string();
                line.extend(["--become".into(), gateway.into(), "--config".into(), config]);
            }
            Subject::Relay => line
                .extend(["--relay", &address.to_string(), &broker.to_string()].map(OsString::from)),
            Subject::Hosted(disk) => {
                line.extend(["--host".into(), configure()?.into_os_string()]);
                line.push(disk.to_string().into());
            }
        }
        if let Some(core) = pin {
            machine::pin(core)?;
        }
        let process = Guarded::spawn(&mut command(&line, directory.path())?, directory)
            .map_err(|error| format!("cannot start the {}: {error}", subject.name()))?;
        if pin.is_some() {
            machine::pin(0)?;
        }
        let clock = clock_getcpuclockid(process.pid)?;
        Ok(Self { subject, process, clock, line, address })
    }

    /// Kills it, as a crash would, and starts it again in the same directory.
    pub fn restart(&mut self) -> Result<(), Failure> {
        let mut command = command(&self.line, self.process.directory.path())?;
        self.process.replace(&mut command)?;
        self.clock = clock_getcpuclockid(self.process.pid)?;
        Ok(())
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
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, KiB.
    pub fn most_resident(&self) -> Result<u64, Failure> {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid))?;
        number(&status, key).ok_or_else(|| format!("no {key} in /proc/PID/status").into())
    }

    /// What its journal's thread has written since it started; nothing if there is no such thread.
    pub fn written(&self) -> Result<Written, Failure> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.pid))? {
            let thread = thread?.path();
            if fs::read_to_string(thread.join("comm"))?.trim_end() == "journal" {
                let io = fs::read_to_string(thread.join("io"))?;
                let value = |key| number(&io, key).ok_or(format!("no {key} in /proc/PID/io"));
                return Ok(Written { octets: value("wchar:")?, kernel: value("write_bytes:")? });
            }
        }
        Ok(Written::default())
    }

    /// Commits so far, as it says itself when it gets SIGHUP.
    pub fn commits(&self) -> Result<u64, Failure> {
        const BEGIN: &str = "SIGHUP; ";
        const COMMITS: &str = " writes to the state directory";
        let lines = |log: &str| log.lines().filter(|line| line.contains(BEGIN)).count();
        let path = self.process.directory.path().join("log");
        let before = lines(&fs::read_to_string(&path)?);
        signal::kill(self.process.pid, Signal::SIGHUP)?;
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let log = fs::read_to_string(&path)?;
            if log.ends_with('\n') && lines(&log) > before {
                let line = log.lines().rfind(|line| line.contains(BEGIN)).unwrap_or_default();
                let said = line.split("; ").find_map(|part| part.strip_suffix(COMMITS));
                return Ok(said.map_or(Ok(0), str::parse)?);
            }
            if Instant::now() > deadline {
                return Err(format!("no answer to SIGHUP{}", self.log()).into());
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// What the whole process has made the kernel write, octets.
    pub fn kernel_written(&self) -> Result<u64, Failure> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process.pid))?;
        number(&io, "write_bytes:").ok_or_else(|| "no write_bytes in /proc/PID/io".into())
    }

    /// Length of its journal, and of the one that is being written beside it, octets.
    pub fn journal(&self) -> (u64, u64) {
        let state = self.process.directory.path().join("state");
        let length = |name| fs::metadata(state.join(name)).map_or(0, |file| file.len());
        (length("journal"), length("journal.new"))
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

/// What a journal's thread has written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Octets that it gave to the kernel. Eight for each time that it woke the main thread are among
    /// them.
    pub octets: u64,
    /// Octets that the kernel had to write for it, in whole pages.
    pub kernel: u64,
}

impl Written {
    pub fn since(self, before: Self) -> Self {
        Self { octets: self.octets - before.octets, kernel: self.kernel - before.kernel }
    }
}

fn command(line: &[OsString], directory: &Path) -> Result<Command, Failure> {
    let (program, arguments) = line.split_first().ok_or("nothing to start")?;
    let log = File::options().create(true).append(true).open(directory.join("log"))?;
    let mut command = Command::new(program);
    without_our_settings(command.args(arguments));
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// The value of a line of a file in `/proc/PID`.
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
/// version and `settings`: keys of `[upstream]`, and then whole tables. State is kept beside it by
/// default, so it goes when the directory does.
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
         [[udp]]\n\
         listen = \"{udp}\"\n\
         [upstream]\n\
         url = \"mqtt://{broker}\"\n\
         version = \"3.1.1\"\n\
         {settings}",
    )?;
    Ok(path)
}
