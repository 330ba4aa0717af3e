//! What links have room for. A slow one says how many octets of messages it still takes, and clients
//! whose next message is one too many wait in turn.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::peer::LinkId;
use super::settings::LinkSettings;
use super::slots::{Handle, KEPT};

/// One link.
#[derive(Debug)]
struct Room {
    /// Octets that it still takes, no limit if `None`. The last packet may have been larger than what
    /// was left.
    credit: Option<i64>,
    /// Longest packet that it carries, octets, as it found out itself.
    largest: usize,
    /// Those that wait, each once, in the order of their turns.
    waiting: VecDeque<Handle>,
}

/// All links, by their numbers. Those at the end that never said anything are not there.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Vec<Room>);

impl Rooms {
    /// Those of these links that say what they have room for have none before they do.
    pub(crate) fn new(links: &[LinkSettings]) -> Self {
        let mut rooms = Self::default();
        for (link, _) in (0..).zip(links).filter(|(_, link)| link.paced) {
            rooms.set_credit(LinkId(link), Some(0));
        }
        rooms
    }

    fn room(&mut self, link: LinkId) -> Option<&mut Room> {
        let index = usize::from(link.0);
        while self.0.len() <= index {
            self.0.push(Room { credit: None, largest: usize::MAX, waiting: VecDeque::new() });
        }
        self.0.get_mut(index)
    }

    fn known(&mut self, link: LinkId) -> Option<&mut Room> {
        self.0.get_mut(usize::from(link.0))
    }

    /// No link has ever said anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much a link takes from now on. Gives whether somebody has waited for that.
    pub(crate) fn set_credit(&mut self, link: LinkId, octets: Option<u32>) -> bool {
        let room = if octets.is_some() { self.room(link) } else { self.known(link) };
        let Some(room) = room else { return false };
        room.credit = octets.map(i64::from);
        octets != Some(0) && !room.waiting.is_empty()
    }

    pub(crate) fn set_largest(&mut self, link: LinkId, octets: usize) {
        if let Some(room) = self.room(link) {
            room.largest = octets;
        }
    }

    /// Longest packet that a link carries as far as it has found out, octets.
    #[inline]
    pub(crate) fn largest(&self, link: LinkId) -> usize {
        self.0.get(usize::from(link.0)).map_or(usize::MAX, |room| room.largest)
    }

    /// Whether a link takes one more packet.
    #[inline]
    pub(crate) fn is_open(&self, link: LinkId) -> bool {
        let room = self.0.get(usize::from(link.0));
        room.and_then(|room| room.credit).is_none_or(|credit| credit > 0)
    }

    /// A link is given so many octets.
    #[inline]
    pub(crate) fn spend(&mut self, link: LinkId, octets: usize) {
        if let Some(credit) = self.known(link).and_then(|room| room.credit.as_mut()) {
            *credit = credit.saturating_sub(i64::try_from(octets).unwrap_or(i64::MAX));
        }
    }

    /// A client that is not in the line of a link is the last in it from now on.
    pub(crate) fn line_up(&mut self, link: LinkId, client: Handle) {
        if let Some(room) = self.room(link) {
            room.waiting.push_back(client);
        }
    }

    /// The client whose turn it is.
    pub(crate) fn next(&mut self, link: LinkId) -> Option<Handle> {
        self.known(link)?.waiting.pop_front()
    }

    /// A client does not wait any longer.
    pub(crate) fn leave(&mut self, link: LinkId, client: Handle) {
        if let Some(room) = self.known(link) {
            room.waiting.retain(|other| *other != client);
        }
    }

    /// Clients that wait, at all links together.
    pub(crate) fn waiting(&self) -> usize {
        self.0.iter().map(|room| room.waiting.len()).sum()
    }

    /// Lets go of the memory of long lines that are empty.
    pub(crate) fn give_back(&mut self) {
        for room in &mut self.0 {
            if room.waiting.is_empty() && room.waiting.capacity() > KEPT {
                room.waiting = VecDeque::new();
            }
        }
    }
}
