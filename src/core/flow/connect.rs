//! Connection set-up (MQTT-SN 1.2 §6.2).
//!
//! ```text
//! client                         gateway
//! CONNECT(Will)            ──▶
//!                          ◀──   WILLTOPICREQ     only with the Will flag
//! WILLTOPIC                ──▶                     will.rs
//!                          ◀──   WILLMSGREQ
//! WILLMSG                  ──▶
//!                          ◀──   CONNACK
//! ```

use alloc::boxed::Box;
use core::time::Duration;

use crate::codec::{Connect, Message, ReturnCode};
use crate::core::client::{Client, ConnectPrint, Dialogue, ExchangeStage, State};
use crate::core::effects::{Effect, Span};
use crate::core::gateway::{Cx, Gateway};
use crate::core::names;
use crate::core::notice::{Notice, Subject};
use crate::core::peer::PeerRef;
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::core::stats::{Drop, Limit};
use crate::store::record::Record;

/// ProtocolId of MQTT-SN 1.2 (§5.3.8).
const PROTOCOL_1_2: u8 = 0x01;

/// Within this time the same CONNECT from the same address, with nothing in between, is a
/// repetition: the CONNACK was lost.
const REPETITION: Duration = Duration::from_secs(60);

/// Within this time the same CONNECT is a repetition or an echo of the network whatever else was
/// heard: no client repeats itself so soon (T_retry, §7.2), and starting over would take from it
/// the subscriptions that it has just made.
const ECHO: Duration = Duration::from_secs(5);

/// How far apart the topic ids of two new sessions begin. A packet from the last life of a device
/// that is still under way then finds no topic, instead of another one.
pub(crate) const ID_STEP: u16 = 8;

/// Most will dialogues at once.
const MAX_HANDSHAKES: u32 = 1_000;

