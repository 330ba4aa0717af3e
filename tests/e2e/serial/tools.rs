//! `pub` and `sub` at the other end of a gateway's serial line.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use mqtt_sn_gateway::core::Address;
use mqtt_sn_gateway::transport::framing::xbee::Mode;
use mqtt_sn_gateway::transport::line::{LoraModem, XbeeModule};

use super::pair::{Pair, Radio};
use crate::rig::{
    Gateway, Listener, configuration, heard, mosquitto, program, publish, publish_retained,
};
use crate::support::mosquitto::Mosquitto;

const FRAMINGS: [&str; 8] =
    ["slip", "cobs", "length", "xbee", "hub", "rh-serial", "loralink", "aquila"];

/// A gateway whose only link is the line.
pub(super) fn start(line: &Pair, rest: &str) -> (Gateway, Mosquitto, SocketAddr) {
    let mosquitto = mosquitto("");
    let broker = mosquitto.address();
    let tables = format!("{}[topics]\n7 = \"up/known\"\n\n{rest}", line.table());
    let text = configuration(&format!("mqtt://{broker}"), "", &tables);
    let gateway = Gateway::start(&text.replace("[[udp]]\nlisten = \"127.0.0.1:0\"\n", ""));
    gateway.wait_for_broker(1);
    gateway.log.wait_for(&["listening for MQTT-SN on serial "]);
    (gateway, mosquitto, broker)
}

/// A tool on the line, from the command to its other arguments.
fn tool(line: &Pair, framing: &str, arguments: &[&str]) -> Command {
    let (command, rest) = arguments.split_first().expect("a command");
    let mut program = program();
    program.args([command, "--serial", &line.device(), "--framing", framing]).args(rest);
    program.stdout(Stdio::piped());
    program
}

#[track_caller]
pub(super) fn ended(output: &Output, code: i32) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("UTF-8");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

/// Runs a tool to its end, which is a good one without a word on standard error.
#[track_caller]
fn run(line: &Pair, framing: &str, arguments: &[&str]) -> String {
    let output = tool(line, framing, arguments).output().unwrap();
    let (out, err) = ended(&output, 0);
    assert_eq!(err, "", "{arguments:?}");
    out
}

