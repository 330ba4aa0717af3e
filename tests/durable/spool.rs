//! Publications while the broker is away.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::Drop;
use mqtt_sn_gateway::mqtt::{Spool, Version};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{self, Packet, Publish};

/// Three clean clients with a topic id each, and no broker.
fn company(version: Version, spool: Spool) -> (World, [(Device, u16); 3]) {
    let mut world = World::begin(version, settings(), spool);
    let company = [1, 2, 3].map(|number| {
        let node = device(number);
        world.connect(&node, &format!("n{number}"));
        let id = world.register(&node, 1, &format!("t{number}"));
        (node, id)
    });
    (world, company)
}

/// Publishes texts at QoS 1, each acknowledged at once, with message ids from 100 on.
#[track_caller]
fn spool(world: &mut World, (node, id): &(Device, u16), texts: &[&str]) {
    for (number, text) in texts.iter().enumerate() {
        let msg_id = 100 + number as u16;
        let message = publish_to(*id, Qos::One, msg_id, text.as_bytes());
        world.exchange(node, message, &[puback(*id, msg_id, OK)]);
    }
}

#[test]
fn what_was_acknowledged_while_the_broker_was_away_arrives_in_order() {
    for restart in [false, true] {
        let (mut world, [node, ..]) = company(Version::V311, Spool::default());
        spool(&mut world, &node, &["1", "2", "3", "4"]);
        if restart {
            world.restart();
        }
        world.broker_up(true);
        assert_eq!(world.payloads_up(), ["1", "2", "3", "4"]);
    }
}

/// A device publishes at these QoS, one after the other, while the broker is away. Gives the order in
/// which the broker gets it.
fn through_the_spool(levels: &[Qos]) -> Vec<String> {
    let spool = Spool { qos0: true, ..Spool::default() };
    let (mut world, [(node, id), ..]) = company(Version::V311, spool);
    for (number, qos) in levels.iter().enumerate() {
        let text = number.to_string();
        world.send(&node, publish_to(id, *qos, number as u16 + 1, text.as_bytes()));
    }
    world.flush();
    world.restart();
    world.broker_up(true);
    world.payloads_up()
}

#[test]
fn each_qos_stays_in_order() {
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        assert_eq!(through_the_spool(&[qos; 5]), ["0", "1", "2", "3", "4"]);
    }
}

#[test]
fn what_a_device_published_at_different_qos_stays_in_order() {
    let levels = [Qos::Two, Qos::One, Qos::Zero, Qos::One, Qos::Two];
    assert_eq!(through_the_spool(&levels), ["0", "1", "2", "3", "4"]);
}

#[test]
fn what_was_on_its_way_when_the_broker_went_is_acknowledged_from_the_spool() {
    let (mut world, node, id) = publisher();
    world.send(&node, publish_to(id, Qos::One, 1, b"one"));
    world.send(&node, publish_to(id, Qos::Two, 2, b"two"));
    assert_eq!(world.payloads_up(), ["one", "two"]);
    world.silence(&node);
    world.broker_down();
    world.expect(&node, &[puback(id, 1, OK), pubrec(2)]);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    world.obliging = true;
    world.broker_up(true);
    let said = world.sent();
    let dups = said.iter().filter(|packet| matches!(packet, Packet::Publish(p) if p.dup));
    assert_eq!(dups.count(), 2, "{said:?}");
    world.silence(&node);
}

#[test]
fn a_device_that_repeats_what_the_broker_does_not_answer_is_answered_from_the_spool() {
    for (qos, restart) in [(Qos::One, false), (Qos::One, true), (Qos::Two, false)] {
        let (mut world, node, id) = publisher();
        let message = publish_to(id, qos, 1, b"x");
        let answer = if qos == Qos::One { puback(id, 1, OK) } else { pubrec(1) };
        world.exchange(&node, message, &[]);
        let publish = world.published();
        if qos == Qos::One {
            world.writes = false;
            world.exchange(&node, again(message), &[]);
            assert!(world.commit());
            world.expect(&node, &[answer]);
            world.writes = true;
        }
        world.exchange(&node, again(message), &[answer]);
        if restart {
            world.restart();
            world.broker_up(true);
            assert_eq!(world.published().payload, b"x");
            continue;
        }
        // The broker's late answer is for nobody but the gateway.
        world.expect_up(&[]);
        if qos == Qos::One {
            world.say(mqtt::puback(publish.id));
        } else {
            world.say(mqtt::pubrec(publish.id));
            world.expect_up(&[Packet::Pubrel(publish.id)]);
            world.say(mqtt::pubcomp(publish.id));
        }
        world.silence(&node);
        world.flush();
        world.restart();
        world.broker_up(true);
        world.expect_up(&[]);
    }
}

