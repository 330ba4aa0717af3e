//! Input that is well formed and wrong. Whatever one client sends, another one with messages in
//! flight in both directions is unchanged and goes on; so does one that sleeps.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::Drop;
use mqtt_sn_gateway::core::upstream::Token;

use crate::harness::*;

const NORMAL: PublishTopic = PublishTopic::Normal(FIRST_ID);
const FIVE: PublishTopic = PublishTopic::Predefined(5);

/// Others, in the middle of something.
struct Others {
    active: Device,
    /// Its publication at the broker.
    up: Token,
    /// The topic id that its SUBACK told it.
    id: u16,
    asleep: Device,
}

impl Others {
    /// Message ids of their exchanges.
    const UP: u16 = 1;
    const DOWN: u16 = 1;

    fn begin(world: &mut World) -> Self {
        let (active, asleep) = (device(101), device(102));
        world.connect(&active, "active");
        let (id, _) = world.subscribe(&active, 5, "others/active", Qos::Two);
        world.exchange(&active, publish(FIVE, Qos::Two, Self::UP, b"up"), &[]);
        let (up, ..) = world.published();
        world.deliver(&Down::new("others/active", b"down").qos2(1_001));
        let down = publish(PublishTopic::Normal(id), Qos::Two, Self::DOWN, b"down");
        world.expect(&active, &[down]);
        world.connect(&asleep, "asleep");
        world.subscribe_to(&asleep, 5, SubscribeTopic::Short(*b"zz"), Qos::One);
        world.sleep(&asleep, 3_600);
        world.deliver(&Down::new("zz", b"waits").qos1(1_002));
        assert_eq!(world.acknowledged(), [1_002]);
        Self { active, up, id, asleep }
    }

    /// They notice nothing, and bring to an end what they had begun.
    #[track_caller]
    fn end(self, world: &mut World) {
        world.up();
        world.silence(&self.active);
        world.silence(&self.asleep);
        world.received_upstream(self.up);
        world.expect(&self.active, &[pubrec(Self::UP)]);
        world.completed(self.up);
        world.exchange(&self.active, pubrel(Self::UP), &[pubcomp(Self::UP)]);
        world.exchange(&self.active, pubrec(Self::DOWN), &[pubrel(Self::DOWN)]);
        assert_eq!(world.up(), []);
        world.exchange(&self.active, pubcomp(Self::DOWN), &[]);
        assert_eq!(world.acknowledged(), [1_001]);
        // Its topic ids are what they were.
        assert_eq!(world.register(&self.active, 9, "others/active"), self.id);
        let waits = publish(PublishTopic::Short(*b"zz"), Qos::One, 1, b"waits");
        world.exchange(&self.asleep, wake("asleep"), &[waits]);
        world.exchange(&self.asleep, puback(0x7A7A, 1, OK), &[PONG]);
    }
}

/// A world with others in it, and a client "n1" that is about to misbehave.
fn world() -> (World, Device, Others) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let others = Others::begin(&mut world);
    (world, node, others)
}

#[test]
fn pingreq_with_somebody_elses_id() {
    // From a client, from a sleeper, and from nobody, about an active client.
    let (mut world, node, others) = world();
    world.exchange(&node, wake("active"), &[BYE]);
    world.exchange(&device(66), wake("active"), &[BYE]);
    world.sleep(&node, 600);
    for id in ["active", "asleep"] {
        world.pass(seconds(1));
        world.exchange(&node, wake(id), &[BYE]);
    }
    world.exchange(&node, wake("n1"), &[PONG]);
    assert_eq!(world.stats().moved, 0);
    others.end(&mut world);
}

#[test]
fn pingreq_with_an_id_that_nobody_has() {
    let (mut world, node, others) = world();
    let long = "x".repeat(200);
    for id in ["nobody", "N1", "n1 ", "activ", "active2", &long] {
        world.pass(seconds(1));
        world.exchange(&node, wake(id), &[BYE]);
        world.exchange(&device(66), wake(id), &[BYE]);
    }
    world.exchange(&device(67), Message::PingReq { client_id: b"\xff\xfe\0" }, &[BYE]);
    world.exchange(&node, PING, &[PONG]);
    assert_eq!(world.stats().clients, 3);
    others.end(&mut world);
}

