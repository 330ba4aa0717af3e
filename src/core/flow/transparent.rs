//! Clients with a connection of their own (transparent mode): each is a client of the broker under its
//! own id, and the broker keeps its session and its will.
//!
//! ```text
//! client                         gateway                       broker
//! CONNECT …                ──▶            CONNECT        ──▶   under the client's id, with its will
//!                                                        ◀──   CONNACK
//!                          ◀──   CONNACK
//! DISCONNECT               ──▶            DISCONNECT     ──▶
//! (silence)                               (closed)       ──▶   publishes the will
//! WILLTOPICUPD, WILLMSGUPD ──▶            DISCONNECT     ──▶
//!                                         CONNECT        ──▶   with the new will
//! ```
//!
//! The gateway keeps the connection alive, whatever the client's keep-alive or sleep. When it is lost,
//! the client need not know: it is made again, and meanwhile the gateway does what it does for the others
//! while the broker is away.

use alloc::boxed::Box;

use crate::codec::{Message, ReturnCode};
use crate::core::client::{Client, Dialogue, State};
use crate::core::effects::Effect;
use crate::core::flow::About;
use crate::core::gateway::{Cx, Gateway};
use crate::core::hashing::stable_hash;
use crate::core::lines::{LineState, Told};
use crate::core::notice::Loss;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::core::upstream::{LineId, LineSetup, WillSetup};

/// Most clients that wait for the broker's CONNACK at once.
const MAX_OPENING: u32 = 5_000;

impl Gateway {
    /// Which connection is to serve the client in a slot, by its rule.
    pub(crate) fn line_for(&self, id: &str, rule: u16, slot: u32) -> LineId {
        let rule = self.settings.rules.get(usize::from(rule));
        let own = rule.and_then(|rule| rule.transparent).unwrap_or(self.settings.transparent);
        if own { LineId::own(slot) } else { self.shared_line(id) }
    }

    /// Gives a client the connection that the rules say. If that is another one than it had, its
    /// session there ends.
    pub(crate) fn assign_line(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let line = self.line_for(&client.id, client.rule, handle.slot);
        let before = client.line;
        if line == before && (!line.is_own() || self.lines.get(line).is_some()) {
            return;
        }
        if line != before {
            self.close_line(cx, handle, false);
            self.clear_session(cx, handle);
        }
        if line.is_own() {
            self.lines.add(handle.slot);
        }
        if let Some(client) = self.clients.get_mut(handle) {
            client.line = line;
        }
    }

    /// The client has said all that belongs to its CONNECT. `resumed`: its session goes on.
    pub(crate) fn let_in(&mut self, cx: &mut Cx<'_>, handle: Handle, resumed: bool) {
        let Some(client) = self.clients.get(handle) else { return };
        let line = client.line;
        if !line.is_own() {
            return self.accept(cx, handle, resumed);
        }
        let told = told(client);
        let known = self.lines.at(line);
        let same = known.state == LineState::Open && known.told == Some(told);
        if same && known.accepted && resumed {
            // As it is; if the broker is away at the moment, the client need not know.
            return self.accept(cx, handle, resumed);
        }
        // What the broker is asked already need not be said again.
        let asked = same && !known.accepted;
        if client.state != State::Connecting && self.handshakes >= MAX_OPENING {
            self.limit_reached(cx, Some(handle), Limit::Handshakes);
            let why = "too many clients wait for the broker";
            return self.refuse_admission(cx, handle, ReturnCode::CONGESTION, why);
        }
        self.set_state(handle, State::Connecting);
        let deadline = cx.now.after(self.settings.broker_patience);
        if let Some(client) = self.clients.get_mut(handle) {
            let dialogue = Dialogue { broker: true, ..Dialogue::new(deadline, resumed) };
            client.busy.dialogue = Some(Box::new(dialogue));
        }
        if !asked {
            self.open_line(cx, handle);
            self.lines.at_mut(line).accepted = false;
        }
        self.rearm(handle);
    }

    /// Has the connection made, or made anew with what the client says now.
    fn open_line(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let (line, told) = (client.line, told(client));
        let known = self.lines.at_mut(line);
        known.state = LineState::Open;
        known.told = Some(told);
        cx.fx.push(Effect::Open { line });
    }

    /// The client's will is another one: the broker is told, as far as it has one from it.
    pub(crate) fn renew_will(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let line = client.line;
        if line.is_own() && self.lines.at(line).told != Some(told(client)) {
            self.open_line(cx, handle);
        }
    }

    /// What the MQTT session of a client's own connection has to say to the broker.
    #[must_use]
    pub fn line_setup(&self, line: LineId) -> Option<LineSetup> {
        let client = self.clients.at(line.slot()?)?;
        let will = client.will.as_ref().filter(|_| client.state != State::Gone);
        Some(LineSetup {
            client_id: (&*client.id).into(),
            clean: client.print.clean,
            login: self.settings.rules.get(usize::from(client.rule)).and_then(|r| r.login.clone()),
            will: will.map(|will| {
                let prefix = self.policy(client).prefix.expand(&client.id);
                let topic = [&*prefix, &*will.topic].concat();
                let (qos, retain) = (will.qos, will.retain);
                WillSetup { topic: topic.into(), payload: will.message.clone(), qos, retain }
            }),
            wanted: client.state != State::Gone,
        })
    }

