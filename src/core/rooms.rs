//! What links and devices have room for. A slow link, or a device that has a connection of its own, says
//! how many octets of messages it still takes, and clients whose next message is one too many wait in
//! turn.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::hashing::Hashing;
use super::peer::{LinkId, PeerRef};
use super::settings::{LinkSettings, Pacing};
use super::slots::{Handle, KEPT};

/// What a device has room for, on a link with [`Pacing::Device`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeviceRoom {
    /// Octets of messages that it still takes, forwarders' headers included; the last packet may be
    /// longer than what is left.
    pub octets: u32,
    /// Longest packet that it takes, octets. The lesser of that and of
    /// [`LinkSettings::max_packet`] counts.
    pub largest: usize,
}

/// Of a link, or of a device.
#[derive(Debug)]
struct Room {
    /// Octets that it still takes, no limit if `None`. The last packet may have been larger than what
    /// was left.
    credit: Option<i64>,
    /// Longest packet that it carries, octets, as it found out itself.
    largest: usize,
    /// It is connected. A link counts as that.
    there: bool,
    /// Those that wait, each once, in the order of their turns.
    waiting: VecDeque<Handle>,
}

impl Room {
    /// Of a link that has said nothing.
    const OPEN: Self =
        Self { credit: None, largest: usize::MAX, there: true, waiting: VecDeque::new() };
    /// Of a device that is not there.
    const AWAY: Self =
        Self { credit: Some(0), largest: usize::MAX, there: false, waiting: VecDeque::new() };
}

static OPEN: Room = Room::OPEN;
static AWAY: Room = Room::AWAY;

#[derive(Debug)]
enum Link {
    /// Its devices share it.
    Whole(Room),
    /// Each of its devices has its own, by address: those that are there, and those that somebody
    /// waits for.
    Devices(HashMap<Vec<u8>, Room, Hashing>),
}

/// All links, by their numbers. Those at the end that never said anything are not there.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Vec<Link>);

impl Rooms {
    /// Those of these links, and of their devices, that say what they have room for have none before
    /// they do.
    pub(crate) fn new(links: &[LinkSettings], hasher: Hashing) -> Self {
        let mut rooms = Self::default();
        for (number, link) in (0..).map(LinkId).zip(links) {
            match link.pacing {
                Pacing::Never => {}
                Pacing::Link => {
                    rooms.set_credit(number, Some(0));
                }
                Pacing::Device => {
                    if let Some(place) = rooms.link(number) {
                        *place = Link::Devices(HashMap::with_hasher(hasher));
                    }
                }
            }
        }
        rooms
    }

    fn link(&mut self, link: LinkId) -> Option<&mut Link> {
        let index = usize::from(link.0);
        while self.0.len() <= index {
            self.0.push(Link::Whole(Room::OPEN));
        }
        self.0.get_mut(index)
    }

    #[inline]
    fn at(&self, peer: PeerRef<'_>) -> &Room {
        match self.0.get(usize::from(peer.link.0)) {
            None => &OPEN,
            Some(Link::Whole(room)) => room,
            Some(Link::Devices(rooms)) => rooms.get(peer.address).unwrap_or(&AWAY),
        }
    }

    fn known(&mut self, peer: PeerRef<'_>) -> Option<&mut Room> {
        match self.0.get_mut(usize::from(peer.link.0))? {
            Link::Whole(room) => Some(room),
            Link::Devices(rooms) => rooms.get_mut(peer.address),
        }
    }

    /// No link has ever said anything, and of none it is expected.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much a link takes from now on. Gives whether somebody has waited for that.
    pub(crate) fn set_credit(&mut self, link: LinkId, octets: Option<u32>) -> bool {
        let known = usize::from(link.0) < self.0.len();
        let Some(Link::Whole(room)) =
            (known || octets.is_some()).then(|| self.link(link)).flatten()
        else {
            return false;
        };
        room.credit = octets.map(i64::from);
        octets != Some(0) && !room.waiting.is_empty()
    }

    pub(crate) fn set_largest(&mut self, link: LinkId, octets: usize) {
        if let Some(Link::Whole(room)) = self.link(link) {
            room.largest = octets;
        }
    }