impl Gateway {
    pub(crate) fn on_connect(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerRef<'_>,
        bound: Option<Handle>,
        connect: &Connect<'_>,
    ) {
        if connect.protocol_id != PROTOCOL_1_2 {
            let why = "protocol id is not 1: this gateway speaks MQTT-SN 1.2";
            return refuse(cx, peer, connect, ReturnCode::NOT_SUPPORTED, why);
        }
        let Some(id) = names::client_id(connect.client_id, self.settings.max_client_id_length)
        else {
            let why = "client id is empty, too long (sessions.max_client_id_length) or not text";
            return refuse(cx, peer, connect, ReturnCode::NOT_SUPPORTED, why);
        };
        let Some(rule) = self.admit(cx, peer, id) else { return };
        let known = self.client_named(id);
        let print = ConnectPrint {
            will: connect.will,
            clean: connect.clean_session,
            duration: connect.duration,
        };
        if let Some(handle) = known
            && self.answer_repetition(cx, peer, handle, print)
        {
            return;
        }
        if let Some(handle) = known
            && let Err(why) = self.may_move(cx, handle, peer)
        {
            return refuse(cx, peer, connect, ReturnCode::CONGESTION, why);
        }
        if connect.will && self.handshakes >= MAX_HANDSHAKES {
            self.limit_reached(cx, known, Limit::Handshakes);
            return refuse(cx, peer, connect, ReturnCode::CONGESTION, "too many will dialogues");
        }
        if known.is_none() && !self.newcomers.allow(cx.now, peer.hash_with(&self.hasher)) {
            self.limit_reached(cx, None, Limit::Newcomers);
            let why = "too many new client ids from this address";
            return refuse(cx, peer, connect, ReturnCode::CONGESTION, why);
        }
        let former = bound.filter(|former| Some(*former) != known);
        let full = self.clients.len() as u64 >= u64::from(self.settings.max_clients);
        if known.is_none() && full && !former.is_some_and(|former| self.makes_way(former)) {
            self.limit_reached(cx, None, Limit::Clients);
            let why = "sessions.max_clients is reached";
            return refuse(cx, peer, connect, ReturnCode::CONGESTION, why);
        }
        if self.failing && known.is_none() && !connect.clean_session {
            self.limit_reached(cx, None, Limit::Store);
            let why = "the state directory cannot be written to, so no session can be kept";
            return refuse(cx, peer, connect, ReturnCode::CONGESTION, why);
        }
        if self.settings.durable {
            // Whoever says CONNECT waits for its answer and understands nothing else.
            let head = peer.head(cx.fx);
            cx.fx.push(Effect::Recall { link: peer.link, to: peer.address(), head });
        }
        let waking = known.and_then(|handle| self.clients.get(handle)).filter(|c| c.state.sleeps());
        let keep = !connect.clean_session
            || waking.is_some_and(|c| c.print.clean && self.settings.keep_session_on_wake);
        let slept = waking.is_some();
        // Another device took over this address without a goodbye of the former one.
        if let Some(former) = former {
            self.lose_address(cx, former);
        }
        let handle = match known {
            Some(handle) => {
                self.note_short_life(cx, handle);
                self.leave_address(cx, handle, peer);
                handle
            }
            None => {
                let mut client = Client::new(id, print, cx.now);
                client.topics.begin_at(self.next_offset);
                client.rule = rule;
                self.next_offset = self.wrapped(self.next_offset.saturating_add(ID_STEP));
                self.add_client(cx, client)
            }
        };
        self.bind(handle, peer);
        if !keep {
            self.clear_session(cx, handle);
        }
        let resumed = known.is_some() && keep;
        self.adopt(cx, handle, rule);
        self.assign_line(cx, handle);
        let profile = self.policies.get(rule).profile;
        let predefined = self.predefined.of_rule(rule);
        if self.clients.get(handle).is_some_and(|client| client.topics.len() > 0) {
            self.note(cx, &Record::Unconfirmed { slot: handle.slot });
        }
        self.mark(handle);
        if let Some(client) = self.clients.get_mut(handle) {
            client.profile = profile;
            client.predefined = predefined;
            client.topics.forget_confirmations();
            // Its message ids begin anew: no SUBSCRIBE of this connection is a repetition of one
            // that was answered in the last.
            if let Some(busy) = client.busy.get_mut() {
                busy.exchanges.retain(|e| matches!(e.stage, ExchangeStage::Waiting { .. }));
                busy.paused_until = None;
                busy.dialogue = None;
            }
            client.print = print;
            client.last_heard = cx.now;
            client.signal = cx.signal;
        }
        self.check_forms(cx, handle);
        if connect.will {
            self.set_state(handle, State::Connecting);
            let deadline = self.retry_at(cx.now, handle);
            if let Some(client) = self.clients.get_mut(handle) {
                let dialogue = Dialogue { slept, ..Dialogue::new(deadline, resumed) };
                client.busy.dialogue = Some(Box::new(dialogue));
            }
            self.prompt(cx, handle);
            self.rearm(handle);
        } else {
            self.let_in(cx, handle, resumed);
        }
    }

    /// Answers a repeated CONNECT (§6.13) without starting over. Nothing on the wire tells it from
    /// the CONNECT of a device that has restarted, except that such a one comes later or after
    /// other traffic.
    fn answer_repetition(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerRef<'_>,
        handle: Handle,
        print: ConnectPrint,
    ) -> bool {
        let Some(client) = self.clients.get_mut(handle) else { return false };
        let same_place = client.place().is_some_and(|bound| bound.as_ref() == peer);
        if !same_place || client.print != print {
            return false;
        }
        match client.state {
            State::Connecting => {
                client.last_heard = cx.now;
                client.signal = cx.signal;
                if client.busy.dialogue.as_ref().is_some_and(|dialogue| dialogue.broker) {
                    // It is the broker's turn.
                    self.stats.duplicates += 1;
                    return true;
                }
                if let Some(dialogue) = client.dialogue_mut() {
                    dialogue.tries = 1;
                    // Who says CONNECT waits for WILLTOPICREQ and understands nothing else. If it
                    // was an echo, WILLMSG still finds the topic.
                    dialogue.again = true;
                }
                self.stats.duplicates += 1;
                self.prompt(cx, handle);
                true
            }
            State::Active => {
                let age = cx.now.since(client.connected_at);
                if age >= ECHO && !(client.fresh && age < REPETITION) {
                    return false;
                }
                client.last_heard = cx.now;
                client.signal = cx.signal;
                // It may have been away: what it has not answered gets all its tries again.
                if let Some(outbound) = client.outbound_mut() {
                    outbound.tries = u8::from(!outbound.waits);
                }
                self.stats.duplicates += 1;
                self.say_connected(cx, handle);
                true
            }
            _ => false,
        }
    }

