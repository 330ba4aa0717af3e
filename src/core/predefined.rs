//! Predefined topic ids (MQTT-SN 1.2 §6.7): those of everybody, those of single rules before them, and
//! after a change those that clients which are still there go by.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::hashing::Hashing;
use super::settings::Settings;
use super::topics::{TopicRef, Topics};

/// Tables of former settings that are kept for clients: beyond this they go by those of now.
const MAX_FORMER: usize = 64;

/// Ids with their topics; each holds a user of its topic.
#[derive(Debug, PartialEq)]
struct Table {
    topics: HashMap<u16, TopicRef, Hashing>,
    /// Lowest id of a topic.
    ids: HashMap<u32, u16, Hashing>,
    /// The table that comes after this one.
    base: Option<u16>,
}

/// All tables. They are named by their places.
#[derive(Debug)]
pub(crate) struct Predefined {
    tables: Vec<Option<Table>>,
    /// Of clients without a rule.
    base: u16,
    /// By rule.
    rules: Vec<u16>,
    hasher: Hashing,
}

impl Predefined {
    pub(crate) fn new(hasher: Hashing, settings: &Settings, topics: &mut Topics) -> Self {
        let mut new = Self { tables: Vec::new(), base: 0, rules: Vec::new(), hasher };
        new.set(settings, topics);
        new
    }

    /// Takes the ids of settings. Tables of the settings before stay until [`Self::tidy`].
    pub(crate) fn set(&mut self, settings: &Settings, topics: &mut Topics) {
        self.base = self.add(&settings.predefined, None, topics);
        self.rules.clear();
        for rule in &settings.rules {
            let table = match rule.predefined.as_slice() {
                [] => self.base,
                own => self.add(own, Some(self.base), topics),
            };
            self.rules.push(table);
        }
    }

    /// The place of a table with these ids, made if there is none.
    fn add(
        &mut self,
        ids: &[(u16, alloc::boxed::Box<str>)],
        base: Option<u16>,
        topics: &mut Topics,
    ) -> u16 {
        let (by_id, by_topic) =
            (HashMap::with_hasher(self.hasher), HashMap::with_hasher(self.hasher));
        let mut table = Table { topics: by_id, ids: by_topic, base };
        for (id, name) in ids {
            let topic = topics.take(name);
            if let Some(former) = table.topics.insert(*id, topic) {
                topics.release(former);
            }
            let lowest = table.ids.entry(topic.index()).or_insert(*id);
            *lowest = (*lowest).min(*id);
        }
        if let Some(known) = self.tables.iter().position(|known| known.as_ref() == Some(&table)) {
            table.release(topics);
            return known as u16;
        }
        let free = self.tables.iter().position(Option::is_none);
        let place = free.unwrap_or(self.tables.len());
        match self.tables.get_mut(place) {
            Some(free) => *free = Some(table),
            None => self.tables.push(Some(table)),
        }
        // One for each of a thousand rules, and a few former ones.
        place as u16
    }

    /// Takes away the tables that neither the settings nor clients use. `used`: those of clients; gives
    /// false, and does nothing, if these are too many: clients then have to go by the table of now.
    pub(crate) fn tidy(&mut self, used: &BTreeSet<u16>, topics: &mut Topics) -> bool {
        let mut kept: BTreeSet<u16> = self.rules.iter().copied().collect();
        kept.insert(self.base);
        if used.difference(&kept).count() > MAX_FORMER {
            return false;
        }
        kept.extend(used);
        let bases: Vec<u16> = kept.iter().filter_map(|place| self.table(*place)?.base).collect();
        kept.extend(bases);
        for (place, table) in (0_u16..).zip(&mut self.tables) {
            if !kept.contains(&place)
                && let Some(table) = table.take()
            {
                table.release(topics);
            }
        }
        true
    }

    fn table(&self, place: u16) -> Option<&Table> {
        self.tables.get(usize::from(place))?.as_ref()
    }

    /// The table of a rule now.
    pub(crate) fn of_rule(&self, rule: u16) -> u16 {
        self.rules.get(usize::from(rule)).copied().unwrap_or(self.base)
    }

