//! Clients go on where they were: state, address, topic ids, subscriptions, wills, times.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{ClientRule, LinkSettings, Profile};

use crate::conversations::*;
use crate::harness::*;
use crate::messages::*;
use crate::mqtt::{Packet, Publish};

#[test]
fn an_active_client_goes_on_at_its_address_without_a_word() {
    for clean in [true, false] {
        let mut world = World::obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        world.restart();
        world.silence_everywhere();
        world.exchange(&node, PING, &[PONG]);
        let stats = world.engine().gateway().stats();
        assert_eq!((stats.clients, stats.connected, stats.asleep), (1, 1, 0));
    }
}

#[test]
fn a_sleeping_client_is_still_asleep() {
    for clean in [true, false] {
        let mut world = World::obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        let id = world.subscribe(&node, 1, "a/b", Qos::One);
        world.sleep(&node, 600);
        world.restart();
        world.broker_up(true);
        world.deliver("a/b", b"x", 1);
        world.silence(&node);
        assert_eq!(world.engine().gateway().stats().asleep, 1);
        world.send(&node, wake("n1"));
        assert_eq!(world.collect(&node), ["x"]);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        world.exchange(&node, register(2, "a/b"), &[regack(id, 2, OK)]);
    }
}

#[test]
fn a_client_that_was_awake_collects_again() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.sleep(&node, 600);
    world.deliver("a/b", b"one", 1);
    world.deliver("a/b", b"two", 1);
    world.send(&node, wake("n1"));
    let (msg_id, _) = world.one_publish(&node, b"one");
    world.restart();
    world.silence(&node);
    // An answer out of its window is a sign of life and nothing else.
    world.send(&node, puback(0, msg_id, OK));
    world.silence(&node);
    world.send(&node, wake("n1"));
    assert_eq!(world.collect(&node), ["one", "two"]);
}

#[test]
fn of_a_client_that_said_goodbye_the_persistent_session_remains_and_no_other() {
    for clean in [true, false] {
        let mut world = World::obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        let id = world.register(&node, 1, "a/b");
        world.subscribe(&node, 2, "c", Qos::One);
        world.leave(&node);
        world.restart();
        world.broker_up(true);
        world.exchange(&node, PING, &[BYE]);
        world.deliver("c", b"x", 1);
        world.send(&node, connect("n1", false, 60));
        let resumed = if clean { "connected: n1" } else { "connected: n1, resumed" };
        assert!(world.notices().contains(&resumed.to_owned()));
        assert_eq!(world.engine().gateway().stats().buffered, u64::from(!clean));
        let collected = world.collect(&node);
        if clean {
            assert_eq!(collected, [""; 0]);
        } else {
            assert_eq!(collected, ["x"]);
            world.exchange(&node, register(3, "a/b"), &[regack(id, 3, OK)]);
        }
    }
}

#[test]
fn a_client_in_its_will_dialogue_begins_anew() {
    let mut world = World::obliging();
    let node = device(1);
    world.exchange(&node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
    world.flush();
    world.restart();
    world.exchange(&node, will_topic("w", Qos::One, false), &[]);
    world.connect_with_will(&node, "n1", "gone");
}

#[test]
fn a_client_may_come_back_from_another_address() {
    let mut world = World::obliging();
    let (sleeper, walker) = (device(1), device(2));
    world.connect(&sleeper, "n1");
    world.subscribe(&sleeper, 1, "a", Qos::One);
    world.sleep(&sleeper, 600);
    world.resume(&walker, "n2");
    let id = world.register(&walker, 1, "b");
    world.restart();
    world.broker_up(true);
    world.deliver("a", b"x", 1);
    let elsewhere = device(11);
    world.send(&elsewhere, wake("n1"));
    assert_eq!(world.collect(&elsewhere), ["x"]);
    let elsewhere = device(12);
    world.exchange(&elsewhere, connect("n2", false, 3_600), &[connack(OK)]);
    world.exchange(&elsewhere, register(2, "b"), &[regack(id, 2, OK)]);
    let moves = world.notices().into_iter().filter(|notice| notice.starts_with("moved"));
    assert_eq!(moves.collect::<Vec<_>>(), ["moved: n1", "moved: n2"]);
    // And stays there over the next restart.
    world.restart();
    world.exchange(&elsewhere, PING, &[PONG]);
    world.exchange(&walker, PING, &[BYE]);
}

#[test]
fn an_address_that_went_from_one_client_to_another_is_the_others() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.sleep(&node, 600);
    let id = world.register(&node, 1, "a");
    world.connect(&node, "n2");
    let other = world.register(&node, 1, "b");
    assert_ne!(id, other);
    world.flush();
    world.restart();
    world.exchange(&node, register(2, "b"), &[regack(other, 2, OK)]);
    // The sleeper is found by its client id.
    let elsewhere = device(2);
    world.exchange(&elsewhere, wake("n1"), &[PONG]);
    world.exchange(&elsewhere, register(2, "a"), &[regack(id, 2, OK)]);
}

