//! Timers: one per client, in a wheel of four levels, so that a hundred thousand idle clients cost
//! nothing and re-arming costs a few stores.

use alloc::vec::Vec;

use super::slots::KEPT;
use crate::time::Time;

/// Length of a tick: timers fire up to this late.
const TICK_MS: u64 = 16;
const SLOTS: usize = 64;
const LEVELS: usize = 4;
const NIL: u32 = u32::MAX;

/// Where a key hangs in the wheel.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Due tick; meaningless while not armed.
    due: u64,
    next: u32,
    previous: u32,
    /// Index into the buckets, `NIL` while not armed.
    bucket: u32,
}

const IDLE: Node = Node { due: 0, next: NIL, previous: NIL, bucket: NIL };

/// A hierarchical timer wheel over small integer keys.
#[derive(Debug)]
pub(crate) struct Wheel {
    now: u64,
    nodes: Vec<Node>,
    heads: [u32; SLOTS * LEVELS],
    occupied: [u64; LEVELS],
    armed: usize,
}

fn tick_of(time: Time) -> u64 {
    time.0.div_ceil(TICK_MS)
}

/// Bits below a level's slot index.
fn shift(level: usize) -> u32 {
    (level as u32).saturating_mul(6)
}

impl Wheel {
    /// An empty wheel that starts at `now`.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            now: now.0 / TICK_MS,
            nodes: Vec::new(),
            heads: [NIL; SLOTS * LEVELS],
            occupied: [0; LEVELS],
            armed: 0,
        }
    }

    /// Arms `key` for `at`, replacing what was armed before. A moment in the past fires at the next
    /// [`Self::pop`]; one beyond the wheel's reach (some 74 hours) fires early and has to be armed
    /// again by whoever asked.
    pub(crate) fn arm(&mut self, key: u32, at: Time) {
        self.disarm(key);
        if self.nodes.len() <= key as usize {
            self.nodes.resize(key as usize + 1, IDLE);
        }
        self.link(key, tick_of(at));
        self.armed += 1;
    }

    /// Forgets the timer of `key`.
    pub(crate) fn disarm(&mut self, key: u32) {
        if self.unlink(key) {
            self.armed = self.armed.saturating_sub(1);
        }
    }

    /// Lets go of the memory if nothing is armed.
    pub(crate) fn give_back(&mut self) {
        if self.armed == 0 && self.nodes.len() > KEPT {
            self.nodes = Vec::new();
        }
    }

    /// When [`Self::pop`] is worth calling next: never later than the first timer, at times earlier
    /// (a level has to be sorted into the one below).
    pub(crate) fn next(&self) -> Option<Time> {
        if self.armed == 0 {
            return None;
        }
        let mut best = u64::MAX;
        for level in 0..LEVELS {
            let occupied = self.occupied.get(level).copied().unwrap_or(0);
            if occupied == 0 {
                continue;
            }
            let shift = shift(level);
            let position = self.now >> shift;
            // Rotate so that the current position is bit 0.
            let distance =
                u64::from(occupied.rotate_right((position % SLOTS as u64) as u32).trailing_zeros());
            // At level 0 a bit at the position itself is due now; above, that slot was already
            // sorted down, so it means a full turn.
            let distance = if level > 0 && distance == 0 { SLOTS as u64 } else { distance };
            best = best.min((position + distance) << shift);
        }
        Some(Time(best.max(self.now).saturating_mul(TICK_MS)))
    }

    /// Takes out one key that is due at `now`; call until it gives nothing.
    pub(crate) fn pop(&mut self, now: Time) -> Option<u32> {
        let target = now.0 / TICK_MS;
        loop {
            let head = self.heads.get((self.now % SLOTS as u64) as usize).copied().unwrap_or(NIL);
            if head != NIL {
                self.disarm(head);
                return Some(head);
            }
            if self.now >= target {
                return None;
            }
            if self.armed == 0 {
                self.now = target;
                return None;
            }
            // Jump over empty ticks, but stop wherever a level turns over.
            let next = self.next().map_or(target, |at| at.0 / TICK_MS);
            self.now = next.clamp(self.now + 1, target);
            self.cascade();
        }
    }

    /// Sorts the slots that the current tick has just entered into lower levels.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = shift(level);
            if self.now & ((1 << shift) - 1) != 0 {
                continue;
            }
            let slot = ((self.now >> shift) % SLOTS as u64) as usize;
            let bucket = level * SLOTS + slot;
            while let Some(&head) = self.heads.get(bucket).filter(|head| **head != NIL) {
                let due = self.nodes.get(head as usize).map_or(0, |node| node.due);
                self.unlink(head);
                self.link(head, due);
            }
        }
    }

    fn link(&mut self, key: u32, due: u64) {
        let due = due.max(self.now);
        let reach = (1_u64 << shift(LEVELS)) - (1 << shift(LEVELS - 1)) - 1;
        let slot_due = due.min(self.now + reach);
        let mut level = 0;
        while level + 1 < LEVELS
            && (slot_due >> shift(level)) - (self.now >> shift(level)) >= SLOTS as u64
        {
            level += 1;
        }
        let slot = ((slot_due >> shift(level)) % SLOTS as u64) as usize;
        let bucket = level * SLOTS + slot;
        let Some(head) = self.heads.get_mut(bucket) else { return };
        let next = core::mem::replace(head, key);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = key;
        }
        if let Some(node) = self.nodes.get_mut(key as usize) {
            *node = Node { due: slot_due, next, previous: NIL, bucket: bucket as u32 };
        }
        if let Some(bits) = self.occupied.get_mut(level) {
            *bits |= 1 << slot;
        }
    }

    fn unlink(&mut self, key: u32) -> bool {
        let Some(node) = self.nodes.get_mut(key as usize) else { return false };
        let Node { next, previous, bucket, .. } = *node;
        if bucket == NIL {
            return false;
        }
        *node = IDLE;
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = previous;
        }
        if let Some(node) = self.nodes.get_mut(previous as usize) {
            node.next = next;
        } else if let Some(head) = self.heads.get_mut(bucket as usize) {
            *head = next;
            if next == NIL
                && let Some(bits) = self.occupied.get_mut(bucket as usize / SLOTS)
            {
                *bits &= !(1 << (bucket as usize % SLOTS));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    /// Compares with a sorted map over random arms, disarms and jumps of time.
    #[test]
    fn fires_like_a_sorted_map() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut now = Time(123_456);
        let mut wheel = Wheel::new(now);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        for _ in 0..60_000 {
            let key = (random() % 200) as u32;
            match random() % 8 {
                0..=3 => {
                    let far = [100, 5_000, 400_000, 90_000_000][(random() % 4) as usize];
                    let at = now.0.saturating_sub(50) + random() % far;
                    wheel.arm(key, Time(at));
                    model.insert(key, at);
                }
                4 => {
                    wheel.disarm(key);
                    model.remove(&key);
                }
                _ => {
                    now = if random() % 4 == 0 {
                        wheel.next().unwrap_or(now).max(now)
                    } else {
                        Time(now.0 + random() % [20, 3_000, 2_000_000][(random() % 3) as usize])
                    };
                    while let Some(key) = wheel.pop(now) {
                        let at = model.remove(&key).expect("fired a timer that was not armed");
                        assert!(at <= now.0 + TICK_MS, "fired {} ms early", at - now.0);
                    }
                    for (key, at) in &model {
                        assert!(at + 2 * TICK_MS > now.0, "{key} is {} ms late", now.0 - at);
                    }
                }
            }
            if let Some(first) = model.values().min() {
                let next = wheel.next().expect("something is armed");
                assert!(next.0 <= (first + TICK_MS).max(now.0), "{next:?} for {first}");
            }
        }
    }

    #[test]
    fn nothing_armed_nothing_to_wait_for() {
        let mut wheel = Wheel::new(Time(0));
        assert_eq!(wheel.next(), None);
        wheel.arm(3, Time(1_000));
        wheel.disarm(3);
        assert_eq!(wheel.next(), None);
        assert_eq!(wheel.pop(Time(u64::from(u32::MAX))), None);
    }
}
