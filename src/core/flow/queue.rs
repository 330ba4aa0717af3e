//! Messages waiting for a client: in order, bounded, and kept until it has acknowledged.

use crate::core::client::{Queued, State};
use crate::core::effects::Effect;
use crate::core::flow::Incoming;
use crate::core::gateway::{Cx, Gateway};
use crate::core::notice::Notice;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::core::upstream::MqttQos;
use crate::store::record::Record;

/// Messages waiting for one client that the broker's acknowledgement waits for. MQTT 3.1.1 brokers
/// have some twenty under way at once, for all clients together.
const MAX_HELD: u8 = 5;
/// The same by a connection of the client's own: what it sleeps over stays with the broker.
const MAX_HELD_OWN: u8 = 10;

impl Gateway {
    /// Queues a message for a client. `stored` is where the message is kept for all its recipients,
    /// made when the first of them needs it.
    pub(crate) fn enqueue(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        qos: MqttQos,
        name: &str,
        message: &Incoming<'_>,
        stored: &mut Option<Handle>,
    ) {
        let size = name.len().saturating_add(message.payload.len());
        if !self.make_room(cx, handle, size) {
            return self.abandoned(cx, handle, name.as_bytes(), qos, "its buffer is full");
        }
        let kept = match *stored {
            Some(kept) => kept,
            None => {
                let topic = self.topics.take(name);
                let kept = self.messages.add(topic, message.payload, message.delivery);
                self.messages.set_expiry(kept, message.expires);
                *stored.insert(kept)
            }
        };
        let Some(client) = self.clients.get_mut(handle) else { return };
        // For a device that is there the broker waits. For one that is away, or does not keep up, it
        // cannot: a few such would use up its window and stop everybody.
        let own = client.line.is_own();
        let there =
            matches!(client.state, State::Active | State::Connecting) && (own || !client.lined_up);
        let held = qos > MqttQos::Zero
            && (there || own && client.state.sleeps())
            && client.busy.outbound.as_ref().is_none_or(|outbound| outbound.tries <= 1)
            && client.held < if own { MAX_HELD_OWN } else { MAX_HELD }
            // Another form of it, under another name, is what the broker waits for.
            && message.delivery.is_some()
            // What has to arrive exactly once is recorded before it goes on: what the broker would send
            // again after a restart could not be told from what the client has had.
            && !(self.settings.durable && message.qos == MqttQos::Two);
        client.held += u8::from(held);
        self.messages.share(kept, held);
        if client.state == State::Awake {
            client.nap.admit(cx.now);
        }
        let (retain, recorded) = (message.retain, false);
        let mut queued = Queued { message: kept, qos, retain, held, recorded };
        if !held {
            // What came before it is to come before it after a restart, too.
            if self.settings.durable && qos > MqttQos::Zero {
                self.stop_holding(cx, handle, true);
            }
            self.record_waiting(cx, handle.slot, &mut queued);
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        client.busy.queue.push_back(queued);
        client.busy.queued_bytes = client.busy.queued_bytes.saturating_add(size);
        self.buffered += 1;
        self.buffered_bytes = self.buffered_bytes.saturating_add(size);
    }

    /// Whether one more message of `size` octets may wait for the client. Older QoS 0 messages give
    /// way, oldest first; QoS 1 and 2 never do.
    fn make_room(&mut self, cx: &mut Cx<'_>, handle: Handle, size: usize) -> bool {
        let mut told = false;
        loop {
            let Some(client) = self.clients.get(handle) else { return false };
            let policy = self.policy(client);
            let most = policy.max_buffered_bytes;
            let total = self.settings.max_buffered_bytes_total;
            let fits = client.busy.queue.len() < policy.max_buffered_messages as usize
                && client.busy.queued_bytes.saturating_add(size) <= most
                && self.buffered_bytes.saturating_add(size) <= total;
            if fits {
                return true;
            }
            let expendable =
                client.busy.queue.iter().position(|queued| queued.qos == MqttQos::Zero);
            // What can never fit pushes nothing out.
            let expendable = expendable.filter(|_| size <= most);
            if !told {
                told = true;
                self.limit_reached(cx, Some(handle), Limit::Buffer);
            }
            let Some(position) = expendable else { return false };
            let Some(client) = self.clients.get_mut(handle) else { return false };
            if let Some(queued) = client.busy.queue.remove(position) {
                // Nor does its place in this window go to one that came too late for it.
                if position < client.nap.promised as usize {
                    client.nap.promised = client.nap.promised.saturating_sub(1);
                }
                self.stats.abandoned += 1;
                self.leave_queue(cx, handle, queued);
            }
        }
    }

    /// Accounts for a message that has been taken out of a client's queue for good.
    pub(crate) fn leave_queue(&mut self, cx: &mut Cx<'_>, handle: Handle, queued: Queued) {
        if queued.recorded
            && let Some(message) = self.messages.get(queued.message)
        {
            let (slot, message) = (handle.slot, message.serial);
            self.note(cx, &Record::Dequeued { slot, message });
        }
        let size = self.messages.get(queued.message).map_or(0, |message| {
            self.topics.name(message.topic).len().saturating_add(message.payload.len())
        });
        if let Some(client) = self.clients.get_mut(handle) {
            if let Some(busy) = client.busy.get_mut() {
                busy.queued_bytes = busy.queued_bytes.saturating_sub(size);
            }
            client.held = client.held.saturating_sub(u8::from(queued.held));
        }
        self.buffered = self.buffered.saturating_sub(1);
        self.buffered_bytes = self.buffered_bytes.saturating_sub(size);
        self.release_message(cx, queued.message, queued.held);
    }

    /// One user of a message less; the last one that held it acknowledges it to the broker.
    pub(crate) fn release_message(&mut self, cx: &mut Cx<'_>, message: Handle, held: bool) {
        let released = self.messages.release(message, held);
        if let Some(delivery) = released.acknowledge {
            cx.fx.push(Effect::Acknowledge { delivery, wait: released.recorded });
        }
        if let Some(topic) = released.topic {
            self.topics.release(topic);
        }
    }

    /// Takes away everything that waits for a client.
    pub(crate) fn drop_deliveries(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let outbound = client.take_outbound();
        let queue = client.take_queue();
        if let Some(outbound) = outbound {
            self.leave_queue(cx, handle, outbound.queued);
        }
        for queued in queue {
            self.leave_queue(cx, handle, queued);
        }
    }

    /// The client is away but its session stays: its messages are kept, QoS 0 only if `keep_qos0`,
    /// and the broker waits for it no longer.
    pub(crate) fn stop_holding(&mut self, cx: &mut Cx<'_>, handle: Handle, keep_qos0: bool) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if client.held == 0 && keep_qos0 {
            return;
        }
        let queue = client.take_queue();
        let mut kept = alloc::collections::VecDeque::with_capacity(queue.len());
        let mut outbound = client.take_outbound();
        let expendable = |queued: &Queued| queued.qos == MqttQos::Zero && !keep_qos0;
        if outbound.as_ref().is_some_and(|outbound| expendable(&outbound.queued)) {
            let queued = outbound.take().map(|outbound| outbound.queued);
            if let Some(queued) = queued {
                self.leave_queue(cx, handle, queued);
            }
        }
        if let Some(outbound) = &mut outbound {
            self.let_go(cx, handle.slot, &mut outbound.queued);
        }
        for mut queued in queue {
            if expendable(&queued) {
                self.leave_queue(cx, handle, queued);
            } else {
                self.let_go(cx, handle.slot, &mut queued);
                kept.push_back(queued);
            }
        }
        if let Some(client) = self.clients.get_mut(handle) {
            if !kept.is_empty() || outbound.is_some() {
                client.busy.queue = kept;
                client.busy.outbound = outbound;
            }
            client.held = 0;
        }
    }

    fn let_go(&mut self, cx: &mut Cx<'_>, slot: u32, queued: &mut Queued) {
        if !core::mem::take(&mut queued.held) {
            return;
        }
        self.record_waiting(cx, slot, queued);
        if let Some(delivery) = self.messages.let_go(queued.message) {
            cx.fx.push(Effect::Acknowledge { delivery, wait: true });
        }
    }

    /// A message was given up: said, because at QoS 1 and 2 nothing may vanish in silence.
    pub(crate) fn abandoned(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        topic: &[u8],
        qos: MqttQos,
        why: &'static str,
    ) {
        self.stats.abandoned += 1;
        let Some(client) = self.clients.get(handle) else { return };
        cx.fx.notice(|fx| Notice::Abandoned {
            client: fx.store(client.id.as_bytes()),
            topic: fx.store(topic),
            qos: qos as u8,
            why,
        });
    }
}
