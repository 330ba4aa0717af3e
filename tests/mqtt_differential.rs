//! Our session against another implementation of MQTT, `mqtt-protocol-core` in server role.
//!
//! A seed decides everything: requests both ways at every QoS, acknowledgements early, late, out
//! of order and refused, connections cut after any octet, sessions kept or lost. Then the faults
//! stop, and both sides must agree. A failing seed is named in the panic; run it alone with
//! `MQTT_SEED=<seed> cargo test --test mqtt_differential`.

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
}

/// Builds a packet of the version that is spoken.
macro_rules! packet {
    ($world:expr, $name:ident $(. $call:ident ( $value:expr ))*) => {
        match $world.version {
            Version::V311 => Packet::from(v3_1_1::$name::builder()$(.$call($value))*.build().unwrap()),
            _ => Packet::from(v5_0::$name::builder()$(.$call($value))*.build().unwrap()),
        }
    };
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

    // The client's side.

    fn client_publishes(&mut self) {
        let (topic, qos, token) = (self.below(3), self.qos(), self.tokens);
        self.tokens += 1;
        let mut payload = token.to_be_bytes().to_vec();
        payload.resize(8 + self.below(200), 0);
        let result =
            self.session.publish(self.now, Token(token), TOPICS[topic], &payload, qos, false);
        if result.is_ok() {
            let outcome = None;
            let published = Published {
                topic,
                qos,
                outcome,
                received: false,
                taken: 0,
                taken_ever: false,
                refused: false,
            };
            self.published.insert(token, published);
        } else {
            assert_eq!(result, Err(Refusal::Congestion));
        }
    }

    fn client_subscribes(&mut self) {
        let token = Token(self.tokens);
        self.tokens += 1;
        let result = if self.chance(50) {
            self.session.subscribe(self.now, token, "a/#", MqttQos::Two, 1, true)
        } else {
            self.session.unsubscribe(self.now, token, "a/#")
        };
        assert_eq!(result.is_ok(), self.session.is_connected());
        if result.is_ok() {
            self.subscriptions.insert(token.0);
        }
    }

    fn client_acknowledges(&mut self) {
        if !self.deliveries.is_empty() {
            let chosen = self.below(self.deliveries.len());
            let (delivery, number) = self.deliveries.swap_remove(chosen);
            self.sent[number as usize].outstanding = false;
            self.session.acknowledge(self.now, delivery);
        }
    }

    fn client_output(&mut self) {
        let output = self.session.output();
        let bytes = output.split();
        assert!(self.connected || bytes.is_empty());
        let mut rest = &bytes[..];
        while let Some((first, body, length)) = frame(rest) {
            self.watch_client(first, body);
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "half a packet in the output");
        self.to_server.extend_from_slice(&bytes);
    }

    /// Packet ids and DUP as the other side sees them.
    fn watch_client(&mut self, first: u8, body: &[u8]) {
        match first >> 4 {
            3 if first & 6 != 0 => {
                let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let id = u16::from_be_bytes([body[topic], body[topic + 1]]);
                let payload = topic + 2 + usize::from(self.version == Version::V5);
                let token = u64::from_be_bytes(body[payload..payload + 8].try_into().unwrap());
                let before = self.busy.insert(id, OnWire::Publish(token));
                if first & 8 == 0 {
                    assert_eq!(before, None, "packet id {id} is used while it is busy");
                } else {
                    assert_eq!(before, Some(OnWire::Publish(token)), "DUP on a new message");
                }
            }
            8 | 10 => {
                let id = u16::from_be_bytes([body[0], body[1]]);
                let before = self.busy.insert(id, OnWire::Subscription);
                assert_eq!(before, None, "packet id {id} is used while it is busy");
            }
            _ => {}
        }
    }

    /// What the server's packets free.
    fn watch_server(&mut self, first: u8, body: &[u8]) {
        let id = || u16::from_be_bytes([body[0], body[1]]);
        let failed = body.len() > 2 && body[2] >= 0x80;
        match first >> 4 {
            2 if body[0] & 1 == 0 => self.busy.clear(),
            4 | 7 | 9 | 11 => drop(self.busy.remove(&id())),
            5 if failed => drop(self.busy.remove(&id())),
            _ => {}
        }
    }

    fn deliver_to_client(&mut self) {
        let length = self.below(self.to_client.len() + 1);
        let bytes = self.to_client.split_to(length);
        self.seen.extend_from_slice(&bytes);
        while let Some((first, body, length)) = frame(&self.seen) {
            let (first, body) = (first, body.to_vec());
            self.watch_server(first, &body);
            self.seen.advance(length);
        }
        self.input.extend_from_slice(&bytes);
        let mut events = Vec::new();
        let mut input = std::mem::take(&mut self.input);
        let result =
            self.session.handle_input(self.now, &mut input, &mut |event| events.push(own(event)));
        self.input = input;
        assert_eq!(result, Ok(()));
        for event in events {
            self.client_event(event);
        }
    }

    fn client_event(&mut self, event: Event) {
        match event {
            Event::Connected { present } => {
                assert_eq!(present, self.keep_session);
                if !present {
                    // What was not acknowledged is repeated, and may be taken twice.
                    for published in self.published.values_mut() {
                        published.taken = 0;
                    }
                }
            }
            Event::Disconnected => panic!("Disconnected comes from closed()"),
            Event::Received(token) => {
                let published = self.published.get_mut(&token).unwrap();
                assert_eq!((published.qos, published.outcome), (MqttQos::Two, None));
                assert!(!std::mem::replace(&mut published.received, true), "Received twice");
            }
            Event::Published(token, outcome) => {
                let published = self.published.get_mut(&token).unwrap();
                assert_eq!(published.outcome.replace(outcome), None, "{token} ended twice");
                assert_ne!(published.qos, MqttQos::Zero);
                match outcome {
                    Ok(()) => assert!(published.taken_ever, "{token} was acknowledged unseen"),
                    Err(_) => assert!(published.refused),
                }
                if published.qos == MqttQos::Two && outcome.is_ok() {
                    assert!(published.received);
                }
            }
            Event::Answered(token) => assert!(self.subscriptions.remove(&token)),
            Event::Message { delivery, number, qos } => {
                let sent = &mut self.sent[number as usize];
                assert_eq!(sent.qos, qos);
                assert!(!sent.outstanding, "message {number} again before its acknowledgement");
                sent.reported += 1;
                assert!(sent.reported == 1 || qos == MqttQos::One, "message {number} twice");
                if sent.reported == 1 && qos != MqttQos::Zero {
                    let last = self.last_reported.insert((sent.topic, qos), number);
                    assert!(last.is_none_or(|last| last < number), "order of {last:?}, {number}");
                }
                if let Some(delivery) = delivery {
                    sent.outstanding = true;
                    self.deliveries.push((delivery, number));
                }
            }
        }
    }

    // The server's side.

    fn server_publishes(&mut self) {
        if !self.connected || !self.session.is_connected() {
            return;
        }
        let (topic, qos, number) = (self.below(3), self.qos(), self.sent.len() as u64);
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + self.below(200), 0);
        let id = (qos != MqttQos::Zero).then(|| self.server.acquire_packet_id().unwrap());
        let level = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][qos as usize];
        let name = TOPICS[topic];
        let packet = match self.version {
            Version::V311 => {
                let packet = v3_1_1::Publish::builder().topic_name(name).unwrap().qos(level);
                packet.packet_id(id).payload(payload).build().unwrap().into()
            }
            _ => {
                let packet = v5_0::Publish::builder().topic_name(name).unwrap().qos(level);
                packet.packet_id(id).payload(payload).build().unwrap().into()
            }
        };
        let session = self.epoch;
        self.sent.push(Sent { topic, qos, session, reported: 0, outstanding: false });
        self.server_sends(packet);
    }

    fn server_sends(&mut self, packet: Packet) {
        let events = self.server.send(packet);
        self.server_events(events);
    }

    fn server_answers(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let chosen = self.below(self.due.len());
        let due = self.due.remove(chosen);
        let packet = match due {
            Due::Puback(id, false) => packet!(self, Puback.packet_id(id)),
            Due::Puback(id, true) => {
                packet!(self, Puback.packet_id(id).reason_code(PubackReasonCode::QuotaExceeded))
            }
            Due::Pubrec(id) => packet!(self, Pubrec.packet_id(id)),
            Due::Pubcomp(id) => packet!(self, Pubcomp.packet_id(id)),
            Due::Suback(id) => match self.version {
                Version::V311 => {
                    let codes = vec![SubackReturnCode::SuccessMaximumQos1];
                    v3_1_1::Suback::builder()
                        .packet_id(id)
                        .return_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
                _ => {
                    let codes = vec![SubackReasonCode::GrantedQos1];
                    v5_0::Suback::builder()
                        .packet_id(id)
                        .reason_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
            },
            Due::Unsuback(id) => match self.version {
                Version::V311 => v3_1_1::Unsuback::builder().packet_id(id).build().unwrap().into(),
                _ => {
                    let codes = vec![UnsubackReasonCode::Success];
                    v5_0::Unsuback::builder()
                        .packet_id(id)
                        .reason_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
            },
        };
        self.server_sends(packet);
    }

    fn deliver_to_server(&mut self) {
        let mut length = 0;
        let mut packets = self.below(10);
        while let (Some((.., one)), 1..) = (frame(&self.to_server[length..]), packets) {
            length += one;
            packets -= 1;
        }
        // Whole packets: the other implementation keeps half of one beyond the end of a connection.
        let bytes = self.to_server.split_to(length);
        let mut cursor = mqtt::common::Cursor::new(&bytes[..]);
        while (cursor.position() as usize) < bytes.len() {
            let events = self.server.recv(&mut cursor);
            self.server_events(events);
        }
    }

    fn server_events(&mut self, events: Vec<mqtt::connection::Event>) {
        for event in events {
            match event {
                mqtt::connection::Event::RequestSendPacket { packet, .. } => {
                    self.to_client.extend_from_slice(&packet.to_continuous_buffer());
                }
                mqtt::connection::Event::NotifyPacketReceived(packet) => self.server_packet(packet),
                mqtt::connection::Event::NotifyError(error) => panic!("the server says {error:?}"),
                mqtt::connection::Event::RequestClose => panic!("the server closes the connection"),
                _ => {}
            }
        }
    }

    fn server_packet(&mut self, packet: Packet) {
        match packet {
            Packet::V3_1_1Connect(_) => {
                let connack = v3_1_1::Connack::builder()
                    .session_present(self.keep_session)
                    .return_code(ConnectReturnCode::Accepted);
                self.server_sends(connack.build().unwrap().into());
            }
            Packet::V5_0Connect(_) => {
                let maximum = 1 + self.below(20) as u16;
                let maximum = mqtt::packet::ReceiveMaximum::new(maximum).unwrap();
                let connack = v5_0::Connack::builder()
                    .session_present(self.keep_session)
                    .reason_code(ConnectReasonCode::Success)
                    .props(vec![maximum.into()]);
                self.server_sends(connack.build().unwrap().into());
            }
            Packet::V3_1_1Publish(p) => {
                self.server_takes(p.qos(), p.packet_id(), p.payload().as_slice(), p.topic_name());
            }
            Packet::V5_0Publish(p) => {
                self.server_takes(p.qos(), p.packet_id(), p.payload().as_slice(), p.topic_name());
            }
            Packet::V3_1_1Pubrec(p) => {
                let packet = packet!(self, Pubrel.packet_id(p.packet_id()));
                self.server_sends(packet);
            }
            Packet::V5_0Pubrec(p) => {
                let packet = packet!(self, Pubrel.packet_id(p.packet_id()));
                self.server_sends(packet);
            }
            Packet::V3_1_1Pubrel(p) => self.due.push(Due::Pubcomp(p.packet_id())),
            Packet::V5_0Pubrel(p) => self.due.push(Due::Pubcomp(p.packet_id())),
            Packet::V3_1_1Subscribe(p) => self.due.push(Due::Suback(p.packet_id())),
            Packet::V5_0Subscribe(p) => self.due.push(Due::Suback(p.packet_id())),
            Packet::V3_1_1Unsubscribe(p) => self.due.push(Due::Unsuback(p.packet_id())),
            Packet::V5_0Unsubscribe(p) => self.due.push(Due::Unsuback(p.packet_id())),
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => {
                let packet = packet!(self, Pingresp);
                self.server_sends(packet);
            }
            _ => {}
        }
    }

    fn server_takes(&mut self, qos: Qos, id: Option<u16>, payload: &[u8], topic: &str) {
        let token = u64::from_be_bytes(payload[..8].try_into().unwrap());
        let refuse = self.version == Version::V5 && !self.settling && self.chance(10);
        let published = self.published.get_mut(&token).unwrap();
        assert_eq!(qos as u8, published.qos as u8);
        assert_eq!(topic, TOPICS[published.topic]);
        if !published.taken_ever && !published.refused {
            let last = self.last_taken.insert((published.topic, published.qos), token);
            assert!(last.is_none_or(|last| last < token), "order of {last:?} and {token}");
        }
        if qos != Qos::AtMostOnce && refuse {
            published.refused = true;
        } else {
            published.taken += 1;
            published.taken_ever = true;
            let once = qos != Qos::AtLeastOnce;
            assert!(!once || published.taken == 1, "{token} is taken twice at {qos:?}");
        }
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.due.push(Due::Puback(id.unwrap(), refuse)),
            // At once: until its PUBREC the server answers repetitions itself, with success.
            Qos::ExactlyOnce if refuse => {
                let refusal = v5_0::Pubrec::builder()
                    .packet_id(id.unwrap())
                    .reason_code(PubrecReasonCode::NotAuthorized);
                self.server_sends(refusal.build().unwrap().into());
            }
            Qos::ExactlyOnce => self.due.push(Due::Pubrec(id.unwrap())),
        }
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
        self.session.closed(self.now, &mut |event| events.push(own(event)));
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

fn own(event: UpstreamEvent<'_>) -> Event {
    match event {
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
        UpstreamEvent::Message { delivery, topic, payload, qos, .. } => {
            assert!(TOPICS.contains(&topic));
            let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
            Event::Message { delivery, number, qos }
        }
    }
}
