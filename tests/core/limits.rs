//! Every limit has a reply, a counter and an end to what it lets grow. (Those of topic ids,
//! subscriptions, open publications, packet sizes and strangers are with their conversations.)

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos};
use mqtt_sn_gateway::core::{Limit, Settings};

use crate::harness::*;

const SHORT: PublishTopic = PublishTopic::Short(*b"ab");

/// A client that is away, with its session and the subscription "ab" at QoS 1.
fn away(settings: Settings) -> World {
    let mut world = World::with(settings);
    subscribe_and_leave(&mut world, &device(1), "n1");
    world
}

fn subscribe_and_leave(world: &mut World, node: &Device, id: &str) {
    world.resume(node, id);
    world.subscribe_to(node, 1, mqtt_sn_gateway::codec::SubscribeTopic::Short(*b"ab"), Qos::One);
    world.exchange(node, BYE, &[BYE]);
}

/// Connects and gives the payloads that waited.
fn collect(world: &mut World, node: &Device, id: &str) -> Vec<Vec<u8>> {
    world.send(node, connect(id, false, 3_600));
    let mut payloads = Vec::new();
    loop {
        let received = world.received(node);
        if received.is_empty() {
            return payloads;
        }
        for bytes in received {
            if let Message::Publish(publish) =
                mqtt_sn_gateway::codec::decode(&bytes).expect("a packet").message
            {
                payloads.push(publish.data.to_vec());
                world.send(node, puback(0, publish.msg_id, OK));
            }
        }
    }
}

#[test]
fn too_many_clients_are_congestion() {
    let mut world = World::with(Settings { max_clients: 2, ..settings() });
    world.connect(&device(1), "n1");
    world.resume(&device(2), "n2");
    world.register(&device(2), 1, "a");
    world.exchange(&device(3), connect("n3", true, 60), &[connack(CONGESTION)]);
    world.exchange(&device(3), connect_with_will("n3", true, 60), &[connack(CONGESTION)]);
    assert_eq!(world.limit(Limit::Clients), 2);
    // A known one may come back, a kept session counts.
    world.exchange(&device(2), BYE, &[BYE]);
    world.exchange(&device(3), connect("n3", true, 60), &[connack(CONGESTION)]);
    world.resume(&device(2), "n2");
    world.exchange(&device(1), BYE, &[BYE]);
    world.connect(&device(3), "n3");
}

#[test]
fn too_many_will_dialogues_are_congestion() {
    let mut world = World::new();
    for number in 0..1_000 {
        let (node, id) = (device(number), format!("n{number}"));
        world.exchange(&node, connect_with_will(&id, true, 60), &[Message::WillTopicReq]);
    }
    let node = device(2_000);
    world.exchange(&node, connect_with_will("late", true, 60), &[connack(CONGESTION)]);
    assert_eq!((world.limit(Limit::Handshakes), world.stats().clients), (1, 1_000));
    // Without a will there is no dialogue.
    world.connect(&device(2_001), "n2001");
    world.exchange(&device(0), will_topic("a", Qos::Zero, false), &[Message::WillMsgReq]);
    world.exchange(&device(0), will_msg("a"), &[connack(OK)]);
    world.exchange(&node, connect_with_will("late", true, 60), &[Message::WillTopicReq]);
    // Those who never answer do not block it for ever.
    world.pass(seconds(60));
    assert_eq!(world.stats().clients, 2);
}

#[test]
fn the_longest_client_id_can_be_set() {
    let mut world = World::with(Settings { max_client_id_length: 64, ..settings() });
    let id = "a".repeat(65);
    world.connect(&device(1), &id[..64]);
    world.exchange(&device(2), connect(&id, true, 60), &[connack(UNSUPPORTED)]);
}

/// Older QoS 0 messages give way, oldest first; QoS 1 never does.
#[test]
fn a_full_queue_drops_the_oldest_qos_0_first() {
    let mut world = World::with(Settings { max_buffered_messages: 3, ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::One);
    // One in flight, which is none of the queue.
    world.deliver(&Down::new("ab", b"first").qos1(1));
    world.expect(&node, &[publish(SHORT, Qos::One, 1, b"first")]);
    world.deliver(&Down::new("ab", b"a0"));
    world.deliver(&Down::new("ab", b"b1").qos1(2));
    world.deliver(&Down::new("ab", b"c0"));
    assert_eq!(world.stats().buffered, 4);
    world.deliver(&Down::new("ab", b"d1").qos1(3));
    world.deliver(&Down::new("ab", b"e1").qos1(4));
    assert_eq!((world.stats().buffered, world.stats().abandoned), (4, 2));
    assert_eq!((world.limit(Limit::Buffer), world.acknowledged()), (2, vec![]));
    // Nothing is left that may give way: the newcomer is refused, and said to be.
    world.notices();
    world.deliver(&Down::new("ab", b"f1").qos1(5));
    world.deliver(&Down::new("ab", b"g0"));
    assert_eq!((world.acknowledged(), world.stats().abandoned), (vec![5], 4));
    assert_eq!(
        world.notices(),
        [
            "limit: n1 buffer",
            "abandoned: n1 ab 1 its buffer is full",
            "limit: n1 buffer",
            "abandoned: n1 ab 0 its buffer is full",
        ]
    );
    for (msg_id, payload) in (1..).zip([&b"b1"[..], b"d1", b"e1"]) {
        let next = publish(SHORT, Qos::One, msg_id + 1, payload);
        world.exchange(&node, puback(0, msg_id, OK), &[next]);
    }
}

#[test]
fn octets_are_limited_too() {
    // Topic and payload count.
    let mut world = away(Settings { max_buffered_bytes: 100, ..settings() });
    world.deliver(&Down::new("ab", &[1; 48]).qos1(1));
    world.deliver(&Down::new("ab", &[2; 49]).qos1(2));
    world.deliver(&Down::new("ab", &[3; 48]).qos1(3));
    world.deliver(&Down::new("ab", b"").qos1(4));
    assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (2, 100));
    assert_eq!((world.limit(Limit::Buffer), world.stats().abandoned), (2, 2));
    assert_eq!(collect(&mut world, &device(1), "n1"), [[1; 48], [3; 48]]);
    assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (0, 0));
}

