//! One keyed hash for all tables: addresses and names are chosen by whoever sends them.

use core::hash::BuildHasher;

use foldhash::quality::{FixedState, FoldHasher};

/// Hash state, copied into every table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashing {
    seed: u64,
}

impl Hashing {
    /// Keyed by `seed`, which nobody outside should know.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

impl BuildHasher for Hashing {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        FixedState::with_seed(self.seed).build_hasher()
    }
}
