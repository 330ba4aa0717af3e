//! Connecting with the will dialogue, and disconnecting.
//!
//! ```text
//! client                       gateway
//! CONNECT (Will)         ──▶
//!                        ◀──   WILLTOPICREQ
//! WILLTOPIC              ──▶
//!                        ◀──   WILLMSGREQ
//! WILLMSG                ──▶
//!                        ◀──   CONNACK
//! …
//! DISCONNECT             ──▶
//!                        ◀──   DISCONNECT
//! ```

use super::{Client, Event, Loss, Phase};
use crate::codec::{Connect, Message, ReturnCode, WillTopic};
use crate::time::Time;

impl Client {
    /// Connects, or connects again. Requests that were not answered are repeated afterwards.
    pub fn connect(&mut self, now: Time) {
        self.connect_with(now, self.options.clean_session);
    }

    pub(super) fn connect_with(&mut self, now: Time, clean_session: bool) {
        let client_id = self.options.client_id.clone();
        let connect = Message::Connect(Connect {
            will: self.options.will.is_some(),
            clean_session,
            protocol_id: 1,
            duration: self.options.keep_alive,
            client_id: client_id.as_bytes(),
        });
        if clean_session {
            self.names.clear();
            self.received.clear();
            self.released.clear();
        }
        self.phase = Phase::Connecting;
        self.ping = None;
        self.awaited = self.await_answer(now, &connect);
        if self.awaited.is_none() {
            self.end(Event::Lost(Loss::Refused(ReturnCode::NOT_SUPPORTED)));
        }
    }

    /// Disconnects. What was asked for before and is not done is forgotten.
    pub fn disconnect(&mut self, now: Time) {
        self.requests.clear();
        self.ping = None;
        if self.phase == Phase::Idle {
            return;
        }
        self.phase = Phase::Disconnecting;
        self.awaited = self.await_answer(now, &Message::Disconnect { duration: None });
    }

    /// §6.3: the gateway asks for the will's topic.
    pub(super) fn on_will_topic_request(&mut self, now: Time) {
        if self.phase != Phase::Connecting {
            return;
        }
        let will = self.options.will.clone();
        let topic = will.as_ref().map(|will| WillTopic {
            qos: will.qos,
            retain: will.retain,
            topic: will.topic.as_bytes(),
        });
        self.awaited = self.await_answer(now, &Message::WillTopic(topic));
    }

    /// §6.3: the gateway asks for the will's message.
    pub(super) fn on_will_message_request(&mut self, now: Time) {
        if self.phase != Phase::Connecting {
            return;
        }
        let payload = self.options.will.as_ref().map(|will| will.payload.clone());
        let message = Message::WillMsg { message: payload.as_deref().unwrap_or(&[]) };
        self.awaited = self.await_answer(now, &message);
    }

    /// The gateway's answer to the whole dialogue.
    pub(super) fn on_connack(&mut self, now: Time, code: ReturnCode) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.awaited = None;
        if code == ReturnCode::ACCEPTED {
            self.phase = Phase::Connected;
            self.events.push_back(Event::Connected);
            self.continue_requests(now);
        } else {
            self.end(Event::Lost(Loss::Refused(code)));
        }
    }

    /// §6.12: the answer to ours, or the end of the connection.
    pub(super) fn on_disconnect(&mut self) {
        match self.phase {
            Phase::Disconnecting => self.end(Event::Disconnected),
            Phase::FallingAsleep => self.rest(Event::Asleep),
            Phase::Connected | Phase::Collecting => self.end(Event::Lost(Loss::Ended)),
            // A late answer from the connection before; CONNECT will be answered. Asleep, nothing
            // is heard.
            Phase::Idle | Phase::Connecting | Phase::Asleep => {}
        }
    }
}