    /// Client id, and name of the link, of the client in a slot.
    #[must_use]
    pub fn origin(&self, slot: u32) -> Option<(&str, Option<&str>)> {
        let client = self.clients.at(slot)?;
        let link = client.place().and_then(|peer| self.link_name(peer.link()));
        Some((&client.id, link))
    }

    /// Number of the rule of the client whose connection it is.
    #[must_use]
    pub fn line_rule(&self, line: LineId) -> u16 {
        let client = line.slot().and_then(|slot| self.clients.at(slot));
        client.map_or(u16::MAX, |client| client.rule)
    }

    /// Own connections that are to be there after a restart: of clients that are connected, or have left
    /// something to be delivered.
    pub fn open_lines(&self) -> impl Iterator<Item = LineId> {
        let shut = |line: &LineId| self.lines.at(*line).state == LineState::Shut;
        self.lines.own_ids().filter(move |line| !shut(line))
    }

    /// The broker has accepted the connection: whoever waits for that is let in.
    pub(crate) fn on_line_accepted(&mut self, cx: &mut Cx<'_>, line: LineId) {
        let Some(handle) = line.slot().and_then(|slot| self.clients.handle_at(slot)) else {
            return;
        };
        if let Some(known) = self.lines.get_mut(line) {
            known.accepted = true;
        }
        let dialogue = self.clients.get(handle).and_then(|c| c.busy.dialogue.as_ref());
        if let Some(resumed) = dialogue.filter(|d| d.broker).map(|d| d.resumed) {
            self.accept(cx, handle, resumed);
        }
    }

    /// The connection was refused, or cannot be made. `never`: it is no use to try again.
    pub(crate) fn on_line_refused(&mut self, cx: &mut Cx<'_>, line: LineId, never: bool) {
        let Some(handle) = line.slot().and_then(|slot| self.clients.handle_at(slot)) else {
            return;
        };
        let dialogue = self.clients.get(handle).and_then(|c| c.busy.dialogue.as_ref());
        if dialogue.is_some_and(|dialogue| dialogue.broker) {
            let (code, why) = match never {
                true => {
                    (ReturnCode::NOT_SUPPORTED, "the broker refuses the connection (see the log)")
                }
                false => (ReturnCode::CONGESTION, "the broker cannot be reached, or is busy"),
            };
            return self.refuse_admission(cx, handle, code, why);
        }
        let there = self.clients.get(handle).is_some_and(|client| client.state != State::Gone);
        if never && there {
            // Somebody else has the client id, or it is not welcome any more.
            self.send(cx, handle, &Message::Disconnect { duration: None });
            self.lose(cx, handle, Loss::Barred);
        }
    }

    /// CONNACK with a refusal, for whoever waited for the broker.
    pub(crate) fn refuse_admission(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        code: ReturnCode,
        why: &'static str,
    ) {
        self.send(cx, handle, &Message::ConnAck { code });
        self.tell_refusal(cx, handle, "CONNECT", About::Nothing, code, why);
        if let Some(client) = self.clients.get_mut(handle).filter(|client| client.print.will) {
            // It came with this CONNECT, and there is no session that it belongs to.
            client.will = None;
        }
        self.leave(cx, handle);
    }

    /// The client has left: its connection ends, with a word, or without one so that the broker
    /// publishes the will. What the gateway has taken over from the client is delivered first.
    pub(crate) fn close_line(&mut self, cx: &mut Cx<'_>, handle: Handle, abort: bool) {
        let line = self.line_of(handle);
        let Some(known) = self.lines.get_mut(line).filter(|_| line.is_own()) else { return };
        known.told = None;
        known.accepted = false;
        if known.state == LineState::Open {
            known.state = LineState::Closing;
            cx.fx.push(Effect::Close { line, abort });
        }
    }

    /// Whether the client's connection has still something to do although the client has left.
    pub(crate) fn is_closing(&self, handle: Handle) -> bool {
        let line = self.line_of(handle);
        line.is_own() && self.lines.get(line).is_some_and(|l| l.state == LineState::Closing)
    }

    /// The connection is closed for good. Whoever was kept for its sake goes.
    pub(crate) fn on_line_closed(&mut self, cx: &mut Cx<'_>, line: LineId) {
        let Some(known) = self.lines.get_mut(line) else { return };
        if known.state != LineState::Closing {
            // The client has come back.
            return;
        }
        known.state = LineState::Shut;
        let Some(handle) = line.slot().and_then(|slot| self.clients.handle_at(slot)) else {
            return;
        };
        let Some(client) = self.clients.get(handle) else { return };
        if client.state == State::Gone && (client.print.clean || client.is_blank()) {
            self.clear_session(cx, handle);
            self.remove_client(cx, handle);
        }
    }
}

/// What the broker is to know of a client.
pub(crate) fn told(client: &Client) -> Told {
    let will = client.will.as_ref().map_or(0, |will| {
        let head = [will.qos as u8, u8::from(will.retain), 1];
        stable_hash(&[&head, will.topic.as_bytes(), &will.message]) | 1
    });
    Told { clean: client.print.clean, will }
}
