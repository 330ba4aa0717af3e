//! The end of a session by the hand of an operator.

use crate::codec::{Message, ReturnCode};
use crate::core::Effects;
use crate::core::client::State;
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::Notice;
use crate::time::Time;

impl Gateway {
    /// Ends a client and its session: it is told DISCONNECT, its will is published as it is for whoever
    /// is lost, and subscriptions, topic ids and waiting messages are gone. A device that is alive
    /// connects again and begins anew; one that sleeps is told when it asks. Gives false if there is no
    /// such client.
    pub fn kick(&mut self, now: Time, id: &str, fx: &mut Effects) -> bool {
        let cx = &mut Cx::new(now, fx);
        let Some(handle) = self.client_named(id) else { return false };
        let state = self.clients.get(handle).map(|client| client.state);
        let mut will = false;
        match state {
            Some(State::Active | State::Awake) => {
                self.send(cx, handle, &Message::Disconnect { duration: None });
            }
            Some(State::Connecting) => {
                // It never was there; it is to try again.
                let code = ReturnCode::CONGESTION;
                self.send(cx, handle, &Message::ConnAck { code });
            }
            _ => {}
        }
        if let Some(State::Active | State::Awake | State::Asleep) = state {
            // The broker has the will of a client with its own connection.
            will = match self.line_of(handle).is_own() {
                true => self.clients.get(handle).is_some_and(|client| client.will.is_some()),
                false => self.fire_will(cx, handle),
            };
            self.close_line(cx, handle, true);
        }
        cx.fx.notice(|fx| Notice::Kicked { client: fx.store(id.as_bytes()), will });
        self.end_session(cx, handle);
        true
    }
}
