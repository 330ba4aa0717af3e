//! How long things took, in little memory whatever their number.

/// Buckets a power of two.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Microseconds by size, to within 3 %.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        let index = bucket(value);
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, 0);
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The value that this share (0 to 1) of all values does not exceed; `None` if there are none.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(upper_edge(index).min(self.max));
            }
        }
        None
    }

    /// The largest value; `None` if there is none.
    pub(super) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / STEPS).saturating_sub(1);
    let first = (index - shift * STEPS) << shift;
    first + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut last = 0;
        for exponent in 0..50 {
            for value in
                [1_u64 << exponent, (1 << exponent) + (1 << exponent) / 3, 1 << exponent | 1]
            {
                let index = bucket(value);
                assert!(upper_edge(index) >= value, "{value}");
                assert!(index == 0 || upper_edge(index - 1) < value, "{value}");
                assert!(upper_edge(index) <= value + value / 16, "{value}");
                last = last.max(index);
            }
        }
        assert!(last < 2_000);
    }

    #[test]
    fn quantiles_are_what_they_say() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.max()), (None, None));
        (1..=1_000).for_each(|value| histogram.add(value));
        let near = |share, value: u64| {
            let found = histogram.quantile(share).unwrap();
            assert!(found.abs_diff(value) <= value / 30, "{share}: {found}");
        };
        near(0.5, 500);
        near(0.99, 990);
        assert_eq!(histogram.quantile(1.0), Some(1_000));
        assert_eq!(histogram.quantile(0.0), Some(1));
        assert_eq!(histogram.max(), Some(1_000));
    }
}
