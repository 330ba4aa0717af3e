//! Sleeping devices with a real broker: what every deployed gateway has got wrong at some time, one
//! case each. Time is not measured: that something did not happen is shown by something else that
//! happened later.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode, SubscribeTopic, decode};

use crate::rig::{
    Device, Received, Rig, Upstream, Way, publish_retained, received, with_mosquitto,
};

with_mosquitto!(
    nothing_reaches_a_sleeper_outside_its_window,
    an_acknowledged_message_never_comes_again,
    sleep_decides_who_is_lost_and_not_keep_alive,
    a_sleeper_that_is_lost_has_its_will_published,
    keep_alive_counts_again_after_waking_by_connect,
    pingresp_comes_last_and_after_the_last_acknowledgement,
    register_and_its_publish_come_in_the_same_window,
    what_was_not_acknowledged_comes_first_in_the_next_window,
    connect_wakes_and_delivers,
    disconnect_is_answered_every_time,
    topic_ids_survive_the_sleep,
    a_sleeper_publishes_and_sleeps_on,
    a_sleeper_subscribes_and_gets_what_is_retained,
    a_broker_that_is_restarted_meanwhile,
    a_broker_that_loses_its_memory_meanwhile,
    a_persistent_client_finds_its_messages_again,
);

#[test]
fn built_in_nothing_reaches_a_sleeper_outside_its_window() {
    nothing_reaches_a_sleeper_outside_its_window(Upstream::BuiltIn);
}

#[test]
fn built_in_a_sleeper_that_is_lost_has_its_will_published() {
    a_sleeper_that_is_lost_has_its_will_published(Upstream::BuiltIn);
}

/// Longer than any test.
const LONG: u16 = 3_600;

/// A device that listens and sleeps.
#[track_caller]
fn sleeper(rig: &Rig, id: &str, filter: &str, qos: Qos) -> Device {
    let mut device = rig.device(id);
    device.subscribe_to(filter, qos);
    device.sleep(LONG);
    device
}

/// Somebody awake, who hears what comes after everything else.
struct Witness(Device);

impl Witness {
    #[track_caller]
    fn new(rig: &Rig) -> Self {
        let mut device = rig.device("witness");
        device.subscribe_to("witness/end", Qos::One);
        Self(device)
    }

    /// Returns when the gateway has taken everything that was published before.
    #[track_caller]
    fn catch_up(&mut self, rig: &Rig) {
        rig.publish("witness/end", "end", 1);
        assert_eq!(self.0.receive().payload, "end");
    }
}

/// The messages that a device was sent, in order: type and octets.
fn frames(device: &Device, way: Way) -> Vec<(usize, u8)> {
    let all = device.trace.iter().enumerate().filter(|(_, (its, _))| *its == way);
    all.map(|(at, (_, octets))| (at, decode(octets).unwrap().message.type_code())).collect()
}

fn nothing_reaches_a_sleeper_outside_its_window(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::One);
    for round in 0..3 {
        for number in 0..3 {
            rig.publish("to/sleeper", &format!("{round}.{number}"), 1);
        }
        witness.catch_up(&rig);
        device.heard_nothing();
        let expected: Vec<_> = (0..3)
            .map(|number| received("to/sleeper", &format!("{round}.{number}"), Qos::One))
            .collect();
        assert_eq!(device.collect("sleeper"), expected);
    }
    rig.publish("to/sleeper", "late", 1);
    witness.catch_up(&rig);
    device.heard_nothing();
    rig.stop();
}

fn an_acknowledged_message_never_comes_again(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::Two);
    for qos in [2, 1, 2] {
        rig.publish("to/sleeper", &format!("at {qos}"), qos);
    }
    witness.catch_up(&rig);
    let payloads: Vec<_> =
        device.collect("sleeper").into_iter().map(|received| received.payload).collect();
    assert_eq!(payloads, ["at 2", "at 1", "at 2"]);
    for _ in 0..2 {
        assert_eq!(device.collect("sleeper"), []);
    }
    assert_eq!(device.connect("sleeper"), ReturnCode::ACCEPTED);
    device.ping();
    assert_eq!(device.inbox(), []);
    rig.stop();
}

fn pingresp_comes_last_and_after_the_last_acknowledgement(upstream: Upstream) {
    const ACKS: [u8; 4] = [0x0B, 0x0D, 0x0E, 0x0F];
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    for last in 0..=2 {
        let id = format!("sleeper-{last}");
        let mut device = sleeper(&rig, &id, &format!("to/{last}"), Qos::Two);
        for qos in [0, 1, 2, last] {
            rig.publish(&format!("to/{last}"), "x", qos);
        }
        witness.catch_up(&rig);
        device.trace.clear();
        assert_eq!(device.collect(&id).len(), 4);
        let sent = frames(&device, Way::Sent);
        let acknowledged = sent.iter().filter(|(_, kind)| ACKS.contains(kind)).map(|(at, _)| *at);
        let came = frames(&device, Way::Received);
        let answers: Vec<_> = came.iter().filter(|(_, kind)| *kind == 0x17).collect();
        assert_eq!(answers.len(), 1, "one PINGRESP");
        assert_eq!(came.last(), answers.first().copied(), "nothing comes after it");
        assert!(acknowledged.max() < Some(answers[0].0));
        witness.catch_up(&rig);
        device.heard_nothing();
    }
    rig.stop();
}