    /// The topic of an id in a table.
    #[inline]
    pub(crate) fn topic(&self, place: u16, id: u16) -> Option<TopicRef> {
        let table = self.table(place)?;
        let base = || self.table(table.base?)?.topics.get(&id);
        table.topics.get(&id).or_else(base).copied()
    }

    /// The id of a topic in a table, the lowest of several.
    #[inline]
    pub(crate) fn id(&self, place: u16, topic: TopicRef) -> Option<u16> {
        let table = self.table(place)?;
        let own = table.ids.get(&topic.index());
        // An id that the table gives to another topic is not that of the one after it.
        let base = || {
            let id = self.table(table.base?)?.ids.get(&topic.index())?;
            (!table.topics.contains_key(id)).then_some(id)
        };
        own.or_else(base).copied()
    }

    /// Number of different topics in all tables.
    pub(crate) fn names(&self) -> usize {
        let tables = self.tables.iter().flatten();
        let names: BTreeSet<u32> = tables.flat_map(|table| table.ids.keys().copied()).collect();
        names.len()
    }
}

impl Table {
    fn release(self, topics: &mut Topics) {
        for topic in self.topics.into_values() {
            topics.release(topic);
        }
    }
}

/// The highest predefined id of settings, 0 without any.
pub(crate) fn highest_id(settings: &Settings) -> u16 {
    let own = settings.rules.iter().flat_map(|rule| &rule.predefined);
    own.chain(&settings.predefined).map(|(id, _)| *id).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::core::ClientRule;

    fn settings(all: &[(u16, &str)], own: &[(u16, &str)]) -> Settings {
        let list =
            |ids: &[(u16, &str)]| ids.iter().map(|(id, name)| (*id, (*name).into())).collect();
        let rule = ClientRule { predefined: list(own), ..ClientRule::default() };
        Settings { predefined: list(all), rules: vec![rule], ..Settings::default() }
    }

    #[test]
    fn those_of_a_rule_come_before_those_of_everybody() {
        let mut topics = Topics::new(Hashing::new(1));
        let settings = settings(&[(1, "a"), (2, "b"), (3, "a")], &[(2, "c"), (9, "a")]);
        let ids = Predefined::new(Hashing::new(1), &settings, &mut topics);
        let name = |rule, id| ids.topic(ids.of_rule(rule), id).map(|topic| topics.name(topic));
        let id = |rule, name| ids.id(ids.of_rule(rule), topics.find(name).unwrap());
        assert_eq!([1, 2, 9].map(|id| name(0, id)), [Some("a"), Some("c"), Some("a")]);
        assert_eq!([1, 2, 9].map(|id| name(7, id)), [Some("a"), Some("b"), None]);
        assert_eq!(["a", "b", "c"].map(|name| id(0, name)), [Some(9), None, Some(2)]);
        assert_eq!(["a", "b", "c"].map(|name| id(7, name)), [Some(1), Some(2), None]);
        assert_eq!((ids.names(), highest_id(&settings)), (3, 9));
    }

    #[test]
    fn former_ones_stay_while_somebody_goes_by_them() {
        let mut topics = Topics::new(Hashing::new(1));
        let mut ids = Predefined::new(Hashing::new(1), &settings(&[(1, "a")], &[]), &mut topics);
        let former = ids.of_rule(7);
        ids.set(&settings(&[(1, "a")], &[]), &mut topics);
        assert_eq!(ids.of_rule(7), former, "the same is the same");
        ids.set(&settings(&[(1, "b")], &[]), &mut topics);
        assert_ne!(ids.of_rule(7), former);
        assert!(ids.tidy(&BTreeSet::from([former]), &mut topics));
        assert_eq!(ids.topic(former, 1), topics.find("a"));
        assert!(ids.tidy(&BTreeSet::new(), &mut topics));
        assert_eq!((ids.topic(former, 1), topics.find("a"), topics.len()), (None, None, 1));
        let many = (1_000..1_065).collect();
        assert!(!ids.tidy(&many, &mut topics));
    }
}
