//! A bottomless MQTT 3.1.1 broker: swallows and counts what comes up, acknowledges at once, and
//! publishes downwards on request. Stores nothing, routes nothing, but for the gateway's question how
//! many copies of a message it makes.
//!
//! Lives in the same thread as the load: on two cores that leaves one to the process measured.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::mqtt::{self, Packet, Reader};

/// Topics of the load begin so; everything else (status topics) is swallowed uncounted.
pub const TOPIC_PREFIX: &str = "bench/";

/// End of the topic on which the gateway asks how many copies overlapping filters get: one.
const PROBE: &[u8] = b"/probe/x";

const LEVEL_3_1_1: u8 = 4;
const REFUSED_VERSION: u8 = 1;

/// What the sink has seen since it was made.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Messages of the load.
    pub arrived: u64,
    /// Of these, those with DUP.
    pub duplicates: u64,
    /// Accepted connections.
    pub connections: u64,
    /// PUBACK and PUBREC for what was published downwards.
    pub taken: u64,
}

pub struct Sink {
    /// `None` while the sink is away.
    pub listener: Option<TcpListener>,
    pub address: SocketAddr,
    pub counts: Counts,
    connections: Vec<Option<Connection>>,
    /// It answers only so often, like a broker far away; else at once.
    pub pause: Option<Duration>,
    /// When it answers next, if something is held back.
    pub due: Option<Instant>,
    /// Packet id of the last message published downwards.
    last_id: u16,
}

pub struct Connection {
    pub stream: TcpStream,
    reader: Reader,
    out: Vec<u8>,
    established: bool,
    /// Whether whoever polls `stream` waits for room to write; theirs to keep.
    pub watched: bool,
}

/// What became of a connection after it was served.
#[derive(PartialEq)]
pub enum Served {
    Open,
    Closed,
}

impl Sink {
    pub fn bind() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (counts, connections) = (Counts::default(), Vec::new());
        Ok(Self {
            listener: Some(listener),
            address,
            counts,
            connections,
            pause: None,
            due: None,
            last_id: 0,
        })
    }

    /// Goes away: closes everything, and cannot be reached.
    pub fn leave(&mut self) {
        self.listener = None;
        self.connections.clear();
    }

    /// Comes back, at the same address.
    pub fn come_back(&mut self) -> Result<&TcpListener, Failure> {
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        Ok(self.listener.insert(listener))
    }

    /// Accepts one waiting connection and returns its slot.
    pub fn accept(&mut self) -> Result<Option<usize>, Failure> {
        let Some(listener) = &self.listener else { return Ok(None) };
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let connection = Connection {
            stream,
            reader: Reader::new(),
            out: Vec::new(),
            established: false,
            watched: false,
        };
        let free = self.connections.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.connections.len());
        if slot == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[slot] = Some(connection);
        Ok(Some(slot))
    }

    pub fn connection(&self, slot: usize) -> Option<&Connection> {
        self.connections.get(slot)?.as_ref()
    }

    pub fn connection_mut(&mut self, slot: usize) -> Option<&mut Connection> {
        self.connections.get_mut(slot)?.as_mut()
    }

    /// Whether somebody has got a CONNACK and is still there.
    pub fn connected(&self) -> bool {
        self.connections.iter().flatten().any(|connection| connection.established)
    }

    /// Reads once, answers everything that was read with one write.
    pub fn serve(&mut self, slot: usize) -> Result<Served, Failure> {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(Served::Closed);
        };
        let served = connection.serve(&mut self.counts)?;
        match self.pause {
            Some(pause) if connection.established => {
                self.due.get_or_insert_with(|| Instant::now() + pause);
            }
            _ => connection.flush()?,
        }
        if served == Served::Closed {
            self.connections[slot] = None;
        }
        Ok(served)
    }

    /// Sends what was held back. Returns the slots of the connections.
    pub fn answer_late(&mut self) -> Result<Vec<usize>, Failure> {
        self.due = None;
        let mut slots = Vec::new();
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection {
                connection.flush()?;
                slots.push(slot);
            }
        }
        Ok(slots)
    }

    /// Publishes to everybody connected, as a broker would to its subscribers; QoS 1 and 2 at most
    /// 65,535 times before all is acknowledged. Returns the slots of the connections.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8) -> Result<Vec<usize>, Failure> {
        let mut slots = Vec::new();
        if qos > 0 {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        }
        let id = self.last_id;
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection.as_mut().filter(|it| it.established) else {
                continue;
            };
            mqtt::publish(&mut connection.out, qos, id, topic.as_bytes(), payload);
            connection.flush()?;
            slots.push(slot);
        }
        Ok(slots)
    }
}

