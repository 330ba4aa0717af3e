//! Retained messages go to those who have just subscribed, whatever happens meanwhile, once, and to
//! nobody else (MQTT 3.1.1 §3.3.1.3).

use mqtt_sn_gateway::codec::Qos;
use mqtt_sn_gateway::core::upstream::MqttQos;

use crate::harness::*;

/// How many PUBLISHes a device got.
fn count(world: &mut World, node: &Device) -> usize {
    payloads(world, node).len()
}

/// The broker sends what is retained before its SUBACK, which the end of the connection swallows: the
/// SUBSCRIBE is made again, the message is not delivered again.
#[test]
fn a_subscribe_that_was_cut_off_brings_each_message_once() {
    for session_present in [true, false] {
        let (mut world, node) = one_client();
        world.exchange(&node, subscribe(1, "s/#", Qos::One), &[]);
        let (_, _, _, id, _) = world.subscribed();
        world.deliver(&Down::new("s/1", b"r").qos1(1).retained().ids(&[id]));
        world.broker_down();
        assert_eq!(count(&mut world, &node), 1);
        world.up();
        world.broker_up(session_present);
        let (token, _, _, _, retained) = world.subscribed();
        assert!(retained, "the rest has still to come");
        world.granted(token, MqttQos::Two);
        world.expect(&node, &[suback(Qos::One, 0, 1, OK)]);
        world.deliver(&Down::new("s/1", b"r").qos1(2).retained().ids(&[id]));
        world.silence(&node);
        world.deliver(&Down::new("s/2", b"r").qos1(3).retained().ids(&[id]));
        assert_eq!(count(&mut world, &node), 1);
    }
}

/// Nothing at QoS 0 outlives its connection: what comes on the next one is somebody else's.
#[test]
fn at_qos_0_the_connection_ends_what_a_subscribe_can_bring() {
    for (qos, due) in [(MqttQos::Zero, 0), (MqttQos::One, 1)] {
        let (mut world, a, b) = two_clients();
        let (_, id) = world.subscribe(&a, 1, "s/#", Qos::One);
        world.broker_down();
        world.broker_up(true);
        world.subscribe(&b, 1, "s/#", Qos::One);
        let down = Down::new("s/1", b"r").retained().ids(std::slice::from_ref(&id));
        let down = if qos == MqttQos::Zero { down } else { down.qos1(1) };
        world.deliver(&down);
        assert_eq!(count(&mut world, &a), due, "{qos:?}");
        assert_eq!(count(&mut world, &b), 1, "{qos:?}");
    }
}

#[test]
fn at_qos_0_they_come_soon_or_never() {
    let (mut world, a, b) = two_clients();
    let (_, id) = world.subscribe(&a, 1, "s/#", Qos::Zero);
    world.pass(seconds(31));
    world.subscribe(&b, 1, "s/#", Qos::Zero);
    world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
    world.silence(&a);
    assert_eq!(count(&mut world, &b), 1);
}

/// It left, or began a new session, and subscribes again: the new SUBSCRIBE counts, not both.
#[test]
fn a_client_that_comes_back_to_a_filter_gets_them_once() {
    for goodbye in [true, false] {
        let (mut world, a, b) = two_clients();
        let (_, id) = world.subscribe(&a, 1, "s/#", Qos::Zero);
        world.subscribe(&b, 1, "s/#", Qos::Zero);
        if goodbye {
            world.connect(&b, "n2");
            world.pass(seconds(6));
            world.connect(&b, "n2");
        } else {
            world.exchange(&b, unsubscribe(2, "s/#"), &[unsuback(2)]);
        }
        world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
        world.silence(&b);
        world.subscribe(&b, 3, "s/#", Qos::Zero);
        world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
        assert_eq!(count(&mut world, &b), 1, "{goodbye}");
        world.deliver(&Down::new("s/1", b"r").retained().ids(&[id]));
        world.silence(&b);
    }
}

/// A message is published for others just before a client subscribes; of its further copies the
/// client gets none, so the retained one is its own.
#[test]
fn a_further_copy_for_others_takes_nothing_from_a_new_subscriber() {
    let (mut world, a, b) = two_clients();
    let wide = world.subscribe(&a, 1, "s/#", Qos::Zero).1;
    let narrow = world.subscribe(&a, 2, "s/1", Qos::Zero).1;
    world.subscribe(&b, 1, "s/1", Qos::Zero);
    world.deliver(&Down::new("s/1", b"r").ids(&[wide]));
    assert_eq!(count(&mut world, &a), 1);
    world.silence(&b);
    world.deliver(&Down::new("s/1", b"r").ids(&[narrow]));
    world.silence(&a);
    assert_eq!(count(&mut world, &b), 1, "the copy for its own filter");
    // b subscribes anew between the copies of the next message: it has that one already.
    world.deliver(&Down::new("s/1", b"q").ids(&[narrow]));
    assert_eq!((count(&mut world, &a), count(&mut world, &b)), (1, 1));
    world.subscribe(&b, 2, "s/1", Qos::Zero);
    world.deliver(&Down::new("s/1", b"q").ids(&[wide]));
    world.silence(&b);
    world.deliver(&Down::new("s/1", b"q").retained().ids(&[narrow]));
    assert_eq!(payloads(&mut world, &b), [(b"q".to_vec(), true)]);
}

/// Many subscribe one after the other while the broker's window is stuck: all are served, once.
#[test]
fn forty_that_subscribe_one_after_the_other_all_get_them() {
    let mut world = World::new();
    let nodes: Vec<Device> = (1..=40).map(device).collect();
    let mut id = 0;
    for (number, node) in nodes.iter().enumerate() {
        world.connect(node, &format!("n{number}"));
        id = world.subscribe(node, 1, "all/cmd", Qos::One).1;
        world.pass(seconds(1));
    }
    for delivery in 1..=40 {
        world.deliver(&Down::new("all/cmd", b"r").qos1(delivery).retained().ids(&[id]));
    }
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(payloads(&mut world, node), [(b"r".to_vec(), true)], "{number}");
    }
}

/// More of them than are remembered in all: each once, to the one that subscribed.
#[test]
fn a_hundred_thousand_of_them_come_once_each() {
    let (mut world, node) = one_client();
    let (_, id) = world.subscribe(&node, 1, "#", Qos::Zero);
    for number in 0..100_000_u32 {
        let payload = number.to_be_bytes();
        world.deliver(&Down::new("ab", &payload).retained().ids(&[id]));
    }
    assert_eq!(count(&mut world, &node), 100_000);
    // The latest are still remembered.
    let payload = 99_999_u32.to_be_bytes();
    world.deliver(&Down::new("ab", &payload).retained().ids(&[id]));
    world.silence(&node);
}

/// A device that subscribes to much at once, on a network that doubles datagrams.
#[test]
fn a_doubled_subscribe_among_many_is_not_done_again() {
    let mut world = World::obliging();
    let node = device(1);
    world.connect(&node, "n1");
    for msg_id in 1..=16 {
        world.send(&node, subscribe(msg_id, &format!("s/{msg_id}"), Qos::Zero));
    }
    world.received(&node);
    world.up();
    for msg_id in 1..=16 {
        world.send(&node, subscribe(msg_id, &format!("s/{msg_id}"), Qos::Zero));
        assert_eq!((world.received(&node).len(), world.up()), (1, vec![]), "{msg_id}");
    }
}
