//! A broker that sends anything at all: our session ends the connection or carries on, and never
//! panics or grows.

use bytes::{Buf, BytesMut};
use mqtt_sn_gateway::core::upstream::{DeliveryId, MqttQos, Token, UpstreamEvent};
use mqtt_sn_gateway::mqtt::{Session, Settings, Version};
use mqtt_sn_gateway::time::Time;

const INPUTS: u64 = 100_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Packets that a broker might send, whole and right.
fn seeds(version: Version) -> Vec<&'static [u8]> {
    let both = [
        &b"\x30\x07\0\x03a/b\0x"[..],
        b"\xD0\0",
        b"\x40\x02\0\x01",
        b"\x50\x02\0\x02",
        b"\x62\x02\0\x03",
        b"\x70\x02\0\x02",
    ];
    let one: &[&[u8]] = match version {
        Version::V311 => &[
            b"\x20\x02\0\0",
            b"\x20\x02\x01\0",
            b"\x32\x08\0\x03a/b\0\x03x",
            b"\x34\x08\0\x03a/b\0\x04y",
            b"\x90\x03\0\x04\x01",
            b"\xB0\x02\0\x05",
        ],
        _ => &[
            b"\x20\x03\0\0\0",
            b"\x20\x13\x01\0\x10\x21\0\x05\x24\x01\x25\0\x27\0\0\x01\0\x29\0\x13\0\x0A",
            b"\x20\x09\0\x86\x06\x1F\0\x03why",
            b"\x32\x1F\0\x03a/b\0\x03\x17\x01\x01\x02\0\0\0\x09\x03\0\x01t\x0B\x05\x26\0\x01k\0\x01vxyz",
            b"\x34\x09\0\x03a/b\0\x04\0y",
            b"\x40\x0A\0\x01\x97\x06\x1F\0\x03why",
            b"\x90\x0A\0\x04\x06\x1F\0\x03why\x01",
            b"\xB0\x04\0\x05\0\x11",
            b"\xE0\x08\x8B\x06\x1F\0\x03why",
        ],
    };
    [&both[..], one].concat()
}

/// A few packets in a row, most of them right, some of them spoiled.
fn traffic(random: &mut Random, seeds: &[&[u8]], bytes: &mut Vec<u8>) {
    bytes.clear();
    if random.below(10) != 0 {
        // Past the CONNACK most of the time.
        bytes.extend_from_slice(seeds[6]);
    }
    for _ in 0..1 + random.below(8) {
        bytes.extend_from_slice(seeds[random.below(seeds.len())]);
    }
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.below(256) as u8),
            4 => bytes.truncate(at + 1),
            _ => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
        }
        if bytes.is_empty() {
            bytes.push(0x20);
        }
    }
}

/// A seed whose first packet id is 1, so that the acknowledgements above are for something.
fn seed_of_small_ids(settings: &Settings) -> u64 {
    let connack = seeds(settings.version)[6];
    let first_id_is_1 = |seed: &u64| {
        let mut session = Session::new(settings.clone(), *seed);
        session.open(Time(0));
        session.output().clear();
        session.handle_input(Time(0), &mut BytesMut::from(connack), &mut |_| {}).unwrap();
        session.publish(Time(0), Token(0), "t", b"", MqttQos::One, false).unwrap();
        session.output()[5..7] == [0, 1]
    };
    (0..).find(first_id_is_1).unwrap()
}

#[test]
fn mutated_traffic_never_panics() {
    for version in [Version::V311, Version::V5] {
        let seeds = seeds(version);
        let mut random = Random(1);
        let mut bytes = Vec::new();
        let settings = Settings {
            version,
            clean_start: false,
            max_packet_in: 4_096,
            max_inflight: 10,
            max_queued: 10,
            receive_maximum: 5,
            ..Settings::default()
        };
        let seed = seed_of_small_ids(&settings);
        let mut session = Session::new(settings.clone(), seed);
        let (mut refused, mut events, mut ended) = (0_u64, 0_u64, 0_u64);
        for input in 0..INPUTS {
            let now = Time(input);
            if input % 8 == 0 {
                session = Session::new(settings.clone(), seed);
            }
            session.open(now);
            for token in 0..3 {
                let qos = [MqttQos::Zero, MqttQos::One, MqttQos::Two][token as usize];
                let _ = session.publish(now, Token(token), "t", b"payload", qos, false);
            }
            let _ = session.subscribe(now, Token(9), "t", MqttQos::One, 1, true);
            traffic(&mut random, &seeds, &mut bytes);
            let mut stream = BytesMut::new();
            let mut deliveries: Vec<DeliveryId> = Vec::new();
            // In pieces, as a network brings it.
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(1 + random.below(rest.len()));
                rest = later;
                stream.extend_from_slice(piece);
                let result = session.handle_input(now, &mut stream, &mut |event| {
                    events += 1;
                    match event {
                        UpstreamEvent::Message { delivery, topic, subscription_ids, .. } => {
                            deliveries.extend(delivery);
                            assert!(!topic.is_empty() && !topic.contains(['#', '+', '\0']));
                            assert!(subscription_ids.iter().all(|&id| id != 0));
                        }
                        UpstreamEvent::Published { .. } => ended += 1,
                        _ => {}
                    }
                });
                if let Err(error) = result {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                    break;
                }
                if random.below(3) == 0 {
                    deliveries
                        .drain(..)
                        .for_each(|delivery| session.acknowledge(now, delivery, false));
                }
            }
            let output = session.output();
            assert!(output.len() < 16 * 1024);
            output.advance(output.len());
            session.closed(now, &mut |_| {});
            let stats = session.stats();
            assert!(stats.in_flight + stats.queued <= 20 && stats.incoming < 70_000);
        }
        println!("{version:?}: {refused} refused, {events} events, {ended} publications ended");
        assert!(refused > INPUTS / 10 && events > INPUTS / 2 && ended > INPUTS / 100);
    }
}

#[test]
fn noise_never_panics() {
    let mut random = Random(2);
    for version in [Version::V311, Version::V5] {
        let mut session = Session::new(Settings { version, ..Settings::default() }, 0);
        for input in 0..INPUTS / 2 {
            let now = Time(input);
            session.open(now);
            let mut stream = BytesMut::from(if version == Version::V5 {
                &b"\x20\x03\0\0\0"[..]
            } else {
                b"\x20\x02\0\0"
            });
            stream.extend((0..random.below(64)).map(|_| random.below(256) as u8));
            let _ = session.handle_input(now, &mut stream, &mut |_| {});
            session.closed(now, &mut |_| {});
        }
    }
}
