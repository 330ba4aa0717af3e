//! Who is written about, in a bounded number of octets altogether.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::ring::Ring;

/// Most octets for one client, and the least that each has if there are very many.
const MOST_EACH: usize = 16 * 1024;
const LEAST_EACH: usize = 128;
/// What a client takes beside its ring and its id: this, the hash table, where it is.
const OVERHEAD: usize = 160;
/// Those who never were clients, such as were refused.
const GUESTS: usize = 64;
/// Clients that are gone for good, such as with a clean session, and that are kept even if others could
/// use their share.
const GONE: usize = 256;
/// Clients that are looked at to make room, each time that something is written.
const LOOKS: usize = 16;

/// Names somebody as long as there is something about them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Who {
    place: u32,
    /// No two have the same.
    serial: u32,
}

#[derive(Debug)]
struct Person {
    serial: u32,
    id: Box<str>,
    ring: Ring,
    /// Something was written since the hand came by.
    fresh: bool,
    /// When it has gone for good, by the number of such events; 0 if it has not.
    gone: u64,
}

/// Everybody. When octets run short, nobody has more than an equal share; when there are more clients
/// than shares, those go of whom nothing was heard for longest, nearly. Clients that are gone for good make
/// way as soon as others would have less than they may have at most.
#[derive(Debug)]
pub(super) struct People {
    budget: usize,
    places: Vec<Option<Person>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    hasher: RandomState,
    count: usize,
    /// Octets that each may use.
    quota: usize,
    serials: u32,
    /// Octets in use.
    used: usize,
    /// Where room is looked for next.
    hand: usize,
    guests: VecDeque<Who>,
    /// Those that are gone, with what [`Person::gone`] was then; who has come back is among them, too.
    gone: VecDeque<(Who, u64)>,
    goings: u64,
}

