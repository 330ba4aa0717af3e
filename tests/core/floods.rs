//! Devices that do too much of something, or too little: a bystander's round trips go on, in both
//! directions and at once.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, decode};
use mqtt_sn_gateway::core::{Limit, Settings};

use crate::harness::*;

const FIVE: PublishTopic = PublishTopic::Predefined(5);

/// A client that publishes at QoS 2 and is subscribed at QoS 1.
struct Bystander {
    device: Device,
    topic: PublishTopic,
    up: u16,
    down: u16,
}

impl Bystander {
    fn arrive(world: &mut World) -> Self {
        let device = device(9_999);
        world.connect(&device, "bystander");
        let (id, _) = world.subscribe(&device, 1, "bystander/cmd", Qos::One);
        Self { device, topic: PublishTopic::Normal(id), up: 0, down: 0 }
    }

    /// One message up, one down, one ping. The broker answers at once.
    #[track_caller]
    fn round_trip(&mut self, world: &mut World) {
        world.up();
        let node = self.device.clone();
        self.up = self.up % 60_000 + 1;
        world.send(&node, publish(FIVE, Qos::Two, self.up, b"up"));
        let (token, ..) = world.published();
        if !world.obliging {
            world.received_upstream(token);
            world.completed(token);
        }
        world.expect(&node, &[pubrec(self.up)]);
        world.exchange(&node, pubrel(self.up), &[pubcomp(self.up)]);
        self.down += 1;
        world.deliver(&Down::new("bystander/cmd", b"down").qos1(1_000_000));
        world.expect(&node, &[publish(self.topic, Qos::One, self.down, b"down")]);
        world.exchange(&node, puback(0, self.down, OK), &[]);
        assert_eq!(world.acknowledged(), [1_000_000]);
        world.exchange(&node, PING, &[PONG]);
    }
}

fn world() -> (World, Device, Bystander) {
    let mut world = World::obliging();
    let bystander = Bystander::arrive(&mut world);
    let node = device(1);
    world.connect(&node, "n1");
    (world, node, bystander)
}

/// §24.14 of common practice: refused with congestion once its table is full; what it has stays.
#[test]
fn a_flood_of_registers() {
    for asleep in [false, true] {
        let (mut world, node, mut bystander) = world();
        if asleep {
            world.sleep(&node, 60);
        }
        for number in 0..5_000_u16 {
            world.send(&node, register(number, &format!("t/{number}")));
            let received = world.received(&node);
            let Ok(Message::RegAck { code, msg_id, .. }) = decode(&received[0]).map(|p| p.message)
            else {
                panic!("{received:?}")
            };
            let expected = if number < 1_000 { OK } else { CONGESTION };
            assert_eq!((code, msg_id), (expected, number));
            if number % 50 == 0 {
                bystander.round_trip(&mut world);
            }
        }
        // The names of the bystander are two.
        assert_eq!((world.limit(Limit::Topics), world.gateway.residue()[4]), (4_000, 1_001));
        assert_eq!(world.register(&node, 1, "t/7"), world.register(&node, 2, "t/7"));
    }
}

#[test]
fn a_flood_of_subscriptions() {
    for asleep in [false, true] {
        let (mut world, node, mut bystander) = world();
        if asleep {
            world.sleep(&node, 60);
        }
        for number in 0..5_000_u16 {
            let filter = format!("f/{number}/#");
            let code = if number < 100 { OK } else { CONGESTION };
            let qos = if number < 100 { Qos::One } else { Qos::Zero };
            let request = subscribe(number, &filter, Qos::One);
            world.exchange(&node, request, &[suback(qos, 0, number, code)]);
            if number % 50 == 0 {
                bystander.round_trip(&mut world);
            }
        }
        assert_eq!(world.limit(Limit::Subscriptions), 4_900);
        assert_eq!(world.gateway.residue()[1], 101, "filters");
    }
}

