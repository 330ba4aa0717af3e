//! A device: a UDP socket and the codec, nothing of the gateway's own client.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{
    Connect, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe,
    SubscribeTopic, WillTopic, decode,
};

use super::PATIENCE;

/// After this long without the answer a request is sent again.
const RETRY: Duration = Duration::from_secs(1);

/// An application message that came from the gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The name; of a predefined topic `#id`.
    pub topic: String,
    pub payload: String,
    pub qos: Qos,
    pub retain: bool,
}

/// Shorthand for what is expected to be received live.
pub fn received(topic: &str, payload: &str, qos: Qos) -> Received {
    Received { topic: topic.to_owned(), payload: payload.to_owned(), qos, retain: false }
}

/// A device that speaks MQTT-SN 1.2. It registers what the gateway registers with it and
/// acknowledges what it gets, whenever it waits for something.
pub struct Device {
    socket: UdpSocket,
    gateway: SocketAddr,
    node: Option<Vec<u8>>,
    last_id: u16,
    names: HashMap<u16, String>,
    /// QoS 2 messages between PUBLISH and PUBREL.
    unreleased: Vec<u16>,
    inbox: VecDeque<Received>,
    /// It takes what comes and answers nothing, as if its sender were broken.
    pub mute: bool,
    /// The gateway has sent DISCONNECT without being asked.
    pub dismissed: bool,
    /// Every datagram, sent or received.
    pub trace: Vec<(Way, Vec<u8>)>,
}

/// Which way a datagram went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    Sent,
    Received,
}

impl Device {
    /// A device without a connection.
    pub fn new(gateway: SocketAddr) -> Self {
        let local = if gateway.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(local).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self {
            socket,
            gateway,
            node: None,
            last_id: 0,
            names: HashMap::new(),
            unreleased: Vec::new(),
            inbox: VecDeque::new(),
            mute: false,
            dismissed: false,
            trace: Vec::new(),
        }
    }

    /// A device that is connected with a clean session.
    #[track_caller]
    pub fn connected(gateway: SocketAddr, id: &str) -> Self {
        let mut device = Self::new(gateway);
        assert_eq!(device.connect(id), ReturnCode::ACCEPTED);
        device
    }

    /// Puts the device behind a forwarder, which knows it by this node id.
    pub fn behind_forwarder(mut self, node: &[u8]) -> Self {
        self.node = Some(node.to_vec());
        self
    }

    /// Gets another port, as a device does whose NAT has forgotten it; gives the old socket.
    pub fn roam(&mut self) -> UdpSocket {
        let fresh = UdpSocket::bind((self.address().ip(), 0)).unwrap();
        fresh.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        std::mem::replace(&mut self.socket, fresh)
    }

