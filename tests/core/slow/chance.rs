//! With room that comes in steps of chance, and devices that come and go, every client gets what it gets
//! without a limit.

use mqtt_sn_gateway::codec::{Message, Qos, SubscribeTopic, decode};
use mqtt_sn_gateway::core::{LinkSettings, Pacing, Settings};

use super::with_two_links;
use crate::harness::*;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

/// Payload, QoS and topic.
type Got = (String, Qos, String);

/// Who says what there is room for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Pace {
    Nobody,
    /// Each of the two links.
    Links,
    /// Each device, if it is there.
    Devices,
}

/// The clients, and what each was sent.
struct Company {
    world: World,
    nodes: Vec<Device>,
    /// In order.
    got: Vec<Vec<Got>>,
    /// Octets of messages since the room was given.
    octets: usize,
}

impl Company {
    /// Sleepers, clients behind forwarders, at two links.
    fn new(size: u32, pace: Pace) -> Self {
        let mut settings = with_two_links();
        if pace == Pace::Devices {
            let link = LinkSettings { pacing: Pacing::Device, ..LinkSettings::default() };
            settings = Settings { links: vec![link.clone(), link], ..settings };
        }
        let mut world = World::with(settings);
        world.obliging = true;
        let nodes: Vec<Device> = (0..size)
            .map(|number| match number % 4 {
                0 => device(number),
                1 => device(number).on_link(1),
                _ => device(number / 4).node(&[number as u8; 3]),
            })
            .collect();
        for (number, node) in nodes.iter().enumerate() {
            world.connect(node, &format!("n{number}"));
            let qos = [Qos::Zero, Qos::One, Qos::Two][number % 3];
            world.send(node, subscribe_to(1, SubscribeTopic::Name(b"all/#"), qos));
            world.send(node, subscribe_to(2, SubscribeTopic::Short(*b"ab"), Qos::Two));
            let own = format!("to/{number}");
            world.send(node, subscribe_to(3, SubscribeTopic::Name(own.as_bytes()), qos));
            world.received(node);
            if number % 5 == 4 {
                world.sleep(node, 60_000);
            }
        }
        let got = vec![Vec::new(); nodes.len()];
        let mut company = Self { world, nodes, got, octets: 0 };
        company.tell(pace, |_| Some(0));
        company
    }

    /// Says how much room there is; `None` where nobody is there, or nobody is to say so.
    fn tell(&mut self, pace: Pace, mut room: impl FnMut(usize) -> Option<u32>) {
        match pace {
            Pace::Nobody => {}
            Pace::Links => {
                for link in 0..2 {
                    let octets = room(usize::from(link)).unwrap_or(0);
                    self.world.room(link, octets);
                }
            }
            Pace::Devices => {
                for (number, node) in self.nodes.iter().enumerate() {
                    match room(number) {
                        Some(octets) => self.world.here(node, octets),
                        None => self.world.gone(node),
                    }
                }
            }
        }
    }

    /// Takes what was sent, and answers: all of it, or by chance only some clients.
    fn answer(&mut self, mut chance: Option<&mut Chance>) -> bool {
        let mut some = false;
        for (number, node) in self.nodes.iter().enumerate() {
            if chance.as_mut().is_some_and(|chance| chance.below(3) == 0) {
                continue;
            }
            for bytes in self.world.received(node) {
                some = true;
                let message = decode(&bytes).expect("a packet").message;
                match message {
                    Message::Register { topic_id, msg_id, .. } => {
                        self.octets += bytes.len();
                        self.world.send(node, regack(topic_id, msg_id, OK));
                    }
                    Message::Publish(publish) => {
                        self.octets += bytes.len();
                        let topic = format!("{:?}", publish.topic);
                        // Who asks again in its window gets again what it has not answered yet.
                        if !publish.dup {
                            let payload = String::from_utf8_lossy(publish.data).into_owned();
                            self.got[number].push((payload, publish.qos, topic));
                        }
                        match publish.qos {
                            Qos::One => self.world.send(node, puback(0, publish.msg_id, OK)),
                            Qos::Two => self.world.send(node, pubrec(publish.msg_id)),
                            _ => {}
                        }
                    }
                    Message::PubRel { msg_id } => self.world.send(node, pubcomp(msg_id)),
                    _ => {}
                }
            }
        }
        some
    }
}

fn run(seed: u64, pace: Pace) -> Vec<Vec<Got>> {
    let limited = pace != Pace::Nobody;
    // What happens, and when the room comes, are drawn apart: they are the same in both.
    let (mut what, mut when) = (Chance(seed), Chance(seed ^ 0xABCD));
    let size = 1 + what.below(12) as u32;
    let mut company = Company::new(size, pace);
    for number in 1..=60_u64 {
        let sleeper = what.below(u64::from(size)) as usize;
        let topic = match what.below(4) {
            0 => "ab".to_owned(),
            1 => format!("to/{}", what.below(u64::from(size))),
            other => format!("all/{}", other + what.below(3)),
        };
        let payload = format!("{number}{}", "-".repeat(what.below(30) as usize));
        let down = Down::new(&topic, payload.as_bytes());
        let down = match what.below(3) {
            0 => down,
            1 => down.qos1(number),
            _ => down.qos2(number),
        };
        company.world.deliver(&down);
        if what.below(5) == 0 && sleeper % 5 == 4 {
            let id = format!("n{sleeper}");
            company.world.send(&company.nodes[sleeper], wake(&id));
        }
        if limited {
            for _ in 0..when.below(3) {
                let octets = when.below(100) as u32;
                if pace == Pace::Links {
                    company.world.room(when.below(2) as u16, octets);
                } else {
                    let chance = &mut when;
                    company.tell(pace, |_| (chance.below(2) == 0).then_some(octets));
                }
                company.answer(Some(&mut when));
            }
        }
        company.answer(limited.then_some(&mut when));
    }
    // In the end everybody gets everything.
    for _ in 0..3 {
        for (number, node) in company.nodes.iter().enumerate() {
            if number % 5 == 4 {
                company.world.send(node, wake(&format!("n{number}")));
            }
        }
        loop {
            // Each of them may be overdrawn by one packet.
            company.octets = 0;
            company.tell(pace, |_| Some(1 + when.below(100) as u32));
            let some = company.answer(None);
            // Some devices have not read yet what they were sent before.
            let places = if pace == Pace::Links { 2 } else { size as usize };
            let most = 2 * places * (100 + 60);
            assert!(!limited || company.octets <= most, "{} octets", company.octets);
            if !some {
                break;
            }
        }
    }
    let stats = company.world.stats();
    assert_eq!((stats.buffered, stats.lined_up, stats.abandoned, stats.lost), (0, 0, 0, 0));
    assert_eq!(stats.held_back > 0, limited);
    company.got
}

#[test]
fn room_in_steps_of_chance_changes_nothing_but_the_time() {
    for seed in 0..300 {
        let quick = run(seed, Pace::Nobody);
        for pace in [Pace::Links, Pace::Devices] {
            let slow = run(seed, pace);
            for (number, (slow, quick)) in slow.iter().zip(&quick).enumerate() {
                assert_eq!(slow, quick, "seed {seed}, client {number}");
            }
        }
    }
}
