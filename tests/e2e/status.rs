//! What a broker knows of the devices from the gateway's own topics.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};
use serde_json::Value;

use crate::rig::{Device, Listener, Rig, Upstream, with_every_broker};

with_every_broker!(
    a_broker_is_told_how_devices_are,
    devices_are_told_anew_to_a_broker_that_is_back
);

/// The last that is known of a device, once it is in a state.
fn last(world: &Listener, level: &str, state: &str) -> Value {
    let topic = format!("mqtt-sn-gateway/e2e/clients/{level}");
    world.wait(&format!("{level} is {state}"), |all| {
        let last = all.iter().rev().find(|heard| heard.topic == topic)?;
        let json: Value = serde_json::from_str(&last.payload).ok()?;
        (json["state"] == state).then_some(json)
    })
}

fn a_broker_is_told_how_devices_are(upstream: Upstream) {
    let rig = Rig::start(upstream, "topic_prefix = \"site/\"", "");
    let world = rig.listener(&["mqtt-sn-gateway/e2e/clients/#"]);
    let link = rig.gateway.link();
    let mut one = Device::new(link);
    assert_eq!(one.connect_with("a/b+#%é", false, 60), ReturnCode::ACCEPTED);
    one.subscribe_to("x", Qos::One);
    let level = "a%2Fb%2B%23%25é";
    let active = last(&world, level, "active");
    assert_eq!(active["address"], one.address().to_string());
    // As the configuration has it.
    assert_eq!(active["link"], "udp 127.0.0.1:0");
    assert_eq!((&active["rssi"], &active["sleep_until"]), (&Value::Null, &Value::Null));
    assert!(active["since"].as_str().unwrap().ends_with('Z'));
    one.sleep(60);
    let asleep = last(&world, level, "asleep");
    assert!(asleep["sleep_until"].as_str() > asleep["since"].as_str(), "{asleep}");
    one.connect_with("a/b+#%é", false, 60);
    one.disconnect();
    let gone = last(&world, level, "disconnected");
    assert_eq!((&gone["address"], &gone["link"]), (&Value::Null, &Value::Null));
    let mut silent = Device::new(link);
    assert_eq!(silent.connect_with("silent", true, 1), ReturnCode::ACCEPTED);
    last(&world, "silent", "lost");
    // Retained, for those who ask later.
    let late = rig.listener(&["mqtt-sn-gateway/e2e/clients/#"]);
    assert!(late.take(2).iter().all(|heard| heard.retain));
    last(&late, level, "disconnected");
    last(&late, "silent", "lost");
    rig.stop();
}

fn devices_are_told_anew_to_a_broker_that_is_back(upstream: Upstream) {
    if upstream == Upstream::BuiltIn {
        // It goes with the gateway.
        return;
    }
    let mut rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["mqtt-sn-gateway/e2e/clients/#"]);
    let mut one = rig.device("n1");
    let mut two = rig.device("n2");
    last(&world, "n1", "active");
    last(&world, "n2", "active");
    drop(world);
    // What it retains is not on its disk.
    rig.mosquitto().kill();
    one.disconnect();
    rig.mosquitto().restart();
    two.ping();
    rig.gateway.wait_for_broker(2);
    let world = rig.listener(&["mqtt-sn-gateway/e2e/clients/#"]);
    last(&world, "n1", "disconnected");
    last(&world, "n2", "active");
    rig.stop();
}
