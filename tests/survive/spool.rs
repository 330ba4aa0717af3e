//! The broker is away, and devices need not care: the spool has what they say.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use mqtt_sn_gateway::codec::{PublishTopic, Qos, ReturnCode};

use crate::proxy::{Cut, Network, Proxy};
use crate::rig::{
    Device, Gateway, Heard, Listener, free_tcp_port, mosquitto, publish, steady_configuration,
};
use crate::support::mosquitto::Mosquitto;

/// Order is to be seen, so the world has to listen all the time; what is away is the network.
struct Bench {
    gateway: Gateway,
    proxy: Proxy,
    world: Listener,
    _broker: Mosquitto,
}

impl Bench {
    #[track_caller]
    fn new(connection: &str, rest: &str) -> Self {
        let broker = mosquitto("");
        let world = Listener::start(broker.address(), &["up/#"]);
        let proxy = Proxy::start(broker.address(), None);
        let gateway = Gateway::start(&steady_configuration(&proxy.url(), connection, rest));
        gateway.wait_for_broker(1);
        Self { gateway, proxy, world, _broker: broker }
    }

    #[track_caller]
    fn away(&self) {
        let lost = self.gateway.log.count("lost the connection");
        self.proxy.set(Network::Closed);
        self.proxy.cut(Cut::Reset);
        self.gateway.log.wait("the loss to be noticed", |lines| {
            let now = lines.iter().filter(|line| line.contains("lost the connection")).count();
            (now > lost).then_some(())
        });
    }

    /// The network is back, and the gateway has noticed.
    #[track_caller]
    fn back(&self, network: Network) {
        let connected = self.gateway.log.count(CONNECTED);
        self.proxy.set(network);
        self.gateway.log.wait("the broker to be found again", |lines| {
            let now = lines.iter().filter(|line| line.contains(CONNECTED)).count();
            (now > connected).then_some(())
        });
    }
}

const CONNECTED: &str = "INFO connected to ";

/// A device and its topic.
struct Sensor {
    name: String,
    device: Device,
    topic: PublishTopic,
    accepted: Vec<String>,
    number: u32,
}

impl Sensor {
    #[track_caller]
    fn new(gateway: &Gateway, name: &str) -> Self {
        let mut device = Device::connected(gateway.link(), name);
        let topic = device.register(&format!("up/{name}")).unwrap();
        Self { name: name.to_owned(), device, topic, accepted: Vec::new(), number: 0 }
    }

    #[track_caller]
    fn publish(&mut self, qos: Qos) -> ReturnCode {
        self.number += 1;
        let payload = format!("{} {qos:?} {} {}", self.name, self.number, "x".repeat(100));
        let code = self.device.publish(self.topic, qos, &payload);
        if code == ReturnCode::ACCEPTED {
            self.accepted.push(payload);
        }
        code
    }
}

/// Waits until all that was accepted has come, and sees that it came in order (of those of one QoS:
/// a broker passes on QoS 2 a step later), and QoS 2 once.
#[track_caller]
fn settle(world: &Listener, sensors: &[&Sensor]) {
    let heard = world.wait("all that was accepted", |heard| {
        let payloads: Vec<_> = heard.iter().map(|heard| &heard.payload).collect();
        let mut accepted = sensors.iter().flat_map(|sensor| &sensor.accepted);
        accepted.all(|payload| payloads.contains(&payload)).then(|| heard.to_vec())
    });
    let mut copies: BTreeMap<&str, u32> = BTreeMap::new();
    let mut first: Vec<&str> = Vec::new();
    for Heard { payload, .. } in &heard {
        let copies = copies.entry(payload).or_default();
        *copies += 1;
        if *copies == 1 {
            first.push(payload);
        }
    }
    for sensor in sensors {
        for qos in ["One", "Two"] {
            let flow = format!("{} {qos} ", sensor.name);
            let came: Vec<_> = first.iter().filter(|payload| payload.starts_with(&flow)).collect();
            let said: Vec<_> =
                sensor.accepted.iter().filter(|payload| payload.starts_with(&flow)).collect();
            assert_eq!(came.len(), said.len(), "{flow}");
            for (came, said) in came.into_iter().zip(said) {
                assert_eq!(came, said, "{flow}: out of order");
            }
        }
        assert!(!sensor.device.dismissed, "{}", sensor.name);
    }
    let twice = copies.iter().find(|(payload, copies)| payload.contains(" Two ") && **copies > 1);
    assert_eq!(twice, None, "QoS 2 and more than once");
    println!("{} messages heard, {} different", heard.len(), first.len());
}

