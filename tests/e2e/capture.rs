//! Captures of the real program, read back by Wireshark's tools and by `decode`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{Qos, ReturnCode};
use serde_json::Value;

use crate::admin::http::{address, get, get_until, request, send};
use crate::rig::{Device, Gateway, PATIENCE, Way, configuration, mosquitto, program};
use crate::serial::line::Line;
use crate::support::mosquitto::Mosquitto;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const BY_HAND: &str = "X-Requested-With: test\r\n";

/// A gateway that was started with these arguments, and its broker.
#[track_caller]
fn start(arguments: &[&str], rest: &str) -> (Gateway, Mosquitto) {
    let mosquitto = mosquitto("");
    let text = configuration(&format!("mqtt://{}", mosquitto.address()), "", rest);
    let arguments = [&["run"], arguments].concat();
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_as(directory, &text, Vec::new(), &arguments);
    gateway.wait_for_broker(1);
    (gateway, mosquitto)
}

/// A packet, as tshark sees it.
#[derive(Debug)]
pub struct Seen {
    pub interface: String,
    pub inbound: bool,
    pub comment: String,
    /// Message types; that of the encapsulation first, if there is one.
    pub types: Vec<u8>,
}

/// Every packet of a file; all have to be MQTT-SN.
#[track_caller]
pub fn tshark(file: &Path) -> Vec<Seen> {
    let fields = [
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.comment",
        "mqttsn.msg.type",
        "frame.protocols",
        "_ws.malformed",
    ];
    let mut command = Command::new("tshark");
    command.args(["-d", "udp.port==1883,mqttsn", "-T", "fields", "-r"]).arg(file);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark is not installed; tests/setup.sh does it");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let seen = text.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [interface, direction, comment, types, protocols, malformed] = fields[..] else {
            panic!("{line}");
        };
        assert!(protocols.ends_with(":udp:mqttsn") && malformed.is_empty(), "{line}");
        let number = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        let inbound = match direction.trim_start_matches("0x").trim_start_matches('0') {
            "1" => true,
            "2" => false,
            other => panic!("direction {other}"),
        };
        let types = types.split(',').map(number).collect();
        Seen { interface: interface.to_owned(), inbound, comment: comment.to_owned(), types }
    });
    seen.collect()
}

