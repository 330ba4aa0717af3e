//! Sessions, clean and persistent: what they keep, over which ends, and for how long (MQTT-SN 1.2
//! §6.2, §6.3, §6.12).

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, WillTopic};
use mqtt_sn_gateway::core::{Settings, Takeover};

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);
const AB: PublishTopic = PublishTopic::Short(*b"ab");

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Goodbye,
    Silence,
    NoAnswer,
    Oversleep,
    GoodbyeAsleep,
    Replaced,
}

const ENDS: [End; 6] =
    [End::Goodbye, End::Silence, End::NoAnswer, End::Oversleep, End::GoodbyeAsleep, End::Replaced];

impl End {
    fn is_loss(self) -> bool {
        !matches!(self, End::Goodbye | End::GoodbyeAsleep)
    }

    /// Brings it about for a client with a keep-alive of 60 s.
    fn happen(self, world: &mut World, node: &Device) {
        match self {
            End::Goodbye => world.exchange(node, BYE, &[BYE]),
            End::Silence => world.pass(seconds(91)),
            End::NoAnswer => {
                world.subscribe_to(node, 99, SubscribeTopic::Short(*b"zz"), Qos::One);
                world.deliver(&Down::new("zz", b"?").qos1(99));
                world.pass(seconds(41));
                world.received(node);
            }
            End::Oversleep => {
                world.sleep(node, 10);
                world.pass(seconds(16));
            }
            End::GoodbyeAsleep => {
                world.sleep(node, 10);
                world.exchange(node, BYE, &[BYE]);
            }
            End::Replaced => {
                world.connect(node, "successor");
                world.exchange(node, BYE, &[BYE]);
            }
        }
        assert_eq!(world.stats().lost, u64::from(self.is_loss()), "{self:?}");
        assert_eq!((world.stats().connected, world.stats().asleep), (0, 0), "{self:?}");
    }
}

/// Connects "n1" with the will "lwt" / "gone" at QoS 0 and a keep-alive of 60 s.
#[track_caller]
fn connect_willed(world: &mut World, node: &Device, clean: bool, topic: &str) {
    world.exchange(node, connect_with_will("n1", clean, 60), &[Message::WillTopicReq]);
    world.exchange(node, will_topic(topic, Qos::Zero, false), &[Message::WillMsgReq]);
    world.collect_by_connect(node, will_msg("gone"));
}

/// The table of §6.3, after every end of the former connection.
#[test]
fn clean_session_and_will_flag_together() {
    for end in ENDS {
        for (clean, asks, topic) in [
            (true, true, Some("new")),
            (true, false, None),
            (false, true, Some("new")),
            (false, false, Some("lwt")),
        ] {
            let mut world = World::obliging();
            let node = device(1);
            connect_willed(&mut world, &node, false, "lwt");
            world.send(&node, subscribe(1, "a/b", Qos::One));
            world.received(&node);
            end.happen(&mut world, &node);
            world.up();
            world.pass(seconds(10));
            if asks {
                connect_willed(&mut world, &node, clean, "new");
            } else {
                world.collect_by_connect(&node, connect("n1", clean, 60));
            }
            world.up();
            world.deliver(&Down::new("a/b", b"x"));
            let kept = payloads_of(&world.drain(&node)).len() == 1;
            assert_eq!(kept, !clean, "{end:?}: subscription");
            world.pass(seconds(91));
            let fired = world.published_topics_among_all();
            assert_eq!(fired.first().map(|topic| &**topic), topic, "{end:?}: will");
        }
    }
}

