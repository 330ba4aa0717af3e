//! What a gateway can get wrong about sleeping devices.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_sn_gateway::codec::{Message, Publish, Qos, ReturnCode};

use super::{is_found_in, message};
use crate::plan::Weather;
use crate::sensor::bytes;
use crate::tamper::{Datagram, Tamper};

type Place = [u8; 2];

/// Says good night, and goes on delivering.
struct NeverLetsSleep;

impl Tamper for NeverLetsSleep {
    fn incoming(&mut self, from: Place, datagram: &[u8], forged: &mut Vec<Datagram>) -> bool {
        let sleep = matches!(message(datagram), Some(Message::Disconnect { duration: Some(_) }));
        if sleep {
            forged.push((from, bytes(&Message::Disconnect { duration: None })));
        }
        !sleep
    }
}

#[test]
fn a_delivery_outside_the_window_is_found() {
    is_found_in(Weather::Naps, || NeverLetsSleep, &["outside its window"]);
}

/// PINGRESP at once, whatever is still to come.
#[derive(Default)]
struct HastyPingResp(BTreeSet<Place>);

impl Tamper for HastyPingResp {
    fn incoming(&mut self, from: Place, datagram: &[u8], forged: &mut Vec<Datagram>) -> bool {
        if let Some(Message::PingReq { client_id }) = message(datagram)
            && !client_id.is_empty()
        {
            forged.push((from, bytes(&Message::PingResp)));
            self.0.insert(from);
        }
        true
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        datagrams.retain(|(to, datagram)| {
            !(self.0.contains(to) && matches!(message(datagram), Some(Message::PingResp)))
        });
    }
}

#[test]
fn a_pingresp_before_the_last_acknowledgement_is_found() {
    let words = ["PINGRESP with a message in flight", "PINGRESP while message"];
    is_found_in(Weather::Naps, HastyPingResp::default, &words);
}

/// What waited for a sleeper is gone when it wakes by CONNECT: the broker hears that it was delivered.
#[derive(Default)]
struct ForgetsAtWake {
    asleep: BTreeSet<Place>,
    /// Messages that are still to be forgotten.
    woken: BTreeMap<Place, u32>,
    injected: Vec<Datagram>,
}

impl Tamper for ForgetsAtWake {
    fn incoming(&mut self, from: Place, datagram: &[u8], _: &mut Vec<Datagram>) -> bool {
        match message(datagram) {
            Some(Message::Disconnect { duration: Some(_) }) => {
                self.asleep.insert(from);
            }
            Some(Message::Connect(_)) if self.asleep.remove(&from) => {
                self.woken.insert(from, 3);
            }
            _ => {}
        }
        true
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        datagrams.retain(|(to, datagram)| {
            let Some(left) = self.woken.get_mut(to).filter(|left| **left > 0) else { return true };
            let answer = match message(datagram) {
                Some(Message::Publish(Publish { qos: Qos::One, msg_id, .. })) => {
                    *left -= 1;
                    Message::PubAck { topic_id: 0, msg_id, code: ReturnCode::ACCEPTED }
                }
                _ => return true,
            };
            self.injected.push((*to, bytes(&answer)));
            false
        });
    }

    fn injected(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.injected)
    }
}

#[test]
fn a_queue_that_is_forgotten_at_wake_is_found() {
    let words = ["never got message", "is acknowledged to the broker before"];
    is_found_in(Weather::Naps, ForgetsAtWake::default, &words);
}

/// Before each PINGRESP it delivers once more what the device has acknowledged last.
#[derive(Default)]
struct DoubtsAcknowledgements {
    /// QoS 1 messages under way, and the last one that was acknowledged.
    sent: BTreeMap<(Place, u16), Vec<u8>>,
    done: BTreeMap<Place, Vec<u8>>,
    again: VecDeque<u16>,
}

impl Tamper for DoubtsAcknowledgements {
    fn incoming(&mut self, from: Place, datagram: &[u8], _: &mut Vec<Datagram>) -> bool {
        if let Some(Message::PubAck { msg_id, code: ReturnCode::ACCEPTED, .. }) = message(datagram)
        {
            if self.again.contains(&msg_id) {
                return false;
            }
            if let Some(publish) = self.sent.remove(&(from, msg_id)) {
                self.done.insert(from, publish);
            }
        }
        true
    }

    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        let mut changed = Vec::new();
        for (to, datagram) in std::mem::take(datagrams) {
            match message(&datagram) {
                Some(Message::Publish(publish)) if publish.qos == Qos::One => {
                    self.sent.insert((to, publish.msg_id), datagram.clone());
                }
                Some(Message::PingResp) => {
                    if let Some(done) = self.done.remove(&to)
                        && let Some(Message::Publish(publish)) = message(&done)
                    {
                        let msg_id = 60_000 + self.again.len() as u16;
                        self.again.push_back(msg_id);
                        let again = Publish { msg_id, ..publish };
                        changed.push((to, bytes(&Message::Publish(again))));
                    }
                }
                _ => {}
            }
            changed.push((to, datagram));
        }
        *datagrams = changed;
    }
}

#[test]
fn a_message_delivered_again_after_its_puback_is_found() {
    is_found_in(Weather::Naps, DoubtsAcknowledgements::default, &["for the 2th time"]);
}