/// Acknowledged at once, kept through kill -9, delivered in order.
#[test]
fn kept_and_delivered_in_order() {
    let mut bench = Bench::new("", "");
    let mut sensors: Vec<_> =
        ["a", "b", "c"].into_iter().map(|name| Sensor::new(&bench.gateway, name)).collect();
    for round in 0..3 {
        bench.away();
        for number in 0..30 {
            for sensor in &mut sensors {
                let qos = if number % 2 == 0 { Qos::One } else { Qos::Two };
                assert_eq!(sensor.publish(qos), ReturnCode::ACCEPTED, "from the spool");
            }
            if round > 0 && number % 10 == 5 {
                bench.gateway.kill();
                bench.gateway.restart_and_wait();
            }
        }
        bench.back(Network::Whole);
        if round == 2 {
            // Once more while it is being emptied.
            bench.gateway.kill();
            bench.gateway.restart_and_wait();
        }
        for sensor in &mut sensors {
            assert_eq!(sensor.publish(Qos::One), ReturnCode::ACCEPTED);
        }
    }
    settle(&bench.world, &sensors.iter().collect::<Vec<_>>());
}

/// A spool has an end, and says so.
#[test]
fn full_and_congested() {
    let mut bench = Bench::new("", "[upstream.spool]\nmax_bytes = \"64KiB\"\n");
    let mut sensors = [Sensor::new(&bench.gateway, "a"), Sensor::new(&bench.gateway, "b")];
    for _ in 0..2 {
        bench.away();
        for qos in [Qos::One, Qos::Two] {
            for sensor in &mut sensors {
                let mut codes = std::iter::repeat_with(|| sensor.publish(qos)).take(2_000);
                assert!(codes.any(|code| code == ReturnCode::CONGESTION), "never full");
            }
        }
        assert!(sensors[0].accepted.len() > 20, "the spool holds more than that");
        bench.gateway.log.wait_for(&["WARN", "spool"]);
        // The limit holds for the next process too.
        bench.gateway.kill();
        bench.gateway.restart_and_wait();
        assert_eq!(sensors[1].publish(Qos::One), ReturnCode::CONGESTION);
        bench.back(Network::Whole);
        for sensor in &mut sensors {
            let mut codes = std::iter::repeat_with(|| sensor.publish(Qos::Two)).take(2_000);
            assert!(codes.any(|code| code == ReturnCode::ACCEPTED), "congested for ever");
        }
    }
    settle(&bench.world, &sensors.iter().collect::<Vec<_>>());
}

#[test]
fn qos_0_as_configured() {
    for (qos0, kept) in [("drop", false), ("keep", true)] {
        let bench = Bench::new("", &format!("[upstream.spool]\nqos0 = \"{qos0}\"\n"));
        let mut sensor = Sensor::new(&bench.gateway, "a");
        bench.away();
        sensor.publish(Qos::Zero);
        assert_eq!(sensor.publish(Qos::One), ReturnCode::ACCEPTED);
        bench.back(Network::Whole);
        let last = sensor.accepted.last().unwrap().clone();
        let before = bench.world.until(&last);
        assert_eq!(before.len(), usize::from(kept), "{qos0}: {before:?}");
    }
}

/// A device that speaks now is heard before everything is that others have said long ago.
#[test]
fn live_traffic_while_it_is_emptied() {
    let bench = Bench::new("", "");
    let mut hoarder = Sensor::new(&bench.gateway, "hoarder");
    let mut live = Sensor::new(&bench.gateway, "live");
    bench.away();
    for _ in 0..1_000 {
        assert_eq!(hoarder.publish(Qos::One), ReturnCode::ACCEPTED);
    }
    // Some seconds' worth of work.
    bench.back(Network::Slow(40_000));
    assert_eq!(live.publish(Qos::One), ReturnCode::ACCEPTED);
    let mine = live.accepted[0].clone();
    let before = bench.world.until(&mine);
    println!("{} of {} old messages came first", before.len(), hoarder.accepted.len());
    assert!(before.len() < hoarder.accepted.len(), "it had to wait for all of them");
    bench.proxy.set(Network::Whole);
    settle(&bench.world, &[&hoarder, &live]);
}

