//! Topic aliases towards the broker (MQTT 5 §3.3.2.3.4): a topic that is published to again and again
//! is named by a number. They live as long as the connection.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

/// Most topics with an alias: they are looked for one after the other.
const MOST: usize = 16;
/// Topics of which it is remembered that they came lately.
const SEEN: usize = 64;
/// A topic that came within so many publications keeps its alias.
const RECENT: u32 = 64;
/// The property takes three octets: a shorter topic gains nothing.
const SHORTEST: usize = 6;

/// How a PUBLISH names its topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alias {
    /// In full.
    None,
    /// In full, and from now on by this number.
    New(u16),
    /// By this number alone.
    Known(u16),
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    topic: Box<[u8]>,
    /// When it was used last, in publications.
    used: u32,
}

/// The aliases of one connection; there is nothing where the broker takes none.
#[derive(Debug, Default)]
pub(super) struct Aliases(Option<Box<Table>>);

#[derive(Debug, Default)]
struct Table {
    most: usize,
    entries: Vec<Entry>,
    /// Hashes of topics that came once.
    seen: Vec<u64>,
    clock: u32,
}

impl Aliases {
    /// A new connection, on which the broker takes so many.
    pub(super) fn reset(&mut self, most: u16) {
        let most = MOST.min(usize::from(most));
        self.0 = (most > 0).then(|| Box::new(Table { most, ..Table::default() }));
    }

    /// How the next PUBLISH is to name its topic. It has to be sent then.
    pub(super) fn choose(&mut self, topic: &[u8]) -> Alias {
        match &mut self.0 {
            Some(table) if topic.len() >= SHORTEST => table.choose(topic),
            _ => Alias::None,
        }
    }
}

impl Table {
    fn choose(&mut self, topic: &[u8]) -> Alias {
        self.clock = self.clock.wrapping_add(1);
        let (clock, hash) = (self.clock, FixedState::with_seed(0).hash_one(topic));
        let known = self.entries.iter_mut().zip(1_u16..);
        for (entry, number) in known {
            if entry.hash == hash && *entry.topic == *topic {
                entry.used = clock;
                return Alias::Known(number);
            }
        }
        // A topic that comes once has no use for one.
        self.seen.resize(SEEN, 0);
        let Some(seen) = self.seen.get_mut(hash as usize % SEEN) else { return Alias::None };
        if std::mem::replace(seen, hash) != hash {
            return Alias::None;
        }
        let new = Entry { hash, topic: topic.into(), used: clock };
        if self.entries.len() < self.most {
            self.entries.push(new);
            return u16::try_from(self.entries.len()).map_or(Alias::None, Alias::New);
        }
        // Among very many topics it would go round in circles.
        let oldest = self.entries.iter_mut().zip(1_u16..);
        let oldest = oldest.max_by_key(|(entry, _)| clock.wrapping_sub(entry.used));
        match oldest {
            Some((entry, number)) if clock.wrapping_sub(entry.used) > RECENT => {
                *entry = new;
                Alias::New(number)
            }
            _ => Alias::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(most: u16) -> Aliases {
        let mut aliases = Aliases::default();
        aliases.reset(most);
        aliases
    }

    #[test]
    fn a_topic_gets_one_when_it_comes_again() {
        let mut aliases = with(2);
        assert_eq!(aliases.choose(b"sensors/1"), Alias::None);
        assert_eq!(aliases.choose(b"sensors/1"), Alias::New(1));
        assert_eq!(aliases.choose(b"sensors/1"), Alias::Known(1));
        assert_eq!(aliases.choose(b"sensors/2"), Alias::None);
        assert_eq!(aliases.choose(b"sensors/2"), Alias::New(2));
        assert_eq!(aliases.choose(b"sensors/1"), Alias::Known(1));
        aliases.reset(2);
        assert_eq!(aliases.choose(b"sensors/1"), Alias::None, "another connection");
    }

    #[test]
    fn not_where_the_broker_takes_none_or_nothing_is_gained() {
        for (mut aliases, topic) in [(with(0), &b"sensors/1"[..]), (with(9), b"ab/cd")] {
            for _ in 0..5 {
                assert_eq!(aliases.choose(topic), Alias::None);
            }
        }
    }

    #[test]
    fn only_what_was_not_used_for_long_gives_way() {
        let mut aliases = with(1);
        for _ in 0..2 {
            aliases.choose(b"sensors/1");
        }
        for _ in 0..RECENT / 2 {
            assert_eq!(aliases.choose(b"sensors/2"), Alias::None);
            assert_eq!(aliases.choose(b"sensors/1"), Alias::Known(1));
        }
        let given = (0..2 * RECENT).map(|_| aliases.choose(b"sensors/2"));
        assert!(given.into_iter().any(|alias| alias == Alias::New(1)));
        assert_eq!(aliases.choose(b"sensors/2"), Alias::Known(1));
        assert_eq!(aliases.choose(b"sensors/1"), Alias::None);
    }
}
