//! The filters that clients here have subscribed to, and what the broker knows of them. One
//! subscription upstream serves all clients of a filter.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use super::hashing::Hashing;
use super::names;
use hashbrown::HashTable;

use super::filter::FilterTree;
use super::rounds::{Asks, Further, Seen, WINDOW};
use super::slots::{Handle, Slots};
use super::tight;
use super::upstream::MqttQos;
use crate::store::image::FilterImage;
use crate::store::record::{FilterRecord, Record};
use crate::time::Time;

/// Largest MQTT 5 subscription identifier.
const MAX_ID: u32 = 268_435_455;
/// How much later than it could, what is remembered of a SUBSCRIBE is thrown away; so that many go
/// at once.
const AGEING: Duration = Duration::from_secs(30);

/// A client of a filter. Its [`Subscription`](super::client::Subscription) knows the place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) client: Handle,
    /// What its SUBACK said, or will at most say.
    pub(crate) granted: MqttQos,
    /// The latest round that was made for it.
    round: u32,
}

/// A filter with at least one client, or one on its way out.
#[derive(Debug)]
pub(crate) struct Filter {
    /// With prefix, as the broker knows it.
    pub(crate) text: Box<str>,
    /// Subscription identifier, never given twice.
    pub(crate) id: u32,
    /// What the broker granted; `None` while it does not know the filter.
    pub(crate) granted: Option<MqttQos>,
    /// A SUBSCRIBE is under way.
    pub(crate) asking: bool,
    /// The broker was asked, in whichever session, and may have it.
    pub(crate) asked: bool,
    /// The broker's subscription bears our identifier: it was made over MQTT 5.
    pub(crate) marked: bool,
    /// It stands in the queue of filters to ask the broker for.
    pub(crate) queued: bool,
    pub(crate) subscribers: Vec<Subscriber>,
    /// For whom the broker was asked lately, or will be.
    asks: Option<Box<Asks>>,
}

impl Filter {
    /// As a record. A broker that is about to be asked may have it a moment later.
    pub(crate) fn record(&self) -> Record<'_> {
        let (id, granted, marked) = (self.id, self.granted, self.marked);
        Record::Filter(FilterRecord { text: &self.text, id, asked: true, granted, marked })
    }

    /// Whether a message with these subscription identifiers (in ascending order) is one for this
    /// filter. Where they do not tell, it is if the broker has the subscription, or may have: what it
    /// refused must not be served from somebody else's.
    pub(crate) fn is_meant(&self, ids: &[u32]) -> bool {
        let granted = self.granted.is_some();
        if ids.is_empty() {
            granted || self.asking || self.queued
        } else {
            ids.binary_search(&self.id).is_ok() || (granted && !self.marked)
        }
    }

    /// Adds a client; gives its place.
    pub(crate) fn join(&mut self, client: Handle, granted: MqttQos) -> u32 {
        tight::push(&mut self.subscribers, Subscriber { client, granted, round: 0 });
        (self.subscribers.len() - 1) as u32
    }

    /// Takes a client away; gives the one that has its place now.
    pub(crate) fn leave(&mut self, client: Handle, place: u32) -> Option<Handle> {
        let place = place as usize;
        if self.subscribers.get(place).is_none_or(|me| me.client != client) {
            debug_assert!(false, "a subscription does not know its place");
            return None;
        }
        let me = self.subscribers.swap_remove(place);
        if let Some(asks) = &mut self.asks {
            asks.leave(client, me.round);
        }
        self.subscribers.get(place).map(|moved| moved.client)
    }

    /// Whether the next SUBSCRIBE is for somebody, and not only to renew what the broker lost.
    pub(crate) fn is_awaited(&self) -> bool {
        self.asks.as_ref().is_some_and(|asks| asks.is_awaited())
    }

    /// Clients for whom the broker has not been asked yet.
    pub(crate) fn newcomers(&self) -> usize {
        self.asks.as_ref().map_or(0, |asks| asks.newcomers())
    }

    /// Whether retained messages may still come for somebody.
    pub(crate) fn expects_retained(&self) -> bool {
        self.asks.is_some()
    }

    /// The SUBACK came. Gives the clients that it is for.
    pub(crate) fn answered(&mut self, now: Time) -> Vec<Handle> {
        self.asking = false;
        self.asks.as_mut().map_or_else(Vec::new, |asks| asks.answered(now))
    }

    /// The broker has a new session: of what was asked in the last one nothing comes any more.
    pub(crate) fn forget_answered(&mut self) {
        if let Some(asks) = &mut self.asks {
            asks.forget_answered();
        }
    }
}

