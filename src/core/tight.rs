//! Vectors that have few entries for most clients, and many for some.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;

/// Up to so many entries there is no spare room.
const FEW: usize = 8;

/// Appends `item`. A hundred thousand clients with two subscriptions each shall not have room for
/// four; beyond a few entries the vector grows as it always does.
pub(crate) fn push<T>(entries: &mut Vec<T>, item: T) {
    if entries.len() == entries.capacity() && entries.len() < FEW {
        entries.reserve_exact(1);
    }
    entries.push(item);
}

/// Keeps the entries that satisfy; gives the memory back if there are none.
pub(crate) fn retain<T>(entries: &mut Vec<T>, keep: impl FnMut(&T) -> bool) {
    entries.retain(keep);
    if entries.is_empty() {
        *entries = Vec::new();
    }
}

/// A set in order, most often of one.
#[derive(Debug)]
pub(crate) enum Few<T> {
    One(T),
    #[expect(clippy::box_collection, reason = "one is what counts, and it is small")]
    Many(Box<Vec<T>>),
}

impl<T: Copy + Ord> Few<T> {
    /// Of these, in whatever order, each once.
    pub(crate) fn new(mut entries: Vec<T>) -> Self {
        entries.sort();
        entries.dedup();
        match *entries.as_slice() {
            [one] => Self::One(one),
            _ => Self::Many(Box::new(entries)),
        }
    }

    pub(crate) fn remove(&mut self, entry: &T) {
        match self {
            Self::One(one) if one == entry => *self = Self::Many(Box::default()),
            Self::One(_) => {}
            Self::Many(entries) => {
                if let Ok(at) = entries.binary_search(entry) {
                    entries.remove(at);
                }
            }
        }
    }

    /// Both in one.
    pub(crate) fn join(&mut self, other: Self) {
        let mut entries = match core::mem::replace(self, Self::Many(Box::default())) {
            Self::One(one) => Vec::from([one]),
            Self::Many(entries) => *entries,
        };
        entries.extend_from_slice(&other);
        // Two runs in order, which this sort merges.
        *self = Self::new(entries);
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Many(entries) => entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_a_set_in_order() {
        let mut few = Few::new(Vec::from([3]));
        assert!(matches!(few, Few::One(3)));
        few.remove(&4);
        assert_eq!(*few, [3]);
        few.join(Few::new(Vec::from([5, 3, 1, 5])));
        assert_eq!(*few, [1, 3, 5]);
        few.remove(&3);
        few.remove(&3);
        assert_eq!(*few, [1, 5]);
        let mut one = Few::One(7);
        one.remove(&7);
        assert!(one.is_empty());
        one.join(few);
        assert_eq!(*one, [1, 5]);
    }

    #[test]
    fn few_entries_have_no_spare_room() {
        let mut entries = Vec::new();
        for number in 0..100_u8 {
            push(&mut entries, number);
            if entries.len() <= FEW {
                assert_eq!(entries.capacity(), entries.len());
            }
        }
        assert!(entries.iter().copied().eq(0..100));
        retain(&mut entries, |number| *number > 98);
        assert_eq!(entries, [99]);
        retain(&mut entries, |_| false);
        assert_eq!(entries.capacity(), 0);
    }
}
