//! The byte stream between gateway and broker: latency, stalls, and cuts at any byte.

use std::collections::VecDeque;

use mqtt_sn_gateway::time::Time;

use crate::rng::Rng;

/// What travels in a pipe.
pub enum Item {
    Bytes(Vec<u8>),
    /// The sender closed the stream.
    Close,
}

/// One direction.
#[derive(Default)]
pub struct Pipe {
    items: VecDeque<(Time, Item)>,
    last: Time,
}

impl Pipe {
    /// Sends; it arrives after `latency` milliseconds, and never before what was sent earlier.
    /// Returns when.
    pub fn push(&mut self, now: Time, latency: u64, item: Item) -> Time {
        self.last = self.last.max(Time(now.0 + latency));
        self.items.push_back((self.last, item));
        self.last
    }

    /// What has arrived.
    pub fn pop(&mut self, now: Time) -> Option<Item> {
        let (at, _) = self.items.front()?;
        if *at > now { None } else { self.items.pop_front().map(|(_, item)| item) }
    }

    /// The stream breaks: what still gets through is a prefix of what was under way.
    pub fn cut(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut all = Vec::new();
        for (_, item) in self.items.drain(..) {
            if let Item::Bytes(bytes) = item {
                all.extend(bytes);
            }
        }
        all.truncate(rng.below(all.len() as u64 + 1) as usize);
        all
    }

    /// Nothing under way.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// When the last thing arrives.
    pub fn last(&self) -> Time {
        self.last
    }

    /// A new stream.
    pub fn clear(&mut self) {
        self.items.clear();
    }
}
