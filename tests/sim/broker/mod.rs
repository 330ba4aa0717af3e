//! A model of an MQTT broker with one client, the gateway. It keeps the session, acknowledges,
//! retains, redelivers; it treats everything that the standard forbids as the gateway's failure.

mod session;

use std::collections::BTreeMap;

use crate::plan::BrokerPlan;
use crate::rng::Rng;
use crate::topics::FORBIDDEN;
use crate::wire::{Ack, Connect, Level, Packet, Publish, Will, decode, encode, matches};

pub use session::{Session, Subscription};

/// A publication that the broker took from the gateway; a repetition that it recognised is not one.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub publish: Publish,
}

/// A retained message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retained {
    pub payload: Vec<u8>,
    pub qos: u8,
}

struct Connection {
    level: Level,
    /// CONNECT was accepted.
    established: bool,
    receive_maximum: usize,
    input: Vec<u8>,
    will: Option<Will>,
}

/// The broker.
pub struct Broker {
    plan: BrokerPlan,
    rng: Rng,
    session: Option<Session>,
    connection: Option<Connection>,
    retained: BTreeMap<String, Retained>,
    /// Octets for the gateway; whoever drives the broker takes them.
    pub output: Vec<u8>,
    /// Publications since somebody looked.
    pub accepted: Vec<Accepted>,
    /// The broker wants the connection closed once `output` is written.
    pub hang_up: bool,
}

impl Broker {
    /// An empty broker.
    pub fn new(plan: BrokerPlan, rng: Rng) -> Self {
        Self {
            plan,
            rng,
            session: None,
            connection: None,
            retained: BTreeMap::new(),
            output: Vec::new(),
            accepted: Vec::new(),
            hang_up: false,
        }
    }

    /// No more refusals for lack of room.
    pub fn heal(&mut self) {
        self.plan.quota = 0;
    }

    /// A connection from the gateway.
    pub fn open(&mut self) {
        self.output.clear();
        self.hang_up = false;
        self.connection = Some(Connection {
            level: self.plan.level,
            established: false,
            receive_maximum: usize::from(u16::MAX),
            input: Vec::new(),
            will: None,
        });
    }

    /// The connection broke: the will, if there is one, is published.
    pub fn lost(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.session.as_ref().is_some_and(|session| session.volatile) {
            self.session = None;
        }
        if let Some(Will { topic, payload, qos, retain }) = connection.will {
            self.route(&topic, &payload, qos, retain, false);
        }
    }

    /// The broker dies; it may forget the session (but not what it retained).
    pub fn crash(&mut self, forget: bool) {
        self.lost();
        if forget {
            self.session = None;
        }
    }