/// A DISCONNECT is of whoever sends it; nobody can say goodbye, or good night, for another.
#[test]
fn disconnect_for_another_address() {
    let (mut world, node, others) = world();
    let addresses = [
        |number: u32| device(60 + number),
        |number: u32| device(101).on_link(1 + number as u16),
        |number: u32| device(101).node(&[number as u8]),
    ];
    for address in addresses {
        for (number, message) in (0..).zip([BYE, doze(1), doze(0), doze(65_535)]) {
            world.exchange(&address(number), message, &[BYE]);
        }
    }
    // Nor for the session of one who is gone, at the address that it had.
    world.exchange(&node, BYE, &[BYE]);
    world.exchange(&node, doze(60), &[BYE]);
    assert_eq!((world.stats().connected, world.stats().asleep), (1, 1));
    others.end(&mut world);
}

/// With the message ids that others have in flight, and with others.
#[test]
fn acknowledgements_for_messages_never_sent() {
    for asleep in [false, true] {
        let (mut world, node, others) = world();
        if asleep {
            world.sleep(&node, 600);
        }
        let mut unexpected = 0;
        for msg_id in [0, Others::UP, 2, 77, 0xFFFF] {
            for code in [OK, CONGESTION, INVALID_ID, UNSUPPORTED] {
                for id in [0, others.id, FIRST_ID, 5, 0x7A7A, 0xFFFF] {
                    world.exchange(&node, puback(id, msg_id, code), &[]);
                    world.exchange(&node, regack(id, msg_id, code), &[]);
                    unexpected += 2;
                }
            }
            // The two that have an answer, so that the device comes to its end.
            world.exchange(&node, pubrec(msg_id), &[pubrel(msg_id)]);
            world.exchange(&node, pubcomp(msg_id), &[]);
            world.exchange(&node, pubrel(msg_id), &[pubcomp(msg_id)]);
            unexpected += 2;
        }
        assert!(world.dropped(Drop::Unexpected) >= unexpected * 9 / 10);
        // From nobody they are nothing at all.
        let stranger = device(66);
        for message in [puback(1, 1, OK), regack(1, 1, OK), pubrec(1), pubcomp(1), PONG] {
            world.exchange(&stranger, message, &[]);
        }
        // None of it makes the next message look acknowledged.
        world.up();
        if !asleep {
            world.subscribe(&node, 1, "mine", Qos::One);
            world.deliver(&Down::new("mine", b"x").qos1(3));
            assert_eq!(world.received(&node).len(), 1);
            assert_eq!(world.acknowledged(), [0_u64; 0]);
        }
        others.end(&mut world);
    }
}

/// An acknowledgement that came before its message does not count for it.
#[test]
fn acknowledgements_ahead_of_their_message() {
    let (mut world, node, others) = world();
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::Two);
    for message in [puback(0x6162, 1, OK), pubrec(1), pubcomp(1), puback(0x6162, 2, OK)] {
        world.send(&node, message);
    }
    world.received(&node);
    world.deliver(&Down::new("ab", b"x").qos2(3));
    world.expect(&node, &[publish(PublishTopic::Short(*b"ab"), Qos::Two, 1, b"x")]);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.up(), []);
    world.exchange(&node, pubrec(1), &[pubrel(1)]);
    world.exchange(&node, pubcomp(1), &[]);
    assert_eq!(world.acknowledged(), [3]);
    others.end(&mut world);
}

/// It could not be acknowledged.
#[test]
fn message_id_zero_at_qos_1_and_2() {
    for asleep in [false, true] {
        let (mut world, node, others) = world();
        if asleep {
            world.sleep(&node, 600);
        }
        for qos in [Qos::One, Qos::Two] {
            world.exchange(&node, publish(FIVE, qos, 0, b"x"), &[]);
        }
        // Frame M15.
        world.send_hex(&node, "08 0C 20 00 11 00 00 31");
        world.silence(&node);
        assert_eq!((world.dropped(Drop::NoMessageId), world.up()), (3, vec![]));
        // The next one, with an id, goes its way.
        world.exchange(&node, publish(FIVE, Qos::One, 1, b"y"), &[]);
        let (token, ..) = world.published();
        world.completed(token);
        world.expect(&node, &[puback(5, 1, OK)]);
        others.end(&mut world);
    }
}

