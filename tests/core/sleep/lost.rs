//! Windows in which something gets lost on its way, or comes twice, or late.

use mqtt_sn_gateway::codec::{Message, Qos, decode};
use mqtt_sn_gateway::core::{LinkSettings, Settings};

use super::{AB, NORMAL, deliver_one_each, one, sleeper, sleeper_with, with_unknown_topic};
use crate::harness::*;

/// How the gateway comes to repeat itself: by its timer, or because the device asks again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spur {
    Timer,
    Ping,
    PingWithoutId,
}

const SPURS: [Spur; 3] = [Spur::Timer, Spur::Ping, Spur::PingWithoutId];

impl Spur {
    #[track_caller]
    fn on(self, world: &mut World, node: &Device, answers: &[Message<'_>]) {
        world.silence(node);
        match self {
            Spur::Timer => {
                world.pass(RETRY);
                world.expect(node, answers);
            }
            Spur::Ping => world.exchange(node, wake("n1"), answers),
            Spur::PingWithoutId => world.exchange(node, PING, answers),
        }
    }
}

#[test]
fn lost_pingreq() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"x"]);
    // The device has asked, it never came: its next one does.
    world.pass(seconds(10));
    world.silence(&node);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"x"]);
}

#[test]
fn lost_register_or_regack() {
    for spur in SPURS {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            let (mut world, node) = with_unknown_topic(qos);
            let register = announce(FIRST_ID, 1, "s/1/cmd");
            world.exchange(&node, wake("n1"), &[register]);
            // The same message id: another would make a second entry at some devices.
            spur.on(&mut world, &node, &[register]);
            spur.on(&mut world, &node, &[register]);
            let msg_id = u16::from(qos != Qos::Zero);
            let publish = publish(NORMAL, qos, msg_id, b"x");
            let first = [publish, PONG];
            let first = if qos == Qos::Zero { &first[..] } else { &first[..1] };
            world.exchange(&node, regack(FIRST_ID, 1, OK), first);
            // The REGACKs to the repetitions arrive too.
            world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
            world.exchange(&node, regack(FIRST_ID, 1, OK), &[]);
        }
    }
}

#[test]
fn lost_publish_or_puback() {
    for spur in SPURS {
        let (mut world, node) = sleeper(Qos::One, 3_600);
        deliver_one_each(&mut world, &[b"1", b"2"]);
        world.exchange(&node, wake("n1"), &[one(1, b"1")]);
        spur.on(&mut world, &node, &[again(one(1, b"1"))]);
        spur.on(&mut world, &node, &[again(one(1, b"1"))]);
        world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
        // The PUBACK to the repetition does not count for the next message.
        world.exchange(&node, puback(0x6162, 1, OK), &[]);
        spur.on(&mut world, &node, &[again(one(2, b"2"))]);
        world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
        world.exchange(&node, puback(0x6162, 2, OK), &[]);
        assert_eq!(world.stats().buffered, 0);
    }
}

#[test]
fn lost_publish_or_pubrec() {
    for spur in SPURS {
        let (mut world, node) = sleeper(Qos::Two, 3_600);
        world.deliver(&Down::new("ab", b"1").qos2(1));
        let publish = publish(AB, Qos::Two, 1, b"1");
        world.exchange(&node, wake("n1"), &[publish]);
        spur.on(&mut world, &node, &[again(publish)]);
        spur.on(&mut world, &node, &[again(publish)]);
        world.exchange(&node, pubrec(1), &[pubrel(1)]);
        // PUBREC to the repetition.
        world.exchange(&node, pubrec(1), &[pubrel(1)]);
        world.exchange(&node, pubcomp(1), &[PONG]);
    }
}

#[test]
fn lost_pubrel_or_pubcomp() {
    for spur in SPURS {
        let (mut world, node) = sleeper(Qos::Two, 3_600);
        world.deliver(&Down::new("ab", b"1").qos2(1));
        world.exchange(&node, wake("n1"), &[publish(AB, Qos::Two, 1, b"1")]);
        world.exchange(&node, pubrec(1), &[pubrel(1)]);
        // Never the PUBLISH again: the device has it.
        spur.on(&mut world, &node, &[pubrel(1)]);
        spur.on(&mut world, &node, &[pubrel(1)]);
        world.exchange(&node, pubcomp(1), &[PONG]);
        world.exchange(&node, pubcomp(1), &[]);
    }
}

#[test]
fn lost_pingresp() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"1"]);
    for _ in 0..3 {
        world.pass(seconds(10));
        world.silence(&node);
        world.exchange(&node, wake("n1"), &[PONG]);
    }
}

