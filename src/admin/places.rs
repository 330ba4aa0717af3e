//! Places for connections, so that nobody takes them all.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Of these from one address, or one network of IPv6. This machine may have all of them.
const EACH: usize = 16;

/// Whose connections there are, one entry for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Vec<IpAddr>>>);

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    whose: IpAddr,
}

impl Places {
    /// A place for one more from there, if there is one.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let whose = network(from);
        let mut held = self.lock();
        let its = held.iter().filter(|one| **one == whose).count();
        if held.len() >= CONNECTIONS || (its >= EACH && !whose.is_loopback()) {
            return None;
        }
        held.push(whose);
        Some(Place { places: self.clone(), whose })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(at) = held.iter().position(|one| *one == self.whose) {
            held.swap_remove(at);
        }
    }
}

/// Whom an address counts for: a host of IPv6 has any of 2⁶⁴.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(places: &Places, from: &str, tries: usize) -> Vec<Place> {
        let from = from.parse().unwrap();
        (0..tries).filter_map(|_| places.take(from)).collect()
    }

    #[test]
    fn one_address_does_not_get_all_of_them() {
        let places = Places::default();
        let first = taken(&places, "192.0.2.1", 100);
        assert_eq!(first.len(), EACH);
        assert_eq!(taken(&places, "::ffff:192.0.2.1", 1).len(), 0, "it is the same one");
        let second = taken(&places, "2001:db8::1", 10);
        let third = taken(&places, "2001:db8::ffff:2", 10);
        assert_eq!((second.len(), third.len()), (10, EACH - 10), "they share a network");
        assert_eq!(taken(&places, "2001:db8:0:1::1", 1).len(), 1);
        drop(first);
        assert_eq!(taken(&places, "192.0.2.1", 100).len(), EACH, "places are given back");
    }

    #[test]
    fn this_machine_may_have_all_and_no_more() {
        for from in ["127.0.0.1", "::1"] {
            let places = Places::default();
            let all = taken(&places, from, 100);
            assert_eq!(all.len(), CONNECTIONS);
            assert_eq!(taken(&places, "192.0.2.1", 1).len(), 0);
            drop(all);
            assert_eq!(taken(&places, "192.0.2.1", 1).len(), 1);
        }
    }
}
