//! `simulate` against the real gateway, against nobody, and against gateways that lie.
#![cfg(feature = "embedded-broker")]

mod common;
#[path = "cli_simulate/liar.rs"]
mod liar;
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command};

use common::{Ended, gateway};
use liar::{Liar, Lie};
use support::mosquitto::Mosquitto;

/// A running gateway on ports of its own.
struct Running {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Running {
    /// With the built-in broker, or with another one.
    fn start(broker: Option<&Mosquitto>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let upstream = match broker {
            Some(broker) => format!("[upstream]\nurl = \"mqtt://{}\"\n", broker.address()),
            None => {
                let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
                let port = port.expect("an address").port();
                format!("[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n")
            }
        };
        let text = format!(
            "{upstream}[sessions]\nretry_interval = \"1s\"\nretry_count = 10\n\
             [[udp]]\nlisten = \"127.0.0.1:0\"\n"
        );
        let path = directory.path().join("gateway.toml");
        std::fs::write(&path, text).expect("written");
        let mut child = gateway().arg("--config").arg(&path).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("a log"));
        let (mut address, mut connected) = (None, false);
        while address.is_none() || !connected {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).expect("a line"), 0, "the gateway ended");
            connected |= line.contains(" connected to ");
            if let Some((_, found)) = line.split_once("on udp ") {
                address = found.split_whitespace().next().map(str::to_owned);
            }
        }
        // Read on, so that the gateway never waits for us.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { child, address: address.expect("an address"), _directory: directory }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn simulate(address: &str, arguments: &[&str]) -> Ended {
    common::run(&[&["simulate", "--gateway", address], arguments].concat())
}

/// A number of the JSON, the first of that name.
#[track_caller]
fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect(name);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect(name)
}

/// The numbers of one QoS.
fn level(json: &str, qos: u8) -> &str {
    let (_, rest) = json.split_once(&format!("{{\"qos\":{qos},")).expect("a QoS");
    rest.split('}').next().expect("its numbers")
}

#[track_caller]
fn all_held(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(ended.out.contains("\"broken_promises\":[]"), "{}", ended.out);
    &ended.out
}

#[test]
fn on_a_calm_day_everything_arrives() {
    let running = Running::start(None);
    let arguments = ["-n", "10", "-d", "1", "--rate", "100", "-q", "0,1,2", "--json"];
    let ended = simulate(&running.address, &arguments);
    let json = all_held(&ended);
    assert_eq!((number(json, "connected"), number(json, "failed")), (10, 0));
    for qos in 0..3 {
        let level = level(json, qos);
        let sent = number(level, "sent");
        assert!(sent > 10, "{json}");
        assert_eq!(number(level, "received"), sent, "{json}");
        assert_eq!(number(level, "acknowledged"), if qos == 0 { 0 } else { sent }, "{json}");
    }
}

#[test]
fn sleepers_collect_what_has_waited() {
    let Some(broker) = Mosquitto::start("max_queued_messages 0") else { return };
    let running = Running::start(Some(&broker));
    let arguments = [
        "-n",
        "10",
        "-d",
        "3",
        "--rate",
        "50",
        "-q",
        "0,1,2",
        "--sleepers",
        "50",
        "--sleep",
        "1",
        "--json",
    ];
    let ended = simulate(&running.address, &arguments);
    let json = all_held(&ended);
    assert!(number(json, "messages_collected") > 0, "{json}");
    assert!(number(json, "wakes_to_publish") > 0, "{json}");
    // The last ones may be under way when the run ends; one that is not answered has broken a promise.
    let (wakes, complete) =
        (number(json, "wakes_to_collect"), number(json, "collections_complete"));
    assert!(complete <= wakes && wakes <= complete + 5, "{json}");
    assert_eq!(number(json, "collections_unanswered"), 0, "{json}");
    for qos in 0..3 {
        let level = level(json, qos);
        assert_eq!(number(level, "received"), number(level, "sent"), "{json}");
    }
}

