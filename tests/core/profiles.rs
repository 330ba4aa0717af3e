//! Profiles: quirks of client stacks, chosen by client id.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{ClientRule, Limit, Profile, Settings};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);
const AB: PublishTopic = PublishTopic::Short(*b"ab");

/// Clients whose id begins with the name of a profile have that profile.
fn world() -> World {
    let rule = |profile: &Profile| ClientRule {
        id: format!("{}-*", profile.name).into(),
        profile: Profile::named(profile.name).expect("a profile"),
        ..ClientRule::default()
    };
    World::with(Settings { rules: Profile::ALL.iter().map(rule).collect(), ..settings() })
}

/// A client of this profile.
fn client(profile: &str) -> (World, Device) {
    let mut world = world();
    let node = device(1);
    world.connect(&node, &format!("{profile}-1"));
    world.notices();
    (world, node)
}

/// Whether a line tells that a message was given up and why.
#[track_caller]
fn assert_abandoned(world: &mut World, topic: &str) {
    let notices = world.notices();
    let told = notices.iter().any(|line| line.starts_with("abandoned:") && line.contains(topic));
    assert!(told, "{notices:?}");
}

#[test]
fn the_first_rule_that_matches_applies() {
    let rule = |id: &str, profile| ClientRule {
        id: id.into(),
        profile: Profile::named(profile).expect("a profile"),
        ..ClientRule::default()
    };
    let rules = vec![
        rule("meter-7", "standard"),
        rule("meter-?", "nordic"),
        rule("*", "asymcute"),
        rule("meter-*", "emcute"),
    ];
    // What a QoS 2 subscription is granted, and how long a packet may be.
    for (id, granted, longest) in [
        ("meter-7", Qos::Two, usize::MAX),
        ("meter-8", Qos::One, usize::MAX),
        ("meter-17", Qos::One, 128),
        ("other", Qos::One, 128),
    ] {
        let mut world = World::with(Settings { rules: rules.clone(), ..settings() });
        let node = device(1);
        world.connect(&node, id);
        world.send(&node, subscribe(1, "ab", Qos::Two));
        let (token, ..) = world.subscribed();
        world.granted(token, mqtt_sn_gateway::core::upstream::MqttQos::Two);
        world.expect(&node, &[suback(granted, FIRST_ID, 1, OK)]);
        world.deliver(&Down::new("ab", &[0; 200]));
        assert_eq!(world.received(&node).len(), usize::from(longest == usize::MAX), "{id}");
    }
}

#[test]
fn without_a_rule_a_client_is_treated_by_the_book() {
    let mut world = world();
    let node = device(1);
    world.connect(&node, "emcute");
    world.subscribe(&node, 1, "#", Qos::Two);
    world.deliver(&Down::new("a/b", b"x").qos2(1));
    world.expect(&node, &[announce(FIRST_ID, 1, "a/b")]);
}

/// The profile is read at each CONNECT, so a session that is kept may get another one.
#[test]
fn a_profile_is_of_the_client_id() {
    let mut world = world();
    let node = device(1);
    world.connect(&node, "emcute-1");
    world.connect(&node, "standard-1");
    world.subscribe(&node, 1, "#", Qos::Two);
    world.deliver(&Down::new("a/b", b"x"));
    world.expect(&node, &[announce(world_id(&node), 1, "a/b")]);
}

// emcute: no REGISTER.

