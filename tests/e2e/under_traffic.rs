//! Reload and stop while a thousand devices are busy. `simulate` is the judge: it knows what was
//! acknowledged and what came through.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::admin::http::{address, get, request};
use crate::rig::{Gateway, PATIENCE, mosquitto, steady_configuration};

const DEVICES: u64 = 1_000;
const CHANGE: &str = "X-Requested-With: test\r\n";

/// Lets devices loose on a gateway.
fn simulate(gateway: &Gateway, arguments: &[&str]) -> Child {
    let (count, link) = (DEVICES.to_string(), gateway.link().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt-sn-gateway"));
    command.args(["simulate", "--json", "-n", &count, "--gateway", &link]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the simulator")
}

/// What came of it, if all promises were kept.
#[track_caller]
fn judged(mut simulation: Child) -> Value {
    assert!(simulation.try_wait().unwrap().is_none(), "the devices were gone too soon");
    let ended = simulation.wait_with_output().expect("the simulator");
    let (out, err) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!((ended.status.code(), &*err), (Some(0), ""), "{out}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["broken_promises"], serde_json::json!([]), "{out}");
    json
}

/// Waits until so many clients are connected or asleep.
#[track_caller]
fn wait_for_clients(gateway: &Gateway) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let status = get(address(gateway), "/api/v1/status").json();
        let clients = &status["clients"];
        let here = clients["connected"].as_u64().unwrap() + clients["asleep"].as_u64().unwrap();
        if here >= DEVICES {
            return;
        }
        assert!(std::time::Instant::now() < end, "{status}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_thousand_clients_notice_no_reload() {
    let broker = mosquitto("max_queued_messages 0");
    let url = format!("mqtt://{}", broker.address());
    let rest = "[admin]\nlisten = \"127.0.0.2:0\"\n[sessions]\nretry_count = 7\n";
    let mut gateway = Gateway::start(&steady_configuration(&url, "", rest));
    gateway.wait_for_broker(1);
    let admin = address(&gateway);
    let traffic = ["-d", "20", "--rate", "600", "-q", "0,1,2", "--sleepers", "20", "--sleep", "4"];
    let simulation = simulate(&gateway, &traffic);
    wait_for_clients(&gateway);
    for round in 0..15 {
        let (old, new) = (7 + round, 8 + round);
        gateway.rewrite(|text| {
            let text =
                text.replace(&format!("retry_count = {old}"), &format!("retry_count = {new}"));
            // Rules that concern nobody come and go.
            let rule = "[[client]]\nid = \"nobody-*\"\nmax_qos = 0\n";
            if round % 2 == 0 { text + rule } else { text.replace(rule, "") }
        });
        // Several at once.
        let reloads = [(); 2]
            .map(|()| thread::spawn(move || request(admin, "POST", "/api/v1/reload", CHANGE, "")));
        gateway.hang_up();
        for reload in reloads {
            let answer = reload.join().expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    gateway.log.wait_for(&["read again; changed: ", "sessions.retry_count"]);
    let json = judged(simulation);
    // A datagram with QoS 0 may be lost on a busy machine.
    for level in json["qos"].as_array().expect("levels").iter().filter(|level| level["qos"] != 0) {
        assert_eq!(level["received"], level["sent"], "{json}");
    }
    assert_eq!(json["failed"], 0, "{json}");
    assert_eq!(json["sessions_ended_by_gateway"], 0, "{json}");
    assert_eq!(gateway.terminate(), 0);
}

#[test]
fn a_stop_in_the_middle_of_it_loses_nothing() {
    let broker = mosquitto("max_queued_messages 0");
    let url = format!("mqtt://{}", broker.address());
    let rest = "[admin]\nlisten = \"127.0.0.2:0\"\n[sessions]\nretry_interval = \"1s\"\nretry_count = 20\n";
    let mut gateway = Gateway::start(&steady_configuration(&url, "", rest));
    gateway.wait_for_broker(1);
    let traffic = [
        "-d",
        "20",
        "--rate",
        "500",
        "-q",
        "1,2",
        "--persistent",
        "--retry",
        "1s",
        "--retries",
        "20",
    ];
    let simulation = simulate(&gateway, &traffic);
    wait_for_clients(&gateway);
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(700));
        assert_eq!(gateway.terminate(), 0);
        gateway.restart_and_wait();
        // They are all still there, although none of them has connected again.
        wait_for_clients(&gateway);
    }
    judged(simulation);
    assert_eq!(gateway.terminate(), 0);
}
