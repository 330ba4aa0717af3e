//! What a gateway can get wrong about sessions: topic ids, repetitions, wills, addresses.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_sn_gateway::codec::{Connect, Message, Publish, Qos, ReturnCode};

use super::{is_found_in, message};
use crate::plan::Weather;
use crate::sensor::bytes;
use crate::tamper::{Datagram, Tamper};

type Place = [u8; 2];

/// Has a handful of topic ids for everything.
struct ReusesTopicIds;

impl Tamper for ReusesTopicIds {
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (_, datagram) in datagrams {
            let changed = match message(datagram) {
                Some(Message::RegAck { topic_id, msg_id, code }) => {
                    bytes(&Message::RegAck { topic_id: 100 + topic_id % 4, msg_id, code })
                }
                _ => continue,
            };
            *datagram = changed;
        }
    }
}

#[test]
fn a_topic_id_given_to_another_name_is_found() {
    is_found_in(Weather::Calm, || ReusesTopicIds, &["and becomes"]);
}

/// Takes a repeated QoS 2 PUBLISH for another message.
#[derive(Default)]
struct DoesNotKnowDup {
    seen: BTreeSet<(Place, u16)>,
    /// Message ids that the gateway was told, and what the device calls them.
    other: BTreeMap<u16, u16>,
}

impl Tamper for DoesNotKnowDup {
    fn replaced(&mut self, from: Place, datagram: &[u8]) -> Option<Vec<u8>> {
        match message(datagram)? {
            Message::Publish(publish) if publish.qos == Qos::Two => {
                if self.seen.insert((from, publish.msg_id)) {
                    return None;
                }
                let msg_id = 60_000 + self.other.len() as u16;
                self.other.insert(msg_id, publish.msg_id);
                Some(bytes(&Message::Publish(Publish { msg_id, ..publish })))
            }
            Message::PubRel { msg_id } => {
                self.seen.remove(&(from, msg_id));
                None
            }
            _ => None,
        }
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (_, datagram) in datagrams {
            if let Some(Message::PubRec { msg_id }) = message(datagram)
                && let Some(own) = self.other.get(&msg_id)
            {
                *datagram = bytes(&Message::PubRec { msg_id: *own });
            }
        }
    }
}

#[test]
fn a_repeated_publish_that_is_forwarded_again_is_found() {
    is_found_in(Weather::Lossy, DoesNotKnowDup::default, &["QoS 2 more than once"]);
}

/// Takes a goodbye for a nap, and the device for lost when it oversleeps.
struct MissesGoodbyes;

impl Tamper for MissesGoodbyes {
    fn replaced(&mut self, _: Place, datagram: &[u8]) -> Option<Vec<u8>> {
        let bye = matches!(message(datagram)?, Message::Disconnect { duration: None });
        bye.then(|| bytes(&Message::Disconnect { duration: Some(1) }))
    }
}

#[test]
fn a_will_after_a_goodbye_is_found() {
    is_found_in(Weather::Calm, || MissesGoodbyes, &["is published, but sensor"]);
}

/// Holds the dialogue and keeps nothing of it.
#[derive(Default)]
struct ForgetsWills(BTreeSet<Place>);

impl Tamper for ForgetsWills {
    fn incoming(&mut self, from: Place, datagram: &[u8], forged: &mut Vec<Datagram>) -> bool {
        let answer = match message(datagram) {
            Some(Message::WillTopic(_)) => Message::WillMsgReq,
            Some(Message::WillMsg { .. }) => Message::ConnAck { code: ReturnCode::ACCEPTED },
            _ => return true,
        };
        self.0.remove(&from);
        forged.push((from, bytes(&answer)));
        false
    }

    fn replaced(&mut self, from: Place, datagram: &[u8]) -> Option<Vec<u8>> {
        match message(datagram)? {
            Message::Connect(connect) if connect.will => {
                self.0.insert(from);
                Some(bytes(&Message::Connect(Connect { will: false, ..connect })))
            }
            _ => None,
        }
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (to, datagram) in datagrams {
            if matches!(message(datagram), Some(Message::ConnAck { .. })) && self.0.contains(to) {
                *datagram = bytes(&Message::WillTopicReq);
            }
        }
    }
}

#[test]
fn a_will_that_never_comes_is_found() {
    is_found_in(Weather::Calm, ForgetsWills::default, &["was not published"]);
}

/// Knows where a client was before, and delivers there.
#[derive(Default)]
struct Nostalgic {
    at: BTreeMap<Vec<u8>, Place>,
    before: BTreeMap<Place, Place>,
}

impl Tamper for Nostalgic {
    fn incoming(&mut self, from: Place, datagram: &[u8], _: &mut Vec<Datagram>) -> bool {
        if let Some(Message::Connect(connect)) = message(datagram)
            && let Some(old) = self.at.insert(connect.client_id.to_vec(), from)
            && old != from
        {
            self.before.insert(from, old);
        }
        true
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (to, datagram) in datagrams {
            if let (Some(old), Some(Message::Publish(_))) = (self.before.get(to), message(datagram))
            {
                *to = *old;
            }
        }
    }
}

#[test]
fn a_message_to_the_former_address_is_found() {
    is_found_in(Weather::Roaming, Nostalgic::default, &["an address without a connection"]);
}
