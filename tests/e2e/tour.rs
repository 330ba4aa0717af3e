//! What the gateway is for: readings go up, commands come down, at every QoS and with every kind
//! of topic.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode, SubscribeTopic};

use crate::rig::{Device, Heard, Received, Rig, Upstream, heard, received, with_every_broker};

with_every_broker!(
    readings_reach_the_world,
    commands_reach_the_device,
    unsubscribing_ends_it,
    retained_messages_are_for_the_late,
    overlapping_filters_deliver_once,
    a_forwarder_carries_several_devices,
    listeners_of_both_families_share_everything,
    the_prefix_is_added_and_taken_away,
    strangers_are_told_to_connect,
);

const TOPICS: &str = "[topics]\n7 = \"sensors/seven\"\n8 = \"commands/eight\"\n";
const UP: [Qos; 3] = [Qos::Zero, Qos::One, Qos::Two];

fn level(qos: Qos) -> u8 {
    match qos {
        Qos::MinusOne | Qos::Zero => 0,
        Qos::One => 1,
        Qos::Two => 2,
    }
}

/// QoS at which a broker passes a message on. The built-in one takes that of the subscription,
/// whatever the message came with.
fn passed_on(upstream: Upstream, sent: Qos, granted: Qos) -> Qos {
    if upstream == Upstream::BuiltIn || level(granted) < level(sent) { granted } else { sent }
}

/// What somebody in the world hears, who has subscribed at QoS 2.
fn in_the_world(upstream: Upstream, topic: &str, payload: &str, sent: Qos) -> Heard {
    heard(topic, payload, level(passed_on(upstream, sent, Qos::Two)))
}

fn readings_reach_the_world(upstream: Upstream) {
    let rig = Rig::start(upstream, "", TOPICS);
    let world = rig.listener(&["sensors/#", "ab"]);
    let mut device = rig.device("meter-1");
    let normal = device.register("sensors/kitchen/temperature").unwrap();
    assert_eq!(device.register("sensors/kitchen/temperature"), Ok(normal), "same topic, same id");
    let topics = [
        (normal, "sensors/kitchen/temperature"),
        (PublishTopic::Predefined(7), "sensors/seven"),
        (PublishTopic::Short(*b"ab"), "ab"),
    ];
    let mut expected = Vec::new();
    for (topic, name) in topics {
        for qos in UP {
            let payload = format!("{name} at {}", level(qos));
            assert_eq!(device.publish(topic, qos, &payload), ReturnCode::ACCEPTED);
            expected.push(in_the_world(upstream, name, &payload, qos));
        }
    }
    // Nobody but a device without a connection needs QoS −1, but every device may use it.
    for (topic, name) in &topics[1..] {
        device.publish(*topic, Qos::MinusOne, "unasked");
        expected.push(in_the_world(upstream, name, "unasked", Qos::Zero));
    }
    let long = "x".repeat(8_000);
    assert_eq!(device.publish(normal, Qos::One, &long), ReturnCode::ACCEPTED);
    expected.push(in_the_world(upstream, "sensors/kitchen/temperature", &long, Qos::One));
    assert_eq!(device.publish(normal, Qos::One, ""), ReturnCode::ACCEPTED);
    expected.push(in_the_world(upstream, "sensors/kitchen/temperature", "", Qos::One));
    let mut all = world.take(expected.len());
    // One broker may pass messages of different QoS at a different pace.
    all.sort();
    expected.sort();
    assert_eq!(all, expected);

    let mut nobody = Device::new(rig.gateway.link());
    nobody.publish(PublishTopic::Predefined(7), Qos::MinusOne, "from nobody");
    world.until("from nobody");

    assert_eq!(
        device.publish(PublishTopic::Normal(4_711), Qos::One, "x"),
        ReturnCode::INVALID_TOPIC_ID
    );
    assert_eq!(device.register("sensors/+"), Err(ReturnCode::NOT_SUPPORTED));
    device.disconnect();
    rig.stop();
}

