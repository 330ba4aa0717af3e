//! A device that goes on whatever happens to its gateway: a UDP socket and a small MQTT-SN client
//! that repeats what is not answered, as the protocol says, only sooner and for longer.
//!
//! It never connects again because something failed. A gateway that it would have to connect to
//! again has forgotten something, and that is a fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{
    Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, decode,
};

use crate::chance::Chance;
use crate::ledger::{Flow, Ledger, Way};
use crate::rig::connect_packet;
use crate::world::PROBE;

/// T_retry. N_retry is unlimited: the gateway is killed more often than any device is patient.
const RETRY: Duration = Duration::from_millis(60);

/// How long a device waits after "congestion".
const WAIT: Duration = Duration::from_millis(50);

/// So many datagrams are remembered.
const TRACE: usize = 40;

/// Announced for keep-alive and sleep. Nobody is to be lost while a test runs.
const LONG: u16 = 600;

/// How a device lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// It is always awake.
    Talker,
    /// It sleeps, collects what waits and publishes in between, with a clean session.
    Sleeper,
    /// It says goodbye and connects again, with a session that is kept.
    Leaver,
}

/// What it does at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Not there yet.
    Absent,
    Connecting,
    /// The next of its subscriptions.
    Subscribing(u8),
    /// The next of its topics.
    Registering(u8),
    Awake,
    FallingAsleep,
    Asleep,
    Collecting,
    Leaving,
    Away,
}

/// A request that is not answered yet.
struct Pending {
    octets: Vec<u8>,
    msg_id: u16,
    again: Instant,
    tries: u32,
    /// What a PUBLISH carries, and whether PUBREL is what is repeated.
    message: Option<(Flow, u32)>,
}

/// One device.
pub struct Device {
    pub number: u32,
    id: String,
    life: Life,
    socket: UdpSocket,
    gateway: SocketAddr,
    ledger: Arc<Ledger>,
    chance: Chance,
    stage: Stage,
    pending: Option<Pending>,
    /// Refused for congestion: to be sent again.
    postponed: Option<(Flow, u32)>,
    last_id: u16,
    /// Ids of its own topics, by QoS.
    topics: [Option<u16>; 3],
    /// Every id that it was given, and what for.
    names: BTreeMap<u16, String>,
    unreleased: BTreeSet<u16>,
    /// When it does the next thing.
    next: Instant,
    /// It does not leave before: what waits for it shall have a chance.
    stays: Instant,
    /// Messages to publish before it sleeps or leaves again.
    to_say: u32,
    /// Answers to repeated DISCONNECTs that may still come.
    late_goodbyes: u32,
    /// The last PINGREQ was sent more than once: the gateway may open another window for the copy.
    late_window: bool,
    /// The last datagrams, sent and received.
    trace: VecDeque<(Instant, bool, Vec<u8>)>,
    pub congested: u32,
    pub naps: u32,
    pub repeats: u32,
}

impl Device {
    pub fn new(
        number: u32,
        life: Life,
        gateway: SocketAddr,
        ledger: &Arc<Ledger>,
        seed: u64,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            number,
            id: format!("{life:?}-{number}").to_lowercase(),
            life,
            socket,
            gateway,
            ledger: Arc::clone(ledger),
            chance: Chance::new(seed ^ u64::from(number) << 32),
            stage: Stage::Absent,
            pending: None,
            postponed: None,
            last_id: 0,
            topics: [None; 3],
            names: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            next: Instant::now(),
            stays: Instant::now(),
            to_say: 0,
            late_goodbyes: 0,
            late_window: false,
            trace: VecDeque::new(),
            congested: 0,
            naps: 0,
            repeats: 0,
        }
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Nothing that it has begun is unfinished.
    pub fn is_idle(&self) -> bool {
        self.postponed.is_none()
            && self.pending.as_ref().is_none_or(|pending| pending.message.is_none())
    }

