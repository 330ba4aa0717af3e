//! What is no MQTT-SN, or makes no sense: dropped or refused, counted, and nobody else's trouble.

use mqtt_sn_gateway::codec::{DecodeError, Message, Publish, PublishTopic, Qos};
use mqtt_sn_gateway::core::Drop;

use crate::harness::*;

/// What has to happen to a malformed or illegal frame.
enum Reaction {
    /// Dropped before it is a packet, counted under this kind.
    Malformed(&'static str),
    /// A packet, but not one for us: dropped, counted under this reason.
    Dropped(Drop),
    /// Refused by this frame.
    Refused(&'static str),
}
use Reaction::{Dropped, Malformed, Refused};

/// Everything illegal that can be said in a few octets, from a connected client.
fn frames() -> Vec<(&'static str, &'static str, Reaction)> {
    let long_id =
        "1E 04 04 01 00 3C 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61";
    vec![
        ("M01", "01", Malformed("truncated_header")),
        ("M02", "00 16", Malformed("bad_length")),
        ("M03", "01 00 03 16", Malformed("bad_length")),
        ("M04", "10 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31", Malformed("length_mismatch")),
        ("M05", "02 16 FF", Malformed("length_mismatch")),
        ("M06", "05 04 04 01 00", Malformed("body_too_short")),
        ("M07", "06 04 04 01 00 3C", Refused("03 05 03")),
        ("M08", "08 04 04 02 00 3C 6E 31", Refused("03 05 03")),
        ("M09", long_id, Refused("03 05 03")),
        ("M10", "03 03 00", Malformed("reserved_type")),
        ("M11", "02 19", Malformed("reserved_type")),
        ("M12", "06 0C 00 00 11 00", Malformed("body_too_short")),
        ("M13", "08 0C 60 00 11 00 00 31", Dropped(Drop::Unauthenticated)),
        ("M14", "08 0C 03 00 11 00 00 31", Refused("07 0D 00 11 00 00 03")),
        ("M15", "08 0C 20 00 11 00 00 31", Dropped(Drop::NoMessageId)),
        ("M16", "08 0C 00 00 00 00 00 31", Refused("07 0D 00 00 00 00 02")),
        ("M16 high", "08 0C 00 FF FF 00 00 31", Refused("07 0D FF FF 00 00 02")),
        ("M17", "09 0A 00 00 00 0B 73 2F 23", Refused("07 0B 00 00 00 0B 03")),
        ("M18", "06 0A 00 00 00 0B", Refused("07 0B 00 00 00 0B 03")),
        ("M19", "08 0A 00 00 00 0C C3 28", Refused("07 0B 00 00 00 0C 03")),
        ("M19 nul", "08 0A 00 00 00 0C 61 00", Refused("07 0B 00 00 00 0C 03")),
        ("M20", "07 12 03 00 09 61 62", Refused("08 13 00 00 00 00 09 03")),
        ("M21", "08 12 60 00 0A 61 2F 62", Refused("08 13 00 00 00 00 0A 03")),
        ("M22", "05 12 00 00 0D", Refused("08 13 00 00 00 00 0D 03")),
        ("M23", "03 18 01", Malformed("body_too_short")),
        ("M24", "03 07 00", Dropped(Drop::OutOfOrder)),
        ("M25", "05 FE 00 12 34", Malformed("empty_encapsulation")),
        ("M26", "04 FE 00 AA 04 FE 00 BB 02 16", Malformed("nested_encapsulation")),
        ("M27", "06 0D 00 11 00 02", Malformed("body_too_short")),
        ("M28", "03 17 00", Malformed("body_too_long")),
        ("M29", "02 FE", Malformed("bad_encapsulation")),
        ("M30", "02 05", Malformed("body_too_short")),
        ("M30 CONNACK", "03 05 00", Dropped(Drop::WrongDirection)),
        ("nothing", "", Malformed("empty")),
        ("only a length", "02", Malformed("truncated_header")),
        ("predefined id cut short", "06 12 01 00 09 00", Malformed("body_too_short")),
        ("ADVERTISE too long", "06 00 01 03 84 00", Malformed("body_too_long")),
    ]
}

/// A client that has a will, an id, a subscription and a message in flight.
fn healthy(world: &mut World) -> Device {
    let node = device(1);
    world.exchange(&node, connect_with_will("healthy", true, 3_600), &[Message::WillTopicReq]);
    world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&node, will_msg("gone"), &[connack(OK)]);
    assert_eq!(world.register(&node, 1, "up/healthy"), FIRST_ID);
    world.obliging = false;
    world.subscribe(&node, 2, "down/healthy", Qos::Two);
    node
}

/// It is as it was: same ids, same subscription, and every QoS works both ways.
#[track_caller]
fn still_healthy(world: &mut World, node: &Device, number: u16) {
    world.up();
    world.exchange(node, PING, &[PONG]);
    assert_eq!(world.register(node, number, "up/healthy"), FIRST_ID);
    let up = PublishTopic::Normal(FIRST_ID);
    world.exchange(node, publish(up, Qos::One, number, &number.to_be_bytes()), &[]);
    let (token, _, _, topic, _) = world.published();
    assert_eq!(topic, "up/healthy");
    world.completed(token);
    world.expect(node, &[puback(FIRST_ID, number, OK)]);
    let down = PublishTopic::Normal(FIRST_ID + 1);
    let delivery = u64::from(number);
    world.deliver(&Down::new("down/healthy", b"x").qos2(delivery));
    let received = world.received(node);
    match mqtt_sn_gateway::codec::decode(&received[0]).expect("a packet").message {
        Message::Publish(Publish {
            qos: Qos::Two, topic, msg_id, data: b"x", dup: false, ..
        }) if topic == down => {
            world.exchange(node, pubrec(msg_id), &[pubrel(msg_id)]);
            world.exchange(node, pubcomp(msg_id), &[]);
        }
        other => panic!("unexpected {other:?}"),
    }
    let acknowledged = world.acknowledged();
    // Alone it decides; others may have subscribed to the topic too.
    if world.stats().clients == 1 {
        assert_eq!(acknowledged, [delivery]);
    }
    let harmed = |notice: &String| notice.contains("healthy") && !notice.starts_with("connected");
    assert!(!world.notices().iter().any(harmed));
}

/// The counters that a frame may have changed.
fn counters(world: &World) -> (u64, u64, u64) {
    let stats = world.stats();
    (stats.malformed.iter().sum(), stats.dropped.iter().sum(), stats.received.iter().sum())
}

/// The frames of a connected client change nothing for it; those with a negative answer get it.
#[test]
fn illegal_frames_are_dropped_or_refused_and_change_nothing() {
    for (number, (name, frame, reaction)) in (10_u16..).zip(frames()) {
        let mut world = World::new();
        let node = healthy(&mut world);
        // What may still be a sign of a fresh connection is behind us.
        let before = world.stats();
        world.send_hex(&node, frame);
        let after = world.stats();
        match reaction {
            Malformed(kind) => {
                world.silence(&node);
                let index = DecodeError::KINDS.iter().position(|known| *known == kind);
                let index = index.expect("a kind");
                assert_eq!(after.malformed[index], before.malformed[index] + 1, "{name}");
                assert_eq!(after.received, before.received, "{name}");
                assert!(world.notices().contains(&format!("malformed: {kind}")), "{name}");
            }
            Dropped(why) => {
                world.silence(&node);
                let index = why as usize;
                assert_eq!(after.dropped[index], before.dropped[index] + 1, "{name}");
            }
            Refused(answer) => {
                world.expect_hex(&node, &[answer]);
                assert!(world.notices().iter().any(|n| n.starts_with("refused")), "{name}");
            }
        }
        assert_eq!(world.up(), [], "{name}");
        assert_eq!((after.clients, after.connected), (1, 1), "{name}");
        still_healthy(&mut world, &node, number);
    }
}

/// From somebody who is not connected they get no more than a DISCONNECT or a refusal, and never a
/// record.
#[test]
fn illegal_frames_of_strangers_leave_no_trace() {
    let mut world = World::new();
    let node = healthy(&mut world);
    for (number, (name, frame, reaction)) in (10_u16..).zip(frames()) {
        let stranger = device(1_000 + u32::from(number));
        world.send_hex(&stranger, frame);
        let answers = world.received(&stranger);
        match reaction {
            Malformed(_) | Dropped(Drop::Unauthenticated | Drop::WrongDirection) => {
                assert_eq!(answers, Vec::<Vec<u8>>::new(), "{name}");
            }
            _ => assert!(answers.iter().all(|bytes| bytes.len() < 4), "{name}: {answers:?}"),
        }
        assert_eq!((world.stats().clients, world.up()), (1, vec![]), "{name}");
    }
    still_healthy(&mut world, &node, 2);
}

/// A broken acknowledgement is none: the exchange stays open and is repeated.
#[test]
fn a_broken_acknowledgement_leaves_the_exchange_open() {
    let mut world = World::new();
    let node = healthy(&mut world);
    world.deliver(&Down::new("down/healthy", b"x").qos1(9));
    let first = publish(PublishTopic::Normal(FIRST_ID + 1), Qos::One, 1, b"x");
    world.expect(&node, &[first]);
    for broken in ["06 0D 00 08 00 01", "08 0D 00 08 00 01 00 00", "07 0D 00 08 00 01"] {
        world.send_hex(&node, broken);
    }
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.pass(RETRY + seconds(1));
    world.expect(&node, &[again(first)]);
    world.send_hex(&node, "07 0D 00 08 00 01 00");
    assert_eq!(world.acknowledged(), [9]);
}

/// The bytes of a malformed datagram are quoted, up to a bound.
#[test]
fn a_flood_of_malformed_datagrams_is_told_in_bounds() {
    let mut world = World::new();
    let junk = vec![0xFF; 60_000];
    for _ in 0..1_000 {
        world.send_bytes(&device(1), &junk);
    }
    assert_eq!(world.stats().malformed.iter().sum::<u64>(), 1_000);
    world.silence_everywhere();
}

/// xorshift64*: as good as any for this, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Valid frames of every kind, the raw material for mutation.
const VALID: &[&str] = &[
    "03 01 01",
    "0F 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31",
    "08 04 0C 01 01 2C 6E 31",
    "08 04 00 01 00 05 6E 32",
    "0A 07 30 73 2F 31 2F 6C 77 74",
    "02 07",
    "06 09 67 6F 6E 65",
    "0E 0A 00 00 00 01 73 2F 31 2F 74 65 6D 70",
    "07 0B 00 11 00 01 00",
    "0B 0C 00 00 11 00 00 32 31 2E 35",
    "0B 0C B0 00 11 00 02 32 31 2E 35",
    "0A 0C 41 00 05 00 04 41 42 43",
    "08 0C 62 61 62 00 00 31",
    "07 0C 71 00 05 00 00",
    "07 0D 00 11 00 02 00",
    "07 0D 00 99 00 03 02",
    "04 0F 00 04",
    "04 10 00 04",
    "04 0E 00 04",
    "0C 12 20 00 05 73 2F 2B 2F 63 6D 64",
    "06 12 40 00 05 23",
    "07 12 41 00 06 00 05",
    "07 12 02 00 07 61 62",
    "0C 14 00 00 08 73 2F 2B 2F 63 6D 64",
    "02 16",
    "0B 16 73 65 6E 73 6F 72 2D 30 31",
    "02 17",
    "02 18",
    "04 18 01 2C",
    "0A 1A 10 73 2F 31 2F 6C 77 32",
    "02 1A",
    "05 1C 62 79 65",
    "05 FE 01 12 34 02 16",
    "0B FE 00 00 12 4B 00 01 02 03 04 08 04 04 01 00 3C 6E 31",
    "01 00 04 16",
];

/// Sends datagrams from other addresses of the link, with time, broker messages and retries in
/// between, and looks after the healthy client all along.
fn storm(seed: u64, mut datagram: impl FnMut(&mut Random) -> Vec<u8>) {
    let mut random = Random(seed);
    let mut world = World::new();
    let node = healthy(&mut world);
    let (_, _, before) = counters(&world);
    let mut of_the_client = 0;
    for number in 0..100_000_u32 {
        world.obliging = true;
        let from = device(100 + number % 7);
        let bytes = datagram(&mut random);
        world.send_bytes(&from, &bytes);
        if number % 97 == 0 {
            world.deliver(&Down::new("s/1/cmd", b"x").qos2(1_000_000 + u64::from(number)));
            world.pass(seconds(u64::from(number % 5)));
        }
        if number % 10_000 == 0 {
            for other in 0..7 {
                world.received(&device(100 + other));
            }
            world.obliging = false;
            still_healthy(&mut world, &node, (number / 10_000) as u16 + 10);
            of_the_client += 5;
        }
    }
    let (malformed, _, received) = counters(&world);
    assert_eq!(malformed + received - before, 100_000 + of_the_client, "every one is counted");
    assert!(malformed > 0);

    // Whoever came of it goes again, and leaves nothing behind.
    world.obliging = true;
    world.exchange(&node, PING, &[PONG]);
    world.pass(seconds(80_000));
    world.exchange(&node, connect("healthy", true, 10), &[connack(OK)]);
    world.exchange(&node, BYE, &[BYE]);
    world.pass(seconds(8 * 24 * 3_600));
    assert_eq!(world.gateway.residue(), [0; 5]);
    let stats = world.stats();
    assert_eq!((stats.connected, stats.buffered, stats.buffered_bytes), (0, 0, 0));
}

#[test]
fn random_datagrams_change_nothing_for_a_healthy_client() {
    storm(0x9E37_79B9_7F4A_7C15, |random| {
        let len = random.below(40);
        let mut bytes = random.octets(len);
        // Half of them with a Length that fits, or hardly any gets behind the first check.
        if !bytes.is_empty() && random.below(2) == 0 {
            bytes[0] = bytes.len() as u8;
            if bytes.len() > 1 {
                bytes[1] %= 0x20;
            }
        }
        bytes
    });
}

#[test]
fn mutated_datagrams_change_nothing_for_a_healthy_client() {
    let frames: Vec<Vec<u8>> = VALID.iter().map(|frame| hex(frame)).collect();
    storm(0xD1B5_4A32_D192_ED03, |random| {
        let mut bytes = frames[random.below(frames.len())].clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len().max(1));
            match random.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
                2 => bytes.truncate(at),
                3 => bytes.insert(at.min(bytes.len()), random.next() as u8),
                4 => bytes.extend_from_slice(&frames[random.below(frames.len())]),
                _ if !bytes.is_empty() => bytes[0] = bytes.len() as u8,
                _ => {}
            }
        }
        bytes
    });
}
