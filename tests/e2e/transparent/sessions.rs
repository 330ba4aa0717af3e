//! Sessions: what the broker keeps for a device, and what the gateway does.

use mqtt_sn_gateway::codec::{Qos, ReturnCode, SubscribeTopic};

use super::{persistent, rig, wait_for_mosquitto};
use crate::rig::{
    Device, Gateway, Upstream, configuration, heard, mosquitto, publish_lines, received,
    steady_configuration, with_mosquitto,
};

with_mosquitto!(
    a_device_is_a_client_of_the_broker_under_its_own_id,
    what_came_while_a_device_was_gone_waits_at_the_broker,
    a_clean_connect_leaves_nothing_of_the_session_at_the_broker,
    a_sleeper_gets_everything_once_and_in_order,
    devices_go_on_after_kill_9_of_the_gateway,
    two_hundred_devices_at_once,
);

fn a_device_is_a_client_of_the_broker_under_its_own_id(upstream: Upstream) {
    let mut rig = rig(upstream);
    let world = rig.listener(&["readings/#"]);
    let mut device = rig.device("boiler-7");
    wait_for_mosquitto(&mut rig, " as boiler-7 (");
    for (qos, number) in [(Qos::Zero, 0), (Qos::One, 1), (Qos::Two, 2)] {
        let topic = device.register(&format!("readings/{number}")).unwrap();
        assert_eq!(device.publish(topic, qos, "x"), ReturnCode::ACCEPTED);
        device.subscribe_to(&format!("commands/{number}"), qos);
        rig.publish(&format!("commands/{number}"), "y", number);
        assert_eq!(device.receive(), received(&format!("commands/{number}"), "y", qos));
    }
    let all = world.take(3);
    assert_eq!(all, [0, 1, 2].map(|qos| heard(&format!("readings/{qos}"), "x", qos)));
    device.unsubscribe(SubscribeTopic::Name(b"commands/1"));
    device.disconnect();
    wait_for_mosquitto(&mut rig, "Client boiler-7 disconnected.");
    rig.stop();
}

fn what_came_while_a_device_was_gone_waits_at_the_broker(upstream: Upstream) {
    let mut rig = rig(upstream);
    let mut device = persistent(&rig, "n1");
    device.subscribe_to("commands/#", Qos::Two);
    device.disconnect();
    wait_for_mosquitto(&mut rig, "Client n1 disconnected.");
    for qos in [1, 2] {
        let lines: Vec<String> = (0..50).map(|number| format!("{qos}-{number}")).collect();
        publish_lines(rig.broker(), &format!("commands/{qos}"), &lines, qos);
    }
    assert_eq!(device.connect_with("n1", false, 60), ReturnCode::ACCEPTED);
    let all: Vec<String> = (0..100).map(|_| device.receive().payload).collect();
    let wanted = [1, 2].map(|qos| (0..50).map(move |number| format!("{qos}-{number}")));
    assert_eq!(all, wanted.into_iter().flatten().collect::<Vec<_>>());
    device.ping();
    assert_eq!(device.inbox(), []);
    rig.stop();
}

fn a_clean_connect_leaves_nothing_of_the_session_at_the_broker(upstream: Upstream) {
    let mut rig = rig(upstream);
    let mut device = persistent(&rig, "n1");
    device.subscribe_to("commands/#", Qos::One);
    device.disconnect();
    wait_for_mosquitto(&mut rig, "Client n1 disconnected.");
    rig.publish("commands/old", "old", 1);
    assert_eq!(device.connect("n1"), ReturnCode::ACCEPTED);
    device.disconnect();
    assert_eq!(device.connect_with("n1", false, 60), ReturnCode::ACCEPTED);
    rig.publish("commands/old", "old", 1);
    device.subscribe_to("commands/new", Qos::One);
    rig.publish("commands/new", "new", 1);
    assert_eq!(device.receive_until("new"), []);
    rig.stop();
}

fn a_sleeper_gets_everything_once_and_in_order(upstream: Upstream) {
    let rig = rig(upstream);
    let mut device = persistent(&rig, "n1");
    device.subscribe_to("commands/#", Qos::Two);
    for round in 0..3 {
        device.sleep(600);
        // More than the broker is made to wait for, and more than its window.
        for qos in [1, 2] {
            let lines: Vec<String> = (0..30).map(|n| format!("{round}-{qos}-{n}")).collect();
            publish_lines(rig.broker(), &format!("commands/{qos}"), &lines, qos);
        }
        let mut all = Vec::new();
        while all.len() < 60 {
            all.extend(device.collect("n1").into_iter().map(|received| received.payload));
        }
        let lines = |qos| (0..30).map(move |n| format!("{round}-{qos}-{n}"));
        assert_eq!(all, lines(1).chain(lines(2)).collect::<Vec<_>>());
    }
    rig.stop();
}

