//! What is counted, and whether the gateway is alive and ready.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use super::http::{address, get, get_until, request};
use super::{ON, start};
use crate::rig::{Gateway, configuration, free_tcp_port};

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap_or_else(|_| panic!("{series}: {line}")))
}

#[test]
fn a_reading_is_counted_where_it_passes() {
    let (rig, admin) = start("");
    let mut device = rig.device("counted");
    for _ in 0..3 {
        device.publish(PublishTopic::Short(*b"ab"), Qos::One, "21.5");
    }
    device.send_octets(&[7, 0xFF, 0]);
    device.ping();
    let link = format!("udp {}", rig.gateway.link());
    let answer = get(admin, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let packets = |direction: &str, kind: &str| {
        let labels = format!("{{link=\"{link}\",direction=\"{direction}\",type=\"{kind}\"}}");
        let packets = value(&answer.body, &format!("mqtt_sn_gateway_packets_total{labels}"));
        let octets = value(&answer.body, &format!("mqtt_sn_gateway_bytes_total{labels}"));
        (packets.unwrap_or(0.0), octets.unwrap_or(0.0))
    };
    let (published, octets) = packets("received", "PUBLISH");
    // The rig repeats what is not answered in time.
    assert!(published >= 3.0 && octets == published * 11.0, "{published} {octets}");
    assert!(packets("sent", "PUBACK").0 >= 3.0);
    assert_eq!(packets("received", "other").0, 1.0);
    let is = |series: &str, expected: f64| {
        assert_eq!(value(&answer.body, series), Some(expected), "{series}")
    };
    is("mqtt_sn_gateway_clients{state=\"active\"}", 1.0);
    is("mqtt_sn_gateway_malformed_packets_total{kind=\"length_mismatch\"}", 1.0);
    is("mqtt_sn_gateway_upstream_up{connection=\"1\"}", 1.0);
    is("mqtt_sn_gateway_journal_failing", 0.0);
    let trips = "mqtt_sn_gateway_upstream_round_trip_seconds_count{connection=\"1\"}";
    assert!(value(&answer.body, trips) >= Some(3.0), "{}", answer.body);
    assert_eq!(request(admin, "HEAD", "/metrics", "", "").status, 200);
    rig.stop();
}

#[test]
fn it_is_ready_while_the_broker_is_there() {
    let (mut rig, admin) = start("");
    assert_eq!((get(admin, "/readyz").status, get(admin, "/healthz").status), (200, 200));
    rig.mosquitto().stop();
    let answer = get_until(admin, "/readyz", |answer| answer.status == 503);
    assert!(answer.body.starts_with("not connected to the broker"), "{answer:?}");
    assert_eq!(get(admin, "/healthz").status, 200, "it is well all the same");
    let why = get_until(admin, "/readyz", |answer| answer.body.contains("cannot connect to"));
    assert!(why.body.contains("refused"), "{why:?}");
    rig.mosquitto().restart();
    get_until(admin, "/readyz", |answer| answer.status == 200);
    rig.stop();
}

#[test]
fn a_port_that_is_taken_keeps_no_device_out() {
    let taken = TcpListener::bind(("127.0.0.1", free_tcp_port())).unwrap();
    let listen = taken.local_addr().unwrap();
    let broker = free_tcp_port();
    let rest = ON.replace("127.0.0.1:0", &listen.to_string())
        + &format!("[embedded_broker]\nlisten = \"127.0.0.1:{broker}\"\n");
    let gateway = Gateway::start(&configuration("embedded", "", &rest));
    gateway.log.wait_for(&[
        &format!("no admin interface on {listen}"),
        "another program listens there",
        "[admin] listen",
    ]);
    gateway.wait_for_broker(1);
    crate::rig::Device::connected(gateway.link(), "served").ping();
    // And when it is free, it is taken.
    drop(taken);
    assert_eq!(get(address(&gateway), "/healthz").status, 200);
}

#[test]
fn it_can_be_turned_off() {
    let port = free_tcp_port();
    let rest =
        format!("[admin]\nlisten = \"\"\n[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n");
    let mut gateway = Gateway::start(&configuration("embedded", "", &rest));
    gateway.wait_for_broker(1);
    assert_eq!(gateway.log.count("admin interface"), 0);
    assert_eq!(gateway.terminate(), 0);
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for part in text.split("mqtt_sn_gateway_").skip(1) {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        let name = &part[..end];
        let series = ["_bucket", "_sum", "_count"];
        names.insert(series.iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name));
    }
    names
}

/// A panel, an alert or a page that names what does not exist says nothing, and nobody notices.
#[test]
fn metrics_that_are_named_exist_and_those_that_exist_are_explained() {
    let (rig, admin) = start("");
    let text = get(admin, "/metrics").body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE mqtt_sn_gateway_"));
    let exist: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["packaging/grafana.json", "packaging/alerts.yml", "docs/operations.md"] {
        let text = fs::read_to_string(root.join(file)).expect(file);
        let named = names(&text);
        let unknown: Vec<_> = named.difference(&exist).collect();
        assert_eq!(unknown, [&""; 0], "{file}");
        assert!(named.len() > 10, "{file}");
        if file.ends_with(".md") {
            let unexplained: Vec<_> = exist.difference(&named).collect();
            assert_eq!(unexplained, [&""; 0], "{file}");
        }
    }
    let dashboard = fs::read_to_string(root.join("packaging/grafana.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
    rig.stop();
}

/// What Prometheus itself says, where it is installed.
#[test]
fn promtool_has_nothing_against_it() {
    let (rig, admin) = start("");
    rig.device("counted").ping();
    let text = get(admin, "/metrics").body;
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/alerts.yml");
    let rules = rules.to_str().unwrap();
    for (arguments, input) in
        [(vec!["check", "metrics"], text), (vec!["check", "rules", rules], String::new())]
    {
        let child = Command::new("promtool")
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("promtool is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
    rig.stop();
}
