//! What the world is told when a device or the gateway itself is gone.

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode};

use crate::rig::{
    Device, Heard, Listener, Rig, Upstream, heard, with_every_broker, with_mosquitto,
};

with_every_broker!(a_lost_device_has_its_will_published, the_status_topic_says_online_and_offline,);

mod killed {
    super::with_mosquitto!(the_status_says_so);

    fn the_status_says_so(upstream: super::Upstream) {
        super::the_status_survives_kill_9(upstream);
    }
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
    let topic =
        mqtt_sn_gateway::codec::WillTopic { qos: Qos::One, retain: true, topic: b"wills/silent" };
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

fn the_status_topic_says_online_and_offline(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&[STATUS]);
    assert_eq!(world.take(1)[0].payload, "online");
    let mut liar = rig.device("liar");
    assert_eq!(liar.register(STATUS), Err(ReturnCode::NOT_SUPPORTED));
    let will = (STATUS, "offline", Qos::One, true);
    let connect = crate::rig::connect_packet("liar-2", true, 60, true);
    let mut second = Device::new(rig.gateway.link());
    second.ask("WILLTOPICREQ", &Message::Connect(connect), |message| {
        matches!(message, Message::WillTopicReq).then_some(())
    });
    let topic =
        mqtt_sn_gateway::codec::WillTopic { qos: will.2, retain: will.3, topic: STATUS.as_bytes() };
    let code = second.ask("CONNACK", &Message::WillTopic(Some(topic)), |message| match *message {
        Message::ConnAck { code } => Some(code),
        _ => None,
    });
    assert_eq!(code, ReturnCode::NOT_SUPPORTED);
    if upstream == Upstream::BuiltIn {
        // Its broker goes with it.
        return rig.stop();
    }
    let Rig { mut gateway, .. } = rig.into_parts();
    assert_eq!(gateway.terminate(), 0);
    let all = world.take(2);
    assert_eq!(all[1].payload, "offline");
    assert_eq!(all.len(), 2);
}
