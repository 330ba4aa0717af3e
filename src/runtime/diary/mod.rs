//! The diary: the last packets of each client and what became of them, in bounded memory, for whoever
//! asks why a device is silent. Those who watch are told at once.

mod people;
mod ring;
mod watch;

use std::fmt::Write as _;
use std::sync::Arc;

use people::{People, Who};
use ring::{Entry, KEPT, PlaceOctets, Ring, RingSnapshot, Tag};
use tracing::Level;
use watch::Watchers;

use super::sentence::{self, Sentence};
use super::whose::{Callers, named};
use crate::admin::api::Client;
use crate::admin::{Happening, PacketEntry, WatchQuery, Watched, Watching, What};
use crate::core::{Address, ClientKey, Effect, Effects, Gateway, LinkId};
use crate::time::Time;
use crate::transport::udp::Shown;

/// Octets for all clients together.
const BUDGET: usize = 32 * 1024 * 1024;
/// Octets for packets of those that are no clients.
const STRANGERS: usize = 64 * 1024;
/// Octets of a client id of somebody who never was a client.
const LONGEST_GUEST: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Diary {
    people: People,
    strangers: Ring,
    /// Who the client in a place of the core's table is.
    places: Vec<Option<(ClientKey, Who)>>,
    /// Names of the links, by number.
    links: Vec<Arc<str>>,
    watchers: Watchers,
    /// Reused.
    text: String,
}

impl Diary {
    pub(super) fn new(links: &[String]) -> Self {
        Self {
            people: People::new(BUDGET),
            strangers: Ring::default(),
            places: Vec::new(),
            links: links.iter().map(|name| Arc::from(&**name)).collect(),
            watchers: Watchers::default(),
            text: String::new(),
        }
    }

    /// A packet has just been handled.
    pub(super) fn received(
        &mut self,
        now: Time,
        gateway: &Gateway,
        link: LinkId,
        from: &Address,
        packet: &[u8],
    ) {
        let who = match named(packet) {
            Some(id) => self.somebody(gateway, id),
            None => gateway.client_in_hand().and_then(|key| self.who(gateway, key)),
        };
        self.packet(now, who, Tag::Received, (link, from.octets()), packet);
    }

    /// These packets are sent.
    pub(super) fn sent(
        &mut self,
        now: Time,
        gateway: &Gateway,
        effects: &Effects,
        callers: &Callers,
    ) {
        for (position, effect) in effects.items().iter().enumerate() {
            let Effect::Send { link, to, bytes, client } = effect else { continue };
            let who = match client {
                Some(key) => self.who(gateway, *key),
                None => callers.of(position).and_then(|id| self.somebody(gateway, id)),
            };
            let place = (*link, to.octets());
            self.packet(now, who, Tag::Sent, place, effects.bytes(*bytes));
        }
    }

    /// The core has noticed something. `links` are the names of the links where places need them.
    pub(super) fn noticed(
        &mut self,
        now: Time,
        gateway: &Gateway,
        effects: &Effects,
        links: &[String],
    ) {
        self.watchers.miss(effects.unsaid());
        for notice in effects.notices() {
            let id = sentence::client(notice).map(|span| effects.bytes(span));
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            if id.is_none() && !sentence::is_of_a_stranger(notice) {
                continue;
            }
            let who = id.and_then(|id| self.somebody(gateway, id));
            if let (Some(id), Some(who)) = (id, who) {
                self.people.set_gone(who, gateway.client(id).is_none());
            }
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", Sentence { notice, effects, links });
            let level = sentence::level(notice);
            let tag = Tag::of(level);
            match who {
                Some(who) => {
                    let write =
                        |ring: &mut Ring, quota| ring.push(tag, now, text.as_bytes(), quota);
                    self.people.write(who, write);
                }
                None => self.strangers.push(tag, now, text.as_bytes(), STRANGERS),
            }
            if self.watchers.want_states() {
                self.tell_state(now, gateway, id, level, &text);
            }
            self.text = text;
        }
    }

    /// Those who watch are told a sentence, and how the client stands now.
    fn tell_state(
        &mut self,
        now: Time,
        gateway: &Gateway,
        id: Option<&str>,
        level: Level,
        text: &str,
    ) {
        self.watchers.tell(id, false, || {
            let what = What::Sentence(level, text.to_owned());
            Watched::Happened(id.map(Into::into), Happening { time: now, what })
        });
        let Some(id) = id else { return };
        let links = &self.links;
        let view = gateway.client(id);
        self.watchers.tell(Some(id), false, || match &view {
            Some(view) => Watched::Client(Box::new(Client::new(view, links))),
            None => Watched::Removed(id.into()),
        });
    }

