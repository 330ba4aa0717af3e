//! Packets that the module has, and has not said yet what became of them.

use std::time::Duration;

use crate::core::Address;
use crate::time::Time;

/// Packets under way at once. A module has room for a few, and while it waits for one node it sends
/// to others.
const SLOTS: usize = 4;
/// Of them for one node.
const FOR_ONE: usize = 2;
/// Of them for all nodes together that did not get the last packet: each may take the module seconds.
const FOR_DOUBTFUL: usize = 2;
/// After so long nothing will be said any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packets under way.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: Vec<Slot>,
    last_id: u8,
}

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slot {
    id: u8,
    /// To whom, everybody without.
    pub(super) to: Option<Address>,
    /// Its length.
    pub(super) octets: usize,
    is_doubtful: bool,
    until: Time,
}

impl Window {
    /// Whether another packet may be sent to anybody.
    pub(super) fn is_open(&self) -> bool {
        self.slots.len() < SLOTS
    }

    /// Whether it may be sent to this one, who is doubtful or not.
    pub(super) fn takes(&self, to: Option<&Address>, is_doubtful: bool) -> bool {
        let same = self.slots.iter().filter(|slot| slot.to.as_ref() == to).count();
        if is_doubtful {
            let doubtful = self.slots.iter().filter(|slot| slot.is_doubtful).count();
            same == 0 && doubtful < FOR_DOUBTFUL
        } else {
            same < FOR_ONE
        }
    }

    /// Notes a packet that is sent now. Gives its number, or 0, which wants no status, if there is no
    /// room for it.
    pub(super) fn begin(
        &mut self,
        now: Time,
        to: Option<Address>,
        octets: usize,
        is_doubtful: bool,
    ) -> u8 {
        if !self.is_open() {
            return 0;
        }
        // With 255 numbers one that a late status is about is not in use again.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let until = now.after(PATIENCE);
        self.slots.push(Slot { id: self.last_id, to, octets, is_doubtful, until });
        self.last_id
    }

    /// The module has said what became of one.
    pub(super) fn end(&mut self, id: u8) -> Option<Slot> {
        let place = self.slots.iter().position(|slot| slot.id == id)?;
        Some(self.slots.remove(place))
    }

    /// One of which it has said nothing in time.
    pub(super) fn expire(&mut self, now: Time) -> Option<Slot> {
        let place = self.slots.iter().position(|slot| slot.until <= now)?;
        Some(self.slots.remove(place))
    }

    /// When the next one expires.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.slots.iter().map(|slot| slot.until).min()
    }

    /// Forgets them all, and says how many.
    pub(super) fn clear(&mut self) -> u64 {
        self.slots.drain(..).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(octet: u8) -> Address {
        Address::new(&[octet, 0]).unwrap()
    }

    #[test]
    fn those_who_get_nothing_have_half_of_it() {
        let mut window = Window::default();
        let (one, two, three) = (address(1), address(2), address(3));
        assert_eq!(window.begin(Time(0), Some(one), 9, true), 1);
        assert!(!window.takes(Some(&one), true));
        assert!(window.takes(Some(&two), true));
        window.begin(Time(100), Some(two), 9, true);
        assert!(!window.takes(Some(&three), true) && window.takes(Some(&three), false));
        window.begin(Time(100), Some(three), 9, false);
        assert!(window.takes(Some(&three), false) && window.is_open());
        window.begin(Time(100), Some(three), 9, false);
        assert!(!window.is_open());
        assert_eq!(window.begin(Time(100), None, 9, false), 0);
        assert_eq!(window.next_timeout(), Some(Time(5_000)));
        assert_eq!(window.expire(Time(4_999)), None);
        assert_eq!(window.expire(Time(5_000)).and_then(|slot| slot.to), Some(one));
        assert_eq!(window.expire(Time(5_000)), None);
        assert_eq!(window.end(1), None, "it is late");
        assert!(window.end(3).is_some() && window.end(3).is_none());
        assert!(window.is_open() && window.takes(None, false));
        assert_eq!(window.clear(), 2);
    }

    #[test]
    fn numbers_begin_again_and_never_are_0() {
        let mut window = Window::default();
        for turn in 0..1_000_u32 {
            let id = window.begin(Time(0), None, 9, false);
            assert_eq!(u32::from(id), turn % 255 + 1);
            assert!(window.end(id).is_some());
        }
    }
}
