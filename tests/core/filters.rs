//! Which filters a topic matches, and what becomes of a filter that many clients share (MQTT 3.1.1
//! §4.7, MQTT-SN 1.2 §6.9).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, decode};
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, UpstreamEvent};
use mqtt_sn_gateway::core::{Drop, Settings};

use crate::harness::*;

const NAME: SubscribeTopic<'static> = SubscribeTopic::Name(b"predefined/five");
const PREDEFINED: SubscribeTopic<'static> = SubscribeTopic::Predefined(5);

/// QoS of the only PUBLISH that the device received; acknowledges it.
#[track_caller]
fn qos_of_the_only(world: &mut World, node: &Device) -> Qos {
    let frames = world.received(node);
    let [only] = frames.as_slice() else { panic!("expected one packet, got {frames:02x?}") };
    let Message::Publish(publish) = decode(only).expect("a packet").message else {
        panic!("expected PUBLISH, got {only:02x?}")
    };
    match publish.qos {
        Qos::One => world.send(node, puback(0, publish.msg_id, OK)),
        Qos::Two => {
            world.send(node, pubrec(publish.msg_id));
            world.received(node);
            world.send(node, pubcomp(publish.msg_id));
        }
        _ => {}
    }
    world.up();
    publish.qos
}

/// Filters that differ by a trailing level only, wildcards, empty levels, `$` topics: one client a
/// filter, and each topic reaches exactly those that it matches.
#[test]
fn each_topic_reaches_exactly_the_filters_that_it_matches() {
    let filters = [
        "a", "a/", "a/+", "a/#", "a/b", "a/b/", "a/b/#", "/a", "+", "#", "+/+", "/#", "+/b", "//",
        "$SYS/#", "$SYS/+", "+/up", "$SYS/up",
    ];
    let expected: [(&str, &[&str]); 11] = [
        ("a", &["a", "a/#", "+", "#"]),
        ("a/", &["a/", "a/+", "a/#", "+/+", "#"]),
        ("a/b", &["a/b", "a/+", "a/#", "a/b/#", "+/+", "+/b", "#"]),
        ("a/b/", &["a/b/", "a/#", "a/b/#", "#"]),
        ("a/c", &["a/+", "a/#", "+/+", "#"]),
        ("/a", &["/a", "/#", "+/+", "#"]),
        ("/", &["/#", "+/+", "#"]),
        ("//", &["//", "/#", "#"]),
        ("b", &["+", "#"]),
        ("$SYS", &["$SYS/#"]),
        ("$SYS/up", &["$SYS/#", "$SYS/+", "$SYS/up"]),
    ];
    let mut world = World::new();
    let mut ids = Vec::new();
    for (number, filter) in (1..).zip(filters) {
        let node = device(number);
        world.connect(&node, &format!("n{number}"));
        ids.push(world.subscribe(&node, 1, filter, Qos::Zero).1);
    }
    for (topic, matching) in expected {
        let marks: Vec<u32> = filters
            .iter()
            .zip(&ids)
            .filter_map(|(filter, id)| matching.contains(filter).then_some(*id))
            .collect();
        world.deliver(&Down::new(topic, b"x").ids(&marks));
        for (number, filter) in (1..).zip(filters) {
            let got = payloads(&mut world, &device(number)).len();
            let due = usize::from(matching.contains(&filter));
            assert_eq!(got, due, "{topic:?} for {filter:?}");
        }
    }
    // And nobody else, if the broker should claim it.
    world.deliver(&Down::new("$SYS/down/x", b"x").ids(&ids));
    for (number, filter) in (1..).zip(filters) {
        let due = usize::from(filter == "$SYS/#");
        assert_eq!(payloads(&mut world, &device(number)).len(), due, "{filter:?}");
    }
}

