//! Vectors that have few entries for most clients, and many for some.

use alloc::vec::Vec;

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

#[cfg(test)]
mod tests {
    use super::*;

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