/// All filters.
#[derive(Debug)]
pub(crate) struct Filters {
    /// Those with wildcards.
    tree: FilterTree,
    wildcards: usize,
    /// The others.
    exact: HashTable<u32>,
    slots: Slots<Filter>,
    next_id: u32,
    next_round: u32,
    /// Number of the connection to the broker.
    connection: u32,
    seen: Seen,
    /// Filters with something in `asks`, each once, and when to look whether it can go.
    open: VecDeque<(Time, Handle)>,
    hasher: Hashing,
    found: Vec<u32>,
}

impl Filters {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self {
            tree: FilterTree::new(hasher),
            wildcards: 0,
            exact: HashTable::new(),
            slots: Slots::default(),
            next_id: 0,
            next_round: 0,
            connection: 0,
            seen: Seen::new(hasher),
            open: VecDeque::new(),
            hasher,
            found: Vec::new(),
        }
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Filter> {
        self.slots.get(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Filter> {
        self.slots.get_mut(handle)
    }

    fn find_exact(&self, text: &str) -> Option<Handle> {
        let same = |slot: &u32| self.slots.at(*slot).is_some_and(|filter| &*filter.text == text);
        let slot = self.exact.find(self.hasher.hash_one(text), same)?;
        self.slots.handle_at(*slot)
    }

    pub(crate) fn find(&self, text: &str) -> Option<Handle> {
        if names::has_wildcard(text) {
            self.tree.get(text).and_then(|slot| self.slots.handle_at(slot))
        } else {
            self.find_exact(text)
        }
    }

    /// The filter's entry, made if need be.
    pub(crate) fn find_or_add(&mut self, text: &str) -> Handle {
        if let Some(found) = self.find(text) {
            return found;
        }
        self.next_id = if self.next_id >= MAX_ID { 1 } else { self.next_id + 1 };
        let handle = self.slots.insert(Filter {
            text: text.into(),
            id: self.next_id,
            granted: None,
            asking: false,
            asked: false,
            marked: false,
            queued: false,
            subscribers: Vec::new(),
            asks: None,
        });
        if names::has_wildcard(text) {
            self.tree.insert(text, handle.slot);
            self.wildcards += 1;
        } else {
            let (slots, hasher) = (&self.slots, &self.hasher);
            self.exact.insert_unique(hasher.hash_one(text), handle.slot, |slot| {
                slots.at(*slot).map_or(0, |filter| hasher.hash_one(&*filter.text))
            });
        }
        handle
    }

    /// A filter of a former life. Its identifier is not given to another one.
    pub(crate) fn restore(&mut self, text: &str, image: FilterImage) -> Handle {
        let handle = self.find_or_add(text);
        if let Some(filter) = self.slots.get_mut(handle) {
            filter.id = image.id;
            filter.asked = image.asked;
            filter.granted = image.granted;
            filter.marked = image.marked;
        }
        self.next_id = self.next_id.max(image.id).min(MAX_ID);
        handle
    }

    /// The next identifiers are so much higher than those given out so far.
    pub(crate) fn skip_ids(&mut self, step: u32) {
        self.next_id = self.next_id.saturating_add(step).min(MAX_ID);
    }

    /// Number of places in the table, for [`Self::at`].
    pub(crate) fn places(&self) -> u32 {
        self.slots.places()
    }

    /// Whatever is at a place of the table.
    pub(crate) fn at(&self, place: u32) -> Option<&Filter> {
        self.slots.at(place)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Filter> {
        let filter = self.slots.remove(handle)?;
        if names::has_wildcard(&filter.text) {
            self.tree.remove(&filter.text);
            self.wildcards -= 1;
        } else {
            let hash = self.hasher.hash_one(&*filter.text);
            if let Ok(found) = self.exact.find_entry(hash, |slot| *slot == handle.slot) {
                found.remove();
            }
        }
        if self.slots.len() == 0 {
            self.open = VecDeque::new();
        }
        Some(filter)
    }

    /// Appends the filters that match `topic`.
    pub(crate) fn matches(&mut self, topic: &str, out: &mut Vec<Handle>) {
        out.extend(self.find_exact(topic));
        if self.wildcards == 0 {
            return;
        }
        self.found.clear();
        self.tree.matches(topic, &mut self.found);
        for slot in &self.found {
            out.extend(self.slots.handle_at(*slot));
        }
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.slots.iter().map(|(handle, _)| handle)
    }

    /// Lets go of the memory if there are no filters.
    pub(crate) fn give_back(&mut self) {
        if self.slots.len() == 0 {
            self.slots.give_back();
            self.tree = FilterTree::new(self.hasher);
            self.exact = HashTable::new();
            self.seen.clear();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether any filter can match more than one topic.
    pub(crate) fn any_wildcard(&self) -> bool {
        self.wildcards > 0
    }

    // Who gets retained messages.

    /// Has the next SUBSCRIBE made for the client at `place` too.
    pub(crate) fn add_to_next(&mut self, now: Time, handle: Handle, place: u32) {
        let next_round = &mut self.next_round;
        let Some(filter) = self.slots.get_mut(handle) else { return };
        let Some(me) = filter.subscribers.get_mut(place as usize) else { return };
        let asks = filter.asks.get_or_insert_with(|| {
            self.open.push_back((now.after(WINDOW), handle));
            Box::default()
        });
        me.round = asks.add(me.client, me.round, next_round);
        // Filters may come and go in any number before their time is over.
        if self.open.len() > 2 * self.slots.len() + 64 {
            let slots = &self.slots;
            self.open.retain(|(_, handle)| slots.get(*handle).is_some());
        }
    }

    /// A SUBSCRIBE for `handle` is about to be sent.
    pub(crate) fn start_asking(&mut self, handle: Handle, now: Time) {
        let Some(filter) = self.slots.get_mut(handle) else { return };
        filter.asked = true;
        filter.asking = true;
        if let Some(asks) = &mut filter.asks {
            asks.start(now, self.connection);
        }
    }

    /// For whom the broker was asked for this filter does not matter any more.
    pub(crate) fn forget_asks(&mut self, handle: Handle) {
        if let Some(filter) = self.slots.get_mut(handle)
            && filter.asks.as_ref().is_some_and(|asks| !asks.is_awaited())
        {
            filter.asks = None;
            self.open.retain(|(_, other)| *other != handle);
        }
    }

    /// There is a connection to the broker.
    pub(crate) fn connected(&mut self) {
        self.connection = self.connection.wrapping_add(1);
    }

    /// Appends the clients that a retained message for the filter is for, as far as they still are:
    /// those of every SUBSCRIBE that has not had this very message. A broker sends one for each
    /// SUBSCRIBE, so whoever gets it early is spared his own; and a newer one replaces an older that
    /// came late.
    pub(crate) fn take_retained(
        &mut self,
        now: Time,
        handle: Handle,
        message: u64,
        qos: MqttQos,
        clients: &mut Vec<Handle>,
    ) {
        let filter = self.slots.get_mut(handle);
        if let Some(asks) = filter.and_then(|filter| filter.asks.as_mut()) {
            asks.take(now, self.connection, message, qos, &mut self.seen, clients);
        }
    }

    /// A message was published; it may come again as retained, for those who subscribe later.
    /// `further`: this is not the first copy.
    pub(crate) fn note_published(
        &mut self,
        now: Time,
        handle: Handle,
        message: u64,
        further: Option<Further<'_>>,
    ) {
        let filter = self.slots.get_mut(handle);
        if let Some(asks) = filter.and_then(|filter| filter.asks.as_mut()) {
            asks.note(now, message, further, &mut self.seen);
        }
    }

    /// A message's fingerprint for [`Self::take_retained`] and [`Self::note_published`].
    pub(crate) fn message_print(&self, topic: &str, payload: &[u8]) -> u64 {
        self.hasher.hash_one((topic, payload))
    }

    /// When [`Self::age`] wants to be called next.
    pub(crate) fn age_deadline(&self) -> Option<Time> {
        self.open.front().map(|(at, _)| at.after(AGEING))
    }

    /// Forgets for whom the broker was asked, where nothing more can come of it.
    pub(crate) fn age(&mut self, now: Time) {
        if self.age_deadline().is_none_or(|at| at > now) {
            return;
        }
        // Each once: what is not over yet goes to the end.
        for _ in 0..self.open.len() {
            let Some((at, handle)) = self.open.pop_front() else { break };
            if at > now {
                self.open.push_front((at, handle));
                break;
            }
            let Some(filter) = self.slots.get_mut(handle) else { continue };
            let Some(asks) = &mut filter.asks else { continue };
            match asks.retire(now) {
                Some(at) => self.open.push_back((at, handle)),
                None => filter.asks = None,
            }
        }
        if self.open.is_empty() {
            self.open = VecDeque::new();
            self.seen.clear();
        }
    }
}
