//! The world beyond the broker: an MQTT 3.1.1 client with a session that the broker keeps, which
//! connects again whenever it has to. One of them listens, one gives commands.
//!
//! It shares no code with the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::frames::{Frame, kind};
use crate::ledger::{Flow, Ledger, Way};

/// How long to wait for an answer before connecting again. The broker is on the loopback.
const ANSWER: Duration = Duration::from_secs(5);

/// In front of a topic: says that what is published there comes through. What is published before
/// the subscription has reached the broker goes nowhere, and nobody is to blame.
pub const PROBE: &str = "probe ";

/// What the client shares with the test.
#[derive(Default)]
struct Switches {
    quit: AtomicBool,
    /// No new commands.
    enough: AtomicBool,
    /// Commands that are not acknowledged yet.
    open: AtomicU32,
    /// Connections with a subscription, or ready for commands.
    connected: AtomicU32,
}

/// What it does.
pub enum Part {
    /// Takes what the devices publish.
    Listener,
    /// Gives commands to devices with these numbers, so many at a time to each.
    Commander { devices: u32, at_a_time: usize, pause: Duration },
}

/// A running client.
pub struct World {
    switches: Arc<Switches>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub fn start(broker: SocketAddr, part: Part, ledger: &Arc<Ledger>, seed: u64) -> Self {
        let switches = Arc::<Switches>::default();
        let id = if matches!(part, Part::Listener) { "listener" } else { "commander" };
        let mut client = Client {
            broker,
            id,
            part,
            ledger: Arc::clone(ledger),
            switches: Arc::clone(&switches),
            chance: Chance::new(seed),
            stream: None,
            input: Vec::new(),
            heard: Instant::now(),
            unreleased: BTreeSet::new(),
            open: BTreeMap::new(),
            last_id: 0,
        };
        let thread = thread::spawn(move || client.run());
        Self { switches, thread: Some(thread) }
    }

    /// How often it has been connected.
    pub fn connected(&self) -> u32 {
        self.switches.connected.load(Ordering::SeqCst)
    }

    /// Gives no more commands.
    pub fn enough(&self) {
        self.switches.enough.store(true, Ordering::SeqCst);
    }

    /// Commands that the broker has not acknowledged.
    pub fn open(&self) -> u32 {
        self.switches.open.load(Ordering::SeqCst)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.switches.quit.store(true, Ordering::SeqCst);
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        if !ended && !thread::panicking() {
            panic!("the world has come to an end");
        }
    }
}

struct Client {
    broker: SocketAddr,
    id: &'static str,
    part: Part,
    ledger: Arc<Ledger>,
    switches: Arc<Switches>,
    chance: Chance,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    heard: Instant,
    /// QoS 2 messages between PUBLISH and PUBREL.
    unreleased: BTreeSet<u16>,
    /// Commands that are not acknowledged, by packet id.
    open: BTreeMap<u16, Command>,
    last_id: u16,
}

#[derive(Clone, Copy)]
struct Command {
    flow: Flow,
    number: u32,
    /// PUBREC has come.
    received: bool,
}