fn register_and_its_publish_come_in_the_same_window(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper/#", Qos::One);
    for name in ["a", "b", "a"] {
        rig.publish(&format!("to/sleeper/{name}"), name, 1);
    }
    witness.catch_up(&rig);
    device.trace.clear();
    let expected =
        ["a", "b", "a"].map(|name| received(&format!("to/sleeper/{name}"), name, Qos::One));
    assert_eq!(device.collect("sleeper"), expected);
    let kinds: Vec<_> = device.trace.iter().map(|(_, octets)| octets[1]).collect();
    let expected = [
        0x16, 0x0A, 0x0B, 0x0C, 0x0D, // PINGREQ, REGISTER a, PUBLISH a
        0x0A, 0x0B, 0x0C, 0x0D, // b
        0x0C, 0x0D, // a is known now
        0x17,
    ];
    assert_eq!(kinds, expected);
    rig.stop();
}

fn what_was_not_acknowledged_comes_first_in_the_next_window(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "[sessions]\nretry_interval = \"100ms\"\nretry_count = 1\n");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::One);
    for payload in ["first", "second"] {
        rig.publish("to/sleeper", payload, 1);
    }
    witness.catch_up(&rig);
    device.trace.clear();
    device.mute = true;
    let ping = Message::PingReq { client_id: b"sleeper" };
    device.send(&ping);
    let sent = |message: &Message<'_>| match message {
        Message::Publish(publish) => {
            Some((publish.msg_id, publish.dup, String::from_utf8_lossy(publish.data).into_owned()))
        }
        Message::PingResp => panic!("PINGRESP before the acknowledgement"),
        _ => None,
    };
    let (id, dup, payload) = device.wait("PUBLISH", sent);
    assert_eq!((dup, payload.as_str()), (false, "first"));
    assert_eq!(device.wait("PUBLISH again", sent), (id, true, "first".to_owned()));
    // Its window is over now, or will be by the time it asks again; it is the same for the device.
    device.mute = false;
    device.trace.clear();
    let payloads: Vec<_> =
        device.collect("sleeper").into_iter().map(|received| received.payload).collect();
    assert!(
        payloads == ["first", "second"] || payloads == ["first", "first", "second"],
        "{payloads:?}"
    );
    let first = device.trace.iter().find(|(way, _)| *way == Way::Received).unwrap();
    let Message::Publish(publish) = decode(&first.1).unwrap().message else { panic!("{first:?}") };
    assert_eq!((publish.msg_id, publish.dup, publish.data), (id, true, &b"first"[..]));
    assert_eq!(device.collect("sleeper"), []);
    rig.stop();
}

fn connect_wakes_and_delivers(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    for clean in [true, false] {
        let (id, topic) = (format!("sleeper-{clean}"), format!("to/{clean}"));
        let mut device = Device::new(rig.gateway.link());
        assert_eq!(device.connect_with(&id, clean, 60), ReturnCode::ACCEPTED);
        device.subscribe_to(&topic, Qos::One);
        device.sleep(LONG);
        rig.publish(&topic, "one", 1);
        rig.publish(&topic, "two", 1);
        witness.catch_up(&rig);
        device.heard_nothing();
        assert_eq!(device.connect_with(&id, clean, 60), ReturnCode::ACCEPTED);
        assert_eq!(device.receive(), received(&topic, "one", Qos::One));
        assert_eq!(device.receive(), received(&topic, "two", Qos::One));
        // And it is awake.
        rig.publish(&topic, "three", 1);
        assert_eq!(device.receive(), received(&topic, "three", Qos::One));
    }
    rig.stop();
}

/// A device whose keep-alive is over long ago sleeps on, until what it announced is over.
fn sleep_decides_who_is_lost_and_not_keep_alive(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["wills/#"]);
    let link = rig.gateway.link();
    let mut device = Device::new(link);
    let will = |id: &'static str| (id, "lost", Qos::One, false);
    assert_eq!(device.connect_with_will("sleeper", 1, will("wills/sleeper")), ReturnCode::ACCEPTED);
    device.subscribe_to("to/sleeper", Qos::One);
    device.sleep(LONG);
    // The same keep-alive, begun later, is over.
    let mut silent = Device::new(link);
    assert_eq!(silent.connect_with_will("silent", 1, will("wills/silent")), ReturnCode::ACCEPTED);
    assert_eq!(world.take(1)[0].topic, "wills/silent");
    rig.publish("to/sleeper", "still there?", 1);
    let mut witness = Witness::new(&rig);
    witness.catch_up(&rig);
    assert_eq!(device.collect("sleeper"), [received("to/sleeper", "still there?", Qos::One)]);
    rig.publish("wills/end", "end", 1);
    assert_eq!(world.until("end").len(), 1, "only the silent one is lost");
    rig.stop();
}