/// §6.10: each kind of refusal, of the device that has it to say.
#[test]
fn refusals_of_register() {
    for asleep in [false, true] {
        for code in [INVALID_ID, UNSUPPORTED, CONGESTION] {
            let (mut world, node, others) = world();
            world.subscribe(&node, 1, "any/#", Qos::One);
            if asleep {
                world.sleep(&node, 600);
            }
            world.deliver(&Down::new("any/x", b"x").qos1(3));
            if asleep {
                world.send(&node, wake("n1"));
            }
            world.expect(&node, &[announce(FIRST_ID, 1, "any/x")]);
            world.up();
            world.send(&node, regack(FIRST_ID, 1, code));
            let ends: &[Message<'_>] = if asleep { &[PONG] } else { &[] };
            world.expect(&node, ends);
            let kept = u64::from(code == CONGESTION);
            // Two messages are the others'.
            assert_eq!(world.stats().buffered, 2 + kept, "{code:?}");
            others.end(&mut world);
        }
    }
}

/// Refused for ever, and the next message of the same topic is not tried again, of another it is.
#[test]
fn a_refused_topic_does_not_hold_up_others() {
    let (mut world, node, others) = world();
    world.subscribe(&node, 1, "any/#", Qos::Zero);
    for _ in 0..3 {
        world.deliver(&Down::new("any/x", b"x"));
    }
    world.deliver(&Down::new("any/y", b"y"));
    world.expect(&node, &[announce(FIRST_ID, 1, "any/x")]);
    world.send(&node, regack(FIRST_ID, 1, UNSUPPORTED));
    assert_eq!(payloads_of(&world.drain(&node)), [b"y"]);
    others.end(&mut world);
}

/// §6.10, §24.25 of common practice: PUBACK "invalid topic id", however the topic was named.
#[test]
fn invalid_topic_id_for_predefined_normal_and_short_topics() {
    for (subscription, name, topic, field) in [
        (SubscribeTopic::Predefined(5), "predefined/five", FIVE, 5),
        (SubscribeTopic::Name(b"a/b"), "a/b", NORMAL, FIRST_ID),
        (SubscribeTopic::Short(*b"ab"), "ab", PublishTopic::Short(*b"ab"), 0x6162),
    ] {
        for qos in [Qos::Zero, Qos::One, Qos::Two] {
            for asleep in [false, true] {
                let (mut world, node, others) = world();
                world.subscribe_to(&node, 1, subscription, qos);
                if asleep {
                    world.sleep(&node, 600);
                }
                world.deliver(&Down::new(name, b"x").qos2(3));
                if asleep {
                    world.send(&node, wake("n1"));
                }
                let msg_id = u16::from(qos != Qos::Zero);
                let sent = publish(topic, qos, msg_id, b"x");
                let received = world.received(&node);
                assert_eq!(received.first(), Some(&encoded(sent)));
                world.send(&node, puback(field, msg_id, INVALID_ID));
                if qos == Qos::Zero {
                    // It is gone; the next one is announced.
                    world.silence(&node);
                    world.deliver(&Down::new(name, b"y"));
                    if asleep {
                        world.send(&node, wake("n1"));
                    }
                }
                let received = world.received(&node);
                let Some(Message::Register { topic_id, msg_id, topic }) = message_of(&received)
                else {
                    panic!("{name} {qos:?}: {received:?}")
                };
                assert_eq!(topic, name.as_bytes());
                world.send(&node, regack(topic_id, msg_id, OK));
                let payload = if qos == Qos::Zero { b"y" } else { b"x" };
                assert_eq!(payloads_of(&world.drain(&node)), [payload]);
                others.end(&mut world);
            }
        }
    }
}

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("it fits");
    bytes
}

fn message_of(frames: &[Vec<u8>]) -> Option<Message<'_>> {
    let [only] = frames else { return None };
    mqtt_sn_gateway::codec::decode(only).ok().map(|packet| packet.message)
}

