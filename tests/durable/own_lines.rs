//! The connections beside the main one: those of single clients, which the gateway wishes for, and
//! further ones that clients share. The broker keeps sessions as MQTT has it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::engine::Wish;

use crate::harness::*;
use crate::mqtt::{self, Packet, Publish};

/// All of them.
#[derive(Default)]
pub struct Own {
    /// The broker takes connections.
    there: bool,
    /// What was written to those that are open, as far as it is not a whole packet.
    open: BTreeMap<LineId, Vec<u8>>,
    /// Those that the gateway waits for.
    wanted: BTreeSet<LineId>,
    /// Client ids whose sessions the broker has.
    sessions: BTreeSet<String>,
    /// CONNECTs so far: client id, clean, will.
    connects: Vec<(String, bool, bool)>,
    /// What else was said.
    sent: Vec<(LineId, Packet)>,
    due: Vec<(LineId, Vec<u8>)>,
}

impl Own {
    /// The gateway's process has ended.
    pub fn end(&mut self) {
        self.open.clear();
        self.wanted.clear();
        self.connects.clear();
        self.sent.clear();
        self.due.clear();
    }
}

impl World {
    /// From now on the broker takes the connections of clients, and has those that are wanted.
    pub fn own_up(&mut self) {
        self.own.there = true;
        for line in std::mem::take(&mut self.own.wanted) {
            self.open_own(line);
        }
        self.settle();
    }

    /// The broker goes away.
    pub fn own_down(&mut self) {
        self.own.there = false;
        for line in std::mem::take(&mut self.own.open).into_keys() {
            self.own.wanted.insert(line);
            self.engine.broker_closed(self.now, line);
            self.settle();
        }
        self.own.due.clear();
    }

    /// Opens a further one that clients share.
    pub fn open_shared(&mut self, number: u16) {
        self.open_own(LineId::shared(number));
        self.settle();
    }

    /// The CONNECTs since this was last asked: client id, clean, will.
    pub fn connects(&mut self) -> Vec<(String, bool, bool)> {
        std::mem::take(&mut self.own.connects)
    }

    /// What else was said by these connections since that was last asked.
    pub fn sent_by_own(&mut self) -> Vec<(LineId, Packet)> {
        std::mem::take(&mut self.own.sent)
    }

    /// What was published by them: topic, payload as text, QoS, DUP and packet id.
    pub fn published_by_own(&mut self) -> Vec<(LineId, Publish)> {
        let publish = |(line, packet)| match packet {
            Packet::Publish(publish) => Some((line, publish)),
            _ => None,
        };
        self.sent_by_own().into_iter().filter_map(publish).collect()
    }

    /// The broker says something by one of them.
    #[track_caller]
    pub fn say_by(&mut self, line: LineId, bytes: &[u8]) {
        assert!(self.own.open.contains_key(&line), "there is no such connection");
        let mut input = BytesMut::from(bytes);
        self.engine.broker_input(self.now, line, &mut input).expect("what it says is valid");
        self.settle();
    }

    /// A message of the broker by one of them; gives its packet id.
    #[track_caller]
    pub fn deliver_by(&mut self, line: LineId, topic: &str, payload: &[u8], qos: u8) -> u16 {
        let message = self.message(topic, payload, qos);
        self.say_by(line, &mqtt::publish(self.is_five(), &message));
        message.id
    }

    pub fn is_open(&self, line: LineId) -> bool {
        self.own.open.contains_key(&line)
    }

    fn open_own(&mut self, line: LineId) {
        self.own.open.insert(line, Vec::new());
        self.engine.broker_open(self.now, line);
        self.read_own(line);
    }

    /// Takes what was written.
    fn read_own(&mut self, line: LineId) {
        let five = self.is_five();
        let Some(stream) = self.own.open.get_mut(&line) else { return };
        let Some(output) = self.engine.broker_output(line) else { return };
        stream.extend_from_slice(&output.split());
        while let Some(packet) = mqtt::take(stream, five) {
            if let Packet::Connect { client, clean, will } = packet {
                let present = !clean && self.own.sessions.contains(&client);
                if clean {
                    self.own.sessions.remove(&client);
                } else {
                    self.own.sessions.insert(client.clone());
                }
                self.own.connects.push((client, clean, will));
                self.own.due.push((line, mqtt::connack(five, present, 2)));
                continue;
            }
            if self.obliging {
                self.own.due.extend(answer(&packet, five).map(|answer| (line, answer)));
            }
            self.own.sent.push((line, packet));
        }
    }

    fn close_own(&mut self, line: LineId) {
        self.read_own(line);
        self.own.due.retain(|(other, _)| *other != line);
        self.own.open.remove(&line);
        self.own.wanted.remove(&line);
        self.engine.broker_closed(self.now, line);
    }

    /// Does the next thing that is to be done about them; false if there is none.
    pub fn serve_own(&mut self) -> bool {
        while self.engine.take_speaking().is_some() {}
        for line in self.own.open.keys().copied().collect::<Vec<_>>() {
            self.read_own(line);
        }
        if let Some(wish) = self.engine.take_wish() {
            match wish {
                Wish::Close(line) => self.close_own(line),
                Wish::Open(line) | Wish::Cut(line) => {
                    let open = self.is_open(line);
                    if open {
                        self.close_own(line);
                    }
                    if self.own.there {
                        self.open_own(line);
                    } else {
                        self.own.wanted.insert(line);
                        if wish == Wish::Open(line) {
                            self.engine.broker_unreachable(self.now, line);
                        }
                    }
                }
            }
            return true;
        }
        if self.own.due.is_empty() {
            return false;
        }
        let (line, bytes) = self.own.due.remove(0);
        if self.is_open(line) {
            let mut input = BytesMut::from(&bytes[..]);
            let taken = self.engine.broker_input(self.now, line, &mut input);
            taken.expect("what it says is valid");
        }
        true
    }
}
