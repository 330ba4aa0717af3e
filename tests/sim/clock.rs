//! Simulated time: a queue of things to come, ordered by time; what falls on the same millisecond
//! happens in an order that the seed decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mqtt_sn_gateway::time::Time;

use crate::rng::Rng;

struct Entry<E> {
    key: (u64, u64, u64),
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// The queue of events and the present moment.
pub struct Clock<E> {
    now: Time,
    heap: BinaryHeap<Reverse<Entry<E>>>,
    ties: Rng,
    count: u64,
}

impl<E> Clock<E> {
    /// An empty queue at one second past the origin.
    pub fn new(ties: Rng) -> Self {
        Self { now: Time(1_000), heap: BinaryHeap::new(), ties, count: 0 }
    }

    /// The present.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that has passed.
    pub fn at(&mut self, at: Time, event: E) {
        self.count += 1;
        let key = (at.max(self.now).0, self.ties.next(), self.count);
        self.heap.push(Reverse(Entry { key, event }));
    }

    /// Lets `event` happen `ms` milliseconds from now.
    pub fn after(&mut self, ms: u64, event: E) {
        self.at(Time(self.now.0 + ms), event);
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| Time(entry.key.0))
    }

    /// Goes to the next event that is due at or before `until`.
    pub fn pop(&mut self, until: Time) -> Option<E> {
        if self.next_at()? > until {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.now = Time(entry.key.0);
        Some(entry.event)
    }

    /// Lets time pass without an event.
    pub fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
    }
}
