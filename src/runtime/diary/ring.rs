//! What happened to one client, oldest first, in a bounded number of octets.
//!
//! ```text
//! entry:  tag 1 │ whole length 2 │ kept length 2 │ time, ms 6 │ kept octets
//! ```

use tracing::Level;

use crate::core::LinkId;
use crate::time::Time;

/// Octets of a packet that are kept: what is shown of it fits.
pub(super) const KEPT: usize = 160;
/// Octets of a sentence that are kept.
const SAID: usize = 400;
/// Octets of an entry before those that it keeps.
const HEAD: usize = 11;
/// The least that a ring takes once there is something in it.
const LEAST: usize = 128;

/// The largest size of a ring that may take so many octets.
fn largest(quota: usize) -> usize {
    (1 << quota.max(LEAST).ilog2()) as usize
}

/// What an entry is; the number is its tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tag {
    /// A packet from the client.
    Received = 0,
    /// A packet for it.
    Sent = 1,
    /// It has changed its place; kept is the place where it was before.
    Moved = 2,
    /// A sentence, by its level.
    Error = 3,
    Warn = 4,
    Info = 5,
    Debug = 6,
}

impl Tag {
    const ALL: [Self; 7] =
        [Self::Received, Self::Sent, Self::Moved, Self::Error, Self::Warn, Self::Info, Self::Debug];

    pub(super) fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Received | Self::Sent => KEPT,
            _ => SAID,
        }
    }
}

/// Number of the link and octets of the address.
pub(super) type PlaceOctets<'a> = (LinkId, &'a [u8]);

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) tag: Tag,
    pub(super) time: Time,
    /// Length of the packet or the sentence before it was cut.
    pub(super) whole: usize,
    /// The packet or the beginning of it, or the sentence.
    pub(super) octets: Vec<u8>,
    /// Where the client was, see [`place`].
    pub(super) place: Box<[u8]>,
}

/// The entries of a client.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Written round and round; its length is a power of two, or nothing.
    octets: Box<[u8]>,
    /// Octets that were ever written, and how many of these are dropped: positions, modulo the length.
    written: u32,
    dropped: u32,
    /// Where the client is: two octets for the link, then the address. Nothing before its first packet.
    place: Box<[u8]>,
    /// Entries that were dropped.
    forgotten: u32,
}