/// What the gateway's own `decode` says of a file.
#[track_caller]
fn decoded(file: &Path) -> Vec<String> {
    let output = program().arg("decode").arg(file).stdout(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Message types of what a device has sent and received.
fn types(device: &Device) -> Vec<(bool, u8)> {
    let kind = |octets: &[u8]| match octets {
        [1, _, _, kind, ..] | [_, kind, ..] => *kind,
        _ => panic!("no packet: {octets:?}"),
    };
    let inner = |octets: &[u8]| match octets {
        [length, 0xFE, ..] => kind(&octets[usize::from(*length)..]),
        octets => kind(octets),
    };
    device.trace.iter().map(|(way, octets)| (*way == Way::Sent, inner(octets))).collect()
}

#[test]
fn udp_and_serial_are_read_back_whole() {
    let line = Line::new("slip");
    let (mut gateway, _mosquitto) = start(&["--capture", "a.pcapng"], &line.table());
    let file = gateway.directory().join("a.pcapng");
    gateway.log.wait_for(&["INFO capturing to a.pcapng, payloads included"]);
    let mut one = Device::connected(gateway.link(), "on-udp");
    let mut two = Device::new(line.address()).behind_forwarder(b"\xAB\x01");
    assert_eq!(two.connect("on-serial"), ReturnCode::ACCEPTED);
    for (device, topic) in [(&mut one, "up/one"), (&mut two, "up/two")] {
        let topic = device.register(topic).unwrap();
        for qos in [Qos::One, Qos::Two] {
            assert_eq!(device.publish(topic, qos, &"x".repeat(300)), ReturnCode::ACCEPTED);
        }
        device.subscribe_to("down/#", Qos::One);
        device.disconnect();
    }
    assert_eq!(gateway.terminate(), 0);

    let (broadcast, seen): (Vec<Seen>, Vec<Seen>) =
        tshark(&file).into_iter().partition(|seen| seen.comment.ends_with(", to everybody"));
    // Nobody on UDP is told of the gateway unless it is said whom to tell.
    assert!(broadcast.iter().all(|seen| seen.types == [0] && !seen.inbound), "{broadcast:?}");
    assert_eq!(broadcast.len(), 1);
    let udp = format!("udp {}", gateway.link());
    let serial = format!("serial {}", line.device().display());
    for (device, interface, client, rest) in [
        (&one, &udp, "on-udp", format!("address {}", one.address())),
        (&two, &serial, "on-serial", "node ab01".to_owned()),
    ] {
        let its: Vec<&Seen> = seen.iter().filter(|seen| seen.interface == **interface).collect();
        let found: Vec<_> =
            its.iter().map(|seen| (seen.inbound, *seen.types.last().unwrap())).collect();
        assert_eq!(found, types(device));
        let comment = format!("{interface}, {rest}, client \"{client}\"");
        assert!(its.iter().all(|seen| seen.comment == comment), "{comment}: {its:?}");
        let forwarded = its.iter().all(|seen| seen.types.first() == Some(&0xFE));
        assert_eq!(forwarded, client == "on-serial");
    }
    assert_eq!(seen.len(), types(&one).len() + types(&two).len());

    let mut lines = decoded(&file);
    lines.retain(|line| !line.ends_with(", to everybody"));
    assert_eq!(lines.len(), seen.len());
    let first = format!("in   {} → {}:1883  CONNECT", one.address(), gateway.link().ip());
    assert!(lines[0].contains(&first), "{}", lines[0]);
    assert!(lines[0].ends_with(&format!("# {}", seen[0].comment)), "{}", lines[0]);
    let answer = lines.iter().find(|line| line.contains("out  ") && line.contains("on-serial"));
    assert!(answer.expect("an answer").contains("CONNACK"), "{answer:?}");

    let summary = Command::new("capinfos").arg("-Tmrc").arg(&file).output().unwrap();
    let summary = String::from_utf8_lossy(&summary.stdout).into_owned();
    assert!(summary.trim_end().ends_with(&format!(",{}", seen.len() + 1)), "{summary}");
}

#[test]
fn an_exported_pdu_names_its_protocol() {
    let (mut gateway, _mosquitto) =
        start(&["--capture", "a.pcapng", "--capture-as", "pdu", "--capture-client", "a-?"], "");
    let file = gateway.directory().join("a.pcapng");
    let (mut wanted, mut other) =
        (Device::connected(gateway.link(), "a-1"), Device::connected(gateway.link(), "b-1"));
    other.ping();
    wanted.ping();
    wanted.disconnect();
    other.disconnect();
    assert_eq!(gateway.terminate(), 0);
    let lines = decoded(&file);
    assert_eq!(lines.len(), types(&wanted).len(), "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with("client \"a-1\"")), "{lines:?}");
    // Before 4.2 the dissector has no name, so all that can be seen is that it is asked for.
    let output = Command::new("tshark").arg("-V").arg("-r").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("Name: mqttsn").count(), lines.len(), "{text}");
}

/// The body of an answer, whatever it is.
fn fetch(admin: SocketAddr, path: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let text = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    send(admin, text.as_bytes()).read_to_end(&mut octets).unwrap();
    let end = octets.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    octets.split_off(end + 4)
}

