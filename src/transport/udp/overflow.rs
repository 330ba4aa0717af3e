//! Datagrams that the kernel had no room for.

use std::collections::VecDeque;

use super::address::UdpAddress;
use super::batch::Outgoing;

/// Most datagrams waiting.
const MAX_DATAGRAMS: usize = 4_096;

/// Most octets waiting.
const MAX_BYTES: usize = 1024 * 1024;

/// A bounded queue of datagrams, oldest first.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

/// A datagram of its own.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) to: UdpAddress,
    pub(super) bytes: Box<[u8]>,
}

impl Overflow {
    /// Keeps a copy; `false` if there is no room.
    #[must_use]
    pub(super) fn push(&mut self, datagram: &Outgoing<'_>) -> bool {
        let bytes = self.bytes + datagram.bytes.len();
        if self.queue.len() >= MAX_DATAGRAMS || bytes > MAX_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back(Waiting { to: datagram.to, bytes: datagram.bytes.into() });
        true
    }

    /// Forgets the oldest.
    pub(super) fn pop(&mut self) {
        if let Some(waiting) = self.queue.pop_front() {
            self.bytes -= waiting.bytes.len();
        }
        if self.queue.is_empty() {
            // It was an exception; the memory goes back.
            self.queue = VecDeque::new();
        }
    }

    /// The oldest.
    pub(super) fn front(&self) -> Option<&Waiting> {
        self.queue.front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(bytes: &[u8]) -> Outgoing<'_> {
        Outgoing { to: UdpAddress::new("127.0.0.1:1".parse().unwrap(), None), bytes }
    }

    #[test]
    fn both_bounds_hold_and_room_comes_back() {
        let mut overflow = Overflow::default();
        let kept = (0..5_000).filter(|_| overflow.push(&datagram(b"x"))).count();
        assert_eq!(kept, MAX_DATAGRAMS);
        overflow.pop();
        assert!(overflow.push(&datagram(b"y")));

        let mut overflow = Overflow::default();
        let large = vec![0; 60_000];
        let kept = (0..100).filter(|_| overflow.push(&datagram(&large))).count();
        assert_eq!(kept, MAX_BYTES / 60_000);
        while !overflow.is_empty() {
            overflow.pop();
        }
        assert_eq!(overflow.bytes, 0);
        assert!(overflow.front().is_none());
    }
}
