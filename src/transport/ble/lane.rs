//! What waits for one device that is connected: filled by the loop, emptied by the task that writes to the
//! device.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::nap::Nap;
use super::settings::Mac;
use crate::core::Address;
use crate::transport::queue::{Queue, Queued};

/// Octets that may wait, at least.
const LEAST: usize = 2_048;

/// The way to one device. It is locked for moments only.
#[derive(Debug)]
pub(super) struct Lane {
    device: Mac,
    address: Address,
    /// Longest packet that the device takes, octets.
    largest: usize,
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// The loop has been told that there is more room, and has not looked yet.
    told: bool,
    nap: Nap,
    last: Instant,
}

impl Lane {
    pub(super) fn new(device: Mac, address: Address, largest: usize) -> Self {
        let inner = Inner {
            queue: Queue::new(LEAST.max(2 * largest)),
            told: false,
            nap: Nap::default(),
            last: Instant::now(),
        };
        Self { device, address, largest, inner: Mutex::new(inner), filled: Notify::new() }
    }

    pub(super) fn device(&self) -> Mac {
        self.device
    }

    /// How the core knows the device.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody leaves it in disorder.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the loop: queues a packet.
    pub(super) fn push(&self, packet: &[u8]) -> Queued {
        let queued = self.lock().queue.push(Some(&self.address), packet);
        self.filled.notify_one();
        queued
    }

    /// For the loop: what waits with this header of a forwarder, or without, is of no use any more.
    pub(super) fn recall(&self, head: &[u8]) {
        self.lock().queue.recall(&self.address, head);
    }

    /// For the loop: octets of messages for which there is room. It will be told when there is more.
    pub(super) fn room(&self) -> usize {
        let mut inner = self.lock();
        inner.told = false;
        inner.queue.room()
    }

    /// For the loop: forgets what waits, and says how many packets that were.
    pub(super) fn clear(&self) -> u64 {
        self.lock().queue.clear()
    }

    /// For the task: the packet whose turn it is.
    pub(super) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(next) = self.lock().queue.pop(|_| true) {
                return next.packet;
            }
            self.filled.notified().await;
        }
    }

    /// For the task: a packet has been written. Gives whether the loop has to be told of the room.
    pub(super) fn written(&self, packet: Vec<u8>) -> bool {
        let mut inner = self.lock();
        inner.nap.sent(&packet);
        inner.last = Instant::now();
        inner.queue.reuse(packet);
        !std::mem::replace(&mut inner.told, true)
    }

    /// For the task: the device has sent a packet.
    pub(super) fn heard(&self, packet: &[u8]) {
        let mut inner = self.lock();
        inner.nap.heard(packet);
        inner.last = Instant::now();
    }

    /// Whether the device has gone to sleep, or is awake for a moment only.
    pub(super) fn sleeps(&self) -> bool {
        self.lock().nap.is_announced()
    }

    /// How long the device has said nothing and has been told nothing, and whether it sleeps.
    pub(super) fn quiet(&self) -> (Duration, bool) {
        let inner = self.lock();
        (inner.last.elapsed(), inner.nap.is_resting())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_loop_puts_in_comes_out_and_makes_room() {
        let address = Address::new(&[1; 6]).unwrap();
        let lane = Lane::new(Mac([1; 6]), address, 100);
        let publish = [&[100, 0x0C, 0x20, 0, 1, 0, 1][..], &[7; 93]].concat();
        let before = lane.room();
        assert_eq!(lane.push(&publish), Queued::Waits);
        assert_eq!(lane.push(&publish), Queued::Already);
        assert_eq!(lane.push(&[7, 0x0D, 0, 1, 0, 1, 0]), Queued::Waits);
        assert_eq!(lane.room(), before - 100);

        let first = lane.next().await;
        assert_eq!(first, [7, 0x0D, 0, 1, 0, 1, 0], "answers go first");
        assert!(lane.written(first));
        let second = lane.next().await;
        assert_eq!(second, publish);
        assert!(!lane.written(second), "the loop has been told");
        assert_eq!(lane.room(), before);
        let woken = async {
            tokio::task::yield_now().await;
            lane.push(&[2, 0x17])
        };
        let (third, _) = tokio::join!(lane.next(), woken);
        assert!(lane.written(third));

        assert!(!lane.sleeps());
        lane.heard(&[4, 0x18, 0, 60]);
        assert!(lane.sleeps() && !lane.quiet().1);
        lane.written(vec![2, 0x18]);
        assert!(lane.sleeps() && lane.quiet().1);
        lane.push(&[2, 0x17]);
        assert_eq!(lane.clear(), 1);
    }
}