    /// Gets the address of another device, which gets ours.
    pub fn take_over(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.socket, &mut other.socket);
    }

    /// The socket's address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// CONNECT with a clean session, a keep-alive of one minute and no will.
    #[track_caller]
    pub fn connect(&mut self, id: &str) -> ReturnCode {
        self.connect_with(id, true, 60)
    }

    /// CONNECT without a will.
    #[track_caller]
    pub fn connect_with(&mut self, id: &str, clean_session: bool, duration: u16) -> ReturnCode {
        let connect = connect_packet(id, clean_session, duration, false);
        self.ask("CONNACK", &Message::Connect(connect), connack)
    }

    /// CONNECT with the will dialogue.
    #[track_caller]
    pub fn connect_with_will(
        &mut self,
        id: &str,
        duration: u16,
        (topic, message, qos, retain): (&str, &str, Qos, bool),
    ) -> ReturnCode {
        let connect = connect_packet(id, true, duration, true);
        self.ask("WILLTOPICREQ", &Message::Connect(connect), |message| {
            matches!(message, Message::WillTopicReq).then_some(())
        });
        let topic = WillTopic { qos, retain, topic: topic.as_bytes() };
        self.ask("WILLMSGREQ", &Message::WillTopic(Some(topic)), |message| {
            matches!(message, Message::WillMsgReq).then_some(())
        });
        self.ask("CONNACK", &Message::WillMsg { message: message.as_bytes() }, connack)
    }

    /// DISCONNECT, answered.
    #[track_caller]
    pub fn disconnect(&mut self) {
        self.ask("DISCONNECT", &Message::Disconnect { duration: None }, |message| {
            matches!(message, Message::Disconnect { duration: None }).then_some(())
        });
    }

    /// DISCONNECT with a duration in seconds, answered.
    #[track_caller]
    pub fn sleep(&mut self, duration: u16) {
        self.ask("DISCONNECT", &Message::Disconnect { duration: Some(duration) }, |message| {
            matches!(message, Message::Disconnect { duration: None }).then_some(())
        });
    }

    /// PINGREQ with a client id, and everything up to PINGRESP; the messages that came.
    #[track_caller]
    pub fn collect(&mut self, id: &str) -> Vec<Received> {
        self.ask("PINGRESP", &Message::PingReq { client_id: id.as_bytes() }, |message| {
            matches!(message, Message::PingResp).then_some(())
        });
        self.inbox()
    }

    /// Nothing has come that was not taken. To be asked when something that was sent later has come
    /// elsewhere.
    #[track_caller]
    pub fn heard_nothing(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        let octets = self.take();
        self.socket.set_nonblocking(false).unwrap();
        assert_eq!(octets, None, "sent to a device that did not ask for it");
        assert_eq!(self.inbox(), []);
    }

    /// PINGREQ, answered. Everything that the gateway sent before has then been taken.
    #[track_caller]
    pub fn ping(&mut self) {
        self.ask("PINGRESP", &Message::PingReq { client_id: b"" }, |message| {
            matches!(message, Message::PingResp).then_some(())
        });
    }

    /// REGISTER.
    #[track_caller]
    pub fn register(&mut self, name: &str) -> Result<PublishTopic, ReturnCode> {
        let id = self.next_id();
        let register = Message::Register { topic_id: 0, msg_id: id, topic: name.as_bytes() };
        let (topic_id, code) = self.ask("REGACK", &register, |message| match *message {
            Message::RegAck { topic_id, msg_id, code } if msg_id == id => Some((topic_id, code)),
            _ => None,
        });
        if code != ReturnCode::ACCEPTED {
            return Err(code);
        }
        self.names.insert(topic_id, name.to_owned());
        Ok(PublishTopic::Normal(topic_id))
    }

    /// PUBLISH, and at QoS 1 and 2 everything up to the end of the exchange.
    #[track_caller]
    pub fn publish(&mut self, topic: PublishTopic, qos: Qos, data: &str) -> ReturnCode {
        self.publish_with(topic, qos, false, data)
    }

    /// The same, retained or not.
    #[track_caller]
    pub fn publish_with(
        &mut self,
        topic: PublishTopic,
        qos: Qos,
        retain: bool,
        data: &str,
    ) -> ReturnCode {
        let acknowledged = matches!(qos, Qos::One | Qos::Two);
        let id = if acknowledged { self.next_id() } else { 0 };
        let data = data.as_bytes();
        let publish = Publish { dup: false, qos, retain, topic, msg_id: id, data };
        if !acknowledged {
            self.send(&Message::Publish(publish));
            return ReturnCode::ACCEPTED;
        }
        let what = if qos == Qos::One { "PUBACK" } else { "PUBREC" };
        let code = self.ask(what, &Message::Publish(publish), |message| match *message {
            Message::PubAck { msg_id, code, .. } if msg_id == id => Some(code),
            Message::PubRec { msg_id } if msg_id == id && qos == Qos::Two => {
                Some(ReturnCode::ACCEPTED)
            }
            _ => None,
        });
        if qos == Qos::Two && code == ReturnCode::ACCEPTED {
            self.ask("PUBCOMP", &Message::PubRel { msg_id: id }, |message| match *message {
                Message::PubComp { msg_id } if msg_id == id => Some(()),
                _ => None,
            });
        }
        code
    }

    /// PUBLISH at QoS 1 without waiting; the message id to wait for with [`Self::puback`].
    pub fn begin_publish(&mut self, topic: PublishTopic, retain: bool, data: &str) -> u16 {
        let (msg_id, data) = (self.next_id(), data.as_bytes());
        let publish = Publish { dup: false, qos: Qos::One, retain, topic, msg_id, data };
        self.send(&Message::Publish(publish));
        msg_id
    }

    /// Waits for the PUBACK of [`Self::begin_publish`].
    #[track_caller]
    pub fn puback(&mut self, id: u16) -> ReturnCode {
        self.wait("PUBACK", |message| match *message {
            Message::PubAck { msg_id, code, .. } if msg_id == id => Some(code),
            _ => None,
        })
    }

    /// SUBSCRIBE; the granted QoS.
    #[track_caller]
    pub fn subscribe(&mut self, topic: SubscribeTopic<'_>, qos: Qos) -> Result<Qos, ReturnCode> {
        let msg_id = self.next_id();
        let subscribe = Subscribe { dup: false, qos, msg_id, topic };
        let (granted, topic_id, code) =
            self.ask("SUBACK", &Message::Subscribe(subscribe), |message| match *message {
                Message::SubAck { qos, topic_id, msg_id: id, code } if id == msg_id => {
                    Some((qos, topic_id, code))
                }
                _ => None,
            });
        if code != ReturnCode::ACCEPTED {
            return Err(code);
        }
        if let SubscribeTopic::Name(name) = topic
            && topic_id != 0
        {
            self.names.insert(topic_id, String::from_utf8(name.to_vec()).unwrap());
        }
        Ok(granted)
    }

    /// SUBSCRIBE by name or filter, granted as asked for.
    #[track_caller]
    pub fn subscribe_to(&mut self, filter: &str, qos: Qos) {
        assert_eq!(self.subscribe(SubscribeTopic::Name(filter.as_bytes()), qos), Ok(qos));
    }

    /// UNSUBSCRIBE.
    #[track_caller]
    pub fn unsubscribe(&mut self, topic: SubscribeTopic<'_>) {
        let id = self.next_id();
        self.ask("UNSUBACK", &Message::Unsubscribe { msg_id: id, topic }, |message| {
            matches!(message, Message::UnsubAck { msg_id } if *msg_id == id).then_some(())
        });
    }

    /// The next application message.
    #[track_caller]
    pub fn receive(&mut self) -> Received {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(received) = self.inbox.pop_front() {
                return received;
            }
            assert!(Instant::now() < deadline, "waiting for a message: nothing came");
            if let Some(octets) = self.take() {
                self.answer(&octets);
            }
        }
    }

    /// Application messages up to one with this payload, without that one.
    #[track_caller]
    pub fn receive_until(&mut self, payload: &str) -> Vec<Received> {
        let mut before = Vec::new();
        loop {
            let next = self.receive();
            if next.payload == payload {
                return before;
            }
            before.push(next);
        }
    }

    /// Application messages that have come already.
    pub fn inbox(&mut self) -> Vec<Received> {
        self.inbox.drain(..).collect()
    }

    /// Sends a message, encapsulated if the device is behind a forwarder.
    pub fn send(&mut self, message: &Message<'_>) {
        let forwarder = self.node.as_deref().map(|node_id| Encapsulation { radius: 0, node_id });
        let packet = Packet { forwarder, message: *message };
        let mut octets = vec![0; packet.encoded_len()];
        packet.encode(&mut octets).unwrap();
        self.send_octets(&octets);
    }

    /// Sends anything.
    pub fn send_octets(&mut self, octets: &[u8]) {
        self.socket.send_to(octets, self.gateway).unwrap();
        self.trace.push((Way::Sent, octets.to_vec()));
    }

    /// Waits for a message, answering what else comes.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Message<'_>) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "waiting for {what}: it did not come");
            if let Some(picked) = self.turn(&mut pick) {
                return picked;
            }
        }
    }

    /// Sends a request, again and again until its answer comes.
    #[track_caller]
    pub fn ask<T>(
        &mut self,
        what: &str,
        request: &Message<'_>,
        mut pick: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        self.send(request);
        let mut again = Instant::now() + RETRY;
        loop {
            let now = Instant::now();
            assert!(now < deadline, "{request:?}: no {what}");
            if now >= again {
                self.send(&repeated(request));
                again = now + RETRY;
            }
            if let Some(picked) = self.turn(&mut pick) {
                return picked;
            }
        }
    }

    fn turn<T>(&mut self, pick: &mut impl FnMut(&Message<'_>) -> Option<T>) -> Option<T> {
        let octets = self.take()?;
        let packet = decode(&octets).unwrap_or_else(|error| panic!("{octets:02x?}: {error:?}"));
        let picked = pick(&packet.message);
        if picked.is_none() {
            self.answer(&octets);
        }
        picked
    }

    /// One datagram, if one comes soon.
    fn take(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                assert_eq!(from, self.gateway, "answers come from where the question went");
                buffer.truncate(length);
                self.trace.push((Way::Received, buffer.clone()));
                Some(buffer)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(error) => panic!("the device's socket: {error}"),
        }
    }

    /// Does what a device does with something it did not ask for.
    fn answer(&mut self, octets: &[u8]) {
        if self.mute {
            return;
        }
        let packet = decode(octets).unwrap_or_else(|error| panic!("{octets:02x?}: {error:?}"));
        let node = packet.forwarder.map(|forwarder| forwarder.node_id.to_vec());
        assert_eq!(node, self.node, "encapsulated as the device is");
        match packet.message {
            Message::Register { topic_id, msg_id, topic } => {
                self.names.insert(topic_id, String::from_utf8(topic.to_vec()).unwrap());
                self.send(&Message::RegAck { topic_id, msg_id, code: ReturnCode::ACCEPTED });
            }
            Message::Publish(publish) => self.accept(&publish),
            Message::PubRel { msg_id } => {
                self.unreleased.retain(|id| *id != msg_id);
                self.send(&Message::PubComp { msg_id });
            }
            Message::Disconnect { .. } => self.dismissed = true,
            _ => {}
        }
    }

    fn accept(&mut self, publish: &Publish<'_>) {
        let topic = match publish.topic {
            PublishTopic::Normal(id) => {
                self.names.get(&id).cloned().unwrap_or_else(|| panic!("topic id {id} is unknown"))
            }
            PublishTopic::Predefined(id) => format!("#{id}"),
            PublishTopic::Short(name) => String::from_utf8(name.to_vec()).unwrap(),
            PublishTopic::Reserved(_) => panic!("topic id type 11"),
        };
        let payload = String::from_utf8(publish.data.to_vec()).unwrap();
        let (qos, retain, msg_id) = (publish.qos, publish.retain, publish.msg_id);
        let received = Received { topic, payload, qos, retain };
        match qos {
            Qos::MinusOne | Qos::Zero => self.inbox.push_back(received),
            Qos::One => {
                self.inbox.push_back(received);
                let topic_id = topic_field(publish.topic);
                self.send(&Message::PubAck { topic_id, msg_id, code: ReturnCode::ACCEPTED });
            }
            Qos::Two => {
                if !self.unreleased.contains(&msg_id) {
                    self.unreleased.push(msg_id);
                    self.inbox.push_back(received);
                }
                self.send(&Message::PubRec { msg_id });
            }
        }
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// The topic field as an acknowledgement returns it.
fn topic_field(topic: PublishTopic) -> u16 {
    match topic {
        PublishTopic::Normal(id) | PublishTopic::Predefined(id) | PublishTopic::Reserved(id) => id,
        PublishTopic::Short(name) => u16::from_be_bytes(name),
    }
}

fn connack(message: &Message<'_>) -> Option<ReturnCode> {
    match *message {
        Message::ConnAck { code } => Some(code),
        _ => None,
    }
}

/// CONNECT of MQTT-SN 1.2.
pub fn connect_packet(id: &str, clean_session: bool, duration: u16, will: bool) -> Connect<'_> {
    Connect { will, clean_session, protocol_id: 1, duration, client_id: id.as_bytes() }
}

/// A request as it is sent again.
fn repeated<'a>(request: &Message<'a>) -> Message<'a> {
    match *request {
        Message::Publish(publish) => Message::Publish(Publish { dup: true, ..publish }),
        Message::Subscribe(subscribe) => Message::Subscribe(Subscribe { dup: true, ..subscribe }),
        other => other,
    }
}