#[test]
fn octets_of_all_clients_are_limited_too() {
    let mut world = away(Settings { max_buffered_bytes_total: 100, ..settings() });
    subscribe_and_leave(&mut world, &device(2), "n2");
    // For two clients it counts twice.
    world.deliver(&Down::new("ab", &[1; 38]).qos1(1));
    assert_eq!(world.stats().buffered_bytes, 80);
    world.deliver(&Down::new("ab", &[2; 18]).qos1(2));
    assert_eq!((world.stats().buffered, world.stats().buffered_bytes), (3, 100));
    assert_eq!(world.stats().abandoned, 1);
    let first = collect(&mut world, &device(1), "n1");
    let second = collect(&mut world, &device(2), "n2");
    assert_eq!(first.len() + second.len(), 3);
    assert_eq!((world.stats().buffered_bytes, world.gateway.residue()[3]), (0, 0));
}

/// What can never fit does not push out what does.
#[test]
fn a_message_larger_than_the_buffer_pushes_nothing_out() {
    let mut world = World::with(Settings { max_buffered_bytes: 100, ..settings() });
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "#", Qos::One);
    world.deliver(&Down::new("ab", b"in flight").qos1(1));
    for payload in [b"1", b"2", b"3"] {
        world.deliver(&Down::new("ab", payload));
    }
    world.deliver(&Down::new("ab", &[0; 99]).qos1(2));
    assert_eq!((world.stats().buffered, world.stats().abandoned), (4, 1));
    world.received(&node);
    world.send(&node, puback(0, 1, OK));
    assert_eq!(world.received(&node).len(), 3);
}

/// One client's queue is no other client's business.
#[test]
fn a_full_queue_does_not_hold_up_others() {
    let mut world = away(Settings { max_buffered_messages: 1, ..settings() });
    let node = device(2);
    world.connect(&node, "n2");
    world.subscribe(&node, 1, "ab", Qos::One);
    for delivery in 1..=5 {
        world.deliver(&Down::new("ab", b"x").qos1(delivery));
        assert_eq!(world.received(&node).len(), 1);
        world.send(&node, puback(0, delivery as u16, OK));
        assert_eq!(world.acknowledged(), [delivery]);
    }
}

/// While the broker is away subscriptions can come and go in any number.
#[test]
fn subscriptions_that_come_and_go_leave_nothing_behind() {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.broker_down();
    for number in 0..5_000_u32 {
        let msg_id = number as u16;
        let filter = format!("{}/#", number % 7);
        world.send(&node, subscribe(msg_id, &filter, Qos::Zero));
        world.send(&node, unsubscribe(msg_id, &filter));
    }
    assert_eq!(world.received(&node).len(), 5_000);
    assert_eq!(world.gateway.residue()[1..3], [0, 0]);
    world.broker_up(true);
    assert_eq!(world.up(), []);
}

/// A device that repeats itself without end is answered and remembered once.
#[test]
fn floods_of_one_client_leave_no_more_than_its_limits() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    for number in 0..20_000_u32 {
        let msg_id = (number % 65_535) as u16 + 1;
        let name = format!("t/{number}");
        world.send(&node, register(msg_id, &name));
        world.send(&node, subscribe(msg_id, &name, Qos::One));
        world.send(&node, publish(PublishTopic::Predefined(5), Qos::Two, msg_id, b"x"));
        world.send(&node, pubrec(msg_id));
        world.send(&node, Message::WillTopicUpd(None));
        world.up();
        world.received(&node);
    }
    let [clients, filters, requests, messages, topics] = world.gateway.residue();
    assert_eq!((clients, filters, requests, messages, topics), (1, 100, 0, 0, 1_000));
    world.exchange(&node, BYE, &[BYE]);
    assert_eq!(world.gateway.residue(), [0; 5]);
}