    /// For the report of a test that does not end.
    pub fn state(&self) -> String {
        let pending = self.pending.as_ref().map(|pending| {
            let packet = decode(&pending.octets).map(|packet| format!("{:?}", packet.message));
            format!("{} times {packet:?}", pending.tries)
        });
        format!("{}: {:?}, {pending:?}, {:?}", self.id, self.stage, self.postponed)
    }

    /// Takes what has come and does what is due. `enough`: it begins nothing new, but goes on
    /// collecting.
    pub fn turn(&mut self, enough: bool) {
        self.receive();
        let now = Instant::now();
        if let Some(pending) = &mut self.pending {
            if pending.again <= now {
                pending.again = now + RETRY;
                pending.tries += 1;
                let octets = pending.octets.clone();
                self.repeat(octets);
            }
        } else if self.next <= now {
            self.act(now, enough);
        }
    }

    fn act(&mut self, now: Instant, enough: bool) {
        match self.stage {
            Stage::Absent => self.connect(),
            Stage::Awake => self.be_awake(now, enough),
            Stage::Asleep => {
                if (enough || self.chance.one_in(2)) && self.postponed.is_none() {
                    self.collect();
                } else if !self.say() {
                    self.next = now + self.chance.millis(5, 100);
                }
            }
            Stage::Away => self.connect(),
            // Waiting for "congestion" to pass.
            Stage::Connecting => self.connect(),
            Stage::Subscribing(index) => self.subscribe(index),
            Stage::Registering(index) => self.register(index),
            Stage::FallingAsleep | Stage::Collecting | Stage::Leaving => {}
        }
    }

    fn be_awake(&mut self, now: Instant, enough: bool) {
        let done = (self.to_say == 0 || enough) && self.postponed.is_none();
        if done && self.life != Life::Talker && now >= self.stays {
            self.fall_asleep_or_leave();
        } else if enough && self.postponed.is_none() {
            self.next = now + Duration::from_millis(20);
        } else {
            self.to_say = self.to_say.saturating_sub(1);
            self.say();
        }
    }

    fn connect(&mut self) {
        self.stage = Stage::Connecting;
        let id = self.id.clone();
        let clean = self.life != Life::Leaver;
        self.ask(0, Message::Connect(connect_packet(&id, clean, LONG, false)));
    }

    fn subscribe(&mut self, index: u8) {
        self.stage = Stage::Subscribing(index);
        // Half of them get to know the topics by REGISTER.
        let filter = if self.number.is_multiple_of(2) {
            format!("down/{}/+", self.number)
        } else {
            format!("down/{}/{index}", self.number)
        };
        let topic = SubscribeTopic::Name(filter.as_bytes());
        let msg_id = self.next_id();
        self.ask(
            msg_id,
            Message::Subscribe(Subscribe { dup: false, qos: Qos::Two, msg_id, topic }),
        );
    }

    fn register(&mut self, index: u8) {
        self.stage = Stage::Registering(index);
        let msg_id = self.next_id();
        let name = self.up(index).topic();
        self.ask(msg_id, Message::Register { topic_id: 0, msg_id, topic: name.as_bytes() });
    }

    fn fall_asleep_or_leave(&mut self) {
        let duration = (self.life == Life::Sleeper).then_some(LONG);
        self.stage = if duration.is_some() { Stage::FallingAsleep } else { Stage::Leaving };
        self.ask(0, Message::Disconnect { duration });
    }

    fn collect(&mut self) {
        self.stage = Stage::Collecting;
        let id = self.id.clone();
        self.ask(0, Message::PingReq { client_id: id.as_bytes() });
    }

    fn up(&self, qos: u8) -> Flow {
        Flow { way: Way::Up, qos, device: self.number }
    }

