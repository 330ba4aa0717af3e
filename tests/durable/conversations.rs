//! Conversations that many tests begin with.

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos, SubscribeTopic, decode};

use crate::harness::*;
use crate::messages::*;
use crate::mqtt::Packet;

/// Where topic ids begin with [`settings`], for the first client.
pub const FIRST_ID: u16 = 7;

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

    /// Connects with a will at QoS 1 on the topic "will", and keeps the session.
    #[track_caller]
    pub fn connect_with_will(&mut self, device: &Device, id: &str, message: &str) {
        let keep_alive = 60;
        self.exchange(device, connect_with_will(id, false, keep_alive), &[Message::WillTopicReq]);
        self.exchange(device, will_topic("will", Qos::One, false), &[Message::WillMsgReq]);
        self.exchange(device, will_msg(message), &[connack(OK)]);
    }

    #[track_caller]
    pub fn sleep(&mut self, device: &Device, duration: u16) {
        self.exchange(device, doze(duration), &[BYE]);
    }

    #[track_caller]
    pub fn leave(&mut self, device: &Device) {
        self.exchange(device, BYE, &[BYE]);
    }

    /// Registers a name and gives its id.
    #[track_caller]
    pub fn register(&mut self, device: &Device, msg_id: u16, name: &str) -> u16 {
        self.silence(device);
        self.send(device, register(msg_id, name));
        match decode(&self.only(device)).expect("a packet").message {
            Message::RegAck { topic_id, code: OK, .. } => topic_id,
            other => panic!("expected REGACK, got {other:?}"),
        }
    }

    /// Subscribes to a name and gives the topic id of the SUBACK.
    #[track_caller]
    pub fn subscribe(&mut self, device: &Device, msg_id: u16, name: &str, qos: Qos) -> u16 {
        self.subscribe_to(device, msg_id, SubscribeTopic::Name(name.as_bytes()), qos)
    }

    /// The broker, if it is asked, grants what it is asked for.
    #[track_caller]
    pub fn subscribe_to(
        &mut self,
        device: &Device,
        msg_id: u16,
        topic: SubscribeTopic<'_>,
        qos: Qos,
    ) -> u16 {
        self.silence(device);
        self.send(device, subscribe_to(msg_id, topic, qos));
        if !self.obliging {
            self.grant_all();
        }
        match decode(&self.only(device)).expect("a packet").message {
            Message::SubAck { qos: granted, topic_id, code: OK, .. } => {
                assert_eq!(granted, qos);
                topic_id
            }
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }

    /// The broker grants and takes back whatever it is asked to, and the gateway says nothing else.
    #[track_caller]
    pub fn grant_all(&mut self) {
        for packet in self.sent() {
            match packet {
                Packet::Subscribe { id, qos, .. } => self.grant(id, qos),
                Packet::Unsubscribe { id, .. } => self.ungrant(id),
                other => panic!("expected SUBSCRIBE or UNSUBSCRIBE, got {other:?}"),
            }
        }
    }

    /// The one datagram that a device was sent.
    #[track_caller]
    pub fn only(&mut self, device: &Device) -> Vec<u8> {
        match <[Vec<u8>; 1]>::try_from(self.received(device)) {
            Ok([only]) => only,
            Err(others) => panic!("expected one datagram, got {others:02x?}"),
        }
    }

    /// The one PUBLISH that a device was sent: its message id and whether DUP is set.
    #[track_caller]
    pub fn one_publish(&mut self, device: &Device, payload: &[u8]) -> (u16, bool) {
        match decode(&self.only(device)).expect("a packet").message {
            Message::Publish(Publish { msg_id, dup, data, .. }) => {
                assert_eq!(data, payload);
                (msg_id, dup)
            }
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// Answers everything that the gateway asks of a device until it asks no more. Gives the
    /// payloads that came.
    pub fn collect(&mut self, device: &Device) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let received = self.received(device);
            if received.is_empty() {
                return payloads;
            }
            for bytes in received {
                match decode(&bytes).expect("a packet").message {
                    Message::Register { topic_id, msg_id, .. } => {
                        self.send(device, regack(topic_id, msg_id, OK));
                    }
                    Message::Publish(Publish { qos, msg_id, data, .. }) => {
                        payloads.push(String::from_utf8(data.to_vec()).expect("text"));
                        match qos {
                            Qos::One => self.send(device, puback(0, msg_id, OK)),
                            Qos::Two => self.send(device, pubrec(msg_id)),
                            _ => {}
                        }
                    }
                    Message::PubRel { msg_id } => self.send(device, pubcomp(msg_id)),
                    _ => {}
                }
            }
        }
    }
}

/// PUBLISH to a normal topic id.
pub fn publish_to(topic_id: u16, qos: Qos, msg_id: u16, data: &[u8]) -> Message<'_> {
    publish(PublishTopic::Normal(topic_id), qos, msg_id, data)
}

/// A clean client with a topic id, beside a broker that answers nothing by itself.
pub fn publisher() -> (World, Device, u16) {
    let mut world = World::new();
    let node = device(1);
    world.connect(&node, "n1");
    let id = world.register(&node, 1, "a/b");
    world.flush();
    (world, node, id)
}

/// The same client, and the broker is away.
pub fn publisher_alone() -> (World, Device, u16) {
    let (mut world, node, id) = publisher();
    world.broker_down();
    (world, node, id)
}
