//! Listens on the connection between gateway and broker, and books what crosses it: whatever the
//! broker forgets afterwards, here it is seen what the gateway has promised and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::frames::{Frame, kind};
use crate::ledger::{Flow, Ledger};

/// Who said it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    Gateway,
    Broker,
}

/// The gateway's MQTT session, seen from outside.
pub struct Tap {
    ledger: Arc<Ledger>,
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    /// Protocol level of the connection.
    level: u8,
    /// Exchanges that are not over, by who publishes and packet id. They outlive the connection.
    open: BTreeMap<(bool, u16), (Flow, u32)>,
    /// How often the broker had forgotten the session.
    forgotten: u32,
}

/// What has come on a connection from one side and is not a whole packet yet.
pub struct Ear {
    side: Side,
    input: Vec<u8>,
}

impl Ear {
    pub fn new(side: Side) -> Self {
        Self { side, input: Vec::new() }
    }
}

impl Tap {
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, session: Mutex::default() }
    }

    /// How often the broker said that it does not know the session.
    pub fn forgotten(&self) -> u32 {
        self.session.lock().unwrap().forgotten
    }

    /// To be told before the octets go on, so that a message is booked here before it comes out.
    pub fn hear(&self, ear: &mut Ear, octets: &[u8]) {
        ear.input.extend_from_slice(octets);
        while let Some(frame) = Frame::take(&mut ear.input) {
            self.frame(ear.side, &frame);
        }
    }

    fn frame(&self, side: Side, frame: &Frame) {
        let mut session = self.session.lock().unwrap();
        let from_gateway = side == Side::Gateway;
        self.remember(&session, side, frame);
        match frame.kind() {
            kind::CONNECT => session.level = frame.body[6],
            kind::CONNACK if frame.body[1] == 0 && frame.body[0] & 1 == 0 => {
                session.open.clear();
                session.forgotten += 1;
            }
            kind::PUBLISH => {
                let publish = frame.publish(session.level);
                // What the gateway publishes about itself is not ours.
                let Some(message) = Flow::parse(&publish.payload) else { return };
                if publish.qos > 0 {
                    // A packet id whose exchange is not over may still name another message: a
                    // broker that was restarted counts anew.
                    let before = session.open.insert((from_gateway, publish.packet_id), message);
                    if before == Some(message) {
                        return;
                    }
                }
                self.ledger.crossed(message.0, message.1);
            }
            // After PUBREL the message must not be sent again. mosquitto does, when it was stopped
            // before PUBCOMP came; then it has begun anew.
            kind::PUBREL => {
                session.open.remove(&(from_gateway, frame.packet_id()));
            }
            // An acknowledgement of a message that the other side has published.
            kind::PUBACK | kind::PUBREC if !frame.refuses() => {
                let key = (!from_gateway, frame.packet_id());
                let Some((flow, number)) = session.open.get(&key).copied() else { return };
                self.ledger.taken(flow, number);
                if frame.kind() == kind::PUBACK {
                    session.open.remove(&key);
                }
            }
            kind::PUBACK | kind::PUBREC | kind::PUBCOMP => {
                session.open.remove(&(!from_gateway, frame.packet_id()));
            }
            _ => {}
        }
    }

    /// For the story of the message.
    fn remember(&self, session: &Session, side: Side, frame: &Frame) {
        let (name, publisher) = match frame.kind() {
            kind::CONNACK => ("CONNACK", None),
            kind::PUBLISH => ("PUBLISH", None),
            kind::PUBACK => ("PUBACK", Some(side == Side::Broker)),
            kind::PUBREC => ("PUBREC", Some(side == Side::Broker)),
            kind::PUBREL => ("PUBREL", Some(side == Side::Gateway)),
            kind::PUBCOMP => ("PUBCOMP", Some(side == Side::Broker)),
            _ => return,
        };
        let (message, id) = match publisher {
            Some(publisher) => {
                let id = frame.packet_id();
                (session.open.get(&(publisher, id)).copied(), id)
            }
            None if frame.kind() == kind::PUBLISH => {
                let publish = frame.publish(session.level);
                (Flow::parse(&publish.payload), publish.packet_id)
            }
            None => {
                let present = frame.body[0] & 1;
                self.ledger.event(None, format!("{side:?}: CONNACK, session present {present}"));
                return;
            }
        };
        let dup = if frame.head & 8 != 0 { " again" } else { "" };
        if message.is_some() {
            self.ledger.event(message, format!("{side:?}: {name} {id}{dup}"));
        }
    }
}
