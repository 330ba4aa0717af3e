//! What Home Assistant finds at the broker.

use serde_json::Value;

use crate::rig::{Device, Listener, Rig, Upstream, with_every_broker};

with_every_broker!(gateway_and_devices_are_found);

const RULE: &str = "
[home_assistant]
enabled = true
prefix = \"ha\"

[[client]]
id = \"meter-*\"

[client.home_assistant]
name = \"Meter %c\"

[[client.home_assistant.entity]]
key = \"t\"
topic = \"meters/%c/t\"
unit = \"°C\"
";

/// The description of a device, or nothing once it is taken away.
fn described(world: &Listener, id: &str, fits: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let topic = format!("ha/device/mqtt_sn_gateway__e2e{id}/config");
    world.wait(&topic, |all| {
        let last = all.iter().rev().find(|heard| heard.topic == topic)?;
        let json: Option<Value> = serde_json::from_str(&last.payload).ok();
        fits(json.as_ref()).then_some(json)
    })
}

fn gateway_and_devices_are_found(upstream: Upstream) {
    let rig = Rig::start(upstream, "", RULE);
    let world = rig.listener(&["ha/#"]);
    let link = rig.gateway.link();
    let gateway = described(&world, "", |json| json.is_some()).unwrap();
    assert_eq!(gateway["availability"][0]["topic"], "mqtt-sn-gateway/e2e/status");
    let mut meter = Device::connected(link, "meter-1");
    let mut other = Device::connected(link, "other");
    let found = described(&world, "__meter-1", |json| json.is_some()).unwrap();
    assert_eq!(found["device"]["name"], "Meter meter-1");
    assert_eq!(found["device"]["via_device"], gateway["device"]["identifiers"][0]);
    assert_eq!(found["availability"][1]["topic"], "mqtt-sn-gateway/e2e/clients/meter-1");
    assert_eq!(found["components"]["t"]["state_topic"], "meters/meter-1/t");
    // Retained, for Home Assistant starts later.
    let late = rig.listener(&["ha/#"]);
    assert!(late.take(2).iter().all(|heard| heard.retain));
    // Other rules, another device.
    rig.gateway.rewrite(|text| text.replace("Meter %c", "Zähler %c"));
    rig.gateway.hang_up();
    described(&world, "__meter-1", |json| {
        json.is_some_and(|json| json["device"]["name"] == "Zähler meter-1")
    });
    rig.gateway.rewrite(|text| text.replace("meter-*", "motor-*"));
    rig.gateway.hang_up();
    assert_eq!(described(&world, "__meter-1", |json| json.is_none()), None);
    meter.ping();
    other.ping();
    rig.stop();
    assert!(world.take(4).iter().all(|heard| !heard.topic.contains("other")));
}