#[test]
fn on_a_bad_day_what_was_acknowledged_arrives() {
    let Some(broker) = Mosquitto::start("max_queued_messages 0") else { return };
    let running = Running::start(Some(&broker));
    let arguments = [
        "-n",
        "10",
        "-d",
        "2",
        "--rate",
        "50",
        "-q",
        "0,1,2",
        "--sleepers",
        "50",
        "--sleep",
        "2",
        "--loss",
        "5",
        "--duplicate",
        "5",
        "--delay",
        "10ms",
        "--retry",
        "300ms",
        "--retries",
        "10",
        "--seed",
        "7",
        "--json",
    ];
    let ended = simulate(&running.address, &arguments);
    let json = all_held(&ended);
    assert!(number(json, "faults_lost") > 0 && number(json, "faults_doubled") > 0, "{json}");
    assert!(number(json, "device_repeats") > 0, "{json}");
    for qos in [1, 2] {
        let level = level(json, qos);
        assert!(number(level, "acknowledged") > 0, "{json}");
        assert_eq!(number(level, "lost"), 0, "{json}");
    }
}

#[test]
fn wills_of_the_vanished_are_published() {
    let running = Running::start(None);
    let arguments = ["-n", "4", "-d", "200ms", "--will", "50", "-k", "1"];
    let ended = simulate(&running.address, &arguments);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(ended.out.contains("wills                      2 of 2\n"), "{}", ended.out);
    assert!(ended.out.contains("devices                    4 connected, 0 failed\n"));
    assert!(ended.out.ends_with("\nbroken promises: none\n"), "{}", ended.out);
}

#[test]
fn ctrl_c_ends_it_with_the_table() {
    let liar = Liar::start(Lie::None);
    let mut command = gateway();
    command.args(["simulate", "--gateway", &liar.address, "-n", "3", "-d", "1h"]);
    let child = command.spawn().expect("it starts");
    liar.wait_for_messages(3);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(ended.out.contains("interrupted: what was under way"), "{}", ended.out);
}

