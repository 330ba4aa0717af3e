//! Hostile peers: whatever they say, from addresses of their own, no sensor may notice.

use mqtt_sn_gateway::codec::{
    Connect, Message, Publish, PublishTopic, Qos, ReturnCode, WillTopic, decode,
};

use crate::places::{LIARS, Place};
use crate::rng::Rng;
use crate::sensor::bytes;

/// A hostile peer.
pub struct Liar {
    number: u8,
    ports: u8,
    rng: Rng,
}

impl Liar {
    pub fn new(number: usize, rng: Rng) -> Self {
        Self { number: number as u8, ports: 0, rng }
    }

    /// Where it is at the moment.
    pub fn place(&self) -> Place {
        [LIARS + self.number, self.ports % 8]
    }

    /// What it says next. `ids`: of all sensors; `active`: of those that are awake; `locked`: nobody
    /// may move to another address, so that even a CONNECT in their name must do no harm.
    pub fn says(&mut self, ids: &[String], active: &[String], locked: bool) -> Vec<u8> {
        if self.rng.chance(100) {
            self.ports = self.ports.wrapping_add(1);
        }
        let own = format!("liar-{}", self.number);
        let anybody = self.rng.pick(ids);
        let msg_id = self.rng.between(0, 40) as u16;
        let topic_id = self.rng.between(0, 60) as u16;
        let code = ReturnCode(self.rng.below(5) as u8);
        let message = match self.rng.below(14) {
            0 | 1 => connect(&own, self.rng.chance(300)),
            2 if locked && active.contains(&anybody) => connect(&anybody, false),
            3 => {
                let awake = if active.is_empty() { own.clone() } else { self.rng.pick(active) };
                return bytes(&Message::PingReq { client_id: awake.as_bytes() });
            }
            4 => Message::Disconnect { duration: self.rng.pick(&[None, Some(1), Some(60_000)]) },
            5 => Message::PubAck { topic_id, msg_id, code },
            6 => Message::RegAck { topic_id, msg_id, code },
            7 => Message::PubRec { msg_id },
            8 => Message::PubRel { msg_id },
            9 => Message::PubComp { msg_id },
            10 => {
                let topic = b"liar/will";
                let will = WillTopic { qos: Qos::One, retain: false, topic };
                return bytes(&self.rng.pick(&[
                    Message::WillTopic(Some(will)),
                    Message::WillTopicUpd(Some(will)),
                    Message::WillMsg { message: b"lie" },
                    Message::WillMsgUpd { message: b"lie" },
                    Message::WillTopicUpd(None),
                ]));
            }
            11 => Message::Register { topic_id, msg_id, topic: b"liar/topic" },
            12 => return self.publish(topic_id, msg_id),
            _ => return self.garbage(),
        };
        bytes(&message)
    }

    /// To an id that it never registered, or did, below `liar/`.
    fn publish(&mut self, topic_id: u16, msg_id: u16) -> Vec<u8> {
        let qos = self.rng.pick(&[Qos::Zero, Qos::One, Qos::Two]);
        // Predefined and short topics belong to everybody.
        let topic = PublishTopic::Normal(topic_id);
        let (dup, retain, data) = (self.rng.chance(300), self.rng.chance(300), b"lie");
        bytes(&Message::Publish(Publish { dup, qos, retain, topic, msg_id, data }))
    }

    /// Octets that are no request for anything.
    fn garbage(&mut self) -> Vec<u8> {
        let length = self.rng.between(1, 40);
        let mut octets: Vec<u8> = (0..length).map(|_| self.rng.next() as u8).collect();
        if self.rng.chance(500) {
            octets[0] = length as u8;
        }
        match decode(&octets).map(|packet| packet.message) {
            Ok(Message::Publish(_) | Message::Connect(_) | Message::Subscribe(_)) => vec![0],
            _ => octets,
        }
    }
}

fn connect(id: &str, will: bool) -> Message<'_> {
    let (clean_session, protocol_id, duration) = (true, 1, 20);
    let client_id = id.as_bytes();
    Message::Connect(Connect { will, clean_session, protocol_id, duration, client_id })
}
