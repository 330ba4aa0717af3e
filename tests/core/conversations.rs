//! Conversations that many tests begin with, and companies of clients.

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, SubscribeTopic, decode};

use crate::harness::*;

impl World {
    /// Connects with a clean session and a keep-alive of an hour.
    #[track_caller]
    pub fn connect(&mut self, device: &Device, id: &str) {
        self.exchange(device, connect(id, true, 3_600), &[connack(OK)]);
    }

    /// Connects and keeps the session.
    #[track_caller]
    pub fn resume(&mut self, device: &Device, id: &str) {
        self.exchange(device, connect(id, false, 3_600), &[connack(OK)]);
    }

    /// Goes to sleep for this many seconds.
    #[track_caller]
    pub fn sleep(&mut self, device: &Device, duration: u16) {
        self.exchange(device, doze(duration), &[BYE]);
    }

    /// The one PUBLISH that a device was sent, and nothing else: topic, QoS, message id, DUP.
    #[track_caller]
    pub fn one_publish(&mut self, device: &Device) -> (PublishTopic, Qos, u16, bool) {
        let received = self.received(device);
        if let [only] = received.as_slice()
            && let Message::Publish(publish) = decode(only).expect("a packet").message
        {
            return (publish.topic, publish.qos, publish.msg_id, publish.dup);
        }
        let received: Vec<String> = received.iter().map(|bytes| explain(bytes)).collect();
        panic!("expected one PUBLISH, received {received:#?}");
    }

    /// Answers everything that the gateway asks of a device until it asks no more, and gives all
    /// that the device was sent.
    pub fn drain(&mut self, device: &Device) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let received = self.received(device);
            if received.is_empty() {
                return all;
            }
            for bytes in received {
                match decode(&bytes).expect("a packet").message {
                    Message::Register { topic_id, msg_id, .. } => {
                        self.send(device, regack(topic_id, msg_id, OK));
                    }
                    Message::Publish(publish) => match publish.qos {
                        Qos::One => self.send(device, puback(0, publish.msg_id, OK)),
                        Qos::Two => self.send(device, pubrec(publish.msg_id)),
                        _ => {}
                    },
                    Message::PubRel { msg_id } => self.send(device, pubcomp(msg_id)),
                    _ => {}
                }
                all.push(bytes);
            }
        }
    }

    /// Sends a message, answers all that comes of it, and gives the payloads that came. The last
    /// thing to come is `end`, once.
    #[track_caller]
    pub fn collect(
        &mut self,
        device: &Device,
        message: Message<'_>,
        end: Message<'_>,
    ) -> Vec<Vec<u8>> {
        self.silence(device);
        self.send(device, message);
        let mut all = self.drain(device);
        let end = encode(device, end);
        assert_eq!(all.pop().as_deref().map(explain), Some(explain(&end)));
        assert!(!all.contains(&end), "more than once: {}", explain(&end));
        payloads_of(&all)
    }

    /// Sends CONNECT, answers all that comes of it, and gives the payloads that came after the
    /// CONNACK.
    #[track_caller]
    pub fn collect_by_connect(&mut self, device: &Device, message: Message<'_>) -> Vec<Vec<u8>> {
        self.silence(device);
        self.send(device, message);
        let all = self.drain(device);
        let connack = encode(device, connack(OK));
        assert_eq!(all.first().map(|bytes| explain(bytes)), Some(explain(&connack)));
        payloads_of(&all)
    }

    /// Registers a name and gives its id.
    #[track_caller]
    pub fn register(&mut self, device: &Device, msg_id: u16, name: &str) -> u16 {
        self.silence(device);
        self.send(device, register(msg_id, name));
        let received = self.received(device);
        match received.as_slice() {
            [only] => match decode(only).expect("a packet").message {
                Message::RegAck { topic_id, msg_id: echoed, code: OK } => {
                    assert_eq!(echoed, msg_id);
                    topic_id
                }
                other => panic!("expected REGACK, got {other:?}"),
            },
            other => panic!("expected REGACK, got {other:?}"),
        }
    }

    /// Subscribes to a name, granted by the broker if it is asked. Gives the id of the SUBACK and
    /// the subscription identifier at the broker.
    #[track_caller]
    pub fn subscribe(&mut self, device: &Device, msg_id: u16, name: &str, qos: Qos) -> (u16, u32) {
        self.subscribe_to(device, msg_id, SubscribeTopic::Name(name.as_bytes()), qos)
    }

    #[track_caller]
    pub fn subscribe_to(
        &mut self,
        device: &Device,
        msg_id: u16,
        topic: SubscribeTopic<'_>,
        qos: Qos,
    ) -> (u16, u32) {
        self.silence(device);
        self.send(device, subscribe_to(msg_id, topic, qos));
        let mut identifier = 0;
        for up in self.up() {
            if let Up::Subscribe { token, id, qos, .. } = up {
                identifier = id;
                self.granted(token, qos);
            }
        }
        let received = self.received(device);
        match received.as_slice() {
            [only] => match decode(only).expect("a packet").message {
                Message::SubAck { qos: granted, topic_id, msg_id: echoed, code: OK } => {
                    assert_eq!((echoed, granted), (msg_id, qos));
                    (topic_id, identifier)
                }
                other => panic!("expected SUBACK, got {other:?}"),
            },
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }
}

/// Payloads of the PUBLISHes among these frames.
pub fn payloads_of(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let payload = |bytes: &Vec<u8>| match decode(bytes).expect("a packet").message {
        Message::Publish(publish) => Some(publish.data.to_vec()),
        _ => None,
    };
    frames.iter().filter_map(payload).collect()
}

/// A world with one client.
pub fn one_client() -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    (world, node)
}

/// Two clients, connected.
pub fn two_clients() -> (World, Device, Device) {
    let (mut world, a) = one_client();
    let b = device(2);
    world.connect(&b, "n2");
    (world, a, b)
}

/// Payloads and retain flags of the PUBLISH messages a device received; acknowledges what needs it.
#[track_caller]
pub fn payloads(world: &mut World, node: &Device) -> Vec<(Vec<u8>, bool)> {
    let mut found = Vec::new();
    loop {
        let received = world.received(node);
        if received.is_empty() {
            return found;
        }
        for bytes in received {
            match decode(&bytes).expect("a packet").message {
                Message::Publish(publish) => {
                    found.push((publish.data.to_vec(), publish.retain));
                    if publish.qos > Qos::Zero {
                        let msg_id = publish.msg_id;
                        world.send(node, pubrec(msg_id));
                        world.send(node, puback(0, msg_id, OK));
                    }
                }
                Message::Register { topic_id, msg_id, .. } => {
                    world.send(node, regack(topic_id, msg_id, OK));
                }
                Message::PubRel { msg_id } => world.send(node, pubcomp(msg_id)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

/// The first id of the second client: sessions do not begin at the same one.
pub fn world_id(_second: &Device) -> u16 {
    FIRST_ID + 8
}

/// A client with one subscription by name; [`FIRST_ID`] is what its SUBACK told it.
pub fn subscribed(qos: Qos) -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    world.subscribe(&node, 1, "a/b", qos);
    (world, node)
}

/// A client with a wildcard subscription to everything.
pub fn subscribed_to_all(qos: Qos) -> (World, Device) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let (id, _) = world.subscribe(&node, 1, "#", qos);
    assert_eq!(id, 0);
    (world, node)
}
