//! Keep-alive (MQTT-SN 1.2 §6.11). The gateway answers by itself (§24.24 of common practice: the
//! broker's view of the connection is the gateway's own business).

use crate::codec::Message;
use crate::core::client::State;
use crate::core::gateway::{Cx, Gateway};
use crate::core::slots::Handle;

impl Gateway {
    /// PINGREQ from the address of a client. With a foreign client id it is no proof of anything: the
    /// sender is told to connect, and nobody's state changes.
    pub(crate) fn on_pingreq(&mut self, cx: &mut Cx<'_>, handle: Handle, client_id: &[u8]) {
        let Some(client) = self.clients.get(handle) else { return };
        if client_id.is_empty() || client_id == client.id.as_bytes() {
            return match client.state {
                // Some clients omit their id when they wake.
                State::Asleep => self.wake(cx, handle),
                State::Awake => self.wake_again(cx, handle),
                _ => self.send(cx, handle, &Message::PingResp),
            };
        }
        if let Some(peer) = client.place().cloned() {
            self.dismiss(cx, peer.as_ref(), "PINGREQ with a foreign client id");
        }
    }
}