/// Whatever becomes of the connection, a clean session ends with it and leaves nothing.
#[test]
fn a_clean_session_ends_with_its_connection() {
    for end in ENDS {
        let mut world = World::obliging();
        let node = device(1);
        connect_willed(&mut world, &node, true, "lwt");
        world.register(&node, 1, "own");
        world.send(&node, subscribe(2, "a/b", Qos::Two));
        world.received(&node);
        world.up();
        end.happen(&mut world, &node);
        let wills = if end.is_loss() { vec!["lwt".to_owned()] } else { vec![] };
        assert_eq!(world.published_topics_among_all(), wills, "{end:?}");
        assert_eq!(world.gateway.residue(), [0; 5], "{end:?}");
        assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
        assert_eq!(world.gateway.next_timeout(), None, "{end:?}");
    }
}

/// QoS 1 and 2 wait for a persistent client, in order, whatever became of its connection; QoS 0 if
/// so configured.
#[test]
fn messages_wait_for_a_persistent_client() {
    for end in ENDS {
        for queue_qos0_messages in [false, true] {
            let mut world = World::with(Settings { queue_qos0_messages, ..settings() });
            world.obliging = true;
            let node = device(1);
            world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
            world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::Two));
            world.received(&node);
            end.happen(&mut world, &node);
            world.up();
            world.deliver(&Down::new("ab", b"0"));
            world.deliver(&Down::new("ab", b"1").qos1(1));
            world.deliver(&Down::new("ab", b"2").qos2(2));
            world.deliver(&Down::new("ab", b"3"));
            assert_eq!(world.acknowledged(), [1, 2], "{end:?}");
            world.silence_everywhere();
            let mut payloads = world.collect_by_connect(&node, connect("n1", false, 60));
            payloads.retain(|payload| payload != b"?");
            let expected: &[&[u8]] =
                if queue_qos0_messages { &[b"0", b"1", b"2", b"3"] } else { &[b"1", b"2"] };
            assert_eq!(payloads, expected, "{end:?}");
            assert_eq!((world.stats().buffered, world.gateway.residue()[3]), (0, 0));
        }
    }
}

/// What waited already when the connection ended, and what was in flight.
#[test]
fn what_is_under_way_at_the_end_is_kept() {
    for queue_qos0_messages in [false, true] {
        for asleep in [false, true] {
            let settings = Settings { queue_qos0_messages, ..settings() };
            let mut world = World::with(settings);
            let node = device(1);
            world.exchange(&node, connect("n1", false, 3_600), &[connack(OK)]);
            world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
            world.deliver(&Down::new("ab", b"1").qos1(1));
            world.deliver(&Down::new("ab", b"0"));
            world.deliver(&Down::new("ab", b"2").qos1(2));
            world.expect(&node, &[publish(AB, Qos::One, 1, b"1")]);
            if asleep {
                world.sleep(&node, 10);
                world.pass(seconds(16));
            } else {
                world.pass(seconds(41));
                world.received(&node);
            }
            assert_eq!(world.stats().lost, 1);
            world.exchange(
                &node,
                connect("n1", false, 60),
                &[connack(OK), again(publish(AB, Qos::One, 1, b"1"))],
            );
            let (zero, two) = (publish(AB, Qos::Zero, 0, b"0"), publish(AB, Qos::One, 2, b"2"));
            let rest = [zero, two];
            let rest = if queue_qos0_messages { &rest[..] } else { &rest[1..] };
            world.exchange(&node, puback(0x6162, 1, OK), rest);
        }
    }
}

/// A persistent client that sleeps gets QoS 0 with the rest, however QoS 0 is dealt with when it is
/// gone.
#[test]
fn qos_0_always_waits_for_a_sleeper() {
    for (clean, queue_qos0_messages) in [(true, false), (false, false), (true, true), (false, true)]
    {
        let mut world = World::with(Settings { queue_qos0_messages, ..settings() });
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Zero);
        world.sleep(&node, 600);
        world.deliver(&Down::new("ab", b"0"));
        world.exchange(&node, wake("n1"), &[publish(AB, Qos::Zero, 0, b"0"), PONG]);
    }
}

