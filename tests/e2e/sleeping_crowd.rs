//! Many sleepers: what was kept for each, at the same time; and a crowd in which everybody does
//! something else.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{
    Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, decode,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::rig::{
    Device, PATIENCE, Rig, Upstream, connect_packet, publish_lines, received, with_mosquitto,
};

with_mosquitto!(two_hundred_sleepers_collect_ten_messages_each);

const LONG: u16 = 3_600;

fn two_hundred_sleepers_collect_ten_messages_each(upstream: Upstream) {
    const SLEEPERS: usize = 200;
    let rig = Rig::start(upstream, "", "");
    let mut witness = rig.device("witness");
    witness.subscribe_to("witness/end", Qos::One);
    let mut devices: Vec<Device> = (0..SLEEPERS)
        .map(|number| {
            let mut device = rig.device(&format!("sleeper-{number}"));
            device.subscribe_to(&format!("to/{number}"), Qos::Two);
            device.sleep(LONG);
            device
        })
        .collect();
    let payloads = |number: usize| (0..10).map(move |message| format!("{number}.{message}"));
    let broker = rig.broker();
    for (number, qos) in (0..SLEEPERS).zip([1, 2].into_iter().cycle()) {
        publish_lines(broker, &format!("to/{number}"), &payloads(number).collect::<Vec<_>>(), qos);
    }
    rig.publish("witness/end", "end", 1);
    assert_eq!(witness.receive().payload, "end");
    devices.iter_mut().for_each(Device::heard_nothing);
    // All at once.
    let start = Barrier::new(SLEEPERS);
    thread::scope(|scope| {
        for (number, device) in devices.iter_mut().enumerate() {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let qos = if number % 2 == 0 { Qos::One } else { Qos::Two };
                let expected: Vec<_> = payloads(number)
                    .map(|payload| received(&format!("to/{number}"), &payload, qos))
                    .collect();
                assert_eq!(device.collect(&format!("sleeper-{number}")), expected);
            });
        }
    });
    devices.iter_mut().for_each(Device::heard_nothing);
    rig.stop();
}

/// Pairs of a talker, who is awake and publishes, and a sleeper, for whom it is.
const PAIRS: usize = 1_000;
/// For so long they talk.
const TALK: Duration = Duration::from_secs(10);
/// A talker says something so often.
const PACE: Duration = Duration::from_millis(500);
/// Longer than the gateway needs, so that what comes again was lost.
const RETRY: Duration = Duration::from_secs(3);

/// 2,000 clients in one thread: 1,000 publish at QoS 1, each to one of 1,000 others, who sleep, wake
/// by PINGREQ or CONNECT, at their own port or another, and sleep again. Every message comes once and
/// in order, and nothing comes to who sleeps.
#[test]
fn two_thousand_clients_talk_and_sleep() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = 2 * PAIRS as u64 + 512;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).unwrap();
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "");
    let mut healthy = rig.device("healthy");
    let topic = healthy.register("healthy/up").unwrap();
    let done = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            let mut rounds = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let payload = format!("reading {rounds}");
                assert_eq!(healthy.publish(topic, Qos::Two, &payload), ReturnCode::ACCEPTED);
                rounds += 1;
                thread::sleep(Duration::from_millis(20));
            }
            assert!(!healthy.dismissed);
            rounds
        });
        let stop = SetOnDrop(&done);
        talk(&rig);
        drop(stop);
        healthy.join().unwrap()
    });
    assert!(rounds > 0);
    rig.stop();
}

/// Ends the other thread however this one ends.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn talk(rig: &Rig) {
    // Sleepers first: a talker has somebody to talk to.
    let mut sleepers: Vec<Member> = (0..PAIRS).map(|n| Member::sleeper(rig, n)).collect();
    run(&mut sleepers, |member| member.naps > 0, |_| {});
    let mut talkers: Vec<Member> = (0..PAIRS).map(|n| Member::talker(rig, n)).collect();
    run(&mut talkers, |member| member.topic.is_some(), |_| {});
    let end = Instant::now() + TALK;
    let mut all = sleepers;
    all.append(&mut talkers);
    let talking = rig.gateway.cpu();
    run(
        &mut all,
        |member| member.topic.is_none() || (Instant::now() >= end && member.pending.is_none()),
        |member| member.publish_if_due(end),
    );
    let said: Vec<u32> = all[PAIRS..].iter().map(|talker| talker.count).collect();
    // They stay where they are: their ports shall not be given to those who roam.
    let _quiet = all.split_off(PAIRS);
    run(&mut all, |member| member.count == said[member.number], |_| {});
    let cpu = rig.gateway.cpu() - talking;
    let messages: u32 = said.iter().sum();
    let naps: u32 = all.iter().map(|member| member.naps).sum();
    let repeated: u32 = all.iter().map(|member| member.repeated).sum();
    println!(
        "{messages} messages, {naps} naps, {repeated} deliveries repeated; gateway: {} KiB at most, \
         {:.1} µs CPU per message (debug build)",
        rig.gateway.peak_memory(),
        cpu.as_secs_f64() * 1e6 / f64::from(messages),
    );
    assert!(messages >= 5 * PAIRS as u32, "{messages} messages: hardly anybody said anything");
    assert!(naps >= 3 * PAIRS as u32, "{naps} naps: hardly anybody slept");
}

