//! Keep-alive (MQTT-SN 1.2 §6.11). The gateway answers by itself (§24.24 of common practice: the
//! broker's view of the connection is the gateway's own business).

use crate::codec::Message;
use crate::core::client::State;
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::Notice;
use crate::core::slots::Handle;

/// Connections in a row that end when the first ping is due before it is said.
const SHORT_LIVES: u8 = 3;

impl Gateway {
    /// A connected client connects anew. RIOT's asymcute does not forget pings that failed in an
    /// earlier connection, and then ends each one when its first ping is due, after three quarters
    /// of the keep-alive; nobody would find that out from the device's side.
    pub(crate) fn note_short_life(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let keep_alive = client.print.duration;
        let age = cx.now.since(client.connected_at).as_secs();
        let due = u64::from(keep_alive) * 3 / 4;
        let slack = due / 16 + 1;
        let short = client.state == State::Active
            && !client.pinged
            && due > slack
            && age.abs_diff(due) <= slack;
        client.short_lives = if short { client.short_lives.saturating_add(1) } else { 0 };
        if client.short_lives >= SHORT_LIVES {
            client.short_lives = 0;
            let id = &client.id;
            cx.fx.notice(|fx| Notice::DropsAtPing { client: fx.store(id.as_bytes()), keep_alive });
        }
    }

    /// PINGREQ from the address of a client. With a foreign client id it is no proof of anything: the
    /// sender is told to connect, and nobody's state changes.
    pub(crate) fn on_pingreq(&mut self, cx: &mut Cx<'_>, handle: Handle, client_id: &[u8]) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.pinged = true;
        if client_id.is_empty() || client_id == client.id.as_bytes() {
            return match client.state {
                // Some clients omit their id when they wake.
                State::Asleep => self.wake(cx, handle),
                State::Awake => self.wake_again(cx, handle),
                _ => {
                    client.forget_old(cx.now, false);
                    self.send(cx, handle, &Message::PingResp);
                }
            };
        }
        if let Some(peer) = client.place().cloned() {
            self.dismiss(cx, peer.as_ref(), "PINGREQ with a foreign client id");
        }
    }
}
