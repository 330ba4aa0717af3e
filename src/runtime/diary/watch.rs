//! Those who are told at once what happens.

use crate::admin::{Teller, WatchQuery, Watched, Watching, watching};

/// At once: each has some room to wait in.
const MOST: usize = 16;

/// Everybody who watches.
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<(WatchQuery, Teller)>);

impl Watchers {
    /// Adds one; `None` if there are enough.
    pub(super) fn add(&mut self, query: WatchQuery) -> Option<Watching> {
        self.0.retain(|(_, teller)| !teller.is_closed());
        if self.0.len() >= MOST {
            return None;
        }
        let (teller, watching) = watching();
        self.0.push((query, teller));
        Some(watching)
    }

    /// Whether somebody wants to know of packets.
    #[inline]
    pub(super) fn want_packets(&self) -> bool {
        self.0.iter().any(|(query, _)| query.packets)
    }

    /// Whether somebody wants to know what becomes of clients.
    pub(super) fn want_states(&self) -> bool {
        self.0.iter().any(|(query, _)| query.states)
    }

    /// There was so much more that nobody can be told.
    pub(super) fn miss(&mut self, count: u32) {
        for (_, teller) in self.0.iter().filter(|(query, _)| count > 0 && query.states) {
            teller.miss(count.into());
        }
    }

    /// Tells what concerns a client, or nobody; `packet`: that there was a packet of it.
    pub(super) fn tell(&mut self, client: Option<&str>, packet: bool, make: impl Fn() -> Watched) {
        self.0.retain(|(query, teller)| {
            let about = query.client.is_none() || query.client.as_deref() == client;
            let wanted = if packet { query.packets } else { query.states };
            if about && wanted { teller.tell(&make) } else { true }
        });
    }
}
