//! The broker is late, dies, comes back with and without its memory, refuses us, or is not there at
//! all. Nothing that a device was acknowledged for may get lost, and the gateway never gives up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode};

use crate::rig::{
    Device, Gateway, Heard, Listener, PATIENCE, Rig, Upstream, configuration, free_tcp_port,
    keep_for, mosquitto, publish, received, with_mosquitto,
};

with_mosquitto!(
    the_gateway_is_there_first,
    a_broker_that_keeps_its_sessions,
    a_broker_that_loses_everything,
);

fn version(upstream: Upstream) -> &'static str {
    if upstream == Upstream::Mqtt5 { "version = \"5\"" } else { "version = \"3.1.1\"" }
}

fn the_gateway_is_there_first(upstream: Upstream) {
    let mut broker = mosquitto("");
    broker.kill();
    let url = format!("mqtt://{}", broker.address());
    let rest = "[topics]\n7 = \"sensors/seven\"\n";
    let mut gateway = Gateway::start(&configuration(&url, version(upstream), rest));
    gateway.log.wait_for(&["WARN", &url, "connection refused"]);
    let mut device = Device::connected(gateway.link(), "early");
    let topic = device.register("sensors/early").unwrap();
    // Acknowledged from the spool.
    assert_eq!(device.publish_with(topic, Qos::One, true, "kept"), ReturnCode::ACCEPTED);
    broker.restart();
    // On its way, or there already; then it is there.
    let kept = Listener::start(broker.address(), &["sensors/early"]).take(1);
    assert_eq!(kept[0].payload, "kept");
    let kept = Listener::start(broker.address(), &["sensors/early"]).take(1);
    assert_eq!((kept[0].payload.as_str(), kept[0].retain), ("kept", true));
    device.subscribe_to("commands/early", Qos::One);
    publish(broker.address(), "commands/early", "hello", 1);
    assert_eq!(device.receive(), received("commands/early", "hello", Qos::One));
    assert_eq!(gateway.terminate(), 0);
}

/// Publishes numbers until told to stop; a device's PUBLISH is repeated until it is answered, and
/// congestion means later. Returns what was acknowledged, and counts it.
fn keep_publishing(
    mut device: Device,
    name: &str,
    qos: Qos,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<String> {
    let topic = device.register(name).unwrap();
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let payload = format!("{name} {number}");
        match device.publish(topic, qos, &payload) {
            ReturnCode::ACCEPTED => acknowledged.push(payload),
            ReturnCode::CONGESTION => {}
            other => panic!("{payload}: {other:?}"),
        }
        count.store(acknowledged.len(), Ordering::Relaxed);
        // A thousand a second are enough.
        thread::sleep(Duration::from_millis(1));
    }
    device.disconnect();
    acknowledged
}

/// Lets the devices end when a test does, however it does.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until each of the counters has gone up by some.
#[track_caller]
fn wait_for_more(counts: &[AtomicUsize]) {
    let now = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let before: Vec<usize> = counts.iter().map(now).collect();
    let deadline = Instant::now() + PATIENCE;
    while counts.iter().zip(&before).any(|(count, before)| now(count) < before + 20) {
        assert!(Instant::now() < deadline, "nothing is acknowledged any more");
        thread::sleep(Duration::from_millis(1));
    }
}