/// An MQTT 5 broker that takes two publications at a time.
const WINDOW: [u8; 8] = [0x20, 6, 1, 0, 3, 0x21, 0, 2];

#[test]
fn a_client_with_something_in_the_spool_stays_behind_it_and_others_are_served_beside_it() {
    let (mut world, [busy, live, _]) = company(Version::V5, Spool::default());
    spool(&mut world, &busy, &["1", "2", "3", "4", "5"]);
    world.open_stream();
    world.sent();
    world.say(WINDOW.to_vec());
    let (node, id) = &live;
    world.send(node, publish_to(*id, Qos::One, 1, b"live"));
    world.silence(node);
    // Behind its own messages, and so it need not wait for the broker.
    let (node, id) = &busy;
    world.exchange(node, publish_to(*id, Qos::One, 200, b"6"), &[puback(*id, 200, OK)]);
    let mut order = Vec::new();
    let mut open: std::collections::VecDeque<Packet> = world.sent().into();
    while let Some(packet) = open.pop_front() {
        let Packet::Publish(Publish { id, payload, .. }) = packet else { panic!("{packet:?}") };
        order.push(String::from_utf8(payload).expect("text"));
        world.say(mqtt::puback(id));
        open.extend(world.sent());
    }
    let behind: Vec<_> = order.iter().filter(|text| *text != "live").collect();
    assert_eq!(behind, ["1", "2", "3", "4", "5", "6"]);
    let turn = order.iter().position(|text| text == "live").expect("it was sent");
    assert!(turn <= 3, "{order:?}");
    let (node, id) = &live;
    world.expect(node, &[puback(*id, 1, OK)]);
    // Worked off: from now on it waits for the broker again.
    let (node, id) = &busy;
    world.exchange(node, publish_to(*id, Qos::One, 201, b"7"), &[]);
}

#[test]
fn the_spool_gives_congestion_when_it_is_full_and_takes_more_when_it_has_room() {
    // Topic and payload, and 64 octets more.
    let limits = Spool { max_bytes: 3 * (2 + 1 + 64), ..Spool::default() };
    for restart in [false, true] {
        let (mut world, [busy, other, _]) = company(Version::V311, limits);
        spool(&mut world, &busy, &["1", "2", "3"]);
        if restart {
            world.restart();
        }
        let (node, id) = &other;
        for qos in [Qos::One, Qos::Two] {
            let message = publish_to(*id, qos, 1, b"4");
            world.exchange(node, message, &[puback(*id, 1, CONGESTION)]);
        }
        world.obliging = true;
        world.broker_up(true);
        assert_eq!(world.payloads_up(), ["1", "2", "3"]);
        world.broker_down();
        let message = publish_to(*id, Qos::One, 2, b"4");
        world.exchange(node, message, &[puback(*id, 2, OK)]);
    }
}

#[test]
fn a_full_spool_does_not_keep_qos_1_from_a_broker_that_is_there() {
    let limits = Spool { max_bytes: 1, ..Spool::default() };
    let (mut world, [(node, id), ..]) = company(Version::V311, limits);
    world.exchange(&node, publish_to(id, Qos::One, 1, b"x"), &[puback(id, 1, CONGESTION)]);
    world.obliging = true;
    world.broker_up(true);
    world.exchange(&node, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, OK)]);
    world.exchange(&node, publish_to(id, Qos::Two, 3, b"x"), &[puback(id, 3, CONGESTION)]);
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn what_has_waited_too_long_is_thrown_away_and_said() {
    let limits = Spool { max_age: HOUR, ..Spool::default() };
    for restart in [false, true] {
        let (mut world, [first, second, _]) = company(Version::V311, limits);
        spool(&mut world, &first, &["old", "older"]);
        world.pass(HOUR - seconds(5));
        spool(&mut world, &second, &["new"]);
        if restart {
            // Also while nobody was there.
            world.restart_after(seconds(10));
        } else {
            world.pass(seconds(10));
        }
        world.notices();
        world.broker_up(true);
        assert_eq!(world.payloads_up(), ["new"]);
        assert_eq!(world.notices(), ["wasted: t1, expired", "wasted: t1, expired"]);
        assert_eq!(world.engine().gateway().stats().wasted, 2);
        world.flush();
        world.restart();
        world.broker_up(true);
        assert_eq!(world.payloads_up(), ["new"]);
    }
}

