//! Settings that say how sleepers, wanderers and certain client stacks are treated, through
//! gateway.toml to the wire.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode, SubscribeTopic, decode};

use crate::rig::{Device, Rig, Upstream, Way, publish_retained, received};

const LONG: u16 = 3_600;

fn witness(rig: &Rig) -> Device {
    let mut witness = rig.device("witness");
    witness.subscribe_to("witness/end", Qos::One);
    witness
}

/// The gateway has taken everything that was published before.
#[track_caller]
fn catch_up(rig: &Rig, witness: &mut Device) {
    rig.publish("witness/end", "end", 1);
    assert_eq!(witness.receive().payload, "end");
}

#[track_caller]
fn is_dismissed(device: &mut Device, id: &str) {
    let ping = Message::PingReq { client_id: id.as_bytes() };
    device.ask("DISCONNECT", &ping, |message| match message {
        Message::Disconnect { duration: None } => Some(()),
        Message::PingResp => panic!("PINGRESP to a stranger"),
        _ => None,
    });
}

/// A device like RIOT's emcute: it takes no REGISTER, no QoS 2 and no flags beyond QoS.
#[test]
fn emcute_is_sent_only_what_it_understands() {
    let rig = Rig::start(
        Upstream::Mqtt5,
        "",
        "[[client]]\nid = \"emcute-plain\"\nprofile = \"standard\"\n\
         [[client]]\nid = \"emcute-*\"\nprofile = \"emcute\"\n",
    );
    let mut witness = witness(&rig);
    publish_retained(rig.broker(), "riot/a", "retained");
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect_with("emcute-1", false, 360), ReturnCode::ACCEPTED);
    let name = |name: &'static str| SubscribeTopic::Name(name.as_bytes());
    assert_eq!(device.subscribe(name("riot/#"), Qos::One), Err(ReturnCode::NOT_SUPPORTED));
    rig.gateway.log.wait_for(&["\"emcute-1\"", "SUBSCRIBE"]);
    assert_eq!(device.subscribe(name("riot/a"), Qos::Two), Ok(Qos::One));
    assert_eq!(device.receive(), received("riot/a", "retained", Qos::One));
    device.sleep(LONG);
    rig.publish("riot/a", "asleep", 2);
    catch_up(&rig, &mut witness);
    device.heard_nothing();
    assert_eq!(device.collect("emcute-1"), [received("riot/a", "asleep", Qos::One)]);
    // It comes back with its session, and knows its topic ids.
    assert_eq!(device.connect_with("emcute-1", false, 360), ReturnCode::ACCEPTED);
    rig.publish("riot/a", "awake", 2);
    assert_eq!(device.receive(), received("riot/a", "awake", Qos::One));
    for (way, octets) in &device.trace {
        let message = decode(octets).unwrap().message;
        assert!(
            *way == Way::Sent || !matches!(message, Message::Register { .. }),
            "it was sent {message:?}"
        );
        if let (Way::Received, Message::Publish(publish)) = (way, message) {
            assert!(!publish.dup && !publish.retain, "{publish:?}");
            assert!(matches!(publish.topic, PublishTopic::Normal(_)), "{publish:?}");
        }
    }
    // The first rule that fits counts: this one is treated by the book.
    let mut plain = rig.device("emcute-plain");
    plain.subscribe_to("riot/#", Qos::Two);
    assert_eq!(plain.receive().payload, "retained");
    rig.publish("riot/b", "registered", 2);
    assert_eq!(plain.receive(), received("riot/b", "registered", Qos::Two));
    rig.stop();
}

#[test]
fn takeover_never_keeps_a_session_where_it_is() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[sessions]\ntakeover = \"never\"\n");
    let mut witness = witness(&rig);
    let mut device = rig.device("tied");
    device.subscribe_to("to/tied", Qos::One);
    device.sleep(LONG);
    rig.publish("to/tied", "waits", 1);
    catch_up(&rig, &mut witness);
    let mut thief = Device::new(rig.gateway.link());
    is_dismissed(&mut thief, "tied");
    assert_eq!(thief.connect("tied"), ReturnCode::CONGESTION);
    device.heard_nothing();
    assert_eq!(device.collect("tied"), [received("to/tied", "waits", Qos::One)]);
    device.disconnect();
    assert_eq!(thief.connect("tied"), ReturnCode::ACCEPTED, "after a goodbye it is free");
    rig.stop();
}

#[test]
fn takeover_asleep_or_lost_spares_who_is_connected() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[sessions]\ntakeover = \"asleep-or-lost\"\n");
    let mut witness = witness(&rig);
    let mut device = rig.device("loose");
    device.subscribe_to("to/loose", Qos::One);
    let mut rival = Device::new(rig.gateway.link());
    assert_eq!(rival.connect("loose"), ReturnCode::CONGESTION);
    rig.publish("to/loose", "still mine", 1);
    assert_eq!(device.receive(), received("to/loose", "still mine", Qos::One));
    device.sleep(LONG);
    rig.publish("to/loose", "waits", 1);
    catch_up(&rig, &mut witness);
    device.roam();
    assert_eq!(device.collect("loose"), [received("to/loose", "waits", Qos::One)]);
    rig.stop();
}

#[test]
fn a_clean_session_may_mean_what_it_says_on_waking() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[sessions]\nkeep_session_on_wake = false\n");
    let mut witness = witness(&rig);
    let mut device = rig.device("strict");
    device.subscribe_to("to/strict", Qos::One);
    device.sleep(LONG);
    rig.publish("to/strict", "forgotten", 1);
    catch_up(&rig, &mut witness);
    assert_eq!(device.connect("strict"), ReturnCode::ACCEPTED);
    rig.publish("to/strict", "not subscribed", 1);
    catch_up(&rig, &mut witness);
    device.heard_nothing();
    rig.stop();
}

#[test]
fn messages_at_qos_0_may_wait_for_a_persistent_client() {
    let rig = Rig::start(Upstream::Mqtt5, "", "[sessions]\nqueue_qos0_messages = true\n");
    let mut witness = witness(&rig);
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect_with("away", false, 60), ReturnCode::ACCEPTED);
    device.subscribe_to("to/away", Qos::One);
    device.disconnect();
    for qos in [0, 1] {
        rig.publish("to/away", &format!("at {qos}"), qos);
    }
    catch_up(&rig, &mut witness);
    assert_eq!(device.connect_with("away", false, 60), ReturnCode::ACCEPTED);
    assert_eq!(device.receive(), received("to/away", "at 0", Qos::Zero));
    assert_eq!(device.receive(), received("to/away", "at 1", Qos::One));
    rig.stop();
}