fn a_broker_that_keeps_its_sessions(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    // The listener is absent all the time: exchanges of its own that a restart interrupts would
    // bring duplicates that are not ours.
    keep_for(rig.broker(), "world", "up/#");
    let mut receiver = rig.device("receiver");
    receiver.subscribe_to("commands/a", Qos::Two);
    let link = rig.gateway.link();
    let stop = AtomicBool::new(false);
    let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let devices: Vec<_> = [("up/one", Qos::One), ("up/two", Qos::Two)]
            .into_iter()
            .zip(&counts)
            .map(|((name, qos), count)| {
                let device = Device::connected(link, &name.replace('/', "-"));
                let stop = &stop;
                scope.spawn(move || keep_publishing(device, name, qos, stop, count))
            })
            .collect();
        for round in 1..=4 {
            wait_for_more(&counts);
            rig.mosquitto().stop();
            rig.gateway.log.wait("the loss to be noticed", |lines| {
                let lost = lines.iter().filter(|line| line.contains("lost the connection")).count();
                (lost >= round).then_some(())
            });
            rig.mosquitto().restart();
            rig.gateway.wait_for_broker(round + 1);
        }
        wait_for_more(&counts);
        stop.store(true, Ordering::Relaxed);
        devices.into_iter().flat_map(|device| device.join().unwrap()).collect()
    });
    assert!(rig.gateway.log.count("session resumed") >= 4);
    let world = Listener::with(rig.broker(), &["up/#"], &["-c", "-i", "world"]);
    world.wait("everything that was acknowledged", |heard| {
        let heard: BTreeSet<_> = heard.iter().map(|heard| &heard.payload).collect();
        acknowledged.iter().all(|payload| heard.contains(payload)).then_some(())
    });
    // Only now: a broker lets a new message overtake those that it has kept for an absent listener.
    rig.publish("up/end", "end", 2);
    let mut copies: BTreeMap<String, u32> = BTreeMap::new();
    for Heard { payload, .. } in world.until("end") {
        *copies.entry(payload).or_default() += 1;
    }
    for (payload, copies) in &copies {
        assert!(
            *copies == 1 || payload.starts_with("up/one"),
            "{payload} at QoS 2: {copies} times"
        );
    }
    rig.publish("commands/a", "still there?", 2);
    assert_eq!(receiver.receive(), received("commands/a", "still there?", Qos::Two));
    rig.stop();
}

fn a_broker_that_loses_everything(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    let mut receiver = rig.device("receiver");
    receiver.subscribe_to("commands/a", Qos::Two);
    receiver.subscribe_to("commands/+/b", Qos::One);
    // Each reading is retained under its own topic: who listens anew gets what was said meanwhile.
    let mut device = rig.device("writer");
    let before = rig.listener(&["up/#"]);
    for number in 0..20 {
        let topic = device.register(&format!("up/{number}")).unwrap();
        assert_eq!(device.publish_with(topic, Qos::One, true, "before"), ReturnCode::ACCEPTED);
    }
    assert_eq!(before.take(20).len(), 20);
    rig.mosquitto().kill();
    rig.gateway.log.wait_for(&["lost the connection"]);
    for number in 20..40 {
        let topic = device.register(&format!("up/{number}")).unwrap();
        assert_eq!(device.publish_with(topic, Qos::One, true, "meanwhile"), ReturnCode::ACCEPTED);
    }
    rig.mosquitto().restart();
    rig.gateway.wait_for_broker(2);
    let after = rig.listener(&["up/#"]);
    let mut topics: Vec<_> = after.take(20).into_iter().map(|heard| heard.topic).collect();
    topics.sort();
    let mut expected: Vec<_> = (20..40).map(|number| format!("up/{number}")).collect();
    expected.sort();
    assert_eq!(topics, expected);
    // Its subscriptions are made again; when, is the gateway's business.
    let mut number = 0;
    let mut heard = Vec::new();
    while heard.is_empty() {
        number += 1;
        assert!(number < 300, "the subscriptions were not restored");
        rig.publish("commands/x/b", &format!("b {number}"), 1);
        rig.publish("commands/a", &format!("a {number}"), 2);
        receiver.ping();
        heard = receiver.inbox();
    }
    rig.publish("commands/a", "end", 2);
    rig.publish("commands/x/b", "end of b", 1);
    receiver.receive_until("end of b");
    assert!(!receiver.dismissed && !device.dismissed, "devices stay connected");
    rig.stop();
}