    /// Publishes; false at QoS 0, after which nothing is waited for.
    fn say(&mut self) -> bool {
        let (flow, number) = self.postponed.take().unwrap_or_else(|| {
            let qos = self.chance.within(0, 5).min(2) as u8;
            let flow = self.up(qos);
            (flow, self.ledger.send(flow))
        });
        let topic = PublishTopic::Normal(self.topics[usize::from(flow.qos)].expect("registered"));
        let qos = [Qos::Zero, Qos::One, Qos::Two][usize::from(flow.qos)];
        let msg_id = if flow.qos == 0 { 0 } else { self.next_id() };
        let payload = flow.payload(number);
        let data = payload.as_bytes();
        let publish = Publish { dup: false, qos, retain: false, topic, msg_id, data };
        if flow.qos == 0 {
            self.send(Message::Publish(publish));
            self.next = Instant::now() + self.chance.millis(1, 15);
            return false;
        }
        let text = format!("the device: PUBLISH {msg_id}");
        self.ledger.event(Some((flow, number)), text);
        self.ask(msg_id, Message::Publish(publish));
        self.pending.as_mut().expect("just asked").message = Some((flow, number));
        true
    }

    fn ask(&mut self, msg_id: u16, message: Message<'_>) {
        let octets = encode(message);
        self.transmit(&octets);
        let again = Instant::now() + RETRY;
        self.pending = Some(Pending { octets, msg_id, again, tries: 1, message: None });
    }

    fn repeat(&mut self, octets: Vec<u8>) {
        self.repeats += 1;
        let message = match decode(&octets).expect("our own").message {
            Message::Publish(publish) => Message::Publish(Publish { dup: true, ..publish }),
            Message::Subscribe(subscribe) => {
                Message::Subscribe(Subscribe { dup: true, ..subscribe })
            }
            Message::Disconnect { duration } => {
                self.late_goodbyes += 1;
                Message::Disconnect { duration }
            }
            other => other,
        };
        self.send(message);
    }

    fn send(&mut self, message: Message<'_>) {
        self.transmit(&encode(message));
    }

