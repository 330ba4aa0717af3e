//! The sleep timer: how long a sleeper may be silent (§6.14, §7.2).

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::Settings;

use super::{deliver_one_each, one, sleeper, sleeper_with};
use crate::harness::*;

/// Passes the time and says whether the sleeper is there still.
fn sleeps_after(world: &mut World, time: Duration) -> bool {
    world.pass(time);
    world.stats().asleep == 1
}

/// Half as long again, and never less than a second more.
#[test]
fn a_sleeper_is_lost_after_its_sleep_time_with_tolerance() {
    for (duration, allowed) in
        [(1, 2_000), (2, 3_000), (10, 15_000), (60, 90_000), (61, 91_500), (65_535, 98_302_500)]
    {
        let (mut world, node) = sleeper(Qos::One, duration);
        assert!(sleeps_after(&mut world, Duration::from_millis(allowed - 100)), "{duration}");
        assert!(!sleeps_after(&mut world, Duration::from_millis(200)), "{duration}");
        assert_eq!(world.stats().lost, 1);
        world.silence_everywhere();
        world.exchange(&node, wake("n1"), &[BYE]);
    }
}

#[test]
fn the_tolerance_can_be_set_but_not_below_the_sleep_time() {
    for (permille, allowed) in [(1_100, 66), (3_000, 180), (500, 61)] {
        let settings = Settings {
            sleep_tolerance_permille: permille,
            // Of no account here.
            keep_alive_tolerance_permille: 9_000,
            ..settings()
        };
        let (mut world, _) = sleeper_with(settings, Qos::One, 60);
        assert!(sleeps_after(&mut world, seconds(allowed - 1)));
        assert!(!sleeps_after(&mut world, seconds(2)));
    }
}

/// After every PINGRESP, with the sleep time announced last: DISCONNECT need not be repeated.
#[test]
fn the_timer_starts_again_after_every_pingresp() {
    let (mut world, node) = sleeper(Qos::One, 1_000);
    world.sleep(&node, 60);
    for _ in 0..5 {
        assert!(sleeps_after(&mut world, seconds(89)));
        deliver_one_each(&mut world, &[b"x"]);
        assert_eq!(world.collect(&node, wake("n1"), PONG).len(), 1);
        assert!(sleeps_after(&mut world, seconds(89)));
        world.exchange(&node, wake("n1"), &[PONG]);
    }
    assert!(!sleeps_after(&mut world, seconds(91)));
}

/// §6.14: it is lost if *no* message is received from it.
#[test]
fn every_message_of_a_sleeper_is_a_sign_of_life() {
    let messages: Vec<Message<'_>> = vec![
        PING,
        wake("n1"),
        Message::PingResp,
        publish(PublishTopic::Predefined(5), Qos::Zero, 0, b"x"),
        publish(PublishTopic::Predefined(5), Qos::MinusOne, 0, b"x"),
        publish(PublishTopic::Predefined(5), Qos::One, 0, b"x"),
        publish(PublishTopic::Predefined(5), Qos::One, 1, b"x"),
        publish(PublishTopic::Normal(999), Qos::Zero, 0, b"x"),
        register(1, "a"),
        register(1, "#"),
        regack(1, 1, OK),
        subscribe(2, "a", Qos::Zero),
        subscribe(2, "a#", Qos::Zero),
        unsubscribe(3, "a"),
        puback(1, 1, OK),
        pubrec(1),
        pubrel(1),
        pubcomp(1),
        Message::WillMsgUpd { message: b"" },
        Message::WillTopicUpd(None),
        will_msg("stray"),
        Message::SearchGw { radius: 0 },
        doze(10),
    ];
    for message in messages {
        let (mut world, node) = sleeper(Qos::One, 10);
        for _ in 0..3 {
            world.pass(seconds(10));
            world.send(&node, message);
        }
        assert_eq!(world.stats().asleep, 1, "{message:?}");
        assert!(!sleeps_after(&mut world, seconds(20)), "{message:?}");
    }
}

/// What others do, and what the gateway does, is no sign of life of the sleeper.
#[test]
fn nothing_but_the_sleeper_itself_keeps_it() {
    let (mut world, _) = sleeper(Qos::One, 60);
    let other = device(2);
    world.connect(&other, "n2");
    for _ in 0..8 {
        assert!(sleeps_after(&mut world, seconds(11)));
        deliver_one_each(&mut world, &[b"x"]);
        world.exchange(&other, PING, &[PONG]);
        world.pass(Duration::from_millis(1));
    }
    assert!(!sleeps_after(&mut world, seconds(3)));
}

/// Awake it is bounded by its tries instead: a window may take longer than a short sleep.
#[test]
fn the_sleep_timer_has_no_say_in_a_window() {
    let (mut world, node) = sleeper(Qos::One, 2);
    deliver_one_each(&mut world, &[b"1", b"2"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    assert!(sleeps_after(&mut world, seconds(39)));
    world.received(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[one(2, b"2")]);
    assert!(sleeps_after(&mut world, seconds(39)));
    world.received(&node);
    world.exchange(&node, puback(0x6162, 2, OK), &[PONG]);
    // From here on it has.
    assert!(sleeps_after(&mut world, Duration::from_millis(2_900)));
    assert!(!sleeps_after(&mut world, Duration::from_millis(200)));
}

#[test]
fn an_unfinished_window_starts_the_timer_again_too() {
    let (mut world, node) = sleeper(Qos::One, 60);
    deliver_one_each(&mut world, &[b"1"]);
    world.exchange(&node, wake("n1"), &[one(1, b"1")]);
    // Four times ten seconds until it is given up.
    assert!(sleeps_after(&mut world, seconds(41)));
    assert!(sleeps_after(&mut world, seconds(88)));
    assert!(!sleeps_after(&mut world, seconds(2)));
    assert_eq!(world.stats().lost, 1);
}

/// §24.19: no keep-alive does not mean that it may sleep for ever.
#[test]
fn a_sleeper_without_keep_alive_is_lost_by_its_sleep_time() {
    for keep_alive in [0, 65_535] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", true, keep_alive), &[connack(OK)]);
        world.sleep(&node, 60);
        assert!(sleeps_after(&mut world, seconds(89)));
        assert!(!sleeps_after(&mut world, seconds(2)));
    }
}

#[test]
fn sleepers_that_are_gone_leave_no_timer() {
    let (mut world, node) = sleeper(Qos::One, 60);
    world.exchange(&node, wake("n1"), &[PONG]);
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(600));
    assert_eq!(world.gateway.next_timeout(), None);
}