impl People {
    /// `budget`: octets that may be used.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            places: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: RandomState::new(),
            count: 0,
            quota: MOST_EACH,
            serials: 0,
            used: 0,
            hand: 0,
            guests: VecDeque::new(),
            gone: VecDeque::new(),
            goings: 0,
        }
    }

    /// There are so many now.
    fn set_count(&mut self, count: usize) {
        self.count = count;
        let share = self.budget / count.max(1);
        self.quota = share.saturating_sub(OVERHEAD).clamp(LEAST_EACH, MOST_EACH);
    }

    fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    /// Whoever has this id.
    pub(super) fn find(&self, id: &str) -> Option<Who> {
        let person = |place: u32| self.places.get(place as usize)?.as_ref();
        let same = |place: &u32| person(*place).is_some_and(|person| &*person.id == id);
        let place = *self.by_id.find(self.hash(id), same)?;
        Some(Who { place, serial: person(place)?.serial })
    }

    /// The same, or somebody new. Of those who are no clients (`guest`) only the last few are kept.
    pub(super) fn find_or_add(&mut self, id: &str, guest: bool) -> Who {
        if let Some(who) = self.find(id) {
            if !guest && let Some(position) = self.guests.iter().position(|guest| *guest == who) {
                self.guests.remove(position);
            }
            return who;
        }
        if guest
            && self.guests.len() >= GUESTS
            && let Some(oldest) = self.guests.pop_front()
        {
            self.remove(oldest);
        }
        if (self.count + 1) * (MOST_EACH + OVERHEAD) > self.budget {
            self.forget_gone();
        }
        // Long ids may take more than is foreseen.
        let many = (self.count + 1) * (LEAST_EACH + OVERHEAD) > self.budget;
        if many || self.used > self.budget + self.budget / 8 {
            self.make_room();
        }
        self.serials = self.serials.wrapping_add(1);
        let serial = self.serials;
        let person = Person { serial, id: id.into(), ring: Ring::default(), fresh: true, gone: 0 };
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(free) = self.places.get_mut(place as usize) {
            *free = Some(person);
        }
        self.set_count(self.count + 1);
        self.used += OVERHEAD + id.len();
        let hash = self.hash(id);
        let Self { by_id, places, hasher, .. } = self;
        let hash_of = |place: &u32| {
            let person = places.get(*place as usize).and_then(Option::as_ref);
            hasher.hash_one(person.map_or("", |person| &*person.id))
        };
        by_id.insert_unique(hash, place, hash_of);
        let who = Who { place, serial };
        if guest {
            self.guests.push_back(who);
        }
        who
    }

    /// Somebody is gone for good, or there again.
    pub(super) fn set_gone(&mut self, who: Who, gone: bool) {
        let next = self.goings + 1;
        let Some(person) = self.get_mut(who) else { return };
        if !gone {
            person.gone = 0;
            return;
        }
        person.gone = next;
        self.goings = next;
        self.gone.push_back((who, next));
        if self.gone.len() > 2 * self.count + GONE {
            let places = &self.places;
            self.gone.retain(|entry| is_gone(places, entry));
        }
    }

    /// Forgets those that went first, but not the last few.
    fn forget_gone(&mut self) {
        while self.gone.len() > GONE
            && let Some(entry) = self.gone.pop_front()
        {
            if is_gone(&self.places, &entry) {
                return self.remove(entry.0);
            }
        }
    }

    /// Writes something about somebody. Gives false if they are not known any longer.
    pub(super) fn write(&mut self, who: Who, write: impl FnOnce(&mut Ring, usize)) -> bool {
        let quota = self.quota;
        let Some(person) = self.get_mut(who) else { return false };
        person.fresh = true;
        let before = person.ring.size();
        write(&mut person.ring, quota);
        let after = person.ring.size();
        self.used = (self.used + after).saturating_sub(before);
        if self.used > self.budget {
            self.trim_some(quota);
        }
        true
    }

    /// What is known of somebody.
    pub(super) fn ring(&self, who: Who) -> Option<&Ring> {
        self.get(who).map(|person| &person.ring)
    }

    /// Whether somebody never was a client.
    pub(super) fn is_guest(&self, who: Who) -> bool {
        self.guests.contains(&who)
    }

    /// The id of somebody.
    pub(super) fn id(&self, who: Who) -> Option<&str> {
        self.get(who).map(|person| &*person.id)
    }

    fn get(&self, who: Who) -> Option<&Person> {
        let person = self.places.get(who.place as usize)?.as_ref()?;
        Some(person).filter(|person| person.serial == who.serial)
    }

    fn get_mut(&mut self, who: Who) -> Option<&mut Person> {
        let person = self.places.get_mut(who.place as usize)?.as_mut()?;
        Some(person).filter(|person| person.serial == who.serial)
    }

    /// The place under the hand, which goes on.
    fn advance(&mut self) -> usize {
        let place = self.hand;
        self.hand = if place + 1 < self.places.len() { place + 1 } else { 0 };
        place
    }

    /// Takes from those who have more than their share.
    fn trim_some(&mut self, quota: usize) {
        for _ in 0..LOOKS.min(self.places.len()) {
            let place = self.advance();
            if let Some(Some(person)) = self.places.get_mut(place) {
                let before = person.ring.size();
                person.ring.trim(quota);
                self.used = (self.used + person.ring.size()).saturating_sub(before);
            }
        }
    }

    /// Forgets somebody of whom nothing was heard lately; or just somebody, if all are busy.
    fn make_room(&mut self) {
        for look in 0..2 * LOOKS {
            let place = self.advance();
            let Some(Some(person)) = self.places.get_mut(place) else { continue };
            let who = Who { place: place as u32, serial: person.serial };
            if !std::mem::take(&mut person.fresh) || look >= LOOKS {
                return self.remove(who);
            }
        }
    }

    fn remove(&mut self, who: Who) {
        if self.get(who).is_none() {
            return;
        }
        let Some(person) = self.places.get_mut(who.place as usize).and_then(Option::take) else {
            return;
        };
        let hash = self.hash(&person.id);
        if let Ok(found) = self.by_id.find_entry(hash, |place| *place == who.place) {
            found.remove();
        }
        self.used = self.used.saturating_sub(OVERHEAD + person.id.len() + person.ring.size());
        self.set_count(self.count - 1);
        self.free.push(who.place);
    }
}

