//! Counts of values by their size, for metrics. Whole numbers in a unit that its owner knows.

/// Most bounds of a [`Histogram`].
const MAX_BOUNDS: usize = 15;

/// How often values of which size were seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Histogram {
    /// Ascending; a value belongs to the first bound that it is not above.
    bounds: &'static [i64],
    /// By bound; the last one that is used is of values above all of them.
    counts: [u64; MAX_BOUNDS + 1],
    sum: i64,
}

impl Histogram {
    /// Without values. `bounds` are ascending, and at most 15; more are left out.
    #[must_use]
    pub const fn new(bounds: &'static [i64]) -> Self {
        Self { bounds, counts: [0; MAX_BOUNDS + 1], sum: 0 }
    }

    /// One more value.
    #[inline]
    pub fn add(&mut self, value: i64) {
        let bounds = self.bounds();
        let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// The bounds.
    #[must_use]
    pub fn bounds(&self) -> &'static [i64] {
        self.bounds.get(..MAX_BOUNDS).unwrap_or(self.bounds)
    }

    /// Values up to each bound, those of the bounds before it included; all values as the last.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> + '_ {
        let used = self.counts.iter().take(self.bounds().len() + 1);
        used.scan(0, |total: &mut u64, count| {
            *total += count;
            Some(*total)
        })
    }

    /// The values together.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.sum
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_value_counts_for_every_bound_that_it_is_not_above() {
        let mut histogram = Histogram::new(&[-90, -60]);
        for value in [-100, -90, -89, -10] {
            histogram.add(value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((histogram.sum(), histogram.count()), (-289, 4));
    }
}