#[test]
fn a_broker_that_refuses_the_login() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    let set = |password: &str| {
        let status = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&passwords)
            .args(["gateway", password])
            .stderr(std::process::Stdio::null())
            .status()
            .expect("mosquitto_passwd");
        assert!(status.success());
        // mosquitto reads it under another user.
        let mut permissions = fs::metadata(&passwords).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(&passwords, permissions).unwrap();
    };
    set("another");
    let extra = format!("allow_anonymous false\npassword_file {}", passwords.display());
    for version in ["5", "3.1.1", "auto"] {
        set("another");
        let mut broker = mosquitto(&extra);
        let url = format!("mqtt://{}", broker.address());
        let login =
            format!("version = \"{version}\"\nusername = \"gateway\"\npassword = \"right\"");
        let mut gateway = Gateway::start(&configuration(&url, &login, ""));
        let line = gateway.log.wait_for(&["WARN", "username and password", "[upstream]"]);
        assert!(line.contains("next try in"), "{line}");
        assert!(!line.contains("right"), "the password is nobody's business: {line}");
        let mut device = Device::connected(gateway.link(), "patient");
        let topic = device.register("up/patient").unwrap();
        let id = device.begin_publish(topic, true, "kept");
        assert!(gateway.is_running());
        broker.stop();
        set("right");
        broker.restart();
        gateway.wait_for_broker(1);
        assert_eq!(device.puback(id), ReturnCode::ACCEPTED);
        assert_eq!(gateway.terminate(), 0);
    }
}

#[test]
fn a_name_that_does_not_resolve_and_a_second_broker_that_does() {
    let upstream = "connect_timeout = \"2s\"";
    let nowhere = "mqtt://no-such-host.invalid";
    let mut gateway = Gateway::start(&configuration(nowhere, upstream, ""));
    let line = gateway.log.wait_for(&["WARN", "no-such-host.invalid:1883", "name"]);
    assert!(line.contains("next try in"), "{line}");
    let mut device = Device::connected(gateway.link(), "patient");
    device.ping();
    assert_eq!(gateway.terminate(), 0, "also while a name is being looked up");

    let broker = mosquitto("");
    let closed = format!("mqtt://127.0.0.1:{}", free_tcp_port());
    let list = format!("[\"{nowhere}\", \"{closed}\", \"mqtt://{}\"]", broker.address());
    let text = configuration("URL", upstream, "").replace("\"URL\"", &list);
    let mut gateway = Gateway::start(&text);
    gateway.wait_for_broker(1);
    gateway.log.wait_for(&["connected to", &broker.address().to_string()]);
    let mut device = Device::connected(gateway.link(), "served");
    let topic = device.register("up/served").unwrap();
    assert_eq!(device.publish(topic, Qos::Two, "x"), ReturnCode::ACCEPTED);
    assert_eq!(gateway.terminate(), 0);
}

/// Something listens there, but it is no broker.
#[test]
fn something_that_is_no_broker() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let mut gateway = Gateway::start(&configuration(&url, "", ""));
    let line = gateway.log.wait_for(&["WARN", &url, "MQTT"]);
    assert!(line.contains("next try in"), "{line}");
    let mut device = Device::connected(gateway.link(), "patient");
    device.publish(PublishTopic::Short(*b"ab"), Qos::Zero, "into the void");
    device.ask("PINGRESP", &Message::PingReq { client_id: b"" }, |message| {
        matches!(message, Message::PingResp).then_some(())
    });
    assert_eq!(gateway.terminate(), 0);
}

/// MQTT 3.1.1 has no way to refuse a message; MQTT 5 has, and the device is told.
#[test]
fn a_broker_that_refuses_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    fs::write(&rules, "topic readwrite mqtt-sn-gateway/#\ntopic readwrite open/#\n").unwrap();
    let broker = mosquitto(&format!("acl_file {}", rules.display()));
    let url = format!("mqtt://{}", broker.address());
    let mut gateway = Gateway::start(&configuration(&url, "version = \"5\"", ""));
    gateway.wait_for_broker(1);
    let mut device = Device::connected(gateway.link(), "meter");
    let open = device.register("open/a").unwrap();
    let closed = device.register("closed/a").unwrap();
    for (times, qos) in [(1, Qos::One), (2, Qos::Two)] {
        // mosquitto 2.0.11 says no and then breaks the connection all the same. The device need not
        // care, but what it says meanwhile goes into the spool.
        gateway.wait_for_broker(times);
        assert_eq!(device.publish(closed, qos, "x"), ReturnCode::NOT_SUPPORTED);
        assert_eq!(device.publish(open, qos, "x"), ReturnCode::ACCEPTED);
    }
    gateway.log.wait_for(&["refused PUBLISH", "\"meter\"", "the broker refused the message"]);
    assert!(!device.dismissed);
    assert_eq!(gateway.terminate(), 0);
}