/// The time runs from the end of the connection on, not from its beginning.
#[test]
fn a_session_expires_after_its_end() {
    for end in ENDS {
        let mut world = World::with(Settings { session_expiry: seconds(1_000), ..settings() });
        world.obliging = true;
        let node = device(1);
        connect_willed(&mut world, &node, false, "lwt");
        world.register(&node, 1, "own");
        world.send(&node, subscribe(2, "a/b", Qos::Two));
        world.received(&node);
        for _ in 0..100 {
            world.pass(seconds(20));
            world.exchange(&node, PING, &[PONG]);
        }
        world.up();
        end.happen(&mut world, &node);
        world.published_topics_among_all();
        world.deliver(&Down::new("a/b", b"x").qos1(1));
        world.pass(seconds(980));
        assert_eq!(world.stats().clients, 1, "{end:?}");
        world.pass(seconds(30));
        assert_eq!(world.gateway.residue(), [0; 5], "{end:?}");
        assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
        // Nothing is published for it: it was lost, or not, long ago.
        assert_eq!(world.published_topics_among_all(), [""; 0]);
        assert_eq!(world.gateway.next_timeout(), None);
        // Whoever comes then begins anew.
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        let old = publish(NORMAL, Qos::Zero, 0, b"x");
        world.exchange(&node, old, &[puback(FIRST_ID, 0, INVALID_ID)]);
    }
}

/// A sleeper does not expire while it sleeps.
#[test]
fn a_long_sleep_is_no_expiry() {
    let mut world = World::with(Settings { session_expiry: seconds(1_000), ..settings() });
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.sleep(&node, 40_000);
    world.pass(seconds(39_000));
    world.deliver(&Down::new("ab", b"x").qos1(1));
    assert_eq!(world.collect(&node, wake("n1"), PONG), [b"x"]);
}

/// A session that has nothing in it is not kept.
#[test]
fn an_empty_session_is_not_kept() {
    for end in ENDS.into_iter().filter(|end| *end != End::NoAnswer) {
        let mut world = World::obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        end.happen(&mut world, &node);
        assert_eq!(world.gateway.residue(), [0; 5], "{end:?}");
        assert_eq!(world.gateway.next_timeout(), None);
    }
    // Nor one that has nothing any more.
    let mut world = World::obliging();
    let node = device(1);
    connect_willed(&mut world, &node, false, "lwt");
    let short = SubscribeTopic::Short(*b"ab");
    world.send(&node, subscribe_to(1, short, Qos::One));
    world.received(&node);
    world.exchange(&node, Message::Unsubscribe { msg_id: 2, topic: short }, &[unsuback(2)]);
    world.exchange(&node, Message::WillTopicUpd(None), &[Message::WillTopicResp { code: OK }]);
    world.exchange(&node, BYE, &[BYE]);
    assert_eq!(world.gateway.residue(), [0; 5]);
}

/// A single thing is enough to keep a session.
#[test]
fn a_session_with_something_in_it_is_kept() {
    let subscribes = |world: &mut World, node: &Device| {
        world.send(node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::One));
        world.received(node);
    };
    let registers = |world: &mut World, node: &Device| {
        world.register(node, 1, "own");
    };
    let wills = |world: &mut World, node: &Device| {
        let will = WillTopic { qos: Qos::Zero, retain: false, topic: b"lwt" };
        let update = Message::WillTopicUpd(Some(will));
        world.exchange(node, update, &[Message::WillTopicResp { code: OK }]);
    };
    let steps: [fn(&mut World, &Device); 3] = [subscribes, registers, wills];
    for step in steps {
        let mut world = World::obliging();
        let node = device(1);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        step(&mut world, &node);
        world.exchange(&node, BYE, &[BYE]);
        assert_eq!(world.stats().clients, 1);
    }
}