#[test]
fn a_gateway_that_is_not_there_is_named() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address").to_string();
    let ended = simulate(&address, &["-n", "3", "--retry", "20ms", "--retries", "1"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    let words = format!("error: no answer from {address} after 2 tries, 20ms apart (CONNECT)");
    assert!(ended.err.starts_with(&words), "{}", ended.err);
    drop(socket);
    let ended = simulate(&address, &["-n", "3"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    let words = format!("error: nothing listens on UDP {address}: is the gateway running");
    assert!(ended.err.starts_with(&words), "{}", ended.err);
}

/// A short run; the arguments come before what is usual.
fn short_run(liar: &Liar, arguments: &[&str]) -> Ended {
    const USUAL: [[&str; 2]; 7] = [
        ["-n", "4"],
        ["-d", "500ms"],
        ["--interval", "40ms"],
        ["--topics", "1"],
        ["--grace", "400ms"],
        ["--retry", "2s"],
        ["--retries", "2"],
    ];
    let usual = USUAL.iter().filter(|[name, _]| !arguments.contains(name)).flatten().copied();
    let all: Vec<&str> = arguments.iter().copied().chain(usual).collect();
    simulate(&liar.address, &all)
}

const SLEEPERS: [&str; 8] = ["--sleepers", "50", "--sleep", "1", "-d", "4", "--grace", "3s"];

#[test]
fn an_honest_gateway_is_believed() {
    for arguments in [&["-q", "0,1,2"][..], &SLEEPERS] {
        let ended = short_run(&Liar::start(Lie::None), &[arguments, &["--json"]].concat());
        all_held(&ended);
    }
}

#[test]
fn every_lie_is_found_and_named() {
    const CASES: [(Lie, &[&str], &str); 14] = [
        (Lie::ForwardsNothing, &["-q", "1"], "acknowledged-arrives"),
        (Lie::ForwardsNothing, &["-q", "2"], "acknowledged-arrives"),
        (Lie::ForwardsNothing, &["-q", "0"], "qos0-arrives"),
        (Lie::Twice, &["-q", "2"], "qos2-exactly-once"),
        (Lie::Twice, &["-q", "0"], "qos0-at-most-once"),
        (Lie::Overtakes, &[], "order"),
        (Lie::WrongDevice, &[], "right-device"),
        (Lie::WrongTopic, &[], "right-topic"),
        (Lie::WrongPayload, &[], "right-payload"),
        (Lie::LowerQos, &[], "right-qos"),
        (Lie::ChangesIds, &[], "topic-ids-stable"),
        (Lie::Garbage, &[], "well-formed"),
        (Lie::EndsSessions, &[], "sessions-last"),
        (Lie::NoAnswers, &["--retry", "100ms"], "answers"),
    ];
    let check = |(lie, arguments, promise): (Lie, &[&str], &str)| {
        let ended = short_run(&Liar::start(lie), &[arguments, &["--json"]].concat());
        let found = ended.out.contains(&format!("\"promise\":\"{promise}\""));
        assert!(found && ended.code == 1, "{lie:?}: {}", ended.out);
        assert!(ended.err.contains("broken by 127.0.0.1:"), "{lie:?}: {}", ended.err);
    };
    std::thread::scope(|scope| CASES.map(|case| drop(scope.spawn(move || check(case)))));
}

#[test]
fn lies_to_sleepers_are_found() {
    for (lie, promise) in
        [(Lie::WakesSleepers, "nothing-while-asleep"), (Lie::KeepsWaiting, "pingresp-last")]
    {
        let ended = short_run(&Liar::start(lie), &[&SLEEPERS[..], &["--json"]].concat());
        let found = ended.out.contains(&format!("\"promise\":\"{promise}\""));
        assert!(found && ended.code == 1, "{lie:?}: {}", ended.out);
    }
}

#[test]
fn the_first_broken_promise_of_each_kind_is_described() {
    let arguments = ["-n", "2", "--id-prefix", "me"];
    let ended = short_run(&Liar::start(Lie::ForwardsNothing), &arguments);
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("error: 1 promise was broken by 127.0.0.1:"), "{}", ended.err);
    let (_, broken) = ended.out.split_once("\nbroken promises:\n").expect("broken promises");
    assert!(broken.contains(" × acknowledged, but never arrived\n"), "{broken}");
    assert!(
        broken.contains("      first: message 0 of device 0 (One) to me/0/data/0, sent at "),
        "{broken}"
    );
    assert!(broken.trim_end().ends_with(", for device 1"), "{broken}");
}

#[test]
fn a_will_that_nobody_publishes_is_missed() {
    let arguments = ["--will", "25", "-k", "1", "--json"];
    let ended = short_run(&Liar::start(Lie::NoWills), &arguments);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("\"promise\":\"wills\",\"count\":1,"), "{}", ended.out);
}

#[test]
fn devices_that_do_not_get_in_are_a_failure() {
    let ended = short_run(&Liar::start(Lie::Refuses), &[]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains(
            "4 of 4 devices did not get in (device 3: the gateway refused CONNECT: not supported"
        ),
        "{}",
        ended.err
    );
    let ended = short_run(&Liar::start(Lie::Deaf), &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("8 subscriptions were refused (device 3: "), "{}", ended.err);
}

#[test]
fn wrong_usage_is_explained() {
    let cases: [(&[&str], &str); 12] = [
        (&["-n", "0"], "1..=999999"),
        (&["-q", "3"], "a QoS is 0, 1 or 2"),
        (&["--loss", "101"], "a percentage is a number from 0 to 100"),
        (&["--rate", "0"], "a number of messages per second"),
        (&["--rate", "1", "--interval", "1s"], "cannot be used with"),
        (&["--clean", "--persistent"], "cannot be used with"),
        (&["--size", "10"], "45..=65498"),
        (&["--sleep", "0"], "1..=65535"),
        (&["--id-prefix", "a/b"], "no +, #, /"),
        (&["--duration", "soon"], "a duration is a number with a unit"),
        (&["--will", "5", "-k", "0"], "without a keep-alive nobody misses a device"),
        (&["--gateway", "host:0"], "the port is no number from 1 to 65535"),
    ];
    for (arguments, words) in cases {
        let ended = common::run(&[&["simulate"], arguments].concat());
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn too_few_open_files_are_explained() {
    let program = env!("CARGO_BIN_EXE_mqtt-sn-gateway");
    let script = format!("ulimit -n 100; exec {program} simulate -n 1000");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let ended: Ended = output.into();
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("takes 1032 open files, and this process may have 100"));
    assert!(ended.err.contains("use --devices 68"), "{}", ended.err);
}