    fn packet(
        &mut self,
        now: Time,
        who: Option<Who>,
        tag: Tag,
        place: PlaceOctets<'_>,
        packet: &[u8],
    ) {
        match who {
            Some(who) => {
                self.people.write(who, |ring, quota| ring.packet(tag, now, place, packet, quota));
            }
            None => self.strangers.packet(tag, now, place, packet, STRANGERS),
        }
        if self.watchers.want_packets() {
            let id = who.and_then(|who| self.people.id(who));
            let links = &self.links;
            self.watchers.tell(id, true, || {
                let kept = packet.get(..KEPT).unwrap_or(packet).to_vec();
                let entry = packet_entry(tag, Some(place), packet.len(), kept, links);
                let happening = Happening { time: now, what: What::Packet(entry) };
                Watched::Happened(id.map(Into::into), happening)
            });
        }
    }

    /// Who a client of the core is.
    #[inline]
    fn who(&mut self, gateway: &Gateway, key: ClientKey) -> Option<Who> {
        let place = key.slot() as usize;
        if let Some(Some((known, who))) = self.places.get(place)
            && *known == key
            && self.people.ring(*who).is_some()
        {
            return Some(*who);
        }
        let who = self.people.find_or_add(gateway.client_of(key)?.id(), false);
        if self.places.len() <= place {
            self.places.resize(place + 1, None);
        }
        if let Some(known) = self.places.get_mut(place) {
            *known = Some((key, who));
        }
        Some(who)
    }

    /// Who has this id, client or not.
    fn somebody(&mut self, gateway: &Gateway, id: &str) -> Option<Who> {
        if let Some(known) = self.people.find(id)
            && !self.people.is_guest(known)
        {
            return Some(known);
        }
        let guest = gateway.client(id).is_none();
        if guest && id.len() > LONGEST_GUEST {
            return None;
        }
        Some(self.people.find_or_add(id, guest))
    }

    /// What is known of a client by its id, or of those that are none.
    pub(super) fn timeline(&self, id: Option<&str>) -> Option<Snapshot> {
        let ring = match id {
            Some(id) => self.people.ring(self.people.find(id)?)?,
            None => &self.strangers,
        };
        Some(Snapshot { ring: ring.snapshot(), links: self.links.clone() })
    }

    /// Somebody wants to be told at once; `None` if there are too many already.
    pub(super) fn watch(&mut self, query: WatchQuery) -> Option<Watching> {
        self.watchers.add(query)
    }
}

/// A diary at one moment, to be read wherever there is time for it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    ring: RingSnapshot,
    links: Vec<Arc<str>>,
}

impl Snapshot {
    /// Entries that there is no room for any more.
    #[must_use]
    pub fn forgotten(&self) -> u32 {
        self.ring.forgotten
    }

    /// All that is in it, oldest first.
    #[must_use]
    pub fn happenings(&self) -> Vec<Happening> {
        self.ring.entries().into_iter().map(|entry| self.happening(entry)).collect()
    }

    fn happening(&self, entry: Entry) -> Happening {
        let level = match entry.tag {
            Tag::Error => Level::ERROR,
            Tag::Warn => Level::WARN,
            Tag::Info => Level::INFO,
            Tag::Debug => Level::DEBUG,
            tag @ (Tag::Received | Tag::Sent | Tag::Moved) => {
                let place = ring::place(&entry.place);
                let packet = packet_entry(tag, place, entry.whole, entry.octets, &self.links);
                return Happening { time: entry.time, what: What::Packet(packet) };
            }
        };
        // A cut may have gone through a character.
        let mut text = String::from_utf8_lossy(&entry.octets).into_owned();
        if entry.octets.len() < entry.whole {
            text.push('…');
        }
        Happening { time: entry.time, what: What::Sentence(level, text) }
    }
}

fn packet_entry(
    tag: Tag,
    place: Option<PlaceOctets<'_>>,
    whole: usize,
    octets: Vec<u8>,
    links: &[Arc<str>],
) -> PacketEntry {
    let address = place.and_then(|(_, address)| Address::new(address));
    PacketEntry {
        sent: tag == Tag::Sent,
        link: place.and_then(|(link, _)| links.get(usize::from(link.0)).cloned()),
        address: address.map_or(String::new(), |address| Shown(&address).to_string()),
        whole,
        octets,
    }
}