/// A QoS 2 publication under way is part of a session too: without it the second half of the
/// handshake would look like a new message.
#[test]
fn an_unfinished_publication_of_qos_2_is_not_forgotten() {
    for end in ENDS.into_iter().filter(|end| *end != End::NoAnswer) {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        let up = publish(PublishTopic::Predefined(5), Qos::Two, 7, b"once");
        world.exchange(&node, up, &[]);
        let (token, ..) = world.published();
        world.received_upstream(token);
        world.expect(&node, &[pubrec(7)]);
        end.happen(&mut world, &node);
        world.completed(token);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        // The PUBREC was lost.
        world.exchange(&node, again(up), &[pubrec(7)]);
        world.exchange(&node, pubrel(7), &[pubcomp(7)]);
        assert_eq!(world.up(), [], "{end:?}: published twice");
    }
}

/// Same name, same id, for the life of the session, and never the same id for another name.
#[test]
fn topic_ids_are_stable_through_everything() {
    let mut world = World::with(Settings { takeover: Takeover::Always, ..settings() });
    world.obliging = true;
    let mut node = device(1);
    let mut msg_id = 0;
    let mut ids = std::collections::BTreeMap::new();
    let mut check = |world: &mut World, node: &Device| {
        for name in ["a", "b/c", "d/e/f", "ab"] {
            msg_id += 1;
            let id = world.register(node, msg_id, name);
            assert_eq!(*ids.entry(name).or_insert(id), id, "{name}");
            msg_id += 1;
            world.send(node, subscribe(msg_id, name, Qos::One));
            let suback = suback(Qos::One, id, msg_id, OK);
            world.expect(node, &[suback]);
            world.exchange(node, publish(PublishTopic::Normal(id), Qos::Zero, 0, b"x"), &[]);
            assert_eq!(world.published_topics_among_all(), [name]);
        }
        let distinct: std::collections::BTreeSet<u16> = ids.values().copied().collect();
        assert_eq!(distinct.len(), 4);
    };
    world.resume(&node, "n1");
    check(&mut world, &node);
    for end in ENDS {
        // Sleep and wake, by both ways.
        world.sleep(&node, 600);
        check(&mut world, &node);
        world.exchange(&node, wake("n1"), &[PONG]);
        check(&mut world, &node);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        check(&mut world, &node);
        // Another address, the broker without its memory, an end of the connection.
        node = device(100 + end as u32);
        world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
        check(&mut world, &node);
        world.broker_down();
        world.broker_up(false);
        let losses = world.stats().lost;
        match end {
            End::Goodbye => world.exchange(&node, BYE, &[BYE]),
            End::Silence => world.pass(seconds(91)),
            End::NoAnswer => {
                world.deliver(&Down::new("a", b"x").qos1(1));
                world.pass(seconds(41));
                world.received(&node);
            }
            End::Oversleep => {
                world.sleep(&node, 1);
                world.pass(seconds(3));
            }
            End::GoodbyeAsleep => {
                world.sleep(&node, 10);
                world.exchange(&node, BYE, &[BYE]);
            }
            End::Replaced => world.connect(&node, "successor"),
        }
        assert_eq!(world.stats().lost > losses, end.is_loss(), "{end:?}");
        node = device(200 + end as u32);
        world.send(&node, connect("n1", false, 60));
        world.drain(&node);
        world.up();
        check(&mut world, &node);
    }
}

/// §6.5: after a CONNECT the client may have forgotten its ids; after a PINGREQ it has not.
#[test]
fn register_again_after_connect_and_not_after_pingreq() {
    for (clean, by_connect) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect("n1", clean, 60), &[connack(OK)]);
        let own = world.register(&node, 1, "own");
        world.subscribe(&node, 2, "own", Qos::Zero);
        world.sleep(&node, 600);
        world.deliver(&Down::new("own", b"x"));
        let publish = publish(PublishTopic::Normal(own), Qos::Zero, 0, b"x");
        if by_connect {
            let resumed = [connack(OK), announce(own, 1, "own")];
            world.exchange(&node, connect("n1", clean, 60), &resumed);
            world.exchange(&node, regack(own, 1, OK), &[publish]);
        } else {
            world.exchange(&node, wake("n1"), &[publish, PONG]);
        }
    }
}

