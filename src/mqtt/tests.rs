//! The session against a broker of a few octets.

mod connection;
mod five;
mod hostile;
mod incoming;
mod outgoing;

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::{ConnectionError, Session, Settings, Version};
use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::time::Time;

/// An event without its borrow.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Event {
    Connected { present: bool, ids: bool, qos: MqttQos },
    Disconnected,
    Received(u64),
    Kept(u64),
    Wasted(String),
    Published(u64, Result<(), Refusal>),
    Subscribed(u64, Result<MqttQos, Refusal>),
    Unsubscribed(u64),
    Complaint(String),
    Message { delivery: Option<DeliveryId>, topic: String, payload: Vec<u8>, ids: Vec<u32> },
}

impl From<UpstreamEvent<'_>> for Event {
    fn from(event: UpstreamEvent<'_>) -> Self {
        match event {
            UpstreamEvent::Complaint { what, about, code, name, said } => {
                Self::Complaint(format!("{what} {about} {code:#x} {name} {said}"))
            }
            UpstreamEvent::Refused { .. } | UpstreamEvent::Closed => {
                panic!("that is not for a session to say")
            }
            UpstreamEvent::Connected { session_present, subscription_ids, maximum_qos } => {
                Self::Connected {
                    present: session_present,
                    ids: subscription_ids,
                    qos: maximum_qos,
                }
            }
            UpstreamEvent::Disconnected => Self::Disconnected,
            UpstreamEvent::Received { token } => Self::Received(token.0),
            UpstreamEvent::Kept { token } => Self::Kept(token.0),
            UpstreamEvent::Wasted { topic, .. } => Self::Wasted(topic.into()),
            UpstreamEvent::Published { token, outcome } => Self::Published(token.0, outcome),
            UpstreamEvent::Subscribed { token, outcome } => Self::Subscribed(token.0, outcome),
            UpstreamEvent::Unsubscribed { token } => Self::Unsubscribed(token.0),
            UpstreamEvent::Message { delivery, topic, payload, subscription_ids, .. } => {
                Self::Message {
                    delivery,
                    topic: topic.into(),
                    payload: payload.into(),
                    ids: subscription_ids.into(),
                }
            }
        }
    }
}

struct Client {
    session: Session,
    now: Time,
    events: Vec<Event>,
}

impl Client {
    fn new(settings: Settings) -> Self {
        Self { session: Session::new(settings, 0), now: Time(0), events: Vec::new() }
    }

    /// A client that is connected, with a session that was not there before.
    fn connected(settings: Settings) -> Self {
        let mut client = Self::new(settings);
        client.connect(false).unwrap();
        client.events.clear();
        client
    }

    fn connect(&mut self, present: bool) -> Result<(), ConnectionError> {
        self.session.open(self.now);
        let connect = self.sent();
        assert_eq!(connect[0], 0x10);
        match connect[8] {
            5 => self.input(&[0x20, 3, u8::from(present), 0, 0]),
            _ => self.input(&[0x20, 2, u8::from(present), 0]),
        }
    }

    fn reconnect(&mut self, present: bool) {
        self.close();
        self.connect(present).unwrap();
    }

    fn close(&mut self) {
        let events = &mut self.events;
        self.session.closed(self.now, &mut |event| events.push(event.into()));
    }

    fn input(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let events = &mut self.events;
        let mut input = BytesMut::from(bytes);
        let result =
            self.session.handle_input(self.now, &mut input, &mut |event| events.push(event.into()));
        assert!(result.is_err() || input.is_empty(), "left over: {input:02x?}");
        result
    }

    fn sent(&mut self) -> Vec<u8> {
        let output = self.session.output();
        let bytes = output.to_vec();
        output.advance(bytes.len());
        bytes
    }

    fn publish(&mut self, token: u64, qos: MqttQos) -> Result<(), Refusal> {
        self.session.publish(self.now, Token(token), "t", &[token as u8], qos, false)
    }

    /// All but what the broker says about its refusals.
    fn events(&mut self) -> Vec<Event> {
        self.events.retain(|event| !matches!(event, Event::Complaint(_)));
        std::mem::take(&mut self.events)
    }

    fn acknowledge(&mut self, delivery: DeliveryId) {
        self.session.acknowledge(self.now, delivery, false);
    }

    /// The one message that was reported, by its delivery.
    fn delivery(&mut self) -> DeliveryId {
        match &self.events()[..] {
            [Event::Message { delivery: Some(delivery), .. }] => *delivery,
            other => panic!("{other:?}"),
        }
    }
}

fn v4() -> Settings {
    Settings { version: Version::V311, clean_start: false, ..Settings::default() }
}

fn v5() -> Settings {
    Settings { version: Version::V5, clean_start: false, ..Settings::default() }
}

/// Packet id of a PUBLISH to topic "t".
fn id(publish: &[u8]) -> [u8; 2] {
    [publish[5], publish[6]]
}