    /// How much a device takes from now on; `None` if it is not there. Gives whether somebody has
    /// waited for that.
    pub(crate) fn set_device(
        &mut self,
        link: LinkId,
        address: &[u8],
        told: Option<DeviceRoom>,
    ) -> bool {
        let Some(Link::Devices(rooms)) = self.0.get_mut(usize::from(link.0)) else { return false };
        let Some(DeviceRoom { octets, largest }) = told else {
            if let Some(room) = rooms.get_mut(address) {
                let waiting = core::mem::take(&mut room.waiting);
                *room = Room { waiting, ..Room::AWAY };
                forget_unused(rooms, address);
            }
            return false;
        };
        let room = rooms.entry_ref(address).or_insert(Room::AWAY);
        (room.credit, room.largest, room.there) = (Some(octets.into()), largest, true);
        octets > 0 && !room.waiting.is_empty()
    }

    /// Longest packet that reaches a peer as far as its link has found out, octets.
    #[inline]
    pub(crate) fn largest(&self, peer: PeerRef<'_>) -> usize {
        self.at(peer).largest
    }

    /// Whether one more packet can be sent there.
    #[inline]
    pub(crate) fn is_open(&self, peer: PeerRef<'_>) -> bool {
        self.at(peer).credit.is_none_or(|credit| credit > 0)
    }

    /// Whether anything that is sent there can arrive.
    #[inline]
    pub(crate) fn is_there(&self, peer: PeerRef<'_>) -> bool {
        self.at(peer).there
    }

    /// So many octets are sent there.
    #[inline]
    pub(crate) fn spend(&mut self, peer: PeerRef<'_>, octets: usize) {
        if let Some(credit) = self.known(peer).and_then(|room| room.credit.as_mut()) {
            *credit = credit.saturating_sub(i64::try_from(octets).unwrap_or(i64::MAX));
        }
    }

    /// A client that is not in a line is the last in the one for its address from now on.
    pub(crate) fn line_up(&mut self, peer: PeerRef<'_>, client: Handle) {
        let room = match self.link(peer.link) {
            None => return,
            Some(Link::Whole(room)) => room,
            Some(Link::Devices(rooms)) => rooms.entry_ref(peer.address).or_insert(Room::AWAY),
        };
        room.waiting.push_back(client);
    }

    /// The client whose turn it is.
    pub(crate) fn next(&mut self, peer: PeerRef<'_>) -> Option<Handle> {
        self.known(peer)?.waiting.pop_front()
    }

    /// A client does not wait any longer.
    pub(crate) fn leave(&mut self, peer: PeerRef<'_>, client: Handle) {
        let Some(room) = self.known(peer) else { return };
        room.waiting.retain(|other| *other != client);
        if let Some(Link::Devices(rooms)) = self.0.get_mut(usize::from(peer.link.0)) {
            forget_unused(rooms, peer.address);
        }
    }

    /// All that there are.
    fn iter(&self) -> impl Iterator<Item = &Room> {
        let whole = self.0.iter().filter_map(|link| match link {
            Link::Whole(room) => Some(room),
            Link::Devices(_) => None,
        });
        whole.chain(self.devices())
    }

    fn devices(&self) -> impl Iterator<Item = &Room> {
        let links = self.0.iter().filter_map(|link| match link {
            Link::Whole(_) => None,
            Link::Devices(rooms) => Some(rooms.values()),
        });
        links.flatten()
    }

    /// Clients that wait, everywhere together.
    pub(crate) fn waiting(&self) -> usize {
        self.iter().map(|room| room.waiting.len()).sum()
    }

    /// Devices of which something is known: those that are there, and those that somebody waits for.
    pub(crate) fn known_devices(&self) -> usize {
        self.devices().count()
    }

    /// Lets go of the memory of long lines that are empty, and of devices that are gone.
    pub(crate) fn give_back(&mut self) {
        for link in &mut self.0 {
            match link {
                Link::Whole(room) => room.waiting.shrink_to(KEPT),
                Link::Devices(rooms) => {
                    rooms.values_mut().for_each(|room| room.waiting.shrink_to(KEPT));
                    rooms.shrink_to(KEPT);
                }
            }
        }
    }
}

