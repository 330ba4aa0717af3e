//! A healthy client beside somebody who sends rubbish to the same socket.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mqtt_sn_gateway::codec::{
    Connect, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe,
    SubscribeTopic, WillTopic, decode,
};

use crate::rig::{Device, PATIENCE, Rig, Upstream, received};

const RANDOM: u32 = 100_000;
const MUTATED: u32 = 100_000;
/// After so many datagrams the sender waits until the gateway has taken them, so that nothing is
/// lost on the way and everything is read.
const BURST: u32 = 100;
/// A debug build; the bound is on growth, not on size.
const MEMORY_KIB: u64 = 64 * 1024;

#[test]
fn rubbish_changes_nothing_for_a_healthy_client() {
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let world = rig.listener(&["healthy/up"]);
    let mut healthy = rig.device("healthy");
    let up = healthy.register("healthy/up").unwrap();
    healthy.subscribe_to("healthy/down", Qos::One);
    let done = AtomicBool::new(false);
    let link = rig.gateway.link();
    let broker = rig.broker();
    let rounds = thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let mut attacker = Attacker::new(link);
            attacker.random();
            attacker.mutated();
            done.store(true, Ordering::Relaxed);
            attacker.answered
        });
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) && !attack.is_finished() {
            rounds += 1;
            let payload = format!("reading {rounds}");
            assert_eq!(healthy.publish(up, Qos::One, &payload), ReturnCode::ACCEPTED);
            let payload = format!("command {rounds}");
            crate::rig::publish(broker, "healthy/down", &payload, 1);
            assert_eq!(healthy.receive(), received("healthy/down", &payload, Qos::One));
        }
        let answered = attack.join().unwrap();
        assert_eq!(answered, (RANDOM + MUTATED) / BURST, "every burst was read to its end");
        rounds
    });
    assert!(rounds > 0);
    assert!(!healthy.dismissed);
    assert_eq!(healthy.publish(up, Qos::One, "end"), ReturnCode::ACCEPTED);
    let payloads: Vec<_> = world.until("end").into_iter().map(|heard| heard.payload).collect();
    let expected: Vec<_> = (1..=rounds).map(|round| format!("reading {round}")).collect();
    assert_eq!(payloads, expected);
    let memory = rig.gateway.peak_memory();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    let lines = rig.gateway.log.all().len();
    assert!(lines < 2_000, "{lines} log lines: rubbish must not fill the disk");
    assert!(rig.gateway.log.count("not MQTT-SN") > 0, "but it is told");
    rig.stop();
}

struct Attacker {
    socket: UdpSocket,
    state: u64,
    sent: u32,
    answered: u32,
}

