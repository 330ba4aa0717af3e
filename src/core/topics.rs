//! Topic names, each kept once, and the ids that one client has for them (MQTT-SN 1.2 §6.5).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::hashing::Hashing;
use super::slots::KEPT;
use super::tight;
use core::hash::BuildHasher;
use hashbrown::HashTable;

/// A name in [`Topics`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TopicRef(NonZeroU32);

impl TopicRef {
    /// Of the entry in this slot.
    fn at(slot: u32) -> Self {
        // Nobody has four thousand million names.
        Self(NonZeroU32::MIN.saturating_add(slot))
    }

    fn slot(self) -> usize {
        self.index() as usize
    }

    /// As a key.
    pub(crate) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

const _: () = assert!(size_of::<Option<TopicRef>>() == 4);

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    users: u32,
}

/// All topic names in use, counted.
#[derive(Debug)]
pub(crate) struct Topics {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: Hashing,
}

impl Topics {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), index: HashTable::new(), hasher }
    }

    /// The name's entry, if somebody uses it.
    pub(crate) fn find(&self, name: &str) -> Option<TopicRef> {
        let hash = self.hasher.hash_one(name);
        let same = |slot: &u32| self.entries.get(*slot as usize).is_some_and(|e| &*e.name == name);
        self.index.find(hash, same).map(|slot| TopicRef::at(*slot))
    }

    /// The name's entry, made if need be, with one more user.
    pub(crate) fn take(&mut self, name: &str) -> TopicRef {
        if let Some(found) = self.find(name) {
            return self.share(found);
        }
        let entry = Entry { name: name.into(), users: 1 };
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(old) = self.entries.get_mut(slot as usize) {
                    *old = entry;
                }
                slot
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hasher.hash_one(name), slot, |slot| {
            entries.get(*slot as usize).map_or(0, |entry| hasher.hash_one(&*entry.name))
        });
        TopicRef::at(slot)
    }

    /// One more user of an entry.
    pub(crate) fn share(&mut self, topic: TopicRef) -> TopicRef {
        if let Some(entry) = self.entries.get_mut(topic.slot()) {
            entry.users = entry.users.saturating_add(1);
        }
        topic
    }

    /// One user less; the last one takes the name away.
    pub(crate) fn release(&mut self, topic: TopicRef) {
        let Some(entry) = self.entries.get_mut(topic.slot()) else { return };
        debug_assert!(entry.users > 0, "released more often than taken");
        entry.users = entry.users.saturating_sub(1);
        if entry.users > 0 {
            return;
        }
        let name = core::mem::take(&mut entry.name);
        if let Ok(found) =
            self.index.find_entry(self.hasher.hash_one(&*name), |slot| *slot == topic.index())
        {
            found.remove();
        }
        self.free.push(topic.index());
    }

    /// Lets go of the memory if no name is in use.
    pub(crate) fn give_back(&mut self) {
        if self.entries.len() > KEPT && self.len() == 0 {
            *self = Self::new(self.hasher);
        }
    }

    /// The name itself.
    #[inline]
    pub(crate) fn name(&self, topic: TopicRef) -> &str {
        self.entries.get(topic.slot()).map_or("", |entry| &entry.name)
    }

    /// Number of places, in use or not.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// The name at a place, and its users, if it has any.
    pub(crate) fn at(&self, place: u32) -> Option<(&str, u32)> {
        let entry = self.entries.get(place as usize).filter(|entry| entry.users > 0)?;
        Some((&entry.name, entry.users))
    }

    /// Number of names in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.free.len())
    }
}

/// One normal topic id of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientTopic {
    pub(crate) topic: TopicRef,
    /// The client is known to know the id: it registered it itself, acknowledged our REGISTER or
    /// was told in a SUBACK, since its last CONNECT.
    pub(crate) confirmed: bool,
    /// The client refused our REGISTER: it counts as unsubscribed from this name (§6.10).
    pub(crate) refused: bool,
    /// The client answered "invalid topic id" to a short or predefined form: use the normal id.
    pub(crate) normal_only: bool,
}

/// The normal topic ids of one client. Ids are given in ascending order and never given to another
/// name while the session lives.
#[derive(Debug, Default)]
pub(crate) struct ClientTopics {
    entries: Vec<ClientTopic>,
    /// How far above the gateway's first id this client's ids begin.
    offset: u16,
}

impl ClientTopics {
    /// Index of the entry for `topic`.
    #[inline]
    pub(crate) fn position(&self, topic: TopicRef) -> Option<usize> {
        self.entries.iter().position(|entry| entry.topic == topic)
    }

    #[inline]
    pub(crate) fn get(&self, position: usize) -> Option<&ClientTopic> {
        self.entries.get(position)
    }

    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut ClientTopic> {
        self.entries.get_mut(position)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, by position.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClientTopic> {
        self.entries.iter()
    }

    /// Adds a topic that has no entry yet; the caller holds a user count of `topic` for it.
    pub(crate) fn push(&mut self, topic: TopicRef) -> usize {
        let (confirmed, refused, normal_only) = (false, false, false);
        tight::push(&mut self.entries, ClientTopic { topic, confirmed, refused, normal_only });
        self.entries.len() - 1
    }

    /// After a CONNECT the client may have forgotten every id (§24.1 of common practice): it has to
    /// be told again before we use one, while what it sends under an old id is still understood.
    pub(crate) fn forget_confirmations(&mut self) {
        for entry in &mut self.entries {
            entry.confirmed = false;
            entry.refused = false;
            entry.normal_only = false;
        }
    }

    /// Takes everything out. The next session does not begin with the same ids: a packet of the
    /// last one that is still under way must not hit another name.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = TopicRef> + use<> {
        let used = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        self.offset = self.offset.saturating_add(used);
        core::mem::take(&mut self.entries).into_iter().map(|entry| entry.topic)
    }

    /// Has ids begin at `offset` above the gateway's first, before any is given out.
    pub(crate) fn begin_at(&mut self, offset: u16) {
        debug_assert!(self.entries.is_empty(), "ids in use do not move");
        self.offset = offset;
    }

    /// The gateway's first id is another by now: the client's ids stay what they are.
    pub(crate) fn shift(&mut self, by: u16) {
        self.offset = self.offset.wrapping_add(by);
    }

    /// See [`Self::begin_at`].
    pub(crate) fn offset(&self) -> u16 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lives_as_long_as_somebody_uses_it() {
        let mut topics = Topics::new(Hashing::new(1));
        let first = topics.take("a/b");
        assert_eq!(topics.take("a/b"), first);
        topics.release(first);
        assert_eq!(topics.find("a/b"), Some(first));
        topics.release(first);
        assert_eq!(topics.find("a/b"), None);
        assert_eq!(topics.len(), 0);
        let second = topics.take("c");
        assert_eq!(topics.name(second), "c");
    }
}