/// §5.2: QoS 0 has no acknowledgement, so what gets lost is lost; PINGRESP comes all the same.
#[test]
fn lost_publish_of_qos_0() {
    let (mut world, node) = sleeper(Qos::Zero, 3_600);
    world.deliver(&Down::new("ab", b"1"));
    world.exchange(&node, wake("n1"), &[publish(AB, Qos::Zero, 0, b"1"), PONG]);
    world.exchange(&node, wake("n1"), &[PONG]);
}

/// The network delivers PINGREQ twice. The second is answered with what is due, nothing starts over.
#[test]
fn a_doubled_pingreq_resumes() {
    let (mut world, node) = sleeper(Qos::Two, 3_600);
    for (delivery, payload) in (1..).zip([b"1", b"2", b"3"]) {
        world.deliver(&Down::new("ab", payload).qos2(delivery));
    }
    let publish = |msg_id, data| publish(AB, Qos::Two, msg_id, data);
    world.exchange(&node, wake("n1"), &[publish(1, b"1")]);
    world.exchange(&node, wake("n1"), &[again(publish(1, b"1"))]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.exchange(&node, wake("n1"), &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[publish(2, b"2")]);
    world.exchange(&node, wake("n1"), &[again(publish(2, b"2"))]);
    assert_eq!(
        payloads_of(&{
            world.send(&node, pubrec(2));
            world.drain(&node)
        }),
        [b"3"]
    );
    assert_eq!(world.stats().wakes, 1);
}

/// The device's tries begin anew with each PINGREQ: it is there.
#[test]
fn a_pingreq_gives_what_is_outstanding_all_its_tries_again() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    for _ in 0..10 {
        world.pass(seconds(35));
        world.expect(&node, &[again(one(1, b"1")); 3]);
        world.exchange(&node, wake("n1"), &[again(one(1, b"1"))]);
    }
    assert_eq!(world.stats().wakes_unfinished, 0);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);
    assert_eq!((world.stats().wakes, world.stats().wakes_unfinished), (1, 0));
}

/// §24.12 of common practice: no PINGRESP, which would say that there is nothing more; the message
/// is kept.
#[test]
fn a_window_without_answer_ends_without_pingresp() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(600));
    world.expect(&node, &[again(one(1, b"1")); 3]);
    assert_eq!((world.stats().lost, world.stats().asleep, world.stats().buffered), (0, 1, 2));
    assert_eq!(world.stats().wakes_unfinished, 1);
    // It goes first in the next window, and is what it was.
    world.exchange(&node, wake("n1"), &[again(one(1, b"1"))]);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    assert_eq!(world.stats().buffered, 0);
}

#[test]
fn an_exchange_of_qos_2_goes_on_in_the_next_window_where_it_stopped() {
    let (mut world, node) = sleeper(Qos::Two, 3_600);
    world.deliver(&Down::new("ab", b"1").qos2(1));
    let publish = publish(AB, Qos::Two, 1, b"1");
    world.exchange(&node, wake("n1"), &[publish]);
    world.pass(seconds(100));
    world.received(&node);
    world.exchange(&node, wake("n1"), &[again(publish)]);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.pass(seconds(100));
    world.expect(&node, &[pubrel(1); 3]);
    world.exchange(&node, wake("n1"), &[pubrel(1)]);
    world.pass(seconds(100));
    world.expect(&node, &[pubrel(1); 3]);
    world.exchange(&node, wake("n1"), &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[PONG]);
    assert_eq!((world.stats().wakes, world.stats().wakes_unfinished), (4, 3));
}

/// A device that is awake only for a moment each time still gets on.
#[test]
fn messages_get_through_to_a_device_that_answers_once_a_window() {
    let (mut world, node) = sleeper(Qos::One, 3_600);
    for number in 1..=5_u8 {
        world.deliver(&Down::new("ab", &[number]).qos1(u64::from(number)));
    }
    for number in 1..=5_u8 {
        let msg_id = u16::from(number);
        world.send(&node, wake("n1"));
        let (_, _, got, dup) = world.one_publish(&node);
        assert_eq!((got, dup), (msg_id, number > 1));
        world.send(&node, puback(0x6162, msg_id, OK));
        world.received(&node);
        // Asleep again without having seen what came next.
        world.pass(seconds(600));
        world.received(&node);
    }
    world.exchange(&node, wake("n1"), &[PONG]);
    assert_eq!((world.stats().lost, world.stats().buffered), (0, 0));
}