impl Attacker {
    fn new(gateway: std::net::SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, state: 0x5EED, sent: 0, answered: 0 }
    }

    /// Octets without a meaning; half of them with a true Length in front.
    fn random(&mut self) {
        for number in 0..RANDOM {
            let length = 1 + self.below(64);
            let mut octets: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
            if number % 2 == 0 {
                octets[0] = length as u8;
            }
            self.send(&octets);
        }
    }

    /// Good packets with a few octets changed, cut, repeated or added.
    fn mutated(&mut self) {
        let good = good_packets();
        for _ in 0..MUTATED {
            let mut octets = good[self.below(good.len())].clone();
            for _ in 0..=self.below(3) {
                let at = self.below(octets.len().max(1));
                match self.below(5) {
                    0 if !octets.is_empty() => octets[at] = self.below(256) as u8,
                    1 if !octets.is_empty() => octets[at] ^= 1 << self.below(8),
                    2 => octets.truncate(at),
                    3 => octets.insert(at.min(octets.len()), self.below(256) as u8),
                    _ => octets.extend_from_within(at.min(octets.len())..),
                }
            }
            if self.below(2) == 0
                && let Ok(length) = u8::try_from(octets.len())
                && let Some(first) = octets.first_mut()
            {
                *first = length;
            }
            self.send(&octets);
        }
    }

    fn send(&mut self, octets: &[u8]) {
        // Nothing listens on the other side of a socket that is gone: then the gateway is dead.
        self.socket.send(octets).expect("the gateway is there");
        self.sent += 1;
        if self.sent.is_multiple_of(BURST) {
            self.wait_until_read();
        }
    }

    fn wait_until_read(&mut self) {
        self.socket.send(&[3, 1, 0]).expect("the gateway is there");
        let mut buffer = [0; 2_048];
        loop {
            let length = self.socket.recv(&mut buffer).expect("SEARCHGW is answered");
            let packet = decode(&buffer[..length]).expect("what the gateway sends is MQTT-SN");
            if packet.forwarder.is_none() && matches!(packet.message, Message::GwInfo { .. }) {
                self.answered += 1;
                return;
            }
        }
    }

    /// SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn good_packets() -> Vec<Vec<u8>> {
    let connect = |will| {
        let client_id = b"rubbish";
        Message::Connect(Connect {
            will,
            clean_session: true,
            protocol_id: 1,
            duration: 30,
            client_id,
        })
    };
    let publish = |qos, topic| {
        Message::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            msg_id: 7,
            data: b"some data",
        })
    };
    let will = Some(WillTopic { qos: Qos::One, retain: false, topic: b"rubbish/will" });
    let subscribe =
        |topic| Message::Subscribe(Subscribe { dup: false, qos: Qos::One, msg_id: 9, topic });
    let messages = [
        Message::SearchGw { radius: 1 },
        connect(false),
        connect(true),
        Message::WillTopic(will),
        Message::WillMsg { message: b"gone" },
        Message::Register { topic_id: 0, msg_id: 3, topic: b"rubbish/topic" },
        Message::RegAck { topic_id: 1, msg_id: 1, code: ReturnCode::ACCEPTED },
        publish(Qos::MinusOne, PublishTopic::Short(*b"ru")),
        publish(Qos::Zero, PublishTopic::Normal(1)),
        publish(Qos::One, PublishTopic::Normal(1)),
        publish(Qos::Two, PublishTopic::Short(*b"ru")),
        Message::PubAck { topic_id: 1, msg_id: 1, code: ReturnCode::ACCEPTED },
        Message::PubRec { msg_id: 1 },
        Message::PubRel { msg_id: 7 },
        Message::PubComp { msg_id: 1 },
        subscribe(SubscribeTopic::Name(b"rubbish/+")),
        subscribe(SubscribeTopic::Short(*b"ru")),
        Message::Unsubscribe { msg_id: 11, topic: SubscribeTopic::Name(b"rubbish/+") },
        Message::PingReq { client_id: b"" },
        Message::PingReq { client_id: b"rubbish" },
        Message::Disconnect { duration: None },
        Message::Disconnect { duration: Some(10) },
        Message::WillTopicUpd(will),
        Message::WillMsgUpd { message: b"gone again" },
    ];
    let nodes: [Option<Encapsulation<'_>>; 2] =
        [None, Some(Encapsulation { radius: 1, node_id: &[1, 2, 3] })];
    let mut packets = Vec::new();
    for message in messages {
        for forwarder in nodes {
            let packet = Packet { forwarder, message };
            let mut octets = vec![0; packet.encoded_len()];
            packet.encode(&mut octets).unwrap();
            packets.push(octets);
        }
    }
    packets
}

/// Every client that the rubbish made is somebody else's; a device that comes now is served.
#[test]
fn a_stranger_cannot_speak_for_a_client() {
    let rig = Rig::start(Upstream::Mqtt311, "", "");
    let mut victim = rig.device("victim");
    let topic = victim.register("victim/up").unwrap();
    let mut other = Device::new(rig.gateway.link());
    other.begin_publish(topic, false, "forged");
    other.wait("DISCONNECT", |message| matches!(message, Message::Disconnect { .. }).then_some(()));
    other.send(&Message::Disconnect { duration: None });
    let world = rig.listener(&["victim/#"]);
    assert_eq!(victim.publish(topic, Qos::One, "mine"), ReturnCode::ACCEPTED);
    assert_eq!(world.until("mine"), []);
    assert!(!victim.dismissed);
    rig.stop();
}
