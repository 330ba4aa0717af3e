//! The broker goes away and comes back.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::{persistent, rig, wait_for_mosquitto};
use crate::rig::{
    Device, Gateway, Listener, Upstream, configuration, heard, keep_for, mosquitto, with_mosquitto,
};

with_mosquitto!(
    devices_stay_and_what_they_say_is_kept,
    a_broker_that_forgets_is_told_again,
    nobody_new_is_let_in_while_the_broker_is_away,
    what_a_device_left_behind_is_delivered_under_its_id,
);

fn devices_stay_and_what_they_say_is_kept(upstream: Upstream) {
    let mut rig = rig(upstream);
    keep_for(rig.broker(), "audience", "readings/#");
    let mut device = persistent(&rig, "n1");
    device.subscribe_to("commands/n1", Qos::Two);
    let mut sleeper = persistent(&rig, "n2");
    sleeper.subscribe_to("commands/n2", Qos::One);
    sleeper.sleep(600);
    let topic = device.register("readings/n1").unwrap();
    rig.mosquitto().stop();
    // All at one QoS: mosquitto passes QoS 2 on when it is released, and QoS 1 at once.
    for number in 0..10 {
        let qos = if upstream == Upstream::Mqtt5 { Qos::One } else { Qos::Two };
        assert_eq!(device.publish(topic, qos, &number.to_string()), ReturnCode::ACCEPTED);
    }
    // It wakes, and finds the gateway as it was.
    assert_eq!(sleeper.collect("n2"), []);
    assert_eq!(sleeper.connect_with("n2", false, 60), ReturnCode::ACCEPTED);
    rig.mosquitto().restart();
    let world = Listener::with(rig.broker(), &["readings/#"], &["-c", "-i", "audience"]);
    let all: Vec<String> = world.take(10).into_iter().map(|heard| heard.payload).collect();
    assert_eq!(all, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    rig.publish("commands/n1", "to n1", 2);
    rig.publish("commands/n2", "to n2", 1);
    assert_eq!(device.receive().payload, "to n1");
    assert_eq!(sleeper.receive().payload, "to n2");
    rig.stop();
}

fn a_broker_that_forgets_is_told_again(upstream: Upstream) {
    let version = if upstream == Upstream::Mqtt5 { "5" } else { "3.1.1" };
    let mut mosquitto = mosquitto("persistence false");
    let url = format!("mqtt://{}", mosquitto.address());
    let lines = format!("mode = \"transparent\"\nversion = \"{version}\"");
    let gateway = Gateway::start(&configuration(&url, &lines, ""));
    gateway.wait_for_broker(1);
    let link = gateway.link();
    let mut clean = Device::connected(link, "clean");
    clean.subscribe_to("commands/clean", Qos::One);
    let mut kept = Device::new(link);
    assert_eq!(kept.connect_with("kept", false, 60), ReturnCode::ACCEPTED);
    kept.subscribe_to("commands/kept", Qos::Two);
    mosquitto.kill();
    mosquitto.restart();
    for (device, topic) in [(&mut clean, "commands/clean"), (&mut kept, "commands/kept")] {
        // Until the gateway has made the subscription again there is nobody to hear it.
        while device.inbox().is_empty() {
            crate::rig::publish(mosquitto.address(), topic, "again", 1);
            device.ping();
        }
    }
}

fn nobody_new_is_let_in_while_the_broker_is_away(upstream: Upstream) {
    let mut rig = rig(upstream);
    let _known = rig.device("known");
    rig.mosquitto().stop();
    rig.gateway.log.wait_for(&["WARN", "broker"]);
    let mut late = Device::new(rig.gateway.link());
    assert_eq!(late.connect("late"), ReturnCode::CONGESTION);
    rig.mosquitto().restart();
    while late.connect("late") != ReturnCode::ACCEPTED {}
    rig.stop();
}

fn what_a_device_left_behind_is_delivered_under_its_id(upstream: Upstream) {
    let mut rig = rig(upstream);
    keep_for(rig.broker(), "audience", "readings/#");
    let mut device = rig.device("n1");
    wait_for_mosquitto(&mut rig, " as n1 (");
    let topic = device.register("readings/n1").unwrap();
    rig.mosquitto().stop();
    assert_eq!(device.publish(topic, Qos::Two, "last words"), ReturnCode::ACCEPTED);
    device.disconnect();
    rig.gateway.kill();
    rig.mosquitto().restart();
    let before = rig.mosquitto().log().matches(" as n1 (").count();
    rig.gateway.restart_and_wait();
    let world = Listener::with(rig.broker(), &["readings/#"], &["-c", "-i", "audience"]);
    assert_eq!(world.take(1), [heard("readings/n1", "last words", 2)]);
    wait_for_mosquitto(&mut rig, "Client n1 disconnected.");
    let after = rig.mosquitto().log().matches(" as n1 (").count();
    assert_eq!(after, before + 1, "once, for what was owed, and no more");
    rig.stop();
}
