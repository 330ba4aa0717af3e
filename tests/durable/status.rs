//! What the gateway says of itself every minute.

use mqtt_sn_gateway::codec::Qos;
use mqtt_sn_gateway::core::upstream::MqttQos;
use serde_json::{Value, json};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{Packet, Publish};
use crate::trouble::told;

fn stats(world: &mut World) -> Vec<(Publish, Value)> {
    let sent = world.sent().into_iter().filter_map(|packet| match packet {
        Packet::Publish(publish) if publish.topic == "mqtt-sn-gateway/gateway/stats" => {
            let json = serde_json::from_slice(&publish.payload).expect("JSON");
            Some((publish, json))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn the_gateway_says_every_minute_how_it_is_doing() {
    let mut world = told();
    world.broker_up(false);
    let (one, two) = (device(1), device(2));
    world.resume(&one, "n1");
    world.resume(&two, "n2");
    let id = world.register(&one, 1, "a/b");
    world.send(&one, publish_to(id, Qos::Zero, 0, b"x"));
    world.send(&two, doze(600));
    world.flush();
    world.sent();
    world.pass(seconds(60));
    let said = stats(&mut world);
    let [(publish, json)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((publish.retain, publish.qos), (false, MqttQos::One as u8));
    assert_eq!(
        json["clients"],
        json!({ "total": 2, "connected": 1, "asleep": 1, "connecting": 0, "gone": 0 })
    );
    assert_eq!(json["messages"], json!({ "received": 1, "sent": 0 }));
    assert_eq!(json["waiting"], json!({ "messages": 0, "bytes": 0 }));
    assert_eq!(json["dropped"], json!({ "malformed": 0, "packets": 0, "messages": 0 }));
    assert_eq!((&json["uptime"], &json["spooled_bytes"]), (&json!(60), &json!(0)));
    // Not while nobody is there to hear it.
    world.broker_down();
    world.pass(seconds(300));
    assert!(stats(&mut world).is_empty());
    world.broker_up(true);
    world.pass(seconds(61));
    assert!(!stats(&mut world).is_empty());
}
