//! The judge bites: a gateway that is made to lie, mix up or forget at its boundary is found out.

use std::collections::BTreeMap;

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos, ReturnCode, decode};

use crate::plan::Weather;
use crate::runner::live;
use crate::sensor::bytes;
use crate::tamper::{Datagram, Honest, Tamper};

mod connections;
mod disks;
mod links;
mod sleepers;

/// Seeds within which every sabotage must be found.
const SEEDS: u64 = 40;

/// Asserts that `sabotage` is found in a world that is sound without it, and that the words of the
/// verdict fit.
fn is_found_in<T: Tamper + 'static>(weather: Weather, sabotage: impl Fn() -> T, words: &[&str]) {
    let mut verdicts = Vec::new();
    for seed in 0..SEEDS {
        let Err(verdict) = live(seed, weather, Box::new(sabotage())) else { continue };
        let fits = words.iter().any(|word| verdict.contains(word));
        if fits && live(seed, weather, Box::new(Honest)).is_ok() {
            return;
        }
        verdicts.push(verdict);
    }
    panic!("not found, only: {verdicts:#?}");
}

fn is_found<T: Tamper + 'static>(sabotage: impl Fn() -> T, words: &[&str]) {
    is_found_in(Weather::Calm, sabotage, words);
}

/// The message of a datagram that is one.
fn message(datagram: &[u8]) -> Option<Message<'_>> {
    decode(datagram).ok().map(|packet| packet.message)
}

/// Acknowledges before the broker did.
struct EagerPubAck;

impl Tamper for EagerPubAck {
    fn incoming(&mut self, from: [u8; 2], datagram: &[u8], forged: &mut Vec<Datagram>) -> bool {
        if let Ok(Message::Publish(Publish { qos: Qos::One, topic, msg_id, .. })) =
            decode(datagram).map(|packet| packet.message)
        {
            let topic_id = match topic {
                PublishTopic::Normal(id) | PublishTopic::Predefined(id) => id,
                _ => 0,
            };
            let code = ReturnCode::ACCEPTED;
            forged.push((from, bytes(&Message::PubAck { topic_id, msg_id, code })));
        }
        true
    }
}

#[test]
fn a_puback_before_the_broker_answered_is_found() {
    is_found(|| EagerPubAck, &["is not acknowledged by the broker"]);
}

/// Acknowledges and loses the message.
struct LyingPubAck(EagerPubAck);

impl Tamper for LyingPubAck {
    fn incoming(&mut self, from: [u8; 2], datagram: &[u8], forged: &mut Vec<Datagram>) -> bool {
        self.0.incoming(from, datagram, forged);
        forged.is_empty()
    }
}

#[test]
fn a_message_that_is_acknowledged_and_lost_is_found() {
    is_found(|| LyingPubAck(EagerPubAck), &["is not acknowledged by the broker"]);
}

/// Every so often a PUBLISH goes to the next sensor.
#[derive(Default)]
struct WrongSensor(u32);

impl Tamper for WrongSensor {
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (to, datagram) in datagrams {
            if is_publish(datagram) {
                self.0 += 1;
                if self.0.is_multiple_of(7) {
                    to[0] = if to[0] == 0 { 1 } else { 0 };
                }
            }
        }
    }
}

#[test]
fn a_message_for_another_sensor_is_found() {
    let words = [
        "was never announced",
        "not for this sensor",
        "without a connection",
        "which nobody",
        "belongs to another topic",
    ];
    is_found(WrongSensor::default, &words);
}

/// Every so often a PUBLISH carries another topic id.
#[derive(Default)]
struct WrongTopic(u32);

impl Tamper for WrongTopic {
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        for (_, datagram) in datagrams {
            let Ok(Message::Publish(mut publish)) = decode(datagram).map(|packet| packet.message)
            else {
                continue;
            };
            if let PublishTopic::Normal(id) = &mut publish.topic {
                self.0 += 1;
                if self.0.is_multiple_of(5) {
                    *id ^= 1;
                    *datagram = bytes(&Message::Publish(publish));
                }
            }
        }
    }
}

#[test]
fn a_wrong_topic_id_is_found() {
    is_found(
        WrongTopic::default,
        &["was never announced", "belongs to another topic", "not acknowledged by the sensor"],
    );
}

/// PUBREL never reaches the gateway.
struct DeafToPubRel;

impl Tamper for DeafToPubRel {
    fn incoming(&mut self, _: [u8; 2], datagram: &[u8], _: &mut Vec<Datagram>) -> bool {
        !matches!(decode(datagram).map(|packet| packet.message), Ok(Message::PubRel { .. }))
    }
}

#[test]
fn a_swallowed_pubrel_is_found() {
    is_found(|| DeafToPubRel, &["no rest"]);
}

/// A QoS 2 message is delivered again under a new message id.
#[derive(Default)]
struct Twice(BTreeMap<u8, u16>);

impl Tamper for Twice {
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        let mut again = Vec::new();
        for (to, datagram) in datagrams.iter() {
            match decode(datagram).map(|packet| packet.message) {
                Ok(Message::Publish(publish)) if publish.qos == Qos::Two => {
                    let used = self.0.entry(to[0]).or_insert(60_000);
                    *used += 1;
                    let copy = Message::Publish(Publish { msg_id: *used, ..publish });
                    again.push((*to, bytes(&copy)));
                }
                _ => {}
            }
        }
        datagrams.extend(again);
    }
}

#[test]
fn a_second_delivery_at_qos_2_is_found() {
    is_found(Twice::default, &["a second exchange at once", "for the 2th time", "times at QoS 2"]);
}

/// A message of the gateway is dropped for good: every PUBLISH with an even message id.
struct Forgetful;

impl Tamper for Forgetful {
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        datagrams.retain(|(_, datagram)| {
            !matches!(
                decode(datagram).map(|packet| packet.message),
                Ok(Message::Publish(publish)) if publish.qos == Qos::Zero
            )
        });
    }
}

#[test]
fn a_lost_delivery_at_qos_0_on_a_calm_day_is_found() {
    is_found(|| Forgetful, &["was not sent to sensor"]);
}

fn is_publish(datagram: &[u8]) -> bool {
    matches!(decode(datagram).map(|packet| packet.message), Ok(Message::Publish(_)))
}
