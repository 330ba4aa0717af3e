//! Who a client is, and where: takeover, roaming, rivals (§24.8, §24.9 and §24.20 of common practice).

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic};
use mqtt_sn_gateway::core::{Drop, Limit, LinkSettings, Settings, Takeover};

use crate::harness::*;

const AB: PublishTopic = PublishTopic::Short(*b"ab");
const POLICIES: [Takeover; 3] = [Takeover::Always, Takeover::AsleepOrLost, Takeover::Never];

/// What a session may be found in when its client id comes from elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Connecting,
    Active,
    Asleep,
    Awake,
    /// Lost, and the session kept.
    Lost,
    /// Said goodbye, and the session kept.
    Gone,
    /// A clean session that was lost: nothing is left of it.
    Ended,
}

const STATES: [Found; 7] = [
    Found::Connecting,
    Found::Active,
    Found::Asleep,
    Found::Awake,
    Found::Lost,
    Found::Gone,
    Found::Ended,
];

fn two_links(takeover: Takeover) -> Settings {
    let links = vec![LinkSettings::default(), LinkSettings::default()];
    Settings { takeover, links, ..settings() }
}

/// The client "n1" at `node`, found so, with a message waiting for it unless it is active.
fn found(state: Found, takeover: Takeover, node: &Device) -> World {
    let mut world = World::with(two_links(takeover));
    let clean = state == Found::Ended;
    world.exchange(node, connect("n1", clean, 60), &[connack(OK)]);
    world.subscribe_to(node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    match state {
        Found::Active => {}
        Found::Connecting => {
            world.exchange(node, connect_with_will("n1", false, 60), &[Message::WillTopicReq]);
        }
        Found::Asleep | Found::Awake => world.sleep(node, 600),
        Found::Lost | Found::Ended => world.pass(seconds(91)),
        Found::Gone => world.exchange(node, BYE, &[BYE]),
    }
    if state != Found::Active {
        world.deliver(&Down::new("ab", b"x").qos1(1));
    }
    if state == Found::Awake {
        world.exchange(node, wake("n1"), &[one(1)]);
    }
    world.silence_everywhere();
    world.up();
    world.notices();
    world
}

/// The PUBLISH that waits.
fn one(msg_id: u16) -> Message<'static> {
    publish(AB, Qos::One, msg_id, b"x")
}

/// Whether a CONNECT with the id of a session in this state may take it elsewhere.
fn may_move(takeover: Takeover, state: Found) -> bool {
    match takeover {
        Takeover::Always => true,
        Takeover::AsleepOrLost => !matches!(state, Found::Active | Found::Connecting),
        Takeover::Never => matches!(state, Found::Gone | Found::Ended),
    }
}

/// Other places: another address, another link, behind a forwarder, another node behind it.
fn elsewhere() -> [Device; 3] {
    [device(2), device(1).on_link(1), device(1).node(b"node")]
}

#[test]
fn connect_from_elsewhere_by_policy_and_state() {
    for takeover in POLICIES {
        for state in STATES {
            for rival in elsewhere() {
                let node = device(1);
                let mut world = found(state, takeover, &node);
                let what = format!("{takeover:?}, {state:?}, {rival}");
                world.send(&rival, connect("n1", false, 60));
                let answers = world.drain(&rival);
                let accepted = answers.first().is_some_and(|bytes| bytes.ends_with(&[5, 0]));
                assert_eq!(accepted, may_move(takeover, state), "{what}");
                // The old place gets nothing, in any case: it may be the same device.
                world.silence(&node);
                if accepted {
                    let waits = !matches!(state, Found::Active | Found::Ended);
                    let expected: &[&[u8]] = if waits { &[b"x"] } else { &[] };
                    assert_eq!(payloads_of(&answers), expected, "{what}");
                    world.exchange(&rival, PING, &[PONG]);
                    world.exchange(&node, PING, &[BYE]);
                    assert_eq!(
                        world.stats().lost,
                        u64::from(matches!(state, Found::Lost | Found::Ended))
                    );
                } else {
                    assert_eq!(answers.len(), 1, "{what}");
                    assert!(answers[0].ends_with(&[5, 1]), "{what}: CONNACK congestion");
                    let refused = |line: &String| line.starts_with("refused:");
                    assert!(world.notices().iter().any(refused), "{what}");
                    world.exchange(&rival, PING, &[BYE]);
                    assert_eq!(world.stats().moved, 0);
                    assert_unmoved(&mut world, &node, state);
                }
            }
        }
    }
}