/// Nothing is kept of a device that is away and that nobody waits for.
fn forget_unused(rooms: &mut HashMap<Vec<u8>, Room, Hashing>, address: &[u8]) {
    if rooms.get(address).is_some_and(|room| !room.there && room.waiting.is_empty()) {
        rooms.remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::slots::Slots;

    const LINK: LinkId = LinkId(1);

    fn at(address: &[u8]) -> PeerRef<'_> {
        PeerRef { link: LINK, address, node: None }
    }

    fn rooms() -> Rooms {
        let link = |pacing| LinkSettings { pacing, ..LinkSettings::default() };
        Rooms::new(&[link(Pacing::Never), link(Pacing::Device)], Hashing::new(7))
    }

    fn capacity(rooms: &Rooms) -> usize {
        match rooms.0.get(1) {
            Some(Link::Devices(rooms)) => rooms.capacity(),
            _ => 0,
        }
    }

    #[test]
    fn without_a_slow_link_there_is_nothing_to_look_up() {
        let links = [LinkSettings::default(), LinkSettings::default()];
        assert!(Rooms::new(&links, Hashing::new(7)).is_empty());
        assert!(!rooms().is_empty());
    }

    #[test]
    fn a_device_is_known_while_it_is_there_or_awaited() {
        let (mut rooms, mut slots) = (rooms(), Slots::default());
        let client = slots.insert(());
        let room = |octets| Some(DeviceRoom { octets, largest: 20 });
        assert!(!rooms.set_device(LINK, b"a", None), "nothing was known");
        assert!(!rooms.set_device(LINK, b"a", room(5)));
        assert_eq!((rooms.known_devices(), rooms.largest(at(b"a"))), (1, 20));
        assert!(rooms.is_open(at(b"a")) && !rooms.is_open(at(b"b")));
        rooms.spend(at(b"a"), 6);
        assert!(!rooms.is_open(at(b"a")) && rooms.is_there(at(b"a")));
        rooms.line_up(at(b"a"), client);
        rooms.set_device(LINK, b"a", None);
        assert!(!rooms.is_open(at(b"a")) && !rooms.is_there(at(b"a")));
        assert_eq!((rooms.known_devices(), rooms.largest(at(b"a"))), (1, usize::MAX));
        assert!(!rooms.set_device(LINK, b"a", room(0)));
        assert!(rooms.set_device(LINK, b"a", room(1)));
        assert_eq!((rooms.next(at(b"a")), rooms.waiting()), (Some(client), 0));
        rooms.set_device(LINK, b"a", None);
        assert_eq!(rooms.known_devices(), 0);
        rooms.line_up(at(b"b"), client);
        rooms.leave(at(b"b"), client);
        assert_eq!(rooms.known_devices(), 0);
    }

    #[test]
    fn links_and_devices_say_nothing_for_each_other() {
        let mut rooms = rooms();
        let here = PeerRef { link: LinkId(0), ..at(b"a") };
        assert!(!rooms.set_device(LinkId(0), b"a", None) && rooms.is_open(here));
        assert!(!rooms.set_credit(LINK, None) && !rooms.is_open(at(b"a")));
        rooms.set_largest(LINK, 1);
        assert_eq!((rooms.largest(at(b"a")), rooms.largest(here)), (usize::MAX, usize::MAX));
        rooms.set_device(LinkId(9), b"a", Some(DeviceRoom { octets: 0, largest: 0 }));
        assert!(rooms.is_open(PeerRef { link: LinkId(9), ..at(b"a") }));
    }

    #[test]
    fn memory_comes_back() {
        let (mut rooms, mut slots) = (rooms(), Slots::default());
        let clients: Vec<Handle> = (0..10_000).map(|_| slots.insert(())).collect();
        for client in &clients {
            rooms.line_up(at(&client.slot.to_be_bytes()), *client);
        }
        assert_eq!((rooms.waiting(), rooms.known_devices()), (10_000, 10_000));
        for client in &clients {
            rooms.leave(at(&client.slot.to_be_bytes()), *client);
        }
        rooms.give_back();
        assert_eq!((rooms.waiting(), rooms.known_devices()), (0, 0));
        assert!(capacity(&rooms) < 2 * KEPT, "{}", capacity(&rooms));
    }
}
