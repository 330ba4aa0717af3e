//! The real program, with a configuration of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::lines::Lines;
use crate::support::ports::{tcp_port, udp_port};

/// So many runs of the program before the present one are shown if the test fails.
const EARLIER: usize = 3;

/// Where the admin interface listens.
const ADMIN: &str = "MQTT_SN_GATEWAY_ADMIN__LISTEN";

/// A running gateway; killed when dropped, and its log shown if the test fails.
pub struct Gateway {
    child: Option<Child>,
    /// What the present run has said.
    pub log: Lines,
    earlier: Vec<Lines>,
    /// Gone when the program is.
    directory: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
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

/// The same with a port that is the gateway's own also while it is away, see
/// [`Gateway::restart`].
pub fn steady_configuration(url: &str, upstream: &str, rest: &str) -> String {
    let port = udp_port().to_string();
    configuration(url, upstream, rest).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
}

/// A TCP port of the loopback that nobody uses.
pub fn free_tcp_port() -> u16 {
    tcp_port()
}

/// The program, in a directory of its own, without settings from the environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt-sn-gateway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MQTT_SN_GATEWAY_") || name == "STATE_DIRECTORY" {
            command.env_remove(name);
        }
    }
    // Many run at once. Where the configuration speaks of it, see [`spawn`].
    command.env(ADMIN, "");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Gateway {
    /// Starts it and waits until it listens. Whether it has reached its broker is another question:
    /// see [`Self::wait_for_broker`].
    #[track_caller]
    pub fn start(configuration: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), configuration)
    }

    /// The same in a directory that has been prepared.
    #[track_caller]
    pub fn start_in(directory: TempDir, configuration: &str) -> Self {
        Self::start_with(directory, configuration, Vec::new())
    }

    /// The same with more variables in its environment.
    #[track_caller]
    pub fn start_with(
        directory: TempDir,
        configuration: &str,
        environment: Vec<(String, String)>,
    ) -> Self {
        Self::start_as(directory, configuration, environment, &[])
    }

    /// The same with arguments.
    #[track_caller]
    pub fn start_as(
        directory: TempDir,
        configuration: &str,
        environment: Vec<(String, String)>,
        arguments: &[&str],
    ) -> Self {
        fs::write(directory.path().join("gateway.toml"), configuration).unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (child, log) = spawn(directory.path(), &arguments, &environment);
        let mut gateway = Self {
            child: Some(child),
            log,
            earlier: Vec::new(),
            directory,
            arguments,
            environment,
            links: Vec::new(),
        };
        gateway.links = gateway.wait_for_links(configuration.matches("[[udp]]").count());
        gateway
    }

    /// Waits until it listens on so many links; returns where.
    #[track_caller]
    fn wait_for_links(&self, count: usize) -> Vec<SocketAddr> {
        self.log.wait("the gateway to listen", |lines| {
            let marker = "listening for MQTT-SN on udp ";
            let found: Vec<SocketAddr> = lines
                .iter()
                .filter_map(|line| Some(line.split_once(marker)?.1.trim().parse().unwrap()))
                .collect();
            (found.len() == count).then_some(found)
        })
    }

    /// Starts it again after [`Self::kill`] or [`Self::terminate`], in the same directory. Devices
    /// find it only if it was started with a [`steady_configuration`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let (child, log) = spawn(self.directory.path(), &self.arguments, &self.environment);
        self.child = Some(child);
        self.earlier.push(std::mem::replace(&mut self.log, log));
        if self.earlier.len() > EARLIER {
            self.earlier.remove(0);
        }
    }

    /// The same, and waits until it listens.
    #[track_caller]
    pub fn restart_and_wait(&mut self) {
        self.restart();
        self.wait_for_links(self.links.len());
    }

    /// Arguments of the next [`Self::restart`].
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Where it keeps its state.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Where its configuration is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
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

    /// Puts another configuration in place of the one that it was started with; `change` gets that.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.directory.path().join("gateway.toml");
        let text = fs::read_to_string(&path).unwrap();
        // As editors do it: nobody sees half of it.
        let new = self.directory.path().join("gateway.toml.new");
        fs::write(&new, change(text)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        signal(self.child.as_ref().expect("it runs"), "HUP");
    }

    /// Waits until it ends by itself; returns the exit code.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> i32 {
        let mut child = self.child.take().expect("it runs");
        self.log.wait_for_end();
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

    /// Memory that it holds, octets.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        1_024 * memory.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    }

    /// CPU time that it has used, all threads.
    pub fn cpu(&self) -> Duration {
        let id = self.id();
        let clock = clock_getcpuclockid(Pid::from_raw(id.cast_signed())).unwrap();
        clock.now().unwrap().into()
    }

    /// Most memory that it has had in use, KiB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.id();
        let status = fs::read_to_string(PathBuf::from(format!("/proc/{id}/status"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for log in self.earlier.iter().chain([&self.log]) {
                eprintln!("---- the gateway's log ----\n{}\n----", log.all().join("\n"));
            }
        }
    }
}

fn spawn(
    directory: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> (Child, Lines) {
    let mut program = program();
    if fs::read_to_string(directory.join("gateway.toml")).is_ok_and(|text| text.contains("[admin]"))
    {
        program.env_remove(ADMIN);
    }
    program.current_dir(directory).args(arguments);
    program.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut child = program.spawn().unwrap();
    let log = Lines::collect(child.stderr.take().unwrap(), |_| true);
    (child, log)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}