/// A tool that runs, with its output.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().expect("standard output"));
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn end(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

#[test]
fn messages_go_up_with_every_framing() {
    for framing in FRAMINGS {
        let line = Pair::new(framing);
        let (gateway, _mosquitto, broker) = start(&line, "");
        let listener = Listener::start(broker, &["up/#"]);
        // Radios carry less.
        let long = "ÀÛ".repeat(match framing {
            "slip" | "cobs" | "length" | "hub" => 150,
            _ => 10,
        });
        for (qos, message) in [("0", "zero À"), ("1", "one Û"), ("2", &*long)] {
            run(&line, framing, &["pub", "-t", "up/a", "-m", message, "-q", qos]);
        }
        run(&line, framing, &["pub", "-T", "7", "-m", "alone", "-q", "-1"]);
        let mut expected = vec![
            heard("up/a", "zero À", 0),
            heard("up/a", "one Û", 1),
            heard("up/a", &long, 2),
            heard("up/known", "alone", 0),
        ];
        let mut all = listener.take(expected.len());
        // Levels may overtake each other in the broker.
        all.sort();
        expected.sort();
        assert_eq!(all, expected, "{framing}");
        let place = format!("serial {}, keep-alive 60 s", line.gateway());
        assert_eq!(gateway.log.count(&place), 3, "{framing}");
    }
}

#[test]
fn messages_come_down_with_every_framing() {
    for framing in FRAMINGS {
        let line = Pair::new(framing);
        let (_gateway, _mosquitto, broker) = start(&line, "");
        publish_retained(broker, "down/a", "before À");
        // Asleep from the first message on.
        let arguments = ["sub", "-t", "down/+", "-q", "2", "-v", "-C", "3", "--sleep", "1"];
        let mut sub = Running::start(tool(&line, framing, &arguments));
        assert_eq!(sub.line(), "down/a before À\n", "{framing}");
        publish(broker, "down/b", "while Û", 2);
        assert_eq!(sub.line(), "down/b while Û\n", "{framing}");
        publish(broker, "down/a", "and after", 1);
        assert_eq!(sub.line(), "down/a and after\n", "{framing}");
        let (_, err) = ended(&sub.end(), 0);
        assert_eq!(err, "", "{framing}");
    }
}

#[test]
fn a_device_behind_a_forwarder_gets_what_is_for_its_node() {
    for framing in ["slip", "hub"] {
        let line = Pair::new(framing);
        let (gateway, _mosquitto, broker) = start(&line, "");
        let listener = Listener::start(broker, &["up"]);
        publish_retained(broker, "down", "here");
        let sub = ["sub", "-t", "down", "-C", "1", "-i", "one", "-d", "--forwarder", "0xC0:DB"];
        let output = tool(&line, framing, &sub).output().unwrap();
        let (out, err) = ended(&output, 0);
        assert_eq!(out, "here\n", "{framing}");
        assert!(err.contains("← through a forwarder (node C0 DB, radius 0): CONNACK"), "{err}");
        run(&line, framing, &["pub", "-t", "up", "-m", "x", "-i", "two", "--forwarder", "attic"]);
        assert_eq!(listener.take(1), [heard("up", "x", 0)]);
        let connected = gateway.log.wait_for(&["client \"one\" connected"]);
        assert!(connected.contains("node c0 db"), "{connected}");
    }
}

#[test]
fn radios_have_devices_with_addresses() {
    for (framing, keys, arguments) in [
        ("hub", "", &["--address", "0013A20040A1B2C3"][..]),
        ("xbee", "", &["--address", "0013A20040A1B2C3"]),
        ("xbee", "", &["--address", "1A2B"]),
        ("rh-serial", "", &["--address", "FE"]),
        (
            "rh-serial",
            "reliable = true\naddress = 16",
            &["--address", "05", "--reliable", "--to", "10"],
        ),
        ("loralink", "", &["--address", "05"]),
        ("aquila", "", &["--address", "00FD"]),
    ] {
        let line = Pair::new(framing).with(keys);
        let (gateway, _mosquitto, broker) = start(&line, "");
        let listener = Listener::start(broker, &["up"]);
        let all = [&["pub", "-t", "up", "-m", "x", "-q", "1", "-i", "one", "-d"], arguments];
        let (_, err) = ended(&tool(&line, framing, &all.concat()).output().unwrap(), 0);
        assert!(err.contains("← PUBACK: accepted"), "{framing}: {err}");
        assert_eq!(listener.take(1), [heard("up", "x", 1)]);
        let connected = gateway.log.wait_for(&["client \"one\" connected"]);
        assert!(connected.contains(arguments[1]), "{framing} {connected}");
    }
}

/// A radio at each end, and the tool has to know the address of the gateway's.
#[test]
fn a_radio_finds_the_gateway_by_its_address() {
    let address = |octets: &[u8]| Address::new(octets).unwrap();
    let xbee = |low: u8| -> Radio {
        let module = XbeeModule::new(Mode::Escaped, 84, 57_600);
        (Box::new(module), address(&[0, 0x13, 0xA2, 0, 0x40, 0, 0, low]))
    };
    let lora = |own: u8| -> Radio { (Box::new(LoraModem::new(246)), address(&[own])) };
    for (framing, radios, to, from) in [
        ("xbee", [xbee(7), xbee(9)], "0013A20040000007", "0013A20040000009"),
        ("loralink", [lora(7), lora(9)], "07", "09"),
    ] {
        let line = Pair::radios(framing, radios);
        let (gateway, _mosquitto, broker) = start(&line, "");
        publish_retained(broker, "down", "here");
        let sub = ["sub", "-t", "down", "-q", "1", "-C", "1", "-i", "one", "--to", to];
        assert_eq!(run(&line, framing, &sub), "here\n");
        let connected = gateway.log.wait_for(&["client \"one\" connected"]);
        assert!(connected.contains(from), "{framing} {connected}");
    }
}

#[test]
fn what_a_radio_does_not_carry_is_an_error_at_once() {
    let line = Pair::new("aquila");
    let (_gateway, _mosquitto, _) = start(&line, "");
    let message = "x".repeat(48);
    let arguments = ["pub", "-t", "up", "-m", &message, "-q", "1"];
    let (_, err) = ended(&tool(&line, "aquila", &arguments).output().unwrap(), 1);
    let words = "error: a packet of 55 octets does not go through: framing aquila carries 54 here";
    assert!(err.starts_with(words), "{err}");
}

#[test]
fn a_device_that_cannot_be_used_is_an_error_at_once() {
    let line = Pair::new("slip");
    let (_gateway, _mosquitto, broker) = start(&line, "");
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none").to_str().unwrap().to_owned();
    for (device, words) in [
        (missing.as_str(), "there is no such device; plug it in, or see with `ls -l"),
        ("/dev/null", "this is no serial device"),
        // The gateway has it, and this test, too.
        (&line.gateway(), "process "),
    ] {
        let mut command = program();
        command.args(["pub", "--serial", device, "-t", "a", "-m", "x"]).stdout(Stdio::piped());
        let (_, err) = ended(&command.output().unwrap(), 1);
        assert!(err.starts_with(&format!("error: serial {device}: {words}")), "{err}");
        assert!(!err.contains("[[serial]]"), "{err}");
        assert_eq!(err.contains(" has it open; "), words == "process ", "{err}");
    }

    // One that goes away in the middle of it.
    publish_retained(broker, "down", "here");
    let mut sub = Running::start(tool(&line, "slip", &["sub", "-t", "down"]));
    assert_eq!(sub.line(), "here\n");
    line.unplug_device();
    let (_, err) = ended(&sub.end(), 1);
    assert!(err.contains(&format!("error: serial {}: the device is gone", line.device())), "{err}");
}

#[test]
fn a_line_without_an_answer_is_explained() {
    let pub_once = ["pub", "-t", "a", "-m", "x", "--retry", "2s", "--retries", "0"];
    let line = Pair::new("cobs");
    let (_, err) = ended(&tool(&line, "slip", &pub_once).output().unwrap(), 1);
    let words = format!("error: no answer on serial {} after 1 tries, 2s apart", line.device());
    assert!(err.starts_with(&words), "{err}");
    assert!(err.contains("nothing at all comes from the line"), "{err}");

    // ADVERTISE comes every second, and is not understood.
    let rest = "[discovery]\nadvertise_interval = \"1s\"\n";
    let (gateway, _mosquitto, _) = start(&line, rest);
    let (_, err) = ended(&tool(&line, "slip", &pub_once).output().unwrap(), 1);
    assert!(err.contains("are no packets in framing slip, but look like --framing cobs"), "{err}");
    drop(gateway);
}

#[test]
fn wrong_usage_is_explained() {
    let line = Pair::new("slip");
    let device = line.device();
    let on_line = |rest: &[&'static str]| [&["--serial", &device], rest].concat();
    let cases: [(Vec<&str>, &str); 9] = [
        (on_line(&["--gateway", "127.0.0.1"]), "cannot be used with"),
        (on_line(&["--framing", "slipp"]), "possible values: slip"),
        (on_line(&["--baud", "1"]), "300..=4000000"),
        (on_line(&["--address", "05"]), "with framing slip there are no addresses"),
        (
            on_line(&["--framing", "hub", "--address", "01 02 03 04 05 06 07 08 09"]),
            "1 to 8 octets",
        ),
        (on_line(&["--framing", "hub", "--to", "05"]), "--to is for framings xbee, loralink and"),
        (on_line(&["--framing", "xbee", "--to", "05"]), "--to: with framing xbee an address has 8"),
        (on_line(&["--reliable"]), "--reliable is for framing rh-serial only"),
        (vec!["--framing", "slip"], "--serial <DEVICE>"),
    ];
    for (arguments, words) in cases {
        let mut command = program();
        command.args(["pub", "-t", "a", "-m", "x"]).args(&arguments).stdout(Stdio::piped());
        let (_, err) = ended(&command.output().unwrap(), 2);
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}
