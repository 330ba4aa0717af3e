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

/// How long after the last sign of it retained messages may still belong to a SUBSCRIBE. Longer than
/// a slow device can stall the broker by not acknowledging the first of them.
const RETAINED_WINDOW: Duration = Duration::from_secs(60);

/// Rounds of a filter that retained messages may still come for.
const MAX_ROUNDS: usize = 64;

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
    /// In order.
    clients: Vec<Handle>,
    seen: HashSet<u64, Hashing>,
    expires: Time,
    /// Order over all filters.
    pub(crate) number: u64,
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
    /// The broker was asked and may have it.
    pub(crate) asked: bool,
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

    /// Has the next SUBSCRIBE made for a subscriber.
    pub(crate) fn add_to_next(&mut self, client: Handle) {
        if !self.next.contains(&client) {
            self.next.push(client);
        }
    }

    /// A SUBSCRIBE is about to be sent; its round starts.
    fn start_asking(&mut self, now: Time, number: u64, hasher: Hashing) {
        self.rounds.retain(|round| round.expires > now);
        while self.rounds.len() >= MAX_ROUNDS {
            self.rounds.pop_front();
        }
        let mut clients = core::mem::take(&mut self.next);
        self.asked = true;
        self.asking = Some(Asking { round: !clients.is_empty() });
        if !clients.is_empty() {
            clients.sort_unstable();
            let seen = HashSet::with_hasher(hasher);
            let expires = now.after(RETAINED_WINDOW);
            self.rounds.push_back(Round { clients, seen, expires, number });
        }
    }

    /// The SUBACK came: the window of its round starts now. Gives the round's clients.
    pub(crate) fn answered(&mut self, now: Time) -> Vec<Handle> {
        let asking = self.asking.take();
        match self.rounds.back_mut().filter(|_| asking.is_some_and(|asking| asking.round)) {
            Some(round) => {
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

    /// Number of the newest round that still waits for its copy of a retained message. Not the
    /// oldest: that one may have had nothing to come. If both have, each gets one copy, in
    /// whichever order.
    pub(crate) fn waiting_round(&self, now: Time, topic_hash: u64) -> Option<u64> {
        let waits = |round: &&Round| round.expires > now && !round.seen.contains(&topic_hash);
        self.rounds.iter().rev().find(waits).map(|round| round.number)
    }

    /// Marks the copy as received and appends the clients it is for, as far as they still are.
    pub(crate) fn take_retained(
        &mut self,
        now: Time,
        number: u64,
        topic_hash: u64,
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        let Some(round) = self.rounds.iter_mut().find(|round| round.number == number) else {
            return;
        };
        if round.seen.len() < MAX_REMEMBERED {
            round.seen.insert(topic_hash);
        }
        round.expires = now.after(RETAINED_WINDOW);
        let clients = &round.clients;
        let mine = |s: &&Subscriber| clients.binary_search(&s.client).is_ok();
        recipients.extend(self.subscribers.iter().filter(mine).map(|s| (s.client, s.granted)));
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
            asked: false,
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

    /// A SUBSCRIBE for `handle` is about to be sent.
    pub(crate) fn start_asking(&mut self, handle: Handle, now: Time) {
        self.rounds += 1;
        let (number, hasher) = (self.rounds, self.hasher);
        if let Some(filter) = self.slots.get_mut(handle) {
            filter.start_asking(now, number, hasher);
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
