//! Sleeping, and waking to collect or to stay (MQTT-SN 1.2 §6.14).
//!
//! ```text
//! client                       gateway
//! DISCONNECT (duration)  ──▶
//!                        ◀──   DISCONNECT
//!       asleep
//! PINGREQ (client id)    ──▶
//!                        ◀──   REGISTER, PUBLISH … one at a time, acknowledged
//!                        ◀──   PINGRESP
//!       asleep
//! CONNECT                ──▶
//!                        ◀──   CONNACK, then what has waited
//! ```

use super::{Client, Event, Phase};
use crate::codec::Message;
use crate::time::Time;

impl Client {
    /// Says that we sleep for `seconds` at a time, and sleeps as soon as the gateway has answered
    /// ([`Event::Asleep`]). Requests that are not done wait until we are connected again. Nothing
    /// happens without a connection.
    ///
    /// To sleep for longer or shorter than said before, this may be called while asleep.
    pub fn sleep(&mut self, now: Time, seconds: u16) {
        if !self.has_session() {
            return;
        }
        self.ping = None;
        self.phase = Phase::FallingAsleep;
        // Without a duration it would be a goodbye.
        let duration = Some(seconds.max(1));
        self.awaited = self.await_answer(now, &Message::Disconnect { duration });
    }

    /// Wakes to collect what has waited; asleep again after [`Event::Collected`] or
    /// [`Event::NotCollected`]. Nothing happens unless asleep.
    pub fn collect(&mut self, now: Time) {
        if self.phase != Phase::Asleep {
            return;
        }
        let client_id = self.options.client_id.clone();
        self.phase = Phase::Collecting;
        let ping = Message::PingReq { client_id: client_id.as_bytes() };
        self.awaited = self.await_answer(now, &ping);
        if self.awaited.is_none() {
            self.rest(Event::NotCollected);
        }
    }

    /// Wakes to stay: connects and keeps the session, whatever [`super::Options::clean_session`]
    /// says. What has waited comes after [`Event::Connected`].
    pub fn wake(&mut self, now: Time) {
        self.connect_with(now, false);
    }

    /// Asleep from now on.
    pub(super) fn rest(&mut self, event: Event) {
        self.phase = Phase::Asleep;
        self.awaited = None;
        self.ping = None;
        self.events.push_back(event);
    }

    /// Whether messages are taken. The gateway may have sent some before it heard that we sleep.
    pub(super) fn hears(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::FallingAsleep | Phase::Collecting)
    }

    /// The answer to a PINGREQ of either kind.
    pub(super) fn on_ping_response(&mut self) {
        match self.phase {
            Phase::Collecting => self.rest(Event::Collected),
            _ => self.ping = None,
        }
    }

    /// While something comes there is no need to ask again: the wait for PINGRESP begins anew, and
    /// so do the tries.
    pub(super) fn stay_awake(&mut self, now: Time) {
        if let Some(ping) = &mut self.awaited {
            ping.due = now.after(ping.interval);
            ping.tries_left = self.options.retry_count;
        }
    }
}