fn a_sleeper_that_is_lost_has_its_will_published(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["wills/#"]);
    let link = rig.gateway.link();
    let will = |topic: &'static str| (topic, "lost", Qos::One, false);
    // Says goodbye out of its sleep: no will.
    let mut polite = Device::new(link);
    assert_eq!(polite.connect_with_will("polite", 1, will("wills/polite")), ReturnCode::ACCEPTED);
    polite.sleep(1);
    polite.disconnect();
    // Sleeps for longer than the other one that is lost.
    let mut long = Device::new(link);
    assert_eq!(long.connect_with_will("long", 1, will("wills/long")), ReturnCode::ACCEPTED);
    long.sleep(LONG);
    // Oversleeps.
    let mut short = Device::new(link);
    assert_eq!(short.connect_with_will("short", LONG, will("wills/short")), ReturnCode::ACCEPTED);
    short.sleep(1);
    assert_eq!(world.take(1)[0].topic, "wills/short");
    rig.gateway.log.wait_for(&["\"short\" is lost"]);
    short.ask("DISCONNECT", &Message::PingReq { client_id: b"short" }, |message| {
        matches!(message, Message::Disconnect { .. }).then_some(())
    });
    assert_eq!(long.collect("long"), []);
    rig.publish("wills/end", "end", 1);
    assert_eq!(world.until("end").len(), 1, "neither the polite one nor the long sleeper");
    rig.stop();
}

fn keep_alive_counts_again_after_waking_by_connect(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["wills/#"]);
    let mut device = Device::new(rig.gateway.link());
    let will = ("wills/sleeper", "lost", Qos::One, false);
    assert_eq!(device.connect_with_will("sleeper", 60, will), ReturnCode::ACCEPTED);
    device.sleep(LONG);
    assert_eq!(device.connect_with("sleeper", false, 1), ReturnCode::ACCEPTED);
    // CONNECT without the will flag keeps the will that there is.
    assert_eq!(world.take(1)[0].topic, "wills/sleeper");
    rig.gateway.log.wait_for(&["\"sleeper\" is lost"]);
    rig.stop();
}

fn disconnect_is_answered_every_time(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut device = rig.device("sleeper");
    device.trace.clear();
    for duration in [LONG, LONG, 7_200, LONG] {
        device.send(&Message::Disconnect { duration: Some(duration) });
    }
    for _ in 0..4 {
        device.wait("DISCONNECT", |message| {
            matches!(message, Message::Disconnect { duration: None }).then_some(())
        });
    }
    assert_eq!(device.collect("sleeper"), []);
    device.sleep(LONG);
    assert!(frames(&device, Way::Received).iter().all(|(_, kind)| matches!(kind, 0x17 | 0x18)));
    // Without its id, as some stacks do.
    device.ping();
    rig.stop();
}

fn topic_ids_survive_the_sleep(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let world = rig.listener(&["from/#"]);
    let mut device = rig.device("sleeper");
    let topic = device.register("from/sleeper").unwrap();
    let other = device.register("from/other").unwrap();
    device.sleep(LONG);
    assert_eq!(device.collect("sleeper"), []);
    assert_eq!(device.publish(topic, Qos::One, "asleep"), ReturnCode::ACCEPTED);
    assert_eq!(device.connect("sleeper"), ReturnCode::ACCEPTED);
    assert_eq!(device.publish(other, Qos::Two, "awake"), ReturnCode::ACCEPTED);
    assert_eq!(device.register("from/sleeper"), Ok(topic));
    let heard: Vec<_> =
        world.take(2).into_iter().map(|heard| (heard.topic, heard.payload)).collect();
    let expected = [("from/sleeper", "asleep"), ("from/other", "awake")];
    assert_eq!(heard, expected.map(|(topic, payload)| (topic.to_owned(), payload.to_owned())));
    rig.stop();
}

fn a_sleeper_publishes_and_sleeps_on(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "[topics]\n7 = \"from/seven\"\n");
    let world = rig.listener(&["from/#"]);
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::One);
    rig.publish("to/sleeper", "waits", 1);
    witness.catch_up(&rig);
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        let topic = PublishTopic::Predefined(7);
        assert_eq!(device.publish(topic, qos, "reading"), ReturnCode::ACCEPTED);
    }
    assert_eq!(world.take(3).len(), 3);
    witness.catch_up(&rig);
    device.heard_nothing();
    assert_eq!(device.collect("sleeper"), [received("to/sleeper", "waits", Qos::One)]);
    rig.stop();
}