    fn note(&mut self, sent: bool, octets: &[u8]) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back((Instant::now(), sent, octets.to_vec()));
    }

    /// The last datagrams, to be read.
    fn story(&self) -> String {
        let mut text = format!("{}:\n", self.id);
        for (at, sent, octets) in &self.trace {
            let (way, age) = (if *sent { "sent" } else { "got " }, at.elapsed().as_millis());
            let what = match decode(octets).map(|packet| packet.message) {
                Ok(Message::Publish(publish)) => format!(
                    "PUBLISH {} {:?} dup {} {}",
                    publish.msg_id,
                    publish.qos,
                    publish.dup,
                    String::from_utf8_lossy(publish.data)
                ),
                other => format!("{other:?}"),
            };
            text.push_str(&format!("  {age:5} ms ago {way} {what}\n"));
        }
        text
    }

    fn transmit(&mut self, octets: &[u8]) {
        self.note(true, octets);
        // Nobody listens while the gateway is away; the datagram is lost, as they are.
        let _ = self.socket.send_to(octets, self.gateway);
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2_048];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    assert_eq!(from, self.gateway);
                    self.note(false, &buffer[..length]);
                    let packet = decode(&buffer[..length]).expect("something that can be decoded");
                    self.take(packet.message);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => panic!("{}: {error}", self.id),
            }
        }
    }

    /// Whether this answers what is waited for.
    fn answers(&self, msg_id: u16) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.msg_id == msg_id)
    }

    fn done(&mut self, pause: Duration) {
        self.pending = None;
        self.next = Instant::now() + pause;
    }

    /// The gateway is busy: later.
    fn congested(&mut self) {
        self.congested += 1;
        self.postponed = self.pending.take().and_then(|pending| pending.message);
        self.next = Instant::now() + WAIT;
    }

    fn fault(&self, text: &str) {
        self.ledger.fault(format!("{}, {:?}: {text}", self.id, self.stage));
    }

    fn take(&mut self, message: Message<'_>) {
        // Its radio is off, or it is out of reach.
        let deaf = match self.stage {
            Stage::Asleep => self.pending.is_none(),
            Stage::Away => true,
            _ => false,
        };
        if deaf {
            return;
        }
        let intrudes = matches!(message, Message::Publish(_) | Message::Register { .. });
        if self.stage == Stage::Asleep && intrudes && !self.late_window {
            self.fault(&format!("it sleeps and was sent {message:?}"));
        }
        match message {
            Message::ConnAck { code } if self.stage == Stage::Connecting => self.connack(code),
            Message::SubAck { topic_id, msg_id, code, qos } => {
                if let Stage::Subscribing(index) = self.stage
                    && self.answers(msg_id)
                {
                    self.suback(index, topic_id, code, qos);
                }
            }
            Message::RegAck { topic_id, msg_id, code } => {
                if let Stage::Registering(index) = self.stage
                    && self.answers(msg_id)
                {
                    self.regack(index, topic_id, code);
                }
            }
            Message::PubAck { msg_id, code, .. } if self.answers(msg_id) => self.puback(code),
            Message::PubRec { msg_id } if self.answers(msg_id) => {
                // What is repeated from now on is PUBREL.
                let message = self.pending.take().and_then(|pending| pending.message);
                self.ask(msg_id, Message::PubRel { msg_id });
                self.pending.as_mut().expect("just asked").message = message;
            }
            Message::PubComp { msg_id } if self.answers(msg_id) => self.published(),
            Message::Disconnect { .. } => self.disconnect(),
            Message::PingResp if self.stage == Stage::Collecting => self.nap(),
            Message::Register { topic_id, msg_id, topic } => {
                let name = String::from_utf8(topic.to_vec()).expect("UTF-8");
                self.learn(topic_id, name);
                self.send(Message::RegAck { topic_id, msg_id, code: ReturnCode::ACCEPTED });
            }
            Message::Publish(publish) => self.accept(&publish),
            Message::PubRel { msg_id } => {
                self.unreleased.remove(&msg_id);
                self.send(Message::PubComp { msg_id });
            }
            // Answers that came twice.
            _ => {}
        }
    }

    fn connack(&mut self, code: ReturnCode) {
        match code {
            ReturnCode::ACCEPTED if self.topics[2].is_some() => {
                self.done(Duration::ZERO);
                self.stays = Instant::now() + self.chance.millis(20, 400);
                self.stage = Stage::Awake;
                self.to_say = self.chance.within(1, 6) as u32;
            }
            ReturnCode::ACCEPTED => {
                self.done(Duration::ZERO);
                self.unreleased.clear();
                self.subscribe(0);
            }
            ReturnCode::CONGESTION => self.congested(),
            other => self.fault(&format!("CONNECT was refused: {other:?}")),
        }
    }

    fn suback(&mut self, index: u8, topic_id: u16, code: ReturnCode, qos: Qos) {
        match code {
            ReturnCode::ACCEPTED => {
                self.done(Duration::ZERO);
                if qos != Qos::Two {
                    self.fault(&format!("granted {qos:?}"));
                }
                if topic_id != 0 {
                    self.learn(topic_id, format!("down/{}/{index}", self.number));
                }
                if index < 2 { self.subscribe(index + 1) } else { self.register(0) }
            }
            ReturnCode::CONGESTION => self.congested(),
            other => self.fault(&format!("SUBSCRIBE was refused: {other:?}")),
        }
    }

    fn regack(&mut self, index: u8, topic_id: u16, code: ReturnCode) {
        match code {
            ReturnCode::ACCEPTED => {
                self.done(Duration::ZERO);
                self.learn(topic_id, self.up(index).topic());
                self.topics[usize::from(index)] = Some(topic_id);
                if index < 2 {
                    self.register(index + 1);
                } else {
                    self.stage = Stage::Awake;
                    self.to_say = self.chance.within(1, 6) as u32;
                }
            }
            ReturnCode::CONGESTION => self.congested(),
            other => self.fault(&format!("REGISTER was refused: {other:?}")),
        }
    }

    fn puback(&mut self, code: ReturnCode) {
        let Some((flow, number)) = self.pending.as_ref().and_then(|pending| pending.message) else {
            return;
        };
        match code {
            ReturnCode::ACCEPTED if flow.qos == 1 => self.published(),
            ReturnCode::CONGESTION => {
                self.ledger.refused(flow, number);
                self.congested();
            }
            other => {
                self.fault(&format!("{} was answered {other:?}", flow.payload(number)));
                self.done(WAIT);
            }
        }
    }

    fn published(&mut self) {
        if let Some((flow, number)) = self.pending.as_ref().and_then(|pending| pending.message) {
            self.ledger.event(Some((flow, number)), "the device has its acknowledgement");
            self.ledger.acknowledged(flow, number);
        }
        let pause = self.chance.millis(1, 15);
        self.done(pause);
    }

    fn disconnect(&mut self) {
        match self.stage {
            Stage::FallingAsleep => self.nap(),
            Stage::Leaving => {
                self.stage = Stage::Away;
                let pause = self.chance.millis(20, 200);
                self.done(pause);
            }
            _ if self.late_goodbyes > 0 => self.late_goodbyes -= 1,
            // It begins anew, so that the test comes to its end.
            _ => {
                self.fault("the gateway does not know it any more");
                let message = self.pending.take().and_then(|pending| pending.message);
                self.postponed = self.postponed.or(message);
                self.topics = [None; 3];
                self.names.clear();
                self.stage = Stage::Absent;
                self.next = Instant::now() + WAIT;
            }
        }
    }

    fn nap(&mut self) {
        self.late_window = self.pending.as_ref().is_some_and(|pending| pending.tries > 1);
        self.stage = Stage::Asleep;
        self.naps += 1;
        let pause = self.chance.millis(10, 150);
        self.done(pause);
    }

    /// An id means the same for good.
    fn learn(&mut self, topic_id: u16, name: String) {
        let other = self.names.iter().find(|(id, known)| (**id == topic_id) != (**known == name));
        if let Some((id, known)) = other {
            self.fault(&format!("topic id {topic_id} for {name}, but {known} is {id}"));
        }
        self.names.insert(topic_id, name);
    }

    fn accept(&mut self, publish: &Publish<'_>) {
        let PublishTopic::Normal(topic_id) = publish.topic else {
            return self.fault(&format!("a topic id type that it never used: {publish:?}"));
        };
        let msg_id = publish.msg_id;
        let Some(name) = self.names.get(&topic_id) else {
            self.fault(&format!("PUBLISH with the unknown topic id {topic_id}"));
            let code = ReturnCode::INVALID_TOPIC_ID;
            return self.send(Message::PubAck { topic_id, msg_id, code });
        };
        if let Some(topic) = publish.data.strip_prefix(PROBE.as_bytes()) {
            // It reads as a message whose number is missing.
            let probe = [topic, b" 0"].concat();
            let flow = Flow::parse(&probe).expect("a probe").0;
            return self.ledger.open(flow);
        }
        let Some((flow, number)) = Flow::parse(publish.data) else {
            return self.fault(&format!("nobody has sent {publish:?}"));
        };
        let dup = if publish.dup { " again" } else { "" };
        let told = format!("to the device: PUBLISH {msg_id}{dup}");
        self.ledger.event(Some((flow, number)), told);
        let right = flow.topic() == *name
            && flow.device == self.number
            && flow.way == Way::Down
            && publish.qos == [Qos::Zero, Qos::One, Qos::Two][usize::from(flow.qos)];
        if !right {
            self.fault(&format!("{} came under {name}: {publish:?}", flow.payload(number)));
        }
        match publish.qos {
            Qos::One => {
                self.ledger.delivered(flow, number);
                self.send(Message::PubAck { topic_id, msg_id, code: ReturnCode::ACCEPTED });
            }
            Qos::Two => {
                if self.unreleased.insert(msg_id) && self.ledger.delivered(flow, number) == 2 {
                    self.ledger.event(Some((flow, number)), self.story());
                }
                self.send(Message::PubRec { msg_id });
            }
            Qos::Zero | Qos::MinusOne => {
                self.ledger.delivered(flow, number);
            }
        }
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn encode(message: Message<'_>) -> Vec<u8> {
    let packet = Packet { forwarder: None, message };
    let mut octets = vec![0; packet.encoded_len()];
    packet.encode(&mut octets).unwrap();
    octets
}
