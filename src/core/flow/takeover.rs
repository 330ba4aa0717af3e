//! Sessions that move: a client is its client id, and its address may change at any time (a NAT that
//! forgot it, another mesh router, another link). Who may move a session is policy.

use crate::core::client::{QUARREL, State};
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::Notice;
use crate::core::peer::PeerRef;
use crate::core::settings::Takeover;
use crate::core::slots::Handle;
use crate::core::stats::Limit;

/// So many moves of a connected client in [`QUARREL`] are still believed.
const MAX_MOVES: u8 = 4;

impl Gateway {
    /// Whether a CONNECT from `to` may have the client's session; the reason if not. Counts the move.
    pub(crate) fn may_move(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        to: PeerRef<'_>,
    ) -> Result<(), &'static str> {
        let takeover = self.settings.takeover;
        let Some(client) = self.clients.get_mut(handle) else { return Ok(()) };
        let Some(from) = client.peer.as_ref().filter(|from| from.as_ref() != to) else {
            return Ok(());
        };
        let in_use = matches!(client.state, State::Active | State::Connecting);
        match takeover {
            Takeover::Never => {
                return Err("sessions.takeover is \"never\", and its session is elsewhere");
            }
            Takeover::AsleepOrLost if in_use => {
                return Err(
                    "sessions.takeover is \"asleep-or-lost\", and it is connected elsewhere",
                );
            }
            _ => {}
        }
        if !in_use {
            return Ok(());
        }
        if client.busy.moves.count == 0 || cx.now.since(client.busy.moves.since) >= QUARREL {
            client.busy.moves.count = 0;
            client.busy.moves.since = cx.now;
        }
        if client.busy.moves.count < MAX_MOVES {
            client.busy.moves.count += 1;
            return Ok(());
        }
        let id = &client.id;
        cx.fx.notice(|fx| Notice::Contested {
            client: fx.store(id.as_bytes()),
            holder: fx.place(from.as_ref()),
            rival: fx.place(to),
        });
        self.limit_reached(cx, Some(handle), Limit::Takeovers);
        Err("two devices seem to have this client id")
    }

    /// PINGREQ with a client id from an address that no client has: a sleeping client that woke up
    /// somewhere else. Gives whether it was one.
    pub(crate) fn wake_elsewhere(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerRef<'_>,
        client_id: &[u8],
    ) -> bool {
        let Ok(id) = core::str::from_utf8(client_id) else { return false };
        let Some(handle) = self.client_named(id) else { return false };
        let Some(client) = self.clients.get(handle) else { return false };
        let back = client.peer.as_ref().is_some_and(|last| last.as_ref() == peer);
        if !client.state.sleeps() || (self.settings.takeover == Takeover::Never && !back) {
            return false;
        }
        // Another link may be subject to another rule.
        let Some(rule) = self.rule_at(peer, id) else { return false };
        self.note_move(cx, handle, peer);
        self.bind(handle, peer);
        self.adopt(cx, handle, rule);
        if let Some(client) = self.clients.get_mut(handle) {
            client.last_heard = cx.now;
            client.signal = cx.signal;
        }
        self.on_pingreq(cx, handle, client_id);
        true
    }

    /// Tells that a client is about to be somewhere else.
    pub(crate) fn note_move(&mut self, cx: &mut Cx<'_>, handle: Handle, to: PeerRef<'_>) {
        let Some(client) = self.clients.get(handle) else { return };
        let Some(from) = client.place().filter(|from| from.as_ref() != to) else { return };
        self.stats.moved += 1;
        let asleep = client.state.sleeps();
        cx.fx.notice(|fx| Notice::Moved {
            client: fx.store(client.id.as_bytes()),
            from: fx.place(from.as_ref()),
            to: fx.place(to),
            asleep,
        });
    }

    /// Whether [`Self::lose_address`] would leave nothing of this client.
    pub(crate) fn makes_way(&self, handle: Handle) -> bool {
        let client = self.clients.get(handle);
        client.is_some_and(|client| {
            !client.state.sleeps() && (client.print.clean || client.is_blank())
        })
    }

    /// Another client id came from this client's address without a goodbye of its own. If it sleeps,
    /// the address was given to another device meanwhile, as NATs do; it is found by its client id.
    /// Otherwise it is lost.
    pub(crate) fn lose_address(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        match self.clients.get(handle).map(|client| client.state) {
            Some(State::Asleep) => self.unbind(handle),
            Some(State::Awake) => {
                self.break_window(cx, handle);
                self.unbind(handle);
            }
            _ => self.lose(cx, handle, crate::core::notice::Loss::Replaced),
        }
    }
}