/// With a prefix, `#` of a client matches its parent level too; that topic has no name here.
#[test]
fn a_topic_that_is_nothing_but_the_prefix_goes_to_nobody() {
    let mut world = World::with(Settings { topic_prefix: "site/".into(), ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    let (_, id) = world.subscribe(&node, 1, "#", Qos::Zero);
    world.deliver(&Down::new("site", b"x").ids(&[id]));
    world.deliver(&Down::new("site/", b"x").ids(&[id]));
    world.silence(&node);
    assert_eq!(world.dropped(Drop::NoSubscriber), 2);
}

#[test]
fn a_hundred_clients_share_one_subscription() {
    let mut world = World::new();
    let nodes: Vec<Device> = (1..=100).map(device).collect();
    let mut id = 0;
    for (number, node) in nodes.iter().enumerate() {
        world.connect(node, &format!("n{number}"));
        id = world.subscribe(node, 1, "all/cmd", Qos::One).1;
    }
    world.deliver(&Down::new("all/cmd", b"x").qos1(1).ids(&[id]));
    // Every second one leaves, by UNSUBSCRIBE or goodbye, in no particular order.
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(payloads(&mut world, node), [(b"x".to_vec(), false)], "{number}");
    }
    assert_eq!(world.acknowledged(), [1]);
    for number in (0..100).map(|number| number * 37 % 100).filter(|number| number % 2 == 0) {
        let (node, by_goodbye) = (&nodes[number], number % 4 == 0);
        let (bye, answer) =
            if by_goodbye { (BYE, BYE) } else { (unsubscribe(2, "all/cmd"), unsuback(2)) };
        world.exchange(node, bye, &[answer]);
    }
    assert_eq!(world.up(), [], "somebody is still subscribed");
    world.deliver(&Down::new("all/cmd", b"y").qos1(2).ids(&[id]));
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(payloads(&mut world, node).len(), number % 2, "{number}");
    }
    assert_eq!(world.acknowledged(), [2]);
    // Those that are left change their QoS: each is found in its new place.
    for node in nodes.iter().skip(1).step_by(2) {
        world.send(node, subscribe(3, "all/cmd", Qos::Zero));
        world.received(node);
    }
    world.deliver(&Down::new("all/cmd", b"z").qos1(3).ids(&[id]));
    for node in nodes.iter().skip(1).step_by(2) {
        assert_eq!(qos_of_the_only(&mut world, node), Qos::Zero);
    }
}

/// §6.9: the topic id of the SUBACK, and §6.10: deliveries use the form that was used last.
#[test]
fn one_topic_subscribed_in_two_forms_is_one_subscription() {
    for (first, second) in [(NAME, PREDEFINED), (PREDEFINED, NAME)] {
        let (mut world, node) = one_client();
        let (_, id) = world.subscribe_to(&node, 1, first, Qos::Zero);
        let (topic_id, _) = world.subscribe_to(&node, 2, second, Qos::Zero);
        let form = if second == PREDEFINED {
            PublishTopic::Predefined(5)
        } else {
            PublishTopic::Normal(topic_id)
        };
        world.deliver(&Down::new("predefined/five", b"x").ids(&[id]));
        world.expect(&node, &[publish(form, Qos::Zero, 0, b"x")]);
        // Either form ends it.
        let bye = Message::Unsubscribe { msg_id: 3, topic: first };
        world.exchange(&node, bye, &[unsuback(3)]);
        assert_eq!(world.unsubscribed().1, "predefined/five");
        world.deliver(&Down::new("predefined/five", b"y").ids(&[id]));
        world.silence(&node);
    }
}

/// The UNSUBSCRIBE goes up before the new SUBSCRIBE, and its late UNSUBACK changes nothing.
#[test]
fn subscribing_again_while_the_unsubscribe_is_under_way() {
    let (mut world, a, b) = two_clients();
    let (_, old) = world.subscribe(&a, 1, "s/#", Qos::Zero);
    world.exchange(&a, unsubscribe(2, "s/#"), &[unsuback(2)]);
    let (unsubscribed, _) = world.unsubscribed();
    for node in [&a, &b] {
        world.exchange(node, subscribe(3, "s/#", Qos::One), &[]);
    }
    let (token, _, _, new, retained) = world.subscribed();
    assert!(retained && new != old, "a new subscription with an identifier of its own");
    world.upstream(UpstreamEvent::Unsubscribed { token: unsubscribed });
    world.granted(token, MqttQos::Two);
    world.expect(&a, &[suback(Qos::One, 0, 3, OK)]);
    let (token, ..) = world.subscribed();
    world.granted(token, MqttQos::Two);
    world.expect(&b, &[suback(Qos::One, 0, 3, OK)]);
    world.deliver(&Down::new("s/1", b"x").ids(&[new]));
    assert_eq!(payloads(&mut world, &a).len(), 1);
    assert_eq!(payloads(&mut world, &b).len(), 1);
    // A message that was sent for the old one is nobody's.
    world.deliver(&Down::new("s/1", b"late").ids(&[old]));
    world.silence_everywhere();
}

/// The same when the connection breaks before the UNSUBACK: what is wanted again stays.
#[test]
fn subscribing_again_while_the_unsubscribe_is_cut_off() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "s/#", Qos::Zero);
    world.exchange(&node, unsubscribe(2, "s/#"), &[unsuback(2)]);
    world.unsubscribed();
    world.broker_down();
    world.exchange(&node, subscribe(3, "s/#", Qos::Zero), &[]);
    world.broker_up(true);
    let (token, filter, _, id, retained) = world.subscribed();
    assert_eq!((filter.as_str(), retained), ("s/#", true));
    world.granted(token, MqttQos::Two);
    world.expect(&node, &[suback(Qos::Zero, 0, 3, OK)]);
    world.deliver(&Down::new("s/1", b"x").ids(&[id]));
    assert_eq!(payloads(&mut world, &node).len(), 1);
}

