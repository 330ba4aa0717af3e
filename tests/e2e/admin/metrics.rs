//! What is counted, and whether the gateway is alive and ready.

use std::net::TcpListener;

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
