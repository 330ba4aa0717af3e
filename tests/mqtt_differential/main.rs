//! Our session against another implementation of MQTT, `mqtt-protocol-core` in server role.
//!
//! A seed decides everything: requests both ways at every QoS, acknowledgements early, late, out
//! of order and refused, connections cut after any octet, sessions kept or lost. Then the faults
//! stop, and both sides must agree. A failing seed is named in the panic; run it alone with
//! `MQTT_SEED=<seed> cargo test --test mqtt_differential`.

mod client;
mod server;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, PubackReasonCode, PubrecReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};
use mqtt_sn_gateway::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use mqtt_sn_gateway::mqtt::{Session, Settings, Version};
use mqtt_sn_gateway::time::Time;

type Server = mqtt::Connection<mqtt::role::Server>;

const SEEDS: u64 = 600;
const STEPS: usize = 600;
const TOPICS: [&str; 3] = ["a", "b/c", "d"];

#[test]
fn mqtt_3_1_1() {
    run(Version::V311);
}

#[test]
fn mqtt_5() {
    run(Version::V5);
}

fn run(version: Version) {
    let seeds = match std::env::var("MQTT_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MQTT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let mut total = Totals::default();
    for seed in seeds {
        let world = std::panic::catch_unwind(|| {
            let mut world = World::new(version, seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
            world
        });
        match world {
            Ok(world) => total.add(&world),
            Err(_) => panic!("{version:?}, seed {seed}: run it alone with MQTT_SEED={seed}"),
        }
    }
    println!("{version:?}: {total:?}");
    // The schedule is worth nothing if these do not happen.
    if std::env::var("MQTT_SEED").is_err() {
        assert!(total.cuts > SEEDS && total.resent > SEEDS && total.republished > SEEDS);
        assert!(total.published > 20 * SEEDS && total.delivered > 20 * SEEDS);
        assert!(total.repetitions > SEEDS);
    }
}

#[derive(Debug, Default)]
struct Totals {
    cuts: u64,
    published: u64,
    delivered: u64,
    resent: u64,
    republished: u64,
    repetitions: u64,
}

impl Totals {
    fn add(&mut self, world: &World) {
        let stats = world.session.stats();
        self.cuts += stats.disconnects;
        self.published += stats.acknowledged;
        self.delivered += stats.received;
        self.resent += stats.resent;
        self.republished += stats.republished;
        self.repetitions += stats.duplicates_dropped;
    }
}

/// A publication of ours, by token.
struct Published {
    topic: usize,
    qos: MqttQos,
    outcome: Option<Result<(), Refusal>>,
    received: bool,
    /// How often the server has taken it over in its present session.
    taken: u32,
    taken_ever: bool,
    refused: bool,
}

/// A message of the server, by number.
struct Sent {
    topic: usize,
    qos: MqttQos,
    session: u32,
    reported: u32,
    /// Reported and not acknowledged by us.
    outstanding: bool,
}

/// What the server still has to answer.
#[derive(Clone, Copy, Debug)]
enum Due {
    Puback(u16, bool),
    Pubrec(u16),
    Pubcomp(u16),
    Suback(u16),
    Unsuback(u16),
}

/// What the client has under a packet id, seen on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OnWire {
    Publish(u64),
    Subscription,
}

struct World {
    version: Version,
    random: u64,
    now: Time,
    session: Session,
    server: Server,
    /// The server's sessions so far.
    epoch: u32,
    keep_session: bool,
    connected: bool,
    settling: bool,
    to_server: BytesMut,
    to_client: BytesMut,
    /// The same octets as the client gets, for the eye on the wire.
    seen: BytesMut,
    input: BytesMut,
    due: Vec<Due>,
    published: BTreeMap<u64, Published>,
    last_taken: HashMap<(usize, MqttQos), u64>,
    subscriptions: HashSet<u64>,
    tokens: u64,
    sent: Vec<Sent>,
    last_reported: HashMap<(usize, MqttQos), u64>,
    deliveries: Vec<(DeliveryId, u64)>,
    busy: HashMap<u16, OnWire>,
    /// QoS 2: in which order the client got its PUBRECs, and what it has sent PUBREL for on this
    /// connection.
    pubrecs: HashMap<u16, u64>,
    pubrels: Vec<u16>,
    clock: u64,
}

impl World {
    fn new(version: Version, seed: u64) -> Self {
        let mut world = Self {
            version,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66,
            now: Time(0),
            session: Session::new(Settings::default(), 0),
            server: server(version),
            epoch: 0,
            keep_session: false,
            connected: false,
            settling: false,
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            seen: BytesMut::new(),
            input: BytesMut::new(),
            due: Vec::new(),
            published: BTreeMap::new(),
            last_taken: HashMap::new(),
            subscriptions: HashSet::new(),
            tokens: 0,
            sent: Vec::new(),
            last_reported: HashMap::new(),
            deliveries: Vec::new(),
            busy: HashMap::new(),
            pubrecs: HashMap::new(),
            pubrels: Vec::new(),
            clock: 0,
        };
        let settings = Settings {
            version,
            clean_start: false,
            keep_alive: Duration::from_secs(600),
            receive_maximum: u16::MAX,
            max_inflight: 1 + world.below(30) as u16,
            max_queued: 60,
            acknowledge_in_order: world.below(2) == 0,
            ..Settings::default()
        };
        world.session = Session::new(settings, seed);
        world.connect();
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn qos(&mut self) -> MqttQos {
        [MqttQos::Zero, MqttQos::One, MqttQos::Two][self.below(3)]
    }

    fn step(&mut self) {
        self.now = Time(self.now.0 + self.below(50) as u64);
        match self.below(100) {
            0..22 => self.client_publishes(),
            22..26 => self.client_subscribes(),
            26..44 => self.server_publishes(),
            44..60 => self.deliver_to_server(),
            60..76 => self.deliver_to_client(),
            76..86 => self.server_answers(),
            86..95 => self.client_acknowledges(),
            95 => self.session.handle_timeout(self.now).unwrap(),
            _ if self.connected => {
                if self.chance(50) {
                    self.cut();
                }
            }
            _ => self.connect(),
        }
        self.client_output();
    }

    // The connection.

    fn connect(&mut self) {
        self.connected = true;
        self.session.open(self.now);
        self.client_output();
    }

    fn cut(&mut self) {
        // Whatever was on its way gets through up to some octet, and no further.
        self.deliver_to_server();
        self.deliver_to_client();
        self.client_output();
        self.connected = false;
        let mut events = Vec::new();
        if self.chance(50) {
            self.session.peer_closed();
        }
        self.session.closed(self.now, &mut |event| events.extend(own(event)));
        for event in &events {
            match event {
                // Cut too often in a row, it is taken for what the server hangs up on.
                Event::Published(token, outcome) => {
                    assert_eq!(*outcome, Err(Refusal::NotSupported));
                    let published = self.published.get_mut(token).unwrap();
                    assert_eq!(published.outcome.replace(*outcome), None);
                    self.busy.retain(|_, what| *what != OnWire::Publish(*token));
                }
                other => assert_eq!(*other, Event::Disconnected),
            }
        }
        for buffer in [&mut self.to_server, &mut self.to_client, &mut self.seen, &mut self.input] {
            buffer.clear();
        }
        self.due.clear();
        self.pubrels.clear();
        self.subscriptions.clear();
        self.busy.retain(|_, what| *what != OnWire::Subscription);
        self.server.notify_closed();
        // Before its first CONNECT there is no session to keep.
        self.keep_session =
            self.chance(70) && !events.is_empty() || self.keep_session && events.is_empty();
        if !self.keep_session {
            self.server = server(self.version);
            self.epoch += 1;
            self.last_reported.clear();
        }
    }

    /// No more faults: everything must come to its end.
    fn settle(&mut self) {
        self.settling = true;
        if !self.connected {
            self.connect();
        }
        for _ in 0..20_000 {
            self.deliver_to_server();
            self.deliver_to_client();
            self.server_answers();
            self.client_acknowledges();
            self.client_output();
        }
        assert!(self.to_server.is_empty() && self.to_client.is_empty() && self.due.is_empty());
        for (token, published) in &self.published {
            let over = published.outcome.is_some() || published.qos == MqttQos::Zero;
            assert!(over, "publication {token} did not end");
        }
        for (number, sent) in self.sent.iter().enumerate() {
            if sent.session == self.epoch && sent.qos != MqttQos::Zero {
                assert!(sent.reported > 0, "message {number} was lost");
            }
        }
        assert_eq!(self.busy, HashMap::new());
        assert!(self.subscriptions.is_empty());
        let stats = self.session.stats();
        let gauges =
            [stats.in_flight, stats.queued, stats.queued_bytes, stats.subscribing, stats.incoming];
        assert_eq!(gauges, [0; 5]);
        assert!(self.server.get_stored_packets().is_empty());
        let handled = self.server.get_qos2_publish_handled().len() as u64;
        assert!(handled <= stats.given_up, "QoS 2 exchanges that did not end");
    }
}

fn server(version: Version) -> Server {
    Server::new(match version {
        Version::V311 => mqtt::Version::V3_1_1,
        _ => mqtt::Version::V5_0,
    })
}

/// The packet at the front: first octet, body, length.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let mut remaining = 0;
    for position in 0..4 {
        let octet = usize::from(*bytes.get(1 + position)?);
        remaining |= (octet & 0x7F) << (7 * position);
        if octet & 0x80 == 0 {
            let start = 2 + position;
            return Some((bytes[0], bytes.get(start..start + remaining)?, start + remaining));
        }
    }
    panic!("no MQTT");
}

#[derive(Debug, PartialEq)]
enum Event {
    Connected { present: bool },
    Disconnected,
    Received(u64),
    Published(u64, Result<(), Refusal>),
    Answered(u64),
    Message { delivery: Option<DeliveryId>, number: u64, qos: MqttQos },
}

fn own(event: UpstreamEvent<'_>) -> Option<Event> {
    Some(match event {
        // What it says about a refusal; the refusal follows.
        UpstreamEvent::Complaint { .. } => return None,
        UpstreamEvent::Refused { .. } | UpstreamEvent::Closed => {
            unreachable!("a session does not say that")
        }
        UpstreamEvent::Connected { session_present, .. } => {
            Event::Connected { present: session_present }
        }
        UpstreamEvent::Disconnected => Event::Disconnected,
        UpstreamEvent::Received { token } => Event::Received(token.0),
        UpstreamEvent::Published { token, outcome } => Event::Published(token.0, outcome),
        UpstreamEvent::Subscribed { token, outcome } => {
            assert_eq!(outcome, Ok(MqttQos::One));
            Event::Answered(token.0)
        }
        UpstreamEvent::Unsubscribed { token } => Event::Answered(token.0),
        UpstreamEvent::Kept { .. } | UpstreamEvent::Wasted { .. } => {
            unreachable!("there is no spool")
        }
        UpstreamEvent::Message { delivery, topic, payload, qos, .. } => {
            assert!(TOPICS.contains(&topic));
            let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
            Event::Message { delivery, number, qos }
        }
    })
}
