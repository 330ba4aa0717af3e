//! Messages from the broker that wait for devices: kept once, however many wait for them.

use alloc::boxed::Box;

use super::slots::{Handle, Slots};
use super::topics::TopicRef;
use super::upstream::DeliveryId;

/// A message that at least one client waits for.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: TopicRef,
    pub(crate) payload: Box<[u8]>,
    /// Queue entries that refer to it.
    users: u32,
    /// Of these, the ones that the acknowledgement to the broker waits for.
    holders: u32,
    delivery: Option<DeliveryId>,
}

/// What became free by [`Messages::release`].
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Everybody who had to have the message has it: tell the broker.
    pub(crate) acknowledge: Option<DeliveryId>,
    /// The message itself is gone; its topic loses a user.
    pub(crate) topic: Option<TopicRef>,
}

/// All waiting messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    slots: Slots<Message>,
}

impl Messages {
    /// Lets go of the memory if nothing waits.
    pub(crate) fn give_back(&mut self) {
        self.slots.give_back();
    }

    /// Keeps a message; the caller holds a user of `topic` for it. It starts with one holding user,
    /// the caller itself, so that nothing is acknowledged while recipients are still being found;
    /// the caller releases it in the end.
    pub(crate) fn add(
        &mut self,
        topic: TopicRef,
        payload: &[u8],
        delivery: Option<DeliveryId>,
    ) -> Handle {
        let payload = payload.into();
        self.slots.insert(Message { topic, payload, users: 1, holders: 1, delivery })
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Message> {
        self.slots.get(handle)
    }

    /// One more queue entry; `held` if the broker's acknowledgement waits for it.
    pub(crate) fn share(&mut self, handle: Handle, held: bool) {
        if let Some(message) = self.slots.get_mut(handle) {
            message.users += 1;
            message.holders += u32::from(held);
        }
    }

    /// A queue entry stays, but the broker does not have to wait for it any longer.
    pub(crate) fn let_go(&mut self, handle: Handle) -> Option<DeliveryId> {
        let message = self.slots.get_mut(handle)?;
        message.holders = message.holders.saturating_sub(1);
        if message.holders == 0 { message.delivery.take() } else { None }
    }

    /// One queue entry less.
    pub(crate) fn release(&mut self, handle: Handle, held: bool) -> Released {
        let Some(message) = self.slots.get_mut(handle) else { return Released::default() };
        message.users = message.users.saturating_sub(1);
        let acknowledge = if held {
            message.holders = message.holders.saturating_sub(1);
            if message.holders == 0 { message.delivery.take() } else { None }
        } else {
            None
        };
        let topic =
            if message.users == 0 { self.slots.remove(handle).map(|m| m.topic) } else { None };
        Released { acknowledge, topic }
    }

    /// Number of messages kept.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