/// Whether somebody who went has not come back.
fn is_gone(places: &[Option<Person>], (who, went): &(Who, u64)) -> bool {
    let person = places.get(who.place as usize).and_then(Option::as_ref);
    person.is_some_and(|person| person.serial == who.serial && person.gone == *went)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::LinkId;
    use crate::runtime::diary::ring::Tag;
    use crate::time::Time;

    fn write(people: &mut People, who: Who, octets: &[u8]) -> bool {
        people.write(who, |ring, quota| {
            ring.packet(Tag::Received, Time(0), (LinkId(0), &[]), octets, quota);
        })
    }

    fn entries(people: &People, id: &str) -> Option<usize> {
        Some(people.ring(people.find(id)?)?.snapshot().entries().len())
    }

    #[test]
    fn whoever_is_known_is_found_again() {
        let mut people = People::new(1 << 20);
        let a = people.find_or_add("a", false);
        assert_eq!((people.find_or_add("a", false), people.find("b")), (a, None));
        assert!(write(&mut people, a, b"x"));
        assert_eq!((entries(&people, "a"), people.id(a)), (Some(1), Some("a")));
    }

    #[test]
    fn many_that_are_refused_do_not_crowd_out_clients() {
        let mut people = People::new(1 << 20);
        let a = people.find_or_add("a", false);
        write(&mut people, a, b"x");
        for guest in 0..10_000 {
            let who = people.find_or_add(&format!("guest-{guest}"), true);
            write(&mut people, who, &[0; 100]);
        }
        assert_eq!((people.count, entries(&people, "a")), (GUESTS + 1, Some(1)));
        // One of them becomes a client.
        people.find_or_add("guest-9990", false);
        for guest in 0..100 {
            people.find_or_add(&format!("again-{guest}"), true);
        }
        assert_eq!(entries(&people, "guest-9990"), Some(1));
        assert_eq!(entries(&people, "guest-9991"), None);
    }

    #[test]
    fn memory_has_an_end_and_those_who_are_silent_keep_their_share() {
        let mut people = People::new(1 << 20);
        let quiet = people.find_or_add("quiet", false);
        for _ in 0..5 {
            write(&mut people, quiet, &[0; 30]);
        }
        let mut most = 0;
        for number in 0..2_000 {
            let who = people.find_or_add(&format!("client-{number}"), false);
            for _ in 0..100 {
                write(&mut people, who, &[0; 50]);
                most = most.max(people.used);
            }
        }
        assert!(most <= (1 << 20) + MOST_EACH + (1 << 17), "{most}");
        let sum: usize =
            people.places.iter().flatten().map(|it| it.ring.size() + OVERHEAD + it.id.len()).sum();
        assert_eq!(people.used, sum);
        assert_eq!(entries(&people, "quiet"), Some(5));
    }

    #[test]
    fn those_that_are_gone_leave_their_share_to_others() {
        let mut people = People::new(4 << 20);
        let here = people.find_or_add("here", false);
        for number in 0..20_000 {
            let who = people.find_or_add(&format!("passer-by-{number}"), false);
            write(&mut people, who, &[0; 50]);
            people.set_gone(who, true);
            // It comes and goes, and is only once among those that are gone.
            people.set_gone(here, true);
            people.set_gone(here, false);
        }
        assert!(people.gone.len() <= 2 * people.count + GONE + 1, "{}", people.gone.len());
        assert!(people.count < 1_000, "{}", people.count);
        assert_eq!(
            (entries(&people, "passer-by-19999"), entries(&people, "here")),
            (Some(1), Some(0))
        );
        for _ in 0..300 {
            write(&mut people, here, &[0; 30]);
        }
        assert!(entries(&people, "here") > Some(150));
    }

    #[test]
    fn more_clients_than_shares_push_out_those_that_are_silent() {
        let budget = 100 * (LEAST_EACH + OVERHEAD);
        let mut people = People::new(budget);
        let busy = people.find_or_add("busy", false);
        for number in 0..10_000 {
            write(&mut people, busy, b"x");
            let who = people.find_or_add(&format!("client-{number}"), false);
            write(&mut people, who, &[0; 300]);
            assert!(people.count <= 100);
        }
        assert!(people.used <= 2 * budget, "{}", people.used);
        assert_eq!(entries(&people, "client-0"), None);
        assert_eq!(entries(&people, "client-9999"), Some(1));
        // Its name does not lead to whoever has its place now.
        assert!(people.id(busy).is_none_or(|id| id == "busy"));
    }
}