/// While the broker does not answer, the number of open requests is limited too.
#[test]
fn a_flood_of_subscriptions_that_the_broker_does_not_answer() {
    let (mut world, node, mut bystander) = world();
    world.obliging = false;
    for number in 0..1_000_u16 {
        world.send(&node, subscribe(number, &format!("f/{number}/#"), Qos::One));
        if number % 50 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    assert_eq!(world.received(&node).len(), 1_000 - 32);
    assert_eq!(world.limit(Limit::InFlight), 1_000 - 32);
    world.exchange(&node, BYE, &[BYE]);
    bystander.round_trip(&mut world);
}

#[test]
fn a_flood_of_publications_that_the_broker_does_not_answer() {
    let (mut world, node, mut bystander) = world();
    world.obliging = false;
    let mut congested = 0;
    for msg_id in 1..=1_000_u16 {
        world.send(&node, publish(FIVE, Qos::One, msg_id, &msg_id.to_be_bytes()));
        congested += world.received(&node).len();
        if msg_id % 50 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    assert!((900..1_000).contains(&congested), "{congested}");
    assert_eq!(world.limit(Limit::InFlight), congested as u64);
}

#[test]
fn a_thousand_ids_from_one_address() {
    for clean in [true, false] {
        for will in [true, false] {
            let (mut world, node, mut bystander) = world();
            let before = world.stats().clients;
            for number in 0..1_000 {
                let id = format!("id-{number}");
                if will {
                    world.send(&node, connect_with_will(&id, clean, 60));
                    world.send(&node, will_topic("lwt", Qos::Zero, false));
                    world.send(&node, will_msg("gone"));
                } else {
                    world.send(&node, connect(&id, clean, 60));
                    world.send(&node, register(1, "own"));
                }
                if number % 50 == 0 {
                    bystander.round_trip(&mut world);
                }
            }
            world.received(&node);
            assert!(world.limit(Limit::Newcomers) >= 899);
            assert!(world.stats().clients <= before + 100);
            // One will for each that was replaced, and none for those who were not let in.
            assert!(world.stats().wills <= 100);
        }
    }
}

/// A thousand of them from a thousand addresses, none of which says anything more.
#[test]
fn a_thousand_will_dialogues_that_nobody_ends() {
    let (mut world, _, mut bystander) = world();
    for number in 0..2_000_u32 {
        let id = format!("id-{number}");
        world.send(&device(10_000 + number), connect_with_will(&id, true, 60));
        if number % 100 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    assert_eq!(world.limit(Limit::Handshakes), 1_000);
    for _ in 0..10 {
        world.pass(seconds(10));
        bystander.round_trip(&mut world);
    }
    assert_eq!((world.stats().clients, world.stats().wills), (2, 0));
}

/// It is connected, subscribed to a busy topic, and mute. What waits for it is bounded, the broker
/// is not kept waiting for much of it, and after its tries it is lost.
#[test]
fn an_active_subscriber_that_never_acknowledges() {
    for qos in [Qos::One, Qos::Two] {
        let settings = Settings { max_buffered_messages: 50, ..settings() };
        let mut world = World::with(settings);
        world.obliging = true;
        let mut bystander = Bystander::arrive(&mut world);
        let node = device(1);
        world.exchange(&node, connect("mute", false, 3_600), &[connack(OK)]);
        world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), qos));
        world.received(&node);
        world.up();
        let mut outstanding = 0;
        for delivery in 1..=500 {
            world.deliver(&Down::new("ab", b"x").qos2(delivery));
            outstanding += 1 - world.acknowledged().len() as i64;
            // MQTT brokers allow some twenty for all clients together.
            assert!(outstanding < 10, "{outstanding} deliveries wait for one client");
            if delivery % 10 == 0 {
                bystander.round_trip(&mut world);
            }
        }
        assert!(world.stats().buffered <= 51);
        world.pass(seconds(11));
        outstanding -= world.acknowledged().len() as i64;
        assert_eq!(outstanding, 0, "after the first repetition the broker waits no longer");
        world.pass(seconds(30));
        world.received(&node);
        assert_eq!((world.stats().lost, world.stats().connected), (1, 1));
        bystander.round_trip(&mut world);
    }
}