/// Serves everybody until `done` holds for all; `act` lets each do something of its own.
fn run(
    members: &mut [Member],
    mut done: impl FnMut(&Member) -> bool,
    mut act: impl FnMut(&mut Member),
) {
    let (begin, mut progress) = (Instant::now(), Instant::now());
    let mut buffer = [0; 2_048];
    loop {
        let mut missing = 0;
        for member in &mut *members {
            while let Some(length) = member.receive(&mut buffer) {
                member.take(&buffer[..length]);
                progress = Instant::now();
            }
            member.tick();
            act(member);
            missing += usize::from(!done(member));
        }
        if missing == 0 {
            return;
        }
        let late = progress.elapsed() > PATIENCE || begin.elapsed() > TALK + 3 * PATIENCE;
        assert!(!late, "{missing} of {} are not done", members.len());
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a sleeper is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Connecting,
    Subscribing,
    Registering,
    /// A talker, or a sleeper that woke by CONNECT.
    Awake(Instant),
    FallingAsleep,
    Asleep(Instant),
    Collecting,
}

/// One device.
struct Member {
    socket: UdpSocket,
    gateway: std::net::SocketAddr,
    number: usize,
    id: String,
    name: String,
    stage: Stage,
    /// A request that is not answered, and when it is sent again.
    pending: Option<(Vec<u8>, Instant)>,
    /// A talker's topic id.
    topic: Option<u16>,
    /// Messages that a talker said or a sleeper got.
    count: u32,
    repeated: u32,
    naps: u32,
    next: Instant,
}

impl Member {
    fn new(rig: &Rig, kind: &str, number: usize) -> Self {
        let mut member = Self {
            socket: UdpSocket::bind("127.0.0.1:0").expect("a socket each; see `ulimit -n`"),
            gateway: rig.gateway.link(),
            number,
            id: format!("{kind}-{number}"),
            name: format!("crowd/{number}"),
            stage: Stage::Connecting,
            pending: None,
            topic: None,
            count: 0,
            repeated: 0,
            naps: 0,
            // Everybody at another moment.
            next: Instant::now() + PACE * u32::try_from(number).unwrap() / PAIRS as u32,
        };
        member.socket.set_nonblocking(true).unwrap();
        member.connect();
        member
    }

    fn sleeper(rig: &Rig, number: usize) -> Self {
        Self::new(rig, "sleeper", number)
    }

    fn talker(rig: &Rig, number: usize) -> Self {
        Self::new(rig, "talker", number)
    }

    fn connect(&mut self) {
        let id = self.id.clone();
        self.ask(Message::Connect(connect_packet(&id, true, 600, false)));
    }

    fn ask(&mut self, message: Message<'_>) {
        let octets = encode(message);
        self.socket.send_to(&octets, self.gateway).unwrap();
        self.pending = Some((octets, Instant::now() + RETRY));
    }

    fn answer(&self, message: Message<'_>) {
        self.socket.send_to(&encode(message), self.gateway).unwrap();
    }

    fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        match self.socket.recv(buffer) {
            Ok(length) => Some(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{}: {error}", self.id),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if let Some((octets, again)) = &mut self.pending
            && *again <= now
        {
            self.socket.send_to(octets, self.gateway).unwrap();
            *again = now + RETRY;
        }
        match self.stage {
            Stage::Asleep(until) if until <= now => self.wake(),
            Stage::Awake(until) if self.topic.is_none() && until <= now => self.fall_asleep(),
            _ => {}
        }
    }

    fn fall_asleep(&mut self) {
        self.stage = Stage::FallingAsleep;
        self.ask(Message::Disconnect { duration: Some(LONG) });
    }

    fn nap(&mut self) {
        self.naps += 1;
        let length = 300 + (self.number * 37 + self.naps as usize * 101) % 1_700;
        self.stage = Stage::Asleep(Instant::now() + Duration::from_millis(length as u64));
    }

    fn wake(&mut self) {
        if self.number % 10 == 3 {
            self.socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            self.socket.set_nonblocking(true).unwrap();
        }
        if self.number % 4 == 1 {
            self.stage = Stage::Connecting;
            self.connect();
        } else {
            self.stage = Stage::Collecting;
            let id = self.id.clone();
            self.ask(Message::PingReq { client_id: id.as_bytes() });
        }
    }

    fn publish_if_due(&mut self, end: Instant) {
        let now = Instant::now();
        let Some(topic) = self.topic else { return };
        if self.pending.is_some() || now < self.next || now >= end {
            return;
        }
        self.next = now + PACE;
        self.count += 1;
        let msg_id = (self.count % 0xFFFF + 1) as u16;
        self.ask(Message::Publish(Publish {
            dup: false,
            qos: Qos::One,
            retain: false,
            topic: PublishTopic::Normal(topic),
            msg_id,
            data: self.count.to_string().as_bytes(),
        }));
    }

    fn take(&mut self, octets: &[u8]) {
        let message = decode(octets).unwrap().message;
        match (self.stage, message) {
            // Late copies of what was asked for twice.
            (Stage::Asleep(_), Message::PingResp | Message::Disconnect { .. }) => {}
            (Stage::Asleep(_), _) => panic!("{} sleeps and was sent {message:?}", self.id),
            (Stage::Connecting, Message::ConnAck { code: ReturnCode::ACCEPTED }) => {
                self.pending = None;
                self.connected();
            }
            (Stage::Subscribing, Message::SubAck { code: ReturnCode::ACCEPTED, .. }) => {
                self.fall_asleep();
            }
            (Stage::Registering, Message::RegAck { topic_id, code: ReturnCode::ACCEPTED, .. }) => {
                self.pending = None;
                self.topic = Some(topic_id);
                self.stage = Stage::Awake(Instant::now());
            }
            (Stage::FallingAsleep, Message::Disconnect { duration: None })
            | (Stage::Collecting, Message::PingResp) => {
                self.pending = None;
                self.nap();
            }
            (_, Message::PubAck { code: ReturnCode::ACCEPTED, .. }) if self.topic.is_some() => {
                self.pending = None;
            }
            (_, Message::Register { topic_id, msg_id, topic }) => {
                assert_eq!(topic, self.name.as_bytes());
                self.answer(Message::RegAck { topic_id, msg_id, code: ReturnCode::ACCEPTED });
            }
            (_, Message::Publish(publish)) => self.accept(&publish),
            // Late copies again.
            (_, Message::ConnAck { .. } | Message::RegAck { .. } | Message::SubAck { .. }) => {}
            (_, Message::PingResp) => {}
            (stage, other) => panic!("{} in {stage:?} was sent {other:?}", self.id),
        }
    }

    fn connected(&mut self) {
        let name = self.name.clone();
        if self.id.starts_with("talker") {
            self.stage = Stage::Registering;
            self.ask(Message::Register { topic_id: 0, msg_id: 1, topic: name.as_bytes() });
        } else if self.naps == 0 {
            self.stage = Stage::Subscribing;
            let topic = SubscribeTopic::Name(name.as_bytes());
            self.ask(Message::Subscribe(Subscribe { dup: false, qos: Qos::One, msg_id: 1, topic }));
        } else {
            self.stage = Stage::Awake(Instant::now() + Duration::from_millis(200));
        }
    }

    fn accept(&mut self, publish: &Publish<'_>) {
        let number: u32 = std::str::from_utf8(publish.data).unwrap().parse().unwrap();
        if number == self.count && publish.dup {
            self.repeated += 1;
        } else {
            assert_eq!(number, self.count + 1, "{}: lost, doubled or out of order", self.id);
            self.count = number;
        }
        let PublishTopic::Normal(topic_id) = publish.topic else { panic!("{publish:?}") };
        let (msg_id, code) = (publish.msg_id, ReturnCode::ACCEPTED);
        self.answer(Message::PubAck { topic_id, msg_id, code });
    }
}

fn encode(message: Message<'_>) -> Vec<u8> {
    let packet = Packet { forwarder: None, message };
    let mut octets = vec![0; packet.encoded_len()];
    packet.encode(&mut octets).unwrap();
    octets
}