fn devices_go_on_after_kill_9_of_the_gateway(upstream: Upstream) {
    let version = if upstream == Upstream::Mqtt5 { "5" } else { "3.1.1" };
    let mosquitto = mosquitto("");
    let (broker, url) = (mosquitto.address(), format!("mqtt://{}", mosquitto.address()));
    let lines = format!("mode = \"transparent\"\nversion = \"{version}\"");
    let gateway = Gateway::start(&steady_configuration(&url, &lines, ""));
    gateway.wait_for_broker(1);
    let world = crate::rig::Listener::start(broker, &["readings/#"]);
    let link = gateway.link();
    let mut gateway = gateway;
    let mut awake = Device::connected(link, "awake");
    awake.subscribe_to("commands/awake", Qos::One);
    let topic = awake.register("readings/awake").unwrap();
    let mut asleep = Device::new(link);
    assert_eq!(asleep.connect_with("asleep", false, 60), ReturnCode::ACCEPTED);
    asleep.subscribe_to("commands/asleep", Qos::Two);
    let mut gone = Device::new(link);
    assert_eq!(gone.connect_with("gone", false, 60), ReturnCode::ACCEPTED);
    gone.subscribe_to("commands/gone", Qos::One);
    gone.disconnect();
    asleep.sleep(600);
    let batch = |from: u32| (from..from + 20).map(|n| n.to_string()).collect::<Vec<_>>();
    publish_lines(broker, "commands/asleep", &batch(0), 2);
    gateway.kill();
    publish_lines(broker, "commands/asleep", &batch(20), 2);
    publish_lines(broker, "commands/gone", &batch(0), 1);
    gateway.restart_and_wait();
    // Nobody has to connect again who was connected.
    assert_eq!(awake.publish(topic, Qos::Two, "on"), ReturnCode::ACCEPTED);
    assert_eq!(world.take(1), [heard("readings/awake", "on", 2)]);
    let mut all = Vec::new();
    while all.len() < 40 {
        all.extend(asleep.collect("asleep").into_iter().map(|received| received.payload));
    }
    assert_eq!(all, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(gone.connect_with("gone", false, 60), ReturnCode::ACCEPTED);
    let all: Vec<String> = (0..20).map(|_| gone.receive().payload).collect();
    assert_eq!(all, batch(0));
    // The subscription of the one whose session is clean was made again, sooner or later.
    while awake.inbox().is_empty() {
        crate::rig::publish(broker, "commands/awake", "come in", 1);
        awake.ping();
    }
    assert_eq!(gateway.terminate(), 0);
}

fn two_hundred_devices_at_once(upstream: Upstream) {
    use mqtt_sn_gateway::codec::Message;
    let rig = rig(upstream);
    let world = rig.listener(&["readings/#"]);
    let link = rig.gateway.link();
    let ids: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let mut devices: Vec<Device> = ids.iter().map(|_| Device::new(link)).collect();
    for (device, id) in devices.iter_mut().zip(&ids) {
        device.send(&Message::Connect(crate::rig::connect_packet(id, true, 600, false)));
    }
    for (device, id) in devices.iter_mut().zip(&ids) {
        assert_eq!(device.connect_with(id, true, 600), ReturnCode::ACCEPTED);
        device.subscribe_to(&format!("commands/{id}"), Qos::One);
    }
    for (device, id) in devices.iter_mut().zip(&ids) {
        let topic = device.register(&format!("readings/{id}")).unwrap();
        assert_eq!(device.publish(topic, Qos::One, id), ReturnCode::ACCEPTED);
    }
    let mut all: Vec<String> = world.take(200).into_iter().map(|heard| heard.payload).collect();
    all.sort();
    let mut wanted = ids.clone();
    wanted.sort();
    assert_eq!(all, wanted);
    for id in &ids[..20] {
        rig.publish(&format!("commands/{id}"), id, 1);
    }
    for (device, id) in devices.iter_mut().zip(&ids).take(20) {
        assert_eq!(&device.receive().payload, id);
    }
    rig.stop();
}

/// The gateway logs in as itself, and the broker's rules see who the device is.
#[test]
fn the_brokers_rules_are_about_the_device() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", passwords.to_str().unwrap(), "gateway", "secret"])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd");
    let rules = directory.path().join("rules");
    let own = "mqtt-sn-gateway/e2e/#";
    let text = format!(
        "topic readwrite #\nuser gateway\ntopic readwrite {own}\npattern write devices/%c/#\n"
    );
    std::fs::write(&rules, text).unwrap();
    let (passwords, rules) = (passwords.display(), rules.display());
    let mosquitto =
        mosquitto(&format!("allow_anonymous true\npassword_file {passwords}\nacl_file {rules}"));
    let url = format!("mqtt://{}", mosquitto.address());
    let lines =
        "mode = \"transparent\"\nversion = \"5\"\nusername = \"gateway\"\npassword = \"secret\"";
    let gateway = Gateway::start(&configuration(&url, lines, ""));
    gateway.wait_for_broker(1);
    let world = crate::rig::Listener::start(mosquitto.address(), &["devices/#"]);
    let mut device = Device::connected(gateway.link(), "n1");
    let mine = device.register("devices/n1/reading").unwrap();
    let another = device.register("devices/n2/reading").unwrap();
    assert_eq!(device.publish(another, Qos::One, "lie"), ReturnCode::NOT_SUPPORTED);
    assert_eq!(device.publish(mine, Qos::One, "truth"), ReturnCode::ACCEPTED);
    assert_eq!(world.take(1), [heard("devices/n1/reading", "truth", 1)]);
}

#[test]
fn a_login_that_the_broker_does_not_know_is_not_supported() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    std::fs::write(&passwords, "").unwrap();
    let mosquitto =
        mosquitto(&format!("allow_anonymous false\npassword_file {}", passwords.display()));
    let url = format!("mqtt://{}", mosquitto.address());
    let lines = "mode = \"transparent\"\nusername = \"nobody\"\npassword = \"x\"";
    let gateway = Gateway::start(&configuration(&url, lines, ""));
    let mut device = Device::new(gateway.link());
    assert_eq!(device.connect("n1"), ReturnCode::NOT_SUPPORTED);
    gateway.log.wait_for(&["client \"n1\"", "check username and password"]);
}

#[test]
fn two_hundred_devices_with_the_built_in_broker() {
    two_hundred_devices_at_once(Upstream::BuiltIn);
}
