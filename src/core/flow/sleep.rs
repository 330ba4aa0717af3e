//! Sleeping clients (MQTT-SN 1.2 §6.14).
//!
//! ```text
//! client                         gateway
//! DISCONNECT(duration)     ──▶
//!                          ◀──   DISCONNECT            asleep: messages wait
//! PINGREQ(client id)       ──▶                         awake: the window opens
//!                          ◀──   REGISTER, PUBLISH …   one message at a time
//! REGACK, PUBACK …         ──▶
//!                          ◀──   PINGRESP              asleep again: the window is shut
//! ```
//!
//! A window that the client does not see through ends without PINGRESP; what was not acknowledged
//! comes first in the next one. CONNECT ends the sleep (`connect.rs`).

use core::time::Duration;

use crate::codec::Message;
use crate::core::client::{Nap, OutboundStage, State};
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::Notice;
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::time::Time;

/// Messages that come in while a client collects are sent to it as well, for this long: it is there,
/// but has a battery. What waited when it woke is sent however long that takes.
const GENEROSITY: Duration = Duration::from_secs(60);

/// Windows in which a REGISTER may stay without an answer. A device that has no room for another
/// topic cannot say so (§6.10), and would never get anything else.
const REGISTER_WINDOWS: u8 = 3;

impl Nap {
    /// A message came in while the client is awake: whether it belongs to this window.
    pub(crate) fn admit(&mut self, now: Time) {
        if now.since(self.since) < GENEROSITY {
            self.promised = self.promised.saturating_add(1);
        }
    }
}

impl Gateway {
    /// DISCONNECT with a duration. Repeated, it is answered again, and the time begins anew.
    pub(crate) fn fall_asleep(&mut self, cx: &mut Cx<'_>, handle: Handle, duration: u16) {
        self.promise(cx, handle, &Message::Disconnect { duration: None }, Else::Same);
        let awake = self.clients.get(handle).is_some_and(|client| client.state == State::Awake);
        self.set_state(handle, State::Asleep);
        self.mark(handle);
        if awake {
            self.count_unanswered(cx, handle);
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.nap.duration = duration;
        client.nap.since = cx.now;
        // Whatever it asked for, it does not wait for the answer.
        for publication in client.publications_mut() {
            publication.muted = true;
        }
        for exchange in client.exchanges_mut() {
            exchange.muted = true;
        }
        client.forget_old(cx.now, true);
        cx.fx.notice(|fx| Notice::Asleep { client: fx.store(client.id.as_bytes()), duration });
        if !self.line_of(handle).is_own() {
            self.stop_holding(cx, handle, true);
        }
        self.rearm(handle);
    }

    /// PINGREQ of a sleeping client: it collects what waits for it.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        self.stats.wakes += 1;
        client.nap.since = cx.now;
        client.nap.promised = u32::try_from(client.busy.queue.len()).unwrap_or(u32::MAX);
        client.nap.collected = u32::from(client.busy.outbound.is_some());
        if client.busy.paused_until.is_some_and(|until| until <= cx.now) {
            client.busy.paused_until = None;
        }
        let paused = client.busy.paused_until.is_some();
        self.set_state(handle, State::Awake);
        if paused || self.is_stopped(handle) {
            return self.end_window(cx, handle);
        }
        self.resume_delivery(cx, handle);
        self.rearm(handle);
    }

    /// PINGREQ again while the client is awake: something was lost. What it has not acknowledged is
    /// sent once more; what it has is over.
    pub(crate) fn wake_again(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let deadline = self.retry_at(cx.now, handle);
        let enough = self.enough_registers(handle);
        let stopped = self.is_stopped(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(outbound) = client.outbound_mut() else {
            return self.pump(cx, handle);
        };
        if outbound.waits {
            // Nothing was sent that could have been lost.
            return;
        }
        // A PINGREQ that the network doubled, or that comes before an answer can have come, says
        // nothing about the REGISTER.
        let lately = outbound.deadline.since(cx.now) * 2 > deadline.since(cx.now);
        let due = (outbound.tries > 1 || !lately) && !stopped;
        if due && matches!(outbound.stage, OutboundStage::Register { .. }) {
            outbound.unanswered = outbound.unanswered.saturating_add(outbound.tries);
            if outbound.unanswered >= enough {
                let queued = outbound.queued;
                return self.give_up(cx, handle, queued, "the client does not answer REGISTER");
            }
        }
        outbound.tries = 1;
        if due {
            outbound.deadline = deadline;
        }
        self.repeat(cx, handle);
        self.rearm(handle);
    }

    /// Everything has been acknowledged, or the client wants no more: PINGRESP, and back to sleep.
    pub(crate) fn end_window(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.send(cx, handle, &Message::PingResp);
        self.set_state(handle, State::Asleep);
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.nap.since = cx.now;
        client.forget_old(cx.now, false);
        self.tell_collected(cx, handle);
        self.rearm(handle);
    }

    /// Says how a window went, unless nothing waited.
    fn tell_collected(&self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let messages = client.nap.collected;
        let waiting = client.busy.queue.len() + usize::from(client.busy.outbound.is_some());
        let left = u32::try_from(waiting).unwrap_or(u32::MAX);
        if messages > 0 || left > 0 {
            let id = &client.id;
            cx.fx.notice(|fx| {
                let client = fx.store(id.as_bytes());
                Notice::Collected { client, messages, left }
            });
        }
    }

    /// The client went back to sleep without acknowledging. What it was sent is kept for the next
    /// window, unless it has ignored its REGISTER often enough.
    pub(crate) fn break_window(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.stats.wakes_unfinished += 1;
        self.set_state(handle, State::Asleep);
        self.count_unanswered(cx, handle);
        if let Some(client) = self.clients.get_mut(handle) {
            client.nap.since = cx.now;
        }
        self.tell_collected(cx, handle);
        self.rearm(handle);
    }

    /// A window was broken off. If that left a REGISTER without an answer, and not for the first
    /// time, its message is given up.
    fn count_unanswered(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let enough = self.enough_registers(handle);
        if self.is_stopped(handle) {
            return;
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(outbound) = client.outbound_mut()
            && matches!(outbound.stage, OutboundStage::Register { .. })
        {
            outbound.unanswered = outbound.unanswered.saturating_add(outbound.tries);
            if outbound.unanswered >= enough {
                let queued = outbound.queued;
                self.give_up(cx, handle, queued, "the client does not answer REGISTER");
            }
        }
    }

    /// REGISTERs without an answer after which a message for a sleeping client is given up.
    fn enough_registers(&self, handle: Handle) -> u8 {
        self.policy_of(handle).retry_count.saturating_add(1).saturating_mul(REGISTER_WINDOWS)
    }
}
