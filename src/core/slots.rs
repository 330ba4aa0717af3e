//! A table whose handles go stale: an answer that comes late cannot hit a newcomer in its place.

use alloc::vec::Vec;

/// Names an entry of [`Slots`]. A handle of a removed entry finds nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Handle {
    pub(crate) slot: u32,
    generation: u32,
}

/// Names a client as long as its record lives, for those who keep something of their own about it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientKey(pub(crate) Handle);

impl ClientKey {
    /// A small number that no other client has at the same time.
    #[must_use]
    pub fn slot(self) -> u32 {
        self.0.slot
    }
}

impl Handle {
    /// As one number, for tokens.
    pub(crate) fn to_bits(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.slot)
    }

    /// From [`Self::to_bits`].
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { slot: (bits & 0xFFFF_FFFF) as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Entries with stable slots and generations.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// Where generations begin; higher than any that was given away with an emptied table.
    first: u32,
}

/// Most places of a table that is put together.
const MAX_PLACES: u32 = 4_000_000;

/// A table that had no more entries than this at once is kept.
pub(crate) const KEPT: usize = 256;

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), first: 1 }
    }
}

impl<T> Slots<T> {
    /// Adds an entry.
    pub(crate) fn insert(&mut self, value: T) -> Handle {
        while let Some(index) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.value = Some(value);
                return Handle { slot: index, generation: slot.generation };
            }
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        debug_assert!(index != u32::MAX, "callers bound what they insert");
        let generation = self.first;
        self.slots.push(Slot { generation, value: Some(value) });
        Handle { slot: index, generation }
    }

    /// Adds an entry at a place of its own choice; `None` if that is taken. For a table that is being
    /// put together: the places in between are found again by [`Self::close_gaps`].
    pub(crate) fn insert_at(&mut self, index: u32, value: T) -> Option<Handle> {
        if index >= MAX_PLACES {
            return None;
        }
        let generation = self.first;
        while self.slots.len() <= index as usize {
            self.slots.push(Slot { generation, value: None });
        }
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.value.is_none())?;
        slot.value = Some(value);
        Some(Handle { slot: index, generation: slot.generation })
    }

    /// Makes every empty place one that can be used, lowest first.
    pub(crate) fn close_gaps(&mut self) {
        let empty = self.slots.iter().enumerate().rev().filter(|(_, slot)| slot.value.is_none());
        self.free = empty.map(|(index, _)| index as u32).collect();
    }

    /// Number of places, taken or not.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<T> {
        let slot = self.slots.get_mut(handle.slot as usize)?;
        if slot.generation != handle.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.slot);
        Some(value)
    }

    /// Lets go of the memory of a large table that is empty. Handles from before stay stale.
    pub(crate) fn give_back(&mut self) {
        if self.slots.len() <= KEPT || self.free.len() < self.slots.len() {
            return;
        }
        let given = self.slots.iter().map(|slot| slot.generation.wrapping_sub(self.first)).max();
        self.first = self.first.wrapping_add(given.unwrap_or(0));
        self.slots = Vec::new();
        self.free = Vec::new();
    }

    #[inline]
    pub(crate) fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.slot as usize)?;
        if slot.generation == handle.generation { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let slot = self.slots.get_mut(handle.slot as usize)?;
        if slot.generation == handle.generation { slot.value.as_mut() } else { None }
    }

    /// Whatever lives in `slot` now.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    /// The handle of whatever lives in `slot` now.
    pub(crate) fn handle_at(&self, slot: u32) -> Option<Handle> {
        let entry = self.slots.get(slot as usize)?;
        entry.value.as_ref().map(|_| Handle { slot, generation: entry.generation })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// All entries with their handles.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let handle = Handle { slot: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (handle, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_table_gives_its_memory_back_and_handles_stay_stale() {
        let mut slots = Slots::default();
        let mut stale = Vec::new();
        for round in 0..3 {
            let entries: Vec<Handle> = (0..=KEPT).map(|number| slots.insert(number)).collect();
            // One place is used more often than the others.
            for _ in 0..round {
                let extra = slots.insert(7);
                slots.remove(extra);
                stale.push(extra);
            }
            for handle in &entries {
                assert!(slots.remove(*handle).is_some());
            }
            slots.give_back();
            assert_eq!((slots.len(), slots.slots.capacity(), slots.free.capacity()), (0, 0, 0));
            stale.extend(entries);
        }
        let entries: Vec<Handle> = (0..KEPT + 5).map(|number| slots.insert(number)).collect();
        assert!(stale.iter().all(|handle| slots.get(*handle).is_none()));
        assert!(entries.iter().all(|handle| slots.get(*handle).is_some()));
    }

    #[test]
    fn a_stale_handle_finds_nothing_even_when_the_slot_is_taken_again() {
        let mut slots = Slots::default();
        let first = slots.insert("a");
        assert_eq!(slots.remove(first), Some("a"));
        let second = slots.insert("b");
        assert_eq!(second.slot, first.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(Handle::from_bits(second.to_bits())), Some(&"b"));
        assert_eq!(slots.len(), 1);
    }
}
