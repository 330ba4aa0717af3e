//! Wills: the broker has them, and publishes them when it should.

use mqtt_sn_gateway::codec::{Message, ReturnCode};

use super::{rig, willed};
use crate::rig::{Upstream, with_mosquitto};

with_mosquitto!(
    the_broker_publishes_the_will_of_a_lost_device_alone,
    a_will_that_was_changed_is_the_one_that_is_published,
    a_device_lost_while_the_broker_is_away_has_its_will_published,
    the_end_of_the_gateway_in_order_publishes_no_will,
    the_gateways_violent_end_publishes_all_wills,
);

fn the_broker_publishes_the_will_of_a_lost_device_alone(upstream: Upstream) {
    let rig = rig(upstream);
    let world = rig.listener(&["wills/#"]);
    let mut polite = willed(&rig, "polite", true, 60);
    polite.disconnect();
    let mut kept = willed(&rig, "kept", false, 60);
    kept.disconnect();
    let mut sleeper = willed(&rig, "sleeper", false, 60);
    sleeper.sleep(600);
    let _silent = willed(&rig, "silent", true, 1);
    assert_eq!(world.take(1)[0].payload, "silent");
    rig.gateway.log.wait_for(&["client \"silent\" is lost"]);
    rig.publish("wills/end", "end", 1);
    assert_eq!(world.until("end").len(), 1, "nobody else's will");
    // The sleeper has heard nothing of all this.
    assert_eq!(sleeper.collect("sleeper"), []);
    rig.stop();
}

fn a_will_that_was_changed_is_the_one_that_is_published(upstream: Upstream) {
    let rig = rig(upstream);
    let world = rig.listener(&["wills/#", "readings/#"]);
    let mut device = willed(&rig, "n1", true, 3);
    device.ask("WILLMSGRESP", &Message::WillMsgUpd { message: b"changed" }, |message| {
        matches!(message, Message::WillMsgResp { code: ReturnCode::ACCEPTED }).then_some(())
    });
    // It goes on as before, by another connection.
    let topic = device.register("readings/n1").unwrap();
    assert_eq!(
        device.publish(topic, mqtt_sn_gateway::codec::Qos::One, "reading"),
        ReturnCode::ACCEPTED
    );
    assert_eq!(world.until("reading"), [], "to connect again is not to be lost");
    let all = world.take(2);
    assert_eq!((&*all[1].topic, &*all[1].payload), ("wills/n1", "changed"));
    rig.stop();
}

fn a_device_lost_while_the_broker_is_away_has_its_will_published(upstream: Upstream) {
    let mut rig = rig(upstream);
    let _device = willed(&rig, "n1", true, 2);
    let mut other = willed(&rig, "n2", true, 60);
    // Killed, it publishes nothing itself, and remembers nothing.
    rig.mosquitto().kill();
    rig.gateway.log.wait_for(&["client \"n1\" is lost"]);
    rig.mosquitto().restart();
    let late = rig.listener(&["wills/#"]);
    assert_eq!(late.take(1)[0].payload, "n1");
    other.ping();
    rig.publish("wills/end", "end", 1);
    assert_eq!(late.until("end").len(), 1);
    rig.stop();
}

fn the_end_of_the_gateway_in_order_publishes_no_will(upstream: Upstream) {
    let mut rig = rig(upstream);
    let world = rig.listener(&["wills/#"]);
    let mut devices: Vec<_> =
        (0..20).map(|number| willed(&rig, &format!("n{number}"), number % 2 == 0, 60)).collect();
    devices[0].sleep(600);
    assert_eq!(rig.gateway.terminate(), 0);
    rig.gateway.log.wait_for(&["INFO stopped"]);
    rig.publish("wills/end", "end", 1);
    assert_eq!(world.until("end"), []);
}

fn the_gateways_violent_end_publishes_all_wills(upstream: Upstream) {
    let mut rig = rig(upstream);
    let world = rig.listener(&["wills/#"]);
    let _awake = willed(&rig, "awake", true, 60);
    let mut asleep = willed(&rig, "asleep", false, 60);
    asleep.sleep(600);
    rig.gateway.kill();
    let mut wills: Vec<String> = world.take(2).into_iter().map(|heard| heard.payload).collect();
    wills.sort();
    assert_eq!(wills, ["asleep", "awake"]);
}
