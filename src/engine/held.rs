//! Datagrams that promise something, waiting until it is written.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::core::{Address, ClientKey, LinkId};

/// Most octets that wait. Beyond that promises are broken off as if nothing could be written.
const MAX_OCTETS: usize = 4 * 1024 * 1024;

/// Type of what a forwarder has wrapped (MQTT-SN 1.2 §5.5).
const FORWARDED: u8 = 0xFE;

/// One datagram.
#[derive(Debug)]
pub(super) struct Held {
    commit: u64,
    pub(super) link: LinkId,
    pub(super) to: Address,
    pub(super) client: Option<ClientKey>,
    pub(super) bytes: Box<[u8]>,
    /// What to send if it cannot be written; nothing if empty.
    pub(super) otherwise: Box<[u8]>,
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(super) struct Promises {
    queue: VecDeque<Held>,
    load: Load,
}

/// What they come to.
#[derive(Debug, Default)]
struct Load {
    octets: usize,
    /// By hash of the address: whatever else is sent there has to wait its turn. Two that share one
    /// wait for each other, no more.
    peers: HashMap<u64, ForPeer, FixedState>,
    /// Octets by number of the link, of what is sent if all goes well.
    links: Vec<usize>,
}

/// What waits for one address.
#[derive(Debug, Default)]
struct ForPeer {
    datagrams: u32,
    /// Of what is sent if all goes well.
    octets: usize,
}

fn key(link: LinkId, to: &Address) -> u64 {
    FixedState::with_seed(0).hash_one((link, to))
}

impl Load {
    fn add(&mut self, held: &Held) {
        self.octets += held.bytes.len() + held.otherwise.len();
        let peer = self.peers.entry(key(held.link, &held.to)).or_default();
        peer.datagrams += 1;
        peer.octets += held.bytes.len();
        let link = usize::from(held.link.0);
        if self.links.len() <= link {
            self.links.resize(link + 1, 0);
        }
        self.links[link] += held.bytes.len();
    }

    fn remove(&mut self, held: &Held) {
        self.octets -= held.bytes.len() + held.otherwise.len();
        self.links[usize::from(held.link.0)] -= held.bytes.len();
        let key = key(held.link, &held.to);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.datagrams -= 1;
            peer.octets -= held.bytes.len();
            if peer.datagrams == 0 {
                self.peers.remove(&key);
            }
        }
    }
}

impl Promises {
    /// Whether what is sent there has to wait behind a promise, and for which commit.
    pub(super) fn is_behind(&self, link: LinkId, to: &Address) -> Option<u64> {
        if self.queue.is_empty() || !self.load.peers.contains_key(&key(link, to)) {
            return None;
        }
        self.queue.back().map(|last| last.commit)
    }

    pub(super) fn has_room(&self) -> bool {
        self.load.octets < MAX_OCTETS
    }

    /// Octets that wait to be sent on a link.
    pub(super) fn octets_to(&self, link: LinkId) -> usize {
        self.load.links.get(usize::from(link.0)).copied().unwrap_or(0)
    }

    /// Octets that wait to be sent to an address.
    pub(super) fn octets_for(&self, link: LinkId, to: &Address) -> usize {
        self.load.peers.get(&key(link, to)).map_or(0, |peer| peer.octets)
    }

    /// Keeps a datagram until `commit` is over.
    pub(super) fn hold(
        &mut self,
        commit: u64,
        link: LinkId,
        to: Address,
        client: Option<ClientKey>,
        bytes: &[u8],
        otherwise: &[u8],
    ) {
        let (bytes, otherwise) = (bytes.into(), otherwise.into());
        let held = Held { commit, link, to, client, bytes, otherwise };
        self.load.add(&held);
        self.queue.push_back(held);
    }

    /// Forgets what waits to be sent there. `head`: the forwarder's header in front of it, or nothing.
    pub(super) fn recall(&mut self, link: LinkId, to: &Address, head: &[u8]) {
        if !self.load.peers.contains_key(&key(link, to)) {
            return;
        }
        let load = &mut self.load;
        self.queue.retain(|held| {
            let forwarded = held.bytes.get(1) == Some(&FORWARDED);
            let same = if head.is_empty() { !forwarded } else { held.bytes.starts_with(head) };
            let gone = same && held.link == link && held.to == *to;
            if gone {
                load.remove(held);
            }
            !gone
        });
    }

    /// The next one that waits for a commit up to `commit`.
    pub(super) fn next(&mut self, commit: u64) -> Option<Held> {
        if self.queue.front()?.commit > commit {
            return None;
        }
        let held = self.queue.pop_front()?;
        self.load.remove(&held);
        if self.queue.is_empty() {
            *self = Self::default();
        }
        Some(held)
    }
}
