//! How the program ends: told by a signal, with a broker that listens and with one that does not.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::Duration;

use common::gateway;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program, connected to a broker that is played by hand.
struct Running {
    child: Child,
    broker: TcpStream,
    log: BufReader<std::process::ChildStderr>,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.toml");
        let text = format!(
            "name = \"signals\"\n[upstream]\nurl = \"mqtt://{}\"\nversion = \"5\"\n\
             [[udp]]\nlisten = \"127.0.0.1:0\"\n",
            listener.local_addr().unwrap()
        );
        std::fs::write(&path, text).unwrap();
        let mut child = gateway().arg("--config").arg(&path).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        // A connection that only discards what the broker remembers may come first.
        let (mut broker, online) = loop {
            let (mut broker, _) = listener.accept().unwrap();
            broker.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(packet(&mut broker)[0], 0x10, "CONNECT");
            broker.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
            let first = packet(&mut broker);
            if first[0] != 0xE0 {
                break (broker, first);
            }
        };
        assert_eq!(online[0], 0x33, "PUBLISH, QoS 1, retained");
        assert!(online.ends_with(b"online"));
        let id = 4 + usize::from(online[3]);
        broker.write_all(&[0x40, 2, online[id], online[id + 1]]).unwrap();
        Self { child, broker, log, _directory: directory }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a line of the log that contains `text`.
    fn logged(&mut self, text: &str) {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert_ne!(self.log.read_line(&mut all).unwrap(), 0, "no {text:?} in:\n{all}");
            if all[start..].contains(text) {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one MQTT packet with a length below 128.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(header[1])];
    stream.read_exact(&mut body).unwrap();
    [&header[..], &body].concat()
}

#[test]
fn sigterm_and_sigint_say_goodbye_and_exit_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut running = Running::start();
        running.logged("connected to mqtt://127.0.0.1:");
        running.signal(signal);
        let store = packet(&mut running.broker);
        assert!(store.ends_with(b"{\"state\":\"ok\"}"), "{store:?}");
        let offline = packet(&mut running.broker);
        assert_eq!(offline[0], 0x31, "PUBLISH, QoS 0, retained");
        assert!(offline.ends_with(b"offline"));
        assert_eq!(packet(&mut running.broker)[0], 0xE0, "DISCONNECT");
        let mut rest = Vec::new();
        running.broker.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        running.broker.shutdown(std::net::Shutdown::Both).unwrap();
        running.logged("stopped");
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn sighup_changes_nothing_and_a_deaf_broker_is_left_after_a_second_signal() {
    let mut running = Running::start();
    running.signal(Signal::SIGHUP);
    running.logged("SIGHUP");
    running.signal(Signal::SIGTERM);
    running.logged("SIGTERM: stopping");
    // The broker neither answers nor closes.
    running.signal(Signal::SIGTERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_deaf_broker_does_not_keep_it_alive() {
    let mut running = Running::start();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    running.logged("the broker did not take the goodbye in time");
}

#[test]
fn a_port_in_use_exits_with_1_and_a_line() {
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    let text =
        format!("[upstream]\nurl = \"mqtt://127.0.0.1:1\"\n[[udp]]\nlisten = \"{address}\"\n");
    std::fs::write(&path, text).unwrap();
    let output = gateway().arg("--config").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("cannot listen on udp {address}: another program")), "{error}");
}
