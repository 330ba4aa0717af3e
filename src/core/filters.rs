//! The filters that clients here have subscribed to, and what the broker knows of them. One
//! subscription upstream serves all clients of a filter.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use super::hashing::Hashing;
use super::names;
use hashbrown::HashSet;

use super::filter::FilterTree;
use super::slots::{Handle, Slots};
use super::upstream::MqttQos;
use crate::time::Time;

/// How long after the last sign of it retained messages may still belong to a SUBSCRIBE.
const RETAINED_WINDOW: Duration = Duration::from_secs(10);

/// Topics remembered per round to tell whose copy a retained message is.
const MAX_REMEMBERED: usize = 10_000;

/// Largest MQTT 5 subscription identifier.
const MAX_ID: u32 = 268_435_455;

/// A client of a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) client: Handle,
    /// What it asked for.
    pub(crate) requested: MqttQos,
    /// What its SUBACK said, or will at most say.
    pub(crate) granted: MqttQos,
}

/// One SUBSCRIBE to the broker and the clients that it was made for: they, and nobody else, get the
/// retained messages that it brings.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) clients: Vec<Handle>,
    seen: HashSet<u64, Hashing>,
    expires: Time,
    /// Order over all filters.
    pub(crate) number: u64,
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
    /// The SUBSCRIBE under way, and the QoS it asks for.
    pub(crate) asking: Option<(Handle, MqttQos)>,
    /// Clients for whom the next SUBSCRIBE is made.
    pub(crate) next: Vec<Handle>,
    /// It stands in the queue of filters to ask the broker for.
    pub(crate) queued: bool,
    pub(crate) rounds: VecDeque<Round>,
}

impl Filter {
    /// Highest QoS that any client asked for.
    pub(crate) fn wanted(&self) -> MqttQos {
        self.subscribers.iter().map(|subscriber| subscriber.requested).max().unwrap_or_default()
    }

    /// Starts the round of a SUBSCRIBE that is about to be sent.
    pub(crate) fn start_round(&mut self, now: Time, number: u64, hasher: Hashing) {
        self.rounds.retain(|round| round.expires > now);
        let clients = core::mem::take(&mut self.next);
        if !clients.is_empty() {
            let seen = HashSet::with_hasher(hasher);
            let expires = now.after(RETAINED_WINDOW);
            self.rounds.push_back(Round { clients, seen, expires, number });
        }
    }

    /// The SUBACK came: the window of the latest round starts now.
    pub(crate) fn round_answered(&mut self, now: Time) {
        if let Some(round) = self.rounds.back_mut() {
            round.expires = now.after(RETAINED_WINDOW);
        }
    }

    /// Number of the newest round that still waits for its copy of a retained message. Not the
    /// oldest: that one may have had nothing to come. If both have, each gets one copy, in
    /// whichever order.
    pub(crate) fn waiting_round(&self, now: Time, topic_hash: u64) -> Option<u64> {
        let waits = |round: &&Round| round.expires > now && !round.seen.contains(&topic_hash);
        self.rounds.iter().rev().find(waits).map(|round| round.number)
    }

    /// Marks the copy as received and gives the clients it is for.
    pub(crate) fn take_retained(
        &mut self,
        now: Time,
        number: u64,
        topic_hash: u64,
    ) -> Option<&[Handle]> {
        let round = self.rounds.iter_mut().find(|round| round.number == number)?;
        if round.seen.len() < MAX_REMEMBERED {
            round.seen.insert(topic_hash);
        }
        round.expires = now.after(RETAINED_WINDOW);
        Some(&round.clients)
    }
}

/// All filters.
#[derive(Debug)]
pub(crate) struct Filters {
    tree: FilterTree,
    slots: Slots<Filter>,
    next_id: u32,
    wildcards: usize,
    rounds: u64,
    hasher: Hashing,
    found: Vec<u32>,
}

impl Filters {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self {
            tree: FilterTree::new(hasher),
            slots: Slots::default(),
            next_id: 0,
            wildcards: 0,
            rounds: 0,
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
        self.tree.get(text).and_then(|slot| self.slots.handle_at(slot))
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
            next: Vec::new(),
            queued: false,
            rounds: VecDeque::new(),
        });
        self.tree.insert(text, handle.slot);
        self.wildcards += usize::from(names::has_wildcard(text));
        handle
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Filter> {
        let filter = self.slots.remove(handle)?;
        self.tree.remove(&filter.text);
        self.wildcards -= usize::from(names::has_wildcard(&filter.text));
        Some(filter)
    }

    /// Starts the round of a SUBSCRIBE for `handle`.
    pub(crate) fn start_round(&mut self, handle: Handle, now: Time) {
        self.rounds += 1;
        let (number, hasher) = (self.rounds, self.hasher);
        if let Some(filter) = self.slots.get_mut(handle) {
            filter.start_round(now, number, hasher);
        }
    }

    /// Appends the filters that match `topic`.
    pub(crate) fn matches(&mut self, topic: &str, out: &mut Vec<Handle>) {
        self.found.clear();
        self.tree.matches(topic, &mut self.found);
        for slot in &self.found {
            out.extend(self.slots.handle_at(*slot));
        }
    }

    /// A topic's fingerprint for [`Filter::waiting_round`].
    pub(crate) fn topic_hash(&self, topic: &str) -> u64 {
        self.hasher.hash_one(topic)
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
