//! A gateway and broker in one, just good enough for `simulate`, that breaks one promise.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mqtt_sn_gateway::codec::{
    Message, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, decode,
};

/// What it does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// Nothing.
    None,
    /// Acknowledges messages and forwards nothing.
    ForwardsNothing,
    /// Delivers every message twice.
    Twice,
    /// Delivers a message after the one that follows it on the same topic.
    Overtakes,
    /// Delivers to the next device instead.
    WrongDevice,
    /// Delivers under another topic.
    WrongTopic,
    /// Changes the payload.
    WrongPayload,
    /// Delivers at QoS 0.
    LowerQos,
    /// Delivers at once, asleep or not.
    WakesSleepers,
    /// Keeps what waits, and says PINGRESP.
    KeepsWaiting,
    /// Gives a topic another id with every message.
    ChangesIds,
    /// Sends garbage now and then.
    Garbage,
    /// Ends sessions now and then.
    EndsSessions,
    /// Does not acknowledge.
    NoAnswers,
    /// Publishes no wills. (It never does.)
    NoWills,
    /// Refuses every CONNECT.
    Refuses,
    /// Refuses every SUBSCRIBE.
    Deaf,
}

/// It runs until it is dropped.
pub struct Liar {
    pub address: String,
    stop: Arc<AtomicBool>,
    messages: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub fn start(lie: Lie) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let address = socket.local_addr().expect("an address").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let messages = Arc::new(AtomicU64::new(0));
        let mut gateway = Gateway {
            lie,
            socket,
            devices: HashMap::new(),
            ids: HashMap::new(),
            last_msg_id: 0,
            messages: Arc::clone(&messages),
            held: HashMap::new(),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = gateway.socket.recv_from(&mut buffer) {
                    gateway.take(from, &buffer[..length]);
                }
            }
        });
        Self { address, stop, messages, thread: Some(thread) }
    }

    /// Waits until so many messages were published.
    pub fn wait_for_messages(&self, count: u64) {
        while self.messages.load(Ordering::Relaxed) < count {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Waiting {
    topic: String,
    qos: Qos,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Device {
    asleep: bool,
    filters: Vec<String>,
    queue: Vec<Waiting>,
}

struct Gateway {
    lie: Lie,
    socket: UdpSocket,
    devices: HashMap<SocketAddr, Device>,
    /// Topic ids, the same for all devices.
    ids: HashMap<String, u16>,
    last_msg_id: u16,
    messages: Arc<AtomicU64>,
    /// What is to be overtaken, by topic.
    held: HashMap<String, Waiting>,
}

const ACCEPTED: ReturnCode = ReturnCode::ACCEPTED;

impl Gateway {
    fn send(&self, to: SocketAddr, message: &Message<'_>) {
        let mut datagram = vec![0; message.encoded_len()];
        message.encode(&mut datagram).expect("it fits");
        // Whoever has left does not listen.
        let _ = self.socket.send_to(&datagram, to);
    }

    fn id(&mut self, topic: &str) -> u16 {
        let next = self.ids.len() as u16 + 1;
        *self.ids.entry(topic.to_owned()).or_insert(next)
    }

    fn msg_id(&mut self) -> u16 {
        self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
        self.last_msg_id
    }

    fn take(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Ok(packet) = decode(datagram) else { return };
        match packet.message {
            Message::Connect(connect) => {
                let code = match self.lie {
                    Lie::Refuses => ReturnCode::NOT_SUPPORTED,
                    _ => ACCEPTED,
                };
                let device = self.devices.entry(from).or_default();
                device.asleep = false;
                if connect.clean_session {
                    device.filters.clear();
                }
                if connect.will && connect.clean_session {
                    return self.send(from, &Message::WillTopicReq);
                }
                self.send(from, &Message::ConnAck { code });
                self.empty_queue(from);
            }
            Message::WillTopic(_) => self.send(from, &Message::WillMsgReq),
            Message::WillMsg { .. } => self.send(from, &Message::ConnAck { code: ACCEPTED }),
            Message::Register { msg_id, topic, .. } => {
                let topic_id = self.id(&String::from_utf8_lossy(topic));
                self.send(from, &Message::RegAck { topic_id, msg_id, code: ACCEPTED });
            }
            Message::Subscribe(subscribe) => self.subscribe(from, &subscribe),
            Message::Publish(publish) => self.publish(from, &publish),
            Message::PubRel { msg_id } => self.send(from, &Message::PubComp { msg_id }),
            Message::PubRec { msg_id } => self.send(from, &Message::PubRel { msg_id }),
            Message::PingReq { client_id } => {
                if !client_id.is_empty() && self.lie != Lie::KeepsWaiting {
                    self.empty_queue(from);
                }
                self.send(from, &Message::PingResp);
            }
            Message::Disconnect { duration } => {
                let device = self.devices.entry(from).or_default();
                device.asleep = duration.is_some();
                if duration.is_none() {
                    device.filters.clear();
                }
                self.send(from, &Message::Disconnect { duration: None });
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, from: SocketAddr, subscribe: &Subscribe<'_>) {
        let SubscribeTopic::Name(name) = subscribe.topic else { return };
        let name = String::from_utf8_lossy(name).into_owned();
        let topic_id = if name.contains('+') { 0 } else { self.id(&name) };
        let (msg_id, qos) = (subscribe.msg_id, subscribe.qos);
        let code = if self.lie == Lie::Deaf { ReturnCode::CONGESTION } else { ACCEPTED };
        self.devices.entry(from).or_default().filters.push(name);
        self.send(from, &Message::SubAck { qos, topic_id, msg_id, code });
    }

    fn publish(&mut self, from: SocketAddr, publish: &Publish<'_>) {
        let PublishTopic::Normal(topic_id) = publish.topic else { return };
        let found = self.ids.iter().find(|(_, id)| **id == topic_id);
        let Some(topic) = found.map(|(topic, _)| topic.clone()) else { return };
        let msg_id = publish.msg_id;
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        match publish.qos {
            _ if self.lie == Lie::NoAnswers => {}
            Qos::One => self.send(from, &Message::PubAck { topic_id, msg_id, code: ACCEPTED }),
            Qos::Two => self.send(from, &Message::PubRec { msg_id }),
            _ => {}
        }
        if self.lie == Lie::ForwardsNothing {
            return;
        }
        let mut to: Vec<SocketAddr> = self
            .devices
            .iter()
            .filter(|(_, device)| device.filters.iter().any(|filter| matches(filter, &topic)))
            .map(|(address, _)| *address)
            .collect();
        if self.lie == Lie::WrongDevice {
            to = self.devices.keys().copied().filter(|address| !to.contains(address)).collect();
        }
        let waiting = Waiting { topic, qos: publish.qos, payload: publish.data.to_vec() };
        for to in to {
            self.deliver(to, waiting.clone());
        }
        match self.lie {
            Lie::Garbage if messages.is_multiple_of(5) => {
                let _ = self.socket.send_to(b"\x09\x0Cgarbage but not that long", from);
            }
            Lie::EndsSessions if messages == 10 => {
                self.send(from, &Message::Disconnect { duration: None });
            }
            _ => {}
        }
    }

    fn deliver(&mut self, to: SocketAddr, mut waiting: Waiting) {
        match self.lie {
            Lie::WrongPayload => waiting.payload.reverse(),
            Lie::WrongTopic => waiting.topic.push('x'),
            Lie::LowerQos => waiting.qos = Qos::Zero,
            Lie::ChangesIds => {
                let next = 1_000 + self.messages.load(Ordering::Relaxed) as u16;
                self.ids.insert(waiting.topic.clone(), next);
            }
            Lie::Overtakes => match self.held.remove(&waiting.topic) {
                None => {
                    self.held.insert(waiting.topic.clone(), waiting);
                    return;
                }
                Some(held) => {
                    self.transmit(to, &waiting);
                    return self.transmit(to, &held);
                }
            },
            _ => {}
        }
        let device = self.devices.entry(to).or_default();
        if device.asleep && self.lie != Lie::WakesSleepers {
            return device.queue.push(waiting);
        }
        self.transmit(to, &waiting);
        if self.lie == Lie::Twice {
            self.transmit(to, &waiting);
        }
    }

    fn empty_queue(&mut self, to: SocketAddr) {
        let queue = self.devices.get_mut(&to).map(|device| std::mem::take(&mut device.queue));
        for waiting in queue.unwrap_or_default() {
            self.transmit(to, &waiting);
        }
    }

    fn transmit(&mut self, to: SocketAddr, waiting: &Waiting) {
        let topic_id = self.id(&waiting.topic);
        let msg_id = self.msg_id();
        let topic = waiting.topic.as_bytes();
        self.send(to, &Message::Register { topic_id, msg_id, topic });
        let publish = Publish {
            dup: false,
            qos: waiting.qos,
            retain: false,
            topic: PublishTopic::Normal(topic_id),
            msg_id: if waiting.qos == Qos::Zero { 0 } else { msg_id },
            data: &waiting.payload,
        };
        self.send(to, &Message::Publish(publish));
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    filter.len() == topic.len()
        && filter.iter().zip(&topic).all(|(one, other)| *one == "+" || one == other)
}
