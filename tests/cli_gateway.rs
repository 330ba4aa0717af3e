//! The whole program: the gateway with its built-in broker, and `pub` and `sub` as its devices.
#![cfg(feature = "embedded-broker")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{Ended, gateway};

/// A running gateway on ports of its own.
struct Running {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
    /// Read to its end by a thread, so that the gateway never waits for us.
    log: std::thread::JoinHandle<String>,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
        let text = format!(
            "[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n\
             [topics]\n5 = \"predefined/topic\"\n\
             [[udp]]\nlisten = \"127.0.0.1:0\"\n"
        );
        let path = directory.path().join("gateway.toml");
        std::fs::write(&path, text).expect("written");
        let mut child = gateway().arg("--config").arg(&path).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("a log"));
        let mut text = String::new();
        let (mut address, mut connected) = (None, false);
        while address.is_none() || !connected {
            let mut line = String::new();
            let length = log.read_line(&mut line).expect("a line");
            assert_ne!(length, 0, "the gateway ended: {text}");
            connected |= line.contains("connected to the built-in broker");
            if let Some((_, found)) = line.split_once("on udp ") {
                address = found.split_whitespace().next().map(str::to_owned);
            }
            text.push_str(&line);
        }
        let log = std::thread::spawn(move || {
            log.read_to_string(&mut text).expect("a log");
            text
        });
        Self { child, address: address.expect("an address"), _directory: directory, log }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut program = gateway();
        program.args([command, "--gateway", &self.address]).args(rest);
        program
    }

    #[track_caller]
    fn publish(&self, arguments: &[&str]) {
        let ended: Ended = self.command(arguments).output().expect("it runs").into();
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    }

    /// Starts `sub` and waits until its subscriptions stand.
    fn subscribe(
        &self,
        arguments: &[&str],
        subscriptions: usize,
    ) -> (Child, BufReader<ChildStdout>) {
        let mut child = self.command(&[arguments, &["-d"]].concat()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("output"));
        let mut debug = BufReader::new(child.stderr.take().expect("what it does"));
        let mut seen = String::new();
        while seen.matches("SUBACK: accepted").count() < subscriptions {
            assert_ne!(debug.read_line(&mut seen).expect("a line"), 0, "{seen}");
        }
        std::thread::spawn(move || debug.read_to_string(&mut seen));
        (child, out)
    }

    /// Ends it with SIGTERM; gives its log.
    fn stop(mut self) -> String {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        let log = self.log.join().expect("its log");
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
}

fn printed(mut child: Child, mut out: BufReader<ChildStdout>) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).expect("UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    text
}

#[test]
fn messages_of_every_kind_come_through() {
    let running = Running::start();
    for (publisher, subscriber) in [("0", "0"), ("1", "1"), ("2", "2"), ("2", "0"), ("0", "2")] {
        let arguments = ["sub", "-t", "all/#", "-v", "-q", subscriber, "-C", "3", "-W", "30"];
        let (child, out) = running.subscribe(&arguments, 1);
        for message in ["one", "two", ""] {
            running.publish(&["pub", "-t", "all/of it", "-m", message, "-q", publisher]);
        }
        assert_eq!(printed(child, out), "all/of it one\nall/of it two\nall/of it \n");
    }
    let arguments = ["sub", "-T", "5", "-t", "ab", "-v", "-C", "4", "-W", "30", "-q", "1"];
    let (child, out) = running.subscribe(&arguments, 2);
    running.publish(&["pub", "-T", "5", "-m", "by id", "-q", "1"]);
    running.publish(&["pub", "-t", "predefined/topic", "-m", "by name", "-q", "1"]);
    running.publish(&["pub", "-t", "ab", "-m", "short", "-q", "1"]);
    running.publish(&["pub", "-t", "ab", "-m", "unconnected", "-q", "-1"]);
    assert_eq!(printed(child, out), "#5 by id\n#5 by name\nab short\nab unconnected\n");
    let log = running.stop();
    assert!(!log.contains(" ERROR ") && !log.contains("panicked"), "{log}");
}

#[test]
fn retained_messages_reach_the_late_subscriber() {
    let running = Running::start();
    running.publish(&["pub", "-t", "kept/a", "-m", "early", "-q", "1", "-r"]);
    let arguments = ["sub", "-t", "kept/#", "-v", "-C", "1", "-W", "30"];
    let (child, out) = running.subscribe(&arguments, 1);
    assert_eq!(printed(child, out), "kept/a early\n");
    running.stop();
}

#[test]
fn many_lines_at_qos_1_come_complete_and_in_order() {
    let running = Running::start();
    let lines: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
    let arguments = ["sub", "-t", "many/lines", "-q", "1", "-C", "500", "-W", "60"];
    let (child, out) = running.subscribe(&arguments, 1);
    let mut command = running.command(&["pub", "-t", "many/lines", "-q", "1", "-l"]);
    let mut publisher = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = publisher.stdin.take().expect("standard input");
    std::io::Write::write_all(&mut stdin, lines.join("\n").as_bytes()).expect("written");
    drop(stdin);
    let ended: Ended = publisher.wait_with_output().expect("it ends").into();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(printed(child, out).lines().collect::<Vec<_>>(), lines);
    running.stop();
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let running = Running::start();
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "[upstream]\nurl = \"mqtt://127.0.0.1:9\"\n[[udp]]\nlisten = \"{}\"\n",
        running.address
    );
    std::fs::write(directory.path().join("gateway.toml"), text).expect("written");
    let ended = common::run_in(directory.path(), &["run"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains(&running.address), "{}", ended.err);
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    running.stop();
}