impl Client {
    fn run(&mut self) {
        let mut next = Instant::now();
        while !self.switches.quit.load(Ordering::SeqCst) {
            if self.stream.is_none() && !self.connect() {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            if let Part::Commander { pause, .. } = self.part
                && Instant::now() >= next
            {
                next = Instant::now() + pause;
                self.command();
            }
            self.turn();
            if self.heard.elapsed() > ANSWER {
                self.send(&[0xC0, 0]);
                self.heard = Instant::now();
            }
            self.switches.open.store(self.open.len() as u32, Ordering::SeqCst);
        }
    }

    /// A connection to the broker, and everything that a session owes after it.
    fn connect(&mut self) -> bool {
        let Ok(stream) = TcpStream::connect(self.broker) else { return false };
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        stream.set_nodelay(true).unwrap();
        self.stream = Some(stream);
        self.input.clear();
        let mut body = b"\0\x04MQTT\x04\0\0\0".to_vec();
        text(&mut body, self.id);
        self.send(&Frame { head: kind::CONNECT << 4, body }.octets());
        let Some(connack) = self.answer(kind::CONNACK) else { return false };
        assert_eq!(connack.body[1], 0, "the broker refuses the {}", self.id);
        if connack.body[0] & 1 == 0 {
            self.unreleased.clear();
            // A broker that has forgotten the session gets the whole message again.
            self.open.values_mut().for_each(|command| command.received = false);
        }
        if matches!(self.part, Part::Listener) {
            let mut body = vec![0, 1];
            text(&mut body, "up/#");
            body.push(2);
            self.send(&Frame { head: kind::SUBSCRIBE << 4 | 2, body }.octets());
            if self.answer(kind::SUBACK).is_none() {
                return false;
            }
        }
        for (id, command) in self.open.clone() {
            self.send_command(id, command, true);
        }
        self.switches.connected.fetch_add(1, Ordering::SeqCst);
        self.stream.is_some()
    }

    /// Waits for a packet of this kind; others may come before it.
    fn answer(&mut self, kind: u8) -> Option<Frame> {
        let deadline = Instant::now() + ANSWER;
        while self.stream.is_some() && Instant::now() < deadline {
            self.read();
            while let Some(frame) = Frame::take(&mut self.input) {
                if frame.kind() == kind {
                    return Some(frame);
                }
                self.frame(&frame);
            }
        }
        self.stream = None;
        None
    }

    fn turn(&mut self) {
        self.read();
        while let Some(frame) = Frame::take(&mut self.input) {
            self.frame(&frame);
        }
    }

    fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => self.stream = None,
            Ok(length) => {
                self.heard = Instant::now();
                self.input.extend_from_slice(&buffer[..length]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.stream = None,
        }
    }

    fn send(&mut self, octets: &[u8]) {
        if let Some(stream) = &mut self.stream
            && stream.write_all(octets).is_err()
        {
            self.stream = None;
        }
    }

    fn acknowledge(&mut self, head: u8, id: u16) {
        self.send(&Frame { head, body: id.to_be_bytes().to_vec() }.octets());
    }

    fn frame(&mut self, frame: &Frame) {
        match frame.kind() {
            kind::PUBLISH => {
                let publish = frame.publish(4);
                let new = publish.qos < 2 || self.unreleased.insert(publish.packet_id);
                if new {
                    self.take(&publish.topic, &publish.payload);
                }
                match publish.qos {
                    0 => {}
                    1 => self.acknowledge(kind::PUBACK << 4, publish.packet_id),
                    _ => self.acknowledge(kind::PUBREC << 4, publish.packet_id),
                }
            }
            kind::PUBREL => {
                self.unreleased.remove(&frame.packet_id());
                self.acknowledge(kind::PUBCOMP << 4, frame.packet_id());
            }
            kind::PUBREC => {
                if let Some(command) = self.open.get_mut(&frame.packet_id()) {
                    command.received = true;
                }
                self.acknowledge(kind::PUBREL << 4 | 2, frame.packet_id());
            }
            kind::PUBACK | kind::PUBCOMP => {
                if let Some(command) = self.open.remove(&frame.packet_id()) {
                    self.ledger.acknowledged(command.flow, command.number);
                }
            }
            _ => {}
        }
    }

    fn take(&self, topic: &str, payload: &[u8]) {
        match Flow::parse(payload) {
            Some((flow, _)) if flow.topic() != topic => {
                self.ledger.fault(format!("{} came as {topic}", flow.topic()));
            }
            Some((flow, number)) => {
                self.ledger.delivered(flow, number);
            }
            // A word of the test itself.
            None => {}
        }
    }

    /// A command for somebody who has not too many waiting.
    fn command(&mut self) {
        let Part::Commander { devices, at_a_time, .. } = self.part else { return };
        if self.switches.enough.load(Ordering::SeqCst) || self.open.len() > 50 {
            return;
        }
        let device = self.chance.within(0, u64::from(devices) - 1) as u32;
        let qos = self.chance.within(0, 5).min(2) as u8;
        let flow = Flow { way: Way::Down, qos, device };
        if qos > 0 && !self.ledger.is_open(flow) {
            self.publish(0, flow, PROBE.to_owned() + &flow.topic(), false);
            return;
        }
        if qos > 0 && self.ledger.under_way(flow) >= at_a_time {
            return;
        }
        let number = self.ledger.send(flow);
        let command = Command { flow, number, received: false };
        let mut id = 0;
        if qos > 0 {
            while id == 0 || self.open.contains_key(&id) {
                self.last_id = self.last_id.wrapping_add(1);
                id = self.last_id;
            }
            self.open.insert(id, command);
        }
        self.send_command(id, command, false);
    }

    fn send_command(&mut self, id: u16, command: Command, again: bool) {
        let Command { flow, number, received } = command;
        if received {
            self.acknowledge(kind::PUBREL << 4 | 2, id);
            return;
        }
        self.publish(id, flow, flow.payload(number), again);
    }

    /// A PUBLISH under the topic of a flow; at its QoS if there is a packet id.
    fn publish(&mut self, id: u16, flow: Flow, payload: String, again: bool) {
        let qos = if id == 0 { 0 } else { flow.qos };
        let mut body = Vec::new();
        text(&mut body, &flow.topic());
        if qos > 0 {
            body.extend_from_slice(&id.to_be_bytes());
        }
        body.extend_from_slice(payload.as_bytes());
        let head = kind::PUBLISH << 4 | u8::from(again) << 3 | qos << 1;
        self.send(&Frame { head, body }.octets());
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&(text.len() as u16).to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}