#[test]
fn emcute_gets_no_register() {
    for asleep in [false, true] {
        let (mut world, node) = client("emcute");
        let (id, _) = world.subscribe(&node, 1, "a/b", Qos::One);
        if asleep {
            world.sleep(&node, 600);
        }
        world.deliver(&Down::new("a/b", b"x").qos1(1));
        if asleep {
            world.send(&node, wake("emcute-1"));
        }
        let by_id = publish(PublishTopic::Normal(id), Qos::One, 1, b"x");
        world.expect(&node, &[by_id]);
        let end: &[Message<'_>] = if asleep { &[PONG] } else { &[] };
        world.exchange(&node, puback(id, 1, OK), end);
    }
}

#[test]
fn emcute_keeps_its_ids_over_a_connect() {
    let mut world = world();
    let node = device(1);
    world.resume(&node, "emcute-1");
    let own = world.register(&node, 1, "own");
    let (id, _) = world.subscribe(&node, 2, "a/b", Qos::Zero);
    world.subscribe(&node, 3, "own", Qos::Zero);
    for again in 0..3 {
        match again {
            0 => world.exchange(&node, BYE, &[BYE]),
            1 => world.sleep(&node, 600),
            _ => world.pass(seconds(6)),
        }
        world.resume(&node, "emcute-1");
        world.deliver(&Down::new("a/b", b"x"));
        world.deliver(&Down::new("own", b"y"));
        let x = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x");
        let y = publish(PublishTopic::Normal(own), Qos::Zero, 0, b"y");
        world.expect(&node, &[x, y]);
    }
    // A clean session has no ids, and no subscription either.
    world.pass(seconds(6));
    world.connect(&node, "emcute-1");
    world.deliver(&Down::new("a/b", b"x"));
    world.silence(&node);
}

#[test]
fn emcute_cannot_subscribe_to_wildcards_and_the_log_says_why() {
    let (mut world, node) = client("emcute");
    for (msg_id, filter) in (1..).zip(["#", "a/#", "a/+/b", "+"]) {
        let refusal = suback(Qos::Zero, 0, msg_id, UNSUPPORTED);
        world.exchange(&node, subscribe(msg_id, filter, Qos::One), &[refusal]);
        let notices = world.notices();
        let told = format!("refused: emcute-1 SUBSCRIBE {filter} 3");
        assert!(notices.contains(&told), "{notices:?}");
    }
    assert_eq!((world.up(), world.gateway.residue()[1]), (vec![], 0));
    // Others may.
    world.connect(&device(2), "standard-1");
    world.subscribe(&device(2), 1, "#", Qos::One);
}

/// A short name needs no id, so it can be delivered whatever the subscription.
#[test]
fn emcute_gets_short_names() {
    let (mut world, node) = client("emcute");
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    world.expect(&node, &[publish(AB, Qos::One, 1, b"x")]);
}

/// After "invalid topic id" there is no way to announce it: tried again at leisure, then given up,
/// and said.
#[test]
fn emcute_that_knows_no_id_loses_that_message_only() {
    let (mut world, node) = client("emcute");
    let (id, _) = world.subscribe(&node, 1, "a/b", Qos::One);
    world.subscribe_to(&node, 2, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.deliver(&Down::new("ab", b"y").qos1(2));
    let by_id = publish(PublishTopic::Normal(id), Qos::One, 1, b"x");
    world.expect(&node, &[by_id]);
    let mut tries = 1;
    let rest = loop {
        world.send(&node, puback(id, 1, INVALID_ID));
        let at_once = world.received(&node);
        world.pass(RETRY - seconds(1));
        world.silence(&node);
        world.pass(seconds(1));
        let later = world.received(&node);
        if !at_once.is_empty() {
            break at_once;
        }
        world.silence(&node);
        assert_eq!(payloads_of(&later), [b"x"]);
        tries += 1;
    };
    assert_eq!(payloads_of(&rest), [b"y"]);
    assert!((2..=4).contains(&tries), "{tries} tries");
    assert_abandoned(&mut world, "a/b");
    // Since it did not get on with the first the broker does not wait for it.
    assert_eq!(world.acknowledged(), [1, 2]);
    world.exchange(&node, puback(0x6162, 2, OK), &[]);
    assert_eq!((world.stats().lost, world.stats().buffered), (0, 0));
}

/// It subscribes anew, as it does when it lost its tables: SUBACK tells it the id, and all is well.
#[test]
fn emcute_learns_its_ids_again_by_subscribing() {
    let (mut world, node) = client("emcute");
    let (id, _) = world.subscribe(&node, 1, "a/b", Qos::One);
    world.deliver(&Down::new("a/b", b"x").qos1(1));
    world.received(&node);
    world.exchange(&node, puback(id, 1, INVALID_ID), &[]);
    world.exchange(&node, subscribe(2, "a/b", Qos::One), &[suback(Qos::One, id, 2, OK)]);
    world.pass(RETRY);
    let (topic, _, msg_id, dup) = world.one_publish(&node);
    assert_eq!((topic, msg_id, dup), (PublishTopic::Normal(id), 1, false));
    world.exchange(&node, puback(id, 1, OK), &[]);
    assert_eq!(world.acknowledged_among_all(), [1]);
}

// emcute: no flags.

#[test]
fn emcute_gets_no_dup_and_no_retain() {
    let (mut world, node) = client("emcute");
    world.send(&node, subscribe(1, "a/b", Qos::One));
    let (token, _, qos, id, _) = world.subscribed();
    world.granted(token, qos);
    world.received(&node);
    world.deliver(&Down::new("a/b", b"old").qos1(1).retained().ids(&[id]));
    let plain = publish(NORMAL, Qos::One, 1, b"old");
    world.expect(&node, &[plain]);
    world.pass(RETRY);
    world.expect(&node, &[plain]);
    // In the next window of a sleeper neither.
    world.sleep(&node, 600);
    world.exchange(&node, wake("emcute-1"), &[plain]);
    world.exchange(&node, wake("emcute-1"), &[plain]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
}

/// For comparison, and so that the flags are not lost to all.
#[test]
fn others_get_dup_and_retain() {
    for profile in Profile::ALL.iter().filter(|profile| profile.dup && profile.retain) {
        let (mut world, node) = client(profile.name);
        world.send(&node, subscribe(1, "a/b", Qos::One));
        let (token, _, qos, id, _) = world.subscribed();
        world.granted(token, qos);
        world.received(&node);
        world.deliver(&Down::new("a/b", b"old").qos1(1).retained().ids(&[id]));
        let old = retained(publish(NORMAL, Qos::One, 1, b"old"));
        world.expect(&node, &[old]);
        world.pass(RETRY);
        world.expect(&node, &[again(old)]);
    }
}

/// It subscribes by predefined ids, and knows one kind of id only in a PUBLISH: the normal one.
#[test]
fn emcute_gets_predefined_ids_as_normal_ones() {
    for qos in [Qos::Zero, Qos::One] {
        let (mut world, node) = client("emcute");
        world.subscribe_to(&node, 1, SubscribeTopic::Predefined(5), qos);
        world.deliver(&Down::new("predefined/five", b"x").qos1(1));
        let msg_id = u16::from(qos != Qos::Zero);
        world.expect(&node, &[publish(PublishTopic::Normal(5), qos, msg_id, b"x")]);
        // No normal id of its can be the same.
        assert!(world.register(&node, 2, "other") > 6);

        // By name it is the id of the SUBACK.
        let (mut world, node) = client("emcute");
        let (id, _) = world.subscribe(&node, 1, "predefined/five", qos);
        world.deliver(&Down::new("predefined/five", b"x").qos1(1));
        world.expect(&node, &[publish(PublishTopic::Normal(id), qos, msg_id, b"x")]);
    }
    // Towards the gateway they are what they are.
    let (mut world, node) = client("emcute");
    world.exchange(&node, publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"), &[]);
    assert_eq!(world.published_topics(), ["predefined/five"]);
}

/// asymcute takes no REGISTER either, but has predefined ids and flags.
#[test]
fn asymcute_gets_no_register_either() {
    let (mut world, node) = client("asymcute");
    let refusal = suback(Qos::Zero, 0, 1, UNSUPPORTED);
    world.exchange(&node, subscribe(1, "a/#", Qos::One), &[refusal]);
    world.subscribe_to(&node, 2, SubscribeTopic::Predefined(5), Qos::One);
    world.deliver(&Down::new("predefined/five", b"x").qos1(1));
    let by_id = publish(PublishTopic::Predefined(5), Qos::One, 1, b"x");
    world.expect(&node, &[by_id]);
    world.pass(RETRY);
    world.expect(&node, &[again(by_id)]);
    world.exchange(&node, puback(5, 1, OK), &[]);
    // Its ids outlive a CONNECT.
    let (id, _) = world.subscribe(&node, 3, "a/b", Qos::Zero);
    world.sleep(&node, 600);
    world.deliver(&Down::new("a/b", b"y"));
    let by_id = publish(PublishTopic::Normal(id), Qos::Zero, 0, b"y");
    world.exchange(&node, connect("asymcute-1", true, 60), &[connack(OK), by_id]);
}

// QoS.

#[test]
fn subscriptions_are_granted_what_the_stack_can_do() {
    use mqtt_sn_gateway::core::upstream::MqttQos;
    for profile in Profile::ALL {
        for requested in [Qos::Zero, Qos::One, Qos::Two] {
            let (mut world, node) = client(profile.name);
            world.send(&node, subscribe(1, "a/b", requested));
            let (token, ..) = world.subscribed();
            world.granted(token, MqttQos::Two);
            let granted = if profile.max_qos == MqttQos::One && requested == Qos::Two {
                Qos::One
            } else {
                requested
            };
            world.expect(&node, &[suback(granted, FIRST_ID, 1, OK)]);
            world.deliver(&Down::new("a/b", b"x").qos2(1));
            let (_, qos, _, _) = world.one_publish(&node);
            assert_eq!(qos, granted, "{}", profile.name);
            // Also when the broker has granted the filter before, to somebody else.
            world.connect(&device(2), &format!("{}-2", profile.name));
            let msg = subscribe(1, "a/b", requested);
            let id = world_id(&device(2));
            world.exchange(&device(2), msg, &[suback(granted, id, 1, OK)]);
        }
    }
}

/// What the device sends is not limited by what it can receive.
#[test]
fn publications_of_the_device_keep_their_qos() {
    for profile in Profile::ALL {
        let (mut world, node) = client(profile.name);
        world.exchange(&node, publish(AB, Qos::Two, 1, b"x"), &[]);
        let (token, qos, ..) = world.published();
        assert_eq!(qos, mqtt_sn_gateway::core::upstream::MqttQos::Two);
        world.received_upstream(token);
        world.expect(&node, &[pubrec(1)]);
    }
}

// Room.

/// What the device has no room for is given up at once, counted and said, and holds up nothing.
#[test]
fn names_longer_than_the_stack_can_take() {
    let (name, longest) = ("zephyr", 64);
    for qos in [Qos::Zero, Qos::One] {
        let (mut world, node) = client(name);
        world.subscribe(&node, 1, "#", qos);
        let fits = "n".repeat(longest);
        let long = "n".repeat(longest + 1);
        world.deliver(&Down::new(&long, b"1").qos1(1));
        world.silence(&node);
        assert_abandoned(&mut world, &long);
        assert_eq!((world.limit(Limit::PacketSize), world.acknowledged()), (1, vec![1]));
        world.deliver(&Down::new(&fits, b"2").qos1(2));
        let received = world.received(&node);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].get(1), Some(&0x0A), "REGISTER");
        // A sleeper gets its PINGRESP.
        world.connect(&device(2), &format!("{name}-2"));
        world.subscribe(&device(2), 1, "#", qos);
        world.sleep(&device(2), 600);
        world.deliver(&Down::new(&long, b"3").qos1(3));
        world.exchange(&device(2), PING, &[PONG]);
    }
}

/// A name that the device knows already is no matter of REGISTER any more.
#[test]
fn a_long_name_that_the_device_has_registered_itself() {
    let (mut world, node) = client("zephyr");
    let long = "n".repeat(100);
    let id = world.register(&node, 1, &long);
    world.subscribe(&node, 2, "#", Qos::Zero);
    world.deliver(&Down::new(&long, b"x"));
    world.expect(&node, &[publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x")]);
}

#[test]
fn packets_longer_than_the_stack_can_take() {
    for (name, longest) in [("asymcute", 128), ("microbit", 60)] {
        for asleep in [false, true] {
            let (mut world, node) = client(name);
            world.subscribe(&node, 1, "ab", Qos::One);
            if asleep {
                world.sleep(&node, 600);
            }
            world.deliver(&Down::new("ab", &vec![1; longest - 6]).qos1(1));
            world.deliver(&Down::new("ab", &vec![2; longest - 7]).qos1(2));
            if asleep {
                world.send(&node, PING);
            }
            assert_eq!(payloads_of(&world.drain(&node)), [vec![2; longest - 7]], "{name}");
            assert_abandoned(&mut world, "ab");
            assert_eq!(world.limit(Limit::PacketSize), 1);
        }
        // REGISTER too is a packet.
        let (mut world, node) = client("microbit");
        world.subscribe(&node, 1, "#", Qos::One);
        world.deliver(&Down::new(&"n".repeat(55), b"x").qos1(1));
        world.silence(&node);
        world.deliver(&Down::new(&"n".repeat(54), b"x").qos1(1));
        assert_eq!(world.received(&node).len(), 1);
    }
}

/// The narrower of link and stack counts; a forwarder's header is the link's business.
#[test]
fn the_narrower_of_link_and_stack() {
    use mqtt_sn_gateway::core::LinkSettings;
    let profile = Profile::named("microbit").expect("it");
    let rule = ClientRule { id: "*".into(), profile, ..ClientRule::default() };
    for (link, room) in [(50, 50), (70, 60)] {
        let links = vec![LinkSettings { max_packet: link, ..LinkSettings::default() }];
        let mut world = World::with(Settings { rules: vec![rule.clone()], links, ..settings() });
        let node = device(1);
        world.connect(&node, "n1");
        world.subscribe(&node, 1, "ab", Qos::Zero);
        world.deliver(&Down::new("ab", &vec![0; room - 6]));
        world.silence(&node);
        world.deliver(&Down::new("ab", &vec![0; room - 7]));
        assert_eq!(world.received(&node).len(), 1);
    }
}

/// A device that keeps quiet about a REGISTER that it cannot store (as Zephyr does) is not lost, and
/// is announced the topic again with the same message id.
#[test]
fn zephyr_without_room_for_another_topic() {
    let (mut world, node) = client("zephyr");
    world.subscribe(&node, 1, "#", Qos::Zero);
    world.deliver(&Down::new("a/b", b"x"));
    let register = announce(FIRST_ID, 1, "a/b");
    world.expect(&node, &[register]);
    for _ in 0..3 {
        world.pass(RETRY - seconds(1));
        world.exchange(&node, PING, &[PONG]);
        world.pass(seconds(1));
        world.expect(&node, &[register]);
    }
    world.pass(seconds(60));
    world.silence(&node);
    assert_eq!((world.stats().lost, world.stats().abandoned), (0, 1));
}
