//! Limits and small devices: what the gateway need not deliver, and must not.

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic};

use super::contract::Contract;
use super::{Oracle, Verdict, level};
use crate::ledger::MsgNo;
use crate::topics::{Form, Topic};

/// Topic ids that a device with few slots may have spent on names of its last life.
const SPENT: usize = 5;

impl Contract {
    /// Books a message that may have to wait. False if the gateway may have no room for it; then
    /// its QoS 0 messages may have given way as well.
    pub fn makes_room(&mut self, message: MsgNo, size: usize, crowded: bool) -> bool {
        let octets: usize = self.backlog.iter().map(|(_, octets)| octets).sum();
        let room = self.backlog.len() < self.rules.most_messages as usize
            && octets + size <= self.rules.most_bytes
            && !crowded;
        self.backlog.push((message, size));
        room
    }

    /// A message waits no longer.
    pub fn leaves(&mut self, message: MsgNo) {
        if let Some(at) = self.backlog.iter().position(|(other, _)| *other == message) {
            self.backlog.remove(at);
        }
    }

    /// Whether a message on `name` can surely be delivered to this kind of device.
    pub fn has_use_for(&self, name: &str, payload: usize) -> bool {
        let stack = self.stack;
        let long = if payload + 7 > 255 { 9 } else { 7 };
        if payload + long > stack.longest_packet {
            return false;
        }
        let form = Topic::new(name).form;
        if self.knows(name) || form == Form::Short {
            return true;
        }
        if let Form::Predefined(_) = form {
            // Without types only what it subscribed to by that number.
            return !stack.refuses_flags || self.subs.get(name).is_some_and(|sub| sub.must);
        }
        stack.answers_register
            && name.len() <= stack.longest_name
            && name.len() + 6 <= stack.longest_packet
            && self.topics() + SPENT < stack.slots
    }
}

impl Contract {
    /// It has no room for all the topics that it asked for, and does not say so: what it cannot
    /// take blocks for minutes what it can.
    pub fn is_clogged(&self) -> bool {
        self.topics() + SPENT >= self.stack.slots
    }
}

impl Oracle {
    /// Octets that may wait at the gateway.
    pub(super) fn backlogs(&self) -> usize {
        let all = self.contracts.iter().flat_map(|contract| &contract.backlog);
        all.map(|(_, octets)| octets).sum()
    }

    /// The gateway knows what this kind of device can take.
    pub(super) fn suits(&self, sensor: usize, octets: usize, message: &Message<'_>) -> Verdict {
        let stack = self.contracts[sensor].stack;
        match message {
            Message::Register { .. } if !stack.answers_register => {
                Err("it has no handler for REGISTER".into())
            }
            Message::Register { topic, .. } if topic.len() > stack.longest_name => {
                Err("the name is too long for it".into())
            }
            Message::Register { .. } | Message::Publish(_) if octets > stack.longest_packet => {
                Err(format!("{octets} octets are too long for it"))
            }
            Message::Publish(publish) => publish_suits(stack.refuses_flags, stack.max_qos, publish),
            Message::SubAck { qos, .. } if level(*qos) > stack.max_qos => {
                Err("granted more than it understands".into())
            }
            _ => Ok(()),
        }
    }
}

fn publish_suits(refuses_flags: bool, max_qos: u8, publish: &Publish<'_>) -> Verdict {
    let predefined = matches!(publish.topic, PublishTopic::Predefined(_));
    if level(publish.qos) > max_qos {
        return Err("a QoS that it does not understand".into());
    }
    if refuses_flags && (publish.dup || publish.retain || predefined) {
        return Err("flags that it does not understand".into());
    }
    Ok(())
}
