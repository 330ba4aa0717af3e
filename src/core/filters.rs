//! The filters that clients here have subscribed to, and what the broker knows of them. One
//! subscription upstream serves all clients of a filter.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use super::hashing::Hashing;
use super::names;
use hashbrown::{HashSet, HashTable};

use super::filter::FilterTree;
use super::slots::{Handle, Slots};
use super::upstream::MqttQos;
use crate::time::Time;

/// How long after the last sign of it retained messages may still belong to a SUBSCRIBE. At QoS 1
/// and 2 they wait for the broker's window, which a device that is being lost can block.
const RETAINED_WINDOW: Duration = Duration::from_secs(120);

/// Messages remembered per round, and rounds per filter. Beyond them a client may get a retained
/// message twice, or miss one that comes very late.
const MAX_REMEMBERED: usize = 1_000;
const MAX_ROUNDS: usize = 16;

/// Largest MQTT 5 subscription identifier.
const MAX_ID: u32 = 268_435_455;

/// A client of a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) client: Handle,
    /// What its SUBACK said, or will at most say.
    pub(crate) granted: MqttQos,
}

/// One SUBSCRIBE to the broker and the clients that it was made for: they, and nobody else, get the
/// retained messages that it brings.
#[derive(Debug)]
pub(crate) struct Round {
    /// In order.
    clients: Vec<Handle>,
    /// Fingerprints of the messages that its clients have had: as retained, or published since the
    /// SUBACK.
    seen: HashSet<u64, Hashing>,
    expires: Time,
    /// The SUBACK has come.
    answered: bool,
}

impl Round {
    /// Notes a message; false if it has been noted before.
    fn see(&mut self, message: u64) -> bool {
        if self.seen.len() >= MAX_REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(message)
    }
}

/// A SUBSCRIBE to the broker that it has not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// It has a round, the latest; without one it renews what the broker lost.
    pub(crate) round: bool,
}

/// A filter with at least one client, or one on its way out.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) text: Box<str>,
    /// Subscription identifier, never given twice.
    pub(crate) id: u32,
    pub(crate) subscribers: Vec<Subscriber>,
    /// What the broker granted; `None` while it does not know the filter.
    pub(crate) granted: Option<MqttQos>,
    /// The SUBSCRIBE under way.
    pub(crate) asking: Option<Asking>,
    /// The broker was asked, in whichever session, and may have it.
    pub(crate) asked: bool,
    /// The broker's subscription bears our identifier: it was made over MQTT 5.
    pub(crate) marked: bool,
    /// Clients for whom the next SUBSCRIBE is made.
    pub(crate) next: Vec<Handle>,
    /// It stands in the queue of filters to ask the broker for.
    pub(crate) queued: bool,
    pub(crate) rounds: VecDeque<Round>,
}

impl Filter {
    /// Whether a message with these subscription identifiers is one for this filter. Where they do
    /// not tell, it is if the broker has the subscription, or may have: what it refused must not be
    /// served from somebody else's.
    pub(crate) fn is_meant(&self, ids: &[u32]) -> bool {
        let granted = self.granted.is_some();
        if ids.is_empty() {
            granted || self.asking.is_some() || self.queued
        } else {
            ids.contains(&self.id) || (granted && !self.marked)
        }
    }

    /// Has the next SUBSCRIBE made for a subscriber.
    pub(crate) fn add_to_next(&mut self, client: Handle) {
        if !self.next.contains(&client) {
            self.next.push(client);
        }
    }

    /// A SUBSCRIBE is about to be sent; its round starts.
    fn start_asking(&mut self, now: Time, hasher: Hashing) {
        self.rounds.retain(|round| round.expires > now);
        while self.rounds.len() >= MAX_ROUNDS {
            self.rounds.pop_front();
        }
        let mut clients = core::mem::take(&mut self.next);
        self.asked = true;
        self.asking = Some(Asking { round: !clients.is_empty() });
        if !clients.is_empty() {
            clients.sort_unstable();
            self.rounds.push_back(Round {
                clients,
                seen: HashSet::with_hasher(hasher),
                expires: now.after(RETAINED_WINDOW),
                answered: false,
            });
        }
    }

    /// The SUBACK came: the window of its round starts now. Gives the round's clients.
    pub(crate) fn answered(&mut self, now: Time) -> Vec<Handle> {
        let asking = self.asking.take();
        match self.rounds.back_mut().filter(|_| asking.is_some_and(|asking| asking.round)) {
            Some(round) => {
                round.answered = true;
                round.expires = now.after(RETAINED_WINDOW);
                round.clients.clone()
            }
            None => Vec::new(),
        }
    }

