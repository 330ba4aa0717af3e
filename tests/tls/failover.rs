//! From one broker to the next, and back.

use std::collections::BTreeSet;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use crate::rig::{Device, Gateway, Listener, Upstream, configuration, publish, with_mosquitto};
use crate::support::certificates::{Authority, Valid};
use crate::{Broker, rig};

with_mosquitto!(over_and_back);

fn several(urls: &[&str], upstream: &str, rest: &str) -> Gateway {
    let list = format!("[\"{}\"]", urls.join("\", \""));
    let text = configuration("list", upstream, rest);
    Gateway::start(&text.replace("url = \"list\"", &format!("url = {list}")))
}

fn over_and_back(kind: Upstream) {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Now);
    let mut first = Broker::with_tls(&issued, "");
    first.mosquitto.stop();
    let second = rig::mosquitto("");
    let version = if kind == Upstream::Mqtt311 { "3.1.1" } else { "5" };
    let upstream = format!("version = \"{version}\"\nfailback_interval = \"100ms\"");
    let tls = format!("[upstream.tls]\nca_file = {:?}\n", authority.file());
    let urls = [first.url("mqtts"), format!("mqtt://{}", second.address())];
    let mut gateway = several(&[&urls[0], &urls[1]], &upstream, &tls);
    gateway.wait_for_broker(1);
    gateway.log.wait_for(&["WARN cannot connect to mqtts://", "trying the next broker"]);
    let status = "mqtt-sn-gateway/e2e/status";
    let there = Listener::start(second.address(), &["up/#", status, "end"]);
    let mut device = Device::connected(gateway.link(), "device");
    device.subscribe_to("down/#", Qos::One);
    let topic = device.register("up/reading").unwrap();
    assert_eq!(device.publish(topic, Qos::One, "over"), ReturnCode::ACCEPTED);

    // The first comes back while messages go up, one after the other, until one is known to have
    // gone there.
    first.mosquitto.restart();
    let here = Listener::start(first.world(), &["up/#"]);
    let mut sent = BTreeSet::from(["over".to_owned()]);
    let mut after = 0;
    for number in 0.. {
        let qos = if number % 2 == 0 { Qos::One } else { Qos::Two };
        let reading = format!("reading {number}");
        assert_eq!(device.publish(topic, qos, &reading), ReturnCode::ACCEPTED);
        sent.insert(reading);
        after += usize::from(gateway.log.count("INFO connected to ") > 1);
        if after > 10 {
            break;
        }
    }
    let moved = format!("INFO {} is there again: the connection moves there from ", urls[0]);
    gateway.log.wait_for(&[&moved]);
    assert_eq!(device.publish(topic, Qos::One, "last"), ReturnCode::ACCEPTED);
    let before_last = here.until("last");
    publish(second.address(), "end", "end", 1);
    let before_end = there.until("end");
    let arrived: BTreeSet<String> = before_last
        .iter()
        .chain(&before_end)
        .filter(|heard| heard.topic == "up/reading")
        .map(|heard| heard.payload.clone())
        .collect();
    assert_eq!(arrived, sent, "nothing acknowledged is lost");
    // It went in order: no will, no status.
    assert!(!before_end.iter().any(|heard| heard.payload == "offline"), "{before_end:?}");
    let log = second.log();
    assert!(log.contains("Client e2e disconnected."), "a clean DISCONNECT: {log}");
    // The new broker had no session of ours, and has all of it now.
    publish(first.world(), "down/command", "on", 1);
    device.receive_until("on");
    let state = Listener::start(first.world(), &[status]);
    assert_eq!(state.take(1)[0].payload, "online");
    assert_eq!(gateway.log.count("WARN lost"), 0, "nothing was lost");
    assert_eq!(gateway.terminate(), 0);
}

/// One that answers and then refuses is not worth a move every time.
#[test]
fn a_first_broker_that_refuses_is_left_alone() {
    let second = rig::mosquitto("");
    let mut first = rig::mosquitto("allow_anonymous false");
    let urls = [format!("mqtt://{}", first.address()), format!("mqtt://{}", second.address())];
    first.stop();
    let mut gateway = several(&[&urls[0], &urls[1]], "failback_interval = \"100ms\"", "");
    gateway.wait_for_broker(1);
    first.restart();
    gateway.log.wait_for(&["WARN cannot use", &urls[0], "trying the next broker"]);
    gateway.wait_for_broker(2);
    let mut device = Device::connected(gateway.link(), "device");
    let topic = device.register("up/reading").unwrap();
    let there = Listener::start(second.address(), &["up/#"]);
    assert_eq!(device.publish(topic, Qos::One, "x"), ReturnCode::ACCEPTED);
    there.until("x");
    assert_eq!(gateway.terminate(), 0);
}

/// `"0s"` stays where it is: a lost connection, and nothing else, begins at the head of the list.
#[test]
fn no_way_back() {
    let mut first = rig::mosquitto("");
    first.stop();
    let mut second = rig::mosquitto("");
    let urls = [format!("mqtt://{}", first.address()), format!("mqtt://{}", second.address())];
    let gateway = several(&[&urls[0], &urls[1]], "failback_interval = \"0s\"", "");
    gateway.wait_for_broker(1);
    first.restart();
    let mut device = Device::connected(gateway.link(), "device");
    let topic = device.register("up/reading").unwrap();
    assert_eq!(device.publish(topic, Qos::One, "x"), ReturnCode::ACCEPTED);
    second.stop();
    gateway.wait_for_broker(2);
    gateway.log.wait_for(&["WARN lost the connection to", &urls[1]]);
    assert_eq!(gateway.log.count("is there again"), 0);
    assert_eq!(device.publish(topic, Qos::One, "y"), ReturnCode::ACCEPTED);
}
