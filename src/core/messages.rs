//! Messages from the broker that wait for devices: kept once, however many wait for them.

use alloc::boxed::Box;

use super::slots::{Handle, Slots};
use super::topics::TopicRef;
use super::upstream::Delivery;

/// A message that at least one client waits for.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: TopicRef,
    pub(crate) payload: Box<[u8]>,
    /// Names it in records; ascending.
    pub(crate) serial: u64,
    /// It has been recorded.
    pub(crate) recorded: bool,
    /// Somebody has the same under another name, in the records only.
    wait: bool,
    /// Queue entries that refer to it.
    users: u32,
    /// Of these, the ones that the acknowledgement to the broker waits for.
    holders: u32,
    delivery: Option<Delivery>,
}

/// What became free by [`Messages::release`].
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Everybody who had to have the message has it: tell the broker.
    pub(crate) acknowledge: Option<Delivery>,
    /// Somebody has it only in the records: these come first.
    pub(crate) recorded: bool,
    /// The message itself is gone; its topic loses a user.
    pub(crate) topic: Option<TopicRef>,
}

/// All waiting messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    slots: Slots<Message>,
    /// Serial number of the latest.
    serial: u64,
    /// Octets of all payloads.
    payload: usize,
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
        delivery: Option<Delivery>,
    ) -> Handle {
        let payload: Box<[u8]> = payload.into();
        self.serial = self.serial.saturating_add(1);
        self.payload = self.payload.saturating_add(payload.len());
        let (serial, recorded, wait) = (self.serial, false, false);
        let (users, holders) = (1, 1);
        let message = Message { topic, payload, serial, recorded, wait, users, holders, delivery };
        self.slots.insert(message)
    }

    /// Keeps a message of a former life; the caller holds a user of `topic` for it, and is a user of it.
    pub(crate) fn restore(&mut self, topic: TopicRef, payload: Box<[u8]>, serial: u64) -> Handle {
        self.serial = self.serial.max(serial);
        self.payload = self.payload.saturating_add(payload.len());
        let (recorded, wait, users, holders, delivery) = (true, false, 1, 0, None);
        let message = Message { topic, payload, serial, recorded, wait, users, holders, delivery };
        self.slots.insert(message)
    }

    /// Marks a message as recorded. Gives its serial number, and whether that is news.
    pub(crate) fn set_recorded(&mut self, handle: Handle) -> Option<(u64, bool)> {
        let message = self.slots.get_mut(handle)?;
        let news = !core::mem::replace(&mut message.recorded, true);
        Some((message.serial, news))
    }

    /// The same message waits under another name, as `other`: if that is recorded, the acknowledgement
    /// to the broker rests on the records too.
    pub(crate) fn set_sibling(&mut self, handle: Handle, other: Handle) {
        let recorded = self.slots.get(other).is_some_and(|other| other.recorded);
        if let Some(message) = self.slots.get_mut(handle) {
            message.wait |= recorded;
        }
    }

    /// Number of places in the table, for [`Self::at`].
    pub(crate) fn places(&self) -> u32 {
        self.slots.places()
    }

    /// Whatever is kept at a place.
    pub(crate) fn at(&self, place: u32) -> Option<&Message> {
        self.slots.at(place)
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
    pub(crate) fn let_go(&mut self, handle: Handle) -> Option<Delivery> {
        let message = self.slots.get_mut(handle)?;
        message.holders = message.holders.saturating_sub(1);
        if message.holders == 0 { message.delivery.take() } else { None }
    }

    /// One queue entry less.
    pub(crate) fn release(&mut self, handle: Handle, held: bool) -> Released {
        let Some(message) = self.slots.get_mut(handle) else { return Released::default() };
        message.users = message.users.saturating_sub(1);
        let recorded = message.recorded || message.wait;
        let acknowledge = if held {
            message.holders = message.holders.saturating_sub(1);
            if message.holders == 0 { message.delivery.take() } else { None }
        } else {
            None
        };
        let gone = if message.users == 0 { self.slots.remove(handle) } else { None };
        let topic = gone.map(|message| {
            self.payload = self.payload.saturating_sub(message.payload.len());
            message.topic
        });
        Released { acknowledge, recorded, topic }
    }

    /// Octets of all payloads.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    /// Number of messages kept.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
