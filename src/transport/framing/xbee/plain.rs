//! Frames as they are: mode 1.
//!
//! A 7E within a frame looks like the beginning of one. What turns out to be none is looked through
//! again from the octet after its 7E: if its checksum is wrong, or if it was followed by silence and then
//! by a 7E instead of its rest. Silence alone says nothing: it may be we who were busy.

use std::time::Duration;

use super::{Discarded, Head, START, Sender, checksum, head};
use crate::time::Time;

/// 7E and length before the data, checksum after it.
const BEFORE: usize = 3;
const AROUND: usize = BEFORE + 1;

/// Finds frames.
#[derive(Debug)]
pub(super) struct Decoder {
    from: Sender,
    longest: usize,
    gap: Duration,
    /// From the 7E of what may be a frame.
    pub(super) buffer: Vec<u8>,
    /// The last octet was skipped: the next one belongs to the same damage.
    lost: bool,
    last: Time,
    pub(super) discarded: Discarded,
}

impl Decoder {
    pub(super) fn new(from: Sender, longest: usize, gap: Duration) -> Self {
        Self {
            from,
            longest,
            gap,
            buffer: Vec::new(),
            lost: false,
            last: Time(0),
            discarded: Discarded::default(),
        }
    }

    pub(super) fn feed(&mut self, now: Time, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        let Some(first) = octets.first() else { return };
        if now.since(self.last) > self.gap && *first == START {
            self.give_up(each);
        }
        self.last = now;
        // No more at once than a frame may have, so that the buffer has a bound.
        for some in octets.chunks(self.longest) {
            self.buffer.extend_from_slice(some);
            self.take(0, each);
        }
    }

    pub(super) fn reset(&mut self) {
        self.discarded.octets += self.buffer.len() as u64;
        self.buffer.clear();
        self.lost = false;
    }

    /// What looked like a frame was none.
    fn give_up(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.discarded.cut_off += u64::from(!self.buffer.is_empty());
        while !self.buffer.is_empty() {
            self.discarded.octets += 1;
            self.lost = true;
            self.take(1, each);
        }
    }

    /// Gives away what is complete, after so many octets that are none.
    fn take(&mut self, skip: usize, each: &mut dyn FnMut(&[u8])) {
        let mut at = skip;
        while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
            match whole(rest, self.from, self.longest) {
                Head::Open => break,
                Head::Noise => {
                    self.discarded.damaged += u64::from(!self.lost);
                    self.discarded.octets += 1;
                    self.lost = true;
                    at += 1;
                }
                Head::Data(length) => {
                    each(rest.get(BEFORE..BEFORE + length).unwrap_or(&[]));
                    self.lost = false;
                    at += length + AROUND;
                }
            }
        }
        self.buffer.drain(..at);
    }
}

/// The frame that begins here, if it is whole.
fn whole(octets: &[u8], from: Sender, longest: usize) -> Head {
    let Some((&START, rest)) = octets.split_first() else { return Head::Noise };
    let head = head(rest, from, longest);
    let Head::Data(length) = head else { return head };
    match (octets.get(BEFORE..BEFORE + length), octets.get(BEFORE + length)) {
        (Some(data), Some(sum)) if checksum(data) == *sum => head,
        (Some(_), Some(_)) => Head::Noise,
        _ => Head::Open,
    }
}
