//! What the world is told when a device or the gateway itself is gone.

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode, WillTopic};

use crate::rig::{Device, Listener, Rig, Upstream, connect_packet, with_every_broker};

with_every_broker!(
    a_lost_device_has_its_will_published,
    the_status_says_online_and_offline,
    the_status_is_closed_to_devices,
);

#[test]
fn kill_9_over_mqtt_5() {
    the_status_survives_kill_9(Upstream::Mqtt5);
}

#[test]
fn kill_9_over_mqtt_3_1_1() {
    the_status_survives_kill_9(Upstream::Mqtt311);
}

fn a_lost_device_has_its_will_published(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["wills/#"]);
    let link = rig.gateway.link();
    // Says goodbye: no will.
    let mut polite = Device::new(link);
    let will = ("wills/polite", "gone", Qos::One, false);
    assert_eq!(polite.connect_with_will("polite", 1, will), ReturnCode::ACCEPTED);
    polite.disconnect();
    // Changes its will, then falls silent.
    let mut silent = Device::new(link);
    let will = ("wills/old", "old", Qos::Zero, false);
    assert_eq!(silent.connect_with_will("silent", 1, will), ReturnCode::ACCEPTED);
    let topic = WillTopic { qos: Qos::One, retain: true, topic: b"wills/silent" };
    silent.ask("WILLTOPICRESP", &Message::WillTopicUpd(Some(topic)), |message| {
        matches!(message, Message::WillTopicResp { code: ReturnCode::ACCEPTED }).then_some(())
    });
    silent.ask("WILLMSGRESP", &Message::WillMsgUpd { message: b"lost" }, |message| {
        matches!(message, Message::WillMsgResp { code: ReturnCode::ACCEPTED }).then_some(())
    });
    let all = world.take(1);
    assert_eq!((all[0].topic.as_str(), all[0].payload.as_str()), ("wills/silent", "lost"));
    rig.gateway.log.wait_for(&["client \"silent\" is lost", "its will was published"]);
    assert_eq!(rig.gateway.log.count("client \"polite\" is lost"), 0);
    // Retained, for those who ask later.
    let late = rig.listener(&["wills/#"]);
    let kept = late.take(1);
    assert_eq!((kept[0].topic.as_str(), kept[0].payload.as_str()), ("wills/silent", "lost"));
    assert!(kept[0].retain);
    rig.publish("wills/end", "end", 1);
    assert_eq!(world.until("end").len(), 1, "nothing but the one will");
    rig.stop();
}

const STATUS: &str = "mqtt-sn-gateway/e2e/status";

/// What the status topic has said so far.
fn said(world: &Listener, count: usize) -> Vec<String> {
    world.take(count).into_iter().map(|heard| heard.payload).collect()
}

fn the_status_says_online_and_offline(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    let world = rig.listener(&[STATUS]);
    assert_eq!(said(&world, 1), ["online"]);
    assert_eq!(rig.gateway.terminate(), 0);
    if upstream != Upstream::BuiltIn {
        // The built-in broker has gone with the gateway.
        assert_eq!(said(&world, 2), ["online", "offline"]);
        let kept = rig.listener(&[STATUS]).take(1);
        assert_eq!((kept[0].payload.as_str(), kept[0].retain), ("offline", true));
    }
}

fn the_status_survives_kill_9(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    let world = rig.listener(&[STATUS]);
    assert_eq!(said(&world, 1), ["online"]);
    rig.gateway.kill();
    assert_eq!(said(&world, 2), ["online", "offline"]);
}

fn the_status_is_closed_to_devices(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut liar = rig.device("liar");
    assert_eq!(liar.register(STATUS), Err(ReturnCode::NOT_SUPPORTED));
    let mut second = Device::new(rig.gateway.link());
    let connect = connect_packet("second-liar", true, 60, true);
    second.ask("WILLTOPICREQ", &Message::Connect(connect), |message| {
        matches!(message, Message::WillTopicReq).then_some(())
    });
    let will = WillTopic { qos: Qos::One, retain: true, topic: STATUS.as_bytes() };
    let code = second.ask("CONNACK", &Message::WillTopic(Some(will)), |message| match *message {
        Message::ConnAck { code } => Some(code),
        _ => None,
    });
    assert_eq!(code, ReturnCode::NOT_SUPPORTED);
    rig.stop();
}