fn a_sleeper_subscribes_and_gets_what_is_retained(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    publish_retained(rig.broker(), "kept/a", "retained");
    let mut device = rig.device("sleeper");
    device.subscribe_to("live/a", Qos::One);
    device.sleep(LONG);
    device.subscribe_to("kept/#", Qos::One);
    // Retained while it sleeps, for a subscription that it has: comes as any other message.
    publish_retained(rig.broker(), "live/a", "news");
    witness.catch_up(&rig);
    device.heard_nothing();
    let retain = |topic: &str, payload: &str, retain| Received {
        retain,
        ..received(topic, payload, Qos::One)
    };
    let expected = [retain("kept/a", "retained", true), retain("live/a", "news", false)];
    assert_eq!(device.collect("sleeper"), expected);
    device.unsubscribe(SubscribeTopic::Name(b"kept/#"));
    rig.publish("kept/a", "unwanted", 1);
    witness.catch_up(&rig);
    assert_eq!(device.collect("sleeper"), []);
    rig.stop();
}

fn a_broker_that_is_restarted_meanwhile(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::Two);
    rig.publish("to/sleeper", "before", 2);
    witness.catch_up(&rig);
    for round in 1..=2 {
        rig.mosquitto().stop();
        // Nothing of what waits depends on the broker.
        if round == 1 {
            assert_eq!(device.collect("sleeper"), [received("to/sleeper", "before", Qos::Two)]);
        }
        rig.mosquitto().restart();
        // The broker keeps it for the gateway, whether that is back yet or not.
        rig.publish("to/sleeper", &format!("while it was away {round}"), 2);
        rig.gateway.wait_for_broker(round + 1);
    }
    witness.catch_up(&rig);
    device.heard_nothing();
    let expected =
        [1, 2].map(|round| received("to/sleeper", &format!("while it was away {round}"), Qos::Two));
    assert_eq!(device.collect("sleeper"), expected);
    assert_eq!(device.collect("sleeper"), []);
    rig.stop();
}

fn a_broker_that_loses_its_memory_meanwhile(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = sleeper(&rig, "sleeper", "to/sleeper", Qos::One);
    rig.publish("to/sleeper", "before", 1);
    witness.catch_up(&rig);
    rig.mosquitto().kill();
    rig.mosquitto().restart();
    rig.gateway.wait_for_broker(2);
    // The subscriptions are made again; when, is the gateway's business.
    let mut number = 0;
    while witness.0.inbox().is_empty() {
        number += 1;
        assert!(number < 300, "the subscriptions were not restored");
        rig.publish("to/sleeper", &format!("after {number}"), 1);
        rig.publish("witness/end", "end", 1);
        witness.0.ping();
    }
    device.heard_nothing();
    let all = device.collect("sleeper");
    assert_eq!(all.first(), Some(&received("to/sleeper", "before", Qos::One)));
    let after: Vec<u32> = all[1..]
        .iter()
        .map(|received| received.payload.strip_prefix("after ").unwrap().parse().unwrap())
        .collect();
    assert!(after.is_sorted_by(|a, b| a < b), "in order and once: {after:?}");
    rig.publish("to/sleeper", "now", 1);
    rig.publish("witness/end", "really", 1);
    witness.0.receive_until("really");
    let mut rest = device.collect("sleeper");
    assert_eq!(rest.pop(), Some(received("to/sleeper", "now", Qos::One)));
    rig.stop();
}

/// Gone, not asleep: QoS 1 and 2 wait for a persistent session, QoS 0 does not.
fn a_persistent_client_finds_its_messages_again(upstream: Upstream) {
    let rig = Rig::start(upstream, "", "");
    let mut witness = Witness::new(&rig);
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect_with("away", false, 60), ReturnCode::ACCEPTED);
    device.subscribe_to("to/away", Qos::Two);
    device.disconnect();
    for qos in [1, 0, 2] {
        rig.publish("to/away", &format!("at {qos}"), qos);
    }
    witness.catch_up(&rig);
    device.heard_nothing();
    assert_eq!(device.connect_with("away", false, 60), ReturnCode::ACCEPTED);
    assert_eq!(device.receive(), received("to/away", "at 1", Qos::One));
    assert_eq!(device.receive(), received("to/away", "at 2", Qos::Two));
    device.disconnect();
    rig.publish("to/away", "lost with the session", 1);
    witness.catch_up(&rig);
    assert_eq!(device.connect_with("away", true, 60), ReturnCode::ACCEPTED);
    device.ping();
    assert_eq!(device.inbox(), []);
    rig.stop();
}