#[test]
fn a_node_behind_a_forwarder_is_still_there() {
    let mut world = World::obliging();
    let (node, sibling) = (device(1).node(b"A"), device(1).node(b"B"));
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a", Qos::One);
    world.restart();
    world.broker_up(true);
    world.deliver("a", b"x", 1);
    assert_eq!(world.collect(&node), ["x"]);
    world.exchange(&node, PING, &[PONG]);
    world.exchange(&sibling, PING, &[BYE]);
    world.exchange(&device(1), PING, &[BYE]);
}

#[test]
fn topic_ids_are_valid_both_ways_and_need_not_be_told_again() {
    let mut world = World::obliging_five();
    let node = device(1);
    world.connect(&node, "n1");
    let up = world.register(&node, 1, "up");
    let down = world.subscribe(&node, 2, "down/x", Qos::One);
    world.subscribe(&node, 3, "wild/#", Qos::One);
    world.deliver("wild/one", b"1", 1);
    assert_eq!(world.collect(&node), ["1"]);
    world.flush();
    world.restart();
    world.broker_up(true);
    world.sent();
    world.exchange(&node, publish_to(up, Qos::One, 9, b"x"), &[puback(up, 9, OK)]);
    assert_eq!(world.published().topic, "up");
    world.deliver("down/x", b"2", 0);
    world.expect(&node, &[publish_to(down, Qos::Zero, 0, b"2")]);
    // Told by REGISTER and acknowledged.
    world.deliver("wild/one", b"3", 0);
    world.expect(&node, &[publish_to(down + 1, Qos::Zero, 0, b"3")]);
    world.deliver("wild/two", b"4", 0);
    let bytes = world.only(&node);
    assert_eq!(bytes[1], 0x0A, "REGISTER");
    assert_eq!(bytes[2..4], (down + 2).to_be_bytes());
}

#[test]
fn a_topic_that_was_refused_stays_refused() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::One);
    world.deliver("a/b", b"x", 0);
    let bytes = world.only(&node);
    let (topic_id, msg_id) = (FIRST_ID, u16::from_be_bytes([bytes[4], bytes[5]]));
    world.send(&node, regack(topic_id, msg_id, UNSUPPORTED));
    world.flush();
    world.restart();
    world.broker_up(true);
    world.deliver("a/b", b"x", 0);
    world.silence(&node);
}

#[test]
fn a_client_that_connected_again_has_to_be_told_its_topics_again() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.leave(&node);
    world.resume(&node, "n1");
    world.restart();
    world.broker_up(true);
    world.deliver("a/b", b"x", 0);
    assert_eq!(world.only(&node)[1], 0x0A, "REGISTER");
}

#[test]
fn subscriptions_go_on_in_the_form_in_which_they_were_made() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    let normal = world.subscribe(&node, 1, "a/b", Qos::Zero);
    world.subscribe_to(&node, 2, SubscribeTopic::Short(*b"sh"), Qos::One);
    world.subscribe_to(&node, 3, SubscribeTopic::Predefined(5), Qos::Two);
    world.restart();
    world.broker_up(true);
    for (topic, field, qos) in [
        ("a/b", PublishTopic::Normal(normal), Qos::Zero),
        ("sh", PublishTopic::Short(*b"sh"), Qos::One),
        ("predefined/five", PublishTopic::Predefined(5), Qos::Two),
    ] {
        // The QoS that each was granted, however the broker sends it.
        world.deliver(topic, b"x", 2);
        let bytes = world.only(&node);
        let flags = bytes[2];
        let msg_id = u16::from_be_bytes([bytes[5], bytes[6]]);
        let wanted = publish(field, qos, msg_id, b"x");
        assert_eq!(bytes, encode(&node, wanted), "flags {flags:#04x}");
        match qos {
            Qos::One => world.send(&node, puback(0, msg_id, OK)),
            Qos::Two => {
                world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
                world.send(&node, pubcomp(msg_id));
            }
            _ => {}
        }
    }
}

#[test]
fn an_end_of_a_subscription_is_remembered_too() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.subscribe(&node, 2, "c", Qos::One);
    world.exchange(&node, unsubscribe(3, "a/b"), &[unsuback(3)]);
    world.restart();
    world.broker_up(true);
    assert_eq!(filters(&world.sent()), ["c"]);
    world.deliver("a/b", b"x", 0);
    world.silence(&node);
}