#[test]
fn what_has_waited_too_long_makes_room_while_the_broker_is_away() {
    let limits = Spool { max_age: HOUR, max_bytes: 2 * (2 + 1 + 64), ..Spool::default() };
    let (mut world, [first, (node, id), _]) = company(Version::V311, limits);
    spool(&mut world, &first, &["1", "2"]);
    world.exchange(&node, publish_to(id, Qos::One, 1, b"x"), &[puback(id, 1, CONGESTION)]);
    world.pass(HOUR + seconds(60));
    world.exchange(&node, connect("n2", true, 3_600), &[connack(OK)]);
    let id = world.register(&node, 2, "t2");
    world.exchange(&node, publish_to(id, Qos::One, 3, b"x"), &[puback(id, 3, OK)]);
}

#[test]
fn qos_0_is_dropped_and_counted_unless_it_is_to_be_kept() {
    for qos0 in [false, true] {
        let spool_settings = Spool { qos0, ..Spool::default() };
        let (mut world, [(node, id), ..]) = company(Version::V311, spool_settings);
        world.exchange(&node, publish_to(id, Qos::One, 1, b"1"), &[puback(id, 1, OK)]);
        world.exchange(&node, publish_to(id, Qos::Zero, 0, b"2"), &[]);
        world.exchange(&node, publish_to(id, Qos::One, 3, b"3"), &[puback(id, 3, OK)]);
        assert_eq!(world.dropped(Drop::BrokerAway), u64::from(!qos0));
        world.flush();
        world.restart();
        world.broker_up(true);
        let said = world.payloads_up();
        let wanted: &[&str] = if qos0 { &["1", "2", "3"] } else { &["1", "3"] };
        assert_eq!(said, wanted);
    }
}

#[test]
fn qos_0_that_was_kept_is_sent_once_at_most() {
    let (mut world, [(node, id), ..]) =
        company(Version::V311, Spool { qos0: true, ..Spool::default() });
    world.send(&node, publish_to(id, Qos::Zero, 0, b"x"));
    let unconnected = publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"y");
    world.send(&device(77), unconnected);
    world.flush();
    world.writes = false;
    world.broker_up(true);
    world.expect_up(&[]);
    assert!(world.commit());
    assert_eq!(world.payloads_up(), ["x", "y"]);
    world.restart();
    world.writes = true;
    world.broker_up(true);
    world.expect_up(&[]);
}

#[test]
fn a_publication_that_the_broker_refuses_after_it_was_acknowledged_is_said() {
    let (mut world, [(node, id), ..]) = company(Version::V5, Spool::default());
    world.exchange(&node, publish_to(id, Qos::One, 1, b"one"), &[puback(id, 1, OK)]);
    world.exchange(&node, publish_to(id, Qos::Two, 2, b"two"), &[pubrec(2)]);
    world.broker_up(true);
    world.notices();
    for packet in world.sent() {
        match packet {
            Packet::Publish(Publish { qos: 1, id, .. }) => world.say(mqtt::refusing_puback(id)),
            Packet::Publish(Publish { id, .. }) => world.say(mqtt::refusing_pubrec(id)),
            other => panic!("{other:?}"),
        };
    }
    let said = ["complaint: t1, 0x87", "wasted: t1, refused"];
    assert_eq!(world.notices(), [said, said].concat());
    assert_eq!(world.engine().gateway().stats().wasted, 2);
    world.exchange(&node, pubrel(2), &[pubcomp(2)]);
    world.flush();
    world.restart();
    world.broker_up(true);
    world.expect_up(&[]);
}