/// Some devices have no room for another topic, and no word for it (§4.2 of what they expect).
#[test]
fn a_register_unanswered_in_three_windows_gives_up_that_message_only() {
    for qos in [Qos::Zero, Qos::One, Qos::Two] {
        let (mut world, node) = with_unknown_topic(qos);
        world.deliver(&Down::new("ab", b"y").qos2(2));
        let register = announce(FIRST_ID, 1, "s/1/cmd");
        for window in 1..=2 {
            world.exchange(&node, wake("n1"), &[register]);
            world.pass(seconds(100));
            world.expect(&node, &[register; 3]);
            assert_eq!(world.stats().abandoned, 0, "window {window}");
        }
        assert_eq!(world.stats().buffered, 2);
        world.exchange(&node, wake("n1"), &[register]);
        world.pass(seconds(100));
        assert_eq!(world.stats().abandoned, 1);
        let notices = world.notices();
        let told = notices.iter().filter(|line| line.starts_with("abandoned: n1 s/1/cmd")).count();
        assert_eq!(told, 1, "{notices:?}");
        world.received(&node);
        // What was behind it comes, now or in that window's last moment.
        world.send(&node, wake("n1"));
        let frames = world.drain(&node);
        assert_eq!(payloads_of(&frames), [b"y"]);
        assert_eq!(frames.last(), Some(&hex("02 17")));
        assert_eq!((world.stats().lost, world.stats().buffered), (0, 0));
    }
}

/// Many devices say DISCONNECT again when they give up waiting, or ask again and again: that is no
/// answer to REGISTER either.
#[test]
fn a_register_is_given_up_however_the_windows_end() {
    for by_ping in [true, false] {
        let (mut world, node) = with_unknown_topic(Qos::One);
        world.deliver(&Down::new("ab", b"y").qos1(2));
        let mut payloads = Vec::new();
        for _ in 0..20 {
            world.send(&node, wake("n1"));
            for bytes in world.received(&node) {
                if let Ok(Message::Publish(publish)) = decode(&bytes).map(|packet| packet.message) {
                    payloads.push(publish.data.to_vec());
                    world.send(&node, puback(0, publish.msg_id, OK));
                }
            }
            world.pass(seconds(15));
            world.received(&node);
            if !by_ping {
                world.sleep(&node, 3_600);
            }
        }
        assert_eq!(payloads, [b"y"], "by ping: {by_ping}");
        assert_eq!((world.stats().abandoned, world.stats().lost), (1, 0));
    }
}

/// A device in a hurry on a slow link, or a network that doubles datagrams: the answer to REGISTER
/// cannot have come yet, so nothing is given up.
#[test]
fn pingreqs_in_quick_succession_give_nothing_up() {
    let (mut world, node) = with_unknown_topic(Qos::One);
    let register = announce(FIRST_ID, 1, "s/1/cmd");
    for _ in 0..100 {
        world.exchange(&node, wake("n1"), &[register]);
        world.pass(std::time::Duration::from_millis(40));
    }
    assert_eq!(world.stats().abandoned, 0);
    let publish = publish(NORMAL, Qos::One, 1, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[publish]);
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
    // But who goes on like that for minutes does not answer it.
    world.deliver(&Down::new("s/2/cmd", b"x").qos1(2));
    for _ in 0..120 {
        world.send(&node, wake("n1"));
        world.pass(seconds(1));
    }
    assert_eq!((world.stats().abandoned, world.stats().buffered), (1, 0));
}

/// Only windows count in which it is really asked: nobody loses a message by sleeping.
#[test]
fn registers_of_different_messages_are_counted_apart() {
    let (mut world, node) = with_unknown_topic(Qos::One);
    let register = announce(FIRST_ID, 1, "s/1/cmd");
    for _ in 0..2 {
        world.exchange(&node, wake("n1"), &[register]);
        world.pass(seconds(100));
        world.received(&node);
    }
    // The third time it answers, but not the PUBLISH: it knows the id from now on.
    world.exchange(&node, wake("n1"), &[register]);
    let first = publish(NORMAL, Qos::One, 1, b"x");
    world.exchange(&node, regack(FIRST_ID, 1, OK), &[first]);
    for _ in 0..5 {
        world.pass(seconds(100));
        world.expect(&node, &[again(first); 3]);
        world.exchange(&node, wake("n1"), &[again(first)]);
    }
    world.exchange(&node, puback(FIRST_ID, 1, OK), &[PONG]);
    assert_eq!(world.stats().abandoned, 0);
    // Another topic has its own three windows.
    world.deliver(&Down::new("s/2/cmd", b"y").qos1(2));
    for _ in 0..2 {
        world.send(&node, wake("n1"));
        world.pass(seconds(100));
        world.received(&node);
    }
    assert_eq!(world.stats().abandoned, 0);
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"y"]);
}

/// The link's own retry interval counts in a window too.
#[test]
fn a_slow_link_gives_a_window_more_time() {
    let slow = LinkSettings { retry_interval: Some(seconds(60)), ..LinkSettings::default() };
    let (mut world, node) =
        sleeper_with(Settings { links: vec![slow], ..settings() }, Qos::One, 3_600);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    world.pass(seconds(59));
    world.silence(&node);
    world.pass(seconds(170));
    world.expect(&node, &[again(one(1, b"1")); 3]);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);
}