/// Filters of the SUBSCRIBEs among these.
fn filters(packets: &[Packet]) -> Vec<&str> {
    let filter = |packet| match packet {
        &Packet::Subscribe { ref filter, .. } => Some(&**filter),
        _ => None,
    };
    packets.iter().filter_map(filter).collect()
}

#[test]
fn a_will_is_kept_and_published_when_the_client_is_lost_and_only_then() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.pass(seconds(80));
    world.restart_after(seconds(3_600));
    world.broker_up(true);
    world.pass(seconds(89));
    world.expect_up(&[]);
    world.pass(seconds(2));
    let Publish { topic, payload, qos, .. } = world.published();
    assert_eq!((&*topic, &payload[..], qos), ("will", &b"gone"[..], 1));
    world.pass(seconds(600));
    world.restart();
    world.broker_up(true);
    world.pass(seconds(600));
    world.expect_up(&[]);
}

#[test]
fn a_will_that_was_changed_or_taken_away_is_so_after_the_restart() {
    for (update, wanted) in [
        (Message::WillMsgUpd { message: b"other" }, Some("other")),
        (Message::WillTopicUpd(None), None),
    ] {
        let mut world = World::obliging();
        let node = device(1);
        world.connect_with_will(&node, "n1", "gone");
        world.send(&node, update);
        world.restart();
        world.broker_up(true);
        world.pass(seconds(600));
        let said = world.payloads_up();
        assert_eq!(said.first().map(|said| &**said), wanted);
        assert!(said.len() <= 1);
    }
}

#[test]
fn a_goodbye_takes_the_will_along() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect_with_will(&node, "n1", "gone");
    world.leave(&node);
    world.restart();
    world.broker_up(true);
    world.pass(seconds(600));
    world.expect_up(&[]);
}

#[test]
fn sleep_begins_anew() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a", Qos::One);
    world.sleep(&node, 600);
    world.pass(seconds(800));
    world.restart_after(seconds(3_600));
    world.pass(seconds(899));
    assert_eq!(world.notices(), [""; 0]);
    world.pass(seconds(2));
    assert_eq!(world.notices(), ["lost: n1, overslept, will false"]);
}

#[test]
fn a_persistent_session_of_somebody_gone_expires_by_the_calendar() {
    let mut world = World::obliging();
    let (gone, here) = (device(1), device(2));
    world.exchange(&gone, connect("n1", false, 0), &[connack(OK)]);
    world.exchange(&here, connect("n2", false, 0), &[connack(OK)]);
    world.register(&gone, 1, "a");
    world.register(&here, 1, "a");
    world.leave(&gone);
    let day = seconds(24 * 3_600);
    world.restart_after(6 * day);
    assert_eq!(world.engine().gateway().stats().clients, 2);
    world.restart_after(day + seconds(1));
    world.pass(seconds(2));
    assert_eq!(world.engine().gateway().stats().clients, 1);
    // Not again after the next one.
    world.restart();
    assert_eq!(world.engine().gateway().stats().clients, 1);
    world.exchange(&here, PING, &[PONG]);
}

#[test]
fn links_are_found_by_their_names_whatever_their_numbers() {
    let mut world = World::obliging();
    let link = |name: &str| LinkSettings { name: name.into(), ..LinkSettings::default() };
    world.settings.links = vec![link("one"), link("two")];
    world.restart();
    let (first, second) = (device(1), device(1).on_link(1));
    world.connect(&first, "n1");
    world.connect(&second, "n2");
    let ids = [world.register(&first, 1, "a"), world.register(&second, 1, "b")];
    world.settings.links = vec![link("zero"), link("two"), link("one")];
    world.restart();
    let (first, second) = (device(1).on_link(2), device(1).on_link(1));
    world.exchange(&first, register(2, "a"), &[regack(ids[0], 2, OK)]);
    world.exchange(&second, register(2, "b"), &[regack(ids[1], 2, OK)]);
    world.exchange(&device(1), PING, &[BYE]);
    world.restart();
    world.exchange(&first, PING, &[PONG]);
    world.exchange(&second, PING, &[PONG]);
}

#[test]
#[ignore = "commits before the end of the snapshot use the new numbers under the old names"]
fn renumbered_links_are_right_after_another_restart_at_any_moment() {
    let link = |name: &str| LinkSettings { name: name.into(), ..LinkSettings::default() };
    // So much that a snapshot takes several commits.
    let mut world = World::obliging();
    world.settings.links = vec![link("one"), link("two")];
    world.settings.max_topics_per_client = 10_000;
    world.restart();
    let crowd = device(99);
    world.connect(&crowd, "crowd");
    for number in 0..8_000 {
        world.send(&crowd, register(number + 1, &format!("{number:030}")));
    }
    let node = device(1);
    world.connect(&node, "n1");
    world.restart();
    world.settings.links.swap(0, 1);
    world.writes = false;
    for commits in 0..6 {
        world.restart();
        let node = device(1).on_link(1);
        for _ in 0..commits {
            world.commit();
        }
        world.send(&node, register(1, "a"));
        world.restart();
        world.send(&node, PING);
        world.expect(&node, &[PONG]);
        world.exchange(&device(1), PING, &[BYE]);
    }
}

