//! A mosquitto of our own: on a free port of the loopback, with its files in a temporary
//! directory, gone when it is dropped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::tcp_port;

/// How long to wait for the broker to come up or go down.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running (or stopped) mosquitto.
pub struct Mosquitto {
    directory: TempDir,
    extra: String,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker that keeps its sessions on disk when it is stopped. `extra` is added to its
    /// configuration; without an `allow_anonymous` in it everybody may connect, and without a
    /// `persistence` it has it.
    ///
    /// `None`, with a line on standard error, where no mosquitto is installed.
    pub fn start(extra: &str) -> Option<Self> {
        if program().is_none() {
            eprintln!("mosquitto is not installed: this test has tested nothing");
            return None;
        }
        // Another process may take the port before mosquitto does; then there is another port.
        for _ in 0..5 {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let mut broker =
                Self { directory, extra: extra.to_owned(), port: tcp_port(), child: None };
            if broker.run() {
                return Some(broker);
            }
        }
        panic!("mosquitto does not start");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("mosquitto.log")).unwrap_or_default()
    }

    /// Makes it read its configuration and its passwords again.
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    /// Stops it in order, so that it writes its sessions to disk.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("mosquitto ends");
        }
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let id = child.id().to_string();
            let status = Command::new("kill").args([signal, &id]).status();
            assert!(status.is_ok_and(|status| status.success()), "kill {signal} {id}");
        }
    }

    /// Kills it: what it has not written to disk is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same port, after [`Self::stop`] or [`Self::kill`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let deadline = Instant::now() + PATIENCE;
        while !self.run() {
            assert!(Instant::now() < deadline, "mosquitto does not start again");
        }
    }

    /// Runs it and waits until it accepts connections; false if it ended instead.
    fn run(&mut self) -> bool {
        let path = self.directory.path();
        let anonymous =
            if self.extra.contains("allow_anonymous") { "" } else { "allow_anonymous true" };
        let persistence = if self.extra.contains("persistence ") { "" } else { "persistence true" };
        let configuration = path.join("mosquitto.conf");
        let mut file = std::fs::File::create(&configuration).expect("a configuration file");
        writeln!(
            file,
            "listener {} 127.0.0.1\n{anonymous}\nuser root\n{persistence}\n\
             persistence_location {}/\nlog_dest file {}\n{}",
            self.port,
            path.display(),
            path.join("mosquitto.log").display(),
            self.extra,
        )
        .expect("the configuration file");
        let mut child = Command::new(program().expect("mosquitto"))
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if TcpStream::connect(self.address()).is_ok() {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().expect("mosquitto").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|directory| directory.join("mosquitto"))
        .find(|file| file.is_file())
}
