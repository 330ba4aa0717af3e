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

/// A hash that is the same in every process, build and machine, for what is written down: FNV-1a over
/// the parts and their lengths. It tells apart what one device or broker says, and is not proof
/// against intent: whoever forges it fools himself.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut mix = |octet: u8| hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01B3);
    for part in parts {
        (part.len() as u64).to_le_bytes().into_iter().for_each(&mut mix);
        part.iter().copied().for_each(&mut mix);
    }
    hash
}