#[test]
fn a_link_that_is_gone_takes_the_address_along_and_not_the_session() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    let id = world.register(&node, 1, "a");
    world.settings.links[0].name = "another".into();
    world.restart();
    world.exchange(&node, PING, &[BYE]);
    world.resume(&node, "n1");
    world.exchange(&node, register(2, "a"), &[regack(id, 2, OK)]);
}

#[test]
fn predefined_topics_that_are_added_do_not_shift_the_ids_of_sessions() {
    let mut world = World::obliging();
    let (old, new) = (device(1), device(2));
    world.connect(&old, "n1");
    let id = world.register(&old, 1, "a");
    world.settings.predefined.push((100, "predefined/hundred".into()));
    world.restart();
    world.broker_up(true);
    world.exchange(&old, publish_to(id, Qos::One, 2, b"x"), &[puback(id, 2, OK)]);
    assert_eq!(world.published().topic, "a");
    world.exchange(&old, register(3, "b"), &[regack(id + 1, 3, OK)]);
    world.connect(&new, "n2");
    assert!(world.register(&new, 1, "a") > 100);
    world.restart();
    world.exchange(&old, register(4, "b"), &[regack(id + 1, 4, OK)]);
    // And the other way round.
    world.settings.predefined.clear();
    world.restart();
    world.exchange(&old, register(5, "b"), &[regack(id + 1, 5, OK)]);
}

#[test]
fn a_predefined_id_that_is_not_configured_any_more_leaves_a_subscription_by_name() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe_to(&node, 1, SubscribeTopic::Predefined(5), Qos::One);
    world.settings.predefined.remove(0);
    world.restart();
    world.broker_up(true);
    world.deliver("predefined/five", b"x", 1);
    assert_eq!(world.only(&node)[1], 0x0A, "REGISTER");
}

#[test]
fn profiles_are_those_of_the_configuration_of_now() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/+", Qos::One);
    let profile = Profile::named("zephyr").expect("it is there");
    world.settings.rules = vec![ClientRule { id: "n*".into(), profile }];
    world.restart();
    world.broker_up(true);
    let long = format!("a/{}", "x".repeat(70));
    world.deliver(&long, b"x", 1);
    world.silence(&node);
    world.deliver("a/b", b"x", 1);
    assert_eq!(world.collect(&node), ["x"]);
}

#[test]
fn a_connect_that_came_just_before_the_restart_is_answered_once_more() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a");
    world.restart();
    // It repeats itself, because the CONNACK got lost: nobody is known twice.
    world.connect(&node, "n1");
    assert_eq!(world.engine().gateway().stats().clients, 1);
    world.exchange(&node, register(2, "a"), &[regack(id, 2, OK)]);
    world.restart();
    assert_eq!(world.engine().gateway().stats().clients, 1);
}

#[test]
fn a_session_that_was_replaced_by_a_clean_one_does_not_come_back() {
    let mut world = World::obliging();
    let node = device(1);
    world.resume(&node, "n1");
    world.subscribe(&node, 1, "a/b", Qos::One);
    world.sleep(&node, 600);
    world.deliver("a/b", b"x", 1);
    world.connect(&node, "n1");
    world.restart();
    world.broker_up(true);
    assert!(filters(&world.sent()).is_empty());
    assert_eq!(world.engine().gateway().stats().buffered, 0);
    world.deliver("a/b", b"y", 1);
    world.silence(&node);
}

#[test]
fn slots_of_clients_that_left_are_used_again_and_nothing_of_theirs_is() {
    let mut world = World::obliging();
    for round in 0..3 {
        let node = device(round);
        let id = format!("n{round}");
        world.connect(&node, &id);
        world.subscribe(&node, 1, &format!("topic/{round}"), Qos::One);
        world.sleep(&node, 600);
        world.deliver(&format!("topic/{round}"), b"x", 1);
        world.send(&node, connect(&id, true, 60));
        world.collect(&node);
        world.leave(&node);
    }
    let node = device(9);
    world.connect(&node, "n9");
    world.flush();
    world.restart();
    world.broker_up(true);
    let stats = world.engine().gateway().stats();
    assert_eq!((stats.clients, stats.buffered), (1, 0));
    for round in 0..3 {
        world.deliver(&format!("topic/{round}"), b"x", 0);
    }
    world.silence(&node);
}
