//! What a client answers to REGISTER and PUBLISH, and what happens when it does not.

use alloc::string::String;
use core::time::Duration;

use crate::codec::{Message, ReturnCode};
use crate::core::client::{NEVER, OutboundStage, Queued, State};
use crate::core::gateway::{Cx, Gateway};
use crate::core::names;
use crate::core::notice::{Loss, Notice};
use crate::core::slots::Handle;
use crate::core::stats::Drop;
use crate::core::upstream::MqttQos;
use crate::store::record::Record;

/// T_WAIT (§7.2): how long to leave a client alone that answered "congestion".
const T_WAIT: Duration = Duration::from_secs(5 * 60);

/// REGISTER for a QoS 1 or 2 message is repeated this many times as often as anything else, as long
/// as the client shows signs of life.
const PATIENCE: u8 = 4;

/// How often the time between two REGISTERs that stay unanswered is doubled.
const MAX_DOUBLINGS: u32 = 5;

/// "Invalid topic id" answers that one message gets corrected for.
const MAX_CORRECTIONS: u8 = 3;

impl Gateway {
    pub(crate) fn on_regack(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        topic_id: u16,
        msg_id: u16,
        code: ReturnCode,
    ) {
        let Some(client) = self.clients.get(handle) else { return };
        let position = match client.busy.outbound.as_deref() {
            Some(outbound) if outbound.msg_id == msg_id => match outbound.stage {
                OutboundStage::Register { position } => position as usize,
                _ => return self.drop_packet(Drop::Unexpected),
            },
            _ => return self.drop_packet(Drop::Unexpected),
        };
        // A refusal may come without the id; an acceptance of another id is not for us.
        if code == ReturnCode::ACCEPTED && self.id_at(&client.topics, position) != Some(topic_id) {
            return self.drop_packet(Drop::Unexpected);
        }
        match code {
            ReturnCode::ACCEPTED => self.set_confirmed(cx, handle, position),
            ReturnCode::CONGESTION => return self.pause(cx, handle),
            // §6.10: the client does not want this name. A wildcard subscription stays.
            _ => {
                if let Some(client) = self.clients.get_mut(handle)
                    && let Some(entry) = client.topics.get_mut(position)
                {
                    entry.refused = true;
                }
                self.note_topic(cx, handle, position);
            }
        }
        self.restart(cx, handle);
    }