/// Wanted again, and given up before the broker could be asked: it may still have the one from before,
/// and is told.
#[test]
fn giving_up_again_what_the_broker_still_has() {
    let (mut world, node) = one_client();
    world.subscribe(&node, 1, "s/#", Qos::Zero);
    world.subscribe(&node, 2, "t", Qos::Zero);
    world.broker_down();
    world.exchange(&node, unsubscribe(3, "s/#"), &[unsuback(3)]);
    world.send(&node, subscribe(4, "s/#", Qos::Zero));
    // It speaks MQTT 3.1.1, and has to show first what copies it makes.
    world.old_broker_up(true);
    world.up();
    world.broker_down();
    world.received(&node);
    world.exchange(&node, unsubscribe(5, "s/#"), &[unsuback(5)]);
    world.up();
    world.old_broker_up(true);
    assert_eq!(world.unsubscribed().1, "s/#");
}

// QoS.

/// Up and down, for one client of several; the others keep theirs.
#[test]
fn resubscribing_changes_the_qos_of_one_client_at_once() {
    let (mut world, a, b) = two_clients();
    let (_, id) = world.subscribe(&a, 1, "a", Qos::One);
    world.subscribe(&b, 1, "a", Qos::One);
    for (msg_id, qos) in (2..).zip([Qos::Zero, Qos::Two, Qos::One, Qos::Two, Qos::Zero]) {
        world.subscribe(&a, msg_id, "a", qos);
        world.deliver(&Down::new("a", &msg_id.to_be_bytes()).qos2(msg_id.into()).ids(&[id]));
        assert_eq!(qos_of_the_only(&mut world, &a), qos);
        assert_eq!(qos_of_the_only(&mut world, &b), Qos::One);
    }
}

/// The broker granted less than was asked for: an upgrade cannot give more, and asks each time.
#[test]
fn an_upgrade_beyond_the_brokers_grant_asks_and_gets_that() {
    let (mut world, node) = one_client();
    world.send(&node, subscribe(1, "a", Qos::Zero));
    let (token, _, _, id, _) = world.subscribed();
    world.granted(token, MqttQos::Zero);
    world.expect(&node, &[suback(Qos::Zero, FIRST_ID, 1, OK)]);
    world.exchange(&node, subscribe(2, "a", Qos::Two), &[]);
    let (token, ..) = world.subscribed();
    // Meanwhile it has what it had.
    world.deliver(&Down::new("a", b"x").ids(&[id]));
    world.granted(token, MqttQos::One);
    let received = world.received(&node);
    assert_eq!(received.len(), 2, "SUBACK, then the message");
    assert_eq!(decode(&received[0]).expect("a packet").message, suback(Qos::One, FIRST_ID, 2, OK));
    world.deliver(&Down::new("a", b"y").qos1(1).ids(&[id]));
    assert_eq!(qos_of_the_only(&mut world, &node), Qos::One);
}

/// Each of them is told; nothing stays behind.
#[test]
fn a_refusal_is_for_all_who_waited_for_it() {
    let mut world = World::new();
    let nodes: Vec<Device> = (1..=5).map(device).collect();
    for (number, node) in nodes.iter().enumerate() {
        world.connect(node, &format!("n{number}"));
    }
    world.exchange(&nodes[0], subscribe(1, "secret/#", Qos::One), &[]);
    let (first, ..) = world.subscribed();
    for node in &nodes[1..] {
        world.exchange(node, subscribe(1, "secret/#", Qos::One), &[]);
    }
    world.not_granted(first, Refusal::NotSupported);
    world.expect(&nodes[0], &[suback(Qos::Zero, 0, 1, UNSUPPORTED)]);
    let (second, ..) = world.subscribed();
    world.not_granted(second, Refusal::NotSupported);
    for node in &nodes[1..] {
        world.expect(node, &[suback(Qos::Zero, 0, 1, UNSUPPORTED)]);
    }
    assert_eq!((world.up(), world.gateway.residue()[1..3].to_vec()), (vec![], vec![0, 0]));
}

/// §24.32: once, at the best of its grants, also if the copy that comes first is for the lesser one.
#[test]
fn overlapping_filters_deliver_at_the_highest_grant() {
    for order in [[0, 1], [1, 0]] {
        let (mut world, node) = one_client();
        let ids = [
            world.subscribe(&node, 1, "a/+", Qos::Zero).1,
            world.subscribe(&node, 2, "a/b", Qos::Two).1,
        ];
        for number in order {
            world.deliver(&Down::new("a/b", b"x").qos2(number as u64 + 1).ids(&[ids[number]]));
        }
        assert_eq!(qos_of_the_only(&mut world, &node), Qos::Two, "{order:?}");
        // Identifiers in any order.
        let both = [ids[order[0]], ids[order[1]]];
        world.deliver(&Down::new("a/b", b"y").qos2(9).ids(&both));
        assert_eq!(qos_of_the_only(&mut world, &node), Qos::Two, "{order:?}");
    }
}