fn commands_reach_the_device(upstream: Upstream) {
    let rig = Rig::start(upstream, "", TOPICS);
    let mut device = rig.device("valve-1");
    for qos in UP {
        device.subscribe_to(&format!("commands/{}", level(qos)), qos);
    }
    device.subscribe_to("wild/+/card/#", Qos::Two);
    assert_eq!(device.subscribe(SubscribeTopic::Predefined(8), Qos::One), Ok(Qos::One));
    assert_eq!(device.subscribe(SubscribeTopic::Short(*b"cd"), Qos::Two), Ok(Qos::Two));
    let mut expected = Vec::new();
    let mut expect = |topic: &str, shown: &str, sent: Qos, granted: Qos| {
        let payload = format!("{topic} at {}", level(sent));
        rig.publish(topic, &payload, level(sent));
        expected.push(received(shown, &payload, passed_on(upstream, sent, granted)));
    };
    for sent in UP {
        for granted in UP {
            let topic = format!("commands/{}", level(granted));
            expect(&topic, &topic, sent, granted);
        }
        expect("wild/1/card/a/b", "wild/1/card/a/b", sent, Qos::Two);
        expect("wild/2/card", "wild/2/card", sent, Qos::Two);
        expect("commands/eight", "#8", sent, Qos::One);
        expect("cd", "cd", sent, Qos::Two);
    }
    rig.publish("commands/2", "end", 2);
    let mut all = device.receive_until("end");
    let key = |message: &Received| message.payload.clone();
    all.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(all, expected);
    assert!(!device.dismissed);
    rig.stop();
}

fn unsubscribing_ends_it(upstream: Upstream) {
    let rig = Rig::start(upstream, "", TOPICS);
    let mut device = rig.device("valve-2");
    let mut other = rig.device("valve-3");
    other.subscribe_to("commands/a", Qos::One);
    device.subscribe_to("commands/a", Qos::One);
    device.subscribe_to("commands/end", Qos::One);
    device.subscribe(SubscribeTopic::Predefined(8), Qos::One).unwrap();
    device.subscribe(SubscribeTopic::Short(*b"cd"), Qos::One).unwrap();
    rig.publish("commands/a", "1", 1);
    assert_eq!(device.receive(), received("commands/a", "1", Qos::One));
    device.unsubscribe(SubscribeTopic::Name(b"commands/a"));
    device.unsubscribe(SubscribeTopic::Predefined(8));
    device.unsubscribe(SubscribeTopic::Short(*b"cd"));
    device.unsubscribe(SubscribeTopic::Name(b"never/subscribed"));
    for topic in ["commands/a", "commands/eight", "cd"] {
        rig.publish(topic, "2", 1);
    }
    rig.publish("commands/end", "end", 1);
    assert_eq!(device.receive_until("end"), []);
    assert_eq!(other.receive_until("2"), [received("commands/a", "1", Qos::One)]);
    rig.stop();
}

fn retained_messages_are_for_the_late(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut early = rig.device("early");
    early.subscribe_to("state/#", Qos::One);
    let mut writer = rig.device("writer");
    let topic = writer.register("state/door").unwrap();
    for payload in ["open", "ajar", "closed"] {
        let code = writer.publish_with(topic, Qos::One, true, payload);
        assert_eq!(code, ReturnCode::ACCEPTED);
    }
    for payload in ["open", "ajar", "closed"] {
        assert_eq!(early.receive(), received("state/door", payload, Qos::One));
    }
    let mut late = rig.device("late");
    // The built-in broker sends what is retained only for a filter that is new to it.
    let same = if upstream == Upstream::BuiltIn { "state/+" } else { "state/#" };
    late.subscribe_to(same, Qos::One);
    let kept = late.receive();
    assert_eq!((kept.topic.as_str(), kept.payload.as_str()), ("state/door", "closed"));
    assert!(kept.retain, "it was retained, and the late one is told so");
    // By another filter, so that the broker has something to ask for.
    let mut later = rig.device("later");
    later.subscribe_to("state/door", Qos::Zero);
    assert_eq!(later.receive().payload, "closed");
    rig.publish("state/end", "end", 1);
    assert_eq!(early.receive_until("end"), [], "retained messages are not for the others");
    assert_eq!(late.receive_until("end"), [], "nor twice for anybody");
    rig.stop();
}

fn overlapping_filters_deliver_once(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut device = rig.device("overlap");
    let mut other = rig.device("other");
    for filter in ["a/#", "a/+", "a/b", "+/b", "#"] {
        device.subscribe_to(filter, Qos::Two);
    }
    other.subscribe_to("a/b", Qos::One);
    for number in 0..5 {
        for qos in 0..=2 {
            rig.publish("a/b", &format!("{number} at {qos}"), qos);
        }
    }
    rig.publish("a/b", "end", 2);
    for device in [&mut device, &mut other] {
        let before = device.receive_until("end");
        let mut all: Vec<_> = before.iter().filter(|message| message.topic == "a/b").collect();
        all.sort_by_key(|message| message.payload.clone());
        let payloads: Vec<_> = all.iter().map(|message| message.payload.as_str()).collect();
        let expected: Vec<_> =
            (0..5).flat_map(|n| (0..=2).map(move |qos| format!("{n} at {qos}"))).collect();
        assert_eq!(payloads, expected);
    }
    rig.stop();
}