/// The addresses are tried in order, and one that takes the connection and then says nothing is as
/// good as none.
#[test]
fn several_addresses() {
    let mut first = mosquitto("");
    let mut second = mosquitto("");
    let silent = Proxy::start(first.address(), None);
    silent.set(Network::Stalled);
    let closed = format!("mqtt://127.0.0.1:{}", free_tcp_port());
    let list = [closed, silent.url(), format!("mqtt://{}", second.address())].join("\", \"");
    let connection = "connect_timeout = \"500ms\"\nkeep_alive = \"1s\"";
    let mut gateway = Gateway::start(
        &steady_configuration(&list, connection, "")
            .replace(&format!("url = \"{list}\""), &format!("url = [\"{list}\"]")),
    );
    gateway.log.wait_for(&["INFO connected to", &second.address().to_string()]);
    let mut sensor = Sensor::new(&gateway, "a");
    sensor.device.subscribe_to("down/a", Qos::Two);
    let world = Listener::start(second.address(), &["up/#"]);
    assert_eq!(sensor.publish(Qos::Two), ReturnCode::ACCEPTED);
    settle(&world, &[&sensor]);
    drop(world);

    // The second dies; the first speaks again, and knows nothing of us.
    let world = Listener::start(first.address(), &["up/#"]);
    second.kill();
    gateway.log.wait_for(&["lost the connection"]);
    sensor.accepted.clear();
    for qos in [Qos::One, Qos::Two] {
        assert_eq!(sensor.publish(qos), ReturnCode::ACCEPTED, "from the spool");
    }
    gateway.kill();
    gateway.restart_and_wait();
    silent.set(Network::Whole);
    gateway.wait_for_broker(1);
    assert_eq!(sensor.publish(Qos::Two), ReturnCode::ACCEPTED);
    // Its subscription is made there; when, is the gateway's business.
    for number in 0.. {
        assert!(number < 300, "the subscription was not made");
        publish(first.address(), "down/a", "hello", 2);
        sensor.device.ping();
        if !sensor.device.inbox().is_empty() {
            break;
        }
    }
    settle(&world, &[&sensor]);
    first.stop();
    assert_eq!(gateway.terminate(), 0);
}

/// Half-open: the connection stands, and nobody is there.
#[test]
fn a_broker_that_stalls() {
    let bench = Bench::new("connect_timeout = \"500ms\"\nkeep_alive = \"1s\"", "");
    let mut sensor = Sensor::new(&bench.gateway, "a");
    assert_eq!(sensor.publish(Qos::Two), ReturnCode::ACCEPTED);
    bench.proxy.set(Network::Stalled);
    // From the spool, at the latest when the device has repeated itself.
    for qos in [Qos::One, Qos::Two, Qos::One] {
        assert_eq!(sensor.publish(qos), ReturnCode::ACCEPTED);
    }
    bench.gateway.log.wait_for(&["lost the connection", "silent"]);
    bench.gateway.log.wait_for(&["did not answer CONNECT"]);
    bench.proxy.cut(Cut::Reset);
    bench.back(Network::Whole);
    settle(&bench.world, &[&sensor]);
}

#[test]
fn credentials_that_are_refused_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    let set = |password: &str| {
        let status = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&passwords)
            .args(["gateway", password])
            .stderr(Stdio::null())
            .status()
            .expect("mosquitto_passwd");
        assert!(status.success());
        // mosquitto reads it under another user.
        let mut permissions = fs::metadata(&passwords).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(&passwords, permissions).unwrap();
    };
    set("right");
    // The world comes in by a listener of its own, without a password.
    let port = free_tcp_port();
    let broker = mosquitto(&format!(
        "per_listener_settings true\nallow_anonymous false\npassword_file {}\n\
         listener {port} 127.0.0.1\nallow_anonymous true\n",
        passwords.display()
    ));
    let world = Listener::start(([127, 0, 0, 1], port).into(), &["up/#"]);
    let proxy = Proxy::start(broker.address(), None);
    let login = "username = \"gateway\"\npassword = \"right\"";
    let mut gateway = Gateway::start(&steady_configuration(&proxy.url(), login, ""));
    gateway.wait_for_broker(1);
    let mut sensor = Sensor::new(&gateway, "a");
    assert_eq!(sensor.publish(Qos::Two), ReturnCode::ACCEPTED);
    set("another");
    broker.reload();
    // Whether mosquitto throws out who is in, depends on its version.
    thread::sleep(std::time::Duration::from_millis(300));
    proxy.cut(Cut::Close);
    let line = gateway.log.wait_for(&["WARN", "username and password"]);
    assert!(!line.contains("right"), "the password is nobody's business: {line}");
    for qos in [Qos::One, Qos::Two, Qos::One] {
        assert_eq!(sensor.publish(qos), ReturnCode::ACCEPTED, "from the spool");
    }
    gateway.kill();
    gateway.restart_and_wait();
    set("right");
    broker.reload();
    gateway.wait_for_broker(1);
    settle(&world, &[&sensor]);
    assert_eq!(gateway.terminate(), 0);
}