/// The same asleep: it asks for its messages again and again, and acknowledges none.
#[test]
fn a_sleeping_subscriber_that_never_acknowledges() {
    for qos in [Qos::One, Qos::Two] {
        let settings = Settings { max_buffered_messages: 50, ..settings() };
        let mut world = World::with(settings);
        world.obliging = true;
        let mut bystander = Bystander::arrive(&mut world);
        let node = device(1);
        world.connect(&node, "mute");
        world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), qos));
        world.received(&node);
        world.sleep(&node, 60);
        for delivery in 1..=200 {
            world.up();
            world.deliver(&Down::new("ab", b"x").qos2(delivery));
            assert_eq!(world.acknowledged(), [delivery]);
            world.send(&node, wake("mute"));
            bystander.round_trip(&mut world);
            world.pass(seconds(1));
        }
        // One packet per PINGREQ and no more: the device decides how much it is sent.
        assert!(world.received(&node).len() <= 200 + 20);
        assert!(world.stats().buffered <= 51);
        // It is heard of, so it is there; once it is silent it is lost.
        assert_eq!(world.stats().lost, 0);
        world.pass(seconds(41 + 91));
        assert_eq!((world.stats().lost, world.stats().buffered), (1, 0));
        bystander.round_trip(&mut world);
    }
}

/// A storm of PINGREQs, with ids and without, of clients and strangers.
#[test]
fn a_storm_of_pingreqs() {
    let (mut world, node, mut bystander) = world();
    world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::One));
    world.received(&node);
    world.sleep(&node, 60);
    world.deliver(&Down::new("ab", b"x").qos1(1));
    for number in 0..2_000_u32 {
        world.send(&node, wake("n1"));
        world.send(&device(20_000 + number), wake("n1-not"));
        world.send(&device(3), wake("bystander"));
        world.send(&device(3), PING);
        if number % 100 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    assert_eq!((world.stats().clients, world.stats().moved), (2, 0));
    // What is in flight is in flight still, under the same id.
    world.received(&node);
    world.exchange(&node, puback(0x6162, 1, OK), &[PONG]);
}

/// A storm of DISCONNECTs with durations: each is acknowledged, the last one counts.
#[test]
fn a_storm_of_disconnects() {
    let (mut world, node, mut bystander) = world();
    world.send(&node, subscribe_to(1, SubscribeTopic::Short(*b"ab"), Qos::One));
    world.received(&node);
    for delivery in 1..=100 {
        world.deliver(&Down::new("ab", &[delivery as u8]).qos1(delivery));
    }
    world.received(&node);
    for duration in 1..=2_000_u16 {
        world.sleep(&node, duration);
        if duration % 100 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    assert_eq!(world.collect(&node, wake("n1"), PONG).len(), 100);
    world.pass(seconds(2_999));
    assert_eq!(world.stats().lost, 0);
    world.pass(seconds(2));
    assert_eq!(world.stats().lost, 1);
}

/// CONNECT, sleep, wake, CONNECT … without a pause: no growth.
#[test]
fn a_device_that_cannot_decide() {
    let (mut world, node, mut bystander) = world();
    world.send(&node, subscribe(1, "a/b", Qos::One));
    world.received(&node);
    let residue = world.gateway.residue();
    for number in 0..2_000_u32 {
        world.send(&node, doze(60));
        world.send(&node, wake("n1"));
        world.send(&node, connect("n1", true, 60));
        let request = subscribe((number % 60_000) as u16 + 2, "a/b", Qos::One);
        world.send(&node, request);
        if number % 100 == 0 {
            bystander.round_trip(&mut world);
        }
    }
    world.received(&node);
    assert_eq!(world.gateway.residue(), residue);
}