    /// The SUBACK will not come. The broker may or may not have taken the SUBSCRIBE; asking again
    /// for the same clients settles it.
    pub(crate) fn unanswered(&mut self) {
        let asking = self.asking.take();
        if asking.is_some_and(|asking| asking.round)
            && let Some(round) = self.rounds.pop_back()
        {
            let mut here: Vec<Handle> = self.subscribers.iter().map(|s| s.client).collect();
            here.sort_unstable();
            let still = |client: &Handle| here.binary_search(client).is_ok();
            self.next.extend(round.clients.into_iter().filter(still));
            self.next.sort_unstable();
            self.next.dedup();
        }
    }

    /// Appends the clients that a retained message is for, as far as they still are: those of every
    /// round that has not had this very message. A broker sends one for each SUBSCRIBE, so whoever
    /// gets it early is spared his own; and a newer one replaces an older that came late.
    pub(crate) fn take_retained(
        &mut self,
        now: Time,
        message: u64,
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        for round in self.rounds.iter_mut().filter(|round| round.expires > now) {
            round.expires = now.after(RETAINED_WINDOW);
            if !round.see(message) {
                continue;
            }
            let clients = &round.clients;
            let mine = |s: &&Subscriber| clients.binary_search(&s.client).is_ok();
            recipients.extend(self.subscribers.iter().filter(mine).map(|s| (s.client, s.granted)));
        }
    }

    /// A message was published; it may come again as retained, for those who subscribe later.
    pub(crate) fn note_published(&mut self, now: Time, message: u64) {
        self.rounds.retain(|round| round.expires > now);
        for round in self.rounds.iter_mut().filter(|round| round.answered) {
            round.see(message);
        }
    }
}

/// All filters.
#[derive(Debug)]
pub(crate) struct Filters {
    /// Filters with wildcards.
    tree: FilterTree,
    /// The others, by their text: most filters are such, and a tree would cost each a few nodes.
    exact: HashTable<u32>,
    slots: Slots<Filter>,
    next_id: u32,
    wildcards: usize,
    hasher: Hashing,
    found: Vec<u32>,
}

impl Filters {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self {
            tree: FilterTree::new(hasher),
            exact: HashTable::new(),
            slots: Slots::default(),
            next_id: 0,
            wildcards: 0,
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

    pub(crate) fn find(&self, text: &str) -> Option<Handle> {
        let slot = if names::has_wildcard(text) { self.tree.get(text) } else { self.exactly(text) };
        slot.and_then(|slot| self.slots.handle_at(slot))
    }

    fn exactly(&self, text: &str) -> Option<u32> {
        let same = |slot: &u32| self.slots.at(*slot).is_some_and(|filter| &*filter.text == text);
        self.exact.find(self.hasher.hash_one(text), same).copied()
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
            subscribers: Vec::new(),
            granted: None,
            asking: None,
            asked: false,
            marked: false,
            next: Vec::new(),
            queued: false,
            rounds: VecDeque::new(),
        });
        if names::has_wildcard(text) {
            self.wildcards += 1;
            self.tree.insert(text, handle.slot);
        } else {
            let (slots, hasher) = (&self.slots, self.hasher);
            self.exact.insert_unique(hasher.hash_one(text), handle.slot, |slot| {
                slots.at(*slot).map_or(0, |filter| hasher.hash_one(&*filter.text))
            });
        }
        handle
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Filter> {
        let filter = self.slots.remove(handle)?;
        if names::has_wildcard(&filter.text) {
            self.wildcards -= 1;
            self.tree.remove(&filter.text);
        } else {
            let hash = self.hasher.hash_one(&*filter.text);
            if let Ok(found) = self.exact.find_entry(hash, |slot| *slot == handle.slot) {
                found.remove();
            }
        }
        Some(filter)
    }

    /// A SUBSCRIBE for `handle` is about to be sent.
    pub(crate) fn start_asking(&mut self, handle: Handle, now: Time) {
        let hasher = self.hasher;
        if let Some(filter) = self.slots.get_mut(handle) {
            filter.start_asking(now, hasher);
        }
    }

    /// Appends the filters that match `topic`.
    pub(crate) fn matches(&mut self, topic: &str, out: &mut Vec<Handle>) {
        self.found.clear();
        self.found.extend(self.exactly(topic));
        if self.wildcards > 0 {
            self.tree.matches(topic, &mut self.found);
        }
        for slot in &self.found {
            out.extend(self.slots.handle_at(*slot));
        }
    }

    /// A message's fingerprint for [`Filter::take_retained`] and [`Filter::note_published`].
    pub(crate) fn message_print(&self, topic: &str, payload: &[u8]) -> u64 {
        self.hasher.hash_one((topic, payload))
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.slots.iter().map(|(handle, _)| handle)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether any filter can match more than one topic.
    pub(crate) fn any_wildcard(&self) -> bool {
        self.wildcards > 0
    }
}