fn a_forwarder_carries_several_devices(upstream: Upstream) {
    let rig = Rig::start(upstream, "", TOPICS);
    let world = rig.listener(&["sensors/#"]);
    let mut far = Device::new(rig.gateway.link()).behind_forwarder(&[0x0A, 0xFF, 0]);
    assert_eq!(far.connect("far-1"), ReturnCode::ACCEPTED);
    let topic = far.register("sensors/far").unwrap();
    assert_eq!(far.publish(topic, Qos::Two, "over the hills"), ReturnCode::ACCEPTED);
    far.subscribe_to("commands/far/#", Qos::Two);
    let mut near = rig.device("near-1");
    near.subscribe_to("commands/#", Qos::One);
    rig.publish("commands/far/x", "hello", 2);
    assert_eq!(far.receive(), received("commands/far/x", "hello", Qos::Two));
    assert_eq!(near.receive(), received("commands/far/x", "hello", Qos::One));
    far.ping();
    far.publish(PublishTopic::Predefined(7), Qos::MinusOne, "last");
    assert_eq!(
        world.until("last"),
        [in_the_world(upstream, "sensors/far", "over the hills", Qos::Two)]
    );
    far.disconnect();
    rig.stop();
}

fn listeners_of_both_families_share_everything(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "[[udp]]\nlisten = \"[::1]:0\"\n");
    assert!(rig.gateway.links[1].is_ipv6());
    let mut old = rig.device("v4");
    let mut new = Device::connected(rig.gateway.links[1], "v6");
    old.subscribe_to("from/v6", Qos::Two);
    new.subscribe_to("from/v4", Qos::Two);
    let (up_old, up_new) = (old.register("from/v4").unwrap(), new.register("from/v6").unwrap());
    assert_eq!(old.publish(up_old, Qos::Two, "hello, six"), ReturnCode::ACCEPTED);
    assert_eq!(new.publish(up_new, Qos::Two, "hello, four"), ReturnCode::ACCEPTED);
    assert_eq!(new.receive(), received("from/v4", "hello, six", Qos::Two));
    assert_eq!(old.receive(), received("from/v6", "hello, four", Qos::Two));
    rig.stop();
}

fn the_prefix_is_added_and_taken_away(upstream: Upstream) {
    let rig = Rig::start(upstream, "topic_prefix = \"site-7/\"", TOPICS);
    let world = rig.listener(&["site-7/#"]);
    let mut device = rig.device("meter-7");
    device.subscribe_to("commands/#", Qos::One);
    let topic = device.register("temperature").unwrap();
    device.publish(topic, Qos::One, "21.5");
    device.publish(PublishTopic::Predefined(7), Qos::One, "7");
    rig.publish("commands/a", "not for this site", 1);
    rig.publish("site-7/commands/a", "for this site", 1);
    assert_eq!(device.receive(), received("commands/a", "for this site", Qos::One));
    let expected = [
        in_the_world(upstream, "site-7/temperature", "21.5", Qos::One),
        in_the_world(upstream, "site-7/sensors/seven", "7", Qos::One),
    ];
    assert_eq!(world.until("for this site"), expected);
    rig.stop();
}

fn strangers_are_told_to_connect(upstream: Upstream) {
    let rig = Rig::start(upstream, "", TOPICS);
    let world = rig.listener(&["sensors/#"]);
    let mut stranger = Device::new(rig.gateway.link());
    let dismissed = |message: &Message<'_>| {
        matches!(message, Message::Disconnect { duration: None }).then_some(())
    };
    stranger.begin_publish(PublishTopic::Predefined(7), false, "from a stranger");
    stranger.wait("DISCONNECT", dismissed);
    rig.gateway.log.wait_for(&["PUBLISH from", &stranger.address().to_string(), "not connected"]);
    assert_eq!(stranger.connect("no-longer-strange"), ReturnCode::ACCEPTED);
    stranger.publish(PublishTopic::Predefined(7), Qos::One, "from a friend");
    assert_eq!(world.until("from a friend"), Vec::<Heard>::new());
    // Who has said goodbye is a stranger again.
    stranger.disconnect();
    stranger.ask("DISCONNECT", &Message::PingReq { client_id: b"" }, dismissed);
    rig.stop();
}