/// The session is where and what it was.
#[track_caller]
fn assert_unmoved(world: &mut World, node: &Device, state: Found) {
    match state {
        Found::Connecting => {
            world.exchange(node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
            world.send(node, will_msg("gone"));
            assert_eq!(payloads_of(&world.drain(node)), [b"x"]);
        }
        Found::Active => {
            world.exchange(node, PING, &[PONG]);
            world.deliver(&Down::new("ab", b"y").qos1(2));
            world.expect(node, &[publish(AB, Qos::One, 1, b"y")]);
        }
        Found::Asleep => assert_eq!(world.collect(node, wake("n1"), PONG), [b"x"]),
        Found::Awake => world.exchange(node, puback(0x6162, 1, OK), &[PONG]),
        Found::Lost => {
            assert_eq!(world.collect_by_connect(node, connect("n1", false, 60)), [b"x"]);
        }
        Found::Gone | Found::Ended => unreachable!("nothing to take"),
    }
}

/// From where it is a client may always connect, whatever the policy.
#[test]
fn connect_from_the_same_place_is_always_accepted() {
    for takeover in POLICIES {
        for state in STATES {
            let node = device(1);
            let mut world = found(state, takeover, &node);
            world.pass(seconds(6));
            world.received(&node);
            world.send(&node, connect("n1", false, 60));
            let answers = world.drain(&node);
            assert_eq!(answers.first(), Some(&hex("03 05 00")), "{takeover:?}, {state:?}");
            assert_eq!(world.stats().moved, 0);
        }
    }
}

/// §24.20 of common practice: PINGREQ from an address that nobody has.
#[test]
fn pingreq_from_elsewhere_by_policy_and_state() {
    for takeover in POLICIES {
        for state in STATES {
            for rival in elsewhere() {
                let node = device(1);
                let mut world = found(state, takeover, &node);
                let what = format!("{takeover:?}, {state:?}, {rival}");
                let moves =
                    matches!(state, Found::Asleep | Found::Awake) && takeover != Takeover::Never;
                world.send(&rival, wake("n1"));
                let answers = world.drain(&rival);
                world.silence(&node);
                if moves {
                    assert_eq!(payloads_of(&answers), [b"x"], "{what}");
                    assert!(answers.last().is_some_and(|bytes| bytes.ends_with(&[2, 0x17])));
                    assert_eq!((world.stats().moved, world.stats().asleep), (1, 1), "{what}");
                    // And so from now on.
                    world.deliver(&Down::new("ab", b"y").qos1(2));
                    assert_eq!(world.collect(&rival, wake("n1"), PONG), [b"y"], "{what}");
                    world.exchange(&node, PING, &[BYE]);
                } else {
                    assert_eq!(answers.len(), 1, "{what}");
                    assert!(answers[0].ends_with(&[2, 0x18]), "{what}: DISCONNECT");
                    assert_eq!(world.stats().moved, 0, "{what}");
                    if !matches!(state, Found::Gone | Found::Ended) {
                        assert_unmoved(&mut world, &node, state);
                    }
                }
            }
        }
    }
}

/// Without its id a sleeper cannot be known at another address.
#[test]
fn pingreq_without_an_id_from_elsewhere_moves_nobody() {
    let node = device(1);
    let mut world = found(Found::Asleep, Takeover::Always, &node);
    world.exchange(&device(2), PING, &[BYE]);
    assert_unmoved(&mut world, &node, Found::Asleep);
}

/// The address is known as another client's: its PINGREQ is no move of anybody.
#[test]
fn pingreq_with_a_foreign_id_from_a_client_changes_nobody() {
    for takeover in POLICIES {
        for state in STATES {
            for asleep in [false, true] {
                let (node, other) = (device(1), device(2));
                let mut world = found(state, takeover, &node);
                world.connect(&other, "n2");
                world.subscribe_to(&other, 1, SubscribeTopic::Short(*b"cd"), Qos::One);
                if asleep {
                    world.sleep(&other, 600);
                    world.deliver(&Down::new("cd", b"z").qos1(7));
                }
                for id in ["n1", "nobody"] {
                    world.pass(seconds(1));
                    world.exchange(&other, wake(id), &[BYE]);
                }
                world.silence(&node);
                assert_eq!(world.stats().moved, 0);
                if !matches!(state, Found::Gone | Found::Ended) {
                    assert_unmoved(&mut world, &node, state);
                }
                let expected: &[&[u8]] = if asleep { &[b"z"] } else { &[] };
                assert_eq!(world.collect(&other, wake("n2"), PONG), expected);
            }
        }
    }
}

/// A NAT gives a device another port while it sleeps, every time.
#[test]
fn a_roaming_sleeper_is_found_by_its_id() {
    let mut world = World::new();
    world.connect(&device(0), "n1");
    world.subscribe_to(&device(0), 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.sleep(&device(0), 600);
    for number in 1..50_u32 {
        world.deliver(&Down::new("ab", b"x").qos1(u64::from(number)));
        let here = device(number);
        assert_eq!(world.collect(&here, wake("n1"), PONG), [b"x"]);
        // What it was before is nobody's.
        world.exchange(&device(number - 1), PING, &[BYE]);
        // Requests from where it is now.
        world.exchange(&here, publish(AB, Qos::Zero, 0, b"up"), &[]);
        if number % 7 == 0 {
            world.exchange(&here, connect("n1", true, 60), &[connack(OK)]);
            world.sleep(&here, 600);
        }
        world.pass(seconds(500));
    }
    assert_eq!((world.stats().lost, world.stats().clients), (0, 1));
    assert_eq!((world.limit(Limit::Takeovers), world.stats().moved), (0, 49));
    assert!(!world.notices().iter().any(|line| line.starts_with("contested")));
}

/// And while it is awake.
#[test]
fn an_active_client_that_moves_keeps_its_session() {
    let mut world = World::new();
    world.resume(&device(0), "n1");
    let id = world.register(&device(0), 1, "own");
    world.subscribe(&device(0), 2, "cmd", Qos::One);
    world.deliver(&Down::new("cmd", b"x").qos1(1));
    assert_eq!(world.received(&device(0)).len(), 1);
    let here = device(9);
    let resumed = [connack(OK), announce(id + 1, 1, "cmd")];
    world.exchange(&here, connect("n1", false, 60), &resumed);
    let same = publish(PublishTopic::Normal(id + 1), Qos::One, 1, b"x");
    world.exchange(&here, regack(id + 1, 1, OK), &[again(same)]);
    // An acknowledgement from the old address is nobody's.
    world.exchange(&device(0), puback(id + 1, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [0_u64; 0]);
    world.exchange(&here, puback(id + 1, 1, OK), &[]);
    assert_eq!(world.acknowledged(), [1]);
    assert_eq!((world.stats().moved, world.stats().lost), (1, 0));
}

/// §24.9 of common practice: no goodbye was said, so the will is published.
#[test]
fn another_id_from_the_address_of_an_active_client() {
    for clean in [true, false] {
        let mut world = World::new();
        let node = device(1);
        world.exchange(&node, connect_with_will("n1", clean, 60), &[Message::WillTopicReq]);
        world.exchange(&node, will_topic("lwt", Qos::Zero, false), &[Message::WillMsgReq]);
        world.exchange(&node, will_msg("gone"), &[connack(OK)]);
        world.connect(&node, "n2");
        assert_eq!(world.published_topics(), ["lwt"]);
        assert_eq!((world.stats().lost, world.stats().connected), (1, 1));
        let notices = world.notices();
        assert!(notices.iter().any(|line| line.starts_with("lost: n1, Replaced")), "{notices:?}");
        // The address is the second one's now.
        world.exchange(&node, wake("n2"), &[PONG]);
        world.exchange(&node, BYE, &[BYE]);
        assert_eq!(world.stats().clients, u64::from(!clean));
    }
}

/// A NAT gives the address of a sleeper to another device: the sleeper sleeps on.
#[test]
fn another_id_from_the_address_of_a_sleeper() {
    for takeover in [Takeover::Always, Takeover::AsleepOrLost] {
        let node = device(1);
        let mut world = found(Found::Asleep, takeover, &node);
        world.connect(&node, "n2");
        assert_eq!((world.stats().lost, world.stats().asleep, world.up()), (0, 1, vec![]));
        // PINGREQ without an id is the new one's.
        world.exchange(&node, PING, &[PONG]);
        world.deliver(&Down::new("ab", b"y").qos1(2));
        world.silence(&node);
        assert_eq!(world.collect(&device(3), wake("n1"), PONG), [b"x", b"y"]);
        // Its sleep timer runs all the same.
        world.connect(&device(3), "n3");
        world.pass(seconds(899));
        assert_eq!(world.stats().asleep, 1);
        world.pass(seconds(2));
        assert_eq!(world.stats().asleep, 0);
    }
}

/// The device that had the address comes back to it.
#[test]
fn two_devices_at_one_address_in_turn() {
    let mut world = World::new();
    let node = device(1);
    for id in ["n1", "n2"] {
        world.connect(&node, id);
        world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
        world.sleep(&node, 6_000);
    }
    world.deliver(&Down::new("ab", b"x").qos1(1));
    // "n1" has no address, "n2" has this one; a sleeper's id at another sleeper's address is not
    // believed (it would let anybody read for anybody), but CONNECT is.
    world.exchange(&node, wake("n1"), &[BYE]);
    assert_eq!(world.collect_by_connect(&node, connect("n1", true, 60)), [b"x"]);
    assert_eq!((world.stats().asleep, world.stats().connected), (1, 1));
    assert_eq!(world.collect(&device(2), wake("n2"), PONG), [b"x"]);
}

/// Two devices with one client id throw each other out. It is noticed, said, and slowed down.
#[test]
fn a_contested_client_id() {
    let (a, b) = (device(1), device(2));
    let mut world = World::new();
    world.connect(&a, "n1");
    // Four moves are believed.
    for rival in [&b, &a, &b, &a] {
        world.pass(seconds(6));
        world.connect(rival, "n1");
    }
    world.notices();
    // The fifth is not: the session stays with the one that has it.
    for _ in 0..3 {
        world.pass(seconds(6));
        world.exchange(&b, connect("n1", true, 3_600), &[connack(CONGESTION)]);
        world.exchange(&a, PING, &[PONG]);
    }
    let notices = world.notices();
    let contested = format!("contested: n1, held by {a}, wanted by {b}");
    assert!(notices.contains(&contested), "{notices:?}");
    assert_eq!((world.limit(Limit::Takeovers), world.stats().moved), (3, 4));
    // The holder itself may do what it likes.
    world.connect(&a, "n1");
    // A third one is a rival like the second.
    world.exchange(&device(3), connect("n1", true, 60), &[connack(CONGESTION)]);
    // After the minute it begins anew.
    world.pass(seconds(61));
    world.connect(&b, "n1");
    world.exchange(&a, PING, &[BYE]);
}

/// Moves that are far apart are no quarrel, however many.
#[test]
fn moves_far_apart_are_no_quarrel() {
    let mut world = World::new();
    for number in 0..100 {
        world.connect(&device(number % 2), "n1");
        world.pass(seconds(16));
        world.exchange(&device(number % 2), PING, &[PONG]);
    }
    assert_eq!(world.limit(Limit::Takeovers), 0);
}

/// A quarrel of two devices about one id is nobody else's business.
#[test]
fn a_quarrel_holds_up_nobody_else() {
    let mut world = World::new();
    let bystander = device(9);
    world.connect(&bystander, "n9");
    for number in 0..1_000 {
        world.send(&device(number % 2), connect("n1", true, 60));
        world.exchange(&bystander, PING, &[PONG]);
    }
    // Another client may move in the meantime.
    world.connect(&device(10), "n9");
    assert_eq!((world.stats().clients, world.stats().moved), (2, 5));
}

/// The same node id behind two forwarders is two nodes (§5.5); a node that comes by another
/// forwarder has moved.
#[test]
fn forwarders_and_nodes_are_places() {
    let mut world = World::new();
    let first = device(1).node(b"\x01");
    let second = device(2).node(b"\x01");
    world.connect(&first, "n1");
    world.connect(&second, "n2");
    world.exchange(&first, PING, &[PONG]);
    world.exchange(&second, wake("n2"), &[PONG]);
    world.exchange(&first, wake("n2"), &[BYE]);
    world.subscribe_to(&first, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.sleep(&first, 600);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    let roamed = device(2).node(b"\x02");
    assert_eq!(world.collect(&roamed, wake("n1"), PONG), [b"x"]);
    world.pass(seconds(1));
    world.exchange(&second, PING, &[PONG]);
    world.exchange(&first, PING, &[BYE]);
}

/// Many nodes behind one forwarder are many devices.
#[test]
fn a_forwarder_may_have_many_nodes() {
    let mut world = World::new();
    for number in 0..500_u32 {
        let node = device(1).node(&number.to_be_bytes());
        world.connect(&node, &format!("n{number}"));
    }
    assert_eq!((world.stats().connected, world.limit(Limit::Newcomers)), (500, 0));
}

/// A device that renames itself without end does not fill the gateway.
#[test]
fn new_ids_from_one_address_are_limited() {
    let mut world = World::new();
    let (node, bystander) = (device(1), device(2));
    world.connect(&bystander, "bystander");
    let mut accepted = 0;
    for number in 0..1_000 {
        world.send(&node, connect(&format!("n{number}"), false, 60));
        let answers = world.received(&node);
        assert_eq!(answers.len(), 1);
        accepted += u32::from(answers[0] == hex("03 05 00"));
        assert!(answers[0] == hex("03 05 00") || answers[0] == hex("03 05 01"));
        world.exchange(&bystander, PING, &[PONG]);
    }
    assert_eq!(accepted, 100);
    assert_eq!(world.limit(Limit::Newcomers), 900);
    // At its ease it may go on, and so may the others at once.
    world.pass(seconds(3));
    world.exchange(&node, connect("later", false, 60), &[connack(OK)]);
    world.connect(&device(3), "n-other");
    // A known id is no new one: also beyond the limit.
    for _ in 0..50 {
        world.send(&node, connect("again", false, 60));
    }
    world.received(&node);
    world.exchange(&node, connect("later", false, 60), &[connack(OK)]);
    // None of those who replaced each other is left.
    assert!(world.stats().clients <= 4, "{}", world.stats().clients);
}

/// A CONNECT that is refused changes nobody: not the one whose id it has, and not the one at whose
/// address it came.
#[test]
fn a_refused_connect_changes_nobody() {
    // The gateway is full.
    let mut world = World::with(Settings { max_clients: 1, ..settings() });
    let node = device(1);
    world.exchange(&node, connect("n1", false, 60), &[connack(OK)]);
    world.subscribe_to(&node, 1, SubscribeTopic::Short(*b"ab"), Qos::One);
    world.exchange(&node, connect("n2", false, 60), &[connack(CONGESTION)]);
    assert_eq!((world.stats().lost, world.stats().connected), (0, 1), "gateway full");
    world.exchange(&node, wake("n1"), &[PONG]);

    // It makes way for its successor if its record goes with it.
    let mut world = World::with(Settings { max_clients: 1, ..settings() });
    world.connect(&node, "n1");
    world.register(&node, 1, "own");
    world.connect(&node, "n2");
    world.exchange(&node, connect("n3", false, 60), &[connack(OK)]);
    world.exchange(&node, connect("n4", false, 60), &[connack(OK)]);
    assert_eq!((world.stats().lost, world.stats().clients, world.limit(Limit::Clients)), (3, 1, 0));
    // A sleeper does not go, so there is no room.
    world.sleep(&node, 600);
    world.exchange(&node, connect("n5", true, 60), &[connack(CONGESTION)]);
    world.exchange(&node, wake("n4"), &[PONG]);

    // Its id is not to be had from here.
    let mut world = World::with(Settings { takeover: Takeover::AsleepOrLost, ..settings() });
    let (node, other) = (device(1), device(2));
    world.connect(&node, "n1");
    world.connect(&other, "n2");
    world.exchange(&node, connect("n2", true, 60), &[connack(CONGESTION)]);
    world.exchange(&node, wake("n1"), &[PONG]);
    world.exchange(&other, wake("n2"), &[PONG]);
    assert_eq!((world.stats().lost, world.stats().connected), (0, 2));

    // It is no client id, or no protocol of ours.
    for frame in ["06 04 04 01 00 3C", "08 04 04 02 00 3C 6E 33"] {
        world.send_hex(&node, frame);
        world.expect(&node, &[connack(UNSUPPORTED)]);
        world.exchange(&node, wake("n1"), &[PONG]);
    }
    assert_eq!(world.dropped(Drop::Stranger), 0);
}