#[test]
fn the_api_begins_ends_and_gives_the_file() {
    let (mut gateway, _mosquitto) = start(&[], ADMIN);
    let admin = address(&gateway);
    let ask = |method: &str, path: &str| request(admin, method, path, BY_HAND, "");
    let now = get(admin, "/api/v1/capture").json();
    assert_eq!((&now["active"], &now["file"]), (&Value::Bool(false), &Value::Null));
    let mut device = Device::connected(gateway.link(), "meter-7");
    let mut lamp = Device::connected(gateway.link(), "lamp");

    let began = ask("POST", "/api/v1/capture?client=meter-*&link=udp+*&max_bytes=1000000");
    assert_eq!(began.status, 200, "{began:?}");
    let began = began.json();
    let name = began["file"].as_str().unwrap().to_owned();
    assert_eq!((&began["client"], &began["max_bytes"]), (&"meter-*".into(), &1_000_000.into()));
    assert_eq!(ask("POST", "/api/v1/capture?seconds=1").status, 409);
    lamp.ping();
    device.ping();
    let packets = |answer: &Value| answer["packets"].as_u64().expect("a number");
    let seen = get_until(admin, "/api/v1/capture", |answer| packets(&answer.json()) >= 2);
    assert_eq!(seen.json()["active"], true);
    // What is there while it runs is whole, too.
    let early = gateway.directory().join("early.pcapng");
    fs::write(&early, fetch(admin, "/api/v1/capture/file")).unwrap();
    assert!(tshark(&early).len() as u64 <= packets(&get(admin, "/api/v1/capture").json()));
    device.disconnect();
    let ended = ask("DELETE", "/api/v1/capture").json();
    assert!(ended["active"] == false && packets(&ended) >= 4, "{ended}");
    assert_eq!(ended["stopped_because"], "an operator has ended it");
    device.connect("meter-7");

    let head = request(admin, "HEAD", "/api/v1/capture/file", "", "");
    let attachment = format!("attachment; filename=\"{name}\"");
    assert_eq!(head.header("content-disposition"), Some(&*attachment));
    assert_eq!(head.header("content-type"), Some("application/vnd.tcpdump.pcap"));
    let octets = fetch(admin, "/api/v1/capture/file");
    assert_eq!(Some(octets.len() as u64), ended["bytes"].as_u64());
    let file = gateway.state().join("captures").join(&name);
    assert_eq!(octets, fs::read(&file).unwrap());
    let all = tshark(&file);
    assert_eq!(all.len() as u64, packets(&ended));
    // On a slow machine the device repeats what it has sent.
    let mut types: Vec<_> = Vec::new();
    for one in all.iter().map(|seen| (seen.inbound, seen.types[0])) {
        if !types.contains(&one) {
            types.push(one);
        }
    }
    assert_eq!(types, [(true, 0x16), (false, 0x17), (true, 0x18), (false, 0x18)]);

    // Another one ends by itself, although nothing happens; and its file is the last then.
    assert_eq!(ask("POST", "/api/v1/capture?seconds=1").status, 200);
    let over = get_until(admin, "/api/v1/capture", |answer| answer.json()["active"] == false);
    assert_eq!(over.json()["stopped_because"], "its time is over");
    assert_ne!(over.json()["file"], *name);
    assert_ne!(fetch(admin, "/api/v1/capture/file"), octets);
    let empty = fetch(admin, "/api/v1/capture/file");

    // The next run of the program still has it.
    assert_eq!(ask("POST", "/api/v1/capture?max_bytes=1073741825").status, 400);
    assert_eq!(gateway.terminate(), 0);
    gateway.restart_and_wait();
    assert_eq!(fetch(address(&gateway), "/api/v1/capture/file"), empty);
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn a_pipe_among_the_files_holds_nobody_up() {
    let (mut gateway, _mosquitto) = start(&[], ADMIN);
    let admin = address(&gateway);
    let captures = gateway.state().join("captures");
    fs::create_dir(&captures).unwrap();
    let pipe = captures.join("capture-999999-20261127T150639Z.pcapng");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for _ in 0..10 {
        assert_eq!(get(admin, "/api/v1/capture/file").status, 404);
    }
    assert_eq!(request(admin, "POST", "/api/v1/capture", BY_HAND, "").status, 200);
    assert_eq!(request(admin, "DELETE", "/api/v1/capture", BY_HAND, "").status, 200);
    assert_eq!(get(admin, "/api/v1/capture/file").status, 200);
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn a_full_file_ends_the_capture_and_nothing_else() {
    let (mut gateway, _mosquitto) =
        start(&["--capture", "a.pcapng", "--capture-max", "16KiB"], ADMIN);
    let file = gateway.directory().join("a.pcapng");
    let mut device = Device::connected(gateway.link(), "talks-much");
    let topic = device.register("up/much").unwrap();
    for _ in 0..30 {
        assert_eq!(device.publish(topic, Qos::One, &"x".repeat(600)), ReturnCode::ACCEPTED);
    }
    gateway.log.wait_for(&["the capture to a.pcapng has ended: it has reached its largest size"]);
    device.ping();
    let now = get(address(&gateway), "/api/v1/capture").json();
    assert_eq!(now["stopped_because"], "it has reached its largest size", "{now}");
    let length = fs::metadata(&file).unwrap().len();
    assert!((15_000..=16_384).contains(&length), "{length}");
    assert_eq!(Some(tshark(&file).len() as u64), now["packets"].as_u64());
    assert_eq!(gateway.terminate(), 0);
    assert_eq!(gateway.log.count("largest size"), 1);
}

#[test]
fn a_disk_that_takes_no_more_ends_the_capture_and_nothing_else() {
    let (mut gateway, _mosquitto) = start(&["--capture", "a.pcapng"], "");
    let file = gateway.directory().join("a.pcapng");
    let mut device = Device::connected(gateway.link(), "talks-on");
    let topic = device.register("up/much").unwrap();
    // In the middle of a packet.
    let (id, limit) = (gateway.id().to_string(), "--fsize=6001");
    let status = Command::new("prlimit").args(["--pid", &id, limit]).status();
    assert!(status.expect("prlimit is not installed; tests/setup.sh does it").success());
    for _ in 0..20 {
        assert_eq!(device.publish(topic, Qos::Zero, &"x".repeat(600)), ReturnCode::ACCEPTED);
    }
    let line =
        gateway.log.wait_for(&["WARN the capture to a.pcapng has ended: it cannot be written"]);
    assert!(line.contains("octets of it are whole"), "{line}");
    device.ping();
    let length = fs::metadata(&file).unwrap().len();
    assert!((4_000..=6_001).contains(&length), "{length}");
    let seen = tshark(&file);
    assert!(seen.len() > 5 && decoded(&file).len() == seen.len(), "{seen:?}");
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn a_device_that_is_always_full_is_no_reason_to_stop() {
    let (mut gateway, _mosquitto) = start(&["--capture", "/dev/full"], "");
    gateway.log.wait_for(&["the capture to /dev/full has ended: the disk is full"]);
    Device::connected(gateway.link(), "served").ping();
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn after_a_kill_all_that_was_written_can_be_read() {
    let (mut gateway, _mosquitto) = start(&["--capture", "a.pcapng"], "");
    let file = gateway.directory().join("a.pcapng");
    let mut device = Device::connected(gateway.link(), "killed");
    for _ in 0..20 {
        device.ping();
    }
    // What it has sent again, and was answered again, is in it, too.
    let least = types(&device).len();
    assert!(least >= 42);
    // The file grows a moment later than the count.
    let end = Instant::now() + PATIENCE;
    while tshark(&file).len() < least {
        assert!(Instant::now() < end, "it is not written");
        std::thread::sleep(Duration::from_millis(20));
    }
    gateway.kill();
    let written = tshark(&file).len();
    assert!(written >= least);
    // Even if the last block is cut.
    let octets = fs::read(&file).unwrap();
    fs::write(&file, &octets[..octets.len() - 5]).unwrap();
    assert_eq!(tshark(&file).len(), written - 1);
    // What is there is overwritten by the next run.
    gateway.restart();
    gateway.wait_for_broker(1);
    assert_eq!(gateway.terminate(), 0);
    assert_eq!(tshark(&file).len(), 0);
}

#[test]
fn a_pipe_is_read_live() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = pipe.to_str().unwrap();
    let (mut gateway, _mosquitto) = start(&["--capture", path], "");
    // Before anybody reads.
    let mut device = Device::connected(gateway.link(), "live");
    let mut reader = program().arg("decode").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("CONNECT"));
    assert!(lines.next().unwrap().contains("CONNACK"));
    device.ping();
    assert!(lines.next().unwrap().contains("PINGREQ"));
    assert!(lines.next().unwrap().contains("PINGRESP"));
    reader.kill().unwrap();
    reader.wait().unwrap();
    device.ping();
    let why = format!("the capture to {path} has ended: nobody reads it any more");
    gateway.log.wait_for(&[&why]);
    device.ping();
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn nothing_else_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "Dear Sir,").unwrap();
    for (path, why) in [
        ("letter.txt", "letter.txt is not overwritten"),
        (".", "it is a directory"),
        ("no/such/folder", "cannot capture to no/such/folder: No such file"),
    ] {
        let mut command = program();
        let command = command.current_dir(&directory).args(["run", "--capture", path]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{said}");
    }
    assert_eq!(fs::read(directory.path().join("letter.txt")).unwrap(), b"Dear Sir,");
}