impl Ring {
    /// Octets that it takes.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.octets.len() + self.place.len()
    }

    #[inline]
    fn used(&self) -> usize {
        self.written.wrapping_sub(self.dropped) as usize
    }

    /// Adds a packet; `quota` octets may be taken then.
    #[inline]
    pub(super) fn packet(
        &mut self,
        tag: Tag,
        time: Time,
        (link, address): PlaceOctets<'_>,
        packet: &[u8],
        quota: usize,
    ) {
        let head = link.0.to_le_bytes();
        let same = self.place.strip_prefix(&head).is_some_and(|known| known == address);
        if !same {
            let new = [&head[..], address].concat().into_boxed_slice();
            let old = std::mem::replace(&mut self.place, new);
            if self.used() > 0 {
                self.push(Tag::Moved, time, &old, quota);
            }
        }
        self.push(tag, time, packet, quota);
    }

    /// Adds an entry; `quota` octets may be taken then, [`LEAST`] at least.
    pub(super) fn push(&mut self, tag: Tag, time: Time, octets: &[u8], quota: usize) {
        let most = tag.most().min(quota.max(LEAST) / 2 - HEAD);
        let kept = octets.get(..most).unwrap_or(octets);
        let need = HEAD + kept.len();
        if self.used() + need > self.octets.len() {
            self.make_room(need, quota);
        }
        let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
        let mut head = [0; HEAD];
        head[0] = tag as u8;
        head[1..3].copy_from_slice(&length(octets.len()));
        head[3..5].copy_from_slice(&length(kept.len()));
        head[5..].copy_from_slice(&time.0.to_le_bytes()[..6]);
        self.append(&head);
        self.append(kept);
    }

    /// Copies octets to where there is room for them.
    #[inline]
    fn append(&mut self, octets: &[u8]) {
        let at = self.written as usize & self.octets.len().wrapping_sub(1);
        let (first, second) = octets.split_at(octets.len().min(self.octets.len() - at));
        self.octets[at..at + first.len()].copy_from_slice(first);
        self.octets[..second.len()].copy_from_slice(second);
        // An entry is never longer than what all of them may take.
        self.written = self.written.wrapping_add(octets.len() as u32);
    }

    /// Grows as far as it may, and drops the oldest entries until there is room for the next.
    #[cold]
    fn make_room(&mut self, need: usize, quota: usize) {
        let most = largest(quota);
        let wanted = (self.used() + need).next_power_of_two().clamp(LEAST, most);
        if wanted > self.octets.len() {
            self.resize(wanted);
        }
        self.drop_to(self.octets.len().saturating_sub(need));
    }

    /// Drops the oldest entries until the rest fits, and gives room back.
    pub(super) fn trim(&mut self, quota: usize) {
        let most = largest(quota);
        if self.octets.len() > most {
            self.drop_to(most);
            self.resize(most);
        }
    }

    /// Drops the oldest entries until no more than so many octets are in use.
    fn drop_to(&mut self, octets: usize) {
        while self.used() > octets {
            let length = self.at(3) + 256 * self.at(4);
            if self.at(0) != Tag::Moved as usize {
                self.forgotten = self.forgotten.saturating_add(1);
            }
            let end = (HEAD + length).min(self.used());
            self.dropped = self.dropped.wrapping_add(end as u32);
        }
    }

    /// The octet so far behind the oldest one.
    fn at(&self, offset: usize) -> usize {
        let position = (self.dropped as usize).wrapping_add(offset);
        let octet = self.octets.get(position & self.octets.len().wrapping_sub(1));
        usize::from(octet.copied().unwrap_or(0))
    }

    /// All that is in use, as it was written.
    fn contents(&self) -> Vec<u8> {
        let begin = self.dropped as usize & self.octets.len().wrapping_sub(1);
        let (second, first) = self.octets.split_at(begin.min(self.octets.len()));
        let mut all = [first, second].concat();
        all.truncate(self.used());
        all
    }

    /// Moves to room of another size, a power of two that everything in use fits into.
    fn resize(&mut self, size: usize) {
        let mut octets = self.contents();
        self.written = octets.len() as u32;
        self.dropped = 0;
        octets.resize(size, 0);
        self.octets = octets.into_boxed_slice();
    }

    /// What is needed to read it elsewhere.
    pub(super) fn snapshot(&self) -> RingSnapshot {
        let (octets, place) = (self.contents(), self.place.clone());
        RingSnapshot { octets, place, forgotten: self.forgotten }
    }
}

/// A ring at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct RingSnapshot {
    octets: Vec<u8>,
    place: Box<[u8]>,
    pub(super) forgotten: u32,
}

impl RingSnapshot {
    /// All entries but those about places, oldest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut rest = &self.octets[..];
        let mut entries = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
            let number = |at: usize| usize::from(head[at]) + 256 * usize::from(head[at + 1]);
            let Some((kept, behind)) = behind.split_at_checked(number(3)) else { break };
            let mut time = [0; 8];
            time[..6].copy_from_slice(&head[5..]);
            if let Some(tag) = Tag::ALL.get(usize::from(head[0])) {
                let time = Time(u64::from_le_bytes(time));
                let octets = kept.to_vec();
                let place = Box::default();
                entries.push(Entry { tag: *tag, time, whole: number(1), octets, place });
            }
            rest = behind;
        }
        // Where it is now is known; where it was before, each time that it moved.
        let mut place = self.place.clone();
        for entry in entries.iter_mut().rev() {
            if entry.tag == Tag::Moved {
                place = std::mem::take(&mut entry.octets).into_boxed_slice();
            } else {
                entry.place = place.clone();
            }
        }
        entries.retain(|entry| entry.tag != Tag::Moved);
        entries
    }
}