/// A device that says "invalid topic id" to everything gets its messages announced, and in the end
/// not at all; it holds up nobody.
#[test]
fn invalid_topic_id_for_ever() {
    let (mut world, node, others) = world();
    world.subscribe(&node, 1, "#", Qos::One);
    for (delivery, name) in (3..).zip(["ab", "predefined/five", "a/b"]) {
        world.deliver(&Down::new(name, b"x").qos1(delivery));
    }
    for _ in 0..100 {
        for bytes in world.received(&node) {
            match mqtt_sn_gateway::codec::decode(&bytes).expect("a packet").message {
                Message::Register { topic_id, msg_id, .. } => {
                    world.send(&node, regack(topic_id, msg_id, OK));
                }
                Message::Publish(publish) => {
                    world.send(&node, puback(0, publish.msg_id, INVALID_ID));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!(world.acknowledged_among_all(), [3, 4, 5]);
    assert_eq!(world.stats().abandoned, 3);
    others.end(&mut world);
}

#[test]
fn will_dialogue_out_of_order() {
    let (mut world, node, others) = world();
    // Parts of a dialogue that nobody has begun.
    for message in [will_topic("lwt", Qos::Zero, false), Message::WillTopic(None), will_msg("gone")]
    {
        world.exchange(&node, message, &[]);
        world.exchange(&device(66), message, &[]);
    }
    assert_eq!(world.dropped(Drop::OutOfOrder), 3);
    // The message before the topic; the topic twice, the second one counts.
    world.exchange(&node, connect_with_will("n1", true, 3_600), &[Message::WillTopicReq]);
    world.exchange(&node, will_msg("early"), &[]);
    world.exchange(&node, will_topic("first", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_topic("second", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    // And after its end, when other things have been said.
    world.exchange(&node, PING, &[PONG]);
    world.exchange(&node, will_topic("third", Qos::Zero, false), &[]);
    world.exchange(&node, will_msg("late"), &[]);
    // Of a sleeper too.
    world.sleep(&node, 600);
    world.exchange(&node, will_topic("third", Qos::Zero, false), &[]);
    world.exchange(&node, will_msg("late"), &[]);
    world.connect(&node, "n1");
    world.connect(&node, "successor");
    let (_, _, _, topic, payload) = world.published();
    assert_eq!((&*topic, &*payload), ("second", &b"gone"[..]));
    others.end(&mut world);
}

/// Nothing but the dialogue is answered in a dialogue.
#[test]
fn everything_else_in_a_will_dialogue() {
    let (mut world, node, others) = world();
    world.exchange(&node, connect_with_will("n1", true, 60), &[Message::WillTopicReq]);
    let messages = [
        PING,
        wake("n1"),
        wake("active"),
        register(1, "a"),
        publish(FIVE, Qos::One, 1, b"x"),
        pubrel(1),
        pubrec(1),
        subscribe(2, "a", Qos::One),
        unsubscribe(3, "others/active"),
        Message::WillTopicUpd(None),
        Message::WillMsgUpd { message: b"x" },
        regack(1, 1, OK),
        puback(1, 1, OK),
        PONG,
    ];
    for message in messages {
        world.exchange(&node, message, &[]);
    }
    assert_eq!((world.up(), world.dropped(Drop::OutOfOrder)), (vec![], messages.len() as u64));
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    others.end(&mut world);
}

/// A device that gives up in the middle and connects anew waits for the first prompt, and would wait
/// for ever for it.
#[test]
fn will_dialogue_begun_anew() {
    let (mut world, node, others) = world();
    let connect = connect_with_will("n1", true, 3_600);
    for _ in 0..3 {
        world.exchange(&node, connect, &[Message::WillTopicReq]);
        world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
        world.pass(seconds(3));
    }
    others.end(&mut world);
    // Prompts that get lost for a long time, and the device repeats its CONNECT: the first again.
    for _ in 0..20 {
        world.send(&node, connect);
        assert_eq!(world.received(&node).first(), Some(&hex("02 06")));
        world.pass(seconds(9));
        world.received(&node);
    }
    world.exchange(&node, connect, &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("new", Qos::Zero, false), &[Message::WillMsgReq]);
    // If that was an echo of the network, the dialogue goes on where it is.
    world.exchange(&node, connect, &[Message::WillTopicReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    world.connect(&node, "successor");
    assert_eq!(world.published_topics_among_all(), ["new"]);
}

#[test]
fn will_dialogue_abandoned_half_way() {
    for steps in 0..2 {
        for clean in [true, false] {
            let (mut world, node, others) = world();
            world.exchange(&node, connect_with_will("n2", clean, 60), &[Message::WillTopicReq]);
            // "n1" was there before, without a will and without a goodbye.
            assert_eq!((world.stats().lost, world.up()), (1, vec![]));
            if steps > 0 {
                world.exchange(&node, will_topic("lwt", Qos::One, false), &[Message::WillMsgReq]);
            }
            let active = others.active.clone();
            world.pass(seconds(5));
            others.end(&mut world);
            // The one that fell silent is prompted a few times more and then forgotten.
            world.pass(seconds(60));
            assert_eq!(world.received(&node).len(), 3);
            world.exchange(&active, PING, &[PONG]);
            assert_eq!((world.stats().clients, world.stats().wills), (2, 0));
            world.exchange(&node, will_msg("gone"), &[]);
            assert_eq!(world.up(), []);
        }
    }
}
