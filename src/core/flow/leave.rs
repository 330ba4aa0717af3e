//! Ways out: DISCONNECT (MQTT-SN 1.2 §6.12), loss (§6.11), expiry; and strangers, who are told to
//! connect.

use core::time::Duration;

use crate::codec::Message;
use crate::core::client::{Client, State};
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::{Loss, Notice};
use crate::core::peer::PeerRef;
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::core::stats::{Drop, Limit};
use crate::store::record::Record;

impl Gateway {
    /// DISCONNECT of a known client: with a duration it goes to sleep, without it says goodbye. The
    /// will is not published.
    pub(crate) fn on_disconnect(&mut self, cx: &mut Cx<'_>, handle: Handle, duration: Option<u16>) {
        if let Some(duration) = duration.filter(|duration| *duration > 0) {
            return self.fall_asleep(cx, handle, duration);
        }
        self.promise(cx, handle, &Message::Disconnect { duration: None }, Else::Same);
        if let Some(client) = self.clients.get(handle) {
            let id = &client.id;
            cx.fx.notice(|fx| Notice::Disconnected { client: fx.store(id.as_bytes()) });
        }
        self.unbind(handle);
        if let Some(client) = self.clients.get_mut(handle) {
            // It gave its place up; the session may go on anywhere.
            client.peer = None;
            client.public.set_lost(false);
        }
        self.leave(cx, handle);
    }

    /// A packet from an address without a client: DISCONNECT says that it has to connect again.
    /// Answers to nothing, and what is no request, are dropped in silence.
    pub(crate) fn on_stranger(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerRef<'_>,
        message: &Message<'_>,
    ) {
        self.drop_packet(Drop::Stranger);
        let request = matches!(
            message,
            Message::Register { .. }
                | Message::Publish(_)
                | Message::PubRel { .. }
                | Message::Subscribe(_)
                | Message::Unsubscribe { .. }
                | Message::PingReq { .. }
                | Message::Disconnect { .. }
                | Message::WillTopicUpd(_)
                | Message::WillMsgUpd { .. }
        );
        if !request {
            return;
        }
        self.dismiss(cx, peer, message.name());
    }

    /// DISCONNECT to somebody without a connection, at a limited rate.
    pub(crate) fn dismiss(&mut self, cx: &mut Cx<'_>, peer: PeerRef<'_>, packet: &'static str) {
        if !self.strangers.allow(cx.now, peer.hash_with(&self.hasher)) {
            if let Some(counter) = self.stats.limits.get_mut(Limit::Strangers as usize) {
                *counter += 1;
            }
            return;
        }
        peer.send(None, &Message::Disconnect { duration: None }, cx.fx);
        cx.fx.notice(|fx| Notice::Stranger { at: fx.place(peer), packet });
    }

    /// The client is lost: its will is published.
    pub(crate) fn lose(&mut self, cx: &mut Cx<'_>, handle: Handle, why: Loss) {
        if self.is_connecting(handle) {
            // It never was there.
            return self.leave(cx, handle);
        }
        self.stats.lost += 1;
        // The broker has the will of a client with its own connection.
        let own = self.line_of(handle).is_own();
        let has_will = self.clients.get(handle).is_some_and(|client| client.will.is_some());
        let will = if own { has_will } else { self.fire_will(cx, handle) };
        self.close_line(cx, handle, true);
        if let Some(client) = self.clients.get(handle) {
            let id = &client.id;
            cx.fx.notice(|fx| Notice::Lost { client: fx.store(id.as_bytes()), why, will });
        }
        if let Some(client) = self.clients.get_mut(handle) {
            client.public.set_lost(true);
        }
        self.leave(cx, handle);
    }

    /// The connection is over. A clean session ends with it, another is kept.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.set_state(handle, State::Gone);
        self.unbind(handle);
        self.close_line(cx, handle, false);
        let closing = self.is_closing(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(busy) = client.busy.get_mut() {
            busy.dialogue = None;
            busy.paused_until = None;
        }
        client.last_heard = cx.now;
        if client.print.clean {
            self.clear_session(cx, handle);
            // One whose connection is not done yet is kept until it is.
            return if closing { self.rearm(handle) } else { self.remove_client(cx, handle) };
        }
        self.stop_holding(cx, handle, self.settings.queue_qos0_messages);
        if !closing && self.clients.get(handle).is_some_and(Client::is_blank) {
            // Nothing that anybody could come back to.
            self.clear_session(cx, handle);
            return self.remove_client(cx, handle);
        }
        if let Some(client) = self.clients.get_mut(handle) {
            client.forget_old(cx.now, true);
        }
        self.rearm(handle);
    }

    /// Deletes what a session consists of: subscriptions, topic ids, will, exchanges, messages.
    pub(crate) fn clear_session(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.note(cx, &Record::Cleared { slot: handle.slot });
        self.mark(handle);
        self.drop_deliveries(cx, handle);
        self.drop_subscriptions(cx, handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.will = None;
        if let Some(busy) = client.busy.get_mut() {
            busy.publications = alloc::vec::Vec::new();
            busy.exchanges = alloc::vec::Vec::new();
        }
        client.waiting = 0;
        client.reuses_ids = false;
        for topic in client.topics.drain() {
            self.topics.release(topic);
        }
        let offset = client.topics.offset();
        let offset = self.wrapped(offset);
        if let Some(client) = self.clients.get_mut(handle) {
            client.topics.begin_at(offset);
        }
    }

    /// The client's timer fired: do what is due, and set it again.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.retry_dialogue(cx, handle);
        self.retry_outbound(cx, handle);
        self.end_pause(cx, handle);
        let Some(client) = self.clients.get(handle) else { return };
        let silent = cx.now.since(client.last_heard);
        let idle = self.settings.session_expiry;
        match client.state {
            State::Active => {
                let allowed =
                    client.allowed_silence(self.settings.keep_alive_tolerance_permille, idle);
                if allowed > Duration::ZERO && silent >= allowed {
                    self.lose(cx, handle, Loss::Silent { silent, allowed });
                }
            }
            // The link had no room for so long that it has gone back to sleep.
            State::Awake if client.lined_up && silent >= self.patience(handle) => {
                self.break_window(cx, handle);
            }
            State::Asleep => {
                let allowed = client.allowed_sleep(self.settings.sleep_tolerance_permille);
                let silent = cx.now.since(client.asleep_since());
                if silent >= allowed {
                    self.lose(cx, handle, Loss::Overslept { silent, allowed });
                }
            }
            State::Gone if idle > Duration::ZERO && silent >= idle => {
                self.forget_in_public(handle);
                self.clear_session(cx, handle);
                if self.is_closing(handle) {
                    // What it has left is still to be delivered, and goes when the spool says.
                    if let Some(client) = self.clients.get_mut(handle) {
                        client.last_heard = cx.now;
                    }
                } else {
                    cx.fx.notice(|fx| {
                        let client = self.clients.get(handle).map_or("", |client| &client.id);
                        Notice::Expired { client: fx.store(client.as_bytes()), after: silent }
                    });
                    self.remove_client(cx, handle);
                }
            }
            _ => {}
        }
        self.rearm_after(handle, cx.now);
    }
}
