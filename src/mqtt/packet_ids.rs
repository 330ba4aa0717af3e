//! One space of packet ids over PUBLISH, PUBREL, SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 §2.3.1).
//!
//! Ids go round the whole space, so that an acknowledgement that is late or repeated does not hit
//! a younger exchange.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::core::upstream::Token;

/// What a packet id of ours stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Exchange {
    /// A publication, by its slot in the table of requests.
    Publish(usize),
    Subscribe(Token),
    Unsubscribe(Token),
}

/// Packet ids in use.
#[derive(Debug)]
pub(super) struct PacketIds {
    busy: HashMap<u16, Exchange, FixedState>,
    last: u16,
}

impl PacketIds {
    /// No id in use; the first one handed out follows `last`.
    pub(super) fn new(last: u16) -> Self {
        Self { busy: HashMap::with_hasher(FixedState::with_seed(0)), last }
    }

    /// Takes the next free id; `None` if all 65,535 are in use.
    pub(super) fn allocate(&mut self, exchange: Exchange) -> Option<u16> {
        if self.busy.len() >= usize::from(u16::MAX) {
            return None;
        }
        loop {
            // 0 is not an id. Ends because at least one id is free.
            self.last = self.last.checked_add(1).unwrap_or(1);
            if let hashbrown::hash_map::Entry::Vacant(entry) = self.busy.entry(self.last) {
                entry.insert(exchange);
                return Some(self.last);
            }
        }
    }

    /// Takes an id that is known from a former life; false if it is in use.
    pub(super) fn claim(&mut self, id: u16, exchange: Exchange) -> bool {
        match self.busy.entry(id) {
            hashbrown::hash_map::Entry::Vacant(entry) => {
                entry.insert(exchange);
                true
            }
            hashbrown::hash_map::Entry::Occupied(_) => false,
        }
    }

    /// What an id stands for.
    pub(super) fn get(&self, id: u16) -> Option<Exchange> {
        self.busy.get(&id).copied()
    }

    /// Slots of the publications under way.
    pub(super) fn publications(&self) -> impl Iterator<Item = usize> {
        self.busy.values().filter_map(|exchange| match exchange {
            Exchange::Publish(slot) => Some(*slot),
            _ => None,
        })
    }

    /// The exchange is over, the id is free.
    pub(super) fn release(&mut self, id: u16) -> Option<Exchange> {
        self.busy.remove(&id)
    }

    /// Frees the ids of all SUBSCRIBE and UNSUBSCRIBE: their connection is gone.
    pub(super) fn forget_subscriptions(&mut self) {
        self.busy.retain(|_, exchange| matches!(exchange, Exchange::Publish(_)));
    }

    /// Ids in use.
    pub(super) fn len(&self) -> usize {
        self.busy.len()
    }

    /// Gives memory back.
    pub(super) fn trim(&mut self) {
        self.busy.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_handed_out_once_and_zero_never() {
        let mut ids = PacketIds::new(65_000);
        let mut seen = vec![false; 65_536];
        for slot in 0..65_535 {
            let id = ids.allocate(Exchange::Publish(slot)).unwrap();
            assert!(id != 0 && !std::mem::replace(&mut seen[usize::from(id)], true));
        }
        assert_eq!(ids.allocate(Exchange::Subscribe(Token(1))), None);
        ids.release(77);
        assert_eq!(ids.allocate(Exchange::Subscribe(Token(1))), Some(77));
        assert_eq!(ids.get(77), Some(Exchange::Subscribe(Token(1))));
    }

    #[test]
    fn a_freed_id_is_not_used_again_at_once() {
        let mut ids = PacketIds::new(0);
        let id = ids.allocate(Exchange::Publish(0)).unwrap();
        ids.release(id);
        assert_ne!(ids.allocate(Exchange::Publish(0)), Some(id));
    }

    #[test]
    fn a_lost_connection_frees_the_ids_of_subscriptions_only() {
        let mut ids = PacketIds::new(u16::MAX);
        assert_eq!(ids.allocate(Exchange::Publish(3)), Some(1));
        ids.allocate(Exchange::Subscribe(Token(1)));
        ids.allocate(Exchange::Unsubscribe(Token(2)));
        ids.forget_subscriptions();
        assert_eq!((ids.get(1), ids.get(2)), (Some(Exchange::Publish(3)), None));
        assert_eq!(ids.get(3), None);
    }
}
