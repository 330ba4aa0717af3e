//! `simulate` on a serial line: many devices at its other end.

use std::process::Stdio;

use mqtt_sn_gateway::core::Address;
use mqtt_sn_gateway::transport::line::LoraModem;

use super::pair::{Pair, Radio};
use super::tools::{ended, start};
use crate::rig::{Gateway, program};

/// Runs it on a line and returns its JSON. No promise was broken.
#[track_caller]
fn simulate(line: &Pair, framing: &str, arguments: &[&str]) -> String {
    let mut command = program();
    command.args(["simulate", "--serial", &line.device(), "--framing", framing, "--json"]);
    command.args(["--baud", "115200", "-n", "10"]).args(arguments).stdout(Stdio::piped());
    let (json, err) = ended(&command.output().unwrap(), 0);
    assert_eq!(err, "", "{json}");
    assert!(json.contains("\"broken_promises\":[]"), "{json}");
    assert_eq!((number(&json, "connected"), number(&json, "failed")), (10, 0), "{json}");
    json
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

fn places(gateway: &Gateway) -> usize {
    let mut places: Vec<String> = gateway
        .log
        .all()
        .iter()
        .filter_map(|line| {
            line.split_once(" connected from ")?.1.split(',').next().map(str::to_owned)
        })
        .collect();
    places.sort();
    places.dedup();
    places.len()
}

/// Some of them sleep, and every message arrives.
fn on_a_calm_day(framing: &'static str, line: &Pair, more: &[&str]) {
    let (mut gateway, _mosquitto, _) = start(line, "");
    let arguments = ["-d", "3", "--rate", "30", "-q", "0,1,2", "--sleepers", "50", "--sleep", "1"];
    let json = simulate(line, framing, &[&arguments, more].concat());
    assert_eq!(number(&json, "line_noise"), 0, "{json}");
    assert!(number(&json, "messages_collected") > 0, "{json}");
    for qos in 0..3 {
        let level = level(&json, qos);
        let sent = number(level, "sent");
        assert!(sent > 10, "{json}");
        assert_eq!(number(level, "received"), sent, "{json}");
    }
    assert_eq!(places(&gateway), 10, "each is a device of its own");
    assert_eq!(gateway.terminate(), 0);
}

const FAST: &str = "baud = 115200";

fn on_a_calm_day_with(framing: &'static str) {
    on_a_calm_day(framing, &Pair::new(framing).with(FAST), &[]);
}

#[test]
fn on_a_calm_day_with_slip() {
    on_a_calm_day_with("slip");
}

#[test]
fn on_a_calm_day_with_cobs() {
    on_a_calm_day_with("cobs");
}

#[test]
fn on_a_calm_day_with_length() {
    on_a_calm_day_with("length");
}

#[test]
fn on_a_calm_day_with_xbee() {
    on_a_calm_day_with("xbee");
}

#[test]
fn on_a_calm_day_with_a_hub() {
    on_a_calm_day_with("hub");
}

#[test]
fn on_a_calm_day_with_rh_serial() {
    on_a_calm_day_with("rh-serial");
}

#[test]
fn on_a_calm_day_with_rh_serial_and_acknowledgements() {
    let line = Pair::new("rh-serial").with("baud = 115200\nreliable = true\naddress = 77");
    on_a_calm_day("rh-serial", &line, &["--reliable", "--to", "4D"]);
}

#[test]
fn on_a_calm_day_with_loralink() {
    on_a_calm_day_with("loralink");
}

#[test]
fn on_a_calm_day_with_aquila() {
    on_a_calm_day_with("aquila");
}

/// A radio at each end, and all devices behind the one of the tool.
#[test]
fn on_a_calm_day_with_a_radio_of_ones_own() {
    let radio =
        |own: u8| -> Radio { (Box::new(LoraModem::new(246)), Address::new(&[own]).unwrap()) };
    let line = Pair::radios("loralink", [radio(7), radio(9)]);
    on_a_calm_day("loralink", &line, &["--to", "07"]);
}

/// More than the line carries, and faults on the way.
#[test]
fn on_a_full_line_what_was_acknowledged_arrives() {
    let line = Pair::new("slip").with(FAST);
    let sessions = "[sessions]\nretry_interval = \"1s\"\nretry_count = 20\n";
    let (_gateway, _mosquitto, _) = start(&line, sessions);
    let faults = ["--loss", "3", "--duplicate", "3", "--retry", "1s", "--retries", "20"];
    let arguments = [&["-d", "3", "--rate", "1000", "-q", "1,2", "--size", "200"], &faults[..]];
    let json = simulate(&line, "slip", &arguments.concat());
    assert!(number(&json, "held_back") > 0, "{json}");
    for qos in [1, 2] {
        let level = level(&json, qos);
        assert!(number(level, "acknowledged") > 0, "{json}");
        assert_eq!(number(level, "lost"), 0, "{json}");
    }
}

#[test]
fn a_line_that_cannot_be_used_is_an_error() {
    let line = Pair::new("slip");
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.arg("simulate").args(arguments).stdout(Stdio::piped());
        command.output().unwrap()
    };
    let (_, err) = ended(&run(&["--serial", "/dev/null"]), 1);
    assert!(err.starts_with("error: serial /dev/null: this is no serial device"), "{err}");
    let device = line.device();
    for (arguments, words) in [
        (&["-n", "65001"][..], "at most 65000 devices"),
        (&["-n", "254", "--framing", "aquila"], "at most 253 devices"),
        (&["--framing", "aquila", "-s", "50"], "enough for messages of 45: use a smaller --size"),
        (&["--reliable"], "--reliable is for framing rh-serial only"),
    ] {
        let (_, err) = ended(&run(&[&["--serial", &device], arguments].concat()), 2);
        assert!(err.contains(words), "{err}");
    }
    let silent = ["--serial", &device, "-n", "1", "--retry", "100ms", "--retries", "1"];
    let (_, err) = ended(&run(&silent), 1);
    let words = format!("error: no answer from serial {device} after 2 tries, 100ms apart");
    assert!(err.starts_with(&words), "{err}");
    assert!(err.contains("nothing at all comes from the line"), "{err}");
}