impl Connection {
    /// Octets wait for room in the socket's send buffer.
    pub fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    fn serve(&mut self, counts: &mut Counts) -> Result<Served, Failure> {
        match self.reader.fill(&mut self.stream) {
            Ok(0) => return Ok(Served::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Served::Closed),
            Err(error) => return Err(error.into()),
        }
        let mut served = Served::Open;
        while let Some(packet) = self.reader.next() {
            let answered = answer(&packet, &mut self.out, counts, &mut self.established);
            if answered.ok_or("the broker side got a malformed MQTT packet")? == Served::Closed {
                served = Served::Closed;
                break;
            }
        }
        Ok(served)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) if count == self.out.len() => self.out.clear(),
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The reader will find the end of the stream.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.out.clear(),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.out.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Appends the answer to a packet; `None` if the packet is malformed.
fn answer(
    packet: &Packet<'_>,
    out: &mut Vec<u8>,
    counts: &mut Counts,
    established: &mut bool,
) -> Option<Served> {
    match packet.kind() {
        mqtt::PUBLISH => {
            let (topic, id, _) = packet.publish()?;
            if topic.starts_with(TOPIC_PREFIX.as_bytes()) {
                counts.arrived += 1;
                counts.duplicates += u64::from(packet.duplicate());
            } else if topic.ends_with(PROBE) {
                mqtt::publish(out, 0, 0, topic, b"one");
            }
            match packet.qos() {
                0 => {}
                1 => mqtt::acknowledge(out, mqtt::PUBACK, id),
                _ => mqtt::acknowledge(out, mqtt::PUBREC, id),
            }
        }
        mqtt::PUBREL => mqtt::acknowledge(out, mqtt::PUBCOMP, packet.id()?),
        mqtt::CONNECT => {
            let level = *packet.body.get(2 + usize::from(mqtt::field(packet.body, 0)?))?;
            let code = if level == LEVEL_3_1_1 { 0 } else { REFUSED_VERSION };
            mqtt::header(out, mqtt::CONNACK, 2);
            out.extend_from_slice(&[0, code]);
            if code != 0 {
                return Some(Served::Closed);
            }
            *established = true;
            counts.connections += 1;
        }
        mqtt::SUBSCRIBE => subscribed(packet, out)?,
        mqtt::UNSUBSCRIBE => mqtt::acknowledge(out, mqtt::UNSUBACK, packet.id()?),
        mqtt::PINGREQ => mqtt::header(out, mqtt::PINGRESP, 0),
        mqtt::DISCONNECT => return Some(Served::Closed),
        mqtt::PUBACK => counts.taken += 1,
        mqtt::PUBREC => {
            counts.taken += 1;
            mqtt::acknowledge(out, mqtt::PUBREL, packet.id()?);
        }
        _ => {}
    }
    Some(Served::Open)
}

/// SUBACK that grants every filter the QoS it asks for.
fn subscribed(packet: &Packet<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut granted = Vec::new();
    let mut rest = packet.body.get(2..)?;
    while !rest.is_empty() {
        let filter = 2 + usize::from(mqtt::field(rest, 0)?);
        granted.push(*rest.get(filter)? & 0b11);
        rest = rest.get(filter + 1..)?;
    }
    mqtt::header(out, mqtt::SUBACK, 2 + granted.len());
    out.extend_from_slice(&packet.id()?.to_be_bytes());
    out.extend_from_slice(&granted);
    Some(())
}