    /// PUBACK: success at QoS 1, an error at any QoS. Matched by message id; some gateways and
    /// clients put 0 into the topic id.
    pub(crate) fn on_puback(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        topic_id: u16,
        msg_id: u16,
        code: ReturnCode,
    ) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let matching = client.busy.outbound.as_deref().filter(|outbound| {
            outbound.msg_id == msg_id
                && outbound.stage == OutboundStage::Publish
                && outbound.sent
                && (outbound.queued.qos == MqttQos::One || code != ReturnCode::ACCEPTED)
        });
        let Some(outbound) = matching.copied() else {
            if msg_id == 0 && code == ReturnCode::INVALID_TOPIC_ID {
                // An answer to QoS 0: the message is gone, the next one will be announced.
                return self.unconfirm_field(cx, handle, topic_id);
            }
            return self.drop_packet(Drop::Unexpected);
        };
        match code {
            ReturnCode::ACCEPTED => self.finish(cx, handle),
            ReturnCode::CONGESTION => self.pause(cx, handle),
            ReturnCode::INVALID_TOPIC_ID if outbound.corrections < MAX_CORRECTIONS => {
                let announces = client.profile().answers_register;
                if announces {
                    self.unconfirm_message(cx, handle, outbound.queued.message);
                }
                if let Some(client) = self.clients.get_mut(handle)
                    && let Some(outbound) = client.outbound_mut()
                {
                    outbound.corrections += 1;
                    outbound.tries = u8::from(!outbound.waits);
                }
                // It can only be told again by a SUBACK: until the next try it may subscribe.
                if announces {
                    self.restart(cx, handle);
                }
            }
            _ => self.give_up(cx, handle, outbound.queued, "the client rejected it"),
        }
    }

    pub(crate) fn on_pubrec(&mut self, cx: &mut Cx<'_>, handle: Handle, msg_id: u16) {
        let deadline = self.retry_at(cx.now, handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        match client.outbound_mut() {
            Some(outbound) if outbound.msg_id == msg_id && outbound.queued.qos == MqttQos::Two => {
                match outbound.stage {
                    OutboundStage::Publish if outbound.sent => {
                        outbound.stage = OutboundStage::Release;
                        outbound.waits = false;
                        outbound.tries = 1;
                        outbound.deadline = deadline;
                        self.note_outbound(cx, handle);
                    }
                    OutboundStage::Release => outbound.waits = false,
                    // It has not been sent.
                    OutboundStage::Register { .. } | OutboundStage::Publish => {
                        return self.drop_packet(Drop::Unexpected);
                    }
                }
                self.transmit(cx, handle);
                self.rearm(handle);
            }
            // Finished long ago on this side; the client gets to its end as well.
            _ => {
                self.drop_packet(Drop::Unexpected);
                self.send(cx, handle, &Message::PubRel { msg_id });
            }
        }
    }

    pub(crate) fn on_pubcomp(&mut self, cx: &mut Cx<'_>, handle: Handle, msg_id: u16) {
        let Some(client) = self.clients.get(handle) else { return };
        let expected = client.busy.outbound.as_deref().is_some_and(|outbound| {
            outbound.msg_id == msg_id && outbound.stage == OutboundStage::Release
        });
        if expected { self.finish(cx, handle) } else { self.drop_packet(Drop::Unexpected) }
    }

    /// Gives up the message in flight, and says so.
    pub(crate) fn give_up(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        queued: Queued,
        why: &'static str,
    ) {
        let topic = self.messages.get(queued.message).map(|message| message.topic);
        let name = String::from(topic.map_or("", |topic| self.topics.name(topic)));
        self.abandoned(cx, handle, name.as_bytes(), queued.qos, why);
        self.finish(cx, handle);
    }

    /// Records the QoS 2 message in flight: what the client is sent under its message id from now on is
    /// this one, or nothing.
    pub(crate) fn note_outbound(&self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let Some(outbound) = client.busy.outbound.as_deref() else { return };
        if outbound.queued.qos == MqttQos::Two
            && outbound.queued.recorded
            && let Some(message) = self.messages.get(outbound.queued.message)
        {
            let (slot, msg_id) = (handle.slot, outbound.msg_id);
            let released = outbound.stage == OutboundStage::Release;
            let message = message.serial;
            self.note(cx, &Record::Outbound { slot, message, msg_id, released });
        }
    }

    /// The message in flight has arrived, or was given up: on to the next.
    fn finish(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let outbound = self.clients.get_mut(handle).and_then(|client| client.take_outbound());
        if let Some(outbound) = outbound {
            self.leave_queue(cx, handle, outbound.queued);
        }
        self.pump(cx, handle);
    }

    /// Starts the message in flight again, from the naming of its topic on. A client that sleeps
    /// gets it when it wakes.
    pub(crate) fn restart(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if !client.state.listens() {
            return;
        }
        if let Some(outbound) = client.take_outbound() {
            // With the same message id, whatever is sent: a REGISTER under a new one would make a
            // second entry in the tables of some devices.
            self.start(cx, handle, *outbound);
        }
        self.pump(cx, handle);
    }

    /// After a new CONNECT: what was in flight goes on where the protocol lets it.
    pub(crate) fn resume_delivery(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let deadline = self.retry_at(cx.now, handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        match client.outbound_mut() {
            Some(outbound) if outbound.stage == OutboundStage::Release => {
                outbound.waits = false;
                outbound.tries = 1;
                outbound.began = cx.now;
                outbound.deadline = deadline;
                self.transmit(cx, handle);
            }
            Some(_) => self.restart(cx, handle),
            None => self.pump(cx, handle),
        }
    }

    /// The client's answer is overdue: repeat, or give it up.
    pub(crate) fn retry_outbound(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let deadline = self.retry_at(cx.now, handle);
        let retry_count = self.policy_of(handle).retry_count;
        let patience = self.patience(handle);
        let there = self.is_there(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        if !client.state.listens() || client.busy.paused_until.is_some() {
            return;
        }
        let awake = client.state == State::Awake;
        let (last_heard, keep_alive) = (client.last_heard, client.print.duration);
        let Some(outbound) = client.outbound_mut() else { return };
        if outbound.deadline > cx.now {
            return;
        }
        if self.is_stopped(handle) {
            if awake {
                // It does not listen for as long as that.
                return self.break_window(cx, handle);
            }
            // Nothing was sent, so nothing was left unanswered.
            if let Some(outbound) = self.clients.get_mut(handle).and_then(|c| c.outbound_mut()) {
                outbound.tries = 0;
                outbound.deadline = deadline;
            }
            return self.transmit(cx, handle);
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(outbound) = client.outbound_mut() else { return };
        if outbound.waits {
            // Nor was it here, and it has its turn when the link has room.
            outbound.deadline = deadline;
            return;
        }
        // A client that is heard from has only been unlucky with its REGACKs, or has no room for the
        // topic and cannot say so; at QoS 1 and 2 it is given the benefit of the doubt for longer.
        let registering = matches!(outbound.stage, OutboundStage::Register { .. });
        let patient = !awake
            && registering
            && outbound.queued.qos > MqttQos::Zero
            && last_heard > outbound.began;
        let tries = if patient { retry_count.saturating_mul(PATIENCE) } else { retry_count };
        let tries = tries.min(u8::MAX - 1);
        // Tries that had to wait for room may take longer than it listens.
        let listens = !awake || cx.now.since(last_heard) < patience;
        if listens && outbound.tries <= tries {
            outbound.tries += 1;
            outbound.deadline = deadline;
            // It may be gone: the broker's window is not for those.
            self.stop_holding(cx, handle, true);
            return self.repeat(cx, handle);
        }
        if awake {
            return self.break_window(cx, handle);
        }
        if !there {
            // The tries may have gone down with its connection: it has one more when it is back.
            outbound.deadline = deadline;
            return self.hold_back(cx, handle);
        }
        let (stage, tries, queued) = (outbound.stage, outbound.tries, outbound.queued);
        // Silent for longer than it promised to be, it is out of reach rather than out of room.
        let silent = cx.now.since(last_heard);
        let overdue = keep_alive > 0 && silent >= Duration::from_secs(keep_alive.into());
        let alive = last_heard > outbound.began && !overdue;
        match stage {
            // Some devices have no room for another topic and say nothing at all (§6.10 gives them
            // no way to): only this message is given up.
            OutboundStage::Register { .. } if alive => {
                self.give_up(cx, handle, queued, "the client does not answer REGISTER");
            }
            // Whether it is there or not its next ping will tell: a device that pings more seldom
            // than REGISTER is repeated must not be taken for lost over a topic.
            OutboundStage::Register { .. } => self.register_later(cx, handle),
            _ => {
                let to = if stage == OutboundStage::Publish { "PUBLISH" } else { "PUBREL" };
                self.lose(cx, handle, Loss::NoAnswer { to, tries });
            }
        }
    }

    /// Whether what is in flight is held back because nothing can be written.
    pub(crate) fn is_stopped(&self, handle: Handle) -> bool {
        let Some(client) = self.clients.get(handle).filter(|_| self.failing) else { return false };
        client.busy.outbound.as_deref().is_some_and(|outbound| {
            // The client may have been told the id by another answer since.
            let registers = matches!(outbound.stage, OutboundStage::Register { position }
                if !client.topics.get(position as usize).is_some_and(|topic| topic.confirmed));
            outbound.queued.qos == MqttQos::Two || (registers && !client.print.clean)
        })
    }

    /// REGISTER again, after a time that doubles.
    fn register_later(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let interval = self.retry_interval(handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(outbound) = client.outbound_mut() else { return };
        outbound.unanswered = outbound.unanswered.saturating_add(1);
        let doublings = u32::from(outbound.unanswered).min(MAX_DOUBLINGS);
        outbound.deadline = cx.now.after(interval * 2_u32.pow(doublings));
        self.repeat(cx, handle);
    }

    /// Leaves the client alone for T_WAIT; what was in flight is kept.
    fn pause(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let until = cx.now.after(T_WAIT);
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.busy.paused_until = Some(until);
        if let Some(outbound) = client.outbound_mut() {
            // The pause decides, not the retry interval.
            outbound.deadline = NEVER;
        }
        if client.state == State::Awake {
            return self.end_window(cx, handle);
        }
        self.rearm(handle);
    }

    pub(crate) fn end_pause(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if client.busy.paused_until.is_some_and(|until| until <= cx.now) {
            client.busy.paused_until = None;
            if client.state.listens() {
                self.resume_delivery(cx, handle);
            }
        }
    }

    /// The client does not know the id of this message's topic after all: next time by REGISTER,
    /// even if the topic is short or predefined.
    fn unconfirm_message(&mut self, cx: &mut Cx<'_>, handle: Handle, message: Handle) {
        let Some(topic) = self.messages.get(message).map(|message| message.topic) else { return };
        let name = String::from(self.topics.name(topic));
        self.unconfirm_topic(cx, handle, &name);
    }

    fn unconfirm_topic(&mut self, cx: &mut Cx<'_>, handle: Handle, name: &str) {
        if let Some(id) = self.predefined_in_use(handle, name)
            && let Some(client) = self.clients.get(handle)
        {
            let client = client.id.as_bytes();
            cx.fx.notice(|fx| {
                let topic = fx.store(name.as_bytes());
                Notice::UnknownPredefined { client: fx.store(client), id, topic }
            });
        }
        let Some((_, position)) = self.topic_id(cx, handle, name) else { return };
        if let Some(client) = self.clients.get_mut(handle)
            && let Some(entry) = client.topics.get_mut(position)
        {
            entry.normal_only = true;
            entry.confirmed = false;
        }
        self.note_topic(cx, handle, position);
    }

    /// The same by the topic field of a PUBACK, which does not say whether it is a normal id, a
    /// predefined one or a short name: the first that can have been meant.
    fn unconfirm_field(&mut self, cx: &mut Cx<'_>, handle: Handle, field: u16) {
        let Some(client) = self.clients.get(handle) else { return };
        let position = self.position_of(&client.topics, field);
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(position) = position
            && let Some(entry) = client.topics.get_mut(position)
            && core::mem::take(&mut entry.confirmed)
        {
            return self.note_topic(cx, handle, position);
        }
        let short = field.to_be_bytes();
        let client = self.clients.get(handle);
        let predefined = client.and_then(|client| self.predefined_topic(client, field));
        let predefined = predefined.map(|topic| self.topics.name(topic));
        let names = [predefined, names::topic_name(&short)].map(|name| name.map(String::from));
        for name in names.into_iter().flatten() {
            if self.is_subscribed(handle, &name) {
                return self.unconfirm_topic(cx, handle, &name);
            }
        }
    }
}