/// Link and address of [`Entry::place`]; `None` if the client was nowhere.
pub(super) fn place(octets: &[u8]) -> Option<PlaceOctets<'_>> {
    let (link, address) = octets.split_first_chunk::<2>()?;
    Some((LinkId(u16::from_le_bytes(*link)), address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: PlaceOctets<'_> = (LinkId(3), &[10, 0, 0, 1]);
    const THERE: PlaceOctets<'_> = (LinkId(4), &[]);

    fn shown(ring: &Ring) -> Vec<(Tag, u64, String, Option<u16>)> {
        let entries = ring.snapshot().entries().into_iter();
        entries
            .map(|entry| {
                let text = String::from_utf8(entry.octets).unwrap();
                (entry.tag, entry.time.0, text, place(&entry.place).map(|(link, _)| link.0))
            })
            .collect()
    }

    #[test]
    fn entries_come_back_in_order_with_their_places() {
        let mut ring = Ring::default();
        ring.push(Tag::Warn, Time(1), b"refused", 1_000);
        ring.packet(Tag::Received, Time(2), HERE, b"a", 1_000);
        ring.packet(Tag::Sent, Time(3), HERE, b"b", 1_000);
        ring.packet(Tag::Received, Time(1 << 47), THERE, b"c", 1_000);
        let text = |text: &str| text.to_owned();
        assert_eq!(
            shown(&ring),
            [
                (Tag::Warn, 1, text("refused"), None),
                (Tag::Received, 2, text("a"), Some(3)),
                (Tag::Sent, 3, text("b"), Some(3)),
                (Tag::Received, 1 << 47, text("c"), Some(4)),
            ]
        );
        // The first two go: where the third was is still known.
        ring.drop_to(3 * HEAD + 8);
        assert_eq!(ring.forgotten, 2);
        assert_eq!(shown(&ring)[0], (Tag::Sent, 3, text("b"), Some(3)));
    }

    #[test]
    fn of_a_long_packet_the_beginning_is_kept() {
        let mut ring = Ring::default();
        ring.packet(Tag::Received, Time(0), HERE, &[7; 1_000], 4_096);
        let entries = ring.snapshot().entries();
        assert_eq!((entries[0].whole, entries[0].octets.len()), (1_000, KEPT));
    }

    proptest! {
        #[test]
        fn no_more_is_kept_than_allowed_and_the_newest_is(
            entries in prop::collection::vec((0_usize..7, prop::collection::vec(any::<u8>(), 0..200), 128_usize..2_000), 1..300),
        ) {
            // Positions go round sooner or later.
            let begin = u32::MAX - 700;
            let mut ring = Ring { written: begin, dropped: begin, ..Ring::default() };
            let mut pushed = 0;
            for (tag, octets, quota) in &entries {
                let tag = Tag::ALL[*tag];
                match tag {
                    Tag::Received => ring.packet(tag, Time(0), HERE, octets, *quota),
                    Tag::Sent => ring.packet(tag, Time(0), THERE, octets, *quota),
                    Tag::Moved => { ring.trim(*quota); continue }
                    _ => ring.push(tag, Time(0), octets, *quota),
                }
                pushed += 1;
                let all = ring.snapshot().entries();
                prop_assert_eq!(all.len() + ring.forgotten as usize, pushed);
                let last = all.last().unwrap();
                prop_assert_eq!((last.tag, last.whole), (tag, octets.len()));
                prop_assert!(octets.starts_with(&last.octets));
                let before = ring.octets.len();
                ring.trim(*quota);
                prop_assert!(ring.octets.len() <= before.min(*quota));
            }
        }
    }
}