#[test]
fn a_refusal_of_a_broker_that_is_there_is_the_devices() {
    let (mut world, [(node, id), ..]) = company(Version::V5, Spool::default());
    world.broker_up(true);
    for (qos, msg_id) in [(Qos::One, 1), (Qos::Two, 2)] {
        let message = publish_to(id, qos, msg_id, b"x");
        world.exchange(&node, message, &[]);
        let publish = world.published();
        let refuse = if qos == Qos::One { mqtt::refusing_puback } else { mqtt::refusing_pubrec };
        world.say(refuse(publish.id));
        world.expect(&node, &[puback(id, msg_id, UNSUPPORTED)]);
        // Nothing of it is left to be taken for a message that the gateway has.
        world.flush();
        world.restart();
        world.broker_up(true);
        world.expect_up(&[]);
        world.exchange(&node, again(message), &[]);
        world.published();
        world.pass(seconds(120));
    }
    assert_eq!(world.engine().gateway().stats().wasted, 0);
}

#[test]
fn a_will_while_the_broker_is_away_waits_in_the_spool() {
    for restart in [false, true] {
        let mut world = World::offline();
        let node = device(1);
        world.connect_with_will(&node, "n1", "gone");
        world.pass(seconds(100));
        assert!(world.notices().contains(&"lost: n1, silent, will true".to_owned()));
        if restart {
            world.restart();
        }
        world.broker_up(true);
        let will = world.published();
        assert_eq!((&*will.topic, &will.payload[..], will.qos), ("will", &b"gone"[..], 1));
    }
}

#[test]
fn a_will_stands_behind_what_its_client_had_published() {
    let mut world = World::offline();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    let id = world.register(&node, 1, "a");
    world.exchange(&node, publish_to(id, Qos::One, 2, b"last"), &[puback(id, 2, OK)]);
    world.pass(seconds(100));
    world.restart();
    world.broker_up(true);
    assert_eq!(world.payloads_up(), ["last", "gone"]);
}

#[test]
fn connect_register_and_sleep_need_no_broker() {
    let mut world = World::offline();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a");
    world.sleep(&node, 60);
    world.exchange(&node, wake("n1"), &[PONG]);
    world.restart();
    world.resume(&node, "n1");
    world.exchange(&node, register(2, "a"), &[regack(id, 2, OK)]);
}

#[test]
fn a_subscription_is_accepted_while_the_broker_is_away_and_made_when_it_is_back() {
    for restart in [false, true] {
        let mut world = World::offline();
        let node = device(1);
        world.connect(&node, "n1");
        world.flush();
        world.writes = false;
        world.exchange(&node, subscribe(1, "a/b", Qos::One), &[]);
        assert!(world.commit());
        world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
        world.writes = true;
        if restart {
            world.restart();
        }
        world.broker_up(true);
        let (id, filter, _) = world.subscribed();
        assert_eq!(filter, "a/b");
        world.grant(id, 2);
        world.silence(&node);
        world.deliver("a/b", b"x", 0);
        world.one_publish(&node, b"x");
    }
}

#[test]
fn a_subscription_that_waits_for_a_broker_that_goes_is_answered_by_the_gateway() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.exchange(&node, subscribe(1, "a/b", Qos::One), &[]);
    world.subscribed();
    world.broker_down();
    world.expect(&node, &[suback(Qos::One, FIRST_ID, 1, OK)]);
    world.broker_up(true);
    assert_eq!(world.subscribed().1, "a/b");
}

#[test]
fn a_subscription_made_while_the_broker_was_away_and_refused_by_it_is_said() {
    let mut world = World::offline();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.broker_up(true);
    world.notices();
    let (id, ..) = world.subscribed();
    world.grant(id, 0x80);
    assert_eq!(world.notices(), ["subscription lost: a/b"]);
    world.exchange(&node, PING, &[PONG]);
}

#[test]
fn the_answer_to_a_will_dialogue_comes_before_that_of_the_spool() {
    let (mut world, node, id) = publisher();
    world.exchange(&node, publish_to(id, Qos::One, 1, b"x"), &[]);
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.broker_down();
    world.silence(&node);
    world.exchange(&node, will_topic("w", Qos::One, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
}