    /// The gateway's session, if the broker has one.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether the gateway is connected.
    pub fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.established)
    }

    /// Level of the connection.
    pub fn level(&self) -> Level {
        self.connection.as_ref().map_or(self.plan.level, |connection| connection.level)
    }

    /// Retained messages that `filter` covers, by topic.
    pub fn retained<'a>(
        &'a self,
        filter: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Retained)> {
        self.retained.iter().filter(move |(topic, _)| matches(filter, topic))
    }

    /// Some other client publishes.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        self.route(topic, payload, qos, retain, false);
    }

    /// Octets from the gateway.
    ///
    /// # Errors
    /// When the gateway broke the protocol.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.input.extend_from_slice(bytes);
        while let Some(connection) = &mut self.connection {
            let Some(packet) = decode(&mut connection.input, connection.level)? else { break };
            self.packet(packet)?;
            if self.hang_up {
                break;
            }
        }
        self.pump();
        Ok(())
    }

    fn packet(&mut self, packet: Packet) -> Result<(), String> {
        let established = self.is_connected();
        match packet {
            Packet::Connect(_) if established => return Err("a second CONNECT".into()),
            Packet::Connect(connect) => self.connect(connect)?,
            other if !established => return Err(format!("{other:?} before CONNECT")),
            Packet::Publish(publish) => self.incoming(publish)?,
            Packet::Ack { kind: Ack::PubRel, id, .. } => {
                let known = self.session_mut()?.incoming.remove(&id);
                let code = if known || self.level() == Level::V4 { 0 } else { 0x92 };
                self.send(&Packet::Ack { kind: Ack::PubComp, id, code });
            }
            Packet::Ack { kind, id, code } => {
                if let Some(answer) = self.session_mut()?.acknowledged(kind, id, code)? {
                    self.send(&answer);
                }
            }
            Packet::Subscribe { id, filters, sub_id } => self.subscribe(id, filters, sub_id)?,
            Packet::Unsubscribe { id, filters } => {
                let session = self.session_mut()?;
                let codes = filters.iter().map(|filter| session.unsubscribe(filter)).collect();
                self.send(&Packet::UnsubAck { id, codes });
            }
            Packet::PingReq => self.send(&Packet::PingResp),
            Packet::Disconnect { code } => {
                if let (Some(connection), 0) = (&mut self.connection, code) {
                    connection.will = None;
                }
                self.hang_up = true;
            }
            other => return Err(format!("a client does not send {other:?}")),
        }
        Ok(())
    }

    fn connect(&mut self, connect: Connect) -> Result<(), String> {
        if connect.level == Level::V5 && self.plan.level == Level::V4 {
            self.hang_up = true;
            if !self.plan.hangs_up {
                let no = Packet::ConnAck { present: false, code: 1, receive_maximum: None };
                encode(&no, Level::V4, &mut self.output);
            }
            return Ok(());
        }
        if connect.client_id.is_empty() {
            return Err("CONNECT without a client id".into());
        }
        if connect.clean {
            self.session = None;
        }
        let present = self.session.is_some();
        let session = self.session.get_or_insert_with(Session::default);
        session.volatile = match connect.level {
            Level::V4 => connect.clean,
            Level::V5 => connect.session_expiry == 0,
        };
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.level = connect.level;
        connection.established = true;
        connection.receive_maximum = usize::from(connect.receive_maximum);
        connection.will = connect.will;
        let receive_maximum = self.plan.receive_maximum.filter(|_| connect.level == Level::V5);
        self.send(&Packet::ConnAck { present, code: 0, receive_maximum });
        let again = self.session_mut()?.resend();
        for packet in again {
            self.send(&packet);
        }
        Ok(())
    }

    fn incoming(&mut self, publish: Publish) -> Result<(), String> {
        let v5 = self.level() == Level::V5;
        let refusal = if v5 && publish.topic.contains(FORBIDDEN) {
            0x87
        } else if v5 && self.rng.chance(self.plan.quota) {
            0x97
        } else {
            0
        };
        let (qos, id) = (publish.qos, publish.id);
        let repeated = qos == 2 && self.session_mut()?.incoming.contains(&id);
        if repeated && !publish.dup {
            return Err(format!("packet id {id} is used again before its PUBREL"));
        }
        if !repeated && refusal == 0 {
            self.route(&publish.topic, &publish.payload, qos, publish.retain, true);
            self.accepted.push(Accepted { publish });
            if qos == 2 {
                self.session_mut()?.incoming.insert(id);
            }
        }
        let code = if repeated { 0 } else { refusal };
        match qos {
            1 => self.send(&Packet::Ack { kind: Ack::PubAck, id, code }),
            2 => self.send(&Packet::Ack { kind: Ack::PubRec, id, code }),
            _ => {}
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        id: u16,
        filters: Vec<(String, u8)>,
        sub_id: Option<u32>,
    ) -> Result<(), String> {
        let v5 = self.level() == Level::V5;
        let mut codes = Vec::new();
        let mut retained = Vec::new();
        for (filter, options) in filters {
            check_filter(&filter)?;
            if filter.contains(FORBIDDEN) {
                codes.push(if v5 { 0x87 } else { 0x80 });
                continue;
            }
            // A broker may grant less than it was asked for.
            let qos = if filter.ends_with('x') { (options & 3).min(1) } else { options & 3 };
            codes.push(qos);
            let subscription = Subscription { filter: filter.clone(), qos, id: sub_id, options };
            let fresh = self.session_mut()?.subscribe(subscription);
            let wanted = match if v5 { options >> 4 & 3 } else { 0 } {
                0 => true,
                1 => fresh,
                _ => false,
            };
            for (topic, kept) in self.retained(&filter).filter(|_| wanted) {
                retained.push(Publish {
                    dup: false,
                    qos: kept.qos.min(qos),
                    retain: true,
                    topic: topic.clone(),
                    id: 0,
                    payload: kept.payload.clone(),
                    sub_ids: sub_id.into_iter().collect(),
                });
            }
        }
        // Both orders are legal: retained messages may overtake the SUBACK.
        let early = self.rng.chance(200);
        if !early {
            self.send(&Packet::SubAck { id, codes: codes.clone() });
        }
        for publish in retained {
            self.enqueue(publish);
        }
        if early {
            self.pump();
            self.send(&Packet::SubAck { id, codes });
        }
        Ok(())
    }

    /// Distributes a publication; `own` if the gateway made it.
    fn route(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool, own: bool) {
        if retain && payload.is_empty() {
            self.retained.remove(topic);
        } else if retain {
            let payload = payload.to_vec();
            self.retained.insert(topic.to_owned(), Retained { payload, qos });
        }
        let Some(session) = &self.session else { return };
        let copies = session.copies(topic, payload, (qos, retain, own), self.plan.copies);
        for publish in copies {
            self.enqueue(publish);
        }
    }

    fn enqueue(&mut self, publish: Publish) {
        if publish.qos > 0 {
            if let Some(session) = &mut self.session {
                session.queue.push_back(publish);
            }
            self.pump();
        } else if self.is_connected() {
            self.send(&Packet::Publish(publish));
        }
    }

    /// Sends what the windows allow.
    fn pump(&mut self) {
        let Some(connection) = self.connection.as_ref().filter(|c| c.established) else { return };
        let window = self.plan.window.min(connection.receive_maximum);
        while let Some(publish) = self.session.as_mut().and_then(|session| session.next(window)) {
            self.send(&Packet::Publish(publish));
        }
    }

    fn send(&mut self, packet: &Packet) {
        encode(packet, self.level(), &mut self.output);
    }

    fn session_mut(&mut self) -> Result<&mut Session, String> {
        self.session.as_mut().ok_or_else(|| "no session".into())
    }
}

fn check_filter(filter: &str) -> Result<(), String> {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let legal = levels.iter().enumerate().all(|(at, level)| match *level {
        "#" => at == last,
        "+" => true,
        other => !other.contains(['#', '+']),
    });
    if filter.is_empty() || !legal {
        return Err(format!("illegal filter {filter:?}"));
    }
    Ok(())
}