/// All forms of update, connected and asleep, and what the loss then publishes (§6.4).
#[test]
fn updates_and_deletion_of_the_will() {
    let topic = |topic: &'static str| {
        let topic = topic.as_bytes();
        Message::WillTopicUpd(Some(WillTopic { qos: Qos::One, retain: true, topic }))
    };
    let message = |message: &'static str| Message::WillMsgUpd { message: message.as_bytes() };
    type Updates = &'static [(Option<&'static str>, Option<&'static str>)];
    let cases: [(Updates, Option<(&str, &str)>); 7] = [
        (&[], Some(("lwt", "gone"))),
        (&[(Some("new"), None)], Some(("new", "gone"))),
        (&[(None, Some("bye"))], Some(("lwt", "bye"))),
        (&[(Some("new"), Some("bye"))], Some(("new", "bye"))),
        (&[(Some("new"), None), (None, Some(""))], Some(("new", ""))),
        // Deleted, and made anew.
        (&[(Some(""), None)], None),
        (&[(Some(""), None), (Some("new"), Some("bye"))], Some(("new", "bye"))),
    ];
    for asleep in [false, true] {
        for clean in [false, true] {
            for (updates, will) in cases {
                let mut world = World::new();
                let node = device(1);
                connect_willed(&mut world, &node, clean, "lwt");
                if asleep {
                    world.sleep(&node, 60);
                }
                for (new_topic, new_message) in updates {
                    if let Some(name) = new_topic {
                        let update = match name.len() {
                            0 => Message::WillTopicUpd(None),
                            _ => topic(name),
                        };
                        world.exchange(&node, update, &[Message::WillTopicResp { code: OK }]);
                    }
                    if let Some(text) = new_message {
                        let response = Message::WillMsgResp { code: OK };
                        world.exchange(&node, message(text), &[response]);
                    }
                }
                world.pass(seconds(91));
                assert_eq!(world.stats().lost, 1);
                let published = world.up();
                match (will, &published[..]) {
                    (None, []) => {}
                    (Some((topic, text)), [Up::Publish { topic: name, payload, retain, .. }]) => {
                        assert_eq!((&**name, &**payload), (topic, text.as_bytes()));
                        assert_eq!(*retain, topic == "new", "retain of {topic}");
                    }
                    _ => panic!("{updates:?}: {published:?}"),
                }
            }
        }
    }
}

/// An update of the will is of the session: it is still so after the next CONNECT without a will.
#[test]
fn an_updated_will_is_kept_with_the_session() {
    let mut world = World::new();
    let node = device(1);
    connect_willed(&mut world, &node, false, "lwt");
    let will = WillTopic { qos: Qos::Zero, retain: false, topic: b"new" };
    world.send(&node, Message::WillTopicUpd(Some(will)));
    world.received(&node);
    world.exchange(&node, BYE, &[BYE]);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.pass(seconds(91));
    assert_eq!(world.published_topics(), ["new"]);
    // Deleted, it is gone from the session too.
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.exchange(&node, Message::WillTopicUpd(None), &[Message::WillTopicResp { code: OK }]);
    world.exchange(&node, BYE, &[BYE]);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.pass(seconds(91));
    assert_eq!((world.up(), world.stats().lost), (vec![], 2));
}

/// A session without expiry and a client without keep-alive are there for good, and cost no timer.
#[test]
fn kept_for_ever_without_a_timer() {
    let mut world = World::with(Settings { session_expiry: Duration::ZERO, ..settings() });
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.register(&node, 1, "own");
    world.sleep(&node, 60);
    world.pass(seconds(91));
    assert_eq!((world.stats().lost, world.stats().clients), (1, 1));
    assert_eq!(world.gateway.next_timeout(), None);
}
