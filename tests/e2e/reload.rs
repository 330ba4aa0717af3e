//! SIGHUP: the real program goes by another gateway.toml, and devices stay connected.

use mqtt_sn_gateway::codec::{PublishTopic, Qos, ReturnCode, SubscribeTopic};

use crate::rig::{Device, Rig, Upstream, received};

const RULES: &str = "[[client]]\nid = \"meter-*\"\npublish = [\"ab\"]\nsubscribe = [\"to/%c/#\"]\n";
const SHORT: PublishTopic = PublishTopic::Short(*b"ab");

#[test]
fn rules_change_while_devices_are_there() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut meter = rig.device("meter-7");
    let mut other = rig.device("other");
    meter.subscribe_to("to/meter-7/a", Qos::One);
    meter.subscribe_to("secret", Qos::One);
    let topic = meter.register("anything").unwrap();
    assert_eq!(meter.publish(topic, Qos::One, "before"), ReturnCode::ACCEPTED);

    rig.gateway.rewrite(|text| format!("{text}{RULES}[access]\ndefault = \"allow\"\n"));
    rig.gateway.hang_up();
    rig.gateway.log.wait_for(&["gateway.toml: read again; changed: [[client]]"]);
    let secret = [
        "WARN took the subscription \"secret\" away from client \"meter-7\": its rule",
        "id = \"meter-*\"",
    ];
    rig.gateway.log.wait_for(&secret);
    assert_eq!(meter.publish(topic, Qos::One, "after"), ReturnCode::NOT_SUPPORTED);
    rig.gateway
        .log
        .wait_for(&["refused PUBLISH \"anything\" of client \"meter-7\"", "gateway.toml:"]);
    assert_eq!(meter.publish(SHORT, Qos::One, "after"), ReturnCode::ACCEPTED);
    let wide = SubscribeTopic::Name(b"to/#");
    assert_eq!(meter.subscribe(wide, Qos::One), Err(ReturnCode::NOT_SUPPORTED));
    rig.publish("secret", "not for it", 1);
    rig.publish("to/meter-7/a", "for it", 1);
    assert_eq!(meter.receive(), received("to/meter-7/a", "for it", Qos::One));
    other.subscribe_to("secret", Qos::One);

    // Nobody who has no rule.
    rig.gateway.rewrite(|text| text.replace("\"allow\"", "\"deny\""));
    rig.gateway.hang_up();
    rig.gateway.log.wait_for(&["read again; changed: access.default"]);
    rig.gateway
        .log
        .wait_for(&["the session of client \"other\" ends", "[access] default = \"deny\""]);
    let mut stranger = Device::new(rig.gateway.link());
    assert_eq!(stranger.connect("stranger"), ReturnCode::NOT_SUPPORTED);
    assert_eq!(meter.publish(SHORT, Qos::One, "still"), ReturnCode::ACCEPTED);
    rig.stop();
}

#[test]
fn a_faulty_file_changes_nothing_and_is_shown_as_check_does() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut device = rig.device("meter-7");
    rig.gateway.rewrite(|text| {
        format!("{text}[access]\ndefault = \"deny\"\n[sessions]\nretry_cuont = 1\n")
    });
    rig.gateway.hang_up();
    rig.gateway.log.wait_for(&[
        "ERROR the new configuration is not taken over, the one before stays in force",
    ]);
    rig.gateway.log.wait_for(&["there is no key `retry_cuont` under [sessions]"]);
    rig.gateway.log.wait_for(&["did you mean `retry_count`?"]);
    device.ping();
    assert_eq!(Device::new(rig.gateway.link()).connect("another"), ReturnCode::ACCEPTED);
    // What needs a restart is named, and the rest is taken over all the same.
    rig.gateway.rewrite(|text| {
        text.replace("retry_cuont", "retry_count").replace("name = \"e2e\"", "name = \"two\"")
            + "[log]\nlevel = \"debug\"\n"
    });
    rig.gateway.hang_up();
    rig.gateway.log.wait_for(&[
        "WARN gateway.toml: name needs a restart of the gateway; until then it stays \"e2e\"",
    ]);
    rig.gateway
        .log
        .wait_for(&["read again; changed: access.default, log.level, sessions.retry_count"]);
    rig.gateway.log.wait_for(&["log level is debug now"]);
    assert_eq!(Device::new(rig.gateway.link()).connect("third"), ReturnCode::NOT_SUPPORTED);
    rig.stop();
}
