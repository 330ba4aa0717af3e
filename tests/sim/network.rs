//! The radio: decides what becomes of a datagram.

use crate::plan::RadioPlan;
use crate::rng::Rng;

/// One radio for everybody; each datagram meets its own fate.
pub struct Network {
    plan: RadioPlan,
    rng: Rng,
}

/// A copy of a datagram that will arrive.
pub struct Arrival {
    /// Milliseconds from now.
    pub delay: u64,
    pub bytes: Vec<u8>,
}

impl Network {
    /// A radio with these faults.
    pub fn new(plan: RadioPlan, rng: Rng) -> Self {
        Self { plan, rng }
    }

    /// No more faults.
    pub fn heal(&mut self) {
        self.plan = RadioPlan { loss: 0, duplication: 0, mangling: 0, delay: (1, 20) };
    }

    /// The copies of `bytes` that arrive, in no particular order.
    pub fn carry(&mut self, bytes: &[u8]) -> Vec<Arrival> {
        let copies = 1 + u64::from(self.rng.chance(self.plan.duplication));
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            if self.rng.chance(self.plan.loss) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.rng.chance(self.plan.mangling) {
                self.mangle(&mut bytes);
            }
            let delay = self.rng.between(self.plan.delay.0, self.plan.delay.1);
            arrivals.push(Arrival { delay, bytes });
        }
        arrivals
    }

    /// Makes the datagram longer or shorter than its Length says. Nobody can repair flipped bits
    /// without a checksum, but this must never be taken for a message.
    fn mangle(&mut self, bytes: &mut Vec<u8>) {
        if self.rng.chance(500) && bytes.len() > 1 {
            let keep = self.rng.between(1, bytes.len() as u64 - 1) as usize;
            bytes.truncate(keep);
        } else {
            for _ in 0..self.rng.between(1, 5) {
                bytes.push(self.rng.next() as u8);
            }
        }
    }
}