    /// A part of the will dialogue after its end. If nothing else was heard since, the CONNACK was
    /// lost, and the client repeats what it answers (§6.13).
    pub(crate) fn on_late_will(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        message: &Message<'_>,
        fresh: bool,
    ) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let recent = cx.now.since(client.connected_at) < REPETITION;
        if !(fresh && client.print.will && recent) {
            return self.drop_packet(Drop::OutOfOrder);
        }
        client.fresh = true;
        self.stats.duplicates += 1;
        // A WILLTOPIC with a topic is older than the WILLMSG that ended the dialogue.
        if !matches!(message, Message::WillTopic(Some(_))) {
            self.say_connected(cx, handle);
        }
    }

    /// CONNACK, which promises that the session is kept. If it turns out only now that nothing can be
    /// written, it is made all the same: whoever was refused would not be there any more.
    fn say_connected(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let accepted = Message::ConnAck { code: ReturnCode::ACCEPTED };
        self.promise(cx, handle, &accepted, Else::Same);
    }

    /// A known client connects anew: its old connection ends, cleanly as far as the will goes.
    fn leave_address(&mut self, cx: &mut Cx<'_>, handle: Handle, to: PeerRef<'_>) {
        let place = self.clients.get(handle).and_then(|client| client.place());
        if self.settings.durable
            && let Some(from) = place.map(|place| place.as_ref()).filter(|from| *from != to)
        {
            // What still waits to be written would reach nobody there, or somebody else.
            let head = from.head(cx.fx);
            cx.fx.push(Effect::Recall { link: from.link, to: from.address(), head });
        }
        self.note_move(cx, handle, to);
        self.set_state(handle, State::Gone);
    }

    /// The connection stands.
    pub(crate) fn accept(&mut self, cx: &mut Cx<'_>, handle: Handle, resumed: bool) {
        self.set_state(handle, State::Active);
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(busy) = client.busy.get_mut() {
            busy.dialogue = None;
        }
        client.connected_at = cx.now;
        client.last_heard = cx.now;
        client.public.set_lost(false);
        client.fresh = true;
        client.pinged = false;
        let (clean, keep_alive) = (client.print.clean, client.print.duration);
        self.mark(handle);
        self.say_connected(cx, handle);
        if let Some(client) = self.clients.get(handle)
            && let Some(peer) = client.place()
        {
            cx.fx.notice(|fx| Notice::Connected {
                client: fx.store(client.id.as_bytes()),
                at: fx.place(peer.as_ref()),
                keep_alive,
                clean,
                resumed,
            });
        }
        self.resume_delivery(cx, handle);
        self.rearm(handle);
    }
}

fn refuse(
    cx: &mut Cx<'_>,
    peer: PeerRef<'_>,
    connect: &Connect<'_>,
    code: ReturnCode,
    why: &'static str,
) {
    peer.send(None, &Message::ConnAck { code }, cx.fx);
    cx.fx.notice(|fx| Notice::Refused {
        client: fx.store(&[]),
        at: fx.place(peer),
        operation: "CONNECT",
        subject: Subject::Text(fx.store(connect.client_id.get(..64).unwrap_or(connect.client_id))),
        code,
        why,
        rule: Span::default(),
    });
}
